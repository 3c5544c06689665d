"""What requests say of themselves: which of them share a call, and whose answer is whose."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import StoreMisbehaved
from gateway.stores.base import (
    KEYS_PER_CALL,
    PAIRS_PER_CALL,
    Aggregate,
    Bucket,
    Collection,
    Column,
    Compare,
    Delete,
    Fetch,
    Get,
    Groups,
    Match,
    Measure,
    Native,
    NativeCall,
    Order,
    Page,
    Pairs,
    Request,
    Slice,
    Slices,
    Type,
    UniqueKeys,
    Upsert,
)

NOTES = Collection("notes", "paper", (Column("id"), Column("writer_id"), Column("text")))
OTHERS = Collection("others", "paper", (Column("id"), Column("writer_id"), Column("text")))
TOP = Native("top", "paper", ())
COUNT = (Measure("count"),)
HERE = Compare("text", "eq", "x")


def get(*keys: str, columns: tuple[str, ...] = ("text",), **more: Any) -> Get:
    return Get(NOTES, columns, keys, **more)


def fetch(*keys: str, columns: tuple[str, ...] = ("text",), **more: Any) -> Fetch:
    return Fetch(NOTES, columns, Match("writer_id", keys), **more)


def stats(*keys: str, **more: Any) -> Aggregate:
    return Aggregate(NOTES, (), COUNT, Match("writer_id", keys), **more)


def top(*keys: str, **arguments: Any) -> NativeCall:
    return NativeCall(TOP, keys, arguments)


EACH: list[Request[Any]] = [
    get("a", "b"),
    fetch("a", "b"),
    Fetch(NOTES, ("id",), Pairs("id", [("a", "x"), ("b", "y")])),
    stats("a", "b"),
    top("a", "b"),
    Upsert(NOTES, [("a", "w", "x"), ("b", "w", "y")]),
    Delete(NOTES, [("a",), ("b",)]),
]


@pytest.mark.parametrize("request_", EACH, ids=lambda request: request.operation)
def test_each_says_its_store_its_name_and_how_many_keys_it_has(request_: Request[Any]) -> None:
    name = "top" if request_.operation == "native" else "notes"
    assert (request_.store, request_.about, request_.keys_count) == ("paper", name, 2)


def test_those_without_keys_have_none() -> None:
    assert Fetch(NOTES, ("id",)).keys_count == 0
    assert Aggregate(NOTES, (), COUNT).keys_count == 0


# ------------------------------------------------------------------------------------------------------------- sharing

APART: list[tuple[Request[Any], Request[Any]]] = [
    (get("a"), Get(OTHERS, ("text",), ["a"])),
    (get("a"), get("a", column="text")),
    (get("a"), get("a", where=HERE)),
    (get("a", where=HERE), get("a", where=Compare("text", "eq", "y"))),
    (fetch("a"), fetch("a", where=HERE)),
    (fetch("a"), fetch("a", page=Page(1))),
    (fetch("a"), fetch("a", order=(Order("text"),))),
    (fetch("a"), fetch("a", count=True)),
    (fetch("a"), Fetch(NOTES, ("text",))),
    (fetch("a"), Fetch(NOTES, ("text",), Match("text", ["a"]))),
    (fetch("a"), Fetch(OTHERS, ("text",), Match("writer_id", ["a"]))),
    (stats("a"), stats("a", where=HERE)),
    (stats("a"), stats("a", most=3)),
    (stats("a"), Aggregate(NOTES, (), COUNT)),
    (stats("a"), Aggregate(OTHERS, (), COUNT, Match("writer_id", ["a"]))),
    (stats("a"), Aggregate(NOTES, (), COUNT, Match("text", ["a"]))),
    (stats("a"), Aggregate(NOTES, ("text",), COUNT, Match("writer_id", ["a"]))),
    (stats("a"), Aggregate(NOTES, (), (Measure("max", "text"),), Match("writer_id", ["a"]))),
    (top("a"), NativeCall(Native("last", "paper", ()), ["a"], {})),
    (top("a"), top("a", first=1)),
    (top("a", first=1), top("a", first=True)),
    (top("a"), top("a").narrowed(NOTES, HERE)),
    (top("a").narrowed(NOTES, HERE), top("a").narrowed(OTHERS, HERE)),
]


@pytest.mark.parametrize(("one", "other"), APART, ids=str)
def test_what_differs_in_more_than_keys_and_columns_shares_no_call(one: Request[Any], other: Request[Any]) -> None:
    assert one.share_key() != other.share_key()
    assert one.share_key() == one.share_key()


def test_what_differs_in_keys_and_columns_shares_one() -> None:
    assert get("a").share_key() == get("b", columns=("id",)).share_key()
    assert fetch("a", where=HERE).share_key() == fetch("b", "c", columns=("id",), where=HERE).share_key()
    assert stats("a").share_key() == stats("b").share_key()
    assert top("a", first=[1]).share_key() == top("b", first=(1,)).share_key()


@pytest.mark.parametrize("request_", [EACH[2], EACH[5], EACH[6]], ids=["pairs", "upsert", "delete"])
def test_pairs_and_writes_share_no_call(request_: Request[Any]) -> None:
    assert request_.share_key() is None
    if request_.is_write:
        with pytest.raises(StoreMisbehaved, match="shares its call with no other"):
            request_.merged([request_])


def test_one_alone_is_merged_into_itself() -> None:
    for request in EACH:
        assert request.merged([]) is request


def test_merged_has_every_key_and_column_once() -> None:
    merged = get("b", "a", columns=("text",)).merged([get("a", "c", columns=("id", "text"))])
    assert (merged.columns, merged.keys) == (("text", "id"), ["b", "a", "c"])
    assert type(merged.keys) is UniqueKeys
    assert fetch("b").merged([fetch("a", columns=("id",))]).match == Match("writer_id", ["b", "a"])
    assert stats("b", "a").merged([stats("a")]).match == Match("writer_id", ["b", "a"])
    assert top("b", first=1).merged([top("a", first=1)]).keys == ["b", "a"]


# ------------------------------------------------------------------------------------------------- whose answer it is


def test_nobody_gets_the_rows_of_strangers() -> None:
    """With equal columns too: a batch function that goes through an answer would find keys that it did not ask for."""
    mine, others = get("a", "b", "gone"), get("c")
    merged = mine.merged([others])
    answer = {"a": ("1",), "b": ("2",), "c": ("3",)}
    assert mine.part_of(answer, merged) == {"a": ("1",), "b": ("2",)}
    assert others.part_of(answer, merged) == {"c": ("3",)}


def test_nobody_gets_the_columns_of_strangers() -> None:
    mine, others, none = get("a", columns=("text",)), get("a", "c", columns=("id", "text", "writer_id")), get("a", columns=())
    merged = mine.merged([others, none])
    answer = {"a": ("t", "a", "w"), "c": ("u", "c", "w")}
    assert merged.columns == ("text", "id", "writer_id")
    assert mine.part_of(answer, merged) == {"a": ("t",)}
    assert others.part_of(answer, merged) == {"a": ("a", "t", "w"), "c": ("c", "u", "w")}
    assert none.part_of(answer, merged) == {"a": ()}


def test_nobody_gets_the_groups_of_strangers() -> None:
    mine, others = fetch("a", "none"), fetch("b", columns=("id", "text"))
    merged = mine.merged([others])
    answer: Slices = {"a": Slice([("t", "1")], True, 5), "b": Slice([("u", "2")])}
    assert mine.part_of(answer, merged) == {"a": Slice([("t",)], True, 5)}
    assert others.part_of(answer, merged) == {"b": Slice([("2", "u")])}
    groups: Groups = {"a": [(1,)], "b": [(2,)]}
    assert stats("b").part_of(groups, stats("a").merged([stats("b")])) == {"b": [(2,)]}
    assert top("b").part_of(groups, top("a").merged([top("b")])) == {"b": [(2,)]}


def test_an_answer_of_ones_own_is_left_as_it_is() -> None:
    answer: Any = {"a": ("1",)}
    for request in EACH:
        assert request.part_of(answer, request) is answer


# --------------------------------------------------------------------------------------------------------------- parts


def test_what_is_fit_is_not_split() -> None:
    unique = get(*map(str, range(KEYS_PER_CALL)))
    for request in (unique, fetch("a"), stats("a"), top("a"), Fetch(NOTES, ("id",)), Aggregate(NOTES, (), COUNT), EACH[5], EACH[6]):
        asked: Request[Any] = request
        assert list(asked.split()) == [asked]
        assert asked.split()[0] is asked


def test_keys_are_asked_once_and_not_too_many_at_a_time() -> None:
    keys = [str(number % 2_500) for number in range(4_000)]
    for request in (get(*keys), top(*keys)):
        assert [len(part.keys) for part in request.split()] == [1_000, 1_000, 500]
    for one in (fetch(*keys), stats(*keys)):
        assert [part.match.size for part in one.split() if part.match is not None] == [1_000, 1_000, 500]
    assert [part.keys for part in get("a", "b", "a").split()] == [["a", "b"]]


def test_unique_keys_are_taken_at_their_word() -> None:
    keys = UniqueKeys(["a", "a"])
    assert Get(NOTES, ("id",), keys).split()[0].keys is keys


def test_unique_keys_are_not_too_many_at_a_time_either() -> None:
    keys = UniqueKeys(map(str, range(KEYS_PER_CALL + 1)))
    for request in (Get(NOTES, ("id",), keys), NativeCall(TOP, keys, {})):
        assert [part.keys for part in request.split()] == [keys[:-1], keys[-1:]]
    match = Match("writer_id", keys)
    for one in (Fetch(NOTES, ("id",), match), Aggregate(NOTES, (), COUNT, match)):
        assert [part.match.keys for part in one.split() if isinstance(part.match, Match)] == [keys[:-1], keys[-1:]]


def test_nothing_to_ask_is_no_call() -> None:
    nothing: list[Request[Any]] = [get(), fetch(), stats(), top(), Fetch(NOTES, (), Pairs("id", [])), Upsert(NOTES, []), Delete(NOTES, [])]
    for request in nothing:
        assert not list(request.split())
        assert not request.joined([])


def test_pairs_are_split_between_parents() -> None:
    pairs = [(parent, f"{parent}{n}") for parent in ("p", "q") for n in range(PAIRS_PER_CALL - 1)]
    parts = Fetch(NOTES, ("id",), Pairs("id", [*pairs, pairs[0]])).split()
    assert [{parent for parent, _ in part.match.pairs} for part in parts if isinstance(part.match, Pairs)] == [{"p"}, {"q"}]


def parts_of_pairs(pairs: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    return [list(part.match.pairs) for part in Fetch(NOTES, ("id",), Pairs("id", pairs)).split() if isinstance(part.match, Pairs)]


def test_all_pairs_of_a_parent_are_in_one_part_however_many() -> None:
    many = [("p", str(n)) for n in range(PAIRS_PER_CALL + 1)]
    assert parts_of_pairs([*many, ("q", "last")]) == [many, [("q", "last")]]


def test_each_pair_is_asked_once_and_those_of_few_parents_together() -> None:
    assert parts_of_pairs([("p", "a"), ("q", "a"), ("p", "b"), ("p", "a")]) == [[("p", "a"), ("p", "b"), ("q", "a")]]


def test_a_part_has_the_pairs_of_no_more_parents_than_a_call_has_keys() -> None:
    pairs = [(str(n), "a") for n in range(KEYS_PER_CALL + 1)]
    assert parts_of_pairs(pairs) == [pairs[:-1], pairs[-1:]]


def test_parts_that_answer_for_one_key_are_a_fault_of_the_store() -> None:
    assert get("a", "b").joined([{"a": ("1",)}, {"b": ("2",)}]) == {"a": ("1",), "b": ("2",)}
    with pytest.raises(StoreMisbehaved, match="answered for the same key"):
        get("a", "b").joined([{"a": ("1",)}, {"a": ("2",)}])


# ---------------------------------------------------------------------------------------------------------- abilities

NEEDS: list[tuple[Request[Any], set[str]]] = [
    (get("a"), set()),
    (get("a", where=HERE), {"filter"}),
    (fetch("a"), {"page"}),
    (fetch("a", where=HERE), {"page", "filter"}),
    (fetch("a", count=True), {"page", "count"}),
    (stats("a"), {"aggregate"}),
    (stats("a", where=HERE), {"aggregate", "filter"}),
    (top("a"), {"native"}),
    (top("a").narrowed(NOTES, HERE), {"native", "filter"}),
    (EACH[5], {"write"}),
    (EACH[6], {"write"}),
]


@pytest.mark.parametrize(
    ("request_", "needed"), NEEDS, ids=[f"{request.operation}-{'+'.join(sorted(needed))}" for request, needed in NEEDS]
)
def test_each_says_what_a_kind_of_store_has_to_be_able_to_do(request_: Request[Any], needed: set[str]) -> None:
    assert request_.needs == needed


# -------------------------------------------------------------------------------------------------------------- checks

SIZES = Collection("sizes", "paper", (Column("id"), Column("size", Type.INT), Column("at", Type.TIME)))
NOON = "2026-01-31T12:00:00.000Z"


def test_the_values_of_an_aggregate_are_of_the_types_that_groups_and_measures_give() -> None:
    measures = (Measure("count"), Measure("avg", "size"), Measure("sum", "size"), Measure("max", "at"))
    checks = Aggregate(SIZES, ("size", Bucket("at", "day")), measures).checks
    row = (3, NOON, 2, 1.5, 3, NOON)
    assert checks.hold([row, (None,) * 6])
    for place, wrong in enumerate(("3", 3, 2.0, "1.5", 3.0, "noon")):
        assert not checks.hold([row, (*row[:place], wrong, *row[place + 1 :])])


def test_all_rows_of_an_answer_are_checked_and_replaced() -> None:
    """In whichever part they stand; what else is told of a part stays."""
    slices: Slices = {"a": Slice([("x",), ("y",)], True, 7), "b": Slice([("z",)])}
    groups: Groups = {"a": [(1,), (2,)], "b": [(3,)]}
    assert list(get("a", "b").rows_of({"a": ("x",), "b": ("y",)})) == [("x",), ("y",)]
    assert list(fetch("a", "b").rows_of(slices)) == [("x",), ("y",), ("z",)]
    assert list(fetch("b").rows_of({"b": slices["b"]})) == [("z",)]
    assert list(fetch("b").rows_of({})) == []
    for request in (stats("a", "b"), top("a", "b")):
        assert list(request.rows_of(groups)) == [(1,), (2,), (3,)]
        assert request.with_rows(groups, lambda row: (-row[0],)) == {"a": [(-1,), (-2,)], "b": [(-3,)]}
    assert get("a").with_rows({"a": ("x",)}, lambda row: (*row, 1)) == {"a": ("x", 1)}
    replaced = fetch("a", "b").with_rows(slices, lambda row: (*row, 1))
    assert replaced == {"a": Slice([("x", 1), ("y", 1)], True, 7), "b": Slice([("z", 1)])}


def test_rows_are_counted() -> None:
    assert get("a").rows_in({"a": ("1",), "b": ("2",)}) == 2
    assert fetch("a").rows_in({"a": Slice([(1,), (2,)]), "b": Slice([(3,)])}) == 3
    assert stats("a").rows_in({"a": [(1,)], "b": []}) == 1
    assert top("a").rows_in({"a": [(1,), (2,)]}) == 2
    assert Upsert(NOTES, []).rows_in(None) == 0
