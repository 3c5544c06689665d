"""Customers and their orders over keys of text, bigint and uuid: the same tables, the same rows, the same query.

    python -m tests.benchmarks.keys                                       # SQLite, and PostgreSQL where TEST_POSTGRES_URL is set
    python -m tests.benchmarks.keys --customers 2000 --orders 5000 --try  # prints, and leaves the document as it is

Each is asked through the gateway and by an endpoint written by hand, in turns, in this process and without HTTP; their answers are
compared. Writes docs/benchmarks-keys.md; ends with 1 where keys of another type take more than 1.5 times as long as text, but for those
that no index orders.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import orjson
import uvloop

from gateway.graph.checks import check
from gateway.service import Request, Service
from gateway.stores import Stores
from tests.benchmarks.processes import ROOT
from tests.benchmarks.report import machine
from tests.benchmarks.shops import KEYS, ORDERS_EACH, PAGE, QUERY, SHOPS, Keys, Shop, graph_of
from tests.kinds import url_of

DOCUMENT = ROOT / "docs" / "benchmarks-keys.md"
WARM_UP = 5  # answers of each that are not counted
MOST = 1.5  # times as long as text
LONGEST_S = 30.0  # for which one of them is asked
NO_INDEX = {("sqlite", "uuid")}  # docs/types.md: an order by them is a pass over all

HEAD = f"""# Keys of other types

Written by `make bench-keys`: tables that exist (not managed), with {{customers}} customers and {{orders}} orders each, the same rows under
keys of text, bigint and uuid; `customers(first: {PAGE}) {{{{ orders(first: {ORDERS_EACH}) }}}}` with ids, names and amounts. In turns
through the gateway and by an endpoint written by hand (asyncpg or aiosqlite, two plain statements, dictionaries, orjson) that gives the
same answer, in one process, without HTTP. Medians of {{rounds}} rounds, or of what {LONGEST_S:g} s take; CPU is that of this process, not
the server's. At most {MOST:g} times the milliseconds of text are wanted. UUIDs in SQLite are the exception: in a file of others they may
be written in small and in capital letters, so that no index has their order, and the first page of all customers is a pass over them
([types.md](types.md#sqlite)); the endpoint by hand takes them to be in small letters.
"""


@dataclass(slots=True)
class Times:
    """Seconds of answers: on the clock, and of this process's CPU."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def ms(self) -> float:
        return statistics.median(self.wall) * 1_000

    @property
    def cpu_ms(self) -> float:
        return statistics.fmean(self.cpu) * 1_000


@dataclass(slots=True)
class Asked:
    """One type of key: who answers, and how long it took."""

    keys: Keys
    gateway: Callable[[], Awaitable[bytes]]
    by_hand: Callable[[], Awaitable[bytes]]
    gateway_times: Times = field(default_factory=Times)
    by_hand_times: Times = field(default_factory=Times)


async def measured(kind: str, customers: int, orders: int, rounds: int) -> list[Asked]:
    """Return what each type of key took in a new database of this kind."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(url_of(kind))
        shop = SHOPS[kind](url)
        await shop.open()
        stack.push_async_callback(shop.close)
        every = []
        for keys in KEYS:
            begin = time.perf_counter()
            await shop.fill(keys, customers, orders)
            sys.stderr.write(f"{kind}, {keys.name}: filled in {time.perf_counter() - begin:.1f} s\n")
            every.append(await _asked(stack, shop, keys))
        for _ in range(WARM_UP):
            for asked in every:
                await _time(asked.gateway, Times())
                await _time(asked.by_hand, Times())
        for _ in range(rounds):
            for asked in every:
                if sum(asked.gateway_times.wall) < LONGEST_S:
                    await _time(asked.gateway, asked.gateway_times)
                    await _time(asked.by_hand, asked.by_hand_times)
        return every


async def _asked(stack: AsyncExitStack, shop: Shop, keys: Keys) -> Asked:
    graph = graph_of(keys)
    if problems := check(graph):
        raise SystemExit("\n".join(map(str, problems)))
    stores = Stores.connect({"shop": shop.url}, timeout_s=60)
    await stores.open()
    stack.push_async_callback(stores.close)
    await stores.describe("shop", graph.collections)  # as a start does
    service = Service(graph, stores)

    async def gateway() -> bytes:
        return (await service.answer(Request(QUERY))).body

    async def by_hand() -> bytes:
        return await shop.by_hand(keys)

    found, expected = orjson.loads(await gateway()), orjson.loads(await by_hand())
    if found != expected or not found["data"]["customers"]["nodes"][0]["orders"]["nodes"]:
        raise SystemExit(f"{keys.name}: the gateway answers {found}, the endpoint by hand {expected}")
    return Asked(keys, gateway, by_hand)


async def _time(answer: Callable[[], Awaitable[bytes]], into: Times) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    await answer()
    into.cpu.append(time.process_time() - cpu)
    into.wall.append(time.perf_counter() - wall)


def table(every: Sequence[Asked]) -> str:
    text = every[0]
    assert text.keys.name == "text"
    lines = [
        "| keys | gateway, ms | over text | CPU, ms | by hand, ms | over text | CPU, ms | gateway over by hand |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for asked in every:
        ours, theirs = asked.gateway_times, asked.by_hand_times
        lines.append(
            f"| {asked.keys.name} | {ours.ms:.2f} | {ours.ms / text.gateway_times.ms:.2f} | {ours.cpu_ms:.2f} | {theirs.ms:.2f}"
            f" | {theirs.ms / text.by_hand_times.ms:.2f} | {theirs.cpu_ms:.2f} | {ours.ms / theirs.ms:.2f} |"
        )
    return "\n".join(lines)


async def main(kinds: Sequence[str], customers: int, orders: int, rounds: int) -> tuple[str, list[str]]:
    """Return the document, and a line for each type of key that takes too long."""
    parts = [HEAD.format(customers=f"{customers:,}", orders=f"{orders:,}", rounds=rounds), machine()]
    slow = []
    for kind in kinds:
        every = await measured(kind, customers, orders, rounds)
        parts += [f"## {'PostgreSQL' if kind == 'postgresql' else 'SQLite'}", table(every)]
        ratios = {asked.keys.name: asked.gateway_times.ms / every[0].gateway_times.ms for asked in every}
        expected = [name for name in ratios if (kind, name) not in NO_INDEX]
        slow += [f"{kind}, {name}: {ratios[name]:.2f} times as long as text" for name in expected if ratios[name] > MOST]
    return "\n\n".join(part.strip() for part in parts) + "\n", slow


if __name__ == "__main__":
    known = ["sqlite", *(["postgresql"] if os.environ.get("TEST_POSTGRES_URL") else [])]
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.keys", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--orders", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--kinds", default=",".join(known), help=f"of {', '.join(SHOPS)}")
    parser.add_argument("--try", dest="is_try", action="store_true", help="leave the document as it is")
    options = parser.parse_args()
    document, too_slow = uvloop.run(main(options.kinds.split(","), options.customers, options.orders, options.rounds))
    if not options.is_try:
        DOCUMENT.write_text(document, encoding="utf-8")
    sys.stdout.write(document)
    if too_slow:
        sys.exit("\n".join(too_slow))
