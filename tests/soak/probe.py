"""A client of its own, in a process of its own, that asks `{__typename}` every 20 ms and keeps how long each answer took.

    python -m tests.soak.probe PORT

Prints a line when it begins; goes on until its standard input ends, then prints what it saw as JSON. It also keeps how late it was itself
woken: what the machine did to it, it may have done to the gateway.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

EVERY_S = 0.02
LONGEST_WAIT_S = 30.0
KEPT = 10
BODY = b'{"query":"{__typename}"}'
REQUEST = (
    b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
END = b'{"data":{"__typename":"Query"}}'


@dataclass(slots=True)
class Seen:
    """``stalls`` are the longest waits: (start on the monotonic clock, seconds). ``late_s`` is how late it was woken at worst."""

    answers: int = 0
    failures: int = 0
    late_s: float = 0.0
    stalls: list[tuple[float, float]] = field(default_factory=list)

    def waited(self, started: float, seconds: float) -> None:
        if len(self.stalls) < KEPT or seconds > self.stalls[-1][1]:
            self.stalls = sorted([*self.stalls, (started, seconds)], key=lambda stall: -stall[1])[:KEPT]


def main(port: int) -> None:
    sys.stdout.write("probing\n")
    sys.stdout.flush()
    seen = Seen()
    connection = _connect(port)
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(due - time.monotonic(), 0))[0]:
        started = time.monotonic()
        seen.late_s = max(seen.late_s, started - due)
        connection = connection or _connect(port)
        is_answered = connection is not None and _ask(connection)
        now = time.monotonic()
        seen.waited(started, now - started)
        if is_answered:
            seen.answers += 1
        else:
            seen.failures += 1
            connection = None
        due = max(due + EVERY_S, now)
    sys.stdout.write(json.dumps(asdict(seen)) + "\n")


def _connect(port: int) -> socket.socket | None:
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=LONGEST_WAIT_S)
    except OSError:
        return None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _ask(connection: socket.socket) -> bool:
    """Return whether the right answer came."""
    try:
        connection.sendall(REQUEST)
        answer = b""
        while not answer.endswith(END):
            part = connection.recv(4_096)
            if not part:
                return False
            answer += part
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200 ")


if __name__ == "__main__":
    main(int(sys.argv[1]))
