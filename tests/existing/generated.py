"""Operations made at random over the graph, and the same operations as the oracle takes them: filters, orders, pages, joins, counts."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from graphql import GraphQLObjectType, get_named_type, is_leaf_type
from strawberry.utils.str_converters import to_camel_case

from gateway.engine.sources import Embedded, Lookup, Many, One, Stats
from gateway.engine.sources.source import source_in
from gateway.stores.base import Collection, Column, Type
from tests.existing.graph import COLLECTIONS
from tests.existing.oracle import SCHEMA, Field, Predicate, everything, holds
from tests.existing.rows import DRIFT, Rows

EQUALITY = ("eq", "ne", "in")
ORDERED = (*EQUALITY, "gt", "gte", "lt", "lte")
OPERATORS = {
    Type.TEXT: (*ORDERED, "contains", "startsWith"),
    Type.BOOL: ("eq", "ne"),
    Type.BYTES: EQUALITY,
    Type.ENUM: EQUALITY,
    Type.JSON: ("isNull",),
}
OF_LISTS = ("contains", "containsAny", "isEmpty", "isNull")
BY_TYPE = {collection.type_name: collection for collection in COLLECTIONS}


def operators_of(column: Column) -> Sequence[str]:
    if column.many:
        return OF_LISTS
    return EQUALITY if column.refers is not None else OPERATORS.get(column.type, ORDERED)


@dataclass(frozen=True, slots=True)
class Filter:
    text: str
    holds: Predicate


# ------------------------------------------------------------------------------------------------------------- operands


def literal(column: Column, value: Any) -> str:
    """A value of a column as a client writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return json.dumps(value)
        case bytes():
            return json.dumps(base64.b64encode(value).decode())
        case int() if column.bits == 64:
            return json.dumps(str(value)) if value % 2 else str(value)
        case int() | float():
            return repr(value)
        case Decimal():
            return json.dumps(f"{value:f}")
        case _:
            return json.dumps(value, ensure_ascii=False)


def operand(chance: random.Random, column: Column, op: str, rows: Sequence[Any]) -> tuple[str, Any]:
    """What a client compares with, as text and as what the oracle takes."""
    if op in ("isNull", "isEmpty"):
        value = chance.random() < 0.5
        return json.dumps(value), value
    if op in ("in", "containsAny"):
        count = chance.choice((0, 1, 1, 2, 3, 8))
        pairs = [_one(chance, column, "eq" if op == "in" else "contains", rows) for _ in range(count)]
        return f"[{', '.join(text for text, _ in pairs)}]", [value for _, value in pairs]
    if op in ("eq", "ne") and chance.random() < 0.1:
        return "null", None
    return _one(chance, column, op, rows)


def _one(chance: random.Random, column: Column, op: str, rows: Sequence[Any]) -> tuple[str, Any]:
    known = [value for row in chance.sample(rows, min(len(rows), 8)) if (value := row[column.name]) is not None and value is not DRIFT]
    value = chance.choice(known) if known else _some(column)
    if column.refers is not None:
        key = chance.choice((str(value), str(value), str(value), "0", "no key", "-1", "007"))
        return json.dumps(chance.choice((f"{column.refers}:{key}", key))), key
    if column.many:
        item = chance.choice(value) if value else _some(column.item)
        return _one_of(chance, column.item, op, item)
    return _one_of(chance, column, op, value)


def _one_of(chance: random.Random, column: Column, op: str, value: Any) -> tuple[str, Any]:
    value = _near(chance, column, value)
    if column.type in (Type.TEXT, Type.TEXTS) and op in ("contains", "startsWith") and not column.many:
        start = 0 if op == "startsWith" and chance.random() < 0.8 else chance.randrange(len(value) + 1)
        value = value[start : start + chance.randint(0, 4)]
    return literal(column, value), value


def _near(chance: random.Random, column: Column, value: Any) -> Any:
    """The value itself, or one near it that the column may not have, or cannot hold."""
    if chance.random() < 0.6:
        return value
    match column.type:
        case Type.INT:
            return value + chance.choice((-1, 1))
        case Type.FLOAT:
            return value + chance.choice((-0.001, 0.5))
        case Type.DECIMAL:
            return value + Decimal(chance.choice(("0.001", "-0.01", "0.00000000000000000001", "1", "0.0")))
        case Type.TIME:
            more = f"{value[:-1]:0<28}{chance.choice('01')}Z"  # nine digits, of which the column may have fewer
            return chance.choice((more, f"{value[:11]}00:00:00Z"))
        case Type.DATE:
            return f"{value[:8]}01"
        case Type.TEXT:
            return chance.choice((value.swapcase(), value[:-1], f"{value} ", "", "%", "_", "é", "\U0001f600", '"\\'))
        case Type.UUID:
            return f"{value[:-1]}0"
        case Type.OBJECT_ID:
            return f"{value[:-1]}f"
        case Type.BYTES:
            return value[:3]
        case Type.BOOL:
            return not value
        case Type.ENUM:
            return chance.choice(column.values)
    return value


