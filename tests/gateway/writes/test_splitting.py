"""A part of reads goes to the candidate of a store that is moved, or is compared with its answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.config import Settings, StoreSettings
from gateway.context import RequestContext
from gateway.errors import GatewayError, StoreUnavailable
from gateway.preparing import connect, migrate
from gateway.stores import Stores
from gateway.stores.base import Get, Update
from gateway.stores.moves import candidate_of
from gateway.stores.routing import Freshness
from gateway.writes import splitting
from gateway.writes.moving import Mover
from gateway.writes.placing import Place, Watcher
from gateway.writes.splitting import SplitRoute
from resolvers.users import users
from schema import schema as graph
from tests.resolvers.test_replication import user_of

THERE = candidate_of("users")
WAIT_S = 30.0


class World:
    """The stores of a process that serves, with a route of this share and shadow, and what carries users to their candidate."""

    def __init__(self, stores: Stores, route: SplitRoute, carrier: Mover) -> None:
        self.stores, self.route, self.carrier = stores, route, carrier

    async def write(self, key: str) -> str:
        """Write a user, and return the token's position."""
        async with RequestContext(self.stores, "test", replication=graph.writes).transaction("users") as tx:
            await tx.insert(users, user_of(key))
        return await self.route.position()

    async def follow(self) -> None:
        """Have the candidate follow until it has all, and the process know it."""
        last = int(await self.route.position())
        task = asyncio.create_task(self.carrier.follow())
        async with asyncio.timeout(WAIT_S):
            while not self.route.is_in_step or self.route._position < last or await self.carrier.behind():
                await asyncio.sleep(0.05)
                await self.route.look()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def told(self, **results: int) -> None:
        """Return once the results of reads are these."""
        async with asyncio.timeout(WAIT_S):
            while self.route._comparing:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.01)
        assert self.route.reads == results

    async def read(self, key: str = "1", seen: str | None = None, *, may_lag: bool = True) -> str | None:
        """Return a user's name, as a query reads it."""
        fresh = Freshness({"users": seen} if seen else {}, may_lag=may_lag)
        ctx = RequestContext(self.stores, "test", replication=graph.writes, freshness=fresh)
        found = await ctx.ask(Get(users, ("name",), [key]))
        return found[key][0] if key in found else None

    async def spoil(self) -> None:
        """Have the candidate's first user be another."""
        stores = Stores({"users": self.stores[THERE]})
        await stores.ask(Update(users, ("1",), (("name", "there"),)))


@pytest_asyncio.fixture
async def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for limit in (f"{splitting.__name__}.MAX_LAG_S", "gateway.stores.moves.FRESH_S"):  # nobody looks meanwhile
        monkeypatch.setattr(limit, 60.0)
    share, shadow = request.param
    urls = {name: f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in (*graph.store_names, "there")}
    its = {name: StoreSettings(url=urls[name]) for name in graph.store_names}
    told = {"url": urls["users"], "candidate": urls["there"], "ab": {"primary": 100 - share, "candidate": share}, "shadow": shadow}
    settings = Settings(stores=its | {"users": StoreSettings.model_validate(told)})
    stores = connect(settings)
    assert stores.gate is not None
    stores.gate.called = {"users": "there"}
    await stores.open(routed=False)
    try:
        await migrate(stores, graph, "users")
        await migrate(Stores({"users": stores[THERE]}), graph, "users")
        await Watcher(stores).look("users")
        carrier = Mover(stores, "users", [users])
        route = stores.routes["users"]
        assert isinstance(route, SplitRoute)
        made = World(stores, route, carrier)
        await made.write("1")
        await carrier.copy(await carrier.begin("there"), lambda _: None)
        yield made
    finally:
        await stores.close()


@pytest.mark.parametrize("world", [(100, 0.0)], indirect=True)
async def test_reads_go_to_the_candidate_while_it_is_in_step(world: World) -> None:
    await world.spoil()
    assert await world.read() == user_of("1")["name"]  # nobody follows
    await world.follow()
    assert await world.read() == "there"
    assert await world.read(may_lag=False) == user_of("1")["name"]  # of a mutation
    assert world.route.reads["candidate"] == 1


@pytest.mark.parametrize("world", [(100, 0.0)], indirect=True)
async def test_who_has_written_reads_the_primary_until_the_candidate_has_it(world: World) -> None:
    await world.follow()
    seen = await world.write("2")
    assert await world.read("2", seen) == user_of("2")["name"]
    assert world.route.reads["candidate"] == 0
    await world.follow()
    assert await world.read("2", seen) == user_of("2")["name"]
    assert world.route.reads["candidate"] == 1


@pytest.mark.parametrize("world", [(0, 1.0)], indirect=True)
async def test_reads_are_compared_in_the_shadow_and_answered_by_the_primary(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "LOOKED_AGAIN_S", 0.01)
    await world.follow()
    assert await world.read() == user_of("1")["name"]
    await world.told(equal=1)
    await world.spoil()
    assert await world.read() == user_of("1")["name"]
    await world.told(equal=1, different=1)


@pytest.mark.parametrize("world", [(100, 0.0)], indirect=True)
async def test_a_candidate_that_does_not_answer_is_left_and_the_primary_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.follow()

    async def away(_: object) -> None:
        raise StoreUnavailable("users")

    monkeypatch.setattr(world.stores[THERE], "answer", away)
    assert await world.read() == user_of("1")["name"]
    assert not world.route.is_in_step


@pytest.mark.parametrize("world", [(100, 0.5)], indirect=True)
async def test_what_has_switched_is_read_where_it_is(world: World) -> None:
    await world.follow()
    state = await Place(world.stores, "users").move()
    assert state is not None
    world.stores.swap("users")
    assert world.stores.gate is not None
    world.stores.gate.generations["users"] = 1
    assert world.route.server(None) is None
    assert world.route.told()[0]["isInStep"] is False


@pytest.mark.parametrize("given", [{"primary": 1}, {"primary": 0, "candidate": 0}, {"primary": -1, "candidate": 2}, 10, "x"])
def test_a_split_that_is_none_is_refused(given: object) -> None:
    with pytest.raises((ValueError, GatewayError)):
        StoreSettings.model_validate({"url": "memory://", "candidate": "sqlite:////x", "ab": given})


def test_a_split_is_a_share_of_the_candidate() -> None:
    assert StoreSettings.model_validate({"ab": {"primary": 90, "candidate": 10}}).ab == 0.1
    assert StoreSettings.model_validate({"ab": '{"primary": "1", "candidate": "3"}'}).ab == 0.75
