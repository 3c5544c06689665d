"""What each kind of store says it has, held against declarations: what is right is clean, empty or full, and what is wrong is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.graph.found import problems_of
from gateway.stores.base import Collection, Column, Index, Store, Type, Upsert, Value
from gateway.stores.described import Describes, Found
from tests.gateway.stores.contract import test_nouns
from tests.gateway.stores.contract.conftest import SCRATCH
from tests.gateway.stores.contract.oracle import put
from tests.gateway.stores.contract.world import links, record, things
from tests.kinds import KINDS, kinds, store_of

REAL = [kind for kind in KINDS if kind != "memory"]  # memory has whatever it is asked for
CATALOGUED = ["sqlite", "postgresql"]
SAMPLED = [kind for kind in REAL if kind not in CATALOGUED]
TABLE = {"sqlite": "table", "postgresql": "table", "mongodb": "collection", "mongodb+motor": "collection"}


async def told(store: Store, *collections: Collection) -> list[str]:
    assert isinstance(store, Describes)
    return [str(problem) for problem in problems_of(collections, await store.describe(collections))]


def notes(*columns: Column, name: str = "notes") -> Collection:
    return Collection(name, "tested", (Column("id"), *columns), label=name)


async def write(store: Store, collection: Collection, *rows: tuple[Value, ...]) -> None:
    await store.answer(Upsert(collection, rows))


async def test_what_was_migrated_is_as_declared_empty_or_full(scratch: Store) -> None:
    assert await told(scratch, things, links, *SCRATCH) == []
    await test_nouns.load(scratch)
    assert await told(scratch, things, links, *SCRATCH) == []


async def test_rows_without_what_may_be_null_are_as_declared(scratch: Store) -> None:
    drafts = SCRATCH[0]
    await put(scratch, drafts, record("a"), record("b"))
    assert await told(scratch, drafts) == []


async def test_nothing_is_asked_about_no_collections(store: Store) -> None:
    assert await told(store) == []


@pytest.mark.parametrize("kind", kinds(REAL))
async def test_a_missing_table_is_told_with_the_name_that_was_meant(kind: str) -> None:
    async with store_of(kind, [notes(name="note"), notes(name="other")]) as store:
        what = TABLE.get(kind, "label")
        where = "collection notes of the store tested"
        assert await told(store, notes(), notes(name="other")) == [f"{where}: expected a {what} notes, got none; there is note"]


@pytest.mark.parametrize("kind", kinds(REAL))
async def test_all_is_missing_of_an_empty_database(kind: str) -> None:
    async with store_of(kind, []) as store:
        what, link, name = (TABLE[kind], TABLE[kind], "links") if kind in TABLE else ("label", "relationship type", "LINKS_TO")
        assert await told(store, replace(notes(), managed=True), replace(links, managed=True)) == [
            f"collection notes of the store tested: expected a {what} notes, which gateway migrate makes, got none",
            f"collection links of the store tested: expected a {link} {name}, which gateway migrate makes, got none",
        ]


@pytest.mark.parametrize("kind", kinds(REAL))
async def test_one_of_several_may_be_missing(kind: str) -> None:
    async with store_of(kind, [notes()]) as store:
        [line] = await told(store, notes(), things)
        assert line.startswith("collection things of the store tested: expected a ")
        assert line.endswith(", got none")
        assert "migrate" not in line


@pytest.mark.parametrize("kind", kinds(CATALOGUED))
async def test_a_missing_column_is_told_with_the_name_that_was_meant(kind: str) -> None:
    async with store_of(kind, [notes(Column("e_mail"), Column("size", Type.INT))]) as store:
        assert await told(store, notes(Column("email"), Column("height", Type.INT, nullable=True))) == [
            "collection notes of the store tested: expected a column 'email', got none; there is 'e_mail'",
            "collection notes of the store tested: expected a column 'height', got a table with id, e_mail, size",
        ]


@pytest.mark.parametrize("kind", kinds(SAMPLED))
async def test_what_no_row_has_is_told_where_it_is_never_null(kind: str) -> None:
    wanted = notes(Column("email"), Column("height", Type.INT, nullable=True))
    async with store_of(kind, [notes()]) as store:
        assert await told(store, wanted) == [], "of no rows nothing is known"
        await write(store, notes(), ("1",), ("2",))
        assert await told(store, wanted) == [
            "collection notes of the store tested: expected a column 'email' that is never null, got none in all of the 2 rows looked at"
        ]
        await write(store, wanted, ("1", "a@b", None))
        assert await told(store, wanted) == [], "one that lacks is an error of its field"


VALUES: dict[Type, Value] = {
    Type.TEXT: "a",
    Type.BOOL: True,
    Type.INT: 7,
    Type.FLOAT: 1.5,
    Type.TIME: "2020-01-01T00:00:01.000Z",  # of no day's beginning, which in MongoDB is a DATE, too
    Type.DATE: "2020-01-01",
    Type.JSON: {"a": 1},
    Type.TEXTS: ["a"],
}
# What is there, and what was declared. SQLite cannot tell times, dates, JSON and texts from each other: all are text to it.
WRONG = [
    (Type.TEXT, Type.INT),
    (Type.TEXT, Type.FLOAT),
    (Type.TEXT, Type.BOOL),
    (Type.INT, Type.TEXT),
    (Type.INT, Type.TEXTS),
    (Type.FLOAT, Type.DATE),
    (Type.FLOAT, Type.INT),
    (Type.BOOL, Type.TIME),
    (Type.TEXTS, Type.INT),
]
SUBTLE = [(Type.TEXT, Type.TIME), (Type.TEXT, Type.DATE), (Type.TIME, Type.DATE), (Type.TEXT, Type.TEXTS), (Type.TEXTS, Type.TEXT)]


@pytest.mark.parametrize("kind", kinds(REAL))
async def test_a_column_of_another_type_is_told_with_what_it_is(kind: str) -> None:
    pairs = WRONG + (SUBTLE if kind != "sqlite" else [])
    had = [notes(Column("value", its), name=f"n{place}") for place, (its, _) in enumerate(pairs)]
    wanted = [notes(Column("value", its), name=f"n{place}") for place, (_, its) in enumerate(pairs)]
    async with store_of(kind, had) as store:
        if kind in SAMPLED:
            assert await told(store, *wanted) == [], "of no rows nothing is known"
        for collection, (its, _) in zip(had, pairs, strict=True):
            await write(store, collection, ("1", VALUES[its]), ("2", VALUES[its]))
        assert await told(store, *had) == []
        lines = await told(store, *wanted)
        for place, (line, (_, its)) in enumerate(zip(lines, pairs, strict=True)):
            start = f"collection n{place} of the store tested: expected a column 'value' for {its.upper()}, got "
            assert line.startswith(start)
            assert line.endswith(" in all of the 2 rows looked at") is (kind in SAMPLED)


@pytest.mark.parametrize("kind", kinds(SAMPLED))
async def test_a_single_value_of_another_type_is_no_reason_to_refuse_its_neighbours(kind: str) -> None:
    had, wanted = notes(Column("value", Type.INT)), notes(Column("value", Type.TEXT))
    async with store_of(kind, [had]) as store:
        await write(store, had, ("1", 1), ("2", 2), ("3", 3))
        assert len(await told(store, wanted)) == 1
        await write(store, wanted, ("2", "two"))
        assert await told(store, wanted) == []


@pytest.mark.parametrize("kind", kinds(SAMPLED))
async def test_whole_numbers_are_floats_and_texts_of_the_right_form_times(kind: str) -> None:
    had = notes(Column("number", Type.INT), Column("time"), Column("date"), Column("json"))
    wanted = notes(Column("number", Type.FLOAT), Column("time", Type.TIME), Column("date", Type.DATE), Column("json", Type.JSON))
    async with store_of(kind, [had]) as store:
        await write(store, had, ("1", 1, VALUES[Type.TIME], VALUES[Type.DATE], "[]"))
        assert await told(store, wanted) == []


@pytest.mark.parametrize("kind", kinds(SAMPLED))
async def test_edges_are_looked_at_too(kind: str) -> None:
    wanted = replace(links, columns=tuple(replace(c, type=Type.TEXT, nullable=False) if c.name == "strength" else c for c in links.columns))
    async with store_of(kind, [links]) as store:
        await put(
            store, links, {"source_id": "1", "target_id": "2", "since": VALUES[Type.TIME], "strength": 5, "remark": None, "mutual": True}
        )
        assert await told(store, links) == []
        swapped = replace(links, relationship=replace(links.relationship, start="Other") if links.relationship else None)
        if kind == "neo4j":
            assert await told(store, replace(swapped, columns=wanted.columns)) == [], "between nodes of other labels are no rows of it"
        [line] = await told(store, wanted)
        assert line.startswith("collection links of the store tested: expected a column 'strength' for TEXT, got ")
        assert line.endswith(" in all of the one row looked at")


@pytest.mark.parametrize("kind", kinds())
async def test_indexes_are_told_with_the_names_of_columns(kind: str) -> None:
    wanted = replace(notes(Column("a"), Column("b")), indexes=(Index(("a", "id")), Index(("b",), unique=True)))
    async with store_of(kind, [wanted]) as store:
        assert isinstance(store, Describes)
        found = (await store.describe([wanted]))["notes"]
        assert isinstance(found, Found)
        assert set(found.indexes) == {Index(("id",), unique=True), *wanted.indexes}


@pytest.mark.parametrize("kind", kinds(["mongodb", "mongodb+motor"]))
async def test_a_view_of_mongodb_is_a_collection(kind: str) -> None:
    had = notes(Column("a"), name="raw")
    async with store_of(kind, [had]) as store:
        database: Any = store
        await write(store, had, ("1", "x"))
        await database._database().create_collection("notes", viewOn="raw", pipeline=[])
        assert await told(store, notes(Column("a"))) == []
        [line] = await told(store, notes(Column("a", Type.INT)))
        assert line.endswith("expected a column 'a' for INT, got string in all of the one row looked at")


@pytest.mark.parametrize("kind", kinds(CATALOGUED))
async def test_what_may_be_null_and_was_declared_never_to_be_is_told(kind: str) -> None:
    had = notes(Column("a", nullable=True), Column("b"))
    async with store_of(kind, [had]) as store:
        assert await told(store, notes(Column("a"), Column("b", nullable=True))) == [
            "collection notes of the store tested: expected a column 'a' that is never null, got one that may be"
        ]


@pytest.mark.parametrize("kind", kinds(CATALOGUED))
async def test_a_key_that_is_not_unique_is_told(kind: str) -> None:
    by_id = notes(Column("code"), Column("name"))
    async with store_of(kind, [replace(by_id, indexes=(Index(("code",), unique=True), Index(("name",))))]) as store:
        assert await told(store, replace(by_id, key=("code",))) == [], "a unique index is as good as a primary key"
        assert await told(store, replace(by_id, key=("name",))) == [
            "collection notes of the store tested: expected a key (name) that is unique, got a table without a unique index of just these"
        ]
        assert len(await told(store, replace(by_id, key=("id", "name")))) == 1
