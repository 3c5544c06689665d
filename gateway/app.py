"""The composition root: settings and a graph, imported by name, become stores, a service and an ASGI application."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from gateway.config import Settings
from gateway.engine.document import Openness
from gateway.errors import ConfigError
from gateway.fields import Graph
from gateway.http.application import Application, application
from gateway.preparing import connect
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.stores.funnel import Layer


def load_graph(name: str) -> Graph:
    """Return the graph that ``module:attribute`` names; ConfigError where there is none."""
    module_name, _, attribute = name.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name != module_name.partition(".")[0]:  # The graph is there, and lacks something itself.
            raise
        raise ConfigError(f"graph = '{name}': expected the name of a module that can be imported") from exc
    graph = getattr(module, attribute, None)
    if not isinstance(graph, Graph):
        raise ConfigError(f"graph = '{name}': expected module:attribute of a Graph, got {type(graph).__name__}")
    return graph


def create_app(settings: Settings, graph: Graph, layers: Sequence[Layer] = ()) -> Application:
    """Return the application. Nothing is connected before its lifespan starts, and everything is closed when that ends.

    ``layers`` stand before every store, in the way of all that clients ask (``gateway/stores/funnel.py``).
    """
    stores = connect(settings, layers)
    service = Service(
        graph,
        stores,
        Limits.of(settings),
        documents=settings.plan_cache_size,
        documents_bytes=settings.plan_cache_limit_bytes,
        openness=Openness(settings.introspection, settings.suggestions, settings.type_names),
        may_explain=not settings.is_production,
    )
    return application(service, stores, settings, first_query=graph.first_query)
