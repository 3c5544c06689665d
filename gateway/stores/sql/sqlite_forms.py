"""What SQLite does with each type of column.

It knows integers, floats, texts and bytes. In columns of ours a DECIMAL is a number that is exact in EXACT_DIGITS, BYTES are bytes, BOOL is
0 or 1, and all else is text as the wire has it. In those of others values stand as others wrote them, and may be of any type: what they are
compared with and ordered by is NULL for what is none of the column's type, by ``typeof`` or by a function of ``functions``, which costs the
index where it is more than a condition beside the comparison. Longer than 400 lines: who adds a type, or asks what is done with one, finds
all of them side by side.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from gateway.stores.base import Column, Type, Value
from gateway.stores.sql.forms import TEXT, Expression, Form, Held, checked, finite, fit, item_of, json_text
from gateway.stores.sql.functions import ANY_SCALE, decimal_of, decimal_of_order, decimal_order, moment_order
from gateway.stores.types import INT_MAX, INT_MIN, NO_VALUE, NoValue, fits, value_of

_SQLITE_DIALECT: Any = SQLiteDialect
DIALECT = _SQLITE_DIALECT(paramstyle="qmark")
_JSON_TEXT = "{0} || ''"  # JSON as text: what a JSON function made would be put in as it is
UUID_GLOB = "-".join("[0-9a-f]" * count for count in (8, 4, 4, 4, 12))
EXACT_DIGITS = 15  # that a float and SQLite's text of it have in common
_IS_FINITE = "typeof({x}) IN ('integer', 'real') AND {x} BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308"
_ZERO: Expression = sa.literal_column("0")
_ANY_DECIMAL = Column("decimal", Type.DECIMAL)


def form_of(column: Held) -> Form:
    declared = column.column
    if declared.type is Type.JSON:
        return _Json(column)
    if declared.many:
        return _List(column)
    if column.managed:
        return _of_ours(column)
    match declared.type:
        case Type.TEXT:
            return _NoCase(column) if declared.collation == "nocase" else _Text(column)
        case Type.INT:
            return _Guarded(column, "typeof({x}) = 'integer'")
        case Type.FLOAT:
            return _Guarded(column, _IS_FINITE, in_json=None, decode=lambda value: finite(value) if isinstance(value, float) else value)
        case Type.BOOL:
            return _Guarded(column, "{x} IN (0, 1)", decode=bool_of)
        case Type.DECIMAL:
            return _AnyDecimal(column)
        case Type.BYTES:
            return _Bytes(column)
        case Type.ENUM:
            return _Enum(column)
        case Type.UUID:
            return _Uuid(column)
        case Type.OBJECT_ID:
            return _Guarded(column, f"{{x}} GLOB '{'[0-9a-f]' * 24}'", send=checked(declared))
        case _:
            return _Moment(column)


def _of_ours(column: Held) -> Form:
    match column.column.type:
        case Type.BOOL:
            return _Plain(column, decode=bool_of)
        case Type.FLOAT:
            return _Plain(column, in_json=None)
        case Type.DECIMAL:
            return _Decimal(column)
        case Type.BYTES:
            return _Bytes(column)
        case Type.ENUM:
            return _Enum(column)
        case Type.TEXT if column.column.collation == "nocase":
            return _NoCase(column)
        case Type.TEXT | Type.INT:
            return _Plain(column)
        case Type.TIME | Type.DATE:
            return _Plain(column, write=_usual)
        case _:
            return _Plain(column, send=checked(column.column))


def sql(expression: Expression) -> str:
    return str(expression.compile(dialect=DIALECT))


def each(name: str) -> sa.TableValuedAlias:
    return sa.func.json_each(sa.bindparam(name, type_=TEXT)).table_valued("value", name=f"each_{name}")


class _Plain(Form):
    """Values that are what they are. SQLite's columns have no say in what a parameter is."""

    def __init__(
        self,
        column: Held,
        *,
        send: Callable[[Value], Value | NoValue] | None = None,
        decode: Callable[[Any], Value] | None = None,
        in_json: str | None = "{0}",
        write: Callable[[Value], Value] | None = None,
    ) -> None:
        super().__init__(column)
        self.send = self.send_item = self.send_ordered = send
        self.decode = self.decode_least = self.decode_key = decode
        self.in_json = in_json
        self._write = write

    def encoder(self) -> Callable[[Value], Value] | None:
        return self._write or super().encoder()

    def parameter(self, name: str) -> Expression:
        return sa.bindparam(name, type_=TEXT)

    def item(self, value: Expression) -> Expression:
        """Return a value of a JSON array that was sent as ``parameter`` has it."""
        return value

    def within(self, column: Expression, items: sa.Select[Any]) -> Expression:
        return column.in_(items)

    def one_of(self, column: Expression, name: str) -> Expression:
        return self.within(column, sa.select(self.item(each(name).c.value)))

    def one_of_keys(self, column: Expression) -> Expression:
        return self.one_of(column, "keys")

    def contains(self, column: Expression, name: str) -> Expression:
        return sa.func.instr(column, self.parameter(name)) > _ZERO

    def starts_with(self, column: Expression, name: str) -> Expression:
        text = self.parameter(name)
        return sa.func.substr(column, sa.literal_column("1"), sa.func.length(text)) == text


