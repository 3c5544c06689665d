"""Measure the executors alone: the same answers, from stores whose rows are ready in memory, without HTTP.

    python -m tests.benchmarks.executors [--snb DIR] [--seconds S] [--rounds N]

From the text of an operation that was asked before to the bytes of its answer: the gateway's engine; dictionaries written by hand;
Strawberry with aiodataloader and orjson; graphql-jit and graphql-js with DataLoader and JSON.stringify, in Node. Rounds are interleaved.
Figures are the CPU time of one answer, in ms: medians over the rounds. Writes docs/benchmarks-executors.md.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

from gateway.http.server import settle
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.memory import MemoryStore
from schema import schema as graph
from tests.benchmarks.operations import Operation, operations
from tests.benchmarks.peers.handwritten.app import OPERATIONS
from tests.benchmarks.peers.stores import Stores as PeerStores
from tests.benchmarks.peers.strawberry.app import Context
from tests.benchmarks.peers.strawberry.app import schema as strawberry_schema
from tests.benchmarks.prepared import STORES, PreparedPeerStores, PreparedStore, filled, tables
from tests.benchmarks.processes import ROOT
from tests.benchmarks.report import machine

NODE = ROOT / "tests" / "benchmarks" / "peers" / "node"
PEERS = {
    "gateway": "this gateway's engine",
    "handwritten": "dictionaries by hand",
    "strawberry": "Strawberry",
    "graphql-jit": "graphql-jit",
    "graphql-js": "graphql-js",
}
Answer = Callable[[Operation], Awaitable[bytes]]

HEAD = """# The executors alone

Written by `make bench-executors`: from the text of an operation that was asked before to the bytes of its answer, over stores whose rows
are ready in memory, one look-up per key; no HTTP, no database. The gateway's figure has the look-up of the plan, dataloaders, store port,
deadlines and counting of calls in it. *By hand* is one function per operation, which no query language chose. graphql-jit and graphql-js
run in Node with DataLoader and JSON.stringify. The same rows (the LDBC sample) and the same answers, compared after parsing. CPU time of
one answer in ms, medians over interleaved rounds.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.executors", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--snb", type=Path, default=Path(os.environ.get("TEST_SNB_DIR", ROOT.parent / "shared" / "data" / "ldbc-snb")))
    parser.add_argument("--seconds", type=float, default=1.0, help="of every run")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    figures = uvloop.run(_measure(options.snb, options.seconds, options.rounds))
    path = ROOT / "docs" / "benchmarks-executors.md"
    path.write_text(_document(figures), encoding="utf-8")
    sys.stdout.write(_document(figures))


async def _measure(snb: Path, seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """Return the CPU time of an answer in ms, by operation and executor."""
    stores = await filled(snb)
    found = await tables(stores)
    answers = _python_peers(stores, found)
    asked = operations([f"User:{found['users']['rows'][0][0]}"])
    settle()
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(
            orjson.dumps({"tables": found, "operations": [{"name": o.name, "query": o.query, "variables": o.variables[0]} for o in asked]})
        )
        file.flush()
        nodes = [_Node(file.name, engine) for engine in ("graphql-jit", "graphql-js")] if _has_node() else []
        figures: dict[str, dict[str, float]] = {}
        try:
            for operation in asked:
                await _compare(operation, answers, nodes)
                runs: dict[str, list[float]] = {}
                for _ in range(rounds + 1):
                    for name, answer in answers.items():
                        runs.setdefault(name, []).append(await _run(answer, operation, seconds))
                    for node in nodes:
                        runs.setdefault(node.engine, []).append(node.run(operation, seconds))
                figures[operation.title] = {name: statistics.median(times[1:]) for name, times in runs.items()}
        finally:
            for node in nodes:
                node.stop()
    return figures


def _python_peers(stores: Stores, found: dict[str, Any]) -> dict[str, Answer]:
    service = Service(graph, Stores({name: PreparedStore(cast("MemoryStore", stores[name])) for name in STORES}))
    peer_stores = cast("PeerStores", PreparedPeerStores(found))

    async def gateway(operation: Operation) -> bytes:
        return (await service.answer(Request(operation.query, operation.variables[0], operation.name))).body

    async def handwritten(operation: Operation) -> bytes:
        return orjson.dumps({"data": await OPERATIONS[operation.name](peer_stores, operation.variables[0])})

    async def strawberry(operation: Operation) -> bytes:
        result = await strawberry_schema.execute(
            operation.query, variable_values=operation.variables[0], operation_name=operation.name, context_value=Context(peer_stores)
        )
        return orjson.dumps({"data": result.data})

    return {"gateway": gateway, "handwritten": handwritten, "strawberry": strawberry}


async def _compare(operation: Operation, answers: dict[str, Answer], nodes: list[_Node]) -> None:
    given = {name: orjson.loads(await answer(operation)) for name, answer in answers.items()}
    given |= {node.engine: orjson.loads(node.answer(operation)) for node in nodes}
    for name, answer in given.items():
        if answer != given["gateway"]:
            raise RuntimeError(f"{operation.name}: {name} answers {str(answer)[:300]}, the gateway {str(given['gateway'])[:300]}")


async def _run(answer: Answer, operation: Operation, seconds: float) -> float:
    gc.collect()
    count, end, before = 0, time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end or count < 3:
        await answer(operation)
        count += 1
    return (time.process_time() - before) / count * 1e3


class _Node:
    """An executor in a Node process, told by lines on its standard input what to run."""

    def __init__(self, path: str, engine: str) -> None:
        self.engine = engine
        command = ["node", "--max-semi-space-size=64", str(NODE / "executors.mjs"), path, engine]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self, operation: Operation) -> str:
        return self._ask(f"answer {operation.name} 0")

    def run(self, operation: Operation, seconds: float) -> float:
        return float(self._ask(f"run {operation.name} {seconds}"))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        if not said:
            raise RuntimeError(f"{self.engine} ended with {self._process.wait()}")
        return said


def _has_node() -> bool:
    try:
        if not (NODE / "node_modules").exists():
            subprocess.run(["npm", "ci", "--silent"], cwd=NODE, check=True, stdin=subprocess.DEVNULL)
        subprocess.run(["node", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        sys.stdout.write("Node.js is not installed: graphql-jit and graphql-js are left out\n")
        return False
    return True


def _document(figures: dict[str, dict[str, float]]) -> str:
    names = [name for name in PEERS if all(name in row for row in figures.values())]
    lines = ["| operation | " + " | ".join(PEERS[name] for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {title} | " + " | ".join(f"{row[name]:.3g}" for name in names) + " |" for title, row in figures.items()]
    others = [name for name in names if name != "gateway"]
    ratios = ["| operation | " + " | ".join(PEERS[name] for name in others) + " |", "|---" * (len(others) + 1) + "|"]
    ratios += [
        f"| {title} | " + " | ".join(f"{row[name] / row['gateway']:.2f}" for name in others) + " |" for title, row in figures.items()
    ]
    parts = [HEAD, machine(), "## CPU of one answer, ms", "\n".join(lines), "## Theirs over this gateway's", "\n".join(ratios)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    main()
