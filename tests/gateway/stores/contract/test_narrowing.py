"""A narrowed request is answered as if the rows that its condition does not hold for were not there, native queries included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random
from typing import Any

import pytest

from gateway.errors import NarrowingRefused, NativeQueryMissing, StoreMisbehaved
from gateway.stores.base import (
    Aggregate,
    And,
    Compare,
    Delete,
    Fetch,
    Get,
    Key,
    Match,
    Measure,
    Native,
    NativeCall,
    Not,
    Or,
    Order,
    Page,
    Pairs,
    Request,
    Store,
    Upsert,
    Where,
)
from resolvers.graph import follows, likes, wrote
from resolvers.recommendations import BECAUSE, NATIVES, RecommendationStrategy
from tests.gateway.stores.contract.oracle import aggregated, answered, fetched, grouped, matches, put, same
from tests.gateway.stores.contract.test_life import children
from tests.gateway.stores.contract.world import LINKS, ODD_KEYS, THING, THINGS, Record, drafts, links, record, things

CONDITIONS: list[Where] = [
    Compare("parent_id", "eq", "mother"),
    Compare("note", "ne", "x"),
    Compare("id", "in", ("m00", "m05", "only", *ODD_KEYS)),
    Compare("made_at", "lt", "2021-02-01T00:00:00.000Z"),
    Not(Or((Compare("score", "gt", 0), Compare("maybe", "eq", True)))),
    And((Compare("labels", "eq", None), Compare("name", "starts_with", "a"))),
    Or(()),
    And(()),
]


@pytest.mark.parametrize("where", CONDITIONS, ids=str)
async def test_a_key_is_absent_where_its_row_does_not_match(store: Store, where: Where) -> None:
    keys = ["m00", "nobody", *THING]
    rows = await store.answer(Get(things, ("id", "size"), keys, where=where))
    expected = {key: (key, thing["size"]) for key, thing in THING.items() if matches(thing, where)}
    assert same({key: tuple(rows[key]) for key in sorted(rows)}, {key: expected[key] for key in sorted(expected)})


async def test_by_another_unique_column_too(store: Store) -> None:
    get = Get(things, ("name",), ["code of m00", "code of m01"], "code", Compare("done", "eq", True))
    assert {key: tuple(row) for key, row in (await store.answer(get)).items()} == {"code of m00": ("b",)}


async def test_a_condition_is_bound_and_never_text(store: Store) -> None:
    for key in ODD_KEYS:
        assert set(await store.answer(Get(things, ("id",), ["m00", key], where=Compare("id", "eq", key)))) == {key}


@pytest.mark.parametrize("where", CONDITIONS, ids=str)
async def test_a_narrowed_request_keeps_its_own_condition(store: Store, where: Where) -> None:
    own = Compare("size", "gte", 3)
    get = Get(things, ("id",), list(THING), where=own).narrowed(things, where)
    assert set(await store.answer(get)) == {key for key, thing in THING.items() if matches(thing, own) and matches(thing, where)}


PAIRS = [("p", key) for key in ("m00", "m05", "m10", "f1", "only", "two words")] + [("q", "m05"), ("q", "only")]


@pytest.mark.parametrize("where", CONDITIONS, ids=str)
async def test_lists_pages_pairs_and_totals(store: Store, where: Where) -> None:
    rows = [thing for thing in THINGS if matches(thing, where)]
    for fetch in (
        Fetch(things, ("id",), order=(Order("name"),), page=Page(3), count=True),
        Fetch(things, ("id",), Match("parent_id", ["mother", "father", "aunt"]), order=(Order("score", True),), page=Page(3), count=True),
        Fetch(things, ("id",), Match("parent_id", ["mother"]), Compare("done", "eq", True)),
        Fetch(things, ("id",), Pairs("id", PAIRS), order=(Order("name"),), page=Page(2, backward=True), count=True),
    ):
        got = answered(await store.answer(fetch.narrowed(things, where)), counted=fetch.count)
        assert same(got, fetched(rows, fetch)), fetch


@pytest.mark.parametrize("where", CONDITIONS, ids=str)
async def test_aggregates(store: Store, where: Where) -> None:
    rows = [thing for thing in THINGS if matches(thing, where)]
    for match in (None, Match("parent_id", ["mother", "father"])):
        aggregate = Aggregate(things, ("done",), (Measure("count"), Measure("max", "made_at")), match)
        assert same(grouped(await store.answer(aggregate.narrowed(things, where))), aggregated(rows, aggregate))


@pytest.mark.parametrize("where", [Compare("source_id", "in", ("ann", "d:e")), Compare("mutual", "eq", True)], ids=str)
async def test_edges_from_both_ends(store: Store, where: Where) -> None:
    rows = [link for link in LINKS if matches(link, where)]
    for here, there in (("source_id", "target_id"), ("target_id", "source_id")):
        fetch = Fetch(links, (there,), Match(here, ["ann", "bob", "d:e"]), page=Page(2), count=True)
        assert same(answered(await store.answer(fetch.narrowed(links, where)), counted=True), fetched(rows, fetch))


def test_what_does_not_read_a_collection_is_left_as_it_is() -> None:
    where = Compare("id", "eq", "x")
    for request in (
        Get(things, (), []),
        Fetch(things, ()),
        Aggregate(things, (), ()),
        Upsert(things, []),
        Delete(things, []),
        NativeCall(NATIVES[RecommendationStrategy.COLLABORATIVE], [], {}),
    ):
        asked: Request[Any] = request
        assert asked.narrowed(follows, where) is asked


def test_a_write_cannot_be_narrowed() -> None:
    with pytest.raises(NarrowingRefused, match="upsert cannot be narrowed on things"):
        Upsert(things, []).narrowed(things, Compare("id", "eq", "x"))
    with pytest.raises(NarrowingRefused, match="delete cannot be narrowed on things"):
        Delete(things, []).narrowed(things, Compare("id", "eq", "x"))


# ------------------------------------------------------------------------------------------------------ native queries


async def test_a_native_query_puts_the_condition_in_its_place(scratch: Store) -> None:
    await put(scratch, drafts, *(record(f"d{i}", parent_id="p", size=i, note=note) for i, note in enumerate(("a", None, "a{}", ":keys"))))
    call = NativeCall(children, ["p"], {"least": 0})
    for where, left in (
        (Compare("note", "eq", "a"), [0]),
        (Compare("note", "ne", "a"), [3, 2, 1]),
        (Compare("note", "in", ("a{}", ":keys", None)), [3, 2]),
        (And((Compare("size", "gt", 0), Compare("made_at", "eq", "2020-01-01T00:00:00.000Z"))), [3, 2, 1]),
        (Or(()), []),
        (And(()), [3, 2, 1, 0]),
    ):
        answer = grouped(await scratch.answer(call.narrowed(drafts, where)))
        assert [row[0] for row in answer.get("p", ())] == left, where
    twice = call.narrowed(drafts, Compare("size", "lt", 3)).narrowed(drafts, Compare("note", "ne", None))
    assert [row[0] for row in grouped(await scratch.answer(twice))["p"]] == [2, 0]


async def test_a_native_query_without_a_place_for_the_condition_is_refused(store: Store) -> None:
    queries = {
        "postgresql": "SELECT id FROM drafts WHERE id = ANY(:keys) {and:things:t}",
        "sqlite": "SELECT id FROM drafts WHERE id IN (SELECT value FROM json_each(:keys)) {and:things:t}",
        "mongodb": lambda _keys, _arguments, where: ("drafts", [{"$match": where("things")}]),
        "neo4j": "MATCH (d:{DraftRecord}) WHERE d.id IN $keys {and:things:t} RETURN d.id",
        "memory": lambda tables, _keys, _arguments: [(row["id"],) for row in tables("drafts")],
    }
    call = NativeCall(Native("forgetful", "tested", (), queries), ["a"], {}).narrowed(drafts, Compare("id", "eq", "x"))
    if store.kind == "memory":  # its tables are narrowed for it
        assert await store.answer(call) == {}
        return
    with pytest.raises(NarrowingRefused, match="forgetful cannot be narrowed on drafts: its"):
        await store.answer(call)


def test_an_argument_may_not_have_the_name_of_a_condition() -> None:
    with pytest.raises(NarrowingRefused, match="children cannot be narrowed on drafts: its argument where_0_w0"):
        NativeCall(children, ["a"], {"where_0_w0": 1}).narrowed(drafts, Compare("id", "eq", "x"))


async def test_a_kind_that_a_native_query_lacks_is_one_error_everywhere(store: Store) -> None:
    others = {kind: "" for kind in ("postgresql", "sqlite", "mongodb", "neo4j", "memory") if kind != store.kind}
    message = f"the native query partial has no query for {store.kind}; it has {', '.join(others)}"
    for keys in ([], ["a"]):
        with pytest.raises(NativeQueryMissing, match=message):
            await store.answer(NativeCall(Native("partial", "tested", (), others), keys, {}))


class Unknown(Get):
    __slots__ = ()


async def test_a_request_of_an_unknown_type_is_refused(store: Store) -> None:
    with pytest.raises(StoreMisbehaved, match="asked for a Unknown; it answers Get, Fetch, Aggregate, NativeCall, Upsert, Delete"):
        await store.answer(Unknown(things, ("id",), ["m00"]))


# ----------------------------------------------------------------------------------------------------- recommendations

PEOPLE = [f"u{i}" for i in range(8)]
POSTS = [f"p{i}" for i in range(12)]
TIMES = ("2020-01-01T00:00:00.000Z", "2021-01-01T00:00:00.000Z")
# Whether an edge is seen has to do with no column that the queries join on, but for those of wrote, which has no other.
SEEN: dict[Any, Where] = {
    follows: Compare("since", "eq", TIMES[0]),
    likes: Compare("since", "eq", TIMES[0]),
    wrote: Not(Or((Compare("author_id", "in", ("u0", "u3")), Compare("post_id", "eq", "p5")))),
}


def _graph(random: Random) -> dict[Any, list[Record]]:
    def edges(start: str, ends: Sequence[str], end: str, chance: float) -> Iterator[Record]:
        for a, b in product(PEOPLE, ends):
            if random.random() < chance:
                yield {start: a, end: b, "since": random.choice(TIMES)}

    return {
        follows: [e for e in edges("follower_id", PEOPLE, "followee_id", 0.5) if e["follower_id"] != e["followee_id"]],
        likes: list(edges("user_id", POSTS, "post_id", 0.4)),
        wrote: list(edges("author_id", POSTS, "post_id", 0.25)),
    }


def _recommended(graph: dict[Any, list[Record]], strategy: RecommendationStrategy, user: Key, first: int) -> list[tuple[Any, ...]]:
    liked = {(e["user_id"], e["post_id"]) for e in graph[likes]}
    written = {(e["author_id"], e["post_id"]) for e in graph[wrote]}
    if strategy is RecommendationStrategy.FRIENDS:
        peers = {e["followee_id"] for e in graph[follows] if e["follower_id"] == user}
    else:
        peers = {peer for peer in PEOPLE if peer != user and any((user, post) in liked and (peer, post) in liked for post in POSTS)}
    found = []
    for post in POSTS:
        by = sorted(peer for peer in peers if (peer, post) in liked)
        if by and (user, post) not in liked | written and any((author, post) in written for author in PEOPLE):
            found.append((post, float(len(by)), by[:BECAUSE]))
    return sorted(found, key=lambda row: (-row[1], row[0]))[:first]


@pytest.mark.parametrize("strategy", RecommendationStrategy)
@pytest.mark.parametrize("seed", range(3))
async def test_recommendations_are_those_of_the_edges_that_are_seen(scratch: Store, strategy: RecommendationStrategy, seed: int) -> None:
    graph = _graph(Random(seed))
    for collection, edges in graph.items():
        await put(scratch, collection, *edges)
    for narrowed in ((), (likes,), (follows, wrote), (follows, likes, wrote)):
        call = NativeCall(NATIVES[strategy], PEOPLE, {"first": 5})
        left = dict(graph)
        for collection in narrowed:
            call = call.narrowed(collection, SEEN[collection])
            left[collection] = [edge for edge in graph[collection] if matches(edge, SEEN[collection])]
        expected = {user: rows for user in PEOPLE if (rows := _recommended(left, strategy, user, 5))}
        assert same(dict(sorted(grouped(await scratch.answer(call)).items(), key=str)), dict(sorted(expected.items()))), narrowed
