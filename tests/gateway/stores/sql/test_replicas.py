"""Which replica of a PostgreSQL is read: by what looks found, over a clock that the tests set. The servers are in ``tests/live/``."""

from __future__ import annotations

import logging
from typing import cast

import pytest

from gateway.errors import StoreUnavailable
from gateway.stores import Stores
from gateway.stores.guards import Protection
from gateway.stores.reasons import Reason
from gateway.stores.routing import Replicas
from gateway.stores.sql.positions import Flushed, NoReplicaError, Replayed
from gateway.stores.sql.replicas import LOOKS_KEPT, Replica, SqlRoute

PG = "postgresql+asyncpg://ann@db:5432/paper"
CLUSTER = 77


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def route_of(clock: Clock, replicas: int = 1, **protection: float) -> SqlRoute:
    urls = tuple(f"postgresql+asyncpg://r{number}/paper" for number in range(replicas))
    made = Stores.connect({"paper": PG}, replicas={"paper": Replicas(urls)}, protection=Protection(**protection))  # type: ignore[arg-type]
    route = cast("SqlRoute", made.routes["paper"])
    route._clock = clock
    for replica in route.replicas:
        replica.guard._clock = clock
    return route


def looked(route: SqlRoute, clock: Clock, primary: int | None, *replicas: int, age_s: float | None = None) -> None:
    """Have the route look at all servers now; None: the primary does not answer."""
    if primary is None:
        route._is_primary_there = False
    else:
        route.primary_was_at(clock(), Flushed(CLUSTER, primary))
    for replica, position in zip(route.replicas, replicas, strict=False):
        route.replica_was_at(replica, clock(), Replayed(CLUSTER, position, age_s))


def lag_s(route: SqlRoute) -> float:
    lag = route.told()[0]["lagS"]
    assert isinstance(lag, float)
    return lag


def test_before_the_first_look_the_primary_is_read(clock: Clock) -> None:
    route = route_of(clock)
    assert route.server(None) is None
    assert {**route.told()[0], "pool": None} == {
        "replica": 1,
        "status": "down",
        "lagS": None,
        "error": None,
        "pool": None,
        "breaker": "closed",
    }


def test_a_replica_that_has_all_is_read_and_one_that_stands_still_no_longer_than_it_may_lag(clock: Clock) -> None:
    route = route_of(clock)
    looked(route, clock, 100, 100)
    for second in range(1, 5):
        clock.now += 1
        looked(route, clock, 100 + second, 100)  # which is paused
        assert (route.server(None) is not None, lag_s(route)) == (True, second)
    clock.now += 1
    looked(route, clock, 105, 100)
    assert (route.server(None), route.told()[0]["status"], lag_s(route)) == (None, "behind", 5)
    clock.now += 1
    looked(route, clock, 106, 104)
    assert (route.server(None) is not None, lag_s(route)) == (True, 2)


def test_where_nothing_is_written_nobody_is_late(clock: Clock) -> None:
    route = route_of(clock)
    for _ in range(100):
        looked(route, clock, 100, 100, age_s=3_600)
        assert lag_s(route) == 0
        clock.now += 1


def test_without_looks_the_lag_grows(clock: Clock) -> None:
    route = route_of(clock)
    looked(route, clock, 100, 100)
    clock.now += 4.9
    assert route.server(None) is not None
    clock.now += 0.2
    assert route.server(None) is None


def test_what_is_older_than_all_looks_is_as_old_as_the_last_commit(clock: Clock) -> None:
    route = route_of(clock)
    looked(route, clock, 100, 50, age_s=2.5)
    assert lag_s(route) == 2.5
    looked(route, clock, 101, 50, age_s=None)
    assert (route.told()[0]["lagS"], route.server(None)) == (None, None)
    for _ in range(LOOKS_KEPT + 1):
        clock.now += 0.5
        looked(route, clock, 102, 100, age_s=130)
    assert lag_s(route) == 130


def test_while_the_primary_is_away_a_replica_that_has_all_it_had_is_read(clock: Clock) -> None:
    route = route_of(clock, replicas=2)
    looked(route, clock, 100, 100, 99)
    clock.now += 60
    looked(route, clock, None, 100, 99, age_s=61)
    assert [one["status"] for one in route.told()] == ["up", "behind"]


def test_another_primary_with_a_log_of_its_own_begins_anew(clock: Clock) -> None:
    route = route_of(clock)
    for position in (100, 500):
        looked(route, clock, position, position)
        clock.now += 1
    looked(route, clock, 300, 250, age_s=9)  # more than the other had at first, which says nothing
    assert lag_s(route) == 9


