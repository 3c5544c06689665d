"""Say what tables and views a SQL database has for some collections: one statement over the catalogue, and one more where some lack."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from gateway.stores.base import Collection, Column, Index, Row, Type, Value
from gateway.stores.described import UNBOUNDED, Description, Found, FoundColumn, Missing
from gateway.stores.sql.tables import place_of

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
SELECT wanted.place, c.relkind::text,
  (SELECT json_agg(json_build_array(
     a.attname, format_type(a.atttypid, a.atttypmod), base.name, NOT (a.attnotnull OR base.notnull), base.typmod,
     (SELECT json_build_array(n.nspname, t.typname,
        (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid))
      FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
      WHERE t.oid = coalesce(nullif(base.element, 0), base.oid) AND t.typtype = 'e'),
     (SELECT CASE WHEN NOT o.collisdeterministic THEN 'not deterministic: ' || o.collname
                  WHEN o.collname = 'default'
                  THEN (SELECT d.datcollate FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
                  ELSE o.collname END
      FROM pg_catalog.pg_collation AS o WHERE o.oid = a.attcollation)))
   FROM pg_catalog.pg_attribute AS a
   CROSS JOIN LATERAL (
     WITH RECURSIVE made_of AS (
       SELECT t.oid, t.typname, t.typtype, t.typbasetype, t.typnotnull, t.typelem, t.typtypmod, a.atttypmod AS typmod, 0 AS depth
       FROM pg_catalog.pg_type AS t WHERE t.oid = a.atttypid
       UNION ALL
       SELECT t.oid, t.typname, t.typtype, t.typbasetype, t.typnotnull, t.typelem, t.typtypmod, m.typtypmod, m.depth + 1
       FROM made_of AS m JOIN pg_catalog.pg_type AS t ON t.oid = m.typbasetype WHERE m.typtype = 'd'
     )
     SELECT (array_agg(m.oid ORDER BY m.depth DESC))[1] AS oid, (array_agg(m.typname::text ORDER BY m.depth DESC))[1] AS name,
       (array_agg(m.typelem ORDER BY m.depth DESC))[1] AS element, (array_agg(m.typmod ORDER BY m.depth DESC))[1] AS typmod,
       bool_or(m.typnotnull) AS notnull
     FROM made_of AS m
   ) AS base
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT json_agg(json_build_array(i.indisunique AND i.indpred IS NULL,
     (SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts)))
   FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indexprs IS NULL)
FROM unnest(CAST($1 AS text[]), CAST($2 AS text[])) WITH ORDINALITY AS wanted (schema, name, place)
JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(coalesce(quote_ident(wanted.schema) || '.', '') || quote_ident(wanted.name))
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
_PG_TEXTS = frozenset({Type.TEXT, Type.OBJECT_ID, Type.ENUM})
_PG_FITS: Mapping[str, frozenset[Type]] = {
    **dict.fromkeys(("text", "varchar", "bpchar", "name"), _PG_TEXTS),
    "citext": frozenset({Type.TEXT}),
    "bool": frozenset({Type.BOOL}),
    **dict.fromkeys(("int2", "int4", "int8"), _INTEGERS),
    **dict.fromkeys(("float4", "float8"), _FLOATS),
    "numeric": frozenset({Type.DECIMAL}),
    **dict.fromkeys(("timestamptz", "timestamp"), frozenset({Type.TIME})),
    "date": frozenset({Type.DATE}),
    "time": frozenset({Type.CLOCK}),
    "uuid": frozenset({Type.UUID}),
    "bytea": frozenset({Type.BYTES}),
    **dict.fromkeys(("json", "jsonb"), frozenset({Type.JSON})),
}
_PG_BITS = {"int2": 32, "int4": 32, "int8": 64}
_PG_DIGITS = 6  # of a second, at most and by default
_PG_CLOCKS = ("timestamptz", "timestamp", "time")
_PG_C = ("C", "POSIX", "ucs_basic")


async def _in_postgresql(driver: _Driver, collections: Sequence[Collection]) -> Description:
    places = [place_of(collection, "postgresql") for collection in collections]
    rows = await driver.fetch(_PG_TABLES, [[schema for schema, _ in places], [name for _, name in places]])
    there: dict[str, Found | Missing] = {
        (collection := collections[place - 1]).name: _pg_table(collection, kind, columns or (), indexes or ())
        for place, kind, columns, indexes in rows
    }
    if len(rows) == len(collections):
        return there
    others = tuple(name for (name,) in await driver.fetch(_PG_OTHERS, ()))
    return {collection.name: Missing("table", collection.place, others) for collection in collections} | there


def _pg_table(collection: Collection, kind: str, columns: Sequence[Sequence[Any]], indexes: Sequence[Sequence[Any]]) -> Found:
    names = {column.path: column.name for column in collection.columns}
    return Found(
        _PG_WORDS[kind],
        _by_declared_names(
            collection, {column[0]: _pg_column(column, collection.declared.get(names.get(column[0], ""))) for column in columns}
        ),
        tuple(Index(tuple([names.get(name, name) for name in its]), unique) for unique, its in indexes if its),
        is_enforced=kind in _PG_ENFORCED,
    )


def _pg_column(described: Sequence[Any], declared: Column | None) -> FoundColumn:
    _, shown, base, nullable, typmod, enum, collation = described
    many = base.startswith("_")
    item = base[1:] if many else base
    fits, values = _PG_FITS.get(item, frozenset()), None
    if enum is not None:
        schema, name, labels = enum
        is_named = declared is not None and declared.enum in (name, f"{schema}.{name}")
        fits, values = frozenset({Type.ENUM}) if is_named else frozenset(), tuple(labels or ())
    elif declared is not None and declared.enum:
        fits -= {Type.ENUM}
    if many and Type.TEXT in fits:
        fits |= {Type.TEXTS}
    if item == "citext":
        collation = "nocase"
    elif collation in _PG_C:
        collation = "C"
    return FoundColumn(
        shown,
        fits,
        nullable,
        many=None if item in ("json", "jsonb") else many,
        precision=(_PG_DIGITS if typmod < 0 else typmod) if item in _PG_CLOCKS else None,
        finest=_PG_DIGITS,
        scale=(UNBOUNDED if typmod < 0 else (typmod - 4) & 0x7FF) if item == "numeric" else None,
        bits=_PG_BITS.get(item),
        values=values,
        collation=collation if fits and not many and Type.TEXT in fits else None,
    )


def _by_declared_names(collection: Collection, columns: Mapping[str, FoundColumn]) -> dict[str, FoundColumn]:
    """Return columns, in their order, by the names that are declared for them; others that have such a name are left out."""
    names: dict[str, list[str]] = {}
    for column in collection.columns:
        names.setdefault(column.path, []).append(column.name)
    return {name: column for path, column in columns.items() for name in names.get(path, () if path in collection.declared else (path,))}


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
_TEXTUAL = _ANY - {Type.BOOL, Type.INT, Type.FLOAT, Type.BYTES}
_NUMBERS = frozenset({Type.INT, Type.FLOAT, Type.BOOL, Type.DECIMAL, Type.TIME})
_DAYS = frozenset({Type.TEXT, Type.TIME, Type.DATE})
# By the words in a declared type, the first that is there. SQLite keeps text that looks like a number as one where the type is none of
# text, and a number as text where it is. What a type with none of these words is for, nobody but its author knows.
_SQLITE_FITS: Sequence[tuple[str, frozenset[Type]]] = (
    ("INT", _NUMBERS),
    ("CHAR", _TEXTUAL),
    ("CLOB", _TEXTUAL),
    ("TEXT", _TEXTUAL),
    ("BLOB", frozenset({Type.JSON, Type.TEXTS, Type.BYTES})),
    ("REAL", frozenset({Type.FLOAT, Type.DECIMAL, Type.TIME})),
    ("FLOA", frozenset({Type.FLOAT, Type.DECIMAL, Type.TIME})),
    ("DOUB", frozenset({Type.FLOAT, Type.DECIMAL, Type.TIME})),
    ("DEC", _NUMBERS),
    ("NUMERIC", _NUMBERS),
    ("BOOL", frozenset({Type.BOOL, Type.INT})),
    ("DATE", _DAYS),
    ("TIME", _DAYS | {Type.CLOCK}),
    ("JSON", frozenset({Type.JSON, Type.TEXTS})),
)
_SCALE = re.compile(r"\( *[0-9]+ *, *([0-9]+) *\)")


async def _in_sqlite(driver: _Driver, collections: Sequence[Collection]) -> Description:
    rows = await driver.fetch(_SQLITE_TABLES, [orjson.dumps([collection.place for collection in collections]).decode()])
    there = {str(row[0]).lower(): row for row in rows}
    others: tuple[str, ...] = ()
    if any(collection.place.lower() not in there for collection in collections):
        others = tuple(name for (name,) in await driver.fetch(_SQLITE_OTHERS, ()))
    return {
        collection.name: _sqlite_table(collection, there[name])
        if (name := collection.place.lower()) in there
        else Missing("table", collection.place, others)
        for collection in collections
    }


def _sqlite_table(collection: Collection, row: Row) -> Found:
    """Return a table with the names that are declared: SQLite's own may differ in their case."""
    _, what, is_virtual, columns, indexes = row
    paths = {column.path.lower(): column for column in collection.columns}
    listed: list[list[Any]] = orjson.loads(columns)

    def name_of(name: Any) -> str:
        declared = paths.get(str(name).lower())
        return str(name) if declared is None else declared.name

    found: dict[str, FoundColumn] = {}
    for name, type_, nullable, _ in listed:
        declared = paths.get(str(name).lower())
        found[str(name) if declared is None else declared.path] = _sqlite_column(type_, bool(nullable), declared)
    primary = tuple(name_of(name) for name, _, _, place in sorted(listed, key=lambda column: column[3]) if place)
    unique = (Index(primary, unique=True),) if primary else ()  # a table's row id has no index in the list
    return Found(
        what,
        _by_declared_names(collection, found),
        unique + tuple(Index(tuple(map(name_of, its)), bool(is_unique)) for is_unique, its in orjson.loads(indexes) if None not in its),
        is_enforced=what == "table" and not is_virtual,
    )


def _sqlite_column(type_: str, nullable: bool, declared: Column | None) -> FoundColumn:
    fits = _sqlite_fits(type_)
    if declared is not None and declared.many and Type.TEXTS in fits:  # lists are JSON, whatever is in them
        fits |= {declared.type}
    scale = _SCALE.search(type_)
    return FoundColumn(type_ or "no type", fits, nullable, scale=None if scale is None else int(scale[1]))


def _sqlite_fits(type_: str) -> frozenset[Type]:
    return next((fits for word, fits in _SQLITE_FITS if word in type_.upper()), _ANY)
