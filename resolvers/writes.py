"""What mutations do: the work of one transaction each, and what has to be known before it begins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import strawberry

from gateway.context import RequestContext
from gateway.errors import BadUserInput, Conflict, Contended, StoreTimeout, StoreUnavailable
from gateway.graph import missing, values_of
from gateway.stores.base import Get, Key, Lock, Row, Value
from gateway.stores.types import join_key
from gateway.writes.declarations import State
from gateway.writes.ids import new_id
from gateway.writes.rows import Outcome
from gateway.writes.transaction import Transaction
from gateway.writes.wake import listening
from resolvers import values as rules
from resolvers.events import events
from resolvers.graph import follows
from resolvers.inputs import CreateUserInput, FollowInput, RecordEventInput
from resolvers.posts import posts
from resolvers.users import users

WELCOME = "welcome"  # the follow-up that writes a user's first post
WELCOME_WAIT_S = 1.0
POLL_S = 0.02
EVENTS_MAX = 1_000

# ---------------------------------------------------------------------------------------------------------------- users


async def create_user(ctx: RequestContext, tx: Transaction, input: CreateUserInput) -> dict[str, Any]:
    """Insert a user, and its first post: at once where both are in one database, else as a follow-up of the write."""
    values = values_of(input)
    rules.check(values)
    await _require_own_email(tx.ask, values)
    values.setdefault("id", new_id())
    values["updated_at"] = values.setdefault("created_at", rules.now())
    user = await tx.insert(users, values)
    first = welcome_id(user["id"], await tx.version(users, user["id"])) if input.welcome_post else None
    if first is not None:
        if _has_users(ctx, posts.store):
            await write_welcome(tx, user, first)
        else:
            tx.deliver(WELCOME, users, user["id"], first)
    return {"user": user, "welcome_post_id": first}


async def created_user(ctx: RequestContext, outcomes: Sequence[Outcome], input: CreateUserInput) -> dict[str, Any]:
    """Return what ``create_user`` did, for a request that is sent again."""
    wrote = next(outcome for outcome in outcomes if outcome.noun == users.name)
    user = await _user(ctx, wrote.key)
    if user is None:
        raise missing(users, wrote.key)
    return {"user": user, "welcome_post_id": welcome_id(wrote.key, wrote.version or 1) if input.welcome_post else None}


def welcome_id(user: Key, version: int = 1) -> Key:
    """Return the key of a user's first post, so that it is one however often it is delivered. ``version`` is that of its creation.

    Who is there again after a deletion has another than before: that one is on its way out, or gone for good.
    """
    return f"welcome-{user}" if version == 1 else f"welcome{version}-{user}"


async def write_welcome(tx: Transaction, user: State, key: Key) -> None:
    """Insert a user's first post, where it was never there: one that was deleted stays so, however often it is delivered."""
    if await tx.version(posts, key) or await tx.get(posts, key) is not None:
        return
    at = user["created_at"]
    first = {"title": "Welcome!", "content": f"{user['name']} is here.", "published": True}
    nothing: dict[str, Value] = {"image": None, "language": None, "forum": None, "tags": []}
    await tx.insert(posts, {"id": key, "author_id": user["id"], **first, **nothing, "created_at": at, "updated_at": at})


async def welcome(ctx: RequestContext, user: State, payload: Key | None) -> None:
    """Write a user's first post under its key, as the follow-up of a creation; none of a user who is gone meanwhile, or is another."""
    key = payload or welcome_id(user["id"])
    if await _is_gone(ctx, user):
        return
    async with ctx.transaction(posts.store, field=WELCOME) as tx:
        await write_welcome(tx, user, key)
    if await _is_gone(ctx, user):  # in between: what deletes the user's posts may have been here before it
        async with ctx.transaction(posts.store, field=WELCOME) as tx:
            await tx.delete(posts, key)


async def _is_gone(ctx: RequestContext, user: State) -> bool:
    now = await _user(ctx, user["id"])
    return now is None or now["created_at"] != user["created_at"]