def test_what_was_seen_is_in_the_replica_that_is_chosen(clock: Clock) -> None:
    route = route_of(clock, replicas=3)
    looked(route, clock, 100, 98, 100, 99, age_s=0.5)
    assert route.server("101") is None
    assert {cast("Replica", route.server("100")).number for _ in range(5)} == {2}
    assert {cast("Replica", route.server("99")).number for _ in range(5)} == {2, 3}


def test_replicas_take_turns_and_who_has_less_to_do_comes_first(clock: Clock) -> None:
    route = route_of(clock, replicas=2)
    looked(route, clock, 100, 100, 100)
    assert sorted(cast("Replica", route.server(None)).number for _ in range(4)) == [1, 1, 2, 2]
    assert route.replicas[0].guard.enters()
    assert [cast("Replica", route.server(None)).number for _ in range(4)] == [2, 2, 2, 2]


def test_one_that_failed_is_left_alone_until_it_answers_a_look(clock: Clock) -> None:
    route = route_of(clock)
    looked(route, clock, 100, 100)
    route.replicas[0].failed(StoreUnavailable("paper", Reason.LOST, Reason.LOST.told))
    assert route.server(None) is None
    assert route.told()[0]["error"] == {"reason": "lost", "message": "the connection was lost"}
    looked(route, clock, 100, 100)
    assert route.server(None) is not None


@pytest.mark.parametrize("reason", [Reason.READ_ONLY, Reason.NO_TABLE, Reason.NO_RIGHT])
def test_a_read_that_no_replica_can_answer_leaves_it_as_it_is(clock: Clock, reason: Reason) -> None:
    route = route_of(clock)
    looked(route, clock, 100, 100)
    route.replicas[0].failed(StoreUnavailable("paper", reason, reason.told))
    assert route.server(None) is not None


def test_where_the_breaker_is_open_the_primary_is_read_and_after_a_while_one_read_tries(clock: Clock) -> None:
    route = route_of(clock, breaker_calls=1, open_s=5)
    looked(route, clock, 100, 100)
    guard = route.replicas[0].guard
    assert guard.enters()
    guard.leave(failed=True)
    assert (guard.state, route.server(None)) == ("open", None)
    clock.now += 5
    looked(route, clock, 100, 100)
    assert route.server(None) is not None


async def test_while_that_one_is_under_way_the_others_go_to_the_primary(clock: Clock) -> None:
    route = route_of(clock, breaker_calls=1, open_s=5)
    guard = route.replicas[0].guard
    assert guard.enters()
    guard.leave(failed=True)
    clock.now += 5
    looked(route, clock, 100, 100)
    await guard.enter("paper", 1)
    assert (guard.state, route.server(None)) == ("half-open", None)
    guard.leave(failed=False)
    assert route.server(None) is not None


def test_a_replica_of_another_cluster_is_none(clock: Clock) -> None:
    route = route_of(clock)
    looked(route, clock, 100)
    with pytest.raises(NoReplicaError, match="got one of another cluster"):
        route.replica_was_at(route.replicas[0], clock(), Replayed(CLUSTER + 1, 100, 0))


def test_positions_are_whole_numbers(clock: Clock) -> None:
    route = route_of(clock)
    assert route.knows("430268784")
    for other in ("", "x", "-1", "1.5", "²", "1" * 21, '["FB:x"]'):
        assert not route.knows(other)
    assert route.later("9", "10") == "10"


def test_the_log_is_told_once_what_changed(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    route = route_of(clock)
    caplog.set_level(logging.INFO, "gateway.stores")
    for _ in range(3):
        route._tell(1, "replica 1 is not read: %s", "it did not answer in time")
    route._tell(1, "replica 1 is %s", "up")
    assert [record.message for record in caplog.records] == [
        "store paper: replica 1 is not read: it did not answer in time",
        "store paper: replica 1 is up",
    ]


def test_metrics_have_each_replica(clock: Clock) -> None:
    route = route_of(clock, replicas=2)
    looked(route, clock, 100, 100)
    found = {(its.name, its.labels["replica"]): its.value for its in route.readings()}
    assert found["replica_up", "1"] == 1
    assert found["replica_up", "2"] == 0
    assert found["replica_lag_seconds", "1"] == 0
    assert ("replica_lag_seconds", "2") not in found
    assert found["replica_reads", "1"] == 0
