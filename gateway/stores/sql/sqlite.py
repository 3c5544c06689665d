"""How SQLite says it: JSON for lists, row ids for a page per parent, all rows in one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from gateway.stores.base import Collection, Interval, Key, Row, Type, Value
from gateway.stores.sql.dialects import NO_OFFSET, PARAMETER, TEXT, Conditions, Dialect, Expression, encoder, json_text

_SQLITE_DIALECT: Any = SQLiteDialect

_IN_JSON = {
    # JSON as text: what a JSON function made would be put in as it is.
    Type.JSON: "{0} || ''",
    Type.TEXTS: "{0} || ''",
}


class SQLite(Dialect):
    kind = "sqlite"
    enforces_types = False
    sqlalchemy = _SQLITE_DIALECT(paramstyle="qmark")
    by_name = _SQLITE_DIALECT(paramstyle="named")

    def __init__(self) -> None:
        self.decoders = {Type.BOOL: _bool, Type.JSON: _loaded, Type.TEXTS: _loaded}
        self.native_decoders = {**self.decoders, Type.INT: _int, Type.FLOAT: _float}

    def many(self, values: Sequence[Value]) -> Value:
        return json_text(list(values))

    def keys(self, keys: Sequence[Key]) -> Value:
        return json_text(list(keys))

    def pairs_values(self, pairs: Sequence[tuple[Key, Key]]) -> dict[str, Value]:
        return {"pairs": json_text(pairs)}

    def value(self, name: str, type_: Type) -> Expression:  # noqa: ARG002 - SQLite's columns have no say in it
        return sa.bindparam(name, type_=TEXT)

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
        keys_first = sa.text(f"json_each(:keys) AS parents CROSS JOIN {name}").bindparams(sa.bindparam("keys", type_=TEXT))
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
        insert = sqlite.insert(source).values({name: sa.bindparam(name, type_=TEXT) for name in collection.names})
        rest = {name: insert.excluded[name] for name in collection.names if name not in collection.key}
        if not rest:
            return insert.on_conflict_do_nothing(index_elements=list(collection.key))
        return insert.on_conflict_do_update(index_elements=list(collection.key), set_=rest)

    def upsert_values(self, collection: Collection, rows: Sequence[Row]) -> list[tuple[Value, ...]]:
        encoders = [encoder(column, json_text) for column in collection.columns]
        columns = zip(*rows, strict=True)
        encoded = [map(encode, column) if encode else column for encode, column in zip(encoders, columns, strict=True)]
        return list(zip(*encoded, strict=True))

    def delete(self, source: sa.Table, collection: Collection) -> sa.ClauseElement:
        return sa.delete(source).where(*(source.c[name] == sa.bindparam(name, type_=TEXT) for name in collection.key))

    def delete_values(self, keys: Sequence[tuple[Key, ...]]) -> list[tuple[Value, ...]]:
        return list(keys)

    def native_text(self, query: str) -> tuple[str, tuple[str, ...]]:
        names: list[str] = []

        def mark(found: re.Match[str]) -> str:
            if found["name"] is None:
                return found[0]
            names.append(found["name"])
            return "?"

        return PARAMETER.sub(mark, query), tuple(names)


def _bool(value: Any) -> Value:
    """Return what 0 and 1 mean; anything else is none of a BOOL, and is left as it is."""
    return bool(value) if value in (0, 1) else value


def _loaded(value: Any) -> Value:
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def _int(value: Any) -> Value:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _float(value: Any) -> Value:
    return float(value) if isinstance(value, int) else value


def _each(name: str) -> sa.TableValuedAlias:
    return sa.func.json_each(sa.bindparam(name, type_=TEXT)).table_valued("value", name=f"each_{name}")
