"""Run statements on a SQLite file: a few readers with a thread each, one writer, and what the errors mean.

A file that is made here is in WAL mode: readers and the writer do not wait for each other, and a write is on disk before it is answered.
One that somebody else made stays in the mode it has.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, event, make_url

from gateway.errors import BadUserInput, GatewayError, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import Row, Value
from gateway.stores.reasons import Reason, unavailable
from gateway.stores.shared import conflict
from gateway.stores.sql.changes import Work
from gateway.stores.sql.forms import UNFIT
from gateway.stores.sql.functions import register
from gateway.stores.sql.sqlite_writer import FAILURES, Writer, WriterSession

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")

READERS = 4  # at most, each with a thread
SLOW_S = 0.02  # a read that takes longer gets company: other readers take what is in line behind it
INTERRUPTED_EVERY_S = 0.05  # of a read that was given up, until it has ended
BUSY_TIMEOUT_S = 3.0  # for a writer of another process
CACHE_KIB = 4_096  # of pages, per connection
STATEMENTS_CACHED = 256  # per connection


class AiosqliteDriver:
    """Connections are made when first needed, and kept.

    Reads stand in one line. PERF: as long as they are quick one thread takes them, one after the other. Two threads in SQLite wait for
    each other where it allocates, and for Python's lock where they make objects: the tree of the benchmarks takes 5.7 ms of CPU with
    one thread for each file, 8.4 with two (eight at the same time). aiosqlite wakes up a thread for each call: a row by key takes 50 µs
    of CPU, and took 100 with it. The one writer has a thread of its own (``sqlite_writer.py``); aiosqlite itself migrates.
    """

    def __init__(self, name: str, url: str, *, pool_size: int, is_read_only: bool = False) -> None:
        self._name = name
        self._path = Path(make_url(url).database or "")
        self._is_read_only = is_read_only
        self._size = min(pool_size, READERS)
        self._readers: _Readers | None = None
        self._writer: Writer | None = None
        self._is_open = False

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        writer, self._writer = self._writer, None
        readers, self._readers = self._readers, None
        if readers is not None:
            await readers.close()
        if writer is not None:
            await writer.close()

    async def ping(self) -> None:
        await self.fetch("PRAGMA schema_version", ())  # reads the file, which SELECT 1 does not

    async def fetch(self, text: str, values: Sequence[Value]) -> Sequence[Row]:
        try:
            self._refuse_when_closed()
            if self._readers is None:
                self._readers = _Readers(self._name, self._path, self._size, is_read_only=self._is_read_only)
            return await self._readers.read(text, values)
        except FAILURES as error:
            raise self._translated(error) from error

    async def write(self, text: str, calls: Sequence[Sequence[Value]]) -> None:
        """Execute the statement once for each of ``calls``, all or nothing."""
        await self._writing().write(text, calls)

    async def run(self, work: Work[T]) -> T:
        """Return what comes of ``work``, all of it or nothing."""
        return await self._writing().run(work)

    def transaction(self) -> AbstractAsyncContextManager[WriterSession]:
        """Give what runs statements in one transaction of the writer's, for which others wait."""
        return self._writing().transaction()

    def _writing(self) -> Writer:
        self._refuse_when_read_only()
        if not self._is_open:
            raise StoreUnavailable(self._name)
        if self._writer is None:
            self._writer = Writer(self._name, lambda: _connect(self._path), self._translated)
        return self._writer

    def migration_engine(self, lock_timeout_s: float = BUSY_TIMEOUT_S) -> AsyncEngine:
        """Return an engine whose transactions hold table definitions too, and lock out other writers from their start."""
        # Imported late: it brings SQLAlchemy's ORM along, a quarter of the time that this module takes to load.
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        self._refuse_when_read_only()
        try:
            _connect(self._path).close()  # which makes the file, if there is none
        except FAILURES as error:
            raise self._translated(error) from error
        url = URL.create("sqlite+aiosqlite", database=str(self._path))
        engine = create_async_engine(url, poolclass=NullPool, connect_args={"isolation_level": None, "timeout": lock_timeout_s})

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def looking_engine(self) -> AsyncEngine | None:
        """Return an engine that can change nothing; None where there is no file yet."""
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        if not self._path.exists():
            return None
        url = URL.create("sqlite+aiosqlite", database=self._path.absolute().as_uri(), query={"mode": "ro", "uri": "true"})
        return create_async_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_S})

    def translated(self, error: BaseException) -> GatewayError | None:
        """Return the error of ours that ``error``, or what caused it, means; None when it is not the driver's."""
        while not isinstance(error, FAILURES):
            if error.__cause__ is None:
                return None
            error = error.__cause__
        return self._translated(error)

    def _refuse_when_closed(self) -> None:
        if not self._is_open:
            raise sqlite3.OperationalError("the store is not open")

    def _refuse_when_read_only(self) -> None:
        if self._is_read_only:
            raise StoreMisbehaved(f"the store '{self._name}' is opened read-only, as nothing in it is managed and nothing writes to it")

    def _translated(self, error: BaseException) -> GatewayError:
        text = str(error)
        if isinstance(error, sqlite3.IntegrityError) and text.startswith(_NOT_UNIQUE):
            columns = [column.rpartition(".") for column in text.removeprefix(_NOT_UNIQUE).split(", ")]
            return conflict(self._name, columns[0][0], [name for _, _, name in columns])
        if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | UnicodeError | OverflowError):
            return BadUserInput(UNFIT, store=self._name)
        if isinstance(error, sqlite3.OperationalError) and "locked" in text:
            return StoreTimeout(self._name, BUSY_TIMEOUT_S)
        if isinstance(error, sqlite3.ProgrammingError) or text.endswith("syntax error"):
            return StoreMisbehaved(f"the store '{self._name}' refused a statement: {text}")
        reason = next((reason for words, reason in _REASONS if words in text), None)
        return unavailable(self._name, error, reason)


