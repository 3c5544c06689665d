"""What every HTTP request has: a host of ours, an id, safe headers, one line in the log, and a masked answer where something unexpected was
raised."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import GatewayError, HostNotAllowed
from gateway.http.draining import Drain, ending
from gateway.http.hosts import Hosts
from gateway.http.media import GRAPHQL
from gateway.observability import logs
from gateway.observability.accounts import Account

EXCHANGE = "gateway.exchange"  # the key in the scope
REFUSAL = "gateway.refusal"  # there too: the error with which the connection refuses a request after its head
CLIENT_GONE = 499  # in the log alone

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}").fullmatch
SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_NO_CONTENT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_ALWAYS = b"".join(b"%b: %b\r\n" % header for header in (*SAFE_HEADERS, _NO_CONTENT))
_PROBES = ("/health/live", "/health/ready")
_RETRY_AFTER = (b"retry-after", b"1")

Write = Callable[[int, bytes, bytes], bool]  # status, header lines, body; False where it cannot be


class Exchange:
    """A request and its answer, as the middleware and the endpoint below it share them. Header names are lower case."""

    __slots__ = ("_cycle", "_write", "account", "has_unread_body", "headers", "is_quiet", "received", "request_id", "status")

    def __init__(self, headers: dict[bytes, bytes], request_id: str, write: Write | None = None, cycle: Any = None) -> None:
        self._write = write
        self._cycle = cycle
        self.headers = headers
        self.request_id = request_id
        self.received = 0  # bytes of a body that came in pieces
        self.status = 0  # as long as no answer has started
        self.account: Account | None = None  # of a GraphQL request
        self.has_unread_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        self.is_quiet = True  # a probe, a page, an asset: not worth a line in production

    def take_body(self, most: int) -> bytes | None:
        """Return the request's body, if the connection has all of it and it has at most so many bytes. PERF: a message less, 1.5 µs."""
        if self._write is None:
            return None
        body: bytes | None = self._cycle.take_body(most)
        if body is not None:
            self.has_unread_body = False
        return body

    def answer(self, status: int, headers: bytes, body: bytes) -> bool:
        """Write a whole answer, if the connection can; ``headers`` are lines, and names and values are ours.

        PERF: two messages through ``send`` take 10 µs more, of which uvicorn's look at each header for what must not stand in it is half.
        """
        if self._write is None or not self._write(status, b"%b%bx-request-id: %b\r\n" % (headers, _ALWAYS, self.request_id.encode()), body):
            return False
        self.status = status
        return True

    def cut(self, last: bytes) -> None:
        """End an answer that has begun, behind what its client did not take, if the connection can; else it is cut where it is."""
        write_last = getattr(self._cycle, "write_last", None)
        if write_last is not None:
            write_last(last)

    def end(self) -> None:
        """Let go of the connection, which has this in its scope: in a circle they were left to the garbage collector."""
        self._write = self._cycle = None


class ExchangeMiddleware:
    """Outermost. Pure ASGI: one dictionary, one object and one closure per request.

    Paths of ``direct`` are answered by these applications, which have no pages, and all others by ``app``. Without ``is_whole``
    an answer goes through ``send`` message by message, so that what stands around an endpoint sees it.
    PERF: Starlette's router and its exception handler cost 20 µs, more than all the rest of us (python -m tests.gateway.http.cost).
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Hosts,
        direct: Mapping[str, ASGIApp] | None = None,
        *,
        is_whole: bool = True,
        drain: Drain | None = None,
    ) -> None:
        self.app = app
        self.hosts = hosts
        self._drain = drain
        self.direct = direct or {}
        self._is_whole = is_whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        headers = read_headers(scope)
        # A connection of ours takes an answer in one piece, too (cycle.Cycle).
        cycle = getattr(send, "__self__", None)
        write: Write | None = getattr(cycle, "write_whole", None) if self._is_whole else None
        exchange = scope[EXCHANGE] = Exchange(headers, request_id(headers.get(b"x-request-id")), write, cycle)
        direct = self.direct.get(scope["path"])
        refusal: GatewayError | None = scope.get(REFUSAL)
        if refusal is None and (host := headers.get(b"host")) not in self.hosts.known:
            refusal = self._check_host(scope, host)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                given = message["headers"] = list(message.get("headers", ()))
                given += SAFE_HEADERS
                if exchange.status == 503 and not any(name == b"retry-after" for name, _ in given):
                    given.append(_RETRY_AFTER)
                given.append((b"x-request-id", exchange.request_id.encode()))
                if direct is not None or not any(name == b"content-security-policy" for name, _ in given):
                    given.append(_NO_CONTENT)
            await send(message)

        try:
            if refusal is None:
                await (direct or self.app)(scope, receive, send_with_headers)
            else:
                exchange.is_quiet = False
                await send_error(refusal.http_status, refusal.message, refusal.extensions, send_with_headers)
        except asyncio.CancelledError:
            if exchange.status or self._drain is None or not self._drain.takes_back():
                raise
            error = ending()
            await send_error(error.http_status, error.message, error.extensions, send_with_headers)
        except Exception as exc:
            logs.unexpected(exchange.request_id, exc)
            if exchange.status:  # Too late for another answer: the server closes the connection.
                raise
            extensions = {"code": GatewayError.code, "requestId": exchange.request_id}
            await send_error(GatewayError.http_status, "Internal server error.", extensions, send_with_headers)
        finally:
            exchange.end()
            seconds = perf_counter() - started
            status = exchange.status or CLIENT_GONE
            logs.access(exchange.request_id, scope["method"], scope["path"], status, seconds, exchange.account, quiet=exchange.is_quiet)

    def _check_host(self, scope: Scope, host: bytes | None) -> GatewayError | None:
        # Probes come under whatever name or address the machine has, and old ones without any.
        if scope["path"] in _PROBES:
            if host is None and scope.get("http_version") == "1.0":
                return None
            refusal = self.hosts.refusal(host)
            return refusal if not isinstance(refusal, HostNotAllowed) else None
        return self.hosts.refusal(host)


# An id made here: a random half for the process and a number. Random bytes for each would cost a system call.
_PROCESS = os.urandom(4).hex()
_numbers = itertools.count(int.from_bytes(os.urandom(2)))


def renew_ids() -> None:
    """Make other ids than the process of which this one is a copy."""
    global _PROCESS, _numbers
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


async def send_error(status: int, message: str, extensions: dict[str, Any], send: Send) -> None:
    """Answer with one error, and close the connection: nobody reads what may still come on it."""
    body = orjson.dumps({"errors": [{"message": message, "extensions": extensions}]})
    headers = [
        (b"content-type", GRAPHQL + b"; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
