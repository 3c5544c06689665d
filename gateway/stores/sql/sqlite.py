"""How SQLite says it: JSON for lists, row ids for a page per parent, all rows in one."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from gateway.stores.base import Collection, Column, Interval, Key, Row, Type, Value
from gateway.stores.sql.dialects import NO_OFFSET, PARAMETER, TEXT, Conditions, Decoder, Dialect, Expression, KeyValues, json_text
from gateway.stores.sql.forms import Form, Held
from gateway.stores.sql.functions import ANY_SCALE, decimal_of
from gateway.stores.sql.sqlite_forms import bool_of, each, form_of, loaded

_SQLITE_DIALECT: Any = SQLiteDialect


class SQLite(Dialect):
    kind = "sqlite"
    enforces_types = False
    sqlalchemy = _SQLITE_DIALECT(paramstyle="qmark")
    by_name = _SQLITE_DIALECT(paramstyle="named")

    first_place = 0

    def make_form(self, column: Held) -> Form:
        return form_of(column)

    def native_form(self, column: Column) -> tuple[Decoder | None, str | None]:
        return native_form(column)

    def many(self, values: Sequence[Value]) -> Value:
        return json_text(list(values))

    def keys(self, keys: Sequence[Key]) -> Value:
        return json_text(list(keys))

    def key_values(self, keys: Sequence[KeyValues]) -> dict[str, Value]:
        return {"keys": json_text([key[0] if len(key) == 1 else key for key in keys])}

    def pairs_values(self, parents: Sequence[Key], keys: Sequence[KeyValues]) -> dict[str, Value]:
        return {"pairs": json_text([(parent, *key) for parent, key in zip(parents, keys, strict=True)])}

    def at_once(self, text: str, in_json: Sequence[str | None]) -> tuple[str, bool]:
        """Have SQLite write all rows as JSON, in one step.

        PERF: Python's driver gives up the interpreter's lock for every row, and with other threads about it waits to get it back:
        100 rows of 8 columns take 0.09 ms alone, but 1.1 ms of CPU each where eight are asked at the same time, and 0.2 ms this way.
        """
        if None in in_json:
            return text, False  # SQLite does not write every float to its last bit
        names = [f"a{number}" for number in range(len(in_json))]
        shown = ", ".join(cast("str", form).format(name) for name, form in zip(names, in_json, strict=True))
        return f"WITH rows_of({', '.join(names)}) AS ({text}) SELECT json_group_array(json_array({shown})) FROM rows_of", True  # noqa: S608 - our own text

    def bucket(self, column: Expression, interval: Interval, form: Form) -> Expression:
        precision = form.column.precision
        if not form.held.managed:
            return sa.func.time_bucket(form.shown(column), sa.literal_column(f"'{interval}'"), sa.literal_column(str(precision)))
        rest = f":00:00{'.' if precision else ''}{'0' * precision}Z"
        # The Monday on or before a day is the first Monday that is not before six days earlier.
        return sa.literal_column(
            {
                "hour": f"substr({{0}}, 1, 13) || '{rest}'",
                "day": f"substr({{0}}, 1, 10) || 'T00{rest}'",
                "week": f"date(substr({{0}}, 1, 10), '-6 days', 'weekday 1') || 'T00{rest}'",
                "month": f"substr({{0}}, 1, 7) || '-01T00{rest}'",
            }[interval].format(column.compile(dialect=self.sqlalchemy))
        )

    def ordered_bucket(self, bucket: Expression, form: Form) -> Expression:
        return bucket if form.held.managed else form.ordered(bucket)

    def float_sum(self, column: Expression) -> Expression:
        return sa.func.float_sum(column)  # of the connection: SQLite's own sum() depends on the order of the rows, and on its version

    def decimal_sum(self, column: Expression, form: Form) -> Expression:
        scale = form.column.scale
        return sa.func.decimal_sum(column, sa.literal_column(str(ANY_SCALE if scale is None else scale)))

    def pairs(self, forms: Sequence[Form]) -> tuple[sa.FromClause, Expression, list[Expression]]:
        pairs = each("pairs")
        names = ["parent", *(["key"] if len(forms) == 1 else [f"key{number}" for number in range(len(forms))])]
        values = [sa.func.json_extract(pairs.c.value, sa.literal_column(f"'$[{i}]'")) for i in range(len(names))]
        items = [values[0], *(cast("Any", form).item(value) for form, value in zip(forms, values[1:], strict=True))]
        table = sa.select(*(item.label(name) for item, name in zip(items, names, strict=True))).subquery("pairs")
        return table, table.c.parent, [table.c[name] for name in names[1:]]

    def keys_table(self, forms: Sequence[Form]) -> tuple[sa.FromClause, Expression, list[Expression]]:
        keys = sa.func.json_each(sa.bindparam("keys", type_=TEXT)).table_valued("key", "value", name="parents")
        return keys, keys.c.key, _values_of(forms)

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
        is_managed: bool,
    ) -> sa.Select[Any]:
        if limit is None:
            keys, place, values = self.keys_table([form for _, form in parents])
            are_its = [form.equals(source.c[parent], value) for (parent, form), value in zip(parents, values, strict=True)]
            rows = [form.shown(source.c[column]).label(f"c{i}") for i, (column, form) in enumerate(columns)]
            found = sa.select(*rows, place.label("parent")).select_from(keys.join(source, sa.true()))
            return found.where(*are_its, *wanted(source)).order_by(*ordering(source))
        # SQLite has no LATERAL; a correlated subquery of row ids does the same: it stops after ``limit`` rows of the index.
        # CROSS JOIN is SQLite's way to say that the keys come first.
        quote = self.sqlalchemy.identifier_preparer.quote
        name = quote(source.name)
        keys_first = sa.text(f"json_each(:keys) AS parents CROSS JOIN {name}").bindparams(sa.bindparam("keys", type_=TEXT))
        shown: list[Expression] = [
            form.shown(sa.literal_column(f"{name}.{quote(source.c[column].name)}")).label(f"c{i}")
            for i, (column, form) in enumerate(columns)
        ]
        place = sa.literal_column("parents.value" if is_plain else "parents.key")
        query = sa.select(*shown, place.label("parent")).select_from(keys_first)
        values = _values_of([form for _, form in parents])
        inner = source.alias("inner_rows")
        are_its = [form.equals(inner.c[parent], value) for (parent, form), value in zip(parents, values, strict=True)]

        def page(*rows: Expression) -> sa.Select[Any]:
            selected = sa.select(*rows).select_from(inner).where(*are_its, *wanted(inner))
            return selected.order_by(*ordering(inner)).limit(limit).offset(NO_OFFSET)

        if is_managed:
            row_id: Expression = sa.literal_column(f"{name}.rowid")
            return query.where(row_id.in_(page(sa.literal_column("inner_rows.rowid")))).order_by(*ordering(source))
        # Views, and tables of others WITHOUT ROWID, have none.
        key = [column.key for column in source.primary_key.columns]
        its: list[Expression] = [sa.literal_column(f"{name}.{quote(source.c[part].name)}") for part in key]
        of_row = its[0] if len(key) == 1 else sa.tuple_(*its)
        return query.where(of_row.in_(page(*(inner.c[part] for part in key)))).order_by(*ordering(source))

    def upsert(self, source: sa.Table, collection: Collection) -> sa.ClauseElement:
        insert = sqlite.insert(source).values({name: sa.bindparam(name, type_=TEXT) for name in collection.names})
        rest = {name: insert.excluded[name] for name in collection.names if name not in collection.key}
        key = [source.c[name] for name in collection.key]
        if not rest:
            return insert.on_conflict_do_nothing(index_elements=key)
        return insert.on_conflict_do_update(index_elements=key, set_=rest)

    def written(self, collection: Collection, names: Sequence[str], rows: Sequence[Row]) -> list[tuple[Value, ...]]:
        encoders = self.encoders(collection, names)
        columns = zip(*rows, strict=True)
        encoded = [map(encode, column) if encode else column for encode, column in zip(encoders, columns, strict=True)]
        return list(zip(*encoded, strict=True))

    def delete(self, source: sa.Table, collection: Collection) -> sa.ClauseElement:
        return sa.delete(source).where(*(source.c[name] == sa.bindparam(name, type_=TEXT) for name in collection.key))

    def delete_values(self, collection: Collection, keys: Sequence[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
        return list(self.deleted(collection, keys))

    def native_text(self, query: str) -> tuple[str, tuple[str, ...]]:
        names: list[str] = []

        def mark(found: re.Match[str]) -> str:
            if found["name"] is None:
                return found[0]
            names.append(found["name"])
            return "?"

        return PARAMETER.sub(mark, query), tuple(names)


def _values_of(forms: Sequence[Form]) -> list[Expression]:
    """Return the columns of what ``key_values`` made."""
    if len(forms) == 1:
        return [cast("Any", forms[0]).item(sa.literal_column("parents.value"))]
    return [cast("Any", form).item(sa.literal_column(f"json_extract(parents.value, '$[{i}]')")) for i, form in enumerate(forms)]


# -------------------------------------------------------------------------------------------------------- native queries


def native_form(column: Column) -> tuple[Decoder | None, str | None]:
    """Return how a value becomes a wire value, and how it is put into a JSON array; None where it cannot be there."""
    if column.many or column.type is Type.JSON:
        return loaded, "{0} || ''"
    match column.type:
        case Type.INT:
            return _int, "{0}"
        case Type.FLOAT:
            return _float, None
        case Type.BOOL:
            return bool_of, "{0}"
        case Type.DECIMAL:
            scale = column.scale
            return lambda value: decimal_of(value, scale) or value, None
        case Type.BYTES:
            return lambda value: base64.b64encode(value).decode() if isinstance(value, bytes) else value, None
        case _:
            return None, "{0}"


def _int(value: Any) -> Value:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _float(value: Any) -> Value:
    return float(value) if isinstance(value, int) else value
