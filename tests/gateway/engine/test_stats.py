"""Rows of measures: each by its name, of its column's type, null with its column, and nothing asked that nobody selects."""

from __future__ import annotations

from enum import Enum
from typing import Any

import orjson
import pytest
import strawberry

from gateway.errors import OutOfRange
from gateway.graph.checks import check
from gateway.graph.fields import Node, Through, average, column, count, lookup, many, maximum, minimum, stats, total
from gateway.graph.inputs import Interval, filter_of
from gateway.graph.scalars import Date, DateTime
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.stores.base import Aggregate, Collection, Column, Measure, Type
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph, respond

SHOPS = Collection("shops", "main", (Column("id", refers="Shop"),))
SALES = Collection(
    "sales",
    "main",
    (
        Column("id"),
        Column("shop_id"),
        Column("kind", nullable=True),
        Column("sold_at", Type.TIME, nullable=True),
        Column("due", Type.DATE),
        Column("pieces", Type.INT, bits=32),
        Column("price", Type.FLOAT, nullable=True),
    ),
)
SaleFilter = filter_of(SALES)


@strawberry.enum
class By(Enum):
    KIND = "kind"
    WHEN = "time"


@strawberry.enum
class Described(Enum):
    WHEN = strawberry.enum_value("time", description="When.")


@strawberry.enum
class ByKind(Enum):
    KIND = "kind"


@strawberry.type
class Takings:
    kind: str | None = column()
    hour: DateTime | None = column()
    sales: int = column()
    pieces_sold: int = column()
    pieces_mean: float = column()
    paid: float | None = column()
    paid_mean: float | None = column()
    dearest: float | None = column()
    first_at: DateTime | None = column()
    last_due: Date = column()


MEASURES = {
    "sales": count(),
    "pieces_sold": total("pieces"),
    "pieces_mean": average("pieces"),
    "paid": total("price"),
    "paid_mean": average("price"),
    "dearest": maximum("price"),
    "first_at": minimum("sold_at"),
    "last_due": maximum("due"),
}
TIMED: dict[str, Any] = {"time": "sold_at", "bucket": "hour", "where": SaleFilter, "group": By, "default": [By.KIND], "interval": Interval}


@strawberry.type
class Kinds:
    kind: str | None = column()
    sales: int = column()


@strawberry.type
class Shop(Node):
    id: strawberry.ID = column()
    takings: list[Takings] = stats(SALES, by="shop_id", measures=MEASURES, **TIMED)


@strawberry.type
class Query:
    shop: Shop | None = lookup(SHOPS, by={"id": "id"})
    takings: list[Takings] | None = stats(SALES, measures=MEASURES, **TIMED)
    untimed: list[Kinds] | None = stats(SALES, measures={"sales": count()}, where=SaleFilter, group=ByKind, default=[])


GRAPH = graph(Query, SHOPS, SALES)
ROWS = [
    ("1", "a", "tea", "2024-05-01T10:00:00.000Z", "2024-06-01", 1, 0.1),
    ("2", "a", "tea", "2024-05-01T10:59:59.999Z", "2024-06-03", 2, 0.2),
    ("3", "a", None, "2024-05-01T11:00:00.000Z", "2024-06-02", 4, None),
    ("4", "b", "tea", None, "2024-06-01", 8, 1e16),
]
ALL = "kind hour sales piecesSold piecesMean paid paidMean dearest firstAt lastDue"


async def shop(rows: list[Any] = ROWS) -> Both:
    return await both(GRAPH, {SHOPS: [("a",), ("b",)], SALES: rows})


async def test_measures_have_their_names_and_types() -> None:
    pair = await shop()
    found = (await pair.data(f'{{ shop(id: "a") {{ takings {{ {ALL} }} }} }}'))["shop"]["takings"]
    tea, rest = found
    assert tea == {
        "kind": "tea",
        "hour": None,
        "sales": 2,
        "piecesSold": 3,
        "piecesMean": 1.5,
        "paid": 0.30000000000000004,
        "paidMean": 0.15000000000000002,
        "dearest": 0.2,
        "firstAt": "2024-05-01T10:00:00.000Z",
        "lastDue": "2024-06-03",
    }
    assert rest["paid"] is rest["paidMean"] is rest["dearest"] is None
    assert (rest["piecesSold"], rest["piecesMean"]) == (4, 4.0)


