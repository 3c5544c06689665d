"""What a store answers: rows by key, a slice of rows per parent, groups of rows per parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.stores.declarations import Key, Row


class Slice(NamedTuple):
    """One parent's page, always in the asked order (backward pages too)."""

    rows: Sequence[Row]
    more: bool = False  # there is another row in the direction of paging; exact
    total: int | None = None  # only when asked


_new_tuple = tuple.__new__


def slice_of(rows: Sequence[Row], more: bool) -> Slice:
    """Return ``Slice(rows, more)``. PERF: in 0.09 µs instead of 0.25, and there is one for every parent."""
    return _new_tuple(Slice, (rows, more, None))


EMPTY = Slice((), False, 0)  # what a parent that is absent from an answer has

Rows = Mapping[Key, Row]  # answer of a Get: keys without a row are absent
Slices = Mapping[Key | None, Slice]  # answer of a Fetch: parents with nothing may be absent
Groups = Mapping[Key | None, Sequence[Row]]  # answer of an Aggregate or a native query; likewise
