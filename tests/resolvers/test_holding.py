"""A user who is deleted while a post of theirs is created, or an edge to them: where both are in one database neither is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from gateway.migrating import migrate
from gateway.relaying import relay_of
from gateway.service import Request, Service
from gateway.stores import Stores, connect
from gateway.stores.base import Collection, Fetch, Upsert
from gateway.writes.transaction import Transaction
from resolvers.graph import follows
from resolvers.posts import posts
from resolvers.users import users
from schema import schema as graph
from tests.kinds import kinds, url_of
from tests.resolvers.test_replication import user_of

KINDS = ["memory", "sqlite", "postgresql", "mongodb", "neo4j"]
HELD_S = 0.4  # for another to be in the way
CREATED = 'mutation { createPost(input: {id: "p", authorId: "1", title: "T"}) { id } }'
FOLLOWED = 'mutation { follow(input: {followerId: "2", followeeId: "1"}) { id } }'
DELETED = 'mutation { deleteUser(id: "1") }'


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Stores]:
    """Give all stores of the example in one database, with two users."""
    async with url_of(kind) as url:
        one = connect("users", url)
        stores = Stores(dict.fromkeys(graph.store_names, one), timeout_s=30, write_timeout_s=30)
        await stores.open()
        try:
            if kind != "memory":
                for name in graph.store_names:
                    await migrate(stores, graph, name)
            await stores.ask(Upsert(users, [tuple(user_of(key)[name] for name in users.names) for key in "12"]))
            yield stores
        finally:
            await stores.close()


async def rows(stores: Stores, collection: Collection) -> list[Any]:
    return [row for part in (await stores.ask(Fetch(collection, collection.names))).values() for row in part.rows]


class Barrier:
    """Holds a transaction after one step of it until it is let go."""

    def __init__(self, patched: pytest.MonkeyPatch, method: str, collection: Collection) -> None:
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        original = getattr(Transaction, method)

        async def held(tx: Transaction, what: Any, *arguments: Any, **options: Any) -> Any:
            answer = await original(tx, what, *arguments, **options)
            if getattr(what, "collection", what) is collection and not self.go.is_set():
                self.reached.set()
                await self.go.wait()
            return answer

        patched.setattr(Transaction, method, held)


async def sent(service: Service, query: str) -> dict[str, Any]:
    response = await service.answer(Request(query), request_id="test", deadline_s=60)
    return dict(orjson.loads(response.body))


async def both(stores: Stores, barrier: Barrier, first: str, second: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the answers of one that is held in its transaction, and of the other, which comes meanwhile."""
    service = Service(graph, stores)
    holding = asyncio.create_task(sent(service, first))
    async with asyncio.timeout(30):
        await barrier.reached.wait()
        waiting = asyncio.create_task(sent(service, second))
        await asyncio.wait({waiting}, timeout=HELD_S)
        barrier.go.set()
        return await holding, await waiting


@pytest.mark.parametrize("kind", kinds(KINDS))
@pytest.mark.parametrize(("query", "method"), [(CREATED, "get"), (FOLLOWED, "ask")])
async def test_what_is_written_of_a_user_who_is_deleted_meanwhile_goes_with_the_user(
    kind: str, query: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(kind) as stores:
        written, deleted = await both(stores, Barrier(monkeypatch, method, users), query, DELETED)
        assert "errors" not in written
        assert deleted == {"data": {"deleteUser": "User:1"}}
        await relay_of(stores, graph).drain()
        assert (await rows(stores, posts), await rows(stores, follows)) == ([], [])


@pytest.mark.parametrize("kind", kinds(KINDS))
@pytest.mark.parametrize(("query", "argument"), [(CREATED, "input.authorId"), (FOLLOWED, "input.followeeId")])
async def test_what_comes_while_a_user_is_deleted_finds_none(kind: str, query: str, argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(kind) as stores:
        deleted, refused = await both(stores, Barrier(monkeypatch, "delete", users), DELETED, query)
        assert deleted == {"data": {"deleteUser": "User:1"}}
        [error] = refused["errors"]
        assert (error["extensions"]["code"], error["extensions"]["argument"]) == ("NOT_FOUND", argument)
        await relay_of(stores, graph).drain()
        assert (await rows(stores, posts), await rows(stores, follows)) == ([], [])
