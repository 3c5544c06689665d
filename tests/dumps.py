"""All that a database has, as data: two dumps are equal where nothing was changed between them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
from pymongo import AsyncMongoClient
from sqlalchemy import make_url

from gateway.stores.neo4j.store import Neo4jStore


async def dump(kind: str, url: str) -> Any:
    return await {"sqlite": _sqlite, "postgresql": _postgresql, "mongodb": _mongodb, "neo4j": _neo4j}[kind](url)


async def _sqlite(url: str) -> Any:
    """The files beside the database, its own included, to the last byte, without those that SQLite needs to read one in WAL mode."""
    folder = Path(make_url(url).database or "").parent
    if not folder.is_dir():
        return None
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.endswith("-shm")}
    return {name: hashlib.sha256(its).hexdigest() for name, its in files.items() if its or not name.endswith("-wal")}


_CATALOGUE = """
SELECT n.nspname, c.relname, c.relkind::text, c.relfilenode::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2, a.attnum
"""


async def _postgresql(url: str) -> Any:
    connection = await asyncpg.connect("postgresql://" + url.partition("://")[2])
    try:
        catalogue = [tuple(row) for row in await connection.fetch(_CATALOGUE)]
        names = [row["name"] for row in await connection.fetch("SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r'")]
        own = [name for name in names if not name.startswith(("pg_", "information_schema"))]
        texts = {name: f"SELECT xmin::text, * FROM {name} ORDER BY 1" for name in sorted(own)}
        rows = {name: [tuple(row) for row in await connection.fetch(text)] for name, text in texts.items()}
    finally:
        await connection.close()
    return catalogue, rows


async def _mongodb(url: str) -> Any:
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        found: dict[str, Any] = {}
        for name in sorted(await database.list_collection_names()):
            indexes: Mapping[str, Any] = await database[name].index_information()
            found[name] = (indexes, await database[name].find().sort("_id").to_list(None))
        return found


async def _neo4j(url: str) -> Any:
    store = Neo4jStore("dumped", url)
    await store.open()
    try:
        ours = {"prefix": store._address.prefix}
        return [
            sorted(await store._schema(text, ours) or [], key=str)
            for text in (
                "MATCH (n) WHERE any(x IN labels(n) WHERE x STARTS WITH $prefix) RETURN collect([labels(n), properties(n)])",
                "MATCH ()-[r]->() WHERE type(r) STARTS WITH $prefix RETURN collect([type(r), properties(r)])",
                "SHOW INDEXES YIELD name, labelsOrTypes, properties WHERE any(x IN labelsOrTypes WHERE x STARTS WITH $prefix) "
                "RETURN collect([name, labelsOrTypes, properties])",
                "SHOW CONSTRAINTS YIELD name, labelsOrTypes, properties WHERE any(x IN labelsOrTypes WHERE x STARTS WITH $prefix) "
                "RETURN collect([name, labelsOrTypes, properties])",
            )
        ]
    finally:
        await store.close()
