"""Places and a line that clients share: who is next, who has to leave a full line, and who is whom."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from starlette.requests import Request as HttpRequest

from gateway.config import Settings
from gateway.errors import ConfigError, Overloaded
from gateway.http.fairness import Fair, FairAdaptiveGate, gate_of
from gateway.http.gate import AdaptiveGate, Gate
from tests.gateway.http.fakes import FakeService, make_app
from tests.gateway.http.test_gate import Held, until

HERE: list[str] = []


class Line:
    """Clients before a gate; ``given`` are those who got their place, in order, ``refused`` those who did not."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.given: list[str] = []
        self.refused: list[str] = []

    async def come(self, *clients: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._enter(client)) for client in clients]
        await asyncio.sleep(0)
        return tasks

    async def _enter(self, client: str) -> None:
        try:
            if not self.gate.take(client):
                await self.gate.enter(client)
        except Overloaded:
            self.refused.append(client)
        else:
            self.given.append(client)

    async def leave(self, *clients: str) -> None:
        for client in clients:
            self.gate.give_back(client)
            await asyncio.sleep(0)
            await asyncio.sleep(0)


@pytest.fixture(params=[False, True], ids=["fixed", "adaptive"])
def is_adaptive(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def fair(is_adaptive: bool, running: int, waiting: int, most: int = 0) -> Fair:
    return FairAdaptiveGate(1, running, waiting, 30, most=most) if is_adaptive else Fair(running, waiting, 30, most=most)


async def test_the_next_place_is_for_who_has_the_fewest(is_adaptive: bool) -> None:
    line = Line(fair(is_adaptive, 3, 9))
    await line.come("a", "a", "b", "a", "a", "b", "c")
    assert line.given == ["a", "a", "b"]
    await line.leave("a")
    assert line.given[3:] == ["c"], "it has none"
    await line.leave("b")
    assert line.given[4:] == ["b"]
    await line.leave("b", "c", "a")
    assert line.given[5:] == ["a", "a"]
    await line.leave("a", "a")
    assert (line.gate.in_use, line.gate.waiting, line.refused) == (0, 0, [])


async def test_of_as_few_the_next_is_whose_turn_was_longest_ago(is_adaptive: bool) -> None:
    line = Line(fair(is_adaptive, 1, 9))
    await line.come("x", "a", "a", "a", "b", "b", "c")
    await line.leave("x", "a", "b", "c", "a", "b")
    assert line.given == ["x", "a", "b", "c", "a", "b", "a"]


async def test_in_a_full_line_who_has_the_most_leaves(is_adaptive: bool) -> None:
    line = Line(fair(is_adaptive, 1, 4))
    await line.come("a", "a", "a", "a", "a", "a")
    assert line.refused == ["a"]
    await line.come("b")
    await until(lambda: line.refused == ["a", "a"])
    await line.come("b", "b")
    await until(lambda: len(line.refused) == 4)
    assert line.refused == ["a", "a", "b", "a"], "two and two: no more room for either"
    await line.come("c")
    await until(lambda: len(line.refused) == 5)
    assert sorted(line.refused) == ["a", "a", "a", "a", "b"]
    await line.leave("a", "a", "b", "c", "b")
    assert (line.given, line.gate.in_use) == (["a", "a", "b", "c", "b"], 0)


async def test_a_client_has_no_more_than_is_its_own_where_places_are_free(is_adaptive: bool) -> None:
    line = Line(fair(is_adaptive, 4, 9, most=2))
    await line.come("a", "a", "a", "b")
    assert (line.given, line.gate.waiting) == (["a", "a", "b"], 1)
    await line.leave("b")
    assert line.gate.waiting == 1
    await line.leave("a")
    assert (line.given[3:], line.gate.waiting) == (["a"], 0)
    await line.leave("a", "a")
    assert line.gate.in_use == 0


async def test_who_leaves_the_line_or_his_place_before_he_sees_it_takes_nothing_along(is_adaptive: bool) -> None:
    line = Line(fair(is_adaptive, 1, 9))
    await line.come("a")
    [waits, last] = await line.come("b", "c")
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    assert line.gate.waiting == 1
    line.gate.give_back("a")  # the place is c's, who is gone before it knows
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    assert (line.gate.in_use, line.gate.waiting) == (0, 0)
    assert await line.come("d")
    assert line.given == ["a", "d"]


async def test_places_that_become_more_go_to_those_who_wait(is_adaptive: bool) -> None:
    line = Line(fair(is_adaptive, 1, 9))
    await line.come("a", "a", "b")
    line.gate.change(3, 9, 30)
    line.gate.resize(3)
    await asyncio.sleep(0)
    assert sorted(line.given) == ["a", "a", "b"]
    line.gate.resize(1)
    await line.leave("a", "a", "b")
    assert line.gate.in_use == 0
    await line.come("a", "b")
    assert (line.gate.in_use, line.gate.waiting) == (1, 1)


async def test_whoever_comes_and_goes_in_whatever_order_no_place_is_lost_and_none_is_made(is_adaptive: bool) -> None:
    rng = random.Random(7)
    for _ in range(60):
        places, most = rng.randint(1, 4), rng.choice((0, 0, 1, 2))
        gate = fair(is_adaptive, places, rng.randint(0, 5), most)
        at_work = 0

        async def request(gate: Fair, client: str, places: int, most: int) -> None:
            nonlocal at_work
            try:
                if not gate.take(client):
                    await gate.enter(client)
            except Overloaded:
                return
            at_work += 1
            try:
                assert at_work <= places
                assert not most or gate._running[client] <= most
                for _ in range(rng.randint(0, 3)):
                    await asyncio.sleep(0)
            finally:
                at_work -= 1
                gate.give_back(client)

        tasks = []
        for _ in range(80):
            tasks.append(asyncio.create_task(request(gate, rng.choice("aaaabc"), places, most)))
            if rng.random() < 0.2:
                rng.choice(tasks).cancel()
            if rng.random() < 0.5:
                await asyncio.sleep(0)
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError), ended
        assert (gate.in_use, gate.waiting, gate._running, gate._lines) == (0, 0, {}, {})


