"""Spans of a gateway of tenants: each says whose request it was, where it was somebody's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.app import create_app
from gateway.http.application import Application
from tests.gateway.observability.test_traces import Kept
from tests.gateway.test_tenants import NAME, Socket, name_in
from tests.tenants.asking import ALPHA, BETA, GRAPH, ask, databases, of, settings_for

TENANT = "crossgraph.tenant"


@asynccontextmanager
async def served(kept: Kept, **settings: Any) -> AsyncIterator[Application]:
    async with databases("sqlite") as urls:
        app = create_app(settings_for(urls, **settings), GRAPH, traces=kept.traces)
        async with app.lifespan():
            yield app


async def test_requests_at_once_have_spans_of_their_tenants_and_batches_below_their_own() -> None:
    kept = Kept()
    async with served(kept) as app:
        asked = [(ALPHA, BETA)[number % 2] for number in range(20)]
        answers = await asyncio.gather(*(ask(app, NAME, of(tenant), ("x-request-id", f"{tenant}{n}")) for n, tenant in enumerate(asked)))
    assert [name_in(answer) for answer in answers] == [f"{tenant} 1" for tenant in asked]
    told = [(dict(span.attributes or {}), span) for span in kept.spans]
    requests = {span.context.span_id: its for its, span in told if span.name == "query"}
    assert sorted(str(its["crossgraph.request_id"]) for its in requests.values()) == sorted(f"{t}{n}" for n, t in enumerate(asked))
    assert all(str(its["crossgraph.request_id"]).startswith(str(its[TENANT])) for its in requests.values())
    batches = [(its, span) for its, span in told if span.name != "query"]
    assert len(batches) == len(asked), "an opening, which is nobody's request, has none"
    for its, span in batches:
        assert span.parent is not None
        assert requests[span.parent.span_id]["crossgraph.request_id"] == its["crossgraph.request_id"]


@pytest.mark.parametrize("given", ["gamma", "secret", ""])
async def test_a_span_of_nobodys_request_has_no_tenant_nor_what_it_said(given: str) -> None:
    kept = Kept()
    async with served(kept) as app:
        assert (await ask(app, NAME, of(given))).status == 404
    [span] = kept.spans
    assert span.attributes is not None
    assert TENANT not in span.attributes
    assert not given or given not in span.to_json()


async def test_an_operation_over_a_socket_is_its_handshakes_tenants() -> None:
    kept = Kept()
    async with served(kept) as app:
        for tenant in (ALPHA, BETA):
            socket = Socket(app, of(tenant))
            assert (await socket.hear())["type"] == "websocket.accept"
            socket.say({"type": "connection_init"})
            assert (await socket.hear())["type"] == "connection_ack"
            socket.say({"type": "subscribe", "id": "1", "payload": {"query": NAME}})
            assert (await socket.hear())["payload"] == {"data": {"user": {"name": f"{tenant} 1"}}}
            await socket.leave()
    assert [(span.attributes or {})[TENANT] for span in kept.spans if span.name == "query"] == [ALPHA, BETA]


async def test_a_request_that_is_refused_after_its_tenant_is_known_is_that_tenants() -> None:
    kept = Kept()
    async with served(kept) as app:
        assert (await ask(app, "{ nothing }", of(BETA))).status == 200
    [span] = kept.spans
    assert span.attributes is not None
    assert span.attributes[TENANT] == BETA
