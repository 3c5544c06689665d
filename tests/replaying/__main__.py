"""Replay a stream of writes through a gateway's mutations, break what can break meanwhile, and compare with a load of what it ends in.

    python -m tests.replaying DATA [--stores sqlite|live] [--clients 16] [--most N] [--twice 0.1] [--kill-relay 2] [--stop mongo:5:20]…

``DATA`` is a folder with users.ndjson, posts.ndjson, events.ndjson, follows.ndjson, which are loaded first, and writes.ndjson. With
``--kill-relay S`` relays run as processes of their own, one of which is killed (SIGKILL) and started again every S seconds. ``--stop
NAME:AT:FOR`` kills the server NAME of the script that SERVERS names, AT seconds after the start, and starts it again FOR seconds later.

Ends with 1 where a write was refused, where ``gateway sync verify`` finds a difference, or where an answer differs from that of a gateway
that has loaded the final state.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from gateway.loading import load_folder
from gateway.preparing import connect, migrate, opened
from gateway.service import Request, Service
from gateway.stores import Stores
from schema import schema as graph
from tests.commands import ended
from tests.kinds import url_of
from tests.replaying.comparing import Execute, differences
from tests.replaying.player import Played, play
from tests.replaying.writes import final_state, writes_in
from tests.serving import LAYOUTS, serving, settings_of

DRAINED_S = 300.0  # until all targets have heard of all writes
LOOKED_EVERY_S = 0.2
SHOWN = 20  # differences
COMPARED_S = 120.0  # at most, of one page: what is looked at here is not how fast it comes


def main() -> None:
    options = _options()
    sys.exit(asyncio.run(run(options)))


async def run(options: argparse.Namespace) -> int:
    """Return the exit code."""
    data = Path(options.data)
    writes = writes_in(data / "writes.ndjson", options.most)
    async with AsyncExitStack() as stack:
        urls = await stack.enter_async_context(stores_of(options.stores))
        reference = await stack.enter_async_context(stores_of(options.reference))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossgraph-")))
        final_state(data, writes, folder)
        await _filled(urls, data)
        await _filled(reference, folder)
        settings = {"GATEWAY_RELAY": "false"} if options.kill_relay else {}
        server = await stack.enter_async_context(serving(urls, settings))
        breaking = [asyncio.create_task(_stopped(*stop)) for stop in options.stop]
        if options.kill_relay:
            breaking.append(asyncio.create_task(_killed(urls, options.kill_relay)))
        played = await play(f"http://127.0.0.1:{server.port}", writes, clients=options.clients, twice=options.twice, seed=options.seed)
        _say(_told(played, len(writes)))
        await asyncio.gather(*breaking[: len(options.stop)])
        status = await drained(urls)
        for task in breaking[len(options.stop) :]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if options.kill_relay:
            relay = await _command(urls, "relay")
            status = await drained(urls)
            relay.kill()
        _say(f"sync status: {status}")
        verified = await _run(urls, "sync", "verify")
        _say(verified.stdout + verified.stderr)
        found = await _compared(urls, reference)
    for line in found[:SHOWN]:
        _say(line)
    _say(f"{len(found)} differences; {len(played.refused)} refused; sync verify ended with {verified.returncode}")
    return 1 if found or played.refused or verified.returncode else 0


@asynccontextmanager
async def stores_of(layout: str) -> AsyncIterator[dict[str, str]]:
    """Give the URL of each store, empty; what was made is gone afterwards."""
    async with AsyncExitStack() as stack:
        made: dict[str, str] = {}
        urls = {}
        for name, kind in LAYOUTS[layout].items():
            if kind == "sqlite" or kind not in made:
                made[kind] = await stack.enter_async_context(url_of(kind))
            urls[name] = made[kind]
        yield urls


async def _filled(urls: Mapping[str, str], folder: Path) -> None:
    async with opened(settings_of(urls)) as stores:
        for name in graph.store_names:
            await migrate(stores, graph, name)
        await load_folder(stores, graph.datasets, folder)


async def _compared(urls: Mapping[str, str], reference: Mapping[str, str]) -> list[str]:
    async with AsyncExitStack() as stack:
        services: list[Execute] = []
        for its in (urls, reference):
            patient = settings_of(its).model_copy(update={"store_timeout_s": COMPARED_S})
            stores = connect(patient, graph=graph)
            await stores.open()
            stack.push_async_callback(stores.close)
            services.append(_execute(stores))
        return await differences(*services)


def _execute(stores: Stores) -> Execute:
    service = Service(graph, stores)

    async def execute(query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = orjson.loads((await service.answer(Request(query, dict(variables)), deadline_s=COMPARED_S)).body)
        return answer

    return execute


# --------------------------------------------------------------------------------------------------------------- commands


def environment_of(urls: Mapping[str, str]) -> dict[str, str]:
    return {f"GATEWAY_STORES__{name.upper()}__URL": url for name, url in urls.items()}


async def _command(urls: Mapping[str, str], *command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", *command, env={**os.environ, **environment_of(urls)})


async def _run(urls: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(ended, *command, **environment_of(urls))


async def drained(urls: Mapping[str, str]) -> str:
    """Return the status once nothing is pending, or after ``DRAINED_S``."""
    async with asyncio.timeout(DRAINED_S):
        while True:
            done = await _run(urls, "sync", "status", "--json")
            text = done.stdout
            status = orjson.loads(text) if text.strip() else None
            if status is not None and pending_in(status) == 0:
                return text.strip()
            await asyncio.sleep(LOOKED_EVERY_S)


def pending_in(status: Any) -> int:
    """Return how many deliveries are pending, of all stores and targets that a status tells of."""
    if isinstance(status, Mapping):
        return sum(int(value) if name == "pending" else pending_in(value) for name, value in status.items())
    if isinstance(status, Sequence) and not isinstance(status, str):
        return sum(map(pending_in, status))
    return 0


# ----------------------------------------------------------------------------------------------------------------- faults


async def _killed(urls: Mapping[str, str], every_s: float) -> None:
    """Run two relays, and kill one after the other for ever, each when it has been at work for a while."""
    relays = [await _at_work(urls), await _at_work(urls)]
    try:
        while True:
            await asyncio.sleep(every_s)
            relays[0].kill()
            await relays[0].wait()
            relays = [relays[1], await _at_work(urls)]
    finally:
        for relay in relays:
            with suppress(ProcessLookupError):
                relay.kill()


async def _at_work(urls: Mapping[str, str]) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "gateway", "relay")
    relay = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environment_of(urls)}, stdout=asyncio.subprocess.PIPE)
    assert relay.stdout is not None
    try:
        while line := await relay.stdout.readline():
            if line.startswith(b"Relaying"):
                return relay
    except BaseException:
        relay.kill()
        raise
    raise RuntimeError(f"a relay ended with {await relay.wait()} before it was at work")


async def _stopped(name: str, at_s: float, for_s: float) -> None:
    servers = os.environ["SERVERS"]
    await asyncio.sleep(at_s)
    await asyncio.to_thread(subprocess.run, [servers, "kill", name], check=True)
    await asyncio.sleep(for_s)
    await asyncio.to_thread(subprocess.run, [servers, "restart", name], check=True)


# ---------------------------------------------------------------------------------------------------------------- options


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _told(played: Played, count: int) -> str:
    lines = [f"{played.acknowledged} of {count} acknowledged in {played.seconds:.1f} s, {count / played.seconds:.0f} a second"]
    lines.append("tries: " + ", ".join(f"{number} {outcome}" for outcome, number in played.tries.most_common()))
    if len(played.latencies_s) > 1:
        cuts = statistics.quantiles(played.latencies_s, n=100)
        lines.append(f"milliseconds at the first try: {1000 * cuts[49]:.1f} in the middle, {1000 * cuts[98]:.1f} of 99 in 100")
    lines += [f"refused {number}: {told}" for number, told in list(played.refused.items())[:SHOWN]]
    return "\n".join(lines)


def _stop(text: str) -> tuple[str, float, float]:
    name, at_s, for_s = text.split(":")
    return name, float(at_s), float(for_s)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.replaying", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--stores", choices=LAYOUTS, default="sqlite")
    parser.add_argument("--reference", choices=LAYOUTS, default="sqlite")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--most", type=int)
    parser.add_argument("--twice", type=float, default=0.0)
    parser.add_argument("--kill-relay", type=float)
    parser.add_argument("--stop", type=_stop, action="append", default=[])
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
