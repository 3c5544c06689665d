"""What a line of the log looks like."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from gateway.observability import logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a configured log has written; the log is as before afterwards."""
    root, own = logging.getLogger(), logging.getLogger("gateway")
    before = root.handlers, root.level, own.level
    stream = io.StringIO()
    logs.configure("production", stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])


def test_an_access_line(written: io.StringIO) -> None:
    logs.access("r1", "POST", "/graphql", 200, 0.0123, "Users", quiet=False)
    line = orjson.loads(written.getvalue())
    assert len(line.pop("time")) == len("2026-01-02T03:04:05.678Z")
    assert line == {
        "level": "INFO", "logger": "gateway.access", "message": "request", "request": "r1",
        "method": "POST", "path": "/graphql", "status": 200, "ms": 12.3, "operation": "Users",
    }  # fmt: skip


def test_a_line_is_bounded_and_has_no_control_characters(written: io.StringIO) -> None:
    logs.access("r1", "M" * 99, "/\x1b[31m\x9b\n" + "p" * 9_999, 404, 0.0, "O\u0085" * 9_999, quiet=False)
    text = written.getvalue()
    assert text.count("\n") == 1
    assert len(text) < 1_000
    assert all(character >= " " and not "\x7f" < character < "\xa0" for character in text[:-1])


def test_an_exception_has_its_cause_and_no_password(written: io.StringIO) -> None:
    try:
        raise OSError("postgresql://gateway:hunter2@db/users refused")
    except OSError as exc:
        logs.unexpected("r2", exc)
    line = orjson.loads(written.getvalue())
    assert (line["request"], line["error"]) == ("r2", "OSError")
    assert line["reason"] == "postgresql://gateway:***@db/users refused"
    assert "test_logs.py" in line["trace"]
    assert "hunter2" not in written.getvalue()


def test_a_log_that_cannot_be_written_is_no_error(written: io.StringIO) -> None:
    written.close()
    logs.access("r1", "POST", "/graphql", 200, 0.0, None, quiet=False)


def test_quiet_requests_are_for_development(written: io.StringIO) -> None:
    logs.access("r1", "GET", "/health/live", 200, 0.0, None, quiet=True)
    assert written.getvalue() == ""
    logs.configure("development", written)
    logs.access("r1", "GET", "/health/live", 200, 0.0, None, quiet=True)
    assert written.getvalue() != ""


def test_the_access_log_can_be_off() -> None:
    stream = io.StringIO()
    logs.configure("production", stream, access_log=False)
    try:
        logs.access("id", "POST", "/graphql", 200, 0.001, None, quiet=False)
    finally:
        logs.configure("production", stream)
    assert stream.getvalue() == ""
