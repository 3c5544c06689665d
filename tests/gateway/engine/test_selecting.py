"""Which fields an object has, in which order: keys, aliases, merged fields, fragments (GraphQL spec 6.3.2, CollectFields())."""

from __future__ import annotations

import pytest
import strawberry

from gateway.graph.fields import Connection, Node, column, lookup, many, one
from gateway.stores.base import Collection, Column
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph

PEOPLE = Collection("people", "people", (Column("id", refers="Person"), Column("name"), Column("boss_id", nullable=True, refers="Person")))


@strawberry.type
class Person(Node):
    id: strawberry.ID = column()
    name: str = column()
    boss: Person | None = one(PEOPLE, by="boss_id")
    team: Connection[Person] = many(PEOPLE, by="boss_id", where=Named, order=Sorted)


@strawberry.type
class Query:
    person: Person | None = lookup(PEOPLE, by={"id": "id"})
    people: Connection[Person] = many(PEOPLE, where=Named, order=Sorted)


GRAPH = graph(Query, PEOPLE)


@pytest.fixture
async def company() -> Both:
    return await both(GRAPH, {PEOPLE: [("1", "Ada", None), ("2", "Ben", "1"), ("3", "Cem", "1")]})


async def test_keys_are_in_the_order_of_the_query(company: Both) -> None:
    await company.answer(
        '{ b: person(id: "2") { name id } a: person(id: "1") { id name } }',
        data={"b": {"name": "Ben", "id": "Person:2"}, "a": {"id": "Person:1", "name": "Ada"}},
    )


async def test_a_merged_field_stays_where_it_first_was(company: Both) -> None:
    await company.answer(
        '{ person(id: "2") { name } __typename person(id: "2") { id name } }',
        data={"person": {"name": "Ben", "id": "Person:2"}, "__typename": "Query"},
    )


async def test_aliases_of_one_field_have_arguments_of_their_own(company: Both) -> None:
    await company.answer(
        """{ one: person(id: "1") { team(first: 1) { nodes { name } } all: team { nodes { n: name name } }
            none: team(first: 0) { totalCount } } }""",
        data={
            "one": {
                "team": {"nodes": [{"name": "Ben"}]},
                "all": {"nodes": [{"n": "Ben", "name": "Ben"}, {"n": "Cem", "name": "Cem"}]},
                "none": {"totalCount": 2},
            }
        },
    )


async def test_two_names_may_be_swapped_by_aliases(company: Both) -> None:
    await company.answer('{ person(id: "1") { id: name name: id } }', data={"person": {"id": "Ada", "name": "Person:1"}})


async def test_the_same_field_twice_is_merged_deeply(company: Both) -> None:
    await company.answer(
        """{ person(id: "2") { boss { name } }
            person(id: "2") { boss { team { nodes { name } } } boss { id team { totalCount nodes { id } } } } }""",
        data={
            "person": {
                "boss": {
                    "name": "Ada",
                    "team": {
                        "nodes": [{"name": "Ben", "id": "Person:2"}, {"name": "Cem", "id": "Person:3"}],
                        "totalCount": 2,
                    },
                    "id": "Person:1",
                }
            }
        },
    )


async def test_merged_fields_are_one_batch(company: Both) -> None:
    await company.data('{ person(id: "2") { boss { name } boss { id } ...on Person { boss { name } } } }')
    assert len(company.asked()) == 2


async def test_fields_merge_through_named_and_inline_fragments(company: Both) -> None:
    await company.answer(
        """query { person(id: "2") { ...A ... on Person { boss { name } } ... { boss { team { nodes { name } } } } } }
        fragment A on Person { name boss { ...B } } fragment B on Person { id team { ...C } }
        fragment C on PersonConnection { totalCount }""",
        data={
            "person": {
                "name": "Ben",
                "boss": {"id": "Person:1", "team": {"totalCount": 2, "nodes": [{"name": "Ben"}, {"name": "Cem"}]}, "name": "Ada"},
            }
        },
    )


