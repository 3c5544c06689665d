"""The relay over real stores: everything arrives, once in effect and in order, whatever dies in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.stores.base import Fetch
from gateway.writes.appliers import Item, ReplicaApplier
from gateway.writes.declarations import FollowUp, State, replicate
from gateway.writes.own import Own
from gateway.writes.tables import PARKED, PENDING, tables_of
from gateway.writes.worker import ATTEMPTS, BACKOFF_MAX_S, backoff
from tests.gateway.writes import relays
from tests.gateway.writes.relays import (
    TARGETS,
    Fault,
    Killed,
    World,
    act,
    acts,
    author,
    authors,
    book,
    books,
    carried,
    likes,
    people,
    to_people,
    to_wrote,
    wrote,
)
from tests.kinds import KINDS, _marks

PAIRS = [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "postgresql")]
HOMES = ["sqlite", "postgresql"]


def pairs(those: list[tuple[str, str]] = PAIRS) -> list[Any]:
    return [pytest.param(pair, id="-".join(pair), marks=[*_marks(KINDS[pair[0]]), *_marks(KINDS[pair[1]])]) for pair in those]


@pytest.fixture(params=pairs())
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with carried(*request.param) as made:
        yield made


@pytest.fixture(params=[pytest.param(kind, marks=_marks(KINDS[kind])) for kind in HOMES])
async def home(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with carried(request.param, "sqlite") as made:
        yield made


async def test_writes_reach_all_their_targets_and_nothing_is_left(world: World) -> None:
    async def work(tx: Any) -> None:
        await tx.insert(authors, author("1"))
        await tx.insert_many(books, [book(f"b{n}") for n in range(3)])
        await tx.insert(acts, act("a", book_id="b1"))
        await tx.insert(acts, act("v", kind="VIEW"))

    await world.write(work)
    count = len(await world.deliveries())

    assert await world.drain() == count == 6
    assert await world.away() == await world.expected()
    assert (await world.away())["wrote"] == [("1", "b0"), ("1", "b1"), ("1", "b2")]
    assert await world.deliveries() == []


async def test_updates_and_deletions_follow(world: World) -> None:
    await world.write(lambda tx: tx.insert(authors, author("1")))
    await world.write(lambda tx: tx.insert(books, book("b")))
    await world.drain()
    await world.write(lambda tx: tx.update(authors, "1", {"name": "Ada", "born": None}))
    await world.write(lambda tx: tx.update(books, "b", {"author_id": "2"}))
    await world.drain()

    assert await world.away() == {"people": [("1", "Ada", "1@example.org", None)], "wrote": [("2", "b")], "likes": []}

    await world.write(lambda tx: tx.delete(authors, "1"))
    await world.write(lambda tx: tx.delete(books, "b"))
    await world.drain()

    assert await world.away() == {"people": [], "wrote": [], "likes": []}
