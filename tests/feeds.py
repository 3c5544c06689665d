"""A feed whose log is a list in memory: what is told, its followers have in that order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from itertools import count
from typing import Any

from gateway.errors import BadUserInput, CursorExpired
from gateway.stores.base import Collection
from gateway.writes.feed import Event


class MemoryFeed:
    """Cursors are ``<collection>@<number>``. ``kept`` is how many of the last writes of a collection are kept."""

    def __init__(self, kept: int = 1_000_000) -> None:
        self.followers = self.followed = 0  # now, and ever
        self.failing: Exception | None = None  # what the next look at the log raises
        self._kept = kept
        self._log: dict[str, list[Event]] = defaultdict(list)
        self._told = asyncio.Condition()

    async def follow(self, collection: Collection, after: str | None = None) -> AsyncGenerator[Event, None]:
        log = self._log[collection.name]
        number = len(log) if after is None else self._number(collection, after)
        self.followers += 1
        self.followed += 1
        try:
            async with aclosing(self._events(log, number)) as events:
                async for event in events:
                    yield event
        finally:
            self.followers -= 1

    async def _events(self, log: list[Event], number: int) -> AsyncGenerator[Event, None]:
        for position in count(number):
            async with self._told:
                while len(log) <= position and self.failing is None:
                    await self._told.wait()
                if self.failing is not None:
                    raise self.failing
            yield log[position]

    async def tell(
        self, collection: Collection, state: Mapping[str, Any], action: str = "insert", before: Mapping[str, Any] | None = None
    ) -> str:
        """Add a write to the log, of which columns that are not given have their defaults; return its cursor."""
        log = self._log[collection.name]
        cursor = f"{collection.name}@{len(log) + 1}"
        whole = {column.name: state.get(column.name, column.default) for column in collection.columns}
        async with self._told:
            log.append(Event(cursor, str(whole["id"]), len(log) + 1, action, None if action == "delete" else whole, before))
            self._told.notify_all()
        return cursor

    async def fail(self, error: Exception) -> None:
        """Have all who follow end with this error."""
        async with self._told:
            self.failing = error
            self._told.notify_all()

    def _number(self, collection: Collection, cursor: str) -> int:
        name, _, number = cursor.partition("@")
        if name != collection.name or not number.isdigit():
            raise BadUserInput("extensions.cursor: expected the cursor of an event of this subscription")
        if len(self._log[collection.name]) - int(number) > self._kept:
            raise CursorExpired("The events after this cursor are kept no more.")
        return int(number)


async def until_followed(feed: MemoryFeed, followers: int = 1, *, within_s: float = 30) -> None:
    """Return once so many follow the feed."""
    async with asyncio.timeout(within_s):
        while feed.followers != followers:  # noqa: ASYNC110 - of a number there is no event
            await asyncio.sleep(0.001)


async def until_followed_again(feed: MemoryFeed, times: int, *, within_s: float = 30) -> None:
    """Return once the feed was followed so many times, whoever has left since."""
    async with asyncio.timeout(within_s):
        while feed.followed != times:  # noqa: ASYNC110 - of a number there is no event
            await asyncio.sleep(0.001)
