"""A gateway whose outputs are closed, or on a disk that is full, serves all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.processes import Server, free_port, wait_for_answer
from tests.forms import of_form
from tests.serving import START_S, TYPENAME


@pytest.mark.parametrize("outputs", [">&- 2>/dev/full", ">/dev/full 2>/dev/full", ">&- 2>&-"][: of_form(1, 3)])
def test_f36_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path, outputs: str) -> None:
    port = free_port()
    command = f"exec {sys.executable} -m gateway serve --port {port} {outputs}"
    ours = {name: "" for name in os.environ if name.startswith(("GATEWAY_", "DATABASE_URL", "MONGO_URL", "NEO4J_URL"))}
    environment = {**os.environ, **ours, "GATEWAY_DATA_DIR": str(tmp_path)}
    process = subprocess.Popen(["/bin/sh", "-c", command], env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    nothing = tmp_path / "log"
    nothing.touch()
    server = Server("gateway", port, process, nothing)
    try:
        for _ in range(3):
            assert wait_for_answer(server, TYPENAME, timeout_s=START_S) == b'{"data":{"__typename":"Query"}}'
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        server.stop()
