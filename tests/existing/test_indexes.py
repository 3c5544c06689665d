"""Keys are found by the indexes that are there: what each database says of its plan for the statement that it was asked."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import asyncpg
import orjson
import pymongo
import pytest

from gateway.service import Request
from tests.existing.conftest import Existing
from tests.existing.databases import driver_of, plain


async def statement_of(existing: Existing, query: str) -> Any:
    answer = orjson.loads((await existing.service.answer(Request(query, explain="trace"))).body)
    assert "errors" not in answer, answer
    [call] = answer["extensions"]["explain"]["calls"]
    [statement] = call["statements"]
    return statement


@pytest.mark.parametrize(
    ("query", "parameters", "index"),
    [
        ('{ track(id: "7") { name } }', ["{7}"], "track_pkey"),
        ('{ playlistTrack(id: "1,3402") { id } }', ["{1}", "{3402}"], "playlist_track_pkey"),
        ('{ order(id: "c4ca4238-a0b9-2382-0dcc-509a6f75849b") { band } }', ["{c4ca4238-a0b9-2382-0dcc-509a6f75849b}"], "order_pkey"),
        (
            '{ orderLine(id: "c4ca4238-a0b9-2382-0dcc-509a6f75849b,2") { price } }',
            ["{c4ca4238-a0b9-2382-0dcc-509a6f75849b}", "{2}"],
            "order_line_pkey",
        ),
    ],
)
async def test_keys_in_postgresql(existing: Existing, query: str, parameters: list[str], index: str) -> None:
    statement = await statement_of(existing, query)
    connection = await asyncpg.connect(plain(existing.urls["music"]))
    try:
        await connection.execute("SET enable_seqscan = off")  # of a small table nothing else is worth it: whether one can be used
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", *parameters))
    finally:
        await connection.close()
    assert f"using {index}" in plan or f"on {index}" in plan, plan
    assert "Index Cond" in plan


@pytest.mark.parametrize(
    ("query", "parameters", "index"),
    [
        ('{ liteTrack(id: "7") { name } }', ["[7]"], "USING INTEGER PRIMARY KEY"),
        ('{ node(id: "LitePlaylistTrack:1,3402") { id } }', ["[[1, 3402, 0]]"], "sqlite_autoindex_PlaylistTrack_1"),
    ],
)
async def test_keys_in_sqlite(existing: Existing, query: str, parameters: list[str], index: str) -> None:
    statement = await statement_of(existing, query)
    with sqlite3.connect(f"file:{existing.urls['laptop'].removeprefix('sqlite:///')}?mode=ro", uri=True) as connection:
        values = (parameters * statement.count("?"))[: statement.count("?")]
        plan = "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values))
    connection.close()
    assert index in plan, plan


@pytest.mark.parametrize(
    ("query", "keys"), [('{ listener(id: "7") { name } }', [["7", 7]]), ('{ follow(id: "1,38") { id } }', [["1,38", 1, 38]])]
)
async def test_keys_in_neo4j(existing: Existing, query: str, keys: list[Any]) -> None:
    statement = await statement_of(existing, query)
    async with driver_of(existing.urls["listening"]) as (driver, _):
        _, summary, _ = await driver.execute_query(f"EXPLAIN {statement}", keys=keys)
    plan = json.dumps(summary.plan)
    assert "IndexSeek" in plan, plan
    assert "LabelScan" not in plan, plan


@pytest.mark.parametrize(
    ("query", "collection", "index"),
    [
        ('{ customerDocument(customerId: "7") { email } }', "customers", "customerId_1"),
        ('{ customerDocument(id: "dea26157fa355301663174ea") { email } }', "customers", "_id_"),
    ],
)
async def test_keys_in_mongodb(existing: Existing, query: str, collection: str, index: str) -> None:
    statement = await statement_of(existing, query)
    with pymongo.MongoClient[dict[str, Any]](existing.urls["shop"]) as client:
        asked = {"aggregate": collection, "pipeline": statement["pipeline"], "cursor": {}}
        plan = json.dumps(client.get_default_database().command("explain", asked, verbosity="queryPlanner"), default=str)
    assert "IXSCAN" in plan or "IDHACK" in plan or "EXPRESS" in plan, plan
    assert index in plan or "IDHACK" in plan or "EXPRESS" in plan, plan
    assert "COLLSCAN" not in plan, plan
