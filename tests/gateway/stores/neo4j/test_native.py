"""Graphs as others made them, by plain Cypher: read, ordered, paged, filtered, as keys, and walked as edges in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from gateway.errors import BadUserInput, StoreMisbehaved
from gateway.graph.found import problems_of
from gateway.stores.base import (
    Aggregate,
    And,
    Bucket,
    Collection,
    Column,
    Compare,
    Delete,
    Fetch,
    Get,
    Index,
    Match,
    Measure,
    Not,
    Op,
    Or,
    Order,
    Page,
    Pairs,
    Relationship,
    Row,
    Store,
    Type,
    Upsert,
    Value,
    Where,
    total_order,
)
from gateway.stores.neo4j.aggregates import aggregate_statement
from gateway.stores.neo4j.cypher import fetch_statement, get_statement
from gateway.stores.neo4j.store import Neo4jStore
from gateway.stores.values import Unreadable, found_in_place_of
from tests.kinds import needs, url_of
from tests.servers import NEO4J

pytestmark = [needs(NEO4J), pytest.mark.asyncio(loop_scope="module")]

listeners = Collection(
    "listeners",
    "s",
    (
        Column("id", Type.INT, at="listenerId"),
        Column("name", nullable=True, at="full name"),
        Column("age", Type.INT, nullable=True),
        Column("joined", Type.TIME, nullable=True, precision=6),
    ),
    label="Select Listener",
    indexes=(Index(("name",)),),
)
tracks = Collection("tracks", "s", (Column("isrc"), Column("seconds", Type.INT, nullable=True)), key=("isrc",), label="Track")
plays = Collection(
    "plays",
    "s",
    (
        Column("id", at="elementId()"),
        Column("listener", Type.INT),
        Column("track"),
        Column("at", Type.TIME, nullable=True, precision=6),
        Column("stars", Type.INT, nullable=True, at="how many"),
        Column("price", Type.DECIMAL, nullable=True, scale=2),
        Column("tags", Type.TEXTS, nullable=True),
    ),
    relationship=Relationship("ORDER BY", "Select Listener", "listener", "Track", "track", "listenerId", "isrc"),
)
numbered = replace(
    plays,
    name="numbered",
    columns=(Column("nr", Type.INT), *plays.columns[1:5]),
    key=("nr",),
)
between = replace(plays, name="between", columns=plays.columns[1:5], key=("listener", "track"))
liked = Collection(
    "liked",
    "s",
    (Column("id", at="elementId()"), Column("who", Type.INT, nullable=True), Column("what", nullable=True)),
    relationship=Relationship("LIKES", "Select Listener|Robot", "who", "", "what", "listenerId", "isrc"),
)

GRAPH = """
CREATE (a:{Select Listener} {listenerId: 42, `full name`: 'Ann', age: 30, joined: datetime('2024-01-01T01:00:00.000001+01:00')})
CREATE (b:{Select Listener} {listenerId: 7, `full name`: 'Bob', age: '30', joined: localdatetime('2024-01-01T00:00:00.000002')})
CREATE (c:{Select Listener} {listenerId: 9, age: 3.5, joined: datetime('2023-12-31T19:00:00.000001-05:00[America/New_York]')})
CREATE (d:{Select Listener} {listenerId: -1, `full name`: 5, age: 20, joined: datetime('2024-01-01T00:00:00.000000001Z')})
CREATE (e:{Select Listener} {listenerId: 9223372036854775807, `full name`: 'Eve', joined: datetime('-0043-03-15T12:00Z')})
CREATE (x:{Track} {isrc: 'x', seconds: 100}), (y:{Track} {isrc: 'y', seconds: 'long'}), (z:{Track} {isrc: 'z'})
CREATE (a)-[:{ORDER BY} {nr: 1, at: datetime('2024-05-01T12:00:00.5+02:00'), `how many`: 5, price: 0.1, tags: ['a', 'b']}]->(x)
CREATE (a)-[:{ORDER BY} {nr: 2, at: datetime('2024-05-01T10:00:00.5Z'), `how many`: 3, price: 2, tags: []}]->(x)
CREATE (a)-[:{ORDER BY} {nr: 3, at: datetime('+10000-01-01T00:00Z'), `how many`: 'many', price: '1.30', tags: ['b']}]->(x)
CREATE (a)-[:{ORDER BY} {nr: 4, price: 0.125}]->(y)
CREATE (b)-[:{ORDER BY} {nr: 5, at: date('2024-05-01'), `how many`: 4, price: 'free', tags: 5}]->(x)
CREATE (b)-[:{ORDER BY} {nr: 6, at: datetime('2024-05-01T10:00:00.5[UTC]'), `how many`: 1, price: 10.0}]->(z)
CREATE (a)-[:{LIKES}]->(x), (:{Robot} {listenerId: 42})-[:{LIKES}]->(y), (:{Cat} {listenerId: 42})-[:{LIKES}]->(z), (b)-[:{LIKES}]->(c)
"""


class Counted(Neo4jStore):
    """A store of a graph that has nothing of its own."""

    async def plan(self, statement: tuple[str, dict[str, Any]]) -> list[Any]:
        """The operators of a statement's plan."""
        text, parameters = statement
        assert self._driver is not None
        async with self._driver.session(database="neo4j") as session:
            summary = await (await session.run("EXPLAIN " + text, parameters)).consume()
        return _flat(summary.plan)


def _flat(plan: Any) -> list[Any]:
    return [plan, *(below for child in plan.get("children", ()) for below in _flat(child))]


