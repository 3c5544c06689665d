"""What stands before a pool: places, a breaker, and one more try. Time is a number that the tests set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from gateway.context import RequestContext
from gateway.errors import BadUserInput, CallerError, Conflict, DeadlineExceeded, PoolExhausted, StoreTimeout, StoreUnavailable
from gateway.stores import Stores, guards
from gateway.stores.base import A, Collection, Column, Get, Request, Rows, Upsert
from gateway.stores.guards import Guard, Protection, guards_of
from gateway.stores.memory import MemoryStore
from gateway.stores.reasons import Reason

EAGER = Protection(breaker_calls=4)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def called(guard: Guard, *, failed: bool, times: int = 1) -> None:
    for _ in range(times):
        assert guard.enters()
        guard.leave(failed=failed)


# --------------------------------------------------------------------------------------------------------------- places


async def test_as_many_go_in_as_there_are_places_and_the_next_waits_for_the_first_to_leave() -> None:
    guard = Guard(2, EAGER)
    assert guard.enters()
    assert guard.enters()
    assert not guard.enters()
    third = asyncio.create_task(guard.enter("s", 10))
    await asyncio.sleep(0)
    assert (guard.in_use, guard.waiting, third.done()) == (2, 1, False)
    guard.leave(failed=False)
    await third
    assert (guard.in_use, guard.waiting) == (2, 0)
    guard.leave(failed=False)
    guard.leave(failed=False)
    assert guard.in_use == 0


async def test_those_who_wait_come_in_in_their_order() -> None:
    guard = Guard(1, EAGER)
    assert guard.enters()
    order: list[int] = []

    async def wait(number: int) -> None:
        await guard.enter("s", 10)
        order.append(number)
        guard.leave(failed=False)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(wait(number))
        await asyncio.sleep(0)
        guard.leave(failed=False)
    assert order == [0, 1, 2, 3, 4]


async def test_who_waits_for_too_long_is_told_that_all_are_in_use() -> None:
    guard = Guard(1, replace(EAGER, wait_s=0.01))
    assert guard.enters()
    with pytest.raises(PoolExhausted, match="The store 's' is busy: all 1 connections to it are in use") as caught:
        await guard.enter("s", 10)
    assert caught.value.extensions == {"code": "POOL_EXHAUSTED", "store": "s"}
    assert (guard.exhausted, guard.waiting, guard.in_use) == (1, 0, 1)
    guard.leave(failed=False)
    assert guard.enters()


async def test_one_who_is_given_up_while_he_waits_takes_no_place_with_him() -> None:
    guard = Guard(1, EAGER)
    assert guard.enters()
    waiting = asyncio.create_task(guard.enter("s", 10))
    await asyncio.sleep(0)
    guard.leave(failed=False)  # the place is his, and he is ended before he has it
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert guard.in_use == 0
    assert guard.enters()


async def test_a_pool_without_places_takes_any_number() -> None:
    guard = Guard(None, EAGER)
    assert all(guard.enters() for _ in range(1_000))
    assert guard.in_use == 0


# -------------------------------------------------------------------------------------------------------------- breaker


def test_it_opens_when_enough_calls_failed_and_not_before() -> None:
    guard = Guard(None, EAGER, Clock())
    called(guard, failed=False, times=3)
    called(guard, failed=True, times=2)
    assert guard.state == "closed"  # two of five
    called(guard, failed=True)
    assert (guard.state, guard.opened) == ("open", 1)  # three of six


def test_few_calls_decide_nothing() -> None:
    guard = Guard(None, EAGER, Clock())
    called(guard, failed=True, times=3)
    assert guard.state == "closed"


async def test_open_it_lets_none_through_and_asks_nobody() -> None:
    guard = Guard(None, EAGER, Clock())
    called(guard, failed=True, times=4)
    assert not guard.enters()
    with pytest.raises(StoreUnavailable) as caught:
        await guard.enter("s", 10)
    assert (caught.value.reason, guard.refused) == (Reason.BREAKER, 1)


async def test_after_its_time_one_call_decides() -> None:
    clock = Clock()
    guard = Guard(None, EAGER, clock)
    called(guard, failed=True, times=4)
    clock.now += EAGER.open_s
    await guard.enter("s", 10)
    with pytest.raises(StoreUnavailable):
        await guard.enter("s", 10)  # the one has not answered yet
    guard.leave(failed=True)
    assert (guard.state, guard.opened) == ("open", 2)
    clock.now += EAGER.open_s
    await guard.enter("s", 10)
    guard.leave(failed=False)
    assert guard.state == "closed"
    called(guard, failed=True, times=3)
    assert guard.state == "closed"  # what was before is forgotten


async def test_a_call_that_was_given_up_lets_another_one_decide() -> None:
    clock = Clock()
    guard = Guard(None, EAGER, clock)
    called(guard, failed=True, times=4)
    clock.now += EAGER.open_s
    await guard.enter("s", 10)
    guard.leave_unjudged()
    await guard.enter("s", 10)
    guard.leave(failed=False)
    assert guard.state == "closed"


def test_what_failed_before_the_window_is_forgotten() -> None:
    clock = Clock()
    guard = Guard(None, EAGER, clock)
    called(guard, failed=True, times=3)
    clock.now += EAGER.window_s + 1
    called(guard, failed=True)
    assert guard.opened == 0
    clock.now += EAGER.window_s / 2
    called(guard, failed=True, times=3)
    assert guard.opened == 1  # four in the last ten seconds


def test_a_hundredth_that_fails_never_opens_it() -> None:
    clock = Clock()
    guard = Guard(None, Protection(), clock)
    for number in range(100_000):
        clock.now += 0.01
        called(guard, failed=number % 100 == 0)
    assert guard.opened == 0


async def test_one_that_was_under_way_when_it_opened_keeps_it_open_no_longer() -> None:
    clock = Clock()
    guard = Guard(None, EAGER, clock)
    assert guard.enters()  # a slow one
    called(guard, failed=True, times=4)
    clock.now += EAGER.open_s - 1
    guard.leave(failed=True)
    clock.now += 1
    await guard.enter("s", 10)
    assert guard.state == "half-open"


async def test_a_probe_whose_caller_had_no_time_left_decides_nothing() -> None:
    clock = Clock()
    guard = Guard(None, EAGER, clock)
    called(guard, failed=True, times=4)
    clock.now += EAGER.open_s
    await guard.enter("s", 10)
    guard.leave_after(DeadlineExceeded(1.0))  # the store was not asked
    assert guard.state == "half-open"
    await guard.enter("s", 10)  # the next one decides
    guard.leave_after(None)
    assert guard.enters()  # which is closed


def test_without_calls_there_is_no_breaker() -> None:
    guard = Guard(None, Protection(breaker_calls=0), Clock())
    called(guard, failed=True, times=1_000)
    assert guard.state == "closed"


# --------------------------------------------------------------------------------------------------------------- retries


def test_a_read_that_lost_its_connection_is_asked_again_as_long_as_few_are() -> None:
    guard = Guard(None, Protection(), Clock())
    lost = StoreUnavailable("s", Reason.LOST)
    assert guard.may_retry(lost)
    assert not guard.may_retry(lost)
    called(guard, failed=False, times=11)
    assert guard.may_retry(lost)
    assert not guard.may_retry(lost)
    called(guard, failed=False, times=1_000)
    assert sum(guard.may_retry(lost) for _ in range(100)) == 10
    assert guard.retried == 12


def test_what_is_refused_or_unknown_is_not_asked_again() -> None:
    guard = Guard(None, Protection(), Clock())
    assert not guard.may_retry(StoreUnavailable("s", Reason.REFUSED))
    assert not guard.may_retry(StoreUnavailable("s"))


# ------------------------------------------------------------------------------------------------------- in the funnel


class Odd(MemoryStore):
    """Raises what stands first in ``raises``, and answers when nothing is left."""

    def __init__(self, *raises: Exception) -> None:
        super().__init__("odd")
        self.raises = list(raises)
        self.asked = 0

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._answer(request)

    async def _answer(self, request: Request[A]) -> A:
        self.asked += 1
        if self.raises:
            raise self.raises.pop(0)
        return await super().answer(request)


def lost() -> StoreUnavailable:
    return StoreUnavailable("odd", Reason.LOST)


READ = Get(Collection("notes", "odd", (Column("id"),)), ("id",), ["1"])


async def test_a_read_is_asked_twice_and_not_three_times(quick: None) -> None:
    store = Odd(lost(), lost())
    stores = Stores({"odd": store})
    with pytest.raises(StoreUnavailable):
        await RequestContext(stores).ask(READ)
    assert store.asked == 2
    store.raises = [lost()]
    stores.funnel.guards["odd"]._retries_left = 1.0
    assert await RequestContext(stores).ask(READ) == {}


async def test_a_write_is_never_asked_twice() -> None:
    store = Odd(lost())
    with pytest.raises(StoreUnavailable):
        await Stores({"odd": store}).ask(Upsert(READ.collection, [("1",)]))
    assert store.asked == 1


async def test_a_store_that_fails_is_left_alone_after_some_calls() -> None:
    store = Odd(*[StoreUnavailable("odd", Reason.REFUSED) for _ in range(100)])
    stores = Stores({"odd": store})
    for _ in range(50):
        with pytest.raises(StoreUnavailable):
            await RequestContext(stores).ask(READ)
    assert store.asked == 20


@pytest.mark.parametrize("error", [Conflict("There is one.", store="odd"), BadUserInput("It is bad.", store="odd")])
async def test_what_a_store_refuses_is_an_answer(error: CallerError) -> None:
    store = Odd(*[error] * 100)
    stores = Stores({"odd": store})
    for _ in range(100):
        with pytest.raises(CallerError):
            await RequestContext(stores).ask(READ)
    assert stores.funnel.guards["odd"].state == "closed"


async def test_a_caller_with_less_time_than_a_store_may_take_opens_nothing() -> None:
    class Silent(MemoryStore):
        async def _get(self, get: Get) -> Rows:
            await asyncio.get_running_loop().create_future()
            raise AssertionError(get)

    stores = Stores({"odd": Silent("odd")}, protection=EAGER)
    for _ in range(8):
        with pytest.raises(StoreTimeout):
            await RequestContext(stores, deadline=time.monotonic() + 0.2).ask(READ)
    guard = stores.funnel.guards["odd"]
    assert (guard.state, guard.in_use) == ("closed", 0)
    stores = Stores({"odd": Silent("odd")}, timeout_s=0.01, protection=EAGER)
    for _ in range(4):
        with pytest.raises(StoreTimeout):
            await RequestContext(stores).ask(READ)
    assert stores.funnel.guards["odd"].state == "open"


async def test_more_calls_than_places_wait_in_line(quick: None) -> None:
    class Narrow(MemoryStore):
        places = 2
        most = now = 0

        async def _get(self, get: Get) -> Rows:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1
            return {}

    store = Narrow("odd")
    ctx = RequestContext(Stores({"odd": store}))
    await asyncio.gather(*(ctx.ask(READ) for _ in range(50)))
    assert store.most == 2


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "RETRY_PAUSE_S", (0.0, 0.001))


def test_stores_of_one_pool_have_one_guard() -> None:
    one, other = MemoryStore("a"), MemoryStore("c")
    guards = guards_of({"a": one, "b": one, "c": other}, Protection())
    assert guards["a"] is guards["b"] is not guards["c"]
