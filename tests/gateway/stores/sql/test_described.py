"""What SQL databases of others have: views, other schemas, types that a migration would not have made, keys without an index."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from gateway.graph.found import problems_of
from gateway.stores import connect
from gateway.stores.base import Collection, Column, Get, Store, Type
from gateway.stores.described import Describes, Found
from tests.kinds import needs, url_of
from tests.servers import POSTGRESQL

DIGITS = "digits of a second (its precision)"
WHERE = "collection notes of the store tested: expected"
NOTES = Collection("notes", "tested", (Column("id"), Column("size", Type.INT)))


@asynccontextmanager
async def database(kind: str, *statements: str, options: str = "") -> AsyncIterator[Store]:
    """Give a store of a database that somebody made by these statements."""
    async with url_of(kind) as url:
        if kind == "sqlite":
            file = sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"))
            file.executescript(";".join(statements))
            file.close()
        else:
            connection = await asyncpg.connect("postgresql://" + url.partition("://")[2])
            for statement in statements:
                await connection.execute(statement)
            await connection.close()
        store = connect("tested", url + options)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


async def told(store: Store, *collections: Collection) -> list[str]:
    assert isinstance(store, Describes)
    return [str(problem) for problem in problems_of(collections, await store.describe(collections))]


async def found(store: Store, collection: Collection) -> Found:
    assert isinstance(store, Describes)
    its = (await store.describe([collection]))[collection.name]
    assert isinstance(its, Found)
    return its


def notes(*columns: Column) -> Collection:
    return Collection("notes", "tested", (Column("id"), *columns))


def typed(type_: Type) -> Column:
    return Column("size", type_, values=("a",) if type_ is Type.ENUM else (), precision=6)


BOTH = pytest.mark.parametrize("kind", [pytest.param("sqlite"), pytest.param("postgresql", marks=needs(POSTGRESQL))])
TABLE = "CREATE TABLE raw (id text PRIMARY KEY, size bigint)"


@BOTH
async def test_a_view_is_a_table_that_keeps_nothing_out(kind: str) -> None:
    async with database(kind, TABLE, "INSERT INTO raw VALUES ('1', 2)", "CREATE VIEW notes AS SELECT id, size FROM raw") as store:
        assert await told(store, NOTES) == []
        assert {key: tuple(row) for key, row in (await store.answer(Get(NOTES, ("id", "size"), ["1"]))).items()} == {"1": ("1", 2)}
        assert await told(store, notes(Column("sizes", Type.INT), Column("size"))) == [
            f"{WHERE} a column 'sizes', got none; there is 'size'",
            f"{WHERE} a column 'size' for TEXT, got bigint",
        ]
        assert (await found(store, NOTES)).what == "view"


@BOTH
async def test_a_table_that_is_not_as_declared(kind: str) -> None:
    async with database(kind, "CREATE TABLE notes (id text, size bigint)") as store:
        assert await told(store, NOTES) == [
            f"{WHERE} a column 'id' that is never null, got one that may be",
            f"{WHERE} a column 'size' that is never null, got one that may be",
            f"{WHERE} a key (id) that is unique, got a table without a unique index of just these",
        ]


@BOTH
async def test_indexes_are_told_with_their_columns_in_order(kind: str) -> None:
    statements = (
        "CREATE TABLE notes (id text PRIMARY KEY, size bigint NOT NULL)",
        "CREATE UNIQUE INDEX one ON notes (size, id)",
        "CREATE INDEX two ON notes (size)",
        "CREATE UNIQUE INDEX three ON notes (size) WHERE size > 5",
        "CREATE UNIQUE INDEX four ON notes (lower(id))",
    )
    async with database(kind, *statements) as store:
        indexes = [(index.columns, index.unique) for index in (await found(store, NOTES)).indexes]
        assert set(indexes) == {(("id",), True), (("size", "id"), True), (("size",), False)}
        assert len(await told(store, Collection("notes", "tested", NOTES.columns, key=("size",)))) == 1


@BOTH
@pytest.mark.parametrize("name", ["Notes", 'no"tes', "no.tes", "no tes", "nötes"])
async def test_names_that_have_to_be_quoted(kind: str, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    async with database(kind, f"CREATE TABLE {quoted} (id text NOT NULL PRIMARY KEY, {quoted} bigint NOT NULL)") as store:
        assert await told(store, Collection(name, "tested", (Column("id"), Column(name, Type.INT)))) == []


# ------------------------------------------------------------------------------------------------------------------- SQLite


async def test_the_case_of_names_is_nothing_to_sqlite() -> None:
    async with database("sqlite", "CREATE TABLE Notes (ID text NOT NULL, Size INT NOT NULL, PRIMARY KEY (ID)) WITHOUT ROWID") as store:
        assert await told(store, NOTES) == []


@pytest.mark.parametrize(
    ("declared", "fits"),
    [
        ("VARCHAR(20)", "text time date json texts decimal clock uuid object_id enum"),
        ("INTEGER", "bool int float decimal time"),
        ("REAL", "float decimal time"),
        ("DECIMAL(10, 2)", "bool int float decimal time"),
        ("BOOLEAN", "bool int"),
        ("DATETIME", "text time date"),
        ("TIME", "text time date clock"),
        ("JSON", "json texts"),
        ("BLOB", "json texts bytes"),
        ("UUID", " ".join(Type)),
        ("", " ".join(Type)),
    ],
)
async def test_what_a_type_of_sqlite_is_for(declared: str, fits: str) -> None:
    async with database("sqlite", f"CREATE TABLE notes (id text PRIMARY KEY NOT NULL, size {declared} NOT NULL)") as store:
        for type_ in Type:
            lines = await told(store, notes(typed(type_)))
            expected = [] if type_ in fits.split() else [f"{WHERE} a column 'size' for {type_.upper()}, got {declared or 'no type'}"]
            assert lines == expected


async def test_a_virtual_table_has_no_keys() -> None:
    async with database("sqlite", "CREATE VIRTUAL TABLE notes USING fts5(id, title)") as store:
        assert await told(store, notes(Column("title"))) == []


# --------------------------------------------------------------------------------------------------------------- PostgreSQL


@needs(POSTGRESQL)
async def test_a_table_of_another_schema_is_found_along_the_search_path() -> None:
    statements = ("CREATE SCHEMA shop", "CREATE TABLE shop.notes (id text PRIMARY KEY, size bigint NOT NULL)")
    async with database("postgresql", *statements, options="?search_path=shop,public") as store:
        assert await told(store, NOTES) == []
        assert await store.answer(Get(NOTES, ("id",), ["1"])) == {}
    async with database("postgresql", *statements) as store:
        assert await told(store, NOTES) == [f"{WHERE} a table notes, got none; there is shop.notes"]


@needs(POSTGRESQL)
async def test_materialized_views_partitions_and_foreign_tables_are_tables() -> None:
    statements = (
        TABLE,
        "CREATE MATERIALIZED VIEW notes AS SELECT id, size FROM raw",
        "CREATE TABLE parts (id text PRIMARY KEY, size bigint NOT NULL) PARTITION BY HASH (id)",
        "CREATE FOREIGN DATA WRAPPER nowhere",
        "CREATE SERVER far FOREIGN DATA WRAPPER nowhere",
        "CREATE FOREIGN TABLE distant (id text, size bigint) SERVER far",
        "CREATE SEQUENCE numbers",
    )
    async with database("postgresql", *statements) as store:
        collections = [Collection(name, "tested", NOTES.columns) for name in ("notes", "parts", "distant")]
        assert await told(store, *collections) == []
        [line] = await told(store, Collection("numbers", "tested", NOTES.columns))
        assert line.endswith("got none")


@needs(POSTGRESQL)
@pytest.mark.parametrize(
    ("made", "shown", "fits"),
    [
        ("varchar(20)", "character varying(20)", "text object_id enum"),
        ("char(2)", "character(2)", "text object_id enum"),
        ("uuid", "uuid", "uuid"),
        ("mood", "mood", ""),
        ("smallint", "smallint", "int float"),
        ("numeric(10, 2)", "numeric(10,2)", "decimal"),
        ("real", "real", "float"),
        ("timestamp", "timestamp without time zone", "time"),
        ("date", "date", "date"),
        ("time", "time without time zone", "clock"),
        ("bytea", "bytea", "bytes"),
        ("jsonb", "jsonb", "json"),
        ("text[]", "text[]", "texts"),
        ("integer[]", "integer[]", ""),
        ("short", "short", "text object_id enum"),
        ("shorter", "shorter", "text object_id enum"),
    ],
)
async def test_what_a_type_of_postgresql_is_for(made: str, shown: str, fits: str) -> None:
    statements = (
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE DOMAIN short AS text CHECK (length(value) < 10)",
        "CREATE DOMAIN shorter AS short CHECK (length(value) < 5)",
        f"CREATE TABLE notes (id text PRIMARY KEY, size {made} NOT NULL)",
    )
    async with database("postgresql", *statements) as store:
        for type_ in Type:
            expected = [] if type_ in fits.split() else [f"{WHERE} a column 'size' for {type_.upper()}, got {shown}"]
            assert await told(store, notes(typed(type_))) == expected


@needs(POSTGRESQL)
@pytest.mark.parametrize(
    ("made", "column", "line"),
    [
        ("timestamptz", Column("size", Type.TIME), f"of at most 3 {DIGITS}, got timestamp with time zone"),
        ("timestamptz(3)", Column("size", Type.TIME), None),
        ("timestamp(2)", Column("size", Type.TIME), None),
        ("stamped", Column("size", Type.TIME), f"of at most 3 {DIGITS}, got stamped"),
        ("timestamptz", Column("size", Type.TIME, precision=9), f"of 9 {DIGITS}, got timestamp with time zone"),
        ("time(0)", Column("size", Type.CLOCK, precision=0), None),
        (
            "time(3)",
            Column("size", Type.CLOCK, precision=0),
            f"of at most 0 {DIGITS}, got time(3) without time zone",
        ),
        ("numeric(10,3)", Column("size", Type.DECIMAL, scale=2), "of at most 2 decimals (its scale), got numeric(10,3)"),
        ("numeric", Column("size", Type.DECIMAL, scale=2), "of at most 2 decimals (its scale), got numeric"),
        ("numeric(10,2)", Column("size", Type.DECIMAL, scale=2), None),
        ("numeric", Column("size", Type.DECIMAL), None),
        ("bigint", Column("size", Type.INT, bits=32), "of 32 bits, got bigint"),
        ("integer", Column("size", Type.INT, bits=32), None),
        ("mood", Column("size", Type.ENUM, enum="mood", values=("good", "bad")), None),
        ("mood", Column("size", Type.ENUM, enum="public.mood", values=("good", "bad")), None),
        (
            "mood",
            Column("size", Type.ENUM, enum="mood", values=("bad", "good")),
            "with the values bad, good in this order, got mood (good, bad)",
        ),
        ("mood", Column("size", Type.ENUM, values=("good", "bad")), "for ENUM, got mood"),
        ("text", Column("size", Type.ENUM, enum="mood", values=("good", "bad")), "for ENUM, got text"),
        ("mood[]", Column("size", Type.ENUM, enum="mood", values=("good", "bad"), many=True), None),
        ("citext", Column("size", collation="nocase"), None),
        ("citext", Column("size"), "with the collation C, got citext (nocase)"),
        ('text COLLATE "en-x-icu"', Column("size"), None),
        ('text COLLATE "en-x-icu"', Column("size", collation="nocase"), "with the collation nocase, got text (en-x-icu)"),
        ("text COLLATE caseless", Column("size"), "with the collation C, got text (not deterministic: caseless)"),
        ("integer[]", Column("size", Type.INT, many=True), None),
        ("integer", Column("size", Type.INT, many=True), "for lists of INT, got integer"),
        ("integer[]", Column("size", Type.INT), "for INT, got integer[]"),
    ],
)
async def test_what_there_is_beyond_its_type(made: str, column: Column, line: str | None) -> None:
    statements = (
        "CREATE EXTENSION citext",
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE DOMAIN stamped AS timestamptz(6)",
        "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        f"CREATE TABLE notes (id text PRIMARY KEY, size {made} NOT NULL)",
    )
    async with database("postgresql", *statements) as store:
        assert await told(store, notes(column)) == ([] if line is None else [f"{WHERE} a column 'size' {line}"])


@needs(POSTGRESQL)
async def test_names_of_the_database_are_looked_up() -> None:
    statements = ("CREATE SCHEMA music", 'CREATE TABLE music."Track" ("TrackId" integer PRIMARY KEY, "Order" text NOT NULL)')
    tracks = Collection("tracks", "tested", (Column("id", Type.INT, at="TrackId"), Column("order", at="Order")), table="music.Track")
    async with database("postgresql", *statements) as store:
        assert await told(store, tracks) == []
        assert [index.columns for index in (await found(store, tracks)).indexes] == [("id",)]
        [line] = await told(store, replace(tracks, table="music.track"))
        assert line.endswith("expected a table music.track, got none; there is music.Track")
        [line] = await told(store, replace(tracks, columns=(*tracks.columns, Column("title", at="Title"))))
        assert line.endswith("expected a column 'Title', got a table with id, order")


@needs(POSTGRESQL)
async def test_a_domain_keeps_nulls_out() -> None:
    statements = (
        "CREATE DOMAIN sized AS bigint NOT NULL",
        "CREATE DOMAIN small AS sized",
        "CREATE TABLE notes (id text PRIMARY KEY, size small)",
    )
    async with database("postgresql", *statements) as store:
        assert await told(store, NOTES) == []


@needs(POSTGRESQL)
async def test_who_may_only_read_is_told_as_much() -> None:
    made = "CREATE TABLE notes (id text PRIMARY KEY, size bigint NOT NULL)"
    async with database("postgresql", made, options="?role=pg_read_all_data") as store:
        assert await told(store, NOTES) == []


@needs(POSTGRESQL)
async def test_dropped_and_generated_columns() -> None:
    statements = (
        "CREATE TABLE notes (id text PRIMARY KEY, old text, size bigint NOT NULL, twice bigint GENERATED ALWAYS AS (size * 2) STORED)",
        "ALTER TABLE notes DROP COLUMN old",
    )
    async with database("postgresql", *statements) as store:
        assert await told(store, notes(Column("twice", Type.INT, nullable=True))) == []
        assert await told(store, notes(Column("old"))) == [f"{WHERE} a column 'old', got a table with id, size, twice"]
