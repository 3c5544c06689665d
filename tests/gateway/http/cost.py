"""``python -m tests.gateway.http.cost``: microseconds of our own that a request costs between server and service, at best."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import uvloop

from gateway.observability import logs
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
    async def answer(self, request: Request, *, request_id: str, deadline_s: float) -> Response:
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


def main() -> None:
    app = make_app(Instant())
    sys.stdout.write(f"{uvloop.run(best(app)):6.1f} µs without a log\n")
    with open(os.devnull, "w") as stream:
        logs.configure("production", stream)
        sys.stdout.write(f"{uvloop.run(best(app)):6.1f} µs with one\n")


if __name__ == "__main__":
    main()