@asynccontextmanager
async def graph_of(text: str, *indexes: str) -> AsyncIterator[Counted]:
    async with url_of("neo4j") as url:
        store = Counted("tested", url)
        await store.open()
        try:
            for statement in (*indexes, text):
                await store._schema(named(store, statement))
            if indexes:
                await store._schema("CALL db.awaitIndexes(300)")
            yield store
        finally:
            await store.close()


def named(store: Neo4jStore, text: str) -> str:
    """A statement with the names in braces that are no map's prefixed and quoted."""
    for name in ("Select Listener", "Track", "ORDER BY", "LIKES", "Robot", "Cat", "Value", "Line"):
        text = text.replace(f"{{{name}}}", f"`{store._address.prefix}{name}`")
    return text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store() -> AsyncIterator[Counted]:
    async with graph_of(
        GRAPH.strip(),
        "CREATE CONSTRAINT FOR (n:{Select Listener}) REQUIRE n.listenerId IS UNIQUE",
        "CREATE INDEX FOR (n:{Track}) ON (n.isrc)",
    ) as store:
        yield store


async def rows(store: Store, fetch: Fetch) -> list[Row]:
    found = await store.answer(fetch)
    return [tuple(map(_told, row)) for part in found.values() for row in part.rows]


def _told(value: Value) -> Value:
    return f"<{value.found}>" if isinstance(value, Unreadable) else value


async def walked(store: Store, fetch: Fetch, *, backward: bool) -> list[Row]:
    """All rows by pages of two, the cursors made of what stands in the rows."""
    order = total_order(fetch.collection, fetch.order)
    columns = tuple(item.column for item in order)
    fetch = replace(fetch, columns=(*columns, *fetch.columns))
    edge: tuple[Value, ...] | None = None
    pages: list[list[Row]] = []
    for _ in range(50):
        page = Page(2, backward, before=edge) if backward else Page(2, after=edge)
        found = await store.answer(replace(fetch, page=page))
        part = found[None]
        if not part.rows:
            break
        pages.append([tuple(map(_told, row[len(columns) :])) for row in part.rows])
        last = part.rows[0 if backward else -1]
        edge = tuple(
            None if found_in_place_of(fetch.collection[name], value) else value for name, value in zip(columns, last, strict=False)
        )
        if not part.more:
            break
    return [row for page in (reversed(pages) if backward else pages) for row in page]


# --------------------------------------------------------------------------------------------------------------- nodes


async def test_nodes_have_their_values_in_utc_and_an_error_where_they_are_of_another_type(store: Counted) -> None:
    assert await rows(store, Fetch(listeners, ("id", "name", "age", "joined"))) == [
        (-1, 5, 20, "<a ZONED DATETIME>"),
        (7, "Bob", "30", "2024-01-01T00:00:00.000002Z"),
        (9, None, 3.5, "2023-12-31T00:00:00.000001Z".replace("2023-12-31", "2024-01-01")),
        (42, "Ann", 30, "2024-01-01T00:00:00.000001Z"),
        (2**63 - 1, "Eve", None, "-0043-03-15T12:00:00.000000Z"),
    ]


ORDERS: dict[str, list[int]] = {
    "id": [-1, 7, 9, 42, 2**63 - 1],
    "name": [42, 7, 2**63 - 1, -1, 9],
    "age": [-1, 42, 7, 9, 2**63 - 1],
    "joined": [2**63 - 1, 9, 42, 7, -1],
}
BACK: dict[str, list[int]] = {
    "id": [2**63 - 1, 42, 9, 7, -1],
    "name": [2**63 - 1, 7, 42, -1, 9],
    "age": [42, -1, 7, 9, 2**63 - 1],
    "joined": [7, 9, 42, 2**63 - 1, -1],
}


