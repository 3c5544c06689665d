"""Which files a load reads, and which rows of which collections a line of each becomes."""

from __future__ import annotations

from gateway.graph import Dataset, Derived
from resolvers.events import events
from resolvers.graph import authorship_of, follows, like_of, likes, member_of, members, wrote
from resolvers.posts import posts
from resolvers.users import users

datasets = (
    Dataset("users.ndjson", users, same_as={"updated_at": "created_at"}, derived=(Derived(members, member_of),)),
    Dataset("posts.ndjson", posts, same_as={"updated_at": "created_at"}, derived=(Derived(wrote, authorship_of),)),
    Dataset("events.ndjson", events, derived=(Derived(likes, like_of),)),
    Dataset("follows.ndjson", follows),
)