def test_a_gate_is_as_the_settings_say() -> None:
    kinds = [
        type(gate_of(Settings(**settings)))
        for settings in ({}, {"requests_min": 2}, {"fair_by": "address"}, {"fair_by": "header:X-User", "requests_min": 2})
    ]
    assert kinds == [Gate, AdaptiveGate, Fair, FairAdaptiveGate]


# ------------------------------------------------------------------------------------------------------------ who is whom


def who(request: HttpRequest) -> Mapping[str, Any]:
    HERE.append(request.headers["x-who"])
    return {"subject": request.headers["x-who"]}


@pytest.mark.parametrize(
    ("fair_by", "header", "context"), [("header:X-User", "x-user", None), ("subject", "x-who", who), ("subject", "X-Who", who)]
)
async def test_one_client_leaves_the_others_their_turn(fair_by: str, header: str, context: Any) -> None:
    HERE.clear()
    service = Held()
    app = make_app(service, context=context, fair_by=fair_by, requests_max=1, requests_waiting_max=3, requests_wait_s=30, metrics=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:

        def ask(name: str) -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(client.post("/graphql", json={"query": "{a}"}, headers={header: name}))

        first = ask("a")
        await until(lambda: service.running == 1)
        others = [ask("a") for _ in range(3)]
        await until(lambda: app.edge.gate.waiting == 3)
        late = ask("b")
        await until(lambda: any(task.done() for task in others))
        assert "gateway_requests_clients 2.0" in (await client.get("/metrics")).text
        service.go.set()
        answers = await asyncio.gather(first, *others, late)
        assert [answer.status_code for answer in answers] == [200, 200, 200, 503, 200]
        assert "gateway_requests_clients 0.0" in (await client.get("/metrics")).text
    assert len(HERE) == (5 if context else 0), "the graph is asked once for each request"


@pytest.mark.parametrize("fair_by", ["address", "header:X-User", "tenant"])
async def test_those_of_whom_nothing_is_said_are_one_client(fair_by: str) -> None:
    service = Held()
    tenants: dict[str, Any] = {"tenant_header": "X-Tenant"} if fair_by == "tenant" else {}
    app = make_app(service, fair_by=fair_by, client_requests_max=1, requests_max=9, **tenants)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        asked = [asyncio.create_task(client.post("/graphql", json={"query": "{a}"})) for _ in range(2)]
        await until(lambda: app.edge.gate.waiting == 1)
        assert service.running == 1
        service.go.set()
        assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200, 200]


async def test_what_the_graph_s_function_refuses_has_no_place() -> None:
    def refuses(_: HttpRequest) -> Mapping[str, Any]:
        raise Overloaded("not now")

    app = make_app(FakeService(), context=refuses, fair_by="subject", requests_max=1, requests_waiting_max=0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        for _ in range(3):
            assert (await client.post("/graphql", json={"query": "{a}"})).json()["errors"][0]["message"] == "not now"
    assert app.edge.gate.in_use == 0


def test_subjects_are_said_by_the_graph() -> None:
    with pytest.raises(ConfigError) as caught:
        make_app(FakeService(), fair_by="subject")
    assert caught.value.message == "fair_by = subject: expected a graph that says who asks, Graph(context=...); got one that does not"
