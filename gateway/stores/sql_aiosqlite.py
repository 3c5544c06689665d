"""Run statements on a SQLite file: a few readers, one writer, each with a thread of its own, and what the errors mean.

The file is in WAL mode: readers and the writer do not wait for each other, and a write is on disk before it is answered.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite
from sqlalchemy import URL, event, make_url

from gateway.errors import BadUserInput, Conflict, GatewayError, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import Row, Value
from gateway.stores.sql_dialects import UNFIT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

READERS = 4  # at most; more than there are cores wait for each other
BUSY_TIMEOUT_S = 3.0  # for a writer of another process
CACHE_KIB = 4_096  # of pages, per connection
STATEMENTS_CACHED = 256  # per connection

_FAILURES = (sqlite3.Error, OSError, UnicodeError, OverflowError)


class AiosqliteDriver:
    """Connections are made when first needed, and kept."""

    def __init__(self, name: str, url: str, *, pool_size: int) -> None:
        self._name = name
        self._path = Path(make_url(url).database or "")
        self._size = min(pool_size, READERS)
        self._idle: list[aiosqlite.Connection] = []
        self._readers: list[aiosqlite.Connection] = []
        self._writer: aiosqlite.Connection | None = None
        self._free = asyncio.Semaphore(self._size)
        self._writing = asyncio.Lock()
        self._is_open = False

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        connections = [*self._readers, *([self._writer] if self._writer else [])]
        self._idle, self._readers, self._writer = [], [], None
        for connection in connections:
            await connection.close()

    async def ping(self) -> None:
        await self.fetch("PRAGMA schema_version", ())  # reads the file, which SELECT 1 does not

    async def fetch(self, text: str, values: Sequence[Value]) -> Sequence[Row]:
        async with self._free:
            try:
                connection = self._idle.pop() if self._idle else await self._connect_reader()
                try:
                    return await connection.execute_fetchall(text, values)  # type: ignore[return-value]
                except asyncio.CancelledError:
                    # The thread stops at once; had it not yet begun, the next caller waits behind it.
                    await connection.interrupt()
                    raise
                finally:
                    if self._is_open:
                        self._idle.append(connection)
            except _FAILURES as error:
                raise self._translated(error) from error

    async def write(self, text: str, calls: Sequence[Sequence[Value]]) -> None:
        """Execute the statement once for each of ``calls``, all or nothing."""
        async with self._writing:
            try:
                if self._writer is None:
                    self._writer = await self._connect()
                await _execute_all(self._writer, text, calls)
            except _FAILURES as error:
                raise self._translated(error) from error

    def migration_engine(self) -> AsyncEngine:
        """Return an engine whose transactions hold table definitions too, and lock out other writers from their start."""
        # Imported late: it brings SQLAlchemy's ORM along, a quarter of the time that this module takes to load.
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        self._path.parent.mkdir(parents=True, exist_ok=True)
        url = URL.create("sqlite+aiosqlite", database=str(self._path))
        engine = create_async_engine(url, poolclass=NullPool, connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_S})

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def translated(self, error: BaseException) -> GatewayError | None:
        """Return the error of ours that ``error``, or what caused it, means; None when it is not the driver's."""
        while not isinstance(error, _FAILURES):
            if error.__cause__ is None:
                return None
            error = error.__cause__
        return self._translated(error)

    async def _connect_reader(self) -> aiosqlite.Connection:
        connection = await self._connect("query_only = ON")
        self._readers.append(connection)
        return connection

    async def _connect(self, *more_pragmas: str) -> aiosqlite.Connection:
        self._refuse_when_closed()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = await aiosqlite.connect(self._path, isolation_level=None, timeout=BUSY_TIMEOUT_S, cached_statements=STATEMENTS_CACHED)
        try:
            await _switch_to_wal(connection)
            for pragma in ("synchronous = FULL", f"cache_size = -{CACHE_KIB}", "temp_store = MEMORY", *more_pragmas):
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            self._refuse_when_closed()  # which it may have been meanwhile
        except BaseException:
            await asyncio.shield(connection.close())
            raise
        return connection

    def _refuse_when_closed(self) -> None:
        if not self._is_open:
            raise sqlite3.OperationalError("the store is not open")

    def _translated(self, error: BaseException) -> GatewayError:
        text = str(error)
        if isinstance(error, sqlite3.IntegrityError) and text.startswith(_NOT_UNIQUE):
            columns = ", ".join(column.rpartition(".")[2] for column in text.removeprefix(_NOT_UNIQUE).split(", "))
            return Conflict(f"Another row has the same {columns}.", store=self._name)
        if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | UnicodeError | OverflowError):
            return BadUserInput(UNFIT, store=self._name)
        if isinstance(error, sqlite3.OperationalError) and "locked" in text:
            return StoreTimeout(self._name, BUSY_TIMEOUT_S)
        if isinstance(error, sqlite3.ProgrammingError) or text.endswith("syntax error"):
            return StoreMisbehaved(f"the store '{self._name}' refused a statement: {text}")
        return StoreUnavailable(self._name)


_NOT_UNIQUE = "UNIQUE constraint failed: "


async def _switch_to_wal(connection: aiosqlite.Connection) -> None:
    """Switch the file to WAL, where it stays. SQLite does not wait for other connections here, so this does."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.01)


async def _execute_all(connection: aiosqlite.Connection, text: str, calls: Sequence[Sequence[Value]]) -> None:
    try:
        await connection.execute_fetchall("BEGIN IMMEDIATE")
        await connection.executemany(text, calls)
        await connection.commit()
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            await connection.interrupt()
        # The thread does one thing after the other: this comes before whatever the next writer asks.
        await asyncio.shield(connection.rollback())
        raise
