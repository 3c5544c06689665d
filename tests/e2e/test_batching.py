"""The number of store calls follows from the query, never from the number of rows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.service import Request, Service
from schema import schema as graph
from tests.oracle.rows import Rows
from tests.services import memory_stores

TREE = """query($n: Int) { users(first: $n) { nodes { id name email createdAt
  posts(first: 10, orderBy: {field: CREATED_AT, direction: DESC}) { nodes { id title published } }
  events(first: 5) { nodes { id type post { title } } }
  recommendations(first: 3) { score because { name } post { id title author { name } } } } } }"""


@dataclass(frozen=True)
class Shop:
    """A gateway over rows in memory, and the loop of its stores."""

    runner: asyncio.Runner
    service: Service

    def calls(self, query: str, n: int) -> Counter[str]:
        return self.runner.run(_calls(self.service, query, n))


@contextmanager
def shop_of(rows: Rows) -> Iterator[Shop]:
    with asyncio.Runner() as runner:
        stores, _ = runner.run(memory_stores(rows))
        yield Shop(runner, Service(graph, stores))


@pytest.fixture(scope="module")
def snb_rows(snb_dir: Path) -> Rows:
    return Rows.from_folder(snb_dir)


@pytest.fixture(scope="module")
def snb(snb_rows: Rows) -> Iterator[Shop]:
    with shop_of(snb_rows) as shop:
        yield shop


async def _calls(service: Service, query: str, n: int) -> Counter[str]:
    stores = service.stores
    stores.calls.clear()
    response = await service.answer(Request(query, {"n": n}))
    assert response.status == 200
    assert not response.partial
    assert service.second_walks == 0, "nothing is missing, so one walk has to do"
    return Counter(stores.calls)


@pytest.mark.parametrize("n", [1, 10, 50])
def test_the_first_query_asks_each_collection_once_per_level(snb: Shop, n: int) -> None:
    calls = snb.calls(TREE, n)
    by_level = {
        "users.users": 3,  # users; because; the authors of recommended posts
        "posts.posts": 2,  # posts of the users; posts of events and of recommendations, in one call
        "events.events": 1,
        "recommendations.recommendations.friends": 1,
    }
    assert dict(calls) == by_level


def test_the_number_of_calls_is_the_same_for_1_10_and_50_users(snb_rows: Rows) -> None:
    rows = snb_rows
    busy = Counter(event["user_id"] for event in rows.events if event["type"] == "LIKE")
    keys = [key for key, _ in busy.most_common(50)]
    picked = Rows([user for user in rows.users if user["id"] in keys], rows.posts, rows.events, rows.follows)
    with shop_of(picked) as shop:
        found = [shop.calls(TREE, n) for n in (1, 10, 50)]
    assert found[0] == found[1] == found[2]
    assert sum(found[0].values()) == 7


def test_no_collection_is_asked_twice_in_a_level() -> None:
    service = Service(graph, asyncio.run(memory_stores())[0])
    plan = service.plan(TREE, variables={"n": 1})
    for level in plan.levels:
        asked = Counter((place.collection.name, plan.bounds[place.index]) for place in level if place.collection is not None)
        assert all(count == 1 or name == "posts" for (name, _), count in asked.items()), asked