@pytest.mark.parametrize("column", ORDERS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("backward", [False, True])
async def test_pages_of_two_lose_no_row_and_repeat_none(store: Counted, column: str, descending: bool, backward: bool) -> None:
    found = await walked(store, Fetch(listeners, ("id",), order=(Order(column, descending),)), backward=backward)
    assert [row[0] for row in found] == (BACK if descending else ORDERS)[column]


FILTERS: list[tuple[Where, set[int]]] = [
    (Compare("age", "eq", 30), {42}),
    (Compare("age", "ne", 30), {-1, 7, 9, 2**63 - 1}),
    (Compare("age", "gt", 3), {-1, 42}),
    (Compare("age", "lt", 100), {-1, 42}),
    (Compare("age", "in", (30, 20)), {-1, 42}),
    (Compare("age", "eq", None), {2**63 - 1}),
    (Compare("name", "ne", None), {-1, 7, 42, 2**63 - 1}),
    (Compare("name", "contains", "n"), {42}),
    (Compare("name", "gt", "A"), {7, 42, 2**63 - 1}),
    (Compare("joined", "eq", "2024-01-01T00:00:00.000001Z"), {9, 42}),
    (Compare("joined", "gte", "2024-01-01T00:00:00.000001Z"), {7, 9, 42}),
    (Compare("joined", "lt", "0001-01-01T00:00:00.000000Z"), {2**63 - 1}),
    (Compare("joined", "lt", "infinity"), {7, 9, 42, 2**63 - 1}),
    (Compare("joined", "lte", "-infinity"), set()),
    (Compare("joined", "eq", "infinity"), set()),
    (Compare("id", "eq", 9), {9}),
    (Or(tuple(Compare("id", "eq", number) for number in range(50))), {7, 9, 42}),
    (Or(tuple(And((Compare("id", "gte", n), Compare("id", "lt", n + 1))) for n in range(20))), {7, 9}),
    (And(tuple(Compare("id", "ne", number) for number in range(20))), {-1, 42, 2**63 - 1}),
    (And(tuple(Or(tuple(Compare("id", "gt", n * m) for n in range(9))) for m in range(9))), {7, 9, 42, 2**63 - 1}),
]


@pytest.mark.parametrize(("where", "expected"), FILTERS)
async def test_what_is_of_another_type_equals_nothing_and_is_neither_greater_nor_less(
    store: Counted, where: Where, expected: set[int]
) -> None:
    assert {row[0] for row in await rows(store, Fetch(listeners, ("id",), where=where))} == expected
    assert {row[0] for row in await rows(store, Fetch(listeners, ("id",), where=Not(where)))} == {*ORDERS["id"]} - expected


async def test_whole_numbers_are_keys_of_nodes(store: Counted) -> None:
    found = await store.answer(Get(listeners, ("name",), ["42", "-1", "042", "x", "42.0", "9223372036854775808", str(2**63 - 1)]))
    assert {key: tuple(row) for key, row in found.items()} == {"42": ("Ann",), "-1": (5,), str(2**63 - 1): ("Eve",)}


async def test_keys_are_sought_in_the_index_of_the_database(store: Counted) -> None:
    source = store._names.source(listeners)
    statements = [
        get_statement(source, Get(listeners, ("name",), ["42", "7"])),
        fetch_statement(source, Fetch(listeners, ("name",), Match("id", ["42", "7"]), page=Page(2), count=True)),
        fetch_statement(source, Fetch(listeners, ("name",), Pairs("id", [("p", "42"), ("p", "7")]))),
        aggregate_statement(source, Aggregate(listeners, (), (Measure("count"),), Match("id", ["42", "7"]))),
        get_statement(store._names.source(tracks), Get(tracks, ("seconds",), ["x", "y"], "isrc")),
        fetch_statement(store._names.source(plays), Fetch(plays, ("stars",), Match("listener", ["42", "7"]), page=Page(2), count=True)),
        fetch_statement(store._names.source(plays), Fetch(plays, ("stars",), Match("track", ["x", "y"]), page=Page(2))),
        fetch_statement(store._names.source(between), Fetch(between, ("stars",), Match("listener,track", ["42,x"]), page=Page(2))),
        aggregate_statement(store._names.source(plays), Aggregate(plays, (), (Measure("count"),), Match("listener", ["42"]))),
    ]
    for statement in statements:
        operators = [step["operatorType"].partition("@")[0] for step in await store.plan(statement)]
        assert {"NodeUniqueIndexSeek", "NodeIndexSeek"} & {*operators}, (statement, operators)
        assert not [name for name in operators if "Scan" in name], (statement, operators)


async def test_statistics_leave_out_what_is_of_another_type_and_show_it_as_a_group(store: Counted) -> None:
    measures = (Measure("count"), Measure("min", "age"), Measure("max", "age"), Measure("sum", "age"), Measure("avg", "age"))
    found = await store.answer(Aggregate(listeners, (), measures))
    assert [tuple(row) for row in found[None]] == [(5, 20, 30, 50, 25.0)]
    found = await store.answer(Aggregate(listeners, (Bucket("joined", "month"),), (Measure("count"), Measure("max", "joined"))))
    assert [tuple(map(_told, row)) for row in found[None]] == [
        ("-0043-03-01T00:00:00.000000Z", 1, "-0043-03-15T12:00:00.000000Z"),
        ("2024-01-01T00:00:00.000000Z", 3, "2024-01-01T00:00:00.000002Z"),
        ("<a ZONED DATETIME>", 1, None),
    ]
    found = await store.answer(Aggregate(listeners, ("age",), (Measure("count"),)))
    told = [_told(row[0]) for row in found[None]]
    assert told[:2] == [20, 30]
    assert {*told[2:4]} == {"<a str>", "<a float>"}
    assert told[4:] == [None]


# --------------------------------------------------------------------------------------------------------------- edges


PLAYS: dict[int, dict[str, Value]] = {
    1: {"listener": 42, "track": "x", "at": "2024-05-01T10:00:00.500000Z", "stars": 5, "price": "0.10", "tags": ["a", "b"]},
    2: {"listener": 42, "track": "x", "at": "2024-05-01T10:00:00.500000Z", "stars": 3, "price": "2.00", "tags": []},
    3: {"listener": 42, "track": "x", "at": "+10000-01-01T00:00:00.000000Z", "stars": "many", "price": "1.30", "tags": ["b"]},
    4: {"listener": 42, "track": "y", "at": None, "stars": None, "price": "<a str that is none>", "tags": None},
    5: {"listener": 7, "track": "x", "at": "<a DATE>", "stars": 4, "price": "<a STRING>", "tags": 5},
    6: {"listener": 7, "track": "z", "at": "2024-05-01T10:00:00.500000Z", "stars": 1, "price": "10.00", "tags": None},
}
FIELDS = ("listener", "track", "at", "stars", "price", "tags")


async def test_several_relationships_between_two_nodes_are_rows_of_their_own(store: Counted) -> None:
    for collection in (plays, numbered):
        names = FIELDS[:4] if collection is numbered else FIELDS
        for backward in (False, True):
            found = await walked(store, Fetch(collection, names), backward=backward)
            assert sorted(map(repr, found)) == sorted(repr(tuple(row[name] for name in names)) for row in PLAYS.values())


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", ["at", "stars", "price", "track"])
async def test_relationships_are_ordered_by_their_properties(store: Counted, column: str, descending: bool, backward: bool) -> None:
    expected = {
        ("at", False): [{1, 2, 6}, {3}, {4, 5}],
        ("at", True): [{3}, {1, 2, 6}, {4, 5}],
        ("stars", False): [{6}, {2}, {5}, {1}, {3, 4}],
        ("stars", True): [{1}, {5}, {2}, {6}, {3, 4}],
        ("price", False): [{1}, {3}, {2}, {6}, {4, 5}],
        ("price", True): [{6}, {2}, {3}, {1}, {4, 5}],
        ("track", False): [{1, 2, 3, 5}, {4}, {6}],
        ("track", True): [{6}, {4}, {1, 2, 3, 5}],
    }[column, descending]
    columns = (*plays.columns, Column("nr", Type.INT))
    fetch = Fetch(replace(plays, name="both", columns=columns), ("nr",), order=(Order(column, descending),))
    found = [row[0] for row in await walked(store, fetch, backward=backward)]
    assert len(found) == len(PLAYS)
    for group in expected:
        assert {*found[: len(group)]} == group
        found = found[len(group) :]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Compare("stars", "gte", 3), {1, 2, 5}),
        (Compare("at", "eq", "2024-05-01T10:00:00.500000Z"), {1, 2, 6}),
        (Compare("at", "gt", "9999-12-31T00:00:00.000000Z"), {3}),
        (Compare("price", "lt", "1.5"), {1, 3}),
        (Compare("price", "eq", "10"), {6}),
        (Compare("price", "in", ("0.1", "1.3", "7")), {1, 3}),
        (Compare("tags", "has", "b"), {1, 3}),
        (Compare("tags", "is_empty", True), {2}),
        (Compare("tags", "eq", None), {4, 6}),
        (Compare("listener", "eq", 7), {5, 6}),
        (Compare("track", "in", ("y", "z")), {4, 6}),
    ],
)
async def test_relationships_are_filtered_by_their_properties_and_their_ends(store: Counted, where: Where, expected: set[int]) -> None:
    both = replace(plays, name="both", columns=(*plays.columns, Column("nr", Type.INT)))
    assert {row[0] for row in await rows(store, Fetch(both, ("nr",), where=where))} == expected
    assert {row[0] for row in await rows(store, Fetch(both, ("nr",), where=Not(where)))} == {*PLAYS} - expected


