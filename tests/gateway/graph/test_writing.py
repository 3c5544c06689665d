"""What a graph declares of its writes: inputs from columns, fields that insert, update, delete and upsert, and what cannot be."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
import pytest_asyncio
import strawberry
from graphql import print_type

from gateway.context import RequestContext
from gateway.errors import BadUserInput
from gateway.graph import (
    BigInt,
    Node,
    column,
    delete,
    id_of,
    input_of,
    insert,
    lookup,
    mutation,
    update,
    upsert,
    values_of,
    version,
    written,
)
from gateway.graph.checks import check
from gateway.migrating import migrate
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Index, Type
from gateway.stores.kinds import kind_named
from gateway.writes.declarations import State
from gateway.writes.transaction import Transaction
from tests.gateway.engine.graphs import graph

TRACKS = Collection(
    "tracks",
    "ours",
    (
        Column("id", Type.INT, refers="Track", description="The key."),
        Column("name", description="The name."),
        Column("price", Type.DECIMAL, scale=2, default="0.99", description="What it costs."),
        Column("mood", Type.ENUM, nullable=True, values=("LOUD", "QUIET")),
        Column("plays", Type.INT, bits=32, default=0),
        Column("label_id", nullable=True, refers="Label"),
        Column("tags", Type.TEXTS, default=()),
        Column("extra", Type.JSON, nullable=True),
    ),
    indexes=(Index(("name",), unique=True),),
    managed=True,
)
LABELS = Collection("labels", "ours", (Column("id", refers="Label"), Column("name")), managed=True)
# Somebody else's: the database makes the key, and has a default and a trigger.
NOTES = Collection(
    "notes",
    "theirs",
    (Column("id", Type.INT, refers="Note"), Column("text"), Column("stars", Type.INT, bits=32), Column("size", Type.INT, nullable=True)),
)
PAIRS = Collection("pairs", "theirs", (Column("a", Type.INT), Column("b"), Column("value", nullable=True)), key=("a", "b"), type="Pair")


@strawberry.type
class Label(Node):
    id: strawberry.ID = column()
    name: str = column()


@strawberry.type
class Track(Node):
    id: strawberry.ID = column()
    name: str = column()
    price: str = column()
    mood: str | None = column()
    plays: int = column()
    tags: list[str] = column()
    version: int = version()


@strawberry.type
class Note(Node):
    id: strawberry.ID = column()
    text: str = column()
    stars: int = column()
    size: BigInt | None = column()


@strawberry.type
class Pair(Node):
    id: strawberry.ID = column()
    value: str | None = column()


@strawberry.type
class Query:
    note: Note | None = lookup(NOTES, by={"id": "id"})
    label: Label | None = lookup(LABELS, by={"id": "id"})


async def louder(ctx: RequestContext, values: dict[str, Any]) -> dict[str, Any]:
    if values.get("name") == "refuse":
        raise BadUserInput("name: expected another", field="name")
    return {**values, "mood": "LOUD"}


@strawberry.type
class Mutation:
    insert_track: Track | None = insert(TRACKS)
    update_track: Track | None = update(TRACKS, prepare=louder)
    delete_track: Track | None = delete(TRACKS)
    upsert_track: Track | None = upsert(TRACKS, fields=("id", "name", "plays"))
    insert_note: Note | None = insert(NOTES, fields=("text", "stars"), optional=("stars",))
    update_note: Note | None = update(NOTES, fields=("text",))
    delete_note: strawberry.ID | None = delete(NOTES)
    upsert_pair: Pair | None = upsert(PAIRS)
    update_pair: Pair | None = update(PAIRS)


GRAPH = graph(Query, TRACKS, LABELS, NOTES, PAIRS, mutation=Mutation)


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    theirs = sqlite3.connect(tmp_path / "theirs.db")
    theirs.executescript(
        """CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, stars INTEGER NOT NULL DEFAULT 3, size INTEGER);
           CREATE TRIGGER sized AFTER INSERT ON notes BEGIN UPDATE notes SET size = length(new.text) WHERE id = new.id; END;
           CREATE TABLE pairs (a INTEGER, b TEXT, value TEXT, PRIMARY KEY (a, b));"""
    )
    theirs.close()
    stores = Stores.connect({"ours": f"sqlite:///{tmp_path / 'ours.db'}", "theirs": f"sqlite:///{tmp_path / 'theirs.db'}"})
    await stores.open()
    for name in GRAPH.store_names:
        await migrate(stores, GRAPH, name)
    yield Service(GRAPH, stores)
    await stores.close()


async def ask(service: Service, call: str, variables: dict[str, Any] | None = None) -> Any:
    """Return what the one root field answers, or its error's code and field."""
    head = "mutation ($i: JSON) " if variables is None else "mutation "
    response = await service.answer(Request(f"{head.replace('($i: JSON) ', '')}{{ x: {call} }}", variables), request_id="test")
    answer = orjson.loads(response.body)
    if "errors" in answer:
        [error] = answer["errors"]
        return error["extensions"]["code"], error["extensions"].get("field")
    return answer["data"]["x"]


