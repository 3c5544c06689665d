"""What a gateway answers where more is asked than it can: look-ups of users from more and more connections that ask again at once.

    python -m tests.benchmarks.overload [--seconds 3] [--rounds 5] [--connections 32,128,256,512]
    python -m tests.benchmarks.overload --quick                            # prints, and leaves the document as it is

One process over an embedded store on one core, the client on another. A connection sends its next request as soon as it has its answer, or
its 503, whatever Retry-After says. Writes docs/benchmarks-overload.md; ends with 1 where one of the loads beyond what
has places has less than 0.9 of the most that is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import cast

import orjson
import uvloop

from tests.benchmarks.__main__ import POINTS, command_of
from tests.benchmarks.operations import operations
from tests.benchmarks.processes import ROOT, Server, free_port, post, start, wait_for_answer
from tests.benchmarks.report import machine

DOCUMENT = ROOT / "docs" / "benchmarks-overload.md"
LEAST = 0.9  # of the most answers/s
OK, BUSY = 200, 503
PLACES = 64  # the setting requests_max

HEAD = """# Overload

Written by `make bench-overload`: look-ups of users (`{{ user(id) {{ id name email createdAt }} }}`) from so many connections, each of which
sends its next request as soon as it has an answer or a 503, whatever Retry-After says. One process (`requests_max` 64,
`requests_waiting_max` 64) over an embedded store, on a core of its own. Medians of {rounds} rounds of {seconds:g} s, in turns.
"""


@dataclass(slots=True)
class Load:
    requests: Sequence[bytes]
    until: float
    told: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)  # of what was answered, in s


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load, number: int, done: asyncio.Future[None]) -> None:
        self._load, self._number, self._done = load, number, done
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._load.requests[self._number % len(self._load.requests)])
        self._number += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or len(rest) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]):
            return
        now, self._buffer = time.perf_counter(), b""
        if now >= self._load.until:
            self._transport.close()
            return
        status = int(head[9:12])
        self._load.told[status] += 1
        if status == OK:
            self._load.times.append(now - self._sent)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


@dataclass(frozen=True, slots=True)
class Run:
    rate: float  # answers/s
    refused: float  # a second
    p99: float  # ms, of answers


async def run_of(server: Server, requests: Sequence[bytes], connections: int, seconds: float) -> Run:
    loop = asyncio.get_running_loop()
    load = Load(requests, time.perf_counter() + 60)
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    for number, end in enumerate(ends):
        await loop.create_connection(lambda n=number, e=end: _Connection(load, n * 7, e), "127.0.0.1", server.port)  # type: ignore[misc]
    await asyncio.sleep(0.5)  # all are there, and have asked
    load.told.clear()
    load.times.clear()
    load.until = time.perf_counter() + seconds
    await asyncio.wait_for(asyncio.gather(*ends), seconds + 30)
    if wrong := load.told.keys() - {OK, BUSY}:
        raise RuntimeError(f"expected {OK} and {BUSY} alone, got {sorted(wrong)}")
    times = sorted(load.times)
    return Run(load.told[OK] / seconds, load.told[BUSY] / seconds, times[len(times) * 99 // 100] * 1e3)


async def measured(server: Server, requests: Sequence[bytes], options: argparse.Namespace) -> dict[int, list[Run]]:
    runs: dict[int, list[Run]] = {connections: [] for connections in options.connections}
    for number in range(-1, options.rounds):
        for connections in options.connections if number % 2 else reversed(options.connections):
            run = await run_of(server, requests, connections, options.seconds)
            if number >= 0:
                runs[connections].append(run)
    return runs


def table(runs: dict[int, list[Run]]) -> list[str]:
    lines = ["| connections | answers/s | of the most | refused/s | p99 of answers, ms |", "|---|---|---|---|---|"]
    for connections, its in runs.items():
        rate, refused, p99 = (median(values) for values in zip(*((run.rate, run.refused, run.p99) for run in its), strict=True))
        lines.append(f"| {connections} | {rate:,.0f} | {share(runs, connections):.2f} | {refused:,.0f} | {p99:.1f} |")
    return lines


def share(runs: dict[int, list[Run]], connections: int) -> float:
    """Return the answers of a load over the most that there were of any in the same round, in the middle of the rounds."""
    peaks: list[float] = [max(run.rate for run in round_) for round_ in zip(*runs.values(), strict=True)]
    return median(run.rate / peak for run, peak in zip(runs[connections], peaks, strict=True))


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    own, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or [own])
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        env = {"GATEWAY_DATA_DIR": folder, "GATEWAY_ACCESS_LOG": "false"}
        server = start("overload", command_of("gateway", port), port, log=Path(folder) / "log", env=env, cwd=Path(folder))
        try:
            wait_for_answer(server, operations([])[1].requests[0], timeout_s=60)
            for thread in Path(f"/proc/{server.pid}/task").glob("*"):
                os.sched_setaffinity(int(thread.name), [own])
            users = orjson.loads(post(port, POINTS))["data"]["users"]["nodes"]
            bodies = operations([user["id"] for user in users])[0].requests
            head = "POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
            requests = [head.format(len(body)).encode() + body for body in bodies]
            runs = uvloop.run(measured(server, requests, options))
        finally:
            server.stop()
    document = "\n".join([HEAD.format(rounds=options.rounds, seconds=options.seconds), machine(), "", *table(runs), ""])
    sys.stdout.write(document)
    if options.quick:
        return
    DOCUMENT.write_text(document, encoding="utf-8")
    shares = {connections: share(runs, connections) for connections in runs if connections > PLACES}
    missed = [f"{connections} connections: {found:.2f}" for connections, found in shares.items() if found < LEAST]
    if missed:
        sys.exit(f"expected at least {LEAST:g} of the most that is answered, got\n" + "\n".join(missed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.overload", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short round; leaves the document as it is")
    parser.add_argument("--seconds", type=float, help="of every run; default 3")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument(
        "--connections", type=lambda text: [int(word) for word in text.split(",")], default=[32, 128, 256, 512], help="32,128,256,512"
    )
    options = parser.parse_args()
    options.seconds = options.seconds or (0.5 if options.quick else 3.0)
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


if __name__ == "__main__":
    main()
