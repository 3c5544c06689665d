"""What every type of column means, in every kind of store: its values' text as keys, their order, and what others' texts stand for.

Wire values are in ``declarations.py``. Above the stores a key is text, the canonical form of its column's type: ``"42"``, a uuid in lower
case, an ObjectId's 24 digits. So an INT in one database joins a TEXT in another. Of several columns it is one text,
``"part,part"``, with ``%`` as ``%25`` and ``,`` as ``%2C`` in its parts.

Longer than 400 lines: so whoever adds a type finds all that it means.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache
from typing import Any, Final, Literal

from gateway.stores.declarations import Column, Key, Type, Value

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
DECIMAL_DIGITS = 1_000  # of a DECIMAL, before and behind its point: what no database of ours holds more of is refused before it is asked
INFINITY, MINUS_INFINITY = "infinity", "-infinity"


class _No(Enum):
    VALUE = "no value"


NO_VALUE: Final = _No.VALUE  # in place of a value, where a text stands for none of the column's type
NoValue = Literal[_No.VALUE]

# -------------------------------------------------------------------------------------------------------------- as keys


def key_text(column: Column) -> Callable[[Value], Key] | None:
    """Return the function from a wire value, never null, to its text as a key; None where the value is that text."""
    return _KEY_TEXTS.get(column.type)


def key_value(column: Column, key: Key) -> Value | NoValue:
    """Return the wire value that a key stands for in a column; NO_VALUE where it is not the canonical form of one."""
    value = value_of(column, key)
    if value is NO_VALUE:
        return NO_VALUE
    text = key_text(column)
    return value if (value if text is None else text(value)) == key else NO_VALUE


def canonical(column: Column, text: str) -> Key | None:
    """Return the key that a text stands for, however it is written (a uuid in capitals); None where it stands for none."""
    value = value_of(column, text)
    if value is NO_VALUE:
        return None
    as_text = key_text(column)
    found: Key = value if as_text is None else as_text(value)
    return found


def canonical_key(columns: Sequence[Column], text: str) -> Key | None:
    """Return ``canonical`` for a key of one or several columns."""
    if len(columns) == 1:
        return canonical(columns[0], text)
    parts = split_key(text, len(columns))
    if parts is None:
        return None
    found = [canonical(column, part) for column, part in zip(columns, parts, strict=True)]
    return None if None in found else join_key([part for part in found if part is not None])


def key_between(here: Column, there: Column) -> Callable[[Value], Key | None] | None:
    """Return the function from a wire value of ``here``, never null, to the key that it is in ``there``; None where it is that key.

    The function returns None for what is a key of nothing there: the text ``"abc"`` where keys are INT.
    """
    here = here.item
    to_text = key_text(here)
    if _is_alike(here, there):
        return to_text
    if here.type in (Type.FLOAT, Type.DECIMAL) and there.type is Type.INT:
        return _whole

    def key(value: Value) -> Key | None:
        return canonical(there, value if to_text is None else to_text(value))

    return key


def keys_between(here: Sequence[Column], there: Sequence[Column]) -> Callable[..., Key | None] | None:
    """Return the function from a row's values of ``here`` to the key that they are in ``there``; None where the one value is that key.

    A null in them is no key, and an error in them (a value that could not be read) is itself. ``there`` may be empty: the keys are those
    of ``here``.
    """
    texts = [key_between(one, other) for one, other in zip(here, there or here, strict=True)]
    if len(texts) == 1:
        text = texts[0]
        return None if text is None else _of_one(text)

    def key(*values: Value) -> Any:
        parts: list[Key] = []
        for text, value in zip(texts, values, strict=True):
            if value is None or isinstance(value, Exception):
                return value
            part = value if text is None else text(value)
            if part is None:
                return None
            parts.append(part)
        return join_key(parts)

    return key


def _of_one(text: Callable[[Value], Key | None]) -> Callable[[Value], Any]:
    return lambda value: value if value is None or isinstance(value, Exception) else text(value)


def each_key_between(here: Column, there: Column) -> Callable[[Value], Any] | None:
    """Return ``keys_between`` for a column that lists keys: what is a key of nothing there is left out."""
    text = key_between(here, there)
    if text is None:
        return None

    def keys(values: Value) -> Any:
        if values is None or isinstance(values, Exception):
            return values
        return [key for value in values if (key := text(value)) is not None]

    return keys


def joins(here: Column, there: Column) -> bool:
    """Return whether any value of the one can be a key of the other."""
    if Type.JSON in (here.type, there.type):
        return False
    if Type.TEXT in (here.type, there.type) or Type.TEXTS in (here.type, there.type) or here.type is there.type:
        return True
    return {here.type, there.type} <= {Type.INT, Type.FLOAT, Type.DECIMAL}


class KeyForm:
    """Keys of one or several columns, and the wire values that they stand for."""

    __slots__ = ("_texts", "columns", "is_plain")

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._texts = [key_text(column) for column in columns]
        self.is_plain = len(self.columns) == 1 and self.columns[0].type is Type.TEXT  # keys are values, and any text is one

    def values(self, key: Key) -> tuple[Value, ...] | None:
        """Return a key's values, one per column; None where it is the key of no row that there can be."""
        parts = (key,) if len(self.columns) == 1 else split_key(key, len(self.columns))
        if parts is None:
            return None
        values = tuple([key_value(column, part) for column, part in zip(self.columns, parts, strict=True)])
        return None if NO_VALUE in values else values

    def text(self, values: Sequence[Value]) -> Key | None:
        """Return the key of a row's values; None where one of them is null, or is none of its column's type."""
        parts: list[Key] = []
        for text, value in zip(self._texts, values, strict=True):
            if value is None or isinstance(value, Exception):
                return None
            parts.append(value if text is None else text(value))
        return parts[0] if len(parts) == 1 else join_key(parts)