# --------------------------------------------------------------------------------------------------------------- inputs


def test_an_input_is_made_of_the_columns() -> None:
    built = GRAPH.schema._schema.type_map
    assert (
        print_type(built["InsertTrackInput"])
        == '''"""What is written of tracks."""
input InsertTrackInput {
  """The key."""
  id: ID!

  """The name."""
  name: String!

  """What it costs."""
  price: Decimal! = "0.99"
  mood: String
  plays: Int! = 0
  labelId: ID
  tags: [String!]! = []
  extra: JSON
}'''
    )
    assert (
        print_type(built["UpdateTrackInput"])
        == '''"""What is written of tracks."""
input UpdateTrackInput {
  """The name."""
  name: String

  """What it costs."""
  price: Decimal
  mood: String
  plays: Int
  labelId: ID
  tags: [String!]
  extra: JSON

  """The version that it has to have, or nothing is changed: CONFLICT."""
  expectedVersion: Int
}'''
    )
    assert print_type(built["UpdateNoteInput"]) == '"""What is written of notes."""\ninput UpdateNoteInput {\n  text: String\n}'


def test_values_are_what_was_given_by_column() -> None:
    made = input_of(TRACKS, name="Some", fields=("name", "mood", "label_id"), optional=True)

    @strawberry.input
    class More(made):  # type: ignore[misc,valid-type]
        loudly: bool = True

    assert values_of(More(name="N", mood=None)) == {"name": "N", "mood": None}
    assert values_of(More()) == {}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fields": ("nowhere",)}, f"expected columns of {', '.join(TRACKS.names)}, got nowhere"),
        ({"optional": ("nowhere",)}, f"expected optional columns of {', '.join(TRACKS.names)}, got nowhere"),
        ({"fields": ()}, "expected at least one column, got none"),
    ],
)
def test_an_input_of_what_there_is_not(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^collection tracks, input_of: {told}$"):
        input_of(TRACKS, name="Some", **options)


# -------------------------------------------------------------------------------------------------------------- managed


async def test_a_managed_row_from_insert_to_delete(service: Service) -> None:
    row = "{ id name price mood plays tags version }"
    first: dict[str, Any] = {"id": "Track:1", "name": "A", "price": "0.99", "mood": None, "plays": 0, "tags": [], "version": 1}
    assert await ask(service, f'insertTrack(input: {{id: 1, name: "A"}}) {row}') == first
    assert await ask(service, f'insertTrack(input: {{id: "Track:2", name: "A"}}) {row}') == ("CONFLICT", "name")
    assert await ask(service, f'insertTrack(input: {{id: "1", name: "B"}}) {row}') == ("CONFLICT", "id")
    loud = {**first, "price": "1.50", "mood": "LOUD", "version": 2}
    assert await ask(service, f'updateTrack(id: "1", input: {{price: "1.5", expectedVersion: 1}}) {row}') == loud
    assert await ask(service, f'updateTrack(id: "1", input: {{price: "1.6", expectedVersion: 1}}) {row}') == ("CONFLICT", None)
    assert await ask(service, f'updateTrack(id: "1", input: {{name: "refuse"}}) {row}') == ("BAD_USER_INPUT", "name")
    assert await ask(service, f'deleteTrack(id: "1") {row}') == {**loud, "version": 3}
    assert await ask(service, f'deleteTrack(id: "1") {row}') == ("NOT_FOUND", "id")


async def test_an_upsert_inserts_and_then_sets_what_is_given(service: Service) -> None:
    row = "{ name plays version }"
    assert await ask(service, f'upsertTrack(input: {{id: "7", name: "A", plays: 2}}) {row}') == {"name": "A", "plays": 2, "version": 1}
    assert await ask(service, f'upsertTrack(input: {{id: "7", name: "B"}}) {row}') == {"name": "B", "plays": 0, "version": 2}


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ('insertTrack(input: {id: "x", name: "A"}) { id }', "id"),
        ('insertTrack(input: {id: "1", name: "A", price: "0.999"}) { id }', "price"),
        ('insertTrack(input: {id: "1", name: "A", mood: "BLUE"}) { id }', "mood"),
        ('insertTrack(input: {id: "1", name: "A", labelId: "Track:1"}) { id }', "labelId"),
        ('insertTrack(input: {id: "1", name: "A", extra: {a: "\\u0000"}}) { id }', "extra"),
        ('updateTrack(id: "1", input: {tags: null}) { id }', "tags"),
        ('deleteTrack(id: "Label:1") { id }', "id"),
    ],
)
async def test_values_that_a_column_cannot_hold_are_refused(service: Service, call: str, field: str) -> None:
    assert await ask(service, call) == ("BAD_USER_INPUT", field)


