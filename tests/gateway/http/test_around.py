"""Middleware of a graph: where it stands, what it sees, and what happens when it fails."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ConfigError
from gateway.http.application import Application
from tests.gateway.http.fakes import FakeService, FakeStores, make_app
from tests.gateway.http.sockets import talking
from tests.gateway.http.wire import post, run, serving


class Noting:
    """Adds its name to the answer's header ``x-way``, and notes the types of scopes."""

    def __init__(self, app: ASGIApp, name: str, seen: list[str] | None = None) -> None:
        self.app, self.name, self.seen = app, name, seen if seen is not None else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope["type"])

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-way", self.name.encode())]
            await send(message)

        await self.app(scope, receive, noting)


class Guard:
    """Answers itself who has no key, and asks for another deadline for who has one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"x-key", b"1") not in scope["headers"]:
            await PlainTextResponse("no key", 401)(scope, receive, send)
            return
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], (b"x-gateway-deadline-ms", b"1500")]}
        await self.app(scope, receive, send)


class Broken:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret")


class Classic(BaseHTTPMiddleware):
    async def dispatch(self, request: HttpRequest, call_next: RequestResponseEndpoint) -> HttpResponse:
        response = await call_next(request)
        response.headers["x-app"] = type(request.app).__name__
        return response


def client(app: Application) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


BODY: dict[str, Any] = {"query": "{a}"}


@pytest.mark.parametrize("path", ["/graphql", "/health/live", "/nothing"])
async def test_the_first_is_outermost_on_every_path(path: str) -> None:
    async with client(make_app(middleware=(Middleware(Noting, name="outer"), Middleware(Noting, "inner")))) as asking:
        response = await (asking.post(path, json=BODY) if path == "/graphql" else asking.get(path))
    assert response.headers.get_list("x-way") == ["inner", "outer"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_it_sees_answers_that_a_connection_would_take_in_one_piece() -> None:
    async def test() -> None:
        async with serving(middleware=(Middleware(Noting, "one"),)) as wire:
            answer = await wire.ask(post(b'{"query":"{a}"}', b"Connection: close"))
        assert (answer.status, answer.headers["x-way"], answer.body) == (200, "one", b'{"data":{"query":"{a}"}}')

    run(test())


async def test_what_it_answers_itself_has_an_id_safe_headers_and_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    service = FakeService()
    async with client(make_app(service, middleware=(Middleware(Guard),))) as asking:
        response = await asking.post("/graphql", json=BODY, headers={"x-request-id": "r1"})
        await asking.get("/health/live", headers={"x-key": "1"})
    assert (response.status_code, response.text, response.headers["x-request-id"]) == (401, "no key", "r1")
    assert response.headers["x-frame-options"] == "DENY"
    assert service.requests == []
    lines = [record.__dict__["fields"] for record in caplog.records if record.name == "gateway.access"]
    assert [(line["status"], line["path"]) for line in lines] == [(401, "/graphql")]


async def test_headers_that_it_changes_are_those_of_the_request() -> None:
    service = FakeService()
    async with client(make_app(service, middleware=(Middleware(Guard),))) as asking:
        response = await asking.post("/graphql", json=BODY, headers={"x-key": "1"})
    assert (response.status_code, len(service.requests)) == (200, 1)
    assert service.deadlines[0] <= 1.5


async def test_what_it_raises_is_masked_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with client(make_app(middleware=(Middleware(Broken),))) as asking:
        response = await asking.post("/graphql", json=BODY)
    assert response.status_code == 500
    assert response.json()["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "secret" not in response.text
    (record,) = [record for record in caplog.records if record.name == "gateway.errors"]
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])


async def test_starlettes_own_kind_of_middleware_knows_the_application() -> None:
    async with client(make_app(middleware=(Middleware(Classic),))) as asking:
        response = await asking.post("/graphql", json=BODY)
    assert (response.json(), response.headers["x-app"]) == ({"data": {"query": "{a}"}}, "Application")


async def test_a_request_for_another_host_does_not_reach_it() -> None:
    seen: list[str] = []
    async with client(make_app(middleware=(Middleware(Noting, "one", seen),))) as asking:
        response = await asking.post("/graphql", json=BODY, headers={"host": "rebound.example"})
    assert (response.status_code, seen) == (421, [])


async def test_preflights_are_answered_before_it_and_its_answers_are_for_known_origins_too() -> None:
    origin = "https://app.example.com"
    app = make_app(middleware=(Middleware(Guard),), cors_origins=(origin,))
    async with client(app) as asking:
        asked = await asking.options("/graphql", headers={"origin": origin, "access-control-request-method": "POST"})
        refused = await asking.post("/graphql", json=BODY, headers={"origin": origin})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)


async def test_stores_open_and_close_behind_it() -> None:
    seen: list[str] = []
    stores = FakeStores()
    app = make_app(stores=stores, middleware=(Middleware(Noting, "one", seen),))
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "state": {}}, receive, send)
    assert (stores.events, seen) == (["open", "close"], ["lifespan"])
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_one_that_cannot_be_made_ends_the_start() -> None:
    with pytest.raises(ConfigError, match=r"^middleware Noting: expected one that can be made, got TypeError: .*name"):
        make_app(middleware=(Middleware(Noting),))  # type: ignore[call-arg]


def test_without_any_nothing_stands_before_the_endpoint() -> None:
    assert "/graphql" in make_app().direct
    assert make_app(middleware=(Middleware(Guard),)).direct == {}


@pytest.mark.parametrize("cors", [(), ("https://app.example",)])
def test_sockets_and_streams_go_through_it(cors: tuple[str, ...]) -> None:
    seen: list[str] = []

    async def test() -> None:
        async with serving(middleware=[Middleware(Noting, "a", seen)], cors_origins=cors) as wire:
            async with talking(wire) as talk:
                await talk.subscribe("a", "{a}")
                assert [(await talk.hear())["type"] for _ in range(2)] == ["next", "complete"]
            answer = await wire.ask(post(b'{"query":"{a}"}', b"Accept: text/event-stream", b"Connection: close"))
            assert answer.headers["x-way"] == "a"
            assert b"event: complete" in answer.rest

    run(test())
    assert seen == ["websocket", "http"]
