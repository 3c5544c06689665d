"""Which files a load reads, and which rows of which collections a line of each becomes."""

from __future__ import annotations

from gateway.graph import Dataset, Derived, Line
from gateway.stores.base import Row
from resolvers.events import events
from resolvers.graph import follows, likes, wrote
from resolvers.posts import posts
from resolvers.users import users


def _liked(event: Line) -> list[Row]:
    """Return the edge of a LIKE of a post; other events, LIKE_COMMENT among them, have none."""
    if event["type"] != "LIKE" or event["post_id"] is None:
        return []
    return [(event["user_id"], event["post_id"], event["occurred_at"])]


def _wrote(post: Line) -> list[Row]:
    return [(post["author_id"], post["id"])]


datasets = (
    Dataset("users.ndjson", users, same_as={"updated_at": "created_at"}),
    Dataset("posts.ndjson", posts, same_as={"updated_at": "created_at"}, derived=(Derived(wrote, _wrote),)),
    Dataset("events.ndjson", events, derived=(Derived(likes, _liked),)),
    Dataset("follows.ndjson", follows),
)
