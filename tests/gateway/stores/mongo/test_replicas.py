"""Reads of a MongoDB from its secondaries: what goes over the wire, as there is one node here, and what is known of several by hand."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import bson
import pytest
from bson.timestamp import Timestamp
from pymongo import monitoring
from pymongo.server_description import ServerDescription

from gateway.context import RequestContext
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Fetch, Get, Order, Page, Upsert
from gateway.stores.mongo.replicas import MongoRoute
from gateway.stores.mongo.store import After, MongoStore
from gateway.stores.routing import AUTO, Freshness, Replicas
from tests.kinds import needs, url_of
from tests.servers import MONGODB

NOTES = Collection("notes", "events", (Column("id"), Column("text")), managed=True)
READ = Get(NOTES, ("text",), ["1"], "id")
NEWEST = Fetch(NOTES, ("id",), order=(Order("id"),), page=Page(5), count=True)


class Commands(monitoring.CommandListener):
    """The commands that reach a server, as they were sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.sent.append(dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


class World:
    def __init__(self, stores: Stores, commands: Commands) -> None:
        self.stores = stores
        self.commands = commands

    @property
    def route(self) -> MongoRoute:
        return cast("MongoRoute", self.stores.routes["events"])

    async def sent(self, request: Any, freshness: Freshness | None) -> list[dict[str, Any]]:
        self.commands.sent.clear()
        await RequestContext(self.stores, freshness=freshness).ask(request)
        return list(self.commands.sent)

    async def written(self, text: str) -> Freshness:
        """Write, and return what the client brings with its next query."""
        assert self.stores.tokens is not None
        freshness = Freshness()
        await RequestContext(self.stores, freshness=freshness).ask(Upsert(NOTES, [("1", text)]))
        await self.stores.tokens.tell(freshness)
        seen = self.stores.tokens.freshness(freshness.token)
        seen.may_lag = True
        return seen


def query() -> Freshness:
    return Freshness(may_lag=True)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with url_of("mongodb") as url:
        stores = Stores.connect({"events": url}, replicas={"events": Replicas((AUTO,))})
        commands = Commands()
        store = cast("MongoStore", stores["events"])
        store._options["event_listeners"] = [commands, store._refusals]
        await stores.open()
        await stores.migrate("events", [NOTES], None)
        yield World(stores, commands)
        await stores.close()


@needs(MONGODB)
async def test_a_query_prefers_secondaries_that_are_not_too_far_behind(world: World) -> None:
    for request in (READ, NEWEST):
        sent = await world.sent(request, query())
        assert [command["$readPreference"] for command in sent] == [{"mode": "secondaryPreferred", "maxStalenessSeconds": 90}] * len(sent)
        assert not any("readConcern" in command for command in sent)
    assert world.route.reads == 2


@needs(MONGODB)
async def test_all_else_asks_the_primary(world: World) -> None:
    for freshness in (Freshness(), None):
        for command in await world.sent(READ, freshness):
            assert "$readPreference" not in command
    sent = await world.sent(Upsert(NOTES, [("1", "a")]), query())
    assert not any("$readPreference" in command for command in sent)
    assert world.route.reads == 0


@needs(MONGODB)
async def test_a_read_behind_ones_own_write_asks_for_what_was_written_by_then(world: World) -> None:
    seen = await world.written("a")
    [read] = await world.sent(READ, seen)
    assert read["$readPreference"] == {"mode": "secondaryPreferred", "maxStalenessSeconds": 90}
    after = read["readConcern"]["afterClusterTime"]
    assert isinstance(after, Timestamp)
    assert read["$clusterTime"]["clusterTime"] >= after
    later = await world.written("b")
    [again] = await world.sent(READ, later)
    assert again["readConcern"]["afterClusterTime"] > after
    assert (await RequestContext(world.stores, freshness=later).ask(READ))["1"] == ("b",)


@needs(MONGODB)
async def test_so_does_each_command_of_a_read_that_takes_several(world: World) -> None:
    seen = await world.written("a")
    sent = await world.sent(NEWEST, seen)
    assert len(sent) >= 1
    assert all("afterClusterTime" in command["readConcern"] for command in sent)
    assert len({str(command["lsid"]) for command in sent}) == 1


@needs(MONGODB)
async def test_another_process_reads_what_this_one_has_written(world: World) -> None:
    key = "a key of all processes"
    url = os.environ[MONGODB.variable].partition("://")[2].partition("/")[0]
    database = cast("MongoStore", world.stores["events"])._database_name
    both = [
        Stores.connect({"events": f"mongodb://{url}/{database}"}, replicas={"events": Replicas((AUTO,))}, written_key=key) for _ in range(2)
    ]
    for stores in both:
        await stores.open()
    try:
        one, other = (World(stores, Commands()) for stores in both)
        freshness = Freshness()
        await RequestContext(one.stores, freshness=freshness).ask(Upsert(NOTES, [("1", "new")]))
        assert one.stores.tokens is not None
        assert other.stores.tokens is not None
        await one.stores.tokens.tell(freshness)
        seen = other.stores.tokens.freshness(freshness.token)
        seen.may_lag = True
        assert (await RequestContext(other.stores, freshness=seen).ask(READ))["1"] == ("new",)
        assert other.route.reads == 1
    finally:
        for stores in both:
            await stores.close()


# ------------------------------------------------------------------------------------------------- several nodes, by hand


def member(kind: str, at: float, address: str) -> tuple[tuple[str, int], Any]:
    """Return a server as the driver knows it, whose last write is of this second."""

    class Member:
        server_type_name = kind
        last_write_date = at

    assert hasattr(ServerDescription, "server_type_name")
    assert hasattr(ServerDescription, "last_write_date")
    return (address, 27_017), Member


@pytest.fixture
def route(monkeypatch: pytest.MonkeyPatch) -> MongoRoute:
    stores = Stores.connect({"events": "mongodb://a,b,c/events?replicaSet=rs0"}, replicas={"events": Replicas((AUTO,))})
    members: Mapping[Any, Any] = dict(
        [member("RSSecondary", 1_000.2, "c"), member("RSPrimary", 1_010.0, "a"), member("RSSecondary", 1_008.0, "b")]
    )
    monkeypatch.setattr(stores["events"], "members", lambda: members)
    return cast("MongoRoute", stores.routes["events"])


def at(route: MongoRoute, second: int) -> str:
    after = After(Timestamp(second, 3), {"clusterTime": Timestamp(second, 3)})
    position = base64.b64encode(bson.encode({"o": after.time, "c": after.cluster})).decode()
    assert route.knows(position)
    return position


def test_what_was_written_is_read_from_secondaries_once_all_of_them_have_it(route: MongoRoute) -> None:
    server = route.server(at(route, 999))
    assert server is not None
    assert server.after is not None
    assert server.after.time == Timestamp(999, 3)
    assert route.server(at(route, 1_000)) is None  # one of the same second may be before it
    assert route.server(at(route, 1_008)) is None
    assert route.server(None) is not None


def test_secondaries_are_told_with_their_lag_and_without_their_addresses(route: MongoRoute) -> None:
    assert route.told() == [
        {"replica": 1, "status": "up", "lagS": 2.0, "error": None},
        {"replica": 2, "status": "up", "lagS": 9.8, "error": None},
    ]
    found = {(its.name, its.labels["replica"]): its.value for its in route.readings()}
    assert found["replica_lag_seconds", "2"] == 9.8


def test_of_two_times_the_later_is_the_one_with_more(route: MongoRoute) -> None:
    assert route.later(at(route, 7), at(route, 12)) == at(route, 12)


@pytest.mark.parametrize("position", ["", "7", "AAAA", "QUJD", "[]", "%%"])
def test_what_is_no_time_of_a_cluster_is_not_known(route: MongoRoute, position: str) -> None:
    assert not route.knows(position)
