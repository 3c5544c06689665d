"""Ask Neo4j: one open driver to one database, one statement per call.

A statement runs in a transaction of its own (auto-commit), which is one round trip: BEGIN and COMMIT would make it three.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

import neo4j
from neo4j import exceptions as driver_errors

from gateway.caches import Lru, weight_of_text
from gateway.errors import BadUserInput, ConfigError, StoreMisbehaved, StoreTimeout, StoreUnavailable
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
    Key,
    NativeCall,
    Request,
    Row,
    Rows,
    Slices,
    Upsert,
    Value,
    Where,
    note,
)
from gateway.stores.described import Description
from gateway.stores.measures import joined
from gateway.stores.neo4j.address import address_of
from gateway.stores.neo4j.aggregates import aggregate_decoders, aggregate_statement
from gateway.stores.neo4j.conditions import Parameters, split
from gateway.stores.neo4j.cypher import fetch_statement, get_statement
from gateway.stores.neo4j.described import described
from gateway.stores.neo4j.migrations import Neo4jMigrations, index_statement
from gateway.stores.neo4j.native import NativeText
from gateway.stores.neo4j.sources import CarefulSource, Source, quoted
from gateway.stores.neo4j.values import decode_rows, require_values, to_wire
from gateway.stores.neo4j.writes import delete_text, deleted, upsert_text, written
from gateway.stores.placeholders import prefix_of
from gateway.stores.reasons import Reason, unavailable
from gateway.stores.shared import conflict, grouped, in_order_of, pages
from gateway.stores.steps import MigratesBySteps
from gateway.stores.values import sorted_anyhow

WRITE_TIMEOUT_S = 30.0  # a load's batches are large
SCHEMA_TIMEOUT_S = 300.0  # an index of an old store takes its time
WRITE_ATTEMPTS = 5  # two writers that wait for each other's locks: one of them is told to try again
BROKEN_AT_ONCE_S = 0.25  # a connection that fails sooner than this was broken before the call
IDLE_CHECK_S = 10.0  # a connection idle for longer is asked whether it lives, before it is used
CONNECTION_LIFE_S = 1_800.0
CLOSE_TIMEOUT_S = 2.0
SOURCES_KEPT = 1_000
NATIVE_LIMIT_BYTES = 8 * 1024 * 1024
DELETED_AT_ONCE = 10_000

UNFIT = "A value cannot be kept in or compared with its column."
# In what the server says of such a value; the last of an end of a relationship that is the key of no node.
_UNFIT = ("cannot be parsed to a", "Invalid value for", "Invalid date", "too large to index", "Failed to create relationship")
_MINE = {
    kind: f"SHOW {plural} YIELD name, labelsOrTypes WHERE any(x IN labelsOrTypes WHERE x STARTS WITH $prefix) RETURN collect(name)"
    for kind, plural in (("CONSTRAINT", "CONSTRAINTS"), ("INDEX", "INDEXES"))
}
# Of a statement that met a value of a type that it cannot take.
_OF_TYPES = {"Neo.ClientError.Statement.TypeError", "Neo.ClientError.Statement.ArgumentError", "Neo.ClientError.Statement.SyntaxError"}


class Neo4jStore(MigratesBySteps):
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
        self.places = self._pool_size = pool_size
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._driver: neo4j.AsyncDriver | None = None
        self._bookmarks: Any = None
        self._source = lru_cache(maxsize=SOURCES_KEPT)(lambda collection: Source(self._address.prefix, collection))
        self._careful_source = lru_cache(maxsize=SOURCES_KEPT)(lambda collection: CarefulSource(self._address.prefix, collection))
        self._native_texts: Lru[Any, NativeText] = Lru(SOURCES_KEPT, NATIVE_LIMIT_BYTES)
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

    # ------------------------------------------------------------------------------------------------------------- reads

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._handlers[type(request)](request)

    async def _get(self, get: Get) -> Rows:
        source, found = await self._asked(get_statement, get)
        rows: dict[Key, Row] = dict(found)
        decode_rows(source.decoders(get.columns), rows.values())
        return rows

    async def _fetch(self, fetch: Fetch) -> Slices:
        source, records = await self._asked(fetch_statement, fetch)
        slices = pages({parent: rows for parent, rows, _ in records}, fetch.page)
        decoders = source.decoders(fetch.columns)
        for parent, _, total in records:
            part = slices[parent]
            decode_rows(decoders, part.rows)
            if fetch.count:
                slices[parent] = part._replace(total=len(part.rows) if fetch.page is None else total)
        return slices

    async def _aggregate(self, aggregate: Aggregate) -> Groups:
        source, records = await self._asked(aggregate_statement, aggregate)
        decode_rows(aggregate_decoders(source, aggregate), [row for _, row in records])
        in_order = in_order_of(aggregate.group_columns)
        return joined(aggregate, {parent: sorted_anyhow(rows, key=in_order) for parent, rows in grouped(records).items()})

    async def _native(self, call: NativeCall) -> Groups:
        text, parameters = self._native_text(call)
        records = await self._native_records(text, {**call.arguments, **parameters, "keys": list(call.keys)})
        answer = grouped((parent, row) for parent, *row in records)
        for rows in answer.values():
            to_wire(call.native.columns, rows)
        return answer

    def _native_text(self, call: NativeCall) -> tuple[NativeText, Parameters]:
        """Return the query's text, and the parameters of what it is narrowed by."""
        shapes: list[tuple[Collection, Where | None]] = []
        parameters: Parameters = {}
        for number, (collection, where) in enumerate(call.narrowings):
            shape, values = split(self._source(collection), where, prefix_of(number))
            shapes.append((collection, shape))
            parameters |= values
        key = (call.native, *shapes)
        text = self._native_texts.get(key)
        if text is None:
            text = NativeText(call.native, self._address.prefix, shapes)
            self._native_texts.put(key, text, weight_of_text(text.plain))
        return text, parameters

    async def _native_records(self, text: NativeText, parameters: Parameters) -> Sequence[Sequence[Value]]:
        if text.in_one is not None:
            return cast("Sequence[Sequence[Value]]", await self._read(text.in_one, parameters))
        names, records = await self._retried_read(text.plain, parameters)
        in_one = text.learn(names)
        if in_one is not None:
            try:
                await self._read(f"EXPLAIN {in_one}", parameters)
                text.in_one = in_one
            except StoreMisbehaved:
                pass  # what may stand alone may still not stand in a subquery (an unnamed column, say); then it stays as it is
        return records

    # ------------------------------------------------------------------------------------------------------------ writes

    async def _upsert(self, upsert: Upsert) -> None:
        if not upsert.rows:
            return
        require_values(upsert.collection, upsert.rows)
        rows = written(upsert.collection, upsert.rows)
        await self._write(upsert_text(self._source(upsert.collection)), {"rows": rows}, upsert.collection)

    async def _delete(self, delete: Delete) -> None:
        if delete.keys:
            source = self._source(delete.collection)
            await self._write(delete_text(source), {"keys": deleted(source, delete.keys)}, delete.collection)

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

    async def _asked(self, statement: Callable[[Source, Any], tuple[str, Parameters]], request: Any) -> tuple[Source, Any]:
        """The answer to a request, and what it was asked of. Where a managed collection has a value that its column's way to the wire
        cannot take, it is asked carefully.
        """
        source = self._source(request.collection)
        try:
            return source, await self._read(*statement(source, request))
        except StoreMisbehaved as exc:
            cause = exc.__cause__
            if source.is_careful or not isinstance(cause, driver_errors.Neo4jError) or cause.code not in _OF_TYPES:
                raise
        source = self._careful_source(request.collection)
        return source, await self._read(*statement(source, request))

    async def _read(self, text: str, parameters: Parameters) -> Any:
        """The one value of the one record."""
        _, records = await self._retried_read(text, parameters)
        return records[0][0] if records else None

    async def _retried_read(self, text: str, parameters: Parameters) -> tuple[Sequence[str], Sequence[Sequence[Value]]]:
        """The names of the columns, and the records. Once more where the pool had a connection that broke since it was last used."""
        note(text)
        started = time.monotonic()
        try:
            with self._translated(self._timeout_s):
                return await self._run(text, parameters, neo4j.READ_ACCESS, self._timeout_s)
        except StoreUnavailable:
            if time.monotonic() - started > BROKEN_AT_ONCE_S:
                raise
        with self._translated(self._timeout_s):
            return await self._run(text, parameters, neo4j.READ_ACCESS, self._timeout_s)

    async def _write(self, text: str, parameters: Parameters, collection: Collection) -> None:
        with self._translated(WRITE_TIMEOUT_S, collection):
            for attempt in range(1, WRITE_ATTEMPTS + 1):
                try:
                    await self._run(text, parameters, neo4j.WRITE_ACCESS, WRITE_TIMEOUT_S)
                except driver_errors.TransientError:  # rolled back, so nothing is done twice
                    if attempt == WRITE_ATTEMPTS:
                        raise
                    await asyncio.sleep(random.uniform(0.01, 0.05) * attempt)
                else:
                    return

    async def _schema(self, text: str, parameters: Parameters | None = None, *, timeout_s: float = SCHEMA_TIMEOUT_S) -> Any:
        with self._translated(timeout_s):
            _, records = await self._run(text, parameters or {}, neo4j.WRITE_ACCESS, timeout_s)
        return records[0][0] if records else None

    async def _run(
        self, text: str, parameters: Parameters, access: str, timeout_s: float
    ) -> tuple[Sequence[str], Sequence[Sequence[Value]]]:
        if self._driver is None:
            raise StoreUnavailable(self.name)
        query = neo4j.Query(text, timeout=timeout_s)
        # Leaving the session by cancellation cuts its connection: a half-read one never goes back to the pool.
        async with self._driver.session(
            database=self._address.database, default_access_mode=access, bookmark_manager=self._bookmarks
        ) as session:
            result = await session.run(query, parameters)
            records = [record async for record in result]
            return result.keys(), records

    @contextmanager
    def _translated(self, timeout_s: float, collection: Collection | None = None) -> Iterator[None]:
        try:
            yield
        except driver_errors.ConstraintError as exc:
            if collection is None:
                raise conflict(self.name, "a collection", ()) from exc
            raise conflict(self.name, collection.name, _unique_columns(collection, exc.message or "")) from exc
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

    def _of_the_server(self, error: driver_errors.Neo4jError, timeout_s: float) -> Exception:
        code = error.code or ""
        if "TransactionTimedOut" in code or "LockClientStopped" in code:
            return StoreTimeout(self.name, timeout_s)
        passing = (driver_errors.TransientError, driver_errors.AuthError)
        if isinstance(error, passing) or code.endswith(("DatabaseUnavailable", "DatabaseNotFound", "TransactionTerminated")):
            return unavailable(self.name, error, _reason_of(error, code))
        if any(words in (error.message or "") for words in _UNFIT):
            return BadUserInput(UNFIT, store=self.name)
        return StoreMisbehaved(f"store {self.name}: {code}: {error.message}")


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
