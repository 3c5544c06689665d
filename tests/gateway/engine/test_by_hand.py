"""Resolvers written by hand, objects that code gives, and fields of interfaces and unions: all are planned."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, cast

import orjson
import pytest
import strawberry
from strawberry.permission import BasePermission
from strawberry.types import Info

from gateway.context import RequestContext
from gateway.graph.fields import Connection, Node, batched, column, computed, lookup, many, one
from gateway.security.limits import Limits
from gateway.service import Service
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


class Depth(Enum):
    SHALLOW = "s"
    DEEP = "d"


strawberry.enum(Depth)


@strawberry.input
class Where:
    depth: Depth
    names: list[str] | None = None


class Fed(BasePermission):
    message = "not fed"

    def has_permission(self, source: Any, info: Info, **_: Any) -> bool:
        return bool(source.name == "pike")


@strawberry.type
class Catch:
    """What a resolver gives: attributes, a method, and fields that come from stores by its attributes."""

    weight: int | None
    prey_id: strawberry.Private[str | None] = None
    id: strawberry.Private[str] = "2"
    missing: str | None = computed(str, needs=["nowhere"])
    prey: Fish | None = one(FISH, by="prey_id")
    sure_prey: Fish = one(FISH, by="prey_id")
    eaters: Connection[Fish] = many(FISH, by="prey_id", where=Named, order=Sorted)
    wordy: Wordy | None = batched(plain, by="prey_id")
    lost: Fish | None = one(FISH, by="nowhere")

    @strawberry.field
    def doubled(self) -> int | None:
        return None if self.weight is None else 2 * self.weight

    @strawberry.field
    async def again(self, times: int = 1) -> list[Catch]:
        return [Catch(weight=n, prey_id=self.prey_id) for n in range(times)]


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

    @strawberry.field
    async def whisper(self, suffix: str = "") -> str | None:
        if self.name == "roach":
            raise ValueError("secret")
        return self.name + suffix

    @strawberry.field
    async def sure_whisper(self) -> str:
        if self.name == "roach":
            raise ValueError("secret")
        return self.name

    @strawberry.field
    def catches(self) -> list[Catch | None] | None:
        if self.name == "roach":
            return None
        return [Catch(weight=1, prey_id="1"), None, Catch(weight=None, prey_id="9")]

    @strawberry.field
    def bad_catches(self) -> list[Catch | None]:
        broken: Any = Catch(weight=2)
        broken.weight = "heavy"
        return [broken, cast("Any", ValueError("secret"))]

    @strawberry.field
    def sure_catches(self) -> list[Catch]:
        return [Catch(weight=1), cast("Any", None)]

    @strawberry.field
    def no_list(self) -> list[Catch] | None:
        return cast("list[Catch]", 5)

    @strawberry.field
    async def any_of(self, shells: int) -> list[Annotated[Mollusc | Wordy, strawberry.union("Either")]]:
        return [Mollusc(size=n) if n < shells else Wordy(word=f"w{n}") for n in range(3)]

    @strawberry.field(permission_classes=[Fed])  # type: ignore[untyped-decorator]
    def fed(self) -> str | None:
        return f"{self.name} is fed"

    @strawberry.field
    def told(self, info: Info, where: Where, also: list[Depth] | None = None) -> str:
        assert isinstance(info.context, RequestContext)
        names = ",".join(where.names or ())
        chosen = ",".join(str(depth.value) for depth in also or ())
        return f"{info.field_name} {where.depth.name} {names} {chosen} {info.python_name} {info.variable_values.get('n')}"

    @strawberry.field
    def chosen(self, info: Info) -> Wordy:
        return Wordy(word=",".join(cast("Any", selection).name for field in info.selected_fields for selection in field.selections))


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
    def stranger(self) -> Sized | None:
        return cast("Sized", Wordy(word="not sized"))

    @strawberry.field
    def catch(self) -> Catch:
        return Catch(weight=7, prey_id="1")

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
    await sea.answer("{ hello }", data={"hello": "hello you"})
    await sea.answer(
        'query ($n: String!) { a: hello(name: $n) fish(id: "1") { name } }',
        {"n": "me"},
        data={"a": "hello me", "fish": {"name": "pike"}},
    )


async def test_a_resolver_written_by_hand_sees_the_columns_of_its_row(sea: Both) -> None:
    await sea.answer(
        '{ fish(id: "1") { shout school { nodes { shout } } } all { edges { node { shout } } } }',
        data={
            "fish": {"shout": "PIKE", "school": {"nodes": []}},
            "all": {"edges": [{"node": {"shout": "PIKE"}}, {"node": {"shout": "ROACH"}}]},
        },
    )


async def test_a_resolver_that_raises_is_masked(sea: Both) -> None:
    await sea.answer(
        '{ broken fish(id: "2") { name } }',
        data={"broken": None, "fish": {"name": "roach"}},
        errors={"broken": MASKED},
    )


async def test_a_union_of_a_resolver_written_by_hand(sea: Both) -> None:
    await sea.answer(
        "{ a: either(shell: true) { __typename ... on Shell { size } } b: either(shell: false) { ... on Wordy { word } } }",
        data={"a": {"__typename": "Shell", "size": 3}, "b": {"word": "w"}},
    )


async def test_an_interface_of_a_resolver_written_by_hand(sea: Both) -> None:
    await sea.answer(
        "{ sized { __typename size ... on Shell { again: size } } }",
        data={"sized": {"__typename": "Shell", "size": 4, "again": 4}},
    )


async def test_a_resolver_that_is_skipped_is_not_called(sea: Both) -> None:
    await sea.answer('{ hello @skip(if: true) fish(id: "1") { name shout @include(if: false) } }', data={"fish": {"name": "pike"}})


async def test_an_abstract_field_that_is_no_node(sea: Both) -> None:
    await sea.answer(
        '{ fish(id: "1") { prey { __typename id ... on Fish { name } } } }',
        data={"fish": {"prey": {"__typename": "Fish", "id": "Fish:2", "name": "roach"}}},
    )


async def test_a_connection_of_an_abstract_type(sea: Both) -> None:
    await sea.answer(
        "{ things(first: 1) { totalCount nodes { __typename ... on Fish { name } } edges { node { id } } } }",
        data={"things": {"totalCount": 2, "nodes": [{"__typename": "Fish", "name": "pike"}], "edges": [{"node": {"id": "Fish:1"}}]}},
    )


async def test_a_batch_of_objects_without_columns(sea: Both) -> None:
    await sea.answer(
        '{ fish(id: "1") { wordy { word } } }',
        data={"fish": {"wordy": {"word": "word 1"}}},
    )


async def test_resolvers_that_wait_are_called_for_all_parents_and_fail_alone(sea: Both) -> None:
    await sea.answer(
        '{ all { nodes { a: whisper b: whisper(suffix: "!") } } }',
        data={"all": {"nodes": [{"a": "pike", "b": "pike!"}, {"a": None, "b": None}]}},
        errors={"all.nodes.1.a": MASKED, "all.nodes.1.b": MASKED},
    )
    await sea.answer('{ fish(id: "1") { sureWhisper } }', data={"fish": {"sureWhisper": "pike"}})
    await sea.answer('{ fish(id: "2") { name sureWhisper } }', data={"fish": None}, errors={"fish.sureWhisper": MASKED})


async def test_sources_stand_below_the_objects_that_a_resolver_gives(sea: Both) -> None:
    selection = (
        "weight doubled prey { name } eaters { totalCount nodes { name shout } } wordy { word } again(times: 2) { weight prey { id } }"
    )
    whole = {
        "weight": 7,
        "doubled": 14,
        "prey": {"name": "pike"},
        "eaters": {"totalCount": 1, "nodes": [{"name": "pike", "shout": "PIKE"}]},
        "wordy": {"word": "word 1"},
        "again": [{"weight": 0, "prey": {"id": "Fish:1"}}, {"weight": 1, "prey": {"id": "Fish:1"}}],
    }
    await sea.by_engine(f"{{ catch {{ {selection} }} }}", data={"catch": whole})


async def test_the_stores_are_asked_once_for_the_objects_of_all_parents(sea: Both) -> None:
    await sea.data("{ all { nodes { catches { prey { name } eaters { nodes { id } } } } } }")
    assert len(sea.asked()) == 3


async def test_lists_of_objects_with_nulls_and_parents_without_any(sea: Both) -> None:
    await sea.by_engine(
        "{ all { nodes { catches { weight doubled prey { name } } } } }",
        data={
            "all": {
                "nodes": [
                    {
                        "catches": [
                            {"weight": 1, "doubled": 2, "prey": {"name": "pike"}},
                            None,
                            {"weight": None, "doubled": None, "prey": None},
                        ]
                    },
                    {"catches": None},
                ]
            }
        },
    )


async def test_what_is_wrong_with_an_object_is_told_where_it_is(sea: Both) -> None:
    heavy = "Int cannot represent non-integer value: 'heavy'"
    await sea.answer(
        '{ fish(id: "1") { badCatches { weight } } }',
        data={"fish": {"badCatches": [{"weight": None}, None]}},
        errors={"fish.badCatches.0.weight": heavy, "fish.badCatches.1": MASKED},
    )
    null = "Cannot return null for non-nullable field Fish.sureCatches."
    await sea.answer('{ fish(id: "1") { name sureCatches { weight } } }', data={"fish": None}, errors={"fish.sureCatches.1": null})
    null = "Cannot return null for non-nullable field Catch.surePrey."
    await sea.by_engine(
        '{ fish(id: "1") { catches { weight surePrey { name } } } }',
        data={"fish": {"catches": [{"weight": 1, "surePrey": {"name": "pike"}}, None, None]}},
        errors={"fish.catches.2.surePrey": null},
    )


async def test_an_attribute_that_is_not_there_fails_the_fields_that_need_it(sea: Both) -> None:
    await sea.by_engine(
        "{ catch { weight missing lost { name } } }",
        data={"catch": {"weight": 7, "missing": None, "lost": None}},
        errors={"catch.missing": MASKED, "catch.lost": MASKED},
    )


async def test_what_is_no_list_is_an_error_of_its_field(sea: Both) -> None:
    answer = await sea.one(sea.engine, '{ fish(id: "1") { name noList { weight } } }')
    assert answer["data"] == {"fish": {"name": "pike", "noList": None}}
    assert answer["errors"][0]["message"] == "Expected Iterable, but did not find one for field 'Fish.noList'."


async def test_lists_of_a_union(sea: Both) -> None:
    await sea.answer(
        '{ fish(id: "1") { anyOf(shells: 2) { __typename ... on Shell { size } ... on Wordy { word } } } }',
        data={
            "fish": {
                "anyOf": [{"__typename": "Shell", "size": 0}, {"__typename": "Shell", "size": 1}, {"__typename": "Wordy", "word": "w2"}]
            }
        },
    )
    assert sea.engine.second_walks == 0, "a type is asked for its own attributes alone"


async def test_an_object_of_no_possible_type_is_an_error(sea: Both) -> None:
    answer = await sea.one(sea.engine, "{ stranger { size } }")
    assert answer["data"] == {"stranger": None}
    [error] = answer["errors"]
    assert error["path"] == ["stranger"]


async def test_permission_classes_of_a_resolver_are_honoured(sea: Both) -> None:
    await sea.answer(
        "{ all { nodes { fed } } }",
        data={"all": {"nodes": [{"fed": "pike is fed"}, {"fed": None}]}},
        errors={"all.nodes.1.fed": "not fed"},
    )


async def test_arguments_and_info_are_as_strawberry_has_them(sea: Both) -> None:
    await sea.answer(
        'query ($n: [String!], $d: [Depth!]) { fish(id: "1") { told(where: {depth: DEEP, names: $n}, also: $d) chosen { word } } }',
        {"n": ["a", "b"], "d": ["SHALLOW"]},
        data={"fish": {"told": "told DEEP a,b s told ['a', 'b']", "chosen": {"word": "word"}}},
    )


async def test_resolvers_do_not_run_where_an_argument_is_wrong(sea: Both) -> None:
    await sea.refused('{ fish(id: "1") { whisper catches { eaters(first: 101) { totalCount } } } }', code="BAD_USER_INPUT")


async def test_a_list_of_a_resolver_counts_towards_the_limit_of_objects(sea: Both) -> None:
    service = Service(GRAPH, sea.stores, Limits(objects_max=3))
    assert (await respond(service, "{ catch { again(times: 2) { weight } } }")).status == 200
    answer = orjson.loads((await respond(service, "{ catch { again(times: 4) { weight } } }")).body)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["RESULT_LIMIT"]


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
async def test_arguments_are_all_checked_before_a_resolver_runs(sea: Both, reason: str) -> None:
    assert await sea.refused(f"{{ {reason} all(first: -1) {{ totalCount }} }}", code="BAD_USER_INPUT") == [
        "all: first: expected 0 to 100 (setting page_max), got -1"
    ]
    await sea.refused(
        f'query ($n: Int!) {{ {reason} x: fish(id: "1") {{ school(first: $n) {{ totalCount }} }} }}', {"n": 101}, code="BAD_USER_INPUT"
    )


async def test_a_subscription_is_refused(sea: Both) -> None:
    response = await respond(sea.engine, "subscription { ticks }")
    answer: Any = orjson.loads(response.body)
    assert response.status == 405
    assert answer == {"errors": [{"message": "A subscription needs a stream.", "extensions": {"code": "METHOD_NOT_ALLOWED"}}]}
