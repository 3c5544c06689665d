"""What a write costs, how late its targets hear of it, and how fast they catch up.

    python -m tests.benchmarks.writes                       # TEST_POSTGRES_URL; with all three servers the lag over them, too
    python -m tests.benchmarks.writes --rate 50 --seconds 5 --behind 500 --rounds 100 --try   # prints, and leaves the document as it is

**Cost**: ``createUser`` through the gateway, without HTTP, beside one function by hand that writes the same rows (the user, its version,
its row of the log, its delivery, its row of the audit) in one transaction, a statement each, over asyncpg's own pool. In turns.

**Lag**: writes of all nouns at a fixed rate to a ``gateway serve`` of its own, from the commit (the log's own time) until a target has
applied it: its delivery is gone. Looked at every 10 ms. The rate is ``--rate``, or half of what gateway and targets take if that is less:
clients that do not wait write for some seconds, and the time until no target has anything left to hear counts with theirs.

**Catching up**: as many events as ``--behind`` are written while no relay runs, then one is started: deliveries applied in a second.

A look at the log takes a server's time as well: the next one waits ``LOOKS`` times as long as the last took.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
import uvloop
from pymongo import AsyncMongoClient

from gateway.http.server import settle
from gateway.preparing import migrate, opened
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.base import Aggregate, Fetch, Get, Measure
from gateway.writes.tables import tables_of
from gateway.writes.times import moment_of
from gateway.writes.worker import BATCH, BATCH_MAX
from schema import schema as graph
from tests.benchmarks.processes import ROOT, Server
from tests.benchmarks.report import machine
from tests.kinds import url_of
from tests.serving import LAYOUTS as SERVED
from tests.serving import serving, settings_of

CREATE_USER = "mutation($input: CreateUserInput!) { createUser(input: $input) { user { id } } }"
CREATE_POST = "mutation($input: CreatePostInput!) { createPost(input: $input) { id } }"
RECORD_EVENT = "mutation($input: RecordEventInput!) { recordEvent(input: $input) { id } }"
FOLLOW = "mutation($input: FollowInput!) { follow(input: $input) { id } }"
LAYOUTS = {**SERVED, "postgresql": dict.fromkeys(graph.store_names, "postgresql")}
CLIENTS = 16
BUSY = ("OVERLOADED", "POOL_EXHAUSTED", "STORE_TIMEOUT")  # of what is refused where more is asked than can be done
LOOKED_EVERY_S = 0.01
LOOKS = 9  # so that they have at most a tenth of a server
SATURATION_S = 5.0

HEAD = """# Writes

Written by `make bench-writes`. The client, the gateway and the servers share the machine's cores. *live* is users and posts in PostgreSQL,
events behind MongoDB's protocol, the graph in Neo4j; what is behind MongoDB's protocol is not MongoDB, and is what these figures
tell of. *postgresql* has all nouns in one PostgreSQL.
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one write: medians, in ms; ``cpu`` is that of this process."""

    ms: float
    cpu_ms: float


# ----------------------------------------------------------------------------------------------------------------- cost


async def cost(rounds: int) -> dict[str, Cost]:
    """Return what a user costs, by who writes it."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(url_of("postgresql"))
        stores = await stack.enter_async_context(opened(settings_of(dict.fromkeys(graph.store_names, url))))
        for name in graph.store_names:
            await migrate(stores, graph, name)
        service = Service(graph, stores)
        pool = await asyncpg.create_pool(url.replace("postgresql+asyncpg:", "postgresql:"), min_size=2, max_size=10)
        stack.push_async_callback(pool.close)
        await _through_the_gateway(service, "first")
        writers: dict[str, Callable[[str], Awaitable[None]]] = {
            "gateway": lambda id_: _through_the_gateway(service, id_),
            "by hand": lambda id_: _by_hand(pool, id_),
        }
        rows = [await _rows_of(pool, write) for write in writers.values()]
        if rows[0] != rows[1]:
            raise SystemExit(f"what is compared is not the same work: rows {dict(rows[0])} and {dict(rows[1])}")
        settle()
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in writers}
        for number in range(rounds):
            for name in writers if number % 2 else reversed(writers):
                begun, cpu = time.perf_counter(), time.process_time()
                await writers[name](f"{name[:1]}{number}")
                times[name].append((time.perf_counter() - begun, time.process_time() - cpu))
        return {
            name: Cost(statistics.median(wall for wall, _ in its) * 1e3, statistics.median(cpu for _, cpu in its) * 1e3)
            for name, its in times.items()
        }


