"""The commands over three servers: what they say of empty ones, of migrated and of filled ones, and of one that somebody changed."""

from __future__ import annotations

import sys
from pathlib import Path

import asyncpg

from gateway.writes.tables import tables_of
from tests.graphs import environment, run
from tests.kinds import needs, url_of
from tests.servers import SERVERS

GATEWAY = [sys.executable, "-m", "gateway"]
NEW = """gateway: The stores differ from the graph in 35 places:
  collection users of the store users: expected a table users, which gateway migrate makes, got none
  collection posts of the store posts: expected a table posts, which gateway migrate makes, got none
  collection events of the store events: expected a collection events, which gateway migrate makes, got none
  collection follows of the store recommendations: expected a relationship type FOLLOWS, which gateway migrate makes, got none
  collection likes of the store recommendations: expected a relationship type LIKES, which gateway migrate makes, got none
  collection wrote of the store recommendations: expected a relationship type WROTE, which gateway migrate makes, got none
  collection members of the store recommendations: expected a label User, which gateway migrate makes, got none
"""
CHANGED = """gateway: The stores differ from the graph in 1 place:
  collection users of the store users: expected a column 'birthday' for DATE, got timestamp with time zone
"""
OWN = [f"  collection {collection.name} of the store " for collection in tables_of("users").all]


def without_own(told: str) -> str:
    """Leave out the lines of the gateway's own tables."""
    return "".join(line for line in told.splitlines(keepends=True) if " crossgraph_" not in line)


@needs(*SERVERS)
async def test_check_and_serve_from_empty_servers_to_changed_ones(tmp_path: Path) -> None:
    async with url_of("postgresql") as sql, url_of("mongodb") as documents, url_of("neo4j") as graph:
        env = environment(DATABASE_URL=sql, MONGO_URL=documents, NEO4J_URL=graph)
        for refused in ("check", "serve"):
            ended = run([*GATEWAY, refused], tmp_path, env)
            assert (ended.returncode, ended.stdout, without_own(ended.stderr)) == (2, "", NEW)
            assert sum(map(ended.stderr.count, OWN)) == len(OWN) * 4  # in each of the stores
        for command in (["migrate"], ["seed", "--users", "5"]):
            assert run([*GATEWAY, *command], tmp_path, env).returncode == 0
            ended = run([*GATEWAY, "check"], tmp_path, env)
            assert (ended.returncode, ended.stderr) == (0, "")
            assert ended.stdout.splitlines()[1:] == ["Stores that have what is declared: users, posts, events, recommendations."]
        connection = await asyncpg.connect("postgresql://" + sql.partition("://")[2])
        await connection.execute("ALTER TABLE users ALTER COLUMN birthday TYPE timestamptz")
        await connection.close()
        ended = run([*GATEWAY, "serve", "--port", "0"], tmp_path, env)
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", CHANGED)
