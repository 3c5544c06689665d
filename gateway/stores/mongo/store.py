"""A store in MongoDB: one pool of PyMongo's asyncio client, or of Motor for those who still have it.

A collection of ours with a key of one column keeps it as ``_id``. One with a longer key (edges), or whose key is ``at`` another place, has
a unique index over it, and the ``_id`` that MongoDB makes. All other columns have their own names, or are where ``at`` says. What is
asked goes to the server as one aggregation, and as a second one at the end of rows in an order that MongoDB does not have (``order.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote

import pymongo
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient, errors

from gateway.errors import ConfigError, Conflict, Contended, StoreUnavailable
from gateway.stores.base import A, Claim, Collection, Delete, Handlers, Index, Request, Row, Upsert
from gateway.stores.described import Description
from gateway.stores.mongo import alone, changes
from gateway.stores.mongo.alone import LoneTransaction
from gateway.stores.mongo.calls import CODEC, WRITE_TIMEOUT_S, Calls, now
from gateway.stores.mongo.described import described
from gateway.stores.mongo.lines import Line, line_of
from gateway.stores.mongo.migrations import KIND, MongoMigrations, index_statement
from gateway.stores.mongo.reads import READS
from gateway.stores.mongo.refusals import Refusals, hosts_in
from gateway.stores.mongo.requests import IN_TRANSACTIONS, WRITES
from gateway.stores.mongo.transactions import MongoTransaction, Transactions
from gateway.stores.steps import MigratesBySteps

DEFAULT_DATABASE = "crossgraph"
POOL_WAIT_S = 1.0
INDEX_TIMEOUT_S = 600.0  # an index over a large collection takes its time
_T = TypeVar("_T")


class After(NamedTuple):
    """A time of the cluster: what has it, has all that was written before. ``cluster`` is the newest time, as the cluster signed it."""

    time: Timestamp
    cluster: Mapping[str, Any]


class MongoStore(MigratesBySteps):
    """See ``gateway.stores.base.Store``. URLs: ``mongodb://``, ``mongodb+srv://`` and, for Motor, ``mongodb+motor://``.

    Options in the URL win over the arguments and defaults here. Writes are acknowledged by a majority. What is of several documents is
    one transaction where the server has them (replica sets, sharded clusters). A lone server refuses it (AbilityMissing), but for an
    Upsert and a Delete: a failure may leave some of their rows written. A transaction is of one document there (``alone.py``).
    """

    kind = KIND
    enforces_types = False

    def __init__(self, name: str, url: str, *, pool_size: int = 20, connect_timeout_s: float = 2.0, timeout_s: float = 3.0) -> None:
        self.name = name
        self._client_class: Any = _motor(name) if url.startswith("mongodb+motor:") else AsyncMongoClient
        self._url = url.replace("mongodb+motor:", "mongodb:", 1)
        self._database_name, told = _database_of(self._url), options_of(self._url)
        self._timeout_s = timeout_s
        self.places = pool_size
        options = _driver_options(pool_size, connect_timeout_s, timeout_s)
        self._options: dict[str, Any] = {option: value for option, value in options.items() if option.lower() not in told}
        self._refusals = Refusals(hosts_in(self._url))
        self._options["event_listeners"] = [self._refusals]
        self._client: Any = None  # PyMongo's or Motor's: the same methods, but for what now() evens out
        self._calls = Calls(name, self._database, timeout_s)
        self._transactions = Transactions(self._calls, self._opened, self._answered, self._guarded)
        self._handlers = Handlers((type_, partial(read, self._calls)) for type_, read in READS.items())
        self._handlers.update({Upsert: self._upsert, Delete: self._delete})
        self._handlers.update((type_, self._write) for type_ in WRITES)
        self._handlers[Claim] = self._claim

    async def open(self) -> None:
        # Here and not in __init__: a client belongs to the loop it was made in. It connects with the first call.
        try:
            self._client = self._client_class(self._url, **self._options)
        except (errors.PyMongoError, ValueError, TypeError) as exc:
            raise ConfigError(f"stores.{self.name}.url: expected a MongoDB URL: {exc}") from exc

    async def ping(self) -> None:
        await self._unless_refused(self._ping())

    async def _ping(self) -> None:
        with self._calls.translated(self._timeout_s):
            await self._opened().admin.command("ping")

    async def close(self) -> None:
        await self._refusals.close()
        client, self._client = self._client, None
        self._transactions.close()
        if client is not None:
            await now(client.close())

    @property
    def has_lines(self) -> bool:
        return True

    @asynccontextmanager
    async def line(self, channel: str, tables: Sequence[str], hear: Callable[[], None]) -> AsyncIterator[Line]:  # noqa: ARG002 - it has none
        """Give a change stream of these collections, which another client reads; AbilityMissing where the server has none."""
        client = self._client_class(self._url, **self._options | {"maxPoolSize": 1, "event_listeners": []})
        database = partial(client.get_database, self._database_name, codec_options=CODEC)
        async with line_of(client, Calls(self.name, database, self._timeout_s), tables, hear) as line:
            yield line

    # ------------------------------------------------------------------------------------------------------------ reads

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._guarded(self._handlers[type(request)](request))

    def read(self, request: Request[A], preference: Any, after: After | None) -> Coroutine[Any, Any, A]:
        """Return the answer to a read from a server of this preference, which has what was written by then."""
        return self._guarded(self._read(request, preference, after))

    async def _read(self, request: Request[Any], preference: Any, after: After | None) -> Any:
        calls = Calls(self.name, lambda: self._database().with_options(read_preference=preference), self._timeout_s)
        if after is None:
            return await READS[type(request)](calls, request)
        async with self._session() as session:
            session.advance_cluster_time(after.cluster)
            session.advance_operation_time(after.time)
            return await READS[type(request)](calls.of(session), request)

    async def time(self) -> After | None:
        """Return the time of the cluster behind all that the primary has now; None where a server tells none, as one that stands alone."""
        return await self._guarded(self._time())

    async def _time(self) -> After | None:
        with self._calls.translated(self._timeout_s):
            async with self._session() as session:
                await self._opened().admin.command("ping", session=session)
                if session.operation_time is None or session.cluster_time is None:
                    return None
                return After(session.operation_time, session.cluster_time)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Any]:
        session = await now(self._opened().start_session(causal_consistency=True))
        try:
            yield session
        finally:
            await now(session.end_session())

    def members(self) -> Mapping[Any, Any]:
        """Return the servers that the driver knows, by their addresses."""
        return {} if self._client is None else self._client.topology_description.server_descriptions()

    def _answered(self, calls: Calls, request: Request[Any]) -> Coroutine[Any, Any, Any]:
        """Return the answer to a request as part of a transaction."""
        self._handlers[type(request)]  # it knows what to say of a type that there is not
        return IN_TRANSACTIONS[type(request)](calls, request)

    def _guarded(self, call: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        return call if self._refusals.is_known else self._unless_refused(call)

    def _unless_refused(self, call: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        return self._refusals.unless_refused(self.name, call, self._ping)

    # ----------------------------------------------------------------------------------------------------------- writes

    def transaction(self) -> AbstractAsyncContextManager[MongoTransaction | LoneTransaction]:
        return self._transactions.given()

    async def unpack(self, collections: Sequence[Collection]) -> int:
        """See ``base.Carries``."""
        return await self._transactions.unpack(collections)

    async def can_transact(self) -> bool:
        return await self._guarded(self._transactions.are_there())

    async def _claim(self, request: Claim) -> Sequence[Row]:
        return await self._write(request) if await self._transactions.are_there() else await alone.claim(self._calls, request)

    async def _write(self, request: Request[Any]) -> Any:
        answer, of_one = WRITES[type(request)]
        asked = f"{request.operation} of {request.about}"
        return await self._transactions.alone(asked, lambda calls: answer(calls, request), of_one=of_one(request))

    async def _upsert(self, request: Upsert) -> None:
        if not request.rows:
            return None
        if not await self._transactions.are_there():
            await self._transactions.unpack_all(request.collection)  # what they carry is not replaced with them
            return await changes.upsert(self._calls, request)
        if len(request.rows) < 2:
            return await changes.upsert(self._calls, request)
        # PERF: most calls bring new rows only, and 3,000 edges take 0.7 s inserted, 1.9 to 3.2 s replaced one by one (on the server that
        # stands in for MongoDB in tests; bulk_write of both in a transaction shows it again). The first row that is there ends the try.
        if changes.has_unique_key(request.collection):
            try:
                return await self._in_transaction(changes.insert_all, request)
            except Contended:
                raise
            except Conflict:
                pass
        return await self._in_transaction(changes.upsert, request)

    async def _delete(self, request: Delete) -> None:
        if not request.keys:
            return None
        if not await self._transactions.are_there():
            await self._transactions.unpack_all(request.collection)
            return await changes.delete(self._calls, request)
        if len(request.keys) < 2:
            return await changes.delete(self._calls, request)
        return await self._in_transaction(changes.delete, request)

    async def _in_transaction(self, answer: Callable[[Calls, Any], Awaitable[None]], request: Upsert | Delete) -> None:
        asked = f"{request.operation} of {request.about}"
        await self._transactions.alone(asked, lambda calls: answer(calls, request), of_one=False)

    # -------------------------------------------------------------------------------------------------------- migration

    async def describe(self, collections: Sequence[Collection]) -> Description:
        with self._calls.translated(self._timeout_s):
            # Of those that it may read: to see all takes a right that a reader of some need not have.
            names = await self._database().list_collection_names(authorizedCollections=True)
            return await described(self._calls.aggregate, lambda name: self._database()[name].index_information(), names, collections)

    def index_statement(self, collection: Collection, index: Index) -> str:
        return index_statement(collection, index)

    def _migrations(self) -> MongoMigrations:
        return MongoMigrations(self._database(), self._migrating)

    @contextmanager
    def _migrating(self, seconds: float = INDEX_TIMEOUT_S) -> Iterator[None]:
        with self._calls.translated(seconds), pymongo.timeout(seconds):
            yield

    # --------------------------------------------------------------------------------------------------------- the rest

    def _opened(self) -> Any:
        if self._client is None:
            raise StoreUnavailable(self.name)
        return self._client

    def _database(self) -> Any:
        return self._opened().get_database(self._database_name, codec_options=CODEC)


# ---------------------------------------------------------------------------------------------------------------- address


def _motor(name: str) -> Any:
    try:
        from motor.motor_asyncio import AsyncIOMotorClient
    except ImportError as exc:
        raise ConfigError(f"stores.{name}.url: mongodb+motor:// needs Motor: pip install 'crossgraph[motor]', or use mongodb://") from exc
    return AsyncIOMotorClient


def _database_of(url: str) -> str:
    """Return the database a URL names. By hand: urllib has no URLs of several hosts."""
    path = unquote(url.partition("://")[2].partition("?")[0].partition("/")[2])
    return path.partition(".")[0] or DEFAULT_DATABASE


def options_of(url: str) -> dict[str, str]:
    """Return the options a URL sets, by their names in lower case."""
    return {option.lower(): value for option, value in parse_qsl(url.partition("?")[2], keep_blank_values=True)}


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
