"""What PostgreSQL does with each type of column.

Parameters are texts as PostgreSQL writes the type, cast to it, so that neither side needs a class of Python's for them, and the column's
index serves what is compared with it. Values are shown by the server. Columns that are not ours may hold moments that ``to_char`` cannot
say, NaN among floats, texts of another type than ``text`` and of another collation than "C". Longer than 400 lines: who adds a type, or
asks what is done with one, finds all of them side by side.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.types import TypeEngine

from gateway.errors import BadUserInput
from gateway.stores.base import Type, Value
from gateway.stores.sql.forms import NO_NUMBER, TEXT, UNFIT, Expression, Form, Held, checked, finite, fit, item_of, json_text
from gateway.stores.sql.tables import Named
from gateway.stores.types import INFINITY, MINUS_INFINITY, NO_VALUE, NoValue, value_of
from gateway.stores.values import Unreadable

_PG_DIALECT: Any = PGDialect  # not annotated by SQLAlchemy
DIALECT = _PG_DIALECT(paramstyle="numeric_dollar")

TIMESTAMP = postgresql.TIMESTAMP(timezone=True)
_UTC: Expression = sa.literal_column("'UTC'")
_C = "C"
_FRACTIONS = {0: "", 3: ".MS", 6: ".US", 9: '.US"000"'}
FIRST_YEAR, LAST_YEAR = -4712, 294_276  # whole years of a TIME; of a DATE there are more


def form_of(column: Held) -> Form:
    declared = column.column
    if declared.many and declared.type is not Type.JSON:
        return _List(column)
    match declared.type:
        case Type.TEXT if declared.collation == "nocase":
            return _NoCase(column)
        case Type.TEXT | Type.OBJECT_ID:
            return _Plain(column, checked(declared) if declared.type is Type.OBJECT_ID else None) if column.managed else _Text(column)
        case Type.BOOL:
            return _Plain(column, sent=sa.Boolean())
        case Type.INT:
            return _Int(column)
        case Type.FLOAT:
            return _Plain(column, sent=sa.Double()) if column.managed else _Float(column)
        case Type.DECIMAL:
            return _Decimal(column) if column.managed or declared.scale is None else _FiniteDecimal(column)
        case Type.TIME | Type.DATE:
            return _Moment(column)
        case Type.CLOCK:
            return _Clock(column)
        case Type.UUID:
            return _Uuid(column)
        case Type.BYTES:
            return _Bytes(column)
        case Type.ENUM:
            return _Enum(column) if declared.enum else _EnumAsText(column)
        case _:
            return _Json(column)


class PgForm(Form):
    """``sent`` is the type that a parameter is sent as, ``own`` the column's own, which it is cast to."""

    sent: TypeEngine[Any] = TEXT
    own: TypeEngine[Any] | None = None

    @property
    def type(self) -> TypeEngine[Any]:
        return self.own or self.sent

    def parameter(self, name: str) -> Expression:
        sent = sa.cast(sa.bindparam(name, type_=self.sent), self.sent)
        return sent if self.own is None else sa.cast(sent, self.own)

    def items(self, name: str) -> Expression:
        """Return a bound list, item by item, as an array of the column's type."""
        sent = self.sent_items(name)
        return sent if self.own is None else sa.cast(sent, postgresql.ARRAY(self.own))

    def sent_items(self, name: str) -> Expression:
        sent = postgresql.ARRAY(self.sent)
        return sa.cast(sa.bindparam(name, type_=sent), sent)

    def written(self, sent: Expression) -> Expression:
        """Return what was sent, one value of ``sent_items``, as it is written."""
        return sent if self.own is None else sa.cast(sent, self.own)

    def keys(self, name: str) -> Expression:
        """Return the array of the column's type that ``array_literal`` writes: a subquery, so that it is read once, not for each row.

        PERF: asyncpg looks at each item of a list, which costs 0.2 µs a key, more than all else that is done for it; the server reads the
        literal in less time than it saves (200 keys: 47 µs of CPU here instead of 85, and 205 µs in all instead of 243).
        """
        array = postgresql.ARRAY(self.type)
        sent = sa.cast(sa.cast(sa.bindparam(name, type_=TEXT), TEXT), array)
        return sa.cast(sa.select(sent).scalar_subquery(), array)

    def one_of(self, column: Expression, name: str) -> Expression:
        return column == sa.any_(self.items(name))

    def one_of_keys(self, column: Expression) -> Expression:
        return column == sa.any_(self.keys("keys"))

    def contains(self, column: Expression, name: str) -> Expression:
        return sa.func.strpos(column, self.parameter(name)) > sa.literal_column("0")

    def starts_with(self, column: Expression, name: str) -> Expression:
        return sa.func.starts_with(column, self.parameter(name), type_=sa.Boolean())

    def shown_all(self, expression: Expression) -> Expression:
        """Return a list of such values as a result."""
        text = sql(self.shown(sa.literal_column("items.item")))
        x = sql(expression)
        array = f"ARRAY(SELECT {text} FROM unnest({x}) WITH ORDINALITY AS items (item, place) ORDER BY items.place)"  # noqa: S608 - our own text
        return sa.literal_column(f"CASE WHEN {x} IS NULL THEN NULL ELSE {array} END")


