"""From the documents that an aggregation gives to rows, slices and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, localcontext
from operator import itemgetter
from typing import Any

from bson.decimal128 import Decimal128

from gateway.errors import NarrowingRefused, OutOfRange
from gateway.stores.base import (
    Aggregate,
    Collection,
    Column,
    Fetch,
    Key,
    NativeCall,
    Page,
    Pairs,
    Row,
    Slice,
    Slices,
    Type,
    Value,
    ranker,
    total_order,
)
from gateway.stores.measures import EXACT, Part, parts
from gateway.stores.mongo import query
from gateway.stores.mongo.fields import EVERYTHING, Query
from gateway.stores.mongo.order import is_by_hand, is_in_parts
from gateway.stores.mongo.values import decode
from gateway.stores.shared import pages
from gateway.stores.types import KeyForm, key_text
from gateway.stores.values import Unreadable, checks_of, found_in_place_of

DIGITS = 34  # of a Decimal128

Document = dict[str, Any]


def rows_of(collection: Collection, columns: Sequence[str], documents: Sequence[Document]) -> list[Row]:
    return decode([collection[column] for column in columns], [document["r"] for document in documents], ours=collection.managed)


def keys_of(collection: Collection, columns: str, found: Sequence[Any]) -> Sequence[Key]:
    """Return the keys of rows, from the values that their documents have of a key's columns."""
    form = KeyForm(collection.columns_of(columns))
    if form.is_plain:
        return found
    rows = [[value] for value in found] if len(form.columns) == 1 else found
    # What is none of its columns' type matches no key.
    return [form.text(row) or "" for row in decode(form.columns, rows, ours=collection.managed)]


def with_keys(fetch: Fetch, columns: str, documents: list[Document], name: str = "k") -> list[Document]:
    """Return the documents with the key's text as their ``k``, made of the values of its columns that some have under ``name``."""
    told = [document for document in documents if name in document]
    for document, key in zip(told, keys_of(fetch.collection, columns, [document[name] for document in told]), strict=True):
        document["k"] = key
    return documents


def in_order(fetch: Fetch, documents: Sequence[Document], *, cut: bool = False) -> list[Document]:
    """Return the documents of all parts in the order asked; with ``cut`` those between the page's cursors."""
    collection, order, page = fetch.collection, total_order(fetch.collection, fetch.order), fetch.page
    filled = [document for document in documents if "r" in document and _is_of_its_part(document)]
    columns = [collection[item.column] for item in order]
    values = decode(columns, [document["s"] for document in filled], ours=collection.managed)
    if not checks_of(collection, tuple([column.name for column in columns])).hold(values):
        values = [tuple(map(_known, columns, row)) for row in values]
    rank_of = ranker(collection, order)
    ranked = [(rank_of(row), place) for place, row in enumerate(values)]
    if page is not None and cut:
        after, before = (None if values is None else rank_of(values) for values in (page.after, page.before))
        ranked = [item for item in ranked if (after is None or after < item[0]) and (before is None or item[0] < before)]
    ranked.sort(key=itemgetter(0))
    return [*(filled[place] for _, place in ranked), *(document for document in documents if "r" not in document)]


def _is_of_its_part(document: Document) -> bool:
    subtypes = document.get("u")
    return not subtypes or all(
        subtype is None or getattr(value, "subtype", subtype) == subtype for value, subtype in zip(document["s"], subtypes, strict=True)
    )


def paged_in_order(fetch: Fetch, documents: Sequence[Document]) -> list[Document]:
    """Return the documents of all parts of a page in the direction of paging."""
    found = in_order(fetch, documents, cut=is_by_hand(fetch))
    return found[::-1] if fetch.page is not None and fetch.page.backward else found


def _known(column: Column, value: Value) -> Value:
    return None if found_in_place_of(column, value) is not None else value


