"""Which graph a command is about, and with which settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.graph.fields import Graph

GraphOption = Annotated[
    str | None,
    typer.Option("--graph", metavar="MODULE:ATTRIBUTE", help="The graph, looked for from the current folder.  [default: the example]"),
]


def graph_named(name: str | None) -> Graph:
    """Return the graph of the option ``--graph`` (None: not given), or of the settings, or the example; its audit is where these say."""
    from gateway.config import audit_setting, graph_setting
    from gateway.graphs import load_example, load_graph, with_audit

    named, audit = graph_setting(name), audit_setting()
    graph = load_example() if named is None else load_graph(named[1], key=named[0])
    return graph if audit is None else with_audit(graph, audit[1], key=audit[0])


def called(name: str | None) -> str:
    from gateway.config import graph_setting

    named = graph_setting(name)
    return "the example" if named is None else f"the graph {named[1]}"


def read(graph_name: str | None, **overrides: Any) -> tuple[Graph, Settings]:
    from gateway.config import load_settings

    graph = graph_named(graph_name)
    return graph, load_settings(graph.store_names, graph.plain_urls, graph=graph_name, **overrides)
