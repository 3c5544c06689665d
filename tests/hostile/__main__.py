"""Send everything hostile to a gateway, and show what it costs: CPU of each, the longest stall that another client sees, memory.

    python -m tests.hostile [--distinct 60000] [--documents 20000] [--write]

The gateway is a process of its own on embedded stores with demo data and the LDBC sample. Then so many distinct small queries,
and so many different documents of up to 16 KiB. Ends with 1 when a document of the catalogue takes more than 50 ms of CPU (200 ms for the
largest answers), a stall is longer than 100 ms, or the process ever held more than 400 MiB; on a machine that is busy with
something else stalls say little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from tests.hostile.answers import LARGE
from tests.hostile.documents import Hostile, hostile
from tests.hostile.gateway import Gateway, running
from tests.serving import Answer

CPU_MS = 50
LARGE_MS = 200
STALL_MS = 100
MEMORY_MIB = 400
REPORT = Path(__file__).parents[2] / "docs" / "hostile.md"
TIMES = 5  # each is sent so often, with another comment, so that none is remembered; the least CPU counts, stalls all


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--distinct", type=int, default=60_000)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    options = parser.parse_args()
    lines, failed = asyncio.run(_run(options.distinct, options.documents))
    text = "\n".join(lines)
    sys.stdout.write(text + "\n")
    if options.write:
        REPORT.write_text(text + "\n", encoding="utf-8")
    sys.exit(1 if failed else 0)


async def _run(distinct: int, documents: int) -> tuple[list[str], bool]:
    async with running() as gateway:
        try:
            return await _measure(gateway, distinct, documents)
        finally:
            await gateway.close()


async def _measure(gateway: Gateway, distinct: int, documents: int) -> tuple[list[str], bool]:
    found: list[tuple[str, str, float, float, bool]] = []
    for case in hostile():
        found.append(await _one(gateway, case.name, _request(case), CPU_MS))
    for name, query in LARGE.items():
        found.append(await _one(gateway, name, {"query": query}, LARGE_MS))
    after_catalogue = gateway.memory_mib()
    stalls = [
        await _many(gateway, "distinct small queries", (f"{{ users(first: 1) {{ nodes {{ id a{i}: name }} }} }}" for i in range(distinct))),
        await _many(gateway, "different documents of up to 16 KiB", (_document(i) for i in range(documents))),
    ]
    memory = gateway.memory_mib()
    failed = memory > MEMORY_MIB or any(not fine for *_, fine in found) or any(stall > STALL_MS for _, stall in stalls)
    lines = [
        "# Hostile requests",
        "",
        f"`make bench-hostile` on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}: {len(found)} documents"
        " and values made to cost more than they are",
        f"worth, each sent {TIMES} times as a text of its own to `gateway serve` on SQLite. CPU is that of the process for the cheapest of",
        "these, the stall the longest time that another client waited for `{ __typename }` meanwhile.",
        "",
        f"Memory of the process at most: {after_catalogue:.0f} MiB over these, {memory:.0f} MiB over all.",
        "",
        *(f"- {name}: longest stall {stall:.0f} ms" for name, stall in stalls),
        "",
        "| what | answer | CPU, ms | stall, ms |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {answer} | {cpu:.1f} | {stall:.0f} |{'' if fine else ' **too much**'}" for name, answer, cpu, stall, fine in found),
    ]
    return lines, failed


async def _one(gateway: Gateway, name: str, request: dict[str, object], most_ms: float) -> tuple[str, str, float, float, bool]:
    cpu, stall, answer = float("inf"), 0.0, ""
    for attempt in range(TIMES):
        asked = {**request, "query": f"{request['query']}\n#{attempt}"}
        gateway.stall_ms = 0
        before = gateway.cpu_ms()
        found = await gateway.send(orjson.dumps(asked))
        cpu = min(cpu, gateway.cpu_ms() - before)
        await gateway.seen()
        stall = max(stall, gateway.stall_ms)
        answer = _answered(found)
    return name, answer, cpu, stall, cpu <= most_ms and stall <= STALL_MS


async def _many(gateway: Gateway, name: str, queries: Iterable[str]) -> tuple[str, float]:
    gateway.stall_ms = 0
    count, started = 0, time.perf_counter()
    for query in queries:
        await gateway.send(orjson.dumps({"query": query}))
        count += 1
    seconds = time.perf_counter() - started
    return f"{count:,} {name}, {count / max(seconds, 0.001):,.0f} a second, {gateway.memory_mib():.0f} MiB", gateway.stall_ms


def _request(case: Hostile) -> dict[str, object]:
    return {"query": case.query, "variables": dict(case.variables), "operationName": case.operation_name}


def _document(number: int) -> str:
    """Return a valid document of up to 16 KiB, like no other."""
    chance = random.Random(number)
    count = chance.randrange(1, 95)
    fields = " ".join(f"a{i}_{number}: posts(first: 1) {{ nodes {{ id title author {{ id }} }} }}" for i in range(count))
    text = f"{{ users(first: 1) {{ nodes {{ {fields} }} }} }}"
    return text + " #" + "x" * chance.randrange(max(1, 16_300 - len(text)))


def _answered(found: Answer) -> str:
    answer = orjson.loads(found.body)
    codes: Sequence[str] = list(dict.fromkeys(error["extensions"]["code"] for error in answer.get("errors", ())))
    return f"{found.status} {', '.join(codes)}" if codes else f"{found.status}, {len(found.body):,} bytes"


if __name__ == "__main__":
    main()
