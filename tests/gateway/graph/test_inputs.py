"""Filters and orders from a declaration: what clients see of them, how a graph chooses, and what is refused when they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
import strawberry
from graphql import GraphQLEnumType, GraphQLInputObjectType
from strawberry.schema.config import StrawberryConfig

from gateway.context import RequestContext
from gateway.errors import ConfigError
from gateway.graph.fields import Connection, Graph, Node, batched, column, count, lookup, many, stats
from gateway.graph.inputs import Interval, filter_of, order_of
from gateway.graph.operators import BASIC, FULL, StringFilter
from gateway.graph.scalars import SCALARS, DateTime
from gateway.stores.base import Collection, Column, Key, Type
from tests.gateway.engine.graphs import Both, By, Named, both, graph, respond

LINES = Collection(
    "lines",
    "lines",
    (
        Column("id", refers="Line"),
        Column("user_id", refers="User", description="Whose it is."),
        Column("name", description="What it is called."),
        Column("line_2", nullable=True),
        Column("occurred_at", Type.TIME),
        Column("born", Type.DATE, nullable=True),
        Column("size", Type.INT),
        Column("ratio", Type.FLOAT),
        Column("done", Type.BOOL),
        Column("extra", Type.JSON, nullable=True),
        Column("labels", Type.TEXTS, nullable=True),
    ),
)


async def tops(_: RequestContext, keys: Sequence[Key], *, top_3: int = 3, occurred_at: DateTime | None = None) -> list[str]:
    return [f"{key}: {top_3} {occurred_at}" for key in keys]


@strawberry.type
class Line(Node):
    id: strawberry.ID = column()
    name: str = column()
    line_2: str | None = column()
    tops: str = batched(tops, page=("top_3",))


@strawberry.type
class LineStat:
    count: int = column()


LineFilter = filter_of(LINES)
LineOrder = order_of(LINES)


@strawberry.type
class Query:
    line: Line | None = lookup(LINES, by={"id": "id", "user_id": "user_id", "line_2": "line_2"})
    lines: Connection[Line] | None = many(LINES, where=LineFilter, order=LineOrder)
    tops: str | None = batched(tops, key_argument="user_id", refers="User", page=("top_3",))
    line_stats: list[LineStat] | None = stats(
        LINES, measures={"count": count()}, where=LineFilter, group=By, default=[By.NAME], interval=Interval
    )


USERS = Collection("users", "lines", (Column("id", refers="User"),))
GRAPH = graph(Query, LINES, USERS)
ROWS: list[Any] = [
    ("1", "7", "a", "x", "2021-01-01T00:00:00.000Z", None, 1, 0.5, True, None, None),
    ("2", "8", "b", None, "2021-01-02T00:00:00.000Z", "2020-02-02", 2, 1.5, False, {}, []),
]


@pytest.fixture
async def pair() -> Both:
    return await both(GRAPH, {LINES: ROWS})


def shown(graph_: Graph, name: str) -> dict[str, str]:
    """Return the fields of an input, or the values of an enum with their descriptions, as clients see them."""
    type_ = graph_.schema._schema.type_map[name]
    if isinstance(type_, GraphQLEnumType):
        return {name: value.description or "" for name, value in type_.values.items()}
    assert isinstance(type_, GraphQLInputObjectType)
    return {name: str(field.type) for name, field in type_.fields.items()}


# ----------------------------------------------------------------------------------------------------- what clients see


def test_every_column_has_a_filter_with_the_operators_of_its_type() -> None:
    assert shown(GRAPH, "LineFilter") == {
        "id": "IDFilter",
        "userId": "IDFilter",
        "name": "TextFilter",
        "line2": "TextFilter",
        "occurredAt": "TimeFilter",
        "born": "DateFilter",
        "size": "BigIntFilter",
        "ratio": "FloatFilter",
        "done": "BooleanFilter",
        "extra": "NullFilter",
        "labels": "StringListFilter",
        "and": "[LineFilter!]",
        "or": "[LineFilter!]",
        "not": "LineFilter",
    }
    texts = {"eq": "String", "ne": "String", "in": "[String!]", "contains": "String", "startsWith": "String"}
    assert shown(GRAPH, "TextFilter") == texts | {"gt": "String", "gte": "String", "lt": "String", "lte": "String"}
    assert shown(GRAPH, "BigIntFilter") == {
        "eq": "BigInt",
        "ne": "BigInt",
        "in": "[BigInt!]",
        "gt": "BigInt",
        "gte": "BigInt",
        "lt": "BigInt",
        "lte": "BigInt",
    }
    assert shown(GRAPH, "BooleanFilter") == {"eq": "Boolean", "ne": "Boolean"}
    assert shown(GRAPH, "NullFilter") == {"isNull": "Boolean"}


def test_every_column_with_an_order_is_in_the_order() -> None:
    assert shown(GRAPH, "LineOrderField") == {
        "KEY": "The key, as text.",
        "USER_ID": "Whose it is.",
        "NAME": "What it is called.",
        "LINE_2": "",
        "OCCURRED_AT": "",
        "BORN": "",
        "SIZE": "",
        "RATIO": "",
        "DONE": "",
    }
    assert shown(GRAPH, "LineOrder") == {"field": "LineOrderField!", "direction": "Direction!"}


def _own(where: Any, order: Any) -> Graph:
    @strawberry.type
    class Query:
        lines: Connection[Line] | None = many(LINES, where=where, order=order)

    return graph(Query, LINES)


def test_a_graph_chooses_columns_operators_and_names() -> None:
    narrow = filter_of(LINES, name="Narrow", description="Some lines.", fields=("occurred_at", "name", "done"), operators=BASIC)
    own = _own(narrow, order_of(LINES, name="Sorting", fields=["size"]))
    assert shown(own, "Narrow") == {
        "occurredAt": "DateTimeFilter",
        "name": "StringFilter",
        "done": "Boolean",
        "and": "[Narrow!]",
        "or": "[Narrow!]",
        "not": "Narrow",
    }
    assert own.schema._schema.type_map["Narrow"].description == "Some lines."
    assert list(shown(own, "SortingField")) == ["SIZE"]


def sizes(where: LineFilter, order: LineOrder) -> str:  # type: ignore[valid-type]
    given: Any = where
    ordered: Any = order
    return f"{given.size.gt} {given.size.lt is strawberry.UNSET} {ordered.field.name} {ordered.direction.name}"


async def test_a_resolver_written_by_hand_gets_them_as_objects() -> None:
    @strawberry.type
    class Query:
        sizes: str = strawberry.field(resolver=sizes)

    pair = await both(graph(Query, LINES))
    text = "{ sizes(where: {size: {gt: 1}}, order: {field: LINE_2}) }"
    await pair.by_engine(text, data={"sizes": "1 True LINE_2 ASC"})


async def test_operators_of_ones_own() -> None:
    @strawberry.input
    class Beginning:
        starts_with: str | None = strawberry.field(name="beginsWith", default=strawberry.UNSET)

    own = await both(_own(filter_of(LINES, fields=["name"], operators={**FULL, Type.TEXT: Beginning}), order_of(LINES)), {LINES: ROWS})
    text = '{ lines(where: {name: {beginsWith: "a"}}) { nodes { id } } }'
    await own.by_engine(text, data={"lines": {"nodes": [{"id": "Line:1"}]}})


def test_a_collection_without_a_type_gives_its_own_name_and_no_key_of_several_columns() -> None:
    links = Collection("line_links", "lines", (Column("a_id"), Column("b_id")), key=("a_id", "b_id"))
    assert filter_of(links).__name__ == "LineLinksFilter"
    order = order_of(links)
    assert order.__name__ == "LineLinksOrder"
    assert [member.name for member in order.__annotations__["field"]] == ["A_ID", "B_ID"]


# ------------------------------------------------------------------------------------------------- refused when made

ORDERED = "id, user_id, name, line_2, occurred_at, born, size, ratio, done"
ALL = f"{ORDERED}, extra, labels"

ODD = Collection("odd", "lines", (Column("id"), Column("and"), Column("a b"), Column("x_1"), Column("x1"), Column("key"), Column("KEY")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: order_of(LINES, fields=["extra"]),
            f"collection lines, order_of: expected columns that have an order, of {ORDERED}, got extra (json)",
        ),
        (
            lambda: filter_of(LINES, fields=["nme"]),
            f"collection lines, filter_of: expected columns of {ALL}, got nme",
        ),
        (
            lambda: filter_of(LINES, fields=["size"], operators={Type.INT: StringFilter}),
            "collection lines, filter_of, StringFilter: column size (int): expected operators of eq, ne, in_, gt, gte, lt, lte, is_null, "
            "got contains",
        ),
        (
            lambda: filter_of(LINES, fields=["extra"], operators={Type.JSON: StringFilter}),
            "collection lines, filter_of, StringFilter: column extra (json): expected operators of is_null, got eq",
        ),
        (
            lambda: filter_of(LINES, fields=["labels"], operators={Type.TEXTS: str}),
            "collection lines, filter_of: column labels (texts): expected an input with isNull, got <class 'str'>",
        ),
        (
            lambda: filter_of(LINES, fields=["size"], operators={}),
            "collection lines, filter_of: column size (int): expected an input with its operators, got none for its type",
        ),
        (lambda: filter_of(LINES, fields=[]), "collection lines, filter_of: expected at least one column, got none"),
        (
            lambda: filter_of(ODD, fields=["and"]),
            "collection odd, filter_of: column and: expected a GraphQL name that is none of and, or, not; leave the column out of fields",
        ),
        (
            lambda: order_of(ODD, fields=["a b"]),
            "collection odd, order_of: column a b: expected a GraphQL name that is none of and, or, not; leave the column out of fields",
        ),
        (
            lambda: filter_of(ODD, fields=["x_1", "x1"]),
            "collection odd, filter_of: expected columns with different names in GraphQL, got x_1 and x1",
        ),
        (
            lambda: filter_of(LINES, fields=["name", "name"]),
            "collection lines, filter_of: expected columns with different names in GraphQL, got name and name",
        ),
        (
            lambda: order_of(ODD, fields=["id", "key"]),
            "collection odd, order_of: column key: expected a name of its own in upper case, got KEY again",
        ),
    ],
)
def test_a_filter_or_order_that_cannot_be_is_refused_when_it_is_made(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is all there is
        make()
    assert str(caught.value) == message


@strawberry.input
class Wrong:
    size: StringFilter | None = strawberry.UNSET


@strawberry.input
class Listed:
    name: list[str] | None = strawberry.UNSET


@strawberry.input
class Unknown:
    nobody: StringFilter | None = strawberry.UNSET


@pytest.mark.parametrize(
    ("where", "order", "message"),
    [
        (
            Wrong,
            LineOrder,
            "Query.lines(where:): Wrong.size: column size (int): expected operators of eq, ne, in_, gt, gte, lt, lte, is_null, "
            "got contains",
        ),
        (
            Listed,
            LineOrder,
            "Query.lines(where:): Listed.name: expected an input with the operators of column name (text), got [String!]",
        ),
        (Unknown, LineOrder, f"Query.lines(where:): Unknown.nobody: expected and, or, not, {ALL} of collection lines, got nobody"),
        (str, LineOrder, "Query.lines: expected an input for where, got String"),
        (
            Named,
            order_of(ODD, name="OddOrder", fields=["x1"]),
            f"Query.lines(orderBy:): OddOrderField.X1: expected a column that has an order, of {ORDERED} of collection lines, got x1",
        ),
    ],
)
async def test_inputs_written_by_hand_are_held_to_the_collection_before_anything_is_served(where: Any, order: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await both(_own(where, order))
    assert str(caught.value) == f"graph: {message}"


# ---------------------------------------------------------------------------------------------- names, theirs and ours


async def test_a_column_with_a_number_in_its_name_is_filtered_and_ordered(pair: Both) -> None:
    text = '{ lines(where: {line2: {eq: "x"}}, orderBy: {field: LINE_2}) { nodes { line2 } } }'
    await pair.by_engine(text, data={"lines": {"nodes": [{"line2": "x"}]}})


async def test_an_argument_with_a_number_in_its_name_reaches_its_function(pair: Both) -> None:
    await pair.by_engine(
        """{ a: tops(userId: "User:7", top3: 5) b: tops(userId: "7")
            line(id: "1") { tops(top3: 2, occurredAt: "2021-01-01T01:00:00+01:00") } }""",
        data={"a": "7: 5 None", "b": "7: 3 None", "line": {"tops": "1: 2 2021-01-01T00:00:00.000Z"}},
    )


async def test_a_lookup_by_an_argument_of_two_words(pair: Both) -> None:
    text = '{ a: line(userId: "User:7") { id } b: line(line2: "x") { id } }'
    await pair.by_engine(text, data={"a": {"id": "Line:1"}, "b": {"id": "Line:1"}})


async def test_names_are_the_schemas_own_where_it_keeps_pythons() -> None:
    config = StrawberryConfig(scalar_map=SCALARS, auto_camel_case=False)
    own = await both(Graph(schema=strawberry.Schema(query=Query, config=config), collections=(LINES,)), {LINES: ROWS})
    text = """{ lines(where: {line_2: {starts_with: "x"}, extra: {is_null: true}}, order_by: {field: LINE_2}) { nodes { line_2 } }
        line(user_id: "8") { tops(top_3: 1) } tops(user_id: "8", top_3: 1) line_stats(group_by: [NAME]) { count } }"""
    data = {"lines": {"nodes": [{"line_2": "x"}]}, "line": {"tops": "2: 1 None"}, "tops": "8: 1 None", "line_stats": [{"count": 1}] * 2}
    assert await own.data(text) == data


NUL = "\\u0000"


@pytest.mark.parametrize(
    ("field", "message", "argument"),
    [
        ("line { id }", "line: expected exactly one of id, userId, line2, got none", "id"),
        (
            'line(userId: "1", line2: "x") { id }',
            "line: expected exactly one of id, userId, line2, got userId and line2",
            "id",
        ),
        ('line(userId: "Line:1") { id }', "line: userId: expected an id of User, got one of Line", "userId"),
        (f'line(line2: "{NUL}") {{ id }}', "line: line2: expected text without NUL characters", "line2"),
        ('tops(userId: "Line:1")', "tops: userId: expected an id of User, got one of Line", "userId"),
        ('tops(userId: "1", top3: 101)', "tops: top3: expected 0 to 100 (setting page_max), got 101", "top3"),
        (
            'lines(where: {not: {userId: {in: ["7", "Line:1"]}}}) { totalCount }',
            "lines: where.not.userId.in: expected an id of User, got one of Line",
            "where.not.userId.in",
        ),
        (
            f'lines(where: {{or: [{{}}, {{line2: {{startsWith: "{NUL}"}}}}]}}) {{ totalCount }}',
            "lines: where.or[1].line2.startsWith: expected text without NUL characters",
            "where.or[1].line2.startsWith",
        ),
        (
            "lineStats(interval: DAY) { count }",
            "lineStats: groupBy, interval: expected TIME and an interval together, got an interval without TIME",
            "interval",
        ),
    ],
)
async def test_an_error_names_what_the_client_calls_it(pair: Both, field: str, message: str, argument: str) -> None:
    pair.forget()
    response = await respond(pair.engine, f"{{ {field} }}")
    [error] = orjson.loads(response.body)["errors"]
    assert (response.status, error["message"]) == (422, message)
    assert (error["extensions"]["code"], error["extensions"]["argument"]) == ("BAD_USER_INPUT", argument)
    assert pair.asked() == []


@pytest.mark.parametrize(
    ("declared", "field", "value", "message"),
    [
        (
            "LineFilter",
            "lines(where: $v) { totalCount }",
            {"occurredAt": {"gte": "yesterday"}},
            "Variable '$v' has invalid value at .occurredAt.gte: Expected value of type 'DateTime', but "
            "encountered error 'DateTime: expected RFC 3339 with a time zone such as 2010-03-08T23:51:42.175Z, got 'yest",
        ),
        (
            "LineFilter",
            "lines(where: $v) { totalCount }",
            {"or": [{"userId": {"eq": 1.5}}]},
            "Variable '$v' has invalid value at .or[0].userId.eq: ID cannot represent value: 1.5",
        ),
        (
            "LineFilter",
            "lines(where: $v) { totalCount }",
            {"line_2": {"eq": "x"}},
            "Variable '$v' has invalid value: Expected value of type 'LineFilter' not to include unknown field 'line_2'",
        ),
    ],
)
async def test_a_wrong_value_of_a_variable_is_told_by_the_clients_names(
    pair: Both, declared: str, field: str, value: Any, message: str
) -> None:
    [told] = await pair.refused(f"query ($v: {declared}) {{ {field} }}", {"v": value}, code="BAD_USER_INPUT")
    assert told.startswith(message)
