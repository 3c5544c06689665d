"""Every mistake of a graph, told in one go when the gateway starts: each with type, field, what was expected and what was found.

Pure: what the declarations say, and what the kinds of its stores can do, without a store. Each source checks its own fields
(``engine/sources``); here stands what belongs to no field, and the walk over all types: a field is checked once for every sort of rows
that its type may have above it.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphql import GraphQLField, is_abstract_type, is_object_type

from gateway.engine.declared import MUTATIONS, ROOT, Declared, Problem, Rows
from gateway.engine.sources import Part, Resolver, Streaming, source_of
from gateway.graph.fields import Graph
from gateway.graph.replicating import of_replication
from gateway.stores.base import Ability, Collection, Type
from gateway.stores.kinds import Kind, listed


def check(graph: Graph, kinds: Mapping[str, Kind] | None = None) -> list[Problem]:
    """Return all that is wrong with a graph, each thing once.

    ``kinds`` are those of its stores by name, where they are known: of these nothing may be asked that they cannot do.
    """
    known = kinds or {}
    declared = (*_of_collections(graph.collections), *_of_schema(graph), *_of_context(graph.context), *of_replication(graph, known))
    held = _of_columns(graph.collections, known)
    found = dict.fromkeys([*declared, *held, *_of_fields(graph, known), *_of_data(graph, known)])
    return list(found)


def _of_collections(collections: Sequence[Collection]) -> Iterator[Problem]:
    names = Counter((collection.store, collection.name) for collection in collections)
    for (store, name), count in names.items():
        if count > 1:
            yield Problem(f"collection {name}", f"one of that name in the store {store}", str(count))
    referred: dict[str, str] = {}
    for collection in collections:
        where = f"collection {collection.name}"
        if not collection.key:
            yield Problem(where, "a key of at least one column", "none")
        for column, count in Counter(collection.key).items():
            if count > 1:
                yield Problem(where, "each column once in its key", f"{column!r} {count} times")
        for column, count in Counter(column.name for column in collection.columns).items():
            if count > 1:
                yield Problem(where, "columns of different names", f"{column!r} {count} times")
        for name in collection.key:
            if collection[name].nullable:
                yield Problem(where, "a key that is never null", f"{name!r}, which may be")
        if collection.key and (type_name := collection.type_name) is not None:
            other = referred.setdefault(type_name, collection.name)
            if other != collection.name:
                yield Problem(where, f"a type of its own for its key to refer to, as {other} refers to {type_name}", type_name)


def _of_columns(collections: Sequence[Collection], kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    """Give what the databases of a kind cannot hold or compare, whatever is in them."""
    for collection in collections:
        kind = kinds.get(collection.store)
        for column in collection.columns if kind is not None else ():
            assert kind is not None
            where = f"collection {collection.name}: column {column.name}"
            if column.type is Type.TIME and column.precision > kind.time_digits:
                expected = f"a TIME of at most {kind.time_digits} digits of a second (precision), which is what {kind.name} holds"
                yield Problem(where, expected, str(column.precision))
            if column.collation not in kind.collations:
                yield Problem(where, f"a collation that {kind.name} has: {', '.join(sorted(kind.collations))}", column.collation)


def _of_schema(graph: Graph) -> Iterator[Problem]:
    extensions = [getattr(extension, "__name__", type(extension).__name__) for extension in graph.schema.extensions]
    if extensions:
        yield Problem("the schema", "no Strawberry extensions, which the engine does not run", ", ".join(extensions))
    types = graph.schema._schema.type_map
    for collection in graph.collections:
        for column in collection.columns:
            if column.refers is not None and not is_object_type(types.get(column.refers)):
                yield Problem(
                    f"collection {collection.name}", "columns that refer to types of the schema", f"{column.name!r}, to {column.refers}"
                )


def _of_context(function: Any) -> Iterator[Problem]:
    if function is None:
        return
    expected = "a function of one HTTP request (context)"
    if not callable(function):
        yield Problem("the graph", expected, repr(function))
        return
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError) as exc:
        yield Problem("the graph", expected, f"{getattr(function, '__name__', function)}: {exc}")


def _of_fields(graph: Graph, kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    schema: Any = graph.schema._schema
    node_types = {name: collection for collection in graph.collections if collection.key and (name := collection.type_name) is not None}
    roots = ((schema.query_type, ROOT), (schema.mutation_type, MUTATIONS), (schema.subscription_type, ROOT))
    waiting: list[tuple[Any, Rows]] = [(type_, rows) for type_, rows in roots if type_ is not None]
    seen: set[tuple[str, str]] = set()
    while waiting:
        type_, rows = waiting.pop()
        if isinstance(type_, str):
            type_ = schema.type_map.get(type_)
        if is_abstract_type(type_):
            home = [name for name, its in node_types.items() if its.declared is rows.columns]
            possible = schema.get_possible_types(type_)
            waiting += [(item, rows) for item in possible if not home or item.name in home]
            continue
        if not is_object_type(type_) or (type_.name, rows.of) in seen:
            continue
        seen.add((type_.name, rows.of))
        for name, definition in type_.fields.items():
            source = source_of(definition)
            field = Declared(type_.name, name, definition, rows, graph.collections, node_types)
            yield from source.check(field)
            if isinstance(source, Streaming) is not (type_ is schema.subscription_type):
                yield _of_streams(field)
            for collection, needs in source.demands(field):
                yield from _of_kind(field.where, collection, needs, kinds)
            yield from _of_strawberry(field, definition, is_by_hand=isinstance(source, (Resolver, Part)))
            waiting += source.rows_below(field)


def _of_streams(field: Declared) -> Problem:
    """Return what is wrong with a stream that stands elsewhere than at the root of subscriptions, or with what else stands there."""
    if not isinstance(source_of(field.definition), Streaming):
        return field.problem("a stream of events, by subscription() or an async generator", "a field that is asked once")
    where = "at another root" if field.rows.is_root else f"below {field.rows.of}"
    return field.problem("a field of the subscription's root", f"a stream of events {where}")


def _of_data(graph: Graph, kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    for dataset in graph.datasets:
        yield from _of_kind(f"dataset {dataset.file}", dataset.collection, frozenset({"write"}), kinds)


def _of_kind(where: str, collection: Collection, needs: frozenset[Ability], kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    """Give what a store is to do and its kind cannot."""
    kind = kinds.get(collection.store)
    if kind is not None and (lacking := needs - kind.can):
        yield Problem(where, f"a store that can {listed(lacking)}", f"{collection.store} of kind {kind.name}, which cannot")


def _of_strawberry(field: Declared, definition: GraphQLField, *, is_by_hand: bool) -> Iterator[Problem]:
    """Give what Strawberry would do with a field and the engine does not: only resolvers written by hand run with it."""
    its = definition.extensions.get("strawberry-definition")
    if its is None or is_by_hand:
        return
    if its.permission_classes:
        names = ", ".join(permission.__name__ for permission in its.permission_classes)
        yield field.problem("no permission classes at a field that has a source, as nobody would ask them", names)
    elif its.extensions:
        names = ", ".join(type(extension).__name__ for extension in its.extensions)
        yield field.problem("no field extensions at a field that has a source, as they would not run", names)
