"""Histories in every kind of store: steps run once, in order and by one process at a time; what waits can be told without a change."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from gateway.errors import MigrationLocked, MigrationRefused
from gateway.graph.found import problems_of
from gateway.stores import connect, steps
from gateway.stores.base import Collection, Column, Fetch, Index, Type, Upsert
from gateway.stores.leases import LEASE_S, held
from gateway.stores.migrating import GATEWAY, GRAPH, Migrates, Reverts, State
from gateway.stores.sql import migrations as sql_migrations
from gateway.stores.sql.histories import Histories
from tests.dumps import dump
from tests.kinds import kinds, url_of

SQL = ("sqlite", "postgresql")
DOCUMENTS = ("mongodb", "neo4j")
ALL = kinds(SQL + DOCUMENTS)
TOGETHER_S = 30.0  # for two threads to meet

NOTES = Collection(
    "notes", "s", (Column("id"), Column("text"), Column("at", Type.TIME)), label="Note", indexes=(Index(("text", "id")),), managed=True
)

_STEPS = {
    "sql": '''"""{doc}"""
from pathlib import Path
from alembic import op
import sqlalchemy as sa
revision = "{number:04}"
down_revision = {before}

def upgrade():
    with Path({ran!r}).open("a") as file:
        file.write("{number:04}\\n")
    op.create_table("step_{number}", sa.Column("id", sa.Text))

def downgrade():
    op.drop_table("step_{number}")
''',
    "mongodb": '''"""{doc}"""
from pathlib import Path

async def upgrade(database):
    with Path({ran!r}).open("a") as file:
        file.write("{number:04}\\n")
    await database["step_{number}"].insert_one({{"_id": 1}})
''',
    "neo4j": '''"""{doc}"""
from pathlib import Path

async def upgrade(database):
    with Path({ran!r}).open("a") as file:
        file.write("{number:04}\\n")
    await database.run("CREATE INDEX {{Step_{number}_id}} IF NOT EXISTS FOR (x:{{Step_{number}}}) ON (x.id)")
    await database.run("CREATE (:{{Step_{number}}} {{{{id: $id}}}})", {{"id": 1}})
''',
}


class Scripts:
    """A folder of steps; ``ran`` is what they have written down when they ran."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.form = "sql" if kind in SQL else kind.partition("+")[0]
        self.folder = folder
        self.place = folder if kind in SQL else folder / self.form
        self.file = folder / "ran.txt"
        self.place.mkdir(parents=True)

    def write(self, number: int, doc: str = "a step") -> Path:
        before = None if number == 1 else f"{number - 1:04}"
        path = self.place / f"{number:04}_step.py"
        path.write_text(_STEPS[self.form].format(number=number, doc=doc, before=repr(before), ran=str(self.file)), encoding="utf-8")
        return path

    @property
    def ran(self) -> list[str]:
        return self.file.read_text(encoding="utf-8").split() if self.file.exists() else []


