"""The benchmarks of several workers and of overload: what they make of their figures."""

from __future__ import annotations

import pytest

from tests.benchmarks import overload, workers


def of_workers(two: float) -> workers.Runs:
    def runs(cpu: float) -> list[workers.Run]:
        return [workers.Run(1_000, cpu, 0.02, 0.05), workers.Run(1_200, 2 * cpu, 0.02, 0.05), workers.Run(900, cpu / 2, 0.02, 0.05)]

    return {(where, "Point", count): runs(cpu) for where in ("held", "free") for count, cpu in ((1, 0.1), (2, two))}


@pytest.mark.parametrize(("two", "is_missed"), [(0.109, False), (0.115, True)])
def test_what_two_workers_take_is_held_against_one_where_they_are_held(two: float, is_missed: bool) -> None:
    runs = of_workers(two)
    missed = workers.too_much(runs)
    assert missed == (["Point, 2 workers: expected at most 1.1 times the CPU of one, got 1.15"] if is_missed else [])
    assert workers.table(runs)[2] == "| held | Point | 1 | 1,000 | 0.100 | 0.020 | 0.050 |  |"
    assert workers.table(runs)[3].endswith(f"| {two / 0.1:.2f} |")


def test_the_answers_of_each_load_are_held_against_the_most_in_the_same_round() -> None:
    runs = {
        32: [overload.Run(1_000, 0, 5), overload.Run(500, 0, 9), overload.Run(900, 0, 6)],
        256: [overload.Run(950, 100, 50), overload.Run(400, 90, 70), overload.Run(945, 110, 60)],
    }
    assert [round(overload.share(runs, connections), 2) for connections in runs] == [1.0, 0.95]
    assert overload.table(runs)[2:] == ["| 32 | 900 | 1.00 | 0 | 6.0 |", "| 256 | 945 | 0.95 | 100 | 60.0 |"]
