"""Turn what is asked of a store into MongoDB pipelines. Pure: no I/O, no clock.

Every pipeline answers documents ``{"k": parent, "r": [values], "n": total}``; those without parents have no ``k``, those
without a count no ``n``. Names come from the declaration alone, and a client's value only ever stands behind an operator
that takes it as it is (``$eq``, ``$in``, ``$gt`` …, ``$literal``). Valid on MongoDB 6.0 and later.

Longer than 400 lines: the pipelines of all requests are put together from the same stages, of which each is here once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

from gateway.stores.base import (
    Aggregate,
    And,
    Bucket,
    Collection,
    Compare,
    Fetch,
    Get,
    Key,
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
from gateway.stores.measures import CUT_LIMIT, CUT_MIN, HALF, PIECE, PIECES, parts
from gateway.stores.measures import Part as Measured
from gateway.stores.mongo.fields import EVERYTHING, NAN, NOTHING, Field, Query, all_of, any_of, field_of, fields_of
from gateway.stores.mongo.order import Part, is_by_hand, is_in_parts
from gateway.stores.mongo.order import parts as parts_of
from gateway.stores.types import KeyForm

Stage = dict[str, Any]
Pipeline = list[Stage]

_PATTERN_LIMIT_BYTES = 1_000  # MongoDB refuses regular expressions above 32,764, servers that speak its protocol above less
_ESCAPED = str.maketrans({**{mark: f"\\{mark}" for mark in r"\^$.|?*+()[]{}"}, "\0": r"\x00"})


def field(collection: Collection, column: str) -> str:
    """Return the name of ``column`` in a document."""
    return field_of(collection, column).name


# ------------------------------------------------------------------------------------------------------------ pipelines


def get(get: Get) -> Pipeline:
    project = {"_id": 0, "k": _key(get.collection, get.column), "r": _values(get.collection, get.columns)}
    return [*_of_keys(get.collection, get.column, get.keys, where(get.collection, get.where)), {"$project": project}]


def rows(fetch: Fetch) -> Pipeline:
    """Return the pipeline over the collection of a fetch without ``match``, in the order asked where ``is_in_parts`` is false."""
    if is_in_parts(fetch):
        return [*_match(where(fetch.collection, fetch.where)), {"$project": _project(fetch)}]
    return _page(fetch, _project(fetch))


def parts_of_page(fetch: Fetch) -> list[Pipeline]:
    """Return the pipelines over the collection for a page in parts: each is needed where those before it gave too few rows."""
    assert fetch.page is not None
    if is_by_hand(fetch):
        return [rows(fetch)]
    found = parts_of(fetch)
    early, late = ([part for part in found if part.is_late is is_late] for is_late in (False, True))
    return [_united(fetch, some) for some in ((late, early) if fetch.page.backward else (early, late)) if some]


def rows_by_parent(fetch: Fetch, match: Match) -> Pipeline:
    """Return the pipeline over the collection for all rows of all parents, grouped by parent: one scan of the parents' index."""
    matched = _of_keys(fetch.collection, match.column, match.keys, where(fetch.collection, fetch.where))
    project = {**_project(fetch), "k": _key(fetch.collection, match.column)}
    if is_in_parts(fetch):
        return [*matched, {"$project": project}]
    parents = match.column.split(",")
    order = tuple(item for item in total_order(fetch.collection, fetch.order) if item.column not in parents)
    flags, sort = _sort(fetch.collection, order, backward=False)
    by_parent = {field(fetch.collection, parent): 1 for parent in parents}
    return [*matched, *_set(flags), {"$sort": {**by_parent, **sort}}, {"$project": project}]


