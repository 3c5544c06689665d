"""What a graph asks of a store whose server has no transactions of several rows, as a MongoDB that stands alone. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import GraphQLField, GraphQLList, get_nullable_type

from gateway.engine.declared import Problem
from gateway.engine.sources import source_of
from gateway.engine.sources.mutation import Mutation
from gateway.graph.fields import Graph
from gateway.stores.base import Collection
from gateway.stores.kinds import kind_named
from gateway.writes.declarations import Cascade, Replica


def of_alone(graph: Graph, store: str, kind: str) -> Iterator[Problem]:
    """Give all that the graph writes in one store of this kind, and that needs several documents as one.

    What a function of the author's writes is known by what the field says: a list is several rows, and so are several collections.
    """
    if store not in graph.logged and not graph.has_mutations:
        return
    known = kind_named(kind)
    where = f" ({known.transacts_where})" if known is not None and known.transacts_where else ""
    able = f"a server with transactions of several documents{where}"
    found = f"{store} of kind {kind}, whose server stands alone and writes one"
    for name, definition, source in _mutations(graph):
        several = _several(source, definition, [its for its in source.writes if its.store == store])
        if several:
            yield Problem(name, f"{able}, as it {several}", found)
    for target in graph.replication:
        if isinstance(target, Replica | Cascade) and target.target.store == store:
            its = "deletes rows" if isinstance(target, Cascade) else "writes rows"
            told = f"{able} as its target, as it {its} together with their versions"
            yield Problem(f"replication {target.name!r}", told, found)


def _mutations(graph: Graph) -> Iterator[tuple[str, GraphQLField, Mutation]]:
    type_: Any = graph.schema._schema.mutation_type
    for name, definition in ({} if type_ is None else type_.fields).items():
        source = source_of(definition)
        if isinstance(source, Mutation):
            yield f"{type_.name}.{name}", definition, source


def _several(source: Mutation, definition: GraphQLField, written: list[Collection]) -> str:
    """Return why a mutation is of several documents; "" where it may be of one."""
    if not written:
        return ""
    if len(written) > 1:
        return f"writes {' and '.join(collection.name for collection in written)}"
    if isinstance(get_nullable_type(definition.type), GraphQLList):
        return "returns a list"
    [collection] = written
    if collection.managed and source.does not in ("", "insert"):
        return f"{source.does}s rows of {collection.name}, which is managed: its log stands beside the document"
    return ""
