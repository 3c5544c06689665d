"""What the values of each type of column can be compared with: the operators, as inputs, and which of them a type has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Optional
from uuid import UUID

import strawberry

from gateway.graph.scalars import Base64, BigInt, Date, DateTime, LocalTime, ObjectID
from gateway.stores.base import Column, Type

_EQ = "Equal; null matches null."
_IN = "One of these; none of an empty list."


def operator(description: str, name: str | None = None) -> Any:
    return strawberry.field(name=name, default=strawberry.UNSET, description=description)


def _negated(noun: str) -> Any:
    return operator(f"The exact negation of eq: nulls differ from every {noun}.")


@strawberry.input(description="Filter an id. Bare keys are accepted as well as `Type:key`. The given conditions must all hold.")
class IDFilter:
    eq: strawberry.ID | None = operator(_EQ)
    ne: strawberry.ID | None = _negated("id")
    in_: list[strawberry.ID] | None = operator(_IN, "in")


@strawberry.input(description="Filter a text, case-sensitively and by code point. The given conditions must all hold.")
class StringFilter:
    eq: str | None = operator(_EQ)
    ne: str | None = _negated("text")
    in_: list[str] | None = operator(_IN, "in")
    contains: str | None = operator("Has this text somewhere; nothing in it is a wildcard.")
    starts_with: str | None = operator("Begins with this text; nothing in it is a wildcard.")


@strawberry.input(description="Filter a text, case-sensitively and by code point. The given conditions must all hold.")
class TextFilter(StringFilter):
    gt: str | None = operator("Behind it in the order of code points.")
    gte: str | None = operator("Equal or behind it.")
    lt: str | None = operator("Before it in the order of code points.")
    lte: str | None = operator("Equal or before it.")


@strawberry.input(description="Filter a time. The given conditions must all hold.")
class DateTimeFilter:
    eq: DateTime | None = operator(_EQ)
    gt: DateTime | None = operator("Later than.")
    gte: DateTime | None = operator("At or later than.")
    lt: DateTime | None = operator("Earlier than.")
    lte: DateTime | None = operator("At or earlier than.")


@strawberry.input(description="Filter a time. The given conditions must all hold.")
class TimeFilter(DateTimeFilter):
    ne: DateTime | None = _negated("time")
    in_: list[DateTime] | None = operator(_IN, "in")


@strawberry.input(description="Filter a date. The given conditions must all hold.")
class DateFilter:
    eq: Date | None = operator(_EQ)
    ne: Date | None = _negated("date")
    in_: list[Date] | None = operator(_IN, "in")
    gt: Date | None = operator("Later than.")
    gte: Date | None = operator("On that day or later.")
    lt: Date | None = operator("Earlier than.")
    lte: Date | None = operator("On that day or earlier.")


@strawberry.input(description="Filter a whole number. The given conditions must all hold.")
class IntFilter:
    eq: int | None = operator(_EQ)
    ne: int | None = _negated("number")
    in_: list[int] | None = operator(_IN, "in")
    gt: int | None = operator("Greater than.")
    gte: int | None = operator("Greater than or equal.")
    lt: int | None = operator("Less than.")
    lte: int | None = operator("Less than or equal.")


@strawberry.input(description="Filter a number. The given conditions must all hold.")
class FloatFilter:
    eq: float | None = operator(_EQ)
    ne: float | None = _negated("number")
    in_: list[float] | None = operator(_IN, "in")
    gt: float | None = operator("Greater than.")
    gte: float | None = operator("Greater than or equal.")
    lt: float | None = operator("Less than.")
    lte: float | None = operator("Less than or equal.")


@strawberry.input(description="Filter true or false. The given conditions must all hold.")
class BooleanFilter:
    eq: bool | None = operator(_EQ)
    ne: bool | None = operator("The exact negation of eq: nulls are neither true nor false.")


@strawberry.input(description="Filter by whether there is a value.")
class NullFilter:
    is_null: bool | None = operator("True: there is none. False: there is one. Null: either.")


def _compared_filter(name: str, kind: Any, noun: str, description: str) -> Any:
    """Return an input with eq, ne and in."""
    members = {"eq": operator(_EQ), "ne": _negated(noun), "in_": operator(_IN, "in")}
    made = type(name, (), members)
    made.__annotations__ = {"eq": Optional[kind], "ne": Optional[kind], "in_": Optional[list[kind]]}
    return strawberry.input(made, description=f"{description} The given conditions must all hold.")


def _ordered_filter(name: str, kind: Any, noun: str, description: str, words: tuple[str, str] = ("greater", "less")) -> Any:
    """Return an input with gt, gte, lt and lte, too."""
    more, less = words
    members = {
        "eq": operator(_EQ),
        "ne": _negated(noun),
        "in_": operator(_IN, "in"),
        "gt": operator(f"{more.capitalize()} than."),
        "gte": operator(f"{more.capitalize()} than or equal."),
        "lt": operator(f"{less.capitalize()} than."),
        "lte": operator(f"{less.capitalize()} than or equal."),
    }
    made = type(name, (), members)
    made.__annotations__ = {member: Optional[list[kind]] if member == "in_" else Optional[kind] for member in members}
    return strawberry.input(made, description=f"{description} The given conditions must all hold.")


def _list_filter(name: str, kind: Any) -> Any:
    members = {
        "contains": operator("Has this item."),
        "contains_any": operator("Has one of these items; no list has one of none."),
        "is_empty": operator("True: it has no items. False: the exact negation, which nulls are, too. Null: either."),
        "is_null": operator("True: there is no list. False: there is one. Null: either."),
    }
    made = type(name, (), members)
    made.__annotations__ = {
        "contains": Optional[kind],
        "contains_any": Optional[list[kind]],
        "is_empty": Optional[bool],
        "is_null": Optional[bool],
    }
    return strawberry.input(made, description="Filter a list by its items. The given conditions must all hold.")


BigIntFilter = _ordered_filter("BigIntFilter", BigInt, "number", "Filter a whole number of 64 bits.")
DecimalFilter = _ordered_filter("DecimalFilter", Decimal, "number", "Filter an exact decimal number.")
LocalTimeFilter = _ordered_filter("LocalTimeFilter", LocalTime, "time", "Filter a time of a day.", ("later", "earlier"))
UUIDFilter = _ordered_filter("UUIDFilter", UUID, "uuid", "Filter a uuid, in the order of its digits.")
ObjectIDFilter = _ordered_filter("ObjectIDFilter", ObjectID, "ObjectId", "Filter an ObjectId, in the order of its digits.")
Base64Filter = _compared_filter("Base64Filter", Base64, "bytes", "Filter bytes.")
EnumFilter = _compared_filter("EnumFilter", str, "value", "Filter one of a few values, by its text.")

_ITEMS: Mapping[Type, tuple[str, Any]] = {
    Type.TEXT: ("String", str),
    Type.BOOL: ("Boolean", bool),
    Type.FLOAT: ("Float", float),
    Type.DECIMAL: ("Decimal", Decimal),
    Type.TIME: ("DateTime", DateTime),
    Type.DATE: ("Date", Date),
    Type.CLOCK: ("LocalTime", LocalTime),
    Type.UUID: ("UUID", UUID),
    Type.OBJECT_ID: ("ObjectID", ObjectID),
    Type.BYTES: ("Base64", Base64),
    Type.ENUM: ("Enum", str),
}
_LISTS: Mapping[Type, Any] = {type_: _list_filter(f"{name}ListFilter", kind) for type_, (name, kind) in _ITEMS.items()}
_LISTS_OF_INTS: Mapping[int, Any] = {32: _list_filter("IntListFilter", int), 64: _list_filter("BigIntListFilter", BigInt)}

FULL: Mapping[Type, Any] = {
    Type.TEXT: TextFilter,
    Type.BOOL: BooleanFilter,
    Type.INT: IntFilter,
    Type.FLOAT: FloatFilter,
    Type.DECIMAL: DecimalFilter,
    Type.TIME: TimeFilter,
    Type.DATE: DateFilter,
    Type.CLOCK: LocalTimeFilter,
    Type.UUID: UUIDFilter,
    Type.OBJECT_ID: ObjectIDFilter,
    Type.BYTES: Base64Filter,
    Type.ENUM: EnumFilter,
    Type.JSON: NullFilter,
    Type.TEXTS: _LISTS[Type.TEXT],
}
"""All that the stores can do, by type of column. A column that refers to a type has an IDFilter, an INT of 64 bits a BigIntFilter, and a
column that is ``many`` what lists have."""


def inputs_of(column: Column, operators: Mapping[Type, Any]) -> Any:
    """Return the input, or the scalar, that a filter has for a column."""
    if column.many and column.type is not Type.TEXTS:
        return _LISTS_OF_INTS[column.bits] if column.type is Type.INT else _LISTS.get(column.type)
    if column.refers is not None and not column.many:
        return IDFilter
    kind = operators.get(column.type)
    return BigIntFilter if column.type is Type.INT and column.bits == 64 and kind is IntFilter else kind


BASIC: Mapping[Type, Any] = {**FULL, Type.TEXT: StringFilter, Type.TIME: DateTimeFilter, Type.BOOL: bool}
"""Texts are not ordered, times are compared by range, and a Boolean is given as such."""

OPERATORS: Mapping[str, str] = {
    "eq": "eq",
    "ne": "ne",
    "in_": "in",
    "gt": "gt",
    "gte": "gte",
    "lt": "lt",
    "lte": "lte",
    "contains": "contains",
    "starts_with": "starts_with",
    "is_null": "is_null",
}
"""Comparisons by the attribute that an operator input has for them; ``is_null`` is eq or ne null."""

_LIST_OPERATORS: Mapping[str, str] = {"contains": "has", "contains_any": "has_any", "is_empty": "is_empty", "is_null": "is_null"}

_EQUALITY = ("eq", "ne", "in", "is_null")
_ORDERED = (*_EQUALITY, "gt", "gte", "lt", "lte")
_COMPARED: Mapping[Type, Sequence[str]] = {
    Type.TEXT: (*_ORDERED, "contains", "starts_with"),
    Type.BOOL: _EQUALITY,
    Type.ENUM: _EQUALITY,
    Type.BYTES: _EQUALITY,
    Type.JSON: ("is_null",),
}


def comparison(column: Column, attribute: str) -> str:
    """Return which comparison an operator's attribute is; ValueError where a column of this type has none of that name."""
    operators = _LIST_OPERATORS if column.many else OPERATORS
    found = operators.get(attribute)
    possible = tuple(_LIST_OPERATORS.values()) if column.many else _COMPARED.get(column.type, _ORDERED)
    if found is None or found not in possible:
        names = ", ".join(name for name, op in operators.items() if op in possible)
        raise ValueError(f"column {column.name} ({column.type}): expected operators of {names}, got {attribute}")
    return found


def takes_values(column: Column) -> bool:
    """Return whether the values of a column can be compared with others, and ordered."""
    return column.type is not Type.JSON and not column.many
