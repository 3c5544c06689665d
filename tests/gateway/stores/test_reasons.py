"""Why a store is unavailable, by what drivers raise for it, on every kind of server."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import gaierror

import pytest
from sqlalchemy import make_url

from gateway.errors import GatewayError, StoreUnavailable
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Get
from gateway.stores.reasons import Reason, reason_of
from gateway.stores.sql.asyncpg import AsyncpgDriver
from gateway.stores.sql.pool import Pool
from tests.kinds import needs
from tests.servers import MONGODB, NEO4J, POSTGRESQL

THINGS = Collection("things", "tested", (Column("id"),))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "x"), Reason.REFUSED),
        (gaierror(-2, "x"), Reason.NO_HOST),
        (ssl.SSLCertVerificationError("x"), Reason.TLS),
        (TimeoutError(), Reason.TIMED_OUT),
        (ExceptionGroup("all hosts", [ValueError("x"), ConnectionRefusedError()]), Reason.REFUSED),
        (RuntimeError("127.0.0.1:1: [Errno 111] Connection refused"), Reason.REFUSED),
        (RuntimeError("db.invalid: [Errno -2] Name or service not known"), Reason.NO_HOST),
        (RuntimeError("something else"), None),
    ],
)
def test_reasons_of_errors(error: Exception, reason: Reason | None) -> None:
    assert reason_of(error) is reason
    wrapped = RuntimeError("the driver's own")
    wrapped.__cause__ = error
    assert reason_of(wrapped) is reason


def test_every_reason_is_told() -> None:
    assert all(reason.told for reason in Reason)


@asynccontextmanager
async def stores_at(url: str) -> AsyncIterator[Stores]:
    stores = Stores.connect({"tested": url}, connect_timeout_s=1.0)
    await stores.open()
    try:
        yield stores
    finally:
        await stores.close()


async def reason_at(url: str) -> str:
    async with stores_at(url) as stores:
        with pytest.raises(StoreUnavailable) as raised:
            await stores.ask(Get(THINGS, ("id",), ["1"]))
    assert raised.value.message == "The store 'tested' is unavailable."
    assert raised.value.told == (Reason(raised.value.reason).told if raised.value.reason else "")
    return raised.value.reason


# Neo4j's driver leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("url", ["postgresql://u:p@127.0.0.1:1/x", "mongodb://127.0.0.1:1/x", "bolt://u:p@127.0.0.1:1"])
async def test_nobody_listens(url: str) -> None:
    assert await reason_at(url) == Reason.REFUSED


@pytest.mark.parametrize("url", ["postgresql://u:p@nowhere.invalid/x", "mongodb://nowhere.invalid/x", "bolt://u:p@nowhere.invalid"])
async def test_no_such_host(url: str) -> None:
    assert await reason_at(url) == Reason.NO_HOST


async def test_a_file_that_is_none_of_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database, but a text that is long enough to be looked at as if it were one " * 20)
    assert await reason_at(f"sqlite:///{path}") == Reason.NO_DATABASE


async def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE other (id)").connection.close()
    assert await reason_at(f"sqlite:///{tmp_path / 'empty.db'}") == Reason.NO_TABLE


@needs(POSTGRESQL)
async def test_postgresql_says_why() -> None:
    url = make_url(os_url("TEST_POSTGRES_URL"))
    shown = url.render_as_string(hide_password=False)
    assert await reason_at(url.set(password="wrong").render_as_string(hide_password=False)) == Reason.PASSWORD
    assert await reason_at(url.set(database="nowhere_at_all").render_as_string(hide_password=False)) == Reason.NO_DATABASE
    assert await reason_at(shown) == Reason.NO_TABLE


@needs(NEO4J)
async def test_neo4j_says_why() -> None:
    url = make_url(os_url("TEST_NEO4J_URL"))
    assert await reason_at(url.set(password="wrong").render_as_string(hide_password=False)) == Reason.PASSWORD
    assert await reason_at(url.set(database="nowhere").render_as_string(hide_password=False)) == Reason.NO_DATABASE


@needs(MONGODB)
async def test_mongodb_answers_where_it_is() -> None:
    async with stores_at(os_url("TEST_MONGO_URL")) as stores:
        assert await stores.ask(Get(THINGS, ("id",), ["1"])) == {}


def os_url(variable: str) -> str:
    return os.environ[variable]


async def test_a_connection_of_the_pool_is_waited_for_where_the_server_takes_no_more() -> None:
    """Connecting fails while others are open: who asks waits for one of those, and nobody fails."""

    class Connection:
        def is_closed(self) -> bool:
            return False

    class Full(Exception):
        pass

    made: list[Connection] = []
    tried = 0

    async def connect() -> Connection:
        nonlocal tried
        tried += 1
        if made:
            raise Full
        made.append(Connection())
        return made[0]

    pool = Pool(connect, 5, is_full=lambda error: isinstance(error, Full))
    first = await pool.acquire()
    waiting = [asyncio.ensure_future(pool.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    assert tried == 2, "a full server is not asked for each"
    for task in waiting:
        pool.release(first)
        assert await task is first
    pool.release(first)
    empty = Pool(connect, 5, is_full=lambda error: isinstance(error, Full))
    with pytest.raises(Full):
        await empty.acquire()


@needs(POSTGRESQL)
async def test_a_connection_is_not_used_again_after_an_error_of_the_driver() -> None:
    """More parameters than the protocol has: the driver fails half-way, and its connection is in a state that nobody sees."""
    driver = AsyncpgDriver("tested", os_url("TEST_POSTGRES_URL"), pool_size=1, connect_timeout_s=2.0, timeout_s=3.0)
    await driver.open()
    try:
        before = await driver.fetch("SELECT pg_backend_pid()", ())
        text = f"SELECT 1 WHERE 1 = ANY(ARRAY[{', '.join(f'${number}::int' for number in range(1, 40_001))}])"
        with pytest.raises(GatewayError):
            await driver.fetch(text, list(range(40_000)))
        after = await driver.fetch("SELECT pg_backend_pid()", ())
        assert before[0][0] != after[0][0]
        with pytest.raises(GatewayError):
            await driver.fetch("SELECT 1 / 0", ())  # the server's own error leaves it as it was
        assert (await driver.fetch("SELECT pg_backend_pid()", ()))[0][0] == after[0][0]
    finally:
        await driver.close()
