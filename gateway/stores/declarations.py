"""Collections: where a noun's rows are, of which columns, and what a column's values are in Python.

Values in rows, filters, cursors and writes are *wire values*, the same for all kinds:

    TEXT   str                     compares by code point
    BOOL   bool
    INT    int (64 bit)
    FLOAT  float
    TIME   str, UTC, always ``YYYY-MM-DDTHH:MM:SS.mmmZ`` (24 characters, so it compares as text)
    DATE   str, ``YYYY-MM-DD``
    JSON   what orjson.loads gives
    TEXTS  list[str]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Key = str
Value = Any
Row = Sequence[Value]  # one value per asked column, in the order asked


class Type(StrEnum):
    """The type of a column; the module's docstring says which Python values each has."""

    TEXT = "text"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TIME = "time"
    DATE = "date"
    JSON = "json"
    TEXTS = "texts"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a collection. ``nullable=False`` is kept by the store where it can keep it, and relied on.

    ``description`` is what clients read of it in the filter and the order that are made from the declaration.
    """

    name: str
    type: Type = Type.TEXT
    nullable: bool = False
    refers: str | None = None  # the GraphQL type whose key this is; its ids are "<refers>:<key>"
    default: Value = None  # used by a load when a line does not have the column
    description: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    columns: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Relationship:
    """How a graph database keeps a collection of edges: ``(:start {id: start_column})-[:type]->(:end {id: end_column})``.

    The columns that are neither ``start_column`` nor ``end_column`` are properties of the relationship.
    Other kinds keep the collection as an ordinary table.
    """

    type: str
    start: str  # label
    start_column: str
    end: str
    end_column: str


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """A noun's home: which store, which columns, which of them are the key. Compared and hashed by identity.

    ``name`` is the table, the MongoDB collection and, in the form ``label``, the Neo4j label.
    """

    name: str
    store: str  # the name of a store in the settings
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("id",)
    label: str = ""
    indexes: tuple[Index, ...] = ()
    relationship: Relationship | None = None
    _by_name: dict[str, Column] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update((c.name, c) for c in self.columns)
        unknown = {*self.key, *(n for i in self.indexes for n in i.columns)} - set(self._by_name)
        if unknown:
            raise ValueError(f"collection {self.name}: no such column: {', '.join(sorted(unknown))}")

    def __getitem__(self, column: str) -> Column:
        try:
            return self._by_name[column]
        except KeyError:
            raise LookupError(f"collection {self.name} has no column {column!r}; it has {', '.join(self._by_name)}") from None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    @property
    def declared(self) -> Mapping[str, Column]:
        """The columns by name."""
        return self._by_name
