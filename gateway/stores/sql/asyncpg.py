"""Run statements on PostgreSQL: a pool of asyncpg connections, and what its errors mean.

Statements run on the raw driver, which keeps them prepared. PERF: 100 rows by key take 0.45 ms on loopback, of which tuples
instead of asyncpg's records are 0.01 ms; a record's ``in`` looks at names, so rows are tuples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson

from gateway.errors import BadUserInput, GatewayError, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import Row, Value
from gateway.stores.shared import conflict
from gateway.stores.sql.dialects import UNFIT
from gateway.stores.sql.pool import Pool

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

LOCK_TIMEOUT_S = 1.0
IDLE_IN_TRANSACTION_TIMEOUT_S = 10.0
WRITE_ATTEMPTS = 3
STATEMENTS_PREPARED = 256  # per connection, here and in the server
PREPARED_LIMIT_BYTES = 16 * 1024  # of a statement's text; longer ones are rarely asked twice
LOOK_TIMEOUT_S = 30.0  # of a statement over the catalogue, before and without a migration
RELEASE_TIMEOUT_S = 1.0  # for cancelling what a connection still does; then it is closed

# JIT costs more than it gives for statements that read a few hundred rows.
_SESSION = {
    "application_name": "crossgraph",
    "jit": "off",
    "timezone": "UTC",
    "datestyle": "ISO",
    "lock_timeout": f"{LOCK_TIMEOUT_S * 1000:.0f}",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT_S * 1000:.0f}",
}
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, UnicodeError, OverflowError)


class AsyncpgDriver:
    """Connections are made when first needed, so that the server may be away at any time."""

    def __init__(self, name: str, url: str, *, pool_size: int, connect_timeout_s: float, timeout_s: float) -> None:
        self._name = name
        self._dsn = "postgresql://" + url.partition("://")[2]
        self._pool_size = pool_size
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = timeout_s
        self._pool: Pool | None = None
        self._releases: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        if self._pool is not None:
            return
        self._pool = Pool(self._connect, self._pool_size)

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=self._connect_timeout_s,
            statement_cache_size=STATEMENTS_PREPARED,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=PREPARED_LIMIT_BYTES,
            server_settings={**_SESSION, "statement_timeout": f"{self._statement_timeout_s * 1000:.0f}"},
        )
        try:
            await _decode_json(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        await asyncio.gather(*self._releases, return_exceptions=True)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def ping(self) -> None:
        await self.fetch("SELECT 1", ())

    async def fetch(self, text: str, values: Sequence[Value]) -> Sequence[Row]:
        """Return the rows as asyncpg's records: slices of them are tuples."""
        pool = self._opened()
        try:
            connection = await pool.acquire()
            try:
                rows: list[Row] = await connection.fetch(text, *values)
            except BaseException as error:
                await self._give_back(pool, connection, error)
                raise
            pool.release(connection)
        except _FAILURES as error:
            raise self._translated(error) from error
        return rows

    async def write(self, text: str, calls: Sequence[Sequence[Value]]) -> None:
        """Execute the statement once for each of ``calls``, all or nothing.

        Two calls that insert the same new rows at once may meet in a unique index that ON CONFLICT does not name: one fails, or
        both wait for each other until the server ends one. Done again it is an update; a row that is really in the way fails again.
        """
        pool = self._opened()
        try:
            for attempt in range(1, WRITE_ATTEMPTS + 1):
                try:
                    return await self._write(pool, text, calls)
                except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
                    if attempt == WRITE_ATTEMPTS:
                        raise
        except _FAILURES as error:
            raise self._translated(error) from error

    async def _write(self, pool: Pool, text: str, calls: Sequence[Sequence[Value]]) -> None:
        connection = await pool.acquire()
        try:
            await _execute_all(connection, text, calls)
        except BaseException as error:
            await self._give_back(pool, connection, error)
            raise
        pool.release(connection)

    def migration_engine(self, lock_timeout_s: float = 0.0) -> AsyncEngine:  # noqa: ARG002 - the wait for the lock is the statement's
        """Return an engine whose one connection may wait for locks, and work, as long as a migration does."""
        return self._engine({})

    def looking_engine(self) -> AsyncEngine:
        """Return an engine whose transactions can change nothing."""
        return self._engine({"default_transaction_read_only": "on", "statement_timeout": f"{LOOK_TIMEOUT_S * 1000:.0f}"})

    def _engine(self, session: Mapping[str, str]) -> AsyncEngine:
        # Imported late: it brings SQLAlchemy's ORM along, a quarter of the time that this module takes to load.
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        async def connect() -> Any:
            return await asyncpg.connect(
                self._dsn,
                timeout=self._connect_timeout_s,
                server_settings={"application_name": "crossgraph migrate", "timezone": "UTC", **session},
            )

        return create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)

    def translated(self, error: BaseException) -> GatewayError | None:
        """Return the error of ours that ``error``, or what caused it, means; None when it is not the driver's."""
        while not isinstance(error, _FAILURES):
            if error.__cause__ is None:
                return None
            error = error.__cause__
        return self._translated(error)

    def _opened(self) -> Pool:
        if self._pool is None:
            raise StoreUnavailable(self._name)
        return self._pool

    async def _give_back(self, pool: Pool, connection: Any, error: BaseException) -> None:
        """Return a connection after ``error``. A cancelled caller does not wait for it: the server may be the reason."""
        task = asyncio.create_task(_release(pool, connection, error))
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)
        if not isinstance(error, asyncio.CancelledError):
            await asyncio.shield(task)

    def _translated(self, error: BaseException) -> GatewayError:
        if isinstance(error, asyncpg.UniqueViolationError):
            return conflict(self._name, error.table_name, _columns(error))
        if isinstance(error, asyncpg.QueryCanceledError):
            return StoreTimeout(self._name, self._statement_timeout_s)
        if isinstance(error, asyncpg.LockNotAvailableError):
            return StoreTimeout(self._name, LOCK_TIMEOUT_S)
        if isinstance(error, asyncpg.DataError | UnicodeError | OverflowError):
            return BadUserInput(UNFIT, store=self._name)
        state = getattr(error, "sqlstate", None) or ""
        if state[:2] in _BAD_DATA:
            return BadUserInput(UNFIT, store=self._name)
        if state[:2] == "42" and state not in _NOT_MIGRATED:
            return StoreMisbehaved(f"the store '{self._name}' refused a statement: {error}")
        return StoreUnavailable(self._name)


