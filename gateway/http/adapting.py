"""How many requests a process works on at the same time, found out while it does: as many as make it answer more, and no more. No I/O.

A gradient limit, after Netflix' Gradient2Limit (github.com/Netflix/concurrency-limits; "Performance Under Load", 2018): what the time of a
request was without a queue, over what it is now, says by how much there are too many at work. Window by window

    gradient = TOLERANCE * base_s / work_s, from 0.5 to 1
    limit    = (1 - SMOOTHING) * limit + SMOOTHING * (gradient * limit + sqrt(limit)), from the least to the most

Some things are others than there, so that a process is never limited by a mistake for long:

- The limit moves down only in windows in which it was reached, and is the most again as soon as it was not reached for a while.
- Fewer at work must not mean fewer answers. Where the answers of a second fall below KEEP of what they were, the limit goes back to where
  they were not, and the base moves up: it is the work itself that takes longer. Else a base that small requests have made would keep large
  ones out, and one that has followed a queue (as there, by its exponential mean) would let that in.
- Where there are more answers with fewer at work, it goes on down by steps, and where there are fewer with more, it goes back.
- A base that nothing has shown to be one for SURE windows, as the process has begun under too much load or has got there by and by, is
  looked for: the limit goes down by steps as long as there are as many answers, and the base is what they take there.
"""

from __future__ import annotations

from math import sqrt

TOLERANCE = 2.0  # how many times its time without a queue a request may take, before there are too many
SMOOTHING = 0.5
KEEP = 0.9  # of the answers a second
SURE = 20  # windows in which the limit was reached, and the base had nothing against it
HELD = 5  # windows, after more places were tried in vain
STEP = 0.8  # of the places, in each window of a search
FOLLOW = 0.1  # of a difference, for the base, in each window
FALL = 0.5  # where it falls
ALIKE = 0.98  # of them: as many
FORGET = 0.998  # of the most answers a second, in each window
GROW = 1.5  # times the limit, in a window in which it was not reached


class Adapting:
    """``limit`` places, from ``least`` to ``most``, with which it begins. ``base_s`` and ``work_s`` are None before the first window."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self.base_s: float | None = None
        self.work_s: float | None = None  # in the window before
        self._limit = float(most)
        self._rate = 0.0  # the most answers a second of late
        self._rate_limit = float(most)  # the fewest places with which there were as many
        self._rate_work_s = 0.0  # and what a request took there
        self._is_low = False  # there were fewer answers in the window before: in one alone that says nothing
        self._held = 0  # windows in which there are no more places, as there were fewer answers with more
        self._sure = 0  # windows for which the base is one; none: it is looked for

    @property
    def limit(self) -> int:
        return int(self._limit)

    def rest(self) -> None:
        """Have all places: the limit was not reached for a while."""
        self._limit = float(self.most)
        self._rate = 0.0

    def change(self, most: int) -> None:
        self.most = most
        self.least = min(self.least, most)
        self.rest()

    def see(self, seconds: float, answers: int, work_s: float, *, is_full: bool) -> int:
        """Return the limit after a window with so many answers, each of which took ``work_s`` at its mean; ``is_full``: it was reached."""
        self.work_s = work_s
        base_s = work_s if self.base_s is None else self.base_s
        base_s += (work_s - base_s) * (FALL if work_s < base_s else 0.0 if is_full else FOLLOW)
        self.base_s = base_s
        if not is_full:
            self._limit = min(self._limit * GROW + 1, float(self.most))
            self._rate, self._sure = 0.0, SURE
            return self.limit
        rate = answers / seconds
        if rate < KEEP * self._rate:
            if self._is_low:
                self._go_back(rate, work_s)
            self._is_low = not self._is_low
            return self.limit
        self._is_low = False
        if rate < ALIKE * self._rate and self._limit > self._rate_limit:
            self._limit, self._held = self._rate_limit, HELD
            return self.limit
        is_better = self._remember(rate, work_s)
        gradient = max(0.5, min(1.0, TOLERANCE * base_s / work_s))
        wanted = gradient * self._limit + sqrt(self._limit)
        limit = self._limit + SMOOTHING * (wanted - self._limit)
        if self._held:
            self._held -= 1
            limit = min(limit, self._limit)
        if gradient < 1.0:
            self._sure = SURE
        elif self._sure:
            self._sure -= 1
        if is_better or not self._sure:
            limit = min(limit, STEP * self._limit)
        self._limit = max(float(self.least), min(float(self.most), limit))
        return self.limit

    def _remember(self, rate: float, work_s: float) -> bool:
        """Keep where there were most answers; return whether there are more of them now, with fewer places."""
        self._rate *= FORGET
        is_better = 0.0 < self._rate < ALIKE * rate and self._limit < self._rate_limit
        if rate >= self._rate:
            self._rate, self._rate_limit, self._rate_work_s = rate, self._limit, work_s
        elif rate >= ALIKE * self._rate and self._limit < self._rate_limit:
            self._rate_limit, self._rate_work_s = self._limit, work_s
        return is_better

    def _go_back(self, rate: float, work_s: float) -> None:
        """Have as many places as when there were more answers; where there are as many, take it that more answers there cannot be."""
        assert self.base_s is not None
        if not self._sure:  # the search is over
            self.base_s, self._sure = self._rate_work_s, SURE
        elif work_s > self.base_s:
            self.base_s += (work_s - self.base_s) * FOLLOW
        if self._limit == self._rate_limit:
            self._rate = rate
        self._limit = self._rate_limit
