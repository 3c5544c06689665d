"""The server: uvicorn on uvloop, with a protocol of our own on httptools, on a port that is taken before anything else is opened."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from types import FrameType
from typing import Any, NoReturn, cast

import uvicorn

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.http.application import Application
from gateway.http.draining import Drain
from gateway.http.handover import HANDED_OVER, Handover, kept_s
from gateway.http.protocol import Protocol
from gateway.http.reloading import reload

BACKLOG = 2_048
LOOKED_EVERY_S = 0.02
SETTLED_S = 0.1  # for what was sent over connections that are taken already
CUT_S = 1.0  # for the answers to what was cancelled
FLUSHED_S = 0.1  # for clients to take them
LATE_S = 0.2  # how much later than it should the process ends in the middle of what it does

_log = logging.getLogger("gateway.http")


def bind(settings: Settings) -> socket.socket:
    """Return a socket bound to the settings' host and port (0: a free one), not listening yet. ConfigError where it cannot be.

    Nobody connects before the gateway can answer, and a port that is taken is known before a store is opened.
    """
    where = f"host = '{settings.host}', port = {settings.port}"
    family, place = _place(settings)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise ConfigError(f"{where}: expected a free port, and something listens on this one already") from None
        raise ConfigError(f"{where}: expected an address to listen on: {exc.strerror}") from None
    return listener


def refuse_elsewhere(settings: Settings, listener: socket.socket) -> None:
    """ConfigError where a socket that was handed over is not on the settings' host and port (0: any)."""
    host, port = listener.getsockname()[:2]
    family, place = _place(settings)
    if (family, place[0]) != (listener.family, host) or settings.port not in (0, port):
        wanted = f"host = '{settings.host}', port = {settings.port}"
        raise ConfigError(f"{wanted}: expected those of the gateway whose port is taken over (handover), which are '{host}' and {port}")


def _place(settings: Settings) -> tuple[int, Any]:
    try:
        family, _, _, _, place = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise ConfigError(f"host = '{settings.host}', port = {settings.port}: expected the name or address of this machine") from None
    return family, place


