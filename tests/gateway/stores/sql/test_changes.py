"""What is particular to changes of rows in the SQL kinds: one statement each, what the database makes of a row, and how transactions end.

What they answer is in the contract, with every other kind.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from gateway.errors import BadUserInput, Conflict, Contended, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import (
    Bump,
    Changed,
    Collection,
    Column,
    Compare,
    Fetch,
    Get,
    Index,
    Insert,
    Lock,
    Remove,
    Request,
    Together,
    Transaction,
    Type,
    Update,
    Upsert,
    Value,
    Within,
    statements,
)
from gateway.stores.sql import aiosqlite as sql_aiosqlite
from gateway.stores.sql.postgresql_changes import FEW
from gateway.stores.sql.store import SqlStore
from gateway.writes.tables import tables_of
from tests.gateway.stores.proxies import Proxy
from tests.kinds import kinds, url_of

SQL = kinds(("sqlite", "postgresql"))
both = pytest.mark.parametrize("kind", SQL)
live = pytest.mark.live("TEST_POSTGRES_URL")

pages = Collection(
    "pages",
    "s",
    (Column("id"), Column("title"), Column("size", Type.INT, nullable=True)),
    indexes=(Index(("title",), unique=True),),
    managed=True,
)
marks = Collection("marks", "s", (Column("id"), Column("page_id")), managed=True)
TABLES = tables_of("s")

# As others made it: the database gives the key, a time, and what follows from the rest.
items = Collection(
    "items",
    "s",
    (
        Column("id", Type.INT, at="Nr"),
        Column("name", at="Name of it"),
        Column("level", Type.ENUM, values=("low", "high"), enum="shop.level"),
        Column("made", Type.TIME, at="order"),
        Column("price", Type.DECIMAL, scale=2, nullable=True),
        Column("total", Type.DECIMAL, scale=2, nullable=True),
        Column("note", nullable=True),
    ),
    table="shop.items",
    indexes=(Index(("name",), unique=True),),
)
MADE_AT = "2020-01-01T00:00:00.000Z"
POSTGRESQL = """
CREATE SCHEMA shop;
CREATE TYPE shop.level AS ENUM ('low', 'high');
CREATE TABLE shop.items (
    "Nr" integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "Name of it" varchar(20) NOT NULL UNIQUE,
    level shop.level NOT NULL DEFAULT 'low',
    "order" timestamp NOT NULL DEFAULT '2020-01-01 00:00:00',
    price numeric(10, 2) DEFAULT 1.5,
    total numeric(10, 2) GENERATED ALWAYS AS (price * 2) STORED,
    note text
)
"""
SQLITE = """
CREATE TABLE "shop.items" (
    "Nr" integer PRIMARY KEY,
    "Name of it" text NOT NULL UNIQUE,
    level text NOT NULL DEFAULT 'low',
    "order" text NOT NULL DEFAULT '2020-01-01 00:00:00',
    price numeric DEFAULT 1.5,
    total numeric GENERATED ALWAYS AS (price * 2) STORED,
    note text
)
"""


@asynccontextmanager
async def opened(url: str, *, pool_size: int = 2, timeout_s: float = 3.0) -> AsyncIterator[SqlStore]:
    store = SqlStore("s", url, pool_size=pool_size, connect_timeout_s=10.0, timeout_s=timeout_s)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def made(kind: str, **options: Any) -> AsyncIterator[SqlStore]:
    async with url_of(kind) as url, opened(url, **options) as store:
        await store.migrate("s", [pages, marks, *TABLES.all], None)
        yield store


@asynccontextmanager
async def theirs(kind: str, more: str = "") -> AsyncIterator[SqlStore]:
    """A store with ``items`` as somebody else made them."""
    async with url_of(kind) as url:
        await execute(url, (POSTGRESQL if kind == "postgresql" else SQLITE) + ";" + more)
        async with opened(url) as store:
            yield store


async def execute(url: str, script: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.partition(":///")[2])) as file:
            file.executescript(script)
        return
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def ids(store: SqlStore, collection: Collection = pages) -> list[Value]:
    found = await store.answer(Fetch(collection, collection.key))
    return [row[0] for row in found[None].rows] if None in found else []


async def run(store: SqlStore, request: Request[Any]) -> list[str]:
    """The statements that a request is."""
    told: list[Any] = []
    token = statements.set(told)
    try:
        await store.answer(request)
    finally:
        statements.reset(token)
    return told


def page(name: str, title: str | None = None, size: int | None = None) -> Insert:
    return Insert(pages, pages.names, [(name, title or f"title of {name}", size)])


# ---------------------------------------------------------------------------------------------------------- statements


@both
async def test_text_is_made_once_per_shape_whatever_the_values(kind: str) -> None:
    async with made(kind) as store:
        for number in range(3):
            key = f"k{number}"
            asked: list[Request[Any]] = [
                Insert(pages, ("id", "title"), [(f"{key} {i}", f"{key} {i}") for i in range(2)]),
                Insert(marks, marks.names, [(f"{key} {i}", key) for i in range(FEW + 1 + number)]),
                Update(pages, (f"{key} 0",), (("size", number),), where=Compare("title", "ne", key), expected=(("size", None),)),
                Lock(pages, [f"{key} 0", key][: number + 1]),
                Together((page(f"{key} a"), Insert(marks, marks.names, [(key, key)]))),
                Bump(TABLES.versions, "pages", [key, "k"]),
                Remove(pages, (f"{key} 0",), expected=(("size", number),)),
            ]
            async with store.transaction() as tx:
                for request in asked:
                    assert await tx.answer(request) or isinstance(request, Together)
            if not number:
                compiled = store.statements.compiled
        assert store.statements.compiled == compiled


@both
async def test_no_value_is_ever_in_the_text(kind: str) -> None:
    evil = "'\"; DROP TABLE pages; --"
    async with made(kind) as store:
        asked: list[Callable[[str], Request[Any]]] = [
            lambda text: page(text, text),
            lambda text: Update(pages, (text,), (("title", f"{text}!"),), where=Compare("title", "eq", text), expected=(("id", text),)),
            lambda text: Remove(pages, (text,), expected=(("title", f"{text}!"),)),
            lambda text: Together((page(text, text),)),
            lambda text: Bump(TABLES.versions, text, [text]),
        ]
        for request in asked:
            assert await run(store, request(evil)) == await run(store, request("plain"))


@live
async def test_a_change_is_one_statement_on_postgresql() -> None:
    async with made("postgresql") as store:
        asked: list[Request[Any]] = [
            Insert(pages, ("id", "title"), [("a", "a"), ("b", "b")]),
            Update(pages, ("a",), (("size", 1),), expected=(("size", None),)),
            Remove(pages, ("a",), expected=(("size", 1),)),
            Together((page("c"), Insert(marks, marks.names, [("m", "c"), ("n", "c")]), page("d"))),
            Bump(TABLES.versions, "pages", ["a", "b"]),
        ]
        assert [len(await run(store, request)) for request in asked] == [1] * len(asked)
        assert await ids(store) == ["b", "c", "d"]
        assert await ids(store, marks) == ["m", "n"]


@live
async def test_a_row_that_is_changed_is_found_by_its_index() -> None:
    """The plan of the statement, as the server makes it for any key."""
    async with made("postgresql") as store:
        await store.answer(Upsert(pages, [(f"{number:05}", f"t{number}", None) for number in range(5_000)]))
        for request in (Update(pages, ("00001",), (("size", 1),)), Remove(pages, ("00001",)), Lock(pages, ["00001", "00002"])):
            told: list[Any] = []
            async with store.transaction() as tx:
                token = statements.set(told)
                try:
                    await tx.answer(request)
                finally:
                    statements.reset(token)
            url = store._driver._dsn  # type: ignore[union-attr]
            connection = await asyncpg.connect(url)
            try:
                await connection.execute("SET plan_cache_mode = force_generic_plan")
                await connection.execute(f"PREPARE it AS {told[0]}")
                places = max(number for number in range(1, 9) if f"${number}" in told[0])
                arguments = ", ".join(["NULL"] * places)
                plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE it({arguments})"))
            finally:
                await connection.close()
            assert "Seq Scan on pages" not in plan, plan


# ---------------------------------------------------------------------------------------- what the database makes of it


@both
async def test_keys_and_defaults_that_the_database_makes_come_back(kind: str) -> None:
    async with theirs(kind) as store:
        rows = await store.answer(Insert(items, ("name", "price"), [("b", "2.25"), ("a", None), ("c", "0.00")]))
        assert [tuple(row) for row in rows] == [
            (1, "b", "low", MADE_AT, "2.25", "4.50", None),
            (2, "a", "low", MADE_AT, None, None, None),
            (3, "c", "low", MADE_AT, "0.00", "0.00", None),
        ]
        found = await store.answer(Get(items, items.names, ["1", "2", "3"]))
        assert [tuple(found[key]) for key in "123"] == [tuple(row) for row in rows]
        [row] = await store.answer(Insert(items, ("level", "made", "name"), [("high", "2024-02-29T12:00:00.120Z", "d")]))
        assert tuple(row) == (4, "d", "high", "2024-02-29T12:00:00.120Z", "1.50", "3.00", None)


@both
async def test_generated_columns_follow_an_update(kind: str) -> None:
    async with theirs(kind) as store:
        await store.answer(Insert(items, ("name",), [("a",)]))
        update = Update(items, ("1",), (("price", "4.00"), ("level", "high"), ("note", "n")), expected=(("level", "low"), ("price", "1.5")))
        old, new = (1, "a", "low", MADE_AT, "1.50", "3.00", None), (1, "a", "high", MADE_AT, "4.00", "8.00", "n")
        assert await store.answer(update) == Changed(old, new)
        assert await store.answer(update) == Changed(new, None, is_done=False)
        assert await store.answer(Remove(items, ("1",), where=Compare("level", "eq", "high"))) == Changed(new, None)


@both
async def test_an_update_of_nothing_leaves_a_key_alone_that_only_the_database_makes(kind: str) -> None:
    async with theirs(kind) as store:
        [row] = await store.answer(Insert(items, ("name",), [("a",)]))
        assert await store.answer(Update(items, ("1",), ())) == Changed(row, row)
        assert await store.answer(Update(items, ("1",), (), expected=(("name", "b"),))) == Changed(row, None, is_done=False)


@both
async def test_conflicts_name_columns_as_they_are_declared(kind: str) -> None:
    async with theirs(kind) as store:
        await store.answer(Insert(items, ("name",), [("a",), ("b",)]))
        for request in (
            Insert(items, ("name",), [("a",)]),
            Update(items, ("2",), (("name", "a"),)),
            Together((Insert(items, ("name",), [("b",)]),)),
        ):
            with pytest.raises(Conflict, match=r"^Another row of items has the same name\.$") as refused:
                await store.answer(request)
            assert (refused.value.collection, refused.value.columns) == ("items", ("name",))


@both
@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (("price",), ("1.00",)),
        (("name",), (None,)),
        (("name", "price"), ("x", "no number")),
        (("name", "made"), ("x", "yesterday")),
        (("name", "level"), ("x", "middle")),
    ],
)
async def test_what_can_be_no_row_is_bad_input_and_nothing_is_there(kind: str, columns: tuple[str, ...], row: tuple[Value, ...]) -> None:
    async with theirs(kind) as store:
        with pytest.raises(BadUserInput):
            await store.answer(Insert(items, columns, [row]))
        [kept] = await store.answer(Insert(items, ("name",), [("a",)]))
        key = (str(kept[0]),)
        update = Update(items, key, tuple(zip(columns, row, strict=True)))
        if columns != ("price",):
            with pytest.raises(BadUserInput):
                await store.answer(update)
        assert len(await ids(store, items)) == 1
        assert await store.answer(Remove(items, key)) == Changed(kept, None), "and the connection goes on"


@both
async def test_rows_of_no_columns_are_what_the_database_makes_of_them(kind: str) -> None:
    blanks = Collection("blanks", "s", (Column("id", Type.INT), Column("size", Type.INT)))
    key = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY" if kind == "postgresql" else "integer PRIMARY KEY"
    async with theirs(kind, f"CREATE TABLE blanks (id {key}, size integer DEFAULT 7)") as store:
        rows = await store.answer(Insert(blanks, (), [(), (), ()]))
        await store.answer(Together((Insert(blanks, (), [()]), Insert(items, ("name",), [("a",)]))))
        assert [tuple(row) for row in rows] == [(1, 7), (2, 7), (3, 7)]
        assert (await ids(store, blanks), await ids(store, items)) == ([1, 2, 3, 4], [1])


LOUD = {
    "postgresql": """
        CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := upper(NEW."Name of it"); RETURN NEW; END $$;
        CREATE TRIGGER loud BEFORE INSERT OR UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION loud()
    """,
    "sqlite": """
        CREATE TRIGGER loud AFTER INSERT ON "shop.items" BEGIN
            UPDATE "shop.items" SET note = upper("Name of it") WHERE "Nr" = NEW."Nr"; END;
        CREATE TRIGGER louder AFTER UPDATE OF "Name of it" ON "shop.items" BEGIN
            UPDATE "shop.items" SET note = upper("Name of it") WHERE "Nr" = NEW."Nr"; END
    """,
}


@both
async def test_what_triggers_did_is_in_what_comes_back(kind: str) -> None:
    async with theirs(kind, LOUD[kind]) as store:
        rows = await store.answer(Insert(items, ("name",), [("a",), ("b",)]))
        assert [row[-1] for row in rows] == ["A", "B"]
        answer = await store.answer(Update(items, ("1",), (("name", "c"),)))
        assert answer is not None
        assert answer.after is not None
        assert (answer.before[-1], answer.after[-1]) == ("A", "C")


STRICT = {
    "postgresql": """
        CREATE FUNCTION strict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER strict BEFORE UPDATE OR DELETE ON shop.items FOR EACH ROW EXECUTE FUNCTION strict()
    """,
    "sqlite": """
        CREATE TRIGGER strict BEFORE UPDATE ON "shop.items" BEGIN SELECT RAISE(IGNORE); END;
        CREATE TRIGGER stricter BEFORE DELETE ON "shop.items" BEGIN SELECT RAISE(IGNORE); END
    """,
}


@both
async def test_what_a_trigger_would_not_have_is_not_done(kind: str) -> None:
    async with theirs(kind, STRICT[kind]) as store:
        [row] = await store.answer(Insert(items, ("name",), [("a",)]))
        for request in (Update(items, ("1",), (("name", "c"),)), Remove(items, ("1",))):
            assert await store.answer(request) == Changed(row, None, is_done=False)


@both
async def test_columns_that_are_named_as_a_statements_own(kind: str) -> None:
    names = ("is_met", "is_done", "before", "after", "sent", "place")
    odd = Collection("odd", "s", tuple(Column(name, Type.INT, nullable=name != "is_met") for name in names), key=("is_met",), managed=True)
    async with url_of(kind) as url, opened(url) as store:
        await store.migrate("s", [odd], None)
        rows = [(1, 2, 3, 4, 5, 6), (2, 3, 4, 5, 6, 7)]
        assert [tuple(row) for row in await store.answer(Insert(odd, names, rows))] == rows
        values = tuple((name, 9) for name in names[1:])
        assert await store.answer(Update(odd, ("1",), values)) == Changed(rows[0], (1, 9, 9, 9, 9, 9))
        assert await store.answer(Remove(odd, ("2",))) == Changed(rows[1], None)


@both
async def test_a_key_may_be_changed(kind: str) -> None:
    async with made(kind) as store:
        await store.answer(Upsert(pages, [("a", "a", 1), ("b", "b", 2)]))
        assert await store.answer(Update(pages, ("a",), (("id", "c"), ("size", 3)))) == Changed(("a", "a", 1), ("c", "a", 3))
        with pytest.raises(Conflict, match=r"^Another row of pages has the same id\.$"):
            await store.answer(Update(pages, ("b",), (("id", "c"),)))
        assert await ids(store) == ["b", "c"]


# -------------------------------------------------------------------------------------------------- how a transaction ends


@both
async def test_one_connection_is_enough_for_one_transaction_after_the_other(kind: str) -> None:
    async with made(kind, pool_size=1) as store:
        for number in range(5):
            with suppress(LookupError):
                async with store.transaction() as tx:
                    await tx.answer(page(f"{number}"))
                    raise LookupError
            with pytest.raises(Conflict):
                async with store.transaction() as tx:
                    await tx.answer(Together((page("x"), page("x"))))
            async with store.transaction() as tx:
                await tx.answer(page(f"kept {number}"))
        assert await ids(store) == [f"kept {number}" for number in range(5)]


@live
async def test_a_transaction_that_is_given_up_gives_its_connection_back_and_one_that_is_cancelled_throws_it_away() -> None:
    async with made("postgresql", pool_size=1) as store:
        pids = []
        for error in (None, LookupError, None, asyncio.CancelledError, None):
            try:
                async with store.transaction() as tx:
                    pids.append(tx._driver._connection.get_server_pid())  # type: ignore[attr-defined]
                    await tx.answer(page("a"))
                    raise error or LookupError
            except (LookupError, asyncio.CancelledError):
                pass
        assert pids[0] == pids[1] == pids[2] == pids[3] != pids[4]
        assert await ids(store) == []


@both
async def test_a_call_that_takes_too_long_ends_its_transaction(kind: str) -> None:
    """The connection may be in any state: whoever goes on hears of it, and nothing is committed."""
    async with made(kind, pool_size=1) as store:
        await store.answer(page("a"))

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.answer(page("b"))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(-1):
                        await tx.answer(page("c"))

        with pytest.raises(StoreUnavailable):
            await work()
        assert await ids(store) == ["a"]


@both
async def test_being_contended_is_told_whatever_came_of_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with made(kind) as store:

        async def contended(_: Any) -> Any:
            raise Contended("s")

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.answer(page("a"))
                monkeypatch.setattr(tx._driver, "run", contended)
                try:
                    await tx.answer(page("b"))
                except Conflict:
                    raise LookupError("what the author makes of it") from None

        with pytest.raises(Contended) as told:
            await work()
        assert isinstance(told.value.__cause__, LookupError)
        assert await ids(store) == []


@both
async def test_a_store_that_is_closed_or_not_open_has_no_transactions(kind: str) -> None:
    async with made(kind) as store:
        pass
    with pytest.raises(StoreUnavailable, match="'s'"):
        async with store.transaction():
            pass
    with pytest.raises(StoreUnavailable, match="'s'"):
        await store.answer(page("a"))


# ------------------------------------------------------------------------------------------------------------- PostgreSQL


@asynccontextmanager
async def behind_a_proxy() -> AsyncIterator[tuple[SqlStore, Proxy]]:
    async with url_of("postgresql") as direct:
        url = make_url(direct)
        proxy = Proxy(url.host or "127.0.0.1", url.port or 5432)
        await proxy.start()
        try:
            async with opened(url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False), pool_size=1) as store:
                await store.migrate("s", [pages, marks], None)
                yield store, proxy
        finally:
            await proxy.cut()


@live
async def test_nobody_knows_whether_a_commit_happened_whose_answer_does_not_come() -> None:
    async with behind_a_proxy() as (store, proxy):

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.answer(page("a"))
                await proxy.cut()

        with pytest.raises(StoreUnavailable) as told:
            await work()
        assert told.value.extensions == {"code": "STORE_UNAVAILABLE", "store": "s", "committed": "unknown"}
        assert told.value.__cause__ is not None
        await proxy.start()
        await store.answer(page("b"))


@live
async def test_a_connection_that_is_lost_before_the_commit_is_no_question() -> None:
    async with behind_a_proxy() as (store, proxy):

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.answer(page("a"))
                await proxy.cut()
                await tx.answer(page("b"))

        with pytest.raises(StoreUnavailable) as told:
            await work()
        assert "committed" not in told.value.extensions
        await proxy.start()
        assert await ids(store) == []


@live
async def test_what_the_commit_itself_finds_is_told_as_it_is() -> None:
    """A constraint that is deferred is looked at by the commit: then nothing has happened, and everybody knows."""
    deferred = "ALTER TABLE shop.items ADD CONSTRAINT same UNIQUE (note) DEFERRABLE INITIALLY DEFERRED"
    async with theirs("postgresql", deferred) as store:
        await store.answer(Insert(items, ("name", "note"), [("a", "x")]))
        with pytest.raises(Conflict) as told:
            async with store.transaction() as tx:
                await tx.answer(Insert(items, ("name", "note"), [("b", "x")]))
        assert "committed" not in told.value.extensions
        assert await ids(store, items) == [1]


@live
async def test_two_that_wait_for_each_other_are_contended() -> None:
    async with made("postgresql") as store:
        await store.answer(Upsert(pages, [("a", "a", 0), ("b", "b", 0)]))
        barrier = asyncio.Barrier(2)

        async def work(first: str, second: str) -> str | None:
            try:
                async with store.transaction() as tx:
                    await tx.answer(Update(pages, (first,), (("size", 1),)))
                    await barrier.wait()
                    await tx.answer(Update(pages, (second,), (("size", 1),)))
            except Contended:
                return None
            return first

        answers = await asyncio.gather(work("a", "b"), work("b", "a"))
        assert answers.count(None) == 1
        found = await store.answer(Get(pages, ("size",), ["a", "b"]))
        assert {key: row[0] for key, row in found.items()} == {"a": 1, "b": 1}


@live
async def test_a_serialization_failure_is_contended() -> None:
    """Where a server's transactions see one snapshot, what was written after it cannot be changed by them."""
    async with url_of("postgresql") as url:
        await execute(url, f"ALTER DATABASE {make_url(url).database} SET default_transaction_isolation = 'repeatable read'")
        async with opened(url) as store:
            await store.migrate("s", [pages], None)
            await store.answer(page("a"))

            async def work(tx: Transaction) -> None:
                await tx.answer(Within(Get(pages, ("id",), ["a"])))
                await store.answer(Update(pages, ("a",), (("size", 1),)))
                await tx.answer(Update(pages, ("a",), (("size", 2),)))

            with pytest.raises(Contended):
                async with store.transaction() as tx:
                    await work(tx)
            found = await store.answer(Get(pages, ("size",), ["a"]))
            assert found["a"] == (1,)


