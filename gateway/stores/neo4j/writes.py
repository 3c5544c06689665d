"""Write Cypher for rows that are to be kept or deleted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.caches import remembered
from gateway.errors import StoreMisbehaved
from gateway.stores.base import Collection, Row
from gateway.stores.neo4j.forms import form_of
from gateway.stores.neo4j.sources import ELEMENT_ID, Source, node, plain, quoted
from gateway.stores.neo4j.ways import TEXTS_KEPT, TEXTS_LIMIT_BYTES, Way, by_order, is_key, matching, sent_key, way_to
from gateway.stores.shared import to_write
from gateway.stores.values import sorted_anyhow


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def upsert_text(source: Source) -> str:
    collection = source.collection
    if any(collection[name].path == ELEMENT_ID for name in collection.key):
        raise StoreMisbehaved(f"collection {collection.name}: its key is the database's own, so that no row can be written by it")
    place = {name: f"r[{i}]" for i, name in enumerate(collection.names)}
    values = {name: form_of(collection[name], False).bound(at) for name, at in place.items()}
    ends = () if source.edge is None else (source.edge.start_column, source.edge.end_column)
    properties = {
        quoted(collection[n].path): v
        for n, v in values.items()
        if n not in collection.key and n not in ends and collection[n].path != ELEMENT_ID
    }
    key = ", ".join(f"{quoted(collection[name].path)}: {values[name]}" for name in collection.key if name not in ends)
    if source.edge is None:
        merge, entity = f"MERGE (n:{quoted(source.label)} {{{key}}})", "n"
    else:
        merge, entity = f"{_ends_to_write(source, *map(values.__getitem__, ends))} {_relationship_to_write(source, key)}", "x"
    # `+=` removes what is null and leaves alone what others have put there.
    put = f" SET {entity} += {{{', '.join(f'{name}: {value}' for name, value in properties.items())}}}" if properties else ""
    return f"UNWIND $rows AS r {merge}{put}"


def _ends_to_write(source: Source, start: str, end: str) -> str:
    """The clauses that find the nodes of a relationship. Those of a managed collection are made where they are missing."""
    edge = source.relationship
    if source.collection.managed:
        [start_label], [end_label] = source.start_labels, source.end_labels
        nodes = (("s", start_label, edge.start_property, start), ("e", end_label, edge.end_property, end))
        return " ".join([f"MERGE ({v}:{quoted(label)} {{{plain(name)}: {value}}})" for v, label, name, value in nodes])
    # Without one of its nodes a relationship cannot be made, and the statement fails as a whole.
    s, e = node("s", source.start_labels), node("e", source.end_labels)
    return (
        f"OPTIONAL MATCH {s} WHERE s.{plain(edge.start_property)} = {start} WITH r, s"
        f" OPTIONAL MATCH {e} WHERE e.{plain(edge.end_property)} = {end}"
    )


def _relationship_to_write(source: Source, key: str) -> str:
    type_ = quoted(source.label)
    if not source.own_key:
        return f"MERGE (s)-[x:{type_}]->(e)"
    # One with its key between other nodes is moved: there are no two with one key.
    return (
        f"WITH r, s, e OPTIONAL MATCH (a)-[old:{type_} {{{key}}}]->(b) WHERE a <> s OR b <> e DELETE old"
        f" WITH DISTINCT r, s, e MERGE (s)-[x:{type_} {{{key}}}]->(e)"
    )


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def delete_text(source: Source) -> str:
    key = source.collection.key
    conditions = is_key(source, source.collection.key_name, [f"k[{i}]" for i in range(len(key))])
    what = "DETACH DELETE n" if source.edge is None else "DELETE r"
    ends = () if source.edge is None else (source.edge.start_column, source.edge.end_column)
    ways = [way_to(source, name, by_order(())) for name in key if name in ends]
    if source.edge is None:
        ways = [way_to(source, key[0], by_order(()))]
    return f"UNWIND $keys AS k {matching(source, conditions, Way(''.join(way.hint for way in ways)))} {what}"


def deleted(source: Source, keys: Sequence[Row]) -> list[list[Any]]:
    """Keys of rows to delete as they are bound, each once, in the order in which two writers lock nodes."""
    names = source.collection.key
    unique = sorted_anyhow({tuple(key) for key in keys}, key=lambda key: [(False, value) for value in key])
    return [[sent_key(source, name, value) for name, value in zip(names, key, strict=True)] for key in unique]


def written(collection: Collection, rows: Sequence[Row]) -> list[list[Any]]:
    """Rows as they are bound: those to write, in their order, in which two writers lock nodes."""
    stored = [form_of(column, False).stored for column in collection.columns]
    return [[store(value) for store, value in zip(stored, row, strict=True)] for row in to_write(collection, rows)]
