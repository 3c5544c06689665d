"""Keep collections in plain Python: the reference for every other kind, and what tests and benchmarks of the layers above ask.

Rows are tuples in the order of the collection's columns. Everything else (rows by a column, rows in an order) is derived
from them when first asked, and forgotten by the next write.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from math import fsum, inf
from operator import ge, gt, itemgetter, le, lt
from pathlib import Path
from typing import Any, TypeVar

import orjson

from gateway.stores.base import (
    A,
    Aggregate,
    And,
    Bucket,
    Collection,
    Column,
    Compare,
    Delete,
    Fetch,
    Get,
    Groups,
    Handlers,
    Interval,
    Key,
    Match,
    Measure,
    NativeCall,
    Not,
    Or,
    Order,
    Page,
    Pairs,
    Request,
    Row,
    Rows,
    Slice,
    Slices,
    Type,
    Upsert,
    Value,
    Where,
    rank,
    total_order,
)
from gateway.stores.described import Description, as_declared
from gateway.stores.measures import finished
from gateway.stores.shared import conflict, grouped, nulls_last, to_write
from gateway.stores.values import Unreadable, checks_of, decoded, found_in_place_of

CALLS_KEPT = 10_000  # of ``calls``: a store that runs for days must not grow by what it was asked

_Tuple = tuple[Value, ...]
_Test = Callable[[_Tuple], bool]
_T = TypeVar("_T")


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
        self._tables: dict[str, _Table] = {}
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

        answer: dict[Key | None, list[Row]] = {}
        for parent, rows in table.by_parent(aggregate.match, ()).items():
            groups: dict[_Tuple, list[_Tuple]] = {}
            for row in rows if test is None else filter(test, rows):
                groups.setdefault(group_of(row), []).append(row)
            in_order = sorted(groups, key=nulls_last)
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

    def _table(self, collection: Collection) -> _Table:
        table = self._tables.get(collection.name)
        if table is None:
            table = self._tables[collection.name] = _Table(collection)
        return table

    def _dicts(self, name: str, where: Where | None) -> list[dict[str, Value]]:
        return self._tables[name].dicts(where) if name in self._tables else []


class _Unique:
    """The values of a unique index that are taken, while rows are written one after the other. Nulls are equal to none."""

    def __init__(self, pick: Callable[[_Tuple], _Tuple], rows: Mapping[_Tuple, _Tuple]) -> None:
        self._pick = pick
        self._taken = set(map(pick, rows.values()))

    def take(self, old: _Tuple | None, new: _Tuple) -> bool:
        """Take a row's values in place of those it had; False where another row has them at this moment."""
        if old is not None:
            self._taken.discard(self._pick(old))
        values = self._pick(new)
        if None not in values:
            if values in self._taken:
                return False
            self._taken.add(values)
        return True