def _usual(value: Value) -> Value:
    """Return a moment that may be written: as texts only those of the years 0 to 9999 stand in their order."""
    return fit(NO_VALUE) if value is not None and not value[:1].isdigit() else value


class _Guarded(_Plain):
    """A column of others that is compared as it is, so that its index is used, where ``test`` says that the value is of its type."""

    is_guarded = True

    def __init__(self, column: Held, test: str, **options: Any) -> None:
        super().__init__(column, **options)
        self._test = test
        # Numbers come before texts, and these before bytes: rows of what is no key are last, but for those that are numbers among texts.
        self._is_in_order = column.is_key and column.column.type in (Type.TEXT, Type.INT)

    def is_one(self, column: Expression) -> Expression:
        return sa.literal_column(f"({self._test.format(x=sql(column))})")

    def _or_null(self, column: Expression) -> Expression:
        return sa.literal_column(f"CASE WHEN {self._test.format(x=sql(column))} THEN {sql(column)} END")

    def equals(self, column: Expression, other: Expression) -> Expression:
        return sa.and_(column == other, self.is_one(column))

    def within(self, column: Expression, items: sa.Select[Any]) -> Expression:
        return sa.and_(super().within(column, items), self.is_one(column))

    def ranged(self, column: Expression, compare: Callable[[Any, Any], Any], name: str) -> Expression:
        plain: Expression = compare(column, self.ordered_parameter(name))
        return sa.and_(plain, self.is_one(column))

    def contains(self, column: Expression, name: str) -> Expression:
        return sa.and_(super().contains(column, name), self.is_one(column))

    def starts_with(self, column: Expression, name: str) -> Expression:
        return sa.and_(super().starts_with(column, name), self.is_one(column))

    def may_be_null(self, descending: bool) -> bool:
        return self.column.nullable or (self.is_guarded and (descending or not self._is_in_order))

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:
        return column if self._is_in_order and not descending else self._or_null(column)

    def least(self, column: Expression) -> Expression:
        return self._or_null(column)

    counted = least


