"""Measure this gateway and its peers on the same stores, and write what came out to docs/benchmarks.md.

    python -m tests.benchmarks [--quick] [--setups postgresql,three,sqlite] [--data snb,large] [--peers gateway,handwritten,…]

Every peer is one process. Answers are compared after parsing before anything is measured; the first run of each is thrown away;
rounds are interleaved, so that whatever else the machine does meets all peers alike. Results are kept by set-up, and a run of one
set-up leaves the figures of the others in the document.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop

from tests.benchmarks.client import ask_for
from tests.benchmarks.operations import Operation, operations
from tests.benchmarks.processes import ROOT, Server, free_port, post, start, wait_for_answer
from tests.benchmarks.report import write
from tests.benchmarks.setups import FOLDER, SETUPS, Setup, datasets, drop, prepare

NODE = ROOT / "tests" / "benchmarks" / "peers" / "node"
PEERS = ("gateway", "handwritten", "lean", "strawberry", "mercurius", "apollo")
BY_HAND = ("handwritten", "lean")
POINTS = b'{"query": "{ users(first: 100) { nodes { id } } }"}'


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: seconds of each run, rounds, and at how many connections."""

    seconds: float
    rounds: int
    connections: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One peer's answer to one operation at some number of connections: medians over the rounds, and the rounds' extremes."""

    peer: str
    operation: str
    connections: int
    requests_s: float
    slowest_s: float
    fastest_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    with_servers = any(kind != "sqlite" for kind in options.setups)
    stop = _start_servers() if with_servers and not os.environ.get("TEST_POSTGRES_URL") else None
    try:
        sets = datasets(options.snb)
        for kind in options.setups:
            for name in options.data:
                setup = Setup(kind, sets[name])
                if options.drop:
                    asyncio.run(drop(setup))
                else:
                    _measure_setup(setup, options)
    finally:
        if stop:
            subprocess.run(stop, check=False)
    if not options.drop:
        write(FOLDER / "quick.md" if options.quick else ROOT / "docs" / "benchmarks.md", FOLDER, quick=options.quick)


def _measure_setup(setup: Setup, options: argparse.Namespace) -> None:
    _say(f"{SETUPS[setup.kind]}; {setup.data.title}")
    prepare(setup)
    peers = [peer for peer in options.peers if setup.kind != "sqlite" or peer in ("gateway", "handwritten", "strawberry")]
    if setup.kind != "postgresql":
        peers = [peer for peer in peers if peer != "lean"]
    servers: list[Server] = []
    try:
        servers += [_start_peer(peer, setup) for peer in peers]
        asked = _operations(servers, options.operations)
        compare_answers(servers, asked)
        figures = uvloop.run(_measure(servers, asked, options.effort))
        memory = {server.name: server.memory_mib(peak=True) for server in servers}
    finally:
        for server in servers:
            server.stop()
    result = {
        "setup": asdict(setup),
        "quick": options.quick,
        "effort": asdict(options.effort),
        "operations": {operation.name: operation.title for operation in asked},
        "figures": [asdict(figure) for figure in figures],
        "memory_mib": memory,
    }
    (FOLDER / f"{setup.name}.result.json").write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))


# ---------------------------------------------------------------------------------------------------------------- peers


def _start_peer(peer: str, setup: Setup) -> Server:
    port = free_port()
    env = setup.gateway() if peer == "gateway" else setup.peers() | {"PORT": str(port), "NODE_ENV": "production", "BENCH_POOL": peer}
    server = start(peer, command_of(peer, port), port, log=FOLDER / "logs" / f"{setup.name}-{peer}.log", env=env)
    wait_for_answer(server, operations([])[1].requests[0], timeout_s=60)
    return server


def command_of(peer: str, port: int) -> list[str]:
    if peer == "gateway":
        return [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    if peer in (*BY_HAND, "strawberry"):
        app = f"tests.benchmarks.peers.{'handwritten' if peer in BY_HAND else peer}.app:make_app"
        quiet = ("--no-access-log", "--log-level", "warning")
        return [sys.executable, "-m", "uvicorn", "--factory", app, "--port", str(port), "--loop", "uvloop", "--http", "httptools", *quiet]
    if not (NODE / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=NODE, check=True, stdin=subprocess.DEVNULL)
    return ["node", "--max-semi-space-size=64", str(NODE / f"{peer}.mjs")]


def _operations(servers: Sequence[Server], wanted: Sequence[str]) -> list[Operation]:
    """Return the wanted operations; the first peer says which users there are."""
    users = orjson.loads(post(servers[0].port, _points(servers[0])))["data"]["users"]["nodes"]
    return [operation for operation in operations([user["id"] for user in users]) if operation.name.lower() in wanted]


def _points(server: Server) -> bytes:
    return operations([])[1].requests[0] if server.name in BY_HAND else orjson.dumps({**orjson.loads(POINTS), "variables": {}})


def compare_answers(servers: Sequence[Server], asked: Sequence[Operation]) -> None:
    """RuntimeError when two peers do not give the same data to a request."""
    for operation in asked:
        for body in operation.requests[:10]:
            first, *others = [orjson.loads(post(server.port, body)) for server in servers]
            if "errors" in first or not first.get("data"):
                raise RuntimeError(f"{operation.name}: {servers[0].name} answered {str(first)[:500]}")
            for server, answer in zip(servers[1:], others, strict=True):
                if answer != first:
                    raise RuntimeError(f"{operation.name}: {server.name} and {servers[0].name} differ: {_difference(first, answer)}")
        _say(f"  {operation.name}: {_scalars(first['data']):,} fields, the same from all peers")


def _difference(left: Any, right: Any, path: str = "") -> str:
    """Return the first place where two answers differ, and what is there."""
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        return next((found for key in left if (found := _difference(left[key], right[key], f"{path}.{key}"))), "")
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        return next((found for at, (a, b) in pairs if (found := _difference(a, b, f"{path}[{at}]"))), "")
    return "" if left == right else f"{path}: {str(right)[:200]} and {str(left)[:200]}"


def _scalars(value: Any) -> int:
    """Return the number of fields of an answer."""
    if isinstance(value, dict):
        return sum(1 + _scalars(item) for item in value.values())
    return sum(map(_scalars, value)) if isinstance(value, list) else 0


# -------------------------------------------------------------------------------------------------------------- measure


async def _measure(servers: Sequence[Server], asked: Sequence[Operation], effort: Effort) -> list[Figure]:
    runs: dict[tuple[str, str, int], list[tuple[float, float, float, float]]] = {}
    for operation in asked:
        for server in servers:  # caches, prepared statements, compilers: thrown away
            await ask_for(server.port, operation.requests, connections=max(effort.connections), seconds=effort.seconds)
        for number in range(effort.rounds):
            for connections in effort.connections:
                for server in servers[number % len(servers) :] + servers[: number % len(servers)]:  # type: ignore[operator]
                    run = await run_of(server, operation, connections, effort.seconds)
                    runs.setdefault((server.name, operation.name, connections), []).append(run)
        _say(f"  {operation.name}: " + ", ".join(f"{s.name} {_middle(runs, s, operation, effort):,.0f}/s" for s in servers))
    return [_figure(*key, found) for key, found in runs.items()]


async def run_of(server: Server, operation: Operation, connections: int, seconds: float) -> tuple[float, float, float, float]:
    """Return requests per second, p50 and p99 in ms, and CPU in ms per request. It takes longer where two answers each do."""
    before = server.cpu_s()
    latencies = sorted(await ask_for(server.port, operation.requests, connections=connections, seconds=seconds))
    used = server.cpu_s() - before
    count = len(latencies)
    if count < 2 * connections:
        return await run_of(server, operation, connections, 2 * seconds)
    return count / seconds, latencies[count // 2] * 1e3, latencies[min(count - 1, count * 99 // 100)] * 1e3, used / count * 1e3


def _figure(peer: str, operation: str, connections: int, runs: Sequence[tuple[float, float, float, float]]) -> Figure:
    rates = [run[0] for run in runs]
    middle = [statistics.median(run[at] for run in runs) for at in range(4)]
    return Figure(peer, operation, connections, middle[0], min(rates), max(rates), *middle[1:])


def _middle(runs: dict[tuple[str, str, int], Any], server: Server, operation: Operation, effort: Effort) -> float:
    connections = effort.connections[len(effort.connections) // 2]
    return float(statistics.median(run[0] for run in runs[server.name, operation.name, connections]))


# -------------------------------------------------------------------------------------------------------------- options


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a try on little data: one short round; leaves docs/benchmarks.md alone")
    parser.add_argument("--setups", type=_names(SETUPS), default=list(SETUPS), help=", ".join(SETUPS))
    parser.add_argument("--data", type=_names(("tiny", "snb", "large")), help="tiny, snb, large; default: snb and large, quick: tiny")
    parser.add_argument("--peers", type=_names(PEERS), default=list(PEERS), help=", ".join(PEERS))
    parser.add_argument(
        "--operations", type=_names(("point", "flat", "tree", "chain", "stats")), default=["point", "flat", "tree", "chain", "stats"]
    )
    parser.add_argument("--connections", type=_numbers, help="default 1,8,32")
    parser.add_argument("--seconds", type=float, help="of every run; default 3")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--snb", type=Path, default=Path(os.environ.get("TEST_SNB_DIR", ROOT.parent / "shared" / "data" / "ldbc-snb")))
    parser.add_argument("--drop", action="store_true", help="drop the databases of the chosen set-ups instead")
    options = parser.parse_args()
    options.data = options.data or (["tiny"] if options.quick else ["snb", "large"])
    seconds, rounds, connections = (0.5, 1, (1, 8)) if options.quick else (3.0, 5, (1, 8, 32))
    options.effort = Effort(options.seconds or seconds, options.rounds or rounds, options.connections or connections)
    if not shutil.which("node") or not shutil.which("npm"):
        _say("Node.js is not installed: Mercurius and Apollo Server are left out")
        options.peers = [peer for peer in options.peers if peer not in ("mercurius", "apollo")]
    return options


def _names(allowed: Sequence[str] | dict[str, str]) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(allowed)}; got {', '.join(unknown)}")
        return names

    return parse


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _start_servers() -> list[str]:
    """Start the servers beside the project, set the variables that name them, and return the command that ends them."""
    script = os.environ.get("SERVERS", str(ROOT.parent / "shared" / "servers" / "servers"))
    if not os.access(script, os.X_OK):
        sys.exit("Set TEST_POSTGRES_URL, TEST_MONGO_URL and TEST_NEO4J_URL (docker compose up -d), or run with --setups sqlite")
    os.environ.setdefault("SERVERS_PORT", "25700")
    subprocess.run([script, "start"], check=True, stdin=subprocess.DEVNULL)
    said = subprocess.run([script, "env"], check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        os.environ[name] = value
    return [script, "stop"]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
