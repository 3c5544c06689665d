"""Measure how the tree grows with the number of users, and how much memory it takes at its worst.

    python -m tests.benchmarks.growth [--data large] [--seconds 60]

All nouns in PostgreSQL. The tree for 10, 100 and 1,000 users (page_max, cost_max and objects_max raised for it): milliseconds and store
calls of one answer. Then 32 connections ask the tree of the benchmarks all the time: the most memory the process ever had. Writes
docs/benchmarks-growth.md.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import orjson
import uvloop

from tests.benchmarks.client import ask_for
from tests.benchmarks.operations import TREE, operations
from tests.benchmarks.processes import ROOT, Server, free_port, post, start, wait_for_answer
from tests.benchmarks.report import machine
from tests.benchmarks.setups import FOLDER, Setup, datasets, prepare

SIZES = (10, 100, 1_000)
CONNECTIONS = 32

HEAD = """# Growth and memory

Written by `make bench-growth`: all nouns in PostgreSQL, {data}; the tree of [benchmarks.md](benchmarks.md) for more
and more users, one request at a time (page_max raised to 1,000,
cost_max and objects_max to 100,000): the median of {runs} answers. A batch of more than
1,000 keys is split, which is why 1,000 users take more calls.
"""


# 1,000 users with all that the tree asks of them are 39,000 objects, four times what one operation may have.
RAISED = {"GATEWAY_PAGE_MAX": "1000", "GATEWAY_COST_MAX": "100000", "GATEWAY_OBJECTS_MAX": "100000"}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=("snb", "large"), default="large")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--snb", type=Path, default=Path(os.environ.get("TEST_SNB_DIR", ROOT.parent / "shared" / "data" / "ldbc-snb")))
    options = parser.parse_args()
    if not os.environ.get("TEST_POSTGRES_URL"):
        sys.exit("set TEST_POSTGRES_URL")
    setup = Setup("postgresql", datasets(options.snb)[options.data])
    prepare(setup)
    rows = _grow(setup, options.runs)
    peak, answers = _hold(setup, options.seconds)
    text = _document(setup, options.runs, rows)
    text += f"\n{CONNECTIONS} connections asked the tree for 50 users for {options.seconds:g} s: {answers:,} answers,"
    text += f" at most {peak:.0f} MiB in the process.\n"
    (ROOT / "docs" / "benchmarks-growth.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def _grow(setup: Setup, runs: int) -> list[tuple[int, int, float, int]]:
    """Return for each size: users, bytes of the answer, milliseconds, store calls."""
    server = _start(setup, {"GATEWAY_METRICS": "true", **RAISED})
    try:
        found = []
        for size in SIZES:
            body = orjson.dumps({"query": TREE.replace("first: 50", f"first: {size}")})
            for _ in range(3):
                answer = post(server.port, body)
            if b'"errors"' in answer[:20]:
                raise RuntimeError(f"{size} users: {answer[:500]!r}")
            calls = _calls(server)
            times = []
            for _ in range(runs):
                begin = time.perf_counter()
                post(server.port, body)
                times.append((time.perf_counter() - begin) * 1e3)
            found.append((size, len(answer), statistics.median(times), (_calls(server) - calls) // runs))
        return found
    finally:
        server.stop()


def _hold(setup: Setup, seconds: float) -> tuple[float, int]:
    server = _start(setup, {})
    try:
        tree = next(operation for operation in operations([]) if operation.query == TREE)
        answers = uvloop.run(ask_for(server.port, tree.requests, connections=CONNECTIONS, seconds=seconds))
        return server.memory_mib(peak=True), len(answers)
    finally:
        server.stop()


def _start(setup: Setup, more: dict[str, str]) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    server = start("gateway", command, port, log=FOLDER / "logs" / f"{setup.name}-growth.log", env=setup.gateway() | more)
    wait_for_answer(server, b'{"query": "{ __typename }"}', timeout_s=60)
    return server


def _calls(server: Server) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as response:
        text = response.read().decode()
    return sum(int(float(value)) for value in re.findall(r"^gateway_store_calls_total\{.*\} (\S+)$", text, re.MULTILINE))


def _document(setup: Setup, runs: int, rows: Sequence[tuple[int, int, float, int]]) -> str:
    lines = ["| users | answer, KiB | ms | ms per user | store calls |", "|---|---|---|---|---|"]
    lines += [f"| {users:,} | {size / 1024:,.0f} | {ms:.1f} | {ms / users:.3f} | {calls} |" for users, size, ms, calls in rows]
    parts = [HEAD.format(data=setup.data.title, runs=runs), machine(), "\n".join(lines)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    main()
