"""Values that are not of their column's type: an error of their field at their path, and all else as if they were well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from enum import Enum
from typing import Any

import orjson
import pytest
import pytest_asyncio
import strawberry

from gateway.graph.fields import Connection, Node, PageInfo, column, computed, count, each, lookup, many, one, part, stats
from gateway.graph.inputs import Direction, Interval, filter_of
from gateway.graph.scalars import Date, DateTime, Json
from gateway.observability.metrics import text_of
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Fetch, Index, Store, Type, Upsert
from gateway.stores.memory import MemoryStore
from tests.gateway.engine.graphs import graph, respond
from tests.gateway.stores.wrong import lenient_kinds, put
from tests.kinds import kinds, store_of

ITEMS = Collection(
    "items",
    "tested",
    (
        Column("id", refers="Item"),
        Column("name", nullable=True),
        Column("done", Type.BOOL, nullable=True),
        Column("size", Type.INT, nullable=True),
        Column("ratio", Type.FLOAT, nullable=True),
        Column("made_at", Type.TIME, nullable=True),
        Column("born", Type.DATE, nullable=True),
        Column("data", Type.JSON, nullable=True),
        Column("tags", Type.TEXTS, nullable=True),
        Column("owner_id", nullable=True, refers="Owner"),
        Column("friends", Type.TEXTS, nullable=True),
    ),
    indexes=(Index(("owner_id", "id")),),
)
OWNERS = Collection("owners", "owners", (Column("id", refers="Owner"), Column("name")))
MESSAGE = "There is a value here that is not of its column's type."


@strawberry.enum
class By(Enum):
    NAME = "name"
    SIZE = "size"
    MADE_AT = "made_at"


@strawberry.input
class ItemOrder:
    field: By
    direction: Direction = Direction.ASC


@strawberry.enum
class ItemGroup(Enum):
    NAME = "name"
    OWNER = "owner_id"


ItemFilter: Any = filter_of(ITEMS)
OwnerFilter: Any = filter_of(OWNERS)


@strawberry.type
class Owner(Node):
    id: strawberry.ID = column()
    name: str | None = column()
    items: Connection[Item] | None = many(ITEMS, by="owner_id", where=ItemFilter, order=ItemOrder)


@strawberry.type
class ItemStat:
    name: str | None = column()
    owner_id: str | None = column()
    count: int = column()


@strawberry.type
class Item(Node):
    id: strawberry.ID = column()
    name: str | None = column()
    sure_name: str = column("name")
    done: bool | None = column()
    size: int | None = column()
    ratio: float | None = column()
    made_at: DateTime | None = column()
    born: Date | None = column()
    data: Json | None = column()
    tags: list[str] | None = column()
    upper: str | None = computed(lambda name: str(name).upper(), needs=["name"])
    owner_id: strawberry.ID | None = column()
    owner: Owner | None = one(OWNERS, by="owner_id")
    friends: list[Owner] | None = each(OWNERS, by="friends", semantic_non_null=False)

    @strawberry.field
    def by_hand(self) -> str | None:
        return f"<{self.name}>"


@strawberry.type
class Edge:
    """One whose cursor may be null, so that an error of it stays there."""

    node: Item | None = part("node", "")
    cursor: str | None = part("cursor", "")


@strawberry.type
class Items:
    edges: list[Edge] = part("edges", "")
    nodes: list[Item | None] = part("nodes", "")
    page_info: PageInfo | None = part("page_info", "")
    total_count: int | None = part("total_count", "")


@strawberry.type
class Query:
    edged: Items | None = many(ITEMS, where=ItemFilter, order=ItemOrder)
    item: Item | None = lookup(ITEMS, by={"id": "id"})
    owner: Owner | None = lookup(OWNERS, by={"id": "id"})
    items: Connection[Item] | None = many(ITEMS, where=ItemFilter, order=ItemOrder)
    stats: list[ItemStat] | None = stats(
        ITEMS, measures={"count": count()}, where=ItemFilter, group=ItemGroup, default=[ItemGroup.NAME], interval=Interval
    )


GRAPH = graph(Query, ITEMS, OWNERS)
TIME, DAY = "2020-01-02T03:04:05.006Z", "2001-02-03"
VALUES = ("pen", True, 5, 0.5, TIME, DAY, {"a": [1]}, ["x", "y"], "ann", ["ann", "bob"])
ROWS = [(key, *VALUES) for key in "123"]
SOUND = {
    "name": "pen",
    "done": True,
    "size": 5,
    "ratio": 0.5,
    "madeAt": TIME,
    "born": DAY,
    "data": {"a": [1]},
    "tags": ["x", "y"],
    "ownerId": "Owner:ann",
    "owner": {"id": "Owner:ann"},
    "friends": [{"id": "Owner:ann"}, {"id": "Owner:bob"}],
    "upper": "PEN",
    "byHand": "<pen>",
}
ALL = "name done size ratio madeAt born data tags ownerId owner { id } friends { id } upper byHand"

# By column: values that the drivers take, for each kind of store.
ODD: list[tuple[str, dict[str, Any]]] = [
    ("name", {"memory": 5, "sqlite": b"secret", "mongodb": {"secret": 1}, "neo4j": 5}),
    ("name", {"memory": ["secret"], "sqlite": b"", "mongodb": datetime(2020, 1, 1), "neo4j": ["secret"]}),  # noqa: DTZ001
    ("done", {"memory": "yes", "sqlite": "yes", "mongodb": "yes", "neo4j": "yes"}),
    ("done", {"memory": 1, "sqlite": 2, "mongodb": 1, "neo4j": 1}),
    ("size", {"memory": "many", "sqlite": "many", "mongodb": "5", "neo4j": "5"}),
    ("size", {"memory": True, "sqlite": 1.5, "mongodb": 1.5, "neo4j": 1.5}),
    ("size", {"memory": {}, "sqlite": b"5", "mongodb": True, "neo4j": True}),
    ("ratio", {"memory": "half", "sqlite": "half", "mongodb": "0.5", "neo4j": "0.5"}),
    ("made_at", {"memory": "yesterday", "sqlite": "yesterday", "mongodb": "yesterday", "neo4j": "yesterday"}),
    ("made_at", {"memory": 5, "sqlite": "5 o'clock", "mongodb": 5, "neo4j": 5}),
    ("made_at", {"memory": TIME[:-1], "sqlite": b"5", "mongodb": [TIME], "neo4j": [TIME]}),
    ("born", {"memory": "soon", "sqlite": "soon", "mongodb": "soon", "neo4j": "soon"}),
    ("born", {"memory": 5, "sqlite": "2001-2-3", "mongodb": datetime(2001, 2, 3, 4), "neo4j": ["2001-02-03"]}),  # noqa: DTZ001
    ("data", {"memory": b"secret", "sqlite": "secret", "mongodb": float("nan"), "neo4j": "secret"}),
    ("tags", {"memory": ["x", None], "sqlite": '["x", null]', "mongodb": ["x", None], "neo4j": [1, 2]}),
    ("tags", {"memory": "x", "sqlite": "secret", "mongodb": "x", "neo4j": "x"}),
    ("owner_id", {"memory": 5, "sqlite": b"ann", "mongodb": 5, "neo4j": 5}),
    ("owner_id", {"memory": ["ann"], "sqlite": b"", "mongodb": ["ann"], "neo4j": ["ann"]}),
    ("friends", {"memory": ["ann", 5], "sqlite": '["ann", 5]', "mongodb": ["ann", 5], "neo4j": [5]}),
    ("friends", {"memory": 5, "sqlite": "5", "mongodb": 5, "neo4j": 5}),
]
FIELDS = {
    "name": ("name", "upper", "byHand"),
    "made_at": ("madeAt",),
    "owner_id": ("ownerId", "owner"),
}


class Shop:
    """A gateway over a store of some kind, whose second row can be spoilt."""

    def __init__(self, kind: str, store: Store, stores: Stores) -> None:
        self.kind, self.store, self.stores = kind, store, stores
        self.engine = Service(GRAPH, stores)

    async def spoil(self, column: str, value: Any) -> None:
        await put(self.store, ITEMS, "2", column, value)

    async def one(self, query: str) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads((await respond(self.engine, query)).body)
        return answer


@pytest_asyncio.fixture(params=lenient_kinds())
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    async with store_of(request.param, [ITEMS]) as store:
        stores = Stores({"tested": store, "owners": MemoryStore("owners")})
        await stores.ask(Upsert(ITEMS, ROWS))
        await stores.ask(Upsert(OWNERS, [("ann", "Ann"), ("bob", "Bob")]))
        yield Shop(request.param.partition("+")[0], store, stores)


def told(answer: dict[str, Any]) -> dict[str, str]:
    return {".".join(map(str, error["path"])): error["message"] for error in answer.get("errors", ())}


async def test_what_is_sound_takes_one_walk(shop: Shop) -> None:
    answer = await shop.one(f"{{ items {{ nodes {{ {ALL} }} }} }}")
    assert answer == {"data": {"items": {"nodes": [SOUND] * 3}}}
    assert shop.engine.second_walks == 0


@pytest.mark.parametrize(("name", "values"), ODD, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_wrong_value_is_an_error_of_its_field_at_its_row(
    shop: Shop, name: str, values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await shop.spoil(name, values[shop.kind])
    fields = FIELDS.get(name, (name,))
    wrong = SOUND | dict.fromkeys(fields)

    answer = await shop.one(f"{{ items {{ nodes {{ {ALL} }} }} }}")
    assert answer["data"] == {"items": {"nodes": [SOUND, wrong, SOUND]}}
    assert told(answer) == {f"items.nodes.1.{field}": MESSAGE for field in fields}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"INTERNAL_SERVER_ERROR"}
    assert f"test: tested.items.{name}: expected {ITEMS[name].type.upper()}, found a" in caplog.text
    assert "secret" not in caplog.text

    caplog.clear()
    answer = await shop.one('{ item(id: "2") { id done size } sound: item(id: "1") { name tags } }')
    assert answer["data"] == {
        "item": {"id": "Item:2"} | {f: wrong[f] for f in ("done", "size")},
        "sound": {"name": "pen", "tags": ["x", "y"]},
    }
    assert ("errors" in answer) == (name in ("done", "size")), "only columns that are asked are looked at"


async def test_a_wrong_value_nulls_its_object_where_it_must_be_there(shop: Shop) -> None:
    await shop.spoil("name", {"sqlite": b"x"}.get(shop.kind, 5))
    answer = await shop.one("{ items { edges { node { id sureName } } } }")
    assert answer["data"]["items"]["edges"] == [
        {"node": {"id": "Item:1", "sureName": "pen"}},
        {"node": None},
        {"node": {"id": "Item:3", "sureName": "pen"}},
    ]
    assert told(answer) == {"items.edges.1.node.sureName": MESSAGE}


@pytest.mark.parametrize("field", ["NAME", "SIZE", "MADE_AT"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_a_wrong_value_in_the_order_has_the_place_of_a_null(shop: Shop, field: str, direction: str) -> None:
    """So its row has a cursor, and no page loses or repeats a row."""
    await shop.spoil(field.lower(), {"sqlite": b"x"}.get(shop.kind, ["x"]))
    text = f"{{ items: edged(orderBy: {{field: {field}, direction: {direction}}}) {{ edges {{ cursor node {{ id }} }} totalCount }} }}"
    answer = await shop.one(text)
    assert "errors" not in answer
    edges = answer["data"]["items"]["edges"]
    assert [edge["node"]["id"] for edge in edges] == [
        *sorted(edge["node"]["id"] for edge in edges if edge["node"]["id"] != "Item:2"),
        "Item:2",
    ]
    assert answer["data"]["items"]["totalCount"] == 3
    for place, edge in enumerate(edges):
        for argument, expected in (("after", edges[place + 1 :]), ("before", edges[:place])):
            page = await shop.one(text.replace("edged(orderBy", f'edged({argument}: "{edge["cursor"]}", orderBy'))
            assert page["data"]["items"] == {"edges": expected, "totalCount": 3}, (argument, place)


async def test_a_wrong_value_that_is_grouped_by_is_an_error_of_its_group(shop: Shop) -> None:
    await shop.spoil("name", {"sqlite": b"x", "neo4j": 5}.get(shop.kind, ["x"]))
    answer = await shop.one("{ stats { name count } }")
    groups = answer["data"]["stats"]
    assert sorted(groups, key=lambda group: group["count"]) == [{"name": None, "count": 1}, {"name": "pen", "count": 2}]
    assert told(answer) == {f"stats.{groups.index({'name': None, 'count': 1})}.name": MESSAGE}


async def test_a_wrong_foreign_key_belongs_to_no_parent(shop: Shop) -> None:
    await shop.spoil("owner_id", {"sqlite": b"ann", "mongodb": {"ann": 1}}.get(shop.kind, ["ann"]))
    answer = await shop.one('{ owner(id: "ann") { items { totalCount nodes { id owner { name } } } } }')
    found = [{"id": f"Item:{key}", "owner": {"name": "Ann"}} for key in "13"]
    assert answer == {"data": {"owner": {"items": {"totalCount": 2, "nodes": found}}}}


async def test_a_wrong_key_is_an_error_of_its_row(shop: Shop) -> None:
    await shop.spoil("id", {"sqlite": b"2"}.get(shop.kind, 2))
    answer = await shop.one("{ items: edged { edges { cursor node { name } } totalCount } again: edged { edges { node { name id } } } }")
    assert answer["data"]["items"]["totalCount"] == 3
    [place] = [i for i, edge in enumerate(answer["data"]["items"]["edges"]) if edge["cursor"] is None]
    assert told(answer) == {f"items.edges.{place}.cursor": MESSAGE, f"again.edges.{place}.node.id": MESSAGE}
    assert answer["data"]["again"]["edges"][place] == {"node": None}


async def test_every_wrong_value_that_is_read_is_counted_by_its_store_collection_and_column(shop: Shop) -> None:
    def counted() -> dict[str, float]:
        lines = text_of(shop.engine.readings()).decode().splitlines()
        return {line.partition("{")[2].partition("}")[0]: float(line.split()[-1]) for line in lines if line.startswith("gateway_wrong_val")}

    def of(column: str) -> str:
        return f'collection="items",column="{column}",store="tested"'

    assert counted() == {}
    for key in "12":
        await put(shop.store, ITEMS, key, "name", {"sqlite": b"x"}.get(shop.kind, ["x"]))
    await put(shop.store, ITEMS, "2", "born", "soon")
    await shop.one("{ items { nodes { id done } } }")
    await shop.one('{ items(where: {name: {eq: "pen"}}) { nodes { name born } } }')
    assert counted() == {}, "nobody read them"
    for times in (1, 2):
        await shop.one("{ items { nodes { name again: name byHand } edges { node { born } } } }")
        assert counted() == {of("name"): 2 * times, of("born"): times}
    await shop.stores.ask(Fetch(ITEMS, ("id", "name")))
    assert counted() == {of("name"): 6, of("born"): 2}
    assert shop.stores.wrong_values == {("tested", "items", "name"): 6, ("tested", "items", "born"): 2}


@pytest.mark.parametrize("kind", kinds(["postgresql"]))
async def test_postgresql_is_not_looked_after(kind: str) -> None:
    async with store_of(kind, [ITEMS]) as store:
        assert store.enforces_types
