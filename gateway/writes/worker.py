"""Carry the deliveries of one target from one home store: claim, read the states, apply, delete what is done.

A worker may be killed between any two of its steps: the lease ends, somebody else claims the same again, and what was applied already is
refused by the target's gate. Nothing is open in the home store while a target is talked to.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from gateway.errors import Contended, DeadlineExceeded, GatewayError, StoreTimeout, StoreUnavailable
from gateway.stores import Stores
from gateway.stores.base import And, Claim, Compare, Delete, Fetch, Get, Key, Match, Update, Value
from gateway.writes.appliers import Applier, Item
from gateway.writes.declarations import AUDIT
from gateway.writes.own import Own, again, end, transaction
from gateway.writes.points import reached
from gateway.writes.tables import PARKED, tables_of
from gateway.writes.times import moment_of, text_of

BATCH = 50
GROWTH, BATCH_MAX = 2, 8  # of batches while each is full; at most so many times the first
LEASE_S = 30.0
RENEWED_EVERY_S = 10.0
RELEASE_TIMEOUT_S = 3.0
BACKOFF_S, BACKOFF_MAX_S = 1.0, 300.0
ATTEMPTS = 8  # that fail for good before a delivery is parked
ERROR_LIMIT = 1_000  # characters of an error that is kept

TRANSIENT = (StoreUnavailable, StoreTimeout, Contended, DeadlineExceeded, TimeoutError)  # the store's state, not the delivery's fault

_log = logging.getLogger("gateway.relay")


class StateMissing(GatewayError):
    """The log has a delivery's state no more."""


def backoff(failures: int, least: float = BACKOFF_S) -> float:
    """Return the seconds to wait at most after so many failures in a row."""
    return float(min(BACKOFF_MAX_S, least * 2 ** min(failures - 1, 32)))


@dataclass(slots=True)
class _Delivery:
    """A row of the deliveries, by name."""

    outbox: str
    target: str
    noun: str
    key: Key
    version: int
    state: str
    attempts: int
    next_at: str
    lease_owner: str | None
    lease_until: str | None
    error: str | None
    payload: Any

    @property
    def aggregate(self) -> tuple[str, Key]:
        return self.noun, self.key


@dataclass(slots=True)
class _Claimed:
    """Deliveries under our lease. The time is the database's: that of the lease, and what has passed since by our own clock."""

    left: dict[str, _Delivery]  # by the outbox's id
    until: str
    at: float = field(default_factory=time.monotonic)

    def after(self, seconds: float) -> str:
        """Return the database's time in so many seconds."""
        passed = time.monotonic() - self.at
        return text_of(moment_of(self.until) + timedelta(seconds=seconds + passed - LEASE_S))