def sql(expression: Expression) -> str:
    return str(expression.compile(dialect=DIALECT))


class _Plain(PgForm):
    def __init__(self, column: Held, send: Callable[[Value], Value | NoValue] | None = None, sent: TypeEngine[Any] = TEXT) -> None:
        super().__init__(column)
        self.sent = sent
        self.send = self.send_item = self.send_ordered = send

    def shown_all(self, expression: Expression) -> Expression:
        return expression


class _Int(_Plain):
    def __init__(self, column: Held) -> None:
        super().__init__(column, sent=sa.BigInteger())

    def whole(self, column: Expression) -> Expression:
        return column if self.held.managed else sa.cast(column, self.sent)


class _Text(_Plain):
    """Texts of others: of any type of texts, and collated in any way."""

    def __init__(self, column: Held) -> None:
        super().__init__(column, checked(column.column) if column.column.type is Type.OBJECT_ID else None)
        self.own = Named("bpchar") if column.is_padded else None

    def _text(self, name: str) -> Expression:
        return sa.cast(sa.bindparam(name, type_=TEXT), TEXT)

    def ordered_parameter(self, name: str) -> Expression:
        return self._text(name)

    def _by_code_point(self, column: Expression) -> Expression:
        return sa.collate(sa.cast(column, TEXT), _C)

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:  # noqa: ARG002
        return self._by_code_point(column)

    def least(self, column: Expression) -> Expression:
        return self._by_code_point(column)

    def contains(self, column: Expression, name: str) -> Expression:
        return sa.func.strpos(sa.cast(column, TEXT), self._text(name)) > sa.literal_column("0")

    def starts_with(self, column: Expression, name: str) -> Expression:
        return sa.func.starts_with(sa.cast(column, TEXT), self._text(name), type_=sa.Boolean())

    def shown(self, expression: Expression) -> Expression:
        return sa.cast(expression, TEXT)

    def shown_all(self, expression: Expression) -> Expression:
        return sa.cast(expression, postgresql.ARRAY(TEXT))


class _NoCase(PgForm):
    """citext: compared as such, so that its index is used; ordered by its small letters, by code point."""

    own = Named("citext")

    def _small(self, text: Expression) -> Expression:
        return sa.func.lower(sa.cast(text, TEXT))

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:  # noqa: ARG002
        return sa.collate(self._small(column), _C)

    def ordered_parameter(self, name: str) -> Expression:
        return sa.collate(self._small(sa.bindparam(name, type_=TEXT)), _C)

    def contains(self, column: Expression, name: str) -> Expression:
        return sa.func.strpos(self._small(column), self._small(sa.bindparam(name, type_=TEXT))) > sa.literal_column("0")

    def starts_with(self, column: Expression, name: str) -> Expression:
        return sa.func.starts_with(self._small(column), self._small(sa.bindparam(name, type_=TEXT)), type_=sa.Boolean())

    def shown(self, expression: Expression) -> Expression:
        return sa.cast(expression, TEXT)

    def grouped(self, column: Expression) -> Expression:
        return sa.cast(column, TEXT)

    def least(self, column: Expression) -> Expression:
        return sa.cast(column, self.own)

    def shown_all(self, expression: Expression) -> Expression:
        return sa.cast(expression, postgresql.ARRAY(TEXT))


