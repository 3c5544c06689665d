"""What is particular to Neo4j in changes of single rows and transactions: nodes of others, identities, locks that leave nothing, faults.

What they answer is in the contract, with every other kind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import BadUserInput, Conflict, Contended, StoreUnavailable
from gateway.stores.base import (
    Changed,
    Claim,
    Collection,
    Column,
    Compare,
    Delete,
    Fetch,
    Get,
    Index,
    Insert,
    Lock,
    Match,
    Native,
    NativeCall,
    Order,
    Relationship,
    Remove,
    Type,
    Update,
    Upsert,
    Within,
)
from gateway.stores.neo4j.store import Neo4jStore
from gateway.stores.values import Unreadable
from gateway.writes.tables import PENDING, tables_of
from tests.gateway.stores.neo4j.test_store import behind_a_proxy, in_database, run
from tests.kinds import needs, url_of
from tests.servers import NEO4J
from tests.tries import in_tries

live = needs(NEO4J)

TIME_LIMIT_S = 60.0

people = Collection(
    "people",
    "s",
    (Column("id"), Column("name", nullable=True), Column("seen_at", Type.TIME, nullable=True), Column("born", Type.DATE, nullable=True)),
    label="Person",
    indexes=(Index(("name",)),),
    managed=True,
)
knows = Collection(
    "knows",
    "s",
    (Column("who"), Column("whom"), Column("since", Type.TIME, nullable=True)),
    key=("who", "whom"),
    relationship=Relationship("KNOWS", start="Knower", start_column="who", end="Knower", end_column="whom"),
    managed=True,
)
# What others made: of labels without a constraint, with the database's identities as keys, between nodes that are theirs.
cities = Collection("cities", "s", (Column("name", collation="nocase"), Column("mayor", nullable=True, at="the mayor")), ("name",), "City")
streets = Collection("streets", "s", (Column("city", collation="nocase"), Column("number", Type.INT)), ("city", "number"), "Street")
tracks = Collection("tracks", "s", (Column("id", at="elementId()"), Column("title", nullable=True)), label="Track")
plays = Collection(
    "plays",
    "s",
    (Column("id", at="elementId()"), Column("city"), Column("title"), Column("stars", Type.INT, nullable=True)),
    relationship=Relationship("PLAYED", "City", "city", "Track", "title", "name", "title"),
)
roads = replace(plays, name="roads", columns=plays.columns[1:], key=("city", "title"))


@asynccontextmanager
async def empty() -> AsyncIterator[Neo4jStore]:
    async with url_of("neo4j") as url:
        store = Neo4jStore("tested", url)
        await store.open()
        try:
            await store.migrate("tested", [people, knows], None)
            yield store
        finally:
            await store.close()


def inserted(collection: Collection, *rows: Sequence[Any]) -> Insert:
    return Insert(collection, collection.names, rows)


# ------------------------------------------------------------------------------------------------------- what is theirs


@live
async def test_a_lock_leaves_nothing_on_nodes_and_relationships() -> None:
    async with empty() as store:
        await store.answer(inserted(people, ("a", None, None, None)))
        await store.answer(inserted(knows, ("a", "b", None)))
        async with store.transaction() as tx:
            await tx.answer(Lock(people, ["a"]))
            await tx.answer(Lock(knows, ["a,b"]))
            await tx.answer(Update(people, ("a",), (("name", "Ada"),)))
            await tx.answer(Update(knows, ("a", "b"), ()))
        person, knower = in_database(store, "Person"), in_database(store, "Knower")
        assert await run(store, f"MATCH (n:{person}) RETURN keys(n)") == [[["id", "name"]]]
        assert await run(store, f"MATCH (:{knower})-[r]->(n:{knower}) RETURN keys(r), keys(n)") == [[[], ["id"]]]


@live
async def test_nodes_of_a_label_without_a_constraint_are_compared() -> None:
    async with empty() as store:
        await store.answer(inserted(cities, ("Ulm", None), ("ulm", "Gunter")))
        for rows in ([("Bonn", None), ("ulm", None)], [("Köln", None), ("Köln", None)]):
            with pytest.raises(Conflict, match=r"^Another row of cities has the same name\.$"):
                await store.answer(inserted(cities, *rows))
        assert await store.answer(Update(cities, ("ULM",), (("mayor", "x"),))) is None
        changed = await store.answer(Update(cities, ("Ulm",), (("mayor", "Ada"),), expected=(("mayor", None),)))
        assert changed == Changed(["Ulm", None], ["Ulm", "Ada"])
        assert await run(store, f"MATCH (n:{in_database(store, 'City')}) RETURN n.name, n.`the mayor` ORDER BY n.name") == [
            ["Ulm", "Ada"],
            ["ulm", "Gunter"],
        ]
        await store.answer(Delete(cities, [("Ulm",), ("ULM",)]))
        assert await store.answer(Get(cities, ("mayor",), ["Ulm", "ulm"], "name")) == {"ulm": ["Gunter"]}


@live
async def test_keys_of_several_columns_without_regard_to_case_are_themselves_alone() -> None:
    async with empty() as store:
        await store.answer(inserted(streets, ("Ulm", 1), ("ulm", 2)))
        assert await store.answer(Get(streets, ("city",), ["Ulm,1", "ulm,1", "ulm,2"], "city,number")) == {
            "Ulm,1": ["Ulm"],
            "ulm,2": ["ulm"],
        }
        assert list(await store.answer(Lock(streets, ["ulm,1", "ulm,2"]))) == ["ulm,2"]
        assert await store.answer(Remove(streets, ("ULM", "1"))) is None
        gone: list[Any] = [("Ulm", 1), ("Ulm", 2)]
        await store.answer(Delete(streets, gone))
        assert await run(store, f"MATCH (n:{in_database(store, 'Street')}) RETURN n.city") == [["ulm"]]


@live
async def test_nodes_whose_key_is_the_databases_own() -> None:
    async with empty() as store:
        [[one, _], [two, _]] = await store.answer(Insert(tracks, ("title",), [("x",), ("y",)]))
        assert one != two
        assert await store.answer(Get(tracks, ("title",), [one, two])) == {one: ["x"], two: ["y"]}
        assert await store.answer(Update(tracks, (one,), (("title", "z"),))) == Changed([one, "x"], [one, "z"])
        async with store.transaction() as tx:
            assert await tx.answer(Lock(tracks, [one, two, "none"])) == {one: [one, "z"], two: [two, "y"]}
        assert await store.answer(Remove(tracks, (one,))) == Changed([one, "z"], None)
        assert await store.answer(Remove(tracks, (one,))) is None
        for request in (inserted(tracks, ("1", "x")), Update(tracks, (two,), (("id", "1"),))):
            with pytest.raises(BadUserInput, match=r"^Column id of tracks is given by the database\.$"):
                await store.answer(request)


@live
async def test_relationships_whose_key_is_the_databases_own() -> None:
    """There may be several between the same two nodes."""
    async with empty() as store:
        await store.answer(inserted(cities, ("Ulm", None), ("Bonn", None)))
        await store.answer(Insert(tracks, ("title",), [("x",)]))
        rows = await store.answer(Insert(plays, ("stars", "title", "city"), [(5, "x", "Ulm"), (None, "x", "Ulm")]))
        (one, *first), (two, *second) = rows
        assert (one != two, first, second) == (True, ["Ulm", "x", 5], ["Ulm", "x", None])
        assert await store.answer(Update(plays, (two,), (("stars", 1),))) == Changed([two, "Ulm", "x", None], [two, "Ulm", "x", 1])
        with pytest.raises(BadUserInput, match=r"^The ends of a row of plays cannot be changed: it would be another one"):
            await store.answer(Update(plays, (two,), (("city", "Bonn"),)))
        assert await store.answer(Remove(plays, (one,))) == Changed([one, "Ulm", "x", 5], None)
        assert list(await store.answer(Get(plays, ("stars",), [one, two]))) == [two]


@live
async def test_a_relationship_between_nodes_of_others_needs_them() -> None:
    async with empty() as store:
        await store.answer(inserted(cities, ("Ulm", None)))
        await store.answer(Insert(tracks, ("title",), [("x",), ("y",)]))
        await store.answer(inserted(roads, ("Ulm", "x", 1)))
        with pytest.raises(BadUserInput):
            await store.answer(inserted(roads, ("Ulm", "y", 1), ("Bonn", "y", 1)))
        with pytest.raises(BadUserInput):
            await store.answer(Update(roads, ("Ulm", "x"), (("title", "z"),)))
        with pytest.raises(Conflict, match=r"^Another row of roads has the same city, title\.$"):
            await store.answer(inserted(roads, ("Ulm", "y", 1), ("Ulm", "x", 2)))
        assert await store.answer(Get(roads, ("stars",), ["Ulm,x", "Ulm,y"], "city,title")) == {"Ulm,x": [1]}


@live
async def test_a_relationship_with_its_ends_as_key_is_moved_where_there_is_none() -> None:
    async with empty() as store:
        await store.answer(inserted(knows, ("a", "b", "2024-02-29T00:00:00.001Z"), ("a", "c", None)))
        moved = await store.answer(Update(knows, ("a", "b"), (("whom", "new"),)))
        assert moved == Changed(["a", "b", "2024-02-29T00:00:00.001Z"], ["a", "new", "2024-02-29T00:00:00.001Z"])
        with pytest.raises(Conflict, match=r"^Another row of knows has the same who, whom\.$"):
            await store.answer(Update(knows, ("a", "new"), (("whom", "c"), ("since", None))))
        keys = ["a,b", "a,c", "a,new"]
        assert await store.answer(Get(knows, ("since",), keys, "who,whom")) == {"a,c": [None], "a,new": ["2024-02-29T00:00:00.001Z"]}


@live
async def test_a_removed_node_takes_its_relationships_along() -> None:
    async with empty() as store:
        knowers = replace(people, name="knowers", label="Knower", columns=(Column("id"),), indexes=())
        await store.answer(inserted(knows, ("a", "b", None), ("b", "c", None)))
        assert await store.answer(Remove(knowers, ("b",))) == Changed(["b"], None)
        assert await store.answer(Fetch(knows, ("who",), Match("who", ["a", "b"]))) == {}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Insert(knows, ("who",), [("a",)]), "Column whom of knows must have a value."),
        (inserted(people, ("a", None, None, None), (None, None, None, None)), "Column id of people must have a value."),
        (Update(people, ("a",), (("id", None),)), "Column id of people must have a value."),
    ],
)
async def test_what_must_have_a_value_is_refused_before_anything_is_asked(request_: Any, message: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        await Neo4jStore("tested", "bolt://127.0.0.1:1").answer(request_)
    assert refused.value.message == message


@live
async def test_values_of_other_types_do_not_end_a_transaction() -> None:
    """A moment in place of a text, a text in place of a moment: each is told in its place, and conditions are false for it."""
    async with empty() as store:
        label = in_database(store, "Person")
        await run(store, f"CREATE (:{label} {{id: 'a', name: 1, seen_at: 'soon', born: [1]}})")
        async with store.transaction() as tx:
            for order in ("seen_at", "name", "born"):
                slices = await tx.answer(Within(Fetch(people, ("id", "seen_at", "born"), order=(Order(order),))))
                [[id_, seen, born]] = slices[None].rows
                assert (id_, type(seen), type(born)) == ("a", Unreadable, Unreadable)
            later = Compare("seen_at", "gt", "2020-01-01T00:00:00.000Z")
            assert await tx.answer(Update(people, ("a",), (("born", None),), where=later)) is None
            changed = await tx.answer(Update(people, ("a",), (("seen_at", "2020-01-01T00:00:00.000Z"),)))
            assert changed is not None
            assert changed.after is not None
            assert type(changed.before[2]) is Unreadable
            assert changed.after[2] == "2020-01-01T00:00:00.000Z"
        assert await run(store, f"MATCH (n:{label}) RETURN toString(n.seen_at)") == [["2020-01-01T00:00:00Z"]]


@live
async def test_a_native_query_is_part_of_a_transaction() -> None:
    """Also one whose text has not been tried as a subquery, which may be refused."""
    native = Native("named", "s", (Column("name", nullable=True),), {"neo4j": "MATCH (n:{Person}) WHERE n.id IN $keys RETURN n.id, n.name"})
    async with empty() as store:
        async with store.transaction() as tx:
            await tx.answer(inserted(people, ("a", "Ada", None, None)))
            assert await tx.answer(Within(NativeCall(native, ["a"], {}))) == {"a": [["Ada"]]}
        for _ in range(2):
            assert await store.answer(NativeCall(native, ["a"], {})) == {"a": [["Ada"]]}
        async with store.transaction() as tx:
            assert await tx.answer(Within(NativeCall(native, ["a"], {}))) == {"a": [["Ada"]]}


# -------------------------------------------------------------------------------------------------------------- at once


@live
async def test_of_two_that_wait_for_each_other_one_is_given_up_and_may_come_again() -> None:
    async with empty() as store:
        await store.answer(inserted(people, ("a", None, None, None), ("b", None, None, None)))
        barrier = asyncio.Barrier(2)

        async def both(first: str, second: str) -> None:
            async with store.transaction() as tx:
                await tx.answer(Update(people, (first,), (("name", first + second),)))
                await barrier.wait()
                await tx.answer(Update(people, (second,), (("name", first + second),)))

        async with asyncio.timeout(TIME_LIMIT_S):
            results = await asyncio.gather(both("a", "b"), both("b", "a"), return_exceptions=True)
        assert [type(result) for result in results if result is not None] == [Contended]
        done = "ba" if isinstance(results[0], Contended) else "ab"
        assert await store.answer(Get(people, ("name",), ["a", "b"])) == {"a": [done], "b": [done]}


@live
async def test_a_relationship_to_a_node_that_is_removed_at_once_is_made_with_a_node_of_its_own() -> None:
    knowers = replace(people, name="knowers", label="Knower", columns=(Column("id"),), indexes=())
    async with empty() as store:
        await store.answer(inserted(knows, ("a", "b", None)))
        comes = asyncio.Event()

        async def follow() -> None:
            comes.set()
            await store.answer(inserted(knows, ("c", "b", None)))

        async with asyncio.timeout(TIME_LIMIT_S), store.transaction() as tx:
            await tx.answer(Remove(knowers, ("b",)))
            task = asyncio.create_task(follow())
            await comes.wait()
            for _ in range(10):
                await tx.answer(Within(Get(people, ("id",), ["a"])))
        await task
        assert await store.answer(Fetch(knows, ("who",), Match("whom", ["b"]))) == {"b": ([["c"]], False, None)}


@live
async def test_of_an_aggregate_that_another_is_about_to_claim_nothing_older_is_given_out() -> None:
    """Deliveries that came between are older than those at which the two would have met."""
    deliveries = tables_of("s").deliveries

    def delivery(outbox: str, key: str) -> tuple[Any, ...]:
        return (outbox, "graph", "users", key, 1, PENDING, 0, "2000-01-01T00:00:00.000Z", None, None, None, None)

    async with empty() as store:
        await store.migrate("tested", [people, knows, deliveries], None)
        await store.answer(Upsert(deliveries, [delivery("2", "a"), delivery("3", "b")]))
        comes = asyncio.Event()

        async def come_second() -> Sequence[Any]:
            comes.set()
            return await store.answer(Claim(deliveries, "graph", "second", 10, 60.0))

        async with asyncio.timeout(TIME_LIMIT_S):
            async with store.transaction() as tx:
                assert [row[0] for row in await tx.answer(Claim(deliveries, "graph", "first", 10, 60.0))] == ["2", "3"]
                await store.answer(Upsert(deliveries, [delivery("0", "c"), delivery("1", "a")]))
                task = asyncio.create_task(come_second())
                await comes.wait()
                for _ in range(10):
                    await tx.answer(Within(Get(people, ("id",), ["a"])))
                assert not task.done()
            assert [row[0] for row in await task] == ["0"]


# -------------------------------------------------------------------------------------------------------------- faults


@live
async def test_nobody_knows_whether_it_was_committed_where_the_connection_breaks_in_the_commit() -> None:
    async with behind_a_proxy() as (store, proxy):

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.answer(Upsert(people, [("a", None, None, None)]))
                proxy.freeze()
                cuts.append(asyncio.create_task(proxy.cut()))

        cuts: list[asyncio.Task[None]] = []
        with pytest.raises(StoreUnavailable) as failure:
            await work()
        await asyncio.gather(*cuts)
        assert failure.value.extensions == {"code": "STORE_UNAVAILABLE", "store": "tested", "committed": "unknown"}
        proxy.thaw()


@live
async def test_a_connection_that_breaks_before_the_commit_leaves_nothing() -> None:
    async with behind_a_proxy() as (store, proxy):

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.answer(Upsert(people, [("a", None, None, None)]))
                await proxy.cut()
                await tx.answer(Upsert(people, [("b", None, None, None)]))

        with pytest.raises(StoreUnavailable) as failure:
            await work()
        assert "committed" not in failure.value.extensions
        await proxy.start()
        assert await store.answer(Get(people, ("id",), ["a", "b"])) == {}


@live
async def test_connections_that_broke_while_idle_are_not_noticed_by_a_transaction() -> None:
    async with behind_a_proxy() as (store, proxy):
        await asyncio.gather(store.ping(), store.ping())
        await proxy.cut()
        await proxy.start()
        async with store.transaction() as tx:
            await tx.answer(Upsert(people, [("a", None, None, None)]))
        assert await store.answer(Get(people, ("id",), ["a"])) == {"a": ["a"]}


@in_tries
@live
async def test_whoever_is_cancelled_does_not_wait_for_a_server_that_does_not_answer() -> None:
    """Nor for the end of its transaction, in which the connection is gone; the pool has room for others then."""
    async with behind_a_proxy(pool_size=1) as (store, proxy):
        holds = asyncio.Event()

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.answer(Upsert(people, [("a", None, None, None)]))
                holds.set()
                await asyncio.Event().wait()

        async with asyncio.timeout(TIME_LIMIT_S):
            task = asyncio.create_task(work())
            await holds.wait()
            proxy.freeze()
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - started < 1.0
            proxy.thaw()
            assert await store.answer(Get(people, ("id",), ["a"])) == {}


@live
async def test_a_transaction_whose_author_gave_up_waiting_is_not_committed() -> None:
    """A deadline cancels one request alone: the author may go on, and nothing is there in the end."""
    async with behind_a_proxy() as (store, proxy):

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.answer(Upsert(people, [("a", None, None, None)]))
                proxy.freeze()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await tx.answer(Upsert(people, [("b", None, None, None)]))
                proxy.thaw()

        with pytest.raises(StoreUnavailable):
            await work()
        assert await store.answer(Get(people, ("id",), ["a", "b"])) == {}