@pytest.mark.parametrize("groups", ["[]", "[KIND]", "[WHEN]", "[WHEN, KIND]", "[KIND, WHEN]"])
async def test_both_executors_agree_on_every_group(groups: str) -> None:
    interval = ", interval: HOUR" if "WHEN" in groups else ""
    pair = await shop()
    takings = f"takings(groupBy: {groups}{interval}) {{ {ALL} }}"
    query = f'{{ {takings} shop(id: "a") {{ {takings} }} }}'
    await pair.answer(query, data=await pair.data(query))


async def test_the_bucket_has_the_name_that_it_is_given() -> None:
    pair = await shop()
    found = await pair.data("{ takings(groupBy: [WHEN], interval: HOUR) { hour sales } }")
    assert found["takings"] == [
        {"hour": "2024-05-01T10:00:00.000Z", "sales": 2},
        {"hour": "2024-05-01T11:00:00.000Z", "sales": 1},
        {"hour": None, "sales": 1},
    ]


async def test_only_what_is_selected_is_measured() -> None:
    pair = await shop()
    for selected, measures in (
        ("paid sales", {Measure("count"), Measure("sum", "price")}),
        ("kind", {Measure("count")}),
        ("dearest", {Measure("max", "price")}),
    ):
        pair.memory["main"].calls.clear()
        await pair.data(f"{{ takings {{ {selected} }} }}")
        asked = [call for call in pair.memory["main"].calls if isinstance(call, Aggregate)]
        assert [set(call.measures) for call in asked] == [measures]


async def test_groups_without_time_need_neither_column_nor_bucket_nor_interval() -> None:
    pair = await shop()
    await pair.answer(
        "{ untimed { sales } kinds: untimed(groupBy: [KIND]) { kind sales } }",
        data={"untimed": [{"sales": 4}], "kinds": [{"kind": "tea", "sales": 3}, {"kind": None, "sales": 1}]},
    )
    assert check(GRAPH) == []
    untimed = GRAPH.schema._schema.query_type.fields["untimed"]  # type: ignore[union-attr]
    assert list(untimed.args) == ["where", "groupBy"]


async def test_a_parent_without_rows_has_no_groups_and_its_neighbours_have_theirs() -> None:
    pair = await both(GRAPH, {SHOPS: [("a",), ("b",), ("c",)], SALES: ROWS})
    query = '{ c: shop(id: "c") { takings { sales } } b: shop(id: "b") { takings { sales } } takings { sales } }'
    await pair.answer(query, data={"c": {"takings": []}, "b": {"takings": [{"sales": 1}]}, "takings": [{"sales": 3}, {"sales": 1}]})


async def test_only_rows_that_the_filter_lets_through_are_measured() -> None:
    pair = await shop()
    query = """{ takings(where: {pieces: {gt: 1}}) { kind sales } untimed(where: {kind: {eq: "tea"}}) { sales }
        shop(id: "a") { takings(where: {kind: {eq: "none"}}) { sales } } }"""
    await pair.answer(
        query,
        data={"takings": [{"kind": "tea", "sales": 2}, {"kind": None, "sales": 1}], "untimed": [{"sales": 3}], "shop": {"takings": []}},
    )


