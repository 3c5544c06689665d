"""Check every argument value of an operation before anything runs, also where execution would never get to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_argument_values,
    get_directive_values,
    get_named_type,
)

from tests.oracle.filters import check_ids
from tests.oracle.pages import MAX_PAGE, order_of, page_size, read_cursor
from tests.oracle.scalars import BadInputError, key_of, type_and_key

MAX_NODES = 1_000

Check = Callable[[str, str, str, dict[str, Any]], None]


def check_arguments(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: dict[str, FragmentDefinitionNode],
    variables: Any,
    check: Check | None = None,
) -> list[GraphQLError]:
    """Return one error per field whose arguments cannot be. A field that @skip or @include leaves out is not looked at.

    ``check(type, field, type it gives, arguments)`` raises BadInputError; ``check_field`` by default.
    """
    root = schema.get_root_type(operation.operation)
    assert root
    return _Checking(schema, fragments, variables, check or check_field).selections(operation.selection_set, root, ())


class _Checking:
    def __init__(self, schema: GraphQLSchema, fragments: dict[str, FragmentDefinitionNode], variables: Any, check: Check) -> None:
        self.schema = schema
        self.fragments = fragments
        self.variables = variables
        self.check = check

    def selections(self, selection_set: SelectionSetNode, parent: GraphQLNamedType, path: tuple[str, ...]) -> list[GraphQLError]:
        errors: list[GraphQLError] = []
        for node in selection_set.selections:
            try:
                if self._is_left_out(node):
                    continue
            except GraphQLError as exc:
                errors.append(_bad_input(str(exc.message), path, node))
                continue
            if isinstance(node, FieldNode):
                errors += self._field(node, parent, path)
            elif isinstance(node, InlineFragmentNode):
                inner = self.schema.type_map[node.type_condition.name.value] if node.type_condition else parent
                errors += self.selections(node.selection_set, inner, path)
            else:
                assert isinstance(node, FragmentSpreadNode)
                fragment = self.fragments[node.name.value]
                errors += self.selections(fragment.selection_set, self.schema.type_map[fragment.type_condition.name.value], path)
        return errors

    def _field(self, node: FieldNode, parent: GraphQLNamedType, path: tuple[str, ...]) -> list[GraphQLError]:
        definition = parent.fields.get(node.name.value) if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else None
        if definition is None:
            return []  # __typename, __schema, __type
        path = (*path, node.alias.value if node.alias else node.name.value)
        errors: list[GraphQLError] = []
        target = get_named_type(definition.type)
        try:
            args = get_argument_values(definition, node, self.variables)
            self.check(parent.name, node.name.value, target.name, args)
        except (BadInputError, GraphQLError) as exc:
            errors.append(_bad_input(exc.message if isinstance(exc, GraphQLError) else str(exc), path, node))
        if node.selection_set:
            errors += self.selections(node.selection_set, target, path)
        return errors

    def _is_left_out(self, node: Any) -> bool:
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return bool(skip and skip["if"]) or bool(include and not include["if"])


def check_field(parent: str, field: str, target: str, args: dict[str, Any]) -> None:
    """Raise BadInputError where an argument of ``parent.field``, which gives ``target``, has a value that cannot be."""
    _check_text(args)
    if target.endswith("Connection"):
        _check_connection(target.removesuffix("Connection"), args)
    elif target == "EventStat":
        _check_stats(args)
    elif target == "Recommendation":
        _check_recommendations(args)
    elif parent == "Query":
        _check_lookup(field, target, args)


def _check_text(value: Any) -> None:
    if isinstance(value, str) and "\0" in value:
        raise BadInputError("Text cannot hold the character U+0000.")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_text(item)


def _check_connection(type_name: str, args: dict[str, Any]) -> None:
    page_size(args)
    check_ids(type_name, args.get("where"))
    for name in ("after", "before"):
        read_cursor(type_name, order_of(args.get("orderBy")), args.get(name))


def _check_stats(args: dict[str, Any]) -> None:
    check_ids("Event", args.get("where"))
    if ("TIME" in args["groupBy"]) != (args.get("interval") is not None):
        raise BadInputError("interval is needed with TIME in groupBy, and only then.")


def _check_recommendations(args: dict[str, Any]) -> None:
    first = args.get("first")
    if first is not None and not 0 <= first <= MAX_PAGE:
        raise BadInputError(f"first must be from 0 to {MAX_PAGE}, got {first}.")
    if "userId" in args:
        key_of("User", args["userId"])


def _check_lookup(field: str, target: str, args: dict[str, Any]) -> None:
    if field == "user" and (args.get("id") is None) == (args.get("email") is None):
        raise BadInputError("user needs exactly one of id and email.")
    if field in ("user", "post", "event") and args.get("id") is not None:
        key_of(target, args["id"])
    if field == "node":
        type_and_key(args["id"])
    if field == "nodes":
        if len(args["ids"]) > MAX_NODES:
            raise BadInputError(f"ids can be at most {MAX_NODES}, got {len(args['ids'])}.")
        for given in args["ids"]:
            type_and_key(given)


def _bad_input(message: str, path: tuple[str, ...], node: Any) -> GraphQLError:
    return GraphQLError(f"{'.'.join(path)}: {message}", node, extensions={"code": "BAD_USER_INPUT", "path": list(path)})