def pages_by_parent(fetch: Fetch, match: Match) -> Pipeline:
    """Return the pipeline over the database for a page per parent, with its total when asked; none where no key can have rows.

    One ``$lookup`` per parent, each of them ``$match`` on the parent's rows, ``$sort``, ``$limit``: a compound index of parent,
    order and key gives exactly the page, however many rows the parent has. ``$unwind`` right behind it keeps MongoDB from
    making one document, of 16 MiB at most, out of a parent's page. Of a page in parts the
    usual ones have a ``$lookup`` each, the others come behind, with the parent's values as ``p``.
    """
    documents = _parents(fetch, match)
    if not documents:
        return []
    stages: Pipeline = [{"$documents": documents}]
    project = _project(fetch)
    if fetch.count:
        stages += _lookup(fetch, match, count(fetch), name="n", keep_empty=True)
    told: Stage = {"n": "$n.n"} if fetch.count else {}
    if not is_in_parts(fetch):
        stages += _lookup(fetch, match, _page(fetch, project), name="r", keep_empty=fetch.count)
        return [*stages, {"$project": {"k": 1, "r": "$r.r", **told}}]
    cut = [] if is_by_hand(fetch) else parts_of(fetch)
    usual = [rows(fetch)] if is_by_hand(fetch) else [_part(fetch, part) for part in cut if part.is_usual]
    for place, pipeline in enumerate(usual):
        stages += _lookup(fetch, match, pipeline, name=f"r{place}", keep_empty=True)[:1]
    united = {"$concatArrays": [f"$r{place}" for place in range(len(usual))]}
    unwind = {"path": "$r", "preserveNullAndEmptyArrays": fetch.count}
    told |= {"k": 1, "d": 1, "r": "$r.r", "s": "$r.s", "u": "$r.u"}
    stages += [{"$project": {"k": 1, "d": 1, "n": 1, "r": united}}, {"$unwind": unwind}, {"$project": told}]
    return [*stages, *(_unusual(fetch, match, part) for part in cut if not part.is_usual)]


def _unusual(fetch: Fetch, match: Match, part: Part) -> Stage:
    """Return the stage that adds a part that is empty in most collections: of all parents at once, each of which has its first rows."""
    assert fetch.page is not None
    parents = fields_of(fetch.collection, match.column)
    # What hardly any document is stands first, for a server that goes through all of them.
    query = all_of(
        [part.query, where(fetch.collection, fetch.where), of_keys(fetch.collection, match.column, match.keys), _guards(parents)]
    )
    by: Any = parents[0].ref if len(parents) == 1 else {f"k{place}": parent.ref for place, parent in enumerate(parents)}
    numbers = {"partitionBy": by, "sortBy": part.sort, "output": {"__number": {"$documentNumber": {}}}}
    pipeline: Pipeline = [
        *_match(query),
        *_set(part.computed),
        {"$setWindowFields": numbers},
        {"$match": {"__number": {"$lte": fetch.page.limit + 1}}},
        {"$project": {**_project(fetch, part), "p": _key(fetch.collection, match.column)}},
    ]
    return {"$unionWith": {"coll": fetch.collection.place, "pipeline": pipeline}}


def children(fetch: Fetch, pairs: Pairs) -> Pipeline:
    """Return the pipeline over the collection for the rows of all children in order, each once; their ``k`` is the child.

    No row has an index of its parents here, so there is nothing that a ``$lookup`` per parent could be spared: it would look up each
    child for each of its parents, and once more for the totals.
    """
    project = {**_project(fetch), "k": _key(fetch.collection, pairs.column)}
    if is_in_parts(fetch):
        return [*_of_children(fetch, pairs), {"$project": project}]
    return [*_of_children(fetch, pairs, _between(fetch)), *_ordered(fetch, project, backward=False)]


def count_by_child(fetch: Fetch, pairs: Pairs) -> Pipeline:
    """Return the pipeline over the collection for the number of rows of each child, whatever the page."""
    return [*_of_children(fetch, pairs), {"$group": {"_id": _key(fetch.collection, pairs.column), "n": {"$sum": 1}}}]


