"""A service that records what it is asked, and stores of which some are down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import orjson
from starlette.middleware import Middleware

from gateway.config import Settings
from gateway.errors import GatewayError, StoreUnavailable
from gateway.graph.fields import ContextFunction
from gateway.http.application import Application, application
from gateway.http.health import Checkup
from gateway.observability.accounts import Account
from gateway.observability.metrics import Reading
from gateway.service import Request, Response, Service
from gateway.stores import Stores
from gateway.stores.guards import Guard

Answer = Callable[[Request], Awaitable[Response]]


async def hello(request: Request) -> Response:
    if not request.mutation_allowed and request.query.startswith("mutation"):
        return Response(b'{"errors":[]}', 405)
    if "partial" in request.query:
        return Response(b'{"data":{"a":null},"errors":[]}', 200, partial=True)
    return Response(orjson.dumps({"data": {"query": request.query}}), 200)


class FakeService:
    tokens = None
    tenant = None

    def __init__(self, answer: Answer = hello) -> None:
        self.requests: list[Request] = []
        self.request_ids: list[str] = []
        self.deadlines: list[float] = []
        self.cancelled = asyncio.Event()
        self._answer = answer

    async def answer(
        self, request: Request, *, request_id: str, deadline_s: float, written: list[str], account: Account, **_: Any
    ) -> Response:
        self.requests.append(request)
        self.request_ids.append(request_id)
        self.deadlines.append(deadline_s)
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def subscribe(
        self, request: Request, *, request_id: str, deadline_s: float, written: list[str], account: Account, **_: Any
    ) -> Response | AsyncGenerator[Response, None]:
        """Return a stream without events for a subscription."""
        if request.query.startswith("subscription"):
            return self._nothing()
        return await self.answer(request, request_id=request_id, deadline_s=deadline_s, written=written, account=account)

    async def _nothing(self) -> AsyncGenerator[Response, None]:
        await asyncio.Event().wait()
        yield Response(b"", 200)

    def readings(self) -> Iterator[Reading]:
        yield Reading("requests", "Requests answered.", len(self.requests))

    def refuse(self, error: GatewayError, committed: Sequence[str] = ()) -> Response:
        body: dict[str, Any] = {"errors": [{"message": error.message, "extensions": error.extensions}]}
        if committed:
            body["extensions"] = {"committed": committed}
        return Response(orjson.dumps(body), error.http_status)


class FakeStores:
    """``states`` by name: None is up, an exception is raised, a number is seconds that a ping takes."""

    def __init__(self, states: Mapping[str, Any] | None = None) -> None:
        self.states = states or {}
        self.events: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.states)

    @property
    def guards(self) -> Mapping[str, Guard]:
        return {name: Guard(2) for name in self.states}

    @property
    def routes(self) -> Mapping[str, Any]:
        return {}

    def replica_readings(self) -> Iterator[Reading]:
        yield from ()

    def coalescing_readings(self) -> Iterator[Reading]:
        yield from ()

    def stale_readings(self) -> Iterator[Reading]:
        yield from ()

    def kind(self, name: str) -> str:
        return "memory"

    async def ping(self, name: str) -> None:
        match self.states[name]:
            case float() as seconds:
                await asyncio.sleep(seconds)
            case Exception() as error:
                raise error from OSError("connect to secret-host:5432 failed")

    async def checked(self, name: str) -> None:
        assert name in self.states

    async def open(self) -> None:
        self.events.append("open")

    async def close(self) -> None:
        self.events.append("close")


def down(name: str) -> Exception:
    return StoreUnavailable(name)


def make_app(
    service: FakeService | Service | None = None,
    stores: FakeStores | None = None,
    *,
    query: str = "",
    middleware: Sequence[Middleware] = (),
    context: ContextFunction | None = None,
    checkup: Checkup | None = None,
    **settings: Any,
) -> Application:
    settings = {"allowed_hosts": ("gateway", "127.0.0.1"), **settings}
    return application(
        cast("Service", service or FakeService()),
        cast("Stores", stores or FakeStores()),
        Settings(**settings),
        first_query=query,
        middleware=middleware,
        context=context,
        checkup=checkup,
    )
