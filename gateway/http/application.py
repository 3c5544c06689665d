"""The ASGI application over a service and its stores: which path is whose, and what opens and closes with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import chain
from typing import Any

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import Settings
from gateway.errors import MethodNotAllowed, PageNotFound
from gateway.http import graphiql, health
from gateway.http.graphql import GraphQLEndpoint
from gateway.http.hosts import Hosts
from gateway.http.media import GRAPHQL
from gateway.http.middleware import ExchangeMiddleware
from gateway.http.protocol import Edge
from gateway.observability.metrics import CONTENT_TYPE, Metrics
from gateway.service import Service
from gateway.stores import Stores


class Application(ExchangeMiddleware):
    """The ASGI application: nothing stands between the server's connections and the endpoint at ``/graphql``.

    ``edge`` is what its server shares with it.
    """

    def __init__(self, pages: Router, handlers: Mapping[Any, Any], hosts: Hosts, edge: Edge, direct: Mapping[str, ASGIApp]) -> None:
        self._handled = ExceptionMiddleware(pages, handlers)
        super().__init__(self._pages, hosts, direct)
        self.edge = edge
        self._lifespan = pages.lifespan_context

    def lifespan(self) -> AbstractAsyncContextManager[Any]:
        """Return what a server enters before the first request and leaves after the last."""
        return self._lifespan(self)

    async def _pages(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # a router that is not alone leaves what it does not know to the handlers
        await self._handled(scope, receive, send)


def application(service: Service, stores: Stores, settings: Settings, *, first_query: str = "") -> Application:
    """Return the application; its lifespan opens the stores and closes them. ``first_query`` is what GraphiQL shows.

    ConfigError where nobody said for which hosts it is.
    """
    edge = Edge(settings)
    endpoint = GraphQLEndpoint(service, settings, lambda: edge.unread.is_over)
    pages = [] if settings.is_production else graphiql.routes(first_query)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await stores.open()
        try:
            yield
        finally:
            await stores.close()

    async def refuse(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        error = PageNotFound("There is nothing here.") if exc.status_code == 404 else MethodNotAllowed("Not with this method.")
        refused = service.refuse(error)
        return Response(refused.body, refused.status, exc.headers, media_type=GRAPHQL.decode())

    router = Router(
        routes=[
            Route("/health/live", health.live),
            Route("/health/ready", health.Ready(stores).__call__),
            *([Route("/metrics", _metrics(service, edge))] if settings.metrics else []),
            *pages,
        ],
        redirect_slashes=False,
        lifespan=lifespan,
    )
    return Application(router, {404: refuse, 405: refuse}, Hosts(settings), edge, {"/graphql": endpoint})


def _metrics(service: Service, edge: Edge) -> Callable[[Request], Awaitable[Response]]:
    metrics = Metrics(lambda: chain(edge.readings(), service.readings()))

    async def endpoint(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return endpoint
