"""Say which labels and types of relationships a Neo4j database has, and what a sample of their properties holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.stores.base import Collection, Column, Index, Type
from gateway.stores.described import SAMPLED, Description, Found, FoundColumn, Missing
from gateway.stores.neo4j.schema import SHOW, Rule, existing
from gateway.stores.neo4j.sources import Source, quoted
from gateway.stores.values import found_in_place_of

Read = Callable[[str, dict[str, Any]], Awaitable[Any]]  # the one value of a statement's one record

_LABELS = "CALL db.labels() YIELD label RETURN collect(label)"
_TYPES = "CALL db.relationshipTypes() YIELD relationshipType RETURN collect(relationshipType)"

_TIMES = ("ZONED DATETIME", "LOCAL DATETIME")
_BEGINNINGS: Mapping[Type, tuple[str, ...]] = {
    Type.TEXT: ("STRING",),
    Type.BOOL: ("BOOLEAN",),
    Type.INT: ("INTEGER",),
    Type.FLOAT: ("FLOAT", "INTEGER"),
    Type.TIME: _TIMES,
    Type.DATE: ("DATE",),
    Type.JSON: ("STRING", "BOOLEAN", "INTEGER", "FLOAT", "LIST"),
    Type.TEXTS: ("LIST<STRING", "LIST<NOTHING"),
}
_AS_TEXT = frozenset({Type.TIME, Type.DATE})  # which a text of the right form is, too
_TEXT_SHOWN = 30  # characters, more than either has
_NULL = "NULL"


async def described(read: Read, prefix: str, collections: Sequence[Collection]) -> Description:
    """Return what there is for each collection. A statement each, and three for the labels, types and indexes that there are.

    A label is there with its first node, or with a constraint that a migration made. A type of relationships has none of its own in an
    empty graph: it counts as there where the labels of both its ends are.
    """
    labels, types, shown = await asyncio.gather(read(_LABELS, {}), read(_TYPES, {}), read(SHOW, {}))
    rules = existing(shown or ())
    nodes = {*labels, *(rule.label for rule in rules if rule.on == "node")}
    relationships = {*types, *(rule.label for rule in rules if rule.on == "relationship")}
    sources = [Source(prefix, collection) for collection in collections]
    there = [source for source in sources if _is_there(source, nodes, relationships)]
    samples = await asyncio.gather(*(read(_sample(source), {}) for source in there))
    found = {source.collection.name: _found(source, rows or (), rules) for source, rows in zip(there, samples, strict=True)}

    def missing(source: Source) -> Missing:
        others = nodes if source.edge is None else relationships
        mine = tuple(sorted(name.removeprefix(prefix) for name in others if name.startswith(prefix)))
        return Missing(_what(source), source.label.removeprefix(prefix), mine)

    return {source.collection.name: found.get(source.collection.name) or missing(source) for source in sources}


def _what(source: Source) -> str:
    return "label" if source.edge is None else "relationship type"


def _is_there(source: Source, nodes: set[str], relationships: set[str]) -> bool:
    if source.edge is None:
        return source.label in nodes
    return source.label in relationships or (bool(nodes) and {*source.start_labels, *source.end_labels} <= nodes)


def _sample(source: Source) -> str:
    """Return a statement for the types of some rows' values, and the texts that may be a time or a date."""
    collection = source.collection
    types = ", ".join(f"valueType({source.ref(column.name)})" for column in collection.columns)
    texts = ", ".join(
        f"CASE WHEN {ref} IS :: STRING NOT NULL THEN left({ref}, {_TEXT_SHOWN}) END"
        for column in collection.columns
        if column.type in _AS_TEXT
        for ref in (source.ref(column.name),)
    )
    return f"{_first(source)} RETURN collect([[{types}], [{texts}]])"


def _first(source: Source) -> str:
    """Return the clauses for some rows. Relationships are taken before their ends are looked at: however few fit, few are read."""
    if source.edge is None:
        return f"MATCH {source.pattern} WITH {source.variables[0]} LIMIT {SAMPLED}"
    start, relationship, end = source.variables
    return (
        f"MATCH ()-[{relationship}:{quoted(source.label)}]->() WITH {relationship} LIMIT {SAMPLED}"
        f" WITH startNode({relationship}) AS {start}, {relationship}, endNode({relationship}) AS {end}"
        f"{_of_labels(start, source.start_labels, end, source.end_labels)} WITH {start}, {relationship}, {end}"
    )


def _of_labels(start: str, its: Sequence[str], end: str, others: Sequence[str]) -> str:
    wanted = [f"{variable}:{'|'.join(map(quoted, labels))}" for variable, labels in ((start, its), (end, others)) if labels]
    return f" WITH * WHERE {' AND '.join(wanted)}" if wanted else ""


def _indexes(source: Source, rules: Iterable[Rule]) -> tuple[Index, ...]:
    on = "node" if source.edge is None else "relationship"
    return tuple(Index(rule.properties, rule.unique) for rule in rules if (rule.on, rule.label) == (on, source.label))


def _found(source: Source, rows: Sequence[Sequence[Sequence[Any]]], rules: Iterable[Rule]) -> Found:
    columns: dict[str, FoundColumn] = {}
    text_place = 0
    for place, column in enumerate(source.collection.columns):
        types = {str(types[place]) for types, _ in rows}
        texts: list[Any] = []
        if column.type in _AS_TEXT:
            texts = [values[text_place] for _, values in rows]
            text_place += 1
        named = types - {_NULL}
        if named:
            fits = _fit(column, named, texts)
            shown = " or ".join(sorted({name.removesuffix(" NOT NULL") for name in named}))
            columns[column.name] = FoundColumn(shown, frozenset({column.type} if fits else ()), nullable=_NULL in types)
    return Found(_what(source), columns, _indexes(source, rules), sampled=len(rows))


def _fit(column: Column, types: set[str], texts: Sequence[Any]) -> bool:
    """Return whether one of the values would be read as what the column is."""
    if any(name.startswith(_BEGINNINGS[column.type]) for name in types):
        return True
    return any(text is not None and found_in_place_of(column, text) is None for text in texts)
