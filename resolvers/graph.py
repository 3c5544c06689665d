"""The social graph: who follows whom, who likes what, who wrote what. One store of edges, derived from the other nouns."""

from __future__ import annotations

from gateway.stores.base import Collection, Column, Index, Relationship, Type

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
