"""A transaction has what was written and what the log is told of it, in one commit."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Conflict
from gateway.stores import Stores
from gateway.stores.base import Delete, Get, Insert, Remove, Together, Update, Upsert
from gateway.writes.tables import DUE
from tests.gateway.writes.world import (
    ADA,
    BOB,
    LETTERS,
    PAIRS,
    PEOPLE,
    TABLES,
    TWIN,
    Step,
    contents,
    context,
    write,
)


def of(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[name] for name in names) for row in rows)


# ---------------------------------------------------------------------------------------------------------- what is told


async def test_an_insert_has_a_version_an_outbox_row_deliveries_and_an_audit_row(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home", field="createPerson") as tx:
        state = await tx.insert(PEOPLE, ADA)
    assert state == ADA
    found = await contents(home)
    assert found["people"] == [ADA]
    assert found["crossgraph_versions"] == [{"noun": "people", "key": "ada", "version": 1, "is_deleted": False}]
    [event] = found["crossgraph_outbox"]
    assert event == {
        "id": ctx.committed[0].id,
        "noun": "people",
        "key": "ada",
        "epoch": 0,
        "version": 1,
        "action": "insert",
        "state": ADA,
        "at": event["at"],
        "position": None,
    }
    [delivery] = found["crossgraph_deliveries"]
    assert delivery == {
        "outbox": event["id"],
        "target": "people>people",
        "noun": "people",
        "key": "ada",
        "version": 1,
        "state": "pending",
        "attempts": 0,
        "next_at": DUE,
        "lease_owner": None,
        "lease_until": None,
        "error": None,
        "payload": None,
    }
    [audit] = found["crossgraph_audit"]
    assert audit == {
        "id": audit["id"],
        "at": event["at"],
        "subject": "tester",
        "request_id": "request-1",
        "field": "createPerson",
        "noun": "people",
        "key": "ada",
        "action": "insert",
        "version": 1,
        "before": None,
        "after": ADA,
        "error": None,
    }
    assert found["crossgraph_idempotency"] == []


async def test_an_update_tells_the_row_before_and_after(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    async with ctx.transaction("home") as tx:
        after = await tx.update(PEOPLE, "ada", {"name": "Countess", "tags": ["a", "b"]}, expected_version=1)
    assert after == {**ADA, "name": "Countess", "tags": ["a", "b"]}
    found = await contents(home)
    assert found["people"] == [after]
    assert of(found["crossgraph_outbox"], "version", "action") == [(1, "insert"), (2, "update")]
    [audit] = [row for row in found["crossgraph_audit"] if row["version"] == 2]
    assert (audit["before"], audit["after"]) == (ADA, after)
    assert [(its.action, its.version, its.before) for its in ctx.committed] == [("insert", 1, None), ("update", 2, ADA)]


async def test_a_delete_leaves_a_tombstone_and_is_told_to_cascades(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    async with ctx.transaction("home") as tx:
        assert await tx.delete(PEOPLE, "ada", expected_version=1) == ADA
    found = await contents(home)
    assert found["people"] == []
    assert found["crossgraph_versions"] == [{"noun": "people", "key": "ada", "version": 2, "is_deleted": True}]
    [event] = [row for row in found["crossgraph_outbox"] if row["version"] == 2]
    assert (event["action"], event["state"]) == ("delete", None)
    of_it = [row for row in found["crossgraph_deliveries"] if row["outbox"] == event["id"]]
    assert of(of_it, "target", "version") == [("people>letters.person_id", 2), ("people>people", 2)]


async def test_a_key_that_comes_again_goes_on_counting(home: Stores) -> None:
    ctx = context(home)
    for _ in range(2):
        async with ctx.transaction("home") as tx:
            await tx.insert(PEOPLE, ADA)
            await tx.delete(PEOPLE, "ada")
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
        assert await tx.version(PEOPLE, "ada") == 5
    found = await contents(home)
    assert found["crossgraph_versions"] == [{"noun": "people", "key": "ada", "version": 5, "is_deleted": False}]
    assert of(found["crossgraph_outbox"], "version") == [(1,), (2,), (3,), (4,), (5,)]
    in_order = sorted(found["crossgraph_outbox"], key=lambda row: row["id"])
    assert [row["version"] for row in in_order] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("key", ["a,b", "100%", "%2C", "a%2Cb", ",", "a,b,c"])
async def test_any_text_is_the_key_of_one_aggregate(home: Stores, key: str) -> None:
    """Also what would be written otherwise in a key of several columns."""
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, {**ADA, "id": key})
    async with ctx.transaction("home") as tx:
        assert await tx.update(PEOPLE, key, {"name": "Other"}, expected_version=1) is not None
        assert await tx.version(PEOPLE, key) == 2
    async with ctx.transaction("home") as tx:
        assert await tx.delete(PEOPLE, key) is not None
    found = await contents(home)
    assert of(found["crossgraph_versions"], "key", "version", "is_deleted") == [(key, 3, True)]
    assert of(found["crossgraph_outbox"], "version", "key") == [(1, key), (2, key), (3, key)]
    assert {row["key"] for row in (*found["crossgraph_deliveries"], *found["crossgraph_audit"])} == {key}


async def test_several_rows_are_inserted_in_one_call_each_of_its_own_version(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        states = await tx.insert_many(PEOPLE, [BOB, ADA])
    assert states == [BOB, ADA]
    found = await contents(home)
    assert of(found["crossgraph_versions"], "key", "version") == [("ada", 1), ("bob", 1)]
    assert [its.key for its in ctx.committed] == ["bob", "ada"]
    assert home.calls["home.people"] - 1 == 1  # and one of this test, which has looked


async def test_a_key_of_several_columns_is_one_text(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PAIRS, {"a": "x,y", "b": 7, "weight": 0.5})
        assert await tx.update(PAIRS, "x%2Cy,7", {"weight": 1.5}) == {"a": "x,y", "b": 7, "weight": 1.5}
        assert await tx.update(PAIRS, "x,y,7", {"weight": 2.5}) is None
        assert await tx.delete(PAIRS, "x,y,7") is None
        assert await tx.get(PAIRS, "x%2Cy,7") == {"a": "x,y", "b": 7, "weight": 1.5}
    found = await contents(home)
    assert of(found["crossgraph_outbox"], "key", "version") == [("x%2Cy,7", 1), ("x%2Cy,7", 2)]


async def test_what_is_not_there_is_none_and_leaves_no_trace(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
        await tx.delete(PEOPLE, "ada")
    before = await contents(home)
    async with ctx.transaction("home") as tx:
        for key in ("nobody", "ada"):
            assert await tx.update(PEOPLE, key, {"name": "x"}) is None
            assert await tx.update(PEOPLE, key, {"name": "x"}, expected_version=7) is None
            assert await tx.update(PEOPLE, key, {}) is None
            assert await tx.delete(PEOPLE, key) is None
            assert await tx.get(PEOPLE, key) is None
    assert await contents(home) == before


async def test_an_update_of_nothing_writes_nothing(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    before = await contents(home)
    async with ctx.transaction("home") as tx:
        assert await tx.update(PEOPLE, "ada", {}, expected_version=1) == ADA
    assert await contents(home) == before
    with pytest.raises(Conflict, match=r"^people 'ada' has version 1, and not 2, which was expected: read it again\.$"):
        async with ctx.transaction("home") as tx:
            await tx.update(PEOPLE, "ada", {}, expected_version=2)


async def test_a_stale_version_is_a_conflict_that_says_both(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    before = await contents(home)
    changes: list[Step] = [
        lambda tx: tx.update(PEOPLE, "ada", {"name": "x"}, expected_version=0),
        lambda tx: tx.delete(PEOPLE, "ada", expected_version=0),
    ]
    for change in changes:
        with pytest.raises(Conflict) as caught:
            await write(ctx, change)
        assert caught.value.message == "people 'ada' has version 1, and not 0, which was expected: read it again."
        assert caught.value.extensions == {"code": "CONFLICT", "expectedVersion": 0, "version": 1}
    assert await contents(home) == before
    assert [its.version for its in ctx.committed] == [1]


async def test_rows_that_were_loaded_have_version_0(home: Stores) -> None:
    await home.ask(Upsert(PEOPLE, [tuple(ADA.values())]))
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        assert await tx.version(PEOPLE, "ada") == 0
        await tx.update(PEOPLE, "ada", {"name": "x"}, expected_version=0)
        assert await tx.version(PEOPLE, "ada") == 1


async def test_a_follow_up_is_delivered_where_it_was_asked_for(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        tx.deliver("welcome", PEOPLE, "ada", {"title": "Welcome!"})
        await tx.insert(PEOPLE, ADA)
        await tx.insert(PEOPLE, BOB)
        await tx.update(PEOPLE, "ada", {"name": "x"})
    found = await contents(home)
    [delivery] = [row for row in found["crossgraph_deliveries"] if row["target"] == "welcome"]
    assert (delivery["key"], delivery["version"], delivery["payload"]) == ("ada", 2, {"title": "Welcome!"})


async def test_what_is_not_to_be_audited_is_not(home: Stores) -> None:
    async with context(home).transaction("home") as tx:
        await tx.insert(PEOPLE, ADA, audited=False)
        await tx.insert_many(PEOPLE, [BOB], audited=False)
    found = await contents(home)
    assert found["crossgraph_audit"] == []
    assert len(found["crossgraph_outbox"]) == 2


async def test_an_audit_in_a_store_of_its_own_is_delivered(home: Stores) -> None:
    async with context(home, audit="away").transaction("home", field="f") as tx:
        await tx.insert(PEOPLE, ADA)
    found = await contents(home)
    assert found["crossgraph_audit"] == []
    [delivery] = [row for row in found["crossgraph_deliveries"] if row["target"] == "audit"]
    told = delivery["payload"]
    assert delivery["outbox"] == told["id"]
    assert tuple(told) == TABLES.audit.names
    assert (told["field"], told["key"], told["after"], delivery["next_at"]) == ("f", "ada", ADA, DUE)


async def test_an_audit_in_the_same_database_is_part_of_the_transaction(home: Stores) -> None:
    async with context(home, audit="twin").transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    assert len((await contents(home))["crossgraph_audit"]) == 1


async def test_an_epoch_that_was_raised_is_in_what_is_written_then(home: Stores) -> None:
    await home.ask(Upsert(TABLES.leases, [("epoch", None, None, 3)]))
    async with context(home).transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    assert of((await contents(home))["crossgraph_outbox"], "epoch") == [(3,)]


# ------------------------------------------------------------------------------------------------------------- requests


async def test_requests_that_change_are_told_as_the_methods_are(home: Stores) -> None:
    ctx = context(home)
    ada, bob = tuple(ADA.values()), tuple(BOB.values())
    async with ctx.transaction("home") as tx:
        assert [tuple(row) for row in await tx.ask(Insert(PEOPLE, PEOPLE.names, [ada]))] == [ada]
        changed = await tx.ask(Update(PEOPLE, ("ada",), (("name", "x"),)))
        assert changed is not None
        assert changed.after is not None
        await tx.ask(Upsert(PEOPLE, [bob, ada]))
        await tx.ask(Together((Insert(LETTERS, LETTERS.names, [("1", "ada", "t")]),)))
        await tx.ask(Remove(PEOPLE, ("ada",)))
        await tx.ask(Delete(PEOPLE, [("bob",), ("nobody",)]))
        await tx.ask(Insert(PAIRS, ("a", "b"), [("x", 1), ("x", 2)]))
        pairs: Any = [("x", 1), ("x", 3)]
        await tx.ask(Delete(PAIRS, pairs))
    found = await contents(home)
    assert found["people"] == []
    told = [(its.key, its.version, its.action) for its in ctx.committed]
    assert told == [
        ("ada", 1, "insert"),
        ("ada", 2, "update"),
        ("bob", 1, "insert"),
        ("ada", 3, "update"),
        ("1", 1, "insert"),
        ("ada", 4, "delete"),
        ("bob", 2, "delete"),
        ("x,1", 1, "insert"),
        ("x,2", 1, "insert"),
        ("x,1", 2, "delete"),
    ]
    in_order = sorted(found["crossgraph_outbox"], key=lambda row: row["id"])
    assert [(row["key"], row["version"], row["action"]) for row in in_order] == told
    assert of(found["crossgraph_versions"], "key", "version", "is_deleted") == [
        ("1", 1, False),
        ("ada", 4, True),
        ("bob", 2, True),
        ("x,1", 2, True),
        ("x,2", 1, False),
    ]
    [last] = [row for row in found["crossgraph_outbox"] if (row["key"], row["version"]) == ("ada", 3)]
    assert last["state"] == ADA


async def test_an_update_that_expected_something_else_is_told_to_nobody(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
    before = await contents(home)
    async with ctx.transaction("home") as tx:
        changed = await tx.ask(Update(PEOPLE, ("ada",), (("name", "x"),), expected=(("name", "Bob"),)))
        assert changed is not None
        assert not changed.is_done
    assert await contents(home) == before


async def test_a_read_sees_what_was_written_and_others_do_not(home: Stores) -> None:
    ctx = context(home)
    read = Get(PEOPLE, ("name",), ["ada"])
    async with ctx.transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
        assert [tuple(row) for row in (await tx.ask(read)).values()] == [("Ada",)]
        assert await ctx.ask(read) == {}
    assert [tuple(row) for row in (await ctx.ask(read)).values()] == [("Ada",)]


async def test_what_is_asked_untold_is_in_the_transaction_and_not_in_the_log(home: Stores) -> None:
    ctx = context(home)
    async with ctx.transaction("home") as tx:
        await tx.ask_untold(Upsert(PEOPLE, [tuple(ADA.values())]))
        await tx.ask(Upsert(TABLES.leases, [("mine", None, None, 1)]))
    found = await contents(home)
    assert (found["people"], found["crossgraph_outbox"], found["crossgraph_versions"]) == ([ADA], [], [])
    assert len(found["crossgraph_leases"]) == 1


async def test_two_names_of_one_database_are_one_store(home: Stores) -> None:
    async with context(home).transaction("home") as tx:
        await tx.insert(PEOPLE, ADA)
        await tx.insert(TWIN, {"id": "1", "text": "t"})
    found = await contents(home)
    assert of(found["crossgraph_outbox"], "noun", "key") == [("cards", "1"), ("people", "ada")]
