"""How a wire value is kept in a MongoDB document, and how a document's values become wire values again.

What the gateway writes: TIME as a BSON date, DECIMAL as Decimal128, UUID as Binary of subtype 4, OBJECT_ID as ObjectId, BYTES as text of
hexadecimal digits (a Binary is ordered by its length first), lists as arrays, JSON as a plain document, the others as they are. What is
read in documents of others besides is in ``fields.py``. Decoding works on whole columns.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any
from uuid import UUID

import bson
import orjson
from bson.binary import OLD_UUID_SUBTYPE, USER_DEFINED_SUBTYPE, UUID_SUBTYPE, Binary
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from gateway.errors import BadUserInput
from gateway.stores.base import Column, Row, Type, Value
from gateway.stores.types import DECIMAL_DIGITS, decimal_text, shown_year
from gateway.stores.values import SHAPES_KEPT, Unreadable, decoded

Cells = Sequence[Any]
Decoder = Callable[[Cells], Cells]

BYTES_SUBTYPES = (0, 2, 5, USER_DEFINED_SUBTYPE)  # of a Binary that is a BYTES: generic, its old form, MD5, the application's own
UUID_SUBTYPES = (UUID_SUBTYPE, OLD_UUID_SUBTYPE)
EXACT_FLOATS = 2**53  # above it, in either direction, a whole number may be no float
DAY_MS = 86_400_000

_TIMES = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_WIRE_TIME_LENGTH = len("2026-01-31T23:59:59.123Z")
_MICROSECONDS_LENGTH = len("2026-01-31T23:59:59.123000Z")
_SECONDS_LENGTH = len("2026-01-31T23:59:59Z")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  naive is UTC to the driver
_DAYS_OF_CYCLE = 146_097  # of 400 years, after which the calendar is the same
_CYCLE_MS = _DAYS_OF_CYCLE * DAY_MS
_AROUND_2000_MS = 946_684_800_000  # 2000-01-01, with which a cycle begins
_MS_MIN, _MS_MAX = -(2**63), 2**63 - 1
_INT_MIN, _INT_END = -(2.0**63), 2.0**63


def encode(column: Column, value: Value) -> Any:
    """Return what a document of ours holds for ``value``; BadUserInput where BSON cannot hold it."""
    if value is None:
        return None
    encoder = _ENCODERS.get(column.type)
    if encoder is None and not column.many:
        return value
    if encoder is _time and column.precision == 0:
        encoder = _whole_seconds
    try:
        if column.many and column.type is not Type.JSON:
            return list(value) if encoder is None else list(map(encoder, value))
        return encoder(value) if encoder is not None else value
    except (TypeError, ValueError, ArithmeticError, bson.errors.BSONError) as exc:
        raise BadUserInput(f"{column.name}: this is no {column.type} that MongoDB can hold") from exc


def decode(columns: Sequence[Column], rows: Sequence[Sequence[Any]], *, ours: bool = True) -> list[Row]:
    """Return ``rows``, each a list of BSON values, as tuples of wire values, one per column.

    ``ours``: they may be in the forms that the gateway writes; if not, in those of others alone, so that what is read is what is compared.
    """
    decoders = [(place, found) for place, column in enumerate(columns) if (found := decoder(column, ours)) is not None]
    if not rows or not decoders:
        return list(map(tuple, rows))
    cells: list[Cells] = list(zip(*rows, strict=True))
    for place, found in decoders:
        cells[place] = found(cells[place])
    return list(zip(*cells, strict=True))


@lru_cache(maxsize=SHAPES_KEPT)
def decoder(column: Column, ours: bool) -> Decoder | None:
    """Return the function from a column's BSON values to its wire values; None where they are the same."""
    found = _decoder(column, ours)
    if found is None or not column.many or column.type is Type.JSON:
        return found
    return lambda cells: [_items(found, cell) if type(cell) is list else cell for cell in cells]


def _items(found: Decoder, cell: list[Any]) -> Any:
    items = list(found(cell))
    wrong = next((item for item in items if isinstance(item, Unreadable)), None)
    return items if wrong is None else Unreadable(f"a list with {wrong.found}")


