"""Connections through edges whose pages are cut from the edges: what is asked of the stores, edges that lead nowhere, and the bound."""

from __future__ import annotations

from typing import Any

import pytest
import strawberry

from gateway.engine.explain import text_of
from gateway.engine.sources.edges import LEAST_AGAIN
from gateway.graph import BigInt, Connection, Node, Through, column, filter_of, lookup, many, order_of
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Get, Pairs, Type, Upsert
from gateway.stores.memory import MemoryStore
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph, respond

PEOPLE = Collection("people", "people", (Column("id", refers="Person"), Column("name")))
KNOWS = Collection("knows", "edges", (Column("who"), Column("whom", nullable=True)), key=("who", "whom"))
MET = Collection("met", "edges", (Column("id"), Column("who"), Column("whom")))
BOXES = Collection("boxes", "people", (Column("number", Type.INT, refers="Box"), Column("name")), key=("number",))
HAS = Collection("has", "edges", (Column("who"), Column("box", Type.INT)), key=("box", "who"))
LABELLED = Collection("labelled", "edges", (Column("who"), Column("box")), key=("who", "box"))
BoxFilter, BoxOrder = filter_of(BOXES), order_of(BOXES)


@strawberry.type
class Box(Node):
    number: BigInt = column()


@strawberry.type
class Person(Node):
    id: strawberry.ID = column()
    name: str = column()
    knows: Connection[Person] | None = many(PEOPLE, through=Through(KNOWS, parent="who", node="whom"), where=Named, order=Sorted)
    met: Connection[Person] | None = many(PEOPLE, through=Through(MET, parent="who", node="whom"), where=Named, order=Sorted)
    boxes: Connection[Box] | None = many(BOXES, through=Through(HAS, parent="who", node="box"), where=BoxFilter, order=BoxOrder)
    labelled: Connection[Box] | None = many(BOXES, through=Through(LABELLED, parent="who", node="box"), where=BoxFilter, order=BoxOrder)


@strawberry.type
class Query:
    person: Person | None = lookup(PEOPLE, by={"id": "id"})
    people: Connection[Person] | None = many(PEOPLE, where=Named, order=Sorted)


GRAPH = graph(Query, PEOPLE, KNOWS, MET, BOXES, HAS, LABELLED)

# "a" knows 12 of whom every third is gone, "b" only people who are gone, "c" one who is there behind many who are gone, "d" nobody.
SOME = [f"p{number:03}" for number in range(12)]
GONE = [f"gone{number:03}" for number in range(LEAST_AGAIN + 20)]
ROWS: dict[Collection, list[Any]] = {
    PEOPLE: [(key, f"N{key}") for key in ("a", "b", "c", "d", *(key for number, key in enumerate(SOME) if number % 3))],
    KNOWS: [*(("a", key) for key in SOME), *(("b", key) for key in GONE), *(("c", key) for key in [*GONE, "p001"])],
    MET: [("1", "a", "p001"), ("2", "a", "p001"), ("3", "a", "p002"), ("4", "a", "p000")],
    BOXES: [(number, "box") for number in (2, 9, 10, 100)],
    HAS: [("a", 100), ("a", 9), ("a", 10), ("a", 77)],
    LABELLED: [("a", "100"), ("a", "9"), ("a", "10"), ("a", "x")],
}


@pytest.fixture
async def town() -> Both:
    return await both(GRAPH, ROWS)


def requests(town: Both) -> list[tuple[str, int]]:
    """Return what was asked beside the parents: "edges" or "nodes", and how many rows of a page or keys at most."""
    found = []
    for request in (*town.memory["edges"].calls, *town.memory["people"].calls):
        if isinstance(request, Get):
            found.append(("nodes", len(request.keys)))
        elif isinstance(request.match, Pairs):
            found.append(("pairs", request.match.size))
        elif request.match is not None:
            found.append(("edges", -1 if request.page is None else request.page.limit))
    return found


PAGE = "edges { cursor node { name } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


@pytest.mark.parametrize("order", ["", ", orderBy: {field: KEY, direction: DESC}"], ids=["ascending", "descending"])
@pytest.mark.parametrize("size", ["first: 0", "first: 1", "first: 3", "first: 8", "first: 50", "last: 0", "last: 2", "last: 8", "last: 9"])
@pytest.mark.parametrize("window", [(), ("after",), ("before",), ("after", "before")], ids=lambda names: " and ".join(names) or "all")
async def test_pages_of_edges_are_those_of_the_nodes(town: Both, order: str, size: str, window: tuple[str, ...]) -> None:
    """The oracle reads all edges and all nodes. Every third edge leads nowhere, and no page tells."""
    whole = (await town.data(f'{{ person(id: "a") {{ knows(first: 100{order}) {{ edges {{ cursor }} }} }} }}'))["person"]["knows"]["edges"]
    assert len(whole) == 8
    at = {"after": whole[1]["cursor"], "before": whole[6]["cursor"]}
    between = "".join(f', {name}: "{at[name]}"' for name in window)
    text = f"{{ people {{ nodes {{ id knows({size}{order}{between}) {{ {PAGE} }} }} }} }}"
    expected = (await town.one(town.oracle, text))["data"]
    await town.answer(text, data=expected)
    assert not any(name == "pairs" for name, _ in await _asked(town, text))


async def _asked(town: Both, text: str) -> list[tuple[str, int]]:
    await town.data(text)
    return requests(town)


