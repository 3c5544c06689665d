"""Hypothesis strategies for operations over the whole read contract: valid by construction, bounded in size.

    @given(operations(Pool.from_folder(path)))
    def test_…(operation): …                     operation.query, operation.variables, operation.operation_name

Beside them, ``invalid_operations()``: what must be refused, and with which code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from hypothesis import strategies as st

from tests.oracle.comparing import Operation
from tests.oracle.invalid import Invalid, invalid_operations, with_cursor
from tests.oracle.rows import Rows, odd_rows

__all__ = ["Invalid", "Operation", "Pool", "invalid_operations", "operations", "with_cursor"]

SCHEMA = build_schema(Path(__file__).with_name("contract.graphql").read_text(encoding="utf-8"))

ODD_TEXTS = ("", "%", "_", "\\", "'", '"', "😀", "e\u0301", "a.*", "{}", "$where", "' OR 1=1--", "\n", "\uffee", "\\u0041", "{{x}}", "`")
ODD_TIMES = (
    "2020-01-01T00:00:00.000Z",
    "2010-12-31T23:59:59.999Z",
    "2011-06-15T02:00:00+02:00",
    "2012-02-29T12:30:00Z",
    "1969-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59.999Z",
)
PAGE_SIZES = (3, 1, 2, 5, 0, 10, 25, 100)
DEFAULT_PAGE = 10


@dataclass(frozen=True, slots=True)
class Pool:
    """Real values to ask for: keys by type, texts by filter field, times, emails."""

    keys: dict[str, list[str]]
    texts: dict[str, list[str]]
    times: list[str]

    @classmethod
    def from_rows(cls, rows: Rows) -> Pool:
        """Take the values of some rows. Keys come sorted, so that hypothesis shrinks to the same ones each time."""

        def distinct(table: list[dict[str, Any]], *columns: str) -> list[str]:
            return sorted({row[c] for row in table for c in columns if row.get(c) is not None})

        tables = {"User": rows.users, "Post": rows.posts, "Event": rows.events}
        texts = {
            "name": distinct(rows.users, "name"),
            "email": distinct(rows.users, "email"),
            "title": distinct(rows.posts, "title"),
            "content": distinct(rows.posts, "content"),
            "language": distinct(rows.posts, "language"),
            "forum": distinct(rows.posts, "forum"),
            "type": distinct(rows.events, "type"),
        }
        times = [*distinct([*rows.users, *rows.posts], "created_at", "updated_at"), *distinct(rows.events, "occurred_at")]
        return cls({name: distinct(table, "id") for name, table in tables.items()}, texts, times)

    @classmethod
    def from_folder(cls, folder: Path) -> Pool:
        return cls.from_rows(Rows.from_folder(folder))

    @classmethod
    def odd(cls) -> Pool:
        """Take the values of the small set of odd rows (``tests.oracle.rows.odd_rows``)."""
        return cls.from_rows(odd_rows())


def operations(pool: Pool, *, max_depth: int = 4, max_objects: int = 1_500, faults: bool = False) -> st.SearchStrategy[Operation]:
    """Give valid operations. ``max_depth`` counts nouns, ``max_objects`` is the product of page sizes, summed over all lists.

    ``faults`` leaves out what nobody needs a store for, such as empty pages: whether a store that is down is asked all the same for
    those is open.
    """

    @st.composite
    def one(draw: st.DrawFn) -> Operation:
        count = draw(st.sampled_from((1, 1, 1, 2, 3)))
        named = count > 1 or draw(st.booleans())
        writers = [
            _Writer(draw, pool, f"O{n}_" if count > 1 else "", max_depth, _Budget(max_objects // count, 50 // count), faults)
            for n in range(count)
        ]
        texts = [writer.operation(f"Op{n}" if named else "") for n, writer in enumerate(writers)]
        chosen = draw(st.integers(0, count - 1))
        name = f"Op{chosen}" if count > 1 or (named and draw(st.booleans())) else None
        return Operation("\n\n".join(texts), writers[chosen].values, name)

    return one()


# -------------------------------------------------------------------------------------------------------------- writing


@dataclass(frozen=True, slots=True)
class _Fragment:
    """A finished fragment, to be spread again: what it costs for one parent."""

    name: str
    on: str
    depth: int
    objects: int
    selections: int
    aliases: int
    page: int


@dataclass(slots=True)
class _Budget:
    """What is left for one operation. Together with ``max_depth`` these keep within every limit a gateway may have on documents."""

    objects: int
    selections: int
    aliases: int = 20
    directives: int = 10
    variables: int = 14
    fragments: int = 3


@dataclass(frozen=True, slots=True)
class _Place:
    """Where selections are written: the type, how many objects there will be, and what response names are taken."""

    type_name: str
    depth: int
    times: int
    page: int  # how many objects each connection above ``nodes`` and ``edges`` holds
    names: set[str]
    in_fragment: bool = False


_ANCHORS = {"EventStat": "count", "Recommendation": "score", "PageInfo": "hasNextPage"}
_CONNECTION_FIELDS = ("nodes", "nodes", "nodes", "edges", "edges", "pageInfo", "totalCount")
_QUERY_FIELDS = ("users", "users", "posts", "posts", "events", "user", "post", "event", "node", "nodes", "eventStats", "recommendations")
_STAT_ROWS = 12


class _Writer:
    """One operation while it is written: its variables, fragments, and what is left of its budget."""

    def __init__(self, draw: st.DrawFn, pool: Pool, prefix: str, max_depth: int, budget: _Budget, faults: bool) -> None:
        self.draw = draw
        self.pool = pool
        self.prefix = prefix
        self.max_depth = max_depth
        self.faults = faults
        self.left = budget
        self.values: dict[str, Any] = {}
        self.declared: list[str] = []
        self.reusable: list[tuple[str, str, Any]] = []  # (name, type, value)
        self.fragment_texts: list[str] = []
        self.fragments: list[_Fragment] = []
        self.counter = 0

    def operation(self, name: str) -> str:
        place = _Place("Query", self.max_depth, 1, 1, set())
        body = self.selection_set(place)
        declared = f"({', '.join(self.declared)})" if self.declared else ""
        head = f"query {name}{declared} " if name or declared or self.chance(2) else ""
        return "\n\n".join([head + body, *self.fragment_texts])

    def chance(self, n: int) -> bool:
        """Say yes once in ``n`` times; hypothesis shrinks it to no."""
        return self.draw(st.integers(0, n - 1)) == n - 1

    def pick(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def fresh(self, letter: str) -> str:
        self.counter += 1
        return f"{self.prefix}{letter}{self.counter}"

    # ---------------------------------------------------------------------------------------------------- selections

    def selection_set(self, place: _Place) -> str:
        """Return ``{ … }``. One selection at least is a field of the type, without a condition; or there is none at all."""
        if not self.faults and place.type_name != "Query" and self.chance(60):
            return "{ }"
        written = [self.selection(place) for _ in range(self.draw(st.integers(1, 4)))]
        parts = [text for text, _ in written]
        if not any(solid for _, solid in written):
            parts.append(self.anchor(place))
        return "{ " + " ".join(parts) + " }"

    def anchor(self, place: _Place) -> str:
        name = place.type_name
        if name == "Query":
            return self.field_text("node", self.type_of("Query").fields["node"], place)
        if name.endswith("Connection"):
            return "totalCount"
        return "cursor" if name.endswith("Edge") else _ANCHORS.get(name, "id")

    def selection(self, place: _Place) -> tuple[str, bool]:
        """Return one selection, and whether it is sure to give a field that somebody must be asked for."""
        kind = self.draw(st.integers(0, 19))
        self.left.selections -= 1
        if kind == 16:
            return self.typename(place), False
        if kind == 17 and place.depth > 0 and self.left.selections > 4:
            return self.inline_fragment(place), False
        if kind >= 18 and self.left.selections > 4:
            return self.spread(place), False
        return self.any_field(place)

    def typename(self, place: _Place) -> str:
        if self.left.aliases and self.chance(4):
            self.left.aliases -= 1
            return f"{self.fresh('t')}: __typename"
        return "__typename"

    def inline_fragment(self, place: _Place) -> str:
        on = self.pick(_narrower(place.type_name))
        inner = _Place(on, place.depth, place.times, place.page, place.names, place.in_fragment)
        condition = "" if on == place.type_name and self.chance(3) else f" on {on}"
        return f"...{condition}{self.directives()} {self.selection_set(inner)}"

    def spread(self, place: _Place) -> str:
        """Return a spread of a fragment: one that is finished and fits, else a new one."""
        fitting = [f for f in self.fragments if self._fits(f, place)]
        if fitting and self.chance(2):
            fragment = self.pick(fitting)
            self.left.objects -= fragment.objects * place.times
            self.left.selections -= fragment.selections
            self.left.aliases -= fragment.aliases
            return f"...{fragment.name}{self.directives()}"
        if not self.left.fragments:
            return "__typename"
        return f"...{self.new_fragment(place)}{self.directives()}"

    def new_fragment(self, place: _Place) -> str:
        """Return the name of a new fragment. All its fields with arguments get aliases of their own, so it fits everywhere."""
        self.left.fragments -= 1
        name, on = self.fresh("F"), self.pick(_narrower(place.type_name))
        objects, selections, aliases = self.left.objects, self.left.selections, self.left.aliases
        body = self.selection_set(_Place(on, place.depth, place.times, place.page, set(), in_fragment=True))
        self.fragment_texts.append(f"fragment {name} on {on} {body}")
        spent = -(-(objects - self.left.objects) // max(place.times, 1))
        self.fragments.append(
            _Fragment(name, on, place.depth, spent, selections - self.left.selections, aliases - self.left.aliases, place.page)
        )
        return name

    def _fits(self, fragment: _Fragment, place: _Place) -> bool:
        return (
            fragment.on in _narrower(place.type_name)
            and fragment.depth <= place.depth
            and fragment.page >= place.page
            and fragment.objects * place.times <= self.left.objects
            and fragment.selections <= self.left.selections
            and fragment.aliases <= self.left.aliases
        )

    def any_field(self, place: _Place) -> tuple[str, bool]:
        fields = self.type_of(place.type_name).fields
        if place.type_name == "Query":
            name = self.pick(_QUERY_FIELDS)
        elif place.type_name.endswith("Connection"):
            name = self.pick(_CONNECTION_FIELDS)
        else:
            name = self.pick(list(fields))
        is_leaf = is_leaf_type(get_named_type(fields[name].type))
        if not is_leaf and not self._affordable(name, place):
            leaves = [n for n, f in fields.items() if is_leaf_type(get_named_type(f.type))]
            return (self.pick(leaves) if leaves else self.anchor(place)), True
        directives = self.directives()
        if is_leaf:
            return self.leaf(name, place) + directives, not directives
        return self.field_text(name, fields[name], place, directives), not directives

    def leaf(self, name: str, place: _Place) -> str:
        if self.left.aliases and self.chance(8):
            self.left.aliases -= 1
            return f"{self.fresh('a')}: {name}"
        return name

    def _affordable(self, name: str, place: _Place) -> bool:
        if place.type_name == "Query":
            return self.left.objects > 0 or name == "node"
        goes_deeper = not place.type_name.endswith(("Connection", "Edge"))
        if goes_deeper and place.depth <= 0:
            return False
        needs_alias = place.in_fragment or name in place.names
        if self.left.selections <= 0 or (needs_alias and not self.left.aliases):
            return False
        cost = {"nodes": place.page, "edges": place.page, "eventStats": _STAT_ROWS, "because": 3}.get(name, 1)
        return place.times * cost <= self.left.objects

    def field_text(self, name: str, definition: GraphQLField, place: _Place, directives: str = "") -> str:
        """Return a field with arguments and selections; now and then twice, with the same arguments, to be merged."""
        head = name
        if place.in_fragment or name in place.names:
            self.left.aliases -= 1
            head = f"{self.fresh('a')}: {name}"
        place.names.add(name)
        arguments, page = self.arguments(place, name, definition)
        if arguments:
            head += f"({', '.join(arguments)})"
        inner = self.inner_place(name, definition, place, page)
        text = f"{head}{directives} {self.selection_set(inner)}"
        if self.left.selections > 5 and self.chance(8):
            text += f" {head} {self.selection_set(inner)}"
        return text + self.twin(name, definition, place, arguments, page)

    def twin(self, name: str, definition: GraphQLField, place: _Place, arguments: list[str], page: int) -> str:
        """Return, now and then, another field beside one, of the same type and with the same arguments: two that might share a call."""
        fields = self.type_of(place.type_name).fields
        if not definition.args or self.left.selections <= 5 or not self.left.aliases or not self.chance(6):
            return ""
        alike = [n for n, f in fields.items() if f.type == definition.type and f.args.keys() == definition.args.keys()]
        other = self.pick([n for n in alike if n != name] or alike)
        if not self._affordable(other, place):
            return ""
        self.left.aliases -= 1
        inner = self.inner_place(other, definition, place, page)
        given = f"({', '.join(arguments)})" if arguments else ""
        return f" {self.fresh('a')}: {other}{given} {self.selection_set(inner)}"

    def inner_place(self, name: str, definition: GraphQLField, place: _Place, page: int) -> _Place:
        target = get_named_type(definition.type).name
        inside = place.type_name.endswith(("Connection", "Edge"))
        depth = place.depth if inside or target == "PageInfo" else place.depth - 1
        if name in ("nodes", "edges") and inside:
            many, page = place.page, 1
        elif target.endswith("Connection"):
            many = 1
        else:
            many = {"EventStat": _STAT_ROWS, "Recommendation": page, "Node": page}.get(target, 3 if name == "because" else 1)
        if not target.endswith("Connection"):
            self.left.objects -= place.times * many
        return _Place(target, depth, place.times * many, page, set())

    def type_of(self, name: str) -> GraphQLObjectType | GraphQLInterfaceType:
        found = SCHEMA.type_map[name]
        assert isinstance(found, GraphQLObjectType | GraphQLInterfaceType)
        return found

    def directives(self) -> str:
        """Return nothing, mostly; else one or two conditions, as literals or variables."""
        if not self.left.directives or not self.chance(24):
            return ""
        self.left.directives -= 2
        names = self.pick((["include"], ["skip"], ["skip", "include"]))
        return "".join(f" @{name}(if: {self.condition()})" for name in names)

    def condition(self) -> str:
        known = [name for name, type_, _ in self.reusable if type_ == "Boolean!"]
        if known and self.chance(2):
            return f"${self.pick(known)}"
        type_ = SCHEMA.type_map["Boolean"]
        value = self.draw(st.booleans())
        if self.left.variables and self.chance(2):
            return self.variable("Boolean!", type_, value)
        return self.literal(type_, value)

    # ----------------------------------------------------------------------------------------------------- arguments

    def arguments(self, place: _Place, name: str, definition: GraphQLField) -> tuple[list[str], int]:
        """Return the arguments' texts, and how many objects they let through for one parent."""
        target = get_named_type(definition.type).name
        if target.endswith("Connection"):
            return self.connection_arguments(target.removesuffix("Connection"), definition, place)
        if target == "EventStat":
            return self.stat_arguments(definition), 1
        if target == "Recommendation":
            return self.recommendation_arguments(definition, place)
        if place.type_name == "Query":
            return self.lookup_arguments(name, target, definition)
        return [], 1

    def connection_arguments(self, type_name: str, definition: GraphQLField, place: _Place) -> tuple[list[str], int]:
        parts: list[str] = []
        if self.chance(3):
            parts.append(self.argument(definition, "where", self.filter(type_name, 2), omit=True))
        if self.chance(2):
            parts.append(self.argument(definition, "orderBy", self.orders(type_name), omit=True))
        pages, size = self.page_arguments(definition, place, self.left.objects // 3)
        parts += pages
        if self.chance(10):
            parts.append(self.argument(definition, self.pick(("after", "before")), None, omit=True))
        return self.shuffled(parts), size

    def page_arguments(self, definition: GraphQLField, place: _Place, most: int) -> tuple[list[str], int]:
        affordable = [n for n in PAGE_SIZES if place.times * n <= most and (n or not self.faults)] or [1 if self.faults else 0]
        default_fits = place.times * DEFAULT_PAGE <= most
        if default_fits and self.chance(4):
            return self.pick(([], ["first: null"], ["last: null"], ["first: null", "last: null"])), DEFAULT_PAGE
        size = self.pick(affordable)
        direction, other = self.pick((("first", "last"), ("first", "last"), ("last", "first")))
        parts = [self.argument(definition, direction, size)]
        if self.chance(10):
            parts.append(f"{other}: null")
        return parts, size

    def recommendation_arguments(self, definition: GraphQLField, place: _Place) -> tuple[list[str], int]:
        parts, size = [], DEFAULT_PAGE
        if "userId" in definition.args:
            parts.append(self.argument(definition, "userId", self.id("User")))
        affordable = [n for n in PAGE_SIZES if place.times * n * 4 <= self.left.objects and (n or not self.faults)] or [1]
        if place.times * DEFAULT_PAGE * 4 > self.left.objects or not self.chance(4):
            size = self.pick(affordable)
            parts.append(self.argument(definition, "first", size))
        elif self.chance(2):
            parts.append("first: null")
        if self.chance(2):
            parts.append(self.argument(definition, "strategy", self.pick(("COLLABORATIVE", "FRIENDS")), omit=True))
        return self.shuffled(parts), size

    def stat_arguments(self, definition: GraphQLField) -> list[str]:
        parts: list[str] = []
        if self.chance(3):
            parts.append(self.argument(definition, "where", self.filter("Event", 2), omit=True))
        groups = self.draw(st.lists(st.sampled_from(("TYPE", "TIME", "USER", "POST")), unique=True, max_size=3))
        if groups != ["TYPE"] or self.chance(2):
            parts.append(self.argument(definition, "groupBy", groups))
        if "TIME" in groups:
            parts.append(self.argument(definition, "interval", self.pick(("DAY", "HOUR", "WEEK", "MONTH"))))
        elif self.chance(6):
            parts.append(self.argument(definition, "interval", None, omit=True))
        return self.shuffled(parts)

    def lookup_arguments(self, name: str, target: str, definition: GraphQLField) -> tuple[list[str], int]:
        if name == "nodes":
            ids = [self.id(self.pick(("User", "Post", "Event")), bare=False) for _ in range(self.draw(st.integers(0, 6)))]
            return [self.argument(definition, "ids", ids)], max(len(ids), 1)
        if name == "node":
            return [self.argument(definition, "id", self.id(self.pick(("User", "Post", "Event")), bare=False))], 1
        if name == "user" and self.chance(3):
            known = [self.pick(self.pool.texts["email"]), self.text("email")]
            parts = [self.argument(definition, "email", self.pick(known))]
            return ([*parts, "id: null"] if self.chance(4) else parts), 1
        return [self.argument(definition, "id", self.id(target))], 1

    def argument(self, definition: GraphQLField, name: str, value: Any, *, omit: bool = False) -> str:
        return f"{name}: {self.render(definition.args[name].type, value, omit=omit)}"

    def shuffled(self, parts: list[str]) -> list[str]:
        return self.draw(st.permutations(parts)) if len(parts) > 1 and self.chance(4) else parts

    # -------------------------------------------------------------------------------------------------------- values

    def id(self, type_name: str, *, bare: bool = True) -> str:
        """Return an id: of something there, mostly; without its type now and then, where the type is known anyway."""
        unknown = (f"no-such-{type_name.lower()}", "0", "' OR 1=1--", "%", "😀?", "x:y")
        key = self.pick(unknown) if self.chance(12) else self.pick(self.pool.keys[type_name])
        return key if bare and self.chance(2) else f"{type_name}:{key}"

    def text(self, name: str) -> str:
        """Return a text to compare ``name`` with: one that is there, a piece of one, or an odd one."""
        kind = self.draw(st.integers(0, 7))
        values = self.pool.texts[name]
        if kind == 7 or not values:
            return str(self.pick(ODD_TEXTS))
        value: str = self.pick(values)
        if kind < 3:
            return value
        if kind == 3:
            return value.swapcase()
        start = self.draw(st.integers(0, len(value)))
        return value[start : start + self.draw(st.integers(1, 4))] if kind == 4 else value[: 1 + start]

    def time(self) -> str:
        if self.chance(4):
            return str(self.pick(ODD_TIMES))
        value = str(self.pick(self.pool.times))
        moved = datetime.fromisoformat(value).replace(tzinfo=None) + timedelta(milliseconds=self.pick((0, 0, 1, -1)))
        return moved.isoformat(timespec="milliseconds") + "Z"

    def filter(self, type_name: str, depth: int) -> dict[str, Any] | None:
        """Return a filter of ``type_name`` as a variable's value would be; None now and then."""
        if self.chance(20):
            return None
        return self.filter_fields(type_name, depth)

    def filter_fields(self, type_name: str, depth: int) -> dict[str, Any]:
        definition = SCHEMA.type_map[f"{type_name}Filter"]
        assert isinstance(definition, GraphQLInputObjectType)
        names = [name for name in definition.fields if depth > 0 or name not in ("and", "or", "not")]
        chosen = self.draw(st.lists(st.sampled_from(names), unique=True, min_size=0 if self.chance(8) else 1, max_size=2))
        return {name: self.filter_value(type_name, name, get_named_type(definition.fields[name].type).name, depth) for name in chosen}

    def filter_value(self, type_name: str, name: str, kind: str, depth: int) -> Any:
        if self.chance(10):
            return None
        if name in ("and", "or"):
            return [self.filter_fields(type_name, depth - 1) for _ in range(self.draw(st.integers(0, 2)))]
        if name == "not":
            return self.filter_fields(type_name, depth - 1)
        if kind == "Boolean":
            return self.draw(st.booleans())
        values: dict[str, Callable[[], str]] = {
            "IDFilter": lambda: self.id(_id_type(type_name, name)),
            "StringFilter": lambda: self.text(name),
            "DateTimeFilter": self.time,
        }
        return self.comparisons(kind, values[kind])

    def comparisons(self, kind: str, value: Callable[[], str]) -> dict[str, Any]:
        definition = SCHEMA.type_map[kind]
        assert isinstance(definition, GraphQLInputObjectType)
        chosen = self.draw(st.lists(st.sampled_from(list(definition.fields)), unique=True, min_size=0 if self.chance(8) else 1, max_size=2))
        result: dict[str, Any] = {}
        for operator in chosen:
            if self.chance(12):
                result[operator] = None
            elif operator == "in":
                result[operator] = [value() for _ in range(self.draw(st.integers(0, 3)))]
            else:
                result[operator] = value()
        return result

    def orders(self, type_name: str) -> list[dict[str, Any]] | None:
        definition = SCHEMA.type_map[f"{type_name}OrderField"]
        assert isinstance(definition, GraphQLEnumType)
        fields = list(definition.values)
        orders = []
        for _ in range(self.pick((1, 1, 2, 3, 0))):
            order = {"field": self.pick(fields)}
            if self.chance(2):
                order["direction"] = self.pick(("DESC", "DESC", "ASC"))
            orders.append(order)
        return None if self.chance(20) else orders

    # ----------------------------------------------------------------------------------------- literals and variables

    def render(self, type_: Any, value: Any, *, omit: bool = False) -> str:
        """Return a value as a literal or a variable. ``omit``: the variable may be left out, which changes what is asked."""
        if not self.left.variables or not self.chance(5):
            return self.literal(type_, value)
        return self.hoisted(type_, value, omit=omit)

    def hoisted(self, type_: Any, value: Any, *, omit: bool) -> str:
        """Return a variable that holds ``value``, declared in one of the ways that the place allows."""
        known = [name for name, text, was in self.reusable if text == str(type_) and was == value]
        if known and self.chance(2):
            return f"${self.pick(known)}"
        nullable = get_nullable_type(type_)
        forms = ["given", "default"] if value is not None or not is_non_null_type(type_) else []
        if value is not None:
            forms += ["strict", "overridden"]
        if omit and not is_non_null_type(type_):
            forms.append("omitted")
        form = self.pick(forms)
        if form == "strict":
            return self.variable(f"{nullable}!", type_, value)
        if form == "given":
            return self.variable(str(type_), type_, value)
        name = self.declare(f"{nullable}" if form == "omitted" else f"{nullable} = {self.constant(nullable, value)}")
        if form == "overridden":
            self.values[name] = self.json(nullable, value)
        return f"${name}"

    def variable(self, declared: str, type_: Any, value: Any) -> str:
        name = self.declare(declared)
        self.values[name] = self.json(type_, value)
        self.reusable.append((name, declared, value))
        return f"${name}"

    def declare(self, declared: str) -> str:
        self.left.variables -= 1
        name = self.fresh("v")
        self.declared.append(f"${name}: {declared}")
        return name

    def json(self, type_: Any, value: Any) -> Any:
        """Return what a client sends: a list of one item may come without its list."""
        if is_list_type(get_nullable_type(type_)) and isinstance(value, list) and len(value) == 1 and self.chance(4):
            return value[0]
        return value

    def literal(self, type_: Any, value: Any) -> str:
        """Return ``value`` as GraphQL text, with variables in it here and there."""
        type_ = get_nullable_type(type_)
        if value is None:
            return "null"
        if is_list_type(type_):
            if len(value) == 1 and self.chance(4):
                return self.literal(type_.of_type, value[0])
            return f"[{', '.join(self.render(type_.of_type, item) for item in value)}]"
        if isinstance(type_, GraphQLInputObjectType):
            fields = {k: type_.fields[k].type for k in value}
            return "{" + ", ".join(f"{k}: {self.render(fields[k], v, omit=k != 'field')}" for k, v in value.items()) + "}"
        return self.scalar(type_, value)

    def constant(self, type_: Any, value: Any) -> str:
        """Return ``value`` as GraphQL text without variables."""
        type_ = get_nullable_type(type_)
        if value is None:
            return "null"
        if is_list_type(type_):
            return f"[{', '.join(self.constant(type_.of_type, item) for item in value)}]"
        if isinstance(type_, GraphQLInputObjectType):
            return "{" + ", ".join(f"{k}: {self.constant(type_.fields[k].type, v)}" for k, v in value.items()) + "}"
        return self.scalar(type_, value)

    def scalar(self, type_: Any, value: Any) -> str:
        if isinstance(type_, GraphQLEnumType):
            return str(value)
        if type_.name == "ID" and value.isascii() and value.isdigit() and str(int(value)) == value and self.chance(4):
            return str(value)  # GraphQL spec 3.5.5: an ID may be written as an integer, however large
        return json.dumps(value, ensure_ascii=False)


def _narrower(type_name: str) -> list[str]:
    """Return on which types a fragment may be where ``type_name`` is: itself, and across the interface Node."""
    if type_name == "Node":
        return ["User", "Post", "Event", "Node"]
    return [type_name, "Node"] if type_name in ("User", "Post", "Event") else [type_name]


def _id_type(type_name: str, name: str) -> str:
    return {"id": type_name, "authorId": "User", "userId": "User", "postId": "Post"}[name]
