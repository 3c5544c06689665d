"""Many-to-many: rows by the second of a pair, grouped by the first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.stores import Stores
from gateway.stores.base import KEYS_PER_CALL, PAIRS_PER_CALL, Compare, Fetch, Order, Page, Pairs, Store
from tests.gateway.stores.contract.oracle import answered, column, cursor, fetched, put, same
from tests.gateway.stores.contract.world import ODD_KEYS, THING, THINGS, drafts, record, things

PAIRS = [
    ("p", "m00"),
    ("p", "m05"),
    ("p", "m10"),
    ("p", "f1"),
    ("p", "missing"),
    ("q", "m05"),
    ("q", "only"),
    ("odd: '\U0001f600'", "9007199254740993"),
    ("odd: '\U0001f600'", "two words"),
    ("none", "missing"),
]
ORDER = (Order("score", descending=True), Order("name"))


async def test_rows_are_grouped_by_the_first_of_the_pair(store: Store) -> None:
    slices = await store.answer(Fetch(things, ("id",), Pairs("id", PAIRS)))
    assert answered(slices) == {
        "p": ([("f1",), ("m00",), ("m05",), ("m10",)], False, None),
        "q": ([("m05",), ("only",)], False, None),
        "odd: '\U0001f600'": ([("9007199254740993",), ("two words",)], False, None),
    }


async def test_a_row_may_belong_to_several_parents(store: Store) -> None:
    slices = await store.answer(Fetch(things, ("name", "id"), Pairs("id", [("a", "only"), ("b", "only")]), page=Page(1), count=True))
    assert answered(slices, counted=True) == {"a": ([("lonely", "only")], False, 1), "b": ([("lonely", "only")], False, 1)}


async def test_a_pair_that_repeats_gives_its_row_once(store: Store) -> None:
    fetch = Fetch(things, ("id",), Pairs("id", [("a", "only"), ("a", "m00"), ("a", "only")]), page=Page(5), count=True)
    assert answered(await store.answer(fetch), counted=True) == {"a": ([("m00",), ("only",)], False, 2)}


async def test_no_pairs_give_no_rows(store: Store) -> None:
    assert answered(await store.answer(Fetch(things, ("id",), Pairs("id", []), page=Page(5)))) == {}


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("limit", [0, 1, 2, 4, 5])
async def test_each_parent_has_a_page_of_its_own(store: Store, backward: bool, limit: int) -> None:
    fetch = Fetch(things, ("id",), Pairs("id", PAIRS), order=ORDER, page=Page(limit, backward), count=True)
    assert same(answered(await store.answer(fetch), counted=True), fetched(THINGS, fetch))


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
async def test_a_page_stands_between_its_cursors(store: Store, backward: bool) -> None:
    for key in ("m00", "m05", "f1", "9007199254740993"):
        place = cursor(THING[key], things, ORDER)
        for page in (Page(2, backward, after=place), Page(2, backward, before=place)):
            fetch = Fetch(things, ("id",), Pairs("id", PAIRS), order=ORDER, page=page)
            assert same(answered(await store.answer(fetch)), fetched(THINGS, fetch)), page


async def test_a_filter_holds_before_the_page_is_cut(store: Store) -> None:
    fetch = Fetch(things, ("id",), Pairs("id", PAIRS), Compare("parent_id", "eq", "mother"), ORDER, Page(2), count=True)
    assert same(answered(await store.answer(fetch), counted=True), fetched(THINGS, fetch))


async def test_the_second_of_the_pair_may_be_a_foreign_key(store: Store) -> None:
    fetch = Fetch(
        things, ("id",), Pairs("parent_id", [("x", "father"), ("x", "aunt"), ("y", "father")]), order=ORDER, page=Page(3), count=True
    )
    assert same(answered(await store.answer(fetch), counted=True), fetched(THINGS, fetch))


async def test_odd_keys_on_both_sides(store: Store) -> None:
    pairs = [(key, other) for key in ODD_KEYS for other in (key, ODD_KEYS[0])]
    fetch = Fetch(things, ("id",), Pairs("id", pairs), page=Page(5), count=True)
    assert same(answered(await store.answer(fetch), counted=True), fetched(THINGS, fetch))


async def test_as_many_pairs_as_one_call_may_have(scratch: Store) -> None:
    await put(scratch, drafts, *(record(f"k{i:03}", size=i) for i in range(500)))
    parents = PAIRS_PER_CALL // 100
    pairs = [(f"p{parent}", f"k{(parent + i * 3) % 500:03}") for parent in range(parents) for i in range(100)]
    fetch = Fetch(drafts, ("size",), Pairs("id", pairs), order=(Order("size", descending=True),), page=Page(2), count=True)
    tops = {f"p{p}": sorted(((p + i * 3) % 500 for i in range(100)), reverse=True)[:2] for p in range(parents)}
    assert answered(await scratch.answer(fetch), counted=True) == {p: ([(top,) for top in two], True, 100) for p, two in tops.items()}


async def test_a_parent_with_more_pairs_than_one_call_may_have_still_has_one_page(scratch: Store) -> None:
    await put(scratch, drafts, record("a", size=1), record("b", size=2), record("c", size=3))
    stores = Stores({"tested": scratch}, timeout_s=20)
    keys = ["a", *(f"none {i}" for i in range(3 * PAIRS_PER_CALL)), "b", "c"]
    pairs = Pairs("id", [*(("big", key) for key in keys), ("small", "a"), ("small", "none")])
    fetch = Fetch(drafts, ("id",), pairs, order=(Order("size", True),), page=Page(2), count=True)
    assert answered(await stores.ask(fetch), counted=True) == {"big": ([("c",), ("b",)], True, 3), "small": ([("a",)], False, 1)}
    assert stores.calls == {"tested.drafts": 4}
    back = replace(fetch, page=Page(2, backward=True), count=False)
    assert answered(await stores.ask(back)) == {"big": ([("b",), ("a",)], True, None), "small": ([("a",)], False, None)}
    whole = replace(fetch, columns=("size", "id"), page=None, count=False)
    assert answered(await stores.ask(whole)) == {"big": ([(3, "c"), (2, "b"), (1, "a")], False, None), "small": ([(1, "a")], False, None)}


async def test_pairs_of_more_parents_than_one_call_may_have(scratch: Store) -> None:
    await put(scratch, drafts, record("a"), record("b"))
    stores = Stores({"tested": scratch}, timeout_s=20)
    pairs = [(f"p{i}", key) for i in range(KEYS_PER_CALL * 2) for key in ("b", "a")]
    slices = await stores.ask(Fetch(drafts, ("id",), Pairs("id", pairs), page=Page(1)))
    assert {parent: (column(s.rows), s.more) for parent, s in slices.items()} == {f"p{i}": (["a"], True) for i in range(KEYS_PER_CALL * 2)}
    assert stores.calls == {"tested.drafts": 2}