class Worker:
    """Of one target and one home. ``step`` carries a batch; ``run`` goes on for ever.

    ``attempts`` counts deliveries by target and result: done, failed, parked, delayed.
    """

    def __init__(
        self,
        stores: Stores,
        home: str,
        target: str,
        applier: Applier,
        *,
        owner: str,
        attempts: Counter[tuple[str, str]],
        retry_s: float = BACKOFF_S,
        batch: int = BATCH,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.home, self.target = home, target
        self._stores = stores
        self._own = Own(stores)
        self._applier = applier
        self._owner = owner
        self._attempts = attempts
        self._retry_s = retry_s
        self._batch = self._size = batch
        self._rng = rng
        self._tables = tables_of(home)
        self.due = asyncio.Event()
        self.failures = 0  # in a row, of the target or the home
        self._leaves = False

    # ------------------------------------------------------------------------------------------------------------- life

    async def run(self) -> None:
        """Carry whenever something is due, until ``leave``."""
        while not self._leaves:
            await self.due.wait()
            self.due.clear()
            await self._drain()

    def leave(self) -> None:
        """Have no more claimed; what is under way is finished."""
        self._leaves = True
        self.due.set()

    async def _drain(self) -> None:
        while not self._leaves:
            try:
                count = await self.step()
            except Exception as error:
                self.failures += 1
                await self._pause(error)
                continue
            if self.failures:
                _log.info("%s: %s is reached again", self.home, self.target)
                self.failures = 0
            if count < self._batch:
                return

    async def _pause(self, error: Exception) -> None:
        seconds = self._rng() * backoff(self.failures)
        level = logging.WARNING if isinstance(error, TRANSIENT) else logging.ERROR
        said = error.message if isinstance(error, GatewayError) else f"{type(error).__name__}: {error}"
        _log.log(level, "%s: %s is not reached, next try in %.1f s: %s", self.home, self.target, seconds, said)
        deadline = time.monotonic() + seconds
        while not self._leaves and (left := deadline - time.monotonic()) > 0:
            self.due.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self.due.wait()

    # ------------------------------------------------------------------------------------------------------------ a step

    async def step(self) -> int:
        """Carry one batch, a larger one after each that was full, and return how many deliveries it had.

        Raises what is TRANSIENT, with all that is left given back.
        """
        size, self._size = self._size, self._batch
        reached("claim.before")
        rows = await again(lambda: self._own.ask(Claim(self._tables.deliveries, self.target, self._owner, size, LEASE_S)))
        if not rows:
            return 0
        reached("claim.after")
        found = [_Delivery(*row) for row in rows]
        claimed = _Claimed({one.outbox: one for one in found}, str(found[0].lease_until))
        try:
            async with self._renewing(claimed):
                await self._carry(claimed)
        except BaseException:
            await self._release(claimed)
            raise
        if len(rows) >= size:  # there is more, and it went well
            self._size = min(size * GROWTH, self._batch * BATCH_MAX)
        return len(rows)

    async def _carry(self, claimed: _Claimed) -> None:
        items, lost = await self._items(list(claimed.left.values()))
        reached("states.after")
        for one in lost:
            await self._failed(claimed, one, StateMissing("the log has its state no more"))
        if not self._applier.is_single and len(items) > 1:
            try:
                await self._apply([item for _, item in items])
            except TRANSIENT:
                raise
            except Exception:
                _log.debug("%s: %s refuses a batch, which is tried one by one", self.home, self.target, exc_info=True)
            else:
                await self._done(claimed, [one for one, _ in items])
                return
        for one, item in items:
            try:
                await self._apply([item])
            except TRANSIENT:
                raise
            except Exception as error:
                await self._failed(claimed, one, error)
            else:
                await self._done(claimed, [one])

    async def _apply(self, items: Sequence[Item]) -> None:
        reached("apply.before")
        await again(partial(self._applier.apply, items))
        reached("apply.after")

    async def _items(self, found: Sequence[_Delivery]) -> tuple[list[tuple[_Delivery, Item]], list[_Delivery]]:
        """Return what is to be applied, of each aggregate its newest state alone where that stands for all; and what has none."""
        if self._applier.is_by_version:
            newest: dict[tuple[str, Key], _Delivery] = {}
            for one in found:
                if one.aggregate not in newest or newest[one.aggregate].version < one.version:
                    newest[one.aggregate] = one
            found = list(newest.values())
        if self.target == AUDIT:
            return [(one, Item(one.outbox, one.noun, one.key, 0, one.version, None, one.payload)) for one in found], []
        states = await self._own.ask(Get(self._tables.outbox, ("epoch", "state"), [one.outbox for one in found]))
        items = [
            (one, Item(one.outbox, one.noun, one.key, states[one.outbox][0], one.version, states[one.outbox][1], one.payload))
            for one in found
            if one.outbox in states
        ]
        return items, [one for one in found if one.outbox not in states]

    # --------------------------------------------------------------------------------------------------------- afterwards

    async def _done(self, claimed: _Claimed, done: Sequence[_Delivery]) -> None:
        """Delete deliveries that are done, and those of older states of their aggregates, whoever has them: parked ones, too."""
        ids = {one.outbox for one in done}
        if self._applier.is_by_version:
            versions = {one.aggregate: one.version for one in done}
            for noun, keys in _by_noun(versions).items():
                which = And((Compare("target", "eq", self.target), Compare("noun", "eq", noun)))
                fetch = Fetch(self._tables.deliveries, ("outbox", "version"), Match("key", keys), which)
                for key, part in (await self._own.ask(fetch)).items():
                    ids.update(id_ for id_, version in part.rows if key is not None and version <= versions[noun, key])
        delete = Delete(self._tables.deliveries, [(id_, self.target) for id_ in sorted(ids)])
        await again(lambda: self._own.ask(delete))
        reached("mark.after")
        for id_ in ids:
            claimed.left.pop(id_, None)
        self._attempts[self.target, "done"] += len(done)

    async def _failed(self, claimed: _Claimed, one: _Delivery, error: Exception) -> None:
        """Have a delivery tried again later, or parked; it is its aggregate's newest state here, so older ones wait with it."""
        attempts = one.attempts + 1
        is_parked = attempts >= ATTEMPTS
        later = claimed.after(backoff(attempts, self._retry_s) if self._retry_s else 0.0)
        said = f"{type(error).__name__}: {error.message if isinstance(error, GatewayError) else error}"[:ERROR_LIMIT].replace("\0", "?")
        values: dict[str, Value] = {"attempts": attempts, "next_at": later, "error": said} | ({"state": PARKED} if is_parked else {})
        await self._set(one, values)
        claimed.left.pop(one.outbox, None)
        self._attempts[self.target, "parked" if is_parked else "failed"] += 1
        level = logging.ERROR if is_parked else logging.WARNING
        what = "parked" if is_parked else f"failed, attempt {attempts} of {ATTEMPTS}"
        _log.log(level, "%s: %s: %s %s at version %d %s: %s", self.home, self.target, one.noun, one.key, one.version, what, said)
        if self._applier.is_by_version:
            for other in [other for other in claimed.left.values() if other.aggregate == one.aggregate]:
                await self._set(other, {"next_at": later})
                claimed.left.pop(other.outbox)

    async def _release(self, claimed: _Claimed) -> None:
        """Give back what is left, as far as the home store takes it; what it does not is free when the lease ends."""
        if not claimed.left:
            return
        self._attempts[self.target, "delayed"] += len(claimed.left)

        async def give_back() -> None:
            if not await self._stores.can_transact(self.home):
                for one in claimed.left.values():
                    await self._set(one, {})
                return
            async with transaction(self._stores, self.home) as own:
                for one in claimed.left.values():
                    await own.ask(self._update(one, {}))

        with suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await give_back()

    @asynccontextmanager
    async def _renewing(self, claimed: _Claimed) -> AsyncIterator[None]:
        """Renew the lease of what is left, for as long as the block takes: with a single writer, or a slow target, that may be long."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEWED_EVERY_S)
                for one in list(claimed.left.values()):
                    with suppress(*TRANSIENT):
                        await self._own.ask(self._update(one, {"lease_owner": self._owner, "lease_until": claimed.after(LEASE_S)}))

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            await end([task])

    async def _set(self, one: _Delivery, values: Mapping[str, Value]) -> None:
        await self._own.ask(self._update(one, values))

    def _update(self, one: _Delivery, values: Mapping[str, Value]) -> Update:
        """Return the change of a delivery that is still ours; without a lease, if ``values`` have none."""
        changed = {"lease_owner": None, "lease_until": None, **values}
        deliveries = self._tables.deliveries
        return Update(deliveries, (one.outbox, one.target), tuple(changed.items()), expected=(("lease_owner", self._owner),))


def _by_noun(aggregates: Iterable[tuple[str, Key]]) -> dict[str, list[Key]]:
    found: dict[str, list[Key]] = {}
    for noun, key in aggregates:
        found.setdefault(noun, []).append(key)
    return found
