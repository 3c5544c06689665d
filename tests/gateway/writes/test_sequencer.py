"""Positions: without gaps, in the order of each aggregate, given once, whoever gives them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.stores.base import Insert
from gateway.writes import sequencer as sequencing
from gateway.writes.own import Own
from gateway.writes.sequencer import Sequencer
from tests.gateway.writes.relays import World, author, authors, book, books, carried
from tests.kinds import kinds


@pytest.fixture(params=kinds(["memory", "sqlite", "postgresql", "mongodb", "neo4j"]))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with carried(request.param, "memory") as made:
        yield made


async def positions(world: World) -> list[tuple[int, str, int]]:
    rows = await world.states(world.tables.outbox)
    return sorted((row["position"], row["key"], row["version"]) for row in rows)


async def _write(number: int, tx: Any) -> None:
    await tx.insert(books, book(f"b{number:02}"))


async def test_positions_have_no_gaps_and_go_on_where_they_were(world: World) -> None:
    sequencer = Sequencer(world.stores, "home", "me")
    await world.write(lambda tx: tx.insert_many(authors, [author("1"), author("2")]))
    assert await sequencer.step() == 2
    assert await sequencer.step() == 0
    await world.write(lambda tx: tx.update(authors, "2", {"name": "x"}))
    assert await sequencer.settle() == 3

    assert [position for position, _, _ in await positions(world)] == [1, 2, 3]
    assert (await positions(world))[2] == (3, "2", 2)


async def test_several_at_once_give_each_number_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencing, "ROWS_PER_STEP", 3)
    for number in range(20):
        await world.write(partial(_write, number))
    several = [Sequencer(world.stores, "home", f"process {n}") for n in range(3)]

    async def settle(sequencer: Sequencer) -> None:
        while True:
            try:
                await sequencer.settle()
            except GatewayError:  # another one was in the way
                continue
            return

    await asyncio.gather(*map(settle, several))

    assert [position for position, _, _ in await positions(world)] == list(range(1, 21))


async def test_an_aggregates_versions_keep_their_order_where_clocks_differ(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that wrote the second version has a clock that is behind: its id is smaller, and in another page."""
    monkeypatch.setattr(sequencing, "ROWS_PER_STEP", 2)
    outbox = world.tables.outbox
    rows = [("3", "a", 1), ("1", "a", 2), ("2", "b", 1), ("4", "a", 3)]
    at = "2026-01-01T00:00:00.000Z"
    await Own(world.stores).ask(
        Insert(
            outbox,
            ("id", "noun", "key", "epoch", "version", "action", "state", "at"),
            [(id_, "books", key, 0, version, "update", {}, at) for id_, key, version in rows],
        )
    )

    await Sequencer(world.stores, "home", "me").settle()

    given = await positions(world)
    assert [position for position, _, _ in given] == [1, 2, 3, 4]
    assert [version for _, key, version in given if key == "a"] == [1, 2, 3]


async def test_while_one_process_does_it_others_leave_it_alone(world: World) -> None:
    first, second = Sequencer(world.stores, "home", "first"), Sequencer(world.stores, "home", "second")
    await world.write(partial(_write, 1))
    assert await first.step() == 1
    await world.write(partial(_write, 2))

    assert await second.step() == 0
    assert await first.step() == 1


async def test_who_ends_lets_another_go_on_at_once(world: World) -> None:
    first, second = Sequencer(world.stores, "home", "first"), Sequencer(world.stores, "home", "second")
    await world.write(partial(_write, 1))
    assert await first.step() == 1
    await first.release()
    await world.write(partial(_write, 2))
    assert await second.step() == 1

    await first.release()  # it is another's now
    await world.write(partial(_write, 3))
    assert await first.step() == 0
    assert await second.step() == 1
