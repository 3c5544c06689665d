"""A request and its answer on a connection: uvicorn's, with ways to read and to write that need no messages."""

from __future__ import annotations

from asyncio import Event
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from gateway.http.protocol import Protocol

BUSY = 503
COPIED_BYTES = 64 * 1024  # of a body that is put behind its head, so that both are one write


class Cycle(RequestResponseCycle):
    """A request and its answer. Its body may be taken as a whole, and the answer be written in one piece."""

    # PERF: what most requests leave as it is stands with the class, and what waits for news of the client makes the event for it:
    # uvicorn's own takes 1.2 µs a request, this 0.6.
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0
    _event: Event | None = None
    _has_news = False

    def __init__(self, protocol: Protocol, *, keep_alive: bool) -> None:
        self.scope = protocol.scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.access_log = protocol.access_log
        self.default_headers = protocol.server_state.default_headers
        self.on_response = protocol.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = bytearray()

    @property
    def message_event(self) -> Event:  # type: ignore[override]
        """What ``receive`` waits for: something came of the request, or its client left, or it was answered."""
        event = self._event
        if event is None:
            event = self._event = Event()
            if self._has_news:
                event.set()
        return event

    def tell(self) -> None:
        """Say that there is something to receive."""
        if self._event is None:
            self._has_news = True
        else:
            self._event.set()

    def take_body(self, most: int) -> bytes | None:
        """Return a body that has come to its end; None where it must come through ``receive``, message by message."""
        if self.more_body or len(self.body) > most or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        self.flow.resume_reading()
        self._has_news = False
        if self._event is not None:
            self._event.clear()
        return body

    def write_whole(self, status: int, headers: bytes, body: bytes) -> bool:
        """Write an answer whose header lines are known to be sound; False where it must go through ``send``, message by message."""
        if self.flow.write_paused or self.response_started or self.scope["method"] == "HEAD":
            return False
        if self.disconnected:
            return True
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        head = [STATUS_LINE[status]]
        for name, value in self.default_headers:
            head += name, b": ", value, b"\r\n"
        head += headers, b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        if len(body) < COPIED_BYTES:
            head.append(body)
            self.transport.write(b"".join(head))
        else:
            self.transport.write(b"".join(head))
            self.transport.write(body)
        self.tell()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        if status == BUSY:
            self.on_response.__self__.rest()  # type: ignore[attr-defined]  # the protocol
        return True

    def write_last(self, data: bytes) -> None:
        """Write the end of an answer that was begun, whether its client takes it or not, and close."""
        if self.disconnected or self.response_complete or not self.response_started or self.transport.is_closing():
            return
        self.response_complete = True
        self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if self.chunked_encoding else data)
        self.tell()
        self.transport.close()
        self.on_response()