@live
async def test_rows_are_locked_in_the_order_of_their_keys_whatever_the_order_asked() -> None:
    async with made("postgresql", pool_size=4) as store:
        await store.answer(Upsert(pages, [(f"{number:02}", f"{number}", None) for number in range(40)]))
        keys = [f"{number:02}" for number in range(40)]

        async def work(asked: Sequence[str]) -> None:
            async with store.transaction() as tx:
                assert set(await tx.answer(Lock(pages, asked))) == set(keys)

        await asyncio.gather(*(work(asked) for asked in (keys, keys[::-1]) * 6))


# ---------------------------------------------------------------------------------------------------------------- SQLite


async def test_a_second_gateway_on_the_file_waits_for_a_transaction() -> None:
    async with made("sqlite") as store, opened(f"sqlite+aiosqlite:///{store._driver._path}") as other:  # type: ignore[union-attr]
        async with store.transaction() as tx:
            await tx.answer(page("a", size=1))
            task = asyncio.create_task(other.answer(Update(pages, ("a",), (("size", 2),), expected=(("size", 1),))))
            await other.answer(Get(pages, ("id",), ["a"]))  # which takes longer than the task to begin
            await tx.answer(page("b"))
        answer = await task
        assert answer is not None
        assert answer.is_done
        assert await ids(other) == ["a", "b"]


