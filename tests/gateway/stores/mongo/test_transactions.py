"""What is particular to transactions of MongoDB: what they send, how they end, a server that has none, documents of others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
from pymongo import errors
from pymongo.asynchronous.client_session import AsyncClientSession

from gateway.errors import AbilityMissing, BadUserInput, Contended, StoreUnavailable
from gateway.stores.base import (
    Advance,
    Bump,
    Changed,
    Claim,
    Collection,
    Column,
    Delete,
    Fetch,
    Get,
    Insert,
    Lock,
    Match,
    Order,
    Page,
    Remove,
    Request,
    Together,
    Type,
    Update,
    Upsert,
    Within,
)
from gateway.stores.mongo.store import MongoStore
from gateway.writes.tables import tables_of
from tests.gateway.stores.mongo.test_store import Commands, commands, database, note, notes, store, url_of
from tests.gateway.stores.proxies import Proxy
from tests.kinds import needs
from tests.servers import MONGODB

__all__ = ["commands", "database", "store"]  # fixtures

live = needs(MONGODB)

TABLES = tables_of("tested")
AT_ONCE_S = 2.0  # what a caller who waits for no server takes, on a machine that has much to do

places = Collection(
    name="places",
    store="tested",
    columns=(
        Column("id", Type.OBJECT_ID),
        Column("name"),
        Column("city", nullable=True, at="address.city"),
        Column("rank", Type.INT, nullable=True),
    ),
)


def insert(*rows: tuple[Any, ...]) -> Insert:
    return Insert(notes, notes.names, rows)


@asynccontextmanager
async def behind_a_proxy(database: Any, scheme: str = "mongodb") -> AsyncIterator[tuple[MongoStore, Proxy]]:
    """A store whose way to the server can be frozen and cut, with ``notes`` in it."""
    host, _, port = os.environ[MONGODB.variable].partition("://")[2].partition("/")[0].rpartition(":")
    proxy = Proxy(host, int(port))
    await proxy.start()
    store = MongoStore("tested", url_of(database, scheme, f"127.0.0.1:{proxy.port}", "?directConnection=true"))
    await store.open()
    try:
        await store.migrate("tested", [notes], None)
        yield store, proxy
    finally:
        proxy.thaw()
        await store.close()
        await proxy.cut()


# ------------------------------------------------------------------------------------------------------------- commands


@live
@pytest.mark.parametrize(
    ("request_", "sent"),
    [
        (insert(note("b")), ["insert"]),
        (insert(note("b"), note("c")), ["insert", "commitTransaction"]),
        (Together((insert(note("b")), insert(note("c")))), ["insert", "insert", "commitTransaction"]),
        (Update(notes, ("a",), (("title", "new"),)), ["findAndModify"]),
        (Update(notes, ("a",), (("title", "new"),), expected=(("mood", None),)), ["find", "findAndModify"]),
        (Update(notes, ("a",), (("title", "new"),), expected=(("mood", "sad"),)), ["find"]),
        (Remove(notes, ("a",)), ["findAndModify"]),
        (Lock(notes, ["a"]), ["aggregate"]),
        (Within(Get(notes, ("id",), ["a"])), ["aggregate"]),
        (Delete(notes, [("a",)]), ["delete"]),
        (Delete(notes, [("a",), ("b",)]), ["delete", "commitTransaction"]),
        (Bump(TABLES.versions, "notes", ["a"]), ["findAndModify"]),
        (Bump(TABLES.versions, "notes", ["a", "b"]), ["aggregate", "insert", "commitTransaction"]),
        (Advance(TABLES.applied, "graph", "notes", [("a", 0, 1)]), ["findAndModify"]),
        (Advance(TABLES.applied, "graph", "notes", [("a", 0, 1), ("b", 0, 1)]), ["aggregate", "insert", "commitTransaction"]),
        (Claim(TABLES.deliveries, "graph", "me", 10, 1.0), ["aggregate", "commitTransaction"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Request) else "",
)
async def test_what_is_sent_for_a_request(store: MongoStore, commands: Commands, request_: Request[Any], sent: list[str]) -> None:
    """One document needs no transaction, and several are one."""
    await store.migrate("tested", TABLES.all, None)
    await store.answer(Upsert(notes, [note("a")]))
    assert await store.can_transact()
    commands.names.clear()

    await store.answer(request_)

    assert commands.names == sent


@live
async def test_the_server_hears_of_a_transaction_with_its_first_command(store: MongoStore, commands: Commands) -> None:
    assert await store.can_transact()
    commands.names.clear()

    async with store.transaction():
        pass
    assert commands.names == []
    async with store.transaction() as tx:
        await tx.answer(insert(note("a")))
        await tx.answer(Lock(notes, ["a"]))

    assert commands.names == ["insert", "update", "aggregate", "commitTransaction"]


@live
async def test_a_page_in_parts_is_asked_part_by_part_in_a_transaction(store: MongoStore, commands: Commands, database: Any) -> None:
    """MongoDB has no $unionWith there. In documents of others numbers and what has the place of a null are parts of an order."""
    documents: list[dict[str, Any]] = [{"name": f"n{rank}", "rank": rank, "address": {"city": "Graz"}} for rank in (3, 1, 2.0, None, "x")]
    await database.places.insert_many(documents)
    alone = Fetch(places, ("name",), order=(Order("rank"),), page=Page(9))
    of_cities = replace(alone, match=Match("city", ["Graz", "Linz"]), page=Page(9), count=True)
    outside = [await store.answer(alone), await store.answer(of_cities)]
    commands.names.clear()

    async with store.transaction() as tx:
        inside = [await tx.answer(Within(alone)), await tx.answer(Within(of_cities))]

    assert inside == outside
    assert [row[0] for row in inside[0][None].rows[:3]] == ["n1", "n2.0", "n3"]
    assert commands.names.count("aggregate") > 2


# -------------------------------------------------------------------------------------------------------- how they end


@live
@pytest.mark.parametrize("times", [1, 2])
async def test_a_commit_of_which_nobody_knows_is_tried_again_and_told(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """It did happen, and its answer was lost."""
    lost = [times]
    commit = AsyncClientSession.commit_transaction

    async def losing(session: AsyncClientSession) -> None:
        await commit(session)
        if lost[0]:
            lost[0] -= 1
            raise errors.AutoReconnect("lost", ["UnknownTransactionCommitResult"])

    monkeypatch.setattr(AsyncClientSession, "commit_transaction", losing)
    monkeypatch.setattr(errors.AutoReconnect, "has_error_label", lambda self, label: label == "UnknownTransactionCommitResult")

    async def write() -> None:
        async with store.transaction() as tx:
            await tx.answer(insert(note("a")))

    if times == 1:
        await write()
    else:
        with pytest.raises(StoreUnavailable) as told:
            await write()
        assert told.value.extensions == {"code": "STORE_UNAVAILABLE", "store": "tested", "committed": "unknown"}
    assert list(await store.answer(Get(notes, ("id",), ["a"]))) == ["a"]


@live
async def test_a_commit_to_a_server_that_is_gone_may_have_happened(database: Any) -> None:
    async with behind_a_proxy(database) as (store, proxy):

        async def write() -> None:
            async with store.transaction() as tx:
                await tx.answer(insert(note("a")))
                await proxy.cut()

        with pytest.raises(StoreUnavailable) as told:
            await write()
        await proxy.start()
    assert told.value.extensions["committed"] == "unknown"


@live
async def test_who_comes_second_to_a_document_is_contended_whatever_is_asked_last(store: MongoStore) -> None:
    await store.answer(Upsert(notes, [note("a")]))

    async def second() -> None:
        async with store.transaction() as tx:
            with pytest.raises(Contended):
                await tx.answer(Update(notes, ("a",), (("title", "second"),)))
            with pytest.raises(Contended):
                await tx.answer(Within(Get(notes, ("id",), ["a"])))
            raise LookupError("what comes of it")

    async with store.transaction() as tx:
        await tx.answer(Lock(notes, ["a"]))
        with pytest.raises(Contended) as told:
            await second()
        assert isinstance(told.value.__cause__, errors.OperationFailure)
    assert await store.answer(Get(notes, ("title",), ["a"])) == {"a": ("a",)}


@live
@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+motor"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.answer(Upsert(notes, [note("a"), note("b")])),
        lambda store: store.answer(insert(note("a"), note("b"))),
        lambda store: store.answer(Bump(TABLES.versions, "notes", ["a", "b"])),
    ],
    ids=["upsert", "insert", "bump"],
)
async def test_a_caller_whose_time_is_up_does_not_wait_for_the_transaction_to_be_undone(
    database: Any, scheme: str, ask: Callable[[MongoStore], Any]
) -> None:
    async with behind_a_proxy(database, scheme) as (store, proxy):
        assert await store.can_transact()
        proxy.freeze()
        begin = monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(store)
        assert monotonic() - begin < AT_ONCE_S


@live
async def test_a_cancelled_transaction_does_not_wait_for_a_server_that_does_not_answer(database: Any) -> None:
    async with behind_a_proxy(database) as (store, proxy):
        has_written = asyncio.Event()

        async def write() -> None:
            async with store.transaction() as tx:
                await tx.answer(insert(note("a")))
                proxy.freeze()
                has_written.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(write())
        await has_written.wait()
        begin = monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert monotonic() - begin < AT_ONCE_S


# --------------------------------------------------------------------------------------------- a server that stands alone


@pytest.fixture
async def lone(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> MongoStore:
    """The store, as if its server were in no replica set."""
    await store.migrate("tested", TABLES.all, None)
    monkeypatch.setattr(store._transactions, "_are_there", False)
    return store


@live
@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        (insert(note("a"), note("b")), "insert of notes"),
        (Together((insert(note("a")), insert(note("b")))), "insert of notes"),
        (Bump(TABLES.versions, "notes", ["a", "b"]), "bump of crossgraph_versions"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Request) else "",
)
async def test_a_lone_server_refuses_what_is_of_several_documents(lone: MongoStore, request_: Request[Any], asked: str) -> None:
    with pytest.raises(AbilityMissing) as refused:
        await lone.answer(request_)
    told = "expected a store that can transact, got tested of kind mongodb on a server that stands alone (no replica set), which cannot"
    assert refused.value.message == f"{asked}: {told}"
    assert await lone.answer(Get(notes, ("id",), ["a"])) == {}


async def _two(lone: MongoStore) -> None:
    async with lone.transaction() as transaction:
        await transaction.answer(insert(note("b")))
        await transaction.answer(insert(note("c")))


@live
async def test_a_transaction_of_a_lone_server_is_of_one_document(lone: MongoStore) -> None:
    assert not await lone.can_transact()
    async with lone.transaction() as transaction:
        assert await transaction.answer(insert(note("a"))) == [note("a")]
    with pytest.raises(AbilityMissing, match=r"^insert of notes together with another write, as one: expected a store that can transact"):
        await _two(lone)
    assert await lone.answer(Get(notes, ("id",), ["a", "b", "c"])) == {"a": ("a",)}


@live
async def test_a_lone_server_takes_what_is_of_one_document(lone: MongoStore) -> None:
    assert await lone.answer(insert(note("a", mood="glad"))) == [note("a", mood="glad")]
    await lone.answer(Together((insert(note("b")),)))
    changed = await lone.answer(Update(notes, ("a",), (("mood", "sad"),), expected=(("mood", "glad"),)))
    assert changed == Changed(note("a", mood="glad"), note("a", mood="sad"))
    assert await lone.answer(Remove(notes, ("b",))) == Changed(note("b"), None)
    assert await lone.answer(Lock(notes, ["a"])) == {"a": note("a", mood="sad")}
    assert [await lone.answer(Bump(TABLES.versions, "notes", ["a"])) for _ in range(2)] == [{"a": 1}, {"a": 2}]
    items = [[("a", 0, 2)], [("a", 0, 1)], [("a", 0, 3)]]
    passed = [await lone.answer(Advance(TABLES.applied, "graph", "notes", item)) for item in items]
    assert passed == [frozenset({"a"}), frozenset(), frozenset({"a"})]


# ---------------------------------------------------------------------------------------------------- documents of others


@live
async def test_a_lock_holds_off_others_and_leaves_the_document_as_it_was(store: MongoStore, database: Any) -> None:
    """Also what is written outside of any transaction, by anybody."""
    document = {"_id": "a", "zip": 1, "author_id": "ann", "title": "t", "made_at": None, "address": {"x": [1]}}
    await database.notes.insert_one(document)
    async with store.transaction() as tx:
        assert list(await tx.answer(Lock(notes, ["a", "missing"]))) == ["a"]
        writing = asyncio.create_task(database.notes.update_one({"_id": "a"}, {"$set": {"title": "theirs"}}))
        for _ in range(5):
            rows = await tx.answer(Within(Get(notes, ("title",), ["a"])))
        assert (rows, writing.done()) == ({"a": ("t",)}, False)
    await writing
    found = await database.notes.find_one({"_id": "a"})
    assert list(found.items()) == list({**document, "title": "theirs"}.items())


@live
async def test_a_change_sets_the_declared_columns_and_leaves_all_else(store: MongoStore, database: Any) -> None:
    (made,) = await store.answer(Insert(places, ("name", "city"), [("Café", "Graz")]))
    key = made[0]
    document = await database.places.find_one()
    assert (str(document.pop("_id")), document) == (key, {"name": "Café", "address": {"city": "Graz"}})
    await database.places.update_one({}, {"$set": {"address.zip": "8010", "owner": {"id": 1}}})

    changed = await store.answer(Update(places, (key,), (("city", "Linz"), ("rank", 2**40))))

    assert changed == Changed((key, "Café", "Graz", None), (key, "Café", "Linz", 2**40))
    document = await database.places.find_one({}, {"_id": 0})
    assert document == {"name": "Café", "address": {"city": "Linz", "zip": "8010"}, "owner": {"id": 1}, "rank": 2**40}


@live
async def test_what_a_document_of_others_cannot_take_is_told(store: MongoStore, database: Any) -> None:
    (made,) = await store.answer(Insert(places, ("name",), [("a",)]))
    await database.places.update_one({}, {"$set": {"address": "one line"}})
    with pytest.raises(BadUserInput, match=r"^places: there is no place for a value in the document of this key$"):
        await store.answer(Update(places, (made[0],), (("city", "Graz"),)))
    with pytest.raises(BadUserInput, match=r"^places: the key of a document cannot be changed$"):
        await store.answer(Update(places, (made[0],), (("id", "507f1f77bcf86cd799439011"),)))
    with pytest.raises(BadUserInput, match=r"^name: expected a value of type text in a row of places, got none$"):
        await store.answer(Insert(places, ("city",), [("Graz",)]))
    with pytest.raises(BadUserInput, match=r"^name: expected a value of type text in a row of places, got none$"):
        await store.answer(Update(places, (made[0],), (("name", None),)))