# ----------------------------------------------------------------------------------------------------- somebody else's


async def test_the_database_makes_keys_and_defaults_of_somebody_elses_table(service: Service) -> None:
    row = "{ id text stars size }"
    first = {"id": "Note:1", "text": "abc", "stars": 3, "size": "3"}
    assert await ask(service, f'insertNote(input: {{text: "abc"}}) {row}') == first
    assert await ask(service, f'insertNote(input: {{text: "abc", stars: 5}}) {row}') == ("CONFLICT", "text")
    assert await ask(service, f'updateNote(id: "1", input: {{text: "xy"}}) {row}') == {**first, "text": "xy"}
    assert await ask(service, f'updateNote(id: "nothing", input: {{text: "xy"}}) {row}') == ("BAD_USER_INPUT", "id")
    assert await ask(service, 'deleteNote(id: "Note:1")') == "Note:1"
    assert await ask(service, 'deleteNote(id: "Note:1")') == ("NOT_FOUND", "id")
    response = await service.answer(Request('mutation { deleteNote(id: "1") }', idempotency_key="k"), request_id="test")
    assert orjson.loads(response.body)["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_key_of_several_columns(service: Service) -> None:
    assert await ask(service, 'upsertPair(input: {a: 1, b: "x,y", value: "v"}) { id value }') == {"id": "Pair:1,x%2Cy", "value": "v"}
    assert await ask(service, 'upsertPair(input: {a: 1, b: "x,y"}) { id value }') == {"id": "Pair:1,x%2Cy", "value": "v"}
    assert await ask(service, 'updatePair(id: "Pair:1,x%2Cy", input: {value: null}) { value }') == {"value": None}
    assert await ask(service, 'updatePair(id: "1,z", input: {value: null}) { value }') == ("NOT_FOUND", "id")


# --------------------------------------------------------------------------------------------------------------- checks


async def good(ctx: RequestContext, tx: Transaction, id: strawberry.ID) -> State:
    return {}


def not_async(ctx: RequestContext, tx: Transaction, id: strawberry.ID) -> State:
    return {}


async def any_arguments(ctx: RequestContext, tx: Transaction, *more: int) -> State:
    return {}


async def finds(ctx: RequestContext, id: strawberry.ID) -> str:
    return ""


async def without_tx(ctx: RequestContext, id: strawberry.ID) -> State:
    return {}


@strawberry.input
class Odd:
    of_no_type: strawberry.ID
    of_nothing: strawberry.ID = id_of("Nothing")
    maybe: strawberry.Maybe[str]


async def odd_input(ctx: RequestContext, tx: Transaction, input: Odd) -> State:
    return {}


@strawberry.type
class Payload:
    label: Label = written(LABELS, "label")


@strawberry.type
class Versioned:
    id: strawberry.ID = column()
    version: int = version()


def problems(field: Any, annotation: Any, *, root: str = "Mutation", collections: tuple[Collection, ...] = (LABELS, TRACKS)) -> list[str]:
    """Return what is wrong with one root field."""
    its: Any = type(root, (), {"x": field})
    its.__annotations__ = {"x": annotation}
    options = {"mutation": strawberry.type(its)} if root == "Mutation" else {}

    @strawberry.type
    class Empty:
        label: Label | None = lookup(LABELS, by={"id": "id"})

    made = graph(strawberry.type(its) if root == "Query" else Empty, *collections, types=[Track, Label], **options)
    return [str(problem) for problem in check(made)]


@pytest.mark.parametrize(
    ("field", "annotation", "told"),
    [
        (mutation(good, LABELS), Label | None, []),
        (mutation(good, LABELS), strawberry.ID | None, []),
        (
            mutation(cast("Any", not_async), LABELS),
            Label | None,
            ["expected an async function, got the function test_writing.not_async, which is none"],
        ),
        (mutation(good, refers={"id": "Label"}), int | None, ["expected the collections that it writes (writes=…), got none"]),
        (mutation(good, LABELS), int | None, ["expected a type of labels, an ID of it, or no collection, got Int"]),
        (mutation(good, writes=(LABELS,)), Payload | None, ["expected a type that the id id is of (refers=…), got none"]),
        (
            mutation(good, LABELS, refers={"id": "Nothing"}),
            Label | None,
            ["expected a type that has a collection (Label, Track) for the id id to be of, got Nothing"],
        ),
        (
            mutation(good, LABELS, refers={"other": "Label"}),
            Label | None,
            ["expected refers of the function's arguments (ctx, tx, id), got 'other'"],
        ),
        (
            mutation(good, LABELS, writes=(NOTES,)),
            Label | None,
            ["expected one of the graph's collections (labels, tracks), got notes, which the graph leaves out"],
        ),
        (
            mutation(any_arguments, LABELS),
            Label | None,
            ["expected a function whose arguments have names, got the function test_writing.any_arguments of (ctx, tx, *more)"],
        ),
        (
            mutation(good, LABELS, before=finds),
            Label | None,
            ["expected a function that takes what test_writing.finds found (found), got the function test_writing.good of (ctx, tx, id)"],
        ),
        (
            mutation(without_tx, LABELS, again=finds),
            Label | None,
            ["expected a function of (ctx, tx, …) to run test_writing.finds beside, got the function test_writing.without_tx of (ctx, id)"],
        ),
        (
            mutation(odd_input, LABELS),
            Label | None,
            [
                "expected a type that the id input.ofNoType is of (refers=…), got none",
                "expected a type that has a collection (Label, Track) for the id input.ofNothing to be of, got Nothing",
                "expected UNSET as what an absent input.maybe has, got a Maybe",
            ],
        ),
        (
            written(LABELS, "label"),
            Label | None,
            ["expected a parent whose row has the key (mutation() gives rows there), got written() at the root"],
        ),
        (
            mutation(good, writes=(LABELS,), refers={"id": "Label"}),
            Versioned | None,
            ["expected rows of a collection above, to know their store, got what test_writing.good gives"],
        ),
    ],
    ids=str,
)
def test_each_mistake_has_its_sentence(field: Any, annotation: Any, told: list[str]) -> None:
    found = problems(field, annotation)
    assert [text.partition(": ")[2] for text in found] == told


def test_a_query_does_not_write() -> None:
    assert problems(mutation(good, LABELS), Label | None, root="Query") == [
        "Query.x: expected a field of the root of mutations, as it writes, got mutation() at the root of queries"
    ]


def test_versions_are_of_managed_collections() -> None:
    @strawberry.type
    class Root:
        note: Versioned | None = lookup(NOTES, by={"id": "id"})

    found = check(graph(Root, NOTES, types=[Note]))
    assert [str(problem) for problem in found] == [
        "Versioned.version: expected rows of a managed collection above, as others have no versions, got notes"
    ]


def test_a_function_is_wanted_whose_arguments_have_types() -> None:
    async def bare(ctx, tx, name):  # type: ignore[no-untyped-def]
        ...

    with pytest.raises(TypeError, match=r"^mutation\(bare\): expected a type for each argument, got none for name$"):
        mutation(bare, LABELS)
    with pytest.raises(TypeError, match=r"^mutation\(\): expected a function, got a field, as in the body of a class the name means"):
        mutation(mutation(good, LABELS), LABELS)


def test_a_kind_of_store_without_transactions_is_told() -> None:
    kind = kind_named("sqlite")
    assert kind is not None
    plain = replace(kind, can=kind.can - {"transact"})
    found = [str(problem) for problem in check(GRAPH, {"ours": plain, "theirs": kind})]
    assert "Mutation.insertTrack: expected a store that can transact, got ours of kind sqlite, which cannot" in found
    assert not [text for text in found if "Note" in text]
