"""Keys of other types than text, of several columns, and of different types in the two stores that they join."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import orjson
import pytest
import strawberry

from gateway.graph import (
    Base64,
    BigInt,
    Connection,
    DateTime,
    LocalTime,
    Node,
    Through,
    batched,
    column,
    count,
    each,
    filter_of,
    lookup,
    many,
    node,
    nodes,
    one,
    order_of,
    stats,
)
from gateway.graph.checks import check
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Index, Type, Upsert
from gateway.stores.memory import MemoryStore
from tests.gateway.engine.graphs import graph

CUSTOMERS = Collection(
    "customers",
    "catalogue",
    (
        Column("customer_id", Type.INT, refers="Customer"),
        Column("token", Type.UUID),
        Column("support_rep", Type.INT, nullable=True, refers="Customer"),
        Column("favourites", Type.INT, many=True),
        Column("level", Type.ENUM, values=("new", "old")),
        Column("tags", many=True, nullable=True),
        Column("wakes", Type.CLOCK, nullable=True),
    ),
    key=("customer_id",),
    indexes=(Index(("token",), unique=True),),
)
DOCUMENTS = Collection(
    "documents",
    "documents",
    (
        Column("id", Type.OBJECT_ID, refers="Document", at="_id"),
        Column("customer_no", Type.TEXT),
        Column("token", Type.TEXT, nullable=True),
        Column("picture", Type.BYTES, nullable=True),
        Column("total", Type.DECIMAL, nullable=True),
        Column("made_at", Type.TIME, precision=6),
    ),
    key=("id",),
    indexes=(Index(("customer_no",), unique=True),),
)
LINES = Collection(
    "lines",
    "documents",
    (
        Column("order_id", Type.INT),
        Column("label"),
        Column("customer", Type.FLOAT, nullable=True),
        Column("amount", Type.INT, bits=32),
        Column("parent_order", Type.TEXT, nullable=True),
        Column("parent_label", nullable=True),
    ),
    key=("order_id", "label"),
    type="Line",
)
LIKES = Collection(
    "likes", "graph", (Column("who", Type.TEXT), Column("order_id", Type.INT), Column("label")), key=("who", "order_id", "label")
)


@strawberry.enum
class Level(Enum):
    NEW = "new"
    OLD = "old"


CustomerFilter, CustomerOrder = filter_of(CUSTOMERS), order_of(CUSTOMERS)
DocumentFilter, DocumentOrder = filter_of(DOCUMENTS), order_of(DOCUMENTS)
LineFilter, LineOrder = filter_of(LINES), order_of(LINES)


@strawberry.enum
class LineGroup(Enum):
    CUSTOMER = "customer"


@strawberry.type
class LineStat:
    customer: float | None = column()
    count: int = column()
    who: Annotated[Customer, strawberry.lazy("tests.gateway.engine.test_keys")] | None = one(CUSTOMERS, by="customer")


async def greetings(_ctx: Any, keys: list[str]) -> list[str]:
    return [f"hello {key!r}" for key in keys]


@strawberry.type
class Document(Node):
    customer_no: str = column()
    picture: Base64 | None = column()
    total: Decimal | None = column()
    made_at: DateTime = column()
    customer: Annotated[Customer, strawberry.lazy("tests.gateway.engine.test_keys")] | None = one(CUSTOMERS, by="customer_no")
    of_token: Annotated[Customer, strawberry.lazy("tests.gateway.engine.test_keys")] | None = one(CUSTOMERS, by="token", to="token")


@strawberry.type
class Line(Node):
    label: str = column()
    amount: int = column()
    customer: Annotated[Customer, strawberry.lazy("tests.gateway.engine.test_keys")] | None = one(CUSTOMERS, by="customer")
    above: Annotated[Line, strawberry.lazy("tests.gateway.engine.test_keys")] | None = one(LINES, by=("parent_order", "parent_label"))
    below: Connection[Annotated[Line, strawberry.lazy("tests.gateway.engine.test_keys")]] | None = many(
        LINES, by=("parent_order", "parent_label"), where=LineFilter, order=LineOrder
    )


@strawberry.type
class Customer(Node):
    token: UUID = column()
    number: BigInt = column("customer_id")
    level: Level = column()
    wakes: LocalTime | None = column()
    rep_id: strawberry.ID | None = column("support_rep")
    rep: Annotated[Customer, strawberry.lazy("tests.gateway.engine.test_keys")] | None = one(CUSTOMERS, by="support_rep")
    team: Connection[Annotated[Customer, strawberry.lazy("tests.gateway.engine.test_keys")]] | None = many(
        CUSTOMERS, by="support_rep", where=CustomerFilter, order=CustomerOrder
    )
    favourites: list[Annotated[Customer, strawberry.lazy("tests.gateway.engine.test_keys")]] | None = each(CUSTOMERS, by="favourites")
    document: Document | None = one(DOCUMENTS, by="customer_id", to="customer_no")
    documents: Connection[Document] | None = many(DOCUMENTS, by="token", to="token", where=DocumentFilter, order=DocumentOrder)
    lines: Connection[Line] | None = many(LINES, by="customer", where=LineFilter, order=LineOrder)
    liked: Connection[Line] | None = many(
        LINES, through=Through(LIKES, parent="who", node=("order_id", "label")), where=LineFilter, order=LineOrder
    )
    sales: list[LineStat] | None = stats(
        LINES, by="customer", measures={"count": count()}, where=LineFilter, group=LineGroup, default=[LineGroup.CUSTOMER]
    )
    greeting: str | None = batched(greetings)


@strawberry.type
class Query:
    customer: Customer | None = lookup(CUSTOMERS, by={"id": "customer_id", "token": "token"})
    document: Document | None = lookup(DOCUMENTS, by={"id": "id", "customer_no": "customer_no"})
    line: Line | None = lookup(LINES, by={"id": "order_id,label"})
    customers: Connection[Customer] | None = many(CUSTOMERS, where=CustomerFilter, order=CustomerOrder)
    documents: Connection[Document] | None = many(DOCUMENTS, where=DocumentFilter, order=DocumentOrder)
    lines: Connection[Line] | None = many(LINES, where=LineFilter, order=LineOrder)
    node: Node | None = node()
    nodes: list[Node | None] = nodes()


TOKENS = ("123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-00000000000a", "ffffffff-ffff-ffff-ffff-ffffffffffff")
IDS = ("507f1f77bcf86cd799439011", "507f1f77bcf86cd799439012")
GRAPH = graph(Query, CUSTOMERS, DOCUMENTS, LINES, LIKES, types=[Customer, Document, Line])

ROWS: dict[Collection, list[tuple[Any, ...]]] = {
    CUSTOMERS: [
        (2, TOKENS[1], 10, [10, 2, 99], "new", ["a", "b"], "07:30:00.000"),
        (10, TOKENS[0], None, [], "old", [], None),
        (2**53 + 1, TOKENS[2], 10, [2], "old", None, "23:59:59.999"),
    ],
    DOCUMENTS: [
        (IDS[0], "2", TOKENS[1].upper(), "AP8=", "12.50", "2024-01-01T00:00:00.000011Z"),
        (IDS[1], "abc", "no uuid", None, "3", "2024-01-01T00:00:00.000022Z"),
    ],
    LINES: [
        (1, "a,b", 2.0, 5, None, None),
        (1, "100%", 10.0, 6, "1", "a,b"),
        (2, "", 2.5, 7, "1", "a,b"),
        (11, "z", None, 8, "x", "a,b"),
    ],
    LIKES: [("2", 1, "a,b"), ("2", 2, ""), ("2", 3, "gone"), ("10", 1, "100%")],
}


@pytest.fixture
async def service() -> Service:
    stores = Stores({name: MemoryStore(name) for name in ("catalogue", "documents", "graph")})
    await stores.open()
    for collection, rows in ROWS.items():
        await stores.ask(Upsert(collection, rows))
    stores.calls.clear()
    return Service(GRAPH, stores)


async def ask(service: Service, query: str, **variables: Any) -> Any:
    response = await service.answer(Request(query, variables))
    answer = orjson.loads(response.body)
    assert "errors" not in answer, answer
    return answer["data"]


async def refused(service: Service, query: str) -> str:
    answer = orjson.loads((await service.answer(Request(query))).body)
    assert answer.get("data") is None
    return str(answer["errors"][0]["message"])


def test_nothing_is_wrong_with_the_graph() -> None:
    assert check(GRAPH) == []


async def test_ids_are_of_the_key_whatever_it_is_called(service: Service) -> None:
    data = await ask(service, "{ customers { nodes { id number repId } } documents { nodes { id } } lines { nodes { id } } }")
    assert data["customers"]["nodes"] == [
        {"id": "Customer:2", "number": "2", "repId": "Customer:10"},
        {"id": "Customer:10", "number": "10", "repId": None},
        {"id": "Customer:9007199254740993", "number": "9007199254740993", "repId": "Customer:10"},
    ]
    assert [row["id"] for row in data["documents"]["nodes"]] == [f"Document:{IDS[0]}", f"Document:{IDS[1]}"]
    assert [row["id"] for row in data["lines"]["nodes"]] == ["Line:1,100%25", "Line:1,a%2Cb", "Line:2,", "Line:11,z"]


async def test_objects_by_their_ids(service: Service) -> None:
    text = "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Customer { token } ... on Line { amount } } }"
    ids = ["Line:1,a%2Cb", "Customer:10", "Customer:010", "Customer:x", "Line:1", "Line:1,a,b", f"Document:{IDS[1].upper()}", "Customer:10"]
    data = await ask(service, text, ids=ids)
    ten = {"id": "Customer:10", "token": TOKENS[0]}
    assert data["nodes"] == [{"id": "Line:1,a%2Cb", "amount": 5}, ten, None, None, None, None, {"id": f"Document:{IDS[1]}"}, ten]
    assert (await ask(service, '{ node(id: "Line:2,") { id ... on Line { amount } } }'))["node"] == {"id": "Line:2,", "amount": 7}


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ('id: "Customer:10"', "Customer:10"),
        ('id: "10"', "Customer:10"),
        ('id: "ten"', None),
        ('id: "Customer:1e1"', None),
        (f'token: "{TOKENS[0].upper()}"', "Customer:10"),
        ('token: "00000000-0000-0000-0000-000000000000"', None),
    ],
)
async def test_look_ups_by_key_and_unique_column(service: Service, argument: str, found: str | None) -> None:
    assert (await ask(service, f"{{ customer({argument}) {{ id }} }}"))["customer"] == (None if found is None else {"id": found})


async def test_a_look_up_by_several_columns(service: Service) -> None:
    assert (await ask(service, '{ line(id: "Line:1,a%2Cb") { amount } }'))["line"] == {"amount": 5}
    assert (await ask(service, '{ line(id: "1,nobody") { amount } }'))["line"] is None


async def test_what_can_be_no_key_asks_no_store(service: Service) -> None:
    await ask(service, '{ customer(id: "ten") { id } line(id: "1") { id } node(id: "Customer:x") { id } }')
    assert not service.stores.calls


async def test_rows_by_keys_of_other_types(service: Service) -> None:
    """INT to TEXT, TEXT to INT, a text to a uuid however it is written, FLOAT to INT: and what is no key there finds nothing."""
    data = await ask(
        service,
        """{
          customers { nodes { number document { id customer { number } } documents { nodes { id } } rep { number } favourites { number } } }
          documents { nodes { customer { number } ofToken { number } } }
          lines { nodes { label customer { number } above { label } } }
        }""",
    )
    first, second, third = data["customers"]["nodes"]
    assert first["document"] == {"id": f"Document:{IDS[0]}", "customer": {"number": "2"}}
    assert (second["document"], third["document"]) == (None, None)
    assert first["rep"] == {"number": "10"}
    assert [row["number"] for row in first["favourites"]] == ["10", "2"]
    assert data["documents"]["nodes"] == [
        {"customer": {"number": "2"}, "ofToken": {"number": "2"}},
        {"customer": None, "ofToken": None},
    ]
    assert data["lines"]["nodes"] == [
        {"label": "100%", "customer": {"number": "10"}, "above": {"label": "a,b"}},
        {"label": "a,b", "customer": {"number": "2"}, "above": None},
        {"label": "", "customer": None, "above": {"label": "a,b"}},
        {"label": "z", "customer": None, "above": None},
    ]


async def test_pages_per_parent_by_keys_of_other_types(service: Service) -> None:
    data = await ask(
        service,
        """{
          customers { nodes {
            number
            team(first: 1, orderBy: {field: KEY, direction: DESC}) { totalCount edges { cursor node { number } } }
            lines { nodes { label } }
          } }
          lines { nodes { label below(first: 1) { totalCount pageInfo { hasNextPage } nodes { label } } } }
        }""",
    )
    team = {row["number"]: row["team"] for row in data["customers"]["nodes"]}
    assert team["10"]["totalCount"] == 2
    assert [edge["node"]["number"] for edge in team["10"]["edges"]] == ["9007199254740993"]
    assert team["2"] == {"totalCount": 0, "edges": []}
    assert [[line["label"] for line in row["lines"]["nodes"]] for row in data["customers"]["nodes"]] == [["a,b"], ["100%"], []]
    below = {row["label"]: row["below"] for row in data["lines"]["nodes"]}
    assert below["a,b"] == {"totalCount": 2, "pageInfo": {"hasNextPage": True}, "nodes": [{"label": "100%"}]}
    assert below["z"] == {"totalCount": 0, "pageInfo": {"hasNextPage": False}, "nodes": []}


async def test_edges_to_keys_of_several_columns(service: Service) -> None:
    data = await ask(service, "{ customers { nodes { number liked { totalCount nodes { id } } } } }")
    assert [
        (row["number"], row["liked"]["totalCount"], [line["id"] for line in row["liked"]["nodes"]]) for row in data["customers"]["nodes"]
    ] == [
        ("2", 2, ["Line:1,a%2Cb", "Line:2,"]),
        ("10", 1, ["Line:1,100%25"]),
        ("9007199254740993", 0, []),
    ]


async def test_edges_alone_when_the_nodes_fail(service: Service) -> None:
    service.stores["documents"].fail_with = OSError("gone")  # type: ignore[attr-defined]
    response = await service.answer(Request("{ customers { nodes { number liked { totalCount edges { cursor } } } } }"))
    answer = orjson.loads(response.body)
    assert [row["liked"]["totalCount"] for row in answer["data"]["customers"]["nodes"]] == [3, 1, 0]
    assert all(edge["cursor"] for row in answer["data"]["customers"]["nodes"] for edge in row["liked"]["edges"])


async def test_statistics_and_objects_below_them(service: Service) -> None:
    data = await ask(service, "{ customers { nodes { number sales { customer count who { number } } } } }")
    assert {row["number"]: row["sales"] for row in data["customers"]["nodes"]} == {
        "2": [{"customer": 2.0, "count": 1, "who": {"number": "2"}}],
        "10": [{"customer": 10.0, "count": 1, "who": {"number": "10"}}],
        "9007199254740993": [],
    }


async def test_batch_functions_have_keys_as_text(service: Service) -> None:
    data = await ask(service, "{ customers { nodes { greeting } } }")
    assert [row["greeting"] for row in data["customers"]["nodes"]] == ["hello '2'", "hello '10'", "hello '9007199254740993'"]


async def test_one_call_per_level_and_collection(service: Service) -> None:
    await ask(service, "{ customers { nodes { rep { id } document { id } lines { nodes { above { id } } } favourites { id } } } }")
    assert service.stores.calls == {
        "catalogue.customers": 2,  # the root, and both by key
        "documents.documents": 1,
        "documents.lines": 2,
    }


# ------------------------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ('{customerId: {eq: "Customer:10"}}', [10]),
        ('{customerId: {in: ["10", "2", "x", "Customer:99"]}}', [2, 10]),
        ('{customerId: {eq: "x"}}', []),
        ('{customerId: {ne: "x"}}', [2, 10, 2**53 + 1]),
        ('{supportRep: {eq: "10"}}', [2, 2**53 + 1]),
        ("{supportRep: null}", [10]),
        (f'{{token: {{eq: "{TOKENS[0].upper()}"}}}}', [10]),
        (f'{{token: {{gt: "{TOKENS[0]}"}}}}', [2**53 + 1]),
        ('{level: {eq: "old"}}', [10, 2**53 + 1]),
        ('{level: {in: ["new"]}}', [2]),
        ('{tags: {contains: "a"}}', [2]),
        ('{tags: {containsAny: ["x", "b"]}}', [2]),
        ("{tags: {isEmpty: true}}", [10]),
        ("{tags: {isEmpty: false}}", [2, 2**53 + 1]),
        ("{tags: {isNull: true}}", [2**53 + 1]),
        ('{favourites: {contains: "99"}}', [2]),
        ("{favourites: {containsAny: [10, 99]}}", [2]),
        ('{wakes: {lt: "07:30:00.000000001"}}', [2]),
        ('{wakes: {gte: "07:30:00"}}', [2, 2**53 + 1]),
    ],
)
async def test_filters_of_customers(service: Service, where: str, found: list[int]) -> None:
    data = await ask(service, f"{{ customers(where: {where}) {{ nodes {{ number }} }} }}")
    assert [int(row["number"]) for row in data["customers"]["nodes"]] == found


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ('{madeAt: {eq: "2024-01-01T00:00:00.000011Z"}}', [0]),
        ('{madeAt: {eq: "2024-01-01T00:00:00.0000110Z"}}', [0]),
        ('{madeAt: {eq: "2024-01-01T00:00:00.0000111Z"}}', []),
        ('{madeAt: {ne: "2024-01-01T00:00:00.0000111Z"}}', [0, 1]),
        ('{madeAt: {gt: "2024-01-01T00:00:00.0000109Z"}}', [0, 1]),
        ('{madeAt: {gte: "2024-01-01T00:00:00.0000111Z"}}', [1]),
        ('{madeAt: {lt: "2024-01-01T00:00:00.0000111Z"}}', [0]),
        ('{madeAt: {lte: "2024-01-01T00:00:00.0000219Z"}}', [0]),
        ('{madeAt: {in: ["2024-01-01T00:00:00.0000111Z", "2024-01-01T01:00:00.000022+01:00"]}}', [1]),
        ('{total: {eq: "12.5"}}', [0]),
        ("{total: {eq: 12.5}}", [0]),
        ('{total: {gt: "3.0000000000000000000000000001"}}', [0]),
        ('{total: {lte: "3.000"}}', [1]),
        ('{picture: {eq: "AP8="}}', [0]),
        ('{id: {eq: "507F1F77BCF86CD799439012"}}', [1]),
    ],
)
async def test_filters_of_documents(service: Service, where: str, found: list[int]) -> None:
    data = await ask(service, f"{{ documents(where: {where}) {{ nodes {{ id }} }} }}")
    assert [row["id"] for row in data["documents"]["nodes"]] == [f"Document:{IDS[number]}" for number in found]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ('{ customers(where: {level: {eq: "odd"}}) { totalCount } }', "where.level.eq: expected one of new, old, got 'odd'"),
        (
            '{ customers(where: {customerId: {eq: "Line:1"}}) { totalCount } }',
            "where.customerId.eq: expected an id of Customer, got one of Line",
        ),
        ('{ customer(token: "x") { id } }', "UUID: expected a uuid such as 123e4567-e89b-12d3-a456-426614174000, got 'x'"),
        (
            '{ documents(where: {total: {eq: "x"}}) { totalCount } }',
            "Decimal: expected a decimal number as text, such as \"13.86\", got 'x'",
        ),
        (
            "{ customers(where: {favourites: {contains: 9223372036854775808}}) { totalCount } }",
            "BigInt: expected a whole number of 64 bits",
        ),
    ],
)
async def test_values_that_cannot_be_are_refused(service: Service, query: str, told: str) -> None:
    assert told in await refused(service, query)


# ------------------------------------------------------------------------------------------------------- pages, values


@pytest.mark.parametrize("connection", ["customers", "documents", "lines"])
async def test_a_walk_through_pages_in_every_order(service: Service, connection: str) -> None:
    type_ = {"customers": "CustomerOrderField", "documents": "DocumentOrderField", "lines": "LineOrderField"}[connection]
    for field in GRAPH.schema._schema.type_map[type_].values:  # type: ignore[attr-defined]
        for direction in ("ASC", "DESC"):
            order = f"orderBy: {{field: {field}, direction: {direction}}}"
            everything = (await ask(service, f"{{ c: {connection}({order}) {{ nodes {{ id }} }} }}"))["c"]["nodes"]
            for size, edge, side in (("first", "after", "endCursor"), ("last", "before", "startCursor")):
                walked: list[Any] = []
                cursor: str | None = None
                while True:
                    selected = f"{{ nodes {{ id }} pageInfo {{ {side} }} }}"
                    text = f"query ($c: String) {{ c: {connection}({order}, {size}: 1, {edge}: $c) {selected} }}"
                    page = (await ask(service, text, c=cursor))["c"]
                    if not page["nodes"]:
                        break
                    walked = [*walked, *page["nodes"]] if size == "first" else [*page["nodes"], *walked]
                    cursor = page["pageInfo"][side]
                assert walked == everything, (field, direction, size)


async def test_values_as_they_are(service: Service) -> None:
    data = await ask(service, "{ documents { nodes { picture total madeAt customerNo } } customers { nodes { level wakes token } } }")
    assert data["documents"]["nodes"] == [
        {"picture": "AP8=", "total": "12.50", "madeAt": "2024-01-01T00:00:00.000011Z", "customerNo": "2"},
        {"picture": None, "total": "3", "madeAt": "2024-01-01T00:00:00.000022Z", "customerNo": "abc"},
    ]
    assert data["customers"]["nodes"][0] == {"level": "NEW", "wakes": "07:30:00.000", "token": TOKENS[1]}


# -------------------------------------------------------------------------------------------------------------- checks


def problems(field_type: Any, field: Any) -> list[str]:
    customer = type("Customer", (Node,), {"wrong": field})
    customer.__annotations__ = {"wrong": field_type}
    made: Any = strawberry.type(customer)

    @strawberry.type
    class Query:
        node: Node | None = node()

    told = map(str, check(graph(Query, CUSTOMERS, DOCUMENTS, LINES, LIKES, types=[made])))
    return [problem for problem in told if problem.startswith("Customer.wrong")]


def test_what_cannot_be_joined_is_told_at_the_start() -> None:
    told, _ = problems(Document | None, one(DOCUMENTS, by="customer_id"))
    assert told == (
        "Customer.wrong: expected a column whose values can be those of 'id' of documents, of type OBJECT_ID,"
        " got 'customer_id' of type INT of customers"
    )
    [told] = problems(Line | None, one(LINES, by="customer_id"))
    assert (
        told == "Customer.wrong: expected as many columns as they are compared with, 2 (order_id, label of lines),"
        " got 1 (customer_id of customers)"
    )
    [told] = problems(Document | None, one(DOCUMENTS, by="customer_id", to="total"))
    assert told == "Customer.wrong: expected a unique column of documents, got 'total', which is neither the key nor has a unique index"
    [told] = problems(Decimal, column("token"))
    assert told == "Customer.wrong: expected a column of type DECIMAL or INT for Decimal, got 'token' of type UUID"


# Collections whose key refers to no type: which theirs is they say themselves.
THINGS = Collection("things", "catalogue", (Column("id", Type.INT),), type="Thing")
PIECES = Collection("pieces", "catalogue", (Column("number", Type.INT),), key=("number",), type="Piece")
PieceFilter, PieceOrder = filter_of(PIECES), order_of(PIECES)


@strawberry.type
class Thing(Node):
    key: BigInt = column("id")


@strawberry.type
class Piece(Node):
    number: strawberry.ID = column()


@strawberry.type
class QueryOfThings:
    thing: Thing | None = lookup(THINGS, by={"id": "id"})
    pieces: Connection[Piece] | None = many(PIECES, where=PieceFilter, order=PieceOrder)
    node: Node | None = node()


async def test_ids_of_a_type_that_its_collection_names() -> None:
    served = graph(QueryOfThings, THINGS, PIECES)
    assert check(served) == []
    stores = Stores({"catalogue": MemoryStore("catalogue")})
    await stores.open()
    await stores.ask(Upsert(THINGS, [(7,)]))
    await stores.ask(Upsert(PIECES, [(8,)]))
    text = '{ thing(id: "Thing:7") { id key } pieces { nodes { id number } } node(id: "Thing:7") { id } }'
    assert await ask(Service(served, stores), text) == {
        "thing": {"id": "Thing:7", "key": "7"},
        "pieces": {"nodes": [{"id": "Piece:8", "number": "Piece:8"}]},
        "node": {"id": "Thing:7"},
    }


# ------------------------------------------------------------------------------------------ one column, keys of two forms

COARSE = Collection("coarse", "main", (Column("id", Type.DECIMAL, scale=2, refers="Coarse"), Column("name")))
FINE = Collection("fine", "main", (Column("id", Type.DECIMAL, refers="Fine"), Column("name")))
PLACES = Collection("places", "main", (Column("id", refers="Place"), Column("at")))
PlaceFilter, PlaceOrder = filter_of(PLACES), order_of(PLACES)


@strawberry.type
class Coarse(Node):
    name: str = column()


@strawberry.type
class Fine(Node):
    name: str = column()


@strawberry.type
class Place(Node):
    fine: Fine | None = one(FINE, by="at")
    coarse: Coarse | None = one(COARSE, by="at")


@strawberry.type
class Places:
    places: Connection[Place] | None = many(PLACES, where=PlaceFilter, order=PlaceOrder)


@pytest.mark.parametrize("fields", ["fine { name } coarse { name }", "coarse { name } fine { name }"])
async def test_one_column_has_keys_of_two_columns_that_differ_in_scale(fields: str) -> None:
    """``2.125`` is a key where all decimals are kept, and none where there are two of them."""
    stores = Stores({"main": MemoryStore("main")})
    await stores.open()
    await stores.ask(Upsert(COARSE, [("2.10", "coarse")]))
    await stores.ask(Upsert(FINE, [("2.1", "fine"), ("2.125", "finest")]))
    await stores.ask(Upsert(PLACES, [("1", "2.1"), ("2", "2.125")]))
    service = Service(graph(Places, COARSE, FINE, PLACES, types=[Coarse, Fine, Place]), stores)
    data = await ask(service, f"{{ places {{ nodes {{ {fields} }} }} }}")
    assert data["places"]["nodes"] == [
        {"fine": {"name": "fine"}, "coarse": {"name": "coarse"}},
        {"fine": {"name": "finest"}, "coarse": None},
    ]
