"""What all kinds of store share: declarations that are checked, the order made total, and the rank of values in it."""

from __future__ import annotations

from itertools import permutations

import pytest

from gateway.stores.base import EMPTY, Collection, Column, Index, Order, Type, rank, total_order

edges = Collection("edges", "graph", (Column("a"), Column("b"), Column("since", Type.TIME, nullable=True)), key=("a", "b"))
nodes = Collection("nodes", "graph", (Column("id"), Column("name")))


class TestCollections:
    def test_columns_by_name(self) -> None:
        assert edges["since"].type is Type.TIME
        assert edges.names == ("a", "b", "since")

    def test_a_column_that_is_not_there_is_named_with_those_that_are(self) -> None:
        with pytest.raises(LookupError, match="collection edges has no column 'c'; it has a, b, since"):
            edges["c"]

    def test_a_key_or_an_index_of_unknown_columns_is_refused(self) -> None:
        with pytest.raises(ValueError, match="collection x: no such column: id"):
            Collection("x", "s", (Column("a"),))
        with pytest.raises(ValueError, match="collection x: no such column: b, c"):
            Collection("x", "s", (Column("a"),), key=("a",), indexes=(Index(("c", "a")), Index(("b",))))

    def test_collections_are_compared_and_hashed_by_identity(self) -> None:
        twin = Collection("nodes", "graph", nodes.columns)
        assert twin != nodes
        assert len({twin, nodes, nodes}) == 2


class TestTotalOrder:
    def test_no_order_is_the_key(self) -> None:
        assert total_order(nodes, ()) == (Order("id"),)
        assert total_order(edges, ()) == (Order("a"), Order("b"))

    def test_the_key_is_behind_what_is_asked(self) -> None:
        assert total_order(edges, (Order("since", True),)) == (Order("since", True), Order("a"), Order("b"))

    def test_it_ends_where_the_key_is_whole(self) -> None:
        assert total_order(nodes, (Order("id", True), Order("name"))) == (Order("id", True),)
        assert total_order(edges, (Order("b", True), Order("a"), Order("since"))) == (Order("b", True), Order("a"))

    def test_a_part_of_the_key_is_not_repeated(self) -> None:
        assert total_order(edges, (Order("b", True),)) == (Order("b", True), Order("a"))

    def test_a_column_counts_where_it_comes_first(self) -> None:
        assert total_order(nodes, (Order("name"), Order("name", True))) == (Order("name"), Order("id"))


class TestRank:
    @pytest.mark.parametrize(
        ("descending", "expected"),
        [(False, ["", "A", "a", "\ufffd", "\U0001f600", None]), (True, ["\U0001f600", "\ufffd", "a", "A", "", None])],
        ids=["ascending", "descending"],
    )
    def test_nulls_are_last_either_way(self, descending: bool, expected: list[str | None]) -> None:
        order = (Order("name", descending),)
        assert all(sorted(values, key=lambda v: rank((v,), order)) == expected for values in permutations(expected))

    def test_the_first_difference_decides(self) -> None:
        order = (Order("name", True), Order("size"), Order("id"))
        rows = [("b", 1, "x"), ("b", 2, "a"), ("b", None, "a"), ("a", 0, "a"), ("a", 0, "b"), (None, 0, "a"), (None, None, "a")]
        assert all(sorted(shuffled, key=lambda row: rank(row, order)) == rows for shuffled in permutations(rows))

    def test_equal_values_have_equal_ranks(self) -> None:
        order = (Order("name", True), Order("id"))
        assert rank((None, "a"), order) == rank((None, "a"), order)
        assert rank(("x", "a"), order) == rank(("x", "a"), order)
        assert rank(("x", "a"), order) != rank((None, "a"), order)

    def test_values_that_do_not_fit_the_order_are_our_bug(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            rank(("a", "b"), (Order("id"),))


def test_an_absent_parent_has_nothing() -> None:
    assert (list(EMPTY.rows), EMPTY.more, EMPTY.total) == ([], False, 0)
