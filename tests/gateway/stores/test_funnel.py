"""The one way to a store: layers in their order, the time limits, and whose name an error bears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.config import Settings
from gateway.context import RequestContext
from gateway.errors import (
    BadUserInput,
    ConfigError,
    Conflict,
    Contended,
    DeadlineExceeded,
    GatewayError,
    StoreTimeout,
    StoreUnavailable,
    WrongValue,
)
from gateway.preparing import connect
from gateway.service import Request as Asked
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.base import (
    KEYS_PER_CALL,
    A,
    Aggregate,
    Collection,
    Column,
    Compare,
    Fetch,
    Get,
    Match,
    Measure,
    Native,
    NativeCall,
    Page,
    Request,
    Slice,
    Type,
    Upsert,
    note,
    statements,
)
from gateway.stores.funnel import Caller, Layer, Next
from gateway.stores.memory import MemoryStore
from gateway.stores.shared import conflict
from gateway.stores.watches import without_values
from schema import schema as graph
from tests.services import STORES

NOTES = Collection("notes", "paper", (Column("id"), Column("text")))
TWINS = Collection("twins", "copy", (Column("id"), Column("text")))


async def stores(*layers: Layer, memory: MemoryStore | None = None, **times: float) -> Stores:
    made = Stores({"paper": memory or MemoryStore("paper")}, layers=layers, **times)  # type: ignore[arg-type]
    await made.ask(Upsert(NOTES, [("1", "a"), ("2", "b"), ("3", "c")]))
    made.calls.clear()
    return made


def noting(name: str, seen: list[str]) -> Layer:
    async def layer(request: Request[Any], caller: Caller, next_: Next) -> Any:
        seen.append(f"{name} before {request.keys_count}")
        answer = await next_(request, caller)
        seen.append(f"{name} after {request.rows_in(answer)}")
        return answer

    return layer


# -------------------------------------------------------------------------------------------------------------- layers


async def test_layers_stand_in_their_order_before_the_split() -> None:
    seen: list[str] = []
    made = await stores(noting("outer", seen), noting("inner", seen))
    keys = [str(number) for number in range(1_500)]
    assert await RequestContext(made).ask(Get(NOTES, ("text",), keys)) == {"1": ("a",), "2": ("b",), "3": ("c",)}
    assert seen == ["outer before 1500", "inner before 1500", "inner after 3", "outer after 3"]
    assert made.calls == {"paper.notes": 2}


async def test_a_layer_may_ask_for_something_else() -> None:
    async def one(request: Request[Any], caller: Caller, next_: Next) -> Any:
        return await next_(request.narrowed(NOTES, Compare("id", "eq", "2")), caller)

    made = await stores(one)
    assert await RequestContext(made).ask(Get(NOTES, ("text",), ["1", "2"])) == {"2": ("b",)}


async def test_a_layer_may_answer_itself_and_no_store_is_asked() -> None:
    async def cached(request: Request[Any], caller: Caller, next_: Next) -> Any:
        return {"1": ("kept",)}

    made = await stores(cached)
    assert await RequestContext(made).ask(Get(NOTES, ("text",), ["1"])) == {"1": ("kept",)}
    assert not made.calls


async def test_a_load_goes_past_the_layers() -> None:
    seen: list[str] = []
    made = await stores(noting("layer", seen))
    await made.ask(Get(NOTES, ("text",), ["1"]))
    assert not seen


async def test_what_a_layer_asks_for_instead_is_traced_as_what_was_asked() -> None:
    async def one(request: Request[Any], caller: Caller, next_: Next) -> Any:
        return await next_(request.narrowed(NOTES, Compare("id", "eq", "2")), caller)

    ctx = RequestContext(await stores(one), trace=[], started=time.monotonic())
    await ctx.ask(Get(NOTES, ("text",), ["1", "2"]))
    assert ctx.trace is not None
    [call] = ctx.trace
    assert (call.store, call.kind, call.collection, call.operation, call.keys, call.rows) == ("paper", "memory", "notes", "get", 2, 1)


async def test_a_trace_tells_of_a_call_that_failed_and_each_call_has_its_own_statements() -> None:
    memory = MemoryStore("paper")
    ctx = RequestContext(await stores(memory=memory), trace=[], started=time.monotonic())
    memory.fail_with = Conflict("Another row.", store="paper")
    with pytest.raises(Conflict):
        await ctx.ask(Get(NOTES, ("text",), ["1"]))
    assert statements.get() is None
    memory.fail_with = None
    await ctx.ask(Get(NOTES, ("text",), ["1"]))
    assert ctx.trace is not None
    assert [(call.error, call.rows) for call in ctx.trace] == [("Conflict", 0), (None, 1)]
    assert statements.get() is None


# ------------------------------------------------------------------------------------------------------- what is counted


class Noting(MemoryStore):
    """A store that tells the statement it runs."""

    async def answer(self, request: Request[A]) -> A:
        note("SELECT text FROM notes WHERE id = $1")
        return await super().answer(request)


async def test_calls_keys_and_rows_are_counted_for_who_asks() -> None:
    ctx = RequestContext(await stores())
    await ctx.ask(Get(NOTES, ("text",), [str(number) for number in range(1_500)]))
    await ctx.ask(Fetch(NOTES, ("text",), page=Page(2)))
    assert (ctx.account.calls, ctx.account.keys, ctx.account.rows) == (3, 1_500, 5)


async def test_what_a_store_refuses_is_a_call_that_took_its_time_and_has_no_rows() -> None:
    memory = MemoryStore("paper")
    made = await stores(memory=memory)
    ctx = RequestContext(made)
    before = sum(made.funnel.watches["paper"].durations.counts)
    memory.fail_with = Conflict("Another row.", store="paper")
    with pytest.raises(Conflict):
        await ctx.ask(Get(NOTES, ("text",), ["1"]))
    assert (ctx.account.calls, ctx.account.keys, ctx.account.rows) == (1, 1, 0)
    assert sum(made.funnel.watches["paper"].durations.counts) == before + 1


async def test_a_slow_call_is_a_line_with_its_statement_and_its_request(caplog: pytest.LogCaptureFixture) -> None:
    made = Stores({"paper": Noting("paper"), "quick": Noting("quick")}, slow_s={"paper": 1e-9})
    quick = replace(NOTES, store="quick")
    await made.ask(Upsert(NOTES, [("1", "a")]))
    await made.ask(Upsert(quick, [("1", "a")]))
    ctx = RequestContext(made, "r1", trace=[], started=time.monotonic())
    caplog.clear()
    for notes in (NOTES, quick):
        await ctx.ask(Get(notes, ("text",), ["1", "2"]))
    [record] = [record for record in caplog.records if record.name == "gateway.slow"]
    fields = record.fields  # type: ignore[attr-defined]
    assert fields.pop("ms") > 0
    assert fields == {
        "request": "r1", "store": "paper", "kind": "memory", "collection": "notes", "operation": "get", "keys": 2, "rows": 1,
        "statements": ["SELECT text FROM notes WHERE id = $1"],
    }  # fmt: skip
    assert [call.statements for call in ctx.trace or ()] == [["SELECT text FROM notes WHERE id = $1"]] * 2
    assert (made.funnel.watches["paper"].slow, made.funnel.watches["quick"].slow) == (2, 0)


async def test_a_slow_call_that_failed_says_with_what(caplog: pytest.LogCaptureFixture) -> None:
    memory = MemoryStore("paper")
    made = Stores({"paper": memory}, slow_s={"paper": 1e-9})
    memory.fail_with = StoreUnavailable("paper")
    with pytest.raises(StoreUnavailable):
        await RequestContext(made, "r1").ask(Get(NOTES, ("text",), ["1"]))
    assert [record.fields["error"] for record in caplog.records if record.name == "gateway.slow"] == ["StoreUnavailable"]  # type: ignore[attr-defined]
    assert statements.get() is None


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_slow_call_that_cannot_be_told_leaves_its_place(is_cancelled: bool) -> None:
    class Nothing(MemoryStore):
        places = 1

        async def answer(self, request: Request[A]) -> A:
            note({})  # no statement of any language
            if is_cancelled:
                await asyncio.Event().wait()
            raise StoreUnavailable("paper")

    made = Stores({"paper": Nothing("paper")}, slow_s={"paper": 1e-9})
    call = asyncio.ensure_future(RequestContext(made, "r1").ask(Get(NOTES, ("text",), ["1"])))
    await asyncio.sleep(0)
    assert made.guards["paper"].in_use == is_cancelled
    if is_cancelled:
        call.cancel()
    with pytest.raises(RuntimeError, match="StopIteration"):
        await call
    assert made.guards["paper"].in_use == 0


def test_a_pipeline_is_shown_without_its_values() -> None:
    command = {
        "aggregate": "users",
        "pipeline": [
            {"$match": {"email": "ada@example.org", "age": {"$gt": 41}, "id": {"$in": ["1", "2"]}, "or": [{"name": "$ada"}]}},
            {"$documents": [{"key": "secret"}]},
            {"$group": {"_id": "$author", "rows": {"$topN": {"n": 11, "output": ["$title", {"$literal": "$x"}], "sortBy": {"at": -1}}}}},
        ],
    }
    assert without_values(command) == (
        '{"aggregate":"users","pipeline":[{"$match":{"email":"?","age":{"$gt":"?"},"id":{"$in":["?"]},"or":[{"name":"?"}]}},'
        '{"$documents":[{"key":"?"}]},'
        '{"$group":{"_id":"$author","rows":{"$topN":{"n":11,"output":["$title",{"$literal":"?"}],"sortBy":{"at":-1}}}}}]}'
    )


def test_a_statement_is_one_line_and_not_endless() -> None:
    assert without_values("SELECT a,\n       b\nFROM c" + " x" * 9_999).startswith("SELECT a, b FROM c x")
    assert len(without_values("x" * 99_999)) == 4_000


class Lenient(MemoryStore):
    """A store that answers with what it is told to, whatever the columns' types are."""

    def __init__(self, answers: Any) -> None:
        super().__init__("paper")
        self.enforces_types = False
        self._answers = answers

    async def answer(self, request: Request[A]) -> A:
        answers: A = self._answers
        return answers


