"""Read for two tenants at random, with databases of their own, cancel some of it, and look whether one is answered with the other's.

    python -m tests.tenants [--reads 1000000] [--kind sqlite|postgresql] [--clients 16] [--seed 1]

The example without replication is served in this process to two tenants, whose rows have the same keys and say whose they are. Each client
asks for one or the other: points, lists, pages below, nodes by several ids, by documents with and without variables. One read in ten is
cancelled at any time within its first 3 ms, one in a hundred has 50 ms to be answered. From one round to the next only some tenants are
asked, so that the others are closed and opened again while there are reads. An answer has to be what the rows of its tenant make it; one
with anything of another tenant is foreign. Ends with 1 where one is foreign or wrong. SIGTERM ends it after the round, with what it found.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import uvloop

from gateway.http.application import Application
from tests.tenants.asking import ALPHA, BETA, USERS, ask, author_of, databases, name_of, of, running, settings_for

ROUND = 500
CANCELLED, HURRIED = 0.1, 0.01  # of the reads
CANCEL_WITHIN_S = 0.003
IDLE_S = 0.05
TENANTS = (ALPHA, BETA)

POINT = "query ($id: ID!) { user(id: $id) { id name } }"
BELOW = """query ($id: ID!) {
  user(id: $id) { name posts(first: 20, orderBy: {field: CREATED_AT}) { totalCount nodes { title author { name } } } }
}"""
LIST = "query ($n: Int!) { users(first: $n) { nodes { name email } } }"
NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on User { name } ... on Post { title author { name } } } }"

Say = Callable[[str], None]


@dataclass(slots=True)
class Found:
    """What came of it. ``opened`` is how often a tenant was opened."""

    reads: int = 0
    answered: int = 0
    cancelled: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    foreign: int = 0
    opened: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        refused = ", ".join(f"{count:,} {code}" for code, count in sorted(self.refused.items())) or "none"
        return (
            f"{self.reads:,} reads: {self.foreign} foreign, {len(self.wrong)} wrong; {self.answered:,} answered,"
            f" {self.cancelled:,} cancelled, not answered: {refused}; tenants were opened {self.opened:,} times"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tenants", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options.reads, kind=options.kind, clients=options.clients, seed=options.seed, say=_say))
    for line in found.wrong[:20]:
        _say(line)
    _say(found.told)
    sys.exit(1 if found.wrong or found.foreign else 0)


async def run(reads: int, *, kind: str, clients: int, seed: int, say: Say = lambda _: None) -> Found:
    """Return what came of so many reads, by all clients together."""
    found, random, told_to_end = Found(), Random(seed), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    async with databases(kind, TENANTS) as urls, running(settings_for(urls, metrics=True, tenant_idle_s=IDLE_S)) as app:
        begun = told = time.monotonic()
        while found.reads < reads and not told_to_end.is_set():
            asked = random.choice([TENANTS, TENANTS, TENANTS[:1], TENANTS[1:]])
            each = min(ROUND, reads - found.reads) // clients or 1
            await asyncio.gather(*(_client(app, Random(random.random()), asked, each, found) for _ in range(clients)))
            if time.monotonic() - told > 10:
                told = time.monotonic()
                found.opened = await _opened(app)
                say(f"{told - begun:5.0f} s: {found.told}")
        found.opened = await _opened(app)
    return found


async def _opened(app: Application) -> int:
    metrics = (await ask(app, "", method="GET", path="/metrics")).body.decode()
    return int(float(next(line.split()[1] for line in metrics.splitlines() if line.startswith("gateway_tenants_opened_total"))))


async def _client(app: Application, random: Random, tenants: tuple[str, ...], reads: int, found: Found) -> None:
    for _ in range(reads):
        tenant = random.choice(tenants)
        query, variables, expected = question(tenant, random)
        headers = [of(tenant)] + ([("X-Gateway-Deadline-Ms", "50")] if random.random() < HURRIED else [])
        found.reads += 1
        if random.random() < CANCELLED:
            task = asyncio.ensure_future(ask(app, query, *headers, variables=variables))
            await asyncio.sleep(random.uniform(0, CANCEL_WITHIN_S))
            task.cancel()
            [answer] = await asyncio.gather(task, return_exceptions=True)
            if isinstance(answer, asyncio.CancelledError):
                found.cancelled += 1
                continue
            if isinstance(answer, BaseException):
                raise answer
        else:
            answer = await ask(app, query, *headers, variables=variables)
        strangers = [other for other in TENANTS if other != tenant and other.encode() in answer.body]
        if strangers:
            found.foreign += 1
            found.wrong.append(f"{tenant} was answered with rows of {strangers[0]}: {answer.body[:300]!r}")
        elif answer.status == 200 and "errors" not in answer.json:
            found.answered += 1
            if answer.json["data"] != expected:
                found.wrong.append(f"{tenant}: {query} {variables}: expected {str(expected)[:300]}, got {answer.body[:300]!r}")
        else:
            found.refused[answer.code] += 1
            if answer.code not in ("DEADLINE_EXCEEDED", "STORE_TIMEOUT"):
                found.wrong.append(f"{tenant}: {answer.status} {answer.body[:300]!r}")


def question(tenant: str, random: Random) -> tuple[str, dict[str, Any], Any]:
    """Return a query with its variables, and the data that the rows of a tenant make it."""
    user = random.randrange(USERS)
    match random.randrange(5):
        case 0:
            return POINT, {"id": f"u{user}"}, {"user": {"id": f"User:u{user}", "name": name_of(tenant, user)}}
        case 1:
            its = sorted((n for n in range(2 * USERS) if author_of(tenant, n) == user), key=lambda n: f"p{n}")
            nodes = [{"title": f"{tenant} post {n}", "author": {"name": name_of(tenant, user)}} for n in its]
            return BELOW, {"id": f"u{user}"}, {"user": {"name": name_of(tenant, user), "posts": {"totalCount": len(its), "nodes": nodes}}}
        case 2:
            first = 1 + random.randrange(USERS)
            numbers = sorted(range(USERS), key=lambda n: f"u{n}")[:first]
            return (
                LIST,
                {"n": first},
                {"users": {"nodes": [{"name": name_of(tenant, n), "email": f"{n}@{tenant}.example"} for n in numbers]}},
            )
        case 3:
            post = random.randrange(2 * USERS)
            author = {"name": name_of(tenant, author_of(tenant, post))}
            ids = [f"User:u{user}", f"Post:p{post}"]
            return NODES, {"ids": ids}, {"nodes": [{"name": name_of(tenant, user)}, {"title": f"{tenant} post {post}", "author": author}]}
        case _:  # without variables: a document and a plan of its own, which both tenants have in common
            return (
                f'{{ user(id: "u{user}") {{ name email }} }}',
                {},
                {"user": {"name": name_of(tenant, user), "email": f"{user}@{tenant}.example"}},
            )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}{os.linesep}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
