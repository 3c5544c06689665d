"""The oracle of the engine: graphql-core over the same graph and stores, one object and one field at a time.

oracle = Executor(graph, stores)
await oracle.execute("{ users { totalCount } }")      {"data": {"users": {"totalCount": 222}}}

Beside ``Oracle``, which knows the example's contract and has rows of its own, this one takes any graph: it reads the sources that its
fields declare, and asks its stores. Each field of each object asks for itself, by one key, all columns, all rows of that parent; what is
asked for is filtered, ordered, cut and counted here. So it has nothing in common with the engine but the stores and the schema:
no plan, no batch, no shared call, no second walk. What authors wrote (batch functions, resolvers) runs as it is, for one key at a time.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, cast

from graphql import (
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    execute_sync,
    get_named_type,
    get_nullable_type,
    get_variable_values,
    is_list_type,
    is_non_null_type,
    is_object_type,
    parse,
    validate,
)
from sqlalchemy.util import await_only, greenlet_spawn

from gateway.context import RequestContext
from gateway.engine.sources import (
    Batched,
    Computed,
    Each,
    Followed,
    FromColumn,
    Lookup,
    Many,
    ManyEdges,
    ManyThrough,
    Mutation,
    NodeById,
    NodesByIds,
    One,
    Part,
    Source,
    Stats,
    Version,
    Written,
)
from gateway.engine.sources.source import SOURCE
from gateway.errors import BatchMismatch, Bug, GatewayError
from gateway.graph.fields import Graph
from gateway.stores import Stores
from gateway.stores.base import Collection, Column
from gateway.stores.types import join_key
from gateway.writes.tables import tables_of
from tests.oracle.arguments import check_arguments
from tests.oracle.asking import Asking
from tests.oracle.filters import Record
from tests.oracle.reading import Edge, Page, Reader, batch_arguments
from tests.oracle.schemas import Info, Resolver, copy_of

Answer = dict[str, Any]

_is_null = re.compile(r"Cannot return null for non-nullable field \w+\.\w+\.").fullmatch


class Object:
    """A row as the parent of resolvers. Its columns are attributes, which resolvers written by hand read."""

    def __init__(self, type_name: str, columns: Mapping[str, Column], values: Record, key: str = "id") -> None:
        self._type_name, self._columns, self._values, self._key = type_name, columns, values, key

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._columns:
            raise AttributeError(name)
        return self._values[name]


class _EdgeObject(Object):
    """An edge with columns of its own."""

    @property
    def node(self) -> Any:
        return self._values["node"]

    @property
    def cursor(self) -> str:
        return str(self._values["cursor"])


class Executor:
    """Answers queries and mutations over a graph and its open stores. ``request_id`` is what masked errors tell.

    ``validates=False`` is for documents that are valid by construction: validation takes half of the time.
    """

    def __init__(self, graph: Graph, stores: Stores, *, request_id: str = "test", validates: bool = True) -> None:
        self._collections = {refers: c for c in graph.collections if len(c.key) == 1 and (refers := c[c.key[0]].refers) is not None}
        self._types = {collection: name for name, collection in self._collections.items()}
        self._reader = Reader(self._collections)
        self._stores = stores
        self._ask = Asking(stores)
        self._request_id = request_id
        self._validates = validates
        self.schema = copy_of(graph.schema._schema, self._resolver, _type_of)

    async def execute(self, query: str, variables: Mapping[str, Any] | None = None, operation_name: str | None = None) -> Answer:
        """Return {"data": …} and, where there are some, {"errors": […]}. A refused operation has no "data"."""
        try:
            document = parse(query)
        except GraphQLError as exc:
            return _refused([exc], "GRAPHQL_PARSE_FAILED")
        invalid = validate(self.schema, document) if self._validates else []
        if invalid:
            return _refused(invalid, "GRAPHQL_VALIDATION_FAILED")
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        chosen = [o for o in operations if operation_name is None or (o.name is not None and o.name.value == operation_name)]
        if len(chosen) != 1:
            return _refused([GraphQLError(f"There are {len(chosen)} operations to choose from.")], "OPERATION_RESOLUTION_FAILURE")
        if chosen[0].operation is OperationType.SUBSCRIPTION:
            raise NotImplementedError("the oracle answers queries and mutations")
        values = get_variable_values(self.schema, chosen[0].variable_definitions or (), dict(variables or {}))
        if isinstance(values, list):
            return _refused(values, "BAD_USER_INPUT")
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        wrong = check_arguments(self.schema, chosen[0], fragments, values, self._check)
        if wrong:
            return _refused(wrong, "BAD_USER_INPUT")
        # Resolvers wait by themselves (_settled), so that graphql-core sees values alone, and has no coroutines to leave behind where it
        # nulls a parent.
        result = await greenlet_spawn(
            execute_sync,
            self.schema,
            document,
            context_value=self._context(),
            variable_values=dict(variables or {}),
            operation_name=operation_name,
        )
        assert isinstance(result, ExecutionResult)
        answer: Answer = {"data": result.data}
        if result.errors:
            answer["errors"] = [self._shown(error) for error in result.errors]
        return answer

    def _context(self) -> RequestContext:
        return RequestContext(self._stores, self._request_id)

    def _check(self, parent: str, field: str, _target: str, args: dict[str, Any]) -> None:
        self._reader.check(_source_of(cast("GraphQLObjectType", self.schema.type_map[parent]).fields[field]), args)

    def _shown(self, error: GraphQLError) -> dict[str, Any]:
        """Return an error as a client sees it: what is not meant for clients is masked."""
        shown: dict[str, Any] = dict(error.formatted)
        original = error.original_error
        if isinstance(original, GatewayError) and not isinstance(original, Bug):
            return shown | {"message": original.message, "extensions": original.extensions}
        code = {"code": "INTERNAL_SERVER_ERROR"}
        if original is None or isinstance(original, GraphQLError) or _is_null(error.message):
            return shown | {"extensions": code | (error.extensions or {})}
        return shown | {"message": "Internal server error.", "extensions": code | {"requestId": self._request_id}}

    # -------------------------------------------------------------------------------------------------------- resolvers

    def _resolver(self, type_name: str, name: str, definition: GraphQLField) -> Resolver | None:
        source = _source_of(definition)
        resolve = definition.resolve if source is None else self._of(source, definition)
        if resolve is None:
            return None
        resolve = _settled(resolve)
        return _promised(type_name, name, resolve) if _promises(source) and not is_non_null_type(definition.type) else resolve

    def _of(self, source: Source, definition: GraphQLField) -> Resolver:
        match source:
            case FromColumn(column):
                is_id = get_named_type(definition.type).name == "ID"
                return lambda parent, _info: _column(parent, column, is_id)
            case Computed(function, needs):
                return lambda parent, _info: function(*(getattr(parent, name) for name in needs))
            case Part(name):
                return lambda parent, _info: getattr(parent, name)
            case One():
                return lambda parent, _info: self._one(source.collection, getattr(parent, source.by))
            case Each():
                return lambda parent, _info: self._each(source.collection, getattr(parent, source.by))
            case Lookup():
                return lambda _parent, _info, **args: self._lookup(source, args)
            case Many():
                return lambda parent, _info, **args: self._many(source, parent, args)
            case Stats():
                return self._stats(source, get_named_type(definition.type).name)
            case Batched():
                return self._batched(source, definition)
            case NodesByIds():
                return lambda _parent, _info, **args: self._nodes(args["ids"])
            case NodeById():
                return lambda _parent, _info, **args: self._node(args["id"])
            case Version():
                return lambda parent, _info: self._version(parent)
            case Mutation() | Written() | Followed():
                return _unwritten
        raise TypeError(f"no resolver for {source!r}")

    def _object(self, collection: Collection, record: Record) -> Object:
        return Object(self._types.get(collection, ""), {c.name: c for c in collection.columns}, record, collection.key[0])

    async def _version(self, parent: Object) -> int:
        collection = next(its for its in self._types if its.declared.keys() == parent._columns.keys())
        versions = tables_of(collection.store).versions
        record = await self._ask.row(versions, versions.key_name, join_key((collection.name, parent._values[parent._key])))
        return 0 if record is None else int(record["version"])

    async def _one(self, collection: Collection, key: Any) -> Object | None:
        record = None if key is None else await self._ask.row(collection, collection.key[0], key)
        return None if record is None else self._object(collection, record)

    async def _each(self, collection: Collection, keys: Any) -> list[Object] | None:
        if keys is None:
            return None
        found = [await self._one(collection, key) for key in keys]
        return [item for item in found if item is not None]

    async def _lookup(self, source: Lookup, args: Mapping[str, Any]) -> Object | None:
        column, key = self._reader.looked_up(source, args)
        record = await self._ask.row(source.collection, column, key)
        return None if record is None else self._object(source.collection, record)

    async def _node(self, text: str) -> Object | None:
        type_name, key = self._reader.type_and_key(text)
        return await self._one(self._collections[type_name], key)

    async def _nodes(self, ids: list[str]) -> list[Object | Exception | None]:
        found: list[Object | Exception | None] = []
        for text in ids:
            try:
                found.append(await self._node(text))
            except Exception as exc:  # in its own slot: the other nodes are as if nothing had happened
                found.append(exc)
        return found

    async def _many(self, source: Many, parent: Any, args: Mapping[str, Any]) -> Page:
        collection = source.collection
        if isinstance(source, ManyEdges):
            return await self._edges(source, getattr(parent, parent._key), args)
        if isinstance(source, ManyThrough):
            return await self._through(source, getattr(parent, parent._key), args)
        if source.by is None:
            records = await self._ask.rows(collection)
        else:
            records = await self._ask.rows_with(collection, source.by, getattr(parent, parent._key))
        return self._page(collection, self._reader.page(collection, records, args))

    async def _through(self, source: ManyThrough, parent: Any, args: Mapping[str, Any]) -> Page:
        collection, through = source.collection, source.through
        edges = await self._ask.rows_with(through.edges, through.parent, parent)
        keys = [edge[through.node] for edge in edges]
        try:
            records = await self._ask.rows_named(collection, parent, keys) if keys else []
        except Exception as exc:
            return self._reader.page_of_keys(collection, keys, args, exc)
        return self._page(collection, self._reader.page(collection, records, args))

    async def _edges(self, source: ManyEdges, parent: Any, args: Mapping[str, Any]) -> Page:
        """Return a page of edges, each an object with its node; those whose node is gone count and are left out."""
        through, nodes = source.through, source.collection
        matching = [
            edge
            for edge in await self._ask.rows_with(through.edges, through.parent, parent)
            if self._reader.matches(through.edges, edge, args.get("where"))
        ]
        ends: dict[Any, Any] = {}
        for key in {edge[through.node] for edge in matching} - {None}:
            try:
                ends[key] = await self._one(nodes, key)
            except Exception as exc:  # nobody knows which are gone
                ends[key] = exc
        page = self._reader.page(through.edges, [edge for edge in matching if ends.get(edge[through.node]) is not None], args)
        found = [
            _EdgeObject(
                self._types.get(through.edges, ""),
                through.edges.declared,
                edge.node | {"node": ends[edge.node[through.node]], "cursor": edge.cursor},
                through.edges.key[0],
            )
            for edge in page.edges
        ]
        failed = next((edge.node for edge in found if isinstance(edge.node, Exception)), None)
        shown = failed if failed is not None else [edge.node for edge in found]
        return Page(shown, cast("list[Edge]", found), len(matching), page.has_next_page, page.has_previous_page)

    def _page(self, collection: Collection, page: Page) -> Page:
        """Return a page of objects for a page of records."""
        nodes = [self._object(collection, record) for record in page.nodes]
        edges = [Edge(node, edge.cursor) for node, edge in zip(nodes, page.edges, strict=True)]
        return Page(nodes, edges, page.total_count, page.has_next_page, page.has_previous_page)

    def _stats(self, source: Stats, type_name: str) -> Resolver:
        made = {name: Column(name) for name in (*dict(source.measures), *(() if source.bucket is None else (source.bucket,)))}
        columns = {column.name: column for column in source.collection.columns} | made

        async def resolve(parent: Any, _info: Info, **args: Any) -> list[Object]:
            if source.by is None:
                records = await self._ask.rows(source.collection)
            else:
                records = await self._ask.rows_with(source.collection, source.by, getattr(parent, parent._key))
            groups = self._reader.groups(source, records, args)
            return [Object(type_name, columns, dict.fromkeys(columns) | group) for group in groups]

        return resolve

    def _batched(self, source: Batched, definition: GraphQLField) -> Resolver:
        type_name = get_named_type(definition.type).name
        columns = {column.name: column for column in source.columns}

        def item(value: Any) -> Any:
            if value is None or isinstance(value, Exception):
                return value
            if not isinstance(value, tuple) or len(value) != len(columns):
                raise BatchMismatch(source.name, expected="a row", got=repr(value))
            return Object(type_name, columns, dict(zip(columns, value, strict=True)))

        async def resolve(parent: Any, _info: Info, **args: Any) -> Any:
            key = getattr(parent, source.by) if source.key_argument is None else self._reader.key_argument(source, args)
            if key is None:
                return None
            results = await source.function(self._context(), [key], **batch_arguments(source, args))
            if not isinstance(results, list) or len(results) != 1:
                raise BatchMismatch(source.name, expected="a list of one", got=repr(results))
            value = results[0]
            if value is None or isinstance(value, Exception) or not columns:
                return value
            if not is_list_type(get_nullable_type(definition.type)):
                return item(value)
            return await self._present(get_named_type(definition.type), [item(row) for row in value])

        return resolve

    async def _present(self, type_: Any, items: list[Any]) -> list[Any]:
        """Leave out objects without what their type's ``drop`` fields name; while its store fails nobody knows, and they stay."""
        for definition in type_.fields.values() if is_object_type(type_) else ():
            source = _source_of(definition)
            if not isinstance(source, One) or not source.drop:
                continue
            try:
                items = [
                    item
                    for item in items
                    if not isinstance(item, Object) or await self._one(source.collection, getattr(item, source.by)) is not None
                ]
            except Exception:  # the field itself reports it, where it is selected
                continue
        return items


