"""Read a part of what queries ask of a store that is moved from its candidate, and compare a part in the shadow: a route (``routing.py``).

Only while ``gateway move`` follows, and is at most ``MAX_LAG_S`` behind; a client that has just written is answered by the candidate when
that has its write, by the log's position in its token. What a read finds in the shadow to differ is looked at once more, later, as a write
may have been on its way; what differs still is counted, and a line in the log. The answer is the primary's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import random
from typing import Any
from uuid import uuid4

import orjson

from gateway.errors import GatewayError, StoreTimeout, StoreUnavailable
from gateway.observability.metrics import Reading
from gateway.stores import Stores
from gateway.stores.base import Get, Request, Slice, Store
from gateway.stores.guards import Guard
from gateway.stores.moves import candidate_of
from gateway.stores.routing import Server
from gateway.writes.own import Own, end
from gateway.writes.sequencer import Sequencer
from gateway.writes.tables import tables_of
from gateway.writes.times import moment_of

MAX_LAG_S = 2.0
LOOKED_EVERY_S = 0.25
LOOKED_AGAIN_S = MAX_LAG_S + 1.0  # where a read differed
SHADOWS_MAX = 32  # at a time; beyond that reads are not compared

_log = logging.getLogger("gateway.moves")


def step_of(name: str) -> str:
    """Return the id of the row, at the candidate, that says up to when and to which position it has all."""
    return f"step:{name}"


class _Candidate:
    """Answers reads in place of the primary."""

    def __init__(self, route: SplitRoute, store: Store, guard: Guard) -> None:
        self.store, self.guard = store, guard
        self._route = route

    async def answer(self, request: Request[Any]) -> Any:
        self._route.reads["candidate"] += 1
        return await self.store.answer(request)

    def failed(self, error: StoreUnavailable | StoreTimeout) -> None:
        self._route.leave(error)


class _Shadow:
    """Answers reads as the primary does, and has them compared."""

    def __init__(self, route: SplitRoute, store: Store, guard: Guard) -> None:
        self.store, self.guard = store, guard
        self._route = route

    async def answer(self, request: Request[Any]) -> Any:
        answer = await self.store.answer(request)
        self._route.compare(request, answer)
        return answer

    def failed(self, error: StoreUnavailable | StoreTimeout) -> None:
        """The primary's failures are its guard's."""


class SplitRoute:
    """See ``routing.Route``. ``share`` of reads go to the candidate, ``shadow`` of the others are compared. Positions are the log's."""

    max_lag_s = MAX_LAG_S

    def __init__(self, name: str, share: float, shadow: float, rng: Callable[[], float] = random) -> None:
        self.name = name
        self.reads: Counter[str] = Counter()  # by result: candidate, equal, different, failed, skipped
        self._candidate_name = candidate_of(name)
        self._share, self._shadow = share, shadow
        self._rng = rng
        self._stores: Stores | None = None
        self._until = 0.0  # by the wall clock, as who follows is another process
        self._position = 0
        self._task: asyncio.Task[None] | None = None
        self._comparing: set[asyncio.Task[None]] = set()

    def over(self, stores: Stores) -> None:
        """Have these be the stores: they are made with their routes, and so before."""
        self._stores = stores
        self._own = Own(stores)
        self._sequencer = Sequencer(stores, self.name, uuid4().hex)

    # ------------------------------------------------------------------------------------------------------------- reads

    def server(self, seen: str | None) -> Server | None:
        stores = self._stores
        if stores is None or not self.is_in_step or (seen and int(seen) > self._position):
            return None
        draw = self._rng()
        if draw < self._share and stores.guards[self._candidate_name].lets_through:
            return _Candidate(self, stores[self._candidate_name], stores.guards[self._candidate_name])
        if draw >= self._share and draw < self._share + (1 - self._share) * self._shadow:
            return _Shadow(self, stores[self.name], stores.guards[self.name])
        return None

    @property
    def is_in_step(self) -> bool:
        gate = self._stores.gate if self._stores is not None else None
        return gate is not None and gate.generations[self.name] % 2 == 0 and time.time() < self._until

    async def position(self) -> str:
        return str(await self._sequencer.settle())

    def later(self, one: str, other: str) -> str:
        return max(one, other, key=int)

    def knows(self, position: str) -> bool:
        return isinstance(position, str) and position.isascii() and position.isdigit() and len(position) <= 18

    # ------------------------------------------------------------------------------------------------------- comparing

    def compare(self, request: Request[Any], answer: Any) -> None:
        """Compare the primary's answer with the candidate's, later, and whoever asked does not wait for it."""
        assert self._stores is not None
        if len(self._comparing) >= SHADOWS_MAX or not self._stores.guards[self._candidate_name].lets_through:
            self.reads["skipped"] += 1
            return
        task = asyncio.get_running_loop().create_task(self._compare(request, answer))
        self._comparing.add(task)
        task.add_done_callback(self._comparing.discard)

    async def _compare(self, request: Request[Any], answer: Any) -> None:
        try:
            is_equal = _text(answer) == _text(await self._asked(self._candidate_name, request))
            if not is_equal:
                await asyncio.sleep(LOOKED_AGAIN_S)
                is_equal = _text(await self._asked(self.name, request)) == _text(await self._asked(self._candidate_name, request))
        except GatewayError as error:
            self.reads["failed"] += 1
            _log.debug("%s: a read was not compared: %s", self.name, error.message)
            return
        if not self.is_in_step:  # it switched meanwhile, or nobody follows
            self.reads["skipped"] += 1
            return
        self.reads["equal" if is_equal else "different"] += 1
        if not is_equal:
            _log.warning("%s: its candidate answers other than it does: %s of %s", self.name, request.operation, request.about)

    async def _asked(self, name: str, request: Request[Any]) -> Any:
        """Return a store's answer to a request that is of the primary by name, within a read's time and a place in its pool."""
        stores = self._stores
        assert stores is not None
        guard = await stores.funnel.place(name, stores.timeout_s)
        try:
            answer = await stores.funnel.within(name, stores.timeout_s, lambda: stores[name].answer(request))
        except BaseException as error:
            guard.leave_after(error)
            raise
        guard.leave_after(None)
        return answer

    # -------------------------------------------------------------------------------------------------------------- life

    async def open(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name=f"split of {self.name}")

    async def close(self) -> None:
        tasks = [*self._comparing, *([] if self._task is None else [self._task])]
        self._task = None
        await end(tasks)

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:
                self._until = 0.0
                _log.debug("%s: it is not known how far its candidate is: %s", self.name, error)
            await asyncio.sleep(LOOKED_EVERY_S)

    async def look(self) -> None:
        """See how far the candidate is."""
        assert self._stores is not None
        assert self._stores.gate is not None
        if self._stores.gate.generations[self.name] % 2:
            self._until = 0.0
            return
        id_ = step_of(self.name)
        found = await self._own.ask(Get(tables_of(self._candidate_name).leases, ("until", "value"), [id_]))
        if id_ in found:
            at, position = found[id_]
            self._until, self._position = moment_of(at).timestamp() + MAX_LAG_S, position

    def leave(self, error: StoreUnavailable | StoreTimeout) -> None:
        """Read the primary alone until the next look."""
        self.reads["failed"] += 1
        self._until = 0.0
        _log.debug("%s: its candidate did not answer a read: %s", self.name, error.message)

    # -------------------------------------------------------------------------------------------------------------- told

    def told(self) -> Sequence[Mapping[str, Any]]:
        return [{"candidate": True, "isInStep": self.is_in_step, "share": self._share, "shadow": self._shadow}]

    def readings(self) -> Iterator[Reading]:
        for result in ("candidate", "equal", "different", "failed", "skipped"):
            labels = {"store": self.name, "result": result}
            yield Reading("candidate_reads", "Reads that a candidate answered, or whose answers were compared", self.reads[result], labels)
        yield Reading(
            "candidate_in_step", "Whether reads may go to the candidate of a store", int(self.is_in_step), {"store": self.name}, False
        )


def _text(answer: Any) -> bytes:
    if isinstance(answer, Mapping):  # a parent without rows may be there or not
        answer = {key: value for key, value in answer.items() if not isinstance(value, Slice) or value.rows or value.total}
    return orjson.dumps(answer, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) or hasattr(value, "keys") else str(value)
