"""Leaves (GraphQL spec 3.5, 3.9): what each scalar and enum makes of a value, and values that it cannot take."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NewType

import orjson
import pytest
import strawberry
from graphql import GraphQLError

from gateway.context import RequestContext
from gateway.errors import BadUserInput
from gateway.graph.fields import Node, batched, column, lookup
from gateway.graph.scalars import Json
from gateway.stores.base import Collection, Column, Key, Type
from tests.gateway.engine.graphs import MASKED, both, graph

THINGS = Collection(
    "things",
    "things",
    (
        Column("id", refers="Thing"),
        Column("number", Type.INT, nullable=True),
        Column("ratio", Type.FLOAT, nullable=True),
        Column("color", nullable=True),
        Column("odd", nullable=True),
        Column("yes", Type.BOOL, nullable=True),
        Column("payload", Type.JSON, nullable=True),
        Column("names", Type.TEXTS, nullable=True),
        Column("other", nullable=True, refers="Thing"),
    ),
)
VALUES: dict[str, Any] = {}


async def value(_: RequestContext, keys: Sequence[Key]) -> list[Any]:
    return [VALUES["value"] for _ in keys]


def _odd(text: str) -> str | None:
    if text in RAISED:
        raise RAISED[text]
    return None if text == "none" else f"<{text}>"


def _read(value: Any) -> str:
    if value == "bad":
        raise ValueError("Odd: expected no bad value")
    return str(value)


Odd = NewType("Odd", str)
SCALARS = {Odd: strawberry.scalar(name="Odd", serialize=_odd, parse_value=_read)}
RAISED: dict[str, Exception] = {
    "bad": ValueError("secret"),
    "graphql": GraphQLError("secret"),
    "ours": BadUserInput("secret"),
    "null": TypeError("Cannot return null for non-nullable field Thing.odd. secret"),
}


async def take(_: RequestContext, keys: Sequence[Key], *, odd: Odd | None = None) -> list[str]:
    return [str(odd)] * len(keys)


@strawberry.enum
class Color(Enum):
    RED = "r"
    GREEN = strawberry.enum_value("g", name="LEAF")


@strawberry.type
class Thing(Node):
    id: strawberry.ID = column()
    number: int | None = column()
    float_number: float | None = column("number")
    number_id: strawberry.ID | None = column("number")
    number_text: str | None = column("number")
    ratio: float | None = column()
    sure_ratio: float = column("ratio")
    color: Color | None = column()
    odd: Odd | None = column()
    sure_odd: Odd = column("odd")
    yes: bool | None = column()
    payload: Json | None = column()
    names: list[str] | None = column()
    other: strawberry.ID | None = column()
    other_key: str | None = column("other")
    json: Json | None = batched(value)
    jsons: list[Json | None] | None = batched(value)
    colors: list[Color] | None = batched(value)
    key: strawberry.ID | None = batched(value)
    odds: list[Odd | None] | None = batched(value)
    take: str = batched(take)


@strawberry.type
class Query:
    thing: Thing | None = lookup(THINGS, by={"id": "id"})


GRAPH = graph(Query, THINGS, scalars=SCALARS)


async def shown(field: str, row: dict[str, Any], expected: Any, error: str | None = None) -> None:
    values = [row.get(name) for name in THINGS.names]
    pair = await both(GRAPH, {THINGS: [("1", *values[1:])]})
    await pair.answer(
        f'{{ thing(id: "1") {{ id {field} }} }}',
        data={"thing": {"id": "Thing:1", field: expected}},
        errors={} if error is None else {f"thing.{field}": error},
    )


@pytest.mark.parametrize("number", [0, -1, 2**31 - 1, -(2**31)])
async def test_an_int_has_32_bits(number: int) -> None:
    await shown("number", {"number": number}, number)


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**60])
async def test_an_int_of_more_than_32_bits_is_an_error(number: int) -> None:
    await shown("number", {"number": number}, None, f"Int cannot represent non 32-bit signed integer value: {number}")
    await shown("floatNumber", {"number": number}, float(number))


async def test_a_float_is_a_float() -> None:
    await shown("ratio", {"ratio": 1.5}, 1.5)
    await shown("ratio", {"ratio": 2.0}, 2.0)


@pytest.mark.parametrize("ratio", [float("inf"), float("-inf"), float("nan")])
async def test_a_float_that_json_has_not_is_an_error(ratio: float) -> None:
    await shown("ratio", {"ratio": ratio}, None, f"Float cannot represent non numeric value: {ratio}")


async def test_a_float_that_json_has_not_nulls_its_object_where_it_must_be_there() -> None:
    pair = await both(GRAPH, {THINGS: [("1", None, float("inf"), *[None] * 6)]})
    await pair.answer(
        '{ thing(id: "1") { sureRatio } }',
        data={"thing": None},
        errors={"thing.sureRatio": "Float cannot represent non numeric value: inf"},
    )


async def test_an_enum_shows_the_name_of_its_value() -> None:
    await shown("color", {"color": "r"}, "RED")
    await shown("color", {"color": "g"}, "LEAF")
    await shown("color", {"color": "x"}, None, "Enum 'Color' cannot represent value: 'x'")


async def test_an_id_of_a_column_that_refers_is_written_with_its_type() -> None:
    await shown("other", {"other": "7"}, "Thing:7")
    await shown("otherKey", {"other": "7"}, "7")
    await shown("other", {"other": None}, None)


async def test_an_id_from_a_number_is_text() -> None:
    await shown("numberId", {"number": 5}, "5")
    await shown("numberText", {"number": 5}, "5")


async def test_booleans_json_and_texts_are_as_they_are() -> None:
    await shown("yes", {"yes": False}, False)
    await shown("payload", {"payload": {"b": [1, None], "a": 1.5}}, {"b": [1, None], "a": 1.5})
    await shown("names", {"names": ["a", ""]}, ["a", ""])
    await shown("names", {"names": None}, None)


async def test_a_scalar_of_the_graph_serializes_its_values() -> None:
    await shown("odd", {"odd": "x"}, "<x>")


@pytest.mark.parametrize("text", [*RAISED, "none"])
async def test_a_scalar_that_raises_or_makes_a_null_is_an_error_and_masked(text: str) -> None:
    await shown("odd", {"odd": text}, None, MASKED)


@pytest.mark.parametrize("text", RAISED)
async def test_the_log_has_what_a_scalar_raised(text: str, caplog: pytest.LogCaptureFixture) -> None:
    pair = await both(GRAPH, {THINGS: [("1", None, None, None, text, *[None] * 4)]})
    answer = await pair.one(pair.engine, '{ thing(id: "1") { odd } }')
    assert b"secret" not in orjson.dumps(answer)
    assert answer["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "test"}
    assert "test: unexpected error in a field" in caplog.text
    assert "secret" in caplog.text


async def test_what_a_scalar_says_of_a_clients_own_value_is_shown() -> None:
    pair = await both(GRAPH, {THINGS: [("1", *[None] * 8)]})
    [message] = await pair.refused('query ($o: Odd) { thing(id: "1") { take(odd: $o) } }', {"o": "bad"}, code="BAD_USER_INPUT")
    assert "but encountered error 'Odd: expected no bad value'" in message
    [message] = await pair.refused('{ thing(id: "1") { take(odd: "bad") } }', code="GRAPHQL_VALIDATION_FAILED", status=422)
    assert "but encountered error 'Odd: expected no bad value'" in message


@pytest.mark.parametrize("text", ["bad", "none"])
async def test_a_scalar_that_fails_in_a_required_field_nulls_its_object(text: str) -> None:
    pair = await both(GRAPH, {THINGS: [("1", None, None, None, text, *[None] * 4)]})
    await pair.answer('{ thing(id: "1") { sureOdd } }', data={"thing": None}, errors={"thing.sureOdd": MASKED})


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        ("json", {"a": [1, {}]}, {"a": [1, {}]}),
        ("json", [1, 2], [1, 2]),
        ("jsons", [{"a": 1}, None, 3], [{"a": 1}, None, 3]),
        ("colors", ["r", Color.GREEN], ["RED", "LEAF"]),
        ("key", 5, "5"),
        ("odds", ["a", None], ["<a>", None]),
    ],
)
async def test_leaves_of_a_batch(field: str, given: Any, expected: Any) -> None:
    VALUES["value"] = given
    await shown(field, {}, expected)


@pytest.mark.parametrize(("field", "given"), [("odds", ["a", "none"]), ("jsons", ["<a>", ValueError("secret")])])
async def test_an_item_that_a_scalar_cannot_show(field: str, given: Any) -> None:
    VALUES["value"] = given
    pair = await both(GRAPH, {THINGS: [("1", *[None] * 8)]})
    await pair.answer(f'{{ thing(id: "1") {{ {field} }} }}', data={"thing": {field: ["<a>", None]}}, errors={f"thing.{field}.1": MASKED})
