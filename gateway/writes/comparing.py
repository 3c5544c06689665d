"""Compare targets with what they follow from, row by row, and mend what differs: verify, repair, rebuild. Safe beside live writes.

What is written goes through the gate of the target with the version that was read before the row: a newer state that was delivered
meanwhile stays, and one that is delivered afterwards passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Literal, Protocol

import orjson

from gateway.errors import GatewayError
from gateway.stores import Stores
from gateway.stores.base import Aggregate, And, Collection, Compare, Fetch, Get, Key, Match, Measure, Row, Where
from gateway.stores.types import KeyForm
from gateway.writes.appliers import CascadeApplier, Item, ReplicaApplier, items_of
from gateway.writes.declarations import State, Target
from gateway.writes.own import ROWS_PER_PAGE, Own, again, pages
from gateway.writes.tables import PENDING, tables_of
from gateway.writes.worker import TRANSIENT

TRIES = 3  # to read both sides anew where they differ, as writes go on meanwhile
PAUSE_S = 0.2  # between them

Kind = Literal["missing", "extra", "different"]
Progress = Callable[[int], None]  # of rows that are done


@dataclass(frozen=True, slots=True)
class Difference:
    """An aggregate of which a target has not what it should. ``key`` is the source's."""

    key: Key
    kind: Kind


@dataclass(slots=True)
class Report:
    """What a comparison found. ``buckets`` are pages of rows whose digests were compared."""

    target: str
    rows: int = 0
    buckets: int = 0
    buckets_differing: int = 0
    pending: int = 0  # aggregates that differ as the target has yet to hear of a write
    differences: list[Difference] = field(default_factory=list)
    mended: int = 0
    failures: dict[Key, str] = field(default_factory=dict)


class Comparison(Protocol):
    """Of one target with its source."""

    async def size(self) -> int:
        """Return how many rows there are to go through."""
        ...

    async def verify(self, report: Report, progress: Progress) -> None: ...

    async def mend(self, keys: Sequence[Key], report: Report) -> None: ...

    async def rebuild(self, report: Report, progress: Progress) -> None: ...


def comparison_of(applier: object, stores: Stores) -> Comparison | None:
    """Return how a target is compared; None for one of which nothing is kept, as a follow-up."""
    if isinstance(applier, ReplicaApplier):
        return ReplicaComparison(applier, stores)
    if isinstance(applier, CascadeApplier):
        return _CascadeComparison(applier, stores)
    return None


class _Base:
    def __init__(self, target: Target, stores: Stores) -> None:
        self._own = Own(stores)
        self._name = target.name
        self._source = target.source
        self._tables = tables_of(target.source.store)
        self._source_form = KeyForm(target.source.columns_of(target.source.key_name))

    async def _count(self, collection: Collection, where: Where | None = None) -> int:
        found = await self._own.ask(Aggregate(collection, (), (Measure("count"),), where=where))
        return sum(int(row[0]) for rows in found.values() for row in rows)

    async def _pending(self, keys: Iterable[Key]) -> frozenset[Key]:
        """Return the aggregates of which the target has yet to hear."""
        which = And(
            (Compare("target", "eq", self._name), Compare("noun", "eq", self._source.name), Compare("state", "eq", PENDING)),
        )
        found = await self._own.ask(Fetch(self._tables.deliveries, ("outbox",), Match("key", list(keys)), which))
        return frozenset(key for key, part in found.items() if key is not None and part.rows)

    async def _confirmed(
        self, report: Report, found: Mapping[Key, Kind], again: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Kind]]]
    ) -> None:
        """Report what still differs when it is looked at anew, and of which no write is on its way."""
        for attempt in range(1, TRIES + 1):
            if not found:
                return
            if attempt > 1:
                await asyncio.sleep(PAUSE_S)
            found = await again(list(found))
        pending = await self._pending(found) if found else frozenset()
        report.pending += len(pending)
        report.differences += [Difference(key, kind) for key, kind in sorted(found.items()) if key not in pending]


