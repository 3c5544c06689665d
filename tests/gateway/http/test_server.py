"""The server as a process: what is on the wire, how it starts and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.http import server
from tests.gateway.http.sockets import handshake, text_frame

LIMIT = 1_048_576
POST = b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"


class Process:
    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.gateway.http.serve_fake", "0"]
        self.popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.port = int(self.line().rpartition(":")[2])
        assert self.ask(b"GET /health/live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")  # from here on it is the server's signals

    def line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    @contextmanager
    def connect(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            yield connection

    def ask(self, *parts: bytes) -> bytes:
        """Send, and return all that comes back until the server closes."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            return read_all(connection)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, list[dict[str, object]]]:
        """Return the exit code and the lines of the log."""
        self.popen.send_signal(number)
        _, log = self.popen.communicate(timeout=10)
        return self.popen.returncode, [json.loads(line) for line in log.splitlines()]


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65_536):
        received += part
    return received


def read_until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        part = connection.recv(65_536)
        assert part, "closed before"
        received += part
    return received


def post(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join((POST.rstrip(), b"Content-Length: %d" % len(body), *headers, b"", body))


@pytest.fixture(scope="module")
def running() -> Iterator[Process]:
    process = Process()
    yield process
    process.end()


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()
    yield process
    if process.popen.poll() is None:
        process.end(signal.SIGKILL)


def test_an_answer_on_the_wire(running: Process) -> None:
    answer = running.ask(post(b'{"query":"{a}"}', b"Connection: close"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'\r\n\r\n{"data":{"query":"{a}"}}')
    assert b"\r\nserver:" not in answer.lower()
    assert len(re.findall(rb"\r\nx-request-id: [0-9a-f]{16}\r\n", answer)) == 1


def test_a_body_above_the_limit_is_refused_and_the_connection_closed(running: Process) -> None:
    answer = running.ask(post(b" " * (LIMIT + 1)))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"REQUEST_TOO_LARGE"' in answer


def test_a_body_at_the_limit_is_read(running: Process) -> None:
    answer = running.ask(post(b'{"query":"{a}"}'.ljust(LIMIT), b"Connection: close"))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_length_of_10_gb_is_refused_with_1_kb_sent(running: Process) -> None:
    answer = running.ask(POST + b"Content-Length: 10000000000\r\n\r\n" + b" " * 1_000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer


def test_a_chunked_body_is_cut_at_the_limit(running: Process) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    answer = running.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * (LIMIT // 65_536), b"1\r\n \r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_is_put_together(running: Process) -> None:
    head = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = running.ask(head, b'6\r\n{"quer\r\n', b'9\r\ny":"{a}"}\r\n', b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_no_100_continue_before_a_413(running: Process) -> None:
    answer = running.ask(POST + b"Expect: 100-continue\r\nContent-Length: 2097152\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: -1\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"X: a\x00b\r\n",
        b"X : a\r\n",
        b" folded: x\r\n",
    ],
)
def test_malformed_headers_are_refused_once(running: Process, headers: bytes) -> None:
    answer = running.ask(POST + headers + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_head_has_no_body(running: Process) -> None:
    answer = running.ask(b"HEAD /graphql HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


def test_a_connection_is_kept_and_answers_come_in_order(running: Process) -> None:
    requests = [post(b'{"query":"{q%d}"}' % n) for n in range(20)]
    answers = running.ask(b"".join(requests) + post(b'{"query":"{last}"}', b"Connection: close"))
    assert re.findall(rb'"query":"\{(\w+)\}"', answers) == [b"q%d" % n for n in range(20)] + [b"last"]


def test_a_client_that_leaves_ends_the_work(process: Process) -> None:
    with process.connect() as connection:
        connection.sendall(post(b'{"query":"{sleep}"}'))
    assert process.line() == "cancelled"
    code, log = process.end()
    assert code == 0
    assert [line["status"] for line in log] == [499]


def test_a_request_in_flight_is_answered_before_the_end(process: Process) -> None:
    with process.connect() as connection:
        connection.sendall(post(b'{"query":"{a}"}'))
        read_until(connection, b'"{a}"}}')
        connection.sendall(post(b'{"query":"{slow}","operationName":"Slow"}'))
        code, log = process.end()
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    assert code == 0
    assert [(line["status"], line.get("operation")) for line in log] == [(200, None), (200, "Slow")]


def test_sockets_and_streams_are_complete_at_the_end(process: Process) -> None:
    with process.connect() as connection, process.connect() as stream:
        connection.sendall(handshake())
        read_until(connection, b"\r\n\r\n")
        connection.sendall(text_frame({"type": "connection_init"}))
        read_until(connection, b'"connection_ack"}')
        for its, query in (("s", "subscription {a}"), ("q", "{slow}")):
            connection.sendall(text_frame({"id": its, "type": "subscribe", "payload": {"query": query}}))
        stream.sendall(post(b'{"query":"subscription {a}"}', b"Accept: text/event-stream"))
        read_until(stream, b":\n\n\r\n")
        started = time.monotonic()
        process.popen.send_signal(signal.SIGTERM)
        told = read_until(connection, struct.pack("!H", 1001) + b"Going away")
        connection.sendall(b"\x88\x80\x00\x00\x00\x00")
        assert b"event: complete\ndata:\n\n" in read_all(stream)
        process.popen.communicate(timeout=10)
        assert process.popen.returncode == 0
        assert time.monotonic() - started < 8
    assert re.findall(rb'"id":"(\w)","type":"(\w+)"', told) == [(b"q", b"next"), (b"q", b"complete"), (b"s", b"complete")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_with_0(process: Process, number: int) -> None:
    assert process.end(number) == (0, [])


def test_a_port_in_use_is_one_line(running: Process) -> None:
    with pytest.raises(ConfigError) as caught:
        server.bind(Settings(port=running.port))
    assert str(caught.value) == (
        f"host = '127.0.0.1', port = {running.port}: expected a free port, and something listens on this one already"
    )


def test_an_unknown_host_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^host = 'nowhere\.invalid', port = 0: expected the name or address of this machine$"):
        server.bind(Settings(host="nowhere.invalid", port=0))
