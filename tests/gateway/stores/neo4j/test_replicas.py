"""Reads of a Neo4j cluster from its readers: what the driver sends, as its log tells it.

There is one server here, which routes to itself.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gateway.context import RequestContext
from gateway.errors import StoreMisbehaved
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Delete, Get, Native, NativeCall, Type, Upsert
from gateway.stores.neo4j.replicas import BOOKMARKS_MOST, Neo4jRoute, Reader
from gateway.stores.neo4j.store import Neo4jStore
from gateway.stores.routing import AUTO, UNKNOWN, Freshness, Replicas
from tests.kinds import needs, url_of
from tests.servers import NEO4J

NOTES = Collection("notes", "graph", (Column("id"), Column("text")), managed=True)
READ = Get(NOTES, ("text",), ["1"], "id")
COUNT = Native("count", "graph", (Column("n", Type.INT),), {"neo4j": "UNWIND $keys AS k MATCH (n:{notes}) RETURN k, count(n)"})


class World:
    def __init__(self, stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
        self.stores = stores
        self._caplog = caplog

    @property
    def route(self) -> Neo4jRoute:
        return cast("Neo4jRoute", self.stores.routes["graph"])

    async def sent(self, request: Any, freshness: Freshness | None) -> list[dict[str, Any]]:
        """Return with what each statement of a request was sent, beside its parameters."""
        self._caplog.clear()
        await RequestContext(self.stores, freshness=freshness).ask(request)
        runs = [record.getMessage() for record in self._caplog.records if re.search(r"C: (RUN|BEGIN) ", record.getMessage())]
        return [cast("dict[str, Any]", ast.literal_eval(run[run.rindex("{") :])) for run in runs]

    async def written(self) -> Freshness:
        assert self.stores.tokens is not None
        freshness = Freshness()
        await RequestContext(self.stores, freshness=freshness).ask(Upsert(NOTES, [("1", "a")]))
        await self.stores.tokens.tell(freshness)
        return freshness

    def query(self, token: str | None = None) -> Freshness:
        assert self.stores.tokens is not None
        freshness = self.stores.tokens.freshness(token)
        freshness.may_lag = True
        return freshness


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with url_of("neo4j") as url:
        yield url.replace("bolt:", "neo4j:", 1)


@pytest.fixture
async def world(url: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[World]:
    stores = Stores.connect({"graph": url}, replicas={"graph": Replicas((AUTO,))})
    await stores.open()
    await stores.migrate("graph", [NOTES], None)
    await RequestContext(stores).ask(READ)  # the routes are known from here on
    caplog.set_level(logging.DEBUG, "neo4j.io")
    yield World(stores, caplog)
    await stores.close()


@needs(NEO4J)
async def test_a_query_goes_to_who_answers_reads(world: World) -> None:
    for request in (READ, NativeCall(COUNT, ["k"], {})):
        assert {sent.get("mode") for sent in await world.sent(request, world.query())} == {"r"}
    assert world.route.reads == 2


@needs(NEO4J)
async def test_all_else_goes_to_the_leader(world: World) -> None:
    assert [sent.get("mode") for sent in await world.sent(READ, Freshness())] == [None]  # which stands for writes
    assert [sent.get("mode") for sent in await world.sent(READ, None)] == [None]
    assert [sent.get("mode") for sent in await world.sent(Delete(NOTES, [("1",)]), world.query())] == [None]
    assert world.route.reads == 0


@needs(NEO4J)
async def test_a_read_behind_ones_own_write_has_its_bookmark_in_another_process_too(world: World, url: str) -> None:
    token = (await world.written()).token
    seen = world.query(token)
    bookmarks = await cast("Neo4jStore", world.stores["graph"]).bookmarks()
    assert bookmarks
    [sent] = await world.sent(READ, seen)
    assert (sent["mode"], bookmarks <= set(sent["bookmarks"])) == ("r", True)

    other = Stores.connect({"graph": url}, replicas={"graph": Replicas((AUTO,))})
    await other.open()
    try:
        its = World(other, world._caplog)
        [sent] = await its.sent(READ, seen)
        assert (sent["mode"], bookmarks <= set(sent["bookmarks"])) == ("r", True)
    finally:
        await other.close()


@needs(NEO4J)
async def test_without_replicas_reads_are_routed_as_the_driver_does_and_nobody_is_told_a_token(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    stores = Stores.connect({"graph": url})
    await stores.open()
    try:
        await stores.migrate("graph", [NOTES], None)
        caplog.set_level(logging.DEBUG, "neo4j.io")
        assert [sent["mode"] for sent in await World(stores, caplog).sent(READ, None)] == ["r"]
        assert stores.tokens is None
    finally:
        await stores.close()


# --------------------------------------------------------------------------------------------------------- without a server


def route() -> Neo4jRoute:
    stores = Stores.connect({"graph": "neo4j://db"}, replicas={"graph": Replicas((AUTO,))})
    return cast("Neo4jRoute", stores.routes["graph"])


def test_positions_are_bookmarks_and_the_later_of_two_is_both() -> None:
    its = route()
    assert its.later('["FB:a","FB:b"]', '["FB:b","FB:c"]') == '["FB:a","FB:b","FB:c"]'
    assert its.knows('["FB:a"]')
    for other in ("", "7", '"FB:a"', "[7]", "{}"):
        assert not its.knows(other)


def test_where_there_are_too_many_bookmarks_the_leader_is_read() -> None:
    many = [f'["FB:{number}"]' for number in range(BOOKMARKS_MOST + 1)]
    position = many[0]
    for other in many[1:]:
        position = route().later(position, other)
    assert position == UNKNOWN


async def test_what_answers_reads_writes_nothing() -> None:
    store = Neo4jStore("graph", "neo4j://db")
    with pytest.raises(StoreMisbehaved, match="expected reads alone"):
        await Reader(store, ()).answer(Upsert(NOTES, [("1", "a")]))
