"""So many places, and a line of those who wait for one."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AbstractContextManager, nullcontext, suppress

from gateway.deadlines import Deadlines


class Places:
    """``count`` places; None are any number. First come, first served. It belongs to the loop of those who wait."""

    __slots__ = ("_deadlines", "_free", "_line", "count")

    def __init__(self, count: int | None) -> None:
        self.count = count
        self._free = float("inf") if count is None else count
        self._line: deque[asyncio.Future[None]] = deque()
        self._deadlines = Deadlines()

    @property
    def in_use(self) -> int:
        return 0 if self.count is None else self.count - int(self._free)

    @property
    def waiting(self) -> int:
        return len(self._line)

    def take(self, _client: str = "") -> bool:
        """Take a place, if one is free. Who asks is nothing to these; there are others that are fair (``http/fairness.py``)."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def wait(self, seconds: float | None, _client: str = "") -> None:
        """Take the next place that comes free; TimeoutError after so many seconds, where there is a limit."""
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            with self._limited(seconds):
                await place
        except BaseException:
            with suppress(ValueError):
                self._line.remove(place)
            if place.done() and not place.cancelled():  # it was given one after all
                self._pass_on()
            raise

    def _limited(self, seconds: float | None) -> AbstractContextManager[None]:
        """Return what raises TimeoutError after so many seconds. PERF: ``asyncio.timeout`` takes 3.1 µs, this 0.6 (``deadlines.py``)."""
        return nullcontext() if seconds is None else self._deadlines.within(seconds)

    def resize(self, count: int) -> None:
        """Have so many places from now on; whoever has one more than there are keeps it until it is given back."""
        assert self.count is not None
        self._free += count - self.count
        self.count = count
        while self._line and self._free > 0:
            self._free -= 1
            self._pass_on()

    def give_back(self, _client: str = "") -> None:
        if self._free < 0:  # there are fewer than there were
            self._free += 1
            return
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    _pass_on = give_back  # also where another class does more when somebody gives his back
