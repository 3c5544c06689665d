"""/graphql: what is refused, with which status and code, and what an answer's headers are."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.errors import StoreUnavailable
from gateway.service import Request, Response
from tests.gateway.http.fakes import FakeService, make_app

JSON = {"content-type": "application/json"}
GOOD = b'{"query":"{a}"}'
LONG = "secret" * 200


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "".join(str(record.__dict__) for record in caplog.records if record.name.startswith("gateway"))


def _client(service: FakeService, **settings: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(make_app(service, **settings)), base_url="http://gateway")


def code(response: httpx.Response) -> str:
    return str(response.json()["errors"][0]["extensions"]["code"])


async def test_a_post_is_answered(client: httpx.AsyncClient, service: FakeService) -> None:
    body = {"query": "query Q { a }", "variables": {"n": 1}, "operationName": "Q", "extensions": {"x": {}}}
    response = await client.post("/graphql", json=body)
    assert response.status_code == 200
    assert response.json() == {"data": {"query": "query Q { a }"}}
    assert service.requests == [Request("query Q { a }", {"n": 1}, "Q", {"x": {}})]


async def test_null_is_the_same_as_leaving_out(client: httpx.AsyncClient, service: FakeService) -> None:
    await client.post("/graphql", json={"query": "{a}", "variables": None, "operationName": None, "extensions": None})
    assert service.requests == [Request("{a}")]


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"", 400, "BAD_JSON"),
        (b"NONSENSE", 400, "BAD_JSON"),
        (b'{"query":', 400, "BAD_JSON"),
        (b'{"query":"{a}"} x', 400, "BAD_JSON"),
        (b'{"query":"\xff"}', 400, "BAD_JSON"),
        (b"\xef\xbb\xbf" + GOOD, 400, "BAD_JSON"),
        (GOOD.decode().encode("utf-16"), 400, "BAD_JSON"),
        (b'{"query":"\\ud800"}', 400, "BAD_JSON"),
        (b'{"query":"{a}","variables":{"\\udfff":1}}', 400, "BAD_JSON"),
        (b'{"query":"{a}","operationName":"\\ud800"}', 400, "BAD_JSON"),
        (b'{"query":"{a}","variables":{"n":NaN}}', 400, "BAD_JSON"),
        (b'{"query":"{a}","variables":{"n":-Infinity}}', 400, "BAD_JSON"),
        (b'{"query":"{a}","variables":{"n":1e999}}', 400, "BAD_JSON"),
        (b'{"query":"{a}","variables":{"n":18446744073709551616}}', 400, "BAD_JSON"),
        (b'{"query":"{a}","variables":{"n":-9223372036854775809}}', 400, "BAD_JSON"),
        (b'{"query":"{a}","variables":{"n":' + b"7" * 1_500 + b"}}", 400, "BAD_JSON"),
        (b'{"query":"{a}","query":"{b}"}', 400, "BAD_JSON"),
        (b'{"query":"{a}","variables":{"n":[{"a":1,"\\u0061":2}]}}', 400, "BAD_JSON"),
        (b'{"query":"{a}","variables":' + b'{"a":' * 64 + b"1" + b"}" * 65, 400, "BAD_JSON"),
        (b"[" * 65 + b"]" * 65, 400, "BAD_JSON"),
        (b"[" * 1_900, 400, "BAD_JSON"),
        (b"null", 400, "BAD_REQUEST"),
        (b'"x"', 400, "BAD_REQUEST"),
        (b"5", 400, "BAD_REQUEST"),
        (b"true", 400, "BAD_REQUEST"),
        (b"[]", 400, "BAD_REQUEST"),
        (b"[" + GOOD + b"]", 400, "BATCHING_OFF"),
        (b'{"qeury":"{a}"}', 400, "BAD_REQUEST"),
        (b"{}", 400, "BAD_REQUEST"),
        (b'{"query":null}', 400, "BAD_REQUEST"),
        (b'{"query":5}', 400, "BAD_REQUEST"),
        (b'{"query":"{a}","variables":[7]}', 400, "BAD_REQUEST"),
        (b'{"query":"{a}","variables":"x"}', 400, "BAD_REQUEST"),
        (b'{"query":"{a}","extensions":3}', 400, "BAD_REQUEST"),
        (b'{"query":"{a}","operationName":5}', 400, "BAD_REQUEST"),
        (b" " * 2_001, 413, "REQUEST_TOO_LARGE"),
    ],
)
async def test_a_bad_body_is_refused(client: httpx.AsyncClient, service: FakeService, body: bytes, status: int, expected: str) -> None:
    response = await client.post("/graphql", content=body, headers=JSON)
    assert (response.status_code, code(response)) == (status, expected)
    assert "data" not in response.json()
    assert service.requests == []


@pytest.mark.parametrize(
    "variables",
    [
        {"n": 2**64 - 1},
        {"n": -(2**63)},
        {"n": [1.0, -0.0, 1e30]},
        {"a": "🜁 \\ \x7f \u2028 \x1f", "é": None},
        {"deep": json.loads("[" * 62 + "]" * 62)},
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
async def test_a_value_arrives_as_it_was_sent(client: httpx.AsyncClient, service: FakeService, variables: Any, ascii_only: bool) -> None:
    body = json.dumps({"query": "{a}", "variables": variables}, ensure_ascii=ascii_only)
    response = await client.post("/graphql", content=body.encode(), headers=JSON)
    assert response.status_code == 200
    assert service.requests[0].variables == variables


async def test_braces_in_the_query_are_not_depth(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", json={"query": "{" * 500, "variables": {"a": [{}] * 100}})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": 'Application/JSON;charset="UTF-8"'}, 200),
        ({"content-type": "application/json", "content-encoding": "identity"}, 200),
        ({}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/json; charset=latin1"}, 415),
        ({"content-type": "application/jsonx"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
    ],
)
async def test_only_json_in_utf_8_is_read(client: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    response = await client.post("/graphql", content=GOOD, headers=headers)
    assert response.status_code == status
    assert status == 200 or code(response) == "UNSUPPORTED_MEDIA_TYPE"


async def test_two_content_types_are_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", content=GOOD, headers=[("content-type", "application/json")] * 2)
    assert response.status_code == 415


async def test_a_body_without_a_length_is_cut_at_the_limit(client: httpx.AsyncClient, service: FakeService) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000:
            sent += 500
            yield b" " * 500

    response = await client.post("/graphql", content=endless(), headers=JSON)
    assert (response.status_code, code(response)) == (413, "REQUEST_TOO_LARGE")
    assert response.headers["connection"] == "close"
    assert sent < 10_000  # what a refused client may still send is bounded, too
    assert service.requests == []


async def test_a_body_in_parts_is_put_together(client: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for byte in GOOD:
            yield bytes([byte])

    response = await client.post("/graphql", content=parts(), headers=JSON)
    assert response.status_code == 200


@pytest.mark.parametrize("length", ["2001", "10000000000", "9" * 5_000])
async def test_a_length_above_the_limit_is_refused_before_the_body(client: httpx.AsyncClient, length: str) -> None:
    response = await client.post("/graphql", content=b"", headers={**JSON, "content-length": length})
    assert (response.status_code, code(response)) == (413, "REQUEST_TOO_LARGE")
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/graphql")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"


async def test_a_get_is_answered_and_kept_by_nobody(client: httpx.AsyncClient, service: FakeService) -> None:
    parameters = {"query": "{ a }", "variables": '{"n": "é"}', "operationName": "", "extensions": "", "other": "x"}
    response = await client.get("/graphql", params=parameters)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert service.requests == [Request("{ a }", {"n": "é"}, mutation_allowed=False)]


async def test_a_mutation_in_a_get_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql", params={"query": "mutation { a }"})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


async def test_a_get_with_a_body_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.request("GET", "/graphql?query={a}", content=b"query={b}")
    assert response.status_code == 405


@pytest.mark.parametrize(
    ("query_string", "status", "expected"),
    [
        ("", 400, "BAD_REQUEST"),
        ("query={a}&query={b}", 400, "BAD_REQUEST"),
        ("query={a}&variables=[7]", 400, "BAD_REQUEST"),
        ("query={a}&variables={", 400, "BAD_JSON"),
        ("query={a}&extensions=NaN", 400, "BAD_JSON"),
        ("query=%ff", 400, "BAD_JSON"),
        ("query={a}&" + "x=1&" * 30, 400, "BAD_REQUEST"),
        ("query=" + "x" * 8_200, 414, "URI_TOO_LONG"),
    ],
)
async def test_a_bad_get_is_refused(client: httpx.AsyncClient, query_string: str, status: int, expected: str) -> None:
    response = await client.get("/graphql?" + query_string)
    assert (response.status_code, code(response)) == (status, expected)


async def test_production_has_no_get(service: FakeService) -> None:
    transport = httpx.ASGITransport(make_app(service, environment="production"))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.get("/graphql", params={"query": "{a}"})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert service.requests == []


@pytest.mark.parametrize(("given", "expected"), [("plan", "plan"), ("trace", "trace")])
async def test_an_explanation_can_be_asked_for(client: httpx.AsyncClient, service: FakeService, given: str, expected: str) -> None:
    await client.post("/graphql", json={"query": "{a}"}, headers={"x-gateway-explain": given})
    assert service.requests[0].explain == expected


async def test_another_explanation_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", json={"query": "{a}"}, headers={"x-gateway-explain": "all"})
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("accept", "good", "bad"),
    [
        ("application/json", "application/json", "application/graphql-response+json"),
        ("*/*", "application/json", "application/graphql-response+json"),
        ("application/graphql-response+json", "application/graphql-response+json", "application/graphql-response+json"),
    ],
)
async def test_an_answer_has_the_type_that_was_accepted(client: httpx.AsyncClient, accept: str, good: str, bad: str) -> None:
    answered = await client.post("/graphql", json={"query": "{a}"}, headers={"accept": accept})
    partly = await client.post("/graphql", json={"query": "{partial}"}, headers={"accept": accept})
    refused = await client.post("/graphql", json={}, headers={"accept": accept})
    assert [answered.status_code, partly.status_code, refused.status_code] == [200, 200, 400]
    assert [r.headers["content-type"] for r in (answered, partly, refused)] == [f"{t}; charset=utf-8" for t in (good, good, bad)]


async def test_what_cannot_be_accepted_is_said_so(client: httpx.AsyncClient, service: FakeService) -> None:
    response = await client.post("/graphql", json={"query": "{a}"}, headers={"accept": "image/png"})
    assert (response.status_code, code(response)) == (406, "NOT_ACCEPTABLE")
    assert service.requests == []


async def test_a_late_answer_is_a_504() -> None:
    async def forever(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    service = FakeService(forever)
    transport = httpx.ASGITransport(make_app(service, request_deadline_s=0.01))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/graphql", json={"query": "{a}"})
    assert (response.status_code, code(response)) == (504, "DEADLINE_EXCEEDED")
    assert service.cancelled.is_set()


async def test_a_late_request_is_a_408() -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b'{"query":'
        await asyncio.Event().wait()

    transport = httpx.ASGITransport(make_app(request_deadline_s=0.01))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/graphql", content=never(), headers=JSON)
    assert (response.status_code, code(response)) == (408, "REQUEST_TIMEOUT")
    assert response.headers["connection"] == "close"


async def test_an_error_of_the_gateway_keeps_its_code() -> None:
    async def broken(_: Request) -> Response:
        raise StoreUnavailable("users")

    transport = httpx.ASGITransport(make_app(FakeService(broken)))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/graphql", json={"query": "{a}"})
    assert (response.status_code, code(response)) == (503, "STORE_UNAVAILABLE")


# ------------------------------------------------------------------------------------------------------------------ GET


@pytest.fixture
async def strict() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a production that serves GET."""
    transport = httpx.ASGITransport(make_app(environment="production", get=True))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/plain;application/json", "", "x"],
)
async def test_a_get_with_the_type_of_a_form_is_refused(
    client: httpx.AsyncClient, strict: httpx.AsyncClient, service: FakeService, content_type: str
) -> None:
    headers = {"content-type": content_type, "graphql-require-preflight": "1"}
    for browser in (client, strict):
        response = await browser.get("/graphql?query={a}", headers=headers)
        assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert service.requests == []


