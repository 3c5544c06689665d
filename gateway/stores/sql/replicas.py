"""The replicas of a PostgreSQL: who is there, and how far behind.

Primary and replicas are asked where they are in the log, each by a task of its own, ``LOOKS`` times in the lag that is allowed. What the
primary had at some time, and a replica has now, the replica is not further behind than that time: no clock of another machine is needed,
and a primary that writes nothing makes nobody late. For what is older than the looks that are kept, the time of the last commit that was
replayed says it.

While the primary does not answer, nobody knows of newer writes: a replica that has all that was last seen there goes on to be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from gateway.deadlines import Deadlines, Limit
from gateway.errors import GatewayError, StoreTimeout, StoreUnavailable
from gateway.observability.metrics import Reading
from gateway.stores.base import Request, Store
from gateway.stores.guards import Guard, Protection
from gateway.stores.reasons import Reason
from gateway.stores.routing import AUTO, Connect, Replicas, refuse_replicas
from gateway.stores.sql.positions import COMMITTED, Flushed, NoReplicaError, Replayed
from gateway.stores.sql.store import SqlStore

MAX_LAG_S = 5.0
LOOKS = 20  # within the lag that is allowed
LOOK_EVERY_S = (0.05, 0.25)  # at least and at most
LOOK_S = 0.5  # for an answer; with that a replica is found to be away before one waits for a place in its pool in vain
LOOKS_KEPT = 256
FAR_S = 3_600.0  # longer than any limit of a read
NEVER = float("-inf")
# Of a read that another replica, or this one at another time, could not answer either: it is there.
_OF_THE_READ = (Reason.READ_ONLY, Reason.NO_TABLE, Reason.NO_RIGHT)

_log = logging.getLogger("gateway.stores")


class Replica:
    """One replica, as the looks found it. ``fresh_at`` is the time, on the route's clock, up to which it surely has all."""

    def __init__(self, number: int, store: SqlStore, guard: Guard) -> None:
        self.number = number
        self.store = store
        self.guard = guard
        self.is_up = False
        self.position = 0
        self.fresh_at = NEVER
        self.error: Mapping[str, str] | None = None
        self.reads = self.failures = 0  # since the start
        self._deadlines = Deadlines()
        self._waiting: set[Limit] = set()

    async def answer(self, request: Request[Any]) -> Any:
        """Return the answer to a read; StoreUnavailable also where a look finds that it does not answer, before the read's time is up."""
        if not self.is_up:  # any more, as one waited for a place
            raise StoreUnavailable(self.store.name)
        self.reads += 1
        limit = self._deadlines.within(FAR_S)
        self._waiting.add(limit)
        try:
            with limit:
                return await self.store.answer(request)
        except TimeoutError:
            raise StoreUnavailable(self.store.name, Reason.TIMED_OUT, Reason.TIMED_OUT.told) from None
        finally:
            self._waiting.discard(limit)

    def is_gone(self, error: Mapping[str, str]) -> None:
        """Have it not be read: a look failed. Whoever waits for it is told so."""
        self.is_up = False
        self.error = error
        for limit in list(self._waiting):
            limit.end()

    def failed(self, error: StoreUnavailable | StoreTimeout) -> None:
        self.failures += 1
        if isinstance(error, StoreTimeout):
            error = StoreUnavailable(error.store, Reason.TIMED_OUT, Reason.TIMED_OUT.told)
        if self.is_up and error.reason not in _OF_THE_READ:
            self.is_up = False
            self.error = {"reason": error.reason or "unavailable", "message": error.told or error.message}

    @property
    def calls(self) -> int:
        return self.guard.in_use + self.guard.waiting


