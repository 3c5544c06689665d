"""What all kinds of store do alike with rows."""

from __future__ import annotations

import pytest

from gateway.stores.base import Collection, Column, Page, Row, Slice
from gateway.stores.shared import conflict, grouped, grouped_by_last, nulls_last, page_of, pages, to_write


def rows(*values: int) -> list[Row]:
    return [(value,) for value in values]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (None, Slice(rows(1, 2, 3))),
        (Page(2), Slice(rows(1, 2), more=True)),
        (Page(3), Slice(rows(1, 2, 3))),
        (Page(2, backward=True), Slice(rows(2, 1), more=True)),
        (Page(0), Slice([], more=True)),
    ],
)
def test_a_page_leaves_the_row_more_and_is_in_the_order_asked(page: Page | None, expected: Slice) -> None:
    assert page_of(rows(1, 2, 3), page) == expected
    assert pages({"a": rows(1, 2, 3), "b": []}, page) == {"a": expected, "b": Slice([])}


def test_groups_keep_the_order_of_parents_and_rows() -> None:
    assert list(grouped([("b", 1), ("a", 2), ("b", 3)]).items()) == [("b", [1, 3]), ("a", [2])]
    assert list(grouped_by_last([(1, 2, "b"), (3, 4, "a"), (5, 6, "b")], 2).items()) == [("b", [(1, 2), (5, 6)]), ("a", [(3, 4)])]


def test_nulls_are_last() -> None:
    assert sorted([(None, 1), ("", None), ("", 0), ("a", 0)], key=nulls_last) == [("", 0), ("", None), ("a", 0), (None, 1)]


def test_rows_to_write_are_the_last_of_each_key_in_the_order_of_keys() -> None:
    pairs = Collection("pairs", "s", (Column("note"), Column("b"), Column("a")), key=("a", "b"))
    given = [("old", "x", "2"), ("first", "z", "1"), ("new", "x", "2"), ("other", "y", "1")]
    assert to_write(pairs, given) == [("other", "y", "1"), ("first", "z", "1"), ("new", "x", "2")]


def test_a_conflict_names_the_columns_where_they_are_known() -> None:
    assert conflict("main", "users", ["email", "team"]).message == "Another row of users has the same email, team."
    error = conflict("main", "users", ())
    assert (error.message, error.extensions["store"]) == ("Another row of users already has a value that must be unique.", "main")
