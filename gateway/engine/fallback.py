"""Run a whole operation by graphql-core: what the engine does not plan (introspection, resolvers written by hand), and the oracle of
what it does. The same sources, resolved object by object through the request's dataloaders."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import CoroutineType
from typing import Any, TypeGuard, cast

from aiodataloader import DataLoader
from graphql import (
    ExecutionResult,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    execute,
    get_named_type,
    is_interface_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

from gateway.context import RequestContext
from gateway.engine.document import Document
from gateway.engine.edges import cursor_of_key, page_of_edges
from gateway.engine.nulls import semantic_null
from gateway.engine.plan import source_of
from gateway.engine.results import is_row
from gateway.engine.values import Binder, Bound, write_cursor
from gateway.errors import BatchMismatch
from gateway.fields import (
    Batched,
    Computed,
    Each,
    FromColumn,
    Lookup,
    Many,
    NodeById,
    NodesByIds,
    One,
    Part,
    Source,
    Stats,
    is_semantic_non_null,
)
from gateway.loaders import ask, frozen, load, shared
from gateway.stores.base import EMPTY, Aggregate, Bucket, Collection, Column, Fetch, Key, Match, Measure, Pairs, Row, Slice

Resolver = Callable[..., Any]
Info = GraphQLResolveInfo[Any]


class Record:
    """A row as the parent of resolvers. Columns are attributes too, for resolvers written by hand."""

    __slots__ = ("_columns", "_key", "_row", "type_name")

    def __init__(self, type_name: str, columns: Mapping[str, tuple[int, Column]], row: Row, key: str = "id") -> None:
        self.type_name = type_name
        self._key = key  # which column it is
        self._columns = columns
        self._row = row

    @property
    def row_key(self) -> Any:
        return self.column(self._key)

    def column(self, name: str) -> Any:
        return self._row[self._columns[name][0]]

    def declared(self, name: str) -> Column:
        return self._columns[name][1]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._columns:
            raise AttributeError(name)
        return self.column(name)


class Page:
    """A connection's slice as the parent of its parts. ``error``: why there are keys of nodes, but no nodes."""

    __slots__ = ("_record", "bound", "collection", "error", "slice")

    def __init__(
        self, part: Slice, bound: Bound, collection: Collection, record: Callable[[Row], Record], error: Exception | None = None
    ) -> None:
        self.slice, self.bound, self.collection, self._record, self.error = part, bound, collection, record, error

    def record(self, row: Row) -> Record:
        if self.error is not None:
            raise self.error.with_traceback(None)  # once for every node
        return self._record(row)

    def cursor(self, row: Row) -> str:
        if self.error is not None:
            return cursor_of_key(self.bound, row)
        names = self.collection.names
        return write_cursor(self.bound.cursor_of, [row[names.index(o.column)] for o in self.bound.order])


