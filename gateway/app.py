"""The composition root: settings and a graph become stores, a service and an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

from gateway.checkup import Checkup
from gateway.config import Settings, samples_of
from gateway.engine.document import Openness
from gateway.graph.fields import Graph
from gateway.graph.looking import looks_at
from gateway.http.application import Application, application
from gateway.http.gate import guarded
from gateway.http.siblings import Siblings
from gateway.observability.traces import Traces, traces_to
from gateway.preparing import connect
from gateway.relaying import Beside
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.sources import Others
from gateway.stores import Stores
from gateway.stores.funnel import Layer
from gateway.stores.kinds import kinds_of
from gateway.stores.tracing import traced
from gateway.tenants import tenants_of
from gateway.writes.feed import Feed


def create_app(
    settings: Settings,
    graph: Graph,
    layers: Sequence[Layer] = (),
    *,
    unchecked: Iterable[str] = (),
    siblings: Siblings | None = None,
    traces: Traces | None = None,
) -> Application:
    """Return the application. Nothing is connected before its lifespan starts, and everything is closed when that ends.

    ``layers`` stand before every store, in the way of all that clients ask (``gateway/stores/funnel.py``).
    ``unchecked`` are the stores of which nobody knows yet whether they have what the graph declares: each is looked at before the first
    request to it is answered (``gateway/stores/unchecked.py``). ``siblings`` are the other workers (``gateway/http/siblings.py``).
    ``traces`` are those of the settings, if none are given.
    """
    if traces is None and settings.traces == "otlp":
        traces = traces_to(settings.traces_url, settings.traces_share)
    if traces is not None:
        kinds = kinds_of(samples_of(settings)[0].urls if settings.tenant_header else settings.urls)
        layers = (traced(traces, {name: kind.name for name, kind in kinds.items()}), *layers)
    if settings.tenant_header:
        return _for_tenants(settings, graph, layers, siblings, traces)
    held = list(unchecked)
    stores = connect(settings, layers, graph, tells_slow=True)
    stores.hold(looks_at(stores, graph, held))
    if settings.sources:
        return _with_sources(settings, graph, stores, held, siblings, traces)
    beside = Beside(stores, graph, settings, has_relay=settings.relay)
    return application(
        _service(settings, graph, stores, beside.feed),
        stores,
        settings,
        first_query=graph.first_query,
        middleware=graph.middleware,
        context=graph.context,
        beside=beside.running,
        readings=beside.readings,
        checkup=Checkup(stores, graph, lambda: beside.watch.standings, log_of=beside.watch.log),
        siblings=siblings,
        traces=traces,
    )


def _service(settings: Settings, graph: Graph, stores: Stores, feed: Feed | None) -> Service:
    return Service(
        graph,
        stores,
        Limits.of(settings),
        documents=settings.plan_cache_size,
        documents_bytes=settings.plan_cache_limit_bytes,
        openness=Openness(settings.introspection, settings.suggestions, settings.type_names),
        may_explain=not settings.is_production,
        feed=feed,
    )


def _with_sources(
    settings: Settings, graph: Graph, stores: Stores, unchecked: Collection[str], siblings: Siblings | None, traces: Traces | None
) -> Application:
    """Return an application in which clients may pick from where a store is read."""
    others = Others(settings, graph, stores, unchecked)
    beside = Beside(stores, graph, settings, has_relay=settings.relay)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with others.running(), beside.running():
            yield

    return application(
        _service(settings, graph, stores, beside.feed),
        stores,
        settings,
        first_query=graph.first_query,
        middleware=graph.middleware,
        context=graph.context,
        beside=running,
        readings=lambda: chain(beside.readings(), guarded(others.stores.guards)),
        checkup=Checkup(stores, graph, lambda: beside.watch.standings, log_of=beside.watch.log),
        front=others.sources.over,
        more=others.told,
        siblings=siblings,
        traces=traces,
    )


def _for_tenants(
    settings: Settings, graph: Graph, layers: Sequence[Layer], siblings: Siblings | None, traces: Traces | None
) -> Application:
    """Return an application whose stores are those of tenants, each opened on its first request."""
    none = Stores({})
    service = _service(settings, graph, none, None)
    tenants = tenants_of(settings, graph, service, layers)

    async def told() -> Mapping[str, Any]:
        return {"tenants": tenants.told()}

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with tenants.residents.running():
            yield

    return application(
        service,
        none,
        settings,
        first_query=graph.first_query,
        middleware=graph.middleware,
        context=graph.context,
        beside=running,
        readings=tenants.readings,
        checkup=Checkup(none, graph, tuple),
        front=tenants.over,
        more=told,
        siblings=siblings,
        traces=traces,
    )
