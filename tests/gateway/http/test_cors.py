"""Pages of other origins: preflights, simple requests, and those of nobody we know. Over sockets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.http.fakes import FakeService
from tests.gateway.http.wire import Answer, post, run, serving

OURS = "https://app.example.com"
FOREIGN = "https://evil.example"
ALLOWED = ("access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-methods")


def preflight(origin: str, *headers: str, path: str = "/graphql", method: str = "POST", asks: str = "content-type") -> bytes:
    lines = (
        f"OPTIONS {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nOrigin: {origin}",
        f"Access-Control-Request-Method: {method}",
        f"Access-Control-Request-Headers: {asks}",
        *headers,
        "\r\n",
    )
    return "\r\n".join(lines).encode()


def query(origin: str) -> bytes:
    return post(b'{"query":"{a}"}', f"Origin: {origin}".encode(), b"Connection: close")


def given(answer: Answer) -> dict[str, str]:
    return {name: answer.headers[name] for name in ALLOWED if name in answer.headers}


def asked(message: bytes, service: FakeService | None = None, **settings: Any) -> Answer:
    answers = []

    async def test() -> None:
        async with serving(service, **settings) as wire:
            answers.append(await wire.ask(message))

    run(test())
    return answers[0]


@pytest.mark.parametrize("asks", ["content-type", "authorization, x-request-id", "graphql-require-preflight", "x-tenant"])
def test_a_preflight_of_a_known_origin_is_answered(asks: str) -> None:
    service = FakeService()
    answer = asked(preflight(OURS, asks=asks), service, cors_origins=(OURS,), cors_headers=("X-Tenant",))
    assert answer.status == 200
    assert given(answer) == {"access-control-allow-origin": OURS, "access-control-allow-methods": "GET, POST, PUT, DELETE"}
    assert answer.headers["access-control-max-age"] == "600"
    assert "Origin" in answer.headers["vary"]
    assert asks.split(",")[0] in answer.headers["access-control-allow-headers"].lower()
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-request-id" in answer.headers
    assert service.requests == []


def test_a_known_origin_reads_the_answer() -> None:
    answer = asked(query(OURS), cors_origins=("https://other.example", OURS))
    assert (answer.status, given(answer)) == (200, {"access-control-allow-origin": OURS})
    assert answer.headers["access-control-expose-headers"] == "Retry-After, X-Gateway-Written, X-Request-Id"
    assert "Origin" in answer.headers["vary"]
    assert answer.body == b'{"data":{"query":"{a}"}}'


def test_a_known_origin_reads_what_is_wrong_too() -> None:
    answer = asked(post(b"{", f"Origin: {OURS}".encode(), b"Connection: close"), cors_origins=(OURS,))
    assert (answer.status, answer.code, given(answer)) == (400, "BAD_JSON", {"access-control-allow-origin": OURS})


def test_a_foreign_origin_gets_no_permission() -> None:
    refused = asked(preflight(FOREIGN), cors_origins=(OURS,))
    assert refused.status == 400
    assert "access-control-allow-origin" not in refused.headers
    assert given(asked(query(FOREIGN), cors_origins=(OURS,))) == {}
    assert given(asked(query("null"), cors_origins=(OURS,))) == {}


def test_what_a_page_sends_without_asking_runs_nothing() -> None:
    service = FakeService()
    form = b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nOrigin: %b\r\nContent-Type: text/plain\r\n" % FOREIGN.encode()
    answer = asked(form + b'Content-Length: 15\r\n\r\n{"query":"{a}"}', service, cors_origins=("*",))
    assert (answer.status, answer.code, service.requests) == (415, "UNSUPPORTED_MEDIA_TYPE", [])


@pytest.mark.parametrize("asks", ["x-other", "content-type, x-other"])
def test_a_header_that_nobody_named_is_refused(asks: str) -> None:
    assert asked(preflight(OURS, asks=asks), cors_origins=(OURS,)).status == 400


def test_a_method_that_is_not_served_is_refused() -> None:
    assert asked(preflight(OURS, method="PATCH"), cors_origins=(OURS,)).status == 400


def test_credentials_are_a_setting() -> None:
    expected = {"access-control-allow-origin": OURS, "access-control-allow-credentials": "true"}
    assert given(asked(query(OURS), cors_origins=(OURS,), cors_credentials=True)) == expected
    assert given(asked(preflight(OURS), cors_origins=(OURS,), cors_credentials=True)).items() >= expected.items()


def test_any_origin_is_any_and_gets_no_credentials() -> None:
    assert given(asked(query(FOREIGN), cors_origins=("*",))) == {"access-control-allow-origin": "*"}
    assert given(asked(preflight(FOREIGN), cors_origins=("*",)))["access-control-allow-origin"] == "*"


def test_without_the_setting_there_is_no_permission() -> None:
    refused = asked(preflight(OURS))
    assert (refused.status, refused.code) == (405, "METHOD_NOT_ALLOWED")
    assert given(refused) == given(asked(query(OURS))) == {}


@pytest.mark.parametrize("path", ["/metrics", "/health/ready", "/", "/nothing"])
def test_other_paths_are_for_no_other_origin(path: str) -> None:
    get = f"GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nOrigin: {OURS}\r\n\r\n".encode()
    assert given(asked(get, cors_origins=(OURS,))) == {}
    assert asked(preflight(OURS, path=path), cors_origins=(OURS,)).status in (404, 405)


def test_a_host_that_is_not_ours_is_refused_before() -> None:
    message = preflight(OURS).replace(b"Host: gateway", b"Host: rebound.example")
    assert asked(message, cors_origins=(OURS,)).status == 421
