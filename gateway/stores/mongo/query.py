"""Turn what is asked of a store into MongoDB pipelines. Pure: no I/O, no clock.

Every pipeline answers documents ``{"k": parent, "r": [values], "n": total}``; those without parents have no ``k``, those
without a count no ``n``. Names come from the declaration alone, and a client's value only ever stands behind an operator
that takes it as it is (``$eq``, ``$in``, ``$gt`` …, ``$literal``). Valid on MongoDB 6.0 and later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.stores.base import (
    Aggregate,
    And,
    Bucket,
    Collection,
    Compare,
    Fetch,
    Get,
    Match,
    Not,
    Or,
    Order,
    Pairs,
    Type,
    Value,
    Where,
    total_order,
)
from gateway.stores.measures import CUT_LIMIT, CUT_MIN, HALF, PIECE, PIECES, Part, parts
from gateway.stores.mongo.values import encode

Query = dict[str, Any]
Stage = dict[str, Any]
Pipeline = list[Stage]

EVERYTHING: Query = {}
NOTHING: Query = {"_id": {"$in": []}}  # the planner answers it without looking at anything

_RANGES = {"gt": "$gt", "gte": "$gte", "lt": "$lt", "lte": "$lte"}
_PATTERN_LIMIT_BYTES = 30_000  # MongoDB refuses regular expressions above 32,764
_ESCAPED = str.maketrans({**{mark: f"\\{mark}" for mark in r"\^$.|?*+()[]{}"}, "\0": r"\x00"})


def field(collection: Collection, column: str) -> str:
    """Return the name of ``column`` in a document: a key of one column is the ``_id``."""
    declared = collection[column].name
    return "_id" if collection.key == (declared,) else declared


# ------------------------------------------------------------------------------------------------------------ pipelines


def get(get: Get) -> Pipeline:
    key = field(get.collection, get.column)
    project = {"_id": 0, "k": f"${key}", "r": _values(get.collection, get.columns)}
    return [{"$match": all_of([{key: {"$in": list(get.keys)}}, where(get.collection, get.where)])}, {"$project": project}]


def rows(fetch: Fetch) -> Pipeline:
    """Return the pipeline over the collection of a fetch without ``match``."""
    return _page(fetch, _project(fetch))


def rows_by_parent(fetch: Fetch, match: Match) -> Pipeline:
    """Return the pipeline over the collection for all rows of all parents, grouped by parent: one scan of the parents' index."""
    parent = field(fetch.collection, match.column)
    order = tuple(item for item in total_order(fetch.collection, fetch.order) if item.column != match.column)
    conditions = [{parent: {"$in": list(match.keys)}}, where(fetch.collection, fetch.where)]
    flags, sort = _sort(fetch.collection, order, backward=False)
    project = {**_project(fetch), "k": f"${parent}"}
    return [{"$match": all_of(conditions)}, *_set(flags), {"$sort": {parent: 1, **sort}}, {"$project": project}]


def pages_by_parent(fetch: Fetch, match: Match) -> Pipeline:
    """Return the pipeline over the database for a page per parent, with its total when asked.

    One ``$lookup`` per parent, each of them ``$match`` on the parent's rows, ``$sort``, ``$limit``: a compound index of parent,
    order and key gives exactly the page, however many rows the parent has. ``$unwind`` right behind it keeps MongoDB from
    making one document, of 16 MiB at most, out of a parent's page.
    """
    # Values in $documents are expressions: without $literal a key such as "$x" would be read as one.
    stages: Pipeline = [{"$documents": [{"k": {"$literal": key}} for key in match.keys]}]
    if fetch.count:
        stages += _lookup(fetch, match, count(fetch), name="n", keep_empty=True)
    stages += _lookup(fetch, match, _page(fetch, _project(fetch)), name="r", keep_empty=fetch.count)
    return [*stages, {"$project": {"k": 1, "r": "$r.r", **({"n": "$n.n"} if fetch.count else {})}}]


