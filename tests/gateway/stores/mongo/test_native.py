"""Documents as others made them: no ``id``, ObjectIds, subdocuments, values of other types than declared, and fields that are not there.

All are inserted by the driver alone, into collections that are not managed.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from bson import Binary, Decimal128, Int64, ObjectId
from pymongo import AsyncMongoClient

from gateway.errors import BadUserInput
from gateway.graph.found import problems_of
from gateway.stores.base import (
    Aggregate,
    And,
    Bucket,
    Collection,
    Column,
    Compare,
    Delete,
    Fetch,
    Get,
    Match,
    Measure,
    Not,
    Order,
    Page,
    Pairs,
    Type,
    Upsert,
    Value,
    Where,
    statements,
)
from gateway.stores.mongo.store import MongoStore
from gateway.stores.types import KeyForm, join_key
from gateway.stores.values import found_in_place_of
from tests.gateway.stores.mongo.test_store import stages
from tests.kinds import needs
from tests.servers import MONGODB

pytestmark = needs(MONGODB)

ANN, BOB, CID, DAN = (ObjectId(f"{number:024x}") for number in (0xA, 0xB, 0xC, 0xD))
PLACE = UUID("123e4567-e89b-12d3-a456-426614174000")

shops = Collection(
    "shops",
    "tested",
    (
        Column("id", Type.OBJECT_ID, at="_id"),
        Column("owner", Type.OBJECT_ID, at="owner_id", nullable=True),
        Column("city", at="address.city", nullable=True),
        Column("zip", Type.INT, at="address.zip", nullable=True),
        Column("name", nullable=True),
        Column("size", Type.INT, nullable=True),
        Column("ratio", Type.FLOAT, nullable=True),
        Column("price", Type.DECIMAL, nullable=True),
        Column("fee", Type.DECIMAL, nullable=True, scale=2),
        Column("opened", Type.TIME, nullable=True),
        Column("day", Type.DATE, nullable=True),
        Column("from_", Type.CLOCK, precision=0, nullable=True),
        Column("place", Type.UUID, nullable=True),
        Column("seal", Type.BYTES, nullable=True),
        Column("level", Type.ENUM, values=("low", "mid", "high"), nullable=True),
        Column("tags", Type.TEXTS, nullable=True),
        Column("partners", Type.OBJECT_ID, many=True, nullable=True),
    ),
)
BY_NAME = replace(shops, key=("name",), columns=tuple(replace(c, nullable=False) if c.name == "name" else c for c in shops.columns[2:5]))

# In the order of their keys.
SHOPS: list[dict[str, Any]] = [
    {
        "_id": ANN,
        "owner_id": BOB,
        "address": {"city": "Paris", "zip": 75001},
        "name": "zoe",
        "size": Int64(2**53 + 1),
        "ratio": 7.5,
        "price": Decimal128("2.50"),
        "fee": Decimal128("2.5"),
        "opened": datetime(2020, 1, 2, 3, 4, 5, 6000),  # noqa: DTZ001  naive is UTC to the driver
        "day": datetime(2020, 1, 2),  # noqa: DTZ001
        "from_": "09:30:00",
        "place": Binary(PLACE.bytes, 4),
        "seal": b"\x00\xff",
        "level": "high",
        "tags": ["a", "b"],
        "partners": [BOB, CID],
    },
    {
        "_id": BOB,
        "owner_id": BOB,
        "address": {"city": "Athens"},
        "name": "bob",
        "size": 2.0,
        "ratio": 3,
        "price": 2,
        "fee": 2,
        "opened": "2019-01-01T00:00:00.000Z",
        "day": "2019-01-01",
        "from_": "08:00:00",
        "place": Binary(PLACE.bytes, 3),
        "seal": Binary(b"", 128),
        "level": "low",
        "tags": [],
        "partners": [],
    },
    {"_id": CID},
    {
        "_id": DAN,
        "owner_id": str(BOB),
        "address": [{"city": "Paris"}],
        "name": ["zoe"],
        "size": "5",
        "ratio": float("nan"),
        "price": 0.1,
        "fee": Decimal128("0.001"),
        "opened": 5,
        "day": datetime(2020, 1, 2, 3),  # noqa: DTZ001
        "from_": "8:00",
        "place": str(PLACE),
        "seal": "00",
        "level": "none",
        "tags": ["a", 5],
        "partners": [str(BOB)],
    },
]
READ: dict[str, tuple[Value, Value]] = {  # of the first two; the third has nulls, the fourth has none of its column's values
    "owner": (str(BOB), str(BOB)),
    "city": ("Paris", "Athens"),
    "name": ("zoe", "bob"),
    "size": (2**53 + 1, 2),
    "ratio": (7.5, 3.0),
    "price": ("2.50", "2"),
    "fee": ("2.50", "2.00"),
    "opened": ("2020-01-02T03:04:05.006Z", "2019-01-01T00:00:00.000Z"),
    "day": ("2020-01-02", "2019-01-01"),
    "from_": ("09:30:00", "08:00:00"),
    "place": (str(PLACE), str(PLACE)),
    "seal": ("AP8=", ""),
    "level": ("high", "low"),
    "tags": (["a", "b"], []),
    "partners": ([str(BOB), str(CID)], []),
}
ORDERED = [name for name in READ if not shops[name].many]
every_column = pytest.mark.parametrize("name", READ)


@pytest.fixture
async def database() -> AsyncIterator[Any]:
    """An empty database, through the driver itself."""
    async with AsyncMongoClient[dict[str, Any]](os.environ[MONGODB.variable]) as client:
        name = f"test_{uuid4().hex[:12]}"
        yield client[name]
        await client.drop_database(name)


@pytest_asyncio.fixture(params=["mongodb", "mongodb+motor"])
async def store(request: pytest.FixtureRequest, database: Any) -> AsyncIterator[MongoStore]:
    """A store of either driver, in a database with the shops."""
    server = os.environ[MONGODB.variable].partition("://")[2].partition("/")[0]
    store = MongoStore("tested", f"{request.param}://{server}/{database.name}")
    await store.open()
    await database.shops.insert_many(SHOPS)
    yield store
    await store.close()


async def ids(store: MongoStore, where: Where | None = None, collection: Collection = shops) -> list[int]:
    """The numbers of the shops that match, in the order of their keys."""
    found = await store.answer(Fetch(collection, ("id",), where=where))
    return [int(row[0], 16) - 0xA for row in found[None].rows]


def kept(column: Column, value: Value) -> Value:
    """A value, or "odd" in place of one that is none of its column."""
    return value if found_in_place_of(column, value) is None else "odd"


# --------------------------------------------------------------------------------------------------------------- values


@every_column
async def test_each_type_is_read_and_what_is_none_of_it_is_told(store: MongoStore, name: str) -> None:
    found = await store.answer(Fetch(shops, ("id", name)))
    values = [kept(shops[name], row[1]) for row in found[None].rows]
    assert values == [*READ[name], None, "odd"]
    assert [type(value) for value in values[:2]] == [type(value) for value in READ[name]]


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("limit", [1, 2])
async def test_pages_lose_and_repeat_no_row(store: MongoStore, name: str, descending: bool, backward: bool, limit: int) -> None:
    """What is of another type stands with the nulls, by its key, and its cursor has a null."""
    known = [0, 1] if descending or name in ("place", "owner") else [1, 0]  # equal values are in the order of keys
    expected = [*known, 2, 3]
    walked: list[int] = []
    edge: tuple[Value, ...] | None = None
    for _ in range(5):
        page = Page(limit, backward=backward, **({"before" if backward else "after": edge}))
        part = (await store.answer(Fetch(shops, ("id", name), order=(Order(name, descending),), page=page)))[None]
        rows = [(int(row[0], 16) - 0xA, row) for row in part.rows]
        walked = [*(number for number, _ in rows), *walked] if backward else [*walked, *(number for number, _ in rows)]
        last = rows[0 if backward else -1][1]
        edge = (last[1] if kept(shops[name], last[1]) != "odd" else None, last[0])
        if not part.more:
            break
    assert walked == expected


@every_column
async def test_nulls_are_what_is_not_there(store: MongoStore, name: str) -> None:
    assert await ids(store, Compare(name, "eq", None)) == [2]
    assert await ids(store, Compare(name, "ne", None)) == [0, 1, 3]


@pytest.mark.parametrize("name", [name for name in ORDERED if name not in ("place", "owner")])
async def test_what_is_of_another_type_is_neither_equal_nor_greater_nor_less(store: MongoStore, name: str) -> None:
    first, second = READ[name]
    assert await ids(store, Compare(name, "eq", first)) == [0]
    assert await ids(store, Compare(name, "in", (first, second))) == [0, 1]
    assert await ids(store, Compare(name, "ne", first)) == [1, 2, 3]
    if name in ("seal", "level"):
        return
    assert await ids(store, Compare(name, "gt", second)) == [0]
    assert await ids(store, Compare(name, "gte", second)) == [0, 1]
    assert await ids(store, Compare(name, "lt", first)) == [1]
    assert await ids(store, Not(Compare(name, "lte", first))) == [2, 3]


async def test_bytes_of_others_have_no_greater_and_less(store: MongoStore) -> None:
    with pytest.raises(BadUserInput, match="seal: BYTES in documents of others cannot be compared"):
        await ids(store, Compare("seal", "gt", "AA=="))


async def test_a_uuid_is_found_in_either_subtype(store: MongoStore) -> None:
    assert await ids(store, Compare("place", "eq", str(PLACE))) == [0, 1]
    assert set(await store.answer(Get(replace(shops, key=("place",)), ("id",), [str(PLACE)], "place"))) == {str(PLACE)}


async def test_what_is_in_an_array_is_no_value_of_a_field(store: MongoStore) -> None:
    assert await ids(store, Compare("name", "contains", "oe")) == [0]
    assert await ids(store, Compare("name", "starts_with", "z")) == [0]
    assert await ids(store, Compare("city", "in", ("Paris",))) == [0], "nor is what a path through an array leads to"


async def test_lists_have_items_of_their_type_alone(store: MongoStore) -> None:
    assert await ids(store, Compare("tags", "has", "a")) == [0]
    assert await ids(store, Not(Compare("tags", "has", "a"))) == [1, 2, 3]
    assert await ids(store, Compare("tags", "has_any", ("b", "c"))) == [0]
    assert await ids(store, Compare("tags", "is_empty", True)) == [1]
    assert await ids(store, Compare("partners", "has", str(BOB))) == [0]


async def test_a_value_that_no_decimal_can_be_is_compared_all_the_same(store: MongoStore) -> None:
    long = "2.4999999999999999999999999999999999999999"  # of more digits than a Decimal128
    assert await ids(store, Compare("price", "eq", long)) == []
    assert await ids(store, Compare("price", "gt", long)) == [0]
    assert await ids(store, Compare("price", "lt", long)) == [1]
    assert await ids(store, Compare("price", "lte", "9" * 400)) == [0, 1]


@pytest.mark.parametrize("name", ["opened", "day"])
async def test_infinite_times_are_beyond_all(store: MongoStore, name: str) -> None:
    assert await ids(store, Compare(name, "lt", "infinity")) == [0, 1]
    assert await ids(store, Compare(name, "gt", "infinity")) == []
    assert await ids(store, Compare(name, "gte", "-infinity")) == [0, 1]
    assert await ids(store, Compare(name, "eq", "infinity")) == []


async def test_what_is_no_number_comes_behind_all_numbers(store: MongoStore, database: Any) -> None:
    await database.shops.insert_one({"_id": ObjectId(f"{0xE:024x}"), "price": Decimal128("NaN")})
    for descending, expected in ((False, ["2", "2.50", "NaN", None]), (True, ["NaN", "2.50", "2", None])):
        page = Page(4)
        found = await store.answer(Fetch(shops, ("price",), order=(Order("price", descending),), page=page))
        assert [row[0] for row in found[None].rows] == expected
    assert await ids(store, Compare("price", "gt", "2.5")) == [4]
    assert await ids(store, Compare("price", "lt", "NaN")) == [0, 1]
    found_ = await store.answer(Aggregate(shops, (), (Measure("min", "price"), Measure("max", "price"))))
    assert [tuple(row) for row in found_[None]] == [("2", "NaN")]


# ----------------------------------------------------------------------------------------------------------------- keys


async def test_an_object_id_is_a_key(store: MongoStore) -> None:
    found = await store.answer(Get(shops, ("name", "city"), [str(BOB), str(ANN), "nobody", "f" * 24, str(BOB).upper()], "id"))
    assert found == {str(ANN): ("zoe", "Paris"), str(BOB): ("bob", "Athens")}


async def test_any_unique_field_is_a_key(store: MongoStore, database: Any) -> None:
    found = await store.answer(Get(BY_NAME, ("city",), ["zoe", "bob", "cid"], "name"))
    assert found == {"zoe": ("Paris",), "bob": ("Athens",)}
    pages = await store.answer(Fetch(BY_NAME, ("name",), page=Page(2)))
    assert [row[0] for row in pages[None].rows] == ["bob", "zoe"]


@pytest.mark.parametrize("order", [Order("size"), Order("size", True), Order("city")])
async def test_a_page_per_parent_by_an_object_id(store: MongoStore, order: Order) -> None:
    numbers = [0, 1] if order.descending else [1, 0]
    for page in (None, Page(5), Page(1), Page(1, backward=True)):
        found = await store.answer(
            Fetch(shops, ("id",), match=Match("owner", [str(BOB), str(CID), "x"]), order=(order,), page=page, count=True)
        )
        rows = [int(row[0], 16) - 0xA for row in found[str(BOB)].rows]
        assert rows == (numbers if page is None or page.limit == 5 else numbers[1:] if page.backward else numbers[:1])
        assert found[str(BOB)].total == 2
        assert found[str(BOB)].more is (page is not None and page.limit == 1)
        assert not [key for key, part in found.items() if part.rows and key != str(BOB)]


@pytest.mark.parametrize("name", ["city", "size", "day", "opened", "price", "name", "level"])
async def test_a_page_per_parent_by_any_type(store: MongoStore, name: str) -> None:
    """Also by a path, and by types that documents keep in several forms."""
    key = KeyForm([shops[name]]).text
    first, second = key([READ[name][0]]), key([READ[name][1]])
    assert first is not None
    assert second is not None
    expected = {first: [0], second: [1]}
    for page in (None, Page(5)):
        found = await store.answer(Fetch(shops, ("id",), match=Match(name, [first, second]), page=page, count=True))
        assert {parent: [int(row[0], 16) - 0xA for row in part.rows] for parent, part in found.items() if part.rows} == expected
        assert {parent: part.total for parent, part in found.items() if part.rows} == {p: len(rows) for p, rows in expected.items()}
    counted = await store.answer(Aggregate(shops, (), (Measure("count"),), match=Match(name, list(expected))))
    assert {parent: [tuple(row) for row in rows] for parent, rows in counted.items()} == {p: [(1,)] for p in expected}


async def test_many_to_many_by_an_object_id(store: MongoStore) -> None:
    pairs = [("p", str(ANN)), ("p", str(DAN)), ("q", str(BOB)), ("q", "nobody"), ("p", str(BOB))]
    for page, expected in (
        (None, {"p": [1, 0, 3], "q": [1]}),
        (Page(2), {"p": [1, 0], "q": [1]}),
        (Page(2, after=(2, str(BOB))), {"p": [0, 3]}),
    ):
        found = await store.answer(Fetch(shops, ("id",), match=Pairs("id", pairs), order=(Order("size"),), page=page))
        assert {parent: [int(row[0], 16) - 0xA for row in part.rows] for parent, part in found.items() if part.rows} == expected


async def test_a_key_of_a_path_and_an_object_id(store: MongoStore) -> None:
    by = "city,owner"
    keys = [join_key(["Paris", str(BOB)]), join_key(["Athens", str(BOB)]), join_key(["Paris", str(CID)]), "Paris", "Paris,x"]
    pages = await store.answer(Fetch(shops, ("id",), match=Match(by, keys), page=Page(1), count=True))
    assert {parent: ([int(row[0], 16) - 0xA for row in part.rows], part.total) for parent, part in pages.items() if part.rows} == {
        keys[0]: ([0], 1),
        keys[1]: ([1], 1),
    }
    found = await store.answer(Get(replace(shops, key=("city", "owner")), ("name",), keys, by))
    assert found == {keys[0]: ("zoe",), keys[1]: ("bob",)}


async def test_keys_of_several_types_lose_no_row(store: MongoStore, database: Any) -> None:
    await database.shops.insert_many([{"_id": "text", "size": 1}, {"_id": 7, "size": 2}])
    for order in ((), (Order("size"),), (Order("size", True),)):
        found = await store.answer(Fetch(shops, ("id",), order=order, page=Page(6)))
        assert len(found[None].rows) == 6
        assert sum(kept(shops["id"], row[0]) == "odd" for row in found[None].rows) == 2


# --------------------------------------------------------------------------------------------------------------- groups


@every_column
async def test_groups_have_equal_values_alone(store: MongoStore, database: Any, name: str) -> None:
    if shops[name].many:
        return  # by which nothing is grouped
    found = await store.answer(Aggregate(shops, (name,), (Measure("count"),)))
    rows = [(kept(shops[name], row[0]), row[1]) for row in found[None]]
    values = dict(rows)
    assert (None, 1) in rows
    assert ("odd", 1) in rows
    shown = {"2.5" if value == "2.50" and name == "price" else value for value in READ[name]}  # of equal numbers the shortest
    assert shown == {value for value in values if value is not None and value != "odd"}


async def test_measures_leave_out_what_is_of_another_type(store: MongoStore) -> None:
    measures = [Measure(function, name) for name in ("size", "ratio", "price", "fee") for function in ("min", "max", "sum", "avg")]
    found = await store.answer(Aggregate(shops, (), tuple(measures)))
    assert [tuple(row) for row in found[None]] == [
        (
            *(2, 2**53 + 1, 2**53 + 3, (2**53 + 3) / 2),
            *(3.0, 7.5, 10.5, 5.25),
            *("2", "2.50", "4.50", "2.25"),
            *("2.00", "2.50", "4.50", "2.25"),
        )
    ]
    found = await store.answer(
        Aggregate(shops, (), (Measure("min", "day"), Measure("max", "day"), Measure("max", "opened"), Measure("min", "name")))
    )
    assert [tuple(row) for row in found[None]] == [("2019-01-01", "2020-01-02", "2020-01-02T03:04:05.006Z", "bob")]


async def test_decimals_are_added_exactly(store: MongoStore, database: Any) -> None:
    await database.shops.delete_many({})
    await database.shops.insert_many(
        [{"price": Decimal128(text)} for text in ("9999999999999999999999999999999999", "0.0000000000000000001")]
    )
    found = await store.answer(Aggregate(shops, (), (Measure("sum", "price"),)))
    assert [tuple(row) for row in found[None]] == [("9999999999999999999999999999999999.0000000000000000001",)]


async def test_buckets_of_times_have_no_other_values(store: MongoStore) -> None:
    found = await store.answer(Aggregate(shops, (Bucket("opened", "month"),), (Measure("count"),)))
    assert [tuple(row) for row in found[None]] == [("2019-01-01T00:00:00.000Z", 1), ("2020-01-01T00:00:00.000Z", 1), (None, 2)]


# --------------------------------------------------------------------------------------------------------------- writes


async def test_what_is_not_declared_stays(store: MongoStore, database: Any) -> None:
    named = replace(shops, columns=(*shops.columns[:1], shops["city"], shops["size"]))
    await database.shops.update_one({"_id": ANN}, {"$set": {"else": 1}})
    await store.answer(Upsert(named, [(str(ANN), "Rome", 5), (str(ObjectId("e" * 24)), "Oslo", None)]))
    document = await database.shops.find_one({"_id": ANN})
    assert document["address"] == {"city": "Rome", "zip": 75001}
    assert (document["size"], document["else"], document["name"]) == (5, 1, "zoe")
    assert (await database.shops.find_one({"_id": ObjectId("e" * 24)}))["address"] == {"city": "Oslo"}
    await store.answer(Delete(named, [(str(ANN),)]))
    assert await database.shops.find_one({"_id": ANN}) is None


# -------------------------------------------------------------------------------------------------------------- indexes


@pytest.mark.parametrize("field", ["_id", "owner_id", "address.city", "size", "price", "day", "place"])
async def test_keys_are_sought_as_the_database_has_them(store: MongoStore, database: Any, field: str) -> None:
    """The values that are sent are of the field's own type: an index of text would serve no ObjectId."""
    column = next(column for column in shops.columns if column.path == field)
    if field != "_id":
        await database.shops.create_index([(field, 1)])
    native: Any = SHOPS[0]
    for step in field.split("."):
        native = native[step]
    key = KeyForm([column]).text([str(ANN) if field == "_id" else READ[column.name][0]])
    told: list[Any] = []
    token = statements.set(told)
    await store.answer(Get(replace(shops, key=(column.name,)), ("id",), [str(key)], column.name))
    statements.reset(token)
    [command] = told
    [sent] = values_sought(command["pipeline"][0]["$match"], field)
    plan = await database.command(
        "explain", {"aggregate": "shops", "pipeline": command["pipeline"], "cursor": {}}, verbosity="queryPlanner"
    )
    assert {str(stage["keyPattern"]) for stage in stages(plan) if stage.get("stage") == "IXSCAN"} == {str({field: 1})}
    assert comparable(native) in map(comparable, sent)
    assert type(native) in map(type, sent) or type(native) is Int64


