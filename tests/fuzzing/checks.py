"""What must hold for every answer, whatever was asked: each thing that does not is said in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from tests.fuzzing.messages import Message
from tests.serving import Answer

# Of our own: how it is built, where it is, what it is called there. What the client said itself may be quoted.
_INTERNALS = {
    "a traceback": re.compile(r"Traceback|File \"|, line \d+, in |\.py\b|site-packages"),
    "an object of Python": re.compile(r"<class '|<function |<built-in| object at 0x|\b0x[0-9a-f]{8,}\b|\bNoneType\b|\w+Error\("),
    "SQL": re.compile(
        r"\bSELECT\b.+\bFROM\b|\bINSERT INTO\b|\bWHERE\b.+=|\[SQL|\bUNION\b|json_group_array|json_object\(|jsonb_",
        re.IGNORECASE | re.DOTALL,
    ),
    "Cypher or a pipeline": re.compile(r"\bMATCH \(|\bUNWIND\b|\$match\b|\$group\b|\$lookup\b"),
    "a driver": re.compile(
        r"sqlalchemy|aiosqlite|sqlite|asyncpg|psycopg|pymongo|motor|neo4j|bolt\b|httptools|uvicorn|starlette|orjson|pydantic", re.IGNORECASE
    ),
    "an address": re.compile(r"\w://|127\.0\.0\.1|localhost|::1\b|:\d{4,5}\b(?!\d)"),
    "a path": re.compile(r"(?<![\w/])/(?:tmp|home|root|usr|var|etc|work|opt|srv|proc|dev)\b|\.db\b|\.venv"),
}
_PLAIN_400 = b"Invalid HTTP request received."  # the server's own, for what is no HTTP: there is no application to ask yet


def problems(message: Message, answer: Answer) -> list[str]:
    """Return what is wrong with the answer; nothing, where all is well."""
    return list(_problems(message, answer))


def codes(answer: Answer) -> list[str]:
    """Return the codes of the answer's errors."""
    try:
        errors = orjson.loads(answer.body).get("errors", ())
        return [error["extensions"]["code"] for error in errors]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return []


def _problems(message: Message, answer: Answer) -> Iterator[str]:
    if answer.status == 500:
        yield "status: expected anything but 500"
    length = answer.headers.get(b"content-length")
    if message.method == "HEAD":
        return
    if length is not None and length != b"%d" % len(answer.body):
        yield f"content-length: expected {len(answer.body)}, got {length.decode('latin-1')}"
    if answer.status == 400 and answer.body == _PLAIN_400:
        return
    yield from _leaks("headers", "\n".join(f"{n.decode('latin-1')}: {v.decode('latin-1')}" for n, v in answer.headers.items()), message)
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError as exc:
        yield f"body: expected JSON, got {answer.body[:80]!r}: {exc}"
        return
    yield from _shape(body, answer.status)
    if isinstance(body, dict):  # values of the stores are no leak; neither are the plan and the calls, for which the header asks
        hidden = {key: value for key, value in body.items() if key != "data"}
        if isinstance(hidden.get("extensions"), dict):
            hidden["extensions"] = {key: value for key, value in hidden["extensions"].items() if key != "explain"}
        for text in _texts(hidden):  # one by one: two that the client said itself are no third
            yield from _leaks("errors", text, message)


def _shape(body: Any, status: int) -> Iterator[str]:
    if not isinstance(body, dict) or not body.keys() & {"data", "errors"}:
        yield f"body: expected an object with data or errors, got {str(body)[:80]}"
        return
    if body.keys() - {"data", "errors", "extensions"}:
        yield f"body: expected data, errors and extensions, got {', '.join(body)}"
    if status >= 400 and body.get("data") is not None:
        yield f"data: expected none with status {status}"
    errors = body.get("errors", [None])
    if "errors" in body and not (isinstance(errors, list) and errors):
        yield "errors: expected a list that is not empty"
        return
    for error in errors if "errors" in body else ():
        yield from _error(error)


def _error(error: Any) -> Iterator[str]:
    if not isinstance(error, dict) or not isinstance(error.get("message"), str) or not error["message"]:
        yield f"error: expected a message, got {str(error)[:80]}"
        return
    extensions = error.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else None
    if not isinstance(code, str) or not re.fullmatch(r"[A-Z][A-Z_]+", code):
        yield f"error: expected extensions.code, got {code!r}: {error['message'][:80]}"
    elif code == "INTERNAL_SERVER_ERROR":
        yield f"error: expected what the client can act on, got {code}: {error['message'][:80]}"


def _leaks(where: str, text: str, message: Message) -> Iterator[str]:
    said = None
    for what, pattern in _INTERNALS.items():
        for found in pattern.finditer(text):
            if said is None:
                said = message.said().lower()
            if found[0].lower() not in said:
                yield f"{where}: {what} in it: {text[max(0, found.start() - 30) : found.end() + 30]!r}"
                break


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
