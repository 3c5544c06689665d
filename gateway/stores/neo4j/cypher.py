"""Write Cypher for rows that are asked for. Pure: the text depends on the shape of a request, its values are bound.

A read answers one record with one value, a list of everything.
PERF: 550 rows of 50 parents: 27 ms as a record each, 9 ms as a record per parent, 5 ms as one record; the driver needs 35 µs
for a record and next to nothing for a list within one (5,000 nodes, pages of 11 in an index's order, neo4j 6.4 with rust-ext).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.caches import remembered
from gateway.stores.base import Ends, Fetch, Get, Match, Order, Pairs, Where, total_order
from gateway.stores.neo4j.conditions import Mark, Parameters, beyond, conditions, in_order, marked_cursor, split
from gateway.stores.neo4j.sources import Source
from gateway.stores.neo4j.ways import TEXTS_KEPT, TEXTS_LIMIT_BYTES, bound_keys, by_order, is_key, matching, way_to


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
    parameters["keys"] = bound_keys(source, get.column, get.keys)
    return _get_text(source, get.columns, get.column, where), parameters


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _get_text(source: Source, columns: tuple[str, ...], column: str, where: Where | None) -> str:
    form = source.key_form(column)
    if not form.is_plain:
        wanted = [*is_key(source, column, [f"k[{i + 1}]" for i in range(len(form.columns))]), *conditions(source, where)]
        match = matching(source, wanted, way_to(source, column, by_order(())))
        return f"UNWIND $keys AS k {match} RETURN collect([k[0], {source.shown_list(columns)}])"
    ref = source.ref(column)
    match = matching(source, [f"{ref} IN $keys", *conditions(source, where)], way_to(source, column, by_order(())))
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
    assert not isinstance(fetch.match, Ends), "asked of stores that join alone"
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
    named, ordered = _named(source, order)
    constant = match[1] if match is not None and match[0] == "match" else None
    order_by = _order_by(source, order, ordered, backward=backward, constant=constant)
    present, paged = _present(source, order), list[str]()
    limit = ""
    if page is not None:
        limit = " LIMIT $limit"
        if page.after is not None:
            paged += beyond(source, order, page.after, "a", ordered, after=True)
        if page.before is not None:
            paged += beyond(source, order, page.before, "b", ordered, after=False)

    way = None if match is None else way_to(source, match[1], by_order(order))
    if named:
        found = f"{matching(source, [*wanted, *present], way)}{named}{' WHERE ' if paged else ''}{' AND '.join(paged)}"
    else:
        found = matching(source, [*wanted, *present, *paged], way)
    rows = f"COLLECT {{ {each}{found} RETURN {source.shown_list(columns)} {order_by}{limit} }}"
    counted = count and page is not None  # without a page the rows themselves are counted
    way = None if match is None else way_to(source, match[1], by_order(()))
    total = f"COUNT {{ {each}{matching(source, wanted, way)} }}" if counted else "null"
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
        return "p[0]", "", is_key(source, column, [f"p[{i + 1}]" for i in range(width)])
    if width > 1:
        return "p[0]", "UNWIND p[1] AS k ", is_key(source, column, [f"k[{i}]" for i in range(width)])
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


# ------------------------------------------------------------------------------------------------------- order and indexes


def _named(source: Source, order: Sequence[Order]) -> tuple[str, list[str]]:
    """What rows are ordered by, and a clause that gives names to those of them which are held to their types.

    PERF: a page of DECIMALs behind a cursor has what it is ordered by four times, which a busy server's planner took 3 s for.
    """
    ordered = [in_order(source, item.column) for item in order]
    if not source.is_careful:
        return "", ordered
    named = {
        expression: f"o{i}"
        for i, (item, expression) in enumerate(zip(order, ordered, strict=True))
        if source.ref(item.column) != expression
    }
    values = [f"{expression} AS {name}" for expression, name in named.items()]
    return f" WITH *, {', '.join(values)}" if values else "", [named.get(expression, expression) for expression in ordered]


def _order_by(source: Source, order: Sequence[Order], ordered: Sequence[str], *, backward: bool, constant: str | None) -> str:
    """ORDER BY with nulls last, or all of it turned round. Cypher's own order has nulls last ascending and first descending."""
    items = []
    for item, ref in zip(order, ordered, strict=True):
        if item.descending and source.may_be_null(item.column):
            items.append(f"{ref} IS NOT NULL" if backward else f"{ref} IS NULL")
        items.append(f"{ref} DESC" if item.descending != backward else ref)
    constants = () if constant is None or source.is_careful else constant.split(",")
    for name in reversed(constants):
        if source.is_property(name) and source.form(name).is_ordered and all(item.column != name for item in order):
            # The same for all rows of a parent; said here, an index that begins with it is seen to have the order already.
            items.insert(0, source.ref(name) + (" DESC" if order[0].descending != backward else ""))
    return "ORDER BY " + ", ".join(items)
