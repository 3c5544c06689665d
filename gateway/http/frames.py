"""A connection that became a WebSocket: frames to ASGI messages and back (RFC 6455). Without extensions: nothing is compressed.

``websockets`` reads and writes the frames; what is kept here is their number and their size, who is still there, and how it ends.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
from collections import deque
from collections.abc import MutableMapping, Sequence
from http import HTTPStatus
from time import monotonic
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as Frames
from websockets.protocol import Side, State

from gateway.deadlines import Alarm, Deadlines
from gateway.http.unread import Reader, Unread

VERSION = b"13"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: %b\r\n"
CLOSING_S = 3.0  # that the other side has to answer a close, or to take what was sent before
REASON_BYTES = 123  # a close frame holds no more
BURST_S = 2  # seconds' worth of frames that may come at once
UNREAD_MESSAGES = 16  # that the application has not taken; then nothing more is read
FLOOD = 1008
PING_TIMEOUT = 1011

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_log = logging.getLogger("gateway.http")


class SocketLimits:
    """Of the settings, what a connection needs to know."""

    __slots__ = ("deadlines", "message_limit_bytes", "messages_per_s", "ping_s", "unread")

    def __init__(self, *, message_limit_bytes: int, messages_per_s: int, ping_s: float, deadlines: Deadlines, unread: Unread) -> None:
        self.message_limit_bytes = message_limit_bytes
        self.messages_per_s = messages_per_s
        self.ping_s = ping_s
        self.deadlines = deadlines
        self.unread = unread


class Rate:
    """How many may come: ``per_s`` on the whole, and BURST_S times as many at once."""

    __slots__ = ("_left", "_per_s", "_since")

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._left = per_s * BURST_S
        self._since = now

    def take(self, now: float) -> bool:
        """Return whether one more may come."""
        self._left = min(self._per_s * BURST_S, self._left + (now - self._since) * self._per_s)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def socket_scope(scope: MutableMapping[str, Any], headers: Sequence[tuple[bytes, bytes]], raw_path: bytes, query: bytes) -> dict[str, Any]:
    """Return the scope of a socket, from that of the request that is its handshake."""
    offered = b",".join(value for name, value in headers if name == b"sec-websocket-protocol")
    root_path: str = scope["root_path"]
    return {
        **scope,
        "type": "websocket",
        "scheme": "wss" if scope["scheme"] == "https" else "ws",
        "http_version": "1.1",
        "path": root_path + unquote(raw_path.decode("ascii")),
        "raw_path": root_path.encode("ascii") + raw_path,
        "query_string": query,
        "headers": headers,
        "subprotocols": [name.strip().decode("latin-1") for name in offered.split(b",") if name.strip()],
        "extensions": {"websocket.http.response": {}},
    }


class GoneError(OSError):
    """There is nobody to send to any more (ASGI: ``send`` raises an OSError)."""


class Socket(asyncio.Protocol):
    """One connection, from its handshake on; it takes the place of the protocol that read its head."""

    def __init__(
        self,
        app: ASGIApp,
        scope: MutableMapping[str, Any],
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        state: ServerState,
        limits: SocketLimits,
    ) -> None:
        self._app = app
        self._scope = scope
        self.transport = transport
        self._loop = loop
        self._state = state
        self._limits = limits
        self._frames = Frames(Side.SERVER, state=State.OPEN, max_size=limits.message_limit_bytes)
        self._rate = Rate(limits.messages_per_s, monotonic())
        self._messages: deque[Message] = deque()
        self._any = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._parts: list[bytes] = []
        self._is_text = True
        self._is_open = False  # accepted, and not closed by anybody
        self._is_lost = False
        self._is_deaf = False  # whatever comes is dropped
        self._is_paused = False
        self._answered = 0  # the status of the handshake
        self._early = b""
        self._head: Message = {}  # of an answer that refuses it
        self._alarm: Alarm | None = None
        self._heard = monotonic()
        self._reader: Reader | None = None

    def begin(self, rest: bytes) -> None:
        """Have the application answer the handshake; ``rest`` came behind its head."""
        self._state.connections.add(self)  # type: ignore[arg-type]
        self._put({"type": "websocket.connect"})
        task = self._loop.create_task(self._run())
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)
        self._early = rest
        self.transport.pause_reading()  # until it is accepted; whoever waits for that sends nothing

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self.receive, self.send)
        except GoneError:
            pass
        except Exception:
            _log.exception("unexpected error in a socket")
        finally:
            if not self._answered:
                self._refuse(500, (), b"")
            elif self._is_open:
                self._close(1011, "")

    # ------------------------------------------------------------------------------------------------------ transport

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._heard = monotonic()
        self._frames.receive_data(data)
        for frame in self._frames.events_received():
            assert isinstance(frame, Frame)
            if not self._rate.take(self._heard):
                self._flood()
                return
            self._frame(frame)
        self._flush()
        if self._frames.parser_exc is not None:  # no frame, too large, no UTF-8: its code is sent
            close = self._frames.close_sent
            self._gone(1006 if close is None else close.code)
            self._end()
        elif self._frames.close_rcvd is not None:
            self._gone(self._frames.close_rcvd.code)
            self._is_deaf = True
            self.transport.close()

    def eof_received(self) -> bool:
        return False  # closes

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._is_lost = self._is_deaf = True
        self._disarm()
        if self._reader is not None:
            self._limits.unread.forget(self._reader)
        self._state.connections.discard(self)
        self._writable.set()
        self._gone(1006)

    def pause_writing(self) -> None:
        self._writable.clear()
        if self._reader is None:
            self._reader = self._limits.unread.watch(self.transport, self._loop)
        else:
            self._limits.unread.observe(self._reader)

    def resume_writing(self) -> None:
        self._writable.set()

    def shutdown(self) -> None:
        """The server ends. The application is told by other means, and closes in good order."""

    # --------------------------------------------------------------------------------------------------------- frames

    def _frame(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                self._is_text = frame.opcode is Opcode.TEXT
                self._parts = [bytes(frame.data)]
            case Opcode.CONT:
                self._parts.append(bytes(frame.data))
            case _:  # a ping is answered by the library
                return
        if frame.fin:
            self._take(b"".join(self._parts))
            self._parts = []

    def _take(self, data: bytes) -> None:
        if not self._is_open:
            return
        if not self._is_text:
            self._put({"type": "websocket.receive", "bytes": data})
            return
        try:
            self._put({"type": "websocket.receive", "text": data.decode()})
        except UnicodeDecodeError:
            self._gone(1007)
            self._close(1007, "")

    def _flood(self) -> None:
        self._gone(FLOOD)
        self._close(FLOOD, "Too many messages")
        self._end()

    def _flush(self) -> None:
        for data in self._frames.data_to_send():
            if data and not self._is_lost and not self.transport.is_closing():
                self.transport.write(data)

    def _gone(self, code: int) -> None:
        """Tell the application, once."""
        if self._is_open or not self._answered:
            self._is_open = False
            self._put({"type": "websocket.disconnect", "code": code})

    def _put(self, message: Message) -> None:
        self._messages.append(message)
        self._any.set()
        if len(self._messages) > UNREAD_MESSAGES and not self._is_paused and not self._is_lost:
            self._is_paused = True
            self.transport.pause_reading()

    # ----------------------------------------------------------------------------------------------------------- ends

    def _close(self, code: int, reason: str) -> None:
        """Send a close; the other side has CLOSING_S to take what came before it, and to answer."""
        self._is_open = False
        if self._is_lost or self._frames.state is not State.OPEN:
            return
        self._frames.send_close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
        self._flush()
        self._resume()
        self._arm(CLOSING_S, self.transport.abort)

    def _end(self) -> None:
        """Wait for the other side to close, dropping what it still sends: closed on unread data, it would not see why."""
        self._is_deaf = True
        if self._is_lost:
            return
        self.transport.resume_reading()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self._arm(CLOSING_S, self.transport.abort)

    def _arm(self, seconds: float, function: Any) -> None:
        self._disarm()
        if not self._is_lost:
            self._alarm = self._limits.deadlines.alarm(seconds, function)

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _resume(self) -> None:
        if self._is_paused and not self._is_lost:
            self._is_paused = False
            self.transport.resume_reading()

    # ---------------------------------------------------------------------------------------------------------- pings

    def _ping(self) -> None:
        """Ask whether the other side is there; one that was not heard of since the last time is not."""
        if not self._is_open:
            return
        if monotonic() - self._heard > 2 * self._limits.ping_s:
            self._gone(PING_TIMEOUT)
            self._close(PING_TIMEOUT, "No answer to a ping")
            return
        self._frames.send_ping(b"")
        self._flush()
        self._arm(self._limits.ping_s, self._ping)

    # ----------------------------------------------------------------------------------------------------------- ASGI

    async def receive(self) -> Message:
        while not self._messages:
            self._any.clear()
            await self._any.wait()
        message = self._messages.popleft()
        if len(self._messages) <= UNREAD_MESSAGES // 2:
            self._resume()
        return message

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "websocket.send":
                await self._writable.wait()
                if not self._is_open:
                    raise GoneError
                self._frames.send_text(message["text"].encode() if message.get("text") is not None else message["bytes"])
                self._flush()
            case "websocket.accept":
                self._accept(message)
            case "websocket.close" if self._answered == SWITCHED:
                if self._is_open:
                    self._close(message.get("code", 1000), message.get("reason") or "")
            case "websocket.close":
                self._refuse(403, (), b"")
            case "websocket.http.response.start":
                self._head = message
            case "websocket.http.response.body":
                self._refuse(self._head["status"], self._head.get("headers", ()), message.get("body", b""))

    def _accept(self, message: Message) -> None:
        if self._is_lost:
            raise GoneError
        headers = dict(self._scope["headers"])
        lines = [SWITCHING % accept_key(headers[b"sec-websocket-key"])]
        if message.get("subprotocol"):
            lines.append(b"sec-websocket-protocol: %b\r\n" % message["subprotocol"].encode())
        lines += [b"%b: %b\r\n" % (name, value) for name, value in message.get("headers", ())]
        self.transport.write(b"".join((*lines, b"\r\n")))
        self._answered, self._is_open = SWITCHED, True
        self._arm(self._limits.ping_s, self._ping)
        self.transport.resume_reading()
        if self._early:
            self.data_received(self._early)

    def _refuse(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        if self._answered:
            return
        self._answered = status
        if self._is_lost or self.transport.is_closing():
            return
        phrase = HTTPStatus(status).phrase.encode()
        lines = [b"HTTP/1.1 %d %b\r\n" % (status, phrase), *(b"%b: %b\r\n" % item for item in headers if item[0] != b"content-length")]
        self.transport.write(b"".join((*lines, b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body), body)))
        self._end()


SWITCHED = 101


def accept_key(key: bytes) -> bytes:
    """Return the answer to a Sec-WebSocket-Key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())


def handshake_problem(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return what is wrong with the headers of a handshake (RFC 6455, 4.2.1); None where nothing is."""
    versions = [value for name, value in headers if name == b"sec-websocket-version"]
    keys = [value for name, value in headers if name == b"sec-websocket-key"]
    if versions != [VERSION]:
        return "The handshake's Sec-WebSocket-Version must be 13."
    try:
        is_key = len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16
    except binascii.Error:
        is_key = False
    return None if is_key else "The handshake's Sec-WebSocket-Key must be 16 bytes in base64."
