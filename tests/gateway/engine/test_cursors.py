"""Cursors at the length up to which they are taken: what is given out is taken, and what would not be taken is not given out."""

from __future__ import annotations

from enum import Enum
from typing import Any

import orjson
import pytest
import strawberry

from gateway.engine.cursors import CURSOR_MAX, cursor_of, read_cursor, write_cursor
from gateway.errors import BadUserInput, CursorTooLong
from gateway.graph.fields import Connection, Node, column, many, part
from gateway.graph.inputs import Direction
from gateway.stores.base import Collection, Column, Order, Type
from tests.gateway.engine.graphs import Named, both, graph, respond

BOOKS = Collection("books", "books", (Column("id", refers="Book"), Column("name")))
ORDER = (Order("name"), Order("id"))


@strawberry.enum
class By(Enum):
    NAME = "name"


@strawberry.input
class Sorted:
    field: By
    direction: Direction = Direction.ASC


@strawberry.type
class Book(Node):
    id: strawberry.ID = column()
    name: str = column()


@strawberry.type
class Edge:
    node: Book | None = part("node", "")
    cursor: str | None = part("cursor", "")


@strawberry.type
class Ends:
    start_cursor: str | None = part("start_cursor", "")
    end_cursor: str | None = part("end_cursor", "")
    has_next_page: bool = part("has_next_page", "")


@strawberry.type
class Books:
    edges: list[Edge] = part("edges", "")
    page_info: Ends = part("page_info", "")
    total_count: int = part("total_count", "")


@strawberry.type
class Query:
    books: Books = many(BOOKS, where=Named, order=Sorted)
    usual: Connection[Book] | None = many(BOOKS, where=Named, order=Sorted)


GRAPH = graph(Query, BOOKS)
QUERY = """query ($after: String) { books(orderBy: [{field: NAME}], after: $after) {
    totalCount edges { cursor node { id } } pageInfo { startCursor endCursor hasNextPage } } }"""


def longest() -> int:
    """Return how many characters a name may have at most so that its cursor is taken."""
    empty = len(orjson.dumps((cursor_of(BOOKS, ORDER), "", "1")))
    return CURSOR_MAX * 3 // 4 - empty


def test_a_cursor_of_the_longest_is_taken_and_a_longer_one_is_not_made() -> None:
    of = cursor_of(BOOKS, ORDER)
    values = ("x" * longest(), "1")
    text = write_cursor(of, values)
    assert len(text) == CURSOR_MAX
    assert read_cursor("after", text, of, BOOKS, ORDER) == values
    with pytest.raises(CursorTooLong, match=f"would have {CURSOR_MAX + 2} characters, and at most {CURSOR_MAX} are taken"):
        write_cursor(of, ("x" * (longest() + 1), "1"))