class _Finite(PgForm):
    """Numbers of others: what is not finite is an error of its field, has a null's place in an order, and equals nothing."""

    is_guarded = True
    _test = "{x} > '-Infinity' AND {x} < 'Infinity'"  # NaN is greater than all else to PostgreSQL

    def _is_one(self, column: Expression) -> Expression:
        return sa.literal_column(f"({self._test.format(x=sql(column))})")

    def _or_null(self, column: Expression) -> Expression:
        return sa.case((self._is_one(column), column))

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:  # noqa: ARG002
        return self._or_null(column)

    def ranged(self, column: Expression, compare: Callable[[Any, Any], Any], name: str) -> Expression:
        # The column itself stays in the comparison, for its index.
        plain: Expression = compare(column, self.parameter(name))
        return sa.and_(plain, self._is_one(column))

    def least(self, column: Expression) -> Expression:
        return self._or_null(column)

    counted = least


class _Float(_Finite, _Plain):
    """Floats of others: neither NaN nor an infinity is one of ours."""

    def __init__(self, column: Held) -> None:
        super().__init__(column, sent=sa.Double())
        self.decode = self.decode_least = self.decode_key = finite


class _Decimal(PgForm):
    own = sa.Numeric()

    def __init__(self, column: Held) -> None:
        super().__init__(column)
        any_scale = replace(column.column, scale=None)  # what is compared may have more decimals than what is there
        self.send = self.send_item = self.send_ordered = lambda value: value_of(any_scale, value)

    def encoder(self) -> Callable[[Value], Value] | None:
        return lambda value: None if value is None else fit(value_of(self.column, value))

    def shown(self, expression: Expression) -> Expression:
        scale = self.column.scale
        return sa.cast(expression if scale is None else sa.func.round(expression, sa.literal_column(str(scale))), TEXT)

    def shown_key(self, expression: Expression) -> Expression:
        return self.shown(expression) if self.column.scale is not None else sa.cast(sa.func.trim_scale(expression), TEXT)


class _FiniteDecimal(_Finite, _Decimal):
    """Numbers of others with a scale: NaN, which PostgreSQL keeps there, has none."""

    def __init__(self, column: Held) -> None:
        super().__init__(column)
        self.decode = self.decode_least = self.decode_key = lambda value: Unreadable(NO_NUMBER) if value == "NaN" else value


class _Moment(PgForm):
    """TIME and DATE. In columns of ours there are those of the years 1 to 9999 alone, so that one function shows them."""

    def __init__(self, column: Held) -> None:
        super().__init__(column)
        is_time = column.column.type is Type.TIME
        self.own = TIMESTAMP if is_time else sa.Date()
        send = self.send = self.send_item = _time_text if is_time else _date_text

        def send_ordered(value: Value) -> Value:
            sent = send(value)
            return value if sent is NO_VALUE else sent  # the server says what is wrong with it

        self.send_ordered = send_ordered

    def encoder(self) -> Callable[[Value], Value] | None:
        return None if self.held.managed else super().encoder()

    def shown(self, expression: Expression) -> Expression:
        # PERF: formatting in the server took a flat list from 1,150 to 2,900 requests/s, against strftime here.
        if self.column.type is Type.DATE:
            usual: Expression = sa.func.to_char(expression, sa.literal_column("'YYYY-MM-DD'"))
            rest = f"substring(CAST({sql(expression)} AS text) from '-[0-9]{{2}}-[0-9]{{2}}')"
        else:
            fraction = _FRACTIONS[self.column.precision]
            in_utc = sa.func.timezone(_UTC, expression)
            usual = sa.func.to_char(in_utc, sa.literal_column(f"""'YYYY-MM-DD"T"HH24:MI:SS{fraction}"Z"'"""))
            rest = f"""to_char({sql(in_utc)}, '-MM-DD"T"HH24:MI:SS{fraction}"Z"')"""
        if self.held.managed:
            return usual
        return sa.literal_column(_UNUSUAL.format(x=sql(expression), usual=sql(usual), rest=rest))


