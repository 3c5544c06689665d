"""Carry a store to its candidate: copy its rows, follow its log, and compare.

What follows the log goes by its positions, which are given after the commit and without gaps: so nothing is missed, whoever writes and
whether this runs or not. Rows of the log are carried too, under the positions that they have, and so are versions, deliveries that targets
have yet to hear and outcomes of idempotency keys: cursors, gates and retries hold on the other side.

All of it may be killed at any step and done again. How far it is, is kept in the database it is carried to, with what was carried.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from uuid import uuid4

import orjson

from gateway.errors import Conflict, Contended, GatewayError, PoolExhausted
from gateway.stores import Stores
from gateway.stores.base import And, Collection, Compare, Delete, Fetch, Get, Key, Match, Order, Page, Row, Upsert
from gateway.stores.moves import candidate_of
from gateway.writes.appliers import Item, ReplicaApplier, items_of
from gateway.writes.comparing import ReplicaComparison, Report
from gateway.writes.declarations import Copied, Replica
from gateway.writes.following import PRUNED
from gateway.writes.keeping import Keeping
from gateway.writes.own import ROWS_PER_PAGE, Own, again, pages, transaction
from gateway.writes.placing import FOLLOWING, Move, Place
from gateway.writes.rows import keys_of
from gateway.writes.sequencer import SEQUENCER, Sequencer
from gateway.writes.splitting import step_of
from gateway.writes.tables import tables_of
from gateway.writes.times import now
from gateway.writes.transaction import EPOCH
from gateway.writes.worker import TRANSIENT

FOLLOWED_EVERY_S = 0.2
SHORT_PAUSE_S = 0.1
PATIENCE_S, PAUSE_S = 120.0, 1.0  # with a store that does not answer, in all and between two tries
OVERLAP_S = 60.0  # by which clocks of hosts may differ

_COLUMNS = ("id", "noun", "key", "epoch", "version", "state", "position")

T = TypeVar("T")
Progress = Callable[[int], None]  # of rows that are done


class _Applier(ReplicaApplier):
    """Applies states at the candidate, with their versions: what is written there later goes on counting."""

    async def _keep(self, own: Own, items: Sequence[Item]) -> None:
        kept = [(item.noun, item.key, item.version, item.state is None) for item in items if item.version]
        if kept:
            await own.ask(Upsert(tables_of(self.target.target.store).versions, kept))


class _Comparison(ReplicaComparison):
    """Tells what is on its way by the versions of both sides, as nothing is delivered to a candidate."""

    async def _pending(self, keys: Iterable[Key]) -> frozenset[Key]:
        mine, theirs = [await self._versions(store, list(keys)) for store in (self._source.store, candidate_of(self._source.store))]
        return frozenset(key for key in mine if mine[key] > theirs.get(key, 0))

    async def _versions(self, store: str, keys: Sequence[Key]) -> Mapping[Key, int]:
        versions = tables_of(store).versions
        found = await self._own.ask(Fetch(versions, ("version",), Match("key", keys), Compare("noun", "eq", self._source.name)))
        return {key: part.rows[0][0] for key, part in found.items() if key is not None and part.rows}


async def patiently(work: Callable[[], Awaitable[T]], pause_s: float = PAUSE_S) -> T:
    """Return what ``work`` gives, tried again for ``PATIENCE_S`` where a store is away, or rows are locked.

    MongoDB keeps the transaction of a process that was killed for a minute.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await work()
        except (*TRANSIENT, PoolExhausted):
            if time.monotonic() > until:
                raise
        await asyncio.sleep(pause_s)


class NotSwitched(GatewayError):
    """A store stays where it is at home; nothing is lost, and the same command may be run again."""


@dataclass(slots=True)
class _Row:
    """A row of the log, by name."""

    id: str
    noun: str
    key: Key
    epoch: int
    version: int
    state: Mapping[str, object] | None
    position: int
    whole: Row

    @property
    def item(self) -> Item:
        return Item(self.id, self.noun, self.key, self.epoch, self.version, self.state)


