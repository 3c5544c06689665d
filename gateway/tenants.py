"""What a tenant is made of: stores of its own, opened, prepared and looked at as at a start, and a service over them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gateway.config import Settings, has_templates, is_tenant, settings_of
from gateway.errors import ConfigError, GatewayError, TenantNotReady, TenantUnknown
from gateway.graph.fields import Graph
from gateway.graph.looking import look, looks_at
from gateway.http.tenants import Opened, Tenants
from gateway.preparing import connect, make_folders, migrate_at_start, not_made, refuse_missing_files, require, untouched, url_named
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.funnel import Layer
from gateway.writes.following import LogFeed

_log = logging.getLogger("gateway.tenants")


def tenants_of(settings: Settings, graph: Graph, service: Service, layers: Sequence[Layer] = ()) -> Tenants:
    """Return the tenants of the settings, none open yet, whose services are ``service`` over stores of their own, with ``layers`` before
    them. ConfigError where the graph cannot be served to tenants.
    """
    refuse_graph(settings, graph)

    def find(name: str) -> None:
        if name in settings.tenants:
            return
        if is_tenant(name) and has_templates(settings):
            files = not_made(settings_of(settings, name))
            if not files.keys() - set(settings.tenants_shared):  # whose database is a file has one once it is made (gateway migrate)
                return
        raise TenantUnknown(f"{settings.tenant_header}: expected the name of a tenant; there is none of this name.")

    async def open_(name: str) -> Opened:
        its = settings_of(settings, name)
        stores = connect(its, layers, graph, tells_slow=True)
        stores.count_with(service.stores)
        try:
            await _open(stores, its, graph, name)
        except ConfigError as error:
            await stores.close()
            _log.error("tenant %s: %s", name, error.message)
            raise TenantNotReady from None
        except GatewayError as error:
            await stores.close()
            _log.error("tenant %s: it cannot be served: %s", name, error.message)
            raise TenantNotReady from None
        except BaseException:
            await stores.close()
            raise
        feed = LogFeed(stores)

        async def close() -> None:
            await feed.close()
            await stores.close()

        return Opened(service.over(stores, feed, tenant=name), close)

    return Tenants(settings, find, open_)


async def _open(stores: Stores, settings: Settings, graph: Graph, name: str) -> None:
    """Open the stores of a tenant as a start does: what is embedded is made, what the settings require is there, and all is as declared."""
    read_only = untouched(graph)
    refuse_missing_files(settings, read_only)
    make_folders(settings, read_only)
    await stores.open()
    await migrate_at_start(stores, graph, settings, lambda line: _log.info("tenant %s: %s", name, line), _warn(name))
    await require(stores, graph, settings, [store for store in graph.store_names if store in settings.required])
    looked = await look(stores, graph, graph.store_names)
    for error in looked.away.values():
        _warn(name)(f"not checked: {url_named(error, settings)}")
    for store, reason in looked.silent.items():
        _warn(name)(f"not checked: the store {store}, as {reason}")
    if looked.problems:
        told = "\n  ".join(str(problem) for problem in looked.problems)
        raise ConfigError(f"its stores differ from the graph:\n  {told}")
    for store in sorted(settings.required & looked.away.keys()):  # it went away meanwhile
        raise looked.away[store]
    stores.hold(looks_at(stores, graph, looked.away))


def _warn(name: str) -> Callable[[str], None]:
    return lambda line: _log.warning("tenant %s: %s", name, line)


def refuse_graph(settings: Settings, graph: Graph) -> None:
    """Refuse what tenants cannot have. ConfigError with the reason.

    A relay would have to be at work for each tenant, also while its pools are closed. What a graph writes in a store that tenants share
    would have the keys, the log and the audit of all of them in one.
    """
    where = f"tenant_header = {settings.tenant_header!r}"
    if graph.replication:
        named = ", ".join(target.name for target in graph.replication)
        raise ConfigError(f"{where}: expected a graph that replicates nothing, as no relay is at work for tenants; got one with {named}")
    if graph.audit is not None and graph.logged - {graph.audit}:
        others = ", ".join(sorted(graph.logged - {graph.audit}))
        raise ConfigError(
            f"{where}: expected an audit in the store that is written, as no relay carries it there; got writes of {others}, too"
        )
    for name in settings.tenants_shared:
        if name in graph.logged:
            raise ConfigError(f"tenants_shared: expected stores that are only read; the graph writes in {name}")
