"""Write by one gateway, read by another over a replica that falls behind again and again, and look whether a read misses its own write.

    python -m tests.replicas [--writes 10000] [--clients 8] [--seed 1]

The example is served by two processes with one ``written_key``, users and posts in the live PostgreSQL with its streaming replica
(``TEST_POSTGRES_URL``, ``TEST_POSTGRES_REPLICA_URL``), the others in SQLite. Each client renames a user of its own by one of the gateways,
and reads the name by the other: once with what it was told, which has to be the new name, and, of one write in ten, before that without,
which shows how often it would have been the old one. Meanwhile the replay of the replica is stopped and goes on, for up to a fifth of a
second each. Ends with 1 where a read is stale, or fails, or where the replica answered none.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from gateway.migrating import migrate
from gateway.preparing import opened
from schema import schema as graph
from tests.replicas.pair import Pair, pair
from tests.serving import serving, settings_of

PAUSE_S = 0.2  # at most, and as long between two
CONTROL = 0.1  # of the writes, which are read without a token first
MAX_LAG_S = 5.0
CREATE = 'mutation ($key: ID!, $email: String!) { createUser(input: {id: $key, name: "new", email: $email}) { user { id } } }'
RENAME = "mutation ($key: ID!, $name: String!) { updateUser(id: $key, input: {name: $name}) { name } }"
NAME = "query ($key: ID!) { user(id: $key) { name } }"

Say = Callable[[str], None]


@dataclass(slots=True)
class Found:
    """What came of it. Reads are those with a token; ``without`` of those that have none were stale ``stale_without``."""

    writes: int = 0
    stale: int = 0
    without: int = 0
    stale_without: int = 0
    of_replica: int = 0  # reads of stores, by metrics
    pauses: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        return (
            f"{self.writes:,} writes and reads of them, {self.stale} stale; without the token {self.stale_without} of {self.without};"
            f" the replica answered {self.of_replica:,} reads and stood still {self.pauses} times"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.replicas", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--writes", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    found = asyncio.run(run(options.writes, clients=options.clients, seed=options.seed, say=_say))
    for line in found.wrong[:20]:
        _say(line)
    _say(found.told)
    sys.exit(1 if found.wrong or found.stale or not found.of_replica else 0)


async def run(writes: int, *, clients: int, seed: int, say: Say = lambda _: None) -> Found:
    """Return what came of so many writes, by all clients together."""
    found = Found()
    async with pair() as its, gateways(its) as bases, httpx.AsyncClient(timeout=60) as http:
        lagging = asyncio.create_task(_lag(its, Random(seed), found))
        telling = asyncio.create_task(_tell(found, say))
        try:
            each = [_client(http, bases, f"c{number}", writes // clients, Random(f"{seed} {number}"), found) for number in range(clients)]
            await asyncio.gather(*each)
            found.of_replica = sum([await _reads_of_replica(http, base) for base in bases])
        finally:
            for task in (lagging, telling):
                task.cancel()
            await asyncio.gather(lagging, telling, return_exceptions=True)
    return found


@asynccontextmanager
async def gateways(its: Pair) -> AsyncIterator[tuple[str, str]]:
    """Give the addresses of two gateways over a pair."""
    settings = {
        "GATEWAY_WRITTEN_KEY": "a-key-of-both-gateways",
        "GATEWAY_STORES__USERS__REPLICAS": its.replica,
        "GATEWAY_STORES__USERS__MAX_LAG_S": f"{MAX_LAG_S:g}",
        "GATEWAY_REQUESTS_MAX": "64",
        "GATEWAY_METRICS": "true",
        "GATEWAY_ACCESS_LOG": "false",
    }
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossgraph-")))
        urls = {name: f"sqlite+aiosqlite:///{folder}/{name}.db" for name in graph.store_names}
        urls |= {"users": its.primary, "posts": its.primary}
        async with opened(settings_of(urls)) as stores:
            for name in graph.store_names:
                await migrate(stores, graph, name)
        servers = [await stack.enter_async_context(serving(urls, settings)) for _ in range(2)]
        yield f"http://127.0.0.1:{servers[0].port}", f"http://127.0.0.1:{servers[1].port}"


async def _client(http: httpx.AsyncClient, bases: tuple[str, str], key: str, writes: int, random: Random, found: Found) -> None:
    try:
        token = (await _ask(http, bases[0], CREATE, {"key": key, "email": f"{key}@example.org"}))[1]
        for number in range(writes):
            name = f"{key} {number}"
            one, other = random.sample(bases, 2)
            _, token = await _ask(http, one, RENAME, {"key": key, "name": name}, token)
            found.writes += 1
            if random.random() < CONTROL:
                answer, _ = await _ask(http, other, NAME, {"key": key})
                found.without += 1
                found.stale_without += (answer["user"] or {}).get("name") != name
            answer, _ = await _ask(http, other, NAME, {"key": key}, token)
            if answer["user"]["name"] != name:
                found.stale += 1
                found.wrong.append(f"expected {name!r}, read {answer['user']['name']!r}")
    except Exception as error:
        found.wrong.append(f"client {key}: {type(error).__name__}: {error}")


async def _ask(
    http: httpx.AsyncClient, base: str, query: str, variables: Mapping[str, Any], token: str | None = None
) -> tuple[Any, str | None]:
    """Return the data of an answer, and what was told of a write."""
    headers = {} if token is None else {"X-Gateway-Written": token}
    answer = await http.post(f"{base}/graphql", json={"query": query, "variables": variables}, headers=headers)
    told = answer.json()
    if answer.status_code != 200 or "errors" in told:
        raise RuntimeError(f"{answer.status_code} {answer.text[:300]}")
    http.cookies.clear()  # what is held here is the header
    return told["data"], answer.headers.get("X-Gateway-Written", token)


async def _reads_of_replica(http: httpx.AsyncClient, base: str) -> int:
    lines = (await http.get(f"{base}/metrics")).text.splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("gateway_replica_reads_total{")))


async def _lag(its: Pair, random: Random, found: Found) -> None:
    while True:
        await asyncio.sleep(random.uniform(0, PAUSE_S))
        await its.pause()
        found.pauses += 1
        await asyncio.sleep(random.uniform(0, PAUSE_S))
        await its.resume()


async def _tell(found: Found, say: Say) -> None:
    begun = time.monotonic()
    while True:
        await asyncio.sleep(10)
        say(f"{time.monotonic() - begun:5.0f} s: {found.told}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}{os.linesep}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
