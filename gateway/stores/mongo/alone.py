"""Writes of a server that stands alone: it has no transactions, so that one is a single document, which carries its rows of the log.

What a transaction writes is kept until its end, and is one command then. An inserted document of a managed collection has in the field
``__crossgraph`` what would stand beside it: its version, its rows of the outbox, of the deliveries and of the audit. So they happen
together. Afterwards they are unpacked: each row is written where it belongs, unless it is there, and the field is taken away. Whoever is
killed in between leaves that to the relay (``unpack``), which finds such documents by an index that has no others.

With an idempotency key its row comes first, and carries the document that is to be inserted: of two requests of one key the second finds it
there, and whoever finds it inserts that very document, once by its key, before it reads the outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bson.objectid import ObjectId
from pymongo import errors

from gateway.errors import AbilityMissing, Conflict, Contended, StoreMisbehaved
from gateway.stores.base import Bump, Changed, Claim, Collection, Get, Insert, Key, Lock, Remove, Request, Row, Together, Update, Within
from gateway.stores.kinds import listed
from gateway.stores.migrating import is_ours
from gateway.stores.mongo import changes, log, reads
from gateway.stores.mongo.answers import Document
from gateway.stores.mongo.calls import WRITE_TIMEOUT_S, Calls
from gateway.stores.mongo.fields import field_of
from gateway.stores.requests.request import TRANSACT, A
from gateway.stores.shared import conflict
from gateway.stores.types import KeyForm

CARRIED = "__crossgraph"  # the field of what a document carries
ONCE = "crossgraph_idempotency"  # of writes/tables.py
DOCUMENTS_PER_STEP = 100

_ALL = {f"{CARRIED}.at": {"$gte": datetime(1, 1, 1, tzinfo=UTC)}}
_NO_RIGHT = 13
_INDEX = [(f"{CARRIED}.at", 1)]


class LoneTransaction:
    """See ``base.Transaction``. AbilityMissing for a second write, and for what would be written beside a document that carries nothing.

    A read does not see what was written, and is refused where it would have to.
    """

    def __init__(self, calls: Calls, kind: str) -> None:
        self._calls = calls
        self._kind = kind
        self._asking = asyncio.Lock()
        self._version: tuple[Collection, Document] | None = None
        self._write: Insert | Update | Remove | None = None
        self._document: Document = {}  # of an insert
        self._beside: list[Document] = []
        self._alone: tuple[Collection, Document] | None = None  # a row of the log without a document
        self.failed: BaseException | None = None
        self.has_ended = False

    async def answer(self, request: Request[A]) -> A:
        async with self._asking:
            if self.has_ended:
                told = f"the transaction of the store '{self._calls.name}' has ended: it was asked for a {request.operation}"
                raise StoreMisbehaved(told)
            if self.failed is not None:
                raise self.failed
            try:
                answer: A = await self._answer(request)
            except BaseException as exc:
                self.failed = exc
                raise
            return answer

    async def _answer(self, request: Request[Any]) -> Any:
        match request:
            case Within():
                return await self._answer(request.read)
            case Bump():
                return await self._bump(request)
            case Insert():
                return await self._insert(request)
            case Update() | Remove():
                return await self._change(request)
            case Together():
                return self._tell(request)
            case Lock():
                self._require_unwritten(request)
                return await changes.lock(self._calls, request)
        read = reads.READS.get(type(request))
        if read is None:
            raise self._cannot(f"{request.operation} of {request.about} in a transaction")
        self._require_unwritten(request)
        return await read(self._calls, request)

    # ----------------------------------------------------------------------------------------------------------- requests

    async def _bump(self, bump: Bump) -> dict[Key, int]:
        if self._version is not None or len(bump.keys) != 1:
            raise self._cannot(f"a write of several rows, one of them of {bump.noun}, as one")
        if bump.is_deleted:
            raise self._cannot(f"a deletion from {bump.noun} together with its rows of the log")
        [key] = bump.keys
        query = {"noun": {"$eq": bump.noun}, "key": {"$eq": key}}
        with self._calls.translated(WRITE_TIMEOUT_S, bump.collection):
            found = await self._calls.find(bump.collection, query, {"version": 1})
        version = 1 if found is None else int(found["version"]) + 1
        self._version = bump.collection, {"noun": bump.noun, "key": key, "version": version, "is_deleted": False}
        return {key: version}

    async def _insert(self, insert: Insert) -> Sequence[Row]:
        collection = insert.collection
        self._require_first(insert, len(insert.rows))
        if not insert.rows:
            return []
        with self._calls.translated(WRITE_TIMEOUT_S, collection):
            self._document = changes.document_of(collection, insert.columns, insert.rows[0])
            [row] = changes.rows_of(collection, [changes.as_stored(self._document)])
        text = KeyForm(collection.columns_of(collection.key_name)).text([row[collection.names.index(name)] for name in collection.key])
        if text is not None and await reads.get(self._calls, Get(collection, collection.key, [text], column=collection.key_name)):
            raise conflict(self._calls.name, collection.name, collection.key)
        self._write = insert
        return [row]

    async def _change(self, request: Update | Remove) -> Changed | None:
        """Return what a change will give: at the end it is done where the document is still as it is now."""
        self._require_first(request, 1)
        if self._version is not None:
            raise self._cannot(f"{request.operation} of {request.about} together with its rows of the log")
        found = await changes.foreseen(self._calls, request)
        if found is not None and found.is_done:
            before = [(name, value) for name, value in zip(request.collection.names, found.before, strict=True) if _is_read(value)]
            self._write = replace(request, expected=tuple(before))
        return found

    def _tell(self, together: Together) -> None:
        """Keep rows of the log, to be carried; without a document the first of them is one, and carries the others."""
        inserts = [(insert.collection, insert.columns, row) for insert in together.inserts for row in insert.rows]
        rows = [(collection, changes.document_of(collection, columns, row)) for collection, columns, row in inserts]
        has_document = isinstance(self._write, Insert) and self._version is not None
        if not has_document and (self._write is not None or self._alone is not None):
            raise self._cannot(f"an insert of {together.about} beside another document, as one")
        if rows and not has_document:
            self._alone = rows.pop(0)
        self._beside += [_carried(*row) for row in rows]

    def _require_first(self, request: Request[Any], count: int) -> None:
        if self._write is not None or count > 1 or (is_ours(request.about) and self._version is not None):
            raise self._cannot(f"{request.operation} of {request.about} together with another write, as one")

    def _require_unwritten(self, request: Request[Any]) -> None:
        if self._write is not None and request.about in (self._write.about, "crossgraph_versions"):
            raise self._cannot(f"{request.operation} of {request.about} after a write of it, in one transaction")

    def _cannot(self, asked: str) -> AbilityMissing:
        return AbilityMissing(asked, store=self._calls.name, kind=self._kind, needs=listed(TRANSACT))

    # ---------------------------------------------------------------------------------------------------------------- end

    async def commit(self) -> Coroutine[Any, Any, None] | None:
        """Write the one document; return what is left to do, which others do where nobody does it here.

        Contended where another was quicker with its key, or has changed it since it was read.
        """
        if self.failed is not None:
            raise self.failed
        match self._write:
            case None:
                return None if self._alone is None else await self._told_alone(*self._alone)
            case Insert(collection=collection) if self._version is not None:
                return await self._told(collection, _carried(*self._version))
            case Insert(collection=collection):
                await self._inserted(collection, self._document)
                return None
            case Update() as update:
                changed = await changes.update(self._calls, update)
            case Remove() as remove:
                changed = await changes.remove(self._calls, remove)
        if changed is None or not changed.is_done:
            raise Contended(self._calls.name)
        return None

    async def _told_alone(self, collection: Collection, row: Document) -> Coroutine[Any, Any, None] | None:
        """Insert a row of the log. Conflict where it is an idempotency key's that is taken."""
        if not self._beside:
            await self._insert_one(collection, row)
            return None
        carried = _identified({"rows": self._beside})
        await self._insert_one(collection, {**row, CARRIED: carried})
        return unpacked(self._calls, collection.place, {"_id": row["_id"], CARRIED: carried})

    async def _told(self, collection: Collection, version: Document) -> Coroutine[Any, Any, None]:
        """Insert a document with its rows of the log; behind the row of its idempotency key, where it has one."""
        rows = [each for each in self._beside if each["place"] != ONCE]
        carried = _identified({"version": version, "rows": rows})
        document = {**self._document, CARRIED: carried}
        document.setdefault("_id", ObjectId())
        once = next((each["row"] for each in self._beside if each["place"] == ONCE), None)
        if once is None:
            await self._inserted(collection, document)
            return unpacked(self._calls, collection.place, document)
        carried["once"] = once["_id"]
        intent = {**once, CARRIED: {"id": carried["id"], "at": carried["at"], "place": collection.place, "document": document}}
        with self._calls.translated(WRITE_TIMEOUT_S):
            try:
                await self._calls.database()[ONCE].insert_one(intent)
            except errors.DuplicateKeyError as exc:
                raise Contended(self._calls.name) from exc
            if not await _is_inserted(self._calls, intent):
                raise Contended(self._calls.name)
        return unpacked(self._calls, collection.place, document)

    async def _insert_one(self, collection: Collection, document: Document) -> None:
        with self._calls.translated(WRITE_TIMEOUT_S, collection):
            await self._calls.insert(collection, [document])

    async def _inserted(self, collection: Collection, document: Document) -> None:
        try:
            await self._insert_one(collection, document)
        except Conflict as exc:
            if set(exc.columns) == set(collection.key):
                raise Contended(self._calls.name) from exc
            raise


