"""Keep a gateway busy with good, distinct, hostile and broken requests for minutes, and watch its memory, its stalls and its errors.

    python -m tests.soak [--seconds 600] [--rate 100] [--stores sqlite|live] [--stall-ms 100] [--growth 1] [--write]

`gateway serve` runs as a process of its own, on embedded stores with demo data, or on the servers that TEST_POSTGRES_URL, TEST_MONGO_URL
and TEST_NEO4J_URL name when all are set. Ends with 1 when the process died, when anything was answered with 500 or an unexpected error,
when memory grows by 1 % a minute after warm-up, or when another client had to wait for more than 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from random import Random

import uvloop

from tests.benchmarks.processes import ROOT, Server
from tests.benchmarks.report import machine
from tests.servers import SERVERS
from tests.serving import LAYOUTS, filled, serving
from tests.soak.clients import AWKWARD, DEAF_CLIENTS, Pace, Seen, ask, be_awkward
from tests.soak.memory import Memory, memory_of
from tests.soak.mix import GENERATED, Mix
from tests.soak.probe import Seen as Probed
from tests.soak.report import Limits, Soaked, failures, written

CLIENTS = 8
AWKWARD_RATE = 4.0  # of each kind, a second
TITLES = {"sqlite": "a SQLite file per noun", "live": "users and posts in PostgreSQL, events in MongoDB's protocol, the graph in Neo4j"}


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    limits = Limits(options.growth, options.stall_ms)
    soaked = uvloop.run(run(options.stores, options.seconds, warm_up_s=warm_up_of(options.seconds), rate=options.rate, seed=options.seed))
    text = written(soaked, limits, machine())
    sys.stdout.write(text)
    if options.write:
        (ROOT / "docs" / "soak.md").write_text(text, encoding="utf-8")
    sys.exit(1 if failures(soaked, limits) else 0)


def warm_up_of(seconds: float) -> float:
    """Return how much of a soak is warm-up: a fifth, and at least 30 s, in which caches and pools fill."""
    return max(seconds / 5, 30.0)


async def run(stores: str, seconds: float, *, warm_up_s: float, rate: float, seed: int = 1, generated_count: int = GENERATED) -> Soaked:
    """Return the figures of a soak of a gateway that is started for it."""
    mix = Mix(seed, generated_count=generated_count)
    async with filled(stores) as urls, serving(urls, popen=subprocess.Popen) as server:
        return await _soak(server, mix, stores, seconds, warm_up_s=warm_up_s, rate=rate, seed=seed)


async def _soak(server: Server, mix: Mix, stores: str, seconds: float, *, warm_up_s: float, rate: float, seed: int) -> Soaked:
    seen, memory = Seen(), list[Memory]()
    probe = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.soak.probe", str(server.port)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert probe.stdout is not None
        await probe.stdout.readline()
        cpu, started = server.cpu_s(), time.monotonic()
        pace = Pace(rate, started + seconds)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                tasks.create_task(ask(server.port, mix, pace, seen))
            for number, name in enumerate([*AWKWARD, *["deaf"] * (DEAF_CLIENTS - 1)]):
                turns = Pace(AWKWARD_RATE, started + seconds)
                tasks.create_task(be_awkward(name, server.port, turns, Random(f"{seed}:{number}"), seen))
            tasks.create_task(_watch(server, memory, Pace(1.0, started + seconds)))
        ended = server.process.poll()
        spent = server.cpu_s() - cpu if ended is None else 0.0
        out, _ = await probe.communicate(b"")  # its standard input ends
    finally:
        with suppress(ProcessLookupError):
            probe.kill()
    return Soaked(TITLES[stores], seconds, warm_up_s, rate, started, seen, _probed(out), memory, spent, errors_in(server), ended)


async def _watch(server: Server, memory: list[Memory], pace: Pace) -> None:
    """Sample the memory, turn by turn, as long as the process lives."""
    memory.append(memory_of(server.pid, time.monotonic()))
    while await pace.turn() and server.process.poll() is None:
        with suppress(OSError, KeyError):  # it ended meanwhile
            memory.append(memory_of(server.pid, time.monotonic()))


def _probed(out: bytes) -> Probed:
    found = json.loads(out)
    return Probed(found["answers"], found["failures"], found["late_s"], [(start, seconds) for start, seconds in found["stalls"]])


def errors_in(server: Server) -> list[str]:
    """Return the lines of the log that are errors."""
    found = []
    for line in server.log.read_text(encoding="utf-8", errors="replace").splitlines():
        if '"level":"ERROR"' in line or line.startswith("Traceback"):
            found.append(line)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="how long (600); growth is judged from 50 on")
    parser.add_argument("--rate", type=float, default=100, help="requests a second, at most (100)")
    parser.add_argument(
        "--stores", choices=tuple(LAYOUTS), default=_default_stores(os.environ), help="default: live where all servers are named"
    )
    parser.add_argument("--stall-ms", type=float, default=Limits().stall_ms, help="how long another client may wait (100)")
    parser.add_argument("--growth", type=float, default=Limits().growth_percent, help="%% a minute, of which memory must grow less (1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write docs/soak.md")
    options = parser.parse_args()
    if not options.seconds > 0 or not options.rate > 0:
        parser.error("--seconds and --rate: expected more than 0")
    return options


def _default_stores(environment: Mapping[str, str]) -> str:
    return "live" if all(environment.get(server.variable) for server in SERVERS) else "sqlite"


if __name__ == "__main__":
    main()
