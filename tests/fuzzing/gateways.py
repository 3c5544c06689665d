"""Gateways over demo data, to send messages to: the application in this process, and a process of its own behind a socket."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.types import Message as Event

from gateway.app import create_app
from gateway.config import Settings, StoreSettings
from gateway.loading import write_batches
from gateway.preparing import DEMO_SEED, DEMO_USERS, migrate, opened
from schema import schema as graph
from tests.benchmarks.processes import Server, free_port, start, wait_for_answer
from tests.fuzzing.checks import Answer
from tests.fuzzing.messages import Message
from tests.kinds import url_of

LAYOUTS = {
    "sqlite": dict.fromkeys(graph.store_names, "sqlite"),
    "live": {"users": "postgresql", "posts": "postgresql", "events": "mongodb", "recommendations": "neo4j"},
}
ALIVE = Message.post(b'{"query":"{__typename}"}').framed()
ALIVE_BODY = b'{"data":{"__typename":"Query"}}'
ANSWER_S = 30.0
UNFINISHED_S = 0.2  # how long an answer is waited for to what may not be a whole request
OURS = ("GATEWAY_", "DATABASE_URL", "MONGO_URL", "NEO4J_URL")


class GoneError(Exception):
    """Nobody answers any more."""


@asynccontextmanager
async def filled(layout: str) -> AsyncIterator[dict[str, str]]:
    """Give the URL of each store, filled with the demo data; they are gone afterwards."""
    async with AsyncExitStack() as stack:
        kinds = LAYOUTS[layout]
        made: dict[str, str] = {}
        urls = {}
        for name, kind in kinds.items():
            if kind == "sqlite" or kind not in made:
                made[kind] = await stack.enter_async_context(url_of(kind))
            urls[name] = made[kind]
        async with opened(_settings(urls)) as stores:
            for name in graph.store_names:
                await migrate(stores, graph, name)
            assert graph.demo is not None
            await write_batches(stores, graph.demo(DEMO_USERS, DEMO_SEED), lambda _: None)
        yield urls


def _settings(urls: Mapping[str, str]) -> Settings:
    return Settings(stores={name: StoreSettings(url=url) for name, url in urls.items()}, access_log=False)


# ----------------------------------------------------------------------------------------------------------- in process


class InProcess:
    """The application, asked as a server asks it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.log = _Log()

    async def send(self, message: Message) -> Answer:
        """Return the answer; whatever the application raises is raised."""
        events: list[Event] = [{"type": "http.request", "body": message.body, "more_body": False}]
        sent: list[Event] = []

        async def receive() -> Event:
            if events:
                return events.pop()
            await asyncio.Event().wait()  # a client that stays
            raise AssertionError

        async def send(event: Event) -> None:
            sent.append(event)

        self.log.last = ""
        async with asyncio.timeout(ANSWER_S):
            await self._app(message.scope(), receive, send)
        start = sent[0]
        body = b"".join(event.get("body", b"") for event in sent[1:])
        return Answer(start["status"], {name.lower(): value for name, value in start["headers"]}, body)


class _Log(logging.Handler):
    """Keeps what was raised last, which the answer hides."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        exc = record.exc_info[1] if record.exc_info else None
        at = exc.__traceback__ if exc is not None else None
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        where = f" at {Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at is not None else ""
        self.last = f"{record.getMessage()}: {exc!r}{where}" if exc is not None else record.getMessage()


@asynccontextmanager
async def in_process(urls: Mapping[str, str]) -> AsyncIterator[InProcess]:
    app = create_app(_settings(urls), graph)
    gateway = InProcess(app)
    logger = logging.getLogger("gateway")
    logger.addHandler(gateway.log)
    was, logger.propagate = logger.propagate, False
    try:
        async with app.lifespan():
            yield gateway
    finally:
        logger.propagate = was
        logger.removeHandler(gateway.log)


# ------------------------------------------------------------------------------------------------------ behind a socket


class BehindSocket:
    """A gateway as a process of its own; every message has a connection of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def pid(self) -> int:
        return self._server.pid

    async def send(self, message: Message) -> Answer | None:
        """Return the answer; None where the server closed the connection without one. GoneError where there is no server."""
        if self._server.process.poll() is not None:
            raise GoneError(f"the process ended with {self._server.process.returncode}")
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            writer.write(message.wire)
            return await self._read(reader, writer, message)
        except (ConnectionError, asyncio.IncompleteReadError):
            return None
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message) -> Answer | None:
        # What the server may take for half a request is cut off, so that it is not waited for.
        try:
            async with asyncio.timeout(ANSWER_S if message.is_whole else UNFINISHED_S):
                return await _read_answer(reader, message.method)
        except TimeoutError:
            if message.is_whole:
                raise
            writer.transport.abort()
            return None


async def _read_answer(reader: asyncio.StreamReader, method: str) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    status = int(first.split(b" ")[1])
    if status == 100:
        return await _read_answer(reader, method)
    length = headers.get(b"content-length")
    if method == "HEAD":
        return Answer(status, headers, b"")
    return Answer(status, headers, await reader.readexactly(int(length)) if length is not None else await reader.read())


@asynccontextmanager
async def behind_socket(urls: Mapping[str, str]) -> AsyncIterator[BehindSocket]:
    """Give a gateway that ``gateway serve`` started; ended when the block is."""
    port = free_port()
    environment = {f"GATEWAY_STORES__{name.upper()}__URL": url for name, url in urls.items()} | {"GATEWAY_ACCESS_LOG": "false"}
    for name in [name for name in os.environ if name.startswith(OURS)]:
        environment.setdefault(name, "")  # an empty setting is none
    with tempfile.TemporaryDirectory(prefix="crossgraph-") as folder:
        command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
        environment["GATEWAY_DATA_DIR"] = folder
        server = start("gateway", command, port, log=Path(folder) / "log", env=environment)
        try:
            await asyncio.to_thread(wait_for_answer, server, ALIVE.body, timeout_s=60)
            yield BehindSocket(server)
        finally:
            server.stop()
