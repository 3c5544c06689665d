"""``node(id)`` and ``nodes(ids)``: objects of any type by their ids. A place per type; which one is asked follows from the ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import get_named_type, is_abstract_type, is_list_type, is_non_null_type

from gateway.engine.code import Code, not_null
from gateway.engine.plan import FieldPlan, Place
from gateway.engine.results import Result
from gateway.engine.sources.key import ByKey, Failing, rows_by_key, rows_of
from gateway.engine.sources.source import KEPT, Asked, Bound, Source, Steps
from gateway.errors import BadUserInput
from gateway.stores.base import Get, Key, Row, UniqueKeys
from gateway.stores.types import canonical_key

if TYPE_CHECKING:
    from gateway.engine.declared import Declared, Problem, Rows
    from gateway.engine.execute import Run
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning
    from gateway.engine.values import Binder


@dataclass(frozen=True, slots=True)
class NodeById(Source):
    """At the root: the object of an id of any type that is a Node."""

    @property
    def has_size(self) -> bool:
        return True

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.at_root("node()")
        if not is_abstract_type(field.named):
            yield field.problem("an interface or a union", field.shape)
        if field.is_list is not isinstance(self, NodesByIds):
            yield field.problem("a list" if isinstance(self, NodesByIds) else "no list", field.shape)

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        return ((name, rows_of(collection)) for name, collection in field.node_types.items())

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        """A place for the argument, which has no rows, and one for each type that the ids may be of."""
        named: Any = get_named_type(asked.definition.type)
        assert is_abstract_type(named)
        ids = planning.place(view, asked, self, by=None)
        planning.arguments(ids, asked)
        places: dict[str, Place] = {}
        for type_, collection in planning.nodes_of(named):
            place = planning.place(
                view,
                asked,
                OfType(collection, type_.name, ids.index),
                slot=ids.slot,
                layout=planning.layout_by_key(view, collection),
                declared=collection.declared,
            )
            planning.view(place, type_, asked)
            place.layout.need(collection.key[0])  # a row needs a column
            places[type_.name] = place
        return NodeChild(*asked.common, places, ids.slot)

    def bind(self, binder: Binder, arguments: Mapping[str, Any]) -> Bound:
        return Bound(binder.global_id("id", arguments["id"]))

    def steps(self, place: Place, run: Run) -> Steps:
        return Result()
        yield

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        return ()


@dataclass(frozen=True, slots=True)
class NodesByIds(NodeById):
    """At the root: as NodeById, a list in the order of the ids; at most as many as the setting nodes_max."""

    def bind(self, binder: Binder, arguments: Mapping[str, Any]) -> Bound:
        ids = arguments["ids"]
        limit = binder.limits.nodes_max
        if len(ids) > limit:
            raise BadUserInput(f"ids: expected at most {limit} ids (setting nodes_max), got {len(ids)}", argument="ids")
        return Bound(tuple(binder.global_id("ids", item) for item in ids))


@dataclass(frozen=True, slots=True)
class OfType(ByKey):
    """Those of the ids that are of one type. Rows are known by the whole id."""

    type_name: str
    ids: int  # the index of the place that has them

    @property
    def has_size(self) -> bool:
        return True

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        raise TypeError("made by NodeById")

    def _ids(self, bounds: Sequence[Bound]) -> list[str]:
        ids = bounds[self.ids].key
        prefix = f"{self.type_name}:"
        return [text for text in ((ids,) if isinstance(ids, str) else ids) if text.startswith(prefix)]

    def size(self, place: Place, bounds: Sequence[Bound], page_default: int) -> int:
        return len(self._ids(bounds))

    def keys_at_root(self, bound: Bound) -> Any:
        return KEPT

    def steps(self, place: Place, run: Run) -> Steps:
        prefix = f"{self.type_name}:"
        given: dict[Key, list[str]] = {}  # the ids that are one key, however they are written
        for text in dict.fromkeys(self._ids(run.state.bounds)):
            key = canonical_key(self.collection.columns_of(self.column), text.removeprefix(prefix))
            if key is not None:
                given.setdefault(key, []).append(text)
        keys = UniqueKeys(given)
        if not keys:
            return Result()
        found: Mapping[Key, Row] = yield Get(self.collection, place.layout.asked, keys, self.column)
        result = rows_by_key(place, keys, found)
        told = [(text, row) for key, row in zip(result.keys, result.rows, strict=True) for text in given[key]]
        return Result(rows=[row for _, row in told], keys=[text for text, _ in told])

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "one", by=self.column)


@dataclass(slots=True, eq=False)
class NodeChild(FieldPlan):
    places: Mapping[str, Place]
    slot: int

    def expression(self, code: Code, number: int) -> str:
        if code.is_careful:
            code.setup.append(f"p{number} = {{name: outs[i] for name, i in {[(n, p.index) for n, p in self.places.items()]}}}")
            find = code.name("failing_node_of", _failing_node_of)
        else:
            code.setup.append(f"p{number} = [outs[i] for i in {[place.index for place in self.places.values()]}]")
            bare: Any = self.type.of_type if is_non_null_type(self.type) else self.type
            required = is_non_null_type(bare.of_type if is_list_type(bare) else self.type)
            find = code.name("sure_node_of", _sure_node_of) if required else code.name("node_of", _node_of)
        if is_list_type(self.type.of_type if is_non_null_type(self.type) else self.type):
            return f"[{find}(t, p{number}) for t in v{self.slot}]"
        return f"{find}(v{self.slot}, p{number})"


def _node_of(text: str, found: Sequence[Mapping[str, Any]]) -> Any:
    return next((objects[text] for objects in found if text in objects), None)


def _sure_node_of(text: str, found: Sequence[Mapping[str, Any]]) -> Any:
    return not_null(_node_of(text, found))


def _failing_node_of(text: str, found: Mapping[str, Any]) -> Any:
    objects = found.get(text.partition(":")[0])
    return objects.failed if isinstance(objects, Failing) else None if objects is None else objects.get(text)
