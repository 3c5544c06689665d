"""Answer requests by statements, whoever runs them: the store, each in a transaction of its own, or one transaction, all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from typing import Any, cast

from neo4j import exceptions as driver_errors

from gateway.caches import Lru, weight_of_text
from gateway.errors import StoreMisbehaved
from gateway.stores.base import (
    A,
    Advance,
    Aggregate,
    Bump,
    Changed,
    Claim,
    Collection,
    Delete,
    Fetch,
    Get,
    Groups,
    Handlers,
    Insert,
    Key,
    Lock,
    NativeCall,
    Remove,
    Request,
    Row,
    Rows,
    Slices,
    Together,
    Update,
    Upsert,
    Value,
    Where,
    Within,
)
from gateway.stores.measures import joined
from gateway.stores.neo4j.aggregates import aggregate_decoders, aggregate_statement
from gateway.stores.neo4j.changes import (
    insert_text,
    inserted_rows,
    is_compared,
    is_one_statement,
    is_twice,
    lock_statement,
    move_statement,
    remove_statement,
    require_changeable,
    require_insertable,
    sets_ends,
    taken_keys,
    taken_text,
    together_text,
    update_statement,
)
from gateway.stores.neo4j.conditions import Parameters, split
from gateway.stores.neo4j.cypher import fetch_statement, get_statement
from gateway.stores.neo4j.log import advance_statement, bump_statement, claim_statement
from gateway.stores.neo4j.native import NativeText
from gateway.stores.neo4j.sources import CarefulSource, Source, SteadySource
from gateway.stores.neo4j.values import decode_rows, require_values, to_wire
from gateway.stores.neo4j.writes import delete_text, deleted, upsert_text, written
from gateway.stores.placeholders import prefix_of
from gateway.stores.shared import conflict, grouped, in_order_of, pages
from gateway.stores.values import sorted_anyhow

SOURCES_KEPT = 1_000
NATIVE_LIMIT_BYTES = 8 * 1024 * 1024

# Of a statement that met a value of a type that it cannot take.
_OF_TYPES = {"Neo.ClientError.Statement.TypeError", "Neo.ClientError.Statement.ArgumentError", "Neo.ClientError.Statement.SyntaxError"}

Records = Sequence[Sequence[Value]]


class Names:
    """What collections are called in one database, and the texts of its native queries, as long as the store is there."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.source = lru_cache(maxsize=SOURCES_KEPT)(lambda collection: Source(prefix, collection))
        self.steady = lru_cache(maxsize=SOURCES_KEPT)(lambda collection: SteadySource(prefix, collection))
        self.moved = lru_cache(maxsize=SOURCES_KEPT)(lambda collection: SteadySource(prefix, collection, ("a", "r", "b")))
        self.careful = lru_cache(maxsize=SOURCES_KEPT)(lambda collection: CarefulSource(prefix, collection))
        self._native_texts: Lru[Any, NativeText] = Lru(SOURCES_KEPT, NATIVE_LIMIT_BYTES)

    def native(self, call: NativeCall) -> tuple[NativeText, Parameters]:
        """Return the query's text, and the parameters of what it is narrowed by."""
        shapes: list[tuple[Collection, Where | None]] = []
        parameters: Parameters = {}
        for number, (collection, where) in enumerate(call.narrowings):
            shape, values = split(self.source(collection), where, prefix_of(number))
            shapes.append((collection, shape))
            parameters |= values
        key = (call.native, *shapes)
        text = self._native_texts.get(key)
        if text is None:
            text = NativeText(call.native, self.prefix, shapes)
            self._native_texts.put(key, text, weight_of_text(text.plain))
        return text, parameters