class Fallback:
    """graphql-core over one schema. Making it sets the resolvers of all fields that declare a source."""

    def __init__(self, schema: GraphQLSchema, collections: Mapping[str, Collection], binder: Binder) -> None:
        self._schema = schema
        self._collections = collections
        self._types = {collection: name for name, collection in collections.items()}
        self._binder = binder
        self._install()

    async def execute(
        self, document: Document, operation: str | None, variables: Mapping[str, Any], ctx: RequestContext
    ) -> ExecutionResult:
        """Return data and errors of the operation."""
        ctx.counts = "totalCount" in document.text
        begun = Begun()
        try:
            result = execute(
                self._schema,
                document.nodes.ast,
                context_value=ctx,
                variable_values=dict(variables),
                operation_name=operation,
                is_awaitable=begun.is_awaitable,
            )
            return await result if inspect.isawaitable(result) else result
        finally:
            begun.end()

    def _install(self) -> None:
        for type_ in self._schema.type_map.values():
            if type_.name.startswith("__"):
                continue
            if is_interface_type(type_):
                type_.resolve_type = _type_of
            if is_object_type(type_):
                type_.is_type_of = None
                for name, definition in type_.fields.items():
                    source = source_of(definition)
                    if source is not None:
                        definition.resolve = _promised(source, type_.name, name, self._resolver(source, definition))
        mutation = self._schema.mutation_type
        for definition in mutation.fields.values() if mutation is not None else ():
            definition.resolve = _reading_afresh(cast("Resolver", definition.resolve))

    # -------------------------------------------------------------------------------------------------------- resolvers

    def _resolver(self, source: Source, definition: GraphQLField) -> Resolver:
        match source:
            case FromColumn(column):
                return _column_resolver(column, get_named_type(definition.type).name == "ID")
            case Computed(function, needs):
                return lambda parent, _info: function(*(parent.column(name) for name in needs))
            case Part(name):
                return _PARTS[name]
            case One():
                return self._one(source)
            case Each():
                return self._each(source)
            case Lookup():
                return self._lookup(source)
            case Many():
                return self._many(source)
            case Stats():
                return self._stats(source, definition)
            case Batched():
                return self._batched(source, definition)
            case NodeById():
                return self._node(source)
            case NodesByIds():
                return self._nodes(source)

    def _record(self, collection: Collection, row: Row | None) -> Record | None:
        return None if row is None else Record(self._types.get(collection, ""), _columns_of(collection), row, collection.key[0])

    def _one(self, source: One) -> Resolver:
        async def resolve(parent: Record, info: Info) -> Record | None:
            key = parent.column(source.by)
            row = None if key is None else await load(info.context, source.collection, key, column=source.collection.key[0])
            return self._record(source.collection, row)

        return resolve

    def _each(self, source: Each) -> Resolver:
        async def resolve(parent: Record, info: Info) -> list[Record] | None:
            keys = parent.column(source.by)
            if keys is None:
                return None
            rows = await asyncio.gather(*(load(info.context, source.collection, key, column=source.collection.key[0]) for key in keys))
            return [cast("Record", self._record(source.collection, row)) for row in rows if row is not None]

        return resolve

    def _lookup(self, source: Lookup) -> Resolver:
        async def resolve(_parent: Any, info: Info, **arguments: Any) -> Record | None:
            bound = self._binder.bind(source, arguments)
            return self._record(source.collection, await load(info.context, source.collection, bound.key, column=bound.column))

        return resolve

    def _node(self, source: NodeById) -> Resolver:
        async def resolve(_parent: Any, info: Info, **arguments: Any) -> Record | None:
            return await self._by_id(info.context, self._binder.bind(source, arguments).key)

        return resolve

    def _nodes(self, source: NodesByIds) -> Resolver:
        async def resolve(_parent: Any, info: Info, **arguments: Any) -> list[Any]:
            ids = self._binder.bind(source, arguments).key
            return list(await asyncio.gather(*(self._by_id(info.context, text) for text in ids), return_exceptions=True))

        return resolve

    async def _by_id(self, ctx: RequestContext, text: str) -> Record | None:
        type_name, _, key = text.partition(":")
        collection = self._collections[type_name]
        return self._record(collection, await load(ctx, collection, key, column=collection.key[0]))

    def _many(self, source: Many) -> Resolver:
        collection = source.collection
        columns = collection.names

        async def resolve(parent: Any, info: Info, **arguments: Any) -> Page:
            ctx: RequestContext = info.context
            bound = self._binder.bind(source, arguments)
            count = ctx.counts
            if source.through is not None:
                return await self._through(ctx, source, parent, bound, count)
            if source.by is None:
                asked = Fetch(collection, columns, None, bound.where, bound.order, bound.page, count)
                part = (await ask(ctx, asked)).get(None, EMPTY)
            else:
                key = parent.row_key
                fetch = Fetch(collection, columns, Match(source.by, ()), bound.where, bound.order, bound.page, count)
                part = await shared(_slices(ctx, fetch).load(key))
            return self._page(source, part, bound)

        return resolve

    def _page(self, source: Many, part: Slice, bound: Bound, error: Exception | None = None) -> Page:
        return Page(part, bound, source.collection, lambda row: cast("Record", self._record(source.collection, row)), error)

    async def _through(self, ctx: RequestContext, source: Many, parent: Record, bound: Bound, count: bool) -> Page:
        through = source.through
        assert through is not None
        edges = await shared(_slices(ctx, Fetch(through.edges, (through.node,), Match(through.parent, ()))).load(parent.row_key))
        if not edges.rows:
            return self._page(source, EMPTY, bound)
        pairs = tuple((parent.row_key, row[0]) for row in edges.rows)
        collection = source.collection
        fetch = Fetch(collection, collection.names, Pairs(collection.key[0], ()), bound.where, bound.order, bound.page, count)
        try:
            return self._page(source, await shared(_slices(ctx, fetch, source).load(pairs)), bound)
        except Exception as exc:
            found = page_of_edges(collection, bound, (row[0] for row in edges.rows))
            if found is None:
                raise
            return self._page(source, found, bound, exc)

    def _stats(self, source: Stats, definition: GraphQLField) -> Resolver:
        columns = {"count": Column("count"), "first_at": Column("first_at"), "last_at": Column("last_at"), "day": Column("day")}
        declared = {c.name: c for c in source.collection.columns} | columns
        type_name = get_named_type(definition.type).name
        measures = (Measure("count"), Measure("min", source.time), Measure("max", source.time))

        async def resolve(parent: Any, info: Info, **arguments: Any) -> list[Record]:
            bound = self._binder.bind(source, arguments)
            asked = Aggregate(source.collection, bound.groups, measures, None, bound.where)
            if source.by is None:
                rows = (await ask(info.context, asked)).get(None, ())
            else:
                rows = await shared(_groups(info.context, asked, source.by).load(parent.row_key))
            names = ["day" if isinstance(g, Bucket) else g for g in bound.groups] + ["count", "first_at", "last_at"]
            found = {name: (names.index(name), column) for name, column in declared.items() if name in names}
            missing = {name: (len(names), column) for name, column in declared.items() if name not in names}
            return [Record(type_name, found | missing, (*row, None)) for row in rows]

        return resolve

    def _batched(self, source: Batched, definition: GraphQLField) -> Resolver:
        named = get_named_type(definition.type)
        columns = {column.name: (i, column) for i, column in enumerate(source.columns)}
        bare: Any = definition.type.of_type if is_non_null_type(definition.type) else definition.type
        drops = _drops(named) if is_object_type(named) else []

        async def resolve(parent: Any, info: Info, **arguments: Any) -> Any:
            bound = self._binder.bind(source, arguments)
            key = bound.key if source.key_argument is not None else parent.column(source.by)
            if key is None:
                return None
            value = await shared(_values(info.context, source, bound.arguments or {}).load(key))
            if value is None or not source.columns:
                return value
            if not is_list_type(bare):
                return Record(named.name, columns, value)
            records = [Record(named.name, columns, row) if is_row(row) else row for row in value]
            return await _present(info.context, drops, records)

        return resolve