def join_key(parts: Sequence[Key]) -> Key:
    """Return the one key of several columns' keys."""
    return ",".join([part.replace("%", "%25").replace(",", "%2C") for part in parts])


def split_key(key: Key, count: int) -> tuple[Key, ...] | None:
    """Return the keys of ``count`` columns that ``join_key`` made one of; None where it did not."""
    parts = key.split(",")
    if len(parts) != count:
        return None
    found = tuple([part.replace("%2C", ",").replace("%25", "%") for part in parts])
    return found if join_key(found) == key else None


def _is_alike(here: Column, there: Column) -> bool:
    """Return whether every key of the one is written as the other's keys are."""
    if there.type is Type.TEXT:
        return True
    if here.type is not there.type:
        return False
    if here.type in (Type.TIME, Type.CLOCK):
        return here.precision == there.precision
    return here.type is not Type.ENUM or set(here.values) <= set(there.values)


def _whole(value: Value) -> Key | None:
    try:
        number = Decimal(value)
        return str(int(number)) if number == number.to_integral_value() and INT_MIN <= number <= INT_MAX else None
    except (ArithmeticError, ValueError):
        return None


def _float_text(value: float) -> Key:
    return repr(float(value))


_KEY_TEXTS: dict[Type, Callable[[Any], Key]] = {
    Type.INT: str,
    Type.FLOAT: _float_text,
    Type.BOOL: lambda value: "true" if value else "false",
    Type.DECIMAL: lambda value: _shortest(value),
}

# -------------------------------------------------------------------------------------------------------- from texts


def value_of(column: Column, text: object) -> Value | NoValue:
    """Return the wire value of a column that a text, or a JSON value, stands for; NO_VALUE where it is none.

    Exact: a time with more digits than the column has, or a DECIMAL with more decimals, is no value of it.
    """
    if column.type is Type.INT and type(text) is int:
        return text if INT_MIN <= text <= INT_MAX else NO_VALUE
    if column.type is Type.FLOAT and type(text) in (int, float):
        return text
    if column.type is Type.BOOL and type(text) is bool:
        return text
    if not isinstance(text, str) or "\0" in text:
        return NO_VALUE
    read = _READERS.get(column.type)
    return NO_VALUE if read is None else read(column, text)


def fits(column: Column, value: Value) -> bool:
    """Return whether a value is a wire value of a column's type, in its form; nulls and lists are none."""
    if column.type is Type.FLOAT:
        return type(value) is float or type(value) is int
    return value_of(column, value) == value and (column.type is not Type.INT or type(value) is int)


def decimal_text(value: Decimal, scale: int | None = None) -> str:
    """Return a number as the wire has it: without an exponent, with ``scale`` decimals; as it is, without a scale.

    ValueError where it has more decimals than ``scale``: nothing is rounded.
    """
    if not value.is_finite():
        return "NaN" if value.is_nan() else "Infinity" if value > 0 else "-Infinity"
    text = f"{value:f}"
    if scale is None:
        return text
    whole, _, decimals = text.partition(".")
    if decimals[scale:].strip("0"):
        raise ValueError(f"more than {scale} decimals")
    if whole.lstrip("-").strip("0") == "" and not decimals.strip("0"):
        whole = "0"  # there is no minus zero
    return f"{whole}.{decimals[:scale]:0<{scale}}" if scale else whole


def _shortest(text: str) -> str:
    """Return a DECIMAL without what says nothing: zeros at its end, a point behind which there is nothing, the sign of zero."""
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


_INT = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_DECIMAL_WORDS = {"nan": "NaN", "infinity": "Infinity", "-infinity": "-Infinity"}
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.([0-9]{1,9}))?")
_TIME = re.compile(r"([+-][0-9]{4,6}|[0-9]{4})(-[0-9]{2}-[0-9]{2})T((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:\.([0-9]{1,9}))?Z")
_DATE = re.compile(r"([+-][0-9]{4,6}|[0-9]{4})(-[0-9]{2}-[0-9]{2})")


def _text(_: Column, text: str) -> Value | NoValue:
    return text


def _int(_: Column, text: str) -> Value | NoValue:
    if not _INT.fullmatch(text):
        return NO_VALUE
    number = int(text)
    return number if INT_MIN <= number <= INT_MAX and text != "-0" else NO_VALUE


def _bool(_: Column, text: str) -> Value | NoValue:
    return {"true": True, "false": False}.get(text, NO_VALUE)


