"""Edges: a collection of pairs of keys with values of their own, asked from either end. In Neo4j these are relationships."""

from __future__ import annotations

import pytest

from gateway.stores.base import Aggregate, Compare, Delete, Fetch, Match, Measure, Not, Order, Page, Store
from tests.gateway.stores.contract.oracle import aggregated, answered, cursor, everything, fetched, grouped, in_order, one, plain, put, same
from tests.gateway.stores.contract.world import LINKS, links, pins

PEOPLE = ["ann", "bob", "cy d", "d:e", "9007199254740993", "\U0001f600", "nobody"]
OTHER_END = {"source_id": "target_id", "target_id": "source_id"}
ORDERS = [
    (),
    (Order("since", descending=True),),
    (Order("strength"), Order("remark", descending=True)),
    (Order("strength", descending=True),),
    (Order("target_id"),),
    (Order("target_id", descending=True), Order("source_id", descending=True)),
    (Order("mutual"), Order("source_id", descending=True)),
]

from_either_end = pytest.mark.parametrize("end", ["source_id", "target_id"])
in_any_order = pytest.mark.parametrize(
    "order", ORDERS, ids=lambda o: ",".join(("-" if i.descending else "") + i.column for i in o) or "key"
)
in_both_directions = pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])


@from_either_end
async def test_edges_by_one_end(store: Store, end: str) -> None:
    fetch = Fetch(links, (OTHER_END[end], end), Match(end, PEOPLE))
    assert same(answered(await store.answer(fetch)), fetched(LINKS, fetch))


@from_either_end
async def test_all_columns_of_edges(store: Store, end: str) -> None:
    fetch = Fetch(links, links.names, Match(end, PEOPLE), page=Page(100))
    assert same(answered(await store.answer(fetch)), fetched(LINKS, fetch))


@from_either_end
@in_any_order
@in_both_directions
async def test_a_page_of_edges_per_parent(store: Store, end: str, order: tuple[Order, ...], backward: bool) -> None:
    fetch = Fetch(links, (OTHER_END[end],), Match(end, PEOPLE), order=order, page=Page(2, backward), count=True)
    assert same(answered(await store.answer(fetch), counted=True), fetched(LINKS, fetch))


