"""What functions written for a graph give: batched() ones for all parents at once, computed() ones per object; and what they do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import GraphQLError

from gateway.context import RequestContext
from gateway.errors import StoreTimeout
from gateway.graph.fields import Connection, Node, batched, column, computed, lookup, many, one
from gateway.service import Request
from gateway.stores.base import Collection, Column, Key, Type
from tests.gateway.engine.graphs import MASKED, Both, Named, Sorted, both, graph

POSTS = Collection("posts", "posts", (Column("id", refers="Post"), Column("name", nullable=True), Column("by", nullable=True)))
BADGE = (Column("post", refers="Post"), Column("level", Type.INT, nullable=True))

CALLS: list[Any] = []
ANSWERS: dict[str, Any] = {}


async def answer(_: RequestContext, keys: Sequence[Key]) -> list[Any]:
    CALLS.append(list(keys))
    return [ANSWERS.get(key) for key in keys]


async def whole(_: RequestContext, keys: Sequence[Key]) -> Any:
    CALLS.append(list(keys))
    if isinstance(ANSWERS["all"], Exception):
        raise ANSWERS["all"]
    return ANSWERS["all"](list(keys))


def early(_: RequestContext, keys: Sequence[Key]) -> Awaitable[list[Any]]:
    raise ValueError(f"secret {keys}")


class Unit(Enum):
    DAYS = "d"
    HOURS = "h"


strawberry.enum(Unit)


async def told(_: RequestContext, keys: Sequence[Key], *, times: int = 2, unit: Unit = Unit.DAYS, suffix: str | None = None) -> list[str]:
    CALLS.append(list(keys))
    return [f"{key * times}{unit.value}{suffix}" for key in keys]


def shout(name: str | None) -> str | None:
    if name == "bad":
        raise ValueError("secret")
    return name and name.upper()


@strawberry.type
class Badge:
    post: Post = one(POSTS, by="post")
    post_id: strawberry.ID = column("post")
    level: int | None = column()


@strawberry.type
class Post(Node):
    id: strawberry.ID = column()
    name: str | None = column()
    value: str | None = batched(answer)
    sure_value: str = batched(answer)
    by_value: str | None = batched(answer, by="by")
    sure_by_value: str = batched(answer, by="by")
    by_badges: list[Badge] | None = batched(answer, by="by", columns=BADGE)
    all: str | None = batched(whole)
    early: str | None = batched(early)
    badge: Badge | None = batched(answer, columns=BADGE)
    sure_badge: Badge = batched(answer, columns=BADGE)
    badges: list[Badge] = batched(answer, columns=BADGE)
    told: str = batched(told)
    loud: str | None = computed(shout, needs=["name"])
    sure_loud: str = computed(shout, needs=["name"])
    both: str = computed(lambda name, key: f"{key}{name}", needs=["name", "id"])


@strawberry.type
class Query:
    post: Post | None = lookup(POSTS, by={"id": "id"})
    posts: Connection[Post] = many(POSTS, where=Named, order=Sorted)
    badge: Badge | None = batched(answer, columns=BADGE, key_argument="post_id", refers="Post")
    word: str = batched(answer, key_argument="key", refers="Post")


GRAPH = graph(Query, POSTS)


@pytest.fixture
async def blog() -> Both:
    CALLS.clear()
    ANSWERS.clear()
    return await both(GRAPH, {POSTS: [("1", "one", "a"), ("2", None, "b"), ("3", "bad", None), ("4", "four", "a")]})


def null(field: str) -> str:
    return f"Cannot return null for non-nullable field Post.{field}."


async def test_a_batch_is_called_once_with_the_keys_of_all_parents(blog: Both) -> None:
    ANSWERS.update({"1": "x", "3": "z"})
    assert await blog.data("{ posts { nodes { value } } }") == {
        "posts": {"nodes": [{"value": "x"}, {"value": None}, {"value": "z"}, {"value": None}]}
    }
    assert CALLS == [["1", "2", "3", "4"]]


async def test_a_batch_gets_each_key_once_in_the_order_of_the_parents(blog: Both) -> None:
    ANSWERS.update({"a": "A", "b": "B"})
    assert await blog.data("{ posts(orderBy: {field: KEY, direction: DESC}) { nodes { byValue } } }") == {
        "posts": {"nodes": [{"byValue": "A"}, {"byValue": None}, {"byValue": "B"}, {"byValue": "A"}]}
    }
    assert CALLS == [["a", "b"]]


async def test_results_are_those_of_the_keys_in_their_order_whatever_it_is(blog: Both) -> None:
    ANSWERS.update({"1": "x", "3": "z"})
    query = "{ posts(orderBy: {field: KEY, direction: DESC}) { nodes { value } } }"
    assert await blog.data(query) == {"posts": {"nodes": [{"value": None}, {"value": "z"}, {"value": None}, {"value": "x"}]}}
    assert CALLS == [["4", "3", "2", "1"]]


async def test_a_batch_without_keys_is_not_called(blog: Both) -> None:
    await blog.data('{ post(id: "3") { byValue } posts(first: 0) { nodes { value } } }')
    assert CALLS == []


async def test_a_parent_without_a_key_has_null(blog: Both) -> None:
    ANSWERS["b"] = None
    await blog.answer('{ post(id: "3") { byValue byBadges { level } } }', data={"post": {"byValue": None, "byBadges": None}})
    await blog.answer('{ post(id: "3") { sureByValue } }', data={"post": None}, errors={"post.sureByValue": null("sureByValue")})


async def test_parents_without_a_key_do_not_take_the_second_walk(blog: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.service.complete_with_nulls", None)
    assert await blog.data('{ post(id: "3") { byValue byBadges { level } } }') == {"post": {"byValue": None, "byBadges": None}}


async def test_a_parent_without_a_key_is_not_touched_by_a_batch_that_fails(blog: Both) -> None:
    ANSWERS["a"] = ANSWERS["b"] = ValueError()
    await blog.answer(
        "{ posts { nodes { byValue } } }",
        data={"posts": {"nodes": [{"byValue": None}] * 4}},
        errors={f"posts.nodes.{i}.byValue": MASKED for i in (0, 1, 3)},
    )


async def test_arguments_have_their_defaults(blog: Both) -> None:
    await blog.answer(
        """query ($times: Int, $unit: Unit!, $no: String) { post(id: "1") { told a: told(times: 3) b: told(unit: HOURS, suffix: "!")
            c: told(times: $times) d: told(unit: $unit, suffix: $no) e: told(suffix: null) } }""".replace(
            "$times: Int,", "$times: Int = 1,"
        ),
        {"unit": "HOURS"},
        data={"post": {"told": "11dNone", "a": "111dNone", "b": "11h!", "c": "1dNone", "d": "11hNone", "e": "11dNone"}},
    )


async def test_one_alias_with_other_arguments_is_another_call(blog: Both) -> None:
    await blog.data("{ posts { nodes { told a: told(times: 3) } } }")
    assert CALLS == [["1", "2", "3", "4"]] * 2


@pytest.mark.parametrize(
    "results", [lambda _: [], lambda keys: keys[1:], lambda keys: [*keys, "one more"], lambda _: None, lambda _: 7], ids=range(5)
)
async def test_a_wrong_number_of_results_fails_every_parent_and_is_masked(blog: Both, results: Callable[[list[Key]], Any]) -> None:
    ANSWERS["all"] = results
    got = await blog.answer(
        "{ posts { nodes { id all } } }",
        data={"posts": {"nodes": [{"id": f"Post:{n}", "all": None} for n in "1234"]}},
        errors={f"posts.nodes.{i}.all": MASKED for i in range(4)},
    )
    assert got["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "test"}


async def test_an_exception_in_one_slot_fails_that_key_alone(blog: Both) -> None:
    ANSWERS.update({"1": "x", "2": ValueError("secret"), "3": StoreTimeout("posts", 2), "4": "w"})
    got = await blog.answer(
        "{ posts { nodes { value } } }",
        data={"posts": {"nodes": [{"value": "x"}, {"value": None}, {"value": None}, {"value": "w"}]}},
        errors={"posts.nodes.1.value": MASKED, "posts.nodes.2.value": "The store 'posts' did not answer within 2 s."},
    )
    assert [error["extensions"]["code"] for error in got["errors"]] == ["INTERNAL_SERVER_ERROR", "STORE_TIMEOUT"]


async def test_an_exception_in_a_slot_of_a_required_field_nulls_its_object(blog: Both) -> None:
    ANSWERS.update({"1": "x", "2": ValueError("secret")})
    await blog.answer(
        '{ a: post(id: "1") { sureValue } b: post(id: "2") { sureValue } }',
        data={"a": {"sureValue": "x"}, "b": None},
        errors={"b.sureValue": MASKED},
    )


async def test_none_in_a_required_field_nulls_its_object(blog: Both) -> None:
    await blog.answer('{ post(id: "1") { sureValue } }', data={"post": None}, errors={"post.sureValue": null("sureValue")})


async def test_a_batch_that_raises_fails_every_parent_and_nothing_else(blog: Both) -> None:
    ANSWERS["all"] = ValueError("secret")
    await blog.answer(
        '{ posts(first: 2) { nodes { all name } } post(id: "1") { told } }',
        data={"posts": {"nodes": [{"all": None, "name": "one"}, {"all": None, "name": None}]}, "post": {"told": "11dNone"}},
        errors={"posts.nodes.0.all": MASKED, "posts.nodes.1.all": MASKED},
    )


async def test_a_batch_that_raises_before_it_awaits_is_as_one_that_raises(blog: Both) -> None:
    await blog.answer('{ post(id: "1") { name early } }', data={"post": {"name": "one", "early": None}}, errors={"post.early": MASKED})


async def test_a_graphql_error_of_a_batch_is_told_with_its_extensions(blog: Both) -> None:
    ANSWERS["1"] = GraphQLError("Not on Sundays.", extensions={"code": "SUNDAY"})
    got = await blog.answer('{ post(id: "1") { value } }', data={"post": {"value": None}}, errors={"post.value": "Not on Sundays."})
    assert got["errors"][0]["extensions"] == {"code": "SUNDAY"}


async def test_a_row_of_a_batch_is_an_object_with_fields_of_its_own(blog: Both) -> None:
    ANSWERS.update({"1": ("2", 5), "2": ("9", None)})
    await blog.answer(
        '{ posts(first: 1) { nodes { badge { level postId post { name badge { level } } } } } post(id: "3") { badge { level } } }',
        data={
            "posts": {"nodes": [{"badge": {"level": 5, "postId": "Post:2", "post": {"name": None, "badge": {"level": None}}}}]},
            "post": {"badge": None},
        },
    )


async def test_a_required_row_of_a_batch_that_is_missing_nulls_its_parent(blog: Both) -> None:
    await blog.answer('{ post(id: "1") { sureBadge { level } } }', data={"post": None}, errors={"post.sureBadge": null("sureBadge")})
    ANSWERS["1"] = ("9", 1)
    message = "Cannot return null for non-nullable field Badge.post."
    await blog.answer('{ post(id: "1") { sureBadge { post { id } } } }', data={"post": None}, errors={"post.sureBadge.post": message})
    await blog.answer('{ post(id: "1") { badge { post { id } } } }', data={"post": {"badge": None}}, errors={"post.badge.post": message})


async def test_an_exception_in_place_of_a_row(blog: Both) -> None:
    ANSWERS.update({"1": ValueError(), "2": ("1", 2)})
    await blog.answer(
        "{ posts(first: 2) { nodes { badge { level } } } }",
        data={"posts": {"nodes": [{"badge": None}, {"badge": {"level": 2}}]}},
        errors={"posts.nodes.0.badge": MASKED},
    )


async def test_an_exception_in_place_of_rows(blog: Both) -> None:
    ANSWERS.update({"1": ValueError(), "2": [("1", 2)]})
    await blog.answer(
        '{ a: post(id: "1") { badges { level } } b: post(id: "2") { badges { level } } }',
        data={"a": None, "b": {"badges": [{"level": 2}]}},
        errors={"a.badges": MASKED},
    )


async def test_a_batch_at_the_root_takes_its_key_from_an_argument(blog: Both) -> None:
    ANSWERS.update({"1": ("4", 7), "2": "two"})
    await blog.answer(
        '{ badge(postId: "Post:1") { level post { name } } none: badge(postId: "3") { level } word(key: "2") }',
        data={"badge": {"level": 7, "post": {"name": "four"}}, "none": None, "word": "two"},
    )
    await blog.answer('{ word(key: "9") }', data=None, errors={"word": "Cannot return null for non-nullable field Query.word."})


@pytest.mark.parametrize("row", [("1",), (), ("1", 2, 3), 5], ids=["short", "empty", "long", "none"])
async def test_a_row_of_another_width_fails_its_batch_with_a_sentence_in_the_log(
    blog: Both, row: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ANSWERS["1"] = row
    text = '{ post(id: "1") { name badge { post { id } level } } }'
    await blog.answer(text, data={"post": {"name": "one", "badge": None}}, errors={"post.badge": MASKED})
    expected = "rows, which are sequences, got int" if row == 5 else f"rows of 2 values (post, level), got one of {len(row)}"
    assert f"the batch function test_batched.answer: expected {expected}" in caplog.text


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"1": "one"}, "expected a list of 1 results, in the order of the keys, got dict"),
        ("o", "expected a list of 1 results, in the order of the keys, got str"),
        (["one", "two"], "expected 1 results, one for each key, got 2"),
        ([], "expected 1 results, one for each key, got 0"),
        (None, "expected a list of 1 results, in the order of the keys, got NoneType"),
    ],
    ids=["mapping", "text", "too many", "too few", "nothing"],
)
async def test_a_batch_of_another_shape_fails_with_a_sentence_in_the_log(
    blog: Both, answer: Any, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    ANSWERS["all"] = lambda _: answer
    await blog.answer('{ post(id: "1") { name all } }', data={"post": {"name": "one", "all": None}}, errors={"post.all": MASKED})
    assert f"the batch function test_batched.whole: {sentence}" in caplog.text


async def test_a_computed_field_has_the_columns_it_needs_and_no_others_are_shown(blog: Both) -> None:
    await blog.answer('{ post(id: "1") { loud both } }', data={"post": {"loud": "ONE", "both": "1one"}})
    await blog.data('{ post(id: "1") { loud } }')
    [get] = blog.asked()
    assert get.columns == ("name",)


async def test_a_computed_field_that_raises_is_masked_and_null(blog: Both) -> None:
    got = await blog.answer(
        "{ posts(first: 3) { nodes { loud name } } }",
        data={"posts": {"nodes": [{"loud": "ONE", "name": "one"}, {"loud": None, "name": None}, {"loud": None, "name": "bad"}]}},
        errors={"posts.nodes.2.loud": MASKED},
    )
    assert got["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "test"}
    assert "secret" not in str(got)


async def test_a_computed_field_without_a_value_nulls_where_it_must_have_one(blog: Both) -> None:
    await blog.answer('{ post(id: "2") { sureLoud } }', data={"post": None}, errors={"post.sureLoud": null("sureLoud")})
    await blog.answer('{ post(id: "3") { sureLoud } }', data={"post": None}, errors={"post.sureLoud": MASKED})


# ------------------------------------------------------------------------------------------------------------ cancellation


async def test_a_request_that_is_cancelled_ends_all_functions_that_it_waits_for() -> None:
    started, ended = asyncio.Event(), []
    waiting = 0

    async def endless(_: RequestContext, keys: Sequence[Key]) -> list[Any]:
        nonlocal waiting
        waiting += 1
        if waiting == 2:
            started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(keys[0])
            raise
        return []

    @strawberry.type
    class Query:
        first: str | None = batched(endless, key_argument="id")
        second: str | None = batched(endless, key_argument="id")

    pair = await both(graph(Query, POSTS), {})
    request = asyncio.ensure_future(pair.engine.answer(Request('{ first(id: "1") second(id: "2") }')))
    await started.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await asyncio.sleep(0)
    assert sorted(ended) == ["1", "2"]
