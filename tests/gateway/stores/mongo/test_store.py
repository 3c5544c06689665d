"""What is particular to the store in MongoDB: how often it asks, by which indexes, documents of others, and a server that goes and comes.

The contract suite beside this file has what every kind answers.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient, monitoring

from gateway.errors import BadUserInput, ConfigError, Conflict, StoreTimeout, StoreUnavailable
from gateway.stores.base import (
    Aggregate,
    Collection,
    Column,
    Compare,
    Delete,
    Fetch,
    Get,
    Index,
    Match,
    Measure,
    Native,
    NativeCall,
    Order,
    Page,
    Pairs,
    Type,
    Upsert,
)
from gateway.stores.mongo import query
from gateway.stores.mongo.store import MongoStore
from tests.kinds import needs
from tests.servers import MONGODB

live = needs(MONGODB)

notes = Collection(
    name="notes",
    store="tested",
    columns=(
        Column("id"),
        Column("author_id"),
        Column("title"),
        Column("mood", nullable=True),
        Column("made_at", Type.TIME),
        Column("payload", Type.JSON, nullable=True),
        Column("code", nullable=True),
    ),
    indexes=(Index(("author_id", "made_at", "id")), Index(("code",), unique=True)),
    managed=True,
)


def note(key: str, **values: Any) -> tuple[Any, ...]:
    defaults: dict[str, Any] = {
        "author_id": "ann",
        "title": key,
        "mood": None,
        "made_at": "2020-01-01T00:00:00.000Z",
        "payload": {},
        "code": None,
    }
    return tuple((defaults | {"id": key} | values)[name] for name in notes.names)


class Commands(monitoring.CommandListener):
    """Records the commands that reach a server, without those of connecting."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


@pytest.fixture
async def database() -> AsyncIterator[Any]:
    """An empty database of the live server, gone afterwards, through the driver itself."""
    async with AsyncMongoClient[dict[str, Any]](os.environ[MONGODB.variable]) as client:
        name = f"test_{uuid4().hex[:12]}"
        yield client[name]
        await client.drop_database(name)


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
async def store(database: Any, commands: Commands, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MongoStore]:
    """An open and migrated store in ``database``."""
    store = MongoStore("tested", url_of(database))
    monkeypatch.setitem(store._options, "event_listeners", [commands, store._refusals])
    await store.open()
    await store.migrate("tested", [notes], None)
    commands.names.clear()
    yield store
    await store.close()


def url_of(database: Any, scheme: str = "mongodb", address: str = "", query: str = "") -> str:
    server = os.environ[MONGODB.variable].partition("://")[2].partition("/")[0]
    return f"{scheme}://{address or server}/{database.name}{query}"


# ----------------------------------------------------------------------------------------------------------- commands


@live
@pytest.mark.parametrize(
    ("fetch", "asked"),
    [
        (Fetch(notes, ("id",)), 1),
        (Fetch(notes, ("id",), Match("author_id", [f"a{i}" for i in range(300)])), 1),
        (Fetch(notes, ("id",), Match("author_id", [f"a{i}" for i in range(300)]), page=Page(2), count=True), 1),
        (Fetch(notes, ("id",), Pairs("id", [(f"p{i % 7}", f"n{i}") for i in range(300)]), page=Page(2)), 1),
        (Fetch(notes, ("id",), Pairs("id", [(f"p{i % 7}", f"n{i}") for i in range(300)]), count=True), 1),
        (Fetch(notes, ("id",), Pairs("id", [(f"p{i % 7}", f"n{i}") for i in range(300)]), page=Page(2), count=True), 1),
        (Fetch(notes, ("id",), Pairs("id", [("p", "n1"), ("p", "n2")]), page=Page(2, after=("n1",)), count=True), 2),
        (Fetch(notes, ("id",), page=Page(400), count=True), 1),  # the first page is the last: its rows are the count
        (Fetch(notes, ("id",), page=Page(2), count=True), 2),
    ],
)
async def test_a_fetch_is_one_command_and_some_totals_are_a_second(store: MongoStore, commands: Commands, fetch: Fetch, asked: int) -> None:
    await store.answer(Upsert(notes, [note(f"n{i}", author_id=f"a{i}") for i in range(300)]))
    commands.names.clear()

    await store.answer(fetch)

    assert commands.names == ["aggregate"] * asked


