"""Requests without HTTP: what is left of each, the limits that they are held to, and what is told of the schema."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import Any
from weakref import ref

import orjson
import pytest

from gateway.engine.complete import Prepared
from gateway.engine.document import Openness
from gateway.security.limits import Limits
from gateway.service import Request, Service
from schema import schema as graph
from tests.benchmarks.operations import Operation, operations
from tests.oracle.rows import odd_rows
from tests.services import executor, memory_stores

EACH = [pytest.param(operation, id=operation.name) for operation in operations(["User:9"])]


@pytest.mark.parametrize("operation", EACH)
async def test_a_request_leaves_nothing_to_the_garbage_collector(operation: Operation) -> None:
    """Rows that are kept by a circle of references wait for it, and finding them costs more than reading them did."""
    stores, _ = await memory_stores(odd_rows())
    execute = executor(Service(graph, stores))
    for _ in range(3):
        await execute(operation.query, operation.variables[0], operation.name)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await execute(operation.query, operation.variables[0], operation.name)
        assert gc.collect() < 10, "less than one object a request"
    finally:
        gc.enable()


@pytest.mark.parametrize("arguments", ["first: 101", 'after: "AAAA"', 'where: {name: {contains: "a\\u0000"}}'])
async def test_refused_arguments_leave_nothing_to_the_garbage_collector(arguments: str) -> None:
    stores, _ = await memory_stores(odd_rows())
    service = Service(graph, stores)
    text = f"{{ users({arguments}) {{ nodes {{ id }} }} }}"
    answer = await service.answer(Request(text))
    assert answer.status == 422, answer.body
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await service.answer(Request(text))
        assert gc.collect() < 10, "less than one object a request"
    finally:
        gc.enable()


async def test_another_plan_of_a_document_reads_it_again() -> None:
    stores, _ = await memory_stores(odd_rows())
    execute = executor(Service(graph, stores))
    text = "query Q($with: Boolean!) { users(first: 1) { nodes { ...F } } } fragment F on User { id name @include(if: $with) }"
    for given, names in ((False, ["id"]), (True, ["id", "name"])):
        answer = await execute(text, {"with": given}, None)
        assert list(answer["data"]["users"]["nodes"][0]) == names


async def test_a_plan_is_freed_when_its_document_is_forgotten() -> None:
    """A circle in it would wait for the collector, with the code that was compiled for it."""
    stores, _ = await memory_stores(odd_rows())
    service = Service(graph, stores, documents=0)
    execute = executor(service)
    text = (
        "{ users { nodes { id following { edges { cursor node { name posts { nodes { author { name } } } } } }"
        " recommendations { score } } } }"
    )
    await execute(text, {}, None)
    gc.collect()
    gc.disable()
    try:
        plan = service.plan(text)
        prepared = Prepared(plan)
        held: list[ref[Any]] = [ref(place) for place in plan.places]
        held += [ref(function) for builders in (prepared.compile(), prepared.compile_carefully()) for function in builders.views]
        held += [ref(function) for function in prepared.compile().places.values()]
        assert len(held) > 20
        del plan, prepared
        assert [found for found in held if found() is not None] == []
    finally:
        gc.enable()


# --------------------------------------------------------------------------------------------------------------- limits


async def _service(**limits: Any) -> Service:
    stores, _ = await memory_stores(odd_rows())
    return Service(graph, stores, Limits(**limits))


async def _answer(service: Service, query: str, variables: dict[str, Any] | None = None) -> tuple[int, Any]:
    response = await service.answer(Request(query, variables), request_id="test")
    return response.status, orjson.loads(response.body)


async def test_limits_that_are_measured_are_told_logged_and_counted_and_the_answer_is_given(caplog: pytest.LogCaptureFixture) -> None:
    limits = {"aliases_max": 1, "depth_max": 2, "cost_max": 3, "filter_text_max": 1, "variables_list_max": 1}
    query = (
        'query ($w: UserFilter, $ids: [ID!]!) { a: users(first: 2, where: {name: {contains: "aa"}}) { nodes { b: id } }'
        " b: users(where: $w) { totalCount } nodes(ids: $ids) { id } }"
    )
    variables = {"w": {"name": {"contains": "abc"}}, "ids": ["User:1", "User:2"]}
    refusing = await _service(**limits)
    assert (await _answer(refusing, query, variables))[1]["errors"][0]["extensions"]["code"] == "VARIABLES_TOO_LARGE"
    measuring = await _service(limits="measure", **limits)
    for _ in range(2):  # read from the cache too
        caplog.clear()
        status, answer = await _answer(measuring, query, variables)
        assert status == 200
        assert set(answer["data"]) == {"a", "b", "nodes"}
        told = {limit["setting"] for limit in answer["extensions"]["limits"]}
        assert told == set(limits)
        assert all(any(setting in record.getMessage() for record in caplog.records) for setting in limits)
    assert measuring.limits_broken["ALIAS_LIMIT", "measured"] == 2
    assert measuring.limits_broken["FILTER_LIMIT", "measured"] == 4


async def test_ten_times_a_limit_is_refused_where_limits_are_measured() -> None:
    measuring = await _service(limits="measure", aliases_max=1)
    fields = " ".join(f"a{i}: __typename" for i in range(11))
    status, answer = await _answer(measuring, f"{{ {fields} }}")
    assert (status, answer["errors"][0]["extensions"]["code"]) == (422, "ALIAS_LIMIT")


async def test_a_query_is_measured_in_bytes_and_as_long_a_one_as_the_limit_is_answered() -> None:
    query = "{ __typename } # ööö"
    size = len(query.encode())
    assert (await _answer(await _service(query_limit_bytes=size), query))[0] == 200
    status, answer = await _answer(await _service(query_limit_bytes=size - 1), query)
    assert status == 400
    assert [(e["extensions"]["code"], e["extensions"]["actual"]) for e in answer["errors"]] == [("QUERY_TOO_LONG", size)]


async def test_cost_is_counted_with_the_real_values_before_a_store_is_asked() -> None:
    service = await _service(cost_max=50)
    query = "query ($n: Int = 7) { users(first: $n) { nodes { posts(first: $n) { nodes { id } } } } }"
    assert (await _answer(service, query, {"n": 6}))[0] == 200
    service.stores.calls.clear()
    status, answer = await _answer(service, query)
    assert status == 422
    assert answer["errors"] == [
        {
            "message": "By its page sizes the operation has 56 objects; at most 50 are allowed (setting cost_max).",
            "extensions": {"code": "COST_LIMIT", "limit": 50, "actual": 56, "setting": "cost_max"},
        }
    ]
    assert not service.stores.calls


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ("{ __typename }", 0),
        ("{ users(first: 3) { totalCount pageInfo { hasNextPage } } }", 0),
        ("{ users(first: 3) { nodes { id } } }", 3),
        ("{ users(first: 3) { nodes { id } edges { node { id } } } }", 6),
        ("{ users(last: 3) { edges { cursor node { posts { nodes { author { id } } } } } } }", 3 + 30 + 30),
        ("{ users(first: 3) { nodes { following(first: 2) { nodes { id } } } } }", 3 + 6),
        ("{ users(first: 3) { nodes { eventStats { count } } } }", 3 + 30),
        ("{ users(first: 3) { nodes { recommendations(first: 4) { because { id } post { id } } } } }", 3 + 12 + 36 + 12),
        ("{ recommendations(userId: 1) { score } }", 10),
        ("{ user(id: 1) { id } post(id: 1) { author { id } } }", 3),
        ('{ nodes(ids: ["User:1", "Post:1", "User:2"]) { id ... on User { posts(first: 5) { nodes { id } } } } }', 3 + 10),
        ('{ node(id: "User:1") { ... on Post { events { nodes { id } } } ... on User { posts(first: 5) { nodes { id } } } } }', 1 + 5),
    ],
)
async def test_the_cost_of(query: str, cost: int) -> None:
    if cost:
        [error] = (await _answer(await _service(cost_max=cost - 1), query))[1]["errors"]
        assert (error["extensions"]["code"], error["extensions"]["actual"]) == ("COST_LIMIT", cost)
    service = await _service(cost_max=max(cost, 1))
    assert (await _answer(service, query))[0] == 200


async def test_a_field_with_which_the_answer_has_too_many_objects_fails_and_the_others_stand() -> None:
    service = await _service(objects_max=5)
    query = (
        "{ few: users(first: 2) { nodes { id } } all: eventStats(groupBy: [TYPE, USER, POST]) { count }"
        " some: users(first: 3) { nodes { id } } }"
    )
    status, answer = await _answer(service, query)
    assert status == 200
    assert {name: value and len(value["nodes"]) for name, value in answer["data"].items()} == {"few": 2, "all": None, "some": 3}
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]["code"], error["extensions"]["setting"]) == (["all"], "RESULT_LIMIT", "objects_max")


async def test_objects_that_parents_share_count_as_often_as_they_are_written() -> None:
    service = await _service(objects_max=40, cost_max=1_000_000)
    query = "{ users(first: 10) { nodes { followers(first: 10) { nodes { following(first: 10) { nodes { name } } } } } } }"
    unbounded = (await _answer(await _service(cost_max=1_000_000), query))[1]["data"]
    written = str(unbounded).count("'followers'") + str(unbounded).count("'following'") + str(unbounded).count("'name'")
    assert written > 40
    _, answer = await _answer(service, query)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"RESULT_LIMIT"}
    exact = await _service(objects_max=written, cost_max=1_000_000)
    assert (await _answer(exact, query))[1] == {"data": unbounded}
    short = await _service(objects_max=written - 1, cost_max=1_000_000)
    assert "errors" in (await _answer(short, query))[1]


async def test_an_answer_that_is_too_long_is_null_with_its_error_and_nothing_of_it_is_sent() -> None:
    service = await _service(response_limit_bytes=2_000)
    assert (await _answer(service, "{ users(first: 5) { nodes { name } } }"))[0] == 200
    status, answer = await _answer(service, "{ posts(first: 50) { nodes { title content a: content b: content author { name email } } } }")
    assert status == 422
    assert answer["data"] is None
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "RESULT_LIMIT"
    assert error["extensions"]["setting"] == "response_limit_bytes"
    assert error["extensions"]["actual"] > 2_000


async def test_text_is_counted_before_the_next_level_is_asked() -> None:
    service = await _service(response_limit_bytes=1_500)
    service.stores.calls.clear()
    aliases = " ".join(f"c{i}: content t{i}: title" for i in range(40))
    status, _ = await _answer(service, f"{{ posts(first: 50) {{ nodes {{ {aliases} author {{ name }} }} }} }}")
    assert status == 422
    assert service.stores.calls == {"posts.posts": 1}


async def test_a_spent_deadline_is_told_before_a_store_is_asked_and_blames_none() -> None:
    service = await _service()
    service.stores.calls.clear()
    response = await service.answer(Request("{ users { nodes { id } } }"), deadline_s=0)
    assert response.status == 504
    assert orjson.loads(response.body)["errors"][0]["extensions"] == {"code": "DEADLINE_EXCEEDED"}
    assert not service.stores.calls


async def test_new_documents_are_read_in_rounds_of_the_loop_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else those that came together are all read before anybody else is served."""
    service = await _service()
    loop = asyncio.get_running_loop()
    rounds, read, known = [0], [], []
    documents = service.documents
    read_, kept_ = documents.read, documents.kept

    def tick() -> None:
        rounds[0] += 1
        loop.call_soon(tick)

    def reading(text: str) -> Any:
        read.append((text, rounds[0]))
        return read_(text)

    def keeping(text: str) -> Any:
        found = kept_(text)
        if found is not None:
            known.append(rounds[0])
        return found

    monkeypatch.setattr(documents, "read", reading)
    monkeypatch.setattr(documents, "kept", keeping)
    tick()
    new = [f"{{ users(first: 0) {{ a{i}: totalCount }} }}" for i in range(5)]
    await asyncio.gather(*(service.answer(Request(text)) for text in new))
    assert [text for text, _ in read] == new
    assert len({number for _, number in read}) == len(new)
    read.clear()
    known.clear()
    await asyncio.gather(*(service.answer(Request(text)) for text in new))
    assert (read, len(known), len(set(known))) == ([], len(new), 1), "what is known waits for nobody"


