"""Streams of events (Server-Sent Events) by the protocol of graphql-sse, in both of its modes.

    distinct connections   an operation whose Accept is text/event-stream is answered by a stream of its own
    single connection      PUT reserves a stream and answers its token; GET with the token opens it; POST with the token starts an
                           operation, whose events come on the stream under its ``operationId``; DELETE stops it

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. Events are ``next`` and ``complete``; an event of a subscription has its
cursor as ``id``, so that a browser's EventSource resumes by itself (Last-Event-ID).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from gateway.errors import BadRequest, Conflict, GatewayError, MethodNotAllowed, PageNotFound
from gateway.http.clients import Clients
from gateway.http.conversation import ID_MAX, too_many_subscriptions
from gateway.http.media import EVENTS, GRAPHQL
from gateway.http.middleware import Exchange
from gateway.http.operations import Operations
from gateway.http.outgoing import Outgoing, slow_reader
from gateway.observability.accounts import Account
from gateway.service import Request, Response

if TYPE_CHECKING:
    from gateway.http.graphql import GraphQLEndpoint

TOKEN = b"x-graphql-event-stream-token"
LEAVING_S = 1.0  # for the last events of a stream that ends with the process
HEARTBEAT = b":\n\n"

_HEADERS = [
    (b"content-type", EVENTS + b"; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events back
]


def is_about_a_stream(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a request belongs to the single connection mode."""
    return TOKEN in headers or scope["method"] == "PUT" or (scope["method"] == "GET" and scope["query_string"].startswith(b"token="))


def resumed(request: Request, headers: Mapping[bytes, bytes]) -> Request:
    """Return the request with the cursor that a browser's EventSource has of the last event; one that is said otherwise stands."""
    last = headers.get(b"last-event-id")
    extensions = request.extensions or {}
    if last is None or "cursor" in extensions:
        return request
    return replace(request, extensions={**extensions, "cursor": last.decode(errors="replace")})


