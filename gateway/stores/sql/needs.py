"""What tables need in PostgreSQL before they are made: schemas, enum types and the extension with texts without case. SQLite needs none.

Migration scripts make them by ``ensure_schema``, ``ensure_extension`` and ``ensure_type``, each of which may be run twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import CreateEnumType
from sqlalchemy.schema import CreateSchema, ExecutableDDLElement
from sqlalchemy.types import TypeEngine

from gateway.stores.sql.tables import Named, placed, quoted


@dataclass(frozen=True, slots=True)
class Need:
    """``name`` is with the schema, before a dot, where a type has one; ``values`` are those of an enum type, in their order."""

    what: Literal["schema", "extension", "type"]
    name: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what} {self.name}"

    @property
    def statement(self) -> ExecutableDDLElement:
        match self.what:
            case "schema":
                return CreateSchema(self.name)
            case "extension":
                return sa.DDL(f"CREATE EXTENSION {quoted(self.name).replace('%', '%%')}")  # type: ignore[no-untyped-call]
            case "type":
                schema, name = placed(self.name)
                return CreateEnumType(postgresql.ENUM(*self.values, name=name, schema=schema))

    def is_there(self, connection: sa.Connection) -> bool:
        match self.what:
            case "schema":
                return sa.inspect(connection).has_schema(self.name)
            case "extension":
                found = sa.text("SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_extension WHERE extname = :name)")
                return bool(connection.scalar(found, {"name": self.name}))
            case "type":
                schema, name = placed(self.name)
                dialect: Any = connection.dialect
                return bool(dialect.has_type(connection, name, schema=schema))


def needs_of(columns: Iterable[sa.Column[Any]], schemas: Iterable[str | None] = ()) -> list[Need]:
    """Return what tables in these schemas, with these columns, need: schemas first, each once."""
    types = [type_ for column in columns for type_ in _types(column.type)]
    enums = {Need("type", _name_of(type_), tuple(type_.enums)): type_ for type_ in types if isinstance(type_, postgresql.ENUM)}
    names = {schema for schema in (*schemas, *(type_.schema for type_ in enums.values())) if schema is not None}
    extensions = {type_.name for type_ in types if isinstance(type_, Named)}
    return [*(Need("schema", name) for name in sorted(names)), *(Need("extension", name) for name in sorted(extensions)), *enums]


def _types(type_: TypeEngine[Any]) -> Iterator[TypeEngine[Any]]:
    """Give a type's parts for PostgreSQL."""
    its = type_._variant_mapping.get("postgresql", type_)
    yield its.item_type if isinstance(its, postgresql.ARRAY) else its


def _name_of(enum: postgresql.ENUM) -> str:
    return f"{enum.schema}.{enum.name}" if enum.schema is not None else str(enum.name)


# ------------------------------------------------------------------------------------------------------------ for scripts


def ensure_schema(connection: sa.Connection, name: str) -> None:
    _ensure(connection, Need("schema", name))


def ensure_extension(connection: sa.Connection, name: str) -> None:
    _ensure(connection, Need("extension", name))


def ensure_type(connection: sa.Connection, name: str, *values: str) -> None:
    """Make an enum type where there is none of the name; one that is there stays as it is."""
    _ensure(connection, Need("type", name, values))


def _ensure(connection: sa.Connection, need: Need) -> None:
    if connection.dialect.name == "postgresql" and not need.is_there(connection):
        connection.execute(need.statement)
