"""Say which table a collection is in SQL: column types, keys and indexes, the same for PostgreSQL and SQLite.

The migration scripts use the types below by name, so that a script reads like the declaration it follows:

    sa.Column("created_at", TIME, nullable=False)
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from gateway.stores.base import Collection, Column, Type

_PG_TEXT = sa.Text(collation="C")  # compares by code point; SQLite's BINARY does so by itself
_IDENTIFIER_BYTES = 63  # PostgreSQL cuts longer names

TEXT: TypeEngine[str] = sa.Text().with_variant(_PG_TEXT, "postgresql")
BOOL: TypeEngine[bool] = sa.Boolean()
INT: TypeEngine[int] = sa.BigInteger()
FLOAT: TypeEngine[float] = sa.Double()
TIME: TypeEngine[str] = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")
DATE: TypeEngine[str] = sa.Text().with_variant(sa.Date(), "postgresql")
JSON: TypeEngine[str] = sa.Text().with_variant(postgresql.JSON(), "postgresql")  # not jsonb: the text keeps the order of keys
TEXTS: TypeEngine[str] = sa.Text().with_variant(postgresql.ARRAY(_PG_TEXT), "postgresql")

_TYPES: dict[Type, TypeEngine[Any]] = {
    Type.TEXT: TEXT,
    Type.BOOL: BOOL,
    Type.INT: INT,
    Type.FLOAT: FLOAT,
    Type.TIME: TIME,
    Type.DATE: DATE,
    Type.JSON: JSON,
    Type.TEXTS: TEXTS,
}


@lru_cache(maxsize=256)
def table(collection: Collection) -> sa.Table:
    """Return the table of ``collection``, alone in its metadata: two collections of one name never mix."""
    return _table(collection, sa.MetaData())


def tables(collections: Iterable[Collection]) -> sa.MetaData:
    """Return the tables of all ``collections`` in one metadata, as migrations want them."""
    metadata = sa.MetaData()
    for collection in collections:
        _table(collection, metadata)
    return metadata


def index_name(table_name: str, columns: Iterable[str], *, unique: bool = False) -> str:
    """Return the name an index of the declarations has in the database."""
    name = "_".join(("uq" if unique else "ix", table_name, *columns))
    if len(name.encode()) > _IDENTIFIER_BYTES:
        raise ValueError(f"the index name {name} is longer than {_IDENTIFIER_BYTES} bytes")
    return name


def _table(collection: Collection, metadata: sa.MetaData) -> sa.Table:
    result = sa.Table(
        collection.name,
        metadata,
        *(_column(column) for column in collection.columns),
        sa.PrimaryKeyConstraint(*collection.key, name=f"pk_{collection.name}"),
    )
    for index in collection.indexes:
        name = index_name(collection.name, index.columns, unique=index.unique)
        sa.Index(name, *(result.c[column] for column in index.columns), unique=index.unique)
    return result


def _column(column: Column) -> sa.Column[Any]:
    return sa.Column(column.name, _TYPES[column.type], nullable=column.nullable)