async def welcome_posts(ctx: RequestContext, keys: Sequence[Key]) -> list[Row | None]:
    """Return users' first posts, which are on their way for a moment: after a second they are null, and the answer says so."""
    request = Get(posts, posts.names, list(keys))
    until = asyncio.get_running_loop().time() + min(WELCOME_WAIT_S, ctx.seconds(WELCOME_WAIT_S) * 0.8)
    with listening({posts.store}) as event:
        while True:
            event.clear()
            try:
                found: Mapping[Key, Row] = await ctx.ask(request)
            except (StoreUnavailable, StoreTimeout):  # it is delivered when the store is there again
                found = {}
            left = until - asyncio.get_running_loop().time()
            if len(found) == len(set(keys)) or left <= 0:
                break
            try:
                async with asyncio.timeout(min(left, POLL_S)):
                    await event.wait()
            except TimeoutError:
                pass
    if len(found) < len(set(keys)):
        ctx.extensions["replication"] = "pending"
    return [found.get(key) for key in keys]


async def change_user(ctx: RequestContext, values: dict[str, Value]) -> dict[str, Value]:
    changed = _changed(values)
    await _require_own_email(ctx.ask, changed)
    return changed


async def _require_own_email(ask: Callable[[Get], Awaitable[Mapping[Key, Row]]], values: Mapping[str, Value]) -> None:
    """Refuse an address that is there in the other of Unicode's normal forms, to which the database's unique index is blind.

    Two who write the two forms at the same moment are not held apart.
    """
    given = values.get("email")
    others = [form for form in rules.normal_forms(given) if form != given] if given is not None else []
    if others and await ask(Get(users, ("id",), others, column="email")):
        told = "Another row of users has the same email, in another normal form of Unicode."
        raise Conflict(told, argument="input.email", field="email")


def _changed(values: dict[str, Value]) -> dict[str, Value]:
    rules.check(values)
    return {**values, "updated_at": rules.now()} if values else values


# ---------------------------------------------------------------------------------------------------------------- posts


async def new_post(ctx: RequestContext, values: dict[str, Value]) -> dict[str, Value]:
    """Return a post to insert; NotFound where its author is not there."""
    rules.check(values)
    at = values.setdefault("created_at", rules.now())
    author = values["author_id"]
    if not _has_users(ctx, posts.store) and author not in await ctx.ask(Get(users, ("id",), [author])):
        raise missing(users, author, "input.authorId")
    nothing = {"image": None, "language": None, "forum": None}
    return {**nothing, **values, "id": values.get("id") or new_id(), "updated_at": at}


async def hold_author(ctx: RequestContext, tx: Transaction, values: Mapping[str, Value]) -> None:
    """Have the author stay until the post is there, where both are in one database: who is deleted meanwhile has it deleted, too."""
    author = str(values["author_id"])
    if _has_users(ctx, tx.store) and await tx.get(users, author) is None:
        raise missing(users, author, "input.authorId")


def _has_users(ctx: RequestContext, store: str) -> bool:
    return ctx.stores[store] is ctx.stores[users.store]


async def change_post(ctx: RequestContext, values: dict[str, Value]) -> dict[str, Value]:  # noqa: ARG001
    return _changed(values)


# --------------------------------------------------------------------------------------------------------------- events


async def record_event(ctx: RequestContext, tx: Transaction, input: RecordEventInput) -> State:  # noqa: ARG001
    [event] = await _record(tx, {"input": input})
    return event


async def record_events(ctx: RequestContext, tx: Transaction, input: list[RecordEventInput]) -> list[State]:  # noqa: ARG001
    """Record several events, or none of them. They may be given twice, as each of them may alone."""
    if len(input) > EVENTS_MAX:
        raise BadUserInput(f"input: expected at most {EVENTS_MAX:,} events, got {len(input):,}", argument="input", field="input")
    return await _record(tx, {f"input[{number}]": event for number, event in enumerate(input)})


