"""The stores of the Python peers: the statements of ``statements.py`` through the drivers themselves, rows as tuples.

``BENCH_STORES`` names the set-up: ``postgresql`` (all nouns there), ``three`` (users and posts in PostgreSQL, events in MongoDB, the
graph in Neo4j) or ``sqlite`` (a file per store). ``BENCH_SETUP`` is the JSON file with addresses and statements.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import orjson

POOL_SIZE = 10

Rows = Sequence[Sequence[Any]]
Keys = Sequence[str]


class Sql(Protocol):
    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def ask(self, store: str, name: str, columns: tuple[str, ...], *parameters: Any) -> Rows: ...


class Postgres:
    """Statements by name over an asyncpg pool."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._url = setup["postgresql"]
        self._statements, self._expressions = setup["statements"]["postgresql"], setup["statements"]["expressions"]["postgresql"]
        self._texts: dict[tuple[str, tuple[str, ...]], str] = {}

    async def open(self) -> None:
        import asyncpg

        async def keep(_: object) -> None:
            """Nothing that these statements do needs a reset of the session, which costs a round trip for every call."""

        options = {"reset": keep} if os.environ.get("BENCH_POOL") == "lean" else {}
        self._pool = await asyncpg.create_pool(self._url, min_size=POOL_SIZE, max_size=POOL_SIZE, server_settings={"jit": "off"}, **options)

    async def close(self) -> None:
        await self._pool.close()

    async def ask(self, store: str, name: str, columns: tuple[str, ...], *parameters: Any) -> Rows:
        text = self._texts.get((name, columns)) or self._text(name, columns)
        async with self._pool.acquire() as connection:
            rows: Rows = await connection.fetch(text, *parameters)
            return rows

    def _text(self, name: str, columns: tuple[str, ...]) -> str:
        asked = ", ".join(self._expressions.get(column, f"t.{column}") for column in columns)
        text: str = self._statements[name].replace("{columns}", asked)
        self._texts[name, columns] = text
        return text


class Sqlite:
    """Statements by name over sqlite3, a connection per thread and file, so that the loop never waits for a disk."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._folder = Path(setup["sqlite"])
        self._statements = setup["statements"]["sqlite"]
        self._local = threading.local()
        self._threads = ThreadPoolExecutor(4)

    async def open(self) -> None: ...

    async def close(self) -> None:
        self._threads.shutdown()

    async def ask(self, store: str, name: str, columns: tuple[str, ...], *parameters: Any) -> Rows:
        bound = tuple(orjson.dumps(p).decode() if isinstance(p, list) else p for p in parameters)
        text = self._statements[name].replace("{columns}", ", ".join(f"t.{column}" for column in columns))
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._rows, store, text, bound)

    def _rows(self, store: str, text: str, bound: tuple[Any, ...]) -> Rows:
        connections = self._local.__dict__
        if store not in connections:
            connections[store] = sqlite3.connect(f"file:{self._folder / store}.db?mode=ro", uri=True)
        rows: Rows = connections[store].execute(text, bound).fetchall()
        return rows


class SqlEvents:
    """Events in SQL."""

    def __init__(self, sql: Sql) -> None:
        self._ask = sql.ask

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def by_user(self, columns: tuple[str, ...], keys: Keys, first: int) -> Rows:
        return await self._ask("events", "events_by_user", columns, keys, first)

    async def by_post(self, columns: tuple[str, ...], keys: Keys, first: int) -> Rows:
        return await self._ask("events", "events_by_post", columns, keys, first)

    async def stats(self, keys: Keys) -> Rows:
        return await self._ask("events", "stats_by_user", (), keys)


class MongoEvents:
    """Events in MongoDB, through PyMongo's asyncio client."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._url = setup["mongodb"]

    async def open(self) -> None:
        from pymongo import AsyncMongoClient

        self._client: Any = AsyncMongoClient(self._url, maxPoolSize=POOL_SIZE)
        self._events = self._client.get_default_database()["events"]

    async def close(self) -> None:
        await self._client.close()

    async def by_user(self, columns: tuple[str, ...], keys: Keys, first: int) -> Rows:
        return await self._page("user_id", columns, keys, first)

    async def by_post(self, columns: tuple[str, ...], keys: Keys, first: int) -> Rows:
        return await self._page("post_id", columns, keys, first)

    async def stats(self, keys: Keys) -> Rows:
        times = [{"$dateToString": {"date": f"${name}", "format": _TIME}} for name in ("first", "last")]
        pipeline = [
            {"$match": {"user_id": {"$in": keys}}},
            {
                "$group": {
                    "_id": {"u": "$user_id", "t": "$type"},
                    "n": {"$sum": 1},
                    "first": {"$min": "$occurred_at"},
                    "last": {"$max": "$occurred_at"},
                }
            },
            {"$sort": {"_id.u": 1, "_id.t": 1}},
            {"$project": {"_id": 0, "r": ["$_id.u", "$_id.t", "$n", *times]}},
        ]
        return [document["r"] for document in await self._documents(pipeline)]

    async def _page(self, by: str, columns: tuple[str, ...], keys: Keys, first: int) -> Rows:
        row = [_TIMES.get(column, f"${_FIELDS.get(column, column)}") for column in columns]
        pipeline = [
            {"$match": {by: {"$in": keys}}},
            {"$sort": {by: 1, "_id": 1}},
            {"$group": {"_id": f"${by}", "rows": {"$firstN": {"n": first, "input": row}}}},
        ]
        return [row for document in await self._documents(pipeline) for row in document["rows"]]

    async def _documents(self, pipeline: list[Any]) -> list[dict[str, Any]]:
        cursor = await self._events.aggregate(pipeline)
        documents: list[dict[str, Any]] = await cursor.to_list()
        return documents