def _is_read(value: Any) -> bool:
    return not isinstance(value, Exception)


def _identified(carried: Document) -> Document:
    return {"id": str(ObjectId()), "at": datetime.now(UTC), **carried}


def _carried(collection: Collection, document: Document) -> Document:
    return {"place": collection.place, "by": [field_of(collection, name).name for name in collection.key], "row": document}


# -------------------------------------------------------------------------------------------------------------- unpacking


async def unpacked(calls: Calls, place: str, document: Document) -> None:
    """Write what a document carries where it belongs, as far as it is not there, and take it from the document."""
    carried = document[CARRIED]
    with calls.translated(WRITE_TIMEOUT_S):
        if "document" in carried:  # that of an idempotency key's row
            if await _is_inserted(calls, document):
                await unpacked(calls, carried["place"], carried["document"])
            return
        if "version" in carried:
            version, its = carried["version"], carried["version"]["row"]
            query = {name: its[name] for name in version["by"]}
            await _put(
                calls.database()[version["place"]],
                query,
                {"$max": {"version": its["version"]}, "$set": {"is_deleted": its["is_deleted"]}},
            )
        for each in carried["rows"]:  # deliveries are behind the row of the outbox that they are of
            row = each["row"]
            query = {name: row[name] for name in each["by"]}
            rest = {name: value for name, value in row.items() if name not in query}
            await _put(calls.database()[each["place"]], query, {"$setOnInsert": rest})
        if "once" in carried:  # before the document's own, which is what shows that it was inserted
            await _taken(calls, ONCE, carried["once"], carried)
        await _taken(calls, place, document["_id"], carried)


