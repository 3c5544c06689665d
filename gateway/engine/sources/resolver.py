"""Resolvers written by hand, as Strawberry has them: called once for each parent, with its row as an object or the object itself."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import isfunction
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from graphql import GraphQLResolveInfo, is_leaf_type
from graphql.execution.values import VariableValues
from graphql.pyutils import Path
from strawberry.schema.schema_converter import get_arguments
from strawberry.types.field import StrawberryField

from gateway.engine.declared import Rows
from gateway.engine.plan import FieldPlan, Place
from gateway.engine.results import Result
from gateway.engine.sources.objects import OBJECT, ObjectLayout, ObjectPlace, RowChild, leaf_of, out_of_values, parts_of_values, taken
from gateway.engine.sources.source import KEPT, Asked, Bound, Call, Source, Steps
from gateway.errors import WrongValue
from gateway.often import made_often
from gateway.stores.base import Row

if TYPE_CHECKING:
    from gateway.context import RequestContext
    from gateway.engine.complete import Building
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.execute import Run
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning
    from gateway.engine.values import Binder

ASSUMED_SIZE = 10  # of a list, which no argument of the engine's limits


def _is_awaitable(value: Any) -> TypeGuard[Awaitable[Any]]:
    return hasattr(value, "__await__")


class Record:
    """A row as the parent of resolvers: columns are attributes, with their wire values (``stores/base.py``)."""

    __slots__ = ("_row", "_slots")

    def __init__(self, slots: Mapping[str, int], row: Row) -> None:
        self._slots = slots
        self._row = row

    def __getattr__(self, name: str) -> Any:
        try:
            value = self._row[self._slots[name]]
        except KeyError:
            raise AttributeError(f"the row has no column {name!r}; it has {', '.join(self._slots)}") from None
        if isinstance(value, WrongValue):
            raise WrongValue(value.where, expected=value.expected, found=value.found)  # another: this one keeps no frames
        return value


@made_often
@dataclass(frozen=True, slots=True)
class BoundArguments(Bound):
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(slots=True, eq=False, weakref_slot=True)
class ResolverPlace(ObjectPlace):
    asked: Asked | None = None
    above: Mapping[str, int] = dataclasses.field(default_factory=dict)  # the columns of the parent's rows; of objects only themselves
    root: bool = False
    planning: Any = None  # what an info tells of the operation


@dataclass(frozen=True, slots=True)
class Resolver(Source):
    """``resolve(parent, info, **arguments)``, or a coroutine of it; in a graphql-core schema the field's own."""

    resolve: Callable[..., Any]
    field: StrawberryField | None = None

    def check(self, field: Declared) -> Iterator[Problem]:
        if not is_leaf_type(field.named):
            yield from field.of_objects(None, many=field.is_list)

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        if not is_leaf_type(field.named):
            yield field.named, Rows(f"what {field.where} gives", None)

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        above = view.place
        place = planning.place_of(ResolverPlace, view, asked, self, slot=0, layout=ObjectLayout())
        place.asked, place.planning, place.root = asked, planning.told, above.source is None
        planning.arguments(place, asked)
        if not place.root and OBJECT not in above.layout.columns:
            for name in above.declared:
                above.layout.need(name)
        place.above = {name: slot for slot, name in enumerate(above.layout.columns) if name == OBJECT or name in above.declared}
        leaf = leaf_of(asked)
        if leaf is None:
            place.select(planning, asked)
        return RowChild(*asked.common, place, place.slot, leaf)

    def bind(self, binder: Binder, arguments: Mapping[str, Any]) -> Bound:
        return BoundArguments(arguments=arguments)

    def keys_at_root(self, bound: Bound) -> Any:
        return KEPT

    def size(self, place: Place, bounds: Sequence[Any], page_default: int) -> int:
        return ASSUMED_SIZE if place.lists else 1

    def is_unsized(self, place: Place) -> bool:
        return place.lists

    def steps(self, place: ResolverPlace, run: Run) -> Steps:  # type: ignore[override]
        rows = run.rows_above(place)
        if not rows:
            return Result()
        info = info_of(place, run)
        arguments = run.bound(place).arguments
        values: list[Any] = []
        waiting: dict[int, asyncio.Future[Any]] = {}
        call = self._direct(info, arguments) or (lambda parent: self.resolve(parent, info, **arguments))
        for parent in _parents(place, rows):
            try:
                value = call(parent)
            except Exception as exc:
                value = exc
            if _is_awaitable(value):
                waiting[len(values)] = asyncio.ensure_future(value)
            values.append(value)
        if waiting:
            answers = yield _All(list(waiting.values()))
            for position, answer in zip(waiting, answers, strict=True):
                values[position] = answer
        return taken(place, run, {id(row): value for row, value in zip(rows, values, strict=True)}, info)

    def keys_in(self, place: Place, rows: Sequence[Row]) -> Iterable[Any]:
        return map(id, rows)

    def _direct(self, info: GraphQLResolveInfo[Any], arguments: Mapping[str, Any]) -> Callable[[Any], Any] | None:
        """Return what calls the author's function and nothing of Strawberry's around it, where that would do nothing for this field.

        PERF: Strawberry reads the arguments anew for each parent, 5 µs of the 6 that a plain resolver takes (``make bench-executors``).
        """
        found = self.field
        if found is None or found.base_resolver is None or found.extensions or type(found).get_result is not StrawberryField.get_result:
            return None
        schema: Any = info.schema
        converter, function = schema._strawberry_schema.schema_converter, found.base_resolver.wrapped_func
        if (
            not isfunction(function)
            or converter._get_field_exception_handlers(found)
            or any(isinstance(value, (dict, list)) for value in arguments.values())
        ):
            return None  # a function may change what it is given, so that each has its own
        told = converter.config.info_class(_raw_info=info, _field=found)
        args, kwargs = get_arguments(
            field=found,
            source=_PARENT,
            info=told,
            kwargs=dict(arguments),
            config=converter.config,
            scalar_registry=converter.scalar_registry,
        )
        named = [name for name, value in kwargs.items() if value is _PARENT]
        if args and not named:
            return partial(_with_parent_first, function, kwargs) if kwargs else function
        return lambda parent: function(*[parent] * len(args), **{**kwargs, **dict.fromkeys(named, parent)})

    def parts(self, result: Result) -> Iterable[tuple[Any, Sequence[Row]]]:
        return parts_of_values(result)

    def out(self, place: Place, building: Building) -> Any:
        return out_of_values(place, building)

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "resolver", columns=[name for name in place.layout.columns if "#" not in name])


