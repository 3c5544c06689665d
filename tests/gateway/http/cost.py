"""``python -m tests.gateway.http.cost``: microseconds of our own that a request costs between server and service, at best; and those of a
connection, uvicorn's and ours, each with the same application that does nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.config import Settings
from gateway.http.edge import Edge
from gateway.http.protocol import Protocol
from gateway.observability import logs
from gateway.observability.accounts import Account
from gateway.service import Request, Response
from tests.gateway.http.fakes import FakeService, make_app

ROUNDS, REQUESTS = 30, 500
BODY = b'{"query":"query Q($n:Int){ users(first: $n) { nodes { id name posts(first: 3) { nodes { title } } } } }","variables":{"n":5}}'
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"cost/1"),
    (b"accept", b"application/graphql-response+json, application/json"),
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(BODY)),
]
ANSWER = Response(b'{"data":{}}', 200)


class Instant(FakeService):
    async def answer(
        self, request: Request, *, request_id: str, deadline_s: float, written: list[str], account: Account, **_: Any
    ) -> Response:
        return ANSWER


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": BODY, "more_body": False}


async def send(_: Any) -> None:
    pass


async def best(app: Callable[..., Awaitable[None]]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = perf_counter()
        for _ in range(REQUESTS):
            await app({"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": HEADERS}, receive, send)
        times.append((perf_counter() - started) / REQUESTS * 1e6)
    return min(times)


class Wire(asyncio.Transport):
    """A transport to nowhere."""

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


async def nothing(_: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def connections() -> tuple[float, float]:
    """Return the microseconds of uvicorn's connection and of ours; by turns, so that both have the machine's good moments."""
    config = uvicorn.Config(nothing, lifespan="off", log_config=None, access_log=False, ws="none")
    config.load()
    loop = asyncio.get_running_loop()
    theirs, ours = HttpToolsProtocol(config, ServerState(), {}, loop), Protocol(config, ServerState(), {}, loop, edge=Edge(Settings()))
    request = b"POST /graphql HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % header for header in HEADERS) + b"\r\n" + BODY
    found: list[float] = []
    for protocol in (theirs, ours):
        protocol.connection_made(Wire())
        found.append(float("inf"))
    for turn in range(2 * 5 * ROUNDS):
        protocol = (theirs, ours)[turn % 2]
        started = perf_counter()
        for _ in range(REQUESTS // 5):
            protocol.data_received(request)
            await asyncio.sleep(0)
        found[turn % 2] = min(found[turn % 2], (perf_counter() - started) / (REQUESTS // 5) * 1e6)
    return found[0], found[1]


def main() -> None:
    app = make_app(Instant())
    sys.stdout.write(f"{uvloop.run(best(app)):6.1f} µs without a log\n")
    with open(os.devnull, "w") as stream:
        logs.configure("production", stream)
        sys.stdout.write(f"{uvloop.run(best(app)):6.1f} µs with one\n")
    theirs, ours = uvloop.run(connections())
    sys.stdout.write(f"{theirs:6.1f} µs of a connection of uvicorn\n{ours:6.1f} µs of one of ours\n")


if __name__ == "__main__":
    main()
