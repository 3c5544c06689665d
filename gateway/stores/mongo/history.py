"""What a MongoDB database keeps of its migrations: the steps that were run, and the lock of who runs them.

Both are collections of the database itself: ``crossgraph_migrations``, a document per step, and ``crossgraph_lock``, one document,
which has a holder while somebody migrates. A step is given the database, as PyMongo's asyncio client has it (or Motor's).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

from pymongo import ReadPreference, WriteConcern, errors
from pymongo.read_concern import ReadConcern

from gateway.errors import MigrationRefused
from gateway.stores.migrating import Owner
from gateway.stores.steps import Applied, Step

STEPS = "crossgraph_migrations"
LOCK = "crossgraph_lock"

STEP_TIMEOUT_S = 86_400.0  # a step may go over all documents

_ID = "migrations"  # of the one lock


class Translated(Protocol):
    """A context in which the driver's errors become the gateway's, and what takes longer than some seconds ends."""

    def __call__(self, seconds: float = ...) -> AbstractContextManager[None]: ...


class MongoLease:
    """The lock as a document, which stays; its time is the server's own, ``$$NOW``. Each change compares what was there before."""

    def __init__(self, database: Any, translated: Translated) -> None:
        self._lock = database.get_collection(
            LOCK, write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("local")
        )
        self._database = database
        self._translated = translated
        self._is_made = False

    async def take(self, holder: str, seconds: float) -> bool:
        with self._translated():
            if not self._is_made:
                with suppress(errors.DuplicateKeyError):
                    await self._lock.insert_one({"_id": _ID, "holder": None, "until": None})
                self._is_made = True
            if await self._changed({"holder": None}, _held_by(holder, seconds)):
                return True
            late = await self._late()
            return late is not None and await self._changed(late, _held_by(holder, seconds))

    async def renew(self, holder: str, seconds: float) -> bool:
        with self._translated():
            return await self._changed({"holder": holder}, _held_by(holder, seconds))

    async def release(self, holder: str) -> None:
        with self._translated():
            await self._changed({"holder": holder}, {"$set": {"holder": None, "until": None}})

    async def is_held(self) -> bool:
        with self._translated():
            found = await self._lock.find_one({"_id": _ID, "holder": {"$ne": None}}, {"_id": 0, "until": 1})
            if found is None or found["until"] is None:
                return False
            now = (await self._database.command("hello"))["localTime"]
        return bool(found["until"] > now)

    async def _changed(self, before: Mapping[str, Any], change: Any) -> bool:
        return bool((await self._lock.update_one({"_id": _ID, **before}, change)).matched_count)

    async def _late(self) -> Mapping[str, Any] | None:
        """Return the holder and the time of the lock where that is up."""
        now = (await self._database.command("hello"))["localTime"]
        found = await self._lock.find_one({"_id": _ID}, {"_id": 0, "holder": 1, "until": 1})
        return found if found is not None and found["until"] is not None and found["until"] <= now else None


def _held_by(holder: str, seconds: float) -> list[dict[str, Any]]:
    return [{"$set": {"holder": holder, "until": {"$add": ["$$NOW", int(seconds * 1000)]}}}]


class MongoLedger:
    """See ``steps.Ledger``."""

    def __init__(self, database: Any, translated: Translated) -> None:
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
        with self._translated(STEP_TIMEOUT_S):
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
