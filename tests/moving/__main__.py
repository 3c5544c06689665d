"""Move a noun to another database and back while clients write and read, with the command killed in the middle.

    python -m tests.moving [--rounds 3] [--stores sqlite|live] [--to mongodb] [--noun users] [--clients 8] [--kills 2] [--people 2000]
        [--split]

Two gateways serve. Each client sends a mutation to one of them, and reads what it has written from the other: an error, a connection
that is lost, or an answer that is older than what was acknowledged is a failed request, and none is sent again. ``gateway move`` is
killed with SIGKILL after a random time, ``--kills`` times each way, and run again; then it has to end well. At the end every row is as
its client was told, the log has each aggregate's writes once and in their order, and ``gateway sync verify`` is clean. Ends with 1
where that is not so. With ``--split`` half of the reads go to the candidate while it follows, and the others are compared with it; clients
bring the token of what they have written.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import orjson

from gateway.config import Settings, StoreSettings
from gateway.loading import write_batches
from gateway.preparing import migrate, opened
from gateway.writes.moving import FENCED_S
from schema import schema as graph
from tests import preloaded
from tests.commands import ended
from tests.killing.checking import are_all_placed, inversions_in, wrong_in
from tests.killing.model import Model
from tests.kinds import url_of
from tests.replaying.__main__ import environment_of, pending_in, stores_of
from tests.serving import LAYOUTS, serving, settings_of

WRITTEN = "x-gateway-written"  # the token of what was written
MOVE_S = 120.0
LIFE_S = (0.3, 4.0)  # of a command that is to be killed
FILLED = {"users": ("members",), "posts": ("wrote",), "events": ("likes",)}  # what follows from the rows of a noun, beside them
STAYS_S = 12.0
QUIET_S = 1.0  # of writes before a move, and after it
READ = "query($id: ID!) { node(id: $id) { ... on User { name version posts(first: 100) { nodes { id version } } } } }"


@dataclass(slots=True)
class Moved:
    """What came of it. ``slowest_s`` is the longest time that a request took."""

    requests: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    killed: int = 0
    slowest_s: float = 0.0
    move_s: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.moving", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of there and back")
    parser.add_argument("--stores", choices=LAYOUTS, default="sqlite")
    parser.add_argument("--to", default="sqlite")
    parser.add_argument("--noun", default="users")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--people", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", action="store_true")
    options = vars(parser.parse_args())
    layout, to = options.pop("stores"), options.pop("to")
    moved = asyncio.run(run(layout, to, **options, say=_say))
    _say(f"{dict(moved.requests)} requests, {len(moved.failed)} failed, the slowest {moved.slowest_s:.2f} s; {moved.killed} killed")
    _say(f"moves of {', '.join(f'{seconds:.1f}' for seconds in moved.move_s)} s; {len(moved.wrong)} wrong")
    for line in [*moved.failed[:20], *moved.wrong[:20]]:
        _say(line)
    sys.exit(1 if moved.failed or moved.wrong else 0)


async def run(
    layout: str,
    to: str,
    *,
    noun: str = "users",
    rounds: int = 1,
    clients: int = 4,
    kills: int = 1,
    people: int = 500,
    seed: int = 1,
    split: bool = False,
    pause_s: float = 0.0,
    say: Any = None,
) -> Moved:
    """Return what came of moving a noun there and back ``rounds`` times, while clients write one after the other, or after a pause."""
    random, moved = Random(seed), Moved()
    models = [Model(f"c{number}", Random(f"{seed} {number}")) for number in range(clients)]
    async with AsyncExitStack() as stack:
        urls = await stack.enter_async_context(stores_of(layout))
        shared = next((url for name, url in urls.items() if name != noun and LAYOUTS[layout][name] == to and to != "sqlite"), None)
        candidate = await stack.enter_async_context(url_of(to)) if shared is None else shared
        moving = {noun: StoreSettings(url=urls[noun], candidate=candidate)}
        settings = Settings(stores={name: StoreSettings(url=url) for name, url in urls.items()} | moving)
        async with opened(settings_of(urls)) as stores:
            for name in graph.store_names:
                await migrate(stores, graph, name)
            assert graph.demo is not None
            homes, names = {noun, "users"}, {*FILLED["users"], *FILLED.get(noun, ())}
            filled = (batch for batch in graph.demo(people, seed) if batch[0].store in homes or batch[0].name in names)
            await write_batches(stores, filled)
        prefix = f"GATEWAY_STORES__{noun.upper()}__"
        variables = {f"{prefix}CANDIDATE": candidate, "GATEWAY_WRITTEN_KEY": "of-all-processes"}
        if split:
            variables |= {f"{prefix}AB": '{"primary": 50, "candidate": 50}', f"{prefix}SHADOW": "1"}
        environment = {**environment_of(urls), **variables}
        servers = [await stack.enter_async_context(serving(urls, variables)) for _ in range(2)]
        ports = [server.port for server in servers]
        over = asyncio.Event()
        writers = [asyncio.create_task(_write(ports, model, over, moved, pause_s)) for model in models]
        try:
            await asyncio.sleep(FENCED_S)  # which the first switch would wait for, with nothing to be killed in
            if split:
                await _stay(environment, noun, moved)
            for number in range(rounds):
                for way in ((), ("--back",)):
                    await asyncio.sleep(QUIET_S)
                    await _move(environment, (noun, *way), kills, random, moved)
                    if say is not None:
                        say(f"round {number + 1} {' '.join(way)}: {moved.requests.total()} requests, {len(moved.failed)} failed")
            await asyncio.sleep(QUIET_S)
        finally:
            over.set()
            await asyncio.gather(*writers)
        if split:
            moved.requests["of the candidate"] += await _read_of(ports, "candidate")
            moved.requests["compared"] += await _read_of(ports, "equal")
            if differing := await _read_of(ports, "different"):
                moved.wrong.append(f"{differing} reads differed from the candidate's")
        moved.wrong += await _wrong(environment, settings, ports[0], models)
    return moved


async def _stay(environment: Mapping[str, str], noun: str, moved: Moved) -> None:
    """Have both be in step for a while, and the command killed."""
    process = _command(environment, noun, "--stay")
    await asyncio.sleep(STAYS_S)
    if process.poll() is not None:
        moved.wrong.append(f"move --stay: ended with {process.returncode}")
    process.kill()
    await asyncio.to_thread(process.communicate)


async def _move(environment: Mapping[str, str], arguments: Sequence[str], kills: int, random: Random, moved: Moved) -> None:
    begun = time.monotonic()
    for _ in range(kills):
        process = _command(environment, *arguments)
        await asyncio.sleep(random.uniform(*LIFE_S))
        if process.poll() is not None:
            await asyncio.to_thread(process.communicate)
            break
        process.kill()
        await asyncio.to_thread(process.communicate)
        moved.killed += 1
    for _ in range(5):  # one that could not switch in its time says so, and is run again
        process = _command(environment, *arguments)
        told, _ = await asyncio.to_thread(process.communicate, timeout=MOVE_S)
        if process.returncode == 0:
            moved.move_s.append(time.monotonic() - begun)
            return
    moved.wrong.append(f"move {' '.join(arguments)}: ended with {process.returncode}: {told.decode()[-500:]}")


def _command(environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gateway", "move", *arguments]
    return preloaded.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


async def _write(ports: Sequence[int], model: Model, over: asyncio.Event, moved: Moved, pause_s: float) -> None:
    """Write to one gateway, and read what was written from the other, until it is over."""
    limits = httpx.Limits(max_keepalive_connections=10)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=15, limits=limits))
            for port in ports
        ]
        turn = 0
        tokens: dict[str, str] = {}
        while not over.is_set():
            turn += 1
            step = model.step()
            headers = {"idempotency-key": f"{model.name}-{turn}"}
            if not await _asked(clients[turn % 2], step.query, step.variables, step.field, moved, headers, tokens):
                return  # nobody knows what happened
            step.then()
            key, person = next(reversed(model.people.items()))
            found = await _asked(clients[(turn + 1) % 2], READ, {"id": key}, "read", moved, {}, tokens)
            node = found and found["node"]
            if await _asked(clients[turn % 2], READ, {"id": "User:1"}, "read of another", moved, {}, {}) is None:
                return
            if found is None or node is None or (node["name"], node["version"]) != (person.name, person.version):
                moved.failed.append(f"read of {key} behind {step.field}: expected {person.name!r} at {person.version}, got {node}")
                return
            await asyncio.sleep(pause_s)


async def _asked(
    client: httpx.AsyncClient,
    query: str,
    variables: Mapping[str, Any],
    name: str,
    moved: Moved,
    headers: Mapping[str, str],
    tokens: dict[str, str],
) -> Any:
    begun = time.monotonic()
    try:
        answer = await client.post("/graphql", json={"query": query, "variables": dict(variables)}, headers={**headers, **tokens})
        if WRITTEN in answer.headers:
            tokens[WRITTEN] = answer.headers[WRITTEN]
        told = orjson.loads(answer.content)
    except (httpx.HTTPError, orjson.JSONDecodeError) as error:
        told = {"errors": [repr(error)]}
    moved.requests[name] += 1
    moved.slowest_s = max(moved.slowest_s, time.monotonic() - begun)
    if told.get("errors"):
        moved.failed.append(f"{name} {dict(variables)}: {told['errors']}")
        return None
    return told["data"]


async def _read_of(ports: Sequence[int], result: str) -> int:
    """Return how many reads had this result at the candidate, of all gateways."""
    total = 0.0
    async with httpx.AsyncClient() as client:
        for port in ports:
            lines = (await client.get(f"http://127.0.0.1:{port}/metrics")).text.splitlines()
            found = [line for line in lines if line.startswith("gateway_candidate_reads_total") and f'result="{result}"' in line]
            total += sum(float(line.rpartition(" ")[2]) for line in found)
    return int(total)


async def _wrong(environment: Mapping[str, str], settings: Settings, port: int, models: Sequence[Model]) -> list[str]:
    """Return what is wrong once all has settled."""
    async with asyncio.timeout(MOVE_S):
        while True:
            status = await asyncio.to_thread(ended, "sync", "status", "--json", **environment)
            if not pending_in(orjson.loads(status.stdout)):
                break
            await asyncio.sleep(QUIET_S)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        async def execute(query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
            answer = await client.post("/graphql", json={"query": query, "variables": dict(variables)})
            told: Mapping[str, Any] = orjson.loads(answer.content)
            return told

        found = await wrong_in(models, execute)
    async with opened(settings) as stores:
        names = list(graph.store_names)
        async with asyncio.timeout(MOVE_S):
            while True:
                if await are_all_placed(stores, names):
                    break
                await asyncio.sleep(QUIET_S)
        twice = "a position was given twice"  # what was moved to a database has the positions that it had, as rows of others there may
        found += [line for line in await inversions_in(stores, names) if not line.endswith(twice)]
    verify = await asyncio.to_thread(ended, "sync", "verify", **environment)
    if verify.returncode:
        found.append(f"sync verify: {verify.stdout}{verify.stderr}")
    return found


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
