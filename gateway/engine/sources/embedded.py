"""Objects out of a value of the parent's row: a subdocument, or a list of them, in a JSON column. Nobody is asked for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import is_object_type

from gateway.engine.declared import Rows
from gateway.engine.plan import FieldPlan, Layout, Place
from gateway.engine.results import Result
from gateway.engine.sources.objects import RowChild, out_of_values, parts_of_values, taken
from gateway.engine.sources.source import KEPT, Asked, Bound, Source, Steps
from gateway.errors import WrongValue
from gateway.graph.scalars import parse_time
from gateway.stores.base import Column, Row, Type, Value
from gateway.stores.types import NO_VALUE, value_of

if TYPE_CHECKING:
    from gateway.engine.complete import Building
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.execute import Run
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning

ASSUMED_SIZE = 10


@dataclass(slots=True, eq=False, weakref_slot=True)
class EmbeddedPlace(Place):
    counted_as: tuple[str, str, str] = ("", "", "")  # the store and the collection of the value, and the column and path where it is


@dataclass(frozen=True, slots=True)
class Embedded(Source):
    """The object, or the objects of a list, in the parent's column ``column``, with ``columns``: what is in them, each at its ``path``.

    What is not there is null. A value that is none of its column's type is an error of its field, one that is no object (no list of
    them) an error of the whole field.
    """

    column: str
    columns: tuple[Column, ...]
    assumed_size: int = ASSUMED_SIZE

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.below_rows("embedded()", "it is a column of a row")
        if not is_object_type(field.named):
            yield field.problem("an object or a list of objects", field.shape)
        if not self.columns:
            yield field.problem("the columns of what is embedded", "none")
        names = [column.name for column in self.columns]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            yield field.problem("columns of different names", f"{', '.join(repeated)} twice")
        if field.rows.is_root:
            return
        yield from field.of_column(self.column, "a column of type JSON")
        column = field.column(self.column)
        if column is None:
            return
        if column.type is not Type.JSON:
            yield field.problem("a column of type JSON", f"{self.column!r} of type {column.type.upper()}")
        if column.nullable and field.is_required:
            yield field.problem(f"a type that may be null, as the column {self.column!r} may", field.shape)

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        yield field.named, Rows(f"what is embedded in {self.column}", {column.name: column for column in self.columns}, key="")

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        declared = {column.name: column for column in self.columns}
        layout = Layout(list(declared), of=".".join((*view.place.path, asked.key)))
        slot = view.place.layout.need(self.column)
        place = planning.place_of(EmbeddedPlace, view, asked, self, slot=slot, layout=layout, declared=declared)
        place.counted_as = self._counted_as(view)
        planning.objects(place, asked)
        return RowChild(*asked.common, place, place.slot)

    def _counted_as(self, view: View) -> tuple[str, str, str]:
        """Return under which names wrong values of it are counted; rows of no collection have their type's."""
        above = view.place
        if isinstance(above, EmbeddedPlace):
            store, collection, column = above.counted_as
            return store, collection, f"{column}.{above.declared[self.column].path}"
        home = above.collection
        return ("", view.type_name, self.column) if home is None else (home.store, home.name, self.column)

    def keys_at_root(self, bound: Bound) -> Any:
        return KEPT

    def size(self, place: Place, bounds: Sequence[Bound], page_default: int) -> int:
        return self.assumed_size if place.lists else 1

    def is_unsized(self, place: Place) -> bool:
        return place.lists

    def steps(self, place: EmbeddedPlace, run: Run) -> Steps:  # type: ignore[override]
        rows = run.rows_above(place)
        reading = _Reading(self, place, run)
        read = reading.objects if place.lists else reading.object
        return taken(place, run, {id(row): read(row[place.slot]) for row in rows})
        yield  # a generator, as all steps are

    def keys_in(self, place: Place, rows: Sequence[Row]) -> Iterable[Any]:
        return map(id, rows)

    def parts(self, result: Result) -> Iterable[tuple[Any, Sequence[Row]]]:
        return parts_of_values(result)

    def out(self, place: Place, building: Building) -> Any:
        return out_of_values(place, building)

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "embedded", column=self.column)


class _Reading:
    """One reading of a place's values: one error stands for all values of a column that are wrong in the same way."""

    def __init__(self, source: Embedded, place: EmbeddedPlace, run: Run) -> None:
        self._where = f"{'.'.join(place.path)}: {source.column}"
        self._columns = [(column, column.path.split("."), column.item) for column in source.columns]
        self._counted_as = place.counted_as
        self._complete = place.completes
        self._run = run
        self._errors: dict[tuple[str, str], WrongValue] = {}

    def objects(self, value: Any) -> Any:
        if value is None or isinstance(value, Exception):
            return value
        if not isinstance(value, list):
            return self._wrong("", "a list of objects", value)
        return [self.object(item) for item in value]

    def object(self, value: Any) -> Any:
        if value is None or isinstance(value, Exception):
            return value
        if not isinstance(value, Mapping):
            return self._wrong("", "an object", value)
        row = tuple([self._value(column, item, _at(value, path)) for column, path, item in self._columns])
        return row if self._complete is None else self._complete(row)

    def _value(self, column: Column, item: Column, value: Any) -> Any:
        if value is None:
            return None
        if not column.many:
            found = _read(item, value)
        elif isinstance(value, list):
            found = [_read(item, one) for one in value]
            found = NO_VALUE if NO_VALUE in found else found
        else:
            found = NO_VALUE
        return self._wrong(f".{column.path}", column.type.upper(), value) if found is NO_VALUE else found

    def _wrong(self, at: str, expected: str, value: Any) -> WrongValue:
        store, collection, column = self._counted_as
        self._run.ctx.stores.wrong_values[store, collection, column + at] += 1
        kind = type(value).__name__
        error = self._errors.get((at, kind))
        if error is None:
            error = self._errors[at, kind] = WrongValue(self._where + at, expected=expected, found=f"a value of type {kind}")
            self._run.ctx.found_wrong(error)
        self._run.something_failed()
        return error


def _at(value: Any, path: Sequence[str]) -> Any:
    """Return what is at a path of names; None where there is nothing."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _read(column: Column, value: Any) -> Value:
    """Return the wire value of what JSON has in place of it: numbers for DECIMALs, times of any offset."""
    match column.type:
        case Type.JSON:
            return value
        case Type.DECIMAL if type(value) in (int, float):
            return value_of(column, repr(value))
        case Type.INT if type(value) is float and value.is_integer():
            return value_of(column, int(value))
        case Type.TIME if isinstance(value, str):
            found = value_of(column, value)
            return found if found is not NO_VALUE else value_of(column, _with_zone(value))
        case Type.BOOL | Type.INT | Type.FLOAT if isinstance(value, str):
            return NO_VALUE
    return value_of(column, value)


def _with_zone(text: str) -> str:
    """Return a time in UTC; one without a zone is taken to be."""
    for given in (text, f"{text}Z", f"{text.replace(' ', 'T')}Z"):
        try:
            return parse_time(given)
        except ValueError:
            continue
    return text
