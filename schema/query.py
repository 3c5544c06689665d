"""Query: where reading begins."""

from __future__ import annotations

import strawberry

from gateway.graph import Connection, Interval, Node, batched, lookup, many, node, nodes, stats
from resolvers import recommendations as recommending
from resolvers.events import events as events_collection
from resolvers.posts import posts as posts_collection
from resolvers.users import users as users_collection
from schema.event import MEASURES, Event, EventFilter, EventGroup, EventOrder, EventStat
from schema.post import Post, PostFilter, PostOrder
from schema.recommendation import Recommendation
from schema.user import User, UserFilter, UserOrder


@strawberry.type(description="Where reading begins.")
class Query:
    node: Node | None = node(description="The object with this id; null where there is none.")
    nodes: list[Node | None] = nodes(description="The objects with these ids, in their order; null where there is none.")
    user: User | None = lookup(
        users_collection,
        by={"id": "id", "email": "email"},
        description="One user, by exactly one of id and email; null where there is none.",
    )
    users: Connection[User] | None = many(users_collection, where=UserFilter, order=UserOrder, description="All users.")
    post: Post | None = lookup(posts_collection, by={"id": "id"}, description="One post; null where there is none.")
    posts: Connection[Post] | None = many(posts_collection, where=PostFilter, order=PostOrder, description="All posts.")
    event: Event | None = lookup(events_collection, by={"id": "id"}, description="One event; null where there is none.")
    events: Connection[Event] | None = many(events_collection, where=EventFilter, order=EventOrder, description="All events.")
    event_stats: list[EventStat] | None = stats(
        events_collection,
        time="occurred_at",
        bucket="day",
        measures=MEASURES,
        where=EventFilter,
        group=EventGroup,
        default=[EventGroup.TYPE],
        interval=Interval,
        description="Events, counted.",
    )
    recommendations: list[Recommendation] | None = batched(
        recommending.by_user,
        columns=recommending.COLUMNS,
        key_argument="user_id",
        refers="User",
        page=("first",),
        semantic_non_null=True,
        description="Posts a user may like, best first; none for an unknown user.",
    )
