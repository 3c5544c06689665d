"""The schema that is served holds the contract, is exported, and says what everything in it means."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import (
    GraphQLDirective,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_non_null_type,
    is_specified_scalar_type,
    print_ast,
)
from graphql import graphql_sync as graph_sync
from graphql.utilities import ast_from_value

from schema import schema as graph

CONTRACT = build_schema((Path(__file__).parent.parent / "contract.graphql").read_text(encoding="utf-8"))
BUILT: GraphQLSchema = graph.schema._schema
EXPORTED = build_schema(graph.schema.as_str())  # as clients' tools read it: with the directives that are applied
TYPES = [t for name, t in BUILT.type_map.items() if not name.startswith("__") and not is_specified_scalar_type(t)]

_KINDS = (GraphQLScalarType, GraphQLObjectType, GraphQLInterfaceType, GraphQLUnionType, GraphQLEnumType, GraphQLInputObjectType)


def test_the_exported_sdl_is_the_schema_that_is_served() -> None:
    assert graph.sdl is not None
    assert graph.sdl.read_text(encoding="utf-8") == graph.schema.as_str() + "\n", "stale: gateway schema print > schema/schema.graphql"


@pytest.mark.parametrize("name", sorted(n for n in CONTRACT.type_map if not n.startswith("__")))
def test_everything_of_the_contract_is_served(name: str) -> None:
    wanted, built = CONTRACT.type_map[name], BUILT.type_map.get(name)
    assert built is not None, f"{name} is missing"
    assert _kind(built) == _kind(wanted)
    assert wanted.description in (None, built.description)
    missing = sorted(set(_lines(wanted)) - set(_lines(built)))
    assert not missing, "of the contract, but not served like that: " + ", ".join(missing)
    read = EXPORTED.type_map[name]
    missing = sorted(set(_lines(wanted) + _applied(wanted)) - set(_lines(read) + _applied(read)))
    assert not missing, "of the contract, but not exported like that: " + ", ".join(missing)
    described = {place: text for place, text in _descriptions(wanted) if text}
    assert described.items() <= dict(_descriptions(built)).items()


@pytest.mark.parametrize("name", [directive.name for directive in CONTRACT.directives])
def test_a_directive_of_the_contract_is_served_and_exported_as_it_is_there(name: str) -> None:
    wanted = CONTRACT.get_directive(name)
    assert wanted is not None
    for schema in (BUILT, EXPORTED):
        found = schema.get_directive(name)
        assert found is not None, f"@{name} is missing"
        assert _directive(found) == _directive(wanted)
        assert wanted.description in (None, found.description)


def test_introspection_tells_the_directive_with_its_default() -> None:
    query = "{ __schema { directives { name args { name type { kind } defaultValue } } } }"
    told = graph_sync(BUILT, query).data
    assert told is not None
    found = {d["name"]: d["args"] for d in told["__schema"]["directives"]}["semanticNonNull"]
    assert found == [{"name": "levels", "type": {"kind": "NON_NULL"}, "defaultValue": "[0]"}]


def test_the_contracts_fields_and_no_others_are_semantically_non_null() -> None:
    wanted = set(_semantic_non_null(CONTRACT))
    assert set(_semantic_non_null(EXPORTED)) == wanted
    assert "Query.users" in wanted


def test_no_position_is_both_non_null_and_non_null_by_directive() -> None:
    for schema in (CONTRACT, EXPORTED):
        assert not [place for place, type_ in _semantic_non_null(schema).items() if is_non_null_type(type_)]


def test_nothing_of_the_contract_is_missing() -> None:
    assert set(CONTRACT.type_map) - set(BUILT.type_map) == set()


@pytest.mark.parametrize("type_", TYPES, ids=lambda t: t.name)
def test_everything_that_a_client_sees_is_described(type_: object) -> None:
    nameless = [place for place, description in _descriptions(type_) if not description]
    assert not nameless


def _lines(type_: object) -> list[str]:
    """Return a type as one line per thing that a client may rely on: name, type, nullability and default."""
    match type_:
        case GraphQLObjectType() | GraphQLInterfaceType():
            interfaces = [f"implements {interface.name}" for interface in type_.interfaces]
            fields = [f"{name}: {field.type}" for name, field in type_.fields.items()]
            arguments = [
                f"{name}({argument_name}: {argument.type}{_default(argument)})"
                for name, field in type_.fields.items()
                for argument_name, argument in field.args.items()
            ]
            return interfaces + fields + arguments
        case GraphQLInputObjectType():
            return [f"{name}: {field.type}{_default(field)}" for name, field in type_.fields.items()]
        case GraphQLEnumType():
            return list(type_.values)
    return []


def _semantic_non_null(schema: GraphQLSchema) -> dict[str, object]:
    """Return the types of the fields with the directive, by ``Type.field``."""
    return {
        f"{type_.name}.{name}": field.type
        for type_ in schema.type_map.values()
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
        for name, field in type_.fields.items()
        if field.ast_node is not None and any(d.name.value == "semanticNonNull" for d in field.ast_node.directives or ())
    }


def _applied(type_: object) -> list[str]:
    """Return a line for each field with the directives applied to it, none included."""
    if not isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
        return []
    return [
        f"{name} {' '.join(print_ast(d) for d in (field.ast_node.directives or ()) if d.name.value != 'deprecated')}"
        for name, field in type_.fields.items()
        if field.ast_node is not None
    ]


def _directive(directive: GraphQLDirective) -> dict[str, object]:
    return {
        "arguments": [f"{name}: {argument.type}{_default(argument)}" for name, argument in directive.args.items()],
        "locations": set(directive.locations),
        "repeatable": directive.is_repeatable,
    }


def _kind(type_: GraphQLNamedType) -> str:
    """Return what sort of type it is; Strawberry has classes of its own below graphql-core's."""
    return next(kind.__name__ for kind in _KINDS if isinstance(type_, kind))


def _default(value: object) -> str:
    default = getattr(value, "default", None)
    if default is not None and default.literal is not None:
        return f" = {print_ast(default.literal)}"
    given = getattr(value, "default_value", None)
    if given is None or given.__class__.__name__ == "UndefinedType":
        return ""
    literal = ast_from_value(given, value.type)  # type: ignore[attr-defined]
    return "" if literal is None else f" = {print_ast(literal)}"


def _descriptions(type_: object) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = [(type_.name, type_.description)]  # type: ignore[attr-defined]
    if isinstance(type_, GraphQLEnumType):
        return found + [(name, value.description) for name, value in type_.values.items()]
    for name, field in getattr(type_, "fields", {}).items():
        found.append((name, field.description))
        found += [(f"{name}({argument})", value.description) for argument, value in getattr(field, "args", {}).items()]
    return found
