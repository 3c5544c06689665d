"""The schema that is served holds the contract, is exported, and says what everything in it means."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    is_specified_scalar_type,
    print_ast,
)
from graphql.utilities import ast_from_value

from schema import schema as graph

CONTRACT = build_schema((Path(__file__).parent.parent / "contract.graphql").read_text(encoding="utf-8"))
BUILT: GraphQLSchema = graph.schema._schema
TYPES = [t for name, t in BUILT.type_map.items() if not name.startswith("__") and not is_specified_scalar_type(t)]

# Of the contract, but not served yet: writes and streams.
LATER = {
    "Mutation",
    "Subscription",
    "CreateUserPayload",
    "CreateUserInput",
    "UpdateUserInput",
    "CreatePostInput",
    "UpdatePostInput",
    "RecordEventInput",
    "FollowInput",
}


def test_the_exported_sdl_is_the_schema_that_is_served() -> None:
    assert graph.sdl is not None
    assert graph.sdl.read_text(encoding="utf-8") == graph.schema.as_str() + "\n", "stale: gateway schema print > schema/schema.graphql"


@pytest.mark.parametrize("name", sorted(n for n in CONTRACT.type_map if not n.startswith("__") and n not in LATER))
def test_everything_of_the_contract_is_served(name: str) -> None:
    wanted, built = CONTRACT.type_map[name], BUILT.type_map.get(name)
    assert built is not None, f"{name} is missing"
    assert type(built).__mro__[-3:] == type(wanted).__mro__[-3:]
    missing = sorted(set(_lines(wanted)) - set(_lines(built)))
    assert not missing, "of the contract, but not served like that: " + ", ".join(missing)


def test_what_comes_later_is_all_that_is_missing() -> None:
    assert set(CONTRACT.type_map) - set(BUILT.type_map) == LATER


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
