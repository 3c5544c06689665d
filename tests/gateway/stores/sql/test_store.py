"""What is particular to the SQL kinds: text made once per shape, indexes that serve a page per parent, faults and recovery.

What they answer is in the contract, with every other kind.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy import make_url

from gateway.errors import BadUserInput, Conflict, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import (
    And,
    Collection,
    Column,
    Compare,
    Delete,
    Fetch,
    Get,
    Index,
    Key,
    Match,
    Native,
    NativeCall,
    Op,
    Order,
    Page,
    Pairs,
    Type,
    Upsert,
    Where,
)
from gateway.stores.sql import aiosqlite as sql_aiosqlite
from gateway.stores.sql import asyncpg as sql_asyncpg
from gateway.stores.sql.answers import _send
from gateway.stores.sql.dialects import Dialect
from gateway.stores.sql.postgresql import ROWS_PER_STATEMENT, PostgreSQL
from gateway.stores.sql.sqlite import SQLite
from gateway.stores.sql.statements import Statements
from gateway.stores.sql.store import SqlStore
from tests.gateway.stores.proxies import Proxy
from tests.kinds import kinds, url_of
from tests.tries import in_tries

notes = Collection(
    name="notes",
    store="s",
    columns=(
        Column("id"),
        Column("writer_id"),
        Column("slug"),
        Column("mood", nullable=True),
        Column("tags", Type.TEXTS),
        Column("at", Type.TIME),
    ),
    indexes=(Index(("slug",), unique=True), Index(("writer_id", "at", "id"))),
    managed=True,
)
SQL = kinds(("sqlite", "postgresql"))
both = pytest.mark.parametrize("kind", SQL)
live = pytest.mark.live("TEST_POSTGRES_URL")
dialects = pytest.mark.parametrize("dialect", [PostgreSQL(), SQLite()], ids=lambda dialect: dialect.kind)


def note(number: int, writer: str = "w") -> tuple[Any, ...]:
    return (f"n{number:06}", writer, f"slug {number}", None, ["a", "b"], f"2024-01-01T00:{number // 60 % 60:02}:{number % 60:02}.000Z")


@asynccontextmanager
async def opened(url: str, *, pool_size: int = 2, rows: Sequence[tuple[Any, ...]] = (), timeout_s: float = 3.0) -> AsyncIterator[SqlStore]:
    store = SqlStore("s", url, pool_size=pool_size, connect_timeout_s=10.0, timeout_s=timeout_s)
    await store.open()
    try:
        await store.migrate("s", [notes], None)
        await store.answer(Upsert(notes, rows))
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def empty(kind: str, *, pool_size: int = 2, rows: Sequence[tuple[Any, ...]] = (), timeout_s: float = 3.0) -> AsyncIterator[SqlStore]:
    async with url_of(kind) as url, opened(url, pool_size=pool_size, rows=rows, timeout_s=timeout_s) as store:
        yield store


# ------------------------------------------------------------------------------------------------------- once per shape


def page_of(keys: Sequence[Key], limit: int, mood: str) -> Fetch:
    where = And((Compare("mood", "ne", mood), Compare("slug", "in", tuple(keys))))
    return Fetch(notes, ("id", "at"), Match("writer_id", keys), where, (Order("at", True),), Page(limit, after=(mood, "k")))


@dialects
def test_text_is_made_once_per_shape_whatever_the_values(dialect: Dialect) -> None:
    statements = Statements(dialect)

    texts = {statements.rows(page_of([f"k{i}" for i in range(n)], n, f"mood {n}"))[0].text for n in range(50)}

    assert len(texts) == 1
    assert statements.compiled == 1


@dialects
@pytest.mark.parametrize(
    "other",
    [
        Fetch(notes, ("id",), Match("writer_id", ["k"])),
        Fetch(notes, ("at", "id"), Match("writer_id", ["k"])),
        Fetch(notes, ("id", "at"), Match("id", ["k"])),
        Fetch(notes, ("id", "at"), Pairs("writer_id", [("p", "k")])),
        Fetch(notes, ("id", "at")),
        Fetch(notes, ("id", "at"), Match("writer_id", ["k"]), order=(Order("at"),)),
        Fetch(notes, ("id", "at"), Match("writer_id", ["k"]), page=Page(1)),
        Fetch(notes, ("id", "at"), Match("writer_id", ["k"]), page=Page(1, backward=True)),
        Fetch(notes, ("id", "at"), Match("writer_id", ["k"]), page=Page(1, after=("x",))),
        Fetch(notes, ("id", "at"), Match("writer_id", ["k"]), page=Page(1, before=("x",))),
        Fetch(notes, ("id", "at"), Match("writer_id", ["k"]), Compare("mood", "eq", "x")),
        Fetch(notes, ("id", "at"), Match("writer_id", ["k"]), Compare("mood", "eq", None)),
    ],
)
def test_another_shape_has_another_text(dialect: Dialect, other: Fetch) -> None:
    statements = Statements(dialect)

    first, _ = statements.rows(Fetch(notes, ("id", "at"), Match("writer_id", ["k"])))
    second, _ = statements.rows(other)

    assert first.text != second.text
    assert statements.compiled == 2


@dialects
def test_the_least_recently_used_text_is_forgotten(dialect: Dialect) -> None:
    statements = Statements(dialect, kept=2)
    for columns in (("id",), ("at",), ("id",), ("slug",), ("id",), ("at",)):
        statements.get(Get(notes, columns, ["k"]))

    assert statements.compiled == 4


@dialects
@pytest.mark.parametrize("value", ["' OR 1=1 --", "%", "_", "\\", '"; DROP TABLE notes; --', "👩‍🚀"])
def test_no_value_is_ever_in_the_text(dialect: Dialect, value: str) -> None:
    assert _text_with(dialect, value) == _text_with(dialect, "plain")


def _text_with(dialect: Dialect, value: str) -> str:
    operators: tuple[Op, ...] = ("eq", "ne", "gt", "gte", "lt", "lte", "contains", "starts_with")
    where: Where = And((*(Compare("slug", op, value) for op in operators), Compare("slug", "in", (value,))))
    bounds = Page(3, after=(value, value), before=(value, value))
    return Statements(dialect).rows(Fetch(notes, ("id",), Match("writer_id", [value]), where, (Order("slug"),), bounds))[0].text


@dialects
def test_native_parameters_are_told_from_casts_strings_and_comments(dialect: Dialect) -> None:
    text = "SELECT a::text, ':no', \":nor\" -- :neither\nFROM unnest(:keys::text[]) /* :not :this */ WHERE b = :first AND c = :first"
    native = Native("n", "s", (), {"postgresql": text, "sqlite": text})

    statement, _ = Statements(dialect).native(NativeCall(native, (), {}))

    if dialect.kind == "postgresql":
        assert statement.names == ("keys", "first")
        assert statement.text == text.replace(":keys", "CAST((SELECT CAST(CAST($1 AS text) AS text[])) AS text[])").replace(":first", "$2")
    else:
        assert statement.names == ("keys", "first", "first")
        assert text.replace(":keys", "?").replace(":first", "?") in statement.text


@dialects
def test_a_narrowed_native_query_binds_its_conditions_by_names_of_their_own(dialect: Dialect) -> None:
    text = "SELECT k FROM notes AS n WHERE n.id = :where {and:notes:n} AND EXISTS (SELECT 1 FROM notes AS m {where:notes:m})"
    native = Native("n", "s", (), dict.fromkeys(("postgresql", "sqlite"), text))
    call = NativeCall(native, (), {"where": "x"})

    plain, none = Statements(dialect).native(call)
    narrowed, values = Statements(dialect).native(call.narrowed(notes, Compare("slug", "eq", ":keys")))

    assert "SELECT k FROM notes AS n WHERE n.id = ?  AND EXISTS (SELECT 1 FROM notes AS m )" in plain.text.replace("$1", "?")
    assert none == {}
    assert values == {"where_0_w0": ":keys"}
    assert set(narrowed.names) == {"where", "where_0_w0"}
    assert "AND (n.slug = " in narrowed.text
    assert "WHERE (m.slug = " in narrowed.text


def test_a_server_that_does_not_migrate_loads_neither_alembic_nor_the_orm() -> None:
    check = "import sys, gateway.stores.sql.store; sys.exit('alembic' in sys.modules or 'sqlalchemy.orm' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


# ---------------------------------------------------------------------------------------------------------------- reading


@both
async def test_rows_are_plain_tuples(kind: str) -> None:
    async with empty(kind, rows=[note(1)]) as store:
        by_key = await store.answer(Get(notes, ("tags", "id"), ["n000001"]))
        by_writer = await store.answer(Fetch(notes, ("tags", "at"), Match("writer_id", ["w"]), page=Page(1)))

    assert by_key == {"n000001": (["a", "b"], "n000001")}
    assert by_writer["w"].rows == [(["a", "b"], "2024-01-01T00:00:01.000Z")]
    assert {type(row) for row in [*by_key.values(), *by_writer["w"].rows]} == {tuple}


@both
async def test_totals_are_counted_only_where_the_page_does_not_tell(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with empty(kind, rows=[note(n, "few" if n < 3 else "many") for n in range(9)]) as store:
        run: list[str] = []
        fetch = store._driver.fetch

        async def noted(text: str, values: Sequence[Any]) -> Any:
            run.append(text)
            return await fetch(text, values)

        monkeypatch.setattr(store._driver, "fetch", noted)
        one = await store.answer(Fetch(notes, ("id",), Match("writer_id", ["few"]), page=Page(3), count=True))
        statements_for_one = len(run)
        two = await store.answer(Fetch(notes, ("id",), Match("writer_id", ["few", "many"]), page=Page(3), count=True))

    assert (one["few"].total, statements_for_one) == (3, 1)
    assert (two["few"].total, two["many"].total, len(run)) == (3, 6, 3)


@live
async def test_postgresql_reads_a_page_per_parent_from_the_index() -> None:
    rows = [note(n, f"w{n % 3}") for n in range(6_000)]
    async with url_of("postgresql") as url, opened(url, rows=rows) as store:
        fetch = Fetch(notes, ("id", "slug"), Match("writer_id", ["w0", "w1", "none"]), order=(Order("at"),), page=Page(10))
        plans = [await _explain(url, store, page) for page in (fetch, _backward(fetch), _after(fetch))]

    for plan in plans:
        scan = _nodes(plan, "Index Scan")[0]
        assert scan["Index Name"] == "ix_notes_writer_id_at_id"
        assert scan["Actual Rows"] <= 11, "it stops after the page and one more"
        assert not _nodes(plan, "Sort")
        assert not _nodes(plan, "Seq Scan")


def _backward(fetch: Fetch) -> Fetch:
    return Fetch(fetch.collection, fetch.columns, fetch.match, order=fetch.order, page=Page(10, backward=True))


def _after(fetch: Fetch) -> Fetch:
    return Fetch(
        fetch.collection, fetch.columns, fetch.match, order=fetch.order, page=Page(10, after=("2024-01-01T00:30:00.000Z", "n001800"))
    )


async def _explain(url: str, store: SqlStore, fetch: Fetch) -> dict[str, Any]:
    statement, values = store.statements.rows(fetch)
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute("ANALYZE notes")
        await connection.set_type_codec("json", encoder=str, decoder=orjson.loads, schema="pg_catalog")
        _send(statement, fetch.match, values)
        bound = statement.bind(values)
        found = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}", *bound)
    finally:
        await connection.close()
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any], node_type: str) -> list[dict[str, Any]]:
    own = [plan] if plan["Node Type"].startswith(node_type) else []
    return own + [node for child in plan.get("Plans", ()) for node in _nodes(child, node_type)]


async def test_sqlite_reads_a_page_per_parent_from_the_index(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    async with opened(f"sqlite+aiosqlite:///{path}") as store:
        statement, _ = store.statements.rows(Fetch(notes, ("id",), Match("writer_id", ["w"]), order=(Order("at"),), page=Page(10)))
    connection = sqlite3.connect(path)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", ('["w"]', 11))]
    connection.close()

    first = next(step for step in plan if step.startswith(("SCAN parents", "SEARCH", "SCAN notes")))
    assert first.startswith("SCAN parents"), "the keys come first"
    assert "SEARCH inner_rows USING COVERING INDEX ix_notes_writer_id_at_id (writer_id=?)" in plan
    assert "SEARCH notes USING INTEGER PRIMARY KEY (rowid=?)" in plan


# ---------------------------------------------------------------------------------------------------------------- writing


@both
async def test_ten_thousand_rows_are_written_in_one_call_and_all_or_nothing(kind: str) -> None:
    rows = [note(n) for n in range(10_000)]
    bad = [*rows, ("n999999", "w", None, None, [], rows[0][5])]
    assert len(bad) > ROWS_PER_STATEMENT
    async with empty(kind) as store:
        with pytest.raises(BadUserInput):
            await store.answer(Upsert(notes, bad))
        before = (await store.answer(Fetch(notes, ("id",), page=Page(0), count=True)))[None].total
        await store.answer(Upsert(notes, rows))
        after = (await store.answer(Fetch(notes, ("id",), page=Page(0), count=True)))[None].total

    assert (before, after) == (0, 10_000)


@both
async def test_a_violated_unique_index_is_a_conflict_that_names_the_column(kind: str) -> None:
    async with empty(kind, rows=[note(1)]) as store:
        with pytest.raises(Conflict, match=r"^Another row of notes has the same slug\.$"):
            await store.answer(Upsert(notes, [("other", *note(1)[1:])]))


@both
@pytest.mark.parametrize("key", ["half \ud83d", 2**80], ids=["half a character", "too large"])
async def test_a_value_that_cannot_be_sent_is_the_callers_mistake(kind: str, key: Any) -> None:
    async with empty(kind) as store:
        with pytest.raises(BadUserInput):
            await store.answer(Get(notes, ("id",), [key]))
        with pytest.raises(BadUserInput):
            await store.answer(Fetch(notes, ("id",), where=Compare("slug", "eq", key)))


@live
async def test_a_zero_character_is_the_callers_mistake_in_postgresql() -> None:
    async with empty("postgresql") as store:
        with pytest.raises(BadUserInput):
            await store.answer(Get(notes, ("id",), ["a\x00b"]))


@both
async def test_writers_of_the_same_rows_at_once_all_succeed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sql_asyncpg._SESSION, "lock_timeout", "0")  # only a real circle fails, not a busy machine
    rows = [note(n) for n in range(200)]
    async with empty(kind, pool_size=4, timeout_s=0) as store:
        await asyncio.gather(*(store.answer(Upsert(notes, part)) for part in (rows, rows[::-1]) * 4))
        await asyncio.gather(*(store.answer(Delete(notes, part)) for part in ([(r[0],) for r in rows], [(r[0],) for r in rows[::-1]])))

        assert (await store.answer(Fetch(notes, ("id",), count=True)))[None].total == 0


# ----------------------------------------------------------------------------------------------------- faults, PostgreSQL


@asynccontextmanager
async def behind_a_proxy(*, pool_size: int = 1) -> AsyncIterator[tuple[SqlStore, Proxy]]:
    async with url_of("postgresql") as direct:
        url = make_url(direct)
        proxy = Proxy(url.host or "127.0.0.1", url.port or 5432)
        await proxy.start()
        through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        try:
            async with opened(through, pool_size=pool_size, rows=[note(1)]) as store:
                yield store, proxy
        finally:
            await proxy.cut()


READ = Get(notes, ("id",), ["n000001"])
FOUND = {"n000001": ("n000001",)}
SLOW = Native(
    "slow",
    "s",
    (),
    {
        "postgresql": "SELECT unnest(:keys::text[]) FROM pg_sleep(30)",
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT value FROM json_each(:keys), n WHERE i < 0",
    },
)


@live
async def test_a_server_that_went_away_and_came_back_answers_again() -> None:
    async with behind_a_proxy() as (store, proxy):
        assert await store.answer(READ) == FOUND
        await proxy.cut()
        for _ in range(3):
            with pytest.raises(StoreUnavailable) as failure:
                await store.answer(READ)
            assert failure.value.__cause__ is not None
        await proxy.start()

        assert await store.answer(READ) == FOUND


@in_tries
@live
async def test_a_call_to_a_frozen_server_ends_with_its_deadline_and_later_ones_are_answered() -> None:
    async with behind_a_proxy() as (store, proxy):
        await store.ping()
        proxy.freeze()
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.answer(READ)
        waited = time.monotonic() - started
        proxy.thaw()

        assert waited < 0.5, "the caller does not wait for the connection to be cleaned up"
        assert await store.answer(READ) == FOUND


@live
async def test_terminated_connections_are_replaced() -> None:
    async with empty("postgresql", rows=[note(1)]) as store:
        await store.ping()
        with pytest.raises(StoreUnavailable):
            await store.answer(NativeCall(TERMINATE, ["k"], {}))

        assert await store.answer(READ) == FOUND


TERMINATE = Native(
    "terminate",
    "s",
    (),
    {"postgresql": "SELECT unnest(:keys::text[]), pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"},
)


async def test_opening_a_server_that_is_away_is_no_error_but_calls_are() -> None:
    store = SqlStore("users", "postgres://nobody@127.0.0.1:1/nothing", connect_timeout_s=0.5)
    await store.open()
    try:
        with pytest.raises(StoreUnavailable, match="'users'"):
            await store.ping()
    finally:
        await store.close()


async def test_a_server_that_accepts_and_says_nothing_is_unavailable_after_the_connect_timeout() -> None:
    ended = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.transport.abort()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    store = SqlStore("users", f"postgresql://nobody@127.0.0.1:{server.sockets[0].getsockname()[1]}/nothing", connect_timeout_s=0.1)
    await store.open()
    try:
        with pytest.raises(StoreUnavailable):
            await store.ping()
    finally:
        await store.close()
        ended.set()
        server.close()


@live
async def test_a_statement_that_takes_too_long_is_a_timeout() -> None:
    async with url_of("postgresql") as url:
        store = SqlStore("s", url, timeout_s=0.05)
        await store.open()
        try:
            with pytest.raises(StoreTimeout):
                await store.answer(NativeCall(SLOW, ["k"], {}))
        finally:
            await store.close()


@live
async def test_the_session_is_set_up() -> None:
    text = "SELECT name, setting FROM pg_settings WHERE name = ANY(:keys::text[])"
    shown = Native("shown", "s", (Column("value"),), {"postgresql": text})
    async with empty("postgresql") as store:
        answer = await store.answer(NativeCall(shown, [*sql_asyncpg._SESSION, "statement_timeout", "TimeZone", "DateStyle"], {}))

    settings = {name: rows[0][0] for name, rows in answer.items()}
    assert settings["jit"] == "off"
    assert settings["application_name"] == "crossgraph"
    assert settings["statement_timeout"] == "3000"
    assert settings["lock_timeout"] == "1500"
    assert settings["idle_in_transaction_session_timeout"] == "10000"
    assert settings["TimeZone"] == "UTC"


@live
async def test_a_cancelled_write_leaves_nothing_and_no_transaction_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sql_asyncpg._SESSION, "lock_timeout", "0")
    async with url_of("postgresql") as url, opened(url, pool_size=1) as store:
        other = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            await other.execute("BEGIN; INSERT INTO notes VALUES ('n004999', 'w', 'other', NULL, '{}', now())")
            with pytest.raises(TimeoutError):  # it waits in its second statement, for the other's row
                async with asyncio.timeout(0.5):
                    await store.answer(Upsert(notes, [note(n) for n in range(5_000)]))
            await other.execute("ROLLBACK")
        finally:
            await other.close()

        assert (await store.answer(Fetch(notes, ("id",), count=True)))[None].total == 0
        await store.answer(Upsert(notes, [note(1)]))
        assert await store.answer(READ) == FOUND


# ------------------------------------------------------------------------------------------------------------ faults, both


@in_tries
@both
async def test_a_cancelled_call_gives_its_connection_back(kind: str) -> None:
    async with empty(kind, pool_size=1, rows=[note(1)]) as store:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await store.answer(NativeCall(SLOW, ["k"], {}))
        async with asyncio.timeout(2):
            assert await store.answer(READ) == FOUND


@both
async def test_a_table_that_is_not_there_makes_the_store_unavailable(kind: str) -> None:
    async with url_of(kind) as url:
        store = SqlStore("s", url)
        await store.open()
        try:
            with pytest.raises(StoreUnavailable):
                await store.answer(READ)
        finally:
            await store.close()


@both
async def test_a_native_query_with_a_mistake_is_ours(kind: str) -> None:
    broken = Native("broken", "s", (), {"postgresql": "SELEC :keys", "sqlite": "SELEC :keys"})
    async with empty(kind) as store:
        with pytest.raises(StoreMisbehaved):
            await store.answer(NativeCall(broken, ["k"], {}))


@both
async def test_a_closed_store_can_be_opened_again(kind: str) -> None:
    async with empty(kind, rows=[note(1)]) as store:
        await store.close()
        with pytest.raises(StoreUnavailable):
            await store.answer(READ)
        await store.open()

        assert await store.answer(READ) == FOUND


@live
@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_every_spelling_of_postgresql_is_understood(scheme: str) -> None:
    store = SqlStore("s", f"{scheme}://{os.environ['TEST_POSTGRES_URL'].partition('://')[2]}")
    await store.open()
    await store.ping()
    await store.close()

    assert store.kind == "postgresql"


# --------------------------------------------------------------------------------------------------------- faults, SQLite


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
async def test_sqlite_makes_the_file_and_its_folder(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "notes.db"
    async with opened(f"{scheme}:///{path}", rows=[note(1)]) as store:
        assert store.kind == "sqlite"
        assert await store.answer(READ) == FOUND

    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_a_file_of_somebody_else_keeps_its_journal_mode(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (id TEXT PRIMARY KEY)")
        connection.commit()
    before = path.read_bytes()
    store = SqlStore("theirs", f"sqlite:///{path}")
    await store.open()
    await store.answer(Fetch(Collection("notes", "theirs", (Column("id"),)), ("id",)))
    assert await store.migrate("theirs", [], None) == []
    await store.close()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["theirs.db"]


async def test_a_file_locked_by_another_process_is_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_aiosqlite, "BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "notes.db"
    async with opened(f"sqlite:///{path}", rows=[note(1)]) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreTimeout):
            await store.answer(Upsert(notes, [note(2)]))
        assert await store.answer(READ) == FOUND, "readers do not wait for writers"
        other.execute("ROLLBACK")
        other.close()

        await store.answer(Upsert(notes, [note(2)]))


async def test_processes_may_open_and_write_a_new_file_at_the_same_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/notes.db"

    async def process(number: int) -> None:
        async with opened(url) as store:
            await asyncio.gather(store.ping(), store.ping(), store.answer(Upsert(notes, [note(number)])))

    await asyncio.gather(*(process(number) for number in range(4)))

    async with opened(url) as store:
        assert (await store.answer(Fetch(notes, ("id",), count=True)))[None].total == 4


async def test_a_file_that_is_no_database_is_unavailable_until_it_is_one(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"no database at all, but long enough to look" * 100)
    store = SqlStore("s", f"sqlite:///{path}")
    await store.open()
    try:
        with pytest.raises(StoreUnavailable):
            await store.ping()
        path.unlink()
        await store.ping()
    finally:
        await store.close()


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SqlStore("s", f"sqlite:///{tmp_path}/file/notes.db")
    await store.open()
    with pytest.raises(StoreUnavailable):
        await store.ping()
    await store.close()


async def test_a_slow_read_of_a_file_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_aiosqlite, "SLOW_S", 0.0)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n, json_each(:keys)"
    async with empty("sqlite", rows=[note(1)]) as store:
        slow = asyncio.ensure_future(store.answer(NativeCall(Native("endless", "s", (), {"sqlite": endless}), ["k"], {})))
        found = await asyncio.gather(*(store.answer(READ) for _ in range(5)))
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)

    assert found == [FOUND] * 5


class Deaf:
    """A connection whose statement begins just after the first interrupt, of which SQLite takes no notice then."""

    def __init__(self) -> None:
        self.interrupts = 0
        self.begun, self.ended = threading.Event(), threading.Event()

    def interrupt(self) -> None:
        self.interrupts += 1
        if self.interrupts > 1:
            self.ended.set()

    def execute(self, *_: Any) -> Any:
        self.begun.set()
        assert self.ended.wait(20), "interrupted once more"
        raise sqlite3.OperationalError("interrupted")


async def test_a_read_that_is_given_up_just_before_it_begins_is_ended_all_the_same() -> None:
    connection: Any = Deaf()
    loop = asyncio.get_running_loop()
    read = sql_aiosqlite._Read("SELECT 1", (), loop)
    running = loop.run_in_executor(None, read.run, lambda: connection)
    await asyncio.to_thread(connection.begun.wait, 20)
    read.give_up()
    async with asyncio.timeout(20):
        await running
    assert connection.ended.is_set()
    told = connection.interrupts
    await asyncio.sleep(3 * sql_aiosqlite.INTERRUPTED_EVERY_S)
    assert connection.interrupts == told, "what else runs on the connection is left alone"
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        await read.future


async def test_native_queries_of_sqlite_cannot_write() -> None:
    text = "DELETE FROM notes WHERE id IN (SELECT value FROM json_each(:keys)) RETURNING id, 1.5"
    async with empty("sqlite", rows=[note(1)]) as store:
        for type_, error in ((Type.TEXT, StoreMisbehaved), (Type.FLOAT, StoreUnavailable)):  # rows as JSON, and one by one
            with pytest.raises(error):
                await store.answer(NativeCall(Native("removing", "s", (Column("x", type_),), {"sqlite": text}), ["n000001"], {}))

        assert await store.answer(READ) == FOUND
