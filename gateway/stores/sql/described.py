"""Say what tables and views a SQL database has for some collections: one statement over the catalogue, and one more where some lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from gateway.stores.base import Collection, Index, Row, Type, Value
from gateway.stores.described import Description, Found, FoundColumn, Missing

OTHERS = 1_000  # names of other tables that are read, to find one that was meant


class _Driver(Protocol):
    async def fetch(self, text: str, values: Sequence[Value]) -> Sequence[Row]: ...


async def described(driver: _Driver, kind: str, collections: Sequence[Collection]) -> Description:
    """Return what there is for each collection, in a database of that kind."""
    if not collections:
        return {}
    return await (_in_sqlite if kind == "sqlite" else _in_postgresql)(driver, collections)


# --------------------------------------------------------------------------------------------------------------- PostgreSQL

# Names are looked up as a statement's are, along the search path. Not in information_schema: it has only what the user owns or was granted.
# A domain stands for what it is made of, and keeps nulls out where any of its own does.
_PG_TABLES = """
SELECT wanted.name, c.relkind::text,
  (SELECT json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod), base.name, NOT (a.attnotnull OR base.notnull)))
   FROM pg_catalog.pg_attribute AS a
   CROSS JOIN LATERAL (
     WITH RECURSIVE made_of AS (
       SELECT t.typname, t.typtype, t.typbasetype, t.typnotnull, 0 AS depth FROM pg_catalog.pg_type AS t WHERE t.oid = a.atttypid
       UNION ALL
       SELECT t.typname, t.typtype, t.typbasetype, t.typnotnull, m.depth + 1
       FROM made_of AS m JOIN pg_catalog.pg_type AS t ON t.oid = m.typbasetype WHERE m.typtype = 'd'
     )
     SELECT (array_agg(m.typname::text ORDER BY m.depth DESC))[1] AS name, bool_or(m.typnotnull) AS notnull FROM made_of AS m
   ) AS base
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT json_agg(json_build_array(i.indisunique AND i.indpred IS NULL,
     (SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts)))
   FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indexprs IS NULL)
FROM unnest(CAST($1 AS text[])) AS wanted (name)
JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(quote_ident(wanted.name))
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_PG_OTHERS = f"""
SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname::text ELSE n.nspname || '.' || c.relname END
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1 LIMIT {OTHERS}
"""  # noqa: S608 - our own text
_PG_WORDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}
_PG_ENFORCED = frozenset("rp")

_INTEGERS, _FLOATS = frozenset({Type.INT, Type.FLOAT}), frozenset({Type.FLOAT})
_PG_FITS: Mapping[str, frozenset[Type]] = {
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "citext"), frozenset({Type.TEXT})),
    "bool": frozenset({Type.BOOL}),
    **dict.fromkeys(("int2", "int4", "int8"), _INTEGERS),
    **dict.fromkeys(("float4", "float8"), _FLOATS),
    **dict.fromkeys(("timestamptz", "timestamp"), frozenset({Type.TIME})),
    "date": frozenset({Type.DATE}),
    **dict.fromkeys(("json", "jsonb"), frozenset({Type.JSON})),
    **dict.fromkeys(("_text", "_varchar", "_bpchar", "_name"), frozenset({Type.TEXTS})),
}


async def _in_postgresql(driver: _Driver, collections: Sequence[Collection]) -> Description:
    names = [collection.name for collection in collections]
    rows = await driver.fetch(_PG_TABLES, [names])
    there: dict[str, Found | Missing] = {
        name: Found(
            _PG_WORDS[kind],
            {column: FoundColumn(shown, _PG_FITS.get(base, frozenset()), nullable) for column, shown, base, nullable in columns or ()},
            tuple(Index(tuple(its), unique) for unique, its in indexes or () if its),
            is_enforced=kind in _PG_ENFORCED,
        )
        for name, kind, columns, indexes in rows
    }
    if len(there) == len(set(names)):
        return there
    others = tuple(name for (name,) in await driver.fetch(_PG_OTHERS, ()))
    return {name: Missing("table", name, others) for name in names} | there