def children(fetch: Fetch, pairs: Pairs) -> Pipeline:
    """Return the pipeline over the collection for the rows of all children in order, each once; their ``k`` is the child.

    No row has an index of its parents here, so there is nothing that a ``$lookup`` per parent could be spared: it would look up each
    child for each of its parents, and once more for the totals.
    """
    project = {**_project(fetch), "k": f"${field(fetch.collection, pairs.column)}"}
    query = all_of([_of_children(fetch, pairs), _between(fetch)])
    return [{"$match": query}, *_ordered(fetch, project, backward=False)]


def count_by_child(fetch: Fetch, pairs: Pairs) -> Pipeline:
    """Return the pipeline over the collection for the number of rows of each child, whatever the page."""
    return [{"$match": _of_children(fetch, pairs)}, {"$group": {"_id": f"${field(fetch.collection, pairs.column)}", "n": {"$sum": 1}}}]


def count(fetch: Fetch) -> Pipeline:
    """Return the pipeline over the collection for the total of a fetch without ``match``."""
    return [*_match(where(fetch.collection, fetch.where)), {"$group": {"_id": None, "n": {"$sum": 1}}}]


def groups(aggregate: Aggregate) -> Pipeline:
    """Return the pipeline over the collection that gives ``{"_id": [parent, *groups], "m0": …}``; ``_id`` has no parent without match.

    The group is an array because a missing field is null in one: both are the same group.
    """
    collection = aggregate.collection
    conditions = [where(collection, aggregate.where)]
    by = [_group(collection, group) for group in aggregate.groups]
    if aggregate.match is not None:
        parent = field(collection, aggregate.match.column)
        conditions.insert(0, {parent: {"$in": list(aggregate.match.keys)}})
        by.insert(0, f"${parent}")
    measures: dict[str, Any] = {}
    totals: dict[str, Any] = {}
    for place, part in enumerate(parts(collection, aggregate.measures)):
        if part.function == "total":
            pieces = {f"m{place}_{number}": {"$sum": piece} for number, piece in enumerate(_pieces(f"${field(collection, part.column)}"))}
            totals[f"m{place}"] = [f"${name}" for name in pieces]
            measures |= pieces
        else:
            measures[f"m{place}"] = _measure(collection, part)
    most: Pipeline = [] if aggregate.most is None else [{"$limit": aggregate.most}]
    return [*_match(all_of(conditions)), {"$group": {"_id": by or None, **measures}}, *most, *_set(totals)]


def _of_children(fetch: Fetch, pairs: Pairs) -> Query:
    keys = list(dict.fromkeys(child for _, child in pairs.pairs))
    return all_of([{field(fetch.collection, pairs.column): {"$in": keys}}, where(fetch.collection, fetch.where)])


def _lookup(fetch: Fetch, match: Match, pipeline: Pipeline, *, name: str, keep_empty: bool) -> Pipeline:
    """Return the stages that join each parent with what ``pipeline`` makes of its rows."""
    join = {"localField": "k", "foreignField": field(fetch.collection, match.column), "pipeline": pipeline, "as": name}
    unwind = {"path": f"${name}", "preserveNullAndEmptyArrays": keep_empty}
    return [{"$lookup": {"from": fetch.collection.name, **join}}, {"$unwind": unwind}]


def _page(fetch: Fetch, project: Stage) -> Pipeline:
    """Return the stages that filter, sort and cut; one row more than asked tells whether there are more."""
    query = all_of([where(fetch.collection, fetch.where), _between(fetch)])
    limit = None if fetch.page is None else fetch.page.limit + 1
    return [*_match(query), *_ordered(fetch, project, backward=fetch.page is not None and fetch.page.backward, limit=limit)]


def _between(fetch: Fetch) -> Query:
    """Return what matches the rows strictly between the page's cursors."""
    if fetch.page is None:
        return EVERYTHING
    order = total_order(fetch.collection, fetch.order)
    ends = ((fetch.page.after, True), (fetch.page.before, False))
    return all_of([_beyond(fetch.collection, order, values, forward=forward) for values, forward in ends if values is not None])


