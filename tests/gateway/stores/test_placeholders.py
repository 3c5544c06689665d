"""Where conditions stand in the text of a native query that reads several collections."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.errors import NarrowingRefused
from gateway.stores.base import Collection, Column, Native
from gateway.stores.placeholders import filled, prefix_of

LIKES = Collection("likes", "paper", (Column("id"),))
POSTS = Collection("posts", "paper", (Column("id"),))
TOP = Native("top", "paper", ())
TEXT = "SELECT FROM likes l {where:likes:l} JOIN posts p ON x {and:posts:p} UNION likes m WHERE y {and:likes:m,n}"


def condition(number: int, names: Sequence[str]) -> str:
    return f"{prefix_of(number)} of {'/'.join(names)}"


def test_each_place_has_the_condition_of_its_collection_and_its_names() -> None:
    assert filled(TOP, TEXT, [LIKES, POSTS], condition) == (
        "SELECT FROM likes l WHERE (where_0_ of l) JOIN posts p ON x AND (where_1_ of p) UNION likes m WHERE y AND (where_0_ of m/n)"
    )
    assert filled(TOP, TEXT, [POSTS], condition) == "SELECT FROM likes l  JOIN posts p ON x AND (where_0_ of p) UNION likes m WHERE y "
    assert filled(TOP, TEXT, [], condition) == "SELECT FROM likes l  JOIN posts p ON x  UNION likes m WHERE y "


@pytest.mark.parametrize(("text", "name"), [("{where:likes:l}", "posts"), ("{and:posts:p}", "likes"), ("", "likes")])
def test_a_collection_without_a_place_is_refused_though_another_has_one(text: str, name: str) -> None:
    with pytest.raises(NarrowingRefused, match=f"top cannot be narrowed on {name}: its text has no {{where:{name}:…}}"):
        filled(TOP, text, [LIKES, POSTS], condition)
