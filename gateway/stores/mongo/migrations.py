"""Make the collections of a MongoDB store: by its numbered steps, or what is missing from the declarations."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from bson import Binary, Decimal128, ObjectId
from pymongo import errors

from gateway.errors import ConfigError
from gateway.stores.base import Collection, Index
from gateway.stores.mongo.history import MongoLedger, Translated
from gateway.stores.mongo.indexes import MongoIndex, indexes
from gateway.stores.mongo.query import field
from gateway.stores.steps import StepMigrations

KIND = "mongodb"

_NAMESPACE_EXISTS = 48


class MongoMigrations(StepMigrations):
    """The histories of a database."""

    kind = KIND

    def __init__(self, database: Any, translated: Translated) -> None:
        self._database = database
        self._translated = translated
        self.ledger = MongoLedger(database, translated)

    async def script(self, text: str, collections: Sequence[Collection], *, is_first: bool) -> str | None:
        lines = [line for each in collections for line in _code(each)] if is_first else await self._missing_code(collections)
        return _script(text, lines) if lines else None

    async def missing(self, collections: Sequence[Collection]) -> list[str]:
        lines: list[str] = []
        for collection, is_there, lacking in await self._lacking(collections):
            if not is_there:
                lines.append(f"db.createCollection({_quoted(collection.place)})")
            lines += [shell_statement(collection.place, index) for index in lacking]
        return lines

    async def _missing_code(self, collections: Sequence[Collection]) -> list[str]:
        lines: list[str] = []
        for collection, is_there, lacking in await self._lacking(collections):
            if not is_there:
                lines.append(_creating(collection))
            lines += [_indexing(collection, index) for index in lacking]
        return lines

    async def _lacking(self, collections: Sequence[Collection]) -> list[tuple[Collection, bool, list[MongoIndex]]]:
        """Return each collection, whether it is there, and the indexes that it lacks."""
        with self._translated():
            there = set(await self._database.list_collection_names())
            return [
                (collection, True, await _lacking_indexes(self._database[collection.place], collection))
                if collection.place in there
                else (collection, False, indexes(collection))
                for collection in collections
            ]

    async def create_missing(self, collections: Sequence[Collection]) -> list[str]:
        with self._translated():
            return await self._create(collections)

    async def _create(self, collections: Sequence[Collection]) -> list[str]:
        done: list[str] = []
        for collection, is_there, lacking in await self._lacking(collections):
            if not is_there and await ensure_collection(self._database, collection.place):
                done.append(f"created collection {collection.place}")
            target = self._database[collection.place]
            for index in lacking:
                try:
                    await target.create_index(list(index.fields), **index.options)
                except errors.OperationFailure as exc:
                    raise ConfigError(f"collection {collection.name}: cannot create the {index} of {collection.place}: {exc}") from exc
                done.append(f"created {index} of {collection.place}")
        return done


async def ensure_collection(database: Any, name: str) -> bool:
    """Create a collection where it is not there; return whether it was. For steps, which may be run twice."""
    try:
        await database.create_collection(name)
    except errors.CollectionInvalid:
        return False  # another was faster
    except errors.OperationFailure as exc:
        if exc.code != _NAMESPACE_EXISTS:
            raise
        return False
    return True


async def _lacking_indexes(target: Any, collection: Collection) -> list[MongoIndex]:
    there = {(tuple(index["key"]), bool(index.get("unique"))) for index in (await target.index_information()).values()}
    return [index for index in indexes(collection) if (index.fields, index.unique) not in there]


# ------------------------------------------------------------------------------------------------------------------- text

_SCRIPT = '''"""{text}"""

from typing import Any
{imports}
from gateway.stores.mongo.migrations import ensure_collection


async def upgrade(database: Any) -> None:
{lines}
'''


_IMPORTS = {  # what stands in the least value of an index that leaves nulls out: where that is from
    "datetime.": "import datetime",
    **{f"{name}(": f"from bson import {name}" for name in ("Binary", "Decimal128", "MinKey", "ObjectId")},
}


def _script(text: str, lines: Sequence[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    imports = "".join(f"\n{line}" for word, line in _IMPORTS.items() if word in body)
    return _SCRIPT.format(text=text.replace('"', "'").replace("\\", "/"), imports=f"{imports}\n" if imports else "", lines=body)


def index_statement(collection: Collection, index: Index) -> str:
    """Return how the shell makes an index of that many columns."""
    return shell_statement(collection.place, MongoIndex(tuple((field(collection, name), 1) for name in index.columns), index.unique))


def shell_statement(name: str, index: MongoIndex) -> str:
    fields = ", ".join(f"{_quoted(field)}: {direction}" for field, direction in index.fields)
    options = f", {_shell(index.options)}" if index.options else ""
    return f"db.getCollection({_quoted(name)}).createIndex({{{fields}}}{options})"


def _shell(value: Any) -> str:
    match value:
        case dict():
            return f"{{{', '.join(f'{_quoted(name)}: {_shell(its)}' for name, its in value.items())}}}"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case datetime():
            return f"ISODate({_quoted(value.strftime('%Y-%m-%dT%H:%M:%SZ').zfill(20))})"
        case Decimal128():
            return f"NumberDecimal({_quoted(str(value))})"
        case ObjectId():
            return f"ObjectId({_quoted(str(value))})"
        case Binary():
            return f"BinData({value.subtype}, {_quoted(b64encode(value).decode())})"
        case _:
            return orjson.dumps(value).decode()


def _code(collection: Collection) -> list[str]:
    return [_creating(collection), *(_indexing(collection, index) for index in indexes(collection))]


def _creating(collection: Collection) -> str:
    return f"await ensure_collection(database, {_quoted(collection.place)})"


def _indexing(collection: Collection, index: MongoIndex) -> str:
    fields = ", ".join(f"({_quoted(field)}, {direction})" for field, direction in index.fields)
    options = "".join(f", {name}={_python(value)}" for name, value in index.options.items())
    return f"await database[{_quoted(collection.place)}].create_index([{fields}]{options})"


def _python(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_quoted(name)}: {_python(its)}' for name, its in value.items())}}}"
    return f'float("{value}")' if value in (math.inf, -math.inf) else repr(value)


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
