"""Where the writes of a store are: what each target has yet to hear, how old that is, and when a relay was last at work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.observability.metrics import Reading
from gateway.stores import Stores
from gateway.stores.base import Aggregate, Compare, Fetch, Get, Match, Measure, Order, Page
from gateway.writes.own import Own
from gateway.writes.tables import PARKED, PENDING, tables_of
from gateway.writes.times import moment_of

HEARTBEAT = "relay"  # the row of the leases that a relay at work renews
HEARTBEAT_EVERY_S = 5.0
LOOKED_EVERY_S = 1.0
COUNTED_EVERY_S = 5.0
STOPPED_AFTER_S = 3 * HEARTBEAT_EVERY_S
TOLD_EVERY_S = 30.0

_log = logging.getLogger("gateway.relay")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one target is with the writes of one home store."""

    home: str
    target: str
    pending: int
    parked: int
    oldest_at: float | None  # when the oldest pending one was written, in seconds since 1970

    def lag_s(self, now: float) -> float:
        return 0.0 if self.oldest_at is None else max(0.0, now - self.oldest_at)


@dataclass(frozen=True, slots=True)
class Log:
    """What in the log of one home store nobody can read by its position yet (``sequencer.py``)."""

    home: str
    unpositioned: int
    oldest_at: float | None  # when the oldest of them was written, in seconds since 1970

    def lag_s(self, now: float) -> float:
        return 0.0 if self.oldest_at is None else max(0.0, now - self.oldest_at)


def written_at(id_: str) -> float:
    """Return when an id was made (``ids.py``), in seconds since 1970."""
    return int(id_[:13].replace("-", ""), 16) / 1000


async def oldest(own: Own, home: str, targets: Sequence[str]) -> Mapping[str, str]:
    """Return the id of the oldest pending row of the outbox for each target that has one. One call."""
    page = Fetch(
        tables_of(home).deliveries,
        ("outbox",),
        Match("target", targets),
        Compare("state", "eq", PENDING),
        (Order("outbox"),),
        Page(limit=1),
    )
    return {target: part.rows[0][0] for target, part in (await own.ask(page)).items() if target is not None and part.rows}


async def counts(own: Own, home: str) -> Mapping[tuple[str, str], int]:
    """Return how many deliveries there are by target and state."""
    found = await own.ask(Aggregate(tables_of(home).deliveries, ("target", "state"), (Measure("count"),)))
    return {(target, state): count for rows in found.values() for target, state, count in rows}


async def standings(stores: Stores, home: str, targets: Sequence[str]) -> list[Standing]:
    """Return where each of these targets is with the writes of a store; further ones, which the graph has no more, behind them."""
    own = Own(stores)
    count = await counts(own, home)
    names = [*targets, *sorted({target for target, _ in count} - set(targets))]
    first = await oldest(own, home, names)
    return [
        Standing(
            home,
            name,
            count.get((name, PENDING), 0),
            count.get((name, PARKED), 0),
            written_at(first[name]) if name in first else None,
        )
        for name in names
    ]


async def log_of(own: Own, home: str) -> Log:
    """Return what in the log of a store has no position yet. One call."""
    without = Compare("position", "eq", None)
    page = Fetch(tables_of(home).outbox, ("id",), where=without, order=(Order("id"),), page=Page(limit=1), count=True)
    found = (await own.ask(page)).get(None)
    if found is None or not found.rows:
        return Log(home, 0, None)
    return Log(home, found.total or 0, written_at(found.rows[0][0]))


async def heartbeat_at(own: Own, home: str) -> float | None:
    """Return when a relay was last at work on the writes of a store, in seconds since 1970; None where none ever was."""
    found = await own.ask(Get(tables_of(home).leases, ("until",), [HEARTBEAT]))
    until = found[HEARTBEAT][0] if HEARTBEAT in found else None
    return None if until is None else moment_of(until).timestamp()


