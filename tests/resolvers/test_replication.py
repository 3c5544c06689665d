"""The example's writes go on: after them every store has what a load of the final state would have given it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.context import RequestContext
from gateway.graph.log import own_tables
from gateway.preparing import migrate
from gateway.relaying import relay_of
from gateway.stores import Stores
from gateway.stores.base import Collection, Fetch, NativeCall, Row, Upsert, Value
from gateway.writes.comparing import Report, comparison_of
from gateway.writes.relay import Relay
from gateway.writes.transaction import Transaction
from resolvers.datasets import datasets
from resolvers.events import events
from resolvers.graph import follows, likes, members, wrote
from resolvers.posts import posts
from resolvers.recommendations import NATIVES
from resolvers.users import users
from resolvers.writes import WELCOME, welcome, welcome_id
from schema import schema as graph
from tests.kinds import kinds, url_of

AT = "2026-01-01T00:00:00.000Z"
USERS, POSTS, STEPS = 8, 12, 160
HOMES = (users, posts, events, follows)
DERIVED = (members, likes, wrote)


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Stores]:
    """The example's stores: users in a file, the graph in a store of this kind, in one database each."""
    async with url_of("sqlite") as one, url_of("memory") as two, url_of("memory") as three, url_of(kind) as four:
        urls = {"users": one, "posts": two, "events": three, "recommendations": four}
        stores = Stores.connect(urls, timeout_s=30.0, write_timeout_s=30.0)
        await stores.open()
        try:
            for name in graph.store_names:
                await migrate(stores, graph, name)
            yield stores
        finally:
            await stores.close()


async def rows(stores: Stores, collection: Collection) -> list[Row]:
    found = await stores.ask(Fetch(collection, collection.names))
    return [tuple(row) for part in found.values() for row in part.rows]


class Writer:
    """Random writes of the example, as its mutations make them."""

    def __init__(self, stores: Stores, seed: int) -> None:
        self._ctx = RequestContext(stores, "test", replication=graph.writes)
        self._stores = stores
        self._rng = random.Random(seed)
        self._events = 0

    def _transaction(self, store: str) -> Transaction:
        return self._ctx.transaction(store)

    async def step(self) -> None:
        rng = self._rng
        user, other, post = str(rng.randrange(USERS)), str(rng.randrange(USERS)), str(rng.randrange(POSTS))
        there = {state[0] for state in await rows(self._stores, users)}
        match rng.choices(("user", "delete", "post", "unpost", "like", "follow", "unfollow"), (6, 2, 6, 1, 12, 6, 2))[0]:
            case "user" if user not in there:
                await self._insert(users, user_of(user))
            case "delete" if user in there and self._rng.random() < 0.5:
                async with self._transaction(users.store) as tx:
                    await tx.delete(users, user)
            case "post" if user in there:
                async with self._transaction(posts.store) as tx:
                    if await tx.get(posts, post) is None:
                        await tx.insert(posts, post_of(post, user))
                    else:
                        await tx.update(posts, post, {"title": f"changed {rng.random()}"})
            case "unpost":
                async with self._transaction(posts.store) as tx:
                    await tx.delete(posts, post)
            case "like" if user in there:
                self._events += 1
                kind = rng.choice(("LIKE", "LIKE", "VIEW"))
                at = f"2026-02-01T00:00:{self._events % 60:02}.{self._events:03}Z"
                await self._insert(events, event_of(str(self._events), user, post, kind, at))
            case "follow" if {user, other} <= there and user != other:
                async with self._transaction(follows.store) as tx:
                    if await tx.get(follows, f"{user},{other}") is None:
                        await tx.insert(follows, {"follower_id": user, "followee_id": other, "since": AT})
            case "unfollow":
                async with self._transaction(follows.store) as tx:
                    await tx.delete(follows, f"{user},{other}")

    async def _insert(self, collection: Collection, values: Mapping[str, Value]) -> None:
        async with self._transaction(collection.store) as tx:
            await tx.insert(collection, values)


def user_of(key: str) -> dict[str, Value]:
    nothing: dict[str, Value] = {"gender": None, "birthday": None, "languages": []}
    return {"id": key, "name": f"user {key}", "email": f"{key}@example.org", "active": True, **nothing, "created_at": AT, "updated_at": AT}


def post_of(key: str, author: str) -> dict[str, Value]:
    nothing: dict[str, Value] = {"image": None, "language": None, "forum": None, "tags": []}
    state = {"id": key, "author_id": author, "title": "t", "content": "", **nothing, "published": True}
    return {**state, "created_at": AT, "updated_at": AT}


def event_of(key: str, user: str, post: str, kind: str, at: str) -> dict[str, Value]:
    return {"id": key, "type": kind, "user_id": user, "post_id": post, "occurred_at": at, "payload": {}}


async def load(stores: Stores, collection: Collection, found: Sequence[Row]) -> None:
    """Load rows as a file of them is loaded: with what is derived from each."""
    await stores.ask(Upsert(collection, found))
    for dataset in datasets:
        for derived in dataset.derived if dataset.collection is collection else ():
            lines = [dict(zip(collection.names, row, strict=True)) for row in found]
            await stores.ask(Upsert(derived.collection, [row for line in lines for row in derived.rows(line)]))


async def recommended(stores: Stores) -> Any:
    keys = [str(number) for number in range(USERS)]
    answers = [await stores.ask(NativeCall(native, keys, {"first": 20})) for native in NATIVES.values()]
    return [{key: [tuple(row) for row in found.get(key, ())] for key in keys} for found in answers]


async def differences(stores: Stores, relay: Relay) -> dict[str, list[Any]]:
    found = {}
    for name, applier in relay.appliers.items():
        comparison = comparison_of(applier, stores)
        if comparison is not None:
            report = Report(name)
            await comparison.verify(report, lambda _: None)
            found[name] = report.differences
    return found


