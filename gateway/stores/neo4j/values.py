"""From what the driver gives to wire values, and what is looked at before rows are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from functools import lru_cache
from typing import Any

from neo4j.time import Date as DriverDate
from neo4j.time import DateTime as DriverDateTime
from neo4j.time import Time as DriverTime

from gateway.errors import StoreMisbehaved
from gateway.stores.base import Collection, Column, Row, Type, Value
from gateway.stores.neo4j.forms import Decode, form_of
from gateway.stores.values import decoded


def decode_rows(decoders: Sequence[tuple[int, Decode]], rows: Iterable[Any]) -> None:
    """Bring what a statement answered into wire values, in place."""
    if not decoders:
        return
    for row in rows:
        for place, decode in decoders:
            if row[place] is not None:
                row[place] = decode(row[place])


def require_values(collection: Collection, rows: Sequence[Row]) -> None:
    required = [(i, column.name) for i, column in enumerate(collection.columns) if not column.nullable]
    for row in rows:
        if None in row:
            for i, name in required:
                if row[i] is None:
                    raise StoreMisbehaved(f"collection {collection.name}: column {name} must have a value, a row has null")


def to_wire(columns: Sequence[Column], rows: Sequence[list[Value]]) -> None:
    """Bring what a query written by hand returns into wire values, in place: it may as well have formatted them itself."""
    decode_rows([(place, decode) for place, column in enumerate(columns) if (decode := _conversion(column)) is not None], rows)


@lru_cache(maxsize=1_000)
def _conversion(column: Column) -> Decode | None:
    convert = _convert(column)
    if convert is None:
        return None
    if column.many and column.type is not Type.JSON:
        return lambda value: decoded(lambda items: [convert(item) for item in items] if isinstance(items, list) else items, value)
    return lambda value: decoded(convert, value)


def _convert(column: Column) -> Callable[[Any], Any] | None:
    match column.type:
        case Type.TIME:
            return lambda value: _wire_time(value, column.precision)
        case Type.CLOCK:
            return lambda value: _wire_clock(value, column.precision)
        case Type.DATE:
            return _wire_date
        case Type.FLOAT:
            return _wire_float
        case _:
            return form_of(column, False).decode if not column.many else None


def _wire_time(value: Any, precision: int) -> Any:
    if not isinstance(value, DriverDateTime):
        return value
    whole = value.replace(nanosecond=0).to_native()
    whole = whole.replace(tzinfo=UTC) if whole.tzinfo is None else whole.astimezone(UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + _fraction(value.nanosecond, precision) + "Z"


def _wire_clock(value: Any, precision: int) -> Any:
    if not isinstance(value, DriverTime):
        return value
    if value.tzinfo is not None and value.utcoffset():
        raise ValueError("a time of day of a zone of its own")
    return f"{value.hour:02}:{value.minute:02}:{int(value.second):02}{_fraction(value.nanosecond, precision)}"


def _fraction(nanoseconds: int, precision: int) -> str:
    """The digits of a second; all of them where there are more than asked for, which the value is then refused for."""
    digits = f"{nanoseconds:09}"
    if digits[precision:].strip("0"):
        return f".{digits}"
    return f".{digits[:precision]}" if precision else ""


def _wire_date(value: Any) -> Any:
    return value.iso_format() if isinstance(value, DriverDate) else value


def _wire_float(value: Any) -> Any:
    return float(value) if type(value) is int else value
