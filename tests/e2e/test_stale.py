"""A store is lost while the gateway serves: over HTTP, what was read before is given for a while, and says how old it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from sqlalchemy import make_url

from gateway.app import create_app
from gateway.config import Settings, StoreSettings
from gateway.errors import ConfigError, StoreUnavailable
from gateway.loading import load_folder
from gateway.migrating import migrate
from gateway.preparing import connect, fill_embedded, migrate_embedded, opened
from gateway.stores.base import Request
from gateway.stores.sql.store import SqlStore
from schema import schema as graph
from tests.gateway.stores.proxies import Proxy
from tests.kinds import needs, url_of
from tests.oracle.rows import odd_rows
from tests.servers import POSTGRESQL

USER = "query($id: ID!) { user(id: $id) { id name posts(first: 2) { nodes { id title } } } }"
USERS = "{ users(first: 3) { nodes { id name } } }"
RENAME = "mutation($id: ID!) { updateUser(id: $id, input: {name: %s}) { id name } }"


class Client:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answered = await self._http.post("/graphql", json={"query": query, "variables": variables})
        told: dict[str, Any] = answered.json()
        return told

    async def metrics(self) -> str:
        return (await self._http.get("/metrics")).text


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Client]:
    app = create_app(settings, graph)
    async with app.lifespan(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        yield Client(http)


def urls_in(folder: Path) -> dict[str, str]:
    return {name: f"sqlite+aiosqlite:///{folder / name}.db" for name in graph.store_names}


@asynccontextmanager
async def embedded(folder: Path, **of_users: Any) -> AsyncIterator[Client]:
    """Give a gateway over files with the demo data; these are settings of the store of users."""
    stores = {name: StoreSettings(url=url, **(of_users if name == "users" else {})) for name, url in urls_in(folder).items()}
    settings = Settings(stores=stores, breaker_calls=0)
    async with opened(settings) as made:
        await migrate_embedded(made, graph, lambda _: None)
        await fill_embedded(made, graph, settings, lambda _: None)
    async with serving(settings) as client:
        yield client


@contextmanager
def failing(store: str) -> Iterator[None]:
    """Have all reads of a store fail, at its port, so that no file is touched."""
    answer = SqlStore.answer

    async def fail(self: SqlStore, request: Request[Any]) -> Any:
        if request.store == store:
            raise StoreUnavailable(store)
        return await answer(self, request)

    with patch.object(SqlStore, "answer", fail):
        yield


@asynccontextmanager
async def behind_a_proxy(folder: Path, **settings: Any) -> AsyncIterator[tuple[Client, Proxy]]:
    """Give a gateway whose users are in a PostgreSQL behind a proxy, the others in files."""
    odd_rows().write(folder)
    async with url_of("postgresql") as url:
        parsed = make_url(url)
        proxy = Proxy(parsed.host or "127.0.0.1", parsed.port or 5432)
        await proxy.start()
        through = parsed.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        urls = urls_in(folder) | {"users": through}
        stores = {name: StoreSettings(url=its, stale_if_error_s=60 if name == "users" else None) for name, its in urls.items()}
        made = Settings(stores=stores, **settings)
        try:
            filled = connect(made.model_copy(update={"store_timeout_s": 60.0, "store_write_timeout_s": 60.0}))
            await filled.open()
            for name in graph.store_names:
                await migrate(filled, graph, name)
            await load_folder(filled, graph.datasets, folder)
            await filled.close()
            async with serving(made) as client:
                yield client, proxy
        finally:
            proxy.thaw()
            await proxy.cut()


@needs(POSTGRESQL)
async def test_a_server_that_is_cut_frozen_and_back(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path, store_timeout_s=2.0, breaker_calls=4, breaker_open_s=0.5) as (client, proxy):
        healthy = await client.ask(USER, id="9")
        page = await client.ask(USERS)
        assert healthy["data"]["user"]["id"] == "User:9"
        assert "extensions" not in healthy

        await proxy.cut()
        for _ in range(10):  # the breaker opens meanwhile
            answer = await client.ask(USER, id="9")
            assert answer["data"] == healthy["data"]
            assert "errors" not in answer
            [told] = answer["extensions"]["stale"]
            assert (told["store"], told["collection"]) == ("users", "users")
            assert 0 < told["ageSeconds"] < 60
        assert (await client.ask(USERS))["data"] == page["data"]
        never = await client.ask(USER, id="10")
        assert never["data"] == {"user": None}
        assert [error["extensions"]["code"] for error in never["errors"]] == ["STORE_UNAVAILABLE"]
        metrics = await client.metrics()
        assert 'gateway_stale_answers_total{collection="users",store="users"} 11.0' in metrics
        assert 'gateway_stale_misses_total{collection="users",store="users"} 1.0' in metrics
        assert 'gateway_store_breaker_open{store="users"} 1.0' in metrics

        await proxy.start()
        await until_fresh(client, healthy)
        proxy.freeze()
        frozen = await client.ask(USER, id="9")
        assert (frozen["data"], len(frozen["extensions"]["stale"])) == (healthy["data"], 1)
        proxy.thaw()
        await until_fresh(client, healthy)


async def until_fresh(client: Client, expected: dict[str, Any]) -> None:
    async with asyncio.timeout(30):
        while await client.ask(USER, id="9") != expected:  # noqa: ASYNC110 - nothing tells when a breaker closes
            await asyncio.sleep(0.05)


async def test_an_answer_says_of_what_it_is_as_it_was_and_a_write_is_not_forgotten(tmp_path: Path) -> None:
    async with embedded(tmp_path, stale_if_error_s=30) as client:
        ids = [user["id"].partition(":")[2] for user in (await client.ask(USERS))["data"]["users"]["nodes"]]
        first, second, third = [await client.ask(USER, id=id) for id in ids]
        renamed = await client.ask(RENAME % '"Another"', id=ids[0])
        assert renamed["data"]["updateUser"]["name"] == "Another", renamed
        with failing("users"):
            assert (await client.ask(USER, id=ids[0]))["data"] == {"user": None}, "it was written since it was read"
            assert "errors" in await client.ask(USERS)
            for id, before in ((ids[1], second), (ids[2], third)):
                after = await client.ask(USER, id=id)
                assert (after["data"], "errors" in after) == (before["data"], False)
                assert [told["collection"] for told in after["extensions"]["stale"]] == ["users"]
        assert (await client.ask(USER, id=ids[0]))["data"]["user"]["name"] == "Another"
        assert first["data"]["user"]["name"] != "Another"


@pytest.mark.parametrize(
    ("stores", "line"),
    [
        (
            {"users": {"stale_if_error_s": 5, "stale_collections": ["users", "people"]}},
            "stores.users.stale_collections: expected collections of the store, users; got people",
        ),
        (
            {"users": {"stale_collections": ["users"]}},
            "stores.users.stale_collections: expected stale_if_error_s, too, how old what is given may be; got none",
        ),
    ],
    ids=["a collection that is not there", "no limit"],
)
def test_wrong_settings_are_refused_at_the_start(stores: dict[str, dict[str, Any]], line: str, tmp_path: Path) -> None:
    urls = urls_in(tmp_path)
    settings = Settings(stores={name: StoreSettings(url=url, **stores.get(name, {})) for name, url in urls.items()})
    with pytest.raises(ConfigError) as caught:
        create_app(settings, graph)
    assert str(caught.value) == line
