"""Migrations: the scripts in resolvers/migrations make exactly what the collections declare, once, on both kinds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import resolvers
from gateway.errors import StoreUnavailable
from gateway.graph.found import problems_of
from gateway.stores.base import Collection, Column, Get, Index, Type, Upsert
from gateway.stores.sql.store import SqlStore
from gateway.stores.sql.tables import index_name, tables
from resolvers.events import events
from resolvers.graph import follows, likes, members, wrote
from resolvers.posts import posts
from resolvers.users import users
from tests.kinds import kinds, url_of

MIGRATIONS = Path(resolvers.__file__).parent / "migrations"
STORES = {"users": [users], "posts": [posts], "events": [events], "recommendations": [follows, likes, members, wrote]}
SQL = kinds(("sqlite", "postgresql"))
T = TypeVar("T")

# Everything PostgreSQL knows of columns and indexes: collations and precisions too, which autogenerate does not compare.
CATALOG = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcollation::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND a.attnum > 0 AND c.relname NOT LIKE 'alembic%'
UNION ALL SELECT tablename, indexname, indexdef, true, '' FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'alembic%'
ORDER BY 1, 2
"""


@pytest.mark.parametrize("kind", SQL)
@pytest.mark.parametrize("name", STORES)
async def test_scripts_make_what_is_declared(kind: str, name: str) -> None:
    async with url_of(kind) as url:
        store = SqlStore(name, url)
        done = await store.migrate(name, STORES[name], MIGRATIONS / name)
        metadata = tables(STORES[name])

        def differences(connection: sa.Connection) -> Any:
            own = {"version_table": f"alembic_version_{name}", "compare_type": True, "compare_server_default": True}
            return compare_metadata(MigrationContext.configure(connection, opts=own), metadata)

        assert done
        assert all(re.match(rf"{name}: \d{{4}} create", line) for line in done)
        assert await _run(store, differences) == []


@pytest.mark.parametrize("kind", SQL)
async def test_a_second_run_changes_nothing_and_stores_may_share_a_database(kind: str) -> None:
    async with url_of(kind) as url:
        store = SqlStore("all", url)
        first = [line for name, declared in STORES.items() for line in await store.migrate(name, declared, MIGRATIONS / name)]
        second = [line for name, declared in STORES.items() for line in await store.migrate(name, declared, MIGRATIONS / name)]

        assert len(first) == sum(1 for name in STORES for _ in (MIGRATIONS / name).glob("0*.py"))
        assert second == []


@pytest.mark.parametrize("kind", SQL)
async def test_processes_that_start_together_wait_for_each_other(kind: str) -> None:
    async with url_of(kind) as url:
        runs = await asyncio.gather(*(SqlStore("u", url).migrate("users", [users], MIGRATIONS / "users") for _ in range(3)))

        assert sorted(len(done) for done in runs) == [0, 0, 1]


async def _catalog(kind: str, scripts: bool) -> list[tuple[Any, ...]]:
    async with url_of(kind) as url:
        store = SqlStore("all", url)
        for name, declared in STORES.items():
            await store.migrate(name, declared, MIGRATIONS / name if scripts else None)
        return await _run(store, lambda connection: [tuple(row) for row in connection.execute(sa.text(CATALOG))])


@pytest.mark.live("TEST_POSTGRES_URL")
async def test_scripts_and_declarations_make_the_same_catalog() -> None:
    by_scripts, declared = await _catalog("postgresql", True), await _catalog("postgresql", False)

    assert by_scripts == declared
    assert ("users", "created_at", "timestamp(3) with time zone", True, "0") in declared
    collations = {row[4] for row in declared if row[2] in ("text", "text[]")}
    assert len(collations) == 1, "all text has the same collation"


@pytest.mark.parametrize("name", STORES)
def test_every_history_has_one_head_and_a_way_back(name: str) -> None:
    scripts = ScriptDirectory(str(MIGRATIONS / name), version_locations=[str(MIGRATIONS / name)])

    assert len(scripts.get_heads()) == 1
    assert all(hasattr(revision.module, "downgrade") for revision in scripts.walk_revisions())


