"""What the pipelines look like, and that no value of a client ever stands where MongoDB reads an operator or an expression."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.stores.base import And, Collection, Column, Compare, Fetch, Match, Not, Or, Order, Page, Pairs, Type
from gateway.stores.mongo import query
from gateway.stores.mongo.fields import NOTHING
from gateway.stores.mongo.query import where

notes = Collection(
    name="notes",
    store="tested",
    columns=(Column("id"), Column("author_id"), Column("title"), Column("mood", nullable=True), Column("rank", Type.INT)),
    managed=True,
)


def test_a_page_per_parent_is_one_lookup_per_parent() -> None:
    fetch = Fetch(
        notes, ("id", "title"), Match("author_id", ["$x"]), order=(Order("rank", descending=True),), page=Page(2, after=(5, "n1"))
    )

    assert query.pages_by_parent(fetch, Match("author_id", ["$x"])) == [
        {"$documents": [{"k": {"$literal": "$x"}}]},
        {
            "$lookup": {
                "from": "notes",
                "localField": "k",
                "foreignField": "author_id",
                "pipeline": [
                    {
                        "$match": {
                            "$and": [
                                {"rank": {"$lte": 5}},
                                {"$or": [{"rank": {"$lt": 5}}, {"$and": [{"rank": {"$eq": 5}}, {"_id": {"$gt": "n1"}}]}]},
                            ]
                        }
                    },
                    {"$sort": {"rank": -1, "_id": 1}},
                    {"$limit": 3},
                    {"$project": {"_id": 0, "r": ["$_id", "$title"]}},
                ],
                "as": "r",
            }
        },
        {"$unwind": {"path": "$r", "preserveNullAndEmptyArrays": False}},
        {"$project": {"k": 1, "r": "$r.r"}},
    ]


def test_children_of_many_parents_are_asked_once() -> None:
    pairs = Pairs("id", [("a", "1"), ("b", "2"), ("a", "2")])

    assert query.children(Fetch(notes, ("title",), pairs, page=Page(1, backward=True)), pairs) == [
        {"$match": {"_id": {"$in": ["1", "2"]}}},
        {"$sort": {"_id": 1}},
        {"$project": {"_id": 0, "r": ["$title"], "k": "$_id"}},
    ]


@pytest.mark.parametrize(
    ("order", "backward", "sort", "computes"),
    [
        (Order("mood"), False, {"__null0": 1, "mood": 1, "_id": 1}, True),
        (Order("mood"), True, {"__null0": -1, "mood": -1, "_id": -1}, True),
        (Order("mood", descending=True), False, {"mood": -1, "_id": 1}, False),
        (Order("mood", descending=True), True, {"mood": 1, "_id": -1}, False),
        (Order("rank"), False, {"rank": 1, "_id": 1}, False),
    ],
)
def test_only_nullable_columns_going_up_need_a_computed_flag(order: Order, backward: bool, sort: dict[str, int], computes: bool) -> None:
    stages = query.rows(Fetch(notes, ("id",), order=(order,), page=Page(1, backward=backward)))

    assert [stage["$sort"] for stage in stages if "$sort" in stage] == [sort]
    assert any("$set" in stage for stage in stages) is computes


@pytest.mark.parametrize(
    ("condition", "query"),
    [
        (None, {}),
        (And(()), {}),
        (Or(()), NOTHING),
        (Compare("id", "in", ()), {"_id": {"$in": []}}),
        (Compare("title", "in", ("a", None)), {"title": {"$in": ["a"]}}),
        (Compare("title", "in", None), NOTHING),
        (Compare("rank", "gt", None), NOTHING),
        (Compare("mood", "eq", None), {"mood": {"$eq": None}}),
        (Compare("mood", "ne", "good"), {"mood": {"$ne": "good"}}),
        (Not(Compare("mood", "eq", "good")), {"$nor": [{"mood": {"$eq": "good"}}]}),
        (Compare("title", "contains", "a.b*\n\0"), {"title": {"$regex": "a\\.b\\*\n\\x00"}}),
        (Compare("title", "starts_with", "ab"), {"title": {"$gte": "ab", "$lt": "ac"}}),
        (Compare("title", "starts_with", "a\U0010ffff"), {"title": {"$gte": "a\U0010ffff", "$lt": "b"}}),
        (Compare("title", "starts_with", "\ud7ff"), {"title": {"$gte": "\ud7ff", "$lt": "\ue000"}}),
        (Compare("title", "starts_with", ""), {"title": {"$gte": ""}}),
        (Compare("title", "starts_with", "\U0010ffff"), {"title": {"$gte": "\U0010ffff"}}),
    ],
)
def test_filters(condition: Any, query: dict[str, Any]) -> None:
    assert where(notes, condition) == query


def test_a_text_too_long_for_a_pattern_is_searched_by_code_points() -> None:
    text = "$" * 20_000

    assert where(notes, Compare("title", "contains", text)) == {"$expr": {"$gte": [{"$indexOfCP": ["$title", {"$literal": text}]}, 0]}}


@pytest.mark.parametrize("op", ["eq", "ne", "gt", "gte", "lt", "lte"])
def test_a_value_that_looks_like_an_operator_stays_a_value(op: Any) -> None:
    (operators,) = where(notes, Compare("title", op, "$where")).values()

    assert list(operators.values()) == ["$where"]


def test_a_null_of_json_is_no_array_with_a_null_in_it() -> None:
    kept = Collection("kept", "tested", (Column("id"), Column("extra", Type.JSON, nullable=True)), managed=True)
    null = {"extra": {"$eq": None, "$not": {"$type": "array"}}}
    assert where(kept, Compare("extra", "eq", None)) == null
    assert where(kept, Compare("extra", "ne", None)) == {"$nor": [null]}
