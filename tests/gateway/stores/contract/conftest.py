"""One open store per kind for all tests of the contract, with the world in it. Tests that write have collections of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.stores.base import Collection, Delete, Fetch, Store, Upsert
from resolvers.events import events
from resolvers.graph import follows, likes, wrote
from resolvers.posts import posts
from resolvers.users import users
from tests.gateway.stores.contract.typed import COLUMNS, holds
from tests.gateway.stores.contract.world import LINKS, THINGS, badges, drafts, fans, links, pins, rides, things, words
from tests.kinds import kinds, store_of

HERE = Path(__file__).parent
SCRATCH = (drafts, pins, rides, fans, badges, words, users, posts, events, follows, likes, wrote)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if item.path.parent == HERE]
    impossible = {item for item in ours if not _is_held(item)}
    if impossible:
        config.hook.pytest_deselected(items=list(impossible))
        items[:] = [item for item in items if item not in impossible]
    for item in ours:
        # A connection pool belongs to one event loop, and opening one per test would take minutes on live servers.
        if item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def _is_held(item: pytest.Item) -> bool:
    """Whether the kind of a test holds the values it is about: times of more digits than that are refused when a graph is checked."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    kind, name = params.get("types"), params.get("name")
    return kind is None or name not in COLUMNS or holds(kind, name)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=kinds())
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store of each kind, with ``things`` and ``links`` filled. No test changes these two."""
    async with store_of(request.param, [things, links, *SCRATCH]) as store:
        await store.answer(Upsert(things, [tuple(row.values()) for row in THINGS]))
        await store.answer(Upsert(links, [tuple(row.values()) for row in LINKS]))
        yield store


@pytest_asyncio.fixture(loop_scope="session")
async def scratch(store: Store) -> AsyncIterator[Store]:
    """The same store for a test that writes: what the test left in any collection but the world's is deleted after it."""
    yield store
    for collection in SCRATCH:
        await _empty(store, collection)


async def _empty(store: Store, collection: Collection) -> None:
    slices = await store.answer(Fetch(collection, collection.key))
    keys = [tuple(row) for slice_ in slices.values() for row in slice_.rows]
    if keys:
        await store.answer(Delete(collection, keys))
