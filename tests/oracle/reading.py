"""What the arguments of declared fields mean, over rows in Python: filters, orders, pages, cursors, groups, ids.

Written again from the documentation, for any graph: nothing of it is the engine's.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

from gateway.engine.sources import Batched, Lookup, Many, NodeById, NodesByIds, Source, Stats
from gateway.stores.base import Collection, Column, Measure, Type
from tests.oracle.arguments import MAX_NODES
from tests.oracle.filters import Record, compare, matches_everything
from tests.oracle.pages import MAX_PAGE, Order, distance, in_order, page_size
from tests.oracle.scalars import BadInputError, bucket_start, key_of, parse_date, parse_time


@dataclass(frozen=True, slots=True)
class Edge:
    node: Any  # a Record, or the error that stands for it
    cursor: str


@dataclass(frozen=True, slots=True)
class Page:
    """A connection as its parts read it, by name."""

    nodes: Any  # Records, or the error that stands for all of them
    edges: list[Edge]
    total_count: int
    has_next_page: bool
    has_previous_page: bool

    @property
    def page_info(self) -> Page:
        return self

    @property
    def start_cursor(self) -> str | None:
        return self.edges[0].cursor if self.edges else None

    @property
    def end_cursor(self) -> str | None:
        return self.edges[-1].cursor if self.edges else None


class Reader:
    """Reads arguments as graphql-core coerces them: by GraphQL name, enums as members. ``types`` are those that are a Node."""

    def __init__(self, types: Iterable[str]) -> None:
        self._types = tuple(types)

    # ----------------------------------------------------------------------------------------------------------- checks

    def check(self, source: Source | None, args: Mapping[str, Any]) -> None:
        """Raise BadInputError where an argument of a field of this source has a value that cannot be."""
        match source:
            case Many(home=collection):
                page_size(dict(args))
                self._check_filter(collection, args.get("where"))
                order = order_of(collection, args)
                for name in ("after", "before"):
                    read_cursor(collection, order, args.get(name))
            case Stats(collection=collection):
                self._check_filter(collection, args.get("where"))
                if ("time" in map(_value, args["groupBy"])) != (args.get("interval") is not None):
                    raise BadInputError("interval is needed with TIME in groupBy, and only then.")
            case Lookup():
                self.looked_up(source, args)
            case Batched():
                self.key_argument(source, args)
                for name in source.page:
                    if not 0 <= (batch_arguments(source, args).get(name) or 0) <= MAX_PAGE:
                        raise BadInputError(f"{name} must be from 0 to {MAX_PAGE}.")
            case NodesByIds():
                if len(args["ids"]) > MAX_NODES:
                    raise BadInputError(f"ids can be at most {MAX_NODES}, got {len(args['ids'])}.")
                for text in args["ids"]:
                    self.type_and_key(text)
            case NodeById():
                self.type_and_key(args["id"])

    def _check_filter(self, collection: Collection, where: Mapping[str, Any] | None) -> None:
        for name, asked in (where or {}).items():
            if name in ("and", "or"):
                for item in asked or ():
                    self._check_filter(collection, item)
            elif name == "not":
                self._check_filter(collection, asked)
            else:
                for operand in asked.values() if isinstance(asked, Mapping) else (asked,):
                    self._operand(collection[snake(name)], operand)

    # ------------------------------------------------------------------------------------------------------------- keys

    def looked_up(self, source: Lookup, args: Mapping[str, Any]) -> tuple[str, Any]:
        """Return the column that a row is looked up by, and what it must be."""
        given = [name for name in source.by if args.get(name) is not None]
        if len(given) != 1:
            raise BadInputError(f"Expected exactly one of {', '.join(source.by)}.")
        column = source.collection[source.by[given[0]]]
        return column.name, self._operand(column, args[given[0]])

    def key_argument(self, source: Batched, args: Mapping[str, Any]) -> Any:
        """Return the key that an argument of a batch names; None where its key is the parent's."""
        given = {snake(name): value for name, value in args.items()}
        if source.key_argument is None:
            return None
        return self._operand(Column("", refers=source.refers), given[source.key_argument])

    def type_and_key(self, text: str) -> tuple[str, str]:
        """Return both parts of an id whose type is not known otherwise."""
        type_name, colon, key = _without_nul(text).partition(":")
        if not colon or type_name not in self._types:
            raise BadInputError(f"Expected an id with its type, got {text!r}.")
        return type_name, key

    def _operand(self, column: Column, value: Any) -> Any:
        """Return what a column is compared with: of ids the keys."""
        if isinstance(value, list):
            return [self._operand(column, item) for item in value]
        if not isinstance(value, str):
            return value
        return _without_nul(value) if column.refers is None else key_of(column.refers, _without_nul(value), self._types)

    # ------------------------------------------------------------------------------------------------------------- rows

    def matches(self, collection: Collection, record: Record, where: Mapping[str, Any] | None) -> bool:
        """Say whether a row fulfils every field of ``where``: two-valued logic."""
        return all(self._holds(collection, record, name, asked) for name, asked in (where or {}).items())

    def _holds(self, collection: Collection, record: Record, name: str, asked: Any) -> bool:
        if name in ("and", "or", "not"):
            if asked is None:
                return True  # as if it were absent
            if name == "not":
                return not self.matches(collection, record, asked)
            return (all if name == "and" else any)(self.matches(collection, record, item) for item in asked)
        column = collection[snake(name)]
        operations = asked if isinstance(asked, Mapping) else {"eq": asked}
        return all(compare(record[column.name], operator, self._operand(column, operand)) for operator, operand in operations.items())

    def page(self, collection: Collection, records: Iterable[Record], args: Mapping[str, Any]) -> Page:
        """Return a page of a parent's rows."""
        return _page(collection, [record for record in records if self.matches(collection, record, args.get("where"))], args)

    def page_of_keys(self, collection: Collection, keys: Iterable[str], args: Mapping[str, Any], error: Exception) -> Page:
        """Return what the keys alone tell of a page whose rows failed; the error where it takes the rows to know it."""
        key = collection.key[0]
        if [name for name, _ in order_of(collection, args)] != [key] or not matches_everything(_plain(args.get("where"))):
            raise error
        found = _page(collection, [{key: value} for value in set(keys)], args)
        return Page(
            error if found.edges else [],
            [Edge(error, edge.cursor) for edge in found.edges],
            found.total_count,
            found.has_next_page,
            found.has_previous_page,
        )

    def groups(self, source: Stats, records: Iterable[Record], args: Mapping[str, Any]) -> list[Record]:
        """Return a row per combination of the asked groups, ordered by them, ascending, nulls last."""
        names = list(dict.fromkeys(_value(group) for group in args["groupBy"]))
        found: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
        for record in records:
            if self.matches(source.collection, record, args.get("where")):
                found[tuple(_group_value(source, record, name, args) for name in names)].append(record)
        rows: list[Record] = []
        for group in sorted(found, key=lambda values: [(value is None, 0 if value is None else value) for value in values]):
            row = dict(zip([source.bucket or "" if name == "time" else name for name in names], group, strict=True))
            rows.append(row | {name: _measured(measure, found[group]) for name, measure in source.measures})
        return rows


