"""The gateway's answers equal the oracle's, wherever the nouns live: the kinds of store are turned round, the answers stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.e2e.worlds import World, layouts, world
from tests.forms import of_form
from tests.operations import Operation, Pool, invalid_operations, operations, with_cursor
from tests.oracle import Oracle, compare, compare_walks
from tests.oracle.invalid import Invalid
from tests.oracle.rows import odd_rows
from tests.oracle.walking import nested, root

EXAMPLES = of_form(10, 40, "E2E_EXAMPLES")  # of random operations, per layout and set of data
FIRST = (
    "{ users(first: 50) { nodes { id name email createdAt"
    " posts(first: 10, orderBy: {field: CREATED_AT, direction: DESC}) { nodes { id title published } }"
    " events(first: 5) { nodes { id type post { title } } }"
    " recommendations(first: 3) { score because { name } post { id title author { name } } } } } }"
)
random_operations = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),  # shrinking takes minutes on servers, and what is found can be pasted
)


@pytest.fixture(scope="module", params=layouts())
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def snb(layout: str, snb_dir: Path) -> Iterator[World]:
    with world(layout, snb_dir) as made:
        yield made


@pytest.fixture(scope="module")
def odd(layout: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("odd")
    odd_rows().write(folder)
    with world(layout, folder) as made:
        yield made


@pytest.fixture(scope="module")
def snb_oracle(snb_dir: Path) -> Oracle:
    return Oracle.from_folder(snb_dir)


@pytest.fixture(scope="module")
def odd_oracle() -> Oracle:
    return Oracle.from_rows(odd_rows())


@pytest.fixture(scope="module")
def snb_pool(snb_dir: Path) -> Pool:
    return Pool.from_folder(snb_dir)


_bytes: dict[str, bytes] = {}  # the first query's answer by layout


def test_the_first_query_has_the_oracles_answer_in_the_same_bytes_everywhere(layout: str, snb: World, snb_oracle: Oracle) -> None:
    snb.runner.run(compare(snb.execute, snb_oracle, Operation(FIRST)))
    _bytes[layout] = snb.runner.run(snb.respond(Operation(FIRST))).body
    assert set(_bytes.values()) == {_bytes[layout]}


def test_the_sample_loads_within_a_minute(snb: World) -> None:
    assert snb.report.seconds < 60


@random_operations
@given(data=st.data())
def test_random_operations_on_the_sample_equal_the_oracle(snb: World, snb_oracle: Oracle, snb_pool: Pool, data: st.DataObject) -> None:
    operation = data.draw(operations(snb_pool))
    snb.runner.run(compare(snb.execute, snb_oracle, operation))


@random_operations
@given(operation=operations(Pool.odd()))
def test_random_operations_on_odd_rows_equal_the_oracle(odd: World, odd_oracle: Oracle, operation: Operation) -> None:
    odd.runner.run(compare(odd.execute, odd_oracle, operation))


WALKS: dict[str, Any] = {
    "posts by title": root("posts", "id", "orderBy: {field: TITLE}"),
    "posts by title, descending": root("posts", "id", "orderBy: {field: TITLE, direction: DESC}"),
    "users by name": root("users", "id", "orderBy: {field: NAME}"),
    "events by type, then by time, descending": root("events", "id", "orderBy: [{field: TYPE}, {field: OCCURRED_AT, direction: DESC}]"),
    "users by key, descending": root("users", "id", "orderBy: {field: KEY, direction: DESC}"),
    "posts of a user": nested('user(id: "9")', "posts", "id"),
    "events of a user": nested('user(id: "10")', "events", "id", "orderBy: {field: TYPE}"),
    "whom a user follows": nested('user(id: "9")', "following", "id", "orderBy: {field: NAME, direction: DESC}"),
    "who follows a user": nested('user(id: "10")', "followers", "id"),
    "events of a post": nested('post(id: "p1")', "events", "id", "orderBy: {field: OCCURRED_AT, direction: DESC}"),
}


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
@pytest.mark.parametrize("size", [1, 3])
def test_a_walk_through_all_pages_meets_what_the_oracle_meets(odd: World, odd_oracle: Oracle, walk: Any, size: int) -> None:
    odd.runner.run(compare_walks(odd.execute, odd_oracle, walk, size=size))


def test_a_long_walk_through_the_sample(snb: World, snb_oracle: Oracle) -> None:
    walk = root("events", "id", 'orderBy: {field: TYPE, direction: DESC}, where: {type: {in: ["LIKE", "FOLLOW"]}}')
    snb.runner.run(compare_walks(snb.execute, snb_oracle, walk, size=100))


@pytest.mark.parametrize("bad", invalid_operations(), ids=lambda bad: bad.name)
def test_bad_input_is_refused_with_its_code_and_no_data(odd: World, bad: Invalid) -> None:
    response = odd.runner.run(odd.respond(with_cursor(bad, odd.ask)))
    answer = orjson.loads(response.body)
    assert "data" not in answer
    assert {error["extensions"]["code"] for error in answer["errors"]} <= set(bad.codes)
    assert 400 <= response.status < 500
    assert b"Traceback" not in response.body
