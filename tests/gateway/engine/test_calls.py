"""What the stores are asked: how often, in which columns, at the same time; and answers matched by key, whatever a store does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

import pytest
import strawberry

from gateway.context import RequestContext
from gateway.graph.fields import Connection, Node, Through, batched, column, computed, count, lookup, many, maximum, minimum, one, stats
from gateway.graph.inputs import Interval, filter_of
from gateway.graph.scalars import DateTime
from gateway.stores.base import A, Collection, Column, Fetch, Get, Key, Match, Pairs, Request, Type
from gateway.stores.memory import MemoryStore
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph

WRITERS = Collection("writers", "writers", (Column("id", refers="Writer"), Column("name"), Column("mail", nullable=True)))
BOOKS = Collection("books", "books", (Column("id", refers="Book"), Column("name"), Column("writer_id", nullable=True, refers="Writer")))
SALES = Collection(
    "sales",
    "sales",
    (Column("id", refers="Sale"), Column("book_id"), Column("writer_id"), Column("shop"), Column("occurred_at", Type.TIME)),
)
READS = Collection("reads", "reads", (Column("reader_id"), Column("book_id")), key=("reader_id", "book_id"))
SaleFilter = filter_of(SALES)


BARRIERS: list[asyncio.Barrier] = []  # the one that batch functions wait at


async def motto(_: RequestContext, keys: Sequence[Key]) -> list[str]:
    async with asyncio.timeout(30):
        await BARRIERS[0].wait()
    return [f"motto of {key}" for key in keys]


@strawberry.enum
class SaleGroup(Enum):
    SHOP = "shop"
    TIME = "time"


COUNTED: dict[str, Any] = {
    "time": "occurred_at",
    "bucket": "day",
    "measures": {"count": count(), "first_at": minimum("occurred_at"), "last_at": maximum("occurred_at")},
    "where": SaleFilter,
    "group": SaleGroup,
    "default": [SaleGroup.SHOP],
    "interval": Interval,
}


@strawberry.type
class SaleStat:
    shop: str | None = column()
    day: DateTime | None = column()
    count: int = column()
    first_at: DateTime = column()
    last_at: DateTime = column()


@strawberry.type
class Writer(Node):
    id: strawberry.ID = column()
    name: str = column()
    mail: str | None = column()
    motto: str = batched(motto)
    books: Connection[Book] = many(BOOKS, by="writer_id", where=Named, order=Sorted)
    read: Connection[Book] = many(BOOKS, through=Through(READS, parent="reader_id", node="book_id"), where=Named, order=Sorted)
    stats: list[SaleStat] = stats(SALES, by="writer_id", **COUNTED)


@strawberry.type
class Book(Node):
    id: strawberry.ID = column()
    name: str = column()
    title: str = computed(lambda name: f"«{name}»", needs=["name"])
    writer: Writer | None = one(WRITERS, by="writer_id")


@strawberry.type
class Query:
    writer: Writer | None = lookup(WRITERS, by={"id": "id"})
    writers: Connection[Writer] = many(WRITERS, where=Named, order=Sorted)
    book: Book | None = lookup(BOOKS, by={"id": "id"})
    books: Connection[Book] = many(BOOKS, where=Named, order=Sorted)
    sales: list[SaleStat] = stats(SALES, **COUNTED)


GRAPH = graph(Query, WRITERS, BOOKS, SALES, READS)


def rows(writers: int = 3) -> dict[Collection, list[Any]]:
    """Writers, each with two books of which they read the first, and a sale of each book; one book has a writer who is gone."""
    keys = [f"{i:03}" for i in range(writers)]
    return {
        WRITERS: [(key, f"w{key}", None) for key in keys],
        BOOKS: [(f"{key}{n}", f"b{key}{n}", key) for key in keys for n in "ab"] + [("zzz", "lost", "gone")],
        SALES: [(f"{key}{n}", f"{key}{n}", key, "corner", "2020-01-02T03:04:05.000Z") for key in keys for n in "ab"],
        READS: [(key, f"{key}a") for key in keys],
    }


@pytest.fixture
async def library() -> Both:
    return await both(GRAPH, rows())


TREE = """{ writers(first: 100) { totalCount nodes { name
    books { totalCount edges { cursor node { title writer { name } } } }
    read(first: 1) { nodes { name } }
    stats { shop count } } } }"""


async def test_the_number_of_calls_does_not_depend_on_the_number_of_parents() -> None:
    counts = []
    for writers in (1, 10, 50):
        pair = await both(GRAPH, rows(writers))
        data = await pair.data(TREE)
        assert data["writers"]["totalCount"] == len(data["writers"]["nodes"]) == writers
        counts.append(len(pair.asked()))
    assert counts == [6, 6, 6]


async def test_the_tree_is_the_same_by_both_executors(library: Both) -> None:
    await library.answer(TREE, data=await library.data(TREE))


async def test_only_asked_columns_are_requested(library: Both) -> None:
    await library.data("{ books { nodes { id } } }")
    assert columns(library) == [("id",)]
    await library.data("{ books { nodes { name id } } }")
    assert columns(library) == [("name", "id")]
    await library.data("{ writers { nodes { mail } } }")
    assert columns(library) == [("mail",)]


async def test_a_row_of_which_nothing_is_shown_is_asked_by_its_key(library: Both) -> None:
    await library.data("{ books { nodes { __typename } } }")
    assert columns(library) == [("id",)]


async def test_foreign_keys_are_fetched_and_not_shown(library: Both) -> None:
    assert await library.data('{ book(id: "000a") { name writer { name } } }') == {"book": {"name": "b000a", "writer": {"name": "w000"}}}
    assert columns(library) == [("name",), ("name", "writer_id")]


async def test_an_object_with_its_id_alone_is_asked_for_as_it_may_be_gone(library: Both) -> None:
    await library.answer(
        "{ books(last: 2) { nodes { writer { id } } } }", data={"books": {"nodes": [{"writer": {"id": "Writer:002"}}, {"writer": None}]}}
    )
    await library.data("{ books(last: 2) { nodes { writer { id } } } }")
    assert library.memory["writers"].calls == [Get(WRITERS, ("id",), ["002", "gone"], "id")]


@pytest.mark.parametrize(
    ("selection", "count"),
    [("nodes { id }", False), ("totalCount nodes { id }", True), ("edges { cursor }", False), ("pageInfo { endCursor }", False)],
)
async def test_rows_are_counted_when_totalcount_is_asked(library: Both, selection: str, count: bool) -> None:
    await library.data(f"{{ books {{ {selection} }} }}")
    [fetch] = library.asked()
    assert fetch.count is count


async def test_a_count_alone_fetches_no_rows(library: Both) -> None:
    assert await library.data("{ books(first: 3) { totalCount } }") == {"books": {"totalCount": 7}}
    [fetch] = library.asked()
    assert fetch.page.limit == 0


async def test_only_asked_measures_are_made(library: Both) -> None:
    await library.data("{ sales { count } }")
    [aggregate] = library.asked()
    assert [measure.function for measure in aggregate.measures] == ["count"]
    await library.data("{ sales(groupBy: [TIME], interval: DAY) { day lastAt } }")
    [aggregate] = library.asked()
    assert [measure.function for measure in aggregate.measures] == ["max"]


async def test_two_places_of_a_level_share_a_call_even_with_different_columns(library: Both) -> None:
    data = await library.data('{ a: writer(id: "000") { name } b: writer(id: "001") { mail id } again: writer(id: "000") { id } }')
    assert data == {"a": {"name": "w000"}, "b": {"mail": None, "id": "Writer:001"}, "again": {"id": "Writer:000"}}
    assert library.asked() == [Get(WRITERS, ("name", "mail", "id"), ["000", "001"], "id")]


async def test_two_connections_of_a_level_share_a_call_when_their_arguments_are_the_same(library: Both) -> None:
    text = (
        """{ a: writer(id: "000") { books(first: 1) { nodes { name } } } b: writer(id: "001") { all: books(first: 1) { nodes { id } } } }"""
    )
    assert await library.data(text) == {"a": {"books": {"nodes": [{"name": "b000a"}]}}, "b": {"all": {"nodes": [{"id": "Book:001a"}]}}}
    [fetch] = library.memory["books"].calls
    assert (fetch.columns, list(fetch.match.keys)) == (("name", "id"), ["000", "001"])


async def test_two_statistics_of_a_level_share_a_call_when_their_arguments_are_the_same(library: Both) -> None:
    text = '{ a: writer(id: "000") { stats { count shop } } b: writer(id: "002") { all: stats { shop count } } }'
    row = {"count": 2, "shop": "corner"}
    await library.answer(text, data={"a": {"stats": [row]}, "b": {"all": [{"shop": "corner", "count": 2}]}})
    await library.data(text)
    [aggregate] = library.memory["sales"].calls
    assert list(aggregate.match.keys) == ["000", "002"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(first: 1)", "(first: 2)"),
        ("(first: 1)", "(last: 1)"),
        ('(where: {name: {eq: "x"}})', ""),
        ("(orderBy: [{field: NAME}])", "(orderBy: [{field: NAME, direction: DESC}])"),
    ],
)
async def test_different_arguments_do_not_share_a_call(library: Both, one: str, other: str) -> None:
    text = f'{{ writer(id: "000") {{ a: books{one} {{ nodes {{ id }} }} b: books{other} {{ nodes {{ id }} }} }} }}'
    await library.answer(text, data=await library.data(text))
    await library.data(text)
    assert len(library.memory["books"].calls) == 2


async def test_places_of_different_levels_do_not_share_a_call(library: Both) -> None:
    await library.data('{ writer(id: "000") { name books { nodes { writer { name } } } } }')
    assert len(library.memory["writers"].calls) == 2


async def test_keys_are_asked_once_however_often_they_are_there(library: Both) -> None:
    await library.data("{ books { nodes { writer { name } } } }")
    [get] = library.memory["writers"].calls
    assert list(get.keys) == ["000", "001", "002", "gone"]


async def test_nobody_is_asked_without_keys(library: Both) -> None:
    await library.data(
        '{ book(id: "none") { writer { name } } writers(first: 0) { nodes { books { totalCount } stats { count } read { totalCount } } } }'
    )
    assert [type(call).__name__ for call in library.asked()] == ["Fetch", "Get"]


def columns(pair: Both) -> list[tuple[str, ...]]:
    return [call.columns for call in pair.asked()]


# -------------------------------------------------------------------------------------------------- at the same time


class Meeting(MemoryStore):
    """A store whose calls wait until as many calls are there as the barrier wants, of any store."""

    barrier: asyncio.Barrier | None = None

    async def answer(self, request: Request[A]) -> A:
        await self._meet()
        return await super().answer(request)

    async def _meet(self) -> None:
        if self.barrier is not None:
            async with asyncio.timeout(30):
                await self.barrier.wait()


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('{ writer(id: "000") { name } book(id: "000a") { name } }', 2),
        ("{ writers { totalCount } books { totalCount } sales { count } }", 3),
        ("{ a: books(first: 1) { totalCount } b: books(first: 2) { totalCount nodes { id } } c: books(last: 1) { nodes { id } } }", 3),
    ],
)
async def test_all_calls_of_a_level_are_made_at_the_same_time(text: str, calls: int) -> None:
    stores = {name: Meeting(name) for name in GRAPH.store_names}
    pair = await both(GRAPH, rows(), stores=stores)
    barrier = asyncio.Barrier(calls)
    for store in stores.values():
        store.barrier = barrier
    await pair.data(text)
    assert len(pair.asked()) == calls


async def test_the_calls_of_a_deeper_level_are_made_at_the_same_time_too() -> None:
    stores = {name: Meeting(name) for name in GRAPH.store_names}
    pair = await both(GRAPH, rows(), stores=stores)
    stores["books"].barrier = stores["sales"].barrier = asyncio.Barrier(2)
    got = await pair.data("{ writers { nodes { books(first: 1) { nodes { id } } stats { count } } } }")
    assert got["writers"]["nodes"][0] == {"books": {"nodes": [{"id": "Book:000a"}]}, "stats": [{"count": 2}]}


async def test_batch_functions_and_stores_of_a_level_are_asked_at_the_same_time() -> None:
    store = Meeting("books")
    pair = await both(GRAPH, rows(1), stores={"books": store})
    store.barrier = asyncio.Barrier(3)
    BARRIERS[:] = [store.barrier]
    got = await pair.data('{ writer(id: "000") { motto books { totalCount } again: motto } }')
    assert got == {"writer": {"motto": "motto of 000", "books": {"totalCount": 2}, "again": "motto of 000"}}


# -------------------------------------------------------------------------------------------------------- odd answers


class Odd(MemoryStore):
    """A store that answers as ``twist`` wants: the port only promises answers by key."""

    twist: Callable[[Mapping[Any, Any]], Mapping[Any, Any]] = staticmethod(lambda answer: answer)

    async def answer(self, request: Request[Any]) -> Any:
        answer = await super().answer(request)
        return self.twist(answer) if isinstance(request, Get | Fetch) else answer


class Generous(MemoryStore):
    """A store that answers more than it was asked: all of its rows."""

    async def answer(self, request: Request[Any]) -> Any:
        if isinstance(request, Get):
            table = self._table(request.collection)
            request = replace(request, keys=[key[0] for key in reversed(table._rows)])
        elif isinstance(request, Fetch) and isinstance(request.match, Match):
            request = replace(request, match=Match(request.match.column, [*request.match.keys, "002", "000", "gone"]))
        return await super().answer(request)


def shuffled(answer: Mapping[Any, Any]) -> Mapping[Any, Any]:
    items = list(answer.items())
    random.Random(3).shuffle(items)
    return dict(items)


DEEP = """{ books(last: 4) { nodes { id writer { name books { totalCount nodes { name writer { id } } } read { nodes { name } } } } }
    some: writers(where: {not: {name: {eq: "w002"}}}) { nodes { id books(first: 1) { nodes { id } } } } }"""


@pytest.mark.parametrize("twist", [shuffled, lambda answer: dict(reversed(answer.items()))])
async def test_rows_are_matched_by_key_and_not_by_position(library: Both, twist: Any) -> None:
    expected = await library.data(DEEP)
    stores = {name: Odd(name) for name in GRAPH.store_names}
    pair = await both(GRAPH, rows(), stores=stores)
    for store in stores.values():
        store.twist = twist
    await pair.answer(DEEP, data=expected)


async def test_rows_that_nobody_asked_for_are_not_shown(library: Both) -> None:
    pair = await both(GRAPH, rows(), stores={name: Generous(name) for name in GRAPH.store_names})
    await pair.answer(DEEP, data=await library.data(DEEP))


async def test_a_parent_that_a_store_left_out_has_nothing(library: Both) -> None:
    odd = Odd("books")
    pair = await both(GRAPH, rows(), stores={"books": odd})
    odd.twist = lambda answer: {key: part for key, part in answer.items() if key != "001"}
    await pair.answer(
        "{ writers { nodes { books { totalCount nodes { id } pageInfo { hasNextPage endCursor } } } } }",
        data={
            "writers": {
                "nodes": [
                    {
                        "books": {
                            "totalCount": 2,
                            "nodes": [{"id": f"Book:{k}a"}, {"id": f"Book:{k}b"}],
                            "pageInfo": {"hasNextPage": False, "endCursor": end},
                        }
                    }
                    if end
                    else {"books": {"totalCount": 0, "nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}}
                    for k, end in zip(("000", "001", "002"), await ends(library), strict=True)
                ]
            }
        },
    )


async def ends(library: Both) -> list[str | None]:
    data = await library.data("{ writers { nodes { books { pageInfo { endCursor } } } } }")
    found = [node["books"]["pageInfo"]["endCursor"] for node in data["writers"]["nodes"]]
    return [found[0], None, found[2]]


async def test_pairs_of_a_connection_through_edges_are_grouped_by_parent(library: Both) -> None:
    await library.data("{ writers { nodes { read { totalCount nodes { name } } } } }")
    [fetch] = library.memory["books"].calls
    assert isinstance(fetch.match, Pairs)
    assert list(fetch.match.pairs) == [("000", "000a"), ("001", "001a"), ("002", "002a")]
