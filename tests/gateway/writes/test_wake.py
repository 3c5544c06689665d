"""Who waits for the writes of a store hears of them, and of no others."""

from __future__ import annotations

from gateway.writes.wake import listening, wake


async def test_a_commit_wakes_those_who_wait_for_its_store() -> None:
    with listening(["home", "twin"]) as first, listening(["away"]) as second:
        wake("twin")
        assert first.is_set()
        assert not second.is_set()
        first.clear()
        wake("nobody")
        assert not first.is_set()
    wake("home")
    assert not first.is_set()
