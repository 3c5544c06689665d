"""Indexes that are hinted at: which a graph wants of collections that are not managed, and the statements that make them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import strawberry

from gateway.config import Settings
from gateway.graph.fields import Connection, Graph, Node, Through, column, count, lookup, many, stats
from gateway.graph.indexes import hints_of, wanted
from gateway.graph.inputs import Interval
from gateway.graph.looking import look
from gateway.preparing import looked_into
from gateway.stores import connect
from gateway.stores.base import Collection, Column, Index, Type
from gateway.stores.described import Found, Missing
from tests.gateway.engine.graphs import graph
from tests.gateway.test_migrating import their_database
from tests.kinds import kinds, url_of


@strawberry.input
class Filter:
    name: str | None = strawberry.UNSET


@strawberry.input
class Sorted:
    name: str | None = strawberry.UNSET


USERS = Collection("users", "town", (Column("id", refers="User"), Column("email")), indexes=(Index(("email",), unique=True),))
POSTS = Collection(
    "posts", "town", (Column("id", refers="Post"), Column("author_id", at="author"), Column("at", Type.TIME)), table="blog.post"
)
LIKES = Collection("likes", "town", (Column("user_id"), Column("post_id")), key=("post_id", "user_id"))
OURS = Collection("ours", "town", (Column("id"), Column("author_id")), indexes=(Index(("author_id",)),), managed=True)


@strawberry.type
class Count:
    count: int | None = column()


@strawberry.enum
class Group(Enum):
    AT = "time"


@strawberry.type
class Post(Node):
    id: strawberry.ID = column()


@strawberry.type
class User(Node):
    id: strawberry.ID = column()
    posts: Connection[Post] = many(POSTS, by="author_id", where=Filter, order=Sorted)
    liked: Connection[Post] = many(POSTS, through=Through(LIKES, parent="user_id", node="post_id"), where=Filter, order=Sorted)


@strawberry.type
class Note(Node):
    id: strawberry.ID = column()


def graph_of(type_: type, field: Any, *collections: Collection) -> Graph:
    query = {"__annotations__": {"it": type_ | None}, "it": field}
    return graph(strawberry.type(type("Query", (), query)), *collections)


def graph_of_town(*collections: Collection) -> Graph:
    return graph_of(User, lookup(USERS, by={"id": "id", "email": "email"}), *(collections or (USERS, POSTS, LIKES, OURS)))


def test_keys_look_ups_parents_and_declared_indexes_are_wanted_of_what_is_not_managed() -> None:
    assert [(collection.name, index.columns, index.unique) for collection, index in wanted(graph_of_town())] == [
        ("users", ("id",), True),
        ("users", ("email",), True),
        ("posts", ("id",), True),
        ("likes", ("post_id", "user_id"), True),
        ("posts", ("author_id",), False),
        ("likes", ("user_id",), False),
    ]


def test_a_longer_index_serves_a_shorter_one() -> None:
    posts = Collection("posts", "town", POSTS.columns, indexes=(Index(("author_id", "at", "id")), Index(("author_id",))))
    assert [index.columns for _, index in wanted(graph_of_town(posts))] == [("id",), ("author_id", "at", "id")]


def test_what_is_there_is_no_hint() -> None:
    made, store = graph_of_town(), connect("town", "sqlite:///x.db")
    have = {
        "users": Found("table", {}, (Index(("id",), unique=True), Index(("email", "id")))),
        "posts": Found("table", {}, (Index(("id",), unique=True), Index(("author_id", "at")))),
        "likes": Found("table", {}, (Index(("user_id", "post_id"), unique=True),)),
    }
    assert hints_of(made, "town", store, have) == []
    assert hints_of(made, "town", store, {"users": Missing("table", "users"), "posts": Found("view", {}), "likes": Found("view", {})}) == []
    assert hints_of(made, "elsewhere", store, {"users": Found("table", {})}) == []


@pytest.mark.parametrize(
    ("url", "statement"),
    [
        ("postgresql://h/x", "CREATE INDEX ix_post_author ON blog.post (author)"),
        ("sqlite:///x.db", 'CREATE INDEX "ix_blog.post_author" ON "blog.post" (author)'),
    ],
)
def test_the_statement_has_the_database_s_own_names(url: str, statement: str) -> None:
    have = {"posts": Found("table", {}, (Index(("id",), unique=True),))}
    [hint] = hints_of(graph_of_town(), "town", connect("town", url), have)
    assert hint == f"collection posts of the store town has no index on author_id: {statement}"


PLAIN = Collection("notes", "paper", (Column("id", refers="Note"), Column("text")), label="Note", indexes=(Index(("text", "id")),))
HINTS = {
    "sqlite": "CREATE INDEX ix_notes_text_id ON notes (text, id)",
    "postgresql": "CREATE INDEX ix_notes_text_id ON notes (text, id)",
    "mongodb": 'db.getCollection("notes").createIndex({"text": 1, "_id": 1})',
    "neo4j": "CREATE INDEX `{prefix}Note_text_id` IF NOT EXISTS FOR (x:`{prefix}Note`) ON (x.`text`, x.`id`)",
}


@pytest.mark.parametrize("kind", kinds(HINTS))
async def test_a_look_hints_at_what_a_database_lacks_and_the_statement_makes_it(kind: str, tmp_path: Path) -> None:
    made = graph_of(Note, lookup(PLAIN, by={"id": "id"}), PLAIN)
    async with url_of(kind) as url:
        await their_database(kind, url)
        settings = Settings.model_validate({"stores": {"paper": {"url": url}}, "data_dir": tmp_path})
        async with looked_into(settings, made) as stores:
            looked = await look(stores, made, ["paper"])
        prefix = url.partition("prefix=")[2]
        expected = f"collection notes of the store paper has no index on text, id: {HINTS[kind].replace('{prefix}', prefix)}"
        assert looked.problems == []
        assert expected in looked.hints
        if kind == "neo4j":  # where a key has no index of its own accord
            assert looked.hints[0].startswith("collection notes of the store paper has no index on id: CREATE CONSTRAINT ")
        assert len(looked.hints) == (2 if kind == "neo4j" else 1)


def test_an_aggregate_of_parents_wants_an_index_of_theirs() -> None:
    asked: dict[str, Any] = {"where": Filter, "group": Group, "interval": Interval, "default": []}
    counts = stats(POSTS, by="author_id", time="at", bucket="day", measures={"count": count()}, **asked)
    fields = {"__annotations__": {"id": strawberry.ID, "counts": list[Count]}, "id": column(), "counts": counts}
    type_ = strawberry.type(type("Author", (Node,), fields))
    made = graph_of(type_, lookup(USERS, by={"id": "id"}), USERS, POSTS)
    assert [index.columns for collection, index in wanted(made) if collection is POSTS] == [("id",), ("author_id",)]
