"""``gateway serve``, once its stores are ready: one process, or several."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.telling import tell
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.graph.fields import Graph
    from gateway.http.handover import Handover
    from gateway.http.workers import Post


@dataclass(frozen=True, slots=True)
class Port:
    """The sockets that are listened to, all on one address, and how they go to the next process."""

    listeners: Sequence[socket.socket]
    handover: Handover | None = None


def take_port(settings: Settings) -> Port:
    """Return the port of whoever started this process, of the process that serves until now, or a free one."""
    from gateway.http import server
    from gateway.http.handover import Handover, ask
    from gateway.http.inherited import inherited
    from gateway.http.workers import shared

    listeners = inherited(os.environ)
    if listeners and settings.handover:
        raise ConfigError(f"handover = {settings.handover!r}: expected none where sockets come from who started the process (LISTEN_FDS)")
    if listeners:
        return Port(listeners)
    found = ask(settings.handover) if settings.handover else None
    if found is not None:
        listeners, before = found
        server.refuse_elsewhere(settings, listeners[0])
        return Port(listeners, Handover(settings.handover, listeners, before))
    listener = server.bind(settings)
    listeners = [listener] if settings.workers == 1 else shared(listener, settings.workers)
    return Port(listeners, Handover(settings.handover, listeners) if settings.handover else None)


def serve_alone(settings: Settings, graph: Graph, unchecked: Iterable[str], port: Port, read: Callable[[], Settings]) -> None:
    """Serve until the process is told to end, or has handed over its port."""
    from gateway.app import create_app
    from gateway.http import server

    app = create_app(settings, graph, unchecked=unchecked)
    address = server.address(port.listeners[0])
    server.run(app, settings, port.listeners, on_ready=lambda: tell(f"Serving on {address}"), read=read, handover=port.handover)


def serve_with_workers(settings: Settings, graph: Graph, unchecked: Iterable[str], port: Port, read: Callable[[], Settings]) -> None:
    """Have as many processes serve as the settings say, and end once all have; Exit where that was not as it should be."""
    from gateway.app import create_app
    from gateway.http import server
    from gateway.http.middleware import renew_ids
    from gateway.http.siblings import Siblings
    from gateway.http.workers import Workers

    address = server.address(port.listeners[0])
    folder = Path(tempfile.mkdtemp(prefix="crossgraph-"))

    def work(post: Post) -> None:
        renew_ids()
        siblings = Siblings(folder, post.number, post.count, post.restarts)
        app = create_app(post.settings, graph, unchecked=unchecked, siblings=siblings)
        server.run(app, post.settings, post.listeners, on_ready=post.say_ready, read=read, lifeline=post.lifeline)

    def ready() -> None:
        tell(f"Serving on {address} with {settings.workers} workers")

    server.settle()  # what is there now is every worker's
    try:
        code = Workers(settings, port.listeners, work, on_ready=ready, read=read, handover=port.handover).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if code:
        raise typer.Exit(code)
