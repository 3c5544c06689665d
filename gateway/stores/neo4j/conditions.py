"""Write the conditions that choose rows: a filter, a place between two cursors. Shape here, values in parameters.

A shape is what was asked with a mark in the place of each value; the text is made from the shape alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

from gateway.stores.base import And, Compare, Not, Or, Order, Type, Value, Where
from gateway.stores.neo4j.forms import Form
from gateway.stores.neo4j.sources import Source

WIDE_BUDGET = 100_000  # characters of prefixes sent along with one wide text
WIDEST = 16  # conditions side by side

Parameters = dict[str, Any]
Mark = Literal["null", "plain", "wide"]  # what stands in a shape in the place of a value


@dataclass(frozen=True, slots=True)
class Many:
    """In a shape: that one, or each, of conditions of one shape holds. Their values are one parameter, a list of lists.

    PERF: a condition costs the server's planner 5 ms, whatever it is: 1,000 of two columns as ORs of ANDs take 4 s and more, in this form
    40 ms; filters of 100 conditions, which is the default limit, 0.1 to 0.6 s where no two are of one shape. Once per shape.
    """

    item: Where


MANY = 8  # conditions of one shape in one level, from which on they are bound as a list


def split(source: Source, where: Where | None, prefix: str = "") -> tuple[Where | None, Parameters]:
    """``where`` with marks in the place of its values, and these as parameters w0, w1, … in the order they are met.

    The names of the parameters begin with ``prefix``.
    """
    if where is None:
        return None, {}
    shape, values = _split(source, where)
    parameters: Parameters = {f"{prefix}w{i}": value for i, value in enumerate(values)}
    parameters[f"{prefix}never"] = False
    return shape, parameters


def _split(source: Source, where: Where) -> tuple[Where, list[Any]]:
    if isinstance(where, Compare):
        mark, value = marked(source.form(where.column), where.value, where.op)
        return replace(where, value=mark), [] if mark == "null" else [value]
    if isinstance(where, Not):
        shape, values = _split(source, where.item)
        return Not(shape), values
    kind = type(where)
    items = _flat(where, kind)
    if len(items) >= MANY:
        items = _with_lists(items, kind)
    found = [_split(source, item) for item in items]
    if len(found) < MANY:
        return kind(tuple([shape for shape, _ in found])), [value for _, values in found for value in values]
    by_shape: dict[Where, list[list[Any]]] = {}
    for shape, values in found:
        by_shape.setdefault(shape, []).append(values)
    shapes: list[Any] = []
    bound: list[Any] = []
    for shape, every in by_shape.items():
        if not every[0]:  # there is no value in it: it is the same condition again
            shapes.append(shape)
        elif len(every) >= MANY:
            shapes.append(Many(shape))
            bound.append(every)
        else:
            shapes += [shape] * len(every)
            bound += [value for values in every for value in values]
    return kind(tuple(shapes)), bound


def _flat(where: And | Or, kind: type[And | Or]) -> list[Where]:
    """Its items, and those of items that combine theirs in the same way."""
    items: list[Where] = []
    for item in where.items:
        items += _flat(item, kind) if type(item) is kind else [item]
    return items


def _with_lists(items: list[Where], kind: type[And | Or]) -> list[Where]:
    """The same, with all that ask whether a column has one of some values as one, in the place of the first: an index can serve that."""
    op = "eq" if kind is Or else "ne"
    by_column: dict[str, list[Value]] = {}
    for item in items:
        if isinstance(item, Compare) and item.op == op and item.value is not None:
            by_column.setdefault(item.column, []).append(item.value)
    found: list[Where] = []
    for item in items:
        values = by_column.get(item.column, []) if isinstance(item, Compare) and item.op == op and item.value is not None else []
        if len(values) < MANY:
            found.append(item)
        elif isinstance(item, Compare) and item.value is values[0]:
            listed = Compare(item.column, "in", tuple(values))
            found.append(listed if kind is Or else Not(listed))
            values[0] = _TAKEN
    return found


_TAKEN = object()  # in the place of the first value of a list that has been written


def marked(form: Form, value: Value, op: str) -> tuple[Mark, Any]:
    """What stands for the value in a shape, and what is bound. ``op`` is that of a comparison, or "cursor"."""
    if value is None:
        return "null", None
    if op in ("in", "has_any"):  # a null in it matches nothing
        return "plain", [form.sent(item) for item in value if item is not None]
    if op == "is_empty":
        return "plain", value
    ordered = op in _COMPARISONS or op == "cursor"
    bound = form.sent(value, is_ordered=ordered, op=op)
    if ordered and form.type is Type.TEXT and not bound.isascii() and max(bound) > "\ud7ff":
        return "wide", _wide(bound)
    return "plain", bound


def _wide(text: str) -> Parameters:
    """A text with characters above the surrogates, with what is needed to compare it by code point.

    Neo4j compares two stored texts by code point, but a stored one and a parameter by UTF-16 code unit, where U+E000 to U+FFFF
    come after everything from U+10000 on. The two orders part at a wide character only: so with each, the text before it and
    the ends of the range of texts that are on the wrong side. No further than WIDE_BUDGET, for the prefixes are quadratic.
    """
    above: list[tuple[str, str]] = []  # behind an astral character in UTF-16, before it by code point
    below: list[tuple[str, str, str]] = []  # and the other way round
    budget = WIDE_BUDGET
    for i, character in enumerate(text):
        if character < "\ue000":
            continue
        budget -= i
        if budget < 0:
            break
        start = text[:i]
        if character > "\uffff":
            above.append((start, start + "\ue000"))
        else:
            below.append((start, start + "\U00010000", start + "\ue000"))
    return {"text": text, "above": above, "below": below}


# -------------------------------------------------------------------------------------------------------------- filters

_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _condition(source: Source, where: Where, name: Callable[[], str], *, negated: bool = False) -> str:
    """A condition that is true where ``where`` is, or where it is not; elsewhere it is false or null.

    Negations are pushed down to the comparisons. PERF: 20 nested NOT coalesce((… AND …), false) keep the server's parser busy for
    88 s, whatever the transaction's timeout; pushed down they are planned in 0.1 s.
    """
    if isinstance(where, Compare):
        return _compare(source, where, name, negated=negated)
    if isinstance(where, Not):
        return _condition(source, where.item, name, negated=not negated)
    all_of = isinstance(where, And) != negated
    neutral, final = ("true", "false") if all_of else ("false", "true")
    parts = [_part(source, item, name, all_of=all_of, negated=negated) for item in where.items]
    parts = [final] if final in parts else [part for part in parts if part != neutral]
    if len(parts) < 2:
        return parts[0] if parts else neutral
    return "(" + _balanced(" AND " if all_of else " OR ", parts) + ")"


def _part(source: Source, item: Where | Many, name: Callable[[], str], *, all_of: bool, negated: bool) -> str:
    if not isinstance(item, Many):
        return _condition(source, item, name, negated=negated)
    values = name()
    level = 0 if values.startswith("$") else int(values[2 : values.index("[")]) + 1
    variable = f"_v{level}"
    places = count()
    one = _condition(source, item.item, lambda: f"{variable}[{next(places)}]", negated=negated)
    return f"{'all' if all_of else 'any'}({variable} IN {values} WHERE {one})"


def _balanced(joint: str, parts: Sequence[str]) -> str:
    """The parts joined; many of them in brackets, so that their tree is not as deep as they are many."""
    if len(parts) <= WIDEST:
        return joint.join(parts)
    middle = len(parts) // 2
    return f"({_balanced(joint, parts[:middle])}){joint}({_balanced(joint, parts[middle:])})"


def _compare(source: Source, where: Compare, name: Callable[[], str], *, negated: bool) -> str:
    form, ref, op, mark = source.form(where.column), source.ref(where.column), where.op, where.value
    if op in ("eq", "ne"):
        equal = (op == "eq") != negated
        if mark == "null":
            return f"{ref} IS NULL" if equal else f"{ref} IS NOT NULL"
        value = form.bound(name())
        if equal:
            return form.equals(ref, value)
        if form.is_raw and not form.guarded:
            return f"coalesce({ref} <> {value}, true)"
        return f"NOT coalesce({form.equals(ref, value)}, false)"
    if mark == "null":
        return "true" if negated else "false"
    test = _test(form, ref, op, name(), mark)
    return f"NOT coalesce({test}, false)" if negated else test


def _test(form: Form, ref: str, op: str, parameter: str, mark: Mark) -> str:
    match op:
        case "in":
            return form.is_one_of(ref, _items(form, parameter))
        case "contains":
            return f"{ref if form.is_raw else form.comparable(ref)} CONTAINS {parameter}"
        case "starts_with":
            return f"{ref if form.is_raw else form.comparable(ref)} STARTS WITH {parameter}"
        case "has":
            return f"any(_one IN [{_item(form, parameter)}] WHERE _one IN {form.value(ref)})"
        case "has_any":
            return f"any(_one IN {_items(form, parameter)} WHERE _one IN {form.value(ref)})"
        case "is_empty":
            return f"(size({form.value(ref)}) = 0) = {parameter}"
        case _:
            sign = _COMPARISONS[op]
            if form.is_ordered or (form.type in (Type.TEXT, Type.INT) and form.is_raw and mark != "wide"):
                return f"{_ordered(form, ref, sign, parameter, mark)}{form.guard(ref)}"
            return _ordered(form, form.comparable(ref), sign, parameter, mark)


def _item(form: Form, parameter: str) -> str:
    """A bound value as an item of a list that the column is."""
    return form.bound(f"[{parameter}]") + "[0]" if form.bound("x") != "x" else parameter


def _items(form: Form, parameter: str) -> str:
    if form.column.many:
        return form.bound(parameter)
    one = form.bound("x")
    return parameter if one == "x" else f"[x IN {parameter} | {one}]"


def _ordered(form: Form, ref: str, sign: str, parameter: str, mark: Mark) -> str:
    """``ref`` compared with a parameter by <, <=, > or >=."""
    if mark != "wide":
        return f"{ref} {sign} {form.bound(parameter)}"
    # An index would compare by code point; `+ ''` keeps it, and the stored form of the text, out.
    x = f"({ref} + '')"
    greater = (
        f"({x} > {parameter}.text AND none(q IN {parameter}.above WHERE {x} STARTS WITH q[0] AND {x} >= q[1])"
        f" OR any(q IN {parameter}.below WHERE {x} STARTS WITH q[0] AND {x} >= q[1] AND {x} < q[2]))"
    )
    equal = f"{ref} = {parameter}.text"
    match sign:
        case ">":
            return greater
        case ">=":
            return f"({equal} OR {greater})"
        case "<":
            return f"NOT ({equal} OR {greater})"
        case _:
            return f"NOT {greater}"


class _Names:
    """w0, w1, …: the parameters of a filter, in the order in which ``split`` met them."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._next = 0

    def __call__(self) -> str:
        self._next += 1
        return f"${self._prefix}w{self._next - 1}"


