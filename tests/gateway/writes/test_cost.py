"""What a write costs: how many calls, and on PostgreSQL how many statements, besides BEGIN and COMMIT."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.context import RequestContext
from gateway.stores import Stores
from gateway.writes.running import run
from gateway.writes.transaction import Transaction
from tests.gateway.writes.world import ADA, LETTERS, PEOPLE, context


async def traced(home: Stores, work: Any, key: str | None = None) -> RequestContext:
    """Run with the epoch known, as it is but for once in a while."""
    ctx = context(home, trace=[], idempotency_key=key)
    ctx.replication.found_epoch("home", 0)
    await run(ctx, "home", "f", work)
    return ctx


def statements(ctx: RequestContext) -> int:
    return sum(len(call.statements) for call in ctx.trace or ())


@pytest.mark.parametrize("key", [None, "k"])
async def test_an_insert_with_all_that_is_told_of_it_is_three_calls(home: Stores, key: str | None) -> None:
    ctx = await traced(home, lambda tx: tx.insert(PEOPLE, ADA), key)
    assert [(call.collection, call.operation) for call in ctx.trace or ()][:2] == [("crossgraph_versions", "bump"), ("people", "insert")]
    assert len(ctx.trace or ()) == 3
    if home.kind("home") == "postgresql":
        assert statements(ctx) == 3


async def test_an_update_and_a_delete_are_three_calls_each(home: Stores) -> None:
    await traced(home, lambda tx: tx.insert(PEOPLE, ADA))
    update = await traced(home, lambda tx: tx.update(PEOPLE, "ada", {"name": "x"}, expected_version=1))
    delete = await traced(home, lambda tx: tx.delete(PEOPLE, "ada"))
    assert [len(ctx.trace or ()) for ctx in (update, delete)] == [3, 3]
    if home.kind("home") == "postgresql":
        assert [statements(ctx) for ctx in (update, delete)] == [3, 3]


async def test_a_thousand_rows_are_three_calls_too(home: Stores) -> None:
    letters = [{"id": f"{number:04}", "person_id": "ada", "text": "t"} for number in range(1000)]

    async def work(tx: Transaction) -> None:
        await tx.insert_many(LETTERS, letters, audited=False)

    ctx = await traced(home, work, "k")
    assert len(ctx.trace or ()) == 3
    if home.kind("home") == "postgresql":
        assert statements(ctx) == 3
    assert len(ctx.committed) == 1000
