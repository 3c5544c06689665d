"""Leaves: a column of the parent's row, and values that a function makes of some columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from graphql import GraphQLLeafType, get_named_type, is_leaf_type, is_non_null_type

from gateway.engine.code import Code, guarded, not_null
from gateway.engine.leaves import careful_serializer, serializer
from gateway.engine.plan import FieldPlan
from gateway.engine.results import Failed
from gateway.engine.sources.source import Asked, Source
from gateway.stores.base import Type

if TYPE_CHECKING:
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning

# Leaves whose wire value is the answer's value: nothing to serialize. A FLOAT may be infinite or not a number, which JSON has not.
_TEXTS = (Type.TIME, Type.DATE, Type.CLOCK, Type.DECIMAL, Type.UUID, Type.OBJECT_ID, Type.BYTES, Type.ENUM)  # whose wire values are texts
_AS_IS = {
    ("String", Type.TEXT),
    ("ID", Type.TEXT),
    ("Boolean", Type.BOOL),
    ("DateTime", Type.TIME),
    ("Date", Type.DATE),
    ("JSON", Type.JSON),
    ("String", Type.TEXTS),
    ("ID", Type.TEXTS),
    ("LocalTime", Type.CLOCK),
    ("Decimal", Type.DECIMAL),
    ("UUID", Type.UUID),
    ("ObjectID", Type.OBJECT_ID),
    ("Base64", Type.BYTES),
    *((name, type_) for name in ("String", "ID") for type_ in _TEXTS),
}
# Numbers whose wire value is the answer's within what GraphQL can say (spec 3.5.1 and 3.5.2).
_AS_IS_IF = {("Int", Type.INT): "-2147483648 <= {v} <= 2147483647", ("Float", Type.FLOAT): "finite({v})"}


# Which columns the specification's own scalars can be made of; others take what they take.
_FITTING = {
    "Int": (Type.INT,),
    "Float": (Type.FLOAT, Type.INT),
    "Boolean": (Type.BOOL,),
    "String": (Type.TEXT, Type.TEXTS, *_TEXTS, Type.INT),
    "ID": (Type.TEXT, Type.TEXTS, Type.INT, *_TEXTS),
    "BigInt": (Type.INT,),
    "Decimal": (Type.DECIMAL, Type.INT),
    "UUID": (Type.UUID,),
    "ObjectID": (Type.OBJECT_ID,),
    "Base64": (Type.BYTES,),
    "LocalTime": (Type.CLOCK,),
    "DateTime": (Type.TIME,),
    "Date": (Type.DATE,),
}


@dataclass(frozen=True, slots=True)
class FromColumn(Source):
    """A leaf: the parent row's column. For a GraphQL ID it is written ``<type>:<key>`` where the column refers to a type, or is the key."""

    column: str

    def check(self, field: Declared) -> Iterator[Problem]:
        if field.rows.is_root:
            yield field.problem("a source or a resolver, as the root has no row", f"the column {self.column!r}")
            return
        if self._is_key(field.rows.columns):
            yield from field.of_key_above()
            return
        yield from field.of_column(self.column)
        column = field.column(self.column)
        if column is None:
            return
        if not is_leaf_type(field.named):
            yield field.problem("a scalar or an enum", f"{field.shape} from the column {self.column!r}")
            return
        if column.nullable and field.is_required:
            yield field.problem(f"a type that may be null, as the column {self.column!r} may", field.shape)
        if (column.many or column.type is not Type.JSON) and field.is_list is not column.many:
            kind = column.type.upper() if column.type is Type.TEXTS or not column.many else f"{column.type.upper()}, many"
            yield field.problem("a list" if column.many else "no list", f"{field.shape} from {self.column!r} of type {kind}")
        elif (fitting := _FITTING.get(field.named.name)) is not None and column.type not in fitting:
            expected = " or ".join(type_.upper() for type_ in fitting)
            yield field.problem(f"a column of type {expected} for {field.named.name}", f"{self.column!r} of type {column.type.upper()}")

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        place = view.place
        leaf: Any = get_named_type(asked.definition.type)
        home = place.collection
        if home is not None and self._is_key(place.declared):
            prefix = None if home.type_name is None else f"{home.type_name}:"
            return Leaf(*asked.common, planning.key_slot(place, home.key_name), leaf, prefix, is_as_is=True)
        declared = place.declared.get(self.column)
        if declared is None:
            return Leaf(*asked.common, place.layout.need(self.column), leaf)
        sort = (leaf.name, declared.type)
        as_is_if = None if declared.many else _AS_IS_IF.get(sort)
        refers = declared.refers
        if refers is None and home is not None and home.key == (self.column,):
            refers = home.type_name
        if refers is None or leaf.name != "ID" or declared.many:
            return Leaf(*asked.common, place.layout.need(self.column), leaf, None, sort in _AS_IS, as_is_if)
        return Leaf(*asked.common, planning.key_slot(place, self.column), leaf, f"{refers}:", is_as_is=True)

    def _is_key(self, columns: Mapping[str, Any] | None) -> bool:
        """Return whether the id is meant of rows that have no column of that name: their key."""
        return self.column == "id" and columns is not None and "id" not in columns


