"""Clients of a soak: those that ask and read, and those that leave in the middle, reset the connection, or do not read."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.fuzzing.checks import codes
from tests.fuzzing.gateways import UNFINISHED_S
from tests.fuzzing.messages import Message
from tests.serving import Answer, read_answer
from tests.soak.mix import BIG, Mix, Planned

ANSWER_S = 30.0
REMEMBERED_S = 0.03  # requests that took longer are kept, to be named beside a stall
PIPELINED = 20  # requests that a client sends who does not read
DEAF_S = 3.0
DEAF_CLIENTS = 4
LEAVE_WITHIN_S = 0.05


@dataclass(frozen=True, slots=True)
class Slow:
    """A request that took a while, on the monotonic clock."""

    started: float
    ended: float
    name: str


@dataclass(slots=True)
class Seen:
    """What came back."""

    sent: Counter[str] = field(default_factory=Counter)  # by sort
    statuses: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    good_s: list[float] = field(default_factory=list)
    not_whole: Counter[str] = field(default_factory=Counter)  # good requests that were not answered whole, by name
    internal: Counter[str] = field(default_factory=Counter)  # requests that met an unexpected error, by name
    slow: list[Slow] = field(default_factory=list)
    awkward: Counter[str] = field(default_factory=Counter)

    def answered(self, planned: Planned, answer: Answer | None, started: float) -> None:
        now = time.monotonic()
        self.sent[planned.sort] += 1
        status = "none" if answer is None else str(answer.status)
        self.statuses[status] += 1
        found = set(codes(answer)) if answer is not None and (answer.status != 200 or b'"errors":' in answer.body) else set()
        self.codes.update(found)
        if status == "500" or "INTERNAL_SERVER_ERROR" in found:
            self.internal[planned.name] += 1
        if planned.sort == "good":
            self.good_s.append(now - started)
            if status != "200" or found:
                self.not_whole[f"{planned.name}: {', '.join(sorted(found)) or status}"] += 1
        if now - started > REMEMBERED_S:
            self.slow.append(Slow(started, now, planned.name))


class Pace:
    """Gives turns at a steady rate; who comes late has the next one at once, and turns that nobody took are not made up for."""

    def __init__(self, per_second: float, until: float) -> None:
        self._step = 1 / per_second
        self._next = time.monotonic()
        self._until = until

    async def turn(self) -> bool:
        """Wait for the next turn; False when the time is over."""
        now = time.monotonic()
        at = max(self._next, now - self._step)
        self._next = at + self._step
        if at >= self._until:
            return False
        if at > now:
            await asyncio.sleep(at - now)
        return time.monotonic() < self._until


async def ask(port: int, mix: Mix, pace: Pace, seen: Seen) -> None:
    """Ask what the mix gives, turn by turn, over a connection that is kept as long as the server keeps it."""
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    try:
        while await pace.turn():
            planned, started = mix.next(), time.monotonic()
            answer = None
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", port)
                answer = await _asked(*connection, planned.message)
            except (OSError, EOFError, TimeoutError):
                pass
            seen.answered(planned, answer, started)
            is_kept = answer is not None and planned.message.is_whole and answer.headers.get(b"connection") != b"close"
            if connection is not None and not is_kept:
                connection[1].transport.abort()
                connection = None
    finally:
        if connection is not None:
            connection[1].close()


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message) -> Answer:
    writer.write(message.wire)
    async with asyncio.timeout(ANSWER_S if message.is_whole else UNFINISHED_S):
        return await read_answer(reader, message.method)


# -------------------------------------------------------------------------------------------------------------- awkward

_RST = struct.pack("ii", 1, 0)  # linger for no time: what is left is thrown away, and the other side gets a RST
_BIG = Message.post(BIG.body).framed().wire


async def leave(port: int, draw: Random) -> None:
    """Ask much, and close the connection before the answer can have come."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_BIG[: draw.choice((len(_BIG), len(_BIG), draw.randrange(len(_BIG))))])
    await asyncio.sleep(draw.random() * LEAVE_WITHIN_S)
    writer.close()


async def reset(port: int, draw: Random) -> None:
    """Ask much, and cut the connection with a RST."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_BIG[: draw.choice((len(_BIG), len(_BIG), draw.randrange(len(_BIG))))])
    await asyncio.sleep(draw.random() * LEAVE_WITHIN_S)
    _cut(writer)


async def stay_deaf(port: int, draw: Random) -> None:
    """Ask much many times over without reading anything, stay a while, and cut the connection."""
    loop = asyncio.get_running_loop()
    with socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        ours.setblocking(False)
        await loop.sock_connect(ours, ("127.0.0.1", port))
        with suppress(BlockingIOError):  # as much as the server takes without being read from
            ours.send(_BIG * PIPELINED)
        await asyncio.sleep(DEAF_S * draw.random())


def _cut(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()


AWKWARD: dict[str, Callable[[int, Random], Awaitable[None]]] = {"leave": leave, "reset": reset, "deaf": stay_deaf}


async def be_awkward(name: str, port: int, pace: Pace, draw: Random, seen: Seen) -> None:
    """Behave like this, turn by turn."""
    while await pace.turn():
        try:
            async with asyncio.timeout(ANSWER_S):
                await AWKWARD[name](port, draw)
        except OSError:
            seen.awkward[f"{name}, not let in"] += 1
        else:
            seen.awkward[name] += 1
