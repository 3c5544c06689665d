"""A table of bad input: what must be refused, with which code, and without any data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.comparing import Operation

PARSE = "GRAPHQL_PARSE_FAILED"
VALIDATION = "GRAPHQL_VALIDATION_FAILED"
RESOLUTION = "OPERATION_RESOLUTION_FAILURE"
INPUT = "BAD_USER_INPUT"


@dataclass(frozen=True, slots=True)
class Invalid:
    """An operation that must be refused with one of ``codes`` and without data; the first code is the one we prefer.

    ``cursor_from`` names a query whose ``….pageInfo.endCursor`` becomes the variable $cursor: a cursor that is whole but foreign.
    """

    name: str
    query: str
    codes: tuple[str, ...]
    variables: dict[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    cursor_from: str | None = None

    def __str__(self) -> str:
        return self.name


def with_cursor(invalid: Invalid, execute: Callable[[str], dict[str, Any]]) -> Operation:
    """Return the operation to run, after asking ``execute`` for the cursor that it needs."""
    variables = dict(invalid.variables)
    if invalid.cursor_from:
        (found,) = execute(invalid.cursor_from)["data"].values()
        variables["cursor"] = found["pageInfo"]["endCursor"]
        assert variables["cursor"], "the query for a cursor found nothing"
    return Operation(invalid.query, variables, invalid.operation_name)


def invalid_operations() -> list[Invalid]:
    """Return a table of bad input."""
    return [*_bad_documents(), *_bad_pages(), *_bad_cursors(), *_bad_ids(), *_bad_values(), *_bad_variables()]


def _bad_documents() -> list[Invalid]:
    users = "{ users { totalCount } }"
    return [
        Invalid("empty selection", "{", (PARSE,)),
        Invalid("no value for an argument", "{ users(first:) { totalCount } }", (PARSE,)),
        Invalid("text without an end", '{ user(id: "6) { id } }', (PARSE,)),
        Invalid("empty document", "", (PARSE,)),
        Invalid("a lone surrogate in a literal", '{ user(id: "\\ud800") { id } }', (PARSE,)),
        Invalid("unknown field", "{ users { nodes { nickname } } }", (VALIDATION,)),
        Invalid("unknown argument", "{ users(limit: 3) { totalCount } }", (VALIDATION,)),
        Invalid("unknown type of a variable", "query($x: Nope) { users { totalCount } }", (VALIDATION,)),
        Invalid("unknown fragment", "{ users { ...Nope } }", (VALIDATION,)),
        Invalid("unknown directive", "{ users @nope { totalCount } }", (VALIDATION,)),
        Invalid("a fragment in a circle", "{ users { nodes { ...F } } } fragment F on User { id ...F }", (VALIDATION,)),
        Invalid("an object without selections", "{ users }", (VALIDATION,)),
        Invalid("a scalar with selections", "{ users { totalCount { x } } }", (VALIDATION,)),
        Invalid("no required argument", "{ post { id } }", (VALIDATION,)),
        Invalid("unused variable", "query($x: Int) { users { totalCount } }", (VALIDATION,)),
        Invalid("undefined variable", "{ users(first: $n) { totalCount } }", (VALIDATION,)),
        Invalid("a nullable variable where null cannot be", "query($i: ID) { post(id: $i) { id } }", (VALIDATION,), {"i": "1"}),
        Invalid("one name with two meanings", "{ users(first: 1) { totalCount } users(first: 2) { totalCount } }", (VALIDATION,)),
        Invalid("a fragment that can never be", "{ users { nodes { ... on Post { id } } } }", (VALIDATION,)),
        Invalid("two operations and no name", f"query A {users} query B {users}", (RESOLUTION,)),
        Invalid("an operation that is not there", f"query A {users}", (RESOLUTION,), {}, "B"),
        Invalid("an empty operation name", f"query A {users}", (RESOLUTION,), {}, ""),
        Invalid("only a fragment", "fragment F on User { id }", (VALIDATION, RESOLUTION)),
    ]


def _bad_pages() -> list[Invalid]:
    deep = "{ users(first: 0) { nodes { posts { nodes { author { events(first: -1) { totalCount } } } } } } }"
    return [
        Invalid("first below 0", "{ users(first: -1) { totalCount } }", (INPUT,)),
        Invalid("first above the maximum", "{ users(first: 101) { totalCount } }", (INPUT,)),
        Invalid("first at the limit of Int", "{ users(first: 2147483647) { totalCount } }", (INPUT,)),
        Invalid("last below 0", "{ posts(last: -1) { totalCount } }", (INPUT,)),
        Invalid("last above the maximum", "{ events(last: 101) { totalCount } }", (INPUT,)),
        Invalid("first with last", "{ users(first: 1, last: 1) { totalCount } }", (INPUT,)),
        Invalid("first 0 with last 0", "{ users(first: 0, last: 0) { totalCount } }", (INPUT,)),
        Invalid("a bad page beside a good field", "{ posts(first: 1) { totalCount } users(first: -1) { totalCount } }", (INPUT,)),
        Invalid("a bad page where nothing gets to", deep, (INPUT,)),
        Invalid(
            "a bad page in a fragment",
            "{ users { ...F } } fragment F on UserConnection { nodes { posts(first: 101) { totalCount } } }",
            (INPUT,),
        ),
        Invalid(
            "a bad page on a type that is not it", '{ node(id: "User:6") { ... on Post { events(first: -1) { totalCount } } } }', (INPUT,)
        ),
        Invalid("a bad page by variable", "query($n: Int) { users(first: $n) { totalCount } }", (INPUT,), {"n": 101}),
        Invalid("a bad page by default", "query($n: Int = 101) { users(first: $n) { totalCount } }", (INPUT,)),
        Invalid("recommendations below 0", '{ recommendations(userId: "6", first: -1) { score } }', (INPUT,)),
        Invalid("recommendations above the maximum", "{ users { nodes { recommendations(first: 101) { score } } } }", (INPUT,)),
        Invalid("first beyond Int", "{ users(first: 2147483648) { totalCount } }", (VALIDATION,)),
    ]


def _bad_cursors() -> list[Invalid]:
    end = "pageInfo { endCursor }"
    posts = "query($cursor: String) { posts(after: $cursor%s) { totalCount } }"
    by_key = f"{{ posts(first: 1) {{ {end} }} }}"
    by_title = f"{{ posts(first: 1, orderBy: {{field: TITLE}}) {{ {end} }} }}"
    return [
        Invalid("a cursor that is not base64url", '{ users(after: "***") { totalCount } }', (INPUT,)),
        Invalid("an empty cursor", '{ users(after: "") { totalCount } }', (INPUT,)),
        Invalid("a cursor of nothing", '{ users(before: "e30") { totalCount } }', (INPUT,)),  # {}
        Invalid("a cursor that is not JSON", '{ users(after: "aGVsbG8gd29ybGQ") { totalCount } }', (INPUT,)),  # hello world
        Invalid("a cursor that is not UTF-8", '{ users(after: "_____w") { totalCount } }', (INPUT,)),
        Invalid("a cursor of numbers", '{ users(after: "WzEsMiwzXQ") { totalCount } }', (INPUT,)),  # [1,2,3]
        Invalid("a cursor below a list", '{ users { nodes { posts(before: "x") { totalCount } } } }', (INPUT,)),
        Invalid("a very long cursor", f'{{ users(after: "{"A" * 5_000}") {{ totalCount }} }}', (INPUT,)),
        Invalid("a cursor of another order", posts % "", (INPUT,), cursor_from=by_title),
        Invalid("a cursor of the default order", posts % ", orderBy: {field: TITLE}", (INPUT,), cursor_from=by_key),
        Invalid("a cursor of the other direction", posts % ", orderBy: {field: TITLE, direction: DESC}", (INPUT,), cursor_from=by_title),
        Invalid("a cursor of another type", posts % "", (INPUT,), cursor_from=f"{{ users(first: 1) {{ {end} }} }}"),
    ]


def _bad_ids() -> list[Invalid]:
    many = ", ".join('"User:6"' for _ in range(1_001))
    return [
        Invalid("an id of another type", '{ user(id: "Post:6") { id } }', (INPUT,)),
        Invalid("an id of another type for a post", '{ post(id: "Event:6") { id } }', (INPUT,)),
        Invalid("an id of another type for an event", '{ event(id: "User:6") { id } }', (INPUT,)),
        Invalid("an id of another type for recommendations", '{ recommendations(userId: "Post:6") { score } }', (INPUT,)),
        Invalid("an id of another type in a filter", '{ users(where: {id: {eq: "Post:6"}}) { totalCount } }', (INPUT,)),
        Invalid("an id of another type in a list", '{ posts(where: {authorId: {in: ["6", "Post:6"]}}) { totalCount } }', (INPUT,)),
        Invalid(
            "an id of another type deep in a filter",
            '{ users { nodes { events(where: {or: [{not: {and: [{postId: {ne: "User:1"}}]}}]}) { totalCount } } } }',
            (INPUT,),
        ),
        Invalid("an id of another type in statistics", '{ eventStats(where: {userId: {eq: "Event:1"}}) { count } }', (INPUT,)),
        Invalid("a node without a type", '{ node(id: "6") { id } }', (INPUT,)),
        Invalid("a node of no type", '{ node(id: "Nope:6") { id } }', (INPUT,)),
        Invalid("a node of a type that is none", '{ node(id: "EventStat:6") { id } }', (INPUT,)),
        Invalid("nodes with one bad id", '{ nodes(ids: ["User:6", "6"]) { id } }', (INPUT,)),
        Invalid("too many nodes", f"{{ nodes(ids: [{many}]) {{ id }} }}", (INPUT, "COST_LIMIT")),
        Invalid("a null among nodes", '{ nodes(ids: ["User:6", null]) { id } }', (VALIDATION,)),
        Invalid("user by nothing", "{ user { id } }", (INPUT,)),
        Invalid("user by null", "{ user(id: null) { id } }", (INPUT,)),
        Invalid("user by two things", '{ user(id: "6", email: "a@b.c") { id } }', (INPUT,)),
        Invalid("NUL in an id", '{ user(id: "6\\u0000") { id } }', (INPUT,)),
        Invalid("NUL in a filter", '{ users(where: {name: {contains: "\\u0000"}}) { totalCount } }', (INPUT,)),
    ]


def _bad_values() -> list[Invalid]:
    return [
        Invalid("text as a number", '{ users(first: "3") { totalCount } }', (VALIDATION,)),
        Invalid("a fraction as a number", "{ users(first: 1.5) { totalCount } }", (VALIDATION,)),
        Invalid("an object as an id", "{ user(id: {a: 1}) { id } }", (VALIDATION,)),
        Invalid("text as an enum", '{ users(orderBy: {field: "NAME"}) { totalCount } }', (VALIDATION,)),
        Invalid("an enum that is not there", "{ users(orderBy: {field: TITLE}) { totalCount } }", (VALIDATION,)),
        Invalid("an order without a field", "{ users(orderBy: {direction: ASC}) { totalCount } }", (VALIDATION,)),
        Invalid("a filter field that is not there", '{ users(where: {title: {eq: "x"}}) { totalCount } }', (VALIDATION,)),
        Invalid("an operator that is not there", '{ users(where: {name: {like: "x"}}) { totalCount } }', (VALIDATION,)),
        Invalid("a number as text", "{ users(where: {name: {eq: 5}}) { totalCount } }", (VALIDATION,)),
        Invalid("a time that is none", '{ posts(where: {createdAt: {gt: "yesterday"}}) { totalCount } }', (VALIDATION, INPUT)),
        Invalid(
            "a day that is none", '{ posts(where: {createdAt: {gt: "2011-02-30T00:00:00.000Z"}}) { totalCount } }', (VALIDATION, INPUT)
        ),
        Invalid(
            "a time without a zone", '{ posts(where: {createdAt: {gt: "2011-02-01T00:00:00.000"}}) { totalCount } }', (VALIDATION, INPUT)
        ),
        Invalid("a number as a time", "{ posts(where: {createdAt: {gt: 5}}) { totalCount } }", (VALIDATION, INPUT)),
        Invalid("TIME without interval", "{ eventStats(groupBy: [TIME]) { count } }", (INPUT,)),
        Invalid("TIME with a null interval", "{ eventStats(groupBy: [TIME], interval: null) { count } }", (INPUT,)),
        Invalid("interval without TIME", "{ eventStats(groupBy: [TYPE], interval: DAY) { count } }", (INPUT,)),
        Invalid("interval with the default groups", "{ eventStats(interval: DAY) { count } }", (INPUT,)),
        Invalid("TIME without interval below a list", "{ posts { nodes { eventStats(groupBy: [USER, TIME]) { count } } } }", (INPUT,)),
        Invalid("no groups", "{ eventStats(groupBy: null) { count } }", (VALIDATION,)),
        Invalid("no strategy", '{ recommendations(userId: "6", strategy: null) { score } }', (VALIDATION,)),
    ]


def _bad_variables() -> list[Invalid]:
    where = "query($w: UserFilter) { users(where: $w) { totalCount } }"
    order = "query($o: [UserOrder!]) { users(orderBy: $o) { totalCount } }"
    first = "query($n: Int) { users(first: $n) { totalCount } }"
    return [
        Invalid("no value for a variable", "query($i: ID!) { user(id: $i) { id } }", (INPUT,)),
        Invalid("null for a variable", "query($i: ID!) { user(id: $i) { id } }", (INPUT,), {"i": None}),
        Invalid("text for a number", first, (INPUT,), {"n": "3"}),
        Invalid("a fraction for a number", first, (INPUT,), {"n": 1.5}),
        Invalid("a number beyond Int", first, (INPUT,), {"n": 2**31}),
        Invalid("an object for an id", "query($i: ID) { user(id: $i) { id } }", (INPUT,), {"i": {"$ne": None}}),
        Invalid("an object for a text", where, (INPUT,), {"w": {"name": {"eq": {"$gt": ""}}}}),
        Invalid("an unknown key", where, (INPUT,), {"w": {"$where": "1"}}),
        Invalid("a list for an object", where, (INPUT,), {"w": [{}]}),
        Invalid("an unknown enum", order, (INPUT,), {"o": [{"field": "PASSWORD"}]}),
        Invalid("a missing key", order, (INPUT,), {"o": [{"direction": "ASC"}]}),
        Invalid("a time that is none, by variable", where, (INPUT,), {"w": {"createdAt": {"gt": "yesterday"}}}),
        Invalid("a leap second that is none", where, (INPUT,), {"w": {"createdAt": {"gt": "2011-01-01T00:00:61Z"}}}),
        Invalid("an id of another type, by variable", where, (INPUT,), {"w": {"not": {"id": {"in": ["Event:1"]}}}}),
        Invalid("NUL, by variable", where, (INPUT,), {"w": {"email": {"startsWith": "a\0"}}}),
        Invalid("null where the default is not", "query($g: [EventGroup!]) { eventStats(groupBy: $g) { count } }", (INPUT,), {"g": None}),
        Invalid("null for a condition", "query($b: Boolean!) { users @skip(if: $b) { totalCount } }", (INPUT,), {"b": None}),
    ]
