"""Stores that are being moved: which of two databases each is at home in, and when nobody may write or read there.

A store with a candidate has a second one of the name ``users@candidate``. The generation of a move counts how often the two have changed
places: with an odd one the candidate of the settings is at home, and what was there before is the candidate.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from random import randrange
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gateway.errors import StoreUnavailable

if TYPE_CHECKING:
    from gateway.stores.base import Request
    from gateway.stores.funnel import Next

FENCES = 32  # rows of which a write locks one, and who closes a store all
FRESH_S = 5.0  # how long what was read of a move holds; a process that sleeps for longer reads it anew before it answers
HELD_S = 9.0  # at most, for a transaction; a request has less
READ_HELD_S = 3.0

_SUFFIX = "@candidate"


def candidate_of(name: str) -> str:
    """Return the name of the store that ``name`` is moved to, or came from. No store of a graph has such a name."""
    return f"{name}{_SUFFIX}"


def is_candidate(name: str) -> bool:
    return name.endswith(_SUFFIX)


def fence_of(name: str, number: int | None = None) -> str:
    """Return the id of a fence's row; of any of them without a number."""
    return f"fence:{name}:{randrange(FENCES) if number is None else number}"


class Gate:
    """What a process knows of the moves of its stores, and who waits for that. ``names`` are the stores with a candidate.

    Closed for a store until its move was looked at (``seen``), and again when that is longer ago than ``FRESH_S``: then neither reads nor
    transactions pass. ``hold`` has transactions of a store wait, ``changing`` those of its databases. ``is_watched`` is False in a
    command, which looks once. ``called`` are the candidates of these settings, without secrets.
    """

    def __init__(self, names: Iterable[str], called: Mapping[str, str] = MappingProxyType({})) -> None:
        self.names = frozenset(names)
        self.called = called
        self.generations = dict.fromkeys(self.names, 0)
        self.is_watched = True
        self._seen_at = dict.fromkeys(self.names, float("-inf"))
        self._held: set[str] = set()
        self._changing: Counter[str] = Counter()
        self._open: Counter[str] = Counter()  # transactions, by store
        self._told = asyncio.Event()

    # ------------------------------------------------------------------------------------------------------- who looks

    def seen(self, name: str, at: float) -> None:
        """Say that the move of a store was as it is known here, at this time of the monotonic clock at the earliest."""
        self._seen_at[name] = at
        self._tell()

    def hold(self, name: str, is_held: bool) -> None:
        (self._held.add if is_held else self._held.discard)(name)
        self._tell()

    def found_closed(self, name: str) -> None:
        """Have transactions of a store wait for the next look at its move, where one comes: one has met what was closed since the last."""
        if self.is_watched:
            self.hold(name, True)

    @contextmanager
    def changing(self, stores: Collection[str]) -> Iterator[None]:
        """Have no transaction of these stores begin while the block runs."""
        self._changing.update(stores)
        try:
            yield
        finally:
            self._changing.subtract(stores)
            self._tell()

    async def idle(self, stores: Collection[str]) -> None:
        """Return when no transaction of these stores is open."""
        while any(self._open[store] for store in stores):
            await self._wait()

    # ------------------------------------------------------------------------------------------------------- who waits

    def is_held(self, name: str) -> bool:
        return name in self._held

    def is_fresh(self, name: str) -> bool:
        return not self.is_watched or monotonic() - self._seen_at[name] < FRESH_S

    async def enter(self, store: str, seconds: float) -> None:
        """Return when a transaction of a store may begin, which is to ``leave``. StoreUnavailable after so many seconds."""
        await self._until(
            lambda: not self._changing[store] and (store not in self.names or (store not in self._held and self.is_fresh(store))),
            store,
            seconds,
        )
        self._open[store] += 1

    async def opened(self, store: str, seconds: float) -> None:
        """Return when transactions of a store that moves may begin; StoreUnavailable after so many seconds."""
        await self._until(lambda: store not in self._held and self.is_fresh(store), store, seconds)

    def leave(self, store: str) -> None:
        self._open[store] -= 1
        self._tell()

    def layer(self, request: Request[Any], caller: Any, next_: Next) -> Awaitable[Any]:
        """Have what is asked of a store that moves wait until it is known where that is."""
        name = request.store
        if name not in self.names or self.is_fresh(name):
            return next_(request, caller)
        return self._late(request, caller, next_)

    async def _late(self, request: Request[Any], caller: Any, next_: Next) -> Any:
        name = request.store
        await self._until(lambda: self.is_fresh(name), name, caller.seconds(READ_HELD_S))
        return await next_(request, caller)

    async def _until(self, holds: Any, store: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await self._wait()
        except TimeoutError:
            raise StoreUnavailable(store, "moving", "it is being moved, and nobody knows where it is at home") from None

    async def _wait(self) -> None:
        self._told.clear()
        await self._told.wait()

    def _tell(self) -> None:
        self._told.set()
