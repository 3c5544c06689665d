"""One store fails, the others answer as if nothing had happened, and all is well again when it is back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from gateway.engine import respond
from gateway.errors import GatewayError, StoreTimeout, StoreUnavailable
from gateway.loading import load_folder
from gateway.migrating import migrate
from gateway.service import Request, Service
from gateway.stores import Stores
from schema import schema as graph
from tests.e2e.worlds import World, layouts, world
from tests.failing import Failing, without
from tests.forms import of_form
from tests.gateway.stores.proxies import Proxy
from tests.kinds import needs, url_of
from tests.operations import Operation, Pool, operations
from tests.oracle import NEIGHBOURS, Oracle, compare, difference
from tests.oracle.rows import odd_rows
from tests.servers import MONGODB, NEO4J, POSTGRESQL
from tests.services import NO_BREAKER, STORES, executor

EXAMPLES = of_form(10, 40, "E2E_EXAMPLES")

DOWN = (*STORES, NEIGHBOURS)

# Every field that has a store of its own, below lists, edges and single objects. Whom it names is all there, so that what the stores
# that answer say does not change with those that do not.
FIELDS = """
fragment Page on UserConnection {
  __typename totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { id } } nodes { name }
}
fragment OfUser on User {
  id name
  posts(first: 2) { totalCount nodes { id author { name } } edges { node { title } } }
  events(first: 2) { totalCount nodes { id user { id } post { title } } }
  eventStats { type count }
  following(first: 2) { ...Page } byName: following(first: 1, orderBy: {field: NAME}) { ...Page }
  followers(last: 2, orderBy: {field: KEY, direction: DESC}, where: {}) { ...Page } active: followers(where: {active: true}) { totalCount }
  recommendations(first: 2) { score post { id } because { id } }
}
"""
ROOTS = {
    "users": """{ users(first: 3, where: {id: {ne: "9"}}) { totalCount pageInfo { hasNextPage endCursor }
        edges { cursor node { ...OfUser } } nodes { id } } }""",
    "posts": "{ posts(first: 3) { totalCount nodes { id author { name } events(first: 1) { nodes { id } } eventStats { type count } } } }",
    "events": "{ events(last: 3) { edges { cursor node { id user { name } post { title } } } totalCount } }",
    "aggregates": "{ eventStats(groupBy: [TYPE, USER]) { type userId count } users(last: 1) { nodes { eventStats { lastAt } } } }",
    "recommendations": '{ recommendations(userId: "a:b", first: 2) { score post { title } because { name } } }',
    "one": """{ user(id: "10") { ...OfUser } post(id: "p1") { id author { id } events { totalCount } }
        event(id: "e-1") { id user { id } } }""",
    "node": '{ node(id: "User:10") { id ...OfUser } post: node(id: "Post:p1") { id } event: node(id: "Event:e-1") { id } }',
    "nodes": """{ nodes(ids: ["User:10", "Post:p1", "Event:e-1", "User:nobody", "User:a:b"]) { __typename id ...OfUser
        ... on Post { author { name } eventStats { count } } ... on Event { post { title } user { name } } } }""",
}


@dataclass
class Faulty:
    """A gateway over stores of some layout, of which some can be let fail, and the same gateway without faults."""

    world: World
    stores: dict[str, Failing]
    service: Service

    def both(self, operation: Operation, *down: str, error: Callable[[str], GatewayError]) -> tuple[Any, Any]:
        """Return the answer when all is well, and with those stores down."""
        healthy = self._answer(operation)
        with without(self.stores, *down, error=error):
            return healthy, self._answer(operation)

    def _answer(self, operation: Operation) -> Any:
        request = Request(operation.query, operation.variables)
        return orjson.loads(self.world.runner.run(self.service.answer(request, request_id="test", deadline_s=60)).body)


@pytest.fixture(scope="module", params=layouts())
def faulty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    folder = tmp_path_factory.mktemp("odd")
    odd_rows().write(folder)
    with world(str(request.param), folder) as made:
        failing = {name: Failing(made.stores[name]) for name in STORES}
        yield Faulty(made, failing, Service(graph, Stores(failing, timeout_s=30, protection=NO_BREAKER)))


@pytest.fixture(autouse=True)
def all_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(respond, "MAX_ERRORS", sys.maxsize)


@pytest.mark.parametrize("down", DOWN)
@pytest.mark.parametrize("root", ROOTS)
def test_a_store_that_is_down_nulls_its_own_fields_and_no_others(faulty: Faulty, root: str, down: str) -> None:
    operation = Operation(ROOTS[root] + (FIELDS if "OfUser" in ROOTS[root] else ""))
    store, code = ("users", "STORE_TIMEOUT") if down == NEIGHBOURS else (down, "STORE_UNAVAILABLE")
    error = partial(StoreTimeout, seconds=3) if down == NEIGHBOURS else StoreUnavailable
    healthy, broken = faulty.both(operation, down, error=error)
    assert "errors" not in healthy

    expected = Oracle.from_rows(odd_rows(), down={down: code}).execute(operation.query)
    found = difference(broken, expected, operation.query)
    assert not found, found
    assert orjson.dumps(broken["data"]) == orjson.dumps(_nulled(healthy["data"], broken)), "all else is the same, cursors too"
    for told in broken.get("errors", ()):
        assert told["extensions"] == {"code": code, "store": store}
        assert told["locations"]
    assert sorted(_places(broken)) == sorted(_places(expected))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
@given(operation=operations(Pool.odd(), faults=True), down=st.sampled_from(DOWN))
def test_with_one_store_down_the_rest_is_as_the_oracle_says(faulty: Faulty, operation: Operation, down: str) -> None:
    with without(faulty.stores, down):
        faulty.world.runner.run(compare(executor(faulty.service), Oracle.from_rows(odd_rows(), down={down}), operation))


def test_pages_of_neighbours_can_be_walked_without_their_nodes(faulty: Faulty) -> None:
    text = """query ($after: String) { user(id: "9") { followers(first: 1, after: $after) {
        totalCount edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } } }"""
    after, pages = None, 0
    while after is not None or pages == 0:
        healthy, broken = faulty.both(Operation(text, {"after": after}), NEIGHBOURS, error=StoreUnavailable)
        assert broken == healthy
        page = healthy["data"]["user"]["followers"]
        after = page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None
        pages += 1
    assert pages > 1


def _nulled(data: Any, answer: Any) -> Any:
    """Return ``data`` with a null at the place of each error of ``answer``."""
    data = deepcopy(data)
    for error in answer.get("errors", ()):
        *above, last = error["path"]
        value = data
        for step in above:
            value = value[step]
        value[last] = None
    return data


def _places(answer: Any) -> list[str]:
    return [".".join(map(str, error["path"])) for error in answer.get("errors", ())]


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
                await migrate(stores, graph, name)
            await load_folder(stores, graph.datasets, tmp_path)
            service = Service(graph, stores)
            healthy = await _answer(service)
            assert "errors" not in healthy

            await proxy.cut()
            broken = await _answer(service)
            await proxy.start()
            back = await _answer(service)
            async with asyncio.timeout(30):
                while "errors" in back:  # a MongoDB that refused is asked again as soon as its driver has found it
                    await asyncio.sleep(0.05)
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
    assert {error["path"][-1] for error in broken["errors"]} == set(down)  # the field bears the name of its store
    assert broken["data"] == _nulled(healthy["data"], broken)


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
