"""Messages on their way to a client that has a connection open: a few of them wait, for a short time, and no more."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.deadlines import Deadlines
from gateway.errors import SlowReader

QUEUE_BYTES = 1024 * 1024  # of messages that wait; one that is longer waits alone


class Outgoing:
    """At most ``most`` messages. One that has found no place after ``stalled_s`` seconds is a SlowReader."""

    def __init__(self, most: int, stalled_s: float, deadlines: Deadlines) -> None:
        self._most = most
        self._stalled_s = stalled_s
        self._deadlines = deadlines
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._any = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    async def put(self, its: str, message: bytes) -> None:
        """Add a message of an operation; SlowReader where the client does not take those before it."""
        if self._is_full(message):
            try:
                with self._deadlines.within(self._stalled_s):
                    while self._is_full(message):
                        self._room.clear()
                        await self._room.wait()
            except TimeoutError:
                raise slow_reader(self._stalled_s) from None
        self.put_now(its, message)

    def put_now(self, its: str, message: bytes) -> None:
        """Add a message that is short and answers one of the client's: it reads no more of those before it is sent."""
        self._waiting.append((its, message))
        self._bytes += len(message)
        self._any.set()

    async def take(self) -> bytes:
        """Return the next message, once there is one."""
        while not self._waiting:
            self._any.clear()
            await self._any.wait()
        _, message = self._waiting.popleft()
        self._bytes -= len(message)
        self._room.set()
        return message

    def drop(self, its: str) -> None:
        """Forget what waits of an operation."""
        kept = [item for item in self._waiting if item[0] != its]
        if len(kept) < len(self._waiting):
            self._waiting = deque(kept)
            self._bytes = sum(len(message) for _, message in kept)
            self._room.set()

    def _is_full(self, message: bytes) -> bool:
        return bool(self._waiting) and (len(self._waiting) >= self._most or self._bytes + len(message) > QUEUE_BYTES)


def slow_reader(seconds: float) -> SlowReader:
    return SlowReader(f"Messages were not taken for {seconds:g} s (setting stream_stalled_s).", setting="stream_stalled_s")
