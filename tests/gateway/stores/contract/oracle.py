"""Work out naively what a store must answer, from records and the port's own words. It shares no code with any store.

Also: ask a store, and compare to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cmp_to_key
from typing import Any

import orjson

from gateway.stores.base import (
    EMPTY,
    Aggregate,
    And,
    Bucket,
    Collection,
    Compare,
    Ends,
    Fetch,
    Groups,
    Match,
    Not,
    Or,
    Order,
    Page,
    Pairs,
    Row,
    Slice,
    Slices,
    Store,
    Upsert,
    Value,
    Where,
)
from tests.gateway.stores.contract.world import Record

Rows = list[tuple[Value, ...]]


# ---------------------------------------------------------------------------------------------------------- ask, compare


def same(actual: object, expected: object) -> bool:
    """Whether both are equal and of equal types, down to the order of keys in JSON: True is not 1, and 1 is not 1.0."""
    assert actual == expected
    if isinstance(actual, dict) and isinstance(expected, dict):
        actual = {key: actual[key] for key in expected}  # an answer by parent has no order of parents
    assert orjson.dumps(actual, option=orjson.OPT_NON_STR_KEYS) == orjson.dumps(expected, option=orjson.OPT_NON_STR_KEYS)
    return True


def plain(rows: Iterable[Row]) -> Rows:
    return [tuple(row) for row in rows]


def column(rows: Iterable[Row]) -> list[Value]:
    """The first value of each row."""
    return [row[0] for row in rows]


async def put(store: Store, collection: Collection, *records: Record) -> None:
    """Upsert records, with null for what they do not say."""
    await store.answer(Upsert(collection, [tuple(record.get(name) for name in collection.names) for record in records]))


async def everything(store: Store, collection: Collection) -> list[Record]:
    """All records of a collection, by key."""
    names = collection.names
    return [dict(zip(names, row, strict=True)) for row in (await one(store, Fetch(collection, names))).rows]


async def one(store: Store, fetch: Fetch) -> Slice:
    """The slice of a fetch without ``match``."""
    assert fetch.match is None
    slices = await store.answer(fetch)
    assert set(slices) <= {None}, "without match the one group is None"
    return slices.get(None, EMPTY)


async def ids(store: Store, collection: Collection, where: Where | None = None, order: tuple[Order, ...] = ()) -> list[Value]:
    """The first key column of the rows that match, in order."""
    return column((await one(store, Fetch(collection, collection.key[:1], where=where, order=order))).rows)


def answered(slices: Slices, *, counted: bool = False) -> dict[str | None, tuple[Rows, bool, int | None]]:
    """Slices to compare: without the parents that have nothing, which a store may leave out or not."""
    full = {parent: (plain(s.rows), s.more, s.total if counted else None) for parent, s in slices.items()}
    return {parent: slice_ for parent, slice_ in full.items() if slice_ != ([], False, 0 if counted else None)}


def grouped(groups: Groups) -> dict[str | None, Rows]:
    return {parent: plain(rows) for parent, rows in groups.items() if rows}


# --------------------------------------------------------------------------------------------------------------- answers


def fetched(records: Sequence[Record], fetch: Fetch) -> dict[str | None, tuple[Rows, bool, int | None]]:
    """What a fetch must answer: filter, then order, then cut, parent by parent."""
    answer = {}
    for parent, of_parent in by_parent(records, fetch.match).items():
        matching = in_order([r for r in of_parent if matches(r, fetch.where)], fetch.collection, fetch.order)
        page, more = cut(matching, fetch)
        total = len(matching) if fetch.count else None
        if page or more or total:
            answer[parent] = ([tuple(r[name] for name in fetch.columns) for r in page], more, total)
    return answer


def by_parent(records: Sequence[Record], match: Match | Pairs | Ends | None) -> dict[str | None, list[Record]]:
    assert not isinstance(match, Ends), "their edges are no records here"
    if match is None:
        return {None: list(records)}
    if isinstance(match, Match):
        return {key: [r for r in records if r[match.column] == key] for key in match.keys}
    parents = dict.fromkeys(parent for parent, _ in match.pairs)
    return {parent: [r for r in records if (parent, r[match.column]) in set(match.pairs)] for parent in parents}


def matches(record: Record, where: Where | None) -> bool:
    match where:
        case None:
            return True
        case And(items):
            return all(matches(record, item) for item in items)
        case Or(items):
            return any(matches(record, item) for item in items)
        case Not(item):
            return not matches(record, item)
        case Compare(name, "ne", value):
            return not matches(record, Compare(name, "eq", value))
        case Compare(name, "eq", None):
            return record[name] is None
        case Compare(name, op, value):
            return record[name] is not None and value is not None and _OPS[op](record[name], value)
    raise AssertionError(where)


_OPS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "in": lambda a, bs: any(a == b for b in bs),
    "gt": lambda a, b: bool(a > b),
    "gte": lambda a, b: bool(a >= b),
    "lt": lambda a, b: bool(a < b),
    "lte": lambda a, b: bool(a <= b),
    "contains": lambda text, part: text.find(part) >= 0,
    "starts_with": lambda text, part: text[: len(part)] == part,
}


def in_order(records: Iterable[Record], collection: Collection, order: Sequence[Order]) -> list[Record]:
    def compared(a: Record, b: Record) -> int:
        return compare(a, b, collection, order)

    return sorted(records, key=cmp_to_key(compared))


def compare(a: Record, b: Record, collection: Collection, order: Sequence[Order]) -> int:
    """Negative when ``a`` comes before ``b``: nulls last either way, the key breaks ties."""
    for item in (*order, *(Order(name) for name in collection.key)):
        left, right = a[item.column], b[item.column]
        if left == right:
            continue
        if left is None or right is None:
            return 1 if left is None else -1
        return (-1 if left < right else 1) * (-1 if item.descending else 1)
    return 0


def cursor(record: Record, collection: Collection, order: Sequence[Order]) -> tuple[Value, ...]:
    """The record's values of the order's columns, then of the key's columns, until the key is whole; each column once."""
    names: list[str] = []
    for name in (*(item.column for item in order), *collection.key):
        if set(collection.key) <= set(names):
            break
        if name not in names:
            names.append(name)
    return tuple(record[name] for name in names)


