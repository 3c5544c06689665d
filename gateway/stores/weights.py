"""What is kept for when a store fails is taken to hold so many bytes (``stale.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from sys import getsizeof
from typing import Any

from gateway.stores.base import And, Compare, Not, Or, Page


def weight_of(value: Any) -> int:
    """Return the bytes that a value is taken to hold."""
    if isinstance(value, list | tuple):
        return getsizeof(value) + sum(map(weight_of, value))
    if isinstance(value, dict):
        return getsizeof(value) + sum(map(weight_of, value)) + sum(map(weight_of, value.values()))
    return getsizeof(value)


def weight_of_question(part: Any) -> int:
    """Return the bytes that a lane's key is taken to hold: conditions, pairs and cursors are of a client's choosing."""
    within: Iterable[Any]
    match part:
        case tuple() | frozenset():
            within = part
        case And() | Or():
            within = part.items
        case Not():
            within = (part.item,)
        case Compare():
            within = (part.value,)
        case Page():
            within = (part.after, part.before)
        case _:
            return weight_of(part)
    return getsizeof(part) + sum(map(weight_of_question, within))
