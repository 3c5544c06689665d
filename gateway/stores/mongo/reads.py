"""Rows, pages, groups and what native queries give: one aggregation each, or two where an order or a total asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.errors import StoreMisbehaved
from gateway.stores.base import Aggregate, Ends, Fetch, Get, Groups, Match, NativeCall, Pairs, Request, Rows, Slice, Slices
from gateway.stores.measures import joined
from gateway.stores.mongo import query
from gateway.stores.mongo.answers import (
    Document,
    group_rows,
    in_order,
    keys_of,
    narrowed,
    paged_in_order,
    parents_of,
    rows_of,
    slices_of,
    slices_of_pairs,
    with_keys,
)
from gateway.stores.mongo.calls import Calls
from gateway.stores.mongo.migrations import KIND
from gateway.stores.mongo.order import is_in_parts
from gateway.stores.mongo.values import decode
from gateway.stores.shared import grouped, in_order_of, page_of
from gateway.stores.values import sorted_anyhow


async def get(calls: Calls, get: Get) -> Rows:
    if not get.keys:
        return {}
    with calls.translated(calls.timeout_s):
        documents = await calls.aggregate(get.collection.place, query.get(get))
    keys = keys_of(get.collection, get.column, [document["k"] for document in documents])
    return dict(zip(keys, rows_of(get.collection, get.columns, documents), strict=True))


async def fetch(calls: Calls, fetch: Fetch) -> Slices:
    assert not isinstance(fetch.match, Ends), "asked of stores that join alone"
    with calls.translated(calls.timeout_s):
        if fetch.match is None:
            return {None: await _fetch_alone(calls, fetch)}
        if isinstance(fetch.match, Pairs):
            return await _fetch_by_pairs(calls, fetch, fetch.match)
        return await _fetch_by_parent(calls, fetch, fetch.match)


async def _fetch_alone(calls: Calls, fetch: Fetch) -> Slice:
    name, page = fetch.collection.place, fetch.page
    documents = await _alone_in_parts(calls, fetch) if is_in_parts(fetch) else await calls.aggregate(name, query.rows(fetch))
    slice_ = page_of(rows_of(fetch.collection, fetch.columns, documents), page)
    if not fetch.count:
        return slice_
    if page is None or (not slice_.more and page.after is None and page.before is None):
        return slice_._replace(total=len(slice_.rows))
    counts = await calls.aggregate(name, query.count(fetch))
    return slice_._replace(total=int(counts[0]["n"]) if counts else 0)


async def _alone_in_parts(calls: Calls, fetch: Fetch) -> list[Document]:
    """Return the documents of a page whose order is put together here; most pages are in the first part of it."""
    if fetch.page is None:
        return in_order(fetch, await calls.aggregate(fetch.collection.place, query.rows(fetch)))
    documents: list[Document] = []
    for pipeline in query.parts_of_page(fetch):
        documents += paged_in_order(fetch, await calls.aggregate(fetch.collection.place, pipeline))
        if len(documents) > fetch.page.limit:
            break
    return documents


async def _fetch_by_parent(calls: Calls, fetch: Fetch, match: Match) -> Slices:
    if not match.keys:
        return {}
    if fetch.page is None:
        documents = await calls.aggregate(fetch.collection.place, query.rows_by_parent(fetch, match))
        return slices_of(fetch, with_keys(fetch, match.column, documents))
    pipeline = query.pages_by_parent(fetch, match)
    return slices_of(fetch, with_keys(fetch, match.column, await calls.aggregate("", pipeline), "p")) if pipeline else {}


async def _fetch_by_pairs(calls: Calls, fetch: Fetch, pairs: Pairs) -> Slices:
    if not pairs.pairs:
        return {}
    name, page = fetch.collection.place, fetch.page
    documents = with_keys(fetch, pairs.column, await calls.aggregate(name, query.children(fetch, pairs)))
    if is_in_parts(fetch):
        documents = in_order(fetch, documents, cut=True)
    if not fetch.count:
        return slices_of_pairs(fetch, pairs, documents, None)
    if page is None or (page.after is None and page.before is None):
        return slices_of_pairs(fetch, pairs, documents, Counter(document["k"] for document in documents))
    counts = await calls.aggregate(name, query.count_by_child(fetch, pairs))
    children = keys_of(fetch.collection, pairs.column, [count["_id"] for count in counts])
    return slices_of_pairs(fetch, pairs, documents, dict(zip(children, (int(count["n"]) for count in counts), strict=True)))


async def aggregate(calls: Calls, aggregate: Aggregate) -> Groups:
    collection, match = aggregate.collection, aggregate.match
    if match is not None and not match.keys:
        return {}
    with calls.translated(calls.timeout_s):
        documents = await calls.aggregate(collection.place, query.groups(aggregate))
    parents, rows = parents_of(aggregate, documents), group_rows(aggregate, documents)
    place_of = in_order_of(aggregate.group_columns)
    return joined(aggregate, grouped(sorted_anyhow(zip(parents, rows, strict=True), key=lambda item: place_of(item[1]))))


async def native(calls: Calls, call: NativeCall) -> Groups:
    function = call.native.query(KIND)
    if not call.keys:
        return {}
    with calls.translated(calls.timeout_s):
        documents = await calls.aggregate(*narrowed(call, function))
    columns = call.native.columns
    if any(len(document["r"]) != len(columns) for document in documents):
        raise StoreMisbehaved(f"native query {call.native.name} declares {len(columns)} columns, its pipeline gives another number")
    rows = decode(columns, [document["r"] for document in documents])
    return grouped(zip((document["k"] for document in documents), rows, strict=True))


READS: dict[type[Request[Any]], Callable[[Calls, Any], Coroutine[Any, Any, Any]]] = {
    Get: get,
    Fetch: fetch,
    Aggregate: aggregate,
    NativeCall: native,
}
