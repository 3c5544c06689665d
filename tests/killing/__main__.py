"""Kill gateways and relays at any time while clients write, and look whether anything is lost, done twice or out of order.

    python -m tests.killing [--kills 1000] [--stores sqlite|live] [--clients 8] [--seed 1]

Clients send mutations one after the other, each with an idempotency key of its own, and send a request whose answer never came again under
its key, as clients do. Processes are killed with SIGKILL after a random time and started again at once. Every 100 kills, and at the end,
all is left to settle: then every row must be as its client was told, with as many versions as there were writes, `gateway sync verify`
must be clean, and the log must have each aggregate's writes once and in their order. Ends with 1 where that is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson

from gateway.preparing import connect, migrate, opened
from gateway.stores import Stores
from schema import schema as graph
from tests import preloaded
from tests.benchmarks.processes import free_port
from tests.commands import ended
from tests.killing import leased
from tests.killing.checking import are_all_placed, inversions_in, wrong_in
from tests.killing.model import Model
from tests.replaying.__main__ import LOOKED_EVERY_S, drained, environment_of, stores_of
from tests.serving import LAYOUTS, START_S, TYPENAME, settings_of

ROUND = 100  # kills between two looks at everything
LIFE_S = (0.05, 1.5)  # of a process that is to be killed, from its first answer on
AGAIN_S = 0.05
GIVEN_UP_S = 120.0
GONE_S = 20.0
PLACED_S = 60.0  # until each write of a log has its position


@dataclass(slots=True)
class Killed:
    """What came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    tries: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.killing", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--stores", choices=LAYOUTS, default="sqlite")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    killed = asyncio.run(run(options.stores, kills=options.kills, clients=options.clients, seed=options.seed, say=_say))
    _say(f"{dict(killed.kills)} killed; {killed.acknowledged} writes acknowledged in {killed.tries} tries; {len(killed.wrong)} wrong")
    for line in killed.wrong[:20]:
        _say(line)
    sys.exit(1 if killed.wrong else 0)


async def run(layout: str, *, kills: int, clients: int, seed: int, lease_s: float | None = None, say: Any = lambda _: None) -> Killed:
    """Return what came of ``kills`` kills. With ``lease_s`` leases of deliveries and logs end sooner than they do in production."""
    random = Random(seed)
    killed = Killed()
    models = [Model(f"c{number}", Random(f"{seed} {number}")) for number in range(clients)]
    async with stores_of(layout) as urls:
        async with opened(settings_of(urls)) as stores:
            for name in graph.store_names:
                await migrate(stores, graph, name)
        with tempfile.TemporaryDirectory(prefix="crossgraph-") as folder:
            world = World(urls, Path(folder), lease_s)
            try:
                while (done := killed.kills.total()) < kills:
                    await _round(world, models, random, min(ROUND, kills - done), killed)
                    killed.wrong += await world.wrong(models)
                    say(f"{killed.kills.total()} kills, {killed.acknowledged} acknowledged, {len(killed.wrong)} wrong")
                    if killed.wrong:
                        break
            finally:
                world.stop()
    return killed


