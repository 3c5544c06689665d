"""A kind of store from outside the package: rows in a dictionary, read by key and in no other way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
import pytest_asyncio
import strawberry

from gateway.cli.running import prepare, refuse_wrong
from gateway.config import Settings
from gateway.context import RequestContext
from gateway.errors import AbilityMissing, ConfigError
from gateway.graph.checks import check
from gateway.graph.datasets import Dataset
from gateway.graph.fields import Connection, Graph, Node, Through, batched, column, count, each, lookup, many, node, one, stats
from gateway.preparing import connect, fill_embedded, migrate, migrate_embedded
from gateway.service import Request, Service
from gateway.stores import Stores, kinds
from gateway.stores.base import (
    Aggregate,
    Bump,
    Collection,
    Column,
    Compare,
    Delete,
    Fetch,
    Get,
    Handlers,
    Insert,
    Key,
    Lock,
    Match,
    Measure,
    Native,
    NativeCall,
    Page,
    Remove,
    Rows,
    Together,
    Type,
    Update,
    Upsert,
    Value,
    Within,
)
from gateway.stores.base import Request as StoreRequest
from gateway.stores.kinds import Kind, kinds_of, register
from tests.gateway.engine.graphs import MASKED, Named, Sorted, graph

ROWS: Mapping[str, Mapping[Key, Mapping[str, Value]]] = {
    "things": {
        "a": {"id": "a", "name": "Anvil", "part_ids": ["b", "c"], "box_id": "1"},
        "b": {"id": "b", "name": "Bolt", "part_ids": [], "box_id": "2"},
        "c": {"id": "c", "name": "Cap", "part_ids": ["b", "gone"], "box_id": "1"},
    }
}


class KeysStore:
    """What its URL names of ``ROWS``. Knows how to get rows, and nothing else."""

    kind = "keys"
    enforces_types = False

    def __init__(self, name: str, url: str, **_: Any) -> None:
        self.name = name
        self.calls: list[Any] = []
        self._rows = ROWS
        self._handlers = Handlers({Get: self._get})

    async def open(self) -> None: ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...

    def answer(self, request: StoreRequest[Any]) -> Any:
        self.calls.append(request)
        return self._handlers[type(request)](request)

    async def _get(self, get: Get) -> Rows:
        rows = self._rows[get.collection.name]
        return {key: tuple(rows[key][name] for name in get.columns) for key in get.keys if key in rows}

    async def migrate(self, name: str, collections: Sequence[Collection], scripts: Path | None) -> list[str]:
        raise NotImplementedError(name)


KEYS = Kind("keys", ("keys",), KeysStore, can=frozenset())

THINGS = Collection(
    "things",
    "shelf",
    (Column("id", refers="Thing"), Column("name"), Column("part_ids", Type.TEXTS), Column("box_id", refers="Box")),
)
BOXES = Collection("boxes", "cellar", (Column("id", refers="Box"), Column("size", Type.INT)))
LINKS = Collection("links", "shelf", (Column("id"), Column("thing_id"), Column("box_id")))


@strawberry.enum
class Group(Enum):
    NAME = "name"


@strawberry.enum
class Interval(Enum):
    DAY = "day"


async def siblings(ctx: RequestContext, keys: Sequence[Key]) -> list[int]:
    """Ask what the checks cannot see."""
    found = await ctx.ask(Fetch(THINGS, ("id",), Match("box_id", keys)))
    return [len(found[key].rows) if key in found else 0 for key in keys]


@strawberry.type
class Box(Node):
    id: strawberry.ID = column()
    size: int = column()


@strawberry.type
class Thing(Node):
    id: strawberry.ID = column()
    name: str = column()
    parts: list[Thing] | None = each(THINGS, by="part_ids")
    box: Box | None = one(BOXES, by="box_id")
    siblings: int | None = batched(siblings, by="box_id")


@strawberry.type
class Query:
    node: Node | None = node()
    thing: Thing | None = lookup(THINGS, by={"id": "id"})


SHELVES = graph(Query, THINGS, BOXES, types=[Thing, Box])


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_BY_NAME", dict(kinds._BY_NAME))
    monkeypatch.setattr(kinds, "_BY_SCHEME", dict(kinds._BY_SCHEME))
    register(KEYS)


@pytest_asyncio.fixture
async def stores(_registered: None) -> AsyncIterator[Stores]:
    settings = Settings.model_validate({"stores": {"shelf": {"url": "keys://oak"}, "cellar": {"url": "memory://"}}})
    made = connect(settings)
    await made.open()
    await made.ask(Upsert(BOXES, [("1", 10), ("2", 20)]))
    yield made
    await made.close()


def shelf(stores: Stores) -> KeysStore:
    return cast("KeysStore", stores["shelf"])


async def test_a_noun_is_served_by_key_from_it(stores: Stores) -> None:
    assert check(SHELVES, stores.kinds()) == []
    text = """{ thing(id: "Thing:a") { name box { size } parts { name box { size } parts { id } } }
                node(id: "Thing:c") { id ... on Thing { name } } gone: thing(id: "Thing:x") { name } }"""
    answer = orjson.loads((await Service(SHELVES, stores).answer(Request(text))).body)
    assert answer == {
        "data": {
            "thing": {
                "name": "Anvil",
                "box": {"size": 10},
                "parts": [
                    {"name": "Bolt", "box": {"size": 20}, "parts": []},
                    {"name": "Cap", "box": {"size": 10}, "parts": [{"id": "Thing:b"}]},
                ],
            },
            "node": {"id": "Thing:c", "name": "Cap"},
            "gone": None,
        }
    }
    assert {call.operation for call in shelf(stores).calls} == {"get"}


async def test_a_request_that_gets_there_anyway_is_refused_before_the_store(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    text = '{ thing(id: "Thing:a") { name siblings } }'
    answer = orjson.loads((await Service(SHELVES, stores).answer(Request(text), request_id="r")).body)
    assert answer["data"] == {"thing": {"name": "Anvil", "siblings": None}}
    [error] = answer["errors"]
    assert (error["path"], error["message"]) == (["thing", "siblings"], MASKED)
    assert [call.operation for call in shelf(stores).calls] == ["get"]
    assert "fetch of things: expected a store that can page, got shelf of kind keys, which cannot" in caplog.text


NATIVE = Native("near", "shelf", (Column("id"),), {"keys": "whatever"})
WHERE = Compare("name", "eq", "Bolt")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Fetch(THINGS, ("id",)), "fetch of things: expected a store that can page,"),
        (Insert(THINGS, ("id",), [("d",)]), "insert of things: expected a store that can transact,"),
        (Update(THINGS, ("a",), (("name", "Axe"),)), "update of things: expected a store that can transact,"),
        (Remove(THINGS, ("a",)), "remove of things: expected a store that can transact,"),
        (Lock(THINGS, ["a"]), "lock of things: expected a store that can transact,"),
        (Together((Insert(THINGS, ("id",), [("d",)]),)), "insert of things: expected a store that can transact,"),
        (Within(Fetch(THINGS, ("id",))), "read of things: expected a store that can page and transact,"),
        (Bump(THINGS, "things", ["a"]), "bump of things: expected a store that can transact,"),
        (
            Fetch(THINGS, ("id",), where=WHERE, page=Page(1), count=True),
            "fetch of things: expected a store that can count, filter and page,",
        ),
        (Get(THINGS, ("id",), ["a"], where=WHERE), "get of things: expected a store that can filter,"),
        (Aggregate(THINGS, (), (Measure("count"),)), "aggregate of things: expected a store that can aggregate,"),
        (NativeCall(NATIVE, ["a"], {}), "native of near: expected a store that can answer native queries,"),
        (
            NativeCall(NATIVE, ["a"], {}).narrowed(THINGS, WHERE),
            "native of near: expected a store that can filter and answer native queries,",
        ),
        (Upsert(THINGS, [("a", "A", [], "1")]), "upsert of things: expected a store that can write,"),
        (Delete(THINGS, [("a",)]), "delete of things: expected a store that can write,"),
    ],
)
async def test_what_the_kind_cannot_do_is_one_error(stores: Stores, request_: StoreRequest[Any], message: str) -> None:
    for ask in (RequestContext(stores).ask, RequestContext(stores, trace=[]).ask, stores.ask):
        with pytest.raises(AbilityMissing) as refused:
            await ask(request_)
        assert refused.value.message == f"{message} got shelf of kind keys, which cannot"
    assert shelf(stores).calls == []
    assert "shelf.things" not in stores.calls


async def test_a_layer_that_narrows_a_get_is_refused_where_the_kind_cannot_filter() -> None:
    async def narrow(request: StoreRequest[Any], caller: Any, next_: Any) -> Any:
        return await next_(request.narrowed(THINGS, WHERE), caller)

    store = KeysStore("shelf", "keys://oak")
    asking = RequestContext(Stores({"shelf": store}, layers=[narrow]))
    with pytest.raises(AbilityMissing, match="can filter"):
        await asking.ask(Get(THINGS, ("name",), ["a"]))
    assert store.calls == []


async def test_kinds_that_can_all_have_no_layer_for_it() -> None:
    able = Stores.connect({"a": "memory://", "b": "memory://"})
    unable = Stores.connect({"a": "memory://", "shelf": "keys://"})
    assert "refuse" not in repr(able.funnel._last)
    assert "refuse" in repr(unable.funnel._last)


async def test_it_is_not_migrated(stores: Stores, tmp_path: Path) -> None:
    assert await migrate(stores, SHELVES, "shelf") == []
    with pytest.raises(AbilityMissing, match=r"^a migration: expected a store that can migrate, got shelf of kind keys, which cannot$"):
        await stores.migrate("shelf", [THINGS], None)
    said: list[str] = []
    await migrate_embedded(stores, SHELVES, said.append)
    await fill_embedded(stores, SHELVES, Settings(data_dir=tmp_path), said.append)
    assert said == []


async def test_it_cannot_say_what_it_has_and_the_start_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    urls = {"shelf": {"url": "keys://oak"}, "cellar": {"url": "memory://"}}
    assert await prepare(Settings.model_validate({"stores": urls, "data_dir": tmp_path}), SHELVES) == []
    assert capsys.readouterr().err == "Not checked: the store 'shelf', as stores of kind keys cannot say what they have.\n"


# ----------------------------------------------------------------------------------------------------------- the checks


def asking(annotation: Any, field: Any) -> Graph:
    """Return a graph in which ``Query.things`` is this field."""
    query = {"__annotations__": {"thing": Thing | None, "things": annotation}, "thing": lookup(THINGS, by={"id": "id"}), "things": field}
    return graph(strawberry.type(type("Query", (), query)), THINGS, BOXES, LINKS, types=[Box])


def told(made: Graph, can: frozenset[Any] = frozenset()) -> list[str]:
    return [str(problem) for problem in check(made, {"shelf": Kind("keys", ("keys",), KeysStore, can=can)})]


def test_a_connection_is_refused() -> None:
    made = asking(Connection[Thing], many(THINGS, where=Named, order=Sorted))
    assert told(made) == ["Query.things: expected a store that can count, filter and page, got shelf of kind keys, which cannot"]
    assert told(made, frozenset({"count", "filter"})) == [
        "Query.things: expected a store that can page, got shelf of kind keys, which cannot"
    ]
    assert told(made, frozenset({"count", "filter", "page"})) == []
    assert check(made) == [], "where the kinds are not known"


def test_an_aggregate_is_refused() -> None:
    @strawberry.type
    class Count:
        name: str | None = column()
        count: int = column()

    timed = Collection("times", "shelf", (Column("id"), Column("name"), Column("occurred_at", Type.TIME)))
    field = stats(
        timed, time="occurred_at", bucket="day", measures={"count": count()}, where=Named, group=Group, default=[], interval=Interval
    )
    query = {"__annotations__": {"things": list[Count]}, "things": field}
    made = graph(strawberry.type(type("Query", (), query)), timed)
    assert told(made) == ["Query.things: expected a store that can aggregate and filter, got shelf of kind keys, which cannot"]


def test_edges_and_nodes_are_told_apart() -> None:
    @strawberry.type
    class Holder(Node):
        id: strawberry.ID = column()
        boxes: Connection[Box] = many(BOXES, through=Through(LINKS, parent="thing_id", node="box_id"), where=Named, order=Sorted)

    holders = Collection("holders", "cellar", (Column("id", refers="Holder"), Column("name")))
    boxes = [problem for problem in told(_holding(Holder, holders)) if "of kind keys" in problem]
    assert boxes == ["Holder.boxes: expected a store that can page, got shelf of kind keys, which cannot"]


def _holding(holder: type, holders: Collection) -> Graph:
    query = {"__annotations__": {"holder": holder | None}, "holder": lookup(holders, by={"id": "id"})}
    return graph(strawberry.type(type("Query", (), query)), holders, BOXES, LINKS, types=[Box])


def test_a_file_to_load_is_refused_where_nothing_can_be_written() -> None:
    made = Graph(schema=SHELVES.schema, collections=SHELVES.collections, datasets=(Dataset("things.ndjson", THINGS),))
    assert told(made) == ["dataset things.ndjson: expected a store that can write, got shelf of kind keys, which cannot"]


def test_commands_end_with_it() -> None:
    made = asking(Connection[Thing], many(THINGS, where=Named, order=Sorted))
    refuse_wrong(made, kinds_of({"shelf": "memory://"}))
    with pytest.raises(ConfigError, match=r"The graph has 1 mistake:\n  Query\.things: expected a store that can count, filter and page"):
        refuse_wrong(made, kinds_of({"shelf": "keys://oak"}))
