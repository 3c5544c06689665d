"""What is known of each store: whether it answers and how fast, its migrations, its pool, its breaker, and where its writes are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import GatewayError, MigrationLocked, StoreMismatch, StoreTimeout, StoreUnavailable
from gateway.graph.fields import Graph
from gateway.migrating import Pending, pending
from gateway.stores import Stores
from gateway.stores.reasons import Reason
from gateway.writes.watching import Log, Standing

ASKED_EVERY_S = 1.0
LOOK_S = 0.9  # for the answer of a store
PENDING_EVERY_S = 10.0  # a look at a history is some statements over a connection of its own
PENDING_S = 5.0

_log = logging.getLogger("gateway.errors")


@dataclass(slots=True)
class _Known:
    """Of one store: how it answered at last, and its migrations, where they are known."""

    status: str = "down"
    latency_ms: float | None = None
    error: Mapping[str, str] | None = None
    pending: Pending | None = None
    pending_error: str | None = None
    asked_at: float = float("-inf")
    pending_at: float = float("-inf")
    look: asyncio.Task[None] | None = field(default=None, repr=False)
    looking: set[asyncio.Task[None]] = field(default_factory=set, repr=False)  # what is not done, though its time may be up


class Checkup:
    """Asks each store at most once in ``ASKED_EVERY_S``, however many want to know, and waits for it no longer than ``LOOK_S``.

    ``standings`` gives where the targets of writes are, as it was last found out, ``log_of`` what of a store's log has no position yet.
    """

    def __init__(
        self,
        stores: Stores,
        graph: Graph,
        standings: Callable[[], Iterable[Standing]],
        clock: Callable[[], float] = time.monotonic,
        *,
        log_of: Callable[[str], Log | None] = lambda _: None,
    ) -> None:
        self.names: Sequence[str] = stores.names
        self._stores = stores
        self._graph = graph
        self._standings = standings
        self._log_of = log_of
        self._clock = clock
        self._known = {name: _Known() for name in stores.names}

    async def of(self, name: str) -> Mapping[str, Any]:
        """Return what is known of a store, as JSON has it."""
        known = self._known[name]
        if known.look is None and self._clock() - known.asked_at >= ASKED_EVERY_S:
            known.asked_at = self._clock()
            known.look = asyncio.get_running_loop().create_task(self._look(name, known))
        if known.look is not None:
            await asyncio.shield(known.look)  # who goes away leaves it to the others
        return self._told(name, known)

    def close(self) -> None:
        for known in self._known.values():
            for task in (known.look, *known.looking):
                if task is not None:
                    task.cancel()

    # ------------------------------------------------------------------------------------------------------------- looks

    async def _look(self, name: str, known: _Known) -> None:
        try:
            asked = [self._begin(known, self._ask(name, known))]
            if self._clock() - known.pending_at >= PENDING_EVERY_S:
                known.pending_at = self._clock()
                asked.append(self._begin(known, self._ask_pending(name, known)))
            _, late = await asyncio.wait(asked, timeout=LOOK_S)
            if asked[0] in late:
                asked[0].cancel()
                known.status, known.latency_ms, known.error = "down", None, _error(Reason.TIMED_OUT)
        finally:
            known.look = None

    def _begin(self, known: _Known, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        known.looking.add(task)
        task.add_done_callback(known.looking.discard)
        return task

    async def _ask(self, name: str, known: _Known) -> None:
        started = time.perf_counter()
        status, latency_ms = "down", None
        told: Mapping[str, str] | None = None
        try:
            await self._stores.ping(name)
            await self._stores.checked(name)
        except StoreMismatch as error:
            status, told = "mismatch", {"reason": "mismatch", "message": error.message}
        except StoreTimeout:
            told = _error(Reason.TIMED_OUT)
        except StoreUnavailable as error:
            told = {"reason": error.reason or "unavailable", "message": error.told or error.message}
        except GatewayError as error:
            told = {"reason": error.code.lower(), "message": error.message}
        except Exception as error:
            _log.warning("the store %s could not be asked", name, exc_info=error)
            told = {"reason": "unexpected", "message": "the log says what happened"}
        else:
            status, latency_ms = "up", round((time.perf_counter() - started) * 1_000, 2)
        known.status, known.latency_ms, known.error = status, latency_ms, told

    async def _ask_pending(self, name: str, known: _Known) -> None:
        try:
            async with asyncio.timeout(PENDING_S):
                known.pending = await pending(self._stores, self._graph, name)
            known.pending_error = None
        except MigrationLocked:
            known.pending, known.pending_error = Pending(is_locked=True), None
        except (StoreUnavailable, StoreTimeout, TimeoutError):
            known.pending, known.pending_at = None, float("-inf")  # to be asked again as soon as it is there
        except GatewayError as error:
            known.pending, known.pending_error = None, error.message
        except Exception as error:
            _log.warning("the migrations of the store %s could not be looked at", name, exc_info=error)
            known.pending, known.pending_error = None, "the log says what happened"

    # -------------------------------------------------------------------------------------------------------------- told

    def _told(self, name: str, known: _Known) -> Mapping[str, Any]:
        guard = self._stores.guards[name]
        route = self._stores.routes.get(name)
        waits = known.pending
        now = time.time()
        log = self._log_of(name)
        outbox = [
            {"target": its.target, "pending": its.pending, "parked": its.parked, "lagS": round(its.lag_s(now), 3)}
            for its in self._standings()
            if its.home == name
        ]
        return {
            "name": name,
            "kind": self._stores.kind(name),
            "status": known.status,
            "latencyMs": known.latency_ms,
            "error": known.error,
            "migrations": {
                "pending": None if waits is None else len(waits.waiting),
                "isLocked": None if waits is None else waits.is_locked,
                "error": known.pending_error,
            },
            "pool": {
                "places": guard.places,
                "inUse": None if guard.places is None else guard.in_use,
                "free": None if guard.places is None else guard.places - guard.in_use,
                "waiting": guard.waiting,
            },
            "breaker": guard.state,
            "outbox": outbox,
            **({} if log is None else {"log": {"unpositioned": log.unpositioned, "lagS": round(log.lag_s(now), 3)}}),
            **({} if route is None else {"replicas": route.told()}),
        }


def _error(reason: Reason) -> Mapping[str, str]:
    return {"reason": reason.value, "message": reason.told}
