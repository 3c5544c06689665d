"""Leases: of those that ask at once one has it, a dead holder loses it, and who lost it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from gateway.errors import MigrationLocked
from gateway.stores import leases
from gateway.stores.leases import LEASE_S, Lease, held
from gateway.stores.mongo.store import MongoStore
from gateway.stores.neo4j.store import Neo4jStore
from tests.kinds import kinds, url_of


class Record:
    """A lease in a time of its own, which passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.holder: str | None = None
        self.until = 0.0
        self.renewed = 0

    async def take(self, holder: str, seconds: float) -> bool:
        if self.holder is not None and self.until > self.now:
            return False
        self.holder, self.until = holder, self.now + seconds
        return True

    async def renew(self, holder: str, seconds: float) -> bool:
        self.renewed += 1
        if self.holder != holder:
            return False
        self.until = self.now + seconds
        return True

    async def release(self, holder: str) -> None:
        if self.holder == holder:
            self.holder = None

    async def is_held(self) -> bool:
        return self.holder is not None and self.until > self.now


async def test_it_is_held_in_the_block_and_not_behind_it() -> None:
    record = Record()
    async with held(record, "s", 1.0) as sure:
        await sure()
        assert record.holder is not None
    assert record.holder is None


async def test_an_error_gives_it_back() -> None:
    record = Record()
    with pytest.raises(RuntimeError, match="in the middle"):
        async with held(record, "s", 1.0):
            raise RuntimeError("in the middle")
    assert record.holder is None


async def test_another_waits_for_as_long_as_it_is_told_to() -> None:
    record = Record()
    async with held(record, "s", 1.0):
        with pytest.raises(MigrationLocked, match=r"^store s: another process migrates it; waited 0 s \(migrate_lock_timeout_s\)$"):
            async with held(record, "s", 0.0):
                raise AssertionError


async def test_another_has_it_once_the_time_of_a_dead_process_is_up() -> None:
    record = Record()
    assert await record.take("dead", LEASE_S)
    record.now = LEASE_S + 1
    async with held(record, "s", 0.0):
        assert record.holder != "dead"


async def test_who_lost_it_does_nothing_more() -> None:
    record = Record()

    async def run() -> None:
        async with held(record, "s", 0.0) as sure:
            record.holder = "another"
            await sure()

    with pytest.raises(MigrationLocked, match="was lost to another process"):
        await run()
    assert record.holder == "another"


async def test_who_lost_it_while_a_step_runs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY_S", 0.0)
    record = Record()

    async def run() -> None:
        async with held(record, "s", 0.0):
            record.holder = "another"
            await asyncio.Event().wait()  # for ever

    with pytest.raises(MigrationLocked, match="was lost to another process"):
        await run()
    assert record.renewed > 0


async def test_it_is_renewed_while_a_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY_S", 0.0)
    record = Record()
    seen = asyncio.Event()
    renew = record.renew

    async def renewed(holder: str, seconds: float) -> bool:
        record.now += LEASE_S / 2
        if record.renewed > 4:
            seen.set()
        return await renew(holder, seconds)

    monkeypatch.setattr(record, "renew", renewed)
    async with held(record, "s", 0.0):
        await seen.wait()
        assert record.until == record.now + LEASE_S


# ---------------------------------------------------------------------------------------------------------------- databases

KINDS = kinds(("mongodb", "mongodb+motor", "neo4j"))


@asynccontextmanager
async def lease_of(kind: str) -> AsyncIterator[tuple[Callable[[], Lease], str]]:
    """Give a function that makes one more process's view of the one lease of a database, and its URL."""
    async with url_of(kind) as url:
        store: Any = Neo4jStore("s", url) if kind == "neo4j" else MongoStore("s", url)
        await store.open()
        try:
            yield lambda: store._migrations().ledger.lease, url
        finally:
            await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_of_many_that_take_it_at_once_one_has_it(kind: str) -> None:
    async with lease_of(kind) as (lease, _):
        assert await lease().take("first", LEASE_S)
        await lease().release("first")
        for turn in range(5):
            taken = await asyncio.gather(*(lease().take(f"{turn}-{number}", LEASE_S) for number in range(8)))
            assert sum(taken) == 1
            winner = f"{turn}-{taken.index(True)}"
            assert not await lease().renew("another", LEASE_S)
            assert await lease().renew(winner, LEASE_S)
            await lease().release("another")
            assert not await lease().take("another", LEASE_S)
            await lease().release(winner)


@pytest.mark.parametrize("kind", KINDS)
async def test_it_is_another_s_once_its_time_is_up_by_the_server_s_clock(kind: str) -> None:
    async with lease_of(kind) as (lease, _):
        assert await lease().take("dead", -1.0)  # up a second before now
        assert await lease().take("alive", LEASE_S)
        assert not await lease().renew("dead", LEASE_S)
        assert not await lease().take("dead", LEASE_S)


@pytest.mark.parametrize("kind", kinds(("mongodb",)))
async def test_a_lock_is_a_document_with_the_server_s_time(kind: str) -> None:
    async with lease_of(kind) as (lease, url):
        assert await lease().take("me", LEASE_S)
        async with AsyncMongoClient[dict[str, Any]](url) as client:
            document = await client.get_default_database()["crossgraph_lock"].find_one()
        assert document is not None
        assert (document["_id"], document["holder"]) == ("migrations", "me")
        await lease().release("me")
