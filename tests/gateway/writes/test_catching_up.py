"""Commits that come late, in another order than their ids, or many at a time: nobody waits for them, and none is missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from gateway.writes.following import LogFeed
from gateway.writes.keeping import Keeping
from gateway.writes.running import run
from gateway.writes.transaction import Transaction
from tests.gateway.writes.relays import World, act, acts, book, books, carried, likes, to_likes, to_wrote, wrote
from tests.kinds import kinds
from tests.tries import in_tries

WAIT_S = 60.0  # on a machine that has much to do
LAG_MAX_S = 3.0  # p99 there; what it is on one that has nothing else to do is a figure of docs, and less than a second

WITH_WRITERS_AT_ONCE = ["postgresql", "mongodb", "neo4j"]  # a file of SQLite has one writer at a time, and so the memory
KINDS = ["memory", "sqlite", *WITH_WRITERS_AT_ONCE]


async def written_there(world: World) -> set[Any]:
    return {dict(zip(wrote.names, row, strict=True))["book_id"] for row in await world.rows(wrote)}


async def arrived(world: World, keys: set[str]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not keys <= await written_there(world):  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.01)


def inserting(key: str) -> Any:
    return lambda tx: tx.insert(books, book(key, f"author of {key}"))


@pytest.mark.parametrize("kind", kinds(WITH_WRITERS_AT_ONCE))
async def test_a_transaction_that_stays_open_holds_up_no_other(kind: str) -> None:
    """R03: what others commit meanwhile is carried and told; what it commits at last is, too, though its ids are older."""
    others = {f"b{number}" for number in range(5)}
    async with carried(kind, "sqlite", [to_wrote]) as world:
        feed, relay = LogFeed(world.stores, poll_s=0.05), world.relay(poll_s=0.05)
        events = feed.follow(books)
        try:
            async with relay.running():
                async with world.context().transaction("home") as open_:
                    await open_.insert(books, book("late", "author of late"))
                    heard = asyncio.ensure_future(anext(events))
                    for key in sorted(others):
                        await world.write(inserting(key))
                    await arrived(world, others)
                    async with asyncio.timeout(WAIT_S):
                        told = [(await heard).key, *[(await anext(events)).key for _ in range(4)]]
                    assert "late" not in await written_there(world)
                await arrived(world, {"late"})
                async with asyncio.timeout(WAIT_S):
                    told.append((await anext(events)).key)
        finally:
            await feed.close()
        assert told == [*sorted(others), "late"]
        assert sorted(row["position"] for row in await world.states(world.tables.outbox)) == list(range(1, 7))


class Blocks:
    """Ids as a sequence with ``CACHE 50`` gives them: each process has a block of its own, and those of the other are before or after."""

    def __init__(self) -> None:
        self._left: dict[str, Iterator[int]] = {}
        self._next = 0
        self.process = ""

    def __call__(self) -> str:
        while True:
            left = self._left.get(self.process)
            number = next(left, None) if left is not None else None
            if number is not None:
                return f"{number:08}-0000-7000-8000-000000000000"
            self._left[self.process] = iter(range(self._next, self._next + 50))
            self._next += 50


@pytest.mark.parametrize("kind", kinds(KINDS))
async def test_ids_of_one_process_that_are_before_those_of_another_are_not_missed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R04: after the newer block was read, the older is written on; who went by ids would have passed it."""
    blocks = Blocks()
    monkeypatch.setattr("gateway.writes.changing.new_id", blocks)
    async with carried(kind, "sqlite", [to_wrote]) as world:
        feed = LogFeed(world.stores, poll_s=0.05)
        events = feed.follow(books)
        told: list[str] = []
        try:
            first = asyncio.ensure_future(anext(events))
            async with asyncio.timeout(WAIT_S):
                await asyncio.shield(events._start)  # type: ignore[attr-defined]
                for number in range(8):
                    blocks.process = "ab"[number % 2]
                    await world.write(inserting(f"b{number}"))
                    told.append((await first).key if number == 0 else (await anext(events)).key)
                    await world.drain()
        finally:
            await feed.close()
        ids = [row["id"] for row in sorted(await world.states(world.tables.outbox), key=lambda row: row["position"] or 0)]
        assert ids != sorted(ids)
        assert told == [f"b{number}" for number in range(8)]
        assert len(await world.rows(wrote)) == 8


@in_tries
@pytest.mark.parametrize("kind", kinds(["sqlite", "postgresql", "mongodb"]))
async def test_writes_are_visible_in_a_target_soon(kind: str) -> None:
    """R10: from the commit to the row in the target, while four clients write."""
    lags: list[float] = []
    async with carried(kind, "memory", [to_wrote]) as world:

        async def write(client: int) -> None:
            for number in range(15):
                key = f"{client}-{number}"
                await world.write(inserting(key))
                committed = time.monotonic()
                await arrived(world, {key})
                lags.append(time.monotonic() - committed)

        async with world.relay().running():
            await asyncio.gather(*(write(client) for client in range(4)))

    assert len(lags) == 60
    assert sorted(lags)[int(len(lags) * 0.99)] < LAG_MAX_S


@pytest.mark.parametrize("kind", kinds(["memory", "sqlite", "postgresql", "mongodb"]))
async def test_what_waited_during_an_outage_is_carried_many_at_a_time(kind: str) -> None:
    """R14: by the calls that it takes; how many it is a second is the machine's."""
    async with carried(kind, "memory", [to_likes]) as world:

        async def work(tx: Transaction) -> None:
            await tx.insert_many(acts, [act(f"{number:04}", book_id=f"b{number}") for number in range(1_500)])

        await world.write(work)
        world.stores.calls.clear()
        assert await world.drain() == 1_500
        assert len(await world.rows(likes)) == 1_500
        assert world.stores.calls.total() < 60


@pytest.mark.parametrize("kind", kinds(["memory", "sqlite", "postgresql", "mongodb"]))
async def test_a_key_whose_outcome_is_kept_no_more_is_a_new_one(kind: str) -> None:
    """R23: outcomes are kept for a day (``gateway sync prune``)."""
    async with carried(kind, "memory", [to_wrote]) as world:

        async def sent(key: str, written: str) -> bool:
            ctx = world.context()
            ctx.idempotency_key = key
            return (await run(ctx, "home", "createBook", inserting(written), arguments={"n": 1})).is_repeated

        assert [await sent("k", "a"), await sent("k", "a")] == [False, True]
        keeping = Keeping(world.stores, "home")
        assert await keeping.prune({"idempotency": timedelta(hours=24)}, lambda _: None) == {"idempotency": 0}
        assert await sent("k", "a")
        await asyncio.sleep(0.002)  # times have milliseconds
        assert await keeping.prune({"idempotency": timedelta(0)}, lambda _: None) == {"idempotency": 1}
        assert not await sent("k", "b")