class Begun:
    """The coroutines of one execution. Where graphql-core nulls a parent it drops those of the fields below, some before they ran,
    and Python warns of each when it is collected, anywhere: so they are closed here."""

    def __init__(self) -> None:
        self._coroutines: list[CoroutineType[Any, Any, Any]] = []

    def is_awaitable(self, value: Any) -> TypeGuard[Awaitable[Any]]:
        if isinstance(value, CoroutineType):
            self._coroutines.append(value)
            return True
        return hasattr(value, "__await__")

    def end(self) -> None:
        for coroutine in self._coroutines:
            _close(coroutine)


def _close(coroutine: CoroutineType[Any, Any, Any]) -> None:
    """End a coroutine that has not run yet, and those it was to wait for: of list items graphql-core asks nobody what they are."""
    if inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
        return
    held = [item for local in inspect.getcoroutinelocals(coroutine).values() for item in (local if isinstance(local, list) else (local,))]
    coroutine.close()
    for item in held:
        if isinstance(item, CoroutineType):
            _close(item)


# ------------------------------------------------------------------------------------------------------------- resolvers


def _type_of(value: Any, _info: Info, _type: Any) -> str | None:
    if isinstance(value, Record):
        return value.type_name
    definition = getattr(value, "__strawberry_definition__", None)
    return type(value).__name__ if definition is None else cast("str", definition.name)


def _reading_afresh(resolve: Resolver) -> Resolver:
    """A mutation's root fields run one after the other: what was read before a write may not be true after it."""

    def fresh(parent: Any, info: Info, **arguments: Any) -> Any:
        info.context.forget_reads()
        return resolve(parent, info, **arguments)

    return fresh


def _promised(source: Source, type_name: str, name: str, resolve: Resolver) -> Resolver:
    """A null without an error is one where the source promised that there is none."""
    if not isinstance(source, (One, Each, Batched)) or not is_semantic_non_null(source):
        return resolve  # the others never give a null

    async def promised(parent: Any, info: Info, **arguments: Any) -> Any:
        value = await resolve(parent, info, **arguments)
        if value is None and not is_non_null_type(info.return_type):
            raise semantic_null(type_name, name)
        return value

    return promised


