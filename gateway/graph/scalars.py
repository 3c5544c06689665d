"""The scalars: what a client may write, and the wire values that every store speaks.

``Decimal`` and ``UUID`` are Python's own classes in annotations: ``price: Decimal = column()``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NewType
from uuid import UUID

import strawberry
from graphql import (
    BooleanValueNode,
    FloatValueNode,
    GraphQLDefaultInput,
    GraphQLError,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    NameNode,
    NullValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    StringValueNode,
    is_input_object_type,
    is_object_type,
    is_scalar_type,
    is_specified_scalar_type,
)
from strawberry.types.scalar import ScalarDefinition

from gateway.errors import GatewayError
from gateway.stores.declarations import Column, Type
from gateway.stores.types import INFINITY, INT_MAX, INT_MIN, MINUS_INFINITY, NO_VALUE, decimal_text, shown_year, value_of

DateTime = NewType("DateTime", str)
Date = NewType("Date", str)
Json = NewType("Json", object)
BigInt = NewType("BigInt", int)
LocalTime = NewType("LocalTime", str)
ObjectID = NewType("ObjectID", str)
Base64 = NewType("Base64", str)

_DATE_TIME = re.compile(r"([+-]\d{4,6}|\d{4})(-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_CLOCK = re.compile(r"(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)


def parse_time(value: object) -> str:
    """Return a wire TIME (``2010-03-08T23:51:42.175Z``) for an RFC 3339 date-time; ValueError says what was expected.

    Offsets are turned into UTC. It has three digits of a second, and six or nine where they say something.
    """
    if value in (INFINITY, MINUS_INFINITY):
        return str(value)
    match = _DATE_TIME.fullmatch(value) if isinstance(value, str) and len(value) <= 40 else None
    if match is None:
        raise ValueError(f"DateTime: expected RFC 3339 with a time zone such as 2010-03-08T23:51:42.175Z, got {_shown(value)}")
    year, day, clock, fraction, zone = match.groups(default="")
    try:
        # The calendar is the same every 400 years, and no offset goes over more than one of them.
        cycles, of_cycle = divmod(int(year), 400)
        moment = datetime.fromisoformat(f"{of_cycle + 2000}{day}T{clock}").replace(tzinfo=UTC)
        if zone not in "Zz":
            hours, minutes = int(zone[1:3]), int(zone[4:])
            if hours > 23 or minutes > 59:
                raise ValueError("offset")
            offset = timedelta(hours=hours, minutes=minutes)
            moment = moment + offset if zone[0] == "-" else moment - offset
        number = moment.year - 2000 + 400 * cycles
        if len(year) == 4 and not 1 <= number <= 9999:
            raise ValueError("year")
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"DateTime: expected a moment of the years 0001 to 9999, got {_shown(value)}") from exc
    return f"{shown_year(number)}-{moment:%m-%dT%H:%M:%S}.{_digits(fraction)}Z"


def _digits(fraction: str) -> str:
    said = fraction.rstrip("0")
    return f"{said:0<{3 if len(said) <= 3 else 6 if len(said) <= 6 else 9}}"


def parse_date(value: object) -> str:
    """Return a wire DATE; ValueError says what was expected."""
    found = value_of(_OF_DATE, value)
    if found is NO_VALUE:
        raise ValueError(f"Date: expected YYYY-MM-DD, got {_shown(value)}")
    return str(found)


def parse_local_time(value: object) -> str:
    """Return a time of a day with three digits of a second, or six or nine where they say something; ValueError says what was expected."""
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    found = value_of(_OF_CLOCK, value)
    if match is None or found is NO_VALUE:
        raise ValueError(f"LocalTime: expected HH:MM:SS with up to nine digits of a second, got {_shown(value)}")
    return f"{match[1]}.{_digits(match[2] or '')}"


def parse_big_int(value: object) -> int:
    """Return a whole number of 64 bits, given as such or as text; ValueError says what was expected."""
    number = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
    if type(number) is float and number.is_integer():
        number = int(number)
    if type(number) is not int or not INT_MIN <= number <= INT_MAX:
        raise ValueError(f"BigInt: expected a whole number of 64 bits, as a number or as text, got {_shown(value)}")
    return number


def big_int_text(value: object) -> str:
    """Return a BigInt as clients get it: text, since many of them have no whole numbers beyond 2**53."""
    return str(parse_big_int(value))


def parse_decimal(value: object) -> str:
    """Return a DECIMAL for a number, or its text; ValueError says what was expected."""
    text = value if isinstance(value, str) else repr(value) if type(value) in (int, float) else None
    found = NO_VALUE if text is None else value_of(_OF_DECIMAL, text)
    if found is NO_VALUE:
        raise ValueError(f'Decimal: expected a decimal number as text, such as "13.86", got {_shown(value)}')
    return str(found)


def _decimal_text(value: object) -> str:
    return decimal_text(value) if isinstance(value, Decimal) else parse_decimal(value)


def _parser(name: str, column: Column, expected: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        found = value_of(column, str(value) if isinstance(value, UUID) else value)
        if found is NO_VALUE:
            raise ValueError(f"{name}: expected {expected}, got {_shown(value)}")
        return str(found)

    return parse


_OF_DATE = Column("date", Type.DATE)
_OF_CLOCK = Column("time", Type.CLOCK, precision=9)
_OF_DECIMAL = Column("number", Type.DECIMAL)
parse_uuid = _parser("UUID", Column("uuid", Type.UUID), "a uuid such as 123e4567-e89b-12d3-a456-426614174000")
parse_object_id = _parser("ObjectID", Column("id", Type.OBJECT_ID), "24 hexadecimal digits")
parse_base64 = _parser("Base64", Column("bytes", Type.BYTES), "bytes in base64 with padding (RFC 4648)")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _same(value: Any) -> Any:
    """Rows hold wire values already."""
    return value


SCALARS: dict[object, ScalarDefinition] = {
    DateTime: strawberry.scalar(
        name="DateTime",
        description="RFC 3339 in UTC with millisecond precision, always three decimals: 2010-03-08T23:51:42.175Z",
        serialize=_same,
        parse_value=parse_time,
    ),
    Date: strawberry.scalar(name="Date", description="YYYY-MM-DD, for example 1985-09-20", serialize=_same, parse_value=parse_date),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number of 64 bits, as text; taken as text or as a number.",
        specified_by_url="https://the-guild.dev/graphql/scalars/docs/scalars/big-int",
        serialize=big_int_text,
        parse_value=parse_big_int,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number, as text: "13.86".',
        specified_by_url="https://en.wikipedia.org/wiki/Decimal",
        serialize=_decimal_text,
        parse_value=parse_decimal,
    ),
    UUID: strawberry.scalar(
        name="UUID",
        description="A uuid in lower case.",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc9562",
        serialize=str,
        parse_value=parse_uuid,
    ),
    ObjectID: strawberry.scalar(
        name="ObjectID",
        description="An ObjectId: 24 hexadecimal digits.",
        specified_by_url="https://the-guild.dev/graphql/scalars/docs/scalars/object-id",
        serialize=_same,
        parse_value=parse_object_id,
    ),
    Base64: strawberry.scalar(
        name="Base64",
        description="Bytes in base64, with padding.",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc4648#section-4",
        serialize=_same,
        parse_value=parse_base64,
    ),
    LocalTime: strawberry.scalar(
        name="LocalTime",
        description="A time of a day without a zone: 23:51:42.175",
        specified_by_url="https://the-guild.dev/graphql/scalars/docs/scalars/local-time",
        serialize=_same,
        parse_value=parse_local_time,
    ),
    Json: strawberry.scalar(name="JSON", description="Any JSON value.", serialize=_same, parse_value=_same),
}


class _Serialize:
    """A scalar's ``serialize`` whose errors are ours alone, however they are written: a value may stand in their text."""

    __slots__ = ("_name", "_serialize")

    def __init__(self, name: str, serialize: Callable[[Any], Any]) -> None:
        self._name = name
        self._serialize = serialize

    def __call__(self, value: Any) -> Any:
        try:
            return self._serialize(value)
        except (GraphQLError, GatewayError) as exc:  # the errors whose text clients are shown, were they a resolver's
            raise ValueError(f"scalar {self._name} cannot show a value: {exc}") from exc


