"""Write Cypher for what is asked. Pure: the text depends on the shape of a request, its values are bound.

A read answers one record with one value, a list of everything.
PERF: 550 rows of 50 parents: 27 ms as a record each, 9 ms as a record per parent, 5 ms as one record; the driver needs 35 µs
for a record and next to nothing for a list within one (5,000 nodes, pages of 11 in an index's order, neo4j 6.4 with rust-ext).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from gateway.caches import remembered
from gateway.errors import StoreMisbehaved
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
    Value,
    Where,
    total_order,
)
from gateway.stores.measures import CUT_LIMIT, CUT_MIN, EXACT, HALF, PIECE, PIECES, Part, decimal_sum, parts
from gateway.stores.neo4j.conditions import Mark, Parameters, beyond, conditions, in_order, marked_cursor, split
from gateway.stores.neo4j.forms import Decode, Form, form_of, of_sortable, unsorted
from gateway.stores.neo4j.sources import ELEMENT_ID, Source, node, plain, quoted
from gateway.stores.shared import to_write
from gateway.stores.values import Unreadable, found_in_place_of, sorted_anyhow

TEXTS_LIMIT_BYTES = 8 * 1024 * 1024
TEXTS_KEPT = 2_000  # statements; a shape comes from a GraphQL document, so there are about as many


@dataclass(frozen=True, slots=True)
class PageShape:
    backward: bool
    after: tuple[Mark, ...] | None
    before: tuple[Mark, ...] | None


MatchShape = tuple[Literal["match", "pairs"], str] | None
WHOLE_LIMIT = 2**51  # a FLOAT below it times its scale is rounded to the whole number that it is meant to be


# ---------------------------------------------------------------------------------------------------------------- reads


def get_statement(source: Source, get: Get) -> tuple[str, Parameters]:
    """Answers [[key, row], …]."""
    where, parameters = split(source, get.where)
    parameters["keys"] = bound_keys(source, get.column, get.keys)
    return _get_text(source, get.columns, get.column, where), parameters


def bound_keys(source: Source, column: str, keys: Sequence[str]) -> list[Any]:
    """Keys as they are bound: themselves, or ``[key, value, …]`` with the values that they stand for. What stands for none is left out."""
    form = source.key_form(column)
    if form.is_plain:
        return list(keys)
    sent = [source.form(item.name).sent for item in form.columns]
    bound = []
    for key in keys:
        values = form.values(key)
        if values is not None:
            bound.append([key, *(send(value) for send, value in zip(sent, values, strict=True))])
    return bound


def _is_key(source: Source, column: str, values: Sequence[str]) -> list[str]:
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


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _get_text(source: Source, columns: tuple[str, ...], column: str, where: Where | None) -> str:
    form = source.key_form(column)
    if not form.is_plain:
        wanted = [*_is_key(source, column, [f"k[{i + 1}]" for i in range(len(form.columns))]), *conditions(source, where)]
        match = _match(source, wanted, _way(source, column, _in_order(())))
        return f"UNWIND $keys AS k {match} RETURN collect([k[0], {source.shown_list(columns)}])"
    ref = source.ref(column)
    match = _match(source, [f"{ref} IN $keys", *conditions(source, where)], _way(source, column, _in_order(())))
    return f"{match} RETURN collect([{ref}, {source.shown_list(columns)}])"


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
        parameters["parents"] = bound_keys(source, fetch.match.column, fetch.match.keys)
    elif isinstance(fetch.match, Pairs):
        match = ("pairs", fetch.match.column)
        parameters["parents"] = _bound_pairs(source, fetch.match)
    return _fetch_text(source, fetch.columns, match, where, fetch.order, page, fetch.count), parameters


def _bound_pairs(source: Source, pairs: Pairs) -> list[tuple[str, list[Any]]]:
    """Each parent with its keys: a value of one column, or a list of values of several."""
    groups: dict[str, list[str]] = {}
    for parent, value in pairs.pairs:
        groups.setdefault(parent, []).append(value)
    form = source.key_form(pairs.column)
    if form.is_plain:
        return list(groups.items())
    found = []
    for parent, keys in groups.items():
        bound = bound_keys(source, pairs.column, list(dict.fromkeys(keys)))
        found.append((parent, [values[1] for values in bound] if len(form.columns) == 1 else [values[1:] for values in bound]))
    return found


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
    parent, each, wanted = _parent(source, match)
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
    rows = f"COLLECT {{ {each}{_match(source, paged, way)} RETURN {source.shown_list(columns)} {order_by}{limit} }}"
    counted = count and page is not None  # without a page the rows themselves are counted
    way = None if match is None else _way(source, match[1], _in_order(()))
    total = f"COUNT {{ {each}{_match(source, wanted, way)} }}" if counted else "null"
    if match is None:
        return f"RETURN [[null, {rows}, {total}]]"
    return (
        f"UNWIND $parents AS p WITH {parent} AS parent, {rows} AS rows, {total} AS total"
        f" WHERE size(rows) > 0{' OR total > 0' if counted else ''} RETURN collect([parent, rows, total])"
    )


def _parent(source: Source, match: MatchShape) -> tuple[str, str, list[str]]:
    """What a parent is called, the clause that goes through its keys if there are several of several columns, and their conditions."""
    if match is None:
        return "null", "", []
    kind, column = match
    form = source.key_form(column)
    if form.is_plain:
        ref = source.ref(column)
        return ("p", "", [f"{ref} = p"]) if kind == "match" else ("p[0]", "", [f"{ref} IN p[1]"])
    width = len(form.columns)
    if kind == "match":
        return "p[0]", "", _is_key(source, column, [f"p[{i + 1}]" for i in range(width)])
    if width > 1:
        return "p[0]", "UNWIND p[1] AS k ", _is_key(source, column, [f"k[{i}]" for i in range(width)])
    [name] = [item.name for item in form.columns]
    one = source.form(name)
    bound = one.bound("k")
    return "p[0]", "", [one.is_one_of(source.ref(name), "p[1]" if bound == "k" else f"[k IN p[1] | {bound}]")]


def _present(source: Source, order: Sequence[Order]) -> list[str]:
    """That there is a value where there always is one: an index of several columns is used only when this is said of each."""
    if source.edge is not None:
        return []
    return [
        f"{source.ref(item.column)} IS NOT NULL"
        for item in order
        if not source.may_be_null(item.column) and source.is_property(item.column)
    ]


def aggregate_statement(source: Source, aggregate: Aggregate) -> tuple[str, Parameters]:
    """Answers [[parent, row], …], in no order: that of text would depend on where the database has it from."""
    where, parameters = split(source, aggregate.where)
    column = None
    if aggregate.match is not None:
        column = aggregate.match.column
        parameters["keys"] = bound_keys(source, column, aggregate.match.keys)
    if aggregate.most is not None:
        parameters["most"] = aggregate.most
    return _aggregate_text(source, aggregate.groups, aggregate.measures, column, where, aggregate.most is not None), parameters


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _aggregate_text(
    source: Source, groups: tuple[str | Bucket, ...], measures: tuple[Measure, ...], column: str | None, where: Where | None, bounded: bool
) -> str:
    wanted = conditions(source, where)
    parent, way, each = "null", None, ""
    if column is not None:
        used = {g if isinstance(g, str) else g.column for g in groups} | {m.column for m in measures}
        way = _way(source, column, lambda index: len(used & {*index}))
        form = source.key_form(column)
        if form.is_plain:
            parent = source.ref(column)
            wanted.insert(0, f"{parent} IN $keys")
        else:
            parent, each = "k[0]", "UNWIND $keys AS k "
            wanted[:0] = _is_key(source, column, [f"k[{i + 1}]" for i in range(len(form.columns))])
    grouped = [f"{parent} AS parent", *(f"{_group(source, g)} AS g{i}" for i, g in enumerate(groups))]
    asked = parts(source.collection, measures)
    measured = [f"{_measure(source, part)} AS m{i}" for i, part in enumerate(asked)]
    values = [_shown_group(source, g, f"g{i}") for i, g in enumerate(groups)]
    values += [_shown_part(source, part, f"m{i}") for i, part in enumerate(asked)]
    return (
        f"{each}{_match(source, wanted, way)} WITH {', '.join([*grouped, *measured, 'count(*) AS matched'])}"
        f"{' LIMIT $most' if bounded else ''} WHERE matched > 0"
        f" RETURN collect([parent, [{', '.join(values)}]])"
    )


def _group(source: Source, group: str | Bucket) -> str:
    """What rows are grouped by. Of values that are none of their column's type it is what is shown of them."""
    if isinstance(group, str):
        form, ref = source.form(group), source.ref(group)
        if not form.is_careful:
            return form.value(ref)
        known = form.wire(form.value(ref))
        if form.type in (Type.TIME, Type.CLOCK):  # their text has the value more than once
            known = f"head([value IN [{form.value(ref)}] | {form.wire('value')}])"
        return f"coalesce({known}, {form.shown(ref)})"
    form, ref = source.form(group.column), source.ref(group.column)
    if not form.is_careful:
        return f"CASE WHEN {ref} IS NOT NULL THEN datetime.truncate('{group.interval}', {ref}) END"
    start = f"CASE WHEN value IS NOT NULL THEN datetime.truncate('{group.interval}', value) END"
    return f"coalesce(head([value IN [{form.value(ref)}] | head([start IN [{start}] | {form.wire('start')}])]), {form.shown(ref)})"


