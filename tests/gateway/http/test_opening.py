"""Which tenants are open: one opening for all who wait, so many at a time, closed when idle, and never while they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.errors import GatewayError, Overloaded, TenantNotReady
from gateway.http.opening import AGAIN_S, Residents


class Resident:
    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.is_quiet = True

    async def close(self) -> None:
        self.world.said.append(f"closing {self.name}")
        await self.world.may_close.wait()
        self.world.said.append(f"closed {self.name}")


class World:
    """Residents that open when the test says so; ``said`` is what happened, in order."""

    def __init__(self, most: int = 2, idle_s: float = 60.0) -> None:
        self.said: list[str] = []
        self.now = 0.0
        self.may_open, self.may_close = asyncio.Event(), asyncio.Event()
        self.may_open.set()
        self.may_close.set()
        self.error: Exception | None = None
        self.residents = Residents(self._open, most, idle_s, lambda: self.now)

    async def _open(self, name: str) -> Resident:
        self.said.append(f"opening {name}")
        await self.may_open.wait()
        if self.error is not None:
            raise self.error
        return Resident(self, name)

    async def asked(self, name: str) -> Resident:
        found = self.residents.take(name)
        return await self.residents.opened(name) if found is None else found

    async def asked_once(self, *names: str) -> None:
        for name in names:
            await self.asked(name)
            self.residents.leave(name)

    def figure(self, name: str, **labels: str) -> float:
        return next(reading.value for reading in self.residents.readings() if reading.name == name and reading.labels == labels)


@asynccontextmanager
async def closing(world: World) -> AsyncIterator[World]:
    async with world.residents.running():
        yield world


async def until_quiet() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_who_ask_at_once_wait_for_one_opening() -> None:
    world = World()
    world.may_open.clear()
    asking = [asyncio.create_task(world.asked("a")) for _ in range(5)]
    await until_quiet()
    assert world.figure("tenants_opening") == 1
    world.may_open.set()
    assert len(set(await asyncio.gather(*asking))) == 1
    assert world.said == ["opening a"]
    assert world.residents.take("a") is not None
    assert world.figure("tenants_open") == 1


async def test_who_goes_away_leaves_the_opening_to_the_others_and_to_nobody() -> None:
    world = World()
    world.may_open.clear()
    one, other = (asyncio.create_task(world.asked("a")) for _ in range(2))
    await until_quiet()
    one.cancel()
    await until_quiet()
    world.may_open.set()
    assert (await other).name == "a"
    world.residents.leave("a")
    world.now = 61.0
    world.residents.sweep()
    await until_quiet()
    assert world.said == ["opening a", "closing a", "closed a"]  # the place of who went away was given back


async def test_the_one_that_was_not_asked_for_longest_makes_room_and_is_closed_before_the_next_is_opened() -> None:
    world = World(most=2)
    await world.asked_once("a", "b", "a")
    world.may_close.clear()
    third = asyncio.create_task(world.asked("c"))
    await until_quiet()
    assert world.said[2:] == ["closing b"]
    world.may_close.set()
    assert (await third).name == "c"
    assert world.said[2:] == ["closing b", "closed b", "opening c"]
    assert world.residents.take("a") is not None
    assert world.figure("tenants_closed", reason="room") == 1


async def test_what_is_asked_is_never_closed_and_a_tenant_too_many_is_refused() -> None:
    world = World(most=2, idle_s=1.0)
    await world.asked("a")
    await world.asked("b")
    world.now = 1_000.0
    world.residents.sweep()
    with pytest.raises(Overloaded, match="tenants_open_max"):
        await world.asked("c")
    assert world.said == ["opening a", "opening b"]
    world.residents.leave("a")
    assert (await world.asked("c")).name == "c"
    assert world.figure("tenants_not_opened", reason="refused") == 1


async def test_one_that_is_still_at_something_of_its_own_is_not_closed() -> None:
    world = World(most=1)
    (await world.asked("a")).is_quiet = False
    world.residents.leave("a")
    world.now = 1_000.0
    world.residents.sweep()
    with pytest.raises(Overloaded):
        await world.asked("b")
    assert world.said == ["opening a"]


async def test_one_that_is_closing_is_opened_again_once_it_is_closed() -> None:
    world = World(most=5)
    await world.asked_once("a")
    world.may_close.clear()
    world.now = 61.0
    world.residents.sweep()
    again = asyncio.create_task(world.asked("a"))
    await until_quiet()
    assert world.said == ["opening a", "closing a"]
    world.may_close.set()
    await again
    assert world.said == ["opening a", "closing a", "closed a", "opening a"]


@pytest.mark.parametrize(("raised", "told"), [(TenantNotReady(), TenantNotReady), (RuntimeError("a secret"), TenantNotReady)])
async def test_what_could_not_be_opened_is_told_to_all_and_tried_again_after_a_while(raised: Exception, told: type[GatewayError]) -> None:
    world = World(most=1)
    world.error = raised
    answers = await asyncio.gather(*(world.asked("a") for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [told] * 3
    with pytest.raises(told) as caught:
        await world.asked("a")
    assert "secret" not in caught.value.message
    assert world.said == ["opening a"]
    world.error = None
    world.now = AGAIN_S
    assert (await world.asked("a")).name == "a"
    assert world.figure("tenants_not_opened", reason="failed") == 1


async def test_one_that_could_not_be_opened_has_its_place_taken_by_another() -> None:
    world = World(most=1)
    world.error = TenantNotReady()
    with pytest.raises(TenantNotReady):
        await world.asked("a")
    world.error = None
    assert (await world.asked("b")).name == "b"


async def test_at_the_end_all_are_closed_and_nobody_is_let_in() -> None:
    world = World(idle_s=0.01)
    async with closing(world):
        await world.asked("a")
        world.may_open.clear()
        waiting = asyncio.create_task(world.asked("b"))
        await until_quiet()
    assert world.said == ["opening a", "opening b", "closing a", "closed a"]
    assert world.residents.is_empty
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(Overloaded):
        await world.asked("c")
    world.residents.leave("a")  # who had it at the end gives nothing back


async def test_idle_ones_are_closed_by_themselves() -> None:
    world = World(idle_s=0.02)
    async with closing(world):
        await world.asked_once("a")
        world.now = 1.0
        async with asyncio.timeout(30):
            while not world.residents.is_empty:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.005)
        assert world.figure("tenants_closed", reason="idle") == 1