async def _record(tx: Transaction, given: Mapping[str, Any]) -> list[State]:
    """Return the events of inputs by their paths: those that are stored already, and the others, which are inserted."""
    asked = {path: values_of(event) for path, event in given.items()}
    for path, values in asked.items():
        rules.check(values, path)
    keys = list(dict.fromkeys(values["id"] for values in asked.values() if "id" in values))
    found = await tx.ask(Lock(events, keys)) if keys else {}
    states: dict[Key, State] = {key: dict(zip(events.names, row, strict=True)) for key, row in found.items()}
    new: dict[Key, State] = {}
    order: list[Key] = []
    at = rules.now()
    for path, values in asked.items():
        key = values.get("id") or new_id()
        order.append(key)
        known = states.get(key) or new.get(key)
        if known is None:
            new[key] = {"post_id": None, "occurred_at": at, **values, "id": key}
        elif other := [name for name, value in values.items() if not _is_same(known[name], value)]:
            field = {"user_id": "userId", "post_id": "postId", "occurred_at": "occurredAt"}.get(other[0], other[0])
            told = f"{path}.id: the event {key[:60]!r} is recorded already, with another {field}"
            raise Conflict(told, argument=f"{path}.id", field="id", differs=field)
    if new:
        rows = [{name: event[name] for name in events.names} for event in new.values()]
        try:
            written = await tx.insert_many(events, rows)
        except Conflict as exc:
            if exc.columns == events.key:  # somebody was quicker with one of them: it is there now
                raise Contended(events.store) from exc
            raise
        states.update((event["id"], event) for event in written)
    return [states[key] for key in order]


def _is_same(one: Value, other: Value) -> bool:
    """Return whether two values are the same in JSON: 1 is 1.0, and true is neither."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


async def recorded_event(ctx: RequestContext, outcomes: Sequence[Outcome], input: RecordEventInput) -> State:
    [event] = await recorded_events(ctx, outcomes, [input])
    return event


async def recorded_events(ctx: RequestContext, outcomes: Sequence[Outcome], input: list[RecordEventInput]) -> list[State]:
    """Return what ``record_events`` did, for a request that is sent again: those without an id were written in their order."""
    given = {event.id for event in input if event.id is not strawberry.UNSET}
    made = iter([outcome.key for outcome in outcomes if outcome.key not in given])
    keys = [next(made) if event.id is strawberry.UNSET else event.id for event in input]
    rows = await ctx.ask(Get(events, events.names, list(dict.fromkeys(keys)))) if keys else {}
    for key in keys:
        if key not in rows:
            raise missing(events, key)
    return [dict(zip(events.names, rows[key], strict=True)) for key in keys]


# -------------------------------------------------------------------------------------------------------------- follows


async def both_ends(ctx: RequestContext, input: FollowInput) -> State:
    """Return the user who is followed; NotFound where one of the two is not there."""
    rules.check({"follower_id": input.follower_id, "followee_id": input.followee_id})
    return _followee(input, await ctx.ask(Get(users, users.names, _ends(input))))


def _ends(input: FollowInput) -> list[Key]:
    return sorted({input.follower_id, input.followee_id})


def _followee(input: FollowInput, rows: Mapping[Key, Row]) -> State:
    for argument, key in (("input.followerId", input.follower_id), ("input.followeeId", input.followee_id)):
        if key not in rows:
            raise missing(users, key, argument)
    return dict(zip(users.names, rows[input.followee_id], strict=True))


async def follow(ctx: RequestContext, tx: Transaction, found: State, input: FollowInput) -> State:
    """Have one user follow another, who is returned. Where that is so already, it stays since when it is."""
    values = values_of(input)
    rules.check(values)
    if _has_users(ctx, tx.store):  # both stay until the edge is there: who is deleted meanwhile has it deleted, too
        found = _followee(input, await tx.ask(Lock(users, _ends(input))))
    if await tx.get(follows, _edge(input)) is None:
        values.setdefault("since", rules.now())
        try:
            await tx.insert(follows, values)
        except Conflict as exc:
            raise Contended(follows.store) from exc
    return found


async def unfollow(ctx: RequestContext, tx: Transaction, found: State, input: FollowInput) -> State:  # noqa: ARG001
    """Have one user follow another no more, who is returned; where that is so already, nothing changes."""
    await tx.delete(follows, _edge(input))
    return found


async def followed(ctx: RequestContext, outcomes: Sequence[Outcome], input: FollowInput) -> State:  # noqa: ARG001
    return await both_ends(ctx, input)


def _edge(input: FollowInput) -> Key:
    return join_key((input.follower_id, input.followee_id))


async def _user(ctx: RequestContext, key: Key) -> State | None:
    rows = await ctx.ask(Get(users, users.names, [key]))
    return dict(zip(users.names, rows[key], strict=True)) if key in rows else None
