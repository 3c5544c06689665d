"""Put values of the wrong type into stores that take them, past the gateway's own writes."""

from __future__ import annotations

import sqlite3
from typing import Any

from gateway.stores.base import Collection, Fetch, Store, Upsert
from gateway.stores.memory import MemoryStore
from gateway.stores.mongo.store import MongoStore
from gateway.stores.neo4j.store import Neo4jStore
from gateway.stores.sql.store import SqlStore
from tests.kinds import kinds


def lenient_kinds() -> list[object]:
    """The kinds of store that enforce no types, as parameters."""
    return kinds(["memory", "sqlite", "mongodb", "mongodb+motor", "neo4j"])


async def put(store: Store, collection: Collection, key: str, column: str, value: Any) -> None:
    """Put ``value``, as the database's own driver takes it, into a column of the row with this key."""
    match store:
        case MemoryStore():
            await _put_in_memory(store, collection, key, column, value)
        case MongoStore():
            name = "_id" if column in collection.key else column
            documents = store._database()[collection.name]
            document = await documents.find_one({"_id": key})
            await documents.delete_one({"_id": key})  # a document's _id cannot be changed
            await documents.insert_one({**document, name: value})
        case Neo4jStore():
            source = store._names.source(collection)
            await store._schema(f"MATCH {source.pattern} WHERE n.id = $key SET {source.ref(column)} = $value", {"key": key, "value": value})
        case SqlStore():
            path: Any = store._driver._path  # type: ignore[union-attr]
            connection = sqlite3.connect(path)
            with connection:
                connection.execute(f"UPDATE {collection.name} SET {column} = ? WHERE id = ?", (value, key))
            connection.close()


async def _put_in_memory(store: MemoryStore, collection: Collection, key: str, column: str, value: Any) -> None:
    answer = await store.answer(Fetch(collection, collection.names))
    place, key_place = collection.names.index(column), collection.names.index("id")
    [row] = [list(row) for row in answer[None].rows if row[key_place] == key]
    row[place] = value
    if column in collection.key:
        store._table(collection).delete([(key,)])
    await store.answer(Upsert(collection, [row]))
