"""What is known of each store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from gateway import checkup
from gateway.app import create_app
from gateway.checkup import Checkup
from gateway.cli.running import prepare
from gateway.config import Settings, StoreSettings
from gateway.errors import StoreMismatch
from gateway.migrating import migrate, pending
from gateway.stores import Stores
from gateway.stores.kinds import default_url
from gateway.stores.leases import held
from gateway.stores.steps import MigratesBySteps
from gateway.writes.watching import Log, Standing
from schema import schema as example
from tests.gateway.http.fakes import FakeStores
from tests.gateway.test_migrating import MANAGED, graph_over, stores_of
from tests.kinds import kinds, url_of

GRAPH = graph_over(MANAGED)


class Clock:
    time = 100.0

    def __call__(self) -> float:
        return self.time


class Asked(FakeStores):
    """Stores that count their pings, in no database."""

    def __init__(self, **states: Any) -> None:
        super().__init__(states)
        self.pings = 0

    def __getitem__(self, name: str) -> object:
        return object()

    async def ping(self, name: str) -> None:
        self.pings += 1
        await super().ping(name)


def checkup_of(stores: Any, clock: Clock, *standings: Standing) -> Checkup:
    return Checkup(cast("Stores", stores), graph_over(), lambda: standings, clock)


async def test_a_store_tells_what_is_pending_and_no_more_once_it_is_migrated(tmp_path: Any) -> None:
    clock = Clock()
    async with stores_of(paper=f"sqlite:///{tmp_path}/paper.db") as stores:
        its = Checkup(stores, GRAPH, list, clock)
        before = await its.of("paper")
        await migrate(stores, GRAPH, "paper")
        clock.time += checkup.PENDING_EVERY_S
        after = await its.of("paper")
    assert (before["kind"], before["status"], before["error"], before["breaker"], before["outbox"]) == ("sqlite", "up", None, "closed", [])
    assert before["latencyMs"] > 0
    assert before["migrations"] == {"pending": 2, "isLocked": None, "error": None}
    assert after["migrations"] == {"pending": 0, "isLocked": None, "error": None}


async def test_a_store_that_is_away_tells_why_and_no_secret() -> None:
    async with stores_of(paper="postgresql://ann:hidden-word@127.0.0.1:1/paper") as stores:
        told = await Checkup(stores, GRAPH, list).of("paper")
    assert (told["status"], told["latencyMs"], told["migrations"]["pending"]) == ("down", None, None)
    assert told["error"] == {"reason": "refused", "message": "nobody listens there (connection refused)"}
    assert told["pool"] == {"places": 10, "inUse": 0, "free": 10, "waiting": 0}
    assert "hidden-word" not in json.dumps(told)


async def test_a_store_is_asked_once_a_second_however_many_want_to_know() -> None:
    stores, clock = Asked(users=0.01), Clock()
    its = checkup_of(stores, clock)
    await asyncio.gather(*(its.of("users") for _ in range(20)))
    await its.of("users")
    assert stores.pings == 1
    clock.time += 1.0
    await its.of("users")
    assert stores.pings == 2


async def test_a_silent_store_is_down_within_a_second_and_who_leaves_leaves_it_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "LOOK_S", 0.2)
    its = checkup_of(Asked(users=60.0), Clock())
    gone, stays = asyncio.ensure_future(its.of("users")), asyncio.ensure_future(its.of("users"))
    await asyncio.sleep(0)
    gone.cancel()
    started = time.monotonic()
    told = await stays
    assert time.monotonic() - started < 10, "of the minute that it is silent"
    assert (told["status"], told["error"]["reason"]) == ("down", "timed out")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(StoreMismatch("users"), "mismatch", "mismatch"), (RuntimeError("secret-host"), "down", "unexpected")],
)
async def test_what_is_wrong_is_told_in_safe_words(error: Exception, status: str, reason: str) -> None:
    told = await checkup_of(Asked(users=error), Clock()).of("users")
    assert (told["status"], told["error"]["reason"]) == (status, reason)
    assert "secret-host" not in json.dumps(told)


async def test_the_outbox_of_a_store_is_told_by_target() -> None:
    standings = Standing("users", "graph", 3, 1, time.time() - 5), Standing("posts", "graph", 9, 9, None)
    told = await checkup_of(Asked(users=None, posts=None), Clock(), *standings).of("users")
    [its] = told["outbox"]
    assert (its["target"], its["pending"], its["parked"]) == ("graph", 3, 1)
    assert 5 <= its["lagS"] < 6


async def test_writes_in_the_log_without_a_position_are_told_of_who_has_a_log() -> None:
    logs = {"users": Log("users", 3, time.time() - 5)}
    checkup = Checkup(cast("Stores", Asked(users=None, posts=None)), graph_over(), tuple, Clock(), log_of=logs.get)
    told = (await checkup.of("users"))["log"]
    assert told["unpositioned"] == 3
    assert 5 <= told["lagS"] < 6
    assert "log" not in await checkup.of("posts")


@pytest.mark.parametrize("kind", kinds(("postgresql", "mongodb", "neo4j")))
async def test_a_lock_that_somebody_holds_is_seen(kind: str) -> None:
    async with url_of(kind) as url, stores_of(paper=url) as stores:
        free = await pending(stores, GRAPH, "paper")
        async with locked(stores, url):
            taken = await pending(stores, GRAPH, "paper")
        after = await pending(stores, GRAPH, "paper")
    assert (free.is_locked, taken.is_locked, after.is_locked) == (False, True, False)
    assert len(free.waiting) == len(taken.waiting) > 0


@asynccontextmanager
async def locked(stores: Stores, url: str) -> AsyncIterator[None]:
    """Hold the lock of the migrations, as a process that migrates does."""
    store = stores["paper"]
    async with AsyncExitStack() as stack:
        if isinstance(store, MigratesBySteps):
            await stack.enter_async_context(held(store._migrations().ledger.lease, "paper", 1.0))
        else:
            parts = make_url(url)
            connection = await asyncpg.connect(parts.set(drivername="postgresql").render_as_string(hide_password=False))
            stack.push_async_callback(connection.close)
            await stack.enter_async_context(connection.transaction())
            await connection.execute("SELECT pg_advisory_xact_lock(7411802367)")
        yield


async def test_the_example_tells_of_its_stores(tmp_path: Any) -> None:
    settings = Settings(data_dir=tmp_path, stores={name: StoreSettings(url=default_url(tmp_path / name)) for name in example.store_names})
    assert await prepare(settings, example) == []
    app = create_app(settings, example)
    transport = httpx.ASGITransport(app)
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        all_of_them, one = await client.get("/health"), await client.get("/health/users")
    assert all_of_them.status_code == 200
    assert [(store["name"], store["status"]) for store in all_of_them.json()["stores"]] == [(name, "up") for name in example.store_names]
    assert one.json()["migrations"]["pending"] == 0
