"""What SQL databases of others have: views, other schemas, types that a migration would not have made, keys without an index."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from gateway.graph.found import problems_of
from gateway.stores import connect
from gateway.stores.base import Collection, Column, Get, Store, Type
from gateway.stores.described import Describes, Found
from tests.kinds import POSTGRESQL, needs, url_of

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
        ("VARCHAR(20)", "text time date json texts"),
        ("INTEGER", "bool int float"),
        ("REAL", "float"),
        ("DECIMAL(10, 2)", "bool int float"),
        ("BOOLEAN", "bool int"),
        ("DATETIME", "text time date"),
        ("JSON", "json texts"),
        ("BLOB", "json texts"),
        ("UUID", "text bool int float time date json texts"),
        ("", "text bool int float time date json texts"),
    ],
)
async def test_what_a_type_of_sqlite_is_for(declared: str, fits: str) -> None:
    async with database("sqlite", f"CREATE TABLE notes (id text PRIMARY KEY NOT NULL, size {declared} NOT NULL)") as store:
        for type_ in Type:
            lines = await told(store, notes(Column("size", type_)))
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
        ("varchar(20)", "character varying(20)", Type.TEXT),
        ("char(2)", "character(2)", Type.TEXT),
        ("uuid", "uuid", None),
        ("mood", "mood", None),
        ("smallint", "smallint", Type.INT),
        ("numeric(10, 2)", "numeric(10,2)", None),
        ("real", "real", Type.FLOAT),
        ("timestamp", "timestamp without time zone", Type.TIME),
        ("date", "date", Type.DATE),
        ("jsonb", "jsonb", Type.JSON),
        ("text[]", "text[]", Type.TEXTS),
        ("integer[]", "integer[]", None),
        ("short", "short", Type.TEXT),
        ("shorter", "shorter", Type.TEXT),
    ],
)
async def test_what_a_type_of_postgresql_is_for(made: str, shown: str, fits: Type | None) -> None:
    statements = (
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE DOMAIN short AS text CHECK (length(value) < 10)",
        "CREATE DOMAIN shorter AS short CHECK (length(value) < 5)",
        f"CREATE TABLE notes (id text PRIMARY KEY, size {made} NOT NULL)",
    )
    async with database("postgresql", *statements) as store:
        for type_ in set(Type) - ({Type.FLOAT} if fits is Type.INT else set()):
            expected = [] if type_ is fits else [f"{WHERE} a column 'size' for {type_.upper()}, got {shown}"]
            assert await told(store, notes(Column("size", type_))) == expected


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
