"""Clients that play writes through HTTP, in the order that their references need, and try again as clients do."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import orjson

from tests.replaying.writes import Write

ATTEMPTS = 200
TIMEOUT_S = 30.0
PAUSE_S = 0.2  # before another try
AGAIN = frozenset({"STORE_UNAVAILABLE", "STORE_TIMEOUT", "DEADLINE_EXCEEDED", "POOL_EXHAUSTED", "OVERLOADED"})


@dataclass(slots=True)
class Played:
    """What came of it. ``refused`` are the answers that no other try would change, by the number of their write."""

    seconds: float = 0.0
    acknowledged: int = 0
    tries: Counter[str] = field(default_factory=Counter)  # by what came of them
    refused: dict[int, str] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)  # of writes that took one try


async def play(url: str, writes: Sequence[Write], *, clients: int, twice: float = 0.0, seed: int = 1, prefix: str = "replay") -> Played:
    """Send each write once, with an idempotency key of its own; a share ``twice`` of them once more under the same key.

    A write waits for those that make what it needs; one that fails for now (a store that is away, a connection that broke, an answer that
    never came) is sent again under its key until it is acknowledged.
    """
    played = Played()
    waiting: asyncio.Queue[Write] = asyncio.Queue()
    for write in writes:
        waiting.put_nowait(write)
    made = {write.makes: asyncio.Event() for write in writes if write.makes is not None}
    random = Random(seed)
    started = time.monotonic()
    async with httpx.AsyncClient(
        base_url=url, timeout=TIMEOUT_S, limits=httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    ) as client:

        async def work() -> None:
            while not waiting.empty():
                write = waiting.get_nowait()
                for need in write.needs:
                    if need in made:
                        await made[need].wait()
                key = f"{prefix}-{write.number}"
                await _acknowledged(client, write, key, played)
                if random.random() < twice:
                    await _acknowledged(client, write, key, played)
                    played.acknowledged -= 1
                if write.makes is not None:
                    made[write.makes].set()

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(work())
    played.seconds = time.monotonic() - started
    return played


async def _acknowledged(client: httpx.AsyncClient, write: Write, key: str, played: Played) -> None:
    for attempt in range(ATTEMPTS):
        begun = time.monotonic()
        outcome, detail = await _sent(client, write, key)
        played.tries[outcome] += 1
        if outcome == "acknowledged":
            played.acknowledged += 1
            if attempt == 0:
                played.latencies_s.append(time.monotonic() - begun)
            return
        if outcome == "refused":
            played.refused[write.number] = f"{write.field} {write.makes or ''}: {detail}"
            return
        await asyncio.sleep(PAUSE_S)
    played.refused[write.number] = f"{write.field}: not acknowledged in {ATTEMPTS} tries; the last one: {detail}"


async def _sent(client: httpx.AsyncClient, write: Write, key: str) -> tuple[str, str]:
    """Return what came of one try, and what it was told."""
    headers = {"content-type": "application/json", "idempotency-key": key}
    try:
        answer = await client.post("/graphql", content=write.body, headers=headers)
        told: Any = orjson.loads(answer.content)
    except (httpx.HTTPError, orjson.JSONDecodeError) as error:
        return "broken", repr(error)
    errors = told.get("errors") or ()
    if not errors and told.get("data", {}).get(write.field) is not None:
        return "acknowledged", ""
    codes = {error.get("extensions", {}).get("code") for error in errors}
    if codes <= AGAIN or answer.status_code in (502, 503) or any(error.get("extensions", {}).get("retryAfter") for error in errors):
        return "again", answer.text
    return "refused", answer.text[:500]
