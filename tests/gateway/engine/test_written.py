"""Fields that write: what their functions give becomes rows, what is below them is read, and no error hides what is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import strawberry

from gateway.context import RequestContext
from gateway.errors import Conflict, NotFound
from gateway.graph import Connection, Node, column, filter_of, id_of, input_of, lookup, many, mutation, one, order_of, version, written
from gateway.loaders import load
from gateway.service import Request, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Index, Key, Type, Upsert
from gateway.stores.memory import MemoryStore
from gateway.writes.declarations import State
from gateway.writes.rows import Outcome
from gateway.writes.transaction import Transaction
from tests.gateway.engine.graphs import MASKED, graph

AUTHORS = Collection(
    "authors",
    "people",
    (Column("id", refers="Author"), Column("name"), Column("email"), Column("age", Type.INT, nullable=True, bits=32)),
    indexes=(Index(("email",), unique=True),),
    managed=True,
)
BOOKS = Collection(
    "books",
    "shelves",
    (Column("id", refers="Book"), Column("title"), Column("author_id", refers="Author"), Column("tags", Type.TEXTS, default=())),
    managed=True,
)


@strawberry.type
class Author(Node):
    id: strawberry.ID = column()
    name: str = column()
    version: int = version()
    books: Connection[Book] | None = many(BOOKS, by="author_id", where=filter_of(BOOKS), order=order_of(BOOKS))


@strawberry.type
class Book(Node):
    id: strawberry.ID = column()
    title: str = column()
    tags: list[str] = column()
    version: int = version()
    author: Author | None = one(AUTHORS, by="author_id")


BookInput: Any = input_of(BOOKS, name="BookInput")
AuthorInput: Any = input_of(AUTHORS, name="AuthorInput", optional=True, fields=("name", "email", "age"))


@strawberry.input
class Move:
    book: strawberry.ID = id_of("Book")
    to: strawberry.ID = id_of("Author")
    note: str | None = strawberry.UNSET


@strawberry.type
class Shelf:
    first: Book = written(BOOKS, "first")
    others: list[Book] = written(BOOKS, "others")
    keeper: Author | None = one(AUTHORS, by="keeper_id")
    size: int


SEEN: list[Any] = []
BEGUN, GOES_ON = asyncio.Event(), asyncio.Event()
NO_NUL = "expected text without NUL characters"


def book(key: Key, author: Key = "a") -> State:
    return {"id": key, "title": f"T{key}", "author_id": author, "tags": []}


async def put(ctx: RequestContext, tx: Transaction, input: BookInput) -> State:
    SEEN.append(input)
    return await tx.insert(BOOKS, {"id": input.id, "title": input.title, "author_id": input.author_id, "tags": input.tags})


async def put_many(ctx: RequestContext, tx: Transaction, ids: list[strawberry.ID]) -> Sequence[State]:
    return await tx.insert_many(BOOKS, [book(key) for key in ids])


async def put_shelf(ctx: RequestContext, tx: Transaction, ids: list[strawberry.ID]) -> dict[str, Any]:
    first, *others = await put_many(ctx, tx, ids)
    return {"first": first, "others": others, "keeper_id": "a", "size": len(ids)}


async def change(ctx: RequestContext, tx: Transaction, id: strawberry.ID, input: AuthorInput) -> State | None:
    given = {name: getattr(input, name) for name in ("name", "email", "age") if getattr(input, name) is not strawberry.UNSET}
    SEEN.append(given)
    input.name = "changed by the function"
    return await tx.update(AUTHORS, id, given)


async def gone(ctx: RequestContext, tx: Transaction, id: strawberry.ID) -> State | None:
    found = await tx.delete(BOOKS, id)
    if found is None:
        raise NotFound("There is no such book.")
    return found


async def move(ctx: RequestContext, tx: Transaction, found: str, input: Move) -> State | None:
    SEEN.append((input.book, input.to, input.note, found))
    return await tx.update(BOOKS, input.book, {"author_id": input.to})


async def author_is_there(ctx: RequestContext, input: Move) -> str:
    row = await load(ctx, AUTHORS, input.to)
    if row is None:
        raise NotFound("There is no such author.", field="to")
    return str(row[1])


async def moved(ctx: RequestContext, outcomes: Sequence[Outcome], input: Move) -> State:
    SEEN.append([outcome.action for outcome in outcomes])
    return book(input.book, input.to)


async def by_itself(ctx: RequestContext, id: strawberry.ID, how: str = "row") -> Any:
    match how:
        case "row":
            async with ctx.transaction("shelves") as tx:
                return await tx.insert(BOOKS, book(id))
        case "late":
            async with ctx.transaction("shelves") as tx:
                row = await tx.insert(BOOKS, book(id))
            ctx.deadline = ctx.started
            return row
        case "raises after":
            async with ctx.transaction("shelves") as tx:
                await tx.insert(BOOKS, book(id))
            raise ValueError("secret")
        case "nothing":
            return None
        case "half a row":
            return {"id": id, "title": "T"}
        case "a tuple":
            return (id, "T", "a", [])
    raise Conflict("No.")


async def nothing(ctx: RequestContext, tx: Transaction) -> None:
    return None


async def waits(ctx: RequestContext, tx: Transaction) -> State:
    BEGUN.set()
    await GOES_ON.wait()
    return await tx.insert(BOOKS, book("1"))


async def how_many(ctx: RequestContext, tx: Transaction) -> int:
    return 3


@strawberry.type
class Query:
    author: Author | None = lookup(AUTHORS, by={"id": "id"})
    book: Book | None = lookup(BOOKS, by={"id": "id"})


@strawberry.type
class Mutations:
    put: Book | None = mutation(put, BOOKS)
    put_many: list[Book] | None = mutation(put_many, BOOKS, refers={"ids": "Book"})
    put_shelf: Shelf | None = mutation(put_shelf, writes=(BOOKS,), refers={"ids": "Book"})
    change: Author | None = mutation(change, AUTHORS)
    gone: strawberry.ID | None = mutation(gone, BOOKS)
    move: Book | None = mutation(move, BOOKS, before=author_is_there, again=moved)
    by_itself: Book | None = mutation(by_itself, BOOKS)
    maybe: Book | None = mutation(nothing, BOOKS, semantic_non_null=False)
    waits: Book | None = mutation(waits, BOOKS)
    how_many: int | None = mutation(how_many, writes=(BOOKS,))


GRAPH = graph(Query, AUTHORS, BOOKS, mutation=Mutations)


class Gateway:
    def __init__(self, service: Service, stores: Stores, memory: dict[str, MemoryStore]) -> None:
        self.service, self.stores, self.memory = service, stores, memory

    async def ask(self, query: str, variables: dict[str, Any] | None = None, key: str | None = None) -> dict[str, Any]:
        for store in self.memory.values():
            store.calls.clear()
        SEEN.clear()
        response = await self.service.answer(Request(query, variables, idempotency_key=key), request_id="test")
        answer: dict[str, Any] = orjson.loads(response.body)
        return answer

    async def data(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        answer = await self.ask(query, variables)
        assert "errors" not in answer, answer
        assert "extensions" not in answer
        return answer["data"]


async def made() -> Gateway:
    memory = {name: MemoryStore(name) for name in GRAPH.store_names}
    stores = Stores(memory)
    await stores.open()
    await stores.ask(Upsert(AUTHORS, [("a", "Ada", "a@b", 36), ("b", "Bo", "b@b", None)]))
    return Gateway(Service(GRAPH, stores), stores, memory)


def errors(answer: dict[str, Any]) -> dict[str, str]:
    return {".".join(map(str, error["path"])): error["message"] for error in answer["errors"]}


# ---------------------------------------------------------------------------------------------------------------- shapes


async def test_a_row_is_the_write_itself_and_below_it_the_stores_are_asked() -> None:
    gateway = await made()
    found = await gateway.data(
        """mutation { put(input: {id: "1", title: "T", authorId: "Author:a"}) {
            __typename id title tags author { name books { totalCount } } } }"""
    )
    author = {"name": "Ada", "books": {"totalCount": 1}}
    assert found == {"put": {"__typename": "Book", "id": "Book:1", "title": "T", "tags": [], "author": author}}
    reads = [type(call).__name__ for call in gateway.memory["shelves"].calls if type(call).__name__ == "Get"]
    assert reads == []  # of books: what was written is not read


async def test_a_list_of_rows_has_its_objects_batched() -> None:
    gateway = await made()
    found = await gateway.data('mutation { putMany(ids: ["1", "Book:2"]) { id author { id } version } }')
    assert found["putMany"] == [{"id": f"Book:{n}", "author": {"id": "Author:a"}, "version": 1} for n in (1, 2)]
    assert len([call for call in gateway.memory["people"].calls if type(call).__name__ == "Get"]) == 1


async def test_an_empty_list() -> None:
    assert await (await made()).data("mutation { putMany(ids: []) { id } }") == {"putMany": []}


async def test_a_payload_has_rows_values_and_keys() -> None:
    gateway = await made()
    found = await gateway.data(
        """mutation { putShelf(ids: ["1", "2", "3"]) {
            size keeper { name } first { id author { name } } others { id version } again: first { title } } }"""
    )
    assert found == {
        "putShelf": {
            "size": 3,
            "keeper": {"name": "Ada"},
            "first": {"id": "Book:1", "author": {"name": "Ada"}},
            "others": [{"id": "Book:2", "version": 1}, {"id": "Book:3", "version": 1}],
            "again": {"title": "T1"},
        }
    }


async def test_an_id_is_that_of_the_row_and_another_leaf_its_value() -> None:
    gateway = await made()
    assert await gateway.data('mutation { putMany(ids: ["1"]) { id } gone(id: "1") howMany }') == {
        "putMany": [{"id": "Book:1"}],
        "gone": "Book:1",
        "howMany": 3,
    }


async def test_nothing_is_null_where_that_is_said_and_an_error_else() -> None:
    gateway = await made()
    answer = await gateway.ask('mutation { a: maybe { id } b: byItself(id: "1", how: "nothing") { id } }')
    assert answer["data"] == {"a": None, "b": None}
    assert errors(answer) == {"b": "Cannot return null for semantically non-null field Mutations.byItself."}


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (
            "half a row",
            "expected rows with all columns of books, id, title, author_id, tags, got id, title",
        ),
        ("a tuple", "expected rows of books, by column, got tuple"),
    ],
)
async def test_what_is_no_row_is_a_masked_error(how: str, told: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = await (await made()).ask('mutation ($h: String!) { byItself(id: "1", how: $h) { id author { id } } }', {"h": how})
    assert answer["data"] == {"byItself": None}
    assert errors(answer) == {"byItself": MASKED}
    assert f"the mutation test_written.by_itself: {told}" in caplog.text


# ------------------------------------------------------------------------------------------------------------- arguments


async def test_absent_is_unset_and_null_is_none() -> None:
    gateway = await made()
    query = 'mutation ($i: AuthorInput!) { change(id: "a", input: $i) { id } }'
    for given, seen in (({}, {}), ({"age": None}, {"age": None}), ({"age": 3, "name": "N"}, {"age": 3, "name": "N"})):
        await gateway.data(query, {"i": given})
        assert [seen] == SEEN


async def test_what_a_function_does_to_its_input_is_seen_by_no_other_request() -> None:
    gateway = await made()
    for _ in range(2):
        await gateway.data('mutation { change(id: "a", input: {name: "N"}) { name } }')
        assert SEEN == [{"name": "N"}]
    for _ in range(2):
        await gateway.data('mutation { put(input: {id: "1", title: "T", authorId: "a"}) { tags } gone(id: "1") }')
        SEEN[0].tags.append("x")
        assert SEEN[0].tags == ["x"]


async def test_ids_are_keys_in_inputs_too() -> None:
    gateway = await made()
    await gateway.data('mutation { putMany(ids: ["1"]) { id } }')
    found = await gateway.data('mutation { move(input: {book: "Book:1", to: "b"}) { author { name } } }')
    assert found == {"move": {"author": {"name": "Bo"}}}
    assert SEEN == [("1", "b", strawberry.UNSET, "Bo")]


@pytest.mark.parametrize(
    ("call", "told", "field"),
    [
        ('gone(id: "Author:1")', "gone: id: expected an id of Book, got one of Author", "id"),
        ('putMany(ids: ["1", "Author:2"]) { id }', "putMany: ids[1]: expected an id of Book, got one of Author", "ids"),
        ('move(input: {book: "1", to: "Book:1"}) { id }', "move: input.to: expected an id of Author, got one of Book", "to"),
        (
            'put(input: {id: "1", title: "\\u0000", authorId: "a"}) { id }',
            "put: input.title: expected text without NUL characters",
            "title",
        ),
        (
            'put(input: {id: "1", title: "T", authorId: "a", tags: ["\\u0000"]}) { id }',
            "put: input.tags[0]: expected text without NUL characters",
            "tags",
        ),
        (
            'change(id: "a", input: {name: null}) { id }',
            "change: input.name: expected a value, got null; leave the field out to keep what is there",
            "name",
        ),
    ],
)
async def test_a_bad_argument_refuses_the_operation_before_anything_runs(call: str, told: str, field: str) -> None:
    gateway = await made()
    answer = await gateway.ask(f'mutation {{ a: putMany(ids: ["9"]) {{ id }} {call} }}')
    assert "data" not in answer
    [error] = answer["errors"]
    assert (error["message"], error["extensions"]["code"], error["extensions"]["field"]) == (told, "BAD_USER_INPUT", field)
    assert [call for store in gateway.memory.values() for call in store.calls] == []


# ------------------------------------------------------------------------------------------------- errors hide no commit


async def test_an_error_below_a_write_names_what_is_committed() -> None:
    gateway = await made()
    await gateway.memory["people"].close()

    async def down(request: Any) -> Any:
        raise ValueError("secret")

    gateway.memory["people"].answer = down  # type: ignore[method-assign]
    answer = await gateway.ask('mutation { x: put(input: {id: "1", title: "T", authorId: "a"}) { title author { name } } }')
    assert answer["data"] == {"x": {"title": "T", "author": None}}
    assert errors(answer) == {"x.author": MASKED}
    assert answer["extensions"] == {"committed": ["x"]}


async def test_a_function_that_raises_after_its_commit_has_committed() -> None:
    answer = await (await made()).ask(
        'mutation { a: byItself(id: "1", how: "raises after") { id } b: byItself(id: "2", how: "no") { id } }'
    )
    assert answer["data"] == {"a": None, "b": None}
    assert errors(answer) == {"a": MASKED, "b": "No."}
    assert answer["extensions"] == {"committed": ["a"]}


async def test_a_taken_value_names_the_field_that_has_it() -> None:
    gateway = await made()
    answer = await gateway.ask('mutation { change(id: "a", input: {email: "b@b"}) { id } }')
    [error] = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("CONFLICT", "email")
    assert "extensions" not in answer


async def test_an_answer_that_is_too_late_names_what_is_committed() -> None:
    gateway = await made()
    written: list[str] = []
    request = Request('mutation { a: byItself(id: "1", how: "late") { id } b: byItself(id: "2") { id } }')
    response = await gateway.service.answer(request, request_id="test", deadline_s=60, written=written)
    assert response.status == 504
    answer = orjson.loads(response.body)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["DEADLINE_EXCEEDED"]
    assert answer["extensions"] == {"committed": ["a"]}
    assert written == ["a"]
    assert await gateway.data('{ a: book(id: "1") { id } b: book(id: "2") { id } }') == {"a": {"id": "Book:1"}, "b": None}


async def test_a_key_with_one_field_and_its_type_name() -> None:
    answer = await (await made()).ask('mutation { __typename putMany(ids: ["1"]) { id } }', key="k")
    assert answer == {"data": {"__typename": "Mutations", "putMany": [{"id": "Book:1"}]}}


# ------------------------------------------------------------------------------------------------------ reads and writes


async def test_what_before_found_is_the_functions_and_what_it_raises_refuses() -> None:
    gateway = await made()
    answer = await gateway.ask('mutation { move(input: {book: "1", to: "nobody"}) { id } }')
    [error] = answer["errors"]
    assert error["extensions"] == {"code": "NOT_FOUND", "field": "to"}
    assert SEEN == []


async def test_versions_count_writes() -> None:
    gateway = await made()
    found = await gateway.data(
        """mutation { a: change(id: "a", input: {name: "1"}) { version } b: change(id: "a", input: {name: "2"}) { version }
            move: putMany(ids: ["1"]) { author { name version } } }"""
    )
    assert found == {"a": {"version": 1}, "b": {"version": 2}, "move": [{"author": {"name": "2", "version": 2}}]}
    assert await gateway.data('{ author(id: "b") { version } }') == {"author": {"version": 0}}


# ----------------------------------------------------------------------------------------------------- idempotency keys


async def test_a_function_that_opens_its_own_transactions_takes_no_key() -> None:
    answer = await (await made()).ask('mutation { byItself(id: "1") { id } }', key="k")
    assert "data" not in answer
    [error] = answer["errors"]
    assert error["message"] == "Idempotency-Key: expected a mutation that keeps its outcome, and byItself keeps none"


async def test_a_request_whose_key_is_in_use_is_409_as_a_whole_and_says_when_to_try_again() -> None:
    gateway = await made()
    request = Request("mutation { waits { id } }", idempotency_key="k")
    first = asyncio.ensure_future(gateway.service.answer(request, request_id="test"))
    await BEGUN.wait()
    second = await gateway.service.answer(request, request_id="test")
    GOES_ON.set()
    assert (second.status, second.retry_after_s) == (409, 1)
    assert [error["extensions"]["code"] for error in orjson.loads(second.body)["errors"]] == ["CONFLICT"]
    assert orjson.loads((await first).body) == {"data": {"waits": {"id": "Book:1"}}}
    assert await gateway.ask("mutation { waits { id } }", key="k") == {"data": {"waits": {"id": "Book:1"}}}


async def test_again_answers_a_request_that_is_sent_again_and_rows_are_read_without_it() -> None:
    gateway = await made()
    calls = ('putMany(ids: ["1", "2"]) { id title }', 'move(input: {book: "1", to: "b"}) { title author { name } }')
    for query in (f"mutation {{ {call} }}" for call in calls):
        first, again = [await gateway.ask(query, key="k") for _ in range(2)]
        assert "errors" not in first
        assert again == first
    assert SEEN[-1] == ["update"]


async def test_what_is_gone_since_is_not_found() -> None:
    gateway = await made()
    query = 'mutation { putMany(ids: ["1"]) { id } }'
    await gateway.ask(query, key="k")
    await gateway.ask('mutation { gone(id: "1") }')
    answer = await gateway.ask(query, key="k")
    assert errors(answer) == {"putMany": "What was written under this key, Book:1, is gone since."}


async def test_a_payload_without_again_cannot_be_asked_again() -> None:
    gateway = await made()
    query = 'mutation { putShelf(ids: ["1"]) { size } }'
    await gateway.ask(query, key="k")
    answer = await gateway.ask(query, key="k")
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]
