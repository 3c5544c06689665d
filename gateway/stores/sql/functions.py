"""Functions of SQL that SQLite lacks, for files of others: what their values are as wire values, and what they are ordered by.

Each returns NULL for what is no value of its type. PERF: 1-3 µs a call, which is made for every row that a statement looks at.
"""

from __future__ import annotations

import math
import re
import sqlite3
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation, localcontext
from functools import lru_cache, wraps
from typing import Any

from gateway.stores.base import Column, Type
from gateway.stores.measures import EXACT
from gateway.stores.memory.table import bucket
from gateway.stores.types import NO_VALUE, decimal_text, order_key, value_of

REMEMBERED = 8_192  # values and what they are, of each function
LENGTH_REMEMBERED = 64  # characters
SECONDS_LIMIT = 10**11  # a number below it counts seconds since 1970, one above it milliseconds
EXPONENT = 5_000  # is added to a DECIMAL's, so that none is below zero
ANY_SCALE = -1

Cell = None | int | float | str | bytes

_MOMENT = re.compile(
    r"([+-]?[0-9]{4,6}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?)? ?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_CLOCK = re.compile(r"([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?")


def _remembered(function: Callable[..., str | None]) -> Callable[..., str | None]:
    """Return the function with a memory for what is short, and with nothing for bytes."""
    remembering = lru_cache(REMEMBERED)(function)

    @wraps(function)
    def call(value: Cell, *arguments: Any) -> str | None:
        if isinstance(value, bytes):
            return None
        known = not isinstance(value, str) or len(value) <= LENGTH_REMEMBERED
        try:
            return remembering(value, *arguments) if known else function(value, *arguments)
        except ArithmeticError:  # numbers beyond all bounds
            return None

    return call


def register(connection: sqlite3.Connection) -> None:
    """Have the connection know all of them."""
    for name, count, function in (
        ("wire_time", 2, wire_time),
        ("wire_date", 1, wire_date),
        ("wire_clock", 2, wire_clock),
        ("moment_order", 1, _moment_order),
        ("moment_of_order", 1, moment_of_order),
        ("time_bucket", 3, _bucket),
        ("decimal_order", 2, decimal_order),
        ("from_hex", 1, lambda value: bytes.fromhex(value) if isinstance(value, str) else None),
    ):
        connection.create_function(name, count, function, deterministic=True)
    connection.create_aggregate("float_sum", 1, _FloatSum)  # type: ignore[arg-type]  # its stub knows sums of int alone
    connection.create_aggregate("decimal_sum", 2, _DecimalSum)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------- moments


@_remembered
def wire_time(value: Cell, precision: int) -> str | None:
    """Return a TIME: of ISO 8601 with or without T, seconds, digits and a zone (UTC where there is none), or of a number since 1970."""
    if isinstance(value, int | float):
        return _time_of_number(value, precision)
    if not isinstance(value, str):
        return None
    found = _MOMENT.fullmatch(value)
    if found is None:
        return _wire(_time(precision), value)
    day, minutes, seconds, digits, zone = found.groups()
    clock = f"{minutes or '00:00'}:{seconds or '00'}"
    if zone and zone != "Z":
        moved = _in_utc(f"{day}T{clock}", zone)
        if moved is None:
            return None
        day, clock = moved
    return _wire(_time(precision), f"{day}T{clock}{f'.{digits}' if digits else ''}Z")


@_remembered
def wire_date(value: Cell) -> str | None:
    """Return a DATE: of one, or of a TIME at midnight."""
    if isinstance(value, str) and (found := _wire(_DATE, value)) is not None:
        return found
    time = wire_time(value, 9)
    return time[:-20] if time is not None and time.endswith("T00:00:00.000000000Z") else None


@_remembered
def wire_clock(value: Cell, precision: int) -> str | None:
    """Return a CLOCK, with or without seconds and digits."""
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    minutes, seconds, digits = found.groups()
    return _wire(Column("clock", Type.CLOCK, precision=precision), f"{minutes}:{seconds or '00'}{f'.{digits}' if digits else ''}")


def moment_order(value: str) -> str:
    """Return a text that stands among others where the moment does."""
    text: str = _ORDER(value)
    return text


def _moment_order(value: Cell) -> str | None:
    return _ORDER(value) if isinstance(value, str) else None


def moment_of_order(value: Cell) -> Cell:
    """Return the moment that ``moment_order`` made a text of."""
    if not isinstance(value, str):
        return value
    if value == "":
        return "-infinity"
    if value[0] not in "~!":
        return value
    if value == "~~":
        return "infinity"
    digits = value[1:10]
    year = int(digits) if value[0] == "~" else 999_999_999 - int(digits)
    return f"{'+' if value[0] == '~' else '-'}{year:04}{value[10:]}"


def _bucket(value: Cell, interval: Any, precision: int) -> str | None:
    return str(bucket(value, interval, precision)) if isinstance(value, str) else None


def _time_of_number(value: float, precision: int) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    number = Decimal(repr(value))
    whole, rest = divmod(number if abs(number) < SECONDS_LIMIT else number / 1000, 1)
    if rest < 0:
        whole, rest = whole - 1, rest + 1
    try:
        day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(whole))
    except OverflowError:
        return None
    digits = f"{rest:f}".partition(".")[2]
    return _wire(_time(precision), f"{day:%Y-%m-%dT%H:%M:%S}{f'.{digits}' if digits else ''}Z") if len(digits) <= 9 else None


def _in_utc(local: str, zone: str) -> tuple[str, str] | None:
    try:
        moment = datetime.fromisoformat(f"{local}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    day, _, clock = moment.replace(tzinfo=None).isoformat().partition("T")
    return day, clock


def _wire(column: Column, text: str) -> str | None:
    value = value_of(column, text)
    return None if value is NO_VALUE else str(value)


@lru_cache
def _time(precision: int) -> Column:
    return Column("time", Type.TIME, precision=precision)


_DATE = Column("date", Type.DATE)
_ORDER: Any = order_key(_DATE)

# --------------------------------------------------------------------------------------------------------------- decimals


def decimal_of(value: Cell, scale: int | None) -> str | None:
    """Return a DECIMAL: of a number, the shortest that is it; of a text. A float is rounded to the scale, as it is exact nowhere."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        found = value_of(Column("decimal", Type.DECIMAL, scale=scale), value.strip())
        return None if found is NO_VALUE else str(found)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    number = Decimal(repr(value))
    if isinstance(value, float) and scale is not None:
        with localcontext(EXACT):
            number = round(number, scale)
    elif isinstance(value, float) and number == number.to_integral_value():
        number = number.quantize(Decimal(1), context=EXACT)  # without the .0 that Python writes
    return decimal_text(number, scale)


@_remembered
def decimal_order(value: Cell, scale: int) -> str | None:
    """Return a text that stands among others where the DECIMAL does, and that equal ones have in common."""
    text = decimal_of(value, None if scale == ANY_SCALE else scale)
    if text is None:
        return None
    number = Decimal(text)
    if number.is_nan():
        return "3"
    if number.is_infinite():
        return "2~" if number > 0 else "0"
    if not number:
        return "1"
    _, digits, _ = number.as_tuple()
    significant = "".join(map(str, digits)).rstrip("0")
    exponent = number.adjusted() + EXPONENT
    if number > 0:
        return f"2{exponent:05}{significant}"
    return f"0{99_999 - exponent:05}{significant.translate(_COMPLEMENT)}~"


def decimal_of_order(text: str, scale: int | None) -> str:
    """Return the DECIMAL that ``decimal_order`` made a text of."""
    known = {"3": "NaN", "2~": "Infinity", "0": "-Infinity"}.get(text)
    if known is not None:
        return known
    if text == "1":
        return decimal_text(Decimal(0), scale)
    exponent, digits = int(text[1:6]), text[6:]
    sign = ""
    if text[0] == "0":
        sign, exponent, digits = "-", 99_999 - exponent, digits.rstrip("~").translate(_COMPLEMENT)
    return decimal_text(Decimal(f"{sign}{digits[0]}.{digits[1:]}E{exponent - EXPONENT}"), scale)


_COMPLEMENT = str.maketrans("0123456789", "9876543210")

# ------------------------------------------------------------------------------------------------------------- aggregates


class _FloatSum:
    """An aggregate of SQL: the exact sum rounded once; infinite beyond what a float holds, text where a value is no number."""

    def __init__(self) -> None:
        self._values = array("d")  # 8 bytes a row
        self._stranger: str | None = None

    def step(self, value: object) -> None:
        if isinstance(value, int | float):
            self._values.append(value)
        elif value is not None:
            self._stranger = str(value)

    def finalize(self) -> float | str:
        if self._stranger is not None:
            return self._stranger
        try:
            return math.fsum(self._values)
        except OverflowError:
            return math.inf


class _DecimalSum:
    """An aggregate of SQL: the exact sum of DECIMALs, as text."""

    def __init__(self) -> None:
        self._total = Decimal(0)

    def step(self, value: Cell, scale: int) -> None:
        text = decimal_of(value, None if scale == ANY_SCALE else scale)
        if text is not None:
            with localcontext(EXACT):
                try:
                    self._total += Decimal(text)
                except InvalidOperation:  # one infinity and the other
                    self._total = Decimal("NaN")

    def finalize(self) -> str:
        return decimal_text(self._total)
