"""What the gateway must answer, found out as simply as can be: over all rows in memory, one row after the other.

Operations are trees of ``Field``. Where a field's rows come from is read from the graph (which column leads to which collection); what
follows from it (which rows a filter leaves, their order, pages, joins, counts, how a value is written) is worked out here, with nothing of
the gateway's engine or stores.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from graphql import GraphQLObjectType, GraphQLOutputType, get_named_type, is_list_type, is_non_null_type

from gateway.engine.sources import Computed, Each, Embedded, FromColumn, Lookup, Many, ManyThrough, One, Stats
from gateway.engine.sources.source import source_in
from gateway.stores.base import Collection, Column, Type
from tests.existing.graph import GRAPH
from tests.existing.rows import DRIFT, Record, Rows, at_path, plain_value

SCHEMA = GRAPH.schema._schema
PAGE_DEFAULT = 10

Predicate = Callable[[Record], bool]


def everything(_: Record) -> bool:
    return True


@dataclass(slots=True)
class Field:
    """A field of an operation: its name there and in the schema, and its arguments as text and as what they mean."""

    key: str
    name: str
    text: str = ""  # of the arguments, with their parentheses
    fields: list[Field] = field(default_factory=list)
    on: str = ""  # the type of which it is, in a fragment below an interface
    where: Predicate = everything
    order: Sequence[tuple[str, bool]] = ()  # column, descending
    first: int | None = None
    last: int | None = None
    after: int | None = None  # the place of the row whose cursor it is, in the whole order
    before: int | None = None
    groups: Sequence[str] = ()
    interval: str = ""
    wanted: Any = None  # a look-up: column and key

    def document(self, indent: str = "  ") -> str:
        alias = "" if self.key == self.name else f"{self.key}: "
        below = "".join(f"{inner.document(indent + '  ')}\n" for inner in self.fields)
        return f"{indent}{alias}{self.name}{self.text}" + (f" {{\n{below}{indent}}}" if self.fields else "")


# --------------------------------------------------------------------------------------------------------- comparisons


def comparable(column: Column, value: Any) -> Any:
    """What a value of a column is compared and ordered by."""
    match column.type:
        case Type.TIME:
            return f"{value[:19]}.{value[20:-1]:0<9}"
        case Type.TEXT if column.collation == "nocase":
            return value.lower()
        case Type.ENUM:
            return column.values.index(value)
        case _:
            return value


def key_of(value: Any) -> str:
    return str(value)


def holds(column: Column, op: str, value: Any, operand: Any) -> bool:
    """Whether a comparison of the API holds for a value, by the words of docs/filters.md."""
    if op == "isNull":
        return (value is None) is operand
    if op == "isEmpty":
        return (value == []) is operand
    if op in ("eq", "ne") and operand is None:
        return (value is None) is (op == "eq")
    if op == "ne":
        return not holds(column, "eq", value, operand)
    if value is None or value is DRIFT or operand is None:
        return False
    if column.refers is not None:
        return bool(key_of(value) in operand if op == "in" else key_of(value) == operand)
    if column.many:
        return operand in value if op == "contains" else any(item in value for item in operand)
    if op == "in":
        return any(holds(column, "eq", value, one) for one in operand)
    if column.type is Type.ENUM:
        return bool(value == operand)
    mine, its = comparable(column, value), comparable(column, operand)
    ways: Mapping[str, Callable[[], bool]] = {
        "eq": lambda: mine == its,
        "gt": lambda: mine > its,
        "gte": lambda: mine >= its,
        "lt": lambda: mine < its,
        "lte": lambda: mine <= its,
        "contains": lambda: its in mine,
        "startsWith": lambda: mine.startswith(its),
    }
    return ways[op]()


def in_order(collection: Collection, rows: Iterable[Record], order: Sequence[tuple[str, bool]]) -> list[Record]:
    """The rows by these columns, and by the key: nulls, and what is none of its column's type, last in both directions."""
    ordered = list(rows)
    for name, descending in reversed([*order, *((name, False) for name in collection.key)]):
        column = collection[name]
        known = [row for row in ordered if row[name] is not None and row[name] is not DRIFT]
        unknown = [row for row in ordered if row[name] is None or row[name] is DRIFT]
        # A sort is stable, also in reverse.
        known.sort(key=lambda row, column=column: comparable(column, row[column.name]), reverse=descending)  # type: ignore[misc]
        ordered = known + unknown
    return ordered


