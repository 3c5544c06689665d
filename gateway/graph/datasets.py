"""Which files a graph is loaded from: a Dataset is a file of JSON objects, and says whose rows its lines are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gateway.stores.base import Collection, Row, Value

Line = Mapping[str, Value]  # a checked line: every column of the dataset's collection, as wire values


@dataclass(frozen=True, slots=True)
class Derived:
    """Rows of another collection that follow from a line; ``rows`` gives them with all columns, in the collection's order."""

    collection: Collection
    rows: Callable[[Line], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file of JSON objects, one a line, each a row of ``collection``.

    A line is checked against the collection's columns; fields that are no columns are ignored. ``same_as`` names the column
    whose value a missing column takes: ``{"updated_at": "created_at"}``.
    """

    file: str
    collection: Collection
    same_as: Mapping[str, str] = field(default_factory=dict)
    derived: tuple[Derived, ...] = ()
