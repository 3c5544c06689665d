"""Ask a server over keep-alive connections, each with one request at a time, and keep how long every answer took.

PERF: written on asyncio's protocols: about 20,000 answers a second of one core, so that the client is not what is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import cast

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(slots=True)
class Load:
    """What was asked and what came back; ``latencies_s`` has one entry per answer that came before the end.

    It ends at a time, or with the last answer to ``most`` requests.
    """

    requests: Sequence[bytes]
    until: float
    most: int | None = None
    asked: int = 0
    latencies_s: list[float] = field(default_factory=list)
    failure: str | None = None

    def is_over(self, now: float) -> bool:
        return now >= self.until or (self.most is not None and self.asked >= self.most)


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load, offset: int, done: asyncio.Future[None]) -> None:
        self._load, self._done = load, done
        count = len(load.requests)
        self._requests = cycle(load.requests[offset % count :] + load.requests[: offset % count])  # type: ignore[operator]
        self._buffer = b""
        self._missing = -1  # bytes of the answer that have not come; -1 while its head has not
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        if self._load.is_over(time.perf_counter()):  # the connections before this one have asked all there was
            self._transport.close()
        else:
            self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._load.asked += 1
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            data = self._buffer + data
            end = data.find(_HEAD_END)
            if end < 0:
                self._buffer = data
                return
            self._buffer = b""
            self._read_head(data[:end])
            data = data[end + 4 :]
        self._missing -= len(data)
        if self._missing == 0:
            self._answered()

    def _read_head(self, head: bytes) -> None:
        at = head.lower().find(_LENGTH)
        if not head.startswith(b"HTTP/1.1 200") or at < 0:
            self._load.failure = head.decode(errors="replace")
            self._transport.close()
            return
        self._missing = int(head[at + len(_LENGTH) :].partition(b"\r")[0])

    def _answered(self) -> None:
        now = time.perf_counter()
        self._missing = -1
        if now < self._load.until:
            self._load.latencies_s.append(now - self._sent)
        if self._load.is_over(now):
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or (not self._load.is_over(time.perf_counter()) and self._load.failure is None):
            self._load.failure = f"the connection was lost: {exc}"
        if not self._done.done():
            self._done.set_result(None)


async def ask_for(port: int, bodies: Sequence[bytes], *, connections: int, seconds: float) -> list[float]:
    """Return the latencies of all answers within ``seconds``, in seconds. RuntimeError when an answer is not a 200."""
    return await _ask(port, Load([_request(body) for body in bodies], time.perf_counter() + seconds), connections, seconds + 60)


async def ask_times(port: int, bodies: Sequence[bytes], *, connections: int, requests: int, timeout_s: float = 300) -> list[float]:
    """Return the latencies of the answers to exactly ``requests`` requests. RuntimeError when an answer is not a 200."""
    load = Load([_request(body) for body in bodies], time.perf_counter() + timeout_s, requests)
    return await _ask(port, load, min(connections, requests), timeout_s)


async def _ask(port: int, load: Load, connections: int, timeout_s: float) -> list[float]:
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    for number, end in enumerate(ends):
        await loop.create_connection(lambda n=number, e=end: _Connection(load, n * 7, e), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.wait_for(asyncio.gather(*ends), timeout_s)
    if load.failure:
        raise RuntimeError(load.failure)
    return load.latencies_s


def _request(body: bytes) -> bytes:
    head = (
        "POST /graphql HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        "Accept: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(head).encode() + _HEAD_END + body