class Watch:
    """Looks at the homes of a graph again and again; ``readings`` are for /metrics, a target that lags is told to the log."""

    def __init__(self, stores: Stores, targets: Mapping[str, Sequence[str]], *, lag_max_s: float) -> None:
        self._stores = stores
        self._own = Own(stores)
        self._targets = targets  # by home
        self._lag_max_s = lag_max_s
        self._standings: dict[tuple[str, str], Standing] = {}
        self._heartbeats: dict[str, float] = {}
        self._logs: dict[str, Log] = {}
        self._told: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        await asyncio.gather(*(self._watch(home) for home in self._targets))

    async def _watch(self, home: str) -> None:
        started, counted = time.time(), 0.0
        while True:
            try:
                now = time.time()
                if now - counted >= COUNTED_EVERY_S or now < counted:
                    counted = now
                    await self.count(home, started)
                else:
                    await self._look(home)
            except GatewayError as error:
                self._tell(home, "", logging.WARNING, "%s: nobody knows where its writes are: %s", home, error.message)
            await asyncio.sleep(LOOKED_EVERY_S)

    async def count(self, home: str, started: float = 0.0) -> None:
        """Look at all there is, and tell what is late."""
        for standing in await standings(self._stores, home, self._targets[home]):
            self._standings[home, standing.target] = standing
        self._logs[home] = await log_of(self._own, home)
        beat = await heartbeat_at(self._own, home)
        self._heartbeats[home] = beat = max(beat or 0.0, started)
        now = time.time()
        if now - beat > STOPPED_AFTER_S:
            self._tell(home, "relay", logging.ERROR, "%s: no relay has carried its writes for %.0f s", home, now - beat)
        for name, standing in self._standings.items():
            if name[0] == home and standing.lag_s(now) > self._lag_max_s:
                say = "%s: %s is %.0f s behind, %d writes are pending"
                self._tell(*name, logging.WARNING, say, home, standing.target, standing.lag_s(now), standing.pending)

    async def _look(self, home: str) -> None:
        names = [target for of, target in self._standings if of == home]
        first = await oldest(self._own, home, names)
        for name in names:
            its = self._standings[home, name]
            at = written_at(first[name]) if name in first else None
            self._standings[home, name] = Standing(home, name, its.pending if name in first else 0, its.parked, at)

    def _tell(self, home: str, what: str, level: int, message: str, *values: object) -> None:
        now = time.monotonic()
        if now - self._told.get((home, what), -TOLD_EVERY_S) >= TOLD_EVERY_S:
            self._told[home, what] = now
            _log.log(level, message, *values)

    @property
    def standings(self) -> Sequence[Standing]:
        """Where each target was when it was last looked at."""
        return tuple(self._standings.values())

    def log(self, home: str) -> Log | None:
        """Return what of a store's log had no position when it was last looked at; None where nobody has."""
        return self._logs.get(home)

    def readings(self) -> Iterator[Reading]:
        now = time.time()
        for home, log in self._logs.items():
            yield Reading("log_unpositioned", "Writes in a log that have no position yet", log.unpositioned, {"home": home}, False)
            told = "Age of the oldest write in a log that has no position yet"
            yield Reading("log_oldest_unpositioned_seconds", told, log.lag_s(now), {"home": home}, False)
        for standing in self._standings.values():
            labels = {"home": standing.home, "target": standing.target}
            lag = standing.lag_s(now)
            yield Reading("outbox_oldest_unfinished_seconds", "Age of the oldest write a target has yet to hear", lag, labels, False)
            yield Reading("outbox_pending", "Writes that a target has yet to hear", standing.pending, labels, False)
            yield Reading("outbox_parked", "Writes that a target refuses, which wait for an operator", standing.parked, labels, False)
        for home, at in self._heartbeats.items():
            yield Reading("relay_heartbeat_age_seconds", "Since a relay was last at work", max(0.0, now - at), {"home": home}, False)