# ------------------------------------------------------------------------------------------------------------------- SQLite

_SQLITE_TABLES = """
SELECT m.name, m.type, m.sql LIKE 'CREATE VIRTUAL%',
  (SELECT json_group_array(json_array(x.name, x.type, x."notnull" = 0 AND x.pk = 0, x.pk)) FROM pragma_table_xinfo(m.name) AS x),
  (SELECT json_group_array(json_array(l."unique" AND NOT l.partial,
     json((SELECT json_group_array(i.name) FROM pragma_index_info(l.name) AS i))))
   FROM pragma_index_list(m.name) AS l)
FROM sqlite_master AS m
WHERE m.type IN ('table', 'view') AND lower(m.name) IN (SELECT lower(value) FROM json_each(?))
"""
_SQLITE_OTHERS = f"""
SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name LIMIT {OTHERS}
"""  # noqa: S608 - our own text

_ANY = frozenset(Type)
_TEXTUAL = frozenset({Type.TEXT, Type.TIME, Type.DATE, Type.JSON, Type.TEXTS})
# By the words in a declared type, the first that is there. SQLite keeps text that looks like a number as one where the type is none of
# text, and a number as text where it is. What a type with none of these words is for, nobody but its author knows.
_SQLITE_FITS: Sequence[tuple[str, frozenset[Type]]] = (
    ("INT", frozenset({Type.INT, Type.FLOAT, Type.BOOL})),
    ("CHAR", _TEXTUAL),
    ("CLOB", _TEXTUAL),
    ("TEXT", _TEXTUAL),
    ("BLOB", frozenset({Type.JSON, Type.TEXTS})),
    ("REAL", _FLOATS),
    ("FLOA", _FLOATS),
    ("DOUB", _FLOATS),
    ("DEC", frozenset({Type.INT, Type.FLOAT, Type.BOOL})),
    ("NUMERIC", frozenset({Type.INT, Type.FLOAT, Type.BOOL})),
    ("BOOL", frozenset({Type.BOOL, Type.INT})),
    ("DATE", frozenset({Type.TEXT, Type.TIME, Type.DATE})),
    ("TIME", frozenset({Type.TEXT, Type.TIME, Type.DATE})),
    ("JSON", frozenset({Type.JSON, Type.TEXTS})),
)


async def _in_sqlite(driver: _Driver, collections: Sequence[Collection]) -> Description:
    rows = await driver.fetch(_SQLITE_TABLES, [orjson.dumps([collection.name for collection in collections]).decode()])
    there = {str(row[0]).lower(): row for row in rows}
    others: tuple[str, ...] = ()
    if any(collection.name.lower() not in there for collection in collections):
        others = tuple(name for (name,) in await driver.fetch(_SQLITE_OTHERS, ()))
    return {
        collection.name: _sqlite_table(collection, there[name])
        if (name := collection.name.lower()) in there
        else Missing("table", collection.name, others)
        for collection in collections
    }


def _sqlite_table(collection: Collection, row: Row) -> Found:
    """Return a table with the names that are declared: SQLite's own may differ in their case."""
    _, what, is_virtual, columns, indexes = row
    declared = {name.lower(): name for name in collection.names}

    def name_of(name: Any) -> str:
        return declared.get(str(name).lower(), str(name))

    listed: list[list[Any]] = orjson.loads(columns)
    primary = tuple(name_of(name) for name, _, _, place in sorted(listed, key=lambda column: column[3]) if place)
    unique = (Index(primary, unique=True),) if primary else ()  # a table's row id has no index in the list
    return Found(
        what,
        {name_of(name): FoundColumn(type_ or "no type", _sqlite_fits(type_), bool(nullable)) for name, type_, nullable, _ in listed},
        unique + tuple(Index(tuple(map(name_of, its)), bool(is_unique)) for is_unique, its in orjson.loads(indexes) if None not in its),
        is_enforced=what == "table" and not is_virtual,
    )


def _sqlite_fits(type_: str) -> frozenset[Type]:
    return next((fits for word, fits in _SQLITE_FITS if word in type_.upper()), _ANY)
