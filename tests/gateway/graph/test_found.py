"""What a database has, held against a declaration: sentences, and what is left unsaid as the database does not say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.graph.found import problems_of
from gateway.stores.base import Collection, Column, Index, Type
from gateway.stores.described import Found, FoundColumn, Missing, as_declared

PEOPLE = Collection("people", "town", (Column("id"), Column("age", Type.INT), Column("nick", nullable=True)), indexes=(Index(("age",)),))
PAIRS = Collection("pairs", "town", (Column("a"), Column("b")), key=("a", "b"))
WHERE = "collection people of the store town: expected"

TEXT, NULLABLE_TEXT = FoundColumn("text", frozenset({Type.TEXT}), nullable=False), FoundColumn("text", frozenset({Type.TEXT}))
INT, NULLABLE_INT = FoundColumn("bigint", frozenset({Type.INT}), nullable=False), FoundColumn("bigint", frozenset({Type.INT}))
RIGHT = {"id": TEXT, "age": INT, "nick": NULLABLE_TEXT}
BY_ID = (Index(("id",), unique=True),)


def told(found: Found | Missing, people: Collection = PEOPLE) -> list[str]:
    return [str(problem).removeprefix(WHERE).strip() for problem in problems_of([people], {"people": found})]


def table(columns: Mapping[str, FoundColumn], *indexes: Index) -> Found:
    return Found("table", columns, indexes or BY_ID, is_enforced=True)


def test_what_is_as_declared_is_no_problem() -> None:
    assert problems_of([PEOPLE, PAIRS], as_declared([PEOPLE, PAIRS])) == []
    assert told(table(RIGHT)) == []


def test_columns_indexes_and_orders_that_nobody_declared_are_nobodys_business() -> None:
    more = {"more": FoundColumn("money", frozenset()), **dict(reversed(RIGHT.items()))}
    assert told(table(more, Index(("age", "nick"), unique=True), *BY_ID)) == []


def test_a_column_may_be_stricter_than_declared() -> None:
    assert told(table({**RIGHT, "nick": TEXT})) == []


def test_all_is_told_in_the_order_of_the_declaration() -> None:
    assert told(table({"id": NULLABLE_TEXT, "age": TEXT}, Index(("id",)))) == [
        "a column 'id' that is never null, got one that may be",
        "a column 'age' for INT, got text",
        "a column 'nick', got a table with id, age",
        "a key (id) that is unique, got a table without a unique index of just these",
    ]


def test_a_view_keeps_nothing_out() -> None:
    assert told(Found("view", {"id": NULLABLE_TEXT, "age": NULLABLE_INT, "nick": NULLABLE_TEXT})) == []


@pytest.mark.parametrize("columns", [("a", "b"), ("b", "a")])
def test_a_key_is_unique_in_any_order(columns: tuple[str, ...]) -> None:
    found = Found("table", {"a": TEXT, "b": TEXT}, (Index(columns, unique=True),), is_enforced=True)
    assert problems_of([PAIRS], {"pairs": found}) == []


@pytest.mark.parametrize("columns", [("a",), ("a", "b", "c")])
def test_a_key_is_not_unique_by_less_or_more(columns: tuple[str, ...]) -> None:
    found = Found("table", {"a": TEXT, "b": TEXT}, (Index(columns, unique=True),), is_enforced=True)
    assert len(problems_of([PAIRS], {"pairs": found})) == 1


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((), "a table people, got none"),
        (("cars",), "a table people, got none"),
        (("cars", "peoples", "person"), "a table people, got none; there is peoples"),
        (("peoples", "People"), "a table people, got none; there is People"),
        (("peoples", "village.people"), "a table people, got none; there is village.people"),
    ],
)
def test_a_table_that_was_probably_meant_is_named(others: tuple[str, ...], expected: str) -> None:
    assert told(Missing("table", "people", others)) == [expected]


def test_what_a_migration_makes_is_said_of_managed_collections_of_a_database_without_tables_alone() -> None:
    managed = replace(PEOPLE, managed=True)
    assert told(Missing("table", "people", ("alembic_version_town", "crossgraph_lock")), managed) == [
        "a table people, which gateway migrate makes, got none"
    ]
    assert told(Missing("table", "people", ("cars",)), managed) == ["a table people, got none"]


def test_a_table_of_many_columns_is_not_told_whole() -> None:
    columns = RIGHT | {f"c{number}": TEXT for number in range(20)}
    del columns["nick"]
    assert told(table(columns)) == ["a column 'nick', got a table with id, age, c0, c1, c2, c3, c4, c5, c6, c7 and 12 more"]
    assert told(Found("view", {})) == [f"a column {name!r}, got a view with no columns" for name in ("id", "age", "nick")]


def test_a_sample_speaks_for_its_rows_alone() -> None:
    assert told(Found("collection", {}, sampled=0)) == []
    assert told(Found("collection", {"id": NULLABLE_TEXT}, sampled=1)) == [
        "a column 'age' that is never null, got none in all of the one row looked at"
    ]
    wrong = {"id": TEXT, "age": FoundColumn("string", frozenset())}
    assert told(Found("label", wrong, sampled=100)) == ["a column 'age' for INT, got string in all of the 100 rows looked at"]
