"""Say the same thing in every database of SQL: what is to be said, and what is said alike."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import sqlalchemy as sa

from gateway.stores.base import Collection, Column, Interval, Key, Row, Value
from gateway.stores.sql.forms import TEXT, UNFIT, Decoder, Expression, Form, Held, held, json_text

__all__ = ["NO_OFFSET", "PARAMETER", "TEXT", "UNFIT", "Conditions", "Decoder", "Dialect", "Expression", "json_text"]

Conditions = Callable[[sa.FromClause], list[Expression]]  # of a table or an alias of it
KeyValues = tuple[Value, ...]  # of one key: its columns' values, as they are sent

NO_OFFSET: Expression = sa.literal_column("0")  # written out, because SQLAlchemy otherwise binds it in SQLite
COLUMNS_KEPT = 4_000  # of collections, and their forms

# A name behind one colon, outside of strings, quoted names and comments; "::" is a cast.
PARAMETER = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|/\*.*?\*/|(?<![:\w]):(?P<name>[A-Za-z_]\w*)""", re.DOTALL)


class Dialect(ABC):
    """What differs between the two. Names of parameters: keys, keys0…, parents, pairs, limit, w0… (filters), a0…, b0… (bounds).

    Keys of one TEXT by code point are *plain*: they are sent as they come, and come back as they are. Of all others a page per parent, and
    what is found by several columns, comes with its key's place among those that were sent.
    """

    kind: ClassVar[str]
    enforces_types: ClassVar[bool]
    first_place: ClassVar[int]  # of keys in what was sent
    sqlalchemy: sa.Dialect
    by_name: sa.Dialect  # the same with parameters as native queries have them

    def __init__(self) -> None:
        self._padded: frozenset[tuple[Collection, str]] = frozenset()

    def learn(self, padded: frozenset[tuple[Collection, str]]) -> bool:
        """Have it know which columns are padded texts; return whether it has not known. Forms that were given before are void then."""
        if padded <= self._padded:
            return False
        self._padded |= padded
        _form.cache_clear()
        _encoders.cache_clear()
        return True

    def is_padded(self, collection: Collection, name: str) -> bool:
        return (collection, name) in self._padded

    @abstractmethod
    def make_form(self, column: Held) -> Form: ...

    def form(self, collection: Collection, name: str) -> Form:
        return _form(self, collection, name)

    @abstractmethod
    def native_form(self, column: Column) -> tuple[Decoder | None, str | None]:
        """Return how a value of a native query is decoded, and how it is put into a JSON array."""

    @abstractmethod
    def many(self, values: Sequence[Value]) -> Value:
        """Return a list as one parameter, so that a statement's text does not depend on how many there are."""

    @abstractmethod
    def keys(self, keys: Sequence[Key]) -> Value:
        """Return plain keys as one parameter, named ``keys``; there may be many."""

    @abstractmethod
    def key_values(self, keys: Sequence[KeyValues]) -> dict[str, Value]:
        """Return the parameters of keys that are not plain."""

    @abstractmethod
    def pairs_values(self, parents: Sequence[Key], keys: Sequence[KeyValues]) -> dict[str, Value]: ...

    def at_once(self, text: str, in_json: Sequence[str | None]) -> tuple[str, bool]:  # noqa: ARG002 - SQLite's has a use for them
        """Return a query for the same rows, and whether its one row is a JSON array of all of them."""
        return text, False

    @abstractmethod
    def bucket(self, column: Expression, interval: Interval, form: Form) -> Expression:
        """Return a TIME: the start of the bucket, not yet shown."""

    def ordered_bucket(self, bucket: Expression, form: Form) -> Expression:  # noqa: ARG002 - SQLite's has a use for it
        """Return what buckets are ordered by."""
        return bucket

    @abstractmethod
    def float_sum(self, column: Expression) -> Expression:
        """Return the sum of a FLOAT as ``Part`` has it: the exact sum rounded once, in whatever order the rows come."""

    @abstractmethod
    def decimal_sum(self, column: Expression, form: Form) -> Expression:
        """Return the exact sum of a DECIMAL as text."""

    @abstractmethod
    def pairs(self, forms: Sequence[Form]) -> tuple[sa.FromClause, Expression, list[Expression]]:
        """Return the bound pairs as a table, its parents, and the columns of its keys."""

    @abstractmethod
    def keys_table(self, forms: Sequence[Form]) -> tuple[sa.FromClause, Expression, list[Expression]]:
        """Return keys that are not plain as a table, their places, and the columns of their values."""

    @abstractmethod
    def page_per_parent(
        self,
        source: sa.Table,
        parents: Sequence[tuple[str, Form]],
        columns: Sequence[tuple[str, Form]],
        wanted: Conditions,
        ordering: Conditions,
        limit: sa.BindParameter[int] | None,
        *,
        is_plain: bool,
        is_managed: bool,
    ) -> sa.Select[Any]:
        """Return a query of up to ``limit`` rows, or all, for each of the bound keys, read from an index on (parent, order…)."""

    @abstractmethod
    def upsert(self, source: sa.Table, collection: Collection) -> sa.ClauseElement: ...

    @abstractmethod
    def written(self, collection: Collection, names: Sequence[str], rows: Sequence[Row]) -> list[tuple[Value, ...]]:
        """Return what a statement that writes rows of these columns is executed with: once for each."""

    def upsert_values(self, collection: Collection, rows: Sequence[Row]) -> list[tuple[Value, ...]]:
        return self.written(collection, collection.names, rows)

    @abstractmethod
    def delete(self, source: sa.Table, collection: Collection) -> sa.ClauseElement: ...

    @abstractmethod
    def delete_values(self, collection: Collection, keys: Sequence[tuple[Value, ...]]) -> list[tuple[Value, ...]]: ...

    @abstractmethod
    def native_text(self, query: str) -> tuple[str, tuple[str, ...]]:
        """Return the native query as the driver wants it, and the names of its parameters in order."""

    def encoders(self, collection: Collection, names: Sequence[str]) -> Sequence[Callable[[Value], Value] | None]:
        """Return how wire values become what is written, column by column; None where they are that."""
        return _encoders(self, collection, tuple(names))

    def deleted(self, collection: Collection, keys: Sequence[tuple[Value, ...]]) -> Sequence[tuple[Value, ...]]:
        """Return the keys of rows to be deleted as they are sent."""
        encoders = self.encoders(collection, collection.key)
        if not any(encoders):
            return keys
        return [tuple([value if encode is None else encode(value) for encode, value in zip(encoders, key, strict=True)]) for key in keys]


@lru_cache(maxsize=COLUMNS_KEPT)
def _form(dialect: Dialect, collection: Collection, name: str) -> Form:
    return dialect.make_form(held(collection, name, is_padded=dialect.is_padded(collection, name)))


@lru_cache(maxsize=COLUMNS_KEPT)
def _encoders(dialect: Dialect, collection: Collection, names: tuple[str, ...]) -> Sequence[Callable[[Value], Value] | None]:
    return [dialect.form(collection, name).encoder() for name in names]
