"""Write Cypher for what is asked. Pure: the text depends on the shape of a request, its values are bound.

A read answers one record with one value, a list of everything.
PERF: 550 rows of 50 parents: 27 ms as a record each, 9 ms as a record per parent, 5 ms as one record; the driver needs 35 µs
for a record and next to nothing for a list within one (5,000 nodes, pages of 11 in an index's order, neo4j 6.4 with rust-ext).

Times are stored as native DATETIME, which people who use the database directly expect, and written as text by the server.
PERF: 1,000 rows: 5.1 ms without their time, 6.3 ms with epochMillis (to be formatted here, on the event loop), 7.8 ms with
``toString`` and the zeros that it leaves out (as below), 34 ms as the driver's DateTime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import orjson

from gateway.stores.base import (
    Aggregate,
    And,
    Bucket,
    Collection,
    Column,
    Compare,
    Fetch,
    Match,
    Measure,
    Not,
    Order,
    Pairs,
    Row,
    Type,
    Value,
    Where,
    total_order,
)

TEXTS_KEPT = 2_000  # statements; a shape comes from a GraphQL document, so there are about as many
WIDE_BUDGET = 100_000  # characters of prefixes sent along with one wide text

Parameters = dict[str, Any]

# ---------------------------------------------------------------------------------------------------------------- names


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


class Source:
    """How one collection is written in Cypher: its pattern, and what each of its columns is called there."""

    def __init__(self, prefix: str, collection: Collection) -> None:
        self.collection = collection
        self.edge = collection.relationship
        if self.edge is None:
            self.label = prefix + (collection.label or collection.name)
            self.pattern = f"(n:{quoted(self.label)})"
            return
        if {*collection.key} != {self.edge.start_column, self.edge.end_column}:
            raise ValueError(
                f"collection {collection.name}: as a relationship its key must be {self.edge.start_column}, {self.edge.end_column}"
            )
        self.label = prefix + self.edge.type
        self.start_label, self.end_label = prefix + self.edge.start, prefix + self.edge.end
        self.pattern = f"(s:{quoted(self.start_label)})-[r:{quoted(self.label)}]->(e:{quoted(self.end_label)})"

    def ref(self, column: str) -> str:
        """The column in an expression; in the database's own type."""
        name = self.collection[column].name
        if self.edge is None:
            return f"n.{quoted(name)}"
        if name == self.edge.start_column:
            return "s.id"
        return "e.id" if name == self.edge.end_column else f"r.{quoted(name)}"

    def is_property(self, column: str) -> bool:
        """Whether the column is a property of the node or relationship itself, so that an index can hold it."""
        return self.edge is None or column not in (self.edge.start_column, self.edge.end_column)

    def wire(self, column: str) -> str:
        """The column as its wire value."""
        return _wire(self.collection[column].type, self.ref(column))

    def wire_list(self, columns: Sequence[str]) -> str:
        return "[" + ", ".join(map(self.wire, columns)) + "]"


def _wire(type_: Type, expression: str) -> str:
    if type_ is Type.TIME:
        # toString leaves zeros at the end out (…:42Z, …:42.1Z). With a nanosecond more there are always nine decimals.
        return f"left(toString({expression} + duration({{nanoseconds: 1}})), 23) + 'Z'"
    return f"toString({expression})" if type_ is Type.DATE else expression


def _native(type_: Type, expression: str) -> str:
    """A bound wire value in the database's own type; null stays null."""
    if type_ is Type.TIME:
        return f"datetime({expression})"
    return f"date({expression})" if type_ is Type.DATE else expression


# ------------------------------------------------------------------------------------------------------ shape and values

Mark = Literal["null", "plain", "wide"]  # what stands in a shape in the place of a value


@dataclass(frozen=True, slots=True)
class PageShape:
    backward: bool
    after: tuple[Mark, ...] | None
    before: tuple[Mark, ...] | None


MatchShape = tuple[Literal["match", "pairs"], str] | None


def split(source: Source, where: Where | None, parameters: Parameters) -> Where | None:
    """``where`` with marks in the place of its values, which go to ``parameters`` as w0, w1, … in the order they are met."""
    if where is None or isinstance(where, Compare):
        return where if where is None else _split_compare(source, where, parameters)
    if isinstance(where, Not):
        return Not(_split(source, where.item, parameters))
    return type(where)(tuple(_split(source, item, parameters) for item in where.items))


def _split(source: Source, where: Where, parameters: Parameters) -> Where:
    result = split(source, where, parameters)
    assert result is not None
    return result


