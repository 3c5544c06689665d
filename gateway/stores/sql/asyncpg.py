"""Run statements on PostgreSQL: a pool of asyncpg connections, and what its errors mean.

Statements run on the raw driver, which keeps them prepared. PERF: 100 rows by key take 0.45 ms on loopback, of which tuples
instead of asyncpg's records are 0.01 ms; a record's ``in`` looks at names, so rows are tuples.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import orjson
from sqlalchemy import event

from gateway.errors import BadUserInput, ConfigError, Contended, GatewayError, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import Row, Value, note
from gateway.stores.reasons import Reason, unavailable
from gateway.stores.shared import conflict
from gateway.stores.sql.changes import Work
from gateway.stores.sql.dialects import UNFIT
from gateway.stores.sql.lines import FAILURES, Line, line_of
from gateway.stores.sql.pool import Pool

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")

LOCK_TIMEOUT_S = 1.5  # longer than the 1 s after which a server looks for deadlocks, so that one is told as what it is
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
# What a pooler in transaction mode takes for a session: it keeps these for each of its clients, and refuses the others. The server's own
# guards are those of its user then (ALTER ROLE … SET statement_timeout = '3s'); the gateway's own limit of each call stands.
_POOLED = {name: _SESSION[name] for name in ("application_name", "timezone", "datestyle")}
_FAILURES = FAILURES


class AsyncpgDriver:
    """Connections are made when first needed, so that the server may be away at any time."""

    def __init__(self, name: str, url: str, *, pool_size: int, connect_timeout_s: float, timeout_s: float) -> None:
        self._name = name
        address, self.prepares = _without_prepared(name, url.partition("://")[2])
        self._dsn = f"postgresql://{address}"
        self._pool_size = pool_size
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = timeout_s
        self._pool: Pool | None = None
        self._releases: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        if self._pool is not None:
            return
        self._pool = Pool(self.connect, self._pool_size, is_full=_takes_no_more)

    async def connect(self) -> Any:
        """Return a new connection, which whoever has it closes."""
        connection = await asyncpg.connect(
            self._dsn,
            timeout=self._connect_timeout_s,
            statement_cache_size=STATEMENTS_PREPARED if self.prepares else 0,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=PREPARED_LIMIT_BYTES,
            server_settings={**_SESSION, "statement_timeout": f"{self._statement_timeout_s * 1000:.0f}"} if self.prepares else _POOLED,
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

    async def run(self, work: Work[T]) -> T:
        """Return what comes of ``work``, all of it or nothing."""
        if not work.is_one:
            async with self.transaction() as session:
                return await session.run(work)
        pool = self._opened()
        try:
            connection = await pool.acquire()
            try:
                answer = await _run(connection, work)
            except BaseException as error:
                await self._give_back(pool, connection, error)
                raise
            pool.release(connection)
        except _FAILURES as error:
            raise self._translated(error) from error
        return answer

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Give what runs statements in one transaction, on a connection of the pool that nobody else has until it ends."""
        pool = self._opened()
        try:
            connection = await pool.acquire()
        except _FAILURES as error:
            raise self._translated(error) from error
        session = Session(connection, self._translated)
        try:
            await session.begin()
            yield session
            await session.commit()
        except BaseException as error:
            await self._give_back(pool, connection, error, is_usable=session.is_usable and not isinstance(error, asyncio.CancelledError))
            raise
        pool.release(connection)

    def migration_engine(self, lock_timeout_s: float = 0.0) -> AsyncEngine:  # noqa: ARG002 - the wait for the lock is the statement's
        """Return an engine whose one connection may wait for locks, and work, as long as a migration does."""
        return self._engine()

    def looking_engine(self) -> AsyncEngine:
        """Return an engine whose transactions can change nothing."""
        # For the transaction and not the session, which a pooler may keep for others.
        return self._engine("SET TRANSACTION READ ONLY", f"SET LOCAL statement_timeout = {LOOK_TIMEOUT_S * 1000:.0f}")

    def _engine(self, *first: str) -> AsyncEngine:
        """Return an engine each of whose transactions begins with the statements ``first``."""
        # Imported late: it brings SQLAlchemy's ORM along, a quarter of the time that this module takes to load.
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        async def connect() -> Any:
            return await asyncpg.connect(
                self._dsn,
                timeout=self._connect_timeout_s,
                server_settings={"application_name": "crossgraph migrate", "timezone": "UTC"},
                statement_cache_size=STATEMENTS_PREPARED if self.prepares else 0,
            )

        engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            for statement in first:
                connection.exec_driver_sql(statement)

        return engine

    def line(self, channel: str, hear: Callable[[], None]) -> AbstractAsyncContextManager[Line]:
        """Give a connection of its own that listens on the channel. A pooler in transaction mode has none: StoreUnavailable."""
        if not self.prepares:
            raise StoreUnavailable(self._name)
        return line_of(self._dsn, channel, hear, timeout_s=self._connect_timeout_s, translated=self._translated)

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

    async def _give_back(self, pool: Pool, connection: Any, error: BaseException, *, is_usable: bool | None = None) -> None:
        """Return a connection after ``error``. A cancelled caller does not wait for it: the server may be the reason.

        Only after an error that the server told is it used again. The driver's own errors, between what it sends, may leave the
        connection in a state that nobody sees.
        """
        if is_usable is None:
            is_usable = isinstance(error, asyncpg.PostgresError)
        task = asyncio.create_task(_release(pool, connection, is_usable=is_usable))
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)
        if not isinstance(error, asyncio.CancelledError):
            await asyncio.shield(task)

    def _translated(self, error: BaseException) -> GatewayError:
        if isinstance(error, asyncpg.UniqueViolationError):
            return conflict(self._name, error.table_name, _columns(error))
        if isinstance(error, asyncpg.SerializationError | asyncpg.DeadlockDetectedError):
            return Contended(self._name)
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
        reason = Reason.LOST if isinstance(error, asyncpg.InternalClientError) else _REASONS.get(state)  # its connection ended meanwhile
        return unavailable(self._name, error, reason)