async def test_a_second_gateway_does_not_wait_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_aiosqlite, "BUSY_TIMEOUT_S", 0.05)
    async with made("sqlite") as store, opened(f"sqlite+aiosqlite:///{store._driver._path}") as other:  # type: ignore[union-attr]
        async with store.transaction() as tx:
            await tx.answer(page("a"))
            with pytest.raises(StoreTimeout):
                await other.answer(page("b"))
            with pytest.raises(StoreTimeout):
                async with other.transaction() as theirs_:
                    await theirs_.answer(page("b"))
        await other.answer(page("b"))
        assert await ids(store) == ["a", "b"]


async def test_closing_ends_a_transaction_without_it() -> None:
    async with made("sqlite") as store:
        path = store._driver._path  # type: ignore[union-attr]

        async def work() -> None:
            async with store.transaction() as tx:
                await tx.answer(page("a"))
                await store.close()
                await tx.answer(page("b"))

        with pytest.raises(StoreUnavailable):
            await work()
        with closing(sqlite3.connect(path)) as file:
            assert file.execute("SELECT count(*) FROM pages").fetchone() == (0,)


async def test_a_file_that_is_read_only_has_no_transactions(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "f.db")) as file:
        file.execute("CREATE TABLE pages (id text PRIMARY KEY, title text, size integer)")
    store = SqlStore("s", f"sqlite+aiosqlite:///{tmp_path}/f.db", is_read_only=True)
    await store.open()
    try:
        with pytest.raises(StoreMisbehaved, match="read-only"):
            async with store.transaction():
                pass
        with pytest.raises(StoreMisbehaved, match="read-only"):
            await store.answer(page("a"))
        assert await store.answer(Get(pages, ("id",), ["a"])) == {}
    finally:
        await store.close()


async def test_what_others_wrote_of_no_type_is_told_as_it_is_and_can_be_changed() -> None:
    async with theirs("sqlite", """INSERT INTO "shop.items" ("Name of it", price) VALUES ('a', 'dear')""") as store:
        answer = await store.answer(Update(items, ("1",), (("price", "2.00"),)))
        assert answer is not None
        assert answer.after is not None
        assert (answer.before[1], answer.after[4]) == ("a", "2.00")
