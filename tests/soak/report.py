"""What a soak found: which of its limits do not hold, and all figures as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from tests.soak.clients import Seen, Slow
from tests.soak.memory import LEAST_SAMPLES, Memory, growth
from tests.soak.probe import Seen as Probed


@dataclass(frozen=True, slots=True)
class Limits:
    """What a soak must hold."""

    growth_percent: float = 1.0  # a minute, after warm-up
    stall_ms: float = 100.0


@dataclass(frozen=True, slots=True)
class Soaked:
    """The figures of a soak. Times are on the monotonic clock; ``ended`` is how the process ended, where it did before its time."""

    stores: str
    seconds: float
    warm_up_s: float
    rate: float
    started: float
    seen: Seen
    probed: Probed
    memory: Sequence[Memory]
    cpu_s: float
    errors_logged: Sequence[str]
    ended: int | None = None

    @property
    def warm(self) -> list[Memory]:
        return [memory for memory in self.memory if memory.at >= self.started + self.warm_up_s]

    @property
    def rss_growth(self) -> float | None:
        return growth([(memory.at, memory.rss_mib) for memory in self.warm])

    @property
    def pss_growth(self) -> float | None:
        return growth([(memory.at, memory.pss_mib) for memory in self.warm])

    @property
    def longest_stall_ms(self) -> float:
        return max((seconds for _, seconds in self.probed.stalls), default=0.0) * 1e3


def failures(soaked: Soaked, limits: Limits) -> list[str]:
    """Return what does not hold, one line each."""
    found = []
    if soaked.ended is not None:
        found.append(f"The process: expected it to live, it ended with {soaked.ended}.")
    if soaked.seen.statuses["500"] or soaked.seen.internal:
        found.append(f"Unexpected errors: expected none, got {soaked.seen.internal.total()}: {_counts(soaked.seen.internal)}.")
    if soaked.probed.failures:
        found.append(f"The other client: expected an answer to every request, got none to {soaked.probed.failures}.")
    for name, percent in (("RSS", soaked.rss_growth), ("PSS", soaked.pss_growth)):
        if percent is not None and percent >= limits.growth_percent:
            found.append(f"{name}: expected a growth below {limits.growth_percent:g} % a minute, got {percent:.2f} %.")
    if soaked.longest_stall_ms > limits.stall_ms:
        found.append(f"The longest stall: expected at most {limits.stall_ms:g} ms, got {soaked.longest_stall_ms:.0f} ms.")
    return found


def written(soaked: Soaked, limits: Limits, machine: str) -> str:
    """Return the report as Markdown."""
    seen = soaked.seen
    first, last = soaked.memory[0], soaked.memory[-1]
    warm = soaked.warm[0] if soaked.warm else last
    lines = [
        "# Soak",
        "",
        f"Written by `make soak`: {soaked.stores}; {soaked.seconds:g} s, of which {soaked.warm_up_s:g} s are warm-up, at most "
        f"{soaked.rate:g} requests a second, and clients beside them that leave in the middle, reset their connection, or do not read.",
        "",
        machine.strip(),
        "",
        *_table("requests", seen.sent),
        *_table("clients that", seen.awkward),
        *_table("status", seen.statuses),
        *_table("code of an error", seen.codes),
        "| | RSS, MiB | PSS, MiB |",
        "|---|---|---|",
        *(
            f"| {name} | {m.rss_mib:.1f} | {m.pss_mib:.1f} |"
            for name, m in (("at the start", first), ("after warm-up", warm), ("at the end", last))
        ),
        f"| growth after warm-up, % a minute | {_growth(soaked.rss_growth)} | {_growth(soaked.pss_growth)} |",
        "",
        f"Good requests: {_latencies(seen.good_s)}. {_not_whole(seen)}",
        "",
        f"Another client, which asked `{{__typename}}` every 20 ms, had {soaked.probed.answers:,} answers; the longest took "
        f"{soaked.longest_stall_ms:.0f} ms. The machine woke that client itself up to {soaked.probed.late_s * 1e3:.0f} ms late.",
        "",
        *_stalls(soaked),
        f"CPU of the process: {soaked.cpu_s:.1f} s, {soaked.cpu_s / max(soaked.seconds, 1e-9) * 100:.0f} % of one core.",
        *(
            ["", f"Errors in its log: {len(soaked.errors_logged)}, the first: `{soaked.errors_logged[0][:300]}`"]
            if soaked.errors_logged
            else []
        ),
        "",
        *(f"**FAILED** {line}" for line in failures(soaked, limits)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _table(name: str, counted: Counter[str]) -> list[str]:
    return [f"| {name} | |", "|---|---|", *(f"| {key} | {number:,} |" for key, number in counted.most_common()), ""]


def _stalls(soaked: Soaked) -> list[str]:
    """Return the longest waits of the other client, with the requests that took their time then."""
    lines = ["| after, s | stall, ms | requests then |", "|---|---|---|"]
    for started, seconds in soaked.probed.stalls[:5]:
        names = Counter(slow.name for slow in soaked.seen.slow if _overlap(slow, started, started + seconds))
        lines.append(f"| {started - soaked.started:.0f} | {seconds * 1e3:.0f} | {', '.join(name for name, _ in names.most_common(6))} |")
    return [*lines, ""]


def _overlap(slow: Slow, started: float, ended: float) -> bool:
    return slow.started <= ended and slow.ended >= started


def _latencies(good_s: Sequence[float]) -> str:
    if len(good_s) < 2:
        return f"{len(good_s)} answers"
    cut = quantiles(good_s, n=100)
    return f"p50 {cut[49] * 1e3:.1f} ms, p99 {cut[98] * 1e3:.1f} ms"


def _not_whole(seen: Seen) -> str:
    return f"Not answered whole: {_counts(seen.not_whole)}." if seen.not_whole else "All were answered whole."


def _growth(percent: float | None) -> str:
    return f"not judged, fewer than {LEAST_SAMPLES} samples" if percent is None else f"{percent:.2f}"


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} ({number:,})" for name, number in counted.most_common(5))
