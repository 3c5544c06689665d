"""Servers that refuse, freeze, answer late, cut what they say short, or say nonsense: of each kind, by a proxy before a real one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from statistics import median
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from _pytest.mark.structures import ParameterSet

from gateway.errors import Conflict, GatewayError, PoolExhausted, StoreTimeout, StoreUnavailable
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Delete, Fetch, Get, Insert, Native, NativeCall
from gateway.stores.guards import Protection
from gateway.stores.reasons import Reason
from gateway.stores.sql.asyncpg import LOCK_TIMEOUT_S
from tests.gateway.stores.proxies import CutAfter, Proxy
from tests.kinds import kinds, needs, url_of
from tests.servers import POSTGRESQL
from tests.tries import in_tries, sure

NOTES = Collection("notes", "tested", (Column("id"), Column("text", nullable=True)))
NEAR = Collection("near", "near", (Column("id"), Column("text", nullable=True)))
ROWS = [(f"{number}", "x" * 200) for number in range(20)]
READ = Get(NOTES, ("id", "text"), ["1", "2"])
FOUND = {"1": ROWS[1], "2": ROWS[2]}
ALL = Fetch(NOTES, ("id", "text"))
PORTS = {"postgresql": 5432, "mongodb": 27017, "neo4j": 7687}
LIMIT_S = 1.0
LATE_S = 0.25
BACK_S = 10.0
WAIT_S = 30.0
OPEN_S = 0.5
QUICK = Protection(open_s=OPEN_S)
STILL = Protection(breaker_calls=0, retry_share=1.0)

pytestmark = [
    # Drivers leave sockets to the collector when they are cancelled while they connect.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
of_each_server = pytest.mark.parametrize("kind", kinds(PORTS))


@asynccontextmanager
async def behind_a_proxy(kind: str, protection: Protection = STILL, *, pool_size: int = 3) -> AsyncIterator[tuple[Stores, Proxy]]:
    """Give a store ``tested`` of this kind with its rows, behind a proxy, and one in memory beside it."""
    async with url_of(kind) as url:
        parts = urlsplit(url)
        proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or PORTS[kind])
        await proxy.start()
        query = "&".join(filter(None, [parts.query, "directConnection=true"])) if kind == "mongodb" else parts.query
        at = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        through = urlunsplit(parts._replace(netloc=f"{at}127.0.0.1:{proxy.port}", query=query))
        stores = Stores.connect(
            {"tested": through, "near": "memory://"},
            timeout_s=LIMIT_S,
            write_timeout_s=LIMIT_S,
            connect_timeout_s=LIMIT_S,
            pool_sizes={"tested": pool_size},
            protection=protection,
        )
        await stores.open()
        try:
            await stores["tested"].migrate("tested", [NOTES], None)
            await stores.ask(Insert(NOTES, NOTES.names, ROWS), timeout_s=WAIT_S)
            await stores.ask(Insert(NEAR, NEAR.names, ROWS))
            await until_answered(stores, WAIT_S)
            yield stores, proxy
        finally:
            proxy.change, proxy.delay_s = None, 0.0
            proxy.thaw()
            await stores.close()
            await proxy.cut()


async def outcome(stores: Stores, request: Any = READ) -> tuple[Any, float]:
    """Return the answer or the error, and the seconds that it took."""
    started = time.monotonic()
    try:
        answer = await stores.ask(request)
        if isinstance(request, Get):
            answer = {key: tuple(row) for key, row in answer.items()}
    except GatewayError as error:
        answer = error
    return answer, time.monotonic() - started


async def until_answered(stores: Stores, seconds: float) -> float:
    """Return after how many seconds a read is answered again."""
    started = time.monotonic()
    while (await outcome(stores))[0] != FOUND:
        assert time.monotonic() - started < seconds
        await asyncio.sleep(0.02)
    return time.monotonic() - started


@in_tries
@of_each_server
async def test_f02_who_is_refused_is_told_at_once_and_soon_nobody_is_asked(kind: str) -> None:
    async with behind_a_proxy(kind, QUICK) as (stores, proxy):
        await proxy.cut()
        refused = [await outcome(stores) for _ in range(25)]
        # MongoDB's driver may yet look for a server when the first asks.
        assert {type(answer) for answer, _ in refused[3:]} == {StoreUnavailable}
        assert median(seconds for _, seconds in refused) < 0.05
        open_ = [await outcome(stores) for _ in range(20)]
        assert {answer.reason for answer, _ in open_} == {Reason.BREAKER}
        assert median(seconds for _, seconds in open_) < 0.005
        await proxy.start()
        await until_answered(stores, OPEN_S + BACK_S)


@in_tries
@of_each_server
async def test_f03_who_takes_connections_and_says_nothing_is_given_up_in_time(kind: str) -> None:
    async with behind_a_proxy(kind) as (stores, proxy):
        await proxy.cut()
        await proxy.start()
        proxy.freeze()
        found = await asyncio.gather(*(outcome(stores) for _ in range(3)))
        assert {type(answer) for answer, _ in found} <= {StoreTimeout, StoreUnavailable}
        assert median(seconds for _, seconds in found) < LIMIT_S + LATE_S
        proxy.thaw()
        await until_answered(stores, BACK_S)


@in_tries
@of_each_server
async def test_f04_who_freezes_costs_the_limit_and_no_connection(kind: str) -> None:
    async with behind_a_proxy(kind) as (stores, proxy):
        await asyncio.gather(*(outcome(stores) for _ in range(6)))
        proxy.freeze()
        frozen = asyncio.gather(*(outcome(stores) for _ in range(3)))
        near, seconds = await outcome(stores, Get(NEAR, ("id", "text"), ["1", "2"]))
        assert (near, seconds < LIMIT_S / 2) == (FOUND, True), "the other store answers meanwhile"
        answers = await frozen
        assert {type(answer) for answer, _ in answers} == {StoreTimeout}
        assert median(seconds for _, seconds in answers) < LIMIT_S + LATE_S
        proxy.thaw()
        await until_answered(stores, BACK_S)
        assert [answer for answer, _ in await asyncio.gather(*(outcome(stores) for _ in range(12)))] == [FOUND] * 12
        assert stores.funnel.guards["tested"].in_use == 0


@in_tries
@of_each_server
async def test_f05_a_slow_way_is_waited_for_up_to_the_limit(kind: str) -> None:
    async with behind_a_proxy(kind) as (stores, proxy):
        proxy.delay_s = 0.05
        answer, seconds = await outcome(stores)
        assert answer == FOUND
        assert seconds >= 0.05
        proxy.delay_s = 5.0
        answer, seconds = await outcome(stores)
        assert type(answer) is StoreTimeout
        assert seconds < LIMIT_S + LATE_S
        proxy.delay_s = 0.0
        await until_answered(stores, BACK_S)


@in_tries
@of_each_server
async def test_f06_a_connection_that_is_reset_before_its_answer_is_made_again_for_a_read(kind: str) -> None:
    async with behind_a_proxy(kind) as (stores, proxy):
        assert (await outcome(stores))[0] == FOUND
        cut = proxy.change = CutAfter(0)
        assert (await outcome(stores))[0] == FOUND
        assert cut.is_done


@in_tries
@of_each_server
async def test_f06_wherever_an_answer_is_cut_it_is_whole_or_an_error_and_the_next_one_is_whole(kind: str) -> None:
    """Of connections that are made anew, too: greetings, handshakes, and what a driver asks before the first query."""
    async with behind_a_proxy(kind) as (stores, proxy):
        was_cut = 0
        for count in [0, 1, 5, 9, 30, 64, 150, 260, 380, 500, 800, 1_200, 2_000, 4_000]:
            proxy.reset()
            cut = proxy.change = CutAfter(count)
            answer, seconds = await outcome(stores, ALL)
            was_cut += cut.is_done
            sure(isinstance(answer, StoreUnavailable | StoreTimeout) or len(answer[None].rows) == len(ROWS), answer)
            assert seconds < LIMIT_S + LATE_S + 0.5
            proxy.change = None
            await until_answered(stores, BACK_S)
        assert was_cut > 8


@of_each_server
async def test_f06_a_write_whose_answer_is_cut_is_not_sent_again(kind: str) -> None:
    async with behind_a_proxy(kind) as (stores, proxy):
        written = set()
        for number in range(3):
            cut = proxy.change = CutAfter(number * 5)
            answer, _ = await outcome(stores, Insert(NOTES, NOTES.names, [(f"new{number}", "x")]))
            assert cut.is_done
            sure(not isinstance(answer, Conflict), "it was there from the first time")
            if not isinstance(answer, GatewayError):  # cut where a driver was yet to begin, or one that the server knows again
                written.add(f"new{number}")
            proxy.change = None
            await until_answered(stores, BACK_S)
        found = (await stores.ask(ALL, timeout_s=10))[None].rows
        sure(len(found) == len({row[0] for row in found}), found)
        sure({row[0] for row in found} >= written, (found, written))


def _noise(data: bytes) -> bytes:
    return Random(len(data)).randbytes(len(data))


NONSENSE: dict[str, Callable[[bytes], bytes]] = {
    "ones": lambda data: b"\xff" * len(data),
    "zeros": lambda data: bytes(len(data)),
    "noise": _noise,
    "halves": lambda data: data[: len(data) // 2],
}


# asyncpg takes zeros for a message of length 0, over and over, and never comes back from that.
SAID = [
    pytest.param(*kind.values, what, id=f"{kind.id}-{what}", marks=kind.marks)
    for kind in cast("list[ParameterSet]", kinds(PORTS))
    for what in NONSENSE
    if (kind.id, what) != ("postgresql", "zeros")
]


@in_tries
@pytest.mark.parametrize(("kind", "what"), SAID)
async def test_f07_nonsense_is_an_error_of_its_store_and_its_connection_is_used_no_more(kind: str, what: str) -> None:
    async with behind_a_proxy(kind) as (stores, proxy):
        proxy.change = NONSENSE[what]
        for _ in range(3):
            answer, seconds = await outcome(stores, ALL)
            assert isinstance(answer, GatewayError), answer
            assert seconds < LIMIT_S + LATE_S + 0.5
        proxy.change = None
        await until_answered(stores, BACK_S)
        assert [answer for answer, _ in await asyncio.gather(*(outcome(stores) for _ in range(12)))] == [FOUND] * 12


@of_each_server
async def test_f19_a_store_that_comes_and_goes_is_not_asked_more_often_for_that(kind: str) -> None:
    async with behind_a_proxy(kind, Protection(open_s=0.1)) as (stores, proxy):
        before, asked, ended = stores.funnel.calls["tested.notes"], 0, False

        async def flap() -> None:
            nonlocal ended
            for _ in range(6):
                await asyncio.sleep(0.15)
                await proxy.cut()
                await asyncio.sleep(0.15)
                await proxy.start()
            ended = True

        async def read() -> None:
            nonlocal asked
            while not ended:
                answer, _ = await outcome(stores)
                asked += 1
                assert answer == FOUND or isinstance(answer, StoreUnavailable | StoreTimeout | PoolExhausted)
                await asyncio.sleep(0.005)

        await asyncio.gather(flap(), *(read() for _ in range(4)))
        retried = stores.funnel.guards["tested"].retried
        assert stores.funnel.calls["tested.notes"] - before <= asked + retried
        assert retried <= 0.1 * asked + 10
        await until_answered(stores, BACK_S)


@in_tries
@of_each_server
async def test_l08_after_an_outage_under_load_all_is_as_before_soon(kind: str) -> None:
    async with behind_a_proxy(kind, QUICK) as (stores, proxy):
        ended = False

        async def load() -> None:
            while not ended:
                await outcome(stores)
                await asyncio.sleep(0.01)

        clients = [asyncio.create_task(load()) for _ in range(8)]
        await asyncio.sleep(0.2)
        proxy.freeze()
        await asyncio.sleep(2)
        proxy.thaw()
        await until_answered(stores, BACK_S)
        answers = [await outcome(stores) for _ in range(20)]
        ended = True
        await asyncio.gather(*clients)
        assert [answer for answer, _ in answers] == [FOUND] * 20


# ------------------------------------------------------------------------------------------------------------ PostgreSQL

SLEEP = Native("sleep", "tested", (), {"postgresql": "SELECT unnest(:keys::text[]), pg_sleep(0.4)::text"})
RUNNING = Native(
    "running",
    "tested",
    (Column("query"),),
    {
        "postgresql": "SELECT 'k', query FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' "
        "AND state = 'active' AND pid <> pg_backend_pid() AND datname = current_database() AND 'k' = ANY(:keys::text[])"
    },
)
TERMINATE = Native(
    "terminate",
    "tested",
    (),
    {
        "postgresql": "SELECT 'k', pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND 'k' = ANY(:keys::text[])"
    },
)


@in_tries
@needs(POSTGRESQL)
async def test_f08_who_finds_all_connections_in_use_waits_for_the_time_of_a_pool_alone() -> None:
    async with behind_a_proxy("postgresql", Protection(wait_s=0.2, breaker_calls=0), pool_size=2) as (stores, _):
        found = await asyncio.gather(*(outcome(stores, NativeCall(SLEEP, ["k"], {})) for _ in range(10)))
        exhausted = [seconds for answer, seconds in found if isinstance(answer, PoolExhausted)]
        assert len(exhausted) == 8
        assert all(0.19 < seconds < 0.2 + LATE_S for seconds in exhausted)
        near, _ = await outcome(stores, Get(NEAR, ("id", "text"), ["1", "2"]))
        assert near == FOUND
        assert (await outcome(stores))[0] == FOUND


@in_tries
@needs(POSTGRESQL)
async def test_f09_reads_go_on_while_all_connections_are_ended_ten_times_a_second() -> None:
    async with behind_a_proxy("postgresql", STILL, pool_size=5) as (stores, _):
        answers: list[Any] = []
        ended = False

        async def read() -> None:
            while not ended:
                answers.append((await outcome(stores))[0])
                await asyncio.sleep(0.002)

        readers = [asyncio.create_task(read()) for _ in range(8)]
        for _ in range(20):
            await outcome(stores, NativeCall(TERMINATE, ["k"], {}))
            await asyncio.sleep(0.1)
        ended = True
        await asyncio.gather(*readers)
        failed = [answer for answer in answers if answer != FOUND]
        assert {type(answer) for answer in failed} <= {StoreUnavailable, PoolExhausted}
        assert len(failed) <= 0.02 * len(answers), f"{len(failed)} of {len(answers)}: {Counter(repr(error.__cause__) for error in failed)}"
        assert (await outcome(stores))[0] == FOUND


@in_tries
@needs(POSTGRESQL)
async def test_h10_what_is_given_up_is_ended_in_the_server_too() -> None:
    async with behind_a_proxy("postgresql") as (stores, _):
        task = asyncio.ensure_future(stores.ask(NativeCall(SLEEP, ["k"], {}), timeout_s=10))
        while not (await stores.ask(NativeCall(RUNNING, ["k"], {}))).get("k"):
            assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        assert (await stores.ask(NativeCall(RUNNING, ["k"], {}))).get("k", []) == []


@in_tries
@needs(POSTGRESQL)
async def test_f10_a_lock_that_somebody_holds_is_waited_for_no_longer_than_the_limit() -> None:
    async with url_of("postgresql") as url:
        stores = Stores.connect({"tested": url}, timeout_s=5, write_timeout_s=5, protection=STILL)
        await stores.open()
        other = await asyncpg.connect("postgresql://" + url.partition("://")[2])
        try:
            await stores["tested"].migrate("tested", [NOTES], None)
            await stores.ask(Insert(NOTES, NOTES.names, ROWS))
            async with other.transaction():
                await other.execute("SELECT * FROM notes WHERE id = '1' FOR UPDATE")
                answer, seconds = await outcome(stores, Delete(NOTES, [("1",)]))
            assert type(answer) is StoreTimeout
            assert seconds < LOCK_TIMEOUT_S + LATE_S + 0.5
            assert (await outcome(stores))[0] == FOUND
        finally:
            await other.close()
            await stores.close()


@needs(POSTGRESQL)
async def test_f11_a_server_that_is_read_only_takes_no_writes_and_is_read() -> None:
    async with url_of("postgresql") as url:
        stores = Stores.connect({"tested": url}, protection=STILL)
        await stores.open()
        other = await asyncpg.connect("postgresql://" + url.partition("://")[2])
        try:
            await stores["tested"].migrate("tested", [NOTES], None)
            await stores.ask(Insert(NOTES, NOTES.names, ROWS))
            await stores.close()
            await other.execute(
                f'ALTER DATABASE "{await other.fetchval("SELECT current_database()")}" SET default_transaction_read_only = on'
            )
            await stores.open()
            answer, _ = await outcome(stores, Insert(NOTES, NOTES.names, [("new", "x")]))
            assert type(answer) is StoreUnavailable
            assert answer.reason == Reason.READ_ONLY
            assert (await outcome(stores))[0] == FOUND
        finally:
            await other.close()
            await stores.close()
