"""The clients with a connection that stays open, sockets and streams of events: how many there are, and their end with the process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from gateway.config import Settings
from gateway.deadlines import Deadlines
from gateway.errors import Overloaded
from gateway.http.draining import ending
from gateway.observability.metrics import Reading
from gateway.observability.traces import Traces


class Client(Protocol):
    """One of them. ``leave`` has it told that all its operations are complete, once they have their answers, and ends it; ``cut`` has
    it told that those without an answer get none. ``task`` is the one that serves it, as soon as there is one."""

    kind: str
    task: asyncio.Task[None] | None

    def leave(self) -> None: ...

    def cut(self) -> None: ...


class Clients:
    """Those of one server."""

    def __init__(self, settings: Settings) -> None:
        self.deadlines = Deadlines()
        self.is_ending = False
        self.traces: Traces | None = None  # of their operations
        self.ended: Counter[tuple[str, str]] = Counter()  # by kind and code
        self._most = settings.streams_max
        self._open: set[Client] = set()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def refusal(self) -> Overloaded | None:
        """Why there is no place for one more; None where there is."""
        if self.is_ending:
            return ending()
        if len(self._open) >= self._most:
            return Overloaded("Too many sockets and streams are open; try again later (setting streams_max).", setting="streams_max")
        return None

    def change(self, settings: Settings) -> None:
        self._most = settings.streams_max

    def add(self, client: Client) -> None:
        self._open.add(client)

    def discard(self, client: Client) -> None:
        self._open.discard(client)

    @contextmanager
    def counted(self, client: Client) -> Iterator[None]:
        self._open.add(client)
        try:
            yield
        finally:
            self._open.discard(client)

    def end(self) -> None:
        """Have all of them leave, and let nobody in."""
        self.is_ending = True
        for client in list(self._open):
            client.leave()

    def cut(self) -> set[asyncio.Task[None]]:
        """Have all of them leave without waiting for answers; return the tasks that see to it."""
        for client in list(self._open):
            client.cut()
        return {client.task for client in self._open if client.task is not None}

    def readings(self) -> Iterator[Reading]:
        for kind in ("socket", "events"):
            count = sum(client.kind == kind for client in self._open)
            yield Reading("streams", "Sockets and streams of events that are open.", count, {"kind": kind}, is_counter=False)
        for (kind, code), count in self.ended.items():
            yield Reading("streams_ended", "Sockets and streams of events that were ended by us.", count, {"kind": kind, "code": code})
