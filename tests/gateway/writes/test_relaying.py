"""A relay that runs: woken by writes, here and elsewhere, and ended in good order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import asyncpg
import pytest

from gateway.errors import AbilityMissing, Conflict, StoreUnavailable
from gateway.stores import Stores
from gateway.stores.guards import Protection
from gateway.writes import own, telling
from gateway.writes import relay as relaying
from gateway.writes.declarations import State, follow_up
from gateway.writes.tables import PARKED, tables_of
from gateway.writes.telling import tell_each_other
from gateway.writes.wake import wake
from gateway.writes.worker import ATTEMPTS
from tests.gateway.writes.relays import World, author, authors, book, books, carried, people, to_people
from tests.kinds import kinds, needs, url_of
from tests.servers import MONGODB, POSTGRESQL

WAIT_S = 60.0


@asynccontextmanager
async def until(world: World, many: int) -> AsyncIterator[None]:
    """Do what is in the block, and wait until so many people have arrived."""
    yield
    async with asyncio.timeout(WAIT_S):
        while len(await world.rows(people)) < many:  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", kinds(["memory", "sqlite", "postgresql"]))
async def test_a_write_of_this_process_wakes_the_relay(kind: str) -> None:
    async with carried(kind, "memory") as world:
        relay = world.relay(poll_s=3_600.0)
        async with relay.running():
            await asyncio.sleep(0.2)  # it has looked, and sleeps for an hour
            async with until(world, 1):
                await world.write(lambda tx: tx.insert(authors, author("1")))


@pytest.mark.parametrize("kind", kinds(["sqlite", "postgresql"]))
async def test_what_others_write_is_found_by_looking(kind: str) -> None:
    """R13: nobody is told, as where a connection that listens was lost."""
    async with url_of(kind) as home, url_of("sqlite") as away:
        urls = {"home": home, "away": away}
        async with carried("memory", "memory", urls=urls) as world, carried("memory", "memory", urls=urls) as other:
            relay = world.relay(poll_s=0.1)
            async with relay.running():
                await asyncio.sleep(0.2)
                async with until(world, 1):
                    await _write_untold(other)


async def _write_untold(world: World, key: str = "1") -> None:
    """Write as another process does, whose wake-ups nobody here hears."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gateway.writes.transaction.wake", lambda _: None)
        await world.write(lambda tx: tx.insert(authors, author(key)))


@needs(POSTGRESQL)
async def test_processes_tell_each_other_and_again_after_the_connection_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "AGAIN_S", 0.05)
    heard: list[int] = []
    async with url_of("postgresql") as url:
        one, two = Stores.connect({"home": url}), Stores.connect({"home": url})
        await one.open()
        await two.open()
        store: Any = two["home"]
        async with store.line(telling.CHANNEL, [], lambda: heard.append(1)):
            task = asyncio.create_task(tell_each_other(one, "home"))
            try:
                for round_ in (1, 2):
                    async with asyncio.timeout(WAIT_S):
                        while len(heard) < round_:
                            wake("home")
                            await asyncio.sleep(0.05)
                    if round_ == 1:
                        await _kill_the_last_listener(url)
                        heard[:] = [1]
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await one.close()
        await two.close()


@needs(MONGODB)
@pytest.mark.parametrize("kind", ["mongodb", "mongodb+motor"])
async def test_processes_hear_of_what_others_write_by_a_change_stream(kind: str) -> None:
    async with url_of(kind) as home, url_of("sqlite") as away:
        urls = {"home": home, "away": away}
        async with carried("memory", "memory", urls=urls) as world, carried("memory", "memory", urls=urls) as other:
            relay = world.relay(poll_s=3_600.0)
            telling_ = asyncio.create_task(tell_each_other(world.stores, "home"))
            try:
                async with relay.running(), asyncio.timeout(WAIT_S):
                    for number in count(1):  # the relay sleeps for an hour; what is written once the stream is open wakes it
                        await _write_untold(other, str(number))
                        await asyncio.sleep(0.1)
                        if await world.rows(people):
                            break
            finally:
                telling_.cancel()
                await asyncio.gather(telling_, return_exceptions=True)


async def test_where_nobody_can_tell_nobody_is_asked_again() -> None:
    stores = Stores.connect({"home": "mongodb://127.0.0.1:9/x"})
    store: Any = stores["home"]

    @asynccontextmanager
    async def line(*_: Any) -> AsyncIterator[None]:
        raise AbilityMissing("a change stream", store="home", kind="mongodb", needs="tell")
        yield

    store.line = line
    async with asyncio.timeout(WAIT_S):
        await tell_each_other(stores, "home")


