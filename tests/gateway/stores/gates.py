"""A store in memory that answers when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.stores.base import A, Get, Request, note
from gateway.stores.memory import MemoryStore

MOST_TURNS = 1_000


class Arrived:
    """A read that has reached the store; ``go`` has it answered, or fail."""

    def __init__(self, request: Request[Any]) -> None:
        self.request = request
        self._released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_cancelled = False

    @property
    def keys(self) -> list[str]:
        assert isinstance(self.request, Get)
        return list(self.request.keys)

    def go(self, error: Exception | None = None) -> None:
        if error is None:
            self._released.set_result(None)
        else:
            self._released.set_exception(error)

    async def released(self) -> None:
        try:
            await self._released
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


class GatedStore(MemoryStore):
    """``arrived`` has the reads that wait, in the order of their coming, with what there was then. With ``is_open`` none waits."""

    def __init__(self, name: str, places: int = 10) -> None:
        super().__init__(name)
        self.places = places
        self.arrived: asyncio.Queue[Arrived] = asyncio.Queue()
        self.is_open = False

    async def _read(self, request: Request[A]) -> A:
        if isinstance(request, Get):
            note(f"get {','.join(request.keys)}")
        answer = await super()._read(request)
        if not self.is_open:
            arrived = Arrived(request)
            self.arrived.put_nowait(arrived)
            await arrived.released()
        return answer

    async def next(self) -> Arrived:
        async with asyncio.timeout(30):
            return await self.arrived.get()


async def until(holds: Callable[[], object]) -> None:
    """Let others have turns of the loop until something holds."""
    for _ in range(MOST_TURNS):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"it did not come to hold within {MOST_TURNS} turns")
