"""What refuses a write of a store that is moved, whoever writes: processes that know of no candidate, or of another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.config import Settings, StoreSettings
from gateway.context import RequestContext
from gateway.errors import ConfigError, Contended, GatewayError, StoreUnavailable
from gateway.preparing import connect, migrate
from gateway.stores import Stores
from gateway.stores.base import Fetch
from gateway.stores.moves import candidate_of
from gateway.writes import moving, replication
from gateway.writes.carrying import patiently
from gateway.writes.moving import Mover
from gateway.writes.placing import SETTLED, Place, Watcher, orient
from gateway.writes.replication import Replication
from gateway.writes.running import run
from gateway.writes.transaction import Transaction
from resolvers.users import users
from schema import schema as graph
from tests.kinds import kinds, url_of
from tests.resolvers.test_replication import user_of

WAIT_S = 60.0
KNOWN_S = 1.0  # for a process that it takes a store to have no fences


@pytest.fixture(params=kinds(("sqlite", "postgresql", "mongodb", "neo4j")))
def kind(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest_asyncio.fixture
async def settings(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Settings]:
    """Settings without a candidate, of which ``users`` is in a database of its own."""
    monkeypatch.setattr(replication, "EPOCH_S", KNOWN_S)
    monkeypatch.setattr(moving, "FENCED_S", 2 * KNOWN_S)
    async with url_of(kind) as url:
        urls = {name: f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in graph.store_names} | {"users": url}
        yield Settings(stores={name: StoreSettings(url=its) for name, its in urls.items()})


def moved_to(settings: Settings, name: str, url: str) -> Settings:
    return Settings(stores=settings.stores | {name: StoreSettings(url=settings.urls[name], candidate=url)})


class Process:
    """Stores as a process of these settings has them, with what it knows of the log."""

    def __init__(self, settings: Settings) -> None:
        self.stores = connect(settings)
        self.replication = Replication(graph.writes.targets, graph.writes.audit, graph.writes.stores)

    async def __aenter__(self) -> Process:
        await self.stores.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stores.close()

    def context(self, key: str | None = None) -> RequestContext:
        return RequestContext(self.stores, "test", replication=self.replication, idempotency_key=key)

    async def write(self, key: str) -> None:
        async with self.context().transaction("users") as tx:
            await tx.insert(users, user_of(key))


async def keys(stores: Stores, name: str = "users") -> set[str]:
    found = await stores.ask(Fetch(replace(users, store=name), ("id",)))
    return {row[0] for part in found.values() for row in part.rows}


async def moved_while_written(mover: Process, other: Process) -> None:
    """Move users while ``other`` writes all the time, until it is refused: what it was told to be written is where they are then."""
    stores = mover.stores
    await migrate(stores, graph, "users")
    await migrate(Stores({"users": stores[candidate_of("users")]}), graph, "users")
    written: set[str] = set()
    refused: list[GatewayError] = []

    async def write() -> None:
        number = 0
        while not refused:
            number += 1
            try:
                await other.write(str(number))
            except Contended:  # with the fence that is being closed: nothing has happened
                pass
            except GatewayError as error:
                refused.append(error)
            else:
                written.add(str(number))
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.1)
    carrier = mover_of(mover)
    move = await carrier.copy(await carrier.begin(called(mover)), lambda _: None)
    try:
        assert (await carrier.switch(move)).phase == SETTLED
        async with asyncio.timeout(WAIT_S):
            await writing
    finally:
        writing.cancel()
    [error] = refused
    assert isinstance(error, StoreUnavailable)
    assert error.detail == "The store 'users' is unavailable: it is moved to another database, of which these settings know nothing."
    assert written
    assert await keys(stores) == written
    with pytest.raises(StoreUnavailable):
        await other.write("0")


async def test_a_process_that_knows_of_no_candidate_loses_no_write(settings: Settings, tmp_path: Path) -> None:
    there = f"sqlite+aiosqlite:///{tmp_path}/there.db"
    async with Process(moved_to(settings, "users", there)) as mover, Process(settings) as other:
        await moved_while_written(mover, other)


async def test_a_process_that_knows_of_the_candidate_of_another_store_loses_no_write(settings: Settings, tmp_path: Path) -> None:
    there, elsewhere = (f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in ("there", "elsewhere"))
    async with Process(moved_to(settings, "users", there)) as mover, Process(moved_to(settings, "posts", elsewhere)) as other:
        await moved_while_written(mover, other)


async def test_a_transaction_of_another_store_of_its_database_waits_until_it_is_open(settings: Settings, tmp_path: Path) -> None:
    """As what is done again at once would be done again too often, while the store is closed."""
    urls = settings.urls | {"posts": settings.urls["users"]}
    its = Settings(stores={name: StoreSettings(url=url) for name, url in urls.items()})
    async with Process(moved_to(its, "users", f"sqlite+aiosqlite:///{tmp_path}/there.db")) as serving:
        stores = serving.stores
        await migrate(stores, graph, "users")
        watcher, place = Watcher(stores), Place(stores, "users")
        await watcher.look("users")
        assert await patiently(partial(place.close_fences, "users", "token"))
        attempts = 0

        async def work(tx: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            await tx.insert(users, user_of("1"))

        writing = asyncio.create_task(run(serving.context(), "posts", "createUser", work))
        assert stores.gate is not None
        async with asyncio.timeout(WAIT_S):
            while not stores.gate.is_held("users"):  # noqa: ASYNC110 - what is waited for is what others see
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.3)
        assert (attempts, writing.done()) == (1, False)
        await patiently(partial(place.open_fences, "users", "token"))
        await watcher.look("users")
        async with asyncio.timeout(WAIT_S):
            await writing
        assert attempts >= 2
        assert await keys(stores) == {"1"}


async def test_a_process_with_another_candidate_is_told_so_and_writes_to_neither(tmp_path: Path) -> None:
    urls = {name: f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in (*graph.store_names, "there", "typo")}
    settings = Settings(stores={name: StoreSettings(url=urls[name]) for name in graph.store_names})
    async with (
        Process(moved_to(settings, "users", urls["there"])) as mover,
        Process(moved_to(settings, "users", urls["typo"])) as other,
    ):
        for process in (mover, other):
            await migrate(process.stores, graph, "users")
            await migrate(Stores({"users": process.stores[candidate_of("users")]}), graph, "users")
        watcher = Watcher(other.stores)
        await watcher.look("users")
        await other.write("1")
        await mover_of(mover).begin(called(mover))
        move = await mover_of(mover).place.move()
        assert move is not None
        assert await mover_of(mover).place.change(move, replace(move, phase=SETTLED, generation=1))
        assert await mover_of(mover).place.close_fences("users", "token")
        message = f"stores.users.candidate: expected the database that it was moved to, {called(mover)}; got {called(other)}"
        with pytest.raises(ConfigError) as told:
            await watcher.look("users")
        assert told.value.message == message
        with pytest.raises(Contended):
            await other.write("2")
        assert (await keys(other.stores), await keys(other.stores, candidate_of("users"))) == ({"1"}, set())
        with pytest.raises(ConfigError) as told:  # and a command
            await orient(other.stores)
        assert told.value.message == message


def mover_of(process: Process) -> Mover:
    return Mover(process.stores, "users", [users])


def called(process: Process) -> str:
    assert process.stores.gate is not None
    return process.stores.gate.called["users"]
