"""A copy of a schema with resolvers of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    is_introspection_type,
)

Info = GraphQLResolveInfo[Any]
Resolver = Callable[..., Any]


def copy_of(schema: GraphQLSchema, resolver: Callable[[str, str, GraphQLField], Resolver | None], type_of: Resolver) -> GraphQLSchema:
    """Return the schema with object, interface and union types of its own, so that resolvers which others set do not meet these.

    ``resolver(type, field, definition)`` gives the resolver of each field, ``type_of`` resolves all abstract types. Scalars, enums and
    inputs are the same objects. The schema is taken for valid.
    """
    return _Copying(schema, resolver, type_of).run()


class _Copying:
    def __init__(self, schema: GraphQLSchema, resolver: Callable[[str, str, GraphQLField], Resolver | None], type_of: Resolver) -> None:
        self._schema, self._resolver, self._type_of = schema, resolver, type_of
        self._made: dict[str, Any] = {}

    def run(self) -> GraphQLSchema:
        named = [type_ for type_ in self._schema.type_map.values() if not is_introspection_type(type_)]
        for type_ in named:
            self._made[type_.name] = self._named(type_)
        given = cast("dict[str, Any]", self._schema.to_kwargs())
        for root in ("query", "mutation", "subscription"):
            given[root] = self._of(given[root]) if given[root] is not None else None
        return GraphQLSchema(**given | {"types": list(map(self._of, named)), "assume_valid": True})

    def _named(self, type_: Any) -> Any:
        given: dict[str, Any] = type_.to_kwargs()
        match type_:
            case GraphQLObjectType():
                own = {"fields": lambda: self._fields(type_), "interfaces": lambda: self._each(type_.interfaces), "is_type_of": None}
                return GraphQLObjectType(**given | own)
            case GraphQLInterfaceType():
                own = {"fields": lambda: self._fields(type_), "interfaces": lambda: self._each(type_.interfaces)}
                return GraphQLInterfaceType(**given | own | {"resolve_type": self._type_of})
            case GraphQLUnionType():
                return GraphQLUnionType(**given | {"types": lambda: self._each(type_.types), "resolve_type": self._type_of})
        return type_

    def _fields(self, type_: GraphQLObjectType | GraphQLInterfaceType) -> dict[str, GraphQLField]:
        made: dict[str, GraphQLField] = {}
        for name, definition in type_.fields.items():
            given = cast("dict[str, Any]", definition.to_kwargs())
            own = {"type_": self._of(definition.type), "resolve": self._resolver(type_.name, name, definition)}
            made[name] = GraphQLField(**given | own)
        return made

    def _each(self, types: Any) -> list[Any]:
        return [self._of(type_) for type_ in types]

    def _of(self, type_: Any) -> Any:
        if isinstance(type_, GraphQLNonNull):
            return GraphQLNonNull(self._of(type_.of_type))
        if isinstance(type_, GraphQLList):
            return GraphQLList(self._of(type_.of_type))
        return self._made.get(type_.name, type_)
