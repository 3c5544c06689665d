"""Say what collections a MongoDB database has, and what a sample of their documents holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from bson.decimal128 import Decimal128
from pymongo import errors

from gateway.stores.base import Collection, Column, Index, Type
from gateway.stores.described import SAMPLED, Description, Found, FoundColumn, Missing
from gateway.stores.measures import EXACT
from gateway.stores.mongo import query
from gateway.stores.mongo.fields import field_of
from gateway.stores.mongo.values import decode
from gateway.stores.values import found_in_place_of

Document = Mapping[str, Any]
Read = Callable[[str, query.Pipeline], Awaitable[Sequence[Document]]]  # the documents of an aggregation of a collection
Indexes = Callable[[str], Awaitable[Mapping[str, Document]]]  # the driver's index_information of a collection

# A sample has no more of these than the names of their types. JSON is whatever it is.
_BY_NAME: Mapping[Type, frozenset[str]] = {
    Type.TEXT: frozenset({"string"}),
    Type.BOOL: frozenset({"bool"}),
    Type.OBJECT_ID: frozenset({"objectId"}),
    Type.JSON: frozenset(),
}
DATE_DIGITS = 3  # of a second, in a BSON date

_NOTHING = frozenset({"missing", "null", "undefined"})


async def described(read: Read, indexes_of: Indexes, names: Sequence[str], collections: Sequence[Collection]) -> Description:
    """Return what there is for each collection; ``names`` are those that the database has. Two commands a collection, at the same time."""
    there = set(names)
    wanted = [collection for collection in collections if collection.place in there]
    samples, indexes = await asyncio.gather(
        asyncio.gather(*(read(collection.place, _sample(collection)) for collection in wanted)),
        asyncio.gather(*(_indexes(indexes_of, collection) for collection in wanted)),
    )
    found = {
        collection.name: _found(collection, documents, its) for collection, documents, its in zip(wanted, samples, indexes, strict=True)
    }
    others = tuple(sorted(name for name in there if not name.startswith("system.")))
    return {collection.name: found.get(collection.name) or Missing("collection", collection.place, others) for collection in collections}


def _sample(collection: Collection) -> query.Pipeline:
    """Return a pipeline for the types of some documents' values, and the values alone that need to be seen: numbers, times, lists …"""
    fields = [field_of(collection, column.name).ref for column in collection.columns]
    seen = [field for field, column in zip(fields, collection.columns, strict=True) if _is_seen(column)]
    return [{"$limit": SAMPLED}, {"$project": {"_id": 0, "t": [{"$type": field} for field in fields], "v": seen}}]


async def _indexes(indexes_of: Indexes, collection: Collection) -> tuple[Index, ...]:
    """Return those that hold every document in an order; none where there can be none, as of a view."""
    try:
        told = await indexes_of(collection.place)
    except errors.OperationFailure:
        return ()
    names = {query.field(collection, name): name for name in collection.names}
    return tuple(
        Index(tuple(names.get(field, field) for field, _ in its["key"]), bool(its.get("unique")) or its["key"] == [("_id", 1)])
        for its in told.values()
        if "partialFilterExpression" not in its and all(isinstance(direction, int | float) for _, direction in its["key"])
    )


def _is_seen(column: Column) -> bool:
    return column.many or column.type not in _BY_NAME


def _found(collection: Collection, documents: Sequence[Document], indexes: tuple[Index, ...]) -> Found:
    seen = [column.name for column in collection.columns if _is_seen(column)]
    columns: dict[str, FoundColumn] = {}
    for place, column in enumerate(collection.columns):
        types = [str(document["t"][place]) for document in documents]
        if set(types) <= _NOTHING:
            continue
        details: dict[str, Any] = {}
        if _is_seen(column):
            values = [document["v"][seen.index(column.name)] for document in documents]
            fits = _has_one(_widest(column), values, ours=collection.managed)
            details = _beyond(column, values)
        else:
            fits = column.type is Type.JSON or not _BY_NAME[column.type].isdisjoint(types)
        shown = " or ".join(sorted(set(types) - _NOTHING))
        columns[column.name] = FoundColumn(
            shown, frozenset({column.type} if fits else ()), nullable=not _NOTHING.isdisjoint(types), **details
        )
    return Found("collection", columns, indexes, sampled=len(documents))


def _has_one(column: Column, values: Sequence[Any], *, ours: bool) -> bool:
    """Return whether one of the values would be read as what the column is."""
    there = [value for value in values if value is not None]
    return any(found_in_place_of(column, value) is None for (value,) in decode([column], [[value] for value in there], ours=ours))


def _widest(column: Column) -> Column:
    """Return the column with room for all values of its type: that there are more digits than were declared is told as that."""
    if column.type is Type.TIME:
        return replace(column, precision=3)
    return replace(column, scale=None) if column.type is Type.DECIMAL else column


def _beyond(column: Column, values: Sequence[Any]) -> dict[str, Any]:
    """Return what a FoundColumn says of values beyond their type, where it is more than what was declared."""
    items = [item for value in values for item in (value if column.many and isinstance(value, list) else [value])]
    match column.type:
        case Type.TIME:
            is_finer = column.precision == 0 and any(isinstance(item, datetime) and item.microsecond for item in items)
            return {"finest": DATE_DIGITS, **({"precision": DATE_DIGITS} if is_finer else {})}
        case Type.DECIMAL if column.scale is not None:
            numbers = [item.to_decimal() for item in items if isinstance(item, Decimal128)]
            return {"scale": max((_decimals(number) for number in numbers if number.is_finite()), default=0)}
        case Type.INT if column.bits == 32:
            is_wider = any(isinstance(item, int | float) and not -(2**31) <= item < 2**31 for item in items)
            return {"bits": 64} if is_wider else {}
        case Type.ENUM:
            others = {item for item in items if isinstance(item, str)} - set(column.values)
            return {"values": (*column.values, *sorted(others))} if others and len(others) < len(set(map(str, items))) else {}
        case _:
            return {}


def _decimals(number: Decimal) -> int:
    exponent = number.normalize(EXACT).as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0
