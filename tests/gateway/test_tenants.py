"""A gateway of two tenants in this process: whose rows, writes, keys, events and files each of them has."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import orjson
import pytest

from gateway.app import create_app
from gateway.config import Settings, StoreSettings
from gateway.errors import ConfigError
from gateway.http.application import Application
from gateway.http.tenants import Tenancy
from gateway.stores.base import Collection, Request
from gateway.stores.funnel import Caller, Next
from gateway.writes.following import LogFeed
from schema import schema as example
from tests.tenants.asking import ALPHA, BETA, GRAPH, HEADER, ask, databases, of, running, settings_for

NAME = '{ user(id: "u1") { name } }'
RENAME = 'mutation { updateUser(id: "u1", input: {name: "renamed"}) { name version } }'


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[Application]:
    async with databases("sqlite") as urls, running(settings_for(urls, **settings)) as app:
        yield app


def name_in(answer: Any) -> str:
    return str(answer.json["data"]["user"]["name"])


async def opened(app: Application) -> dict[str, int]:
    tenants: dict[str, int] = (await ask(app, "", method="GET", path="/health")).json["tenants"]
    return tenants


async def test_each_tenant_reads_its_own_rows_by_documents_that_both_have_in_common() -> None:
    async with served() as app:
        for _ in range(2):
            assert name_in(await ask(app, NAME, of(ALPHA))) == "alpha 1"
            assert name_in(await ask(app, NAME, of(BETA))) == "beta 1"
        metrics = (await ask(app, "", method="GET", path="/metrics")).body.decode()
    assert 'gateway_plans_total{result="miss"} 1.0' in metrics
    assert 'gateway_plans_total{result="hit"} 3.0' in metrics
    assert 'gateway_store_calls_total{collection="users",store="users"} 4.0' in metrics
    assert "gateway_tenants_open 2.0" in metrics
    assert ALPHA not in metrics


@pytest.mark.parametrize("given", ["gamma", "Alpha", "alpha ", "alpha,beta", "", "../alpha", "alpha\u00e9", "a" * 5_000])
async def test_a_tenant_that_there_is_not_is_refused(given: str) -> None:
    async with served() as app:
        answer = await ask(app, NAME, (HEADER, given))
        assert (answer.status, answer.code) == (404, "TENANT_UNKNOWN")
        assert answer.message == "X-Tenant: expected the name of a tenant; there is none of this name."
        assert await opened(app) == {"open": 0, "max": 20}


async def test_a_request_that_names_two_tenants_is_refused() -> None:
    async with served() as app:
        assert (await ask(app, NAME, of(ALPHA), of(BETA))).code == "TENANT_UNKNOWN"
        assert (await ask(app, NAME, of(ALPHA), of(ALPHA))).code == "TENANT_UNKNOWN"


async def test_a_request_without_the_header_is_refused_or_is_the_defaults() -> None:
    async with served() as app:
        answer = await ask(app, NAME)
        assert (answer.status, answer.message) == (400, "X-Tenant: expected the name of a tenant; the request has no such header.")
        metrics = (await ask(app, "", method="GET", path="/metrics")).body.decode()
        assert 'gateway_tenants_refused_total{reason="missing"} 1.0' in metrics
    async with served(tenant_default=BETA) as app:
        assert name_in(await ask(app, NAME)) == "beta 1"
        assert name_in(await ask(app, NAME, of(ALPHA))) == "alpha 1"


async def test_a_key_of_one_tenants_mutation_is_another_key_for_another_tenant() -> None:
    once = ("Idempotency-Key", "one")
    async with served() as app:
        first = await ask(app, RENAME, of(ALPHA), once)
        again = await ask(app, RENAME, of(ALPHA), once)
        other = await ask(app, RENAME, of(BETA), once)
        assert (name_in(await ask(app, NAME, of(ALPHA))), name_in(await ask(app, NAME, of(BETA)))) == ("renamed", "renamed")
    versions = [answer.json["data"]["updateUser"]["version"] for answer in (first, again, other)]
    assert versions == [versions[0]] * 3  # a second write of alpha's user would have been one more


async def test_a_write_of_one_is_not_seen_by_the_other() -> None:
    async with served() as app:
        await ask(app, RENAME, of(ALPHA))
        assert name_in(await ask(app, NAME, of(BETA))) == "beta 1"


async def test_a_subscription_has_the_events_of_its_tenant_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tenants.LogFeed", _Feed)
    monkeypatch.setattr(_Feed, "followers", [])
    record = 'mutation ($id: ID!) { recordEvent(input: {id: $id, type: "VIEW", userId: "u1"}) { id } }'
    async with served(tenant_idle_s=0.05) as app:
        stream = _Stream(app, "subscription { eventRecorded { id } }", of(ALPHA))
        async with stream.running():
            await stream.begun()
            async with asyncio.timeout(30):
                while not _Feed.followers:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.01)
                await asyncio.shield(_Feed.followers[0]._start)
            for tenant, key in ((BETA, "b1"), (ALPHA, "a1"), (BETA, "b2"), (ALPHA, "a2")):
                answer = await ask(app, record, of(tenant), variables={"id": key})
                assert "errors" not in answer.json, answer.body
            assert [await stream.next(), await stream.next()] == ["Event:a1", "Event:a2"]
            await _until_closed(app, 1)  # the one that nobody follows
        await _until_closed(app, 0)


async def test_a_stream_that_was_reserved_is_its_tenants_and_holds_it_open() -> None:
    async with served(tenant_idle_s=0.02, socket_init_timeout_s=4.0) as app:
        reserved = await ask(app, "", of(ALPHA), method="PUT")
        assert reserved.status == 201
        token = ("X-GraphQL-Event-Stream-Token", reserved.body.decode())
        stolen = await ask(app, NAME, of(BETA), token, extensions={"operationId": "1"})
        assert (stolen.status, stolen.code) == (404, "NOT_FOUND")
        assert (await ask(app, NAME, of(ALPHA), token, extensions={"operationId": "1"})).status == 202
        await asyncio.sleep(0.3)
        assert (await opened(app))["open"] == 1
        await _until_closed(app, 0)  # once it is too late for it


async def test_layers_stand_before_the_stores_of_each() -> None:
    seen: list[str] = []

    async def layer(request: Request[Any], caller: Caller, next_: Next) -> Any:
        seen.append(request.store)
        return await next_(request, caller)

    async with databases("sqlite") as urls:
        app = create_app(settings_for(urls), GRAPH, [layer])
        async with app.lifespan():
            await ask(app, NAME, of(ALPHA))
            await ask(app, NAME, of(BETA))
    assert seen == ["users", "users"]


async def test_a_tenant_is_opened_again_after_it_was_idle() -> None:
    async with served(tenant_idle_s=0.03) as app:
        for _ in range(3):
            assert name_in(await ask(app, NAME, of(ALPHA))) == "alpha 1"
            await _until_closed(app, 0)


async def test_with_one_place_tenants_take_turns_and_one_that_is_asked_keeps_it() -> None:
    async with served(tenants_open_max=1) as app:
        for _ in range(2):
            assert name_in(await ask(app, NAME, of(ALPHA))) == "alpha 1"
            assert name_in(await ask(app, NAME, of(BETA))) == "beta 1"
        residents = cast("Tenancy", app.changing[1])._residents
        assert residents.take(BETA) is not None
        answer = await ask(app, NAME, of(ALPHA))
        assert (answer.status, answer.code) == (503, "OVERLOADED")
        assert answer.headers["retry-after"] == "1"


async def test_the_time_that_an_opening_takes_is_the_requests_own() -> None:
    async with served() as app:
        answer = await ask(app, NAME, of(ALPHA), ("X-Gateway-Deadline-Ms", "49"))
        assert answer.message == "X-Gateway-Deadline-Ms must be an integer, at least 50."
        tenancy = cast("Tenancy", app.changing[1])
        may_go = asyncio.Event()
        make = tenancy._residents._open

        async def slow(name: str) -> Any:
            await may_go.wait()
            return await make(name)

        tenancy._residents._open = slow
        answer = await ask(app, NAME, of(ALPHA), ("X-Gateway-Deadline-Ms", "60"))
        assert (answer.status, answer.code) == (504, "DEADLINE_EXCEEDED")
        may_go.set()
        assert name_in(await ask(app, NAME, of(ALPHA))) == "alpha 1"


async def test_the_request_that_waited_for_an_opening_has_less_time_left() -> None:
    left: list[float] = []

    async def layer(request: Request[Any], caller: Caller, next_: Next) -> Any:
        left.append(caller.seconds(1_000.0))
        return await next_(request, caller)

    async with databases("sqlite") as urls:
        app = create_app(settings_for(urls, request_deadline_s=30.0), GRAPH, [layer])
        residents = cast("Tenancy", app.changing[1])._residents
        make = residents._open

        async def slow(name: str) -> Any:
            await asyncio.sleep(1)
            return await make(name)

        residents._open = slow
        async with app.lifespan():
            await ask(app, NAME, of(ALPHA))
            await ask(app, NAME, of(ALPHA))
    assert left[0] < 29
    assert left[1] > left[0]


async def test_a_tenant_whose_database_is_away_is_told_so_and_the_others_are_answered() -> None:
    async with databases("sqlite") as urls:
        away = {**urls, "gone": "postgresql+asyncpg://nobody:secret@127.0.0.1:1/gone"}
        tenants = {name: dict.fromkeys(GRAPH.store_names, url) for name, url in away.items()}
        async with running(settings_for(urls, tenants=tenants, startup="require", store_timeout_s=0.5)) as app:
            answer = await ask(app, NAME, of("gone"))
            assert (answer.status, answer.code) == (503, "TENANT_NOT_READY")
            assert b"secret" not in answer.body
            assert b"127.0.0.1" not in answer.body
            assert name_in(await ask(app, NAME, of(ALPHA))) == "alpha 1"
        async with running(settings_for(urls, tenants=tenants, startup="degraded", store_timeout_s=0.5)) as app:
            answer = await ask(app, NAME, of("gone"))
            assert answer.json["errors"][0]["extensions"]["code"] == "STORE_UNAVAILABLE"


async def test_a_tenant_of_a_template_has_a_file_only_once_it_is_made(tmp_path: Path) -> None:
    template = dict.fromkeys(GRAPH.store_names, f"sqlite+aiosqlite:///{tmp_path}/{{tenant}}.db")
    stores = {name: StoreSettings() for name in GRAPH.store_names}
    async with running(Settings(stores=stores, tenant_header=HEADER, tenant_urls=template, access_log=False)) as app:
        assert (await ask(app, NAME, of("fresh"))).code == "TENANT_UNKNOWN"
        assert not (tmp_path / "fresh.db").exists()
        with sqlite3.connect(tmp_path / "fresh.db") as made:  # as gateway migrate --tenant does
            made.execute("PRAGMA user_version = 0")
        made.close()
        assert (await ask(app, NAME, of("fresh"))).json == {"data": {"user": None}}


async def test_a_tenant_whose_database_is_not_as_declared_is_not_served(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "odd.db") as odd:
        odd.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)")
    odd.close()
    tenants = {"odd": dict.fromkeys(GRAPH.store_names, f"sqlite+aiosqlite:///{tmp_path}/odd.db")}
    async with databases("sqlite") as urls, running(settings_for(urls, tenants=tenants)) as app:
        answer = await ask(app, NAME, of("odd"))
        assert (answer.status, answer.code) == (503, "TENANT_NOT_READY")


async def test_other_settings_reach_the_tenants_that_are_open() -> None:
    async with served() as app:
        await ask(app, NAME, of(ALPHA))
        changed = app.edge.settings.model_copy(update={"request_deadline_s": 7.0})
        for each in app.changing:
            each.change(changed)
        tenant = cast("Tenancy", app.changing[1])._residents.take(ALPHA)
        assert tenant is not None
        assert tenant.endpoint.settings.request_deadline_s == 7.0


def test_a_graph_that_replicates_is_refused() -> None:
    settings = settings_for({ALPHA: "sqlite+aiosqlite:///a.db"})
    with pytest.raises(ConfigError, match=r"expected a graph that replicates nothing, .*; got one with users>"):
        create_app(settings, example)
    with pytest.raises(ConfigError, match="expected an audit in the store that is written"):
        create_app(settings, replace(GRAPH, audit="events"))
    with pytest.raises(ConfigError, match="tenants_shared: expected stores that are only read; the graph writes in users"):
        create_app(settings.model_copy(update={"tenants_shared": ("users",)}), GRAPH)


async def _until_closed(app: Application, left: int) -> None:
    async with asyncio.timeout(30):
        while (await opened(app))["open"] > left:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


class _Feed(LogFeed):
    """A log that tells who follows it."""

    followers: ClassVar[list[Any]] = []

    def follow(self, collection: Collection, after: str | None = None) -> Any:
        self.followers[:] = [super().follow(collection, after)]
        return self.followers[0]


class _Stream:
    """A subscription as an answer of events, without a connection."""

    def __init__(self, app: Application, query: str, *headers: tuple[str, str]) -> None:
        self._app = app
        self._got: asyncio.Queue[Any] = asyncio.Queue()
        self._body = orjson.dumps({"query": query})
        given = [
            ("host", "localhost"),
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
            ("content-length", str(len(self._body))),
            *headers,
        ]
        self._scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/graphql",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in given],
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        told = [{"type": "http.request", "body": self._body, "more_body": False}]
        gone = asyncio.Event()

        async def receive() -> Any:
            if told:
                return told.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        task = asyncio.create_task(self._app(self._scope, receive, self._got.put))
        try:
            yield
        finally:
            gone.set()
            await asyncio.wait_for(task, 30)

    async def begun(self) -> None:
        assert (await asyncio.wait_for(self._got.get(), 30))["status"] == 200

    async def next(self) -> str:
        while True:
            message = await asyncio.wait_for(self._got.get(), 30)
            for line in message.get("body", b"").split(b"\n"):
                if line.startswith(b"data:") and line[5:].strip():
                    told = orjson.loads(line[5:])
                    key: str = told["data"]["eventRecorded"]["id"]
                    return key


class Socket:
    """A WebSocket without a connection: what the application says to it."""

    def __init__(self, app: Application, *headers: tuple[str, str]) -> None:
        given = [
            ("host", "localhost"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            *headers,
        ]
        scope = {
            "type": "websocket",
            "path": "/graphql",
            "query_string": b"",
            "subprotocols": ["graphql-transport-ws"],
            "headers": [(name.lower().encode(), value.encode()) for name, value in given],
        }
        self._said: asyncio.Queue[Any] = asyncio.Queue()
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(app(scope, self._said.get, self._heard.put))

    async def hear(self) -> Any:
        message = await asyncio.wait_for(self._heard.get(), 30)
        return orjson.loads(message["text"]) if message["type"] == "websocket.send" else message

    def say(self, message: Any) -> None:
        self._said.put_nowait({"type": "websocket.receive", "text": orjson.dumps(message).decode()})

    async def leave(self) -> None:
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self._task, 30)


async def test_a_socket_is_the_tenants_that_its_handshake_names_and_holds_it_open() -> None:
    async with served(tenant_idle_s=0.03) as app:
        socket = Socket(app, of(ALPHA))
        assert (await socket.hear())["type"] == "websocket.accept"
        socket.say({"type": "connection_init", "payload": {HEADER: BETA}})  # which says nothing of a tenant
        assert (await socket.hear())["type"] == "connection_ack"
        await asyncio.sleep(0.15)
        assert (await opened(app))["open"] == 1
        socket.say({"type": "subscribe", "id": "1", "payload": {"query": NAME}})
        assert (await socket.hear())["payload"] == {"data": {"user": {"name": "alpha 1"}}}
        await socket.leave()
        await _until_closed(app, 0)


@pytest.mark.parametrize(("headers", "status"), [([(HEADER, "gamma")], 404), ([], 400), ([of(ALPHA), of(BETA)], 404)])
async def test_a_socket_of_no_tenant_is_refused(headers: list[tuple[str, str]], status: int) -> None:
    async with served() as app:
        socket = Socket(app, *headers)
        refused = await socket.hear()
        assert (refused["type"], refused["status"]) == ("websocket.http.response.start", status)
        await asyncio.wait_for(socket._task, 30)
        assert (await opened(app))["open"] == 0


async def test_a_socket_that_is_refused_anyway_opens_nobody() -> None:
    async with served() as app:
        socket = Socket(app, of(ALPHA), ("origin", "https://evil.example"))
        assert (await socket.hear())["status"] == 403
        await asyncio.wait_for(socket._task, 30)
        assert (await opened(app))["open"] == 0
