"""A test in tries passes where one of three does, and fails at once by what no time explains."""

from __future__ import annotations

import pytest

from tests.tries import TRIES, Wrong, in_tries, sure


def test_one_of_three_is_enough_and_none_is_a_failure() -> None:
    tries: list[int] = []

    @in_tries
    def late(passes_at: int) -> None:
        tries.append(passes_at)
        assert len(tries) == passes_at

    late(TRIES)
    assert len(tries) == TRIES
    tries.clear()
    with pytest.raises(AssertionError):
        late(TRIES + 1)
    assert len(tries) == TRIES


async def test_what_is_wrong_is_not_tried_again() -> None:
    tries: list[int] = []

    @in_tries
    async def lost() -> None:
        tries.append(1)
        sure(len(tries) > 1, "a request is lost")

    with pytest.raises(Wrong, match="a request is lost"):
        await lost()
    assert tries == [1]
