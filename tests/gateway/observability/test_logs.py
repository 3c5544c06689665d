"""What a line of the log looks like."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from hashlib import sha256
from typing import Literal

import orjson
import pytest
from graphql import OperationType, parse

from gateway.engine.document import Document, Nodes, Operation
from gateway.observability import logs
from gateway.observability.accounts import Account
from gateway.security.limits import Limits


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
    logs.access("r1", "POST", "/graphql", 200, 0.0123, Account("Users"), quiet=False)
    line = orjson.loads(written.getvalue())
    assert len(line.pop("time")) == len("2026-01-02T03:04:05.678Z")
    assert line == {
        "level": "INFO", "logger": "gateway.access", "message": "request", "request": "r1",
        "method": "POST", "path": "/graphql", "status": 200, "ms": 12.3, "operation": "Users",
    }  # fmt: skip


def test_a_line_is_bounded_and_has_no_control_characters(written: io.StringIO) -> None:
    logs.access("r1", "M" * 99, "/\x1b[31m\x9b\n" + "p" * 9_999, 404, 0.0, Account("O\u0085" * 9_999), quiet=False)
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


def test_what_a_request_did_is_in_its_line(written: io.StringIO) -> None:
    text = 'query Users($mail: String) { users(where: {email: {eq: "a@b.example"}}) { nodes { id } } }'
    account = Account()
    account.operation = Operation("Users", OperationType.QUERY, "query")
    account.document = Document(text, Nodes(parse(text)), 9, Limits())
    account.plan_hit = True
    account.calls, account.keys, account.rows = 3, 50, 120
    account.codes = ("STORE_TIMEOUT", "STORE_TIMEOUT", "NOT_FOUND")
    logs.access("r1", "POST", "/graphql", 200, 0.001, account, quiet=False)
    line = orjson.loads(written.getvalue())
    told = {name: line[name] for name in list(line)[list(line).index("operation") :]}
    assert told == {
        "operation": "Users", "type": "query", "hash": sha256(text.encode()).hexdigest(), "document_hit": True, "plan_hit": True,
        "calls": 3, "keys": 50, "rows": 120, "errors": {"STORE_TIMEOUT": 2, "NOT_FOUND": 1},
    }  # fmt: skip


def test_a_name_that_is_none_is_not_told(written: io.StringIO) -> None:
    logs.access("r1", "POST", "/graphql", 400, 0.0, Account("ada@example.org"), quiet=False)
    assert "operation" not in orjson.loads(written.getvalue())


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_has_an_e_mail_address(form: Literal["json", "text"]) -> None:
    stream = io.StringIO()
    root, own = logging.getLogger(), logging.getLogger("gateway")
    before = root.handlers, root.level, own.level
    logs.configure("production", stream, form=form)
    try:
        logs.access("r1", "GET", "/people/ada@example.org", 404, 0.0, None, quiet=False)
        try:
            raise ValueError("Key (email)=(Ada.Lovelace+x@mail.example.org) exists at postgresql://gateway:hunter2@db.example.org/users")
        except ValueError as exc:
            logs.unexpected("r2", exc)
    finally:
        logging.captureWarnings(False)
        root.handlers, root.level = before[0], before[1]
        own.setLevel(before[2])
    told = stream.getvalue()
    assert "ada@" not in told
    assert "Lovelace" not in told
    assert "hunter2" not in told
    assert "(email)=(***@***)" in told
    assert "postgresql://gateway:***@db.example.org/users" in told


def test_a_line_for_people() -> None:
    record = logging.makeLogRecord({"name": "gateway.access", "levelname": "INFO", "msg": "request", "created": 1_767_323_045.5})
    record.fields = {"request": "r1", "path": "/a b", "ms": 1.5, "errors": {"NOT_FOUND": 1}, "line": "one\ntwo"}
    assert logs.TextFormatter().format(record) == (
        '2026-01-02T03:04:05.500Z INFO    gateway.access request request=r1 path="/a b" ms=1.5 '
        r'errors="{\"NOT_FOUND\":1}" line="one\ntwo"'
    )