def _decoder(column: Column, ours: bool) -> Decoder | None:
    each = _each(column, ours)
    if each is not None:
        return lambda cells: [cell if cell is None else decoded(each, cell) for cell in cells]
    match column.type:
        case Type.TIME if column.precision == 3 and ours:
            return _times
        case Type.TIME:
            return lambda cells: [_time_alone(cell, column.precision) for cell in cells]
        case Type.JSON:
            return _jsons
        case Type.INT:
            return _ints
        case Type.FLOAT:
            return _floats if ours else _others_floats
        case _:
            return None


def _each(column: Column, ours: bool) -> Callable[[Any], Value] | None:
    """Return the function from one value to its wire value, for the types whose values are looked at one by one."""
    match column.type:
        case Type.DECIMAL:
            return lambda value: _decimal_text(value, column.scale)
        case Type.UUID:
            return _uuid_text
        case Type.OBJECT_ID:
            return _object_id_text
        case Type.BYTES:
            return _bytes_text if ours else _others_bytes_text
        case Type.DATE if not ours:
            return _date_text
        case _:
            return None


# ------------------------------------------------------------------------------------------------------------ to BSON


def moment(value: str) -> datetime | DatetimeMS:
    """Return the BSON date of a TIME of at most 3 digits or of a DATE, of any year; ValueError where there is none."""
    if _is_usual(value):
        day, _, clock = value.partition("T")
        return datetime.fromisoformat(f"{day}T{clock.removesuffix('Z')}" if clock else day)  # naive: the driver takes it as UTC
    year, rest = int(value[: value.index("-", 1)]), value[value.index("-", 1) :]
    cycles, of_cycle = divmod(year - 2000, 400)
    within = moment(f"{of_cycle + 2000}{rest}")
    assert isinstance(within, datetime)
    milliseconds = cycles * _CYCLE_MS + (within - _EPOCH) // timedelta(milliseconds=1)
    if not _MS_MIN <= milliseconds <= _MS_MAX:
        raise ValueError(value)
    return DatetimeMS(milliseconds)


def _time(value: str) -> datetime | DatetimeMS:
    if len(value) == _WIRE_TIME_LENGTH and value[-1] == "Z" and _is_usual(value):
        return datetime.fromisoformat(value[:-1])  # naive: the driver takes it as UTC, and encodes it faster than an aware one
    return _of_other_year(value, len("-01-31T23:59:59.123Z"))


def _whole_seconds(value: str) -> datetime | DatetimeMS:
    if len(value) == _SECONDS_LENGTH and value[-1] == "Z" and _is_usual(value):
        return datetime.fromisoformat(value[:-1])
    return _of_other_year(value, len("-01-31T23:59:59Z"))


def _of_other_year(value: str, length: int) -> datetime | DatetimeMS:
    """Return the time of a year that has a sign; ``length`` is that of what stands behind it."""
    if len(value) - value.index("-", 1) != length or (value[0] not in "+-" and not value.startswith("0000")):
        raise ValueError(value)
    return moment(value)


def _is_usual(value: str) -> bool:
    """Return whether a time or a date is of a year that Python knows."""
    return value[0].isdigit() and not value.startswith("0000")


def _decimal(value: str) -> Decimal128:
    return Decimal128(value)


def _uuid(value: str) -> Binary:
    return Binary(UUID(value).bytes, UUID_SUBTYPE)


def _hexadecimal(value: str) -> str:
    return base64.b64decode(value, validate=True).hex()


def _date(value: str) -> str:
    if len(value) != len("2026-01-31") or not _is_usual(value):
        raise ValueError(value)  # as text it would have no place among the others
    return value


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
    except TypeError:  # one of them is no time, or of a year that Python does not know: each by itself
        return [_times([cell])[0] if type(cell) is datetime else _of_milliseconds(cell) for cell in cells]


def _whole_second(text: Any) -> Any:
    if text is None or len(text) != _SECONDS_LENGTH:
        return text  # of a document of somebody who keeps times as text
    return f"{text[:19]}.000Z"


def _of_milliseconds(cell: Any) -> Any:
    """Return the TIME of a date that Python has no datetime for; all else as it is."""
    if type(cell) is not DatetimeMS:
        return cell
    cycles, within = divmod(int(cell) - _AROUND_2000_MS, _CYCLE_MS)
    time = _EPOCH + timedelta(milliseconds=within + _AROUND_2000_MS)
    return f"{shown_year(time.year + 400 * cycles)}{time.isoformat(timespec='milliseconds')[4:]}Z"