class Session:
    """What is run in a transaction, by its one user, one thing after the other."""

    def __init__(self, connection: Any, translated: Callable[[BaseException], GatewayError]) -> None:
        self._connection = connection
        self._translated = translated
        self.is_usable = True  # the connection, after whatever happened on it

    async def begin(self) -> None:
        await self._told(self._connection.execute("BEGIN"))

    async def commit(self) -> None:
        """Commit. An error that does not say that nothing was done leaves that open."""
        try:
            await self._told(self._connection.execute("COMMIT"))
        except GatewayError as error:
            cause = error.__cause__
            state = getattr(cause, "sqlstate", None) or ""
            if isinstance(cause, asyncpg.PostgresError) and state[:2] in _NOT_COMMITTED and state != _NOBODY_KNOWS:
                raise
            self.is_usable = False
            unknown = StoreUnavailable(error.extensions["store"])
            unknown.extensions["committed"] = "unknown"
            raise unknown from cause

    async def fetch(self, text: str, values: Sequence[Value]) -> Sequence[Row]:
        rows: list[Row] = await self._told(self._connection.fetch(text, *values))
        return rows

    async def write(self, text: str, calls: Sequence[Sequence[Value]]) -> None:
        for values in calls:
            await self._told(self._connection.execute(text, *values))

    async def run(self, work: Work[T]) -> T:
        return await self._told(_run(self._connection, work))

    async def _told(self, answer: Awaitable[T]) -> T:
        """Return an answer, or raise what its error means."""
        try:
            return await answer
        except BaseException as error:
            if not isinstance(error, asyncpg.PostgresError):
                self.is_usable = False
            if isinstance(error, _FAILURES):
                raise self._translated(error) from error
            raise


_REASONS = {
    **dict.fromkeys(("08000", "08003", "08006"), Reason.LOST),
    "28P01": Reason.PASSWORD,
    "28000": Reason.PASSWORD,
    "3D000": Reason.NO_DATABASE,
    "3F000": Reason.NO_TABLE,
    "42P01": Reason.NO_TABLE,
    "42703": Reason.NO_TABLE,
    "42501": Reason.NO_RIGHT,
    "25006": Reason.READ_ONLY,
    "53100": Reason.DISK_FULL,
    "53300": Reason.TOO_MANY,
    "57P03": Reason.STARTING,
    "57P01": Reason.LOST,
    "57P02": Reason.LOST,
}
_BAD_DATA = ("22", "23", "54")  # data exception, integrity violation, program limit exceeded
_NOT_COMMITTED = ("23", "40")  # integrity violation, transaction rollback: out of a COMMIT they say that nothing was done
_NOBODY_KNOWS = "40003"  # statement completion unknown
_NOT_MIGRATED = ("42P01", "42703", "42501")  # undefined table, undefined column, insufficient privilege


def _without_prepared(name: str, address: str) -> tuple[str, bool]:
    """Return an address without ``prepared=on|off``, and whether statements are prepared: not behind a pooler in transaction mode, which
    gives each transaction a server connection that may not have them.
    """
    place, _, query = address.partition("?")
    rest = [part for part in query.split("&") if part and not part.startswith("prepared=")]
    said = {part.removeprefix("prepared=") for part in query.split("&") if part.startswith("prepared=")}
    if not said <= {"on", "off"} or len(said) > 1:
        raise ConfigError(f"stores.{name}.url: expected prepared=on or prepared=off, got prepared={', '.join(sorted(said))}")
    return f"{place}?{'&'.join(rest)}" if rest else place, "off" not in said


def _takes_no_more(error: BaseException) -> bool:
    return isinstance(error, asyncpg.TooManyConnectionsError)


async def _execute_all(connection: Any, text: str, calls: Sequence[Sequence[Value]]) -> None:
    if len(calls) == 1:  # a statement alone is a transaction of its own
        await connection.execute(text, *calls[0])
        return
    await connection.execute("BEGIN")
    for values in calls:
        await connection.execute(text, *values)
    await connection.execute("COMMIT")


async def _run(connection: Any, work: Work[T]) -> T:
    try:
        text, values = next(work.steps)
        while True:
            note(text)
            text, values = work.steps.send(await connection.fetch(text, *values))
    except StopIteration as end:
        answer: T = end.value
        return answer


async def _release(pool: Pool, connection: Any, *, is_usable: bool) -> None:
    """End what the connection still does, within ``RELEASE_TIMEOUT_S``."""
    try:
        async with asyncio.timeout(RELEASE_TIMEOUT_S):
            if not is_usable:
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
