"""Tell other processes that a store was written, and hear it from them, where its database has a way to: PostgreSQL's NOTIFY, MongoDB's
change streams.

A wake-up and nothing more: who hears none looks for himself, every half second. It is sent after the commit, by a connection of its own,
at most every ``GATHERED_S``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from gateway.errors import AbilityMissing, GatewayError
from gateway.stores import Stores
from gateway.writes.sequencer import GATHERED_S
from gateway.writes.tables import tables_of
from gateway.writes.wake import listening, wake

CHANNEL = "crossgraph_writes"
AGAIN_S = 5.0  # after a connection was lost

_log = logging.getLogger("gateway.relay")


class Line(Protocol):
    """A connection on which one is told and tells."""

    is_lost: asyncio.Event

    async def tell(self) -> None: ...


@runtime_checkable
class Tells(Protocol):
    """A store whose database can tell one process of another's writes, where it ``has_lines``."""

    @property
    def has_lines(self) -> bool: ...

    def line(self, channel: str, tables: Sequence[str], hear: Callable[[], None]) -> AbstractAsyncContextManager[Line]:
        """Give a connection of its own: ``hear`` is called for what others tell on the channel, or for what the tables have that is new.

        StoreUnavailable where there is none now, AbilityMissing where there never is.
        """
        ...


async def tell_each_other(stores: Stores, home: str) -> None:
    """Tell others of this process' writes of a store, and wake who waits for theirs here; for ever. Returns where there is no way to."""
    store, names = stores[home], stores.sharing(home)
    if not isinstance(store, Tells) or not store.has_lines:
        return
    tables = [tables_of(home).outbox.place]
    with listening(names) as written:

        def hear() -> None:
            for name in names:
                wake(name, but=written)

        while True:
            try:
                async with store.line(CHANNEL, tables, hear) as line:
                    hear()  # what was told meanwhile was heard by nobody
                    while not line.is_lost.is_set():
                        written.clear()
                        await _either(written, line.is_lost)
                        if not line.is_lost.is_set():
                            await line.tell()
                            await asyncio.sleep(GATHERED_S)
            except AbilityMissing:
                return
            except (GatewayError, OSError) as error:
                _log.debug("%s: others are not heard for now: %s", home, error)
            await asyncio.sleep(AGAIN_S)


async def _either(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
