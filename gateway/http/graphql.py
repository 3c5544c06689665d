"""``/graphql``: an HTTP request to a GraphQL request, and its response back. (GraphQL over HTTP; status codes: statuses.py)"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from functools import partial
from time import monotonic
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from gateway.config import Settings
from gateway.context import NO_VALUES
from gateway.deadlines import Deadlines, Limit
from gateway.errors import (
    BadHttp,
    CallerError,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    MethodNotAllowed,
    NotAcceptable,
    Overloaded,
    RequestTimeout,
    RequestTooLarge,
    Unauthorized,
    UnsupportedMediaType,
    UriTooLong,
)
from gateway.graph.fields import ContextFunction
from gateway.http import requests, statuses
from gateway.http.clients import Clients
from gateway.http.cycle import BUSY
from gateway.http.draining import Drain, ending
from gateway.http.fairness import asking
from gateway.http.gate import Gate
from gateway.http.heads import DEADLINE_MIN_MS, deadline_s, idempotency_key
from gateway.http.identity import values_of
from gateway.http.media import EVENTS, accepted, accepts_events, content_type_of, is_json
from gateway.http.middleware import EXCHANGE, Exchange
from gateway.http.sse import TOKEN, EventStreams, is_about_a_stream, resumed
from gateway.http.watch import Watch
from gateway.http.written import freshness_of, headers_of
from gateway.observability.accounts import Account
from gateway.service import Request, Response, Service
from gateway.stores.routing import Freshness

GRACE_S = 0.2  # how much later than the service's own deadline the request is cut
LOOK_FOR_CLIENT_AFTER_S = 0.1  # from then on a client that leaves ends the work; quick requests do not pay for it
LINGER_S = 1.0
LONG_BODY = 32 * 1024  # bytes; one of 1 MiB takes up to 50 ms to be read strictly, which is done beside the loop
LARGE_BYTES = 64 * 1024  # of an answer that is not added to others that nobody takes

_NO_STORE = (b"cache-control", b"no-store")
_WITH_MORE_HEADERS = (Unauthorized.http_status, MethodNotAllowed.http_status)
_EXPLAIN = {b"plan": "plan", b"trace": "trace"}
# Headers that no page of another origin can send without asking first.
_PREFLIGHT = (b"graphql-require-preflight", b"apollo-require-preflight", b"x-apollo-operation-name")


class _Bodies:
    """Those that are not complete, of all clients."""

    __slots__ = ("receiving",)

    def __init__(self) -> None:
        self.receiving = 0  # bytes


class ClientGoneError(Exception):
    """Nobody waits for an answer any more."""


class GraphQLEndpoint:
    """The ASGI application at ``/graphql``. GET is for queries alone, and only where the settings serve it."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        is_over: Callable[[], bool],
        gate: Gate,
        context: ContextFunction | None,
        clients: Clients,
        drain: Drain,
    ) -> None:
        self.service = self._service = service
        self.settings = settings
        self.events = EventStreams(self, clients)
        self._gate = gate
        self._fair_by = settings.fair_by
        self._context = context
        self._drain = drain
        self._tokens = service.tokens
        self._is_over = is_over  # whether answers that are not taken hold too much memory
        self._settings = settings
        self._statuses = statuses.BY_NAME[settings.http_statuses]
        self._deadlines = Deadlines()
        self._body_limit_bytes = settings.body_limit_bytes
        self._depth_max = settings.json_depth_max
        self._values_max = settings.json_values_max
        self._decoding = ThreadPoolExecutor(1, "gateway-decoding")
        self._bodies = _Bodies()
        self._body_timeout_s = settings.body_timeout_s
        self._deadline_s = settings.request_deadline_s
        self._allow = (b"allow", b"GET, POST" if settings.get else b"POST")

    def change(self, settings: Settings) -> None:
        """Have other settings from now on, of those that can change (``reloading.py``)."""
        self.settings = self._settings = settings
        self._deadline_s = settings.request_deadline_s

    def over(self, service: Service) -> GraphQLEndpoint:
        """Return an endpoint of another service, with streams of events for itself. Limits that are of all clients are of both."""
        other = copy(self)
        other.service = other._service = service
        other._tokens = service.tokens
        other.events = EventStreams(other, self.events.clients)
        return other

    def within(self, seconds: float) -> GraphQLEndpoint:
        """Return itself for one request to which so many seconds are left."""
        late = copy(self)
        late._deadline_s = max(seconds, DEADLINE_MIN_MS / 1_000)
        return late

    def deadline_s(self, exchange: Exchange) -> float:
        """Return the seconds that a request may take; BadHttp where it asks for what cannot be."""
        asked = exchange.headers.get(b"x-gateway-deadline-ms")
        return self._deadline_s if asked is None else min(self._deadline_s, deadline_s(asked))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[EXCHANGE]
        exchange.is_quiet = False
        accepted_type: bytes | None = None
        request: Request | None = None
        challenge: bytes | None = None
        written: list[str] = []
        account = exchange.account = exchange.account or Account()
        tokens = self._tokens
        freshness = None if tokens is None else freshness_of(tokens, exchange.headers)
        deadline_s = self._deadline_s
        try:
            if (TOKEN in exchange.headers or scope["method"] != "POST") and is_about_a_stream(scope, exchange.headers):
                await self.events.single(scope, exchange, receive, send)
                return
            accept = exchange.headers.get(b"accept")
            takes_events = accept is not None and b"event-stream" in accept and accepts_events(accept)
            if b"x-gateway-deadline-ms" in exchange.headers:
                deadline_s = self.deadline_s(exchange)
            limit = self._deadlines.within(deadline_s + GRACE_S)
            with limit:
                accepted_type = self._check(scope, exchange, takes_events=takes_events)
                if self._gate.is_full and exchange.take_body(self._body_limit_bytes) is not None:
                    raise self._gate.refusal()
                # One limit for both, moved between them: a second one would cost every request.
                end = limit.when
                limit.when = end - max(0.0, deadline_s + GRACE_S - self._body_timeout_s)
                request = await self._read(scope, exchange, receive)
                limit.when = end
                account.wanted = request.operation_name
                answered: Any = await self._answer(
                    request, scope, exchange, receive, limit, deadline_s, written, account, takes_events=takes_events, freshness=freshness
                )
            if takes_events and (accepted_type is EVENTS or not isinstance(answered, Response)):
                await self.events.distinct(answered, exchange, receive, send)
                return
            response: Response = answered
        except ClientGoneError:
            return
        except asyncio.CancelledError:
            if not self._drain.takes_back():
                raise
            response = self._service.refuse(ending(), written)
        except TimeoutError:
            response = self._service.refuse(DeadlineExceeded(deadline_s) if request else self._late(deadline_s), written)
        except GatewayError as exc:
            response = self._service.refuse(exc)
            challenge = exc.challenge.encode() if isinstance(exc, Unauthorized) else None

        if len(response.body) > LARGE_BYTES and self._is_over():
            response = self._service.refuse(Overloaded("Too many answers wait to be read by their clients; try again later."), written)
        account.codes = response.codes
        status = response.status
        if status != 200 or response.partial:
            status = self._statuses(response, accepted_type, request is not None)
        content_type = content_type_of(status, accepted_type)
        told = [] if tokens is None or freshness is None else headers_of(tokens, freshness, is_secure=self._settings.is_production)
        if response.retry_after_s or status == BUSY:
            told = [*told, (b"retry-after", b"%d" % (response.retry_after_s or 1))]
        if status not in _WITH_MORE_HEADERS and not exchange.has_unread_body:
            lines = b"%b: %b\r\ncontent-length: %d\r\n%b: %b\r\n" % (*content_type, len(response.body), *_NO_STORE)
            for header in told:
                lines += b"%b: %b\r\n" % header
            if exchange.answer(status, lines, response.body):
                return
        headers = [content_type, (b"content-length", b"%d" % len(response.body)), _NO_STORE, *told]
        if status == MethodNotAllowed.http_status:
            headers.append((b"allow", b"POST") if request else self._allow)
        if challenge is not None:
            headers.append((b"www-authenticate", challenge))
        if exchange.has_unread_body:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": exchange.has_unread_body})
        if exchange.has_unread_body:
            await self._linger(exchange, receive)
            await send({"type": "http.response.body", "body": b""})

    async def read(self, scope: Scope, exchange: Exchange, receive: Receive) -> Request:
        """Return the request of a POST within the time that it may take to come; an error where it is refused whatever its body."""
        exchange.is_quiet = False
        self._check_post(exchange.headers)
        try:
            with self._deadlines.within(self._body_timeout_s):
                return await self._read(scope, exchange, receive)
        except TimeoutError:
            raise self._late(self._deadline_s) from None

    async def values(self, scope: Scope, exchange: Exchange) -> Mapping[str, Any]:
        """Return what the graph's context function gives."""
        if self._context is None:
            return NO_VALUES
        try:
            with self._deadlines.within(self._deadline_s):
                return await values_of(self._context, scope, exchange.request_id)
        except TimeoutError:
            raise DeadlineExceeded(self._deadline_s) from None

    def _check(self, scope: Scope, exchange: Exchange, *, takes_events: bool) -> bytes:
        """Return the media type of a good answer; an error where the request is refused whatever its body."""
        method, headers = scope["method"], exchange.headers
        if method != "POST" and not (method == "GET" and self._settings.get):
            raise MethodNotAllowed(f"{method[:16]} is not allowed here; send a POST.")
        media_type = accepted(headers.get(b"accept"))
        if media_type is None:
            if not takes_events:
                raise NotAcceptable("Answers are application/graphql-response+json or application/json, or text/event-stream.")
            media_type = EVENTS
        if method == "GET":
            self._check_get(scope, exchange)
        else:
            self._check_post(headers)
        return media_type

    def _check_get(self, scope: Scope, exchange: Exchange) -> None:
        headers = exchange.headers
        # A page of another origin may send forms and plain text without asking.
        if b"content-type" in headers and not is_json(headers[b"content-type"]):
            raise UnsupportedMediaType("A GET has no body; a Content-Type of it must be application/json.")
        if exchange.has_unread_body:
            raise MethodNotAllowed("A GET has no body; send a POST.")
        if self._settings.get_preflight and not any(headers.get(name, b"").strip() for name in _PREFLIGHT):
            raise Forbidden("A GET must have the header GraphQL-Require-Preflight with any value; or send a POST (setting get_preflight).")
        limit, size = self._settings.url_limit_bytes, len(scope["query_string"])
        if size > limit:
            message = f"The URL has more than {limit} bytes; send a POST (setting url_limit_bytes)."
            raise UriTooLong(message, limit=limit, actual=size, setting="url_limit_bytes")

    def _check_post(self, headers: dict[bytes, bytes]) -> None:
        if not is_json(headers.get(b"content-type")):
            raise UnsupportedMediaType("The request's Content-Type must be application/json in UTF-8.")
        if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            raise UnsupportedMediaType("The request's body must not be compressed.")
        length = headers.get(b"content-length", b"0")
        # More digits than any limit has are not converted.
        if not length.isdigit() or len(length) > 20 or int(length) > self._body_limit_bytes:
            raise self._too_large(int(length) if length.isdigit() and len(length) <= 20 else None)

    def _too_large(self, size: int | None = None) -> CallerError:
        limit, known = self._body_limit_bytes, {} if size is None else {"actual": size}
        message = f"The request's body has more than {limit} bytes (setting body_limit_bytes)."
        return RequestTooLarge(message, limit=limit, **known, setting="body_limit_bytes")

    def _late(self, deadline_s: float) -> CallerError:
        seconds, setting = min((self._settings.body_timeout_s, "body_timeout_s"), (deadline_s, "request_deadline_s"))
        return RequestTimeout(f"The request did not come within {seconds:g} s (setting {setting}).", setting=setting)

    async def _read(self, scope: Scope, exchange: Exchange, receive: Receive) -> Request:
        explain = exchange.headers.get(b"x-gateway-explain")
        if explain is not None and explain not in _EXPLAIN:
            raise BadHttp("X-Gateway-Explain must be plan or trace.")
        what = _EXPLAIN[explain] if explain is not None else None
        depth_max = self._depth_max
        if scope["method"] == "GET":
            return requests.from_query_string(scope["query_string"], depth_max=depth_max, explain=what)
        key = exchange.headers.get(b"idempotency-key")
        once = None if key is None else idempotency_key(key)
        body = exchange.take_body(self._body_limit_bytes)
        if body is None:
            body = await self._body(exchange, receive)
        if len(body) < LONG_BODY:
            return requests.from_body(body, depth_max=depth_max, values_max=self._values_max, explain=what, idempotency_key=once)
        read = partial(requests.from_body, body, depth_max=depth_max, values_max=self._values_max, explain=what, idempotency_key=once)
        return await asyncio.get_running_loop().run_in_executor(self._decoding, read)

    async def _body(self, exchange: Exchange, receive: Receive) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        if message["type"] == "http.request" and not message.get("more_body", False) and len(body) <= self._body_limit_bytes:
            exchange.has_unread_body = False
            return body
        self._bodies.receiving += len(body)
        try:
            return await self._rest_of_body(exchange, receive, message, [body])
        finally:
            self._bodies.receiving -= exchange.received

    async def _rest_of_body(self, exchange: Exchange, receive: Receive, message: Message, chunks: list[bytes]) -> bytes:
        exchange.received = len(chunks[0])
        while exchange.received <= self._body_limit_bytes:
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if not message.get("more_body", False):
                exchange.has_unread_body = False
                return b"".join(chunks)
            if self._bodies.receiving > self._settings.bodies_limit_bytes:
                raise Overloaded("Too many requests are only half there; try again later (setting bodies_limit_bytes).")
            message = await receive()
            chunk: bytes = message.get("body", b"")
            chunks.append(chunk)
            exchange.received += len(chunk)
            self._bodies.receiving += len(chunk)
        raise self._too_large()

    async def _linger(self, exchange: Exchange, receive: Receive) -> None:
        """Drop what a refused client still sends, a little of it: a connection that is closed on unread data loses the answer too."""
        if b"expect" in exchange.headers:  # It waits, and sends nothing.
            return
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while size <= 2 * self._body_limit_bytes:
                    message = await receive()
                    if not message.get("more_body", False):
                        return
                    size += len(message["body"])

    async def _answer(
        self,
        request: Request,
        scope: Scope,
        exchange: Exchange,
        receive: Receive,
        limit: Limit,
        deadline_s: float,
        written: list[str],
        account: Account,
        *,
        takes_events: bool,
        freshness: Freshness | None,
    ) -> Any:
        """Return the service's answer, or answers, once it is its turn; ClientGoneError when the client leaves while it is made."""
        client, values = "", None
        if self._fair_by:
            begun = monotonic()
            client, values = await asking(self._fair_by, self._context, scope, exchange, account.tenant)
            deadline_s -= monotonic() - begun
        if not self._gate.take(client):
            begun = monotonic()
            await self._gate.enter(client)
            deadline_s -= monotonic() - begun
        watch = Watch(receive, limit.task)
        limit.early(LOOK_FOR_CLIENT_AFTER_S, watch.start)
        answer: Any = self._service.subscribe if takes_events else self._service.answer
        if freshness is not None:
            answer = partial(answer, freshness=freshness)
        request = resumed(request, exchange.headers) if takes_events else request
        try:
            if deadline_s <= 0.0:  # it has gone by in line
                raise TimeoutError
            if self._context is None:
                return await answer(request, request_id=exchange.request_id, deadline_s=deadline_s, written=written, account=account)
            started = monotonic()
            if values is None:
                values = await values_of(self._context, scope, exchange.request_id)
            return await answer(
                request,
                request_id=exchange.request_id,
                deadline_s=deadline_s,
                values=values,
                started=started,
                written=written,
                account=account,
            )
        except asyncio.CancelledError:
            if watch.take_back():
                raise ClientGoneError from None
            raise
        finally:
            self._gate.give_back(client)
            watch.stop()