@pytest.mark.parametrize("name", ["GraphQL-Require-Preflight", "Apollo-Require-Preflight", "X-Apollo-Operation-Name"])
async def test_a_get_in_production_needs_a_header_that_no_form_can_send(strict: httpx.AsyncClient, name: str) -> None:
    without = await strict.get("/graphql?query={a}")
    empty = await strict.get("/graphql?query={a}", headers={name: " "})
    given = await strict.get("/graphql?query={a}", headers={name: "true", "content-type": "application/json"})
    for refused in (without, empty):
        assert (refused.status_code, code(refused)) == (403, "FORBIDDEN")
        assert "GraphQL-Require-Preflight" in refused.json()["errors"][0]["message"]
    assert given.status_code == 200


async def test_a_get_in_production_can_be_had_without_the_header() -> None:
    transport = httpx.ASGITransport(make_app(environment="production", get=True, get_preflight=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.get("/graphql?query={a}")).status_code == 200


async def test_a_get_can_be_off_in_development() -> None:
    transport = httpx.ASGITransport(make_app(get=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.get("/graphql?query={a}")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


# ------------------------------------------------------------------------------------------------------------- deadlines


@pytest.mark.parametrize(
    ("asked", "expected"), [("50", 0.05), ("00750", 0.75), ("10000", 10.0), ("10001", 10.0), ("9" * 5_000, 10.0), (None, 10.0)]
)
async def test_a_client_may_ask_for_a_shorter_deadline(
    client: httpx.AsyncClient, service: FakeService, asked: str | None, expected: float
) -> None:
    headers = {} if asked is None else {"x-gateway-deadline-ms": asked}
    response = await client.post("/graphql", json={"query": "{a}"}, headers=headers)
    assert response.status_code == 200
    assert service.deadlines == [expected]


@pytest.mark.parametrize("asked", ["", "0", "49", "-50", "+50", "50.0", "5e1", "50 ", "x", "0x50", "60, 60"])
@pytest.mark.parametrize("table", ["audit", "draft"])
async def test_a_deadline_that_is_none_is_refused(asked: str, table: str) -> None:
    service = FakeService()
    transport = httpx.ASGITransport(make_app(service, http_statuses=table))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/graphql", json={"query": "{a}"}, headers={"x-gateway-deadline-ms": asked})
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
    assert service.requests == []


async def test_the_endpoint_keeps_the_deadline_that_was_asked_for() -> None:
    async def forever(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    service = FakeService(forever)
    transport = httpx.ASGITransport(make_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/graphql", json={"query": "{a}"}, headers={"x-gateway-deadline-ms": "50"})
    assert (response.status_code, code(response)) == (504, "DEADLINE_EXCEEDED")
    assert response.json()["errors"][0]["message"] == "The request was not answered within 0.05 s."
    assert service.cancelled.is_set()


# ------------------------------------------------------------------------------------------------- what an answer says


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b" " * 2_001, {"code": "REQUEST_TOO_LARGE", "limit": 2_000, "actual": 2_001, "setting": "body_limit_bytes"}),
        (b"[" * 65 + b"]" * 65, {"code": "BAD_JSON", "limit": 64, "setting": "json_depth_max"}),
        (b'{"query":"{a}","variables":{"n":' + b"7" * 100 + b"}}", {"code": "BAD_JSON", "limit": 20, "actual": 100}),
    ],
)
async def test_a_limit_is_named_with_its_size_and_setting(client: httpx.AsyncClient, body: bytes, expected: dict[str, Any]) -> None:
    response = await client.post("/graphql", content=body, headers=JSON)
    (error,) = response.json()["errors"]
    assert error["extensions"] == expected
    assert expected.get("setting", "") in error["message"]


async def test_a_depth_that_is_set_is_the_one_that_holds() -> None:
    transport = httpx.ASGITransport(make_app(json_depth_max=8))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        statuses = [
            (
                await client.post("/graphql", content=b'{"query":"{a}","variables":{"n":%b%b}}' % (b"[" * n, b"]" * n), headers=JSON)
            ).status_code
            for n in (6, 7)
        ]
    assert statuses == [200, 400]


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": LONG},
        {"content-type": LONG},
        {"x-gateway-explain": LONG},
        {"x-gateway-deadline-ms": LONG},
        {"x-request-id": LONG},
        {"host": LONG},
        {"content-type": "application/json", "content-encoding": LONG},
    ],
)
async def test_no_header_comes_back_or_into_the_log(
    client: httpx.AsyncClient, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    response = await client.post("/graphql", content=GOOD, headers={"content-type": "application/json", **headers})
    lines = (
        response.text
        + str(response.headers)
        + "".join(str(record.__dict__) for record in caplog.records if record.name.startswith("gateway"))
    )
    assert LONG[:201] not in lines


async def test_no_name_comes_back_or_into_the_log_at_length(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        await client.request(LONG.upper(), "/graphql"),
        await client.request(LONG.upper(), "/"),
        await client.get("/" + LONG),
        await client.post("/graphql", json={"query": 1, LONG: LONG, "operationName": LONG}),
    ]
    await client.post("/graphql", json={"query": "{a}", "operationName": LONG})
    lines = "".join(a.text + str(a.headers) for a in answers) + logged(caplog)
    assert LONG[:201] not in lines
    assert LONG[:201].upper() not in lines


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        (b"[" + b"1," * 18_000 + b"1]", None),
        (b"[" + b"1," * 21_000 + b"1]", "BAD_JSON"),
        (b"[" + b"1, " * 21_000 + b"1]", "BAD_JSON"),
        (b"[" + b"[]," * 21_000 + b"[]]", "BAD_JSON"),
        (b"[" + b'{"a":1e1},' * 11_000 + b"1]", "BAD_JSON"),
        (b"[" + b"1," * 300_000 + b"1]", "BAD_JSON"),
        (b'["' + b"," * 30_000 + b'"]', None),  # no values, but a text
    ],
)
async def test_a_body_has_so_many_values_at_most(service: FakeService, extensions: bytes, expected: str | None) -> None:
    async with _client(service) as client:
        response = await client.post("/graphql", content=b'{"query":"{a}","extensions":{"x":' + extensions + b"}}", headers=JSON)
    assert response.status_code == (200 if expected is None else 400)
    if expected is not None:
        assert response.json()["errors"][0]["extensions"] == {"code": expected, "limit": 20_000, "setting": "json_values_max"}


