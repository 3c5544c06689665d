"""Which reads go to a replica, and what becomes of those that it cannot answer. Primary and replica have other rows, so that it shows."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.context import RequestContext
from gateway.errors import BadUserInput, ConfigError, Contended, GatewayError, PoolExhausted, StoreTimeout, StoreUnavailable
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Get, Upsert
from gateway.stores.guards import Guard, Protection
from gateway.stores.memory import MemoryStore
from gateway.stores.reasons import Reason
from gateway.stores.routing import AUTO, UNKNOWN, Freshness, Replicas
from tests.gateway.stores.routes import FakeRoute, FakeServer

NOTES = Collection("notes", "paper", (Column("id"), Column("text")))
READ = Get(NOTES, ("text",), ["1"], "id")
PG = "postgresql+asyncpg://ann@db:5432/paper"


class World:
    def __init__(self, server: FakeServer, primary: MemoryStore) -> None:
        self.server = server
        self.primary = primary
        self.route = FakeRoute("paper", server)
        self.stores = Stores({"paper": primary, "copy": primary}, routes={"paper": self.route, "copy": self.route})

    async def read(self, freshness: Freshness | None) -> str:
        """Return who answered a read."""
        rows = await RequestContext(self.stores, freshness=freshness).ask(READ)
        return str(rows["1"][0])


@pytest.fixture
async def world() -> World:
    primary, replica = MemoryStore("paper"), MemoryStore("paper")
    for store, text in ((primary, "primary"), (replica, "replica")):
        await store.answer(Upsert(NOTES, [("1", text)]))
    return World(FakeServer(replica), primary)


def query(**seen: str) -> Freshness:
    return Freshness(seen=dict(seen), may_lag=True)


async def test_a_query_reads_the_replica_and_nobody_else_does(world: World) -> None:
    assert await world.read(query()) == "replica"
    assert await world.read(Freshness()) == "primary"  # of a mutation
    assert await world.read(None) == "primary"  # of a subscription, the relay, a check
    assert (await world.stores.ask(READ))["1"] == ("primary",)  # of an operator


async def test_what_was_seen_is_read_where_it_is(world: World) -> None:
    world.route.has = 7
    assert await world.read(query(paper="7")) == "replica"
    assert await world.read(query(paper="8")) == "primary"
    assert await world.read(query(paper=UNKNOWN)) == "primary"
    assert await world.read(query(others="8")) == "replica"


async def test_behind_its_own_write_a_request_reads_the_primary_whatever_the_store_is_called(world: World) -> None:
    twins = Collection("notes", "copy", NOTES.columns)
    freshness = query()
    ctx = RequestContext(world.stores, freshness=freshness)
    assert (await ctx.ask(READ))["1"] == ("replica",)
    await ctx.ask(Upsert(twins, [("2", "new")]))
    assert freshness.wrote == {"paper"}
    assert (await ctx.ask(READ))["1"] == ("primary",)
    assert (await ctx.ask(Get(twins, ("text",), ["2"], "id")))["2"] == ("new",)


async def test_a_mutation_that_only_read_has_its_client_see_what_it_saw(world: World) -> None:
    freshness = Freshness()
    await world.read(freshness)
    assert freshness.wrote == {"paper"}


async def test_a_replica_that_is_away_costs_one_more_try_at_the_primary(world: World) -> None:
    world.server.error = StoreUnavailable("paper", Reason.LOST, "")
    assert await world.read(query()) == "primary"
    assert (world.server.heard, world.server.reads) == ([world.server.error], 1)
    assert world.stores.calls["paper.notes"] == 2
    assert world.stores.guards["paper"].retried == 0  # its budget is for itself


async def test_a_read_that_what_is_replayed_came_between_is_asked_of_the_primary_and_the_replica_is_well(world: World) -> None:
    world.server.error = Contended("paper")
    assert await world.read(query()) == "primary"
    assert world.server.heard == []


@pytest.mark.parametrize(
    ("error", "is_heard"),
    [(StoreTimeout("paper", 3), True), (StoreTimeout("paper", 0.1), False), (BadUserInput("no such value"), False)],
)
async def test_what_is_no_fault_of_a_connection_is_not_asked_again(world: World, error: GatewayError, is_heard: bool) -> None:
    world.server.error = error
    with pytest.raises(type(error)):
        await world.read(query())
    assert world.stores.calls["paper.notes"] == 1
    assert (world.server.heard == [error]) is is_heard


async def test_a_full_replica_is_told_as_one_and_leaves_the_primary_alone(world: World) -> None:
    world.server.guard = Guard(1, Protection(wait_s=0.01))
    assert world.server.guard.enters()
    with pytest.raises(PoolExhausted):
        await world.read(query())
    assert world.stores.calls["paper.notes"] == 0


async def test_where_both_are_away_the_error_is_the_primarys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.server.error = StoreUnavailable("paper", Reason.LOST, "")

    async def refused(request: Any) -> Any:
        raise StoreUnavailable("paper", Reason.REFUSED, "nobody listens")

    monkeypatch.setattr(world.primary, "answer", refused)
    with pytest.raises(StoreUnavailable) as caught:
        await world.read(query())
    assert caught.value.reason == Reason.REFUSED
    assert world.stores.calls["paper.notes"] == 2


async def test_a_replica_has_places_and_a_breaker_of_its_own(world: World) -> None:
    world.server.guard = Guard(3, Protection(breaker_calls=2))
    world.server.error = StoreUnavailable("paper", Reason.LOST, "")
    for _ in range(2):
        await world.read(query())
    assert (world.server.guard.state, world.stores.guards["paper"].state) == ("open", "closed")


async def test_routes_open_and_close_with_the_stores(world: World) -> None:
    await world.stores.open()
    assert world.route.is_open
    await world.stores.close()
    assert not world.route.is_open


async def test_commands_open_none(world: World) -> None:
    await world.stores.open(routed=False)
    assert not world.route.is_open
    await world.stores.close()


def test_without_replicas_there_is_no_layer_and_no_token() -> None:
    stores = Stores({"paper": MemoryStore("paper")})
    assert (stores.tokens, stores.routes) == (None, {})
    assert not any("_route" in name for name in _layers(stores.funnel._last))


def _layers(function: Any) -> list[str]:
    """Return the names of a layer and of those behind it."""
    inner = [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if callable(cell.cell_contents)]
    return [getattr(function, "__qualname__", ""), *(name for each in inner for name in _layers(each))]


def test_layers_are_found_by_their_names(world: World) -> None:
    assert any("_route" in name for name in _layers(world.stores.funnel._last))


# ------------------------------------------------------------------------------------------------------------- settings


def refusal(url: str, *replicas: str, max_lag_s: float | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        Stores.connect({"paper": url}, replicas={"paper": Replicas(replicas, max_lag_s)})
    return caught.value.message


@pytest.mark.parametrize(
    ("url", "replicas", "line"),
    [
        ("sqlite+aiosqlite:///paper.db", ["sqlite+aiosqlite:///copy.db"], "none, for a store of kind sqlite has no replicas; got 1"),
        ("memory://", [AUTO], "none, for a store of kind memory has no replicas; got 1"),
        (PG, [AUTO], "the URL of each replica, for the driver of PostgreSQL finds none itself; got auto"),
        (PG, ["mongodb://db/paper"], "URLs of the same kind as the primary's (postgresql+asyncpg://); got mongodb://"),
        (PG, ["postgresql+asyncpg://db2/other"], "the database of the primary (paper), for a replica has the same; got other"),
        (PG, ["postgresql+asyncpg://bob@db/paper"], "each server once, and not the primary's own; got number 1 once more"),
        (
            PG,
            [f"postgresql+asyncpg://r{n}/paper" for n in (1, 2, 1)],
            "each server once, and not the primary's own; got number 3 once more",
        ),
        (
            "mongodb://db/paper",
            ["mongodb://r/paper"],
            "auto, for the driver of MongoDB finds the members of a replica set itself; got URLs",
        ),
        (
            "mongodb://db/paper?directConnection=true",
            [AUTO],
            "a url without directConnection=true, with which the driver knows one server alone; got one with it",
        ),
        ("neo4j://db", ["neo4j://r"], "auto, for the driver of Neo4j asks the cluster which servers answer reads; got URLs"),
        ("bolt://db", [AUTO], "a url of neo4j://, with which the driver asks which servers there are; got bolt://"),
    ],
)
def test_replicas_that_cannot_be_are_refused(url: str, replicas: list[str], line: str) -> None:
    assert refusal(url, *replicas) == f"stores.paper.replicas: expected {line}"


def test_a_lag_that_cannot_be_held_is_refused() -> None:
    mongo = "stores.paper.max_lag_s: expected whole seconds, at least 90, which is the least that MongoDB's drivers take; got "
    assert refusal("mongodb://db/paper", AUTO, max_lag_s=5) == f"{mongo}5"
    assert refusal("mongodb://db/paper", AUTO, max_lag_s=90.5) == f"{mongo}90.5"
    neo4j = "stores.paper.max_lag_s: expected none, for Neo4j does not tell how far a server is behind; got 5"
    assert refusal("neo4j://db", AUTO, max_lag_s=5) == neo4j


def test_a_preference_of_reads_in_the_url_is_refused_beside_replicas() -> None:
    line = "stores.paper.url: expected none of readPreference, for replicas = 'auto' says which reads go where; got one"
    assert refusal("mongodb://db/paper?readpreference=nearest", AUTO) == line


def test_stores_of_one_url_have_one_route() -> None:
    stores = Stores.connect({"paper": PG, "copy": PG}, replicas={"copy": Replicas(("postgresql+asyncpg://r1/paper",))})
    assert stores.routes["paper"] is stores.routes["copy"]
    assert stores.routes["paper"].name == "copy"  # which has said so
    assert stores.routes["paper"].max_lag_s == 5


def test_two_sets_of_replicas_of_one_url_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        Stores.connect(
            {"paper": PG, "copy": PG},
            replicas={"paper": Replicas(("postgresql+asyncpg://r1/paper",)), "copy": Replicas(("postgresql+asyncpg://r2/paper",))},
        )
    assert caught.value.message == "stores.copy.replicas: expected those of stores.paper, for both have the same url; got others"
