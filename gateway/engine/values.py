"""Turn a request's variables and arguments into what stores are asked: filters, orders, pages, keys. Pure: no I/O, no clock.

Every argument of the operation is checked here, before any store is asked; what is wrong is a BadUserInput that names the
argument and the path of its field.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, cast

import orjson

from gateway.errors import BadUserInput, LimitExceeded
from gateway.fields import Batched, Lookup, Many, NodeById, NodesByIds, Source, Stats
from gateway.names import Arguments, Filter, FilterField, Names
from gateway.scalars import parse_date, parse_time
from gateway.security.limits import Limits, check_filter, enforced
from gateway.stores.base import (
    And,
    Bucket,
    Collection,
    Column,
    Compare,
    Interval,
    Key,
    Not,
    Or,
    Order,
    Page,
    Type,
    Value,
    Where,
    total_order,
)


@dataclass(frozen=True, slots=True)
class Bound:
    """A field's arguments as its source wants them; only the attributes of its sort are set."""

    where: Where | None = None
    order: tuple[Order, ...] = ()
    page: Page | None = None
    cursor_of: str = ""  # which collection and order a cursor of this connection fits
    key: Any = None  # lookup: the key; node: the id; nodes: the ids; batched at the root: the key
    column: str = "id"  # lookup: the unique column the key is of
    groups: tuple[str | Bucket, ...] = ()
    arguments: Mapping[str, Any] | None = None


NOTHING = Bound()


class Binder:
    """Binds coerced arguments (graphql-core's: dictionaries by GraphQL name, enums as members) for each sort of source."""

    def __init__(self, type_names: frozenset[str], limits: Limits, names: Names, *, tells_types: bool = True) -> None:
        self._names = names
        self._type_names = type_names
        self._limits = limits
        self._tells_types = tells_types
        self._noted: list[LimitExceeded] = []

    def take_noted(self) -> list[LimitExceeded]:
        """Return the limits that were measured only and are broken since the last call. Binding never waits, so they are the caller's."""
        if not self._noted:
            return []
        noted, self._noted = self._noted, []
        return noted

    def bind(self, source: Source, arguments: Mapping[str, Any]) -> Bound:
        """Return the bound arguments; BadUserInput and LimitExceeded name the argument."""
        match source:
            case Many():
                return self._many(source, self._names.of(source), arguments)
            case Lookup():
                return self._lookup(source, self._names.of(source), arguments)
            case Stats():
                return self._stats(source, self._names.of(source), arguments)
            case Batched():
                return self._batched(source, self._names.of(source), arguments)
            case NodeById():
                return Bound(key=self._global_id("id", arguments["id"]))
            case NodesByIds():
                ids = arguments["ids"]
                limit = self._limits.nodes_max
                if len(ids) > limit:
                    raise BadUserInput(f"ids: expected at most {limit} ids (setting nodes_max), got {len(ids)}", argument="ids")
                return Bound(key=tuple(self._global_id("ids", item) for item in ids))
        return NOTHING

    def _global_id(self, path: str, text: str) -> str:
        self._text(path, text)
        if ":" not in text or text.partition(":")[0] not in self._type_names:
            names = ", ".join(f"{name}:key" for name in sorted(self._type_names)) if self._tells_types else "Type:key"
            raise BadUserInput(f"{path}: expected an id of the form {names}, got {_shown(text)}", argument=path)
        return text

    # ------------------------------------------------------------------------------------------------- sorts of sources

    def _many(self, source: Many, names: Arguments, arguments: Mapping[str, Any]) -> Bound:
        collection = source.collection
        given = names.given(arguments)
        filtered = self._where(names, given.get("where"))
        by, direction = names.order["field"], names.order["direction"]
        orders = [Order(_raw(o[by]), _raw(o[direction]) == "desc") for o in given.get("order_by") or ()]
        order = total_order(collection, orders)
        cursor_of = _cursor_of(collection, order)
        return Bound(where=filtered, order=order, page=self._page(collection, order, cursor_of, given), cursor_of=cursor_of)

    def _page(self, collection: Collection, order: tuple[Order, ...], cursor_of: str, arguments: Mapping[str, Any]) -> Page:
        first, last = arguments.get("first"), arguments.get("last")
        after, before = arguments.get("after"), arguments.get("before")
        if first is not None and last is not None:
            raise BadUserInput("first, last: expected at most one of the two, got both", argument="last")
        limit = self._limits.page_default if first is None and last is None else first if last is None else last
        self._size("first" if last is None else "last", cast("int", limit))
        return Page(
            cast("int", limit),
            backward=last is not None,
            after=None if after is None else read_cursor("after", after, cursor_of, collection, order),
            before=None if before is None else read_cursor("before", before, cursor_of, collection, order),
        )

    def _size(self, argument: str, number: int) -> None:
        if not 0 <= number <= self._limits.page_max:
            raise BadUserInput(f"{argument}: expected 0 to {self._limits.page_max} (setting page_max), got {number}", argument=argument)

    def _lookup(self, source: Lookup, names: Arguments, arguments: Mapping[str, Any]) -> Bound:
        told = [names.told[name] for name in source.by]
        given = [name for name in told if arguments.get(name) is not None]
        if len(given) != 1:
            raise BadUserInput(f"expected exactly one of {', '.join(told)}, got {' and '.join(given) or 'none'}", argument=told[0])
        name = given[0]
        column = source.collection[source.by[names.python[name]]]
        return Bound(key=self._scalar(name, column, arguments[name]), column=column.name)

    def _stats(self, source: Stats, names: Arguments, arguments: Mapping[str, Any]) -> Bound:
        given = names.given(arguments)
        interval = given.get("interval")
        columns = dict.fromkeys(_raw(group) for group in given["group_by"])
        if ("time" in columns) != (interval is not None):
            got = "an interval without TIME" if interval is not None else "TIME without an interval"
            at = names.told["group_by"]
            raise BadUserInput(f"{at}, interval: expected TIME and an interval together, got {got}", argument="interval")
        groups = tuple(Bucket(source.time, cast("Interval", _raw(interval))) if name == "time" else name for name in columns)
        return Bound(where=self._where(names, given.get("where")), groups=groups)

    def _batched(self, source: Batched, names: Arguments, arguments: Mapping[str, Any]) -> Bound:
        given, told = names.given(arguments), names.told
        key = None
        if source.key_argument is not None:
            refers = Column("", refers=source.refers)
            key = self._scalar(told[source.key_argument], refers, given.pop(source.key_argument))
        for name in source.page:
            if given.get(name) is not None:
                self._size(told[name], given[name])
        return Bound(key=key, arguments=given)

    # ---------------------------------------------------------------------------------------------------------- filters

    def _where(self, names: Arguments, where: Mapping[str, Any] | None) -> Where | None:
        if where is None:
            return None
        assert names.where is not None
        at = names.told["where"]
        broken = check_filter(self._limits, where, at)
        for error in enforced(broken):
            raise error
        self._noted += broken
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
            return [Compare(column.name, "eq", None if value is None else self._scalar(path, column, value))]
        result: list[Where] = []
        for name, operand in value.items():
            here = f"{path}.{name}"
            op = operators[name]
            if op == "is_null":
                if operand is not None:  # null: as if it were not there
                    result.append(Compare(column.name, "eq" if operand else "ne", None))
                continue
            if isinstance(operand, list):
                operand = tuple(self._scalar(here, column, item) for item in operand)
            elif operand is not None:
                operand = self._scalar(here, column, operand)
            result.append(Compare(column.name, op, operand))  # type: ignore[arg-type]
        return result

    def _scalar(self, path: str, column: Column, value: Value) -> Value:
        if not isinstance(value, str):
            return value
        self._text(path, value)
        return value if column.refers is None else self._key(path, column.refers, value)

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


