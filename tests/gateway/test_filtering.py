"""A graph of a collection with a column of every type, in every kind of store: each operator of each column and each order, by both
executors, against the rows in Python."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import cmp_to_key
from typing import Any

import orjson
import pytest
import strawberry

from gateway.graph.fields import Connection, Node, column, many
from gateway.graph.inputs import filter_of, order_of
from gateway.graph.scalars import Date, DateTime, Json
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Type, Upsert
from tests.gateway.engine.graphs import graph, respond
from tests.kinds import kinds, store_of

ITEMS = Collection(
    name="items",
    store="shelf",
    label="ItemRecord",
    columns=(
        Column("id", refers="Item"),
        Column("owner_id", nullable=True, refers="Owner"),
        Column("from", description="Where it comes from."),  # no name that Python takes for an attribute
        Column("line_2", nullable=True),
        Column("done", Type.BOOL),
        Column("maybe", Type.BOOL, nullable=True),
        Column("size", Type.INT),
        Column("size_3d", Type.INT, nullable=True),
        Column("weight", Type.FLOAT),
        Column("ratio", Type.FLOAT, nullable=True),
        Column("made_at", Type.TIME),
        Column("seen_at", Type.TIME, nullable=True),
        Column("born", Type.DATE),
        Column("due", Type.DATE, nullable=True),
        Column("data", Type.JSON),
        Column("extra", Type.JSON, nullable=True),
        Column("tags", Type.TEXTS),
        Column("labels", Type.TEXTS, nullable=True),
    ),
)
ROWS: list[dict[str, Any]] = [
    {
        "id": f"i{i:02}",
        "owner_id": (None, "1", "2")[i % 3],
        "from": ("b", "a", "B", "\u00e4", "")[i % 5],
        "line_2": (None, "x", "xy%", "y")[i % 4],
        "done": i % 2 == 0,
        "maybe": (True, None, False)[i % 3],
        "size": (3, -1, 2**31 - 1, 0)[i % 4],
        "size_3d": (None, 5, -5, 5)[i % 4],
        "weight": (0.5, 1.0, -2.5)[i % 3],
        "ratio": (None, 0.25, 1e300)[i % 3],
        "made_at": f"2021-0{i % 3 + 1}-01T00:00:00.{i % 4:03}Z",
        "seen_at": (None, "1969-12-31T23:59:59.999Z", "2024-02-29T12:00:00.500Z")[i % 3],
        "born": ("1900-01-01", "2000-02-29")[i % 2],
        "due": (None, "0001-01-01", "9999-12-31")[i % 3],
        "data": ({}, [], "", "null", 0, False, {"a": None})[i % 7],
        "extra": (None, {}, [], "null", 0, False)[i % 6],
        "tags": ([], ["a"])[i % 2],
        "labels": (None, [], ["x"])[i % 3],
    }
    for i in range(23)
]
TOLD = {name: name for name in ITEMS.names} | {  # what clients call the columns
    "owner_id": "ownerId",
    "line_2": "line2",
    "size_3d": "size3d",
    "made_at": "madeAt",
    "seen_at": "seenAt",
}


@strawberry.type
class Item(Node):
    id: strawberry.ID = column()
    owner_id: strawberry.ID | None = column()
    origin: str = column("from")
    line_2: str | None = column()
    done: bool = column()
    maybe: bool | None = column()
    size: int = column()
    size_3d: int | None = column()
    weight: float = column()
    ratio: float | None = column()
    made_at: DateTime = column()
    seen_at: DateTime | None = column()
    born: Date = column()
    due: Date | None = column()
    data: Json = column()
    extra: Json | None = column()
    tags: list[str] = column()
    labels: list[str] | None = column()


@strawberry.type
class Query:
    items: Connection[Item] | None = many(ITEMS, where=filter_of(ITEMS), order=order_of(ITEMS))


GRAPH = graph(Query, ITEMS)

EQUALITY: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "ne": lambda a, b: bool(a != b),
}
MEMBERSHIP: dict[str, Callable[[Any, Any], bool]] = {"in": lambda a, b: a is not None and b is not None and a in b}
RANGE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a is not None and b is not None and a > b,
    "gte": lambda a, b: a is not None and b is not None and a >= b,
    "lt": lambda a, b: a is not None and b is not None and a < b,
    "lte": lambda a, b: a is not None and b is not None and a <= b,
}
TEXT: dict[str, Callable[[Any, Any], bool]] = {
    "contains": lambda a, b: a is not None and b is not None and b in a,
    "startsWith": lambda a, b: a is not None and b is not None and a.startswith(b),
}
NULL: dict[str, Callable[[Any, Any], bool]] = {"isNull": lambda a, b: b is None or (a is None) is b}
OPERATORS = {
    Type.TEXT: EQUALITY | MEMBERSHIP | RANGE | TEXT,
    Type.BOOL: EQUALITY,
    Type.INT: EQUALITY | MEMBERSHIP | RANGE,
    Type.FLOAT: EQUALITY | MEMBERSHIP | RANGE,
    Type.TIME: EQUALITY | MEMBERSHIP | RANGE,
    Type.DATE: EQUALITY | MEMBERSHIP | RANGE,
    Type.JSON: NULL,
    Type.TEXTS: NULL,
}
OTHERS: dict[Type, list[Any]] = {  # values that no row has
    Type.TEXT: ["m", "%"],
    Type.BOOL: [],
    Type.INT: [1, -(2**31)],
    Type.FLOAT: [0.3, 0, 7],
    Type.TIME: ["2021-02-01T00:00:00.005Z"],
    Type.DATE: ["1999-12-31"],
}


@pytest.fixture(params=kinds())
async def service(request: pytest.FixtureRequest) -> AsyncIterator[Service]:
    """The graph over a filled store of each kind."""
    async with store_of(request.param, [ITEMS], "shelf") as store:
        await store.answer(Upsert(ITEMS, [tuple(row[name] for name in ITEMS.names) for row in ROWS]))
        stores = Stores({"shelf": store})
        yield Service(GRAPH, stores)


async def asked(service: Service, **variables: Any) -> list[str]:
    """Return the keys of the items that are found, ."""
    query = "query ($where: ItemFilter, $orderBy: [ItemOrder!]) { items(where: $where, orderBy: $orderBy, first: 100) { nodes { id } } }"
    answer = orjson.loads((await respond(service, query, variables)).body)
    assert "errors" not in answer, (variables, answer)
    return [node["id"].removeprefix("Item:") for node in answer["data"]["items"]["nodes"]]


def comparisons(declared: Column) -> list[tuple[str, Any, Callable[[Any, Any], bool]]]:
    """Return every operator of a column with the operands to try."""
    if declared.type in (Type.JSON, Type.TEXTS):
        return [("isNull", operand, NULL["isNull"]) for operand in (True, False, None)]
    found = OPERATORS[declared.type] if declared.refers is None else EQUALITY | MEMBERSHIP
    present = list(dict.fromkeys(row[declared.name] for row in ROWS if row[declared.name] is not None))[:3]
    values = [*present[1:], *OTHERS[declared.type][:2], None]
    operands: dict[str, list[Any]] = {name: [present[:2], present[-1:], [], None] if name == "in" else values for name in found}
    return [(name, operand, holds) for name, holds in found.items() for operand in operands[name]]


async def test_every_operator_of_every_column(service: Service) -> None:
    for declared in ITEMS.columns:
        for operator, operand, holds in comparisons(declared):
            where = {TOLD[declared.name]: {operator: operand}}
            expected = [row["id"] for row in ROWS if holds(row[declared.name], operand)]
            assert await asked(service, where=where) == expected, where


async def test_not_is_the_exact_negation(service: Service) -> None:
    for declared in ITEMS.columns:
        operator, operand, holds = comparisons(declared)[0]
        expected = [row["id"] for row in ROWS if not holds(row[declared.name], operand)]
        assert await asked(service, where={"not": {TOLD[declared.name]: {operator: operand}}}) == expected, declared.name


async def test_a_null_for_a_column_matches_null(service: Service) -> None:
    for declared in ITEMS.columns:
        expected = [row["id"] for row in ROWS if row[declared.name] is None]
        assert await asked(service, where={TOLD[declared.name]: None}) == expected, declared.name


async def test_conditions_are_combined(service: Service) -> None:
    where = {
        "size": {"gte": 0, "lt": 4},
        "or": [{"line2": {"contains": "x", "lte": "xy"}}, {"not": {"extra": {"isNull": False}}}, {"due": {"gt": "2000-01-01"}}],
        "and": [{"done": {"ne": None}}, {"ratio": {"ne": 0.25}}],
    }
    expected = [
        row["id"]
        for row in ROWS
        if 0 <= row["size"] < 4
        and (
            (row["line_2"] is not None and "x" in row["line_2"] and row["line_2"] <= "xy")
            or row["extra"] is None
            or (row["due"] or "") > "2000-01-01"
        )
        and row["ratio"] != 0.25
    ]
    assert 0 < len(expected) < len(ROWS)
    assert await asked(service, where=where) == expected


async def test_all_of_nothing_is_everything_and_one_of_nothing_is_nothing(service: Service) -> None:
    everything: list[str] = [str(row["id"]) for row in ROWS]
    wheres: list[tuple[dict[str, Any], list[str]]] = [
        ({}, everything),
        ({"and": []}, everything),
        ({"or": []}, []),
        ({"not": {}}, []),
        ({"not": {"or": []}}, everything),
        ({"or": [{"or": []}, {"id": {"eq": everything[0]}}]}, everything[:1]),
        ({"and": None, "or": None, "not": None}, everything),
    ]
    for where, expected in wheres:
        assert await asked(service, where=where) == expected, where


async def test_ids_are_keys_with_their_type_or_without_in_lists_too(service: Service) -> None:
    first, second, *_ = [str(row["id"]) for row in ROWS]
    for given in ([f"Item:{first}", second], [first, f"Item:{second}"]):
        assert await asked(service, where={"id": {"in": given}}) == [first, second]
    assert await asked(service, where={"id": {"eq": f"Item:{second}"}}) == [second]


async def test_every_order(service: Service) -> None:
    for name in ITEMS.names:
        if ITEMS[name].type in (Type.JSON, Type.TEXTS):
            continue
        for direction in ("ASC", "DESC"):
            member = "KEY" if name == "id" else name.upper()
            expected = [row["id"] for row in sorted(ROWS, key=_by(name, direction == "DESC"))]
            assert await asked(service, orderBy=[{"field": member, "direction": direction}]) == expected, (name, direction)


def _by(name: str, descending: bool) -> Callable[[dict[str, Any]], Any]:
    def compared(a: dict[str, Any], b: dict[str, Any]) -> int:
        left, right = a[name], b[name]
        if left == right:
            return -1 if a["id"] < b["id"] else 1
        if left is None or right is None:
            return 1 if left is None else -1
        return -1 if (left < right) is not descending else 1

    return cmp_to_key(compared)
