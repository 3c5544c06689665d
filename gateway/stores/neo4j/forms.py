"""Name what a column's values are in Neo4j, and what is made of them: to be compared, to be ordered, to be shown, to be kept.

Properties have no type there. ``managed`` collections hold what the gateway wrote, and their properties are compared as they are, so that
an index serves them. Of all others each value is first held to its column's type: one that is none equals nothing, stands in an order
where nulls do, and is shown as a map that says what it is, for the driver cannot hold every value (a year above 9999).

    TEXT, BOOL, INT, FLOAT   STRING, BOOLEAN, INTEGER, FLOAT (others: INTEGER, too)
    DECIMAL                  FLOAT, where that is exactly the number as it is shown; others: INTEGER and STRING, too
    TIME                     ZONED DATETIME in UTC; others: of any zone, LOCAL DATETIME taken for UTC, and texts in the wire's form
    DATE, CLOCK              DATE, LOCAL TIME; others: ZONED TIME in UTC, and texts in the wire's form
    UUID, OBJECT_ID, ENUM    STRING in the wire's form
    BYTES                    a byte array
    JSON                     STRING
    lists                    a list of such values

What it is compared and shown by is below. Longer than 400 lines: who adds a type finds all that is done with one side by side.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import orjson

from gateway.errors import BadUserInput
from gateway.stores.base import Column, Type, Value
from gateway.stores.types import INFINITY, MINUS_INFINITY, NO_VALUE, decimal_text, key_text, value_of
from gateway.stores.values import Unreadable, decoded

_YEAR_LONG = "\\\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\\\d|30)|02-(?:0[1-9]|1\\\\d|2[0-8]))"
_LEAP_DAY = "(?:\\\\d\\\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29"
_DAY = f"(?:{_YEAR_LONG}|{_LEAP_DAY})"
_OF_DAY = "(?:[01]\\\\d|2[0-3]):[0-5]\\\\d:[0-5]\\\\d"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_OBJECT_ID = "[0-9a-f]{24}"
_DECIMAL = "-?[0-9]{1,999}(?:\\\\.[0-9]{1,999})?"
_SIMPLE = "BOOLEAN | INTEGER | FLOAT | STRING"  # what any driver can hold
_NATIVE = {Type.TEXT: "STRING", Type.BOOL: "BOOLEAN", Type.INT: "INTEGER"}
_MOMENTS = {Type.TIME: "ZONED DATETIME", Type.DATE: "DATE", Type.CLOCK: "LOCAL TIME"}
_CONSTRUCTORS = {Type.TIME: "datetime", Type.DATE: "date", Type.CLOCK: "localtime"}
_ENDS = {  # what is beyond every moment that can be kept
    INFINITY: {Type.TIME: "+999999999-12-31T23:59:59.999999999Z", Type.DATE: "+999999999-12-31"},
    MINUS_INFINITY: {Type.TIME: "-999999999-01-01T00:00:00Z", Type.DATE: "-999999999-01-01"},
}
_UNREADABLE = "unreadable"
_PLACE = 5_000  # of a sortable DECIMAL's exponent, so that it is never negative
_COMPLEMENT = str.maketrans("0123456789", "jihgfedcba")
_DIGITS = str.maketrans("jihgfedcba", "0123456789")

Decode = Callable[[Any], Value]


def literal(text: str) -> str:
    """A text of a declaration in a statement."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Form:
    """How a column's values are written in Cypher. ``is_careful``: each value is held to its type, for it may be anything.

    ``is_raw``      properties equal a value as they are, so that an index finds it; ``guard`` says what else they must be
    ``is_ordered``  properties stand in their order as they are, and are compared in it
    """

    __slots__ = ("_element", "column", "guarded", "is_careful", "is_ordered", "is_raw", "type")

    def __init__(self, column: Column, *, is_careful: bool) -> None:
        self.column, self.type, self.is_careful = column, column.type, is_careful
        self._element = Form(_element(column), is_careful=is_careful) if column.many else None
        text_like = self.type in (Type.TEXT, Type.UUID, Type.OBJECT_ID, Type.ENUM) and column.collation == "C"
        by_itself = not is_careful and column.collation == "C"
        self.is_raw = not column.many and (by_itself or text_like or self.type in (Type.INT, Type.BOOL, Type.BYTES))
        self.guarded = is_careful and self.type is Type.INT  # 7.0 equals 7
        plain = self.type not in (Type.ENUM, Type.BYTES)
        self.is_ordered = not column.many and plain and by_itself

    # ------------------------------------------------------------------------------------------------------- comparisons

    def bound(self, expression: str) -> str:
        """A bound value in the database's own type; null stays null."""
        constructor = _CONSTRUCTORS.get(self.type)
        if self._element is not None:
            item = self._element.bound("item")
            return expression if item == "item" else f"[item IN {expression} | {item}]"
        return expression if constructor is None else f"{constructor}({expression})"

    def equals(self, ref: str, value: str) -> str:
        """That the property is a value, which is in the database's own type."""
        if not self.is_raw:
            return f"{self.comparable(ref)} = {value}"
        return f"{ref} = {value}{self.guard(ref)}"

    def is_one_of(self, ref: str, values: str) -> str:
        one = f"{ref if self.is_raw else self.comparable(ref)} IN {values}"
        return f"{one}{self.guard(ref)}" if self.is_raw else one

    def guard(self, ref: str) -> str:
        return f" AND {ref} IS :: INTEGER" if self.guarded else ""

    def value(self, ref: str) -> str:
        """The value if it is of the column's type, else null; of a DECIMAL that is held to it a text in its place."""
        if self._element is not None:
            item = self._element.value("item")
            if item == "item":
                return ref
            if not self.is_careful:
                return f"[item IN {ref} | {item}]"
            items = f"CASE WHEN all(item IN {ref} WHERE {item} IS NOT NULL) THEN [item IN {ref} | {item}] END"
            return f"CASE WHEN {ref} IS :: LIST<ANY> THEN {items} END"
        return self._careful_value(ref) if self.is_careful else ref

    def _careful_value(self, ref: str) -> str:
        column = self.column
        match self.type:
            case Type.TEXT | Type.BOOL | Type.INT:
                return f"CASE WHEN {ref} IS :: {_NATIVE[self.type]} THEN {ref} END"
            case Type.FLOAT:
                number = f"toFloat({ref})"  # less itself it is zero, but for NaN and what is infinite
                return f"CASE WHEN {ref} IS :: INTEGER | FLOAT THEN CASE WHEN {number} - {number} = 0.0 THEN {number} END END"
            case Type.TIME:
                whole = _whole(ref, column.precision, f"datetime({{datetime: {ref}, timezone: 'Z'}})")
                moment = "ZONED DATETIME NOT NULL | LOCAL DATETIME NOT NULL"  # of nothing no datetime can be made
                return f"CASE WHEN {ref} IS :: {moment} THEN {whole} WHEN {self._is_form(ref)} THEN datetime({ref}) END"
            case Type.DATE:
                return f"CASE WHEN {ref} IS :: DATE THEN {ref} WHEN {self._is_form(ref)} THEN date({ref}) END"
            case Type.CLOCK:
                local, zoned = _whole(ref, column.precision, ref), _whole(ref, column.precision, f"localtime({ref})")
                return (
                    f"CASE WHEN {ref} IS :: LOCAL TIME NOT NULL THEN {local}"
                    f" WHEN {ref} IS :: ZONED TIME NOT NULL THEN CASE WHEN {ref}.offsetSeconds = 0 THEN {zoned} END"
                    f" WHEN {self._is_form(ref)} THEN localtime({ref}) END"
                )
            case Type.UUID | Type.OBJECT_ID:
                return f"CASE WHEN {self._is_form(ref)} THEN {ref} END"
            case Type.ENUM:
                return f"CASE WHEN {ref} IN [{', '.join(map(literal, column.values))}] THEN {ref} END"
            case Type.BYTES:
                fits = f"all(octet IN {ref} WHERE -128 <= octet <= 127)"
                return f"CASE WHEN {ref} IS :: LIST<INTEGER> THEN CASE WHEN {fits} THEN {ref} END END"
            case Type.DECIMAL:
                text = f"CASE WHEN {ref} IS :: INTEGER | FLOAT OR {self._is_form(ref)} THEN toString({ref}) END"
                return _sortable(text, column.scale)
            case _:
                return ref

    def comparable(self, ref: str) -> str:
        """What stands for the value in comparisons and in an order; null where there is none."""
        value = self.value(ref)
        if self._element is not None:
            return value
        if self.type is Type.ENUM:
            places = " ".join(f"WHEN {literal(name)} THEN {place}" for place, name in enumerate(self.column.values))
            return f"CASE {ref} {places} END"
        if self.type is Type.BYTES:
            return f"[octet IN {value} | CASE WHEN octet < 0 THEN octet + 256 ELSE octet END]"
        return f"toLower({value})" if self.column.collation == "nocase" else value

    def _is_form(self, ref: str) -> str:
        return f"{ref} =~ '{_FORMS[self.type](self.column)}'"

    # ------------------------------------------------------------------------------------------------------------- shown

    def wire(self, value: str) -> str:
        """A value of the column's type as what the driver is to give."""
        if self._element is not None:
            item = self._element.wire("item")
            return value if item == "item" else f"[item IN {value} | {item}]"
        match self.type:
            case Type.TIME:
                return _time_text(value, self.column.precision)
            case Type.CLOCK:
                return _clock_text(value, self.column.precision)
            case Type.DATE:
                return f"toString({value})"
            case _:
                return value

    def shown(self, ref: str) -> str:
        """The property as what the driver is to give, and ``decode`` takes."""
        if not self.is_careful:
            return self.wire(ref)
        other = f"{{{_UNREADABLE}: valueType({ref})}}"
        if self._element is not None:
            items = f"[item IN {ref} | {self._element.shown('item')}]"
            return f"CASE WHEN {ref} IS :: LIST<ANY> THEN {items} WHEN {ref} IS :: {_SIMPLE} THEN {ref} ELSE {other} END"
        match self.type:
            case Type.TIME | Type.CLOCK | Type.DATE:
                text = self.wire("value")
                return f"CASE WHEN {ref} IS NOT NULL THEN coalesce(head([value IN [{self.value(ref)}] | {text}]), {other}) END"
            case Type.DECIMAL:
                return f"CASE WHEN {ref} IS :: INTEGER | FLOAT THEN toString({ref}) WHEN {self._is_form(ref)} THEN {ref} ELSE {other} END"
            case Type.BYTES:
                return f"CASE WHEN {ref} IS :: LIST<INTEGER> THEN {ref} ELSE {other} END"
            case Type.JSON:
                return f"CASE WHEN {ref} IS :: {_SIMPLE} | LIST<{_SIMPLE}> THEN {ref} ELSE {other} END"
            case _:
                return f"CASE WHEN {ref} IS :: {_SIMPLE} THEN {ref} ELSE {other} END"

    @property
    def decode(self) -> Decode | None:
        """The function from what the driver gave, never null, to a wire value; None where it is that."""
        return _decoder(self.column, self.is_careful)

    def steady(self, ref: str) -> str:
        """``shown`` without what a value of another type would fail: for ``steady_decode``."""
        native = _MOMENTS.get(self.type)
        if native is None or self.is_careful:
            return self.shown(ref)
        native = f"LIST<{native} NOT NULL>" if self._element is not None else native
        return f"CASE WHEN {ref} IS :: {native} THEN {self.wire(ref)} ELSE {{{_UNREADABLE}: valueType({ref})}} END"

    @property
    def steady_decode(self) -> Decode | None:
        return _decoder(self.column, self.is_careful or self.type in _MOMENTS)

    # ------------------------------------------------------------------------------------------------------------- bound

    def sent(self, value: Value, *, is_ordered: bool = False, op: str = "eq") -> Any:
        """A wire value as it is bound for a comparison. ``is_ordered``: with what is ``comparable``."""
        if self._element is not None:
            return self._element.sent(value)
        match self.type:
            case Type.FLOAT:
                return float(value)
            case Type.JSON:
                return orjson.dumps(value).decode()
            case Type.TIME | Type.DATE:
                return _ENDS[value][self.type] if value in _ENDS else value
            case Type.DECIMAL:
                return sortable(Decimal(value)) if self.is_careful else _float_bound(value, op)
            case Type.BYTES:
                octets = base64.b64decode(value)
                return list(octets) if is_ordered else octets
            case Type.ENUM if is_ordered:
                return self.column.values.index(value) if value in self.column.values else len(self.column.values)
            case _:
                return str.lower(value) if self.column.collation == "nocase" else value

    def stored(self, value: Value) -> Any:
        """A wire value as it is bound to be kept. BadUserInput where it cannot be kept as it is."""
        if value is None:
            return None
        if self._element is not None:
            return [self._element.stored(item) for item in value]
        match self.type:
            case Type.DECIMAL:
                return _float_of(self.column, value)
            case Type.TEXT | Type.TIME | Type.DATE | Type.ENUM:
                return value
            case _:
                return self.sent(value)