async def test_relationships_are_had_by_the_identity_that_the_database_gave_them(store: Counted) -> None:
    found = await store.answer(Fetch(plays, ("id", "stars"), where=Compare("stars", "eq", 5)))
    [[identity, _]] = found[None].rows
    got = await store.answer(Get(plays, ("stars", "listener"), [identity, "nobody", "5:x:1", ""]))
    assert {key: tuple(row) for key, row in got.items()} == {identity: (5, 42)}
    steps = await store.plan(get_statement(store._names.source(plays), Get(plays, ("stars",), [identity])))
    assert [step for step in steps if "RelationshipByElementIdSeek" in step["operatorType"]]
    by_number = await store.answer(Get(numbered, ("track",), ["3", "x"], "nr"))
    assert {key: tuple(row) for key, row in by_number.items()} == {"3": ("x",)}


async def test_edges_are_walked_in_both_directions_by_keys_of_any_type(store: Counted) -> None:
    order = (Order("stars", descending=True),)
    found = await store.answer(
        Fetch(plays, ("stars", "track"), Match("listener", ["42", "7", "9", "x"]), order=order, page=Page(2), count=True)
    )
    assert {key: (sorted(map(repr, part.rows)), part.more, part.total) for key, part in found.items()} == {
        "42": (["[3, 'x']", "[5, 'x']"], True, 4),
        "7": (["[1, 'z']", "[4, 'x']"], False, 2),
    }
    found = await store.answer(Fetch(plays, ("stars", "listener"), Match("track", ["x", "z"]), order=order, page=Page(2), count=True))
    assert {key: (part.rows, part.more, part.total) for key, part in found.items()} == {
        "x": ([[5, 42], [4, 7]], True, 4),
        "z": ([[1, 7]], False, 1),
    }
    pairs = [("p", "7"), ("q", "42"), ("q", "7")]
    found = await store.answer(Fetch(plays, ("stars",), Pairs("listener", pairs), where=Compare("stars", "gt", 3), order=order))
    assert {key: part.rows for key, part in found.items()} == {"p": [[4]], "q": [[5], [4]]}
    by_both = await store.answer(Fetch(plays, ("stars",), Match("listener,track", ["42,x", "7,z", "42", "7,7"]), order=order))
    assert {key: [row[0] for row in part.rows] for key, part in by_both.items()} == {"42,x": [5, 3, "many"], "7,z": [1]}
    counted = await store.answer(
        Aggregate(plays, (), (Measure("count"), Measure("sum", "price"), Measure("max", "at")), Match("listener", ["42", "7"]))
    )
    assert {key: [tuple(row) for row in part] for key, part in counted.items()} == {
        "42": [(4, "3.40", "+10000-01-01T00:00:00.000000Z")],
        "7": [(2, "10.00", "2024-05-01T10:00:00.500000Z")],
    }


async def test_ends_may_be_of_several_labels_or_of_any(store: Counted) -> None:
    found = await store.answer(Fetch(liked, ("what",), Match("who", ["42", "7"])))
    assert {key: sorted(map(repr, part.rows)) for key, part in found.items()} == {"42": ["['x']", "['y']"], "7": ["[None]"]}
    assert len(await rows(store, Fetch(liked, ("id",)))) == 3, "cats are none of its ends"


async def test_a_label_may_be_a_collection_and_an_end_of_relationships(store: Counted) -> None:
    assert len(await rows(store, Fetch(listeners, ("id",)))) == 5
    assert len(await rows(store, Fetch(plays, ("id",)))) == 6


