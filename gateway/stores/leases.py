"""Hold a lock that a database has no word for: a record with a holder, which ends by itself when nobody renews it.

Time is the database's alone: no two machines need to agree on it. Each change compares the holder, so that of two processes one wins.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from uuid import uuid4

from gateway.errors import GatewayError, MigrationLocked

LEASE_S = 30.0  # after which a process that has died holds it no more
RENEWED_EVERY_S = LEASE_S / 5
ASKED_EVERY_S = 0.25  # while another has it


class Lease(Protocol):
    """The record of one lock. Each method is one step that no other process can be in the middle of."""

    async def take(self, holder: str, seconds: float) -> bool:
        """Have it held by ``holder`` for so long, from the database's now; False where another holds it, and its time is not up."""
        ...

    async def renew(self, holder: str, seconds: float) -> bool:
        """Have it held for so long from now; False where it is no more ``holder``'s."""
        ...

    async def release(self, holder: str) -> None: ...

    async def is_held(self) -> bool:
        """Return whether somebody holds it, and his time is not up. Changes nothing."""
        ...


@asynccontextmanager
async def held(lease: Lease, store: str, timeout_s: float) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Hold the lock while the block runs. Gives a function that renews it, to be awaited before what must not be done twice.

    MigrationLocked where another holds it for longer than ``timeout_s``, and out of the block where another took it over: that of a
    process that slept through its time.
    """
    holder = uuid4().hex
    deadline = time.monotonic() + timeout_s
    while not await lease.take(holder, LEASE_S):
        if time.monotonic() >= deadline:
            raise MigrationLocked(f"store {store}: another process migrates it; waited {timeout_s:g} s (migrate_lock_timeout_s)")
        await asyncio.sleep(min(ASKED_EVERY_S, max(deadline - time.monotonic(), 0.0)))

    async def sure() -> None:
        if not await lease.renew(holder, LEASE_S):
            raise _taken_over(store)

    async def keep(limit: asyncio.Timeout) -> None:
        while True:
            await asyncio.sleep(RENEWED_EVERY_S)
            try:
                is_held = await lease.renew(holder, LEASE_S)
            except GatewayError:
                continue  # away for a moment; sure() finds out whether it was for too long
            if not is_held:
                limit.reschedule(asyncio.get_running_loop().time())
                return

    try:
        async with asyncio.timeout(None) as limit:
            keeping = asyncio.create_task(keep(limit))
            try:
                yield sure
            finally:
                keeping.cancel()
                with suppress(asyncio.CancelledError):
                    await keeping
    except TimeoutError as error:
        if limit.expired():
            raise _taken_over(store) from error
        raise
    finally:
        with suppress(GatewayError):  # it ends by itself
            await lease.release(holder)


def _taken_over(store: str) -> MigrationLocked:
    return MigrationLocked(f"store {store}: the lock of its migrations was lost to another process; run gateway migrate again")
