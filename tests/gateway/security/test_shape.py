"""The shape of a document: what is counted, how often, and that counting is linear."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import build_schema, parse

from gateway.security.limits import SATURATED, Limits
from gateway.security.shape import Measuring, Shape, check_shape
from tests.hostile.documents import aliased_fan_out, fan_out

SCHEMA = build_schema("""
type Query { me: User pets: PetConnection }
type Mutation { feed: User pet: User }
interface Named { name: String }
type User implements Named { name: String friend: User pets: PetConnection }
type PetConnection { edges: [PetEdge] nodes: [Pet] }
type PetEdge { node: Pet cursor: String }
type Pet implements Named { name: String owner: User edges: [User] }
""")
UNCOUNTED = frozenset({("PetConnection", "edges")})


def shape(text: str, *, introspection: bool = True) -> Shape:
    return Measuring(SCHEMA, UNCOUNTED, introspection=introspection).shape(parse(text))


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("{ me { name } }", 2),
        ("{ ... { ... on Query { me { ... { name } } } } }", 2),
        ("{ ...F } fragment F on Query { me { ...G } } fragment G on User { friend { name } }", 3),
        ("{ pets { nodes { name } } }", 3),
        ("{ pets { edges { node { name } } } }", 3),  # as deep as its nodes
        ("{ pets { nodes { edges { name } } } }", 4),  # an edges of another type is a level
        ("{ edges { edges { edges { x } } } }", 4),  # so is one of a type that is not known
        ("{ pets { ...C } } fragment C on PetConnection { edges { node { name } } }", 3),
        ("{ me { unknown { deep { deeper } } } }", 4),
    ],
)
def test_depth(text: str, depth: int) -> None:
    assert shape(text).depth == depth


INTROSPECTION = "{ me { name } __schema { types { fields { type { ofType { ofType { ofType { name } } } } } } } }"


def test_introspection_is_no_depth_where_it_is_allowed() -> None:
    assert shape(INTROSPECTION).depth == 2
    assert shape(INTROSPECTION, introspection=False).depth == 8


@pytest.mark.parametrize(
    ("text", "introspects"),
    [
        ("{ __typename me { __typename } }", False),
        (INTROSPECTION, True),
        ('{ ...F } fragment F on Query { a: __type(name: "User") { name } }', True),
    ],
)
def test_introspection_is_seen_wherever_it_is(text: str, introspects: bool) -> None:
    assert shape(text).introspects is introspects


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("{ a: me { b: name name } }", {"aliases": 2, "selections": 3, "root_fields": 1}),
        ("{ me { ...F friend { ...F } } } fragment F on User { a: name b: name }", {"aliases": 4, "selections": 8}),
        ("{ ...Q ...Q } fragment Q on Query { me { name } a: me { name } }", {"root_fields": 4, "selections": 10}),
        ("{ ... { me { name } } ... on Query { me { name } } }", {"root_fields": 2}),
        ("{ me { ...Q } } fragment Q on Query { me { name } }", {"root_fields": 1}),
        ("mutation { feed { name } a: feed { name } }", {"mutations": 2, "root_fields": 2}),
        ("query A { me { name } } query B { me { name } me { name } }", {"operations": 2, "root_fields": 2, "mutations": 0}),
        (
            "query A($a: Int, $b: Int @x) @x { me @x { name @x @x } } fragment F on User @x { name }",
            {"directives": 6, "directives_per_node": 2, "variables": 2, "fragments": 1},
        ),
    ],
)
def test_counts(text: str, counts: dict[str, Any]) -> None:
    found = shape(text)
    assert {name: getattr(found, name) for name in counts} == counts


def test_a_fragment_that_nobody_spreads_is_counted_too() -> None:
    found = shape("{ me { name } } fragment F on User { a: name b: name friend { friend { friend { name } } } }")
    assert (found.aliases, found.depth, found.selections) == (2, 4, 6)


@pytest.mark.parametrize("text", [fan_out(7, 8), fan_out(30, 40), aliased_fan_out(8, 40), fan_out(2, 48)])
def test_numbers_saturate_and_each_fragment_is_walked_once(text: str) -> None:
    found = shape(text)
    assert found.selections > 1_000_000
    assert found.selections <= SATURATED
    assert found.aliases <= SATURATED


@pytest.mark.parametrize(
    "text",
    [
        "{ me { ...A } } fragment A on User { ...A }",
        "{ me { ...A } } fragment A on User { name ...B } fragment B on User { friend { ...A } }",
        "{ me { name } } fragment A on User { ...B } fragment B on User { ...C ...C } fragment C on User { ...A }",
        fan_out(7, 8, "...F1"),
    ],
)
def test_a_circle_is_seen_and_has_no_numbers(text: str) -> None:
    found = shape(text)
    assert found.has_cycle
    assert (found.selections, found.depth) == (0, 0)


def test_a_spread_of_a_fragment_that_is_not_there_is_left_to_validation() -> None:
    assert shape("{ me { ...Nobody name } }").selections == 3


def test_two_fragments_of_one_name_are_left_to_validation() -> None:
    assert shape("{ me { ...F } } fragment F on User { name } fragment F on User { friend { name } }").fragments == 2


def test_all_limits_that_are_broken_are_told_in_the_order_of_the_settings() -> None:
    limits = Limits(
        depth_max=1,
        aliases_max=0,
        root_fields_max=1,
        mutations_max=1,
        directives_max=0,
        directives_per_node_max=0,
        selections_max=1,
        fragments_max=0,
        operations_max=0,
        variables_max=0,
    )
    found = shape("mutation M($a: Int) { a: feed { name @x } pet { ...F } } fragment F on User { name }")
    assert [error.extensions["setting"] for error in check_shape(limits, found)] == [
        "depth_max",
        "aliases_max",
        "root_fields_max",
        "mutations_max",
        "directives_max",
        "directives_per_node_max",
        "selections_max",
        "fragments_max",
        "operations_max",
        "variables_max",
    ]
