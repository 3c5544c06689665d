"""What the batches of a run answered: data between ``execute`` and the phases behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gateway.often import made_often
from gateway.stores.base import Row

if TYPE_CHECKING:
    from gateway.engine.plan import FieldPlan
    from gateway.engine.sources.source import Bound


NONE: Mapping[Any, Any] = MappingProxyType({})


class Result:
    """What a place's source answered. ``rows`` are all its rows; how they belong to parents depends on the source:

    ``keys`` (rows by key): rows[i] is the object of keys[i]. ``groups`` (connections): parent to Slice, (lists): parent to rows, in the
    order of ``rows``. ``values`` (batch functions): parent to value, None or Exception. ``edges`` (through edges): parent to the keys
    of its nodes, also where the nodes failed. PERF: no dataclass, which makes an empty mapping for each; by position 0.09 µs, by name 0.17.
    """

    __slots__ = ("edges", "error", "groups", "keys", "longest", "rows", "values")

    def __init__(
        self,
        rows: Sequence[Row] = (),
        keys: Sequence[Any] = (),
        groups: Mapping[Any, Any] = NONE,
        values: Mapping[Any, Any] = NONE,
        edges: Mapping[Any, Sequence[Any]] | None = None,
        error: Exception | None = None,
        longest: int = 0,
    ) -> None:
        self.rows = rows
        self.keys = keys
        self.groups = groups
        self.values = values
        self.edges = edges
        self.error = error
        self.longest = longest  # of the groups, where it is known


@made_often
@dataclass(slots=True)
class State:
    """All that one run of a plan found. ``root`` is the root's only row: the keys of the root fields."""

    root: Row
    bounds: list[Bound]
    results: list[Result]
    failed: bool = False
    size: int = 0  # of the answer: objects at most, as if each had a usual number of fields


class Failed:
    """A value that stands for an error, until its place in the answer is known."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class Made(dict[str, Any]):
    """An object that knows what its fields are: what the null walk needs of it."""

    __slots__ = ("fields",)

    def __init__(self, fields: Sequence[FieldPlan], values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.fields = fields


def is_row(value: Any) -> bool:
    """Return whether a batch function gave a row (or rows), and not null or an error in its place."""
    return value is not None and not isinstance(value, Exception)


NOTHING_ANSWERED = Result()
