"""Request ids, safe headers, access lines and masked errors."""

from __future__ import annotations

import logging
import re

import httpx
import pytest

from gateway.service import Request, Response
from tests.gateway.http.fakes import FakeService, make_app

OWN_ID = re.compile("[0-9a-f]{16}")


async def test_a_sane_id_is_kept(client: httpx.AsyncClient, service: FakeService) -> None:
    response = await client.post("/graphql", json={"query": "{a}"}, headers={"x-request-id": "Trace-1_2.3"})
    assert response.headers["x-request-id"] == "Trace-1_2.3"
    assert service.request_ids == ["Trace-1_2.3"]


@pytest.mark.parametrize("given", [b"", b"x" * 65, b"a b", b"a\x1b[31m", b"\xff", b"a/b"])
async def test_another_id_is_replaced(client: httpx.AsyncClient, service: FakeService, given: bytes) -> None:
    response = await client.post("/graphql", json={"query": "{a}"}, headers={b"x-request-id": given})
    assert OWN_ID.fullmatch(response.headers["x-request-id"])
    assert service.request_ids == [response.headers["x-request-id"]]


@pytest.mark.parametrize("path", ["/graphql?query={a}", "/health/live", "/nothing", "/graphql"])
async def test_every_json_answer_has_the_safe_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nothing", 404, "NOT_FOUND"), ("GET", "/graphql/", 404, "NOT_FOUND"), ("POST", "/", 405, "METHOD_NOT_ALLOWED")],
)
async def test_other_addresses_are_refused_in_the_same_form(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert response.json()["errors"][0]["extensions"]["code"] == code


async def test_a_request_is_one_line_without_its_text(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    body = {"query": "query Q { secret }", "operationName": "Q", "variables": {"p": "secret"}}
    response = await client.post("/graphql?token=secret", json=body, headers={"x-request-id": "r1"})
    (record,) = [r for r in caplog.records if r.name == "gateway.access"]
    fields = record.__dict__["fields"]
    assert fields.pop("ms") >= 0
    assert fields == {"request": "r1", "method": "POST", "path": "/graphql", "status": response.status_code, "operation": "Q"}


async def test_probes_are_not_logged_in_production(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    await client.get("/health/live")
    assert [r for r in caplog.records if r.name == "gateway.access"] == []


async def test_an_unknown_error_is_masked_and_its_id_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Request) -> Response:
        raise RuntimeError("connect to postgresql://user:password@host failed")

    transport = httpx.ASGITransport(make_app(FakeService(broken)))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/graphql", json={"query": "{a}"})
    assert response.status_code == 500
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": response.headers["x-request-id"]}
    assert "password" not in response.text
    (record,) = [r for r in caplog.records if r.name == "gateway.errors"]
    assert record.__dict__["fields"] == {"request": error["extensions"]["requestId"]}
    assert record.exc_info is not None
