"""Say the same thing in PostgreSQL and in SQLite: parameters, formats, filters, buckets, a page per parent, writes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from gateway.errors import BadUserInput
from gateway.stores.base import Collection, Column, Interval, Key, Row, Type, Value

Expression = sa.ColumnElement[Any]
Decoder = Callable[[Any], Value]
Conditions = Callable[[sa.FromClause], list[Expression]]  # of a table or an alias of it

_PG_DIALECT: Any = PGDialect  # not annotated by SQLAlchemy
_SQLITE_DIALECT: Any = SQLiteDialect
UNFIT = "A value cannot be kept in or compared with its column."
ROWS_PER_STATEMENT = 2_500  # of an upsert in PostgreSQL: each statement stays far below the statement timeout


class Dialect(ABC):
    """What differs between the two. Names of parameters: keys, parents, pairs, limit, w0… (filters), a0…, b0… (bounds)."""

    kind: str
    enforces_types: bool
    sqlalchemy: sa.Dialect
    by_name: sa.Dialect  # the same with parameters as native queries have them
    decoders: Mapping[Type, Decoder]  # for values of our own tables that are not wire values yet
    native_decoders: Mapping[Type, Decoder]  # for values of native queries

    @abstractmethod
    def many(self, values: Sequence[Value]) -> Value:
        """Return a list as one parameter, so that a statement's text does not depend on how many there are."""

    @abstractmethod
    def keys(self, keys: Sequence[Key]) -> Value:
        """Return the keys of a call as one parameter, named ``keys``; there may be many."""

    @abstractmethod
    def pairs_values(self, pairs: Sequence[tuple[Key, Key]]) -> dict[str, Value]: ...

    @abstractmethod
    def value(self, name: str, type_: Type) -> Expression:
        """Return the bound parameter ``name``, comparable with a column of that type."""

    @abstractmethod
    def is_one_of(self, column: Expression, name: str, type_: Type) -> Expression: ...

    @abstractmethod
    def contains(self, column: Expression, text: Expression) -> Expression: ...

    @abstractmethod
    def starts_with(self, column: Expression, text: Expression) -> Expression: ...

    @abstractmethod
    def shown(self, expression: Expression, type_: Type) -> Expression:
        """Return the expression as a result column: a wire value, or what ``decoders`` makes one of."""

    def at_once(self, text: str, types: Sequence[Type]) -> tuple[str, bool]:  # noqa: ARG002 - SQLite's has a use for them
        """Return a query for the same rows, and whether its one row is a JSON array of all of them."""
        return text, False

    @abstractmethod
    def bucket(self, column: Expression, interval: Interval) -> Expression:
        """Return a TIME: the start of the bucket, not yet ``shown``."""

    @abstractmethod
    def float_sum(self, column: Expression) -> Expression:
        """Return the sum of a FLOAT as ``Part`` has it: the exact sum rounded once, in whatever order the rows come."""

    @abstractmethod
    def pairs(self) -> sa.FromClause:
        """Return the bound pairs as a table of (parent, key)."""

    @abstractmethod
    def page_per_parent(
        self,
        source: sa.Table,
        parent: str,
        columns: Sequence[str],
        types: Sequence[Type],
        wanted: Conditions,
        ordering: Conditions,
        limit: sa.BindParameter[int],
    ) -> sa.Select[Any]:
        """Return a query of up to ``limit`` rows for each of the bound keys, read from an index on (parent, order…)."""

    @abstractmethod
    def upsert(self, source: sa.Table, collection: Collection) -> sa.ClauseElement: ...

    @abstractmethod
    def upsert_values(self, collection: Collection, rows: Sequence[Row]) -> list[tuple[Value, ...]]:
        """Return what the upsert statement is executed with: once for each."""

    @abstractmethod
    def delete(self, source: sa.Table, collection: Collection) -> sa.ClauseElement: ...

    @abstractmethod
    def delete_values(self, keys: Sequence[tuple[Key, ...]]) -> list[tuple[Value, ...]]: ...

    @abstractmethod
    def native_text(self, query: str) -> tuple[str, tuple[str, ...]]:
        """Return the native query as the driver wants it, and the names of its parameters in order."""


# --------------------------------------------------------------------------------------------------------------- PostgreSQL