@pytest.mark.parametrize(
    ("request_", "answer", "where"),
    [
        (Get(NOTES, ("text",), ["1", "2"]), {"1": ("a",), "2": (5,)}, "notes.text"),
        (Fetch(NOTES, ("id", "text")), {None: Slice([("1", "a"), ("2", 5)])}, "notes.text"),
        (Aggregate(NOTES, ("text",), (Measure("count"),)), {None: [("a", 1), (5, 1)]}, "notes.text"),
        (Aggregate(NOTES, (), (Measure("max", "text"),)), {None: [(5,)]}, "notes.text"),
        (NativeCall(Native("top", "paper", (Column("text"),)), ["1"], {}), {"1": [("a",), (5,)]}, "top.text"),
    ],
    ids=["get", "fetch", "group", "measure", "native"],
)
async def test_a_store_that_enforces_no_types_is_held_to_them_whatever_it_is_asked(request_: Any, answer: Any, where: str) -> None:
    ctx = RequestContext(Stores({"paper": Lenient(answer)}))
    rows = list(request_.rows_of(await ctx.ask(request_)))
    wrong = [value for row in rows for value in row if isinstance(value, WrongValue)]
    assert len(rows) == len(list(request_.rows_of(answer)))
    assert [str(error.detail) for error in wrong] == [f"paper.{where}: expected TEXT, found an int"]
    assert ctx.has_wrong_values


