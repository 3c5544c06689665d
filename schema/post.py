"""Post: what clients see of posts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

from gateway.graph import BASIC, Connection, DateTime, Interval, Node, column, filter_of, many, one, order_of, stats, version
from resolvers.events import events as events_collection
from resolvers.posts import posts as posts_collection
from resolvers.users import users as users_collection
from schema.event import MEASURES, EventFilter, EventGroup, EventOrder, EventStat

if TYPE_CHECKING:  # nouns point at each other
    from schema.event import Event
    from schema.user import User


PostFilter = filter_of(
    posts_collection,
    fields=("id", "author_id", "title", "content", "language", "forum", "published", "created_at", "updated_at"),
    operators=BASIC,
)
PostOrder = order_of(posts_collection, fields=("id", "title", "created_at", "updated_at"))


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
    version: int = version(description="How often it was written here; `expectedVersion` of an update is compared with it.")
    author: Annotated[User, strawberry.lazy("schema.user")] | None = one(
        users_collection, by="author_id", description="Who wrote it; null where there is no such user any more."
    )
    events: Connection[Annotated[Event, strawberry.lazy("schema.event")]] | None = many(
        events_collection, by="post_id", where=EventFilter, order=EventOrder, description="What was done with it."
    )
    event_stats: list[EventStat] | None = stats(
        events_collection,
        by="post_id",
        time="occurred_at",
        bucket="day",
        measures=MEASURES,
        where=EventFilter,
        group=EventGroup,
        default=[EventGroup.TYPE],
        interval=Interval,
        description="What was done with it, counted.",
    )
