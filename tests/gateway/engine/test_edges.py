"""What stands of a connection through edges while the store of its nodes does not answer: all that the edges tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import strawberry

from gateway.errors import StoreTimeout, StoreUnavailable
from gateway.graph.fields import Connection, Node, Through, column, lookup, many
from gateway.stores.base import Collection, Column
from gateway.stores.memory import MemoryStore
from tests.failing import Failing, asks_for_neighbours, telling_neighbours
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph

PEOPLE = Collection("people", "people", (Column("id", refers="Person"), Column("name")))
KNOWS = Collection("knows", "edges", (Column("who"), Column("whom")), key=("who", "whom"))
DOWN = "The store 'people' is unavailable."
KEYS = ("10", "9", "Z", "é", "\uffee", "😀")  # by code point: "10" before "9", and the last two not as UTF-16 has them
CURSORS = "edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


@strawberry.type
class Person(Node):
    id: strawberry.ID = column()
    name: str = column()
    knows: Connection[Person] | None = many(PEOPLE, through=Through(KNOWS, parent="who", node="whom"), where=Named, order=Sorted)
    known_by: Connection[Person] | None = many(PEOPLE, through=Through(KNOWS, parent="whom", node="who"), where=Named, order=Sorted)


@strawberry.type
class Query:
    person: Person | None = lookup(PEOPLE, by={"id": "id"})
    people: Connection[Person] | None = many(PEOPLE, where=Named, order=Sorted)


GRAPH = graph(Query, PEOPLE, KNOWS)


class Town:
    """Both executors over people, of whom "a" knows six, and "b" nobody."""

    def __init__(self, pair: Both, people: Failing) -> None:
        self.both = pair
        self._people = people

    def lose_neighbours(self, error: Any = None) -> None:
        """Let the people's store fail where it is asked for a page of those whom somebody knows."""
        self._people.error = error or StoreUnavailable("people")
        self._people.when = asks_for_neighbours


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    people = Failing(MemoryStore("people"))
    rows = {PEOPLE: [(key, f"N{key}") for key in ("a", "b", *KEYS)], KNOWS: [("a", key) for key in reversed(KEYS)]}
    with telling_neighbours():
        yield Town(await both(GRAPH, rows, stores={"people": people}), people)


async def test_nodes_are_null_and_the_rest_of_their_connection_stands(town: Town) -> None:
    text = f'{{ person(id: "a") {{ name knows(first: 2) {{ __typename totalCount {CURSORS} }} }} }}'
    page = (await town.both.data(text))["person"]["knows"]
    town.lose_neighbours()
    await town.both.answer(
        f'{{ person(id: "a") {{ name knows(first: 2) {{ __typename totalCount {CURSORS} nodes {{ id }} }} }} }}',
        data={"person": {"name": "Na", "knows": page | {"nodes": None}}},
        errors={"person.knows.nodes": DOWN},
    )


async def test_every_edge_keeps_its_cursor_and_loses_its_node_with_an_error_of_its_own(town: Town) -> None:
    page = (await town.both.data('{ person(id: "a") { knows(last: 2) { edges { cursor } } } }'))["person"]["knows"]
    town.lose_neighbours(StoreTimeout("people", 3))
    got = await town.both.answer(
        '{ person(id: "a") { knows(last: 2) { edges { __typename cursor n: node { name } } } } }',
        data={"person": {"knows": {"edges": [{"__typename": "PersonEdge", **edge, "n": None} for edge in page["edges"]]}}},
        errors={f"person.knows.edges.{i}.n": "The store 'people' did not answer within 3 s." for i in (0, 1)},
    )
    assert [error["extensions"] for error in got["errors"]] == [{"code": "STORE_TIMEOUT", "store": "people"}] * 2


