"""Turn a request's variables and arguments into what stores are asked: filters, orders, pages, keys. Pure: no I/O, no clock.

Every argument of the operation is checked here, before any store is asked; what is wrong is a BadUserInput that names the
argument and the path of its field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import lru_cache, partial
from typing import Any, cast

from gateway.engine.cursors import cursor_of, read_cursor, shown_text
from gateway.engine.names import Arguments, Filter, FilterField, Names
from gateway.errors import BadUserInput, LimitExceeded
from gateway.security.limits import Limits, check_filter, enforced
from gateway.stores.base import And, Collection, Column, Compare, Key, Not, Op, Or, Order, Page, Type, Where, total_order
from gateway.stores.types import NO_VALUE, canonical_key, value_of


class Binder:
    """What sources bind coerced arguments by (graphql-core's: dictionaries by GraphQL name, enums as members)."""

    def __init__(self, type_names: frozenset[str], limits: Limits, names: Names, *, tells_types: bool = True) -> None:
        self.names = names.of  # what clients call the arguments of a field, and what they are here
        self._type_names = type_names
        self.limits = limits
        self._tells_types = tells_types
        self.noted: list[LimitExceeded] = []  # limits that are measured only and are broken, until somebody takes them

    def take_noted(self) -> list[LimitExceeded]:
        """Return the limits that were measured only and are broken since the last call. Binding never waits, so they are the caller's."""
        noted, self.noted = self.noted, []
        return noted

    def global_id(self, path: str, text: str) -> str:
        """Return an id of the form ``Type:key``, of a type that is a Node."""
        self._text(path, text)
        if ":" not in text or text.partition(":")[0] not in self._type_names:
            names = ", ".join(f"{name}:key" for name in sorted(self._type_names)) if self._tells_types else "Type:key"
            raise BadUserInput(f"{path}: expected an id of the form {names}, got {shown_text(text)}", argument=path)
        return text

    # ------------------------------------------------------------------------------------------------- orders and pages

    def order(self, collection: Collection, names: Arguments, orders: Sequence[Mapping[str, Any]]) -> tuple[Order, ...]:
        """Return the total order that a list of orders asks for."""
        by, direction = names.order["field"], names.order["direction"]
        return total_order(collection, [Order(raw(o[by]), raw(o[direction]) == "desc") for o in orders])

    def page(self, collection: Collection, order: tuple[Order, ...], arguments: Mapping[str, Any]) -> tuple[Page, str]:
        """Return the page that first, last, after and before ask for, and what its cursors are of."""
        fits = cursor_of(collection, order)
        first, last = arguments.get("first"), arguments.get("last")
        after, before = arguments.get("after"), arguments.get("before")
        if first is not None and last is not None:
            raise BadUserInput("first, last: expected at most one of the two, got both", argument="last")
        limit = self.limits.page_default if first is None and last is None else first if last is None else last
        self.size("first" if last is None else "last", cast("int", limit))
        page = Page(
            cast("int", limit),
            backward=last is not None,
            after=None if after is None else read_cursor("after", after, fits, collection, order),
            before=None if before is None else read_cursor("before", before, fits, collection, order),
        )
        return page, fits

    def size(self, argument: str, number: int) -> None:
        """Refuse a number of rows that a page may not have."""
        if not 0 <= number <= self.limits.page_max:
            raise BadUserInput(f"{argument}: expected 0 to {self.limits.page_max} (setting page_max), got {number}", argument=argument)

    # ---------------------------------------------------------------------------------------------------------- filters

    def where(self, names: Arguments, where: Mapping[str, Any] | None) -> Where | None:
        """Return a coerced filter; BadUserInput and LimitExceeded say where it is wrong."""
        if where is None:
            return None
        assert names.where is not None
        at = names.told["where"]
        broken = check_filter(self.limits, where, at)
        for error in enforced(broken):
            raise error
        self.noted += broken
        return self._filter(names.where, where, at)

    def _filter(self, declared: Filter, given: Mapping[str, Any], path: str) -> Where:
        items: list[Where] = []
        for name, value in given.items():
            here = f"{path}.{name}"
            match name:
                case "and" | "or" if value is not None:
                    parts = tuple(self._filter(declared.parts[name], part, f"{here}[{i}]") for i, part in enumerate(value))
                    items.append(And(parts) if name == "and" else Or(parts))
                case "not" if value is not None:
                    items.append(Not(self._filter(declared.parts[name], value, here)))
                case "and" | "or" | "not":
                    pass  # null: as if it were not there
                case _:
                    items.extend(self._conditions(declared.fields[name], value, here))
        return items[0] if len(items) == 1 else And(tuple(items))

    def _conditions(self, declared: FilterField, value: Any, path: str) -> list[Where]:
        column, operators = declared.column, declared.operators
        if operators is None or value is None:
            return [Compare(column.name, "eq", None)] if value is None else [self._compare(path, column, "eq", value)]
        result: list[Where] = []
        for name, operand in value.items():
            here = f"{path}.{name}"
            op = operators[name]
            if op == "is_null":
                if operand is not None:  # null: as if it were not there
                    result.append(Compare(column.name, "eq" if operand else "ne", None))
                continue
            if op == "is_empty":
                if operand is not None:
                    empty = Compare(column.name, "is_empty", True)
                    result.append(empty if operand else Not(empty))
                continue
            result.append(self._compare(here, column, cast("Op", op), operand))
        return result

    def _compare(self, path: str, column: Column, op: Op, operand: Any) -> Where:
        """Return a comparison with exactly what a client gave: what the column cannot hold is equal to none of its values."""
        if operand is None:
            return Compare(column.name, op, None)
        if op in ("in", "has_any"):
            values = [self._value(path, column, item) for item in operand]
            return Compare(column.name, op, tuple([value for value, below in values if value is not NO_VALUE and not below]))
        value, is_below = self._value(path, column, operand)
        if value is NO_VALUE or (is_below and op in ("eq", "ne", "has")):
            nothing = Compare(column.name, "in", ())
            return Not(nothing) if op == "ne" else nothing
        if is_below:  # the value is between two that the column can hold: this one and the next
            op = {"gte": "gt", "lt": "lte"}.get(op, op)  # type: ignore[assignment]
        return Compare(column.name, op, value)

    def _value(self, path: str, column: Column, given: Any) -> tuple[Any, bool]:
        """Return the wire value of what a client gave, and whether it is the greatest that a column holds below that.

        NO_VALUE where it is none of the column's; BadUserInput where it could be none of any.
        """
        given = raw(given)
        if given is None:
            return None, False
        if column.refers is not None:
            return value_of(column, self._key(path, column.refers, self._text(path, given))), False
        if column.type is Type.TEXT or column.type is Type.TEXTS:
            return self._text(path, given), False
        if not isinstance(given, str):
            value = value_of(column, given)
            if value is NO_VALUE:
                raise BadUserInput(f"{path}: expected {_expected(column)}, got {shown_text(str(given))}", argument=path)
            return value, False
        value = value_of(column, given)
        if value is not NO_VALUE:
            return value, False
        if column.type is Type.DECIMAL:
            number = value_of(replace(column, scale=None), given)
            if number is not NO_VALUE:
                return number, False
        if column.type in (Type.TIME, Type.CLOCK):
            finest = value_of(replace(column, precision=9), given)
            if finest is not NO_VALUE:
                return _cut(finest, column), True
        if column.type is Type.ENUM or self._text(path, given) is None:
            raise BadUserInput(f"{path}: expected {_expected(column)}, got {shown_text(given)}", argument=path)
        return NO_VALUE, False

    def value(self, path: str, column: Column, given: Any) -> Any:
        """Return the wire value that a client gave of a column, NO_VALUE where it can be none of its values; ids are their keys."""
        value, is_below = self._value(path, column, given)
        return NO_VALUE if is_below else value

    def key(self, path: str, collection: Collection, names: str, value: Any) -> Key | None:
        """Return the key that a client gave of a column, or of several with commas between them; None where it can be no row's."""
        type_name, key_of = _reader_of(collection, names)
        text = self._text(path, value) if isinstance(value, str) else str(raw(value))
        if type_name is not None:
            text = self._key(path, type_name, text)
        return text if key_of is None else key_of(text)

    def key_of(self, path: str, type_name: str | None, text: str) -> Key:
        """Return the key of an id that a client gave, without its type; NUL characters are in none."""
        self._text(path, text)
        return text if type_name is None else self._key(path, type_name, text)

    def _text(self, path: str, value: str) -> str:
        if "\0" in value:
            raise BadUserInput(f"{path}: expected text without NUL characters", argument=path)
        return value

    def _key(self, path: str, type_name: str, text: str) -> Key:
        """Return the key of an id where the type is known: ``User:6`` and ``6`` are the same."""
        given, colon, key = text.partition(":")
        if not colon or given not in self._type_names:
            return text
        if given != type_name:
            expected = type_name if self._tells_types else "another type"
            raise BadUserInput(f"{path}: expected an id of {expected}, got one of {given}", argument=path)
        return key


# -------------------------------------------------------------------------------------------------------------- helpers


@lru_cache(maxsize=1_000)
def _reader_of(collection: Collection, names: str) -> tuple[str | None, Callable[[str], Key | None] | None]:
    """Return the type whose ids have the keys of these columns, and what makes a key of a text; None where every text is one.

    PERF: once for a look-up of a graph. A point read takes 2 µs more of 20 where it is found out each time.
    """
    columns = collection.columns_of(names)
    type_name = collection.type_name if names == collection.key_name else columns[0].refers if len(columns) == 1 else None
    is_text = len(columns) == 1 and columns[0].type is Type.TEXT
    return type_name, None if is_text else partial(canonical_key, columns)


_EXPECTED = {
    Type.INT: "a whole number of 64 bits",
    Type.FLOAT: "a number",
    Type.BOOL: "true or false",
    Type.DECIMAL: "a decimal number",
}


def _expected(column: Column) -> str:
    if column.type is Type.ENUM:
        return f"one of {', '.join(column.values)}"
    return _EXPECTED.get(column.type, f"a value of type {column.type.upper()}")


def _cut(finest: str, column: Column) -> str:
    """Return a time of nine digits with those of a column, which is not later."""
    end = "Z" if column.type is Type.TIME else ""
    digits = finest.removesuffix(end) if end else finest
    return digits[: len(digits) - (9 - column.precision) - (0 if column.precision else 1)] + end


def raw(value: Any) -> Any:
    """Return what an enum's member stands for; other values are themselves."""
    return value.value if isinstance(value, Enum) else value