class ReplicaComparison(_Base):
    def __init__(self, applier: ReplicaApplier, stores: Stores) -> None:
        super().__init__(applier.target, stores)
        self._applier = applier
        self._by = applier.target.by
        self._target = applier.target.target
        self._target_form = KeyForm(self._target.columns_of(self._target.key_name))

    async def size(self) -> int:
        return await self._count(self._source) + (await self._count(self._target) if self._by else 0)

    async def verify(self, report: Report, progress: Progress) -> None:
        async for rows in pages(self._own, self._source, self._source.names):
            states = self._by_key(rows)
            expected = {key: self._applier.rows_of(state) for key, state in states.items()}
            found = await self._found(expected)
            report.rows += len(rows)
            report.buckets += 1
            if _digest(expected) != _digest(found):
                report.buckets_differing += 1
                await self._confirmed(report, _differences(expected, found), self._look)
            progress(len(rows))
        async for keys, count in self._extra():
            await self._confirmed(report, dict.fromkeys(keys, "extra"), self._look)
            progress(count)

    async def mend(self, keys: Sequence[Key], report: Report) -> None:
        for start in range(0, len(keys), ROWS_PER_PAGE):
            items = await self._items(keys[start : start + ROWS_PER_PAGE])
            try:
                await again(partial(self._applier.force, items))
                report.mended += len(items)
            except TRANSIENT:
                raise
            except Exception:
                for item in items:
                    await self._mend_one(item, report)

    async def rebuild(self, report: Report, progress: Progress) -> None:
        async for rows in pages(self._own, self._source, ()):
            report.rows += len(rows)
            await self.mend(list(self._by_key(rows)), report)
            progress(len(rows))
        async for keys, count in self._extra():
            await self.mend(keys, report)
            progress(count)

    async def _mend_one(self, item: Item, report: Report) -> None:
        try:
            await again(partial(self._applier.force, [item]))
            report.mended += 1
        except TRANSIENT:
            raise
        except Exception as error:
            report.failures[item.key] = error.message if isinstance(error, GatewayError) else f"{type(error).__name__}: {error}"

    async def _items(self, keys: Sequence[Key]) -> list[Item]:
        return await items_of(self._own, self._source, keys)

    async def _look(self, keys: Sequence[Key]) -> Mapping[Key, Kind]:
        """Return how these aggregates differ now."""
        rows = await self._own.ask(Get(self._source, self._source.names, keys, self._source.key_name))
        states = {key: dict(zip(self._source.names, row, strict=True)) for key, row in rows.items()}
        expected = {key: self._applier.rows_of(states.get(key)) for key in keys}
        return _differences(expected, await self._found(expected))

    async def _found(self, expected: Mapping[Key, Sequence[Row]]) -> dict[Key, list[Row]]:
        """Return what the target has of these aggregates. Of rows that are only added those that are expected, as far as they are there."""
        names = self._target.names
        if self._by:
            found = await self._own.ask(Fetch(self._target, names, Match(self._by, list(expected))))
            return {key: list(found[key].rows) if key in found else [] for key in expected}
        texts = {key: [self._target_form.text(self._applier.key_of(row)) for row in rows] for key, rows in expected.items()}
        wanted = list(dict.fromkeys(text for its in texts.values() for text in its if text is not None))
        there = await self._own.ask(Get(self._target, self._target.key, wanted, self._target.key_name)) if wanted else {}
        return {
            key: [row for row, text in zip(rows, texts[key], strict=True) if text is not None and text in there]
            for key, rows in expected.items()
        }

    async def _extra(self) -> AsyncIterator[tuple[list[Key], int]]:
        """Give aggregates that the target has rows of and the source has not, with how many rows were looked at."""
        if not self._by:
            return
        form = KeyForm(self._target.columns_of(self._by))
        names = self._by.split(",")
        async for rows in pages(self._own, self._target, names):
            keys = list(dict.fromkeys(key for row in rows if (key := form.text([row[name] for name in names])) is not None))
            there = await self._own.ask(Get(self._source, self._source.key, keys, self._source.key_name))
            yield [key for key in keys if key not in there], len(rows)

    def _by_key(self, states: Sequence[State]) -> dict[Key, State]:
        keys = [self._source_form.text([state[name] for name in self._source.key]) for state in states]
        return {key: state for key, state in zip(keys, states, strict=True) if key is not None}


class _CascadeComparison(_Base):
    """What belongs to deleted rows, and was there before they were deleted, should be deleted as well."""

    def __init__(self, applier: CascadeApplier, stores: Stores) -> None:
        super().__init__(applier.target, stores)
        self._applier = applier
        self._deleted = And((Compare("noun", "eq", self._source.name), Compare("is_deleted", "eq", True)))

    async def size(self) -> int:
        return await self._count(self._tables.versions, self._deleted)

    async def verify(self, report: Report, progress: Progress) -> None:
        async for keys in self._tombstones():
            report.rows += len(keys)
            report.buckets += 1
            found = await self._look(keys)
            report.buckets_differing += bool(found)
            await self._confirmed(report, found, self._look)
            progress(len(keys))

    async def mend(self, keys: Sequence[Key], report: Report) -> None:
        for item in await self._items(keys):
            await again(partial(self._applier.delete, item))
            report.mended += 1

    async def rebuild(self, report: Report, progress: Progress) -> None:
        async for keys in self._tombstones():
            report.rows += len(keys)
            await self.mend(list(await self._look(keys)), report)
            progress(len(keys))

    async def _tombstones(self) -> AsyncIterator[list[Key]]:
        async for rows in pages(self._own, self._tables.versions, (), self._deleted):
            yield [row["key"] for row in rows]

    async def _look(self, keys: Sequence[Key]) -> Mapping[Key, Kind]:
        found: dict[Key, Kind] = {}
        for item in await self._items(keys):
            async for _ in self._applier.left_of(item):
                found[item.key] = "extra"
                break
        return found

    async def _items(self, keys: Sequence[Key]) -> list[Item]:
        """Return the deletions of these rows, those of which the log still knows when they were."""
        if not keys:
            return []
        which = And((Compare("noun", "eq", self._source.name), Compare("action", "eq", "delete")))
        found = await self._own.ask(Fetch(self._tables.outbox, ("version", "id", "epoch"), Match("key", list(keys)), which))
        last = {key: max(map(tuple, part.rows)) for key, part in found.items() if key is not None and part.rows}
        return [Item(id_, self._source.name, key, epoch, version, None) for key, (version, id_, epoch) in sorted(last.items())]


def _differences(expected: Mapping[Key, Sequence[Row]], found: Mapping[Key, Sequence[Row]]) -> dict[Key, Kind]:
    differing: dict[Key, Kind] = {}
    for key, rows in expected.items():
        wanted, there = _texts(rows), _texts(found[key])
        if wanted != there:
            differing[key] = "missing" if there < wanted else "extra" if wanted < there else "different"
    return differing


def _texts(rows: Sequence[Row]) -> frozenset[bytes]:
    return frozenset(orjson.dumps(list(row), option=orjson.OPT_SORT_KEYS, default=str) for row in rows)


def _digest(rows: Mapping[Key, Sequence[Row]]) -> bytes:
    digest = sha256()
    for key in sorted(rows):
        digest.update(orjson.dumps(key))
        for text in sorted(_texts(rows[key])):
            digest.update(text)
    return digest.digest()
