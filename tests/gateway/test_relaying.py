"""What runs beside requests: one log for each database, a relay where the settings say so, a watch in any case."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import strawberry
from strawberry.schema.config import StrawberryConfig

from gateway.config import Settings, StoreSettings
from gateway.context import RequestContext
from gateway.graph import SCALARS
from gateway.preparing import migrate
from gateway.relaying import Beside, homes_of
from gateway.stores import Stores
from resolvers.graph import members
from resolvers.users import users
from schema import schema as graph
from schema.query import Query
from tests.kinds import url_of
from tests.resolvers.test_replication import opened, rows, user_of

WAIT_S = 60.0


async def test_stores_of_one_database_are_one_home() -> None:
    async with url_of("sqlite") as one, url_of("sqlite") as two:
        stores = Stores.connect({"users": one, "posts": one, "events": two, "recommendations": two})
        homes = homes_of(stores, graph)

    assert list(homes) == ["users", "events"]
    assert {"users>members", "posts>wrote", "welcome"} < set(homes["users"])
    assert list(homes["events"]) == ["events>likes"]


async def test_a_store_of_its_own_for_the_audit_hears_of_all_others() -> None:
    audited = replace(graph, audit="events")
    stores = Stores.connect(dict.fromkeys(graph.store_names, "memory://"))
    homes = homes_of(stores, audited)

    assert [name for name, targets in homes.items() if "audit" in targets] == ["users", "posts", "recommendations"]


async def test_writes_are_carried_beside_requests_and_figures_are_kept() -> None:
    async with opened("memory") as stores:
        beside = Beside(stores, graph, _settings(), has_relay=True)
        async with beside.running(), asyncio.timeout(WAIT_S):
            async with RequestContext(stores, "test", replication=graph.writes).transaction("users") as tx:
                await tx.insert(users, user_of("1"))
            while not await rows(stores, members) or not list(beside.watch.readings()):  # noqa: ASYNC110 - a store tells nobody
                await asyncio.sleep(0.02)

        assert {"outbox_pending", "outbox_attempts", "relay_heartbeat_age_seconds"} <= {reading.name for reading in beside.readings()}


async def test_with_the_relay_off_nothing_is_carried_and_all_is_watched() -> None:
    async with opened("memory") as stores:
        beside = Beside(stores, graph, _settings(), has_relay=False)
        async with beside.running(), asyncio.timeout(WAIT_S):
            async with RequestContext(stores, "test", replication=graph.writes).transaction("users") as tx:
                await tx.insert(users, user_of("1"))
            await beside.watch.count("users")

        pending = {r.labels["target"]: r.value for r in beside.readings() if r.name == "outbox_pending"}
        assert pending["users>members"] == 1
        assert await rows(stores, members) == []


async def test_a_graph_that_only_reads_has_nothing_beside_it() -> None:
    reading = replace(graph, schema=_only_reads(), replication=())
    async with opened("memory") as stores:
        beside = Beside(stores, reading, _settings(), has_relay=True)
        async with beside.running():
            assert beside.relay is None
        assert list(beside.readings()) == []
        assert await migrate(stores, reading, "users") == []


def _only_reads() -> strawberry.Schema:
    return strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS))


def _settings() -> Settings:
    return Settings(stores={name: StoreSettings(url="memory://") for name in graph.store_names})
