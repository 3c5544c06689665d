"""How a wire value is kept in a MongoDB document, and how a document's values become wire values again.

TIME is a BSON date, TEXTS an array, JSON a plain document, the others are what they are. Decoding works on whole columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import bson
import orjson
from bson.binary import USER_DEFINED_SUBTYPE, Binary
from bson.dbref import DBRef
from bson.int64 import Int64

from gateway.errors import BadUserInput
from gateway.stores.base import Column, Row, Type, Value
from gateway.stores.values import decoded

Cells = Sequence[Any]

_TIMES = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_WIRE_TIME_LENGTH = len("2026-01-31T23:59:59.123Z")
_MICROSECONDS_LENGTH = len("2026-01-31T23:59:59.123000Z")
_SECONDS_LENGTH = len("2026-01-31T23:59:59Z")


def encode(column: Column, value: Value) -> Any:
    """Return what a document holds for ``value``; BadUserInput where BSON cannot hold it."""
    if value is None:
        return None
    encoder = _ENCODERS.get(column.type)
    if encoder is None:
        return value
    try:
        return encoder(value)
    except (TypeError, ValueError, OverflowError, bson.errors.BSONError) as exc:
        raise BadUserInput(f"{column.name}: this is no {column.type} that MongoDB can hold") from exc


def decode(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> list[Row]:
    """Return ``rows``, each a list of BSON values, as tuples of wire values, one per column."""
    decoders = [(place, _DECODERS[column.type]) for place, column in enumerate(columns) if column.type in _DECODERS]
    if not rows or not decoders:
        return list(map(tuple, rows))
    cells: list[Cells] = list(zip(*rows, strict=True))
    for place, decoder in decoders:
        cells[place] = decoder(cells[place])
    return list(zip(*cells, strict=True))


def _time(value: str) -> datetime:
    if len(value) != _WIRE_TIME_LENGTH or value[-1] != "Z":
        raise ValueError(value)
    return datetime.fromisoformat(value[:-1])  # naive: the driver takes it as UTC, and encodes it faster than an aware one


def _json(value: Value) -> Any:
    text = orjson.dumps(value)
    if b'"$ref"' not in text:
        return value
    # Drivers read a document with "$ref" as a pointer, servers refuse some: such a value is kept as JSON text, in a binary subtype
    # that MongoDB leaves to applications. It is encoded once for nothing so that what BSON cannot hold is refused here as elsewhere.
    bson.encode({"": value})
    return Binary(text, USER_DEFINED_SUBTYPE)


def _times(cells: Cells) -> list[Any]:
    # PERF: 0.14 ms for 1,000 times; datetime.isoformat(timespec="milliseconds") takes 0.40 to 0.57 ms, and $dateToString would have the
    # server format and send 24 bytes for 8. `python -m timeit` over 1,000 datetimes shows it again.
    try:
        texts = orjson.loads(orjson.dumps(cells, option=_TIMES))
        return [f"{text[:23]}Z" if text is not None and len(text) == _MICROSECONDS_LENGTH else _whole_second(text) for text in texts]
    except TypeError:  # one of them is no time: each by itself
        return [_times([cell])[0] if type(cell) is datetime else cell for cell in cells]


def _whole_second(text: Any) -> Any:
    if text is None or len(text) != _SECONDS_LENGTH:
        return text  # of a document of somebody who keeps times as text
    return f"{text[:19]}.000Z"


def _ints(cells: Cells) -> Cells:
    return [cell if type(cell) is int or cell is None else _int(cell) for cell in cells]


def _int(cell: Any) -> Any:
    """Return a whole number as Python's: the driver has a class of its own above 32 bit, and JavaScript writes all as doubles."""
    is_whole = isinstance(cell, Int64) or (isinstance(cell, float) and cell.is_integer())
    return int(cell) if is_whole else cell


def _floats(cells: Cells) -> Cells:
    return [float(cell) if type(cell) is int or type(cell) is Int64 else cell for cell in cells]


def _jsons(cells: Cells) -> Cells:
    # PERF: 0.012 ms for 1,000 payloads that are plain JSON already, which is nearly all; a walk in Python takes 1 ms and more.
    try:
        orjson.dumps(cells, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:
        return [decoded(_plain, cell) for cell in cells]
    return cells


def _plain(value: Any) -> Value:
    """Return ``value`` with JSON values in place of what only BSON has (documents written by others)."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Binary(subtype=128) | bytes():
            return _text_of_binary(value)
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case datetime():
            return _times([value])[0]
        case DBRef():
            return _plain(dict(value.as_doc()))
    return str(value)


def _text_of_binary(value: bytes) -> Value:
    if isinstance(value, Binary) and value.subtype == USER_DEFINED_SUBTYPE:
        return orjson.loads(bytes(value))
    return value.hex()


_ENCODERS: dict[Type, Callable[[Value], Any]] = {Type.TIME: _time, Type.JSON: _json, Type.FLOAT: float, Type.TEXTS: list}
_DECODERS: dict[Type, Callable[[Cells], Cells]] = {Type.TIME: _times, Type.JSON: _jsons, Type.INT: _ints, Type.FLOAT: _floats}
