"""What a MongoDB database keeps of its migrations: the steps that were run, and the lock of who runs them.

Both are collections of the database itself: ``crossgraph_migrations``, a document per step, and ``crossgraph_lock``, one document while
somebody migrates. A step is given the database, as PyMongo's asyncio client has it (or Motor's).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

from pymongo import ReadPreference, WriteConcern, errors
from pymongo.read_concern import ReadConcern

from gateway.errors import MigrationRefused
from gateway.stores.migrating import Owner
from gateway.stores.steps import Applied, Step

STEPS = "crossgraph_migrations"
LOCK = "crossgraph_lock"

_ID = "migrations"  # of the one lock


class MongoLease:
    """The lock as a document, in the server's own time: ``$$NOW``."""

    def __init__(self, database: Any, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._lock = database.get_collection(LOCK, write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY)
        self._translated = translated

    async def take(self, holder: str, seconds: float) -> bool:
        with self._translated():
            try:
                found = await self._lock.update_one(
                    {"_id": _ID, "$expr": {"$lte": ["$until", "$$NOW"]}}, _held_by(holder, seconds), upsert=True
                )
            except errors.DuplicateKeyError:  # it is there, and its time is not up
                return False
        return bool(found.matched_count or found.upserted_id is not None)

    async def renew(self, holder: str, seconds: float) -> bool:
        with self._translated():
            found = await self._lock.update_one({"_id": _ID, "holder": holder}, _held_by(holder, seconds))
        return bool(found.matched_count)

    async def release(self, holder: str) -> None:
        with self._translated():
            await self._lock.delete_one({"_id": _ID, "holder": holder})


def _held_by(holder: str, seconds: float) -> list[dict[str, Any]]:
    return [{"$set": {"holder": holder, "until": {"$add": ["$$NOW", int(seconds * 1000)]}}}]


class MongoLedger:
    """See ``steps.Ledger``."""

    def __init__(self, database: Any, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._database = database
        self._translated = translated
        self._steps = database.get_collection(
            STEPS, write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("majority")
        )
        self.lease = MongoLease(database, translated)

    async def applied(self, name: str, owner: Owner) -> list[Applied]:
        with self._translated():
            documents = await self._steps.find({"_id.store": name, "_id.owner": owner}).to_list(None)
        return [Applied(int(its["_id"]["number"]), its["name"], its["checksum"]) for its in documents]

    async def run(self, upgrade: Callable[[Any], Awaitable[None]]) -> None:
        with self._translated():
            await upgrade(self._database)

    async def record(self, name: str, owner: Owner, step: Step) -> None:
        step_id = {"store": name, "owner": owner, "number": step.number}
        with self._translated():
            try:
                recorded = await self._steps.update_one(
                    {"_id": step_id},
                    # As one update, so that the time is the server's.
                    [{"$replaceWith": {"_id": step_id, "name": step.name, "checksum": step.checksum, "at": "$$NOW"}}],
                    upsert=True,
                )
            except errors.DuplicateKeyError:
                recorded = None
        if recorded is None or recorded.upserted_id is None:
            raise MigrationRefused(f"store {name}: step {step} was run by another process at the same time")
