"""The five operations every peer answers, and the variables they are asked with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Operation:
    """``requests`` are the bodies that are sent in turn; hand-written code recognises an operation by its name alone."""

    name: str
    title: str
    query: str
    variables: Sequence[dict[str, Any]] = field(default=({},))

    @property
    def requests(self) -> list[bytes]:
        return [orjson.dumps({"query": self.query, "operationName": self.name, "variables": v}) for v in self.variables]


def operations(user_ids: Sequence[str]) -> list[Operation]:
    """Return the operations; ``user_ids`` are those that the point lookup asks for in turn."""
    return [
        Operation("Point", "point lookup", POINT, [{"id": key} for key in user_ids]),
        Operation("Flat", "flat list of 100, 8 scalars", FLAT),
        Operation("Tree", "tree: users, posts, events, recommendations", TREE),
        Operation("Chain", "chain: posts, author, posts, events, user", CHAIN),
        Operation("Stats", "aggregates per user", STATS),
    ]


POINT = "query Point($id: ID!) { user(id: $id) { id name email createdAt } }"

FLAT = "query Flat { users(first: 100) { nodes { id name email active gender birthday createdAt updatedAt } } }"

TREE = """
query Tree {
  users(first: 50) {
    nodes {
      id name email createdAt
      posts(first: 10, orderBy: {field: CREATED_AT, direction: DESC}) { nodes { id title published } }
      events(first: 5) { nodes { id type post { title } } }
      recommendations(first: 3) { score because { name } post { id title author { name } } }
    }
  }
}
"""

CHAIN = """
query Chain {
  posts(first: 40) {
    nodes {
      id title
      author {
        id name
        posts(first: 10) { nodes { id title events(first: 5) { nodes { id type user { id name } } } } }
      }
    }
  }
}
"""

STATS = "query Stats { users(first: 50) { nodes { id name eventStats(groupBy: [TYPE]) { type count firstAt lastAt } } } }"
