"""Write the conditions that choose rows: a filter, a place between two cursors. Shape here, values in parameters.

A shape is what was asked with a mark in the place of each value; the text is made from the shape alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import orjson

from gateway.stores.base import And, Column, Compare, Not, Order, Type, Value, Where
from gateway.stores.neo4j.sources import Source, native_value

WIDE_BUDGET = 100_000  # characters of prefixes sent along with one wide text

Parameters = dict[str, Any]
Mark = Literal["null", "plain", "wide"]  # what stands in a shape in the place of a value


def split(source: Source, where: Where | None, prefix: str = "") -> tuple[Where | None, Parameters]:
    """``where`` with marks in the place of its values, and these as parameters w0, w1, … in the order they are met.

    The names of the parameters begin with ``prefix``.
    """
    if where is None:
        return None, {}
    parameters: Parameters = {}
    shape = _split(source, where, parameters)
    parameters["never"] = False
    return shape, {prefix + name: value for name, value in parameters.items()} if prefix else parameters


def _split(source: Source, where: Where, parameters: Parameters) -> Where:
    if isinstance(where, Compare):
        return _split_compare(source, where, parameters)
    if isinstance(where, Not):
        return Not(_split(source, where.item, parameters))
    return type(where)(tuple(_split(source, item, parameters) for item in where.items))


def _split_compare(source: Source, where: Compare, parameters: Parameters) -> Compare:
    column = source.collection[where.column]
    mark, value = marked(column, where.value, ordered=where.op in _COMPARISONS)
    if mark != "null":
        parameters[f"w{len(parameters)}"] = value
    return replace(where, value=mark)


def marked(column: Column, value: Value, *, ordered: bool) -> tuple[Mark, Any]:
    """What stands for the value in a shape, and what is bound. ``ordered`` when it is compared by more than equality."""
    if value is None:
        return "null", None
    if column.type is Type.TEXT and ordered and not value.isascii() and max(value) > "\ud7ff":
        return "wide", _wide(value)
    return "plain", to_parameter(column.type, value)


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


def to_parameter(type_: Type, value: Value) -> Any:
    if value is None:
        return None
    match type_:
        case Type.JSON:
            return orjson.dumps(value).decode()
        case Type.FLOAT:
            return [float(v) for v in value if v is not None] if isinstance(value, (tuple, list)) else float(value)
        case _:
            # `in` takes a tuple; a null in it matches nothing.
            return [v for v in value if v is not None] if isinstance(value, (tuple, list)) else value


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
    parts = [_condition(source, item, name, negated=negated) for item in where.items]
    parts = [final] if final in parts else [part for part in parts if part != neutral]
    if len(parts) < 2:
        return parts[0] if parts else neutral
    return "(" + (" AND " if all_of else " OR ").join(parts) + ")"


def _compare(source: Source, where: Compare, name: Callable[[], str], *, negated: bool) -> str:
    column, ref, op, mark = source.collection[where.column], source.ref(where.column), where.op, where.value
    if op in ("eq", "ne"):
        equal = (op == "eq") != negated
        if mark == "null":
            return f"{ref} IS NULL" if equal else f"{ref} IS NOT NULL"
        value = native_value(column.type, f"${name()}")
        return f"{ref} = {value}" if equal else f"coalesce({ref} <> {value}, true)"
    if mark == "null":
        return "true" if negated else "false"
    test = _test(column.type, ref, op, f"${name()}", mark)
    return f"NOT coalesce({test}, false)" if negated else test


def _test(type_: Type, ref: str, op: str, parameter: str, mark: Mark) -> str:
    match op:
        case "in" if type_ in (Type.TIME, Type.DATE):
            return f"{ref} IN [x IN {parameter} | {native_value(type_, 'x')}]"
        case "in":
            return f"{ref} IN {parameter}"
        case "contains":
            return f"{ref} CONTAINS {parameter}"
        case "starts_with":
            return f"{ref} STARTS WITH {parameter}"
        case _:
            return _ordered(type_, ref, _COMPARISONS[op], parameter, mark)


def _ordered(type_: Type, ref: str, sign: str, parameter: str, mark: Mark) -> str:
    """``ref`` compared with a parameter by <, <=, > or >=."""
    if mark != "wide":
        return f"{ref} {sign} {native_value(type_, parameter)}"
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
        return f"{self._prefix}w{self._next - 1}"


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
    first = source.collection[order[0].column]
    if len(order) == 1 or first.nullable or marks[0] != "plain":
        return [beyond]
    # Says nothing new, but in a form that an index can begin at.
    sign = "<=" if order[0].descending == after else ">="
    return [_ordered(first.type, source.ref(first.name), sign, f"${cursor}0", "plain"), beyond]


def _step(source: Source, item: Order, mark: Mark, parameter: str, *, after: bool) -> str:
    """The column's value is beyond the cursor's."""
    column, ref = source.collection[item.column], source.ref(item.column)
    if mark == "null":  # nulls are last
        return "false" if after else f"{ref} IS NOT NULL"
    beyond = _ordered(column.type, ref, "<" if item.descending == after else ">", parameter, mark)
    return f"({beyond} OR {ref} IS NULL)" if after and column.nullable else beyond


def _same(source: Source, item: Order, mark: Mark, parameter: str) -> str:
    if mark == "null":
        return f"{source.ref(item.column)} IS NULL"
    value = f"{parameter}.text" if mark == "wide" else native_value(source.collection[item.column].type, parameter)
    return f"{source.ref(item.column)} = {value}"


def marked_cursor(
    source: Source, order: Sequence[Order], values: Sequence[Value] | None, cursor: str, parameters: Parameters
) -> tuple[Mark, ...] | None:
    if values is None:
        return None
    marks: list[Mark] = []
    for i, (item, value) in enumerate(zip(order, values, strict=True)):
        mark, parameters[f"{cursor}{i}"] = marked(source.collection[item.column], value, ordered=True)
        marks.append(mark)
    return tuple(marks)
