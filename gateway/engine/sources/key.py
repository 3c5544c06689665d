"""Rows by key: of a column of the parent's row, of a column that lists keys, or of an argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.engine.code import Code
from gateway.engine.declared import Rows
from gateway.engine.plan import Dropping, FieldPlan, Place
from gateway.engine.results import Failed, Result
from gateway.engine.sources.source import Asked, Bound, Source, Steps
from gateway.errors import BadUserInput
from gateway.often import made_often
from gateway.stores.base import Collection, Get, Key, Row, UniqueKeys

if TYPE_CHECKING:
    from gateway.engine.complete import Building
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.execute import Run
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning
    from gateway.engine.values import Binder


@dataclass(frozen=True, slots=True)
class ByKey(Source):
    """What the sources of rows by key share. Such rows of one collection at one level come from one call: they have one layout."""

    collection: Collection

    @property
    def home(self) -> Collection:
        return self.collection

    @property
    def column(self) -> str:
        """The unique column by which its rows are asked, or several with commas between them."""
        return self.collection.key_name

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        yield field.named, rows_of(self.collection)

    def out(self, place: Place, building: Building) -> Any:
        result = building.results[place.index]
        if result.error is not None:
            return Failing(result.error)
        if not place.views:
            return None  # a row is left out without it, but nobody asked to see it
        return dict(zip(result.keys, building.objects(place.views[0], result.rows), strict=True))

    def _place(self, planning: Planning, view: View, asked: Asked, by: str | None, *, many: bool = False, shares: bool = True) -> Place:
        layout = planning.layout_by_key(view, self.collection) if shares else None
        there = self.collection.columns_of(self.column)
        place = planning.place(view, asked, self, by=by, there=there, many=many, layout=layout, declared=self.collection.declared)
        planning.arguments(place, asked)
        planning.objects(place, asked)
        return place

    def _get(self, place: Place, keys: UniqueKeys) -> Steps:
        if not keys:
            return Result()
        found: Mapping[Key, Row] = yield Get(self.collection, place.layout.asked, keys, self.column)
        return rows_by_key(place, keys, found)


def rows_of(collection: Collection) -> Rows:
    """Return what the rows of a collection have."""
    return Rows(collection.name, collection.declared, collection.key_name)


def rows_by_key(place: Place, keys: Sequence[Key], found: Mapping[Key, Row]) -> Result:
    """Return the rows of these keys; a call that was shared holds others' too."""
    own = found if len(found) == len(keys) else {key: found[key] for key in keys if key in found}
    rows = list(own.values())
    return Result(rows if place.completes is None else list(map(place.completes, rows)), list(own))


@dataclass(frozen=True, slots=True)
class One(ByKey):
    """The row of ``collection`` whose key, or unique column ``to``, has what the parent's column ``by`` has. ``drop``: without it the
    parent is left out of its list, and where there is no list to leave it out of, that is an error."""

    by: str
    drop: bool = False
    to: str | None = None

    @property
    def column(self) -> str:
        return self.collection.key_name if self.to is None else self.to

    @property
    def leaves_out(self) -> bool:
        return self.drop

    @property
    def promised(self) -> bool:
        return self.drop

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.of_collection(self.collection)
        yield from field.below_rows("one()", "lookup() takes it from an argument")
        yield from field.of_objects(self.collection, many=False)
        yield from field.of_unique(self.collection, self.column)
        if not field.rows.is_root:
            yield from field.of_key_column(self.by, self.collection, self.column)
        column = field.column(self.by)
        if column is not None and column.many:
            yield field.problem("a column with one key", f"{self.by!r}, which has a list of them (each() takes it)")
        if column is not None and column.nullable and field.is_required:
            yield field.problem(f"a type that may be null, as the key {self.by!r} may", field.shape)

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        place = self._place(planning, view, asked, self.by)
        return Child(*asked.common, place, place.slot)

    def steps(self, place: Place, run: Run) -> Steps:
        return self._get(place, run.keys(place))

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "one", by=self.column)


@dataclass(frozen=True, slots=True)
class Each(ByKey):
    """The rows of the keys that the parent's column ``by`` lists, in that order; keys without a row are left out.

    ``assumed_size`` is how many rows a parent has as a rule: what the cost of an operation counts, as no argument says how many there are.
    ``semantic_non_null``: a null in place of the list of keys is an error; else it is null.
    """

    by: str
    assumed_size: int = 10
    semantic_non_null: bool = True

    @property
    def promised(self) -> bool:
        return self.semantic_non_null

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.of_collection(self.collection)
        yield from field.of_single_key(self.collection)
        yield from field.below_rows("each()", "nodes() takes them from an argument")
        yield from field.of_objects(self.collection, many=True)
        if not field.rows.is_root:
            yield from field.of_column(self.by, "a column with the keys")
        column = field.column(self.by)
        if column is not None and not column.many:
            yield field.problem("a column with a list of keys (many, or TEXTS)", f"{self.by!r} of type {column.type.upper()}")
        if column is not None and column.nullable and field.is_required:
            yield field.problem(f"a type that may be null, as the keys {self.by!r} may", field.shape)

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        place = self._place(planning, view, asked, self.by, many=True)
        return EachChild(*asked.common, place, place.slot)

    def size(self, place: Place, bounds: Any, page_default: int) -> int:
        return self.assumed_size

    def is_unsized(self, place: Place) -> bool:
        return True

    def longest(self, place: Place, above: Sequence[Row], result: Result) -> int:
        lists = filter(None, map(itemgetter(place.slot), above))
        try:  # PERF: 40 ns a parent, 70 where each is looked at
            return max(map(len, lists), default=1)
        except TypeError:  # an error is in the place of a list
            return max((len(keys) for row in above if isinstance(keys := row[place.slot], (list, tuple))), default=1)

    def steps(self, place: Place, run: Run) -> Steps:
        slot = place.slot
        lists = [row[slot] for row in run.rows_above(place)]
        if run.ctx.has_wrong_values:
            lists = [keys for keys in lists if not isinstance(keys, Exception)]
        return self._get(place, UniqueKeys(dict.fromkeys([key for keys in lists for key in keys or ()])))

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "each", by=self.column)


