"""Make stores of each kind for tests: an empty database of its own each time, gone afterwards.

    async with store_of("postgresql", [users]) as store: ...
    async with url_of("sqlite") as url: ...

Live kinds need a server, which an environment variable names; ``tests/conftest.py`` leaves their tests out where it is not set.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.stores import connect
from gateway.stores.base import Collection, Store


@dataclass(frozen=True, slots=True)
class Server:
    """A database server that live tests need: its name, the variable with its address, and its address in docker-compose.yml."""

    name: str
    variable: str
    compose_url: str


POSTGRESQL = Server("PostgreSQL", "TEST_POSTGRES_URL", "postgresql+asyncpg://crossgraph:crossgraph@127.0.0.1:5432/crossgraph")
MONGODB = Server("MongoDB", "TEST_MONGO_URL", "mongodb://127.0.0.1:27017/crossgraph?directConnection=true")
NEO4J = Server("Neo4j", "TEST_NEO4J_URL", "bolt://neo4j:crossgraph@127.0.0.1:7687/neo4j")
SERVERS = (POSTGRESQL, MONGODB, NEO4J)
REPLICA = Server("a streaming replica of PostgreSQL", "TEST_POSTGRES_REPLICA_URL", "")

KINDS: dict[str, Server | None] = {
    "memory": None,
    "sqlite": None,
    "postgresql": POSTGRESQL,
    "mongodb": MONGODB,
    "mongodb+motor": MONGODB,
    "neo4j": NEO4J,
}


def kinds(names: Iterable[str] = KINDS) -> list[object]:
    """Kinds as parameters of a test or fixture: ``@pytest.mark.parametrize("kind", kinds())``. Live ones are marked ``live``."""
    return [pytest.param(name, id=name, marks=_marks(KINDS[name])) for name in names]


def needs(*servers: Server) -> pytest.MarkDecorator:
    """The mark of a test that needs these servers."""
    return pytest.mark.live(*(server.variable for server in servers))


@asynccontextmanager
async def store_of(kind: str, collections: Sequence[Collection], name: str = "tested") -> AsyncIterator[Store]:
    """A store of this kind, open and migrated, in an empty database."""
    async with url_of(kind) as url:
        store = connect(name, url)
        await store.open()
        try:
            await store.migrate(name, collections, None)
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def url_of(kind: str) -> AsyncIterator[str]:
    """The URL of an empty database of this kind, which is dropped afterwards."""
    maker = {"memory": _memory, "sqlite": _sqlite, "postgresql": _postgresql, "neo4j": _neo4j}.get(kind)
    async with maker() if maker else _mongodb(kind) as url:
        yield url


# -------------------------------------------------------------------------------------------------------- one per kind


@asynccontextmanager
async def _memory() -> AsyncIterator[str]:
    yield "memory://"


@asynccontextmanager
async def _sqlite() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="crossgraph-") as folder:
        yield f"sqlite+aiosqlite:///{folder}/test.db"


@asynccontextmanager
async def _postgresql() -> AsyncIterator[str]:
    url, name = make_url(os.environ[POSTGRESQL.variable]), _random_name()
    await _run(url, f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        await _run(url, f"DROP DATABASE {name} WITH (FORCE)")


async def _run(url: URL, statement: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    finally:
        await engine.dispose()


@asynccontextmanager
async def _mongodb(kind: str) -> AsyncIterator[str]:
    name = _random_name()
    url = _with_path(os.environ[MONGODB.variable], name)
    try:
        yield url.replace("mongodb:", f"{kind}:", 1)
    finally:
        async with AsyncMongoClient[dict[str, object]](url) as client:
            await client.drop_database(name)


@asynccontextmanager
async def _neo4j() -> AsyncIterator[str]:
    from gateway.stores.neo4j.store import Neo4jStore

    # One database for all (the Community edition has no more): labels and relationship types are prefixed instead.
    server = os.environ[NEO4J.variable]
    url = f"{server}{'&' if '?' in server else '?'}prefix={_random_name()}_"
    try:
        yield url
    finally:
        store = Neo4jStore("dropping", url)
        await store.open()
        await store.drop_everything()
        await store.close()


def _marks(server: Server | None) -> tuple[pytest.MarkDecorator, ...]:
    return () if server is None else (needs(server),)


def _random_name() -> str:
    return f"test_{uuid4().hex[:12]}"


def _with_path(url: str, path: str) -> str:
    """The URL with another path, as the URL's writer left the rest: the standard library cannot parse several hosts with ports."""
    scheme, _, rest = url.partition("://")
    address, mark, query = rest.partition("?")
    return f"{scheme}://{address.partition('/')[0]}/{path}{mark}{query}"