@lru_cache(maxsize=4_000)
def form_of(column: Column, is_careful: bool) -> Form:
    return Form(column, is_careful=is_careful)


def _element(column: Column) -> Column:
    """The column of a list's items."""
    type_ = Type.TEXT if column.type is Type.TEXTS else column.type
    return Column(
        column.name, type_, precision=column.precision, scale=column.scale, bits=column.bits, values=column.values, enum=column.enum
    )


# --------------------------------------------------------------------------------------------------------------- moments

_FORMS: dict[Type, Callable[[Column], str]] = {
    Type.TIME: lambda column: f"{_DAY}T{_OF_DAY}{_fraction(column)}Z",
    Type.DATE: lambda _: _DAY,
    Type.CLOCK: lambda column: f"{_OF_DAY}{_fraction(column)}",
    Type.UUID: lambda _: _UUID,
    Type.OBJECT_ID: lambda _: _OBJECT_ID,
    Type.DECIMAL: lambda _: _DECIMAL,
}


def _fraction(column: Column) -> str:
    return f"\\\\.\\\\d{{{column.precision}}}" if column.precision else ""


def _whole(ref: str, precision: int, value: str) -> str:
    """The value where it has no more digits than the column; nothing is cut."""
    return value if precision == 9 else f"CASE WHEN {ref}.nanosecond % {10 ** (9 - precision)} = 0 THEN {value} END"