async def test_a_page_reads_no_more_edges_and_nodes_than_it_shows(town: Both) -> None:
    assert await _asked(
        town, '{ person(id: "a") { knows(first: 1, after: null) { nodes { name } } boxes(first: 2) { nodes { number } } } }'
    ) == [
        ("edges", 1),
        ("edges", 2),
        ("edges", 64),  # as the first leads nowhere
        ("nodes", 1),
        ("nodes", 1),
        ("nodes", 2),
        ("nodes", 11),
    ]


async def test_one_edge_more_is_read_where_somebody_asks_whether_there_is_one(town: Both) -> None:
    text = '{ person(id: "a") { boxes(first: 2) { nodes { number } pageInfo { %s } } } }'
    assert (await _asked(town, text % "endCursor"))[0] == ("edges", 2)
    assert (await _asked(town, text % "hasNextPage"))[0] == ("edges", 3)


async def test_whether_there_is_more_is_known_beyond_edges_that_lead_nowhere(town: Both) -> None:
    text = '{ person(id: "a") { knows(first: 8) { nodes { id } pageInfo { hasNextPage } } boxes(first: 3) { pageInfo { hasNextPage } } } }'
    data = (await town.data(text))["person"]
    assert (len(data["knows"]["nodes"]), data["knows"]["pageInfo"], data["boxes"]["pageInfo"]) == (
        8,
        {"hasNextPage": False},
        {"hasNextPage": False},
    )


async def test_only_parents_that_lack_rows_are_asked_again(town: Both) -> None:
    data = await town.data("{ people(first: 4) { nodes { name knows(first: 2) { nodes { name } } } } }")
    names = [[person["name"] for person in row["knows"]["nodes"]] for row in data["people"]["nodes"]]
    assert names == [["Np001", "Np002"], [], ["Np001"], []]
    fetches = town.memory["edges"].calls
    assert [(fetch.match.keys, fetch.page.limit) for fetch in fetches] == [
        (["a", "b", "c", "d"], 2),
        (["a", "b", "c"], LEAST_AGAIN),
        (["b", "c"], 8 * LEAST_AGAIN),
    ]


@pytest.mark.parametrize(
    "selection",
    [
        "knows(first: 2) { totalCount nodes { name } }",
        'knows(first: 2, where: {name: {ne: "x"}}) { nodes { name } }',
        "knows(first: 2, orderBy: {field: NAME}) { nodes { name } }",
        "met(first: 2) { nodes { name } }",
        "labelled(first: 2) { nodes { number } }",
    ],
    ids=["total", "filter", "order", "pairs that may repeat", "keys in another order"],
)
async def test_where_it_takes_the_nodes_all_edges_are_read(town: Both, selection: str) -> None:
    asked = await _asked(town, f'{{ person(id: "a") {{ {selection} }} }}')
    assert asked[0] == ("edges", -1)
    assert asked[-1][0] == "pairs"


async def test_a_pair_that_repeats_is_one_node(town: Both) -> None:
    await town.answer(
        '{ person(id: "a") { met { totalCount nodes { id } } } }',
        data={"person": {"met": {"totalCount": 2, "nodes": [{"id": "Person:p001"}, {"id": "Person:p002"}]}}},
    )


async def test_numbers_are_in_the_order_of_numbers(town: Both) -> None:
    data = (await town.data('{ person(id: "a") { boxes(first: 2) { nodes { number } } labelled(first: 2) { nodes { number } } } }'))[
        "person"
    ]
    assert [[row["number"] for row in data[name]["nodes"]] for name in ("boxes", "labelled")] == [["9", "10"], ["9", "10"]]


async def test_a_plan_tells_where_pages_are_cut(town: Both) -> None:
    text = """query($n: Int) { person(id: "a") {
      one: knows { nodes { name } } two: knows(first: $n) { nodes { name } } three: knows { totalCount } met { nodes { name } } } }"""
    lines = [line.strip() for line in text_of(town.engine.plan(text)).splitlines() if "edges." in line or "pairs" in line]
    assert lines == [
        "person.one: many edges.knows(whom)  [by who; a page of edges]",
        "person.two: many edges.knows(whom)  [by who; a page of edges; all edges with a filter or in another order]",
        "person.three: many edges.knows(whom)  [by who; all edges]",
        "person.met: many edges.met(whom)  [by who; all edges]",
        "person.two: many people.people(name)  [by id or pairs of parent and key; arguments by request]",
        "person.three: many people.people(id)  [by pairs of parent and key; count; no rows]",
        "person.met: many people.people(name)  [by pairs of parent and key]",
    ]


@pytest.mark.parametrize(("selection", "count"), [("knows { totalCount }", 12), ("knows(first: 9) { pageInfo { hasNextPage } }", 22)])
async def test_more_edges_than_a_request_may_read_are_a_clear_error_before_nodes_are_asked(selection: str, count: int) -> None:
    stores = Stores({name: MemoryStore(name) for name in GRAPH.store_names})
    await stores.open()
    for collection, rows in ROWS.items():
        await stores.ask(Upsert(collection, rows))
    for most, wrong in ((count, False), (count - 1, True)):
        stores.calls.clear()
        answer = (
            await respond(Service(GRAPH, stores, limits=Limits(edges_max=most)), f'{{ person(id: "a") {{ name {selection} }} }}')
        ).body
        message = f"The request reads {count} edges or more; at most {most} are allowed (setting edges_max)."
        assert (message.encode() in answer, b'"RESULT_LIMIT"' in answer) == (wrong, wrong), answer
        assert b'"name":"Na"' in answer
