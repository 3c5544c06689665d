"""Which indexes a collection has in MongoDB, worked out from its declaration. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson.binary import UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from gateway.stores.base import Collection, Index, Type
from gateway.stores.mongo.fields import field_of

_LEAST: dict[Type, Any] = {
    Type.TEXT: "",
    Type.DATE: "",
    Type.CLOCK: "",
    Type.ENUM: "",
    Type.BYTES: "",
    Type.DECIMAL: Decimal128("-Infinity"),
    Type.UUID: Binary(b"\x00" * 16, UUID_SUBTYPE),
    Type.OBJECT_ID: ObjectId("0" * 24),
    Type.BOOL: False,
    Type.INT: float("-inf"),
    Type.FLOAT: float("-inf"),
    Type.TIME: datetime(1, 1, 1),  # noqa: DTZ001  naive is UTC to the driver
}


@dataclass(frozen=True, slots=True)
class MongoIndex:
    """An index as MongoDB has it: fields with 1 or -1; a unique one leaves out documents where one of its fields is null, as SQL does."""

    fields: tuple[tuple[str, int], ...]
    unique: bool = False
    only_where: tuple[tuple[str, Any], ...] = ()  # field -> the least value that counts

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of ``create_index``."""
        options: dict[str, Any] = {"unique": True} if self.unique else {}
        if self.only_where:
            options["partialFilterExpression"] = {name: {"$gte": least} for name, least in self.only_where}
        return options

    def __str__(self) -> str:
        names = ", ".join(name if direction == 1 else f"{name} descending" for name, direction in self.fields)
        return f"{'unique index' if self.unique else 'index'} on {names}"


def indexes(collection: Collection) -> list[MongoIndex]:
    """Return the indexes a collection needs besides that of ``_id``, each once."""
    wanted: dict[tuple[tuple[str, int], ...], MongoIndex] = {}
    for index in (Index(collection.key, unique=True), *collection.indexes):
        for one in (_index(collection, index), _newest_first(collection, index)):
            if one is not None and one.fields != (("_id", 1),):
                wanted.setdefault(one.fields, one)
    return list(wanted.values())


def _index(collection: Collection, index: Index) -> MongoIndex:
    fields = tuple((field_of(collection, name).name, 1) for name in index.columns)
    nullable = [collection[name] for name in index.columns if collection[name].nullable] if index.unique else []
    return MongoIndex(fields, index.unique, tuple((field_of(collection, column.name).name, _LEAST[column.type]) for column in nullable))


def _newest_first(collection: Collection, index: Index) -> MongoIndex | None:
    """Return the twin that serves the newest first: the time falls while the key, which breaks ties, still rises.

    An index can be read backwards, but then all of it turns round; without the twin MongoDB sorts all rows of a parent for a page.
    """
    if len(index.columns) < 2 or index.columns[-1:] != collection.key:
        return None
    time = index.columns[-2]
    if collection[time].type is not Type.TIME:
        return None
    return MongoIndex(tuple((field_of(collection, name).name, -1 if name == time else 1) for name in index.columns))