@made_often
@dataclass(frozen=True, slots=True)
class ByColumn(Bound):
    """``column``: the unique column that the key is of."""

    column: str = "id"


@dataclass(frozen=True, slots=True)
class Lookup(ByKey):
    """At the root: the row that exactly one of the arguments names (argument to unique column)."""

    by: Mapping[str, str] = field(hash=False)

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.of_collection(self.collection)
        yield from field.at_root("lookup()")
        yield from field.of_objects(self.collection, many=False)
        if not self.by:
            yield field.problem("at least one argument that names a row", "none")
        for argument, name in self.by.items():
            yield from field.of_unique(self.collection, name, f" for {argument}")
        if field.is_required:
            yield field.problem("a type that may be null, as there may be no such row", field.shape)

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        place = self._place(planning, view, asked, None, shares=False)
        return Child(*asked.common, place, place.slot)

    def bind(self, binder: Binder, arguments: Mapping[str, Any]) -> Bound:
        names = binder.names(self)
        given = [item for item in arguments.items() if item[1] is not None]
        if len(given) != 1:
            told = [names.told[name] for name in self.by]
            got = " and ".join(name for name in told if arguments.get(name) is not None) or "none"
            raise BadUserInput(f"expected exactly one of {', '.join(told)}, got {got}", argument=told[0])
        name, value = given[0]
        column = self.by[names.python[name]]
        return ByColumn(binder.key(name, self.collection, column, value), column)

    def steps(self, place: Place, run: Run) -> Steps:
        bound: ByColumn = run.bound(place)
        if bound.key is None:  # what was given is the key of no row that there can be
            return Result()
        keys = UniqueKeys((bound.key,))
        found: Mapping[Key, Row] = yield Get(self.collection, place.layout.asked, keys, bound.column)
        return rows_by_key(place, keys, found)

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "lookup", by=" or ".join(self.by.values()))


# ---------------------------------------------------------------------------------------------------------------- fields


@dataclass(slots=True, eq=False)
class Child(FieldPlan):
    """A field with a place of its own; ``slot`` is the column of the parent's row that holds the key(s)."""

    place: Place
    slot: int

    has_nulls: ClassVar[bool] = True  # whether a key may have no object, or there may be no key

    @property
    def promised(self) -> bool:
        return self.place.source is not None and self.place.source.promised

    def dropping(self, source: Source) -> Dropping | None:
        return Dropping(self.place, self.slot) if self.place.source is source else None

    def expression(self, code: Code, number: int) -> str:
        return self.found(code, number)

    def found(self, code: Code, number: int) -> str:
        """Return the expression of what the place has for this row's key."""
        code.setup.append(f"c{number} = outs[{self.place.index}]")
        if code.is_careful:
            return f"{code.name('look', look)}(c{number}, v{self.slot})"
        if not self.has_nulls or self.place.is_required:
            return f"c{number}[v{self.slot}]"
        code.setup.append(f"g{number} = c{number}.get")
        return f"g{number}(v{self.slot})"


@dataclass(slots=True, eq=False)
class EachChild(Child):
    def expression(self, code: Code, number: int) -> str:
        code.setup.append(f"c{number} = outs[{self.place.index}]")
        value = f"v{self.slot}"
        if code.is_careful:
            return f"{code.name('each', _each)}(c{number}, {value})"
        found = f"[c{number}[k] for k in {value} if k in c{number}]"
        return found if self.place.is_required else f"(None if {value} is None else {found})"


def look(found: Any, key: Any) -> Any:
    """Return what there is of a key, or the error that stands for it."""
    if isinstance(key, Exception):  # an attribute that could not be read, or a WrongValue
        return Failed(key)
    return found.get(key)


def _each(found: Any, keys: Any) -> Any:
    if keys is None:
        return None
    if isinstance(keys, Exception):
        return Failed(keys)
    if isinstance(found, Failing):
        return found.failed if keys else []
    return [found[key] for key in keys if key in found]


class Failing(dict[Any, Any]):
    """What a batch that failed has for every key: its error. No key asks for nothing, and has nothing."""

    __slots__ = ("failed",)

    def __init__(self, error: Exception) -> None:
        self.failed = Failed(error)

    def get(self, key: Any, default: Any = None) -> Any:
        return default if key is None else self.failed

    def __getitem__(self, key: Any) -> Any:
        return self.failed

    def __contains__(self, key: Any) -> bool:
        return True
