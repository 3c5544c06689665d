"""Change rows one by one in plain Python: inserted, updated, removed."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import BadUserInput
from gateway.stores.base import Changed, Collection, Compare, Insert, Remove, Row, Update
from gateway.stores.memory.table import Table


def inserted(table: Table, insert: Insert, store: str) -> Sequence[Row]:
    """Insert rows, and return them in the order given. Conflict where a key or a unique value is taken; nothing is inserted then."""
    collection = insert.collection
    given = dict(zip(insert.columns, range(len(insert.columns)), strict=True))
    rows = [[row[given[name]] if name in given else None for name in collection.names] for row in insert.rows]
    for row in rows:
        _require_values(collection, row)
    return table.change([(None, row) for row in rows], store)


def updated(table: Table, update: Update, store: str) -> Changed | None:
    collection = update.collection
    before = _found(table, update)
    if before is None or not _is_expected(table, update, before):
        return None if before is None else Changed(before, None, is_done=False)
    values = dict(update.values)
    row = [values.get(name, value) for name, value in zip(collection.names, before, strict=True)]
    _require_values(collection, row, tuple(values))
    [after] = table.change([(before, row)], store)
    return Changed(before, after)


def removed(table: Table, remove: Remove) -> Changed | None:
    before = _found(table, remove)
    if before is None:
        return None
    if not _is_expected(table, remove, before):
        return Changed(before, None, is_done=False)
    table.delete([table.picker(remove.collection.key)(before)])
    return Changed(before, None)


def _found(table: Table, change: Update | Remove) -> tuple[object, ...] | None:
    row = table.by_key(change.key)
    return None if row is None or (change.where is not None and not table.test(change.where)(row)) else row


def _is_expected(table: Table, change: Update | Remove, row: tuple[object, ...]) -> bool:
    return all(table.test(Compare(name, "eq", value))(row) for name, value in change.expected)


def _require_values(collection: Collection, row: Row, names: Sequence[str] | None = None) -> None:
    for column, value in zip(collection.columns, row, strict=True):
        required = not column.nullable or column.name in collection.key
        if value is None and required and (names is None or column.name in names):
            raise BadUserInput(f"Column {column.name} of {collection.name} must have a value.")
