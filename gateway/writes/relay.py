"""The relay: carries what the log of each home store has for each target, beside requests or in a process of its own.

Any number of relays may run at once. Each target of each home has a worker (``worker.py``); one look per home, after a wake-up and every
``POLL_S``, says which of them have something to do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from gateway.errors import GatewayError
from gateway.observability.metrics import Reading
from gateway.stores import Stores
from gateway.stores.base import Carries, Collection, Upsert
from gateway.writes.appliers import Applier, AuditApplier, CascadeApplier, FollowUpApplier, ReplicaApplier
from gateway.writes.declarations import AUDIT, Cascade, Replica, Target
from gateway.writes.own import Own, end
from gateway.writes.sequencer import Sequencer, rest
from gateway.writes.tables import tables_of
from gateway.writes.times import now
from gateway.writes.wake import listening, wake
from gateway.writes.watching import HEARTBEAT, HEARTBEAT_EVERY_S, oldest
from gateway.writes.worker import BACKOFF_S, BATCH, Worker

POLL_S = 0.5
UNPACK_S = 5.0
STOP_S = 10.0  # for what is under way when the relay is told to stop

_log = logging.getLogger("gateway.relay")


def applier_of(target: Target, stores: Stores, context: Callable[[], Any], targets: Sequence[Target] = ()) -> Applier:
    """Return what applies states at a target, of all that there are. ``context`` makes a request's context of the system's own."""
    if isinstance(target, Replica):
        return ReplicaApplier(stores, target)
    if isinstance(target, Cascade):

        def writing(store: str) -> AbstractAsyncContextManager[Any]:
            transaction: AbstractAsyncContextManager[Any] = context().transaction(store)
            return transaction

        feeding = [ReplicaApplier(stores, each) for each in targets if isinstance(each, Replica) and each.target is target.target]
        return CascadeApplier(stores, target, writing, feeding)
    return FollowUpApplier(target, context)


class Relay:
    """``run`` carries until ``stop``. ``attempts`` counts deliveries by target and result.

    ``homes`` are the stores that are written, one for each database, with the names of the targets that hear of it; ``audit`` is the
    store that has the audit, where it is among them. ``written`` are the collections by home of which rows may carry their log themselves
    (``base.Carries``).
    """

    def __init__(
        self,
        stores: Stores,
        targets: Sequence[Target],
        homes: Mapping[str, Sequence[str]],
        context: Callable[[], Any],
        *,
        audit: str | None = None,
        written: Mapping[str, Sequence[Collection]] = MappingProxyType({}),
        poll_s: float = POLL_S,
        retry_s: float = BACKOFF_S,
        batch: int = BATCH,
    ) -> None:
        self._stores = stores
        self.owner = uuid4().hex
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.appliers: dict[str, Applier] = {target.name: applier_of(target, stores, context, targets) for target in targets}
        if audit is not None:
            self.appliers[AUDIT] = AuditApplier(stores, audit)
        options: dict[str, Any] = {"owner": self.owner, "attempts": self.attempts, "retry_s": retry_s, "batch": batch}
        self.workers: Mapping[str, Sequence[Worker]] = {
            home: [Worker(stores, home, name, self.appliers[name], **options) for name in names] for home, names in homes.items()
        }
        self._written = written
        self._poll_s = poll_s
        self._stops = asyncio.Event()
        self._ill: set[str] = set()  # what is told not to go on

    # -------------------------------------------------------------------------------------------------------------- life

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry while the block runs."""
        task = asyncio.create_task(self.run(), name="relay")
        try:
            yield
        finally:
            self.stop()
            await asyncio.gather(task, return_exceptions=True)

    async def run(self) -> None:
        """Carry until ``stop``: then nothing more is claimed, and what is under way has ``STOP_S`` to end, or is given back."""
        tasks = [asyncio.create_task(self._home(home), name=f"relay of {home}") for home in self.workers]
        tasks += [asyncio.create_task(self._sequence(home), name=f"sequencer of {home}") for home in self.workers]
        workers = [asyncio.create_task(worker.run(), name=f"relay to {worker.target}") for its in self.workers.values() for worker in its]
        try:
            await self._stops.wait()
        finally:
            await end(tasks)
            if workers:
                await asyncio.wait(workers, timeout=STOP_S)
            await end(workers)
            for error in await asyncio.gather(*tasks, *workers, return_exceptions=True):
                if isinstance(error, Exception):
                    _log.error("a task of the relay ended", exc_info=error)

    def stop(self) -> None:
        self._stops.set()
        for workers in self.workers.values():
            for worker in workers:
                worker.leave()

    async def drain(self) -> int:
        """Carry all that is due now, and what follows from it; return how many deliveries that were. For commands, and tests."""
        total = 0
        for home in self.workers:
            await self._unpack(home)
        while count := sum([await worker.step() for workers in self.workers.values() for worker in workers]):
            total += count
        return total

    # -------------------------------------------------------------------------------------------------------------- work

    async def _home(self, home: str) -> None:
        """Look what is due in a home store: whenever it was written in this process, and every ``poll_s``."""
        own, workers = Own(self._stores), {worker.target: worker for worker in self.workers[home]}
        what = f"{home}: its writes"
        beaten = -HEARTBEAT_EVERY_S
        with listening(self._stores.sharing(home)) as woken:
            while True:
                woken.clear()
                try:
                    if time.monotonic() - beaten >= HEARTBEAT_EVERY_S:
                        await self._beat(own, home)
                        beaten = time.monotonic()
                    for target in await oldest(own, home, list(workers)) if workers else ():
                        workers[target].due.set()
                    self._tell_well(what)
                except Exception as error:
                    self._tell_ill(what, error)
                await rest(woken, self._poll_s)

    async def _beat(self, own: Own, home: str) -> None:
        """Say that a relay is at work: what is quiet is not dead."""
        await own.ask(Upsert(tables_of(home).leases, [(HEARTBEAT, self.owner, now(), 0)]))

    async def _unpack(self, home: str) -> None:
        """Put where it belongs what rows of a home carry whose writers were killed."""
        store, collections = self._stores[home], self._written.get(home, ())
        if not collections or not isinstance(store, Carries):
            return
        tables = tables_of(home)
        carrying = [*collections, tables.idempotency, tables.audit]  # of the log those that are inserted first
        if await self._stores.funnel.within(home, UNPACK_S, partial(store.unpack, carrying)):
            wake(home)

    async def _sequence(self, home: str) -> None:
        sequencer, what = Sequencer(self._stores, home, self.owner), f"{home}: positions in its log"
        carried = f"{home}: what its rows carry of the log"
        try:
            with listening(self._stores.sharing(home)) as woken:
                while True:
                    woken.clear()
                    for of, step in ((carried, partial(self._unpack, home)), (what, sequencer.step)):
                        try:
                            await step()
                            self._tell_well(of)
                        except Exception as error:
                            self._tell_ill(of, error)
                    await rest(woken, self._poll_s)
        finally:
            await sequencer.release()

    def _tell_ill(self, what: str, error: Exception) -> None:
        """Tell once that something does not go on."""
        if what in self._ill:
            return
        self._ill.add(what)
        if isinstance(error, GatewayError):
            _log.warning("%s: not carried on for now: %s", what, error.message)
        else:
            _log.error("%s: not carried on for now", what, exc_info=error)

    def _tell_well(self, what: str) -> None:
        if what in self._ill:
            self._ill.discard(what)
            _log.info("%s: carried on again", what)

    def readings(self) -> Iterator[Reading]:
        total: Counter[str] = Counter()
        for (_, result), count in self.attempts.items():
            total[result] += count
        for result in ("done", "failed", "parked", "delayed"):
            yield Reading("outbox_attempts", "Deliveries that a relay here tried", total[result], {"result": result})