# -------------------------------------------------------------------------------------------------------------- writes


async def test_relationships_are_written_between_nodes_that_are_there_and_by_their_own_key() -> None:
    async with graph_of(
        "CREATE (:{Select Listener} {listenerId: 1}), (:{Select Listener} {listenerId: 2}), (:{Track} {isrc: 'x'})"
    ) as store:
        time = "2024-01-01T00:00:00.000001Z"
        await store.answer(Upsert(numbered, [(1, 1, "x", time, 5), (2, 1, "x", None, 4)]))
        await store.answer(Upsert(numbered, [(2, 2, "x", time, 3)]))
        assert await rows(store, Fetch(numbered, numbered.names)) == [(1, 1, "x", time, 5), (2, 2, "x", time, 3)]
        with pytest.raises(BadUserInput):
            await store.answer(Upsert(numbered, [(3, 2, "x", None, 1), (4, 2, "nobody", None, 1)]))
        assert len(await rows(store, Fetch(numbered, ("nr",)))) == 2, "none of them"
        assert len(await rows(store, Fetch(tracks, ("isrc",)))) == 1
        await store.answer(Delete(numbered, [(1,)]))  # type: ignore[list-item]
        assert [row[0] for row in await rows(store, Fetch(numbered, ("nr",)))] == [2]
        await store.answer(Upsert(between, [(1, "x", time, 1)]))
        assert await rows(store, Fetch(between, ("listener", "stars"), where=Compare("listener", "eq", 1))) == [(1, 1)]
        with pytest.raises(StoreMisbehaved, match="its key is the database's own"):
            await store.answer(Upsert(plays, [("", 1, "x", None, None, None, None)]))


@pytest.mark.parametrize("value", ["1234567890.123456789", "0.1000000000000000000001", "12345678901234567890"])
async def test_a_number_that_would_not_be_exact_is_refused_when_it_is_written(value: str) -> None:
    amounts = Collection("amounts", "s", (Column("id", Type.INT), Column("v", Type.DECIMAL)), label="Value", managed=True)
    async with graph_of("RETURN 1") as store:
        with pytest.raises(BadUserInput, match="A number of v has more digits than can be kept exactly"):
            await store.answer(Upsert(amounts, [(1, value)]))
        await store.answer(Upsert(amounts, [(1, "0.1"), (2, "1e22"), (3, "0.2")]))
        for op, expected in (("eq", []), ("gt", [2, 3]), ("gte", [2, 3]), ("lt", [1]), ("lte", [1]), ("ne", [1, 2, 3])):
            where = Compare("v", op, "0.1000000000000000000001")  # type: ignore[arg-type]
            assert [row[0] for row in await rows(store, Fetch(amounts, ("id",), where=where))] == expected, op
        [total] = (await store.answer(Aggregate(amounts, (), (Measure("sum", "v"),))))[None]
        assert total == ("10000000000000000000000.3",)


# -------------------------------------------------------------------------------------------------------------- values


@dataclass(frozen=True)
class Case:
    """Values as Cypher has them, in the order of what they are; then what is none, which is last."""

    column: Column
    known: Sequence[tuple[str, Value]]
    none: Sequence[tuple[str, Value]] = ()


def column(type_: Type, **options: Any) -> Column:
    return Column("v", type_, nullable=True, **options)


