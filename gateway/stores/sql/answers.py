"""Answer requests by statements, on whatever runs them: a store's driver, or one transaction of it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import orjson

from gateway.errors import Conflict, StoreUnavailable
from gateway.stores.base import (
    EMPTY,
    Advance,
    Aggregate,
    Bump,
    Claim,
    Delete,
    Ends,
    Fetch,
    Get,
    Groups,
    Handlers,
    Insert,
    Key,
    Lock,
    Match,
    NativeCall,
    Page,
    Pairs,
    Remove,
    Request,
    Row,
    Rows,
    Slice,
    Slices,
    Together,
    Update,
    Upsert,
    Value,
    Within,
    note,
)
from gateway.stores.measures import joined
from gateway.stores.shared import grouped_by_first, grouped_by_last, pages, to_write
from gateway.stores.sql.aiosqlite import is_unfit_for_json
from gateway.stores.sql.changes import Changes, Work, collections_of, declared
from gateway.stores.sql.dialects import Dialect
from gateway.stores.sql.statements import Statement, Statements

_T = TypeVar("_T")


class Runs(Protocol):
    """What runs statements, and translates its driver's errors. A ``write`` and a ``run`` are done as a whole or not at all."""

    async def fetch(self, text: str, values: Sequence[Value]) -> Sequence[Row]: ...

    async def write(self, text: str, calls: Sequence[Sequence[Value]]) -> None: ...

    async def run(self, work: Work[_T]) -> _T: ...


class Answers:
    """Rows are plain tuples."""

    name: str
    enforces_types: bool
    statements: Statements
    _driver: Runs
    _dialect: Dialect
    _changes: Changes
    _handlers: Handlers

    def _handled(self) -> Handlers:
        return Handlers(
            {
                Get: self._get,
                Fetch: self._fetch,
                Aggregate: self._aggregate,
                NativeCall: self._native,
                Upsert: self._upsert,
                Delete: self._delete,
                Lock: self._lock,
                Within: self._within,
                **dict.fromkeys((Insert, Update, Remove, Together, Bump, Advance, Claim), self._change),
            }
        )

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
            values = self._dialect.upsert_values(upsert.collection, rows)
            text = self.statements.upsert(upsert).text
            note(text)
            await self._as_declared(upsert, self._driver.write(text, values))

    async def _delete(self, delete: Delete) -> None:
        keys = sorted(set(delete.keys))
        if keys:
            values = self._dialect.delete_values(delete.collection, keys)
            text = self.statements.delete(delete).text
            note(text)
            await self._as_declared(delete, self._driver.write(text, values))

    async def _lock(self, lock: Lock) -> Rows:
        """A read: who is in no transaction holds nothing."""
        return await self._get(Get(lock.collection, lock.collection.names, lock.keys, lock.collection.key_name, lock.where))

    async def _within(self, within: Within[Any]) -> Any:
        return await self._handlers[type(within.read)](within.read)

    async def _change(self, request: Request[Any]) -> Any:
        return await self._as_declared(request, self._driver.run(self._changes.work(request)))

    # ------------------------------------------------------------------------------------------------------------ helpers

    async def _as_declared(self, request: Request[Any], answer: Awaitable[_T]) -> _T:
        """Return an answer; a conflict names what it is about as its collection does."""
        try:
            return await answer
        except Conflict as error:
            raise declared(error, self.name, self._dialect.kind, collections_of(request)) from error.__cause__

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


def _send(statement: Statement, match: Match | Pairs | Ends | None, values: dict[str, Value]) -> Sequence[Key] | None:
    """Add what a match binds to ``values``. Return the keys that are sent; None where nothing can match."""
    if match is None or statement.match is None:
        return ()
    if isinstance(match, Pairs):
        return () if statement.match.send_pairs(match.pairs, values) else None
    return statement.match.send(match.keys, values)


def _named(statement: Statement, sent: Sequence[Key], answer: dict[Any, _T]) -> dict[Any, _T]:
    """Return an answer by the keys that were asked."""
    return answer if statement.keys == "key" or statement.match is None else statement.match.named(statement.keys, sent, answer)


def _asks_nothing(match: Match | Pairs | Ends | None) -> bool:
    if match is None:
        return False
    return not (match.pairs if isinstance(match, Pairs) else match.keys)


def _starts_at_the_front(page: Page | None) -> bool:
    """Return whether a page without further rows holds all rows there are."""
    return page is None or (page.after is None and page.before is None)


def _only(match: Match | Pairs | Ends | None, parents: Sequence[Key | None] | None) -> Match | Pairs | Ends | None:
    """Return ``match`` for some of its parents; None are all of them."""
    if parents is None or match is None:
        return match
    kept = set(parents)
    if isinstance(match, Pairs):
        return Pairs(match.column, [pair for pair in match.pairs if pair[0] in kept])
    return replace(match, keys=[key for key in match.keys if key in kept])
