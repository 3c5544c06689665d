"""Whether servers take as many connections as all pools want."""

from __future__ import annotations

import os

import pytest

from gateway.capacity import check_capacity
from gateway.config import Settings, StoreSettings
from gateway.errors import ConfigError, StoreUnavailable
from gateway.stores import Stores
from gateway.stores.memory import MemoryStore
from tests.kinds import needs
from tests.servers import POSTGRESQL


class Server(MemoryStore):
    """A store with a pool, of a server that takes so many connections."""

    def __init__(self, name: str, places: int, most: int | Exception | None) -> None:
        super().__init__(name)
        self.places = places
        self._most = most

    async def connections_max(self) -> int | None:
        if isinstance(self._most, Exception):
            raise self._most
        return self._most


async def told(most: int | Exception | None, workers: int) -> list[str]:
    """Check two pools of 10 of one server and one of another."""
    urls = {"users": "postgresql://a:b@db:5432/users", "posts": "postgresql://a:b@DB:5432/posts", "events": "postgresql://other/events"}
    servers = {name: Server(name, 10, 9_999 if name == "events" else most) for name in urls}
    settings = Settings(workers=workers, stores={name: StoreSettings(url=url) for name, url in urls.items()})
    warnings: list[str] = []
    await check_capacity(Stores(servers), settings, warnings.append)
    return warnings


async def test_more_connections_than_a_server_takes_end_the_start() -> None:
    with pytest.raises(ConfigError) as caught:
        await told(97, workers=5)
    assert caught.value.message == (
        "stores users, posts: 5 workers with pools of 20 connections in all may want 100, expected at most the 97 that db:5432 takes"
        " (settings workers, pool_size; its max_connections)"
    )


async def test_few_that_are_left_are_a_warning() -> None:
    assert await told(97, workers=4) == [
        "stores users, posts: 4 workers with pools of 20 connections in all may want 80 of the 97 that db:5432 takes:"
        " more than 80%, and others want some, too."
    ]
    assert await told(100, workers=4) == []


@pytest.mark.parametrize("most", [None, StoreUnavailable("users")])
async def test_a_server_that_does_not_say_is_passed_over(most: Exception | None) -> None:
    assert await told(most, workers=256 if most is None else 1) == []


async def test_one_worker_is_called_none() -> None:
    with pytest.raises(ConfigError, match=r"^stores users, posts: pools of 20 connections in all may want 20, expected at most the 19 "):
        await told(19, workers=1)


@needs(POSTGRESQL)
async def test_postgresql_says_how_many_it_takes() -> None:
    stores = Stores.connect({"users": os.environ["TEST_POSTGRES_URL"]})
    await stores.open()
    try:
        most = await stores.connections_max("users")
    finally:
        await stores.close()
    assert most is not None
    assert 10 <= most < 10_000
