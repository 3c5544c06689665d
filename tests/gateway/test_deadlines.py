"""A limit ends what takes too long, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.deadlines import Deadlines


async def test_what_takes_too_long_is_a_timeout() -> None:
    with pytest.raises(TimeoutError), Deadlines().within(0.01):
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_is_in_time_is_left_alone() -> None:
    with Deadlines().within(10):
        await asyncio.sleep(0)


async def test_an_error_inside_is_not_changed() -> None:
    with pytest.raises(KeyError), Deadlines().within(10):
        raise KeyError


async def test_a_cancellation_by_somebody_else_stays_one() -> None:
    async def limited() -> None:
        with Deadlines().within(10):
            await asyncio.Event().wait()

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_by_somebody_else_wins_over_the_time() -> None:
    deadlines = Deadlines()

    async def limited() -> None:
        with deadlines.within(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()  # while the limit's own cancellation is under way
                raise

    task = asyncio.create_task(limited())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_inner_of_two_limits_ends_alone() -> None:
    deadlines = Deadlines()
    with deadlines.within(10):
        with pytest.raises(TimeoutError), deadlines.within(0.01):
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def test_the_outer_of_two_limits_ends_both() -> None:
    deadlines = Deadlines()
    inner_timed_out = False

    async def limited() -> None:
        nonlocal inner_timed_out
        try:
            with deadlines.within(10):
                await asyncio.Event().wait()
        except TimeoutError:
            inner_timed_out = True

    with pytest.raises(TimeoutError), deadlines.within(0.01):
        await limited()
    assert not inner_timed_out


async def test_many_tasks_are_limited_each_for_itself() -> None:
    deadlines = Deadlines()
    go = asyncio.Event()

    async def limited(seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            with deadlines.within(seconds):
                await go.wait()
            return True
        return False

    tasks = [asyncio.create_task(limited(seconds)) for seconds in (0.01, 60, 0.01, 60)]
    await asyncio.wait([tasks[0], tasks[2]])
    go.set()
    assert await asyncio.gather(*tasks) == [False, True, False, True]


async def test_an_error_of_what_an_alarm_calls_ends_no_other_limit() -> None:
    def fail() -> None:
        raise KeyError

    told: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    deadlines = Deadlines()
    deadlines.alarm(0, fail)
    async with asyncio.timeout(5) as patience:
        for _ in range(2):
            with pytest.raises(TimeoutError), deadlines.within(0.05):
                await asyncio.Event().wait()
    assert not patience.expired()
    assert [type(error) for error in told] == [KeyError]


def test_one_object_serves_several_loops_after_each_other() -> None:
    deadlines = Deadlines()

    async def limited() -> None:
        with deadlines.within(0.01):
            await asyncio.Event().wait()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(limited())
