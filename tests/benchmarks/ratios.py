"""The median of paired ratios, and where it is with 95 % confidence. Pure: no clock, no I/O."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

CONFIDENCE = 0.95
LEAST_PAIRS = 6  # of fewer, even the smallest and the largest ratio enclose the median with less confidence


@dataclass(frozen=True, slots=True)
class Interval:
    """A median with the ratios that enclose it."""

    low: float
    median: float
    high: float

    def is_beyond(self, most: float) -> bool:
        """Return whether the whole interval is above ``most``: the median is, and not by chance."""
        return self.low > most

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}–{self.high:.3f})"


def median_of(ratios: Sequence[float]) -> Interval:
    """Return the median of the ratios with its 95 % interval; ValueError for fewer than LEAST_PAIRS.

    The interval is that of the sign test: between the k-th smallest and the k-th largest ratio, the largest k that is sure enough.
    It assumes nothing of how the ratios are spread, so a pair that met another process on the machine moves it by one place at most.
    """
    if len(ratios) < LEAST_PAIRS:
        raise ValueError(f"expected at least {LEAST_PAIRS} ratios, got {len(ratios)}")
    ordered = sorted(ratios)
    outside = rank(len(ordered)) - 1
    return Interval(ordered[outside], statistics.median(ordered), ordered[-1 - outside])


def rank(count: int) -> int:
    """Return the largest k for which the k-th smallest and the k-th largest of ``count`` values enclose the median with CONFIDENCE.

    The median is below the k-th smallest when fewer than k values are below it: as likely as fewer than k heads in ``count`` tosses.
    """
    k, tail = 0, 0.0
    while 2 * (tail := tail + comb(count, k) / 2**count) <= 1 - CONFIDENCE:
        k += 1
    return k
