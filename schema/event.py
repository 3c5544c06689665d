"""Event: what clients see of what users do, one by one and counted."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from gateway.graph import BASIC, DateTime, Json, Node, column, count, filter_of, maximum, minimum, one, order_of
from resolvers.events import events as events_collection
from resolvers.posts import posts as posts_collection
from resolvers.users import users as users_collection

if TYPE_CHECKING:  # nouns point at each other
    from schema.post import Post
    from schema.user import User


EventFilter = filter_of(events_collection, fields=("id", "type", "user_id", "post_id", "occurred_at"), operators=BASIC)
EventOrder = order_of(events_collection, fields=("id", "type", "occurred_at"))


@strawberry.enum(description="What events are counted by.")
class EventGroup(Enum):
    TYPE = strawberry.enum_value("type", description="What was done.")
    TIME = strawberry.enum_value("time", description="When, in buckets of an interval.")
    USER = strawberry.enum_value("user_id", description="Who did it.")
    POST = strawberry.enum_value("post_id", description="The post it was done with.")


# What the rows of EventStat have beside their groups.
MEASURES = {"count": count(), "first_at": minimum("occurred_at"), "last_at": maximum("occurred_at")}


@strawberry.type(description="Something a user did.")
class Event(Node):
    id: strawberry.ID = column(description="`Event:key`.")
    type: str = column(description="LIKE, COMMENT, FOLLOW, JOIN and others: an open set, upper case.")
    occurred_at: DateTime = column(description="When it was done.")
    payload: Json = column(description="What else is known of it; its shape depends on the type.")
    user: Annotated[User, strawberry.lazy("schema.user")] | None = one(
        users_collection, by="user_id", description="Who did it; null where there is no such user any more."
    )
    post: Annotated[Post, strawberry.lazy("schema.post")] | None = one(
        posts_collection, by="post_id", description="The post it was done with, if any."
    )


@strawberry.type(description="One row of an aggregate: how many events, by the asked groups; groups that were not asked are null.")
class EventStat:
    type: str | None = column(description="What was done.")
    day: DateTime | None = column(description="The start of the time bucket.")
    user_id: strawberry.ID | None = column(description="Who did it.")
    post_id: strawberry.ID | None = column(description="The post it was done with.")
    count: int = column(description="How many events.")
    first_at: DateTime = column(description="When the first of them was.")
    last_at: DateTime = column(description="When the last of them was.")
