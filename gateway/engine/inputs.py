"""Arguments of a mutation as its function has them: objects of the author's input classes, ids as keys, UNSET for what was not given.

Pure: no I/O, no clock. What is wrong is a BadUserInput with the argument (``input.email``) and the field (``email``) in its extensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from graphql import GraphQLInputObjectType, get_named_type, is_input_object_type, is_list_type, is_non_null_type, is_scalar_type
from strawberry import UNSET
from strawberry.types.base import StrawberryMaybe

from gateway.engine.cursors import shown_text
from gateway.errors import BadUserInput
from gateway.graph.inputs import ABSENT, DECLARED, REFERS
from gateway.stores.base import Column, Key, Type
from gateway.stores.types import NO_VALUE, canonical_key, value_of

if TYPE_CHECKING:
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.values import Binder

_DEFINITION = "strawberry-definition"


@dataclass(frozen=True, slots=True)
class Reference:
    """What an ID of an argument is of: the type that it has to be of, and the columns of the key, where these are known."""

    type_name: str
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class InputField:
    """A field of an input: Python's name and its type, with the column that it is written to, or the type that its ids are of."""

    name: str
    type: Any
    column: Column | None
    reference: Reference | None
    is_absent_if_null: bool


class Reader:
    """Reads the arguments of one field of one request."""

    def __init__(self, binder: Binder) -> None:
        self._binder = binder

    def value(self, path: str, type_: Any, value: Any, reference: Reference | None = None, column: Column | None = None) -> Any:
        """Return a coerced value as the function has it."""
        if is_non_null_type(type_):
            type_ = type_.of_type
        elif value is None:
            if column is not None and not column.nullable:
                raise refused(path, "expected a value, got null; leave the field out to keep what is there")
            return None
        if is_list_type(type_):
            item = column.item if column is not None and column.many else column
            return [self.value(f"{path}[{i}]", type_.of_type, one, reference, item) for i, one in enumerate(value)]
        if is_input_object_type(type_):
            return self._object(path, type_, value)
        if is_scalar_type(type_):
            _refuse_nul(path, value)
            if reference is not None:
                return self._key(path, reference, value)
            if column is not None:
                return _wire_value(path, column, value)
        return value

    def _object(self, path: str, type_: GraphQLInputObjectType, given: Mapping[str, Any]) -> Any:
        values = {}
        make, fields = _fields_of(type_)
        for name, field in fields.items():
            if name not in given or (given[name] is None and field.is_absent_if_null):
                values[field.name] = UNSET
            else:
                values[field.name] = self.value(f"{path}.{name}", field.type, given[name], field.reference, field.column)
        return make(**values)

    def _key(self, path: str, reference: Reference, value: Any) -> Key:
        try:
            text = self._binder.key_of(path, reference.type_name, str(value))
        except BadUserInput as exc:
            exc.extensions["field"] = field_in(path)
            raise
        key = text if not reference.columns else canonical_key(reference.columns, text)
        if key is None:
            expected = " and ".join(column.type.upper() for column in reference.columns)
            raise refused(path, f"expected the id of a {reference.type_name}, whose key is of type {expected}, got {shown_text(text)}")
        return key


def refused(path: str, sentence: str) -> BadUserInput:
    """Return the error of a value that cannot be written: the last part of the path is the field."""
    return BadUserInput(f"{path}: {sentence}", argument=path, field=field_in(path))


def field_in(path: str) -> str:
    return path.rpartition(".")[2].partition("[")[0]


def inputs_in(type_: Any) -> Mapping[str, InputField]:
    """Return the fields of an input by the names that clients know."""
    return _fields_of(type_)[1]


def reference_of(metadata: Mapping[str, Any], column: Column | None) -> Reference | None:
    type_name = metadata.get(REFERS) or (None if column is None else column.refers)
    if type_name is None:
        return None
    return Reference(type_name, () if column is None or column.item.type is Type.TEXT else (column.item,))


