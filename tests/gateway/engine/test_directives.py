"""@skip and @include (GraphQL spec 3.13): on fields, fragments and inline fragments, by literals and by variables."""

from __future__ import annotations

import pytest
import strawberry

from gateway.graph.fields import Connection, Node, column, lookup, many, one
from gateway.stores.base import Collection, Column
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph

PETS = Collection("pets", "pets", (Column("id", refers="Pet"), Column("name"), Column("friend_id", nullable=True, refers="Pet")))


@strawberry.type
class Pet(Node):
    id: strawberry.ID = column()
    name: str = column()
    friend: Pet | None = one(PETS, by="friend_id")


@strawberry.type
class Query:
    pet: Pet | None = lookup(PETS, by={"id": "id"})
    pets: Connection[Pet] = many(PETS, where=Named, order=Sorted)


GRAPH = graph(Query, PETS)
A, B = {"name": "Rex"}, {"id": "Pet:1"}


@pytest.fixture
async def kennel() -> Both:
    return await both(GRAPH, {PETS: [("1", "Rex", "2"), ("2", "Tom", None)]})


@pytest.mark.parametrize(
    ("directives", "expected"),
    [
        ("@include(if: true)", B | A),
        ("@include(if: false)", B),
        ("@skip(if: true)", B),
        ("@skip(if: false)", B | A),
        ("@skip(if: false) @include(if: true)", B | A),
        ("@skip(if: true) @include(if: true)", B),
        ("@skip(if: false) @include(if: false)", B),
        ("@skip(if: true) @include(if: false)", B),
    ],
)
@pytest.mark.parametrize("selection", ["name {}", "...N {}", "... on Pet {} {{ name }}", "... {} {{ name }}", "... on Node {} {{ ...N }}"])
async def test_literals_switch_fields_and_fragments(kennel: Both, selection: str, directives: str, expected: dict[str, str]) -> None:
    used = " @skip(if: false)" if "...N" not in selection else ""
    unused = "... on Pet @include(if: false) { ...N }" if used else ""
    text = f'query {{ pet(id: "1") {{ id {selection.format(directives)} {unused} }} }} fragment N on Pet {{ name }}'
    await kennel.answer(text, data={"pet": expected})


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("skip", [True, False])
async def test_variables_switch_and_both_must_agree(kennel: Both, include: bool, skip: bool) -> None:
    await kennel.answer(
        'query ($i: Boolean!, $s: Boolean!) { pet(id: "1") { id name @include(if: $i) @skip(if: $s) } }',
        {"i": include, "s": skip},
        data={"pet": B | A if include and not skip else B},
    )


async def test_a_switch_has_its_default(kennel: Both) -> None:
    text = 'query ($i: Boolean = false) { pet(id: "1") { id name @include(if: $i) } }'
    await kennel.answer(text, data={"pet": B})
    await kennel.answer(text, {"i": True}, data={"pet": B | A})


async def test_a_switch_that_is_null_is_refused(kennel: Both) -> None:
    text = 'query ($i: Boolean = false) { pet(id: "1") { id name @include(if: $i) } }'
    [message] = await kennel.refused(text, {"i": None}, code="BAD_USER_INPUT")
    assert "@include" in message
    assert "$i" in message


async def test_a_null_switch_of_another_operation_is_no_matter(kennel: Both) -> None:
    text = 'query A { pet(id: "1") { name } } query B($i: Boolean = true) { pet(id: "1") { id @include(if: $i) } }'
    await kennel.answer(text, data={"pet": A}, operation="A")


async def test_an_object_of_which_all_is_skipped_is_empty(kennel: Both) -> None:
    await kennel.answer('{ pet(id: "1") { name @skip(if: true) } }', data={"pet": {}})
    await kennel.answer('{ pet(id: "9") { name @skip(if: true) } }', data={"pet": None})
    await kennel.answer("{ pets { nodes { id @skip(if: true) } } }", data={"pets": {"nodes": [{}, {}]}})
    await kennel.answer(
        "{ pets { edges { node @skip(if: true) { id } } pageInfo { endCursor @skip(if: true) } } }",
        data={"pets": {"edges": [{}, {}], "pageInfo": {}}},
    )
    await kennel.answer("{ pets { nodes @skip(if: true) { id } } }", data={"pets": {}})


async def test_an_operation_of_which_all_is_skipped_asks_nobody(kennel: Both) -> None:
    await kennel.answer('{ pet(id: "1") @skip(if: true) { name } }', data={})
    assert kennel.asked() == []


async def test_a_field_skipped_once_and_asked_once_is_there(kennel: Both) -> None:
    await kennel.answer('{ pet(id: "1") { name @skip(if: true) id name } }', data={"pet": B | A})
    await kennel.answer('{ pet(id: "1") @skip(if: true) { name } pet(id: "1") { id } }', data={"pet": B})
    await kennel.answer(
        'query { pet(id: "1") { ...N @skip(if: true) id ...N } } fragment N on Pet { name }', data={"pet": {"id": "Pet:1", "name": "Rex"}}
    )


async def test_a_skipped_field_asks_no_store_and_no_column(kennel: Both) -> None:
    await kennel.data('{ pet(id: "1") { id name @skip(if: true) friend @include(if: false) { name } } }')
    [get] = kennel.asked()
    assert get.columns == ("id",)


async def test_a_switch_below_a_fragment_below_a_switch(kennel: Both) -> None:
    text = """query ($a: Boolean!, $b: Boolean!) { pet(id: "1") { ...F @include(if: $a) id } }
        fragment F on Pet { friend @skip(if: $b) { name id @include(if: $b) } }"""
    await kennel.answer(text, {"a": True, "b": False}, data={"pet": {"friend": {"name": "Tom"}, "id": "Pet:1"}})
    await kennel.answer(text, {"a": True, "b": True}, data={"pet": B})
    await kennel.answer(text, {"a": False, "b": False}, data={"pet": B})


async def test_switches_on_the_parts_of_a_connection(kennel: Both) -> None:
    text = "query ($n: Boolean!) { pets(first: 1) { totalCount @include(if: $n) nodes @skip(if: $n) { name } } }"
    await kennel.answer(text, {"n": True}, data={"pets": {"totalCount": 2}})
    await kennel.answer(text, {"n": False}, data={"pets": {"nodes": [A]}})


async def test_a_null_switch_at_the_root_and_in_a_connection(kennel: Both) -> None:
    text = "query ($s: Boolean = false) { __typename @skip(if: $s) }"
    assert await kennel.refused(text, {"s": None}, code="BAD_USER_INPUT") == ["@skip: expected a Boolean, got null from $s"]
    text = "query ($s: Boolean = false) { all: pets { ... @skip(if: $s) { totalCount } } }"
    assert await kennel.refused(text, {"s": None}, code="BAD_USER_INPUT") == ["all: @skip: expected a Boolean, got null from $s"]
