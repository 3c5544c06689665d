"""The servers of a Neo4j cluster that answer reads: the driver finds them (``neo4j://``), and a bookmark has one of them wait for a write.

Reads that need not see the newest have the access mode READ, and go to whom the cluster names for that; all others go to its leader. Nobody
can say how far behind a server is.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import neo4j
import orjson

from gateway.errors import StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.observability.metrics import Reading
from gateway.stores.base import Request, Store
from gateway.stores.guards import Guard, Protection
from gateway.stores.neo4j.answers import Answers, Records
from gateway.stores.neo4j.conditions import Parameters
from gateway.stores.neo4j.store import Neo4jStore
from gateway.stores.routing import AUTO, UNKNOWN, Connect, Replicas, refuse_lag, refuse_replicas

BOOKMARKS_MOST = 8  # in a position; where there were more, it is not known


class Reader(Answers):
    """Answers reads by one of the servers that are for them, once it has what was ``seen``."""

    def __init__(self, store: Neo4jStore, seen: Sequence[str]) -> None:
        super().__init__(store.names)
        self.name = store.name
        self._store = store
        self._seen = neo4j.Bookmarks.from_raw_values(seen)

    def answer(self, request: Request[Any]) -> Coroutine[Any, Any, Any]:
        return self._handlers[type(request)](request)

    async def _records(self, text: str, parameters: Parameters) -> tuple[Sequence[str], Records]:
        return await self._store.read(text, parameters, neo4j.READ_ACCESS, self._seen)

    async def _changed(self, text: str, parameters: Parameters, collections: Sequence[Any]) -> Any:  # noqa: ARG002
        raise StoreMisbehaved(f"store {self.name}: expected reads alone to be asked of what answers reads, got a write")


@dataclass(slots=True)
class Readers:
    """What reads are asked of: the guard is the leader's, whose connections they may need, too."""

    route: Neo4jRoute
    guard: Guard
    reader: Reader

    def answer(self, request: Request[Any]) -> Coroutine[Any, Any, Any]:
        self.route.reads += 1
        return self.reader.answer(request)

    def failed(self, error: StoreUnavailable | StoreTimeout) -> None:  # noqa: ARG002 - the driver has seen it, and asks for another
        self.route.failures += 1


class Neo4jRoute:
    """See ``routing.Route``. A position is bookmarks, as JSON."""

    max_lag_s: float | None = None

    def __init__(self, name: str, store: Neo4jStore, guard: Guard) -> None:
        self.name = name
        self.reads = self.failures = 0  # since the start
        self._store = store
        self._guard = guard
        self._any = Readers(self, guard, Reader(store, ()))
        store.reads_at_leader = True

    def server(self, seen: str | None) -> Readers | None:
        return self._any if seen is None else Readers(self, self._guard, Reader(self._store, orjson.loads(seen)))

    async def position(self) -> str:
        return _position(await self._store.bookmarks())

    def later(self, one: str, other: str) -> str:
        return _position({*orjson.loads(one), *orjson.loads(other)})

    def knows(self, position: str) -> bool:
        try:
            read = orjson.loads(position)
        except orjson.JSONDecodeError:
            return False
        return isinstance(read, list) and all(isinstance(bookmark, str) for bookmark in read)

    def told(self) -> Sequence[Mapping[str, Any]]:
        """Return nothing: the driver tells of no servers."""
        return ()

    def readings(self) -> Iterator[Reading]:
        labels = {"store": self.name, "replica": AUTO}
        yield Reading("replica_reads", "Reads that were asked of a replica.", self.reads, labels)
        yield Reading("replica_failures", "Reads that it did not answer.", self.failures, labels)

    async def open(self) -> None: ...

    async def close(self) -> None: ...


def _position(bookmarks: Any) -> str:
    return orjson.dumps(sorted(bookmarks)).decode() if 0 < len(bookmarks) <= BOOKMARKS_MOST else UNKNOWN


def route_of(
    name: str,
    url: str,
    primary: Store,
    replicas: Replicas,
    *,
    connect: Connect,  # noqa: ARG001 - the driver has their connections
    guard: Guard,
    protection: Protection,  # noqa: ARG001
) -> Neo4jRoute:
    """Return the route of a Neo4j cluster. ConfigError where its servers are not left to the driver, or it cannot find them."""
    assert isinstance(primary, Neo4jStore)
    if replicas.urls != (AUTO,):
        raise refuse_replicas(name, f"{AUTO}, for the driver of Neo4j asks the cluster which servers answer reads", "URLs")
    scheme = url.partition("://")[0]
    if not scheme.startswith("neo4j"):
        raise refuse_replicas(name, "a url of neo4j://, with which the driver asks which servers there are", f"{scheme}://")
    if replicas.max_lag_s is not None:
        raise refuse_lag(name, replicas.max_lag_s, "none, for Neo4j does not tell how far a server is behind")
    return Neo4jRoute(name, primary, guard)
