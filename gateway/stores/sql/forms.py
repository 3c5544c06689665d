"""How one column's values are sent, compared, ordered and shown: what a dialect says of each type, decided once per column.

A parameter is what ``send`` makes of a wire value. Where a column is not ours its values may be written in other ways than we would, or be
none of its type: what it is ordered by is then null, and what is compared with it is neither equal, greater nor less.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import sqlalchemy as sa

from gateway.errors import BadUserInput
from gateway.stores.base import Collection, Column, Type, Value
from gateway.stores.types import NO_VALUE, NoValue, fits
from gateway.stores.values import Unreadable

Expression = sa.ColumnElement[Any]
Decoder = Callable[[Any], Value]
Sender = Callable[[Value], Value | NoValue]

TEXT = sa.Text()
NO_NUMBER = "a float that is no number"
UNFIT = "A value cannot be kept in or compared with its column."


@dataclass(frozen=True, slots=True)
class Held:
    """A column, and whose it is; ``is_padded``: it is known to be a ``char(n)``."""

    column: Column
    managed: bool
    is_key: bool = False
    is_padded: bool = False


def held(collection: Collection, name: str, *, is_padded: bool = False) -> Held:
    return Held(collection[name], collection.managed, name in collection.key, is_padded)


class Form(ABC):
    """The form of one column's values. Expressions are of the column, of an alias of it, or of what is shown of it later."""

    is_guarded = False  # what it is ordered by is null where a value is none of its type
    send: Sender | None = None  # a wire value -> what it is compared with by ``equals``; None: itself
    send_item: Sender | None = None  # the same in a list of values
    send_ordered: Sender | None = None  # … with what it is ordered by
    decode: Decoder | None = None  # what comes -> a wire value; None: it is one
    decode_least: Decoder | None = None  # … of what ``least`` gave
    decode_key: Decoder | None = None  # … of what ``shown_key`` gave
    in_json: str | None = "{0}"  # how a value is put into a JSON array; None where it cannot be there

    def __init__(self, column: Held) -> None:
        self.held = column
        self.column = column.column

    @abstractmethod
    def parameter(self, name: str) -> Expression:
        """Return the bound parameter ``name``, as ``equals`` takes it."""

    def ordered_parameter(self, name: str) -> Expression:
        return self.parameter(name)

    def equals(self, column: Expression, other: Expression) -> Expression:
        return column == other

    def is_value(self, column: Expression, name: str) -> Expression:
        """Return whether it equals the parameter: true or false where the column is not null."""
        return self.equals(column, self.parameter(name))

    @abstractmethod
    def one_of(self, column: Expression, name: str) -> Expression:
        """Return whether it is one of the bound list ``name``."""

    @abstractmethod
    def one_of_keys(self, column: Expression) -> Expression:
        """Return whether it is one of the bound ``keys``."""

    def ordered(self, column: Expression, *, descending: bool = False) -> Expression:  # noqa: ARG002 - some have a use for it
        """Return what it is ordered by."""
        return column

    def may_be_null(self, descending: bool) -> bool:  # noqa: ARG002
        """Return whether what it is ordered by may be null: the column, or in place of a value that is none of its type."""
        return self.column.nullable or self.is_guarded

    def ranged(self, column: Expression, compare: Callable[[Any, Any], Any], name: str) -> Expression:
        """Return whether it is greater, or less, than the parameter."""
        found: Expression = compare(self.ordered(column), self.ordered_parameter(name))
        return found

    def tested(self, column: Expression) -> Expression:
        """Return what is null where a comparison is."""
        return column

    @abstractmethod
    def contains(self, column: Expression, name: str) -> Expression: ...

    @abstractmethod
    def starts_with(self, column: Expression, name: str) -> Expression: ...

    def has(self, column: Expression, name: str) -> Expression:  # noqa: ARG002 - a list's has a use for them
        """Return whether a list has the parameter, a value of its items' form, in it."""
        raise self._is_no_list()

    def has_any(self, column: Expression, name: str) -> Expression:  # noqa: ARG002
        """Return whether a list has one of the bound list ``name`` in it."""
        raise self._is_no_list()

    def is_empty(self, column: Expression) -> Expression:  # noqa: ARG002
        raise self._is_no_list()

    def _is_no_list(self) -> LookupError:
        return LookupError(f"column {self.column.name}: expected a list, got one {self.column.type.upper()} a row")

    def shown(self, expression: Expression) -> Expression:
        """Return it as a result: a wire value, or what ``decode`` makes one of."""
        return expression

    def shown_key(self, expression: Expression) -> Expression:
        """The same of a key or a group: equal values are shown alike."""
        return self.shown(expression)

    def grouped(self, column: Expression) -> Expression:
        """Return what rows are grouped by; it is shown by ``shown_key``."""
        return column

    def counted(self, column: Expression) -> Expression:
        """Return what is null where there is nothing to be measured."""
        return column

    def least(self, column: Expression) -> Expression:
        """Return what the least and the greatest is found of."""
        return column

    def shown_least(self, expression: Expression) -> Expression:
        return self.shown(expression)

    def whole(self, column: Expression) -> Expression:
        """Return an INT as one of 64 bits."""
        return column

    def encoder(self) -> Callable[[Value], Value] | None:
        """Return how a wire value becomes what is written, or raises BadUserInput where it cannot be; None where it is that."""
        send = self.send
        return None if send is None else lambda value: None if value is None else fit(send(value))


def fit(value: Value | NoValue) -> Value:
    if value is NO_VALUE:
        raise BadUserInput(UNFIT)
    return value


def finite(value: float) -> Value:
    """Return a FLOAT that others wrote; infinities and NaN are none."""
    return value if math.isfinite(value) else Unreadable(NO_NUMBER)


def item_of(of: Held) -> Held:
    """Return the column of a list's items."""
    type_ = Type.TEXT if of.column.type is Type.TEXTS else of.column.type
    return Held(replace(of.column, type=type_, many=False), of.managed)


def checked(column: Column) -> Sender:
    """Return the sender of values that are themselves, where they are of the column's type."""
    return lambda value: value if fits(column, value) else NO_VALUE


def each(send: Sender | None) -> Callable[[Sequence[Value]], list[Value]]:
    """Return the sender of lists: nulls, and what can be no value of the column, are left out."""
    if send is None:
        return lambda values: [value for value in values if value is not None]
    return lambda values: [sent for value in values if value is not None and (sent := send(value)) is not NO_VALUE]


def json_text(value: Value) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:  # half of a surrogate pair, an integer beyond 64 bits
        raise BadUserInput(UNFIT) from error
