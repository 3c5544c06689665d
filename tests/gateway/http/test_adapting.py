"""How the limit of requests moves: window by window, over processes of which is known what they can do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from statistics import mean

import pytest

from gateway.errors import Overloaded
from gateway.http.adapting import KEEP, Adapting
from gateway.http.gate import ANSWERS, REST_S, WINDOW_S, AdaptiveGate, Gate

LEAST, MOST = 4, 64
Process = Callable[[int], float]  # seconds that a request takes, by how many are at work


def places(count: int, takes_s: float = 0.1) -> Process:
    """So many are answered at the same time, the others wait for them inside."""
    return lambda at_work: takes_s * max(1.0, at_work / count)


def collapsing(count: int, takes_s: float = 0.1) -> Process:
    """With more at work than it has places for, fewer are answered."""
    return lambda at_work: takes_s * max(1.0, at_work / count) ** 1.5


def full(adapting: Adapting, process: Process, windows: int, noise: random.Random | None = None) -> list[float]:
    """Have as many at work as may be, for some windows; return the answers a second of each."""
    rates = []
    for _ in range(windows):
        at_work = adapting.limit
        work_s = process(at_work)
        rate = at_work / work_s * (1.0 if noise is None else noise.uniform(0.95, 1.05))
        answers = round(rate * WINDOW_S)
        rates.append(answers / WINDOW_S)
        adapting.see(WINDOW_S, answers, work_s, is_full=True)
    return rates


def quiet(adapting: Adapting, process: Process, windows: int, at_work: int = 1) -> None:
    for _ in range(windows):
        work_s = process(at_work)
        adapting.see(WINDOW_S, round(at_work / work_s * WINDOW_S), work_s, is_full=False)


@pytest.fixture
def adapting() -> Adapting:
    return Adapting(LEAST, MOST)


def test_it_begins_with_all_places(adapting: Adapting) -> None:
    assert adapting.limit == MOST


def test_as_long_as_it_is_not_reached_it_is_the_most(adapting: Adapting) -> None:
    chosen = random.Random(1)
    for _ in range(500):
        adapting.see(WINDOW_S, chosen.randint(30, 3_000), chosen.choice((0.001, 0.1, 3.0)), is_full=False)
        assert adapting.limit == MOST


def test_where_more_at_work_take_no_longer_it_stays_the_most(adapting: Adapting) -> None:
    quiet(adapting, lambda _: 0.1, 10)
    full(adapting, lambda _: 0.1, 200)
    assert adapting.limit == MOST


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_where_they_wait_for_each_other_it_comes_down_to_some_more_than_are_answered_at_once(adapting: Adapting, count: int) -> None:
    quiet(adapting, places(count), 10)
    rates = full(adapting, places(count), 60)
    assert 2 * count <= adapting.limit <= max(LEAST, 2 * count + 10)
    assert min(rates) >= KEEP * max(rates)


def test_it_stays_there_however_long_that_lasts(adapting: Adapting) -> None:
    quiet(adapting, places(4), 10)
    full(adapting, places(4), 40)
    before = adapting.limit
    full(adapting, places(4), 10_000)
    assert abs(adapting.limit - before) <= 1


def test_what_answers_less_with_more_at_work_answers_as_much_as_it_can(adapting: Adapting) -> None:
    process = collapsing(8)
    quiet(adapting, process, 10)
    rates = full(adapting, process, 60)
    assert rates[0] < 0.5 * 80, "with all places"
    assert mean(rates[20:]) >= KEEP * 80, "which are 80 a second at best"
    assert adapting.limit < MOST / 2


def test_a_base_that_small_requests_have_made_does_not_keep_large_ones_out(adapting: Adapting) -> None:
    quiet(adapting, lambda _: 0.001, 50)
    rates = full(adapting, lambda _: 0.1, 100)
    assert min(rates) >= 0.8 * MOST / 0.1
    assert sum(rates) >= KEEP * len(rates) * MOST / 0.1
    assert adapting.limit == MOST


def test_what_takes_longer_from_now_on_has_its_places_too(adapting: Adapting) -> None:
    full(adapting, lambda _: 0.1, 50)
    rates = full(adapting, lambda _: 0.4, 100)
    assert sum(rates) >= KEEP * len(rates) * MOST / 0.4
    assert adapting.limit == MOST


@pytest.mark.parametrize("seed", range(10))
def test_answers_that_vary_cost_no_more_than_a_tenth(adapting: Adapting, seed: int) -> None:
    noise = random.Random(seed)
    quiet(adapting, places(8), 10)
    rates = full(adapting, places(8), 300, noise)
    assert sum(rates) >= KEEP * len(rates) * 80
    assert adapting.limit >= 8


@pytest.mark.parametrize("process", [places(4), collapsing(4)], ids=["a queue", "a collapse"])
def test_one_that_begins_under_too_much_load_finds_out_what_it_can_do(adapting: Adapting, process: Process) -> None:
    rates = full(adapting, process, 60)
    assert LEAST <= adapting.limit <= 20
    assert mean(rates[40:]) >= KEEP * 40


def test_one_that_got_there_by_and_by_finds_out_too(adapting: Adapting) -> None:
    for at_work in range(1, MOST):
        quiet(adapting, places(4), 3, at_work)
    full(adapting, places(4), 80)
    assert adapting.limit <= 20


def test_it_is_never_below_the_least_nor_beyond_the_most(adapting: Adapting) -> None:
    chosen = random.Random(2)
    for _ in range(5_000):
        adapting.see(chosen.uniform(0.5, 3), chosen.randint(30, 500), chosen.uniform(0.001, 10), is_full=chosen.random() < 0.9)
        assert LEAST <= adapting.limit <= MOST


def test_it_has_all_places_again_some_windows_after_it_was_reached_last(adapting: Adapting) -> None:
    quiet(adapting, places(2), 10)
    full(adapting, places(2), 60)
    assert adapting.limit < 16
    quiet(adapting, places(2), 6)
    assert adapting.limit == MOST


# --------------------------------------------------------------------------------------------------------------- the gate


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def made(least: int = 2, running: int = 8, waiting: int = 20, wait_s: float = 30) -> tuple[AdaptiveGate, Clock]:
    clock = Clock()
    return AdaptiveGate(least, running, waiting, wait_s, clock), clock


def read(gate: Gate) -> dict[str, float]:
    return {reading.name: reading.value for reading in gate.readings()}


async def overloaded(gate: AdaptiveGate, clock: Clock, answers: int, in_line: int = 10) -> None:
    """Have so many answered, one each 0.1 s, by a process that answers one at a time, however many are at work; some are in line."""
    line: list[asyncio.Task[None]] = []
    while gate.take():
        pass
    for _ in range(answers):
        while gate.waiting < in_line:
            line.append(asyncio.create_task(gate.enter()))
            await asyncio.sleep(0)
        clock.now += 0.1
        gate.give_back()
        await asyncio.sleep(0)
    for task in line:
        task.cancel()
    await asyncio.gather(*line, return_exceptions=True)
    while gate.in_use:
        gate.give_back()


async def test_the_limit_follows_what_is_measured_and_is_told() -> None:
    gate, clock = made()
    for _ in range(ANSWERS):  # one after the other
        assert gate.take()
        clock.now += 0.1
        gate.give_back()
    assert read(gate) == {
        "requests_limit": 8,
        "requests_running": 0,
        "requests_waiting": 0,
        "requests_shed": 0,
        "requests_work_seconds": pytest.approx(0.1),
        "requests_base_seconds": pytest.approx(0.1),
    }
    await overloaded(gate, clock, 1_000)
    told = read(gate)
    assert 2 <= told["requests_limit"] <= 5
    assert told["requests_work_seconds"] == pytest.approx(0.1 * told["requests_limit"], rel=0.4)


async def test_nobody_is_refused_who_is_within_the_limit() -> None:
    gate, clock = made(running=8, waiting=0)
    chosen = random.Random(3)
    at_work = 0
    for _ in range(20_000):
        clock.now += chosen.uniform(0, 0.01)
        if at_work and chosen.random() < 0.5:
            gate.give_back()
            at_work -= 1
        elif at_work < 8:
            assert gate.take()
            at_work += 1
    assert read(gate)["requests_limit"] == 8
    assert read(gate)["requests_shed"] == 0


async def test_after_a_quiet_while_a_burst_has_all_places() -> None:
    gate, clock = made()
    await one_by_one(gate, clock)
    await overloaded(gate, clock, 1_000)
    assert read(gate)["requests_limit"] < 8
    clock.now += REST_S + 0.01  # in which nobody asks
    taken = 0
    for _ in range(8):
        if not gate.take():
            await asyncio.wait_for(gate.enter(), 30)
        taken += 1
    assert (taken, gate.in_use, read(gate)["requests_limit"]) == (8, 8, 8)


async def one_by_one(gate: AdaptiveGate, clock: Clock) -> None:
    for _ in range(ANSWERS):
        assert gate.take()
        clock.now += 0.1
        gate.give_back()


async def test_whoever_has_a_place_keeps_it_when_there_are_fewer() -> None:
    gate, clock = made(running=8, waiting=0)
    while gate.take():
        pass
    gate.resize(3)
    assert gate.in_use == 8
    with pytest.raises(Overloaded):
        await gate.enter()
    for _ in range(6):
        gate.give_back()
    clock.now += 1
    assert gate.take()
    assert not gate.take()


async def test_other_numbers_hold_from_now_on() -> None:
    gate, clock = made(least=4)
    await one_by_one(gate, clock)
    await overloaded(gate, clock, 1_000)
    gate.change(2, 1, 0.01)
    assert read(gate)["requests_limit"] == 2
    assert gate.adapting.least == 2
    gate.change(16, 1, 0.01)
    assert read(gate)["requests_limit"] == 16
    before = read(gate)["requests_limit"]
    gate.change(16, 3, 0.5)
    assert read(gate)["requests_limit"] == before