# -------------------------------------------------------------------------------------------------- what is told of the schema

CLOSED = Openness(introspection=False, suggestions=False, type_names=False)


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ user(id: 1) { nam } }", None),
        ('{ user(iid: "1") { name } }', None),
        ("{ users(orderBy: {field: NAM}) { totalCount } }", None),
        ("{ node(id: 1) { ... on Usr { id } } }", None),
        ("{ users(first: true) { totalCount } }", None),
        ("{ users { nodes } }", None),
        ("{ users { totalCount { x } } }", None),
        ("query ($n: Strin) { users(first: $n) { totalCount } }", None),
        ("query ($n: String) { users(first: $n) { totalCount } }", None),
        ("query ($o: [UserOrder!]) { users(orderBy: $o) { totalCount } }", {"o": [{"field": "NAM"}]}),
        ("query ($w: UserFilter) { users(where: $w) { totalCount } }", {"w": {"nam": 1}}),
        ("query ($n: Int) { users(first: $n) { totalCount } }", {"n": "x"}),
        ('{ node(id: "Usr:1") { id } }', None),
        ('{ user(id: "Post:1") { id } }', None),
    ],
)
async def test_in_production_no_message_names_what_the_client_did_not_write(query: str, variables: dict[str, Any] | None) -> None:
    stores, _ = await memory_stores(odd_rows())
    text = str((await _answer(Service(graph, stores, openness=CLOSED), query, variables))[1])
    assert "errors" in text
    assert "Did you mean" not in text
    known = set(graph.schema._schema.type_map) | {"name", "nodes", "NAME", "KEY", "email"}
    words = set(re.findall(r"\w+", text)) - set(re.findall(r"\w+", query))
    assert not known & words - {"ID", "String", "Boolean"}