@live
async def test_an_empty_call_asks_nothing(store: MongoStore, commands: Commands) -> None:
    assert await store.answer(Get(notes, ("id",), [])) == {}
    assert await store.answer(Fetch(notes, ("id",), Match("author_id", []), page=Page(1))) == {}
    assert await store.answer(Fetch(notes, ("id",), Pairs("id", []), page=Page(1))) == {}
    assert await store.answer(Aggregate(notes, (), (Measure("count"),), Match("author_id", []))) == {}
    await store.answer(Upsert(notes, []))
    await store.answer(Delete(notes, []))

    assert commands.names == []


@live
async def test_one_row_needs_no_transaction_and_several_are_one(store: MongoStore, commands: Commands) -> None:
    assert await store.can_transact()  # asked once
    commands.names.clear()
    await store.answer(Upsert(notes, [note("a")]))
    assert commands.names == ["update"]
    commands.names.clear()

    await store.answer(Upsert(notes, [note("b"), note("c")]))

    assert commands.names == ["insert", "commitTransaction"]


@live
async def test_rows_that_are_there_are_replaced_in_a_second_transaction(store: MongoStore, commands: Commands) -> None:
    await store.answer(Upsert(notes, [note("a"), note("b", title="old")]))
    commands.names.clear()

    await store.answer(Upsert(notes, [note("c"), note("b", title="new")]))

    assert commands.names == ["insert", "abortTransaction", "update", "commitTransaction"]
    assert await store.answer(Get(notes, ("title",), ["a", "b", "c"])) == {"a": ("a",), "b": ("new",), "c": ("c",)}


# ------------------------------------------------------------------------------------------------------------- indexes


@live
@pytest.mark.parametrize(
    ("order", "page", "index"),
    [
        (Order("made_at"), Page(2), {"author_id": 1, "made_at": 1, "_id": 1}),
        (Order("made_at", descending=True), Page(2), {"author_id": 1, "made_at": -1, "_id": 1}),
        (Order("made_at", descending=True), Page(2, after=("2020-01-01T00:00:00.000Z", "a")), {"author_id": 1, "made_at": -1, "_id": 1}),
    ],
)
async def test_an_index_serves_a_parents_page(store: MongoStore, database: Any, order: Order, page: Page, index: dict[str, int]) -> None:
    fetch = Fetch(notes, ("id",), order=(order,), page=page)
    # What a $lookup runs for one parent: its rows first, then the pipeline.
    pipeline = [{"$match": {"author_id": {"$eq": "ann"}}}, *query.rows(fetch)]
    assert index in [dict(one["key"]) for one in (await database.notes.index_information()).values()]

    plan = await database.command("explain", {"aggregate": "notes", "pipeline": pipeline, "cursor": {}}, verbosity="queryPlanner")

    scans = [stage for stage in stages(plan) if stage.get("stage") == "IXSCAN"]
    assert {next(iter(scan["keyPattern"])) for scan in scans} == {"author_id"}
    assert not [stage for stage in stages(plan) if stage.get("stage") == "COLLSCAN"]


@live
async def test_migrating_twice_does_nothing_the_second_time(database: Any) -> None:
    store = MongoStore("tested", url_of(database))
    await store.open()
    try:
        assert await store.migrate("tested", [notes], None) == [
            "tested: created collection notes",
            "tested: created index on author_id, made_at, _id of notes",
            "tested: created index on author_id, made_at descending, _id of notes",
            "tested: created unique index on code of notes",
        ]
        assert await store.migrate("tested", [notes], None) == []
    finally:
        await store.close()


@live
async def test_a_unique_index_that_cannot_be_is_told_in_one_line(database: Any) -> None:
    await database.notes.insert_many([{"code": "same"}, {"code": "same"}])
    store = MongoStore("tested", url_of(database))
    await store.open()
    try:
        with pytest.raises(ConfigError, match=r"^collection notes: cannot create the unique index on code of notes: "):
            await store.migrate("tested", [notes], None)
    finally:
        await store.close()


