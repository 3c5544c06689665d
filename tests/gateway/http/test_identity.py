"""The context of a graph: what its function sees and gives, who reads it, and what becomes of what it raises."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import pytest
import strawberry
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.types import Info

from gateway.app import create_app
from gateway.config import Settings
from gateway.context import RequestContext
from gateway.errors import Bug, Forbidden, StoreUnavailable, Unauthorized
from gateway.graph.checks import check
from gateway.graph.fields import Graph, batched, column, lookup
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Key, Upsert
from gateway.stores.memory import MemoryStore

NOTES = Collection("notes", "notes", (Column("id", refers="Note"),))
CALLS: list[HttpRequest] = []


async def told(ctx: RequestContext, keys: Sequence[Key]) -> list[str]:
    return [f"{key}: {ctx.subject}, {' '.join(sorted(ctx.scope)) or 'nothing'}, {ctx.values.get('tenant')}" for key in keys]


@strawberry.type
class Note:
    id: strawberry.ID = column()
    told: str = batched(told)


@strawberry.type
class Query:
    note: Note | None = lookup(NOTES, by={"id": "id"})

    @strawberry.field
    def me(self, info: Info) -> str:
        ctx = info.context
        assert isinstance(ctx, RequestContext)
        return f"{ctx.subject}, {' '.join(sorted(ctx.scope)) or 'nothing'}, {ctx.values.get('tenant')}"


SCHEMA = strawberry.Schema(query=Query)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    CALLS.clear()


def graph(context: Any, middleware: Sequence[Middleware] = ()) -> Graph:
    return Graph(schema=SCHEMA, collections=(NOTES,), context=context, middleware=tuple(middleware))


async def ask(
    context: Any,
    query: str = "{ me }",
    headers: Mapping[str, str] | None = None,
    *,
    middleware: Sequence[Middleware] = (),
    body: bytes | None = None,
    **settings: Any,
) -> httpx.Response:
    """Return the answer over HTTP of a graph with this context function."""
    made = {"stores": {"notes": {"url": "memory://"}}, "allowed_hosts": ("gateway",), **settings}
    app = create_app(Settings(**made), graph(context, middleware))
    async with app.lifespan(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        if body is not None:
            return await client.post("/graphql", content=body, headers={"content-type": "application/json", **(headers or {})})
        return await client.post("/graphql", json={"query": query}, headers=headers)


def by_header(request: HttpRequest) -> Mapping[str, Any]:
    CALLS.append(request)
    return {"subject": request.headers["x-user"], "scope": frozenset({"read", "write"}), "tenant": request.headers.get("x-tenant")}


async def by_header_later(request: HttpRequest) -> Mapping[str, Any]:
    await asyncio.sleep(0)
    return by_header(request)


HEADERS = {"X-User": "ada", "X-Tenant": "north"}


@pytest.mark.parametrize("function", [by_header, by_header_later])
async def test_what_it_gives_is_what_resolvers_read(function: Any) -> None:
    answer = await ask(function, "{ me again: me }", HEADERS)
    assert answer.json() == {"data": {"me": "ada, read write, north", "again": "ada, read write, north"}}
    assert len(CALLS) == 1


async def test_what_it_gives_is_what_batch_functions_read() -> None:
    store = MemoryStore("notes")
    stores = Stores({"notes": store})
    await stores.open()
    await stores.ask(Upsert(NOTES, [("1",), ("2",)]))
    service = Service(graph(None), stores)
    request = Request("{ a: note(id: 1) { told } b: note(id: 2) { told } me }")
    body = (await service.answer(request, values={"subject": "ada", "scope": ("read",), "tenant": "north"})).body
    assert body == b'{"data":{"a":{"told":"1: ada, read, north"},"b":{"told":"2: ada, read, north"},"me":"ada, read, north"}}'
    body = (await service.answer(request)).body
    assert b'"me":"anonymous, nothing, None"' in body


async def test_without_one_everybody_is_anonymous() -> None:
    assert (await ask(None)).json() == {"data": {"me": "anonymous, nothing, None"}}
    assert (await ask(lambda _: {})).json() == {"data": {"me": "anonymous, nothing, None"}}


async def test_it_sees_the_head_of_the_request_and_not_its_body() -> None:
    seen: dict[str, Any] = {}

    async def look(request: HttpRequest) -> Mapping[str, Any]:
        seen.update(method=request.method, path=request.url.path, host=request.headers["host"], cookies=request.cookies)
        with pytest.raises(RuntimeError):
            await request.body()
        return {}

    answer = await ask(look, headers={"cookie": "session=1"})
    assert answer.status_code == 200
    assert seen == {"method": "POST", "path": "/graphql", "host": "gateway", "cookies": {"session": "1"}}


class Login:
    """Middleware that knows who asks."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "user": "grace"}, receive, send)


