"""From the documents that an aggregation gives to rows, slices and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import NarrowingRefused
from gateway.stores.base import Aggregate, Bucket, Collection, Column, Fetch, Key, NativeCall, Page, Pairs, Row, Slice, Slices, Type
from gateway.stores.measures import parts
from gateway.stores.mongo import query
from gateway.stores.mongo.values import decode
from gateway.stores.shared import pages

Document = dict[str, Any]


def rows_of(collection: Collection, columns: Sequence[str], documents: Sequence[Document]) -> list[Row]:
    return decode([collection[column] for column in columns], [document["r"] for document in documents])


def slices_of(fetch: Fetch, documents: Sequence[Document]) -> Slices:
    """Return a slice per parent; one without rows is there when it has a total."""
    groups: dict[Key | None, list[Row]] = {document["k"]: [] for document in documents}
    filled = [document for document in documents if "r" in document]
    for document, row in zip(filled, rows_of(fetch.collection, fetch.columns, filled), strict=True):
        groups[document["k"]].append(row)
    if not fetch.count:
        return pages(groups, fetch.page)
    if fetch.page is None:
        return {key: Slice(rows, total=len(rows)) for key, rows in groups.items()}
    totals = {document["k"]: int(document.get("n", 0)) for document in documents}
    return {key: part._replace(total=totals[key]) for key, part in pages(groups, fetch.page).items()}


def slices_of_pairs(fetch: Fetch, pairs: Pairs, documents: Sequence[Document], counts: Mapping[Key, int] | None) -> Slices:
    """Return a slice per parent from the rows of all children, which are in order already. Parents share their rows."""
    rows = rows_of(fetch.collection, fetch.columns, documents)
    places: dict[Key, list[int]] = {}
    for place, document in enumerate(documents):
        places.setdefault(document["k"], []).append(place)
    by_parent: dict[Key, dict[Key, None]] = {}
    for parent, child in pairs.pairs:
        by_parent.setdefault(parent, {})[child] = None
    slices: dict[Key | None, Slice] = {}
    for parent, children in by_parent.items():
        mine = sorted(place for child in children for place in places.get(child, ()))
        total = None if counts is None else sum(counts.get(child, 0) for child in children)
        slices[parent] = _cut([rows[place] for place in mine], fetch.page)._replace(total=total)
    return slices


def _cut(rows: list[Row], page: Page | None) -> Slice:
    """Return the page out of all rows between its cursors, in the order asked."""
    if page is None or len(rows) <= page.limit:
        return Slice(rows)
    return Slice(rows[len(rows) - page.limit :] if page.backward else rows[: page.limit], more=True)


def narrowed(call: NativeCall, function: Any) -> tuple[str, query.Pipeline]:
    """Return collection and pipeline of a native query, which must have asked for each condition that the call is narrowed by."""
    conditions = {collection.name: query.where(collection, condition) for collection, condition in call.narrowings}
    left = set(conditions)

    def where(name: str) -> query.Query:
        left.discard(name)
        return conditions.get(name, query.EVERYTHING)

    source: str
    source, pipeline = function(call.keys, call.arguments, where)
    for name in left:
        raise NarrowingRefused(call.native.name, name, f"its function did not ask for where({name!r})")
    return source, pipeline


def group_values(aggregate: Aggregate, measured: Sequence[str], document: Document) -> list[Any]:
    groups = document["_id"] or []
    return [*(groups[1:] if aggregate.match else groups), *(document[name] for name in measured)]


def group_columns(aggregate: Aggregate) -> list[Column]:
    """Return a column for each value of a row, which says how to decode it."""
    collection = aggregate.collection
    groups = [collection[group.column if isinstance(group, Bucket) else group] for group in aggregate.groups]
    # The pieces of a total are numbers, whatever they are added to.
    types = [Type.TEXT if part.function == "total" else part.type for part in parts(collection, aggregate.measures)]
    return [*groups, *(Column("", type_) for type_ in types)]
