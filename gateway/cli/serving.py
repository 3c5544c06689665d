"""``gateway serve``, once its stores are ready: one process, or several."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.telling import tell

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.graph.fields import Graph
    from gateway.http.workers import Post


def serve_alone(settings: Settings, graph: Graph, unchecked: Iterable[str], listener: socket.socket, read: Callable[[], Settings]) -> None:
    """Serve until the process is told to end."""
    from gateway.app import create_app
    from gateway.http import server

    app = create_app(settings, graph, unchecked=unchecked)
    server.run(app, settings, listener, on_ready=lambda: tell(f"Serving on {server.address(listener)}"), read=read)


def serve_with_workers(
    settings: Settings, graph: Graph, unchecked: Iterable[str], listener: socket.socket, read: Callable[[], Settings]
) -> None:
    """Have as many processes serve as the settings say, and end once all have; Exit where that was not as it should be."""
    from gateway.app import create_app
    from gateway.http import server
    from gateway.http.middleware import renew_ids
    from gateway.http.siblings import Siblings
    from gateway.http.workers import Workers, shared

    address = server.address(listener)
    listeners = shared(listener, settings.workers)
    folder = Path(tempfile.mkdtemp(prefix="crossgraph-"))

    def work(post: Post) -> None:
        renew_ids()
        siblings = Siblings(folder, post.number, post.count, post.restarts)
        app = create_app(post.settings, graph, unchecked=unchecked, siblings=siblings)
        server.run(app, post.settings, post.listener, on_ready=post.say_ready, read=read, lifeline=post.lifeline)

    def ready() -> None:
        tell(f"Serving on {address} with {settings.workers} workers")

    server.settle()  # what is there now is every worker's
    try:
        code = Workers(settings, listeners, work, on_ready=ready, read=read).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if code:
        raise typer.Exit(code)
