"""A mutation's root fields run one after the other (GraphQL spec 6.2.2); what is below them as any query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import strawberry

from gateway.context import RequestContext
from gateway.graph.fields import Connection, Node, batched, column, lookup, many, one
from gateway.graph.inputs import filter_of, order_of
from gateway.loaders import load
from gateway.stores.base import Collection, Column, Get, Key, Row, Type, Upsert
from tests.gateway.engine.graphs import MASKED, both, graph, respond

COUNTERS = Collection("counters", "counters", (Column("id", refers="Counter"), Column("value", Type.INT)))
CHANGE = (Column("id", refers="Counter"), Column("was", Type.INT, nullable=True))
SEEN: list[str] = []


async def count(ctx: RequestContext, ids: Sequence[Key], *, by: int = 1) -> list[Row | Exception]:
    """Add to counters; return what they were."""
    SEEN.append(f"add {by}")
    if by == 0:
        raise ValueError("secret")
    rows = await ctx.ask(Get(COUNTERS, ("id", "value"), ids))
    await ctx.ask(Upsert(COUNTERS, [(key, rows[key][1] + by) for key in ids]))
    return [(key, None if by < 0 else rows[key][1]) for key in ids]


async def looked_at(ctx: RequestContext, ids: Sequence[Key]) -> list[int]:
    """Return what counters are, by the request's loader of keys, which remembers them."""
    rows = [await load(ctx, COUNTERS, key) for key in ids]
    return [row[1] for row in rows if row is not None]


async def seen(ctx: RequestContext, ids: Sequence[Key]) -> list[Row]:
    """Return what counters are, from the request's loader of keys."""
    rows = [await load(ctx, COUNTERS, key) for key in ids]
    return [(key, row[1] if row else None) for key, row in zip(ids, rows, strict=True)]


@strawberry.type
class Counter(Node):
    id: strawberry.ID = column()
    value: int = column()


@strawberry.type
class Change:
    was: int = column()
    counter: Counter = one(COUNTERS, by="id")


@strawberry.type
class Query:
    counter: Counter | None = lookup(COUNTERS, by={"id": "id"})
    counters: Connection[Counter] = many(COUNTERS, where=filter_of(COUNTERS), order=order_of(COUNTERS))


@strawberry.type
class Mutation:
    add: Change | None = batched(count, columns=CHANGE, key_argument="id", refers="Counter")
    sure_add: Change = batched(count, columns=CHANGE, key_argument="id", refers="Counter")
    counter: Counter | None = lookup(COUNTERS, by={"id": "id"})
    looked_at: int = batched(looked_at, key_argument="id", refers="Counter")
    seen: Change | None = batched(seen, columns=CHANGE, key_argument="id", refers="Counter")

    @strawberry.mutation
    async def by_hand(self) -> str:
        SEEN.append("by hand")
        return "done"


GRAPH = graph(Query, COUNTERS, mutation=Mutation)


async def run(query: str, variables: dict[str, Any] | None = None, *, data: Any, errors: dict[str, str] | None = None) -> list[str]:
    """Hold both executors to an answer, each over counters of its own; return what ran, which was the same."""
    seen: list[list[str]] = []
    answers: list[Any] = []
    for name in ("engine", "oracle"):
        pair = await both(GRAPH, {COUNTERS: [("1", 10), ("2", 20)]})
        SEEN.clear()
        answer = await pair.one(getattr(pair, name), query, variables)
        assert orjson.dumps(answer["data"]) == orjson.dumps(data), answer
        assert {".".join(map(str, e["path"])): e["message"] for e in answer.get("errors", ())} == (errors or {})
        seen.append([*SEEN])
        answers.append(answer)
    assert answers[0] == answers[1]
    assert seen[0] == seen[1]
    return seen[0]


async def test_the_second_field_sees_what_the_first_did() -> None:
    seen = await run(
        """mutation { a: add(id: "1", by: 5) { was counter { value } } b: add(id: "1") { was counter { id value } }
            c: counter(id: "1") { value } }""",
        data={
            "a": {"was": 10, "counter": {"value": 15}},
            "b": {"was": 15, "counter": {"id": "Counter:1", "value": 16}},
            "c": {"value": 16},
        },
    )
    assert seen == ["add 5", "add 1"]


async def test_what_a_batch_function_loaded_before_a_write_is_read_again_after_it() -> None:
    await run(
        'mutation { a: seen(id: "1") { was } add(id: "1", by: 5) { was } b: seen(id: "1") { was } }',
        data={"a": {"was": 10}, "add": {"was": 10}, "b": {"was": 15}},
    )


