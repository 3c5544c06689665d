"""Writes: upsert inserts or replaces whole rows, delete removes them, and a call does all of it or nothing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Conflict
from gateway.stores.base import Aggregate, Delete, Fetch, Get, Measure, Store, Upsert
from tests.gateway.stores.contract.oracle import everything, grouped, ids, one, put, same
from tests.gateway.stores.contract.world import ODD_KEYS, THINGS, Record, badges, drafts, record, words


async def test_what_is_upserted_is_there(scratch: Store) -> None:
    await put(scratch, drafts, *THINGS)
    assert same(await everything(scratch, drafts), sorted(THINGS, key=lambda thing: str(thing["id"])))


async def test_upserting_again_replaces_the_row_with_nulls_too(scratch: Store) -> None:
    await put(
        scratch,
        drafts,
        record(
            "a",
            note="old",
            maybe=True,
            score=1,
            ratio=1.5,
            seen_at="2020-01-01T00:00:00.000Z",
            due="2020-01-01",
            extra={"a": 1},
            labels=["x"],
        ),
        record("b", note="other"),
    )
    await put(scratch, drafts, record("a", code="new code", data={"b": 2}))
    assert same(await everything(scratch, drafts), [record("a", code="new code", data={"b": 2}), record("b", note="other")])


async def test_upserting_the_same_again_changes_nothing(scratch: Store) -> None:
    await put(scratch, drafts, *THINGS[:10])
    await put(scratch, drafts, *THINGS[:10])
    assert same(await everything(scratch, drafts), THINGS[:10])


async def test_new_rows_and_old_in_one_call(scratch: Store) -> None:
    await put(scratch, drafts, record("b", size=1), record("d", size=1))
    await put(scratch, drafts, *(record(key, size=2) for key in "cba"))
    assert [(r["id"], r["size"]) for r in await everything(scratch, drafts)] == [("a", 2), ("b", 2), ("c", 2), ("d", 1)]


async def test_of_rows_with_the_same_key_in_one_call_the_last_wins(scratch: Store) -> None:
    await put(scratch, drafts, record("a", size=1, note="first"), record("b"), record("a", size=2), record("a", size=3))
    assert same(await everything(scratch, drafts), [record("a", size=3), record("b")])


async def test_upserting_nothing(scratch: Store) -> None:
    await scratch.answer(Upsert(drafts, []))
    assert await everything(scratch, drafts) == []


async def test_rows_may_be_lists(scratch: Store) -> None:
    await scratch.answer(Upsert(drafts, [list(record("a", tags=["x"]).values())]))
    assert same(await everything(scratch, drafts), [record("a", tags=["x"])])


async def test_a_list_of_texts_may_be_written_as_a_tuple(scratch: Store) -> None:
    """As the default of a column is one."""
    await put(scratch, drafts, record("a", tags=("x", "y"), labels=()))
    assert same(await everything(scratch, drafts), [record("a", tags=["x", "y"], labels=[])])


async def test_changing_what_was_written_afterwards_changes_nothing(scratch: Store) -> None:
    tags, data = ["x"], {"a": [1]}
    await put(scratch, drafts, record("a", tags=tags, data=data))
    tags.append("y")
    data["a"].append(2)
    assert same(await everything(scratch, drafts), [record("a", tags=["x"], data={"a": [1]})])


async def test_ten_thousand_rows_in_one_call(scratch: Store) -> None:
    await put(scratch, drafts, *(record(f"{i:05}", size=i, data={"i": i}) for i in range(10_000)))
    assert grouped(await scratch.answer(Aggregate(drafts, (), (Measure("count"),)))) == {None: [(10_000,)]}
    rows = await scratch.answer(Get(drafts, ("size", "data"), ["00000", "09999"]))
    assert same({key: tuple(rows[key]) for key in sorted(rows)}, {"00000": (0, {"i": 0}), "09999": (9_999, {"i": 9_999})})


async def test_a_call_does_all_or_nothing(scratch: Store) -> None:
    """The last of many rows has a code that another has: none of the call is there, and what was there stays."""
    await put(scratch, drafts, record("kept", note="old", code="taken"))
    rows = [record(f"k{i}") for i in range(1_500)]
    with pytest.raises(Conflict):
        await put(scratch, drafts, record("kept", note="new", code="taken"), *rows, record("bad", code="taken"))
    assert same(await everything(scratch, drafts), [record("kept", note="old", code="taken")])


async def test_a_unique_value_may_be_written_again_with_its_row(scratch: Store) -> None:
    await put(scratch, drafts, record("a", code="mine"))
    await put(scratch, drafts, record("a", code="mine", size=1))
    await scratch.answer(Delete(drafts, [("a",)]))
    await put(scratch, drafts, record("b", code="mine"))
    assert same(await everything(scratch, drafts), [record("b", code="mine")])


@pytest.mark.parametrize("value", ["taken", ""])
async def test_a_unique_value_of_another_row_is_a_conflict(scratch: Store, value: str) -> None:
    """Whether the row is new or there already, and whether the other one is there or comes with it; what a client sees of it is equal."""
    await put(scratch, drafts, record("a", code=value), record("b"))
    for rows in (
        [record("c", code=value)],
        [record("b", code=value)],
        [record("c", code="new"), record("d", code="new")],
        [record("b", code="new"), record("c", code="new")],
    ):
        with pytest.raises(Conflict) as refused:
            await put(scratch, drafts, *rows)
        assert refused.value.shown == {
            "message": "Another row of drafts has the same code.",
            "extensions": {"code": "CONFLICT", "store": "tested"},
        }
    assert same(await everything(scratch, drafts), [record("a", code=value), record("b")])


async def test_a_row_of_a_key_alone_may_be_written_again(scratch: Store) -> None:
    await put(scratch, words, {"id": "a"}, {"id": "b"})
    await put(scratch, words, {"id": "b"}, {"id": "c"}, {"id": "c"})
    assert await ids(scratch, words) == ["a", "b", "c"]


async def test_nulls_are_no_unique_values(scratch: Store) -> None:
    """Any number of rows may have none, in one call and after another; of several columns one null is enough."""
    rows: list[Record] = [
        {"id": "a", "number": None, "town": None, "street": "x"},
        {"id": "b", "number": None, "town": None, "street": "x"},
        {"id": "c", "number": 1, "town": "here", "street": "x"},
        {"id": "d", "number": 2, "town": "there", "street": "x"},
    ]
    await put(scratch, badges, *rows[:3])
    await put(scratch, badges, rows[3])
    for number, town, columns in ((2, None, "number"), (None, "there", "town, street")):
        with pytest.raises(Conflict, match=f"^Another row of badges has the same {columns}.$"):
            await put(scratch, badges, {"id": "e", "number": number, "town": town, "street": "x"})
    assert same(await everything(scratch, badges), rows)


async def test_two_unique_values_that_change_places_in_one_call_are_a_conflict(scratch: Store) -> None:
    """Rows are written one after the other, in the order of their keys: each must fit when it is its turn."""
    await put(scratch, drafts, record("a", code="x"), record("b", code="y"))
    for rows in ([record("a", code="y"), record("b", code="x")], [record("b", code="x"), record("a", code="y")]):
        with pytest.raises(Conflict):
            await put(scratch, drafts, *rows)
    assert same(await everything(scratch, drafts), [record("a", code="x"), record("b", code="y")])


@pytest.mark.parametrize("turned", [False, True])
async def test_a_unique_value_may_be_taken_over_from_a_row_of_a_lower_key_and_from_no_other(scratch: Store, turned: bool) -> None:
    """In whichever order a call has its rows."""
    await put(scratch, drafts, record("a", code="x"), record("b", code="y"))
    rows = [record("a", code="free"), record("b", code="x")]
    await put(scratch, drafts, *(reversed(rows) if turned else rows))
    assert same(await everything(scratch, drafts), rows)
    back = [record("a", code="x"), record("b", code="y")]
    with pytest.raises(Conflict):
        await put(scratch, drafts, *(reversed(back) if turned else back))
    assert same(await everything(scratch, drafts), rows)


async def test_a_new_row_may_take_over_a_unique_value_in_the_same_way(scratch: Store) -> None:
    await put(scratch, drafts, record("b", code="x"))
    await put(scratch, drafts, record("c", code="x"), record("b", code="free"))
    assert same(await everything(scratch, drafts), [record("b", code="free"), record("c", code="x")])
    with pytest.raises(Conflict):
        await put(scratch, drafts, record("a", code="x"), record("c", code="other"))


async def test_deleted_rows_are_gone_and_the_others_stay(scratch: Store) -> None:
    await put(scratch, drafts, *(record(key) for key in "abcd"))
    await scratch.answer(Delete(drafts, [("b",), ("d",)]))
    assert await ids(scratch, drafts) == ["a", "c"]


async def test_deleting_missing_keys_is_no_error(scratch: Store) -> None:
    await put(scratch, drafts, record("a"))
    await scratch.answer(Delete(drafts, [("missing",), ("a",), ("a",), ("",)]))
    await scratch.answer(Delete(drafts, [("a",)]))
    assert await everything(scratch, drafts) == []


async def test_deleting_nothing(scratch: Store) -> None:
    await put(scratch, drafts, record("a"))
    await scratch.answer(Delete(drafts, []))
    assert await ids(scratch, drafts) == ["a"]


async def test_odd_keys_are_deleted_one_by_one(scratch: Store) -> None:
    await put(scratch, drafts, *(record(key) for key in ODD_KEYS))
    await scratch.answer(Delete(drafts, [(key,) for key in ODD_KEYS[::2]]))
    assert await ids(scratch, drafts) == sorted(ODD_KEYS[1::2])


async def test_three_thousand_keys_are_deleted_in_one_call(scratch: Store) -> None:
    await put(scratch, drafts, *(record(f"k{i}") for i in range(3_001)))
    await scratch.answer(Delete(drafts, [(f"k{i}",) for i in range(3_000)]))
    assert await ids(scratch, drafts) == ["k3000"]


async def test_a_deleted_row_can_come_back(scratch: Store) -> None:
    await put(scratch, drafts, record("a", note="old"))
    await scratch.answer(Delete(drafts, [("a",)]))
    await put(scratch, drafts, record("a", size=1))
    assert same(await everything(scratch, drafts), [record("a", size=1)])


async def test_writes_are_seen_at_once_by_every_read(scratch: Store) -> None:
    for size in range(5):
        await put(scratch, drafts, record("a", size=size))
        fetched, got = await asyncio.gather(one(scratch, Fetch(drafts, ("size",))), scratch.answer(Get(drafts, ("size",), ["a"])))
        assert ([tuple(row) for row in fetched.rows], tuple(got["a"])) == ([(size,)], (size,))


async def test_upserts_of_the_same_rows_at_the_same_time(scratch: Store) -> None:
    """The rows are of one of the calls each, none fails, and none is there twice."""
    await asyncio.gather(*(put(scratch, drafts, *(record(f"k{i:02}", size=n) for i in range(50))) for n in range(8)))
    rows = await everything(scratch, drafts)
    assert [row["id"] for row in rows] == [f"k{i:02}" for i in range(50)]
    assert all(row["size"] in range(8) for row in rows)


async def test_many_reads_at_the_same_time(scratch: Store) -> None:
    await put(scratch, drafts, *(record(f"k{i:02}", size=i) for i in range(50)))
    answers = await asyncio.gather(*(scratch.answer(Get(drafts, ("size",), [f"k{i:02}"])) for i in range(50)))
    assert [tuple(answer[f"k{i:02}"]) for i, answer in enumerate(answers)] == [(i,) for i in range(50)]