def address(listener: socket.socket) -> str:
    """Return the URL that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    app: Application,
    settings: Settings,
    listeners: Sequence[socket.socket] = (),
    *,
    on_ready: Callable[[], None] | None = None,
    read: Callable[[], Settings] | None = None,
    lifeline: socket.socket | None = None,
    handover: Handover | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first, and the process ends with 0 (``draining.py``).

    ``on_ready`` is called once connections are taken. ``read`` reads the settings again, at SIGHUP (``reloading.py``). Where ``lifeline``
    ends, so does this, as after SIGTERM (``workers.py``). ``handover`` is of the port (``handover.py``).
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    server = _Server(app, on_ready)
    if read is not None and hasattr(signal, "SIGHUP"):  # Windows has none
        signal.signal(signal.SIGHUP, lambda *_: server.reload_soon())
        server.read = read
    server.lifeline = lifeline
    server.handover = handover
    server.run(sockets=list(listeners) or [bind(settings)])


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
    )


class _Server(uvicorn.Server):
    def __init__(self, app: Application, on_ready: Callable[[], None] | None) -> None:
        super().__init__(configured(app))
        self._app = app
        self._drain = app.edge.drain
        self._is_ending = False
        self._is_told = False  # by a signal
        self._listeners: Sequence[socket.socket] = ()
        self._settings = app.edge.settings
        self._is_to_reload = False
        self.read: Callable[[], Settings] | None = None
        self.lifeline: socket.socket | None = None
        self.handover: Handover | None = None
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listeners = sockets or ()
        loop = asyncio.get_running_loop()
        settle()
        self._app.edge.stalls.begin()
        if self.lifeline is not None:
            loop.add_reader(self.lifeline, self._hear_parent)
        if self.started and self.handover is not None:
            self.handover.begin(loop.add_reader, loop.remove_reader, self._hand_over)
        if self.started and self._on_ready is not None:
            self._on_ready()

    def _hear_parent(self) -> None:
        assert self.lifeline is not None
        with suppress(OSError):
            if self.lifeline.recv(1) == HANDED_OVER:
                self._hand_over()
                return
        asyncio.get_running_loop().remove_reader(self.lifeline)
        _log.warning("the process that started this one has ended, and so does this one")
        self.handle_exit(signal.SIGTERM, None)

    def _hand_over(self) -> None:
        """Take no more connections, which the next process does from the same queue, and end once nobody has one that is used."""
        self._drain.hand_over(kept_s(self._settings))
        self._leave_port()
        self._begin()

    def _leave_port(self) -> None:
        for server in self.servers:
            server.close()
        for listener in self._listeners:
            listener.close()

    def reload_soon(self) -> None:
        self._is_to_reload = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler of signals
        drain = self._drain
        if self._is_told:
            drain.hurry()
        self._is_told = True
        drain.begin()
        self.should_exit = drain.is_hurried or not self.started

    async def on_tick(self, counter: int) -> bool:
        self._app.edge.stalls.beat()
        ends = await super().on_tick(counter)
        if not self._drain.is_draining:
            if self._is_to_reload and self.read is not None:
                self._is_to_reload = False
                self._settings = reload(self._settings, self.read, self._app.changing)
            return ends
        self._begin()
        return ends or self._drain.is_closing or (self._drain.is_handed_over and self._is_quiet())

    def _begin(self) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        threading.Thread(target=_leave_late, args=(self._drain,), name="gateway-end", daemon=True).start()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Protocol):  # a socket is told by the clients' own way to end
                connection.drain()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Take no more connections, have what runs end or be cut, and close the stores: in time, or not to its end."""
        drain = self._drain
        self._app.edge.stalls.end()  # nobody beats any more
        drain.begin()
        self._begin()
        if self.handover is not None:
            self.handover.end()
        self._leave_port()
        await self._until(lambda: False, time.monotonic() + SETTLED_S)
        self._app.edge.clients.end()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if not await self._until(self._is_quiet, time.monotonic() + drain.drain_s):
            await self._cut()
        closing = asyncio.ensure_future(self.lifespan.shutdown())
        if not await self._until(closing.done, inf, is_hurried=True):
            _log.warning("ended before all stores were closed")
            _leave()

    async def _cut(self) -> None:
        drain = self._drain
        drain.is_cut = True
        spared = self._app.edge.clients.cut()
        tasks = self.server_state.tasks - spared
        if tasks:
            _log.warning("%d %s cut, to end", len(tasks), "request was" if len(tasks) == 1 else "requests were")
        for task in tasks:
            task.cancel()
        await self._until(lambda: not self.server_state.tasks, time.monotonic() + CUT_S, is_hurried=True)
        for connection in list(self.server_state.connections):
            connection.transport.close()
        await self._until(self._is_quiet, time.monotonic() + FLUSHED_S, is_hurried=True)

    def _is_quiet(self) -> bool:
        return not self.server_state.connections and not self.server_state.tasks

    async def _until(self, holds: Callable[[], bool], at: float, *, is_hurried: bool = False) -> bool:
        """Return whether something holds, as soon as it does, or when its time is up: at a second signal, but for what is hurried."""
        while not holds():
            if time.monotonic() >= min(at, self._drain.ends_at) or (self._drain.is_hurried and not is_hurried):
                return False
            await asyncio.sleep(LOOKED_EVERY_S)
        return True


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


def _leave_late(drain: Drain) -> None:
    """End the process when its time is up, whatever its loop and its threads wait for. Runs in a thread of its own."""
    while (left := drain.ends_at + LATE_S - time.monotonic()) > 0:
        time.sleep(min(left, LOOKED_EVERY_S))
    _leave()


def _leave() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # one that was closed before the start is None
            stream.flush()
    os._exit(0)


def _end(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)
