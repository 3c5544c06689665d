"""Ask stores for what no client asked for: the relay's own reads and writes, each alone or several as one transaction."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from gateway.errors import AbilityMissing, Contended, WrongValue
from gateway.observability.accounts import Account
from gateway.stores import Stores
from gateway.stores.base import A, Collection, Fetch, Page, Request, Transaction, Transacts, Value, Where
from gateway.stores.funnel import StoreCall
from gateway.stores.routing import Freshness
from gateway.writes.declarations import State

ROWS_PER_PAGE = 500
CANCELLED_AGAIN_S = 0.5
TRIES = 6  # of what others were in the way of
PAUSE_S = 0.01  # before the second of them, at most twice that

T = TypeVar("T")

_log = logging.getLogger("gateway.errors")


@dataclass(slots=True)
class Own:
    """Who asks, past the layers that are there for clients. ``within`` a transaction all of its writes are that one's."""

    stores: Stores
    within: Transaction | None = None
    timeout_s: float | None = None  # of one call; None: that of the settings
    trace: list[StoreCall] | None = None
    started: float = field(default_factory=time.monotonic)
    request_id: str = ""
    account: Account = field(default_factory=Account)
    freshness: Freshness | None = None  # which reads all of the primary
    sharing: None = None
    may_be_stale: bool = False

    def ask(self, request: Request[A]) -> Awaitable[A]:
        return self.stores.funnel.ask_unlayered(request, self)

    def seconds(self, limit: float) -> float:
        return limit if self.timeout_s is None else self.timeout_s

    def found_wrong(self, error: WrongValue) -> None:
        _log.warning("%s", error.detail)


async def again(work: Callable[[], Awaitable[T]]) -> T:
    """Return what ``work`` gives, done again where others wrote the same at the same time; Contended where they do so each time."""
    for attempt in range(1, TRIES):
        try:
            return await work()
        except Contended:
            await asyncio.sleep(random.random() * PAUSE_S * 2**attempt)
    return await work()


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks, and return once they have ended. Again where one goes on: the ``wait_for`` of Python 3.11, with which PyMongo sends,
    loses a cancellation that comes when its own wait is over (bpo-37658).
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCELLED_AGAIN_S)


async def pages(own: Own, collection: Collection, columns: Sequence[str], where: Where | None = None) -> AsyncIterator[list[State]]:
    """Give all rows of a collection by their key, ``ROWS_PER_PAGE`` at a time, as mappings of their key and ``columns``."""
    names = tuple(dict.fromkeys((*collection.key, *columns)))
    after: tuple[Value, ...] | None = None
    while True:
        fetch = Fetch(collection, names, where=where, page=Page(ROWS_PER_PAGE, after=after))
        part = (await own.ask(fetch)).get(None)
        if part is None or not part.rows:
            return
        yield [dict(zip(names, row, strict=True)) for row in part.rows]
        if not part.more:
            return
        after = tuple(part.rows[-1][: len(collection.key)])


@asynccontextmanager
async def transaction(stores: Stores, name: str) -> AsyncIterator[Own]:
    """Give who asks one store in one transaction: committed when the block ends, rolled back when it raises or is cancelled.

    Errors bear the name of the store, and each call has its limit of time, the commit too.
    """
    store = stores[name]
    if not isinstance(store, Transacts):
        raise AbilityMissing("a transaction", store=name, kind=store.kind, needs="transact")
    timeout_s = stores.funnel.write_timeout_s
    guard = await stores.funnel.place(name, timeout_s)
    try:
        opened = store.transaction()
        asked = await stores.funnel.within(name, timeout_s, opened.__aenter__)
        try:
            try:
                yield Own(stores, asked)
            except BaseException as error:
                await opened.__aexit__(type(error), error, error.__traceback__)
                raise
            await stores.funnel.within(name, timeout_s, partial(opened.__aexit__, None, None, None))
        finally:
            stores.funnel.ended(asked)
    except BaseException as error:
        guard.leave_after(error)
        raise
    guard.leave_after(None)
