"""The store port for PostgreSQL and SQLite: each request is one statement, or two when totals are asked.

From top to bottom: ``tables`` says which table a collection is, ``statements`` turns a request into text once per shape, in the words of a
dialect (``postgresql``, ``sqlite``); ``asyncpg`` and ``aiosqlite`` run it; ``migrations`` makes the tables.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from gateway.errors import StoreUnavailable
from gateway.stores.base import (
    EMPTY,
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
    Match,
    NativeCall,
    Page,
    Pairs,
    Request,
    Row,
    Rows,
    Slice,
    Slices,
    Upsert,
    Value,
    note,
)
from gateway.stores.described import Description
from gateway.stores.measures import joined
from gateway.stores.migrating import GRAPH, LOCK_TIMEOUT_S, Owner, Script, State
from gateway.stores.shared import grouped_by_first, grouped_by_last, pages, to_write
from gateway.stores.sql.aiosqlite import AiosqliteDriver, is_unfit_for_json
from gateway.stores.sql.asyncpg import AsyncpgDriver
from gateway.stores.sql.described import described
from gateway.stores.sql.dialects import Dialect
from gateway.stores.sql.histories import Histories, index_statement
from gateway.stores.sql.keys import keys_of
from gateway.stores.sql.postgresql import PostgreSQL
from gateway.stores.sql.sqlite import SQLite
from gateway.stores.sql.statements import Statement, Statements

_T = TypeVar("_T")


class SqlStore:
    """A PostgreSQL database or a SQLite file. Rows are plain tuples."""

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
        self._driver: AsyncpgDriver | AiosqliteDriver
        self._dialect: Dialect
        if url.startswith("sqlite"):
            self._driver, self._dialect = AiosqliteDriver(name, url, pool_size=pool_size, is_read_only=is_read_only), SQLite()
        else:
            self._driver = AsyncpgDriver(name, url, pool_size=pool_size, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s)
            self._dialect = PostgreSQL()
        self.kind = self._dialect.kind
        self.places = None if url.startswith("sqlite") else pool_size  # calls at once; reads of a file stand in a line of their own
        self.enforces_types = self._dialect.enforces_types
        self.statements = Statements(self._dialect)
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

    async def open(self) -> None:
        await self._driver.open()

    async def ping(self) -> None:
        await self._driver.ping()

    async def close(self) -> None:
        await self._driver.close()

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._handlers[type(request)](request)

    async def _get(self, get: Get) -> Rows:
        if not get.keys:
            return {}
        width = len(get.columns)
        statement, values = self.statements.get(get)
        keys = statement.match
        if keys is None or (sent := keys.send(get.keys, values)) is None:
            return {}
        rows = await self._read(statement, values)
        if statement.keys == "key":
            key = get.columns.index(get.column) if get.column in get.columns else width
            return {row[key]: row[:width] for row in rows}
        return keys.named(statement.keys, sent, {row[width]: row[:width] for row in rows})

    async def _fetch(self, fetch: Fetch) -> Slices:
        if _asks_nothing(fetch.match):
            return {}
        statement, values = self.statements.rows(fetch)
        width, page = len(fetch.columns), fetch.page
        if fetch.match is None:
            rows = await self._read(statement, values)
            slices = pages({None: [row[:width] for row in rows]}, page)
        else:
            sent = _send(statement, fetch.match, values)
            if sent is None:
                return {}
            by_parent: dict[Any, list[Row]] = grouped_by_last(await self._read(statement, values), width)
            by_key: dict[Key | None, list[Row]] = _named(statement, sent, by_parent)
            slices = pages(by_key, page)
        return await self._with_totals(fetch, slices) if fetch.count else slices

    async def _aggregate(self, aggregate: Aggregate) -> Groups:
        if _asks_nothing(aggregate.match):
            return {}
        statement, values = self.statements.aggregate(aggregate)
        sent = _send(statement, aggregate.match, values)
        if sent is None:
            return {}
        rows = await self._read(statement, values)
        if not rows:
            return {}
        by_parent: dict[Any, list[Row]] = grouped_by_last(rows, len(rows[0]) - 1)
        by_key: dict[Key | None, list[Row]] = _named(statement, sent, by_parent)
        return joined(aggregate, by_key)

    async def _native(self, call: NativeCall) -> Groups:
        statement, values = self.statements.native(call)
        if not call.keys:
            return {}
        arguments = {name: self._dialect.many(v) if isinstance(v, list | tuple) else v for name, v in call.arguments.items()}
        rows = await self._read(statement, arguments | values | {"keys": self._dialect.keys(call.keys)})
        return grouped_by_first(rows)

    async def _upsert(self, upsert: Upsert) -> None:
        rows = to_write(upsert.collection, upsert.rows)
        if rows:
            await self._driver.write(self.statements.upsert(upsert).text, self._dialect.upsert_values(upsert.collection, rows))

    async def _delete(self, delete: Delete) -> None:
        keys = sorted(set(delete.keys))
        if keys:
            await self._driver.write(self.statements.delete(delete).text, self._dialect.delete_values(delete.collection, keys))

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

    async def revert(self, name: str, scripts: Path, to: str | None, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> list[str]:
        return await self._histories(name, lock_timeout_s).revert(scripts, to)

    def index_statement(self, collection: Collection, index: Index) -> str:
        return index_statement(self._dialect.sqlalchemy, collection, index)

    def _histories(self, name: str, lock_timeout_s: float = LOCK_TIMEOUT_S) -> Histories:
        return Histories(self._driver, self._dialect.sqlalchemy, name, lock_timeout_s)

    # ------------------------------------------------------------------------------------------------------------ helpers

    async def _read(self, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
        note(statement.text)
        try:
            rows = statement.decode(await self._driver.fetch(statement.text, statement.bind(values)))
            if self.enforces_types and statement.decoders and statement.has_unreadable(rows):
                self.enforces_types = False  # from now on answers are looked at
            return rows
        except (StoreUnavailable, orjson.JSONDecodeError) as error:
            if not statement.is_json or not is_unfit_for_json(error):
                raise
        statement = statement.row_by_row
        note(statement.text)
        return statement.decode(await self._driver.fetch(statement.text, statement.bind(values)))

    async def _with_totals(self, fetch: Fetch, slices: dict[Key | None, Slice]) -> Slices:
        """Return ``slices`` with totals. The database counts only for parents whose page may not hold all their rows."""
        uncounted: Sequence[Key | None] | None = None
        if _starts_at_the_front(fetch.page):
            uncounted = [parent for parent, part in slices.items() if part.more]
        known = {parent: part._replace(total=len(part.rows)) for parent, part in slices.items()}
        if uncounted == []:
            return known
        match = _only(fetch.match, uncounted)
        statement, values = self.statements.totals(fetch)
        sent = _send(statement, match, values)
        if sent is None:
            return known
        counted: dict[Any, int] = dict(await self._read(statement, values))  # type: ignore[arg-type]
        totals = _named(statement, sent, counted)
        return known | {parent: known.get(parent, EMPTY)._replace(total=total) for parent, total in totals.items()}


def _send(statement: Statement, match: Match | Pairs | None, values: dict[str, Value]) -> Sequence[Key] | None:
    """Add what a match binds to ``values``. Return the keys that are sent; None where nothing can match."""
    if match is None or statement.match is None:
        return ()
    if isinstance(match, Match):
        return statement.match.send(match.keys, values)
    return () if statement.match.send_pairs(match.pairs, values) else None


def _named(statement: Statement, sent: Sequence[Key], answer: dict[Any, _T]) -> dict[Any, _T]:
    """Return an answer by the keys that were asked."""
    return answer if statement.keys == "key" or statement.match is None else statement.match.named(statement.keys, sent, answer)


def _asks_nothing(match: Match | Pairs | None) -> bool:
    if match is None:
        return False
    return not (match.keys if isinstance(match, Match) else match.pairs)


def _starts_at_the_front(page: Page | None) -> bool:
    """Return whether a page without further rows holds all rows there are."""
    return page is None or (page.after is None and page.before is None)


def _only(match: Match | Pairs | None, parents: Sequence[Key | None] | None) -> Match | Pairs | None:
    """Return ``match`` for some of its parents; None are all of them."""
    if parents is None or match is None:
        return match
    kept = set(parents)
    if isinstance(match, Match):
        return Match(match.column, [key for key in match.keys if key in kept])
    return Pairs(match.column, [pair for pair in match.pairs if pair[0] in kept])