def _shown_group(source: Source, group: str | Bucket, name: str) -> str:
    form = source.form(group if isinstance(group, str) else group.column)
    return name if form.is_careful else form.wire(name)


def _shown_part(source: Source, part: Part, name: str) -> str:
    if part.function in ("min", "max"):
        return source.form(part.column).wire(name)
    return name


def aggregate_decoders(source: Source, aggregate: Aggregate) -> list[tuple[int, Decode]]:
    """The functions from what the driver gives to the values of groups and of measures' parts, by their places."""
    found: list[tuple[int, Decode]] = []
    for place, column in enumerate(aggregate.group_columns):
        form = source.form(column.name)
        decode = _group_of(form) if form.is_careful else form.decode
        if decode is not None:
            found.append((place, decode))
    for place, part in enumerate(parts(source.collection, aggregate.measures), len(aggregate.groups)):
        if not part.column:
            continue
        form = source.form(part.column)
        if part.function in ("min", "max") and form.type is Type.DECIMAL:
            found.append((place, _either(form)))
        elif part.function == "total" and form.type is Type.DECIMAL:
            found.append((place, _total_of(form.is_careful)))
    return found


def _group_of(form: Form) -> Decode:
    """What rows are grouped by; what is none of its type is told from what is, for it stands behind it."""
    column, decode = form.column, _either(form)

    def group(value: Any) -> Value:
        value = decode(value)
        found = found_in_place_of(column, value)
        return value if found is None or isinstance(value, Unreadable) else Unreadable(found)

    return group


