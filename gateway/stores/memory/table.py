"""The rows of one collection, as tuples in the order of its columns, by key.

Everything else (rows by a column, rows in an order) is derived from them when first asked, and forgotten by the next write.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from math import fsum, inf
from operator import ge, gt, itemgetter, le, lt
from typing import Any, TypeVar

import orjson

from gateway.stores.base import (
    And,
    Bucket,
    Collection,
    Column,
    Compare,
    Interval,
    Key,
    Match,
    Measure,
    Not,
    Or,
    Order,
    Page,
    Pairs,
    Row,
    Type,
    Value,
    Where,
    rank,
    ranker,
    total_order,
)
from gateway.stores.measures import decimal_sum, finished
from gateway.stores.shared import conflict, grouped, to_write
from gateway.stores.types import INFINITY, MINUS_INFINITY, KeyForm, join_key, key_text, key_value, order_key, shown_year
from gateway.stores.values import Unreadable, checks_of, decoded, found_in_place_of

_Tuple = tuple[Value, ...]
_Test = Callable[[_Tuple], bool]
_T = TypeVar("_T")


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


class Table:
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
        changed = dict(self._rows)
        for key in keys:
            changed.pop(tuple(key), None)
        self._rows = changed
        self._derived.clear()

    def change(self, changes: Sequence[tuple[_Tuple | None, Row]], store: str) -> list[_Tuple]:
        """Put new rows in the place of those before them, or beside all where there is none; return them. All of them, or none."""
        key_of = self.picker(self.collection.key)
        changed = dict(self._rows)
        indexes = [index.columns for index in self.collection.indexes if index.unique]
        unique = [(columns, _Unique(self.picker(columns), changed)) for columns in indexes]
        rows = self._sound([self._stored(row) for _, row in changes])
        for (before, _), row in zip(changes, rows, strict=True):
            key = key_of(row)
            if before is not None:
                del changed[key_of(before)]
            if key in changed:
                raise conflict(store, self.collection.name, self.collection.key)
            for columns, values in unique:
                if not values.take(before, row):
                    raise conflict(store, self.collection.name, columns)
            changed[key] = row
        self._rows = changed
        self._derived.clear()
        return rows

    def copy(self) -> Table:
        """Return a table with the same rows, whose changes are its own."""
        table = Table(self.collection)
        table._rows, table.is_sound = self._rows, self.is_sound  # rows are never changed in place
        return table

    def _sound(self, rows: list[_Tuple]) -> list[_Tuple]:
        if checks_of(self.collection, self.collection.names).hold(rows):
            return rows
        self.is_sound = False
        return [tuple(map(_kept, self.collection.columns, row)) for row in rows]

    def _stored(self, row: Row) -> _Tuple:
        """The row with lists and JSON of its own, so that a later change of the caller's values changes nothing here."""
        columns = zip(row, self.collection.columns, strict=True)
        return tuple(_copied(v) if (c.many or c.type is Type.JSON) and v is not None else v for v, c in columns)

    # ----------------------------------------------------------------------------------------------------------- derived

    def by_unique(self, column: str) -> dict[Key | None, _Tuple]:
        key_of = self._key_of(column)
        return self._derive(("unique", column), lambda: {key_of(row): row for row in self._rows.values()})

    def by_key(self, key: tuple[Key, ...]) -> _Tuple | None:
        """The row of a key, one text per column; None where there is none."""
        columns = [self.collection[name] for name in self.collection.key]
        if any(column.type is Type.DECIMAL for column in columns):  # whose texts as keys are not their values
            return self.by_unique(self.collection.key_name).get(join_key(key) if len(key) > 1 else key[0])
        return self._rows.get(tuple([key_value(column, text) for column, text in zip(columns, key, strict=True)]))

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

    def _by_column(self, column: str, order: tuple[Order, ...]) -> dict[Key | None, list[_Tuple]]:
        key_of = self._key_of(column)
        return self._derive(("by column", column, order), lambda: grouped((key_of(row), row) for row in self._in_order(order)))

    def _key_of(self, column: str) -> Callable[[_Tuple], Key | None]:
        """A function from a row to the key that it has in a column, or in several with commas between their names."""
        form = KeyForm(self.collection.columns_of(column))
        if form.is_plain:
            return itemgetter(self._place_of(column))
        pick = self.picker(tuple(item.name for item in form.columns))
        return lambda row: form.text(pick(row))

    def _by_pairs(self, match: Pairs, order: tuple[Order, ...]) -> dict[Key | None, list[_Tuple]]:
        # A row's number in the order of all rows: numbers are quicker to sort than rows, and a set of them has no row twice.
        in_order = self._in_order(order)
        key_of = self._key_of(match.column)
        numbers_of = self._derive(
            ("numbers", match.column, order), lambda: grouped((key_of(row), number) for number, row in enumerate(in_order))
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
                return _compare(where, self._place_of(where.column), self.collection[where.column])
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
        rank_of = self._rank_of(total)
        after = None if page.after is None else rank_of(page.after)
        before = None if page.before is None else rank_of(page.before)

        def cut(rows: list[_Tuple]) -> tuple[list[_Tuple], bool]:
            start = 0 if after is None else bisect_right(rows, after, key=ranker)
            end = len(rows) if before is None else bisect_left(rows, before, key=ranker)
            if page.backward:
                return rows[max(start, end - page.limit) : end], end - start > page.limit
            return rows[start : min(end, start + page.limit)], end - start > page.limit

        return cut

    def grouper(self, groups: tuple[str | Bucket, ...]) -> Callable[[_Tuple], _Tuple]:
        """A function from a row to the values that it is grouped by."""
        parts = [_grouping(self._place_of(name), self.collection[name], group) for group in groups for name in (_column_of(group),)]
        return lambda row: tuple([part(row) for part in parts])

    def measured(self, measure: Measure, rows: list[_Tuple]) -> Value:
        if measure.column is None:
            return len(rows)
        place = self._place_of(measure.column)
        values: list[Any] = [row[place] for row in rows if row[place] is not None]
        column = self.collection[measure.column]
        if measure.function in ("min", "max"):
            return (min if measure.function == "min" else max)(values, default=None, key=order_key(column))
        if not values:
            return None
        match column.type:
            case Type.INT:
                total: Any = sum(values)
            case Type.DECIMAL:
                total = decimal_sum(values)
            case _:
                total = _float_sum(values)
        return finished(self.collection, measure, total, len(values))

    def _ranker(self, order: tuple[Order, ...]) -> Callable[[_Tuple], tuple[Any, ...]]:
        total = total_order(self.collection, order)
        pick = self.picker(tuple(item.column for item in total))
        rank_of = self._rank_of(total)
        return lambda row: rank_of(pick(row))

    def _rank_of(self, total: tuple[Order, ...]) -> Callable[[Sequence[Value]], tuple[Any, ...]]:
        if self.is_sound and not any(order_key(self.collection[item.column]) for item in total):
            return lambda values: rank(values, total)
        return ranker(self.collection, total)

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


def _column_of(group: str | Bucket) -> str:
    return group if isinstance(group, str) else group.column


def _grouping(place: int, column: Column, group: str | Bucket) -> Callable[[_Tuple], Value]:
    """Return the function from a row to its value in one group: of equal DECIMALs the shortest."""
    if isinstance(group, Bucket):
        interval, precision = group.interval, column.precision
        return lambda row: bucket(row[place], interval, precision)
    text = key_text(column) if column.type is Type.DECIMAL and column.scale is None else None
    if text is None:
        return itemgetter(place)
    return lambda row: row[place] if row[place] is None or isinstance(row[place], Unreadable) else text(row[place])


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
    "contains": lambda text, part: part in text,
    "starts_with": lambda text, part: text.startswith(part),
    "has": lambda items, item: item in items,
    "has_any": lambda items, some: any(item in items for item in some),
    "is_empty": lambda items, _: not items,
}


