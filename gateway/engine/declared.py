"""A field as its graph declares it, for the checks at start: what its source may rely on, and the sentences of what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLField, get_named_type, get_nullable_type, is_list_type, is_non_null_type, is_object_type

from gateway.graph.inputs import COLUMN
from gateway.graph.operators import takes_values
from gateway.stores.base import Collection, Column, Type
from gateway.stores.types import joins


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a graph: where, what was expected there, and what was found."""

    where: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class Rows:
    """What the objects of a type have: the columns of rows, or, where code gives the objects, whatever attributes they have.

    ``of`` says whose columns these are; ``key`` is the column by which sources below know a row.
    """

    of: str
    columns: Mapping[str, Column] | None  # None: attributes
    key: str = "id"
    is_root: bool = False
    is_mutation: bool = False


ROOT = Rows("the root", {}, is_root=True)
MUTATIONS = Rows("the root", {}, is_root=True, is_mutation=True)


@dataclass(frozen=True, slots=True)
class Declared:
    """A field of an object type, above whose objects have ``rows``."""

    type_name: str
    name: str
    definition: GraphQLField
    rows: Rows
    collections: Sequence[Collection]
    node_types: Mapping[str, Collection]  # by name of a type: the collection whose key refers to it

    @property
    def where(self) -> str:
        return f"{self.type_name}.{self.name}"

    @property
    def named(self) -> Any:
        return get_named_type(self.definition.type)

    @property
    def shape(self) -> str:
        """The field's type as the SDL writes it."""
        return str(self.definition.type)

    @property
    def is_list(self) -> bool:
        return is_list_type(get_nullable_type(self.definition.type))

    @property
    def is_required(self) -> bool:
        return is_non_null_type(self.definition.type)

    def problem(self, expected: str, got: str) -> Problem:
        return Problem(self.where, expected, got)

    # --------------------------------------------------------------------------------------------- what sources ask of

    def of_collection(self, collection: Collection) -> Iterator[Problem]:
        """Give what is wrong with a collection that a source names: it is left out of the graph."""
        if not any(known is collection for known in self.collections):
            names = ", ".join(known.name for known in self.collections)
            yield self.problem(f"one of the graph's collections ({names})", f"{collection.name}, which the graph leaves out")

    def of_single_key(self, collection: Collection) -> Iterator[Problem]:
        if len(collection.key) != 1:
            key = ", ".join(collection.key)
            yield self.problem(
                "a collection with a key of one column", f"{collection.name} with the key ({key}), of which this would be a part"
            )

    def of_column(self, name: str, what: str = "a column") -> Iterator[Problem]:
        """Give what is wrong with a column of the rows above."""
        columns = self.rows.columns
        if columns is not None and name not in columns:
            yield self.problem(f"{what} of {self.rows.of} ({', '.join(columns) or 'none'})", repr(name))

    def of_columns_in(self, collection: Collection, names: str, what: str) -> Iterator[Problem]:
        for name in names.split(","):
            yield from self.of_column_in(collection, name, what)

    def of_unique(self, collection: Collection, names: str, where: str = "") -> Iterator[Problem]:
        """Give what is wrong with the column, or columns, by which one row is asked."""
        unknown = [problem for name in names.split(",") for problem in self.of_column_in(collection, name, "a unique column")]
        yield from unknown
        columns = tuple(names.split(","))
        unique = {collection.key, *(index.columns for index in collection.indexes if index.unique)}
        if not unknown and columns not in unique:
            got = f"{names!r}{where}, which is neither the key nor has a unique index"
            yield self.problem(f"a unique column of {collection.name}", got)

    def of_join(self, here: str, collection: Collection, there: str) -> Iterator[Problem]:
        """Give what is wrong with the columns of the rows above whose keys are looked for in others of a collection."""
        above = self.rows.columns
        names, others = here.split(","), there.split(",")
        if above is None or any(name not in above for name in names) or any(name not in collection.declared for name in others):
            return  # of which there is another problem
        yield from self._of_keys([above[name] for name in names], self.rows.of, collection, others)

    def of_keys(self, edges: Collection, here: str, collection: Collection, there: str) -> Iterator[Problem]:
        """Give the same of columns of edges."""
        names, others = here.split(","), there.split(",")
        if all(name in edges.declared for name in names) and all(name in collection.declared for name in others):
            yield from self._of_keys([edges[name] for name in names], edges.name, collection, others)

    def _of_keys(self, here: Sequence[Column], of: str, collection: Collection, others: Sequence[str]) -> Iterator[Problem]:
        if len(here) != len(others):
            expected = f"as many columns as they are compared with, {len(others)} ({', '.join(others)} of {collection.name})"
            yield self.problem(expected, f"{len(here)} ({', '.join(column.name for column in here)} of {of})")
            return
        for column, name in zip(here, others, strict=True):
            other = collection[name]
            if not joins(column, other):
                expected = f"a column whose values can be those of {name!r} of {collection.name}, of type {other.type.upper()}"
                yield self.problem(expected, f"{column.name!r} of type {column.type.upper()} of {of}")

    def of_column_in(self, collection: Collection, name: str, what: str = "a column") -> Iterator[Problem]:
        if name not in collection.declared:
            yield self.problem(f"{what} of {collection.name} ({', '.join(collection.names)})", repr(name))

    def column(self, name: str) -> Column | None:
        return (self.rows.columns or {}).get(name)

    def at_root(self, source: str) -> Iterator[Problem]:
        if not self.rows.is_root:
            yield self.problem("a field of the root", f"{source} below {self.rows.of}")

    def below_rows(self, source: str, instead: str) -> Iterator[Problem]:
        if self.rows.is_root:
            yield self.problem(f"a parent whose row has the key ({instead})", f"{source} at the root")

    def of_key_above(self, to: str | None = None) -> Iterator[Problem]:
        """Give what is wrong with the rows above, where a source knows them by their key, or by the columns ``to``."""
        columns = self.rows.columns
        key = to or self.rows.key
        if columns is not None and any(name not in columns for name in key.split(",")) and not self.rows.is_root:
            yield self.problem(f"rows above with a key, {key!r}", f"{self.rows.of} with {', '.join(columns) or 'no columns'}")

    def of_objects(self, collection: Collection | None, *, many: bool) -> Iterator[Problem]:
        """Give what is wrong with the field's type, where its objects are rows of a collection, one or a list of them."""
        if is_object_type(self.named) or hasattr(self.named, "resolve_type"):
            inner = get_nullable_type(self.definition.type)
            depth = 0
            while is_list_type(inner):
                depth, inner = depth + 1, get_nullable_type(inner.of_type)
            if depth != (1 if many else 0):
                yield self.problem("a list of objects" if many else "an object", self.shape)
            if collection is not None:
                yield from self.of_node_type(self.named, collection)
        else:
            yield self.problem("a list of objects" if many else "an object", self.shape)

    def of_node_type(self, type_: Any, collection: Collection) -> Iterator[Problem]:
        """Give what is wrong with a type, where its objects are rows of a collection whose key names the type that they are."""
        names = [name for name, its in self.node_types.items() if its is collection]
        if not is_object_type(type_):
            if not names:
                yield self.problem(
                    f"a collection whose key refers to a type of {type_.name}", f"{collection.name}, whose key refers to none"
                )
            return
        other = self.node_types.get(type_.name)
        if names and type_.name not in names and other is not None:
            yield self.problem(f"the type of {collection.name}, {names[0]}", type_.name)

    def of_key_column(self, by: str, collection: Collection, there: str) -> Iterator[Problem]:
        """Give what is wrong with the column, or columns, that have what is in the columns ``there`` of another collection."""
        for name in by.split(","):
            yield from self.of_column(name, "a column with the key")
        yield from self.of_join(by, collection, there)
        column = self.column(by)
        key = collection.declared.get(there)
        if column is not None and key is not None and column.refers and key.refers and column.refers != key.refers:
            yield self.problem(
                f"a column that refers to {key.refers}, as the key of {collection.name} does", f"{by!r}, which refers to {column.refers}"
            )

    def argument(self, python_name: str) -> Any:
        """Return the argument that the author, or a field function, gave this name; None where there is none."""
        return next((its for name, its in self.definition.args.items() if (python_name_of(its) or name) == python_name), None)

    def of_arguments(self, collection: Collection, kinds: Iterable[str]) -> Iterator[Problem]:
        """Give what is wrong with the filter and the order that a source takes."""
        for kind in kinds:
            argument = self.argument(kind)
            if argument is None:
                continue
            named: Any = get_named_type(argument.type)
            yield from _of_filter(self, named, collection) if kind == "where" else _of_order(self, named, collection)


