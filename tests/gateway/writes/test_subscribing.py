"""Subscriptions of the example over the logs of its stores: what is written is told, in order, and after a cursor again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
import pytest

from gateway.context import RequestContext
from gateway.migrating import migrate
from gateway.service import Request, Response, Service
from gateway.stores import Stores
from gateway.stores.base import Collection
from gateway.writes.following import LogFeed
from resolvers.events import events
from resolvers.posts import posts
from schema import schema as graph
from tests.kinds import kinds, url_of
from tests.streams import T

RECORDED = "subscription { eventRecorded { id } }"
PUBLISHED = "subscription { postPublished { id title } }"
NAMES = ("posts", "events")
SHARED = ("sqlite", "postgresql", "mongodb")  # between processes


@dataclass(slots=True)
class Process:
    """The stores as one process has them, with its feed."""

    stores: Stores
    feed: LogFeed
    service: Service

    async def write(self, collection: Collection, *rows: dict[str, Any]) -> None:
        ctx = RequestContext(self.stores, "request-1", replication=graph.writes)
        async with ctx.transaction(collection.store) as tx:
            for row in rows:
                await tx.insert(collection, row)

    async def take(self, query: str, count: int, cursor: str | None = None, then: Any = None) -> list[Any]:
        """Return the answers to so many events, after ``then`` was done once it was followed."""
        extensions = {} if cursor is None else {"cursor": cursor}
        stream = await self.service.subscribe(Request(query, extensions=extensions), request_id="test", deadline_s=10)
        assert not isinstance(stream, Response), stream.body
        answers: list[Any] = []
        async with aclosing(stream), asyncio.timeout(60):
            taken = asyncio.ensure_future(anext(stream))
            while not taken.done() and not any(log._followers for log in self.feed._logs.values()):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.001)
            if then is not None:
                await then
            while True:
                answers.append(orjson.loads((await taken).body))
                if len(answers) == count:
                    return answers
                taken = asyncio.ensure_future(anext(stream))


@asynccontextmanager
async def process(urls: dict[str, str]) -> AsyncIterator[Process]:
    stores = Stores.connect(urls)
    await stores.open()
    feed = LogFeed(stores, poll_s=0.05)
    try:
        yield Process(stores, feed, Service(graph, stores, feed=feed))
    finally:
        await feed.close()
        await stores.close()


@asynccontextmanager
async def urls_of(kind: str) -> AsyncIterator[dict[str, str]]:
    """Give the URLs of stores of which those that are followed are of this kind, migrated."""
    async with AsyncExitStack() as stack:
        urls = {name: await stack.enter_async_context(url_of(kind)) for name in NAMES}
        urls |= {"users": "memory://", "recommendations": "memory://"}
        async with process(urls) as made:
            for name in NAMES:
                await migrate(made.stores, graph, name)
        yield urls


def event(number: int) -> dict[str, Any]:
    return {"id": f"e{number}", "type": "LIKE", "user_id": "6", "post_id": None, "occurred_at": T, "payload": {}}


def post(key: str, *, published: bool) -> dict[str, Any]:
    times = {"created_at": T, "updated_at": T}
    rest: dict[str, Any] = {"content": "", "image": None, "language": None, "forum": None, "tags": []}
    return {"id": key, "author_id": "6", "title": key, "published": published, **rest, **times}


def keys(answers: list[Any]) -> list[str]:
    return [answer["data"]["eventRecorded"]["id"] for answer in answers]


@pytest.mark.parametrize("kind", kinds(SHARED))
async def test_what_is_recorded_is_told_in_its_order(kind: str) -> None:
    async with urls_of(kind) as urls, process(urls) as one:
        await one.write(events, event(0))  # before anybody follows
        answers = await one.take(RECORDED, 3, then=one.write(events, event(1), event(2), event(3)))
    assert keys(answers) == ["Event:e1", "Event:e2", "Event:e3"]
    assert len({answer["extensions"]["cursor"] for answer in answers}) == 3


@pytest.mark.parametrize("kind", kinds(SHARED))
async def test_what_another_process_writes_is_told(kind: str) -> None:
    async with urls_of(kind) as urls, process(urls) as one, process(urls) as other:
        answers = await one.take(RECORDED, 1, then=other.write(events, event(1)))
    assert keys(answers) == ["Event:e1"]


@pytest.mark.parametrize("kind", kinds(SHARED))
async def test_it_is_resumed_without_loss_and_without_repetition(kind: str) -> None:
    count, random = 60, Random(1)
    async with urls_of(kind) as urls, process(urls) as one, process(urls) as other:
        first = await one.take(RECORDED, 1, then=one.write(events, event(0)))
        cursor = first[0]["extensions"]["cursor"]

        async def write() -> None:
            for number in range(1, count):
                await other.write(events, event(number))

        writing = asyncio.ensure_future(write())
        seen: list[str] = keys(first)
        while len(seen) < count:  # the client is lost again and again, and comes back with what it has
            answers = await one.take(RECORDED, min(random.randint(1, 20), count - len(seen)), cursor)
            seen += keys(answers)
            cursor = answers[-1]["extensions"]["cursor"]
        await writing
    assert seen == [f"Event:e{number}" for number in range(count)]


@pytest.mark.parametrize("kind", kinds(SHARED))
async def test_a_post_is_published_once(kind: str) -> None:
    async with urls_of(kind) as urls, process(urls) as one:

        async def write() -> None:
            await one.write(posts, post("draft", published=False), post("born", published=True))
            ctx = RequestContext(one.stores, "request-2", replication=graph.writes)
            async with ctx.transaction("posts") as tx:
                await tx.update(posts, "draft", {"published": True})
                await tx.update(posts, "born", {"title": "other"})
            await one.write(posts, post("last", published=True))

        answers = await one.take(PUBLISHED, 3, then=write())
    assert [answer["data"]["postPublished"]["id"] for answer in answers] == ["Post:born", "Post:draft", "Post:last"]


@pytest.mark.parametrize("kind", kinds(SHARED))
async def test_a_cursor_of_another_noun_is_refused(kind: str) -> None:
    async with urls_of(kind) as urls, process(urls) as one:
        [answer] = await one.take(RECORDED, 1, then=one.write(events, event(0)))
        [refused] = await one.take(PUBLISHED, 1, answer["extensions"]["cursor"])
    assert refused["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
