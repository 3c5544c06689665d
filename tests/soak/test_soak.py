"""The soak itself: a short one, its figures, and what it fails on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tests.soak.__main__ import run, warm_up_of
from tests.soak.clients import Seen, Slow
from tests.soak.memory import LEAST_SAMPLES, Memory, growth
from tests.soak.mix import SHARES, Mix, broken, distinct
from tests.soak.probe import KEPT
from tests.soak.probe import Seen as Probed
from tests.soak.report import Limits, Soaked, failures, written

MINUTE = range(60)


def soaked(*, mib_a_minute: float = 0.0) -> Soaked:
    memory = [Memory(100.0 + second, 100 + mib_a_minute * second / 60, 90 + mib_a_minute * second / 60) for second in MINUTE]
    seen = Seen(Counter(good=3), Counter({"200": 3}), good_s=[0.001, 0.002, 0.003], slow=[Slow(120.0, 120.2, "a slow one")])
    return Soaked("memory", 60, 20, 100, 100.0, seen, Probed(9, 0, 0.001, [(120.1, 0.08), (130.0, 0.01)]), memory, 6.0, [])


@pytest.mark.long
async def test_a_short_soak_sends_every_sort_and_is_answered() -> None:
    found = await run("sqlite", 3.0, warm_up_s=1.0, rate=50, generated_count=5)
    assert found.ended is None
    assert found.seen.sent.keys() == SHARES.keys()
    assert found.seen.sent.total() == found.seen.statuses.total()
    assert found.seen.internal == {}
    assert "200" in found.seen.statuses
    assert {"leave", "reset", "deaf"} <= found.seen.awkward.keys()
    assert (found.probed.failures, found.probed.answers > 10) == (0, True)
    assert len(found.memory) >= 2
    assert all(memory.rss_mib >= memory.pss_mib > 10 for memory in found.memory)
    assert found.cpu_s > 0
    assert failures(found, Limits(stall_ms=60_000)) == []


# --------------------------------------------------------------------------------------------------------------- verdict


def test_a_soak_that_holds_has_no_failures() -> None:
    assert failures(soaked(), Limits()) == []
    assert failures(soaked(mib_a_minute=0.5), Limits()) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(soaked(), ended=-9), "The process: expected it to live, it ended with -9."),
        (soaked(mib_a_minute=2), "RSS: expected a growth below 1 % a minute, got 1.97 %."),
        (replace(soaked(), probed=Probed(9, 0, 0.0, [(1.0, 0.3)])), "The longest stall: expected at most 100 ms, got 300 ms."),
        (replace(soaked(), probed=Probed(9, 2, 0.0, [])), "The other client: expected an answer to every request, got none to 2."),
        (
            replace(soaked(), seen=Seen(statuses=Counter({"500": 1}), internal=Counter(broken=1))),
            "Unexpected errors: expected none, got 1: broken (1).",
        ),
    ],
)
def test_what_does_not_hold_is_said(found: Soaked, said: str) -> None:
    assert said in failures(found, Limits())
    assert f"**FAILED** {said}" in written(found, Limits(), "a machine")


def test_the_report_names_what_was_asked_during_a_stall() -> None:
    lines = written(soaked(), Limits(), "a machine").splitlines()
    assert "| 20 | 80 | a slow one |" in lines
    assert "| 30 | 10 |  |" in lines
    assert "| growth after warm-up, % a minute | 0.00 | 0.00 |" in lines
    assert "FAILED" not in "".join(lines)


def test_growth_is_not_bent_by_a_few_outliers() -> None:
    steady = [(float(second), 100 + second / 60) for second in range(120)]
    spiky = [(second, 500.0 if second % 10 == 0 else value) for second, value in steady]
    assert growth(steady) == pytest.approx(0.99, abs=0.01)
    assert growth(spiky) == pytest.approx(0.99, abs=0.25)


def test_growth_of_too_few_samples_is_not_judged() -> None:
    assert growth([(float(second), 100.0 * second) for second in range(LEAST_SAMPLES - 1)]) is None
    short = replace(soaked(mib_a_minute=50), memory=soaked(mib_a_minute=50).memory[:10])
    assert failures(short, Limits()) == []
    assert "not judged" in written(short, Limits(), "a machine")


def test_warm_up_is_a_fifth_and_half_a_minute_at_least() -> None:
    assert [warm_up_of(seconds) for seconds in (60, 150, 600)] == [30, 30, 120]


def test_only_the_longest_waits_are_kept() -> None:
    seen = Probed()
    for number in range(100):
        seen.waited(float(number), (number * 37 % 100) / 1e3)
    assert [round(seconds * 1e3) for _, seconds in seen.stalls] == [*range(99, 99 - KEPT, -1)]


# ------------------------------------------------------------------------------------------------------------------- mix


def test_the_mix_has_its_shares_and_the_same_seed_gives_the_same() -> None:
    mix, again = Mix(5, generated_count=2), Mix(5, generated_count=2)
    planned = [mix.next() for _ in range(1_000)]
    assert [again.next() for _ in range(1_000)] == planned
    counts = Counter(one.sort for one in planned)
    assert all(abs(counts[sort] - 10 * share) < 60 for sort, share in SHARES.items())


def test_distinct_queries_have_texts_of_their_own() -> None:
    draw = Random(1)
    assert len({distinct(number, draw).query for number in range(500)}) == 500


def test_broken_requests_are_named_once() -> None:
    names = [one.name for one in broken()]
    assert len(names) == len(set(names)) == 27
