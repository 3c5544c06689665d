"""Which rows, in which order, between which bounds: filters and keysets as SQL. Pure: no I/O.

A *shape* is what is asked without its values, which are bound by name: w0… for a filter, a0… and b0… for the bounds of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from operator import ge, gt, le, lt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from gateway.stores.base import And, Collection, Compare, Not, Order, Page, Value, Where
from gateway.stores.sql.dialects import Dialect, Expression
from gateway.stores.sql.forms import Form, Sender, each
from gateway.stores.types import NO_VALUE

WIDEST = 16  # conditions side by side. SQLite refuses an expression of more than 1,000 levels, and each of a chain is one

Shape = tuple[Any, ...]
Values = dict[str, Value]


# ----------------------------------------------------------------------------------------------------- shapes and values


def where_shape(collection: Collection, where: Where | None, values: Values, dialect: Dialect, prefix: str = "") -> Shape | None:
    """Return ``where`` without its values; those are added to ``values`` as they are sent, by the names that ``condition_of`` gives them.

    A comparison with what can be no value of the column is one that nothing matches.
    """
    own: Values = {}
    shape = _shape_of(collection, where, own, dialect, f"{prefix}w")
    values.update(own)
    return shape


def _shape_of(collection: Collection, where: Where | None, values: Values, dialect: Dialect, letter: str) -> Shape | None:
    if where is None:
        return None
    if isinstance(where, Compare):
        return _compare_shape(collection, where, values, dialect, letter)
    if isinstance(where, Not):
        return ("not", _shape_of(collection, where.item, values, dialect, letter))
    items = tuple([_shape_of(collection, item, values, dialect, letter) for item in where.items])
    return ("and" if isinstance(where, And) else "or", items)


def _compare_shape(collection: Collection, where: Compare, values: Values, dialect: Dialect, letter: str) -> Shape:
    op, name, value = where.op, where.column, where.value
    if value is None or op == "is_empty":
        return (op, name, value is None)
    form = dialect.form(collection, name)
    if op in ("in", "has_any"):
        value = dialect.many(each(form.send_item)(value))
    else:
        send = form.send_ordered if op in _RANGES else form.send
        if send is not None and (value := send(value)) is NO_VALUE:
            return ("not", ("in", name, True)) if op == "ne" else ("in", name, True)
    values[f"{letter}{len(values)}"] = value
    return (op, name, False)


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


def bound_senders(collection: Collection, order: Sequence[Order], dialect: Dialect) -> dict[str, Sender]:
    """Return how the values of a page's bounds are sent, by their names, where that is otherwise than they are."""
    sends = [dialect.form(collection, item.column).send_ordered for item in order]
    return {f"{letter}{place}": send for letter in "ab" for place, send in enumerate(sends) if send is not None}


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
            return sa.and_(sa.true(), *_balanced(sa.and_, items))
        return sa.or_(sa.false(), *_balanced(sa.or_, items))

    return sa.true() if shape is None else build(shape, False)


def _balanced(joined: Callable[..., Expression], items: Sequence[Expression]) -> Sequence[Expression]:
    """Return items of which as many are joined already that the tree of all is not as deep as they are many."""
    while len(items) > WIDEST:
        items = [_Bracketed(joined(*items[at : at + WIDEST])) for at in range(0, len(items), WIDEST)]
    return items


class _Bracketed(FunctionElement[bool]):
    """A condition in brackets of its own, which SQLAlchemy leaves out around one among others that are joined in the same way."""

    inherit_cache = True
    type = sa.Boolean()


@compiles(_Bracketed)
def _in_brackets(element: _Bracketed, compiler: Any, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)})"


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
    form = dialect.form(collection, name)
    comparison = form.is_empty(column) if op == "is_empty" else _OPERATORS[op](form, column, next(names))
    if not negated:
        return comparison
    tested = form.tested(column)
    return sa.or_(tested.is_(None), sa.not_(comparison)) if declared.nullable or tested is not column else sa.not_(comparison)


_RANGES: dict[str, Callable[[Any, Any], Any]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
_OPERATORS: dict[str, Callable[[Form, Expression, str], Expression]] = {
    "eq": lambda form, column, name: form.is_value(column, name),
    "gt": lambda form, column, name: form.ranged(column, gt, name),
    "gte": lambda form, column, name: form.ranged(column, ge, name),
    "lt": lambda form, column, name: form.ranged(column, lt, name),
    "lte": lambda form, column, name: form.ranged(column, le, name),
    "in": lambda form, column, name: form.one_of(column, name),
    "contains": lambda form, column, name: form.contains(column, name),
    "starts_with": lambda form, column, name: form.starts_with(column, name),
    "has": lambda form, column, name: form.has(column, name),
    "has_any": lambda form, column, name: form.has_any(column, name),
}


# ------------------------------------------------------------------------------------------------------- order and keyset


def ordering_of(column: Expression, nullable: bool, descending: bool, backward: bool) -> Expression:
    """Return one item of ORDER BY. Where nulls cannot be, nothing is said of them, so that indexes serve either direction."""
    item = column.desc() if descending != backward else column.asc()
    if not nullable:
        return item
    return sa.nulls_first(item) if backward else sa.nulls_last(item)


def order_of(collection: Collection, source: sa.FromClause, order: Sequence[Order], backward: bool, dialect: Dialect) -> list[Expression]:
    """Return ORDER BY."""
    found = []
    for item in order:
        form = dialect.form(collection, item.column)
        ordered = form.ordered(source.c[item.column], descending=item.descending)
        found.append(ordering_of(ordered, form.may_be_null(item.descending), item.descending, backward))
    return found


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
    steps = []
    for position, (item, is_null) in enumerate(zip(order, nulls, strict=True)):
        form = dialect.form(collection, item.column)
        ordered = form.ordered(source.c[item.column], descending=item.descending)
        value = None if is_null else form.ordered_parameter(f"{letter}{position}")
        steps.append(_Step(ordered, value, form.may_be_null(item.descending), item.descending != is_after, is_after))
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
