"""Requests to start from, on the demo data: good, bad and hostile ones. The soak sends them, the fuzzer of bodies changes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from graphql import get_introspection_query
from hypothesis import HealthCheck, Phase, given, settings

from gateway.preparing import DEMO_SEED, DEMO_USERS
from schema import schema as graph
from tests.benchmarks import operations as benchmarks
from tests.hostile.documents import hostile
from tests.operations import Operation, Pool, operations
from tests.oracle.invalid import invalid_operations
from tests.oracle.rows import Rows

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Sample:
    """A request by name, as its parts."""

    name: str
    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None

    @property
    def body(self) -> bytes:
        """The body of a POST, as most clients write it."""
        fields: dict[str, Any] = {"query": self.query}
        if self.variables:
            fields["variables"] = self.variables
        if self.operation_name is not None:
            fields["operationName"] = self.operation_name
        return json.dumps(fields).encode()


def good() -> list[Sample]:
    """Return the README's queries, GraphiQL's first one, and the benchmarks': what people send."""
    asked = benchmarks.operations([f"User:{number}" for number in range(1, DEMO_USERS + 1)])
    return [
        *(Sample(f"README {number}", query) for number, query in enumerate(readme_queries(), start=1)),
        Sample("GraphiQL's first query", graph.first_query),
        *(Sample(operation.title, operation.query, variables) for operation in asked for variables in operation.variables[:5]),
    ]


def readme_queries() -> list[str]:
    """Return the queries of the README's JSON bodies."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    asked = [json.loads(line)["query"] for line in re.findall(r'^\{"query": .+\}$', text, re.MULTILINE)]
    return [query for query in asked if not query.startswith("mutation")]  # which are sent again and again here


def introspection() -> list[Sample]:
    """Return what GraphiQL asks at its start, and the oldest form of it."""
    return [
        Sample("GraphiQL's introspection", get_introspection_query(specified_by_url=True, input_value_deprecation=True)),
        Sample("introspection without descriptions", get_introspection_query(descriptions=False)),
    ]


def bad() -> list[Sample]:
    """Return the table of operations that must be refused."""
    return [Sample(bad.name, bad.query, bad.variables, bad.operation_name) for bad in invalid_operations() if bad.cursor_from is None]


def hostile_ones() -> list[Sample]:
    """Return the documents that are made to cost much."""
    return [Sample(one.name, one.query, one.variables, one.operation_name) for one in hostile()]


def generated(count: int) -> list[Sample]:
    """Return valid operations over the whole contract that ask for what the demo data has; the same ones for the same count."""
    found: list[Operation] = []

    @settings(
        max_examples=count, phases=[Phase.generate], database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(operations(demo_pool()))
    def collect(operation: Operation) -> None:
        found.append(operation)

    collect()
    return [Sample(f"generated {n}", o.query, o.variables, o.operation_name) for n, o in enumerate(found, start=1)]


@cache
def demo_pool() -> Pool:
    """Return the keys, texts and times of the demo data."""
    assert graph.demo is not None
    tables: dict[str, list[dict[str, Any]]] = {"users": [], "posts": [], "events": []}
    for collection, rows in graph.demo(DEMO_USERS, DEMO_SEED):
        if collection.name in tables:
            tables[collection.name] += _named([column.name for column in collection.columns], rows)
    return Pool.from_rows(Rows(**tables, follows=[]))


def _named(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]