class Carrier:
    """Carries the collections of one store to its candidate. ``collections`` are managed, and all of the store."""

    def __init__(self, stores: Stores, name: str, collections: Sequence[Collection]) -> None:
        self.name, self.candidate = name, candidate_of(name)
        self.place = Place(stores, name)
        self._stores = stores
        self._own = Own(stores)
        self._collections = {collection.name: collection for collection in collections}
        self._nouns = sorted(self._collections)
        self._here, self._there = tables_of(name), tables_of(self.candidate)
        self._sequencer = Sequencer(stores, name, uuid4().hex)
        self._appliers = {
            noun: _Applier(stores, Replica(f"{noun}@candidate", its, replace(its, store=self.candidate), its.key_name, Copied(its.names)))
            for noun, its in self._collections.items()
        }
        self._comparisons = {noun: _Comparison(applier, stores) for noun, applier in self._appliers.items()}
        self._at = [self._here.outbox.names.index(column) for column in _COLUMNS]
        self._outcomes_since: str | None = None

    # -------------------------------------------------------------------------------------------------------------- the copy

    async def size(self) -> int:
        """Return how many rows there are to copy or to compare, on both sides."""
        return sum([await comparison.size() for comparison in self._comparisons.values()])

    async def copy(self, move: Move, progress: Progress) -> Move:
        """Copy all rows, from where an earlier copy ended; return the state afterwards."""
        for noun, collection in self._collections.items():
            await self._copy(noun, collection, progress)
            await self._bury(noun)
        following = replace(move, phase=FOLLOWING)
        if not await self.place.change(move, following):
            raise NotSwitched(f"{self.name}: another command has gone on with its move")
        return following

    async def _copy(self, noun: str, collection: Collection, progress: Progress) -> None:
        form = keys_of(collection)
        after = await self._copied(noun)
        while True:
            page = Page(ROWS_PER_PAGE, after=after)
            fetch = Fetch(collection, collection.key, page=page)
            part = (await patiently(lambda fetch=fetch: self._own.ask(fetch))).get(None)  # type: ignore[misc]
            if part is None or not part.rows:
                return
            keys = [key for row in part.rows if (key := form.text(row)) is not None]
            await patiently(partial(self._force, noun, keys))
            after = tuple(part.rows[-1])
            await self._mark(f"copied:{noun}", 0, orjson.dumps(after, default=str).decode())
            progress(len(part.rows))
            if not part.more:
                return

    async def _copied(self, noun: str) -> tuple[object, ...] | None:
        """Return the key of the last row that an earlier copy has copied."""
        id_ = f"copied:{noun}:{self.name}"
        found = await self._own.ask(Get(self._there.leases, ("owner",), [id_]))
        return tuple(orjson.loads(found[id_][0])) if id_ in found else None

    async def _bury(self, noun: str) -> None:
        """Carry the versions of rows that are gone: a row that comes again goes on counting from there."""
        which = And((Compare("noun", "eq", noun), Compare("is_deleted", "eq", True)))
        async for rows in pages(self._own, self._here.versions, (), which):
            await patiently(partial(self._force, noun, [row["key"] for row in rows]))

    async def _force(self, noun: str, keys: Sequence[Key]) -> None:
        """Write rows as they are now. One whose unique value another row there still has, comes when the log is followed, or is mended."""
        applier = self._appliers[noun]
        items = await items_of(self._own, self._collections[noun], keys)
        try:
            await again(partial(applier.force, items))
        except Contended:
            raise
        except Conflict:
            for item in items:
                try:
                    await again(partial(applier.force, [item]))
                except Contended:
                    raise
                except Conflict:
                    continue

    # --------------------------------------------------------------------------------------------------------------- the log

    async def follow(self) -> None:
        """Carry the log, for ever, and say each time that all is carried: then a part of reads may go there (``splitting.py``)."""
        while True:
            at = now()
            count = await patiently(self.step)
            if count < ROWS_PER_PAGE:
                row = (step_of(self.name), None, at, await patiently(partial(self._marked, "log")))
                await patiently(lambda row=row: self._own.ask(Upsert(self._there.leases, [row])))  # type: ignore[misc]
            if not count:
                await asyncio.sleep(FOLLOWED_EVERY_S)

    async def behind(self) -> int:
        """Return how many positions of the log are not carried yet."""
        return await patiently(self._sequencer.settle, SHORT_PAUSE_S) - await self._marked("log")

    async def step(self) -> int:
        """Carry a page of the log; return how many rows that were. NotSwitched where the log does not reach back to where this was."""
        last = await self._sequencer.settle()
        position, since = await self._marked("log"), await self._marked("from")
        found = await self._own.ask(Get(self._here.leases, ("value",), [PRUNED, EPOCH]))
        if (found[PRUNED][0] if PRUNED in found else 0) > position:
            raise NotSwitched(f"{self.name}: expected a log that reaches back to what was carried, and it was pruned since: begin anew")
        await self._raise(EPOCH, found[EPOCH][0] if EPOCH in found else 0)
        which = And((Compare("noun", "in", tuple(self._nouns)), Compare("position", "gt", position), Compare("position", "lte", last)))
        fetch = Fetch(self._here.outbox, self._here.outbox.names, where=which, order=(Order("position"),), page=Page(ROWS_PER_PAGE))
        part = (await self._own.ask(fetch)).get(None)
        rows = [self._named(row) for row in part.rows] if part is not None else []
        await self._raise(SEQUENCER, last)  # before they are there: who reads that log by positions passes none of its own
        if not rows:
            if last > position:
                await self._mark("log", last)
            return 0
        await self._apply([row for row in rows if row.position > since])
        async with transaction(self._stores, self.candidate) as own:
            await own.ask(Upsert(self._there.outbox, [row.whole for row in rows]))
            await own.ask(Upsert(self._there.leases, [(f"log:{self.name}", None, None, rows[-1].position)]))
        return len(rows)

    async def _apply(self, rows: Sequence[_Row]) -> None:
        """Apply the newest states; each in its turn where a unique value is in the way, as that was free when it was written."""
        newest = {(row.noun, row.key): row.item for row in sorted(rows, key=lambda row: (row.epoch, row.version))}
        for noun in self._nouns:
            items = [item for (of, _), item in newest.items() if of == noun]
            if not items:
                continue
            try:
                await again(partial(self._appliers[noun].apply, items))
            except Contended:
                raise
            except Conflict:
                await self._apply_each([row.item for row in rows if row.noun == noun])

    async def _apply_each(self, items: Sequence[Item]) -> None:
        left = list(items)
        while left:
            failed: list[Item] = []
            error: Conflict | None = None
            for item in left:
                try:
                    await again(partial(self._appliers[item.noun].apply, [item]))
                except Contended:
                    raise
                except Conflict as conflict:
                    failed.append(item)
                    error = conflict
            if error is not None and len(failed) == len(left):
                raise error
            left = failed

    def _named(self, row: Row) -> _Row:
        id_, noun, key, epoch, version, state, position = [row[place] for place in self._at]
        return _Row(id_, noun, key, epoch, version, state, position, row)

    # ------------------------------------------------------------------------------------------------------------ comparing

    async def verify(self, progress: Progress) -> list[Report]:
        """Compare every row of both sides; what is on its way is told apart."""
        reports = []
        for noun, comparison in self._comparisons.items():
            reports.append(Report(noun))
            await comparison.verify(reports[-1], progress)
        return reports

    async def mend(self, reports: Sequence[Report]) -> None:
        for report in reports:
            await self._comparisons[report.target].mend([difference.key for difference in report.differences], report)

    # ------------------------------------------------------------------------------------------- what is beside the log

    async def _carry_outcomes(self) -> None:
        """Carry the outcomes of idempotency keys, those that are new since the last time; all of the store, whatever they are about."""
        at = now(OVERLAP_S)
        which = None if self._outcomes_since is None else Compare("at", "gte", self._outcomes_since)
        names = self._here.idempotency.names
        async for page in pages(self._own, self._here.idempotency, names, which):
            rows = [tuple([row[name] for name in names]) for row in page]
            await again(lambda rows=rows: self._own.ask(Upsert(self._there.idempotency, rows)))  # type: ignore[misc]
        self._outcomes_since = at

    async def _carry_deliveries(self) -> list[tuple[Key, ...]]:
        """Carry what targets have yet to hear of the store, leased by nobody; return the keys.

        What is left there of an earlier switch, whose command was killed behind it, was carried here then, and is no more to be heard.
        """
        async for page in pages(self._own, self._there.deliveries, (), Compare("noun", "in", tuple(self._nouns))):
            await self._own.ask(Delete(self._there.deliveries, [(row["outbox"], row["target"]) for row in page]))
        names = self._here.deliveries.names
        carried: list[tuple[Key, ...]] = []
        async for page in pages(self._own, self._here.deliveries, names, Compare("noun", "in", (*self._nouns, ""))):
            rows = [tuple([None if name.startswith("lease_") else row[name] for name in names]) for row in page]
            await again(lambda rows=rows: self._own.ask(Upsert(self._there.deliveries, rows)))  # type: ignore[misc]
            carried += [(row["outbox"], row["target"]) for row in page]
        return carried

    async def _mark_back(self) -> None:
        """Have the log be followed the other way from here on."""
        position = await self._marked("log")
        rows = [(f"{what}:{self.name}", None, None, position) for what in ("log", "from")]
        await self._own.ask(Upsert(self._here.leases, rows))

    # ----------------------------------------------------------------------------------------------------------------- marks

    async def _raise_pruned(self) -> None:
        """Have cursors expire there that have expired here."""
        found = await self._own.ask(Get(self._here.leases, ("value",), [PRUNED]))
        await self._raise(PRUNED, int(found[PRUNED][0]) if PRUNED in found else 0)

    async def _raise(self, name: str, least: int) -> None:
        if least:
            await Keeping(self._stores, self.candidate).raise_to(name, least)

    async def _mark(self, what: str, value: int, owner: str | None = None) -> None:
        await self._own.ask(Upsert(self._there.leases, [(f"{what}:{self.name}", owner, None, value)]))

    async def _marked(self, what: str) -> int:
        id_ = f"{what}:{self.name}"
        found = await self._own.ask(Get(self._there.leases, ("value",), [id_]))
        if id_ not in found:
            raise NotSwitched(f"{self.name}: expected a candidate to which it was copied, got one that knows nothing of that")
        return int(found[id_][0])
