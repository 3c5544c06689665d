"""Where nulls and errors go (GraphQL spec 6.4.4, "Handling Execution Errors"): up to the nearest nullable position, and no further."""

from __future__ import annotations

import pytest
import strawberry

from gateway.errors import StoreUnavailable
from gateway.graph.fields import Connection, Node, PageInfo, column, lookup, many, one, part
from gateway.stores.base import Collection, Column
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph

TREES = Collection("trees", "trees", (Column("id", refers="Tree"), Column("name"), Column("sort", nullable=True), Column("wood_id")))
WOODS = Collection("woods", "woods", (Column("id", refers="Wood"), Column("name")))

NO_NAME = "Cannot return null for non-nullable field Tree.name."
NO_WOOD = "Cannot return null for non-nullable field Tree.wood."
NO_WOOD_NAME = "Cannot return null for non-nullable field Wood.name."
DOWN = "The store 'woods' is unavailable."


@strawberry.type
class Wood(Node):
    id: strawberry.ID = column()
    name: str = column()
    trees: Connection[Tree] | None = many(TREES, by="wood_id", where=Named, order=Sorted)
    sure_trees: SureTrees = many(TREES, by="wood_id", where=Named, order=Sorted)


@strawberry.type
class SureEdge:
    node: Tree = part("node", "")
    cursor: str = part("cursor", "")


@strawberry.type
class SureTrees:
    """A connection of which no part may be null."""

    edges: list[SureEdge] = part("edges", "")
    nodes: list[Tree] = part("nodes", "")
    page_info: PageInfo = part("page_info", "")
    total_count: int = part("total_count", "")


@strawberry.type
class Tree(Node):
    id: strawberry.ID = column()
    name: str = column()
    sort: str | None = column()
    wood: Wood = one(WOODS, by="wood_id")
    maybe: Wood | None = one(WOODS, by="wood_id")


@strawberry.type
class Query:
    tree: Tree | None = lookup(TREES, by={"id": "id"})
    sure_tree: Tree = lookup(TREES, by={"id": "id"})
    wood: Wood | None = lookup(WOODS, by={"id": "id"})
    trees: Connection[Tree] = many(TREES, where=Named, order=Sorted)
    sure_trees: SureTrees = many(TREES, where=Named, order=Sorted)
    maybe_trees: Connection[Tree] | None = many(TREES, where=Named, order=Sorted)


GRAPH = graph(Query, TREES, WOODS)
ROWS = [("1", "Oak", None, "a"), ("2", None, "fir", "a"), ("3", "Elm", None, "gone"), ("4", "Ash", None, "b"), ("5", "Yew", None, None)]


TWINS = Collection("twins", "trees", (Column("id"), Column("left"), Column("right")))


@strawberry.type
class Twins:
    left: str = column()
    right: str = column()


@strawberry.type
class Twin:
    twins: Twins | None = lookup(TWINS, by={"id": "id"})


@pytest.mark.parametrize(("row", "field"), [(("1", None, "r"), "left"), (("1", "l", None), "right")])
async def test_a_null_is_found_in_whichever_required_column_it_stands(row: tuple[str | None, ...], field: str) -> None:
    pair = await both(graph(Twin, TWINS), {TWINS: [row]})
    message = f"Cannot return null for non-nullable field Twins.{field}."
    await pair.answer('{ twins(id: "1") { left right } }', data={"twins": None}, errors={f"twins.{field}": message})


@pytest.fixture
async def forest() -> Both:
    return await both(GRAPH, {TREES: ROWS, WOODS: [("a", "Ardennes"), ("b", None)]})


async def test_a_null_in_a_nullable_leaf_is_no_error(forest: Both) -> None:
    await forest.answer('{ tree(id: "1") { sort name } }', data={"tree": {"sort": None, "name": "Oak"}})


