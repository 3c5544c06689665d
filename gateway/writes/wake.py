"""Wake whoever waits for writes of a store, in this process: after a commit, so that nothing waits for the next poll."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_listening: dict[str, set[asyncio.Event]] = {}


@contextmanager
def listening(stores: Iterable[str]) -> Iterator[asyncio.Event]:
    """Give an event that is set whenever a write of one of these stores was committed; who waits for it clears it first.

    Of this process and this event loop alone: whoever must not miss a write polls besides.
    """
    event, names = asyncio.Event(), tuple(stores)
    for name in names:
        _listening.setdefault(name, set()).add(event)
    try:
        yield event
    finally:
        for name in names:
            _listening[name].discard(event)


def wake(store: str, *, but: asyncio.Event | None = None) -> None:
    """Wake all who wait for writes of this store, but one, who said so himself."""
    for event in _listening.get(store, ()):
        if event is not but:
            event.set()