def _ordered(fetch: Fetch, project: Stage, *, backward: bool, limit: int | None = None) -> Pipeline:
    flags, sort = _sort(fetch.collection, total_order(fetch.collection, fetch.order), backward=backward)
    return [*_set(flags), {"$sort": sort}, *([] if limit is None else [{"$limit": limit}]), {"$project": project}]


def _match(query: Query) -> Pipeline:
    return [{"$match": query}] if query else []


def _set(fields: dict[str, Any]) -> Pipeline:
    return [{"$set": fields}] if fields else []


def _project(fetch: Fetch) -> dict[str, Any]:
    # PERF: values in an array, not under their names: 1,000 rows of 6 columns decode in 0.45 ms instead of 0.72, and a missing field
    # is null. `bson.decode` of both forms shows it again.
    return {"_id": 0, "r": _values(fetch.collection, fetch.columns)}


def _values(collection: Collection, columns: Iterable[str]) -> list[str]:
    return [f"${field(collection, column)}" for column in columns]


def _group(collection: Collection, group: str | Bucket) -> Any:
    if isinstance(group, str):
        return f"${field(collection, group)}"
    date = f"${field(collection, group.column)}"
    return {"$dateTrunc": {"date": date, "unit": group.interval, "startOfWeek": "monday", "timezone": "UTC"}}


def _measure(collection: Collection, part: Part) -> dict[str, Any]:
    if part.function == "count":
        return {"$sum": 1}
    value = f"${field(collection, part.column)}"
    low = {"$mod": [value, HALF]}
    match part.function:
        case "min" | "max":
            return {f"${part.function}": value}
        case "number":
            return {"$sum": {"$cond": [{"$gt": [value, None]}, 1, 0]}}
        case "high":
            return {"$sum": {"$toLong": {"$divide": [{"$subtract": [value, low]}, HALF]}}}  # $divide gives a double: exact, without low
        case _:
            return {"$sum": low}


def _pieces(value: str) -> list[Any]:
    """Return the pieces of a FLOAT, whole numbers, and behind them what cannot be cut."""
    size = {"$abs": value}
    is_cut = {"$and": [{"$gte": [size, CUT_MIN]}, {"$lt": [size, CUT_LIMIT]}]}
    pieces = [{"$toLong": {"$trunc": {"$mod": [{"$multiply": [value, scale]}, float(PIECE)]}}} for scale in PIECES]
    return [*({"$cond": [is_cut, piece, 0]} for piece in pieces), {"$cond": [is_cut, 0, value]}]


# ---------------------------------------------------------------------------------------------------------------- order


