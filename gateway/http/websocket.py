"""``/graphql`` as a WebSocket: operations over graphql-transport-ws, several at a time over one socket.

``conversation.py`` says what a message leads to; here it is done: a task reads, one writes, and each operation has its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from copy import copy
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.types import Message, Receive, Scope, Send

from gateway.config import Settings, normal_origin
from gateway.context import NO_VALUES
from gateway.errors import BadHttp, CallerError, Forbidden, GatewayError, SlowReader, Unauthorized
from gateway.graph.fields import ContextFunction
from gateway.http import conversation
from gateway.http.clients import Clients
from gateway.http.conversation import SUBPROTOCOL, Close, Conversation, Greet, Start, Stop
from gateway.http.conversation import Send as SendNow
from gateway.http.frames import SWITCHED, handshake_problem
from gateway.http.hosts import Hosts
from gateway.http.identity import values_of
from gateway.http.media import GRAPHQL
from gateway.http.middleware import SAFE_HEADERS, read_headers, request_id
from gateway.http.operations import Operations
from gateway.http.outgoing import Outgoing
from gateway.observability import logs
from gateway.service import Response, Service

LEAVING_S = 1.0  # for the last messages of a socket that ends with the process

_log = logging.getLogger("gateway.http")


# The service that a handshake is about, for as long as the block lasts; GatewayError where it is refused.
_Services = Callable[[Scope, Mapping[bytes, bytes]], AbstractAsyncContextManager[Service]]


class SocketEndpoint:
    """The ASGI application of websockets."""

    def __init__(self, service: Service, settings: Settings, hosts: Hosts, clients: Clients, context: ContextFunction | None) -> None:
        self.service = service
        self.settings = settings
        self.clients = clients
        self.context = context
        self._hosts = hosts

    def change(self, settings: Settings) -> None:
        """Have other settings from now on, of those that can change (``reloading.py``)."""
        self.settings = settings

    def over(self, service: Service) -> SocketEndpoint:
        """Return an endpoint of another service."""
        other = copy(self)
        other.service = service
        return other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send, service: _Services | None = None) -> None:
        """Serve a socket; ``service`` gives the service that is asked, or refuses, once nothing else is against it. None: its own."""
        started = perf_counter()
        headers = read_headers(scope)
        its = request_id(headers.get(b"x-request-id"))
        message = await receive()
        assert message["type"] == "websocket.connect"
        code = 0
        try:
            refusal = self._refusal(scope, headers)
            if refusal is not None:
                code = refusal.http_status
                await _refuse(refusal, its, send)
                return
            async with AsyncExitStack() as held:
                endpoint = self
                if service is not None:
                    try:
                        endpoint = self.over(await held.enter_async_context(service(scope, headers)))
                    except GatewayError as error:
                        code = error.http_status
                        await _refuse(error, its, send)
                        return
                await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL, "headers": [(b"x-request-id", its.encode())]})
                code = SWITCHED
                if self.clients.refusal is not None:
                    self.clients.ended["socket", str(conversation.TOO_MANY)] += 1
                    await send({"type": "websocket.close", "code": conversation.TOO_MANY, "reason": "Too many sockets"})
                    return
                client = _Client(endpoint, scope, its, receive, send)
                with self.clients.counted(client):
                    await client.run()
        finally:
            logs.access(its, "GET", scope["path"], code, perf_counter() - started, None, quiet=False)

    def _refusal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> GatewayError | None:
        if (host := headers.get(b"host")) not in self._hosts.known and (refusal := self._hosts.refusal(host)) is not None:
            return refusal
        if (problem := handshake_problem(scope["headers"])) is not None:
            return BadHttp(problem)
        if not may_open(headers, self.settings):
            return Forbidden("Pages of this origin may open no socket here (setting cors_origins).", setting="cors_origins")
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
            return BadHttp(f"A socket's subprotocol must be {SUBPROTOCOL}.")
        return None


def may_open(headers: Mapping[bytes, bytes], settings: Settings) -> bool:
    """Return whether the page that asks, if one does, is of our own origin or of one of ``cors_origins``.

    A browser asks nobody before it opens a socket for a page of another origin, and sends our cookies (cross-site hijacking).
    """
    return b"origin" not in headers or is_own(headers) or "*" in settings.cors_origins or _origin(headers) in settings.cors_origins


def is_own(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a page's origin is where it asks. A proxy may have another scheme than we do, so only host and port are looked at."""
    origin = _origin(headers)
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if origin is None:
        return False
    scheme = urlsplit(origin).scheme
    try:
        return origin == normal_origin(f"{scheme}://{host}")
    except ValueError:
        return False