# The year before 1 is -1 to PostgreSQL, and 0 to ISO 8601.
_YEAR = "CAST(extract(year from {x}) + CASE WHEN extract(year from {x}) < 0 THEN 1 ELSE 0 END AS integer)"
_UNUSUAL = (
    "CASE WHEN {x} >= '0001-01-01' AND {x} < '10000-01-01' THEN {usual} WHEN NOT isfinite({x}) THEN CAST({x} AS text) ELSE "
    f"CASE WHEN {_YEAR} < 0 THEN '-' WHEN {_YEAR} > 9999 THEN '+' ELSE '' END || "
    f"lpad(CAST(abs({_YEAR}) AS text), greatest(4, length(CAST(abs({_YEAR}) AS text))), '0') || {{rest}} END"
)


def _time_text(value: Value) -> Value | NoValue:
    return value if _is_usual(value) else _unusual(value, FIRST_YEAR, LAST_YEAR, "T")


def _date_text(value: Value) -> Value | NoValue:
    return value if _is_usual(value) else _unusual(value, FIRST_YEAR, 999_999, "")


def _is_usual(value: str) -> bool:
    return value[:1].isdigit() and value[:4] != "0000"


def _unusual(value: str, first: int, last: int, separator: str) -> Value | NoValue:
    """Return a moment of another year than 1 to 9999 as PostgreSQL has it; the first or the last that it has where it has it not."""
    if value in (INFINITY, MINUS_INFINITY):
        return value
    signed = value if value[:1] in "+-" else f"+{value}"
    year_text, mark, rest = signed[1:].partition("-")
    if not mark or not year_text.isdigit():
        return NO_VALUE
    year = int(year_text) if signed[0] == "+" else -int(year_text)
    if year < first:
        year, rest = first, f"01-01{separator and 'T00:00:00Z'}"
    elif year > last:
        year, rest = last, f"12-31{separator and 'T23:59:59.999999Z'}"
    return f"{year:04}-{rest}" if year > 0 else f"{1 - year:04}-{rest} BC"


class _Clock(PgForm):
    own = sa.Time()

    def __init__(self, column: Held) -> None:
        super().__init__(column)
        self.send = self.send_item = self.send_ordered = checked(column.column)

    def shown(self, expression: Expression) -> Expression:
        return sa.func.to_char(expression, sa.literal_column(f"'HH24:MI:SS{_FRACTIONS[self.column.precision]}'"))


class _Uuid(PgForm):
    own = postgresql.UUID()

    def __init__(self, column: Held) -> None:
        super().__init__(column)
        self.send = self.send_item = self.send_ordered = checked(column.column)

    def shown(self, expression: Expression) -> Expression:
        return sa.cast(expression, TEXT)

    def shown_all(self, expression: Expression) -> Expression:
        return sa.cast(expression, postgresql.ARRAY(TEXT))


class _Bytes(PgForm):
    own = postgresql.BYTEA()

    def __init__(self, column: Held) -> None:
        super().__init__(column)
        is_ours = checked(column.column)

        def send(value: Value) -> Value | NoValue:
            return f"\\x{base64.b64decode(value).hex()}" if is_ours(value) is not NO_VALUE else NO_VALUE

        self.send = self.send_item = self.send_ordered = send

    def shown(self, expression: Expression) -> Expression:
        # encode() begins a new line after 76 characters.
        encoded = sa.func.encode(expression, sa.literal_column("'base64'"))
        return sa.func.translate(encoded, sa.func.chr(sa.literal_column("10")), sa.literal_column("''"))


class _Enum(PgForm):
    """A type of the database's own. What is compared is looked up among its values: one that it does not have equals nothing."""

    def __init__(self, column: Held) -> None:
        super().__init__(column)
        self.own = Named(column.column.enum)
        self.send = self.send_item = self.send_ordered = checked(column.column)

    def _where(self, condition: Callable[[Expression], Expression]) -> sa.Select[Any]:
        its = sa.func.unnest(sa.func.enum_range(sa.cast(sa.null(), self.type))).column_valued("its")
        return sa.select(its).where(condition(sa.cast(its, TEXT)))

    def parameter(self, name: str) -> Expression:
        sent = sa.cast(sa.bindparam(name, type_=TEXT), TEXT)
        return self._where(lambda text: text == sent).scalar_subquery()

    def is_value(self, column: Expression, name: str) -> Expression:
        sent = sa.cast(sa.bindparam(name, type_=TEXT), TEXT)
        return column == sa.any_(sa.func.array(self._where(lambda text: text == sent).scalar_subquery()))

    def items(self, name: str) -> Expression:
        return sa.func.array(self._where(lambda text: text == sa.any_(self.sent_items(name))).scalar_subquery())

    def keys(self, name: str) -> Expression:
        """Return as many values as keys, a null in place of what the type does not have."""
        texts = sa.cast(sa.cast(sa.bindparam(name, type_=TEXT), TEXT), postgresql.ARRAY(TEXT))
        each = sa.func.unnest(texts).table_valued("key", with_ordinality="place").render_derived("each_key")
        value = self._where(lambda text: text == each.c.key).correlate(each).scalar_subquery()
        return sa.func.array(sa.select(value).select_from(each).order_by(each.c.place).scalar_subquery())

    def shown(self, expression: Expression) -> Expression:
        return sa.cast(expression, TEXT)

    def shown_all(self, expression: Expression) -> Expression:
        return sa.cast(expression, postgresql.ARRAY(TEXT))


