"""A PostgreSQL with its streaming replica: who answers a read, when the replica stands still, is cut off, frozen, or loses connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, cast

import pytest

from gateway.context import RequestContext
from gateway.errors import StoreTimeout
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Get, Native, NativeCall, Type, Upsert
from gateway.stores.guards import Protection
from gateway.stores.routing import Freshness, Replicas
from gateway.stores.sql.replicas import SqlRoute
from tests.gateway.stores.proxies import Proxy
from tests.kinds import needs
from tests.replicas.pair import Pair, pair
from tests.servers import POSTGRESQL, REPLICA
from tests.tries import in_tries

pytestmark = needs(POSTGRESQL, REPLICA)

NOTES = Collection("notes", "paper", (Column("id"), Column("text")), managed=True)
# What PostgreSQL itself says of the server that answers; a slow one waits before it does.
WHERE = Native(
    "where",
    "paper",
    (Column("replica", Type.BOOL),),
    {"postgresql": "SELECT k, pg_is_in_recovery() FROM unnest(CAST(:keys AS text[])) AS k, pg_sleep(:seconds)"},
)
PRIMARY, OF_REPLICA = "primary", "replica"
WAIT_S = 30.0


@asynccontextmanager
async def stores_over(its: Pair, replica: str | None = None, *, max_lag_s: float = 30.0, timeout_s: float = 3.0) -> AsyncIterator[Stores]:
    """Give the store ``paper`` over a pair, with its table, once its replica is found to be there."""
    stores = Stores.connect(
        {"paper": its.primary},
        replicas={"paper": Replicas((replica or its.replica,), max_lag_s)},
        timeout_s=timeout_s,
        pool_sizes={"paper": 4},
        protection=Protection(breaker_calls=0),
    )
    await stores.open()
    try:
        await stores.migrate("paper", [NOTES], None)
        await until(stores, OF_REPLICA)
        yield stores
    finally:
        await stores.close()


async def who(stores: Stores, freshness: Freshness | None = None, *, seconds: float = 0.0) -> str:
    """Return who answers a query's read."""
    ctx = RequestContext(stores, freshness=freshness or Freshness(may_lag=True))
    answer = await ctx.ask(NativeCall(WHERE, ["k"], {"seconds": seconds}))
    return OF_REPLICA if answer["k"][0][0] else PRIMARY


async def until(stores: Stores, wanted: str, seconds: float = WAIT_S) -> float:
    """Return the seconds after which another answers; an error where none does within so many."""
    begun = monotonic()
    while await who(stores) != wanted:
        assert monotonic() - begun < seconds, f"not the {wanted} after {seconds} s: {stores.routes['paper'].told()}"
        await asyncio.sleep(0.02)
    return monotonic() - begun


async def write(stores: Stores, text: str) -> Freshness:
    """Write a row, and return what the client knows of that."""
    assert stores.tokens is not None
    freshness = Freshness()
    await RequestContext(stores, freshness=freshness).ask(Upsert(NOTES, [("1", text)]))
    await stores.tokens.tell(freshness)
    seen = stores.tokens.freshness(freshness.token)
    seen.may_lag = True
    return seen


async def write_to_both(stores: Stores, text: str) -> None:
    """Write a row, and wait until the replica has it."""
    seen = await write(stores, text)
    begun = monotonic()
    while await who(stores, seen) == PRIMARY:
        assert monotonic() - begun < WAIT_S, f"the replica has not got it within {WAIT_S} s"
        await asyncio.sleep(0.02)


async def read(stores: Stores, freshness: Freshness) -> str | None:
    rows = await RequestContext(stores, freshness=freshness).ask(Get(NOTES, ("text",), ["1"], "id"))
    return cast("str", rows["1"][0]) if "1" in rows else None


def route_of(stores: Stores) -> SqlRoute:
    return cast("SqlRoute", stores.routes["paper"])


# ----------------------------------------------------------------------------------------------------------------- tests


async def test_queries_read_the_replica_and_all_else_the_primary() -> None:
    async with pair() as its, stores_over(its) as stores:
        assert [await who(stores) for _ in range(5)] == [OF_REPLICA] * 5
        assert await who(stores, Freshness()) == PRIMARY
        told = await stores.ask(NativeCall(WHERE, ["k"], {"seconds": 0}))
        assert told["k"] == [(False,)]
        assert any("pg_is_in_recovery" in statement for statement in await its.statements())
        assert route_of(stores).told()[0]["status"] == "up"


async def test_a_write_is_read_at_the_primary_until_the_replica_has_it() -> None:
    async with pair() as its, stores_over(its) as stores:
        await write_to_both(stores, "old")
        await its.pause()
        seen = await write(stores, "new")
        assert [await read(stores, seen), await who(stores, seen)] == ["new", PRIMARY]
        assert [await read(stores, Freshness(may_lag=True)), await who(stores)] == ["old", OF_REPLICA]
        await its.resume()
        begun = monotonic()
        while await who(stores, seen) == PRIMARY:
            assert monotonic() - begun < WAIT_S, "the replica was not read again"
            await asyncio.sleep(0.02)
        assert await read(stores, seen) == "new"


@in_tries
async def test_reads_move_to_the_primary_when_the_replica_stands_still_and_back_when_it_goes_on() -> None:
    max_lag_s = 2.0
    async with pair() as its, stores_over(its, max_lag_s=max_lag_s) as stores:
        await write_to_both(stores, "old")
        await its.pause()
        await write(stores, "new")
        begun = monotonic()
        assert await who(stores) == OF_REPLICA
        while await who(stores) == OF_REPLICA:
            assert monotonic() - begun < max_lag_s + 1
            assert await read(stores, Freshness(may_lag=True)) in ("old", "new")  # at the last, the primary
            await asyncio.sleep(0.02)
        assert route_of(stores).told()[0]["status"] == "behind"
        assert await read(stores, Freshness(may_lag=True)) == "new"
        await its.resume()
        await until(stores, OF_REPLICA)