def count(fetch: Fetch) -> Pipeline:
    """Return the pipeline over the collection for the total of a fetch without ``match``."""
    return [*_match(where(fetch.collection, fetch.where)), {"$group": {"_id": None, "n": {"$sum": 1}}}]


def groups(aggregate: Aggregate) -> Pipeline:
    """Return the pipeline over the collection that gives ``{"_id": [*parent, *groups], "m0": …}``; ``_id`` has no parent without match.

    The group is an array because a missing field is null in one: both are the same group.
    """
    collection = aggregate.collection
    matched = _match(where(collection, aggregate.where))
    values = _Values(collection)
    by = [_group(collection, group, values) for group in aggregate.groups]
    if aggregate.match is not None:
        matched = _of_keys(collection, aggregate.match.column, aggregate.match.keys, where(collection, aggregate.where))
        by = [*(parent.value for parent in fields_of(collection, aggregate.match.column)), *by]
    measures: dict[str, Any] = {}
    totals: dict[str, Any] = {}
    for place, part in enumerate(parts(collection, aggregate.measures)):
        name = f"m{place}"
        if part.function == "total":
            cut = _decimal_pieces if part.type is Type.DECIMAL else _pieces
            pieces = {f"{name}_{number}": {"$sum": piece} for number, piece in enumerate(cut(values[part.column]))}
            totals[name] = [f"${piece}" for piece in pieces]
            measures |= pieces
        else:
            measures[name] = _measure(collection, part, values)
            if _has_no_numbers(collection, part):
                totals[name] = f"${name}.v"
    most: Pipeline = [] if aggregate.most is None else [{"$limit": aggregate.most}]
    return [*matched, *_set(values.computed), {"$group": {"_id": by or None, **measures}}, *most, *_set(totals)]


