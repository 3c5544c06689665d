"""Where writes are: figures that are true, and lines in the log while something is not well."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from gateway.stores.base import Upsert
from gateway.writes import watching
from gateway.writes.ids import new_id
from gateway.writes.own import Own
from gateway.writes.sequencer import Sequencer
from gateway.writes.times import now
from gateway.writes.watching import HEARTBEAT, Watch, heartbeat_at, standings, written_at
from tests.gateway.writes.relays import World, author, authors, carried
from tests.kinds import kinds

NAMES = ("authors>people", "books>wrote")


@pytest.fixture(params=kinds(["memory", "sqlite", "postgresql", "mongodb"]))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with carried(request.param, "memory") as made:
        yield made


def test_an_id_says_when_it_was_made() -> None:
    assert abs(written_at(new_id()) - time.time()) < 1


async def test_a_targets_lag_is_the_age_of_the_oldest_it_has_yet_to_hear(world: World) -> None:
    """R11: true to a second, by ids of the log's rows."""
    before = time.time()
    await world.write(lambda tx: tx.insert_many(authors, [author("1"), author("2")]))
    after = time.time()

    first, second = await standings(world.stores, "home", NAMES)

    assert (first.pending, first.parked, second.pending) == (2, 0, 0)
    assert first.oldest_at is not None
    assert before - 0.01 <= first.oldest_at <= after
    assert 99.9 <= first.lag_s(after + 100) <= 101
    assert (second.oldest_at, second.lag_s(after)) == (None, 0.0)
    await world.drain()
    assert [its.pending for its in await standings(world.stores, "home", NAMES)] == [0, 0]


async def test_what_the_graph_delivers_to_no_more_is_told_too(world: World) -> None:
    await world.write(lambda tx: tx.insert(authors, author("1")))

    assert [(its.target, its.pending) for its in await standings(world.stores, "home", ["books>wrote"])] == [
        ("books>wrote", 0),
        ("authors>people", 1),
    ]


async def test_a_target_that_lags_is_told_once_in_a_while(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.write(lambda tx: tx.insert(authors, author("1")))
    watch = Watch(world.stores, {"home": NAMES}, lag_max_s=0.0)
    with caplog.at_level(logging.WARNING, "gateway.relay"):
        await watch.count("home", time.time())
        await watch.count("home", time.time())

    [line] = caplog.messages
    assert line.startswith("home: authors>people is ")
    assert line.endswith(" s behind, 1 writes are pending")


async def test_a_relay_that_stopped_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """R12: its last heartbeat is older than it may be; one that beats is not told, however quiet the store is."""
    own, leases = Own(world.stores), world.tables.leases
    watch = Watch(world.stores, {"home": NAMES}, lag_max_s=3600.0)
    with caplog.at_level(logging.WARNING, "gateway.relay"):
        await own.ask(Upsert(leases, [(HEARTBEAT, "me", now(), 0)]))
        await watch.count("home")
        assert caplog.messages == []
        await own.ask(Upsert(leases, [(HEARTBEAT, "me", now(watching.STOPPED_AFTER_S + 5), 0)]))
        await watch.count("home")

    [line] = caplog.messages
    assert line.startswith("home: no relay has carried its writes for 2")
    ages = {reading.labels["home"]: reading.value for reading in watch.readings() if reading.name == "relay_heartbeat_age_seconds"}
    assert 20 <= ages["home"] < 60
    # The sum of what it takes to be told: how old it may be, and how often that is looked at.
    assert watching.STOPPED_AFTER_S + watching.HEARTBEAT_EVERY_S + watching.COUNTED_EVERY_S <= 30


async def test_a_relay_at_work_beats(world: World) -> None:
    assert await heartbeat_at(Own(world.stores), "home") is None
    relay = world.relay(poll_s=0.01)
    async with relay.running():
        while (beat := await heartbeat_at(Own(world.stores), "home")) is None:  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.01)
    assert abs(beat - time.time()) < 10


async def inserted(tx: Any, key: str) -> None:
    await tx.insert(authors, author(key))


async def test_writes_without_a_position_are_counted_with_the_age_of_the_oldest(world: World) -> None:
    watch = Watch(world.stores, {"home": NAMES}, lag_max_s=3600.0)
    assert watch.log("home") is None

    async def read() -> dict[str, float]:
        await watch.count("home", time.time())
        return {reading.name: reading.value for reading in watch.readings() if reading.name.startswith("log_")}

    assert await read() == {"log_unpositioned": 0, "log_oldest_unpositioned_seconds": 0.0}
    for key in "123":
        await world.write(partial(inserted, key=key))
    told = await read()
    assert told["log_unpositioned"] == 3
    assert 0 < told["log_oldest_unpositioned_seconds"] < 60
    await Sequencer(world.stores, "home", "test").settle()
    assert await read() == {"log_unpositioned": 0, "log_oldest_unpositioned_seconds": 0.0}


async def test_figures_are_readings_for_metrics(world: World) -> None:
    await world.write(lambda tx: tx.insert(authors, author("1")))
    watch = Watch(world.stores, {"home": NAMES}, lag_max_s=3600.0)
    await watch.count("home", time.time())
    relay = world.relay()
    await relay.drain()

    values = {(r.name, r.labels.get("target", r.labels.get("result"))): r.value for r in [*watch.readings(), *relay.readings()]}
    assert values["outbox_pending", "authors>people"] == 1
    assert 0 <= values["outbox_oldest_unfinished_seconds", "authors>people"] < 60
    assert values["outbox_parked", "authors>people"] == 0
    assert values["outbox_attempts", "done"] == 1