def _compare(where: Compare, place: int, column: Column) -> _Test:
    wanted = where.value
    if wanted is None:
        is_null = {"eq": lambda row: row[place] is None, "ne": lambda row: row[place] is not None}
        return is_null.get(where.op, lambda _: False)
    equal = _compared(column)
    if where.op in ("eq", "ne", "in"):
        values = {equal(value) for value in wanted if value is not None} if where.op == "in" else {equal(wanted)}
        is_negated = where.op == "ne"
        return lambda row: (_is(row[place]) and equal(row[place]) in values) is not is_negated
    compare = _COMPARISONS[where.op]
    if column.many:
        if where.op != "is_empty":
            wanted = equal(wanted) if where.op == "has" else list(map(equal, wanted))
        return lambda row: _is(row[place]) and compare(list(map(equal, row[place])), wanted)
    key = order_key(column)
    if key is None:
        return lambda row: _is(row[place]) and compare(row[place], wanted)
    bound = key(wanted)
    return lambda row: _is(row[place]) and compare(key(row[place]), bound)


def _is(value: Value) -> bool:
    return value is not None and not isinstance(value, Unreadable)


def _compared(column: Column) -> Callable[[Value], Any]:
    """Return what makes equal values one, and others two."""
    if column.type is Type.DECIMAL:
        return order_key(column) or _itself
    return str.lower if column.collation == "nocase" else _itself


def _itself(value: Value) -> Value:
    return value


@lru_cache(maxsize=10_000)
def bucket(time: Any, interval: Interval, precision: int = 3) -> Any:
    """The start of the UTC hour, day, week (Monday) or month that ``time`` falls in; None for None."""
    if time is None or isinstance(time, Unreadable) or time in (INFINITY, MINUS_INFINITY):
        return time
    rest = f"{'.' if precision else ''}{'0' * precision}Z"
    day, clock = time.split("T")
    if interval == "hour":
        return f"{day}T{clock[:2]}:00:00{rest}"
    year, month = day[:-6], day[-6:-3]
    if interval == "month":
        return f"{year}{month}-01T00:00:00{rest}"
    if interval == "week":
        # The calendar is the same every 400 years, weekdays too.
        cycles, of_cycle = divmod(int(year) - 2000, 400)
        first = date.fromisoformat(f"{of_cycle + 2000}{day[-6:]}")
        first -= timedelta(days=first.weekday())
        day = f"{shown_year(first.year + 400 * cycles)}{first:-%m-%d}"
    return f"{day}T00:00:00{rest}"
