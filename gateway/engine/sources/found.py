"""Where a field's data comes from, as its graph says it or as it is by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from graphql import GraphQLField

from gateway.engine.sources.column import FromColumn
from gateway.engine.sources.resolver import Resolver
from gateway.engine.sources.source import Source, source_in
from gateway.engine.sources.stream import ByHand


def source_of(definition: GraphQLField) -> Source:
    """Return where a field's data comes from: its declared source, a column of its name, or what is written by hand."""
    found = source_in(definition)
    if found is not None:
        return found
    resolve = cast("Callable[..., Any]", definition.resolve)
    if definition.subscribe is not None:
        return ByHand(resolve, subscribe=definition.subscribe)
    strawberry_field = definition.extensions.get("strawberry-definition")
    if strawberry_field is not None and strawberry_field.base_resolver is None:
        return FromColumn(strawberry_field.python_name)
    return Resolver(resolve, strawberry_field)
