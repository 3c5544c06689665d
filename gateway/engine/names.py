"""What clients call the arguments of a field and the fields of a filter, and what they are here. Read once, from the built schema.

GraphQL names are made by Strawberry from Python's; nothing here makes one from the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLSchema,
    get_named_type,
    is_input_object_type,
    is_interface_type,
    is_leaf_type,
    is_non_null_type,
    is_object_type,
)

from gateway.engine.sources.source import Source, source_in
from gateway.errors import ConfigError
from gateway.graph.inputs import COLUMN, COMBINING
from gateway.graph.operators import comparison, takes_values
from gateway.stores.base import Collection, Column

_DEFINITION = "strawberry-definition"


@dataclass(frozen=True, slots=True, eq=False)
class FilterField:
    """A field of a filter: its column, and its comparisons by the names that clients know. None: its value is compared as it is."""

    column: Column
    operators: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """A filter input over one collection, by the names that clients know; ``parts`` are what ``and``, ``or`` and ``not`` are of."""

    fields: dict[str, FilterField] = field(default_factory=dict)
    parts: dict[str, Filter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Arguments:
    """The arguments of a field: Python's names by the clients', the clients' by Python's, and their types by the clients' names."""

    python: Mapping[str, str]
    told: Mapping[str, str]
    types: Mapping[str, GraphQLInputType]
    field: str  # with its type
    where: Filter | None = None
    order: Mapping[str, str] = dataclasses.field(default_factory=dict)  # the fields of an order, by Python's names

    def given(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by Python's names."""
        python = self.python
        return {python[name]: value for name, value in arguments.items()}


class Names:
    """The arguments of every field of a schema that declares a source.

    ConfigError for a filter or an order that asks for a column, or a comparison, that there is not.
    """

    def __init__(self, schema: GraphQLSchema) -> None:
        self._by_source: dict[int, tuple[Source, Arguments]] = {}  # by identity: two fields may have equal sources, and other filters
        self._filters: dict[tuple[str, Collection], Filter] = {}
        for type_ in schema.type_map.values():
            if not (is_object_type(type_) or is_interface_type(type_)):
                continue
            for name, definition in type_.fields.items():
                source = source_in(definition)
                if source is not None:
                    self._by_source[id(source)] = source, self._arguments(f"{type_.name}.{name}", source, definition)

    def of(self, source: Source) -> Arguments:
        """Return the arguments of the field that has this very source."""
        return self._by_source[id(source)][1]

    def _arguments(self, at: str, source: Source, definition: GraphQLField) -> Arguments:
        python = _names(definition.args)
        told = {here: name for name, here in python.items()}
        types = {name: its.type for name, its in definition.args.items()}
        collection = source.home
        if not source.filters or collection is None:
            return Arguments(python, told, types, at)
        where = get_named_type(definition.args[told["where"]].type)
        if not is_input_object_type(where):
            raise ConfigError(f"graph: {at}: expected an input for {told['where']}, got {where}")
        found = self._filter(f"{at}({told['where']}:)", where, collection)
        if not source.orders:
            return Arguments(python, told, types, at, found)
        return Arguments(
            python, told, types, at, found, _order(f"{at}({told['order_by']}:)", definition.args[told["order_by"]], collection)
        )

    def _filter(self, at: str, type_: GraphQLInputObjectType, collection: Collection) -> Filter:
        found = self._filters.get((type_.name, collection))
        if found is not None:
            return found
        made = self._filters[type_.name, collection] = Filter()
        for name, definition in type_.fields.items():
            named = get_named_type(definition.type)
            if name in COMBINING:
                if not is_input_object_type(named):
                    raise ConfigError(f"graph: {at}: {type_.name}.{name}: expected a filter, got {named}")
                made.parts[name] = self._filter(at, named, collection)
                continue
            try:
                made.fields[name] = _field(definition, collection)
            except (LookupError, ValueError) as exc:
                raise ConfigError(f"graph: {at}: {type_.name}.{name}: {exc}") from None
        return made


def _field(definition: Any, collection: Collection) -> FilterField:
    """Return a field of a filter; LookupError for a column, ValueError for a comparison that there is not."""
    declared = definition.extensions.get(_DEFINITION)
    name = declared.metadata.get(COLUMN, declared.python_name)
    if name not in collection.names:
        others = ", ".join((*COMBINING, *collection.names))
        raise LookupError(f"expected {others} of collection {collection.name}, got {name}")
    column = collection[name]
    type_ = definition.type.of_type if is_non_null_type(definition.type) else definition.type
    if is_input_object_type(type_):
        operators = {told: comparison(column, python) for told, python in _names(type_.fields).items()}
        return FilterField(column, operators)
    if not is_leaf_type(type_) or not takes_values(column):
        raise ValueError(f"expected an input with the operators of column {name} ({column.type}), got {type_}")
    return FilterField(column, None)


def _order(at: str, argument: Any, collection: Collection) -> dict[str, str]:
    """Return the clients' names of an order's fields, by Python's."""
    type_: Any = get_named_type(argument.type)
    names = {python: name for name, python in _names(type_.fields).items()}
    by: Any = get_named_type(type_.fields[names["field"]].type)
    possible = [column.name for column in collection.columns if takes_values(column)]
    for name, value in by.values.items():
        given = value.value.value if isinstance(value.value, Enum) else value.value
        if given not in possible:
            expected = f"a column that has an order, of {', '.join(possible)} of collection {collection.name}"
            raise ConfigError(f"graph: {at}: {by.name}.{name}: expected {expected}, got {given}")
    return names


def _names(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return Python's names of arguments or of an input's fields, by the clients'."""
    found = {name: definition.extensions.get(_DEFINITION) for name, definition in inputs.items()}
    return {name: name if declared is None else declared.python_name for name, declared in found.items()}
