"""Compare the CPU per request of two commits, and fail when one is slower beyond doubt.

    python -m tests.benchmarks.pair COMMIT [--head COMMIT] [--pairs 10] [--most 1.02]

Each commit is checked out into a folder of its own and served, by this virtual environment, over stores of its own that its own
commands made: all nouns in PostgreSQL where TEST_POSTGRES_URL is set, else a SQLite file each. A pair is two fresh processes, since
processes of the same code differ too (hash seeds, memory layout). They are asked in turns, A B, B A, A B …, in blocks so short that what
else the machine does meets both; the median over the blocks of the head's CPU per request over the base's is the ratio of the pair, and
the median over the pairs is judged, by its 95 % interval. Requests/s are told and not judged: other processes of the machine are in them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import orjson
import uvloop

from tests.benchmarks.client import ask_times
from tests.benchmarks.operations import Operation, operations
from tests.benchmarks.processes import ROOT, Server, free_port, post, start, wait_for_answer
from tests.benchmarks.ratios import Interval, median_of
from tests.benchmarks.setups import FOLDER, SETUPS, Data, Setup, analyze, create_database, datasets, drop

LEAST_PAIRS = 10
JUDGED = ("Point", "Tree")
POINTS = b'{"query": "{ users(first: 100) { nodes { id } } }"}'
BLOCKS = 10  # of each operation, side and pair

# What a checkout is: where its code is imported from, and which settings it knows.
_PROBE = "import json, gateway; from gateway.config import Settings; print(json.dumps([gateway.__file__, sorted(Settings.model_fields)]))"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two commits: its checkout, and its stores."""

    label: str
    commit: str
    root: Path
    settings: frozenset[str]
    setup: Setup
    environment: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.label} {self.commit[:7]}"


@dataclass(frozen=True, slots=True)
class Run:
    """What a block of requests of one operation took."""

    cpu_ms: float
    requests_s: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """Head over base, for one pair."""

    cpu: float
    requests_s: float


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a pair asks of each side, and by how many connections: requests by operation."""

    connections: int
    requests: Mapping[str, int]


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # checkouts and databases are removed all the same
    commits = {"base": _commit(options.commit), "head": _commit(options.head)}
    if options.head == "HEAD" and _git("status", "--porcelain", "--untracked-files=no"):
        _say("There are changes that are not committed: they are not measured.")
    with tempfile.TemporaryDirectory(prefix="crossgraph-pair-") as folder:
        sys.exit(_compare(Path(folder), commits, options))


def _compare(folder: Path, commits: Mapping[str, str], options: argparse.Namespace) -> int:
    with checkouts(folder, commits) as roots:
        sides = _sides(roots, commits, _data(options.snb))
        try:
            for side in sides:
                _prepare(side)
            _say(f"{_about(sides[0].setup)}; {options.pairs} pairs of {sides[0]} and {sides[1]}")
            ratios = _measure(sides, options)
        finally:
            for side in sides:
                asyncio.run(drop(side.setup))
    return _judge(ratios, options.most)


# ------------------------------------------------------------------------------------------------------------ checkouts


@contextmanager
def checkouts(folder: Path, commits: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Give a folder with the files of each commit, by label; git forgets them afterwards."""
    roots = {label: folder / label for label in commits}
    try:
        for label, root in roots.items():
            _git("worktree", "add", "--detach", "--quiet", str(root), commits[label])
        yield roots
    finally:
        for root in roots.values():
            if root.exists():
                _git("worktree", "remove", "--force", str(root))


def environment(
    setup: Mapping[str, str], given: Mapping[str, str], known: Sequence[frozenset[str]], side: frozenset[str]
) -> dict[str, str]:
    """Return a gateway's settings: of ``given`` what all of ``known`` have, of the set-up's own what this ``side`` has.

    A setting that only one of the two has would measure the setting. The set-up's own are needed to serve at all where they exist.
    """
    common = frozenset.intersection(*known)
    passed = {name: value for name, value in given.items() if setting_of(name) in common}
    return passed | {name: value for name, value in setup.items() if setting_of(name) in side}


def setting_of(variable: str) -> str:
    """Return the setting that a variable of the environment gives: GATEWAY_STORES__USERS__URL gives stores."""
    return variable.removeprefix("GATEWAY_").partition("__")[0].lower()


