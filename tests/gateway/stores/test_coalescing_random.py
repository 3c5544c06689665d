"""Random look-ups, cancelled and timed out at random: with sharing each is answered as without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.context import RequestContext
from gateway.errors import BadUserInput, DeadlineExceeded, PoolExhausted, StoreTimeout
from gateway.stores import Stores
from gateway.stores.base import A, Collection, Column, Compare, Get, Request, Type, Upsert, Where
from gateway.stores.guards import Protection
from gateway.stores.memory import MemoryStore
from tests.forms import of_form

NOTES = Collection("notes", "paper", (Column("id"), Column("text"), Column("tags", Type.TEXTS), Column("size", Type.INT, nullable=True)))
KEYS = [str(number) for number in range(8)]
ROWS = [(key, f"text {key}", [key], "wrong" if key == "7" else int(key)) for key in KEYS]
BAD, SLOW = "bad", "slow"  # a key that the store refuses, and one with which it does not answer until all who hurry are gone
EXAMPLES = of_form(40, 400, "COALESCE_EXAMPLES")


@dataclass(frozen=True)
class Asked:
    """One look-up. ``after``, ``cancelled`` are turns of the loop: before it begins, and from then to its cancellation."""

    after: int
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    where: Where | None
    subject: str
    deadline_s: float | None
    cancelled: int | None


asked = st.builds(
    Asked,
    after=st.integers(0, 12),
    keys=st.lists(st.sampled_from([*KEYS[:3], *KEYS, "nobody", BAD, SLOW]), min_size=0, max_size=5).map(tuple),
    columns=st.sampled_from([("text",), ("text", "tags"), ("size", "id")]),
    where=st.sampled_from([None, None, Compare("text", "ne", "text 2")]),
    subject=st.sampled_from(["ann", "ann", "ben"]),
    deadline_s=st.sampled_from([None, None, None, -1.0, 0.01]),
    cancelled=st.none() | st.integers(0, 12),
)


def _own(answer: Any) -> Any:
    return {key: tuple([list(value) if isinstance(value, list) else value for value in row]) for key, row in answer.items()}


class Odd(MemoryStore):
    """Takes some turns of the loop for an answer, refuses a bad key, and does not answer a slow one while ``is_held``."""

    def __init__(self, places: int, turns: Sequence[int]) -> None:
        super().__init__("paper")
        self.places = places
        self.turns = turns
        self.at_once = self.most = 0
        self.held = asyncio.Event()

    async def _read(self, request: Request[A]) -> A:
        keys = request.keys if isinstance(request, Get) else ()
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            for _ in range(self.turns[len(self.calls) % len(self.turns)]):
                await asyncio.sleep(0)
            if SLOW in keys:
                await self.held.wait()
            if BAD in keys:
                raise BadUserInput("no such key")
            answer: A = _own(await super()._read(request))  # or whoever reads twice had the same lists
            return answer
        finally:
            self.at_once -= 1


async def outcomes(many: Sequence[Asked], places: int, turns: Sequence[int], *, coalesced: bool) -> list[Any]:
    """Return what came of each: plain rows, or the name of an error."""
    store = Odd(places, turns)
    await store.answer(Upsert(NOTES, ROWS))
    stores = Stores({"paper": store}, protection=Protection(wait_s=20, breaker_calls=0), coalesced={"paper"} if coalesced else ())
    begun = time.monotonic()
    contexts = [
        RequestContext(stores, deadline=None if each.deadline_s is None else begun + each.deadline_s, values={"subject": each.subject})
        for each in many
    ]

    async def ask(each: Asked, ctx: RequestContext) -> Any:
        for _ in range(each.after):
            await asyncio.sleep(0)
        rows = await ctx.ask(Get(NOTES, each.columns, each.keys, where=each.where))
        for row in rows.values():  # whoever has an answer may change what is in it
            for value in row:
                if isinstance(value, list):
                    value.append("seen")
        return {key: [str(value) if isinstance(value, Exception) else value for value in row] for key, row in rows.items()}

    async def cancel(task: asyncio.Task[Any], turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    tasks = [asyncio.create_task(ask(each, ctx)) for each, ctx in zip(many, contexts, strict=True)]
    cancels = [
        asyncio.create_task(cancel(task, each.after + each.cancelled))
        for each, task in zip(many, tasks, strict=True)
        if each.cancelled is not None
    ]
    await asyncio.gather(*cancels)
    hurried = [task for each, task in zip(many, tasks, strict=True) if each.deadline_s is not None or each.cancelled is not None]
    if hurried:
        async with asyncio.timeout(20):
            await asyncio.wait(hurried)
    store.held.set()
    async with asyncio.timeout(20):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert store.most <= places
    if coalesced:
        coalescer = stores.funnel.coalescer
        assert coalescer is not None
        for _ in range(100):
            await asyncio.sleep(0)
        assert (coalescer._lanes, coalescer._tasks) == ({}, set())
    guard = stores.guards["paper"]
    assert (guard.in_use, guard.waiting) == (0, 0)
    return [
        (type(each).__name__ if isinstance(each, BaseException) else each, ctx.has_wrong_values)
        for each, ctx in zip(found, contexts, strict=True)
    ]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    many=st.lists(asked, min_size=2, max_size=16),
    places=st.integers(1, 4),
    turns=st.lists(st.integers(0, 6), min_size=1, max_size=4),
)
def test_random_look_ups_are_answered_as_without_sharing(many: list[Asked], places: int, turns: list[int]) -> None:
    patient = [Asked(each.after, each.keys, each.columns, each.where, each.subject, None, None) for each in many]
    expected = asyncio.run(outcomes(patient, len(many) * 2, [0], coalesced=False))
    found = asyncio.run(outcomes(many, places, turns, coalesced=True))
    for each, theirs, ours in zip(many, expected, found, strict=True):
        allowed = [theirs[0]]
        if each.cancelled is not None:
            allowed.append("CancelledError")
        if each.deadline_s is not None:
            allowed += [error.__name__ for error in (StoreTimeout, PoolExhausted, DeadlineExceeded)]
        assert ours[0] in allowed
        if ours[0] == theirs[0]:
            assert ours[1] == theirs[1], "and hears of what is wrong in his rows alone"
        if each.deadline_s == -1.0 and each.cancelled is None and each.keys:
            assert ours[0] == "DeadlineExceeded"
