"""The comparison of two commits: its statistics, its checkouts, and which settings are passed on."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from tests.benchmarks.pair import checkouts, environment, setting_of
from tests.benchmarks.processes import ROOT
from tests.benchmarks.ratios import Interval, median_of, rank


@pytest.mark.parametrize(("count", "k"), [(6, 1), (10, 2), (12, 3), (20, 6), (100, 40)])
def test_the_rank_is_that_of_the_tables_of_the_sign_test(count: int, k: int) -> None:
    assert rank(count) == k


def test_the_interval_encloses_the_median_as_often_as_it_says() -> None:
    draw = random.Random(1)
    intervals = [median_of([draw.lognormvariate(0, 0.1) for _ in range(10)]) for _ in range(2_000)]
    enclosed = sum(interval.low <= 1 <= interval.high for interval in intervals)
    assert 0.97 <= enclosed / len(intervals) <= 0.99  # 97.9 % for ten pairs


def test_one_wild_pair_does_not_decide() -> None:
    steady = [1.0, 1.001, 0.999, 1.002, 0.998, 1.0, 1.001, 0.999, 1.0]
    assert median_of([*steady, 9.0]) == Interval(0.999, 1.0, 1.002)


def test_slower_is_only_what_is_beyond_with_the_whole_interval() -> None:
    assert median_of([1.03, 1.04, 1.05] * 4).is_beyond(1.02)
    assert not median_of([1.0, 1.04, 1.05, 1.06] * 3).is_beyond(1.02)
    assert not median_of([0.9] * 10).is_beyond(1.02)


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 6 ratios, got 5"):
        median_of([1.0] * 5)


def test_a_setting_of_the_environment_is_passed_on_only_where_both_know_it() -> None:
    old, new = (
        frozenset({"environment", "stores", "page_max"}),
        frozenset({"environment", "stores", "page_max", "allowed_hosts", "cost_max"}),
    )
    setup = {"GATEWAY_ENVIRONMENT": "production", "GATEWAY_ALLOWED_HOSTS": "127.0.0.1", "GATEWAY_STORES__USERS__URL": "sqlite:///x.db"}
    given = {"GATEWAY_COST_MAX": "5", "GATEWAY_PAGE_MAX": "50", "GATEWAY_ENVIRONMENT": "development"}
    for_old = environment(setup, given, [old, new], old)
    assert for_old == {"GATEWAY_PAGE_MAX": "50", "GATEWAY_ENVIRONMENT": "production", "GATEWAY_STORES__USERS__URL": "sqlite:///x.db"}
    assert environment(setup, given, [old, new], new) == for_old | {"GATEWAY_ALLOWED_HOSTS": "127.0.0.1"}


def test_a_variable_names_its_setting() -> None:
    assert setting_of("GATEWAY_STORES__EVENTS__URL") == "stores"
    assert setting_of("GATEWAY_COST_MAX") == "cost_max"


def test_checkouts_are_removed_when_it_is_interrupted(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    commits = dict.fromkeys(("base", "head"), _git("rev-parse", "HEAD"))
    seen: list[Path] = []

    def interrupted() -> None:
        with checkouts(tmp_path, commits) as roots:
            seen.extend(root for root in roots.values() if (root / "gateway" / "service.py").is_file())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seen == [tmp_path / "base", tmp_path / "head"]
    assert not any(path.exists() for path in seen)
    assert str(tmp_path) not in _git("worktree", "list")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
