"""What an operator does with a log: parked deliveries, replays, pruning."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from gateway.stores.base import Insert
from gateway.writes.declarations import State, replicate
from gateway.writes.keeping import Keeping
from gateway.writes.own import Own
from gateway.writes.tables import PARKED
from gateway.writes.worker import ATTEMPTS
from tests.gateway.writes.relays import TARGETS, World, act, acts, author, authors, book, books, carried, people, to_wrote
from tests.kinds import kinds


class Refusing:
    """Rows of a target that refuses some names until it is told to take them."""

    def __init__(self) -> None:
        self.refuses = True

    def __call__(self, state: State) -> list[Any]:
        if self.refuses and state["name"] == "poison":
            raise ValueError("a name that cannot be")
        return [(state["id"], state["name"], state["email"], state["born"])]


@pytest.fixture
def rows() -> Refusing:
    return Refusing()


@pytest.fixture(params=kinds(["memory", "sqlite", "postgresql", "mongodb"]))
async def world(request: pytest.FixtureRequest, rows: Refusing) -> AsyncIterator[World]:
    targets = [replicate(authors, to=people, rows=rows), *(target for target in TARGETS if target.name != "authors>people")]
    async with carried(request.param, "memory", targets) as made:
        yield made


@pytest.fixture
async def parked(world: World) -> Keeping:
    await world.write(lambda tx: tx.insert_many(authors, [author("1", name="poison"), author("2", name="poison"), author("3")]))
    for _ in range(ATTEMPTS):
        await world.drain()
    assert [row["state"] for row in await world.deliveries()] == [PARKED, PARKED]
    return Keeping(world.stores, "home")


async def test_what_is_parked_is_told_with_its_reason(parked: Keeping) -> None:
    found = [one async for one in parked.parked()]

    assert [(one.target, one.noun, one.key, one.version, one.attempts, one.error) for one in found] == [
        ("authors>people", "authors", key, 1, ATTEMPTS, "ValueError: a name that cannot be") for key in ("1", "2")
    ]
    assert [one async for one in parked.parked(["books>wrote"])] == []
    assert [one.key async for one in parked.parked(ids=[found[1].outbox])] == [found[1].key]


async def test_a_retry_goes_through_where_the_target_takes_it_now(world: World, parked: Keeping, rows: Refusing) -> None:
    """R16."""
    rows.refuses = False
    for one in [one async for one in parked.parked()]:
        assert await parked.retry(one)
        assert not await parked.retry(one)  # it is parked no more
    await world.drain()

    assert [row[:2] for row in await world.rows(people)] == [("1", "poison"), ("2", "poison"), ("3", "author 3")]
    assert await world.deliveries() == []


async def test_what_is_skipped_is_never_delivered(world: World, parked: Keeping, rows: Refusing) -> None:
    rows.refuses = False
    for one in [one async for one in parked.parked()]:
        assert await parked.skip(one)
        assert not await parked.skip(one)
    await world.drain()

    assert [row[0] for row in await world.rows(people)] == ["3"]


async def _write(number: int, tx: Any) -> None:
    await tx.insert(authors, author(f"{number}"))
    await tx.insert(books, book(f"b{number}", f"{number}"))
    await tx.insert(acts, act(f"a{number}", f"{number}", f"b{number}"))


async def test_three_full_replays_change_nothing(world: World) -> None:
    for number in range(4):
        await world.write(partial(_write, number))
    await world.write(lambda tx: tx.update(authors, "1", {"name": "renamed"}))
    await world.write(lambda tx: tx.delete(authors, "2"))
    await world.drain()
    before = await world.away()
    home = [await world.rows(collection) for collection in (authors, books, acts)]
    keeping = Keeping(world.stores, "home")

    for _ in range(3):
        assert await keeping.replay(world.targets, datetime(2000, 1, 1, tzinfo=UTC), lambda _: None) > 10
        assert await world.drain() > 10
        assert await world.away() == before
        assert [await world.rows(collection) for collection in (authors, books, acts)] == home
        assert await world.deliveries() == []


async def test_a_replay_is_of_what_was_written_since_then(world: World) -> None:
    await world.write(partial(_write, 1))
    await world.drain()

    assert await Keeping(world.stores, "home").replay([to_wrote], datetime.now(UTC) + timedelta(hours=1), lambda _: None) == 0
    assert await Keeping(world.stores, "home").replay([to_wrote], datetime.now(UTC) - timedelta(hours=1), lambda _: None) == 1


async def test_nothing_is_pruned_that_a_target_has_yet_to_hear(world: World, parked: Keeping) -> None:
    assert await parked.prune({"outbox": timedelta(0), "audit": timedelta(0)}, lambda _: None) == {"outbox": 1, "audit": 3}

    assert sorted(row["key"] for row in await world.states(world.tables.outbox)) == ["1", "2"]


async def test_what_came_after_an_open_cascade_is_not_pruned(world: World, parked: Keeping) -> None:
    """By what the log says of a row a cascade tells whether it was there before, and is to go, or came later."""
    [first, *_] = await world.deliveries()
    since = await parked.open_since([first["target"]])
    states = {row["id"]: row for row in await world.states(world.tables.outbox)}
    assert since == states[first["outbox"]]["at"]
    assert await parked.open_since(["nobody"]) is None

    assert await parked.prune({"outbox": timedelta(0)}, lambda _: None, kept_since=since) == {"outbox": 0}
    assert len(await world.states(world.tables.outbox)) == len(states)


async def test_only_what_is_old_is_pruned(world: World) -> None:
    await world.write(partial(_write, 1))
    await world.drain()
    idempotency = world.tables.idempotency
    old = "2020-01-01T00:00:00.000Z"
    await Own(world.stores).ask(Insert(idempotency, idempotency.names, [("key", "hash", {}, old)]))
    ages = {"outbox": timedelta(days=7), "idempotency": timedelta(hours=24), "audit": timedelta(days=1)}

    assert await Keeping(world.stores, "home").prune(ages, lambda _: None) == {"outbox": 0, "idempotency": 1, "audit": 0}
    assert len(await world.rows(world.tables.outbox)) == 3


async def test_an_epoch_counts_up(world: World) -> None:
    keeping = Keeping(world.stores, "home")

    assert [await keeping.epoch(), await keeping.raise_epoch(), await keeping.raise_epoch(), await keeping.epoch()] == [0, 1, 2, 2]
