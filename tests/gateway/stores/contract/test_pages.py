"""A page per parent in one call: order, both directions, cursors, what is left, totals."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.stores.base import EMPTY, Fetch, Match, Order, Page, Store
from tests.gateway.stores.contract.oracle import answered, column, cursor, fetched, in_order, one, plain, put, same
from tests.gateway.stores.contract.world import ODD_KEYS, THINGS, drafts, record, things

PARENTS = ["mother", "father", "nobody", "aunt"]
FAMILY = [thing for thing in THINGS if thing["parent_id"] == "mother"]

SORTABLE = [c.name for c in things.columns if c.type not in ("json", "texts")]
# Each type at least once, in both directions, with nulls and without, alone and mixed.
ORDERS = [
    (Order("note"),),
    (Order("note", True),),
    (Order("score", True),),
    (Order("ratio"),),
    (Order("seen_at", True),),
    (Order("due"),),
    (Order("maybe", True),),
    (Order("id", True),),
    (Order("note"), Order("score", True)),
    (Order("maybe", True), Order("ratio", True), Order("name")),
    (Order("done"), Order("seen_at", True), Order("id", True)),
    (Order("name"), Order("id"), Order("size")),  # the key makes it total: what follows does not count
    (Order("score"), Order("score", True)),  # the second does not count
    (),
]


def name_of(order: tuple[Order, ...]) -> str:
    return ",".join(("-" if item.descending else "") + item.column for item in order) or "key"


every_order = pytest.mark.parametrize("order", ORDERS, ids=name_of)


def test_without_what_matches_there_is_one_group() -> None:
    assert EMPTY == ((), False, 0)


async def test_all_rows_without_a_page(store: Store) -> None:
    slice_ = await one(store, Fetch(things, ("id",)))
    assert column(slice_.rows) == sorted(thing["id"] for thing in THINGS)
    assert not slice_.more


async def test_the_default_order_is_the_key(store: Store) -> None:
    slice_ = await one(store, Fetch(things, ("id",), page=Page(5)))
    assert column(slice_.rows) == sorted(thing["id"] for thing in THINGS)[:5]


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("name", SORTABLE)
async def test_rows_come_in_the_order_of_each_column(store: Store, name: str, descending: bool) -> None:
    fetch = Fetch(things, ("id", name), order=(Order(name, descending),))
    assert same(answered(await store.answer(fetch)), fetched(THINGS, fetch))


@every_order
async def test_rows_come_in_the_order_asked(store: Store, order: tuple[Order, ...]) -> None:
    fetch = Fetch(things, ("id", *(item.column for item in order)), order=order)
    assert same(answered(await store.answer(fetch)), fetched(THINGS, fetch))


@every_order
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
async def test_each_parent_has_a_page_of_its_own(store: Store, order: tuple[Order, ...], backward: bool) -> None:
    fetch = Fetch(things, ("id", "name"), Match("parent_id", PARENTS), order=order, page=Page(4, backward), count=True)
    assert same(answered(await store.answer(fetch), counted=True), fetched(THINGS, fetch))


@every_order
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
async def test_a_page_stands_strictly_between_its_cursors(store: Store, order: tuple[Order, ...], backward: bool) -> None:
    """Cursors at the first row, within ties, before, at and after the first null, at the last row; alone and together."""
    family = in_order(FAMILY, things, order)
    places = [cursor(family[i], things, order) for i in (0, 11, 15, 16, 17, len(family) - 1)]
    pages = [
        *(Page(3, backward, after=place) for place in places),
        *(Page(3, backward, before=place) for place in places),
        *(Page(3, backward, after=places[i], before=places[j]) for i, j in [(0, 2), (1, 4), (4, 4), (5, 0)]),
    ]
    for page in pages:
        fetch = Fetch(things, ("id",), Match("parent_id", PARENTS), order=order, page=page)
        assert same(answered(await store.answer(fetch)), fetched(THINGS, fetch)), page


@every_order
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
async def test_walking_all_pages_gives_the_whole_list(store: Store, order: tuple[Order, ...], backward: bool) -> None:
    family = in_order(FAMILY, things, order)
    by_id = {thing["id"]: thing for thing in FAMILY}
    seen: list[str] = []
    place = None
    while True:
        page = Page(5, backward, before=place) if backward else Page(5, after=place)
        slice_ = (await store.answer(Fetch(things, ("id",), Match("parent_id", ["mother"]), order=order, page=page)))["mother"]
        rows = column(slice_.rows)
        seen = rows + seen if backward else seen + rows
        if not slice_.more:
            break
        place = cursor(by_id[rows[0 if backward else -1]], things, order)
    assert seen == [thing["id"] for thing in family]


@pytest.mark.parametrize("limit", [0, 1, 5, 6, 7, 100])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
async def test_more_is_exact(store: Store, limit: int, backward: bool) -> None:
    slices = await store.answer(Fetch(things, ("id",), Match("parent_id", ["father"]), page=Page(limit, backward)))
    family = [f"f{i}" for i in range(6)]
    assert column(slices["father"].rows) == (family[max(0, 6 - limit) :] if backward else family[:limit])
    assert slices["father"].more is (limit < 6)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
async def test_an_empty_page_knows_whether_there_is_more(store: Store, backward: bool) -> None:
    end = ("f0",) if backward else ("f5",)
    page = Page(0, backward, before=end) if backward else Page(0, after=end)
    at_the_end = await store.answer(Fetch(things, ("id",), Match("parent_id", PARENTS), page=page))
    assert answered(at_the_end).get("father") is None
    inside = Page(0, backward, after=("f2",), before=("f4",))
    assert answered(await store.answer(Fetch(things, ("id",), Match("parent_id", PARENTS), page=inside))) == {"father": ([], True, None)}


async def test_an_empty_page_of_everything(store: Store) -> None:
    slice_ = await one(store, Fetch(things, ("id",), page=Page(0), count=True))
    assert (list(slice_.rows), slice_.more, slice_.total) == ([], True, len(THINGS))


@pytest.mark.parametrize("page", [None, Page(2), Page(2, backward=True), Page(0), Page(2, after=("f4",)), Page(1, before=("f0",))], ids=str)
async def test_the_total_counts_all_that_match_whatever_the_page(store: Store, page: Page | None) -> None:
    slices = await store.answer(Fetch(things, ("id",), Match("parent_id", ["father", "nobody"]), page=page, count=True))
    assert slices.get("father", EMPTY).total == 6
    assert slices.get("nobody", EMPTY) in (EMPTY, ([], False, 0))


async def test_the_total_of_nothing_is_zero(store: Store) -> None:
    slice_ = await one(store, Fetch(drafts, ("id",), page=Page(2), count=True))
    assert (list(slice_.rows), slice_.more, slice_.total) == ([], False, 0)


async def test_a_total_that_is_not_asked_is_not_given(store: Store) -> None:
    slices = await store.answer(Fetch(things, ("id",), Match("parent_id", ["father"]), page=Page(2)))
    assert slices["father"].total is None


async def test_parents_with_odd_keys_have_their_own_children(store: Store) -> None:
    slices = await store.answer(Fetch(things, ("id",), Match("parent_id", list(ODD_KEYS)), page=Page(10), count=True))
    assert same(answered(slices, counted=True), {key: ([(f"child of {key}",)], False, 1) for key in ODD_KEYS[:40]})


async def test_no_parents_have_no_pages(store: Store) -> None:
    assert dict(await store.answer(Fetch(things, ("id",), Match("parent_id", []), page=Page(10)))) == {}


async def test_rows_without_a_parent_belong_to_none_that_is_asked(store: Store) -> None:
    slices = await store.answer(Fetch(things, ("id",), Match("parent_id", ["", "null", "None"]), page=Page(10)))
    assert answered(slices) == {key: ([(f"child of {key}",)], False, None) for key in ("null", "None")}


async def test_rows_by_key_can_be_fetched_too(store: Store) -> None:
    fetch = Fetch(things, ("name",), Match("id", ["m00", "nobody", "only"]), page=Page(1))
    assert answered(await store.answer(fetch)) == {"m00": ([("b",)], False, None), "only": ([("lonely",)], False, None)}


async def test_the_parent_and_the_order_need_not_be_asked(store: Store) -> None:
    fetch = Fetch(things, ("size",), Match("parent_id", ["father"]), order=(Order("name", True), Order("score", True)), page=Page(3))
    assert answered(await store.answer(fetch)) == {"father": ([(5,), (3,), (1,)], True, None)}


async def test_children_of_a_thousand_parents_in_one_call(scratch: Store) -> None:
    await put(scratch, drafts, *(record(f"{parent}-{n}", parent_id=f"p{parent}", size=n) for parent, n in product(range(1_000), range(3))))
    fetch = Fetch(
        drafts, ("size",), Match("parent_id", [f"p{i}" for i in range(1_000)]), order=(Order("size", True),), page=Page(2), count=True
    )
    assert answered(await scratch.answer(fetch), counted=True) == {f"p{i}": ([(2,), (1,)], True, 3) for i in range(1_000)}


class TestCursorsStayRight:
    """A cursor holds values, not a row: it stays right when rows are inserted or deleted around it, or at it."""

    order = (Order("score", True),)

    async def test_when_its_row_is_deleted(self, scratch: Store) -> None:
        await put(scratch, drafts, *(record(key, score=score) for key, score in [("a", 3), ("c", 2), ("d", None)]))
        assert await self.after(scratch, (2, "b")) == ["c", "d"]
        assert await self.before(scratch, (2, "b")) == ["a"]
        assert await self.after(scratch, (None, "c")) == ["d"]
        assert await self.before(scratch, (None, "c")) == ["a", "c"]

    async def test_when_rows_are_inserted_around_it(self, scratch: Store) -> None:
        await put(scratch, drafts, *(record(key, score=score) for key, score in [("a", 3), ("b", 2), ("d", None)]))
        assert await self.after(scratch, (2, "b")) == ["d"]
        await put(scratch, drafts, *(record(key, score=score) for key, score in [("aa", 2), ("bb", 2), ("z", 4), ("c", None), ("y", 1)]))
        assert await self.after(scratch, (2, "b")) == ["bb", "y", "c", "d"]
        assert await self.before(scratch, (2, "b")) == ["z", "a", "aa"]

    async def test_when_nothing_but_nulls_is_left(self, scratch: Store) -> None:
        await put(scratch, drafts, record("a"), record("b"))
        assert await self.after(scratch, (-(2**63), "zzz")) == ["a", "b"]
        assert await self.before(scratch, (0, "a")) == []
        assert await self.before(scratch, (None, "b")) == ["a"]

    async def after(self, store: Store, place: tuple[object, ...]) -> list[object]:
        return column((await one(store, Fetch(drafts, ("id",), order=self.order, page=Page(10, after=place)))).rows)

    async def before(self, store: Store, place: tuple[object, ...]) -> list[object]:
        return column((await one(store, Fetch(drafts, ("id",), order=self.order, page=Page(10, backward=True, before=place)))).rows)


async def test_cursors_hold_floats_to_the_last_bit(scratch: Store) -> None:
    values = [-1e300, -0.1, 0.1, 0.1 + 0.2, 0.3, 1 / 3, 5e-324, 1e22, 2.0**53 + 2]
    await put(scratch, drafts, *(record(f"k{i}", weight=value) for i, value in enumerate(values)))
    for place in values:
        slice_ = await one(scratch, Fetch(drafts, ("weight",), order=(Order("weight"),), page=Page(10, after=(place, "z"))))
        assert same(plain(slice_.rows), [(value,) for value in sorted(values) if value > place])


async def test_cursors_hold_whole_numbers_of_64_bits(scratch: Store) -> None:
    values = [-(2**63), -(2**53) - 1, -1, 0, 2**53, 2**53 + 1, 2**53 + 2, 2**63 - 1]
    await put(scratch, drafts, *(record(f"k{i}", size=value) for i, value in enumerate(values)))
    for place in values:
        slice_ = await one(scratch, Fetch(drafts, ("size",), order=(Order("size"),), page=Page(10, after=(place, "z"))))
        assert same(plain(slice_.rows), [(value,) for value in values if value > place])