class _EnumAsText(_Text):
    """An ENUM kept as text: ordered by its values' places, which nothing else has."""

    def __init__(self, column: Held) -> None:
        super().__init__(column)
        self.is_guarded = not column.managed
        places = {value: place for place, value in enumerate(column.column.values, 1)}
        self.send = self.send_item = checked(column.column)
        self.send_ordered = lambda value: places.get(value, NO_VALUE)
        quoted = ", ".join(f"'{value.replace(chr(39), 2 * chr(39))}'" for value in column.column.values)
        self._values: Expression = sa.literal_column(f"CAST(ARRAY[{quoted}] AS text[])")

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:  # noqa: ARG002
        return sa.func.array_position(self._values, sa.cast(column, TEXT))

    def ordered_parameter(self, name: str) -> Expression:
        return sa.cast(sa.bindparam(name, type_=sa.BigInteger()), sa.BigInteger())

    def shown(self, expression: Expression) -> Expression:
        return expression if self.held.managed else super().shown(expression)


class _Json(PgForm):
    own = postgresql.JSON()

    def encoder(self) -> Callable[[Value], Value] | None:
        if self.column.nullable:
            return lambda value: None if value is None else json_text(value)
        return json_text


class _List(PgForm):
    def __init__(self, column: Held) -> None:
        super().__init__(column)
        item = form_of(item_of(column))
        assert isinstance(item, PgForm)
        self.item = item
        self.send, self.send_item = item.send, item.send_item
        # A domain or varchar[] of others is an array of texts where it has to be one.
        self.own = postgresql.ARRAY(item.type)

    def encoder(self) -> Callable[[Value], Value] | None:
        encode = self.item.encoder() or self.item.send
        if self.column.type is Type.TEXTS:
            return lambda value: None if value is None else array_literal(value)

        def written(value: Value) -> Value:
            if value is None:
                return None
            return array_literal([_literal(item if encode is None else encode(item)) for item in value])

        return written

    def _any(self, column: Expression, condition: Callable[[Expression], Expression]) -> Expression:
        items = sa.func.unnest(column).table_valued("item").render_derived("items")
        return sa.exists(sa.select(sa.literal_column("1")).select_from(items).where(condition(items.c.item)))

    def has(self, column: Expression, name: str) -> Expression:
        return self._any(column, lambda item: item == self.item.parameter(name))

    def has_any(self, column: Expression, name: str) -> Expression:
        return self._any(column, lambda item: item == sa.any_(self.item.items(name)))

    def is_empty(self, column: Expression) -> Expression:
        return sa.func.coalesce(sa.func.cardinality(column) == sa.literal_column("0"), sa.false())

    def shown(self, expression: Expression) -> Expression:
        if self.column.type is Type.TEXTS and self.held.managed:
            return expression
        return self.item.shown_all(expression)


def _literal(value: Value) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    if value is None or value is NO_VALUE:
        raise BadUserInput(UNFIT)
    return value if isinstance(value, str) else repr(value)


def array_literal(values: Sequence[str]) -> str:
    """Return an array of texts as PostgreSQL writes it: '{"a","b"}'."""
    if not values:
        return "{}"
    try:
        joined = '","'.join(values)
    except TypeError as error:
        raise BadUserInput(UNFIT) from error
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join([value.replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return '{"' + joined + '"}'


def keys_literal(values: Sequence[Value]) -> str:
    """Return the values of a column's keys, as they are sent, as an array."""
    return array_literal([_literal(value) for value in values])
