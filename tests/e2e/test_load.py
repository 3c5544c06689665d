"""More requests than a gateway can answer, at twice and ten times its capacity: as many are answered as ever, the others are told at once.

What a request costs here is time and not CPU, so that the capacity is known: ``PLACES`` at a time, each for ``TAKES_S``.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import pytest

from gateway.service import Request, Response
from tests.forms import of_form
from tests.gateway.http.fakes import FakeService, hello
from tests.gateway.http.wire import Wire, post, run, serving
from tests.tries import in_tries

PLACES, TAKES_S = 4, 0.1
CAPACITY = PLACES / TAKES_S  # requests a second
OFFERED_S = 4  # a tenth of it is what the machine may take for something else at one of two loads, and not at the other
GOOD = post(b'{"query":"{a}"}', b"Connection: close")
SETTINGS: dict[str, Any] = {"requests_max": PLACES, "requests_waiting_max": PLACES, "requests_wait_s": 0.5}


async def slowly(request: Request) -> Response:
    await asyncio.sleep(TAKES_S)
    return await hello(request)


@dataclass
class Told:
    """What became of the requests of some seconds: seconds of those that were answered, and of those that were refused."""

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def goodput(self) -> float:
        return len(self.answered) / self.seconds


async def offer(wire: Wire, rate: float, seconds: float, client: str = "") -> Told:
    """Ask so many times a second, whether or not what was asked before is answered."""
    told = Told()
    body = post(b'{"query":"{a}"}', b"Connection: close", b"X-User: " + client.encode()) if client else GOOD

    async def ask() -> None:
        started = time.perf_counter()
        answer = await wire.ask(body)
        took = time.perf_counter() - started
        if answer.status == 200:
            told.answered.append(took)
        else:
            assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "OVERLOADED", "1")
            told.refused.append(took)

    begun, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(ask()))
    await asyncio.gather(*tasks)
    told.seconds = time.perf_counter() - begun
    return told


@in_tries
def test_l02_at_twice_the_load_as_much_is_answered_and_the_rest_refused() -> None:
    async def test() -> None:
        async with serving(FakeService(slowly), **SETTINGS) as wire:
            peak = await offer(wire, CAPACITY, OFFERED_S)
            twice = await offer(wire, 2 * CAPACITY, OFFERED_S)
        assert twice.goodput >= 0.9 * peak.goodput
        assert len(twice.refused) > 0.25 * 2 * CAPACITY * OFFERED_S
        assert max(twice.answered) < 4 * TAKES_S + 0.3, "who waits, waits for the places before it"

    run(test())


@in_tries
def test_l03_a_step_to_ten_times_the_load_and_back() -> None:
    async def test() -> None:
        async with serving(FakeService(slowly), **SETTINGS) as wire:
            peak = await offer(wire, CAPACITY, OFFERED_S)
            ten = await offer(wire, 10 * CAPACITY, OFFERED_S)
            after = await offer(wire, 0.5 * CAPACITY, 1)
        assert ten.goodput >= 0.9 * peak.goodput
        assert median(ten.refused) < 0.05
        assert after.refused == []
        assert median(after.answered) < TAKES_S + 0.05

    run(test())


OTHERS = 5
MANY = 20  # places
HOGGED_S = of_form(2, 3)
FAIR: dict[str, Any] = {"requests_max": MANY, "requests_waiting_max": MANY, "requests_wait_s": 0.5}


async def offered_by(wire: Wire, rates: dict[str, float], seconds: float) -> dict[str, Told]:
    """Have each client ask so many times a second."""
    return dict(zip(rates, await asyncio.gather(*(offer(wire, rate, seconds, client) for client, rate in rates.items())), strict=True))


def p99_of_others(told: dict[str, Told]) -> float:
    times = sorted(second for client, its in told.items() if client != "hog" for second in its.answered)
    return times[int(0.99 * len(times))]


async def hogged(**settings: Any) -> tuple[dict[str, Told], dict[str, Told]]:
    """Return what becomes of all when each asks as much as the others, half of what can be done, and when one asks ten times that."""
    each = 0.5 * MANY / TAKES_S / (OTHERS + 1)
    rates = {"hog": each} | {f"user-{number}": each for number in range(OTHERS)}
    async with serving(FakeService(slowly), patience_s=60, **FAIR, **settings) as wire:
        alike = await offered_by(wire, rates, HOGGED_S)
        return alike, await offered_by(wire, rates | {"hog": 10 * each}, HOGGED_S)


@in_tries
def test_l04_one_client_with_ten_times_the_load_is_late_alone() -> None:
    async def test() -> None:
        alike, hog = await hogged(fair_by="header:X-User", client_requests_max=MANY // 2)
        assert p99_of_others(hog) <= 1.2 * p99_of_others(alike)
        assert [len(its.refused) for client, its in hog.items() if client != "hog"] == [0] * OTHERS
        assert hog["hog"].refused, "more than can be done"
        everybody = sum(its.goodput for its in hog.values())
        assert everybody >= 0.8 * MANY / TAKES_S, "what the others leave is for who asks more"

    run(test())


@in_tries
@pytest.mark.long
def test_l04_in_one_line_for_all_the_others_are_late_too() -> None:
    async def test() -> None:
        alike, hog = await hogged()
        assert any(its.refused for client, its in hog.items() if client != "hog")
        assert p99_of_others(hog) > 1.2 * p99_of_others(alike)

    run(test())


# --------------------------------------------------------------------------------------------- a limit that is found out

ADAPTIVE: dict[str, Any] = {"requests_max": 32, "requests_min": 2, "requests_waiting_max": PLACES, "requests_wait_s": 0.5}
FAST_S = TAKES_S / 2
FAST = PLACES / FAST_S  # requests a second
FOUND_OUT_S = 8  # under twice the load, until the limit is what it should be
MEASURED_S = 4


class Collapsing:
    """Has ``PLACES`` places, too, but nobody waits for one: the more are at work beyond these, the fewer are answered in a second."""

    def __init__(self) -> None:
        self.at_work = 0
        self.answered_at: list[float] = []

    async def answer(self, request: Request) -> Response:
        self.at_work += 1
        try:
            await asyncio.sleep(FAST_S * max(1.0, self.at_work / PLACES) ** 1.25)
        finally:
            self.at_work -= 1
        self.answered_at.append(time.perf_counter())
        return await hello(request)

    def goodput(self, begun: float, ended: float) -> float:
        """Return the answers a second between two moments."""
        return sum(begun <= at <= ended for at in self.answered_at) / (ended - begun)


def limit_of(wire: Wire) -> float:
    return next(reading.value for reading in wire.edge.gate.readings() if reading.name == "requests_limit")


@in_tries
@pytest.mark.long
def test_l02_a_limit_that_adapts_has_as_much_answered_as_one_that_is_right() -> None:
    async def offered(found_out_s: float, **settings: Any) -> tuple[float, Told]:
        """Offer half of the load, twice of it, and half again; return the goodput of the second, at last, and what became of the third."""
        service = Collapsing()
        async with serving(FakeService(service.answer), **{**ADAPTIVE, **settings}) as wire:
            await offer(wire, 0.5 * FAST, 2)
            begun = time.perf_counter()
            await offer(wire, 2 * FAST, found_out_s + MEASURED_S)
            goodput = service.goodput(begun + found_out_s, begun + found_out_s + MEASURED_S)
            after = await offer(wire, 0.5 * FAST, 4)
            assert limit_of(wire) == settings.get("requests_max", 32), "all places are there again"
        return goodput, after

    async def test() -> None:
        right, _ = await offered(1, requests_max=PLACES, requests_min=0)
        found, after = await offered(FOUND_OUT_S)
        if of_form(0, 1):  # what it is good for takes 12 s more
            wrong, _ = await offered(2, requests_min=0)
            assert wrong < 0.8 * right, "a number that is too high"
        assert found >= 0.9 * right
        assert after.refused == []

    run(test())


@in_tries
def test_a_limit_that_adapts_refuses_nobody_at_eight_tenths_of_the_load() -> None:
    async def test() -> None:
        places = asyncio.Semaphore(PLACES)

        async def one_of_few(request: Request) -> Response:
            async with places:
                await asyncio.sleep(FAST_S)
            return await hello(request)

        async with serving(FakeService(one_of_few), **ADAPTIVE) as wire:
            told = await offer(wire, 0.8 * FAST, 4)
            assert limit_of(wire) == 32
        assert told.refused == []

    run(test())
