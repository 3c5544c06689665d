"""Memory of a process once a second, and how it grows: a slope that a few outliers do not bend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

LEAST_SAMPLES = 20  # of fewer, a slope says nothing


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of a process at a time (seconds of the monotonic clock): resident, and with what it shares divided among its sharers."""

    at: float
    rss_mib: float
    pss_mib: float


def memory_of(pid: int, at: float) -> Memory:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    rss, pss = (int(fields[name].split()[0]) / 1024 for name in ("Rss", "Pss"))
    return Memory(at, rss, pss)


def growth(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the growth in % of the median per minute, of (seconds, value); None of too few points.

    The median of the slopes of all pairs (Theil and Sen): right as long as fewer than 29 % of the points are off.
    """
    if len(points) < LEAST_SAMPLES:
        return None
    slopes = [(other - one) / (later - early) for n, (early, one) in enumerate(points) for later, other in points[n + 1 :] if later > early]
    return median(slopes) * 60 / median(value for _, value in points) * 100
