"""Ask a store for the rows of one parent, in one call: nothing is batched, shared, split, timed or counted on the way.

The only file of the oracles that knows which methods a store has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.stores import Stores
from gateway.stores.base import Collection, Fetch, Get, Key, Match, Pairs
from tests.oracle.filters import Record


class Asking:
    """Rows as dictionaries of all their columns, in no order that means anything. What a store raises is raised."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def row(self, collection: Collection, column: str, key: Key) -> Record | None:
        """Return the row whose unique ``column`` is ``key``, None where there is none."""
        answer = await self._answer(Get(collection, collection.names, [key], column))
        return dict(zip(collection.names, answer[key], strict=True)) if key in answer else None

    async def rows(self, collection: Collection) -> list[Record]:
        """Return all rows."""
        return await self._fetch(Fetch(collection, collection.names), None)

    async def rows_with(self, collection: Collection, column: str, key: Key) -> list[Record]:
        """Return the rows whose ``column`` is ``key``."""
        return await self._fetch(Fetch(collection, collection.names, Match(column, [key])), key)

    async def rows_named(self, collection: Collection, parent: Key, keys: Sequence[Key]) -> list[Record]:
        """Return the rows of these keys, as what is at the other end of a parent's edges."""
        pairs = Pairs(collection.key[0], [(parent, key) for key in keys])
        return await self._fetch(Fetch(collection, collection.names, pairs), parent)

    async def _fetch(self, fetch: Fetch, group: Key | None) -> list[Record]:
        answer = await self._answer(fetch)
        rows = answer[group].rows if group in answer else ()
        return [dict(zip(fetch.collection.names, row, strict=True)) for row in rows]

    async def _answer(self, request: Get | Fetch) -> Mapping[Any, Any]:
        answer: Mapping[Any, Any] = await self._stores[request.collection.store].answer(request)
        return answer
