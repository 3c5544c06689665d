"""What is told of requests: their line in the log and their metrics, through HTTP, over stores in memory."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from gateway.config import Settings, StoreSettings
from gateway.context import RequestContext
from gateway.errors import StoreUnavailable
from gateway.observability import logs
from gateway.observability.metrics import Histogram
from gateway.preparing import connect
from gateway.service import Service
from gateway.stores.memory import MemoryStore
from schema import schema as graph
from tests.gateway.http.fakes import make_app
from tests.oracle.rows import odd_rows
from tests.services import memory_stores

QUERY = "query Posts { users(first: 2) { nodes { posts(first: 1) { nodes { id } } } } }"
SECRET = 'query Mine { users(where: {name: {eq: "hunter2"}}) { nodes { id } } }'


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root, own = logging.getLogger(), logging.getLogger("gateway")
    before = root.handlers, root.level, own.level
    stream = io.StringIO()
    logs.configure("production", stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])


@asynccontextmanager
async def client() -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, MemoryStore]]]:
    stores, memory = await memory_stores(odd_rows())
    app = make_app(Service(graph, stores), stores)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        yield http, memory


def requests_in(stream: io.StringIO) -> list[dict[str, Any]]:
    found = map(orjson.loads, stream.getvalue().splitlines())
    return [line for line in found if line["message"] == "request" and line["path"] == "/graphql"]


async def test_a_request_is_one_line_of_what_it_did(lines: io.StringIO) -> None:
    async with client() as (http, _):
        for _ in range(2):
            assert (await http.post("/graphql", json={"query": QUERY}, headers={"x-request-id": "mine"})).status_code == 200
    first, second = requests_in(lines)
    counted = {name: first[name] for name in ("request", "operation", "type", "calls", "keys", "rows")}
    assert counted == {"request": "mine", "operation": "Posts", "type": "query", "calls": 2, "keys": 2, "rows": 2 + len(sample_posts())}
    assert (first["document_hit"], first["plan_hit"]) == (False, False)
    assert (second["document_hit"], second["plan_hit"]) == (True, True)
    assert first["hash"] == second["hash"]
    assert "errors" not in first


def sample_posts() -> set[str]:
    """Authors among the first two users who have a post: each gives one row."""
    rows = odd_rows()
    users = sorted(row["id"] for row in rows.users)[:2]
    return {post["author_id"] for post in rows.posts if post["author_id"] in users}


async def test_errors_are_told_by_code_and_values_are_not(lines: io.StringIO) -> None:
    async with client() as (http, memory):
        memory["users"].fail_with = StoreUnavailable("users")
        answer = await http.post("/graphql", json={"query": SECRET, "variables": {"mail": "ada@example.org"}})
        assert answer.json()["errors"]
        await http.post("/graphql", json={"query": "{ nothing }", "operationName": "ada@example.org"})
    failed, refused = requests_in(lines)
    assert failed["errors"] == {"STORE_UNAVAILABLE": 1}
    assert refused["errors"] == {"GRAPHQL_VALIDATION_FAILED": 1}
    assert "hunter2" not in lines.getvalue()
    assert "ada" not in lines.getvalue()


async def test_metrics_have_durations_by_type_and_store_and_errors_by_code() -> None:
    async with client() as (http, memory):
        await http.post("/graphql", json={"query": QUERY})
        memory["users"].fail_with = StoreUnavailable("users")
        await http.post("/graphql", json={"query": QUERY})
        await http.post("/graphql", json={"query": "{"})
        told = (await http.get("/metrics")).text
    assert re.search(r'^gateway_operation_duration_seconds_count\{type="query"\} 2\.0$', told, re.M)
    assert re.search(r'^gateway_operation_duration_seconds_count\{type="none"\} 1\.0$', told, re.M)
    assert re.search(r'^gateway_store_call_duration_seconds_bucket\{le="10",store="posts"\} \d', told, re.M)
    assert re.search(r'^gateway_errors_total\{code="STORE_UNAVAILABLE"\} 1\.0$', told, re.M)
    assert re.search(r'^gateway_errors_total\{code="GRAPHQL_PARSE_FAILED"\} 1\.0$', told, re.M)
    assert "# TYPE gateway_operation_duration_seconds histogram" in told


async def test_codes_of_an_authors_own_are_counted_up_to_a_bound() -> None:
    stores, _ = await memory_stores()
    service = Service(graph, stores)
    for number in range(300):
        service._counted([{"message": "", "extensions": {"code": f"MINE_{number}"}}])
    assert service._counted([{"message": "", "extensions": {"code": ["no", "text"]}}]) == ("OTHER",)
    assert service._counted([{"message": "", "extensions": {"code": "MINE_7"}}]) == ("MINE_7",)
    assert len(service.errors) == 101
    assert service.errors["OTHER"] == 201


def test_a_histogram_counts_each_time_once_and_its_buckets_add_up() -> None:
    histogram = Histogram()
    for seconds in (0.0005, 0.001, 0.3, 99.0):
        histogram.observe(seconds)
    buckets = dict(histogram.buckets)
    assert (buckets["0.001"], buckets["0.25"], buckets["0.5"], buckets["10"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert histogram.sum == pytest.approx(99.3015)


async def test_a_context_of_its_own_counts_for_itself() -> None:
    stores, _ = await memory_stores()
    one, other = RequestContext(stores), RequestContext(stores)
    one.account.calls += 1
    assert other.account.calls == 0


async def test_clients_cannot_make_metrics_of_their_own() -> None:
    def series(told: str) -> set[str]:
        return {line.rpartition(" ")[0] for line in told.splitlines() if not line.startswith("#")}

    async with client() as (http, _):

        async def ask_all(round_: int) -> set[str]:
            for number in range(3 if not round_ else 50):
                name = f"n{round_}x{number}"
                await http.post("/graphql", json={"query": f"query {name} {{ {name} }}"})
                await http.post("/graphql", json={"query": f"query {name} {{ {name}: __typename }}", "operationName": name})
                await http.post("/graphql", json={"query": f"{{ {name}: __typename", "extensions": {name: name}})
                await http.request("GET", f"/{name}?{name}", headers={"x-request-id": name})
                await http.request(name.upper(), "/graphql")
            return series((await http.get("/metrics")).text)

        first = await ask_all(0)
        assert await ask_all(1) == first


def test_commands_that_have_no_log_tell_of_no_slow_calls() -> None:
    settings = Settings(stores={"notes": StoreSettings(url="memory://")}, slow_query_ms=5)
    assert connect(settings).funnel.watches["notes"].slow_s is None
    assert connect(settings, tells_slow=True).funnel.watches["notes"].slow_s == 0.005
