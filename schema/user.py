"""User: what clients see of people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

from gateway.graph import (
    BASIC,
    Connection,
    Date,
    DateTime,
    Interval,
    Node,
    Through,
    batched,
    column,
    filter_of,
    many,
    order_of,
    stats,
    version,
)
from resolvers import recommendations as recommending
from resolvers.events import events as events_collection
from resolvers.graph import follows
from resolvers.posts import posts as posts_collection
from resolvers.users import users as users_collection
from schema.event import MEASURES, EventFilter, EventGroup, EventOrder, EventStat
from schema.post import PostFilter, PostOrder

if TYPE_CHECKING:  # nouns point at each other
    from schema.event import Event
    from schema.post import Post
    from schema.recommendation import Recommendation


UserFilter = filter_of(users_collection, fields=("id", "name", "email", "active", "created_at", "updated_at"), operators=BASIC)
UserOrder = order_of(users_collection, fields=("id", "name", "email", "created_at", "updated_at"))


@strawberry.type(description="A person with an account.")
class User(Node):
    id: strawberry.ID = column(description="`User:key`.")
    name: str = column(description="The full name.")
    email: str = column(description="The e-mail address; no two users share one.")
    active: bool = column(description="Whether the account is in use.")
    gender: str | None = column(description="As the user states it.")
    birthday: Date | None = column(description="The date of birth.")
    languages: list[str] = column(description="Languages spoken, as language tags.")
    created_at: DateTime = column(description="When the user joined.")
    updated_at: DateTime = column(description="When the user was last changed.")
    version: int = version(description="How often it was written here; `expectedVersion` of an update is compared with it.")
    posts: Connection[Annotated[Post, strawberry.lazy("schema.post")]] | None = many(
        posts_collection, by="author_id", where=PostFilter, order=PostOrder, description="Posts the user wrote."
    )
    events: Connection[Annotated[Event, strawberry.lazy("schema.event")]] | None = many(
        events_collection, by="user_id", where=EventFilter, order=EventOrder, description="What the user did."
    )
    event_stats: list[EventStat] | None = stats(
        events_collection,
        by="user_id",
        time="occurred_at",
        bucket="day",
        measures=MEASURES,
        where=EventFilter,
        group=EventGroup,
        default=[EventGroup.TYPE],
        interval=Interval,
        description="What the user did, counted.",
    )
    following: Connection[User] | None = many(
        users_collection,
        through=Through(follows, parent="follower_id", node="followee_id"),
        where=UserFilter,
        order=UserOrder,
        description="Whom the user follows.",
    )
    followers: Connection[User] | None = many(
        users_collection,
        through=Through(follows, parent="followee_id", node="follower_id"),
        where=UserFilter,
        order=UserOrder,
        description="Who follows the user.",
    )
    recommendations: list[Annotated[Recommendation, strawberry.lazy("schema.recommendation")]] | None = batched(
        recommending.by_user,
        columns=recommending.COLUMNS,
        page=("first",),
        semantic_non_null=True,
        description="Posts the user may like, best first.",
    )
