"""Writes to a MongoDB that stands alone: one document, which carries its rows of the log until they are where they belong.

Its server's answer is a double (``tests/gateway/stores/mongo/lone.py``): that of the tests is a replica set.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import pytest
import strawberry
from pymongo import errors

from gateway.context import RequestContext
from gateway.errors import AbilityMissing, BadUserInput, Conflict, Contended, NotFound, StoreUnavailable
from gateway.graph import Node, column, delete, lookup, mutation, update
from gateway.graph.alone import of_alone
from gateway.graph.looking import look
from gateway.stores import Stores, connect
from gateway.stores.base import Claim, Collection, Column, Get, Upsert
from gateway.stores.migrating import GATEWAY
from gateway.stores.mongo import alone, reads
from gateway.stores.mongo.store import MongoStore
from gateway.writes.auditing import Asked, entries
from gateway.writes.declarations import cascade, replicate
from gateway.writes.following import LogFeed
from gateway.writes.idempotency import Once
from gateway.writes.own import Own
from gateway.writes.relay import Relay
from gateway.writes.replication import Replication
from gateway.writes.running import run
from gateway.writes.sequencer import SEQUENCER, Sequencer
from gateway.writes.tables import tables_of
from gateway.writes.transaction import Transaction
from resolvers.events import events
from resolvers.graph import like_of
from resolvers.graph import likes as example_likes
from resolvers.inputs import RecordEventInput
from resolvers.writes import record_event
from schema import schema as example
from tests.gateway.engine.graphs import graph
from tests.gateway.stores.mongo.lone import lone_servers
from tests.gateway.writes.relays import World, act, acts, authors, carried, to_likes, to_people, wrote
from tests.kinds import needs, url_of
from tests.servers import MONGODB

live = needs(MONGODB)
THEIRS = Collection("theirs", "home", (Column("id"), Column("mood", nullable=True)))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with lone_servers():
        async with carried("mongodb", "sqlite", [to_likes]) as made:
            yield made


@pytest.fixture
def unpacked_by_others(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Have each writer be killed when its document is written."""

    async def killed(*_: Any) -> None: ...

    monkeypatch.setattr(alone, "unpacked", killed)
    return monkeypatch


def relay(world: World) -> Any:
    return world.relay(written={"home": [acts]})


def database(world: World) -> Any:
    store = world.stores["home"]
    assert isinstance(store, MongoStore)
    return store._database()


async def log_of(world: World) -> dict[str, list[dict[str, Any]]]:
    tables = world.tables
    return {table.name: await world.states(table) for table in (tables.versions, tables.outbox, tables.deliveries, tables.audit)}


