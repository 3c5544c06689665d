"""Write Cypher for what is asked. Pure: the text depends on the shape of a request, its values are bound.

A read answers one record with one value, a list of everything.
PERF: 550 rows of 50 parents: 27 ms as a record each, 9 ms as a record per parent, 5 ms as one record; the driver needs 35 µs
for a record and next to nothing for a list within one (5,000 nodes, pages of 11 in an index's order, neo4j 6.4 with rust-ext).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.caches import remembered
from gateway.stores.base import (
    Aggregate,
    Bucket,
    Collection,
    Fetch,
    Get,
    Match,
    Measure,
    Order,
    Pairs,
    Row,
    Type,
    Where,
    total_order,
)
from gateway.stores.measures import CUT_LIMIT, CUT_MIN, HALF, PIECE, PIECES, Part, parts
from gateway.stores.neo4j.conditions import Mark, Parameters, beyond, conditions, marked_cursor, split, to_parameter
from gateway.stores.neo4j.sources import Source, native_value, quoted
from gateway.stores.shared import to_write

TEXTS_LIMIT_BYTES = 8 * 1024 * 1024
TEXTS_KEPT = 2_000  # statements; a shape comes from a GraphQL document, so there are about as many


@dataclass(frozen=True, slots=True)
class PageShape:
    backward: bool
    after: tuple[Mark, ...] | None
    before: tuple[Mark, ...] | None


MatchShape = tuple[Literal["match", "pairs"], str] | None


# ---------------------------------------------------------------------------------------------------------------- reads


def get_statement(source: Source, get: Get) -> tuple[str, Parameters]:
    """Answers [[key, row], …]."""
    where, parameters = split(source, get.where)
    parameters["keys"] = list(get.keys)
    return _get_text(source, get.columns, get.column, where), parameters


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _get_text(source: Source, columns: tuple[str, ...], column: str, where: Where | None) -> str:
    ref = source.ref(column)
    match = _match(source, [f"{ref} IN $keys", *conditions(source, where)], _way(source, column, _in_order(())))
    return f"{match} RETURN collect([{ref}, {source.wire_list(columns)}])"


def fetch_statement(source: Source, fetch: Fetch) -> tuple[str, Parameters]:
    """Answers [[parent, rows, total], …]; rows has one more than the page where there are more. Parents without rows are absent."""
    where, parameters = split(source, fetch.where)
    page = None
    if fetch.page is not None:
        order = total_order(fetch.collection, fetch.order)
        after = marked_cursor(source, order, fetch.page.after, "a", parameters)
        before = marked_cursor(source, order, fetch.page.before, "b", parameters)
        page = PageShape(fetch.page.backward, after, before)
        parameters["limit"] = fetch.page.limit + 1
    match: MatchShape = None
    if isinstance(fetch.match, Match):
        match = ("match", fetch.match.column)
        parameters["parents"] = list(fetch.match.keys)
    elif isinstance(fetch.match, Pairs):
        match = ("pairs", fetch.match.column)
        parameters["parents"] = _grouped(fetch.match.pairs)
    return _fetch_text(source, fetch.columns, match, where, fetch.order, page, fetch.count), parameters


def _grouped(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for parent, value in pairs:
        groups.setdefault(parent, []).append(value)
    return list(groups.items())


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _fetch_text(
    source: Source,
    columns: tuple[str, ...],
    match: MatchShape,
    where: Where | None,
    asked_order: tuple[Order, ...],
    page: PageShape | None,
    count: bool,
) -> str:
    order = total_order(source.collection, asked_order)
    parent, wanted = "null", []
    if match is not None:
        parent = "p" if match[0] == "match" else "p[0]"
        wanted.append(f"{source.ref(match[1])} = p" if match[0] == "match" else f"{source.ref(match[1])} IN p[1]")
    wanted += conditions(source, where)

    backward = page is not None and page.backward
    order_by = _order_by(source, order, backward=backward, constant=match[1] if match is not None and match[0] == "match" else None)
    paged = [*wanted, *_present(source, order)]
    limit = ""
    if page is not None:
        limit = " LIMIT $limit"
        if page.after is not None:
            paged += beyond(source, order, page.after, "a", after=True)
        if page.before is not None:
            paged += beyond(source, order, page.before, "b", after=False)

    way = None if match is None else _way(source, match[1], _in_order(order))
    rows = f"COLLECT {{ {_match(source, paged, way)} RETURN {source.wire_list(columns)} {order_by}{limit} }}"
    counted = count and page is not None  # without a page the rows themselves are counted
    way = None if match is None else _way(source, match[1], _in_order(()))
    total = f"COUNT {{ {_match(source, wanted, way)} }}" if counted else "null"
    if match is None:
        return f"RETURN [[null, {rows}, {total}]]"
    return (
        f"UNWIND $parents AS p WITH {parent} AS parent, {rows} AS rows, {total} AS total"
        f" WHERE size(rows) > 0{' OR total > 0' if counted else ''} RETURN collect([parent, rows, total])"
    )


def _present(source: Source, order: Sequence[Order]) -> list[str]:
    """That there is a value where there always is one: an index of several columns is used only when this is said of each."""
    if source.edge is not None:
        return []
    return [f"{source.ref(item.column)} IS NOT NULL" for item in order if not source.collection[item.column].nullable]


def aggregate_statement(source: Source, aggregate: Aggregate) -> tuple[str, Parameters]:
    """Answers [[parent, row], …], in no order: that of text would depend on where the database has it from."""
    where, parameters = split(source, aggregate.where)
    column = None
    if aggregate.match is not None:
        column = aggregate.match.column
        parameters["keys"] = list(aggregate.match.keys)
    if aggregate.most is not None:
        parameters["most"] = aggregate.most
    return _aggregate_text(source, aggregate.groups, aggregate.measures, column, where, aggregate.most is not None), parameters


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _aggregate_text(
    source: Source, groups: tuple[str | Bucket, ...], measures: tuple[Measure, ...], column: str | None, where: Where | None, bounded: bool
) -> str:
    wanted = conditions(source, where)
    parent, way = "null", None
    if column is not None:
        used = {g if isinstance(g, str) else g.column for g in groups} | {m.column for m in measures}
        parent, way = source.ref(column), _way(source, column, lambda index: len(used & {*index}))
        wanted.insert(0, f"{parent} IN $keys")
    grouped = [f"{parent} AS parent", *(f"{_group(source, g)} AS g{i}" for i, g in enumerate(groups))]
    asked = parts(source.collection, measures)
    measured = [f"{_measure(source, part)} AS m{i}" for i, part in enumerate(asked)]
    values = [source.wire_value(_group_type(source, g), f"g{i}") for i, g in enumerate(groups)]
    values += [source.wire_value(part.type, f"m{i}") for i, part in enumerate(asked)]
    return (
        f"{_match(source, wanted, way)} WITH {', '.join([*grouped, *measured, 'count(*) AS matched'])}"
        f"{' LIMIT $most' if bounded else ''} WHERE matched > 0"
        f" RETURN collect([parent, [{', '.join(values)}]])"
    )


def _group(source: Source, group: str | Bucket) -> str:
    if isinstance(group, str):
        return source.ref(group)
    ref = source.ref(group.column)
    return f"CASE WHEN {ref} IS NOT NULL THEN datetime.truncate('{group.interval}', {ref}) END"


def _group_type(source: Source, group: str | Bucket) -> Type:
    return source.collection[group].type if isinstance(group, str) else Type.TIME


def _measure(source: Source, part: Part) -> str:
    if part.function == "count":
        return "count(*)"
    ref = source.ref(part.column)
    match part.function:
        case "min" | "max":
            return f"{part.function}({ref})"
        case "number":
            return f"count({ref})"
        case "high":
            return f"sum({ref} / {HALF})"  # cut towards zero, as % is
        case "low":
            return f"sum({ref} % {HALF})"
        case _:
            is_cut = f"abs({ref}) >= {CUT_MIN!r} AND abs({ref}) < {CUT_LIMIT!r}"
            pieces = [f"sum(CASE WHEN {is_cut} THEN toInteger({ref} * {scale!r} % {PIECE}.0) ELSE 0 END)" for scale in PIECES]
            return f"[{', '.join(pieces)}, sum(CASE WHEN {is_cut} THEN 0.0 ELSE {ref} END)]"


def labelled(template: str, prefix: str) -> str:
    """A native query's text with its labels and relationship types prefixed."""
    return template.format_map(_Labels(prefix))


