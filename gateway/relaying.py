"""What runs beside requests for what a graph writes: the relay, a watch over it, and what tells other processes of writes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from gateway.config import Settings
from gateway.context import RequestContext
from gateway.graph.fields import Graph
from gateway.graph.log import own_tables
from gateway.observability.metrics import Reading
from gateway.stores import Stores
from gateway.writes.declarations import AUDIT
from gateway.writes.following import LogFeed
from gateway.writes.own import end
from gateway.writes.placing import Watcher
from gateway.writes.relay import Relay
from gateway.writes.telling import tell_each_other
from gateway.writes.watching import Watch

RELAY = "crossgraph:relay"  # the subject of what it writes

_log = logging.getLogger("gateway.relay")


def homes_of(stores: Stores, graph: Graph) -> Mapping[str, Sequence[str]]:
    """Return the stores with a log, one for each database, with the names of the targets that hear of it.

    One that moves stands for itself, whoever it shares a database with now or will.
    """
    moving = stores.gate.names if stores.gate is not None else frozenset()

    def database(name: str) -> object:
        return name if name in moving else id(stores[name])

    first: dict[object, str] = {}
    for name in graph.store_names:
        if own_tables(graph, name, stores.kind(name)):
            first.setdefault(database(name), name)
    homes: dict[str, list[str]] = {name: [] for name in first.values()}
    for target in graph.replication:
        home = first.get(database(target.source.store))
        if home is not None:
            homes[home].append(target.name)
    for home, names in homes.items():
        if graph.audit is not None and (home in moving or stores[graph.audit] is not stores[home]):
            names.append(AUDIT)
    return homes


def relay_of(stores: Stores, graph: Graph) -> Relay:
    """Return the relay of a graph, with contexts of its own for what it writes and runs."""
    replication = graph.writes

    def context() -> RequestContext:
        values = {"subject": RELAY, "scope": ()}
        request_id = f"relay-{uuid4().hex[:12]}"
        return RequestContext(stores, request_id, started=time.monotonic(), values=values, replication=replication)

    homes = homes_of(stores, graph)
    managed = [collection for collection in graph.collections if collection.managed]
    written = {home: [its for its in managed if stores[its.store] is stores[home]] for home in homes}
    return Relay(stores, graph.replication, homes, context, audit=graph.audit, written=written)


class Beside:
    """All that runs beside requests. With ``has_relay`` False writes are carried on by another process, and watched here."""

    def __init__(self, stores: Stores, graph: Graph, settings: Settings, *, has_relay: bool) -> None:
        self._stores = stores
        self._homes = homes_of(stores, graph)
        self.relay = relay_of(stores, graph) if has_relay and self._homes else None
        self.feed = LogFeed(stores)
        self.watch = Watch(stores, self._homes, lag_max_s=settings.relay_lag_max_s)
        self.moves = Watcher(stores) if stores.gate is not None else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run while the block does; what is under way at its end is finished, or given back."""
        tasks = [asyncio.create_task(tell_each_other(self._stores, home), name=f"telling of {home}") for home in self._homes]
        if self._homes:
            tasks.append(asyncio.create_task(self.watch.run(), name="watch"))
        if self.moves is not None:
            tasks.append(asyncio.create_task(self.moves.run(), name="moves"))
        if self.relay is not None:
            tasks.append(asyncio.create_task(self.relay.run(), name="relay"))
        for task in tasks:
            task.add_done_callback(_told)
        try:
            yield
        finally:
            await self.feed.close()
            if self.relay is not None:
                self.relay.stop()
                await asyncio.wait(tasks[-1:])
            await end(tasks)
            await asyncio.gather(*tasks, return_exceptions=True)

    def readings(self) -> Iterator[Reading]:
        yield from self.watch.readings()
        if self.relay is not None:
            yield from self.relay.readings()


def _told(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("%s ended", task.get_name(), exc_info=error)
