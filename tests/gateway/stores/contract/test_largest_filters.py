"""The largest filters that settings may let through: every kind answers them, in whatever way conditions are combined."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.stores import connect
from gateway.stores.base import And, Compare, Fetch, Match, Not, Op, Or, Order, Page, Store, Upsert, Where
from gateway.stores.requests.conditions import CONDITIONS_MOST, ITEMS_MOST, LEVELS_MOST, TEXT_MOST
from tests.gateway.stores.contract.oracle import answered, fetched, ids, matches, same
from tests.gateway.stores.contract.world import THINGS, things
from tests.kinds import kinds, url_of

PATIENCE_S = 30.0  # servers may be busy, and the one that speaks MongoDB's protocol looks at the items of a list one by one


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=kinds())
async def patient(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with url_of(request.param) as url:
        store = connect("tested", url, timeout_s=PATIENCE_S)
        await store.open()
        try:
            await store.migrate("tested", [things], None)
            await store.answer(Upsert(things, [tuple(row.values()) for row in THINGS]))
            yield store
        finally:
            await store.close()


def _levels() -> Where:
    """As many levels as there may be, and conditions in each: of texts that are held to their type, may be null and are negated."""
    each = CONDITIONS_MOST // LEVELS_MOST // 2
    where: Where = Compare("note", "eq", "x")
    for level in range(LEVELS_MOST - 1):
        texts = [f"{level} {i}" for i in range(each)]
        beside = (*(Compare("name", "ne", text) for text in texts), *(Compare("note", "contains", text) for text in texts))
        where = And((Not(where), *beside)) if level % 2 else Or((where, *beside))
    return where


def _all(kind: type[And | Or], column: str, op: Op, count: int = CONDITIONS_MOST) -> Where:
    values = range(count) if column == "score" else [f"{i}" for i in range(count)]
    return kind(tuple([Compare(column, op, value) for value in values]))


NONE = [f"no {i}" for i in range(ITEMS_MOST - 1)]
FILTERS: dict[str, Where] = {
    "or": Or((*(Compare("name", "eq", f"name {i}") for i in range(CONDITIONS_MOST - 1)), Compare("note", "eq", "x"))),
    "and of not equal": _all(And, "name", "ne"),
    "or of contains": _all(Or, "name", "contains"),
    "or of and": Or(tuple(And((Compare("score", "gt", i), Compare("name", "lt", f"{i}"))) for i in range(CONDITIONS_MOST // 2))),
    "not or of not": Not(Or(tuple(Not(Compare("note", "gte", f"{i}")) for i in range(CONDITIONS_MOST)))),
    "or of starts with, and of not equal": Or((_all(Or, "name", "starts_with", 250), _all(And, "score", "ne", 250))),
    "levels": _levels(),
    "in": Compare("id", "in", (*NONE, THINGS[0]["id"])),
    "not in": Not(Compare("name", "in", (*NONE, "thing"))),
    "contains": Compare("name", "contains", "." * TEXT_MOST),
    "not contains": Not(Compare("note", "contains", "\U0001f600" * TEXT_MOST)),
    "starts with": Not(Compare("name", "starts_with", "%" * TEXT_MOST)),
}


@pytest.mark.parametrize("where", FILTERS.values(), ids=FILTERS)
async def test_the_largest_filters_that_settings_may_let_through_are_answered(patient: Store, where: Where) -> None:
    assert await ids(patient, things, where) == sorted(row["id"] for row in THINGS if matches(row, where))


@pytest.mark.parametrize("name", ["or", "levels", "in"])
async def test_so_are_pages_of_them_per_parent_with_totals(patient: Store, name: str) -> None:
    fetch = Fetch(things, ("id",), Match("parent_id", ["mother", "texts"]), FILTERS[name], (Order("name"),), Page(3), count=True)
    assert same(answered(await patient.answer(fetch), counted=True), fetched(THINGS, fetch))
