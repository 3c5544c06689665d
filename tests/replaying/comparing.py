"""Two gateways that should have the same in them: every user, post, event and follow, and everybody's recommendations, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

Execute = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

_PAGE = "pageInfo { hasNextPage endCursor }"
LISTS = {
    "users": f"query($after: String) {{ users(first: 100, after: $after) {{ {_PAGE} nodes {{"
    " id name email active gender birthday languages createdAt updatedAt } } }",
    "posts": f"query($after: String) {{ posts(first: 100, after: $after) {{ {_PAGE} nodes {{"
    " id title content image language forum tags published createdAt updatedAt author { id } } } }",
    "events": f"query($after: String) {{ events(first: 100, after: $after) {{ {_PAGE} nodes {{"
    " id type occurredAt payload user { id } post { id } } } }",
}
OF_USERS = """query($ids: [ID!]!) { nodes(ids: $ids) { ... on User {
    id
    following(first: 100) { totalCount nodes { id } pageInfo { endCursor } }
    followers(first: 100) { totalCount nodes { id } }
    friends: recommendations(first: 20) { score post { id } because { id } }
    collaborative: recommendations(first: 20, strategy: COLLABORATIVE) { score post { id } because { id } }
} } }"""
USERS_AT_ONCE = 5


async def differences(one: Execute, other: Execute) -> list[str]:
    """Return a line for each difference; none where both have the same."""
    found: list[str] = []
    users: list[str] = []
    for name in LISTS:
        mine, its = await _all(one, name), await _all(other, name)
        found += _between(name, mine, its)
        if name == "users":
            users = sorted(mine.keys() & its.keys())
    for start in range(0, len(users), USERS_AT_ONCE):
        ids = {"ids": users[start : start + USERS_AT_ONCE]}
        found += _between("user", _by_id(await _nodes(one, ids)), _by_id(await _nodes(other, ids)))
    return found


async def _all(execute: Execute, name: str) -> dict[str, Mapping[str, Any]]:
    return {node["id"]: node async for node in _pages(execute, name)}


async def _pages(execute: Execute, name: str) -> AsyncIterator[Mapping[str, Any]]:
    after: str | None = None
    while True:
        connection = _data(await execute(LISTS[name], {"after": after}))[name]
        for node in connection["nodes"]:
            yield node
        if not connection["pageInfo"]["hasNextPage"]:
            return
        after = connection["pageInfo"]["endCursor"]


async def _nodes(execute: Execute, ids: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    nodes: Iterable[Mapping[str, Any]] = _data(await execute(OF_USERS, ids))["nodes"]
    return nodes


def _by_id(nodes: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {node["id"]: node for node in nodes}


def _data(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if answer.get("errors"):
        raise AssertionError(f"expected an answer without errors, got {answer['errors'][:3]}")
    data: Mapping[str, Any] = answer["data"]
    return data


def _between(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    lines = [f"{name} {key}: only in the first" for key in one.keys() - other.keys()]
    lines += [f"{name} {key}: only in the second" for key in other.keys() - one.keys()]
    for key in one.keys() & other.keys():
        if one[key] != other[key]:
            fields = [field for field in one[key] if one[key][field] != other[key].get(field)]
            lines += [f"{name} {key}.{field}: {one[key][field]!r} and {other[key].get(field)!r}" for field in fields]
    return lines
