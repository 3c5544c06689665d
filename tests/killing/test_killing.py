"""A short form of what is run for hours: a few kills, and nothing is lost, done twice or out of order."""

from __future__ import annotations

from tests.killing.__main__ import run


async def test_a_few_kills_lose_nothing() -> None:
    killed = await run("sqlite", kills=3, clients=3, seed=7)
    assert killed.wrong == []
    assert killed.acknowledged > 0
    assert killed.kills.total() == 3
