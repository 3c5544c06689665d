"""A store in MongoDB: one pool of PyMongo's asyncio client, or of Motor for those who still have it.

A collection of ours with a key of one column keeps it as ``_id``. One with a longer key (edges), or whose key is ``at`` another place, has
a unique index over it, and the ``_id`` that MongoDB makes. All other columns have their own names, or are where ``at`` says. What is
asked goes to the server as one aggregation, and as a second one at the end of rows in an order that MongoDB does not have (``order.py``).
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

import bson
import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import AsyncMongoClient, errors

from gateway.errors import ConfigError, StoreMisbehaved, StoreUnavailable
from gateway.stores.base import (
    A,
    Aggregate,
    Collection,
    Delete,
    Fetch,
    Get,
    Groups,
    Handlers,
    Index,
    Match,
    NativeCall,
    Pairs,
    Request,
    Rows,
    Slice,
    Slices,
    Upsert,
    note,
)
from gateway.stores.described import Description
from gateway.stores.measures import joined
from gateway.stores.mongo import query
from gateway.stores.mongo.answers import (
    Document,
    group_rows,
    in_order,
    keys_of,
    narrowed,
    paged_in_order,
    parents_of,
    rows_of,
    slices_of,
    slices_of_pairs,
    with_keys,
)
from gateway.stores.mongo.described import described
from gateway.stores.mongo.failures import duplicate_in, translation
from gateway.stores.mongo.migrations import MongoMigrations, index_statement
from gateway.stores.mongo.order import is_in_parts
from gateway.stores.mongo.refusals import Refusals, hosts_in
from gateway.stores.mongo.values import decode
from gateway.stores.mongo.writes import deletions, documents_of, insertions, replacements
from gateway.stores.shared import grouped, in_order_of, page_of
from gateway.stores.steps import MigratesBySteps
from gateway.stores.values import sorted_anyhow

DEFAULT_DATABASE = "crossgraph"
WRITE_TIMEOUT_S = 5.0
POOL_WAIT_S = 1.0
INDEX_TIMEOUT_S = 600.0  # an index over a large collection takes its time
WRITES_PER_COMMAND = 250  # so that no single command of a large write comes near WRITE_TIMEOUT_S
_T = TypeVar("_T")

ALL_IN_ONE_BATCH = 100_000  # rows; the server still cuts a batch at 16 MiB


# A date that Python has no datetime for comes as its milliseconds; a broken text must not make its neighbours unreadable.
_CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace")


class MongoStore(MigratesBySteps):
    """See ``gateway.stores.base.Store``. URLs: ``mongodb://``, ``mongodb+srv://`` and, for Motor, ``mongodb+motor://``.

    Options in the URL win over the arguments and defaults here. Writes are acknowledged by a majority. An upsert of several rows is
    one transaction where the server has them (replica sets, sharded clusters); on a lone server a failure may leave some rows written.
    """

    kind = "mongodb"
    enforces_types = False

    def __init__(self, name: str, url: str, *, pool_size: int = 20, connect_timeout_s: float = 2.0, timeout_s: float = 3.0) -> None:
        self.name = name
        self._client_class: Any = _motor(name) if url.startswith("mongodb+motor:") else AsyncMongoClient
        self._url = url.replace("mongodb+motor:", "mongodb:", 1)
        self._database_name, told = _database_and_options(self._url)
        self._timeout_s = timeout_s
        self.places = pool_size
        options = _driver_options(pool_size, connect_timeout_s, timeout_s)
        self._options: dict[str, Any] = {option: value for option, value in options.items() if option.lower() not in told}
        self._refusals = Refusals(hosts_in(self._url))
        self._options["event_listeners"] = [self._refusals]
        self._client: Any = None  # PyMongo's or Motor's: the same methods, but for what _now() evens out
        self._has_transactions: bool | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self._handlers = Handlers(
            {
                Get: self._get,
                Fetch: self._fetch,
                Aggregate: self._aggregate,
                NativeCall: self._native,
                Upsert: self._upsert,
                Delete: self._delete,
            }
        )

    async def open(self) -> None:
        # Here and not in __init__: a client belongs to the loop it was made in. It connects with the first call.
        try:
            self._client = self._client_class(self._url, **self._options)
        except (errors.PyMongoError, ValueError, TypeError) as exc:
            raise ConfigError(f"stores.{self.name}.url: expected a MongoDB URL: {exc}") from exc

    async def ping(self) -> None:
        await self._unless_refused(self._ping())

    async def _ping(self) -> None:
        with self._translated(self._timeout_s):
            await self._opened().admin.command("ping")

    async def close(self) -> None:
        await self._refusals.close()
        client, self._client = self._client, None
        for task in self._writes:
            task.cancel()
        if client is not None:
            await _now(client.close())

    # ------------------------------------------------------------------------------------------------------------ reads

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        call = self._handlers[type(request)](request)
        return call if self._refusals.is_known else self._unless_refused(call)

    def _unless_refused(self, call: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        return self._refusals.unless_refused(self.name, call, self._ping)

    async def _get(self, get: Get) -> Rows:
        if not get.keys:
            return {}
        with self._translated(self._timeout_s):
            documents = await self._read(get.collection.place, query.get(get))
        keys = keys_of(get.collection, get.column, [document["k"] for document in documents])
        return dict(zip(keys, rows_of(get.collection, get.columns, documents), strict=True))

    async def _fetch(self, fetch: Fetch) -> Slices:
        with self._translated(self._timeout_s):
            if fetch.match is None:
                return {None: await self._fetch_alone(fetch)}
            if isinstance(fetch.match, Pairs):
                return await self._fetch_by_pairs(fetch, fetch.match)
            return await self._fetch_by_parent(fetch, fetch.match)

    async def _fetch_alone(self, fetch: Fetch) -> Slice:
        name, page = fetch.collection.place, fetch.page
        documents = await self._alone_in_parts(fetch) if is_in_parts(fetch) else await self._read(name, query.rows(fetch))
        slice_ = page_of(rows_of(fetch.collection, fetch.columns, documents), page)
        if not fetch.count:
            return slice_
        if page is None or (not slice_.more and page.after is None and page.before is None):
            return slice_._replace(total=len(slice_.rows))
        counts = await self._read(name, query.count(fetch))
        return slice_._replace(total=int(counts[0]["n"]) if counts else 0)

    async def _alone_in_parts(self, fetch: Fetch) -> list[Document]:
        """Return the documents of a page whose order is put together here; most pages are in the first part of it."""
        if fetch.page is None:
            return in_order(fetch, await self._read(fetch.collection.place, query.rows(fetch)))
        documents: list[Document] = []
        for pipeline in query.parts_of_page(fetch):
            documents += paged_in_order(fetch, await self._read(fetch.collection.place, pipeline))
            if len(documents) > fetch.page.limit:
                break
        return documents

    async def _fetch_by_parent(self, fetch: Fetch, match: Match) -> Slices:
        if not match.keys:
            return {}
        if fetch.page is None:
            documents = await self._read(fetch.collection.place, query.rows_by_parent(fetch, match))
            return slices_of(fetch, with_keys(fetch, match.column, documents))
        pipeline = query.pages_by_parent(fetch, match)
        return slices_of(fetch, with_keys(fetch, match.column, await self._read("", pipeline), "p")) if pipeline else {}

    async def _fetch_by_pairs(self, fetch: Fetch, pairs: Pairs) -> Slices:
        if not pairs.pairs:
            return {}
        name, page = fetch.collection.place, fetch.page
        documents = with_keys(fetch, pairs.column, await self._read(name, query.children(fetch, pairs)))
        if is_in_parts(fetch):
            documents = in_order(fetch, documents, cut=True)
        if not fetch.count:
            return slices_of_pairs(fetch, pairs, documents, None)
        if page is None or (page.after is None and page.before is None):
            return slices_of_pairs(fetch, pairs, documents, Counter(document["k"] for document in documents))
        counts = await self._read(name, query.count_by_child(fetch, pairs))
        children = keys_of(fetch.collection, pairs.column, [count["_id"] for count in counts])
        return slices_of_pairs(fetch, pairs, documents, dict(zip(children, (int(count["n"]) for count in counts), strict=True)))

    async def _aggregate(self, aggregate: Aggregate) -> Groups:
        collection, match = aggregate.collection, aggregate.match
        if match is not None and not match.keys:
            return {}
        with self._translated(self._timeout_s):
            documents = await self._read(collection.place, query.groups(aggregate))
        parents, rows = parents_of(aggregate, documents), group_rows(aggregate, documents)
        place_of = in_order_of(aggregate.group_columns)
        return joined(aggregate, grouped(sorted_anyhow(zip(parents, rows, strict=True), key=lambda item: place_of(item[1]))))

    async def _native(self, call: NativeCall) -> Groups:
        function = call.native.query(self.kind)
        if not call.keys:
            return {}
        with self._translated(self._timeout_s):
            documents = await self._read(*narrowed(call, function))
        columns = call.native.columns
        if any(len(document["r"]) != len(columns) for document in documents):
            raise StoreMisbehaved(f"native query {call.native.name} declares {len(columns)} columns, its pipeline gives another number")
        rows = decode(columns, [document["r"] for document in documents])
        return grouped(zip((document["k"] for document in documents), rows, strict=True))

    async def _read(self, collection: str, pipeline: query.Pipeline) -> list[Document]:
        """Return all documents of an aggregation, over the database where ``collection`` is empty. One command below 16 MiB."""
        note({"aggregate": collection or 1, "pipeline": pipeline})
        database = self._database()
        source = database[collection] if collection else database
        cursor = await _now(source.aggregate(pipeline, batchSize=ALL_IN_ONE_BATCH, maxTimeMS=int(self._timeout_s * 1000)))
        documents: list[Document] = await cursor.to_list(None)
        return documents

    # ----------------------------------------------------------------------------------------------------------- writes

    async def _upsert(self, upsert: Upsert) -> None:
        collection = upsert.collection
        with self._translated(WRITE_TIMEOUT_S, collection):
            documents = documents_of(collection, upsert.rows)
            if len(documents) > 1 and await self._transactions():
                await self._apart(self._all_or_nothing(collection, documents))
            else:
                await self._write(collection, replacements(collection, documents))

    async def _delete(self, delete: Delete) -> None:
        collection = delete.collection
        with self._translated(WRITE_TIMEOUT_S, collection):
            for start in range(0, len(delete.keys), WRITES_PER_COMMAND):
                await self._write(collection, deletions(collection, delete.keys[start : start + WRITES_PER_COMMAND]))

    async def _all_or_nothing(self, collection: Collection, documents: Sequence[Document]) -> None:
        # PERF: most calls bring new rows only, and 3,000 edges take 0.7 s inserted, 1.9 to 3.2 s replaced one by one (on the server that
        # stands in for MongoDB in tests; bulk_write of both in a transaction shows it again). The first row that is there ends the try.
        try:
            await self._in_transaction(collection, insertions(documents))
        except errors.BulkWriteError as exc:
            if duplicate_in(exc) is None:
                raise
            await self._in_transaction(collection, replacements(collection, documents))

    async def _in_transaction(self, collection: Collection, writes: Sequence[Any]) -> None:
        async with await _now(self._opened().start_session()) as session:
            await session.with_transaction(lambda session: self._write(collection, writes, session))

    async def _write(self, collection: Collection, writes: Sequence[Any], session: Any = None) -> None:
        target = self._database()[collection.place]
        for start in range(0, len(writes), WRITES_PER_COMMAND):
            await target.bulk_write(writes[start : start + WRITES_PER_COMMAND], ordered=session is not None, session=session)

    async def _apart(self, write: Coroutine[Any, Any, None]) -> None:
        """Run ``write`` so that a caller whose time is up goes at once: undoing a transaction takes a server that answers."""
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._done)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    def _done(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever still waits has it, and nobody else needs it

    async def _transactions(self) -> bool:
        if self._has_transactions is None:
            hello = await self._opened().admin.command("hello")
            self._has_transactions = "setName" in hello or hello.get("msg") == "isdbgrid"
        return self._has_transactions

    # -------------------------------------------------------------------------------------------------------- migration

    async def describe(self, collections: Sequence[Collection]) -> Description:
        with self._translated(self._timeout_s):
            # Of those that it may read: to see all takes a right that a reader of some need not have.
            names = await self._database().list_collection_names(authorizedCollections=True)
            return await described(self._read, lambda name: self._database()[name].index_information(), names, collections)

    def index_statement(self, collection: Collection, index: Index) -> str:
        return index_statement(collection, index)

    def _migrations(self) -> MongoMigrations:
        return MongoMigrations(self._database(), self._migrating)

    @contextmanager
    def _migrating(self, seconds: float = INDEX_TIMEOUT_S) -> Iterator[None]:
        with self._translated(seconds), pymongo.timeout(seconds):
            yield

    # --------------------------------------------------------------------------------------------------------- the rest

    def _opened(self) -> Any:
        if self._client is None:
            raise StoreUnavailable(self.name)
        return self._client

    def _database(self) -> Any:
        return self._opened().get_database(self._database_name, codec_options=_CODEC)

    @contextmanager
    def _translated(self, seconds: float, collection: Collection | None = None) -> Iterator[None]:
        """Raise what the gateway knows in place of what the driver raises."""
        try:
            yield
        except (errors.PyMongoError, bson.errors.BSONError, OverflowError, UnicodeEncodeError) as exc:
            raise translation(exc, self.name, seconds, collection) from exc


# ---------------------------------------------------------------------------------------------------------------- address


def _motor(name: str) -> Any:
    try:
        from motor.motor_asyncio import AsyncIOMotorClient
    except ImportError as exc:
        raise ConfigError(f"stores.{name}.url: mongodb+motor:// needs Motor: pip install 'crossgraph[motor]', or use mongodb://") from exc
    return AsyncIOMotorClient


def _database_and_options(url: str) -> tuple[str, set[str]]:
    """Return the database a URL names, and the options it sets, in lower case. By hand: urllib has no URLs of several hosts."""
    address, _, options = url.partition("://")[2].partition("?")
    path = unquote(address.partition("/")[2])
    return path.partition(".")[0] or DEFAULT_DATABASE, {option.lower() for option, _ in parse_qsl(options, keep_blank_values=True)}


def _driver_options(pool_size: int, connect_timeout_s: float, timeout_s: float) -> dict[str, Any]:
    return {
        "appname": "crossgraph",
        "maxPoolSize": pool_size,
        "waitQueueTimeoutMS": int(POOL_WAIT_S * 1000),
        "connectTimeoutMS": int(connect_timeout_s * 1000),
        "serverSelectionTimeoutMS": int(connect_timeout_s * 1000),
        "socketTimeoutMS": int(max(timeout_s, WRITE_TIMEOUT_S) * 1000),
        "w": "majority",
    }


async def _now(value: Any) -> Any:
    """Return what PyMongo has to be waited for and Motor gives at once, or the other way round."""
    return await value if inspect.isawaitable(value) else value
