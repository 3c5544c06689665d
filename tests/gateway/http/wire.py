"""A server on a socket of this machine, in the loop of the test, over a fake service."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvloop
from uvicorn.server import ServerState

from gateway.http.edge import Edge
from gateway.http.protocol import Protocol
from gateway.http.server import configured
from gateway.service import Service
from tests.gateway.http.fakes import FakeService, make_app

HEAD = b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
PATIENCE_S = 60.0  # for a test that would wait for ever, on a machine that has much to do


class Answer:
    """What came on a connection: ``status``, ``headers`` by lower-case name, ``body``, and what stood behind it."""

    def __init__(self, received: bytes) -> None:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1]) if first else 0
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(self.headers.get("content-length", "0"))
        self.body, self.rest = rest[:length], rest[length:]

    @property
    def extensions(self) -> dict[str, Any]:
        extensions: dict[str, Any] = orjson.loads(self.body)["errors"][0]["extensions"]
        return extensions

    @property
    def code(self) -> str:
        return str(self.extensions["code"])


class Wire:
    def __init__(self, port: int, edge: Edge, connections: set[Any]) -> None:
        self.port = port
        self.edge = edge
        self.connections = connections
        self.writers: list[asyncio.StreamWriter] = []
        self.lost: asyncio.Queue[None] = asyncio.Queue()  # one for each connection that ended

    async def connect(self, *, receive_bytes: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection; with ``receive_bytes``, of one that takes that little before it is read from."""
        connection = socket.socket()
        connection.setblocking(False)
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=1_024)
        self.writers.append(writer)
        return reader, writer

    async def ask(self, *parts: bytes) -> Answer:
        """Send, and return the first answer of all that comes until the server closes."""
        return Answer(await self.read_all(*parts))

    async def read_all(self, *parts: bytes) -> bytes:
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
        return await reader.read()

    async def close(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)


def as_it_is(_: Edge) -> None:
    pass


@asynccontextmanager
async def serving(
    service: FakeService | Service | None = None,
    prepare: Callable[[Edge], None] = as_it_is,
    *,
    patience_s: float = PATIENCE_S,
    **settings: Any,
) -> AsyncIterator[Wire]:
    """Give a server with these settings. ``prepare`` may change what its connections share before there are any."""
    app = make_app(service, **settings)
    edge: Edge = app.edge
    prepare(edge)
    config = configured(app)
    config.load()
    state = ServerState()

    class Connection(Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            wire.lost.put_nowait(None)

    server = await asyncio.get_running_loop().create_server(lambda: Connection(config, state, {}, edge=edge), "127.0.0.1", 0)
    wire = Wire(server.sockets[0].getsockname()[1], edge, state.connections)
    try:
        async with asyncio.timeout(patience_s):
            yield wire
    finally:
        server.close()
        await wire.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


def run(test: Coroutine[Any, Any, None], *, loop: str = "uvloop") -> None:
    """Run a test on the loop that serves, or on Python's own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop) as runner:
        runner.run(test)


def post(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join((HEAD.rstrip(), b"Content-Length: %d" % len(body), *headers, b"", body))
