"""How a measure is made of its parts: which values are whose, and what has no place in its type."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.errors import OutOfRange, StoreMisbehaved
from gateway.stores.base import Aggregate, Collection, Column, Measure, Type
from gateway.stores.measures import HALF, finished, joined, parts

SALES = Collection("sales", "paper", (Column("id"), Column("kind"), Column("pieces", Type.INT), Column("price", Type.FLOAT)))
SUM, MEAN, PAID = Measure("sum", "pieces"), Measure("avg", "pieces"), Measure("sum", "price")


def test_each_measure_has_its_own_parts_behind_the_groups() -> None:
    measures = (Measure("count"), SUM, Measure("max", "price"), MEAN, PAID, Measure("avg", "price"))
    assert [part.function for part in parts(SALES, measures)] == [
        "count", "high", "low", "number", "max", "high", "low", "number", "total", "number", "total", "number",
    ]  # fmt: skip
    row = ("tea", 5, 1, 2, 2, 0.5, 0, 9, 2, 1.5, 3, "1.5", 3)
    nothing = ("none", 1, None, 0, 0, None, None, None, 0, 0.0, 0, None, 0)
    found = joined(Aggregate(SALES, ("kind",), measures), {"p": [row, nothing]})
    assert found == {"p": [("tea", 5, HALF + 2, 0.5, 4.5, 1.5, 0.5), ("none", 1, None, None, None, None, None)]}


@pytest.mark.parametrize("total", [2**63 - 1, -(2**63), 0])
def test_a_sum_has_64_bits(total: int) -> None:
    assert finished(SALES, SUM, total, 2) == total
    assert finished(SALES, MEAN, total * 4, 4) == float(total)
    beyond = total + (1 if total >= 0 else -1)
    if total:
        with pytest.raises(OutOfRange, match="does not fit into 64 bits"):
            finished(SALES, SUM, beyond, 2)


@pytest.mark.parametrize("measure", [PAID, Measure("avg", "price")])
def test_a_float_is_a_number_and_there_is_one_zero(measure: Measure) -> None:
    zero: Any = finished(SALES, measure, -0.0, 1)
    assert math.copysign(1, zero) == 1
    for total in (math.inf, -math.inf, math.nan):
        with pytest.raises(OutOfRange, match="beyond what a float can hold"):
            finished(SALES, measure, total, 1)


def test_parts_that_are_none_are_a_fault_of_the_store() -> None:
    for measure, row in ((SUM, (1.0, 0, 1)), (SUM, (1, "0", 1)), (PAID, ("one", 1)), (PAID, (None, 1))):
        with pytest.raises(StoreMisbehaved):
            joined(Aggregate(SALES, (), (measure,)), {None: [row]})