class _Values:
    """What is measured, by column: a reference; of a guarded field to what is worked out once for each document."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.computed: dict[str, Any] = {}

    def __getitem__(self, column: str) -> Any:
        field = field_of(self._collection, column)
        if not field.is_guarded:
            return field.value
        name = f"__{field.column.name}"
        self.computed[name] = field.value
        return f"${name}"


def of_keys(collection: Collection, columns: str, keys: Sequence[Key]) -> Query:
    """Return what matches the rows of these keys, without the guards of their fields.

    They are of their columns' own types, so that the database's indexes serve them.
    """
    fields = fields_of(collection, columns)
    form = KeyForm([one.column for one in fields])
    if form.is_plain:
        return {fields[0].name: {"$in": list(keys)}}
    values = [found for key in keys if (found := form.values(key)) is not None]
    if len(fields) == 1:
        return {fields[0].name: {"$in": fields[0].natives([value for (value,) in values])}}
    ways: list[Query] = []
    for found in values:
        natives = [one.natives([value]) for one, value in zip(fields, found, strict=True)]
        if all(natives):
            ways.append({one.name: _any_of_values(its) for one, its in zip(fields, natives, strict=True)})
    return any_of(ways)


def _of_keys(collection: Collection, columns: str, keys: Sequence[Key], *conditions: Query) -> Pipeline:
    """Return the stages for the rows of keys that match conditions, too: what an index serves by itself, where more has to be told."""
    keyed, guards = of_keys(collection, columns, keys), _guards(fields_of(collection, columns))
    if not guards:
        return [{"$match": all_of([keyed, *conditions])}]
    return [{"$match": keyed}, {"$match": all_of([guards, *conditions])}]


def _guards(fields: Sequence[Field]) -> Query:
    return all_of([one.guard for one in fields])


def _any_of_values(natives: Sequence[Any]) -> Query:
    return {"$eq": natives[0]} if len(natives) == 1 else {"$in": list(natives)}


def _key(collection: Collection, columns: str) -> Any:
    fields = fields_of(collection, columns)
    return fields[0].ref if len(fields) == 1 else [one.ref for one in fields]


def _parents(fetch: Fetch, match: Match) -> list[Stage]:
    """Return a document per key: its text, and the values of its columns where the text is none; one for each form that those have.

    ``d`` tells the documents of a key from each other.
    """
    fields = fields_of(fetch.collection, match.column)
    form = KeyForm([one.column for one in fields])
    # Values in $documents are expressions: without $literal a key such as "$x" would be read as one.
    if form.is_plain:
        return [{"k": {"$literal": key}} for key in match.keys]
    documents: list[Stage] = []
    for key in match.keys:
        values = form.values(key)
        if values is None:
            continue
        ways = product(*(one.natives([value]) for one, value in zip(fields, values, strict=True)))
        documents += [
            {"k": {"$literal": key}, "d": number, **{f"k{place}": {"$literal": native} for place, native in enumerate(natives)}}
            for number, natives in enumerate(ways)
        ]
    return documents


def _of_children(fetch: Fetch, pairs: Pairs, *conditions: Query) -> Pipeline:
    keys = list(dict.fromkeys(child for _, child in pairs.pairs))
    return _of_keys(fetch.collection, pairs.column, keys, where(fetch.collection, fetch.where), *conditions)


def _lookup(fetch: Fetch, match: Match, pipeline: Pipeline, *, name: str, keep_empty: bool) -> Pipeline:
    """Return the stages that join each parent with what ``pipeline`` makes of its rows."""
    first, *others = fields_of(fetch.collection, match.column)
    local = "k" if not others and first.column.type is Type.TEXT else "k0"
    join: Stage = {"localField": local, "foreignField": first.name}
    conditions = [first.guard, *(one.guard for one in others)]
    if others:
        join["let"] = {f"k{place}": f"$k{place}" for place in range(1, len(others) + 1)}
        conditions += [{"$expr": {"$eq": [f"${one.name}", f"$$k{place}"]}} for place, one in enumerate(others, 1)]
    join |= {"pipeline": [*_match(all_of(conditions)), *pipeline], "as": name}
    unwind = {"path": f"${name}", "preserveNullAndEmptyArrays": keep_empty}
    return [{"$lookup": {"from": fetch.collection.place, **join}}, {"$unwind": unwind}]


def _page(fetch: Fetch, project: Stage) -> Pipeline:
    """Return the stages that filter, sort and cut; one row more than asked tells whether there are more."""
    query = all_of([where(fetch.collection, fetch.where), _between(fetch)])
    limit = None if fetch.page is None else fetch.page.limit + 1
    return [*_match(query), *_ordered(fetch, project, backward=fetch.page is not None and fetch.page.backward, limit=limit)]


def _part(fetch: Fetch, part: Part) -> Pipeline:
    assert fetch.page is not None
    query = all_of([where(fetch.collection, fetch.where), part.query])
    return [
        *_match(query),
        *_set(part.computed),
        {"$sort": part.sort},
        {"$limit": fetch.page.limit + 1},
        {"$project": _project(fetch, part)},
    ]


def _united(fetch: Fetch, some: Sequence[Part]) -> Pipeline:
    first, *others = [_part(fetch, part) for part in some]
    return [*first, *({"$unionWith": {"coll": fetch.collection.place, "pipeline": pipeline}} for pipeline in others)]


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


def _project(fetch: Fetch, part: Part | None = None) -> dict[str, Any]:
    # PERF: values in an array, not under their names: 1,000 rows of 6 columns decode in 0.45 ms instead of 0.72, and a missing field
    # is null. `bson.decode` of both forms shows it again.
    project = {"_id": 0, "r": _values(fetch.collection, fetch.columns)}
    if is_in_parts(fetch):
        project["s"] = _values(fetch.collection, [item.column for item in total_order(fetch.collection, fetch.order)])
    if part is not None and part.subtypes:
        project["u"] = list(map(_literal, part.subtypes))
    return project


def _literal(value: Any) -> Stage:
    return {"$literal": value}


def _values(collection: Collection, columns: Iterable[str]) -> list[Any]:
    return [field_of(collection, column).ref for column in columns]


def _group(collection: Collection, group: str | Bucket, values: _Values) -> Any:
    if isinstance(group, str):
        return field_of(collection, group).group
    date = values[group.column]
    return {"$dateTrunc": {"date": date, "unit": group.interval, "startOfWeek": "monday", "timezone": "UTC"}}


def _measure(collection: Collection, part: Measured, values: _Values) -> dict[str, Any]:
    if part.function == "count":
        return {"$sum": 1}
    value = values[part.column]
    low = {"$mod": [value, HALF]}
    match part.function:
        case "min" | "max" if _has_no_numbers(collection, part):
            # MongoDB has NaN before all numbers, here it is behind them; documents are compared field by field.
            ranked = {"n": {"$eq": [value, NAN]}, "v": value}
            return {f"${part.function}": {"$cond": [{"$gt": [value, None]}, ranked, None]}}
        case "min" | "max":
            return {f"${part.function}": value}
        case "number":
            return {"$sum": {"$cond": [{"$gt": [value, None]}, 1, 0]}}
        case "high":
            return {"$sum": {"$toLong": {"$divide": [{"$subtract": [value, low]}, HALF]}}}  # $divide gives a double: exact, without low
        case _:
            return {"$sum": low}


def _has_no_numbers(collection: Collection, part: Measured) -> bool:
    return part.function in ("min", "max") and part.type is Type.DECIMAL and collection[part.column].scale is None


def _decimal_pieces(value: Any) -> list[Any]:
    """Return what is before a DECIMAL's point and what is behind it: the sum of each has 34 digits of its own."""
    whole = {"$trunc": [value, 0]}
    return [whole, {"$subtract": [value, whole]}]


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
    step = field_of(collection, item.column).beyond("gt" if forward != item.descending else "lt", value)
    return any_of([step, {name: {"$eq": None}}]) if forward and column.nullable else step


