"""The composition root: settings and a graph become stores, a service and an ASGI application."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.checkup import Checkup
from gateway.config import Settings
from gateway.engine.document import Openness
from gateway.graph.fields import Graph
from gateway.graph.looking import looks_at
from gateway.http.application import Application, application
from gateway.http.siblings import Siblings
from gateway.observability.traces import Traces, traces_to
from gateway.preparing import connect
from gateway.relaying import Beside
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.stores.funnel import Layer
from gateway.stores.kinds import kinds_of
from gateway.stores.tracing import traced


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
        layers = (traced(traces, {name: kind.name for name, kind in kinds_of(settings.urls).items()}), *layers)
    stores = connect(settings, layers, graph, tells_slow=True)
    stores.hold(looks_at(stores, graph, unchecked))
    beside = Beside(stores, graph, settings, has_relay=settings.relay)
    service = Service(
        graph,
        stores,
        Limits.of(settings),
        documents=settings.plan_cache_size,
        documents_bytes=settings.plan_cache_limit_bytes,
        openness=Openness(settings.introspection, settings.suggestions, settings.type_names),
        may_explain=not settings.is_production,
        feed=beside.feed,
    )
    return application(
        service,
        stores,
        settings,
        first_query=graph.first_query,
        middleware=graph.middleware,
        context=graph.context,
        beside=beside.running,
        readings=beside.readings,
        checkup=Checkup(stores, graph, lambda: beside.watch.standings),
        siblings=siblings,
        traces=traces,
    )