async def test_every_read_and_write_of_a_request_meets_the_layers() -> None:
    seen: list[str] = []

    async def layer(request: Request[Any], caller: Caller, next_: Next) -> Any:
        seen.append(f"{request.operation} {request.about}")
        return await next_(request, caller)

    made = Stores({name: MemoryStore(name) for name in STORES}, layers=[layer])
    query = "{ users { nodes { id following { nodes { id } } eventStats { count } recommendations { score } } } user(id: 1) { id } }"
    response = await Service(graph, made).answer(Asked(query))
    assert "errors" not in orjson.loads(response.body)
    assert {"fetch users", "get users"} <= set(seen)
    ctx = RequestContext(made)
    await ctx.ask(Upsert(graph.collections[0], []))
    assert seen[-1].startswith("upsert")


async def test_a_store_that_is_not_there_is_named() -> None:
    with pytest.raises(LookupError, match="there is no store 'copy'; there are paper"):
        await (await stores()).ask(Get(TWINS, ("id",), ["1"]))


# ---------------------------------------------------------------------------------------------------------------- time


class Sleeping(MemoryStore):
    """A store that answers reads, or writes, after a long time."""

    sleeps_for: str = ""

    async def answer(self, request: Request[A]) -> A:
        if request.operation == self.sleeps_for:
            await asyncio.sleep(60)
        return await super().answer(request)