def _group_value(source: Stats, record: Record, name: str, args: Mapping[str, Any]) -> Any:
    if name != "time":
        return record[name]
    assert source.time is not None
    time = record[source.time]
    return None if time is None else bucket_start(time, _value(args["interval"]).upper())


def _measured(measure: Measure, records: Sequence[Record]) -> Any:
    """Return a measure, in exact numbers until the end."""
    if measure.column is None:
        return len(records)
    values = [value for record in records if (value := record[measure.column]) is not None]
    if not values:
        return None
    if measure.function in ("min", "max"):
        return min(values) if measure.function == "min" else max(values)
    exact = sum(map(Fraction, values))
    total = int(exact) if isinstance(values[0], int) else float(exact)
    if measure.function == "sum":
        return total
    return float(exact / len(values)) if isinstance(total, int) else total / len(values)


def batch_arguments(source: Batched, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a batch function is called with, by its own names."""
    return {snake(name): value for name, value in args.items() if snake(name) != source.key_argument}


# -------------------------------------------------------------------------------------------------------- orders and pages


def order_of(collection: Collection, args: Mapping[str, Any]) -> Order:
    """Return the whole order: a column said again says nothing new, and the key, ascending, breaks every tie."""
    order: Order = []
    asked = [(_value(item["field"]), _value(item["direction"]) == "desc") for item in args.get("orderBy") or ()]
    for column, descending in [*asked, *((column, False) for column in collection.key)]:
        if column not in [name for name, _ in order]:
            order.append((column, descending))
        if set(collection.key) <= {name for name, _ in order}:
            break
    return order


def _page(collection: Collection, records: Sequence[Record], args: Mapping[str, Any]) -> Page:
    order = order_of(collection, args)
    size, backward = page_size(dict(args))
    after, before = (read_cursor(collection, order, args.get(name)) for name in ("after", "before"))
    everything = in_order(records, order)
    window = [
        record
        for record in everything
        if (after is None or distance(record, after, order) > 0) and (before is None or distance(record, before, order) < 0)
    ]
    shown = window[max(len(window) - size, 0) :] if backward else window[:size]
    more = len(window) > size
    return Page(
        shown,
        [Edge(record, cursor(collection, order, record)) for record in shown],
        len(everything),
        before is not None if backward else more,
        more if backward else after is not None,
    )


def cursor(collection: Collection, order: Order, record: Record) -> str:
    """Return where a row stands in this order: base64url, without padding, of JSON."""
    content = json.dumps(
        [_cursor_of(collection, order), *(record[column] for column, _ in order)], ensure_ascii=False, separators=(",", ":")
    )
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def read_cursor(collection: Collection, order: Order, text: str | None) -> list[Any] | None:
    """Return the values in a cursor, None where there is no cursor. One of something else is bad input."""
    if text is None:
        return None
    try:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
            raise ValueError("not base64url")
        fits, *values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if fits != _cursor_of(collection, order):
            raise ValueError("of another order")
        for (name, _), value in zip(order, values, strict=True):
            _check_value(collection[name], value)
    except (ValueError, TypeError, binascii.Error) as exc:
        raise BadInputError("The cursor is none of this connection in this order.") from exc
    return list(values)


def _cursor_of(collection: Collection, order: Order) -> str:
    return collection.name + "".join(f"{'-' if descending else '+'}{column}" for column, descending in order)


def _check_value(column: Column, value: Any) -> None:
    if value is None:
        return
    kinds: dict[Type, tuple[type, ...]] = {Type.BOOL: (bool,), Type.INT: (int,), Type.FLOAT: (int, float)}
    if type(value) not in kinds.get(column.type, (str,)):
        raise ValueError(f"{column.name}: {value!r}")
    if column.type is Type.INT and not -(2**63) <= value < 2**63:
        raise ValueError(f"{column.name}: {value!r}")
    if (column.type is Type.TIME and parse_time(value) != value) or (column.type is Type.DATE and parse_date(value) != value):
        raise ValueError(f"{column.name}: {value!r}")
    if isinstance(value, str) and "\0" in value:
        raise ValueError(f"{column.name}: {value!r}")


# ----------------------------------------------------------------------------------------------------------------- values


def snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _value(item: Any) -> Any:
    return item.value if isinstance(item, Enum) else item


def _plain(where: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if where is None else dict(where)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise BadInputError("Text cannot hold the character U+0000.")
    return text