def _either(form: Form) -> Decode:
    """A DECIMAL of its sortable text, where it is held to its type; what else was found as ever."""
    column, decode = form.column, form.decode
    is_sortable = column.type is Type.DECIMAL and form.is_careful

    def either(value: Any) -> Value:
        if is_sortable and isinstance(value, str):
            return of_sortable(column, value)
        return value if decode is None else decode(value)

    return either


def _total_of(is_careful: bool) -> Decode:
    """The exact sum of DECIMALs, as text, of their sortable texts; or of whole numbers in two halves, and of FLOATs."""

    def of_texts(texts: Any) -> Value:
        return str(decimal_sum(map(str, map(unsorted, texts))))

    def of_halves(halves: Any) -> Value:
        scale, high, low, others = halves
        whole = Decimal(high * HALF + low).scaleb(-scale, EXACT)
        return f"{decimal_sum([str(whole), *map(repr, others)]):f}"

    return of_texts if is_careful else of_halves


def _measure(source: Source, part: Part) -> str:
    if part.function == "count":
        return "count(*)"
    form, ref = source.form(part.column), source.ref(part.column)
    value = form.value(ref)
    match part.function:
        case "min" | "max" if form.column.collation == "nocase":
            return f"{part.function}(CASE WHEN {value} IS NOT NULL THEN [{form.comparable(ref)}, {value}] END)[1]"
        case "min" | "max":
            return f"{part.function}({value})"
        case "number":
            return f"count({value})"
        case "high":
            return f"sum({value} / {HALF})"  # cut towards zero, as % is
        case "low":
            return f"sum({value} % {HALF})"
        case _ if form.type is Type.DECIMAL:
            return f"collect({value})" if form.is_careful else _decimal_total(ref, form.column.scale)
        case _:
            is_cut = f"abs({value}) >= {CUT_MIN!r} AND abs({value}) < {CUT_LIMIT!r}"
            pieces = [f"sum(CASE WHEN {is_cut} THEN toInteger({value} * {scale!r} % {PIECE}.0) ELSE 0 END)" for scale in PIECES]
            return f"[{', '.join(pieces)}, sum(CASE WHEN {is_cut} THEN 0.0 ELSE {value} END)]"