@pytest.mark.parametrize("kind", kinds(["memory", "sqlite", "postgresql", "mongodb", "neo4j"]))
@pytest.mark.parametrize("seed", range(3))
async def test_writes_give_what_a_load_of_the_final_state_gives(kind: str, seed: int) -> None:
    async with opened(kind) as written, opened(kind) as loaded:
        writer, relay = Writer(written, seed), relay_of(written, graph)
        for number in range(STEPS):
            await writer.step()
            if number % 7 == seed:
                await relay.drain()
        await relay.drain()
        for collection in HOMES:
            await load(loaded, collection, await rows(written, collection))

        keys = {c.name: [sorted((row[0], row[1]) for row in await rows(s, c)) for s in (written, loaded)] for c in DERIVED}
        assert {name: its[0] for name, its in keys.items()} == {name: its[1] for name, its in keys.items()}
        assert await recommended(written) == await recommended(loaded)
        assert not any((await differences(written, relay)).values())


async def test_a_user_takes_along_what_was_theirs_and_what_comes_later_stands() -> None:
    async with opened("memory") as stores:
        ctx, relay = RequestContext(stores, "test", replication=graph.writes), relay_of(stores, graph)
        for collection, values in ((users, user_of("1")), (users, user_of("2")), (posts, post_of("p", "1")), (posts, post_of("q", "2"))):
            async with ctx.transaction(collection.store) as tx:
                await tx.insert(collection, values)
        async with ctx.transaction("events") as tx:
            await tx.insert_many(events, [event_of("a", "1", "q", "LIKE", AT), event_of("b", "2", "p", "LIKE", AT)])
        async with ctx.transaction("recommendations") as tx:
            await tx.insert_many(follows, [{"follower_id": a, "followee_id": b, "since": AT} for a, b in (("1", "2"), ("2", "1"))])
        await relay.drain()
        async with ctx.transaction("users") as tx:
            await tx.delete(users, "1")
        async with ctx.transaction("events") as tx:  # before anything heard of the deletion
            await tx.insert(events, event_of("later", "1", "q", "VIEW", AT))
        await relay.drain()

        assert [row[0] for row in await rows(stores, posts)] == ["q"]
        assert [row[0] for row in await rows(stores, events)] == ["b", "later"]
        assert await rows(stores, follows) == []
        assert await rows(stores, likes) == [("2", "p", AT)]
        assert await rows(stores, members) == [("2", True)]
        assert await rows(stores, wrote) == [("2", "q")]


LATER = "2026-01-01T00:00:01.000Z"


async def _create(ctx: RequestContext, key: str, at: str) -> None:
    async with ctx.transaction("users") as tx:
        await tx.insert(users, {**user_of(key), "created_at": at, "updated_at": at})
        tx.deliver(WELCOME, users, key, welcome_id(key, await tx.version(users, key)))


async def _delete(ctx: RequestContext, key: str) -> None:
    async with ctx.transaction("users") as tx:
        await tx.delete(users, key)


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_user_who_is_there_again_has_a_first_post(is_late: bool) -> None:
    """Whether the deletion of the one before has reached the posts before it is written, or after."""
    async with opened("memory") as stores:
        ctx, relay = RequestContext(stores, "test", replication=graph.writes), relay_of(stores, graph)
        await _create(ctx, "1", AT)
        await relay.drain()
        await _delete(ctx, "1")
        await _create(ctx, "1", LATER)
        workers = {worker.target: worker for worker in relay.workers["users"]}
        first = workers[WELCOME if is_late else "users>posts.author_id"]
        await first.step()
        await relay.drain()

        assert [(row[0], row[posts.names.index("created_at")]) for row in await rows(stores, posts)] == [("welcome3-1", LATER)]


async def test_a_user_who_is_gone_before_the_first_post_is_written_has_none() -> None:
    async with opened("memory") as stores:
        ctx, relay = RequestContext(stores, "test", replication=graph.writes), relay_of(stores, graph)
        await _create(ctx, "1", AT)
        await _delete(ctx, "1")
        workers = {worker.target: worker for worker in relay.workers["users"]}
        await workers["users>posts.author_id"].step()  # the posts hear of the deletion first
        await relay.drain()

        assert await rows(stores, posts) == []
        assert await rows(stores, wrote) == []


async def test_a_first_post_leaves_alone_what_somebody_else_has_under_its_id() -> None:
    async with opened("memory") as stores:
        ctx, relay = RequestContext(stores, "test", replication=graph.writes), relay_of(stores, graph)
        async with ctx.transaction("posts") as tx:
            await tx.insert(posts, post_of("welcome-1", "2"))
        await _create(ctx, "1", LATER)
        await relay.drain()

        assert [row[:2] for row in await rows(stores, posts)] == [("welcome-1", "2")]


async def test_a_welcome_is_written_once_and_to_nobody_who_is_gone() -> None:
    async with opened("memory") as stores:
        ctx = RequestContext(stores, "test", replication=graph.writes)
        for key in ("1", "2"):
            async with ctx.transaction("users") as tx:
                user = await tx.insert(users, user_of(key))
            if key == "1":
                await welcome(ctx, user, None)
                await welcome(ctx, user, None)
                assert [row[0] for row in await rows(stores, posts)] == ["welcome-1"]
                async with ctx.transaction("posts") as tx:
                    await tx.delete(posts, "welcome-1")
            else:
                async with ctx.transaction("users") as tx:
                    await tx.delete(users, key)
            await welcome(ctx, user, None)
            assert await rows(stores, posts) == []


def test_each_store_of_the_example_has_the_gateways_own_tables() -> None:
    assert all(own_tables(graph, name, "memory") for name in graph.store_names)
