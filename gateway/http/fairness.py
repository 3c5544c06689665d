"""Whose requests a gate has, so that nobody has its places and its line for himself.

The next place that comes free is for the client who has the fewest, of several with as few for the one whose turn was longest ago. In a
full line whoever has fewer in it than another takes the last place of the one who has the most there. (Max-min fairness, and dropping
from the longest queue: Nagle, "On Packet Switches with Infinite Storage", RFC 970; Suter et al., INFOCOM 1998.)
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.types import Scope

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.graph.fields import ContextFunction
from gateway.http.gate import AdaptiveGate, Gate
from gateway.http.identity import values_of
from gateway.http.middleware import Exchange
from gateway.observability.metrics import Reading
from gateway.places import Places

_Place = asyncio.Future[None]


class Fair(Gate):
    """A gate that knows clients by names. Each has at most ``most`` requests at work, 0 for as many as there are places.

    It costs nothing that grows with the number of clients there ever were: who has nothing here is not known.
    """

    def __init__(self, *numbers: Any, most: int = 0, **options: Any) -> None:
        self._most = most
        self._running: Counter[str] = Counter()
        self._lines: dict[str, deque[_Place]] = {}  # of those who wait, in the order of their turns
        self._in_line = 0
        super().__init__(*numbers, **options)

    @property
    def waiting(self) -> int:
        return self._in_line

    @property
    def is_full(self) -> bool:
        return False  # there may be room for one who has less

    def take(self, client: str = "") -> bool:
        if self._has_all(client) or not super().take(client):
            return False
        self._running[client] += 1
        return True

    async def wait(self, seconds: float | None, client: str = "") -> None:
        place = asyncio.get_running_loop().create_future()
        self._lines.setdefault(client, deque()).append(place)
        self._in_line += 1
        try:
            with self._limited(seconds):
                await place
        except BaseException:
            if not place.done() or place.cancelled():
                self._leave(client, place)
            elif place.exception() is None:  # it was given one after all
                self._ended(client)
                Places.give_back(self)
                self._hand_out()
            raise

    def give_back(self, client: str = "") -> None:
        self._ended(client)
        super().give_back(client)
        self._hand_out()

    def resize(self, count: int) -> None:
        super().resize(count)
        self._hand_out()

    def readings(self) -> Iterator[Reading]:
        yield from super().readings()
        count = len(self._running.keys() | self._lines.keys())
        yield Reading("requests_clients", "Clients of whom requests are worked on, or wait.", count, is_counter=False)

    def _make_room(self, client: str) -> bool:
        """Have the last of the longest line leave, where that is longer than this client's would be."""
        own = len(self._lines.get(client, ()))
        longest = max(self._lines, key=lambda other: len(self._lines[other]), default=client)
        if len(self._lines.get(longest, ())) <= own + 1:
            return False
        last = self._lines[longest][-1]
        self._leave(longest, last)
        if not last.done():
            last.set_exception(TimeoutError())
        return True

    def _has_all(self, client: str) -> bool:
        return 0 < self._most <= self._running[client]

    def _ended(self, client: str) -> None:
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]

    def _leave(self, client: str, place: _Place) -> None:
        line = self._lines.get(client)
        if line is None or place not in line:
            return  # passed over already
        line.remove(place)
        self._in_line -= 1
        if not line:
            del self._lines[client]

    def _hand_out(self) -> None:
        """Give the places that are free to those who wait."""
        while self._free > 0 and (client := self._next()) is not None:
            line = self._lines.pop(client)
            place = line.popleft()
            if line:
                self._lines[client] = line  # behind the others
            self._in_line -= 1
            if place.done():  # who waited is about to leave
                continue
            self._free -= 1
            self._running[client] += 1
            place.set_result(None)

    def _next(self) -> str | None:
        return min((client for client in self._lines if not self._has_all(client)), key=self._running.__getitem__, default=None)


class FairAdaptiveGate(Fair, AdaptiveGate):
    """One whose number of places is found out, too."""


async def asking(
    by: str, context: ContextFunction | None, scope: Scope, exchange: Exchange, tenant: str | None
) -> tuple[str, Mapping[str, Any] | None]:
    """Return who asks, as the setting fair_by says; and what the graph's context function gave, where it is asked for that.

    Those of whom nothing is said are one client. Each tenant's are his own.
    """
    values = None
    match by:
        case "subject":
            assert context is not None
            values = await values_of(context, scope, exchange.request_id)
            who = values.get("subject", "")
        case "address":
            who = scope["client"][0] if scope.get("client") else ""
        case "tenant":
            who = ""
        case _:
            who = exchange.headers.get(by.removeprefix("header:").lower().encode(), b"").decode("latin-1")
    return (f"{tenant}\n{who}" if tenant else who), values


def check(settings: Settings, context: ContextFunction | None) -> None:
    """ConfigError where the graph is to say who asks, and does not."""
    if settings.fair_by == "subject" and context is None:
        raise ConfigError("fair_by = subject: expected a graph that says who asks, Graph(context=...); got one that does not")


def gate_of(settings: Settings) -> Gate:
    """Return the gate that the settings say."""
    numbers: tuple[Any, ...] = settings.requests_max, settings.requests_waiting_max, settings.requests_wait_s
    if settings.fair_by:
        most = settings.client_requests_max
        return FairAdaptiveGate(settings.requests_min, *numbers, most=most) if settings.requests_min else Fair(*numbers, most=most)
    return AdaptiveGate(settings.requests_min, *numbers) if settings.requests_min else Gate(*numbers)