def slices_of(fetch: Fetch, documents: Sequence[Document]) -> Slices:
    """Return a slice per parent; one without rows is there when it has a total."""
    if is_in_parts(fetch):
        documents = paged_in_order(fetch, documents)
    groups: dict[Key | None, list[Row]] = {document["k"]: [] for document in documents}
    filled = [document for document in documents if "r" in document]
    for document, row in zip(filled, rows_of(fetch.collection, fetch.columns, filled), strict=True):
        groups[document["k"]].append(row)
    if not fetch.count:
        return pages(groups, fetch.page)
    if fetch.page is None:
        return {key: Slice(rows, total=len(rows)) for key, rows in groups.items()}
    totals: Counter[Key | None] = Counter()
    for (key, _), total in {(document["k"], document.get("d")): document["n"] for document in documents if "n" in document}.items():
        totals[key] += int(total)
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

    def where(name: str) -> Query:
        left.discard(name)
        return conditions.get(name, EVERYTHING)

    source: str
    source, pipeline = function(call.keys, call.arguments, where)
    for name in left:
        raise NarrowingRefused(call.native.name, name, f"its function did not ask for where({name!r})")
    return source, pipeline


def group_rows(aggregate: Aggregate, documents: Sequence[Document]) -> list[Row]:
    """Return the values of the groups and then the measures' parts, a row per document."""
    collection, width = aggregate.collection, len(aggregate.groups)
    found = parts(collection, aggregate.measures)
    sums = [f"m{place}" for place, part in enumerate(found) if part.function == "total" and part.type is Type.DECIMAL]
    for name in sums:
        for document in documents:
            document[name] = _decimal_sum(aggregate, *document[name])
    measured = [f"m{place}" for place in range(len(found))]
    raw = [[*_groups(document, width), *(document[name] for name in measured)] for document in documents]
    rows = decode([*aggregate.group_columns, *(_column_of(collection, part) for part in found)], raw, ours=collection.managed)
    shown = [_shown(column, is_guarded=not collection.managed) for column in aggregate.group_columns]
    if not any(shown):
        return rows
    return [
        (*(value if show is None or value is None else show(value) for show, value in zip(shown, row, strict=False)), *row[width:])
        for row in rows
    ]


def parents_of(aggregate: Aggregate, documents: Sequence[Document]) -> Sequence[Key] | Sequence[None]:
    """Return the parent of each document's row."""
    if aggregate.match is None:
        return [None] * len(documents)
    columns = aggregate.match.column
    count = columns.count(",") + 1
    return keys_of(aggregate.collection, columns, [document["_id"][0] if count == 1 else document["_id"][:count] for document in documents])


def _groups(document: Document, width: int) -> list[Any]:
    groups: list[Any] = document["_id"] or []
    return groups[len(groups) - width :]


def _column_of(collection: Collection, part: Part) -> Column:
    """Return the column that a part is decoded as. The pieces of a total are numbers, whatever they are added to."""
    if part.function == "total":
        return Column("", Type.TEXT)
    return collection[part.column] if part.function in ("min", "max") else Column("", part.type)


def _shown(column: Column, *, is_guarded: bool) -> Callable[[Value], Value] | None:
    """Return the function from a group's value, never null, to how it is shown; None where that is the value itself."""
    shortest = key_text(column) if column.type is Type.DECIMAL and column.scale is None else None

    def show(value: Value) -> Value:
        if isinstance(value, dict):
            return Unreadable(f"a value of MongoDB's type {value['type']}")
        return value if shortest is None or isinstance(value, Exception) else shortest(value)

    return show if is_guarded or shortest is not None else None


def _decimal_sum(aggregate: Aggregate, whole: Any, behind: Any) -> str:
    """Return the sum of DECIMALs from that of what is before their points and that of what is behind."""
    numbers = [value.to_decimal() if isinstance(value, Decimal128) else Decimal(value) for value in (whole, behind)]
    if not numbers[0].is_finite():
        return str(numbers[0])
    if numbers[0] and numbers[0].adjusted() >= DIGITS:
        name = aggregate.collection.name
        raise OutOfRange(f"A sum of DECIMALs of {name} has more than the {DIGITS} digits that MongoDB adds exactly; ask for fewer rows.")
    with localcontext(EXACT):
        return str(sum(numbers))
