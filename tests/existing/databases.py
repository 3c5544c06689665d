"""Four databases as three teams and a laptop would have left them: filled from the folder CHINOOK_DATA, and what is in them afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import neo4j
import pymongo
from bson import json_util

from tests.existing.graph import LAPTOP, LISTENING, MUSIC, SHOP
from tests.kinds import url_of

FILES = ("load.py", "chinook.postgresql.sql", "chinook.sqlite", "customers.jsonl", "invoices.jsonl", "nodes.jsonl", "relationships.jsonl")
NODE_KEYS = {"Artist": "artistId", "Track": "trackId", "Listener": "customerId"}


@asynccontextmanager
async def databases(folder: Path, temporary: Path) -> AsyncIterator[dict[str, str]]:
    """The URLs of the four by the names of the graph's stores, freshly filled; they are gone afterwards."""
    async with url_of("postgresql") as music, url_of("mongodb") as shop, url_of("neo4j") as listening:
        laptop = temporary / "chinook.sqlite"
        shutil.copyfile(folder / "chinook.sqlite", laptop)
        await asyncio.gather(
            asyncio.to_thread(_load, folder, plain(music), shop),
            _fill_neo4j(folder, listening),
        )
        yield {MUSIC: music, SHOP: shop, LISTENING: listening, LAPTOP: f"sqlite:///{laptop}"}