@pytest.mark.parametrize("kind", SQL)
async def test_without_scripts_only_what_is_missing_is_made(kind: str) -> None:
    before = Collection("notes", "s", (Column("id"), Column("at", Type.TIME)))
    after = Collection("notes", "s", (Column("id"), Column("at", Type.TIME)), indexes=(Index(("at", "id")),))
    more = Collection("tags", "s", (Column("id"),))
    async with url_of(kind) as url:
        store = SqlStore("s", url)

        assert await store.migrate("s", [before], None) == ["s: created table notes"]
        assert await store.migrate("s", [after, more], None) == ["s: created index ix_notes_at_id", "s: created table tags"]
        assert await store.migrate("s", [after, more], None) == []


EVERYTHING = Collection(
    "everything",
    "s",
    (
        Column("id", Type.UUID),
        Column("part", Type.INT, at="Part No"),
        Column("level", Type.ENUM, enum="store.level", values=("low", "it's high")),
        Column("levels", Type.ENUM, enum="store.level", values=("low", "it's high"), many=True, nullable=True),
        Column("name", collation="nocase"),
        Column("price", Type.DECIMAL, scale=2),
        Column("ratio", Type.DECIMAL, nullable=True),
        Column("at", Type.TIME, precision=6),
        Column("opens", Type.CLOCK, precision=0),
        Column("file", Type.BYTES, nullable=True),
        Column("mark", Type.OBJECT_ID),
        Column("days", Type.DATE, many=True, nullable=True),
    ),
    key=("id", "part"),
    table="shop.Every Thing",
    indexes=(Index(("name",), unique=True), Index(("level", "price"))),
    managed=True,
)
A_ROW = (
    "123e4567-e89b-12d3-a456-426614174000",
    7,
    "it's high",
    ["low", "it's high"],
    "Ada",
    "9.90",
    "0.12345",
    "2024-01-01T00:00:00.000001Z",
    "09:30:00",
    "AP8=",
    "507f1f77bcf86cd799439011",
    ["2024-01-01"],
)


@pytest.mark.parametrize("kind", SQL)
async def test_every_type_is_made_with_what_it_needs_and_is_as_declared(kind: str) -> None:
    async with url_of(kind) as url:
        store = SqlStore("s", url)
        await store.open()
        try:
            done = await store.migrate("s", [EVERYTHING], None)
            assert done[-1] == ("s: created table shop.Every Thing")
            if kind == "postgresql":
                assert done[:-1] == [
                    "s: created schema shop",
                    "s: created schema store",
                    "s: created extension citext",
                    "s: created type store.level",
                ]
            assert await store.migrate("s", [EVERYTHING], None) == []
            assert problems_of([EVERYTHING], await store.describe([EVERYTHING])) == []
            await store.answer(Upsert(EVERYTHING, [A_ROW]))
            found = await store.answer(Get(EVERYTHING, EVERYTHING.names, [f"{A_ROW[0]},7"], "id,part"))
            assert {key: tuple(row) for key, row in found.items()} == {f"{A_ROW[0]},7": A_ROW}
            assert {*(await store.answer(Get(EVERYTHING, ("part",), ["ADA", "ada", "bob"], "name")))} == {"ADA", "ada"}
        finally:
            await store.close()


@pytest.mark.parametrize("kind", SQL)
async def test_a_script_that_fails_leaves_nothing_behind(kind: str, tmp_path: Path) -> None:
    (tmp_path / "0001_half.py").write_text(
        '"""half"""\nimport sqlalchemy as sa\nfrom alembic import op\nrevision = "0001"\ndown_revision = None\n'
        'def upgrade():\n    op.create_table("half", sa.Column("id", sa.Text))\n    raise RuntimeError("in the middle")\n'
    )
    async with url_of(kind) as url:
        store = SqlStore("s", url)
        with pytest.raises(RuntimeError, match="in the middle"):
            await store.migrate("s", [], tmp_path)

        assert await _run(store, lambda connection: sa.inspect(connection).get_table_names()) == []


async def test_a_migration_of_a_server_that_is_away_says_so() -> None:
    store = SqlStore("users", "postgresql+asyncpg://nobody@127.0.0.1:1/nothing", connect_timeout_s=0.5)

    with pytest.raises(StoreUnavailable):
        await store.migrate("users", [users], MIGRATIONS / "users")


def test_a_name_too_long_for_postgresql_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 63 bytes"):
        index_name("a_table", ["a_rather_long_column_name"] * 3)


async def _run(store: SqlStore, work: Callable[[sa.Connection], T]) -> T:
    engine = store._driver.migration_engine()
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()