class _Text(_Guarded):
    """Texts of others, by code point, whatever their column's collation is; an index of that collation serves them."""

    collation = "BINARY"

    def __init__(self, column: Held) -> None:
        super().__init__(column, "typeof({x}) = 'text'")
        self.is_guarded = not column.managed

    def _collated(self, column: Expression) -> Expression:
        return sa.literal_column(f"{sql(column)} COLLATE {self.collation}")

    def equals(self, column: Expression, other: Expression) -> Expression:
        return super().equals(self._collated(column), other)

    def within(self, column: Expression, items: sa.Select[Any]) -> Expression:
        return super().within(self._collated(column), items)

    def ranged(self, column: Expression, compare: Callable[[Any, Any], Any], name: str) -> Expression:
        return super().ranged(self._collated(column), compare, name)

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:
        return self._collated(column if self.held.managed else super().ordered(column, descending=descending))

    def least(self, column: Expression) -> Expression:
        return self._collated(super().least(column))

    def grouped(self, column: Expression) -> Expression:
        return sa.literal_column(f"{sql(column)} COLLATE BINARY")


class _NoCase(_Text):
    """Without regard to the case of A to Z, as the collation NOCASE has it."""

    collation = "NOCASE"

    def contains(self, column: Expression, name: str) -> Expression:
        return sa.func.instr(sa.func.lower(column), sa.func.lower(self.parameter(name))) > _ZERO

    def starts_with(self, column: Expression, name: str) -> Expression:
        text = sa.func.lower(self.parameter(name))
        return sa.func.substr(sa.func.lower(column), sa.literal_column("1"), sa.func.length(text)) == text


class _Decimal(_Plain):
    """A number of ours: exact, as no more than 15 digits are written, or a whole one of 64 bits."""

    def __init__(self, column: Held) -> None:
        scale = column.column.scale
        super().__init__(column, send=_number, decode=lambda value: _decimal(value, scale), in_json=None)
        self.send_ordered = _nearest
        self._column = column.column

    def encoder(self) -> Callable[[Value], Value]:
        def written(value: Value) -> Value:
            if value is None:
                return None
            found = value_of(self._column, value)
            return fit(NO_VALUE if found is NO_VALUE else _number(found))

        return written


def _number(text: Value) -> Value | NoValue:
    """Return the number that a DECIMAL is; NO_VALUE where a column has none that is exactly it."""
    if not isinstance(text, str) or value_of(_ANY_DECIMAL, text) is NO_VALUE:
        return NO_VALUE
    number = Decimal(text)
    if not number.is_finite():
        return NO_VALUE
    if number == number.to_integral_value() and INT_MIN <= number <= INT_MAX:
        return int(number)
    found = float(number)
    is_written = len(number.normalize().as_tuple().digits) <= EXACT_DIGITS and math.isfinite(found) and Decimal(repr(found)) == number
    return found if is_written else NO_VALUE


def _nearest(text: Value) -> Value | NoValue:
    exact = _number(text)
    if exact is not NO_VALUE or value_of(_ANY_DECIMAL, text) is NO_VALUE:
        return exact
    number = Decimal(text)
    return NO_VALUE if number.is_nan() else float(number)


def _decimal(value: Any, scale: int | None) -> str:
    found = decimal_of(value, scale)
    if found is None:
        raise ValueError("no number")
    return found


class _Normal(_Plain):
    """Values of others that are written in several ways: compared and ordered by what a function makes of them, without their index."""

    is_guarded = True

    def normal(self, column: Expression) -> Expression:
        """Return what is the same for all ways to write a value, in its order; NULL for what is none."""
        raise NotImplementedError

    def equals(self, column: Expression, other: Expression) -> Expression:
        return self.normal(column) == other

    def within(self, column: Expression, items: sa.Select[Any]) -> Expression:
        return super().within(self.normal(column), items)

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:  # noqa: ARG002
        return self.normal(column)

    def tested(self, column: Expression) -> Expression:
        return self.normal(column)

    def least(self, column: Expression) -> Expression:
        return self.normal(column)

    counted = least


