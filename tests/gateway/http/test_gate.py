"""As many requests at the same time as the settings say, some in line, and 503 for the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx

from gateway.service import Request, Response
from tests.gateway.http.fakes import FakeService, make_app


class Held(FakeService):
    """Answers when it is let go."""

    def __init__(self) -> None:
        super().__init__(self._held)
        self.running = self.most = 0
        self.go = asyncio.Event()

    async def _held(self, _: Request) -> Response:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
        finally:
            self.running -= 1
        return Response(b'{"data":{}}', 200)


def clients(service: FakeService, **settings: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(make_app(service, **settings)), base_url="http://gateway")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)


async def test_of_too_many_some_wait_and_the_others_are_told_to_come_again() -> None:
    service = Held()
    async with clients(service, requests_max=2, requests_waiting_max=3, requests_wait_s=30, metrics=True) as client:
        asked = [asyncio.create_task(client.post("/graphql", json={"query": "{a}"})) for _ in range(10)]
        await until(lambda: sum(task.done() for task in asked) == 5)
        refused = [task.result() for task in asked if task.done()]
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert {answer.json()["errors"][0]["extensions"]["code"] for answer in refused} == {"OVERLOADED"}
        metrics = (await client.get("/metrics")).text  # which is answered at any time
        assert "gateway_requests_running 2.0" in metrics
        assert "gateway_requests_waiting 3.0" in metrics
        assert "gateway_requests_shed_total 5.0" in metrics
        service.go.set()
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [503] * 5
        assert service.most == 2
        assert "gateway_requests_running 0.0" in (await client.get("/metrics")).text


async def test_who_waits_for_too_long_is_refused() -> None:
    service = Held()
    async with clients(service, requests_max=1, requests_wait_s=0.01) as client:
        first = asyncio.create_task(client.post("/graphql", json={"query": "{a}"}))
        await until(lambda: service.running == 1)
        assert (await client.post("/graphql", json={"query": "{a}"})).status_code == 503
        service.go.set()
        assert (await first).status_code == 200


async def test_the_time_in_line_is_the_request_s_own() -> None:
    service = Held()
    async with clients(service, requests_max=1, requests_wait_s=10, metrics=True) as client:
        first = asyncio.create_task(client.post("/graphql", json={"query": "{a}"}))
        await until(lambda: service.running == 1)
        second = asyncio.create_task(client.post("/graphql", json={"query": "{a}"}, headers={"x-gateway-deadline-ms": "5000"}))
        while "gateway_requests_waiting 1.0" not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        in_line = time.monotonic()
        await until(lambda: time.monotonic() > in_line + 0.02)
        service.go.set()
        await asyncio.gather(first, second)
        assert service.deadlines[0] == 10.0
        assert service.deadlines[1] <= 5.0 - 0.02


async def test_who_has_no_time_left_after_the_line_is_told_what_it_was_and_leaves_his_place() -> None:
    service = Held()
    async with clients(service, requests_max=1, requests_wait_s=10, metrics=True) as client:
        first = asyncio.create_task(client.post("/graphql", json={"query": "{a}"}))
        await until(lambda: service.running == 1)
        second = asyncio.create_task(client.post("/graphql", json={"query": "{a}"}, headers={"x-gateway-deadline-ms": "50"}))
        while "gateway_requests_waiting 1.0" not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        in_line = time.monotonic()
        await until(lambda: time.monotonic() > in_line + 0.06)
        service.go.set()
        late = await second
        assert late.status_code == 504
        assert late.json()["errors"][0]["message"] == "The request was not answered within 0.05 s."
        assert (await first).status_code == 200
        assert len(service.deadlines) == 1
        assert "gateway_requests_running 0.0" in (await client.get("/metrics")).text


async def test_a_request_that_fails_gives_its_place_back() -> None:
    async def fails(_: Request) -> Response:
        raise RuntimeError("no")

    async with clients(FakeService(fails), requests_max=1, requests_waiting_max=0) as client:
        for _ in range(3):
            assert (await client.post("/graphql", json={"query": "{a}"})).status_code == 500
