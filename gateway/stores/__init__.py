"""The stores by name: which kind each URL is, and every call's common rules (unique keys, splits, time, names in errors)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar, cast
from urllib.parse import urlsplit

from gateway.deadlines import Deadlines
from gateway.errors import ConfigError, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import (
    KEYS_PER_CALL,
    PAIRS_PER_CALL,
    Aggregate,
    Collection,
    Delete,
    Fetch,
    Get,
    Groups,
    Key,
    Match,
    NativeCall,
    Pairs,
    Rows,
    Slices,
    Store,
    UniqueKeys,
    Upsert,
)

READ_TIMEOUT_S = 3.0
WRITE_TIMEOUT_S = 5.0

SCHEMES = {
    "postgresql+asyncpg": "sql",
    "postgresql": "sql",
    "postgres": "sql",
    "sqlite+aiosqlite": "sql",
    "sqlite": "sql",
    "mongodb": "mongo",
    "mongodb+srv": "mongo",
    "mongodb+motor": "mongo",
    "neo4j": "neo4j",
    "neo4j+s": "neo4j",
    "neo4j+ssc": "neo4j",
    "bolt": "neo4j",
    "bolt+s": "neo4j",
    "bolt+ssc": "neo4j",
    "memory": "memory",
}

_T = TypeVar("_T")
_Q = TypeVar("_Q")
_A = TypeVar("_A", bound=Mapping[Any, Any])


def connect(
    name: str, url: str, *, pool_size: int | None = None, connect_timeout_s: float = 2.0, timeout_s: float = READ_TIMEOUT_S
) -> Store:
    """Return the store that ``url`` names, not open yet. Drivers are imported here, so that only those in use are loaded."""
    kind = SCHEMES.get(urlsplit(url).scheme)
    options: dict[str, Any] = {"connect_timeout_s": connect_timeout_s, "timeout_s": timeout_s} | (
        {} if pool_size is None else {"pool_size": pool_size}
    )
    match kind:
        case "sql":
            from gateway.stores.sql import SqlStore

            return SqlStore(name, url, **options)
        case "mongo":
            from gateway.stores.mongo import MongoStore

            return MongoStore(name, url, **options)
        case "neo4j":
            from gateway.stores.neo4j import Neo4jStore

            return Neo4jStore(name, url, **options)
        case "memory":
            from gateway.stores.memory import MemoryStore

            return MemoryStore(name, url)
    raise ConfigError(f"stores.{name}.url: expected one of {', '.join(SCHEMES)} as scheme, got '{urlsplit(url).scheme}'")


class Stores:
    """The stores of the settings by name. Equal URLs share one pool; errors carry the name that was asked.

    ``calls`` counts what reached a store, by ``"store.collection"``: a split batch counts once per part.
    """

    def __init__(self, stores: Mapping[str, Store], *, timeout_s: float = READ_TIMEOUT_S, write_timeout_s: float = WRITE_TIMEOUT_S) -> None:
        self._stores = dict(stores)
        self.timeout_s = timeout_s
        self._write_timeout_s = write_timeout_s
        self._deadlines = Deadlines()
        self.calls: Counter[str] = Counter()

    @classmethod
    def connect(
        cls,
        urls: Mapping[str, str],
        *,
        timeout_s: float = READ_TIMEOUT_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        connect_timeout_s: float = 2.0,
        pool_sizes: Mapping[str, int | None] | None = None,
    ) -> Self:
        """Return the stores of ``urls`` (name to URL), not open yet. A URL that no kind knows is a ConfigError."""
        by_url: dict[str, Store] = {}
        stores: dict[str, Store] = {}
        for name, url in urls.items():
            found = None if url.startswith("memory:") else by_url.get(url)
            if found is None:
                size = (pool_sizes or {}).get(name)
                found = by_url[url] = connect(name, url, pool_size=size, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s)
            stores[name] = found
        return cls(stores, timeout_s=timeout_s, write_timeout_s=write_timeout_s)

    def __getitem__(self, name: str) -> Store:
        try:
            return self._stores[name]
        except KeyError:
            raise LookupError(f"there is no store {name!r}; there are {', '.join(self._stores)}") from None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._stores)

    def kind(self, name: str) -> str:
        return self[name].kind

    async def open(self) -> None:
        """Open every pool. A server that is not there is no error: its calls fail until it is."""
        await asyncio.gather(*(store.open() for store in self._unique()))

    async def close(self) -> None:
        await asyncio.gather(*(store.close() for store in self._unique()), return_exceptions=True)

    def _unique(self) -> Iterable[Store]:
        return {id(store): store for store in self._stores.values()}.values()

    async def ping(self, name: str, *, timeout_s: float | None = None) -> None:
        store = self[name]
        await self._timed(name, lambda _: store.ping(), None, timeout_s)

    async def migrate(self, name: str, collections: Sequence[Collection], scripts: Path | None) -> list[str]:
        """Create what is missing in one store; one line per thing done. Without a deadline: an index may take its time."""
        return await self[name].migrate(name, collections, scripts)

    # ------------------------------------------------------------------------------------------------------------ reads

    async def get(self, get: Get, *, timeout_s: float | None = None) -> Rows:
        collection = get.collection
        parts = _unique_parts(get.keys)
        if len(parts) == 1:
            asked = get if parts[0] is get.keys else replace(get, keys=parts[0])
            self.calls[f"{collection.store}.{collection.name}"] += 1
            return await self._timed(collection.store, self[collection.store].get, asked, timeout_s)
        return _joined(await self._all(collection.store, collection.name, "get", [replace(get, keys=part) for part in parts], timeout_s))

    async def fetch(self, fetch: Fetch, *, timeout_s: float | None = None) -> Slices:
        collection, match = fetch.collection, fetch.match
        parts: Sequence[Fetch] = (fetch,)
        if isinstance(match, Match):
            keys = _unique_parts(match.keys)
            if len(keys) != 1 or keys[0] is not match.keys:
                parts = [replace(fetch, match=Match(match.column, part)) for part in keys]
        elif isinstance(match, Pairs):
            parts = [replace(fetch, match=Pairs(match.column, part)) for part in _pair_parts(match.pairs)]
        if len(parts) == 1:
            self.calls[f"{collection.store}.{collection.name}"] += 1
            return await self._timed(collection.store, self[collection.store].fetch, parts[0], timeout_s)
        return _joined(await self._all(collection.store, collection.name, "fetch", parts, timeout_s))

    async def aggregate(self, aggregate: Aggregate, *, timeout_s: float | None = None) -> Groups:
        collection, match = aggregate.collection, aggregate.match
        parts: Sequence[Aggregate] = (aggregate,)
        if match is not None:
            keys = _unique_parts(match.keys)
            if len(keys) != 1 or keys[0] is not match.keys:
                parts = [replace(aggregate, match=Match(match.column, part)) for part in keys]
        return _joined(await self._all(collection.store, collection.name, "aggregate", parts, timeout_s))

    async def native(self, call: NativeCall, *, timeout_s: float | None = None) -> Groups:
        parts = [call if keys is call.keys else replace(call, keys=keys) for keys in _unique_parts(call.keys)]
        return _joined(await self._all(call.native.store, call.native.name, "native", parts, timeout_s))

    # ----------------------------------------------------------------------------------------------------------- writes

    async def upsert(self, upsert: Upsert, *, timeout_s: float | None = None) -> None:
        if upsert.rows:
            await self._all(upsert.collection.store, upsert.collection.name, "upsert", [upsert], timeout_s or self._write_timeout_s)

    async def delete(self, delete: Delete, *, timeout_s: float | None = None) -> None:
        if delete.keys:
            await self._all(delete.collection.store, delete.collection.name, "delete", [delete], timeout_s or self._write_timeout_s)

    # ---------------------------------------------------------------------------------------------------------- helpers

    async def _all(self, name: str, what: str, method: str, parts: Sequence[Any], timeout_s: float | None) -> list[Any]:
        call: Callable[[Any], Awaitable[Any]] = getattr(self[name], method)
        self.calls[f"{name}.{what}"] += len(parts)
        if len(parts) == 1:
            return [await self._timed(name, call, parts[0], timeout_s)]
        return await asyncio.gather(*(self._timed(name, call, part, timeout_s) for part in parts))

    async def _timed(self, name: str, call: Callable[[_Q], Awaitable[_T]], asked: _Q, timeout_s: float | None) -> _T:
        """Return the answer of one call to the store ``name``, within its time."""
        seconds = self.timeout_s if timeout_s is None else timeout_s
        try:
            with self._deadlines.within(seconds):
                return await call(asked)
        except TimeoutError as exc:
            raise StoreTimeout(name, seconds) from exc
        except (StoreUnavailable, StoreTimeout) as exc:
            if exc.store == name:
                raise
            # The pool is shared by several names: the error bears the one that was asked.
            raise (StoreUnavailable(name) if isinstance(exc, StoreUnavailable) else StoreTimeout(name, exc.seconds)) from exc


def _unique_parts(keys: Sequence[Key]) -> Sequence[Sequence[Key]]:
    """Return the keys, each once, in parts of at most KEYS_PER_CALL."""
    if type(keys) is not UniqueKeys:
        unique = dict.fromkeys(keys)
        keys = keys if len(unique) == len(keys) else list(unique)
    if 0 < len(keys) <= KEYS_PER_CALL:
        return (keys,)
    return [keys[start : start + KEYS_PER_CALL] for start in range(0, len(keys), KEYS_PER_CALL)]


def _pair_parts(pairs: Sequence[tuple[Key, Key]]) -> Iterator[list[tuple[Key, Key]]]:
    """Split between parents only, so that each parent's page comes from one call, however many pairs it has."""
    by_parent: dict[Key, dict[Key, None]] = {}
    for parent, key in pairs:
        by_parent.setdefault(parent, {})[key] = None
    part: list[tuple[Key, Key]] = []
    parents = 0
    for parent, keys in by_parent.items():
        if part and (len(part) + len(keys) > PAIRS_PER_CALL or parents == KEYS_PER_CALL):
            yield part
            part, parents = [], 0
        part.extend((parent, key) for key in keys)
        parents += 1
    if part:
        yield part


def _joined(answers: Sequence[_A]) -> _A:
    if len(answers) == 1:
        return answers[0]
    joined: dict[Any, Any] = {}
    for answer in answers:
        if joined.keys() & answer.keys():
            raise StoreMisbehaved("two parts of a split batch answered for the same key")
        joined.update(answer)
    return cast("_A", joined)
