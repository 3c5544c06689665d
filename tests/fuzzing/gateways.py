"""Gateways over demo data, to send messages to: the application in this process, and a process of its own behind a socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.types import Message as Event

from gateway.app import create_app
from schema import schema as graph
from tests.benchmarks.processes import Server
from tests.fuzzing.messages import Message
from tests.serving import TYPENAME, Answer, read_answer, serving, settings_of

ALIVE = Message.post(TYPENAME).framed()
ALIVE_BODY = b'{"data":{"__typename":"Query"}}'
ANSWER_S = 30.0
UNFINISHED_S = 0.2  # how long an answer is waited for to what may not be a whole request


class GoneError(Exception):
    """Nobody answers any more."""


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
        self.last = f"{exc!r}{where}" if exc is not None else record.getMessage()


@asynccontextmanager
async def in_process(urls: Mapping[str, str]) -> AsyncIterator[InProcess]:
    app = create_app(settings_of(urls), graph)
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
                return await read_answer(reader, message.method)
        except TimeoutError:
            if message.is_whole:
                raise
            writer.transport.abort()
            return None


@asynccontextmanager
async def behind_socket(urls: Mapping[str, str]) -> AsyncIterator[BehindSocket]:
    async with serving(urls) as server:
        yield BehindSocket(server)
