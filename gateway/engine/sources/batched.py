"""Batch functions: values, rows or lists of rows for all parents at once, from the author's own code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import NoneType
from typing import TYPE_CHECKING, Any

from graphql import get_named_type, is_leaf_type, is_object_type

from gateway.engine.code import Code, SecondWalk
from gateway.engine.leaves import careful_serializer, serializer
from gateway.engine.plan import FieldPlan, Layout, Place
from gateway.engine.results import Failed, Result, is_row
from gateway.engine.sources.key import Child, Failing
from gateway.engine.sources.lists import careful_lists, lists
from gateway.engine.sources.source import Asked, Bound, Call, Source, Steps
from gateway.errors import BatchMismatch
from gateway.stores.base import Column, Key, Row

if TYPE_CHECKING:
    from gateway.context import RequestContext
    from gateway.engine.complete import Building
    from gateway.engine.execute import Run
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning
    from gateway.engine.values import Binder

BatchFunction = Callable[..., Awaitable[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class BoundCall(Bound):
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batched(Source):
    """``function(ctx, keys, **arguments)`` returns one result per key, in the same order; an Exception in a slot is that key's.

    For a leaf a result is its value. With ``columns`` it is a row of them (None: null), or a list of rows where the field is a list.
    ``key_argument`` takes the only key from an argument, for the root; ``refers`` is the type its ids are of.
    ``page`` names the arguments that are a number of rows: checked like a connection's ``first``. Lists without them have ``assumed_size``
    rows as a rule.
    ``semantic_non_null``: the function promises a value for every key, and None for one is an error.
    """

    function: BatchFunction
    by: str = "id"
    columns: tuple[Column, ...] = ()
    key_argument: str | None = None
    refers: str | None = None
    page: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    assumed_size: int = 10
    semantic_non_null: bool = False

    @property
    def name(self) -> str:
        return f"{self.function.__module__.rpartition('.')[2]}.{self.function.__name__}"

    @property
    def promised(self) -> bool:
        return self.semantic_non_null

    # ------------------------------------------------------------------------------------------------------------- plan

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        declared = {column.name: column for column in self.columns}
        layout = Layout(list(declared), of=".".join((*view.place.path, asked.key)) if declared else "")
        by = self.by if self.key_argument is None else None
        place = planning.place(view, asked, self, by=by, layout=layout, declared=declared)
        planning.arguments(place, asked)
        named = get_named_type(asked.definition.type)
        if is_object_type(named) and not self.columns:
            planning.leave(f"{asked.parent_type}.{asked.name} has objects without columns")
        planning.objects(place, asked)
        return BatchedChild(*asked.common, place, place.slot, named if is_leaf_type(named) else None)

    def bind(self, binder: Binder, arguments: Mapping[str, Any]) -> Bound:
        given = {binder.snake(name): value for name, value in arguments.items()}
        told = {binder.snake(name): name for name in arguments}  # what the client calls them
        key = None
        if self.key_argument is not None:
            key = binder.scalar(told[self.key_argument], Column("", refers=self.refers), given.pop(self.key_argument))
        for name in self.page:
            if given.get(name) is not None:
                binder.size(told[name], given[name])
        return BoundCall(key, given)

    # ------------------------------------------------------------------------------------------------------------- cost

    @property
    def has_size(self) -> bool:
        return bool(self.page)

    def size(self, place: Place, bounds: Sequence[Any], page_default: int) -> int:
        if not place.lists:
            return 1
        given = [bounds[place.index].arguments.get(name) for name in self.page]
        return min((page_default if size is None else size for size in given), default=self.assumed_size)

    def is_unsized(self, place: Place) -> bool:
        return place.lists

    # ---------------------------------------------------------------------------------------------------------- execute

    def steps(self, place: Place, run: Run) -> Steps:
        keys = run.keys(place)
        if not keys:
            return Result()
        bound: BoundCall = run.bound(place)
        answer: Sequence[Any] = yield _Call(self.function, keys, bound.arguments)
        self.check_answer(answer, len(keys), lists=place.lists)
        values = dict(zip(keys, answer, strict=True))
        odd = _kinds_besides_values(answer)
        if any(kind is not NoneType for kind in odd):
            run.something_failed()
        if not self.columns:
            return Result(values=values)
        found = {key: value for key, value in values.items() if is_row(value)} if odd else values
        if not place.lists:
            return Result(rows=list(found.values()), keys=list(found), values=values)
        run.take(sum(map(len, found.values())))
        rows = [row for part in found.values() for row in part]
        if _kinds_besides_values(rows):
            run.something_failed()
            rows = [row for row in rows if is_row(row)]
        return Result(rows=rows, groups=found, values=values)

    def check_answer(self, answer: Any, keys: int, *, lists: bool) -> None:
        """Hold the function to its word: a result for each key, and rows of as many values as there are columns; BatchMismatch."""
        if isinstance(answer, (str, bytes)) or not isinstance(answer, Sequence):
            raise BatchMismatch(self.name, expected=f"a list of {keys} results, in the order of the keys", got=type(answer).__name__)
        if len(answer) != keys:
            raise BatchMismatch(self.name, expected=f"{keys} results, one for each key", got=str(len(answer)))
        if not self.columns:
            return
        rows: Iterable[Any] = filter(is_row, answer)
        try:
            widths = set(map(len, filter(is_row, chain.from_iterable(rows)) if lists else rows))
        except TypeError:
            got = ", ".join(sorted({type(row).__name__ for row in answer}))
            raise BatchMismatch(self.name, expected=f"{'lists of rows' if lists else 'rows'}, which are sequences", got=got) from None
        if odd := widths - {len(self.columns)}:
            names = ", ".join(column.name for column in self.columns)
            raise BatchMismatch(self.name, expected=f"rows of {len(self.columns)} values ({names})", got=f"one of {min(odd)}")

    def parts(self, result: Result) -> Iterable[tuple[Any, Sequence[Row]]]:
        if result.groups:
            return ((key, [row for row in part if is_row(row)]) for key, part in result.groups.items())
        return zip(result.keys, ((row,) for row in result.rows), strict=True)

    # ------------------------------------------------------------------------------------------------------------ build

    def out(self, place: Place, building: Building) -> Any:
        result = building.result(place)
        if result.error is not None:
            return Failing(result.error)
        values = result.values
        if not self.columns:
            return values if building.is_careful else _checked(place, values)
        if place.lists:
            found: Mapping[Any, Any] = careful_lists(place, building) if building.is_careful else lists(place, building)
        else:
            found = dict(zip(result.keys, building.objects(place.views[0], result.rows), strict=True))
        if building.is_careful:
            return {key: found[key] if is_row(value) else None if value is None else Failed(value) for key, value in values.items()}
        if len(found) == len(values):
            return dict(found)  # nothing is null
        return _checked(place, {key: found.get(key) for key in values})

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "batch function", function=self.name)


class _Call(Call):
    __slots__ = ("_arguments", "_function", "_keys")

    def __init__(self, function: BatchFunction, keys: Sequence[Key], arguments: Mapping[str, Any]) -> None:
        self._function, self._keys, self._arguments = function, keys, arguments

    async def run(self, ctx: RequestContext) -> Sequence[Any]:
        return await self._function(ctx, self._keys, **self._arguments)


@dataclass(slots=True, eq=False)
class BatchedChild(Child):
    leaf: Any = None  # the type of a value that is none of an object

    def expression(self, code: Code, number: int) -> str:
        found = self.found(code, number)
        if self.leaf is None:
            return found
        if code.is_careful:
            serialize = careful_serializer(self.type, self.leaf, f"{self.parent_type}.{self.name}")
            return f"{code.name(f's{number}', lambda value: value if isinstance(value, Failed) else serialize(value))}({found})"
        return f"(None if (x := {found}) is None else {code.name(f's{number}', serializer(self.type, self.leaf))}(x))"


def _checked(place: Place, values: Mapping[Any, Any]) -> Mapping[Any, Any]:
    if place.is_required and any(value is None for value in values.values()):
        raise SecondWalk
    return values


def _kinds_besides_values(values: Iterable[Any]) -> list[type]:
    """Return the types of the nulls and errors among values."""
    return [kind for kind in set(map(type, values)) if kind is NoneType or issubclass(kind, Exception)]
