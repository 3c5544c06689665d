"""Look-ups of one user each, from 32 connections to one process over PostgreSQL: with `coalesce`, without, and by others.

    python -m tests.benchmarks.coalesce [--seconds 3] [--rounds 7] [--connections 32] [--data snb]
    python -m tests.benchmarks.coalesce --quick                              # prints, and leaves the document as it is

Beside the gateway stand an endpoint by hand with a lean pool, and Mercurius with jit where its packages are installed (`npm ci` in
tests/benchmarks/peers/node). Answers are compared before anything is measured; rounds are interleaved, and the first run of each is
thrown away. Needs TEST_POSTGRES_URL. Writes docs/benchmarks-coalesce.md; ends with 1 where the gateway with `coalesce` is not 1.3 times as
fast as the endpoint by hand, and 0.9 times as fast as Mercurius.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import orjson
import uvloop

from tests.benchmarks.__main__ import NODE, POINTS, command_of, compare_answers, run_of
from tests.benchmarks.operations import Operation, operations
from tests.benchmarks.processes import ROOT, Server, free_port, post, start, wait_for_answer
from tests.benchmarks.report import machine
from tests.benchmarks.setups import FOLDER, Setup, datasets, prepare

DOCUMENT = ROOT / "docs" / "benchmarks-coalesce.md"
PEERS = {
    "coalesce": "this gateway, `coalesce = true`",
    "gateway": "this gateway",
    "lean": "by hand, lean pool",
    "mercurius": "Mercurius + jit",
}
WANTED = {"lean": 1.3, "mercurius": 0.9}  # requests/s of the gateway with coalesce over theirs
ON = {"GATEWAY_STORES__USERS__COALESCE": "true"}

HEAD = """# Look-ups that share calls

Written by `make bench-coalesce`: `{{ user(id) {{ id name email createdAt }} }}`, each time of the next of {users} users,
from {connections} connections that have one request at a time, to one process over PostgreSQL. {data}. Medians of {rounds} rounds of
{seconds:g} s, in brackets the slowest and the fastest; CPU is the process's own, not the server's. The gateway is that of production; with
`coalesce` ([coalescing.md](coalescing.md)) look-ups of several requests become one call. The endpoint by hand is Starlette, asyncpg with a
pool that does not reset its sessions, one prepared statement and orjson; it reads no GraphQL.
"""

Run = tuple[float, float, float, float]  # requests/s, p50 and p99 in ms, CPU in ms per request


def main() -> None:
    options = _options()
    if not os.environ.get("TEST_POSTGRES_URL"):
        sys.exit("expected TEST_POSTGRES_URL with the URL of a PostgreSQL; it is not set")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    setup = Setup("postgresql", datasets(options.snb)[options.data])
    prepare(setup)
    servers: list[Server] = []
    try:
        for peer in available():
            servers.append(_started(peer, setup))
        asked = _point(servers[0])
        compare_answers(servers, [asked])
        runs = uvloop.run(measured(servers, asked, options.connections, options.seconds, options.rounds))
    finally:
        for server in servers:
            server.stop()
    head = HEAD.format(
        users=len(asked.variables),
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
    if missed := too_slow(runs):
        sys.exit("\n".join(missed))


def available() -> list[str]:
    """Return the peers that can be started here."""
    has_node = shutil.which("node") is not None and (NODE / "node_modules").exists()
    if not has_node:
        sys.stderr.write(f"Mercurius is left out: there is no {(NODE / 'node_modules').relative_to(ROOT)} (npm ci), or no Node.js\n")
    return [peer for peer in PEERS if peer != "mercurius" or has_node]


def _started(peer: str, setup: Setup) -> Server:
    port = free_port()
    if peer in ("coalesce", "gateway"):
        command, env = command_of("gateway", port), setup.gateway() | (ON if peer == "coalesce" else {})
    else:
        command, env = command_of(peer, port), setup.peers() | {"PORT": str(port), "NODE_ENV": "production", "BENCH_POOL": peer}
    server = start(peer, command, port, log=FOLDER / "logs" / f"coalesce-{peer}.log", env=env)
    wait_for_answer(server, operations([])[1].requests[0], timeout_s=60)
    return server


def _point(server: Server) -> Operation:
    users = orjson.loads(post(server.port, POINTS))["data"]["users"]["nodes"]
    return operations([user["id"] for user in users])[0]


async def measured(servers: Sequence[Server], asked: Operation, connections: int, seconds: float, rounds: int) -> dict[str, list[Run]]:
    """Return the runs of each server, by its name."""
    runs: dict[str, list[Run]] = {server.name: [] for server in servers}
    for server in servers:
        await run_of(server, asked, connections, seconds)
    for number in range(rounds):
        first = number % len(servers)
        for server in (*servers[first:], *servers[:first]):
            runs[server.name].append(await run_of(server, asked, connections, seconds))
    return runs


def table(runs: dict[str, list[Run]]) -> list[str]:
    """Return the document's table: the gateway with coalesce over each of the others, too."""
    ours = rate(runs["coalesce"])
    lines = [
        "| | requests/s | CPU per request, µs | p50 / p99, ms | requests/s with `coalesce` over it |",
        "|---|---|---|---|---|",
    ]
    for peer, its in runs.items():
        rates = [run[0] for run in its]
        p50, p99, cpu_ms = (median(run[at] for run in its) for at in (1, 2, 3))
        lines.append(
            f"| {PEERS[peer]} | {rate(its):,.0f} ({min(rates):,.0f}-{max(rates):,.0f}) | {cpu_ms * 1_000:.0f} | {p50:.2f} / {p99:.2f}"
            f" | {'' if peer == 'coalesce' else f'{ours / rate(its):.2f}'} |"
        )
    return lines


def too_slow(runs: dict[str, list[Run]]) -> list[str]:
    """Return a line for each of the others that is faster than wanted."""
    ours = rate(runs["coalesce"])
    return [
        f"{PEERS[peer]}: expected at least {wanted:g} times its requests/s with coalesce, got {ours / rate(runs[peer]):.2f}"
        for peer, wanted in WANTED.items()
        if peer in runs and ours < wanted * rate(runs[peer])
    ]


def rate(runs: Sequence[Run]) -> float:
    return median(run[0] for run in runs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.coalesce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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
