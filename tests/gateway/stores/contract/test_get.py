"""Rows by a unique column: at most one per key, and only the asked columns."""

from __future__ import annotations

import pytest

from gateway.stores import Stores
from gateway.stores.base import KEYS_PER_CALL, Fetch, Get, Match, Page, Store, Type
from tests.gateway.stores.contract.oracle import answered, plain, put, same
from tests.gateway.stores.contract.typed import COLUMNS
from tests.gateway.stores.contract.world import ODD_KEYS, THING, THINGS, drafts, record, things


async def test_missing_keys_are_absent_and_their_neighbours_are_there(store: Store) -> None:
    rows = await store.answer(Get(things, ("id", "name"), ["m00", "nobody", "only"]))
    assert {key: tuple(row) for key, row in rows.items()} == {"m00": ("m00", "b"), "only": ("only", "lonely")}


async def test_no_keys_give_no_rows(store: Store) -> None:
    assert dict(await store.answer(Get(things, ("id",), []))) == {}


async def test_keys_that_are_all_missing_give_no_rows(store: Store) -> None:
    assert dict(await store.answer(Get(things, ("id",), ["nobody", "no one", ""]))) == {}


async def test_columns_come_in_the_order_asked(store: Store) -> None:
    rows = await store.answer(Get(things, ("size", "id", "note", "done"), ["m01"]))
    assert same(tuple(rows["m01"]), (-1, "m01", "x", False))


async def test_a_column_of_its_own_need_not_be_asked(store: Store) -> None:
    rows = await store.answer(Get(things, ("name",), ["m00", "m01"]))
    assert {key: tuple(row) for key, row in rows.items()} == {"m00": ("b",), "m01": ("a",)}


@pytest.mark.parametrize("name", things.names)
async def test_each_column_alone(store: Store, name: str) -> None:
    keys = [thing["id"] for thing in THINGS]
    rows = await store.answer(Get(things, (name,), keys))
    assert same({key: tuple(rows[key]) for key in keys}, {key: (THING[key][name],) for key in keys})


async def test_all_columns_of_all_rows(store: Store) -> None:
    keys = [thing["id"] for thing in THINGS]
    rows = await store.answer(Get(things, things.names, keys))
    assert same([tuple(rows[key]) for key in keys], [tuple(THING[key].values()) for key in keys])


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_a_key_is_that_text_and_no_other(store: Store, key: str) -> None:
    rows = await store.answer(Get(things, ("id", "size"), [key]))
    assert same({k: tuple(row) for k, row in rows.items()}, {key: (key, ODD_KEYS.index(key))})


async def test_all_odd_keys_in_one_call(store: Store) -> None:
    rows = await store.answer(Get(things, ("id",), list(ODD_KEYS)))
    assert same({key: tuple(rows[key]) for key in sorted(rows)}, {key: (key,) for key in sorted(ODD_KEYS)})


async def test_by_another_unique_column(store: Store) -> None:
    rows = await store.answer(Get(things, ("id", "code"), ["code of m00", "code of nobody", "code of only"], column="code"))
    assert {key: tuple(row) for key, row in rows.items()} == {
        "code of m00": ("m00", "code of m00"),
        "code of only": ("only", "code of only"),
    }


async def test_by_another_unique_column_that_is_not_asked(store: Store) -> None:
    rows = await store.answer(Get(things, ("name",), ["code of only"], column="code"))
    assert {key: tuple(row) for key, row in rows.items()} == {"code of only": ("lonely",)}


async def test_as_many_keys_as_one_call_may_have(scratch: Store) -> None:
    keys = [f"k{i}" for i in range(KEYS_PER_CALL)]
    await put(scratch, drafts, *(record(key, size=i) for i, key in enumerate(keys)))
    rows = await scratch.answer(Get(drafts, ("size",), keys))
    assert {key: tuple(row) for key, row in rows.items()} == {key: (i,) for i, key in enumerate(keys)}


class TestThroughStores:
    """``Stores`` makes keys unique and splits them, so callers need not know how many one call may have."""

    async def test_2500_keys_are_three_calls(self, scratch: Store) -> None:
        await put(scratch, drafts, *(record(f"k{i}", size=i) for i in range(2_500)))
        stores = Stores({"tested": scratch}, timeout_s=20)
        keys = [f"k{i}" for i in range(2_500)]
        rows = await stores.ask(Get(drafts, ("size",), keys))
        assert {key: tuple(row) for key, row in rows.items()} == {f"k{i}": (i,) for i in range(2_500)}
        assert stores.calls == {"tested.drafts": 3}

    async def test_2500_parents_are_three_calls(self, scratch: Store) -> None:
        await put(scratch, drafts, *(record(f"k{i}", parent_id=f"p{i}", size=i) for i in range(2_500)))
        stores = Stores({"tested": scratch}, timeout_s=20)
        fetch = Fetch(drafts, ("size",), Match("parent_id", [f"p{i}" for i in range(2_500)]), page=Page(1), count=True)
        assert answered(await stores.ask(fetch), counted=True) == {f"p{i}": ([(i,)], False, 1) for i in range(2_500)}
        assert stores.calls == {"tested.drafts": 3}

    async def test_keys_that_repeat_are_asked_once(self, store: Store) -> None:
        stores = Stores({"tested": store}, timeout_s=20)
        rows = await stores.ask(Get(things, ("id",), ["m00", "m01", "m00"] * 1_000))
        assert plain(rows.values()) == [("m00",), ("m01",)] or plain(rows.values()) == [("m01",), ("m00",)]
        assert stores.calls == {"tested.things": 1}

    async def test_no_keys_are_no_call(self, store: Store) -> None:
        stores = Stores({"tested": store})
        assert dict(await stores.ask(Get(things, ("id",), []))) == {}
        assert dict(await stores.ask(Fetch(things, ("id",), Match("parent_id", [])))) == {}
        assert stores.calls.total() == 0


def test_the_world_has_a_column_of_every_type_with_nulls_and_without() -> None:
    others = {type_ for column in COLUMNS.values() for type_ in (column.type,)}  # which have collections of their own (typed.py)
    own = {column.type for column in things.columns}
    assert own | others == set(Type)
    assert {(c.type, c.nullable) for c in things.columns} == {(type_, nullable) for type_ in own for nullable in (False, True)}
    assert all(any(t[c.name] is None for t in THINGS) == c.nullable for c in things.columns)
