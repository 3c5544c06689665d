"""What the comparison forgives, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.oracle import Operation, Oracle, Rows, compare, compare_walks, difference, equal_answers, walk, walk_backward
from tests.oracle.rows import odd_rows
from tests.oracle.walking import Connection, nested, root


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle.from_rows(odd_rows())


def error(path: list[Any] | None, store: str = "posts", code: str = "STORE_UNAVAILABLE") -> dict[str, Any]:
    return {"message": "any", "extensions": {"code": code, "store": store}, **({"path": path} if path else {})}


def test_cursors_may_differ_but_not_be_missing() -> None:
    one, other, empty = ({"data": {"users": {"edges": [{"cursor": text}]}}} for text in ("abc", "xyz", ""))
    assert equal_answers(one, other)
    assert not equal_answers(one, empty)


def test_other_texts_may_not_differ() -> None:
    one, other = ({"data": {"users": {"name": text}}} for text in ("abc", "xyz"))
    assert not equal_answers(one, other)


def test_aliased_cursors_are_known_by_the_query() -> None:
    a, b = ({"data": {"users": {"edges": [{"c": text}]}}} for text in ("abc", "xyz"))
    assert equal_answers(a, b, "{ users { edges { c: cursor } } }")
    assert not equal_answers(a, b)


def test_the_order_of_keys_counts() -> None:
    assert difference({"data": {"a": 1, "b": 2}}, {"data": {"b": 2, "a": 1}}).startswith("answer.data: got the keys ['a', 'b']")


def test_one_is_not_true_and_not_one_point_nought() -> None:
    assert not equal_answers({"data": {"a": 1}}, {"data": {"a": True}})
    assert not equal_answers({"data": {"a": 1}}, {"data": {"a": 1.0}})


def test_errors_are_compared_by_the_null_that_they_cause() -> None:
    data = {"user": {"recommendations": None}}
    above = {"data": data, "errors": [error(["user", "recommendations"])]}
    below = {"data": data, "errors": [error(["user", "recommendations", 0, "post"]), error(["user", "recommendations", 1, "post"])]}
    assert equal_answers(above, below)
    assert not equal_answers(above, {"data": data, "errors": [error(["user", "recommendations"], "users")]})
    assert not equal_answers(above, {"data": data})


def test_an_error_without_a_null_is_no_good() -> None:
    wrong = {"data": {"user": {"id": "User:1"}}, "errors": [error(["user", "id"])]}
    assert "not null" in difference(wrong, {"data": {"user": {"id": "User:1"}}})


def test_errors_beyond_the_limit_may_be_left_untold() -> None:
    data = {"nodes": [None] * 30}
    everything = {"data": data, "errors": [error(["nodes", n]) for n in range(30)]}
    some = [error(["nodes", n]) for n in range(20)]
    assert not equal_answers({"data": data, "errors": some}, everything)
    assert equal_answers({"data": data, "errors": [*some, error(None)]}, everything)


def test_refused_operations_are_compared_by_code() -> None:
    refused = {"errors": [error(None, code="BAD_USER_INPUT")]}
    assert equal_answers(refused, {"errors": [error(None, code="BAD_USER_INPUT"), error(None, code="BAD_USER_INPUT")]})
    assert not equal_answers(refused, {"data": None, **refused})
    assert not equal_answers(refused, {"errors": [error(None, code="BAD_REQUEST")]})


async def test_compare_shows_where_and_how_to_try_it_again(oracle: Oracle) -> None:
    async def lying(query: str, variables: Mapping[str, Any], operation_name: str | None) -> dict[str, Any]:
        return {"data": {"users": {"totalCount": 11}}}

    operation = Operation("query($n: Int) { users(first: $n) { totalCount } }", {"n": 1})
    with pytest.raises(AssertionError) as caught:
        await compare(lying, oracle, operation)
    assert "answer.data.users.totalCount: got 11, expected 10" in str(caught.value)
    assert '{"n": 1}' in str(caught.value)
    assert await compare(oracle.execute, oracle, operation) == {"data": {"users": {"totalCount": 10}}}


WALKS = {
    "posts": root("posts", "id"),
    "posts by title, descending": root("posts", "id title", "orderBy: {field: TITLE, direction: DESC}"),
    "events by type and time": root("events", "id", "orderBy: [{field: TYPE}, {field: OCCURRED_AT, direction: DESC}]"),
    "posts without language": root("posts", "id", "where: {language: null}"),
    "posts of a user": nested('user(id: "9")', "posts", "id", "orderBy: {field: CREATED_AT}"),
    "followers": nested('user(id: "User:10")', "followers", "id name", "orderBy: {field: NAME}"),
    "nothing": root("users", "id", "where: {or: []}"),
}


@pytest.mark.parametrize("connection", WALKS.values(), ids=WALKS)
@pytest.mark.parametrize("size", [1, 3, 100])
async def test_walks_find_the_same_in_both_directions(oracle: Oracle, connection: Connection, size: int) -> None:
    nodes = await compare_walks(oracle.execute, oracle, connection, size=size)
    assert len({node["id"] for node in nodes}) == len(nodes)
    assert nodes == await walk(oracle.execute, connection, size=7)


async def test_a_walk_finds_every_row() -> None:
    rows = odd_rows()
    oracle = Oracle.from_rows(rows)
    everything = sorted(f"Event:{row['id']}" for row in rows.events)
    assert [node["id"] for node in await walk(oracle.execute, root("events", "id"), size=9)] == everything
    assert [node["id"] for node in await walk_backward(oracle.execute, root("events", "id"), size=9)] == everything


async def test_a_walk_notices_a_page_that_lies(oracle: Oracle) -> None:
    def lying(query: str, variables: Mapping[str, Any], operation_name: str | None) -> dict[str, Any]:
        answer = oracle.execute(query, variables, operation_name)
        answer["data"]["users"]["pageInfo"]["hasNextPage"] = False
        return answer

    with pytest.raises(AssertionError, match="3 nodes on all pages, but totalCount is 10"):
        await walk(lying, root("users", "id"), size=3)


def test_rows_are_read_as_they_were_written(tmp_path: Any) -> None:
    rows = odd_rows()
    rows.write(tmp_path)
    assert Rows.from_folder(tmp_path) == rows
