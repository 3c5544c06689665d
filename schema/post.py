"""Post: what clients see of posts."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from gateway.fields import Connection, Node, column, many, one, stats
from gateway.scalars import DateTime
from resolvers.events import events as events_collection
from resolvers.users import users as users_collection
from schema.event import EventFilter, EventGroup, EventOrder, EventStat
from schema.inputs import DateTimeFilter, Direction, IDFilter, Interval, StringFilter

if TYPE_CHECKING:  # nouns point at each other
    from schema.event import Event
    from schema.user import User


@strawberry.input(description="Which posts. The given fields must all match; an explicit null matches null.")
class PostFilter:
    id: IDFilter | None = strawberry.field(default=strawberry.UNSET, description="The post's id.")
    author_id: IDFilter | None = strawberry.field(default=strawberry.UNSET, description="The id of the user who wrote it.")
    title: StringFilter | None = strawberry.field(default=strawberry.UNSET, description="The title.")
    content: StringFilter | None = strawberry.field(default=strawberry.UNSET, description="The text.")
    language: StringFilter | None = strawberry.field(default=strawberry.UNSET, description="The language tag.")
    forum: StringFilter | None = strawberry.field(default=strawberry.UNSET, description="The forum's title.")
    published: bool | None = strawberry.field(default=strawberry.UNSET, description="Whether it is published.")
    created_at: DateTimeFilter | None = strawberry.field(default=strawberry.UNSET, description="When it was written.")
    updated_at: DateTimeFilter | None = strawberry.field(default=strawberry.UNSET, description="When it was last changed.")
    and_: list[PostFilter] | None = strawberry.field(name="and", default=strawberry.UNSET, description="All of these; an empty list holds.")
    or_: list[PostFilter] | None = strawberry.field(
        name="or", default=strawberry.UNSET, description="One of these; an empty list does not hold."
    )
    not_: PostFilter | None = strawberry.field(name="not", default=strawberry.UNSET, description="The exact negation.")


@strawberry.enum(description="What posts can be ordered by.")
class PostOrderField(Enum):
    KEY = strawberry.enum_value("id", description="The key, as text.")
    TITLE = strawberry.enum_value("title", description="The title.")
    CREATED_AT = strawberry.enum_value("created_at", description="When it was written.")
    UPDATED_AT = strawberry.enum_value("updated_at", description="When it was last changed.")


@strawberry.input(description="An order of posts.")
class PostOrder:
    field: PostOrderField = strawberry.field(description="By what.")
    direction: Direction = strawberry.field(default=Direction.ASC, description="In which direction.")


@strawberry.type(description="Something a user wrote, or a photo.")
class Post(Node):
    id: strawberry.ID = column(description="`Post:key`.")
    title: str = column(description="The title; a photo's file name.")
    content: str = column(description="The text; empty for a photo.")
    image: str | None = column(description="The photo's file name.")
    language: str | None = column(description="The language of the text, as a language tag.")
    forum: str | None = column(description="The title of the forum it was posted in.")
    tags: list[str] = column(description="What it is about.")
    published: bool = column(description="Whether it is published.")
    created_at: DateTime = column(description="When it was written.")
    updated_at: DateTime = column(description="When it was last changed.")
    author: Annotated[User, strawberry.lazy("schema.user")] | None = one(
        users_collection, by="author_id", description="Who wrote it; null where there is no such user any more."
    )
    events: Connection[Annotated[Event, strawberry.lazy("schema.event")]] | None = many(
        events_collection, by="post_id", where=EventFilter, order=EventOrder, description="What was done with it."
    )
    event_stats: list[EventStat] | None = stats(
        events_collection,
        by="post_id",
        where=EventFilter,
        group=EventGroup,
        default=[EventGroup.TYPE],
        interval=Interval,
        description="What was done with it, counted.",
    )
