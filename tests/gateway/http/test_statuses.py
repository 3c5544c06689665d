"""The two tables of status codes (setting ``http_statuses``)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway.config import Settings
from gateway.http.hosts import Hosts
from gateway.http.middleware import ExchangeMiddleware
from gateway.service import Request, Response
from tests.gateway.http.fakes import FakeService, make_app

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"

# What the service answers, by query.
ANSWERS = {
    "whole": Response(b'{"data":{}}', 200),
    "partial": Response(b'{"errors":[],"data":{}}', 200, partial=True),
    "too large": Response(b'{"errors":[],"data":null}', 422, partial=True),
    "syntax": Response(b'{"errors":[]}', 400),
    "validation": Response(b'{"errors":[]}', 422),
    "mutation": Response(b'{"errors":[]}', 405),
    "forbidden": Response(b'{"errors":[]}', 403),
    "conflict": Response(b'{"errors":[]}', 409),
    "broken": Response(b'{"errors":[]}', 500),
    "shed": Response(b'{"errors":[]}', 503),
    "late": Response(b'{"errors":[]}', 504),
}


async def answer(request: Request) -> Response:
    return ANSWERS[request.query]


async def ask(body: Any, accept: str, **settings: Any) -> httpx.Response:
    transport = httpx.ASGITransport(make_app(FakeService(answer), **settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.post("/graphql", json=body, headers={"accept": accept})


@pytest.mark.parametrize(
    ("query", "graphql", "json", "draft"),
    [
        ("whole", 200, 200, 200),
        ("partial", 200, 200, 294),
        ("too large", 200, 200, 422),
        ("syntax", 400, 200, 400),
        ("validation", 400, 200, 422),
        ("mutation", 405, 405, 405),
        ("forbidden", 403, 403, 403),
        ("conflict", 409, 409, 409),
        ("broken", 500, 500, 500),
        ("shed", 503, 503, 503),
        ("late", 504, 504, 504),
    ],
)
async def test_an_answer_has_the_status_of_the_table(query: str, graphql: int, json: int, draft: int) -> None:
    body = {"query": query}
    answers = [await ask(body, GRAPHQL), await ask(body, JSON), await ask(body, "*/*")]
    assert [a.status_code for a in answers] == [graphql, json, json]
    drafts = [await ask(body, accept, http_statuses="draft") for accept in (GRAPHQL, JSON)]
    assert [a.status_code for a in drafts] == [draft, draft]
    # What is no success is a media type of its own, so that no proxy's page is taken for it.
    assert [a.headers["content-type"].partition(";")[0] for a in answers[:2]] == [GRAPHQL, JSON if json < 300 else GRAPHQL]


@pytest.mark.parametrize("body", [{}, {"query": 1}, {"query": "whole", "variables": 1}, 5, "x"])
@pytest.mark.parametrize("accept", [GRAPHQL, JSON])
async def test_what_is_no_graphql_request_is_refused_whatever_is_accepted(body: Any, accept: str) -> None:
    assert (await ask(body, accept)).status_code == 400
    assert (await ask(body, accept, http_statuses="draft")).status_code == 422


async def test_a_503_says_when_to_come_again_and_nothing_else_does() -> None:
    shed, late = await ask({"query": "shed"}, GRAPHQL), await ask({"query": "late"}, GRAPHQL)
    assert shed.headers.get_list("retry-after") == ["1"]
    assert "retry-after" not in late.headers


async def test_a_503_that_says_itself_when_to_come_again_is_left_alone() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": [(b"retry-after", b"30")]})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(ExchangeMiddleware(app, Hosts(Settings())))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/")).headers.get_list("retry-after") == ["30"]
