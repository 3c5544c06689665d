"""Apply states of aggregates at a target: once in effect, in any order and any number of times.

An applier is handed items, at most one for each aggregate, and raises where it cannot have all of them. ``is_single``: it is handed one at
a time. ``is_by_version``: a newer state of an aggregate stands for all older ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from gateway.errors import StoreMisbehaved
from gateway.stores import Stores
from gateway.stores.base import Advance, And, Collection, Compare, Delete, Fetch, Get, Key, Lock, Match, Page, Row, Upsert, Within
from gateway.stores.types import KeyForm, join_key
from gateway.writes.declarations import Cascade, FollowUp, Replica, State
from gateway.writes.own import Own, transaction
from gateway.writes.points import reached
from gateway.writes.tables import tables_of
from gateway.writes.transaction import EPOCH

ROWS_PER_PAGE = 500  # of a cascade: each page is a transaction


@dataclass(frozen=True, slots=True)
class Item:
    """What a target is to hear of: an aggregate's row at a version, None where it was deleted. ``outbox`` is the id of the log's row."""

    outbox: str
    noun: str
    key: Key
    epoch: int
    version: int
    state: State | None
    payload: Any = None


async def items_of(own: Own, source: Collection, keys: Sequence[Key]) -> list[Item]:
    """Return these rows as they are now, with versions that were read before them: a newer state passes any gate that these have passed."""
    if not keys:
        return []
    tables = tables_of(source.store)
    lease = await own.ask(Get(tables.leases, ("value",), [EPOCH]))
    epoch = int(lease[EPOCH][0]) if EPOCH in lease else 0
    texts = {join_key([source.name, key]): key for key in keys}
    kept = await own.ask(Get(tables.versions, ("version",), list(texts), tables.versions.key_name))
    versions = {texts[text]: row[0] for text, row in kept.items()}
    found = await own.ask(Get(source, source.names, keys, source.key_name))
    states = {key: dict(zip(source.names, row, strict=True)) for key, row in found.items()}
    return [Item("", source.name, key, epoch, versions.get(key, 0), states.get(key)) for key in keys]


class Applier(Protocol):
    is_single: ClassVar[bool]
    is_by_version: ClassVar[bool]

    async def apply(self, items: Sequence[Item]) -> None: ...


class ReplicaApplier:
    """Keeps the rows of a target that follow from those of a source. All of a call in one transaction of the target's store."""

    is_single: ClassVar[bool] = False
    is_by_version: ClassVar[bool] = True

    def __init__(self, stores: Stores, target: Replica) -> None:
        self._stores = stores
        self.target = target
        self._collection = target.target
        self._is_copy = target.by == target.target.key_name
        self._form = KeyForm(target.target.columns_of(target.target.key_name))
        self._key_of = _values_of(target.target.names, target.target.key)

    async def apply(self, items: Sequence[Item]) -> None:
        await self._apply(items, is_forced=False)

    async def force(self, items: Sequence[Item]) -> None:
        """Apply states also where the target has that very version: it may have been changed by somebody else since."""
        await self._apply(items, is_forced=True)

    async def _apply(self, items: Sequence[Item], *, is_forced: bool) -> None:
        items = sorted(items, key=lambda item: item.key)  # two at once lock in one order
        rows = {item.key: self.rows_of(item.state) for item in items}
        no_more = {} if self.target.by else await self._states_before([item for item in items if item.state is None])
        async with transaction(self._stores, self._collection.store) as own:
            passed = await self._passed(own, items, is_forced=is_forced)
            reached("advance.after")
            if fresh := {key: its for key, its in rows.items() if key in passed}:
                if self.target.by:
                    await self._replace(own, fresh)
                else:
                    await self._add(own, [row for its in fresh.values() for row in its])
                    await self._take(own, [row for key, its in no_more.items() if key in passed for row in its])
                await self._keep(own, [item for item in items if item.key in fresh])
            reached("rows.after")
        # Also where nothing passed: who took the rows may have been killed before this.
        await self._give_again([row for its in no_more.values() for row in its])

    async def _keep(self, own: Own, items: Sequence[Item]) -> None:
        """Write what else is kept of items that passed, in the same transaction."""

    def rows_of(self, state: State | None) -> list[Row]:
        return [] if state is None else [tuple(row) for row in self.target.rows(state)]

    def key_of(self, row: Row) -> tuple[Any, ...]:
        return self._key_of(row)

    async def _passed(self, own: Own, items: Sequence[Item], *, is_forced: bool) -> AbstractSet[Key]:
        applied = tables_of(self._collection.store).applied
        noun = self.target.source.name
        passed = await own.ask(Advance(applied, self.target.name, noun, [(item.key, item.epoch, item.version) for item in items]))
        if not is_forced or len(passed) == len(items):
            return passed
        form = KeyForm(applied.columns_of(applied.key_name))
        others = {text: item for item in items if item.key not in passed and (text := form.text((self.target.name, noun, item.key)))}
        kept = await own.ask(Lock(applied, list(others)))
        at = _values_of(applied.names, ("epoch", "version"))
        return {*passed, *(item.key for text, item in others.items() if text in kept and at(kept[text]) == (item.epoch, item.version))}

    async def _replace(self, own: Own, rows: Mapping[Key, Sequence[Row]]) -> None:
        """Have exactly ``rows`` of these aggregates: what is no more among them is deleted, and first, for it may be in the way."""
        new = [row for its in rows.values() for row in its]
        if self._is_copy:
            gone = [values for key, its in rows.items() if not its and (values := self._form.values(key)) is not None]
        else:
            found = await own.ask(Within(Fetch(self._collection, self._collection.key, Match(self.target.by, list(rows)))))
            kept = set(map(self._key_of, new))
            gone = [tuple(row) for part in found.values() for row in part.rows if tuple(row) not in kept]
        if gone:
            await own.ask(Delete(self._collection, gone))
        if new:
            await own.ask(Upsert(self._collection, new))

    async def _add(self, own: Own, rows: Sequence[Row]) -> None:
        """Add rows whose key is not there; of several of a key the first."""
        wanted: dict[Key, Row] = {}
        for row in rows:
            text = self._form.text(self._key_of(row))
            if text is None:
                raise StoreMisbehaved(f"{self.target.name}: expected rows with a key, got {self._key_of(row)}")
            wanted.setdefault(text, row)
        found = await self._found(own, list(wanted))
        missing = [row for key, row in wanted.items() if key not in found]
        if missing:
            await own.ask(Upsert(self._collection, missing))

    async def _take(self, own: Own, rows: Sequence[Row]) -> None:
        """Delete rows that are there as they were added: what another aggregate has put in their place stays."""
        wanted = {text: row for row in rows if (text := self._form.text(self._key_of(row))) is not None}
        found = await self._found(own, list(wanted))
        own_rows = [self._key_of(row) for key, row in wanted.items() if key in found and tuple(found[key]) == tuple(row)]
        if own_rows:
            await own.ask(Delete(self._collection, own_rows))

    async def _give_again(self, taken: Sequence[Row]) -> None:
        """Give rows of these keys that follow from other rows of the source as well: those found them there, and added nothing.

        The others are found by the columns of the key that the source has by the same name; without one they are not.
        """
        source, key_columns = self.target.source, self._collection.key
        shared = [name for name in key_columns if name in source.names]
        if not taken or not shared:
            return
        wanted = {self._key_of(row) for row in taken}
        values = {name: list(dict.fromkeys(key[key_columns.index(name)] for key in wanted)) for name in shared}
        own = Own(self._stores)
        texts = [text for value in values[shared[0]] if (text := KeyForm(source.columns_of(shared[0])).text((value,))) is not None]
        others = And(tuple(Compare(name, "in", tuple(values[name])) for name in shared[1:])) if shared[1:] else None
        found = await own.ask(Fetch(source, source.names, Match(shared[0], texts), others))
        states = [dict(zip(source.names, row, strict=True)) for part in found.values() for row in part.rows]
        form = KeyForm(source.columns_of(source.key_name))
        giving = [state for state in states if any(self._key_of(row) in wanted for row in self.rows_of(state))]
        keys = [text for state in giving if (text := form.text([state[name] for name in source.key])) is not None]
        if items := [item for item in await items_of(own, source, keys) if item.state is not None]:
            await self.force(items)

    async def _found(self, own: Own, keys: Sequence[Key]) -> Mapping[Key, Row]:
        if not keys:
            return {}
        return await own.ask(Within(Get(self._collection, self._collection.names, keys, self._collection.key_name)))

    async def _states_before(self, deleted: Sequence[Item]) -> dict[Key, list[Row]]:
        """Return the rows that the last states of deleted aggregates gave, where the log still has them."""
        if not deleted:
            return {}
        outbox = tables_of(self.target.source.store).outbox
        versions = {item.key: item.version for item in deleted}
        found = await Own(self._stores).ask(
            Fetch(
                outbox,
                ("version", "state"),
                Match("key", list(versions)),
                And((Compare("noun", "eq", self.target.source.name), Compare("action", "ne", "delete"))),
            )
        )
        states: dict[Key, list[Row]] = {}
        for key, part in found.items():
            older = [row for row in part.rows if key is not None and row[0] < versions[key]]
            if key is not None and older:
                states[key] = self.rows_of(max(older, key=lambda row: row[0])[1])
        return states


