"""Tables as others made them: types of the databases' own, read, paged, filtered, grouped, and as keys, by the index that is there."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest

from gateway.errors import BadUserInput, WrongValue
from gateway.graph.found import problems_of
from gateway.stores import Stores
from gateway.stores.base import (
    Aggregate,
    Bucket,
    Collection,
    Column,
    Compare,
    Fetch,
    Get,
    Match,
    Measure,
    Native,
    NativeCall,
    Not,
    Op,
    Order,
    Page,
    Pairs,
    Type,
    Upsert,
    Value,
)
from gateway.stores.sql.answers import _send
from gateway.stores.sql.store import SqlStore
from gateway.stores.types import KeyForm
from gateway.stores.values import Unreadable
from tests.kinds import kinds, needs, url_of
from tests.servers import POSTGRESQL

LEVELS = ("low", "mid", "high")
DRIFT = Unreadable("a value that is none of its column's type")


@dataclass(frozen=True)
class Case:
    """A native type, the declaration over it, and literals of SQL with what they are on the wire, in their order."""

    name: str
    made: str
    column: Column
    values: Sequence[tuple[str, Value]]
    drift: Sequence[str] = ()
    is_ranged: bool = True

    def __str__(self) -> str:
        return self.name


def track(column: Column, *, table: str) -> Collection:
    return Collection("tracks", "s", (Column("id", Type.INT, at="Track Id"), column), table=table)


def of(type_: Type = Type.TEXT, **options: Any) -> Column:
    return Column("value", type_, nullable=True, at="Order", **options)


@asynccontextmanager
async def made(kind: str, *statements: str) -> AsyncIterator[tuple[str, SqlStore]]:
    """Give a store of a database that somebody made by these statements."""
    async with url_of(kind) as url:
        if kind == "sqlite":
            file = sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"))
            file.executescript(";".join(statements))
            file.close()
        else:
            connection = await asyncpg.connect(url.replace("+asyncpg", ""))
            for statement in statements:
                await connection.execute(statement)
            await connection.close()
        store = SqlStore("s", url)
        await store.open()
        try:
            yield url, store
        finally:
            await store.close()


async def rows_of(store: SqlStore, fetch: Fetch) -> list[tuple[Value, ...]]:
    found = await store.answer(fetch)
    return [tuple(row) for row in found[None].rows] if None in found else []


async def walked(store: SqlStore, tracks: Collection, order: tuple[Order, ...], *, backward: bool) -> list[tuple[Value, ...]]:
    """All rows, by pages of two, each from where the one before it ended: in whose cursor an error is a null."""
    stores = Stores({"s": store})
    rows: list[tuple[Value, ...]] = []
    edge: tuple[Value, ...] | None = None
    for _ in range(100):
        page = Page(2, backward=backward, **({"before" if backward else "after": edge}))
        slice_ = (await stores.ask(Fetch(tracks, ("id", "value"), order=order, page=page))).get(None)
        if slice_ is None:
            break
        found = [tuple(row) for row in slice_.rows]
        rows = [*found, *rows] if backward else [*rows, *found]
        last = found[0] if backward else found[-1]
        edge = (None if isinstance(last[1], WrongValue) else last[1], last[0])
        if not slice_.more:
            return rows
    return rows


async def check(kind: str, case: Case, tracks: Collection, *statements: str, is_key: bool = True) -> None:
    """Read, order, filter, group and look up the values of a case, each of which is there twice, with a null and what is no value."""
    literals = [literal for literal, _ in case.values]
    cells = [*literals, *reversed(literals), "NULL", *case.drift]
    wires = [wire for _, wire in case.values]
    values: list[Value] = [*wires, *reversed(wires), None, *[DRIFT] * len(case.drift)]
    numbers = [(place * 5) % 101 for place in range(len(cells))]
    name = 'music."Track"' if kind == "postgresql" else '"Track"'
    insert = f"INSERT INTO {name} VALUES " + ", ".join(f"({n}, {cell})" for n, cell in zip(numbers, cells, strict=True))
    table = f'CREATE TABLE {name} ("Track Id" integer PRIMARY KEY, "Order" {case.made})'
    async with made(kind, *statements, table, insert) as (_, store):
        assert list(map(str, problems_of([tracks], await store.describe([tracks])))) == []
        by_id = dict(zip(numbers, values, strict=True))
        found: dict[Any, Value] = dict(await rows_of(store, Fetch(tracks, ("id", "value"))))
        column = tracks["value"]
        assert {n: v for n, v in found.items() if by_id[n] is not DRIFT} == {n: v for n, v in by_id.items() if v is not DRIFT}

        places = {text: place for place, text in enumerate(dict.fromkeys(map(repr, wires)))}
        there = sorted((n for n, v in by_id.items() if v is not None and v is not DRIFT), key=lambda n: (places[repr(by_id[n])], n))
        rest = sorted(n for n, v in by_id.items() if v is None or v is DRIFT)
        downward = sorted(there, key=lambda n: (-places[repr(by_id[n])], n))
        for backward in (False, True):
            for descending, expected in ((False, there + rest), (True, downward + rest)):
                order = (Order("value", descending),)
                assert [n for n, _ in await walked(store, tracks, order, backward=backward)] == expected, (backward, descending)

        everyone = set(by_id)
        ops: tuple[Op, ...] = ("eq", "ne", "in", "gt", "gte", "lt", "lte") if case.is_ranged else ("eq", "ne", "in")
        for wire in dict.fromkeys(map(repr, wires)):
            place = places[wire]
            value = next(v for v in wires if repr(v) == wire)
            for op in ops:
                tests = {
                    "eq": place.__eq__,
                    "ne": place.__ne__,
                    "in": place.__eq__,
                    "gt": place.__lt__,
                    "gte": place.__le__,
                    "lt": place.__gt__,
                    "lte": place.__ge__,
                }
                expected_ids = {n for n in there if tests[op](places[repr(by_id[n])])} | (set(rest) if op == "ne" else set())
                where = Compare("value", op, (value,) if op == "in" else value)
                assert {n for (n,) in await rows_of(store, Fetch(tracks, ("id",), where=where))} == expected_ids, where
                assert {n for (n,) in await rows_of(store, Fetch(tracks, ("id",), where=Not(where)))} == everyone - expected_ids, where
        nulls = {n for n, v in by_id.items() if v is None}
        assert {n for (n,) in await rows_of(store, Fetch(tracks, ("id",), where=Compare("value", "eq", None)))} == nulls
        assert {n for (n,) in await rows_of(store, Fetch(tracks, ("id",), where=Compare("value", "ne", None)))} == everyone - nulls

        if is_key:
            await check_keys(store, tracks, {n: by_id[n] for n in there}, column)
        form = KeyForm([column])
        if not case.drift:
            groups = await store.answer(Aggregate(tracks, ("value",), (Measure("count"),)))
            counts: dict[str, int] = {}
            for n in there:
                counts[repr(by_id[n])] = counts.get(repr(by_id[n]), 0) + 1
            shown = {repr(v): form.text([v]) if column.type is Type.DECIMAL and column.scale is None else v for v in wires}
            assert [tuple(row) for row in groups[None]] == [*((shown[t], counts[t]) for t in places), (None, 1)]
        if column.type in (Type.TEXT, Type.INT, Type.FLOAT, Type.DECIMAL, Type.TIME, Type.DATE, Type.CLOCK):
            extremes = await store.answer(Aggregate(tracks, (), (Measure("min", "value"), Measure("max", "value"))))
            assert [tuple(row) for row in extremes[None]] == [(wires[0], wires[-1])]


async def check_keys(store: SqlStore, tracks: Collection, by_id: dict[Any, Value], column: Column) -> None:
    """Look the values up as keys: rows of them, pages, totals, pairs, and one of each."""
    form = KeyForm([column])
    expected: dict[str, list[int]] = {}
    for n, value in sorted(by_id.items()):
        key = form.text([value])
        assert key is not None
        expected.setdefault(key, []).append(n)
    strangers = ["nobody", "", "-1.5e", "\U0001f600,"]
    asked = [*expected, *(key for key in strangers if key not in expected)]
    for page in (None, Page(1), Page(1, backward=True)):
        found = await store.answer(Fetch(tracks, ("id",), Match("value", asked), page=page, count=True))
        cut = slice(None) if page is None else slice(-1, None) if page.backward else slice(1)
        assert {key: [n for (n,) in part.rows] for key, part in found.items() if part.rows} == {k: v[cut] for k, v in expected.items()}
        assert {key: part.total for key, part in found.items() if part.rows} == {key: len(ids) for key, ids in expected.items()}
    pairs = await store.answer(Fetch(tracks, ("id",), Pairs("value", [("p", key) for key in asked])))
    assert sorted(n for (n,) in pairs["p"].rows) == sorted(by_id)
    counts = await store.answer(Aggregate(tracks, (), (Measure("count"),), Match("value", asked)))
    assert {key: rows[0][0] for key, rows in counts.items() if rows} == {key: len(ids) for key, ids in expected.items()}
    one = await store.answer(Get(tracks, ("id",), asked, "value"))
    assert {key: row[0] in expected[key] for key, row in one.items()} == dict.fromkeys(expected, True)


# ------------------------------------------------------------------------------------------------------------- PostgreSQL

TIMES = [
    ("'-infinity'", "-infinity"),
    ("'0044-03-15 12:00:00+00 BC'", "-0043-03-15T12:00:00.000000Z"),
    ("'0001-12-31 12:00:00+00 BC'", "0000-12-31T12:00:00.000000Z"),
    ("'0001-01-01 00:00:00+00'", "0001-01-01T00:00:00.000000Z"),
    ("'2009-01-01 00:00:00.000001+00'", "2009-01-01T00:00:00.000001Z"),
    ("'9999-12-31 23:59:59.999999+00'", "9999-12-31T23:59:59.999999Z"),
    ("'10000-01-01 00:00:00+00'", "+10000-01-01T00:00:00.000000Z"),
    ("'294276-12-31 23:59:59+00'", "+294276-12-31T23:59:59.000000Z"),
    ("'infinity'", "infinity"),
]
TEXTS = [("''", ""), ("'A'", "A"), ("'B'", "B"), ("'a'", "a"), ("'é'", "é"), ("U&'\\+01F600'", "\U0001f600")]
PG = [
    Case("text of another collation", 'text COLLATE "en-x-icu"', of(), TEXTS),
    Case("varchar", 'varchar(20) COLLATE "en-x-icu"', of(), TEXTS),
    Case("char", "char(5)", of(), [("'A'", "A"), ("'AB'", "AB"), ("'a'", "a")]),
    Case("domain", "short", of(), TEXTS),
    Case("smallint", "smallint", of(Type.INT, bits=32), [("-32768", -32768), ("0", 0), ("32767", 32767)]),
    Case("integer", "integer", of(Type.INT), [("-2147483648", -(2**31)), ("-1", -1), ("7", 7), ("2147483647", 2**31 - 1)]),
    Case("bigint", "bigint", of(Type.INT), [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1)]),
    Case("real", "real", of(Type.FLOAT), [("-1.5", -1.5), ("0.1", 0.10000000149011612), ("3e38", 3.0000000054977558e38)], ["'NaN'"]),
    Case(
        "double",
        "double precision",
        of(Type.FLOAT),
        [("-1e300", -1e300), ("0.1", 0.1), ("1e300", 1e300)],
        ["'NaN'", "'NaN'", "'-Infinity'", "'Infinity'"],
    ),
    Case(
        "numeric",
        "numeric",
        of(Type.DECIMAL),
        [("-1e30", "-1" + "0" * 30), ("0.1", "0.1"), ("1.50", "1.50"), ("2", "2"), ("'Infinity'", "Infinity"), ("'NaN'", "NaN")],
        is_ranged=False,
    ),
    Case(
        "numeric(10,2)", "numeric(10,2)", of(Type.DECIMAL, scale=2), [("-0.01", "-0.01"), ("0", "0.00"), ("9.9", "9.90"), ("10", "10.00")]
    ),
    Case("of a greater scale", "numeric(10,1)", of(Type.DECIMAL, scale=3), [("-0.1", "-0.100"), ("9.9", "9.900")]),
    Case("timestamptz", "timestamptz", of(Type.TIME, precision=6), TIMES),
    Case("timestamp", "timestamp", of(Type.TIME, precision=6), TIMES),
    Case("timestamp(0)", "timestamp(0)", of(Type.TIME), [("'2009-01-01 00:00:01'", "2009-01-01T00:00:01.000Z")]),
    Case(
        "date",
        "date",
        of(Type.DATE),
        [
            ("'-infinity'", "-infinity"),
            ("'0044-03-15 BC'", "-0043-03-15"),
            ("'0001-01-01'", "0001-01-01"),
            ("'2000-02-29'", "2000-02-29"),
            ("'9999-12-31'", "9999-12-31"),
            ("'10000-01-01'", "+10000-01-01"),
            ("'400000-01-01'", "+400000-01-01"),
            ("'infinity'", "infinity"),
        ],
    ),
    Case("time", "time", of(Type.CLOCK, precision=6), [("'00:00'", "00:00:00.000000"), ("'23:59:59.999999'", "23:59:59.999999")]),
    Case(
        "uuid",
        "uuid",
        of(Type.UUID),
        [(f"'{text}'", text) for text in ("123e4567-e89b-12d3-a456-426614174000", "ffffffff-ffff-ffff-ffff-ffffffffffff")],
    ),
    Case("bytea", "bytea", of(Type.BYTES), [("''", ""), ("'\\x00ff'", "AP8="), (f"'\\x{'61' * 100}'", "YWFh" * 33 + "YQ==")]),
    Case("boolean", "boolean", of(Type.BOOL), [("false", False), ("true", True)], is_ranged=False),
    Case("enum", "kinds.level", of(Type.ENUM, enum="kinds.level", values=LEVELS), [(f"'{v}'", v) for v in LEVELS], is_ranged=False),
    Case("enum as text", "varchar(9)", of(Type.ENUM, values=LEVELS), [(f"'{v}'", v) for v in LEVELS], ["'other'"], is_ranged=False),
    Case("object id", "text", of(Type.OBJECT_ID), [(f"'{v}'", v) for v in ("0" * 24, "507f1f77bcf86cd799439011")]),
]
PG_MADE = (
    "CREATE SCHEMA music",
    "CREATE SCHEMA kinds",
    "CREATE TYPE kinds.level AS ENUM ('low', 'mid', 'high')",
    "CREATE DOMAIN short AS text CHECK (length(value) < 10)",
)


@needs(POSTGRESQL)
@pytest.mark.parametrize("case", PG, ids=str)
async def test_a_column_of_postgresql(case: Case) -> None:
    await check("postgresql", case, track(case.column, table="music.Track"), *PG_MADE)


NOCASE = track(of(collation="nocase"), table="music.Track")


@needs(POSTGRESQL)
async def test_citext() -> None:
    table = 'CREATE TABLE music."Track" ("Track Id" integer PRIMARY KEY, "Order" citext)'
    rows = """INSERT INTO music."Track" VALUES (1, 'Bob'), (2, 'ada'), (3, 'ADA'), (4, NULL), (5, 'bOb'), (6, '_')"""
    async with made("postgresql", "CREATE EXTENSION citext", *PG_MADE, table, rows) as (_, store):
        assert list(map(str, problems_of([NOCASE], await store.describe([NOCASE])))) == []
        await check_without_case(store)


async def check_without_case(store: SqlStore) -> None:
    for backward in (False, True):
        assert [n for n, _ in await walked(store, NOCASE, (Order("value"),), backward=backward)] == [6, 2, 3, 1, 5, 4]
        assert [n for n, _ in await walked(store, NOCASE, (Order("value", True),), backward=backward)] == [1, 5, 2, 3, 6, 4]
    wanted: list[tuple[Op, Value, set[int]]] = [
        ("eq", "aDa", {2, 3}),
        ("ne", "aDa", {1, 4, 5, 6}),
        ("in", ("BOB", "x"), {1, 5}),
        ("gt", "ADA", {1, 5}),
        ("gte", "BOB", {1, 5}),
        ("lt", "BOB", {2, 3, 6}),
        ("contains", "D", {2, 3}),
        ("starts_with", "BO", {1, 5}),
    ]
    for op, value, ids in wanted:
        found = await rows_of(store, Fetch(NOCASE, ("id",), where=Compare("value", op, value)))
        assert {n for (n,) in found} == ids, op
    keys = ["ada", "ADA", "bob", "x"]
    for page in (None, Page(5)):
        slices = await store.answer(Fetch(NOCASE, ("id",), Match("value", keys), page=page, count=True))
        assert {key: ([n for (n,) in part.rows], part.total) for key, part in slices.items() if part.rows} == {
            "ada": ([2, 3], 2),
            "ADA": ([2, 3], 2),
            "bob": ([1, 5], 2),
        }
    counts = await store.answer(Aggregate(NOCASE, (), (Measure("count"),), Match("value", keys)))
    assert {key: rows[0][0] for key, rows in counts.items() if rows} == {"ada": 2, "ADA": 2, "bob": 2}
    groups = await store.answer(Aggregate(NOCASE, ("value",), (Measure("count"),)))
    assert sorted(str(value) for value, _ in groups[None]) == ["ADA", "Bob", "None", "_", "ada", "bOb"]


@needs(POSTGRESQL)
async def test_nan_is_an_error_of_its_field() -> None:
    tracks = track(of(Type.FLOAT), table="music.Track")
    table = 'CREATE TABLE music."Track" ("Track Id" integer PRIMARY KEY, "Order" double precision)'
    rows = """INSERT INTO music."Track" VALUES (1, 1.5), (2, 'NaN'), (3, 2.5)"""
    async with made("postgresql", *PG_MADE, table, rows) as (_, store):
        assert isinstance((await rows_of(store, Fetch(tracks, ("value",))))[1][0], Unreadable)
        answer = await Stores({"s": store}).ask(Get(tracks, ("value",), ["1", "2", "3"]))
        assert (answer["1"], answer["3"]) == ((1.5,), (2.5,))
        assert isinstance(answer["2"][0], WrongValue)
        sums = await store.answer(Aggregate(tracks, (), (Measure("sum", "value"), Measure("avg", "value"), Measure("count"))))
        assert [tuple(row) for row in sums[None]] == [(4.0, 2.0, 3)]


@needs(POSTGRESQL)
async def test_a_value_that_an_enum_does_not_have_matches_nothing() -> None:
    """The declaration says of one more than there is, as it does while a migration is under way."""
    tracks = track(of(Type.ENUM, enum="kinds.level", values=(*LEVELS, "extreme")), table="music.Track")
    table = 'CREATE TABLE music."Track" ("Track Id" integer PRIMARY KEY, "Order" kinds.level)'
    rows = """INSERT INTO music."Track" VALUES (1, 'low'), (2, 'high'), (3, NULL)"""
    async with made("postgresql", *PG_MADE, table, rows) as (_, store):
        for value in ("extreme", "nothing of it"):
            assert await rows_of(store, Fetch(tracks, ("id",), where=Compare("value", "eq", value))) == []
            assert await rows_of(store, Fetch(tracks, ("id",), where=Compare("value", "ne", value))) == [(1,), (2,), (3,)]
            assert await rows_of(store, Fetch(tracks, ("id",), where=Compare("value", "in", (value, "high")))) == [(2,)]
            for page in (None, Page(2)):
                found = await store.answer(Fetch(tracks, ("id",), Match("value", [value, "low"]), page=page))
                assert {key: [tuple(row) for row in part.rows] for key, part in found.items() if part.rows} == {"low": [(1,)]}


UUID = "123e4567-e89b-12d3-a456-426614174000"
ISO = ["2009-01-01T00:00:00.000000Z", "infinity"]
LISTS = [
    ("text[]", of(many=True), "'{b,a}'", ["b", "a"], "a"),
    ("varchar(5)[]", of(many=True), "'{b,a}'", ["b", "a"], "a"),
    ("integer[]", of(Type.INT, many=True), "'{2,1}'", [2, 1], 1),
    ("numeric(5,2)[]", of(Type.DECIMAL, scale=2, many=True), "'{1.5,2}'", ["1.50", "2.00"], "2.00"),
    ("uuid[]", of(Type.UUID, many=True), f"'{{{UUID}}}'", [UUID], UUID),
    ("timestamptz[]", of(Type.TIME, precision=6, many=True), "'{2009-01-01,infinity}'", ISO, "infinity"),
    ("date[]", of(Type.DATE, many=True), "'{2009-01-01,-infinity}'", ["2009-01-01", "-infinity"], "2009-01-01"),
    ("bytea[]", of(Type.BYTES, many=True), "ARRAY['\\x00ff'::bytea]", ["AP8="], "AP8="),
    ("kinds.level[]", of(Type.ENUM, enum="kinds.level", values=LEVELS, many=True), "'{mid,low}'", ["mid", "low"], "low"),
    ("boolean[]", of(Type.BOOL, many=True), "'{t}'", [True], True),
]


@needs(POSTGRESQL)
@pytest.mark.parametrize(("native", "column", "literal", "wire", "item"), LISTS, ids=[native for native, *_ in LISTS])
async def test_arrays(native: str, column: Column, literal: str, wire: list[Value], item: Value) -> None:
    tracks = track(column, table="music.Track")
    table = f'CREATE TABLE music."Track" ("Track Id" integer PRIMARY KEY, "Order" {native})'
    rows = f"INSERT INTO music.\"Track\" VALUES (1, {literal}), (2, '{{}}'), (3, NULL), (4, '{{NULL}}')"
    async with made("postgresql", *PG_MADE, table, rows) as (_, store):
        assert list(map(str, problems_of([tracks], await store.describe([tracks])))) == []
        assert (await rows_of(store, Fetch(tracks, ("value",))))[:3] == [(wire,), ([],), (None,)]
        wanted: list[tuple[Op, Value, set[int]]] = [("has", item, {1}), ("has_any", (item,), {1}), ("is_empty", True, {2})]
        for op, value, ids in wanted:
            where = Compare("value", op, value)
            assert {n for (n,) in await rows_of(store, Fetch(tracks, ("id",), where=where))} == ids
            assert {n for (n,) in await rows_of(store, Fetch(tracks, ("id",), where=Not(where)))} == {1, 2, 3, 4} - ids
        await store.answer(Upsert(tracks, [(4, wire)]))
        assert await rows_of(store, Fetch(tracks, ("value",), where=Compare("id", "eq", 4))) == [(wire,)]


@needs(POSTGRESQL)
@pytest.mark.parametrize("native", ["timestamp", "timestamptz"])
async def test_buckets_of_unusual_times(native: str) -> None:
    tracks = track(of(Type.TIME, precision=6), table="music.Track")
    rows = ", ".join(f"({number}, {literal})" for number, (literal, _) in enumerate(TIMES))
    table = f'CREATE TABLE music."Track" ("Track Id" integer PRIMARY KEY, "Order" {native})'
    async with made("postgresql", *PG_MADE, table, f'INSERT INTO music."Track" VALUES {rows}') as (_, store):
        groups = await store.answer(Aggregate(tracks, (Bucket("value", "month"),), (Measure("count"),)))
        starts = [wire if "inf" in wire else f"{wire.partition('T')[0][:-2]}01T00:00:00.000000Z" for _, wire in TIMES]
        assert [value for value, _ in groups[None]] == starts


@needs(POSTGRESQL)
async def test_unusual_moments_are_written_where_the_table_is_not_ours_and_refused_where_it_is() -> None:
    tracks = track(of(Type.DATE), table="music.Track")
    table = 'CREATE TABLE music."Track" ("Track Id" integer PRIMARY KEY, "Order" date)'
    days = ["-infinity", "-0043-03-15", "0000-01-01", "+10000-01-01", "infinity"]
    async with made("postgresql", *PG_MADE, table) as (_, store):
        await store.answer(Upsert(tracks, list(enumerate(days))))
        assert [value for (value,) in await rows_of(store, Fetch(tracks, ("value",)))] == days
        ours = replace(tracks, managed=True)
        for day in days:
            with pytest.raises(BadUserInput):
                await store.answer(Upsert(ours, [(1, day)]))


# ---------------------------------------------------------------------------------------------------------------- indexes

KEYED = Collection(
    "lines",
    "s",
    (
        Column("id", Type.INT),
        Column("mark", Type.UUID),
        Column("name", collation="nocase"),
        Column("level", Type.ENUM, enum="kinds.level", values=LEVELS),
        Column("code"),
        Column("owner", Type.INT),
        Column("at", Type.TIME, precision=6),
    ),
    key=("owner", "mark"),
)
KEYED_MADE = (
    *PG_MADE,
    "CREATE EXTENSION citext",
    "CREATE TABLE lines (id bigint NOT NULL, mark uuid NOT NULL, name citext NOT NULL, level kinds.level NOT NULL, code char(9) NOT NULL, "
    "owner integer NOT NULL, at timestamptz NOT NULL, filler text DEFAULT repeat('x', 200), PRIMARY KEY (owner, mark))",
    "INSERT INTO lines SELECT n, md5(n::text)::uuid, 'N' || n, (CASE WHEN n % 1000 = 0 THEN 'high' ELSE 'low' END)::kinds.level, "
    "'c' || n, n % 100, '2020-01-01'::timestamptz + n * interval '1 second' FROM generate_series(1, 20000) AS n",
    *(f"CREATE UNIQUE INDEX by_{name} ON lines ({name})" for name in ("id", "mark", "name", "code")),
    "CREATE INDEX by_level ON lines (level)",
    "CREATE INDEX by_owner ON lines (owner, at, id)",
    "ANALYZE lines",
)
MARK_7 = "8f14e45f-ceea-167a-5a36-dedd4bea2543"  # of n = 7
OWNER_AND_AT = "7,2020-01-01T00:00:07.000000Z"
INDEXED: list[tuple[Get | Fetch, str]] = [
    (Get(KEYED, ("owner",), ["7", "8", "no number"], "id"), "by_id"),
    (Get(KEYED, ("owner",), [MARK_7], "mark"), "by_mark"),
    (Get(KEYED, ("owner",), ["n7", "N8"], "name"), "by_name"),
    (Get(KEYED, ("owner",), ["c7"], "code"), "by_code"),
    (Get(KEYED, ("id",), [OWNER_AND_AT, "x,y"], "owner,at"), "by_owner"),
    (Fetch(KEYED, ("id",), Match("level", ["high", "nothing"])), "by_level"),
    (Fetch(KEYED, ("id",), Match("owner,at", [OWNER_AND_AT]), page=Page(3)), "by_owner"),
    (Fetch(KEYED, ("id",), Match("owner,at", [OWNER_AND_AT])), "by_owner"),
    (Fetch(KEYED, ("id",), Match("owner", ["1", "2"]), order=(Order("at"), Order("id")), page=Page(3)), "by_owner"),
    (Fetch(KEYED, ("id",), where=Compare("name", "eq", "n7")), "by_name"),
    (Fetch(KEYED, ("id",), where=Compare("id", "in", (7, 8))), "by_id"),
    (Fetch(KEYED, ("id",), where=Compare("mark", "eq", MARK_7)), "by_mark"),
    (Fetch(KEYED, ("id",), where=Compare("level", "eq", "high")), "by_level"),
]


@needs(POSTGRESQL)
async def test_keys_of_every_type_are_served_by_the_index_of_their_column() -> None:
    async with made("postgresql", *KEYED_MADE) as (url, store):
        await store.describe([KEYED])
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            for request, index in INDEXED:
                if isinstance(request, Get):
                    statement, values = store.statements.get(request)
                    sent = _send(statement, Match(request.column, request.keys), values)
                else:
                    statement, values = store.statements.rows(request)
                    sent = _send(statement, request.match, values)
                assert sent is not None
                bound = statement.bind(values)
                plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement.text}", *bound))
                assert f" {index}" in plan, f"{request}\n{statement.text}\n{plan}"
                assert "Seq Scan on lines" not in plan, plan
                assert await store.answer(request), request
        finally:
            await connection.close()


# ----------------------------------------------------------------------------------------------------------------- SQLite

SQLITE = [
    Case("text", "TEXT", of(), [("''", ""), ("'A'", "A"), ("'B'", "B"), ("'a'", "a"), ("'é'", "é")], ["x'00'"]),
    Case("text of another collation", "TEXT COLLATE NOCASE", of(), [("'A'", "A"), ("'B'", "B"), ("'a'", "a")], ["x'00'"]),
    Case("no type", "", of(), [("'5'", "5"), ("'A'", "A"), ("'a'", "a")], ["5", "1.5", "x'00'"]),
    Case(
        "integer",
        "INTEGER",
        of(Type.INT),
        [("-9223372036854775808", -(2**63)), ("-1", -1), ("9007199254740993", 2**53 + 1)],
        ["'x'", "1.5"],
    ),
    Case(
        "real",
        "REAL",
        of(Type.FLOAT),
        [("-1e300", -1e300), ("0.1", 0.1), ("1", 1.0), ("1e300", 1e300)],
        ["'x'", "x'00'", "9e999", "-9e999"],
    ),
    Case("boolean", "BOOLEAN", of(Type.BOOL), [("0", False), ("1", True)], ["'x'", "2"], is_ranged=False),
    Case(
        "decimal(10,2)",
        "DECIMAL(10,2)",
        of(Type.DECIMAL, scale=2),
        [("-0.01", "-0.01"), ("0", "0.00"), ("0.1", "0.10"), ("9.990000000000002", "9.99"), ("10", "10.00"), ("12345678.9", "12345678.90")],
        ["'x'", "x'00'"],
    ),
    Case(
        "decimal in texts",
        "TEXT",
        of(Type.DECIMAL),
        [
            ("'-1e3'", "-1000"),
            ("'-0.1'", "-0.1"),
            ("'0.10'", "0.10"),
            ("'9'", "9"),
            ("'10.1234567890123456789'", "10.1234567890123456789"),
        ],
        ["'x'"],
    ),
    Case("decimal in reals", "REAL", of(Type.DECIMAL), [("-1.5", "-1.5"), ("0.1", "0.1"), ("3", "3"), ("1e20", "1" + "0" * 20)], ["'x'"]),
    Case(
        "decimal in integers", "INTEGER", of(Type.DECIMAL, scale=1), [("-1", "-1.0"), ("9007199254740993", "9007199254740993.0")], ["'x'"]
    ),
    Case(
        "times in texts",
        "DATETIME",
        of(Type.TIME),
        [
            ("'-infinity'", "-infinity"),
            ("'-0043-03-15T12:00:00Z'", "-0043-03-15T12:00:00.000Z"),
            ("'2009-01-01'", "2009-01-01T00:00:00.000Z"),
            ("'2009-01-01 00:00:01'", "2009-01-01T00:00:01.000Z"),
            ("'2009-01-01T00:00:02'", "2009-01-01T00:00:02.000Z"),
            ("'2009-01-01 02:00:03+02:00'", "2009-01-01T00:00:03.000Z"),
            ("'2009-01-01T00:00:03.5'", "2009-01-01T00:00:03.500Z"),
            ("'2009-01-01T00:00:04.000Z'", "2009-01-01T00:00:04.000Z"),
            ("'+10000-01-01T00:00:00Z'", "+10000-01-01T00:00:00.000Z"),
            ("'infinity'", "infinity"),
        ],
        ["'x'", "'2009-13-01'", "x'00'", "'2009-01-01 00:00:00.0001'"],
    ),
    Case(
        "times in numbers",
        "INTEGER",
        of(Type.TIME),
        [
            ("-1", "1969-12-31T23:59:59.000Z"),
            ("0", "1970-01-01T00:00:00.000Z"),
            ("1230768000", "2009-01-01T00:00:00.000Z"),
            ("1230768000.25", "2009-01-01T00:00:00.250Z"),
            ("1230768000500", "2009-01-01T00:00:00.500Z"),
        ],
        ["'x'", "9e300"],
    ),
    Case(
        "dates",
        "DATE",
        of(Type.DATE),
        [("'2009-01-01'", "2009-01-01"), ("'2010-01-01 00:00:00'", "2010-01-01")],
        ["'x'", "'2010-01-01 01:00'"],
    ),
    Case("clocks", "TIME", of(Type.CLOCK, precision=0), [("'00:00'", "00:00:00"), ("'09:30:01'", "09:30:01")], ["'25:00'", "7"]),
    Case(
        "uuid",
        "VARCHAR(36)",
        of(Type.UUID),
        [
            ("'123E4567-E89B-12D3-A456-426614174000'", UUID),
            ("'ffffffff-ffff-ffff-ffff-ffffffffffff'", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        ],
        ["'x'"],
    ),
    Case("object id", "TEXT", of(Type.OBJECT_ID), [(f"'{v}'", v) for v in ("0" * 24, "507f1f77bcf86cd799439011")], ["'x'"]),
    Case("blob", "BLOB", of(Type.BYTES), [("x''", ""), ("x'00ff'", "AP8="), ("x'61'", "YQ==")], ["'x'", "5"]),
    Case("enum", "TEXT", of(Type.ENUM, values=LEVELS), [(f"'{v}'", v) for v in LEVELS], ["'other'"], is_ranged=False),
]


@pytest.mark.parametrize("case", SQLITE, ids=str)
async def test_a_column_of_sqlite(case: Case) -> None:
    await check("sqlite", case, track(case.column, table="Track"))


@pytest.mark.parametrize("case", SQLITE, ids=str)
async def test_what_is_no_value_is_an_error_of_its_field_and_its_neighbours_are_read(case: Case) -> None:
    tracks = track(case.column, table="Track")
    cells = [literal for literal, _ in case.values] + list(case.drift)
    rows = ", ".join(f"({number}, {cell})" for number, cell in enumerate(cells))
    table = f'CREATE TABLE "Track" ("Track Id" integer PRIMARY KEY, "Order" {case.made})'
    async with made("sqlite", table, f'INSERT INTO "Track" VALUES {rows}') as (_, store):
        answer = await Stores({"s": store}).ask(Fetch(tracks, ("value",)))
        found = [value for (value,) in answer[None].rows]
        assert found[: len(case.values)] == [wire for _, wire in case.values]
        assert [type(value) for value in found[len(case.values) :]] == [WrongValue] * len(case.drift)


async def test_nocase_of_sqlite() -> None:
    table = 'CREATE TABLE "music.Track" ("Track Id" integer PRIMARY KEY, "Order" text COLLATE NOCASE)'
    rows = """INSERT INTO "music.Track" VALUES (1, 'Bob'), (2, 'ada'), (3, 'ADA'), (4, NULL), (5, 'bOb'), (6, '_')"""
    async with made("sqlite", table, rows) as (_, store):
        await check_without_case(store)


@pytest.mark.parametrize("made_as", ["TABLE", "WITHOUT ROWID", "VIEW"])
async def test_tables_without_row_ids_and_views(made_as: str) -> None:
    statements = [
        f"CREATE TABLE raw (a text, b integer, owner integer, PRIMARY KEY (a, b)){' WITHOUT ROWID' if made_as == 'WITHOUT ROWID' else ''}",
        "INSERT INTO raw VALUES ('x', 1, 1), ('x', 2, 1), ('y', 1, 1), ('y', 2, 2)",
        "CREATE VIEW parts AS SELECT a, b, owner FROM raw" if made_as == "VIEW" else "ALTER TABLE raw RENAME TO parts",
    ]
    parts = Collection("parts", "s", (Column("a"), Column("b", Type.INT), Column("owner", Type.INT)), key=("a", "b"))
    async with made("sqlite", *statements) as (_, store):
        found = await store.answer(Fetch(parts, ("a", "b"), Match("owner", ["1", "2"]), page=Page(2), count=True))
        assert {key: ([tuple(row) for row in part.rows], part.more, part.total) for key, part in found.items()} == {
            "1": ([("x", 1), ("x", 2)], True, 3),
            "2": ([("y", 2)], False, 1),
        }
        one = await store.answer(Get(parts, ("owner",), ["x,2", "y,2", "z,1", "x"], "a,b"))
        assert {key: tuple(row) for key, row in one.items()} == {"x,2": (1,), "y,2": (2,)}


LINES = Collection(
    "lines",
    "s",
    (Column("id", Type.INT), Column("mark", Type.UUID), Column("name"), Column("owner", Type.INT), Column("file", Type.BYTES)),
)
LOOKED_UP: list[tuple[Get | Fetch, str]] = [
    (Get(LINES, ("name",), ["7", "no number"], "id"), "USING INTEGER PRIMARY KEY"),
    (Get(LINES, ("name",), [UUID], "mark"), "USING INDEX by_mark (mark=?)"),
    (Get(LINES, ("id",), ["n"], "name"), "INDEX by_name (name=?)"),
    (Get(LINES, ("id",), ["AP8="], "file"), "INDEX by_file (file=?)"),
    (Get(LINES, ("id",), ["n,7"], "name,owner"), "INDEX by_name (name=?"),
    (Fetch(LINES, ("name",), Match("owner", ["1", "2"]), page=Page(3)), "USING COVERING INDEX by_owner (owner=?)"),
    (Fetch(LINES, ("id",), where=Compare("name", "eq", "n")), "INDEX by_name (name=?)"),
    (Fetch(LINES, ("name",), page=Page(3)), "SCAN lines"),
]


async def test_keys_are_looked_up_in_the_indexes_of_a_file() -> None:
    statements = (
        "CREATE TABLE lines (id INTEGER PRIMARY KEY, mark TEXT NOT NULL, name TEXT NOT NULL, owner INTEGER NOT NULL, file BLOB NOT NULL)",
        *(f"CREATE INDEX by_{name} ON lines ({name})" for name in ("mark", "owner", "file")),
        "CREATE INDEX by_name ON lines (name, owner)",
    )
    async with made("sqlite", *statements) as (_, store):
        for request, expected in LOOKED_UP:
            if isinstance(request, Get):
                statement, values = store.statements.get(request)
                sent = _send(statement, Match(request.column, request.keys), values)
            else:
                statement, values = store.statements.rows(request)
                sent = _send(statement, request.match, values)
            assert sent is not None
            rows = await store._driver.fetch(f"EXPLAIN QUERY PLAN {statement.plain}", statement.bind(values))
            plan = "\n".join(str(row[3]) for row in rows)
            assert expected in plan, f"{request}\n{statement.plain}\n{plan}"
            if isinstance(request, Fetch) and request.page is not None and request.match is None:
                assert "TEMP B-TREE" not in plan, "rows come in the order of their key"


async def test_lists_that_are_none() -> None:
    tracks = track(of(Type.INT, many=True), table="Track")
    table = 'CREATE TABLE "Track" ("Track Id" integer PRIMARY KEY, "Order" text)'
    cells = ("'[1, 2]'", "'[]'", "NULL", "'[1'", "'{\"a\": 1}'", "'1'", "7")
    rows = ", ".join(f"({number}, {cell})" for number, cell in enumerate(cells))
    async with made("sqlite", table, f'INSERT INTO "Track" VALUES {rows}') as (_, store):
        answer = await Stores({"s": store}).ask(Fetch(tracks, ("value",)))
        found = [value for (value,) in answer[None].rows]
        assert found[:3] == [[1, 2], [], None]
        assert {type(value) for value in found[3:]} == {WrongValue}
        wanted: list[tuple[Op, Value, set[int]]] = [("has", 1, {0}), ("has_any", (1, 9), {0}), ("is_empty", True, {1})]
        for op, value, ids in wanted:
            where = Compare("value", op, value)
            assert {n for (n,) in await rows_of(store, Fetch(tracks, ("id",), where=where))} == ids
            assert {n for (n,) in await rows_of(store, Fetch(tracks, ("id",), where=Not(where)))} == set(range(7)) - ids


async def test_buckets_and_sums_of_what_others_wrote() -> None:
    tracks = Collection("tracks", "s", (Column("id", Type.INT), Column("at", Type.TIME), Column("price", Type.DECIMAL, scale=2)))
    statements = (
        "CREATE TABLE tracks (id INTEGER PRIMARY KEY, at NOT NULL, price NOT NULL)",
        "INSERT INTO tracks VALUES (1, '2009-01-01 00:00:00', 0.1), (2, '2009-01-31T23:59:59Z', '0.20'), (3, 1233446400, 0.3), "
        "(4, '-0043-03-15 12:00:00', 1), (5, 'infinity', 'x')",
    )
    async with made("sqlite", *statements) as (_, store):
        groups = await store.answer(Aggregate(tracks, (Bucket("at", "month"),), (Measure("sum", "price"), Measure("count"))))
        assert [tuple(row) for row in groups[None]] == [
            ("-0043-03-01T00:00:00.000Z", "1.00", 1),
            ("2009-01-01T00:00:00.000Z", "0.30", 2),
            ("2009-02-01T00:00:00.000Z", "0.30", 1),
            ("infinity", None, 1),
        ]
        averages = await store.answer(Aggregate(tracks, (), (Measure("avg", "price"),)))
        assert [tuple(row) for row in averages[None]] == [("0.4",)]


async def test_decimals_that_a_file_of_ours_cannot_keep_are_refused() -> None:
    prices = Collection("prices", "s", (Column("id", Type.INT), Column("price", Type.DECIMAL)), managed=True)
    async with made("sqlite") as (_, store):
        await store.migrate("s", [prices], None)
        for price in ("0.1234567890123456", "12345678901234567890", "NaN", "1e-400", "x"):
            with pytest.raises(BadUserInput):
                await store.answer(Upsert(prices, [(1, price)]))
        kept = ["-9223372036854775808", "0.123456789012345", "9223372036854775807"]
        await store.answer(Upsert(prices, list(enumerate(kept))))
        assert await rows_of(store, Fetch(prices, ("price",), order=(Order("price"),))) == [(price,) for price in kept]
        assert await rows_of(store, Fetch(prices, ("id",), where=Compare("price", "gt", "0.12345678901234500000001"))) == [(2,)]
        assert await rows_of(store, Fetch(prices, ("id",), where=Compare("price", "eq", "0.1234567890123456"))) == []


async def test_times_that_a_file_of_ours_could_not_order_are_refused() -> None:
    times = Collection("times", "s", (Column("id", Type.INT), Column("at", Type.TIME)), managed=True)
    async with made("sqlite") as (_, store):
        await store.migrate("s", [times], None)
        for time in ("infinity", "-0043-03-15T12:00:00.000Z", "+10000-01-01T00:00:00.000Z"):
            with pytest.raises(BadUserInput):
                await store.answer(Upsert(times, [(1, time)]))


NATIVE_COLUMNS = (
    Column("price", Type.DECIMAL, scale=2),
    Column("ratio", Type.DECIMAL),
    Column("at", Type.TIME, precision=6),
    Column("on", Type.DATE),
    Column("opens", Type.CLOCK, precision=0),
    Column("mark", Type.UUID),
    Column("file", Type.BYTES),
    Column("level", Type.ENUM, values=LEVELS),
    Column("numbers", Type.INT, many=True),
)
NATIVE = Native(
    "priced",
    "s",
    NATIVE_COLUMNS,
    {
        "postgresql": "SELECT unnest(:keys::text[]), 9.9::numeric, 0.10::numeric, '2009-01-01 00:00:00.000001+00'::timestamptz, "
        f"'2009-01-01'::date, '09:30'::time, '{UUID}'::uuid, '\\x00ff'::bytea, 'low', ARRAY[1, 2]",
        "sqlite": "SELECT value, 9.9, '0.10', '2009-01-01T00:00:00.000001Z', '2009-01-01', '09:30:00', "
        f"'{UUID}', x'00ff', 'low', '[1, 2]' FROM json_each(:keys)",
    },
)


@pytest.mark.parametrize("kind", kinds(("sqlite", "postgresql")))
async def test_native_queries_give_wire_values(kind: str) -> None:
    async with made(kind) as (_, store):
        found = await store.answer(NativeCall(NATIVE, ["k"], {}))
        expected = ("9.90", "0.10", "2009-01-01T00:00:00.000001Z", "2009-01-01", "09:30:00", UUID, "AP8=", "low", [1, 2])
        assert [tuple(row) for row in found["k"]] == [expected]
