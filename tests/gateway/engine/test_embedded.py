"""Objects out of JSON columns: subdocuments and lists of them, with rows of other stores below them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
import strawberry

from gateway.graph import Connection, DateTime, Node, column, embedded, filter_of, many, one, order_of
from gateway.graph import node as by_id
from gateway.graph.checks import check
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Type, Upsert
from gateway.stores.memory import MemoryStore
from tests.gateway.engine.graphs import graph

INVOICES = Collection(
    "invoices",
    "documents",
    (
        Column("id", Type.OBJECT_ID, refers="Invoice"),
        Column("address", Type.JSON, nullable=True),
        Column("lines", Type.JSON, nullable=True),
        Column("sure", Type.JSON),
    ),
)
TRACKS = Collection("tracks", "catalogue", (Column("track_id", Type.INT, refers="Track"), Column("name")), key=("track_id",))
LINE = (
    Column("track", Type.INT, at="trackId"),
    Column("price", Type.DECIMAL, nullable=True, scale=2, at="unit.price"),
    Column("tags", many=True, nullable=True),
    Column("at", Type.TIME, nullable=True),
    Column("discount", Type.JSON, nullable=True),
)
TrackFilter, TrackOrder = filter_of(TRACKS), order_of(TRACKS)
InvoiceFilter, InvoiceOrder = filter_of(INVOICES), order_of(INVOICES)


@strawberry.type
class Track(Node):
    name: str = column()


@strawberry.type
class Discount:
    percent: float = column()


@strawberry.type
class Line:
    track_id: int = column("track")
    price: Decimal | None = column()
    tags: list[str] | None = column()
    at: DateTime | None = column()
    track: Track | None = one(TRACKS, by="track")
    tracks: Connection[Track] | None = many(TRACKS, by="track_id", to="track", where=TrackFilter, order=TrackOrder)
    discount: Discount | None = embedded("discount", columns=(Column("percent", Type.FLOAT),))


@strawberry.type
class Address:
    city: str | None = column()
    zip: str = column()


@strawberry.type
class Invoice(Node):
    address: Address | None = embedded("address", columns=(Column("city", nullable=True), Column("zip", at="code.zip")))
    lines: list[Line] | None = embedded("lines", columns=LINE)
    sure: Address | None = embedded("sure", columns=(Column("city", nullable=True), Column("zip")))


@strawberry.type
class Query:
    invoices: Connection[Invoice] | None = many(INVOICES, where=InvoiceFilter, order=InvoiceOrder)


GRAPH = graph(Query, INVOICES, TRACKS, types=[Track])
IDS = [f"{number:024x}" for number in range(3)]
GOOD = {"city": "Bern", "code": {"zip": "3000"}, "more": 1}
LINES = [
    {"trackId": 7, "unit": {"price": 0.99}, "tags": ["a"], "at": "2024-01-01T01:00:00+01:00", "discount": {"percent": 5}},
    {"trackId": 9.0, "unit": {"price": "12.5"}, "at": "2024-01-01 00:00:00"},
    {"trackId": 7},
]
SURE = {"city": None, "zip": "1"}


async def service(*rows: tuple[Any, ...]) -> Service:
    stores = Stores({name: MemoryStore(name) for name in ("documents", "catalogue")})
    await stores.open()
    await stores.ask(Upsert(INVOICES, rows))
    await stores.ask(Upsert(TRACKS, [(7, "seven"), (9, "nine")]))
    stores.calls.clear()
    return Service(GRAPH, stores)


async def answer(service: Service, fields: str) -> tuple[list[Any], dict[str, str]]:
    response = await service.answer(Request(f"{{ invoices {{ nodes {{ {fields} }} }} }}"))
    given = orjson.loads(response.body)
    errors = {".".join(map(str, error["path"])): error["extensions"]["code"] for error in given.get("errors", ())}
    return given["data"]["invoices"]["nodes"], errors


def test_nothing_is_wrong_with_the_graph() -> None:
    assert check(GRAPH) == []


async def test_a_plan_says_which_column_objects_are_in() -> None:
    served = await service()
    text = "{ invoices { nodes { lines { price discount { percent } } } } }"
    told = orjson.loads((await served.answer(Request(text, explain="plan"))).body)["extensions"]["explain"]["plan"]
    lines = [line for level in told["levels"] for line in level if line["kind"] == "embedded"]
    assert [(line["path"], line["column"], line.get("store")) for line in lines] == [
        ("invoices.lines", "lines", None),
        ("invoices.lines.discount", "discount", None),
    ]


async def test_objects_and_lists_of_them() -> None:
    served = await service((IDS[0], GOOD, LINES, SURE), (IDS[1], None, [], SURE), (IDS[2], {}, None, SURE))
    found, errors = await answer(served, "id lines { trackId price tags at discount { percent } } sure { zip }")
    assert not errors
    assert found == [
        {
            "id": f"Invoice:{IDS[0]}",
            "lines": [
                {"trackId": 7, "price": "0.99", "tags": ["a"], "at": "2024-01-01T00:00:00.000Z", "discount": {"percent": 5.0}},
                {"trackId": 9, "price": "12.50", "tags": None, "at": "2024-01-01T00:00:00.000Z", "discount": None},
                {"trackId": 7, "price": None, "tags": None, "at": None, "discount": None},
            ],
            "sure": {"zip": "1"},
        },
        {"id": f"Invoice:{IDS[1]}", "lines": [], "sure": {"zip": "1"}},
        {"id": f"Invoice:{IDS[2]}", "lines": None, "sure": {"zip": "1"}},
    ]


async def test_a_null_where_none_may_be_takes_its_object() -> None:
    served = await service((IDS[0], GOOD, None, SURE), (IDS[1], {"city": "x"}, None, SURE))
    response = await served.answer(Request("{ invoices { nodes { address { city zip } } } }"))
    given = orjson.loads(response.body)
    assert given["data"]["invoices"]["nodes"] == [{"address": {"city": "Bern", "zip": "3000"}}, {"address": None}]
    assert [error["path"] for error in given["errors"]] == [["invoices", "nodes", 1, "address", "zip"]]


async def test_rows_of_another_store_below_them_in_one_call() -> None:
    served = await service((IDS[0], GOOD, LINES, SURE), (IDS[1], None, LINES[:1], SURE))
    found, errors = await answer(served, "lines { track { id name } tracks { totalCount nodes { name } } }")
    assert not errors
    seven = {"track": {"id": "Track:7", "name": "seven"}, "tracks": {"totalCount": 1, "nodes": [{"name": "seven"}]}}
    nine = {"track": {"id": "Track:9", "name": "nine"}, "tracks": {"totalCount": 1, "nodes": [{"name": "nine"}]}}
    assert found == [{"lines": [seven, nine, seven]}, {"lines": [seven]}]
    assert served.stores.calls == {"documents.invoices": 1, "catalogue.tracks": 2}  # one by key, one page per parent


@pytest.mark.parametrize(
    ("lines", "shown", "path"),
    [
        ("text", None, "lines"),
        ({"trackId": 7}, None, "lines"),
        ([{"trackId": 7}, 5], None, "lines.1"),
        ([{"trackId": 7, "unit": {"price": "x"}}], [{"trackId": 7, "price": None}], "lines.0.price"),
        ([{"trackId": 7, "unit": {"price": 0.999}}], [{"trackId": 7, "price": None}], "lines.0.price"),
        ([{"trackId": "7"}], None, "lines.0.trackId"),
        ([{"trackId": 7.5}], None, "lines.0.trackId"),
    ],
)
async def test_what_is_of_another_type_is_an_error_of_its_field(lines: Any, shown: Any, path: str) -> None:
    served = await service((IDS[0], GOOD, lines, SURE), (IDS[1], GOOD, LINES[2:], SURE))
    found, errors = await answer(served, "lines { trackId price }")
    assert errors == {f"invoices.nodes.0.{path}": "INTERNAL_SERVER_ERROR"}
    assert found == [{"lines": shown}, {"lines": [{"trackId": 7, "price": None}]}]


async def test_what_is_of_another_type_is_counted_by_where_it_is_and_not_by_what_the_query_calls_it() -> None:
    wrong = [{"trackId": "7", "unit": {"price": "x"}}, {"trackId": "8", "discount": {"percent": "all"}}, {"trackId": 7, "discount": 5}]
    served = await service((IDS[0], "text", wrong, SURE))
    await answer(served, "address { zip } all: lines { one: trackId price tags off: discount { percent } }")
    assert served.stores.wrong_values == {
        ("documents", "invoices", "address"): 1,
        ("documents", "invoices", "lines.trackId"): 2,
        ("documents", "invoices", "lines.unit.price"): 1,
        ("documents", "invoices", "lines.discount"): 1,
        ("documents", "invoices", "lines.discount.percent"): 1,
    }


@strawberry.type
class Nothing:
    node: Node | None = by_id()


def test_what_cannot_be_embedded_is_told_at_the_start() -> None:
    def told(field_type: Any, field: Any) -> list[str]:
        made = type("Invoice", (Node,), {"wrong": field})
        made.__annotations__ = {"wrong": field_type}
        types: list[Any] = [Track, strawberry.type(made)]
        return [str(problem) for problem in check(graph(Nothing, INVOICES, TRACKS, types=types)) if "Invoice.wrong" in str(problem)]

    city = (Column("city", nullable=True), Column("zip"))
    assert told(Address | None, embedded("id", columns=city)) == [
        "Invoice.wrong: expected a column of type JSON, got 'id' of type OBJECT_ID"
    ]
    assert told(Address, embedded("address", columns=city)) == [
        "Invoice.wrong: expected a type that may be null, as the column 'address' may, got Address!"
    ]
    assert told(str | None, embedded("address", columns=city)) == ["Invoice.wrong: expected an object or a list of objects, got String"]
    assert told(Address | None, embedded("addres", columns=city)) == [
        "Invoice.wrong: expected a column of type JSON of invoices (id, address, lines, sure), got 'addres'"
    ]