def _of_filter(field: Declared, named: Any, collection: Collection) -> Iterator[Problem]:
    for name, its in named.fields.items():
        if name in ("and", "or", "not"):
            continue
        python_name = python_name_of(its) or name
        column = collection.declared.get(python_name)
        where = f"{field.where}({name} of {named.name})"
        if column is None:
            yield Problem(where, f"a column of {collection.name} ({', '.join(collection.names)})", repr(python_name))
        elif (wrong := filter_problem(get_named_type(its.type), column)) is not None:
            yield Problem(where, wrong, get_named_type(its.type).name)


def _of_order(field: Declared, named: Any, collection: Collection) -> Iterator[Problem]:
    by = named.fields.get("field")
    enum: Any = None if by is None else get_named_type(by.type)
    if enum is None or not hasattr(enum, "values") or "direction" not in named.fields:
        yield field.problem("an order with the fields field, an enum of columns, and direction", named.name)
        return
    for value_name, value in enum.values.items():
        raw = getattr(value.value, "value", value.value)
        where = f"{field.where}({value_name} of {enum.name})"
        column = collection.declared.get(raw) if isinstance(raw, str) else None
        if column is None:
            yield Problem(where, f"a column of {collection.name} ({', '.join(collection.names)})", repr(raw))
        elif column.many or column.type is Type.JSON:
            yield Problem(where, "a column that can be ordered by", f"{raw!r} of type {column.type.value.upper()}")


