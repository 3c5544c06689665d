"""A client picks from where a store is read: what it then reads, what it may not, and what stays as it is for the others."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.app import create_app
from gateway.config import Settings, StoreSettings
from gateway.http.application import Application
from gateway.loading import write_batches
from gateway.migrating import migrate
from gateway.preparing import opened
from gateway.stores import Stores
from gateway.stores.base import Request
from gateway.stores.funnel import Caller, Next
from gateway.stores.guards import Guard
from gateway.stores.memory import MemoryStore
from gateway.writes.tables import tables_of
from tests.gateway.stores.routes import FakeRoute, FakeServer
from tests.kinds import needs, url_of
from tests.servers import MONGODB, POSTGRESQL
from tests.tenants.asking import ALPHA, BETA, GRAPH, Answer, ask, databases, rows_of

NAME = '{ user(id: "u1") { name } }'
BOTH = '{ post(id: "p1") { title author { name } } }'
RENAME = 'mutation { updateUser(id: "u1", input: {name: "renamed"}) { name } }'
HOME, ARCHIVE = ALPHA, BETA  # whose rows have the same keys, and say where they are


def source(text: str) -> tuple[str, str]:
    return "X-Gateway-Source", text


def settings_over(home: str, sources: dict[str, dict[str, str]], **more: Any) -> Settings:
    stores = {name: StoreSettings(url=home, pool_size=4) for name in GRAPH.store_names}
    return Settings(**{"stores": stores, "sources": sources, "access_log": False, "metrics": True, **more})


@asynccontextmanager
async def served(*layers: Any, **more: Any) -> AsyncIterator[Application]:
    async with databases("sqlite", (HOME, ARCHIVE)) as urls:
        sources = {"users": {"archive": urls[ARCHIVE]}, "posts": {"archive": urls[ARCHIVE], "old": urls[ARCHIVE]}}
        app = create_app(settings_over(urls[HOME], sources, relay=False, **more), GRAPH, layers)
        async with app.lifespan():
            yield app


def name_in(answer: Answer) -> str:
    return str(answer.json["data"]["user"]["name"])


async def test_a_store_is_read_from_the_source_that_the_client_picks_and_others_from_where_they_are() -> None:
    async with served() as app:
        assert name_in(await ask(app, NAME)) == "alpha 1"
        assert name_in(await ask(app, NAME, source("users=archive"))) == "beta 1"
        assert name_in(await ask(app, NAME, source("posts=archive"))) == "alpha 1"
        mixed = (await ask(app, BOTH, source("posts=old"))).json["data"]["post"]
        assert mixed["title"] == "beta post 1"
        assert mixed["author"]["name"].startswith("alpha ")
        both = (await ask(app, BOTH, source(" posts=old ,users=archive"))).json["data"]["post"]
        assert both["author"]["name"].startswith("beta ")
        assert name_in(await ask(app, NAME)) == "alpha 1"
        metrics = (await ask(app, "", method="GET", path="/metrics")).body.decode()
    assert 'gateway_store_breaker_open{store="users=archive"} 0.0' in metrics
    assert 'gateway_store_calls_total{collection="users",store="users"} 6.0' in metrics


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ("users=mongo", "'users=mongo'"),
        ("users", "'users'"),
        ("", "''"),
        ("events=archive", "'events=archive'"),
        ("users=archive,", "''"),
        ("users=old", "'users=old'"),
        ("Users=archive", "'Users=archive'"),
        ("users=" + "x" * 5_000, "…'"),
    ],
)
async def test_what_is_no_source_is_refused_with_those_that_there_are(given: str, got: str) -> None:
    async with served() as app:
        answer = await ask(app, NAME, source(given))
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert answer.message.startswith("X-Gateway-Source: expected one of users=archive, posts=archive, posts=old; got ")
    assert got in answer.message
    assert len(answer.body) < 600
    assert answer.json["errors"][0]["extensions"]["allowed"] == ["users=archive", "posts=archive", "posts=old"]


async def test_a_store_is_picked_once() -> None:
    async with served() as app:
        for headers in ([source("posts=old, posts=archive")], [source("posts=old"), source("posts=old")]):
            answer = await ask(app, NAME, *headers)
            assert answer.message.startswith("X-Gateway-Source: expected each store once; got 'posts=")


async def test_nothing_but_queries_are_answered_and_nothing_is_written() -> None:
    async with served() as app:
        for query in (RENAME, "subscription { eventRecorded { id } }"):
            answer = await ask(app, query, source("users=archive"))
            assert answer.code == "FORBIDDEN"
            assert answer.message.startswith("X-Gateway-Source: expected a query; ")
        reserved = await ask(app, "", source("users=archive"), method="PUT")
        assert reserved.message == "X-Gateway-Source: expected a request with an answer of its own; this one is about a stream of several."
        assert name_in(await ask(app, NAME)) == "alpha 1"
        assert name_in(await ask(app, NAME, source("users=archive"))) == "beta 1"
        assert "errors" not in (await ask(app, RENAME)).json  # without it, as ever


async def test_layers_stand_before_sources_too() -> None:
    seen: list[str] = []

    async def layer(request: Request[Any], caller: Caller, next_: Next) -> Any:
        seen.append(request.store)
        return await next_(request, caller)

    async with served(layer) as app:
        await ask(app, NAME, source("users=archive"))
    assert seen == ["users"]


async def test_without_sources_the_header_means_nothing() -> None:
    async with databases("sqlite", (HOME,)) as urls:
        app = create_app(settings_over(urls[HOME], {}, relay=False), GRAPH)
        async with app.lifespan():
            assert name_in(await ask(app, NAME, source("users=archive"))) == "alpha 1"


async def test_a_source_that_is_away_fails_alone_and_one_that_is_not_as_declared_is_not_read() -> None:
    async with url_of("sqlite") as odd, databases("sqlite", (HOME,)) as urls:
        file = odd.partition(":///")[2]
        with sqlite3.connect(file) as made:
            made.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
        made.close()
        sources = {"users": {"away": "postgresql+asyncpg://nobody:secret@127.0.0.1:1/gone", "odd": odd}}
        app = create_app(settings_over(urls[HOME], sources, relay=False), GRAPH)
        async with app.lifespan():
            away = await ask(app, NAME, source("users=away"))
            assert away.json["errors"][0]["extensions"] == {"code": "STORE_UNAVAILABLE", "store": "users"} | (
                {"reason": reason} if (reason := away.json["errors"][0]["extensions"].get("reason")) else {}
            )
            assert b"secret" not in away.body
            assert (await ask(app, NAME, source("users=odd"))).code == "STORE_MISMATCH"
            assert name_in(await ask(app, NAME)) == "alpha 1"
            health = (await ask(app, "", method="GET", path="/health")).json
            assert [(its["name"], its["status"]) for its in health["sources"]] == [("users=away", "down"), ("users=odd", "up")]


async def test_a_source_needs_no_tables_of_the_gateways_own() -> None:
    async with databases("sqlite", (HOME, ARCHIVE)) as urls:
        file = urls[ARCHIVE].partition(":///")[2]
        with sqlite3.connect(file) as archive:
            for table in tables_of("users").all:
                archive.execute(f'DROP TABLE "{table.table or table.name}"')
        archive.close()
        app = create_app(settings_over(urls[HOME], {"users": {"archive": urls[ARCHIVE]}}, relay=False), GRAPH)
        async with app.lifespan():
            assert name_in(await ask(app, NAME, source("users=archive"))) == "beta 1"


def test_replicas_are_those_of_what_is_read_at_home() -> None:
    home, other = MemoryStore("users"), MemoryStore("users")
    routes = {name: FakeRoute(name, FakeServer(home), at=7) for name in ("users", "posts")}
    stores = Stores({"users": home, "posts": home}, routes=routes)
    guard = Guard(1)
    made = stores.reading({"users": (other, guard)})
    assert (made["users"], made["posts"], made.guards["users"]) == (other, home, guard)
    assert list(made.routes) == ["posts"]
    assert made.tokens is stores.tokens
    assert made.guards["posts"] is stores.guards["posts"]
    assert made.calls is stores.calls


@needs(POSTGRESQL, MONGODB)
async def test_a_store_of_another_kind_gives_the_same_answer() -> None:
    async with url_of("mongodb") as mongo, databases("postgresql", (HOME,)) as urls:
        async with opened(settings_over(mongo, {}), GRAPH) as stores:
            await migrate(stores, GRAPH, "users")
            await write_batches(stores, [next(rows_of(HOME))], lambda _: None)
        app = create_app(settings_over(urls[HOME], {"users": {"mongo": mongo}}, relay=False), GRAPH)
        async with app.lifespan():
            query = '{ users(first: 40, where: {name: {contains: "1"}}) { totalCount nodes { id name email active } } }'
            at_home, elsewhere = await ask(app, query), await ask(app, query, source("users=mongo"))
            assert at_home.json["data"]["users"]["totalCount"] > 10
            assert at_home.body == elsewhere.body