@dataclass(slots=True, eq=False)
class Leaf(FieldPlan):
    slot: int
    leaf: GraphQLLeafType
    prefix: str | None = None  # "User:" before a key
    is_as_is: bool = False  # the wire value is the answer's
    as_is_if: str | None = None  # a test of ``{v}``: what passes needs no serializing

    repeats: ClassVar[bool] = True

    @property
    def text_slot(self) -> int | None:
        return self.slot

    def expression(self, code: Code, number: int) -> str:
        value = f"v{self.slot}"
        if code.is_careful:
            return f"{code.name(f's{number}', self._careful())}({value})"
        if self.prefix is not None:
            text = f"{self.prefix!r} + {value}"
        elif self.is_as_is:
            text = value
        else:
            text = f"{code.name(f's{number}', serializer(self.type, self.leaf))}({value})"
            if self.as_is_if is not None:
                text = f"({value} if {self.as_is_if.format(v=value)} else {text})"
        if is_non_null_type(self.type):
            if self.prefix is None:  # text + None raises by itself
                code.required.append(self.slot)
            return text
        return text if text == value else f"(None if {value} is None else {text})"

    def _careful(self) -> Callable[[Any], Any]:
        if self.prefix is None:
            if self.is_as_is:
                return _itself
            return careful_serializer(self.type, self.leaf, f"{self.parent_type}.{self.name}")
        prefix = self.prefix
        return guarded(lambda value: None if value is None else prefix + _read(value))


@dataclass(frozen=True, slots=True)
class Computed(Source):
    """A leaf: ``function(*values of needs)``, without I/O. Runs once per object."""

    function: Callable[..., Any]
    needs: tuple[str, ...]

    def check(self, field: Declared) -> Iterator[Problem]:
        for name in self.needs:
            yield from field.of_column(name, "a column that is needed")
        if not is_leaf_type(field.named):
            yield field.problem("a scalar or an enum, computed", field.shape)

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        leaf: Any = get_named_type(asked.definition.type)
        return ComputedLeaf(*asked.common, self.function, tuple(map(view.place.layout.need, self.needs)), leaf)


@dataclass(slots=True, eq=False)
class ComputedLeaf(FieldPlan):
    function: Callable[..., Any]
    slots: tuple[int, ...]
    leaf: GraphQLLeafType

    repeats: ClassVar[bool] = True

    def expression(self, code: Code, number: int) -> str:
        values = ", ".join(f"v{slot}" for slot in self.slots)
        if code.is_careful:
            finish, function = careful_serializer(self.type, self.leaf, f"{self.parent_type}.{self.name}"), self.function

            def call(*values: Any) -> Any:
                unread = next((value for value in values if isinstance(value, Exception)), None)
                return finish(function(*values) if unread is None else unread)

            return f"{code.name(f's{number}', guarded(call))}({values})"
        serialize = code.name(f"s{number}", serializer(self.type, self.leaf))
        made = f"{code.name(f'f{number}', self.function)}({values})"
        if is_non_null_type(self.type):
            return f"{serialize}({code.name('not_null', not_null)}({made}))"
        return f"(None if (x := {made}) is None else {serialize}(x))"


def _itself(value: Any) -> Any:
    return Failed(value) if isinstance(value, Exception) else value


def _read(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value
