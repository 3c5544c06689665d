"""Objects of rows that a mutation has written: their columns come from the write itself, what is below them from the stores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.engine.declared import Rows
from gateway.engine.plan import FieldPlan, Place
from gateway.engine.results import Result, is_row
from gateway.engine.sources.key import rows_of
from gateway.engine.sources.objects import RowChild, out_of_values, parts_of_values, taken
from gateway.engine.sources.source import KEPT, Asked, Bound, Source, Steps
from gateway.errors import MutationMismatch
from gateway.stores.base import Collection, Row

if TYPE_CHECKING:
    from gateway.engine.complete import Building
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.execute import Run
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning

ASSUMED_SIZE = 10  # of a list that no argument has the length of


class OfWritten(Source):
    """What both have of rows that a function gave: objects of a collection's rows, one or a list of them."""

    __slots__ = ()

    @property
    def name(self) -> str:
        raise NotImplementedError

    def size(self, place: Place, bounds: Sequence[Any], page_default: int) -> int:
        return ASSUMED_SIZE if place.lists else 1

    def is_unsized(self, place: Place) -> bool:
        return place.lists

    def keys_at_root(self, bound: Bound) -> Any:
        return KEPT

    def keys_in(self, place: Place, rows: Sequence[Row]) -> Iterable[Any]:
        return map(id, rows)

    def parts(self, result: Result) -> Iterable[tuple[Any, Sequence[Row]]]:
        return parts_of_values(result)

    def out(self, place: Place, building: Building) -> Any:
        return out_of_values(place, building)

    def row(self, place: Place, collection: Collection, state: Any) -> Any:
        """Return the row of a state: its columns in the order of the place's layout. Nulls and errors are themselves."""
        if not is_row(state):
            return state
        if not isinstance(state, Mapping):
            raise MutationMismatch(self.name, expected=f"rows of {collection.name}, by column", got=type(state).__name__)
        try:
            row = tuple([state[name] for name in place.layout.asked])
        except KeyError as exc:
            given = ", ".join(map(str, state)) or "none"
            expected = f"rows with all columns of {collection.name}, {', '.join(collection.names)}"
            raise MutationMismatch(self.name, expected=expected, got=f"{given} (without {exc.args[0]})") from None
        return row if place.completes is None else place.completes(row)

    def rows(self, place: Place, collection: Collection, given: Any) -> Any:
        """Return the row of a state, or those of a list of them where the field is a list."""
        if not place.lists or not is_row(given):
            return self.row(place, collection, given)
        if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            raise MutationMismatch(self.name, expected=f"a list of rows of {collection.name}", got=type(given).__name__)
        return [self.row(place, collection, state) for state in given]


@dataclass(frozen=True, slots=True)
class Written(OfWritten):
    """The row, or the rows, of ``collection`` that the payload above has under ``name``."""

    collection: Collection
    attribute: str

    @property
    def home(self) -> Collection:
        return self.collection

    @property
    def name(self) -> str:
        return f"the payload's {self.attribute}"

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.of_collection(self.collection)
        yield from field.below_rows("written()", "mutation() gives rows there")
        if field.rows.columns is not None and not field.rows.is_root:
            yield field.problem("a payload above, which a mutation gives", field.rows.of)
        yield from field.of_objects(self.collection, many=field.is_list)

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        yield field.named, rows_of(self.collection)

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        slot = view.place.layout.need(self.attribute)
        place = planning.place(view, asked, self, slot=slot, declared=self.collection.declared)
        planning.objects(place, asked)
        return RowChild(*asked.common, place, place.slot)

    def steps(self, place: Place, run: Run) -> Steps:
        rows = run.rows_above(place)
        return taken(place, run, {id(row): self.rows(place, self.collection, row[place.slot]) for row in rows})
        yield  # a generator, as all steps are

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "written")


class Payload:
    """A mapping as the object of a payload."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the payload has no {name!r}; it has {', '.join(self._values)}") from None


def as_object(value: Any) -> Any:
    return Payload(value) if isinstance(value, Mapping) else value