@pytest.mark.parametrize("order", ORDERS[2:6:3], ids=str)
@in_both_directions
async def test_a_page_of_edges_between_cursors(store: Store, order: tuple[Order, ...], backward: bool) -> None:
    ordered = in_order(LINKS, links, order)
    for i, j in [(0, 5), (len(LINKS) // 2, len(LINKS) - 1)]:
        page = Page(2, backward, after=cursor(ordered[i], links, order), before=cursor(ordered[j], links, order))
        for match in (None, Match("source_id", PEOPLE), Match("target_id", PEOPLE)):
            fetch = Fetch(links, ("source_id", "target_id"), match, order=order, page=page)
            assert same(answered(await store.answer(fetch)), fetched(LINKS, fetch))


@pytest.mark.parametrize(
    "where",
    [
        Compare("source_id", "eq", "bob"),
        Compare("target_id", "in", ("bob", "\U0001f600")),
        Not(Compare("target_id", "starts_with", "9007")),
        Compare("strength", "eq", None),
        Compare("strength", "ne", 2),
        Compare("remark", "gt", "B"),
        Compare("mutual", "eq", True),
        Compare("since", "gte", "2022-03-03T10:00:00.001Z"),
    ],
    ids=str,
)
async def test_edges_by_a_filter(store: Store, where: Compare) -> None:
    for match in (None, Match("source_id", PEOPLE), Match("target_id", PEOPLE)):
        fetch = Fetch(links, ("target_id", "source_id", "strength"), match, where, page=Page(3), count=True)
        assert same(answered(await store.answer(fetch), counted=True), fetched(LINKS, fetch))


@from_either_end
async def test_edges_are_counted_per_parent(store: Store, end: str) -> None:
    aggregate = Aggregate(links, ("mutual",), (Measure("count"), Measure("min", "since"), Measure("max", "since")), Match(end, PEOPLE))
    assert same(grouped(await store.answer(aggregate)), aggregated(LINKS, aggregate))


async def test_edges_are_counted_by_their_ends(store: Store) -> None:
    aggregate = Aggregate(links, ("target_id",), (Measure("count"),))
    assert same(grouped(await store.answer(aggregate)), aggregated(LINKS, aggregate))


def pin(board: str, thing: str, place: int | None = None) -> dict[str, object]:
    return {"board_id": board, "thing_id": thing, "place": place}


async def test_an_edge_may_lead_to_itself(scratch: Store) -> None:
    await put(scratch, pins, pin("a", "a", 1))
    slices = await scratch.answer(Fetch(pins, ("thing_id",), Match("board_id", ["a"])))
    assert answered(slices) == {"a": ([("a",)], False, None)}


async def test_an_edge_has_a_direction(scratch: Store) -> None:
    await put(scratch, pins, pin("a", "b", 1))
    assert answered(await scratch.answer(Fetch(pins, ("place",), Match("board_id", ["a", "b"])))) == {"a": ([(1,)], False, None)}
    assert answered(await scratch.answer(Fetch(pins, ("place",), Match("thing_id", ["a", "b"])))) == {"b": ([(1,)], False, None)}


async def test_upserting_an_edge_again_replaces_its_values(scratch: Store) -> None:
    await put(scratch, pins, pin("a", "x", 1), pin("a", "y", 2))
    await put(scratch, pins, pin("a", "x", None), pin("b", "x", 7))
    assert await everything(scratch, pins) == [pin("a", "x", None), pin("b", "x", 7), pin("a", "y", 2)]


async def test_the_key_of_an_edge_orders_as_declared(scratch: Store) -> None:
    """The key of a pin is (thing, board): the thing first."""
    await put(scratch, pins, pin("b", "x"), pin("a", "y"), pin("a", "x"))
    slice_ = await one(scratch, Fetch(pins, ("thing_id", "board_id"), page=Page(2)))
    assert (plain(slice_.rows), slice_.more) == ([("x", "a"), ("x", "b")], True)
    slice_ = await one(scratch, Fetch(pins, ("thing_id", "board_id"), page=Page(2, after=("x", "b"))))
    assert (plain(slice_.rows), slice_.more) == ([("y", "a")], False)


async def test_deleting_an_edge_leaves_the_others_of_both_ends(scratch: Store) -> None:
    await put(scratch, pins, pin("a", "x", 1), pin("a", "y", 2), pin("b", "x", 3), pin("x", "a", 4))
    await scratch.answer(Delete(pins, [("x", "a"), ("missing", "a"), ("y", "missing")]))
    assert await everything(scratch, pins) == [pin("x", "a", 4), pin("b", "x", 3), pin("a", "y", 2)]


async def test_edges_of_odd_keys(scratch: Store) -> None:
    odd = ["9007199254740993", "two words", "a:b/c", "'\"\\", "$x", "{}", "\U0001f600", "%"]
    await put(scratch, pins, *(pin(a, b, i) for i, (a, b) in enumerate(zip(odd, odd[::-1], strict=True))))
    slices = await scratch.answer(Fetch(pins, ("thing_id",), Match("board_id", odd), page=Page(1), count=True))
    assert same(answered(slices, counted=True), {a: ([(b,)], False, 1) for a, b in zip(odd, odd[::-1], strict=True)})


async def test_thousands_of_edges_in_one_call(scratch: Store) -> None:
    await put(scratch, pins, *(pin(f"b{i % 100}", f"t{i // 100:03}", i) for i in range(2_000)))
    fetch = Fetch(pins, ("thing_id", "place"), Match("board_id", ["b7", "b99"]), order=(Order("place", True),), page=Page(2), count=True)
    assert answered(await scratch.answer(fetch), counted=True) == {
        "b7": ([("t019", 1907), ("t018", 1807)], True, 20),
        "b99": ([("t019", 1999), ("t018", 1899)], True, 20),
    }
