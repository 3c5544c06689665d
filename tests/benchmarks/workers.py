"""What a request costs with one worker and with two, over PostgreSQL: CPU of the gateway's processes, the client's, and the server's.

    python -m tests.benchmarks.workers [--seconds 3] [--rounds 7] [--connections 32] [--data snb]
    python -m tests.benchmarks.workers --quick                              # prints, and leaves the document as it is

``gateway serve --workers 1`` and ``--workers 2`` answer the same requests in turns, from connections that have one request at a time. First
all of a gateway's processes are held to the first core, and the client and PostgreSQL to the others: what is told is what the workers
themselves take. Then all run where the system has them: on two cores, two workers that are busy leave none to the others, and each takes
longer for the same. Needs TEST_POSTGRES_URL, of a server on this machine whose processes one may hold to cores. Writes
docs/benchmarks-workers.md; ends with 1 where two workers that are held take more than 1.1 times the CPU of one for a request.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import orjson
import uvloop

from tests.benchmarks.__main__ import POINTS, command_of, compare_answers
from tests.benchmarks.client import ask_for
from tests.benchmarks.operations import Operation, operations
from tests.benchmarks.processes import ROOT, Server, free_port, post, start, wait_for_answer
from tests.benchmarks.report import machine
from tests.benchmarks.setups import FOLDER, Setup, datasets, prepare

DOCUMENT = ROOT / "docs" / "benchmarks-workers.md"
WORKERS = (1, 2)
ASKED = ("Point", "Tree")
MOST = 1.1  # times the CPU per request of one worker

HEAD = """# Workers

Written by `make bench-workers`: the same requests to `gateway serve --workers 1` and `--workers 2` in turns, from {connections}
connections that have one request at a time. {data}, in PostgreSQL. Medians of {rounds} rounds of
{seconds:g} s. *Held*: the gateway's processes, one or two, on the first core, the client and PostgreSQL on the other. *Free*: all
where the system has them, which on two cores are busy with more processes than cores. *gateway* is the CPU of all of its processes,
*PostgreSQL* that of all of its own.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """CPU is in ms per request."""

    rate: float
    gateway: float
    client: float
    server: float


def main() -> None:
    options = _options()
    if not os.environ.get("TEST_POSTGRES_URL"):
        sys.exit("expected TEST_POSTGRES_URL with the URL of a PostgreSQL; it is not set")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    setup = Setup("postgresql", datasets(options.snb)[options.data])
    prepare(setup)
    servers: dict[int, Server] = {}
    try:
        for count in WORKERS:
            servers[count] = _started(count, setup)
        users = orjson.loads(post(servers[1].port, POINTS))["data"]["users"]["nodes"]
        asked = [operation for operation in operations([user["id"] for user in users]) if operation.name in ASKED]
        compare_answers(list(servers.values()), asked)
        runs = uvloop.run(measured(servers, asked, options.connections, options.seconds, options.rounds))
    finally:
        for server in servers.values():
            server.stop()
    head = HEAD.format(
        connections=options.connections,
        data=f"{setup.data.title[0].upper()}{setup.data.title[1:]}",
        rounds=options.rounds,
        seconds=options.seconds,
    )
    document = "\n".join([head, machine(), *table(runs), ""])
    sys.stdout.write(document)
    if options.quick:
        return
    DOCUMENT.write_text(document, encoding="utf-8")
    if missed := too_much(runs):
        sys.exit("\n".join(missed))


def _started(count: int, setup: Setup) -> Server:
    port = free_port()
    command = [*command_of("gateway", port), "--workers", str(count)]
    server = start(f"workers-{count}", command, port, log=FOLDER / "logs" / f"workers-{count}.log", env=setup.gateway())
    wait_for_answer(server, operations([])[1].requests[0], timeout_s=60)
    return server


Runs = dict[tuple[str, str, int], list[Run]]  # by where, operation and workers


