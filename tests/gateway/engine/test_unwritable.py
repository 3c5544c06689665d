"""Values that JSON cannot hold: an error of their field, and all else is answered."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

import orjson
import pytest
import strawberry
from graphql import GraphQLError

from gateway import service
from gateway.context import RequestContext
from gateway.graph.fields import Connection, Node, batched, column, lookup, many
from gateway.graph.scalars import Json
from gateway.service import Service
from gateway.stores.base import Collection, Column, Key
from tests.gateway.engine.graphs import MASKED, Named, Sorted, both, graph, respond

BOXES = Collection("boxes", "boxes", (Column("id", refers="Box"), Column("name")))
HALF = "\ud800"  # half of a surrogate pair

UNWRITABLE: dict[str, Any] = {
    "bytes": b"secret",
    "decimal": Decimal("1.5"),
    "long": 2**64,
    "half": HALF,
    "object": object(),
    "set": {1},
    "inner": {"a": [1, {"b": b"secret"}]},
    "keys": {1: 2},
    "nan": float("nan"),
    "infinite": float("inf"),
}
GIVEN: list[Any] = [None]


async def values(_: RequestContext, keys: Sequence[Key]) -> list[Any]:
    return [GIVEN[0] if key == "2" else f"of {key}" for key in keys]


async def lists(_: RequestContext, keys: Sequence[Key]) -> list[Any]:
    return [["a", HALF if key == "2" else "b"] for key in keys]


@strawberry.type
class Box(Node):
    id: strawberry.ID = column()
    name: str = column()
    value: Json | None = batched(values)
    sure: Json = batched(values)
    texts: list[str | None] | None = batched(lists)
    sure_texts: list[str] | None = batched(lists)

    @strawberry.field
    def by_hand(self) -> Json | None:
        return cast("Json", GIVEN[0] if self.id == "2" else "sound")


@strawberry.type
class Query:
    box: Box | None = lookup(BOXES, by={"id": "id"})
    boxes: Connection[Box] | None = many(BOXES, where=Named, order=Sorted)

    @strawberry.field
    def raises(self) -> str | None:
        raise GraphQLError(f"no text: {HALF}", extensions={"code": "ODD", "amount": Decimal(1)})


@strawberry.type
class Mutation:
    @strawberry.mutation
    def give(self, kind: str) -> Json | None:
        return cast("Json", UNWRITABLE.get(kind, kind))

    @strawberry.mutation
    def give_surely(self, kind: str) -> Json:
        return cast("Json", UNWRITABLE.get(kind, kind))


GRAPH = graph(Query, BOXES, mutation=Mutation)


async def asked(query: str, *, mutation: bool = False) -> tuple[dict[str, Any], Service]:
    pair = await both(GRAPH, {BOXES: [(key, f"box {key}") for key in "123"]})
    response = await respond(pair.engine, query, mutation_allowed=mutation)
    assert response.status == 200
    return orjson.loads(response.body), pair.engine


def told(answer: dict[str, Any]) -> dict[str, str]:
    return {".".join(map(str, error["path"])): error["message"] for error in answer.get("errors", ())}


@pytest.mark.parametrize("kind", UNWRITABLE)
@pytest.mark.parametrize("field", ["value", "byHand"])
async def test_a_value_that_json_cannot_hold_is_an_error_of_its_field(kind: str, field: str, caplog: pytest.LogCaptureFixture) -> None:
    GIVEN[0] = UNWRITABLE[kind]
    answer, engine = await asked(f"{{ boxes {{ nodes {{ name {field} }} }} }}")
    sound = {"value": ["of 1", "of 3"], "byHand": ["sound", "sound"]}[field]
    found = [sound[0], None, sound[1]]
    assert answer["data"] == {"boxes": {"nodes": [{"name": f"box {i}", field: value} for i, value in enumerate(found, 1)]}}
    assert told(answer) == {f"boxes.nodes.1.{field}": MASKED}
    assert answer["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "test"}
    assert answer["errors"][0]["locations"]
    assert "test: unexpected error in a field" in caplog.text
    assert "secret" not in caplog.text
    assert engine.second_walks <= 2


async def test_null_rules_hold_for_what_cannot_be_written() -> None:
    GIVEN[0] = b"secret"
    answer, _ = await asked('{ boxes { edges { node { sure } } } box(id: "2") { sure } other: box(id: "1") { sure } }')
    assert answer["data"] == {
        "boxes": {"edges": [{"node": {"sure": "of 1"}}, {"node": None}, {"node": {"sure": "of 3"}}]},
        "box": None,
        "other": {"sure": "of 1"},
    }
    assert told(answer) == {"boxes.edges.1.node.sure": MASKED, "box.sure": MASKED}


async def test_an_item_of_a_list_that_cannot_be_written_is_an_error_of_the_item() -> None:
    answer, _ = await asked('{ box(id: "2") { texts sureTexts } other: box(id: "1") { texts sureTexts } }')
    assert answer["data"] == {"box": {"texts": ["a", None], "sureTexts": None}, "other": {"texts": ["a", "b"], "sureTexts": ["a", "b"]}}
    assert told(answer) == {"box.texts.1": MASKED, "box.sureTexts.1": MASKED}


async def test_large_answers_are_looked_at_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FEW", -1)
    GIVEN[0] = b"secret"
    answer, _ = await asked("{ boxes { nodes { value } } }")
    assert answer["data"] == {"boxes": {"nodes": [{"value": "of 1"}, {"value": None}, {"value": "of 3"}]}}
    assert told(answer) == {"boxes.nodes.1.value": MASKED}


async def test_a_mutation_tells_which_of_its_fields_cannot_be_written() -> None:
    answer, _ = await asked('mutation { a: give(kind: "x") b: give(kind: "bytes") c: give(kind: "y") }', mutation=True)
    assert answer["data"] == {"a": "x", "b": None, "c": "y"}
    assert told(answer) == {"b": MASKED}
    answer, _ = await asked('mutation { a: give(kind: "x") b: giveSurely(kind: "bytes") }', mutation=True)
    assert answer["data"] is None
    assert told(answer) == {"b": MASKED}


async def test_an_error_that_cannot_be_written_is_written_without_what_cannot() -> None:
    answer, _ = await asked('{ raises box(id: "1") { name } }')
    assert answer["data"] == {"raises": None, "box": {"name": "box 1"}}
    assert told(answer) == {"raises": "no text: ?"}
    assert answer["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
