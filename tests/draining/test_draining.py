"""Ends of a server under load: the short form of ``python -m tests.draining``."""

from __future__ import annotations

import pytest

from tests.draining.__main__ import NO_WITHIN_S, run
from tests.forms import of_form
from tests.tries import in_tries, sure

ROUNDS = of_form(3, 10)
ROUNDS_OF_WORKERS = of_form(1, 2)


@in_tries
@pytest.mark.long
async def test_no_request_is_lost_when_a_server_under_load_is_told_to_end() -> None:
    drained = await run("fake", rounds=ROUNDS, clients=8, delay_s=1.0, seed=1)
    sure(drained.wrong == [], drained.wrong)
    assert (drained.rounds, drained.no_s < 3 * NO_WITHIN_S) == (ROUNDS, True)
    assert drained.after > 0


@in_tries
async def test_no_request_is_lost_when_two_workers_under_load_are_told_to_end() -> None:
    drained = await run("sqlite", rounds=ROUNDS_OF_WORKERS, clients=8, delay_s=1.0, seed=2, workers=2)
    sure(drained.wrong == [], drained.wrong)
    assert (drained.rounds, drained.no_s < 3 * NO_WITHIN_S) == (ROUNDS_OF_WORKERS, True)
    assert drained.after > 0
