"""From rows and keys to the writes of a bulk."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import DeleteMany, DeleteOne, ReplaceOne

from gateway.stores.base import Collection, Key, Row
from gateway.stores.mongo import query
from gateway.stores.mongo.answers import Document
from gateway.stores.mongo.values import encode
from gateway.stores.shared import to_write


def documents_of(collection: Collection, rows: Sequence[Row]) -> list[Document]:
    """Return one document per key; where a key repeats, its last row counts."""
    columns = [(column, query.field(collection, column.name)) for column in collection.columns]
    return [{name: encode(column, value) for (column, name), value in zip(columns, row, strict=True)} for row in to_write(collection, rows)]


def replacements(collection: Collection, documents: Sequence[Document]) -> list[ReplaceOne[Document]]:
    key = [query.field(collection, name) for name in collection.key]
    return [ReplaceOne({name: {"$eq": document[name]} for name in key}, document, upsert=True) for document in documents]


def deletions(collection: Collection, keys: Sequence[tuple[Key, ...]]) -> list[DeleteOne | DeleteMany]:
    if len(collection.key) > 1:
        return [DeleteOne({name: {"$eq": value} for name, value in zip(collection.key, key, strict=True)}) for key in keys]
    return [DeleteMany({"_id": {"$in": [key for (key,) in keys]}})]
