"""What the batches of a run answered: data between ``execute`` and the phases behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.engine.values import Bound
from gateway.stores.base import Row


@dataclass(slots=True)
class Result:
    """What a place's batch answered. ``rows`` are all its rows; how they belong to parents depends on the source:

    ``keys`` (one, each, lookup, node): rows[i] is the object of keys[i]. ``groups`` (many): parent to Slice, (stats, batched lists):
    parent to rows, in the order of ``rows``. ``values`` (batched): parent to value, None or Exception.
    """

    rows: Sequence[Row] = ()
    keys: Sequence[Any] = ()
    groups: Mapping[Any, Any] = field(default_factory=dict)
    values: Mapping[Any, Any] | None = None
    error: Exception | None = None


@dataclass(slots=True)
class State:
    """All that one run of a plan found. ``root`` is the root's only row: the keys of the root fields."""

    root: Row
    bounds: list[Bound]
    results: list[Result]
    failed: bool = False
    size: int = 0  # of the answer: objects at most, as if each had a usual number of fields


def is_row(value: Any) -> bool:
    """Return whether a batch function gave a row (or rows), and not null or an error in its place."""
    return value is not None and not isinstance(value, Exception)


NOTHING_ANSWERED = Result()
