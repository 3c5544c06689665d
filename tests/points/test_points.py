"""F35: a process that is killed at a step of createUser, and the request that is sent again: some points, all of them in CI."""

from __future__ import annotations

import os

import pytest

from gateway.errors import ConfigError
from gateway.writes import points
from tests.points.__main__ import CASES, run

SHORT = ("log.after", "apply.after")  # of the write itself, and of what follows it
ASKED = CASES["sqlite"] if os.environ.get("REQUIRE_LIVE") else SHORT


@pytest.mark.parametrize("point", ASKED)
async def test_after_a_kill_the_same_request_gives_one_user_one_post_and_one_of_all_that_follows(point: str) -> None:
    assert await run("sqlite", [point]) == []


def test_there_are_twenty_points_and_more() -> None:
    assert len(points.POINTS) >= 20
    assert {point.partition(":")[0] for point in CASES["sqlite"]} == set(points.POINTS)


@pytest.mark.parametrize(
    ("told", "is_production", "expected"),
    [
        ("nowhere", False, "CROSSGRAPH_FAIL_POINT: expected one of begin.before, "),
        ("commit.after:0", False, "CROSSGRAPH_FAIL_POINT: expected one of begin.before, "),
        ("commit.after:x", False, "CROSSGRAPH_FAIL_POINT: expected one of begin.before, "),
        ("commit.after", True, "CROSSGRAPH_FAIL_POINT: expected none in production, as it has the process killed; got 'commit.after'"),
    ],
)
def test_what_is_no_point_and_any_in_production_is_refused(told: str, is_production: bool, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        points.arm({points.VARIABLE: told}, is_production=is_production)
    assert refused.value.message.startswith(expected)


def test_without_the_variable_nothing_is_armed() -> None:
    points.arm({}, is_production=True)
    points.arm({points.VARIABLE: ""}, is_production=True)
    for point in points.POINTS:
        points.reached(point)
