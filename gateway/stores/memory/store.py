"""Keep collections in plain Python: the reference for every other kind, and what tests and benchmarks of the layers above ask."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.stores.base import (
    A,
    Aggregate,
    Collection,
    Delete,
    Ends,
    Fetch,
    Get,
    Groups,
    Handlers,
    Key,
    NativeCall,
    Request,
    Row,
    Rows,
    Slice,
    Slices,
    Upsert,
    Value,
    Where,
)
from gateway.stores.described import Description, as_declared
from gateway.stores.memory.table import Table
from gateway.stores.shared import grouped, in_order_of

CALLS_KEPT = 10_000  # of ``calls``: a store that runs for days must not grow by what it was asked

_Tuple = tuple[Value, ...]


class MemoryStore:
    """A store whose rows live and die with it. Two of them never share rows, whatever their URLs.

    It keeps what it is given: a null in a column that is not nullable stays there, which is how tests come by one. In place of a value of
    another type than its column's it keeps that there was one.
    For tests too: ``calls`` holds what was asked, and every call raises ``fail_with`` while it is set.
    """

    kind = "memory"

    def __init__(self, name: str, url: str = "memory://") -> None:
        self.name = name
        self.url = url
        self.fail_with: Exception | None = None
        self.calls: list[Request[Any]] = []
        self.enforces_types = True  # until it is given a value of another type than its column's
        self._tables: dict[str, Table] = {}
        self._handlers = Handlers(
            {
                Get: self._get,
                Fetch: self._fetch,
                Aggregate: self._aggregate,
                NativeCall: self._native,
                Upsert: self._upsert,
                Delete: self._delete,
            }
        )

    async def open(self) -> None: ...

    async def ping(self) -> None:
        self._fail_if_told_to()

    async def close(self) -> None: ...

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._handlers[type(request)](request)

    async def _get(self, get: Get) -> Rows:
        self._called(get)
        table = self._table(get.collection)
        row_of = table.by_unique(get.column).get
        pick = table.picker(get.columns)
        if get.where is None:
            return {key: pick(row) for key in get.keys if (row := row_of(key)) is not None}
        test = table.test(get.where)
        return {key: pick(row) for key in get.keys if (row := row_of(key)) is not None and test(row)}

    async def _fetch(self, fetch: Fetch) -> Slices:
        assert not isinstance(fetch.match, Ends), "asked of stores that join alone"
        self._called(fetch)
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
        self._called(aggregate)
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
        self._called(call)
        query = call.native.query(self.kind)
        conditions = {collection.name: where for collection, where in call.narrowings}
        rows = query(lambda name: self._dicts(name, conditions.get(name)), call.keys, call.arguments)
        return grouped((parent, tuple(values)) for parent, *values in rows)

    async def _upsert(self, upsert: Upsert) -> None:
        self._called(upsert)
        table = self._table(upsert.collection)
        table.upsert(upsert.rows, self.name)
        self.enforces_types = self.enforces_types and table.is_sound

    async def _delete(self, delete: Delete) -> None:
        self._called(delete)
        self._table(delete.collection).delete(delete.keys)

    async def describe(self, collections: Sequence[Collection]) -> Description:
        self._fail_if_told_to()
        return as_declared(collections)

    async def migrate(self, name: str, collections: Sequence[Collection], scripts: Path | None) -> list[str]:  # noqa: ARG002 - the port's signature
        self._fail_if_told_to()
        missing = [c for c in collections if c.name not in self._tables]
        for collection in missing:
            self._table(collection)
        return [f"{name}: created collection {collection.name}" for collection in missing]

    def _called(self, request: Request[Any]) -> None:
        if len(self.calls) < CALLS_KEPT:
            self.calls.append(request)
        self._fail_if_told_to()

    def _fail_if_told_to(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with

    def _table(self, collection: Collection) -> Table:
        table = self._tables.get(collection.name)
        if table is None:
            table = self._tables[collection.name] = Table(collection)
        return table

    def _dicts(self, name: str, where: Where | None) -> list[dict[str, Value]]:
        return self._tables[name].dicts(where) if name in self._tables else []


def _first(answer: Mapping[Key | None, Sequence[Row]], most: int) -> Groups:
    """Return at most so many rows of an answer, of all parents together."""
    left: dict[Key | None, Sequence[Row]] = {}
    for parent, rows in answer.items():
        left[parent] = rows[:most]
        most -= len(left[parent])
    return left
