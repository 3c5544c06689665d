"""Give the rows of a log their positions, after their commit and without gaps: so a reader that goes by them misses none.

Ids cannot be read by: they are made before the commit, and one with a smaller id may appear later. Positions are given in one transaction
that holds the row ``sequencer`` of the leases, whose value is the last one given: a process that slept through its time finds another
value there, and gives no number twice. The lease itself only keeps processes from waiting for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.errors import Conflict, Contended, GatewayError
from gateway.stores import Stores
from gateway.stores.base import Compare, Fetch, Get, Insert, Key, Lock, Match, Order, Page, Row, Update, Upsert, Within
from gateway.writes.own import Own, again, transaction
from gateway.writes.points import reached
from gateway.writes.tables import tables_of
from gateway.writes.times import now

SEQUENCER = "sequencer"  # its row of the leases
ROWS_PER_STEP = 500
_GIVEN = "given: "  # before the ids of rows, in the place of an owner
LEASE_S = 10.0
RELEASE_TIMEOUT_S = 1.0
GATHERED_S = 0.05  # between two looks at a store that is written: writes come many at a time


async def rest(woken: asyncio.Event, poll_s: float) -> None:
    """Return when there may be something new: a moment after it was said so, or after ``poll_s``."""
    await asyncio.sleep(min(GATHERED_S, poll_s))
    with suppress(TimeoutError):
        async with asyncio.timeout(poll_s):
            await woken.wait()


@dataclass(frozen=True, slots=True)
class _Last:
    owner: str | None
    until: str | None
    value: int


class Sequencer:
    """Of one store. ``step`` may be called by any number of processes."""

    def __init__(self, stores: Stores, home: str, owner: str) -> None:
        self._stores = stores
        self._own = Own(stores)
        self.home = home
        self._owner = owner
        self._tables = tables_of(home)
        self._outbox = self._tables.outbox
        self._at = {name: place for place, name in enumerate(self._outbox.names)}
        self._has_lease = False

    async def last(self) -> int:
        """Return the last position that was given, and can be read."""
        if not await self._stores.can_transact(self.home):
            known = await self._known()
            await self._place(known)
            return known.value
        found = await self._own.ask(Get(self._tables.leases, ("value",), [SEQUENCER]))
        return int(found[SEQUENCER][0]) if SEQUENCER in found else 0

    async def settle(self) -> int:
        """Give all that is committed its position, whoever has the lease; return the last one."""
        while await self.step(is_forced=True):
            pass
        return await self.last()

    async def step(self, *, is_forced: bool = False) -> int:
        """Give up to ``ROWS_PER_STEP`` rows their positions, and return how many there were; none while another process does it."""
        return await again(lambda: self._step(is_forced=is_forced))

    async def release(self) -> None:
        """Let another process go on at once, where this one has the lease; what goes wrong with that is left to the lease's end."""
        if not self._has_lease:
            return
        self._has_lease = False
        with suppress(GatewayError):
            values = (("owner", None), ("until", None))
            own = Own(self._stores, timeout_s=RELEASE_TIMEOUT_S)
            await own.ask(Update(self._tables.leases, (SEQUENCER,), values, expected=(("owner", self._owner),)))

    async def _step(self, *, is_forced: bool) -> int:
        waiting = Fetch(self._outbox, ("id",), where=Compare("position", "eq", None), page=Page(limit=1))
        if not (part := (await self._own.ask(waiting)).get(None)) or not part.rows:
            return 0
        known = await self._known()
        if not await self._stores.can_transact(self.home):
            return await self._step_alone(known)
        if not is_forced and self._is_others(known):
            return 0
        async with transaction(self._stores, self.home) as own:
            _, owner, until, value = (await own.ask(Lock(self._tables.leases, [SEQUENCER])))[SEQUENCER]
            last = _Last(owner, until, value)
            if not is_forced and self._is_others(last):
                return 0
            rows = await self._waiting(own)
            if not rows:
                return 0
            reached("position.before")
            position = self._at["position"]
            given = [(*row[:position], last.value + n, *row[position + 1 :]) for n, row in enumerate(rows, start=1)]
            await own.ask(Upsert(self._outbox, given))
            values = (("owner", self._owner), ("until", now(-LEASE_S)), ("value", last.value + len(given)))
            await own.ask(Update(self._tables.leases, (SEQUENCER,), values, expected=(("value", last.value),)))
        self._has_lease = True
        reached("position.after")
        return len(given)

    # ------------------------------------------------------------------------------------------- where there are no transactions

    async def _step_alone(self, known: _Last) -> int:
        """Give positions by one row of the leases alone: its value is the last one, its owner the ids of the rows that have the last ones.

        Whoever comes writes these into the rows that have none yet, and then, if nobody else has, names the next ones. So a position is
        written when all before it are, whoever dies where; and what one who slept writes afterwards is there already.
        """
        await self._place(known)
        ids = [row[0] for row in await self._waiting(self._own)]
        if not ids:
            return 0
        new = _Last(_GIVEN + " ".join(ids), None, known.value + len(ids))
        values = (("owner", new.owner), ("until", None), ("value", new.value))
        expected = (("owner", known.owner), ("value", known.value))
        changed = await self._own.ask(Update(self._tables.leases, (SEQUENCER,), values, expected=expected))
        if changed is None or not changed.is_done:
            raise Contended(self.home)
        await self._place(new)
        return len(ids)

    async def _place(self, last: _Last) -> None:
        """Write the last positions into their rows, in their order, where they are not there yet."""
        ids = last.owner.removeprefix(_GIVEN).split() if last.owner is not None and last.owner.startswith(_GIVEN) else []
        if not ids:
            return
        found = await self._own.ask(Get(self._outbox, ("position",), ids))
        for position, id_ in enumerate(ids, start=last.value - len(ids) + 1):
            if id_ in found and found[id_][0] is None:
                await self._own.ask(Update(self._outbox, (id_,), (("position", position),), expected=(("position", None),)))

    # ----------------------------------------------------------------------------------------------------------- what there is

    async def _known(self) -> _Last:
        """Return the row of the leases, which is made where there is none yet."""
        get = Get(self._tables.leases, ("owner", "until", "value"), [SEQUENCER])
        found = await self._own.ask(get)
        if SEQUENCER not in found:
            with suppress(Conflict):  # another process made it
                await self._own.ask(Insert(self._tables.leases, ("id", "value"), [(SEQUENCER, 0)]))
            return _Last(None, None, 0)
        return _Last(*found[SEQUENCER])

    def _is_others(self, last: _Last) -> bool:
        """Return whether another process does it: a hint alone, by clocks that may differ."""
        return last.owner not in (None, self._owner) and last.until is not None and last.until > now()

    async def _waiting(self, own: Own) -> Sequence[Row]:
        """Return rows without a position, in the order of time, and of each aggregate by version, none of which is left out before."""
        fetch = Fetch(self._outbox, self._outbox.names, where=_UNREAD, order=(Order("id"),), page=Page(ROWS_PER_STEP))
        part = (await own.ask(Within(fetch))).get(None)
        rows = list(part.rows) if part is not None else []
        if part is not None and part.more:
            # Ids of one aggregate are in its order but for clocks that differ: an older version may be behind the page.
            keys = list(dict.fromkeys([row[self._at["key"]] for row in rows]))
            others = Fetch(self._outbox, self._outbox.names, Match("key", keys[:ROWS_PER_STEP]), _UNREAD)
            newest: dict[tuple[str, Key], int] = {}
            for row in rows:
                newest[self._aggregate(row)] = max(newest.get(self._aggregate(row), 0), row[self._at["version"]])
            known = {row[0] for row in rows}
            for its in (await own.ask(Within(others))).values():
                rows += [r for r in its.rows if r[0] not in known and r[self._at["version"]] < newest.get(self._aggregate(r), 0)]
        return self._in_order(rows)

    def _in_order(self, rows: list[Row]) -> list[Row]:
        """Return rows in the order of their ids, but that each aggregate's are in the order of versions."""
        rows.sort(key=lambda row: row[0])
        versions: dict[tuple[str, Key], list[Row]] = {}
        for row in rows:
            versions.setdefault(self._aggregate(row), []).append(row)
        for its in versions.values():
            its.sort(key=lambda row: -row[self._at["version"]])
        return [versions[self._aggregate(row)].pop() for row in rows]

    def _aggregate(self, row: Row) -> tuple[str, Key]:
        return row[self._at["noun"]], row[self._at["key"]]


_UNREAD = Compare("position", "eq", None)