class EventStreams:
    """The streams of one endpoint. ``_reserved`` are those of the single connection mode by their token, open or not."""

    def __init__(self, endpoint: GraphQLEndpoint, clients: Clients) -> None:
        self._endpoint = endpoint
        self.clients = clients
        self._reserved: dict[str, _Stream] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no stream is reserved, whose operations would go on without a request."""
        return not self._reserved

    async def distinct(self, answered: Response | AsyncGenerator[Response, None], exchange: Exchange, receive: Receive, send: Send) -> None:
        """Answer with a stream of the events of one operation."""
        refusal = self.clients.refusal
        if refusal is not None:
            raise refusal
        stream = _Stream(self._endpoint, self.clients, exchange.request_id, _Distinct())
        with self.clients.counted(stream):
            stream.operations.go_on("", answered, exchange.account or Account())
            await stream.run(exchange, receive, send)

    async def single(self, scope: Scope, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Answer a request of the single connection mode. GatewayError where it is refused."""
        method = scope["method"]
        if method == "PUT":
            if self._endpoint.settings.workers > 1:  # the next request with its token may be another process's
                raise MethodNotAllowed(
                    "Streams are reserved where one process serves (setting workers); send a POST that accepts text/event-stream."
                )
            if exchange.has_unread_body:
                raise MethodNotAllowed("A PUT reserves a stream of events, and has no body; send a POST.")
            await self._endpoint.values(scope, exchange)  # whoever may ask nothing needs no stream
            await _send(send, 201, self._reserve(exchange).encode(), b"text/plain; charset=utf-8")
            return
        if method not in ("GET", "POST", "DELETE"):
            raise MethodNotAllowed(f"{method[:16]} is not allowed here; send a POST.")
        token, stream = self._stream(scope, exchange)
        if method == "GET":
            if stream.is_open:
                raise Conflict("The stream is open already.")
            try:
                await stream.run(exchange, receive, send)
            finally:
                self._forget(token, stream)
        elif method == "POST":
            await self._start(stream, scope, exchange, receive)
            await _send(send, 202)
        else:
            stream.stop(_operation_id(scope))
            await _send(send, 200)

    def _reserve(self, exchange: Exchange) -> str:
        refusal = self.clients.refusal
        if refusal is not None:
            raise refusal
        token = secrets.token_urlsafe(32)
        stream = self._reserved[token] = _Stream(self._endpoint, self.clients, exchange.request_id, _Single())
        self.clients.add(stream)

        def is_late() -> None:
            if not stream.is_open:
                self._forget(token, stream)

        self.clients.deadlines.alarm(self._endpoint.settings.socket_init_timeout_s, is_late)
        return token

    def _forget(self, token: str, stream: _Stream) -> None:
        if self._reserved.pop(token, None) is not None:
            self.clients.discard(stream)
            for its in stream.operations.ids:
                stream.operations.stop(its)

    def _stream(self, scope: Scope, exchange: Exchange) -> tuple[str, _Stream]:
        given = exchange.headers.get(TOKEN) or b"".join(_parameters(scope).get(b"token", [])[:1])
        token = given.decode("latin-1")
        stream = self._reserved.get(token)
        if stream is None:
            raise PageNotFound("There is no stream of this token; reserve one by PUT.")
        return token, stream

    async def _start(self, stream: _Stream, scope: Scope, exchange: Exchange, receive: Receive) -> None:
        request = await self._endpoint.read(scope, exchange, receive)
        its = (request.extensions or {}).get("operationId")
        if not isinstance(its, str) or not 0 < len(its) <= ID_MAX:
            raise BadRequest(f"extensions.operationId: expected an id of 1 to {ID_MAX} characters.")
        values = await self._endpoint.values(scope, exchange)
        if its in stream.operations:
            raise Conflict("An operation of this operationId runs on the stream.")
        most = self._endpoint.settings.subscriptions_max
        if len(stream.operations) >= most:
            stream.refuse(its, too_many_subscriptions(most))
        else:
            stream.operations.start(its, request, values, exchange.request_id)


class _Distinct:
    """How events are written that are all of one operation."""

    ends_with_operation = True

    def next(self, its: str, body: bytes) -> bytes:  # noqa: ARG002
        return b"event: next\ndata: %b\n\n" % body

    def complete(self, its: str) -> bytes:  # noqa: ARG002
        return b"event: complete\ndata:\n\n"


class _Single:
    """How events are written that are of several operations."""

    ends_with_operation = False

    def next(self, its: str, body: bytes) -> bytes:
        return b'event: next\ndata: {"id":%b,"payload":%b}\n\n' % (orjson.dumps(its), body)

    def complete(self, its: str) -> bytes:
        return b'event: complete\ndata: {"id":%b}\n\n' % orjson.dumps(its)