def _time_text(value: str, precision: int) -> str:
    """A time in UTC as the wire has it. toString leaves zeros at the end out (…:42Z, …:42.1Z); with a nanosecond more it cannot."""
    if precision == 9:
        seconds = f"split(replace(toString({value}), 'Z', ''), '.')[0]"
        return f"{seconds} + '.' + right('00000000' + toString({value}.nanosecond), 9) + 'Z'"
    rest = f"{'' if precision else '.'}{'0' * (8 - precision)}1Z"
    return f"replace(toString({value} + duration({{nanoseconds: 1}})), '{rest}', 'Z')"


def _clock_text(value: str, precision: int) -> str:
    if precision == 9:
        return f"left(toString({value}), 8) + '.' + right('00000000' + toString({value}.nanosecond), 9)"
    return f"left(toString({value} + duration({{nanoseconds: 1}})), {9 + precision if precision else 8})"


# -------------------------------------------------------------------------------------------------------------- decimals


def sortable(number: Decimal) -> str:
    """A text that stands among others where the number does: a sign, the place of its first digit, its digits."""
    if number.is_nan():
        return "9"
    if number.is_infinite():
        return "8" if number > 0 else "0"
    if not number:
        return "2"
    sign, digits, _ = number.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    place = number.adjusted() + 1
    return f"1{_PLACE - place}{text.translate(_COMPLEMENT)}~" if sign else f"3{_PLACE + place}{text}"


