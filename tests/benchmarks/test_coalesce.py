"""The benchmark of shared look-ups: what it makes of its figures."""

from __future__ import annotations

import pytest

from tests.benchmarks.coalesce import Run, table, too_slow

RUNS: dict[str, list[Run]] = {
    "coalesce": [(13_000, 2, 4, 0.075), (12_000, 2, 5, 0.080), (15_000, 2, 3, 0.070)],
    "gateway": [(9_000, 3, 6, 0.110)] * 3,
    "lean": [(10_000, 3, 6, 0.100)] * 3,
}


def test_the_table_has_medians_extremes_and_ratios() -> None:
    ours, _, by_hand = table(RUNS)[2:]
    assert ours == "| this gateway, `coalesce = true` | 13,000 (12,000-15,000) | 75 | 2.00 / 4.00 |  |"
    assert by_hand == "| by hand, lean pool | 10,000 (10,000-10,000) | 100 | 3.00 / 6.00 | 1.30 |"


@pytest.mark.parametrize(("rate", "is_missed"), [(9_999, False), (10_000, False), (10_001, True)])
def test_what_is_not_reached_is_told(rate: float, is_missed: bool) -> None:
    missed = too_slow({**RUNS, "lean": [(rate, 3, 6, 0.1)]})
    assert missed == (["by hand, lean pool: expected at least 1.3 times its requests/s with coalesce, got 1.30"] if is_missed else [])


def test_who_is_not_there_is_not_judged() -> None:
    assert too_slow({name: RUNS[name] for name in ("coalesce", "gateway")}) == []
