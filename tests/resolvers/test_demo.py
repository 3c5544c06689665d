"""Demo data: the same for a seed, skewed like a real network, and consistent across its collections."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import Counter, defaultdict
from typing import Any

import pytest

from gateway.stores.base import Collection, Row, Type
from resolvers.demo import ROWS_PER_BATCH, demo
from resolvers.events import events
from resolvers.graph import follows, likes, members, wrote
from resolvers.posts import posts
from resolvers.users import users

PYTHON: dict[Type, type] = {Type.TEXT: str, Type.TIME: str, Type.DATE: str, Type.BOOL: bool, Type.TEXTS: list, Type.JSON: dict}


def rows_of(number: int, seed: int, **options: int) -> dict[Collection, list[Row]]:
    rows: dict[Collection, list[Row]] = defaultdict(list)
    for collection, batch in demo(number, seed, **options):
        rows[collection].extend(batch)
    return rows


@pytest.fixture(scope="module")
def network() -> dict[Collection, list[dict[str, Any]]]:
    return {c: [dict(zip(c.names, row, strict=True)) for row in rows] for c, rows in rows_of(400, 1).items()}


def test_a_seed_gives_the_same_rows_always_and_another_seed_others() -> None:
    assert rows_of(30, 7) == rows_of(30, 7)
    assert rows_of(30, 7)[users] != rows_of(30, 8)[users]
    # Written down, so that another Python or another day is noticed.
    digest = hashlib.sha256(repr([(c.name, batch) for c, batch in demo(30, 7)]).encode()).hexdigest()
    assert digest == "8d51b8ae4f2a66d1ddd28ab05278c7e1a66d167442bdd8f59463377b95cfb1d2"


def test_every_value_is_of_its_columns_type(network: dict[Collection, list[dict[str, Any]]]) -> None:
    for collection, rows in network.items():
        for column in collection.columns:
            kinds = {type(row[column.name]) for row in rows}
            assert kinds <= {PYTHON[column.type], *((type(None),) if column.nullable else ())}, column
        assert len({tuple(row[name] for name in collection.key) for row in rows}) == len(rows)


def test_users_have_posts_and_events_in_the_asked_number(network: dict[Collection, list[dict[str, Any]]]) -> None:
    assert {c.name: len(network[c]) for c in (users, posts, events)} == {"users": 400, "posts": 4_000, "events": 18_000}
    asked = rows_of(20, 1, posts_per_user=3, events_per_user=8)
    assert (len(asked[posts]), len(asked[events])) == (60, 160)


def test_few_have_most_of_the_followers_posts_and_likes(network: dict[Collection, list[dict[str, Any]]]) -> None:
    def share_of_the_first_tenth(counts: Counter[str], number: int) -> float:
        return sum(count for _, count in counts.most_common(number // 10)) / counts.total()

    assert share_of_the_first_tenth(Counter(row["followee_id"] for row in network[follows]), 400) > 0.35
    assert share_of_the_first_tenth(Counter(row["author_id"] for row in network[posts]), 400) > 0.25
    assert share_of_the_first_tenth(Counter(row["post_id"] for row in network[likes]), 4_000) > 0.5


def test_edges_follow_from_events_and_posts(network: dict[Collection, list[dict[str, Any]]]) -> None:
    assert {m["id"] for m in network[members]} == {user["id"] for user in network[users]}
    liked = {(e["user_id"], e["post_id"], e["occurred_at"]) for e in network[events] if e["type"] == "LIKE"}
    followed = {(e["user_id"], e["payload"]["followee_id"], e["occurred_at"]) for e in network[events] if e["type"] == "FOLLOW"}
    assert {(e["user_id"], e["post_id"], e["since"]) for e in network[likes]} == liked
    assert {(e["follower_id"], e["followee_id"], e["since"]) for e in network[follows]} == followed
    assert {(e["author_id"], e["post_id"]) for e in network[wrote]} == {(p["author_id"], p["id"]) for p in network[posts]}


def test_nothing_refers_to_what_is_not_there_and_nothing_happens_too_early(network: dict[Collection, list[dict[str, Any]]]) -> None:
    joined = {user["id"]: user["created_at"] for user in network[users]}
    written = {post["id"]: post["created_at"] for post in network[posts]}
    author = {post["id"]: post["author_id"] for post in network[posts]}
    assert all(post["created_at"] >= joined[post["author_id"]] and post["updated_at"] >= post["created_at"] for post in network[posts])
    assert all(event["occurred_at"] >= joined[event["user_id"]] for event in network[events])
    assert all(event["occurred_at"] >= written[event["post_id"]] for event in network[events] if event["post_id"])
    assert all(author[like["post_id"]] != like["user_id"] for like in network[likes])
    assert all(edge["follower_id"] != edge["followee_id"] for edge in network[follows])


def test_there_are_nulls_several_languages_and_every_kind_of_event(network: dict[Collection, list[dict[str, Any]]]) -> None:
    assert {None, "en", "es", "de", "fr", "ja", "zh", "ru", "ar", "pt"} == {post["language"] for post in network[posts]}
    assert {event["type"] for event in network[events]} == {"VIEW", "LIKE", "COMMENT", "SHARE", "JOIN", "FOLLOW"}
    for column in ("image", "forum"):
        assert {None} < {post[column] for post in network[posts]}
    for column in ("gender", "birthday"):
        assert {None} < {user[column] for user in network[users]}
    assert {True, False} == {user["active"] for user in network[users]} == {post["published"] for post in network[posts]}
    assert len({user["email"] for user in network[users]}) == 400
    assert all(user["email"].isascii() for user in network[users])


@pytest.mark.parametrize(("number", "options"), [(1, {}), (2, {}), (3, {"posts_per_user": 0}), (3, {"events_per_user": 0})])
def test_the_smallest_networks_are_networks_too(number: int, options: dict[str, int]) -> None:
    rows = rows_of(number, 1, **options)
    assert len(rows[users]) == number
    assert len(rows[events]) == number * options.get("events_per_user", 45)


def test_batches_are_made_one_at_a_time() -> None:
    tracemalloc.start()
    try:
        assert max(len(batch) for _, batch in demo(500, 1)) <= ROWS_PER_BATCH
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 1024 * 1024  # all rows of these 500 users are 16 MB
