"""How PostgreSQL says it: arrays for lists, LATERAL for a page per parent, times formatted by the server."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGDialect

from gateway.errors import BadUserInput
from gateway.stores.base import Collection, Column, Interval, Key, Row, Type, Value
from gateway.stores.sql.dialects import COLUMNS_KEPT, NO_OFFSET, PARAMETER, TEXT, UNFIT, Conditions, Decoder, Dialect, Expression, KeyValues
from gateway.stores.sql.forms import Form, Held
from gateway.stores.sql.postgresql_forms import PgForm, array_literal, form_of, keys_literal
from gateway.stores.types import INFINITY, MINUS_INFINITY, decimal_text

ROWS_PER_STATEMENT = 2_500  # of an upsert in PostgreSQL: each statement stays far below the statement timeout

_PG_DIALECT: Any = PGDialect  # not annotated by SQLAlchemy
_UTC: Expression = sa.literal_column("'UTC'")
_INTERVALS: dict[Interval, Expression] = {
    "hour": sa.literal_column("'hour'"),
    "day": sa.literal_column("'day'"),
    "week": sa.literal_column("'week'"),
    "month": sa.literal_column("'month'"),
}
_TEXTS = postgresql.ARRAY(TEXT)
_SCALE = f"CAST({2**62} AS double precision)"


class PostgreSQL(Dialect):
    kind = "postgresql"
    enforces_types = True
    sqlalchemy = _PG_DIALECT(paramstyle="numeric_dollar")
    by_name = _PG_DIALECT(paramstyle="named")
    first_place = 1

    def make_form(self, column: Held) -> Form:
        return form_of(column)

    def native_form(self, column: Column) -> tuple[Decoder | None, str | None]:
        return native_decoder(column), None

    def many(self, values: Sequence[Value]) -> Value:
        return list(values)

    def keys(self, keys: Sequence[Key]) -> Value:
        return array_literal(keys)

    def key_values(self, keys: Sequence[KeyValues]) -> dict[str, Value]:
        columns = list(zip(*keys, strict=True))
        if len(columns) == 1:
            return {"keys": keys_literal(columns[0])}
        return {f"keys{number}": keys_literal(column) for number, column in enumerate(columns)}

    def pairs_values(self, parents: Sequence[Key], keys: Sequence[KeyValues]) -> dict[str, Value]:
        return {"parents": array_literal(parents), **self.key_values(keys)}

    def bucket(self, column: Expression, interval: Interval, form: Form) -> Expression:  # noqa: ARG002
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

    def decimal_sum(self, column: Expression, form: Form) -> Expression:  # noqa: ARG002
        return sa.cast(sa.func.sum(column), TEXT)

    def pairs(self, forms: Sequence[Form]) -> tuple[sa.FromClause, Expression, list[Expression]]:
        parents = sa.cast(sa.cast(sa.bindparam("parents", type_=TEXT), TEXT), _TEXTS)
        whole = sa.cast(sa.select(parents).scalar_subquery(), _TEXTS)
        names = _key_names(forms)
        pairs = sa.func.unnest(whole, *_key_arrays(forms)).table_valued("parent", *names).render_derived("pairs")
        return pairs, pairs.c.parent, [pairs.c[name] for name in names]

    def keys_table(self, forms: Sequence[Form]) -> tuple[sa.FromClause, Expression, list[Expression]]:
        names = _key_names(forms)
        keys = sa.func.unnest(*_key_arrays(forms)).table_valued(*names, with_ordinality="place").render_derived("parents")
        return keys, keys.c.place, [keys.c[name] for name in names]

    def page_per_parent(
        self,
        source: sa.Table,
        parents: Sequence[tuple[str, Form]],
        columns: Sequence[tuple[str, Form]],
        wanted: Conditions,
        ordering: Conditions,
        limit: sa.BindParameter[int] | None,
        *,
        is_plain: bool,
        is_managed: bool,  # noqa: ARG002
    ) -> sa.Select[Any]:
        # A lateral subquery with LIMIT or OFFSET can only run as a nested loop: for each key in turn the first rows of the index,
        # so the rows of a parent come in order.
        if is_plain:
            keys: Any = sa.func.unnest(*_key_arrays([form for _, form in parents])).table_valued("key").render_derived("parents")
            place, values = keys.c.key, [keys.c.key]
        else:
            keys, place, values = self.keys_table([form for _, form in parents])
        labelled = [source.c[name].label(f"c{i}") for i, (name, _) in enumerate(columns)]
        are_its = [form.equals(source.c[name], value) for (name, form), value in zip(parents, values, strict=True)]
        query = sa.select(*(labelled or [sa.null().label("nothing")])).where(*are_its, *wanted(source)).order_by(*ordering(source))
        page = (query.offset(NO_OFFSET) if limit is None else query.limit(limit)).lateral("page")
        shown = [form.shown(page.c[f"c{i}"]).label(f"c{i}") for i, (_, form) in enumerate(columns)]
        return sa.select(*shown, place).select_from(keys.join(page, sa.true()))

    def upsert(self, source: sa.Table, collection: Collection) -> sa.ClauseElement:
        forms = [cast("PgForm", self.form(collection, name)) for name in collection.names]
        arrays = [form.sent_items(name) for form, name in zip(forms, collection.names, strict=True)]
        sent = sa.func.unnest(*arrays).table_valued(*collection.names).render_derived("sent")
        items = [form.written(sent.c[name]) for form, name in zip(forms, collection.names, strict=True)]
        insert = postgresql.insert(source).from_select([source.c[name] for name in collection.names], sa.select(*items))
        rest = {name: insert.excluded[name] for name in collection.names if name not in collection.key}
        key = [source.c[name] for name in collection.key]
        if not rest:
            return insert.on_conflict_do_nothing(index_elements=key)
        return insert.on_conflict_do_update(index_elements=key, set_=rest)

    def written(self, collection: Collection, names: Sequence[str], rows: Sequence[Row]) -> list[tuple[Value, ...]]:
        """Return a list for each column, in calls of ROWS_PER_STATEMENT."""
        encoders = self.encoders(collection, names)
        moments = _moments(collection, tuple(names))
        calls = []
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            columns = list(zip(*rows[start : start + ROWS_PER_STATEMENT], strict=True))
            if any(INFINITY in columns[number] or MINUS_INFINITY in columns[number] for number in moments):
                raise BadUserInput(UNFIT)
            calls.append(tuple(list(map(encode, column) if encode else column) for encode, column in zip(encoders, columns, strict=True)))
        return calls

    def delete(self, source: sa.Table, collection: Collection) -> sa.ClauseElement:
        forms = [cast("PgForm", self.form(collection, name)) for name in collection.key]
        arrays = [form.items(name) for form, name in zip(forms, collection.key, strict=True)]
        sent = sa.func.unnest(*arrays).table_valued(*collection.key).render_derived("sent")
        return sa.delete(source).where(*(source.c[name] == sent.c[name] for name in collection.key))

    def delete_values(self, collection: Collection, keys: Sequence[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
        return [tuple(list(column) for column in zip(*self.deleted(collection, keys), strict=True))] if keys else []

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


def _key_names(forms: Sequence[Form]) -> list[str]:
    """Return the names of the columns of keys, which their parameters have too but for a letter."""
    return ["key"] if len(forms) == 1 else [f"key{number}" for number in range(len(forms))]


def _key_arrays(forms: Sequence[Form]) -> list[Expression]:
    names = ["keys"] if len(forms) == 1 else [f"keys{number}" for number in range(len(forms))]
    return [cast("PgForm", form).keys(name) for form, name in zip(forms, names, strict=True)]


@lru_cache(maxsize=COLUMNS_KEPT)
def _moments(collection: Collection, names: tuple[str, ...]) -> Sequence[int]:
    """Return the places of columns that have no infinity, as columns of ours have none."""
    return [number for number, name in enumerate(names) if _is_moment(collection[name])] if collection.managed else []


def _is_moment(column: Column) -> bool:
    return column.type in (Type.TIME, Type.DATE) and not column.many


# -------------------------------------------------------------------------------------------------------- native queries


def native_decoder(column: Column) -> Decoder | None:
    """Return how the driver's value becomes a wire value; None where it is one."""
    if column.type is Type.TEXTS or column.type not in (decoders := _decoders(column)):
        return None
    decode = decoders[column.type]
    if column.many:
        return lambda values: [decode(value) for value in values]
    return decode


def _decoders(column: Column) -> dict[Type, Decoder]:
    precision, scale = column.precision, column.scale
    return {
        Type.INT: int,
        Type.FLOAT: float,
        Type.BOOL: bool,
        Type.DECIMAL: lambda value: decimal_text(Decimal(value), scale),
        Type.TIME: lambda value: _wire_time(value, precision),
        Type.DATE: lambda value: value.isoformat() if isinstance(value, date) else value,
        Type.CLOCK: lambda value: _digits(value.isoformat("microseconds"), precision) if isinstance(value, time) else value,
        Type.UUID: str,
        Type.BYTES: lambda value: base64.b64encode(value).decode() if isinstance(value, bytes) else value,
    }


def _wire_time(value: Any, precision: int) -> Value:
    if not isinstance(value, datetime):
        return value
    utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return f"{_digits(utc.replace(tzinfo=None).isoformat(timespec='microseconds'), precision)}Z"


def _digits(text: str, precision: int) -> str:
    """Return a text that ends with six digits of a second with as many as the precision."""
    return text[:-7] if not precision else f"{text}000"[: len(text) - 6 + precision]
