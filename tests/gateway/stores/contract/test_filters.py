"""Filters are two-valued: each comparison on each type, nulls, and any nesting of and, or and not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.security.limits import Limits
from gateway.stores.base import And, Compare, Fetch, Match, Not, Or, Order, Page, Store, Type, Where
from tests.forms import of_form
from tests.gateway.stores.contract.oracle import answered, column, fetched, ids, matches, one, put, same
from tests.gateway.stores.contract.world import THINGS, drafts, record, things

EQUALITY = ("eq", "ne", "in")
ORDERING = ("gt", "gte", "lt", "lte")
IN_TEXT = ("contains", "starts_with")
OPS_OF = {
    Type.TEXT: EQUALITY + ORDERING + IN_TEXT,
    Type.BOOL: EQUALITY,
    Type.INT: EQUALITY + ORDERING,
    Type.FLOAT: EQUALITY + ORDERING,
    Type.TIME: EQUALITY + ORDERING,
    Type.DATE: EQUALITY + ORDERING,
}
COMPARABLE = [c for c in things.columns if c.type in OPS_OF]
# Values that rows have, and one beside them.
OTHERS: dict[Type, list[Any]] = {
    Type.TEXT: ["m", "no such text"],
    Type.BOOL: [],
    Type.INT: [1, -(2**63), 2**63 - 1],
    Type.FLOAT: [0.3, 0.0],
    Type.TIME: ["0001-01-01T00:00:00.000Z", "2021-02-01T00:00:00.001Z", "9999-12-31T23:59:59.999Z"],
    Type.DATE: ["0001-01-02", "1999-12-31", "9999-12-31"],
}
EVERY_ID = sorted(thing["id"] for thing in THINGS)


def expected(where: Where) -> list[str]:
    return sorted(thing["id"] for thing in THINGS if matches(thing, where))


def values_of(column: str) -> list[Any]:
    present = dict.fromkeys(thing[column] for thing in THINGS if thing[column] is not None)
    return [*list(present)[:12], *OTHERS[things[column].type]]


# One text column with nulls and one without are enough here: ``test_text.py`` has more to say on text.
@pytest.mark.parametrize(("column", "op"), [(c.name, op) for c in COMPARABLE if c.name not in ("code", "name") for op in OPS_OF[c.type]])
async def test_each_comparison_on_each_column(store: Store, column: str, op: Any) -> None:
    values = values_of(column)
    operands = [tuple(values[:3]), tuple(values[-2:]), (values[0],), (), (None,), (values[0], None)] if op == "in" else values
    for value in operands:
        where = Compare(column, op, value)
        assert await ids(store, things, where) == expected(where), where
        assert await ids(store, things, Not(where)) == expected(Not(where)), Not(where)


@pytest.mark.parametrize(
    ("column", "op"), [(c.name, op) for c in COMPARABLE if c.nullable for op in OPS_OF[c.type] if op not in ("eq", "ne")]
)
async def test_a_comparison_with_null_is_false_and_its_negation_is_true(store: Store, column: str, op: Any) -> None:
    where = Compare(column, op, None)
    assert await ids(store, things, where) == []
    assert await ids(store, things, Not(where)) == EVERY_ID


@pytest.mark.parametrize("column", things.names)
async def test_eq_null_is_null_and_ne_null_is_not_null(store: Store, column: str) -> None:
    """On JSON and lists of texts too."""
    nulls = [thing["id"] for thing in THINGS if thing[column] is None]
    rest = [thing["id"] for thing in THINGS if thing[column] is not None]
    assert await ids(store, things, Compare(column, "eq", None)) == sorted(nulls)
    assert await ids(store, things, Compare(column, "ne", None)) == sorted(rest)
    assert await ids(store, things, Not(Compare(column, "eq", None))) == sorted(rest)
    assert await ids(store, things, Not(Compare(column, "ne", None))) == sorted(nulls)


async def test_json_and_lists_that_are_empty_are_not_null(scratch: Store) -> None:
    """Nor are those that say null inside; a filter on them is nested like any other."""
    values: list[Any] = [{}, [], "", "null", 0, False, [None], {"null": None}, None]
    records = [record(f"d{i}", extra=value, labels=None if value is None else [], code=f"d{i}") for i, value in enumerate(values)]
    await put(scratch, drafts, *records)
    every = [f"d{i}" for i in range(len(values))]
    for name in ("extra", "labels"):
        is_null, is_there = Compare(name, "eq", None), Compare(name, "ne", None)
        assert await ids(scratch, drafts, is_null) == every[-1:]
        assert await ids(scratch, drafts, is_there) == every[:-1]
        assert await ids(scratch, drafts, Not(is_null)) == every[:-1]
        assert await ids(scratch, drafts, Or((is_null, Compare("id", "eq", "d0")))) == ["d0", "d8"]
        assert await ids(scratch, drafts, And((Not(is_there), Compare("id", "in", ("d0", "d8"))))) == ["d8"]
    fetch = Fetch(drafts, ("id",), where=Compare("extra", "ne", None), order=(Order("id", descending=True),), page=Page(2), count=True)
    slice_ = await one(scratch, fetch)
    assert (column(slice_.rows), slice_.more, slice_.total) == (["d7", "d6"], True, 8)


class TestTheTruthTable:
    """Three rows, m00 to m02, have null, "x" and "y" in ``note``. Every combination, written out."""

    is_x = Compare("note", "eq", "x")
    not_x = Compare("note", "ne", "x")
    above_x = Compare("note", "gt", "x")
    is_null = Compare("note", "eq", None)

    @pytest.mark.parametrize(
        ("where", "null", "x", "y"),
        [
            (is_x, False, True, False),
            (not_x, True, False, True),
            (above_x, False, False, True),
            (is_null, True, False, False),
            (Compare("note", "in", ("x", "y")), False, True, True),
            (Compare("note", "contains", ""), False, True, True),
            (Compare("note", "starts_with", ""), False, True, True),
            (Not(is_x), True, False, True),
            (Not(not_x), False, True, False),
            (Not(above_x), True, True, False),
            (Not(is_null), False, True, True),
            (Not(Compare("note", "in", ("x", "y"))), True, False, False),
            (Not(Compare("note", "in", ())), True, True, True),
            (Not(Compare("note", "contains", "x")), True, False, True),
            (Not(Not(above_x)), False, False, True),
            (And((is_x, is_null)), False, False, False),
            (And((not_x, Not(is_null))), False, False, True),
            (Or((above_x, is_null)), True, False, True),
            (Or((is_x, Not(is_x))), True, True, True),
            (And((above_x, Not(above_x))), False, False, False),
            (Not(And((above_x, is_null))), True, True, True),
            (Not(Or((above_x, is_x))), True, False, False),
            (Not(Or((Not(above_x), Not(is_x)))), False, False, False),
            (Not(And((Not(above_x), Not(is_x)))), False, True, True),
        ],
        ids=str,
    )
    async def test_of_nulls(self, store: Store, where: Where, null: bool, x: bool, y: bool) -> None:
        among = Compare("id", "in", ("m00", "m01", "m02"))
        rows = {"m00": null, "m01": x, "m02": y}
        assert await ids(store, things, And((among, where))) == [key for key, is_there in rows.items() if is_there]


@pytest.mark.parametrize(
    ("where", "all_match"),
    [
        (And(()), True),
        (Or(()), False),
        (Not(And(())), False),
        (Not(Or(())), True),
        (Compare("id", "in", ()), False),
        (And((And(()), Or((And(()),)))), True),
        (And((Or(()),)), False),
        (Or((Or(()), And(()))), True),
        (Or((Compare("id", "in", ()), Not(Compare("note", "in", ())))), True),
    ],
    ids=str,
)
async def test_empty_filters(store: Store, where: Where, all_match: bool) -> None:
    assert await ids(store, things, where) == (EVERY_ID if all_match else [])
    slices = await store.answer(Fetch(things, ("id",), Match("parent_id", ["father"]), where, page=Page(10), count=True))
    family = [(f"f{i}",) for i in range(6)]
    assert answered(slices, counted=True) == ({"father": (family, False, 6)} if all_match else {})


async def test_a_thousand_values_in_a_filter(store: Store) -> None:
    values = (*(f"none {i}" for i in range(998)), "m03", "only")
    assert await ids(store, things, Compare("id", "in", values)) == ["m03", "only"]


async def test_values_that_repeat_in_a_filter(store: Store) -> None:
    assert await ids(store, things, Compare("id", "in", ("m03", "only", "m03"))) == ["m03", "only"]


async def test_a_deep_filter(store: Store) -> None:
    where: Where = Compare("note", "eq", "x")
    for i in range(10):
        where = Not(Or((And((where, Compare("id", "ne", f"m{i:02}"))),)))
    assert await ids(store, things, where) == expected(where)


@pytest.mark.parametrize(("outer", "inner"), [(Or, And), (And, Or)], ids=["or of ands", "and of ors"])
async def test_a_wide_filter(store: Store, outer: type[And | Or], inner: type[And | Or]) -> None:
    """As wide as a client may write it; a planner that multiplies it out has 2 ** 12 parts."""
    items = tuple(inner((Compare("note", "eq", "x"), Compare("id", "ne", f"m{i:02}"))) for i in range(12))
    assert await ids(store, things, outer(items)) == expected(outer(items))


async def test_a_filter_holds_before_the_page_is_cut_and_in_the_total(store: Store) -> None:
    fetch = Fetch(
        things, ("id", "note"), Match("parent_id", ["mother", "father"]), Compare("note", "eq", "x"), (Order("score"),), Page(2), count=True
    )
    assert same(answered(await store.answer(fetch), counted=True), fetched(THINGS, fetch))


async def test_a_filter_on_the_parent_itself(store: Store) -> None:
    fetch = Fetch(things, ("id",), Match("parent_id", ["mother", "father"]), Compare("parent_id", "eq", "father"), page=Page(1), count=True)
    assert answered(await store.answer(fetch), counted=True) == {"father": ([("f0",)], True, 6)}


# ------------------------------------------------------------------------------------------------------- any filter at all


def _comparisons() -> st.SearchStrategy[Where]:
    ops = [(c.name, op) for c in COMPARABLE for op in OPS_OF[c.type]]
    return st.sampled_from(ops).flatmap(lambda column_op: _operands(*column_op).map(lambda value: _compare(*column_op, value)))


def _operands(column: str, op: str) -> st.SearchStrategy[Any]:
    value = st.sampled_from(values_of(column))
    return st.none() | (st.lists(value, max_size=3).map(tuple) if op == "in" else value)


def _compare(column: str, op: Any, value: Any) -> Where:
    return Compare(column, op, value)


def _nested(inner: st.SearchStrategy[Where]) -> st.SearchStrategy[Where]:
    items = st.lists(inner, max_size=3).map(tuple)
    return items.map(And) | items.map(Or) | inner.map(Not)


filters = st.recursive(_comparisons(), _nested, max_leaves=8)


@given(where=filters)
@settings(max_examples=of_form(15, 40, "FUZZ_EXAMPLES"), deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_filter(store: Store, where: Where) -> None:
    assert await ids(store, things, where) == expected(where)


SORTABLE = [c.name for c in COMPARABLE]


@given(
    where=st.none() | filters,
    order=st.lists(st.builds(Order, st.sampled_from(SORTABLE), st.booleans()), max_size=3).map(tuple),
    limit=st.integers(0, 8),
    backward=st.booleans(),
)
@settings(max_examples=of_form(15, 40, "FUZZ_EXAMPLES"), deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_filter_with_any_order_and_page(
    store: Store, where: Where | None, order: tuple[Order, ...], limit: int, backward: bool
) -> None:
    match = Match("parent_id", ["mother", "father", "aunt", "texts", "nobody"])
    fetch = Fetch(things, ("id", "name"), match, where, order, Page(limit, backward), count=True)
    assert same(answered(await store.answer(fetch), counted=True), fetched(THINGS, fetch))


MOST = Limits()
LARGEST: dict[str, Where] = {
    "or": Or((*(Compare("name", "eq", f"name {i}") for i in range(MOST.filter_conditions_max - 1)), Compare("note", "eq", "x"))),
    "and": And(tuple(Compare("name", "ne", f"name {i}") for i in range(MOST.filter_conditions_max))),
    "or of contains": Or(tuple(Compare("name", "contains", f"{i}") for i in range(MOST.filter_conditions_max))),
    "in": Compare("id", "in", tuple([f"no {i}" for i in range(MOST.filter_in_max - 2)] + EVERY_ID[:2])),
    "not in": Not(Compare("id", "in", tuple([f"no {i}" for i in range(MOST.filter_in_max - 2)] + EVERY_ID[:2]))),
    "50 in of 100": Or(
        tuple(Compare("id", "in", (*(f"{i}-{j}" for j in range(99)), EVERY_ID[0])) for i in range(50))
    ),  # variables_values_max
    "contains": Compare("name", "contains", "a" * MOST.filter_text_max),
    "starts with": Not(Compare("name", "starts_with", "%" * MOST.filter_text_max)),
}


@pytest.mark.parametrize("where", LARGEST.values(), ids=LARGEST)
async def test_the_largest_filters_that_the_limits_let_through_are_answered(store: Store, where: Where) -> None:
    assert await ids(store, things, where) == expected(where)


async def test_the_deepest_filter_that_the_limits_let_through_is_answered(store: Store) -> None:
    where: Where = Compare("note", "eq", "x")
    for level in range(MOST.filter_depth_max - 1):
        where = Not(where) if level % 3 == 0 else And((where, Compare("name", "ne", "m"))) if level % 3 == 1 else Or((where, where))
    assert await ids(store, things, where) == expected(where)