async def _rows_of(pool: Any, write: Callable[[str], Awaitable[None]]) -> Counter[str]:
    """Return how many rows a write makes, by table."""

    async def counts() -> Counter[str]:
        names = ["users", *(table.name for table in tables_of("users").all)]
        return Counter({name: await pool.fetchval(f'SELECT count(*) FROM "{name}"') for name in names})

    before = await counts()
    await write(f"counted-{uuid4().hex}")
    return await counts() - before


async def _through_the_gateway(service: Service, id_: str) -> None:
    input_ = {"id": f"User:{id_}", "name": "Ada", "email": f"{id_}@example.org", "languages": ["en", "de"], "welcomePost": False}
    answer = await service.answer(Request(CREATE_USER, {"input": input_}), deadline_s=10)
    if b'"errors"' in answer.body:
        raise SystemExit(answer.body.decode())


async def _by_hand(pool: Any, id_: str) -> None:
    now = datetime.now(UTC)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    state = {
        "id": id_,
        "name": "Ada",
        "email": f"{id_}@example.org",
        "active": True,
        "gender": None,
        "birthday": None,
        "languages": ["en", "de"],
        "created_at": at,
        "updated_at": at,
    }
    told = orjson.dumps(state).decode()
    outbox, audit = uuid4().hex, uuid4().hex
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO users (id, name, email, active, languages, created_at, updated_at) VALUES ($1, $2, $3, true, $4, $5, $5)",
            *(id_, "Ada", f"{id_}@example.org", ["en", "de"], now),
        )
        await connection.execute(
            "INSERT INTO crossgraph_versions (noun, key, version, is_deleted) VALUES ('users', $1, 1, false) "
            "ON CONFLICT (noun, key) DO UPDATE SET version = crossgraph_versions.version + 1, is_deleted = false",
            id_,
        )
        await connection.execute(
            "INSERT INTO crossgraph_outbox (id, noun, key, epoch, version, action, state, at) "
            "VALUES ($1, 'users', $2, 0, 1, 'insert', $3, $4)",
            *(outbox, id_, told, now),
        )
        await connection.execute(
            "INSERT INTO crossgraph_deliveries (outbox, target, noun, key, version, state, attempts, next_at) "
            "VALUES ($1, 'users>graph', 'users', $2, 1, 'pending', 0, $3)",
            *(outbox, id_, now),
        )
        await connection.execute(
            "INSERT INTO crossgraph_audit (id, at, subject, request_id, field, noun, key, action, version, after) "
            "VALUES ($1, $2, 'anonymous', '', 'createUser', 'users', $3, 'insert', 1, $4)",
            *(audit, now, id_, told),
        )


# ------------------------------------------------------------------------------------------------------------------ lag