async def test_a_null_in_a_required_leaf_nulls_its_object(forest: Both) -> None:
    got = await forest.answer('{ tree(id: "2") { id sort name } }', data={"tree": None}, errors={"tree.name": NO_NAME})
    assert got["errors"][0]["locations"] == [{"line": 1, "column": 27}]
    assert got["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}


async def test_an_error_leaves_its_neighbours(forest: Both) -> None:
    await forest.answer(
        '{ a: tree(id: "1") { name } b: tree(id: "2") { name } c: tree(id: "3") { name } }',
        data={"a": {"name": "Oak"}, "b": None, "c": {"name": "Elm"}},
        errors={"b.name": NO_NAME},
    )


async def test_a_null_below_required_positions_goes_up_to_data(forest: Both) -> None:
    await forest.answer('{ __typename sureTree(id: "2") { name } }', data=None, errors={"sureTree.name": NO_NAME})
    await forest.answer("{ sureTrees { nodes { name } } }", data=None, errors={"sureTrees.nodes.1.name": NO_NAME})
    await forest.answer("{ sureTrees { edges { cursor node { n: name } } } }", data=None, errors={"sureTrees.edges.1.node.n": NO_NAME})


async def test_a_required_root_field_without_a_row_is_data_null(forest: Both) -> None:
    message = "Cannot return null for non-nullable field Query.sureTree."
    await forest.answer('{ sureTree(id: "9") { name } }', data=None, errors={"sureTree": message})


async def test_a_null_in_the_nodes_of_a_connection_nulls_them_alone(forest: Both) -> None:
    await forest.answer(
        "{ trees { totalCount nodes { name } named: nodes { id } pageInfo { hasNextPage } } other: trees(first: 1) { nodes { name } } }",
        data={
            "trees": {
                "totalCount": 5,
                "nodes": None,
                "named": [{"id": f"Tree:{n}"} for n in range(1, 6)],
                "pageInfo": {"hasNextPage": False},
            },
            "other": {"nodes": [{"name": "Oak"}]},
        },
        errors={"trees.nodes.1.name": NO_NAME},
    )


async def test_a_null_in_a_node_of_an_edge_nulls_that_node_alone(forest: Both) -> None:
    got = await forest.answer(
        '{ wood(id: "a") { trees { edges { __typename node { name } } } } }',
        data={
            "wood": {"trees": {"edges": [{"__typename": "TreeEdge", "node": {"name": "Oak"}}, {"__typename": "TreeEdge", "node": None}]}}
        },
        errors={"wood.trees.edges.1.node.name": NO_NAME},
    )
    assert len(got["errors"]) == 1


async def test_every_node_that_is_null_has_an_error(forest: Both) -> None:
    await forest.answer(
        "{ trees { edges { node { wood { name } } } } }",
        data={"trees": {"edges": [{"node": {"wood": {"name": "Ardennes"}}}] * 2 + [{"node": None}] * 3}},
        errors={"trees.edges.2.node.wood": NO_WOOD, "trees.edges.3.node.wood.name": NO_WOOD_NAME, "trees.edges.4.node.wood": NO_WOOD},
    )


async def test_a_null_stops_at_the_nearest_nullable_parent(forest: Both) -> None:
    await forest.answer(
        '{ wood(id: "a") { name trees { nodes { name } } } }',
        data={"wood": {"name": "Ardennes", "trees": {"nodes": None}}},
        errors={"wood.trees.nodes.1.name": NO_NAME},
    )
    await forest.answer(
        '{ wood(id: "a") { name sureTrees { nodes { name } } } }', data={"wood": None}, errors={"wood.sureTrees.nodes.1.name": NO_NAME}
    )


async def test_a_null_passes_from_list_to_list(forest: Both) -> None:
    await forest.answer(
        "{ maybeTrees(first: 1) { nodes { maybe { sureTrees { edges { node { wood { sureTrees { nodes { name } } } } } } } } } }",
        data={"maybeTrees": {"nodes": [{"maybe": None}]}},
        errors={"maybeTrees.nodes.0.maybe.sureTrees.edges.0.node.wood.sureTrees.nodes.1.name": NO_NAME},
    )


async def test_a_missing_row_is_null_where_it_may_be(forest: Both) -> None:
    await forest.answer('{ tree(id: "3") { name maybe { id } } }', data={"tree": {"name": "Elm", "maybe": None}})


async def test_a_missing_row_nulls_its_parent_where_it_must_be_there(forest: Both) -> None:
    await forest.answer('{ tree(id: "3") { name wood { id } } }', data={"tree": None}, errors={"tree.wood": NO_WOOD})


async def test_a_missing_foreign_key_is_as_a_missing_row(forest: Both) -> None:
    await forest.answer('{ tree(id: "5") { maybe { id } } }', data={"tree": {"maybe": None}})
    await forest.answer('{ tree(id: "5") { wood { id } } }', data={"tree": None}, errors={"tree.wood": NO_WOOD})


async def test_an_error_is_told_at_every_place_that_shows_the_row(forest: Both) -> None:
    await forest.answer(
        '{ tree(id: "4") { a: maybe { name } b: maybe { id } c: maybe { name } } }',
        data={"tree": {"a": None, "b": {"id": "Wood:b"}, "c": None}},
        errors={"tree.a.name": NO_WOOD_NAME, "tree.c.name": NO_WOOD_NAME},
    )


async def test_several_errors_at_once(forest: Both) -> None:
    await forest.answer(
        '{ a: tree(id: "2") { name } b: tree(id: "3") { wood { id } } c: tree(id: "4") { wood { name } } d: tree(id: "1") { name } }',
        data={"a": None, "b": None, "c": None, "d": {"name": "Oak"}},
        errors={"a.name": NO_NAME, "b.wood": NO_WOOD, "c.wood.name": NO_WOOD_NAME},
    )


async def test_of_two_errors_below_one_null_one_is_told(forest: Both) -> None:
    await forest.answer('{ tree(id: "2") { a: name b: name } }', data={"tree": None}, errors={"tree.a": NO_NAME})


async def test_an_error_below_a_position_that_became_null_later_is_not_told(forest: Both) -> None:
    """The specification leaves it open: graphql-core tells both, so that the engine is held to its own rule here."""
    text = '{ tree(id: "4") { maybe { name } wood { name } } other: tree(id: "4") { maybe { name } } }'
    got = await forest.one(forest.engine, text)
    assert got["data"] == {"tree": None, "other": {"maybe": None}}
    assert [(error["path"], error["message"]) for error in got["errors"]] == [
        (["tree", "wood", "name"], NO_WOOD_NAME),
        (["other", "maybe", "name"], NO_WOOD_NAME),
    ]


async def test_a_store_that_is_down_nulls_its_fields_alone(forest: Both) -> None:
    forest.memory["woods"].fail_with = StoreUnavailable("woods")
    got = await forest.answer(
        '{ tree(id: "1") { name maybe { id } } wood(id: "a") { id } }',
        data={"tree": {"name": "Oak", "maybe": None}, "wood": None},
        errors={"tree.maybe": DOWN, "wood": DOWN},
    )
    assert got["errors"][0]["extensions"] == {"code": "STORE_UNAVAILABLE", "store": "woods"}


async def test_a_store_that_is_down_nulls_required_positions_upwards(forest: Both) -> None:
    forest.memory["woods"].fail_with = StoreUnavailable("woods")
    await forest.answer('{ tree(id: "1") { name wood { id } } }', data={"tree": None}, errors={"tree.wood": DOWN})
    await forest.answer(
        "{ maybeTrees(first: 1) { nodes { wood { id } } } }", data={"maybeTrees": {"nodes": None}}, errors={"maybeTrees.nodes.0.wood": DOWN}
    )


async def test_a_parent_without_a_key_is_not_touched_by_a_store_that_is_down(forest: Both) -> None:
    forest.memory["woods"].fail_with = StoreUnavailable("woods")
    await forest.answer(
        "{ trees(last: 2) { nodes { id maybe { id } } } }",
        data={"trees": {"nodes": [{"id": "Tree:4", "maybe": None}, {"id": "Tree:5", "maybe": None}]}},
        errors={"trees.nodes.0.maybe": DOWN},
    )


async def test_paths_go_through_lists_and_aliases(forest: Both) -> None:
    await forest.answer(
        "{ all: trees { some: edges { one: node { w: maybe { n: name } } } } }",
        data={"all": {"some": [{"one": {"w": w}} for w in ({"n": "Ardennes"}, {"n": "Ardennes"}, None, None, None)]}},
        errors={"all.some.3.one.w.n": NO_WOOD_NAME},
    )


async def test_locations_name_every_place_that_was_merged(forest: Both) -> None:
    got = await forest.answer(
        '{\n tree(id: "2") { name }\n tree(id: "2") {\n  name } }', data={"tree": None}, errors={"tree.name": NO_NAME}
    )
    assert got["errors"][0]["locations"] == [{"line": 2, "column": 18}, {"line": 4, "column": 3}]


async def test_data_stays_in_the_order_of_the_query_when_something_failed(forest: Both) -> None:
    await forest.answer(
        '{ tree(id: "4") { name maybe { name } id __typename } }',
        data={"tree": {"name": "Ash", "maybe": None, "id": "Tree:4", "__typename": "Tree"}},
        errors={"tree.maybe.name": NO_WOOD_NAME},
    )


async def test_every_part_of_a_connection_is_there_when_something_failed(forest: Both) -> None:
    got = await forest.answer(
        """{ bad: maybeTrees { nodes { name } } wood(id: "a") { __typename trees(first: 1) {
            __typename totalCount edges { __typename node { id } } nodes { id }
            pageInfo { __typename hasNextPage hasPreviousPage } }
            none: trees(first: 0) { pageInfo { startCursor endCursor hasNextPage } } } }""",
        data={
            "bad": {"nodes": None},
            "wood": {
                "__typename": "Wood",
                "trees": {
                    "__typename": "TreeConnection",
                    "totalCount": 2,
                    "edges": [{"__typename": "TreeEdge", "node": {"id": "Tree:1"}}],
                    "nodes": [{"id": "Tree:1"}],
                    "pageInfo": {"__typename": "PageInfo", "hasNextPage": True, "hasPreviousPage": False},
                },
                "none": {"pageInfo": {"startCursor": None, "endCursor": None, "hasNextPage": True}},
            },
        },
        errors={"bad.nodes.1.name": NO_NAME},
    )
    assert len(got["errors"]) == 1


async def test_cursors_are_the_same_with_and_without_a_failure(forest: Both) -> None:
    cursors = "maybeTrees(last: 1) { edges { cursor } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } }"
    fine = await forest.data(f"{{ {cursors} }}")
    await forest.answer(
        f'{{ {cursors} tree(id: "2") {{ name }} }}', data={"maybeTrees": fine["maybeTrees"], "tree": None}, errors={"tree.name": NO_NAME}
    )


async def test_at_most_twenty_errors_are_told_and_how_many_more_there_are(forest: Both) -> None:
    fields = " ".join(f"f{i}: maybe {{ name }}" for i in range(25))
    got = await forest.one(forest.engine, f'{{ tree(id: "4") {{ {fields} }} }}')
    assert got["data"] == {"tree": {f"f{i}": None for i in range(25)}}
    assert [error.get("path") for error in got["errors"]] == [*(["tree", f"f{i}", "name"] for i in range(20)), None]
    assert got["errors"][-1] == {"message": "5 more errors.", "extensions": {"code": "INTERNAL_SERVER_ERROR", "more": 5}}


async def test_a_field_that_is_asked_again_has_its_errors_again(forest: Both) -> None:
    text = '{ tree(id: "2") { name } }'
    for _ in range(3):
        await forest.answer(text, data={"tree": None}, errors={"tree.name": NO_NAME})