async def test_as_many_groups_as_an_answer_has_objects_are_told_and_one_more_is_an_error() -> None:
    """No store cuts them off unseen."""
    pair = await shop()
    query = "{ takings(groupBy: [WHEN], interval: HOUR) { hour } }"  # three: two hours, and null
    found = orjson.loads((await respond(Service(GRAPH, pair.stores, Limits(objects_max=3)), query)).body)
    assert [group["hour"] for group in found["data"]["takings"]] == ["2024-05-01T10:00:00.000Z", "2024-05-01T11:00:00.000Z", None]
    found = orjson.loads((await respond(Service(GRAPH, pair.stores, Limits(objects_max=2)), query)).body)
    assert found["data"] == {"takings": None}
    assert [(error["path"], error["extensions"]["code"]) for error in found["errors"]] == [(["takings"], "RESULT_LIMIT")]


async def test_a_sum_beyond_64_bits_is_the_error_of_its_field_alone() -> None:
    large = ("5", "a", "coal", None, "2024-06-01", 2**63 - 1, None)
    pair = await shop([*ROWS, large])
    query = "{ takings(groupBy: []) { piecesSold } counts: takings(groupBy: []) { sales piecesMean } }"
    found = orjson.loads((await respond(pair.engine, query)).body)
    assert found["data"]["takings"] is None
    assert found["data"]["counts"][0]["sales"] == 5
    assert [(error["path"], error["extensions"]["code"]) for error in found["errors"]] == [(["takings"], OutOfRange.code)]
    assert found["errors"][0]["message"] == "The sum of pieces of sales does not fit into 64 bits; ask for fewer rows."


# ---------------------------------------------------------------------------------------------------------- former calls

FORM = (
    'write stats(sales, by="shop_id", time="sold_at", bucket="day", measures={"count": count(), "first_at": minimum("sold_at"), '
    '"last_at": maximum("sold_at")}, where=…, group=…, default=…, interval=…)'
)


def refused(**options: Any) -> str:
    asked = {"by": "shop_id", "where": SaleFilter, "group": By, "default": [], "interval": Interval, **options}
    with pytest.raises(TypeError) as raised:
        stats(SALES, **asked)
    return str(raised.value)


def test_counts_without_measures_are_told_how_they_are_written() -> None:
    assert refused() == f"stats(sales): expected measures by name, got none; {FORM}"
    assert refused(measures={"count": "count"}) == f"stats(sales): expected measures by name, got {{'count': 'count'}}; {FORM}"


def test_groups_of_time_without_its_column_are_told_how_they_are_written() -> None:
    measures = {"count": count()}
    assert refused(measures=measures) == f"stats(sales): By.WHEN groups by time: expected time and bucket with it; {FORM}"
    assert refused(measures=measures, time="sold_at") == f"stats(sales): By.WHEN groups by time: expected bucket with it; {FORM}"
    assert refused(measures=measures, time="sold_at", bucket="day", interval=None).startswith(
        "stats(sales): By.WHEN groups by time: expected interval with it; write stats("
    )
    assert refused(measures=measures, group=Described).startswith("stats(sales): Described.WHEN groups by time: ")


def test_edges_as_a_tuple_are_told_how_they_are_written() -> None:
    with pytest.raises(TypeError) as raised:
        many(SHOPS, through=(SALES, "shop_id", "id"), where=Named, order=Sorted)  # type: ignore[arg-type]
    assert str(raised.value) == "many(shops): expected a Through, got a tuple; write through=Through(sales, parent='shop_id', node='id')"
    with pytest.raises(TypeError) as raised:
        many(SHOPS, through=SALES, where=Named, order=Sorted)  # type: ignore[arg-type]
    assert str(raised.value) == 'many(shops): expected a Through, got a Collection; write through=Through(edges, parent="…", node="…")'


def test_ends_without_names_are_told_how_they_are_written() -> None:
    for unnamed, named in ((("shop_id", "id"), {}), (("shop_id",), {"node": "id"})):
        with pytest.raises(TypeError) as raised:
            Through(SALES, *unnamed, **named)
        expected = "Through(sales): expected parent and node by name; write Through(sales, parent='shop_id', node='id')"
        assert str(raised.value) == expected
    with pytest.raises(TypeError, match=r"write Through\(sales, parent='shop_id', node='…'\)$"):
        Through(SALES, parent="shop_id")
