"""Migrations of a whole graph: managed collections alone, the gateway's own steps before the graph's, and each store by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import strawberry
from sqlalchemy import make_url

from gateway.cli.running import look_at_stores, prepare
from gateway.config import Settings
from gateway.errors import ConfigError, StoreMisbehaved, StoreUnavailable
from gateway.graph.datasets import Dataset
from gateway.graph.fields import Graph, Node, column, lookup
from gateway.migrating import Outcome, histories, migrate, migrate_each, plan_each, states_of_each
from gateway.preparing import connect, looked_into, managed_alone, migrate_at_start, opened, untouched
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Delete, Fetch, Index, Upsert
from gateway.stores.memory import MemoryStore
from tests.dumps import dump
from tests.gateway.engine.graphs import graph
from tests.kinds import kinds, url_of

SERVERS = ("sqlite", "postgresql", "mongodb", "neo4j")


@strawberry.type
class Note(Node):
    id: strawberry.ID = column()
    text: str = column()


NOTES = Collection("notes", "paper", (Column("id", refers="Note"), Column("text")), label="Note", indexes=(Index(("text", "id")),))
MANAGED = Collection("drafts", "paper", (Column("id"), Column("text")), label="Draft", indexes=(Index(("text", "id")),), managed=True)


def graph_over(*collections: Collection, **more: Any) -> Graph:
    query = {"__annotations__": {"note": Note | None}, "note": lookup(NOTES, by={"id": "id"})}
    made = graph(strawberry.type(type("Query", (), query)), *collections)
    return Graph(schema=made.schema, collections=made.collections, **more)


def settings_of(tmp_path: Path, **urls: str) -> Settings:
    return Settings.model_validate({"stores": {name: {"url": url} for name, url in urls.items()}, "data_dir": tmp_path})


@asynccontextmanager
async def stores_of(**urls: str) -> AsyncIterator[Stores]:
    stores = Stores.connect(urls)
    await stores.open()
    try:
        yield stores
    finally:
        await stores.close()


async def their_database(kind: str, url: str) -> None:
    """Make what somebody else has: the rows of NOTES, and no index for them; a SQLite file as SQLite makes it by itself."""
    if kind == "sqlite":
        with sqlite3.connect(make_url(url).database or "") as connection:
            connection.execute("CREATE TABLE notes (id TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL)")
            connection.execute("INSERT INTO notes VALUES ('1', 'theirs')")
        connection.close()
        return
    bare = Collection("notes", "paper", NOTES.columns, label="Note", managed=True)
    async with stores_of(paper=url) as stores:
        if kind == "postgresql":
            await stores["paper"].migrate("paper", [bare], None)
        await stores.ask(Upsert(bare, [("1", "theirs")]))


# ------------------------------------------------------------------------------------------------------------ never altered


@pytest.mark.parametrize("kind", kinds(SERVERS))
async def test_what_is_not_managed_is_read_and_nothing_of_it_is_changed(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_demo(users: int, seed: int) -> Any:
        raise AssertionError("demo data is for what is managed")

    made = graph_over(NOTES, migrations=tmp_path, demo=no_demo)
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "0001_never.py").write_text("raise AssertionError\n", encoding="utf-8")
    async with url_of(kind) as url:
        await their_database(kind, url)
        before = await dump(kind, url)
        settings = settings_of(tmp_path, paper=url).model_copy(update={"migrate": True})
        assert await prepare(settings, made) == [], "what serve does before it serves"
        async with opened(settings, made) as stores:
            nothing = [Outcome("paper", ["paper: nothing in it is managed, nothing to do"])]
            for asked in (migrate_each, plan_each, states_of_each):
                assert await asked(stores, made, ["paper"]) == nothing
            assert await stores.migrate("paper", [NOTES], None) == []
            assert (await stores.ask(Fetch(NOTES, ("text",))))[None].rows[0][0] == "theirs"
        await look_at_stores(settings, made)
        assert await dump(kind, url) == before
    assert "created" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", kinds(SERVERS))
async def test_of_a_store_with_both_only_what_is_managed_is_made(kind: str, tmp_path: Path) -> None:
    made = graph_over(NOTES, MANAGED)
    async with url_of(kind) as url:
        await their_database(kind, url)
        async with opened(settings_of(tmp_path, paper=url), made) as stores:
            planned = await plan_each(stores, made, ["paper"])
            done = await migrate(stores, made, "paper")
            assert done
            for lines in (planned[0].lines, done):
                assert all("drafts" in line or "Draft" in line for line in lines)
            description = await stores.describe("paper", [NOTES])
            assert description is not None
            assert not [index for index in getattr(description["notes"], "indexes", ()) if "text" in index.columns]


# ------------------------------------------------------------------------------------------------------ the gateway's own

_OWN = {
    "postgresql": '"""own"""\nimport sqlalchemy as sa\nfrom alembic import op\nrevision = "0001"\ndown_revision = None\n\n'
    'def upgrade():\n    op.create_table("crossgraph_outbox", sa.Column("id", sa.Text, primary_key=True))\n',
    "mongodb": '"""own"""\n\nasync def upgrade(database):\n    await database["crossgraph_outbox"].create_index([("at", 1)])\n',
    "neo4j": '"""own"""\n\nasync def upgrade(database):\n'
    '    await database.run("CREATE INDEX {CrossgraphOutbox_at} IF NOT EXISTS FOR (x:{CrossgraphOutbox}) ON (x.at)")\n',
}
_OWN["sqlite"] = _OWN["postgresql"]


@pytest.mark.parametrize("kind", kinds(SERVERS))
async def test_the_gateway_has_steps_of_its_own_in_a_store_that_has_something_managed(kind: str, tmp_path: Path) -> None:
    own = tmp_path / "own"
    place = own if kind in ("sqlite", "postgresql") else own / kind
    place.mkdir(parents=True)
    (place / "0001_own.py").write_text(_OWN[kind], encoding="utf-8")
    made = graph_over(NOTES, MANAGED)
    async with url_of(kind) as url, stores_of(paper=url) as stores:
        [state] = await states_of_each(stores, made, ["paper"], own=own)
        assert state.lines[:2] == ["paper: gateway: at base, 0 applied, 1 waiting", "  waiting 0001 own"]
        done = await migrate(stores, made, "paper", own=own)
        assert done[0] == "paper: 0001 own"
        assert len(done) > 1, "the graph's come behind it"
        assert await migrate(stores, made, "paper", own=own) == []
        [state] = await states_of_each(stores, made, ["paper"], own=own)
        assert state.lines == [
            "paper: gateway: at 0001, 1 applied, 0 waiting",
            "  applied 0001 own",
            "paper: graph: from the declarations, 0 waiting",
        ]
        assert histories(stores, graph_over(NOTES), "paper", own) == []


# -------------------------------------------------------------------------------------------------------- each by itself


async def test_a_store_that_fails_leaves_the_others_migrated_and_told() -> None:
    first, second, third = (Collection(f"c{name}", name, MANAGED.columns, managed=True) for name in ("a", "b", "c"))
    stores = {name: MemoryStore(name) for name in ("a", "b", "c")}
    stores["b"].fail_with = StoreUnavailable("b")
    outcomes = await migrate_each(Stores(stores), graph_over(NOTES, first, second, third), ["a", "b", "c"])
    assert [outcome.lines for outcome in outcomes] == [["a: created collection ca"], [], ["c: created collection cc"]]
    assert isinstance(outcomes[1].error, StoreUnavailable)


async def test_at_the_start_all_are_migrated_where_the_setting_says_so_and_one_that_is_away_is_told(tmp_path: Path) -> None:
    first, second = (Collection(f"c{name}", name, MANAGED.columns, managed=True) for name in ("a", "b"))
    made = graph_over(first, second)
    settings = settings_of(tmp_path, a="memory://", b="memory://")
    stores = {name: MemoryStore(name) for name in ("a", "b")}
    said: list[str] = []
    warned: list[str] = []
    await migrate_at_start(Stores(stores), made, settings, said.append, warned.append)
    assert (said, warned) == ([], []), "none of these is embedded"
    stores["a"].fail_with = StoreUnavailable("a")
    asked = settings.model_copy(update={"migrate": True})
    await migrate_at_start(Stores(stores), made, asked, said.append, warned.append)
    assert said == ["b: created collection cb"]
    assert warned == ["Not migrated: The store 'a' is unavailable at 'memory://'."]
    stores["a"].fail_with = ConfigError("of another sort")
    with pytest.raises(ConfigError, match="of another sort"):
        await migrate_at_start(Stores(stores), made, asked, said.append, warned.append)


async def test_a_kind_that_keeps_no_history_says_so() -> None:
    [outcome] = await plan_each(Stores({"paper": MemoryStore("paper")}), graph_over(MANAGED), ["paper"])
    assert isinstance(outcome.error, ConfigError)
    assert outcome.error.message == "store paper: expected a kind that can say what a migration would do, got memory"


# --------------------------------------------------------------------------------------------------------------- read-only


def test_a_store_is_written_to_where_something_is_managed_or_loaded() -> None:
    loaded = Dataset("notes.ndjson", NOTES)
    assert untouched(graph_over(NOTES)) == {"paper"}
    assert untouched(graph_over(NOTES, MANAGED)) == frozenset()
    assert untouched(graph_over(NOTES, datasets=(loaded,))) == frozenset()


async def test_a_file_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "theirs.db"
    settings = settings_of(tmp_path, paper=f"sqlite:///{file}")
    expected = f"stores.paper.url: expected a file that is there, as nothing in it is managed; {file} is not"
    for opening in (opened, looked_into):
        with pytest.raises(ConfigError) as refused:
            async with opening(settings, graph_over(NOTES)):
                raise AssertionError
        assert refused.value.message == expected
    with pytest.raises(ConfigError, match="expected a file that is there"):
        await look_at_stores(settings, graph_over(NOTES))
    stores = connect(settings, graph=graph_over(NOTES))
    await stores.open()
    with pytest.raises(StoreUnavailable):
        await stores.ask(Fetch(NOTES, ("text",)))
    await stores.close()
    assert not file.parent.exists()


async def test_nothing_is_written_to_a_file_that_is_read_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/theirs.db"
    await their_database("sqlite", url)
    before = await dump("sqlite", url)
    async with opened(settings_of(tmp_path, paper=url), graph_over(NOTES)) as stores:
        for write in (Upsert(NOTES, [("2", "x")]), Delete(NOTES, [("1",)])):
            with pytest.raises(StoreMisbehaved, match="the store 'paper' is opened read-only"):
                await stores.ask(write)
        with pytest.raises(StoreMisbehaved, match="is opened read-only"):
            await stores["paper"].migrate("paper", [MANAGED], None)
        assert (await stores.ask(Fetch(NOTES, ("text",))))[None].rows[0][0] == "theirs"
        assert await dump("sqlite", url) == before, "no file is beside it while it is open"
    assert await dump("sqlite", url) == before


async def test_a_file_that_its_owner_keeps_in_wal_mode_is_read_and_not_changed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/theirs.db"
    await their_database("sqlite", url)
    writer = sqlite3.connect(tmp_path / "theirs.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO notes VALUES ('2', 'in the WAL')")
    before = (tmp_path / "theirs.db").read_bytes()
    async with opened(settings_of(tmp_path, paper=url), graph_over(NOTES)) as stores:
        rows = (await stores.ask(Fetch(NOTES, ("text",))))[None].rows
        assert [row[0] for row in rows] == ["theirs", "in the WAL"]
        writer.execute("INSERT INTO notes VALUES ('3', 'while it is open')")
        assert len((await stores.ask(Fetch(NOTES, ("text",))))[None].rows) == 3
    assert (tmp_path / "theirs.db").read_bytes() == before
    writer.close()


async def test_two_stores_of_one_file_share_it_as_the_one_that_is_written_to_needs_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/both.db"
    other = Collection("others", "own", MANAGED.columns, managed=True)
    async with opened(settings_of(tmp_path, paper=url, own=url), graph_over(NOTES, other)) as stores:
        assert await migrate(stores, graph_over(NOTES, other), "own") == ["own: created table others"]


def test_demo_data_is_for_managed_collections() -> None:
    batches: Sequence[Any] = [(MANAGED, [("1", "x")]), (NOTES, [("1", "x")])]
    given = managed_alone(batches)
    assert next(given) == batches[0]
    with pytest.raises(ConfigError, match=r"^the demo data: expected rows of managed collections alone, got some of notes$"):
        next(given)
