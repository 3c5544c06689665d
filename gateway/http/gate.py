"""How many requests a process works on at the same time, and how many wait for their turn. The others are told to come again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import monotonic

from gateway.errors import Overloaded
from gateway.http.adapting import Adapting
from gateway.observability.metrics import Reading
from gateway.places import Places
from gateway.stores.guards import Guard

WINDOW_S = 0.5  # and at least ANSWERS, in which it is found out how many places there should be
ANSWERS = 30
ROUNDS = 2  # of requests in a window, or it would tell of what was before the limit moved; it is no longer than WINDOW_MOST_S for that
WINDOW_MOST_S = 5.0
FULL = 0.9  # of the places in use, at the mean of a window in which the limit was reached
REST_S = 5.0  # since a request found no place: then there are all again


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

    async def enter(self, client: str = "") -> None:
        """Take a place as soon as there is one; Overloaded where there is none in time, or the line is full."""
        if self.waiting < self._waiting_max or self._make_room(client):
            try:
                return await self.wait(self._wait_s, client)
            except TimeoutError:
                pass
        raise self.refusal()

    @property
    def is_full(self) -> bool:
        """Whether there is no place, not even in the line, for whoever comes now: then nothing of him has to be looked at."""
        return self._free <= 0 and 0 < self._waiting_max <= self.waiting

    def refusal(self) -> Overloaded:
        """Return what one who finds no place is told, and count him."""
        self._shed += 1
        return Overloaded("The gateway is at as many requests as it can be; try again later (settings requests_max, requests_waiting_max).")

    def _make_room(self, _client: str) -> bool:
        """Have somebody leave a full line for a client, if that is fair; here it is first come, first served."""
        return False

    def change(self, running: int, waiting: int, wait_s: float) -> None:
        """Have other numbers from now on."""
        self.resize(running)
        self._waiting_max, self._wait_s = waiting, wait_s

    def readings(self) -> Iterator[Reading]:
        yield Reading("requests_limit", "Requests that may be worked on at the same time.", self.count or 0, is_counter=False)
        yield Reading("requests_running", "Requests that are worked on.", self.in_use, is_counter=False)
        yield Reading("requests_waiting", "Requests that wait for their turn.", self.waiting, is_counter=False)
        yield Reading("requests_shed", "Requests that were refused, as there were too many.", self._shed)


class AdaptiveGate(Gate):
    """From ``least`` to ``running`` requests at the same time, as the process answers them (``adapting.py``).

    PERF: nothing is kept of a request. What each took at its mean is, by Little's law, the time for which places were in use over the
    answers; a request takes 0.7 µs more for it.
    """

    def __init__(self, least: int, running: int, waiting: int, wait_s: float, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(running, waiting, wait_s)
        self.adapting = Adapting(least, running)
        self._clock = clock
        self._begun = self._at = clock()
        self._window_s = WINDOW_S
        self._used_s = 0.0  # of all places, in this window
        self._answers = 0
        self._is_full = False  # it was, in this window
        self._full_at = float("-inf")

    def take(self, _client: str = "") -> bool:
        if self._free <= 0:
            return False
        self._note()
        self._free -= 1
        return True

    async def enter(self, client: str = "") -> None:
        now = self._clock()
        if now - self._full_at > REST_S and self.adapting.limit < self.adapting.most:
            self.adapting.rest()
            self._begin(now)
            if self.take(client):
                return
        self._full_at, self._is_full = now, True
        await super().enter(client)

    def give_back(self, _client: str = "") -> None:
        now = self._note()
        self._answers += 1
        super().give_back()
        if self._answers >= ANSWERS and now - self._begun >= self._window_s:
            self._end(now)

    def change(self, running: int, waiting: int, wait_s: float) -> None:
        if running != self.adapting.most:
            self.adapting.change(running)
        super().change(self.adapting.limit, waiting, wait_s)

    def readings(self) -> Iterator[Reading]:
        yield from super().readings()
        adapting = self.adapting
        told = "Seconds of work that a request took at its mean, in the last window."
        yield Reading("requests_work_seconds", told, adapting.work_s or 0.0, is_counter=False)
        told = "Seconds that it is taken to take where none waits for another."
        yield Reading("requests_base_seconds", told, adapting.base_s or 0.0, is_counter=False)

    def _note(self) -> float:
        """Return the time, up to which places are counted as in use."""
        now = self._clock()
        assert self.count is not None
        self._used_s += (self.count - self._free) * (now - self._at)
        self._at = now
        return now

    def _end(self, now: float) -> None:
        seconds, work_s = now - self._begun, self._used_s / self._answers
        assert self.count is not None
        is_full = self._is_full and self._used_s >= FULL * self.count * seconds
        self.adapting.see(seconds, self._answers, work_s, is_full=is_full)
        self._window_s = min(max(WINDOW_S, ROUNDS * work_s), WINDOW_MOST_S)
        self._begin(now)

    def _begin(self, now: float) -> None:
        """Have as many places as were found out, and begin another window."""
        self.resize(self.adapting.limit)
        self._begun = self._at = now
        self._used_s, self._answers, self._is_full = 0.0, 0, self.waiting > 0


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