@pytest.mark.parametrize(
    ("operation", "deadline_s", "timeout_s", "write_timeout_s", "blamed"),
    [
        ("get", 30.0, 0.5, 30.0, 0.5),  # the store's own limit ends it, though the request has time left
        ("get", None, 0.5, 30.0, 0.5),
        ("get", 0.5, 30.0, 30.0, 0.5),  # less is left of the request
        ("upsert", 30.0, 30.0, 0.5, 0.5),  # writes have a limit of their own
    ],
)
async def test_the_shorter_limit_ends_a_call(
    operation: str, deadline_s: float | None, timeout_s: float, write_timeout_s: float, blamed: float
) -> None:
    memory = Sleeping("paper")
    ctx = RequestContext(await stores(memory=memory, timeout_s=timeout_s, write_timeout_s=write_timeout_s), started=time.monotonic())
    ctx.deadline = None if deadline_s is None else ctx.started + deadline_s
    memory.sleeps_for = operation
    request: Request[Any] = Get(NOTES, ("text",), ["1"]) if operation == "get" else Upsert(NOTES, [("4", "d")])
    with pytest.raises(StoreTimeout, match="'paper' did not answer within") as caught:
        async with asyncio.timeout(30):
            await ctx.ask(request)
    assert blamed - 0.4 < caught.value.seconds <= blamed  # of a request some time has passed


async def test_a_store_is_not_asked_when_no_time_is_left() -> None:
    memory = MemoryStore("paper")
    ctx = RequestContext(await stores(memory=memory), deadline=time.monotonic() - 1)
    memory.calls.clear()
    with pytest.raises(DeadlineExceeded):
        await ctx.ask(Get(NOTES, ("text",), ["1"]))
    assert not memory.calls


async def test_a_ping_has_a_limit_and_the_name_that_was_asked() -> None:
    class Deaf(MemoryStore):
        async def ping(self) -> None:
            await asyncio.sleep(30)

    with pytest.raises(StoreTimeout, match=r"'paper' did not answer within 0\.05 s"):
        await Stores({"paper": Deaf("other")}).ping("paper", timeout_s=0.05)


# ------------------------------------------------------------------------------------------- one pool for several names


