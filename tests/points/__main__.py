"""Kill a gateway at each step of createUser, send the request again under its key, and look at every row that should be there once.

    python -m tests.points [--stores sqlite|live] [--at commit.after]…

The points are those of ``gateway/writes/points.py``: the user's transaction, where the stores are apart that of its first post as well, and
the steps of the relay. After each kill a fresh process has the same request with the same ``Idempotency-Key``. Then there is one user, one
post, one row of the audit, of the log and of the key's outcome for each, nothing is left to deliver, and the targets have what they should
have. Leases of the process that was killed are ended at once, as if their time had passed. Ends with 1 where that is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from gateway.preparing import migrate, opened
from gateway.stores import Stores
from gateway.stores.base import Collection, Compare, Fetch, Upsert, Where
from gateway.writes.points import OF_FOLLOW_UPS, OF_RELAYS, OF_WRITES, VARIABLE
from gateway.writes.tables import tables_of
from resolvers.graph import members, wrote
from resolvers.posts import posts
from resolvers.users import users
from schema import schema as graph
from tests import preloaded
from tests.benchmarks.processes import Server, free_port, start, wait_for_answer
from tests.replaying.__main__ import environment_of, stores_of
from tests.serving import LAYOUTS, START_S, TYPENAME, settings_of

LONG_AGO = "2001-01-01T00:00:00.000Z"
REACHED_S = 30.0  # for a point to be reached
SETTLED_S = 60.0  # for all to be delivered
CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { user { id version } welcomePost { id } } }"

EVERYWHERE = (*OF_WRITES, *OF_RELAYS)
CASES: Mapping[str, Sequence[str]] = {
    "sqlite": (*EVERYWHERE, *OF_FOLLOW_UPS, *(f"{point}:2" for point in OF_WRITES)),  # the second transaction is that of the first post
    "live": (*EVERYWHERE, "version.after:2", "row.before:2", "row.after:2"),  # users and posts are in one database
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.points", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stores", choices=LAYOUTS, default="sqlite")
    parser.add_argument("--at", action="append", metavar="POINT", help="a point, with :2 for the second time; all without")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    cases = options.at or CASES[options.stores]
    wrong = asyncio.run(run(options.stores, cases, say=_say))
    _say(f"killed at {len(cases)} points, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


async def run(layout: str, cases: Sequence[str], *, say: Any = lambda _: None) -> list[str]:
    """Return a line for all that is other than it should be after a kill at each of these points."""
    wrong: list[str] = []
    async with stores_of(layout) as urls, opened(settings_of(urls), graph) as stores:
        for name in graph.store_names:
            await migrate(stores, graph, name)
        with tempfile.TemporaryDirectory(prefix="crossgraph-") as folder:
            for number, point in enumerate(cases, start=1):
                found = await _killed(urls, stores, Path(folder), point, f"u{number}")
                say(f"{point}: {'; '.join(found) or 'well'}")
                wrong += [f"{point}: {line}" for line in found]
    return wrong


async def _killed(urls: Mapping[str, str], stores: Stores, folder: Path, point: str, key: str) -> list[str]:
    async with _serving(urls, folder, {VARIABLE: point}) as doomed:
        sent = asyncio.create_task(_create(doomed.port, key))
        try:
            await asyncio.to_thread(doomed.process.wait, REACHED_S)
        except subprocess.TimeoutExpired:
            return [f"not reached within {REACHED_S:g} s; the answer was {await sent}"]
        finally:
            first = await asyncio.gather(sent, return_exceptions=True)
    if doomed.process.returncode != -signal.SIGKILL:
        return [f"ended with {doomed.process.returncode}, not by the point"]
    await _end_leases(stores)
    async with _serving(urls, folder, {}) as fresh:
        answer = await _acknowledged(fresh.port, key)
        if not await _settled(stores):
            return [f"not settled within {SETTLED_S:g} s"]
        again = await _create(fresh.port, key)
    expected = {"user": {"id": f"User:{key}", "version": 1}, "welcomePost": {"id": f"Post:welcome-{key}"}}
    found = [f"answered {its}" for its in (answer, again) if its.get("data", {}).get("createUser", {}).get("user") != expected["user"]]
    if again.get("data", {}).get("createUser") != expected:
        found.append(f"at last answered {again}")
    if isinstance(first[0], dict) and first[0].get("errors"):
        found.append(f"at first answered {first[0]}")
    return found + await _wrong(stores, key)


@asynccontextmanager
async def _serving(urls: Mapping[str, str], folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    told = {**environment_of(urls), "GATEWAY_DATA_DIR": str(folder), **environment}
    server = start("gateway", command, port, log=folder / "log", env=told, popen=preloaded.Popen)
    try:
        await asyncio.to_thread(wait_for_answer, server, TYPENAME, timeout_s=START_S)
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        await asyncio.to_thread(server.process.wait)


async def _create(port: int, key: str) -> dict[str, Any]:
    body = {"query": CREATE, "variables": {"input": {"id": f"User:{key}", "name": key, "email": f"{key}@example.org"}}}
    headers = {"content-type": "application/json", "idempotency-key": f"key of {key}".replace(" ", "-")}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=15) as client:
        answer: dict[str, Any] = orjson.loads((await client.post("/graphql", content=orjson.dumps(body), headers=headers)).content)
    return answer


async def _acknowledged(port: int, key: str) -> dict[str, Any]:
    """Send the request until it is answered without an error, as a client does."""
    until = time.monotonic() + SETTLED_S
    while True:
        answer = await _create(port, key)
        if not answer.get("errors") or time.monotonic() > until:
            return answer
        await asyncio.sleep(0.2)


async def _rows(stores: Stores, collection: Collection, where: Where | None = None) -> list[dict[str, Any]]:
    found = await stores.ask(Fetch(collection, collection.names, where=where))
    return [dict(zip(collection.names, row, strict=True)) for part in found.values() for row in part.rows]


def _homes(stores: Stores) -> list[str]:
    """Return a name for each database."""
    return list({id(stores[name]): name for name in graph.store_names}.values())


async def _end_leases(stores: Stores) -> None:
    for home in _homes(stores):
        deliveries = tables_of(home).deliveries
        leased = await _rows(stores, deliveries, Compare("lease_owner", "ne", None))
        if leased:
            await stores.ask(Upsert(deliveries, [tuple({**row, "lease_until": LONG_AGO}.values()) for row in leased]))


async def _settled(stores: Stores) -> bool:
    until = time.monotonic() + SETTLED_S
    while time.monotonic() < until:
        waiting = [await _rows(stores, tables_of(home).deliveries) for home in _homes(stores)]
        waiting += [await _rows(stores, tables_of(home).outbox, Compare("position", "eq", None)) for home in _homes(stores)]
        if not any(waiting):
            return True
        await asyncio.sleep(0.05)
    return False


async def _wrong(stores: Stores, key: str) -> list[str]:
    first = f"welcome-{key}"
    found: list[str] = []

    async def once(collection: Collection, column: str, value: str, what: str) -> None:
        count = len(await _rows(stores, collection, Compare(column, "eq", value)))
        if count != 1:
            found.append(f"{count} {what}, expected one")

    await once(users, "email", f"{key}@example.org", "users")
    await once(posts, "author_id", key, "posts of the user")
    await once(posts, "id", first, "first posts")
    await once(members, "id", key, "nodes of the user")
    await once(wrote, "post_id", first, "edges from the user to the post")
    for collection, its in ((users, key), (posts, first)):
        tables = tables_of(collection.store)
        for table in (tables.audit, tables.outbox, tables.versions):
            rows = [row for row in await _rows(stores, table, Compare("key", "eq", its)) if row["noun"] == collection.name]
            if [row["version"] for row in rows] != [1] or rows[0].get("action", "insert") != "insert":
                found.append(f"{table.name} of {collection.name}: expected one insert, got {rows}")
    targets = {(row["target"], row["key"]): row["version"] for row in await _rows(stores, tables_of(members.store).applied)}
    if [targets.get(("users>members", key)), targets.get(("posts>wrote", first))] != [1, 1]:
        found.append(f"applied: expected version 1 of both, got {targets}")
    outcomes = [row for row in await _rows(stores, tables_of(users.store).idempotency) if f'key-of-{key}"' in row["id"]]
    if len(outcomes) != 1:
        found.append(f"{len(outcomes)} outcomes of the key, expected one")
    for home in _homes(stores):
        positions = [row["position"] for row in await _rows(stores, tables_of(home).outbox)]
        if sorted(positions) != list(range(1, len(positions) + 1)):
            found.append(f"{home}: expected positions without gaps, got {sorted(positions)}")
    return found


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