def plain(url: str) -> str:
    """The URL as drivers take it: without ours behind the scheme, and without a prefix."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def _load(folder: Path, music: str, shop: str) -> None:
    subprocess.run([sys.executable, str(folder / "load.py"), music, shop, "-", "--schema"], check=True, capture_output=True, timeout=120)


# ---------------------------------------------------------------------------------------------------------------- Neo4j


@asynccontextmanager
async def driver_of(url: str) -> AsyncIterator[tuple[neo4j.AsyncDriver, str]]:
    """An open driver, and what stands before all labels and types: there is one database only, and other tests are in it, too."""
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.hostname}:{parts.port}"
    driver = neo4j.AsyncGraphDatabase.driver(address, auth=(parts.username or "", parts.password or ""), notifications_min_severity="OFF")
    async with driver:
        yield driver, parse_qs(parts.query)["prefix"][0]


async def _fill_neo4j(folder: Path, url: str) -> None:
    nodes, relationships = (lines_of(folder / f"{name}.jsonl") for name in ("nodes", "relationships"))
    async with driver_of(url) as (driver, prefix):
        for label, key in NODE_KEYS.items():
            name = f"{prefix}{label}"
            await driver.execute_query(f"CREATE CONSTRAINT {name}_{key} FOR (n:{name}) REQUIRE n.{key} IS UNIQUE")
            rows = [{name: value for name, value in node.items() if name != "label"} for node in nodes if node["label"] == label]
            await driver.execute_query(f"UNWIND $rows AS row CREATE (n:{name}) SET n = row", rows=rows)
        await driver.execute_query("CALL db.awaitIndexes()")
        for type_, stamp in (("PERFORMS", ""), ("PLAYED", "SET x.at = datetime(row.p.at)"), ("FOLLOWS", "SET x.since = date(row.p.since)")):
            its = [r for r in relationships if r["type"] == type_]
            (start, start_key, _), (end, end_key, _) = its[0]["from"], its[0]["to"]
            rows = [{"a": r["from"][2], "b": r["to"][2], "p": {k: v for k, v in r.items() if k not in ("type", "from", "to")}} for r in its]
            await driver.execute_query(
                f"UNWIND $rows AS row MATCH (a:{prefix}{start} {{{start_key}: row.a}}), (b:{prefix}{end} {{{end_key}: row.b}})"
                f" CREATE (a)-[x:{prefix}{type_}]->(b) SET x = row.p {stamp}",
                rows=rows,
            )


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ---------------------------------------------------------------------------------------------------------------- dumps


async def dump(urls: dict[str, str]) -> dict[str, Any]:
    """All that is in the four, by their own drivers: tables, columns, indexes, constraints, settings, and every row."""
    music, shop, listening = await asyncio.gather(
        _dump_postgresql(plain(urls[MUSIC])), asyncio.to_thread(_dump_mongodb, urls[SHOP]), _dump_neo4j(urls[LISTENING])
    )
    return {MUSIC: music, SHOP: shop, LISTENING: listening, LAPTOP: _dump_file(Path(urls[LAPTOP].removeprefix("sqlite:///")))}


_CATALOGUE = {
    "relations": """
        select n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.reloptions::text, c.relfilenode::text, c.relacl::text
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname !~ '^pg_temp|^pg_toast_temp|^pg_catalog$'""",
    "columns": """
        select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attnum
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('music', 'public')""",
    "indexes": "select schemaname, indexname, indexdef from pg_indexes where schemaname in ('music', 'public')",
    "constraints": "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint where conrelid <> 0",
    "views": "select schemaname, viewname, definition from pg_views where schemaname in ('music', 'public')",
    "triggers": "select tgrelid::regclass::text, tgname from pg_trigger",
    "functions": "select count(*) from pg_proc",
    "types": "select count(*) from pg_type",
    "enums": "select enumtypid::regtype::text, enumlabel, enumsortorder from pg_enum",
    "extensions": "select extname, extversion from pg_extension",
    "schemas": "select nspname from pg_namespace where nspname !~ '^pg_temp|^pg_toast_temp'",
    "settings": "select setdatabase::text, setrole::text, setconfig::text from pg_db_role_setting",
}


async def _dump_postgresql(url: str) -> dict[str, Any]:
    connection = await asyncpg.connect(url)
    try:
        found: dict[str, Any] = {name: _in_order(await connection.fetch(text)) for name, text in _CATALOGUE.items()}
        tables = await connection.fetch("select relname from pg_class where relnamespace = 'music'::regnamespace and relkind = 'r'")
        for (table,) in tables:  # with ctid and xmin: also a row that was written as it had been is another one
            found[f"rows of {table}"] = _digest(await connection.fetch(f'select ctid::text, xmin::text, t::text from music."{table}" t'))
        return found
    finally:
        await connection.close()


def _dump_mongodb(url: str) -> dict[str, Any]:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        return {
            name: {
                "options": database[name].options(),
                "indexes": database[name].index_information(),
                "documents": _digest((json_util.dumps(document),) for document in database[name].find()),
            }
            for name in sorted(database.list_collection_names())
        }


async def _dump_neo4j(url: str) -> dict[str, Any]:
    statements = {
        "constraints": "SHOW CONSTRAINTS YIELD name, type, labelsOrTypes, properties WHERE name STARTS WITH $prefix RETURN *",
        "indexes": "SHOW INDEXES YIELD name, type, labelsOrTypes, properties WHERE name STARTS WITH $prefix RETURN *",
        "labels": "CALL db.labels() YIELD label WHERE label STARTS WITH $prefix RETURN label",
        "types": "CALL db.relationshipTypes() YIELD relationshipType AS type WHERE type STARTS WITH $prefix RETURN type",
        "nodes": "MATCH (n) WHERE any(x IN labels(n) WHERE x STARTS WITH $prefix) RETURN elementId(n), labels(n), n {.*}",
        "relationships": """MATCH (a)-[r]->(b) WHERE type(r) STARTS WITH $prefix
            RETURN elementId(r), type(r), elementId(a), elementId(b), toString(r.at), toString(r.since), r.seconds, keys(r)""",
    }
    async with driver_of(url) as (driver, prefix):
        found = {}
        for name, text in statements.items():
            records, _, _ = await driver.execute_query(text, prefix=prefix)
            found[name] = _digest(records) if name in ("nodes", "relationships") else _in_order(records)
        return found


def _dump_file(path: Path) -> dict[str, Any]:
    """Its bytes are its tables, its rows and its pragmas; beside it no other file of it is left."""
    beside = sorted(file.name for file in path.parent.iterdir() if file.name.startswith(path.name))
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "files": beside}


def _in_order(records: Iterable[Any]) -> list[list[str]]:
    return sorted([str(value) for value in record.values()] for record in records)


def _digest(records: Iterable[Any]) -> tuple[int, str]:
    rows: Sequence[str] = sorted(repr(list(record.values()) if hasattr(record, "values") else record) for record in records)
    return len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()
