"""How conditions are written: brackets that keep a long filter from being a deep one."""

from __future__ import annotations

from itertools import cycle

import pytest

from gateway.stores.base import (
    And,
    Collection,
    Column,
    Compare,
    Fetch,
    Match,
    Not,
    Op,
    Or,
    Order,
    Page,
    Type,
    Upsert,
    Value,
    Where,
    total_order,
)
from gateway.stores.requests.conditions import CONDITIONS_MOST, LEVELS_MOST
from gateway.stores.sql.conditions import WIDEST
from tests.kinds import kinds, store_of

# Others' columns of each type: conditions on them have most beside them.
TYPES: dict[Type, tuple[Value, tuple[Op, ...]]] = {
    Type.TEXT: ("a", ("ne", "gte", "contains", "starts_with")),
    Type.INT: (5, ("ne", "gte")),
    Type.FLOAT: (0.5, ("ne", "gte")),
    Type.DECIMAL: ("1.25", ("ne", "gte")),
    Type.TIME: ("2024-01-01T00:00:00.000Z", ("ne", "gte")),
    Type.DATE: ("2024-01-01", ("ne", "gte")),
    Type.UUID: ("123e4567-e89b-12d3-a456-426614174000", ("ne", "gte")),
    Type.ENUM: ("low", ("ne", "gte")),
}
MIXED = Collection(
    "mixed",
    "tested",
    (Column("id"), *(Column(str(type_), type_, nullable=True, values=("low", "high") if type_ is Type.ENUM else ()) for type_ in TYPES)),
)
EVERY = [Compare(str(type_), op, value) for type_, (value, ops) in TYPES.items() for op in ops]


def _levels(kind: type[And | Or]) -> Where:
    """As many levels as there may be, in turns of the two kinds, each with as many negated conditions as make the most of all."""
    conditions = cycle(EVERY)
    each = CONDITIONS_MOST // LEVELS_MOST
    where: Where = Not(next(conditions))
    for _ in range(LEVELS_MOST - 1):
        where = kind((where, *(Not(next(conditions)) for _ in range(each))))
        kind = Or if kind is And else And
    return where


@pytest.mark.parametrize("kind", kinds(["sqlite", "postgresql"]))
async def test_the_deepest_of_the_largest_filters_is_answered_whatever_its_columns(kind: str) -> None:
    async with store_of(kind, [MIXED]) as store:
        await store.answer(Upsert(MIXED, [("1", *(value for value, _ in TYPES.values())), ("2", *(None for _ in TYPES))]))
        for where in (_levels(And), _levels(Or), Not(_levels(And)), Or(tuple(Not(compare) for compare in EVERY) * 25)):
            order = total_order(MIXED, (Order("decimal"), Order("time", descending=True)))
            page = Page(5, after=("0.10", "2024-01-02T00:00:00.000Z", "0"))
            everywhere = await store.answer(Fetch(MIXED, ("id",), None, where, order, page, count=True))
            by_parent = await store.answer(Fetch(MIXED, ("id",), Match("id", ["1", "2"]), where, order, page, count=True))
            found = {row[0] for slice_ in by_parent.values() for row in slice_.rows}
            assert {row[0] for row in everywhere[None].rows} == found
            negated = await store.answer(Fetch(MIXED, ("id",), None, Not(where), count=True))
            assert (everywhere[None].total or 0) + (negated[None].total or 0 if None in negated else 0) == 2


@pytest.mark.parametrize("kind", kinds(["sqlite", "postgresql"]))
@pytest.mark.parametrize("count", [WIDEST, WIDEST + 1, WIDEST * WIDEST + 1])
async def test_brackets_change_no_answer(kind: str, count: int) -> None:
    async with store_of(kind, [MIXED]) as store:
        await store.answer(Upsert(MIXED, [(f"{i}", f"{i}", i, *(None for _ in range(len(TYPES) - 2))) for i in range(count + 1)]))
        one_of = Or(tuple(Compare("int", "eq", i) for i in range(count)))
        none_of = And(tuple(Compare("text", "ne", f"{i}") for i in range(count)))
        for where, expected in ((one_of, count), (none_of, 1), (Not(one_of), 1), (Not(none_of), count), (Or((one_of, none_of)), count + 1)):
            answer = await store.answer(Fetch(MIXED, ("id",), where=where))
            assert len(answer[None].rows) == expected