class SqlRoute:
    """See ``routing.Route``. A position is the number of bytes of the log, as text."""

    def __init__(
        self, name: str, primary: SqlStore, replicas: Sequence[Replica], max_lag_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self.name = name
        self.max_lag_s = max_lag_s
        self.replicas = replicas
        self._primary = primary
        self._clock = clock
        self._every_s = min(max(max_lag_s / LOOKS, LOOK_EVERY_S[0]), LOOK_EVERY_S[1])
        self._ends: deque[tuple[float, int]] = deque(maxlen=LOOKS_KEPT)  # when the primary was asked, and what it had
        self._cluster: int | None = None
        self._is_primary_there = False
        self._turn = 0
        self._told: dict[int, str] = {}  # of each replica, 0 of the primary: what the log was told last
        self._tasks: list[asyncio.Task[None]] = []
        self._positions = [primary.positions(LOOK_S), *(replica.store.positions(LOOK_S) for replica in replicas)]

    # ------------------------------------------------------------------------------------------------------------- reads

    def server(self, seen: str | None) -> Replica | None:
        since, least = self._clock() - self.max_lag_s, int(seen) if seen else 0
        self._turn += 1  # of those that have the same to do, each in its turn
        best: Replica | None = None
        for place in range(len(self.replicas)):
            replica = self.replicas[(self._turn + place) % len(self.replicas)]
            if (
                replica.is_up
                and replica.fresh_at > since
                and replica.position >= least
                and replica.guard.lets_through
                and (best is None or replica.calls < best.calls)
            ):
                best = replica
        return best

    async def position(self) -> str:
        position: str = await self._primary.one(COMMITTED)
        return position

    def later(self, one: str, other: str) -> str:
        return max(one, other, key=int)

    def knows(self, position: str) -> bool:
        return isinstance(position, str) and position.isascii() and position.isdigit() and len(position) <= 20

    # -------------------------------------------------------------------------------------------------------------- life

    async def open(self) -> None:
        await asyncio.gather(*(replica.store.open() for replica in self.replicas))
        if self._tasks:
            return
        self._tasks = [asyncio.create_task(self._watch(self._look_at_primary))]
        self._tasks += [asyncio.create_task(self._watch(self._look_at, replica)) for replica in self.replicas]

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for positions in self._positions:
            positions.close()
        await asyncio.gather(*(replica.store.close() for replica in self.replicas), return_exceptions=True)

    async def _watch(self, look: Any, *of: Replica) -> None:
        while True:
            begun = self._clock()
            await look(*of)
            await asyncio.sleep(max(0.0, self._every_s - (self._clock() - begun)))

    # ------------------------------------------------------------------------------------------------------------- looks

    async def _look_at_primary(self) -> None:
        asked = self._clock()
        try:
            self.primary_was_at(asked, await self._positions[0].flushed())
        except (GatewayError, NoReplicaError) as error:
            self._is_primary_there = False
            self._tell(0, "the lag behind the primary is not known: %s", _text_of(error))
        except Exception as error:
            self._is_primary_there = False
            _log.warning("the primary of the store %s could not be looked at", self.name, exc_info=error)
        else:
            self._tell(0, "the lag behind the primary is known")

    async def _look_at(self, replica: Replica) -> None:
        asked = self._clock()
        try:
            self.replica_was_at(replica, asked, await self._positions[replica.number].replayed())
        except StoreUnavailable as error:
            replica.is_gone({"reason": error.reason or "unavailable", "message": error.told or error.message})
        except NoReplicaError as error:
            replica.is_gone({"reason": "no replica", "message": str(error)})
        except Exception as error:
            replica.is_gone({"reason": "unexpected", "message": "the log says what happened"})
            if self._told.get(replica.number) != "unexpected":
                self._told[replica.number] = "unexpected"
                _log.warning("replica %d of the store %s could not be looked at", replica.number, self.name, exc_info=error)
            return
        status = self._status(replica)
        if status == "down" and replica.error is not None:
            self._tell(replica.number, f"replica {replica.number} is not read: %s", replica.error["message"])
        else:
            self._tell(replica.number, f"replica {replica.number} is %s", status)

    def primary_was_at(self, asked: float, its: Flushed) -> None:
        """Take in that the primary had these bytes of the log at least when it was asked."""
        if its.cluster != self._cluster or (self._ends and its.position < self._ends[-1][1]):
            self._ends.clear()  # another one has taken its place, with a log of its own
        self._cluster = its.cluster
        self._is_primary_there = True
        self._ends.append((asked, its.position))

    def replica_was_at(self, replica: Replica, asked: float, its: Replayed) -> None:
        """Take in what a replica shows. NoReplicaError where it follows another primary."""
        if self._cluster is not None and its.cluster != self._cluster:
            raise NoReplicaError("expected a replica of the primary at the url, got one of another cluster (system_identifier)")
        replica.position = its.position
        replica.fresh_at = self._fresh_at(asked, its)
        replica.is_up = True
        replica.error = None

    def _fresh_at(self, asked: float, its: Replayed) -> float:
        if not self._is_primary_there and self._ends and its.position >= self._ends[-1][1]:
            return asked
        for at, end in reversed(self._ends):
            if end <= its.position:
                return at
        return NEVER if its.age_s is None else asked - max(0.0, its.age_s)  # by clocks that need not agree

    def _tell(self, number: int, text: str, *values: object) -> None:
        told = text % values
        if self._told.get(number) != told:
            level = logging.WARNING if number in self._told or "not" in told else logging.INFO
            self._told[number] = told
            _log.log(level, "store %s: %s", self.name, told)

    # -------------------------------------------------------------------------------------------------------------- told

    def _status(self, replica: Replica) -> str:
        if not replica.is_up:
            return "down"
        return "up" if self._lag_s(replica) < self.max_lag_s else "behind"

    def _lag_s(self, replica: Replica) -> float:
        return max(0.0, self._clock() - replica.fresh_at)

    def told(self) -> Sequence[Mapping[str, Any]]:
        return [
            {
                "replica": replica.number,
                "status": self._status(replica),
                "lagS": None if replica.fresh_at == NEVER else round(self._lag_s(replica), 3),
                "error": replica.error,
                "pool": {"places": replica.guard.places, "inUse": replica.guard.in_use, "waiting": replica.guard.waiting},
                "breaker": replica.guard.state,
            }
            for replica in self.replicas
        ]

    def readings(self) -> Iterator[Reading]:
        for replica in self.replicas:
            labels = {"store": self.name, "replica": str(replica.number)}
            status = self._status(replica)
            yield Reading("replica_up", "Whether a replica is read: 1, or 0.", status == "up", labels, is_counter=False)
            if replica.fresh_at != NEVER:
                yield Reading("replica_lag_seconds", "How far behind a replica is at most.", self._lag_s(replica), labels, is_counter=False)
            yield Reading("replica_reads", "Reads that were asked of a replica.", replica.reads, labels)
            yield Reading("replica_failures", "Reads that it did not answer.", replica.failures, labels)
            yield Reading("replica_places_in_use", "Calls that a replica is at.", replica.guard.in_use, labels, is_counter=False)
            yield Reading("replica_waiting", "Calls that wait for a place.", replica.guard.waiting, labels, is_counter=False)
            yield Reading("replica_breaker_open", "Whether it failed too often.", replica.guard.state != "closed", labels, is_counter=False)


def _text_of(error: BaseException) -> str:
    return error.told or error.message if isinstance(error, StoreUnavailable) else str(error)


def route_of(
    name: str,
    url: str,
    primary: Store,
    replicas: Replicas,
    *,
    connect: Connect,
    guard: Guard,  # noqa: ARG001 - the primary's; each replica has its own
    protection: Protection,
) -> SqlRoute:
    """Return the route of a PostgreSQL with the replicas of these URLs. ConfigError where they cannot be replicas of it."""
    assert isinstance(primary, SqlStore)
    place = _place(url)
    seen = {place}
    found = []
    for number, other in enumerate(replicas.urls, 1):
        if other == AUTO:
            raise refuse_replicas(name, "the URL of each replica, for the driver of PostgreSQL finds none itself", AUTO)
        scheme, its = url.partition("://")[0], _place(other)
        if other.partition("://")[0] != scheme:
            raise refuse_replicas(name, f"URLs of the same kind as the primary's ({scheme}://)", f"{other.partition('://')[0]}://")
        if its[2] != place[2]:
            raise refuse_replicas(name, f"the database of the primary ({place[2]}), for a replica has the same", its[2] or "none")
        if its in seen:
            raise refuse_replicas(name, "each server once, and not the primary's own", f"number {number} once more")
        seen.add(its)
        store = connect(other)
        assert isinstance(store, SqlStore)
        found.append(Replica(number, store, Guard(store.places, protection)))
    return SqlRoute(name, primary, found, MAX_LAG_S if replicas.max_lag_s is None else replicas.max_lag_s)


def _place(url: str) -> tuple[str, int, str]:
    """Return host, port and database of a URL."""
    parts = urlsplit(url)
    port = 5432
    with suppress(ValueError):
        port = parts.port or port
    return (parts.hostname or parts.query, port, parts.path.strip("/"))