class CascadeApplier:
    """Deletes what belongs to a deleted row, in pages, as writes of their own: with versions, deliveries and an audit of theirs.

    ``writing`` gives a transaction of a store as authors have it. ``feeding`` are the replicas that give the same target rows: what they
    gave of rows that were inserted after the deletion stands, and is given again where it was deleted meanwhile.
    """

    is_single: ClassVar[bool] = True
    is_by_version: ClassVar[bool] = True

    def __init__(
        self,
        stores: Stores,
        target: Cascade,
        writing: Callable[[str], AbstractAsyncContextManager[Any]],
        feeding: Sequence[ReplicaApplier] = (),
    ) -> None:
        self._own = Own(stores)
        self.target = target
        self._feeding = feeding
        self._collection = target.target
        self._form = KeyForm(target.target.columns_of(target.target.key_name))
        self._writing = writing

    async def apply(self, items: Sequence[Item]) -> None:
        for item in items:
            await self._apply(item)

    async def _apply(self, item: Item) -> None:
        if item.state is not None or await self._is_applied(item):
            return
        await self.delete(item)
        # Behind the last page: one that is cut short is done again, and finds the rows that are left.
        applied = tables_of(self._collection.store).applied
        await self._own.ask(Advance(applied, self.target.name, item.noun, [(item.key, item.epoch, item.version)]))

    async def _is_applied(self, item: Item) -> bool:
        applied = tables_of(self._collection.store).applied
        text = KeyForm(applied.columns_of(applied.key_name)).text((self.target.name, item.noun, item.key))
        assert text is not None
        kept = await self._own.ask(Get(applied, ("epoch", "version"), [text], applied.key_name))
        return text in kept and tuple(kept[text]) >= (item.epoch, item.version)

    async def delete(self, item: Item) -> int:
        """Delete what belongs to the row that ``item`` deleted; return how many rows that were."""
        count = 0
        async for keys in self.left_of(item):
            async with self._writing(self._collection.store) as tx:
                for key in keys:
                    await tx.delete(self._collection, key)
            count += len(keys)
        if count:
            # A row that one of them gave while these were deleted may have found an older one of its key, and left it as it was.
            for feeder in self._feeding:
                async for items in self._fed_since(feeder, item):
                    await feeder.force(items)
        return count

    async def left_of(self, item: Item) -> AsyncIterator[list[Key]]:
        """Give the keys of rows that belong to the deleted row, in pages. What was inserted after the deletion stands."""
        async for keys in self._pages(self._collection, item.key):
            later = await self._given_since(item, keys)
            if left := [key for key in keys if key not in later]:
                yield left

    async def _given_since(self, item: Item, keys: Sequence[Key]) -> frozenset[Key | None]:
        """Return those of these keys that were inserted after the deletion, or follow from what was."""
        later = set(await self._inserted_since(item, self._collection, keys)) if self._collection.managed else set[Key | None]()
        for feeder in self._feeding:
            async for fed in self._fed_since(feeder, item):
                later.update(self._form.text(feeder.key_of(row)) for one in fed for row in feeder.rows_of(one.state))
        return frozenset(later)

    async def _fed_since(self, feeder: ReplicaApplier, item: Item) -> AsyncIterator[list[Item]]:
        """Give what belongs to the deleted row in the source of a replica, and was inserted after the deletion, in pages.

        It is found by the column that the target has it by; nothing is where the source has none of that name.
        """
        source = feeder.target.source
        if self.target.by not in source.names:
            return
        async for keys in self._pages(source, item.key):
            later = await self._inserted_since(item, source, keys)
            if items := [one for one in await items_of(self._own, source, [key for key in keys if key in later]) if one.state is not None]:
                yield items

    async def _pages(self, collection: Collection, key: Key) -> AsyncIterator[list[Key]]:
        """Give the keys of what belongs to a row, in pages."""
        form = KeyForm(collection.columns_of(collection.key_name))
        after: tuple[Any, ...] | None = None
        while True:
            fetch = Fetch(collection, collection.key, Match(self.target.by, [key]), page=Page(ROWS_PER_PAGE, after=after))
            part = (await self._own.ask(fetch)).get(key)
            if part is None or not part.rows:
                return
            after = tuple(part.rows[-1])
            yield [text for row in part.rows if (text := form.text(row)) is not None]
            if not part.more:
                return

    async def _inserted_since(self, item: Item, collection: Collection, keys: Sequence[Key]) -> frozenset[Key | None]:
        outbox = tables_of(collection.store).outbox
        inserted = (Compare("noun", "eq", collection.name), Compare("action", "eq", "insert"), Compare("id", "gt", item.outbox))
        found = await self._own.ask(Fetch(outbox, ("id",), Match("key", keys), And(inserted)))
        return frozenset(key for key, part in found.items() if part.rows)


