"""Find rows by keys: what is bound, the conditions, and the index that leads to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.stores.base import Order, Value
from gateway.stores.neo4j.sources import Source, plain, quoted

TEXTS_LIMIT_BYTES = 8 * 1024 * 1024
TEXTS_KEPT = 2_000  # statements; a shape comes from a GraphQL document, so there are about as many


def bound_keys(source: Source, column: str, keys: Sequence[str]) -> list[Any]:
    """Keys as they are bound: themselves, or ``[key, value, …]`` with the values that they stand for. What stands for none is left out."""
    form = source.key_form(column)
    if form.is_plain:
        return list(keys)
    names = [item.name for item in form.columns]
    bound = []
    for key in keys:
        values = form.values(key)
        if values is not None:
            bound.append([key, *(sent_key(source, name, value) for name, value in zip(names, values, strict=True))])
    return bound


def sent_key(source: Source, column: str, value: Value) -> Any:
    """A value of a column of a key as it is bound for ``is_key``."""
    form = source.form(column)
    return value if form.column.collation == "nocase" else form.sent(value)


def is_key(source: Source, column: str, values: Sequence[str]) -> list[str]:
    """Conditions for rows whose columns have these values."""
    names = [item.name for item in source.collection.columns_of(column)]
    found = []
    for name, value in zip(names, values, strict=True):
        form = source.form(name)
        if form.column.collation == "nocase":  # as a key it is itself alone
            found.append(f"{source.ref(name)} = {value}")
        else:
            found.append(form.equals(source.ref(name), form.bound(value)))
    return found


def matching(source: Source, wanted: Sequence[str], through: Way | None = None) -> str:
    found = list(dict.fromkeys([*wanted, *(() if through is None else through.conditions), *source.is_row]))
    hint = "" if through is None else through.hint
    return f"MATCH {source.pattern}{hint}" + (" WHERE " + " AND ".join(found) if found else "")


@dataclass(frozen=True, slots=True)
class Way:
    """The index that leads to a parent's rows: a hint, and what else has to be said so that the index may be used."""

    hint: str = ""
    conditions: tuple[str, ...] = ()


def way_to(source: Source, column: str, score: Callable[[tuple[str, ...]], int]) -> Way:
    """The way to rows by ``column``: of the declared indexes that begin with it the one with the highest score, then the shortest.

    Chosen here, for the planner goes by statistics, which lag behind: PERF: 50 parents' totals of 10,000 rows just loaded took it
    660 ms by scanning all of them for each, and 14 ms in this way. ``column`` may be several, with commas between them.
    """
    names = column.split(",")
    if not all(source.form(name).is_raw for name in names):
        return Way()
    if source.edge is not None:
        s, _, e = source.variables
        ends = {
            source.edge.start_column: (s, source.start_labels, source.edge.start_property),
            source.edge.end_column: (e, source.end_labels, source.edge.end_property),
        }
        if names[0] not in ends:
            return Way()
        variable, labels, name = ends[names[0]]
        return Way(f" USING INDEX SEEK {variable}:{quoted(labels[0])}({plain(name)})" if len(labels) == 1 else "")
    collection = source.collection
    indexes = [collection.key, *(index.columns for index in collection.indexes)]
    width = len(names)
    # A row without a value in one of its columns is not in an index.
    fit = [
        i
        for i in indexes
        if {*i[:width]} == {*names} and all(map(source.is_property, i)) and not any(map(source.may_be_missing, i[width:]))
    ]
    if not fit:
        return Way()
    best = max(fit, key=lambda i: (score(i), -len(i)))
    hint = f" USING INDEX SEEK n:{quoted(source.label)}({', '.join([quoted(source.path(name)) for name in best])})"
    return Way(hint, tuple(f"{source.ref(name)} IS NOT NULL" for name in best[width:]))


def by_order(order: Sequence[Order]) -> Callable[[tuple[str, ...]], int]:
    """The score of an index by how much of the order it has."""

    def score(index: tuple[str, ...]) -> int:
        return next((i for i, (name, item) in enumerate(zip(index[1:], order, strict=False)) if name != item.column), len(index) - 1)

    return score
