"""Variables and arguments (GraphQL spec 6.1.2, 6.4.1): defaults, nulls, absent ones, coercion, and every way to be wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any

import pytest
import strawberry

from gateway.context import RequestContext
from gateway.graph.fields import Connection, Node, batched, column, lookup, many
from gateway.graph.scalars import Json
from gateway.stores.base import Collection, Column, Key
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph

ROOMS = Collection("rooms", "rooms", (Column("id", refers="Room"), Column("name")))
ABSENT = "-"


@strawberry.enum
class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@strawberry.input
class Inner:
    need: int
    size: Size | None = strawberry.UNSET
    list: list[int] | None = strawberry.UNSET
    deep: Inner | None = strawberry.UNSET
    with_default: int = 7


@strawberry.input(one_of=True)
class Either:
    a: int | None = strawberry.UNSET
    b: str | None = strawberry.UNSET


async def echo(
    _: RequestContext,
    keys: Sequence[Key],
    *,
    number: int = 5,
    maybe: int | None = None,
    numbers: list[int] | None = None,
    grid: list[list[int | None]] | None = None,
    inner: Inner | None = None,
    inners: list[Inner] | None = None,
    size: Size = Size.SMALL,
    text: str | None = None,
    either: Either | None = None,
    free: Json | None = None,
) -> list[str]:
    """Return what came, as JSON; what is at its default is left out."""
    given = locals()
    came = {name: given[name] for name in _DEFAULTS if given[name] != _DEFAULTS[name]}
    return [json.dumps(came, default=lambda size: size.name)] * len(keys)


_DEFAULTS: dict[str, Any] = dict(echo.__kwdefaults__ or {})


@strawberry.type
class Room(Node):
    id: strawberry.ID = column()
    name: str = column()
    echo: str = batched(echo)


@strawberry.type
class Query:
    room: Room | None = lookup(ROOMS, by={"id": "id"})
    rooms: Connection[Room] = many(ROOMS, where=Named, order=Sorted)


GRAPH = graph(Query, ROOMS)


@pytest.fixture
async def house() -> Both:
    return await both(GRAPH, {ROOMS: [("1", "hall"), ("2", "attic")]})


async def came(pair: Both, arguments: str, variables: dict[str, Any] | None, expected: dict[str, Any], declared: str = "") -> None:
    text = f'query {declared} {{ room(id: "1") {{ echo{arguments} }} }}'
    answer = await pair.answer(text, variables, data={"room": {"echo": json.dumps(expected)}})
    assert "errors" not in answer


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        ("(number: 1)", {"number": 1}),
        ("(maybe: null)", {}),
        ("(numbers: [1, 2])", {"numbers": [1, 2]}),
        ("(numbers: 1)", {"numbers": [1]}),
        ("(grid: 1)", {"grid": [[1]]}),
        ("(grid: [[1, null], 2])", {"grid": [[1, None], [2]]}),
        ("(size: LARGE)", {"size": "LARGE"}),
        ("(inner: {need: 1})", {"inner": {"need": 1, "withDefault": 7}}),
        ("(inner: {need: 1, size: LARGE, list: 3, deep: {need: 2, withDefault: 0}})", None),
        ("(inners: {need: 1})", {"inners": [{"need": 1, "withDefault": 7}]}),
        ('(either: {b: "x"})', {"either": {"b": "x"}}),
        ('(free: {a: [1, "b", null, X]})', {"free": {"a": [1, "b", None, "X"]}}),
        ('(text: """block""")', {"text": "block"}),
    ],
)
async def test_literals(house: Both, arguments: str, expected: dict[str, Any] | None) -> None:
    if expected is None:
        expected = {"inner": {"need": 1, "size": "LARGE", "list": [3], "deep": {"need": 2, "withDefault": 0}, "withDefault": 7}}
    await came(house, arguments, None, expected)


@pytest.mark.parametrize(
    ("declared", "argument", "value", "expected"),
    [
        ("Int", "maybe", ABSENT, {}),
        ("Int", "maybe", None, {}),
        ("Int", "maybe", 3, {"maybe": 3}),
        ("Int = 4", "maybe", ABSENT, {"maybe": 4}),
        ("Int = 4", "maybe", None, {}),
        ("Int = 4", "maybe", 3, {"maybe": 3}),
        ("Int!", "maybe", 3, {"maybe": 3}),
        ("Int! = 4", "maybe", ABSENT, {"maybe": 4}),
        ("Int", "number", ABSENT, {}),  # the argument's own default stands in
        ("Int", "number", 6, {"number": 6}),
        ("Int = 4", "number", ABSENT, {"number": 4}),
        ("[Int!]", "numbers", 3, {"numbers": [3]}),
        ("[Int!]", "numbers", [3, 4], {"numbers": [3, 4]}),
        ("[Int!] = 9", "numbers", ABSENT, {"numbers": [9]}),
        ("[[Int]!]", "grid", 3, {"grid": [[3]]}),
        ("[[Int]!]", "grid", [3, [None]], {"grid": [[3], [None]]}),
        ("Size!", "size", "LARGE", {"size": "LARGE"}),
        ("Size = LARGE", "size", ABSENT, {"size": "LARGE"}),
        ("Inner", "inner", {"need": 1, "list": 2}, {"inner": {"need": 1, "list": [2], "withDefault": 7}}),
        ("Inner = {need: 3}", "inner", ABSENT, {"inner": {"need": 3, "withDefault": 7}}),
        ("[Inner!]", "inners", {"need": 1}, {"inners": [{"need": 1, "withDefault": 7}]}),
        ("Either", "either", {"a": 1}, {"either": {"a": 1}}),
        ("JSON", "free", {"a": [1, None, {"b": "c"}]}, {"free": {"a": [1, None, {"b": "c"}]}}),
        ("String", "text", "\u0000\U0001f338", {"text": "\u0000\U0001f338"}),
        ("Int", "maybe", 3.0, {"maybe": 3}),
    ],
)
async def test_variables(house: Both, declared: str, argument: str, value: Any, expected: dict[str, Any]) -> None:
    await came(house, f"({argument}: $v)", {} if value == ABSENT else {"v": value}, expected, f"($v: {declared})")


@pytest.mark.parametrize(
    ("declared", "literal", "variables", "expected"),
    [
        ("$n: Int!", "inner: {need: $n}", {"n": 1}, {"inner": {"need": 1, "withDefault": 7}}),
        ("$n: Int", "inner: {need: 1, withDefault: $n}", {}, {"inner": {"need": 1, "withDefault": 7}}),
        ("$s: Size", "inner: {need: 1, size: $s}", {}, {"inner": {"need": 1, "withDefault": 7}}),
        ("$s: Size", "inner: {need: 1, size: $s}", {"s": None}, {"inner": {"need": 1, "size": None, "withDefault": 7}}),
        ("$n: Int!", "inner: {need: 0, deep: {need: $n, list: [$n, 2]}}", {"n": 1}, None),
        ("$n: Int!", "numbers: [1, $n, 3]", {"n": 2}, {"numbers": [1, 2, 3]}),
        ("$n: Int", "grid: [[1, $n]]", {}, {"grid": [[1, None]]}),
        (
            "$i: Inner!",
            "inners: [{need: 1}, $i]",
            {"i": {"need": 2}},
            {"inners": [{"need": 1, "withDefault": 7}, {"need": 2, "withDefault": 7}]},
        ),
        ("$a: Int!", "either: {a: $a}", {"a": 1}, {"either": {"a": 1}}),
        ("$v: JSON", "free: {a: [$v]}", {"v": {"b": 1}}, {"free": {"a": [{"b": 1}]}}),
    ],
)
async def test_variables_inside_of_literals(
    house: Both, declared: str, literal: str, variables: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    if expected is None:
        expected = {"inner": {"need": 0, "deep": {"need": 1, "list": [1, 2], "withDefault": 7}, "withDefault": 7}}
    await came(house, f"({literal})", variables, expected, f"({declared})")


@pytest.mark.parametrize(
    ("declared", "argument", "value"),
    [
        ("Int!", "maybe", ABSENT),
        ("Int!", "maybe", None),
        ("Int! = 4", "maybe", None),
        ("Int", "maybe", "3"),
        ("Int", "maybe", 1.5),
        ("Int", "maybe", True),
        ("Int", "maybe", 2**31),
        ("Int", "maybe", [1]),
        ("String", "text", 5),
        ("[Int!]", "numbers", [1, None]),
        ("[Int!]", "numbers", [1, "x"]),
        ("[Int!]", "numbers", {"a": 1}),
        ("Size!", "size", "MEDIUM"),
        ("Size!", "size", "s"),
        ("Size!", "size", 1),
        ("Inner", "inner", {}),
        ("Inner", "inner", {"need": None}),
        ("Inner", "inner", {"need": 1, "nead": 2}),
        ("Inner", "inner", {"need": 1, "deep": {"need": "x"}}),
        ("Inner", "inner", "need"),
        ("[Inner!]", "inners", [{"need": 1}, None]),
        ("Either", "either", {}),
        ("Either", "either", {"a": 1, "b": "x"}),
        ("Either", "either", {"a": None}),
    ],
)
async def test_a_bad_variable_is_refused(house: Both, declared: str, argument: str, value: Any) -> None:
    text = f'query ($v: {declared}) {{ room(id: "1") {{ echo({argument}: $v) }} }}'
    [message] = await house.refused(text, {} if value == ABSENT else {"v": value}, code="BAD_USER_INPUT")
    assert message.startswith("Variable '$v'") or declared == "Either"


async def test_every_bad_variable_is_named(house: Both) -> None:
    text = 'query ($a: Int!, $b: Size!, $c: Int) { room(id: "1") { echo(number: $a, size: $b, maybe: $c) } }'
    messages = await house.refused(text, {"b": "X", "c": 1}, code="BAD_USER_INPUT")
    assert [message.split()[1] for message in messages] == ["'$a'", "'$b'"]


async def test_a_null_where_an_argument_has_a_default_is_refused(house: Both) -> None:
    text = 'query ($n: Int) { room(id: "1") { echo(number: $n) } }'
    assert await house.refused(text, {"n": None}, code="BAD_USER_INPUT") == ["room.echo: number: expected a value, got null from $n"]


@pytest.mark.parametrize(
    ("declared", "literal", "variables"),
    [
        ("$n: Int = 1", "numbers: [1, $n]", {"n": None}),
        ("$n: Int = 1", "inner: {need: $n}", {"n": None}),
        ("$n: Int", "inner: {need: 1, withDefault: $n}", {"n": None}),
    ],
)
async def test_a_null_inside_of_a_literal_that_wants_a_value_is_refused(
    house: Both, declared: str, literal: str, variables: dict[str, Any]
) -> None:
    await house.refused(f'query ({declared}) {{ room(id: "1") {{ echo({literal}) }} }}', variables, code="BAD_USER_INPUT")


async def test_unused_variables_of_the_request_are_no_matter(house: Both) -> None:
    await house.answer("query ($id: ID!) { room(id: $id) { name } }", {"id": "1", "other": {"x": 1}}, data={"room": {"name": "hall"}})
    await house.answer('{ room(id: "1") { name } }', {"other": 1}, data={"room": {"name": "hall"}})


async def test_an_id_may_be_a_number(house: Both) -> None:
    await house.answer("query ($id: ID!) { room(id: $id) { name } }", {"id": 1}, data={"room": {"name": "hall"}})
    await house.answer("{ room(id: 1) { name } }", data={"room": {"name": "hall"}})


async def test_one_variable_at_several_places(house: Both) -> None:
    await house.answer(
        "query ($n: Int!, $id: ID!) { rooms(first: $n) { nodes { id } } room(id: $id) { id } again: room(id: $id) { name } }",
        {"n": 1, "id": "2"},
        data={"rooms": {"nodes": [{"id": "Room:1"}]}, "room": {"id": "Room:2"}, "again": {"name": "attic"}},
    )


async def test_each_operation_of_a_document_has_variables_of_its_own(house: Both) -> None:
    text = """query A($x: ID!) { room(id: $x) { name } }
        query B($x: Int = 1) { rooms(first: $x) { nodes { name } } }"""
    for _ in range(2):  # the second time by what is kept of the document
        await house.answer(text, {"x": "2"}, operation="A", data={"room": {"name": "attic"}})
        await house.answer(text, {}, operation="B", data={"rooms": {"nodes": [{"name": "hall"}]}})


async def test_literals_beside_variables_are_not_forgotten(house: Both) -> None:
    text = 'query ($n: Int!) { rooms(first: $n, where: {name: {eq: "attic"}}) { nodes { name } } }'
    for size in (1, 2):
        await house.answer(text, {"n": size}, data={"rooms": {"nodes": [{"name": "attic"}]}})


async def test_filters_and_orders_by_variables(house: Both) -> None:
    text = """query ($w: Named, $o: [Sorted!], $d: Direction!) { rooms(where: $w, orderBy: $o) { nodes { name } }
        turned: rooms(orderBy: {field: NAME, direction: $d}) { nodes { name } } }"""
    await house.answer(
        text,
        {"w": {"not": {"name": {"eq": "hall"}}}, "o": {"field": "NAME"}, "d": "DESC"},
        data={"rooms": {"nodes": [{"name": "attic"}]}, "turned": {"nodes": [{"name": "hall"}, {"name": "attic"}]}},
    )
    await house.answer(
        text,
        {"d": "ASC"},
        data={"rooms": {"nodes": [{"name": "hall"}, {"name": "attic"}]}, "turned": {"nodes": [{"name": "attic"}, {"name": "hall"}]}},
    )


async def test_a_variable_inside_of_a_filter(house: Both) -> None:
    text = "query ($n: String, $l: [String!]) { rooms(where: {and: [{name: {eq: $n}}, {name: {in: $l}}]}) { totalCount } }"
    await house.answer(text, {"n": "hall", "l": ["hall", "x"]}, data={"rooms": {"totalCount": 1}})
    await house.answer(text, {"l": "attic"}, data={"rooms": {"totalCount": 1}})
    await house.answer(text, {"n": None, "l": "attic"}, data={"rooms": {"totalCount": 0}})


@pytest.mark.parametrize(
    "arguments", ["first: -1", "first: 101", "last: 101", "first: 1, last: 1", "first: 0, last: 0", 'after: "x"', 'before: ""']
)
async def test_a_bad_page_is_refused_by_literal_and_by_variable(house: Both, arguments: str) -> None:
    [message] = await house.refused(f"{{ rooms({arguments}) {{ totalCount }} }}", code="BAD_USER_INPUT")
    assert ", ".join(part.partition(":")[0] for part in arguments.split(", ")) in message
    names = [part.split(": ") for part in arguments.split(", ")]
    declared = ", ".join(f"${name}: {'Int' if name in ('first', 'last') else 'String'}" for name, _ in names)
    text = f"query ({declared}) {{ rooms({', '.join(f'{name}: ${name}' for name, _ in names)}) {{ totalCount }} }}"
    await house.refused(text, {name: json.loads(value) for name, value in names}, code="BAD_USER_INPUT")


async def test_every_bad_argument_is_named_with_its_path(house: Both) -> None:
    text = "query ($n: Int!) { a: rooms(first: $n) { nodes { id } } b: rooms(first: 1000) { nodes { id } } c: rooms { nodes { id } } }"
    messages = await house.refused(text, {"n": -1}, code="BAD_USER_INPUT")
    assert sorted(message.partition(":")[0] for message in messages) == ["a", "b"]
