"""Create what a collection misses in a database: itself, and its indexes."""

from __future__ import annotations

from typing import Any

from pymongo import errors

from gateway.errors import ConfigError
from gateway.stores.base import Collection
from gateway.stores.mongo.indexes import indexes

_NAMESPACE_EXISTS = 48


async def create_collection(database: Any, collection: Collection) -> list[str]:
    try:
        await database.create_collection(collection.place)
    except errors.CollectionInvalid:
        return []  # another gateway was faster
    except errors.OperationFailure as exc:
        if exc.code != _NAMESPACE_EXISTS:
            raise
        return []
    return [f"created collection {collection.place}"]


async def create_indexes(target: Any, collection: Collection, *, store: str) -> list[str]:
    there = {(tuple(index["key"]), bool(index.get("unique"))) for index in (await target.index_information()).values()}
    done: list[str] = []
    for index in indexes(collection):
        if (index.fields, index.unique) in there:
            continue
        try:
            await target.create_index(list(index.fields), **index.options)
        except errors.OperationFailure as exc:
            raise ConfigError(f"stores.{store}: cannot create the {index} of {collection.place}: {exc}") from exc
        done.append(f"created {index} of {collection.place}")
    return done
