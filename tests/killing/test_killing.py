"""A short form of what is run for hours: a few kills, and nothing is lost, done twice or out of order."""

from __future__ import annotations

import pytest

from tests.forms import of_form
from tests.killing.__main__ import run

KILLS = of_form(2, 3)
LEASE_S = of_form(3, 30)


@pytest.mark.long
async def test_a_few_kills_lose_nothing() -> None:
    killed = await run("sqlite", kills=KILLS, clients=3, seed=7, lease_s=LEASE_S)
    assert killed.wrong == []
    assert killed.acknowledged > 0
    assert killed.kills.total() == KILLS
