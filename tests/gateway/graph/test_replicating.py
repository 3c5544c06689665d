"""Mistakes in where writes go are told at the start, each with its target, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import strawberry

from gateway.graph import Graph, Node, cascade, column, follow_up, lookup, replicate
from gateway.graph.checks import check
from gateway.stores.base import Collection, Column, Row, Type
from gateway.stores.kinds import Kind, kind_named
from gateway.writes.declarations import Replica, State, Target
from tests.gateway.engine.graphs import graph

PEOPLE = Collection(
    "people", "home", (Column("id", refers="Person"), Column("name"), Column("born", Type.DATE, nullable=True)), managed=True
)
LETTERS = Collection("letters", "post", (Column("id"), Column("person_id"), Column("written", Type.DATE)), managed=True)
COPY = Collection("copy", "post", (Column("id"), Column("born", Type.DATE, nullable=True)))
STRICT = Collection("strict", "post", (Column("id"), Column("born", Type.DATE)))
TYPED = Collection("typed", "post", (Column("id"), Column("name", Type.INT)))
WIDER = Collection("wider", "post", (Column("id"), Column("nick")))
THEIRS = Collection("theirs", "home", (Column("id"), Column("person_id")))
PAIRS = Collection("pairs", "home", (Column("a"), Column("b")), key=("a", "b"), managed=True)
STRANGER = Collection("stranger", "home", (Column("id"),), managed=True)


@strawberry.type
class Person(Node):
    name: str = column()


@strawberry.type
class Query:
    person: Person | None = lookup(PEOPLE, by={"id": "id"})


@strawberry.type
class Mutation:
    person: Person | None = lookup(PEOPLE, by={"id": "id"})


def written(*targets: Any, audit: str | None = None, mutation: type | None = Mutation) -> Graph:
    made = graph(Query, PEOPLE, LETTERS, COPY, STRICT, TYPED, WIDER, THEIRS, PAIRS, mutation=mutation)
    return replace(made, replication=targets, audit=audit)


def told(*targets: Any, kinds: dict[str, Kind] | None = None, **options: Any) -> list[str]:
    return [
        str(problem) for problem in check(written(*targets, **options), kinds) if "replication" in str(problem) or "audit" in str(problem)
    ]


def rows(state: State) -> Sequence[Row]:
    return [(state["id"], state["id"], "2020-01-01")]


async def welcome(ctx: Any, state: State, payload: Any) -> None: ...


def no_argument() -> Sequence[Row]:
    return []


def lacking(name: str) -> Kind:
    kind = kind_named("memory")
    assert kind is not None
    return replace(kind, name=name, can=kind.can - {"transact"})


GOOD: tuple[Target, ...] = (
    replicate(PEOPLE, to=COPY),
    replicate(PEOPLE, to=LETTERS, by="person_id", rows=rows),
    replicate(PEOPLE, to=LETTERS, by="", rows=rows, name="only added"),
    cascade(PEOPLE, to=LETTERS, by="person_id"),
    follow_up(PEOPLE, name="welcome", run=welcome),
)

BAD: dict[str, tuple[Target, str]] = {
    "name": (
        replicate(PEOPLE, to=COPY, name="audit"),
        "replication 'audit': expected a name of its own, which is not 'audit', got 'audit'",
    ),
    "source of another graph": (
        follow_up(STRANGER, name="f", run=welcome),
        "replication 'f': source: expected one of the graph's collections (people, letters, copy, strict, typed, wider, theirs, pairs), "
        "got stranger, which is none of them",
    ),
    "target of another graph": (
        replicate(PEOPLE, to=STRANGER),
        "replication 'people>stranger': target: expected one of the graph's collections "
        "(people, letters, copy, strict, typed, wider, theirs, pairs), got stranger, which is none of them",
    ),
    "source that is not managed": (
        cascade(THEIRS, to=LETTERS, by="person_id"),
        "replication 'theirs>letters.person_id': expected a managed collection as source, since the log has writes of these alone, "
        "got theirs",
    ),
    "cascade to theirs": (
        cascade(PEOPLE, to=THEIRS, by="person_id"),
        "replication 'people>theirs.person_id': expected a managed collection to delete from, as each deletion is a write with a version, "
        "got theirs",
    ),
    "by no column": (
        cascade(PEOPLE, to=LETTERS, by="author_id"),
        "replication 'people>letters.author_id': by: expected columns of letters (id, person_id, written), got 'author_id'",
    ),
    "by one of two": (
        cascade(PAIRS, to=LETTERS, by="person_id"),
        "replication 'pairs>letters.person_id': by: expected as many columns as the key of pairs has (a, b), got person_id",
    ),
    "a copy of itself": (
        replicate(PEOPLE, to=PEOPLE),
        "replication 'people>people': expected another collection as target than the source, got people",
    ),
    "a copy of what is not there": (
        replicate(PEOPLE, to=WIDER),
        "replication 'people>wider': expected a column 'nick' in people, as wider has it; or rows=…, which says what is copied, "
        "got id, name, born",
    ),
    "a copy of another type": (
        replicate(PEOPLE, to=TYPED),
        "replication 'people>typed': expected typed.name of the type text, as in people, got int",
    ),
    "a copy that is never null": (
        replicate(PEOPLE, to=STRICT),
        "replication 'people>strict': expected strict.born nullable, as in people, got one that is never null",
    ),
    "rows": (
        replicate(PEOPLE, to=LETTERS, by="person_id", rows=cast("Any", no_argument)),
        "replication 'people>letters': rows: expected a function of (row), got no_argument: too many positional arguments",
    ),
    "no function": (
        follow_up(PEOPLE, name="f", run=cast("Any", "welcome")),
        "replication 'f': run: expected a function of (ctx, state, payload), got 'welcome'",
    ),
    "run": (
        follow_up(PEOPLE, name="f", run=cast("Any", rows)),
        "replication 'f': run: expected a function of (ctx, state, payload), got rows: too many positional arguments",
    ),
}


def test_a_graph_without_a_mistake() -> None:
    assert told(*GOOD, audit="records") == []
    assert written(*GOOD, audit="records").store_names == ("home", "post", "records")


@pytest.mark.parametrize("name", BAD)
def test_each_mistake_is_one_sentence(name: str) -> None:
    target, problem = BAD[name]
    assert told(target) == [problem]


def test_a_column_that_cannot_have_the_key() -> None:
    numbered = Collection("numbered", "home", (Column("id", Type.UUID),), managed=True)
    dated = Collection("dated", "home", (Column("id"), Column("at", Type.DATE)), managed=True)
    made = replace(graph(Query, PEOPLE, numbered, dated, mutation=Mutation), replication=(cascade(numbered, to=dated, by="at"),))
    expected = "replication 'numbered>dated.at': by: expected a column that can hold numbered.id, uuid, got at, date"
    assert expected in [str(problem) for problem in check(made)]


def test_two_targets_of_one_name() -> None:
    expected = "Graph.replication: expected one target of the name 'people>copy': give one of them another (name=…), got 2"
    assert told(replicate(PEOPLE, to=COPY), replicate(PEOPLE, to=COPY, by="", rows=rows)) == [expected]


def test_what_is_no_target() -> None:
    assert told(PEOPLE) == ["Graph.replication: expected what replicate(), cascade() and follow_up() make, got a Collection"]
    nowhere = Replica("lost", PEOPLE, cast("Any", "copy"), "id", rows)
    assert told(nowhere) == ["replication 'lost': expected Collections as its ends, got a str"]


def test_ends_that_cannot_transact() -> None:
    kinds = {"home": lacking("paper"), "post": lacking("stone"), "records": lacking("wax")}
    assert told(replicate(PEOPLE, to=COPY), audit="records", kinds=kinds) == [
        "replication 'people>copy': source: expected a store that can transact, got home of kind paper, which cannot",
        "replication 'people>copy': target: expected a store that can transact, got post of kind stone, which cannot",
        "Graph.audit: expected a store that can transact, got records of kind wax, which cannot",
    ]


def test_an_audit_of_nothing() -> None:
    expected = "Graph.audit: expected a graph with mutations or replication, as nothing else is written, got neither"
    assert told(audit="records", mutation=None) == [expected]


def test_which_stores_have_tables_of_the_gateways_own() -> None:
    assert written(mutation=None).logged == frozenset()
    assert written().logged == {"home", "post"}
    assert written(replicate(PEOPLE, to=COPY), mutation=None).logged == {"home", "post"}
    assert written(follow_up(PEOPLE, name="f", run=welcome), mutation=None).logged == {"home"}
    assert written(audit="records").logged == {"home", "post", "records"}
