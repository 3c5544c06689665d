"""Turn rows into the answer's objects: one compiled function per selection set builds all objects of a place at once.

The good way has no paths, no null rules and no error handling per object. Where a batch failed, a non-null column holds a null or
a builder raises, ``SecondWalk`` is raised and ``nulls`` does it again, object by object, as the GraphQL specification says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast

from graphql import is_list_type, is_non_null_type

from gateway.engine.plan import Child, ComputedLeaf, Constant, FieldPlan, Introspected, Leaf, NodeChild, PartField, Place, Plan, View
from gateway.engine.results import Result, State, is_row
from gateway.engine.values import write_cursor
from gateway.fields import Batched, Each, Lookup, Many, NodeById, NodesByIds, One, Stats, is_semantic_non_null
from gateway.stores.base import EMPTY, Row


class SecondWalk(Exception):
    """The good way ended: nulls or errors must be placed."""


def complete(plan: Plan, state: State) -> dict[str, Any]:
    """Return the data of the answer; SecondWalk when something in it is missing that must not be."""
    if state.failed:
        raise SecondWalk
    outs: list[Any] = [None] * len(plan.places)
    try:
        for place in reversed(plan.places):  # children are behind their parents
            outs[place.index] = _OUT[type(place.source)](place, state, outs)
        data: dict[str, Any] = _built(plan.root, (state.root,), outs)[0]
    except SecondWalk:
        raise
    except Exception as exc:
        raise SecondWalk from exc
    return data


class _Parents(dict[Any, Any]):
    """Values by parent; a parent that no row belongs to has the empty one."""

    __slots__ = ("empty",)
    empty: Any

    def __missing__(self, _: Any) -> Any:
        return self.empty


def _one(place: Place, state: State, outs: list[Any]) -> Any:
    result = state.results[place.index]
    if not place.views:
        return None  # a row is left out without it, but nobody asked to see it
    return dict(zip(result.keys, _built(place.views[0], result.rows, outs), strict=True))


def _many(place: Place, state: State, outs: list[Any]) -> Any:
    result = state.results[place.index]
    if place.connect is None:
        return None  # the edges of Through: their nodes' place has it all
    objects = [_built(view, result.rows, outs) for view in place.views]
    page = state.bounds[place.index].page
    assert page is not None
    out = _Parents()
    flags = (page.backward, page.after is not None, page.before is not None)
    writer = cursor_writer(place, state) if place.cursors else None
    place.connect(out, result.groups, objects, writer, *flags)
    empty: dict[Any, Any] = {}
    place.connect(empty, {None: EMPTY}, [()] * len(objects), writer, *flags)
    out.empty = empty[None]
    return out


def _lists(place: Place, state: State, outs: list[Any]) -> Any:
    result = state.results[place.index]
    groups, rows = kept(place, result, state)
    objects = _built(place.views[0], rows, outs)
    out = _Parents()
    out.empty = []
    start = 0
    for key, part in groups.items():
        end = start + len(part)
        out[key] = objects[start:end]
        start = end
    return out


def _batched(place: Place, state: State, outs: list[Any]) -> Any:
    result = state.results[place.index]
    if not place.fixed:
        out: Any = result.values or {}
    else:
        found = _lists(place, state, outs) if place.lists else _one(place, state, outs)
        values = result.values or {}
        if len(found) == len(values):
            return dict(found)  # nothing is null
        out = {key: found.get(key) for key in values}
    return _checked(place, out)


def _checked(place: Place, out: Any) -> Any:
    if _is_required(place) and any(value is None for value in out.values()):
        raise SecondWalk
    return out


def _is_required(place: Place) -> bool:
    """Return whether a null of this place's field takes an error, by its type or by the word of its source."""
    return is_non_null_type(place.type) or is_semantic_non_null(place.source)


def _nothing(_place: Place, _state: State, _outs: list[Any]) -> Any:
    return None  # node and nodes: the places of the types have it all


_OUT: dict[Any, Callable[[Place, State, list[Any]], Any]] = {
    One: _one,
    Each: _one,
    Lookup: _one,
    Many: _many,
    Stats: _lists,
    Batched: _batched,
    NodeById: _nothing,
    NodesByIds: _nothing,
}


