"""What a database has in place of a collection, as data: what the checks at the start compare with the declaration.

A kind that can say so has ``describe`` (``Describes``); a kind of somebody else's need not. Where a database declares columns, its
catalogue says what they are. Where it does not (MongoDB, Neo4j), a bounded sample of its rows does, and nothing at all says an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.stores.declarations import Collection, Index, Type

UNBOUNDED = 1_000_000
SAMPLED = 100  # rows of a collection, at most, where no catalogue says what they hold


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """``type`` is what the database calls it, ``fits`` are the declared types that its values can be read, compared and written as.

    Of a sample they are those that at least one value fits, and the column is not there at all where no row has a value. ``misfit`` is
    what of the declaration is expected beyond the type, and what is there instead, as a sample shows it; the rest is what a catalogue
    says of the values beyond their type, None where it says nothing.
    """

    type: str
    fits: frozenset[Type]
    nullable: bool = True
    misfit: tuple[str, str] | None = None
    many: bool | None = None  # whether its values are lists
    precision: int | None = None  # TIME and CLOCK: digits of a second
    finest: int = 9  # … that the database can have at all
    scale: int | None = None  # DECIMAL: decimals; UNBOUNDED where there may be any number of them
    bits: int | None = None  # INT
    values: tuple[str, ...] | None = None  # ENUM: in their order
    collation: str | None = None  # TEXT: "C", "nocase", or what the database calls another


@dataclass(frozen=True, slots=True)
class Found:
    """What is there. ``columns`` are by the names that are declared; those that are not declared may be left out.

    ``is_enforced``: the database itself keeps nulls out of columns that are not nullable, and keys unique (tables; no views, no samples).
    ``sampled`` is the number of rows that were looked at; None where a catalogue was asked. ``repeated`` is how many of them have the
    key of another.
    """

    what: str  # in the database's words: "table", "view", "collection", "label" …
    columns: Mapping[str, FoundColumn]
    indexes: tuple[Index, ...] = ()
    is_enforced: bool = False
    sampled: int | None = None
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class Missing:
    """That there is nothing of that name; ``others`` are names of what there is, in which somebody may recognise it."""

    what: str
    name: str
    others: tuple[str, ...] = ()


Description = Mapping[str, Found | Missing]  # by name of a collection


@runtime_checkable
class Describes(Protocol):
    """A store that can say what its database has."""

    async def describe(self, collections: Sequence[Collection]) -> Description:
        """Return what there is for each of ``collections``. Reads catalogues, and SAMPLED rows at most; changes nothing.

        StoreUnavailable and StoreTimeout as for requests.
        """
        ...


@runtime_checkable
class IndexStatements(Protocol):
    """A store that can say how an index is made."""

    def index_statement(self, collection: Collection, index: Index) -> str | None:
        """Return the statement, in the database's own language and names; None where it has no such index. Runs nothing."""
        ...


def as_declared(collections: Iterable[Collection]) -> Description:
    """Return what a database has that is whatever it is asked for."""
    return {
        collection.name: Found(
            "collection",
            {column.name: FoundColumn(column.type, frozenset({column.type}), column.nullable) for column in collection.columns},
            (Index(collection.key, unique=True), *collection.indexes),
            is_enforced=True,
        )
        for collection in collections
    }
