"""Answers that their clients do not take: how much of the process they hold, and who is cut for it.

A server writes an answer into its transport's buffer at once; a client that does not read leaves it there. Each such connection is
watched: one that takes less than ``TRICKLE_BYTES`` in ``timeout_s`` is cut. Where all of them together hold more than ``limit_bytes``, the
longest-stalled go first, and ``is_over`` stays true for as long as that was not enough: then new requests are refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from time import monotonic

from gateway.observability.metrics import Reading

try:
    from fcntl import ioctl
    from termios import TIOCOUTQ
except ImportError:  # Windows
    ioctl = None  # type: ignore[assignment]

TRICKLE_BYTES = 16 * 1024
STALLED_S = 1.0  # who took that much within this time is not cut for the sake of others
LOOK_EVERY_S = 0.25
LOOK_EVERY_WHEN_OVER_S = 0.025  # while new requests are refused

_log = logging.getLogger("gateway.http")


class Reader:
    """A connection with something to be taken, and what was taken of it since ``since``."""

    __slots__ = ("_left", "_socket", "_taken", "since", "size", "transport")

    def __init__(self, transport: asyncio.Transport, now: float) -> None:
        self.transport = transport
        self._socket = transport.get_extra_info("socket")
        self.since = now
        self._taken = 0
        self.size = _buffered(transport)
        self._left = self.size + _in_kernel(self._socket)

    def observe(self, now: float) -> None:
        self.size = _buffered(self.transport)
        # What the kernel holds counts for the progress: it asks for more only once a large part of its own buffer, which may be
        # megabytes, was taken, so that a slow reader would look like none.
        left = self.size + _in_kernel(self._socket)
        self._taken += max(0, self._left - left)
        self._left = left
        if self._taken >= TRICKLE_BYTES:
            self._taken = 0
            self.since = now


class Unread:
    """The readers of one server. Its clock ticks only while there are any."""

    def __init__(self, *, timeout_s: float, limit_bytes: int, now: Callable[[], float] = monotonic) -> None:
        self.is_over = False
        self.size = 0  # bytes in the process, at the last look
        self._timeout_s = timeout_s
        self._limit_bytes = limit_bytes
        self._now = now
        self._readers: set[Reader] = set()
        self._cut = Counter(slow=0, memory=0)
        self._ticking: asyncio.AbstractEventLoop | None = None

    def watch(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> Reader:
        reader = Reader(transport, self._now())
        self._readers.add(reader)
        self._count(reader.size)
        if self._ticking is not loop:
            self._ticking = loop
            loop.call_later(self._period(), self._tick)
        return reader

    def observe(self, reader: Reader) -> None:
        """Look at one reader, before or after more is written to it."""
        size = reader.size
        reader.observe(self._now())
        self._count(reader.size - size)

    def forget(self, reader: Reader) -> None:
        if reader in self._readers:
            self._readers.discard(reader)
            self._count(-reader.size)

    def look(self) -> None:
        """Look at all readers, and cut who is to be cut."""
        now = self._now()
        for reader in list(self._readers):
            reader.observe(now)
            if not reader.size:
                self._readers.discard(reader)
            elif now - reader.since >= self._timeout_s:
                self._end(reader, "slow", now)
        self.size = sum(reader.size for reader in self._readers)
        self._count(0)
        if not self.is_over:
            return
        for reader in sorted(self._readers, key=lambda reader: reader.since):
            if not self.is_over or now - reader.since < STALLED_S:
                return
            self._end(reader, "memory", now)
            self._count(-reader.size)

    def readings(self) -> Iterator[Reading]:
        yield Reading("unread_bytes", "Bytes of answers that their clients did not take yet.", self.size, is_counter=False)
        for reason, count in self._cut.items():
            yield Reading("clients_cut", "Connections cut because their clients did not read.", count, {"reason": reason})

    def _count(self, more: int) -> None:
        self.size += more
        self.is_over = self.size > self._limit_bytes

    def _end(self, reader: Reader, reason: str, now: float) -> None:
        self._readers.discard(reader)
        self._cut[reason] += 1
        fields = {"reason": reason, "unread": reader.size, "seconds": round(now - reader.since, 1)}
        _log.warning("a client that does not read was cut", extra={"fields": fields})
        reader.transport.abort()

    def _period(self) -> float:
        return LOOK_EVERY_WHEN_OVER_S if self.is_over else min(LOOK_EVERY_S, self._timeout_s / 4)

    def _tick(self) -> None:
        self.look()
        if not self._readers:
            self._ticking = None
        elif self._ticking is not None:
            self._ticking.call_later(self._period(), self._tick)


def _buffered(transport: asyncio.Transport) -> int:
    try:
        return transport.get_write_buffer_size()
    except RuntimeError:  # uvloop, where the client has reset the connection
        return 0


def _in_kernel(connection: object) -> int:
    """Return the bytes that the kernel has sent without being told of their receipt, or has yet to send; 0 where it cannot say."""
    if ioctl is None or connection is None:
        return 0
    try:
        return int.from_bytes(ioctl(connection.fileno(), TIOCOUTQ, bytes(4)), "little")  # type: ignore[attr-defined]
    except (OSError, ValueError):
        return 0
