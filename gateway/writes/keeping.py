"""What an operator does with the log of a store: tell parked deliveries, send what was written again, delete what is old.

All of it is safe beside live writes: what is delivered twice changes nothing, and nothing is deleted that a target has yet to hear.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.errors import Conflict
from gateway.stores import Stores
from gateway.stores.base import (
    And,
    Collection,
    Compare,
    Delete,
    Fetch,
    Get,
    Insert,
    Key,
    Match,
    Remove,
    Update,
    Upsert,
    Value,
    Where,
)
from gateway.writes.declarations import Cascade, Replica, State, Target
from gateway.writes.following import PRUNED
from gateway.writes.own import Own, pages
from gateway.writes.sequencer import Sequencer
from gateway.writes.tables import DUE, PARKED, PENDING, tables_of
from gateway.writes.times import text_of
from gateway.writes.transaction import EPOCH
from gateway.writes.wake import wake

Progress = Callable[[int], None]  # of rows that are done


@dataclass(frozen=True, slots=True)
class Parked:
    """A delivery that a target refused too often. ``outbox`` is its id, with the target's name."""

    home: str
    outbox: str
    target: str
    noun: str
    key: Key
    version: int
    attempts: int
    error: str | None


class Keeping:
    """The log of one home store."""

    def __init__(self, stores: Stores, home: str) -> None:
        self.home = home
        self._stores = stores
        self._own = Own(stores)
        self._tables = tables_of(home)

    # ----------------------------------------------------------------------------------------------------------- parked

    async def parked(self, targets: Sequence[str] = (), ids: Sequence[str] = ()) -> AsyncIterator[Parked]:
        """Give what is parked, oldest first: for these targets, and with these ids, or all."""
        which: list[Where] = [Compare("state", "eq", PARKED)]
        which += [Compare("target", "in", list(targets))] if targets else []
        which += [Compare("outbox", "in", list(ids))] if ids else []
        names = ("outbox", "target", "noun", "key", "version", "attempts", "error")
        async for page in pages(self._own, self._tables.deliveries, names, And(tuple(which))):
            for row in page:
                yield Parked(home=self.home, **row)

    async def retry(self, parked: Parked) -> bool:
        """Have a delivery tried again, from its first attempt. False where it is parked no more."""
        values: tuple[tuple[str, Value], ...] = (("state", PENDING), ("attempts", 0), ("next_at", DUE))
        key = (parked.outbox, parked.target)
        changed = await self._own.ask(Update(self._tables.deliveries, key, values, expected=(("state", PARKED),)))
        wake(self.home)
        return changed is not None and changed.is_done

    async def skip(self, parked: Parked) -> bool:
        """Have a target never hear of a write: what it has differs from its source until the aggregate is written again."""
        removed = await self._own.ask(Remove(self._tables.deliveries, (parked.outbox, parked.target), expected=(("state", PARKED),)))
        return removed is not None and removed.is_done

    # ----------------------------------------------------------------------------------------------------------- replay

    async def replay(self, targets: Sequence[Target], since: datetime, progress: Progress) -> int:
        """Deliver again what was written since then; return the number of deliveries. Follow-ups are not: each was asked for once."""
        by_noun: dict[str, list[Target]] = {}
        for target in targets:
            if isinstance(target, Replica | Cascade):
                by_noun.setdefault(target.source.name, []).append(target)
        if not by_noun:
            return 0
        which = And((Compare("noun", "in", sorted(by_noun)), Compare("at", "gte", text_of(since))))
        count = 0
        async for page in pages(self._own, self._tables.outbox, ("id", "noun", "key", "version", "action"), which):
            rows = [
                self._delivery(row, target.name)
                for row in page
                for target in by_noun[row["noun"]]
                if isinstance(target, Replica) or row["action"] == "delete"
            ]
            if rows:
                await self._own.ask(Upsert(self._tables.deliveries, rows))
                wake(self.home)
            count += len(rows)
            progress(len(page))
        return count

    def _delivery(self, row: State, target: str) -> tuple[Value, ...]:
        known = {"outbox": row["id"], "target": target, "noun": row["noun"], "key": row["key"], "version": row["version"]}
        values = {**known, "state": PENDING, "attempts": 0, "next_at": DUE}
        return tuple([values.get(name) for name in self._tables.deliveries.names])

    # ------------------------------------------------------------------------------------------------------------ prune

    async def open_since(self, targets: Sequence[str]) -> str | None:
        """Return when the oldest write was made of which one of these targets has yet to hear; None where all have."""
        oldest: str | None = None
        async for page in pages(self._own, self._tables.deliveries, ("outbox",), Compare("target", "in", tuple(targets))):
            found = await self._own.ask(Get(self._tables.outbox, ("at",), sorted({row["outbox"] for row in page})))
            oldest = min([at for (at,) in found.values()] + ([] if oldest is None else [oldest]), default=None)
        return oldest

    async def prune(self, ages: Mapping[str, timedelta], progress: Progress, *, kept_since: str | None = None) -> dict[str, int]:
        """Delete rows of ``outbox``, ``idempotency`` and ``audit`` that are older than these ages; return how many, by table.

        Of the outbox nothing that a target has yet to hear, and nothing since ``kept_since``: a cascade that is open tells rows that were
        there from those that came later by what the log says of them. Cursors of what is gone are told so (CURSOR_EXPIRED).
        """
        deleted: dict[str, int] = {}
        at = datetime.now(UTC)
        for name, age in ages.items():
            old = Compare("at", "lt", text_of(at - age))
            if name == "outbox":
                if kept_since is not None:
                    old = Compare("at", "lt", min(text_of(at - age), kept_since))
                deleted[name] = await self._prune_outbox(old, progress)
                continue
            table: Collection = getattr(self._tables, name)
            deleted[name] = 0
            async for page in pages(self._own, table, ("id",), old):
                await self._own.ask(Delete(table, [(row["id"],) for row in page]))
                deleted[name] += len(page)
                progress(len(page))
        return deleted

    async def _prune_outbox(self, old: Where, progress: Progress) -> int:
        await Sequencer(self._stores, self.home, "prune").settle()
        deleted = 0
        given = And((old, Compare("position", "ne", None)))
        async for page in pages(self._own, self._tables.outbox, ("id", "position"), given):
            ids = [row["id"] for row in page]
            waiting = await self._own.ask(Fetch(self._tables.deliveries, ("target",), Match("outbox", ids)))
            gone = [row for row in page if row["id"] not in waiting or not waiting[row["id"]].rows]
            progress(len(page))
            if not gone:
                continue
            # Told before it is done: nobody goes on from a cursor and has a gap.
            await self.raise_to(PRUNED, max(row["position"] for row in gone))
            await self._own.ask(Delete(self._tables.outbox, [(row["id"],) for row in gone]))
            deleted += len(gone)
        return deleted

    # ------------------------------------------------------------------------------------------------------------ epoch

    async def raise_epoch(self) -> int:
        """Count the epoch up by one, and return it: all versions from now on are newer than those before, whatever a backup has of them."""
        return await self.raise_to(EPOCH, None)

    async def epoch(self) -> int:
        found = await self._own.ask(Get(self._tables.leases, ("value",), [EPOCH]))
        return int(found[EPOCH][0]) if EPOCH in found else 0

    async def raise_to(self, name: str, least: int | None) -> int:
        """Raise a number of the leases to ``least``, or by one; return what it is then."""
        leases = self._tables.leases
        while True:
            found = await self._own.ask(Get(leases, ("value",), [name]))
            if name not in found:
                with suppress(Conflict):  # another process made it
                    await self._own.ask(Insert(leases, ("id", "value"), [(name, 0)]))
                continue
            value: int = found[name][0]
            new = value + 1 if least is None else max(value, least)
            if new == value:
                return new
            changed = await self._own.ask(Update(leases, (name,), (("value", new),), expected=(("value", value),)))
            if changed is not None and changed.is_done:
                return new
