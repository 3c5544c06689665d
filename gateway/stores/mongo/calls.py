"""Commands to one MongoDB database: outside of transactions, or as part of one.

Each method is one command, or one for each ``WRITES_PER_COMMAND`` of a large write. PyMongo's asyncio client and Motor's have the same
methods, but for what ``now`` evens out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ReturnDocument, errors

from gateway.stores.base import Collection, note
from gateway.stores.mongo.answers import Document
from gateway.stores.mongo.failures import translation
from gateway.stores.mongo.fields import Query

WRITE_TIMEOUT_S = 5.0
WRITES_PER_COMMAND = 250  # so that no single command of a large write comes near WRITE_TIMEOUT_S
ALL_IN_ONE_BATCH = 100_000  # rows; the server still cuts a batch at 16 MiB

# A date that Python has no datetime for comes as its milliseconds; a broken text must not make its neighbours unreadable.
CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace")


class Calls:
    """``session`` is that of a transaction; None outside of any. ``timeout_s`` is for reads, which the server itself ends."""

    __slots__ = ("database", "name", "session", "timeout_s")

    def __init__(self, name: str, database: Callable[[], Any], timeout_s: float, session: Any = None) -> None:
        self.name = name
        self.database = database
        self.timeout_s = timeout_s
        self.session = session

    def of(self, session: Any) -> Calls:
        """Return the same as part of a session's transaction."""
        return Calls(self.name, self.database, self.timeout_s, session)

    # ------------------------------------------------------------------------------------------------------------ reads

    async def aggregate(self, collection: str, pipeline: Sequence[Document]) -> list[Document]:
        """Return all documents of an aggregation, over the database where ``collection`` is empty. One command below 16 MiB.

        In a transaction there is no ``$unionWith``: what stands at a pipeline's end is asked for itself there, and comes behind the rest.
        """
        if self.session is None or not pipeline or "$unionWith" not in pipeline[-1]:
            return await self._aggregated(collection, pipeline)
        united = pipeline[-1]["$unionWith"]
        first = await self.aggregate(collection, pipeline[:-1])
        return first + await self._aggregated(united["coll"], united["pipeline"])

    async def _aggregated(self, collection: str, pipeline: Sequence[Document]) -> list[Document]:
        note({"aggregate": collection or 1, "pipeline": pipeline})
        database = self.database()
        source = database[collection] if collection else database
        options: dict[str, Any] = {"batchSize": ALL_IN_ONE_BATCH, "maxTimeMS": int(self.timeout_s * 1000)}
        cursor = await now(source.aggregate(pipeline, session=self.session, **options))
        documents: list[Document] = await cursor.to_list(None)
        return documents

    async def find(self, collection: Collection, query: Query, fields: Document) -> Document | None:
        found: Document | None = await self._of(collection).find_one(query, fields, session=self.session)
        return found

    # ----------------------------------------------------------------------------------------------------------- writes

    async def insert(self, collection: Collection, documents: Sequence[Document]) -> None:
        """Insert documents, in their order up to the first that fails."""
        target = self._of(collection)
        if len(documents) == 1:
            await target.insert_one(documents[0], session=self.session)
            return
        for start in range(0, len(documents), WRITES_PER_COMMAND):
            await target.insert_many(documents[start : start + WRITES_PER_COMMAND], session=self.session)

    async def write(self, collection: Collection, writes: Sequence[Any]) -> None:
        """Run the writes of a bulk: in their order up to the first that fails in a transaction, all of them outside of one."""
        is_ordered = self.session is not None
        for start in range(0, len(writes), WRITES_PER_COMMAND):
            some = writes[start : start + WRITES_PER_COMMAND]
            await self._of(collection).bulk_write(some, ordered=is_ordered, session=self.session)

    async def update(self, collection: Collection, query: Query, change: Any, fields: Document) -> Document | None:
        """Change one document and return what it was; None where there is none."""
        found: Document | None = await self._of(collection).find_one_and_update(
            query, change, projection=fields, return_document=ReturnDocument.BEFORE, session=self.session
        )
        return found

    async def upsert(self, collection: Collection, query: Query, change: Any, *, after: bool = False) -> Document | None:
        """Change one document, or make it, and return what it was, or is ``after``; None where it was not there before."""
        which = ReturnDocument.AFTER if after else ReturnDocument.BEFORE
        found: Document | None = await self._of(collection).find_one_and_update(
            query, change, upsert=True, return_document=which, session=self.session
        )
        return found

    async def remove(self, collection: Collection, query: Query, fields: Document) -> Document | None:
        """Delete one document and return what it was; None where there is none."""
        found: Document | None = await self._of(collection).find_one_and_delete(query, projection=fields, session=self.session)
        return found

    # --------------------------------------------------------------------------------------------------------- the rest

    @contextmanager
    def translated(self, seconds: float, collection: Collection | None = None) -> Iterator[None]:
        """Raise what the gateway knows in place of what the driver raises."""
        try:
            yield
        except (errors.PyMongoError, bson.errors.BSONError, OverflowError, UnicodeEncodeError) as exc:
            raise translation(exc, self.name, seconds, collection) from exc

    def _of(self, collection: Collection) -> Any:
        return self.database()[collection.place]


async def now(value: Any) -> Any:
    """Return what PyMongo has to be waited for and Motor gives at once, or the other way round."""
    return await value if inspect.isawaitable(value) else value
