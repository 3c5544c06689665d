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
from typing import Any

import pytest

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.http import server
from tests.forms import of_form
from tests.gateway.http.sockets import handshake, text_frame
from tests.preloaded import Popen
from tests.tries import in_tries

LIMIT = 1_048_576
POST = b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"


class Process:
    def __init__(self, **settings: Any) -> None:
        command = [sys.executable, "-m", "tests.gateway.http.serve_fake", "0", json.dumps(settings)]
        self.popen: subprocess.Popen[str] = Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.port = int(self.line().rpartition(":")[2])
        assert self.ask(b"GET /health/live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")  # from here on it is the server's signals

    def line(self) -> str:
        assert self.popen.stdout is not None
        return str(self.popen.stdout.readline()).strip()

    @contextmanager
    def connect(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
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
        _, log = self.popen.communicate(timeout=60)
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
        assert process.line() == "begun"
    assert process.line() == "cancelled"
    code, log = process.end()
    assert code == 0
    assert [line["status"] for line in log] == [499]


def test_a_request_in_flight_is_answered_before_the_end(process: Process) -> None:
    with process.connect() as connection:
        connection.sendall(post(b'{"query":"{a}"}'))
        read_until(connection, b'"{a}"}}')
        connection.sendall(post(b'{"query":"{nap}","operationName":"Slow"}'))
        assert process.line() == "begun"
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
        process.popen.communicate(timeout=60)
        assert process.popen.returncode == 0
        assert time.monotonic() - started < 20, "the time that requests have to end is not waited for"
    assert re.findall(rb'"id":"(\w)","type":"(\w+)"', told) == [(b"q", b"next"), (b"q", b"complete"), (b"s", b"complete")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_with_0(process: Process, number: int) -> None:
    assert process.end(number) == (0, [])


# ------------------------------------------------------------------------------------------------------------- its end


@contextmanager
def served(**settings: Any) -> Iterator[Process]:
    process = Process(**settings)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate()


READY = b"GET /health/ready HTTP/1.1\r\nHost: gateway\r\n\r\n"
LIVE = b"GET /health/live HTTP/1.0\r\n\r\n"


def end_of(process: Process) -> tuple[int, list[str]]:
    """Return the exit code of a process that ends, and the messages of its log that are no requests."""
    _, log = process.popen.communicate(timeout=60)
    return process.popen.returncode, [line["message"] for line in map(json.loads, log.splitlines()) if "ms" not in line]


def until_draining(process: Process) -> None:
    """Return once a process has heard of its end, within the delay in which it still takes connections."""
    while not process.ask(READY).startswith(b"HTTP/1.1 503 "):
        pass


@in_tries
def test_while_it_drains_readiness_says_no_and_others_are_answered_and_closed() -> None:
    with served(drain_delay_s=1.0) as process, process.connect() as kept:
        kept.sendall(post(b'{"query":"{a}"}'))
        assert b"connection: close" not in read_until(kept, b'"{a}"}}')
        started = time.monotonic()
        process.popen.send_signal(signal.SIGTERM)
        ready = process.ask(READY)
        assert time.monotonic() - started < 0.1
        assert ready.startswith(b"HTTP/1.1 503 ")
        assert ready.endswith(b'\r\n\r\n{"status":"draining"}')
        assert process.ask(LIVE).startswith(b"HTTP/1.1 200 ")
        kept.sendall(post(b'{"query":"{b}"}'))
        over_kept, over_new = read_all(kept), process.ask(post(b'{"query":"{slow}"}'))
        assert all(b" 200 OK\r\n" in answer and b"\r\nconnection: close\r\n" in answer for answer in (over_kept, over_new))
        assert end_of(process) == (0, [])
        assert 1.0 <= time.monotonic() - started < 3
    with pytest.raises(ConnectionRefusedError), process.connect():
        pass


def test_pipelined_requests_are_all_answered_while_it_drains() -> None:
    with served(drain_delay_s=2.0) as process, process.connect() as connection:
        connection.sendall(post(b'{"query":"{held}"}'))
        assert process.line() == "begun"
        process.popen.send_signal(signal.SIGTERM)
        until_draining(process)
        connection.sendall(post(b'{"query":"{b}"}') + post(b'{"query":"{c}"}'))
        process.ask(post(b'{"query":"{let}"}'))
        answers = read_all(connection)
        assert re.findall(rb'"query":"\{(\w+)\}"', answers) == [b"held", b"b", b"c"]
        assert answers.count(b"connection: close") == 1
        assert end_of(process)[0] == 0


def test_a_request_that_has_begun_to_come_is_answered(process: Process) -> None:
    whole = post(b'{"query":"{a}"}')
    with process.connect() as connection:
        connection.sendall(whole[:40])
        process.ask(LIVE)  # it came later, and is answered
        process.popen.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        connection.sendall(whole[40:])
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    assert end_of(process) == (0, [])


def test_what_runs_longer_than_the_drain_is_answered_with_503() -> None:
    with served(drain_s=0.5) as process, process.connect() as connection, process.connect() as socket:
        socket.sendall(handshake())
        read_until(socket, b"\r\n\r\n")
        socket.sendall(text_frame({"type": "connection_init"}))
        read_until(socket, b'"connection_ack"}')
        socket.sendall(text_frame({"id": "q", "type": "subscribe", "payload": {"query": "{sleep}"}}))
        connection.sendall(post(b'{"query":"{sleep}"}'))
        assert [process.line(), process.line()] == ["begun", "begun"]
        started = time.monotonic()
        process.popen.send_signal(signal.SIGTERM)
        answer, told = read_all(connection), read_until(socket, struct.pack("!H", 1001) + b"Going away")
        socket.sendall(b"\x88\x80\x00\x00\x00\x00")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nconnection: close\r\n" in answer
        error = {"message": "The gateway is ending; try again.", "extensions": {"code": "OVERLOADED"}}
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["errors"] == [error]
        assert b'{"id":"q","type":"error","payload":[{"message":"The gateway is ending; try again."' in told
        assert end_of(process) == (0, ["1 request was cut, to end"])
        assert 0.5 <= time.monotonic() - started < 20, "of the minute that it takes"


SECOND = [("well", signal.SIGTERM), ("hang", signal.SIGINT), ("block", signal.SIGTERM)]
SECOND_TOO = [("well", signal.SIGINT), ("hang", signal.SIGTERM), ("block", signal.SIGINT)]


@in_tries
@pytest.mark.parametrize(("closing", "number"), SECOND + SECOND_TOO[: of_form(0, len(SECOND_TOO))])
def test_a_second_signal_answers_what_runs_and_ends_within_a_second(closing: str, number: int) -> None:
    with served(drain_delay_s=20, closing=closing) as process, process.connect() as connection:
        connection.sendall(post(b'{"query":"{sleep}"}'))
        assert process.line() == "begun"
        process.popen.send_signal(number)
        until_draining(process)
        assert process.popen.poll() is None
        started = time.monotonic()
        process.popen.send_signal(number)
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"OVERLOADED"' in answer
        assert process.popen.wait(30) == 0
        assert time.monotonic() - started < 1.2  # a second, and what the test itself takes
        assert [process.line(), process.line()] == ["cancelled", "closing"]


ENDING_S = 0.5


def test_stores_that_do_not_close_are_left() -> None:
    with served(drain_s=0.1, ending_s=ENDING_S, closing="hang") as process:
        started = time.monotonic()
        process.popen.send_signal(signal.SIGTERM)
        assert end_of(process) == (0, ["ended before all stores were closed"])
        assert time.monotonic() - started < 0.1 + ENDING_S + 10, "of the minute that they take"


def test_a_port_in_use_is_one_line(running: Process) -> None:
    with pytest.raises(ConfigError) as caught:
        server.bind(Settings(port=running.port))
    assert str(caught.value) == (
        f"host = '127.0.0.1', port = {running.port}: expected a free port, and something listens on this one already"
    )


def test_an_unknown_host_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^host = 'nowhere\.invalid', port = 0: expected the name or address of this machine$"):
        server.bind(Settings(host="nowhere.invalid", port=0))
