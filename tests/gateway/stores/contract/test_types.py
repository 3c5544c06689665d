"""Every type of column in every kind: read, filtered, ordered, paged, as a key, measured, in lists, under other names."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import pytest
import pytest_asyncio

from gateway.stores.base import (
    Aggregate,
    And,
    Bucket,
    Compare,
    Delete,
    Fetch,
    Get,
    Match,
    Measure,
    Not,
    Op,
    Order,
    Page,
    Pairs,
    Store,
    Upsert,
    Value,
)
from gateway.stores.types import join_key, order_key
from tests.gateway.stores.contract import typed
from tests.gateway.stores.contract.typed import COLUMNS, LINES, LISTED, NO_KEYS, RENAMED, SAMPLES, key, lines, renamed
from tests.kinds import kinds, store_of

VALUES = {name: typed.values_of(name) for name in COLUMNS}
KEYED = {name: typed.keyed_by(name) for name in COLUMNS if name not in NO_KEYS}
LISTS = {name: typed.lists_of(name) for name in LISTED}

values_of = pytest.mark.parametrize("name", VALUES)
keys_of = pytest.mark.parametrize("name", KEYED)
lists_of = pytest.mark.parametrize("name", LISTS)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=kinds())
async def types(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Store]]:
    kind = request.param
    values = [VALUES[name] for name in VALUES if typed.holds(kind, name)]
    keyed = [KEYED[name] for name in KEYED if typed.holds(kind, name)]
    async with store_of(kind, [*values, *keyed, *LISTS.values(), lines, renamed]) as store:
        for name in VALUES:
            if typed.holds(kind, name):
                await store.answer(Upsert(VALUES[name], typed.rows_of_values(name)))
        for name in KEYED:
            if typed.holds(kind, name):
                await store.answer(Upsert(KEYED[name], typed.rows_by_key(name)))
        for name in LISTS:
            await store.answer(Upsert(LISTS[name], typed.rows_of_lists(name)))
        await store.answer(Upsert(lines, LINES))
        await store.answer(Upsert(renamed, RENAMED))
        yield kind, store


def held(types: tuple[str, Store], name: str) -> Store:
    kind, store = types
    assert typed.holds(kind, name), "others are left out when tests are collected"
    return store


def at_once(value: Value) -> Any:
    """What equal values have in common, and others not."""
    return Decimal(value) if isinstance(value, str) and value.replace(".", "").lstrip("-").isdigit() and "." in value else value


def ordered(name: str, rows: list[tuple[int, Value]], *, descending: bool) -> list[tuple[int, Value]]:
    places = {value: place for place, value in enumerate(SAMPLES[name])}
    known = [row for row in rows if row[1] is not None]
    known = sorted(sorted(known), key=lambda row: places[row[1]], reverse=False)
    if descending:
        known = sorted(sorted(known), key=lambda row: -places[row[1]])
    return known + sorted(row for row in rows if row[1] is None)


# ------------------------------------------------------------------------------------------------------------- values


@values_of
async def test_what_was_written_is_read(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    found = await store.answer(Fetch(VALUES[name], ("id", "v"), order=(Order("id"),)))
    rows = [tuple(row) for row in found[None].rows]
    assert rows == sorted(typed.rows_of_values(name))
    assert [type(value) for _, value in rows] == [type(value) for _, value in sorted(typed.rows_of_values(name))]


@values_of
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("backward", [False, True])
async def test_pages_in_its_order(types: tuple[str, Store], name: str, descending: bool, backward: bool) -> None:
    """Each page begins behind the last row of the one before it: none is lost and none comes twice."""
    store = held(types, name)
    expected = ordered(name, typed.rows_of_values(name), descending=descending)
    order = (Order("v", descending), Order("id"))
    walked: list[tuple[int, Value]] = []
    edge: tuple[Value, ...] | None = None
    for _ in range(len(expected)):
        page = Page(3, backward=backward, **({"before" if backward else "after": edge}))
        found = await store.answer(Fetch(VALUES[name], ("id", "v"), order=order, page=page))
        if None not in found:
            break
        rows = [cast("tuple[int, Value]", tuple(row)) for row in found[None].rows]
        walked = [*rows, *walked] if backward else [*walked, *rows]
        last = rows[0] if backward else rows[-1]
        edge = (last[1], last[0])
        if not found[None].more:
            break
    assert walked == expected


@values_of
@pytest.mark.parametrize("op", ["eq", "ne", "in", "gt", "gte", "lt", "lte"])
async def test_comparisons(types: tuple[str, Store], name: str, op: Op) -> None:
    store = held(types, name)
    if COLUMNS[name].type.value in ("bool", "enum") and op in ("gt", "gte", "lt", "lte"):
        return  # which no filter offers
    samples = SAMPLES[name]
    for place, sample in enumerate(samples):
        wanted = (sample, samples[0]) if op == "in" else sample
        matching = {
            "eq": {place},
            "ne": set(range(len(samples))) - {place},
            "in": {place, 0},
            "gt": set(range(place + 1, len(samples))),
            "gte": set(range(place, len(samples))),
            "lt": set(range(place)),
            "lte": set(range(place + 1)),
        }[op]
        values = {samples[number] for number in matching}
        expected = {id for id, value in typed.rows_of_values(name) if value in values or (value is None and op == "ne")}
        for where, ids in ((Compare("v", op, wanted), expected), (Not(Compare("v", op, wanted)), None)):
            found = await store.answer(Fetch(VALUES[name], ("id",), where=where))
            got = {row[0] for row in found[None].rows} if None in found else set()
            assert got == (expected if ids is not None else {id for id, _ in typed.rows_of_values(name)} - expected), (sample, where)


@values_of
async def test_nulls_are_found(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    ops: tuple[Op, ...] = ("eq", "ne")
    for op in ops:
        found = await store.answer(Fetch(VALUES[name], ("id",), where=Compare("v", op, None)))
        expected = {id for id, value in typed.rows_of_values(name) if (value is None) is (op == "eq")}
        assert {row[0] for row in found[None].rows} == expected


@values_of
async def test_groups(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    found = await store.answer(Aggregate(VALUES[name], ("v",), (Measure("count"),)))
    assert [tuple(row) for row in found[None]] == [*((value, 2) for value in SAMPLES[name]), (None, 2)]


@values_of
async def test_the_least_and_the_greatest(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    if COLUMNS[name].type.value in ("bool", "enum", "uuid", "object_id", "bytes"):
        return  # which no measure offers
    found = await store.answer(Aggregate(VALUES[name], (), (Measure("min", "v"), Measure("max", "v"))))
    assert [tuple(row) for row in found[None]] == [(SAMPLES[name][0], SAMPLES[name][-1])]


@pytest.mark.parametrize("name", ["int", "int32", "float", "decimal"])
async def test_sums_and_averages(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    where = And((Compare("v", "gt", SAMPLES[name][0]), Compare("v", "lt", SAMPLES[name][-1])))
    found = await store.answer(Aggregate(VALUES[name], (), (Measure("sum", "v"), Measure("avg", "v")), where=where))
    values = [value for value in SAMPLES[name][1:-1] for _ in range(2)]
    if name == "float":
        expected: tuple[Value, ...] = (math.fsum(values), math.fsum(values) / len(values))
    elif name == "decimal":
        total = sum(map(Decimal, values))
        assert found[None][0][0] == f"{total:.2f}"
        assert abs(Fraction(found[None][0][1]) - Fraction(total) / len(values)) < Fraction(1, 10**25)
        return
    else:
        expected = (sum(values), sum(values) / len(values))
    assert [tuple(row) for row in found[None]] == [expected]


@pytest.mark.parametrize("name", ["time", "time0", "time6", "time9"])
@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
async def test_buckets_of_times(types: tuple[str, Store], name: str, interval: Any) -> None:
    store = held(types, name)
    precision = COLUMNS[name].precision
    rest = f":00:00{'.' + '0' * precision if precision else ''}Z"
    starts = {
        "hour": lambda time: f"{time[:13]}{rest}",
        "day": lambda time: f"{time[:10]}T00{rest}",
        "week": lambda time: (
            {"0001": "0001-01-01", "1969": "1969-12-29", "1970": "1969-12-29", "2024": "2024-02-26"}[time[:4]] + f"T00{rest}"
        ),
        "month": lambda time: f"{time[:7]}-01T00{rest}",
    }
    counts: dict[str, int] = {}
    for time in SAMPLES[name]:
        start = starts[interval](time)
        counts[start] = counts.get(start, 0) + 2
    found = await store.answer(Aggregate(VALUES[name], (Bucket("v", interval),), (Measure("count"),)))
    assert [tuple(row) for row in found[None]] == [*sorted(counts.items()), (None, 2)]


# --------------------------------------------------------------------------------------------------------------- keys


@keys_of
async def test_rows_by_key(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    rows = typed.rows_by_key(name)
    keys = [key(name, row[0]) for row in rows]
    found = await store.answer(Get(KEYED[name], ("n", "key"), [*keys, "no such key", "", "zz-%,"], "key"))
    there = [row for row in rows if key(name, row[0]) not in ("no such key", "", "zz-%,")]
    assert {text: tuple(row) for text, row in found.items() if text in {key(name, row[0]) for row in there}} == {
        key(name, row[0]): (row[3], row[0]) for row in there
    }
    assert found.keys() <= set(keys)


@keys_of
async def test_rows_by_another_unique_column(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    rows = typed.rows_by_key(name)
    found = await store.answer(Get(KEYED[name], ("key",), [key(name, row[1]) for row in rows], "twin"))
    assert {text: row[0] for text, row in found.items()} == {key(name, row[1]): row[0] for row in rows}


@keys_of
async def test_a_page_per_parent(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    rows = typed.rows_by_key(name)
    parents = [key(name, value) for value in SAMPLES[name]]
    for page in (None, Page(1), Page(1, backward=True)):
        found = await store.answer(Fetch(KEYED[name], ("n",), match=Match("next", [*parents, "no such key"]), page=page, count=True))
        expected: dict[str, list[int]] = {}
        for row in rows:
            if row[2] is not None:
                expected.setdefault(key(name, row[2]), []).append(row[3])
        assert {parent: [row[0] for row in part.rows] for parent, part in found.items() if part.rows} == expected
        assert {part.total for part in found.values() if part.rows} <= {1}


@keys_of
async def test_many_to_many(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    samples = SAMPLES[name]
    pairs = [("a", key(name, value)) for value in samples] + [
        ("b", key(name, samples[0])),
        ("c", "no such key"),
        ("b", key(name, samples[0])),
    ]
    found = await store.answer(Fetch(KEYED[name], ("key",), match=Pairs("key", pairs), order=(Order("key"),)))
    got = {parent: [row[0] for row in part.rows] for parent, part in found.items() if part.rows}
    got.pop("c", None) if name == "text" else None
    assert got == {"a": list(samples), "b": [samples[0]]}


@keys_of
async def test_statistics_per_parent(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    parents = [key(name, value) for value in SAMPLES[name]]
    found = await store.answer(Aggregate(KEYED[name], (), (Measure("count"), Measure("max", "n")), match=Match("next", parents)))
    expected = {key(name, row[2]): [(1, row[3])] for row in typed.rows_by_key(name) if row[2] is not None}
    assert {parent: [tuple(row) for row in rows] for parent, rows in found.items() if rows} == expected


@keys_of
async def test_the_key_breaks_ties_by_its_own_order(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    found = await store.answer(Fetch(KEYED[name], ("key",), order=()))
    assert [row[0] for row in found[None].rows] == list(SAMPLES[name])


@keys_of
async def test_rows_are_replaced_and_deleted_by_key(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    rows = typed.rows_by_key(name)
    changed = [(*row[:3], 100 + row[3]) for row in rows]
    await store.answer(Upsert(KEYED[name], changed))
    found = await store.answer(Fetch(KEYED[name], ("n",)))
    assert [row[0] for row in found[None].rows] == [row[3] for row in changed]
    await store.answer(Delete(KEYED[name], [(row[0],) for row in rows[1:]]))
    found = await store.answer(Fetch(KEYED[name], ("key",)))
    assert [row[0] for row in found[None].rows] == [rows[0][0]]
    await store.answer(Upsert(KEYED[name], rows))


async def test_keys_of_several_columns(types: tuple[str, Store]) -> None:
    _, store = types
    keys = [typed.line_key(row) for row in LINES]
    by = lines.key_name
    strangers = ["1", "1,2", "x,y,z", join_key(["1", typed.PLACES[0], "nobody"]), f"1,{typed.PLACES[0]},a,b", "1,,"]
    found = await store.answer(Get(lines, ("amount", "label"), [*keys, *strangers], by))
    assert {text: tuple(row) for text, row in found.items()} == {typed.line_key(row): (row[4], row[2]) for row in LINES}
    pages = await store.answer(Fetch(lines, ("amount",), match=Match(by, [*keys, *strangers]), page=Page(5), count=True))
    assert {text: [row[0] for row in part.rows] for text, part in pages.items() if part.rows} == {
        typed.line_key(row): [row[4]] for row in LINES
    }
    pairs = [("p", keys[0]), ("p", keys[2]), ("q", keys[5]), ("q", "no,such,key")]
    both = await store.answer(Fetch(lines, ("amount",), match=Pairs(by, pairs)))
    assert {parent: [row[0] for row in part.rows] for parent, part in both.items() if part.rows} == {"p": [10, None], "q": [60]}
    counted = await store.answer(Aggregate(lines, (), (Measure("count"),), match=Match(by, [*keys, *strangers])))
    assert {text: [tuple(row) for row in rows] for text, rows in counted.items() if rows} == {text: [(1,)] for text in keys}


async def test_parents_of_two_columns(types: tuple[str, Store]) -> None:
    _, store = types
    parents = [join_key(["1", "a"]), join_key(["1", "a,b"]), join_key(["2", "a"]), join_key(["-3", "100%"]), "1", "a,1"]
    found = await store.answer(
        Fetch(lines, ("amount",), match=Match("order_id,label", parents), order=(Order("amount", True),), page=Page(1))
    )
    assert {text: ([row[0] for row in part.rows], part.more) for text, part in found.items() if part.rows} == {
        parents[0]: ([20], True),
        parents[1]: ([None], False),
        parents[3]: ([60], False),
    }


async def test_keys_of_several_columns_are_ordered_column_by_column(types: tuple[str, Store]) -> None:
    _, store = types
    found = await store.answer(Fetch(lines, ("order_id", "place", "label")))
    assert [tuple(row) for row in found[None].rows] == sorted(row[:3] for row in LINES)


# -------------------------------------------------------------------------------------------------------------- lists


@lists_of
async def test_lists(types: tuple[str, Store], name: str) -> None:
    store = held(types, name)
    rows = typed.rows_of_lists(name)
    found = await store.answer(Fetch(LISTS[name], ("id", "items")))
    assert [tuple(row) for row in found[None].rows] == rows
    samples = SAMPLES[name]
    wanted: list[tuple[Op, Value, set[int]]] = [
        ("has", samples[0], {id for id, items in rows if items and samples[0] in items}),
        ("has", samples[-1], {id for id, items in rows if items and samples[-1] in items}),
        ("has_any", (samples[0], samples[1]), {id for id, items in rows if items and {samples[0], samples[1]} & set(items)}),
        ("has_any", (), set()),
        ("is_empty", True, {id for id, items in rows if items == []}),
        ("eq", None, {id for id, items in rows if items is None}),
        ("ne", None, {id for id, items in rows if items is not None}),
    ]
    everyone = {id for id, _ in rows}
    for op, value, expected in wanted:
        for where, ids in ((Compare("items", op, value), expected), (Not(Compare("items", op, value)), everyone - expected)):
            answer = await store.answer(Fetch(LISTS[name], ("id",), where=where))
            assert ({row[0] for row in answer[None].rows} if None in answer else set()) == ids, where


# -------------------------------------------------------------------------------------------------------------- names


async def test_names_of_the_database(types: tuple[str, Store]) -> None:
    _, store = types
    rows = sorted(RENAMED)
    found = await store.answer(Fetch(renamed, ("id", "owner", "title", "made")))
    assert [tuple(row) for row in found[None].rows] == rows
    one = await store.answer(Get(renamed, ("made",), ["b", "nobody"], "title"))
    assert {text: tuple(row) for text, row in one.items()} == {"b": ("2024-01-01T00:00:00.000Z",)}
    by = await store.answer(
        Fetch(renamed, ("id",), match=Match("owner", ["1", "2", "9"]), order=(Order("made", True),), page=Page(2), count=True)
    )
    assert {parent: ([row[0] for row in part.rows], part.more, part.total) for parent, part in by.items() if part.rows} == {
        "1": ([3, 2], True, 3),
        "2": ([4], False, 1),
    }
    matching = await store.answer(Fetch(renamed, ("id",), where=And((Compare("owner", "eq", 1), Compare("title", "gt", "a")))))
    assert [row[0] for row in matching[None].rows] == [2, 3]
    groups = await store.answer(Aggregate(renamed, ("owner",), (Measure("count"), Measure("max", "made"))))
    assert [tuple(row) for row in groups[None]] == [(1, 3, rows[2][3]), (2, 1, rows[3][3]), (None, 1, None)]


def test_samples_are_in_order() -> None:
    for name, samples in SAMPLES.items():
        by = order_key(COLUMNS[name])
        assert sorted(samples, key=by) == list(samples), name