def unsorted(text: str) -> Decimal:
    """The number that ``sortable`` made a text of."""
    match text[0]:
        case "0":
            return Decimal("-Infinity")
        case "1":
            digits, place, sign = text[5:-1].translate(_DIGITS), _PLACE - int(text[1:5]), 1
        case "2":
            return Decimal(0)
        case "3":
            digits, place, sign = text[5:], int(text[1:5]) - _PLACE, 0
        case "8":
            return Decimal("Infinity")
        case _:
            return Decimal("NaN")
    return Decimal((sign, tuple(map(int, digits)), place - len(digits)))


def _sortable(text: str, scale: int | None) -> str:
    """``sortable`` in Cypher, of a number's text ("-12.5", "1.0E22"), which may be null; null where it has more decimals than ``scale``."""
    complement = "digits"
    for digit, letter in zip("0123456789", "jihgfedcba", strict=True):
        complement = f"replace({complement}, '{digit}', '{letter}')"
    fits = "" if scale is None else f"WHEN size(digits) - place > {scale} THEN null "
    signed = (
        f"CASE WHEN digits = '' THEN '2' {fits}WHEN text STARTS WITH '-' THEN '1' + toString({_PLACE} - place) + {complement} + '~'"
        f" ELSE '3' + toString({_PLACE} + place) + digits END"
    )
    found = _with("place", "coalesce(toInteger(parts[1]), 0) + size(halves[0]) - size(every) + size(ltrim(every, '0'))", signed)
    found = _with("digits", "rtrim(ltrim(every, '0'), '0')", found)
    found = _with("every", "halves[0] + coalesce(halves[1], '')", found)
    found = _with("halves", "split(parts[0], '.')", found)
    found = _with("parts", "split(CASE WHEN text STARTS WITH '-' THEN substring(text, 1) ELSE text END, 'E')", found)
    words = "null" if scale is not None else "CASE text WHEN 'NaN' THEN '9' WHEN 'Infinity' THEN '8' ELSE '0' END"
    return _with("text", text, f"CASE WHEN text IS NULL THEN null WHEN text =~ '-?[NI].*' THEN {words} ELSE {found} END")