class World:
    """A gateway that serves and delivers, and a relay beside it; both may die at any time."""

    def __init__(self, urls: Mapping[str, str], folder: Path, lease_s: float | None) -> None:
        self.urls = urls
        self.port = free_port()
        self._folder = folder
        self._lease = {} if lease_s is None else {leased.VARIABLE: str(lease_s)}
        self._running: dict[str, preloaded.Popen] = {}

    async def alive(self, name: str) -> None:
        """Have the process of this name run, and the gateway have answered."""
        process = self._running.get(name)
        if process is not None and process.poll() is None:
            return
        command = ("serve", "--port", str(self.port)) if name == "gateway" else ("relay",)
        environment = {**os.environ, **environment_of(self.urls), "GATEWAY_DATA_DIR": str(self._folder), **self._lease}
        started = [sys.executable, "-m", leased.__name__, *command]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = preloaded.Popen(
                started, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if name == "gateway":
            await self._answered()

    async def _answered(self) -> None:
        until = time.monotonic() + START_S
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=5) as client:
            while True:
                try:
                    if (await client.post("/graphql", content=TYPENAME, headers={"content-type": "application/json"})).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                if self._running["gateway"].poll() is not None or time.monotonic() > until:
                    told = (self._folder / "gateway.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"the gateway did not answer within {START_S:g} s, or has ended:\n{told}")
                await asyncio.sleep(0.01)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a process and all that it started, and wait until it is gone."""
        process = self._running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait(GONE_S)

    def stop(self) -> None:
        for name in tuple(self._running):
            self.kill(name, signal.SIGTERM)

    async def wrong(self, models: Sequence[Model]) -> list[str]:
        """Return what is wrong once all has settled."""
        await self.alive("gateway")
        await drained(self.urls)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:

            async def execute(query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
                answer: Mapping[str, Any] = orjson.loads(
                    (await client.post("/graphql", json={"query": query, "variables": dict(variables)})).content
                )
                return answer

            found = await wrong_in(models, execute)
        stores = connect(settings_of(self.urls), graph=graph)
        await stores.open()
        try:
            names = list(dict.fromkeys(collection.store for collection in graph.collections))
            await _placed(stores, names)
            found += await inversions_in(stores, names)
        finally:
            await stores.close()
        verify = await asyncio.to_thread(ended, "sync", "verify", **environment_of(self.urls))
        if verify.returncode:
            found.append(f"sync verify: {verify.stdout}{verify.stderr}")
        return found


async def _placed(stores: Stores, names: Sequence[str]) -> None:
    """Return when the logs of these stores have a position for each write."""
    async with asyncio.timeout(PLACED_S):
        while True:
            if await are_all_placed(stores, names):
                return
            await asyncio.sleep(LOOKED_EVERY_S)


async def _round(world: World, models: Sequence[Model], random: Random, kills: int, killed: Killed) -> None:
    over = asyncio.Event()

    async def kill() -> None:
        for _ in range(kills):
            await world.alive("gateway")
            await world.alive("relay")
            await asyncio.sleep(random.uniform(*LIFE_S))
            name = random.choice(("gateway", "gateway", "relay"))
            world.kill(name)
            killed.kills[name] += 1
        await world.alive("gateway")
        over.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(kill())
        for model in models:
            group.create_task(_write(world.port, model, over, killed))


async def _write(port: int, model: Model, over: asyncio.Event, killed: Killed) -> None:
    """Write until it is over. What was begun is seen through: it may have happened."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        while not over.is_set():
            step = model.step()
            body = orjson.dumps({"query": step.query, "variables": step.variables})
            headers = {"content-type": "application/json", "idempotency-key": f"{model.name}-{killed.acknowledged}-{time.monotonic_ns()}"}
            begun = time.monotonic()
            while True:
                killed.tries += 1
                try:
                    answer = await client.post("/graphql", content=body, headers=headers)
                    told = orjson.loads(answer.content)
                except (httpx.HTTPError, orjson.JSONDecodeError) as error:
                    told = {"errors": [{"message": repr(error), "extensions": {"code": "STORE_UNAVAILABLE"}}]}
                if not told.get("errors"):
                    step.then()
                    killed.acknowledged += 1
                    break
                if time.monotonic() - begun > GIVEN_UP_S:
                    killed.wrong.append(f"{step.field} {step.variables}: not acknowledged: {told['errors']}")
                    return
                code = told["errors"][0]["extensions"].get("code")
                if code in ("BAD_USER_INPUT", "NOT_FOUND") or (code == "CONFLICT" and "retryAfter" not in told["errors"][0]["extensions"]):
                    killed.wrong.append(f"{step.field} {step.variables}: refused: {told['errors']}")
                    return
                await asyncio.sleep(AGAIN_S)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
