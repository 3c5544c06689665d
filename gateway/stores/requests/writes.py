"""Rows that are written: inserted or replaced by their key, and deleted by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from gateway.errors import NarrowingRefused
from gateway.stores.declarations import Collection, Key, Row
from gateway.stores.requests.conditions import Where
from gateway.stores.requests.request import WRITE, Ability, Request


@dataclass(frozen=True, slots=True)
class _Write(Request[None]):
    is_write: ClassVar[bool] = True
    does: ClassVar[str]  # to rows of its keys

    collection: Collection

    @property
    def store(self) -> str:
        return self.collection.store

    @property
    def about(self) -> str:
        return self.collection.name

    @property
    def needs(self) -> frozenset[Ability]:
        return WRITE

    def split(self) -> Sequence[Self]:
        return (self,) if self.keys_count else ()

    def joined(self, answers: Sequence[None]) -> None:  # noqa: ARG002 - there is nothing in them
        return None

    def narrowed(self, collection: Collection, where: Where) -> Self:  # noqa: ARG002 - no condition can be kept
        if collection is self.collection:
            raise NarrowingRefused(self.operation, collection.name, f"it {self.does} the rows of its keys, whatever they are")
        return self


@dataclass(frozen=True, slots=True)
class Upsert(_Write):
    """Insert rows, or replace those with the same key. All columns, in the collection's order. All or nothing per call."""

    operation: ClassVar[str] = "upsert"
    does: ClassVar[str] = "replaces"

    rows: Sequence[Row]

    @property
    def keys_count(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Delete(_Write):
    """Delete by key (one tuple of the key columns' values per row). Missing keys are no error."""

    operation: ClassVar[str] = "delete"
    does: ClassVar[str] = "deletes"

    keys: Sequence[tuple[Key, ...]]

    @property
    def keys_count(self) -> int:
        return len(self.keys)
