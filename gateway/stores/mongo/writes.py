"""From rows and keys to the writes of a bulk.

A document of ours is replaced whole. In one of others the declared columns are set, and all else stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import DeleteMany, InsertOne, ReplaceOne, UpdateOne

from gateway.stores.base import Collection, Row, Type, Value
from gateway.stores.mongo.answers import Document
from gateway.stores.mongo.fields import Field, field_of
from gateway.stores.mongo.values import encode
from gateway.stores.shared import to_write


def documents_of(collection: Collection, rows: Sequence[Row]) -> list[Document]:
    """Return one document per key, its values by their paths; where a key repeats, its last row counts."""
    fields = [field_of(collection, column.name) for column in collection.columns]
    return [{field.name: written(field, value) for field, value in zip(fields, row, strict=True)} for row in to_write(collection, rows)]


def insertions(documents: Sequence[Document]) -> list[InsertOne[Document]]:
    return [InsertOne(nested(document)) for document in documents]


def replacements(collection: Collection, documents: Sequence[Document]) -> list[ReplaceOne[Document] | UpdateOne]:
    key = [field_of(collection, name).name for name in collection.key]
    return [_replacement(collection, key, document) for document in documents]


def deletions(collection: Collection, keys: Sequence[tuple[Value, ...]]) -> list[DeleteMany]:
    fields = [field_of(collection, name) for name in collection.key]
    if len(fields) == 1:
        return [DeleteMany({fields[0].name: {"$in": fields[0].natives([key for (key,) in keys])}})]
    rows = [[written(field, value) for field, value in zip(fields, key, strict=True)] for key in keys]
    # Those that differ in one column alone are one write: in the column of the most values.
    place = max(range(len(fields)), key=lambda place: len({key[place] for key in keys}), default=0)
    alike: dict[tuple[Value, ...], list[Any]] = {}
    for key, row in zip(keys, rows, strict=True):
        alike.setdefault((*key[:place], *key[place + 1 :]), []).append(row)
    return [
        DeleteMany(
            {
                field.name: {"$in": [row[number] for row in some]} if number == place else {"$eq": some[0][number]}
                for number, field in enumerate(fields)
            }
        )
        for some in alike.values()
    ]


def _replacement(collection: Collection, key: Sequence[str], document: Document) -> ReplaceOne[Document] | UpdateOne:
    its_key = {name: {"$eq": document[name]} for name in key}
    if collection.managed:
        return ReplaceOne(its_key, nested(document), upsert=True)
    others = {name: value for name, value in document.items() if name not in key}
    return UpdateOne(its_key, {"$set": others} if others else {"$setOnInsert": {name: document[name] for name in key}}, upsert=True)


def written(field: Field, value: Value) -> object:
    """Return what a document holds for a value: a Binary for BYTES of others' documents, which are in none of our forms."""
    if field.is_guarded and field.column.type is Type.BYTES and value is not None and not field.column.many:
        return field.natives([value])[0]
    return encode(field.column, value)


def nested(document: Document) -> Document:
    """Return a document with subdocuments in place of paths."""
    if not any("." in path for path in document):
        return {**document}
    nested: Document = {}
    for path, value in document.items():
        *steps, last = path.split(".")
        place = nested
        for step in steps:
            place = place.setdefault(step, {})
        place[last] = value
    return nested