class Answers(ABC):
    """The answer to each type of request."""

    name: str  # of the store

    def __init__(self, names: Names) -> None:
        self._names = names
        self._handlers = Handlers(
            {
                Get: self._get,
                Fetch: self._fetch,
                Aggregate: self._aggregate,
                NativeCall: self._native,
                Upsert: self._upsert,
                Delete: self._delete,
                Insert: self._insert,
                Together: self._together,
                Update: self._update,
                Remove: self._remove,
                Lock: self._lock,
                Within: self._within,
                Bump: self._bump,
                Advance: self._advance,
                Claim: self._claim,
            }
        )

    @abstractmethod
    async def _records(self, text: str, parameters: Parameters) -> tuple[Sequence[str], Records]:
        """Run a statement that reads; return the names of its columns, and the records."""

    @abstractmethod
    async def _changed(self, text: str, parameters: Parameters, collections: Sequence[Collection]) -> Any:
        """Run a statement that writes rows of these collections; return the one value of its first record, None where it has none."""

    # ------------------------------------------------------------------------------------------------------------- reads

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._handlers[type(request)](request)

    async def _get(self, get: Get) -> Rows:
        source, found = await self._asked(get_statement, get)
        rows: dict[Key, Row] = dict(found)
        decode_rows(source.decoders(get.columns), rows.values())
        return rows

    async def _fetch(self, fetch: Fetch) -> Slices:
        source, records = await self._asked(fetch_statement, fetch)
        slices = pages({parent: rows for parent, rows, _ in records}, fetch.page)
        decoders = source.decoders(fetch.columns)
        for parent, _, total in records:
            part = slices[parent]
            decode_rows(decoders, part.rows)
            if fetch.count:
                slices[parent] = part._replace(total=len(part.rows) if fetch.page is None else total)
        return slices

    async def _aggregate(self, aggregate: Aggregate) -> Groups:
        source, records = await self._asked(aggregate_statement, aggregate)
        decode_rows(aggregate_decoders(source, aggregate), [row for _, row in records])
        in_order = in_order_of(aggregate.group_columns)
        return joined(aggregate, {parent: sorted_anyhow(rows, key=in_order) for parent, rows in grouped(records).items()})

    async def _native(self, call: NativeCall) -> Groups:
        text, parameters = self._names.native(call)
        records = await self._native_records(text, {**call.arguments, **parameters, "keys": list(call.keys)})
        answer = grouped((parent, row) for parent, *row in records)
        for rows in answer.values():
            to_wire(call.native.columns, rows)
        return answer

    async def _native_records(self, text: NativeText, parameters: Parameters) -> Records:
        if text.in_one is not None:
            return cast("Records", await self._read(text.in_one, parameters))
        names, records = await self._records(text.plain, parameters)
        await self._learn(text, names, parameters)
        return records

    async def _learn(self, text: NativeText, names: Sequence[str], parameters: Parameters) -> None:
        in_one = text.learn(names)
        if in_one is not None:
            try:
                await self._read(f"EXPLAIN {in_one}", parameters)
                text.in_one = in_one
            except StoreMisbehaved:
                pass  # what may stand alone may still not stand in a subquery (an unnamed column, say); then it stays as it is

    async def _within(self, within: Within[Any]) -> Any:
        return await self._handlers[type(within.read)](within.read)  # not in turn: this one has it

    async def _asked(self, statement: Callable[[Source, Any], tuple[str, Parameters]], request: Any) -> tuple[Source, Any]:
        """The answer to a request, and what it was asked of. Where a managed collection has a value that its column's way to the wire
        cannot take, it is asked carefully.
        """
        source = self._names.source(request.collection)
        try:
            return source, await self._read(*statement(source, request))
        except StoreMisbehaved as exc:
            cause = exc.__cause__
            if source.is_careful or not isinstance(cause, driver_errors.Neo4jError) or cause.code not in _OF_TYPES:
                raise
        source = self._names.careful(request.collection)
        return source, await self._read(*statement(source, request))

    async def _read(self, text: str, parameters: Parameters) -> Any:
        """The one value of the one record."""
        _, records = await self._records(text, parameters)
        return records[0][0] if records else None

    # ------------------------------------------------------------------------------------------------------------ writes

    async def _upsert(self, upsert: Upsert) -> None:
        if not upsert.rows:
            return
        require_values(upsert.collection, upsert.rows)
        rows = written(upsert.collection, upsert.rows)
        await self._changed(upsert_text(self._names.source(upsert.collection)), {"rows": rows}, [upsert.collection])

    async def _delete(self, delete: Delete) -> None:
        if delete.keys:
            source = self._names.source(delete.collection)
            await self._changed(delete_text(source), {"keys": deleted(source, delete.keys)}, [delete.collection])

    # ----------------------------------------------------------------------------------------------------------- changes

    async def _insert(self, insert: Insert) -> Sequence[Row]:
        """In one transaction, where it is more than one statement, which has to be rolled back when this raises."""
        require_insertable(insert)
        collection = insert.collection
        if not insert.rows:
            return ()
        source, steady = self._names.source(collection), self._names.steady(collection)
        if is_compared(source):
            taken = await self._changed(taken_text(source), {"keys": taken_keys(source, insert)}, [collection])
            if taken or is_twice(insert):
                raise conflict(self.name, collection.name, collection.key)
        rows, order = inserted_rows(insert)
        found = await self._changed(insert_text(source, steady, insert.columns), {"rows": rows}, [collection])
        if is_twice(insert) or any(is_taken for is_taken, _ in found):
            raise conflict(self.name, collection.name, collection.key)
        decode_rows(steady.decoders(collection.names), [row for _, row in found])
        answer: list[Row] = [()] * len(order)
        for place, (_, row) in zip(order, found, strict=True):
            answer[place] = row
        return answer

    async def _together(self, together: Together) -> None:
        """In one transaction, as above."""
        inserts = [insert for insert in together.inserts if insert.rows]
        sources = [self._names.source(insert.collection) for insert in inserts]
        if not inserts:
            return
        if not all(map(is_one_statement, sources)):
            for insert in inserts:
                await self._insert(insert)
            return
        for insert in inserts:
            require_insertable(insert)
        parts = tuple([(source, insert.columns) for source, insert in zip(sources, inserts, strict=True)])
        rows = {f"rows{number}": inserted_rows(insert)[0] for number, insert in enumerate(inserts)}
        await self._changed(together_text(parts), rows, [insert.collection for insert in inserts])

    async def _update(self, update: Update) -> Changed | None:
        """In one transaction, as above, where the ends of a relationship may change."""
        require_changeable(update)
        changed = await self._change(update, update_statement)
        if changed is None or changed.after is None or not sets_ends(update):
            return changed
        collection = update.collection
        moved = self._names.moved(collection)
        asked = move_statement(moved, update, changed.before, changed.after)
        if asked is None:
            return changed
        is_taken, row = await self._changed(*asked, [collection])
        if is_taken:
            raise conflict(self.name, collection.name, collection.key)
        decode_rows(moved.decoders(collection.names), [row])
        return changed._replace(after=row)

    async def _remove(self, remove: Remove) -> Changed | None:
        return await self._change(remove, remove_statement)

    async def _change(self, change: Any, statement: Callable[[Source, Source, Any], tuple[str, Parameters] | None]) -> Changed | None:
        steady = self._names.steady(change.collection)
        asked = statement(self._names.source(change.collection), steady, change)
        if asked is None:  # the key of no row that there can be
            return None
        found = await self._changed(*asked, [change.collection])
        if found is None:
            return None
        before, after, is_done = found
        decode_rows(steady.decoders(change.collection.names), [before] if after is None else [before, after])
        return Changed(before, after, is_done)

    async def _lock(self, lock: Lock) -> Rows:
        source, steady = self._names.source(lock.collection), self._names.steady(lock.collection)
        rows: dict[Key, Row] = dict(await self._changed(*lock_statement(source, steady, lock), [lock.collection]))
        decode_rows(steady.decoders(lock.collection.names), rows.values())
        return rows

    # --------------------------------------------------------------------------------------------------------------- log

    async def _bump(self, bump: Bump) -> dict[Key, int]:
        return dict(await self._changed(*bump_statement(self._names.source(bump.collection), bump), [bump.collection]))

    async def _advance(self, advance: Advance) -> frozenset[Key]:
        return frozenset(await self._changed(*advance_statement(self._names.source(advance.collection), advance), [advance.collection]))

    async def _claim(self, claim: Claim) -> Sequence[Row]:
        source = self._names.source(claim.collection)
        rows: Sequence[Any] = await self._changed(*claim_statement(source, claim), [claim.collection])
        decode_rows(source.decoders(claim.collection.names), rows)
        return rows