class _AnyDecimal(_Normal):
    def __init__(self, column: Held) -> None:
        scale = column.column.scale
        super().__init__(column, send=_decimal_key, decode=lambda value: _decimal(value, scale), in_json=None)
        self.decode_least = lambda value: decimal_of_order(value, scale)
        self.decode_key = lambda value: decimal_of_order(_marked(value), scale)
        self._scale = ANY_SCALE if scale is None else scale

    def encoder(self) -> Callable[[Value], Value]:
        # A text goes into a column of numbers as one, and stays as it is in one of texts.
        return lambda value: None if value is None else fit(value_of(self.column, value))

    def normal(self, column: Expression) -> Expression:
        return sa.func.decimal_order(column, sa.literal_column(str(self._scale)))

    def grouped(self, column: Expression) -> Expression:
        return sa.func.coalesce(sa.func.char(sa.literal_column(str(_MARK))).op("||")(self.normal(column)), column)


_MARK = 1  # the character before what ``decimal_order`` made, which nothing else has


def _marked(value: Any) -> str:
    if not isinstance(value, str) or value[:1] != chr(_MARK):
        raise ValueError("no number")
    return value[1:]


def _decimal_key(text: Value) -> Value | NoValue:
    found = decimal_order(text, ANY_SCALE) if isinstance(text, str) else None
    return NO_VALUE if found is None else found


class _Moment(_Normal):
    """A TIME, DATE or CLOCK as others write it."""

    def __init__(self, column: Held) -> None:
        declared = column.column
        of_any_precision = replace(declared, precision=9)  # what is compared may have more digits than what is there

        def send(value: Value) -> Value | NoValue:
            if fits(declared, value):
                return moment_order(value)
            return NO_VALUE if value_of(of_any_precision, value) is NO_VALUE else moment_order(value)

        super().__init__(column, send=send)

    def encoder(self) -> Callable[[Value], Value]:
        return lambda value: None if value is None else fit(value_of(self.column, value))

    def wire(self, column: Expression) -> Expression:
        if self.column.type is Type.DATE:
            return sa.func.wire_date(column)
        function = sa.func.wire_time if self.column.type is Type.TIME else sa.func.wire_clock
        return function(column, sa.literal_column(str(self.column.precision)))

    def normal(self, column: Expression) -> Expression:
        return self.wire(column) if self.column.type is Type.CLOCK else sa.func.moment_order(self.wire(column))

    def shown(self, expression: Expression) -> Expression:
        return sa.func.coalesce(self.wire(expression), expression)

    def grouped(self, column: Expression) -> Expression:
        return self.shown(column)

    def shown_key(self, expression: Expression) -> Expression:
        return expression

    def shown_least(self, expression: Expression) -> Expression:
        return expression if self.column.type is Type.CLOCK else sa.func.moment_of_order(expression)


class _Uuid(_Normal):
    """Texts in small or capital letters, of which either is looked up in the index."""

    def __init__(self, column: Held) -> None:
        super().__init__(column, send=checked(column.column))

    def normal(self, column: Expression) -> Expression:
        x = sql(column)
        return sa.literal_column(f"CASE WHEN lower({x}) GLOB '{UUID_GLOB}' AND typeof({x}) = 'text' THEN lower({x}) END")

    def equals(self, column: Expression, other: Expression) -> Expression:
        return column.in_([other, sa.func.upper(other)])

    def within(self, column: Expression, items: sa.Select[Any]) -> Expression:
        [value] = items.selected_columns
        return column.in_(sa.union_all(items, items.with_only_columns(sa.func.upper(value))))

    def shown(self, expression: Expression) -> Expression:
        x = sql(expression)
        return sa.literal_column(f"CASE WHEN typeof({x}) = 'text' THEN lower({x}) ELSE {x} END")

    def grouped(self, column: Expression) -> Expression:
        return self.shown(column)

    def shown_key(self, expression: Expression) -> Expression:
        return expression


