"""Which indexes a graph wants of collections that are not its own, and a database does not have: hints, with the statements that make them.

Pure. Nothing is wrong without them: a database finds the rows all the same, by reading all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphql import is_object_type

from gateway.engine.sources import Lookup, Many, ManyThrough, Source, Stats, source_of
from gateway.graph.fields import Graph
from gateway.stores.base import Collection, Index, Store
from gateway.stores.described import Description, Found, IndexStatements


def hints_of(graph: Graph, name: str, store: Store, description: Description) -> list[str]:
    """Return a line for each index that a collection of this store lacks; none where its kind has no statement for one."""
    if not isinstance(store, IndexStatements):
        return []
    hints = []
    for collection, index in wanted(graph):
        found = description.get(collection.name)
        if collection.store != name or not isinstance(found, Found) or found.what not in _INDEXED or _serves(found, index):
            continue
        statement = store.index_statement(collection, index)
        if statement is not None:
            hints.append(f"collection {collection.name} of the store {name} has no index on {', '.join(index.columns)}: {statement}")
    return hints


_INDEXED = frozenset({"table", "collection", "label", "relationship type"})  # and no views


def wanted(graph: Graph) -> list[tuple[Collection, Index]]:
    """Return the indexes that serve what is asked of collections that are not managed: of keys, look-ups and parents, and declared ones.

    Each once, and none that begins a longer one of them.
    """
    found: dict[tuple[Collection, tuple[str, ...]], Index] = {}
    for collection, index in (*_declared(graph), *_searched(graph)):
        if not collection.managed and collection in graph.collections and set(index.columns) <= collection.declared.keys():
            found.setdefault((collection, index.columns), index)

    def begins_another(of: Collection, columns: tuple[str, ...]) -> bool:
        return any(other is of and len(its) > len(columns) and its[: len(columns)] == columns for other, its in found)

    return [(of, index) for (of, columns), index in found.items() if index.unique or not begins_another(of, columns)]


def _declared(graph: Graph) -> Iterator[tuple[Collection, Index]]:
    for collection in graph.collections:
        yield collection, Index(collection.key, unique=True)
        yield from ((collection, index) for index in collection.indexes)


def _searched(graph: Graph) -> Iterator[tuple[Collection, Index]]:
    for type_ in graph.schema._schema.type_map.values():
        if is_object_type(type_):
            for definition in type_.fields.values():
                yield from ((collection, Index(tuple(key.split(",")))) for collection, key in _looked_for(source_of(definition)))


def _looked_for(source: Source) -> Iterator[tuple[Collection, str]]:
    """Give the columns by whose values a field finds its rows, other than by key; several have commas between them."""
    match source:
        case ManyThrough():
            yield source.through.edges, source.through.parent
        case Many(by=str(column)) | Stats(by=str(column)):
            yield source.collection, column
        case Lookup():
            yield from ((source.collection, column) for column in source.by.values())


def _serves(found: Found, index: Index) -> bool:
    """Return whether an index that is there finds rows by these columns: it begins with them, those of a key in any order."""
    width = len(index.columns)
    if index.unique:
        return any(set(its.columns[:width]) == set(index.columns) for its in found.indexes)
    return any(its.columns[:width] == index.columns for its in found.indexes)
