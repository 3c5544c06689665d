"""What the changes of single rows are as statements, whichever the database: what is bound, what is run in which order, what is answered.

A change is ``Work``: a generator that gives one statement after the other with its values, and is sent each one's rows. So a driver runs
all of it where its connection is, and knows nothing of what it is about.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from gateway.errors import Conflict
from gateway.stores.base import (
    Advance,
    And,
    Bump,
    Changed,
    Claim,
    Collection,
    Compare,
    Insert,
    Key,
    Remove,
    Request,
    Row,
    Together,
    Update,
    Value,
    Where,
)
from gateway.stores.shared import conflict
from gateway.stores.sql.conditions import Shape, Values, condition_of, where_shape
from gateway.stores.sql.dialects import Decoder, Dialect, Expression
from gateway.stores.sql.statements import Statement, Statements
from gateway.stores.sql.tables import place_of, table
from gateway.stores.types import KeyForm

T = TypeVar("T")

Steps = Generator[tuple[str, Sequence[Value]], Sequence[Row], T]
EXPECTED = "expected_"  # begins the names of what is compared with what is expected


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """Statements, and what comes of them. ``is_one``: there is one alone, which needs no transaction around it."""

    steps: Steps[T]
    is_one: bool = False


class Changes(ABC):
    """The statements of one store's changes, made once per shape and kept beside those of its reads."""

    def __init__(self, statements: Statements, dialect: Dialect) -> None:
        self._statements = statements
        self._dialect = dialect
        self._ways: dict[type[Request[Any]], Callable[[Any], Work[Any]]] = {
            Insert: self.insert,
            Update: self.change,
            Remove: self.change,
            Together: self.together,
            Bump: self.bump,
            Advance: self.advance,
            Claim: self.claim,
        }

    def work(self, request: Request[Any]) -> Work[Any]:
        """Return what answers a request. BadUserInput for what can be no value of its column."""
        return self._ways[type(request)](request)

    @abstractmethod
    def insert(self, insert: Insert) -> Work[Sequence[Row]]: ...

    @abstractmethod
    def change(self, change: Update | Remove) -> Work[Changed | None]: ...

    @abstractmethod
    def together(self, together: Together) -> Work[None]: ...

    @abstractmethod
    def bump(self, bump: Bump) -> Work[dict[Key, int]]: ...

    @abstractmethod
    def advance(self, advance: Advance) -> Work[frozenset[Key]]: ...

    @abstractmethod
    def claim(self, claim: Claim) -> Work[Sequence[Row]]: ...

    # ---------------------------------------------------------------------------------------------------------- pieces

    def _table(self, collection: Collection) -> sa.Table:
        return table(collection, self._dialect.kind)

    def _shown(self, collection: Collection, columns: Any, letter: str = "c") -> list[Expression]:
        """Return all columns as results, of a table or of what has them by the names of the collection."""
        return [self._dialect.form(collection, name).shown(columns[name]).label(f"{letter}{i}") for i, name in enumerate(collection.names)]

    def _one(self, change: Update | Remove, values: Values) -> tuple[Shape | None, Shape | None] | None:
        """Return the shapes of which row is meant and of what is expected of it; their values are added. None where no row can be."""
        parts: list[Where] = []
        for name, text in zip(change.collection.key, change.key, strict=True):
            found = KeyForm((change.collection[name],)).values(text)
            if found is None:
                return None
            parts.append(Compare(name, "eq", found[0]))
        where = And((*parts, change.where)) if change.where is not None else And(tuple(parts))
        expected = And(tuple([Compare(name, "eq", value) for name, value in change.expected])) if change.expected else None
        return (
            where_shape(change.collection, where, values, self._dialect),
            where_shape(change.collection, expected, values, self._dialect, EXPECTED),
        )

    def _conditions(self, collection: Collection, shape: Shape | None, expected: Shape | None) -> tuple[Expression, Expression]:
        source = self._table(collection)
        return (
            condition_of(collection, source, shape, self._dialect),
            condition_of(collection, source, expected, self._dialect, EXPECTED),
        )

    def _statement(
        self, element: sa.ClauseElement, decoders: Sequence[Decoder | None] = (), column_keys: Sequence[str] | None = None
    ) -> Statement:
        """Return a statement whose rows come one by one, decoded from their first value on."""
        compiled: Any = element.compile(dialect=self._dialect.sqlalchemy, column_keys=column_keys)
        return Statement(str(compiled), tuple(compiled.positiontup or ()), placed(decoders))

    def _decoders_of(self, collection: Collection) -> list[Decoder | None]:
        return [self._dialect.form(collection, name).decode for name in collection.names]


def placed(decoders: Sequence[Decoder | None]) -> tuple[tuple[int, Decoder], ...]:
    return tuple([(position, decode) for position, decode in enumerate(decoders) if decode is not None])


def collections_of(request: Any) -> Sequence[Collection]:
    """Return the collections that a request writes."""
    return [insert.collection for insert in request.inserts] if isinstance(request, Together) else [request.collection]


def declared(error: Conflict, store: str, kind: str, collections: Sequence[Collection]) -> Conflict:
    """Return a conflict by the names of the collection whose table it is about; itself where it is about none of these."""
    for collection in collections:
        if place_of(collection, kind)[1] == error.collection:
            names = {column.path: column.name for column in collection.columns}
            return conflict(store, collection.name, [names.get(name, name) for name in error.columns])
    return error


def nothing(answer: T) -> Work[T]:
    """Return what asks nothing, and is answered at once."""

    def steps() -> Steps[T]:
        return answer
        yield

    return Work(steps(), is_one=True)
