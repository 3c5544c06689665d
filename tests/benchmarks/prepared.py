"""Answers of stores that are ready before they are asked: what is measured over them is the executor, and nothing else.

Both sorts take rows out of dictionaries, a look-up per key, in the shape their executor asks for.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, cast

from gateway.loading import load_folder
from gateway.stores import Stores
from gateway.stores.base import (
    A,
    Aggregate,
    Fetch,
    Get,
    Groups,
    Handlers,
    Match,
    Measure,
    NativeCall,
    Order,
    Page,
    Request,
    Rows,
    Slices,
)
from gateway.stores.memory import MemoryStore
from resolvers.recommendations import NATIVES, RecommendationStrategy
from schema import schema as graph
from tests.benchmarks.peers.stores import Keys
from tests.benchmarks.peers.stores import Rows as PeerRows

STORES = ("users", "posts", "events", "recommendations")
FRIENDS = NATIVES[RecommendationStrategy.FRIENDS]
COLLECTIONS = {collection.name: collection for collection in graph.collections}


async def filled(folder: Path) -> Stores:
    """Return memory stores with the rows of a folder."""
    stores = Stores({name: MemoryStore(name) for name in STORES})
    await stores.open()
    await load_folder(stores, graph.datasets, folder)
    return stores


class PreparedStore:
    """A store of the gateway whose answers are found once, key by key, in a memory store, and kept by what was asked."""

    kind = "memory"
    enforces_types = True  # of what it was prepared with

    def __init__(self, memory: MemoryStore) -> None:
        self._memory = memory
        self._kept: dict[Any, dict[Any, Any]] = {}
        self._handlers = Handlers({Get: self._get, Fetch: self._fetch, Aggregate: self._aggregate, NativeCall: self._native})

    async def open(self) -> None: ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._handlers[type(request)](request)

    async def _get(self, get: Get) -> Rows:
        kept = self._kept.setdefault((get.collection, get.columns, get.column), {})
        if missing := [key for key in get.keys if key not in kept]:
            kept.update(await self._memory.answer(Get(get.collection, get.columns, missing, get.column)))
        return {key: kept[key] for key in get.keys if key in kept}

    async def _fetch(self, fetch: Fetch) -> Slices:
        match = cast("Match | None", fetch.match)
        kept = self._kept.setdefault((fetch.collection, fetch.columns, match and match.column, fetch.where, fetch.order, fetch.page), {})
        keys: Sequence[Any] = (None,) if match is None else match.keys
        if any(key not in kept for key in keys):
            found = await self._memory.answer(fetch)
            kept.update((key, found.get(key)) for key in keys)
        return {key: part for key in keys if (part := kept[key]) is not None}

    async def _aggregate(self, aggregate: Aggregate) -> Groups:
        keys: Sequence[Any] = (None,) if aggregate.match is None else aggregate.match.keys
        kept = self._kept.setdefault((aggregate.collection, aggregate.groups, aggregate.measures, aggregate.where), {})
        if any(key not in kept for key in keys):
            found = await self._memory.answer(aggregate)
            kept.update((key, found.get(key)) for key in keys)
        return {key: rows for key in keys if (rows := kept[key]) is not None}

    async def _native(self, call: NativeCall) -> Groups:
        kept = self._kept.setdefault((call.native, tuple(call.arguments.items())), {})
        if any(key not in kept for key in call.keys):
            found = await self._memory.answer(call)
            kept.update((key, found.get(key)) for key in call.keys)
        return {key: rows for key in call.keys if (rows := kept[key]) is not None}

    async def migrate(self, *_: Any) -> list[str]:
        raise NotImplementedError


# ------------------------------------------------------------------------------------------------------------ the peers'

_PAGES = {  # as the operations ask them: collection, parent's column, rows per parent, order
    "posts_by_author": ("posts", "author_id", 10, ()),
    "posts_by_author_newest": ("posts", "author_id", 10, (Order("created_at", descending=True),)),
    "events_by_user": ("events", "user_id", 5, ()),
    "events_by_post": ("events", "post_id", 5, ()),
}


async def tables(stores: Stores) -> dict[str, Any]:
    """Return what the five operations may ask, as JSON values: rows by key, in lists with their columns' names apart."""
    result: dict[str, Any] = {}
    for name in ("users", "posts"):
        collection = COLLECTIONS[name]
        rows = (await stores.ask(Fetch(collection, collection.names)))[None].rows
        result[name] = {"columns": list(collection.names), "rows": [list(row) for row in rows]}
    for name, (what, by, first, order) in _PAGES.items():
        collection = COLLECTIONS[what]
        parents = result["posts" if by == "post_id" else "users"]["rows"]
        found = await stores.ask(Fetch(collection, collection.names, Match(by, [row[0] for row in parents]), None, order, Page(first)))
        result[name] = {"columns": list(collection.names), "groups": {key: [list(r) for r in part.rows] for key, part in found.items()}}
    users = [row[0] for row in result["users"]["rows"]]
    measures = (Measure("count"), Measure("min", "occurred_at"), Measure("max", "occurred_at"))
    stats = await stores.ask(Aggregate(COLLECTIONS["events"], ("type",), measures, Match("user_id", users)))
    result["stats"] = {
        "columns": ["user_id", "type", "count", "first_at", "last_at"],
        "groups": {key: [[key, *row] for row in rows] for key, rows in stats.items()},
    }
    best = await stores.ask(NativeCall(FRIENDS, users, {"first": 3}))
    result["recommendations"] = {
        "columns": ["k", "post_id", "score", "because"],
        "groups": {key: [[key, *row] for row in rows] for key, rows in best.items()},
    }
    return result