@live
async def test_nulls_are_unique_beside_each_other_and_values_are_not(store: MongoStore) -> None:
    await store.answer(Upsert(notes, [note("a"), note("b"), note("c", code="x")]))

    with pytest.raises(Conflict, match=r"^Another row of notes has the same code\.$"):
        await store.answer(Upsert(notes, [note("d"), note("e", code="x")]))

    assert set(await store.answer(Get(notes, ("id",), ["a", "b", "c", "d", "e"]))) == {"a", "b", "c"}


# -------------------------------------------------------------------------------------------------- documents of others


@live
async def test_documents_of_others_miss_fields_and_hold_what_json_has_not(store: MongoStore, database: Any) -> None:
    await database.notes.insert_one({"_id": "bare", "author_id": "bob"})
    await database.notes.insert_one({"_id": "full", "author_id": "bob", "payload": {"at": datetime(2020, 1, 1, tzinfo=UTC)}, "else": 1})
    await store.answer(Upsert(notes, [note("ours", author_id="bob")]))

    rows = await store.answer(Get(notes, ("id", "mood", "made_at", "payload"), ["bare", "full", "ours"]))
    moods = await store.answer(Aggregate(notes, ("mood",), (Measure("count"), Measure("max", "made_at"))))
    without = await store.answer(Fetch(notes, ("id",), where=Compare("mood", "ne", "good"), order=(Order("mood"),)))

    assert rows == {
        "bare": ("bare", None, None, None),
        "full": ("full", None, None, {"at": "2020-01-01T00:00:00.000Z"}),
        "ours": ("ours", None, "2020-01-01T00:00:00.000Z", {}),
    }
    assert moods == {None: [(None, 3, "2020-01-01T00:00:00.000Z")]}
    assert without[None].rows == [("bare",), ("full",), ("ours",)]


@live
async def test_json_is_a_plain_document_but_for_what_drivers_would_take_for_a_pointer(store: MongoStore, database: Any) -> None:
    plain, pointer = {"b": {"a.b": 1, "$c": [1.0]}, "": None}, {"x": {"$ref": 5, "$id": 1}}
    await store.answer(Upsert(notes, [note("plain", payload=plain), note("pointer", payload=pointer)]))

    assert (await database.notes.find_one({"_id": "plain"}))["payload"] == plain
    assert (await database.notes.find_one({"_id": "pointer"}))["payload"].subtype == 128
    assert await store.answer(Get(notes, ("payload",), ["plain", "pointer"])) == {"plain": (plain,), "pointer": (pointer,)}


@live
async def test_what_bson_cannot_hold_is_the_callers_fault(store: MongoStore) -> None:
    with pytest.raises(BadUserInput):
        await store.answer(Upsert(notes, [note("a", payload={"n": 2**63})]))
    with pytest.raises(BadUserInput):
        await store.answer(Get(notes, ("id",), ["\ud800"]))
    with pytest.raises(BadUserInput, match="16 MiB"):
        await store.answer(Fetch(notes, ("id",), where=Compare("title", "in", tuple(f"{i}".ljust(2_000) for i in range(10_000)))))


@live
async def test_a_text_too_long_for_a_pattern_is_found(store: MongoStore) -> None:
    await store.answer(Upsert(notes, [note("long", title="(" * 40_000), note("short", title="("), note("none", mood="x")]))
    await store._database()[notes.name].insert_one({"_id": "number", "title": 5})

    for length in (600, 35_000):
        found = await store.answer(Fetch(notes, ("id",), where=Compare("title", "contains", "(" * length)))

        assert found[None].rows == [("long",)]


@live
async def test_a_native_query_may_run_over_the_database(store: MongoStore) -> None:
    native = Native(
        "echo",
        "tested",
        (Column("at", Type.TIME), Column("score", Type.FLOAT)),
        {
            "mongodb": lambda keys, arguments, _where: (
                "",
                [{"$documents": [{"k": key, "r": [datetime(2020, 1, 1, tzinfo=UTC), arguments["n"]]} for key in keys for _ in range(2)]}],
            )
        },
    )

    answer = await store.answer(NativeCall(native, ["a", "b"], {"n": 2}))

    assert answer == {key: [("2020-01-01T00:00:00.000Z", 2.0)] * 2 for key in ("a", "b")}


# ------------------------------------------------------------------------------------------------------------ two drivers


