"""A gateway of tenants in this process, over databases of theirs with rows of equal keys, and who asks it without a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import make_url

from gateway.app import create_app
from gateway.config import Settings, StoreSettings, settings_of
from gateway.http.application import Application
from gateway.loading import write_batches
from gateway.migrating import migrate
from gateway.preparing import opened
from gateway.stores.base import Collection, Row
from resolvers.posts import posts
from resolvers.users import users
from schema import schema as example
from tests.kinds import url_of

GRAPH = replace(example, replication=())  # which no gateway of tenants carries on
HEADER = "X-Tenant"
_files: dict[str, bytes] = {}  # of SQLite, filled, by tenant: to make one takes 0.2 s
ALPHA, BETA = "alpha", "beta"
USERS = 40
AT = "2024-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["errors"][0]["extensions"]["code"])

    @property
    def message(self) -> str:
        return str(self.json["errors"][0]["message"])


async def ask(app: Application, query: str, *headers: tuple[str, str], method: str = "POST", path: str = "/graphql", **body: Any) -> Answer:
    """Return the answer to a request, which has no connection that it could be written to at once."""
    sent = b"" if method != "POST" else orjson.dumps({"query": query, **body})
    told = [{"type": "http.request", "body": sent, "more_body": False}]
    got: list[Any] = []

    async def receive() -> Any:
        return told.pop() if told else await asyncio.Future()

    async def send(message: Any) -> None:
        got.append(message)

    given = [("host", "localhost"), ("content-type", "application/json"), ("content-length", str(len(sent))), *headers]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in given if method == "POST" or not name.startswith("content-")
        ],
    }
    await app(scope, receive, send)
    start = got[0]
    body_ = b"".join(message.get("body", b"") for message in got[1:])
    return Answer(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body_)


def of(tenant: str) -> tuple[str, str]:
    return HEADER, tenant


def settings_for(urls: Mapping[str, str], **more: Any) -> Settings:
    """Return the settings of tenants by name, each with one database for all stores."""
    tenants = {name: dict.fromkeys(GRAPH.store_names, url) for name, url in urls.items()}
    stores = {name: StoreSettings(pool_size=4) for name in GRAPH.store_names}
    return Settings(**{"stores": stores, "tenant_header": HEADER, "tenants": tenants, "access_log": False, **more})


@asynccontextmanager
async def databases(kind: str, names: tuple[str, ...] = (ALPHA, BETA)) -> AsyncIterator[dict[str, str]]:
    """Give the URL of a database for each tenant, filled with rows that have the same keys in all, and say whose they are."""
    async with AsyncExitStack() as stack:
        urls = {name: await stack.enter_async_context(url_of(kind)) for name in names}
        settings = settings_for(urls)
        for name in names:
            file = Path(make_url(urls[name]).database or "") if kind == "sqlite" else None
            if file is not None and name in _files:
                file.write_bytes(_files[name])
                continue
            async with opened(settings_of(settings, name), GRAPH) as stores:
                for store in GRAPH.store_names:
                    await migrate(stores, GRAPH, store)
                await write_batches(stores, rows_of(name), lambda _: None)
            if file is not None:
                assert not file.with_name(f"{file.name}-wal").exists(), "closed: all is in the one file"
                _files[name] = file.read_bytes()
        yield urls


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Application]:
    app = create_app(settings, GRAPH)
    async with app.lifespan():
        yield app


# ----------------------------------------------------------------------------------------------------------------- rows


def step_of(tenant: str) -> int:
    """Return how many users a tenant's posts are apart, so that the same post is another user's elsewhere."""
    return 1 + sum(tenant.encode()) % 7


def name_of(tenant: str, user: int) -> str:
    return f"{tenant} {user}"


def author_of(tenant: str, post: int) -> int:
    return post * step_of(tenant) % USERS


def rows_of(tenant: str) -> Iterator[tuple[Collection, list[Row]]]:
    yield users, [_row(users, id=f"u{n}", name=name_of(tenant, n), email=f"{n}@{tenant}.example") for n in range(USERS)]
    yield posts, [_row(posts, id=f"p{n}", title=f"{tenant} post {n}", author_id=f"u{author_of(tenant, n)}") for n in range(2 * USERS)]


def _row(collection: Collection, **values: Any) -> Row:
    known = {"created_at": AT, "updated_at": AT, "active": True, "languages": [], "content": "", "tags": [], "published": True}
    return tuple((known | values).get(column.name) for column in collection.columns)
