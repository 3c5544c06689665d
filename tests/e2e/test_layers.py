"""A layer that lets a reader see the rows of some owners alone: every read obeys it, in every kind of store.

The answer is what it would be if the others were not there. It is worked out by the oracle, which shares no code with the gateway, from
the rows that are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from gateway.stores.base import Collection, Compare, Request
from gateway.stores.funnel import Caller, Next
from resolvers.events import events
from resolvers.graph import follows, likes, wrote
from resolvers.posts import posts
from resolvers.users import users
from tests.e2e.worlds import World, layouts, world
from tests.forms import of_form
from tests.operations import Operation, Pool, operations
from tests.oracle import Oracle, compare, compare_walks
from tests.oracle.rows import Rows, odd_rows
from tests.oracle.walking import nested, root

EXAMPLES = of_form(10, 40, "E2E_EXAMPLES")
SEEN = ("9", "9007199254740993", "ann lee", "Ünal", "😀", "ghost")
OWNERS: dict[Collection, str] = {
    users: "id",
    posts: "author_id",
    events: "user_id",
    follows: "follower_id",
    likes: "user_id",
    wrote: "author_id",
}


async def of_owners(request: Request[Any], caller: Caller, next_: Next) -> Any:
    """Let a request see the rows of SEEN alone."""
    for collection, column in OWNERS.items():
        request = request.narrowed(collection, Compare(column, "in", SEEN))
    return await next_(request, caller)


def left() -> Rows:
    """Return the rows of SEEN; likes and wrote follow from events and posts, as a load has it."""
    rows = odd_rows()
    return Rows(
        users=[row for row in rows.users if row["id"] in SEEN],
        posts=[row for row in rows.posts if row["author_id"] in SEEN],
        events=[row for row in rows.events if row["user_id"] in SEEN],
        follows=[row for row in rows.follows if row["follower_id"] in SEEN],
    )


@pytest.fixture(scope="module", params=layouts())
def narrowed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("all")
    odd_rows().write(folder)
    with world(str(request.param), folder, [of_owners]) as made:
        yield made


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle.from_rows(left())


USER = "id name posts { totalCount nodes { id author { id } } } events(first: 3) { totalCount nodes { id post { id author { id } } } }"
EDGES = "(first: 4, orderBy: {field: NAME}) { totalCount edges { node { id name } } }"
READS = {
    "lists": f"{{ users(first: 50) {{ totalCount nodes {{ {USER} }} }} posts {{ totalCount nodes {{ id }} }} events {{ totalCount }} }}",
    "filters and orders": """{ posts(where: {not: {title: {eq: "Tie"}}}, orderBy: {field: TITLE}, first: 50) {
        totalCount nodes { id title } } }""",
    "look-ups": '{ seen: user(id: "9") { id } unseen: user(id: "a:b") { id } p: post(id: "p1") { id } q: post(id: "p4") { id } }',
    "node": """{ seen: node(id: "User:9") { id } unseen: node(id: "User:a:b") { id } p: node(id: "Post:p3") { id }
        e: node(id: "Event:e-1") { id } }""",
    "nodes": '{ nodes(ids: ["User:9", "User:a:b", "Post:p1", "Post:p2", "Post:p3", "Post:p4", "Event:e-1", "Event:e-2"]) { id } }',
    "both ends of edges": f"{{ users(first: 50) {{ nodes {{ id following{EDGES} followers{EDGES} }} }} }}",
    "pages of edges by key": "{ users(first: 50) { nodes { id following(first: 2) { nodes { id } pageInfo { hasNextPage } } } } }",
    "aggregates": """{ eventStats(groupBy: [TYPE, USER]) { type count firstAt lastAt userId }
        users { nodes { id eventStats(groupBy: [TYPE]) { type count } } } }""",
    "recommendations": """{ users(first: 20) { nodes { id
        friends: recommendations(first: 20) { score because { id } post { id author { id } } }
        alike: recommendations(first: 20, strategy: COLLABORATIVE) { score because { id } post { id author { id } } } } } }""",
}


@pytest.mark.parametrize("query", READS.values(), ids=READS)
def test_what_is_left_is_answered_as_if_it_were_all(narrowed: World, oracle: Oracle, query: str) -> None:
    assert oracle.execute(query) != Oracle.from_rows(odd_rows()).execute(query), "there is something to be left out"
    narrowed.runner.run(compare(narrowed.execute, oracle, Operation(query)))


@pytest.mark.parametrize(
    "walk",
    [
        root("posts", "id", "orderBy: {field: TITLE, direction: DESC}"),
        nested('user(id: "9")', "following", "id", "orderBy: {field: NAME, direction: DESC}"),
        nested('user(id: "ann lee")', "events", "id", "orderBy: {field: TYPE}"),
    ],
    ids=["posts", "following", "events"],
)
def test_pages_are_cut_from_what_is_left(narrowed: World, oracle: Oracle, walk: Any) -> None:
    narrowed.runner.run(compare_walks(narrowed.execute, oracle, walk, size=2))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
@given(operation=operations(Pool.odd()))
def test_random_operations_obey(narrowed: World, oracle: Oracle, operation: Operation) -> None:
    narrowed.runner.run(compare(narrowed.execute, oracle, operation))
