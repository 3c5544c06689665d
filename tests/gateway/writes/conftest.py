"""One open database per kind for all tests of writes that take ``home``; what a test left in it is deleted before the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio

from gateway.stores import Stores
from gateway.stores.base import Delete
from gateway.writes.idempotency import Once
from tests.gateway.writes.world import LETTERS, PAIRS, PEOPLE, TABLES, TWIN, rows_of, stores_of, transacting


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # A connection pool belongs to one event loop.
        if "home_of_a_kind" in getattr(item, "fixturenames", ()) and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=transacting())
async def home_of_a_kind(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    async with stores_of(request.param) as stores:
        yield stores


@pytest_asyncio.fixture(loop_scope="session")
async def home(home_of_a_kind: Stores) -> AsyncIterator[Stores]:
    """The stores of ``world.py``, empty."""
    stores = home_of_a_kind
    for collection in (PEOPLE, LETTERS, PAIRS, TWIN, *TABLES.all):
        keys = [tuple(row[name] for name in collection.key) for row in await rows_of(stores, collection)]
        if keys:
            await stores.ask(Delete(collection, keys))
    stores.calls.clear()
    yield stores


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests of one key meet in the database alone, as those of two processes do."""

    @contextmanager
    def alone(_: Once) -> Iterator[None]:
        yield

    monkeypatch.setattr(Once, "alone", alone)
