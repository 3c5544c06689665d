"""How many requests a process works on at the same time, and how many wait for their turn. The others are told to come again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.errors import Overloaded
from gateway.observability.metrics import Reading
from gateway.places import Places
from gateway.stores.guards import Guard


class Gate(Places):
    """``running`` requests at the same time, ``waiting`` more for at most ``wait_s`` seconds.

    Without it all would be worked on at once, and each would be late: at twice the load of which a process is capable nearly none is
    answered in its time.
    """

    def __init__(self, running: int, waiting: int, wait_s: float) -> None:
        super().__init__(running)
        self._waiting_max = waiting
        self._wait_s = wait_s
        self._shed = 0

    async def enter(self) -> None:
        """Take a place as soon as there is one; Overloaded where there is none in time, or the line is full."""
        if self.waiting < self._waiting_max:
            try:
                return await self.wait(self._wait_s)
            except TimeoutError:
                pass
        self._shed += 1
        raise Overloaded("The gateway is at as many requests as it can be; try again later (settings requests_max, requests_waiting_max).")

    def change(self, running: int, waiting: int, wait_s: float) -> None:
        """Have other numbers from now on."""
        self.resize(running)
        self._waiting_max, self._wait_s = waiting, wait_s

    def readings(self) -> Iterator[Reading]:
        yield Reading("requests_running", "Requests that are worked on.", self.in_use, is_counter=False)
        yield Reading("requests_waiting", "Requests that wait for their turn.", self.waiting, is_counter=False)
        yield Reading("requests_shed", "Requests that were refused, as there were too many.", self._shed)


def guarded(guards: Mapping[str, Guard]) -> Iterator[Reading]:
    """Give what the guards before the stores' pools counted (``stores/guards.py``)."""
    for name, guard in guards.items():
        labels = {"store": name}
        if guard.places is not None:
            yield Reading("store_places", "Calls that a store takes at once.", guard.places, labels, is_counter=False)
            yield Reading("store_places_in_use", "Calls that a store is at.", guard.in_use, labels, is_counter=False)
            yield Reading("store_waiting", "Calls that wait for a place.", guard.waiting, labels, is_counter=False)
        yield Reading("store_breaker_open", "Whether a store is not asked, as it failed too often.", guard.state != "closed", labels, False)
        yield Reading("store_breaker_opened", "How often that began.", guard.opened, labels)
        yield Reading("store_breaker_refused", "Calls that were not made while it lasted.", guard.refused, labels)
        yield Reading("store_pool_exhausted", "Calls that found no place in time.", guard.exhausted, labels)
        yield Reading("store_retries", "Reads that were asked once more, after a lost connection.", guard.retried, labels)