def _split_compare(source: Source, where: Compare, parameters: Parameters) -> Compare:
    column = source.collection[where.column]
    mark, value = marked(column, where.value, ordered=where.op in _COMPARISONS)
    if mark != "null":
        parameters[f"w{len(parameters)}"] = value
    return replace(where, value=mark)


def marked(column: Column, value: Value, *, ordered: bool) -> tuple[Mark, Any]:
    """What stands for the value in a shape, and what is bound. ``ordered`` when it is compared by more than equality."""
    if value is None:
        return "null", None
    if column.type is Type.TEXT and ordered and not value.isascii() and max(value) > "\ud7ff":
        return "wide", _wide(value)
    return "plain", to_parameter(column.type, value)


def _wide(text: str) -> Parameters:
    """A text with characters above the surrogates, with what is needed to compare it by code point.

    Neo4j compares two stored texts by code point, but a stored one and a parameter by UTF-16 code unit, where U+E000 to U+FFFF
    come after everything from U+10000 on. The two orders part at a wide character only: so with each, the text before it and
    the ends of the range of texts that are on the wrong side. No further than WIDE_BUDGET, for the prefixes are quadratic.
    """
    above: list[tuple[str, str]] = []  # behind an astral character in UTF-16, before it by code point
    below: list[tuple[str, str, str]] = []  # and the other way round
    budget = WIDE_BUDGET
    for i, character in enumerate(text):
        if character < "\ue000":
            continue
        budget -= i
        if budget < 0:
            break
        start = text[:i]
        if character > "\uffff":
            above.append((start, start + "\ue000"))
        else:
            below.append((start, start + "\U00010000", start + "\ue000"))
    return {"text": text, "above": above, "below": below}


def to_parameter(type_: Type, value: Value) -> Any:
    if value is None:
        return None
    match type_:
        case Type.JSON:
            return orjson.dumps(value).decode()
        case Type.FLOAT:
            return [float(v) for v in value if v is not None] if isinstance(value, (tuple, list)) else float(value)
        case _:
            # `in` takes a tuple; a null in it matches nothing.
            return [v for v in value if v is not None] if isinstance(value, (tuple, list)) else value


# -------------------------------------------------------------------------------------------------------------- filters

_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _condition(source: Source, where: Where, name: Callable[[], str], *, negated: bool = False) -> str:
    """A condition that is true where ``where`` is, or where it is not; elsewhere it is false or null.

    Negations are pushed down to the comparisons. PERF: 20 nested NOT coalesce((… AND …), false) keep the server's parser busy for
    88 s, whatever the transaction's timeout; pushed down they are planned in 0.1 s.
    """
    if isinstance(where, Compare):
        return _compare(source, where, name, negated=negated)
    if isinstance(where, Not):
        return _condition(source, where.item, name, negated=not negated)
    parts = [_condition(source, item, name, negated=negated) for item in where.items]
    all_of = isinstance(where, And) != negated
    if len(parts) < 2:
        return parts[0] if parts else ("true" if all_of else "false")
    return "(" + (" AND " if all_of else " OR ").join(parts) + ")"


def _compare(source: Source, where: Compare, name: Callable[[], str], *, negated: bool) -> str:
    column, ref, op, mark = source.collection[where.column], source.ref(where.column), where.op, where.value
    if op in ("eq", "ne"):
        equal = (op == "eq") != negated
        if mark == "null":
            return f"{ref} IS NULL" if equal else f"{ref} IS NOT NULL"
        value = _native(column.type, f"${name()}")
        return f"{ref} = {value}" if equal else f"coalesce({ref} <> {value}, true)"
    if mark == "null":
        return "true" if negated else "false"
    test = _test(column.type, ref, op, f"${name()}", mark)
    return f"NOT coalesce({test}, false)" if negated else test


def _test(type_: Type, ref: str, op: str, parameter: str, mark: Mark) -> str:
    match op:
        case "in" if type_ in (Type.TIME, Type.DATE):
            return f"{ref} IN [x IN {parameter} | {_native(type_, 'x')}]"
        case "in":
            return f"{ref} IN {parameter}"
        case "contains":
            return f"{ref} CONTAINS {parameter}"
        case "starts_with":
            return f"{ref} STARTS WITH {parameter}"
        case _:
            return _ordered(type_, ref, _COMPARISONS[op], parameter, mark)