def _sort(collection: Collection, order: Sequence[Order], *, backward: bool) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the fields to compute before sorting, and the sort.

    MongoDB has nulls first going up and last going down. So only a nullable column that is asked ascending needs a computed
    flag; all others are sorted as they are, and indexes serve them.
    """
    flags: dict[str, Any] = {}
    sort: dict[str, int] = {}
    for item in order:
        name = field(collection, item.column)
        if collection[item.column].nullable and not item.descending:
            flag = f"__null{len(flags)}"
            flags[flag] = {"$lte": [f"${name}", None]}  # nothing but a missing field is below null
            sort[flag] = -1 if backward else 1
        sort[name] = 1 if item.descending == backward else -1
    return flags, sort


def _beyond(collection: Collection, order: Sequence[Order], values: Sequence[Value], *, forward: bool) -> Query:
    """Return what matches the rows strictly behind the row with ``values`` (``forward``), or strictly before it."""
    equal: list[Query] = []
    ways: list[Query] = []
    for item, value in zip(order, values, strict=True):
        past = _past(collection, item, value, forward=forward)
        if past is not None:
            ways.append(all_of([*equal, past]))
        equal.append(_compare(collection, Compare(item.column, "eq", value)))
    # Says nothing new, but bounds an index of the order from one side, which $or does not.
    bound = _bound(collection, order[0], values[0], forward=forward) if len(order) > 1 else EVERYTHING
    return all_of([bound, any_of(ways)])


def _past(collection: Collection, item: Order, value: Value, *, forward: bool) -> Query | None:
    """Return what matches a value of one column behind (or before) ``value``; None when nothing can be. Nulls are behind all."""
    name, column = field(collection, item.column), collection[item.column]
    if value is None:
        return None if forward else {name: {"$ne": None}}
    step = {name: {"$gt" if forward != item.descending else "$lt": encode(column, value)}}
    return any_of([step, {name: {"$eq": None}}]) if forward and column.nullable else step


def _bound(collection: Collection, item: Order, value: Value, *, forward: bool) -> Query:
    column = collection[item.column]
    if value is None or (forward and column.nullable):
        return EVERYTHING
    operator = "$gte" if forward != item.descending else "$lte"
    return {field(collection, item.column): {operator: encode(column, value)}}


# -------------------------------------------------------------------------------------------------------------- filters


def where(collection: Collection, condition: Where | None) -> Query:
    """Return the query for ``condition``: two-valued, so that ``$nor`` is its exact negation."""
    match condition:
        case None:
            return EVERYTHING
        case Compare():
            return _compare(collection, condition)
        case And(items):
            return all_of([where(collection, item) for item in items])
        case Or(items):
            return any_of([where(collection, item) for item in items])
        case Not(item):
            return {"$nor": [where(collection, item)]}


def all_of(queries: Sequence[Query]) -> Query:
    """Return the query that matches what all ``queries`` match; everything when there are none."""
    told = [query for query in queries if query]
    if len(told) > 1:
        return {"$and": told}
    return told[0] if told else EVERYTHING


def any_of(queries: Sequence[Query]) -> Query:
    """Return the query that matches what one of ``queries`` matches; nothing when there are none."""
    if len(queries) > 1:
        return {"$or": list(queries)}
    return queries[0] if queries else NOTHING


def _compare(collection: Collection, compare: Compare) -> Query:
    name, column, value = field(collection, compare.column), collection[compare.column], compare.value
    if value is None and column.type in (Type.JSON, Type.TEXTS) and compare.op in ("eq", "ne"):
        null: Query = {name: {"$eq": None, "$not": {"$type": "array"}}}  # an array with a null in it equals null too
        return null if compare.op == "eq" else {"$nor": [null]}
    if compare.op == "eq":
        return {name: {"$eq": encode(column, value)}}  # null matches a missing field too
    if compare.op == "ne":
        return {name: {"$ne": encode(column, value)}}
    if value is None:
        return NOTHING
    if compare.op == "in":
        return {name: {"$in": [encode(column, item) for item in value if item is not None]}}
    if compare.op == "contains":
        return _contains(name, value)
    if compare.op == "starts_with":
        return _starts_with(name, value)
    return {name: {_RANGES[compare.op]: encode(column, value)}}


def _contains(name: str, text: str) -> Query:
    """Return what matches ``text`` anywhere, literally: an escaped pattern, or a search by code points where that would be too long."""
    pattern = text.translate(_ESCAPED)
    if len(pattern.encode()) <= _PATTERN_LIMIT_BYTES:
        return {name: {"$regex": pattern}}
    return {"$expr": {"$gte": [{"$indexOfCP": [f"${name}", {"$literal": text}]}, 0]}}


def _starts_with(name: str, text: str) -> Query:
    """Return a range, which is exact where text is compared by code point, and which an index serves."""
    end = _end_of_prefix(text)
    return {name: {"$gte": text} if end is None else {"$gte": text, "$lt": end}}


def _end_of_prefix(text: str) -> str | None:
    """Return the least text above all that start with ``text``; None when there is none."""
    stem = text.rstrip("\U0010ffff")
    if not stem:
        return None
    last = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if last == 0xD800 else last)  # UTF-8 has no surrogates