def without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what differs each time."""
    return [{name: value for name, value in row.items() if name not in ("id", "outbox", "at", "position")} for row in rows]


@live
async def test_an_insert_is_one_document_and_its_log_that_of_a_transaction(world: World) -> None:
    await world.write(lambda tx: tx.insert(acts, act("1")))
    async with carried("mongodb", "sqlite", [to_likes]) as other:
        await other.write(lambda tx: tx.insert(acts, act("1")))
        expected = await log_of(other)
    found = await log_of(world)

    assert {name: without(rows) for name, rows in found.items()} == {name: without(rows) for name, rows in expected.items()}
    assert found["crossgraph_deliveries"][0]["outbox"] == found["crossgraph_outbox"][0]["id"]
    assert await world.states(acts) == [act("1")]
    assert list(await database(world)["acts"].find_one({"_id": "1"})) == ["_id", "author_id", "book_id", "kind", "at"]


@live
async def test_what_is_carried_is_in_the_document_until_a_relay_finds_it(world: World, unpacked_by_others: pytest.MonkeyPatch) -> None:
    await world.write(lambda tx: tx.insert(acts, act("1")))
    assert [rows for rows in (await log_of(world)).values() if rows] == []
    document = await database(world)["acts"].find_one({"_id": "1"})
    assert [each["place"] for each in document[alone.CARRIED]["rows"]] == [
        "crossgraph_outbox",
        "crossgraph_deliveries",
        "crossgraph_audit",
    ]
    assert await world.states(acts) == [act("1")]  # it is there, and what it carries is not seen

    unpacked_by_others.undo()
    with lone_servers():
        await relay(world).drain()
    assert await world.away() == {**await world.expected(), "people": [], "wrote": []}
    assert len((await world.away())["likes"]) == 1
    assert alone.CARRIED not in await database(world)["acts"].find_one({"_id": "1"})
    assert [entry.action for entry in await entries(world.stores, ["home"], Asked(), 10)] == ["insert"]
    assert await relay(world).drain() == 0


@live
@pytest.mark.parametrize("dies_at", range(1, 6))
async def test_who_dies_while_unpacking_leaves_the_rest_to_others(world: World, dies_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    put = alone._put

    async def dying(*arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == dies_at:
            raise asyncio.CancelledError
        await put(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(alone, "_put", dying)
        await world.write(lambda tx: tx.insert(acts, act("1")))
    await relay(world).drain()

    log = await log_of(world)
    assert {name: len(rows) for name, rows in log.items()} == {
        "crossgraph_versions": 1,
        "crossgraph_outbox": 1,
        "crossgraph_deliveries": 0,
        "crossgraph_audit": 1,
    }
    assert len((await world.away())["likes"]) == 1


@live
async def test_many_writers_and_relays_lose_nothing_and_give_each_position_once(world: World) -> None:
    feed = LogFeed(world.stores, poll_s=0.05)
    heard = feed.follow(acts)

    async def some(writer: int) -> None:
        for number in range(5):
            await world.write(lambda tx, key=f"{writer}-{number}": tx.insert(acts, act(key, key)))  # type: ignore[misc]

    relays = [world.relay(written={"home": [acts]}, poll_s=0.02) for _ in range(3)]
    tasks = [asyncio.create_task(each.run()) for each in relays]
    try:
        await asyncio.gather(*(some(writer) for writer in range(6)))
        async with asyncio.timeout(60):
            events = [await anext(heard) for _ in range(30)]
            while await world.deliveries():  # noqa: ASYNC110  what ends it is in a database
                await asyncio.sleep(0.05)
    finally:
        for each in relays:
            each.stop()
        await asyncio.gather(*tasks)
        await feed.close()

    positions = sorted(row["position"] or 0 for row in await world.states(world.tables.outbox))
    assert positions == list(range(1, 31))
    assert len({event.key for event in events}) == 30
    assert len((await world.away())["likes"]) == 30
    assert [row["version"] for row in await world.states(world.tables.versions)] == [1] * 30


@live
async def test_positions_that_were_named_and_not_written_are_written_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abc":
        await world.write(lambda tx, key=key: tx.insert(acts, act(key)))  # type: ignore[misc]
    dead, alive = Sequencer(world.stores, "home", "dead"), Sequencer(world.stores, "home", "alive")
    place = Sequencer._place

    async def killed(self: Sequencer, last: Any) -> None:
        if self is dead:
            raise asyncio.CancelledError
        await place(self, last)

    with monkeypatch.context() as patched:
        patched.setattr(Sequencer, "_place", killed)
        with suppress(asyncio.CancelledError):
            await dead._step_alone(await dead._known())
        patched.setattr(Sequencer, "_place", place)
        known = await alive._known()
        await alive._step_alone(known)  # "dead" never wrote: its names are not there, so the next gives them
    assert await alive.settle() == 3
    assert sorted(str(row["position"]) for row in await world.states(world.tables.outbox)) == ["1", "2", "3"]
    [lease] = [row for row in await world.states(world.tables.leases) if row["id"] == SEQUENCER]
    assert lease["value"] == 3


@live
async def test_two_that_claim_at_once_get_different_deliveries(world: World) -> None:
    for number in range(6):
        await world.write(lambda tx, key=f"{number}": tx.insert(acts, act(key)))  # type: ignore[misc]
    claims = [Claim(world.tables.deliveries, to_likes.name, f"relay {number}", 50, 30.0) for number in range(4)]
    got = await asyncio.gather(*(Own(world.stores).ask(claim) for claim in claims))

    ids = [row[0] for rows in got for row in rows]
    assert len(ids) == len(set(ids)) == 6


@live
async def test_a_recorded_id_is_the_stored_one_and_a_taken_key_a_conflict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.write(lambda tx: tx.insert(acts, act("1")))
    with pytest.raises(Conflict) as taken:
        async with world.context().transaction("home") as tx:
            await tx.insert(acts, act("1", kind="OTHER"))
    assert taken.value.columns == ("id",)

    async def nothing(*_: Any) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(reads, "get", nothing)  # as where another inserts it between the look and the end
    with pytest.raises(Contended):
        async with world.context().transaction("home") as tx:
            await tx.insert(acts, act("1", kind="OTHER"))
    monkeypatch.undo()
    assert await world.states(acts) == [act("1")]
    assert len(await world.states(world.tables.outbox)) == 1


@live
async def test_what_is_rolled_back_has_written_nothing_and_a_refusal_is_audited(world: World) -> None:
    async def refused(tx: Transaction) -> None:
        await tx.insert(acts, act("1"))
        raise NotFound("There is no such thing.")

    with pytest.raises(NotFound):
        await run(world.context(), "home", "recordAct", refused)
    assert await world.states(acts) == []
    assert [entry.action for entry in await entries(world.stores, ["home"], Asked(), 10)] == ["refused"]


async def _two(tx: Transaction) -> None:
    await tx.insert(acts, act("1"))
    await tx.insert(acts, act("2"))


SEVERAL: dict[str, tuple[Any, str]] = {
    "two inserts": (_two, "a write of several rows, one of them of acts, as one"),
    "several rows": (lambda tx: tx.insert_many(acts, [act("1"), act("2")]), "a write of several rows, one of them of acts, as one"),
    "an update of what is managed": (
        lambda tx: tx.update(acts, "0", {"kind": "x"}),
        "update of acts together with its rows of the log",
    ),
    "a deletion of what is managed": (lambda tx: tx.delete(acts, "0"), "a deletion from acts together with its rows of the log"),
    "a replaced row": (lambda tx: tx.ask(Upsert(acts, [tuple(act("0").values())])), "upsert of acts in a transaction"),
}


@live
@pytest.mark.parametrize("name", SEVERAL)
async def test_several_documents_are_refused_with_a_sentence_and_nothing_is_written(world: World, name: str) -> None:
    await world.write(lambda tx: tx.insert(acts, act("0")))
    work, asked = SEVERAL[name]
    before = await log_of(world)
    with pytest.raises(AbilityMissing) as refused:
        async with world.context().transaction("home") as tx:
            await work(tx)
    server = "home of kind mongodb on a server that stands alone (no replica set), which cannot"
    assert refused.value.message == f"{asked}: expected a store that can transact, got {server}"
    assert (await world.states(acts), await log_of(world)) == ([act("0")], before)


def keyed(world: World) -> RequestContext:
    ctx = world.context()
    ctx.idempotency_key = "k"
    return ctx


async def record(world: World, key: str, kind: str = "LIKE") -> Any:
    return await run(keyed(world), "home", "recordAct", lambda tx: tx.insert(acts, act(key, kind=kind)), arguments={"kind": kind})


@live
async def test_with_a_key_it_happens_once_and_the_outcome_is_kept(world: World) -> None:
    ran = [await record(world, key) for key in ("1", "2")]  # as ids that are made: each request has its own
    assert [one.is_repeated for one in ran] == [False, True]
    assert ran[1].outcomes == ran[0].outcomes
    with pytest.raises(BadUserInput, match="was used with other arguments"):
        await record(world, "3", "OTHER")
    assert await world.states(acts) == [act("1")]
    documents = [row async for row in database(world)["crossgraph_idempotency"].find()]
    assert [sorted(row) for row in documents] == [["_id", "at", "hash", "outcome"]]
    assert len(await world.states(world.tables.outbox)) == 1


@live
@pytest.mark.parametrize("dies_at", range(8))
async def test_with_a_key_a_kill_at_any_step_leaves_one_write(world: World, dies_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0

    def dying(collection: Any) -> Any:
        class Dying:
            def __getattr__(self, name: str) -> Any:
                method = getattr(collection, name)
                if name not in ("insert_one", "update_one"):
                    return method

                async def step(*arguments: Any, **options: Any) -> Any:
                    nonlocal steps
                    steps += 1
                    if steps > dies_at:
                        raise errors.AutoReconnect("killed")
                    return await method(*arguments, **options)

                return step

        return Dying()

    class Database:
        def __getitem__(self, place: str) -> Any:
            return dying(database(world)[place])

    store: Any = world.stores["home"]
    with monkeypatch.context() as patched:
        patched.setattr(store._calls, "database", Database)
        with suppress(StoreUnavailable):
            await record(world, "1")
    assert steps > dies_at
    if dies_at % 2:
        await relay(world).drain()
    ran = await record(world, "2")
    await relay(world).drain()

    [kept] = await world.states(acts)
    assert (kept["id"], ran.is_repeated) == (("2", False) if dies_at == 0 else ("1", True))
    log = await log_of(world)
    assert {name: [row["key"] for row in rows] for name, rows in log.items()} == {
        "crossgraph_versions": [kept["id"]],
        "crossgraph_outbox": [kept["id"]],
        "crossgraph_deliveries": [],
        "crossgraph_audit": [kept["id"]],
    }
    assert len((await world.away())["likes"]) == 1
    assert len(await world.states(world.tables.idempotency)) == 1


@live
async def test_of_many_of_one_key_at_once_one_writes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Once, "alone", lambda _: nullcontext())  # as in processes of their own
    ran = await asyncio.gather(*(record(world, f"{number}") for number in range(8)))
    assert sorted(one.is_repeated for one in ran) == [False] + [True] * 7
    assert (len(await world.states(acts)), len(await world.states(world.tables.outbox))) == (1, 1)


@live
async def test_a_key_whose_document_cannot_be_is_free_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another was quicker with the event's own id: the request is done again, and finds it."""
    await world.write(lambda tx: tx.insert(acts, act("1")))
    get = reads.get
    seen = 0

    async def late(calls: Any, request: Get) -> Any:
        nonlocal seen
        seen += request.collection is acts
        return {} if request.collection is acts and seen == 1 else await get(calls, request)

    monkeypatch.setattr(reads, "get", late)
    with pytest.raises(Conflict, match="Another row of acts has the same id"):
        await record(world, "1")
    with pytest.raises(Conflict, match="Another row of acts has the same id"):  # of the key, as it was refused before
        await record(world, "9")
    assert await world.states(acts) == [act("1")]
    assert sorted(entry.action for entry in await entries(world.stores, ["home"], Asked(), 10)) == ["insert", "refused"]


