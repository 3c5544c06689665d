"""Milliseconds of pages through edges, by kind of store: a user who follows very many, and a page of users who follow some.

python -m tests.benchmarks.edges              # SQLite, and PostgreSQL where TEST_POSTGRES_URL is set
python -m tests.benchmarks.edges --followees 30000 --kinds sqlite,mongodb,neo4j
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import product

import orjson
import strawberry
from strawberry.schema.config import StrawberryConfig

from gateway.graph import SCALARS, Connection, Graph, Node, Through, column, filter_of, lookup, many, order_of
from gateway.migrating import migrate
from gateway.security.limits import Limits
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Row, Upsert
from resolvers.graph import follows
from resolvers.users import users
from schema import schema as example
from tests.kinds import KINDS, url_of

PEOPLE = replace(users, name="people", store="people")
FOLLOWS = replace(follows, name="people_follow", store="people")
PersonFilter, PersonOrder = filter_of(PEOPLE), order_of(PEOPLE)


@strawberry.type
class User(Node):
    name: str = column()
    following: Connection[User] | None = many(
        PEOPLE, through=Through(FOLLOWS, parent="follower_id", node="followee_id"), where=PersonFilter, order=PersonOrder
    )


@strawberry.type
class Query:
    user: User | None = lookup(PEOPLE, by={"id": "id"})
    users: Connection[User] | None = many(PEOPLE, where=PersonFilter, order=PersonOrder)


# The example has edges and users in two stores; here they are in one.
ONE_STORE = Graph(schema=strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS)), collections=(PEOPLE, FOLLOWS))
ROUNDS = 20
AT_ONCE = 5_000  # rows of a write
SOME = 50  # users of the page, of whom each follows as many

OPERATIONS = {
    "following(first: 1)": '{ user(id: "big") { following(first: 1) { nodes { name } } } }',
    "following(first: 10), hasNextPage": '{ user(id: "big") { following(first: 10) { nodes { name } pageInfo { hasNextPage } } } }',
    "following { totalCount }": '{ user(id: "big") { following(first: 1) { totalCount } } }',
    "following, by name": '{ user(id: "big") { following(first: 1, orderBy: {field: NAME}) { nodes { name } } } }',
    "50 users' following(first: 10)": "{ users(first: 50) { nodes { following(first: 10) { nodes { name } } } } }",
}


async def main(kinds: Sequence[str], followees: int) -> None:
    lines = [f"{'milliseconds, median':34}" + "".join(f"{kind:>12}{'one store':>12}" for kind in kinds)]
    table: dict[str, list[float]] = {name: [] for name in OPERATIONS}
    for kind, graph in product(kinds, (example, ONE_STORE)):
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(url_of(kind))
            stores = Stores.connect(dict.fromkeys(graph.store_names, url), timeout_s=60, write_timeout_s=60)
            await stores.open()
            stack.push_async_callback(stores.close)
            await _fill(stores, graph, followees)
            service = Service(graph, stores, limits=Limits(edges_max=max(100_000, 2 * followees)))
            for name, text in OPERATIONS.items():
                table[name].append(await _median_ms(service, text))
    lines += [f"{name:34}" + "".join(f"{ms:12.2f}" for ms in times) for name, times in table.items()]
    sys.stdout.write("\n".join([*lines, ""]))


async def _fill(stores: Stores, graph: Graph, followees: int) -> None:
    collections = {collection.name: collection for collection in graph.collections}
    users, follows = (PEOPLE, FOLLOWS) if graph is ONE_STORE else (collections["users"], collections["follows"])
    for name in graph.store_names:
        await migrate(stores, graph, name)
    now = "2024-01-01T00:00:00.000Z"
    defaults = {"active": True, "languages": [], "created_at": now, "updated_at": now}
    keys = ["big", *(f"u{number:06}" for number in range(followees))]
    rows = [{"id": key, "name": f"Name of {key}", "email": f"{key}@example.org"} for key in keys]
    await _write(stores, users, [tuple((defaults | row).get(name) for name in users.names) for row in rows])
    edges = [("big", key) for key in keys[1:]]
    edges += [(f"u{number:06}", f"u{(number * 7 + step * 13) % followees:06}") for number in range(SOME) for step in range(SOME)]
    own = {"follower_id": 0, "followee_id": 1}
    await _write(stores, follows, [tuple(edge[own[name]] if name in own else now for name in follows.names) for edge in edges])


async def _write(stores: Stores, collection: Collection, rows: Sequence[Row]) -> None:
    for start in range(0, len(rows), AT_ONCE):
        await stores.ask(Upsert(collection, rows[start : start + AT_ONCE]))


async def _median_ms(service: Service, text: str) -> float:
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        response = await service.answer(Request(text))
        times.append((time.perf_counter() - begin) * 1_000)
        answer = orjson.loads(response.body)
        if "errors" in answer:
            raise SystemExit(f"{text}: {answer['errors']}")
    return statistics.median(times)


if __name__ == "__main__":
    known = ["sqlite", *(["postgresql"] if os.environ.get("TEST_POSTGRES_URL") else [])]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--followees", type=int, default=30_000)
    parser.add_argument("--kinds", default=",".join(known), help=f"of {', '.join(KINDS)}")
    given = parser.parse_args()
    asyncio.run(main(given.kinds.split(","), given.followees))
