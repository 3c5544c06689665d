"""The example over memory stores with a feed in memory, and what watches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import orjson
import pytest

from gateway.graph import Graph
from gateway.security.limits import Limits
from gateway.service import Request, Response, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Type, Upsert
from gateway.stores.memory import MemoryStore
from resolvers.events import events
from resolvers.posts import posts
from resolvers.users import users
from schema import schema as example
from tests.feeds import MemoryFeed, until_followed
from tests.services import STORES

T = "2026-01-01T00:00:00.000Z"
RECORDED = """subscription ($user: ID, $types: [String!]) {
    eventRecorded(userId: $user, types: $types) { id type user { name } post { title } }
}"""


class World:
    """The example over memory stores, with a feed."""

    def __init__(self, graph: Graph = example, limits: Limits | None = None, kept: int = 1_000) -> None:
        self.memory = {name: MemoryStore(name) for name in graph.store_names or STORES}
        self.stores = Stores(self.memory)
        self.feed = MemoryFeed(kept)
        self.service = Service(graph, self.stores, limits, feed=self.feed)

    async def fill(self) -> None:
        await self.stores.open()
        await self.stores.ask(Upsert(users, [row_of(users, id=key, name=f"user {key}", email=key) for key in ("6", "7")]))
        await self.stores.ask(Upsert(posts, [row_of(posts, id="p1", author_id="6", title="first")]))

    @asynccontextmanager
    async def watching(self, query: str, **options: Any) -> AsyncIterator[Watched]:
        """Give a subscription that is followed already."""
        values = options.pop("values", {})
        stream = await self.service.subscribe(Request(query, **options), request_id="test", deadline_s=5, values=values)
        assert not isinstance(stream, Response), stream.body
        before = self.feed.followers
        async with aclosing(stream):
            watched = Watched(stream)
            await until_followed(self.feed, before + 1)
            try:
                yield watched
            finally:
                await watched.stop()

    async def recorded(self, key: str, type_: str = "LIKE", user: str = "6", action: str = "insert", post: str | None = "p1") -> str:
        state = {"id": key, "type": type_, "user_id": user, "post_id": post, "occurred_at": T}
        return await self.feed.tell(events, state, action)


class Watched:
    """Takes one response after the other, so that the stream waits for its next event."""

    def __init__(self, stream: AsyncGenerator[Response, None]) -> None:
        self._stream = stream
        self._next: asyncio.Future[Response] | None = asyncio.ensure_future(anext(stream))

    async def response(self) -> Response:
        assert self._next is not None
        async with asyncio.timeout(30):
            response = await self._next
        self._next = asyncio.ensure_future(anext(self._stream))
        return response

    async def next(self) -> Any:
        return orjson.loads((await self.response()).body)

    async def ended(self) -> bool:
        assert self._next is not None
        with pytest.raises(StopAsyncIteration):
            await self._next
        return True

    async def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)


def row_of(collection: Collection, **values: Any) -> tuple[Any, ...]:
    return tuple(values.get(c.name, T if c.type is Type.TIME else c.default) for c in collection.columns)
