"""Say which labels and types of relationships a Neo4j database has, and what a sample of their properties holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from gateway.stores.base import Collection, Column, Index, Type
from gateway.stores.described import SAMPLED, Description, Found, FoundColumn, Missing
from gateway.stores.neo4j.schema import SHOW, Rule, existing
from gateway.stores.neo4j.sources import CarefulSource, Source, quoted
from gateway.stores.types import NO_VALUE, value_of
from gateway.stores.values import found_in_place_of

Read = Callable[[str, dict[str, Any]], Awaitable[Any]]  # the one value of a statement's one record

_LABELS = "CALL db.labels() YIELD label RETURN collect(label)"
_TYPES = "CALL db.relationshipTypes() YIELD relationshipType RETURN collect(relationshipType)"

_NULL = "NULL"
_NO_NUMBERS = (NO_VALUE, "NaN", "Infinity", "-Infinity")
_MOMENTS = ("ZONED DATETIME", "LOCAL DATETIME", "LOCAL TIME")


async def described(read: Read, prefix: str, collections: Sequence[Collection]) -> Description:
    """Return what there is for each collection. A statement each, and three for the labels, types and indexes that there are.

    A label is there with its first node, or with a constraint that a migration made. A type of relationships has none of its own in an
    empty graph: it counts as there where the labels of both its ends are.
    """
    labels, types, shown = await asyncio.gather(read(_LABELS, {}), read(_TYPES, {}), read(SHOW, {}))
    rules = existing(shown or ())
    nodes = {*labels, *(rule.label for rule in rules if rule.on == "node")}
    relationships = {*types, *(rule.label for rule in rules if rule.on == "relationship")}
    sources = [CarefulSource(prefix, collection) for collection in collections]
    there = [source for source in sources if _is_there(source, nodes, relationships)]
    samples = await asyncio.gather(*(read(_sample(source), {}) for source in there))
    found = {
        source.collection.name: _found(source, _rows(source, sample or ()), rules) for source, sample in zip(there, samples, strict=True)
    }

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


def _alike(source: Source) -> list[tuple[str, list[str]]]:
    """Return the columns by what their values are shown with.

    PERF: a statement with an expression for each of 19 columns took the planner of a busy server 1.8 s, with one for those alike 0.2 s.
    """
    groups: dict[str, list[str]] = {}
    for name in source.collection.names:
        groups.setdefault(source.form(name).shown("given"), []).append(name)
    return list(groups.items())


def _sample(source: Source) -> str:
    """Return a statement for the types of some rows' values, and the values, by columns that are alike."""

    def listed(names: Iterable[str], shown: str) -> str:
        return f"[given IN [{', '.join(map(source.ref, names))}] | {shown}]"

    values = ", ".join([listed(names, shown) for shown, names in _alike(source)])
    return f"{_first(source)} RETURN collect([{listed(source.collection.names, 'valueType(given)')}, [{values}]])"


def _rows(source: Source, sample: Sequence[Any]) -> list[tuple[list[str], list[Any]]]:
    """Return the types and the values of a sample's rows, by column."""
    groups = [names for _, names in _alike(source)]
    rows = []
    for types, values in sample:
        by_name = {name: value for names, its in zip(groups, values, strict=True) for name, value in zip(names, its, strict=True)}
        rows.append((types, [by_name[name] for name in source.collection.names]))
    return rows


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
    """Return the indexes, by the columns' names; those of properties that are no columns have the names of these."""
    on = "node" if source.edge is None else "relationship"
    names = {source.path(name): name for name in source.collection.names if source.is_property(name)}
    mine = [rule for rule in rules if (rule.on, rule.label) == (on, source.label)]
    return tuple(Index(tuple([names.get(name, name) for name in rule.properties]), rule.unique) for rule in mine)


def _found(source: Source, rows: Sequence[tuple[list[str], list[Any]]], rules: Iterable[Rule]) -> Found:
    collection = source.collection
    decoders = dict(source.decoders(collection.names))
    columns: dict[str, FoundColumn] = {}
    for place, column in enumerate(collection.columns):
        named = {str(types[place]) for types, _ in rows}
        given = [(str(types[place]).removesuffix(" NOT NULL"), values[place]) for types, values in rows if values[place] is not None]
        if not given:
            continue
        decode = decoders.get(place)
        read = [value if decode is None else decode(value) for _, value in given]
        wrong = [found for found, value in zip(given, read, strict=True) if found_in_place_of(column, value) is not None]
        shown = " or ".join(sorted({name for name, _ in given}))
        beyond = [value for type_, value in wrong if _is_beyond(column, type_, value)]
        columns[column.name] = FoundColumn(
            shown,
            frozenset({column.type} if len(wrong) < len(given) or beyond else ()),
            nullable=_NULL in named,
            precision=9 if beyond and column.type in (Type.TIME, Type.CLOCK) else None,
            scale=max(map(_decimals, beyond), default=None) if column.type is Type.DECIMAL else None,
            bits=64 if column.type is Type.INT and any(map(_is_wide, read)) else None,
            values=_names(given) if beyond and column.type is Type.ENUM else None,
        )
    indexes = _indexes(source, rules)
    return Found(_what(source), columns, indexes, sampled=len(rows), repeated=_repeated(source, indexes, rows))


def _is_beyond(column: Column, type_: str, value: Any) -> bool:
    """Return whether a value that cannot be read is of the column's type, but holds more than is declared."""
    match column.type:
        case Type.TIME | Type.CLOCK:
            return not column.many and type_ in _MOMENTS and (type_ == "LOCAL TIME") is (column.type is Type.CLOCK)
        case Type.DECIMAL:
            return column.scale is not None and value_of(Column(column.name, Type.DECIMAL), value) not in (
                NO_VALUE,
                "NaN",
                "Infinity",
                "-Infinity",
            )
        case Type.ENUM:
            return isinstance(value, str)
        case _:
            return False


def _decimals(text: str) -> int:
    exponent = Decimal(text).as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _is_wide(value: Any) -> bool:
    return type(value) is int and not -(2**31) <= value < 2**31


def _names(given: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted({value for _, value in given if isinstance(value, str)}))


def _repeated(source: Source, indexes: Sequence[Index], rows: Sequence[tuple[list[str], list[Any]]]) -> int:
    """Return how many rows have the key of another, where nothing in the database keeps that from being."""
    key = source.collection.key
    if any(index.unique and {*index.columns} <= {*key} for index in indexes):
        return 0
    places = [source.collection.names.index(name) for name in key]
    keys = [tuple([repr(values[place]) for place in places]) for _, values in rows]
    return len(keys) - len(set(keys))
