"""Look-ups by key that several requests of clients make of a store, as one call to it: where a store's setting ``coalesce`` is on.

Asked for the same columns of the same collection, under the same conditions, of the same server and for the same subject and scope, they
are of one lane. A lane gathers what is asked in one turn of the loop and, while all places of the pool are taken, until one is free, up to
KEYS_PER_CALL keys:

    gathering   a call that has not begun takes more
    begun       the store is asked; it takes no more, so that no answer is older than its question
    held        what asks for a key of a call that has begun waits for its end, and gathers meanwhile: a key is read once at a time

Each who asks waits by himself: for at most as long as alone, for a place and for the answer. Who leaves, as his time is up or as he is
cancelled, takes nothing from the others; with the last of them the call is cancelled. An error that says that the store could not be asked
is everybody's, each having a copy; after any other each is asked alone, so that it meets whose it is. One who is alone, with a place free,
asks as if this layer were not there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Hashable, Iterator, Mapping, Sequence
from contextvars import Context
from functools import partial
from time import monotonic
from typing import Any, Literal, Protocol

from gateway.deadlines import Alarm, Deadlines
from gateway.errors import DeadlineExceeded, PoolExhausted, StoreTimeout, StoreUnavailable, WrongValue
from gateway.observability.accounts import Account
from gateway.observability.metrics import Reading
from gateway.stores.base import KEYS_PER_CALL, Get, Key, Request, Rows, statements
from gateway.stores.guards import Guard
from gateway.stores.sharing import copy_of, own_parts

EVERYBODYS = (StoreUnavailable, StoreTimeout, PoolExhausted)  # the same for all, whatever they asked
ALONE = object()  # in place of an answer: go and ask yourself

Ask = Callable[[Request[Any], Any], Awaitable[Any]]
State = Literal["held", "gathering", "begun", "over"]


class Caller(Protocol):
    """Who asks (``funnel.Caller``)."""

    trace: Any  # None, or a list of StoreCall
    account: Account  # where what it asks is counted

    def seconds(self, limit: float) -> float: ...

    def found_wrong(self, error: WrongValue) -> None: ...


class Together:
    """Who asks for all of a call: with all the time that a store may take."""

    started = 0.0
    trace = None
    within = None
    freshness = None
    sharing = None
    may_be_stale = False
    request_id = ""  # of several requests

    def __init__(self) -> None:
        self.account = Account()
        self.wrong: list[WrongValue] = []

    def seconds(self, limit: float) -> float:
        return limit

    def found_wrong(self, error: WrongValue) -> None:
        self.wrong.append(error)


class _Asker:
    """One look-up, until it has its answer: rows, an exception, or ALONE."""

    __slots__ = ("alarm", "answer", "caller", "request", "seconds", "told")

    def __init__(self, request: Get, caller: Caller, answer: asyncio.Future[Any]) -> None:
        self.request = request
        self.caller = caller
        self.answer = answer
        self.told = None if caller.trace is None else statements.get()  # those of its call in the trace
        self.alarm: Alarm
        self.seconds: float

    def take(self, answer: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


class _Lane:
    """What may share calls."""

    __slots__ = ("begun", "gathering", "held", "is_of_store", "key")

    def __init__(self, key: tuple[object, ...]) -> None:
        self.key = key
        self.is_of_store = key[0] is None  # and not of a server beside it
        self.gathering: _Call | None = None  # that takes more
        self.begun: dict[_Call, None] = {}
        self.held: _Call | None = None

    def reads(self, keys: Sequence[Key] | set[Key]) -> bool:
        """Return whether one of these keys is being read."""
        return any(not call.keys.isdisjoint(keys) for call in self.begun)

    @property
    def is_empty(self) -> bool:
        return not self.begun and self.gathering is None and self.held is None


class _Call:
    """One call to a store, with those who wait for it."""

    __slots__ = ("ask", "askers", "guard", "keys", "lane", "state", "store", "task")

    def __init__(self, lane: _Lane, store: str, guard: Guard, ask: Ask, state: State) -> None:
        self.lane = lane
        self.store = store
        self.guard = guard
        self.ask = ask
        self.state: State = state
        self.askers: dict[_Asker, None] = {}
        self.keys: set[Key] = set()
        self.task: asyncio.Task[None] | None = None

    def has_room(self, keys: Sequence[Key]) -> bool:
        return len(self.keys) + len(keys) <= KEYS_PER_CALL or len(self.keys.union(keys)) <= KEYS_PER_CALL


class Coalescer:
    """The lanes of the stores ``names``, which have it on. It belongs to the loop of those who ask.

    By store, since the start: ``lookups`` that shared a call with others, the ``calls`` that they shared, and ``held``, the look-ups that
    waited for a key to be read.
    """

    def __init__(self, names: Container[str], *, timeout_s: float, deadlines: Deadlines, guards: Mapping[str, Guard]) -> None:
        self.names = names
        self._guards = guards
        self._timeout_s = timeout_s
        self._deadlines = deadlines
        self._lanes: dict[Hashable, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.lookups: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.held: Counter[str] = Counter()

    def readings(self) -> Iterator[Reading]:
        """Give what was counted."""
        for store, count in self.lookups.items():
            yield Reading("coalesced_lookups", "Look-ups by key that shared a call with others.", count, {"store": store})
        for store, count in self.calls.items():
            yield Reading("coalesced_calls", "Calls that several look-ups by key shared.", count, {"store": store})
        for store, count in self.held.items():
            yield Reading("held_lookups", "Look-ups by key that waited for a key to be read.", count, {"store": store})

    async def ask(self, request: Get, caller: Caller, sharing: Hashable, guard: Guard, ask: Ask, server: object = None) -> Rows:
        """Return the answer to a look-up of one of ``names``, whose keys are unique and fit in a call.

        ``sharing`` is the caller's. ``guard`` stands before the ``server`` that ``ask`` asks; its first await comes behind that guard.
        """
        seconds = caller.seconds(self._timeout_s)
        try:
            lane = self._lane((server, sharing, request.columns, request.share_key()))
        except TypeError:  # a layer's own condition holds what cannot be hashed
            return await self._alone(request, caller, ask)
        loop = asyncio.get_running_loop()
        asker = _Asker(request, caller, loop.create_future())
        call = self._call(lane, request, guard, ask, loop)
        call.askers[asker] = None
        call.keys.update(request.keys)
        asker.seconds = seconds if call.state == "held" else min(seconds, guard.wait_s)
        asker.alarm = self._deadlines.alarm(asker.seconds, partial(_expire, call, asker), loop)
        try:
            answer = await asker.answer
            if answer is ALONE:
                return await self._alone(request, caller, ask)
        finally:
            asker.alarm.cancel()
            self._leave(call, asker)
        if isinstance(answer, Exception):
            raise answer
        rows: Rows = answer
        account = caller.account
        account.calls += 1
        account.keys += len(request.keys)
        account.rows += len(rows)
        return rows

    async def _alone(self, request: Get, caller: Caller, ask: Ask) -> Rows:
        rows: Rows = await ask(request, caller)
        return rows

    # ------------------------------------------------------------------------------------------------------------- lanes

    def _lane(self, key: tuple[object, ...]) -> _Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key)
        return lane

    def _call(self, lane: _Lane, request: Get, guard: Guard, ask: Ask, loop: asyncio.AbstractEventLoop) -> _Call:
        """Return the call that a look-up joins, which may be a new one."""
        keys, held = request.keys, lane.held
        if lane.reads(keys) or (held is not None and not held.keys.isdisjoint(keys)):
            if held is None:
                held = lane.held = _Call(lane, request.store, guard, ask, "held")
            if held.has_room(keys):
                self.held[request.store] += 1
                return held
        call = lane.gathering
        if call is None or not call.has_room(keys):
            call = lane.gathering = _Call(lane, request.store, guard, ask, "gathering")
            loop.call_soon(self._send, call)
        return call

    def _leave(self, call: _Call, asker: _Asker) -> None:
        call.askers.pop(asker, None)
        if call.askers or call.state == "over":
            return
        if call.task is None:
            self._end(call)
            return
        if call.lane.gathering is call:
            call.lane.gathering = None
        call.task.cancel()  # and it is over once the store has let go of it

    def _end(self, call: _Call) -> None:
        """Have a call be over, and go on with what it held up."""
        if call.state == "over":
            return
        call.state = "over"
        lane = call.lane
        lane.begun.pop(call, None)
        if lane.gathering is call:
            lane.gathering = None
        held = lane.held
        if held is call:
            lane.held = None
        elif held is not None and not lane.reads(held.keys):
            lane.held = None
            self._release(held)
        if lane.is_empty and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]

    def _release(self, call: _Call) -> None:
        call.state = "gathering"
        if call.lane.gathering is None:
            call.lane.gathering = call
        for asker in call.askers:
            self._give_time(asker, most=call.guard.wait_s)
        self._send(call)

    # ------------------------------------------------------------------------------------------------------------- calls

    def _send(self, call: _Call) -> None:
        """Ask the store once there is a place, which others join until then."""
        if call.state != "gathering":
            return
        if len(call.askers) == 1 and call.guard.has_place:
            self._begin(call)
            for asker in call.askers:
                asker.take(ALONE)
            return
        call.task = asyncio.get_running_loop().create_task(self._run(call), context=Context())
        self._tasks.add(call.task)
        call.task.add_done_callback(partial(self._ended, call))

    def _ended(self, call: _Call, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        for asker in call.askers:  # some are left where the loop is ending
            asker.answer.cancel()
        self._end(call)

    def _begin(self, call: _Call) -> None:
        call.state = "begun"
        lane = call.lane
        if lane.gathering is call:
            lane.gathering = None
        call.keys = {key for asker in call.askers for key in asker.request.keys}
        lane.begun[call] = None

    def _give_time(self, asker: _Asker, *, most: float) -> None:
        """Have who asks wait for at most so many seconds from now on."""
        try:
            asker.seconds = min(asker.caller.seconds(self._timeout_s), most)
        except DeadlineExceeded as error:
            asker.take(error)
        else:
            asker.alarm.when = monotonic() + asker.seconds

    async def _run(self, call: _Call) -> None:
        told: list[Any] = []
        askers: list[_Asker] = []
        try:
            await call.guard.ready(call.store)
            self._begin(call)  # and from here to the place there is nothing to wait for
            if call.lane.is_of_store and self._guards[call.store] is not call.guard:  # the store has moved (``moves.py``), to another pool
                call.guard.pass_on()
            askers = [asker for asker in call.askers if not asker.answer.done()]
            if not askers:
                call.guard.pass_on()
                return
            for asker in askers:
                self._give_time(asker, most=self._timeout_s)
            if any(asker.told is not None for asker in askers):
                statements.set(told)  # in a context of this task's own
            if len(askers) > 1:
                self.lookups[call.store] += len(askers)
                self.calls[call.store] += 1
            first, *others = [asker.request for asker in askers]
            request, together = first.merged(others), Together()
            answer: Rows = await call.ask(request, together)
        except Exception as error:
            _trace(askers, told)
            for asker in askers or call.askers:
                if len(askers) == 1:
                    asker.take(error)
                else:
                    asker.take(copy_of(error) if isinstance(error, EVERYBODYS) else ALONE)
        else:
            _trace(askers, told)
            left = [asker for asker in askers if not asker.answer.done()]
            parts: Sequence[Any]
            try:
                parts = list(own_parts(answer, request, [(asker.request, asker.caller.found_wrong) for asker in left], together.wrong))
            except Exception:  # such as JSON of too many levels to be copied
                parts = [ALONE] * len(left)
            for asker, part in zip(left, parts, strict=True):
                asker.take(part)
        finally:
            self._end(call)


def _expire(call: _Call, asker: _Asker) -> None:
    if asker.answer.done():
        return
    if call.state == "gathering":
        call.guard.exhausted += 1
        asker.take(PoolExhausted(call.store, call.guard.places or 0))
    else:
        asker.take(StoreTimeout(call.store, asker.seconds))


def _trace(askers: Sequence[_Asker], told: Sequence[Any]) -> None:
    """Tell those who have a trace what was run for them, and how many look-ups it was run for."""
    for asker in askers:
        if asker.told is None:
            continue
        asker.told.extend(told)
        for call in asker.caller.trace:
            if call.statements is asker.told and len(askers) > 1:
                call.coalesced = max(call.coalesced, len(askers))