def _parents(place: ResolverPlace, rows: Sequence[Row]) -> Iterable[Any]:
    if place.root:
        return [None] * len(rows)
    if OBJECT in place.above:
        slot = place.above[OBJECT]
        return [row[slot] for row in rows]
    return [Record(place.above, row) for row in rows]


_PARENT: Any = object()


def _with_parent_first(function: Callable[..., Any], arguments: Mapping[str, Any], parent: Any) -> Any:
    return function(parent, **arguments)


class _All(Call):
    """Waits for all; an Exception stands for the value of who raised it."""

    __slots__ = ("_futures",)

    def __init__(self, futures: Sequence[asyncio.Future[Any]]) -> None:
        self._futures = futures

    async def run(self, ctx: RequestContext) -> Sequence[Any]:
        answers: list[Any] = await asyncio.gather(*self._futures, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Exception):
                raise answer
        return answers


def info_of(place: ResolverPlace, run: Run) -> GraphQLResolveInfo[Any]:
    """Return what graphql-core tells a resolver. One for all parents: its path has no positions in lists."""
    asked, told = place.asked, place.planning
    assert asked is not None
    path: Any = None
    for key in place.path:
        path = Path(path, key, None)
    return GraphQLResolveInfo(
        asked.name,
        list(asked.nodes),
        asked.definition.type,
        told.schema.type_map[asked.parent_type],
        path,
        told.schema,
        told.fragments,
        None,
        told.operation,
        VariableValues({}, dict(run.variables)),
        run.ctx,
        _is_awaitable,
        None,
        cast("Any", None),
    )
