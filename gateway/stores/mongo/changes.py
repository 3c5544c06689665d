"""Rows that are changed one by one: what an Insert, an Update, a Remove and a Lock are to MongoDB, and an Upsert and a Delete beside them.

In documents of others the declared columns are set, and all else stays. A Lock writes a field and takes it away again in one command: the
document is as it was when the transaction ends, and until then each other transaction that would change it is given up by the server, and
what is written outside of any waits. A reader never sees the field; a change stream is told of both steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import bson
from bson.objectid import ObjectId
from pymongo import UpdateMany

from gateway.errors import BadUserInput
from gateway.stores.base import (
    Changed,
    Collection,
    Column,
    Delete,
    Get,
    Insert,
    Key,
    Lock,
    Remove,
    Row,
    Rows,
    Together,
    Type,
    Update,
    Upsert,
    Where,
)
from gateway.stores.mongo import query, reads
from gateway.stores.mongo.answers import Document
from gateway.stores.mongo.calls import CODEC, WRITE_TIMEOUT_S, WRITES_PER_COMMAND, Calls
from gateway.stores.mongo.fields import Field, Query, all_of, field_of
from gateway.stores.mongo.values import decode
from gateway.stores.mongo.writes import deletions, documents_of, insertions, nested, replacements, written
from gateway.stores.types import join_key

_LOCK = "__crossgraph_lock"

# --------------------------------------------------------------------------------------------------------------- inserts


async def insert(calls: Calls, insert: Insert) -> Sequence[Row]:
    documents = await _inserted(calls, insert)
    return rows_of(insert.collection, [as_stored(document) for document in documents])


async def together(calls: Calls, together: Together) -> None:
    for insert in together.inserts:
        await _inserted(calls, insert)


async def _inserted(calls: Calls, insert: Insert) -> list[Document]:
    collection = insert.collection
    with calls.translated(WRITE_TIMEOUT_S, collection):
        documents = [document_of(collection, insert.columns, row) for row in insert.rows]
        if documents:
            await calls.insert(collection, documents)
    return documents


def document_of(collection: Collection, columns: Sequence[str], row: Row) -> Document:
    """Return the document that an insert makes of a row. BadUserInput for what cannot be one."""
    values = dict(zip(columns, row, strict=True))
    document: Document = {}
    for column in collection.columns:
        field = field_of(collection, column.name)
        if values.get(column.name) is not None:
            document[field.name] = written(field, values[column.name])
        elif field.name == "_id" and column.type is Type.OBJECT_ID and column.name not in values:
            document[field.name] = ObjectId()
        elif not column.nullable:
            raise _missing(collection, column)
        elif collection.managed or column.name in values:
            document[field.name] = None
    return nested(document)


def _missing(collection: Collection, column: Column) -> BadUserInput:
    return BadUserInput(f"{column.name}: expected a value of type {column.type} in a row of {collection.name}, got none")


# ------------------------------------------------------------------------------------------------------ updates, removals


async def update(calls: Calls, update: Update) -> Changed | None:
    collection = update.collection
    fields = {name: field_of(collection, name) for name, _ in update.values}
    for name, value in update.values:
        if value is None and not collection[name].nullable:
            raise _missing(collection, collection[name])
    with calls.translated(WRITE_TIMEOUT_S, collection):
        sets = {fields[name].name: written(fields[name], value) for name, value in update.values}
        while True:
            found = await _expected(calls, update, is_read=not sets)
            if found is None or isinstance(found, Changed):
                return found
            document = await calls.update(collection, found, {"$set": sets}, _fields(collection))
            if document is not None:
                before, after = rows_of(collection, [document, _with(document, as_stored(sets))])
                return Changed(before, after)
            if not update.expected:
                return None


async def foreseen(calls: Calls, request: Update | Remove) -> Changed | None:
    """Return what an update or a removal would be answered with now. Nothing is written."""
    collection = request.collection
    its = _of_keys(collection, [join_key(request.key) if len(request.key) > 1 else request.key[0]], request.where)
    with calls.translated(WRITE_TIMEOUT_S, collection):
        sets: Document = {}
        for name, value in request.values if isinstance(request, Update) else ():
            if value is None and not collection[name].nullable:
                raise _missing(collection, collection[name])
            field = field_of(collection, name)
            sets[field.name] = written(field, value)
        document = await calls.find(collection, its, _fields(collection))
        if document is None:
            return None
        before, after = rows_of(collection, [document, _with(document, as_stored(sets))])
    if any(before[collection.names.index(name)] != value for name, value in request.expected):
        return Changed(before, None, is_done=False)
    return Changed(before, after if isinstance(request, Update) else None)


async def remove(calls: Calls, remove: Remove) -> Changed | None:
    collection = remove.collection
    with calls.translated(WRITE_TIMEOUT_S, collection):
        while True:
            found = await _expected(calls, remove)
            if found is None or isinstance(found, Changed):
                return found
            document = await calls.remove(collection, found, _fields(collection))
            if document is not None:
                return Changed(rows_of(collection, [document])[0], None)
            if not remove.expected:
                return None


async def _expected(calls: Calls, request: Update | Remove, *, is_read: bool = False) -> Query | Changed | None:
    """Return the query of the document to change; or the answer, where there is none, or not what was expected, or nothing to do.

    What is expected is compared with what is read, so that the query asks for that as it is: who comes between is found by it.
    """
    collection = request.collection
    its = _of_keys(collection, [join_key(request.key) if len(request.key) > 1 else request.key[0]], request.where)
    if not (request.expected or is_read):
        return its
    document = await calls.find(collection, its, _fields(collection))
    if document is None:
        return None
    (row,) = rows_of(collection, [document])
    by_name = dict(zip(collection.names, row, strict=True))
    if any(by_name[name] != value for name, value in request.expected):
        return Changed(row, None, is_done=False)
    if is_read:
        return Changed(row, row)
    fields = [field_of(collection, name) for name, _ in request.expected]
    return all_of([{"_id": document["_id"]}, its, *({field.name: {"$eq": _at(document, field)}} for field in fields)])


# ----------------------------------------------------------------------------------------------------------------- locks


def touching(its: Query) -> list[UpdateMany]:
    """Return the writes that hold documents to a transaction's end and leave them as they are."""
    return [UpdateMany(its, {"$set": {_LOCK: True}}), UpdateMany(its, {"$unset": {_LOCK: ""}})]