@live
async def test_one_document_of_somebody_else_is_changed_where_nobody_else_has_changed_it(world: World) -> None:
    theirs = database(world)["theirs"]
    await world.write(lambda tx: tx.insert(THEIRS, {"id": "a", "mood": "glad"}))
    assert await world.write(lambda tx: tx.update(THEIRS, "a", {"mood": "sad"})) == {"id": "a", "mood": "sad"}

    async def changed_by_another() -> None:
        async with world.context().transaction("home") as tx:
            await tx.update(THEIRS, "a", {"mood": "angry"})
            await theirs.update_one({"mood": "sad"}, {"$set": {"mood": "calm"}})

    async def rolled_back() -> None:
        async with world.context().transaction("home") as tx:
            await tx.delete(THEIRS, "a")
            raise ZeroDivisionError

    with pytest.raises(Contended):
        await changed_by_another()
    with pytest.raises(ZeroDivisionError):
        await rolled_back()
    assert await world.states(THEIRS) == [{"id": "a", "mood": "calm"}]
    assert await world.write(lambda tx: tx.delete(THEIRS, "a")) == {"id": "a", "mood": "calm"}
    assert await world.states(THEIRS) == []


@live
async def test_what_a_document_carries_is_not_lost_when_it_is_loaded_again(world: World, unpacked_by_others: pytest.MonkeyPatch) -> None:
    await world.write(lambda tx: tx.insert(acts, act("1")))
    unpacked_by_others.undo()
    await world.stores.ask(Upsert(acts, [tuple(act("1", kind="SEEN").values())]))
    assert [row["key"] for row in await world.deliveries()] == ["1"]
    assert await world.states(acts) == [act("1", kind="SEEN")]


