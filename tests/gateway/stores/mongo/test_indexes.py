"""Which indexes a declaration asks of MongoDB."""

from __future__ import annotations

from gateway.stores.base import Collection, Column, Index, Type
from gateway.stores.mongo.indexes import indexes
from resolvers.events import events
from resolvers.graph import follows
from resolvers.users import users


def test_each_index_with_a_time_has_a_twin_for_the_newest_first() -> None:
    assert [str(index) for index in indexes(events)] == [
        "index on user_id, _id",
        "index on user_id, occurred_at, _id",
        "index on user_id, occurred_at descending, _id",
        "index on post_id, _id",
        "index on post_id, occurred_at, _id",
        "index on post_id, occurred_at descending, _id",
        "index on type, _id",
        "index on occurred_at, _id",
        "index on occurred_at descending, _id",
    ]


def test_a_key_of_two_columns_is_a_unique_index() -> None:
    assert [str(index) for index in indexes(follows)] == ["unique index on follower_id, followee_id", "index on followee_id, follower_id"]


def test_a_unique_index_leaves_nulls_out_only_where_there_can_be_some() -> None:
    cards = Collection("cards", "tested", (Column("id"), Column("code", nullable=True)), indexes=(Index(("code",), unique=True),))

    assert indexes(cards)[0].options == {"unique": True, "partialFilterExpression": {"code": {"$gte": ""}}}
    assert indexes(users)[0].options == {"unique": True}


def test_the_key_and_what_repeats_need_no_index() -> None:
    once = Collection("once", "tested", (Column("id"), Column("at", Type.TIME)), indexes=(Index(("id",)), Index(("at",)), Index(("at",))))

    assert [str(index) for index in indexes(once)] == ["index on at"]