async def lock(calls: Calls, lock: Lock) -> Rows:
    collection = lock.collection
    if lock.keys and calls.session is not None:
        its = _of_keys(collection, lock.keys, lock.where)
        with calls.translated(WRITE_TIMEOUT_S, collection):
            await calls.write(collection, touching(its))
    return await reads.get(calls, Get(collection, collection.names, lock.keys, column=collection.key_name, where=lock.where))


# ------------------------------------------------------------------------------------------------------- whole documents


async def upsert(calls: Calls, upsert: Upsert) -> None:
    """Replace documents, or insert those that are not there: all or nothing where ``calls`` are of a transaction."""
    collection = upsert.collection
    with calls.translated(WRITE_TIMEOUT_S, collection):
        await calls.write(collection, replacements(collection, documents_of(collection, upsert.rows)))


async def insert_all(calls: Calls, upsert: Upsert) -> None:
    """Insert documents none of which is there; Conflict where one is."""
    collection = upsert.collection
    with calls.translated(WRITE_TIMEOUT_S, collection):
        await calls.write(collection, insertions(documents_of(collection, upsert.rows)))


async def delete(calls: Calls, delete: Delete) -> None:
    collection = delete.collection
    with calls.translated(WRITE_TIMEOUT_S, collection):
        for start in range(0, len(delete.keys), WRITES_PER_COMMAND):
            await calls.write(collection, deletions(collection, delete.keys[start : start + WRITES_PER_COMMAND]))


# --------------------------------------------------------------------------------------------------------------- helpers


def rows_of(collection: Collection, documents: Sequence[Document]) -> list[Row]:
    """Return the rows of documents as they are, in all columns."""
    fields = [field_of(collection, name) for name in collection.names]
    return decode(collection.columns, [[_at(document, field) for field in fields] for document in documents], ours=collection.managed)


def has_unique_key(collection: Collection) -> bool:
    """Return whether there are surely no two documents of one key."""
    return collection.managed or [field_of(collection, name).name for name in collection.key] == ["_id"]


def _of_keys(collection: Collection, keys: Sequence[Key], where: Where | None) -> Query:
    fields = [field_of(collection, name) for name in collection.key]
    guards = [field.guard for field in fields]
    return all_of([query.of_keys(collection, collection.key_name, keys), *guards, query.where(collection, where)])


def _fields(collection: Collection) -> Document:
    """Return the projection to what the columns are in: the beginnings of their paths, for no path may be within another."""
    return dict.fromkeys((field_of(collection, name).name.partition(".")[0] for name in collection.names), 1)


def _at(document: Document, field: Field) -> Any:
    """Return what stands at a field's path, None where nothing does; an array where the path leads through one, as in ``Field.ref``."""
    place: Any = document
    for step in field.name.split("."):
        if isinstance(place, list):
            return []
        place = place.get(step) if isinstance(place, dict) else None
    return place


def _with(document: Document, sets: Mapping[str, Any]) -> Document:
    """Return a document with other values at some paths; the one that was given stays as it is."""
    changed = {**document}
    for path, value in sets.items():
        *steps, last = path.split(".")
        place = changed
        for step in steps:
            place[step] = {**(place.get(step) or {})}
            place = place[step]
        place[last] = value
    return changed


def as_stored(values: Document) -> Document:
    """Return values as the database would give them back."""
    names = list(values)
    stored: Iterable[Any] = bson.decode(bson.encode({str(place): values[name] for place, name in enumerate(names)}), CODEC).values()
    return dict(zip(names, stored, strict=True))