@pytest.mark.parametrize(
    "query",
    [
        "{ __schema { types { name } } }",
        '{ a: __type(name: "User") { name } }',
        "{ ...F } fragment F on Query { __schema { types { name } } }",
    ],
)
async def test_introspection_is_off_in_production_and_typename_is_not(query: str) -> None:
    stores, _ = await memory_stores(odd_rows())
    service = Service(graph, stores, openness=CLOSED)
    status, answer = await _answer(service, query)
    assert status == 422
    assert answer["errors"] == [
        {"message": "Introspection is off (setting introspection).", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}
    ]
    assert await _answer(service, "{ __typename users(first: 0) { __typename } }") == (
        200,
        {"data": {"__typename": "Query", "users": {"__typename": "UserConnection"}}},
    )


async def test_introspection_beside_data_is_planned() -> None:
    service = await _service()
    status, answer = await _answer(
        service,
        "query ($n: String!, $on: Boolean!) { s: __schema @include(if: $on) { queryType { name } } users(first: 1) { totalCount }"
        " __type(name: $n) { name } }",
        {"n": "User", "on": True},
    )
    assert (status, list(answer["data"])) == (200, ["s", "users", "__type"])
    assert (answer["data"]["s"], answer["data"]["__type"]) == ({"queryType": {"name": "Query"}}, {"name": "User"})
