"""What the memory store has beyond the contract: faults and a record of calls for tests, and rows that belong to it alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.stores.base import (
    Aggregate,
    Delete,
    Fetch,
    Get,
    Insert,
    Interval,
    Match,
    Measure,
    Native,
    NativeCall,
    Order,
    Page,
    Remove,
    Request,
    Update,
    Upsert,
    Within,
)
from gateway.stores.memory.store import CALLS_KEPT, MemoryStore
from gateway.stores.memory.table import bucket
from resolvers.users import users

ADA = ("6", "Ada", "ada@example.org", True, None, None, ["en"], "2010-03-08T23:51:42.175Z", "2010-03-08T23:51:42.175Z")


async def test_calls_are_recorded_in_order() -> None:
    store = MemoryStore("users")
    asked = [
        Upsert(users, [ADA]),
        Get(users, ("name",), ["6"]),
        Fetch(users, ("name",)),
        Aggregate(users, (), (Measure("count"),)),
        Delete(users, [("6",)]),
    ]
    await store.answer(Upsert(users, [ADA]))
    await store.answer(Get(users, ("name",), ["6"]))
    await store.answer(Fetch(users, ("name",)))
    await store.answer(Aggregate(users, (), (Measure("count"),)))
    await store.answer(Delete(users, [("6",)]))
    assert store.calls == asked


async def test_the_record_of_calls_does_not_grow_without_end() -> None:
    store = MemoryStore("users")
    for _ in range(CALLS_KEPT + 10):
        await store.answer(Get(users, ("name",), []))
    assert len(store.calls) == CALLS_KEPT


async def test_calls_of_a_transaction_are_recorded_as_others_are_and_fail_while_told_to() -> None:
    store = MemoryStore("users")
    asked: list[Request[Any]] = [Insert(users, users.names, [ADA]), Within(Get(users, ("name",), ["6"])), Remove(users, ("6",))]

    async def work() -> None:
        async with store.transaction() as transaction:
            assert await transaction.answer(asked[0]) == [ADA]
            assert await transaction.answer(asked[1]) == {"6": ("Ada",)}
            store.fail_with = StoreUnavailable("users")
            await transaction.answer(asked[2])

    with pytest.raises(StoreUnavailable):
        await work()
    store.fail_with = None
    assert store.calls == asked
    assert await store.answer(Get(users, ("name",), ["6"])) == {}


async def test_who_writes_waits_for_a_transaction_and_who_reads_does_not() -> None:
    store = MemoryStore("users")
    async with store.transaction() as transaction:
        await transaction.answer(Insert(users, users.names, [ADA]))
        task = asyncio.create_task(store.answer(Update(users, ("6",), (("name", "Lovelace"),))))
        for _ in range(10):
            assert await store.answer(Get(users, ("name",), ["6"])) == {}
            await asyncio.sleep(0)
        assert not task.done()
    assert await task is not None
    assert await store.answer(Get(users, ("name",), ["6"])) == {"6": ("Lovelace",)}


async def test_every_call_fails_while_told_to_and_is_recorded() -> None:
    store = MemoryStore("users")
    await store.answer(Upsert(users, [ADA]))
    native = Native("none", "users", ())
    store.fail_with = StoreUnavailable("users")
    for call in (
        store.ping(),
        store.migrate("users", [users], None),
        store.answer(Get(users, ("name",), ["6"])),
        store.answer(Fetch(users, ("name",))),
        store.answer(Aggregate(users, (), ())),
        store.answer(NativeCall(native, [], {})),
        store.answer(Upsert(users, [])),
        store.answer(Delete(users, [("6",)])),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    assert len(store.calls) == 7
    store.fail_with = None
    assert await store.answer(Get(users, ("name",), ["6"])) == {"6": ("Ada",)}


async def test_a_store_that_fails_opens_and_closes() -> None:
    store = MemoryStore("users")
    store.fail_with = StoreUnavailable("users")
    await store.open()
    await store.close()


async def test_nulls_are_kept_in_columns_that_are_not_nullable() -> None:
    store = MemoryStore("users")
    await store.answer(Upsert(users, [("6", *(None,) * (len(users.columns) - 1))]))
    assert await store.answer(Get(users, ("name", "active", "languages"), ["6"])) == {"6": (None, None, None)}


async def test_stores_of_one_url_share_nothing() -> None:
    one, other = MemoryStore("users", "memory://shared"), MemoryStore("users", "memory://shared")
    await one.answer(Upsert(users, [ADA]))
    assert await other.answer(Fetch(users, ("id",))) == {}


async def test_a_row_of_the_wrong_length_is_refused_and_nothing_is_written() -> None:
    store = MemoryStore("users")
    with pytest.raises(ValueError, match="zip"):
        await store.answer(Upsert(users, [ADA, ADA[:-1]]))
    assert await store.answer(Fetch(users, ("id",))) == {}


async def test_a_column_that_is_not_there_is_named() -> None:
    store = MemoryStore("users")
    with pytest.raises(LookupError, match="collection users has no column 'nmae'; it has id, name"):
        await store.answer(Get(users, ("nmae",), ["6"]))


async def test_a_native_query_may_ask_for_tables_that_hold_nothing() -> None:
    native = Native("all", "users", (), {"memory": lambda table, keys, arguments: [(key, len(table("nothing"))) for key in keys]})
    assert await MemoryStore("users").answer(NativeCall(native, ["6"], {})) == {"6": [(0,)]}


async def test_what_was_derived_is_forgotten_by_each_write() -> None:
    store = MemoryStore("users")
    fetch = Fetch(users, ("name",), Match("email", ["ada@example.org"]), order=(Order("name"),), page=Page(5), count=True)
    count = Native("count", "users", (), {"memory": lambda table, keys, arguments: [("all", len(table("users")))]})
    for name in ("Ada", "Augusta"):
        await store.answer(Upsert(users, [(ADA[0], name, *ADA[2:])]))
        assert await store.answer(fetch) == {"ada@example.org": ([(name,)], False, 1)}
        assert await store.answer(Get(users, ("name",), ["ada@example.org"], "email")) == {"ada@example.org": (name,)}
        assert await store.answer(NativeCall(count, [], {})) == {"all": [(1,)]}
    await store.answer(Delete(users, [("6",)]))
    assert await store.answer(fetch) == {}
    assert await store.answer(NativeCall(count, [], {})) == {"all": [(0,)]}


@pytest.mark.parametrize(
    ("time", "interval", "start"),
    [
        ("2021-01-03T23:59:59.999Z", "hour", "2021-01-03T23:00:00.000Z"),
        ("2021-01-03T23:59:59.999Z", "day", "2021-01-03T00:00:00.000Z"),
        ("2021-01-03T23:59:59.999Z", "week", "2020-12-28T00:00:00.000Z"),
        ("2021-01-04T00:00:00.000Z", "week", "2021-01-04T00:00:00.000Z"),
        ("2021-01-31T23:59:59.999Z", "month", "2021-01-01T00:00:00.000Z"),
        ("0001-01-03T00:00:00.000Z", "week", "0001-01-01T00:00:00.000Z"),
        (None, "day", None),
    ],
)
def test_buckets(time: str | None, interval: Interval, start: str | None) -> None:
    assert bucket(time, interval) == start