async def test_a_fragment_on_an_interface_applies_to_its_types(company: Both) -> None:
    await company.answer(
        'query { person(id: "1") { ...Key ... on Node { again: id ... on Person { name } } } } fragment Key on Node { id }',
        data={"person": {"id": "Person:1", "again": "Person:1", "name": "Ada"}},
    )


async def test_a_fragment_spread_twice_counts_once(company: Both) -> None:
    await company.answer(
        'query { person(id: "1") { ...F name ...F } } fragment F on Person { id ...G } fragment G on Person { key: id }',
        data={"person": {"id": "Person:1", "key": "Person:1", "name": "Ada"}},
    )


async def test_one_fragment_may_be_used_at_two_places(company: Both) -> None:
    await company.answer(
        'query { person(id: "2") { ...F boss { ...F } } } fragment F on Person { name }',
        data={"person": {"name": "Ben", "boss": {"name": "Ada"}}},
    )


async def test_a_fragment_on_the_root_merges_with_the_operation(company: Both) -> None:
    await company.answer(
        'query { ...R person(id: "1") { id } } fragment R on Query { person(id: "1") { name } __typename }',
        data={"person": {"name": "Ada", "id": "Person:1"}, "__typename": "Query"},
    )


async def test_edges_and_nodes_select_on_their_own(company: Both) -> None:
    await company.answer(
        "{ people(first: 2) { edges { node { id } } nodes { name } edges { node { boss { name } } } } }",
        data={
            "people": {
                "edges": [{"node": {"id": "Person:1", "boss": None}}, {"node": {"id": "Person:2", "boss": {"name": "Ada"}}}],
                "nodes": [{"name": "Ada"}, {"name": "Ben"}],
            }
        },
    )


async def test_every_object_knows_its_type(company: Both) -> None:
    await company.answer(
        """{ __typename people(first: 1) {
            __typename kind: __typename nodes { __typename } edges { __typename node { a: __typename name b: __typename } }
            pageInfo { __typename hasNextPage } } }""",
        data={
            "__typename": "Query",
            "people": {
                "__typename": "PersonConnection",
                "kind": "PersonConnection",
                "nodes": [{"__typename": "Person"}],
                "edges": [{"__typename": "PersonEdge", "node": {"a": "Person", "name": "Ada", "b": "Person"}}],
                "pageInfo": {"__typename": "PageInfo", "hasNextPage": True},
            },
        },
    )


async def test_only_typename_of_an_object_still_asks_whether_it_is_there(company: Both) -> None:
    await company.answer(
        """{ a: person(id: "1") { __typename boss { __typename } } b: person(id: "2") { boss { __typename } }
            c: person(id: "9") { __typename } }""",
        data={"a": {"__typename": "Person", "boss": None}, "b": {"boss": {"__typename": "Person"}}, "c": None},
    )


async def test_only_the_root_typename_asks_nobody(company: Both) -> None:
    assert await company.data("{ __typename }") == {"__typename": "Query"}
    assert company.asked() == []


async def test_response_keys_cannot_break_out_of_the_compiled_builder(company: Both) -> None:
    await company.answer(
        '{ rows: person(id: "1") { v0: name outs: name SecondWalk: id __import__: name } }',
        data={"rows": {"v0": "Ada", "outs": "Ada", "SecondWalk": "Person:1", "__import__": "Ada"}},
    )


async def test_a_row_reached_by_many_parents_is_the_same_object_everywhere(company: Both) -> None:
    await company.answer(
        "{ people { nodes { boss { name } } } }",
        data={"people": {"nodes": [{"boss": None}, {"boss": {"name": "Ada"}}, {"boss": {"name": "Ada"}}]}},
    )


async def test_the_same_noun_nests_in_itself(company: Both) -> None:
    await company.answer(
        '{ person(id: "3") { boss { team { nodes { boss { team(first: 1) { nodes { name } } } } } } } }',
        data={"person": {"boss": {"team": {"nodes": [{"boss": {"team": {"nodes": [{"name": "Ben"}]}}}] * 2}}}},
    )