class _Bytes(_Guarded):
    """Bytes, which JSON cannot hold: they travel in hexadecimal digits."""

    def __init__(self, column: Held) -> None:
        is_ours = checked(column.column)
        super().__init__(
            column,
            "typeof({x}) = 'blob'",
            send=lambda value: base64.b64decode(value) if is_ours(value) is not NO_VALUE else NO_VALUE,
            decode=lambda value: base64.b64encode(bytes.fromhex(value)).decode(),
        )
        self.send_item = lambda value: base64.b64decode(value).hex() if is_ours(value) is not NO_VALUE else NO_VALUE
        self.is_guarded = not column.managed

    def item(self, value: Expression) -> Expression:
        return sa.func.from_hex(value)

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:
        return column if self.held.managed else super().ordered(column, descending=descending)

    def shown(self, expression: Expression) -> Expression:
        x = sql(expression)
        return sa.literal_column(f"CASE typeof({x}) WHEN 'blob' THEN hex({x}) WHEN 'null' THEN NULL ELSE 0 END")


class _Enum(_Guarded):
    """Texts, ordered by their places among the values, which no index has."""

    def __init__(self, column: Held) -> None:
        super().__init__(column, "typeof({x}) = 'text'", send=checked(column.column))
        self.is_guarded = not column.managed
        places = {value: place for place, value in enumerate(column.column.values)}
        self.send_ordered = lambda value: places.get(value, NO_VALUE)
        self._cases = " ".join(f"WHEN '{value.replace(chr(39), 2 * chr(39))}' THEN {place}" for value, place in places.items())

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:  # noqa: ARG002
        return sa.literal_column(f"CASE {sql(column)} {self._cases} END")

    def ranged(self, column: Expression, compare: Callable[[Any, Any], Any], name: str) -> Expression:
        found: Expression = compare(self.ordered(column), self.ordered_parameter(name))
        return found


class _Json(_Plain):
    def __init__(self, column: Held) -> None:
        super().__init__(column, decode=loaded, in_json=_JSON_TEXT)

    def encoder(self) -> Callable[[Value], Value] | None:
        if self.column.nullable:
            return lambda value: None if value is None else json_text(value)
        return json_text


class _List(_Plain):
    """A JSON array of wire values; what is no array has nothing in it, and is not empty either."""

    def __init__(self, column: Held) -> None:
        super().__init__(column, decode=loaded, in_json=_JSON_TEXT)
        self.item_column = item_of(column).column
        if self.item_column.type is Type.DECIMAL:
            self.send = self.send_item = _decimal_key

    def encoder(self) -> Callable[[Value], Value]:
        return lambda value: None if value is None else json_text(value)

    def _array(self, column: Expression) -> str:
        x = sql(column)
        return f"CASE WHEN json_valid({x}) THEN CASE json_type({x}) WHEN 'array' THEN {x} END END"

    def _any(self, column: Expression, condition: Callable[[Expression], Expression]) -> Expression:
        items = sa.func.json_each(sa.literal_column(self._array(column))).table_valued("value", name="items")
        value: Expression = items.c.value
        if self.item_column.type is Type.DECIMAL:
            value = sa.func.decimal_order(value, sa.literal_column(str(ANY_SCALE)))
        return sa.exists(sa.select(sa.literal_column("1")).select_from(items).where(condition(value)))

    def has(self, column: Expression, name: str) -> Expression:
        return self._any(column, lambda value: value == self.parameter(name))

    def has_any(self, column: Expression, name: str) -> Expression:
        return self._any(column, lambda value: value.in_(sa.select(each(name).c.value)))

    def is_empty(self, column: Expression) -> Expression:
        return sa.func.coalesce(sa.func.json_array_length(sa.literal_column(self._array(column))) == _ZERO, sa.literal_column("0"))


def bool_of(value: Any) -> Value:
    """Return what 0 and 1 mean; anything else is none of a BOOL, and is left as it is."""
    return bool(value) if value in (0, 1) else value


def loaded(value: Any) -> Value:
    return orjson.loads(value) if isinstance(value, str | bytes) else value
