"""Objects that code of the author's gives: what is selected of them is read from their attributes, and sources may stand below them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar

from graphql import GraphQLError, GraphQLObjectType, get_named_type, is_abstract_type, is_leaf_type, is_object_type

from gateway.engine.code import Code, SecondWalk
from gateway.engine.leaves import careful_serializer, serializer
from gateway.engine.plan import Layout, Place, View
from gateway.engine.results import Failed, Result, is_row
from gateway.engine.sources.key import Child, Failing
from gateway.engine.sources.lists import kept
from gateway.stores.base import Row

if TYPE_CHECKING:
    from gateway.engine.complete import Building
    from gateway.engine.execute import Run
    from gateway.engine.planner import Planning
    from gateway.engine.sources.source import Asked

OBJECT = "#object"  # the column of a row of attributes that has the object itself


@dataclass(slots=True, eq=False, weakref_slot=True)
class ObjectPlace(Place):
    """A place of objects. A row of it is the object, and those of its attributes that somebody needs; ``OBJECT`` is its first column.

    ``types``: the view of each type that an object may be of.
    """

    field: str = ""  # with its type, as it is named in errors
    types: dict[str, View] = dataclasses.field(default_factory=dict)
    needs: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)  # the attributes that are asked of each
    abstract: Any = None  # the field's type where it is none of an object

    def select(self, planning: Planning, asked: Asked) -> None:
        named = get_named_type(asked.definition.type)
        self.field = f"{asked.parent_type}.{asked.name}"
        self.abstract = named if is_abstract_type(named) else None
        assert isinstance(self.layout, ObjectLayout)
        possible: Sequence[GraphQLObjectType] = planning.possible_types(named)
        for type_ in possible:
            self.layout.wanted = set()
            self.types[type_.name] = planning.view(self, type_, asked)
            self.needs[type_.name] = frozenset(self.layout.wanted)

    def row_of(self, value: Any, info: Any) -> Row:
        """Return an object's row. An attribute that cannot be read has its error there, for whom it concerns."""
        names = self.layout.columns[1:]
        if self.abstract is None:
            return (value, *[_attribute(value, name) for name in names])
        needs = self.needs[self._type_of(value, info)]
        return (value, *[_attribute(value, name) if name in needs else None for name in names])

    def _type_of(self, value: Any, info: Any) -> str:
        definition = getattr(value, "__strawberry_definition__", None)
        name: Any = None if definition is None else definition.name
        if name not in self.types and self.abstract.resolve_type is not None:
            name = self.abstract.resolve_type(value, info, self.abstract)
        if name not in self.types:
            expected = ", ".join(self.types)
            raise GraphQLError(
                f"Abstract type '{self.abstract.name}': expected an object of {expected}, got one of {type(value).__name__}."
            )
        return str(name)

    def built(self, building: Building, rows: Sequence[Row], info: Any = None) -> list[Any]:
        """Return the objects of the answer, in the order of rows."""
        if self.abstract is None:
            return building.objects(next(iter(self.types.values())), rows)
        by_type: dict[str, list[int]] = {}
        for position, row in enumerate(rows):
            by_type.setdefault(self._type_of(row[0], info), []).append(position)
        out: list[Any] = [None] * len(rows)
        for name, positions in by_type.items():
            made = building.objects(self.types[name], [rows[position] for position in positions])
            for position, item in zip(positions, made, strict=True):
                out[position] = item
        return out


class ObjectLayout(Layout):
    """The attributes that somebody needs of objects, behind the object itself. ``wanted``: those that were needed since it was emptied."""

    __slots__ = ("wanted",)

    def __init__(self) -> None:
        super().__init__((OBJECT,))
        self.wanted: set[str] = set()

    def need(self, column: str) -> int:
        self.wanted.add(column)
        return super().need(column)


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception as exc:
        return exc


# --------------------------------------------------------------------------------------------------------------- results


def taken(place: Place, run: Run, values: Mapping[Any, Any], info: Any = None) -> Result:
    """Return what code gave for each key: values of leaves, rows, objects, or lists of these; an Exception is that key's or item's."""
    odd = _kinds_besides_values(values.values())
    if any(kind is not NoneType for kind in odd):
        run.something_failed()
    if not place.views:
        return Result(values=values)
    if isinstance(place, ObjectPlace):
        values = _rows_of_objects(place, run, values, info)
        odd = [NoneType]
    found = {key: value for key, value in values.items() if is_row(value)} if odd else values
    if not place.lists:
        return Result(rows=list(found.values()), keys=list(found), values=values)
    run.take(sum(map(len, found.values())))
    rows = [row for part in found.values() for row in part]
    if _kinds_besides_values(rows):
        run.something_failed()
        rows = [row for row in rows if is_row(row)]
    return Result(rows=rows, groups=found, values=values)


