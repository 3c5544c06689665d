"""The scalars DateTime, Date and JSON: what a client may write, and the wire values that every store speaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, GraphQLSchema, is_scalar_type, is_specified_scalar_type
from strawberry.types.scalar import ScalarDefinition

from gateway.errors import GatewayError

DateTime = NewType("DateTime", str)
Date = NewType("Date", str)
Json = NewType("Json", object)

_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def parse_time(value: object) -> str:
    """Return a wire TIME (``2010-03-08T23:51:42.175Z``) for an RFC 3339 date-time; ValueError says what was expected.

    Offsets are turned into UTC. Digits beyond milliseconds must be zero: nothing is rounded silently.
    """
    match = _DATE_TIME.fullmatch(value) if isinstance(value, str) and len(value) <= 40 else None
    if match is None:
        raise ValueError(f"DateTime: expected RFC 3339 with a time zone such as 2010-03-08T23:51:42.175Z, got {_shown(value)}")
    day, clock, fraction, zone = match.groups(default="")
    if fraction[3:].strip("0"):
        raise ValueError(f"DateTime: expected at most three decimals, got {_shown(value)}")
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
        if zone not in "Zz":
            hours, minutes = int(zone[1:3]), int(zone[4:])
            if hours > 23 or minutes > 59:
                raise ValueError("offset")
            offset = timedelta(hours=hours, minutes=minutes)
            moment = moment + offset if zone[0] == "-" else moment - offset
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"DateTime: expected a moment of the years 0001 to 9999, got {_shown(value)}") from exc
    return f"{moment.year:04}-{moment.month:02}-{moment.day:02}T{moment:%H:%M:%S}.{fraction[:3]:0<3}Z"


def parse_date(value: object) -> str:
    """Return a wire DATE; ValueError says what was expected."""
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise ValueError(f"Date: expected YYYY-MM-DD, got {_shown(value)}")


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


def mask_scalars(schema: GraphQLSchema) -> None:
    """Have clients see no text that a scalar of the graph raises for a value of the answer. Those of GraphQL itself stay as they are.

    What ``parse_value`` says of a client's own value is shown. Doing it twice is doing it once.
    """
    for type_ in schema.type_map.values():
        if is_scalar_type(type_) and not is_specified_scalar_type(type_) and type_.serialize is not _same:
            serialize: Any = type_.serialize
            if not isinstance(serialize, _Serialize):
                type_.serialize = type_.coerce_output_value = _Serialize(type_.name, serialize)  # type: ignore[method-assign]
