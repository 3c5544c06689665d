"""Selection sets without a field (September 2025 grammar): ``{}`` for every object, whatever kinds of store the objects are in."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from gateway.service import Request, Service
from schema import schema as graph
from tests.e2e.worlds import World, layouts, world
from tests.oracle.executor import Executor
from tests.oracle.rows import odd_rows
from tests.services import memory_stores

QUERIES = [
    "{ }",
    "query { }",
    "{ users { } posts { } events { } }",
    "{ users { nodes { } } posts { nodes { } } events { nodes { } } }",
    "{ users(first: 2) { edges { } totalCount } posts(last: 2) { edges { node { } } pageInfo { } } }",
    "{ users(first: 2, orderBy: {field: NAME}) { edges { cursor node { } } } events(first: 1) { nodes { user { } post { } } } }",
    '{ user(id: "9") { } post(id: "p1") { } event(id: "e-1") { } none: user(id: "nobody") { } }',
    '{ node(id: "User:9") { } nodes(ids: ["User:9", "Post:p1", "Event:e-1", "User:nobody"]) { } }',
    """{ user(id: "9") { posts { } events { nodes { } } following { edges { node { } } } followers { nodes { } } eventStats { }
        recommendations { } because: recommendations { because { } post { } } ...F ... { } ... on User { } } } fragment F on User { }""",
    '{ eventStats { } byType: eventStats(groupBy: [TYPE]) { } recommendations(userId: "9") { } }',
    "{ users { } users { totalCount } again: posts @skip(if: true) { } }",
    '{ __schema { } __type(name: "User") { fields { } } }',
]


@pytest.fixture(scope="module", params=layouts())
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("odd")
    odd_rows().write(folder)
    with world(str(request.param), folder) as world_:
        yield world_


@pytest.mark.parametrize("query", QUERIES)
def test_an_object_without_fields_is_empty(made: World, query: str) -> None:
    async def both() -> tuple[bytes, bytes]:
        service = Service(graph, made.stores, may_explain=False)
        found = (await service.answer(Request(query), request_id="test", deadline_s=60)).body
        stores, _ = await memory_stores(odd_rows())
        return found, orjson.dumps(await Executor(graph, stores).execute(query))

    found, wanted = made.runner.run(both())
    assert found == wanted
    assert b'"errors"' not in found
