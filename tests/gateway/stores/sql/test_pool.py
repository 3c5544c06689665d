"""Who gets which connection, and that none is lost, whatever happens to those who wait."""

from __future__ import annotations

import asyncio

import pytest

from gateway.stores.sql.pool import Pool


class Connection:
    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = False

    def is_closed(self) -> bool:
        return self.closed

    async def close(self) -> None:
        self.closed = True

    def terminate(self) -> None:
        self.closed = True


class Maker:
    """Makes numbered connections; fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.made = 0
        self.failures = failures

    async def __call__(self) -> Connection:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise OSError("refused")
        self.made += 1
        return Connection(self.made)


async def turns() -> None:
    """Let everybody who can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_connection_used_last_is_handed_out_first() -> None:
    pool = Pool(Maker(), 3)
    first, second = await pool.acquire(), await pool.acquire()
    pool.release(first)
    pool.release(second)
    assert (await pool.acquire()).number == 2
    assert (await pool.acquire()).number == 1


async def test_no_more_are_made_than_the_pool_holds_and_who_waits_is_served_in_order() -> None:
    maker = Maker()
    pool = Pool(maker, 1)
    held = await pool.acquire()
    order: list[str] = []

    async def want(name: str) -> None:
        connection = await pool.acquire()
        order.append(name)
        pool.release(connection)

    tasks = [asyncio.create_task(want(name)) for name in "abc"]
    await turns()
    assert order == []
    pool.release(held)
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    assert maker.made == 1


async def test_a_closed_connection_makes_room_for_another() -> None:
    maker = Maker()
    pool = Pool(maker, 1)
    broken = await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await turns()
    broken.terminate()
    pool.release(broken)
    assert (await waiting).number == 2


async def test_a_connection_that_closed_while_idle_is_replaced() -> None:
    pool = Pool(Maker(), 1)
    idle = await pool.acquire()
    pool.release(idle)
    idle.terminate()
    assert (await pool.acquire()).number == 2


async def test_who_cannot_connect_lets_the_next_in_line_try() -> None:
    pool = Pool(Maker(failures=1), 1)
    first, second = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
    with pytest.raises(OSError, match="refused"):
        await first
    assert (await second).number == 1


async def test_who_gives_up_waiting_takes_no_connection_along() -> None:
    pool = Pool(Maker(), 1)
    held = await pool.acquire()
    impatient, patient = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
    await turns()
    pool.release(held)  # given to the impatient one, which is cancelled before it can take it
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert await patient is held


async def test_who_gives_up_connecting_leaves_its_place() -> None:
    pool = Pool(Maker(), 1)
    impatient = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert (await pool.acquire()).number == 1


async def test_a_closed_pool_closes_what_is_idle_and_what_comes_back() -> None:
    pool = Pool(Maker(), 2)
    idle, used = await pool.acquire(), await pool.acquire()
    pool.release(idle)
    await pool.close()
    assert idle.closed
    assert not used.closed
    pool.release(used)
    assert used.closed
