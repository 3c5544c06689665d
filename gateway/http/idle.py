"""Ends connections over which nothing is asked any more.

PERF: a timer of the loop for each answer, which the next request cancels, costs 1 to 2 µs a request; one look at all connections four
times a second costs 0.05 µs a connection.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Collection
from math import inf
from time import monotonic
from typing import Any

LOOKED_EVERY_S = 0.25


class Idle:
    """Calls ``timeout_keep_alive_handler`` of each connection whose ``idle_since`` is longer ago than ``timeout_s``, a look later at most.

    It looks only while there are connections.
    """

    __slots__ = ("_every_s", "_looking", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._every_s = min(LOOKED_EVERY_S, timeout_s / 4)
        self._looking: AbstractEventLoop | None = None

    def watch(self, connections: Collection[Any], loop: AbstractEventLoop) -> None:
        """Look at ``connections``, from now on and for as long as there are any."""
        if self._looking is not loop:
            self._looking = loop
            loop.call_later(self._every_s, self._look, connections, loop)

    def _look(self, connections: Collection[Any], loop: AbstractEventLoop) -> None:
        before = monotonic() - self._timeout_s
        try:
            for connection in [one for one in connections if getattr(one, "idle_since", before) < before]:
                connection.idle_since = inf  # it is ended once
                connection.timeout_keep_alive_handler()
        finally:  # an error at one connection is the loop's to tell, and the others are looked at next time
            if connections:
                loop.call_later(self._every_s, self._look, connections, loop)
            else:
                self._looking = None