def _time_alone(cell: Any, precision: int) -> Any:
    """Return a TIME of a document of somebody else, or of whole seconds."""
    if type(cell) is str:
        return cell if not cell or _is_usual(cell) else Unreadable("a str that is none")  # its form is looked at with all others
    text = _times([cell])[0] if type(cell) is datetime else _of_milliseconds(cell)
    if precision or type(text) is not str:
        return text
    return f"{text[:-5]}Z" if text.endswith(".000Z") else Unreadable("a datetime of more digits")


def _date_text(value: Any) -> Value:
    """Return a DATE of a document of somebody else, who keeps it as text or as the midnight that it begins with."""
    if type(value) is str:
        if not value or not _is_usual(value):
            raise ValueError(value)
        return value
    text = _times([value])[0] if type(value) is datetime else _of_milliseconds(value)
    if type(text) is not str:
        raise TypeError(value)
    if not text.endswith("T00:00:00.000Z"):
        raise ValueError(value)
    return text.partition("T")[0]


def _decimal_text(value: Any, scale: int | None) -> str:
    if isinstance(value, Decimal128):
        number = value.to_decimal()
    elif type(value) is int or type(value) is Int64:
        number = Decimal(value)
    else:
        raise TypeError(value)
    if number.is_finite():
        if number and not -DECIMAL_DIGITS <= number.adjusted() <= DECIMAL_DIGITS:
            raise ValueError(value)
        return decimal_text(number if number else Decimal(decimal_text(number, scale or 0)), scale)
    if scale is not None:
        raise ValueError(value)
    return decimal_text(number)


def _uuid_text(value: Any) -> str:
    if type(value) is not Binary or value.subtype not in UUID_SUBTYPES:
        raise TypeError(value)
    return str(UUID(bytes=bytes(value)))


def _object_id_text(value: Any) -> str:
    if type(value) is not ObjectId:
        raise TypeError(value)
    return str(value)


def _bytes_text(value: Any) -> str:
    return base64.b64encode(bytes.fromhex(value)).decode() if type(value) is str else _others_bytes_text(value)


def _others_bytes_text(value: Any) -> str:
    if type(value) is not bytes and not (type(value) is Binary and value.subtype in BYTES_SUBTYPES):
        raise TypeError(value)
    return base64.b64encode(value).decode()


def _ints(cells: Cells) -> Cells:
    return [cell if type(cell) is int or cell is None else _int(cell) for cell in cells]


def _int(cell: Any) -> Any:
    """Return a whole number as Python's: the driver has a class of its own above 32 bit, and JavaScript writes all as doubles."""
    is_whole = isinstance(cell, Int64) or (isinstance(cell, float) and cell.is_integer() and _INT_MIN <= cell < _INT_END)
    return int(cell) if is_whole else cell


def _floats(cells: Cells) -> Cells:
    return [float(cell) if type(cell) is int or type(cell) is Int64 else cell for cell in cells]


def _others_floats(cells: Cells) -> Cells:
    return [cell if cell is None else _float(cell) for cell in cells]


def _float(cell: Any) -> Any:
    if type(cell) is float:
        return cell if isfinite(cell) else Unreadable("a float that is no number")
    if type(cell) is not int and type(cell) is not Int64:
        return cell
    return float(cell) if -EXACT_FLOATS <= cell <= EXACT_FLOATS else Unreadable("a whole number that no float is")


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
        case DatetimeMS():
            return _of_milliseconds(value)
        case DBRef():
            return _plain(dict(value.as_doc()))
    return str(value)


def _text_of_binary(value: bytes) -> Value:
    if isinstance(value, Binary) and value.subtype == USER_DEFINED_SUBTYPE:
        return orjson.loads(bytes(value))
    return value.hex()


_ENCODERS: dict[Type, Callable[[Any], Any]] = {
    Type.TIME: _time,
    Type.DATE: _date,
    Type.JSON: _json,
    Type.FLOAT: float,
    Type.DECIMAL: _decimal,
    Type.UUID: _uuid,
    Type.OBJECT_ID: ObjectId,
    Type.BYTES: _hexadecimal,
}