def _column_resolver(name: str, is_id: bool) -> Resolver:
    def resolve(parent: Any, _info: Info) -> Any:
        if not isinstance(parent, Record):
            return getattr(parent, name)
        value = parent.column(name)
        refers = parent.declared(name).refers if is_id else None
        return value if refers is None or value is None else f"{refers}:{value}"

    return resolve


_PARTS: dict[str, Resolver] = {
    "nodes": lambda page, _info: [page.record(row) for row in page.slice.rows],
    "edges": lambda page, _info: [(page, row) for row in page.slice.rows],
    "node": lambda edge, _info: edge[0].record(edge[1]),
    "cursor": lambda edge, _info: edge[0].cursor(edge[1]),
    "page_info": lambda page, _info: page,
    "total_count": lambda page, _info: page.slice.total,
    "has_next_page": lambda page, _info: page.bound.page.before is not None if page.bound.page.backward else page.slice.more,
    "has_previous_page": lambda page, _info: page.slice.more if page.bound.page.backward else page.bound.page.after is not None,
    "start_cursor": lambda page, _info: page.cursor(page.slice.rows[0]) if page.slice.rows else None,
    "end_cursor": lambda page, _info: page.cursor(page.slice.rows[-1]) if page.slice.rows else None,
}


def _drops(type_: GraphQLObjectType) -> list[One]:
    sources = [source_of(definition) for definition in type_.fields.values()]
    return [source for source in sources if isinstance(source, One) and source.drop]


async def _present(ctx: RequestContext, drops: Sequence[One], items: list[Any]) -> list[Any]:
    """Leave out records whose ``drop`` object is gone; when its store fails nobody knows, and they stay. Nulls and errors stay."""
    for source in drops:
        keys = [key for item in items if isinstance(item, Record) and (key := item.column(source.by)) is not None]
        try:
            rows = await asyncio.gather(*(load(ctx, source.collection, key, column=source.collection.key[0]) for key in keys))
        except Exception:  # noqa: S112 - the field itself reports it, where it is selected
            continue
        present = {key for key, row in zip(keys, rows, strict=True) if row is not None}
        items = [item for item in items if not isinstance(item, Record) or item.column(source.by) in present]
    return items


def _columns_of(collection: Collection) -> dict[str, tuple[int, Column]]:
    return {column.name: (i, column) for i, column in enumerate(collection.columns)}


# --------------------------------------------------------------------------------------------------- loaders by parent


def _loader(ctx: RequestContext, memo_key: Any, batch: Callable[[list[Any]], Awaitable[list[Any]]]) -> DataLoader[Any, Any]:
    loader = ctx.loaders.get(memo_key)
    if loader is None:
        loader = ctx.loaders[memo_key] = DataLoader(cast("Any", batch), loop=asyncio.get_running_loop())
    return cast("DataLoader[Any, Any]", loader)


def _slices(ctx: RequestContext, fetch: Fetch, edge: Many | None = None) -> DataLoader[Any, Slice]:
    """Pages by parent; keys are parents, or a parent's pairs where ``fetch.match`` is Pairs."""
    assert fetch.match is not None
    match = fetch.match
    memo_key = (type(match), match.column, fetch.collection, fetch.where, fetch.order, fetch.page, fetch.count, edge and edge.through)

    async def batch(keys: list[Any]) -> list[Any]:
        if isinstance(match, Match):
            answer = await ask(ctx, replace(fetch, match=Match(match.column, keys)))
            return [answer.get(key, EMPTY) for key in keys]
        answer = await ask(ctx, replace(fetch, match=Pairs(match.column, [pair for pairs in keys for pair in pairs])))
        return [answer.get(pairs[0][0], EMPTY) for pairs in keys]

    return _loader(ctx, memo_key, batch)


def _groups(ctx: RequestContext, aggregate: Aggregate, by: str) -> DataLoader[Key, Sequence[Row]]:
    async def batch(keys: list[Key]) -> list[Any]:
        answer = await ask(ctx, replace(aggregate, match=Match(by, keys)))
        return [answer.get(key, ()) for key in keys]

    return _loader(ctx, (aggregate.collection, by, aggregate.groups, aggregate.where), batch)


def _values(ctx: RequestContext, source: Batched, arguments: Mapping[str, Any]) -> DataLoader[Key, Any]:
    async def batch(keys: list[Key]) -> list[Any]:
        results = await source.function(ctx, keys, **arguments)
        if len(results) != len(keys):
            raise BatchMismatch(source.name, results=len(results), keys=len(keys))
        return list(results)

    return _loader(ctx, (source.function, frozen(arguments)), batch)