def _rows_of_objects(place: ObjectPlace, run: Run, values: Mapping[Any, Any], info: Any) -> Mapping[Any, Any]:
    def row_of(value: Any) -> Any:
        if not is_row(value):
            return value
        try:
            row = place.row_of(value, info)
        except Exception as exc:  # it is of no type that may stand here
            run.something_failed()
            return exc
        if any(isinstance(attribute, Exception) for attribute in row):
            run.something_failed()
        return row

    def rows_of(items: Any) -> Any:
        if not is_row(items):
            return items
        if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
            run.something_failed()
            return GraphQLError(f"Expected Iterable, but did not find one for field '{place.field}'.")
        return [row_of(item) for item in items]

    return {key: (rows_of if place.lists else row_of)(value) for key, value in values.items()}


def out_of_values(place: Place, building: Building) -> Any:
    """Return by key what ``taken`` had: leaves as they are, objects built."""
    result = building.results[place.index]
    if result.error is not None:
        return Failing(result.error)
    values = result.values
    if not place.views:
        return values if building.is_careful else _checked(place, values)
    found: dict[Any, Any]
    found = _lists(place, building) if place.lists else dict(zip(result.keys, _built(place, building, result.rows), strict=True))
    if building.is_careful:
        return {key: found[key] if is_row(value) else _in_place_of(value) for key, value in values.items()}
    if len(found) == len(values):
        return found  # nothing is null
    return _checked(place, {key: found.get(key) for key in values})


def _built(place: Place, building: Building, rows: Sequence[Row]) -> list[Any]:
    if isinstance(place, ObjectPlace):
        return place.built(building, rows)
    return building.objects(place.views[0], rows)


def _lists(place: Place, building: Building) -> dict[Any, Any]:
    groups, rows = kept(place, building.results[place.index], building)
    objects = _built(place, building, rows)
    if not building.is_careful:
        start, out = 0, {}
        for key, part in groups.items():
            end = start + len(part)
            out[key] = objects[start:end]
            start = end
        return out
    each = iter(objects)
    return {key: [next(each) if is_row(row) else _in_place_of(row) for row in part] for key, part in groups.items()}


def _in_place_of(value: Any) -> Failed | None:
    return None if value is None else Failed(value)


def parts_of_values(result: Result) -> Iterable[tuple[Any, Sequence[Row]]]:
    if result.groups:
        return ((key, [row for row in part if is_row(row)]) for key, part in result.groups.items())
    return zip(result.keys, ((row,) for row in result.rows), strict=True)


def _checked(place: Place, values: Mapping[Any, Any]) -> Mapping[Any, Any]:
    if place.is_required and any(value is None for value in values.values()):
        raise SecondWalk
    return values


def _kinds_besides_values(values: Iterable[Any]) -> list[type]:
    """Return the types of the nulls and errors among values."""
    return [kind for kind in set(map(type, values)) if kind is NoneType or issubclass(kind, Exception)]


# ---------------------------------------------------------------------------------------------------------------- fields


@dataclass(slots=True, eq=False)
class ValueChild(Child):
    """A field whose values code gives: leaves are serialized, objects are built."""

    leaf: Any = None  # the type of a value that is none of an object

    def expression(self, code: Code, number: int) -> str:
        found = self.found(code, number)
        if self.leaf is None:
            return found
        if code.is_careful:
            serialize = careful_serializer(self.type, self.leaf, f"{self.parent_type}.{self.name}")
            return f"{code.name(f's{number}', lambda value: value if isinstance(value, Failed) else serialize(value))}({found})"
        return f"(None if (x := {found}) is None else {code.name(f's{number}', serializer(self.type, self.leaf))}(x))"


@dataclass(slots=True, eq=False)
class RowChild(ValueChild):
    """One whose values belong to the parent's rows themselves, not to a key in them."""

    has_nulls: ClassVar[bool] = False

    def found(self, code: Code, number: int) -> str:
        code.needs_row = True
        code.setup.append(f"c{number} = outs[{self.place.index}]")
        return f"c{number}[id(row)]"


def leaf_of(asked: Asked) -> Any:
    """Return the type of a field's leaves; None where it gives objects."""
    named = get_named_type(asked.definition.type)
    return named if is_leaf_type(named) else None


def gives_objects(asked: Asked) -> bool:
    named = get_named_type(asked.definition.type)
    return is_object_type(named) or is_abstract_type(named)