CASES: dict[str, Case] = {
    "int": Case(
        column(Type.INT),
        [("-9223372036854775807 - 1", -(2**63)), ("9007199254740993", 2**53 + 1)],
        [("9007199254740992.0", 2.0**53), ("'7'", "7"), ("true", True), ("[1]", "<a LIST<INTEGER NOT NULL>>"), ("date()", "<a DATE>")],
    ),
    "float": Case(
        column(Type.FLOAT),
        [("-1.5", -1.5), ("2", 2), ("2.5", 2.5)],
        [("0.0 / 0.0", "<a float that is no number>"), ("1.0 / 0.0", "<a float that is no number>"), ("'2'", "2")],
    ),
    "text": Case(
        column(Type.TEXT),
        [("''", ""), ("'Z'", "Z"), ("'a'", "a"), ("'\ufffd'", "\ufffd"), ("'\U0001f600'", "\U0001f600")],
        [("1", 1), ("point({x: 1, y: 2})", "<a POINT>"), ("duration('P1D')", "<a DURATION>")],
    ),
    "nocase": Case(column(Type.TEXT, collation="nocase"), [("'a'", "a"), ("'B'", "B"), ("'c'", "c")], [("1", 1)]),
    "bool": Case(column(Type.BOOL), [("false", False), ("true", True)], [("1", 1), ("'true'", "true")]),
    "time": Case(
        column(Type.TIME),
        [
            ("datetime('-0001-01-01T00:00Z')", "-0001-01-01T00:00:00.000Z"),
            ("datetime('0000-01-01T00:00Z')", "0000-01-01T00:00:00.000Z"),
            ("localdatetime('2024-01-01T00:00:00.1')", "2024-01-01T00:00:00.100Z"),
            ("datetime('2024-01-01T02:00:00.2+02:00')", "2024-01-01T00:00:00.200Z"),
            ("datetime('2024-07-01T02:00:00[Europe/Berlin]')", "2024-07-01T00:00:00.000Z"),
            ("'2024-07-01T00:00:00.001Z'", "2024-07-01T00:00:00.001Z"),
            ("datetime('+12345-01-01T00:00Z')", "+12345-01-01T00:00:00.000Z"),
        ],
        [
            ("datetime('2024-01-01T00:00:00.0001Z')", "<a ZONED DATETIME>"),
            ("datetime('2024-01-01T00:00:00.999999999Z')", "<a ZONED DATETIME>"),
            ("'2023-02-29T00:00:00.000Z'", "<a STRING>"),
            ("date()", "<a DATE>"),
            ("5", "<a INTEGER>"),
        ],
    ),
    "time9": Case(
        column(Type.TIME, precision=9),
        [
            ("datetime('2024-01-01T00:00:00Z')", "2024-01-01T00:00:00.000000000Z"),
            ("datetime('2024-01-01T01:00:00.000000001+01:00')", "2024-01-01T00:00:00.000000001Z"),
            ("localdatetime('2024-01-01T00:00:00.999999999')", "2024-01-01T00:00:00.999999999Z"),
        ],
    ),
    "date": Case(
        column(Type.DATE),
        [
            ("date('-0043-03-15')", "-0043-03-15"),
            ("date('2024-02-29')", "2024-02-29"),
            ("'2024-03-01'", "2024-03-01"),
            ("date('+10000-01-01')", "+10000-01-01"),
        ],
        [("'2023-02-29'", "<a STRING>"), ("localdatetime('2024-01-01')", "<a LOCAL DATETIME>")],
    ),
    "clock": Case(
        column(Type.CLOCK, precision=6),
        [
            ("localtime('00:00')", "00:00:00.000000"),
            ("time('09:30:00.000001Z')", "09:30:00.000001"),
            ("'10:00:00.000000'", "10:00:00.000000"),
            ("localtime('23:59:59.999999')", "23:59:59.999999"),
        ],
        [
            ("time('09:30+01:00')", "<a ZONED TIME>"),
            ("localtime('09:30:00.000000001')", "<a LOCAL TIME>"),
            ("'25:00:00.000000'", "<a STRING>"),
        ],
    ),
    "decimal": Case(
        column(Type.DECIMAL),
        [
            ("-1e300", f"-1{'0' * 300}"),
            ("'-12345678901234567890.5'", "-12345678901234567890.5"),
            ("'-12345678901234567890.25'", "-12345678901234567890.25"),
            ("-0.001", "-0.001"),
            ("0", "0"),
            ("1.0e-7", "0.0000001"),
            ("0.1", "0.1"),
            ("'0.10000000000000000000001'", "0.10000000000000000000001"),
            ("9007199254740992.0", "9007199254740992"),
            ("9007199254740993", "9007199254740993"),
            ("'9007199254740993.5'", "9007199254740993.5"),
            ("1.0 / 0.0", "Infinity"),
            ("0.0 / 0.0", "NaN"),
        ],
        [("'one'", "<a STRING>"), ("true", "<a BOOLEAN>"), ("[1]", "<a LIST<INTEGER NOT NULL>>")],
    ),
    "scaled": Case(
        column(Type.DECIMAL, scale=2),
        [("-10.5", "-10.50"), ("-10", "-10.00"), ("'7.1'", "7.10"), ("123456.78", "123456.78")],
        [("0.125", "<a str that is none>"), ("'0.001'", "<a str that is none>"), ("0.0 / 0.0", "<a str that is none>")],
    ),
    "uuid": Case(
        column(Type.UUID),
        [("'123e4567-e89b-12d3-a456-426614174000'", "123e4567-e89b-12d3-a456-426614174000")],
        [("'123E4567-E89B-12D3-A456-426614174001'", "123E4567-E89B-12D3-A456-426614174001"), ("1", 1)],
    ),
    "object_id": Case(column(Type.OBJECT_ID), [("'507f1f77bcf86cd799439011'", "507f1f77bcf86cd799439011")], [("'507f'", "507f")]),
    "enum": Case(
        column(Type.ENUM, values=("low", "it's", "high")),
        [("'low'", "low"), ('"it\'s"', "it's"), ("'high'", "high")],
        [("'mid'", "mid"), ("1", 1)],
    ),
    "ints": Case(column(Type.INT, many=True), [("[1, 2]", [1, 2])], [("['1']", ["1"]), ("1", 1)]),
    "times": Case(
        column(Type.TIME, many=True),
        [("[datetime('2024-01-01T02:00:00.2+02:00')]", ["2024-01-01T00:00:00.200Z"])],
        [("[datetime('2024-01-01T00:00:00.0001Z')]", "<a list with a ZONED DATETIME>"), ("[date()]", "<a list with a DATE>")],
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_values_of_all_of_its_types(name: str) -> None:
    case = CASES[name]
    collection = Collection("values", "s", (Column("id", Type.INT), case.column), label="Value")
    values = [*case.known, *case.none, ("null", None)]
    text = "\n".join(f"CREATE (:{{Value}} {{id: {(7 * i) % 101}, v: {cypher}}})" for i, (cypher, _) in enumerate(values))
    ids = [(7 * i) % 101 for i in range(len(values))]
    known, others = ids[: len(case.known)], sorted(ids[len(case.known) :])
    async with graph_of(text) as store:
        read: dict[int, Value] = {row[0]: row[1] for row in await rows(store, Fetch(collection, ("id", "v")))}
        assert [read[id] for id in ids] == [value for _, value in values]
        if case.column.many:
            return
        groups = (await store.answer(Aggregate(collection, ("v",), (Measure("count"),))))[None]
        assert sum(row[1] for row in groups) == len(values)
        assert [_told(row[0]) for row in groups][: len(known)] == [value for _, value in case.known]
        for descending in (False, True):
            expected = (known[::-1] if descending else known) + others
            for backward in (False, True):
                fetch = Fetch(collection, ("id",), order=(Order("v", descending),))
                assert [row[0] for row in await walked(store, fetch, backward=backward)] == expected, (descending, backward)
        ops: tuple[Op, ...] = ("eq", "gt", "gte", "lt", "lte")
        for place, (_, value) in enumerate(case.known):
            expected_of = {
                "eq": [known[place]],
                "gt": known[place + 1 :],
                "gte": known[place:],
                "lt": known[:place],
                "lte": known[: place + 1],
            }
            for op in ops:
                for where, matching in (
                    (Compare("v", op, value), set(expected_of[op])),
                    (Not(Compare("v", op, value)), {*ids} - {*expected_of[op]}),
                ):
                    if case.column.type not in (Type.BOOL, Type.ENUM) or op == "eq":
                        assert {row[0] for row in await rows(store, Fetch(collection, ("id",), where=where))} == matching, where


async def test_lists_of_another_type_have_nothing_in_them(store: Counted) -> None:
    listed = Collection("listed", "s", (Column("id", Type.INT), Column("v", Type.INT, many=True, nullable=True)), label="Value")
    async with graph_of(
        "UNWIND [[1, [1, 2]], [2, []], [3, ['1']], [4, 1], [5, null], [6, [1.0]]] AS x CREATE (:{Value} {id: x[0], v: x[1]})"
    ) as own:
        for op, value, expected in (
            ("has", 1, {1}),
            ("has_any", (2, 1), {1}),
            ("is_empty", True, {2}),
            ("is_empty", False, {1}),
            ("eq", None, {5}),
        ):
            where = Compare("v", op, value)  # type: ignore[arg-type]
            assert {row[0] for row in await rows(own, Fetch(listed, ("id",), where=where))} == expected, where
            assert {row[0] for row in await rows(own, Fetch(listed, ("id",), where=Not(where)))} == {1, 2, 3, 4, 5, 6} - expected, where


async def test_bytes_stand_in_the_order_of_their_octets() -> None:
    files = Collection("files", "s", (Column("id", Type.INT), Column("v", Type.BYTES, nullable=True)), label="Value")
    async with graph_of("RETURN 1") as store:
        octets = [b"", b"\x00", b"\x00\xff", b"a", b"ab", b"\xff\xff"]
        put = named(store, "UNWIND range(0, size($v) - 1) AS i CREATE (:{Value} {id: i, v: $v[i]})")
        await store._schema(put, {"v": [*octets, "text", [1000], None]})
        assert await rows(store, Fetch(files, ("id", "v"), order=(Order("v"),))) == [
            (0, ""),
            (1, "AA=="),
            (2, "AP8="),
            (3, "YQ=="),
            (4, "YWI="),
            (5, "//8="),
            (6, "<a STRING>"),
            (7, "<a list that is none>"),
            (8, None),
        ]
        fetch = Fetch(files, ("id",), order=(Order("v", descending=True),))
        assert [row[0] for row in await walked(store, fetch, backward=False)] == [5, 4, 3, 2, 1, 0, 6, 7, 8]
        assert await rows(store, Fetch(files, ("id",), where=Compare("v", "gt", "AP8="))) == [(3,), (4,), (5,)]
        assert await rows(store, Fetch(files, ("id",), where=Compare("v", "in", ("YWI=", "AA==")))) == [(1,), (4,)]


async def test_nodes_without_their_key_are_no_rows() -> None:
    values = Collection("values", "s", (Column("id", Type.INT), Column("v", Type.INT, nullable=True)), label="Value")
    async with graph_of("CREATE (:{Value} {v: 1}), (:{Value} {v: 1}), (:{Value} {id: 1, v: 1}), (:{Value} {id: 'x', v: 1})") as store:
        found = await store.answer(Fetch(values, ("id",), order=(Order("v"),), page=Page(5), count=True))
        assert (found[None].rows, found[None].total) == ([[1], ["x"]], 2)
        walk = await walked(store, Fetch(values, ("id",), order=(Order("v"),)), backward=False)
        assert [row[0] for row in walk] == [1, "x"]


async def test_keys_of_several_columns_are_sought_in_their_index() -> None:
    lines = Collection(
        "lines",
        "s",
        (Column("order", Type.INT, at="order id"), Column("label"), Column("n", Type.INT)),
        key=("order", "label"),
        label="Line",
    )
    async with graph_of(
        "CREATE (:{Line} {`order id`: 1, label: 'a', n: 1}), (:{Line} {`order id`: 1, label: 'b,c', n: 2}), (:{Line} {label: 'a', n: 3})",
        "CREATE CONSTRAINT FOR (n:{Line}) REQUIRE (n.`order id`, n.label) IS UNIQUE",
    ) as store:
        get = Get(lines, ("n",), ["1,a", "1,b%2Cc", "1,b,c", "x,a"], "order,label")
        assert {key: tuple(row) for key, row in (await store.answer(get)).items()} == {"1,a": (1,), "1,b%2Cc": (2,)}
        pairs = Fetch(lines, ("n",), Pairs("order,label", [("p", "1,a"), ("p", "1,b%2Cc"), ("q", "1,a")]), page=Page(5))
        found = await store.answer(pairs)
        assert {key: part.rows for key, part in found.items()} == {"p": [[1], [2]], "q": [[1]]}
        source = store._names.source(lines)
        for statement in (get_statement(source, get), fetch_statement(source, pairs)):
            operators = [step["operatorType"].partition("@")[0] for step in await store.plan(statement)]
            assert "NodeUniqueIndexSeek" in operators
            assert not [name for name in operators if "Scan" in name]


# ------------------------------------------------------------------------------------------------------- as it is found


async def problems(store: Counted, *collections: Collection) -> list[str]:
    lines = [str(problem) for problem in problems_of(collections, await store.describe(collections))]
    return [line.partition(" of the store s: ")[2] for line in lines]


async def test_a_graph_that_is_as_declared_has_no_problems(store: Counted) -> None:
    joined = replace(listeners.columns[3], precision=9)
    prices = replace(plays.columns[5], scale=3)
    assert await problems(store, replace(listeners, columns=(*listeners.columns[:3], joined)), tracks) == []
    assert await problems(store, replace(plays, columns=(*plays.columns[:5], prices, plays.columns[6]))) == []


async def test_more_digits_than_are_declared_are_told(store: Counted) -> None:
    assert await problems(store, listeners) == [
        "expected a column 'joined' of at most 6 digits of a second (its precision), got LOCAL DATETIME or ZONED DATETIME"
    ]
    assert await problems(store, plays) == ["expected a column 'price' of at most 2 decimals (its scale), got FLOAT or INTEGER or STRING"]
    narrow = replace(listeners, columns=(replace(listeners.columns[0], bits=32), *listeners.columns[1:3]))
    assert await problems(store, narrow) == ["expected a column 'listenerId' of 32 bits, got INTEGER"]


async def test_a_key_that_several_rows_have_is_told(store: Counted) -> None:
    assert await problems(store, between) == [
        "expected a key (listener, track) that is unique, got one that 2 of the 6 rows looked at have in common with another"
    ]
    assert await problems(store, numbered) == []


async def test_values_of_an_enum_that_are_not_declared_are_told() -> None:
    text = "UNWIND ['low', 'high', 'mid'] AS v CREATE (:{Value} {id: v, v: v})"
    levels = Collection("levels", "s", (Column("id"), column(Type.ENUM, values=("low", "high"))), label="Value")
    async with graph_of(text) as store:
        assert await problems(store, levels) == [
            "expected a column 'v' with the values low, high in this order, got STRING (high, low, mid)"
        ]
        assert await problems(store, replace(levels, columns=(Column("id"), column(Type.ENUM, values=("low", "mid", "high"))))) == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if name != "nocase"])
