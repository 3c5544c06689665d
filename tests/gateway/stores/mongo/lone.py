"""A double of the answer of a MongoDB that stands alone: the server of the tests is a replica set, and says so.

with lone_servers():
    store = connect("home", url)  # of whatever is opened in here
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import AsyncMongoClient, errors

from gateway.stores.mongo import store as module


class LoneClient(AsyncMongoClient[Any]):
    """The driver, whose server names no replica set and begins no transaction."""

    @property
    def admin(self) -> Any:
        return _Admin(self.get_database("admin"))

    def start_session(self, *_: Any, **__: Any) -> Any:
        raise errors.OperationFailure("Transaction numbers are only allowed on a replica set member or mongos", 20)


class _Admin:
    def __init__(self, database: Any) -> None:
        self._database = database

    async def command(self, name: str, *arguments: Any, **options: Any) -> Any:
        answer = await self._database.command(name, *arguments, **options)
        return {key: value for key, value in answer.items() if key not in ("setName", "hosts", "primary")}


@contextmanager
def lone_servers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "AsyncMongoClient", LoneClient)
        yield