class _Labels(Mapping[str, str]):
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __getitem__(self, label: str) -> str:
        return quoted(self._prefix + label)

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


# --------------------------------------------------------------------------------------------------------------- writes


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def upsert_text(source: Source) -> str:
    collection = source.collection
    place = {name: f"r[{i}]" for i, name in enumerate(collection.names)}
    values = {name: native_value(collection[name].type, at) for name, at in place.items()}
    properties = {quoted(n): v for n, v in values.items() if n not in collection.key}
    if source.edge is None:
        key = ", ".join(f"{quoted(name)}: {values[name]}" for name in collection.key)
        merge, entity = f"MERGE (n:{quoted(source.label)} {{{key}}})", "n"
    else:
        start, end = values[source.edge.start_column], values[source.edge.end_column]
        nodes = f"MERGE (s:{quoted(source.start_label)} {{id: {start}}}) MERGE (e:{quoted(source.end_label)} {{id: {end}}})"
        merge, entity = f"{nodes} MERGE (s)-[x:{quoted(source.label)}]->(e)", "x"
    # `+=` removes what is null and leaves alone what others have put there.
    put = f" SET {entity} += {{{', '.join(f'{name}: {value}' for name, value in properties.items())}}}" if properties else ""
    return f"UNWIND $rows AS r {merge}{put}"


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def delete_text(source: Source) -> str:
    collection = source.collection
    conditions = [f"{source.ref(name)} = {native_value(collection[name].type, f'k[{i}]')}" for i, name in enumerate(collection.key)]
    what = "DETACH DELETE n" if source.edge is None else "DELETE r"
    ways = [_way(source, name, _in_order(())) for name in collection.key if source.edge is not None or name == collection.key[0]]
    return f"UNWIND $keys AS k {_match(source, conditions, _Way(''.join(way.hint for way in ways)))} {what}"