@dataclass(frozen=True, slots=True)
class Lag:
    """Of the writes at a rate."""

    layout: str
    saturation: float  # writes/s of clients that do not wait
    rate: float
    writes: int
    seconds: Sequence[float]  # of each delivery
    cpu: float  # cores of the gateway's process

    def quantile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def lag(layout: str, rate: float, seconds: float) -> Lag:
    """Return how late the targets hear of writes at ``rate`` a second, or at half of what the gateway takes."""
    async with AsyncExitStack() as stack:
        urls, stores = await _stores(stack, layout)
        server = await stack.enter_async_context(serving(urls, {}))
        client = await _client(stack, server)
        writer = Writer(client)
        await writer.prepare()
        saturation = await writer.saturate(SATURATION_S, stores)
        rate = min(rate, saturation / 2)
        watch = asyncio.ensure_future(_watch(stores))
        cpu, begun, before = server.cpu_s(), time.perf_counter(), writer.done
        await writer.pace(rate, seconds)
        took = time.perf_counter() - begun
        cpu = (server.cpu_s() - cpu) / took
        await _drained(stores)
        await asyncio.sleep(0.1)
        watch.cancel()
        found = (await asyncio.gather(watch, return_exceptions=True))[0]
        assert not isinstance(found, Exception), found
        return Lag(layout, saturation, (writer.done - before) / took, writer.done - before, writer_seconds(found), cpu)


def writer_seconds(found: Any) -> Sequence[float]:
    seconds: Sequence[float] = found
    return seconds


