"""Ask Neo4j: one open driver to one database, one statement per call.

A statement runs in a transaction of its own (auto-commit), which is one round trip: BEGIN and COMMIT make it three, for several as one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import neo4j
from neo4j import exceptions as driver_errors

from gateway.errors import BadUserInput, ConfigError, Conflict, Contended, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import A, Changed, Collection, Get, Index, Insert, Lock, Request, Row, Rows, Together, Update, Value, note
from gateway.stores.described import Description
from gateway.stores.neo4j.address import address_of
from gateway.stores.neo4j.answers import Answers, Names
from gateway.stores.neo4j.changes import is_one_statement, sets_ends
from gateway.stores.neo4j.conditions import Parameters
from gateway.stores.neo4j.described import described
from gateway.stores.neo4j.migrations import Neo4jMigrations, index_statement
from gateway.stores.neo4j.sources import quoted
from gateway.stores.neo4j.transactions import BROKEN_AT_ONCE_S, Neo4jTransaction
from gateway.stores.reasons import Reason, unavailable
from gateway.stores.shared import conflict
from gateway.stores.steps import MigratesBySteps

WRITE_TIMEOUT_S = 30.0  # a load's batches are large
SCHEMA_TIMEOUT_S = 300.0  # an index of an old store takes its time
WRITE_ATTEMPTS = 5  # two writers that wait for each other's locks: one of them is told to try again
IDLE_CHECK_S = 10.0  # a connection idle for longer is asked whether it lives, before it is used
CONNECTION_LIFE_S = 1_800.0
CLOSE_TIMEOUT_S = 2.0
DELETED_AT_ONCE = 10_000

UNFIT = "A value cannot be kept in or compared with its column."
# In what the server says of such a value; the last of an end of a relationship that is the key of no node.
_UNFIT = ("cannot be parsed to a", "Invalid value for", "Invalid date", "too large to index", "Failed to create relationship")
_MINE = {
    kind: f"SHOW {plural} YIELD name, labelsOrTypes WHERE any(x IN labelsOrTypes WHERE x STARTS WITH $prefix) RETURN collect(name)"
    for kind, plural in (("CONSTRAINT", "CONSTRAINTS"), ("INDEX", "INDEXES"))
}
# In the codes of errors of a transaction that others stood in the way of: it was rolled back, or what it had found is gone.
_OF_OTHERS = ("DeadlockDetected", "LockAcquisitionTimeout", "Outdated", "Statement.EntityNotFound")
_HAS_RELATIONSHIPS = "still has relationships"  # in what the server says of a deleted node of which others made one in between


class Neo4jStore(Answers, MigratesBySteps):
    """A store in one database of a Neo4j server or cluster.

    ``neo4j://user:password@host:port/database?prefix=x_``; also ``bolt://`` and the encrypted ``+s`` and ``+ssc``. ``prefix``
    stands before every label, relationship type, index and constraint, for the Community edition has one database only.
    Other parameters of a ``neo4j://`` URL are the driver's routing context.
    """

    kind = "neo4j"
    enforces_types = False

    def __init__(self, name: str, url: str, *, pool_size: int = 20, connect_timeout_s: float = 2.0, timeout_s: float = 3.0) -> None:
        self.name = name
        self._address = address_of(name, url)
        super().__init__(Names(self._address.prefix))
        self.places = self._pool_size = pool_size
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._driver: neo4j.AsyncDriver | None = None
        self._bookmarks: Any = None
        self.reads_at_leader = False  # where what may be read elsewhere has its own way (``replicas.py``)

    # -------------------------------------------------------------------------------------------------------------- life

    async def open(self) -> None:
        # Connects when first asked. Retries are ours: the driver's would go on for longer than a caller waits.
        self._driver = neo4j.AsyncGraphDatabase.driver(
            self._address.uri,
            auth=self._address.auth,
            max_connection_pool_size=self._pool_size,
            connection_timeout=self._connect_timeout_s,
            connection_write_timeout=self._connect_timeout_s,
            connection_acquisition_timeout=self._connect_timeout_s,
            max_transaction_retry_time=0,
            max_connection_lifetime=CONNECTION_LIFE_S,
            liveness_check_timeout=IDLE_CHECK_S,
            keep_alive=True,
            fetch_size=-1,
            notifications_min_severity="OFF",
            telemetry_disabled=True,
        )
        # In a cluster a read may go to another server than the write before it; bookmarks make it wait for that write.
        clustered = self._address.uri.startswith("neo4j")
        self._bookmarks = neo4j.AsyncGraphDatabase.bookmark_manager() if clustered else None

    async def ping(self) -> None:
        await self._read("RETURN 1", {})

    async def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):  # it says goodbye to a server that may not listen
                await driver.close()
        except (TimeoutError, OSError, driver_errors.DriverError, driver_errors.Neo4jError):
            return  # what was not closed in order has been cut off

    # --------------------------------------------------------------------------------------------- in more than a statement

    async def _insert(self, insert: Insert) -> Sequence[Row]:
        if is_one_statement(self._names.source(insert.collection)):
            return await super()._insert(insert)
        return await self._alone(insert)

    async def _together(self, together: Together) -> None:
        await self._alone(together)

    async def _update(self, update: Update) -> Changed | None:
        return await (self._alone(update) if sets_ends(update) else super()._update(update))

    async def _lock(self, lock: Lock) -> Rows:
        collection = lock.collection
        return await self._get(Get(collection, collection.names, lock.keys, collection.key_name, lock.where))

    # ------------------------------------------------------------------------------------------------------ transactions

    async def can_transact(self) -> bool:
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Neo4jTransaction]:
        transaction = Neo4jTransaction(self, self._names)
        try:
            yield transaction
        except Exception:
            await transaction.roll_back()
            raise
        except BaseException:  # whoever is cancelled does not wait
            await transaction.cut()
            raise
        await transaction.commit()

    async def _alone(self, request: Request[A]) -> A:
        """Return the answer to what is more than one statement, in a transaction of its own."""
        for attempt in range(1, WRITE_ATTEMPTS):
            try:
                async with self.transaction() as transaction:
                    return await transaction.answer(request)
            except Contended:
                await _pause(attempt)
        async with self.transaction() as transaction:
            return await transaction.answer(request)

    # ------------------------------------------------------------------------------------------------------------ schema

    async def describe(self, collections: Sequence[Collection]) -> Description:
        return await described(self._read, self._address.prefix, collections)

    def index_statement(self, collection: Collection, index: Index) -> str | None:
        return index_statement(self._address.prefix, collection, index)

    def _migrations(self) -> Neo4jMigrations:
        return Neo4jMigrations(self._schema, self._address.prefix)

    async def drop_everything(self) -> None:
        """Remove all nodes, relationships, indexes and constraints with this store's prefix. Refuses to do so without one."""
        prefix = self._address.prefix
        if not prefix:
            raise ConfigError(f"store {self.name}: drop_everything needs a URL with ?prefix=, for it would empty the database")
        for kind in ("CONSTRAINT", "INDEX"):  # in this order: a constraint takes its index along
            for rule in await self._schema(_MINE[kind], {"prefix": prefix}):
                await self._schema(f"DROP {kind} {quoted(rule)} IF EXISTS")
        labels = "CALL db.labels() YIELD label WHERE label STARTS WITH $prefix RETURN collect(label)"
        for label in await self._schema(labels, {"prefix": prefix}):
            delete = f"MATCH (n:{quoted(label)}) WITH n LIMIT {DELETED_AT_ONCE} DETACH DELETE n RETURN count(n)"
            while await self._schema(delete):
                pass

    # -------------------------------------------------------------------------------------------------------- statements

    async def _records(self, text: str, parameters: Parameters) -> tuple[Sequence[str], Sequence[Sequence[Value]]]:
        return await self.read(text, parameters, neo4j.WRITE_ACCESS if self.reads_at_leader else neo4j.READ_ACCESS)

    async def read(
        self, text: str, parameters: Parameters, access: str, seen: neo4j.Bookmarks | None = None
    ) -> tuple[Sequence[str], Sequence[Sequence[Value]]]:
        """The names of the columns, and the records. Once more where the pool had a connection that broke since it was last used."""
        note(text)
        started = time.monotonic()
        try:
            with self.translated(self._timeout_s):
                return await self._run(text, parameters, access, self._timeout_s, seen)
        except StoreUnavailable:
            if time.monotonic() - started > BROKEN_AT_ONCE_S:
                raise
        with self.translated(self._timeout_s):
            return await self._run(text, parameters, access, self._timeout_s, seen)

    @property
    def names(self) -> Names:
        return self._names

    async def bookmarks(self) -> frozenset[str]:
        """Return the bookmarks of all that this process has written and read; none over bolt://, where there is one server."""
        return frozenset() if self._bookmarks is None else frozenset(await self._bookmarks.get_bookmarks())

    async def _changed(self, text: str, parameters: Parameters, collections: Sequence[Collection]) -> Any:
        note(text)
        with self.translated(WRITE_TIMEOUT_S, collections):
            for attempt in range(1, WRITE_ATTEMPTS):
                try:
                    return await self._written(text, parameters)
                except driver_errors.Neo4jError as exc:  # rolled back, so nothing is done twice
                    if not isinstance(exc, driver_errors.TransientError) and not (exc.code or "").endswith(_OF_OTHERS):
                        raise
                    await _pause(attempt)
            return await self._written(text, parameters)

    async def _written(self, text: str, parameters: Parameters) -> Any:
        _, records = await self._run(text, parameters, neo4j.WRITE_ACCESS, WRITE_TIMEOUT_S)
        return records[0][0] if records else None

    async def _schema(self, text: str, parameters: Parameters | None = None, *, timeout_s: float = SCHEMA_TIMEOUT_S) -> Any:
        with self.translated(timeout_s):
            _, records = await self._run(text, parameters or {}, neo4j.WRITE_ACCESS, timeout_s)
        return records[0][0] if records else None

    async def _run(
        self, text: str, parameters: Parameters, access: str, timeout_s: float, seen: neo4j.Bookmarks | None = None
    ) -> tuple[Sequence[str], Sequence[Sequence[Value]]]:
        query = neo4j.Query(text, timeout=timeout_s)
        # Leaving the session by cancellation cuts its connection: a half-read one never goes back to the pool.
        async with self.session(access, seen) as session:
            result = await session.run(query, parameters)
            records = [record async for record in result]
            return result.keys(), records

    def session(self, access: str, seen: neo4j.Bookmarks | None = None) -> neo4j.AsyncSession:
        if self._driver is None:
            raise StoreUnavailable(self.name)
        return self._driver.session(
            database=self._address.database, default_access_mode=access, bookmark_manager=self._bookmarks, bookmarks=seen
        )

    @contextmanager
    def translated(self, timeout_s: float, collections: Sequence[Collection] = ()) -> Iterator[None]:
        try:
            yield
        except driver_errors.ConstraintError as exc:
            raise self._conflict(exc.message or "", collections) from exc
        except driver_errors.Neo4jError as exc:
            raise self._of_the_server(exc, timeout_s) from exc
        except (
            driver_errors.ServiceUnavailable,
            driver_errors.SessionExpired,
            driver_errors.ConnectionPoolError,
            driver_errors.ConfigurationError,
            OSError,
        ) as exc:
            raise unavailable(self.name, exc) from exc
        except (OverflowError, UnicodeEncodeError) as exc:  # more than 64 bits, half of a surrogate pair: nothing was sent
            raise BadUserInput(UNFIT, store=self.name) from exc
        except driver_errors.DriverError as exc:
            raise StoreMisbehaved(f"store {self.name}: {exc}") from exc

    def _conflict(self, message: str, collections: Sequence[Collection]) -> Conflict:
        """Return the error of a value that is taken, as the message of its constraint tells it."""
        if _HAS_RELATIONSHIPS in message:
            return Contended(self.name)
        if not collections:
            return conflict(self.name, "a collection", ())
        collection = next((one for one in collections if f"`{self._names.source(one).label}`" in message), collections[0])
        return conflict(self.name, collection.name, _unique_columns(collection, message))

    def _of_the_server(self, error: driver_errors.Neo4jError, timeout_s: float) -> Exception:
        code = error.code or ""
        if "TransactionTimedOut" in code or "LockClientStopped" in code:
            return StoreTimeout(self.name, timeout_s)
        if code.endswith(_OF_OTHERS):
            return Contended(self.name)
        passing = (driver_errors.TransientError, driver_errors.AuthError)
        if isinstance(error, passing) or code.endswith(("DatabaseUnavailable", "DatabaseNotFound", "TransactionTerminated")):
            return unavailable(self.name, error, _reason_of(error, code))
        if any(words in (error.message or "") for words in _UNFIT):
            return BadUserInput(UNFIT, store=self.name)
        return StoreMisbehaved(f"store {self.name}: {code}: {error.message}")


async def _pause(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0.01, 0.05) * attempt)


def _reason_of(error: driver_errors.Neo4jError, code: str) -> Reason | None:
    if isinstance(error, driver_errors.AuthError):
        return Reason.NO_RIGHT if isinstance(error, driver_errors.Forbidden) else Reason.PASSWORD
    if code.endswith("DatabaseNotFound"):
        return Reason.NO_DATABASE
    return Reason.STARTING if code.endswith("DatabaseUnavailable") else None


def _unique_columns(collection: Collection, message: str) -> Sequence[str]:
    """Return the columns of the constraint that a message tells of: ``… and property `code` = 'x'``, ``… and properties `a` = …``."""
    known = [index.columns for index in collection.indexes if index.unique] + [collection.key]
    told = [columns for columns in known if all(f"`{collection[name].path}` = " in message for name in columns)]
    return max(told, key=len, default=())
