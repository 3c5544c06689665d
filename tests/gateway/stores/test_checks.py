"""What the values of an answer are held to, type by type: which fit, what is said of one that does not, and how often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway.errors import WrongValue
from gateway.stores.base import Column, Type
from gateway.stores.values import Checks, Unreadable, sorted_anyhow

GOOD: dict[Type, list[Any]] = {
    Type.TEXT: ["", "a"],
    Type.BOOL: [True, False],
    Type.INT: [0, 2**80],
    Type.FLOAT: [0.5, 1, float("inf")],
    Type.TIME: ["2026-01-31T12:00:00.000Z"],
    Type.DATE: ["2026-01-31"],
    Type.JSON: [True, 1, 1.5, "a", [float("nan")], {}],
    Type.TEXTS: [[], ["a", ""]],
    Type.DECIMAL: ["0", "-13.860", "NaN"],
    Type.CLOCK: ["23:59:59.999"],
    Type.UUID: ["123e4567-e89b-12d3-a456-426614174000"],
    Type.OBJECT_ID: ["507f1f77bcf86cd799439011"],
    Type.BYTES: ["", "AP8="],
    Type.ENUM: ["low", "high"],
}
BAD: list[tuple[Type, Any, str]] = [
    (Type.TEXT, 1, "an int"),
    (Type.TEXT, b"a", "a bytes"),
    (Type.BOOL, 1, "an int"),
    (Type.INT, True, "a bool"),
    (Type.INT, 1.0, "a float"),
    (Type.FLOAT, True, "a bool"),
    (Type.FLOAT, "1", "a str"),
    (Type.TIME, 5, "an int"),
    (Type.TIME, "2026-01-31T12:00:00Z", "a str of another form"),
    (Type.TIME, "2026-01-31T12:00:00.000000Z", "a str of another form"),
    (Type.TIME, "2026-01-31T12:00:00.000Z\n2026-01-31T12:00:00.000Z", "a str of another form"),
    (Type.DATE, "2026-1-31", "a str of another form"),
    (Type.DATE, "２０２６-01-31", "a str of another form"),
    (Type.JSON, float("nan"), "a float that is no number"),
    (Type.JSON, b"a", "a bytes"),
    (Type.TEXTS, "a", "a str"),
    (Type.TEXTS, ["a", 1], "a list with something else than texts"),
    (Type.TEXTS, [None], "a list with something else than texts"),
    (Type.DECIMAL, 1.5, "a float"),
    (Type.DECIMAL, "1e5", "a str of another form"),
    (Type.CLOCK, "9:00:00.000", "a str of another form"),
    (Type.UUID, "123E4567-e89b-12d3-a456-426614174000", "a str of another form"),
    (Type.OBJECT_ID, "507f", "a str of another form"),
    (Type.BYTES, "AP8", "a str of another form"),
    (Type.ENUM, "mid", "a str that is none of its values"),
]


def column(name: str, type_: Type) -> Column:
    return Column(name, type_, values=("low", "high") if type_ is Type.ENUM else ())


@pytest.mark.parametrize("type_", list(Type))
def test_values_of_a_type_and_nulls_are_fit(type_: Type) -> None:
    assert Checks([column("x", type_)]).hold([(value,) for value in (*GOOD[type_], None)])
    assert Checks([column("x", type_)]).hold([])


@pytest.mark.parametrize(("type_", "value", "found"), BAD)
def test_another_value_is_told_by_what_it_is_in_whichever_row_and_column(type_: Type, value: Any, found: str) -> None:
    good = GOOD[type_][0]
    for rows in ([(good, value)], [(good, good), (value, good)], [(good, good), (good, value), (good, None)]):
        checks = Checks([column("x", type_), column("y", type_)])
        assert not checks.hold(rows)
        told: list[WrongValue] = []
        counts: Counter[str] = Counter()
        replaced = list(map(checks.replacing("paper.notes", told.append, counts), rows))
        [error] = told
        assert [[error if item is value else item for item in row] for row in rows] == [list(row) for row in replaced]
        name = "y" if any(row[1] is value for row in rows) else "x"
        assert error.detail == f"paper.notes.{name}: expected {type_.upper()}, found {found}"
        assert counts == {name: 1}


def test_each_column_and_each_way_to_be_wrong_is_told_once_and_every_value_counted() -> None:
    told: list[WrongValue] = []
    checks = Checks([Column("x", Type.INT), Column("y", Type.INT)])
    counts: Counter[str] = Counter()
    rows = list(map(checks.replacing("paper.notes", told.append, counts), [("a", "a"), ("b", 1.5), (None, "c"), (1, 2)]))
    assert [error.detail for error in told] == [
        "paper.notes.x: expected INT, found a str",
        "paper.notes.y: expected INT, found a str",
        "paper.notes.y: expected INT, found a float",
    ]
    x, y, other = told
    assert rows == [(x, y), (x, other), (None, y), (1, 2)]
    assert counts == {"x": 2, "y": 3}


def test_what_could_not_be_read_is_told_as_it_was_found_and_stands_behind_all_values() -> None:
    unreadable = Unreadable("a str that is none")
    told: list[WrongValue] = []
    checks = Checks([Column("x", Type.JSON)])
    assert not checks.hold([(unreadable,)])
    checks.replacing("paper.notes", told.append, Counter())((unreadable,))
    assert [error.detail for error in told] == ["paper.notes.x: expected JSON, found a str that is none"]
    values = ["b", unreadable, None, "a"]
    assert sorted_anyhow(values, key=lambda value: [(value is None, value)]) == ["a", "b", unreadable, None]
    mixed = [2, "b", None, 1, "a"]
    assert sorted_anyhow(mixed, key=lambda value: [(value is None, value)]) == [1, 2, "a", "b", None]