# --------------------------------------------------------------------------------------------------------------- values


def shown(column: Column, value: Any, leaf: GraphQLOutputType) -> Any:
    """A value as the API writes it."""
    if value is None:
        return None
    leaf = leaf.of_type if is_non_null_type(leaf) else leaf
    if is_list_type(leaf):
        return [shown(column.item, item, leaf.of_type) for item in value]
    name = get_named_type(leaf).name
    if name == "ID":
        return key_of(value) if column.refers is None else f"{column.refers}:{key_of(value)}"
    if name == "BigInt":
        return str(value)
    match column.type:
        case Type.DECIMAL:
            assert round(value, column.scale) == value
            return f"{value:.{column.scale}f}"
        case Type.BYTES:
            return base64.b64encode(value).decode()
        case _:
            return value


# --------------------------------------------------------------------------------------------------------------- answers


@dataclass(slots=True)
class Oracle:
    """Answers over ``rows``; ``errors`` are the paths at which something is none of its column's type."""

    rows: Rows
    errors: set[tuple[str | int, ...]] = field(default_factory=set)
    _joined: dict[tuple[str, tuple[str, ...]], dict[tuple[str, ...], list[Record]]] = field(default_factory=dict)

    def answer(self, fields: Sequence[Field]) -> tuple[dict[str, Any], set[tuple[str | int, ...]]]:
        self.errors = set()
        query = SCHEMA.query_type
        assert query is not None
        return self._object(query, None, {}, fields, ()), self.errors

    def _object(
        self, type_: GraphQLObjectType, home: Collection | None, row: Record, fields: Sequence[Field], path: tuple[str | int, ...]
    ) -> dict[str, Any]:
        return {each.key: self._field(type_, home, row, each, (*path, each.key)) for each in fields}

    def _field(self, type_: GraphQLObjectType, home: Any, row: Record, asked: Field, path: tuple[str | int, ...]) -> Any:
        if asked.name == "__typename":
            return type_.name
        definition = type_.fields[asked.name]
        named = get_named_type(definition.type)
        match source_in(definition):
            case Many() as source:
                return self._connection(source, asked, self.below(source, home, row), path)
            case One() as source:
                found = self._by_key(source.collection, source.to or source.collection.key_name, _values(row, source.by))
                return None if found is None else self._object(named, source.collection, found, asked.fields, path)
            case Lookup(collection=collection):
                by, key = asked.wanted
                found = self._by_key(collection, by, key)
                return None if found is None else self._object(named, collection, found, asked.fields, path)
            case Embedded() as source:
                return self._embedded(source, named, row[source.column], asked, path)
            case Stats() as source:
                return self._stats(source, named, home, row, asked, path)
            case FromColumn(column=name):
                return self._leaf(home, row, name, definition.type, path)
            case None if asked.name == "id":
                return f"{home.type_name}:{','.join(key_of(row[name]) for name in home.key)}"
            case None:
                return self._leaf(home, row, _snake(asked.name), definition.type, path)
            case Each() | Computed() as source:
                raise NotImplementedError(source)
            case source:
                raise NotImplementedError(source)

    def _leaf(self, home: Any, row: Record, name: str, leaf: GraphQLOutputType, path: tuple[str | int, ...]) -> Any:
        if row[name] is DRIFT:
            self.errors.add(path)
            return None
        return shown(home[name], row[name], leaf)

    # ------------------------------------------------------------------------------------------------------------ joins

    def _grouped(self, collection: Collection, names: Sequence[str]) -> dict[tuple[str, ...], list[Record]]:
        found = self._joined.get((collection.name, tuple(names)))
        if found is None:
            found = self._joined[collection.name, tuple(names)] = {}
            for row in self.rows[collection.name]:
                values = [row[name] for name in names]
                if None not in values and DRIFT not in values:
                    found.setdefault(tuple(map(key_of, values)), []).append(row)
        return found

    def _by_key(self, collection: Collection, by: str, key: tuple[str, ...] | None) -> Record | None:
        found = [] if key is None else self._grouped(collection, by.split(",")).get(key, [])
        assert len(found) <= 1
        return found[0] if found else None

    def below(self, source: Many, home: Any, row: Record) -> Sequence[Record]:
        """All rows of a connection below a row, in any order."""
        if isinstance(source, ManyThrough):
            return self._through(source, home, row)
        if source.by is None:
            return self.rows[source.collection.name]
        key = _values(row, source.to or home.key_name)
        return [] if key is None else self._grouped(source.collection, (source.by or "").split(",")).get(key, [])

    def _through(self, source: ManyThrough, home: Any, row: Record) -> Sequence[Record]:
        through = source.through
        edges = self._grouped(through.edges, through.parent.split(",")).get(_values(row, source.to or home.key_name) or (), [])
        keys = {_values(edge, through.node) for edge in edges}
        return [node for key in keys if (node := self._by_key(source.collection, source.collection.key_name, key)) is not None]

    def _embedded(self, source: Embedded, named: Any, value: Any, asked: Field, path: tuple[str | int, ...]) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            return [self._embedded(source, named, item, asked, (*path, place)) for place, item in enumerate(value)]
        row = {column.name: plain_value(column, at_path(value, column.path)) for column in source.columns}
        return self._object(named, _Embedding(source), row, asked.fields, path)  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------------------------ connections

    def _connection(self, source: Many, asked: Field, rows: Iterable[Record], path: tuple[str | int, ...]) -> Any:
        collection = source.collection
        ordered = in_order(collection, filter(asked.where, rows), asked.order)
        page, has_previous, has_next = page_of(ordered, asked)
        info = {"hasNextPage": has_next, "hasPreviousPage": has_previous}
        type_: Any = next(node for node in SCHEMA.type_map.values() if node.name == collection.type_name)
        out: dict[str, Any] = {}
        for part in asked.fields:
            match part.name:
                case "totalCount":
                    out[part.key] = len(ordered)
                case "pageInfo":
                    out[part.key] = {inner.key: info[inner.name] for inner in part.fields}
                case "nodes":
                    out[part.key] = [
                        self._object(type_, collection, row, part.fields, (*path, part.key, place)) for place, row in enumerate(page)
                    ]
                case "edges":
                    out[part.key] = [
                        {
                            inner.key: self._object(type_, collection, row, inner.fields, (*path, part.key, place, inner.key))
                            for inner in part.fields
                            if inner.name == "node"
                        }
                        for place, row in enumerate(page)
                    ]
        return out

    # ------------------------------------------------------------------------------------------------------------ stats

    def _stats(self, source: Stats, named: Any, home: Any, row: Record, asked: Field, path: tuple[str | int, ...]) -> Any:
        collection = source.collection
        rows: Iterable[Record] = self.rows[collection.name]
        if source.by is not None:
            key = _values(row, source.to or home.key_name)
            rows = [] if key is None else self._grouped(collection, source.by.split(",")).get(key, [])
        groups: dict[tuple[Any, ...], list[Record]] = {}
        for one in filter(asked.where, rows):
            groups.setdefault(tuple(_group(source, one, name, asked.interval) for name in asked.groups), []).append(one)
        rowed = _StatRow(source, collection)
        made = []
        for values, members in groups.items():
            stat: dict[str, Any] = dict.fromkeys([*collection.names, *([source.bucket] if source.bucket else [])])
            stat.update(zip(((source.bucket or "") if name == "time" else name for name in asked.groups), values, strict=True))
            for name, measure in source.measures:
                stat[name] = _measured(measure.function, [one[measure.column] for one in members] if measure.column else members)
            made.append(stat)
        for name in reversed(asked.groups):
            column = rowed[(source.bucket or "") if name == "time" else name]
            known = [stat for stat in made if stat[column.name] is not None]
            known.sort(key=lambda stat, column=column: comparable(column, stat[column.name]))  # type: ignore[misc]
            made = known + [stat for stat in made if stat[column.name] is None]
        return [self._object(named, rowed, stat, asked.fields, (*path, place)) for place, stat in enumerate(made)]  # type: ignore[arg-type]


