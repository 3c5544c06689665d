"""What clients give to be written: the inputs of mutations, made from the nouns they write."""

from __future__ import annotations

from typing import Any

import strawberry

from gateway.graph import input_of
from resolvers.events import events
from resolvers.graph import follows
from resolvers.posts import posts
from resolvers.users import users

_NEW = "Its key, or an id of it; a new one is made without."
_AT = "When it was; now without."

_new_user: Any = input_of(
    users,
    name="NewUser",
    fields=("id", "name", "email", "active", "gender", "birthday", "languages", "created_at"),
    optional=("id", "created_at"),
    descriptions={"id": _NEW, "created_at": "When the user joined; now without."},
)


@strawberry.input(description="A user to create.")
class CreateUserInput(_new_user):  # type: ignore[misc]
    welcome_post: bool = strawberry.field(default=True, description='Whether the user gets a published post, "Welcome!".')


UpdateUserInput: Any = input_of(
    users,
    name="UpdateUserInput",
    fields=("name", "email", "active", "gender", "birthday", "languages"),
    optional=True,
    versioned=True,
    description="What of a user to change; what is not given stays.",
)

CreatePostInput: Any = input_of(
    posts,
    name="CreatePostInput",
    fields=("id", "author_id", "title", "content", "image", "language", "forum", "tags", "published", "created_at"),
    optional=("id", "created_at"),
    descriptions={
        "id": _NEW,
        "author_id": "Who writes it; NOT_FOUND where there is no such user.",
        "created_at": "When it was written; now without.",
    },
    description="A post to create.",
)

UpdatePostInput: Any = input_of(
    posts,
    name="UpdatePostInput",
    fields=("title", "content", "image", "language", "forum", "tags", "published"),
    optional=True,
    versioned=True,
    description="What of a post to change; what is not given stays.",
)

RecordEventInput: Any = input_of(
    events,
    name="RecordEventInput",
    fields=("id", "type", "user_id", "post_id", "occurred_at", "payload"),
    optional=("id", "occurred_at"),
    descriptions={
        "id": f"{_NEW} Once it is recorded, the same id with the same content is the stored event; with another, CONFLICT.",
        "type": "What was done: LIKE, COMMENT, FOLLOW, JOIN or any other, in upper case.",
        "user_id": "Who did it; there need be no such user.",
        "post_id": "The post it was done with, if any; there need be no such post.",
        "occurred_at": _AT,
    },
    description="An event to record.",
)

FollowInput: Any = input_of(
    follows, name="FollowInput", optional=("since",), descriptions={"since": "Since when; now without."}, description="Who follows whom."
)
