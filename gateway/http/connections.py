"""How many connections a process holds. Those beyond are told to come again, where probes alone are answered, or are closed at once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

from gateway.config import Settings
from gateway.errors import Overloaded
from gateway.observability.metrics import Reading

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SPARE = 64  # connections beyond the most that are told so; further ones are closed without a word
FILES_KEPT = 64  # of those that a process may open: for the listener, logs, lines of stores, files of SQLite
LEAST = 8  # connections, however few files there are

_log = logging.getLogger("gateway.http")


class Connections:
    """Those of one server, sockets included. ``open`` is the server's own set of them, once it has one."""

    def __init__(self, settings: Settings) -> None:
        self.most = _most_of(settings, _files())
        self.open: Collection[object] = ()
        self._refused = 0
        if self.most < settings.connections_max:
            _log.warning("at most %d connections are taken, and not connections_max: the process may open no more files", self.most)

    @property
    def is_over(self) -> bool:
        return len(self.open) > self.most

    @property
    def is_too_much(self) -> bool:
        return len(self.open) > self.most + SPARE

    def refusal(self) -> Overloaded:
        self._refused += 1
        return Overloaded("Too many connections are open; try again later (setting connections_max).", setting="connections_max")

    def closed(self) -> None:
        """Hear of one that was closed without a word."""
        self._refused += 1

    def readings(self) -> Iterator[Reading]:
        yield Reading("connections", "Connections of clients that are open, sockets among them.", len(self.open), is_counter=False)
        yield Reading("connections_refused", "Connections that were one too many.", self._refused)


def _most_of(settings: Settings, files: int | None) -> int:
    if files is None:
        return settings.connections_max
    kept = FILES_KEPT + SPARE + sum(store.pool_size * (1 + len(store.replicas)) for store in settings.stores.values())
    return max(LEAST, min(settings.connections_max, files - kept))


def _files() -> int | None:
    """Return how many files the process may have open, after it has asked for all that it may ask for; None where that is not limited."""
    if resource is None:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and soft != resource.RLIM_INFINITY:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass
    return None if soft == resource.RLIM_INFINITY else soft
