"""All rows of the four databases, read with their plain drivers: what the oracle answers from. Nothing of the gateway's stores is used.

A row is a mapping from the declaration's column names to values that Python compares as the column's type says:

    INT, FLOAT, BOOL, TEXT, lists    as they are            DECIMAL   Decimal
    TIME, DATE                       text of fixed length   BYTES     bytes
    UUID, OBJECT_ID, ENUM            text                   JSON      objects, with Decimal and text in them
    Drift                            what is none of its column's type
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pymongo
from bson import Decimal128, ObjectId

from gateway.stores.base import Collection, Column, Type
from tests.existing.databases import driver_of, plain
from tests.existing.graph import COLLECTIONS, LAPTOP, LISTENING, MUSIC, SHOP

Record = Mapping[str, Any]
Rows = Mapping[str, Sequence[Record]]  # by the collection's name


class Drift:
    """In place of a value that is none of its column's type: it equals nothing, and is no null."""

    def __repr__(self) -> str:
        return "a value of another type"


DRIFT = Drift()


async def read_all(urls: Mapping[str, str]) -> Rows:
    """Return the rows of every collection of the graph."""
    music, shop, listening, laptop = await asyncio.gather(
        _postgresql(plain(urls[MUSIC])),
        asyncio.to_thread(_mongodb, urls[SHOP]),
        _neo4j(urls[LISTENING]),
        asyncio.to_thread(_sqlite, urls[LAPTOP].removeprefix("sqlite:///")),
    )
    return {**music, **shop, **listening, **laptop}


async def _postgresql(url: str) -> dict[str, list[Record]]:
    connection = await asyncpg.connect(url)
    try:
        found = {}
        for collection in _of(MUSIC):
            schema, _, table = collection.place.partition(".")
            records = await connection.fetch(f'select * from "{schema}"."{table}"')
            found[collection.name] = [_row(collection, partial(_at, record)) for record in records]
        kept = [row for row in found["kept_orders"] if row["deleted_at"] is None]
        return {**found, "kept_orders": kept}
    finally:
        await connection.close()


def _mongodb(url: str) -> dict[str, list[Record]]:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        return {
            collection.name: [_row(collection, partial(_in_document, document)) for document in database[collection.place].find()]
            for collection in _of(SHOP)
        }


async def _neo4j(url: str) -> dict[str, list[Record]]:
    found = {}
    async with driver_of(url) as (driver, prefix):
        for collection in _of(LISTENING):
            edge = collection.relationship
            if edge is None:
                text = f"MATCH (x:{prefix}{collection.label}) RETURN elementId(x), properties(x)"
            else:
                ends = f"{{{edge.start_column}: a.{edge.start_property}, {edge.end_column}: b.{edge.end_property}}}"
                match = f"(a:{prefix}{edge.start})-[x:{prefix}{edge.type}]->(b:{prefix}{edge.end})"
                text = f"MATCH {match} RETURN elementId(x), properties(x), {ends}"
            records, _, _ = await driver.execute_query(text)
            rows: list[Record] = []
            for identity, properties, *of_ends in records:
                values = {**properties, **(of_ends[0] if of_ends else {}), "elementId()": identity}
                rows.append(_row(collection, partial(_of_entity, values)))
            found[collection.name] = rows
    return found


def _sqlite(path: str) -> dict[str, list[Record]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        found: dict[str, list[Record]] = {}
        for collection in _of(LAPTOP):
            records = connection.execute(f'select * from "{collection.place}"').fetchall()
            found[collection.name] = [_row(collection, partial(_at, record)) for record in records]
        return found
    finally:
        connection.close()


def _of(store: str) -> list[Collection]:
    return [collection for collection in COLLECTIONS if collection.store == store]


def _at(record: Any, column: Column) -> Any:
    return record[column.path]


def _in_document(document: Any, column: Column) -> Any:
    return at_path(document, column.path)


def _of_entity(values: Record, column: Column) -> Any:
    return values.get(column.path)


def _row(collection: Collection, value_at: Callable[[Column], Any]) -> Record:
    return {column.name: plain_value(column, value_at(column)) for column in collection.columns}


# --------------------------------------------------------------------------------------------------------------- values


def at_path(document: Any, path: str) -> Any:
    """What is at a path of names with dots between them; None where there is nothing."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def plain_value(column: Column, value: Any) -> Any:
    """The value that a driver gave, as the oracle compares it; DRIFT where it is none of its column's type."""
    if value is None or column.type is Type.JSON:
        return _json(value)
    if column.many:
        item = column.item
        return [plain_value(item, one) for one in value]
    read = _READERS[column.type](column, value)
    return DRIFT if read is None else read


def _json(value: Any) -> Any:
    if isinstance(value, str):  # PostgreSQL's driver gives the text
        return json.loads(value)
    if isinstance(value, dict):
        return {name: _inner(item) for name, item in value.items()}
    return _inner(value)


def _inner(value: Any) -> Any:
    match value:
        case dict():
            return {name: _inner(item) for name, item in value.items()}
        case list():
            return [_inner(item) for item in value]
        case Decimal128():
            return value.to_decimal()
        case ObjectId():
            return str(value)
        case _:
            return value


def _int(_: Column, value: Any) -> Any:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _decimal(column: Column, value: Any) -> Any:
    number = value.to_decimal() if isinstance(value, Decimal128) else value
    if isinstance(number, float):
        number = Decimal(repr(number))
    return number if isinstance(number, Decimal) else Decimal(number) if isinstance(number, int) else None


def _time(column: Column, value: Any) -> Any:
    if hasattr(value, "to_native"):  # Neo4j's own
        value = value.to_native()
    if isinstance(value, str) and column.path != "since":  # SQLite has no type for times; MongoDB has
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    assert moment.microsecond % 10 ** (6 - column.precision) == 0
    digits = f"{moment.microsecond:06}"[: column.precision]
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{digits}Z"


def _date(_: Column, value: Any) -> Any:
    value = value.to_native() if hasattr(value, "to_native") else value
    return value.isoformat() if isinstance(value, date) else None


def _exactly(type_: type) -> Callable[[Column, Any], Any]:
    return lambda _, value: value if isinstance(value, type_) else None


_READERS: dict[Type, Callable[[Column, Any], Any]] = {
    Type.TEXT: _exactly(str),
    Type.BOOL: _exactly(bool),
    Type.INT: _int,
    Type.FLOAT: _exactly(float),
    Type.DECIMAL: _decimal,
    Type.TIME: _time,
    Type.DATE: _date,
    Type.UUID: lambda _, value: str(value) if isinstance(value, UUID) else None,
    Type.OBJECT_ID: lambda _, value: str(value) if isinstance(value, ObjectId) else None,
    Type.BYTES: _exactly(bytes),
    Type.ENUM: lambda column, value: value if value in column.values else None,
}