async def test_every_type_is_known_as_itself_and_no_other_is(name: str) -> None:
    case = CASES[name]
    text = "\n".join(f"CREATE (:{{Value}} {{id: {i}, v: {cypher}}})" for i, (cypher, _) in enumerate(case.known))
    async with graph_of(text) as store:
        assert await problems(store, Collection("values", "s", (Column("id", Type.INT), case.column), label="Value")) == []
        other = Type.BOOL if case.column.type is not Type.BOOL else Type.INT
        [line] = await problems(store, Collection("values", "s", (Column("id", Type.INT), column(other)), label="Value"))
        assert line.startswith(f"expected a column 'v' for {other.upper()}, got ")


# --------------------------------------------------------------------------------------------------------- what is ours

rated = Collection(
    "rated",
    "s",
    (
        Column("nr", Type.UUID),
        Column("critic", Type.INT),
        Column("film", Type.INT),
        Column("stars", Type.DECIMAL, nullable=True, scale=1, at="how many"),
    ),
    key=("nr",),
    relationship=Relationship("RATED", "Critic", "critic", "Film", "film", "no", "no"),
    managed=True,
)
NR = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(5)]


async def test_managed_relationships_have_a_key_of_their_own_and_ends_of_any_type() -> None:
    async with url_of("neo4j") as url:
        store = Counted("tested", url)
        await store.open()
        prefix = store._address.prefix
        try:
            assert await store.migrate("s", [rated], None) == [
                f"s: created unique constraint on node {prefix}Critic (no)",
                f"s: created unique constraint on node {prefix}Film (no)",
                f"s: created unique constraint on relationship {prefix}RATED (nr)",
            ]
            assert await store.migrate("s", [rated], None) == []
            await store.answer(Upsert(rated, [(NR[0], 1, 2, "4.5"), (NR[1], 1, 2, "3.0"), (NR[2], 1, 2, None), (NR[3], 4, 2, "0.5")]))
            await store.answer(Upsert(rated, [(NR[3], 5, 2, "0.5")]))
            fetch = Fetch(rated, ("nr", "stars"), order=(Order("stars", descending=True),))
            for backward in (False, True):
                assert [row[0] for row in await walked(store, fetch, backward=backward)] == [NR[0], NR[1], NR[3], NR[2]]
            found = await store.answer(Fetch(rated, ("nr",), Match("critic", ["1", "4", "5"]), page=Page(2), count=True))
            assert {key: (part.rows, part.total) for key, part in found.items()} == {"1": ([[NR[0]], [NR[1]]], 3), "5": ([[NR[3]]], 1)}
            assert [str(problem) for problem in problems_of([rated], await store.describe([rated]))] == []
            got = await store.answer(Get(rated, ("film", "stars"), [NR[1], NR[4], "x"], "nr"))
            assert {key: tuple(row) for key, row in got.items()} == {NR[1]: (2, "3.0")}
            sums = await store.answer(Aggregate(rated, (), (Measure("sum", "stars"), Measure("avg", "stars")), Match("film", ["2", "3"])))
            assert {key: [tuple(row) for row in rows] for key, rows in sums.items()} == {
                "2": [("8.0", "2.666666666666666666666666666666667")]
            }
            await store.answer(Delete(rated, [(NR[0],), (NR[3],)]))
            assert [row[0] for row in await rows(store, Fetch(rated, ("nr",)))] == [NR[1], NR[2]]
        finally:
            await store.close()
