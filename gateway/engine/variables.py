"""Turn a request's variables into coerced values. Pure: no I/O, no clock.

graphql-core reads every variable's type anew in each request. Most variables are a string, an id or a number: those are checked here,
and anything else, or anything wrong, goes to graphql-core, whose messages are the field's usual ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLError, GraphQLSchema, OperationDefinitionNode, get_variable_values, is_non_null_type, type_from_ast
from graphql.utilities.coerce_input_value import coerce_input_literal

from gateway.engine.document import DocumentRefused, Openness, shown
from gateway.errors import bounded

MAX_ERRORS = 20

_WHERE = re.compile(r"Variable '\$\w+' has invalid (?:default )?value(?: at [\w.\[\]]+)?").match

_ABSENT: Any = object()


class Variables:
    """The variables of one operation, as its text declares them."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode, openness: Openness) -> None:
        self._schema = schema
        self._openness = openness
        self._definitions = operation.variable_definitions or ()
        self._simple: list[tuple[str, Callable[[Any], bool], bool, Any]] | None = []
        for definition in self._definitions:
            type_: Any = type_from_ast(schema, definition.type)
            required = is_non_null_type(type_)
            bare = type_.of_type if required else type_
            check = _CHECKS.get(getattr(bare, "name", ""))
            if check is None:
                self._simple = None
                return
            default = definition.default_value
            value = _ABSENT if default is None else coerce_input_literal(default, type_)
            self._simple.append((definition.variable.name.value, check, required, value))

    def coerce(self, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return the values by name, without those that were not given and have no default (GraphQL spec 6.1.2).

        DocumentRefused has an error for each value that does not fit its type.
        """
        if not self._definitions:
            return {}
        given = given or {}
        if self._simple is None:
            return self._by_graphql_core(given)
        coerced: dict[str, Any] = {}
        for name, check, required, default in self._simple:
            value = given.get(name, default)
            if value is None and not required:
                coerced[name] = None
            elif value is _ABSENT and not required:
                continue
            elif check(value):
                coerced[name] = value
            else:
                return self._by_graphql_core(given)
        return coerced

    def _by_graphql_core(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        values = get_variable_values(
            self._schema, self._definitions, dict(given), max_errors=MAX_ERRORS - 1, hide_suggestions=not self._openness.suggestions
        )
        if isinstance(values, list):
            raise DocumentRefused([self._shown(error) for error in values], status=422)
        return values.coerced

    def _shown(self, error: GraphQLError) -> dict[str, Any]:
        formatted = shown(error, "BAD_USER_INPUT")
        if not self._openness.type_names:
            where = _WHERE(error.message)
            formatted["message"] = f"{bounded(where[0] if where else 'The variables do not fit the operation')}."
        return formatted


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_int(value: Any) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def _is_bool(value: Any) -> bool:
    return value is True or value is False


_CHECKS: dict[str, Callable[[Any], bool]] = {"String": _is_text, "ID": _is_text, "Int": _is_int, "Boolean": _is_bool}
