"""Lists of leaves and of objects (GraphQL spec 6.4.3): nulls and errors in them, where lists and items may be null and where not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import strawberry

from gateway.context import RequestContext
from gateway.graph.fields import Connection, Node, batched, column, computed, each, lookup, many
from gateway.graph.inputs import filter_of, order_of
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.stores.base import Collection, Column, Key, Type
from tests.gateway.engine.graphs import MASKED, Both, both, graph, respond

BOXES = Collection("boxes", "boxes", (Column("id", refers="Box"), Column("others", Type.TEXTS, nullable=True)))
ITEM = (Column("n", Type.INT, nullable=True), Column("label"))

ANSWERS: dict[str, Any] = {}  # what the batch functions give, by key


async def numbers(_: RequestContext, keys: Sequence[Key]) -> list[Any]:
    return [ANSWERS.get(key) for key in keys]


@strawberry.type
class Item:
    n: int | None = column()
    label: str = column()


@strawberry.type
class Box(Node):
    id: strawberry.ID = column()
    ints: list[int | None] | None = batched(numbers)
    sure_ints: list[int] | None = batched(numbers)
    ints_sure: list[int | None] = batched(numbers)
    sure: list[int] = batched(numbers)
    grid: list[list[int | None] | None] | None = batched(numbers)
    sure_grid: list[list[int]] | None = batched(numbers)
    items: list[Item | None] | None = batched(numbers, columns=ITEM)
    sure_items: list[Item] | None = batched(numbers, columns=ITEM)
    all_items: list[Item] = batched(numbers, columns=ITEM)
    made: list[int] | None = computed(lambda key: ANSWERS.get(key), needs=["id"])
    others: list[str] | None = column()
    boxes: list[Box] | None = each(BOXES, by="others", semantic_non_null=False)
    promised_boxes: list[Box] | None = each(BOXES, by="others")
    sure_boxes: list[Box] = each(BOXES, by="others")


@strawberry.type
class Query:
    box: Box | None = lookup(BOXES, by={"id": "id"})
    boxes: Connection[Box] = many(BOXES, where=filter_of(BOXES), order=order_of(BOXES))


GRAPH = graph(Query, BOXES)
FIELDS = {"ints": "null", "sureInts": "null item", "intsSure": "null list", "sure": "both"}


@pytest.fixture
async def shelf() -> Both:
    ANSWERS.clear()
    return await both(GRAPH, {BOXES: [("1", ["3", "9", "2"]), ("2", []), ("3", None)]})


def null_in(field: str) -> str:
    return f"Cannot return null for non-nullable field Box.{field}."


async def test_a_list_that_is_longer_than_was_assumed_is_counted() -> None:
    """Its cost says ten; it has as many objects as it has."""
    keys = [str(number) for number in range(1, 31)]
    pair = await both(GRAPH, {BOXES: [("0", keys), *((key, []) for key in keys)]})
    query = '{ box(id: "0") { boxes { id } } }'
    answer = orjson.loads((await respond(Service(GRAPH, pair.stores, Limits(objects_max=31)), query)).body)
    assert answer == {"data": {"box": {"boxes": [{"id": f"Box:{key}"} for key in keys]}}}
    answer = orjson.loads((await respond(Service(GRAPH, pair.stores, Limits(objects_max=30)), query)).body)
    assert answer["data"] == {"box": {"boxes": None}}
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [(["box", "boxes"], "RESULT_LIMIT")]


@pytest.mark.parametrize("most", [201, 200])
async def test_what_parents_share_is_counted_as_often_as_it_is_written(most: int) -> None:
    """Five boxes have the same thirty-nine: 39 rows, where 100 are assumed, and 195 objects."""
    keys = [str(number) for number in range(1, 40)]
    parents = [f"p{number}" for number in range(5)]
    pair = await both(GRAPH, {BOXES: [("0", parents), *((key, keys) for key in parents), *((key, []) for key in keys)]})
    query = '{ box(id: "0") { boxes { boxes { id } } } }'
    answer = orjson.loads((await respond(Service(GRAPH, pair.stores, Limits(objects_max=most)), query)).body)
    if most == 201:
        assert answer == {"data": {"box": {"boxes": [{"boxes": [{"id": f"Box:{key}"} for key in keys]}] * 5}}}
    else:
        assert answer["data"] == {"box": {"boxes": [{"boxes": None}] * 5}}
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"RESULT_LIMIT"}


@pytest.mark.parametrize("most", [1_511, 1_510])
async def test_what_is_below_a_long_list_is_counted(most: int) -> None:
    """Five boxes have one and the same, which has a list of three hundred: 300 rows, where 1,000 are assumed, and 1,500 objects."""
    ANSWERS.clear()
    ANSWERS["x"] = [(number, "") for number in range(300)]
    parents = [f"p{number}" for number in range(5)]
    pair = await both(GRAPH, {BOXES: [("0", parents), *((key, ["x"]) for key in parents), ("x", [])]})
    query = '{ box(id: "0") { boxes { boxes { items { n } } } } }'
    answer = orjson.loads((await respond(Service(GRAPH, pair.stores, Limits(objects_max=most)), query)).body)
    if most == 1_511:
        assert answer == {"data": {"box": {"boxes": [{"boxes": [{"items": [{"n": number} for number in range(300)]}]}] * 5}}}
    else:
        assert answer["data"] == {"box": {"boxes": [{"boxes": [{"items": None}]}] * 5}}
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"RESULT_LIMIT"}


@pytest.mark.parametrize("field", FIELDS)
async def test_a_list_of_values(shelf: Both, field: str) -> None:
    ANSWERS.update({"1": [1, 2], "2": (), "3": range(3)})
    await shelf.answer(
        f"{{ boxes {{ nodes {{ {field} }} }} }}", data={"boxes": {"nodes": [{field: [1, 2]}, {field: []}, {field: [0, 1, 2]}]}}
    )


@pytest.mark.parametrize(
    ("field", "data", "errors"),
    [
        ("ints", {"box": {"ints": None}}, {}),
        ("sureInts", {"box": {"sureInts": None}}, {}),
        ("intsSure", {"box": None}, {"box.intsSure": null_in("intsSure")}),
        ("sure", {"box": None}, {"box.sure": null_in("sure")}),
    ],
)
async def test_a_list_that_is_null(shelf: Both, field: str, data: Any, errors: dict[str, str]) -> None:
    await shelf.answer(f'{{ box(id: "1") {{ {field} }} }}', data=data, errors=errors)


@pytest.mark.parametrize(
    ("field", "data", "errors"),
    [
        ("ints", {"box": {"ints": [1, None, 3]}}, {}),
        ("sureInts", {"box": {"sureInts": None}}, {"box.sureInts.1": null_in("sureInts")}),
        ("intsSure", {"box": {"intsSure": [1, None, 3]}}, {}),
        ("sure", {"box": None}, {"box.sure.1": null_in("sure")}),
    ],
)
async def test_a_null_in_a_list(shelf: Both, field: str, data: Any, errors: dict[str, str]) -> None:
    ANSWERS["1"] = [1, None, 3]
    await shelf.answer(f'{{ box(id: "1") {{ {field} }} }}', data=data, errors=errors)


@pytest.mark.parametrize(
    ("field", "data"),
    [
        ("ints", {"box": {"ints": [1, None, 3]}}),
        ("sureInts", {"box": {"sureInts": None}}),
        ("intsSure", {"box": {"intsSure": [1, None, 3]}}),
        ("sure", {"box": None}),
    ],
)
async def test_an_error_in_a_list(shelf: Both, field: str, data: Any) -> None:
    ANSWERS["1"] = [1, ValueError("secret"), 3]
    await shelf.answer(f'{{ box(id: "1") {{ {field} }} }}', data=data, errors={f"box.{field}.1": MASKED})


@pytest.mark.parametrize(
    ("field", "data"),
    [
        ("ints", {"box": {"ints": [1, None]}}),
        ("sureInts", {"box": {"sureInts": None}}),
        ("intsSure", {"box": {"intsSure": [1, None]}}),
        ("sure", {"box": None}),
    ],
)
async def test_an_item_that_cannot_be_serialized(shelf: Both, field: str, data: Any) -> None:
    ANSWERS["1"] = [1, "one"]
    await shelf.answer(
        f'{{ box(id: "1") {{ {field} }} }}', data=data, errors={f"box.{field}.1": "Int cannot represent non-integer value: 'one'"}
    )


async def test_two_errors_in_one_list(shelf: Both) -> None:
    ANSWERS["1"] = [ValueError(), 2, ValueError()]
    await shelf.answer(
        '{ box(id: "1") { ints } }', data={"box": {"ints": [None, 2, None]}}, errors={"box.ints.0": MASKED, "box.ints.2": MASKED}
    )


async def test_a_bad_item_leaves_the_lists_of_other_parents(shelf: Both) -> None:
    ANSWERS.update({"1": [None], "2": [2], "3": [3]})
    await shelf.answer(
        "{ boxes { nodes { sureInts } } }",
        data={"boxes": {"nodes": [{"sureInts": None}, {"sureInts": [2]}, {"sureInts": [3]}]}},
        errors={"boxes.nodes.0.sureInts.0": null_in("sureInts")},
    )


async def test_a_list_of_lists(shelf: Both) -> None:
    ANSWERS["1"] = [[1, None], None, []]
    await shelf.answer('{ box(id: "1") { grid } }', data={"box": {"grid": [[1, None], None, []]}})
    await shelf.answer('{ box(id: "1") { sureGrid } }', data={"box": {"sureGrid": None}}, errors={"box.sureGrid.0.1": null_in("sureGrid")})


@pytest.mark.parametrize("value", ["text", 7, {"a": 1}])
async def test_what_is_no_list_is_an_error(shelf: Both, value: Any) -> None:
    ANSWERS["1"] = value
    message = "Expected Iterable, but did not find one for field 'Box.ints'."
    await shelf.answer('{ box(id: "1") { ints } }', data={"box": {"ints": None}}, errors={"box.ints": message})


async def test_a_computed_list(shelf: Both) -> None:
    ANSWERS.update({"1": [1, 2], "2": [None]})
    await shelf.answer(
        "{ boxes { nodes { made } } }",
        data={"boxes": {"nodes": [{"made": [1, 2]}, {"made": None}, {"made": None}]}},
        errors={"boxes.nodes.1.made.0": null_in("made")},
    )


async def test_a_list_of_objects(shelf: Both) -> None:
    ANSWERS.update({"1": [(1, "a"), (None, "b")], "2": [], "3": [(3, "c")]})
    for field in ("items", "sureItems", "allItems"):
        await shelf.answer(
            f"{{ boxes {{ nodes {{ {field} {{ label n __typename }} }} }} }}",
            data={
                "boxes": {
                    "nodes": [
                        {field: [{"label": "a", "n": 1, "__typename": "Item"}, {"label": "b", "n": None, "__typename": "Item"}]},
                        {field: []},
                        {field: [{"label": "c", "n": 3, "__typename": "Item"}]},
                    ]
                }
            },
        )


async def test_a_list_of_objects_that_is_null(shelf: Both) -> None:
    ANSWERS["2"] = [(1, "a")]
    await shelf.answer(
        "{ boxes(first: 2) { nodes { items { n } sureItems { n } } } }",
        data={"boxes": {"nodes": [{"items": None, "sureItems": None}, {"items": [{"n": 1}], "sureItems": [{"n": 1}]}]}},
    )
    await shelf.answer('{ box(id: "1") { allItems { n } } }', data={"box": None}, errors={"box.allItems": null_in("allItems")})


async def test_an_object_with_an_error_in_a_list(shelf: Both) -> None:
    ANSWERS["1"] = [(1, "a"), (2, None), (3, "c")]
    no_label = "Cannot return null for non-nullable field Item.label."
    await shelf.answer(
        '{ box(id: "1") { items { label } } }',
        data={"box": {"items": [{"label": "a"}, None, {"label": "c"}]}},
        errors={"box.items.1.label": no_label},
    )
    await shelf.answer(
        '{ box(id: "1") { sureItems { label } } }', data={"box": {"sureItems": None}}, errors={"box.sureItems.1.label": no_label}
    )
    await shelf.answer('{ box(id: "1") { allItems { label } } }', data={"box": None}, errors={"box.allItems.1.label": no_label})


async def test_a_null_in_a_list_of_objects(shelf: Both) -> None:
    ANSWERS["1"] = [(1, "a"), None]
    await shelf.answer('{ box(id: "1") { items { n } } }', data={"box": {"items": [{"n": 1}, None]}})
    await shelf.answer(
        '{ box(id: "1") { sureItems { n } } }', data={"box": {"sureItems": None}}, errors={"box.sureItems.1": null_in("sureItems")}
    )


async def test_an_error_in_a_list_of_objects(shelf: Both) -> None:
    ANSWERS["1"] = [ValueError("secret"), (1, "a")]
    await shelf.answer('{ box(id: "1") { items { n } } }', data={"box": {"items": [None, {"n": 1}]}}, errors={"box.items.0": MASKED})
    await shelf.answer('{ box(id: "1") { allItems { n } } }', data={"box": None}, errors={"box.allItems.0": MASKED})


async def test_each_gives_objects_in_the_order_of_their_keys(shelf: Both) -> None:
    await shelf.answer('{ box(id: "1") { boxes { id } } }', data={"box": {"boxes": [{"id": "Box:3"}, {"id": "Box:2"}]}})
    await shelf.answer('{ box(id: "2") { boxes { id } sureBoxes { id } } }', data={"box": {"boxes": [], "sureBoxes": []}})


async def test_each_of_no_list_at_all_is_null(shelf: Both) -> None:
    await shelf.answer('{ box(id: "3") { boxes { id } others } }', data={"box": {"boxes": None, "others": None}})
    await shelf.answer('{ box(id: "3") { sureBoxes { id } } }', data={"box": None}, errors={"box.sureBoxes": null_in("sureBoxes")})


async def test_each_of_no_list_at_all_is_an_error_where_null_was_promised_never_to_be(shelf: Both) -> None:
    await shelf.answer('{ box(id: "2") { promisedBoxes { id } } }', data={"box": {"promisedBoxes": []}})
    message = "Cannot return null for semantically non-null field Box.promisedBoxes."
    await shelf.answer(
        '{ box(id: "3") { id promisedBoxes { id } } }',
        data={"box": {"id": "Box:3", "promisedBoxes": None}},
        errors={"box.promisedBoxes": message},
    )


async def test_an_error_below_each_nulls_the_list(shelf: Both) -> None:
    ANSWERS["2"] = [5]
    await shelf.answer('{ box(id: "1") { boxes { sure } } }', data={"box": {"boxes": None}}, errors={"box.boxes.0.sure": null_in("sure")})
    ANSWERS["3"] = [6]
    await shelf.answer('{ box(id: "1") { boxes { sure } } }', data={"box": {"boxes": [{"sure": [6]}, {"sure": [5]}]}})


async def test_each_lists_a_key_as_often_as_it_is_there() -> None:
    pair = await both(GRAPH, {BOXES: [("1", ["2", "2", "1"]), ("2", [])]})
    await pair.answer(
        '{ box(id: "1") { boxes { id boxes { id } } } }',
        data={
            "box": {
                "boxes": [
                    {"id": "Box:2", "boxes": []},
                    {"id": "Box:2", "boxes": []},
                    {"id": "Box:1", "boxes": [{"id": "Box:2"}, {"id": "Box:2"}, {"id": "Box:1"}]},
                ]
            }
        },
    )


async def test_nulls_that_may_be_there_do_not_take_the_second_walk(shelf: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.service.complete_with_nulls", None)
    ANSWERS["1"] = [1, None]
    assert await shelf.data('{ a: box(id: "1") { ints } b: box(id: "3") { ints items { n } boxes { id } others made } }') == {
        "a": {"ints": [1, None]},
        "b": {"ints": None, "items": None, "boxes": None, "others": None, "made": None},
    }
