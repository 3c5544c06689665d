"""Where the data is: databases of the benchmark's own, loaded once by the gateway's own commands and kept for the next run."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.benchmarks.processes import ROOT, free_port, post, start, wait_for_answer
from tests.benchmarks.statements import statements

FOLDER = ROOT / "data" / "benchmarks"  # git knows nothing of it
STORES = ("users", "posts", "events", "recommendations")
SETUPS = {
    "postgresql": "all nouns in PostgreSQL",
    "three": "users and posts in PostgreSQL, events in the MongoDB-compatible server, the graph in Neo4j",
    "sqlite": "a SQLite file per noun",
}

COUNTS = b'{"query": "{ users(first: 1) { totalCount } posts(first: 1) { totalCount } events(first: 1) { totalCount } }"}'


@dataclass(frozen=True, slots=True)
class Data:
    """A set of rows: its name, the command that writes it, and how many users, posts and events there are afterwards."""

    name: str
    title: str
    command: tuple[str, ...]
    counts: tuple[int, int, int] | None


def datasets(snb: Path) -> dict[str, Data]:
    """Return the sets of rows by name; ``snb`` is the folder with the LDBC sample."""
    large = ("seed", "--users", "20000", "--posts-per-user", "10", "--events-per-user", "50")
    return {
        "tiny": Data("tiny", "120 generated users", ("seed", "--users", "120"), None),
        "snb": Data("snb", "the LDBC sample: 222 users, 5,924 posts, 8,010 events", ("load", str(snb)), (222, 5_924, 8_010)),
        "large": Data("large", "generated: 20,000 users, 200,000 posts, 1,000,000 events", large, None),
    }


@dataclass(frozen=True, slots=True)
class Setup:
    """The addresses of one kind of set-up with one set of rows."""

    kind: str
    data: Data

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.data.name}"

    @property
    def database(self) -> str:
        return f"crossgraph_bench_{self.data.name}_{self.kind}"

    @property
    def postgresql(self) -> str:
        return urlsplit(os.environ["TEST_POSTGRES_URL"])._replace(path=f"/{self.database}").geturl()

    @property
    def mongodb(self) -> str:
        return urlsplit(os.environ["TEST_MONGO_URL"])._replace(path=f"/{self.database}").geturl()

    @property
    def label_prefix(self) -> str:
        return f"bench_{self.data.name}_"

    def gateway(self) -> dict[str, str]:
        """Return the gateway's environment."""
        plain = {
            "GATEWAY_ENVIRONMENT": "production",
            "GATEWAY_ALLOWED_HOSTS": "127.0.0.1",
            "GATEWAY_ACCESS_LOG": "false",
            "GATEWAY_DATA_DIR": str(FOLDER / self.name),
        }
        if self.kind == "sqlite":
            return plain
        urls = dict.fromkeys(STORES, self.postgresql)
        if self.kind == "three":
            neo4j = os.environ["TEST_NEO4J_URL"]
            urls |= {"events": self.mongodb, "recommendations": f"{neo4j}{'&' if '?' in neo4j else '?'}prefix={self.label_prefix}"}
        return plain | {f"GATEWAY_STORES__{name.upper()}__URL": url for name, url in urls.items()}

    def peers(self) -> dict[str, str]:
        """Return the peers' environment, after writing the file that it names."""
        described: dict[str, Any] = {"sqlite": str(FOLDER / self.name), "statements": statements(label_prefix=self.label_prefix)}
        if self.kind != "sqlite":
            described["postgresql"] = self.postgresql.replace("postgresql+asyncpg:", "postgresql:")
        if self.kind == "three":
            neo4j = urlsplit(os.environ["TEST_NEO4J_URL"])
            described |= {
                "mongodb": self.mongodb,
                "neo4j": f"{neo4j.scheme}://{neo4j.hostname}:{neo4j.port}",
                "neo4j_auth": [neo4j.username, neo4j.password],
                "neo4j_database": neo4j.path.strip("/") or "neo4j",
            }
        path = FOLDER / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(described))
        return {"BENCH_STORES": self.kind, "BENCH_SETUP": str(path)}


def prepare(setup: Setup) -> None:
    """Create and fill what is missing. A second run finds everything there."""
    if setup.kind != "sqlite":
        asyncio.run(create_database(setup))
    run_gateway(setup, "migrate")
    marker = FOLDER / f"{setup.name}.loaded"
    counts = _counts(setup)
    if counts == setup.data.counts or (marker.exists() and marker.read_text() == str(counts)):
        return
    run_gateway(setup, *setup.data.command)
    counts = _counts(setup)
    if setup.data.counts not in (None, counts):
        raise RuntimeError(f"{setup.name}: expected {setup.data.counts} users, posts and events; there are {counts}")
    marker.write_text(str(counts))
    if setup.kind != "sqlite":
        asyncio.run(analyze(setup))


def run_gateway(setup: Setup, *arguments: str) -> None:
    command = [sys.executable, "-m", "gateway", *arguments]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **setup.gateway()}, check=True, stdin=subprocess.DEVNULL)


def _counts(setup: Setup) -> tuple[int, int, int]:
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    server = start("gateway", command, port, log=FOLDER / "logs" / f"{setup.name}-counts.log", env=setup.gateway())
    try:
        wait_for_answer(server, COUNTS, timeout_s=60)
        data = orjson.loads(post(port, COUNTS))["data"]
        return data["users"]["totalCount"], data["posts"]["totalCount"], data["events"]["totalCount"]
    finally:
        server.stop()


async def create_database(setup: Setup) -> None:
    connection = await _connect(os.environ["TEST_POSTGRES_URL"])
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", setup.database):
            await connection.execute(f'CREATE DATABASE "{setup.database}"')
    finally:
        await connection.close()


async def analyze(setup: Setup) -> None:
    connection = await _connect(setup.postgresql)
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def drop(setup: Setup) -> None:
    """Drop the databases of a set-up, and in Neo4j all that has its prefix."""
    (FOLDER / f"{setup.name}.loaded").unlink(missing_ok=True)
    if setup.kind == "sqlite":
        shutil.rmtree(FOLDER / setup.name, ignore_errors=True)
        return
    connection = await _connect(os.environ["TEST_POSTGRES_URL"])
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{setup.database}" WITH (FORCE)')
    finally:
        await connection.close()
    if setup.kind == "three":
        await _drop_documents(setup)
        await _drop_graph(setup)


async def _drop_documents(setup: Setup) -> None:
    from pymongo import AsyncMongoClient

    async with AsyncMongoClient[dict[str, Any]](setup.mongodb) as client:
        await client.drop_database(setup.database)


async def _drop_graph(setup: Setup) -> None:
    from gateway.stores.neo4j.store import Neo4jStore

    store = Neo4jStore("recommendations", setup.gateway()["GATEWAY_STORES__RECOMMENDATIONS__URL"])
    await store.open()
    try:
        await store.drop_everything()
    finally:
        await store.close()


async def _connect(url: str) -> Any:
    import asyncpg

    return await asyncpg.connect(url.replace("postgresql+asyncpg:", "postgresql:"))