def _origin(headers: Mapping[bytes, bytes]) -> str | None:
    try:
        return normal_origin(headers[b"origin"].decode("latin-1"))
    except (KeyError, ValueError):
        return None


async def _refuse(error: GatewayError, its: str, send: Send) -> None:
    body = orjson.dumps({"errors": [error.shown]})
    headers = [
        (b"content-type", GRAPHQL + b"; charset=utf-8"),
        (b"cache-control", b"no-store"),
        *SAFE_HEADERS,
        (b"x-request-id", its.encode()),
    ]
    await send({"type": "websocket.http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


class _Client:
    """One socket. ``_ended`` is set once, by whoever has a reason: a Close, or None where the client is gone."""

    kind = "socket"

    def __init__(self, endpoint: SocketEndpoint, scope: Scope, its: str, receive: Receive, send: Send) -> None:
        settings, deadlines = endpoint.settings, endpoint.clients.deadlines
        self._endpoint = endpoint
        self._scope = scope
        self._id = its
        self._receive = receive
        self._send = send
        self._deadlines = deadlines
        self._stalled_s = settings.stream_stalled_s
        self._conversation = Conversation(
            subscriptions_max=settings.subscriptions_max,
            json_depth_max=settings.json_depth_max,
            json_values_max=settings.json_values_max,
        )
        self._outgoing = Outgoing(settings.stream_queue_max, settings.stream_stalled_s, deadlines)
        self._operations = Operations(endpoint.service, settings.request_deadline_s, deadlines, self, endpoint.clients.traces)
        self._values: Mapping[str, Any] = NO_VALUES
        self._ended: asyncio.Future[Close | None] = asyncio.get_running_loop().create_future()
        self._greeting: asyncio.Task[None] | None = None
        self._count = 0
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self.task = asyncio.current_task()
        late = self._deadlines.alarm(self._endpoint.settings.socket_init_timeout_s, self._init_is_late)
        tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write())]
        close: Close | None = None
        try:
            close = await self._ended
            if close is not None and close.code == conversation.GOING_AWAY:
                tasks[0].cancel()  # nothing more is begun
                await self._operations.answers()
        finally:
            late.cancel()
            running = self._operations.ids
            for task in (*tasks, self._greeting):
                if task is not None:
                    task.cancel()
            await asyncio.gather(*tasks, *([self._greeting] if self._greeting else []), self._operations.end(), return_exceptions=True)
        if close is None:
            return
        self._endpoint.clients.ended["socket", str(close.code)] += 1
        if close.code == conversation.GOING_AWAY:
            await self._tell_last(running)
        await self._send({"type": "websocket.close", "code": close.code, "reason": close.reason})

    def leave(self) -> None:
        self._end(Close(conversation.GOING_AWAY, "Going away"))

    def cut(self) -> None:
        self._operations.cut()
        self.leave()

    def _end(self, close: Close | None) -> None:
        if not self._ended.done():
            self._ended.set_result(close)

    async def _tell_last(self, running: Iterable[str]) -> None:
        """Send what waits, and that all operations are complete, to a client that takes it."""
        try:
            with self._deadlines.within(LEAVING_S):
                while len(self._outgoing):
                    await self._send(_text(await self._outgoing.take()))
                for its in running:
                    if (message := self._conversation.completed(its)) is not None:
                        await self._send(_text(message))
        except (TimeoutError, OSError):
            pass

    # ----------------------------------------------------------------------------------------------------------- tasks

    async def _read(self) -> None:
        try:
            while (message := await self._receive())["type"] == "websocket.receive":
                self._do(self._conversation.received(message.get("text")))
            self._end(None)
        except Exception as exc:
            logs.unexpected(self._id, exc)
            self._end(Close(conversation.INTERNAL, "Internal server error"))

    async def _write(self) -> None:
        try:
            while True:
                message = await self._outgoing.take()
                with self._deadlines.within(self._stalled_s):
                    await self._send(_text(message))
        except TimeoutError:
            self.is_slow()
        except OSError:
            self._end(None)

    async def _greet(self, payload: Mapping[str, Any]) -> None:
        endpoint = self._endpoint
        try:
            if endpoint.context is not None:
                with self._deadlines.within(endpoint.settings.request_deadline_s):
                    self._values = await values_of(endpoint.context, self._scope_of(payload), self._id)
        except Unauthorized:
            self._end(Close(conversation.UNAUTHORIZED, "Unauthorized"))
        except CallerError:
            self._end(Close(conversation.FORBIDDEN, "Forbidden"))
        except (GatewayError, TimeoutError):
            self._end(Close(conversation.INTERNAL, "Internal server error"))
        else:
            self._do(self._conversation.acknowledged())

    def _scope_of(self, payload: Mapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the scope of an HTTP request that says the same as the handshake and the payload together.

        A page cannot add headers to a handshake. Those that ``socket_headers`` names are had from the payload where the handshake has
        none; others are not, or a client could give itself what a proxy alone may say.
        """
        settings, scope = self._endpoint.settings, self._scope
        allowed = {name.lower() for name in settings.socket_headers}
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        by_name = read_headers(scope)
        if b"origin" in by_name and not is_own(by_name) and not settings.cors_credentials:
            headers = [header for header in headers if header[0] != b"cookie"]
        for name, value in payload.items():
            if name.lower() in allowed and name.lower().encode() not in by_name and isinstance(value, str) and _is_header_value(value):
                headers.append((name.lower().encode(), value.encode("latin-1")))
        state = {**scope.get("state", {}), "connection_init": payload}
        return {**scope, "type": "http", "method": "GET", "headers": headers, "state": state}

    # --------------------------------------------------------------------------------------------------------- actions

    def _do(self, actions: Sequence[conversation.Action]) -> None:
        for action in actions:
            match action:
                case Greet():
                    self._greeting = asyncio.ensure_future(self._greet(action.payload))
                case Start():
                    self._count += 1
                    self._operations.start(action.id, action.request, self._values, f"{self._id}-{self._count}")
                case Stop():
                    self._operations.stop(action.id)
                    self._outgoing.drop(action.id)
                case SendNow():
                    self._outgoing.put_now("", action.message)
                case Close():
                    self._end(action)

    def _init_is_late(self) -> None:
        self._do(self._conversation.init_is_late())

    # ------------------------------------------------------------------------------------------- what its operations tell

    async def next(self, its: str, response: Response) -> None:
        if (message := self._conversation.next(its, response.body)) is not None:
            await self._outgoing.put(its, message)

    async def error(self, its: str, errors: bytes) -> None:
        if (message := self._conversation.error(its, errors)) is not None:
            await self._outgoing.put("", message)

    async def completed(self, its: str) -> None:
        if (message := self._conversation.completed(its)) is not None:
            await self._outgoing.put("", message)

    def is_slow(self) -> None:
        self._end(Close(conversation.TOO_SLOW, SlowReader.code))


def _text(message: bytes) -> Message:
    return {"type": "websocket.send", "text": message.decode()}


def _is_header_value(value: str) -> bool:
    return value.isascii() and value.isprintable()
