"""Which rows, in which order, between which bounds: filters and keysets as SQL. Pure: no I/O.

A *shape* is what is asked without its values, which are bound by name: w0… for a filter, a0… and b0… for the bounds of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import sqlalchemy as sa

from gateway.stores.base import And, Collection, Compare, Not, Order, Page, Type, Value, Where
from gateway.stores.sql.dialects import Dialect, Expression

Shape = tuple[Any, ...]
Values = dict[str, Value]


# ----------------------------------------------------------------------------------------------------- shapes and values


def where_shape(where: Where | None, values: Values, dialect: Dialect, prefix: str = "") -> Shape | None:
    """Return ``where`` without its values; those are added to ``values`` under the names that ``condition_of`` gives them."""
    own: Values = {}
    shape = _shape_of(where, own, dialect, f"{prefix}w")
    values.update(own)
    return shape


def _shape_of(where: Where | None, values: Values, dialect: Dialect, letter: str) -> Shape | None:
    if where is None:
        return None
    if isinstance(where, Compare):
        if where.value is not None:
            many = where.op == "in"
            values[f"{letter}{len(values)}"] = dialect.many([v for v in where.value if v is not None]) if many else where.value
        return (where.op, where.column, where.value is None)
    if isinstance(where, Not):
        return ("not", _shape_of(where.item, values, dialect, letter))
    return ("and" if isinstance(where, And) else "or", tuple([_shape_of(item, values, dialect, letter) for item in where.items]))


def page_shape(page: Page | None, values: Values) -> Shape | None:
    """Return direction and bounds of a page without their values: for each bound which of its values are null."""
    if page is None:
        return None
    values["limit"] = page.limit + 1  # one more row tells whether there are more
    bounds: list[tuple[bool, ...] | None] = []
    for letter, bound in (("a", page.after), ("b", page.before)):
        bounds.append(None if bound is None else tuple([value is None for value in bound]))
        values.update((f"{letter}{i}", value) for i, value in enumerate(bound or ()) if value is not None)
    return (page.backward, *bounds)


# -------------------------------------------------------------------------------------------------------------- conditions


def condition_of(collection: Collection, source: sa.FromClause, shape: Shape | None, dialect: Dialect, prefix: str = "") -> Expression:
    """Return a filter as a two-valued condition: never null, so that NOT is an exact negation.

    Negation is pushed down to the comparisons, so that plain filters stay plain comparisons, which indexes serve.
    """
    names = (f"{prefix}w{number}" for number in count())

    def build(shape: Shape, negated: bool) -> Expression:
        if shape[0] == "not":
            return build(shape[1], not negated)
        if shape[0] not in ("and", "or"):
            return _comparison(collection, source, shape, negated, names, dialect)
        items = [build(item, negated) for item in shape[1]]
        if (shape[0] == "and") != negated:
            return sa.and_(sa.true(), *items)
        return sa.or_(sa.false(), *items)

    return sa.true() if shape is None else build(shape, False)


def _comparison(
    collection: Collection, source: sa.FromClause, shape: Shape, negated: bool, names: Iterator[str], dialect: Dialect
) -> Expression:
    op, name, is_null = shape
    column, declared = source.c[name], collection[name]
    if op == "ne":
        op, negated = "eq", not negated
    if is_null and op == "eq":
        return column.is_not(None) if negated else column.is_(None)
    if is_null:
        return sa.true() if negated else sa.false()
    comparison = _OPERATORS[op](dialect, column, next(names), declared.type)
    if not negated:
        return comparison
    return sa.or_(column.is_(None), sa.not_(comparison)) if declared.nullable else sa.not_(comparison)


_OPERATORS: dict[str, Callable[[Dialect, Expression, str, Type], Expression]] = {
    "eq": lambda d, column, name, type_: column == d.value(name, type_),
    "gt": lambda d, column, name, type_: column > d.value(name, type_),
    "gte": lambda d, column, name, type_: column >= d.value(name, type_),
    "lt": lambda d, column, name, type_: column < d.value(name, type_),
    "lte": lambda d, column, name, type_: column <= d.value(name, type_),
    "in": lambda d, column, name, type_: d.is_one_of(column, name, type_),
    "contains": lambda d, column, name, type_: d.contains(column, d.value(name, type_)),
    "starts_with": lambda d, column, name, type_: d.starts_with(column, d.value(name, type_)),
}


# ------------------------------------------------------------------------------------------------------- order and keyset


def ordering_of(column: Expression, nullable: bool, descending: bool, backward: bool) -> Expression:
    """Return one item of ORDER BY. Where nulls cannot be, nothing is said of them, so that indexes serve either direction."""
    item = column.desc() if descending != backward else column.asc()
    if not nullable:
        return item
    return sa.nulls_first(item) if backward else sa.nulls_last(item)


def between(collection: Collection, source: sa.FromClause, order: Sequence[Order], bounds: Shape, dialect: Dialect) -> Expression:
    """Return the condition that a row lies strictly behind ``after`` and before ``before``, in ``order``."""
    _, after, before = bounds
    conditions = [
        _beyond(collection, source, order, letter, nulls, is_after, dialect)
        for letter, nulls, is_after in (("a", after, True), ("b", before, False))
        if nulls is not None
    ]
    return sa.and_(sa.true(), *conditions)


@dataclass(frozen=True, slots=True)
class _Step:
    """One column of a bound: ``greater`` says on which side of the value the wanted rows are."""

    column: Expression
    value: Expression | None
    nullable: bool
    greater: bool
    is_after: bool

    @property
    def beyond(self) -> Expression:
        if self.value is None:  # nulls are last: nothing lies behind them, all else before them
            return sa.false() if self.is_after else self.column.is_not(None)
        plain = self.column > self.value if self.greater else self.column < self.value
        return sa.or_(plain, self.column.is_(None)) if self.is_after and self.nullable else plain

    @property
    def equal(self) -> Expression:
        return self.column.is_(None) if self.value is None else self.column == self.value

    @property
    def beyond_or_equal(self) -> Expression:
        return self.column >= self.value if self.greater else self.column <= self.value


def _beyond(
    collection: Collection,
    source: sa.FromClause,
    order: Sequence[Order],
    letter: str,
    nulls: Sequence[bool],
    is_after: bool,
    dialect: Dialect,
) -> Expression:
    steps = [
        _Step(
            source.c[item.column],
            None if is_null else dialect.value(f"{letter}{position}", collection[item.column].type),
            collection[item.column].nullable,
            item.descending != is_after,
            is_after,
        )
        for position, (item, is_null) in enumerate(zip(order, nulls, strict=True))
    ]
    plain = not any(step.nullable or step.value is None for step in steps)
    if plain and len(steps) > 1 and len({step.greater for step in steps}) == 1:
        # One comparison of rows, which is one range of an index.
        left, right = sa.tuple_(*(s.column for s in steps)), sa.tuple_(*(s.value for s in steps))
        return left > right if steps[0].greater else left < right
    condition = steps[-1].beyond
    for step in reversed(steps[:-1]):
        condition = sa.or_(step.beyond, sa.and_(step.equal, condition))
    first = steps[0]
    if first.nullable or first.value is None or len(steps) == 1:
        return condition
    return sa.and_(first.beyond_or_equal, condition)  # implied, but a range that an index can start from
