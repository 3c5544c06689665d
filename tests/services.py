"""Services over stores for tests: filled from rows, in memory or in any other kind."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from gateway.loading import load_folder
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.guards import Protection
from gateway.stores.memory import MemoryStore
from schema import schema as graph
from tests.oracle.rows import Rows

STORES = ("users", "posts", "events", "recommendations")

Execute = Callable[[str, Mapping[str, Any], str | None], Awaitable[dict[str, Any]]]


# What is made to fail by a test, and then not, is asked again at once.
NO_BREAKER = Protection(breaker_calls=0)


async def memory_stores(rows: Rows | None = None) -> tuple[Stores, dict[str, MemoryStore]]:
    """Return four open memory stores, filled with ``rows`` the way ``gateway load`` does."""
    memory = {name: MemoryStore(name) for name in STORES}
    stores = Stores(memory, protection=NO_BREAKER)
    await stores.open()
    if rows is not None:
        await fill(stores, rows)
    return stores, memory


async def fill(stores: Stores, rows: Rows) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows.write(Path(folder))
        await load_folder(stores, graph.datasets, Path(folder))


def executor(service: Service) -> Execute:
    """Return ``execute(query, variables, operation_name)``, which gives the decoded answer."""

    async def execute(query: str, variables: Mapping[str, Any] | None = None, operation_name: str | None = None) -> dict[str, Any]:
        response = await service.answer(Request(query, dict(variables or {}), operation_name), request_id="test")
        answer: dict[str, Any] = orjson.loads(response.body)
        return answer

    return execute
