"""Mutation: where writing begins."""

from __future__ import annotations

import strawberry

from gateway.graph import batched, delete, insert, mutation, update, written
from resolvers import writes as writing
from resolvers.events import events as events_collection
from resolvers.graph import follows
from resolvers.inputs import CreatePostInput, UpdatePostInput, UpdateUserInput
from resolvers.posts import posts as posts_collection
from resolvers.users import users as users_collection
from schema.event import Event
from schema.post import Post
from schema.user import User


@strawberry.type(description="A user that was created.")
class CreateUserPayload:
    user: User = written(users_collection, "user", description="The user.")
    welcome_post: Post | None = batched(
        writing.welcome_posts,
        by="welcome_post_id",
        collection=posts_collection,
        description="The user's first post. Null where none was asked for, and while it is on its way: `extensions.replication` is "
        '`"pending"` then.',
    )


@strawberry.type(description="Where writing begins. Each field happens as a whole, or not at all; one after the other.")
class Mutation:
    create_user: CreateUserPayload | None = mutation(
        writing.create_user,
        writes=(users_collection, posts_collection),
        again=writing.created_user,
        description='Create a user and, unless `welcomePost` is false, a published post, "Welcome!".',
    )
    update_user: User | None = update(
        users_collection, input=UpdateUserInput, prepare=writing.change_user, description="Change what is given of a user."
    )
    delete_user: strawberry.ID | None = delete(users_collection, description="Delete a user, with its posts, events and edges.")
    create_post: Post | None = insert(
        posts_collection,
        input=CreatePostInput,
        prepare=writing.new_post,
        hold=writing.hold_author,
        description="Create a post of an author who is there.",
    )
    update_post: Post | None = update(
        posts_collection,
        input=UpdatePostInput,
        prepare=writing.change_post,
        description="Change what is given of a post; `published: true` publishes it.",
    )
    delete_post: strawberry.ID | None = delete(posts_collection, description="Delete a post.")
    record_event: Event | None = mutation(
        writing.record_event,
        events_collection,
        again=writing.recorded_event,
        description="Record an event. A repeated id with the same content is the stored event.",
    )
    record_events: list[Event] | None = mutation(
        writing.record_events,
        events_collection,
        again=writing.recorded_events,
        arguments={"input": "At most 1,000."},
        description="Record events: all of them, or none.",
    )
    follow: User | None = mutation(
        writing.follow,
        users_collection,
        writes=(follows,),
        before=writing.both_ends,
        again=writing.followed,
        description="Have one user follow another, who is returned. Following twice is no error.",
    )
    unfollow: User | None = mutation(
        writing.unfollow,
        users_collection,
        writes=(follows,),
        before=writing.both_ends,
        again=writing.followed,
        description="Have one user follow another no more, who is returned.",
    )
