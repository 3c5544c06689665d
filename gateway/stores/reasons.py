"""Why a store is unavailable: one of a dozen words, for the command line, the log and readiness. Clients are told only that it is."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from enum import StrEnum
from socket import gaierror

from gateway.errors import StoreUnavailable


class Reason(StrEnum):
    """The word is for readiness, ``told`` for people."""

    REFUSED = "refused"
    NO_HOST = "no host"
    NO_ROUTE = "no route"
    TIMED_OUT = "timed out"
    TLS = "tls"
    PASSWORD = "password"  # noqa: S105 - a word
    NO_DATABASE = "no database"
    NO_TABLE = "no table"
    NO_RIGHT = "no right"
    READ_ONLY = "read-only"
    DISK_FULL = "disk full"
    TOO_MANY = "too many connections"
    STARTING = "starting"
    NO_FILE = "no file"
    LOST = "lost"
    BREAKER = "breaker open"

    @property
    def told(self) -> str:
        return _TOLD[self]


_TOLD = {
    Reason.REFUSED: "nobody listens there (connection refused)",
    Reason.NO_HOST: "there is no host of that name",
    Reason.NO_ROUTE: "there is no way to that host",
    Reason.TIMED_OUT: "it did not answer in time",
    Reason.TLS: "no secure connection could be made",
    Reason.PASSWORD: "it does not take this user and password",
    Reason.NO_DATABASE: "it has no such database",
    Reason.NO_TABLE: "a table or column is missing there",
    Reason.NO_RIGHT: "the user lacks a right there",
    Reason.READ_ONLY: "it is read-only",
    Reason.DISK_FULL: "its disk is full",
    Reason.TOO_MANY: "it takes no more connections",
    Reason.STARTING: "it is starting, or shutting down",
    Reason.NO_FILE: "its file cannot be opened",
    Reason.LOST: "the connection was lost",
    Reason.BREAKER: "it failed too often lately, and is asked again in some seconds",
}

# What errors of an operating system are, whatever driver they came through.
_OS_ERRORS: tuple[tuple[type[BaseException], Reason], ...] = (
    (gaierror, Reason.NO_HOST),
    (ssl.SSLError, Reason.TLS),
    (ConnectionRefusedError, Reason.REFUSED),
    (ConnectionResetError, Reason.LOST),
    (BrokenPipeError, Reason.LOST),
    (TimeoutError, Reason.TIMED_OUT),
    (FileNotFoundError, Reason.NO_FILE),
    (PermissionError, Reason.NO_RIGHT),
)
# Drivers write the errors of several hosts into one text, and forget the errors.
_WORDS = (
    ("refused", Reason.REFUSED),
    ("Connect call failed", Reason.REFUSED),
    ("Name or service not known", Reason.NO_HOST),
    ("nodename nor servname", Reason.NO_HOST),
    ("name resolution", Reason.NO_HOST),
    ("Cannot resolve address", Reason.NO_HOST),
    ("unreachable", Reason.NO_ROUTE),
    ("certificate", Reason.TLS),
    ("SSL", Reason.TLS),
    ("timed out", Reason.TIMED_OUT),
    ("timeout", Reason.TIMED_OUT),
)


def reason_of(error: BaseException | None) -> Reason | None:
    """Return why a connection could not be made or kept, from an error and what it came from; None where that does not tell."""
    chain = list(_chain(error))
    for one in chain:
        for kind, reason in _OS_ERRORS:
            if isinstance(one, kind):
                return reason
    for one in chain:
        text = str(one)
        for words, reason in _WORDS:
            if words in text:
                return reason
    return None


def unavailable(store: str, error: BaseException, reason: Reason | None = None) -> StoreUnavailable:
    """Return the error of a store that is unavailable, with the reason that is known, or that the driver's error tells."""
    known = reason or reason_of(error)
    return StoreUnavailable(store) if known is None else StoreUnavailable(store, known.value, known.told)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