class PreparedPeerStores:
    """The stores of the Python peers over ``tables``; also their ``events`` and ``graph``."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._tables = found
        self._kept: dict[Any, dict[str, list[tuple[Any, ...]]]] = {}
        self.events = self.graph = self

    async def user(self, columns: tuple[str, ...], key: str) -> PeerRows:
        return self._of("users", columns, [key])

    async def users(self, columns: tuple[str, ...], first: int) -> PeerRows:
        return self._of("users", columns, [row[0] for row in self._tables["users"]["rows"][:first]])

    async def users_by_id(self, columns: tuple[str, ...], keys: Keys) -> PeerRows:
        return self._of("users", columns, keys)

    async def posts(self, columns: tuple[str, ...], first: int) -> PeerRows:
        return self._of("posts", columns, [row[0] for row in self._tables["posts"]["rows"][:first]])

    async def posts_by_id(self, columns: tuple[str, ...], keys: Keys) -> PeerRows:
        return self._of("posts", columns, keys)

    async def posts_by_author(self, columns: tuple[str, ...], keys: Keys, first: int, *, newest: bool = False) -> PeerRows:
        return self._of("posts_by_author_newest" if newest else "posts_by_author", columns, keys)

    async def by_user(self, columns: tuple[str, ...], keys: Keys, first: int) -> PeerRows:
        return self._of("events_by_user", columns, keys)

    async def by_post(self, columns: tuple[str, ...], keys: Keys, first: int) -> PeerRows:
        return self._of("events_by_post", columns, keys)

    async def stats(self, keys: Keys) -> PeerRows:
        return self._of("stats", tuple(self._tables["stats"]["columns"]), keys)

    async def recommendations(self, keys: Keys, first: int) -> PeerRows:
        return self._of("recommendations", tuple(self._tables["recommendations"]["columns"]), keys)

    def _of(self, name: str, columns: tuple[str, ...], keys: Keys) -> PeerRows:
        kept = self._kept.get((name, columns))
        if kept is None:
            kept = self._kept[name, columns] = self._picked(name, columns)
        return [row for key in keys for row in kept.get(key, ())]

    def _picked(self, name: str, columns: tuple[str, ...]) -> dict[str, list[tuple[Any, ...]]]:
        table = self._tables[name]
        groups = table.get("groups") or {row[0]: [row] for row in table["rows"]}
        slots = [table["columns"].index(column) for column in columns]
        return {key: [tuple(row[slot] for slot in slots) for row in rows] for key, rows in groups.items()}