def _some(column: Column) -> Any:
    return {
        Type.TEXT: "x",
        Type.TEXTS: ["x"],
        Type.INT: 1,
        Type.DECIMAL: Decimal(1),
        Type.TIME: "2020-01-01T00:00:00.000Z",
        Type.UUID: "00000000-0000-0000-0000-000000000000",
        Type.OBJECT_ID: "0" * 24,
        Type.BYTES: b"x",
        Type.FLOAT: 1.5,
        Type.BOOL: True,
        Type.DATE: "2020-01-01",
        Type.ENUM: column.values[:1] and column.values[0],
    }[column.type]


# -------------------------------------------------------------------------------------------------------------- filters


def comparison(chance: random.Random, column: Column, op: str, rows: Sequence[Any]) -> Filter:
    text, value = operand(chance, column, op, rows)
    name = to_camel_case(column.name)
    return Filter(f"{{{name}: {{{op}: {text}}}}}", lambda row: holds(column, op, row[column.name], value))


def filter_by(chance: random.Random, collection: Collection, rows: Rows, depth: int = 0) -> Filter:
    kind = chance.random()
    if depth < 2 and kind < 0.25:
        items = [filter_by(chance, collection, rows, depth + 1) for _ in range(chance.choice((0, 1, 2, 2, 3)))]
        word, of = chance.choice((("and", all), ("or", any)))
        return Filter(f"{{{word}: [{', '.join(item.text for item in items)}]}}", lambda row: of(item.holds(row) for item in items))
    if depth < 2 and kind < 0.4:
        item = filter_by(chance, collection, rows, depth + 1)
        return Filter(f"{{not: {item.text}}}", lambda row: not item.holds(row))
    chosen = chance.sample(collection.columns, chance.choice((1, 1, 2)))
    parts = [comparison(chance, column, chance.choice(operators_of(column)), rows[collection.name]) for column in chosen]
    if chance.random() < 0.03:
        return Filter("{}", everything)
    return Filter(f"{{{', '.join(part.text[1:-1] for part in parts)}}}", lambda row: all(part.holds(row) for part in parts))


# ----------------------------------------------------------------------------------------------------------- operations


