"""Logs: one line for each event on standard error, as JSON or as text for people. No query text, no variables, no passwords, no e-mail
addresses; every value bounded.

``configure`` is called once, by the command line. Requests for pages, probes and assets are at level DEBUG, GraphQL's at INFO.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO

import orjson

from gateway.observability.accounts import Account

TEXT_LIMIT = 1_000  # characters of a message
TRACE_LIMIT = 8_000  # characters of a traceback: its end, where the cause is

_access = logging.getLogger("gateway.access")
_errors = logging.getLogger("gateway.errors")

# What a driver's message may quote: passwords in URLs. And what a terminal may obey: control characters of C1, which JSON leaves.
_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s]*@")
# A user before a host in a URL is none.
_EMAIL = re.compile(r"(?<![\w.+%/-])[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_WITH_AT = re.compile(r"[^/@]*@[^/]*")  # of a path
_CONTROL = re.compile("[\x7f-\x9f]")
_PLAIN = re.compile(r"[\w.:/+{}\[\],*?$-]+").fullmatch  # a value of a line for people that needs no quotes


def configure(environment: str, stream: TextIO | None = None, *, form: Literal["json", "text"] = "json", access_log: bool = True) -> None:
    """Send all logs to standard error, a line for each record: from DEBUG on for our own in development, from INFO in production."""
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(logging.INFO if environment == "production" else logging.DEBUG)
    write_access(access_log)
    logging.captureWarnings(True)
    # What our lines do not show need not be looked up for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def write_access(is_written: bool) -> None:
    """Have a line for every request, or none."""
    _access.disabled = not is_written


def access(request_id: str, method: str, path: str, status: int, seconds: float, account: Account | None, *, quiet: bool) -> None:
    """Log one line for an HTTP request. ``status`` 499: the client left before the answer. ``account`` is that of a GraphQL request."""
    level = logging.DEBUG if quiet else logging.INFO
    if not _access.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
        "request": request_id,
        "method": method[:16],
        "path": _WITH_AT.sub("***@***", path[:200]) if "@" in path else path[:200],
        "status": status,
        "ms": round(seconds * 1_000, 3),
    }
    event(_access, "request", level, fields if account is None else fields | account.fields())


def operation(request_id: str, transport: str, seconds: float, account: Account) -> None:
    """Log one line for an operation over a socket, or a stream, that has several."""
    if not _access.isEnabledFor(logging.INFO):
        return
    fields: dict[str, Any] = {"request": request_id, "transport": transport, "ms": round(seconds * 1_000, 3)}
    event(_access, "operation", logging.INFO, fields | account.fields())


def event(logger: logging.Logger, message: str, level: int, fields: Mapping[str, Any]) -> None:
    """Log a line with keys of its own."""
    # PERF: 4 µs less than .info(), which walks the stack for the line of its caller (python -m tests.gateway.http.cost).
    if logger.isEnabledFor(level):
        logger.handle(logger.makeRecord(logger.name, level, "", 0, message, (), None, extra={"fields": fields}))


def unexpected(request_id: str, exc: BaseException) -> None:
    """Log what a client sees masked, with the id that it sees."""
    _errors.error("unexpected error", exc_info=exc, extra={"fields": {"request": request_id}})


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; the record's ``fields`` are its own keys."""

    def format(self, record: logging.LogRecord) -> str:
        return json_of(_parts(record))


class TextFormatter(logging.Formatter):
    """A record as one line for people: when, how bad, who, what, and its fields as ``name=value``, with quotes where a value needs them."""

    def format(self, record: logging.LogRecord) -> str:
        parts = _parts(record)
        head = f"{parts.pop('time')} {parts.pop('level'):<7} {parts.pop('logger')} {parts.pop('message')}"
        return " ".join((_CONTROL.sub("?", head).replace("\n", " "), *(f"{name}={_text(value)}" for name, value in parts.items())))


def json_of(value: object) -> str:
    """Return a value as JSON, without what a terminal may obey."""
    return _CONTROL.sub("?", orjson.dumps(value, default=str).decode())


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json_of(value)
    return text if _PLAIN(text) else json_of(text)


def _parts(record: logging.LogRecord) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "time": f"{_second(int(record.created))}.{int(record.created % 1 * 1_000):03}Z",
        "level": record.levelname,
        "logger": record.name,
        "message": _bounded(record.getMessage()),
        **getattr(record, "fields", {}),
    }
    if record.exc_info and record.exc_info[1]:
        parts |= _exception(record.exc_info[1])
    return parts


class _Handler(logging.StreamHandler[Any]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Go on: where the log cannot be written, requests still are answered."""


@lru_cache(maxsize=2)
def _second(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _exception(exc: BaseException) -> dict[str, str]:
    trace = "".join(traceback.format_exception(exc))
    return {
        "error": type(exc).__name__,
        "reason": _bounded(str(exc)),
        "trace": _safe(trace[-TRACE_LIMIT:]),
    }


def _bounded(text: str) -> str:
    return _safe(text[:TEXT_LIMIT])


def _safe(text: str) -> str:
    return _EMAIL.sub("***@***", _PASSWORD.sub(r"\1:***@", text)) if "@" in text else text
