"""The oracle's answers over a handful of rows, against answers written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.oracle import NEIGHBOURS, Oracle
from tests.oracle.rows import Row

USERS: list[Row] = [
    {"id": "9", "name": "Zoe", "email": "z@x.org", "created_at": "2020-01-03T00:00:00.000Z", "languages": ["en"], "birthday": "1985-09-20"},
    {"id": "10", "name": "ann", "email": "a@x.org", "created_at": "2020-01-01T00:00:00.000Z", "active": False, "gender": "female"},
    {
        "id": "11",
        "name": "Bob",
        "email": "b@x.org",
        "created_at": "2020-01-02T00:00:00.000Z",
        "updated_at": "2021-01-01T00:00:00.000Z",
    },
]
POSTS: list[Row] = [
    {"id": "a", "author_id": "9", "title": "One", "language": "en", "created_at": "2020-02-01T00:00:00.000Z", "published": True},
    {"id": "b", "author_id": "9", "title": "Two", "language": None, "created_at": "2020-02-02T00:00:00.000Z"},
    {"id": "c", "author_id": "10", "title": "One", "language": "zh", "created_at": "2020-02-03T00:00:00.000Z", "tags": ["t"]},
    {"id": "d", "author_id": "gone", "title": "100% _", "language": None, "created_at": "2020-02-04T00:00:00.000Z"},
]
EVENTS: list[Row] = [
    {"id": "1", "type": "LIKE", "user_id": "10", "post_id": "a", "occurred_at": "2020-03-01T10:00:00.000Z", "payload": {"k": [1]}},
    {"id": "2", "type": "LIKE", "user_id": "11", "post_id": "a", "occurred_at": "2020-03-02T23:59:59.999Z"},
    {"id": "3", "type": "LIKE", "user_id": "11", "post_id": "d", "occurred_at": "2020-03-08T00:00:00.000Z"},
    {"id": "4", "type": "LIKE", "user_id": "11", "post_id": "lost", "occurred_at": "2020-03-09T00:00:00.000Z"},
    {"id": "5", "type": "JOIN", "user_id": "9", "post_id": None, "occurred_at": "2020-03-02T00:00:00.000Z"},
    {"id": "6", "type": "LIKE", "user_id": "gone", "post_id": "d", "occurred_at": "2020-04-01T00:00:00.000Z"},
]
FOLLOWS: list[Row] = [
    {"follower_id": follower, "followee_id": followee, "since": "2020-01-05T00:00:00.000Z"}
    for follower, followee in (("9", "10"), ("9", "11"), ("9", "gone"), ("10", "11"), ("11", "9"))
]


def make(**more: Any) -> Oracle:
    return Oracle(USERS, POSTS, EVENTS, FOLLOWS, **more)


def ask(query: str, variables: dict[str, Any] | None = None, **more: Any) -> Any:
    answer = make(**more).execute(query, variables)
    assert "errors" not in answer, answer
    return answer["data"]


def keys(connection: dict[str, Any]) -> str:
    return " ".join(node["id"].partition(":")[2] for node in connection["nodes"])


def test_a_user_has_every_field_of_the_contract() -> None:
    fields = "__typename id name email active gender birthday languages createdAt updatedAt"
    assert ask(f'{{ user(id: "9") {{ {fields} }} }}')["user"] == {
        "__typename": "User",
        "id": "User:9",
        "name": "Zoe",
        "email": "z@x.org",
        "active": True,
        "gender": None,
        "birthday": "1985-09-20",
        "languages": ["en"],
        "createdAt": "2020-01-03T00:00:00.000Z",
        "updatedAt": "2020-01-03T00:00:00.000Z",
    }


def test_a_post_and_an_event_have_theirs() -> None:
    fields = "id title content image language forum tags published createdAt updatedAt author { id }"
    data = ask(f'{{ post(id: "Post:b") {{ {fields} }} event(id: "1") {{ id type occurredAt payload user {{ id }} post {{ id }} }} }}')
    assert data == {
        "post": {
            "id": "Post:b",
            "title": "Two",
            "content": "",
            "image": None,
            "language": None,
            "forum": None,
            "tags": [],
            "published": False,
            "createdAt": "2020-02-02T00:00:00.000Z",
            "updatedAt": "2020-02-02T00:00:00.000Z",
            "author": {"id": "User:9"},
        },
        "event": {
            "id": "Event:1",
            "type": "LIKE",
            "occurredAt": "2020-03-01T10:00:00.000Z",
            "payload": {"k": [1]},
            "user": {"id": "User:10"},
            "post": {"id": "Post:a"},
        },
    }


def test_nodes_keep_length_and_order_and_unknown_ones_are_null() -> None:
    query = '{ nodes(ids: ["Event:1", "User:?", "User:9", "Event:1"]) { __typename id ... on User { name } } node(id: "Post:?") { id } }'
    event = {"__typename": "Event", "id": "Event:1"}
    assert ask(query) == {"nodes": [event, None, {"__typename": "User", "id": "User:9", "name": "Zoe"}, event], "node": None}


def test_a_user_is_found_by_email_as_it_is_written() -> None:
    query = '{ there: user(email: "a@x.org") { id } cased: user(email: "A@x.org") { id } byId: user(id: "User:9", email: null) { id } }'
    assert ask(query) == {"there": {"id": "User:10"}, "cased": None, "byId": {"id": "User:9"}}


def test_an_author_and_a_user_that_do_not_exist_are_null() -> None:
    assert ask('{ post(id: "d") { author { id } } event(id: "6") { user { id } } }') == {"post": {"author": None}, "event": {"user": None}}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("{}", "a b c d"),
        ("{language: null}", "b d"),
        ("{language: {eq: null}}", "b d"),
        ("{language: {ne: null}}", "a c"),
        ('{language: {ne: "en"}}', "b c d"),
        ('{not: {language: {ne: "en"}}}', "a"),
        ('{not: {language: {contains: "z"}}}', "a b d"),
        ("{language: {in: null}}", ""),
        ("{language: {contains: null}}", ""),
        ("{not: {language: {startsWith: null}}}", "a b c d"),
        ("{language: {in: []}}", ""),
        ("{language: {}}", "a b c d"),
        ("{createdAt: {gt: null}}", ""),
        ("{published: null}", ""),
        ("{published: true}", "a"),
        ("{or: []}", ""),
        ("{and: []}", "a b c d"),
        ("{and: null, or: null, not: null}", "a b c d"),
        ("{not: {}}", ""),
        ('{or: [{id: {eq: "Post:a"}}, {id: {in: ["c", "?"]}}]}', "a c"),
        ('{or: [{title: {eq: "Two"}}, {title: {eq: "One"}}], not: {authorId: {eq: "9"}}}', "c"),
        ('{authorId: {ne: "User:9"}}', "c d"),
        ('{title: {contains: "%"}}', "d"),
        ('{title: {contains: "_"}}', "d"),
        ('{title: {startsWith: "o"}}', ""),
        ('{title: {startsWith: ""}}', "a b c d"),
        ('{title: {startsWith: "O", contains: "ne"}}', "a c"),
        ('{createdAt: {gte: "2020-02-02T00:00:00Z", lt: "2020-02-04T01:00:00+01:00"}}', "b c"),
    ],
)
def test_a_filter_lets_these_posts_through(where: str, expected: str) -> None:
    data = ask(f"{{ posts(where: {where}) {{ nodes {{ id }} totalCount }} }}")["posts"]
    assert (keys(data), data["totalCount"]) == (expected, len(expected.split()))


def test_a_variable_left_out_is_a_filter_left_out() -> None:
    query = "query($l: StringFilter) { posts(where: {language: $l}) { nodes { id } } }"
    assert keys(ask(query)["posts"]) == "a b c d"
    assert keys(ask(query, {"l": None})["posts"]) == "b d"


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("null", "10 11 9"),
        ("[]", "10 11 9"),
        ("{field: KEY, direction: DESC}", "9 11 10"),
        ("{field: NAME}", "11 9 10"),
        ("{field: CREATED_AT}", "10 11 9"),
        ("{field: UPDATED_AT, direction: DESC}", "11 9 10"),
        ("[{field: NAME}, {field: NAME, direction: DESC}]", "11 9 10"),
        ("[{field: KEY}, {field: NAME}]", "10 11 9"),
    ],
)
def test_users_come_in_order_by_code_point(order: str, expected: str) -> None:
    assert keys(ask(f"{{ users(orderBy: {order}) {{ nodes {{ id }} }} }}")["users"]) == expected


def test_the_key_ascending_breaks_ties_in_both_directions() -> None:
    for direction, expected in (("ASC", "d a c b"), ("DESC", "b a c d")):
        data = ask(f"{{ posts(orderBy: {{field: TITLE, direction: {direction}}}) {{ nodes {{ id }} }} }}")
        assert keys(data["posts"]) == expected


def page(arguments: str) -> tuple[str, bool, bool]:
    """Return the keys of a page of posts, hasPreviousPage and hasNextPage. %b stands for the cursor of post b, and so on."""
    edges = ask("{ posts { edges { cursor node { id } } } }")["posts"]["edges"]
    for edge in edges:
        arguments = arguments.replace("%" + edge["node"]["id"][-1], f'"{edge["cursor"]}"')
    arguments = f"({arguments})" if arguments else ""
    found = ask(f"{{ posts{arguments} {{ nodes {{ id }} pageInfo {{ hasPreviousPage hasNextPage }} totalCount }} }}")["posts"]
    assert found["totalCount"] == 4
    return keys(found), found["pageInfo"]["hasPreviousPage"], found["pageInfo"]["hasNextPage"]


@pytest.mark.parametrize(
    ("arguments", "expected", "previous", "following"),
    [
        ("", "a b c d", False, False),
        ("first: null, last: null, after: null", "a b c d", False, False),
        ("first: 2", "a b", False, True),
        ("first: 4", "a b c d", False, False),
        ("first: 0", "", False, True),
        ("first: 0, after: %d", "", True, False),
        ("first: 2, after: %b", "c d", True, False),
        ("first: 1, after: %b", "c", True, True),
        ("first: 1, after: %a, before: %d", "b", True, True),
        ("first: 2, after: %a, before: %d", "b c", True, False),
        ("before: %c", "a b", False, False),
        ("last: 2", "c d", True, False),
        ("last: 4", "a b c d", False, False),
        ("last: 0", "", True, False),
        ("last: 1, before: %c", "b", True, True),
        ("last: 2, before: %c", "a b", False, True),
        ("last: 1, after: %a, before: %d", "c", True, True),
        ("first: 5, after: %c, before: %b", "", True, False),
    ],
)
def test_a_page_holds_these_posts_and_knows_its_neighbours(arguments: str, expected: str, previous: bool, following: bool) -> None:
    assert page(arguments) == (expected, previous, following)


def test_an_empty_page_has_no_cursors() -> None:
    assert ask("{ users(first: 0) { edges { cursor } pageInfo { startCursor endCursor } } }") == {
        "users": {"edges": [], "pageInfo": {"startCursor": None, "endCursor": None}}
    }


def test_ten_are_the_default() -> None:
    users = [{"id": f"{n:02}", "name": "", "email": f"{n}", "created_at": "2020-01-01T00:00:00.000Z"} for n in range(12)]
    data = Oracle(users).execute("{ users { nodes { id } totalCount pageInfo { hasNextPage } } }")["data"]["users"]
    assert (keys(data), data["totalCount"], data["pageInfo"]["hasNextPage"]) == ("00 01 02 03 04 05 06 07 08 09", 12, True)


def test_connections_of_objects() -> None:
    query = """{ users { nodes { id
        posts(orderBy: {field: KEY, direction: DESC}) { nodes { id } }
        events(where: {type: {eq: "LIKE"}}) { totalCount }
        following { nodes { id } totalCount } followers(where: {name: {ne: "Bob"}}) { nodes { id } } } } }"""
    nodes = ask(query)["users"]["nodes"]
    found = [(keys(u["posts"]), u["events"]["totalCount"], keys(u["following"]), keys(u["followers"])) for u in nodes]
    assert found == [("c", 1, "11", "9"), ("", 3, "9", "10 9"), ("b a", 0, "10 11", "")]
    assert [u["following"]["totalCount"] for u in nodes] == [1, 1, 2]  # 9 follows somebody who is gone


def test_statistics_by_two_groups_come_in_the_order_asked_nulls_last() -> None:
    rows = ask("{ eventStats(groupBy: [POST, TYPE]) { type postId userId day count firstAt } }")["eventStats"]
    assert [(r["postId"], r["type"], r["count"]) for r in rows] == [
        ("Post:a", "LIKE", 2),
        ("Post:d", "LIKE", 2),
        ("Post:lost", "LIKE", 1),
        (None, "JOIN", 1),
    ]
    assert rows[0] == {"type": "LIKE", "postId": "Post:a", "userId": None, "day": None, "count": 2, "firstAt": "2020-03-01T10:00:00.000Z"}


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("HOUR", ["2020-03-01T10", "2020-03-02T00", "2020-03-02T23", "2020-03-08T00", "2020-03-09T00", "2020-04-01T00"]),
        ("DAY", ["2020-03-01T00", "2020-03-02T00", "2020-03-08T00", "2020-03-09T00", "2020-04-01T00"]),
        ("WEEK", ["2020-02-24T00", "2020-03-02T00", "2020-03-09T00", "2020-03-30T00"]),
        ("MONTH", ["2020-03-01T00", "2020-04-01T00"]),
    ],
)
def test_time_groups_begin_where_their_interval_does(interval: str, expected: list[str]) -> None:
    rows = ask(f"{{ eventStats(groupBy: [TIME], interval: {interval}) {{ day }} }}")["eventStats"]
    assert [row["day"] for row in rows] == [f"{start}:00:00.000Z" for start in expected]


def test_statistics_without_groups_are_one_row_or_none() -> None:
    query = """{ all: eventStats(groupBy: []) { type count lastAt } none: eventStats(groupBy: [], where: {or: []}) { count }
        post(id: "a") { eventStats(groupBy: []) { count } } user(id: "11") { eventStats { type count } } }"""
    assert ask(query) == {
        "all": [{"type": None, "count": 6, "lastAt": "2020-04-01T00:00:00.000Z"}],
        "none": [],
        "post": {"eventStats": [{"count": 2}]},
        "user": {"eventStats": [{"type": "LIKE", "count": 3}]},
    }


def test_recommendations_by_friends() -> None:
    # 9 wrote a; follows 10, who likes a, 11, who likes a, d and a post that is gone, and somebody who is gone and likes d: that is
    # an edge of the graph, so it counts, but there is no user to name.
    query = '{ recommendations(userId: "User:9") { post { id author { id } } score because { id } } }'
    assert ask(query) == {"recommendations": [{"post": {"id": "Post:d", "author": None}, "score": 2.0, "because": [{"id": "User:11"}]}]}


def test_recommendations_by_taste() -> None:
    # 10 and 11 like a; 11 and somebody who is gone like d.
    query = """{ users(where: {id: {in: ["10", "11", "9"]}}) { nodes { id
        recommendations(strategy: COLLABORATIVE) { post { id } score because { id } } } } }"""
    nodes = ask(query)["users"]["nodes"]
    assert [n["recommendations"] for n in nodes] == [[{"post": {"id": "Post:d"}, "score": 1.0, "because": [{"id": "User:11"}]}], [], []]


def test_recommended_posts_that_are_gone_do_not_take_a_place() -> None:
    likes = [
        {"id": f"{user}{post}", "type": "LIKE", "user_id": user, "post_id": post, "occurred_at": "2020-01-01T00:00:00.000Z"}
        for user, post in (("10", "lost"), ("11", "lost"), ("10", "c"), ("11", "d"), ("gone", "d"), ("4", "d"), ("3", "d"))
    ]
    follows = [{"follower_id": "9", "followee_id": key} for key in ("10", "11", "gone", "4", "3")]
    oracle = Oracle(USERS, POSTS, likes, follows)
    answer = oracle.execute('{ recommendations(userId: "9", first: 2) { post { id } score because { id } } }')
    assert answer["data"]["recommendations"] == [
        {"post": {"id": "Post:d"}, "score": 4.0, "because": [{"id": "User:11"}]},  # 11, 3 and 4, of whom two do not exist
        {"post": {"id": "Post:c"}, "score": 1.0, "because": [{"id": "User:10"}]},
    ]


def test_recommendations_for_nobody_are_none() -> None:
    assert ask('{ recommendations(userId: "?") { score } }') == {"recommendations": []}


# ---------------------------------------------------------------------------------------------------------- stores down


def errors(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(".".join(map(str, e["path"])), e["extensions"]["store"]) for e in answer["errors"]]


def test_a_store_that_is_down_nulls_its_fields_alone() -> None:
    query = '{ user(id: "9") { name recommendations { score } } event(id: "1") { type post { id } } none: event(id: "5") { post { id } } }'
    answer = make(down={"recommendations", "posts"}).execute(query)
    assert answer["data"] == {
        "user": {"name": "Zoe", "recommendations": None},
        "event": {"type": "LIKE", "post": None},
        "none": {"post": None},
    }
    assert errors(answer) == [("user.recommendations", "recommendations"), ("event.post", "posts")]
    assert {e["extensions"]["code"] for e in answer["errors"]} == {"STORE_UNAVAILABLE"}


def test_a_store_that_is_down_leaves_the_objects_that_its_fields_are_of() -> None:
    answer = make(down={"events": "STORE_TIMEOUT"}).execute('{ user(id: "9") { name events { totalCount } } post(id: "a") { title } }')
    assert answer["data"] == {"user": {"name": "Zoe", "events": None}, "post": {"title": "One"}}
    assert errors(answer) == [("user.events", "events")]
    assert answer["errors"][0]["extensions"]["code"] == "STORE_TIMEOUT"


def test_nodes_of_other_stores_survive() -> None:
    answer = make(down={"posts"}).execute('{ nodes(ids: ["Post:a", "User:9", "Post:?"]) { id } }')
    assert answer["data"] == {"nodes": [None, {"id": "User:9"}, None]}
    assert errors(answer) == [("nodes.0", "posts"), ("nodes.2", "posts")]


def test_a_recommendation_stays_while_its_post_and_its_reasons_are_not_known() -> None:
    query = '{ recommendations(userId: "9") { score post { id } because { id } } }'
    answer = make(down={"posts", "users"}).execute(query)
    assert answer["data"] == {"recommendations": [{"score": 2.0, "post": None, "because": None}]}
    assert errors(answer) == [("recommendations.0.post", "posts"), ("recommendations.0.because", "users")]


def test_nobody_is_asked_for_users_that_nobody_names() -> None:
    assert make(down={"posts", "users"}).execute('{ recommendations(userId: "0") { score } }') == {"data": {"recommendations": []}}
    query = '{ user(id: "11") { followers(first: 0) { nodes { id } edges { cursor } } } }'
    assert ask(query, down={NEIGHBOURS})["user"]["followers"] == {"nodes": [], "edges": []}


def test_a_page_of_neighbours_is_known_by_key_without_the_users() -> None:
    query = """{ user(id: "9") { following(first: 2, where: {and: [{}]}, orderBy: {field: KEY, direction: DESC}) {
        totalCount nodes { id } edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage endCursor } } } }"""
    answer = make(down={NEIGHBOURS}).execute(query)
    page = answer["data"]["user"]["following"]
    cursors = [edge["cursor"] for edge in page["edges"]]
    assert page == {
        "totalCount": 3,  # with one who does not exist, which only the users know
        "nodes": None,
        "edges": [{"cursor": cursor, "node": None} for cursor in cursors],
        "pageInfo": {"hasNextPage": True, "hasPreviousPage": False, "endCursor": cursors[-1]},
    }
    at = "user.following"
    assert errors(answer) == [(f"{at}.nodes", "users"), (f"{at}.edges.0.node", "users"), (f"{at}.edges.1.node", "users")]
    rest = ask(f'{{ user(id: "9") {{ following(orderBy: {{field: KEY, direction: DESC}}, after: "{cursors[0]}") {{ nodes {{ id }} }} }} }}')
    assert keys(rest["user"]["following"]) == "11 10"


@pytest.mark.parametrize("arguments", ["orderBy: {field: NAME}", "where: {active: true}", "where: {or: [{}]}", "where: {not: {}}"])
def test_a_page_of_neighbours_in_another_order_or_filtered_is_not_known_without_the_users(arguments: str) -> None:
    answer = make(down={NEIGHBOURS}).execute(f'{{ user(id: "9") {{ name following({arguments}) {{ totalCount }} }} }}')
    assert answer["data"] == {"user": {"name": "Zoe", "following": None}}
    assert errors(answer) == [("user.following", "users")]