def page_of(ordered: Sequence[Record], asked: Field) -> tuple[Sequence[Record], bool, bool]:
    """A page, whether there is one before it, and whether there is one behind it, as docs and the Relay specification have it."""
    start = 0 if asked.after is None else asked.after + 1
    end = len(ordered) if asked.before is None else asked.before
    between = ordered[start : max(start, end)]
    if asked.last is not None:
        return (
            between[len(between) - asked.last :] if asked.last < len(between) else between,
            asked.last < len(between),
            asked.before is not None,
        )
    limit = PAGE_DEFAULT if asked.first is None else asked.first
    return between[:limit], asked.after is not None, limit < len(between)


class _Embedding:
    """The columns of what is embedded, by name."""

    key = ()

    def __init__(self, source: Embedded) -> None:
        self._columns = {column.name: column for column in source.columns}

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]


class _StatRow:
    """The columns of a row of counts, by name: groups, the bucket, and measures with the type of what they measure."""

    key = ()

    def __init__(self, source: Stats, collection: Collection) -> None:
        self._columns = dict(collection.declared)
        if source.bucket and source.time:
            time = collection[source.time]
            self._columns[source.bucket] = Column(source.bucket, Type.TIME, precision=time.precision)
        for name, measure in source.measures:
            if measure.function == "count" or measure.column is None:
                self._columns[name] = Column(name, Type.INT)
            elif measure.function == "avg" and collection[measure.column].type is Type.INT:
                self._columns[name] = Column(name, Type.FLOAT)
            else:
                measured = collection[measure.column]
                self._columns[name] = Column(name, measured.type, scale=measured.scale, precision=measured.precision)

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]


