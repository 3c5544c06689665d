"""Whether servers take as many connections as the pools of all workers may want."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from gateway.config import Settings
from gateway.errors import ConfigError, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores import Stores

SHARE_MAX = 0.8  # of a server's connections: others want some, too

Say = Callable[[str], None]


async def check_capacity(stores: Stores, settings: Settings, warn: Say) -> None:
    """Return where each server takes the connections of all pools. ConfigError where it does not, and a warning where few are left.

    A server that is away, or cannot say, is passed over. One query for each server that can.
    """
    found = await asyncio.gather(*(_wanted(stores, settings, names) for names in by_server(stores, settings)))
    for server, names, wanted, most in filter(None, found):
        many = f"{settings.workers} workers with pools" if settings.workers > 1 else "pools"
        told = f"stores {', '.join(names)}: {many} of {wanted // settings.workers} connections in all may want {wanted}"
        if wanted > most:
            raise ConfigError(f"{told}, expected at most the {most} that {server} takes (settings workers, pool_size; its max_connections)")
        if wanted > SHARE_MAX * most:
            warn(f"{told} of the {most} that {server} takes: more than {SHARE_MAX:.0%}, and others want some, too.")


def by_server(stores: Stores, settings: Settings) -> Iterable[list[str]]:
    """Return the names of the stores of each server, as far as their URLs say it."""
    servers: dict[tuple[str, str], list[str]] = {}
    for name in stores.names:
        servers.setdefault((stores.kind(name), _server(settings.all_urls[name])), []).append(name)
    return servers.values()


async def _wanted(stores: Stores, settings: Settings, names: list[str]) -> tuple[str, list[str], int, int] | None:
    try:
        most = await stores.connections_max(names[0])
    except (StoreUnavailable, StoreTimeout, StoreMisbehaved):
        return None
    if most is None:
        return None
    pools = {id(stores[name]): stores.guards[name].places or 0 for name in names}
    return _server(settings.all_urls[names[0]]), names, settings.workers * sum(pools.values()), most


def _server(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2].lower() or parts.query
