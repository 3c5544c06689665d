"""What every HTTP request has: an id, safe headers, one line in the log, and a masked answer where something unexpected was raised."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from time import perf_counter

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.media import GRAPHQL
from gateway.observability import logs

EXCHANGE = "gateway.exchange"  # the key in the scope
CLIENT_GONE = 499  # in the log alone

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}").fullmatch
_SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_NO_CONTENT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class Exchange:
    """A request and its answer, as the middleware and the endpoint below it share them. Header names are lower case."""

    __slots__ = ("has_unread_body", "headers", "is_quiet", "operation", "request_id", "status")

    def __init__(self, headers: dict[bytes, bytes], request_id: str) -> None:
        self.headers = headers
        self.request_id = request_id
        self.status = 0  # as long as no answer has started
        self.operation: str | None = None
        self.has_unread_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        self.is_quiet = True  # a probe, a page, an asset: not worth a line in production


class ExchangeMiddleware:
    """Outermost. Pure ASGI: one dictionary, one object and one closure per request.

    Paths of ``direct`` are answered by these applications, which have no pages, and all others by ``app``.
    PERF: Starlette's router and its exception handler cost 20 µs, more than all the rest of us (python -m tests.gateway.http.cost).
    """

    def __init__(self, app: ASGIApp, direct: Mapping[str, ASGIApp] | None = None) -> None:
        self.app = app
        self.direct = direct or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        headers = read_headers(scope)
        exchange = scope[EXCHANGE] = Exchange(headers, request_id(headers.get(b"x-request-id")))
        direct = self.direct.get(scope["path"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                given = message["headers"] = list(message.get("headers", ()))
                given += _SAFE_HEADERS
                given.append((b"x-request-id", exchange.request_id.encode()))
                if direct is not None or not any(name == b"content-security-policy" for name, _ in given):
                    given.append(_NO_CONTENT)
            await send(message)

        try:
            await (direct or self.app)(scope, receive, send_with_headers)
        except Exception as exc:
            logs.unexpected(exchange.request_id, exc)
            if exchange.status:  # Too late for another answer: the server closes the connection.
                raise
            await _send_masked(exchange, send_with_headers)
        finally:
            seconds = perf_counter() - started
            status = exchange.status or CLIENT_GONE
            logs.access(exchange.request_id, scope["method"], scope["path"], status, seconds, exchange.operation, quiet=exchange.is_quiet)


# An id made here: a random half for the process and a number. Random bytes for each would cost a system call.
_PROCESS = os.urandom(4).hex()
_numbers = itertools.count(int.from_bytes(os.urandom(2)))


def read_headers(scope: Scope) -> dict[bytes, bytes]:
    """Return the request's headers by name; equal names are joined with a comma (RFC 9110, 5.3)."""
    listed = scope["headers"]
    headers: dict[bytes, bytes] = dict(listed)
    if len(headers) == len(listed):
        return headers
    joined: dict[bytes, bytes] = {}
    for name, value in listed:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def request_id(given: bytes | None) -> str:
    """Return the client's id where it is sane, else a new one of 16 hexadecimal digits."""
    if given is not None and _SANE_ID(given):
        return given.decode("ascii")
    return f"{_PROCESS}{next(_numbers):08x}"


async def _send_masked(exchange: Exchange, send: Send) -> None:
    error = {"message": "Internal server error.", "extensions": {"code": "INTERNAL_SERVER_ERROR", "requestId": exchange.request_id}}
    body = orjson.dumps({"errors": [error]})
    headers = [(b"content-type", GRAPHQL + b"; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
