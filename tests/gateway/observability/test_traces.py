"""Spans: one for each request below its caller's, one for each batch below that, and none of them with a value."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.config import Settings, StoreSettings
from gateway.context import RequestContext
from gateway.errors import ConfigError, StoreUnavailable
from gateway.http.application import Application
from gateway.observability.traces import Traces, traces_to
from gateway.stores import Stores
from gateway.stores.base import KEYS_PER_CALL, Collection, Column, Get, Request, note
from gateway.stores.memory import MemoryStore
from gateway.stores.tracing import traced
from schema import schema as graph
from tests.collectors import collecting

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
QUERY = 'query Posts { users(first: 2, where: {name: {ne: "hunter2"}}) { nodes { id posts(first: 1) { nodes { id } } } } }'
NOTES = Collection("notes", "paper", (Column("id"), Column("text")))


class Kept:
    """Traces whose spans stay here."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(**options)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = Traces(lambda: provider)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.spans if span.name == name]
        return span


@asynccontextmanager
async def served(kept: Kept) -> AsyncIterator[tuple[httpx.AsyncClient, Application]]:
    settings = Settings(
        stores={name: StoreSettings(url="memory://") for name in graph.store_names}, allowed_hosts=("gateway",), relay=False
    )
    app = create_app(settings, graph, traces=kept.traces)
    async with app.lifespan(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        yield http, app


async def ask(http: httpx.AsyncClient, query: str, headers: Mapping[str, str] = {}) -> httpx.Response:
    return await http.post("/graphql", json={"query": query, "variables": {"secret": "hunter2"}}, headers=headers)


async def test_a_request_is_a_span_below_its_callers_and_each_batch_is_one_below_it() -> None:
    kept = Kept()
    async with served(kept) as (http, _):
        answer = await ask(http, QUERY, {"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "mine"})
    assert answer.status_code == 200
    request = kept.named("query Posts")
    assert request.kind is SpanKind.SERVER
    assert f"{request.context.trace_id:032x}" == TRACE
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == CALLER
    assert request.attributes is not None
    names = ("crossgraph.request_id", "graphql.operation.type", "http.response.status_code")
    assert {name: request.attributes[name] for name in names} == {
        "crossgraph.request_id": "mine", "graphql.operation.type": "query", "http.response.status_code": 200,
    }  # fmt: skip
    assert request.attributes["crossgraph.calls"] == len(kept.spans) - 1
    for span in kept.spans[:-1]:
        assert span.kind is SpanKind.CLIENT
        assert span.parent is not None
        assert span.parent.span_id == request.context.span_id
    assert [span.attributes and span.attributes["db.collection.name"] for span in kept.spans[:-1]] == ["users"]


async def test_no_span_has_a_value_of_the_request() -> None:
    kept = Kept()
    async with served(kept) as (http, _):
        await ask(http, QUERY)
        await ask(http, "query A { nothing(hunter2: 1) }")
    assert len(kept.spans) > 2
    assert "hunter2" not in "".join(span.to_json() for span in kept.spans)


@pytest.mark.parametrize("given", ["", "00-0-0-01", "garbage", f"00-{'0' * 32}-{CALLER}-01"])
async def test_what_is_no_traceparent_begins_a_trace(given: str) -> None:
    kept = Kept()
    async with served(kept) as (http, _):
        await ask(http, "{ __typename }", {"traceparent": given})
    [span] = kept.spans
    assert (span.name, span.parent) == ("query", None)


async def test_an_answer_with_errors_is_told_by_their_codes() -> None:
    kept = Kept()
    async with served(kept) as (http, _):
        await ask(http, "{ nothing }")
    [span] = kept.spans
    assert span.name == "GraphQL"
    assert span.attributes is not None
    assert span.attributes["crossgraph.errors"] == ("GRAPHQL_VALIDATION_FAILED",)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "GRAPHQL_VALIDATION_FAILED")


class Noting(MemoryStore):
    async def answer(self, request: Request[Any]) -> Any:
        note({"aggregate": "notes", "pipeline": [{"$match": {"_id": "hunter2"}}]})
        return await super().answer(request)


@asynccontextmanager
async def asked(kept: Kept, **options: Any) -> AsyncIterator[tuple[RequestContext, Noting]]:
    kept.traces.open()
    store = Noting("paper")
    stores = Stores({"paper": store}, layers=[traced(kept.traces, {"paper": "mongodb"})], **options)
    yield RequestContext(stores, "r1", trace=[], started=time.monotonic()), store
    await kept.traces.close()


@pytest.mark.parametrize("options", [{}, {"slow_s": {"paper": 60.0}}])
async def test_a_batch_of_several_calls_is_one_span(options: dict[str, Any]) -> None:
    kept = Kept()
    async with asked(kept, **options) as (ctx, _):
        await ctx.ask(Get(NOTES, ("text",), [str(number) for number in range(KEYS_PER_CALL + 1)]))
    [span] = kept.spans
    statement = '{"aggregate":"notes","pipeline":[{"$match":{"_id":"?"}}]}'
    assert dict(span.attributes or {}) == {
        "db.system.name": "mongodb", "db.collection.name": "notes", "db.operation.name": "get",
        "db.operation.batch.size": KEYS_PER_CALL + 1, "db.response.returned_rows": 0, "db.query.text": f"{statement}\n{statement}",
        "crossgraph.store": "paper", "crossgraph.request_id": "r1",
    }  # fmt: skip
    assert ctx.trace is not None
    assert len(ctx.trace[0].statements) == 2, "an explanation has them as well"


async def test_a_batch_that_failed_says_with_what_and_no_more() -> None:
    kept = Kept()
    async with asked(kept) as (ctx, store):
        store.fail_with = StoreUnavailable("paper", "hunter2")
        with pytest.raises(StoreUnavailable):
            await ctx.ask(Get(NOTES, ("text",), ["1"]))
    [span] = kept.spans
    assert (span.status.description, span.events) == ("StoreUnavailable", ())
    assert "hunter2" not in span.to_json()


async def test_what_is_not_sampled_is_asked_all_the_same() -> None:
    kept = Kept(sampler=ALWAYS_OFF)
    async with served(kept) as (http, _):
        assert (await ask(http, QUERY)).json()["data"] == {"users": {"nodes": []}}
    assert kept.spans == []


def test_without_the_library_traces_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.observability.traces.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"^traces = 'otlp': expected the extra of the package that sends them, crossgraph\[otel\]"):
        traces_to("", 1.0)


def test_where_nothing_is_traced_the_library_is_not_imported() -> None:
    script = (
        "import sys\nfrom gateway.app import create_app\nfrom gateway.config import Settings, StoreSettings\n"
        "from schema import schema as graph\n"
        "create_app(Settings(stores={name: StoreSettings(url='memory://') for name in graph.store_names}), graph)\n"
        "sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


async def test_spans_are_sent_by_otlp_before_the_end() -> None:
    with collecting() as collector:
        traces = traces_to(collector.url, 1.0)
        traces.open()
        with traces.tracer.start_as_current_span("one"):
            await asyncio.sleep(0)
        await traces.close()
    [(path, body)] = collector.received
    assert path == "/v1/traces"
    assert b"crossgraph" in body
