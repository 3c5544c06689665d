"""Which operation is run, and how often it is parsed, validated and planned: documents and plans in their caches."""

from __future__ import annotations

import orjson
import pytest
import strawberry

from gateway.engine.document import DocumentRefused, Documents
from gateway.graph.fields import Connection, Node, column, lookup, many
from gateway.service import PLANS_PER_DOCUMENT, Request, Service
from gateway.stores.base import Collection, Column
from tests.gateway.engine.graphs import Both, Named, Sorted, both, graph, respond

CUPS = Collection("cups", "cups", (Column("id", refers="Cup"), Column("name")))


@strawberry.type
class Cup(Node):
    id: strawberry.ID = column()
    name: str = column()


@strawberry.type
class Query:
    cup: Cup | None = lookup(CUPS, by={"id": "id"})
    cups: Connection[Cup] = many(CUPS, where=Named, order=Sorted)


GRAPH = graph(Query, CUPS)
SCHEMA = GRAPH.schema._schema
TWO = 'query A { cup(id: "1") { id } } query B { cup(id: "1") { name } }'


@pytest.fixture
async def shelf() -> Both:
    return await both(GRAPH, {CUPS: [("1", "blue"), ("2", "red")]})


def plans(service: Service) -> tuple[int, int]:
    return service.plan_misses, service.plan_hits


# ---------------------------------------------------------------------------------------------------------- operations


async def test_the_only_operation_needs_no_name(shelf: Both) -> None:
    await shelf.answer('query A { cup(id: "1") { id } }', data={"cup": {"id": "Cup:1"}})
    await shelf.answer('query A { cup(id: "1") { id } }', data={"cup": {"id": "Cup:1"}}, operation="A")


async def test_of_several_operations_the_named_one_is_run(shelf: Both) -> None:
    await shelf.answer(TWO, data={"cup": {"id": "Cup:1"}}, operation="A")
    await shelf.answer(TWO, data={"cup": {"name": "blue"}}, operation="B")


@pytest.mark.parametrize(
    ("text", "operation", "message"),
    [
        (TWO, None, "The document has several operations; operationName must say which: A, B"),
        (TWO, "C", "There is no operation named 'C' in the document."),
        (TWO, "", "There is no operation named '' in the document."),
        ("{ __typename }", "A", "There is no operation named 'A' in the document."),
        ("{ __typename }", "", "There is no operation named '' in the document."),
    ],
)
async def test_an_operation_that_is_not_there_is_refused(shelf: Both, text: str, operation: str | None, message: str) -> None:
    response = await respond(shelf.engine, text, None, operation)
    assert response.status == 422
    assert orjson.loads(response.body) == {"errors": [{"message": message, "extensions": {"code": "OPERATION_RESOLUTION_FAILURE"}}]}


async def test_a_document_without_an_operation_is_refused(shelf: Both) -> None:
    assert (await respond(shelf.engine, "fragment F on Cup { id }")).status == 422


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("", "GRAPHQL_PARSE_FAILED", 400),
        ("{ cup", "GRAPHQL_PARSE_FAILED", 400),
        ("{" * 5_000, "GRAPHQL_PARSE_FAILED", 400),
        ("{ saucer }", "GRAPHQL_VALIDATION_FAILED", 422),
        ("{ cup { id } }", "GRAPHQL_VALIDATION_FAILED", 422),
        ('{ cup(id: "1") }', "GRAPHQL_VALIDATION_FAILED", 422),
        ('{ cup(id: "1") { id: name id } }', "GRAPHQL_VALIDATION_FAILED", 422),
        ("query ($x: Int) { __typename }", "GRAPHQL_VALIDATION_FAILED", 422),
        ("{ ...F } fragment F on Query { ...F }", "GRAPHQL_VALIDATION_FAILED", 422),
    ],
)
async def test_a_broken_document_is_refused(shelf: Both, text: str, code: str, status: int) -> None:
    response = await respond(shelf.engine, text)
    codes = {error["extensions"]["code"] for error in orjson.loads(response.body)["errors"]}
    assert response.status == status
    assert codes <= {code, "DEPTH_LIMIT"}