@pytest.mark.parametrize("order", ["", "orderBy: []", "orderBy: {field: KEY, direction: DESC}", "orderBy: [{field: KEY}, {field: NAME}]"])
@pytest.mark.parametrize("size", ["first: 0", "first: 2", "first: 6", "last: 0", "last: 2", "last: 7", ""])
@pytest.mark.parametrize("window", [(), ("after",), ("before",), ("after", "before")], ids=lambda window: " and ".join(window) or "all")
async def test_a_page_is_the_same_with_and_without_its_nodes(town: Town, order: str, size: str, window: tuple[str, ...]) -> None:
    whole = (await town.both.data(f'{{ person(id: "a") {{ knows(last: 100, {order}) {{ edges {{ cursor }} }} }} }}'))["person"]["knows"]
    at = {"after": whole["edges"][1]["cursor"], "before": whole["edges"][4]["cursor"]}
    between = ", ".join(f'{name}: "{at[name]}"' for name in window)
    text = f'{{ person(id: "a") {{ knows(where: {{}}, {size}, {order}, {between}) {{ totalCount {CURSORS} }} }} }}'
    expected = await town.both.data(text)
    town.lose_neighbours()
    await town.both.answer(text, data=expected)


async def test_a_page_without_anybody_on_it_has_no_error(town: Town) -> None:
    town.lose_neighbours()
    await town.both.answer(
        '{ a: person(id: "a") { knows(first: 0) { nodes { id } edges { node { id } } } } b: person(id: "b") { knows { nodes { id } } } }',
        data={"a": {"knows": {"nodes": [], "edges": []}}, "b": {"knows": {"nodes": []}}},
    )


@pytest.mark.parametrize(
    "arguments", ["orderBy: {field: NAME}", 'where: {name: {eq: "N9"}}', "where: {not: {}}", "where: {and: [{name: null}]}"]
)
async def test_what_takes_the_nodes_to_know_is_null(town: Town, arguments: str) -> None:
    town.lose_neighbours()
    await town.both.answer(
        f'{{ person(id: "a") {{ name knows({arguments}) {{ totalCount __typename }} knownBy({arguments}) {{ totalCount }} }} }}',
        data={"person": {"name": "Na", "knows": None, "knownBy": {"totalCount": 0}}},  # nobody knows "a", so nobody was asked for
        errors={"person.knows": DOWN},
    )


async def test_the_edges_store_takes_the_connection_with_it(town: Town) -> None:
    town.both.memory["edges"].fail_with = StoreUnavailable("edges")
    got = await town.both.answer(
        '{ person(id: "a") { name knows { totalCount nodes { id } } } }',
        data={"person": {"name": "Na", "knows": None}},
        errors={"person.knows": "The store 'edges' is unavailable."},
    )
    assert got["errors"][0]["extensions"] == {"code": "STORE_UNAVAILABLE", "store": "edges"}


async def test_parents_of_one_page_each_have_the_page_of_their_own_edges(town: Town) -> None:
    town.lose_neighbours()
    await town.both.answer(
        "{ people(last: 3) { nodes { id knownBy { totalCount nodes { id } } knows { totalCount } } } }",
        data={
            "people": {
                "nodes": [
                    {"id": f"Person:{key}", "knownBy": {"totalCount": 1, "nodes": None}, "knows": {"totalCount": 0}} for key in KEYS[3:]
                ]
            }
        },
        errors={f"people.nodes.{i}.knownBy.nodes": DOWN for i in range(3)},
    )


async def test_two_ways_along_the_same_edges_are_not_mixed() -> None:
    """Both ask for pages of the same people with the same arguments, by pairs that begin with the same parents."""
    pair = await both(GRAPH, {PEOPLE: [(key, f"N{key}") for key in "abc"], KNOWS: [("a", "b"), ("c", "a"), ("b", "c")]})
    await pair.answer(
        "{ people { nodes { id knows { totalCount nodes { id } } knownBy { totalCount nodes { id } } } } }",
        data={
            "people": {
                "nodes": [
                    {
                        "id": f"Person:{who}",
                        "knows": {"totalCount": 1, "nodes": [{"id": f"Person:{knows}"}]},
                        "knownBy": {"totalCount": 1, "nodes": [{"id": f"Person:{known_by}"}]},
                    }
                    for who, knows, known_by in ("abc", "bca", "cab")
                ]
            }
        },
    )


async def test_the_good_way_asks_nothing_more_and_walks_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.service.complete_with_nulls", None)
    data = await town.both.data('{ person(id: "a") { knows(first: 1) { nodes { id } } } }')
    assert data == {"person": {"knows": {"nodes": [{"id": "Person:10"}]}}}
    assert len(town.both.asked()) == 3
