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
from sqlalchemy.types import TypeEngine, UserDefinedType

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

CLOCK: TypeEngine[str] = sa.Text().with_variant(postgresql.TIME(precision=3), "postgresql")
UUID: TypeEngine[str] = sa.Text().with_variant(postgresql.UUID(), "postgresql")
OBJECT_ID: TypeEngine[str] = TEXT
BYTES: TypeEngine[bytes] = sa.BLOB().with_variant(postgresql.BYTEA(), "postgresql")
NUMERIC_DIGITS = 1_000  # that PostgreSQL lets a type declare


class Named(UserDefinedType[str]):
    """A type by its name, with its schema before a dot where it has one."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return ".".join(quoted(part) for part in self.name.split(".", 1))


_QUOTE: Any = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]


def quoted(name: str) -> str:
    return str(_QUOTE.quote(name))


def type_of(column: Column, kind: str = "postgresql") -> TypeEngine[Any]:
    """Return the type of a column that is ours. An enum of PostgreSQL's own is made with the first table that has it."""
    if column.many and column.type is not Type.JSON:
        return TEXTS if column.type is Type.TEXTS else sa.Text().with_variant(postgresql.ARRAY(_item_type(column)), "postgresql")
    match column.type:
        case Type.TEXT if column.collation == "nocase":
            return sa.Text(collation="NOCASE").with_variant(Named("citext"), "postgresql")
        case Type.ENUM if column.enum and kind == "postgresql":
            return _item_type(column)
        case Type.TIME | Type.CLOCK if column.precision != 3:
            return sa.Text().with_variant(_item_type(column), "postgresql")
        case Type.DECIMAL:
            return sa.Numeric().with_variant(_item_type(column), "postgresql")
        case _:
            return _TYPES[column.type]


def _item_type(column: Column) -> TypeEngine[Any]:
    """Return PostgreSQL's type of a value of the column, or of a list's items."""
    match column.type:
        case Type.TIME:
            return postgresql.TIMESTAMP(timezone=True, precision=min(column.precision, 6))
        case Type.CLOCK:
            return postgresql.TIME(precision=min(column.precision, 6))
        case Type.DECIMAL:
            return sa.Numeric() if column.scale is None else sa.Numeric(NUMERIC_DIGITS, column.scale)
        case Type.ENUM if column.enum:
            schema, name = placed(column.enum)
            return postgresql.ENUM(*column.values, name=name, schema=schema)
        case _:
            return _PG_ITEMS[column.type]


_TYPES: dict[Type, TypeEngine[Any]] = {
    Type.TEXT: TEXT,
    Type.BOOL: BOOL,
    Type.INT: INT,
    Type.FLOAT: FLOAT,
    Type.TIME: TIME,
    Type.DATE: DATE,
    Type.JSON: JSON,
    Type.CLOCK: CLOCK,
    Type.UUID: UUID,
    Type.OBJECT_ID: OBJECT_ID,
    Type.BYTES: BYTES,
    Type.ENUM: TEXT,
}
_PG_ITEMS: dict[Type, TypeEngine[Any]] = {
    Type.BOOL: BOOL,
    Type.INT: INT,
    Type.FLOAT: FLOAT,
    Type.DATE: sa.Date(),
    Type.UUID: postgresql.UUID(),
    Type.OBJECT_ID: _PG_TEXT,
    Type.BYTES: postgresql.BYTEA(),
    Type.ENUM: _PG_TEXT,
}


@lru_cache(maxsize=256)
def table(collection: Collection, kind: str = "postgresql") -> sa.Table:
    """Return the table of ``collection``, alone in its metadata: two collections of one name never mix."""
    return _table(collection, sa.MetaData(), kind)


def tables(collections: Iterable[Collection], kind: str = "postgresql") -> sa.MetaData:
    """Return the tables of all ``collections`` in one metadata, as migrations want them."""
    metadata = sa.MetaData()
    for collection in collections:
        _table(collection, metadata, kind)
    return metadata


def place_of(collection: Collection, kind: str) -> tuple[str | None, str]:
    """Return the schema, where one is declared, and the name of a collection's table. A file of SQLite has no schemas."""
    return placed(collection.table) if collection.table and kind == "postgresql" else (None, collection.place)


def placed(name: str) -> tuple[str | None, str]:
    schema, dot, rest = name.partition(".")
    return (schema, rest) if dot else (None, name)


def index_name(table_name: str, columns: Iterable[str], *, unique: bool = False) -> str:
    """Return the name an index of the declarations has in the database."""
    name = "_".join(("uq" if unique else "ix", table_name, *columns))
    if len(name.encode()) > _IDENTIFIER_BYTES:
        raise ValueError(f"the index name {name} is longer than {_IDENTIFIER_BYTES} bytes")
    return name


def _table(collection: Collection, metadata: sa.MetaData, kind: str) -> sa.Table:
    schema, name = place_of(collection, kind)
    result = sa.Table(
        name,
        metadata,
        *(sa.Column(column.path, type_of(column, kind), key=column.name, nullable=column.nullable) for column in collection.columns),
        sa.PrimaryKeyConstraint(*collection.key, name=f"pk_{collection.name}"),
        schema=schema,
    )
    for index in collection.indexes:
        index_ = index_name(collection.name, index.columns, unique=index.unique)
        sa.Index(index_, *(result.c[column] for column in index.columns), unique=index.unique)
    return result
