"""Start commands of the gateway without waiting for Python to read it: forks of a process that has all of it in memory already.

    with Forks() as forks:
        process = forks.start(["serve", "--port", "8000"], environment, Path("log"))

A fork is a process as any: it has its own memory, sockets and files, leads a process group of its own, and is killed as one. PERF: 0.3 s to
the first answer, where a process that imports everything needs 1.6 s of CPU, which was most of what a kill took.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import orjson

from gateway import cli
from gateway.writes import sequencer, worker

GONE_S = 20.0
READ = (  # once, for all that are forked
    *("gateway.app", "gateway.cli.relaying", "gateway.cli.running", "gateway.http.server", "gateway.relaying"),
    *("gateway.stores.mongo.store", "gateway.stores.neo4j.store", "gateway.stores.sql.store", "schema"),
)


class Forked:
    """A running command."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """Return None while it runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return -1
        return None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it and all that it started, and wait until it is gone; RuntimeError where it does not end."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        until = time.monotonic() + GONE_S
        while self.poll() is None:
            if time.monotonic() > until:
                raise RuntimeError(f"process {self.pid} did not end within {GONE_S:g} s of signal {number}")
            time.sleep(0.002)


class Forks:
    """The process that is forked. Its children are nobody's to wait for: they are gone when they end.

    With ``lease_s`` leases of deliveries and of the log end after so many seconds: in production after half a minute.
    """

    def __init__(self, lease_s: float | None = None) -> None:
        self._lease_s = lease_s

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        told = {"arguments": list(arguments), "environment": dict(environment), "log": str(log), "lease": self._lease_s}
        self._process.stdin.write(orjson.dumps(told) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"what is forked has ended with {self._process.wait()}")
        return Forked(int(line))


def main() -> None:
    for name in READ:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        told = orjson.loads(line)
        if (pid := os.fork()) == 0:
            _run(told)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _run(told: Mapping[str, Any]) -> NoReturn:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, its in ((0, nothing), (1, log), (2, log)):
        os.dup2(its, number)
    os.environ.update(told["environment"])
    sys.argv = ["gateway", *told["arguments"]]
    if told["lease"] is not None:
        worker.LEASE_S = sequencer.LEASE_S = told["lease"]
    try:
        cli.main()
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    os._exit(0)


if __name__ == "__main__":
    main()