async def measured(servers: dict[int, Server], asked: Sequence[Operation], connections: int, seconds: float, rounds: int) -> Runs:
    runs: Runs = {(where, operation.name, count): [] for where in ("held", "free") for operation in asked for count in servers}
    for where in ("held", "free"):
        with _held(servers) if where == "held" else nullcontext():
            for number in range(-1, rounds):
                for operation in asked:
                    for count in servers if number % 2 else reversed(servers):
                        run = await run_of(servers[count], operation, connections, seconds)
                        if number >= 0:  # the first is thrown away: caches, prepared statements
                            runs[where, operation.name, count].append(run)
    return runs


@contextmanager
def _held(servers: dict[int, Server]) -> Iterator[None]:
    """Hold the gateways to the first core, this process and PostgreSQL to the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    gateways = [pid for server in servers.values() for pid in _family(server.process.pid)]
    try:
        for pid in gateways:
            _hold(pid, [first])
        for pid in (os.getpid(), *_named("postgres")):
            _hold(pid, others)
        yield
    finally:
        for pid in (os.getpid(), *gateways, *_named("postgres")):
            _hold(pid, [first, *others])


def _hold(pid: int, cores: Sequence[int]) -> None:
    with suppress(ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            os.sched_setaffinity(int(thread.name), cores)


async def run_of(server: Server, operation: Operation, connections: int, seconds: float) -> Run:
    gateway, others = list(_family(server.process.pid)), list(_named("postgres"))
    before = _cpu_s(gateway), time.process_time(), _cpu_s(others)
    count = len(await ask_for(server.port, operation.requests, connections=connections, seconds=seconds))
    after = _cpu_s(gateway), time.process_time(), _cpu_s(others)
    used = [(now - then) / count * 1e3 for then, now in zip(before, after, strict=True)]
    return Run(count / seconds, *used)


def _cpu_s(pids: Sequence[int]) -> float:
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)  # as Server.cpu_s


def _family(pid: int) -> Iterator[int]:
    """Give a process and those that it has started, and they."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _family(int(child))


def _named(name: str) -> Iterator[int]:
    """Give the processes of a command, of whomever."""
    told = subprocess.run(["pgrep", "-x", name], capture_output=True, text=True, check=False).stdout
    yield from map(int, told.split())


def table(runs: Runs) -> list[str]:
    lines = [
        "| | operation | workers | requests/s | gateway, CPU ms per request | client | PostgreSQL | gateway's over one worker's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (where, operation, count), its in runs.items():
        rows = ((run.rate, run.gateway, run.client, run.server) for run in its)
        rate, gateway, client, server = (median(values) for values in zip(*rows, strict=True))
        over = f"{ratio(runs, where, operation, count):.2f}" if count > 1 else ""
        lines.append(f"| {where} | {operation} | {count} | {rate:,.0f} | {gateway:.3f} | {client:.3f} | {server:.3f} | {over} |")
    return lines


def ratio(runs: Runs, where: str, operation: str, count: int) -> float:
    """Return a request's CPU with so many workers over that with one, in the middle of the rounds' pairs."""
    pairs = zip(runs[where, operation, 1], runs[where, operation, count], strict=True)
    return median(many.gateway / one.gateway for one, many in pairs)


def too_much(runs: Runs) -> list[str]:
    """Return a line for each operation that takes more than wanted of several workers that are held."""
    return [
        f"{operation}, {count} workers: expected at most {MOST:g} times the CPU of one, got {found:.2f}"
        for where, operation, count in runs
        if where == "held" and count > 1 and (found := ratio(runs, where, operation, count)) > MOST
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.workers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a try on little data: one short round; leaves the document as it is")
    parser.add_argument("--seconds", type=float, help="of every run; default 3")
    parser.add_argument("--rounds", type=int, help="default 7")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--data", choices=("tiny", "snb", "large"), help="default: snb, quick: tiny")
    parser.add_argument("--snb", type=Path, default=Path(os.environ.get("TEST_SNB_DIR", ROOT.parent / "shared" / "data" / "ldbc-snb")))
    options = parser.parse_args()
    options.data = options.data or ("tiny" if options.quick else "snb")
    options.seconds = options.seconds or (0.5 if options.quick else 3.0)
    options.rounds = options.rounds or (1 if options.quick else 7)
    return options


if __name__ == "__main__":
    main()
