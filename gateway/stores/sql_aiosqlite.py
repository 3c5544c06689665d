"""Run statements on a SQLite file: a few readers with a thread each, one writer, and what the errors mean.

The file is in WAL mode: readers and the writer do not wait for each other, and a write is on disk before it is answered.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite
from sqlalchemy import URL, event, make_url

from gateway.errors import BadUserInput, Conflict, GatewayError, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import Row, Value
from gateway.stores.sql_dialects import UNFIT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

READERS = 4  # at most, each with a thread
SLOW_S = 0.02  # a read that takes longer gets company: what is asked then goes to the next reader
BUSY_TIMEOUT_S = 3.0  # for a writer of another process
CACHE_KIB = 4_096  # of pages, per connection
STATEMENTS_CACHED = 256  # per connection

_FAILURES = (sqlite3.Error, OSError, UnicodeError, OverflowError)


class AiosqliteDriver:
    """Connections are made when first needed, and kept.

    PERF: quick reads all go to the same reader, which takes one after the other from its queue. Two threads in SQLite wait for each
    other where it allocates, and for Python's lock where they make objects: the tree of the benchmarks takes 5.7 ms of CPU with one
    reader for each file, 8.4 with two (eight at the same time). Readers are not aiosqlite's, whose calls each wake up a thread: a row by
    key takes 50 µs of CPU, and took 100 that way. The writer is aiosqlite's.
    """

    def __init__(self, name: str, url: str, *, pool_size: int) -> None:
        self._name = name
        self._path = Path(make_url(url).database or "")
        self._size = min(pool_size, READERS)
        self._readers: list[_Reader] = []
        self._writer: aiosqlite.Connection | None = None
        self._writing = asyncio.Lock()
        self._is_open = False

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        readers, self._readers = self._readers, []
        writer, self._writer = self._writer, None
        await asyncio.gather(*(asyncio.to_thread(reader.close) for reader in readers))
        if writer is not None:
            await writer.close()

    async def ping(self) -> None:
        await self.fetch("PRAGMA schema_version", ())  # reads the file, which SELECT 1 does not

    async def fetch(self, text: str, values: Sequence[Value]) -> Sequence[Row]:
        try:
            self._refuse_when_closed()
            reader = self._reader()
            call = _Read(text, values)
            try:
                return await asyncio.get_running_loop().run_in_executor(reader.thread, reader.read, call)
            except asyncio.CancelledError:
                call.stop()
                raise
        except _FAILURES as error:
            raise self._translated(error) from error

    def _reader(self) -> _Reader:
        """Return the first reader that is not at something slow, a new one while there is room."""
        begun_before = time.monotonic() - SLOW_S
        for reader in self._readers:
            if reader.begun > begun_before:
                return reader
        if len(self._readers) < self._size:
            self._readers.append(_Reader(self._name, self._path))
            return self._readers[-1]
        return max(self._readers, key=lambda reader: reader.begun)

    async def write(self, text: str, calls: Sequence[Sequence[Value]]) -> None:
        """Execute the statement once for each of ``calls``, all or nothing."""
        async with self._writing:
            try:
                self._refuse_when_closed()
                if self._writer is None:
                    self._writer = await aiosqlite.Connection(lambda: _connect(self._path), 64)
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


class _Reader:
    """A thread and its connection, which is made by the first read."""

    def __init__(self, name: str, path: Path) -> None:
        self.thread = ThreadPoolExecutor(1, f"sqlite {name}")
        self.begun = math.inf  # when what it is at began; nothing: it has all the time in the world
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def read(self, call: _Read) -> Sequence[Row]:
        """Run a call, in the thread."""
        self.begun = time.monotonic()
        try:
            if self._connection is None:
                self._connection = _connect(self._path, "query_only = ON")
            return call.run(self._connection)
        finally:
            self.begun = math.inf

    def close(self) -> None:
        """Wait for what it is at, drop what is in line, and close the connection."""
        self.thread.shutdown(cancel_futures=True)
        if self._connection is not None:
            self._connection.close()


class _Read:
    """One read, which may be given up at any time: before it runs, while it does, or too late."""

    __slots__ = ("_connection", "_is_given_up", "_lock", "_text", "_values")

    def __init__(self, text: str, values: Sequence[Value]) -> None:
        self._text, self._values = text, values
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None  # while it runs there
        self._is_given_up = False

    def run(self, connection: sqlite3.Connection) -> Sequence[Row]:
        with self._lock:
            if self._is_given_up:
                return ()
            self._connection = connection
        try:
            return connection.execute(self._text, self._values).fetchall()
        finally:
            with self._lock:
                self._connection = None

    def stop(self) -> None:
        """End it, and nothing that runs on the same connection afterwards."""
        with self._lock:
            self._is_given_up = True
            if self._connection is not None:
                self._connection.interrupt()


def _connect(path: Path, *more_pragmas: str) -> sqlite3.Connection:
    """Return a connection of the thread that calls; others may interrupt and close it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=BUSY_TIMEOUT_S, cached_statements=STATEMENTS_CACHED, check_same_thread=False
    )
    try:
        _switch_to_wal(connection)
        for pragma in ("synchronous = FULL", f"cache_size = -{CACHE_KIB}", "temp_store = MEMORY", *more_pragmas):
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL, where it stays. SQLite does not wait for other connections here, so this does."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


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
