"""What the pipelines look like, and that no value of a client ever stands where MongoDB reads an operator or an expression."""

from __future__ import annotations

from typing import Any

import pytest
from bson import DatetimeMS, ObjectId

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
    text = "$" * 600

    found = {"$gte": [{"$indexOfCP": ["$title", {"$literal": text}]}, 0]}
    is_text = {"$eq": [{"$type": "$title"}, "string"]}
    assert where(notes, Compare("title", "contains", text)) == {"$expr": {"$cond": [is_text, found, False]}}


@pytest.mark.parametrize("op", ["eq", "ne", "gt", "gte", "lt", "lte"])
def test_a_value_that_looks_like_an_operator_stays_a_value(op: Any) -> None:
    (operators,) = where(notes, Compare("title", op, "$where")).values()

    assert list(operators.values()) == ["$where"]


def test_a_null_of_json_is_no_array_with_a_null_in_it() -> None:
    kept = Collection("kept", "tested", (Column("id"), Column("extra", Type.JSON, nullable=True)), managed=True)
    null = {"extra": {"$eq": None, "$not": {"$type": "array"}}}
    assert where(kept, Compare("extra", "eq", None)) == null
    assert where(kept, Compare("extra", "ne", None)) == {"$nor": [null]}


# ------------------------------------------------------------------------------------------------------------- of others

others = Collection(
    "others",
    "tested",
    (
        Column("id", Type.OBJECT_ID, at="_id"),
        Column("city", at="address.city", nullable=True),
        Column("made", Type.TIME),
        Column("n", Type.INT),
    ),
)
NO_ARRAY = {"$not": {"$type": "array"}}


@pytest.mark.parametrize(
    ("condition", "query"),
    [
        (Compare("id", "eq", "507f1f77bcf86cd799439011"), {"_id": {"$eq": ObjectId("507f1f77bcf86cd799439011")}}),
        (Compare("city", "eq", "Rome"), {"$and": [{"address.city": {"$eq": "Rome", **NO_ARRAY}}, {"address": NO_ARRAY}]}),
        (Compare("n", "eq", 5), {"n": {"$eq": 5, "$type": ["int", "long", "double"], **NO_ARRAY}}),
    ],
)
def test_what_others_may_have_in_place_of_a_value_is_kept_out(condition: Any, query: dict[str, Any]) -> None:
    assert where(others, condition) == query


def test_years_that_python_does_not_know_are_compared() -> None:
    ours = Collection("ours", "tested", (Column("id"), Column("made", Type.TIME)), managed=True)
    assert where(ours, Compare("made", "gt", "+10000-01-01T00:00:00.000Z")) == {"made": {"$gt": DatetimeMS(253402300800000)}}
    assert where(ours, Compare("made", "lt", "infinity")) == {"made": {"$type": "date"}}
    assert where(ours, Compare("made", "gt", "infinity")) == NOTHING


def test_a_key_of_several_columns_is_a_choice_of_conjunctions() -> None:
    lines = Collection("lines", "tested", (Column("order", Type.INT), Column("label")), key=("order", "label"), managed=True)
    assert query.of_keys(lines, "order,label", ["1,a", "2,b%2Cc", "x,y", "3"]) == {
        "$or": [{"order": {"$eq": 1}, "label": {"$eq": "a"}}, {"order": {"$eq": 2}, "label": {"$eq": "b,c"}}]
    }


def test_a_page_is_cut_from_parts_that_are_in_order_as_they_are() -> None:
    fetch = Fetch(others, ("n",), order=(Order("made", descending=True),), page=Page(1, after=("2020-01-01T00:00:00.000Z", "a" * 24)))
    early, late = query.parts_of_page(fetch)
    sorts = [[stage["$sort"] for stage in pipeline if "$sort" in stage] for pipeline in (early, late)]
    assert sorts == [[{"made": -1, "_id": 1}], [{"_id": 1}]]
    united = [stage["$unionWith"]["pipeline"] for stage in early if "$unionWith" in stage]
    assert [[stage["$sort"] for stage in pipeline if "$sort" in stage] for pipeline in united] == [
        [{"made": -1}],
        [{"made": -1, "_id": 1}],  # times that are texts
        [{"made": -1}],
    ]
    assert len(query.parts_of_page(Fetch(others, ("n",), order=fetch.order, page=Page(1, after=(None, "a" * 24))))) == 1, "behind all times"