def kept(place: Place, result: Result, state: State) -> tuple[Mapping[Any, Sequence[Row]], Sequence[Row]]:
    """Return the groups and all rows of a list, without the rows whose ``drop`` child is not there."""
    groups, rows = result.groups, result.rows
    for child in place.drops:
        found = state.results[child.place.index]
        if found.error is None:
            present = set(found.keys)
            slot = child.slot
            if present.issuperset(map(itemgetter(slot), rows)):
                continue
            groups = {key: [row for row in part if not is_row(row) or row[slot] in present] for key, part in groups.items()}
            rows = [row for part in groups.values() for row in part if is_row(row)]
    return groups, rows


def _built(view: View, rows: Sequence[Row], outs: list[Any]) -> list[Any]:
    assert view.build is not None
    return view.build(rows, outs) if rows else []


def cursor_writer(place: Place, state: State) -> Callable[[Row], str]:
    bound = state.bounds[place.index]
    columns = [*place.layout, *(o.column for o in bound.order if o.column not in place.layout)]
    slots = [columns.index(o.column) for o in bound.order]
    cursor_of = bound.cursor_of
    if len(slots) == 1:
        slot = slots[0]
        return lambda row: write_cursor(cursor_of, (row[slot],))
    pick = itemgetter(*slots)
    return lambda row: write_cursor(cursor_of, pick(row))


# ------------------------------------------------------------------------------------------------------------- compiling


def compile_plan(plan: Plan) -> None:
    """Give every view and connection of ``plan`` its function. Source text is made of our own names and quoted response keys."""
    plan.root.build = _compile_view(plan.root)
    for place in plan.places:
        for view in place.views:
            view.build = _compile_view(view)
        if isinstance(place.source, Many) and place.parts:
            place.connect = _compile_connection(place)
    plan.is_compiled = True


def _compile_view(view: View) -> Callable[..., list[Any]]:
    """Return ``build(rows, outs)``: a list of dictionaries, one per row."""
    names: dict[str, Any] = {"SecondWalk": SecondWalk, "node_of": _node_of, "sure_node_of": _sure_node_of, "finite": math.isfinite}
    setup: list[str] = []
    items: list[str] = []
    required: list[int] = []
    aliased = Counter(plan.name for plan in view.fields if isinstance(plan, (Leaf, ComputedLeaf)))
    made: dict[str, str] = {}  # names of the values of fields that are asked under several aliases: each is made once per row
    for number, plan in enumerate(view.fields):
        text = made.get(plan.name)
        if text is None:
            text = _expression(plan, number, names, setup, required)
            if aliased[plan.name] > 1 and not text.isidentifier():
                made[plan.name] = f"w{number}"
                text = f"(w{number} := {text})"
        items.append(f"{plan.key!r}: {text}")
    width = len(view.place.layout)
    loop = "_" if width == 0 else ", ".join(f"v{i}" for i in range(width)) + ","
    if view.place.cursors:  # rows have the order's columns behind the layout
        loop = (loop if width else "") + " *_"
    lines = ["def build(rows, outs):", *(f"    {line}" for line in setup)]
    if required:  # in one pass: a row with a null in the wrong place is left out, and then there are too few
        test = " and ".join(f"v{slot} is not None" for slot in dict.fromkeys(required))
        lines.append(f"    objects = [{{{', '.join(items)}}} for {loop} in rows if {test}]")
        lines.append("    if len(objects) < len(rows): raise SecondWalk")
        lines.append("    return objects")
    else:
        lines.append(f"    return [{{{', '.join(items)}}} for {loop} in rows]")
    return _function("build", lines, names)


def _function(name: str, lines: Sequence[str], names: dict[str, Any]) -> Callable[..., Any]:
    """Return the function that ``lines`` define. It does not know itself: that would be a circle, which only the collector frees."""
    exec("\n".join(lines), names)  # noqa: S102
    return cast("Callable[..., Any]", names.pop(name))


def _expression(plan: FieldPlan, number: int, names: dict[str, Any], setup: list[str], required: list[int]) -> str:
    match plan:
        case Constant():
            return repr(plan.value)
        case Leaf():
            return _leaf(plan, number, names, required)
        case Introspected():
            return f"v{plan.slot}"
        case ComputedLeaf():
            names[f"f{number}"], names[f"s{number}"] = plan.function, plan.serialize
            call = f"f{number}({', '.join(f'v{slot}' for slot in plan.slots)})"
            if is_non_null_type(plan.type):
                names[f"n{number}"] = _not_null
                return f"s{number}(n{number}({call}))"
            return f"(None if (x := {call}) is None else s{number}(x))"
        case NodeChild():
            setup.append(f"p{number} = [outs[i] for i in {[p.index for p in plan.places.values()]}]")
            bare = _bare(plan.type)
            if is_list_type(bare):
                return f"[{'sure_node_of' if is_non_null_type(bare.of_type) else 'node_of'}(t, p{number}) for t in v{plan.slot}]"
            return f"{'sure_node_of' if is_non_null_type(plan.type) else 'node_of'}(v{plan.slot}, p{number})"
    assert isinstance(plan, Child)
    return _child(plan, number, names, setup)


