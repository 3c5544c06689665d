"""Answer requests from tables in plain Python, whoever has them: the store, those that are committed, or a transaction, its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.stores.base import (
    Advance,
    Aggregate,
    Bump,
    Changed,
    Claim,
    Collection,
    Delete,
    Ends,
    Fetch,
    Get,
    Groups,
    Handlers,
    Insert,
    Key,
    Lock,
    NativeCall,
    Remove,
    Row,
    Rows,
    Slice,
    Slices,
    Together,
    Update,
    Upsert,
    Value,
    Where,
    Within,
)
from gateway.stores.memory.changes import inserted, removed, updated
from gateway.stores.memory.log import advanced, bumped, claimed
from gateway.stores.memory.table import Table
from gateway.stores.shared import grouped, in_order_of

_Tuple = tuple[Value, ...]


class Answers(ABC):
    """The answer to each type of request."""

    name: str  # of the store
    kind: str

    def __init__(self) -> None:
        self._handlers = Handlers(
            {
                Get: self._get,
                Fetch: self._fetch,
                Aggregate: self._aggregate,
                NativeCall: self._native,
                Upsert: self._upsert,
                Delete: self._delete,
                Insert: self._insert,
                Together: self._together,
                Update: self._update,
                Remove: self._remove,
                Lock: self._lock,
                Within: self._within,
                Bump: self._bump,
                Advance: self._advance,
                Claim: self._claim,
            }
        )

    @abstractmethod
    def _table(self, collection: Collection) -> Table:
        """Return the rows of a collection, to be read."""

    @abstractmethod
    def _changing(self, collection: Collection) -> Table:
        """Return the rows of a collection, to be changed."""

    @abstractmethod
    def _dicts(self, name: str, where: Where | None) -> list[dict[str, Value]]:
        """Return the rows of the collection of this name for which a condition holds."""

    # ------------------------------------------------------------------------------------------------------------- reads

    async def _get(self, get: Get) -> Rows:
        table = self._table(get.collection)
        row_of = table.by_unique(get.column).get
        pick = table.picker(get.columns)
        if get.where is None:
            return {key: pick(row) for key in get.keys if (row := row_of(key)) is not None}
        test = table.test(get.where)
        return {key: pick(row) for key in get.keys if (row := row_of(key)) is not None and test(row)}

    async def _fetch(self, fetch: Fetch) -> Slices:
        assert not isinstance(fetch.match, Ends), "asked of stores that join alone"
        table = self._table(fetch.collection)
        pick = table.picker(fetch.columns)
        test = None if fetch.where is None else table.test(fetch.where)
        cut = table.cutter(fetch.order, fetch.page)

        slices: dict[Key | None, Slice] = {}
        for parent, rows in table.by_parent(fetch.match, fetch.order).items():
            matching = rows if test is None else list(filter(test, rows))
            page, more = cut(matching)
            slices[parent] = Slice(list(map(pick, page)), more, len(matching) if fetch.count else None)
        return slices

    async def _aggregate(self, aggregate: Aggregate) -> Groups:
        table = self._table(aggregate.collection)
        test = None if aggregate.where is None else table.test(aggregate.where)
        group_of = table.grouper(aggregate.groups)
        group_columns = aggregate.group_columns

        answer: dict[Key | None, list[Row]] = {}
        for parent, rows in table.by_parent(aggregate.match, ()).items():
            groups: dict[_Tuple, list[_Tuple]] = {}
            for row in rows if test is None else filter(test, rows):
                groups.setdefault(group_of(row), []).append(row)
            in_order = sorted(groups, key=in_order_of(group_columns))
            answer[parent] = [(*group, *(table.measured(m, groups[group]) for m in aggregate.measures)) for group in in_order]
        return answer if aggregate.most is None else _first(answer, aggregate.most)

    async def _native(self, call: NativeCall) -> Groups:
        query = call.native.query(self.kind)
        conditions = {collection.name: where for collection, where in call.narrowings}
        rows = query(lambda name: self._dicts(name, conditions.get(name)), call.keys, call.arguments)
        return grouped((parent, tuple(values)) for parent, *values in rows)

    async def _within(self, within: Within[Any]) -> Any:
        return await self._handlers[type(within.read)](within.read)

    async def _lock(self, lock: Lock) -> Rows:
        collection = lock.collection
        return await self._get(Get(collection, collection.names, lock.keys, collection.key_name, lock.where))

    # ------------------------------------------------------------------------------------------------------------ writes

    async def _upsert(self, upsert: Upsert) -> None:
        self._changing(upsert.collection).upsert(upsert.rows, self.name)

    async def _delete(self, delete: Delete) -> None:
        self._changing(delete.collection).delete(delete.keys)

    async def _insert(self, insert: Insert) -> Sequence[Row]:
        return inserted(self._changing(insert.collection), insert, self.name)

    async def _together(self, together: Together) -> None:
        for insert in together.inserts:
            inserted(self._changing(insert.collection), insert, self.name)

    async def _update(self, update: Update) -> Changed | None:
        return updated(self._changing(update.collection), update, self.name)

    async def _remove(self, remove: Remove) -> Changed | None:
        return removed(self._changing(remove.collection), remove)

    async def _bump(self, bump: Bump) -> Mapping[Key, int]:
        return bumped(self._changing(bump.collection), bump, self.name)

    async def _advance(self, advance: Advance) -> frozenset[Key]:
        return advanced(self._changing(advance.collection), advance, self.name)

    async def _claim(self, claim: Claim) -> Sequence[Row]:
        return claimed(self._changing(claim.collection), claim, self.name)


def _first(answer: Mapping[Key | None, Sequence[Row]], most: int) -> Groups:
    """Return at most so many rows of an answer, of all parents together."""
    left: dict[Key | None, Sequence[Row]] = {}
    for parent, rows in answer.items():
        left[parent] = rows[:most]
        most -= len(left[parent])
    return left
