"""The arguments that nouns share: filters on a type of column, directions."""

from __future__ import annotations

from enum import Enum

import strawberry

from gateway.scalars import DateTime


@strawberry.input(description="Filter an id. Bare keys are accepted as well as `Type:key`. The given conditions must all hold.")
class IDFilter:
    eq: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="Equal; null matches null.")
    ne: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The exact negation of eq: nulls differ from every id."
    )
    in_: list[strawberry.ID] | None = strawberry.field(
        name="in", default=strawberry.UNSET, description="One of these; none of an empty list."
    )


@strawberry.input(description="Filter a text, case-sensitively and by code point. The given conditions must all hold.")
class StringFilter:
    eq: str | None = strawberry.field(default=strawberry.UNSET, description="Equal; null matches null.")
    ne: str | None = strawberry.field(default=strawberry.UNSET, description="The exact negation of eq: nulls differ from every text.")
    in_: list[str] | None = strawberry.field(name="in", default=strawberry.UNSET, description="One of these; none of an empty list.")
    contains: str | None = strawberry.field(default=strawberry.UNSET, description="Has this text somewhere; nothing in it is a wildcard.")
    starts_with: str | None = strawberry.field(default=strawberry.UNSET, description="Begins with this text; nothing in it is a wildcard.")


@strawberry.input(description="Filter a time. The given conditions must all hold.")
class DateTimeFilter:
    eq: DateTime | None = strawberry.field(default=strawberry.UNSET, description="Equal; null matches null.")
    gt: DateTime | None = strawberry.field(default=strawberry.UNSET, description="Later than.")
    gte: DateTime | None = strawberry.field(default=strawberry.UNSET, description="At or later than.")
    lt: DateTime | None = strawberry.field(default=strawberry.UNSET, description="Earlier than.")
    lte: DateTime | None = strawberry.field(default=strawberry.UNSET, description="At or earlier than.")


@strawberry.enum(description="The direction of an order. Text is ordered by code point; nulls are last in both directions.")
class Direction(Enum):
    ASC = strawberry.enum_value("asc", description="Smallest or earliest first.")
    DESC = strawberry.enum_value("desc", description="Largest or latest first.")


@strawberry.enum(description="The size of a time bucket, in UTC.")
class Interval(Enum):
    HOUR = strawberry.enum_value("hour", description="Full hours.")
    DAY = strawberry.enum_value("day", description="Days.")
    WEEK = strawberry.enum_value("week", description="Weeks; they start on Monday.")
    MONTH = strawberry.enum_value("month", description="Calendar months.")
