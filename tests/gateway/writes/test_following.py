"""The log as a stream: everything once and in order, from a cursor or from now on, and nobody waits for who is slow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from gateway.errors import BadUserInput, CursorExpired, SlowReader
from gateway.stores.base import Upsert
from gateway.writes.feed import Event
from gateway.writes.following import LogFeed
from gateway.writes.keeping import Keeping
from gateway.writes.own import Own
from tests.gateway.writes.relays import World, act, acts, author, authors, book, books, carried
from tests.kinds import kinds

WAIT_S = 30.0


@pytest.fixture(params=kinds(["memory", "sqlite", "postgresql", "mongodb", "neo4j"]))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with carried(request.param, "memory") as made:
        yield made


@pytest.fixture
async def feed(world: World) -> AsyncIterator[LogFeed]:
    made = LogFeed(world.stores, poll_s=0.02, queue=8)
    yield made
    await made.close()


def begin(events: AsyncIterator[Event]) -> asyncio.Task[Event]:
    """Ask for the first event, which tells that the stream has begun."""

    async def first() -> Event:
        return await anext(events)

    return asyncio.create_task(first())


async def begun(*followers: Any) -> None:
    """Return once it is known where in the log they begin: what is written afterwards is theirs."""
    async with asyncio.timeout(WAIT_S):
        for follower in followers:
            await asyncio.shield(follower._start)


async def _next_or_none(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(WAIT_S):
        return [await anext(events) for _ in range(count)]


async def insert(world: World, number: int) -> None:
    async def work(tx: Any) -> None:
        await tx.insert(books, book(f"b{number:03}"))

    await world.write(work)


async def test_what_is_written_from_now_on_is_given_in_order(world: World, feed: LogFeed) -> None:
    await insert(world, 0)
    events = feed.follow(books)
    first = begin(events)
    await begun(events)
    for number in (1, 2, 3):
        await insert(world, number)
    await world.write(lambda tx: tx.insert(authors, author("1")))  # another noun, which nobody follows here
    await world.write(lambda tx: tx.update(books, "b001", {"title": "new"}))
    await world.write(lambda tx: tx.delete(books, "b002"))

    async with asyncio.timeout(WAIT_S):
        given = [await first, *await take(events, 4)]

    assert [(event.key, event.version, event.action) for event in given] == [
        ("b001", 1, "insert"),
        ("b002", 1, "insert"),
        ("b003", 1, "insert"),
        ("b001", 2, "update"),
        ("b002", 2, "delete"),
    ]
    assert given[0].state == book("b001")
    assert given[3].before == book("b001")
    assert given[3].state == book("b001", title="new")
    assert given[4].state is None


async def test_a_cursor_goes_on_behind_its_event_exactly_once(world: World, feed: LogFeed) -> None:
    """A client leaves at random points and comes again, while writes go on."""
    rng = random.Random(3)
    events = feed.follow(books)
    started = begin(events)
    await begun(events)

    async def write() -> None:
        for number in range(60):
            await insert(world, number)

    writing = asyncio.create_task(write())
    async with asyncio.timeout(WAIT_S):
        given = [await started]
    while len(given) < 60:
        await events.aclose()  # type: ignore[attr-defined]
        events = feed.follow(books, given[-1].cursor)
        given += await take(events, min(rng.randrange(1, 9), 60 - len(given)))
    await writing

    assert [event.key for event in given] == [f"b{number:03}" for number in range(60)]


async def test_one_whose_queue_is_full_misses_nothing(world: World, feed: LogFeed) -> None:
    events = feed.follow(books)
    started = begin(events)
    await begun(events)
    await world.write(lambda tx: tx.insert_many(books, [book(f"b{number:03}") for number in range(50)]))
    async with asyncio.timeout(WAIT_S):
        given = [await started, *await take(events, 49)]

    assert [event.key for event in given] == [f"b{number:03}" for number in range(50)]


async def test_all_who_follow_hear_the_same_and_one_who_is_slow_is_ended(world: World) -> None:
    feed = LogFeed(world.stores, poll_s=0.02, queue=8, stalled_s=0.0)
    slow, quick = feed.follow(books), feed.follow(books)
    tasks = [begin(events) for events in (slow, quick)]
    await begun(slow, quick)
    given = []
    for number in range(20):
        await insert(world, number)
        async with asyncio.timeout(WAIT_S):
            given.append(await (tasks[1] if number == 0 else anext(quick)))
    async with asyncio.timeout(WAIT_S):
        taken = [await tasks[0]]
        ended = None
        while ended is None:
            try:
                taken.append(await anext(slow))
            except SlowReader as error:
                ended = error

    assert [event.key for event in given] == [f"b{number:03}" for number in range(20)]
    assert ended.code == "SLOW_READER"
    again = feed.follow(books, taken[-1].cursor)
    assert [event.key for event in await take(again, 20 - len(taken))] == [f"b{n:03}" for n in range(len(taken), 20)]
    await feed.close()


async def test_a_cursor_whose_events_are_kept_no_more_is_expired(world: World, feed: LogFeed) -> None:
    events = feed.follow(books)
    started = begin(events)
    await begun(events)
    for number in range(3):
        await insert(world, number)
    async with asyncio.timeout(WAIT_S):
        first, second = await started, await anext(events)
    await world.drain()
    keeping = Keeping(world.stores, "home")
    assert (await keeping.prune({"outbox": timedelta(0)}, lambda _: None))["outbox"] == 3
    await insert(world, 3)

    for cursor in (first.cursor, second.cursor):
        with pytest.raises(CursorExpired):
            await take(feed.follow(books, cursor), 1)


async def test_cursors_from_before_a_restore_are_expired(world: World, feed: LogFeed) -> None:
    events = feed.follow(books)
    started = begin(events)
    await begun(events)
    await insert(world, 0)
    async with asyncio.timeout(WAIT_S):
        event = await started
    assert await Keeping(world.stores, "home").raise_epoch() == 1

    with pytest.raises(CursorExpired):
        await take(feed.follow(books, event.cursor), 1)


async def test_what_is_no_cursor_of_this_collection_is_refused(world: World, feed: LogFeed) -> None:
    events = feed.follow(acts)
    started = begin(events)
    await begun(events)
    await world.write(lambda tx: tx.insert(acts, act("a")))
    async with asyncio.timeout(WAIT_S):
        other = (await started).cursor

    for text in ("", "no cursor", "AAAA", "Ä", other):
        with pytest.raises(BadUserInput):
            await take(feed.follow(books, text), 1)


async def test_an_update_of_a_row_that_the_log_does_not_know_has_its_state_before_from_the_audit(world: World, feed: LogFeed) -> None:
    await Own(world.stores).ask(Upsert(books, [tuple(book("old", out=False).values())]))
    events = feed.follow(books)
    started = begin(events)
    await begun(events)
    await world.write(lambda tx: tx.update(books, "old", {"out": True}))
    async with asyncio.timeout(WAIT_S):
        event = await started

    assert event.version == 1
    assert event.before == book("old", out=False)


async def test_one_who_is_closed_while_he_waits_is_ended(feed: LogFeed) -> None:
    events = feed.follow(books)
    waiting: asyncio.Task[Event | None] = asyncio.create_task(_next_or_none(events))
    await begun(events)
    await events.aclose()  # type: ignore[attr-defined]

    assert await asyncio.wait_for(waiting, WAIT_S) is None


async def test_one_who_is_closed_before_he_has_begun_is_ended(feed: LogFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> int:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("gateway.writes.sequencer.Sequencer.settle", never)
    events = feed.follow(books)
    waiting = asyncio.create_task(_next_or_none(events))
    await asyncio.sleep(0.05)
    await events.aclose()  # type: ignore[attr-defined]
    assert await asyncio.wait_for(waiting, WAIT_S) is None
