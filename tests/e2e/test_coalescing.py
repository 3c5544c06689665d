"""Whole operations, sixteen at a time: with look-ups of all of them in shared calls each answer is, byte for byte, what it is without."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.app import create_app
from gateway.config import Settings, StoreSettings
from gateway.preparing import fill_embedded, migrate_embedded, opened
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.funnel import Caller, Next
from schema import schema as graph
from tests.e2e.worlds import World, layouts, world
from tests.forms import of_form
from tests.operations import Operation, Pool, operations
from tests.oracle import Oracle, compare
from tests.oracle.rows import odd_rows

AT_ONCE = 16
EXAMPLES = of_form(3, 15, "E2E_EXAMPLES")  # of sixteen operations each
POINT = "query($id: ID!) { user(id: $id) { id name email posts(first: 2) { nodes { id author { id name } } } } }"
CHAIN = "{ posts(first: 5) { nodes { id author { id name } events(first: 3) { nodes { id user { name } post { id title } } } } } }"


@dataclass
class Both:
    """One gateway twice over the same stores: with shared calls, and without."""

    world: World
    on: Service
    off: Service

    def bodies(self, service: Service, asked: Sequence[Operation]) -> list[bytes]:
        async def answer(operation: Operation) -> bytes:
            request = Request(operation.query, dict(operation.variables), operation.operation_name)
            return (await service.answer(request, request_id="test", deadline_s=60)).body

        async def all_at_once() -> list[bytes]:
            return list(await asyncio.gather(*map(answer, asked)))

        return self.world.runner.run(all_at_once())


@pytest.fixture(scope="module", params=layouts())
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("odd")
    odd_rows().write(folder)
    with world(str(request.param), folder) as made:
        pools = {name: made.stores[name] for name in made.stores.names}
        on = Stores(pools, timeout_s=30, write_timeout_s=60, coalesced=frozenset(pools))
        yield Both(made, Service(graph, on), made.service)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle.from_rows(odd_rows())


def test_look_ups_of_sixteen_requests_share_calls(both: Both) -> None:
    asked = [Operation(POINT, {"id": key}, None) for key in ("9", "10", "ann lee", "nobody")] * 3 + [Operation(CHAIN)] * 4
    assert len(asked) == AT_ONCE
    before = [service.stores.calls.total() for service in (both.on, both.off)]
    assert both.bodies(both.on, asked) == both.bodies(both.off, asked)
    coalescer = both.on.stores.funnel.coalescer
    assert coalescer is not None
    assert coalescer.lookups["users"] > coalescer.calls["users"] > 0
    on, off = (service.stores.calls.total() - count for service, count in zip((both.on, both.off), before, strict=True))
    assert on < off


def test_a_trace_tells_of_it(both: Both) -> None:
    async def explained() -> list[bytes]:
        requests = (Request(POINT, {"id": key}, explain="trace") for key in ("9", "10"))
        return [response.body for response in await asyncio.gather(*map(both.on.answer, requests))]

    for body in both.world.runner.run(explained()):
        answer = orjson.loads(body)
        first = answer["extensions"]["explain"]["calls"][0]
        assert (first["operation"], first["keys"], first["coalesced"]) == ("get", 1, 2)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
@given(asked=st.lists(operations(Pool.odd()), min_size=4, max_size=AT_ONCE), repeated=st.integers(1, 4))
def test_random_operations_at_once_have_the_same_bytes(both: Both, oracle: Oracle, asked: list[Operation], repeated: int) -> None:
    at_once = (asked * repeated)[:AT_ONCE]
    found = both.bodies(both.on, at_once)
    assert found == both.bodies(both.off, at_once)

    async def ours(*_: object) -> dict[str, object]:
        return dict(orjson.loads(found[0]))

    both.world.runner.run(compare(ours, oracle, at_once[0]))


# It looks for the author before it writes.
CREATE = """mutation { createPost(input: {id: "new", title: "T", content: "t", authorId: "9"}) { id author { id name } } }"""


def test_reads_of_a_mutation_share_with_none(tmp_path: Path) -> None:
    shares: dict[str, set[Hashable]] = {}
    asked = ""

    async def noting(request: Any, caller: Caller, next_: Next) -> Any:
        if request.operation == "get" and request.store in graph.store_names:
            shares.setdefault(asked, set()).add(caller.sharing)
        return await next_(request, caller)

    odd_rows().write(tmp_path)
    with world("in memory", tmp_path, [noting]) as made:
        for asked in (CREATE, CHAIN):
            assert "errors" not in made.ask(asked)
    assert shares == {CREATE: {None}, CHAIN: {("anonymous", ())}}


async def test_it_is_a_setting_of_each_store_and_metrics_tell_of_it(tmp_path: Path) -> None:
    urls = {name: f"sqlite+aiosqlite:///{tmp_path / name}.db" for name in graph.store_names}
    settings = Settings(stores={name: StoreSettings(url=url, coalesce=name == "users") for name, url in urls.items()})
    async with opened(settings) as stores:
        await migrate_embedded(stores, graph, lambda _: None)
        await fill_embedded(stores, graph, settings, lambda _: None)
    app = create_app(settings, graph)
    async with app.lifespan(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        found = (await client.post("/graphql", json={"query": "{ users(first: 8) { nodes { id name } } }"})).json()
        users = found["data"]["users"]["nodes"]
        query = "query($id: ID!) { user(id: $id) { id name } }"
        asked = [client.post("/graphql", json={"query": query, "variables": {"id": user["id"]}}) for user in users]
        answers = await asyncio.gather(*asked)
        assert [answer.json() for answer in answers] == [{"data": {"user": user}} for user in users]
        metrics = (await client.get("/metrics")).text
    [shared] = [line for line in metrics.splitlines() if line.startswith("gateway_coalesced_lookups_total")]
    assert shared.startswith('gateway_coalesced_lookups_total{store="users"} ')
    assert float(shared.split()[-1]) >= 2
    assert 'gateway_coalesced_calls_total{store="users"}' in metrics