def cut(records: list[Record], fetch: Fetch) -> tuple[list[Record], bool]:
    page = fetch.page
    if page is None:
        return records, False
    between = [r for r in records if _is_between(r, fetch, page)]
    chosen = between[-page.limit :] if page.backward else between[: page.limit]
    if page.limit == 0:
        chosen = []
    return chosen, len(between) > page.limit


def _is_between(record: Record, fetch: Fetch, page: Page) -> bool:
    def against(values: tuple[Value, ...]) -> int:
        place = dict(zip(_cursor_names(fetch), values, strict=True))
        return compare(record, {**record, **place}, fetch.collection, fetch.order)

    return (page.after is None or against(page.after) > 0) and (page.before is None or against(page.before) < 0)


def _cursor_names(fetch: Fetch) -> tuple[str, ...]:
    names: Record = {name: name for name in fetch.collection.names}
    return cursor(names, fetch.collection, fetch.order)


def aggregated(records: Sequence[Record], aggregate: Aggregate) -> dict[str | None, Rows]:
    answer = {}
    for parent, of_parent in by_parent(records, aggregate.match).items():
        groups: dict[tuple[Value, ...], list[Record]] = {}
        for record in of_parent:
            if matches(record, aggregate.where):
                groups.setdefault(tuple(_group_value(record, g) for g in aggregate.groups), []).append(record)
        rows = [(*group, *(_measured(m.function, m.column, of_group) for m in aggregate.measures)) for group, of_group in groups.items()]
        width = len(aggregate.groups)
        if rows:
            answer[parent] = sorted(rows, key=lambda row: [(v is None, v or "" if isinstance(v, str | None) else v) for v in row[:width]])
    return answer


def _group_value(record: Record, group: str | Bucket) -> Value:
    if isinstance(group, str):
        return record[group]
    if record[group.column] is None:
        return None
    time = datetime.fromisoformat(record[group.column]).replace(microsecond=0, second=0, minute=0, tzinfo=None)
    match group.interval:
        case "day":
            time = time.replace(hour=0)
        case "week":
            time = time.replace(hour=0) - timedelta(days=time.weekday())
        case "month":
            time = time.replace(hour=0, day=1)
    return time.isoformat(timespec="milliseconds") + "Z"


def _measured(function: str, name: str | None, records: list[Record]) -> Value:
    if name is None:
        return len(records)
    values: list[Any] = [r[name] for r in records if r[name] is not None]
    if not values:
        return None
    if function in ("min", "max"):
        return min(values) if function == "min" else max(values)
    exact = sum(map(Fraction, values))
    total = int(exact) if type(values[0]) is int else float(exact)
    if function == "sum":
        return total
    return float(exact / len(values)) if type(total) is int else total / len(values)