@asynccontextmanager
async def opened(url: str, name: str = "s") -> AsyncIterator[Any]:
    store = connect(name, url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


# -------------------------------------------------------------------------------------------------------------------- steps


@pytest.mark.parametrize("kind", kinds((*SQL, *DOCUMENTS, "mongodb+motor")))
async def test_steps_run_once_and_in_their_order(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    scripts.write(1, "first")
    async with url_of(kind) as url, opened(url) as store:
        assert isinstance(store, Migrates)
        assert await store.migrate("s", [NOTES], scripts.folder) == ["s: 0001 first"]
        scripts.write(2, "second")
        scripts.write(3, "third")
        assert await store.migrate("s", [NOTES], scripts.folder) == ["s: 0002 second", "s: 0003 third"]
        assert await store.migrate("s", [NOTES], scripts.folder) == []
        assert scripts.ran == ["0001", "0002", "0003"]


@pytest.mark.parametrize("kind", ALL)
async def test_a_state_says_what_was_run_and_what_waits_and_changes_nothing(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    scripts.write(1)
    async with url_of(kind) as url, opened(url) as store:
        await store.migrate("s", [NOTES], scripts.folder)
        scripts.write(2, "more")
        before = await dump(kind, url)
        found = await store.state("s", [NOTES], scripts.folder)
        assert found == State(GRAPH, (f"0001 {'a ' if kind in SQL else ''}step",), ("0002 more",))
        assert await store.planned("s", [NOTES], scripts.folder) == ["s: 0002 more"]
        assert await dump(kind, url) == before
        assert scripts.ran == ["0001"]


@pytest.mark.parametrize("kind", ALL)
async def test_what_would_be_done_in_a_new_database_is_told_and_not_done(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    scripts.write(1)
    async with url_of(kind) as url, opened(url) as store:
        before = await dump(kind, url)
        assert await store.planned("s", [NOTES], scripts.folder) == ["s: 0001 a step"]
        declared = await store.planned("s", [NOTES], None)
        assert all(line.startswith(("s: CREATE ", "s: db.")) for line in declared)
        assert len(declared) == 2
        assert await store.state("s", [NOTES], None) == State(
            GRAPH, waiting=tuple(line.removeprefix("s: ") for line in declared), is_declared=True
        )
        assert await store.drafted("s", [NOTES], tmp_path / "new", "all")
        assert await dump(kind, url) == before
        await store.migrate("s", [NOTES], None)
        assert await store.planned("s", [NOTES], None) == []


@pytest.mark.parametrize("kind", ALL)
async def test_histories_of_two_owners_and_of_two_stores_in_one_database_are_apart(kind: str, tmp_path: Path) -> None:
    first, second = Scripts(kind, tmp_path / "s"), Scripts(kind, tmp_path / "own")
    first.write(1, "of the graph")
    second.write(1, "of the gateway")
    second.place.joinpath("0001_step.py").write_text(
        second.place.joinpath("0001_step.py").read_text().replace("step_1", "own_1").replace("Step_1", "Own_1"), encoding="utf-8"
    )
    async with url_of(kind) as url, opened(url) as store:
        assert await store.migrate("s", [NOTES], first.folder) == ["s: 0001 of the graph"]
        assert await store.state("s", [], second.folder, owner=GATEWAY) == State(GATEWAY, (), ("0001 of the gateway",))
        assert await store.migrate("s", [], second.folder, owner=GATEWAY) == ["s: 0001 of the gateway"]
        assert (await store.state("other", [NOTES], first.folder)).waiting == ("0001 of the graph",)
        assert await store.migrate("s", [NOTES], first.folder) == []
        assert await store.migrate("s", [], second.folder, owner=GATEWAY) == []


@pytest.mark.parametrize("kind", kinds(DOCUMENTS))
async def test_a_step_that_fails_is_told_with_what_was_done_and_is_run_again(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    scripts.write(1, "first")
    broken = scripts.place / "0002_broken.py"
    broken.write_text('"""breaks"""\n\nasync def upgrade(database):\n    raise RuntimeError("in the middle")\n', encoding="utf-8")
    async with url_of(kind) as url, opened(url) as store:
        with pytest.raises(MigrationRefused) as failed:
            await store.migrate("s", [NOTES], scripts.folder)
        assert failed.value.message == "store s: step 0002 breaks failed after s: 0001 first: RuntimeError: in the middle"
        assert (await store.state("s", [NOTES], scripts.folder)).waiting == ("0002 breaks",)
        broken.write_text('"""is right"""\n\nasync def upgrade(database):\n    pass\n', encoding="utf-8")
        assert await store.migrate("s", [NOTES], scripts.folder) == ["s: 0002 is right"]


@pytest.mark.parametrize("kind", kinds(DOCUMENTS))
async def test_a_history_that_is_not_what_it_was_is_refused(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    step = scripts.write(1)
    async with url_of(kind) as url, opened(url) as store:
        await store.migrate("s", [NOTES], scripts.folder)
        before = await dump(kind, url)
        step.write_text(step.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
        for asked in (store.migrate, store.planned, store.state):
            with pytest.raises(MigrationRefused, match="a step that was run is not changed: write another"):
                await asked("s", [NOTES], scripts.folder)
        step.rename(scripts.place / "0001_renamed.py")
        with pytest.raises(MigrationRefused, match=r"expected the file 0001_step\.py"):
            await store.migrate("s", [NOTES], scripts.folder)
        assert await dump(kind, url) == before


@pytest.mark.parametrize("kind", kinds(SQL))
async def test_a_revision_without_its_script_is_refused(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    scripts.write(1)
    second = scripts.write(2)
    async with url_of(kind) as url, opened(url) as store:
        await store.migrate("s", [NOTES], scripts.folder)
        second.unlink()
        with pytest.raises(MigrationRefused, match=r"^store s: .*'0002'"):
            await store.migrate("s", [NOTES], scripts.folder)


# --------------------------------------------------------------------------------------------------------------------- lock


def _together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have two migrations meet where each has seen that something waits, and neither has the lock."""
    barrier = threading.Barrier(2, timeout=TOGETHER_S)
    planned = Histories.planned

    @asynccontextmanager
    async def met(*given: Any) -> AsyncIterator[Any]:
        barrier.wait()
        async with held(*given) as sure:
            yield sure

    async def seen(self: Histories, *given: Any) -> list[str]:
        lines = await planned(self, *given)
        barrier.wait()
        return lines

    monkeypatch.setattr(steps, "held", met)
    monkeypatch.setattr(Histories, "planned", seen)


async def _in_two_processes(url: str, collections: Sequence[Collection], scripts: Path | None) -> list[list[str]]:
    """Migrate twice at once, each in a thread with a loop and a store of its own."""

    def one() -> list[str]:
        async def run() -> list[str]:
            async with opened(url) as store:
                done: list[str] = await store.migrate("s", collections, scripts)
                return done

        return asyncio.run(run())

    return list(await asyncio.gather(asyncio.to_thread(one), asyncio.to_thread(one)))


@pytest.mark.parametrize("kind", ALL)
async def test_two_that_migrate_at_once_run_each_step_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    scripts.write(1)
    scripts.write(2)
    async with url_of(kind) as url:
        _together(monkeypatch)
        assert sorted(await _in_two_processes(url, [NOTES], scripts.folder)) == [[], ["s: 0001 a step", "s: 0002 a step"]]
        assert scripts.ran == ["0001", "0002"]


@pytest.mark.parametrize("kind", ALL)
async def test_two_that_create_what_is_declared_at_once_create_it_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with url_of(kind) as url:
        _together(monkeypatch)
        first, second = sorted(await _in_two_processes(url, [NOTES], None))
        assert first == []
        assert second


@pytest.mark.parametrize("kind", ALL)
async def test_one_that_waits_for_longer_than_it_may_says_so_and_has_changed_nothing(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    scripts.write(1)
    async with url_of(kind) as url, opened(url) as store, _held_by_another(kind, store):
        before = await dump(kind, url)
        with pytest.raises(MigrationLocked) as refused:
            await store.migrate("s", [NOTES], scripts.folder, lock_timeout_s=0.05)
        assert refused.value.message == "store s: another process migrates it; waited 0.05 s (migrate_lock_timeout_s)"
        with pytest.raises(MigrationLocked):
            await store.migrate("s", [NOTES], None, lock_timeout_s=0.05)
        assert scripts.ran == []
        if kind != "sqlite":  # whose lock is in its file
            assert await dump(kind, url) == before


@asynccontextmanager
async def _held_by_another(kind: str, store: Any) -> AsyncIterator[None]:
    if kind in SQL:
        engine = store._driver.migration_engine()
        async with engine.begin() as connection:
            await connection.run_sync(sql_migrations._wait_for_others, "s", 1.0)
            yield
        await engine.dispose()
        return
    lease = store._migrations().ledger.lease
    assert await lease.take("another", LEASE_S)
    yield
    await lease.release("another")


@pytest.mark.parametrize("kind", kinds(DOCUMENTS))
async def test_a_process_that_died_does_not_hold_the_others_up(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    scripts.write(1)
    async with url_of(kind) as url, opened(url) as store:
        assert await store._migrations().ledger.lease.take("dead", -1.0)
        assert await store.migrate("s", [NOTES], scripts.folder, lock_timeout_s=0.0) == ["s: 0001 a step"]


@pytest.mark.parametrize("kind", ALL)
async def test_what_has_nothing_to_do_asks_for_no_lock(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    scripts.write(1)
    async with url_of(kind) as url, opened(url) as store:
        await store.migrate("s", [NOTES], scripts.folder)
        async with _held_by_another(kind, store):
            assert await store.migrate("s", [NOTES], scripts.folder, lock_timeout_s=0.05) == []


# ------------------------------------------------------------------------------------------------------------------- drafts

AFTER = Collection(
    "notes",
    "s",
    (*NOTES.columns, Column("stars", Type.INT, nullable=True)),
    label="Note",
    indexes=(*NOTES.indexes, Index(("stars", "id"))),
    managed=True,
)
TAGS = Collection("tags", "s", (Column("id"), Column("name")), label="Tag", indexes=(Index(("name",), unique=True),), managed=True)


async def _write(store: Any, collections: Sequence[Collection], scripts: Scripts, text: str) -> list[str]:
    drafts = await store.drafted("s", collections, scripts.folder, text)
    for script in drafts:
        (scripts.place / script.file).write_text(script.text, encoding="utf-8")
    return [script.file for script in drafts]


@pytest.mark.parametrize("kind", ALL)
async def test_a_history_begins_with_all_that_is_declared_and_goes_on_with_the_difference(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    async with url_of(kind) as url, opened(url) as store:
        assert await _write(store, [NOTES], scripts, "Make notes") == ["0001_make_notes.py"]
        with pytest.raises(MigrationRefused, match=r"expected all steps to be run before another is made, 0001 Make notes waits$"):
            await _write(store, [AFTER], scripts, "too soon")
        assert await store.migrate("s", [NOTES], scripts.folder) == ["s: 0001 Make notes"]
        assert await store.planned("s", [NOTES], None) == [], "the script makes what is declared"
        assert await _write(store, [NOTES], scripts, "nothing") == []

        assert await _write(store, [AFTER, TAGS], scripts, "Add stars and tags") == ["0002_add_stars_and_tags.py"]
        assert await store.migrate("s", [AFTER, TAGS], scripts.folder) == ["s: 0002 Add stars and tags"]
        assert await store.planned("s", [AFTER, TAGS], None) == []
        assert await _write(store, [AFTER, TAGS], scripts, "nothing") == []
        await store.answer(Upsert(AFTER, [("a", "b", "2026-01-01T00:00:00.000Z", 5)]))
        assert (await store.answer(Fetch(AFTER, ("stars",))))[None].rows[0][0] == 5
        described = await _described(store)
    async with url_of(kind) as url, opened(url) as store:
        assert len(await store.migrate("s", [AFTER, TAGS], scripts.folder)) == 2, "a new store has both"
        await store.answer(Upsert(AFTER, [("a", "b", "2026-01-01T00:00:00.000Z", 5)]))
        assert await _described(store) == described


async def _described(store: Any, *collections: Collection) -> dict[str, Any]:
    found = await store.describe(collections or [AFTER, TAGS])
    return {name: (its.columns, frozenset(its.indexes)) for name, its in found.items()}


@pytest.mark.parametrize("kind", ALL)
async def test_a_store_made_from_the_declarations_goes_over_to_a_history(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    async with url_of(kind) as url, opened(url) as store:
        await store.migrate("s", [NOTES], None)
        await store.answer(Upsert(NOTES, [("a", "kept", "2026-01-01T00:00:00.000Z")]))
        written = await _write(store, [AFTER], scripts, "add stars")
        assert written == (["0001_what_was_there.py", "0002_add_stars.py"] if kind in SQL else ["0001_add_stars.py"])
        assert len(await store.migrate("s", [AFTER], scripts.folder)) == len(written)
        assert await store.planned("s", [AFTER], None) == []
        assert (await store.answer(Fetch(AFTER, ("text", "stars"))))[None].rows == [("kept", None)] or kind == "neo4j"
    async with url_of(kind) as url, opened(url) as store:
        assert len(await store.migrate("s", [AFTER], scripts.folder)) == len(written)
        assert await store.planned("s", [AFTER], None) == [], "a new store has the same"


@pytest.mark.parametrize("kind", kinds(SQL))
async def test_what_nobody_declared_is_not_dropped(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    more = Collection("notes", "s", (*NOTES.columns, Column("old", nullable=True)), indexes=(Index(("old",)),))
    foreign = Collection("theirs", "s", (Column("id"),))
    async with url_of(kind) as url, opened(url) as store:
        await store.migrate("s", [more, foreign], None)
        [_, script] = await store.drafted("s", [AFTER], scripts.folder, "add stars")
        assert "old" not in script.text
        assert "theirs" not in script.text
        assert script.text.count("op.add_column(") == 1
        up, down = script.text.split("def downgrade")
        assert "drop" not in up
        assert [line.strip().partition("(")[0] for line in down.splitlines() if "op." in line] == [
            "op.drop_index",
            "op.drop_index",
            "op.drop_column",
        ]


@pytest.mark.parametrize("kind", kinds(SQL))
async def test_a_new_column_that_is_never_null_is_remarked_on(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    strict = Collection("notes", "s", (*NOTES.columns, Column("stars", Type.INT)), indexes=NOTES.indexes)
    async with url_of(kind) as url, opened(url) as store:
        await store.migrate("s", [NOTES], None)
        [_, script] = await store.drafted("s", [strict], scripts.folder, "add stars")
        assert script.remarks == (
            "notes.stars is never null: rows that are there need a value,"
            " so give the column a server_default, or add it nullable and fill it",
        )
        assert "from gateway.stores.sql.tables import INT\n" in script.text


EVERYTHING = Collection(
    "everything",
    "s",
    (
        Column("id", Type.UUID),
        Column("part", Type.INT, at="Part No"),
        Column("level", Type.ENUM, enum="store.level", values=("low", "it's  high")),
        Column("levels", Type.ENUM, enum="store.level", values=("low", "it's  high"), many=True, nullable=True),
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
    indexes=(Index(("name",), unique=True), Index(("level", "part"))),
    managed=True,
)
MORE = replace(
    EVERYTHING,
    columns=(
        *EVERYTHING.columns,
        Column("mood", Type.ENUM, enum="mood", values=("sad", "glad"), nullable=True),
        Column("words", collation="nocase", at="Some Words", nullable=True),
        Column("times", Type.TIME, precision=6, many=True, nullable=True),
    ),
    indexes=(*EVERYTHING.indexes, Index(("words",))),
)
OF_DEFAULT_SCHEMA = Collection("plain", "s", (Column("id"), Column("at_", Type.TIME, at="at")), table="public.plain", managed=True)


@pytest.mark.parametrize("kind", kinds(SQL))
async def test_scripts_have_every_type_by_the_database_s_own_names_and_what_these_need(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    collections = [EVERYTHING, OF_DEFAULT_SCHEMA]
    async with url_of(kind) as url, opened(url) as store:
        planned = await store.planned("s", collections, None)
        assert [line for line in planned if "CREATE TABLE" not in line and "INDEX" not in line] == (
            [
                "s: CREATE SCHEMA shop",
                "s: CREATE SCHEMA store",
                "s: CREATE EXTENSION citext",
                "s: CREATE TYPE store.level AS ENUM ('low', 'it''s  high')",
            ]
            if kind == "postgresql"
            else []
        )
        assert await _write(store, collections, scripts, "make") == ["0001_make.py"]
        assert await store.migrate("s", collections, scripts.folder) == ["s: 0001 make"]
        assert await store.planned("s", collections, None) == []
        assert problems_of(collections, await store.describe(collections)) == []
        assert await _write(store, [MORE, OF_DEFAULT_SCHEMA], scripts, "more") == ["0002_more.py"]
        assert await store.migrate("s", [MORE], scripts.folder) == ["s: 0002 more"]
        assert problems_of([MORE], await store.describe([MORE])) == []
        assert await store.revert("s", scripts.folder, "base") == ["s: undid 0002 more", "s: undid 0001 make"]
        assert await store.migrate("s", [MORE], scripts.folder) == ["s: 0001 make", "s: 0002 more"]
        described = await _described(store, MORE)
    async with url_of(kind) as url, opened(url) as store:
        assert len(await store.migrate("s", [MORE], scripts.folder)) == 2, "a new store has both"
        assert await _described(store, MORE) == described
        assert problems_of([MORE, OF_DEFAULT_SCHEMA], await store.describe([MORE, OF_DEFAULT_SCHEMA])) == []


@pytest.mark.parametrize("kind", kinds(SQL))
async def test_what_was_made_from_the_declarations_is_in_the_first_script_with_its_types(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    async with url_of(kind) as url, opened(url) as store:
        await store.migrate("s", [EVERYTHING], None)
        assert await _write(store, [MORE], scripts, "more") == ["0001_what_was_there.py", "0002_more.py"]
        assert await store.migrate("s", [MORE], scripts.folder) == ["s: 0001 what was there", "s: 0002 more"]
        assert problems_of([MORE], await store.describe([MORE])) == []
    async with url_of(kind) as url, opened(url) as store:
        assert len(await store.migrate("s", [MORE], scripts.folder)) == 2, "a new store has both"
        assert problems_of([MORE], await store.describe([MORE])) == []


@pytest.mark.parametrize("kind", kinds(("postgresql",)))
async def test_what_waits_is_told_through_a_pooler_too_and_nothing_can_be_changed_meanwhile(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    async with url_of(kind) as url, opened(f"{url}{'&' if '?' in url else '?'}prepared=off") as store:
        engine = store._driver.looking_engine()
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError, match="read-only transaction"):
                await connection.exec_driver_sql("CREATE TABLE x (id text)")
        await engine.dispose()
        assert await _write(store, [EVERYTHING], scripts, "make") == ["0001_make.py"]
        assert (await store.state("s", [EVERYTHING], scripts.folder)).waiting == ("0001 make",)
        assert await store.migrate("s", [EVERYTHING], scripts.folder) == ["s: 0001 make"]
        assert await store.planned("s", [EVERYTHING], None) == []


UNIQUES = Collection(
    "uniques",
    "s",
    (
        Column("id"),
        *(
            Column(str(type_), type_, nullable=True, at=f"in.{type_}", values=("a",) if type_ is Type.ENUM else ())
            for type_ in Type
            if type_ not in (Type.JSON, Type.TEXTS)
        ),
    ),
    table="some.Uniques",
    indexes=tuple(Index((str(type_),), unique=True) for type_ in Type if type_ not in (Type.JSON, Type.TEXTS)),
    managed=True,
)


@pytest.mark.parametrize("kind", kinds(("mongodb",)))
async def test_unique_indexes_of_every_type_are_made_by_scripts_and_told_as_the_shell_has_them(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    async with url_of(kind) as url, opened(url) as store:
        planned = await store.planned("s", [UNIQUES], None)
        assert planned[0] == 's: db.createCollection("some.Uniques")'
        least = {line.partition('createIndex({"in.')[2].partition('"')[0]: line.rpartition('{"$gte": ')[2][:-4] for line in planned[1:]}
        assert least == {
            **dict.fromkeys(("text", "date", "clock", "enum", "bytes"), '""'),
            **dict.fromkeys(("int", "float"), "-Infinity"),
            "bool": "false",
            "time": 'ISODate("0001-01-01T00:00:00Z")',
            "decimal": 'NumberDecimal("-Infinity")',
            "uuid": 'BinData(4, "AAAAAAAAAAAAAAAAAAAAAA==")',
            "object_id": 'ObjectId("000000000000000000000000")',
        }
        assert await _write(store, [UNIQUES], scripts, "make") == ["0001_make.py"]
        assert await store.migrate("s", [UNIQUES], scripts.folder) == ["s: 0001 make"]
        assert await store.planned("s", [UNIQUES], None) == []


# --------------------------------------------------------------------------------------------------------------------- down


@pytest.mark.parametrize("kind", kinds(SQL))
async def test_steps_are_undone_one_by_one_or_down_to_a_revision(kind: str, tmp_path: Path) -> None:
    scripts = Scripts(kind, tmp_path / "s")
    for number in (1, 2, 3):
        scripts.write(number)
    async with url_of(kind) as url, opened(url) as store:
        assert issubclass(type(store), Reverts)
        assert await store.revert("s", scripts.folder, None) == []
        await store.migrate("s", [], scripts.folder)
        assert await store.revert("s", scripts.folder, None) == ["s: undid 0003 a step"]
        with pytest.raises(MigrationRefused, match=r"one of the revisions that were run \(base, 0001, 0002\), got '0003'$"):
            await store.revert("s", scripts.folder, "0003")
        assert await store.revert("s", scripts.folder, "base") == ["s: undid 0002 a step", "s: undid 0001 a step"]
        assert await store.migrate("s", [], scripts.folder) == [f"s: {number:04} a step" for number in (1, 2, 3)]
        assert await store.revert("s", scripts.folder, "0001") == ["s: undid 0003 a step", "s: undid 0002 a step"]


def test_other_kinds_have_no_way_back() -> None:
    assert not isinstance(connect("s", "mongodb://localhost/x"), Reverts)
    assert not isinstance(connect("s", "bolt://localhost"), Reverts)