class _Table:
    """The rows of one collection by key, and what was derived from them since the last write."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._place = {name: i for i, name in enumerate(collection.names)}
        self._pickers: dict[tuple[str, ...], Callable[[_Tuple], _Tuple]] = {}
        self._rows: dict[_Tuple, _Tuple] = {}
        self._derived: dict[Hashable, Any] = {}
        self.is_sound = True  # every value that it was given was of its column's type

    # ------------------------------------------------------------------------------------------------------------ writes

    def upsert(self, rows: Sequence[Row], store: str) -> None:
        key_of = self.picker(self.collection.key)
        changed = dict(self._rows)
        indexes = [index.columns for index in self.collection.indexes if index.unique]
        unique = [(columns, _Unique(self.picker(columns), changed)) for columns in indexes]
        for row in self._sound(list(map(self._stored, to_write(self.collection, rows)))):
            key = key_of(row)
            for columns, values in unique:
                if not values.take(changed.get(key), row):
                    raise conflict(store, self.collection.name, columns)
            changed[key] = row
        self._rows = changed
        self._derived.clear()

    def delete(self, keys: Iterable[tuple[Key, ...]]) -> None:
        for key in keys:
            self._rows.pop(tuple(key), None)
        self._derived.clear()

    def _sound(self, rows: list[_Tuple]) -> list[_Tuple]:
        if checks_of(self.collection, self.collection.names).hold(rows):
            return rows
        self.is_sound = False
        return [tuple(map(_kept, self.collection.columns, row)) for row in rows]

    def _stored(self, row: Row) -> _Tuple:
        """The row with lists and JSON of its own, so that a later change of the caller's values changes nothing here."""
        columns = zip(row, self.collection.columns, strict=True)
        return tuple(_copied(v) if c.type in (Type.JSON, Type.TEXTS) and v is not None else v for v, c in columns)

    # ----------------------------------------------------------------------------------------------------------- derived

    def by_unique(self, column: str) -> dict[Value, _Tuple]:
        place = self._place_of(column)
        return self._derive(("unique", column), lambda: {row[place]: row for row in self._rows.values()})

    def by_parent(self, match: Match | Pairs | None, order: tuple[Order, ...]) -> Mapping[Key | None, list[_Tuple]]:
        """All rows of each parent that has some, in the total order."""
        if isinstance(match, Match):
            rows_of = self._by_column(match.column, order).get
            return {key: rows for key in match.keys if (rows := rows_of(key))}
        if isinstance(match, Pairs):
            return self._by_pairs(match, order)
        in_order = self._in_order(order)
        return {None: in_order} if in_order else {}

    def dicts(self, where: Where | None) -> list[dict[str, Value]]:
        names = self.collection.names
        if where is not None:
            return [dict(zip(names, row, strict=True)) for row in filter(self.test(where), self._rows.values())]
        return self._derive("dicts", lambda: [dict(zip(names, row, strict=True)) for row in self._rows.values()])

    def _in_order(self, order: tuple[Order, ...]) -> list[_Tuple]:
        return self._derive(("in order", order), lambda: sorted(self._rows.values(), key=self._ranker(order)))

    def _by_column(self, column: str, order: tuple[Order, ...]) -> dict[Value, list[_Tuple]]:
        place = self._place_of(column)
        return self._derive(("by column", column, order), lambda: grouped((row[place], row) for row in self._in_order(order)))

    def _by_pairs(self, match: Pairs, order: tuple[Order, ...]) -> dict[Key | None, list[_Tuple]]:
        # A row's number in the order of all rows: numbers are quicker to sort than rows, and a set of them has no row twice.
        in_order = self._in_order(order)
        place = self._place_of(match.column)
        numbers_of = self._derive(
            ("numbers", match.column, order), lambda: grouped((row[place], number) for number, row in enumerate(in_order))
        )
        found: dict[Key | None, set[int]] = {}
        for parent, key in match.pairs:
            if key in numbers_of:
                found.setdefault(parent, set()).update(numbers_of[key])
        return {parent: [in_order[number] for number in sorted(numbers)] for parent, numbers in found.items()}

    def _derive(self, name: Hashable, make: Callable[[], _T]) -> _T:
        if name not in self._derived:
            self._derived[name] = make()
        derived: _T = self._derived[name]
        return derived

    # ---------------------------------------------------------------------------------------------- functions over a row

    def picker(self, columns: tuple[str, ...]) -> Callable[[_Tuple], _Tuple]:
        """A function from a row to its values of these columns."""
        pick = self._pickers.get(columns)
        if pick is None:
            pick = self._pickers[columns] = _picker([self._place_of(name) for name in columns])
        return pick

    def test(self, where: Where) -> _Test:
        """A function from a row to whether it matches."""
        match where:
            case Compare():
                return _compare(where, self._place_of(where.column))
            case Not():
                test = self.test(where.item)
                return lambda row: not test(row)
            case And():
                tests = [self.test(item) for item in where.items]
                return lambda row: all(test(row) for test in tests)
            case Or():
                tests = [self.test(item) for item in where.items]
                return lambda row: any(test(row) for test in tests)

    def cutter(self, order: tuple[Order, ...], page: Page | None) -> Callable[[list[_Tuple]], tuple[list[_Tuple], bool]]:
        """A function from all rows of a parent, in order, to those of the page and whether there are more in its direction."""
        if page is None:
            return lambda rows: (rows, False)
        total = total_order(self.collection, order)
        ranker = self._ranker(order)
        after = None if page.after is None else rank(page.after, total)
        before = None if page.before is None else rank(page.before, total)

        def cut(rows: list[_Tuple]) -> tuple[list[_Tuple], bool]:
            start = 0 if after is None else bisect_right(rows, after, key=ranker)
            end = len(rows) if before is None else bisect_left(rows, before, key=ranker)
            if page.backward:
                return rows[max(start, end - page.limit) : end], end - start > page.limit
            return rows[start : min(end, start + page.limit)], end - start > page.limit

        return cut

    def grouper(self, groups: tuple[str | Bucket, ...]) -> Callable[[_Tuple], _Tuple]:
        """A function from a row to the values that it is grouped by."""
        parts = [(self._place_of(g), None) if isinstance(g, str) else (self._place_of(g.column), g.interval) for g in groups]
        return lambda row: tuple(row[place] if interval is None else bucket(row[place], interval) for place, interval in parts)

    def measured(self, measure: Measure, rows: list[_Tuple]) -> Value:
        if measure.column is None:
            return len(rows)
        place = self._place_of(measure.column)
        values: list[Any] = [row[place] for row in rows if row[place] is not None]
        if measure.function in ("min", "max"):
            return (min if measure.function == "min" else max)(values, default=None)
        if not values:
            return None
        is_whole = self.collection[measure.column].type is Type.INT
        return finished(self.collection, measure, sum(values) if is_whole else _float_sum(values), len(values))

    def _ranker(self, order: tuple[Order, ...]) -> Callable[[_Tuple], tuple[Any, ...]]:
        total = total_order(self.collection, order)
        pick = self.picker(tuple(item.column for item in total))
        return lambda row: rank(pick(row), total)

    def _place_of(self, column: str) -> int:
        place = self._place.get(column)
        return place if place is not None else self._place[self.collection[column].name]  # the collection says what it has


