"""What is particular to Neo4j: one statement per call, indexes that serve a page per parent, prefixes, faults and recovery.

What it answers is in the contract, with every other kind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import neo4j
import pytest

from gateway.errors import BadUserInput, ConfigError, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import (
    Aggregate,
    Bucket,
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
    Not,
    Order,
    Page,
    Pairs,
    Relationship,
    Type,
    Upsert,
    Where,
)
from gateway.stores.neo4j.cypher import fetch_statement
from gateway.stores.neo4j.sources import Source
from gateway.stores.neo4j.store import Neo4jStore
from tests.gateway.stores.proxies import Proxy
from tests.kinds import needs, url_of
from tests.servers import NEO4J
from tests.tries import in_tries

live = needs(NEO4J)

notes = Collection(
    name="notes",
    store="s",
    label="Note",
    columns=(
        Column("id"),
        Column("writer_id"),
        Column("text"),
        Column("at", Type.TIME),
        Column("seen_at", Type.TIME, nullable=True),
        Column("born", Type.DATE, nullable=True),
        Column("data", Type.JSON, nullable=True),
    ),
    indexes=(Index(("writer_id", "id")), Index(("writer_id", "at", "id")), Index(("text",))),
    managed=True,
)
knows = Collection(
    name="knows",
    store="s",
    columns=(Column("who"), Column("whom"), Column("since", Type.TIME)),
    key=("who", "whom"),
    indexes=(Index(("whom", "who")), Index(("since",))),
    relationship=Relationship("KNOWS", start="Person", start_column="who", end="Person", end_column="whom"),
    managed=True,
)

WRITERS = [f"w{i}" for i in range(50)]
NEWEST = (Order("at", descending=True),)


def note(number: int, text: str = "some text") -> tuple[Any, ...]:
    at = f"2020-01-01T00:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z"
    return (f"n{number:06}", f"w{number % 50}", text, at, None, "2000-02-29", {"b": 1, "a": [None]})


class Counted(Neo4jStore):
    """A store that keeps the texts of its statements."""

    texts: Sequence[str] = ()

    async def _run(self, text: str, *args: Any) -> Any:
        self.texts = [*self.texts, text]
        return await super()._run(text, *args)


@asynccontextmanager
async def opened(url: str, *, migrated: bool = True, **options: Any) -> AsyncIterator[Counted]:
    store = Counted("tested", url, **options)
    await store.open()
    try:
        if migrated:
            await store.migrate("tested", [notes, knows], None)
        store.texts = []
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def empty(**options: Any) -> AsyncIterator[Counted]:
    async with url_of("neo4j") as url, opened(url, **options) as store:
        yield store


async def run(store: Neo4jStore, text: str) -> list[list[Any]]:
    """What the database itself says."""
    assert store._driver is not None
    async with store._driver.session(database="neo4j") as session:
        return await (await session.run(text)).values()


def in_database(store: Neo4jStore, label: str) -> str:
    return f"`{store._address.prefix}{label}`"


# -------------------------------------------------------------------------------------------------- statements and plans


@live
async def test_each_call_is_one_statement() -> None:
    async with empty() as store:
        await store.answer(Upsert(notes, [note(i) for i in range(200)]))
        calls = [
            store.answer(Get(notes, ("id",), [f"n{i:06}" for i in range(100)])),
            store.answer(Fetch(notes, ("id",), Match("writer_id", WRITERS), order=NEWEST, page=Page(3), count=True)),
            store.answer(Fetch(notes, ("id",), Pairs("id", [("a", "n000001"), ("b", "n000002")]), page=Page(3), count=True)),
            store.answer(Aggregate(notes, (Bucket("at", "day"),), (Measure("count"), Measure("max", "at")), Match("writer_id", WRITERS))),
            store.answer(Delete(notes, [("n000001",), ("n000002",)])),
        ]
        for call in calls:
            store.texts = []
            await call
            assert len(store.texts) == 1, store.texts


async def test_the_text_depends_on_the_shape_alone_and_holds_no_value() -> None:
    source = Source("", notes)

    def statement(writers: list[str], text: str, limit: int, at: str) -> tuple[str, Mapping[str, Any]]:
        where = Compare("text", "contains", text)
        page = Page(limit, after=(at, "n1"))
        return fetch_statement(source, Fetch(notes, ("id",), Match("writer_id", writers), where, NEWEST, page))

    text, parameters = statement(["w1"], "x' OR 1=1", 3, "2020-01-01T00:00:00.000Z")
    other, _ = statement(["w2", "w3"], "y", 100, "2021-01-01T00:00:00.000Z")

    assert text is other, "it is kept"
    assert "OR 1=1" not in text
    assert parameters == {"w0": "x' OR 1=1", "never": False, "a0": "2020-01-01T00:00:00.000Z", "a1": "n1", "limit": 4, "parents": ["w1"]}


async def test_negations_are_pushed_down_for_the_servers_parser_is_exponential_in_them() -> None:
    where: Where = Compare("text", "eq", "x")
    for _ in range(30):
        where = Not(Not(where))
    text, _ = fetch_statement(Source("", notes), Fetch(notes, ("id",), where=Not(where)))

    assert "WHERE coalesce(n.`text` <> $w0, true) AND" in text


INDEXED: dict[str, tuple[Fetch, set[str]]] = {
    "a page in the order of a time": (
        Fetch(notes, ("id",), Match("writer_id", WRITERS), order=NEWEST, page=Page(3)),
        {"writer_id, at, id"},
    ),
    "the same backward": (Fetch(notes, ("id",), Match("writer_id", WRITERS), order=NEWEST, page=Page(3, True)), {"writer_id, at, id"}),
    "a page in the default order": (Fetch(notes, ("id",), Match("writer_id", WRITERS), page=Page(3)), {"writer_id, id"}),
    "behind a cursor": (
        Fetch(notes, ("id",), Match("writer_id", WRITERS), order=NEWEST, page=Page(3, after=("2020-01-01T00:00:20.020Z", "n1"))),
        {"writer_id, at, id"},
    ),
    "by pairs": (Fetch(notes, ("id",), Pairs("id", [("a", "n000001"), ("b", "n000002")]), order=NEWEST, page=Page(3)), {"id"}),
    "edges": (Fetch(knows, ("whom",), Match("who", WRITERS), page=Page(3)), {"id"}),
    "edges from the other end": (Fetch(knows, ("who",), Match("whom", WRITERS), page=Page(3)), {"id"}),
}


@live
@pytest.mark.parametrize("name", INDEXED)
async def test_a_page_per_parent_is_served_by_an_index_though_statistics_lag_behind(name: str) -> None:
    fetch, expected = INDEXED[name]
    async with empty() as store:
        await store.answer(Upsert(notes, [note(i) for i in range(2_000)]))
        text, parameters = fetch_statement(store._names.source(fetch.collection), fetch)
        assert store._driver is not None
        async with store._driver.session(database="neo4j") as session:
            summary = await (await session.run("EXPLAIN " + text, parameters)).consume()

    seeks = [plan["args"]["Details"] for plan in _flat(summary.plan) if "IndexSeek" in plan["operatorType"]]
    assert {detail.partition("(")[2].partition(")")[0] for detail in seeks} == expected
    assert not [plan for plan in _flat(summary.plan) if "Scan" in plan["operatorType"]]


def _flat(plan: Any) -> list[Any]:
    return [plan, *(below for child in plan.get("children", ()) for below in _flat(child))]


@live
async def test_without_migration_everything_works_if_slowly() -> None:
    async with empty(migrated=False) as store:
        await store.answer(Upsert(notes, [note(1), note(2)]))
        slices = await store.answer(Fetch(notes, ("id",), Match("writer_id", ["w1"]), order=NEWEST, page=Page(3), count=True))
        assert slices["w1"] == ([["n000001"]], False, 1)
        await store.answer(Delete(notes, [("n000001",)]))
        assert list(await store.answer(Get(notes, ("id",), ["n000001", "n000002"]))) == ["n000002"]


# ----------------------------------------------------------------------------------------------------- how it is kept


@live
async def test_who_uses_the_database_directly_finds_its_own_types() -> None:
    async with empty() as store:
        await store.answer(Upsert(notes, [note(1)]))
        await store.answer(Upsert(knows, [("a", "b", "2020-01-01T00:00:00.000Z")]))
        label, person, type_ = (in_database(store, name) for name in ("Note", "Person", "KNOWS"))
        [[types, data, keys]] = await run(
            store,
            f"MATCH (n:{label}) RETURN [valueType(n.at), valueType(n.born)], n.data, keys(n)",
        )
        edges = await run(store, f"MATCH (a:{person})-[k:{type_}]->(b:{person}) RETURN properties(a), properties(b), keys(k)")

    assert types == ["ZONED DATETIME NOT NULL", "DATE NOT NULL"]
    assert data == '{"b":1,"a":[null]}', "compact, the order of keys kept"
    assert "seen_at" not in keys, "a null is an absent property"
    assert edges == [[{"id": "a"}, {"id": "b"}, ["since"]]]


@live
async def test_properties_of_others_survive_an_upsert_and_nodes_survive_their_edges() -> None:
    async with empty() as store:
        await store.answer(Upsert(notes, [note(1)]))
        await run(store, f"MATCH (n:{in_database(store, 'Note')}) SET n.theirs = 1")
        await store.answer(Upsert(notes, [note(1, "new text")]))
        await store.answer(Upsert(knows, [("a", "b", "2020-01-01T00:00:00.000Z")]))
        await store.answer(Delete(knows, [("a", "b")]))

        assert await run(store, f"MATCH (n:{in_database(store, 'Note')}) RETURN n.theirs, n.text") == [[1, "new text"]]
        assert await run(store, f"MATCH (n:{in_database(store, 'Person')}) RETURN n.id ORDER BY n.id") == [["a"], ["b"]]


@live
async def test_a_null_that_may_not_be_is_refused() -> None:
    async with empty() as store:
        with pytest.raises(StoreMisbehaved, match="collection notes: column text must have a value"):
            await store.answer(Upsert(notes, [("n1", "w1", None, *note(1)[3:])]))


@live
@pytest.mark.parametrize("text", ["x" * 20_000, "half of a pair \ud800"])
async def test_a_text_that_cannot_be_kept_is_the_callers_mistake(text: str) -> None:
    async with empty() as store:
        with pytest.raises(BadUserInput):
            await store.answer(Upsert(notes, [note(1, text)]))
        await store.answer(Upsert(notes, [note(1)]))  # the connection is as good as before


@live
async def test_two_writers_that_lock_each_other_out_both_succeed() -> None:
    people = [f"p{i}" for i in range(40)]
    there = [(a, b, "2020-01-01T00:00:00.000Z") for a in people for b in people]
    back = [(b, a, "2021-01-01T00:00:00.000Z") for a, b, _ in there]
    async with empty() as store:
        await asyncio.gather(*(store.answer(Upsert(knows, rows)) for rows in (there, back, there, back)))
        assert (await store.answer(Fetch(knows, ("who",), page=Page(0), count=True)))[None].total == 1_600


# --------------------------------------------------------------------------------------------------- prefix and schema


@live
async def test_stores_with_different_prefixes_do_not_see_each_other() -> None:
    async with url_of("neo4j") as one, url_of("neo4j") as two, opened(one) as first, opened(two) as second:
        await first.answer(Upsert(notes, [note(1)]))
        await first.answer(Upsert(knows, [("a", "b", "2020-01-01T00:00:00.000Z")]))
        for collection in (notes, knows):
            assert (await second.answer(Fetch(collection, collection.key)))[None].rows == []

        await second.drop_everything()
        assert list(await first.answer(Get(notes, ("id",), ["n000001"]))) == ["n000001"]
        assert await first.migrate("tested", [notes, knows], None) == []


@live
async def test_migrate_says_what_it_did_and_does_nothing_twice() -> None:
    async with empty(migrated=False) as store:
        prefix = store._address.prefix
        assert await store.migrate("notes", [notes, knows], None) == [
            f"notes: created unique constraint on node {prefix}Note (id)",
            f"notes: created unique constraint on node {prefix}Person (id)",
            f"notes: created index on node {prefix}Note (writer_id, id)",
            f"notes: created index on node {prefix}Note (writer_id, at, id)",
            f"notes: created index on node {prefix}Note (text)",
            f"notes: created index on relationship {prefix}KNOWS (since)",
        ]
        assert await store.migrate("notes", [notes, knows], None) == []


@live
async def test_dropping_everything_leaves_nothing_of_the_prefix() -> None:
    async with empty() as store:
        await store.answer(Upsert(knows, [("a", "b", "2020-01-01T00:00:00.000Z")]))
        await store.drop_everything()
        prefix = store._address.prefix
        for shown in ("SHOW INDEXES YIELD name AS x", "SHOW CONSTRAINTS YIELD name AS x", "CALL db.labels() YIELD label AS x"):
            where = "WHERE x STARTS WITH '" + prefix + "'"
            assert await run(store, f"{shown} {where} RETURN x" if shown.startswith("SHOW") else f"{shown} WITH x {where} RETURN x") == []


async def test_dropping_everything_without_a_prefix_is_refused() -> None:
    with pytest.raises(ConfigError, match="drop_everything needs a URL with \\?prefix="):
        await Neo4jStore("mine", "bolt://nobody@127.0.0.1:1/neo4j").drop_everything()


@live
async def test_a_label_shared_by_rows_and_ends_of_edges_is_refused() -> None:
    people = Collection(name="people", store="s", label="Person", columns=(Column("id"), Column("name")))
    async with empty(migrated=False) as store:
        with pytest.raises(ValueError, match=r"collection people: its label .*Person is that of nodes of knows"):
            await store.migrate("tested", [people, knows], None)


def test_an_edge_whose_key_is_half_of_its_ends_is_refused() -> None:
    edges = Collection(name="edges", store="s", columns=knows.columns, key=("who", "since"), relationship=knows.relationship)
    with pytest.raises(ValueError, match="collection edges: as a relationship its key must be who, whom, or properties of its own"):
        Source("", edges)


def test_names_are_quoted_wherever_they_stand() -> None:
    odd = Collection(name="odd", store="s", label="a`b", columns=(Column("id"), Column("c`d")))
    text, _ = fetch_statement(Source("x`", odd), Fetch(odd, ("c`d",), order=(Order("c`d"),)))
    assert "(n:`x``a``b`)" in text
    assert "n.`c``d`" in text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("neo4j://a%40b:p%2Fw@host:1/db?prefix=x_&policy=eu", ("neo4j://host:1?policy=eu", ("a@b", "p/w"), "db", "x_")),
        ("bolt+ssc://[::1]:7687", ("bolt+ssc://[::1]:7687", None, "neo4j", "")),
        ("neo4j+s://only@cluster.example/", ("neo4j+s://cluster.example", ("only", ""), "neo4j", "")),
    ],
)
def test_a_url_says_where_and_as_whom(url: str, expected: tuple[object, ...]) -> None:
    address = Neo4jStore("mine", url)._address
    assert (address.uri, address.auth, address.database, address.prefix) == expected


@pytest.mark.parametrize("url", ["http://host/db", "bolt:///db", "bolt://host/db?policy=eu"])
def test_a_url_that_cannot_be_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigError, match="store mine"):
        Neo4jStore("mine", url)


# ------------------------------------------------------------------------------------------------------- native queries

FRIENDS = Native(
    "friends",
    "s",
    (Column("friend"), Column("since", Type.TIME), Column("day", Type.DATE), Column("score", Type.FLOAT), Column("data", Type.JSON)),
    {
        "neo4j": """UNWIND $keys AS k MATCH (:{Person} {{id: k}})-[r:{KNOWS}]->(f:{Person})