def python_name_of(its: Any) -> str | None:
    """Return the name that the author gave an input's field."""
    strawberry_field = its.extensions.get("strawberry-definition")
    if strawberry_field is None:
        return None
    return str(getattr(strawberry_field, "metadata", {}).get(COLUMN, strawberry_field.python_name))


# Which scalars the conditions of a filter may have, by the type of the column. Enums and scalars of the graph's own may be of any.
_OPERANDS: Mapping[Type, frozenset[str]] = {
    Type.TEXT: frozenset({"String", "ID"}),
    Type.INT: frozenset({"Int", "BigInt", "Float", "ID"}),
    Type.FLOAT: frozenset({"Float", "Int"}),
    Type.BOOL: frozenset({"Boolean"}),
    Type.DECIMAL: frozenset({"Decimal", "Int", "Float"}),
    Type.TIME: frozenset({"DateTime"}),
    Type.DATE: frozenset({"Date"}),
    Type.CLOCK: frozenset({"LocalTime"}),
    Type.UUID: frozenset({"UUID", "ID", "String"}),
    Type.OBJECT_ID: frozenset({"ObjectID", "ID", "String"}),
    Type.BYTES: frozenset({"Base64"}),
    Type.ENUM: frozenset({"String"}),
}
_KNOWN = frozenset().union(*_OPERANDS.values())
_OPERATORS = {"eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "startsWith", "isNull", "containsAny", "isEmpty"}


def filter_problem(type_: Any, column: Column) -> str | None:
    """Return what was expected of a filter on a column; None where it fits."""
    base = Type.TEXT if column.type is Type.TEXTS else column.type
    kind = column.type.upper() if column.type is Type.TEXTS or not column.many else f"a list of {column.type.upper()}"
    wanted = frozenset({"ID", "String"}) if column.refers is not None else _OPERANDS.get(base, frozenset())
    conditions = getattr(type_, "fields", None)
    if conditions is None:  # the value itself, as eq
        if not takes_values(column):
            return f"a filter with isNull, as {kind} does not compare"
        return f"a filter on {kind}" if type_.name in _KNOWN and type_.name not in wanted else None
    for name, its in conditions.items():
        operand = get_named_type(its.type).name
        if name not in _OPERATORS:
            return f"the conditions {', '.join(sorted(_OPERATORS))}"
        if name in ("isNull", "isEmpty"):
            continue
        if column.type is Type.JSON:
            return f"a filter with isNull alone, as {kind} does not compare"
        if column.many and name not in ("contains", "containsAny"):
            return f"a filter with contains, containsAny, isEmpty and isNull alone, as {kind} does not compare"
        if not column.many and name in ("contains", "startsWith") and column.type is not Type.TEXT:
            return f"a filter on {kind}, which has no {name}"
        if operand in _KNOWN and operand not in wanted:
            return f"a filter on {kind}"
    return None
