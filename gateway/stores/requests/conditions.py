"""Which rows: comparisons, and what combines them. A filter is data, and two-valued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.stores.declarations import Value

# What every kind of store answers of one filter: no setting allows more. Without them SQLite ends at an expression of 1,000 levels,
# SQLite and PostgreSQL at 32,766 and 32,767 parameters, MongoDB at documents of 100 levels and of 16 MiB.
# PERF: Neo4j takes 2 to 3 s to plan 500 conditions of which no two are alike, 1.4 s for 30 levels, and 45 s for 40.
CONDITIONS_MOST = 500
LEVELS_MOST = 20
ITEMS_MOST = 10_000  # of an in
TEXT_MOST = 10_000  # characters to look for

Op = Literal["eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "starts_with", "has", "has_any", "is_empty"]


@dataclass(frozen=True, slots=True)
class Compare:
    """Two-valued: false when the column or ``value`` is null, except that eq/ne None mean "is null"/"is not null".

    ``ne`` is the exact negation of ``eq``. ``in`` takes a tuple; an empty one matches nothing. ``in`` None matches nothing.
    Of lists: ``has`` takes a value that is in it, ``has_any`` a tuple of which one is, ``is_empty`` True.

    Values are compared as their column's type says: DECIMALs as numbers (``1.5`` is ``1.50``), ``nocase`` TEXT without regard to case.
    A value in the database that is none of its column's type equals nothing, is neither greater nor less, and is no null.
    """

    column: str
    op: Op
    value: Value


@dataclass(frozen=True, slots=True)
class And:
    """True when all are; ``And(())`` matches everything."""

    items: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True when one is; ``Or(())`` matches nothing."""

    items: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class Not:
    item: Where


Where = Compare | And | Or | Not


def both(first: Where | None, second: Where | None) -> Where | None:
    """Return the condition that holds where both do; None always does."""
    if first is None or second is None:
        return first if second is None else second
    return And((first, second))
