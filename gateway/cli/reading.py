"""Which graph a command is about, and with which settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.graph.fields import Graph

GraphOption = Annotated[
    str | None,
    typer.Option("--graph", metavar="MODULE:ATTRIBUTE", help="The graph, looked for from the current folder.  [default: the example]"),
]


TenantOption = Annotated[
    str | None, typer.Option("--tenant", metavar="NAME", help="Whose stores, where the settings have tenants (docs/tenants.md).")
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


def read_all(graph_name: str | None, **overrides: Any) -> tuple[Graph, Settings]:
    """Return the graph and the settings, which may be of tenants."""
    from gateway.config import load_settings

    graph = graph_named(graph_name)
    return graph, load_settings(graph.store_names, graph.plain_urls, graph=graph_name, **overrides)


def read(graph_name: str | None, tenant: str | None = None) -> tuple[Graph, Settings]:
    """Return the graph and the settings of what is served to nobody in particular, or to one tenant."""
    graph, settings = read_all(graph_name)
    return graph, settings_for(settings, tenant)


def settings_for(settings: Settings, tenant: str | None) -> Settings:
    """Return the settings of a tenant. ConfigError where there is none of this name, or none is said, and there are tenants."""
    from gateway.config import settings_of

    if not settings.tenant_header:
        if tenant is not None:
            raise ConfigError(f"--tenant {tenant}: expected settings with tenants (tenant_header), got some without")
        return settings
    if tenant is None:
        raise ConfigError("expected --tenant NAME, as each tenant has stores of its own, and a command that has this option")
    try:
        return settings_of(settings, tenant)
    except LookupError:
        named = ", ".join(settings.tenants) or "those whose name is of lower-case letters, digits and single -"
        raise ConfigError(f"--tenant {tenant}: no such tenant; there are {named}") from None