def conditions(source: Source, where: Where | None, prefix: str = "") -> list[str]:
    if where is None:
        return []
    condition = _condition(source, where, _Names(prefix))
    # The server takes a literal false for the whole WHERE, and then says that no index fits the rest: so it is bound.
    return {"true": [], "false": [f"${prefix}never"]}.get(condition, [condition])


# -------------------------------------------------------------------------------------------------------------- cursors


def beyond(source: Source, order: Sequence[Order], marks: Sequence[Mark], cursor: str, *, after: bool) -> list[str]:
    """Conditions for rows strictly after, or before, a cursor, whose values are bound as ``{cursor}0``, ``{cursor}1``, …

    PERF: as ORs of ANDs the planner brings them into a normal form, whose size grows with the product of the columns: 570 ms to
    plan a page between two cursors in an order of three columns and the key, against 260 ms with CASE (once per shape).
    """
    beyond = "false"
    for i in reversed(range(len(order))):
        parameter = f"${cursor}{i}"
        step = _step(source, order[i], marks[i], parameter, after=after)
        last = i == len(order) - 1
        beyond = step if last else f"CASE WHEN {_same(source, order[i], marks[i], parameter)} THEN {beyond} ELSE {step} END"
    first, form = order[0].column, source.form(order[0].column)
    if len(order) == 1 or source.may_be_null(first) or marks[0] != "plain" or not form.is_ordered:
        return [beyond]
    # Says nothing new, but in a form that an index can begin at.
    sign = "<=" if order[0].descending == after else ">="
    return [_ordered(form, source.ref(first), sign, f"${cursor}0", "plain"), beyond]


