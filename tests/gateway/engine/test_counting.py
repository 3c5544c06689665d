"""What an answer may have is counted while its rows are taken, where its page sizes alone do not say that it is within the limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import strawberry

from gateway import service as walk
from gateway.context import RequestContext
from gateway.engine.complete import Prepared, complete
from gateway.engine.results import State
from gateway.graph import Connection, Node, batched, column, each, filter_of, lookup, many, mutation, one, order_of
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.stores.base import Collection, Column, Key, Row, Type
from tests.gateway.engine.graphs import Both, both, graph, respond

PARENTS = Collection("parents", "parents", (Column("id", refers="Parent"), Column("label", nullable=True)))
CHILDREN = Collection(
    "children",
    "children",
    (
        Column("id", refers="Child"),
        Column("parent_id", refers="Parent"),
        Column("text", nullable=True),
        Column("words", Type.TEXTS, nullable=True),
        Column("more", Type.JSON, nullable=True),
    ),
)
GROUPS = Collection("groups", "groups", (Column("id", refers="Group"), Column("member_ids", refers="Parent", many=True)))


async def four_each(_: RequestContext, keys: Sequence[Key], *, first: int | None = None) -> list[list[Row]]:
    return [[(str(number),) for number in range(4)] for _ in keys]


@strawberry.type
class Word:
    text: str = column()


@strawberry.type
class Child(Node):
    id: strawberry.ID = column()
    parent: Parent = one(PARENTS, by="parent_id")
    text: str | None = column()
    words: list[str] | None = column()
    more: strawberry.scalars.JSON | None = column()


@strawberry.type
class Parent(Node):
    id: strawberry.ID = column()
    label: str | None = column()
    four: list[Word] = batched(four_each, columns=[Column("text")], page=["first"])
    children: Connection[Child] = many(CHILDREN, by="parent_id", where=filter_of(CHILDREN), order=order_of(CHILDREN))


@strawberry.type
class Group(Node):
    id: strawberry.ID = column()
    members: list[Parent] | None = each(PARENTS, by="member_ids", semantic_non_null=False)


@strawberry.type
class Query:
    group: Group | None = lookup(GROUPS, by={"id": "id"})
    groups: Connection[Group] = many(GROUPS, where=filter_of(GROUPS), order=order_of(GROUPS))
    parents: Connection[Parent] = many(PARENTS, where=filter_of(PARENTS), order=order_of(PARENTS))


async def touch_all(_: RequestContext) -> list[dict[str, Any]]:
    return [{"id": str(number), "parent_id": "0", "text": "", "words": [], "more": None} for number in range(12)]


@strawberry.type
class Mutation:
    touch_all: list[Child] | None = mutation(touch_all, CHILDREN)


GRAPH = graph(Query, PARENTS, CHILDREN, GROUPS, mutation=Mutation)
COUNT = 50  # parents; with a hundred children each, the cost of QUERY is 5,050: more than what is a small answer
QUERY = "{ parents(first: 50) { nodes { id children(first: 100) { nodes { text words more } } } } }"
LIMIT_BYTES = 400_000  # as many keys as QUERY may have take 156,100


class Watched:
    """A service whose objects are made where it can be seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Both, limits: Limits) -> None:
        self.service = Service(GRAPH, found.stores, limits)
        self.completed = self.aside = 0
        aside = self.service._aside

        def completing(prepared: Prepared, state: State) -> Any:
            self.completed += 1
            return complete(prepared, state)

        async def going_aside(*arguments: Any, **options: Any) -> Any:
            self.aside += 1
            return await aside(*arguments, **options)

        monkeypatch.setattr(walk, "complete", completing)
        monkeypatch.setattr(self.service, "_aside", going_aside)

    async def answer(self, query: str = QUERY) -> tuple[int, Any]:
        response = await respond(self.service, query)
        return response.status, orjson.loads(response.body)


async def watched(monkeypatch: pytest.MonkeyPatch, children: Sequence[Row], label: str | None = None, **limits: int) -> Watched:
    found = await both(GRAPH, {PARENTS: [(f"{number:02}", label) for number in range(COUNT)], CHILDREN: children})
    return Watched(monkeypatch, found, Limits(**limits))  # type: ignore[arg-type]


