"""Open connections for the migrations of a SQL store, to change and to look, and say what went wrong as the gateway does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa

from gateway.errors import GatewayError, StoreTimeout
from gateway.stores.base import Collection, Index
from gateway.stores.migrating import Owner, Script, State
from gateway.stores.sql.tables import place_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound="AsyncEngine | None")

_IDENTIFIER_BYTES = 63  # PostgreSQL cuts longer names


class MigrationDriver(Protocol):
    """What a driver does for migrations."""

    def migration_engine(self, lock_timeout_s: float = ...) -> AsyncEngine:
        """Return an engine whose transactions hold table definitions, too."""
        ...

    def looking_engine(self) -> AsyncEngine | None:
        """Return an engine that can change nothing; None where there is no database yet."""
        ...

    def translated(self, error: BaseException) -> GatewayError | None: ...


class Histories:
    """The histories of the store ``name``.

    Alembic is imported late: it takes memory and time to load, and a server that does not migrate needs neither.
    """

    def __init__(self, driver: MigrationDriver, dialect: sa.Dialect, name: str, lock_timeout_s: float) -> None:
        self._driver = driver
        self._dialect = dialect
        self._name = name
        self._lock_timeout_s = lock_timeout_s

    async def migrate(self, collections: Sequence[Collection], scripts: Path | None, owner: Owner) -> list[str]:
        if not await self.planned(collections, scripts, owner):
            return []
        from gateway.stores.sql.migrations import create_missing, has_scripts, upgrade

        if has_scripts(scripts):
            assert scripts is not None
            return await self._changed(upgrade, self._name, scripts, owner, self._lock_timeout_s)
        return await self._changed(create_missing, self._name, collections, self._lock_timeout_s)

    async def revert(self, scripts: Path, to: str | None) -> list[str]:
        from gateway.stores.sql.migrations import downgrade

        return await self._changed(downgrade, self._name, scripts, to, self._lock_timeout_s)

    async def planned(self, collections: Sequence[Collection], scripts: Path | None, owner: Owner) -> list[str]:
        return [f"{self._name}: {line}" for line in (await self.state(collections, scripts, owner)).waiting]

    async def state(self, collections: Sequence[Collection], scripts: Path | None, owner: Owner) -> State:
        from gateway.stores.sql.migrations import has_scripts, missing, state, statements

        if has_scripts(scripts):
            assert scripts is not None
            return await self._seen(state, self._name, scripts, owner)
        lacking = await self._seen(missing, self._dialect.name, collections) if collections else []
        return State(owner, waiting=tuple(statements(self._dialect, lacking)), is_declared=True)

    async def is_locked(self) -> bool | None:
        """Return whether somebody migrates; None for SQLite, whose one lock is that of its writers."""
        if self._dialect.name != "postgresql":
            return None
        from gateway.stores.sql.migrations import is_locked

        return await self._seen(is_locked)

    async def drafted(self, collections: Sequence[Collection], scripts: Path, text: str) -> list[Script]:
        from gateway.stores.sql.drafts import drafted

        return await self._seen(drafted, self._dialect, self._name, collections, scripts, text)

    # ------------------------------------------------------------------------------------------------------- connections

    async def _changed(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._engine(lambda: self._driver.migration_engine(self._lock_timeout_s)) as engine, engine.begin() as connection:
            return await connection.run_sync(work, *args, **kwargs)

    async def _seen(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``work`` with a connection that can change nothing, or with None where there is no database yet."""
        async with self._engine(self._driver.looking_engine) as engine:
            if engine is None:
                return work(None, *args, **kwargs)
            async with engine.connect() as connection:
                return await connection.run_sync(work, *args, **kwargs)

    @asynccontextmanager
    async def _engine(self, make: Callable[[], E]) -> AsyncIterator[E]:
        engine: E | None = None
        try:
            engine = make()
            yield engine
        except GatewayError:
            raise
        except Exception as error:
            translated = self._driver.translated(error)
            if translated is None:
                raise
            if isinstance(translated, StoreTimeout) and self._dialect.name == "sqlite":  # its one lock is that of its writers
                from gateway.stores.sql.migrations import locked

                raise locked(self._name, self._lock_timeout_s) from error
            raise translated from error
        finally:
            if engine is not None:
                await engine.dispose()


def index_statement(dialect: sa.Dialect, collection: Collection, index: Index) -> str:
    """Return the statement that makes an index of a table that is not ours, by the database's own names."""
    quote: Callable[[str], str] = dialect.identifier_preparer.quote
    schema, table = place_of(collection, dialect.name)
    columns = [collection[name].path for name in index.columns]
    name = "_".join(("uq" if index.unique else "ix", table, *columns)).encode()[:_IDENTIFIER_BYTES].decode(errors="ignore")
    place = quote(table) if schema is None else f"{quote(schema)}.{quote(table)}"
    return f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {quote(name)} ON {place} ({', '.join(map(quote, columns))})"
