"""A connection to PostgreSQL by which processes tell each other that there is something new: LISTEN and NOTIFY, outside of transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from gateway.errors import GatewayError

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, UnicodeError, OverflowError)


class Line:
    """Listens until ``is_lost``; ``tell`` is heard by all who listen but itself."""

    def __init__(self, connection: Any, channel: str, timeout_s: float, translated: Callable[[BaseException], GatewayError]) -> None:
        self.is_lost = asyncio.Event()
        self._connection = connection
        self._statement = f"NOTIFY {channel}"
        self._timeout_s = timeout_s
        self._translated = translated

    async def tell(self) -> None:
        await self.run(self._connection.execute(self._statement, timeout=self._timeout_s))

    async def run(self, call: Coroutine[Any, Any, Any]) -> None:
        try:
            await call
        except (*FAILURES, TimeoutError) as error:
            self.is_lost.set()
            raise self._translated(error) from error


@asynccontextmanager
async def line_of(
    dsn: str, channel: str, hear: Callable[[], None], *, timeout_s: float, translated: Callable[[BaseException], GatewayError]
) -> AsyncIterator[Line]:
    """Give a connection on which ``hear`` is called for what others tell on the channel."""
    try:
        connection = await asyncpg.connect(dsn, timeout=timeout_s, server_settings={"application_name": "crossgraph listen"})
    except (*FAILURES, TimeoutError) as error:
        raise translated(error) from error
    line = Line(connection, channel, timeout_s, translated)
    own = connection.get_server_pid()
    connection.add_termination_listener(lambda _: line.is_lost.set())
    try:
        await line.run(connection.add_listener(channel, lambda _, pid, *__: None if pid == own else hear()))
        yield line
    finally:
        connection.terminate()  # nothing is under way that anybody would miss
