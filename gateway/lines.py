"""From a line of NDJSON to the columns of its row, as wire values; what is wrong with it is said in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import orjson

from gateway.graph.datasets import Dataset, Line
from gateway.stores.base import Collection, Column, Type, Value
from gateway.stores.types import NO_VALUE, value_of

LINE_LIMIT_BYTES = 16 * 1024 * 1024
JSON_DEPTH = 64


class Wrong(Exception):
    """What is wrong with a line; the caller knows which one it is."""


class _WrongValue(ValueError):
    """A value is not what its column holds."""


_MISSING: Any = object()


def line_reader(dataset: Dataset) -> Callable[[bytes], Line]:
    """Return the function that turns a line's bytes into its columns; it raises Wrong."""
    collection = dataset.collection
    columns = [(c.name, c.nullable, *_converter(c, is_key=c.name in collection.key or c.refers is not None)) for c in collection.columns]
    defaults = {c.name: _default(c, dataset) for c in collection.columns}

    def read(text: bytes) -> Line:
        fields = _object(text)
        may_hold_nul = b"\\u0000" in text
        line: dict[str, Value] = {}
        for name, nullable, expected, convert in columns:
            value = fields.get(name, _MISSING)
            if value is _MISSING:
                if defaults[name] is _MISSING:
                    raise Wrong(f"{name}: expected {expected}, got nothing")
                value = defaults[name]
                line[name] = list(value) if type(value) is tuple else value
            elif value is None and nullable:
                line[name] = None
            else:
                try:
                    line[name] = convert(value)
                except _WrongValue:
                    raise Wrong(f"{name}: expected {expected}, got {shown(value)}") from None
                if may_hold_nul and _holds_nul(value):
                    raise Wrong(f"{name}: expected text without NUL characters, got {shown(value)}")
        for name, source in dataset.same_as.items():
            if name not in fields:
                line[name] = line[source]
        return line

    return read


def _default(column: Column, dataset: Dataset) -> Value:
    if column.name in dataset.same_as or column.nullable or column.default is not None:
        return column.default
    return _MISSING


def _object(text: bytes) -> dict[str, Value]:
    if len(text) > LINE_LIMIT_BYTES:
        raise Wrong(f"expected a line of at most {LINE_LIMIT_BYTES} bytes")
    try:
        fields = orjson.loads(text.rstrip())
    except orjson.JSONDecodeError as error:
        why = str(error).partition(": line ")[0]
        raise Wrong(
            f"expected a JSON object, got {_cut(repr(text.decode(errors='replace').strip()))}: {why} (column {error.colno})"
        ) from None
    if not isinstance(fields, dict):
        raise Wrong(f"expected a JSON object, got {shown(fields)}")
    return fields


def _converter(column: Column, *, is_key: bool) -> tuple[str, Callable[[Any], Value]]:
    """Return (what is expected, in words; the function to the wire value, which raises _WrongValue)."""
    if column.many and column.type is not Type.TEXTS:
        expected, convert = _converter(column.item, is_key=False)
        return f"a list, each item of it {expected}", lambda value: _list(value, convert)
    match column.type:
        case Type.TEXT if is_key:
            return "text that is not empty", _key_text
        case Type.TEXT:
            return "text", _text
        case Type.BOOL:
            return "true or false", _bool
        case Type.INT:
            return "a whole number of 64 bits", _int
        case Type.FLOAT:
            return "a number", _float
        case Type.TIME:
            return "an RFC 3339 time such as 2010-03-08T23:51:42.175Z", partial(wire_time, precision=column.precision)
        case Type.DATE:
            return "a date such as 1985-09-20", wire_date
        case Type.JSON:
            return f"JSON with whole numbers of 64 bits, at most {JSON_DEPTH} deep", _json
        case Type.TEXTS:
            return "a list of texts", _texts
        case Type.ENUM:
            return f"one of {', '.join(column.values)}", partial(_read, column)
        case Type.DECIMAL | Type.CLOCK | Type.UUID | Type.OBJECT_ID | Type.BYTES:
            return _EXPECTED[column.type], partial(_read, column)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _WrongValue
    return value


def _key_text(value: Any) -> str:
    if type(value) is not str or not value:
        raise _WrongValue
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _WrongValue
    return value


def _int(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _WrongValue
    return value


def _float(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise _WrongValue
    return float(value)


_WIRE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


_EXPECTED = {
    Type.DECIMAL: "a decimal number as text, such as 13.86",
    Type.CLOCK: "a time of a day such as 23:51:42",
    Type.UUID: "a uuid such as 123e4567-e89b-12d3-a456-426614174000",
    Type.OBJECT_ID: "an ObjectId of 24 hexadecimal digits",
    Type.BYTES: "bytes in base64",
}


def _read(column: Column, value: Any) -> Value:
    found = value_of(column, value)
    if found is NO_VALUE:
        raise _WrongValue
    return found


def _list(value: Any, convert: Callable[[Any], Value]) -> list[Value]:
    if type(value) is not list:
        raise _WrongValue
    return [convert(item) for item in value]


def wire_time(value: Any, precision: int = 3) -> str:
    """Return a time of RFC 3339 in UTC with exactly ``precision`` decimals; further ones are cut off."""
    found = _RFC_3339.fullmatch(value.upper()) if type(value) is str else None
    if found is None:
        raise _WrongValue
    try:
        moment = datetime.fromisoformat(value.upper())
        if precision == 3 and _WIRE_TIME.fullmatch(value):
            return found[0]
        digits = (found[1] or ".")[1 : precision + 1]
        whole: str = moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00")
        return f"{whole}{'.' if precision else ''}{digits:0<{precision}}Z"
    except (ValueError, OverflowError):
        raise _WrongValue from None


def wire_date(value: Any) -> str:
    if type(value) is not str or not _DATE.fullmatch(value):
        raise _WrongValue
    try:
        date.fromisoformat(value)
    except ValueError:
        raise _WrongValue from None
    return value


def _texts(value: Any) -> list[str]:
    if type(value) is not list or any(type(item) is not str for item in value):
        raise _WrongValue
    return value


def _json(value: Any) -> Value:
    if value is None or not all(depth <= JSON_DEPTH and _fits(item) for item, depth in _parts(value)):
        raise _WrongValue
    return value


def _fits(value: Value) -> bool:
    return type(value) is not int or -(2**63) <= value < 2**63


def _holds_nul(value: Value) -> bool:
    return any(type(item) is str and "\x00" in item for item, _ in _parts(value))


def _parts(value: Value) -> Iterator[tuple[Value, int]]:
    """Give every value within a JSON value, names included, with its depth. No recursion: the depth is the caller's."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        yield item, depth
        if type(item) is dict:
            waiting.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif type(item) is list:
            waiting.extend((part, depth + 1) for part in item)


def picker(collection: Collection, names: Sequence[str]) -> Callable[[Line], tuple[Value, ...]]:
    unknown = set(names) - set(collection.names)
    if unknown:
        raise LookupError(f"collection {collection.name} has no column {unknown.pop()!r}")
    return lambda line: tuple([line[name] for name in names])


def shown(value: Value) -> str:
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    return _cut(orjson.dumps(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
