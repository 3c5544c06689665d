"""The statements that all peers ask their stores: the same batches as the gateway's, written by hand, once for every language.

``{columns}`` stands for the asked columns, each as ``expressions`` has it. Recommendations are the gateway's own native queries,
so nobody wins by a better traversal.
"""

from __future__ import annotations

import re
from typing import Any

from resolvers.recommendations import NATIVES, RecommendationStrategy

FRIENDS = NATIVES[RecommendationStrategy.FRIENDS]

_UTC = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


def _lateral(table: str, by: str, order: str) -> str:
    page = f"SELECT * FROM {table} WHERE {by} = k.key ORDER BY {order} LIMIT $2"
    return f"SELECT {{columns}} FROM unnest($1::text[]) AS k(key) CROSS JOIN LATERAL ({page}) AS t"


POSTGRESQL = {
    "user_by_id": "SELECT {columns} FROM users AS t WHERE id = $1",
    "users_page": "SELECT {columns} FROM users AS t ORDER BY id LIMIT $1",
    "users_by_id": "SELECT {columns} FROM users AS t WHERE id = ANY($1::text[])",
    "posts_page": "SELECT {columns} FROM posts AS t ORDER BY id LIMIT $1",
    "posts_by_id": "SELECT {columns} FROM posts AS t WHERE id = ANY($1::text[])",
    "posts_by_author": _lateral("posts", "author_id", "id"),
    "posts_by_author_newest": _lateral("posts", "author_id", "created_at DESC, id"),
    "events_by_user": _lateral("events", "user_id", "id"),
    "events_by_post": _lateral("events", "post_id", "id"),
    "stats_by_user": (
        "SELECT user_id, type, count(*)::int AS count, "
        f"{_UTC.format('min(occurred_at)')} AS first_at, {_UTC.format('max(occurred_at)')} AS last_at "
        "FROM events WHERE user_id = ANY($1::text[]) GROUP BY user_id, type ORDER BY user_id, type"
    ),
}


def _ranked(table: str, by: str, *order: str) -> str:
    page = f"SELECT id FROM {table} WHERE {by} = k.value ORDER BY {', '.join(order)} LIMIT ?2"
    outer = ", ".join(f"t.{column}" for column in (by, *order))
    return f"SELECT {{columns}} FROM json_each(?1) AS k JOIN {table} AS t ON t.id IN ({page}) ORDER BY {outer}"


SQLITE = {
    "user_by_id": "SELECT {columns} FROM users AS t WHERE id = ?1",
    "users_page": "SELECT {columns} FROM users AS t ORDER BY id LIMIT ?1",
    "users_by_id": "SELECT {columns} FROM users AS t WHERE id IN (SELECT value FROM json_each(?1))",
    "posts_page": "SELECT {columns} FROM posts AS t ORDER BY id LIMIT ?1",
    "posts_by_id": "SELECT {columns} FROM posts AS t WHERE id IN (SELECT value FROM json_each(?1))",
    "posts_by_author": _ranked("posts", "author_id", "id"),
    "posts_by_author_newest": _ranked("posts", "author_id", "created_at DESC", "id"),
    "events_by_user": _ranked("events", "user_id", "id"),
    "events_by_post": _ranked("events", "post_id", "id"),
    "stats_by_user": (
        "SELECT user_id, type, count(*), min(occurred_at), max(occurred_at) "
        "FROM events WHERE user_id IN (SELECT value FROM json_each(?1)) GROUP BY user_id, type ORDER BY user_id, type"
    ),
}

EXPRESSIONS = {
    "created_at": _UTC.format("t.created_at"),
    "updated_at": _UTC.format("t.updated_at"),
    "occurred_at": _UTC.format("t.occurred_at"),
    "birthday": "t.birthday::text",
    "payload": "t.payload::text",
}


def statements(*, label_prefix: str = "") -> dict[str, Any]:
    """Return all statements and expressions as one JSON document for the peers of every language."""
    return {
        "postgresql": {**POSTGRESQL, "recommendations": _numbered(_written("postgresql"), "$")},
        "sqlite": {**SQLITE, "recommendations": _numbered(_written("sqlite"), "?")},
        "expressions": {"postgresql": EXPRESSIONS, "sqlite": {}},
        "cypher": _prefixed(_written("neo4j"), label_prefix),
    }


def _written(kind: str) -> str:
    """Return the query as a call that is not narrowed has it."""
    return re.sub(r"\{(where|and):[^{}]+\}", "", FRIENDS.query(kind))


def _numbered(sql: str, sign: str) -> str:
    keys = f"CAST({sign}1 AS text[])" if sign == "$" else f"{sign}1"
    return re.sub(r"(?<!:):first\b", f"{sign}2", re.sub(r"(?<!:):keys\b", keys, sql))


def _prefixed(cypher: str, prefix: str) -> str:
    """Fill in the labels and relationship types as the gateway's store does: ``{User}`` with the prefix, ``{{`` as a brace."""
    return re.sub(r"(?<!\{)\{(\w+)\}(?!\})", lambda m: prefix + m[1], cypher).replace("{{", "{").replace("}}", "}")
