"""The ASGI application over a service and its stores: which path is whose, and what opens and closes with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import chain

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

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


def application(service: Service, stores: Stores, settings: Settings, *, first_query: str = "") -> Starlette:
    """Return the application; its lifespan opens the stores and closes them. ``first_query`` is what GraphiQL shows.

    ``state.edge`` is what its server shares with it. ConfigError where nobody said for which hosts it is.
    """
    endpoint = GraphQLEndpoint(service, settings)
    edge = Edge(settings)
    pages = [] if settings.is_production else graphiql.routes(first_query)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
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

    app = Starlette(
        routes=[
            Route("/health/live", health.live),
            Route("/health/ready", health.Ready(stores).__call__),
            *([Route("/metrics", _metrics(service, edge))] if settings.metrics else []),
            *pages,
        ],
        middleware=[Middleware(ExchangeMiddleware, hosts=Hosts(settings), direct={"/graphql": endpoint})],
        exception_handlers={404: refuse, 405: refuse},
        lifespan=lifespan,
    )
    assert isinstance(app.router, Router)
    app.router.redirect_slashes = False
    app.state.edge = edge
    return app


def _metrics(service: Service, edge: Edge) -> Callable[[Request], Awaitable[Response]]:
    metrics = Metrics(lambda: chain(edge.readings(), service.readings()))

    async def endpoint(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return endpoint