def _decimal_total(ref: str, scale: int | None) -> str:
    """The sum of FLOATs that are DECIMALs: of those which are whole numbers of their scale in two halves, and a list of the others."""
    if scale is None or scale > 15:
        return f"[0, 0, 0, collect({ref})]"
    unit = 10**scale
    is_whole, whole = f"abs({ref}) < {WHOLE_LIMIT / unit!r}", f"toInteger(round({ref} * {unit}.0))"
    halves = [f"sum(CASE WHEN {is_whole} THEN {whole} {sign} {HALF} ELSE 0 END)" for sign in "/%"]
    return f"[{scale}, {halves[0]}, {halves[1]}, collect(CASE WHEN {is_whole} THEN null ELSE {ref} END)]"


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
    conditions = _is_key(source, source.collection.key_name, [f"k[{i}]" for i in range(len(key))])
    what = "DETACH DELETE n" if source.edge is None else "DELETE r"
    ends = () if source.edge is None else (source.edge.start_column, source.edge.end_column)
    ways = [_way(source, name, _in_order(())) for name in key if name in ends]
    if source.edge is None:
        ways = [_way(source, key[0], _in_order(()))]
    return f"UNWIND $keys AS k {_match(source, conditions, _Way(''.join(way.hint for way in ways)))} {what}"


def deleted(source: Source, keys: Sequence[Row]) -> list[list[Any]]:
    """Keys of rows to delete as they are bound, each once, in the order in which two writers lock nodes."""
    forms = [source.form(name) for name in source.collection.key]
    unique = sorted_anyhow({tuple(key) for key in keys}, key=lambda key: [(False, value) for value in key])
    return [[form.sent(value) for form, value in zip(forms, key, strict=True)] for key in unique]


def written(collection: Collection, rows: Sequence[Row]) -> list[list[Any]]:
    """Rows as they are bound: those to write, in their order, in which two writers lock nodes."""
    stored = [form_of(column, False).stored for column in collection.columns]
    return [[store(value) for store, value in zip(stored, row, strict=True)] for row in to_write(collection, rows)]


# ------------------------------------------------------------------------------------------------------- order and indexes


def _order_by(source: Source, order: Sequence[Order], *, backward: bool, constant: str | None) -> str:
    """ORDER BY with nulls last, or all of it turned round. Cypher's own order has nulls last ascending and first descending."""
    items = []
    for item in order:
        ref = in_order(source, item.column)
        if item.descending and source.may_be_null(item.column):
            items.append(f"{ref} IS NOT NULL" if backward else f"{ref} IS NULL")
        items.append(f"{ref} DESC" if item.descending != backward else ref)
    constants = () if constant is None or source.is_careful else constant.split(",")
    for name in reversed(constants):
        if source.is_property(name) and source.form(name).is_ordered and all(item.column != name for item in order):
            # The same for all rows of a parent; said here, an index that begins with it is seen to have the order already.
            items.insert(0, source.ref(name) + (" DESC" if order[0].descending != backward else ""))
    return "ORDER BY " + ", ".join(items)


def _match(source: Source, wanted: Sequence[str], through: _Way | None = None) -> str:
    found = list(dict.fromkeys([*wanted, *(() if through is None else through.conditions), *source.is_row]))
    hint = "" if through is None else through.hint
    return f"MATCH {source.pattern}{hint}" + (" WHERE " + " AND ".join(found) if found else "")


@dataclass(frozen=True, slots=True)
class _Way:
    """The index that leads to a parent's rows: a hint, and what else has to be said so that the index may be used."""

    hint: str = ""
    conditions: tuple[str, ...] = ()


def _way(source: Source, column: str, score: Callable[[tuple[str, ...]], int]) -> _Way:
    """The way to rows by ``column``: of the declared indexes that begin with it the one with the highest score, then the shortest.

    Chosen here, for the planner goes by statistics, which lag behind: PERF: 50 parents' totals of 10,000 rows just loaded took it
    660 ms by scanning all of them for each, and 14 ms in this way. ``column`` may be several, with commas between them.
    """
    names = column.split(",")
    if not all(source.form(name).is_raw for name in names):
        return _Way()
    if source.edge is not None:
        s, _, e = source.variables
        ends = {
            source.edge.start_column: (s, source.start_labels, source.edge.start_property),
            source.edge.end_column: (e, source.end_labels, source.edge.end_property),
        }
        if names[0] not in ends:
            return _Way()
        variable, labels, name = ends[names[0]]
        return _Way(f" USING INDEX SEEK {variable}:{quoted(labels[0])}({plain(name)})" if len(labels) == 1 else "")
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
        return _Way()
    best = max(fit, key=lambda i: (score(i), -len(i)))
    hint = f" USING INDEX SEEK n:{quoted(source.label)}({', '.join([quoted(source.path(name)) for name in best])})"
    return _Way(hint, tuple(f"{source.ref(name)} IS NOT NULL" for name in best[width:]))


def _in_order(order: Sequence[Order]) -> Callable[[tuple[str, ...]], int]:
    """The score of an index by how much of the order it has."""

    def score(index: tuple[str, ...]) -> int:
        return next((i for i, (name, item) in enumerate(zip(index[1:], order, strict=False)) if name != item.column), len(index) - 1)

    return score
