"""Which tenants are open: each is opened once, on its first request, and closed when it is idle, or another needs its place.

One that is asked is never closed, nor one that is still at a call of its own. What is being closed has its place until it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from time import monotonic
from typing import Generic, Protocol, TypeVar

from gateway.errors import GatewayError, Overloaded, TenantNotReady
from gateway.observability.metrics import Reading

AGAIN_S = 1.0  # until one that could not be opened is tried again
SWEEP_MAX_S = 5.0
SWEEPS = 4  # in the time after which one is idle
CLOSE_S = 5.0  # for the pools of one, which then are left to end by themselves

_log = logging.getLogger("gateway.tenants")


class Resident(Protocol):
    """What is open of a tenant."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of it is at work that no request waits for."""
        ...

    async def close(self) -> None: ...


R = TypeVar("R", bound=Resident)


@dataclass(slots=True, eq=False)
class _Slot(Generic[R]):
    """The place of one tenant. ``uses`` are the requests that have it, or wait for it."""

    opening: asyncio.Task[R | GatewayError]
    uses: int = 0
    idle_since: float = 0.0
    resident: R | None = None
    again_at: float | None = None  # where it could not be opened

    @property
    def may_go(self) -> bool:
        return self.uses == 0 and self.opening.done() and (self.resident is None or self.resident.is_quiet)


class Residents(Generic[R]):
    """Those of one process, at most so many. ``open_`` opens one by its name; a GatewayError of it is told to all who wait."""

    def __init__(self, open_: Callable[[str], Awaitable[R]], most: int, idle_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._open = open_
        self._most = most
        self._idle_s = idle_s
        self._clock = clock
        self._slots: OrderedDict[str, _Slot[R]] = OrderedDict()  # the least recently used first
        self._closing: dict[asyncio.Task[None], str] = {}
        self._is_ending = False
        self._counted: Counter[str] = Counter()

    def __iter__(self) -> Iterator[R]:
        return iter([slot.resident for slot in self._slots.values() if slot.resident is not None])

    @property
    def is_empty(self) -> bool:
        return not self._slots and not self._closing

    def take(self, name: str) -> R | None:
        """Return a tenant that is open, for ``leave`` to give back; None where it is not."""
        slot = self._slots.get(name)
        if slot is None or slot.resident is None:
            return None
        slot.uses += 1
        self._slots.move_to_end(name)
        return slot.resident

    async def opened(self, name: str) -> R:
        """Return a tenant, opened where it is not, for ``leave`` to give back.

        Overloaded where all places are taken by tenants that are asked. What could not be opened is not tried again for ``AGAIN_S``.
        """
        slot = self._slots.get(name)
        if slot is not None and slot.again_at is not None and slot.uses == 0 and self._clock() >= slot.again_at:
            del self._slots[name]
            slot = None
        if slot is None:
            slot = self._begin(name)
        slot.uses += 1
        self._slots.move_to_end(name)
        try:
            found = await asyncio.shield(slot.opening)  # who goes away leaves it to the others
        except BaseException:
            self._left(slot)
            raise
        if isinstance(found, GatewayError):
            self._left(slot)
            raise found.with_traceback(None)
        return found

    def leave(self, name: str) -> None:
        """Give back what was taken or opened."""
        slot = self._slots.get(name)
        if slot is not None:  # at the end all go
            self._left(slot)

    def _left(self, slot: _Slot[R]) -> None:
        slot.uses -= 1
        slot.idle_since = self._clock()

    def _begin(self, name: str) -> _Slot[R]:
        if self._is_ending:
            raise Overloaded("The gateway is ending; try again.")
        if len(self._slots) >= self._most:
            self._make_room()
        is_full = len(self._slots) + len(self._closing) >= self._most
        gone = [task for task, its in self._closing.items() if is_full or its == name]
        # In a context of its own: it is nobody's request.
        opening = asyncio.get_running_loop().create_task(self._opening(name, gone), name="opening of a tenant", context=Context())
        slot = self._slots[name] = _Slot(opening)
        return slot

    def _make_room(self) -> None:
        for name, slot in self._slots.items():
            if slot.may_go:
                self._close(name, "room")
                return
        self._counted["refused"] += 1
        raise Overloaded("Too many tenants are asked at a time; try again later (setting tenants_open_max).", setting="tenants_open_max")

    async def _opening(self, name: str, gone: list[asyncio.Task[None]]) -> R | GatewayError:
        slot: _Slot[R] | None = None
        try:
            if gone:
                await asyncio.wait(gone)
            opened = await self._open(name)
        except GatewayError as error:
            failed: GatewayError = error
        except Exception as error:
            _log.error("tenant %s: it could not be opened", name, exc_info=error)
            failed = TenantNotReady()
        else:
            slot = self._slots[name]
            slot.resident = opened
            slot.idle_since = self._clock()
            self._counted["opened"] += 1
            return opened
        slot = self._slots[name]
        slot.again_at = self._clock() + AGAIN_S
        self._counted["failed"] += 1
        return failed.with_traceback(None)

    def _close(self, name: str, why: str) -> None:
        slot = self._slots.pop(name)
        self._counted[why] += slot.resident is not None
        task = asyncio.get_running_loop().create_task(self._closed(name, slot), name="end of a tenant", context=Context())
        self._closing[task] = name
        task.add_done_callback(lambda task: self._closing.pop(task, None))

    async def _closed(self, name: str, slot: _Slot[R]) -> None:
        if slot.resident is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await slot.resident.close()
        except TimeoutError:
            _log.warning("tenant %s: its stores did not close within %g s", name, CLOSE_S)
        except Exception as error:
            _log.error("tenant %s: its stores did not close", name, exc_info=error)

    def sweep(self) -> None:
        """Close those that were idle for long enough."""
        now = self._clock()
        for name, slot in list(self._slots.items()):
            if slot.may_go and now - slot.idle_since >= (self._idle_s if slot.resident is not None else AGAIN_S):
                self._close(name, "idle")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Close idle ones while the block lasts, and all at its end."""
        sweeping = asyncio.create_task(self._sweep(), name="idle tenants")
        try:
            yield
        finally:
            self._is_ending = True
            sweeping.cancel()
            for slot in self._slots.values():
                if not slot.opening.done():
                    slot.opening.cancel()
            await asyncio.gather(*(slot.opening for slot in self._slots.values()), return_exceptions=True)
            for name in list(self._slots):
                self._close(name, "end")
            await asyncio.gather(*self._closing, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(self._idle_s / SWEEPS, SWEEP_MAX_S))
            self.sweep()

    def readings(self) -> Iterator[Reading]:
        slots = self._slots.values()
        yield Reading("tenants_open", "Tenants whose pools are open.", sum(slot.resident is not None for slot in slots), is_counter=False)
        yield Reading("tenants_opening", "Tenants that are being opened.", sum(not s.opening.done() for s in slots), is_counter=False)
        yield Reading("tenants_opened", "Tenants that were opened.", self._counted["opened"])
        for why in ("idle", "room"):
            yield Reading("tenants_closed", "Tenants that were closed.", self._counted[why], {"reason": why})
        for why in ("failed", "refused"):
            yield Reading("tenants_not_opened", "Tenants that could not be opened, or had no place.", self._counted[why], {"reason": why})
