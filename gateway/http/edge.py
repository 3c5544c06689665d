"""What the connections of a server share: limits, and who holds how much of them."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config import Settings
from gateway.deadlines import Deadlines
from gateway.http.clients import Clients
from gateway.http.connections import Connections
from gateway.http.draining import Drain
from gateway.http.fairness import gate_of
from gateway.http.frames import SocketLimits
from gateway.http.idle import Idle
from gateway.http.stalls import Stalls
from gateway.http.unread import Unread
from gateway.observability.metrics import Reading

# A refused body is dropped up to twice the limit; what exceeds this has no end (trailers, extensions of chunks).
BODY_LIMITS = 4
# What comes with a body besides it, the sizes of chunks, their extensions and trailers, may be as much again as the body, and this.
FRAMING_BYTES = 64 * 1024


class Edge:
    """What the connections of a server share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.deadlines = Deadlines()
        self.unread = Unread(timeout_s=settings.unread_timeout_s, limit_bytes=settings.unread_limit_bytes)
        self.gate = gate_of(settings)
        self.clients = Clients(settings)
        self.connections = Connections(settings)
        self.stalls = Stalls()
        self.idle = Idle(settings.keep_alive_timeout_s)
        self.drain = Drain(settings)
        self.socket_limits = SocketLimits(
            message_limit_bytes=settings.socket_message_limit_bytes,
            messages_per_s=settings.socket_messages_per_s,
            ping_s=settings.stream_ping_s,
            deadlines=self.deadlines,
            unread=self.unread,
        )
        self.headers_max = settings.headers_max
        # A head of fewer bytes, and few headers, needs no closer look.
        self.plain_bytes = min(settings.url_limit_bytes, settings.header_limit_bytes)
        self.head_limit_bytes = settings.url_limit_bytes + settings.header_limit_bytes
        self.framing_bytes = FRAMING_BYTES + self.head_limit_bytes
        self.message_limit_bytes = BODY_LIMITS * settings.body_limit_bytes + self.head_limit_bytes

    def change(self, settings: Settings) -> None:
        """Have other settings from now on, of those that can change (``reloading.py``)."""
        self.settings = settings
        self.gate.change(settings.requests_max, settings.requests_waiting_max, settings.requests_wait_s)
        self.clients.change(settings)
        self.drain.change(settings)

    def readings(self) -> Iterator[Reading]:
        yield from self.connections.readings()
        yield from self.stalls.readings()
        yield from self.unread.readings()
        yield from self.gate.readings()