KINDS = Collection("kinds", "books", (*(Column(str(type_), type_) for type_ in Type if type_ is not Type.ENUM), Column("id")))
GOOD: list[tuple[Type, list[Any]]] = [
    (Type.TEXT, ["", "5"]),
    (Type.BOOL, [True, False]),
    (Type.INT, [0, 2**63 - 1, -(2**63)]),
    (Type.FLOAT, [0.5, 1]),
    (Type.TIME, ["2026-01-31T12:00:00.000Z"]),
    (Type.DATE, ["2026-01-31"]),
]
BAD: list[tuple[Type, list[Any]]] = [
    (Type.TEXT, [5, "a\0", ["a"]]),
    (Type.BOOL, [1, "true"]),
    (Type.INT, [1.0, True, "1", 2**63]),
    (Type.FLOAT, [True, "0.5"]),
    (Type.TIME, ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000+00:00", "noon", 5]),
    (Type.DATE, ["2026-1-31", "2026-02-30", 5]),
    (Type.JSON, [{}, "a"]),
    (Type.TEXTS, [[], "a"]),
]


@pytest.mark.parametrize(("type_", "value"), [(type_, value) for type_, values in GOOD for value in [*values, None]])
def test_a_cursor_holds_values_of_its_columns_types(type_: Type, value: Any) -> None:
    order = (Order(str(type_)), Order("id"))
    of = cursor_of(KINDS, order)
    assert read_cursor("after", write_cursor(of, (value, "1")), of, KINDS, order) == (value, "1")


@pytest.mark.parametrize(("type_", "value"), [(type_, value) for type_, values in BAD for value in values])
def test_a_cursor_with_a_value_that_none_of_ours_has_is_none(type_: Type, value: Any) -> None:
    """In whichever place: a store would compare what cannot be compared, or find another row than the one that was meant."""
    for order, values in ((Order(str(type_)), Order("id")), (value, "1")), ((Order("id"), Order(str(type_))), ("1", value)):
        of = cursor_of(KINDS, order)
        with pytest.raises(BadUserInput, match="before: expected a cursor of this connection, got"):
            read_cursor("before", write_cursor(of, values), of, KINDS, order)


def test_a_cursor_is_of_one_collection_one_order_and_as_many_values() -> None:
    of = cursor_of(BOOKS, ORDER)
    others = [
        cursor_of(BOOKS, (Order("name", descending=True), Order("id"))),
        cursor_of(BOOKS, (Order("name"), Order("id", descending=True))),
        cursor_of(BOOKS, (Order("id"), Order("name"))),
        cursor_of(Collection("other", "books", BOOKS.columns), ORDER),
        of[:-1],
        f"{of}s",
        "",
    ]
    for other in others:
        with pytest.raises(BadUserInput, match="after: expected a cursor of this connection in this order, got one of another"):
            read_cursor("after", write_cursor(other, ("a", "1")), of, BOOKS, ORDER)
    for values in (("a",), ("a", "1", "1"), ()):
        with pytest.raises(BadUserInput, match="after: expected a cursor of this connection, got"):
            read_cursor("after", write_cursor(of, values), of, BOOKS, ORDER)


async def asked(names: list[str], after: str | None = None) -> dict[str, Any]:
    pair = await both(GRAPH, {BOOKS: [(str(number), name) for number, name in enumerate(names, 1)]})
    answer: dict[str, Any] = orjson.loads((await respond(pair.engine, QUERY, {"after": after})).body)
    return answer


async def test_the_longest_cursor_leads_on() -> None:
    names = ["x" * longest(), "y"]
    answer = await asked(names)
    assert "errors" not in answer
    first = answer["data"]["books"]["edges"][0]["cursor"]
    assert len(first) == CURSOR_MAX
    assert answer["data"]["books"]["pageInfo"]["startCursor"] == first
    after = await asked(names, first)
    assert [edge["node"]["id"] for edge in after["data"]["books"]["edges"]] == ["Book:2"]


@pytest.mark.parametrize("names", [[], ["a"]], ids=["no rows at all", "none beyond the cursor"])
async def test_an_empty_page_tells_what_is_before_and_behind_it(names: list[str]) -> None:
    pair = await both(GRAPH, {BOOKS: [(str(number), name) for number, name in enumerate(names, 1)]})
    of = cursor_of(BOOKS, ORDER)
    order = "orderBy: [{field: NAME}]"
    query = f"""query ($first: String, $last: String) {{
        front: usual({order}, first: 1, after: $last) {{ pageInfo {{ hasPreviousPage hasNextPage startCursor endCursor }} }}
        back: usual({order}, last: 1, before: $first) {{ pageInfo {{ hasPreviousPage hasNextPage startCursor endCursor }} }} }}"""
    ends = {"startCursor": None, "endCursor": None}
    await pair.answer(
        query,
        {"first": write_cursor(of, ("a", "1")), "last": write_cursor(of, ("z", "9"))},
        data={
            "front": {"pageInfo": {"hasPreviousPage": True, "hasNextPage": False, **ends}},
            "back": {"pageInfo": {"hasPreviousPage": False, "hasNextPage": True, **ends}},
        },
    )


async def test_a_cursor_has_the_tie_breaker_though_nobody_asks_for_the_key() -> None:
    pair = await both(GRAPH, {BOOKS: [("1", "a"), ("2", "a")]})
    query = "{ books(orderBy: [{field: NAME}]) { edges { cursor node { name } } } }"
    of = cursor_of(BOOKS, ORDER)
    edges = [{"cursor": write_cursor(of, ("a", key)), "node": {"name": "a"}} for key in "12"]
    await pair.answer(query, data={"books": {"edges": edges}})


async def test_a_longer_cursor_is_an_error_where_it_was_asked_and_the_rest_is_there() -> None:
    answer = await asked(["a", "x" * (longest() + 1)])
    books = answer["data"]["books"]
    assert [edge["node"]["id"] for edge in books["edges"]] == ["Book:1", "Book:2"]
    assert [edge["cursor"] is None for edge in books["edges"]] == [False, True]
    assert books["pageInfo"] == {"startCursor": books["edges"][0]["cursor"], "endCursor": None, "hasNextPage": False}
    assert books["totalCount"] == 2
    message = f"The cursor would have {CURSOR_MAX + 2} characters, and at most {CURSOR_MAX} are taken: order by columns of shorter values."
    assert {".".join(map(str, error["path"])): error["message"] for error in answer["errors"]} == {
        "books.edges.1.cursor": message,
        "books.pageInfo.endCursor": message,
    }
    assert answer["errors"][0]["extensions"] == {"code": "CURSOR_TOO_LONG", "limit": CURSOR_MAX, "actual": CURSOR_MAX + 2}


async def test_pages_without_cursors_may_have_values_of_any_length() -> None:
    pair = await both(GRAPH, {BOOKS: [("1", "x" * 100_000)]})
    await pair.answer("{ usual(orderBy: [{field: NAME}]) { nodes { id } } }", data={"usual": {"nodes": [{"id": "Book:1"}]}})
