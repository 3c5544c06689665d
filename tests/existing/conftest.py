"""The four databases, filled once for all tests of a process, and the graph served over them.

Everything here needs the three servers and the folder of the data; ``tests/conftest.py`` leaves it out where one is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.security.limits import Limits
from gateway.service import Request, Service
from gateway.stores import Stores
from tests.existing.databases import databases, dump
from tests.existing.graph import GRAPH
from tests.existing.oracle import Oracle
from tests.existing.rows import Rows, read_all
from tests.kinds import needs
from tests.servers import SERVERS

HERE = Path(__file__).parent
LIMITS = Limits(
    page_max=10_000,
    cost_max=10_000_000,
    objects_max=1_000_000,
    response_limit_bytes=256 * 1024 * 1024,
    query_limit_bytes=1024 * 1024,
    tokens_max=100_000,
    selections_max=10_000,
    aliases_max=1_000,
    root_fields_max=200,
    arguments_values_max=100_000,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chinook_dir" not in getattr(item, "fixturenames", ()) or HERE not in item.path.parents:
            continue
        item.add_marker(needs(*SERVERS))
        if item.get_closest_marker("asyncio"):  # a connection pool belongs to one event loop
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@dataclass(slots=True)
class Existing:
    """The four databases by their URLs, what was in them before anybody asked, and a service over them."""

    urls: dict[str, str]
    before: dict[str, Any]
    rows: Rows
    stores: Stores
    service: Service

    @property
    def oracle(self) -> Oracle:
        return Oracle(self.rows)

    async def answer(self, query: str, **variables: Any) -> Any:
        """Return the decoded answer, errors and all."""
        return orjson.loads((await self.service.answer(Request(query, variables or None))).body)

    async def ask(self, query: str, **variables: Any) -> Any:
        """Return the data of an answer without errors."""
        answer = await self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def existing(chinook_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Existing]:
    async with databases(chinook_dir, tmp_path_factory.mktemp("existing")) as urls:
        before = await dump(urls)
        rows = await read_all(urls)
        stores = Stores.connect(urls, timeout_s=60, connect_timeout_s=20)
        await stores.open()
        try:
            yield Existing(urls, before, rows, stores, Service(GRAPH, stores, LIMITS))
        finally:
            await stores.close()
        assert await dump(urls) == before, "something was changed in the databases by the tests above"
