"""The ASGI application over a service and its stores: which path is whose, and what opens and closes with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from itertools import chain
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import Settings
from gateway.errors import ConfigError, MethodNotAllowed, PageNotFound
from gateway.graph.fields import ContextFunction
from gateway.http import fairness, graphiql, health
from gateway.http.cors import Cors
from gateway.http.edge import Edge
from gateway.http.gate import guarded
from gateway.http.graphql import GraphQLEndpoint
from gateway.http.hosts import Hosts
from gateway.http.media import GRAPHQL
from gateway.http.middleware import EXCHANGE, Exchange, ExchangeMiddleware, read_headers
from gateway.http.reloading import Changing
from gateway.http.siblings import Siblings
from gateway.http.tracing import Traced
from gateway.http.websocket import SocketEndpoint
from gateway.observability import process
from gateway.observability.metrics import CONTENT_TYPE, Reading, text_of
from gateway.observability.traces import Traces
from gateway.service import Service
from gateway.stores import Stores

GRAPHQL_PATH = "/graphql"


class Fronted(Changing, Protocol):
    """What answers at ``/graphql`` in place of the endpoints, which it asks."""

    async def endpoint(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None: ...


Front = Callable[[GraphQLEndpoint, SocketEndpoint], Fronted]


class Application(ExchangeMiddleware):
    """The ASGI application: nothing stands between the server's connections and the endpoint at ``/graphql``, but ``around``.

    ``edge`` is what its server shares with it. ``around`` is middleware, outermost first, around all paths. It sees no request
    that is refused for its head or its host; its answers, too, have the safe headers and a line in the log. ``changing`` is what takes
    other settings while it serves.
    """

    def __init__(
        self,
        pages: Router,
        handlers: Mapping[Any, Any],
        hosts: Hosts,
        edge: Edge,
        direct: Mapping[str, ASGIApp],
        sockets: Mapping[str, ASGIApp],
        around: Sequence[Middleware] = (),
        changing: Sequence[Changing] = (),
    ) -> None:
        self._handled = ExceptionMiddleware(pages, handlers)
        self._sockets = sockets
        if around:
            super().__init__(self._wrapped(around, direct), hosts, is_whole=False, drain=edge.drain)
        else:
            super().__init__(self._pages, hosts, direct, drain=edge.drain)
        self.edge = edge
        self.changing = changing
        self._lifespan = pages.lifespan_context

    def lifespan(self) -> AbstractAsyncContextManager[Any]:
        """Return what a server enters before the first request and leaves after the last."""
        return self._lifespan(self)

    async def _pages(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and (endpoint := self._sockets.get(scope["path"])) is not None:
            await endpoint(scope, receive, send)
            return
        scope["app"] = self  # a router that is not alone leaves what it does not know to the handlers
        await self._handled(scope, receive, send)

    def _wrapped(self, around: Sequence[Middleware], direct: Mapping[str, ASGIApp]) -> ASGIApp:
        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await self._pages(scope, receive, send)
                return
            exchange: Exchange = scope[EXCHANGE]
            exchange.headers = read_headers(scope)
            endpoint = direct.get(scope["path"])
            exchange.is_quiet = endpoint is None
            await (endpoint or self._handled)(scope, receive, send)

        app: ASGIApp = inner
        for made, arguments, options in reversed(around):
            try:
                app = made(app, *arguments, **options)
            except Exception as error:
                name = getattr(made, "__name__", repr(made))
                raise ConfigError(f"middleware {name}: expected one that can be made, got {type(error).__name__}: {error}") from error

        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            scope["app"] = self
            if scope["type"] == "http":
                scope[EXCHANGE].is_quiet = False  # an answer of theirs is worth its line
            await app(scope, receive, send)

        return outer


def application(
    service: Service,
    stores: Stores,
    settings: Settings,
    *,
    first_query: str = "",
    middleware: Sequence[Middleware] = (),
    context: ContextFunction | None = None,
    beside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    readings: Callable[[], Iterable[Reading]] = tuple,
    checkup: health.Checkup | None = None,
    siblings: Siblings | None = None,
    traces: Traces | None = None,
    front: Front | None = None,
    more: health.More | None = None,
) -> Application:
    """Return the application; its lifespan opens the stores and closes them. ``first_query`` is what GraphiQL shows.

    ``context`` says who asks, once for each GraphQL request. ``beside`` is entered while the stores are open, ``readings`` are its metrics.
    ``checkup`` looks at the stores for ``/health``, which tells ``more``, too. ``siblings`` are the other workers, whose metrics are told,
    too. ``traces`` have a span for each request. ``front`` stands before the endpoints at ``/graphql``.

    ``middleware`` is outermost first; that of CORS stands before it, so that a preflight asks nobody for his identity.
    ConfigError where nobody said for which hosts it is, or who asks, if the settings want to know that.
    """
    fairness.check(settings, context)
    edge = Edge(settings)
    edge.clients.traces = traces
    endpoint = GraphQLEndpoint(service, settings, lambda: edge.unread.is_over, edge.gate, context, edge.clients, edge.drain)
    # What tells an operator a lot is not for everybody who reaches a gateway in production.
    may_tell = bool(settings.health_token) or not settings.is_production
    known = health.Known(settings.health_token)
    pages = [] if settings.is_production else graphiql.routes(first_query)

    def read() -> Iterable[Reading]:
        return chain(
            process.readings(),
            edge.readings(),
            edge.clients.readings(),
            service.readings(),
            guarded(stores.guards),
            stores.replica_readings(),
            stores.coalescing_readings(),
            stores.stale_readings(),
            readings(),
        )

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await stores.open()
        if traces is not None:
            traces.open()
        try:
            async with beside(), nullcontext() if siblings is None else siblings.told(read):
                yield
        finally:
            if checkup is not None:
                checkup.close()
            await stores.close()
            if traces is not None:
                await traces.close()

    async def refuse(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        error = PageNotFound("There is nothing here.") if exc.status_code == 404 else MethodNotAllowed("Not with this method.")
        refused = service.refuse(error)
        return Response(refused.body, refused.status, exc.headers, media_type=GRAPHQL.decode())

    router = Router(
        routes=[
            Route("/health/live", health.live),
            Route("/health/ready", health.Ready(stores, edge.drain).__call__),
            *([Route("/metrics", known(_metrics(read, siblings)))] if settings.metrics and may_tell else []),
            *(health.routes(checkup, edge.drain, known, more) if checkup is not None and may_tell else []),
            *pages,
        ],
        redirect_slashes=False,
        lifespan=lifespan,
    )
    cors = [Middleware(Cors, settings=settings, path=GRAPHQL_PATH)] if settings.cors_origins else []
    around = [*cors, *middleware]
    hosts = Hosts(settings)
    socket = SocketEndpoint(service, settings, hosts, edge.clients, context)
    handlers = {404: refuse, 405: refuse}
    graphql: ASGIApp = endpoint
    socket_app: ASGIApp = socket
    changing: tuple[Changing, ...] = (edge, endpoint, socket)
    if front is not None:
        fronted = front(endpoint, socket)
        graphql, socket_app, changing = fronted.endpoint, fronted.socket, (edge, fronted)
    return Application(
        router,
        handlers,
        hosts,
        edge,
        {GRAPHQL_PATH: graphql if traces is None else Traced(graphql, traces)},
        {GRAPHQL_PATH: socket_app},
        around,
        changing,
    )


def _metrics(read: Callable[[], Iterable[Reading]], siblings: Siblings | None) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_: Request) -> Response:
        readings = read() if siblings is None else await siblings.all(read)
        return Response(text_of(readings), media_type=CONTENT_TYPE)

    return endpoint
