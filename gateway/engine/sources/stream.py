"""Fields of a subscription: each event of a stream is the root's one row of a run of its own.

``open`` gives the stream, once for a subscription. Every event of it then goes through all phases behind ``plan`` as a query does: what
stands below the root field is planned once, and batched and joined for each event.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Protocol

from gateway.engine.plan import FieldPlan, Place
from gateway.engine.results import Result
from gateway.engine.sources.key import ByKey, Child
from gateway.engine.sources.objects import taken
from gateway.engine.sources.resolver import BoundArguments, Resolver, info_of
from gateway.engine.sources.source import Asked, Bound, Source, Steps
from gateway.errors import StreamNotThere
from gateway.stores.base import Column, Row, Type
from gateway.stores.types import NO_VALUE

if TYPE_CHECKING:
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.execute import Run
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning
    from gateway.engine.values import Binder
    from gateway.writes.feed import Event, Feed

THERE = True  # the key of the only row that an event has


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a stream: what the root field is made of, and the cursor to go on after it, where there is one."""

    value: Any
    cursor: str | None = None


class Opening(Protocol):
    """What a stream is opened by: the run of the subscription itself, in which nothing is asked."""

    @property
    def run(self) -> Run: ...

    @property
    def feed(self) -> Feed | None: ...

    @property
    def after(self) -> str | None: ...


class Streaming(Source):
    """A source of fields of the subscription's root."""

    __slots__ = ()

    @abstractmethod
    def open(self, place: Any, opening: Opening) -> AsyncIterator[Happened]:
        """Give the events from now on, or those after the cursor that was asked for. Closing the iterator ends it."""


@dataclass(frozen=True, slots=True)
class Conditions(Bound):
    """What a row has to have: by column, the values of which it may have one."""

    among: tuple[tuple[str, frozenset[Any]], ...] = ()


@dataclass(frozen=True, slots=True)
class Followed(ByKey, Streaming):
    """The writes of ``collection`` that leave a row, as its row.

    ``by`` (argument to column): the row has the value; ``among``: one of the listed values. An argument that is null or not given says
    nothing. ``when`` says of a write whether it is one that is told.
    """

    by: Mapping[str, str] = field(default_factory=dict, hash=False)
    among: Mapping[str, str] = field(default_factory=dict, hash=False)
    when: Callable[[Event], bool] | None = None

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.of_collection(self.collection)
        if not self.collection.managed:
            yield field.problem("a managed collection, whose writes are told", f"{self.collection.name}, which is not managed")
        yield from field.at_root("subscription()")
        yield from field.of_objects(self.collection, many=False)
        for name in (*self.by.values(), *self.among.values()):
            column = self.collection.declared.get(name)
            if column is None:
                yield from field.of_column_in(self.collection, name)
            elif not _compares(column):
                expected = "a column of single values that compare by code point"
                yield field.problem(expected, f"{name!r} of type {column.type.upper()}")

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        place = self._place(planning, view, asked, None, shares=False)
        return Child(*asked.common, place, place.slot)

    def bind(self, binder: Binder, arguments: Mapping[str, Any]) -> Bound:
        names = binder.names(self)
        conditions: list[tuple[str, frozenset[Any]]] = []
        for told, given in arguments.items():
            name = names.python[told]
            if given is None:
                continue
            is_list = name in self.among
            column = self.collection[self.among[name] if is_list else self.by[name]]
            values = [binder.value(told, column, item) for item in (given if is_list else (given,))]
            conditions.append((column.name, frozenset(value for value in values if value is not NO_VALUE)))
        return Conditions(among=tuple(conditions))

    def keys_at_root(self, bound: Bound) -> Any:
        return THERE

    async def open(self, place: Any, opening: Opening) -> AsyncIterator[Happened]:
        if opening.feed is None:
            raise StreamNotThere(self.collection.name)
        conditions: Conditions = opening.run.bound(place)
        events = opening.feed.follow(self.collection, opening.after)
        try:
            async for event in events:
                if event.state is not None and self._is_told(event, conditions):
                    yield Happened(event, event.cursor)
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    def _is_told(self, event: Event, conditions: Conditions) -> bool:
        state = event.state
        assert state is not None
        return all(state.get(name) in values for name, values in conditions.among) and (self.when is None or self.when(event))

    def steps(self, place: Place, run: Run) -> Steps:
        state = run.event.state
        default = self.collection.declared
        row: Row = tuple([state[name] if name in state else default[name].default for name in place.layout.asked])
        return Result(rows=[row if place.completes is None else place.completes(row)], keys=[THERE])
        yield

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "event")


def _compares(column: Column) -> bool:
    return not column.many and column.type not in (Type.JSON, Type.TEXTS) and column.collation == "C"


@dataclass(frozen=True, slots=True)
class ByHand(Resolver, Streaming):
    """A subscription as Strawberry has them: an async generator, whose values are the events."""

    subscribe: Callable[..., Any] | None = None

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from super(ByHand, self).check(field)
        yield from field.at_root("a subscription")

    async def open(self, place: Any, opening: Opening) -> AsyncIterator[Happened]:
        assert self.subscribe is not None
        bound: BoundArguments = opening.run.bound(place)
        events: Any = self.subscribe(None, info_of(place, opening.run), **bound.arguments)
        if isawaitable(events):
            events = await events
        try:
            async for value in events:
                yield Happened(value)
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    def steps(self, place: Any, run: Run) -> Steps:
        return taken(place, run, {id(row): run.event for row in run.rows_above(place)}, info_of(place, run))
        yield
