"""What a client may say of rows: filter_of(), order_of() and input_of() make the inputs of a collection from its declaration.

The operators that a type of column has are inputs too, and a graph chooses among them::

    UserFilter = filter_of(users)                                          # every column, every operator of its type
    UserFilter = filter_of(users, fields=("id", "name"))                   # these columns
    UserFilter = filter_of(users, operators=BASIC)                         # fewer operators
    UserFilter = filter_of(users, operators={**FULL, Type.TEXT: Prefix})   # operators of your own
    UserOrder = order_of(users, fields=("id", "name"))
    CreateUserInput = input_of(users, name="CreateUserInput", optional=("id",))

They are made at run time: mypy takes them for values, and wants ``# type: ignore[valid-type]`` where one stands in an annotation.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import MISSING
from decimal import Decimal
from enum import Enum
from typing import Any, Optional
from uuid import UUID

import strawberry
from strawberry.utils.str_converters import to_camel_case

from gateway.graph.operators import FULL, comparison, inputs_of, operator, takes_values
from gateway.graph.scalars import Base64, BigInt, Date, DateTime, Json, LocalTime, ObjectID
from gateway.stores.base import Collection, Column, Type

COLUMN = "gateway.column"  # the key in a field's metadata: the column, where it is not the attribute's name
DECLARED = "gateway.declared"  # of an input that is written: the column itself, which says what its values are
REFERS = "gateway.refers"  # of an ID: the type that it has to be of
ABSENT = "gateway.absent"  # whether a null is as if the field was not there, for a column that has no nulls
COMBINING = ("and", "or", "not")  # fields of every filter

_NAME = re.compile(r"(?!__)[_A-Za-z][_0-9A-Za-z]*")

# -------------------------------------------------------------------------------------------------------------- filters


def filter_of(
    collection: Collection,
    *,
    name: str | None = None,
    description: str | None = None,
    fields: Iterable[str] | None = None,
    operators: Mapping[Type, Any] = FULL,
) -> Any:
    """Return the input that says which rows of ``collection``: a field for each column (of ``fields``), and ``and``, ``or``, ``not``.

    ``name`` is by default that of the type whose key the collection has, with "Filter" behind it. ``operators`` says which input, or
    which scalar, each type of column has. ValueError for a column or an operator that cannot be.
    """
    name = name or f"{_type_name(collection)}Filter"
    annotations: dict[str, Any] = {}
    members: dict[str, Any] = {}
    for column in _columns(collection, "filter_of", fields, collection.names):
        kind = inputs_of(column, operators)
        _check_operators(collection, column, kind)
        attribute = f"{column.name}_" if keyword.iskeyword(column.name) else column.name
        annotations[attribute] = Optional[kind]
        members[attribute] = strawberry.field(
            name=None if attribute == column.name else column.name,
            default=strawberry.UNSET,
            description=column.description or None,
            metadata={COLUMN: column.name},
        )
    members["and_"] = operator("All of these; an empty list holds.", "and")
    members["or_"] = operator("One of these; an empty list does not hold.", "or")
    members["not_"] = operator("The exact negation.", "not")
    made = type(name, (), members)
    annotations |= {"and_": Optional[list[made]], "or_": Optional[list[made]], "not_": Optional[made]}  # type: ignore[valid-type]
    made.__annotations__ = annotations
    text = f"Which {collection.name}. The given fields must all match; an explicit null matches null."
    return strawberry.input(made, description=description or text)


def _check_operators(collection: Collection, column: Column, kind: Any) -> None:
    where = f"collection {collection.name}, filter_of"
    definition = getattr(kind, "__strawberry_definition__", None)
    if kind is None:
        raise ValueError(f"{where}: column {column.name} ({column.type}): expected an input with its operators, got none for its type")
    if definition is None or not definition.is_input:
        if not takes_values(column):
            raise ValueError(f"{where}: column {column.name} ({column.type}): expected an input with isNull, got {kind}")
        return
    for field in definition.fields:
        try:
            comparison(column, field.python_name)
        except ValueError as exc:
            raise ValueError(f"{where}, {definition.name}: {exc}") from None


# --------------------------------------------------------------------------------------------------------------- orders


@strawberry.enum(description="The direction of an order. Text is ordered by code point; nulls are last in both directions.")
class Direction(Enum):
    ASC = strawberry.enum_value("asc", description="Smallest or earliest first.")
    DESC = strawberry.enum_value("desc", description="Largest or latest first.")


def order_of(
    collection: Collection, *, name: str | None = None, description: str | None = None, fields: Iterable[str] | None = None
) -> Any:
    """Return the input that says in which order rows of ``collection`` come, with an enum of the columns (of ``fields``) it can have.

    The enum has the name of the input with "Field" behind it; its values are the columns in upper case, and KEY for a key of one column.
    ValueError for a column that has no order.
    """
    name = name or f"{_type_name(collection)}Order"
    ordered = [column.name for column in collection.columns if takes_values(column)]
    members: dict[str, Any] = {}
    for column in _columns(collection, "order_of", fields, ordered):
        is_key = collection.key == (column.name,)
        member = "KEY" if is_key else column.name.upper()
        if member in members:
            where = f"collection {collection.name}, order_of: column {column.name}"
            raise ValueError(f"{where}: expected a name of its own in upper case, got {member} again")
        key_text = "The key, as text." if column.type is Type.TEXT else "The key."
        members[member] = strawberry.enum_value(column.name, description=key_text if is_key else column.description or None)
    columns: Any = Enum(f"{name}Field", members)  # type: ignore[misc]
    by = strawberry.enum(columns, description=f"What {collection.name} can be ordered by.")
    made = type(
        name,
        (),
        {
            "field": strawberry.field(description="By what."),
            "direction": strawberry.field(default=Direction.ASC, description="In which direction."),
        },
    )
    made.__annotations__ = {"field": by, "direction": Direction}
    return strawberry.input(made, description=description or f"An order of {collection.name}.")


@strawberry.enum(description="The size of a time bucket, in UTC.")
class Interval(Enum):
    HOUR = strawberry.enum_value("hour", description="Full hours.")
    DAY = strawberry.enum_value("day", description="Days.")
    WEEK = strawberry.enum_value("week", description="Weeks; they start on Monday.")
    MONTH = strawberry.enum_value("month", description="Calendar months.")


# --------------------------------------------------------------------------------------------------------------- writes


SCALAR_OF: Mapping[Type, Any] = {
    Type.TEXT: str,
    Type.TEXTS: str,
    Type.BOOL: bool,
    Type.INT: BigInt,
    Type.FLOAT: float,
    Type.DECIMAL: Decimal,
    Type.UUID: UUID,
    Type.OBJECT_ID: ObjectID,
    Type.BYTES: Base64,
    Type.ENUM: str,
    Type.TIME: DateTime,
    Type.DATE: Date,
    Type.CLOCK: LocalTime,
    Type.JSON: Json,
}

EXPECTED_VERSION = "expected_version"  # the field of an input that is no column


def input_of(
    collection: Collection,
    *,
    name: str,
    fields: Iterable[str] | None = None,
    optional: Iterable[str] | bool = (),
    versioned: bool = False,
    descriptions: Mapping[str, str] | None = None,
    description: str | None = None,
) -> Any:
    """Return the input of what is written to ``collection``: a field for each column (of ``fields``), described as the column is.

    A column that may be null may be left out, and one with a default has that default. ``optional`` names others that may be left out:
    ``True`` is all of them, without defaults, as an update has them. What is left out is ``UNSET`` in the input's object, and is not
    written. ``versioned`` adds ``expectedVersion``. ``descriptions`` are in place of those of columns. ValueError for what cannot be.
    """
    free = frozenset(collection.names if optional is True else optional or ())
    if unknown := sorted(free - set(collection.names)):
        where = f"collection {collection.name}, input_of"
        raise ValueError(f"{where}: expected optional columns of {', '.join(collection.names)}, got {', '.join(unknown)}")
    annotations: dict[str, Any] = {}
    members: dict[str, Any] = {}
    for column in _columns(collection, "input_of", fields, collection.names):
        attribute = f"{column.name}_" if keyword.iskeyword(column.name) else column.name
        kind = _kind_of(collection, column)
        options: dict[str, Any] = {
            "name": None if attribute == column.name else column.name,
            "description": (descriptions or {}).get(column.name, column.description) or None,
            "metadata": {COLUMN: column.name, DECLARED: column, REFERS: _refers(collection, column)},
        }
        if optional is not True and column.name in free and not column.nullable:  # somebody makes its value
            options["metadata"][ABSENT] = True
        if column.nullable or column.name in free:
            kind, options["default"] = Optional[kind], strawberry.UNSET
        elif column.default is not None:
            options |= _default(column)
        annotations[attribute] = kind
        members[attribute] = strawberry.field(**options)
    if versioned:
        annotations[EXPECTED_VERSION] = Optional[int]
        members[EXPECTED_VERSION] = strawberry.field(
            default=strawberry.UNSET, description="The version that it has to have, or nothing is changed: CONFLICT."
        )
    made = type(name, (), members)
    made.__annotations__ = annotations
    return strawberry.input(made, description=description or f"What is written of {collection.name}.")


def id_of(type_name: str, *, default: Any = MISSING, description: str | None = None) -> Any:
    """Return a field of an input of your own whose type is ID: the id of a ``type_name``, which functions have as its key."""
    return strawberry.field(description=description, default=default, metadata={REFERS: type_name})


def _kind_of(collection: Collection, column: Column) -> Any:
    if _refers(collection, column) is not None and column.type is not Type.JSON:
        kind: Any = strawberry.ID
    else:
        kind = int if column.type is Type.INT and column.bits == 32 else SCALAR_OF[column.type]
    return list[kind] if column.many else kind


def _refers(collection: Collection, column: Column) -> str | None:
    return column.refers or (collection.type_name if collection.key == (column.name,) else None)


def _default(column: Column) -> dict[str, Any]:
    default = list(column.default) if column.many else column.default
    return {"default_factory": lambda: copy(default)} if isinstance(default, (list, dict)) else {"default": default}


# -------------------------------------------------------------------------------------------------------------- helpers


def _type_name(collection: Collection) -> str:
    return collection.type_name or "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9A-Za-z]+", collection.name))


def _columns(collection: Collection, function: str, fields: Iterable[str] | None, possible: Sequence[str]) -> list[Column]:
    """Return the columns that are asked for, all that are possible without; ValueError says what one of them cannot be."""
    where = f"collection {collection.name}, {function}"
    found: dict[str, Column] = {}
    graphql: dict[str, str] = {}
    for name in possible if fields is None else fields:
        if name not in collection.names:
            raise ValueError(f"{where}: expected columns of {', '.join(collection.names)}, got {name}")
        column = collection[name]
        if name not in possible:
            raise ValueError(f"{where}: expected columns that have an order, of {', '.join(possible)}, got {name} ({column.type})")
        if not _NAME.fullmatch(name) or name in COMBINING:
            expected = f"a GraphQL name that is none of {', '.join(COMBINING)}"
            raise ValueError(f"{where}: column {name}: expected {expected}; leave the column out of fields")
        twin = graphql.setdefault(to_camel_case(name), name)
        if name in found or twin != name:
            raise ValueError(f"{where}: expected columns with different names in GraphQL, got {twin} and {name}")
        found[name] = column
    if not found:
        raise ValueError(f"{where}: expected at least one column, got none")
    return list(found.values())
