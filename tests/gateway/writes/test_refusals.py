"""What a transaction refuses, and that nothing is left of it then; what happens after one."""

from __future__ import annotations

from typing import cast

import pytest

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
    write,
)

LETTER = {"id": "1", "person_id": "ada", "text": "t"}


# -------------------------------------------------------------------------------------------------------------- refused


async def test_two_stores_in_one_transaction_are_refused(home: Stores) -> None:
    expected = (
        "the transaction of the store home: expected requests of that store alone, got one of people in away. One transaction is one "
        "store's: what belongs to others is delivered from the outbox (replicate, cascade, follow_up)"
    )
    before = await contents(home)
    others: list[Step] = [lambda tx: tx.insert(AWAY, ADA), lambda tx: tx.get(AWAY, "ada"), lambda tx: tx.ask(Get(AWAY, ("id",), ["ada"]))]
    for other in others:
        with pytest.raises(StoreMisbehaved) as caught:
            await write(context(home), lambda tx: tx.insert(PEOPLE, ADA), other)
        assert caught.value.message == expected
    assert await contents(home) == before


async def test_a_taken_key_and_a_taken_value_are_conflicts_and_nothing_is_written(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    before = await contents(home)
    taken: list[Step] = [lambda tx: tx.insert(PEOPLE, ADA), lambda tx: tx.insert(PEOPLE, {**BOB, "email": "ada@home"})]
    for insert in taken:
        with pytest.raises(Conflict):
            await write(ctx, lambda tx: tx.insert(LETTERS, LETTER), insert)
    assert await contents(home) == before


async def test_what_failed_ends_the_transaction_though_somebody_caught_it(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    before = await contents(home)

    async def caught(tx: Transaction) -> None:
        with pytest.raises(Conflict):
            await tx.insert(PEOPLE, ADA)
        expected = r"^the transaction of the store home: expected nothing after what failed in it \(Conflict\), got bump of crossgraph_"
        with pytest.raises(StoreMisbehaved, match=expected):
            await tx.insert(PEOPLE, BOB)

    with pytest.raises(Conflict):
        await write(ctx, lambda tx: tx.insert(LETTERS, LETTER), caught)
    assert await contents(home) == before


async def test_nothing_is_asked_after_the_end(home: Stores) -> None:
    async with context(home).transaction("home") as tx:
        pass
    with pytest.raises(StoreMisbehaved, match=r"^the transaction of the store home: expected no bump after its end$"):
        await tx.insert(PEOPLE, ADA)


async def test_rows_of_an_insert_that_cannot_be(home: Stores) -> None:
    ctx = context(home)
    before = await contents(home)
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
    assert await contents(home) == before


async def test_updates_that_cannot_be(home: Stores) -> None:
    ctx = context(home)
    with pytest.raises(StoreMisbehaved, match=r"^an update of people: expected columns that are not of its key, got 'id'$"):
        async with ctx.transaction("home") as tx:
            await tx.update(PEOPLE, "ada", {"id": "bob"})
    with pytest.raises(LookupError, match=r"^collection people has no column 'nick'"):
        async with ctx.transaction("home") as tx:
            await tx.update(PEOPLE, "ada", {"nick": "bob"})


async def test_deliveries_that_cannot_be(home: Stores) -> None:
    before = await contents(home)
    expected = r"^a delivery of people: expected a follow-up that the graph declares for it \(welcome\), got 'people>people'$"
    with pytest.raises(StoreMisbehaved, match=expected):
        async with context(home).transaction("home") as tx:
            tx.deliver("people>people", PEOPLE, "ada")
    with pytest.raises(StoreMisbehaved, match=r"declares for it \(it has none\), got 'welcome'$"):
        async with context(home, replicate(PEOPLE, to=AWAY)).transaction("home") as tx:
            tx.deliver("welcome", PEOPLE, "ada")
    expected = r"^a delivery to welcome: expected a row of people that this transaction writes, got 'bob'$"

    async def deliver(tx: Transaction) -> None:
        tx.deliver("welcome", PEOPLE, "bob")

    with pytest.raises(StoreMisbehaved, match=expected):
        await write(context(home), lambda tx: tx.insert(PEOPLE, ADA), deliver)
    assert await contents(home) == before


# ----------------------------------------------------------------------------------------------------------- afterwards


async def fail(_: Transaction) -> None:
    raise ZeroDivisionError


async def test_a_commit_wakes_who_waits_and_a_rollback_does_not(home: Stores) -> None:
    ctx = context(home)
    with listening(["home"]) as first, listening(["twin"]) as second:
        with pytest.raises(ZeroDivisionError):
            await write(ctx, lambda tx: tx.insert(PEOPLE, ADA), fail)
        assert not first.is_set()
        assert ctx.committed == ()
        async with ctx.transaction("home") as tx:
            await tx.insert(TWIN, {"id": "1", "text": "t"})
            assert not first.is_set()
        assert first.is_set()
        assert second.is_set()


async def test_its_calls_are_counted_and_traced(home: Stores) -> None:
    ctx = context(home, trace=[])
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
    assert home.calls["home.people"] == 1
    assert home.calls["home.crossgraph_versions"] == 1


async def test_a_second_write_does_not_ask_for_the_epoch_again(home: Stores) -> None:
    ctx = context(home)
    for person in (ADA, BOB):
        async with ctx.transaction("home") as tx:
            await tx.insert(PEOPLE, person)
    assert home.calls["home.crossgraph_leases"] == 1


async def test_what_was_read_before_is_forgotten(home: Stores) -> None:
    ctx = context(home)
    ctx.key_loaders[PEOPLE, "id"] = object()
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    assert not ctx.key_loaders


async def test_a_store_that_cannot_transact_is_refused() -> None:
    stores = Stores({"plain": cast("Store", _Plain())})
    with pytest.raises(AbilityMissing, match=r"^a transaction: expected a store that can transact, got plain of kind plain, which "):
        async with context(stores).transaction("plain"):
            pass
    with pytest.raises(LookupError, match=r"^there is no store 'nowhere'"):
        context(stores).transaction("nowhere")


class _Plain:
    kind = "plain"


def test_the_tables_of_a_store_are_the_same_each_time() -> None:
    assert tables_of("home") is TABLES