def comparable(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value


def values_sought(query_: Any, field: str) -> list[Sequence[Any]]:
    if isinstance(query_, list):
        return [values for item in query_ for values in values_sought(item, field)]
    found = [query_[field]["$in"]] if field in query_ and "$in" in query_[field] else []
    return [*found, *(values for name, item in query_.items() if name == "$and" for values in values_sought(item, field))]


async def test_most_pages_are_one_command(store: MongoStore) -> None:
    told: list[Any] = []
    token = statements.set(told)
    await store.answer(Fetch(shops, ("id",), order=(Order("city"),), page=Page(1)))
    statements.reset(token)
    assert len(told) == 1
    assert told[0]["pipeline"][1:3] == [{"$sort": {"address.city": 1, "_id": 1}}, {"$limit": 2}], "which an index of the two serves"


# --------------------------------------------------------------------------------------------------------------- checks


async def problems(store: MongoStore, collection: Collection) -> list[str]:
    return [str(problem) for problem in problems_of([collection], await store.describe([collection]))]


async def test_what_is_there_is_as_declared_where_one_value_is(store: MongoStore, database: Any) -> None:
    await database.shops.delete_one({"_id": DAN})
    assert await problems(store, shops) == []


async def test_what_is_of_another_type_everywhere_is_told(store: MongoStore, database: Any) -> None:
    await database.shops.delete_many({"_id": {"$ne": DAN}})
    told = await problems(store, replace(shops, columns=tuple(column for column in shops.columns if column.name not in ("fee", "level"))))
    assert len(told) == len(READ) - 2 + 1, "of address.zip, too"
    assert told[0].endswith("expected a column 'owner_id' for OBJECT_ID, got string in all of the one row looked at")
    assert told[1].endswith("expected a column 'address.city' for TEXT, got array in all of the one row looked at")


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (Column("fee", Type.DECIMAL, scale=0, nullable=True), "a column 'fee' of at most 0 decimals (its scale)"),
        (Column("opened", Type.TIME, precision=0, nullable=True), "a column 'opened' of at most 0 digits of a second (its precision)"),
        (Column("size", Type.INT, bits=32, nullable=True), "a column 'size' of 32 bits"),
        (Column("level", Type.ENUM, values=("low", "mid"), nullable=True), "a column 'level' with the values low, mid in this order"),
    ],
)
async def test_more_than_was_declared_is_told(store: MongoStore, database: Any, column: Column, told: str) -> None:
    await database.shops.delete_one({"_id": DAN})
    [line] = await problems(store, replace(shops, columns=(shops["id"], column)))
    assert told in line


async def test_conditions_may_be_combined(store: MongoStore) -> None:
    where = And((Compare("city", "gt", "A"), Not(Compare("size", "gt", 2))))
    assert await ids(store, where) == [1]