# -------------------------------------------------------------------------------------------------------------- caches


async def test_one_text_is_planned_once(shelf: Both) -> None:
    for _ in range(3):
        await shelf.data('{ cup(id: "1") { name } }')
    assert plans(shelf.engine) == (1, 2)
    assert shelf.engine.documents.counts()["documents"] == 1
    assert shelf.engine.documents.counts()["hits"] == 2


async def test_other_variables_are_the_same_plan(shelf: Both) -> None:
    text = "query ($id: ID!) { cup(id: $id) { name } }"
    assert [await shelf.data(text, {"id": key}) for key in "12"] == [{"cup": {"name": "blue"}}, {"cup": {"name": "red"}}]
    assert plans(shelf.engine) == (1, 1)


async def test_each_operation_of_a_document_has_its_plan(shelf: Both) -> None:
    for name in ("A", "B", "A", "B"):
        await shelf.engine.answer(Request(TWO, None, name))
    assert plans(shelf.engine) == (2, 2)


async def test_each_setting_of_the_switches_has_its_plan(shelf: Both) -> None:
    text = 'query ($a: Boolean!, $b: Boolean = true) { cup(id: "1") { id @include(if: $a) name @skip(if: $b) } }'
    settings = [{"a": True}, {"a": True, "b": True}, {"a": False}, {"a": True, "b": False}, {"a": True}]
    got = [(await shelf.data(text, given))["cup"] for given in settings]
    assert got == [{"id": "Cup:1"}, {"id": "Cup:1"}, {}, {"id": "Cup:1", "name": "blue"}, {"id": "Cup:1"}]
    assert plans(shelf.engine) == (3, 2)


async def test_plans_of_one_document_are_bounded(shelf: Both) -> None:
    names = [f"s{i}" for i in range(8)]
    fields = " ".join(f"{name}: id @include(if: ${name})" for name in names)
    text = f'query ({", ".join(f"${name}: Boolean!" for name in names)}) {{ cup(id: "1") {{ {fields} }} }}'
    for number in range(256):
        given = {name: bool(number >> i & 1) for i, name in enumerate(names)}
        got = await shelf.data(text, given)
        assert got["cup"] == {name: "Cup:1" for name, on in given.items() if on}
    assert len(shelf.engine.documents.get(text).plans) <= PLANS_PER_DOCUMENT + 1
    assert shelf.engine.plan_misses == 256


async def test_documents_are_forgotten_when_they_were_not_used_for_longest() -> None:
    documents = Documents(SCHEMA, size=2)
    first = documents.get("{ a: __typename }")
    documents.get("{ b: __typename }")
    assert documents.get("{ a: __typename }") is first
    documents.get("{ c: __typename }")
    assert documents.get("{ a: __typename }") is first
    counts = documents.counts()
    assert (counts["documents"], counts["hits"], counts["misses"], counts["evictions"]) == (2, 2, 3, 1)
    assert (counts["broken"], counts["broken_hits"], counts["broken_evictions"]) == (0, 0, 0)


async def test_broken_documents_are_kept_apart_and_push_out_no_good_one() -> None:
    documents = Documents(SCHEMA, size=2, broken_size=3)
    good = documents.get("{ __typename }")
    for number in range(10):
        with pytest.raises(DocumentRefused):
            documents.get(f"{{ broken{number} }}")
    assert documents.get("{ __typename }") is good
    counts = documents.counts()
    assert (counts["documents"], counts["evictions"], counts["broken"], counts["broken_evictions"]) == (1, 0, 3, 7)


async def test_a_broken_document_is_read_once_and_refused_each_time() -> None:
    documents = Documents(SCHEMA)
    for _ in range(3):
        with pytest.raises(DocumentRefused) as refused:
            documents.get("{ nothing }")
        assert refused.value.errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert documents.counts()["broken_hits"] == 2
