"""Values of leaves: which need no serializing, and how the others are serialized (GraphQL spec 6.4.3, CompleteValue())."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from graphql import GraphQLError, GraphQLLeafType, GraphQLOutputType, Undefined, is_enum_type, is_list_type, is_non_null_type
from graphql import is_specified_scalar_type as is_specified_scalar
from graphql.pyutils import is_iterable

from gateway.engine.results import Failed

Serialize = Callable[[Any], Any]


def serializer(type_: GraphQLOutputType, leaf: GraphQLLeafType) -> Serialize:
    """Return what turns a non-null value into its output; lists item by item."""
    if is_non_null_type(type_):
        return serializer(type_.of_type, leaf)
    if is_list_type(type_):
        inner = serializer(type_.of_type, leaf)
        required = is_non_null_type(type_.of_type)
        return lambda items: [_item(item, inner, required) for item in _items(items)]
    if is_specified_scalar(leaf) or is_enum_type(leaf):
        return leaf.serialize
    return lambda value: _output(leaf.serialize(value))


def careful_serializer(type_: GraphQLOutputType, leaf: GraphQLLeafType, field: str) -> Serialize:
    """Return the same for a run in which something failed: what cannot be stands for its error, item by item; nulls stay.

    ``field`` is named where a list was expected.
    """
    bare: Any = type_.of_type if is_non_null_type(type_) else type_
    if not is_list_type(bare):
        serialize = serializer(bare, leaf)

        def one(value: Any) -> Any:
            if value is None:
                return None
            if isinstance(value, Exception):
                return Failed(value)
            try:
                return _output(serialize(value))
            except Exception as exc:
                return Failed(exc)

        return one
    inner = careful_serializer(bare.of_type, leaf, field)

    def many(items: Any) -> Any:
        if items is None:
            return None
        if isinstance(items, Exception):
            return Failed(items)
        if not is_iterable(items):
            return Failed(GraphQLError(f"Expected Iterable, but did not find one for field '{field}'."))
        return list(map(inner, items))

    return many


def _output(output: Any) -> Any:
    """Return what a scalar made of a value; it may make anything but a null, and an error that stands for a value is none."""
    if output is None or output is Undefined or isinstance(output, Exception):
        raise TypeError("a scalar made a null of a value")
    if type(output) is float and not isfinite(output):
        raise ValueError("a scalar made a number that JSON has not, which would be written as a null")
    return output


def _items(items: Any) -> Any:
    if not is_iterable(items):
        raise TypeError("expected a list")
    return items


def _item(item: Any, serialize: Serialize, required: bool) -> Any:
    if item is not None:
        return serialize(item)
    if required:
        raise ValueError("a list of non-null items has a null")
    return None
