"""What holds the loop is told, with its stack, and once."""

from __future__ import annotations

import json
import logging
import socket
import time

import pytest

from gateway.http.stalls import Stalls
from tests.gateway.http.test_server import READY, Process, post, read_all
from tests.tries import in_tries


def test_f20_what_holds_the_loop_is_in_the_log_and_probes_are_not_answered_meanwhile() -> None:
    process = Process()
    with process.connect() as held, process.connect() as probe:
        held.sendall(post(b'{"query":"{block}"}', b"Connection: close"))
        assert process.line() == "begun"
        probe.settimeout(0.5)
        probe.sendall(READY)
        with pytest.raises(socket.timeout):
            probe.recv(1)
        assert read_all(held).startswith(b"HTTP/1.1 200 ")
        probe.settimeout(30)
        assert probe.recv(65_536).startswith(b"HTTP/1.1 200 ")
    code, log = process.end()
    assert code == 0
    [line] = [line for line in log if line["message"] == "the loop is held, and nobody is answered"]
    assert "hold_the_loop" in str(line["stack"])
    assert len(json.dumps(line)) < 8_000


@in_tries
def test_a_loop_that_goes_on_is_no_stall(caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    stalls = Stalls(stalled_s=0.2, looked_every_s=0.01)
    stalls.begin()
    try:
        for _ in range(20):
            stalls.beat()
            time.sleep(0.02)
        assert stalls.count == 0
        time.sleep(0.5)
        assert stalls.count == 1, "one stall is one, however long it is"
        stalls.beat()
        time.sleep(0.4)
    finally:
        stalls.end()
    assert stalls.count == 2
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert told == ["the loop is held, and nobody is answered"] * 2