async def test_a_read_between_two_writes_sees_the_first_alone() -> None:
    await run(
        """mutation { r: counter(id: "1") { value } add(id: "1") { was } s: counter(id: "1") { value }
            t: add(id: "1", by: 2) { was } u: counter(id: "1") { value } }""",
        data={"r": {"value": 10}, "add": {"was": 10}, "s": {"value": 11}, "t": {"was": 11}, "u": {"value": 13}},
    )


async def test_what_a_batch_function_loaded_before_a_write_is_not_remembered_after_it() -> None:
    await run('mutation { a: lookedAt(id: "1") add(id: "1") { was } b: lookedAt(id: "1") }', data={"a": 10, "add": {"was": 10}, "b": 11})


async def test_fields_run_in_the_order_of_the_document_through_fragments() -> None:
    seen = await run(
        """mutation { __typename ...F b: add(id: "2", by: 2) { was } x: add(id: "1", by: 9) @skip(if: true) { was } }
        fragment F on Mutation { a: add(id: "1", by: 1) { was } b: add(id: "2", by: 2) { counter { value } } }""",
        data={"__typename": "Mutation", "a": {"was": 10}, "b": {"counter": {"value": 22}, "was": 20}},
    )
    assert seen == ["add 1", "add 2"]


async def test_a_nullable_field_that_fails_leaves_the_next_running() -> None:
    seen = await run(
        'mutation { a: add(id: "1", by: 0) { was } b: add(id: "1", by: 3) { counter { value } } }',
        data={"a": None, "b": {"counter": {"value": 13}}},
        errors={"a": MASKED},
    )
    assert seen == ["add 0", "add 3"]


async def test_a_required_field_that_fails_ends_the_mutation() -> None:
    seen = await run(
        'mutation { a: add(id: "1") { was } b: sureAdd(id: "1", by: 0) { was } c: add(id: "1", by: 3) { was } }',
        data=None,
        errors={"b": MASKED},
    )
    assert seen == ["add 1", "add 0"]


async def test_an_error_below_a_required_field_ends_the_mutation_too() -> None:
    message = "Cannot return null for non-nullable field Change.was."
    seen = await run('mutation { a: sureAdd(id: "1", by: -1) { was } b: add(id: "1") { was } }', data=None, errors={"a.was": message})
    assert seen == ["add -1"]


async def test_an_error_below_a_nullable_field_stays_there() -> None:
    message = "Cannot return null for non-nullable field Change.was."
    await run(
        'mutation { a: add(id: "1", by: -1) { was } b: counter(id: "1") { value } }',
        data={"a": None, "b": {"value": 9}},
        errors={"a.was": message},
    )


async def test_several_fields_that_fail() -> None:
    await run(
        'mutation { a: add(id: "1", by: 0) { was } b: add(id: "2", by: 0) { was } }',
        data={"a": None, "b": None},
        errors={"a": MASKED, "b": MASKED},
    )


async def test_a_mutation_of_which_all_is_skipped() -> None:
    assert await run('mutation { add(id: "1") @skip(if: true) { was } }', data={}) == []


async def test_a_bad_argument_of_the_last_field_keeps_the_first_from_running() -> None:
    pair = await both(GRAPH, {COUNTERS: [("1", 10)]})
    SEEN.clear()
    await pair.refused('mutation ($n: Int) { a: add(id: "1") { was } b: add(id: "1", by: $n) { was } }', {"n": None}, code="BAD_USER_INPUT")
    assert SEEN == []


async def test_a_mutation_with_a_resolver_written_by_hand_is_serial_too() -> None:
    seen = await run(
        'mutation { a: add(id: "1") { counter { value } } byHand b: add(id: "1") { counter { value } } }',
        data={"a": {"counter": {"value": 11}}, "byHand": "done", "b": {"counter": {"value": 12}}},
    )
    assert seen == ["add 1", "by hand", "add 1"]


async def test_a_mutation_is_refused_where_the_transport_does_not_allow_one() -> None:
    pair = await both(GRAPH, {COUNTERS: [("1", 10)]})
    SEEN.clear()
    response = await respond(pair.engine, 'mutation { add(id: "1") { was } }', mutation_allowed=False)
    assert response.status == 405
    assert orjson.loads(response.body)["errors"][0]["extensions"] == {"code": "METHOD_NOT_ALLOWED"}
    assert SEEN == []


@pytest.mark.parametrize("times", [1, 2])
async def test_a_mutation_is_planned_once_and_runs_each_time(times: int) -> None:
    pair = await both(GRAPH, {COUNTERS: [("1", 10)]})
    for number in range(times):
        got = await pair.data('mutation { add(id: "1") { was } }')
        assert got == {"add": {"was": 10 + number}}
    assert (pair.engine.plan_misses, pair.engine.plan_hits) == (1, times - 1)
