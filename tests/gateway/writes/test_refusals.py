"""What a transaction refuses, and that nothing is left of it then; what happens after one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from gateway.errors import AbilityMissing, BadUserInput, Conflict, StoreMisbehaved
from gateway.stores import Stores
from gateway.stores.base import Get, Store
from gateway.writes.declarations import replicate
from gateway.writes.tables import tables_of
from gateway.writes.transaction import Transaction
from gateway.writes.wake import listening
from tests.gateway.writes.world import (
    ADA,
    AWAY,
    BOB,
    LETTERS,
    PEOPLE,
    TABLES,
    TWIN,
    Step,
    contents,
    context,
    stores_of,
    transacting,
    write,
)


@pytest_asyncio.fixture(params=transacting())
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    async with stores_of(request.param) as stores:
        yield stores


LETTER = {"id": "1", "person_id": "ada", "text": "t"}


# -------------------------------------------------------------------------------------------------------------- refused


async def test_two_stores_in_one_transaction_are_refused(stores: Stores) -> None:
    expected = (
        "the transaction of the store home: expected requests of that store alone, got one of people in away. One transaction is one "
        "store's: what belongs to others is delivered from the outbox (replicate, cascade, follow_up)"
    )
    before = await contents(stores)
    others: list[Step] = [lambda tx: tx.insert(AWAY, ADA), lambda tx: tx.get(AWAY, "ada"), lambda tx: tx.ask(Get(AWAY, ("id",), ["ada"]))]
    for other in others:
        with pytest.raises(StoreMisbehaved) as caught:
            await write(context(stores), lambda tx: tx.insert(PEOPLE, ADA), other)
        assert caught.value.message == expected
    assert await contents(stores) == before


async def test_a_taken_key_and_a_taken_value_are_conflicts_and_nothing_is_written(stores: Stores) -> None:
    ctx = context(stores)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    before = await contents(stores)
    for taken in (ADA, {**BOB, "email": "ada@home"}):
        with pytest.raises(Conflict):
            await write(ctx, lambda tx: tx.insert(LETTERS, LETTER), lambda tx, taken=taken: tx.insert(PEOPLE, taken))
    assert await contents(stores) == before


async def test_what_failed_ends_the_transaction_though_somebody_caught_it(stores: Stores) -> None:
    ctx = context(stores)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    before = await contents(stores)

    async def caught(tx: Transaction) -> None:
        with pytest.raises(Conflict):
            await tx.insert(PEOPLE, ADA)
        expected = r"^the transaction of the store home: expected nothing after what failed in it \(Conflict\), got bump of crossgraph_"
        with pytest.raises(StoreMisbehaved, match=expected):
            await tx.insert(PEOPLE, BOB)

    with pytest.raises(Conflict):
        await write(ctx, lambda tx: tx.insert(LETTERS, LETTER), caught)
    assert await contents(stores) == before


async def test_nothing_is_asked_after_the_end(stores: Stores) -> None:
    async with context(stores).transaction("home") as tx:
        pass
    with pytest.raises(StoreMisbehaved, match=r"^the transaction of the store home: expected no bump after its end$"):
        await tx.insert(PEOPLE, ADA)


async def test_rows_of_an_insert_that_cannot_be(stores: Stores) -> None:
    ctx = context(stores)
    before = await contents(stores)
    with pytest.raises(StoreMisbehaved, match=r"^an insert of people: expected rows of the same columns, id, name, got one of id$"):
        async with ctx.transaction("home") as tx:
            await tx.insert_many(PEOPLE, [{"id": "1", "name": "n"}, {"id": "2"}])
    with pytest.raises(StoreMisbehaved, match=r"^an insert of people: expected its key \(id\), as a managed collection's is not made by "):
        async with ctx.transaction("home") as tx:
            await tx.insert(PEOPLE, {"name": "n"})
    with pytest.raises(BadUserInput, match=r"^Two rows of people have the same key: expected a key of its own for each\.$"):
        async with ctx.transaction("home") as tx:
            await tx.insert_many(PEOPLE, [ADA, ADA])
    with pytest.raises(LookupError, match=r"^collection people has no column 'nick'; it has id, name, email, born, tags, more$"):
        async with ctx.transaction("home") as tx:
            await tx.insert(PEOPLE, {"id": "1", "nick": "n"})
    assert await contents(stores) == before


async def test_updates_that_cannot_be(stores: Stores) -> None:
    ctx = context(stores)
    with pytest.raises(StoreMisbehaved, match=r"^an update of people: expected columns that are not of its key, got 'id'$"):
        async with ctx.transaction("home") as tx:
            await tx.update(PEOPLE, "ada", {"id": "bob"})
    with pytest.raises(LookupError, match=r"^collection people has no column 'nick'"):
        async with ctx.transaction("home") as tx:
            await tx.update(PEOPLE, "ada", {"nick": "bob"})


async def test_deliveries_that_cannot_be(stores: Stores) -> None:
    before = await contents(stores)
    expected = r"^a delivery of people: expected a follow-up that the graph declares for it \(welcome\), got 'people>people'$"
    with pytest.raises(StoreMisbehaved, match=expected):
        async with context(stores).transaction("home") as tx:
            tx.deliver("people>people", PEOPLE, "ada")
    with pytest.raises(StoreMisbehaved, match=r"declares for it \(it has none\), got 'welcome'$"):
        async with context(stores, replicate(PEOPLE, to=AWAY)).transaction("home") as tx:
            tx.deliver("welcome", PEOPLE, "ada")
    expected = r"^a delivery to welcome: expected a row of people that this transaction writes, got 'bob'$"

    async def deliver(tx: Transaction) -> None:
        tx.deliver("welcome", PEOPLE, "bob")

    with pytest.raises(StoreMisbehaved, match=expected):
        await write(context(stores), lambda tx: tx.insert(PEOPLE, ADA), deliver)
    assert await contents(stores) == before


# ----------------------------------------------------------------------------------------------------------- afterwards


async def fail(_: Transaction) -> None:
    raise ZeroDivisionError


async def test_a_commit_wakes_who_waits_and_a_rollback_does_not(stores: Stores) -> None:
    ctx = context(stores)
    with listening(["home"]) as home, listening(["twin"]) as twin:
        with pytest.raises(ZeroDivisionError):
            await write(ctx, lambda tx: tx.insert(PEOPLE, ADA), fail)
        assert not home.is_set()
        assert ctx.committed == ()
        async with ctx.transaction("home") as tx:
            await tx.insert(TWIN, {"id": "1", "text": "t"})
            assert not home.is_set()
        assert home.is_set()
        assert twin.is_set()


async def test_its_calls_are_counted_and_traced(stores: Stores) -> None:
    ctx = context(stores, trace=[])
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    assert ctx.trace is not None
    told = [(call.collection, call.operation) for call in ctx.trace]
    assert told == [
        ("crossgraph_versions", "bump"),
        ("people", "insert"),
        ("crossgraph_leases", "read"),
        ("crossgraph_outbox", "insert"),
    ]
    assert stores.calls["home.people"] == 1
    assert stores.calls["home.crossgraph_versions"] == 1


async def test_a_second_write_does_not_ask_for_the_epoch_again(stores: Stores) -> None:
    ctx = context(stores)
    for person in (ADA, BOB):
        async with ctx.transaction("home") as tx:
            await tx.insert(PEOPLE, person)
    assert stores.calls["home.crossgraph_leases"] == 1


async def test_what_was_read_before_is_forgotten(stores: Stores) -> None:
    ctx = context(stores)
    ctx.key_loaders[PEOPLE, "id"] = object()
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    assert not ctx.key_loaders


async def test_a_store_that_cannot_transact_is_refused() -> None:
    async with stores_of("sqlite") as stores:
        stores._stores["plain"] = cast("Store", _Plain())
        with pytest.raises(AbilityMissing, match=r"^a transaction: expected a store that can transact, got plain of kind plain, which "):
            async with context(stores).transaction("plain"):
                pass
    with pytest.raises(LookupError, match=r"^there is no store 'nowhere'"):
        context(stores).transaction("nowhere")


class _Plain:
    kind = "plain"

    async def close(self) -> None: ...


def test_the_tables_of_a_store_are_the_same_each_time() -> None:
    assert tables_of("home") is TABLES
