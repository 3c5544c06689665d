"""Which rows a write changes, as far as it says so itself: for what was kept of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.stores.base import Collection, Column, Delete, Insert, Key, Remove, Request, Together, Update, Upsert, Value
from gateway.stores.types import canonical, join_key, key_text

Home = tuple[int, str]  # a pool, and what its database calls the collection
Wrote = tuple[Home, str, Sequence[Key] | None]  # by the columns of which keys it is, and those keys; None: whichever rows


def written_by(request: Request[Any], pool: int) -> Iterator[Wrote]:
    """Give of which rows of what a write of a pool is. Nothing of what is the log's alone, which nobody reads by key."""
    match request:
        case Together():
            for insert in request.inserts:
                yield from written_by(insert, pool)
        case Upsert():
            yield _wrote(pool, request.collection, request.collection.names, request.rows)
        case Insert():
            yield _wrote(pool, request.collection, request.columns, request.rows)
        case Update() | Remove():
            yield _wrote(pool, request.collection, request.collection.key, [request.key])
        case Delete():
            yield _wrote(pool, request.collection, request.collection.key, request.keys)


def _wrote(pool: int, collection: Collection, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Wrote:
    return (pool, collection.place), collection.key_name, _keys(collection, names, rows)


def _keys(collection: Collection, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Sequence[Key] | None:
    """Return the keys of rows that have these columns; None where some cannot be told, as the database makes them."""
    if not all(name in names for name in collection.key):
        return None
    columns, places = collection.columns_of(collection.key_name), [names.index(name) for name in collection.key]
    found: list[Key] = []
    for row in rows:
        parts = [_part(column, row[place]) for column, place in zip(columns, places, strict=True)]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        found.append(known[0] if len(known) == 1 else join_key(known))
    return found


def _part(column: Column, value: Value) -> Key | None:
    """Return the key of a value, or of a text of it; None where it has none."""
    if isinstance(value, str):
        return canonical(column, value)
    text = key_text(column)
    return None if value is None or isinstance(value, Exception) or text is None else text(value)