_TIME_FORMAT: Expression = sa.literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'""")
_DATE_FORMAT: Expression = sa.literal_column("'YYYY-MM-DD'")
_UTC: Expression = sa.literal_column("'UTC'")
_INTERVALS: dict[Interval, Expression] = {
    "hour": sa.literal_column("'hour'"),
    "day": sa.literal_column("'day'"),
    "week": sa.literal_column("'week'"),
    "month": sa.literal_column("'month'"),
}
_SENT_AS: dict[Type, sa.types.TypeEngine[Any]] = {Type.BOOL: sa.Boolean(), Type.INT: sa.BigInteger(), Type.FLOAT: sa.Double()}
_CAST_TO: dict[Type, sa.types.TypeEngine[Any]] = {
    Type.TIME: postgresql.TIMESTAMP(timezone=True),
    Type.DATE: sa.Date(),
    Type.JSON: postgresql.JSON(),
    Type.TEXTS: postgresql.ARRAY(sa.Text()),
}


class PostgreSQL(Dialect):
    kind = "postgresql"
    enforces_types = True
    sqlalchemy = _PG_DIALECT(paramstyle="numeric_dollar")
    by_name = _PG_DIALECT(paramstyle="named")
    decoders: Mapping[Type, Decoder] = {}  # the driver decodes JSON, and times are formatted by the server

    def __init__(self) -> None:
        self.native_decoders = {Type.INT: int, Type.FLOAT: float, Type.BOOL: bool, Type.TIME: _wire_time, Type.DATE: _wire_date}

    def many(self, values: Sequence[Value]) -> Value:
        return list(values)

    def keys(self, keys: Sequence[Key]) -> Value:
        return _array_literal(keys)

    def pairs_values(self, pairs: Sequence[tuple[Key, Key]]) -> dict[str, Value]:
        return {"parents": _array_literal([parent for parent, _ in pairs]), "keys": _array_literal([key for _, key in pairs])}

    def value(self, name: str, type_: Type) -> Expression:
        # Times go as text: the driver would want a datetime for a parameter of that type.
        sent = _SENT_AS.get(type_, _TEXT)
        parameter = sa.cast(sa.bindparam(name, type_=sent), sent)
        return sa.cast(parameter, _CAST_TO[type_]) if type_ in _CAST_TO else parameter

    def is_one_of(self, column: Expression, name: str, type_: Type) -> Expression:
        return column == sa.any_(_array_of_keys(name) if name == "keys" else _array(name, type_))

    def contains(self, column: Expression, text: Expression) -> Expression:
        return sa.func.strpos(column, text) > sa.literal_column("0")

    def starts_with(self, column: Expression, text: Expression) -> Expression:
        return sa.func.starts_with(column, text, type_=sa.Boolean())

    def shown(self, expression: Expression, type_: Type) -> Expression:
        # PERF: formatting in the server took a flat list from 1,150 to 2,900 requests/s, against strftime here.
        if type_ is Type.TIME:
            return sa.func.to_char(sa.func.timezone(_UTC, expression), _TIME_FORMAT)
        if type_ is Type.DATE:
            return sa.func.to_char(expression, _DATE_FORMAT)
        return expression

    def bucket(self, column: Expression, interval: Interval) -> Expression:
        return sa.func.date_trunc(_INTERVALS[interval], column, _UTC)

    def float_sum(self, column: Expression) -> Expression:
        """Return it as text, which is rounded where it is read.

        PostgreSQL adds floats in the order that it comes by them, and no cast of one to ``numeric`` keeps more than 15 digits. So each is
        cut into whole numbers of 62 bits, which is exact: those before the point, and twice those behind it.
        """
        x = str(column.compile(dialect=self.sqlalchemy))
        first = f"({x} - trunc({x})) * {_SCALE}"
        second = f"({first} - trunc({first})) * {_SCALE}"
        is_cut = f"abs({x}) >= CAST(2 ^ -71 AS double precision) AND abs({x}) < {_SCALE}"

        def sum_of(value: str, sort: str, condition: str) -> str:
            return f"coalesce(sum(CAST({value} AS {sort})) FILTER (WHERE {condition}), 0)"

        cut = [sum_of(f"trunc({value})", "bigint", is_cut) for value in (x, first, second)]
        rest = sum_of(f"CAST({x} AS text)", "numeric", f"NOT ({is_cut})")
        return sa.literal_column(f"CAST({cut[0]} + {cut[1]} * {_shift(62)} + {cut[2]} * {_shift(124)} + {rest} AS text)")

    def pairs(self) -> sa.FromClause:
        return sa.func.unnest(_array_of_keys("parents"), _array_of_keys("keys")).table_valued("parent", "key").render_derived("pairs")

    def page_per_parent(
        self,
        source: sa.Table,
        parent: str,
        columns: Sequence[str],
        types: Sequence[Type],
        wanted: Conditions,
        ordering: Conditions,
        limit: sa.BindParameter[int],
    ) -> sa.Select[Any]:
        # A lateral subquery with LIMIT can only run as a nested loop: for each key in turn the first rows of the index,
        # so the rows of a parent come in order.
        parents = sa.func.unnest(_array_of_keys("keys")).table_valued("key").render_derived("parents")
        labelled = [source.c[name].label(f"c{i}") for i, name in enumerate(columns)]
        page = (
            sa.select(*(labelled or [sa.null().label("nothing")]))
            .where(source.c[parent] == parents.c.key, *wanted(source))
            .order_by(*ordering(source))
            .limit(limit)
            .lateral("page")
        )
        shown = [self.shown(page.c[f"c{i}"], type_).label(f"c{i}") for i, type_ in enumerate(types)]
        return sa.select(*shown, parents.c.key).select_from(parents.join(page, sa.true()))

    def upsert(self, source: sa.Table, collection: Collection) -> sa.ClauseElement:
        arrays = [_array(column.name, column.type, cast_items=False) for column in collection.columns]
        sent = sa.func.unnest(*arrays).table_valued(*collection.names).render_derived("sent")
        items = [
            sa.cast(sent.c[column.name], _CAST_TO[column.type]) if column.type in _CAST_TO else sent.c[column.name]
            for column in collection.columns
        ]
        insert = postgresql.insert(source).from_select(list(collection.names), sa.select(*items))
        rest = {name: insert.excluded[name] for name in collection.names if name not in collection.key}
        if not rest:
            return insert.on_conflict_do_nothing(index_elements=list(collection.key))
        return insert.on_conflict_do_update(index_elements=list(collection.key), set_=rest)

    def upsert_values(self, collection: Collection, rows: Sequence[Row]) -> list[tuple[Value, ...]]:
        encoders = [_encoder(column, _array_literal) for column in collection.columns]
        calls = []
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            columns = zip(*rows[start : start + ROWS_PER_STATEMENT], strict=True)
            calls.append(tuple(list(map(encode, column) if encode else column) for encode, column in zip(encoders, columns, strict=True)))
        return calls

    def delete(self, source: sa.Table, collection: Collection) -> sa.ClauseElement:
        arrays = [_array(name, Type.TEXT) for name in collection.key]
        sent = sa.func.unnest(*arrays).table_valued(*collection.key).render_derived("sent")
        return sa.delete(source).where(*(source.c[name] == sent.c[name] for name in collection.key))

    def delete_values(self, keys: Sequence[tuple[Key, ...]]) -> list[tuple[Value, ...]]:
        return [tuple(list(column) for column in zip(*keys, strict=True))] if keys else []

    def native_text(self, query: str) -> tuple[str, tuple[str, ...]]:
        names: list[str] = []

        def number(found: re.Match[str]) -> str:
            name = found["name"]
            if name is None:
                return found[0]
            if name not in names:
                names.append(name)
            place = f"${names.index(name) + 1}"
            return f"CAST((SELECT CAST(CAST({place} AS text) AS text[])) AS text[])" if name == "keys" else place

        return _PARAMETER.sub(number, query), tuple(names)


