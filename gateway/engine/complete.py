"""Turn rows into the answer's objects: one compiled function per selection set builds all objects of a place at once.

The good way has no paths, no null rules and no error handling per object. Where a batch failed, a non-null column holds a null or
a builder raises, ``SecondWalk`` is raised, and the same objects are built with values that stand for errors (``careful``), which ``nulls``
puts where the GraphQL specification says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from graphql import GraphQLError

from gateway.engine.code import Code, SecondWalk, made
from gateway.engine.nulls import place_nulls
from gateway.engine.plan import Place, Plan, View
from gateway.engine.results import Made, State
from gateway.stores.base import Row

Function = Callable[..., Any]


class Builders:
    """The functions of one plan. ``is_careful``: what they build has nulls and errors in it, and knows its fields."""

    __slots__ = ("is_careful", "places", "views")

    def __init__(self, plan: Plan, *, is_careful: bool = False) -> None:
        self.is_careful = is_careful
        self.views: list[Function] = [_nothing] * plan.view_count
        self.places: dict[int, Function] = {}
        for place in (plan.root_place, *plan.places):
            for view in place.views:
                self.views[view.number] = _compile_view(view, is_careful=is_careful)
            function = place.compile(is_careful=is_careful)
            if function is not None:
                self.places[place.index] = function


class Prepared:
    """A plan with the functions that build its objects, which are compiled when they are first needed."""

    __slots__ = ("_careful", "builders", "plan", "series", "waits")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.waits = True  # for its functions; False once it, or its series, are compiled
        self.series = [Prepared(part) for part in plan.series]
        self.builders: Builders | None = None  # of the good way, once they are compiled
        self._careful: Builders | None = None

    def compile(self) -> Builders:
        """Return the functions of the good way."""
        builders = self.builders
        if builders is None:
            builders = self.builders = Builders(self.plan)
        return builders

    def compile_carefully(self) -> Builders:
        """Return those that stand in when something failed."""
        builders = self._careful
        if builders is None:
            builders = self._careful = Builders(self.plan, is_careful=True)
        return builders


class Building:
    """What sources build by, in one run."""

    __slots__ = ("_builders", "bounds", "is_careful", "outs", "results")

    def __init__(self, plan: Plan, builders: Builders, state: State) -> None:
        # Lists by a place's index, which sources look into.
        self._builders = builders
        self.bounds: list[Any] = state.bounds
        self.results = state.results
        self.outs: list[Any] = [None] * len(plan.places)  # what the sources of those below have made of their objects
        self.is_careful = builders.is_careful

    def objects(self, view: View, rows: Sequence[Row]) -> list[Any]:
        """Return an object per row."""
        return self._builders.views[view.number](rows, self.outs) if rows else []

    def function(self, place: Place) -> Function:
        return self._builders.places[place.index]


def _data(plan: Plan, builders: Builders, state: State) -> dict[str, Any]:
    building = Building(plan, builders, state)
    outs = building.outs
    for place in reversed(plan.places):  # children are behind their parents
        assert place.source is not None
        outs[place.index] = place.source.out(place, building)
    data: dict[str, Any] = builders.views[plan.root.number]((state.root,), outs)[0]
    return data


def complete(prepared: Prepared, state: State) -> dict[str, Any]:
    """Return the data of the answer; SecondWalk when something in it is missing that must not be."""
    if state.failed:
        raise SecondWalk
    try:
        return _data(prepared.plan, prepared.builders or prepared.compile(), state)
    except SecondWalk:
        raise
    except Exception as exc:
        raise SecondWalk from exc


def complete_with_nulls(
    prepared: Prepared, state: State, *, tries_leaves: bool = False
) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
    """Return data and errors of a run in which something failed; data is None when an error went all the way up.

    ``tries_leaves``: a value that JSON cannot hold is an error, too.
    """
    built = _data(prepared.plan, prepared.compile_carefully(), state)
    assert isinstance(built, Made)
    return place_nulls(prepared.plan.text, built, tries_leaves=tries_leaves)


# ------------------------------------------------------------------------------------------------------------- compiling


def _nothing(_rows: Sequence[Row], _outs: Sequence[Any]) -> list[Any]:
    raise LookupError("a view without a place")


def _compile_view(view: View, *, is_careful: bool) -> Function:
    """Return ``build(rows, outs)``: a list of dictionaries, one per row."""
    code = Code(is_careful=is_careful)
    code.names |= {"SecondWalk": SecondWalk, "finite": math.isfinite}
    items: list[str] = []
    aliased = Counter(plan.name for plan in view.fields if plan.repeats)
    known: dict[str, str] = {}  # names of the values of fields that are asked under several aliases: each is made once per row
    for number, plan in enumerate(view.fields):
        text = known.get(plan.name)
        if text is None:
            text = plan.expression(code, number)
            if aliased[plan.name] > 1 and not text.isidentifier():
                known[plan.name] = f"w{number}"
                text = f"(w{number} := {text})"
        items.append(f"{plan.key!r}: {text}")
    width = len(view.place.layout)
    loop = "_" if width == 0 else ", ".join(f"v{i}" for i in range(width)) + ","
    if view.place.has_tail:
        loop = (loop if width else "") + " *_"
    loop = f"row in rows for {loop} in (row,)" if code.needs_row else f"{loop} in rows"
    text = made(code, f"{{{', '.join(items)}}}", view.fields)
    lines = ["def build(rows, outs):", *(f"    {line}" for line in code.setup)]
    if code.required:  # in one pass: a row with a null in the wrong place is left out, and then there are too few
        test = " and ".join(f"v{slot} is not None" for slot in dict.fromkeys(code.required))
        lines.append(f"    objects = [{text} for {loop} if {test}]")
        lines.append("    if len(objects) < len(rows): raise SecondWalk")
        lines.append("    return objects")
    else:
        lines.append(f"    return [{text} for {loop}]")
    return code.function("build", lines)