def write_defaults(schema: GraphQLSchema) -> None:
    """Have defaults that are objects be told by introspection, which knows no literal of a value of a scalar that is not GraphQL's own.

    Doing it twice is doing it once.
    """
    for type_ in schema.type_map.values():
        fields = type_.fields.values() if is_input_object_type(type_) or is_object_type(type_) else ()
        for field in fields:
            for its in (field, *getattr(field, "args", {}).values()):
                value = getattr(its, "default_value", None)
                if isinstance(value, dict):
                    its.default = GraphQLDefaultInput(literal=_literal(value))  # beside the value, by which Strawberry prints


def _literal(value: Any) -> Any:
    match value:
        case None:
            return NullValueNode()
        case bool():
            return BooleanValueNode(value=value)
        case int():
            return IntValueNode(value=str(value))
        case float():
            return FloatValueNode(value=repr(value))
        case str():
            return StringValueNode(value=value)
        case dict():
            fields = [ObjectFieldNode(name=NameNode(value=name), value=_literal(item)) for name, item in value.items()]
            return ObjectValueNode(fields=tuple(fields))
        case _:
            return ListValueNode(values=tuple(map(_literal, value)))


def mask_scalars(schema: GraphQLSchema) -> None:
    """Have clients see no text that a scalar of the graph raises for a value of the answer. Those of GraphQL itself stay as they are.

    What ``parse_value`` says of a client's own value is shown. Doing it twice is doing it once.
    """
    for type_ in schema.type_map.values():
        if is_scalar_type(type_) and not is_specified_scalar_type(type_) and type_.serialize is not _same:
            serialize: Any = type_.serialize
            if not isinstance(serialize, _Serialize):
                type_.serialize = type_.coerce_output_value = _Serialize(type_.name, serialize)  # type: ignore[method-assign]