def _copied(value: Value) -> Value:
    return decoded(lambda value: orjson.loads(orjson.dumps(value)), value)


def _kept(column: Column, value: Value) -> Value:
    found = found_in_place_of(column, value)
    return value if found is None else value if isinstance(value, Unreadable) else Unreadable(found)


def _picker(places: list[int]) -> Callable[[_Tuple], _Tuple]:
    match places:
        case []:
            return lambda _: ()
        case [place]:
            return lambda row: (row[place],)  # itemgetter would give the value itself
        case _:
            return itemgetter(*places)


def _float_sum(values: list[float]) -> float:
    try:
        return fsum(values)
    except OverflowError:
        return inf


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
    "contains": lambda text, part: part in text,
    "starts_with": lambda text, part: text.startswith(part),
}


def _compare(where: Compare, place: int) -> _Test:
    wanted = where.value
    if where.op == "eq":  # Python's own equality is right for null: None equals None alone
        return lambda row: row[place] == wanted
    if where.op == "ne":
        return lambda row: row[place] != wanted
    if wanted is None:
        return lambda _: False
    if where.op == "in":
        values = {value for value in wanted if value is not None}
        return lambda row: row[place] in values
    compare = _COMPARISONS[where.op]

    def holds(row: _Tuple) -> bool:
        value = row[place]
        return value is not None and not isinstance(value, Unreadable) and compare(value, wanted)

    return holds


@lru_cache(maxsize=10_000)
def bucket(time: Any, interval: Interval) -> Any:
    """The start of the UTC hour, day, week (Monday) or month that ``time`` falls in; None for None."""
    if time is None or isinstance(time, Unreadable):
        return time
    if interval == "hour":
        return f"{time[:13]}:00:00.000Z"
    if interval == "month":
        return f"{time[:7]}-01T00:00:00.000Z"
    day = datetime.fromisoformat(time[:10])
    if interval == "week":
        day -= timedelta(days=day.weekday())
    return f"{day.date().isoformat()}T00:00:00.000Z"


def _first(answer: Mapping[Key | None, Sequence[Row]], most: int) -> Groups:
    """Return at most so many rows of an answer, of all parents together."""
    left: dict[Key | None, Sequence[Row]] = {}
    for parent, rows in answer.items():
        left[parent] = rows[:most]
        most -= len(left[parent])
    return left
