"""Values come back as they were written, of the same Python type: JSON with the order of its keys, lists, numbers, booleans, times."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.stores.base import Compare, Fetch, Get, Match, Order, Page, Store
from tests.gateway.stores.contract.oracle import column, ids, one, put, same
from tests.gateway.stores.contract.world import drafts, record

JSONS: list[Any] = [
    {},
    [],
    "",
    "text",
    "null",
    0,
    1,
    -7,
    1.0,
    1.5,
    -0.5,
    1e22,
    1e-7,
    True,
    False,
    {"z": 1, "a": 2, "m": 3},
    {"b": {"z": [1, {"y": None, "x": [True, False]}], "a": {}}, "a": []},
    {"a.b": 1, "$set": {"$gt": 2}, "$": 3, ".": 4, "": 5, "a b": 6, "_id": 7, "id": 8},
    {"1": "a", "10": "b", "2": "c", "0": "d"},
    {"big": 2**63 - 1, "small": -(2**63), "above 2^53": 2**53 + 1, "32 bits": 2**31, "minus": -(2**31) - 1},
    {"whole": 1, "float": 1.0, "true": True, "text": "1"},
    {"unicode": "\u00e4\U0001f600\u4e2d\u0301\ufffd", "\U0001f600": "\u2028", "quotes": "'\"\\/", "lines": "a\nb\tc\r\n"},
    {"$date": "2020-01-01T00:00:00.000Z"},
    {"$oid": "507f1f77bcf86cd799439011"},
    {"time": "2020-01-01T00:00:00.000Z", "date": "2020-01-01"},
    [1, "a", None, [[]], {}],
    [[1, 2], [3, [4, [5]]]],
    [None],
    {"null": None},
    {"deep": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]},
    {"many": {f"key {i}": i for i in range(300, 0, -1)}},
]

TEXT_LISTS = [
    [],
    [""],
    ["a", "a", "b"],
    ["b", "a"],
    ["null", "NULL", "None"],
    ["a,b", "{a}", '"', "'", "\\", "a\\nb", "a\nb", " ", "{}", "[]", "$a", "%"],
    ["\u00e4", "\u4e2d", "\U0001f600", "a\u0301", "\u00e1"],
    [str(i) for i in range(100)],
]


@pytest.mark.parametrize("value", JSONS, ids=lambda value: ascii(value)[:40])
async def test_json_comes_back_as_it_was(scratch: Store, value: Any) -> None:
    await put(scratch, drafts, record("json", data=value, extra=value))
    assert same([tuple(row) for row in (await one(scratch, Fetch(drafts, ("extra", "data")))).rows], [(value, value)])


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(_text := st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(_text, max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(values=st.lists(_json, min_size=1, max_size=20))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_json_comes_back_as_it_was(scratch: Store, values: list[Any]) -> None:
    await put(scratch, drafts, *(record(f"{i:02}", data={"value": value}) for i, value in enumerate(values)))
    rows = await scratch.answer(Get(drafts, ("data",), [f"{i:02}" for i in range(len(values))]))
    assert same([rows[f"{i:02}"][0] for i in range(len(values))], [{"value": value} for value in values])


async def test_json_that_is_null_is_null(scratch: Store) -> None:
    await put(scratch, drafts, record("null", extra=None), record("not", extra={"null": None}))
    assert same(column((await one(scratch, Fetch(drafts, ("extra",), order=(Order("id", descending=True),)))).rows), [None, {"null": None}])
    assert await ids(scratch, drafts, Compare("extra", "eq", None)) == ["null"]


async def test_empty_json_is_not_null(scratch: Store) -> None:
    await put(scratch, drafts, *(record(str(i), extra=value) for i, value in enumerate([{}, [], "", 0, False])))
    assert await ids(scratch, drafts, Compare("extra", "eq", None)) == []


@pytest.mark.parametrize("value", TEXT_LISTS, ids=lambda value: ascii(value)[:40])
async def test_a_list_of_texts_comes_back_as_it_was(scratch: Store, value: list[str]) -> None:
    await put(scratch, drafts, record("list", tags=value, labels=value))
    rows = await scratch.answer(Get(drafts, ("tags", "labels"), ["list"]))
    assert same(tuple(rows["list"]), (value, value))
    assert type(rows["list"][0]) is list


async def test_an_empty_list_is_not_null(scratch: Store) -> None:
    await put(scratch, drafts, record("empty", labels=[]), record("null", labels=None))
    assert await ids(scratch, drafts, Compare("labels", "eq", None)) == ["null"]
    rows = await scratch.answer(Get(drafts, ("labels",), ["empty", "null"]))
    assert same({key: rows[key][0] for key in ("empty", "null")}, {"empty": [], "null": None})


@pytest.mark.parametrize("through", ["get", "fetch", "page"])
async def test_booleans_are_booleans(scratch: Store, through: str) -> None:
    await put(scratch, drafts, *(record(str(value), done=value is True, maybe=value, parent_id="p") for value in (True, False, None)))
    if through == "get":
        rows = await scratch.answer(Get(drafts, ("done", "maybe"), ["True", "False", "None"]))
        got = {key: tuple(row) for key, row in rows.items()}
    else:
        page = Page(5) if through == "page" else None
        slices = await scratch.answer(Fetch(drafts, ("id", "done", "maybe"), Match("parent_id", ["p"]), page=page))
        got = {row[0]: tuple(row[1:]) for row in slices["p"].rows}
    assert all(type(value) is bool for done, maybe in got.values() for value in (done, maybe) if value is not None)
    assert got == {"True": (True, True), "False": (False, False), "None": (False, None)}


INTS = [0, 1, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, 1.0, -1.0, 0.1, 1 / 3, 0.1 + 0.2, 1e15, 1e16, 1e22, 1.7976931348623157e308, 5e-324, 2.0**53 + 2, -123456.789]


@pytest.mark.parametrize("value", INTS)
async def test_whole_numbers_have_64_bits(scratch: Store, value: int) -> None:
    await put(scratch, drafts, record("int", size=value, score=value))
    slice_ = await one(scratch, Fetch(drafts, ("size", "score"), where=Compare("size", "eq", value)))
    assert same([tuple(row) for row in slice_.rows], [(value, value)])
    assert type(slice_.rows[0][0]) is int


@pytest.mark.parametrize("value", FLOATS)
async def test_floats_are_floats_to_the_last_bit(scratch: Store, value: float) -> None:
    await put(scratch, drafts, record("float", weight=value, ratio=value))
    slice_ = await one(scratch, Fetch(drafts, ("weight", "ratio"), where=Compare("weight", "eq", value)))
    assert same([tuple(row) for row in slice_.rows], [(value, value)])
    assert type(slice_.rows[0][0]) is float


async def test_whole_numbers_side_by_side_are_told_apart(scratch: Store) -> None:
    await put(scratch, drafts, *(record(str(n), size=n) for n in (2**53, 2**53 + 1, 2**53 + 2)))
    assert await ids(scratch, drafts, Compare("size", "eq", 2**53 + 1)) == [str(2**53 + 1)]
    assert await ids(scratch, drafts, Compare("size", "gt", 2**53 + 1)) == [str(2**53 + 2)]
    assert await ids(scratch, drafts, Compare("size", "in", (2**53, 2**53 + 2))) == [str(2**53), str(2**53 + 2)]


TIMES = [
    "0001-01-01T00:00:00.000Z",
    "0001-12-31T23:59:59.999Z",
    "1582-10-10T12:00:00.000Z",
    "1883-11-18T12:03:58.001Z",
    "1969-12-31T23:59:59.001Z",
    "1969-12-31T23:59:59.999Z",
    "1970-01-01T00:00:00.000Z",
    "1970-01-01T00:00:00.001Z",
    "2010-03-08T23:51:42.175Z",
    "2016-12-31T23:59:59.999Z",
    "2020-02-29T00:00:00.000Z",
    "2021-03-28T01:30:00.000Z",
    "2021-10-31T02:30:00.000Z",
    "2038-01-19T03:14:08.000Z",
    "9999-12-31T23:59:59.000Z",
    "9999-12-31T23:59:59.999Z",
]


@pytest.mark.parametrize("time", TIMES)
async def test_times_keep_their_millisecond(scratch: Store, time: str) -> None:
    await put(scratch, drafts, record("time", made_at=time, seen_at=time))
    slice_ = await one(scratch, Fetch(drafts, ("made_at", "seen_at"), where=Compare("seen_at", "eq", time)))
    assert same([tuple(row) for row in slice_.rows], [(time, time)])


@pytest.mark.parametrize("fraction", range(0, 1000, 37))
async def test_every_millisecond_is_exact(scratch: Store, fraction: int) -> None:
    """Where times are kept as floating numbers, some milliseconds come back one less."""
    times = [f"{year}-07-01T12:34:56.{fraction:03}Z" for year in ("0001", "1066", "1900", "1969", "2024", "9999")]
    await put(scratch, drafts, *(record(time, made_at=time) for time in times))
    assert column((await one(scratch, Fetch(drafts, ("made_at",), order=(Order("made_at"),)))).rows) == times


async def test_times_are_ordered_and_compared(scratch: Store) -> None:
    await put(scratch, drafts, *(record(time, made_at=time, seen_at=time) for time in reversed(TIMES)), record("never"))
    assert await ids(scratch, drafts, order=(Order("seen_at"),)) == [*TIMES, "never"]
    assert await ids(scratch, drafts, order=(Order("seen_at", descending=True),)) == [*TIMES[::-1], "never"]
    for place, time in enumerate(TIMES):
        assert await ids(scratch, drafts, Compare("seen_at", "gt", time)) == TIMES[place + 1 :]
        assert await ids(scratch, drafts, Compare("seen_at", "gte", time)) == TIMES[place:]
        assert await ids(scratch, drafts, Compare("seen_at", "lt", time)) == TIMES[:place]
        assert await ids(scratch, drafts, Compare("seen_at", "lte", time)) == TIMES[: place + 1]
    assert await ids(scratch, drafts, Compare("seen_at", "in", (TIMES[0], TIMES[-1]))) == [TIMES[0], TIMES[-1]]


async def test_pages_go_by_the_millisecond(scratch: Store) -> None:
    times = [f"2020-01-01T00:00:00.{i:03}Z" for i in range(5)]
    await put(scratch, drafts, *(record(time, seen_at=time) for time in times), record("never"))
    page = Page(2, after=(times[1], times[1]))
    assert column((await one(scratch, Fetch(drafts, ("id",), order=(Order("seen_at"),), page=page))).rows) == times[2:4]
    page = Page(2, backward=True, before=(times[1], times[1]))
    assert column((await one(scratch, Fetch(drafts, ("id",), order=(Order("seen_at"),), page=page))).rows) == times[:1]


DATES = ["0001-01-01", "1582-10-10", "1900-02-28", "1969-12-31", "1970-01-01", "1985-09-20", "2000-02-29", "2024-12-31", "9999-12-31"]


@pytest.mark.parametrize("date", DATES)
async def test_dates_come_back_as_they_were(scratch: Store, date: str) -> None:
    await put(scratch, drafts, record("date", born=date, due=date))
    slice_ = await one(scratch, Fetch(drafts, ("born", "due"), where=Compare("due", "eq", date)))
    assert same([tuple(row) for row in slice_.rows], [(date, date)])


async def test_dates_are_ordered_and_compared(scratch: Store) -> None:
    await put(scratch, drafts, *(record(date, due=date) for date in reversed(DATES)), record("never"))
    assert await ids(scratch, drafts, order=(Order("due"),)) == [*DATES, "never"]
    assert await ids(scratch, drafts, order=(Order("due", descending=True),)) == [*DATES[::-1], "never"]
    assert await ids(scratch, drafts, Compare("due", "lt", "1970-01-01")) == DATES[:4]


async def test_numbers_are_ordered_as_numbers(scratch: Store) -> None:
    await put(scratch, drafts, *(record(f"k{i}", size=value, score=value) for i, value in enumerate(INTS)), record("none", size=3))
    slice_ = await one(scratch, Fetch(drafts, ("score",), order=(Order("score"),)))
    assert same(column(slice_.rows), [*sorted(INTS), None])
    slice_ = await one(scratch, Fetch(drafts, ("score",), order=(Order("score", descending=True),)))
    assert same(column(slice_.rows), [*sorted(INTS, reverse=True), None])


async def test_false_comes_before_true_and_null_is_last_either_way(scratch: Store) -> None:
    await put(scratch, drafts, *(record(str(value), maybe=value) for value in (None, True, False)))
    assert await ids(scratch, drafts, order=(Order("maybe"),)) == ["False", "True", "None"]
    assert await ids(scratch, drafts, order=(Order("maybe", descending=True),)) == ["True", "False", "None"]
