"""Edges that are followed in one statement: the same rows, pages and totals as the edges and then their nodes give."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
import pytest_asyncio

from gateway.stores import Stores, connect
from gateway.stores.base import (
    KEYS_PER_CALL,
    Collection,
    Column,
    Compare,
    Ends,
    Fetch,
    Index,
    Joins,
    Key,
    Match,
    Order,
    Page,
    Pairs,
    Slices,
    Store,
    Type,
    Upsert,
    Value,
    total_order,
)
from gateway.stores.types import KeyForm
from tests.kinds import kinds, needs, store_of, url_of
from tests.servers import POSTGRESQL

KEYS: dict[str, list[Value]] = {
    "text": [f"k{n}" for n in range(12)] + ["Z", "é", "😀"],
    "int": [-(2**63), *range(12), 2**63 - 1],
    "uuid": [f"{n:08x}-0000-4000-8000-00000000000a" for n in range(14)],
    "decimal": [f"{n}.50" for n in range(14)],
}
TYPES = {
    "text": Column("id"),
    "int": Column("id", Type.INT),
    "uuid": Column("id", Type.UUID),
    "decimal": Column("id", Type.DECIMAL, scale=2),
}


def nodes_of(name: str) -> Collection:
    columns = (TYPES[name], Column("name"), Column("n", Type.INT, nullable=True))
    return Collection(f"nodes_{name}", "tested", columns, managed=True)


def edges_of(name: str) -> Collection:
    """Several edges may have the same two ends."""
    ends = (replace(TYPES[name], name="start"), replace(TYPES[name], name="finish"))
    return Collection(
        f"edges_{name}",
        "tested",
        (*ends, Column("place", Type.INT)),
        key=("start", "finish", "place"),
        managed=True,
        indexes=(Index(("finish",)),),
    )


class Ground:
    """Nodes and edges under keys of one type, in a store."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.nodes, self.edges = store, nodes_of(name), edges_of(name)
        self.keys = [key for value in KEYS[name] if (key := KeyForm([TYPES[name]]).text((value,))) is not None]

    async def by_two_reads(self, fetch: Fetch) -> Slices:
        ends = fetch.match
        assert isinstance(ends, Ends)
        found = await self.store.answer(Fetch(ends.edges, (ends.node,), Match(ends.parent, ends.keys), ends.where))
        form = KeyForm(ends.edges.columns_of(ends.node))
        pairs = [(parent, key) for parent, part in found.items() for row in part.rows if (key := form.text(row)) is not None]
        return await self.store.answer(replace(fetch, match=Pairs("id", [(str(parent), key) for parent, key in dict.fromkeys(pairs)])))


@pytest_asyncio.fixture(params=kinds(["sqlite", "postgresql"]))
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    collections = [made(name) for name in TYPES for made in (nodes_of, edges_of)]
    async with store_of(request.param, collections) as store:
        for name, keys in KEYS.items():
            nodes, edges = nodes_of(name), edges_of(name)
            await store.answer(Upsert(nodes, [(key, f"node {n % 5}", None if n % 3 else n) for n, key in enumerate(keys[1:])]))
            pairs = [(a, b, place) for i, a in enumerate(keys) for j, b in enumerate(keys) for place in (1, 2) if (i * 3 + j) % 4 < place]
            await store.answer(Upsert(edges, pairs))
        yield store


def present(slices: Slices) -> dict[Key | None, tuple[list[object], bool, int | None]]:
    return {parent: (list(part.rows), part.more, part.total) for parent, part in slices.items() if part.rows or part.total}


@pytest.mark.parametrize("name", TYPES)
async def test_ends_are_what_edges_and_then_nodes_give(store: Store, name: str) -> None:
    ground = Ground(store, name)
    ends = Ends(ground.edges, "start", "finish", [*ground.keys, "no such key"])
    assert isinstance(store, Joins)
    assert store.joins(ground.nodes, ends)
    by_name = (Order("name", descending=True),)
    middle = (KEYS[name][4],)
    for where in (None, Compare("name", "ne", "node 2")):
        for of_edges in (None, Compare("place", "eq", 2)):
            for order, page in (
                ((), None),
                ((), Page(3)),
                ((), Page(2, backward=True, after=middle)),
                ((Order("n"),), Page(4)),
                (by_name, Page(0)),
                (by_name, Page(5, after=("node 3", *middle))),
            ):
                whole = total_order(ground.nodes, order)
                fetch = Fetch(ground.nodes, ("id", "n"), replace(ends, where=of_edges), where, whole, page, count=True)
                answer = present(await store.answer(fetch))
                assert answer
                assert answer == present(await ground.by_two_reads(fetch))


async def test_conditions_of_both_collections_and_of_a_layer_are_heeded_and_keys_split(store: Store) -> None:
    ground = Ground(store, "text")
    nodes = replace(ground.nodes, where=Compare("name", "ne", "node 1"))
    edges = replace(ground.edges, where=Compare("place", "eq", 2))
    stores = Stores({"tested": store})
    many = [*(f"none {n}" for n in range(KEYS_PER_CALL)), *ground.keys]
    asked = Fetch(nodes, ("id",), Ends(edges, "start", "finish", many), count=True)
    narrowed = asked.narrowed(edges, Compare("finish", "ne", "k5")).narrowed(nodes, Compare("name", "ne", "node 0"))
    assert asked.narrowed(ground.edges, Compare("finish", "ne", "k5")) is asked, "another collection"
    answer = present(await stores.ask(narrowed))
    assert stores.calls == {f"tested.{nodes.name}": 2}
    where = Compare("name", "in", ("node 2", "node 3", "node 4"))
    pairs = await store.answer(Fetch(ground.edges, ("finish",), Match("start", ground.keys), Compare("place", "eq", 2)))
    kept = [(str(parent), str(row[0])) for parent, part in pairs.items() for row in part.rows if row[0] != "k5"]
    assert answer == present(await store.answer(Fetch(ground.nodes, ("id",), Pairs("id", kept), where, count=True)))