_TIME = "%Y-%m-%dT%H:%M:%S.%LZ"
_TIMES = {"occurred_at": {"$dateToString": {"date": "$occurred_at", "format": _TIME}}}
_FIELDS = {"id": "_id"}


class SqlGraph:
    """Recommendations in SQL."""

    def __init__(self, sql: Sql) -> None:
        self._ask = sql.ask

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def recommendations(self, keys: Keys, first: int) -> Rows:
        rows = await self._ask("recommendations", "recommendations", (), keys, first)
        return [(k, post, score, orjson.loads(because) if isinstance(because, str) else because) for k, post, score, because in rows]


class Neo4jGraph:
    """Recommendations in Neo4j."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._url, self._auth, self._database = setup["neo4j"], tuple(setup["neo4j_auth"]), setup["neo4j_database"]
        self._cypher = setup["statements"]["cypher"]

    async def open(self) -> None:
        from neo4j import AsyncGraphDatabase

        self._driver = AsyncGraphDatabase.driver(self._url, auth=self._auth, max_connection_pool_size=POOL_SIZE)

    async def close(self) -> None:
        await self._driver.close()

    async def recommendations(self, keys: Keys, first: int) -> Rows:
        async with self._driver.session(database=self._database, default_access_mode="READ") as session:
            result = await session.run(self._cypher, keys=keys, first=first)
            return [tuple(record.values()) async for record in result]


class Stores:
    """All four nouns of one set-up, each call asked in one statement."""

    events: SqlEvents | MongoEvents
    graph: SqlGraph | Neo4jGraph

    def __init__(self, kind: str, setup: dict[str, Any]) -> None:
        self._sql: Sql = Sqlite(setup) if kind == "sqlite" else Postgres(setup)
        three = kind == "three"
        self.events = MongoEvents(setup) if three else SqlEvents(self._sql)
        self.graph = Neo4jGraph(setup) if three else SqlGraph(self._sql)

    async def open(self) -> None:
        for store in (self._sql, self.events, self.graph):
            await store.open()

    async def close(self) -> None:
        for store in (self._sql, self.events, self.graph):
            await store.close()

    async def user(self, columns: tuple[str, ...], key: str) -> Rows:
        return await self._sql.ask("users", "user_by_id", columns, key)

    async def users(self, columns: tuple[str, ...], first: int) -> Rows:
        return await self._sql.ask("users", "users_page", columns, first)

    async def users_by_id(self, columns: tuple[str, ...], keys: Keys) -> Rows:
        return await self._sql.ask("users", "users_by_id", columns, keys)

    async def posts(self, columns: tuple[str, ...], first: int) -> Rows:
        return await self._sql.ask("posts", "posts_page", columns, first)

    async def posts_by_id(self, columns: tuple[str, ...], keys: Keys) -> Rows:
        return await self._sql.ask("posts", "posts_by_id", columns, keys)

    async def posts_by_author(self, columns: tuple[str, ...], keys: Keys, first: int, *, newest: bool = False) -> Rows:
        return await self._sql.ask("posts", "posts_by_author_newest" if newest else "posts_by_author", columns, keys, first)


def stores_from_environment() -> Stores:
    """Return the stores that the benchmark's runner named, not yet open."""
    return Stores(os.environ["BENCH_STORES"], orjson.loads(Path(os.environ["BENCH_SETUP"]).read_bytes()))
