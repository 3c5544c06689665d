"""What people really ask passes the limits as they are by default: the README's queries, GraphiQL's, those of benchmarks and tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import get_introspection_query
from hypothesis import HealthCheck, Phase, given, settings

from gateway.service import Request, Service
from schema import schema as graph
from tests.benchmarks.operations import operations as benchmarked
from tests.e2e.test_answers import FIRST
from tests.e2e.test_batching import TREE
from tests.forms import of_form
from tests.operations import Operation, Pool, operations
from tests.oracle.rows import odd_rows
from tests.services import memory_stores

ROOT = Path(__file__).parents[2]
EXAMPLES = of_form(30, 300, "E2E_EXAMPLES")
Shop = tuple[asyncio.Runner, Service]

GRAPHIQL = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True, one_of=True
)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with asyncio.Runner() as runner:
        stores, _ = runner.run(memory_stores(odd_rows()))
        yield runner, Service(graph, stores)


def _documented() -> Iterator[Any]:
    """Give the queries in code blocks of the README and the docs: those of curl, and those in GraphQL.

    Those of other graphs are left out (tests/test_own_graph.py, tests/test_adding_a_noun.py). Mutations are not asked here, over data
    that all tests read, nor are subscriptions, which are no queries.
    """
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        if path.name in ("own-graph.md", "your-own-graph.md", "adding-a-noun.md"):
            continue
        text = path.read_text(encoding="utf-8")
        for number, body in enumerate(re.findall(r"^(\{\"query\".*\})$", text, re.MULTILINE)):
            request = orjson.loads(body)
            if request["query"].startswith(("mutation", "subscription")):
                continue
            yield pytest.param(request["query"], request.get("variables") or {}, id=f"{path.name} {number}")
        for number, query in enumerate(re.findall(r"^```graphql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
            if query.startswith("subscription"):
                continue
            yield pytest.param(query, {}, id=f"{path.name}, graphql {number}")


CASES = [
    *_documented(),
    pytest.param(graph.first_query, {}, id="GraphiQL's first query"),
    pytest.param(GRAPHIQL, {}, id="GraphiQL's introspection"),
    pytest.param(FIRST, {}, id="the first query of the end-to-end tests"),
    pytest.param(TREE, {"n": 50}, id="the tree"),
    *[pytest.param(o.query, v, id=f"benchmark {o.name} {i}") for o in benchmarked(["User:9"]) for i, v in enumerate(o.variables[:3])],
]


def test_the_readme_has_a_query() -> None:
    assert any("README.md" in str(case.id) for case in CASES)


@pytest.mark.parametrize(("query", "variables"), CASES)
def test_it_passes_at_the_defaults(shop: Shop, query: str, variables: dict[str, Any]) -> None:
    runner, service = shop
    response = runner.run(service.answer(Request(query, dict(variables)), request_id="test", deadline_s=30))
    assert response.status == 200
    assert "errors" not in orjson.loads(response.body)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
@given(operation=operations(Pool.odd()))
def test_random_operations_pass_at_the_defaults(shop: Shop, operation: Operation) -> None:
    runner, service = shop
    response = runner.run(service.answer(Request(operation.query, dict(operation.variables), operation.operation_name), deadline_s=30))
    assert response.status == 200, response.body[:500]
