"""Aggregates: rows counted and measured by groups, all of them at the root or those of each parent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, cast

from graphql import get_named_type

from gateway.engine.declared import Problem, Rows
from gateway.engine.plan import FieldPlan, Place
from gateway.engine.results import Failed, Result
from gateway.engine.sources.connection import _Pages as Pages
from gateway.engine.sources.key import Child
from gateway.engine.sources.lists import lists
from gateway.engine.sources.source import Asked, Bound, Source, Steps
from gateway.engine.values import raw
from gateway.errors import BadUserInput
from gateway.often import made_often
from gateway.stores.base import Ability, Aggregate, Bucket, Collection, Column, Interval, Match, Measure, Row, Type, Where
from gateway.stores.measures import measured, misfit

if TYPE_CHECKING:
    from gateway.engine.complete import Building
    from gateway.engine.declared import Declared
    from gateway.engine.execute import Run
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning
    from gateway.engine.values import Binder

_AGGREGATE: frozenset[Ability] = frozenset({"aggregate"})
_TO_FIND_OUT = ("", Measure("count"))  # whether anything matched, where no measure is asked; no column has its name


@made_often
@dataclass(frozen=True, slots=True)
class BoundGroups(Bound):
    where: Where | None = None
    groups: tuple[str | Bucket, ...] = ()


@dataclass(frozen=True, slots=True)
class Stats(Source):
    """Rows of an aggregate. The enum of groups has column names as values, and "time" for the bucket of ``time``.

    Rows have the columns of the groups by name, the bucket as ``bucket``, and the measures by their names. Without a group "time" there
    is neither ``time`` nor ``bucket``.
    """

    collection: Collection
    by: str | None
    measures: tuple[tuple[str, Measure], ...]
    time: str | None = None
    bucket: str | None = None
    assumed_size: int = 10
    to: str | None = None

    needs_column: ClassVar[bool] = False
    filters: ClassVar[bool] = True

    @property
    def home(self) -> Collection:
        return self.collection

    @property
    def promised(self) -> bool:
        return True

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.of_collection(self.collection)
        yield from field.of_arguments(self.collection, ("where",))
        yield from field.of_objects(None, many=True)
        if self.time is not None:
            yield from field.of_column_in(self.collection, self.time, "a column of type TIME")
            time = self.collection.declared.get(self.time)
            if time is not None and time.type is not Type.TIME:
                yield field.problem(f"a column of type TIME of {self.collection.name}", f"{self.time!r} of type {time.type.upper()}")
        yield from self._check_measures(field)
        if self.by is None:
            if not field.rows.is_root:
                yield field.problem(
                    f"a column of {self.collection.name} that has the parent's key (by)", "none: all rows, for every parent"
                )
        else:
            yield from field.below_rows("stats() with by", "without it all rows are meant")
            yield from field.of_columns_in(self.collection, self.by, "a column with the parent's key")
            yield from field.of_key_above(self.to)
            yield from field.of_join(self.to or field.rows.key, self.collection, self.by)
        group = field.argument("group_by")
        enum: Any = None if group is None else get_named_type(group.type)
        for value_name, value in getattr(enum, "values", {}).items():
            name = raw(value.value)
            if name != "time" and name not in self.collection.declared:
                expected = f"'time' or a column of {self.collection.name} ({', '.join(self.collection.names)})"
                yield Problem(f"{field.where}({value_name} of {enum.name})", expected, repr(name))

    def demands(self, field: Declared) -> Iterable[tuple[Collection, frozenset[Ability]]]:
        filters: frozenset[Ability] = frozenset() if field.argument("where") is None else frozenset({"filter"})
        yield self.collection, filters | _AGGREGATE

    def _check_measures(self, field: Declared) -> Iterator[Problem]:
        for name, measure in self.measures:
            wrong = misfit(self.collection, measure)
            if wrong is not None:
                yield Problem(f"{field.where}(measure {name})", *wrong)
            if name in self.collection.declared:
                yield field.problem(f"a measure with a name that no column of {self.collection.name} has", repr(name))
        if self.bucket in self.collection.declared:
            yield field.problem(f"a bucket with a name that no column of {self.collection.name} has", repr(self.bucket))
        if self.bucket in dict(self.measures):
            yield field.problem("a bucket with a name that no measure has", repr(self.bucket))

    def _columns(self) -> dict[str, Column]:
        """Return the columns of its rows by name. A group that was not asked is null."""
        columns = {name: replace(column, nullable=True) for name, column in self.collection.declared.items()}
        if self.bucket is not None:
            time = self.collection.declared.get(self.time or "")
            columns[self.bucket] = Column(self.bucket, Type.TIME, nullable=True, precision=3 if time is None else time.precision)
        fit = [(name, measure) for name, measure in self.measures if misfit(self.collection, measure) is None]
        return columns | {name: measured(self.collection, measure, name) for name, measure in fit}

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        yield field.named, Rows(f"an aggregate of {self.collection.name}", self._columns(), key="")

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        by, there = (None, ()) if self.by is None else (self.to or view.key, self.collection.columns_of(self.by))
        place = planning.place(view, asked, self, by=by, there=there, declared=self._columns())
        planning.arguments(place, asked)
        planning.objects(place, asked)
        return Counted(*asked.common, place, place.slot)

    def bind(self, binder: Binder, arguments: Mapping[str, Any]) -> Bound:
        names = binder.names(self)
        given = names.given(arguments)
        interval = given.get("interval")
        asked = dict.fromkeys(raw(group) for group in given["group_by"])
        if ("time" in asked) != (interval is not None):
            got = "an interval without TIME" if interval is not None else "TIME without an interval"
            at = names.told["group_by"]
            raise BadUserInput(f"{at}, interval: expected TIME and an interval together, got {got}", argument="interval")
        size = cast("Interval", raw(interval))
        groups = tuple(Bucket(self.time, size) if self.time is not None and name == "time" else name for name in asked)
        return BoundGroups(where=binder.where(names, given.get("where")), groups=groups)

    def size(self, place: Place, bounds: Any, page_default: int) -> int:
        return self.assumed_size

    def is_unsized(self, place: Place) -> bool:
        return True

    def steps(self, place: Place, run: Run) -> Steps:
        match = None
        if self.by is not None:
            keys = run.keys(place)
            if not keys:
                return Result()
            match = Match(self.by, keys)
        bound: BoundGroups = run.bound(place)
        # Without groups a row exists only where something matched, which takes a measure to find out.
        asked = [item for item in self.measures if item[0] in place.layout.asked] or [_TO_FIND_OUT]
        measures = tuple([measure for _, measure in asked])
        found: Mapping[Any, Sequence[Row]] = yield Aggregate(
            self.collection, bound.groups, measures, match, bound.where, run.limits.objects_max + 1
        )
        lengths = list(map(len, found.values()))
        run.take(sum(lengths))
        has = [cast("str", self.bucket) if isinstance(group, Bucket) else group for group in bound.groups] + [name for name, _ in asked]
        groups = _picked(found, has, place.layout.asked)
        if place.completes is not None:
            groups = {key: list(map(place.completes, rows)) for key, rows in groups.items()}
        return Result([row for rows in groups.values() for row in rows], (), groups, longest=max(lengths, default=0))

    def parts(self, result: Result) -> Iterable[tuple[Any, Sequence[Row]]]:
        return result.groups.items()

    def out(self, place: Place, building: Building) -> Any:
        error = building.results[place.index].error
        return lists(place, building) if error is None else Pages(partial(Failed, error))

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "aggregate", by=self.by)


@dataclass(slots=True, eq=False)
class Counted(Child):
    """Every parent has a list."""

    has_nulls: ClassVar[bool] = False


def _picked(groups: Mapping[Any, Sequence[Row]], has: Sequence[str], wanted: Sequence[str]) -> Mapping[Any, Sequence[Row]]:
    """Return rows with the wanted columns, null where there is none."""
    positions = [has.index(name) if name in has else None for name in wanted]
    if positions == list(range(len(has))):
        return groups
    if None not in positions and len(positions) > 1:
        pick: Callable[[Row], Row] = itemgetter(*cast("list[int]", positions))
    else:

        def pick(row: Row) -> Row:
            return tuple([None if position is None else row[position] for position in positions])

    return {key: list(map(pick, rows)) for key, rows in groups.items()}