def _with(name: str, expression: str, body: str) -> str:
    """What ``body`` is with a name for an expression."""
    return f"head([{name} IN [{expression}] | {body}])"


def _float_of(column: Column, text: str) -> float:
    """The FLOAT that is shown as just this number."""
    number = Decimal(text)
    kept = float(number)
    if not math.isfinite(kept) or Decimal(repr(kept)) != number:
        raise BadUserInput(f"A number of {column.name} has more digits than can be kept exactly: {len(number.as_tuple().digits)}.")
    return kept


def _float_bound(text: str, op: str) -> float:
    """The FLOAT with which FLOATs, as they are shown, compare as with this number, by ``op``."""
    number = Decimal(text)
    if number.is_nan():
        return math.inf if op in ("gt", "gte", "lt", "lte") else math.nan
    near = float(number)
    shown = Decimal(repr(near))
    if shown == number or not math.isfinite(near):
        return near
    if op in ("gt", "lte"):
        return near if shown < number else math.nextafter(near, -math.inf)
    if op in ("gte", "lt"):
        return near if shown > number else math.nextafter(near, math.inf)
    return math.nan  # which none equals


# ---------------------------------------------------------------------------------------------------------------- decode


@lru_cache(maxsize=4_000)
def _decoder(column: Column, is_careful: bool) -> Decode | None:
    if column.many:
        decode = _decoder(_element(column), is_careful)
        if decode is None:
            return None
        each: Decode = decode
        return _readable(lambda value: _items(each, value)) if is_careful else lambda value: _items(each, value)
    match column.type:
        case Type.JSON:
            decode = wire_json
        case Type.DECIMAL:
            decode = _decimal_of(column)
        case Type.BYTES:
            decode = _base64
        case Type.FLOAT if is_careful:
            decode = _finite
        case _:
            decode = None
    if is_careful:
        return _readable(decode)
    return None if decode is None else lambda value: decoded(decode, value)


def _readable(decode: Decode | None) -> Decode:
    def read(value: Any) -> Value:
        if type(value) is dict:
            return Unreadable(f"a {str(value.get(_UNREADABLE)).removesuffix(' NOT NULL')}")
        return value if decode is None else decoded(decode, value)

    return read


def _items(decode: Decode, value: Any) -> Value:
    if not isinstance(value, list):
        return value
    items = list(map(decode, value))
    wrong = next((item for item in items if isinstance(item, Unreadable)), None)
    return items if wrong is None else Unreadable(f"a list with {wrong.found}")


def wire_json(value: Any) -> Any:
    if isinstance(value, str):
        return orjson.loads(value)
    orjson.dumps(value)  # a list, say; a moment or a point is none
    return value


def _finite(value: Any) -> Value:
    return Unreadable("a float that is no number") if isinstance(value, float) and not math.isfinite(value) else value


def _base64(value: Any) -> Value:
    if isinstance(value, list):
        return base64.b64encode(bytes([octet & 255 for octet in value if _is_octet(octet)])).decode()
    return base64.b64encode(value).decode()


def _is_octet(number: int) -> bool:
    if -128 <= number <= 127:
        return True
    raise ValueError("no octet")


def _decimal_of(column: Column) -> Decode:
    shortest = key_text(column)

    def decode(value: Any) -> Value:
        text = repr(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        found = value_of(column, text)
        if found is NO_VALUE:
            return Unreadable(f"a {type(value).__name__} that is none")
        is_text = isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdigit()
        return found if column.scale is not None or is_text or shortest is None else shortest(found)

    return decode


def of_sortable(column: Column, text: Any) -> Value:
    """The DECIMAL that a statement gave as ``Form.value`` has it; what is no text is left as it is."""
    if not isinstance(text, str):
        return text
    try:
        return decimal_text(unsorted(text), column.scale)
    except (InvalidOperation, ValueError):
        return Unreadable("a number that is none")