async def test_no_read_fails_when_the_replica_is_cut_off_and_it_is_read_again_once_it_is_back() -> None:
    async with (
        pair() as its,
        proxied(*its.address) as proxy,
        stores_over(its, its.replica_at(proxy.port)) as stores,
        reading(stores) as answered,
    ):
        for _ in range(3):
            await asyncio.sleep(0.3)
            await proxy.cut()
            await asyncio.sleep(0.6)
            assert await who(stores) == PRIMARY
            await proxy.start()
            await until(stores, OF_REPLICA)
        assert route_of(stores).replicas[0].failures > 0
    assert set(answered) == {PRIMARY, OF_REPLICA}


async def test_no_read_fails_when_the_replicas_connections_are_ended() -> None:
    async with pair() as its, stores_over(its) as stores, reading(stores) as answered:
        ended, begun = 0, monotonic()
        while ended <= 20 or not route_of(stores).replicas[0].failures:
            assert monotonic() - begun < WAIT_S, f"{ended} were ended, and none was noticed"
            ended += await its.terminate()
            await asyncio.sleep(0.1)
        await until(stores, OF_REPLICA)
    assert set(answered) == {PRIMARY, OF_REPLICA}


@in_tries
async def test_what_a_frozen_replica_was_asked_goes_on_to_the_primary_before_its_time_is_up() -> None:
    async with (
        pair() as its,
        proxied(*its.address) as proxy,
        stores_over(its, its.replica_at(proxy.port)) as stores,
        reading(stores) as answered,
    ):
        proxy.freeze()
        begun = monotonic()
        assert await who(stores) == PRIMARY
        assert 0.5 < monotonic() - begun < 2.5
        for _ in range(20):
            begun = monotonic()
            assert await who(stores) == PRIMARY
            assert monotonic() - begun < 0.5
            await asyncio.sleep(0.1)
        assert route_of(stores).told()[0]["error"]["reason"] == "timed out"
        proxy.thaw()
        await until(stores, OF_REPLICA)
    assert set(answered) == {PRIMARY, OF_REPLICA}


@in_tries
async def test_where_a_read_takes_less_than_a_look_its_timeout_has_the_replica_left_alone() -> None:
    async with (
        pair() as its,
        proxied(*its.address) as proxy,
        stores_over(its, its.replica_at(proxy.port), timeout_s=0.4) as stores,
    ):
        await asyncio.sleep(0.05)
        proxy.freeze()
        with pytest.raises(StoreTimeout):
            await who(stores)
        assert [await who(stores) for _ in range(20)] == [PRIMARY] * 20
        proxy.thaw()


@in_tries
async def test_a_full_pool_makes_no_replica_look_dead() -> None:
    async with pair() as its, stores_over(its) as stores:
        slow = [asyncio.create_task(who(stores, seconds=2.0)) for _ in range(4)]
        while route_of(stores).replicas[0].guard.in_use < 4:  # noqa: ASYNC110 - of a number there is no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.5)  # in which it is looked at, and longer than an answer to that is waited for
        assert {**route_of(stores).told()[0], "lagS": 0} == {
            "replica": 1,
            "status": "up",
            "lagS": 0,
            "error": None,
            "pool": {"places": 4, "inUse": 4, "waiting": 0},
            "breaker": "closed",
        }
        assert set(await asyncio.gather(*slow)) == {OF_REPLICA}


async def test_a_primary_in_the_place_of_a_replica_is_told_and_not_read() -> None:
    async with pair() as its, proxied(*_address(its.primary)) as proxy:
        stores = Stores.connect({"paper": its.primary}, replicas={"paper": Replicas((its.replica_at(proxy.port),))})
        await stores.open()
        try:
            async with asyncio.timeout(WAIT_S):
                while (route_of(stores).told()[0]["error"] or {}).get("reason") != "no replica":  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(0.02)
            expected = "expected a replica, got a server that takes writes itself (pg_is_in_recovery)"
            assert route_of(stores).told()[0]["error"] == {"reason": "no replica", "message": expected}
            assert await who(stores) == PRIMARY
            assert route_of(stores).replicas[0].reads == 0
        finally:
            await stores.close()


async def test_a_replica_that_is_behind_its_migrations_has_its_reads_answered_by_the_primary() -> None:
    later = Collection("later", "paper", (Column("id"), Column("text")), managed=True)
    async with pair() as its, stores_over(its) as stores:
        await write_to_both(stores, "old")
        await its.pause()
        await stores.migrate("paper", [NOTES, later], None)
        await stores.ask(Upsert(later, [("1", "new")]))
        rows = await RequestContext(stores, freshness=Freshness(may_lag=True)).ask(Get(later, ("text",), ["1"], "id"))
        assert rows["1"] == ("new",)
        assert route_of(stores).told()[0]["status"] == "up"


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.cut()


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.partition("@")[2].partition("/")[0].partition(":")
    return host, int(port)


@asynccontextmanager
async def reading(stores: Stores, clients: int = 4) -> AsyncIterator[list[str]]:
    """Have clients read without a pause; give who answered each. What fails one of them fails the test."""
    answered: list[str] = []

    async def client() -> None:
        while not is_over:
            answered.append(await who(stores))

    is_over: list[Any] = []
    tasks = [asyncio.create_task(client()) for _ in range(clients)]
    try:
        yield answered
    finally:
        is_over.append(True)
        await asyncio.gather(*tasks)
