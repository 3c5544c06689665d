"""Walk a connection page by page with any executor, in both directions, and hold its page information to the contract.

The query takes $first, $after, $last and $before, and asks ``edges { cursor node { … } }``, ``pageInfo`` with all four fields and
``totalCount`` of the connection at ``path``:

    Connection(query="query($first: Int, $after: String, $last: Int, $before: String) { posts(first: $first, …) { … } }", path=("posts",))
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.comparing import Answers, Execute

PAGE = "$first: Int, $after: String, $last: Int, $before: String"
PAGE_ARGUMENTS = "first: $first, after: $after, last: $last, before: $before"
PAGE_FIELDS = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount"
MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection to walk: a query with page variables, where its answer has the connection, and further variables."""

    query: str
    path: tuple[str | int, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)


def root(name: str, node: str, arguments: str = "") -> Connection:
    """Return a connection of Query: ``root("posts", "id title", "orderBy: {field: TITLE}")``."""
    return Connection(f"query({PAGE}) {{ {_selection(name, node, arguments)} }}", (name,))


def nested(parent: str, name: str, node: str, arguments: str = "") -> Connection:
    """Return a connection of one object: ``nested('user(id: "6")', "posts", "id title")``."""
    return Connection(f"query({PAGE}) {{ parent: {parent} {{ {_selection(name, node, arguments)} }} }}", ("parent", name))


async def walk(execute: Execute, connection: Connection, *, size: int) -> list[Any]:
    """Return all nodes, front to back, asked ``size`` at a time; AssertionError where a page contradicts another."""
    nodes: list[Any] = []
    after: str | None = None
    total: int | None = None
    for _ in range(MOST_PAGES):
        page = await _page(execute, connection, {"first": size, "after": after})
        _check_cursors(page, size)
        info = page["pageInfo"]
        assert info["hasPreviousPage"] is (after is not None), f"hasPreviousPage is {info['hasPreviousPage']} with after: {after!r}"
        assert total in (None, page["totalCount"]), f"totalCount went from {total} to {page['totalCount']}"
        total = page["totalCount"]
        nodes += [edge["node"] for edge in page["edges"]]
        if not info["hasNextPage"]:
            assert len(nodes) == total, f"{len(nodes)} nodes on all pages, but totalCount is {total}"
            return nodes
        assert len(page["edges"]) == size, f"a page that has a next one has {len(page['edges'])} edges, not {size}"
        after = info["endCursor"]
    raise AssertionError(f"no end after {MOST_PAGES} pages")


async def walk_backward(execute: Execute, connection: Connection, *, size: int) -> list[Any]:
    """Return all nodes, front to back all the same, asked ``size`` at a time from the back."""
    nodes: list[Any] = []
    before: str | None = None
    for _ in range(MOST_PAGES):
        page = await _page(execute, connection, {"last": size, "before": before})
        _check_cursors(page, size)
        info = page["pageInfo"]
        assert info["hasNextPage"] is (before is not None), f"hasNextPage is {info['hasNextPage']} with before: {before!r}"
        nodes = [edge["node"] for edge in page["edges"]] + nodes
        if not info["hasPreviousPage"]:
            assert len(nodes) == page["totalCount"], f"{len(nodes)} nodes on all pages, but totalCount is {page['totalCount']}"
            return nodes
        assert len(page["edges"]) == size, f"a page that has a previous one has {len(page['edges'])} edges, not {size}"
        before = info["startCursor"]
    raise AssertionError(f"no end after {MOST_PAGES} pages")


async def compare_walks(execute: Execute, oracle: Answers, connection: Connection, *, size: int) -> list[Any]:
    """Return all nodes, after walking both ways on both sides and between two cursors, and finding the same everywhere."""
    expected = await walk(oracle.execute, connection, size=size)
    assert await walk(execute, connection, size=size) == expected, "forward differs from the oracle"
    assert await walk_backward(execute, connection, size=size) == expected, "backward differs from forward"
    await _compare_window(execute, oracle, connection, size)
    return expected


async def _compare_window(execute: Execute, oracle: Answers, connection: Connection, size: int) -> None:
    """Ask what lies between two cursors, with ``after`` and ``before`` given together, from both ends."""
    answers = []
    for ask in (execute, oracle.execute):
        front = await _page(ask, connection, {"first": size})
        back = await _page(ask, connection, {"last": size})
        bounds = {"after": front["pageInfo"]["startCursor"], "before": back["pageInfo"]["endCursor"]}
        pages = [await _page(ask, connection, {direction: count, **bounds}) for direction in ("first", "last") for count in (0, 1, size)]
        answers.append([_without_cursors(page) for page in pages])
    assert answers[0] == answers[1], "between two cursors differs from the oracle"


async def _page(execute: Execute, connection: Connection, page: Mapping[str, Any]) -> dict[str, Any]:
    got = execute(connection.query, {**connection.variables, **page}, None)
    if inspect.isawaitable(got):
        got = await got
    assert not got.get("errors"), f"{page}: {got['errors']}"
    value: Any = got["data"]
    for step in connection.path:
        value = value[step]
    assert isinstance(value, dict), f"no connection at {connection.path}"
    return value


def _check_cursors(page: Mapping[str, Any], size: int) -> None:
    cursors = [edge["cursor"] for edge in page["edges"]]
    info = page["pageInfo"]
    assert len(cursors) <= size, f"{len(cursors)} edges on a page of {size}"
    assert len(set(cursors)) == len(cursors), "two edges of a page have the same cursor"
    assert info["startCursor"] == (cursors[0] if cursors else None), "startCursor is not the first edge's"
    assert info["endCursor"] == (cursors[-1] if cursors else None), "endCursor is not the last edge's"


def _without_cursors(page: Mapping[str, Any]) -> Any:
    info = {k: v for k, v in page["pageInfo"].items() if k.startswith("has")}
    return [edge["node"] for edge in page["edges"]], info, page["totalCount"]


def _selection(name: str, node: str, arguments: str) -> str:
    return f"{name}({PAGE_ARGUMENTS}, {arguments}) {{ edges {{ cursor node {{ {node} }} }} {PAGE_FIELDS} }}"
