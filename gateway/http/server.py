"""The server: uvicorn on uvloop, with a protocol of our own on httptools, on a port that is taken before anything else is opened."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import cast

import uvicorn

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.http.application import Application
from gateway.http.protocol import Protocol

BACKLOG = 2_048
DRAIN_S = 20  # what requests in flight have when the process is told to end


def bind(settings: Settings) -> socket.socket:
    """Return a socket bound to the settings' host and port (0: a free one), not listening yet. ConfigError where it cannot be.

    Nobody connects before the gateway can answer, and a port that is taken is known before a store is opened.
    """
    where = f"host = '{settings.host}', port = {settings.port}"
    try:
        family, kind, _, _, place = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise ConfigError(f"{where}: expected the name or address of this machine") from None
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise ConfigError(f"{where}: expected a free port, and something listens on this one already") from None
        raise ConfigError(f"{where}: expected an address to listen on: {exc.strerror}") from None
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: Application, settings: Settings, listener: socket.socket | None = None, *, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first, and the process ends with 0.

    ``on_ready`` is called once connections are taken.
    """
    # uvicorn raises the signal again once it has shut down; it then finds this, which ends the process in good order.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    _Server(app, on_ready).run(sockets=[listener or bind(settings)])


def configured(app: Application) -> uvicorn.Config:
    """Return uvicorn's settings for the application, whose connections are of our own protocol."""
    return uvicorn.Config(
        app,
        loop="auto",  # uvloop, but for Windows
        http=cast("type[asyncio.Protocol]", partial(Protocol, edge=app.edge)),
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=DRAIN_S,
    )


class _Server(uvicorn.Server):
    def __init__(self, app: Application, on_ready: Callable[[], None] | None) -> None:
        super().__init__(configured(app))
        self._app = app
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        settle()
        if self.started and self._on_ready is not None:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.edge.clients.end()
        await super().shutdown(sockets)


def settle() -> None:
    """Tell the garbage collector that what is there now stays: modules, the schema, pools.

    PERF: an answer is thousands of small dictionaries, and each few thousand of them had the collector walk all that. Over
    PostgreSQL the tree of the benchmarks takes 3.5 ms of CPU instead of 5.2, the point look-up 72 µs instead of 106 (``make bench``,
    with and without). Requests leave next to nothing to it, so a look at the youngest is for what is kept:
    10,000 objects take it 5 ms. All that is kept takes 60 ms (``make soak``), so it is rarely looked at.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 200)


def _end(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)
