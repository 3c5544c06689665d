"""Recommendation: what clients see of posts that a user may like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

from gateway.graph import column, each, one
from resolvers.posts import posts as posts_collection
from resolvers.users import users as users_collection

if TYPE_CHECKING:  # nouns point at each other
    from schema.post import Post
    from schema.user import User


@strawberry.type(description="A post that the user may like, and why.")
class Recommendation:
    post: Annotated[Post, strawberry.lazy("schema.post")] | None = one(
        posts_collection, by="post_id", drop=True, description="The post. Recommendations of posts that are gone are left out."
    )
    score: float = column(description="How strongly: the number of users that speak for it.")
    because: list[Annotated[User, strawberry.lazy("schema.user")]] | None = each(
        users_collection, by="because", assumed_size=3, description="At most three of the users that speak for it, by key."
    )
