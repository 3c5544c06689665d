"""Mistakes in the declarations of a graph: each is told at the start, with its field, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, cast

import pytest
import strawberry
from strawberry.permission import BasePermission

from gateway.context import RequestContext
from gateway.graph.checks import check
from gateway.graph.fields import (
    Connection,
    Graph,
    Node,
    Through,
    average,
    batched,
    column,
    computed,
    count,
    each,
    lookup,
    many,
    maximum,
    node,
    nodes,
    one,
    stats,
    total,
)
from gateway.stores.base import Collection, Column, Index, Key, Measure, Type
from schema import schema as example
from tests.gateway.engine.graphs import By, Named, Sorted, graph

USERS = Collection(
    "users",
    "main",
    (
        Column("id", refers="User"),
        Column("name"),
        Column("nick", nullable=True),
        Column("age", Type.INT),
        Column("at", Type.TIME),
        Column("payload", Type.JSON),
        Column("tags", Type.TEXTS),
        Column("maybe_tags", Type.TEXTS, nullable=True),
        Column("boss_id", nullable=True, refers="User"),
        Column("post_id", refers="Post"),
        Column("email"),
    ),
    indexes=(Index(("email",), unique=True), Index(("name",))),
)
POSTS = Collection("posts", "main", (Column("id", refers="Post"), Column("author_id", refers="User"), Column("at", Type.TIME)))
PAIRS = Collection("pairs", "main", (Column("a"), Column("b"), Column("at", Type.TIME)), key=("a", "b"))
LEFT_OUT = Collection("left_out", "main", (Column("id"), Column("name"), Column("user_id")))


class Odd(Enum):
    NAME = "name"
    NOWHERE = "nowhere"
    PAYLOAD = "payload"


strawberry.enum(Odd)


@strawberry.input
class Conditions:
    gt: int | None = strawberry.UNSET


@strawberry.input
class OddFilter:
    nowhere: str | None = strawberry.UNSET
    age: str | None = strawberry.UNSET
    name: Conditions | None = strawberry.UNSET
    payload: Conditions | None = strawberry.UNSET


@strawberry.input
class OddOrder:
    field: Odd
    direction: By = By.KEY


@strawberry.input
class NoOrder:
    by: str


@strawberry.enum
class Each_(Enum):  # noqa: N801 - a group
    TIME = "time"
    NOWHERE = "nowhere"


@strawberry.enum
class Interval_(Enum):  # noqa: N801
    DAY = "day"


def counted(**options: Any) -> Any:
    """Return counts of posts by author or time."""
    asked = {"time": "at", "bucket": "day", "measures": {"count": count()}, **options}
    return stats(POSTS, **asked, where=Named, group=Each_, default=[], interval=Interval_)


@strawberry.type
class Count:
    count: int = column()


@strawberry.type
class Post(Node):
    id: strawberry.ID = column()


async def rows(_: RequestContext, keys: Sequence[Key]) -> list[Any]:
    return [None for _ in keys]


def not_async(_: RequestContext, keys: Sequence[Key]) -> list[Any]:
    return [None for _ in keys]


async def positional(_: RequestContext, keys: Sequence[Key], first: int = 3) -> list[Any]:
    return [None for _ in keys][:first]


class Never(BasePermission):
    def has_permission(self, *_: Any, **__: Any) -> bool:
        return False


def graph_of(annotation: Any, field: Any, *, at_root: bool = False) -> Graph:
    """Return a graph in which ``User.wrong``, or ``Query.wrong``, is this field."""
    user: dict[str, Any] = {"__annotations__": {"id": strawberry.ID}, "id": column()}
    query: dict[str, Any] = {
        "__annotations__": {"users": None, "post": Post | None},
        "post": lookup(POSTS, by={"id": "id"}),
    }
    place = query if at_root else user
    if not at_root:
        place["__annotations__"]["wrong"] = annotation
        place["wrong"] = field
    made = strawberry.type(type("User", (Node,), user))
    query["__annotations__"]["users"] = Connection[made]  # type: ignore[valid-type]
    query["users"] = many(USERS, where=Named, order=Sorted)
    if at_root:
        own: dict[Any, Any] = {USER: made | None, LIST_OF_USERS: list[made]}  # type: ignore[valid-type]
        query["__annotations__"]["wrong"] = own.get(annotation, annotation)
        query["wrong"] = field
    return graph(strawberry.type(type("Query", (), query)), USERS, POSTS, PAIRS)


USER: Any = object()
LIST_OF_USERS: Any = object()
ALL = "id, name, nick, age, at, payload, tags, maybe_tags, boss_id, post_id, email"

BELOW: dict[str, tuple[Any, Any, str]] = {
    "an unknown column": (str, column("nam"), f"User.wrong: expected a column of users ({ALL}), got 'nam'"),
    "a column that may be null": (
        str,
        column("nick"),
        "User.wrong: expected a type that may be null, as the column 'nick' may, got String!",
    ),
    "a list from a column of one": (list[str], column("name"), "User.wrong: expected no list, got [String!]! from 'name' of type TEXT"),
    "one from a column of a list": (str, column("tags"), "User.wrong: expected a list, got String! from 'tags' of type TEXTS"),
    "another type of column": (int, column("name"), "User.wrong: expected a column of type INT for Int, got 'name' of type TEXT"),
    "an object from a column": (Post | None, column("name"), "User.wrong: expected a scalar or an enum, got Post from the column 'name'"),
    "an unknown column that is needed": (
        str,
        computed(str, needs=["nam"]),
        f"User.wrong: expected a column that is needed of users ({ALL}), got 'nam'",
    ),
    "an object that is computed": (Post, computed(str, needs=["name"]), "User.wrong: expected a scalar or an enum, computed, got Post!"),
    "an unknown key": (Post | None, one(POSTS, by="post"), f"User.wrong: expected a column with the key of users ({ALL}), got 'post'"),
    "a key that may be null": (
        Post,
        one(POSTS, by="boss_id"),
        "User.wrong: expected a type that may be null, as the key 'boss_id' may, got Post!",
    ),
    "a key of another collection": (
        Post | None,
        one(POSTS, by="boss_id"),
        "User.wrong: expected a column that refers to Post, as the key of posts does, got 'boss_id', which refers to User",
    ),
    "a list of one": (list[Post], one(POSTS, by="post_id"), "User.wrong: expected an object, got [Post!]!"),
    "a scalar of one": (str | None, one(POSTS, by="post_id"), "User.wrong: expected an object, got String"),
    "an object of another type": (Post | None, one(USERS, by="boss_id"), "User.wrong: expected the type of users, User, got Post"),
    "a list of keys for one": (
        Post | None,
        one(POSTS, by="tags"),
        "User.wrong: expected a column with one key, got 'tags', which has a list of them (each() takes it)",
    ),
    "half of a key": (
        Post | None,
        one(PAIRS, by="name"),
        "User.wrong: expected as many columns as they are compared with, 2 (a, b of pairs), got 1 (name of users)",
    ),
    "a collection left out": (
        Post | None,
        one(LEFT_OUT, by="name"),
        "User.wrong: expected one of the graph's collections (users, posts, pairs), got left_out, which the graph leaves out",
    ),
    "one key for each": (
        list[Post] | None,
        each(POSTS, by="post_id"),
        "User.wrong: expected a column with a list of keys (many, or TEXTS), got 'post_id' of type TEXT",
    ),
    "one for each": (Post | None, each(POSTS, by="tags"), "User.wrong: expected a list of objects, got Post"),
    "keys that may be null": (
        list[Post],
        each(POSTS, by="maybe_tags"),
        "User.wrong: expected a type that may be null, as the keys 'maybe_tags' may, got [Post!]!",
    ),
    "a connection of another type": (
        Connection[Post],
        many(USERS, by="boss_id", where=Named, order=Sorted),
        "User.wrong: expected the type of users, User, got Post",
    ),
    "no connection": (
        list[Post],
        many(POSTS, by="author_id", where=Named, order=Sorted),
        "User.wrong: expected a connection, got [Post!]!",
    ),
    "an unknown parent's key": (
        Connection[Post],
        many(POSTS, by="writer", where=Named, order=Sorted),
        "User.wrong: expected a column with the parent's key of posts (id, author_id, at), got 'writer'",
    ),
    "no parent's key": (
        Connection[Post],
        many(POSTS, where=Named, order=Sorted),
        "User.wrong: expected a column of posts that has the parent's key (by), got none: all rows, for every parent",
    ),
    "an unknown column of edges": (
        Connection[Post],
        many(POSTS, through=Through(PAIRS, parent="a", node="c"), where=Named, order=Sorted),
        "User.wrong: expected a column with the node's key of pairs (a, b, at), got 'c'",
    ),
    "edges left out": (
        Connection[Post],
        many(POSTS, through=Through(LEFT_OUT, parent="id", node="user_id"), where=Named, order=Sorted),
        "User.wrong: expected one of the graph's collections (users, posts, pairs), got left_out, which the graph leaves out",
    ),
    "a filter of an unknown column": (
        Connection[Post],
        many(POSTS, by="author_id", where=Named, order=Sorted),
        "User.wrong(name of Named): expected a column of posts (id, author_id, at), got 'name'",
    ),
    "an order by an unknown column": (
        Connection[Post],
        many(POSTS, by="author_id", where=Named, order=Sorted),
        "User.wrong(NAME of By): expected a column of posts (id, author_id, at), got 'name'",
    ),
    "no order": (
        Connection[Post],
        many(POSTS, by="author_id", where=Named, order=NoOrder),
        "User.wrong: expected an order with the fields field, an enum of columns, and direction, got NoOrder",
    ),
    "counts of no time": (
        list[Count],
        counted(by="author_id", time="occurred_at"),
        "User.wrong: expected a column of type TIME of posts (id, author_id, at), got 'occurred_at'",
    ),
    "counts by what is no time": (
        list[Count],
        counted(by="author_id", time="author_id"),
        "User.wrong: expected a column of type TIME of posts, got 'author_id' of type TEXT",
    ),
    "a measure of an unknown column": (
        list[Count],
        counted(by="author_id", measures={"count": count(), "most": maximum("stars")}),
        "User.wrong(measure most): expected a column of type INT, FLOAT, DECIMAL, TIME, DATE, CLOCK or TEXT of posts"
        " (id, author_id, at), got 'stars'",
    ),
    "a sum of text": (
        list[Count],
        counted(by="author_id", measures={"count": count(), "sum": total("author_id")}),
        "User.wrong(measure sum): expected a column of type INT, FLOAT or DECIMAL of posts, got 'author_id' of type TEXT",
    ),
    "an average of times": (
        list[Count],
        counted(by="author_id", measures={"count": count(), "mean": average("at")}),
        "User.wrong(measure mean): expected a column of type INT, FLOAT or DECIMAL of posts, got 'at' of type TIME",
    ),
    "a count of a column": (
        list[Count],
        counted(by="author_id", measures={"count": Measure("count", "at")}),
        "User.wrong(measure count): expected count of rows, without a column, got 'at'",
    ),
    "a measure with a column's name": (
        list[Count],
        counted(by="author_id", measures={"count": count(), "at": maximum("at")}),
        "User.wrong: expected a measure with a name that no column of posts has, got 'at'",
    ),
    "a bucket with a column's name": (
        list[Count],
        counted(by="author_id", bucket="at"),
        "User.wrong: expected a bucket with a name that no column of posts has, got 'at'",
    ),
    "a bucket with a measure's name": (
        list[Count],
        counted(by="author_id", bucket="count"),
        "User.wrong: expected a bucket with a name that no measure has, got 'count'",
    ),
    "a count that is not measured": (
        list[Count],
        counted(by="author_id", measures={"many": count()}),
        "Count.count: expected a column of an aggregate of posts (id, author_id, at, day, many), got 'count'",
    ),
    "counts by an unknown column": (
        list[Count],
        counted(by="author_id"),
        "User.wrong(NOWHERE of Each_): expected 'time' or a column of posts (id, author_id, at), got 'nowhere'",
    ),
    "counts without a parent's key": (
        list[Count],
        counted(),
        "User.wrong: expected a column of posts that has the parent's key (by), got none: all rows, for every parent",
    ),
    "one count": (
        Count,
        counted(by="author_id"),
        "User.wrong: expected a list of objects, got Count!",
    ),
    "a batch function that is not async": (
        str | None,
        batched(cast("Any", not_async)),
        "User.wrong: expected an async function, got the function test_checks.not_async, which is none",
    ),
    "a batch function with positional arguments": (
        str | None,
        batched(positional),
        "User.wrong: expected a function of (ctx, keys) and arguments behind a *, which have names, got"
        " the function test_checks.positional of (_, keys, first)",
    ),
    "a batch function by an unknown column": (
        str | None,
        batched(rows, by="nowhere"),
        f"User.wrong: expected a column with the key of users ({ALL}), got 'nowhere'",
    ),
    "a batch function with an argument as key, below": (
        str | None,
        batched(rows, key_argument="id"),
        "User.wrong: expected a key from the parent's row (by), got one from the argument 'id'",
    ),
    "a batch function with columns for a leaf": (
        str | None,
        batched(rows, columns=[Column("a")]),
        "User.wrong: expected an object or a list of them, as there are columns, got String",
    ),
    "a batch function with equal columns": (
        Post | None,
        batched(rows, columns=[Column("id", refers="Post"), Column("id", refers="Post")]),
        "User.wrong: expected columns of different names, got id twice",
    ),
    "a batch function with another page": (
        str | None,
        batched(rows, page=["first"]),
        "User.wrong: expected arguments of test_checks.rows as page (it has none), got 'first'",
    ),
    "a lookup below": (
        Post | None,
        lookup(POSTS, by={"id": "id"}),
        "User.wrong: expected a field of the root, got lookup() below users",
    ),
    "node below": (Node | None, node(), "User.wrong: expected a field of the root, got node() below users"),
    "permission classes at a source": (
        str | None,
        None,
        "User.wrong: expected no permission classes at a field that has a source, as nobody would ask them, got Never",
    ),
}

AT_ROOT: dict[str, tuple[Any, Any, str]] = {
    "one": (
        USER,
        one(USERS, by="id"),
        "Query.wrong: expected a parent whose row has the key (lookup() takes it from an argument), got one() at the root",
    ),
    "each": (
        LIST_OF_USERS,
        each(USERS, by="tags"),
        "Query.wrong: expected a parent whose row has the key (nodes() takes them from an argument), got each() at the root",
    ),
    "a column": (str, column("name"), "Query.wrong: expected a source or a resolver, as the root has no row, got the column 'name'"),
    "a connection by a key": (
        Connection[Post],
        many(POSTS, by="author_id", where=Named, order=Sorted),
        "Query.wrong: expected a parent whose row has the key (without it all rows are meant), got many() with by at the root",
    ),
    "a connection through edges": (
        Connection[Post],
        many(POSTS, through=Through(PAIRS, parent="a", node="b"), where=Named, order=Sorted),
        "Query.wrong: expected a parent whose row has the key (whose edges are followed), got many() through edges at the root",
    ),
    "counts by a key": (
        list[Count],
        counted(by="author_id"),
        "Query.wrong: expected a parent whose row has the key (without it all rows are meant), got stats() with by at the root",
    ),
    "a batch function without a key": (
        str | None,
        batched(rows),
        "Query.wrong: expected a key from an argument (key_argument), as the root has no row, got none",
    ),
    "a lookup that always finds": (
        Post,
        lookup(POSTS, by={"id": "id"}),
        "Query.wrong: expected a type that may be null, as there may be no such row, got Post!",
    ),
    "a lookup by a column that is not unique": (
        USER,
        lookup(USERS, by={"name": "name"}),
        "Query.wrong: expected a unique column of users, got 'name' for name, which is neither the key nor has a unique index",
    ),
    "node of a type": (Post | None, node(), "Query.wrong: expected an interface or a union, got Post"),
    "node of a list": (list[Node | None], node(), "Query.wrong: expected no list, got [Node]!"),
    "nodes of one": (Node | None, nodes(), "Query.wrong: expected a list, got Node"),
    "a filter of another type": (
        Connection[Post],
        many(USERS, where=OddFilter, order=OddOrder),
        "Query.wrong(age of OddFilter): expected a filter on INT, got String",
    ),
    "a condition of another type": (
        Connection[Post],
        many(USERS, where=OddFilter, order=OddOrder),
        "Query.wrong(name of OddFilter): expected a filter on TEXT, got Conditions",
    ),
    "a condition on JSON": (
        Connection[Post],
        many(USERS, where=OddFilter, order=OddOrder),
        "Query.wrong(payload of OddFilter): expected a filter with isNull alone, as JSON does not compare, got Conditions",
    ),
    "an order by JSON": (
        Connection[Post],
        many(USERS, where=OddFilter, order=OddOrder),
        "Query.wrong(PAYLOAD of Odd): expected a column that can be ordered by, got 'payload' of type JSON",
    ),
}


def test_nothing_is_wrong_with_the_example() -> None:
    assert check(example) == []


@pytest.mark.parametrize("name", BELOW)
def test_a_mistake_below_rows_is_told(name: str) -> None:
    annotation, field, told = BELOW[name]
    if name.startswith("permission"):
        field = column("nick")
        field.permission_classes = [Never]
    assert told in list(map(str, check(graph_of(annotation, field))))


@pytest.mark.parametrize("name", AT_ROOT)
def test_a_mistake_at_the_root_is_told(name: str) -> None:
    annotation, field, told = AT_ROOT[name]
    assert told in list(map(str, check(graph_of(annotation, field, at_root=True))))


@strawberry.type
class Only:
    @strawberry.field
    def it(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("collection", "told"),
    [
        (Collection("c", "s", (Column("a"),), key=()), "collection c: expected a key of at least one column, got none"),
        (Collection("c", "s", (Column("a"),), key=("a", "a")), "collection c: expected each column once in its key, got 'a' 2 times"),
        (
            Collection("c", "s", (Column("id"), Column("a"), Column("a"))),
            "collection c: expected columns of different names, got 'a' 2 times",
        ),
        (
            Collection("c", "s", (Column("id", nullable=True),)),
            "collection c: expected a key that is never null, got 'id', which may be",
        ),
        (
            Collection("c", "s", (Column("id"), Column("a", refers="Nobody"))),
            "collection c: expected columns that refer to types of the schema, got 'a', to Nobody",
        ),
    ],
)
def test_a_mistake_in_a_collection_is_told(collection: Collection, told: str) -> None:
    assert told in list(map(str, check(graph(Only, collection))))


def test_two_collections_of_one_type_or_one_name_are_told() -> None:
    one_, other = (Collection(name, "s", (Column("id", refers="Only"),)) for name in ("c", "d"))
    again = Collection("c", "s", (Column("id"),))
    assert list(map(str, check(graph(Only, one_, other, again)))) == [
        "collection c: expected one of that name in the store s, got 2",
        "collection d: expected a type of its own for its key to refer to, as c refers to Only, got Only",
    ]


def test_extensions_of_the_schema_are_told() -> None:
    from strawberry.extensions import SchemaExtension

    class Timing(SchemaExtension):
        pass

    made = Graph(schema=strawberry.Schema(query=Only, extensions=[Timing]), collections=())
    assert list(map(str, check(made))) == ["the schema: expected no Strawberry extensions, which the engine does not run, got Timing"]


@strawberry.type
class Made:
    id: strawberry.Private[str]
    word: str = column()
    posts: Connection[Post] = many(POSTS, by="author_id", where=Named, order=Sorted)


@strawberry.type
class MakingQuery:
    @strawberry.field
    def made(self) -> list[list[Made]]:
        return []


def test_a_field_without_rows_above_it_and_one_of_objects_are_checked_as_such() -> None:
    found = list(map(str, check(graph(MakingQuery, POSTS))))
    assert "MakingQuery.made: expected a list of objects, got [[Made!]!]!" in found
    assert not any("word" in line for line in found), "attributes are known when they are read"