class OfDriver(Exception):
    pass


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("paper"),
        StoreTimeout("paper", 2),
        Conflict("Another row has the same id.", store="paper"),
        Contended("paper"),
        BadUserInput("no", store="paper"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("name", ["paper", "copy"])
async def test_an_error_of_a_shared_pool_bears_the_name_that_was_asked_and_the_drivers_cause(error: GatewayError, name: str) -> None:
    class Failing(MemoryStore):
        async def answer(self, request: Request[Any]) -> Any:
            raise error from OfDriver("refused")

    store = Failing("paper")
    collection = {"paper": NOTES, "copy": TWINS}[name]
    with pytest.raises(type(error)) as caught:
        await RequestContext(Stores({"paper": store, "copy": store})).ask(Fetch(collection, ("id",)))
    assert caught.value.extensions == {**error.extensions, "store": name}
    assert caught.value.message == error.message.replace("'paper'", f"'{name}'")
    assert isinstance(caught.value.__cause__, OfDriver), "what the log shows"


async def test_a_conflict_of_a_shared_pool_still_says_what_it_is_about() -> None:
    class Failing(MemoryStore):
        async def answer(self, request: Request[Any]) -> Any:
            raise conflict("paper", "notes", ["text"])

    store = Failing("paper")
    with pytest.raises(Conflict) as caught:
        await RequestContext(Stores({"paper": store, "copy": store})).ask(Fetch(TWINS, ("id",)))
    assert (caught.value.extensions["store"], caught.value.collection, caught.value.columns) == ("copy", "notes", ("text",))


async def test_the_log_has_the_drivers_reason_whatever_name_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(MemoryStore):
        async def answer(self, request: Request[Any]) -> Any:
            raise StoreUnavailable("users") from OfDriver("connection refused")

    store = Failing("users")
    response = await Service(graph, Stores(dict.fromkeys(STORES, store))).answer(Asked("{ posts { nodes { id } } }"), request_id="r1")
    assert orjson.loads(response.body)["errors"][0]["extensions"]["store"] == "posts"
    assert any("OfDriver('connection refused')" in record.getMessage() for record in caplog.records)


URLS = {
    "users": "postgresql://nobody@127.0.0.1:1/a",
    "posts": "postgresql://nobody@127.0.0.1:1/a",
    "events": "postgresql://nobody@127.0.0.1:1/b",
}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"users": 3, "posts": 3, "events": 7}, {"users": 3, "posts": 3, "events": 7}),
        ({"users": None, "posts": 4}, {"users": 4, "posts": 4}),
        ({"users": 5}, {"users": 5, "posts": 5}),
    ],
)
def test_one_pool_has_the_size_that_was_said_of_either_name(sizes: Mapping[str, int | None], expected: Mapping[str, int]) -> None:
    made = Stores.connect(URLS, pool_sizes=sizes)
    assert made["users"] is made["posts"]
    assert made["users"] is not made["events"]
    for name, size in expected.items():
        store: Any = made[name]
        assert store._driver._pool_size == size


def test_two_sizes_for_one_pool_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"stores\.posts\.pool_size: expected 3, as stores\.users\.pool_size, .*; got 4"):
        Stores.connect(URLS, pool_sizes={"users": 3, "posts": 4})


def test_two_sizes_of_the_settings_are_refused_and_a_default_is_none() -> None:
    def settings(**sizes: int) -> Settings:
        return Settings.model_validate(
            {"stores": {name: {"url": URLS["users"], **({"pool_size": sizes[name]} if name in sizes else {})} for name in STORES}}
        )

    store: Any = connect(settings(posts=4))["users"]
    assert store._driver._pool_size == 4
    store = connect(settings())["users"]
    assert store._driver._pool_size == 10
    with pytest.raises(ConfigError, match=r"stores\.posts\.pool_size: expected 3"):
        connect(settings(users=3, posts=4))


# -------------------------------------------------------------------------------------------------- a collection's own condition


async def test_rows_that_a_collections_own_condition_does_not_hold_for_are_not_there() -> None:
    """For whoever reads: by key, in pages, counted and measured, below a layer that narrows on its own, and in parts."""
    everything = Collection("things", "tested", (Column("id"), Column("owner"), Column("gone", Type.TIME, nullable=True)))
    things = replace(everything, where=Compare("gone", "eq", None))
    stores = Stores({"tested": MemoryStore("tested")})
    await stores.ask(Upsert(everything, [("1", "a", None), ("2", "a", "2024-01-01T00:00:00.000Z"), ("3", "b", None)]))
    ctx = RequestContext(stores)
    assert set(await ctx.ask(Get(things, ("id",), ["1", "2", "3"], where=Compare("owner", "eq", "a")))) == {"1"}
    page = (await ctx.ask(Fetch(things, ("id",), match=Match("owner", ["a", "b"]), page=Page(1), count=True)))["a"]
    assert ([row[0] for row in page.rows], page.more, page.total) == (["1"], False, 1)
    assert (await ctx.ask(Aggregate(things, (), (Measure("count"),))))[None] == [(2,)]
    many = [str(number) for number in range(KEYS_PER_CALL + 5)]
    assert set(await ctx.ask(Get(things, ("id",), many))) == {"1", "3"}
    assert set(await ctx.ask(Get(everything, ("id",), ["1", "2"]))) == {"1", "2"}