def _float(_: Column, text: str) -> Value | NoValue:
    number = float(text) if _FLOAT.fullmatch(text) else math.inf
    return number if math.isfinite(number) else NO_VALUE


def _decimal(column: Column, text: str) -> Value | NoValue:
    word = _DECIMAL_WORDS.get(text.lower())
    if word is not None:
        return word if column.scale is None else NO_VALUE
    if len(text) > 2 * DECIMAL_DIGITS or not _DECIMAL.fullmatch(text):
        return NO_VALUE
    try:
        number = Decimal(text)
        if number and not -DECIMAL_DIGITS <= number.adjusted() <= DECIMAL_DIGITS:
            return NO_VALUE
        return decimal_text(number, column.scale)
    except (InvalidOperation, ValueError):
        return NO_VALUE


def _uuid(_: Column, text: str) -> Value | NoValue:
    lower = text.lower()
    return lower if _UUID.fullmatch(lower) else NO_VALUE


def _object_id(_: Column, text: str) -> Value | NoValue:
    lower = text.lower()
    return lower if _OBJECT_ID.fullmatch(lower) else NO_VALUE


def _bytes(_: Column, text: str) -> Value | NoValue:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return NO_VALUE
    return text if base64.b64encode(decoded).decode() == text else NO_VALUE


def _enum(column: Column, text: str) -> Value | NoValue:
    return text if text in column.values else NO_VALUE


def _digits(found: str | None, precision: int) -> str | NoValue:
    """Return the fraction of a second with its point, in so many digits; NO_VALUE where it has more."""
    digits = found or ""
    if digits[precision:].strip("0"):
        return NO_VALUE
    return f".{digits[:precision]:0<{precision}}" if precision else ""


def _clock(column: Column, text: str) -> Value | NoValue:
    found = _CLOCK.fullmatch(text)
    if found is None or (digits := _digits(found[2], column.precision)) is NO_VALUE:
        return NO_VALUE
    return text[:8] + digits


def _time(column: Column, text: str) -> Value | NoValue:
    if text in (INFINITY, MINUS_INFINITY):
        return text
    found = _TIME.fullmatch(text)
    if found is None or (digits := _digits(found[4], column.precision)) is NO_VALUE:
        return NO_VALUE
    day = _day(found[1], found[2])
    return NO_VALUE if day is None else f"{day}T{found[3]}{digits}Z"


def _date(_: Column, text: str) -> Value | NoValue:
    if text in (INFINITY, MINUS_INFINITY):
        return text
    found = _DATE.fullmatch(text)
    return NO_VALUE if found is None or (day := _day(found[1], found[2])) is None else day


def _day(year: str, rest: str) -> str | None:
    """Return a day as the wire has it, if there is one; ``rest`` is "-MM-DD"."""
    number = int(year)
    try:  # the calendar is the same every 400 years
        date.fromisoformat(f"{number % 400 + 2000:04}{rest}")
    except ValueError:
        return None
    return f"{shown_year(number)}{rest}"


def shown_year(year: int) -> str:
    """Return a year (0 is the one before 1) as times and dates have it: of at least four digits, with a sign where it needs one."""
    return f"{year:04}" if 0 <= year <= 9999 else f"{'-' if year < 0 else '+'}{abs(year):04}"


_READERS: dict[Type, Callable[[Column, str], Any]] = {
    Type.TEXT: _text,
    Type.INT: _int,
    Type.BOOL: _bool,
    Type.FLOAT: _float,
    Type.DECIMAL: _decimal,
    Type.UUID: _uuid,
    Type.OBJECT_ID: _object_id,
    Type.BYTES: _bytes,
    Type.ENUM: _enum,
    Type.CLOCK: _clock,
    Type.TIME: _time,
    Type.DATE: _date,
}

# --------------------------------------------------------------------------------------------------------------- order


@lru_cache(maxsize=4_000)
def order_key(column: Column) -> Callable[[Value], Any] | None:
    """Return the function from a wire value, never null, to what Python orders it by; None where that is the value itself."""
    match column.type:
        case Type.DECIMAL:
            return _decimal_order
        case Type.TIME | Type.DATE:
            return _moment_order
        case Type.BYTES:
            return base64.b64decode
        case Type.ENUM:
            places = {value: place for place, value in enumerate(column.values)}
            return lambda value: places.get(value, len(places))
        case Type.TEXT if column.collation == "nocase":
            return str.lower
        case _:
            return None


def _decimal_order(text: str) -> tuple[bool, Decimal]:
    number = Decimal(text)
    return (True, Decimal(0)) if number.is_nan() else (False, number)


def _moment_order(text: str) -> str:
    """Return a text that comes where the moment does; those of the usual years are their own."""
    first = text[:1]
    if "0" <= first <= "9":
        return text
    if text == INFINITY:
        return "~~"
    if text == MINUS_INFINITY:
        return ""
    sign, year = (first, text[1 : text.index("-", 1)])
    rest = text[1 + len(year) :]
    if sign == "+":
        return f"~{int(year):09}{rest}"
    return f"!{999_999_999 - int(year):09}{rest}"
