"""Print how long a start takes, and how much memory an idle gateway has.

    python -m tests.benchmarks.start

`make run` in a clean clone (installation and demo data included) to the first answer; then `gateway serve` on the filled stores.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.processes import ROOT, Server, free_port, start, wait_for_answer

QUERY = b'{"query": "{ users(first: 1) { nodes { name posts(first: 1) { nodes { title } } } } }"}'
RUNS = 5
IDLE_S = 2.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="crossgraph-start-") as folder:
        clone = Path(folder) / "crossgraph"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        seconds, _ = _first_answer("make run", ["make", "run", "PORT={port}"], clone, timeout_s=600)
        _say(f"make run in a clean clone, to the first answer: {seconds:.1f} s (at most 90)")
        serve = [str(clone / ".venv" / "bin" / "gateway"), "serve", "--port", "{port}"]
        runs = sorted(_first_answer("gateway serve", serve, clone, timeout_s=60) for _ in range(RUNS))
        median, slowest = runs[RUNS // 2][0], runs[-1][0]
        _say(f"gateway serve on filled stores, to the first answer: {median:.2f} s (at most 2); the slowest of {RUNS}: {slowest:.2f} s")
        _say(f"resident when idle: {max(memory for _, memory in runs):.0f} MiB (at most 150)")


def _first_answer(name: str, command: Sequence[str], clone: Path, *, timeout_s: float) -> tuple[float, float]:
    """Return the seconds until the first answer, and the MiB resident some seconds later."""
    port = free_port()
    begin = time.perf_counter()
    server: Server = start(name, [part.format(port=port) for part in command], port, log=clone.parent / "log", env={}, cwd=clone)
    try:
        wait_for_answer(server, QUERY, timeout_s=timeout_s)
        seconds = time.perf_counter() - begin
        time.sleep(IDLE_S)
        return seconds, server.memory_mib(peak=False)
    finally:
        server.stop()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
