"""Subscriptions without a transport: planned once, run for each event, resumed by a cursor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
import pytest
import strawberry

from gateway.engine.sources import Followed
from gateway.errors import SlowReader, StoreUnavailable
from gateway.graph import Graph, Node, column, field_of, lookup, subscription
from gateway.graph.checks import check
from gateway.loaders import load
from gateway.security.limits import Limits
from gateway.service import Request, Response, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Type, Upsert
from gateway.stores.memory import MemoryStore
from resolvers.events import events
from resolvers.posts import posts
from resolvers.users import users
from schema import schema as example
from tests.feeds import until_followed
from tests.streams import RECORDED, T, World, row_of

PUBLISHED = "subscription { postPublished(authorId: 6) { id title author { name } } }"


@pytest.fixture
async def world() -> World:
    world = World()
    await world.fill()
    return world


# ------------------------------------------------------------------------------------------------------------ what is told


async def test_an_event_is_the_root_row_and_what_stands_below_is_joined(world: World) -> None:
    async with world.watching(RECORDED) as watched:
        cursor = await world.recorded("e1")
        assert await watched.next() == {
            "data": {"eventRecorded": {"id": "Event:e1", "type": "LIKE", "user": {"name": "user 6"}, "post": {"title": "first"}}},
            "extensions": {"cursor": cursor},
        }
    assert world.feed.followers == 0


async def test_it_is_planned_once_and_the_row_is_not_asked_for(world: World) -> None:
    async with world.watching(RECORDED) as watched:
        misses = world.service.plan_misses
        for number in range(3):
            world.stores.calls.clear()
            await world.recorded(f"e{number}")
            await watched.next()
            assert dict(world.stores.calls) == {"users.users": 1, "posts.posts": 1}
        assert world.service.plan_misses == misses


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ["1", "2", "3"]),
        ({"user": None, "types": None}, ["1", "2", "3"]),
        ({"user": "6"}, ["1", "3"]),
        ({"user": "User:7"}, ["2"]),
        ({"types": ["LIKE", "JOIN"]}, ["1", "2"]),
        ({"user": "6", "types": ["COMMENT"]}, ["3"]),
        ({"types": []}, []),
        ({"user": "8"}, []),
    ],
)
async def test_arguments_say_which_events(world: World, variables: dict[str, Any], expected: list[str]) -> None:
    async with world.watching(RECORDED, variables=variables) as watched, world.watching(RECORDED) as all_of_them:
        for key, type_, user in (("1", "LIKE", "6"), ("2", "JOIN", "7"), ("3", "COMMENT", "6")):
            await world.recorded(key, type_, user)
        for _ in range(3):
            await all_of_them.next()
        assert [(await watched.next())["data"]["eventRecorded"]["id"].removeprefix("Event:") for _ in expected] == expected
        assert watched._next is not None
        assert not watched._next.done()


async def test_only_writes_that_are_meant_are_told(world: World) -> None:
    async with world.watching(RECORDED) as watched:
        await world.recorded("e1", action="update")
        await world.recorded("e1", action="delete")
        await world.recorded("e2")
        assert (await watched.next())["data"]["eventRecorded"]["id"] == "Event:e2"


async def test_a_post_is_published_once(world: World) -> None:
    post = {"id": "p2", "author_id": "6", "title": "t", "published": False, "created_at": T, "updated_at": T}
    out = {**post, "published": True}
    async with world.watching(PUBLISHED) as watched:
        await world.feed.tell(posts, post)
        cursor = await world.feed.tell(posts, out, "update", post)
        await world.feed.tell(posts, {**out, "title": "other"}, "update", out)
        await world.feed.tell(posts, {**out, "author_id": "7"}, "update", post)
        await world.feed.tell(posts, {**out, "id": "p3"})
        first, second = await watched.next(), await watched.next()
        assert first["data"]["postPublished"] == {"id": "Post:p2", "title": "t", "author": {"name": "user 6"}}
        assert first["extensions"] == {"cursor": cursor}
        assert second["data"]["postPublished"]["id"] == "Post:p3"


# ----------------------------------------------------------------------------------------------------------------- cursors


async def test_it_is_resumed_without_loss_and_without_repetition(world: World) -> None:
    cursors = [await world.recorded(str(number)) for number in range(10)]
    seen: list[str] = []
    cursor = cursors[2]
    for _ in range(7):  # each time another connection
        async with world.watching(RECORDED, extensions={"cursor": cursor}) as watched:
            answer = await watched.next()
            seen.append(answer["data"]["eventRecorded"]["id"])
            cursor = answer["extensions"]["cursor"]
    assert seen == [f"Event:{number}" for number in range(3, 10)]
    assert cursor == cursors[-1]


@pytest.mark.parametrize(("cursor", "code"), [("posts@1", "BAD_USER_INPUT"), ("events@0", "CURSOR_EXPIRED")])
async def test_a_cursor_that_cannot_be_is_the_last_response(cursor: str, code: str) -> None:
    world = World(kept=1)
    await world.fill()
    await world.recorded("1")
    await world.recorded("2")
    stream = await world.service.subscribe(Request(RECORDED, extensions={"cursor": cursor}))
    assert not isinstance(stream, Response)
    responses = [response async for response in stream]
    assert [(r.is_refused, orjson.loads(r.body)["errors"][0]["extensions"]["code"]) for r in responses] == [(True, code)]
    assert world.feed.followers == 0


async def test_a_cursor_that_is_no_text_is_refused(world: World) -> None:
    answered = await world.service.subscribe(Request(RECORDED, extensions={"cursor": 5}))
    assert isinstance(answered, Response)
    assert (answered.status, b"BAD_USER_INPUT" in answered.body) == (422, True)


# ------------------------------------------------------------------------------------------------------------------ errors


async def test_the_error_of_one_event_does_not_end_the_stream(world: World) -> None:
    class Down(MemoryStore):
        async def answer(self, request: Any) -> Any:
            raise StoreUnavailable("users")

    healthy = world.stores._stores["users"]
    async with world.watching(RECORDED) as watched:
        world.stores._stores["users"] = Down("users")
        await world.recorded("1")
        failed = await watched.next()
        world.stores._stores["users"] = healthy
        await world.recorded("2")
        good = await watched.next()
    assert failed["data"]["eventRecorded"]["user"] is None
    assert failed["data"]["eventRecorded"]["post"] == {"title": "first"}
    assert failed["errors"][0]["path"] == ["eventRecorded", "user"]
    assert failed["extensions"]["cursor"] == "events@1"
    assert good["data"]["eventRecorded"]["user"] == {"name": "user 6"}
    assert "errors" not in good


async def test_an_answer_that_is_too_long_is_that_events_alone() -> None:
    world = World(limits=Limits(response_limit_bytes=1_000))
    await world.fill()
    async with world.watching("subscription { eventRecorded { id type } }") as watched:
        await world.recorded("1", "x" * 2_000)
        await world.recorded("2")
        failed, good = await watched.next(), await watched.next()
    assert failed["data"] is None
    assert failed["errors"][0]["extensions"]["code"] == "RESULT_LIMIT"
    assert failed["extensions"] == {"cursor": "events@1"}
    assert good["data"]["eventRecorded"]["id"] == "Event:2"


async def test_a_feed_that_fails_ends_the_stream_with_its_error(world: World) -> None:
    async with world.watching(RECORDED) as watched:
        await world.feed.fail(SlowReader("Events were not taken in time."))
        last = await watched.response()
        assert last.is_refused
        assert orjson.loads(last.body)["errors"][0]["extensions"]["code"] == "SLOW_READER"
        assert await watched.ended()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription { eventRecorded { nothing } }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { eventRecorded { id } postPublished { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { eventRecorded(userId: "Post:1") { id } }', "BAD_USER_INPUT"),
        ("subscription { eventRecorded { user { posts(first: 101) { nodes { id } } } } }", "BAD_USER_INPUT"),
        (
            "subscription { eventRecorded { ...on Event { a: user { " + "posts { nodes { author { " * 8 + "id" + " } } }" * 8 + " } } } }",
            "DEPTH_LIMIT",
        ),
    ],
)
async def test_it_is_held_to_what_queries_are(world: World, query: str, code: str) -> None:
    answered = await world.service.subscribe(Request(query))
    assert isinstance(answered, Response)
    assert code in {error["extensions"]["code"] for error in orjson.loads(answered.body)["errors"]}
    assert answered.is_refused
    assert world.feed.followers == 0


async def test_a_root_field_that_is_skipped_is_refused(world: World) -> None:
    text = "subscription ($no: Boolean!) { eventRecorded @skip(if: $no) { id } }"
    answered = await world.service.subscribe(Request(text, {"no": True}))
    assert isinstance(answered, Response)
    assert answered.is_refused


async def test_what_is_none_is_answered_once(world: World) -> None:
    answered = await world.service.subscribe(Request("{ user(id: 6) { name } }"))
    assert isinstance(answered, Response)
    assert orjson.loads(answered.body) == {"data": {"user": {"name": "user 6"}}}


async def test_without_a_feed_it_says_so_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    service = Service(example, world.stores)
    stream = await service.subscribe(Request(RECORDED), request_id="r7")
    assert not isinstance(stream, Response)
    [last] = [response async for response in stream]
    assert orjson.loads(last.body)["errors"][0]["message"] == "Internal server error."
    assert "a subscription to events: expected a feed of its writes" in caplog.text


# ------------------------------------------------------------------------------------------------------- contexts and ends

contexts: list[Any] = []


@strawberry.type
class User(Node):
    id: strawberry.ID = column()

    @strawberry.field
    async def name(self, info: strawberry.Info) -> str:
        contexts.append(info.context)
        row = await load(info.context, users, self.id)
        return f"{info.context.subject}: {row[1] if row else None}"


@strawberry.type
class Post(Node):
    id: strawberry.ID = column()


@strawberry.type
class SeenQuery:
    user: User | None = lookup(users, by={"id": "id"})


@strawberry.type
class SeenSubscription:
    changed: User = subscription(users)


async def test_each_event_has_a_context_of_its_own_with_the_values_of_who_asks() -> None:
    contexts.clear()
    graph = Graph(schema=strawberry.Schema(query=SeenQuery, subscription=SeenSubscription), collections=(users,))
    world = World(graph)
    await world.stores.open()
    await world.stores.ask(Upsert(users, [row_of(users, id="6", name="old", email="e")]))
    async with world.watching("subscription { changed { name } }", values={"subject": "me"}) as watched:
        await world.feed.tell(users, {"id": "6"})
        first = await watched.next()
        await world.stores.ask(Upsert(users, [row_of(users, id="6", name="new", email="e")]))
        await world.feed.tell(users, {"id": "6"})
        second = await watched.next()
    assert [answer["data"]["changed"]["name"] for answer in (first, second)] == ["me: old", "me: new"]
    assert contexts[0] is not contexts[1]
    assert contexts[0].deadline < contexts[1].deadline


async def test_cancelled_during_an_event_it_leaves_nothing_behind(world: World) -> None:
    reached, tasks = asyncio.Event(), asyncio.all_tasks()

    class Stuck(MemoryStore):
        async def answer(self, request: Any) -> Any:
            reached.set()
            await asyncio.sleep(60)

    stream = await world.service.subscribe(Request(RECORDED), deadline_s=5)
    assert not isinstance(stream, Response)
    world.stores._stores["users"] = Stuck("users")

    async def watch() -> None:
        async with aclosing(stream):
            await anext(stream)

    watching = asyncio.ensure_future(watch())
    await until_followed(world.feed)
    await world.recorded("1")
    await reached.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    await asyncio.sleep(0)
    assert world.feed.followers == 0
    assert world.service.subscriptions == 0
    assert asyncio.all_tasks() <= tasks


async def test_an_event_that_takes_too_long_is_cut_at_its_deadline() -> None:
    service = Service(BY_HAND, Stores({}))
    stream = await service.subscribe(Request("subscription { slow { never } }"), deadline_s=0.05)
    assert not isinstance(stream, Response)
    [response] = [response async for response in stream]
    answer = orjson.loads(response.body)
    assert (answer["data"], answer["errors"][0]["extensions"]["code"]) == (None, "DEADLINE_EXCEEDED")


# ------------------------------------------------------------------------------------------------------------- by hand


@strawberry.type
class Tick:
    number: int

    @strawberry.field
    def doubled(self) -> int:
        if self.number == 2:
            raise ValueError("secret")
        return 2 * self.number


@strawberry.type
class Slow:
    @strawberry.field
    async def never(self) -> int:
        await asyncio.sleep(60)
        return 1


@strawberry.type
class Nothing:
    nothing: int = 0


@strawberry.type
class ByHand:
    @strawberry.subscription
    async def ticks(self, info: strawberry.Info, to: int = 3) -> AsyncGenerator[Tick, None]:
        for number in range(1, to + 1):
            yield Tick(number=number)

    @strawberry.subscription
    async def slow(self) -> AsyncGenerator[Slow, None]:
        yield Slow()

    @strawberry.subscription
    async def broken(self) -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("secret")


BY_HAND = Graph(schema=strawberry.Schema(query=Nothing, subscription=ByHand), collections=())


async def test_a_subscription_written_by_hand() -> None:
    service = Service(BY_HAND, Stores({}))
    stream = await service.subscribe(Request("subscription { ticks(to: 3) { n: number doubled } }"))
    assert not isinstance(stream, Response)
    answers = [orjson.loads(response.body) async for response in stream]
    assert answers[0] == {"data": {"ticks": {"n": 1, "doubled": 2}}}
    assert answers[1]["data"] is None
    assert answers[1]["errors"][0]["path"] == ["ticks", "doubled"]
    assert answers[2] == {"data": {"ticks": {"n": 3, "doubled": 6}}}


async def test_one_that_raises_ends_with_a_masked_error() -> None:
    service = Service(BY_HAND, Stores({}))
    stream = await service.subscribe(Request("subscription { broken }"), request_id="r1")
    assert not isinstance(stream, Response)
    first, last = [response async for response in stream]
    assert orjson.loads(first.body) == {"data": {"broken": 1}}
    assert not last.is_refused
    error = {"message": "Internal server error.", "extensions": {"code": "INTERNAL_SERVER_ERROR", "requestId": "r1"}}
    assert orjson.loads(last.body) == {"data": None, "errors": [error]}


# ------------------------------------------------------------------------------------------------------------------ checks

PLAIN = Collection(name="plain", store="s", columns=(Column("id"), Column("tags", Type.TEXTS)), key=("id",))


@strawberry.type
class Plain:
    id: strawberry.ID = column()
    again: int = field_of(Followed(PLAIN))


@strawberry.type
class PlainQuery:
    plain: Plain | None = lookup(PLAIN, by={"id": "id"})
    there: Plain = subscription(PLAIN)


@strawberry.type
class PlainSubscription:
    one: Plain = subscription(PLAIN, by={"tag": "tags"})
    two: Plain = subscription(PLAIN, among={"names": "name"})
    three: list[Plain] = subscription(PLAIN)
    four: Plain | None = lookup(PLAIN, by={"id": "id"})


def test_what_cannot_be_followed_is_told_at_the_start() -> None:
    graph = Graph(schema=strawberry.Schema(query=PlainQuery, subscription=PlainSubscription), collections=(PLAIN,))
    told = {str(problem) for problem in check(graph)}
    assert {
        "PlainSubscription.one: expected a managed collection, whose writes are told, got plain, which is not managed",
        "PlainSubscription.one: expected a column of single values that compare by code point, got 'tags' of type TEXTS",
        "PlainSubscription.two: expected a column of plain (id, tags), got 'name'",
        "PlainSubscription.three: expected an object, got [Plain!]!",
        "PlainSubscription.four: expected a stream of events, by subscription() or an async generator, got a field that is asked once",
        "PlainQuery.there: expected a field of the subscription's root, got a stream of events at another root",
        "Plain.again: expected a field of the subscription's root, got a stream of events below plain",
    } <= told


def test_an_argument_is_told_once() -> None:
    with pytest.raises(TypeError, match=r"subscription\(events\): expected each argument once, in by or in among; got type in both"):
        subscription(events, by={"type": "type"}, among={"type": "type"})