class _Stream:
    """One stream. ``_ended`` is set once, by whoever has a reason: a code, or None where the client is gone or all is said."""

    kind = "events"

    def __init__(self, endpoint: GraphQLEndpoint, clients: Clients, request_id: str, form: _Distinct | _Single) -> None:
        settings = endpoint.settings
        self._clients = clients
        self._deadlines = clients.deadlines
        self._stalled_s = settings.stream_stalled_s
        self._ping_s = settings.stream_ping_s
        self._id = request_id
        self._form = form
        self._outgoing = Outgoing(settings.stream_queue_max, settings.stream_stalled_s, self._deadlines)
        self._ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.operations = Operations(endpoint.service, settings.request_deadline_s, self._deadlines, self, clients.traces)
        self.is_open = False
        self.task: asyncio.Task[None] | None = None

    async def run(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Send what there is until the stream ends. The answer is complete then, if the client is still there."""
        self.is_open = True
        self.task = asyncio.current_task()
        tasks = [asyncio.ensure_future(self._watch(receive)), asyncio.ensure_future(self._write(send))]
        heartbeat = self._deadlines.alarm(self._ping_s, self._beat)
        self._heartbeat = heartbeat
        code: str | None = None
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            self._outgoing.put_now("", HEARTBEAT)  # some browsers take an answer for begun by its first bytes
            code = await self._ended
            if code == GOING_AWAY:
                await self.operations.answers()
        finally:
            self._heartbeat.cancel()
            running = self.operations.ids
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, self.operations.end(), return_exceptions=True)
        if code is not None:
            self._clients.ended["events", code] += 1
        if code == SLOW:
            error = orjson.dumps({"errors": [slow_reader(self._stalled_s).shown]})
            told = running or [""]
            exchange.cut(b"".join(self._form.next(its, error) + self._form.complete(its) for its in told))
            return
        await self._tell_last(running if code == GOING_AWAY else (), send)

    async def _tell_last(self, running: Iterable[str], send: Send) -> None:
        with suppress(TimeoutError, OSError), self._deadlines.within(LEAVING_S):
            while len(self._outgoing):
                await _send_part(send, await self._outgoing.take())
            for its in running:
                await _send_part(send, self._form.complete(its))
            await send({"type": "http.response.body", "body": b""})

    def leave(self) -> None:
        self._end(GOING_AWAY)

    def cut(self) -> None:
        self.operations.cut()
        self._end(GOING_AWAY)

    def stop(self, its: str) -> None:
        self.operations.stop(its)
        self._outgoing.drop(its)

    def refuse(self, its: str, error: GatewayError) -> None:
        """Tell of an operation that is not begun."""
        self._outgoing.put_now(its, self._form.next(its, orjson.dumps({"errors": [error.shown]})))
        self._outgoing.put_now(its, self._form.complete(its))

    def _end(self, code: str | None) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    # ----------------------------------------------------------------------------------------------------------- tasks

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end(None)

    async def _write(self, send: Send) -> None:
        try:
            while True:
                message = await self._outgoing.take()
                with self._deadlines.within(self._stalled_s):
                    await _send_part(send, message)
        except TimeoutError:
            self.is_slow()
        except OSError:
            self._end(None)

    def _beat(self) -> None:
        if not len(self._outgoing):
            self._outgoing.put_now("", HEARTBEAT)
        self._heartbeat = self._deadlines.alarm(self._ping_s, self._beat)

    # ------------------------------------------------------------------------------------------- what its operations tell

    async def next(self, its: str, response: Response) -> None:
        event = self._form.next(its, response.body)
        cursor = response.cursor
        if cursor is not None and cursor.isprintable():
            event = b"id: %b\n%b" % (cursor.encode(), event)
        await self._outgoing.put(its, event)

    async def error(self, its: str, errors: bytes) -> None:
        await self._outgoing.put(its, self._form.next(its, b'{"errors":%b}' % errors))
        await self.completed(its)

    async def completed(self, its: str) -> None:
        await self._outgoing.put(its, self._form.complete(its))
        if self._form.ends_with_operation:
            self._end(None)

    def is_slow(self) -> None:
        self._end(SLOW)


GOING_AWAY = "GOING_AWAY"
SLOW = "SLOW_READER"


def _parameters(scope: Scope) -> dict[bytes, list[bytes]]:
    query: bytes = scope["query_string"]
    try:
        return parse_qs(query, max_num_fields=20)
    except ValueError:
        raise BadRequest("The URL has more than 20 parameters.") from None


def _operation_id(scope: Scope) -> str:
    given = _parameters(scope).get(b"operationId")
    if not given:
        raise BadRequest("The URL's parameter operationId says which operation is to stop; it is missing.")
    return given[0].decode(errors="replace")


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _send(send: Send, status: int, body: bytes = b"", content_type: bytes = GRAPHQL) -> None:
    headers: list[tuple[bytes, bytes]] = [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    if body:
        headers.append((b"content-type", content_type))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