RETURN k, f.id AS friend, r.since AS since, date(r.since) AS day, 1 AS score, '{{"a":1}}' AS data ORDER BY friend DESC LIMIT $first"""
    },
)


@live
async def test_a_native_query_has_its_labels_prefixed_and_its_values_brought_to_the_wire() -> None:
    async with empty() as store:
        await store.answer(Upsert(knows, [("a", x, "2020-01-01T00:00:00.120Z") for x in ("b", "c", "d")]))
        row = ["2020-01-01T00:00:00.120Z", "2020-01-01", 1.0, {"a": 1}]
        for _ in range(3):  # the first as it stands, later ones in one record
            answer = await store.answer(NativeCall(FRIENDS, ["a", "nobody"], {"first": 2}))
            assert answer == {"a": [["d", *row], ["c", *row]]}
        assert store.texts[-1].startswith("CALL () {")


@live
async def test_a_native_query_that_cannot_be_a_subquery_is_run_as_it_stands() -> None:
    unnamed = Native("unnamed", "s", (Column("x"),), {"neo4j": "UNWIND $keys AS k RETURN k, toUpper(k)"})
    async with empty() as store:
        for _ in range(3):
            assert await store.answer(NativeCall(unnamed, ["a"], {})) == {"a": [["A"]]}


@live
async def test_a_native_query_with_the_wrong_columns_fails_loudly() -> None:
    wrong = Native("wrong", "s", (), {"neo4j": "UNWIND $keys AS k RETURN k, k AS more"})
    async with empty() as store:
        with pytest.raises(StoreMisbehaved, match="native query wrong returned 2 columns, expected 1"):
            await store.answer(NativeCall(wrong, ["a"], {}))


# --------------------------------------------------------------------------------------------------- faults and recovery

SLOW = Native(
    "slow", "s", (), {"neo4j": "UNWIND range(1, 1000000000) AS i WITH i, i % 7 AS j WITH sum(i * j) AS n UNWIND $keys AS k RETURN k"}
)


@asynccontextmanager
async def behind_a_proxy(*, pool_size: int = 2) -> AsyncIterator[tuple[Counted, Proxy]]:
    async with url_of("neo4j") as url:
        parts = urlsplit(url)
        proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 7687)
        await proxy.start()
        netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"
        try:
            async with opened(urlunsplit(parts._replace(netloc=netloc)), pool_size=pool_size, connect_timeout_s=3.0) as store:
                yield store, proxy
        finally:
            await proxy.cut()


@live
async def test_a_server_that_went_away_and_came_back_answers_again() -> None:
    async with behind_a_proxy() as (store, proxy):
        await asyncio.gather(store.ping(), store.ping())
        await proxy.cut()
        for _ in range(3):
            with pytest.raises(StoreUnavailable) as failure:
                await store.ping()
            assert failure.value.__cause__ is not None
        await proxy.start()

        await asyncio.gather(*(store.ping() for _ in range(5)))


@live
async def test_connections_that_broke_while_idle_are_not_noticed_by_a_reader() -> None:
    async with behind_a_proxy() as (store, proxy):
        await asyncio.gather(store.ping(), store.ping())
        await proxy.cut()
        await proxy.start()

        await store.ping()
        await store.answer(Upsert(notes, [note(1)]))


@in_tries
@live
async def test_a_call_to_a_frozen_server_ends_with_its_deadline_and_later_ones_are_answered() -> None:
    async with behind_a_proxy(pool_size=1) as (store, proxy):
        await store.ping()
        proxy.freeze()
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.ping()
        waited = time.monotonic() - started
        proxy.thaw()

        assert waited < 0.5, "the caller does not wait for the connection to be cleaned up"
        await store.ping()


@live
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the driver leaves a socket to the collector when cancelled while it connects
async def test_calls_cancelled_in_a_storm_leave_the_pool_whole() -> None:
    async with empty(pool_size=2) as store:
        await store.answer(Upsert(notes, [note(i) for i in range(100)]))
        for delay_ms in range(0, 12, 2):
            calls = [asyncio.create_task(store.answer(Get(notes, ("id",), [f"n{i:06}"]))) for i in range(10)]
            await asyncio.sleep(delay_ms / 1_000)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

        answers = await asyncio.gather(*(store.answer(Get(notes, ("id",), [f"n{i:06}"])) for i in range(10)))
        assert [list(answer) for answer in answers] == [[f"n{i:06}"] for i in range(10)]


@live
async def test_a_query_that_runs_for_too_long_is_ended_by_the_server() -> None:
    async with empty() as store:
        with pytest.raises(StoreTimeout, match="'tested' did not answer within 3 s"):
            await store.answer(NativeCall(SLOW, ["a"], {}))
        await store.ping()


@live
async def test_a_wrong_password_is_an_unavailable_store() -> None:
    async with url_of("neo4j") as url:
        parts = urlsplit(url)
        store = Neo4jStore("locked", urlunsplit(parts._replace(netloc=f"neo4j:wrong-password@{parts.hostname}:{parts.port}")))
        await store.open()
        try:
            with pytest.raises(StoreUnavailable, match="'locked'") as failure:
                await store.ping()
            assert isinstance(failure.value.__cause__, neo4j.exceptions.AuthError)
        finally:
            await store.close()


async def test_opening_a_server_that_is_away_is_no_error_but_calls_are() -> None:
    store = Neo4jStore("users", "neo4j://nobody:x@127.0.0.1:1/neo4j", connect_timeout_s=0.5)
    await store.open()
    try:
        with pytest.raises(StoreUnavailable, match="'users'"):
            await store.ping()
        with pytest.raises(StoreUnavailable, match="'users'"):
            await store.answer(Upsert(notes, [note(1)]))
    finally:
        await store.close()


async def test_a_server_that_accepts_and_says_nothing_is_unavailable_after_the_connect_timeout() -> None:
    ended = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.transport.abort()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    store = Neo4jStore("users", f"bolt://nobody:x@127.0.0.1:{server.sockets[0].getsockname()[1]}/neo4j", connect_timeout_s=0.2)
    await store.open()
    started = time.monotonic()
    try:
        with pytest.raises(StoreUnavailable):
            await store.ping()
        assert time.monotonic() - started < 15, "and not for as long as it says nothing"
    finally:
        ended.set()
        await store.close()
        server.close()
        await server.wait_closed()


async def test_a_store_that_is_not_open_is_unavailable_and_closing_it_is_no_error() -> None:
    store = Neo4jStore("users", "bolt://nobody:x@127.0.0.1:1/neo4j")
    with pytest.raises(StoreUnavailable):
        await store.ping()
    await store.close()
