"""graphql-core over the sources: what it does besides answering alike, which test_differential.py holds."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Awaitable, Sequence

from gateway.engine.fallback import Begun


async def one() -> None:
    """A field's coroutine."""


async def all_of(fields: Sequence[Awaitable[None]]) -> None:
    for field in fields:
        await field


async def test_coroutines_that_never_ran_are_dropped_without_a_warning() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        begun = Begun()
        ran, dropped = one(), all_of([one(), all_of([one()])])
        assert begun.is_awaitable(ran)
        assert begun.is_awaitable(dropped)
        assert not begun.is_awaitable("text")
        await ran
        begun.end()
        del ran, dropped, begun
        gc.collect()
    assert not [str(warning.message) for warning in seen]
