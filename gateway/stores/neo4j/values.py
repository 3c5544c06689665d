"""From what the driver gives to wire values, and what is looked at before rows are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import orjson
from neo4j.time import Date as DriverDate
from neo4j.time import DateTime as DriverTime

from gateway.errors import StoreMisbehaved
from gateway.stores.base import Collection, Column, Row, Type, Value
from gateway.stores.values import decoded


def load_json(collection: Collection, columns: Sequence[str], rows: Any) -> None:
    places = [i for i, name in enumerate(columns) if collection[name].type is Type.JSON]
    for i in places:
        for row in rows:
            if row[i] is not None:
                row[i] = decoded(_wire_json, row[i])


def require_values(collection: Collection, rows: Sequence[Row]) -> None:
    required = [(i, column.name) for i, column in enumerate(collection.columns) if not column.nullable]
    for row in rows:
        if None in row:
            for i, name in required:
                if row[i] is None:
                    raise StoreMisbehaved(f"collection {collection.name}: column {name} must have a value, a row has null")


def to_wire(columns: Sequence[Column], rows: Sequence[list[Value]]) -> None:
    """Bring what a query written by hand returns into wire values, in place: it may as well have formatted them itself."""
    for i, column in enumerate(columns):
        convert = _CONVERSIONS.get(column.type)
        if convert is None:
            continue
        for row in rows:
            if row[i] is not None:
                row[i] = decoded(convert, row[i])


def _wire_time(value: Any) -> Any:
    if not isinstance(value, DriverTime):
        return value
    return value.to_native().astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _wire_date(value: Any) -> Any:
    return value.iso_format() if isinstance(value, DriverDate) else value


def _wire_json(value: Any) -> Any:
    if isinstance(value, str):
        return orjson.loads(value)
    orjson.dumps(value)  # a list, say; a moment or a point is none
    return value


def _wire_float(value: Any) -> Any:
    return float(value) if type(value) is int else value


_CONVERSIONS: Mapping[Type, Any] = {Type.TIME: _wire_time, Type.DATE: _wire_date, Type.JSON: _wire_json, Type.FLOAT: _wire_float}
