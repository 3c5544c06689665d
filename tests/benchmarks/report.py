"""Write the figures of all set-ups as Markdown tables, with the machine and the versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from tests.benchmarks.setups import SETUPS

TITLES = {
    "gateway": "this gateway",
    "handwritten": "hand-written",
    "lean": "hand-written, lean pool",
    "strawberry": "Strawberry",
    "mercurius": "Mercurius + jit",
    "apollo": "Apollo Server",
}
LIBRARIES = (
    "starlette",
    "uvicorn",
    "strawberry-graphql",
    "graphql-core",
    "aiodataloader",
    "asyncpg",
    "pymongo",
    "neo4j",
    "orjson",
    "uvloop",
)
NODE = Path(__file__).parent / "peers" / "node" / "package-lock.json"

HEAD = """# Benchmarks

Written by `make bench`. Every peer is one process on the same machine as the servers and the client, asks the same servers for the same
rows with the same batched statements, and gives the same answer (compared after parsing). *Hand-written* is a Starlette endpoint without
GraphQL: the statements, dictionaries, orjson, and asyncpg's pool as it comes; with a *lean pool* nothing resets a session after each call,
which few know to switch off, and which this gateway's own pool does not do either. *Strawberry* is its own executor with aiodataloader.
*Mercurius* runs with `jit`, *Apollo Server* in production mode; both batch with DataLoader and ask only the selected columns. Pools have
10 connections. The first run of each is thrown away, rounds are interleaved; figures are medians over the rounds, in brackets the slowest
and the fastest round. CPU is that of the peer's own process, per request.

The server behind MongoDB's protocol is not MongoDB and is slower; where it takes part, requests/s say little about the peers, and CPU per
request is what compares them.

These are figures of one state. Whether a change made it slower is told by `make bench-pair COMMIT=<ref>`: the commit and HEAD, each in
fresh processes, in turns, at least 10 pairs; the tree and the point look-up; the head's CPU per request over the base's as the median of
the pairs with its 95 % interval. It fails only when the whole interval is beyond 1.02 (`MOST=1.02`). For what several changes add up to,
the base is 8c8b502, of which at most 5 % may be lost: `make bench-pair COMMIT=8c8b502 MOST=1.05`. On a machine with other work the
interval gets wide and nothing fails; more pairs make it narrower (`PAIR='--pairs 30'`, and `--head`, `--tree`, `--point`, `--connections`).
"""


def write(path: Path, folder: Path, *, quick: bool) -> None:
    """Write the document from the results that the folder keeps."""
    results = [orjson.loads(file.read_bytes()) for file in sorted(folder.glob("*.result.json"))]
    results = [result for result in results if result["quick"] == quick]
    order = list(SETUPS)
    results.sort(key=lambda result: (order.index(result["setup"]["kind"]), result["setup"]["data"]["name"] != "snb"))
    parts = [HEAD, machine(), *(_section(result) for result in results)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts))


def machine() -> str:
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    lines = [
        f"Machine: {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {int(memory[1]) // 2**20 if memory else '?'} GiB; "
        f"{platform.system()} {platform.release()}. Python {platform.python_version()}, Node {_node()}.",
        "",
        "Python packages: " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES) + ".",
    ]
    if NODE.exists():
        packages = orjson.loads(NODE.read_bytes())["packages"]
        wanted = ("mercurius", "graphql-jit", "@apollo/server", "fastify", "graphql", "dataloader", "pg", "mongodb", "neo4j-driver")
        lines += ["", "Node packages: " + ", ".join(f"{name} {packages[f'node_modules/{name}']['version']}" for name in wanted) + "."]
    return "\n".join([*lines, ""])


def _node() -> str:
    try:
        return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip().removeprefix("v")
    except OSError:
        return "not installed"


def _section(result: dict[str, Any]) -> str:
    setup, effort = result["setup"], result["effort"]
    figures = {(f["peer"], f["operation"], f["connections"]): f for f in result["figures"]}
    peers = list(dict.fromkeys(f["peer"] for f in result["figures"]))
    middle = effort["connections"][len(effort["connections"]) // 2]
    lines = [
        f"## {SETUPS[setup['kind']][0].upper()}{SETUPS[setup['kind']][1:]}",
        "",
        f"Data: {setup['data']['title']}. {effort['rounds']} rounds of {effort['seconds']:g} s.",
        "",
        f"### Requests/s at {middle} connections",
        "",
        *_table(peers, result["operations"], lambda peer, name: _rate(figures[peer, name, middle])),
        "",
        "### CPU of the process per request, ms",
        "",
        *_table(peers, result["operations"], lambda peer, name: _ms(figures[peer, name, middle]["cpu_ms"])),
        "",
    ]
    if "gateway" in peers:
        others = [peer for peer in peers if peer != "gateway"]
        lines += [
            "### This gateway's requests/s over theirs, and CPU per request over theirs",
            "",
            *_table(others, result["operations"], lambda peer, name: _ratio(figures["gateway", name, middle], figures[peer, name, middle])),
            "",
        ]
    lines += ["### Latency, p50 / p99 in ms, and requests/s, by connections", ""]
    for name, title in result["operations"].items():
        rows = {f"{connections}": str(connections) for connections in effort["connections"]}
        lines += [f"{title[0].upper()}{title[1:]}:", ""]
        lines += _table(peers, rows, lambda peer, row, name=name: _latency(figures[peer, name, int(row)]), corner="connections")
        lines.append("")
    peak = ", ".join(f"{TITLES[peer]} {result['memory_mib'][peer]:.0f}" for peer in peers)
    return "\n".join([*lines, f"Peak resident memory over all of this, MiB: {peak}.", ""])


def _table(peers: Sequence[str], rows: dict[str, str], cell: Any, corner: str = "operation") -> list[str]:
    head = [f"| {corner} | " + " | ".join(TITLES[peer] for peer in peers) + " |", "|---" * (len(peers) + 1) + "|"]
    return head + [f"| {title} | " + " | ".join(cell(peer, name) for peer in peers) + " |" for name, title in rows.items()]


def _rate(figure: dict[str, Any]) -> str:
    return f"{_number(figure['requests_s'])} ({_number(figure['slowest_s'])}–{_number(figure['fastest_s'])})"


def _ratio(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    return f"{ours['requests_s'] / theirs['requests_s']:.2f}; {ours['cpu_ms'] / theirs['cpu_ms']:.2f}"


def _latency(figure: dict[str, Any]) -> str:
    return f"{_ms(figure['p50_ms'])} / {_ms(figure['p99_ms'])}; {_number(figure['requests_s'])}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
