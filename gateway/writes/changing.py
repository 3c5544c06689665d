"""What a change of rows of a managed collection is: its version first, the change, and what it was, kept to be told to the log.

The version comes first as it locks the aggregate: of two writers at once the second waits, and finds what the first has written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import BadUserInput, Conflict, StoreMisbehaved
from gateway.stores.base import (
    KEYS_PER_CALL,
    Bump,
    Changed,
    Collection,
    Delete,
    Get,
    Insert,
    Key,
    Lock,
    Remove,
    Request,
    Row,
    Update,
    Upsert,
    Within,
)
from gateway.stores.migrating import is_ours
from gateway.stores.types import canonical_key, join_key
from gateway.writes.declarations import State
from gateway.writes.ids import new_id
from gateway.writes.rows import DELETED, INSERTED, UPDATED, Written, key_in, keys_of, state_of
from gateway.writes.tables import Tables

Ask = Callable[[Request[Any]], Awaitable[Any]]


@dataclass(slots=True)
class Changes:
    """The changes of one transaction, in their order. ``about`` is the noun and the key of the one that was tried last."""

    ask: Ask
    tables: Tables
    written: list[Written]
    about: tuple[str, Key] | None = None

    # ------------------------------------------------------------------------------------------------------ one by one

    async def insert(self, insert: Insert, *, audited: bool = True) -> Sequence[Row]:
        collection = insert.collection
        if not insert.rows:
            return ()
        if not collection.managed:
            return await self._insert_plain(insert, audited)
        keys = [_given_key(collection, dict(zip(insert.columns, row, strict=True))) for row in insert.rows]
        self.about = (collection.name, keys[0])
        versions = await self._bump(collection, keys)
        rows: Sequence[Row] = await self.ask(insert)
        for key, row in zip(keys, rows, strict=True):
            self._wrote(collection, key, versions[key], None, state_of(collection, row), audited=audited)
        return rows

    async def update(self, update: Update, expected_version: int | None = None) -> Changed | None:
        return await self._change(update, expected_version)

    async def remove(self, remove: Remove, expected_version: int | None = None) -> Changed | None:
        return await self._change(remove, expected_version)

    async def _change(self, request: Update | Remove, expected_version: int | None) -> Changed | None:
        collection, parts = request.collection, request.key
        key = parts[0] if len(parts) == 1 else join_key(parts)  # as the rows have it in an insert: of one column as it is
        self.about = (collection.name, key)
        if not collection.managed:
            return await self._change_plain(request, key, expected_version)
        is_deleted = isinstance(request, Remove)
        versions = await self._bump(collection, [key], is_deleted=is_deleted)
        version = versions[key]
        if expected_version is not None and expected_version != version - 1:
            if key in await self.ask(Lock(collection, [key])):
                raise stale(collection, key, expected_version, version - 1)
            changed: Changed | None = None
        else:
            changed = await self.ask(request)
        if changed is None or not changed.is_done:
            await self._unbump(collection, versions, is_gone=changed is None)
            return changed
        after = None if changed.after is None else state_of(collection, changed.after)
        self._wrote(collection, key, version, state_of(collection, changed.before), after)
        return changed

    async def version(self, collection: Collection, key: Key) -> int:
        """Return the version of a row as it is; 0 where it was never written."""
        whole = join_key((collection.name, key))
        versions = self.tables.versions
        rows = await self.ask(Within(Get(versions, ("version",), [whole], versions.key_name)))
        version: int = rows[whole][0] if whole in rows else 0
        return version

    # ----------------------------------------------------------------------------------------------------------- several

    async def upsert(self, upsert: Upsert) -> None:
        collection = upsert.collection
        keys = list(dict.fromkeys(_given_key(collection, state_of(collection, row)) for row in upsert.rows))
        self.about = (collection.name, keys[0])
        versions = await self._bump(collection, keys)
        before = await self._locked(collection, keys)
        await self.ask(upsert)
        after = await self._locked(collection, keys)
        for key in keys:
            was = state_of(collection, before[key]) if key in before else None
            self._wrote(collection, key, versions[key], was, state_of(collection, after[key]))

    async def delete(self, delete: Delete) -> None:
        collection = delete.collection
        text = keys_of(collection).text
        keys = list(dict.fromkeys(key for values in delete.keys if (key := text(values)) is not None))
        self.about = (collection.name, keys[0])
        versions = await self._bump(collection, keys, is_deleted=True)
        before = await self._locked(collection, keys)
        await self.ask(delete)
        for key in keys:
            if key in before:
                self._wrote(collection, key, versions[key], state_of(collection, before[key]), None)
        await self._unbump(collection, {key: versions[key] for key in keys if key not in before}, is_gone=True)

    # ---------------------------------------------------------------------------------------------------------- versions

    async def _bump(self, collection: Collection, keys: Sequence[Key], *, is_deleted: bool = False) -> Mapping[Key, int]:
        # In the order of keys, so that two transactions never wait for each other in a circle by these.
        unique = sorted(set(keys)) if len(keys) > 1 else keys
        if len(unique) < len(keys):
            raise BadUserInput(f"Two rows of {collection.name} have the same key: expected a key of its own for each.")
        versions: dict[Key, int] = {}
        for part in _parts(unique):
            versions.update(await self.ask(Bump(self.tables.versions, collection.name, part, is_deleted)))
        return versions

    async def _locked(self, collection: Collection, keys: Sequence[Key]) -> Mapping[Key, Row]:
        rows: dict[Key, Row] = {}
        for part in _parts(keys):
            rows.update(await self.ask(Lock(collection, part)))
        return rows

    async def _unbump(self, collection: Collection, versions: Mapping[Key, int], *, is_gone: bool) -> None:
        """Have versions as they were before: of rows that were not there, or were left as they are, nothing is told."""
        first = [(collection.name, key) for key, version in versions.items() if version == 1]
        others = [(collection.name, key, version - 1, is_gone) for key, version in versions.items() if version > 1]
        if first:
            await self.ask(Delete(self.tables.versions, first))
        if others:
            await self.ask(Upsert(self.tables.versions, others))

    def _wrote(
        self, collection: Collection, key: Key, version: int | None, before: State | None, after: State | None, *, audited: bool = True
    ) -> None:
        action = DELETED if after is None else INSERTED if before is None else UPDATED
        self.written.append(Written(new_id(), collection, key, version, action, before, after, audited))

    # ------------------------------------------------------------------------------------------------ somebody else's

    async def _insert_plain(self, insert: Insert, audited: bool) -> Sequence[Row]:
        rows: Sequence[Row] = await self.ask(insert)
        for row in rows:
            state = state_of(insert.collection, row)
            self._wrote(insert.collection, key_in(insert.collection, state) or "", None, None, state, audited=audited)
        return rows

    async def _change_plain(self, request: Update | Remove, key: Key, expected_version: int | None) -> Changed | None:
        collection = request.collection
        if expected_version is not None:
            raise StoreMisbehaved(f"a write of {collection.name}: expected no expected_version, as only managed collections have versions")
        changed: Changed | None = await self.ask(request)
        if changed is not None and changed.is_done:
            after = None if changed.after is None else state_of(collection, changed.after)
            self._wrote(collection, key, None, state_of(collection, changed.before), after)
        return changed


def _parts(keys: Sequence[Key]) -> Iterable[Sequence[Key]]:
    return (keys[start : start + KEYS_PER_CALL] for start in range(0, len(keys), KEYS_PER_CALL))


def stale(collection: Collection, key: Key, expected: int, version: int) -> Conflict:
    """Return the error of a row that somebody else has written since its version was read."""
    return Conflict(
        f"{collection.name} {key!r} has version {version}, and not {expected}, which was expected: read it again.",
        expectedVersion=expected,
        version=version,
    )


def is_logged(collection: Collection) -> bool:
    """Return whether writes of a collection are told to the log: those of the gateway's own tables are not."""
    return collection.managed and not is_ours(collection.name)


def insert_of(collection: Collection, rows: Sequence[Mapping[str, Any]]) -> Insert:
    """Return the insert of rows that are mappings; StoreMisbehaved where they have not the same columns."""
    names = tuple(rows[0]) if rows else ()
    for name in names:
        collection[name]  # LookupError with those that there are
    for row in rows:
        if row.keys() != set(names):
            raise StoreMisbehaved(
                f"an insert of {collection.name}: expected rows of the same columns, {', '.join(names)}, got one of {', '.join(row)}"
            )
    return Insert(collection, names, [tuple([row[name] for name in names]) for row in rows])


def _given_key(collection: Collection, values: Mapping[str, Any]) -> Key:
    key = key_in(collection, values)
    if key is None:
        raise StoreMisbehaved(
            f"an insert of {collection.name}: expected its key ({', '.join(collection.key)}), as a managed collection's is not made by "
            f"the database; got {', '.join(values) or 'nothing'}"
        )
    if canonical_key(collection.columns_of(collection.key_name), key) != key:
        raise BadUserInput(f"{key!r} cannot be the key of a row of {collection.name}.")
    return key
