"""Subscription: what can be watched while it happens."""

from __future__ import annotations

import strawberry

from gateway.graph import subscription
from gateway.writes.feed import Event as Write
from resolvers.events import events as events_collection
from resolvers.posts import posts as posts_collection
from schema.event import Event
from schema.post import Post


def recorded(write: Write) -> bool:
    return write.action == "insert"


def published(write: Write) -> bool:
    """Return whether a post is published by this write, and was not before; one of which nobody knows what it was is taken for a draft."""
    is_published = write.state is not None and bool(write.state["published"])
    return is_published and (write.before is None or not write.before["published"])


@strawberry.type(description="What can be watched while it happens.")
class Subscription:
    event_recorded: Event = subscription(
        events_collection, by={"user_id": "user_id"}, among={"types": "type"}, when=recorded, description="Events, as they are recorded."
    )
    post_published: Post = subscription(
        posts_collection, by={"author_id": "author_id"}, when=published, description="Posts, as they are published."
    )