LONG = "x" * (LIMIT_BYTES + 1)


@pytest.mark.parametrize(
    "values", [(LONG, None, None), (None, [LONG, ""], None), (None, None, json.dumps([LONG]))], ids=["text", "list", "json"]
)
async def test_one_long_value_among_many_objects_is_found_before_an_object_is_made(monkeypatch: pytest.MonkeyPatch, values: Row) -> None:
    """It stands where no sample is taken."""
    rows = [(f"{number:03}", f"{number % COUNT:02}", *(values if number == 247 else ("", [], None))) for number in range(250)]
    gateway_ = await watched(monkeypatch, rows, response_limit_bytes=LIMIT_BYTES)
    status, answer = await gateway_.answer()
    assert (status, answer["data"], gateway_.completed) == (422, None, 0)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["RESULT_LIMIT"]


async def test_a_long_value_that_fits_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many of it as the page sizes allow would not fit: so it is counted how many there are."""
    long = "x" * (LIMIT_BYTES // 2)
    rows: list[Row] = [("1", "00", long, None, None), *((f"2{number:03}", f"{number % COUNT:02}", "", [], None) for number in range(100))]
    gateway_ = await watched(monkeypatch, rows, response_limit_bytes=LIMIT_BYTES)
    status, answer = await gateway_.answer()
    assert (status, gateway_.completed) == (200, 1)
    assert answer["data"]["parents"]["nodes"][0]["children"]["nodes"][0] == {"text": long, "words": None, "more": None}


async def test_many_texts_of_middling_length_are_too_long_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"{number:03}", f"{number % COUNT:02}", "x" * (LIMIT_BYTES // 100), None, None) for number in range(250)]
    gateway_ = await watched(monkeypatch, rows, response_limit_bytes=LIMIT_BYTES)
    status, answer = await gateway_.answer()
    assert (status, gateway_.completed) == (422, 0)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["RESULT_LIMIT"]


async def test_a_text_that_many_rows_share_is_as_long_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"{number:03}", "00", None, None, None) for number in range(100)]
    gateway_ = await watched(monkeypatch, rows, "x" * (LIMIT_BYTES // 80), response_limit_bytes=LIMIT_BYTES)
    status, answer = await gateway_.answer("{ parents(first: 50) { nodes { children(first: 90) { nodes { parent { label } } } } } }")
    assert (status, gateway_.completed) == (422, 0)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["RESULT_LIMIT"]


async def test_objects_that_parents_share_go_aside_with_as_many_as_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """250 rows, and 50 + 1 + 50 * 50 objects."""
    rows = [(f"{number:03}", f"{number % 5:02}", None, None, None) for number in range(250)]
    gateway_ = await watched(monkeypatch, rows, cost_max=20_000)
    query = "{ parents(first: 1) { nodes { children(first: 50) { nodes { parent { children(first: 70) { nodes { id } } } } } } } }"
    status, answer = await gateway_.answer(query)
    assert (status, gateway_.aside) == (200, 1)
    assert len(answer["data"]["parents"]["nodes"][0]["children"]["nodes"][0]["parent"]["children"]["nodes"]) == 50


@pytest.mark.parametrize(("each", "aside"), [(2, 0), (100, 1)])
async def test_an_answer_goes_aside_for_the_objects_that_it_has_and_not_for_those_that_it_may_have(
    monkeypatch: pytest.MonkeyPatch, each: int, aside: int
) -> None:
    rows = [(f"{number:05}", f"{number % COUNT:02}", "a", ["b"], None) for number in range(each * COUNT)]
    gateway_ = await watched(monkeypatch, rows)
    status, answer = await gateway_.answer()
    assert (status, gateway_.aside) == (200, aside)
    assert [len(node["children"]["nodes"]) for node in answer["data"]["parents"]["nodes"]] == [each] * COUNT


async def test_more_objects_than_are_allowed_are_counted_where_page_sizes_allow_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = [(f"{number:05}", f"{number % COUNT:02}", "a", [], None) for number in range(3 * COUNT)]
    allowed = await watched(monkeypatch, rows, objects_max=4 * COUNT)
    assert (await allowed.answer())[0] == 200
    refused = await watched(monkeypatch, rows, objects_max=4 * COUNT - 1)
    _, answer = await refused.answer()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["RESULT_LIMIT"] * len(answer["errors"])
    assert answer["errors"]


@pytest.mark.parametrize(("most", "is_refused"), [(3_061, False), (3_060, True)])
async def test_pages_below_a_longer_list_are_counted(most: int, is_refused: bool) -> None:
    """Ten members are assumed, which have a thousand children at most: there are sixty members, of fifty children each."""
    members = [f"{number:02}" for number in range(60)]
    children = [(f"{member}-{number}", member, None, None, None) for member in members for number in range(50)]
    found = await both(GRAPH, {GROUPS: [("1", members)], PARENTS: [(member, None) for member in members], CHILDREN: children})
    query = '{ group(id: "1") { members { children(first: 100) { nodes { id } } } } }'
    answer = orjson.loads((await respond(Service(GRAPH, found.stores, Limits(objects_max=most)), query)).body)
    assert {error["extensions"]["code"] for error in answer.get("errors", ())} == ({"RESULT_LIMIT"} if is_refused else set())
    if not is_refused:
        assert [len(member["children"]["nodes"]) for member in answer["data"]["group"]["members"]] == [50] * 60


@pytest.mark.parametrize(("most", "is_refused"), [(12, False), (11, True)])
async def test_rows_that_a_mutation_gives_are_counted(most: int, is_refused: bool) -> None:
    """Ten are assumed, as no argument of it is a list; that it has written is told."""
    found = await both(GRAPH, {})
    answer = orjson.loads((await respond(Service(GRAPH, found.stores, Limits(objects_max=most)), "mutation { touchAll { id } }")).body)
    if is_refused:
        assert (answer["data"], answer["extensions"]) == ({"touchAll": None}, {"committed": ["touchAll"]})
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["RESULT_LIMIT"]
    else:
        assert answer == {"data": {"touchAll": [{"id": f"Child:{number}"} for number in range(12)]}}


async def test_a_long_value_below_a_longer_list_is_found_before_an_object_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many as were assumed it is a small answer, of which samples are looked at."""
    members = [f"{number:02}" for number in range(60)]
    children: list[Row] = [
        (f"{member}-{number}", member, LONG if (member, number) == ("33", 2) else "", None, None)
        for member in members
        for number in range(5)
    ]
    found = await both(GRAPH, {GROUPS: [("1", members)], PARENTS: [(member, None) for member in members], CHILDREN: children})
    gateway_ = Watched(monkeypatch, found, Limits(response_limit_bytes=LIMIT_BYTES))
    status, _ = await gateway_.answer('{ group(id: "1") { members { children(first: 100) { nodes { text } } } } }')
    assert (status, gateway_.completed) == (422, 0)


