"""Where a native query's text says that a condition may stand: ``{where:likes:l}``, ``{and:likes:l}``. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gateway.errors import NarrowingRefused
from gateway.stores.declarations import Collection
from gateway.stores.requests import Native

_PLACEHOLDER = re.compile(r"\{(?P<word>where|and):(?P<collection>[^:{}\s]+):(?P<names>[\w,]+)\}")


def prefix_of(number: int) -> str:
    """Return what the names of the parameters of a call's narrowing begin with."""
    return f"where_{number}_"


def filled(native: Native, text: str, narrowed: Sequence[Collection], condition: Callable[[int, Sequence[str]], str]) -> str:
    """Return a text with a condition at each place of a collection that is narrowed, and nothing at the other places.

    ``condition`` gives the one on the collection with that number, by the names at the place. NarrowingRefused where one has no place.
    """
    numbers = {collection.name: number for number, collection in enumerate(narrowed)}
    met: set[str] = set()

    def fill(found: re.Match[str]) -> str:
        name = found["collection"]
        if name not in numbers:
            return ""
        met.add(name)
        return f"{found['word'].upper()} ({condition(numbers[name], found['names'].split(','))})"

    text = _PLACEHOLDER.sub(fill, text)
    for name in numbers:
        if name not in met:
            raise NarrowingRefused(native.name, name, f"its text has no {{where:{name}:…}} and no {{and:{name}:…}}")
    return text
