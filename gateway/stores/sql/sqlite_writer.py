"""The one writer of a SQLite file: a connection with a thread of its own, and a line of those who want to write.

A transaction begins with its first statement, and locks other writers out from then on, those of other processes too; who has to wait for
one of these waits as long as the connection does.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import TypeVar

from gateway.errors import GatewayError, StoreUnavailable
from gateway.stores.base import Row, Value, note
from gateway.stores.sql.changes import Work

T = TypeVar("T")

FAILURES = (sqlite3.Error, OSError, UnicodeError, OverflowError)  # of the driver


class Writer:
    """``connect`` is called by the first who writes, in the thread. ``translated`` makes the driver's errors ours."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection], translated: Callable[[BaseException], GatewayError]) -> None:
        self._thread = ThreadPoolExecutor(1, f"sqlite {name} writer")
        self._connect = connect
        self._translated = translated
        self._connection: sqlite3.Connection | None = None
        self._line = asyncio.Lock()
        self._is_closed = False

    async def close(self) -> None:
        """Wait for what runs; what was not committed is gone."""
        self._is_closed = True
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        if self._connection is not None:
            self._connection.close()

    async def write(self, text: str, calls: Sequence[Sequence[Value]]) -> None:
        """Execute the statement once for each of ``calls``, all or nothing."""
        await self._alone(lambda connection: _execute_all(connection, text, calls))

    async def run(self, work: Work[T]) -> T:
        """Return what comes of ``work``, all of it or nothing."""
        return await self._alone(lambda connection: _run(connection, work))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[WriterSession]:
        async with self._line:
            try:
                yield WriterSession(self)
                await self._end()
            except BaseException:
                # The thread does one thing after the other: this comes before whatever the next writer asks.
                with suppress(GatewayError):
                    await asyncio.shield(self.call(_roll_back))
                raise

    async def _end(self) -> None:
        try:
            await asyncio.shield(self.call(_commit))  # who is cancelled while it runs has committed
        except StoreUnavailable as error:
            error.extensions["committed"] = "unknown"
            raise

    async def call(self, do: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``do`` gives in the writer's thread. Cancelled, it is interrupted, and may yet run to its end."""
        try:
            if self._is_closed:
                raise sqlite3.OperationalError("the store is not open")
            future = self._thread.submit(copy_context().run, self._do, do)
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._connection is not None:
                self._connection.interrupt()
            raise
        except FAILURES as error:
            raise self._translated(error) from error

    async def _alone(self, do: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``do`` gives in a transaction of its own."""
        is_given_up = False

        def transact(connection: sqlite3.Connection) -> T:
            try:
                _begin(connection)
                answer = do(connection)
                if is_given_up:
                    raise sqlite3.OperationalError("interrupted")
                _commit(connection)
            except BaseException:
                _roll_back(connection)
                raise
            return answer

        async with self._line:
            try:
                return await self.call(transact)
            except asyncio.CancelledError:
                is_given_up = True
                raise

    def _do(self, do: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._connect()
        return do(self._connection)


class WriterSession:
    """What is run in a transaction, by its one user, one thing after the other."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def fetch(self, text: str, values: Sequence[Value]) -> Sequence[Row]:
        return await self._call(lambda connection: connection.execute(text, values).fetchall())

    async def write(self, text: str, calls: Sequence[Sequence[Value]]) -> None:
        await self._call(lambda connection: _execute_all(connection, text, calls))

    async def run(self, work: Work[T]) -> T:
        return await self._call(lambda connection: _run(connection, work))

    async def _call(self, do: Callable[[sqlite3.Connection], T]) -> T:
        def within(connection: sqlite3.Connection) -> T:
            _begin(connection)
            return do(connection)

        return await self._writer.call(within)


def _begin(connection: sqlite3.Connection) -> None:
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE").close()


def _commit(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("COMMIT").close()


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK").close()


def _execute_all(connection: sqlite3.Connection, text: str, calls: Sequence[Sequence[Value]]) -> None:
    connection.executemany(text, calls).close()


def _run(connection: sqlite3.Connection, work: Work[T]) -> T:
    try:
        text, values = next(work.steps)
        while True:
            note(text)
            text, values = work.steps.send(connection.execute(text, values).fetchall())
    except StopIteration as end:
        answer: T = end.value
        return answer