@dataclass(slots=True)
class Generator:
    """Operations from one seed. ``budget`` bounds how many fields with rows an operation has."""

    chance: random.Random
    rows: Rows
    budget: int = 0
    _names: int = 0

    def operation(self) -> list[Field]:
        self.budget, self._names = 6, 0
        query: Any = SCHEMA.query_type
        roots = [name for name in query.fields if name not in ("node", "nodes")]
        chosen = self.chance.sample(roots, self.chance.choice((1, 1, 2)))
        return [self._rows(query, name, depth=0) for name in chosen]

    def _key(self) -> str:
        self._names += 1
        return f"f{self._names}"

    def _rows(self, type_: GraphQLObjectType, name: str, depth: int) -> Field:
        self.budget -= 1
        definition = type_.fields[name]
        named: Any = get_named_type(definition.type)
        made = Field(self._key(), name)
        match source_in(definition):
            case Many() as source:
                self._connection(made, source, depth)
            case Lookup() as source:
                self._lookup(made, source)
                made.fields = self._fields(named, depth + 1)
            case Stats() as source:
                self._stats(made, source, type_.fields[name])
                made.fields = self._fields(named, depth + 1)
            case _:
                made.fields = self._fields(named, depth + 1)
        return made

    def _lookup(self, made: Field, source: Lookup) -> None:
        argument, by = self.chance.choice(list(source.by.items()))
        row = self.chance.choice(self.rows[source.collection.name])
        values = tuple(str(row[name]) for name in by.split(","))
        if self.chance.random() < 0.2:
            values = (*values[:-1], "0")
        key = ",".join(values)
        type_name = source.collection.type_name if by == source.collection.key_name else source.collection[by].refers
        made.text = f"({to_camel_case(argument)}: {json.dumps(self.chance.choice((key, f'{type_name}:{key}')))})"
        made.wanted = (by, values)

    def connection_of(self, made: Field, source: Many) -> None:
        """Give a connection the arguments where and orderBy, or one of them, or none."""
        made.text = f"({', '.join(self._where_and_order(made, source))})"

    def _where_and_order(self, made: Field, source: Many) -> list[str]:
        collection, chance = source.collection, self.chance
        arguments = []
        if chance.random() < 0.5:
            where = filter_by(chance, collection, self.rows)
            arguments.append(f"where: {where.text}")
            made.where = where.holds
        if chance.random() < 0.6:
            ordered = [column for column in collection.columns if column.type is not Type.JSON and not column.many]
            chosen = chance.sample(ordered, min(len(ordered), chance.choice((1, 1, 2))))
            made.order = [(column.name, chance.random() < 0.5) for column in chosen]
            shown = ", ".join(
                f"{{field: {'KEY' if collection.key == (name,) else name.upper()}, direction: {'DESC' if descending else 'ASC'}}}"
                for name, descending in made.order
            )
            arguments.append(f"orderBy: [{shown}]")
        return arguments

    def _connection(self, made: Field, source: Many, depth: int) -> None:
        collection, chance = source.collection, self.chance
        arguments = self._where_and_order(made, source)
        size = chance.choice((0, 1, 2, 3, 5)) if depth else chance.choice((1, 3, 10, 40))
        match chance.randrange(5):
            case 0 if depth:
                pass  # as many as the default says
            case 1:
                made.last = size
                arguments.append(f"last: {size}")
            case _:
                made.first = size
                arguments.append(f"first: {size}")
        made.text = f"({', '.join(arguments)})" if arguments else ""
        type_: Any = SCHEMA.type_map[collection.type_name or ""]
        parts = chance.sample(("nodes", "edges", "totalCount", "pageInfo"), chance.choice((1, 2, 3)))
        if not {"nodes", "edges"} & set(parts):
            parts.append("nodes")
        for part in parts:
            match part:
                case "nodes":
                    made.fields.append(Field(self._key(), "nodes", fields=self._fields(type_, depth + 1)))
                case "edges":
                    node = Field(self._key(), "node", fields=self._fields(type_, depth + 1))
                    made.fields.append(Field(self._key(), "edges", fields=[node]))
                case "totalCount":
                    made.fields.append(Field(self._key(), "totalCount"))
                case _:
                    flags = [Field(self._key(), name) for name in ("hasNextPage", "hasPreviousPage")]
                    made.fields.append(Field(self._key(), "pageInfo", fields=flags))

    def _stats(self, made: Field, source: Stats, definition: Any) -> None:
        chance = self.chance
        enum = get_named_type(definition.args["groupBy"].type)
        names = {name: str(getattr(value.value, "value", value.value)) for name, value in enum.values.items()}
        chosen = chance.sample(list(names), chance.randint(0, min(2, len(names))))
        made.groups = [names[name] for name in chosen]
        arguments = [f"groupBy: [{', '.join(chosen)}]"]
        if "time" in made.groups:
            made.interval = chance.choice(("HOUR", "DAY", "WEEK", "MONTH"))
            arguments.append(f"interval: {made.interval}")
        if chance.random() < 0.5:
            where = filter_by(chance, source.collection, self.rows)
            arguments.append(f"where: {where.text}")
            made.where = where.holds
        made.text = f"({', '.join(arguments)})"

    def _fields(self, type_: GraphQLObjectType, depth: int) -> list[Field]:
        leaves = [name for name, definition in type_.fields.items() if is_leaf_type(get_named_type(definition.type))]
        chosen = self.chance.sample(leaves, self.chance.randint(1, min(5, len(leaves))))
        made = [Field(self._key(), name) for name in chosen]
        if self.chance.random() < 0.1:
            made.append(Field(self._key(), "__typename"))
        below = [name for name in type_.fields if name not in leaves and self._may_follow(type_, name, depth)]
        for name in self.chance.sample(below, min(len(below), self.chance.choice((0, 1, 1, 2)))):
            if self.budget > 0 and depth <= 4:
                made.append(self._rows(type_, name, depth))
        return made

    def _may_follow(self, type_: GraphQLObjectType, name: str, depth: int) -> bool:
        source = source_in(type_.fields[name])
        return isinstance(source, One | Embedded) or (depth <= 2 and isinstance(source, Many | Stats))


def document(fields: Sequence[Field]) -> str:
    below = "\n".join(field.document() for field in fields)
    return f"{{\n{below}\n}}"


def operations(seed: int, count: int, rows: Rows) -> Iterator[tuple[int, list[Field]]]:
    """Operations with the number that makes each again."""
    for number in range(seed, seed + count):
        yield number, Generator(random.Random(number), rows).operation()
