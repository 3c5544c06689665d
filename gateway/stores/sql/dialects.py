"""Say the same thing in every database of SQL: what is to be said, and what is said alike."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from gateway.errors import BadUserInput
from gateway.stores.base import Collection, Column, Interval, Key, Row, Type, Value

Expression = sa.ColumnElement[Any]
Decoder = Callable[[Any], Value]
Conditions = Callable[[sa.FromClause], list[Expression]]  # of a table or an alias of it

TEXT = sa.Text()
NO_OFFSET: Expression = sa.literal_column("0")  # written out, because SQLAlchemy otherwise binds it in SQLite
UNFIT = "A value cannot be kept in or compared with its column."

# A name behind one colon, outside of strings, quoted names and comments; "::" is a cast.
PARAMETER = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|/\*.*?\*/|(?<![:\w]):(?P<name>[A-Za-z_]\w*)""", re.DOTALL)


class Dialect(ABC):
    """What differs between the two. Names of parameters: keys, parents, pairs, limit, w0… (filters), a0…, b0… (bounds)."""

    kind: str
    enforces_types: bool
    sqlalchemy: sa.Dialect
    by_name: sa.Dialect  # the same with parameters as native queries have them
    decoders: Mapping[Type, Decoder]  # for values of our own tables that are not wire values yet
    native_decoders: Mapping[Type, Decoder]  # for values of native queries

    @abstractmethod
    def many(self, values: Sequence[Value]) -> Value:
        """Return a list as one parameter, so that a statement's text does not depend on how many there are."""

    @abstractmethod
    def keys(self, keys: Sequence[Key]) -> Value:
        """Return the keys of a call as one parameter, named ``keys``; there may be many."""

    @abstractmethod
    def pairs_values(self, pairs: Sequence[tuple[Key, Key]]) -> dict[str, Value]: ...

    @abstractmethod
    def value(self, name: str, type_: Type) -> Expression:
        """Return the bound parameter ``name``, comparable with a column of that type."""

    @abstractmethod
    def is_one_of(self, column: Expression, name: str, type_: Type) -> Expression: ...

    @abstractmethod
    def contains(self, column: Expression, text: Expression) -> Expression: ...

    @abstractmethod
    def starts_with(self, column: Expression, text: Expression) -> Expression: ...

    @abstractmethod
    def shown(self, expression: Expression, type_: Type) -> Expression:
        """Return the expression as a result column: a wire value, or what ``decoders`` makes one of."""

    def at_once(self, text: str, types: Sequence[Type]) -> tuple[str, bool]:  # noqa: ARG002 - SQLite's has a use for them
        """Return a query for the same rows, and whether its one row is a JSON array of all of them."""
        return text, False

    @abstractmethod
    def bucket(self, column: Expression, interval: Interval) -> Expression:
        """Return a TIME: the start of the bucket, not yet ``shown``."""

    @abstractmethod
    def float_sum(self, column: Expression) -> Expression:
        """Return the sum of a FLOAT as ``Part`` has it: the exact sum rounded once, in whatever order the rows come."""

    @abstractmethod
    def pairs(self) -> sa.FromClause:
        """Return the bound pairs as a table of (parent, key)."""

    @abstractmethod
    def page_per_parent(
        self,
        source: sa.Table,
        parent: str,
        columns: Sequence[str],
        types: Sequence[Type],
        wanted: Conditions,
        ordering: Conditions,
        limit: sa.BindParameter[int],
    ) -> sa.Select[Any]:
        """Return a query of up to ``limit`` rows for each of the bound keys, read from an index on (parent, order…)."""

    @abstractmethod
    def upsert(self, source: sa.Table, collection: Collection) -> sa.ClauseElement: ...

    @abstractmethod
    def upsert_values(self, collection: Collection, rows: Sequence[Row]) -> list[tuple[Value, ...]]:
        """Return what the upsert statement is executed with: once for each."""

    @abstractmethod
    def delete(self, source: sa.Table, collection: Collection) -> sa.ClauseElement: ...

    @abstractmethod
    def delete_values(self, keys: Sequence[tuple[Key, ...]]) -> list[tuple[Value, ...]]: ...

    @abstractmethod
    def native_text(self, query: str) -> tuple[str, tuple[str, ...]]:
        """Return the native query as the driver wants it, and the names of its parameters in order."""


def encoder(column: Column, encode_texts: Callable[[Sequence[str]], str]) -> Callable[[Value], Value] | None:
    """Return how a wire value becomes a parameter; None where it is one."""
    if column.type is Type.JSON:
        return (lambda value: None if value is None else json_text(value)) if column.nullable else json_text
    if column.type is Type.TEXTS:
        return lambda value: None if value is None else encode_texts(value)
    return None


def json_text(value: Value) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:  # half of a surrogate pair, an integer beyond 64 bits
        raise BadUserInput(UNFIT) from error
