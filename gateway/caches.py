"""Caches that are bounded by the bytes they hold, so that no number of different requests makes the process grow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """A mapping that forgets what was not used for longest, bounded by the number and by the bytes of what it holds.

    Counts its hits, misses and evictions. What is heavier than all that may be held is forgotten at once.
    """

    def __init__(self, size: int, limit_bytes: int) -> None:
        self._size = size
        self._limit_bytes = limit_bytes
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.bytes = 0
        self.hits = self.misses = self.evictions = 0

    def get(self, key: K) -> V | None:
        item = self._items.get(key)
        if item is None:
            self.misses += 1
            return None
        self.hits += 1
        self._items.move_to_end(key)
        return item[0]

    def put(self, key: K, item: V, weight: int) -> None:
        """Keep an item that is not there yet and weighs so many bytes."""
        self._items[key] = (item, weight)
        self.bytes += weight
        self._evict()

    def grow(self, key: K, item: V, weight: int) -> None:
        """Say that an item has become heavier; nothing where it is forgotten already."""
        found = self._items.get(key)
        if found is not None and found[0] is item:
            self._items[key] = (item, found[1] + weight)
            self.bytes += weight
            self._evict()

    def _evict(self) -> None:
        while len(self._items) > self._size or self.bytes > self._limit_bytes:
            _, (_, weight) = self._items.popitem(last=False)
            self.bytes -= weight
            self.evictions += 1

    def __contains__(self, key: K) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)


def remembered(size: int, limit_bytes: int) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Return a decorator that keeps the texts which a function made, as ``functools.lru_cache`` does, with a bound on their bytes."""

    def decorate(function: Callable[..., str]) -> Callable[..., str]:
        kept: Lru[Any, str] = Lru(size, limit_bytes)

        @wraps(function)
        def call(*arguments: Any) -> str:
            text = kept.get(arguments)
            if text is None:
                text = function(*arguments)
                kept.put(arguments, text, weight_of_text(text))
            return text

        call.kept = kept  # type: ignore[attr-defined]
        return call

    return decorate


def weight_of_text(text: str) -> int:
    """Return the bytes that a statement is taken to hold: its text, and what it was made of, which is as long several times over."""
    return 1_000 + 5 * len(text)
