"""Lists of rows that are objects without a key: what aggregates and batch functions give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from gateway.engine.plan import Place
from gateway.engine.results import Result, is_row
from gateway.stores.base import Row

if TYPE_CHECKING:
    from gateway.engine.complete import Building


class Lists(dict[Any, Any]):
    """Lists by parent; a parent that no row belongs to has an empty one."""

    __slots__ = ()

    def __missing__(self, _: Any) -> Any:
        return []

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key]


def lists(place: Place, building: Building) -> Lists:
    """Return the objects of each parent; without the rows whose ``drops`` are not there."""
    groups, rows = kept(place, building.results[place.index], building)
    objects = building.objects(place.views[0], rows)
    out = Lists()
    start = 0
    for key, part in groups.items():
        end = start + len(part)
        out[key] = objects[start:end]
        start = end
    return out


def kept(place: Place, result: Result, building: Building) -> tuple[Mapping[Any, Sequence[Row]], Sequence[Row]]:
    """Return the groups and all rows of a list, without the rows whose ``drops`` are not there."""
    groups, rows = result.groups, result.rows
    for child in place.drops:
        found = building.results[child.place.index]
        if found.error is not None:  # nobody knows, and the field itself tells of it, where it is selected
            continue
        present = set(found.keys)
        slot = child.slot
        if present.issuperset(map(itemgetter(slot), rows)):
            continue
        groups = {key: [row for row in part if not is_row(row) or _may_be(row[slot], present)] for key, part in groups.items()}
        rows = [row for part in groups.values() for row in part if is_row(row)]
    return groups, rows


def _may_be(key: Any, present: set[Any]) -> bool:
    """Return whether a key has a row, or is none at all: then its field has an error, which would go with the row."""
    return key in present or isinstance(key, Exception)