async def test_it_sees_what_middleware_left() -> None:
    answer = await ask(lambda request: {"subject": request.scope["user"]}, middleware=(Middleware(Login),))
    assert answer.json() == {"data": {"me": "grace, nothing, None"}}


async def test_it_is_not_asked_for_what_is_no_request_of_graphql() -> None:
    for body in (b"{", b"{}", b'{"query": 1}'):
        assert (await ask(by_header, headers=HEADERS, body=body)).status_code == 400
    assert CALLS == []


def raising(error: BaseException) -> Callable[[HttpRequest], Mapping[str, Any]]:
    def refuse(_: HttpRequest) -> Mapping[str, Any]:
        raise error

    return refuse


@pytest.mark.parametrize(
    ("error", "status", "code", "challenge"),
    [
        (Unauthorized("A token is needed."), 401, "UNAUTHORIZED", "Bearer"),
        (Unauthorized("Who?", challenge='Basic realm="shop"'), 401, "UNAUTHORIZED", 'Basic realm="shop"'),
        (Forbidden("Not from there."), 403, "FORBIDDEN", None),
        (StoreUnavailable("sessions"), 503, "STORE_UNAVAILABLE", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
async def test_an_error_of_ours_is_the_answer(error: Any, status: int, code: str, challenge: str | None, accept: str) -> None:
    answer = await ask(raising(error), headers={"accept": accept})
    assert answer.status_code == status
    assert answer.json() == {"errors": [{"message": error.message, "extensions": {**error.extensions, "code": code}}]}
    assert answer.headers.get("www-authenticate") == challenge


def test_a_challenge_is_one_line_of_a_header() -> None:
    with pytest.raises(ValueError, match="expected a challenge of printable ASCII"):
        Unauthorized("Who?", challenge="Bearer\r\nset-cookie: a=b")


@pytest.mark.parametrize("error", [RuntimeError("secret"), KeyError("x-user"), TimeoutError("secret"), Bug("secret")], ids=repr)
async def test_another_error_is_masked_and_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    answer = await ask(raising(error), headers={"x-request-id": "r1"})
    assert answer.status_code == 500
    extensions = {"code": "INTERNAL_SERVER_ERROR", "requestId": "r1"}
    assert answer.json() == {"errors": [{"message": "Internal server error.", "extensions": extensions}]}
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [(record.exc_info[1], record.__dict__["fields"]["request"]) for record in logged if record.exc_info] == [(error, "r1")]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "expected a mapping of names to values, got a NoneType"),
        (["ada"], "expected a mapping of names to values, got a list"),
        ({"subject": 7}, "expected a subject that is text, got a int"),
        ({"subject": None}, "expected a subject that is text, got a NoneType"),
        ({"scope": "read write"}, "expected a scope that is a frozenset or a tuple of texts, got 'read write'"),
        ({"scope": (1,)}, "expected a scope that is a frozenset or a tuple of texts, got (1,)"),
    ],
    ids=repr,
)
async def test_what_it_must_not_give_is_refused_with_a_sentence(given: Any, sentence: str, caplog: pytest.LogCaptureFixture) -> None:
    def wrong(_: HttpRequest) -> Any:
        return given

    answer = await ask(wrong)
    assert answer.status_code == 500
    assert answer.json()["errors"][0]["message"] == "Internal server error."
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    name = f"{__name__}.test_what_it_must_not_give_is_refused_with_a_sentence.<locals>.wrong"
    assert str(record.exc_info[1]) == f"the context function {name}: {sentence}"


async def test_its_time_is_of_the_request_s() -> None:
    async def slow(_: HttpRequest) -> Mapping[str, Any]:
        await asyncio.sleep(60)
        return {}

    started = time.monotonic()
    answer = await ask(slow, request_deadline_s=0.2)
    assert time.monotonic() - started < 5
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (504, "DEADLINE_EXCEEDED")


async def test_what_it_leaves_of_the_time_is_what_the_service_has() -> None:
    def late(_: HttpRequest) -> Mapping[str, Any]:
        time.sleep(0.25)
        return {}

    answer = await ask(late, request_deadline_s=0.2)
    assert answer.status_code == 504
    assert answer.json()["errors"][0]["message"] == "The request was not answered within 0.2 s."


def test_what_is_no_such_function_is_told_at_the_start() -> None:
    def of_nothing() -> Mapping[str, Any]:
        return {}

    assert [str(problem) for problem in check(graph("ada"))] == ["the graph: expected a function of one HTTP request (context), got 'ada'"]
    assert [str(problem) for problem in check(graph(of_nothing))] == [
        "the graph: expected a function of one HTTP request (context), got of_nothing: too many positional arguments"
    ]
    functions: list[Any] = [None, by_header, by_header_later, lambda _: {}, raising(KeyError())]
    for fine in functions:
        assert check(graph(fine)) == []