class Writer:
    """Clients that write users, posts, events and follows in turns."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._numbers = iter(range(10**9))
        self._run = uuid4().hex[:8]
        self._users: list[str] = []
        self.done = self.refused = 0

    async def prepare(self) -> None:
        for _ in range(50):
            await self._user()

    async def saturate(self, seconds: float, stores: Stores) -> float:
        """Return the writes/s of clients that do not wait, until their targets have heard of all of them."""
        until, begun, before = time.perf_counter() + seconds, time.perf_counter(), self.done

        async def go_on() -> None:
            while time.perf_counter() < until:
                await self.write()

        await asyncio.gather(*(go_on() for _ in range(CLIENTS)))
        await _drained(stores)
        return (self.done - before) / (time.perf_counter() - begun)

    async def pace(self, rate: float, seconds: float) -> None:
        """Write at a rate, whether or not answers come."""
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
                group.create_task(self.write())

    async def write(self) -> None:
        number = next(self._numbers)
        a, b = (self._users[(number * step) % len(self._users)] for step in (7, 11))
        match number % 4:
            case 0:
                await self._user()
            case 1:
                await self._post(CREATE_POST, {"input": {"authorId": a, "title": "t", "body": "text " * 20}})
            case 2:
                at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                await self._post(RECORD_EVENT, {"input": {"type": "LIKE", "userId": a, "occurredAt": at, "payload": {"n": number}}})
            case _:
                other = b if a != b else self._users[0 if a != self._users[0] else 1]
                await self._post(FOLLOW, {"input": {"followerId": a, "followeeId": other}})

    async def _user(self) -> None:
        number = next(self._numbers)
        id_ = f"User:{self._run}-{number}"
        input_ = {"id": id_, "name": "Ada", "email": f"{self._run}-{number}@example.org", "welcomePost": False}
        await self._post(CREATE_USER, {"input": input_})
        self._users.append(id_)

    async def _post(self, query: str, variables: Mapping[str, Any]) -> None:
        answer = await self._client.post("/graphql", content=orjson.dumps({"query": query, "variables": dict(variables)}))
        told = answer.json()
        if "errors" not in told:
            self.done += 1
        elif told["errors"][0]["extensions"].get("code") in BUSY:
            self.refused += 1
        else:
            raise SystemExit(f"{query}: {told['errors']}")


async def _watch(stores: Stores) -> list[float]:
    """Return how late each delivery was gone, in seconds; ends when it is cancelled."""
    due: dict[tuple[str, str, str], float] = {}
    late: list[float] = []
    homes = _homes(stores)
    try:
        while True:
            begun = time.perf_counter()
            for home in homes:
                tables = tables_of(home)
                # Read the log before the deliveries: what is in the one and not in the other is done.
                there = await stores.ask(Fetch(tables.deliveries, ("outbox", "target")))
                now = time.time()
                left = {(home, outbox, target) for outbox, target in there[None].rows}
                gone = [key for key in due if key[0] == home and key not in left]
                late += [now - due.pop(key) for key in gone]
                if new := [key for key in left if key not in due]:
                    times = await _committed(stores, home, [key[1] for key in new])
                    due.update((key, times[key[1]]) for key in new if key[1] in times)
            await asyncio.sleep(max(LOOKED_EVERY_S, LOOKS * (time.perf_counter() - begun)))
    except asyncio.CancelledError:
        return late


async def _committed(stores: Stores, home: str, ids: Sequence[str]) -> dict[str, float]:
    outbox = tables_of(home).outbox
    rows = await stores.ask(Get(outbox, ("id", "at"), list(dict.fromkeys(ids)), "id"))
    return {str(key): moment_of(str(row[1])).timestamp() for key, row in rows.items()}


def _homes(stores: Stores) -> list[str]:
    first: dict[int, str] = {}
    for target in graph.replication:
        first.setdefault(id(stores[target.source.store]), target.source.store)
    return list(first.values())


async def _left(stores: Stores) -> int:
    """Return how many deliveries there are; then wait, so that looks take no more than their share."""
    begun = time.perf_counter()
    told = [await stores.ask(Aggregate(tables_of(home).deliveries, (), (Measure("count"),))) for home in _homes(stores)]
    left = sum(int(row[0]) for groups in told for row in groups.get(None, ()))
    await asyncio.sleep(max(LOOKED_EVERY_S, LOOKS * (time.perf_counter() - begun)))
    return left


async def _drained(stores: Stores, timeout_s: float = 300) -> None:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if not await _left(stores):
            return
    raise SystemExit(f"targets have not heard of all writes within {timeout_s:g} s")


# ------------------------------------------------------------------------------------------------------------- catching up


async def catching_up(layout: str, behind: int) -> tuple[int, float]:
    """Return how many deliveries were due, and how long a relay took for them."""
    async with AsyncExitStack() as stack:
        urls, stores = await _stores(stack, layout)
        server = await stack.enter_async_context(serving(urls, {"GATEWAY_RELAY": "false"}))
        client = await _client(stack, server)
        writer = Writer(client)
        await writer.prepare()
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        query = "mutation($input: [RecordEventInput!]!) { recordEvents(input: $input) { id } }"
        for start in range(0, behind, 100):
            events = [
                {"type": "LIKE", "userId": writer._users[(start + n) % 50], "postId": f"Post:p{start + n}", "occurredAt": at}
                for n in range(100)
            ]
            await writer._post(query, {"input": events})
        due = await _left(stores)
        environment = {f"GATEWAY_STORES__{name.upper()}__URL": url for name, url in urls.items()}
        command = [sys.executable, "-m", "gateway", "relay"]
        relay = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL)
        try:
            while (left := await _left(stores)) == due:  # its start is none of the time
                pass
            begun = time.perf_counter()
            await _drained(stores)
            return left, time.perf_counter() - begun
        finally:
            relay.terminate()
            await relay.wait()


async def ceiling(count: int) -> float:
    """Return the documents/s that the server of MongoDB's protocol leases and deletes by their ids when it is asked nothing else.

    No more deliveries than these can be carried from there, however they are read and applied.
    """
    size = BATCH * BATCH_MAX
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(url_of("mongodb"))
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url)
        stack.push_async_callback(client.close)
        collection = client.get_default_database()["deliveries"]
        await collection.insert_many([{"_id": f"{number:06}", "lease_until": None} for number in range(count)])
        begun = time.perf_counter()
        for start in range(0, count, size):
            ids = [f"{number:06}" for number in range(start, min(count, start + size))]
            await collection.update_many({"_id": {"$in": ids}}, {"$set": {"lease_until": datetime.now(UTC)}})
            await collection.delete_many({"_id": {"$in": ids}})
        return count / (time.perf_counter() - begun)


async def _stores(stack: AsyncExitStack, layout: str) -> tuple[dict[str, str], Stores]:
    made: dict[str, str] = {}
    urls = {}
    for name, kind in LAYOUTS[layout].items():
        if kind == "sqlite" or kind not in made:
            made[kind] = await stack.enter_async_context(url_of(kind))
        urls[name] = made[kind]
    patient = settings_of(urls).model_copy(update={"store_timeout_s": 60.0})
    stores = await stack.enter_async_context(opened(patient))
    for name in graph.store_names:
        await migrate(stores, graph, name)
    return urls, stores


async def _client(stack: AsyncExitStack, server: Server) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    headers = {"content-type": "application/json"}
    return await stack.enter_async_context(
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=60, limits=limits, headers=headers)
    )


# --------------------------------------------------------------------------------------------------------------- report


def document(costs: Mapping[str, Cost], lags: Sequence[Lag], caught: Mapping[str, tuple[int, float]], most: float | None) -> str:
    lines = [HEAD, machine(), ""]
    if costs:
        lines += ["## Cost", "", "A user with its version, row of the log, delivery and row of the audit, in PostgreSQL.", ""]
        lines += ["| | ms | CPU of the process, ms |", "|---|---|---|"]
        lines += [f"| {name} | {its.ms:.2f} | {its.cpu_ms:.2f} |" for name, its in costs.items()]
        ratio = costs["gateway"].ms / costs["by hand"].ms
        lines += ["", f"The gateway's over that by hand: {ratio:.2f} (at most 1.3 wanted).", ""]
    lines += [
        "## Lag",
        "",
        "From the commit until a target has applied a write, over writes of users, posts, events and follows in turns.",
        "",
    ]
    lines += ["| stores | taken at most, writes/s | rate | writes | deliveries | p50, ms | p99, ms | longest, ms | gateway, cores |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for its in lags:
        ms = [its.quantile(share) * 1e3 for share in (0.5, 0.99, 1.0)]
        figures = " | ".join(f"{one:.0f}" for one in (its.saturation, its.rate, its.writes, len(its.seconds), *ms))
        lines.append(f"| {its.layout} | {figures} | {its.cpu:.2f} |")
    lines += ["", "## Catching up", "", "| stores | deliveries | seconds | deliveries/s |", "|---|---|---|---|"]
    lines += [f"| {name} | {count} | {seconds:.1f} | {count / seconds:.0f} |" for name, (count, seconds) in caught.items()]
    if most is not None:
        lines += [
            "",
            f"The server behind MongoDB's protocol leases and deletes {most:.0f} documents/s by their ids where nothing else is asked",
        ]
        lines += ["of it: where events are in there, no more can be carried."]
    return "\n".join([*lines, ""])


async def measure(options: argparse.Namespace) -> str:
    layouts = [
        "sqlite",
        *(["postgresql"] if os.environ.get("TEST_POSTGRES_URL") else []),
        *(["live"] if all(os.environ.get(f"TEST_{name}_URL") for name in ("POSTGRES", "MONGO", "NEO4J")) else []),
    ]
    layouts = [layout for layout in layouts if layout in (options.layouts or layouts)]
    costs = await cost(options.rounds) if options.rounds and os.environ.get("TEST_POSTGRES_URL") else {}
    lags = [await lag(layout, options.rate, options.seconds) for layout in layouts]
    caught = {layout: await catching_up(layout, options.behind) for layout in layouts}
    most = await ceiling(options.behind) if "live" in layouts else None
    return document(costs, lags, caught, most)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.writes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--behind", type=int, default=6_000)
    parser.add_argument(
        "--layouts", nargs="*", choices=["sqlite", "postgresql", "live"], help="of the lag and catching up; all, if not given"
    )
    parser.add_argument("--try", dest="tries", action="store_true", help="leave the document as it is")
    options = parser.parse_args()
    text = uvloop.run(measure(options))
    if not options.tries:
        (ROOT / "docs" / "benchmarks-writes.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