_REASONS = (
    ("unable to open", Reason.NO_FILE),
    ("not a database", Reason.NO_DATABASE),
    ("no such table", Reason.NO_TABLE),
    ("no such column", Reason.NO_TABLE),
    ("readonly", Reason.READ_ONLY),
    ("disk is full", Reason.DISK_FULL),
)
_NOT_UNIQUE = "UNIQUE constraint failed: "


def is_unfit_for_json(error: Exception) -> bool:
    """Return whether a read failed because one of its values, bytes or an infinite number, cannot be written as JSON."""
    return not isinstance(error, GatewayError) or "JSON cannot hold" in str(error.__cause__)


class _Readers:
    """A line of reads, a thread that takes them, and more threads that help while it is at something slow."""

    def __init__(self, name: str, path: Path, size: int, *, is_read_only: bool) -> None:
        self._path = path
        self._is_read_only = is_read_only
        self._line: deque[_Read] = deque()
        self._begun = math.inf  # when what the first thread is at began
        self._first = ThreadPoolExecutor(1, f"sqlite {name}")
        self._helpers = ThreadPoolExecutor(max(size - 1, 1), f"sqlite {name} helper")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._is_watched = False

    async def read(self, text: str, values: Sequence[Value]) -> Sequence[Row]:
        loop = asyncio.get_running_loop()
        read = _Read(text, values, loop)
        self._line.append(read)
        self._first.submit(self._take_one)
        if not self._is_watched:
            self._is_watched = True
            loop.call_later(SLOW_S, self._watch, loop)
        try:
            return await read.future
        except asyncio.CancelledError:
            read.give_up()
            raise

    async def close(self) -> None:
        """Wait for what runs, drop what is in line, and close the connections."""
        while self._line:
            self._line.popleft().future.cancel()
        for threads in (self._first, self._helpers):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        for connection in self._connections:
            connection.close()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_watched = bool(self._line) or self._begun < math.inf
        if self._is_watched:
            if self._line and self._is_slow():
                self._helpers.submit(self._help)
            loop.call_later(SLOW_S, self._watch, loop)

    def _is_slow(self) -> bool:
        return self._begun <= time.monotonic() - SLOW_S

    def _take_one(self) -> None:
        self._begun = time.monotonic()
        self._run_next()
        self._begun = math.inf

    def _help(self) -> None:
        while self._is_slow() and self._run_next():
            pass

    def _run_next(self) -> bool:
        """Run the next read, in the thread of a reader; False when somebody else took it."""
        try:
            read = self._line.popleft()
        except IndexError:
            return False
        read.run(self._connection)
        return True

    def _connection(self) -> sqlite3.Connection:
        """Return the thread's connection, made by its first read."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _connect(self._path, "query_only = ON", is_read_only=self._is_read_only)
            self._connections.append(connection)
        return connection


class _Read:
    """One read and its answer. It may be given up at any time: before it runs, while it does, or too late."""

    __slots__ = ("_connection", "_is_given_up", "_lock", "_loop", "_text", "_values", "future")

    def __init__(self, text: str, values: Sequence[Value], loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[Sequence[Row]] = loop.create_future()
        self._loop = loop
        self._text, self._values = text, values
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None  # while it runs there
        self._is_given_up = False

    def run(self, connection_of: Callable[[], sqlite3.Connection]) -> None:
        """Answer ``future``, from another thread than its loop's."""
        try:
            answer: Sequence[Row] | BaseException = self._rows(connection_of)
        except BaseException as error:  # whatever it is, somebody waits for it
            answer = error
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._settle, answer)

    def give_up(self) -> None:
        """End it, and nothing that runs on the same connection afterwards.

        Again and again until it has ended: SQLite takes no notice of an interrupt that comes just before a statement begins.
        """
        with self._lock:
            self._is_given_up = True
            if self._connection is not None:
                self._connection.interrupt()
                self._loop.call_later(INTERRUPTED_EVERY_S, self.give_up)

    def _rows(self, connection_of: Callable[[], sqlite3.Connection]) -> Sequence[Row]:
        if self._is_given_up:
            return ()
        connection = connection_of()
        with self._lock:
            if self._is_given_up:
                return ()
            self._connection = connection
        try:
            return connection.execute(self._text, self._values).fetchall()
        finally:
            with self._lock:
                self._connection = None

    def _settle(self, answer: Sequence[Row] | BaseException) -> None:
        if self.future.done():
            return
        if isinstance(answer, BaseException):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


def _connect(path: Path, *more_pragmas: str, is_read_only: bool = False) -> sqlite3.Connection:
    """Return a connection of the thread that calls; others may interrupt and close it. What is read-only is not made, nor changed."""
    if not is_read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro" if is_read_only else path,
        uri=is_read_only,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_S,
        cached_statements=STATEMENTS_CACHED,
        check_same_thread=False,
    )
    try:
        if not is_read_only and connection.execute("PRAGMA page_count").fetchone() == (0,):
            _switch_to_wal(connection)
        for pragma in ("synchronous = FULL", f"cache_size = -{CACHE_KIB}", "temp_store = MEMORY", *more_pragmas):
            connection.execute(f"PRAGMA {pragma}").close()
        register(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to WAL, where it stays. SQLite does not wait for other connections here, so this does."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
