"""Connections whose edges are rows of their own: fields of the edge, filters and orders by them, and each edge once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import strawberry

from gateway.engine.explain import text_of
from gateway.errors import StoreUnavailable
from gateway.graph import (
    Connection,
    DateTime,
    Edge,
    Node,
    Through,
    column,
    computed,
    filter_of,
    lookup,
    many,
    many_edges,
    one,
    order_of,
    part,
)
from gateway.graph.checks import check
from gateway.graph.fields import PageInfo
from gateway.stores.base import Collection, Column, Get, Type
from gateway.stores.memory import MemoryStore
from tests.failing import Failing, telling_neighbours
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph

PEOPLE = Collection("people", "people", (Column("id", refers="Person"), Column("name"), Column("home", refers="Track", nullable=True)))
TRACKS = Collection("tracks", "tracks", (Column("id", refers="Track"), Column("name"), Column("by", refers="Person")))
PLAYS = Collection(
    "plays",
    "plays",
    (
        Column("id"),
        Column("listener", refers="Person"),
        Column("track", refers="Track", nullable=True),
        Column("seconds", Type.INT, bits=32),
        Column("at", Type.TIME),
        Column("lent_by", refers="Person", nullable=True),
    ),
)
PlayFilter, PlayOrder = filter_of(PLAYS), order_of(PLAYS)


@strawberry.type
class Track(Node):
    id: strawberry.ID = column()
    name: str = column()
    by: Person | None = one(PEOPLE, by="by")


@strawberry.type
class PlayEdge(Edge[Track]):
    seconds: int = column()
    minutes: float = computed(lambda seconds: seconds / 60, needs=["seconds"])
    at: DateTime = column()
    lent_by: Person | None = one(PEOPLE, by="lent_by")


@strawberry.type
class PlayConnection(Connection[Track]):
    edges: list[PlayEdge] | None = part("edges", "What was played, each time it was.")


@strawberry.type
class Person(Node):
    id: strawberry.ID = column()
    name: str = column()
    plays: PlayConnection | None = many_edges(
        TRACKS, through=Through(PLAYS, parent="listener", node="track"), where=PlayFilter, order=PlayOrder
    )
    heard: Connection[Track] | None = many(TRACKS, through=Through(PLAYS, parent="listener", node="track"), where=Named, order=Sorted)


@strawberry.type
class Query:
    person: Person | None = lookup(PEOPLE, by={"id": "id"})
    people: Connection[Person] | None = many(PEOPLE, where=Named, order=Sorted)


GRAPH = graph(Query, PEOPLE, TRACKS, PLAYS)


def play(number: int, listener: str, track: str | None, seconds: int, lent_by: str | None = None) -> tuple[Any, ...]:
    return (f"{number:03}", listener, track, seconds, f"2024-01-01T00:00:{number % 60:02}.000Z", lent_by)


ROWS: dict[Collection, list[Any]] = {
    PEOPLE: [("a", "Ann", None), ("b", "Bob", None), ("c", "Cy", None)],
    TRACKS: [("t1", "One", "b"), ("t2", "Two", "c"), ("t3", "Three", "gone")],
    PLAYS: [
        play(1, "a", "t2", 30, "b"),
        play(2, "a", "t1", 200),
        play(3, "a", "gone", 10),
        play(4, "a", "t2", 90, "gone"),
        play(5, "a", None, 5),
        play(6, "a", "t1", 30, "c"),
        play(7, "a", "t3", 60),
        *(play(10 + number, "b", "gone", number) for number in range(100)),
        play(200, "b", "t3", 100),
    ],
}


class House:
    def __init__(self, pair: Both, stores: dict[str, Failing]) -> None:
        self.both, self.stores = pair, stores


@pytest.fixture
async def house() -> AsyncIterator[House]:
    stores = {name: Failing(MemoryStore(name)) for name in GRAPH.store_names}
    with telling_neighbours():
        yield House(await both(GRAPH, ROWS, stores=stores), stores)


async def held(house: House, text: str) -> Any:
    """Hold the engine's answer to the oracle's, and return the data."""
    expected = await house.both.one(house.both.oracle, text)
    assert "errors" not in expected, expected
    await house.both.answer(text, data=expected["data"])
    return expected["data"]


def test_nothing_is_wrong_with_the_graph() -> None:
    assert check(GRAPH) == []


async def test_each_edge_has_its_own_fields_and_stands_once(house: House) -> None:
    data = await held(
        house, '{ person(id: "a") { plays { totalCount edges { __typename seconds minutes at node { id name } } nodes { name } } } }'
    )
    plays = data["person"]["plays"]
    assert [(edge["node"]["id"], edge["seconds"]) for edge in plays["edges"]] == [
        ("Track:t2", 30),
        ("Track:t1", 200),
        ("Track:t2", 90),
        ("Track:t1", 30),
        ("Track:t3", 60),
    ]
    assert plays["edges"][0] == {
        "__typename": "PlayEdge",
        "seconds": 30,
        "minutes": 0.5,
        "at": "2024-01-01T00:00:01.000Z",
        "node": {"id": "Track:t2", "name": "Two"},
    }
    assert plays["totalCount"] == 7  # edges, those that lead nowhere too
    assert [node["name"] for node in plays["nodes"]] == ["Two", "One", "Two", "One", "Three"]


async def test_what_stands_below_edges_and_below_nodes_is_asked_by_level(house: House) -> None:
    text = "{ people { nodes { plays(first: 3) { edges { lentBy { name } node { by { name } } } more: edges { n: node { name } } } } } }"
    data = await held(house, text)
    first = data["people"]["nodes"][0]["plays"]
    assert first["edges"] == [
        {"lentBy": {"name": "Bob"}, "node": {"by": {"name": "Cy"}}},
        {"lentBy": None, "node": {"by": {"name": "Bob"}}},
        {"lentBy": None, "node": {"by": {"name": "Cy"}}},
    ]
    assert first["more"] == [{"n": {"name": "Two"}}, {"n": {"name": "One"}}, {"n": {"name": "Two"}}]
    await house.both.data(text)
    assert [len(request.keys) for request in house.both.memory["people"].calls if isinstance(request, Get)] == [3]


@pytest.mark.parametrize(
    "where",
    [
        "{}",
        "{seconds: {eq: 30}}",
        "{seconds: {gte: 60}}",
        '{track: {eq: "Track:t2"}}',
        '{or: [{track: {eq: "t1"}}, {not: {seconds: {lt: 60}}}]}',
        "{lentBy: null}",
    ],
)
@pytest.mark.parametrize(
    "order", ["[]", "{field: SECONDS}", "[{field: TRACK, direction: DESC}, {field: AT, direction: DESC}]", "{field: LENT_BY}"]
)
async def test_filters_and_orders_are_of_the_edges(house: House, where: str, order: str) -> None:
    page = "totalCount edges { cursor seconds node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
    await held(house, f"{{ people {{ nodes {{ plays(where: {where}, orderBy: {order}) {{ {page} }} }} }} }}")
    await held(house, f"{{ people {{ nodes {{ plays(first: 2, where: {where}, orderBy: {order}) {{ {page} }} }} }} }}")
    await held(house, f"{{ people {{ nodes {{ plays(last: 2, where: {where}, orderBy: {order}) {{ {page} }} }} }} }}")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
async def test_pages_one_behind_the_other_are_all_edges_once(house: House, size: int, backward: bool) -> None:
    found: list[str] = []
    at = ""
    while True:
        page = f"{'last' if backward else 'first'}: {size}, orderBy: {{field: SECONDS}}{at}"
        text = f'{{ person(id: "a") {{ plays({page}) {{ edges {{ cursor at }} pageInfo {{ hasNextPage hasPreviousPage }} }} }} }}'
        plays = (await held(house, text))["person"]["plays"]
        times = [edge["at"][17:19] for edge in plays["edges"]]
        found = times + found if backward else found + times
        if not plays["pageInfo"]["hasPreviousPage" if backward else "hasNextPage"]:
            break
        at = f', {"before" if backward else "after"}: "{plays["edges"][0 if backward else -1]["cursor"]}"'
    assert found == ["01", "06", "07", "04", "02"]


async def test_a_page_is_filled_up_behind_edges_that_lead_nowhere(house: House) -> None:
    data = await held(house, "{ people { nodes { plays(first: 1) { edges { seconds } pageInfo { hasNextPage } } } } }")
    pages = [row["plays"] for row in data["people"]["nodes"]]
    assert [[edge["seconds"] for edge in page["edges"]] for page in pages] == [[30], [100], []]
    assert [page["pageInfo"]["hasNextPage"] for page in pages] == [True, False, False]


async def test_a_count_alone_reads_no_rows_and_no_nodes(house: House) -> None:
    data = await house.both.data('{ person(id: "a") { plays(where: {seconds: {lt: 60}}) { totalCount } } }')
    assert data == {"person": {"plays": {"totalCount": 4}}}
    assert [call.page.limit for call in house.both.memory["plays"].calls] == [0]
    assert house.both.memory["tracks"].calls == []


async def test_nodes_are_one_call_of_the_level_and_edges_one(house: House) -> None:
    page = "plays(first: 2) { edges { seconds node { name } } nodes { id } }"
    await house.both.data(f'{{ people(where: {{name: {{ne: "Bob"}}}}) {{ nodes {{ {page} }} }} }}')
    assert [len(house.both.memory[name].calls) for name in ("people", "plays", "tracks")] == [1, 1, 1]


async def test_edges_stand_while_the_nodes_are_away(house: House) -> None:
    house.stores["tracks"].when = lambda _: True
    house.stores["tracks"].error = StoreUnavailable("tracks")
    await house.both.answer(
        """{ person(id: "a") { plays(first: 2) {
          totalCount edges { seconds node { name } lentBy { name } } nodes { id } pageInfo { hasNextPage } } } }""",
        data={
            "person": {
                "plays": {
                    "totalCount": 7,
                    "edges": [
                        {"seconds": 30, "node": None, "lentBy": {"name": "Bob"}},
                        {"seconds": 200, "node": None, "lentBy": None},
                    ],
                    "nodes": None,
                    "pageInfo": {"hasNextPage": True},
                }
            }
        },
        errors=dict.fromkeys(
            ("person.plays.edges.0.node", "person.plays.edges.1.node", "person.plays.nodes"), "The store 'tracks' is unavailable."
        ),
    )


async def test_without_the_edges_there_is_no_connection(house: House) -> None:
    house.stores["plays"].when = lambda _: True
    house.stores["plays"].error = StoreUnavailable("plays")
    await house.both.answer(
        '{ person(id: "a") { name plays { edges { seconds } } } }',
        data={"person": {"name": "Ann", "plays": None}},
        errors={"person.plays": "The store 'plays' is unavailable."},
    )


async def test_a_cursor_of_other_rows_is_refused(house: House) -> None:
    data = await house.both.data('{ person(id: "a") { heard(first: 1) { pageInfo { endCursor } } } }')
    cursor = data["person"]["heard"]["pageInfo"]["endCursor"]
    [message] = await house.both.refused(
        f'{{ person(id: "a") {{ plays(after: "{cursor}") {{ nodes {{ id }} }} }} }}', code="BAD_USER_INPUT"
    )
    assert message == "person.plays: after: expected a cursor of this connection in this order, got one of another"


async def test_the_plan_has_edges_and_nodes(house: House) -> None:
    text = '{ person(id: "a") { plays { totalCount edges { cursor seconds node { name } } } } }'
    lines = [line.strip() for line in text_of(house.both.engine.plan(text)).splitlines() if "plays" in line]
    assert lines == [
        "person.plays: many edges plays.plays(track, seconds)  [by listener; count; cursors]",
        "person.plays.node: nodes tracks.tracks(name)  [by id]",
    ]


@strawberry.type
class OddEdge(Edge[Track]):
    seconds: str = column()
    lent_by: str = column()
    length: int = column()
    page_info: PageInfo = part("page_info", "…")


@strawberry.type
class OddConnection(Connection[Track]):
    edges: list[OddEdge] | None = part("edges", "…")
    node: Track | None = part("node", "…")
    more: int = column()


@strawberry.type
class Home:
    odd: OddConnection | None = many_edges(TRACKS, through=Through(PLAYS, parent="listner", node="seconds"), where=Named, order=PlayOrder)
    plain: OddConnection | None = many(TRACKS, through=Through(PLAYS, parent="listener", node="track"), where=Named, order=Sorted)


@strawberry.type
class Odd(Node):
    id: strawberry.ID = column()
    home: Home | None = one(PEOPLE, by="id")


@strawberry.type
class OddQuery:
    odd: Odd | None = lookup(PEOPLE, by={"id": "id"})


def test_mistakes_of_edges_are_told_at_start() -> None:
    problems = [str(problem) for problem in check(graph(OddQuery, PEOPLE, TRACKS, PLAYS))]
    parts = "nodes, edges, node, cursor, page_info, total_count, has_next_page, has_previous_page, start_cursor, end_cursor"
    columns = "id, listener, track, seconds, at, lent_by"
    for expected in (
        f"Home.odd(name of Named): expected a column of plays ({columns}), got 'name'",
        f"Home.odd: expected a column with the parent's key of plays ({columns}), got 'listner'",
        "OddConnection.node: expected a part of a connection that is none of an edge, got node",
        f"OddConnection.more: expected a part of a connection ({parts}), got another field",
        "OddEdge.pageInfo: expected a part of an edge (node, cursor), got 'page_info'",
        "OddEdge.lentBy: expected a type that may be null, as the column 'lent_by' may, got String!",
        f"OddEdge.length: expected a column of plays ({columns}), got 'length'",
        f"OddEdge.length: expected a part of a connection ({parts}), as edges have no fields of their own but by many_edges(), got another"
        " field",
    ):
        assert expected in problems, "\n".join(problems)


def test_edges_without_a_through_are_refused_where_they_are_written() -> None:
    with pytest.raises(
        TypeError, match=r"^many_edges\(tracks\): expected a Through, got a Collection; write through=Through\(edges, parent="
    ):
        many_edges(TRACKS, through=PLAYS, where=PlayFilter, order=PlayOrder)  # type: ignore[arg-type]