def _leaf(plan: Leaf, number: int, names: dict[str, Any], required: list[int]) -> str:
    value = f"v{plan.slot}"
    if plan.prefix is not None:
        text = f"{plan.prefix!r} + {value}"
    elif plan.serialize is not None:
        names[f"s{number}"] = plan.serialize
        text = f"s{number}({value})"
        if plan.as_is_if is not None:
            text = f"({value} if {plan.as_is_if.format(v=value)} else {text})"
    else:
        text = value
    if is_non_null_type(plan.type):
        if plan.prefix is None:  # text + None raises by itself
            required.append(plan.slot)
        return text
    return text if text == value else f"(None if {value} is None else {text})"


def _child(plan: Child, number: int, names: dict[str, Any], setup: list[str]) -> str:
    place, value = plan.place, f"v{plan.slot}"
    source = place.source
    setup.append(f"c{number} = outs[{place.index}]")
    if isinstance(source, Each):
        found = f"[c{number}[k] for k in {value} if k in c{number}]"
        return found if _is_required(place) else f"(None if {value} is None else {found})"
    found = f"c{number}[{value}]"
    if isinstance(source, (One, Lookup, Batched)) and not _is_required(place):
        setup.append(f"g{number} = c{number}.get")
        found = f"g{number}({value})"
    if plan.serialize is not None:
        names[f"s{number}"] = plan.serialize
        return f"(None if (x := {found}) is None else s{number}(x))"
    return found


def _node_of(text: str, found: Sequence[Mapping[str, Any]]) -> Any:
    return next((objects[text] for objects in found if text in objects), None)


def _sure_node_of(text: str, found: Sequence[Mapping[str, Any]]) -> Any:
    return _not_null(_node_of(text, found))


def _not_null(value: Any) -> Any:
    if value is None:
        raise SecondWalk
    return value


def _bare(type_: Any) -> Any:
    return type_.of_type if is_non_null_type(type_) else type_


def _compile_connection(place: Place) -> Callable[..., Any]:
    """Return ``connect(out, groups, objects, cursor, backward, has_after, has_before)``, which puts a connection per parent into out."""
    text = "{" + ", ".join(f"{part.key!r}: {_part(place, part)}" for part in place.parts) + "}"
    lines = [
        "def connect(out, groups, objects, cursor, backward, has_after, has_before):",
        "    s = 0",
        "    for key, (rows, more, total) in groups.items():",
        "        e = s + len(rows)",
        f"        out[key] = {text}",
        "        s = e",
    ]
    return _function("connect", lines, {})


def _part(place: Place, part: PartField) -> str:
    match part.part:
        case "typename":
            return repr(part.value)
        case "nodes":
            assert part.view is not None
            return f"objects[{place.views.index(part.view)}][s:e]"
        case "edges":
            return _edges(place, part)
        case "page_info":
            return "{" + ", ".join(f"{p.key!r}: {_part(place, p)}" for p in part.parts) + "}"
        case "total_count":
            return "total"
        case "has_next_page":
            return "(has_before if backward else more)"
        case "has_previous_page":
            return "(more if backward else has_after)"
        case "start_cursor":
            return "(cursor(rows[0]) if rows else None)"
        case "end_cursor":
            return "(cursor(rows[-1]) if rows else None)"
    raise LookupError(f"a connection has no part {part.part!r}")


def _edges(place: Place, part: PartField) -> str:
    items: list[str] = []
    views: list[str] = []
    cursor = "(c := cursor(r))"
    for inner in part.parts:
        if inner.part == "node":
            assert inner.view is not None
            views.append(f"objects[{place.views.index(inner.view)}][s:e]")
            items.append(f"{inner.key!r}: o{len(views) - 1}")
        elif inner.part == "cursor":
            items.append(f"{inner.key!r}: {cursor}")
            cursor = "c"  # under further aliases
        else:
            items.append(f"{inner.key!r}: {inner.value!r}")
    loop = ", ".join(["r", *(f"o{i}" for i in range(len(views)))])
    return f"[{{{', '.join(items)}}} for {loop}, in zip({', '.join(['rows', *views])})]"