async def test_bodies_that_are_half_there_hold_so_much_of_all_clients_together(service: FakeService) -> None:
    wait, waiting = asyncio.Event(), asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b" " * 50_000
        yield b" " * 10_000
        waiting.set()
        await wait.wait()
        yield GOOD

    async with _client(service, bodies_limit_bytes=65_536) as client:
        first = asyncio.create_task(client.post("/graphql", content=half(), headers=JSON))
        await waiting.wait()
        refused = await client.post("/graphql", content=half(), headers=JSON)
        whole = await client.post("/graphql", content=GOOD, headers=JSON)
        wait.set()
        answered = await first
        again = await client.post("/graphql", content=half(), headers=JSON)
    assert (refused.status_code, code(refused), refused.headers["retry-after"]) == (503, "OVERLOADED", "1")
    assert (whole.status_code, answered.status_code, again.status_code) == (200, 200, 200)


# ------------------------------------------------------------------------------------------------------ Idempotency-Key


async def test_an_idempotency_key_is_the_requests(client: httpx.AsyncClient, service: FakeService) -> None:
    for headers in ({}, {"idempotency-key": "k-1"}, {"idempotency-key": "~" * 255}):
        await client.post("/graphql", content=GOOD, headers={**JSON, **headers})
    assert [request.idempotency_key for request in service.requests] == [None, "k-1", "~" * 255]


