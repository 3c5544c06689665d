"""The store port for PostgreSQL and SQLite: each request is one statement, or two when totals are asked.

From top to bottom: ``tables`` says which table a collection is, ``statements`` and ``changes`` turn a request into text once per shape, in
the words of a dialect (``postgresql``, ``sqlite``); ``asyncpg`` and ``aiosqlite`` run it; ``answers`` puts these together;
``migrations`` makes the tables.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.errors import StoreMisbehaved, StoreUnavailable
from gateway.stores.base import A, Collection, Ends, Index, Request
from gateway.stores.described import Description
from gateway.stores.migrating import GRAPH, LOCK_TIMEOUT_S, Owner, Script, State
from gateway.stores.sql.aiosqlite import AiosqliteDriver
from gateway.stores.sql.answers import Answers
from gateway.stores.sql.asyncpg import AsyncpgDriver
from gateway.stores.sql.described import described
from gateway.stores.sql.ends import can_join
from gateway.stores.sql.histories import Histories, index_statement
from gateway.stores.sql.keys import keys_of
from gateway.stores.sql.lines import Line
from gateway.stores.sql.positions import Positions
from gateway.stores.sql.postgresql import PostgreSQL
from gateway.stores.sql.postgresql_changes import PgChanges
from gateway.stores.sql.sqlite import SQLite
from gateway.stores.sql.sqlite_changes import SqliteChanges
from gateway.stores.sql.statements import Statements
from gateway.stores.sql.transactions import SqlTransaction

# Those kept for superusers, and since version 16 for one more role, are not ours.
_CONNECTIONS_MAX = """
SELECT current_setting('max_connections', true)::int - coalesce(current_setting('superuser_reserved_connections', true), '0')::int
     - coalesce(current_setting('reserved_connections', true), '0')::int
"""


class SqlStore(Answers):
    """A PostgreSQL database or a SQLite file. Rows are plain tuples."""

    _driver: AsyncpgDriver | AiosqliteDriver

    def __init__(
        self,
        name: str,
        url: str,
        *,
        pool_size: int = 10,
        connect_timeout_s: float = 2.0,
        timeout_s: float = 3.0,
        is_read_only: bool = False,  # of a SQLite file
    ) -> None:
        self.name = name
        if url.startswith("sqlite"):
            self._driver, self._dialect = AiosqliteDriver(name, url, pool_size=pool_size, is_read_only=is_read_only), SQLite()
        else:
            self._driver = AsyncpgDriver(name, url, pool_size=pool_size, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s)
            self._dialect = PostgreSQL()
        self.kind = self._dialect.kind
        self.places = None if url.startswith("sqlite") else pool_size  # calls at once; reads of a file stand in a line of their own
        self.enforces_types = self._dialect.enforces_types
        self.statements = Statements(self._dialect)
        changes = SqliteChanges if self.kind == "sqlite" else PgChanges
        self._changes = changes(self.statements, self._dialect)
        self._handlers = self._handled()

    async def open(self) -> None:
        await self._driver.open()

    async def ping(self) -> None:
        await self._driver.ping()

    async def connections_max(self) -> int | None:
        driver = self._driver
        if not isinstance(driver, AsyncpgDriver) or not driver.prepares:  # a pooler has a number of its own
            return None
        [row] = await driver.fetch(_CONNECTIONS_MAX, ())
        return None if row[0] is None else int(row[0])

    async def close(self) -> None:
        await self._driver.close()

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._handlers[type(request)](request)

    def joins(self, collection: Collection, ends: Ends) -> bool:
        return can_join(self._dialect, collection, ends)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        async with self._driver.transaction() as session:
            transaction = SqlTransaction(self, session)
            with transaction.ending():
                yield transaction

    async def can_transact(self) -> bool:
        return True

    def line(
        self,
        channel: str,
        tables: Sequence[str],  # noqa: ARG002 - who writes says so on the channel
        hear: Callable[[], None],
    ) -> AbstractAsyncContextManager[Line]:
        """Give a connection by which processes tell each other of writes; StoreUnavailable where there is none, as in SQLite."""
        if not isinstance(self._driver, AsyncpgDriver):
            raise StoreUnavailable(self.name)
        return self._driver.line(channel, hear)

    @property
    def has_lines(self) -> bool:
        return isinstance(self._driver, AsyncpgDriver)

    def positions(self, timeout_s: float) -> Positions:
        """Return what asks the server where it is in its log; StoreMisbehaved for SQLite, which has none to ask."""
        if not isinstance(self._driver, AsyncpgDriver):
            raise StoreMisbehaved(f"the store '{self.name}': expected a PostgreSQL, which has a log to be asked for, got {self.kind}")
        return Positions(self._driver, self.name, timeout_s)

    async def one(self, text: str) -> Any:
        """Return the one value that a statement gives."""
        [[value]] = await self._driver.fetch(text, ())
        return value

    async def describe(self, collections: Sequence[Collection]) -> Description:
        description = await described(self._driver, self.kind, collections)
        # An index on a char(n) serves what is of that type, which no declaration says.
        padded = frozenset(
            (collection, name)
            for collection in collections
            for name, column in getattr(description[collection.name], "columns", {}).items()
            if column.type.startswith("character(") and name in collection.declared
        )
        if self.kind == "postgresql" and self._dialect.learn(padded):
            keys_of.cache_clear()
            self.statements.forget()
        return description

    # -------------------------------------------------------------------------------------------------------- migration

    def scripts_in(self, folder: Path) -> Path:
        return folder

    async def migrate(
        self,
        name: str,
        collections: Sequence[Collection],
        scripts: Path | None,
        *,
        owner: Owner = GRAPH,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> list[str]:
        return await self._histories(name, lock_timeout_s).migrate(collections, scripts, owner)

    async def planned(self, name: str, collections: Sequence[Collection], scripts: Path | None, *, owner: Owner = GRAPH) -> list[str]:
        return await self._histories(name).planned(collections, scripts, owner)

    async def state(self, name: str, collections: Sequence[Collection], scripts: Path | None, *, owner: Owner = GRAPH) -> State:
        return await self._histories(name).state(collections, scripts, owner)

    async def drafted(self, name: str, collections: Sequence[Collection], scripts: Path, text: str) -> list[Script]:
        return await self._histories(name).drafted(collections, scripts, text)

    async def is_locked(self) -> bool | None:
        return await self._histories(self.kind).is_locked()

    async def revert(self, name: str, scripts: Path, to: str | None, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> list[str]:
        return await self._histories(name, lock_timeout_s).revert(scripts, to)

    def index_statement(self, collection: Collection, index: Index) -> str:
        return index_statement(self._dialect.sqlalchemy, collection, index)

    def _histories(self, name: str, lock_timeout_s: float = LOCK_TIMEOUT_S) -> Histories:
        return Histories(self._driver, self._dialect.sqlalchemy, name, lock_timeout_s)
