"""The gateway as it is served, on embedded stores with demo data: good requests, bad ones, and a store that is gone."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.config import Settings, StoreSettings
from gateway.graph.fields import Graph
from gateway.graphs import load_example
from gateway.preparing import fill_embedded, migrate_embedded, opened

GRAPHQL = "application/graphql-response+json"
INTERNALS = re.compile(r"Traceback|File \"|\.py\b|sqlalchemy|sqlite|SELECT |asyncpg|pymongo|neo4j", re.IGNORECASE)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return load_example()


@pytest.fixture(scope="module")
def settings(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose SQLite files hold the demo data."""
    folder = tmp_path_factory.mktemp("data")
    urls = {name: StoreSettings(url=f"sqlite+aiosqlite:///{folder / name}.db") for name in graph.store_names}
    settings = Settings(stores=urls)

    async def prepare() -> None:
        async with opened(settings) as stores:
            await migrate_embedded(stores, graph, lambda _: None)
            await fill_embedded(stores, graph, settings, lambda _: None)

    asyncio.run(prepare())
    return settings


@pytest.fixture
async def client(settings: Settings, graph: Graph) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, graph)
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost", headers={"accept": GRAPHQL}) as client,
    ):
        yield client


async def ask(client: httpx.AsyncClient, query: str, **variables: Any) -> httpx.Response:
    return await client.post("/graphql", json={"query": query, "variables": variables})


async def test_the_first_query_is_answered_whole(client: httpx.AsyncClient, graph: Graph) -> None:
    response = await ask(client, graph.first_query)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{GRAPHQL}; charset=utf-8"
    body = response.json()
    assert set(body) == {"data"}
    users = body["data"]["users"]["nodes"]
    assert len(users) == 5
    assert all(any(user[field]["nodes"] for user in users) for field in ("posts", "events"))
    assert any(user["recommendations"] for user in users)


async def test_get_and_post_give_the_same_bytes(client: httpx.AsyncClient, graph: Graph) -> None:
    posted = await ask(client, graph.first_query)
    got = await client.get("/graphql", params={"query": graph.first_query})
    assert posted.content == got.content


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("{", 400, "GRAPHQL_PARSE_FAILED"),
        ("", 400, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", 400, "GRAPHQL_VALIDATION_FAILED"),
        ("{ users(first: true) { nodes { id } } }", 400, "GRAPHQL_VALIDATION_FAILED"),
        ("{ users }", 400, "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", 400, "OPERATION_RESOLUTION_FAILURE"),
        ("query ($n: Int!) { users(first: $n) { nodes { id } } }", 400, "BAD_USER_INPUT"),
        ("{ users(first: -1) { nodes { id } } }", 400, "BAD_USER_INPUT"),
        ("{ users(first: 101) { nodes { id } } }", 400, "BAD_USER_INPUT"),
        ("{ users(first: 1, last: 1) { nodes { id } } }", 400, "BAD_USER_INPUT"),
        ('{ users(after: "???") { nodes { id } } }', 400, "BAD_USER_INPUT"),
        ('{ users(after: "\\u0000") { nodes { id } } }', 400, "BAD_USER_INPUT"),
        ('{ user(id: "Post:1") { id } }', 400, "BAD_USER_INPUT"),
        ('{ posts(where: {createdAt: {gt: "yesterday"}}) { nodes { id } } }', 400, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_a_bad_operation_is_refused(client: httpx.AsyncClient, query: str, status: int, code: str) -> None:
    response = await ask(client, query)
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (status, code), response.text
    assert "data" not in response.json()
    assert not INTERNALS.search(response.text)


async def test_a_cursor_of_another_order_is_refused(client: httpx.AsyncClient) -> None:
    query = (
        "query ($after: String, $field: UserOrderField!) { users(first: 1, after: $after, orderBy: {field: $field}) { edges { cursor } } }"
    )
    cursor = (await ask(client, query, field="NAME")).json()["data"]["users"]["edges"][0]["cursor"]
    response = await ask(client, query, field="EMAIL", after=cursor)
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {"content-type": "application/json"}, 400, "BAD_JSON"),
        (b"[1]", {"content-type": "application/json"}, 400, "BATCHING_OFF"),
        (b'"{ a }"', {"content-type": "application/json"}, 400, "BAD_REQUEST"),
        (b"{ __typename }", {"content-type": "application/graphql"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"query=x", {"content-type": "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b'{"query":"{__typename}"}', {"content-type": "application/json", "accept": "text/html"}, 406, "NOT_ACCEPTABLE"),
    ],
)
async def test_a_bad_request_is_refused(client: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    response = await client.post("/graphql", content=body, headers=headers)
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (status, code)


LONG = "secret" * 300


@pytest.mark.parametrize(
    "body",
    [
        {"query": f"{{ {LONG} }}"},
        {"query": f"{{ users(first: {LONG}) {{ nodes {{ id }} }} }}"},
        {"query": f'{{ users(first: "{LONG}") {{ nodes {{ id }} }} }}'},
        {"query": f'{{ {LONG}: user(id: "Post:1") {{ id }} }}'},
        {"query": f'{{ users(after: "{LONG}") {{ nodes {{ id }} }} }}'},
        {"query": f"query {LONG} {{ __typename }} query B {{ __typename }}"},
        {"query": "{ __typename }", "operationName": LONG},
        {"query": f"query ($a: {LONG}) {{ __typename }}"},
        {"query": "query ($a: Int!) { users(first: $a) { nodes { id } } }", "variables": {"a": LONG}},
        {"query": "query ($a: UserWhere) { users(where: $a) { nodes { id } } }", "variables": {"a": {LONG: 1}}},
        {"query": f"{{ __typename {LONG}"},
        {"query": f'{{ __typename "{LONG}'},
    ],
)
async def test_no_more_than_a_piece_of_what_was_sent_comes_back(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await client.post("/graphql", json=body)
    assert response.status_code == 400
    assert LONG[:201] not in response.text
    assert all(len(error["message"]) <= 200 for error in response.json()["errors"])


async def test_a_store_that_is_gone_leaves_the_others(settings: Settings, graph: Graph, tmp_path: Path) -> None:
    gone = StoreSettings(url="mongodb://127.0.0.1:9/gone")
    broken = settings.model_copy(update={"stores": {**settings.stores, "events": gone}, "connect_timeout_s": 0.2})
    app = create_app(broken, graph)
    query = "{ users(first: 3) { nodes { name posts(first: 1) { nodes { title } } recommendations(first: 1) { score } %s } } }"
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        ready = (await client.get("/health/ready")).json()
        partial = await ask(client, query % "events(first: 1) { nodes { type } }")
        whole = await ask(client, query % "")
    assert ready["status"] == "degraded"
    assert [s["name"] for s in ready["stores"] if s["state"] == "down"] == ["events"]
    assert partial.status_code == 200
    errors = partial.json()["errors"]
    assert {e["extensions"]["store"] for e in errors} == {"events"}
    assert {e["extensions"]["code"] for e in errors} <= {"STORE_UNAVAILABLE", "STORE_TIMEOUT"}
    assert all(e["path"][-1] == "events" for e in errors)
    assert "127.0.0.1" not in partial.text + json.dumps(ready)
    assert "errors" not in whole.json()
