"""The arguments of a field: which values are known when it is planned, and how the others are taken from a request's variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphql import FieldNode, GraphQLField, Undefined, VariableNode, is_non_null_type
from graphql.execution.values import VariableValues
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal

from gateway.errors import BadUserInput

Coerced = Mapping[str, Any]  # variables by name
Getter = Callable[[dict[str, Any], Coerced], None]

ABSENT_ARGUMENTS: tuple[dict[str, Any], list[Getter]] = ({}, [])
"""Those of a field that nobody selected: none."""


def split_arguments(definition: GraphQLField, node: FieldNode) -> tuple[dict[str, Any], list[Getter]]:
    """Return the arguments whose values are known now, and functions that add those which depend on variables."""
    constants: dict[str, Any] = {}
    getters: list[Getter] = []
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    for name, declared in definition.args.items():
        default = _default(declared)
        value = given.get(name)
        if value is None:
            if default is not _ABSENT:
                constants[name] = default
        elif isinstance(value, VariableNode):
            getters.append(_variable_getter(name, value.name.value, default, is_non_null_type(declared.type)))
        elif any(True for _ in _variables_in(value)):
            getters.append(_literal_getter(name, value, declared.type))
        else:
            constants[name] = coerce_input_literal(value, declared.type)
    return constants, getters


_ABSENT: Any = object()


def _default(declared: Any) -> Any:
    if declared.default is None and (declared.default_value is None or declared.default_value.__class__.__name__ == "UndefinedType"):
        return _ABSENT
    return coerce_default_value(declared)


def _variable_getter(name: str, variable: str, default: Any, required: bool) -> Getter:
    def get(given: dict[str, Any], coerced: Coerced) -> None:
        value = coerced.get(variable, default)
        if value is None and required:  # GraphQL spec 6.4.1: a nullable variable may stand here, for the sake of the default
            raise BadUserInput(f"{name}: expected a value, got null from ${variable}", argument=name)
        if value is not _ABSENT:
            given[name] = value

    return get


def _literal_getter(name: str, value: Any, type_: Any) -> Getter:
    def get(given: dict[str, Any], coerced: Coerced) -> None:
        found = coerce_input_literal(value, type_, VariableValues({}, dict(coerced)))
        if found is Undefined:  # a null variable inside of it, where the type wants a value
            raise BadUserInput(f"{name}: expected a value, got null from a variable in it", argument=name)
        given[name] = found

    return get


def _variables_in(value: Any) -> Iterator[VariableNode]:
    if isinstance(value, VariableNode):
        yield value
    for item in getattr(value, "values", None) or ():
        yield from _variables_in(item)
    for item in getattr(value, "fields", None) or ():
        yield from _variables_in(item.value)
