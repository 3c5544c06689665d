"""Objects by id, of any type: node and nodes; and rows that are left out where another one is gone."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
import strawberry

from gateway.context import RequestContext
from gateway.errors import StoreUnavailable
from gateway.graph.fields import Connection, Node, batched, column, lookup, many, one
from gateway.graph.fields import node as by_id
from gateway.graph.fields import nodes as by_ids
from gateway.graph.inputs import filter_of, order_of
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.stores.base import Collection, Column, Key, Row
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph, respond

CATS = Collection("cats", "cats", (Column("id", refers="Cat"), Column("name")))
DOGS = Collection("dogs", "dogs", (Column("id", refers="Dog"), Column("name", nullable=True), Column("enemy_id", refers="Cat")))
CHASE = (Column("dog", nullable=True, refers="Dog"), Column("by"))
CHASES: dict[str, list[Row]] = {}


async def chases(_: RequestContext, keys: Sequence[Key]) -> list[list[Row]]:
    return [CHASES.get(key, []) for key in keys]


@strawberry.type
class Chase:
    dog: Dog = one(DOGS, by="dog", drop=True)
    by: str = column()


@strawberry.type
class Cat(Node):
    id: strawberry.ID = column()
    name: str = column()
    chases: list[Chase] = batched(chases, columns=CHASE)


@strawberry.type
class Dog(Node):
    id: strawberry.ID = column()
    name: str = column()
    enemy: Cat | None = one(CATS, by="enemy_id")
    rivals: Connection[Dog] = many(DOGS, by="enemy_id", where=Named, order=Sorted)


@strawberry.type
class Query:
    node: Node | None = by_id()
    nodes: list[Node | None] = by_ids()
    sure_node: Node = by_id()
    sure_nodes: list[Node] | None = by_ids()
    cat: Cat | None = lookup(CATS, by={"id": "id", "name": "name"})
    cats: Connection[Cat] = many(CATS, where=Named, order=Sorted)


GRAPH = graph(Query, CATS, DOGS, types=[Cat, Dog])
TOM, REX = {"id": "Cat:1", "name": "Tom"}, {"id": "Dog:1", "name": "Rex"}
BOTH = "... on Cat { id name } ... on Dog { id name }"


@pytest.fixture
async def street() -> Both:
    CHASES.clear()
    return await both(GRAPH, {CATS: [("1", "Tom"), ("2", "Kit")], DOGS: [("1", "Rex", "1"), ("2", None, "9")]})


async def test_a_node_is_of_the_type_that_its_id_names(street: Both) -> None:
    text = f"query ($id: ID!) {{ node(id: $id) {{ __typename {BOTH} }} }}"
    await street.answer(text, {"id": "Cat:1"}, data={"node": {"__typename": "Cat", **TOM}})
    assert len(street.asked()) == 1
    await street.answer(text, {"id": "Dog:1"}, data={"node": {"__typename": "Dog", **REX}})


async def test_fragments_give_each_type_its_fields_in_their_order(street: Both) -> None:
    await street.answer(
        """query { nodes(ids: ["Dog:1", "Cat:1"]) { ... on Dog { enemy { name } } id ...C __typename ... on Node { again: id } } }
        fragment C on Cat { name chases { by } }""",
        data={
            "nodes": [
                {"enemy": {"name": "Tom"}, "id": "Dog:1", "__typename": "Dog", "again": "Dog:1"},
                {"id": "Cat:1", "name": "Tom", "chases": [], "__typename": "Cat", "again": "Cat:1"},
            ]
        },
    )


CATALOGS = Collection("catalogs", "dogs", (Column("id", refers="Catalog"), Column("title")))


@strawberry.interface
class Titled:
    title: str = column()


@strawberry.type
class Catalog(Node, Titled):
    id: strawberry.ID = column()
    title: str = column()


@strawberry.type
class Library:
    nodes: list[Node | None] = by_ids()


async def test_a_type_whose_name_begins_with_another_ones_is_not_it_and_has_its_own_interfaces() -> None:
    library = graph(Library, CATS, DOGS, CATALOGS, types=[Cat, Dog, Catalog])
    pair = await both(library, {CATS: [("1", "Tom")], CATALOGS: [("1", "Tools")]})
    query = """{ nodes(ids: ["Catalog:1", "Cat:1", "Cat:alog:1"]) { id ... on Titled { title } ...T } }
        fragment T on Node { ... on Titled { again: title } }"""
    await pair.answer(query, data={"nodes": [{"id": "Catalog:1", "title": "Tools", "again": "Tools"}, {"id": "Cat:1"}, None]})
    await pair.data(query)
    asked = {(call.about, key) for call in pair.asked() for key in call.keys}
    assert asked == {("cats", "1"), ("cats", "alog:1"), ("catalogs", "1")}


KEPT = Collection("kept", "cats", (Column("id", refers="Kept"), Column("pet_id", refers="Cat")))
WALKED = Collection("walked", "dogs", (Column("id", refers="Walked"), Column("pet_id", refers="Dog")))


@strawberry.type
class Kept(Node):
    id: strawberry.ID = column()


@strawberry.type
class Walked(Node):
    id: strawberry.ID = column()


@strawberry.type
class Pets:
    node: Node | None = by_id()
    kept: Connection[Kept] = many(KEPT, where=filter_of(KEPT), order=order_of(KEPT))
    walked: Connection[Walked] = many(WALKED, where=filter_of(KEPT), order=order_of(KEPT))


async def test_one_filter_over_two_collections_takes_the_ids_that_each_refers_to() -> None:
    pets = graph(Pets, CATS, DOGS, KEPT, WALKED, types=[Cat, Dog])
    pair = await both(pets, {KEPT: [("1", "7"), ("2", "8")], WALKED: [("1", "7"), ("2", "8")]})
    query = """query ($cat: ID, $dog: ID) {
        kept(where: {petId: {eq: $cat}}) { nodes { id } } walked(where: {petId: {eq: $dog}}) { nodes { id } } }"""
    data = {"kept": {"nodes": [{"id": "Kept:1"}]}, "walked": {"nodes": [{"id": "Walked:2"}]}}
    await pair.answer(query, {"cat": "Cat:7", "dog": "Dog:8"}, data=data)


async def test_two_types_of_one_store_have_columns_of_their_own() -> None:
    library = graph(Library, CATS, DOGS, CATALOGS, types=[Cat, Dog, Catalog])
    pair = await both(library, {DOGS: [("1", "Rex", "1")], CATALOGS: [("1", "Tools")]})
    query = '{ nodes(ids: ["Catalog:1", "Dog:1"]) { ... on Dog { id name } ... on Catalog { title id } } }'
    await pair.answer(query, data={"nodes": [{"title": "Tools", "id": "Catalog:1"}, REX]})


async def test_rows_of_two_levels_have_the_columns_that_each_needs(street: Both) -> None:
    await street.data('{ node(id: "Cat:1") { id } nodes(ids: ["Dog:1"]) { ... on Dog { enemy { name } } } }')
    assert [call.columns for call in street.asked() if call.about == "cats"] == [("id",), ("name",)]


async def test_a_type_without_a_fragment_of_its_own_is_an_empty_object(street: Both) -> None:
    await street.answer('{ nodes(ids: ["Dog:1", "Cat:1"]) { ... on Cat { name } } }', data={"nodes": [{}, {"name": "Tom"}]})


async def test_nodes_are_in_the_order_of_their_ids_with_nulls_and_doubles(street: Both) -> None:
    await street.answer(
        f'{{ nodes(ids: ["Dog:1", "Cat:9", "Cat:1", "Dog:1", "Dog:nobody"]) {{ {BOTH} }} }}', data={"nodes": [REX, None, TOM, REX, None]}
    )


async def test_as_many_nodes_as_the_limit_are_given(street: Both) -> None:
    query = '{ nodes(ids: ["Cat:1", "Dog:1"]) { id } }'
    found = orjson.loads((await respond(Service(GRAPH, street.stores, Limits(nodes_max=2)), query)).body)
    assert found == {"data": {"nodes": [{"id": "Cat:1"}, {"id": "Dog:1"}]}}
    found = orjson.loads((await respond(Service(GRAPH, street.stores, Limits(nodes_max=1)), query)).body)
    assert [error["message"] for error in found["errors"]] == ["nodes: ids: expected at most 1 ids (setting nodes_max), got 2"]


async def test_nodes_of_nothing_ask_nobody(street: Both) -> None:
    await street.answer("{ nodes(ids: []) { id } }", data={"nodes": []})
    assert street.asked() == []


async def test_nodes_that_are_all_absent_are_nulls(street: Both) -> None:
    await street.answer('{ nodes(ids: ["Cat:8", "Dog:9"]) { id } node(id: "Cat:7") { id } }', data={"nodes": [None, None], "node": None})


async def test_an_error_below_an_item_that_became_null_later_is_not_told() -> None:
    """The specification leaves it open: graphql-core tells both, so that the engine is held to its own rule here."""
    pair = await both(GRAPH, {CATS: [("1", None)], DOGS: [("1", None, "1"), ("2", "Rex", "1")]})
    got = await pair.one(pair.engine, '{ nodes(ids: ["Dog:1", "Dog:2"]) { ... on Dog { enemy { name } name } } }')
    assert got["data"] == {"nodes": [None, {"enemy": None, "name": "Rex"}]}
    assert [error["path"] for error in got["errors"]] == [["nodes", 0, "name"], ["nodes", 1, "enemy", "name"]]


async def test_an_id_may_have_colons_in_its_key() -> None:
    pair = await both(GRAPH, {CATS: [("a:b", "Tom"), ("", "Nobody")]})
    await pair.answer('{ a: node(id: "Cat:a:b") { id } b: node(id: "Cat:") { id } }', data={"a": {"id": "Cat:a:b"}, "b": {"id": "Cat:"}})


async def test_one_id_makes_one_store_call_per_type(street: Both) -> None:
    await street.data('{ nodes(ids: ["Cat:1", "Dog:1", "Cat:2", "Cat:1"]) { id } node(id: "Cat:1") { ... on Cat { name } } }')
    cats, dogs = street.memory["cats"].calls, street.memory["dogs"].calls
    assert [(call.keys, call.columns) for call in cats] == [(["1", "2"], ("id", "name"))]
    assert [(call.keys, call.columns) for call in dogs] == [(["1"], ("id",))]


@pytest.mark.parametrize("text", ["1", "", ":", "Cat", "cat:1", "Bird:1", "Query:1"])
async def test_an_id_of_no_type_is_refused(street: Both, text: str) -> None:
    [message] = await street.refused("query ($id: ID!) { node(id: $id) { id } }", {"id": text}, code="BAD_USER_INPUT")
    assert message.startswith("node: id: expected an id of the form Cat:key, Dog:key, got ")


async def test_required_nodes_that_are_absent_null_what_is_around_them(street: Both) -> None:
    await street.answer(
        '{ sureNode(id: "Cat:1") { id } sureNodes(ids: ["Cat:1"]) { id } }',
        data={"sureNode": {"id": "Cat:1"}, "sureNodes": [{"id": "Cat:1"}]},
    )
    message = "Cannot return null for non-nullable field Query.sureNode."
    await street.answer('{ sureNode(id: "Cat:9") { id } }', data=None, errors={"sureNode": message})
    message = "Cannot return null for non-nullable field Query.sureNodes."
    await street.answer('{ sureNodes(ids: ["Cat:1", "Cat:9"]) { id } }', data={"sureNodes": None}, errors={"sureNodes.1": message})


async def test_an_error_in_one_node_leaves_the_others(street: Both) -> None:
    await street.answer(
        f'{{ nodes(ids: ["Dog:2", "Cat:1"]) {{ {BOTH} }} node(id: "Dog:2") {{ id }} }}',
        data={"nodes": [None, TOM], "node": {"id": "Dog:2"}},
        errors={"nodes.0.name": "Cannot return null for non-nullable field Dog.name."},
    )


async def test_a_store_that_is_down_fails_the_nodes_of_its_types_alone(street: Both) -> None:
    street.memory["dogs"].fail_with = StoreUnavailable("dogs")
    await street.answer(
        '{ nodes(ids: ["Dog:1", "Cat:1", "Dog:2"]) { id } }',
        data={"nodes": [None, {"id": "Cat:1"}, None]},
        errors={"nodes.0": "The store 'dogs' is unavailable.", "nodes.2": "The store 'dogs' is unavailable."},
    )


async def test_an_object_with_its_id_alone_is_asked_for_too(street: Both) -> None:
    """``enemy { id }`` could be answered from the foreign key, but it is null where there is no such cat."""
    text = '{ nodes(ids: ["Dog:1", "Dog:2"]) { ... on Dog { enemy { id } } } }'
    await street.answer(text, data={"nodes": [{"enemy": {"id": "Cat:1"}}, {"enemy": None}]})
    await street.data(text)
    assert [(call.keys, call.columns) for call in street.memory["cats"].calls] == [(["1", "9"], ("id",))]


async def test_a_lookup_takes_exactly_one_of_its_arguments(street: Both) -> None:
    await street.answer(
        '{ a: cat(name: "Tom") { id } b: cat(id: "Cat:1", name: null) { name } }', data={"a": {"id": "Cat:1"}, "b": {"name": "Tom"}}
    )
    assert await street.refused("{ cat { id } }", code="BAD_USER_INPUT") == ["cat: expected exactly one of id, name, got none"]
    assert await street.refused('{ cat(id: "1", name: "x") { id } }', code="BAD_USER_INPUT") == [
        "cat: expected exactly one of id, name, got id and name"
    ]
    assert await street.refused('{ cat(id: "Dog:1") { id } }', code="BAD_USER_INPUT") == ["cat: id: expected an id of Cat, got one of Dog"]


# ---------------------------------------------------------------------------------------------------------- left-out rows


async def test_a_row_whose_object_is_gone_is_left_out(street: Both) -> None:
    CHASES["1"] = [("9", "a"), ("1", "b"), (None, "c")]
    await street.answer('{ cat(id: "1") { chases { by dog { name } } } }', data={"cat": {"chases": [{"by": "b", "dog": {"name": "Rex"}}]}})


async def test_a_row_is_left_out_whether_its_object_is_selected_or_not(street: Both) -> None:
    CHASES["1"] = [("9", "a"), ("1", "b"), (None, "c")]
    await street.answer('{ cat(id: "1") { chases { by } } }', data={"cat": {"chases": [{"by": "b"}]}})
    await street.answer('{ cat(id: "1") { chases { __typename } } }', data={"cat": {"chases": [{"__typename": "Chase"}]}})


async def test_nothing_that_is_right_takes_the_second_walk(street: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.service.complete_with_nulls", None)
    CHASES["1"] = [("9", "a"), ("1", "b"), (None, "c")]
    assert await street.data('{ cat(id: "1") { chases { by } } node(id: "Dog:9") { id } }') == {
        "cat": {"chases": [{"by": "b"}]},
        "node": None,
    }


async def test_indexes_in_paths_do_not_count_what_is_left_out(street: Both) -> None:
    CHASES["1"] = [("9", "a"), ("1", "b"), ("2", "c")]
    await street.answer(
        '{ cat(id: "1") { chases { dog { name } } } }',
        data={"cat": None},
        errors={"cat.chases.1.dog.name": "Cannot return null for non-nullable field Dog.name."},
    )


async def test_rows_stay_when_nobody_knows_whether_their_object_is_gone(street: Both) -> None:
    CHASES["1"] = [("9", "a"), ("1", "b")]
    street.memory["dogs"].fail_with = StoreUnavailable("dogs")
    await street.answer('{ cat(id: "1") { chases { by } } }', data={"cat": {"chases": [{"by": "a"}, {"by": "b"}]}})
    await street.answer(
        '{ cat(id: "1") { chases { dog { id } } } }', data={"cat": None}, errors={"cat.chases.0.dog": "The store 'dogs' is unavailable."}
    )


# ------------------------------------------------------------------------------------------------------- keys by any name

LANDS = Collection("lands", "lands", (Column("code", refers="Land"), Column("name")), key=("code",))
TOWNS = Collection("towns", "towns", (Column("name"), Column("land", refers="Land")), key=("name",))


async def anthem(_: RequestContext, keys: Sequence[Key]) -> list[str]:
    return [f"O {key}" for key in keys]


@strawberry.type
class Town:
    name: str = column()
    land: Land | None = one(LANDS, by="land")


@strawberry.type
class Land(Node):
    id: strawberry.ID = column("code")
    name: str = column()
    towns: Connection[Town] = many(TOWNS, by="land", where=Named, order=order_of(TOWNS))
    anthem: str = batched(anthem, by="code")


@strawberry.type
class World:
    node: Node | None = by_id()
    lands: Connection[Land] = many(LANDS, where=Named, order=order_of(LANDS))


async def test_a_key_may_have_any_name() -> None:
    world = await both(
        graph(World, LANDS, TOWNS), {LANDS: [("be", "Belgium"), ("lu", "Luxembourg")], TOWNS: [("Arlon", "be"), ("Wiltz", "lu")]}
    )
    await world.answer(
        """{ lands { nodes { id anthem towns { totalCount nodes { land { name } } } } }
            node(id: "Land:lu") { ... on Land { name towns { nodes { name } } } } }""",
        data={
            "lands": {
                "nodes": [
                    {"id": "Land:be", "anthem": "O be", "towns": {"totalCount": 1, "nodes": [{"land": {"name": "Belgium"}}]}},
                    {"id": "Land:lu", "anthem": "O lu", "towns": {"totalCount": 1, "nodes": [{"land": {"name": "Luxembourg"}}]}},
                ]
            },
            "node": {"name": "Luxembourg", "towns": {"nodes": [{"name": "Wiltz"}]}},
        },
    )
