"""The end of a process that serves: it says early that no more shall come, answers what it has, and is gone in time.

draining   from the first signal on. Readiness says no and answers close their connections; for ``delay_s`` new ones are still
           taken, so that whoever spreads requests has the time to see it. Then what runs has ``drain_s`` to end
cut        what still runs is cancelled, and answered with 503
hurried    a second signal: cut at once

One that has handed over its port (``handover.py``) drains, too, but readiness goes on: the port is served by the next process. Connections
stay until they were used once more, or were unused for as long as they are kept at all.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic

from gateway.config import Settings
from gateway.errors import Overloaded

ENDING_S = 4.5  # after the drain: for the answers to what was cut, for relays to give back what they hold, and for stores to close
HURRIED_S = 0.7  # for all of that after a second signal


class Drain:
    """How far a server is on its way to its end. ``begin`` and ``hurry`` may be called by a handler of signals: they only set values."""

    __slots__ = ("begun_at", "delay_s", "drain_s", "ends_at", "is_cut", "is_draining", "is_handed_over", "is_hurried")

    def __init__(self, settings: Settings) -> None:
        self.delay_s = settings.drain_delay_s
        self.drain_s = settings.drain_s
        self.is_draining = self.is_cut = self.is_hurried = self.is_handed_over = False
        self.begun_at = inf
        self.ends_at = inf  # on the clock of time.monotonic, and whatever is still to be done then

    def change(self, settings: Settings) -> None:
        if not self.is_handed_over:
            self.delay_s = settings.drain_delay_s
        self.drain_s = settings.drain_s

    def begin(self) -> None:
        if not self.is_draining:
            self.is_draining = True
            self.begun_at = monotonic()
            self.ends_at = self.begun_at + self.delay_s + self.drain_s + ENDING_S

    def hand_over(self, kept_s: float) -> None:
        """Begin, with so many seconds for connections that are there, and none that come."""
        if not self.is_draining:
            self.is_handed_over = True
            self.delay_s = kept_s
            self.begin()

    def hurry(self) -> None:
        if not self.is_hurried:
            self.is_hurried = True
            self.ends_at = min(self.ends_at, monotonic() + HURRIED_S)

    @property
    def is_refused(self) -> bool:
        """Whether nobody is to send any more to this port, as far as it is known here."""
        return self.is_draining and not self.is_handed_over

    @property
    def is_closing(self) -> bool:
        """Whether no more connections are taken."""
        return self.is_hurried or monotonic() - self.begun_at >= self.delay_s

    def takes_back(self) -> bool:
        """Return whether the current task was cancelled by a cut, and undo that: it has an answer to give (``ending``)."""
        task = asyncio.current_task()
        if not self.is_cut or task is None:
            return False
        task.uncancel()
        return True


def ending() -> Overloaded:
    """Return the error of what is not answered because the process ends."""
    return Overloaded("The gateway is ending; try again.")
