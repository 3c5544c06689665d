"""Start a server as a process of its own, wait for its first answer, and read what it used, from /proc."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(slots=True)
class Server:
    """A running server; ``pid`` is the process that answers, which a wrapper such as make may have started."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    pid: int = 0

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads so far, ended ones too, in seconds (user and system)."""
        # The clock of another process (clock_getcpuclockid(3)): to the nanosecond, where /proc/<pid>/stat has steps of 10 ms.
        return time.clock_gettime(~self.pid << 3 | 2)

    def memory_mib(self, *, peak: bool) -> float:
        """Return the resident memory, now or at its peak."""
        wanted = "VmHWM:" if peak else "VmRSS:"
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(wanted)) / 1024

    def stop(self) -> None:
        """End it and all that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def start(
    name: str,
    command: Sequence[str],
    port: int,
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path = ROOT,
    popen: type[subprocess.Popen[bytes]] = subprocess.Popen,
) -> Server:
    """Start a server without waiting for it. What it says goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = popen(
            command, cwd=cwd, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    return Server(name, port, process, log)


def wait_for_answer(server: Server, body: bytes, *, timeout_s: float) -> bytes:
    """Return the first 200 answer to ``body``; RuntimeError with the end of the log when the server ends or time runs out."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended with {server.process.returncode}:\n{_tail(server.log)}")
        try:
            answer = post(server.port, body)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{server.name} answered {error.code}: {error.read()[:500]!r}") from error
        except OSError:
            time.sleep(0.02)
            continue
        server.pid = _listener(server.port)
        return answer
    raise RuntimeError(f"{server.name} did not answer within {timeout_s:g} s:\n{_tail(server.log)}")


def post(port: int, body: bytes) -> bytes:
    """Return the body of the answer to a GraphQL request."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: bytes = response.read()
        return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listener(port: int) -> int:
    """Return the process that listens on a port of 127.0.0.1."""
    wanted = f"{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and row[1].endswith(f":{wanted}")}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(link) in inodes for link in folder.iterdir()):
                return int(folder.parent.name)
        except OSError:
            continue
    raise RuntimeError(f"nobody listens on port {port}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
