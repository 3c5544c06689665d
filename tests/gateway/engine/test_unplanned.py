"""What the engine does not plan goes to graphql-core whole, with the reason counted; every argument is checked before all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import pytest
import strawberry

from gateway.context import RequestContext
from gateway.fields import Connection, Node, batched, column, lookup, many, one
from gateway.stores.base import Collection, Column, Key
from tests.gateway.engine.graphs import MASKED, Both, Named, Sorted, both, graph, respond

FISH = Collection("fish", "fish", (Column("id", refers="Fish"), Column("name"), Column("prey_id", nullable=True)))


@dataclass
class Plain:
    word: str
    secret: str = "not for clients"


async def plain(_: RequestContext, keys: Sequence[Key]) -> list[Plain]:
    return [Plain(f"word {key}") for key in keys]


@strawberry.type
class Wordy:
    word: str = column()


@strawberry.interface
class Sized:
    size: int


@strawberry.type(name="Shell")
class Mollusc(Sized):
    pass


@strawberry.type
class Fish(Node):
    id: strawberry.ID = column()
    name: str = column()
    prey: Node | None = one(FISH, by="prey_id")
    wordy: Wordy | None = batched(plain)
    school: Connection[Fish] = many(FISH, by="prey_id", where=Named, order=Sorted)

    @strawberry.field
    def shout(self) -> str:
        return self.name.upper()


@strawberry.type
class Query:
    fish: Fish | None = lookup(FISH, by={"id": "id"})
    things: Connection[Node] = many(FISH, where=Named, order=Sorted)
    all: Connection[Fish] = many(FISH, where=Named, order=Sorted)

    @strawberry.field
    async def hello(self, name: str = "you") -> str:
        return f"hello {name}"

    @strawberry.field
    def broken(self) -> str | None:
        raise ValueError("secret")

    @strawberry.field
    def sized(self) -> Sized:
        return Mollusc(size=4)

    @strawberry.field
    def either(self, shell: bool) -> Annotated[Mollusc | Wordy, strawberry.union("Either")]:
        return Mollusc(size=3) if shell else Wordy(word="w")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self) -> AsyncIterator[int]:
        yield 1


GRAPH = graph(Query, FISH, subscription=Subscription, types=[Mollusc])


@pytest.fixture
async def sea() -> Both:
    return await both(GRAPH, {FISH: [("1", "pike", "2"), ("2", "roach", None)]})


async def test_a_resolver_written_by_hand(sea: Both) -> None:
    await sea.answer("{ hello }", data={"hello": "hello you"}, unplanned="Query.hello has a resolver of its own")
    await sea.answer(
        'query ($n: String!) { a: hello(name: $n) fish(id: "1") { name } }',
        {"n": "me"},
        data={"a": "hello me", "fish": {"name": "pike"}},
        unplanned="Query.hello has a resolver of its own",
    )


async def test_a_resolver_written_by_hand_sees_the_columns_of_its_row(sea: Both) -> None:
    await sea.answer(
        '{ fish(id: "1") { shout school { nodes { shout } } } all { edges { node { shout } } } }',
        data={
            "fish": {"shout": "PIKE", "school": {"nodes": []}},
            "all": {"edges": [{"node": {"shout": "PIKE"}}, {"node": {"shout": "ROACH"}}]},
        },
        unplanned="Fish.shout has a resolver of its own",
    )


async def test_a_resolver_that_raises_is_masked(sea: Both) -> None:
    await sea.answer(
        '{ broken fish(id: "2") { name } }',
        data={"broken": None, "fish": {"name": "roach"}},
        errors={"broken": MASKED},
        unplanned="Query.broken has a resolver of its own",
    )


async def test_a_union_of_a_resolver_written_by_hand(sea: Both) -> None:
    await sea.answer(
        "{ a: either(shell: true) { __typename ... on Shell { size } } b: either(shell: false) { ... on Wordy { word } } }",
        data={"a": {"__typename": "Shell", "size": 3}, "b": {"word": "w"}},
        unplanned="Query.either has a resolver of its own",
    )


async def test_an_interface_of_a_resolver_written_by_hand(sea: Both) -> None:
    await sea.answer(
        "{ sized { __typename size ... on Shell { again: size } } }",
        data={"sized": {"__typename": "Shell", "size": 4, "again": 4}},
        unplanned="Query.sized has a resolver of its own",
    )


async def test_a_resolver_that_is_skipped_is_no_reason(sea: Both) -> None:
    await sea.answer('{ hello @skip(if: true) fish(id: "1") { name shout @include(if: false) } }', data={"fish": {"name": "pike"}})


async def test_an_abstract_field_that_is_no_node(sea: Both) -> None:
    await sea.answer(
        '{ fish(id: "1") { prey { __typename id ... on Fish { name } } } }',
        data={"fish": {"prey": {"__typename": "Fish", "id": "Fish:2", "name": "roach"}}},
        unplanned="Fish.prey is of an abstract type",
    )


async def test_a_connection_of_an_abstract_type(sea: Both) -> None:
    await sea.answer(
        "{ things(first: 1) { totalCount nodes { __typename ... on Fish { name } } edges { node { id } } } }",
        data={"things": {"totalCount": 2, "nodes": [{"__typename": "Fish", "name": "pike"}], "edges": [{"node": {"id": "Fish:1"}}]}},
        unplanned="NodeEdge.node is of an abstract type",
    )


async def test_a_batch_of_objects_without_columns(sea: Both) -> None:
    await sea.answer(
        '{ fish(id: "1") { wordy { word } } }',
        data={"fish": {"wordy": {"word": "word 1"}}},
        unplanned="Fish.wordy has objects without columns",
    )


async def test_introspection(sea: Both) -> None:
    await sea.answer(
        '{ __type(name: "Wordy") { name fields { name } } __schema { queryType { name } } fish(id: "1") { name } }',
        data={
            "__type": {"name": "Wordy", "fields": [{"name": "word"}]},
            "__schema": {"queryType": {"name": "Query"}},
            "fish": {"name": "pike"},
        },
    )


@pytest.mark.parametrize("reason", ["hello", "__schema { queryType { name } }", 'fish(id: "1") { shout }'])
async def test_arguments_are_all_checked_before_graphql_core_runs(sea: Both, reason: str) -> None:
    assert await sea.refused(f"{{ {reason} all(first: -1) {{ totalCount }} }}", code="BAD_USER_INPUT") == [
        "all: first: expected 0 to 100 (setting page_max), got -1"
    ]
    await sea.refused(
        f'query ($n: Int!) {{ {reason} x: fish(id: "1") {{ school(first: $n) {{ totalCount }} }} }}', {"n": 101}, code="BAD_USER_INPUT"
    )
    assert not sea.engine.unplanned


async def test_reasons_are_counted(sea: Both) -> None:
    for text in ("{ hello }", "{ hello }", "{ __schema { queryType { name } } }", '{ fish(id: "1") { name } }'):
        await respond(sea.engine, text)
    assert sea.engine.unplanned == {"Query.hello has a resolver of its own": 2}


async def test_a_subscription_is_refused(sea: Both) -> None:
    response = await respond(sea.engine, "subscription { ticks }")
    answer: Any = orjson.loads(response.body)
    assert response.status == 405
    assert answer == {"errors": [{"message": "A subscription needs a stream.", "extensions": {"code": "METHOD_NOT_ALLOWED"}}]}
