"""A connection: uvicorn's protocol on httptools, and what it leaves open. Limits of head and time, and of clients that do not read.

A request that comes whole in one segment, as nearly all do, pays for a few comparisons and one look at the transport's buffer; timers
exist only for what is incomplete. What is refused after its head is answered by the application, in its turn among pipelined requests
(``middleware.REFUSAL``); what is no HTTP is answered here.

Longer than 400 lines: the callbacks of one connection share all of its state.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from time import monotonic
from typing import Any, cast
from urllib.parse import unquote

import httptools
import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.deadlines import Alarm
from gateway.errors import BadHttp, GatewayError, Overloaded, RequestTimeout
from gateway.http.cycle import Cycle
from gateway.http.draining import ending
from gateway.http.edge import Edge
from gateway.http.frames import Socket, socket_scope
from gateway.http.heads import headers_too_large, refusal_of, size_of, url_too_long
from gateway.http.media import GRAPHQL
from gateway.http.middleware import REFUSAL, SAFE_HEADERS, request_id
from gateway.http.unread import Reader
from gateway.observability import logs

# The application answers a body that is late; this much later it had its chance.
BODY_GRACE_S = 2.0
LINGER_S = 1.0
REST_S = 0.2  # after a 503
REST_AGAIN_S = 1.0  # of one who is told so again, soon after: as long as Retry-After says
_CODING = b"transfer-encoding"

_BETWEEN, _HEAD, _BODY = range(3)  # where in a message a connection is


class Protocol(HttpToolsProtocol):
    """One connection. Order of the callbacks: on_message_begin, on_url, on_header, on_headers_complete, on_body, on_message_complete."""

    cycle: Cycle  # of the newest request; None before the first
    pipeline: deque[tuple[Cycle, Any]]  # type: ignore[assignment]  # the newest first

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        edge: Edge,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._edge = edge
        self._part = _BETWEEN
        self._bytes = 0  # of the message that is incomplete: an upper bound, since more than one may be in a segment
        self._whole_bytes = 0  # of it, in segments that hold nothing else
        self._alarm: Alarm | None = None
        self._reader: Reader | None = None
        self._active: Cycle | None = None  # the request that the application works on
        self._last: Cycle | None = None  # behind whose answer the connection is closed, as the process ends
        self._is_deaf = False  # closed once what was asked before is answered
        self._is_extra = False  # one connection too many, when it was made
        self._body_bytes = 0  # of the message that is incomplete
        self._is_upgrade = False  # the message's head is the handshake of a socket
        self._target: tuple[bytes, str, bytes, bytes] = (b"", "", b"", b"")  # the last: the URL, its path, the same raw, and its query
        self._rested_at = 0.0
        self.idle_since = inf  # on the clock of ``time.monotonic``; while there is something to do, it is not idle

    # ------------------------------------------------------------------------------------------------------ transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connections = self._edge.connections
        connections.open = self.connections
        if connections.is_over:
            self._is_extra = True
            if connections.is_too_much:
                connections.closed()
                self.connections.discard(self)
                transport.abort()
                return
        self._expect_head()
        self._edge.idle.watch(self.connections, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._reader is not None:
            self._edge.unread.forget(self._reader)
        # uvicorn tells the newest request alone; one before it in a pipeline would write to what is closed, which uvloop refuses.
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            self._bytes += len(data)
            if self._bytes > self._edge.message_limit_bytes:
                self.transport.close()
            return
        self.idle_since = inf
        if self._part == _BETWEEN:
            self._bytes, self._whole_bytes = len(data), 0
        else:
            self._bytes += len(data)
            self._whole_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._malformed()
            return
        except httptools.HttpParserUpgrade as upgrade:
            if self._is_deaf:
                return
            if self._should_upgrade():
                self._become_socket(data[upgrade.args[0] :])
            else:
                self._decline_upgrade()
            return
        if self._part == _BODY:
            self._expect_body()
        elif self._part == _HEAD:
            self._expect_head()
            self._check_open_head()
        elif self.cycle is None or self.cycle.response_complete:  # Empty lines alone, which the parser passes over.
            self._expect_head()

    def drain(self) -> None:
        """Have the connection closed behind the answer to the newest request, as the process ends: where its client is told so."""
        newest = self.cycle
        if newest is None or newest.response_started or not newest.keep_alive:
            return
        if self._last is not None and not self._last.response_started:
            self._last.keep_alive = True
        self._last = newest
        newest.keep_alive = False

    def shutdown(self) -> None:
        """Close the connection, behind what it was asked. A request that has begun to come is waited for."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.drain()
            self.cycle.keep_alive = False
        elif self._part == _BETWEEN:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        # Closing waits until all is written. Answers below the mark at which a transport pauses are first looked at here.
        if self.transport.get_write_buffer_size():
            self._watch()
        super().timeout_keep_alive_handler()

    # --------------------------------------------------------------------------------------------------------- parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part = _HEAD
        self._whole_bytes = self._body_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        # As uvicorn's, but that a trailer is no header. PERF: a call of super() for each costs 1 µs a request
        # (python -m tests.gateway.http.cost).
        if self._part == _HEAD:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        # PERF: as uvicorn's, which reads the same URL each time and makes an event for each request: 3 µs less.
        parser, scope = self.parser, cast("dict[str, Any]", self.scope)
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
            self.expect_100_continue = False  # RFC 9110, 10.1.1: such a client knows no 100
        self._is_upgrade = parser.should_upgrade() and self._should_upgrade()
        if self._is_upgrade:
            return
        if self.url != self._target[0]:
            self._target = self._read_url()
        _, scope["path"], scope["raw_path"], scope["query_string"] = self._target
        before = self.cycle
        cycle = self.cycle = Cycle(self, keep_alive=version != "1.0" and parser.should_keep_alive())
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
        self._part = _BODY
        if not self.pipeline:
            self._active = self.cycle
        if self._alarm is not None:
            self._disarm()
        edge = self._edge
        if edge.drain.is_draining:
            self.drain()
        if (
            self._bytes > edge.plain_bytes
            or len(self.headers) > edge.headers_max
            or edge.unread.is_over
            or edge.drain.is_cut
            or self._is_extra
            or version != "1.1"
        ):
            refusal = self._refusal()
            if refusal is not None:
                # Its task has not run yet.
                self.scope[REFUSAL] = refusal  # type: ignore[literal-required]
        # A transport writes small answers at the end of a round of the loop: what is left of one now, its client did not take.
        if self.transport.get_write_buffer_size():
            self._watch()

    def on_chunk_header(self) -> None:
        # RFC 9112, 6.1: a body is framed by chunks alone. The parser takes any coding before them, and hands the coded bytes on.
        if self._body_bytes == 0 and [value.lower() for name, value in self.headers if name == _CODING] != [b"chunked"]:
            raise BadHttp("The request's Transfer-Encoding is not chunked alone.")

    def on_body(self, body: bytes) -> None:
        # As uvicorn's. PERF: a call of super() for a count costs 0.1 µs more.
        self._body_bytes += len(body)
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self._is_upgrade:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.tell()

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if cycle is None or self._is_upgrade:
            return
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.tell()
        self._part = _BETWEEN
        if self._alarm is not None:
            self._disarm()

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._active = self.pipeline[-1][0]
            if self._edge.drain.is_cut:
                self._active.scope[REFUSAL] = ending()  # type: ignore[literal-required]
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._watch()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._part != _HEAD:  # of the next request, which has begun to come and has a limit of its own
            self.idle_since = monotonic()

    def rest(self) -> None:
        """Read nothing for a while: whom there was no place for would else be told so again at once, as often as he asks.

        PERF: of 2,800 look-ups a second, 890 were left where 400 connections asked again at once (make bench-overload, which has what is
        left now).
        """
        if not (self.transport.is_closing() or self.pipeline or self.flow.read_paused):
            now = monotonic()
            rest_s = REST_AGAIN_S if now - self._rested_at < REST_AGAIN_S else REST_S
            self._rested_at = now + rest_s
            self.flow.pause_reading()
            self.loop.call_later(rest_s, self._go_on)

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _read_url(self) -> tuple[bytes, str, bytes, bytes]:
        """Return the URL, its path, the same raw, and its query, as uvicorn has them."""
        parsed = httptools.parse_url(self.url)
        path = parsed.path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        return self.url, self.root_path + path, self.root_path.encode("ascii") + parsed.path, parsed.query or b""

    # --------------------------------------------------------------------------------------------------------- limits

    def _refusal(self) -> GatewayError | None:
        edge = self._edge
        wrong = refusal_of(edge.settings, self.scope["http_version"], self.url, self.headers)
        if wrong is not None:
            return wrong
        if edge.drain.is_cut:
            return ending()
        is_probe = self.url.startswith(b"/health/")
        if self._is_extra and is_probe and self.cycle is not None:
            self.cycle.keep_alive = False
        self._is_extra = self._is_extra and edge.connections.is_over
        if self._is_extra and not is_probe:
            return edge.connections.refusal()
        if edge.unread.is_over and not is_probe:
            return Overloaded("Too many answers wait to be read by their clients; try again later (setting unread_limit_bytes).")
        return None

    def _check_open_head(self) -> None:
        """Refuse a head that has grown too large already; it may have no end."""
        settings = self._edge.settings
        if self._bytes <= self._edge.plain_bytes:
            return
        if len(self.url) > settings.url_limit_bytes:
            self._refuse(url_too_long(settings, None))
        elif size_of(self.headers) > settings.header_limit_bytes or self._whole_bytes > self._edge.head_limit_bytes:
            self._refuse(headers_too_large(settings, None))

    def _expect_head(self) -> None:
        if self._alarm is None and not self.transport.is_closing():
            self._alarm = self._edge.deadlines.alarm(self._edge.settings.header_timeout_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._alarm = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_head()  # We may be what it waits for.
        elif self._part == _HEAD:
            seconds = self._edge.settings.header_timeout_s
            self._refuse(RequestTimeout(f"The request's headers did not come within {seconds:g} s.", setting="header_timeout_s"))
        else:
            self.transport.close()

    def _expect_body(self) -> None:
        if self._whole_bytes > self._edge.message_limit_bytes:
            self._close()
        elif self._whole_bytes > 2 * self._body_bytes + self._edge.framing_bytes and not self._is_deaf:
            self._malformed()
        elif self._alarm is None and not self.transport.is_closing():
            seconds = self._edge.settings.body_timeout_s + BODY_GRACE_S
            self._alarm = self._edge.deadlines.alarm(seconds, self._body_is_late)

    def _body_is_late(self) -> None:
        self._alarm = None
        if self.pipeline:
            self._expect_body()  # Its turn has not come, and reading may be paused for that.
        else:
            self._close()

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _close(self) -> None:
        self._is_deaf = True
        self.transport.close()

    def _watch(self) -> None:
        if self._reader is None:
            self._reader = self._edge.unread.watch(self.transport, self.loop)
        else:
            self._edge.unread.observe(self._reader)

    # -------------------------------------------------------------------------------------------------------- refusals

    def _malformed(self) -> None:
        error = BadHttp("The request is not well-formed HTTP.")
        if self._part != _BODY:
            self._refuse(error)
        elif self.cycle.response_complete or self.cycle.response_started:
            self._close()
        elif self.pipeline:  # Its body is broken, and its turn has not come.
            self._is_deaf = True
            self.scope[REFUSAL] = error  # type: ignore[literal-required]
        else:
            # The application waits for the rest of it, and shall not answer as well.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._answer(error)

    def _should_upgrade(self) -> bool:
        """Return whether this is the handshake of a socket: anything else with Upgrade is answered in HTTP/1.1."""
        if self._get_upgrade() != b"websocket" or self.parser.get_method() != b"GET" or self.parser.get_http_version() != "1.1":
            return False
        headers = dict(self.headers)
        return b"sec-websocket-key" in headers and b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"

    def _become_socket(self, rest: bytes) -> None:
        """Hand the connection over to a socket. Where answers are still to be written before, it is closed behind them."""
        self._disarm()
        if self.cycle is not None and not self.cycle.response_complete:
            self._is_deaf = True
            self.cycle.keep_alive = False
            return
        refusal = self._refusal()
        if refusal is not None:
            self._answer(refusal)
            return
        self.connections.discard(self)
        if self._reader is not None:
            self._edge.unread.forget(self._reader)
        url = httptools.parse_url(self.url)
        scope = socket_scope(cast("dict[str, Any]", self.scope), self.headers, url.path, url.query or b"")
        socket = Socket(self.app, scope, self.transport, self.loop, self.server_state, self._edge.socket_limits)
        self.transport.set_protocol(socket)
        socket.begin(rest)

    def _decline_upgrade(self) -> None:
        """Answer in HTTP/1.1 and close: the parser takes what follows, a body too, for the other protocol's."""
        self._is_deaf = True
        self.cycle.keep_alive = False
        if any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in self.headers):
            error = BadHttp("A request with Upgrade must have no body; send it without Upgrade.")
            self.scope[REFUSAL] = error  # type: ignore[literal-required]

    def _refuse(self, error: GatewayError) -> None:
        """Refuse a request that has no head yet. Where earlier ones wait for their answers, this one gets none."""
        if self.cycle is None or self.cycle.response_complete:
            self._answer(error)
        else:
            self._is_deaf = True
            self.cycle.keep_alive = False

    def _answer(self, error: GatewayError) -> None:
        self._disarm()
        self._is_deaf = True
        identity = request_id(None)
        body = orjson.dumps({"errors": [{"message": error.message, "extensions": error.extensions}]})
        headers = [
            (b"content-type", GRAPHQL + b"; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
            *SAFE_HEADERS,
            (b"x-request-id", identity.encode()),
        ]
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        logs.access(identity, "-", "-", error.http_status, 0.0, None, quiet=False)
        if self.transport.is_closing():
            return
        self.transport.write(STATUS_LINE[error.http_status] + head + b"\r\n" + body)
        # A connection that is closed on unread data loses the answer too; so what still comes is dropped, for a little while.
        self.transport.write_eof()
        self._watch()
        self._bytes = 0
        self._alarm = self._edge.deadlines.alarm(LINGER_S, self.transport.close)