def in_order(source: Source, column: str) -> str:
    """What the column is ordered by."""
    form, ref = source.form(column), source.ref(column)
    return ref if form.is_ordered else form.comparable(ref)


def _step(source: Source, item: Order, mark: Mark, parameter: str, *, after: bool) -> str:
    """The column's value is beyond the cursor's."""
    ref = in_order(source, item.column)
    if mark == "null":  # nulls are last
        return "false" if after else f"{ref} IS NOT NULL"
    beyond = _ordered(source.form(item.column), ref, "<" if item.descending == after else ">", parameter, mark)
    return f"({beyond} OR {ref} IS NULL)" if after and source.may_be_null(item.column) else beyond


def _same(source: Source, item: Order, mark: Mark, parameter: str) -> str:
    ref = in_order(source, item.column)
    if mark == "null":
        return f"{ref} IS NULL"
    value = f"{parameter}.text" if mark == "wide" else source.form(item.column).bound(parameter)
    return f"{ref} = {value}"


def marked_cursor(
    source: Source, order: Sequence[Order], values: Sequence[Value] | None, cursor: str, parameters: Parameters
) -> tuple[Mark, ...] | None:
    if values is None:
        return None
    marks: list[Mark] = []
    for i, (item, value) in enumerate(zip(order, values, strict=True)):
        mark, parameters[f"{cursor}{i}"] = marked(source.form(item.column), value, "cursor")
        marks.append(mark)
    return tuple(marks)
