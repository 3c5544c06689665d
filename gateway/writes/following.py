"""Follow the logs of stores: one poller per store and process reads what is new, and hands it to all who listen.

Who listens has a queue of ``QUEUE`` events. Who comes with a cursor, or whose queue is full, reads the log by himself, a page at a time
as he takes it, until there is little left that he has not heard. Who takes nothing for ``STALLED_S`` while his queue is full is ended
(SlowReader); his last cursor takes him on from there.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import uuid4

import orjson

from gateway.errors import BadUserInput, CursorExpired, GatewayError, SlowReader
from gateway.stores import Stores
from gateway.stores.base import And, Collection, Compare, Fetch, Get, Key, Match, Order, Page, Row, Slice
from gateway.writes.declarations import State
from gateway.writes.feed import Event
from gateway.writes.own import Own, end
from gateway.writes.sequencer import Sequencer, rest
from gateway.writes.tables import tables_of
from gateway.writes.transaction import EPOCH
from gateway.writes.wake import listening

POLL_S = 0.5
QUEUE = 64
STALLED_S = 2.0
ROWS_PER_READ = 500
PRUNED = "pruned"  # a row of the leases: the last position that is kept no more

_COLUMNS = ("position", "noun", "key", "version", "action", "state", "epoch")
_Aggregate = tuple[str, Key, int]  # a noun, a key and a version

_log = logging.getLogger("gateway.feed")


class LogFeed:
    """A ``Feed`` over the logs of stores."""

    def __init__(self, stores: Stores, *, poll_s: float = POLL_S, queue: int = QUEUE, stalled_s: float = STALLED_S) -> None:
        self._stores = stores
        self._poll_s = poll_s
        self._queue = queue
        self._stalled_s = stalled_s
        self._logs: dict[str, _Log] = {}

    def follow(self, collection: Collection, after: str | None = None) -> AsyncIterator[Event]:
        """Give the writes of a collection, as ``Feed.follow`` says. Without a cursor: those that are committed from this call on."""
        log = self._logs.get(collection.store)
        if log is None:
            log = self._logs[collection.store] = _Log(self._stores, collection.store, self._poll_s)
        return Follower(log, collection, after, self._queue, self._stalled_s)

    async def close(self) -> None:
        """End all who follow, and what reads for them."""
        for log in self._logs.values():
            await log.close()
        self._logs.clear()


class Follower:
    """One who follows a collection: what ``async for`` takes its events from. ``aclose`` ends it, also while it waits."""

    def __init__(self, log: _Log, collection: Collection, after: str | None, limit: int, stalled_s: float) -> None:
        self.noun = collection.name
        self._log = log
        self._limit = limit
        self._stalled_s = stalled_s
        self._position = 0  # up to which it has heard, or has it in ``_read``
        self._start = asyncio.create_task(log.start(collection, after))  # now, and not when the first event is asked for
        self._read: deque[Event] = deque()  # by itself
        self._queue: deque[tuple[int, Event]] = deque()  # by the poller
        self._some = asyncio.Event()
        self._is_started = self._is_live = self._is_closed = False
        self._full_at: float | None = None

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> Event:
        if not self._is_started and not self._is_closed:
            try:
                self._position = await asyncio.shield(self._start)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not self._is_closed or (task is not None and task.cancelling()):
                    raise
                raise StopAsyncIteration from None  # closed before it had begun
            self._is_started = True
        while not self._is_closed:
            if self._read:
                return self._read.popleft()
            if self._full_at is not None and time.monotonic() - self._full_at > self._stalled_s:
                raise SlowReader(f"{self._limit} events were not taken for {self._stalled_s:g} s; the last cursor takes you on from there.")
            if self._queue:
                self._position, event = self._queue.popleft()
                return event
            if not self._is_live:
                await self._catch_up()
                continue
            self._some.clear()
            await self._some.wait()
        raise StopAsyncIteration

    async def _catch_up(self) -> None:
        """Read a page. Who listens before the read misses nothing: what is handed out since is in the queue."""
        self._full_at = None
        await self._log.attach(self)
        rows, more = await self._log.read(self._position, self.noun)
        self._read.extend(await self._log.events(rows))
        if rows:
            self._position = rows[-1][0]
        self._is_live = not more and len(rows) <= self._limit // 2 and self._full_at is None
        if self._is_live:
            self._queue = deque(item for item in self._queue if item[0] > self._position)
        else:
            self._log.detach(self)
            self._queue.clear()
            self._full_at = None

    def hear(self, position: int, event: Event) -> None:
        """Take an event that the poller read."""
        if position <= self._position:
            return
        if len(self._queue) < self._limit:
            self._queue.append((position, event))
        else:  # what it has not taken it reads again
            self._full_at = time.monotonic()
            self._is_live = False
            self._log.detach(self)
            self._queue.clear()
        self._some.set()

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._some.set()
        self._log.detach(self)
        self._start.cancel()
        await asyncio.gather(self._start, return_exceptions=True)


class _Log:
    """The log of one store: what reads it for all who follow it in this process."""

    def __init__(self, stores: Stores, store: str, poll_s: float) -> None:
        self.store = store
        self._own = Own(stores)
        self._tables = tables_of(store)
        self._sequencer = Sequencer(stores, store, uuid4().hex)
        self._names = stores.sharing(store)
        self._poll_s = poll_s
        self._followers: dict[Follower, None] = {}
        self._poller: asyncio.Task[None] | None = None
        self._is_placed = asyncio.Event()  # the poller knows where it is: all that comes after a read from now on is handed out

    # ---------------------------------------------------------------------------------------------------------- followers

    async def start(self, collection: Collection, after: str | None) -> int:
        """Return the position after which to read."""
        if after is None:
            return await self._sequencer.settle()
        epoch, position = _read_cursor(collection, after)
        found = await self._own.ask(Get(self._tables.leases, ("value",), [EPOCH, PRUNED]))
        now, pruned = (found[name][0] if name in found else 0 for name in (EPOCH, PRUNED))
        if epoch < now or position < pruned:
            raise CursorExpired("The events after this cursor are kept no more. Read what you follow anew, and follow it without a cursor.")
        return position

    async def attach(self, follower: Follower) -> None:
        self._followers[follower] = None
        if self._poller is None:
            self._is_placed.clear()
            self._poller = asyncio.create_task(self._poll(), name=f"feed of {self.store}")
        await self._is_placed.wait()

    def detach(self, follower: Follower) -> None:
        self._followers.pop(follower, None)

    async def close(self) -> None:
        for follower in list(self._followers):
            await follower.aclose()
        if self._poller is not None:
            await end([self._poller])
            self._poller = None
        await self._sequencer.release()

    # ------------------------------------------------------------------------------------------------------------ reading

    async def _poll(self) -> None:
        position: int | None = None
        is_away = False
        with listening(self._names) as woken:
            while self._followers:
                woken.clear()
                try:
                    if position is None:
                        position = await self._sequencer.settle()
                        self._is_placed.set()
                    await self._sequencer.step()
                    position = await self._hand_out(position)
                    is_away = False
                except GatewayError as error:
                    if not is_away:
                        is_away = True
                        _log.warning("%s: its events are not read for now: %s", self.store, error.message)
                await rest(woken, self._poll_s)
        self._poller = None  # the next follower begins anew

    async def _hand_out(self, position: int) -> int:
        while True:
            rows, more = await self.read(position)
            for row, event in zip(rows, await self.events(rows), strict=True):
                position = row[0]
                for follower in [one for one in self._followers if one.noun == row[1]]:
                    follower.hear(position, event)
            if not more:
                return position

    async def read(self, after: int, noun: str | None = None) -> tuple[Sequence[Row], bool]:
        """Return rows of the log after a position, and whether there are more."""
        new = Compare("position", "gt", after)
        where = new if noun is None else And((Compare("noun", "eq", noun), new))
        page = Fetch(self._tables.outbox, _COLUMNS, where=where, order=(Order("position"),), page=Page(ROWS_PER_READ))
        part = (await self._own.ask(page)).get(None, Slice(()))
        rows = part.rows
        if part.more:  # of two nouns that have one position, as one was moved here, the next page begins with both
            last = rows[-1][0]
            rows = [row for row in rows if row[0] != last]
        return rows, part.more

    async def events(self, rows: Sequence[Row]) -> list[Event]:
        before = await self._states_before([row for row in rows if row[4] == "update"], rows)
        return [
            Event(_cursor(noun, self.store, epoch, position), key, version, action, state, before.get((noun, key, version - 1)))
            for position, noun, key, version, action, state, epoch in rows
        ]

    async def _states_before(self, updates: Sequence[Row], rows: Sequence[Row]) -> Mapping[_Aggregate, State | None]:
        """Return the states that updates have replaced, where the log has them, or the audit beside it."""
        states: dict[_Aggregate, State | None] = {(row[1], row[2], row[3]): row[5] for row in rows}
        for table, column, step in ((self._tables.outbox, "state", 0), (self._tables.audit, "before", 1)):
            wanted = [(noun, key, version - 1 + step) for _, noun, key, version, *_ in updates if (noun, key, version - 1) not in states]
            if not wanted:
                break
            which = And(
                (
                    Compare("noun", "in", sorted({noun for noun, _, _ in wanted})),
                    Compare("version", "in", sorted({version for _, _, version in wanted})),
                )
            )
            fetch = Fetch(table, ("noun", "version", column), Match("key", list({key for _, key, _ in wanted})), which)
            for key, part in (await self._own.ask(fetch)).items():
                for noun, version, state in part.rows if key is not None else ():
                    states.setdefault((noun, str(key), version - step), state)
        return states


def _cursor(noun: str, store: str, epoch: int, position: int) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([noun, store, epoch, position])).decode().rstrip("=")


def _read_cursor(collection: Collection, text: str) -> tuple[int, int]:
    """Return the epoch and the position of a cursor. BadUserInput where it is none of this collection."""
    try:
        noun, store, epoch, position = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        if (noun, store) == (collection.name, collection.store) and type(epoch) is int and type(position) is int:
            return epoch, position
    except (ValueError, TypeError, binascii.Error):
        pass
    raise BadUserInput("Expected a cursor that an event of this subscription had.")
