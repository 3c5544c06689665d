"""Know at once that nobody listens, where the driver would look for a server until its time is up.

PyMongo waits for a server to be found (``serverSelectionTimeoutMS``, 2 s here) also where every host refuses its connections, as one might
come back. Who asks wants to know: a call that is made while no host is known to be there ends when all of them have refused, and one ping
goes on looking, so that a server that comes back is found as soon as the driver finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from pymongo import monitoring

from gateway.errors import StoreUnavailable
from gateway.stores.reasons import Reason, reason_of

_T = TypeVar("_T")


class Refusals(monitoring.ServerHeartbeatListener):
    """What the hosts of one client last said. Motor's driver calls from threads of its own."""

    def __init__(self, hosts: int) -> None:
        self._hosts = hosts  # of the URL; 0 where they are only known later
        self._refused: set[Any] = set()
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.Task[Any] | None = None
        self.is_known = False  # a host answered, and none has failed since

    @property
    def have_all(self) -> bool:
        return 0 < self._hosts <= len(self._refused)

    # ------------------------------------------------------------------------------------------------- told by the driver

    def started(self, event: monitoring.ServerHeartbeatStartedEvent) -> None: ...

    def succeeded(self, event: monitoring.ServerHeartbeatSucceededEvent) -> None:
        self._refused.discard(event.connection_id)
        self.is_known = True

    def failed(self, event: monitoring.ServerHeartbeatFailedEvent) -> None:
        self.is_known = False
        if reason_of(event.reply) is not Reason.REFUSED:
            self._refused.discard(event.connection_id)
            return
        self._refused.add(event.connection_id)
        loop = self._loop
        if self.have_all and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._end_waiting)

    # -------------------------------------------------------------------------------------------------------- for a store

    async def unless_refused(self, store: str, call: Coroutine[Any, Any, _T], ping: Callable[[], Awaitable[Any]]) -> _T:
        """Return what ``call`` does, or raise StoreUnavailable as soon as all hosts have refused. ``ping`` goes on looking for one."""
        self._loop = asyncio.get_running_loop()
        if self.have_all:
            call.close()
            self._look(ping)
            raise self._error(store)
        task = asyncio.ensure_future(call)
        refused: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(refused)
        try:
            both: set[asyncio.Future[Any]] = {task, refused}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            task.cancel()
            raise
        finally:
            self._waiting.discard(refused)
        if task.done():
            return task.result()
        task.cancel()
        task.add_done_callback(_seen)
        self._look(ping)
        raise self._error(store)

    async def close(self) -> None:
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def _look(self, ping: Callable[[], Awaitable[Any]]) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(_looked(ping))

    def _end_waiting(self) -> None:
        for refused in self._waiting:
            if not refused.done():
                refused.set_result(None)

    def _error(self, store: str) -> StoreUnavailable:
        return StoreUnavailable(store, Reason.REFUSED.value, Reason.REFUSED.told)


async def _looked(ping: Callable[[], Awaitable[Any]]) -> None:
    try:
        await ping()
    except Exception:  # it is told to whoever asks next
        return


def _seen(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


def hosts_in(url: str) -> int:
    """Return how many hosts a URL names; 0 for one whose hosts a name server knows."""
    if url.startswith("mongodb+srv:"):
        return 0
    return len(url.partition("://")[2].partition("/")[0].rpartition("@")[2].split(","))
