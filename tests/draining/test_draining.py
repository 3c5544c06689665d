"""Ends of a server under load: the short form of ``python -m tests.draining``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.draining.__main__ import NO_WITHIN_S, run
from tests.forms import of_form
from tests.tries import TRIES

ROUNDS = of_form(3, 10)
ROUNDS_OF_WORKERS = of_form(1, 2)


async def nothing_is_lost(stores: str, rounds: int, **options: Any) -> None:
    """Hold servers to what is promised of their end. Where readiness is late, clients ask for too long: that says nothing of a loss."""
    late: list[float] = []
    while len(late) < TRIES:
        drained = await run(stores, rounds=rounds, clients=8, delay_s=1.0, **options)
        if drained.no_s < 3 * NO_WITHIN_S:
            assert (drained.wrong, drained.rounds) == ([], rounds)
            assert drained.after > 0
            return
        late.append(drained.no_s)
    raise AssertionError(f"expected readiness to say no within {3 * NO_WITHIN_S} s, got {late}")


@pytest.mark.long
async def test_no_request_is_lost_when_a_server_under_load_is_told_to_end() -> None:
    await nothing_is_lost("fake", ROUNDS, seed=1)


async def test_no_request_is_lost_when_two_workers_under_load_are_told_to_end() -> None:
    await nothing_is_lost("sqlite", ROUNDS_OF_WORKERS, seed=2, workers=2)