@pytest.mark.parametrize(("most", "is_refused"), [(10, False), (9, True)])
async def test_rows_of_a_list_that_was_asked_for_none_are_counted(most: int, is_refused: bool) -> None:
    found = await both(GRAPH, {PARENTS: [("1", None), ("2", None)]})
    query = "{ parents(first: 2) { nodes { four(first: 0) { text } } } }"
    answer = orjson.loads((await respond(Service(GRAPH, found.stores, Limits(objects_max=most)), query)).body)
    assert {error["extensions"]["code"] for error in answer.get("errors", ())} == ({"RESULT_LIMIT"} if is_refused else set())


@pytest.mark.parametrize(("most", "is_refused"), [(62, False), (61, True)])
async def test_a_longer_list_is_counted_beside_one_that_is_none(most: int, is_refused: bool) -> None:
    members = [f"{number:02}" for number in range(60)]
    found = await both(GRAPH, {GROUPS: [("1", members), ("2", 7)], PARENTS: [(member, None) for member in members]})
    query = "{ groups(first: 2) { nodes { members { id } } } }"
    answer = orjson.loads((await respond(Service(GRAPH, found.stores, Limits(objects_max=most)), query)).body)
    codes = {error["extensions"]["code"] for error in answer["errors"]}
    assert ("RESULT_LIMIT" in codes) == is_refused, answer
    assert answer["data"]["groups"]["nodes"][0]["members"] == (None if is_refused else [{"id": f"Parent:{member}"} for member in members])
