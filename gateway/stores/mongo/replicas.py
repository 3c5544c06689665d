"""The secondaries of a MongoDB: the driver finds them, and which of them are too far behind (``maxStalenessSeconds``).

A read goes out with the preference ``secondaryPreferred``. What the client wrote before is a time of the cluster: where a secondary may not
have it yet, the primary is read; else the read says so (``afterClusterTime``), and the server that has it answers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import bson
from bson.timestamp import Timestamp
from pymongo.read_preferences import SecondaryPreferred

from gateway.errors import ConfigError, StoreTimeout, StoreUnavailable
from gateway.observability.metrics import Reading
from gateway.stores.base import Request, Store
from gateway.stores.guards import Guard, Protection
from gateway.stores.mongo.store import After, MongoStore, options_of
from gateway.stores.routing import AUTO, UNKNOWN, Connect, Replicas, refuse_lag, refuse_replicas

MAX_LAG_S = 90  # the least that a driver may be told: a secondary says every 10 s how far it is
SECONDARY, PRIMARY = "RSSecondary", "RSPrimary"


@dataclass(slots=True)
class Secondaries:
    """What reads are asked of: the guard is the primary's, whose connections they may need, too."""

    route: MongoRoute
    guard: Guard
    after: After | None

    def answer(self, request: Request[Any]) -> Coroutine[Any, Any, Any]:
        self.route.reads += 1
        return self.route.store.read(request, self.route.preference, self.after)

    def failed(self, error: StoreUnavailable | StoreTimeout) -> None:  # noqa: ARG002 - the driver has seen it, and looks at the server itself
        self.route.failures += 1


class MongoRoute:
    """See ``routing.Route``. A position is a time of the cluster with the cluster's signature, as BSON in base64."""

    def __init__(self, name: str, store: MongoStore, guard: Guard, max_lag_s: int) -> None:
        self.name = name
        self.max_lag_s: float = max_lag_s
        self.store = store
        self.preference = SecondaryPreferred(max_staleness=max_lag_s)
        self.reads = self.failures = 0  # since the start
        self._guard = guard
        self._any = Secondaries(self, guard, None)

    def server(self, seen: str | None) -> Secondaries | None:
        if seen is None:
            return self._any
        after = _after(seen)
        if all(_has(each, after.time) for each in self._members(SECONDARY)):
            return Secondaries(self, self._guard, after)
        return None

    async def position(self) -> str:
        after = await self.store.time()
        return UNKNOWN if after is None else base64.b64encode(bson.encode({"o": after.time, "c": after.cluster})).decode()

    def later(self, one: str, other: str) -> str:
        return max(one, other, key=lambda position: _after(position).time)

    def knows(self, position: str) -> bool:
        try:
            _after(position)
        except (binascii.Error, bson.errors.BSONError, KeyError, TypeError, ValueError):
            return False
        return True

    def told(self) -> Sequence[Mapping[str, Any]]:
        """Return its secondaries as the driver's last look found them, in the order of their addresses, which are not told."""
        newest = max((each.last_write_date or 0.0 for each in self._members(PRIMARY)), default=None)
        return [
            {
                "replica": number,
                "status": "up",
                "lagS": None if newest is None or each.last_write_date is None else round(max(0.0, newest - each.last_write_date), 3),
                "error": None,
            }
            for number, each in enumerate(self._members(SECONDARY), 1)
        ]

    def readings(self) -> Iterator[Reading]:
        for its in self.told():
            labels = {"store": self.name, "replica": str(its["replica"])}
            yield Reading("replica_up", "Whether a replica is read: 1, or 0.", 1, labels, is_counter=False)
            if its["lagS"] is not None:
                yield Reading("replica_lag_seconds", "How far behind a replica is at most.", its["lagS"], labels, is_counter=False)
        labels = {"store": self.name, "replica": AUTO}
        yield Reading("replica_reads", "Reads that were asked of a replica.", self.reads, labels)
        yield Reading("replica_failures", "Reads that it did not answer.", self.failures, labels)

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def _members(self, kind: str) -> Sequence[Any]:
        found = self.store.members()
        return [found[address] for address in sorted(found, key=str) if found[address].server_type_name == kind]


def _after(position: str) -> After:
    read = bson.decode(base64.b64decode(position, validate=True))
    if not isinstance(read["o"], Timestamp) or not isinstance(read["c"], Mapping):
        raise TypeError(position)
    return After(read["o"], read["c"])


def _has(member: Any, time: Timestamp) -> bool:
    """Return whether a member has what was written at a time of the cluster: it has something of a later second."""
    return (
        member.last_write_date is not None
        and datetime.fromtimestamp(member.last_write_date, UTC).replace(microsecond=0) > time.as_datetime()
    )


def route_of(
    name: str,
    url: str,
    primary: Store,
    replicas: Replicas,
    *,
    connect: Connect,  # noqa: ARG001 - the driver has their connections
    guard: Guard,
    protection: Protection,  # noqa: ARG001
) -> MongoRoute:
    """Return the route of a MongoDB. ConfigError where its replicas are not left to the driver, or it cannot have any."""
    assert isinstance(primary, MongoStore)
    if replicas.urls != (AUTO,):
        raise refuse_replicas(name, f"{AUTO}, for the driver of MongoDB finds the members of a replica set itself", "URLs")
    told = options_of(url)
    if told.get("directconnection", "").lower() == "true":
        raise refuse_replicas(name, "a url without directConnection=true, with which the driver knows one server alone", "one with it")
    for option in ("readPreference", "readPreferenceTags", "maxStalenessSeconds"):
        if option.lower() in told:
            raise ConfigError(f"stores.{name}.url: expected none of {option}, for replicas = '{AUTO}' says which reads go where; got one")
    max_lag_s = MAX_LAG_S if replicas.max_lag_s is None else replicas.max_lag_s
    if max_lag_s < MAX_LAG_S or max_lag_s != int(max_lag_s):
        raise refuse_lag(name, max_lag_s, f"whole seconds, at least {MAX_LAG_S}, which is the least that MongoDB's drivers take")
    return MongoRoute(name, primary, guard, int(max_lag_s))