_SCALE = f"CAST({2**62} AS double precision)"


def _shift(bits: int) -> str:
    """Return 2**-bits with all its digits."""
    return f"0.{5**bits:0{bits}}"


_TEXT = sa.Text()
_TEXTS = postgresql.ARRAY(_TEXT)
NO_OFFSET: Expression = sa.literal_column("0")  # written out, because SQLAlchemy otherwise binds it in SQLite

# A name behind one colon, outside of strings, quoted names and comments; "::" is a cast.
_PARAMETER = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|/\*.*?\*/|(?<![:\w]):(?P<name>[A-Za-z_]\w*)""", re.DOTALL)


def _array(name: str, type_: Type, *, cast_items: bool = True) -> Expression:
    sent = postgresql.ARRAY(_SENT_AS.get(type_, _TEXT))
    parameter = sa.cast(sa.bindparam(name, type_=sent), sent)
    return sa.cast(parameter, postgresql.ARRAY(_CAST_TO[type_])) if cast_items and type_ in _CAST_TO else parameter


def _array_of_keys(name: str) -> Expression:
    """Return the text[] that ``_array_literal`` writes: a subquery, so that it is read once, and not for each row that is compared.

    PERF: asyncpg looks at each item of a list, which costs 0.2 µs a key, more than all else that is done for it; the server reads the
    literal in less time than it saves (200 keys: 47 µs of CPU here instead of 85, and 205 µs in all instead of 243).
    """
    sent = sa.cast(sa.cast(sa.bindparam(name, type_=_TEXT), _TEXT), _TEXTS)
    return sa.cast(sa.select(sent).scalar_subquery(), _TEXTS)


def _array_literal(values: Sequence[str]) -> str:
    """Return a text[] as PostgreSQL writes it: '{"a","b"}'."""
    if not values:
        return "{}"
    try:
        joined = '","'.join(values)
    except TypeError as error:
        raise BadUserInput(UNFIT) from error
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join([value.replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return '{"' + joined + '"}'


def _wire_time(value: Any) -> Value:
    if not isinstance(value, datetime):
        return value
    utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wire_date(value: Any) -> Value:
    return value.isoformat() if isinstance(value, date) else value


# ------------------------------------------------------------------------------------------------------------------- SQLite


class SQLite(Dialect):
    kind = "sqlite"
    enforces_types = False
    sqlalchemy = _SQLITE_DIALECT(paramstyle="qmark")
    by_name = _SQLITE_DIALECT(paramstyle="named")

    def __init__(self) -> None:
        self.decoders = {Type.BOOL: _bool, Type.JSON: _loaded, Type.TEXTS: _loaded}
        self.native_decoders = {**self.decoders, Type.INT: _int, Type.FLOAT: _float}

    def many(self, values: Sequence[Value]) -> Value:
        return _json(list(values))

    def keys(self, keys: Sequence[Key]) -> Value:
        return _json(list(keys))

    def pairs_values(self, pairs: Sequence[tuple[Key, Key]]) -> dict[str, Value]:
        return {"pairs": _json(pairs)}

    def value(self, name: str, type_: Type) -> Expression:  # noqa: ARG002 - SQLite's columns have no say in it
        return sa.bindparam(name, type_=_TEXT)

    def is_one_of(self, column: Expression, name: str, type_: Type) -> Expression:  # noqa: ARG002
        return column.in_(sa.select(_each(name).c.value))

    def contains(self, column: Expression, text: Expression) -> Expression:
        return sa.func.instr(column, text) > sa.literal_column("0")

    def starts_with(self, column: Expression, text: Expression) -> Expression:
        return sa.func.substr(column, sa.literal_column("1"), sa.func.length(text)) == text

    def shown(self, expression: Expression, type_: Type) -> Expression:  # noqa: ARG002
        return expression

    def at_once(self, text: str, types: Sequence[Type]) -> tuple[str, bool]:
        """Have SQLite write all rows as JSON, in one step.

        PERF: Python's driver gives up the interpreter's lock for every row, and with other threads about it waits to get it back:
        100 rows of 8 columns take 0.09 ms alone, but 1.1 ms of CPU each where eight are asked at the same time, and 0.2 ms this way.
        """
        if Type.FLOAT in types:
            return text, False  # SQLite does not write every float to its last bit
        names = [f"a{number}" for number in range(len(types))]
        shown = ", ".join(_IN_JSON.get(type_, "{0}").format(name) for name, type_ in zip(names, types, strict=True))
        return f"WITH rows_of({', '.join(names)}) AS ({text}) SELECT json_group_array(json_array({shown})) FROM rows_of", True  # noqa: S608 - our own text

    def bucket(self, column: Expression, interval: Interval) -> Expression:
        # The Monday on or before a day is the first Monday that is not before six days earlier.
        return sa.literal_column(
            {
                "hour": "substr({0}, 1, 13) || ':00:00.000Z'",
                "day": "substr({0}, 1, 10) || 'T00:00:00.000Z'",
                "week": "date(substr({0}, 1, 10), '-6 days', 'weekday 1') || 'T00:00:00.000Z'",
                "month": "substr({0}, 1, 7) || '-01T00:00:00.000Z'",
            }[interval].format(column.compile(dialect=self.sqlalchemy))
        )

    def float_sum(self, column: Expression) -> Expression:
        return sa.func.float_sum(column)  # of the connection: SQLite's own sum() depends on the order of the rows, and on its version

    def pairs(self) -> sa.FromClause:
        each = _each("pairs")
        pair = [sa.func.json_extract(each.c.value, sa.literal_column(f"'$[{i}]'")).label(n) for i, n in enumerate(("parent", "key"))]
        return sa.select(*pair).subquery("pairs")

    def page_per_parent(
        self,
        source: sa.Table,
        parent: str,
        columns: Sequence[str],
        types: Sequence[Type],  # noqa: ARG002
        wanted: Conditions,
        ordering: Conditions,
        limit: sa.BindParameter[int],
    ) -> sa.Select[Any]:
        # SQLite has no LATERAL; a correlated subquery of row ids does the same: it stops after ``limit`` rows of the index.
        # CROSS JOIN is SQLite's way to say that the keys come first.
        inner = source.alias("inner_rows")
        quote = self.sqlalchemy.identifier_preparer.quote
        name = quote(source.name)
        keys_first = sa.text(f"json_each(:keys) AS parents CROSS JOIN {name}").bindparams(sa.bindparam("keys", type_=_TEXT))
        key: Expression = sa.literal_column("parents.value")
        page: sa.Select[Any] = (
            sa.select(sa.literal_column("inner_rows.rowid"))
            .select_from(inner)
            .where(inner.c[parent] == key, *wanted(inner))
            .order_by(*ordering(inner))
            .limit(limit)
            .offset(NO_OFFSET)
        )
        shown: list[Expression] = [sa.literal_column(f"{name}.{quote(column)}").label(f"c{i}") for i, column in enumerate(columns)]
        row_id: Expression = sa.literal_column(f"{name}.rowid")
        return sa.select(*shown, key.label("parent")).select_from(keys_first).where(row_id.in_(page)).order_by(*ordering(source))

    def upsert(self, source: sa.Table, collection: Collection) -> sa.ClauseElement:
        insert = sqlite.insert(source).values({name: sa.bindparam(name, type_=_TEXT) for name in collection.names})
        rest = {name: insert.excluded[name] for name in collection.names if name not in collection.key}
        if not rest:
            return insert.on_conflict_do_nothing(index_elements=list(collection.key))
        return insert.on_conflict_do_update(index_elements=list(collection.key), set_=rest)

    def upsert_values(self, collection: Collection, rows: Sequence[Row]) -> list[tuple[Value, ...]]:
        encoders = [_encoder(column, _json) for column in collection.columns]
        columns = zip(*rows, strict=True)
        encoded = [map(encode, column) if encode else column for encode, column in zip(encoders, columns, strict=True)]
        return list(zip(*encoded, strict=True))

    def delete(self, source: sa.Table, collection: Collection) -> sa.ClauseElement:
        return sa.delete(source).where(*(source.c[name] == sa.bindparam(name, type_=_TEXT) for name in collection.key))

    def delete_values(self, keys: Sequence[tuple[Key, ...]]) -> list[tuple[Value, ...]]:
        return list(keys)

    def native_text(self, query: str) -> tuple[str, tuple[str, ...]]:
        names: list[str] = []

        def mark(found: re.Match[str]) -> str:
            if found["name"] is None:
                return found[0]
            names.append(found["name"])
            return "?"

        return _PARAMETER.sub(mark, query), tuple(names)


def _bool(value: Any) -> Value:
    """Return what 0 and 1 mean; anything else is none of a BOOL, and is left as it is."""
    return bool(value) if value in (0, 1) else value


def _loaded(value: Any) -> Value:
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def _int(value: Any) -> Value:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _float(value: Any) -> Value:
    return float(value) if isinstance(value, int) else value


_IN_JSON = {
    # JSON as text: what a JSON function made would be put in as it is.
    Type.JSON: "{0} || ''",
    Type.TEXTS: "{0} || ''",
}


def _each(name: str) -> sa.TableValuedAlias:
    return sa.func.json_each(sa.bindparam(name, type_=_TEXT)).table_valued("value", name=f"each_{name}")


# --------------------------------------------------------------------------------------------------------------------- both


def _encoder(column: Column, encode_texts: Callable[[Sequence[str]], str]) -> Callable[[Value], Value] | None:
    """Return how a wire value becomes a parameter; None where it is one."""
    if column.type is Type.JSON:
        return (lambda value: None if value is None else _json(value)) if column.nullable else _json
    if column.type is Type.TEXTS:
        return lambda value: None if value is None else encode_texts(value)
    return None


def _json(value: Value) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:  # half of a surrogate pair, an integer beyond 64 bits
        raise BadUserInput(UNFIT) from error
