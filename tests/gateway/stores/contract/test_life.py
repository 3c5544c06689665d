"""The life of a store: open, ping, migrate, close, and its native queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from gateway.stores import connect
from gateway.stores.base import Column, Fetch, Key, Native, NativeCall, Store, Tables, Type, Value
from resolvers.users import users
from tests.gateway.stores.contract.oracle import everything, grouped, one, put, same
from tests.gateway.stores.contract.world import ODD_KEYS, drafts, links, pins, record, things
from tests.kinds import KINDS, kinds, store_of, url_of


async def test_it_says_its_kind(store: Store) -> None:
    assert store.kind in {kind.partition("+")[0] for kind in KINDS}


async def test_it_answers_a_ping(store: Store) -> None:
    await store.ping()


async def test_a_second_migration_changes_nothing(store: Store) -> None:
    assert await store.migrate("tested", [things, links, drafts, pins], None) == []
    assert (await one(store, Fetch(things, ("id",), count=True))).total


@pytest.mark.parametrize("kind", kinds())
async def test_a_migration_says_what_it_did_and_adds_what_is_missing(kind: str) -> None:
    async with store_of(kind, []) as store:
        done = await store.migrate("tested", [drafts], None)
        assert any("drafts" in line or "DraftRecord" in line for line in done)
        await put(store, drafts, record("kept"))
        done = await store.migrate("tested", [drafts, users, pins], None)
        assert any("users" in line or "UserRecord" in line for line in done)
        assert not any("drafts" in line or "DraftRecord" in line for line in done)
        assert await store.migrate("tested", [drafts, users, pins], None) == []
        assert same(await everything(store, drafts), [record("kept")])


@pytest.mark.parametrize("kind", kinds())
async def test_it_can_be_closed_twice(kind: str) -> None:
    async with store_of(kind, []) as store:
        await store.ping()
        await store.close()


@pytest.mark.parametrize("kind", kinds([kind for kind in KINDS if kind != "memory"]))
async def test_rows_outlive_the_store(kind: str) -> None:
    async with url_of(kind) as url:
        for turn in range(2):
            store = connect("tested", url)
            await store.open()
            try:
                done = await store.migrate("tested", [drafts, pins], None)
                assert bool(done) is (turn == 0)
                if turn == 0:
                    await put(store, drafts, record("a", note="\U0001f600"))
                    await put(store, pins, {"board_id": "b", "thing_id": "t", "place": 1})
                assert same(await everything(store, drafts), [record("a", note="\U0001f600")])
                assert await everything(store, pins) == [{"board_id": "b", "thing_id": "t", "place": 1}]
            finally:
                await store.close()


# ---------------------------------------------------------------------------------------------------------- native queries


def _children_in_mongodb(
    keys: Sequence[Key], arguments: Mapping[str, Value], where: Callable[[str], dict[str, Any]]
) -> tuple[str, list[dict[str, Any]]]:
    return "drafts", [
        {"$match": where("drafts")},
        {"$match": {"parent_id": {"$in": list(keys)}, "size": {"$gte": arguments["least"]}}},
        {"$sort": {"size": -1}},
        {"$project": {"_id": 0, "k": "$parent_id", "r": ["$size", "$note", "$done"]}},
    ]


def _children_in_memory(table: Tables, keys: Sequence[Key], arguments: Mapping[str, Value]) -> list[tuple[Value, ...]]:
    rows = [row for row in table("drafts") if row["parent_id"] in keys and row["size"] >= arguments["least"]]
    return [(row["parent_id"], row["size"], row["note"], row["done"]) for row in sorted(rows, key=lambda row: -row["size"])]


children = Native(
    name="children",
    store="tested",
    columns=(Column("size", Type.INT), Column("note", nullable=True), Column("done", Type.BOOL)),
    queries={
        "postgresql": "SELECT parent_id, size, note, done FROM drafts AS d WHERE parent_id = ANY(:keys) AND size >= :least {and:drafts:d} "
        "ORDER BY size DESC",
        "sqlite": "SELECT parent_id, size, note, done FROM drafts AS d WHERE parent_id IN (SELECT value FROM json_each(:keys)) "
        "AND size >= :least {and:drafts:d} ORDER BY size DESC",
        "mongodb": _children_in_mongodb,
        "neo4j": "MATCH (d:{DraftRecord}) WHERE d.parent_id IN $keys AND d.size >= $least {and:drafts:d} "
        "RETURN d.parent_id, d.size, d.note, d.done ORDER BY d.size DESC",
        "memory": _children_in_memory,
    },
)


async def test_a_native_query_answers_rows_per_parent_in_its_order(scratch: Store) -> None:
    await put(
        scratch,
        drafts,
        *(record(f"a{i}", parent_id="a", size=i, note=None if i % 2 else "\U0001f600", done=i == 2) for i in range(4)),
        record("b1", parent_id="b", size=9),
        record("c1", parent_id="c", size=9),
    )
    answer = await scratch.answer(NativeCall(children, ["a", "b", "nobody"], {"least": 1}))
    assert same(
        dict(sorted(grouped(answer).items(), key=str)),
        {"a": [(3, None, False), (2, "\U0001f600", True), (1, None, False)], "b": [(9, None, False)]},
    )


async def test_the_keys_of_a_native_query_are_bound(scratch: Store) -> None:
    await put(scratch, drafts, *(record(f"child of {key}", parent_id=key, size=1) for key in ODD_KEYS))
    answer = await scratch.answer(NativeCall(children, list(ODD_KEYS), {"least": 0}))
    assert grouped(answer) == {key: [(1, None, False)] for key in ODD_KEYS}


async def test_a_native_query_of_no_keys(scratch: Store) -> None:
    assert grouped(await scratch.answer(NativeCall(children, [], {"least": 0}))) == {}