# ------------------------------------------------------------------------------------------------------------- resolvers


def _source_of(definition: GraphQLField) -> Source | None:
    """Return the declared source; an attribute without one is a column of its name, and None is a resolver written by hand."""
    declared = definition.extensions.get("strawberry-definition")
    if declared is None:
        return None
    source: Source | None = declared.metadata.get(SOURCE)
    return FromColumn(declared.python_name) if source is None and declared.base_resolver is None else source


def _column(parent: Any, name: str, is_id: bool) -> Any:
    value = getattr(parent, name)
    refers = parent._columns[name].refers if is_id and isinstance(parent, Object) else None
    return value if refers is None or value is None else f"{refers}:{value}"


def _unwritten(_parent: Any, info: Info, **_args: Any) -> Any:
    raise NotImplementedError(f"the oracle reads; {info.field_name} writes")


def _settled(resolve: Resolver) -> Resolver:
    def settled(parent: Any, info: Info, **args: Any) -> Any:
        value = resolve(parent, info, **args)
        return await_only(value) if inspect.isawaitable(value) else value

    return settled


def _promises(source: Source | None) -> bool:
    """Say whether a null without an error is one. Connections and statistics are never null by themselves."""
    return source.drop if isinstance(source, One) else isinstance(source, Each | Batched) and source.semantic_non_null


def _promised(type_name: str, name: str, resolve: Resolver) -> Resolver:
    def promised(parent: Any, info: Info, **args: Any) -> Any:
        value = resolve(parent, info, **args)
        if value is None:
            raise GraphQLError(f"Cannot return null for semantically non-null field {type_name}.{name}.")
        return value

    return promised


def _type_of(value: Any, _info: Info, _type: Any) -> str:
    return value._type_name if isinstance(value, Object) else cast("str", value.__strawberry_definition__.name)


def _refused(errors: list[GraphQLError], code: str) -> Answer:
    return {"errors": [{"message": e.message, "extensions": {"code": code, **(e.extensions or {})}} for e in errors]}