@live
async def test_a_server_that_became_a_replica_set_is_looked_through_once_more(world: World, unpacked_by_others: pytest.MonkeyPatch) -> None:
    await relay(world).drain()  # which makes the index
    await world.write(lambda tx: tx.insert(acts, act("1")))
    unpacked_by_others.undo()
    store: Any = world.stores["home"]
    store._transactions._are_there = True
    assert await store.unpack([acts, authors]) == 1
    known = store._transactions._unpacker._known
    assert (known["acts"], known["authors"]) == (True, False)


@live
async def test_the_examples_record_event_works_there() -> None:
    like = replicate(events, to=example_likes, by="", rows=like_of)
    given = {"id": "e", "type": "LIKE", "user_id": "1", "post_id": "p", "occurred_at": "2026-01-01T00:00:00.000Z", "payload": {"a": [1]}}
    with lone_servers():
        async with url_of("mongodb") as url:
            stores = Stores({"events": connect("events", url), "recommendations": connect("recommendations", "memory://")})
            await stores.open()
            try:
                for name, collections in (("events", [events]), ("recommendations", [example_likes])):
                    await stores.migrate(name, [*collections, *tables_of(name).all], None)
                ctx = RequestContext(stores, "test", replication=Replication((like,), None, ("events", "recommendations")))
                for _ in range(2):  # a repeated id with the same content is the stored event
                    ran = await run(ctx, "events", "recordEvent", lambda tx: record_event(ctx, tx, RecordEventInput(**given)))
                    assert ran.value == given
                other = RecordEventInput(**{**given, "payload": {}})
                with pytest.raises(Conflict, match="is recorded already, with another payload"):
                    await run(ctx, "events", "recordEvent", lambda tx: record_event(ctx, tx, other))
                homes = {"events": [like.name], "recommendations": []}
                assert await Relay(stores, [like], homes, lambda: ctx, written={"events": [events]}).drain() == 1
                assert list(await stores.ask(Get(example_likes, ("user_id",), ["1,p"], example_likes.key_name))) == ["1,p"]
            finally:
                await stores.close()