_BAD_DATA = ("22", "23", "54")  # data exception, integrity violation, program limit exceeded
_NOT_MIGRATED = ("42P01", "42703", "42501")  # undefined table, undefined column, insufficient privilege


async def _execute_all(connection: Any, text: str, calls: Sequence[Sequence[Value]]) -> None:
    if len(calls) == 1:  # a statement alone is a transaction of its own
        await connection.execute(text, *calls[0])
        return
    await connection.execute("BEGIN")
    for values in calls:
        await connection.execute(text, *values)
    await connection.execute("COMMIT")


async def _release(pool: Pool, connection: Any, error: BaseException) -> None:
    """End what the connection still does, within ``RELEASE_TIMEOUT_S``. One whose call was given up is closed: its answer may come yet."""
    try:
        async with asyncio.timeout(RELEASE_TIMEOUT_S):
            if isinstance(error, asyncio.CancelledError | TimeoutError):
                await connection.close()
            elif connection.is_in_transaction():
                await connection.execute("ROLLBACK")
    except (*_FAILURES, TimeoutError):
        connection.terminate()
    finally:
        pool.release(connection)


async def _decode_json(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=_encode_json, decoder=orjson.loads, schema="pg_catalog")


def _encode_json(value: Value) -> str:
    return orjson.dumps(value).decode()


def _columns(error: Any) -> list[str]:
    """Return the columns of a violated key or index: ``Key (email)=(ada@example.org) already exists.`` without the values."""
    detail = error.detail or ""
    start, end = detail.find("("), detail.find(")=")
    return detail[start + 1 : end].replace('"', "").split(", ") if 0 <= start < end else []