async def _kill_the_last_listener(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        kill = (
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = 'crossgraph listen' "
            "AND datname = current_database() ORDER BY backend_start DESC LIMIT 1) AS last"
        )
        await connection.execute(kill)
    finally:
        await connection.close()


async def test_a_relay_that_is_told_to_stop_gives_back_what_it_cannot_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "STOP_S", 0.1)
    async with carried("sqlite", "memory", [to_people]) as world:
        relay = world.relay(poll_s=0.02)
        [worker] = relay.workers["home"]
        begun = asyncio.Event()

        async def never(_: Any) -> None:
            begun.set()
            await asyncio.Event().wait()

        applier: Any = worker._applier
        applier.apply = never
        async with relay.running():
            await world.write(lambda tx: tx.insert(authors, author("1")))
            async with asyncio.timeout(WAIT_S):
                await begun.wait()

        [delivery] = await world.deliveries()
        assert (delivery["lease_owner"], delivery["attempts"]) == (None, 0)
        assert await world.drain() == 1


async def test_a_task_that_loses_its_cancellation_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of Python 3.11 does while it waits for what PyMongo sends."""
    monkeypatch.setattr(own, "CANCELLED_AGAIN_S", 0.01)
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost == 2:
                    raise
                lost += 1

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(WAIT_S):
        await own.end([task])
    assert (task.cancelled(), lost) == (True, 2)


async def test_a_target_that_comes_back_is_carried_to_again(caplog: pytest.LogCaptureFixture) -> None:
    async with carried("sqlite", "memory", [to_people]) as world:
        relay = world.relay(poll_s=0.02)
        [worker] = relay.workers["home"]
        worker._rng = lambda: 0.0
        tries: list[int] = []
        apply = worker._applier.apply

        async def away_at_first(items: Any) -> None:
            tries.append(len(items))
            if len(tries) < 4:
                raise StoreUnavailable("away")
            await apply(items)

        applier: Any = worker._applier
        applier.apply = away_at_first
        async with relay.running(), until(world, 1):
            await world.write(lambda tx: tx.insert(authors, author("1")))

        assert tries == [1, 1, 1, 1]
        assert relay.attempts == {("authors>people", "delayed"): 3, ("authors>people", "done"): 1}
        assert worker.failures == 0


async def test_a_follow_up_runs_with_the_row_and_what_the_writer_told() -> None:
    ran: list[tuple[str, Any, str]] = []

    async def greet(ctx: Any, state: State, payload: Any) -> None:
        ran.append((state["id"], payload, ctx.subject))
        async with ctx.transaction("home") as tx:
            await tx.insert(books, book(f"welcome-{state['id']}", state["id"]))

    async with carried("sqlite", "memory", [follow_up(authors, name="greet", run=greet)]) as world:

        async def work(tx: Any) -> None:
            await tx.insert(authors, author("1"))
            tx.deliver("greet", authors, "1", {"how": "kindly"})

        await world.write(work)
        await world.write(lambda tx: tx.insert(authors, author("2")))  # nobody asked for it
        await world.drain()

        assert ran == [("1", {"how": "kindly"}, "tester")]
        assert [row[0] for row in await world.rows(books)] == ["welcome-1"]


async def test_a_follow_up_that_fails_is_parked_and_each_of_them_is_run() -> None:
    async def refuse(ctx: Any, state: State, payload: Any) -> None:
        if state["name"] == "no":
            raise Conflict("no")

    async with carried("sqlite", "memory", [follow_up(authors, name="greet", run=refuse)]) as world:
        for values in ({"name": "no"}, {"name": "yes"}):

            async def work(tx: Any, values: Any = values) -> None:
                if await tx.update(authors, "1", values) is None:
                    await tx.insert(authors, author("1", **values))
                tx.deliver("greet", authors, "1")

            await world.write(work)
        for _ in range(ATTEMPTS):
            await world.drain()

        [parked] = await world.deliveries()
        assert (parked["state"], parked["version"], parked["error"]) == (PARKED, 1, "Conflict: no")


async def test_an_audit_in_a_store_of_its_own_is_delivered_there() -> None:
    async with carried("sqlite", "sqlite", [to_people], audit="away") as world:
        await world.write(lambda tx: tx.insert(authors, author("1")))
        assert await world.rows(tables_of("away").audit) == []
        await world.drain()

        [row] = await world.states(tables_of("away").audit)
        assert (row["subject"], row["noun"], row["key"], row["action"], row["after"]) == ("tester", "authors", "1", "insert", author("1"))
        assert await world.rows(world.tables.audit) == []
        assert await world.deliveries() == []


async def test_a_home_that_is_away_is_told_once_and_carried_on_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    async with carried("memory", "memory", [to_people]) as world:
        home: Any = world.stores["home"]
        world.stores.guards["home"]._protection = Protection(breaker_calls=0)  # which would not let it be asked for some seconds
        relay = world.relay(poll_s=0.01)
        with caplog.at_level("INFO", "gateway.relay"):
            home.fail_with = StoreUnavailable("home")
            async with relay.running():
                async with asyncio.timeout(WAIT_S):
                    while "not carried on for now" not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
                        await asyncio.sleep(0.01)
                home.fail_with = None
                async with until(world, 1):
                    await world.write(lambda tx: tx.insert(authors, author("1")))

        told = [message for message in caplog.messages if message.startswith("home: its writes")]
        assert told == ["home: its writes: not carried on for now: The store 'home' is unavailable.", "home: its writes: carried on again"]
