"""Connections whose rows are edges: each edge once, with fields of its own, in an order and by filters of the edges' columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from graphql import get_named_type, get_nullable_type, is_list_type, is_object_type

from gateway.engine.declared import Problem
from gateway.engine.plan import FieldPlan, Place, View
from gateway.engine.results import Failed, Result
from gateway.engine.sources.connection import (
    BoundPage,
    Connected,
    ManyThrough,
    cursor_writer,
    rows_of_groups,
)
from gateway.engine.sources.edges import reached
from gateway.engine.sources.key import ByKey, Failing, rows_of
from gateway.engine.sources.parts import CURSOR, PARTS, TYPENAME, ConnectionPlace, Part, PartField
from gateway.engine.sources.source import Asked, Steps, source_in
from gateway.stores.base import Ability, Collection, Fetch, Match, Page, Row, Slice

if TYPE_CHECKING:
    from gateway.engine.complete import Building
    from gateway.engine.declared import Declared, Rows
    from gateway.engine.execute import Run
    from gateway.engine.planner import Planning

_OF_EDGES = ("node", "cursor")


@dataclass(frozen=True, slots=True)
class ManyEdges(ManyThrough):
    """A connection of the edges of each parent, and the nodes at their ends. Filters, orders and cursors are of the edge collection.

    An edge whose node is not there is none of a page; ``totalCount`` counts it all the same.
    """

    @property
    def home(self) -> Collection:
        return self.through.edges

    # ------------------------------------------------------------------------------------------------------------ check

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.of_collection(self.collection)
        yield from field.of_arguments(self.through.edges, ("where", "order_by"))
        if not is_object_type(field.named) or field.is_list:
            yield field.problem("a connection", field.shape)
            return
        yield from self._check_parts(field, field.named)
        yield from self._check_match(field)

    def _check_parts(self, field: Declared, type_: Any) -> Iterator[Problem]:
        for name, definition in type_.fields.items():
            source, where = source_in(definition), f"{type_.name}.{name}"
            named = get_named_type(definition.type)
            if not isinstance(source, Part) or source.name not in PARTS:
                yield Problem(where, f"a part of a connection ({', '.join(PARTS)})", "another field")
            elif source.name in _OF_EDGES:
                yield Problem(where, "a part of a connection that is none of an edge", source.name)
            elif source.name == "nodes":
                yield from field.of_node_type(named, self.collection)
            elif source.name == "edges" and not (is_object_type(named) and is_list_type(get_nullable_type(definition.type))):
                yield Problem(where, "a list of edges", str(definition.type))
            elif source.name == "edges":
                yield from self._check_edge(field, named)
            elif is_object_type(named):
                yield from self._check_parts(field, named)

    def _check_edge(self, field: Declared, type_: Any) -> Iterator[Problem]:
        for name, definition in type_.fields.items():
            source = source_in(definition)
            if not isinstance(source, Part):
                continue  # a field of its own, which is checked as those of any row are
            if source.name not in _OF_EDGES:
                yield Problem(f"{type_.name}.{name}", f"a part of an edge ({', '.join(_OF_EDGES)})", repr(source.name))
            elif source.name == "node":
                if is_list_type(get_nullable_type(definition.type)):
                    yield Problem(f"{type_.name}.{name}", "an object", str(definition.type))
                yield from field.of_node_type(get_named_type(definition.type), self.collection)

    def demands(self, field: Declared) -> Iterable[tuple[Collection, frozenset[Ability]]]:
        for collection, needs in super(ManyThrough, self).demands(field):
            yield (self.through.edges if collection is self.collection else collection), needs

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        for definition in _parts(field.named, "nodes"):
            yield get_named_type(definition.type), rows_of(self.collection)
        for definition in _parts(field.named, "edges"):
            edge = get_named_type(definition.type)
            yield edge, rows_of(self.through.edges)
            for node in _parts(edge, "node"):
                yield get_named_type(node.type), rows_of(self.collection)

    # ------------------------------------------------------------------------------------------------------------- plan

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        through = self.through
        by, there = self._keys_of(view)
        place = planning.place_of(ConnectionPlace, view, asked, self, by=by, there=there, declared=through.edges.declared)
        planning.arguments(place, asked)
        slot = planning.key_slot(place, through.node, self.collection.columns_of(self.collection.key_name))
        place.ends = self._ends(planning, place, asked, slot)
        place.parts = self._parts(planning, place, planning.collect(place, asked), asked)
        return Connected(*asked.common, place, place.slot)

    def _ends(self, planning: Planning, place: ConnectionPlace, asked: Asked, slot: int) -> Place:
        """Return the place of the nodes, whose rows come with those of the edges."""
        connection = get_named_type(asked.definition.type)
        edges = next(iter(_parts(connection, "edges")), None)
        node = [*(() if edges is None else _parts(get_named_type(edges.type), "node")), *_parts(connection, "nodes")]
        at = replace(asked, key="node", definition=node[0]) if node else replace(asked, key="node")
        return planning.place(place.anchor(), at, Ends(self.collection), slot=slot, declared=self.collection.declared)

    def _parts(self, planning: Planning, place: ConnectionPlace, found: Iterable[Asked], above: Asked) -> list[PartField]:
        made: list[PartField] = []
        assert place.ends is not None
        for asked in found:
            source = planning.source_of(asked)
            if asked.name == "__typename":
                made.append(PartField(*asked.common, TYPENAME, value=asked.parent_type))
                continue
            if not isinstance(source, Part):
                raise LookupError(f"{asked.parent_type}.{asked.name}: expected a part of a connection, got {type(source).__name__}")
            part = PartField(*asked.common, PARTS[source.name])
            named = get_named_type(asked.definition.type)
            if source.name == "nodes":
                part.view = planning.view(place.ends, planning.type_of_rows(place.ends, named), asked)
            elif source.name == "edges":
                part.view = planning.view(place, planning.type_of_rows(place, named), asked)
            elif is_object_type(named):
                part.parts = self._parts(planning, place, planning.collect(place, asked), asked)
            place.counts |= source.name == "total_count"
            place.has_rows |= source.name != "total_count"
            place.has_cursors |= part.part.has_cursor
            place.has_flags |= source.name in ("has_next_page", "has_previous_page")
            made.append(part)
        return made

    # ---------------------------------------------------------------------------------------------------------- execute

    def steps(self, place: ConnectionPlace, run: Run) -> Steps:  # type: ignore[override]
        keys, ends = run.keys(place), place.ends
        if not keys:
            return Result()
        assert ends is not None
        bound: BoundPage = run.bound(place)
        match, page = Match(self.through.parent, keys), bound.page if place.has_rows else Page(0)
        fetch = Fetch(self.through.edges, place.asked(bound.order), match, bound.where, bound.order, page, place.counts)
        if not place.has_rows:
            return Result(groups=(yield fetch))
        complete = place.completes
        node_of = itemgetter(ends.slot)
        found = yield from reached(
            run,
            fetch,
            node_of if complete is None else lambda row: node_of(complete(row)),
            self.collection,
            ends.layout.asked,
            is_exact=place.has_flags,
        )
        groups = found.pages
        if complete is not None:
            groups = {parent: part._replace(rows=list(map(complete, part.rows))) for parent, part in groups.items()}
        if CURSOR in place.layout.columns:
            groups = _with_cursors(place, run, bound, groups)
        rows = rows_of_groups(groups)
        run.put(ends, Result(error=found.error) if found.error is not None else _nodes(ends, rows, found.there))
        return Result(rows=rows, groups=groups)

    # ------------------------------------------------------------------------------------------------------------ build

    def _objects(self, place: ConnectionPlace, building: Building, result: Result) -> list[Any]:
        ends = place.ends
        assert ends is not None
        keys = [row[ends.slot] for row in result.rows]
        error = building.results[ends.index].error
        failed = None if error is None else Failed(error)
        nodes = [failed if failed is not None else [found[key] for key in keys] for found in building.outs[ends.index]]
        return [*(building.objects(view, result.rows) for view in place.views), *nodes]

    def _without_rows(self, place: ConnectionPlace, result: Result, error: Exception, bound: BoundPage, building: Building) -> Any:
        return super(ManyThrough, self)._without_rows(place, result, error, bound, building)

    def explain(self, place: ConnectionPlace) -> Iterable[tuple[int, dict[str, Any]]]:  # type: ignore[override]
        yield place.level - 1, {**self._line(place, self.through.parent), "kind": "many edges"}


@dataclass(frozen=True, slots=True)
class Ends(ByKey):
    """The nodes at the ends of edges, by key. Who reads the edges reads them, too."""

    rounds: ClassVar[int] = 0

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        raise LookupError("the nodes at the ends of edges are planned with these")

    def out(self, place: Place, building: Building) -> Any:
        """Return the objects of each view, by key."""
        result = building.results[place.index]
        if result.error is not None:
            return [Failing(result.error) for _ in place.views]
        return [dict(zip(result.keys, building.objects(view, result.rows), strict=True)) for view in place.views]

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "nodes", by=self.column)


def _nodes(ends: Place, edges: Sequence[Row], found: Any) -> Result:
    """Return the rows of the nodes of the pages' edges, each once."""
    keys = list(dict.fromkeys([row[ends.slot] for row in edges]))
    rows = [found[key] for key in keys]
    return Result(rows if ends.completes is None else list(map(ends.completes, rows)), keys)


def _with_cursors(place: ConnectionPlace, run: Run, bound: BoundPage, groups: dict[Any, Slice]) -> dict[Any, Slice]:
    """Return the pages with each row's cursor in its slot, or the error that stands for it."""
    slot = place.cursor_slot()
    write = cursor_writer(place, bound, is_careful=True)

    def with_cursor(row: Row) -> Row:
        cursor = write(row)
        if isinstance(cursor, Failed):
            run.something_failed()
        return (*row[:slot], cursor, *row[slot + 1 :])

    return {parent: part._replace(rows=list(map(with_cursor, part.rows))) for parent, part in groups.items()}


def _parts(type_: Any, name: str) -> Iterator[Any]:
    """Give the fields of a type that are the part of this name."""
    for definition in getattr(type_, "fields", {}).values():
        source = source_in(definition)
        if isinstance(source, Part) and source.name == name:
            yield definition
