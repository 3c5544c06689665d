"""Both executors must answer alike: the engine, and the oracle, which asks the same stores one object and one field at a time.

Random operations over the whole read contract, on data with missing rows and nulls in non-null columns, and with stores that fail.
FUZZ_EXAMPLES sets how many operations each test tries; ``make fuzz`` tries 20,000.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.engine import respond
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.base import Fetch, Upsert
from schema import schema as graph
from tests.failing import Failing, without
from tests.forms import of_form
from tests.operations import Operation, Pool, operations
from tests.oracle import NEIGHBOURS
from tests.oracle.comparing import describe, difference
from tests.oracle.executor import Executor
from tests.oracle.rows import odd_rows
from tests.services import NO_BREAKER, STORES, executor, memory_stores

EXAMPLES = of_form(20, 100, "FUZZ_EXAMPLES")
POOL = Pool.odd()
DOWN = (*STORES, NEIGHBOURS)
# No shrinking: it takes minutes here, and what is found is printed as it can be pasted.
many = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.reuse, Phase.generate)
)


@dataclass
class Pair:
    """One set of stores under both executors."""

    stores: dict[str, Failing]
    engine: Service
    oracle: Executor
    runner: asyncio.Runner

    def differ(self, operation: Operation, *, codes: bool = True) -> str:
        async def both() -> tuple[Any, Any]:
            asked = (operation.query, operation.variables, operation.operation_name)
            return await executor(self.engine)(*asked), await self.oracle.execute(*asked)

        got, expected = self.runner.run(both())
        if not codes:
            for answer in (got, expected):
                for error in answer.get("errors", ()):
                    error["extensions"] = {}
        return difference(got, expected, operation.query)


def pair(*, damage: bool = False) -> Iterator[Pair]:
    with asyncio.Runner() as runner:
        stores, memory = runner.run(memory_stores(odd_rows()))
        if damage:
            runner.run(_damage(stores))
        failing = {name: Failing(store) for name, store in memory.items()}
        stores = Stores(failing, protection=NO_BREAKER)
        yield Pair(failing, Service(graph, stores), Executor(graph, stores, validates=False), runner)


async def _damage(stores: Stores) -> None:
    """Put a null into one value of every third row, keys aside. Users and posts that are referred to but not there come with the rows."""
    chance = random.Random(7)
    for collection in graph.collections:
        rows = [list(row) for row in (await stores.ask(Fetch(collection, collection.names)))[None].rows]
        places = [i for i, column in enumerate(collection.columns) if column.name not in collection.key]
        for row in rows[::3]:
            if places and len(collection.key) == 1:
                row[chance.choice(places)] = None
        await stores.ask(Upsert(collection, rows))


@pytest.fixture(scope="module", autouse=True)
def all_errors() -> Iterator[None]:
    """Which 20 of many errors are shown depends on who came first: here all are compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(respond, "MAX_ERRORS", sys.maxsize)
        yield


@pytest.fixture(scope="module")
def healthy() -> Iterator[Pair]:
    yield from pair()


@pytest.fixture(scope="module")
def damaged() -> Iterator[Pair]:
    yield from pair(damage=True)


@many
@given(operation=operations(POOL))
def test_both_executors_answer_alike(healthy: Pair, operation: Operation) -> None:
    walks = healthy.engine.second_walks
    found = healthy.differ(operation)
    assert not found, f"{found}\n\n{describe(operation)}"
    assert healthy.engine.second_walks == walks, f"nothing is missing, but it took a second walk\n\n{describe(operation)}"


@pytest.mark.parametrize("groups", ["[TYPE]", "[POST, TYPE]", "[TIME], interval: MONTH", "[]"])
@pytest.mark.parametrize("fields", ["type", "__typename", "type day", "day type count", "lastAt type", "postId"])
def test_statistics_take_one_walk(healthy: Pair, groups: str, fields: str) -> None:
    walks = healthy.engine.second_walks
    text = f"{{ eventStats(groupBy: {groups}) {{ {fields} }} users {{ nodes {{ eventStats(groupBy: {groups}) {{ {fields} }} }} }} }}"
    found = healthy.differ(Operation(text, {}, None))
    assert not found, found
    assert healthy.engine.second_walks == walks


@pytest.mark.parametrize(
    "fields",
    [
        "following { totalCount nodes { id } } followers { totalCount nodes { id } }",
        "following(last: 2) { edges { cursor } } again: following(last: 2) { nodes { name } } followers(last: 2) { edges { cursor } }",
        "posts(first: 2) { nodes { id author { name } } } more: posts(first: 2) { nodes { title author { id } } }",
        "eventStats { type count } again: eventStats { count } recommendations { score } more: recommendations { post { id } }",
    ],
)
def test_places_that_may_share_a_call_are_not_mixed(healthy: Pair, fields: str) -> None:
    text = f'{{ users {{ nodes {{ id {fields} }} }} a: user(id: "9") {{ {fields} }} b: user(id: "10") {{ {fields} }} }}'
    found = healthy.differ(Operation(text, {}, None))
    assert not found, found


@many
@given(operation=operations(POOL))
def test_both_executors_place_nulls_and_errors_alike(damaged: Pair, operation: Operation) -> None:
    found = damaged.differ(operation)
    assert not found, f"{found}\n\n{describe(operation)}"


@many
@given(operation=operations(POOL, faults=True), down=st.sampled_from(DOWN))
def test_both_executors_answer_alike_while_a_store_is_down(healthy: Pair, operation: Operation, down: str) -> None:
    with without(healthy.stores, down):
        found = healthy.differ(operation)
    assert not found, f"{down} is down\n{found}\n\n{describe(operation)}"


@many
@given(operation=operations(POOL, faults=True), down=st.sets(st.sampled_from(DOWN), min_size=1))
def test_both_executors_null_the_same_while_stores_are_down_and_rows_are_broken(
    damaged: Pair, operation: Operation, down: set[str]
) -> None:
    """Which of several errors below one null is named is left open by the specification, so places are compared, not codes."""
    with without(damaged.stores, *down):
        found = damaged.differ(operation, codes=False)
    assert not found, f"{sorted(down)} are down\n{found}\n\n{describe(operation)}"
