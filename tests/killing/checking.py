"""What is there after all, beside what was acknowledged: every row, every version, and the order in which the log has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from gateway.stores import Stores
from gateway.stores.base import Compare, Fetch, Order, Page
from gateway.writes.tables import tables_of
from tests.killing.model import Model, Person

Execute = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

AT_ONCE = 5
LOG_PAGE = 1_000
PEOPLE = """query($ids: [ID!]!) { nodes(ids: $ids) { ... on User {
    id name version
    posts(first: 100) { nodes { id title published version } pageInfo { hasNextPage } }
    events(first: 100) { nodes { id } pageInfo { hasNextPage } }
    following(first: 100) { nodes { id } }
} } }"""
GONE = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"


async def wrong_in(models: Iterable[Model], execute: Execute) -> list[str]:
    """Return a line for each thing that is other than the clients were told."""
    found: list[str] = []
    for model in models:
        keys = list(model.people)
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            nodes = (await _data(execute, PEOPLE, part))["nodes"]
            for key, node in zip(part, nodes, strict=True):
                found += _wrong_of(key, model.people[key], node)
        gone = sorted(model.gone)
        for start in range(0, len(gone), 100):
            part = gone[start : start + 100]
            found += [f"{node['id']}: deleted, and there" for node in (await _data(execute, GONE, part))["nodes"] if node is not None]
    return found


def _wrong_of(key: str, person: Person, node: Mapping[str, Any] | None) -> Iterable[str]:
    if node is None:
        yield f"{key}: acknowledged, and not there"
        return
    expected: dict[str, Any] = {
        "name": person.name,
        "version": person.version,
        "posts": {post: (p.title, p.published, p.version) for post, p in person.posts.items()},
        "events": person.events,
        "following": person.follows,
    }
    got: dict[str, Any] = {
        "name": node["name"],
        "version": node["version"],
        "posts": {post["id"]: (post["title"], post["published"], post["version"]) for post in node["posts"]["nodes"]},
        "events": {event["id"] for event in node["events"]["nodes"]},
        "following": {other["id"] for other in node["following"]["nodes"]},
    }
    for name, value in expected.items():
        has_more = name in ("posts", "events") and node[name]["pageInfo"]["hasNextPage"]
        if value != got[name] and not (has_more and len(value) > len(got[name])):
            yield f"{key}.{name}: expected {value!r}, got {got[name]!r}"


async def _data(execute: Execute, query: str, ids: list[str]) -> Mapping[str, Any]:
    answer = await execute(query, {"ids": ids})
    if answer.get("errors"):
        raise AssertionError(f"expected an answer without errors, got {answer['errors'][:3]}")
    data: Mapping[str, Any] = answer["data"]
    return data


async def are_all_placed(stores: Stores, names: Iterable[str]) -> bool:
    """Return whether each write of the logs has its position: of one that was just committed, or whose process died, it comes later."""
    for name in names:
        waiting = Fetch(tables_of(name).outbox, ("id",), where=Compare("position", "eq", None), page=Page(1))
        found = (await stores.ask(waiting)).get(None)
        if found is not None and found.rows:
            return False
    return True


async def inversions_in(stores: Stores, names: Iterable[str]) -> list[str]:
    """Return a line for each aggregate whose writes the log has twice, not at all, or in another order than they happened in."""
    found: list[str] = []
    for name in names:
        versions: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        positions: list[int] = []
        for noun, key, version, position in await _log_of(stores, name):
            versions[noun, key].append(version)
            positions.append(position)
        found += [f"{name} {key}: versions in the order {order}" for key, order in versions.items() if order != sorted(set(order))]
        if len(set(positions)) != len(positions):
            found.append(f"{name}: a position was given twice")
    return found


async def _log_of(stores: Stores, name: str) -> list[Any]:
    outbox = tables_of(name).outbox
    rows: list[Any] = []
    after: tuple[Any, ...] | None = None
    while True:
        request = Fetch(outbox, ("noun", "key", "version", "position", "id"), order=(Order("position"),), page=Page(LOG_PAGE, after=after))
        part = (await stores.ask(request)).get(None)
        if part is None or not part.rows:
            return rows
        rows += [row[:4] for row in part.rows]
        if not part.more:
            return rows
        after = (part.rows[-1][3], part.rows[-1][4])