async def _taken(calls: Calls, place: str, id_: Any, carried: Document) -> None:
    await calls.database()[place].update_one({"_id": id_, f"{CARRIED}.id": carried["id"]}, {"$unset": {CARRIED: ""}})


async def _is_inserted(calls: Calls, intent: Document) -> bool:
    """Return whether the document of an idempotency key's row is there, which is inserted where it is not.

    Where another document has its key, or a value that must be unique, the row is deleted: its request has not happened, and is done again.
    """
    carried = intent[CARRIED]
    target, document = calls.database()[carried["place"]], carried["document"]
    try:
        await target.insert_one({**document})
    except errors.DuplicateKeyError:
        if await target.find_one({"_id": document["_id"], f"{CARRIED}.id": carried["id"]}, {"_id": 1}) is not None:
            return True
        gone = await calls.database()[ONCE].delete_one({"_id": intent["_id"], f"{CARRIED}.id": carried["id"]})
        if gone.deleted_count:
            return False
        return await calls.database()[ONCE].find_one({"_id": intent["_id"]}, {"_id": 1}) is not None  # another has finished it
    return True


async def _put(target: Any, query: Document, change: Document) -> None:
    try:
        await target.update_one(query, change, upsert=True)
    except errors.DuplicateKeyError:  # another made it at the same moment
        await target.update_one(query, change, upsert=False)


async def _indexes(target: Any) -> Document:
    try:
        there: Document = await target.index_information()
    except errors.OperationFailure as exc:
        if exc.code != _NO_RIGHT:
            raise
        return {}
    return there


class Unpacker:
    """Finds documents that still carry rows of the log: their writers were killed before they had unpacked them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: dict[str, bool] = {}  # by place: whether there is an index of such documents

    async def unpack(self, collections: Iterable[Collection], *, is_alone: bool) -> int:
        """Return how many documents of these collections were unpacked. One query for each collection."""
        count = 0
        for place in dict.fromkeys(collection.place for collection in collections):
            if not await self._has_index(place, is_made=is_alone):
                continue  # a server with transactions, of which nothing was ever carried
            with self._calls.translated(self._calls.timeout_s):
                cursor = self._calls.database()[place].find(_ALL, {CARRIED: 1}).sort(_INDEX).limit(DOCUMENTS_PER_STEP)
                found = await cursor.to_list(None)
            for document in found:
                await unpacked(self._calls, place, document)
            count += len(found)
        return count

    async def _has_index(self, place: str, *, is_made: bool) -> bool:
        """Return whether a collection has the index by which they are found. Looked for, and ``is_made``, once."""
        if place not in self._known:
            with self._calls.translated(WRITE_TIMEOUT_S):
                target = self._calls.database()[place]
                if is_made:
                    await target.create_index(_INDEX, sparse=True)
                    self._known[place] = True
                else:
                    self._known[place] = any(list(index["key"]) == _INDEX for index in (await _indexes(target)).values())
        return self._known[place]


# -------------------------------------------------------------------------------------------------------------- deliveries


async def claim(calls: Calls, claim: Claim) -> Sequence[Row]:
    """Lease deliveries, each for itself: of two that claim the same at once each gets some, and none is given to both."""
    with calls.translated(WRITE_TIMEOUT_S, claim.collection):
        return await log.claim_each(calls, claim)
