"""One store fails, the others answer as if nothing had happened, and all is well again when it is back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from gateway.errors import StoreUnavailable
from gateway.loading import load_folder
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.memory import MemoryStore
from schema import schema as graph
from tests.gateway.stores.proxies import Proxy
from tests.kinds import MONGODB, NEO4J, POSTGRESQL, needs, url_of
from tests.operations import Operation, Pool, operations
from tests.oracle import Oracle, compare
from tests.oracle.rows import odd_rows
from tests.services import STORES, executor, memory_stores

EXAMPLES = int(os.environ.get("E2E_EXAMPLES", "40"))

World = tuple[asyncio.Runner, dict[str, MemoryStore], Service]


@pytest.fixture(scope="module")
def memory() -> Iterator[World]:
    with asyncio.Runner() as runner:
        stores, memory = runner.run(memory_stores(odd_rows()))
        yield runner, memory, Service(graph, stores)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
@given(operation=operations(Pool.odd(), faults=True), down=st.sampled_from(STORES))
def test_with_one_store_down_the_rest_is_as_the_oracle_says(memory: World, operation: Operation, down: str) -> None:
    runner, stores, service = memory
    stores[down].fail_with = StoreUnavailable(down)
    try:
        runner.run(compare(executor(service), Oracle.from_rows(odd_rows(), down={down}), operation))
    finally:
        stores[down].fail_with = None


# ------------------------------------------------------------------------------------------------------- real servers

QUERY = """{ users(first: 3) { nodes { id name
  posts(first: 2) { nodes { title } } events(first: 2) { nodes { type } } recommendations(first: 1) { score } } } }"""


@needs(POSTGRESQL, MONGODB, NEO4J)
@pytest.mark.parametrize(
    ("kind", "down"), [("mongodb", ("events",)), ("neo4j", ("recommendations",)), ("postgresql", ("posts",))], ids=lambda v: str(v)
)
async def test_a_server_that_stops_nulls_its_fields_and_they_are_back_with_it(tmp_path: Path, kind: str, down: tuple[str, ...]) -> None:
    odd_rows().write(tmp_path)
    async with url_of("postgresql") as sql, url_of("mongodb") as documents, url_of("neo4j") as network, url_of("sqlite") as embedded:
        # Users stay where they are when PostgreSQL is the one to stop: without users there is nothing below them.
        urls = {"users": embedded if kind == "postgresql" else sql, "posts": sql, "events": documents, "recommendations": network}
        proxy = await _proxy(urls[down[0]])
        urls[down[0]] = _through(urls[down[0]], proxy.port)
        stores = Stores.connect(urls, timeout_s=30, write_timeout_s=60)
        await stores.open()
        try:
            for name in graph.store_names:
                await stores.migrate(name, [c for c in graph.collections if c.store == name], None)
            await load_folder(stores, graph.datasets, tmp_path)
            service = Service(graph, stores)
            healthy = await _answer(service)
            assert "errors" not in healthy

            await proxy.cut()
            broken = await _answer(service)
            await proxy.start()
            back = await _answer(service)
        finally:
            await stores.close()
            await proxy.cut()
    _assert_only_these_are_null(healthy, broken, down)
    assert back == healthy


async def _answer(service: Service) -> Any:
    return orjson.loads((await service.answer(Request(QUERY), request_id="test", deadline_s=60)).body)


def _assert_only_these_are_null(healthy: Any, broken: Any, down: tuple[str, ...]) -> None:
    codes = {(error["extensions"]["code"], error["extensions"]["store"]) for error in broken["errors"]}
    assert codes == {("STORE_UNAVAILABLE", name) for name in down}
    if down == ("recommendations",):  # the only one of these fields that may be null
        assert all(user["recommendations"] is None for user in broken["data"]["users"]["nodes"])
        assert {error["path"][-1] for error in broken["errors"]} == {"recommendations"}
        healthy = deepcopy(healthy)
        for user in (*broken["data"]["users"]["nodes"], *healthy["data"]["users"]["nodes"]):
            user["recommendations"] = None
        assert broken["data"] == healthy["data"]


async def _proxy(url: str) -> Proxy:
    address = make_url(url.partition("?")[0])
    assert address.host is not None
    proxy = Proxy(address.host, address.port or {"mongodb": 27017, "bolt": 7687, "neo4j": 7687}.get(address.drivername, 5432))
    await proxy.start()
    return proxy


def _through(url: str, port: int) -> str:
    before, mark, query = url.partition("?")
    address = make_url(before).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    if address.startswith("mongodb"):  # else the driver asks the server for its own address and goes round the proxy
        query = "&".join(filter(None, [query, "directConnection=true"]))
        mark = "?"
    return address + mark + query
