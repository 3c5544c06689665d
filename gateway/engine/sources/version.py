"""How often a row was written by the gateway: its version, from the gateway's own table in the row's store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.engine.plan import FieldPlan, Place
from gateway.engine.results import Result
from gateway.engine.sources.objects import ValueChild, leaf_of, out_of_values, parts_of_values
from gateway.engine.sources.source import Asked, Source, Steps
from gateway.stores.base import Get, Row, UniqueKeys
from gateway.stores.types import join_key
from gateway.writes.tables import tables_of

if TYPE_CHECKING:
    from gateway.engine.complete import Building
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.execute import Run
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning
    from gateway.stores.base import Collection


@dataclass(frozen=True, slots=True)
class Version(Source):
    """A leaf: the version of the parent's row, which each write counts up; 0 where there was none. One call a level."""

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.below_rows("version()", "it is of one row")
        if field.named.name != "Int" or field.is_list:
            yield field.problem("an Int", field.shape)
        home = _home(field.rows.columns, field.collections)
        if field.rows.is_root:
            return
        if home is None:
            yield field.problem("rows of a collection above, to know their store", field.rows.of)
        elif not home.managed:
            yield field.problem("rows of a managed collection above, as others have no versions", field.rows.of)

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        home = _home(view.place.declared, () if view.place.collection is None else (view.place.collection,))
        assert home is not None, "checked at the start"
        slot = planning.key_slot(view.place, home.key_name)
        place = planning.place_of(VersionPlace, view, asked, self, slot=slot)
        place.of = home
        return ValueChild(*asked.common, place, slot, leaf_of(asked))

    def steps(self, place: VersionPlace, run: Run) -> Steps:  # type: ignore[override]
        keys = run.keys(place)
        if not keys:
            return Result()
        assert place.of is not None
        noun = place.of.name
        versions = tables_of(place.of.store).versions
        asked = {key: join_key((noun, key)) for key in keys}
        found = yield Get(versions, ("version",), UniqueKeys(asked.values()), versions.key_name)
        return Result(values={key: found[its][0] if its in found else 0 for key, its in asked.items()})

    def parts(self, result: Result) -> Iterable[tuple[Any, Sequence[Row]]]:
        return parts_of_values(result)

    def out(self, place: Place, building: Building) -> Any:
        return out_of_values(place, building)

    def explain(self, place: VersionPlace) -> Iterable[tuple[int, dict[str, Any]]]:  # type: ignore[override]
        assert place.of is not None
        versions = tables_of(place.of.store).versions
        yield place.level, self.line(place, "version", of=versions, by=versions.key_name, columns=("version",))


@dataclass(slots=True, eq=False, weakref_slot=True)
class VersionPlace(Place):
    of: Collection | None = None  # whose rows have the versions


def _home(columns: Any, collections: Iterable[Collection]) -> Collection | None:
    """Return the collection whose rows have these very columns."""
    return next((collection for collection in collections if collection.declared is columns), None)