# -------------------------------------------------------------------------------------------------------------- cursors


@lru_cache(maxsize=1_000)
def _cursor_of(collection: Collection, order: tuple[Order, ...]) -> str:
    return collection.name + "".join(f"{'-' if o.descending else '+'}{o.column}" for o in order)


def write_cursor(cursor_of: str, values: Sequence[Value]) -> str:
    """Return the cursor of a row: base64url, without padding, of the order's name and the row's values in it."""
    return base64.urlsafe_b64encode(orjson.dumps((cursor_of, *values))).rstrip(b"=").decode()


def read_cursor(argument: str, text: str, cursor_of: str, collection: Collection, order: Sequence[Order]) -> tuple[Value, ...]:
    """Return the values of a cursor, one per column of ``order``; BadUserInput when it is none or of another order."""
    values: Any = None
    if len(text) <= 65_536:
        try:
            values = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (ValueError, binascii.Error, UnicodeEncodeError):
            values = None
    if not isinstance(values, list) or len(values) != len(order) + 1 or not isinstance(values[0], str):
        raise BadUserInput(f"{argument}: expected a cursor of this connection, got {_shown(text)}", argument=argument)
    if values[0] != cursor_of:
        raise BadUserInput(f"{argument}: expected a cursor of this connection in this order, got one of another", argument=argument)
    for item, value in zip(order, values[1:], strict=True):
        if not _fits(collection[item.column], value):
            raise BadUserInput(f"{argument}: expected a cursor of this connection, got {_shown(text)}", argument=argument)
    return tuple(values[1:])


def _fits(column: Column, value: Value) -> bool:
    if value is None:
        return True
    match column.type:
        case Type.TEXT:
            return isinstance(value, str) and "\0" not in value
        case Type.TIME:
            return _is(parse_time, value)
        case Type.DATE:
            return _is(parse_date, value)
        case Type.BOOL:
            return isinstance(value, bool)
        case Type.INT:
            return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
        case Type.FLOAT:
            return isinstance(value, (int, float)) and not isinstance(value, bool)
    return False


def _is(parse: Callable[[object], str], value: object) -> bool:
    try:
        return parse(value) == value
    except ValueError:
        return False


# -------------------------------------------------------------------------------------------------------------- helpers


def _raw(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