# ------------------------------------------------------------------------------------------------------------- at the start


@strawberry.type
class Act(Node):
    kind: str = column()


@strawberry.type
class Query:
    act: Act | None = lookup(acts, by={"id": "id"})


async def _record(ctx: Any, tx: Transaction, kind: str) -> Any:
    return await tx.insert(acts, act("1", kind=kind))


async def _record_all(ctx: Any, tx: Transaction, kinds: list[str]) -> Any:
    return [await tx.insert(acts, act(kind)) for kind in kinds]


@strawberry.type(name="Mutation")
class One:
    record: Act | None = mutation(_record, acts)


@strawberry.type(name="Mutation")
class Several:
    record: Act | None = mutation(_record, acts)
    record_all: list[Act] | None = mutation(_record_all, acts)
    change: Act | None = update(acts)
    remove: strawberry.ID | None = delete(acts)
    both: Act | None = mutation(_record, acts, writes=(acts, authors))


FOUND = "got home of kind mongodb, whose server stands alone and writes one"
ABLE = "expected a server with transactions of several documents (of MongoDB a replica set, which may be of one node)"


def of(mutations: type, *targets: Any) -> Any:
    return replace(graph(Query, acts, authors, wrote, mutation=mutations), replication=targets)


def test_a_graph_that_records_one_at_a_time_is_as_it_should_be() -> None:
    assert list(of_alone(of(One, to_likes), "home", "mongodb")) == []


def test_each_write_of_several_documents_is_told_with_its_field() -> None:
    back = replicate(wrote, to=authors, by="id", rows=lambda row: [])
    away = cascade(authors, to=acts, by="author_id")
    assert [str(problem) for problem in of_alone(of(Several, to_people, back, away), "home", "mongodb")] == [
        f"Mutation.recordAll: {ABLE}, as it returns a list, {FOUND}",
        f"Mutation.change: {ABLE}, as it updates rows of acts, which is managed: its log stands beside the document, {FOUND}",
        f"Mutation.remove: {ABLE}, as it deletes rows of acts, which is managed: its log stands beside the document, {FOUND}",
        f"Mutation.both: {ABLE}, as it writes acts and authors, {FOUND}",
        f"replication 'wrote>authors': {ABLE} as its target, as it writes rows together with their versions, {FOUND}",
        f"replication 'authors>acts.author_id': {ABLE} as its target, as it deletes rows together with their versions, {FOUND}",
    ]


@live
async def test_the_example_is_refused_at_the_start_where_events_are_in_a_lone_server() -> None:
    with lone_servers():
        async with url_of("mongodb") as url:
            stores = Stores({"events": connect("events", url)})
            await stores.open()
            try:
                collections = [its for its in example.collections if its.store == "events"]
                await stores.migrate("events", collections, None)
                await stores.migrate("events", tables_of("events").all, None, owner=GATEWAY)
                problems = (await look(stores, example, ["events"])).problems
            finally:
                await stores.close()
    assert [problem.where for problem in problems] == ["Mutation.recordEvents", "replication 'users>events.user_id'"]
    assert problems[0].expected.endswith(", as it returns a list")


@live
async def test_a_replica_set_is_not_complained_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with carried("mongodb", "memory", [to_likes]) as world:
            assert await world.stores.can_transact("home")
            assert (await look(world.stores, of(Several), ["home"])).problems == []
