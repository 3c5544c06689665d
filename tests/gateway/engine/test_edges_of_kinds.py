"""Edges with fields of their own, and pages that are cut from edges, in every kind of store: in Neo4j they are relationships."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
import strawberry

from gateway.graph import Connection, DateTime, Edge, Node, Through, column, filter_of, lookup, many, many_edges, order_of, part
from gateway.graph.checks import check
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Delete, Index, Joins, Relationship, Type, Upsert
from tests.gateway.engine.graphs import Named, Sorted, graph, respond
from tests.kinds import kinds, store_of
from tests.oracle.executor import Executor

FANS = Collection("fans", "tested", (Column("id", refers="Fan"), Column("name")), managed=True)
SONGS = Collection("songs", "tested", (Column("id", refers="Song"), Column("name")), managed=True)
STARS = Collection(
    "stars",
    "tested",
    (
        Column("fan", refers="Fan"),
        Column("song", refers="Song"),
        Column("stars", Type.INT, bits=32),
        Column("at", Type.TIME, nullable=True),
    ),
    key=("fan", "song"),
    indexes=(Index(("song", "fan")),),
    relationship=Relationship("STARRED", start="Fan", start_column="fan", end="Song", end_column="song"),
    managed=True,
)
StarFilter, StarOrder = filter_of(STARS), order_of(STARS)


@strawberry.type
class Song(Node):
    id: strawberry.ID = column()
    name: str = column()


@strawberry.type
class StarEdge(Edge[Song]):
    stars: int = column()
    at: DateTime | None = column()


@strawberry.type
class StarConnection(Connection[Song]):
    edges: list[StarEdge] | None = part("edges", "The songs with their stars.")


@strawberry.type
class Fan(Node):
    id: strawberry.ID = column()
    name: str = column()
    stars: StarConnection | None = many_edges(SONGS, through=Through(STARS, parent="fan", node="song"), where=StarFilter, order=StarOrder)
    songs: Connection[Song] | None = many(SONGS, through=Through(STARS, parent="fan", node="song"), where=Named, order=Sorted)


@strawberry.type
class Query:
    fan: Fan | None = lookup(FANS, by={"id": "id"})
    fans: Connection[Fan] | None = many(FANS, where=Named, order=Sorted)


GRAPH = graph(Query, FANS, SONGS, STARS)
KEYS = [f"s{number:02}" for number in range(20)] + ["Z", "é", "😀"]


class Kind:
    def __init__(self, stores: Stores) -> None:
        self.stores, self.engine, self.oracle = stores, Service(GRAPH, stores), Executor(GRAPH, stores)

    async def held(self, text: str) -> Any:
        """Return the data of the engine's answer, after holding it to the oracle's."""
        got = orjson.loads((await respond(self.engine, text)).body)
        assert got == await self.oracle.execute(text)
        return got["data"]


@pytest_asyncio.fixture(params=kinds())
async def kind(request: pytest.FixtureRequest) -> AsyncIterator[Kind]:
    async with store_of(request.param, [FANS, SONGS, STARS]) as store:
        stores = Stores({"tested": store}, timeout_s=30)
        await stores.ask(Upsert(FANS, [("a", "Ann"), ("b", "Bob"), ("c", "Cy")]))
        await stores.ask(Upsert(SONGS, [(key, f"Song {key}") for key in KEYS]))
        at = "2024-01-01T00:00:{:02}.000Z"
        edges = [("a", key, number % 4, at.format(number) if number % 3 else None) for number, key in enumerate(KEYS)]
        await stores.ask(Upsert(STARS, [*edges, ("b", "é", 5, None), ("b", "s00", 1, at.format(1))]))
        yield Kind(stores)


def test_nothing_is_wrong_with_the_graph() -> None:
    assert check(GRAPH) == []


PAGE = "totalCount edges { cursor stars at node { id name } } nodes { id } pageInfo { hasNextPage hasPreviousPage endCursor }"


async def test_edges_by_their_own_columns(kind: Kind) -> None:
    for order in ("", ", orderBy: {field: STARS, direction: DESC}", ", orderBy: [{field: AT}, {field: SONG, direction: DESC}]"):
        for arguments in (
            "first: 3",
            "last: 3, where: {stars: {gte: 2}}",
            "first: 5, where: {at: null}",
            'first: 30, where: {not: {song: {in: ["s10", "Song:s02"]}}}',
        ):
            data = await kind.held(f"{{ fans {{ nodes {{ stars({arguments}{order}) {{ {PAGE} }} }} }} }}")
            cursors = [edge["cursor"] for edge in data["fans"]["nodes"][0]["stars"]["edges"]]
            await kind.held(f'{{ fans {{ nodes {{ stars({arguments}{order}, after: "{cursors[1]}") {{ {PAGE} }} }} }} }}')


async def test_pages_of_nodes_that_are_cut_from_edges(kind: Kind) -> None:
    page = "edges { cursor node { id name } } pageInfo { hasNextPage hasPreviousPage startCursor }"
    for order in ("", ", orderBy: {field: KEY, direction: DESC}"):
        whole = (await kind.held(f'{{ fan(id: "a") {{ songs(first: 50{order}) {{ {page} }} }} }}'))["fan"]["songs"]["edges"]
        assert len(whole) == len(KEYS)
        for size in ("first: 2", "last: 4", "first: 0"):
            for between in ("", f', after: "{whole[2]["cursor"]}"', f', after: "{whole[1]["cursor"]}", before: "{whole[5]["cursor"]}"'):
                await kind.held(f"{{ fans {{ nodes {{ songs({size}{order}{between}) {{ {page} }} }} }} }}")


async def test_pages_that_take_all_edges_are_one_call_where_the_store_joins(kind: Kind) -> None:
    await kind.stores.ask(Delete(SONGS, [("s03",), ("s00",)]))
    page = "totalCount nodes { id } edges { cursor node { name } } pageInfo { hasNextPage hasPreviousPage endCursor }"
    by_name = ", orderBy: {field: NAME, direction: DESC}"
    for arguments in (f"first: 3{by_name}", f"last: 2{by_name}", 'first: 5, where: {name: {contains: "1"}}', "first: 0", "first: 30"):
        data = await kind.held(f"{{ fans {{ nodes {{ songs({arguments}) {{ {page} }} }} }} }}")
        first = data["fans"]["nodes"][0]["songs"]
        if first["edges"]:
            between = f'{arguments}, after: "{first["edges"][0]["cursor"]}"'
            await kind.held(f"{{ fans {{ nodes {{ songs({between}) {{ {page} }} }} }} }}")
    kind.stores.calls.clear()
    text = "{ fans { nodes { songs { totalCount } } } }"
    answer = orjson.loads((await respond(kind.engine, text)).body)
    assert [fan["songs"]["totalCount"] for fan in answer["data"]["fans"]["nodes"]] == [len(KEYS) - 2, 1, 0]
    of_edges = {} if isinstance(kind.stores["tested"], Joins) else {"tested.stars": 1}
    assert kind.stores.calls == {"tested.fans": 1, "tested.songs": 1} | of_edges
