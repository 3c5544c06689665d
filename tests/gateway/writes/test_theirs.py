"""Collections of somebody else are written in a transaction as well, and the log hears nothing of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.errors import Conflict, StoreMisbehaved
from gateway.stores import Stores, connect
from gateway.stores.base import Collection, Column, Delete, Fetch, Type, Upsert
from gateway.writes.running import run
from tests.gateway.writes.world import context, write
from tests.kinds import kinds, url_of

NOTES = Collection("notes", "home", (Column("id", Type.INT), Column("text"), Column("state")))
TEXTS: Mapping[str, str] = {
    "sqlite": "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'new')",
    "postgresql": "CREATE TABLE notes (id bigserial PRIMARY KEY, text text NOT NULL, state text NOT NULL DEFAULT 'new')",
}

pytestmark = pytest.mark.parametrize("kind", kinds(("sqlite", "postgresql")))


@asynccontextmanager
async def theirs(kind: str) -> AsyncIterator[Stores]:
    """Give a store with a table that others made, and none of the gateway's."""
    async with url_of(kind) as url:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text(TEXTS[kind]))
        await engine.dispose()
        stores = Stores({"home": connect("home", url)})
        await stores.open()
        try:
            yield stores
        finally:
            await stores.close()


async def rows(stores: Stores) -> list[tuple[object, ...]]:
    return [tuple(row) for part in (await stores.ask(Fetch(NOTES, NOTES.names))).values() for row in part.rows]


async def test_keys_and_defaults_of_the_database_come_back(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.audit")
    async with theirs(kind) as stores:
        ctx = context(stores, logged=())
        ran = await run(ctx, "home", "addNote", lambda tx: tx.insert(NOTES, {"text": "a"}))
        assert ran.value == {"id": 1, "text": "a", "state": "new"}
        assert [tuple(outcome) for outcome in ran.outcomes] == [("notes", "1", None, "insert")]
        async with ctx.transaction("home") as tx:
            assert await tx.update(NOTES, "1", {"text": "b"}) == {"id": 1, "text": "b", "state": "new"}
            assert await tx.update(NOTES, "2", {"text": "b"}) is None
            assert await tx.delete(NOTES, "1") == {"id": 1, "text": "b", "state": "new"}
            await tx.ask(Upsert(NOTES, [(7, "c", "old"), (8, "d", "old")]))
            eight: list[tuple[object, ...]] = [(8,)]
            await tx.ask(Delete(NOTES, eight))  # type: ignore[arg-type]
        assert await rows(stores) == [(7, "c", "old")]
        assert [its.version for its in ctx.committed] == [None, None, None]
    assert caplog.messages == [
        "request-1: addNote by tester: insert of notes '1', which is not managed",
        "request-1: a write by tester: update of notes '1', which is not managed",
        "request-1: a write by tester: delete of notes '1', which is not managed",
    ]


async def test_all_of_it_happens_or_nothing(kind: str) -> None:
    async with theirs(kind) as stores:
        ctx = context(stores, logged=())
        await write(ctx, lambda tx: tx.insert(NOTES, {"id": 5, "text": "a"}))
        with pytest.raises(Conflict):
            await write(ctx, lambda tx: tx.update(NOTES, "5", {"text": "b"}), lambda tx: tx.insert(NOTES, {"id": 5, "text": "c"}))
        assert await rows(stores) == [(5, "a", "new")]


async def test_there_are_no_versions(kind: str) -> None:
    async with theirs(kind) as stores:
        expected = r"^a write of notes: expected no expected_version, as only managed collections have versions$"
        with pytest.raises(StoreMisbehaved, match=expected):
            await write(context(stores, logged=()), lambda tx: tx.update(NOTES, "5", {"text": "b"}, expected_version=1))