def _bound(collection: Collection, item: Order, value: Value, *, forward: bool) -> Query:
    column = collection[item.column]
    if value is None or (forward and column.nullable):
        return EVERYTHING
    return field_of(collection, item.column).beyond("gte" if forward != item.descending else "lte", value)


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


def _compare(collection: Collection, compare: Compare) -> Query:
    field, value = field_of(collection, compare.column), compare.value
    if compare.op == "ne":
        return _unequal(field, value)
    if compare.op == "eq":
        return field.equal(value)
    if value is None:
        return NOTHING
    match compare.op:
        case "in":
            return field.one_of([item for item in value if item is not None])
        case "contains":
            return field.guarded(_contains(field.name, value))
        case "starts_with":
            return field.guarded(_starts_with(field.name, value))
        case "has" | "has_any" | "is_empty":
            return field.holds(compare.op, value)
        case _:
            return field.beyond(compare.op, value)


def _unequal(field: Field, value: Value) -> Query:
    """Return what ``eq`` does not match: in the one operator for it where a query of ``eq`` is one."""
    equal = field.equal(value)
    match equal.get(field.name):
        case {"$eq": native, **others} if len(equal) == 1 and not others:
            return {field.name: {"$ne": native}}
    return {"$nor": [equal]}


def _contains(name: str, text: str) -> Query:
    """Return what matches ``text`` anywhere, literally: an escaped pattern, or a search by code points where that would be too long."""
    pattern = text.translate(_ESCAPED)
    if len(pattern.encode()) <= _PATTERN_LIMIT_BYTES:
        return {name: {"$regex": pattern}}
    ref = f"${name}"
    found: Query = {"$gte": [{"$indexOfCP": [ref, {"$literal": text}]}, 0]}
    return {"$expr": {"$cond": [{"$eq": [{"$type": ref}, "string"]}, found, False]}}


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
