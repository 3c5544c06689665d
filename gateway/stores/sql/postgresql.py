"""How PostgreSQL says it: arrays for lists, LATERAL for a page per parent, times formatted by the server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGDialect

from gateway.errors import BadUserInput
from gateway.stores.base import Collection, Interval, Key, Row, Type, Value
from gateway.stores.sql.dialects import PARAMETER, TEXT, UNFIT, Conditions, Decoder, Dialect, Expression, encoder

ROWS_PER_STATEMENT = 2_500  # of an upsert in PostgreSQL: each statement stays far below the statement timeout

_PG_DIALECT: Any = PGDialect  # not annotated by SQLAlchemy
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
_TEXTS = postgresql.ARRAY(TEXT)
_SCALE = f"CAST({2**62} AS double precision)"


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
        sent = _SENT_AS.get(type_, TEXT)
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
        encoders = [encoder(column, _array_literal) for column in collection.columns]
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

        return PARAMETER.sub(number, query), tuple(names)


def _shift(bits: int) -> str:
    """Return 2**-bits with all its digits."""
    return f"0.{5**bits:0{bits}}"


def _array(name: str, type_: Type, *, cast_items: bool = True) -> Expression:
    sent = postgresql.ARRAY(_SENT_AS.get(type_, TEXT))
    parameter = sa.cast(sa.bindparam(name, type_=sent), sent)
    return sa.cast(parameter, postgresql.ARRAY(_CAST_TO[type_])) if cast_items and type_ in _CAST_TO else parameter


def _array_of_keys(name: str) -> Expression:
    """Return the text[] that ``_array_literal`` writes: a subquery, so that it is read once, and not for each row that is compared.

    PERF: asyncpg looks at each item of a list, which costs 0.2 µs a key, more than all else that is done for it; the server reads the
    literal in less time than it saves (200 keys: 47 µs of CPU here instead of 85, and 205 µs in all instead of 243).
    """
    sent = sa.cast(sa.cast(sa.bindparam(name, type_=TEXT), TEXT), _TEXTS)
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