@live
async def test_motor_answers_the_same(store: MongoStore, database: Any) -> None:
    motor = MongoStore("tested", url_of(database, "mongodb+motor"))
    await motor.open()
    try:
        await motor.answer(Upsert(notes, [note(f"n{i}", author_id=f"a{i % 3}") for i in range(20)]))
        fetch = Fetch(notes, notes.names, Match("author_id", ["a0", "a1", "a2"]), page=Page(3, backward=True), count=True)

        assert await motor.answer(fetch) == await store.answer(fetch)
        await motor.ping()
    finally:
        await motor.close()


def test_motor_that_is_missing_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "motor.motor_asyncio", None)

    with pytest.raises(ConfigError, match=r"stores\.events\.url: .* pip install 'crossgraph\[motor\]'"):
        MongoStore("events", "mongodb+motor://localhost/x")


# ------------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("mongodb://h", "crossgraph"),
        ("mongodb://h/", "crossgraph"),
        ("mongodb://u:p%2F@h1:1,h2:2/data?replicaSet=r", "data"),
        ("mongodb+srv://cluster.example/my%20data?w=1", "my data"),
    ],
)
def test_the_path_of_the_url_names_the_database(url: str, name: str) -> None:
    assert MongoStore("events", url)._database_name == name


def test_options_in_the_url_win() -> None:
    store = MongoStore("events", "mongodb://h/?maxpoolsize=3&w=1", pool_size=7)

    assert "maxPoolSize" not in store._options
    assert "w" not in store._options
    assert MongoStore("events", "mongodb://h", pool_size=7)._options["maxPoolSize"] == 7


async def test_an_url_that_is_none_is_told_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"^stores\.events\.url: expected a MongoDB URL"):
        await MongoStore("events", "mongodb://h:port/x").open()


# ------------------------------------------------------------------------------------------------- a server goes and comes


@asynccontextmanager
async def relay(port: int) -> AsyncIterator[None]:
    """A server on ``port`` for as long as the block lasts: what it gets goes to the live one. All connections end with it."""
    host, _, live_port = os.environ[MONGODB.variable].partition("://")[2].partition("/")[0].rpartition(":")
    writers: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(live_port))
        writers.update((writer, far_writer))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


@pytest.fixture
def abandoned() -> Iterator[None]:
    """Sockets that PyMongo was connecting by when its client was closed are closed by nobody: here, and not in another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("abandoned")
@live
@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+motor"])
async def test_calls_fail_while_the_server_is_away_and_work_again_once_it_is_back(database: Any, scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = url_of(database, scheme, f"127.0.0.1:{port}", "?directConnection=true&heartbeatFrequencyMS=500")
    store = MongoStore("tested", url, connect_timeout_s=0.3)
    await store.open()
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.answer(Get(notes, ("id",), ["a"]))
            async with relay(port):
                await until_it_works(store)
        with pytest.raises(StoreUnavailable):
            await store.answer(Upsert(notes, [note("a"), note("b")]))
    finally:
        await store.close()


async def until_it_works(store: MongoStore) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                assert await store.answer(Get(notes, ("id",), ["a"])) == {}
            except StoreUnavailable:
                await asyncio.sleep(0)  # a refusal that is known comes at once, and the driver has to get to ask again
            else:
                return


@pytest.mark.usefixtures("abandoned")
@live
async def test_a_server_that_does_not_answer_is_a_timeout(database: Any) -> None:
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: writers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    store = MongoStore("tested", url_of(database, address=f"127.0.0.1:{port}", query="?directConnection=true"), connect_timeout_s=0.3)
    await store.open()
    try:
        with pytest.raises((StoreTimeout, StoreUnavailable)):
            await store.ping()
    finally:
        await store.close()
        for writer in writers:
            writer.transport.abort()
        silent.close()
        await silent.wait_closed()


async def test_a_store_that_is_not_open_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await MongoStore("events", "mongodb://h").ping()


def stages(plan: Any) -> list[dict[str, Any]]:
    """All documents inside an explained plan, whatever its version nests them in."""
    if isinstance(plan, dict):
        return [plan, *(stage for value in plan.values() for stage in stages(value))]
    if isinstance(plan, list):
        return [stage for value in plan for stage in stages(value)]
    return []