async def test_what_cannot_be_joined_is_told(store: Store) -> None:
    assert isinstance(store, Joins)
    text, edges = nodes_of("text"), edges_of("text")
    ends = Ends(edges, "start", "finish", ["k1"])
    assert not store.joins(nodes_of("int"), ends), "keys of two types"
    nocase = replace(text, columns=(replace(TYPES["text"], collation="nocase"), *text.columns[1:]))
    assert not store.joins(nocase, ends)
    assert not store.joins(text, replace(ends, node="start,finish"))
    theirs = replace(text, managed=False)
    assert store.joins(theirs, ends) is store.enforces_types, "in SQLite their values may be of any type"


@pytest.mark.parametrize("kind", kinds(["sqlite", "postgresql"]))
@pytest.mark.parametrize("name", ["ends", "ENDS", "ranked", "edges"])
async def test_names_of_tables_and_columns_are_no_names_of_the_statement(kind: str, name: str) -> None:
    nodes = Collection(name, "tested", (Column("node"), Column("parent", nullable=True)), key=("node",), managed=True)
    async with store_of(kind, [nodes, edges_of("text")]) as store:
        await store.answer(Upsert(nodes, [("a", "x"), ("b", None), ("c", "y")]))
        await store.answer(Upsert(edges_of("text"), [("1", "a", 1), ("1", "b", 1), ("1", "b", 2), ("2", "c", 1), ("2", "gone", 1)]))
        fetch = Fetch(nodes, ("node",), Ends(edges_of("text"), "start", "finish", ["1", "2", "3"]), order=(Order("parent"),), count=True)
        for page, rows in ((None, [("a",), ("b",)]), (Page(1), [("a",)])):
            found = present(await store.answer(replace(fetch, page=page)))
            assert found == {"1": (rows, page is not None, 2), "2": ([("c",)], False, 1)}


@pytest.mark.parametrize("kind", kinds(["sqlite", "postgresql"]))
async def test_edges_may_be_rows_of_the_nodes_themselves(kind: str) -> None:
    columns = (Column("id"), Column("boss", nullable=True), Column("n", Type.INT))
    people = Collection("people", "tested", columns, managed=True, where=Compare("n", "lt", 4))
    async with store_of(kind, [people]) as store:
        await store.answer(Upsert(people, [("a", None, 1), ("b", "a", 2), ("c", "a", 3), ("d", "b", 4), ("e", "d", 3)]))
        stores = Stores({"tested": store})
        for parent, node, expected in (("boss", "id", {"a": ["c", "b"], "d": ["e"]}), ("id", "boss", {"b": ["a"], "c": ["a"]})):
            ends = Ends(people, parent, node, ["a", "b", "c", "d", "e"])
            answer = await stores.ask(Fetch(people, ("id",), ends, order=(Order("n", descending=True),), page=Page(5)))
            assert {key: [row[0] for row in part.rows] for key, part in answer.items() if part.rows} == expected


THEIRS = """
CREATE TABLE node (id {node} PRIMARY KEY, name text);
CREATE TABLE edge (start text COLLATE "POSIX", finish {edge});
INSERT INTO node VALUES ('a', '1'), ('b', '2'), ('B', '3');
INSERT INTO edge VALUES ('x', 'a'), ('x', 'a'), ('x', 'b'), ('y', 'B'), ('y', NULL), ('y', 'c'), (NULL, 'a');
"""


@needs(POSTGRESQL)
@pytest.mark.parametrize("node", ["text", 'text COLLATE "C"', 'varchar(9) COLLATE "ucs_basic"', "char(3)", "name"])
@pytest.mark.parametrize("edge", ["text", 'text COLLATE "POSIX"', 'varchar(9) COLLATE "C"', "char(5)", "name"])
async def test_texts_of_others_are_joined_however_they_are_collated(node: str, edge: str) -> None:
    """The edges' key is declared alone: nothing keeps two from being alike, as in a view."""
    nodes = Collection("node", "tested", (Column("id"), Column("name")))
    edges = Collection("edge", "tested", (Column("start"), Column("finish")), key=("start", "finish"))
    async with url_of("postgresql") as url:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        await connection.execute(THEIRS.format(node=node, edge=edge))
        await connection.close()
        store = connect("tested", url)
        await store.open()
        try:
            ends = Ends(edges, "start", "finish", ["x", "y", "z"])
            assert isinstance(store, Joins)
            assert store.joins(nodes, ends)
            fetch = Fetch(nodes, ("id",), ends, order=(Order("name", descending=True),), count=True)
            assert present(await store.answer(fetch)) == {"x": ([("b",), ("a",)], False, 2), "y": ([("B",)], False, 1)}
            assert present(await store.answer(replace(fetch, page=Page(1)))) == {"x": ([("b",)], True, 2), "y": ([("B",)], False, 1)}
        finally:
            await store.close()
