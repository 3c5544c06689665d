"""The social graph: who follows whom, who likes what, who wrote what, and who there is. One store, derived from the other nouns.

Who follows whom is at home here; the rest follows from users, posts and events: when they are loaded (``datasets.py``) and when they are
written (``replication.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.stores.base import Collection, Column, Compare, Index, Relationship, Row, Type, Value

follows = Collection(
    name="follows",
    store="recommendations",
    managed=True,
    columns=(
        Column("follower_id", refers="User", description="The id of the user who follows."),
        Column("followee_id", refers="User", description="The id of the user who is followed."),
        Column("since", Type.TIME, description="Since when."),
    ),
    key=("follower_id", "followee_id"),
    indexes=(Index(("followee_id", "follower_id")),),
    relationship=Relationship("FOLLOWS", start="User", start_column="follower_id", end="User", end_column="followee_id"),
)

likes = Collection(
    name="likes",
    store="recommendations",
    managed=True,
    columns=(Column("user_id", refers="User"), Column("post_id", refers="Post"), Column("since", Type.TIME)),
    key=("user_id", "post_id"),
    indexes=(Index(("post_id", "user_id")),),
    relationship=Relationship("LIKES", start="User", start_column="user_id", end="Post", end_column="post_id"),
)

wrote = Collection(
    name="wrote",
    store="recommendations",
    managed=True,
    columns=(Column("author_id", refers="User"), Column("post_id", refers="Post")),
    key=("post_id", "author_id"),
    indexes=(Index(("author_id", "post_id")),),
    relationship=Relationship("WROTE", start="User", start_column="author_id", end="Post", end_column="post_id"),
)

# In Neo4j a node that a relationship starts from or leads to is there with it, also of a user whom nobody knows: those alone that are
# known are members. With its node go its relationships. Posts have no nodes of their own but those of their relationships: likes of a
# post that is gone still count for who likes the same, as its events do.
members = Collection(
    name="members",
    store="recommendations",
    managed=True,
    label="User",
    columns=(Column("id"), Column("known", Type.BOOL)),
    where=Compare("known", "eq", True),
)


def member_of(user: Mapping[str, Value]) -> list[Row]:
    return [(user["id"], True)]


def authorship_of(post: Mapping[str, Value]) -> list[Row]:
    return [(post["author_id"], post["id"])]


def like_of(event: Mapping[str, Value]) -> list[Row]:
    """Return the edge of a LIKE of a post; other events, LIKE_COMMENT among them, have none."""
    if event["type"] != "LIKE" or event["post_id"] is None:
        return []
    return [(event["user_id"], event["post_id"], event["occurred_at"])]
