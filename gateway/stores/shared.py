"""What all kinds of store do alike with the rows that they read or are to write. Pure: no I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.errors import Conflict
from gateway.stores.base import Collection, Column, Key, Page, Row, Slice, Value, slice_of
from gateway.stores.types import order_key


def grouped(items: Iterable[Sequence[Any]]) -> dict[Any, list[Any]]:
    """Return the items of each parent from pairs of parent and item; parents and items in the order in which they came."""
    groups: defaultdict[Any, list[Any]] = defaultdict(list)
    for parent, item in items:
        groups[parent].append(item)
    return dict(groups)


def grouped_by_last(rows: Sequence[Row], width: int) -> dict[Key | None, list[Row]]:
    """Return rows of ``width`` values by the parent that stands behind them."""
    # PERF: a loop of its own: 2,000 rows take 0.22 ms instead of 0.26, and three 0.6 µs instead of 1.4, than with pairs for ``grouped``.
    groups: defaultdict[Key | None, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[width]].append(row[:width])
    return dict(groups)


def grouped_by_first(rows: Sequence[Row]) -> dict[Key | None, list[Row]]:
    """Return rows by the parent that stands before their values."""
    groups: defaultdict[Key | None, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row[1:])
    return dict(groups)


def pages(groups: Mapping[Key | None, list[Row]], page: Page | None) -> dict[Key | None, Slice]:
    """Return each parent's page from the rows that were read for it: one more than asked, and in the direction of paging.

    The lists are changed: what is left of them is the pages' rows.
    """
    if page is None:
        return {parent: slice_of(rows, False) for parent, rows in groups.items()}
    limit, backward = page.limit, page.backward
    slices: dict[Key | None, Slice] = {}
    for parent, rows in groups.items():
        more = len(rows) > limit
        if more:
            del rows[limit:]
        if backward:
            rows.reverse()
        slices[parent] = slice_of(rows, more)
    return slices


def page_of(rows: list[Row], page: Page | None) -> Slice:
    """Return the page of the one parent there is, as ``pages`` does."""
    return pages({None: rows}, page)[None]


def conflict(store: str, collection: str, columns: Sequence[str]) -> Conflict:
    """Return the error of a row whose values of ``columns`` another row has, where no two may; no columns where nobody says which."""
    has = f"has the same {', '.join(columns)}" if columns else "already has a value that must be unique"
    error = Conflict(f"Another row of {collection} {has}.", store=store)
    error.collection, error.columns = collection, tuple(columns)
    return error


def nulls_last(values: Sequence[Value]) -> tuple[Any, ...]:
    """A sort key for values of columns in ascending order, nulls last: the order of the rows of an aggregate."""
    return tuple([(value is None, 0 if value is None else value) for value in values])


def in_order_of(columns: Sequence[Column]) -> Callable[[Sequence[Value]], tuple[Any, ...]]:
    """Return ``nulls_last`` for values of these columns, each by its type's order; it takes further values behind them for none."""
    keys = [order_key(column) for column in columns]
    if not any(keys):
        return lambda values: nulls_last(values[: len(keys)])

    def shown(key: Callable[[Value], Any] | None, value: Value) -> Any:
        return value if key is None or value is None or isinstance(value, Exception) else key(value)

    return lambda values: nulls_last([shown(key, value) for key, value in zip(keys, values, strict=False)])


def to_write(collection: Collection, rows: Sequence[Row]) -> list[Row]:
    """Return the rows of an upsert: the last of each key, in the order of keys.

    So two calls at once never wait for each other in a circle, and of two rows of a call the same is written first in every kind:
    one may have a unique value that another had only where that one has been written before it.
    """
    positions = [collection.names.index(name) for name in collection.key]
    by_key = {tuple([row[position] for position in positions]): row for row in rows}
    try:
        return [by_key[key] for key in sorted(by_key)]
    except TypeError:  # keys that are of no key's type, which some kinds take
        return [by_key[key] for key in sorted(by_key, key=lambda key: [(type(value).__name__, str(value)) for value in key])]