@pytest.mark.parametrize("key", ["", "k" * 256, "two words", "é", "a\tb"])
async def test_what_is_no_idempotency_key_is_refused(client: httpx.AsyncClient, service: FakeService, key: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", key.encode())]
    response = await client.post("/graphql", content=GOOD, headers=headers)
    assert response.status_code == 400
    assert response.json()["errors"][0]["message"] == "Idempotency-Key must be 1 to 255 visible characters of ASCII."
    assert service.requests == []


async def test_a_request_that_runs_already_is_409_and_says_when_to_try_again() -> None:
    async def answer(request: Request) -> Response:
        return Response(b'{"errors":[]}', 409, retry_after_s=1)

    async with _client(FakeService(answer)) as client:
        response = await client.post("/graphql", content=GOOD, headers=JSON)
    assert response.status_code == 409
    assert response.headers["retry-after"] == "1"


async def test_what_is_committed_is_told_when_the_time_is_up() -> None:
    service = FakeService()

    async def answer(request: Request, *, request_id: str, deadline_s: float, written: list[str], account: object, **_: Any) -> Response:
        written.append("createUser")
        await asyncio.sleep(10)
        return Response(b"{}", 200)

    service.answer = answer  # type: ignore[method-assign]
    async with _client(service, request_deadline_s=0.1) as client:
        response = await client.post("/graphql", content=GOOD, headers=JSON)
    assert response.status_code == 504
    assert response.json()["extensions"] == {"committed": ["createUser"]}