def _sides(roots: Mapping[str, Path], commits: Mapping[str, str], data: Data) -> list[Side]:
    kind = "postgresql" if os.environ.get("TEST_POSTGRES_URL") else "sqlite"
    given = _take_settings()
    settings = {label: _probe(root) for label, root in roots.items()}
    sides = []
    for label, root in roots.items():
        setup = Setup(kind, replace(data, name=f"pair_{os.getpid()}_{label}"))
        settled = environment(setup.gateway(), given, list(settings.values()), settings[label])
        sides.append(Side(label, commits[label], root, settings[label], setup, settled))
    left_out = sorted(name for name in given if name not in sides[0].environment)
    if left_out:
        _say(f"Not passed on, since not both know it: {', '.join(left_out)}")
    return sides


def _probe(root: Path) -> frozenset[str]:
    """Return the settings that a checkout knows. RuntimeError where Python would import other code than its own."""
    found = subprocess.run([sys.executable, "-c", _PROBE], cwd=root, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    file, settings = orjson.loads(found.stdout)
    if not Path(file).is_relative_to(root):
        raise RuntimeError(f"expected to import the gateway of {root}, got {file}")
    return frozenset(settings)


def _take_settings() -> dict[str, str]:
    """Take out of our environment, which every process inherits, what decides a gateway's code or settings; return the settings."""
    for name in ("PYTHONPATH", "PYTHONSAFEPATH", "DATABASE_URL", "MONGO_URL", "NEO4J_URL", "GATEWAY_CONFIG"):
        os.environ.pop(name, None)
    return {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GATEWAY_")}


def _data(snb: Path) -> Data:
    sets = datasets(snb.resolve())
    return sets["snb"] if snb.is_dir() else sets["tiny"]


def _prepare(side: Side) -> None:
    """Create and fill the side's stores, by its own commands: its migrations may be others than ours."""
    if side.setup.kind != "sqlite":
        asyncio.run(create_database(side.setup))
    for command in (("migrate",), side.setup.data.command):
        subprocess.run(
            [sys.executable, "-m", "gateway", *command],
            cwd=side.root,
            env={**os.environ, **side.environment},
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    if side.setup.kind != "sqlite":
        asyncio.run(analyze(side.setup))


def _about(setup: Setup) -> str:
    return f"{SETUPS[setup.kind]}; {setup.data.title}"


# ------------------------------------------------------------------------------------------------------------ measuring


def _measure(sides: Sequence[Side], options: argparse.Namespace) -> dict[str, list[Ratio]]:
    """Return for each operation the ratios of every pair."""
    effort = Effort(options.connections, {"Point": options.point, "Tree": options.tree})
    ratios: dict[str, list[Ratio]] = {name: [] for name in JUDGED}
    for number in range(options.pairs):
        runs = _run_pair(sides if number % 2 == 0 else sides[::-1], effort, is_first=number == 0)
        for name in JUDGED:
            ratios[name].append(_ratio(runs["base"][name], runs["head"][name]))
        _say(f"{number + 1:3}  " + "   ".join(_line(name, runs, ratios[name][-1]) for name in JUDGED))
    return ratios


def _ratio(base: Sequence[Run], head: Sequence[Run]) -> Ratio:
    blocks = list(zip(base, head, strict=True))
    return Ratio(median(h.cpu_ms / b.cpu_ms for b, h in blocks), median(h.requests_s / b.requests_s for b, h in blocks))


def _line(name: str, runs: Mapping[str, Mapping[str, Sequence[Run]]], ratio: Ratio) -> str:
    cpu = " -> ".join(f"{median(run.cpu_ms for run in runs[label][name]):.4g}" for label in ("base", "head"))
    rate = " -> ".join(f"{median(run.requests_s for run in runs[label][name]):,.0f}" for label in ("base", "head"))
    return f"{name.lower()} {cpu} ms ({ratio.cpu:.3f}), {rate}/s"


def _run_pair(order: Sequence[Side], effort: Effort, *, is_first: bool) -> dict[str, dict[str, list[Run]]]:
    """Serve both sides in new processes, and return what the blocks of each operation took, by side."""
    servers: dict[str, Server] = {}
    try:
        for side in order:
            servers[side.label] = _serve(side)
        asked = [operation for operation in operations(_users(servers["base"])) if operation.name in JUDGED]
        if is_first:
            _compare_answers(servers, asked)
        return uvloop.run(_ask_in_turns(servers, asked, effort))
    finally:
        for server in servers.values():
            server.stop()


def _serve(side: Side) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    log = FOLDER / "logs" / f"pair-{side.label}.log"
    server = start(str(side), command, port, log=log, env=side.environment, cwd=side.root)
    try:
        wait_for_answer(server, POINTS, timeout_s=60)
    except BaseException:
        server.stop()
        raise
    return server


def _users(server: Server) -> list[str]:
    return [user["id"] for user in orjson.loads(post(server.port, POINTS))["data"]["users"]["nodes"]]


def _compare_answers(servers: Mapping[str, Server], asked: Sequence[Operation]) -> None:
    for operation in asked:
        base, head = (orjson.loads(post(servers[label].port, operation.requests[0])) for label in ("base", "head"))
        if base != head:
            _say(f"     Their answers to the {operation.name.lower()} differ: what is compared is not the same work.")


async def _ask_in_turns(servers: dict[str, Server], asked: Sequence[Operation], effort: Effort) -> dict[str, dict[str, list[Run]]]:
    runs: dict[str, dict[str, list[Run]]] = {label: {operation.name: [] for operation in asked} for label in servers}
    for operation in asked:
        count = max(effort.requests[operation.name] // BLOCKS, 1)
        for number in range(-1, BLOCKS):
            for label in servers if number % 2 == 0 else reversed(servers):
                run = await _ask(servers[label], operation, effort.connections, count)
                if number >= 0:  # the first is to warm up
                    runs[label][operation.name].append(run)
    return runs


async def _ask(server: Server, operation: Operation, connections: int, count: int) -> Run:
    before, started = server.cpu_s(), time.perf_counter()
    await ask_times(server.port, operation.requests, connections=connections, requests=count)
    return Run((server.cpu_s() - before) / count * 1e3, count / (time.perf_counter() - started))


def _judge(ratios: Mapping[str, Sequence[Ratio]], most: float) -> int:
    """Say what came out; return 1 when an operation is slower than allowed beyond doubt."""
    slower = []
    _say(f"\n{'head over base':16} {'CPU per request':>24} {'requests/s':>24}")
    for name, pairs in ratios.items():
        cpu, rate = median_of([pair.cpu for pair in pairs]), median_of([pair.requests_s for pair in pairs])
        _say(f"{name.lower():16} {cpu!s:>24} {rate!s:>24}")
        if cpu.is_beyond(most):
            slower.append(_verdict(name, cpu, most))
    for line in slower or [f"No operation takes more than {most:g} times the CPU beyond doubt."]:
        _say(line)
    return 1 if slower else 0


def _verdict(name: str, cpu: Interval, most: float) -> str:
    return f"SLOWER: {name.lower()}: expected at most {most:g} times the base's CPU per request, got {cpu}: the whole interval is beyond."


# ---------------------------------------------------------------------------------------------------------------- shell


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.pair", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit", help="the base: a commit, a branch, a tag")
    parser.add_argument("--head", default="HEAD", help="what is compared with it (HEAD)")
    parser.add_argument("--pairs", type=int, default=LEAST_PAIRS, help=f"how many pairs, at least {LEAST_PAIRS}")
    parser.add_argument("--most", type=float, default=1.02, help="how much of the base's CPU is allowed (1.02)")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--tree", type=int, default=300, help="requests of the tree of each side in a pair")
    parser.add_argument("--point", type=int, default=8_000, help="requests of the point look-up of each side in a pair")
    parser.add_argument("--snb", type=Path, default=Path(os.environ.get("TEST_SNB_DIR", ROOT.parent / "shared" / "data" / "ldbc-snb")))
    options = parser.parse_args()
    if options.pairs < LEAST_PAIRS:
        parser.error(f"--pairs: expected at least {LEAST_PAIRS}, got {options.pairs}")
    return options


def _commit(name: str) -> str:
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except subprocess.CalledProcessError:
        sys.exit(f"expected the name of a commit, got {name!r}")


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        sys.exit("git is not on the PATH")
    done = subprocess.run([git, *arguments], cwd=ROOT, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
