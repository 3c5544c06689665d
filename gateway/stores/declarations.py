"""Collections: where a noun's rows are, of which columns, and what a column's values are in Python.

Values in rows, filters, cursors and writes are *wire values*, the same for all kinds:

    TEXT       str                     compares by code point, or as the column's ``collation`` says
    BOOL       bool
    INT        int (64 bit)
    FLOAT      float
    DECIMAL    str, without an exponent, with ``scale`` decimals where the column has a scale: ``"13.86"``
    TIME       str, UTC, ``YYYY-MM-DDTHH:MM:SS.mmmZ``, with as many digits of a second as the column's ``precision``
    DATE       str, ``YYYY-MM-DD``
    CLOCK      str, the time of a day, ``HH:MM:SS`` and the digits of ``precision``
    UUID       str, lower case, with hyphens
    OBJECT_ID  str, 24 hexadecimal digits, lower case
    BYTES      str, base64 with padding
    ENUM       str, one of the column's ``values``, ordered as they are there
    JSON       what orjson.loads gives
    lists      a list of such values, none of them null, where the column is ``many``

Years before 0001 and after 9999 are written as ISO 8601 has them, with a sign (``-0043-03-15``, ``+10000-01-01``); ``infinity`` and
``-infinity`` are times and dates, too. Keys are text above the stores, whatever their columns' type: ``types.py`` says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from gateway.stores.requests.conditions import Where

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
    DECIMAL = "decimal"
    CLOCK = "clock"
    UUID = "uuid"
    OBJECT_ID = "object_id"
    BYTES = "bytes"
    ENUM = "enum"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a collection. ``nullable=False`` is kept by the store where it can keep it, and relied on.

    ``at``: what the database calls it, where that is another name; in MongoDB a path into subdocuments, ``"address.city"``.
    ``description`` is what clients read of it in the filter and the order that are made from the declaration. ValueError says what does
    not go together.
    """

    name: str
    type: Type = Type.TEXT
    nullable: bool = False
    refers: str | None = None  # the GraphQL type whose key this is; its ids are "<refers>:<key>"
    default: Value = field(default=None, hash=False)  # used by a load when a line does not have the column
    description: str = ""
    many: bool = False  # a list of values of the type; of TEXT it is the same as TEXTS
    precision: int = 3  # TIME and CLOCK: how many digits of a second, 0, 3, 6 or 9
    scale: int | None = None  # DECIMAL: how many decimals; None: as many as a value has
    bits: int = 64  # INT: 32 where all values are GraphQL's Int
    values: tuple[str, ...] = ()  # ENUM: in their order
    enum: str = ""  # ENUM: the name of the database's own type, with its schema; "" where the values are texts there
    collation: Literal["C", "nocase"] = "C"  # TEXT: by code point, or without regard to case
    at: str = ""

    def __post_init__(self) -> None:
        if self.type is Type.TEXTS or (self.type is Type.TEXT and self.many):  # one form for both
            object.__setattr__(self, "type", Type.TEXTS)
            object.__setattr__(self, "many", True)
        if self.precision not in (0, 3, 6, 9):
            raise ValueError(f"column {self.name}: expected a precision of 0, 3, 6 or 9 digits of a second, got {self.precision}")
        if self.bits not in (32, 64):
            raise ValueError(f"column {self.name}: expected an INT of 32 or 64 bits, got {self.bits}")
        if self.scale is not None and self.scale < 0:
            raise ValueError(f"column {self.name}: expected a scale of 0 or more decimals, got {self.scale}")
        if (self.type is Type.ENUM) is not bool(self.values):
            expected = "the values of an ENUM, in their order" if self.type is Type.ENUM else "values for an ENUM alone"
            raise ValueError(f"column {self.name}: expected {expected}, got {self.values or 'none'}")
        if self.collation not in ("C", "nocase"):
            raise ValueError(f"column {self.name}: expected the collation C or nocase, got {self.collation!r}")
        if self.collation != "C" and self.type is not Type.TEXT:
            raise ValueError(f"column {self.name}: expected a collation of TEXT alone, got one of {self.type.upper()}")

    @property
    def item(self) -> Column:
        """The column that an item of its lists would have; itself where it has no lists."""
        return replace(self, type=Type.TEXT if self.type is Type.TEXTS else self.type, many=False) if self.many else self

    @property
    def path(self) -> str:
        """What the database calls it."""
        return self.at or self.name


@dataclass(frozen=True, slots=True)
class Index:
    columns: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Relationship:
    """How a graph database keeps a collection of edges, each of them a relationship between two nodes:

        (:start {start_property: start_column})-[:type]->(:end {end_property: end_column})

    The columns that are neither ``start_column`` nor ``end_column`` are properties of the relationship.
    Other kinds keep the collection as an ordinary table.
    """

    type: str
    start: str  # label
    start_column: str
    end: str
    end_column: str
    start_property: str = "id"  # of the node: what start_column holds
    end_property: str = "id"


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """A noun's home: which store, which columns, which of them are the key. Compared and hashed by identity.

    ``name`` is the table, the MongoDB collection and, in the form ``label``, the Neo4j label; ``table`` what the database calls it, where
    that is another name, with its schema before a dot where it has one that is not the default (``"music.track"``). ``managed``: it is
    the graph's own, and migrations may make and change it; what is not managed is somebody else's, and is never altered. ``type`` is the
    GraphQL type of its rows, where no column of its key says it by ``refers``: that of a key of several columns. Rows for which ``where``
    does not hold are not there, for whoever reads (a soft delete); native queries see what they select.
    """

    name: str
    store: str  # the name of a store in the settings
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("id",)
    label: str = ""
    indexes: tuple[Index, ...] = ()
    relationship: Relationship | None = None
    table: str = ""
    managed: bool = False
    type: str = ""
    where: Where | None = None
    _by_name: dict[str, Column] = field(init=False, repr=False, default_factory=dict)
    _key_name: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        self._by_name.update((c.name, c) for c in self.columns)
        object.__setattr__(self, "_key_name", ",".join(self.key))
        unknown = {*self.key, *(n for i in self.indexes for n in i.columns)} - set(self._by_name)
        if unknown:
            raise ValueError(f"collection {self.name}: no such column: {', '.join(sorted(unknown))}")

    def __getitem__(self, column: str) -> Column:
        try:
            return self._by_name[column]
        except KeyError:
            raise LookupError(f"collection {self.name} has no column {column!r}; it has {', '.join(self._by_name)}") from None

    def columns_of(self, name: str) -> tuple[Column, ...]:
        """Return the columns of a key: one, or several whose names stand in ``name`` with commas between them."""
        return tuple([self[part] for part in name.split(",")])

    @property
    def type_name(self) -> str | None:
        """The GraphQL type that its rows are, and whose ids have its keys: ``type``, or what its one key column refers to."""
        if self.type:
            return self.type
        return self[self.key[0]].refers if len(self.key) == 1 else None

    @property
    def key_name(self) -> str:
        """The name of its key, as ``columns_of`` takes it."""
        return self._key_name

    @property
    def place(self) -> str:
        """What the database calls it, with the schema it is in, if that is said."""
        return self.table or self.name

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    @property
    def declared(self) -> Mapping[str, Column]:
        """The columns by name."""
        return self._by_name