class FollowUpApplier:
    """Runs what an author declared to be done after a write. ``context`` makes a request's context of the system's own."""

    is_single: ClassVar[bool] = True
    is_by_version: ClassVar[bool] = False  # each was asked for by its own write

    def __init__(self, target: FollowUp, context: Callable[[], Any]) -> None:
        self.target = target
        self._context = context

    async def apply(self, items: Sequence[Item]) -> None:
        for item in items:
            if item.state is None:
                raise StoreMisbehaved(f"{self.target.name}: expected to follow a write that left a row, got a deletion of {item.key}")
            reached("follow.before")
            await self.target.run(self._context(), item.state, item.payload)
            reached("follow.after")


class AuditApplier:
    """Writes audit rows into the store that has them all. Each is its own, and the same whenever it is written."""

    is_single: ClassVar[bool] = False
    is_by_version: ClassVar[bool] = False

    def __init__(self, stores: Stores, store: str) -> None:
        self._own = Own(stores)
        self._audit = tables_of(store).audit

    async def apply(self, items: Sequence[Item]) -> None:
        rows = [tuple([item.payload.get(name) for name in self._audit.names]) for item in items]
        await self._own.ask(Upsert(self._audit, rows))


def _values_of(names: Sequence[str], wanted: Sequence[str]) -> Callable[[Row], tuple[Any, ...]]:
    places = [names.index(name) for name in wanted]
    return lambda row: tuple([row[place] for place in places])