def _group(source: Stats, row: Record, name: str, interval: str) -> Any:
    if name != "time":
        return row[name]
    assert source.time is not None
    time = row[source.time]
    if time is None:
        return None
    moment = datetime.fromisoformat(time[:19])
    start = {
        "HOUR": lambda: moment.replace(minute=0, second=0),
        "DAY": lambda: moment.replace(hour=0, minute=0, second=0),
        "WEEK": lambda: (moment - timedelta(days=moment.weekday())).replace(hour=0, minute=0, second=0),
        "MONTH": lambda: moment.replace(day=1, hour=0, minute=0, second=0),
    }[interval]()
    return f"{start:%Y-%m-%dT%H:%M:%S}.{'0' * len(time[20:-1])}Z"


def _measured(function: str, values: Sequence[Any]) -> Any:
    if function == "count":
        return len(values)
    known = [value for value in values if value is not None]
    if not known:
        return None
    match function:
        case "min":
            return min(known)
        case "max":
            return max(known)
        case "sum":
            return sum(known, Decimal(0)) if isinstance(known[0], Decimal) else sum(known)
        case _:
            return sum(known) / len(known)


def _values(row: Record, names: str) -> tuple[str, ...] | None:
    values = [row[name] for name in names.split(",")]
    return None if None in values or DRIFT in values else tuple(map(key_of, values))


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
