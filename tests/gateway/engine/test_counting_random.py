"""An answer is refused for its objects exactly where it has one more than it may: random graphs of rows, shared between parents, and
random operations over lists that have a page and lists that have none. COUNTING_CASES sets how many cases are tried."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import strawberry

from gateway.context import RequestContext
from gateway.graph import Connection, Node, batched, column, each, filter_of, many, one, order_of
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.stores.base import Collection, Column, Key, Row
from tests.forms import of_form
from tests.gateway.engine.graphs import both, graph, respond

CASES = of_form(100, 1_000, "COUNTING_CASES")
MANY = 10**9
THINGS = Collection(
    "things",
    "things",
    (
        Column("id", refers="Thing"),
        Column("boss_id", refers="Thing", nullable=True),
        Column("other_ids", refers="Thing", many=True, nullable=True),
    ),
)
LENGTHS: dict[Key, int] = {}  # of the words of a thing


async def words(_: RequestContext, keys: Sequence[Key]) -> list[list[Row]]:
    return [[("word",)] * LENGTHS[key] for key in keys]


@strawberry.type
class Word:
    text: str = column()


@strawberry.type
class Thing(Node):
    id: strawberry.ID = column()
    boss: Thing | None = one(THINGS, by="boss_id")
    others: list[Thing] | None = each(THINGS, by="other_ids", semantic_non_null=False)
    few: list[Thing] | None = each(THINGS, by="other_ids", assumed_size=1, semantic_non_null=False)
    minions: Connection[Thing] = many(THINGS, by="boss_id", where=filter_of(THINGS), order=order_of(THINGS))
    words: list[Word] = batched(words, columns=[Column("text")])


@strawberry.type
class Query:
    things: Connection[Thing] = many(THINGS, where=filter_of(THINGS), order=order_of(THINGS))


GRAPH = graph(Query, THINGS)


def selection(chance: random.Random, depth: int) -> str:
    fields = ["id"]
    for number in range(chance.randint(1, 2) if depth else 0):
        below = selection(chance, depth - 1)
        match chance.choice(("boss", "others", "few", "minions", "words")):
            case "minions":
                fields.append(f"f{number}: minions(first: {chance.choice((1, 3, 10))}) {{ nodes {{ {below} }} }}")
            case "words":
                fields.append(f"f{number}: words {{ text }}")
            case name:
                fields.append(f"f{number}: {name} {{ {below} }}")
    return " ".join(fields)


def objects_in(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(objects_in, value))
    if not isinstance(value, dict):
        return 0
    return ("id" in value or "text" in value) + sum(map(objects_in, value.values()))


@pytest.mark.parametrize("seed", range(CASES))
async def test_an_answer_has_as_many_objects_as_it_may(seed: int) -> None:
    chance = random.Random(seed)
    keys = [str(number) for number in range(chance.choice((3, 20, 60)))]
    bosses = chance.sample(keys, min(len(keys), chance.choice((1, 3, 10))))

    def row(key: Key) -> Row:
        others = chance.choices((*keys, *bosses * 5), k=chance.choice((0, 1, 5, 30)))
        return key, chance.choice((*bosses, None)), None if chance.random() < 0.1 else others

    LENGTHS.clear()
    LENGTHS.update({key: chance.choice((0, 1, 9, 30)) for key in keys})
    found = await both(GRAPH, {THINGS: [row(key) for key in keys]})
    query = f"{{ things(first: {chance.choice((1, 5))}) {{ nodes {{ {selection(chance, 3)} }} }} }}"

    async def answer(most: int) -> dict[str, Any]:
        limits = Limits(objects_max=most, cost_max=MANY, response_limit_bytes=MANY, edges_max=MANY)
        decoded: dict[str, Any] = orjson.loads((await respond(Service(GRAPH, found.stores, limits), query)).body)
        return decoded

    whole = await answer(MANY)
    assert "errors" not in whole, whole
    count = objects_in(whole["data"])
    assert await answer(count) == whole, (count, query)
    if count:
        codes = {error["extensions"]["code"] for error in (await answer(count - 1)).get("errors", ())}
        assert codes == {"RESULT_LIMIT"}, (count, query)
