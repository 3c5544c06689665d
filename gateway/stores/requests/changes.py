"""Rows that are changed one by one, as a mutation does: inserted, updated, removed, or read so that nobody else changes them.

Each is answered with rows as they are in the database afterwards, in all columns of the collection, in its order. They are all or
nothing, and part of a transaction where the caller has one (``base.Transacts``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

from gateway.errors import NarrowingRefused
from gateway.stores.declarations import Collection, Key, Row, Value
from gateway.stores.requests.answers import Rows
from gateway.stores.requests.conditions import Where, both
from gateway.stores.requests.request import TRANSACT, A, Ability, Request
from gateway.stores.values import Checks


class Changed(NamedTuple):
    """A row before and after; ``after`` is None where it was removed, or where it was not what was ``expected``: it is as before then."""

    before: Row
    after: Row | None
    is_done: bool = True


@dataclass(frozen=True, slots=True)
class Insert(Request[Sequence[Row]]):
    """Insert rows of some columns, in their order; the database gives the others, the key too where it makes one.

    Answered with the rows in the order given. A taken key or unique value is a Conflict, and nothing is inserted. A column that is not
    given, and for which the database has nothing, is null, or the Conflict's like: BadUserInput.
    """

    operation: ClassVar[str] = "insert"
    is_write: ClassVar[bool] = True

    collection: Collection
    columns: tuple[str, ...]
    rows: Sequence[Row]

    @property
    def store(self) -> str:
        return self.collection.store

    @property
    def about(self) -> str:
        return self.collection.name

    @property
    def keys_count(self) -> int:
        return len(self.rows)

    @property
    def needs(self) -> frozenset[Ability]:
        return TRANSACT

    def split(self) -> Sequence[Self]:
        return (self,) if self.rows else ()

    def joined(self, answers: Sequence[Any]) -> Sequence[Row]:
        return answers[0] if answers else ()

    def rows_in(self, answer: Any) -> int:
        return len(answer)

    def narrowed(self, collection: Collection, where: Where) -> Self:  # noqa: ARG002 - a row that is not there yet meets no condition
        if collection is self.collection:
            raise NarrowingRefused(self.operation, collection.name, "its rows are not there yet")
        return self


class _OfOne(Request[Changed | None]):
    __slots__ = ()

    is_write: ClassVar[bool] = True

    collection: Collection
    key: tuple[Key, ...]  # one value per column of the key, as text
    where: Where | None  # a row that it does not hold for is not there
    expected: tuple[tuple[str, Value], ...]  # columns that have to have these values, or nothing is done

    @property
    def store(self) -> str:
        return self.collection.store

    @property
    def about(self) -> str:
        return self.collection.name

    @property
    def keys_count(self) -> int:
        return 1

    @property
    def needs(self) -> frozenset[Ability]:
        return TRANSACT

    def filtered(self) -> Self:
        return self if self.collection.where is None else self._where(self.collection.where)

    def rows_in(self, answer: Any) -> int:
        return int(answer is not None)

    def narrowed(self, collection: Collection, where: Where) -> Self:
        return self._where(where) if collection is self.collection else self

    def _where(self, where: Where) -> Self:
        here: Any = self  # a dataclass, as both below are
        narrowed: Self = replace(here, where=both(self.where, where))
        return narrowed


@dataclass(frozen=True, slots=True)
class Update(_OfOne):
    """Set columns of the one row of a key. None where there is no such row; not done where ``expected`` does not hold."""

    operation: ClassVar[str] = "update"

    collection: Collection
    key: tuple[Key, ...]
    values: tuple[tuple[str, Value], ...]
    where: Where | None = None
    expected: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Remove(_OfOne):
    """Remove the one row of a key. None where there is no such row; not done where ``expected`` does not hold."""

    operation: ClassVar[str] = "remove"

    collection: Collection
    key: tuple[Key, ...]
    where: Where | None = None
    expected: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Lock(Request[Rows]):
    """Rows by key, in all columns, which nobody else changes until the transaction ends. Outside of one it is a read."""

    operation: ClassVar[str] = "lock"
    is_write: ClassVar[bool] = True  # it is a transaction's, and waits for others as a write does

    collection: Collection
    keys: Sequence[Key]  # those of several columns in their one form (``types.keys_between``)
    where: Where | None = None

    @property
    def store(self) -> str:
        return self.collection.store

    @property
    def about(self) -> str:
        return self.collection.name

    @property
    def keys_count(self) -> int:
        return len(self.keys)

    @property
    def needs(self) -> frozenset[Ability]:
        return TRANSACT

    def filtered(self) -> Self:
        return self if self.collection.where is None else replace(self, where=both(self.where, self.collection.where))

    def narrowed(self, collection: Collection, where: Where) -> Self:
        return replace(self, where=both(self.where, where)) if collection is self.collection else self

    def rows_in(self, answer: Any) -> int:
        return len(answer)


@dataclass(frozen=True, slots=True)
class Together(Request[None]):
    """Insert rows of several collections of one store, all or nothing, in as few calls as the kind can: in one, on PostgreSQL.

    Nothing of them is answered.
    """

    operation: ClassVar[str] = "insert"
    is_write: ClassVar[bool] = True

    inserts: tuple[Insert, ...]

    @property
    def store(self) -> str:
        return self.inserts[0].store

    @property
    def about(self) -> str:
        return self.inserts[0].about

    @property
    def keys_count(self) -> int:
        return sum(insert.keys_count for insert in self.inserts)

    @property
    def needs(self) -> frozenset[Ability]:
        return TRANSACT

    def narrowed(self, collection: Collection, where: Where) -> Self:
        return replace(self, inserts=tuple([insert.narrowed(collection, where) for insert in self.inserts]))


@dataclass(frozen=True, slots=True)
class Within(Request[A]):
    """A read as part of a transaction: it sees what that has written."""

    operation: ClassVar[str] = "read"
    is_write: ClassVar[bool] = True

    read: Request[A]

    @property
    def store(self) -> str:
        return self.read.store

    @property
    def about(self) -> str:
        return self.read.about

    @property
    def keys_count(self) -> int:
        return self.read.keys_count

    @property
    def needs(self) -> frozenset[Ability]:
        return self.read.needs | TRANSACT

    def filtered(self) -> Self:
        return replace(self, read=self.read.filtered())

    def split(self) -> Sequence[Self]:
        return [replace(self, read=part) for part in self.read.split()]

    def joined(self, answers: Sequence[Any]) -> A:
        return self.read.joined(answers)

    def narrowed(self, collection: Collection, where: Where) -> Self:
        return replace(self, read=self.read.narrowed(collection, where))

    def rows_in(self, answer: Any) -> int:
        return self.read.rows_in(answer)

    @property
    def checks(self) -> Checks | None:
        return self.read.checks

    def rows_of(self, answer: Any) -> Sequence[Row]:
        return self.read.rows_of(answer)

    def with_rows(self, answer: Any, made_of: Callable[[Row], Row]) -> A:
        return self.read.with_rows(answer, made_of)
