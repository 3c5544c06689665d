"""Aggregates: rows counted, and their first and last times, by columns and by time, per parent or over all."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import OutOfRange
from gateway.stores.base import Aggregate, And, Bucket, Compare, Interval, Match, Measure, Not, Or, Store, Where
from tests.gateway.stores.contract.oracle import aggregated, grouped, put, same
from tests.gateway.stores.contract.world import LINKS, ODD_KEYS, TEXTS_IN_ORDER, THINGS, drafts, links, record, things

COUNT, FIRST, LAST = Measure("count"), Measure("min", "made_at"), Measure("max", "made_at")
ALL = (COUNT, FIRST, LAST)
PARENTS = ["mother", "father", "nobody", "aunt"]
GROUPS: list[tuple[str | Bucket, ...]] = [
    (),
    ("name",),
    ("note",),
    ("done",),
    ("maybe",),
    ("size",),
    ("score",),
    ("parent_id",),
    ("born",),
    ("due",),
    ("maybe", "note"),
    ("note", "maybe"),
    (Bucket("made_at", "day"), "name"),
    ("maybe", Bucket("seen_at", "month"), "done"),
]


def name_of(groups: tuple[str | Bucket, ...]) -> str:
    return ",".join(g if isinstance(g, str) else f"{g.interval} of {g.column}" for g in groups) or "all"


by_any_groups = pytest.mark.parametrize("groups", GROUPS, ids=name_of)


@by_any_groups
async def test_over_all_rows(store: Store, groups: tuple[str | Bucket, ...]) -> None:
    aggregate = Aggregate(things, groups, ALL)
    assert same(grouped(await store.answer(aggregate)), aggregated(THINGS, aggregate))


@by_any_groups
async def test_per_parent(store: Store, groups: tuple[str | Bucket, ...]) -> None:
    aggregate = Aggregate(things, groups, ALL, Match("parent_id", PARENTS))
    assert same(grouped(await store.answer(aggregate)), aggregated(THINGS, aggregate))


@by_any_groups
async def test_of_the_rows_that_match(store: Store, groups: tuple[str | Bucket, ...]) -> None:
    where = Or((Compare("note", "eq", "x"), Not(Compare("score", "gt", 0))))
    for match in (None, Match("parent_id", PARENTS)):
        aggregate = Aggregate(things, groups, ALL, match, where)
        assert same(grouped(await store.answer(aggregate)), aggregated(THINGS, aggregate))


@pytest.mark.parametrize("measures", [(), (COUNT,), (FIRST,), (LAST,), (LAST, COUNT), (LAST, FIRST, COUNT), (COUNT, COUNT)], ids=str)
async def test_only_the_asked_measures_in_the_order_asked(store: Store, measures: tuple[Measure, ...]) -> None:
    for groups in ((), ("done",)):
        aggregate = Aggregate(things, groups, measures, Match("parent_id", PARENTS))
        assert same(grouped(await store.answer(aggregate)), aggregated(THINGS, aggregate))


async def test_written_out(store: Store) -> None:
    aggregate = Aggregate(things, ("note",), (COUNT,), Match("parent_id", ["mother", "father", "nobody"]))
    assert same(
        grouped(await store.answer(aggregate)),
        {"father": [("x", 3), (None, 3)], "mother": [("", 4), ("x", 8), ("y", 4), (None, 8)]},
    )


async def test_groups_come_in_the_order_of_text_nulls_last(store: Store) -> None:
    rows = (await store.answer(Aggregate(things, ("note",), (COUNT,))))[None]
    notes = [row[0] for row in rows]
    assert notes[-1] is None
    assert notes[:-1] == sorted({thing["note"] for thing in THINGS} - {None})


@pytest.mark.parametrize("where", [Or(()), Compare("id", "in", ()), Compare("id", "eq", "nobody")], ids=str)
async def test_without_groups_there_is_one_row_or_none_where_nothing_matched(store: Store, where: Where) -> None:
    assert same(grouped(await store.answer(Aggregate(things, (), (COUNT,)))), {None: [(len(THINGS),)]})
    for match in (None, Match("parent_id", PARENTS)):
        assert grouped(await store.answer(Aggregate(things, (), ALL, match, where))) == {}
        assert grouped(await store.answer(Aggregate(things, ("name",), ALL, match, where))) == {}


async def test_without_groups_per_parent(store: Store) -> None:
    answer = await store.answer(Aggregate(things, (), (COUNT,), Match("parent_id", PARENTS)))
    assert grouped(answer) == {"mother": [(24,)], "father": [(6,)], "aunt": [(1,)]}


async def test_of_an_empty_collection(scratch: Store) -> None:
    assert grouped(await scratch.answer(Aggregate(drafts, (), ALL))) == {}


async def test_first_and_last_pass_over_nulls(store: Store) -> None:
    """And are null themselves where there is nothing else."""
    measures = (Measure("min", "seen_at"), Measure("max", "seen_at"), COUNT)
    aggregate = Aggregate(things, ("maybe",), measures, Match("parent_id", PARENTS))
    assert same(grouped(await store.answer(aggregate)), aggregated(THINGS, aggregate))
    aggregate = Aggregate(things, (), measures, where=Compare("seen_at", "eq", None))
    assert same(grouped(await store.answer(aggregate)), {None: [(None, None, sum(t["seen_at"] is None for t in THINGS))]})


# ------------------------------------------------------------------------------------------------- sums, averages, extremes

SUMS = tuple(Measure(function, column) for function in ("sum", "avg") for column in ("size", "score", "weight", "ratio"))
EXTREMES = tuple(
    Measure(function, column)
    for function in ("min", "max")
    for column in ("size", "score", "weight", "ratio", "made_at", "seen_at", "born", "due", "name", "note")
)
NOT_TOO_LARGE = Not(Compare("score", "gt", 2**60))  # two of them have no sum


@by_any_groups
async def test_sums_and_averages(store: Store, groups: tuple[str | Bucket, ...]) -> None:
    for match in (None, Match("parent_id", PARENTS)):
        aggregate = Aggregate(things, groups, (*SUMS, COUNT), match, NOT_TOO_LARGE)
        assert same(grouped(await store.answer(aggregate)), aggregated(THINGS, aggregate))


@by_any_groups
async def test_extremes_of_every_type_that_has_some(store: Store, groups: tuple[str | Bucket, ...]) -> None:
    for match in (None, Match("parent_id", PARENTS)):
        aggregate = Aggregate(things, groups, EXTREMES, match)
        assert same(grouped(await store.answer(aggregate)), aggregated(THINGS, aggregate))


async def test_text_is_less_by_code_point(store: Store) -> None:
    for place in range(len(TEXTS_IN_ORDER) - 1):
        two = TEXTS_IN_ORDER[place : place + 2]
        where = And((Compare("parent_id", "eq", "texts"), Compare("name", "in", two)))
        assert grouped(await store.answer(Aggregate(things, (), EXTREMES[8:9] + EXTREMES[18:19], None, where))) == {None: [two]}


async def test_sums_over_edges(store: Store) -> None:
    measures = (Measure("sum", "strength"), Measure("avg", "strength"), Measure("max", "remark"))
    for match in (None, Match("source_id", ["ann", "bob"]), Match("target_id", ["ann", "bob"])):
        aggregate = Aggregate(links, ("mutual",), measures, match)
        assert same(grouped(await store.answer(aggregate)), aggregated(LINKS, aggregate))


@pytest.mark.parametrize(("column", "zero"), [("size", 0), ("weight", 0.0)])
async def test_the_sum_of_nulls_is_null_and_that_of_zeros_is_zero(scratch: Store, column: str, zero: float) -> None:
    nullable = {"size": "score", "weight": "ratio"}[column]
    await put(scratch, drafts, *(record(str(number), **{column: -zero}) for number in range(3)))
    measures = tuple(Measure(function, name) for name in (column, nullable) for function in ("sum", "avg", "min"))
    found = grouped(await scratch.answer(Aggregate(drafts, (), measures)))
    assert found == {None: [(zero, 0.0, zero, None, None, None)]}
    assert str(found[None][0][0]) == str(zero)
    assert grouped(await scratch.answer(Aggregate(drafts, (), measures, where=Or(())))) == {}


WHOLE = {
    "the largest": [2**62, 2**62 - 1],
    "the least": [-(2**62), -(2**62)],
    "too large on the way": [2**63 - 1, 2**63 - 1, 5, -(2**63), -(2**63)],
    "beyond a float": [2**53, 1, 1, 1],
    "around 32 bits": [2**32 - 1, 2**32, -(2**32), -1, -(2**31), 2**31, -(2**32) - 1],
}


@pytest.mark.parametrize("values", WHOLE.values(), ids=WHOLE)
async def test_the_sum_of_integers_is_exact(scratch: Store, values: list[int]) -> None:
    records = [record(f"{number:02}", score=value) for number, value in enumerate(values)]
    await put(scratch, drafts, *records)
    aggregate = Aggregate(drafts, (), (Measure("sum", "score"), Measure("avg", "score")))
    found = grouped(await scratch.answer(aggregate))
    assert found[None][0][0] == sum(values)
    assert same(found, aggregated(records, aggregate))


@pytest.mark.parametrize("values", [[2**63 - 1, 1], [-(2**63), -1], [2**62] * 40], ids=["above", "below", "far above"])
async def test_a_sum_beyond_64_bits_is_an_error_and_its_average_is_right(scratch: Store, values: list[int]) -> None:
    records = [record(f"{number:02}", score=value, parent_id="p") for number, value in enumerate(values)]
    await put(scratch, drafts, *records)
    for match in (None, Match("parent_id", ["p"])):
        with pytest.raises(OutOfRange, match=r"^The sum of score of drafts does not fit into 64 bits; ask for fewer rows\.$"):
            await scratch.answer(Aggregate(drafts, (), (Measure("sum", "score"),), match))
        average = Aggregate(drafts, (), (Measure("avg", "score"),), match)
        assert same(grouped(await scratch.answer(average)), aggregated(records, average))


FLOATS = {
    "tenths": [0.1] * 10,
    "tenths and their opposites": [0.1, 0.2, -0.3],
    "what a large one swallows": [1e16, 1.0, 1.0, -1e16],
    "what is left of large ones": [2.0**61, 0.1, -(2.0**61)],
    "what breaks a tie": [2.0**53, 1.0, 2.0**-31],
    "prices": [round(number * 1.37 + 0.01, 2) for number in range(200)],
    "from small to large": [number * 10.0**power for power in range(-15, 16, 3) for number in (1.1, -7.7, 3.3)],
    "all digits": [0.1 + number / 3 for number in range(100)] + [1e10 / 7, -1e-10 / 7, 1e-18 / 3],
    "one that is tiny": [5e-324],
    "one that is large": [1.7976931348623157e308],
    "large and tiny": [1e300, 0.25, -1e-300],
}


@pytest.mark.parametrize("values", FLOATS.values(), ids=FLOATS)
async def test_the_sum_of_floats_is_rounded_once_whatever_their_order(scratch: Store, values: list[float]) -> None:
    aggregate = Aggregate(drafts, (), (Measure("sum", "ratio"), Measure("avg", "ratio")))
    for ordered in (values, values[::-1]):
        records = [record(f"{number:03}", ratio=value) for number, value in enumerate(ordered)]
        await put(scratch, drafts, *records)
        assert same(grouped(await scratch.answer(aggregate)), aggregated(records, aggregate))


async def test_a_sum_beyond_a_float_is_an_error(scratch: Store) -> None:
    await put(scratch, drafts, *(record(str(number), ratio=1.7e308) for number in range(3)))
    for function in ("sum", "avg"):
        with pytest.raises(OutOfRange, match=r"^The sum of ratio of drafts is beyond what a float can hold; ask for fewer rows\.$"):
            await scratch.answer(Aggregate(drafts, (), (Measure(function, "ratio"),)))


async def test_parents_with_odd_keys(store: Store) -> None:
    aggregate = Aggregate(things, ("name",), (COUNT,), Match("parent_id", list(ODD_KEYS)))
    assert grouped(await store.answer(aggregate)) == {key: [("child", 1)] for key in ODD_KEYS[:40]}


async def test_no_parents(store: Store) -> None:
    assert grouped(await store.answer(Aggregate(things, (), (COUNT,), Match("parent_id", [])))) == {}


async def test_grouped_by_the_parent_that_is_matched(store: Store) -> None:
    aggregate = Aggregate(things, ("parent_id", "done"), (COUNT,), Match("parent_id", PARENTS))
    assert same(grouped(await store.answer(aggregate)), aggregated(THINGS, aggregate))


EDGES_OF_TIME = [
    "0001-01-01T00:00:00.000Z",
    "0001-01-07T23:59:59.999Z",
    "0001-01-08T00:00:00.000Z",
    "1969-12-28T23:59:59.999Z",  # a Sunday
    "1969-12-29T00:00:00.000Z",  # a Monday
    "1969-12-31T23:59:59.999Z",
    "1970-01-01T00:00:00.000Z",
    "1999-12-31T23:59:59.999Z",
    "2000-01-01T00:00:00.000Z",
    "2000-02-29T12:34:56.789Z",
    "2020-12-31T23:00:00.000Z",
    "2021-01-01T00:59:59.999Z",
    "2021-01-03T23:59:59.999Z",  # a Sunday: its week began in another year
    "2021-01-04T00:00:00.000Z",
    "2021-03-28T00:59:59.999Z",  # clocks change in Europe
    "2021-03-28T01:00:00.000Z",
    "2021-03-28T02:00:00.000Z",
    "2021-10-31T00:30:00.000Z",
    "2021-10-31T01:30:00.000Z",
    "2024-12-30T00:00:00.000Z",  # a Monday: its week is the first of the next year by ISO
    "9999-12-31T23:59:59.999Z",
]


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
async def test_buckets_of_time(scratch: Store, interval: Interval) -> None:
    records = [record(time, made_at=time, seen_at=time if i % 5 else None, parent_id="p") for i, time in enumerate(EDGES_OF_TIME)]
    await put(scratch, drafts, *records)
    for column in ("made_at", "seen_at"):
        for match in (None, Match("parent_id", ["p", "q"])):
            aggregate = Aggregate(drafts, (Bucket(column, interval),), ALL, match)
            assert same(grouped(await scratch.answer(aggregate)), aggregated(records, aggregate))


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        ("hour", "2021-01-03T23:00:00.000Z"),
        ("day", "2021-01-03T00:00:00.000Z"),
        ("week", "2020-12-28T00:00:00.000Z"),
        ("month", "2021-01-01T00:00:00.000Z"),
    ],
)
async def test_a_bucket_is_its_start(scratch: Store, interval: Interval, start: str) -> None:
    await put(scratch, drafts, record("sunday", made_at="2021-01-03T23:59:59.999Z"))
    assert grouped(await scratch.answer(Aggregate(drafts, (Bucket("made_at", interval),), (COUNT,)))) == {None: [(start, 1)]}


async def test_two_buckets_of_one_column(scratch: Store) -> None:
    records = [record(time, made_at=time) for time in EDGES_OF_TIME]
    await put(scratch, drafts, *records)
    aggregate = Aggregate(drafts, (Bucket("made_at", "month"), Bucket("made_at", "day")), (COUNT,))
    assert same(grouped(await scratch.answer(aggregate)), aggregated(records, aggregate))


async def test_types_of_groups_are_kept(scratch: Store) -> None:
    values: dict[str, Any] = {
        "maybe": True,
        "score": 2**53 + 1,
        "due": "1969-12-31",
        "note": "\U0001f600'",
        "seen_at": "1969-12-31T23:59:59.999Z",
    }
    await put(scratch, drafts, record("one", **values))
    aggregate = Aggregate(drafts, tuple(values), (COUNT,), where=And((Compare("maybe", "eq", True),)))
    assert same(grouped(await scratch.answer(aggregate)), {None: [(*values.values(), 1)]})


@pytest.mark.parametrize("match", [None, Match("parent_id", PARENTS)], ids=["over all", "per parent"])
@pytest.mark.parametrize("most", [1, 3, 1_000])
async def test_an_answer_ends_after_so_many_rows_and_those_are_right(store: Store, match: Match | None, most: int) -> None:
    groups: tuple[str | Bucket, ...] = ("name", "maybe")
    whole = grouped(await store.answer(Aggregate(things, groups, ALL, match)))
    cut = grouped(await store.answer(Aggregate(things, groups, ALL, match, most=most)))
    count = sum(map(len, whole.values()))
    assert count > 3
    assert sum(map(len, cut.values())) == min(most, count)
    assert all(row in whole[parent] for parent, rows in cut.items() for row in rows)