# --------------------------------------------------------------------------------------------------------------- checks


def problems_of_arguments(field: Declared, references: Mapping[str, Reference]) -> Iterator[Problem]:
    """Give what is wrong with the arguments: ids of no type, or of none that there is, and absent fields that look like nulls."""
    seen: set[str] = set()
    waiting: list[tuple[str, Any]] = []
    for name, its in field.definition.args.items():
        named: Any = get_named_type(its.type)
        python = getattr(its.extensions.get("strawberry-definition"), "python_name", name)
        yield from _of_id(field, name, named, references.get(python))
        waiting.append((name, named))
    while waiting:
        at, named = waiting.pop()
        if not is_input_object_type(named) or named.name in seen:
            continue
        seen.add(named.name)
        for name, field_in in inputs_in(named).items():
            inner: Any = get_named_type(field_in.type)
            declared = named.fields[name].extensions.get("strawberry-definition")
            if isinstance(getattr(declared, "type", None), StrawberryMaybe):
                yield field.problem(f"UNSET as what an absent {at}.{name} has", "a Maybe")
            yield from _of_id(field, f"{at}.{name}", inner, field_in.reference)
            waiting.append((f"{at}.{name}", inner))


def _of_id(field: Declared, at: str, named: Any, reference: Reference | None) -> Iterator[Problem]:
    if named.name != "ID":
        return
    if reference is None:
        yield field.problem(f"a type that the id {at} is of (refers=…)", "none")
    elif reference.type_name not in field.node_types:
        types = ", ".join(sorted(field.node_types)) or "none"
        yield field.problem(f"a type that has a collection ({types}) for the id {at} to be of", reference.type_name)


# -------------------------------------------------------------------------------------------------------------- helpers


@lru_cache(maxsize=1_000)
def _fields_of(type_: GraphQLInputObjectType) -> tuple[Callable[..., Any], Mapping[str, InputField]]:
    """Return what makes an object of an input, and its fields by the names that clients know."""
    found: dict[str, InputField] = {}
    for name, definition in type_.fields.items():
        declared = definition.extensions.get(_DEFINITION)
        metadata: Mapping[str, Any] = getattr(declared, "metadata", {})
        column = metadata.get(DECLARED)
        its = reference_of(metadata, column)
        found[name] = InputField(getattr(declared, "python_name", name), definition.type, column, its, ABSENT in metadata)
    its_class = type_.extensions.get(_DEFINITION)
    return (dict if its_class is None else its_class.origin), found


def _refuse_nul(path: str, value: Any) -> None:
    """Refuse NUL characters, which no database of ours holds in a text, wherever they are in a value."""
    if isinstance(value, str):
        if "\0" in value:
            raise refused(path, "expected text without NUL characters")
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_nul(path, name)
            _refuse_nul(path, item)
    elif isinstance(value, list):
        for item in value:
            _refuse_nul(path, item)


_EXPECTED = {
    Type.INT: "a whole number of {bits} bits",
    Type.TIME: "a time of at most {precision} digits of a second",
    Type.CLOCK: "a time of a day of at most {precision} digits of a second",
    Type.DECIMAL: "a decimal number of at most {scale} decimals",
}


def _wire_value(path: str, column: Column, value: Any) -> Any:
    """Return what a column holds of a client's value: that value, or it is refused."""
    found = value if column.type is Type.JSON else value_of(column, value)
    fits = found is not NO_VALUE and not (column.type is Type.INT and column.bits == 32 and not -(2**31) <= found < 2**31)
    if not fits:
        if column.type is Type.ENUM:
            expected = f"one of {', '.join(column.values)}"
        else:
            form = _EXPECTED.get(column.type, f"a value of type {column.type.upper()}")
            expected = form.format(bits=column.bits, precision=column.precision, scale=column.scale)
        raise refused(path, f"expected {expected}, got {shown_text(str(value))}")
    return found