def written(collection: Collection, rows: Sequence[Row]) -> list[list[Any]]:
    """Rows as they are bound: those to write, in their order, in which two writers lock nodes."""
    types = [column.type for column in collection.columns]
    return [[to_parameter(t, v) for t, v in zip(types, row, strict=True)] for row in to_write(collection, rows)]


# ------------------------------------------------------------------------------------------------------- order and indexes


def _order_by(source: Source, order: Sequence[Order], *, backward: bool, constant: str | None) -> str:
    """ORDER BY with nulls last, or all of it turned round. Cypher's own order has nulls last ascending and first descending."""
    items = []
    for item in order:
        ref = source.ref(item.column)
        if item.descending and source.collection[item.column].nullable:
            items.append(f"{ref} IS NOT NULL" if backward else f"{ref} IS NULL")
        items.append(f"{ref} DESC" if item.descending != backward else ref)
    if constant is not None and source.is_property(constant) and all(item.column != constant for item in order):
        # The same for all rows of a parent; said here, an index that begins with it is seen to have the order already.
        items.insert(0, source.ref(constant) + (" DESC" if order[0].descending != backward else ""))
    return "ORDER BY " + ", ".join(items)


def _match(source: Source, wanted: Sequence[str], through: _Way | None = None) -> str:
    if through is None:
        return f"MATCH {source.pattern}" + (" WHERE " + " AND ".join(wanted) if wanted else "")
    return f"MATCH {source.pattern}{through.hint} WHERE {' AND '.join([*wanted, *through.conditions])}"


@dataclass(frozen=True, slots=True)
class _Way:
    """The index that leads to a parent's rows: a hint, and what else has to be said so that the index may be used."""

    hint: str = ""
    conditions: tuple[str, ...] = ()


def _way(source: Source, column: str, score: Callable[[tuple[str, ...]], int]) -> _Way:
    """The way to rows by ``column``: of the declared indexes that begin with it the one with the highest score, then the shortest.

    Chosen here, for the planner goes by statistics, which lag behind: PERF: 50 parents' totals of 10,000 rows just loaded took it
    660 ms by scanning all of them for each, and 14 ms in this way.
    """
    if source.edge is not None:
        ends = {source.edge.start_column: ("s", source.start_label), source.edge.end_column: ("e", source.end_label)}
        if column not in ends:
            return _Way()
        variable, label = ends[column]
        return _Way(f" USING INDEX SEEK {variable}:{quoted(label)}(id)")
    collection = source.collection
    indexes = [collection.key, *(index.columns for index in collection.indexes)]
    # A row without a value in one of its columns is not in an index.
    fit = [i for i in indexes if i[0] == column and not any(collection[name].nullable for name in i[1:])]
    if not fit:
        return _Way()
    best = max(fit, key=lambda i: (score(i), -len(i)))
    hint = f" USING INDEX SEEK n:{quoted(source.label)}({', '.join(map(quoted, best))})"
    return _Way(hint, tuple(f"{source.ref(name)} IS NOT NULL" for name in best[1:]))


def _in_order(order: Sequence[Order]) -> Callable[[tuple[str, ...]], int]:
    """The score of an index by how much of the order it has."""

    def score(index: tuple[str, ...]) -> int:
        return next((i for i, (name, item) in enumerate(zip(index[1:], order, strict=False)) if name != item.column), len(index) - 1)

    return score