def _ordered(type_: Type, ref: str, sign: str, parameter: str, mark: Mark) -> str:
    """``ref`` compared with a parameter by <, <=, > or >=."""
    if mark != "wide":
        return f"{ref} {sign} {_native(type_, parameter)}"
    # An index would compare by code point; `+ ''` keeps it, and the stored form of the text, out.
    x = f"({ref} + '')"
    greater = (
        f"({x} > {parameter}.text AND none(q IN {parameter}.above WHERE {x} STARTS WITH q[0] AND {x} >= q[1])"
        f" OR any(q IN {parameter}.below WHERE {x} STARTS WITH q[0] AND {x} >= q[1] AND {x} < q[2]))"
    )
    equal = f"{ref} = {parameter}.text"
    match sign:
        case ">":
            return greater
        case ">=":
            return f"({equal} OR {greater})"
        case "<":
            return f"NOT ({equal} OR {greater})"
        case _:
            return f"NOT {greater}"


class _Names:
    """w0, w1, …: the parameters of a filter, in the order in which ``split`` met them."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self) -> str:
        self._next += 1
        return f"w{self._next - 1}"


def _conditions(source: Source, where: Where | None) -> list[str]:
    return [] if where is None else [_condition(source, where, _Names())]


def _match(source: Source, conditions: Sequence[str], through: _Way | None = None) -> str:
    if through is None:
        return f"MATCH {source.pattern}" + (" WHERE " + " AND ".join(conditions) if conditions else "")
    return f"MATCH {source.pattern}{through.hint} WHERE {' AND '.join([*conditions, *through.conditions])}"


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


# ------------------------------------------------------------------------------------------------------- order and pages


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


def _beyond(source: Source, order: Sequence[Order], marks: Sequence[Mark], cursor: str, *, after: bool) -> list[str]:
    """Conditions for rows strictly after, or before, a cursor, whose values are bound as ``{cursor}0``, ``{cursor}1``, …

    PERF: as ORs of ANDs the planner brings them into a normal form, whose size grows with the product of the columns: 570 ms to
    plan a page between two cursors in an order of three columns and the key, against 260 ms with CASE (once per shape).
    """
    beyond = "false"
    for i in reversed(range(len(order))):
        parameter = f"${cursor}{i}"
        step = _step(source, order[i], marks[i], parameter, after=after)
        last = i == len(order) - 1
        beyond = step if last else f"CASE WHEN {_same(source, order[i], marks[i], parameter)} THEN {beyond} ELSE {step} END"
    first = source.collection[order[0].column]
    if len(order) == 1 or first.nullable or marks[0] != "plain":
        return [beyond]
    # Says nothing new, but in a form that an index can begin at.
    sign = "<=" if order[0].descending == after else ">="
    return [_ordered(first.type, source.ref(first.name), sign, f"${cursor}0", "plain"), beyond]


def _step(source: Source, item: Order, mark: Mark, parameter: str, *, after: bool) -> str:
    """The column's value is beyond the cursor's."""
    column, ref = source.collection[item.column], source.ref(item.column)
    if mark == "null":  # nulls are last
        return "false" if after else f"{ref} IS NOT NULL"
    beyond = _ordered(column.type, ref, "<" if item.descending == after else ">", parameter, mark)
    return f"({beyond} OR {ref} IS NULL)" if after and column.nullable else beyond


def _same(source: Source, item: Order, mark: Mark, parameter: str) -> str:
    if mark == "null":
        return f"{source.ref(item.column)} IS NULL"
    value = f"{parameter}.text" if mark == "wide" else _native(source.collection[item.column].type, parameter)
    return f"{source.ref(item.column)} = {value}"


def _marked_cursor(
    source: Source, order: Sequence[Order], values: Sequence[Value] | None, cursor: str, parameters: Parameters
) -> tuple[Mark, ...] | None:
    if values is None:
        return None
    marks: list[Mark] = []
    for i, (item, value) in enumerate(zip(order, values, strict=True)):
        mark, parameters[f"{cursor}{i}"] = marked(source.collection[item.column], value, ordered=True)
        marks.append(mark)
    return tuple(marks)


# ---------------------------------------------------------------------------------------------------------------- reads


@lru_cache(maxsize=TEXTS_KEPT)
def get_text(source: Source, columns: tuple[str, ...], column: str) -> str:
    """Answers [[key, row], …]."""
    ref = source.ref(column)
    return (
        f"{_match(source, [f'{ref} IN $keys'], _way(source, column, _in_order(())))} RETURN collect([{ref}, {source.wire_list(columns)}])"
    )


def fetch_statement(source: Source, fetch: Fetch) -> tuple[str, Parameters]:
    """Answers [[parent, rows, total], …]; rows has one more than the page where there are more. Parents without rows are absent."""
    parameters: Parameters = {}
    where = split(source, fetch.where, parameters)
    page = None
    if fetch.page is not None:
        order = total_order(fetch.collection, fetch.order)
        after = _marked_cursor(source, order, fetch.page.after, "a", parameters)
        before = _marked_cursor(source, order, fetch.page.before, "b", parameters)
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


@lru_cache(maxsize=TEXTS_KEPT)
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
    wanted += _conditions(source, where)

    backward = page is not None and page.backward
    order_by = _order_by(source, order, backward=backward, constant=match[1] if match is not None and match[0] == "match" else None)
    paged = [*wanted, *_present(source, order)]
    limit = ""
    if page is not None:
        limit = " LIMIT $limit"
        if page.after is not None:
            paged += _beyond(source, order, page.after, "a", after=True)
        if page.before is not None:
            paged += _beyond(source, order, page.before, "b", after=False)

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
    parameters: Parameters = {}
    where = split(source, aggregate.where, parameters)
    column = None
    if aggregate.match is not None:
        column = aggregate.match.column
        parameters["keys"] = list(aggregate.match.keys)
    return _aggregate_text(source, aggregate.groups, aggregate.measures, column, where), parameters


@lru_cache(maxsize=TEXTS_KEPT)
def _aggregate_text(
    source: Source, groups: tuple[str | Bucket, ...], measures: tuple[Measure, ...], column: str | None, where: Where | None
) -> str:
    conditions = _conditions(source, where)
    parent, way = "null", None
    if column is not None:
        used = {g if isinstance(g, str) else g.column for g in groups} | {m.column for m in measures}
        parent, way = source.ref(column), _way(source, column, lambda index: len(used & {*index}))
        conditions.insert(0, f"{parent} IN $keys")
    grouped = [f"{parent} AS parent", *(f"{_group(source, g)} AS g{i}" for i, g in enumerate(groups))]
    measured = [f"{_measure(source, m)} AS m{i}" for i, m in enumerate(measures)]
    values = [_wire(_group_type(source, g), f"g{i}") for i, g in enumerate(groups)]
    values += [_wire(_measure_type(source, m), f"m{i}") for i, m in enumerate(measures)]
    return (
        f"{_match(source, conditions, way)} WITH {', '.join([*grouped, *measured, 'count(*) AS matched'])} WHERE matched > 0"
        f" RETURN collect([parent, [{', '.join(values)}]])"
    )


def _group(source: Source, group: str | Bucket) -> str:
    if isinstance(group, str):
        return source.ref(group)
    ref = source.ref(group.column)
    return f"CASE WHEN {ref} IS NOT NULL THEN datetime.truncate('{group.interval}', {ref}) END"


def _group_type(source: Source, group: str | Bucket) -> Type:
    return source.collection[group].type if isinstance(group, str) else Type.TIME


def _measure(source: Source, measure: Measure) -> str:
    return "count(*)" if measure.column is None else f"{measure.function}({source.ref(measure.column)})"


def _measure_type(source: Source, measure: Measure) -> Type:
    return Type.INT if measure.column is None else source.collection[measure.column].type


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


@lru_cache(maxsize=TEXTS_KEPT)
def upsert_text(source: Source) -> str:
    collection = source.collection
    place = {name: f"r[{i}]" for i, name in enumerate(collection.names)}
    values = {name: _native(collection[name].type, at) for name, at in place.items()}
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


@lru_cache(maxsize=TEXTS_KEPT)
def delete_text(source: Source) -> str:
    collection = source.collection
    conditions = [f"{source.ref(name)} = {_native(collection[name].type, f'k[{i}]')}" for i, name in enumerate(collection.key)]
    what = "DETACH DELETE n" if source.edge is None else "DELETE r"
    ways = [_way(source, name, _in_order(())) for name in collection.key if source.edge is not None or name == collection.key[0]]
    return f"UNWIND $keys AS k {_match(source, conditions, _Way(''.join(way.hint for way in ways)))} {what}"


def written(collection: Collection, rows: Sequence[Row]) -> list[list[Any]]:
    """Rows as they are bound: the last of each key, in the order of the keys, so that two writers lock nodes in the same order."""
    key = [collection.names.index(name) for name in collection.key]
    last = {tuple(row[i] for i in key): row for row in rows}
    types = [column.type for column in collection.columns]
    return [[to_parameter(t, v) for t, v in zip(types, last[k], strict=True)] for k in sorted(last)]
