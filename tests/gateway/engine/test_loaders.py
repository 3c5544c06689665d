"""The request's dataloaders: what is asked in one turn of the loop is one call, and who is cancelled takes nobody along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import strawberry

from gateway.context import RequestContext
from gateway.errors import StoreUnavailable
from gateway.graph.fields import Node, batched, column, lookup, one
from gateway.loaders import ask, ask_all, end, frozen, load, shared
from gateway.stores import Stores
from gateway.stores.base import Aggregate, Collection, Column, Fetch, Get, Match, Measure, Native, NativeCall, Pairs, Slice, Upsert
from gateway.stores.memory import MemoryStore
from tests.gateway.engine.graphs import MASKED, Both, both, graph

SHOPS = Collection("shops", "shops", (Column("id", refers="Shop"), Column("name"), Column("owner_id")))
OWNERS = Collection("owners", "owners", (Column("id", refers="Owner"), Column("name", nullable=True)))


async def slow_failure(_: RequestContext, keys: Any) -> list[Any]:
    return [ValueError("secret") if key == "1" else "fine" for key in keys]


@strawberry.type
class Owner(Node):
    id: strawberry.ID = column()
    name: str | None = column()


@strawberry.type
class Shop(Node):
    id: strawberry.ID = column()
    owner: Owner = one(OWNERS, by="owner_id")
    strict: str = batched(slow_failure)

    @strawberry.field
    async def at_once(self) -> str:
        raise ValueError("secret")

    @strawberry.field
    def by_hand(self) -> str:
        return "made"


@strawberry.type
class Query:
    shop: Shop | None = lookup(SHOPS, by={"id": "id"})


GRAPH = graph(Query, SHOPS, OWNERS)


@pytest.fixture
async def town() -> Both:
    return await both(GRAPH, {SHOPS: [("1", "a", "o"), ("2", "b", "o")], OWNERS: [("o", "Ona")]})


async def context(rows: list[tuple[str, str]]) -> tuple[RequestContext, MemoryStore]:
    memory = MemoryStore("owners")
    stores = Stores({"owners": memory})
    await stores.ask(Upsert(OWNERS, rows))
    memory.calls.clear()
    return RequestContext(stores), memory


# ------------------------------------------------------------------------------------------------------ cancelled fields


async def test_a_field_that_is_cancelled_does_not_cancel_the_key_that_others_wait_for(town: Both) -> None:
    """graphql-core cancels the fields beside one that failed; two shops wait for the same owner."""
    await town.answer(
        '{ a: shop(id: "1") { owner { name } atOnce } b: shop(id: "2") { owner { name } byHand } }',
        data={"a": None, "b": {"owner": {"name": "Ona"}, "byHand": "made"}},
        errors={"a.atOnce": MASKED},
    )


async def test_a_batch_that_failed_for_one_parent_leaves_the_owner_of_the_other(town: Both) -> None:
    await town.answer(
        '{ a: shop(id: "1") { strict owner { name } } b: shop(id: "2") { owner { name } strict } }',
        data={"a": None, "b": {"owner": {"name": "Ona"}, "strict": "fine"}},
        errors={"a.strict": MASKED},
    )


async def test_a_shared_future_survives_one_of_its_waiters() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiters = [asyncio.ensure_future(_wait(shared(future))) for _ in range(2)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    await asyncio.sleep(0)
    future.set_result("here")
    assert await waiters[1] == "here"
    assert waiters[0].cancelled()


async def _wait(future: asyncio.Future[str]) -> str:
    return await future


async def test_an_error_that_nobody_waits_for_any_more_is_not_reported_as_forgotten() -> None:
    reports: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: reports.append(about))
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiter = asyncio.ensure_future(_wait(shared(future)))
    await asyncio.sleep(0)
    waiter.cancel()
    future.set_exception(ValueError())
    await asyncio.sleep(0)
    del future, waiter
    assert reports == []


async def test_a_key_is_loaded_once_though_its_first_waiter_was_cancelled() -> None:
    ctx, memory = await context([("1", "Ona")])
    first = asyncio.ensure_future(load(ctx, OWNERS, "1"))
    second = asyncio.ensure_future(load(ctx, OWNERS, "1"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ("1", "Ona")
    assert len(memory.calls) == 1


# ------------------------------------------------------------------------------------------------------- shared calls


async def test_keys_of_one_turn_are_one_call() -> None:
    ctx, memory = await context([("1", "a"), ("2", "b")])
    assert await asyncio.gather(*(load(ctx, OWNERS, key) for key in ("2", "3", "1", "2"))) == [("2", "b"), None, ("1", "a"), ("2", "b")]
    assert memory.calls == [Get(OWNERS, ("id", "name"), ["2", "3", "1"], "id")]


async def test_keys_of_two_columns_are_two_calls() -> None:
    ctx, memory = await context([("1", "2"), ("2", "1")])
    rows = await asyncio.gather(load(ctx, OWNERS, "1"), load(ctx, OWNERS, "1", column="name"))
    assert list(rows) == [("1", "2"), ("2", "1")]
    assert [call.column for call in memory.calls if isinstance(call, Get)] == ["id", "name"]


async def test_batches_of_one_turn_are_one_call_each_in_its_own_columns() -> None:
    ctx, memory = await context([("1", "a"), ("2", "b")])
    names, ids = await asyncio.gather(ask(ctx, Get(OWNERS, ("name",), ["1", "2"])), ask(ctx, Get(OWNERS, ("id", "name"), ["2"])))
    assert names == {"1": ("a",), "2": ("b",)}
    assert ids["2"] == ("2", "b")
    assert memory.calls == [Get(OWNERS, ("name", "id"), ["1", "2"], "id")]


async def test_of_a_shared_call_each_has_the_parents_that_it_asked_for() -> None:
    ctx, memory = await context([("1", "a"), ("2", "b")])
    requests: list[Any] = [Fetch(OWNERS, ("name",), Match("id", [key])) for key in "12"]
    requests += [Aggregate(OWNERS, (), (Measure("count"),), Match("id", [key])) for key in "12"]
    answers = await asyncio.gather(*(ask(ctx, request) for request in requests))
    assert [list(answer) for answer in answers] == [["1"], ["2"], ["1"], ["2"]]
    assert len(memory.calls) == 2


async def test_however_many_share_a_call_each_has_its_own() -> None:
    ctx, memory = await context([(key, key) for key in "123"])
    assert await ask_all(ctx, [Get(OWNERS, ("name",), [key]) for key in "321"]) == [{key: (key,)} for key in "321"]
    assert memory.calls == [Get(OWNERS, ("name",), ["3", "2", "1"], "id")]


async def test_what_shares_no_call_has_one_each() -> None:
    """Pairs of two edges: the same parent has other rows by each."""
    ctx, memory = await context([("1", "a"), ("2", "b")])
    one, other = await ask_all(ctx, [Fetch(OWNERS, ("name",), Pairs("id", [("p", key)])) for key in "12"])
    assert (one, other) == ({"p": Slice([("a",)])}, {"p": Slice([("b",)])})
    assert len(memory.calls) == 2


class Stuck(MemoryStore):
    """A store that never answers, and says which of its calls were ended."""

    def __init__(self) -> None:
        super().__init__("owners")
        self.asked: list[Any] = []
        self.ended: list[Any] = []

    async def answer(self, request: Any) -> Any:
        self.asked.append(request)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(request)


async def test_who_gives_up_on_a_level_ends_all_its_calls() -> None:
    stuck = Stuck()
    requests: list[Any] = [Get(OWNERS, ("name",), ["1"]), Fetch(OWNERS, ("name",)), Aggregate(OWNERS, (), (Measure("count"),))]
    level = asyncio.ensure_future(ask_all(RequestContext(Stores({"owners": stuck}, timeout_s=60)), requests))
    await _until(lambda: len(stuck.asked) == 3)
    level.cancel()
    with pytest.raises(asyncio.CancelledError):
        await level
    await _until(lambda: len(stuck.ended) == 3)


async def test_the_end_of_a_request_is_that_of_its_loaders_and_of_whom_they_wait_for() -> None:
    stuck = Stuck()
    ctx = RequestContext(Stores({"owners": stuck}, timeout_s=60))
    batch = ask(ctx, Fetch(OWNERS, ("name",)))
    key = asyncio.ensure_future(load(ctx, OWNERS, "1"))
    await _until(lambda: len(stuck.asked) == 2)
    assert len(ctx.tasks) == 2
    end(ctx)
    assert (ctx.batch_loader, ctx.key_loaders) == (None, {})
    for waiting in (batch, key):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 30)
    await _until(lambda: len(stuck.ended) == 2)
    assert not ctx.tasks


async def test_a_request_that_has_ended_before_its_batch_is_sent_asks_no_store() -> None:
    stuck = Stuck()
    ctx = RequestContext(Stores({"owners": stuck}, timeout_s=60))
    batch = ask(ctx, Fetch(OWNERS, ("name",)))
    end(ctx)
    for _ in range(10):
        await asyncio.sleep(0)
    assert batch.cancelled()
    assert (stuck.asked, ctx.tasks) == ([], set())


async def test_what_is_asked_while_a_batch_is_under_way_is_the_next_one() -> None:
    ctx, memory = await context([("1", "a"), ("2", "b")])
    first = ask(ctx, Get(OWNERS, ("name",), ["1"]))
    assert await first == {"1": ("a",)}
    asked = [ask(ctx, Get(OWNERS, ("name",), ["2"])), ask(ctx, Get(OWNERS, ("name",), ["1"]))]
    assert await asyncio.gather(*asked) == [{"2": ("b",)}, {"1": ("a",)}]
    assert [request.keys for request in memory.calls if isinstance(request, Get)] == [["1"], ["2", "1"]]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for is what others see
            await asyncio.sleep(0)


async def test_a_batch_that_fails_fails_alone() -> None:
    ctx, memory = await context([("1", "a")])
    down = MemoryStore("shops")
    down.fail_with = StoreUnavailable("shops")
    ctx.stores = Stores({"owners": memory, "shops": down})
    fine: Any
    failed: Any
    fine, failed = await asyncio.gather(
        ask(ctx, Get(OWNERS, ("name",), ["1"])), ask(ctx, Get(SHOPS, ("name",), ["1"])), return_exceptions=True
    )
    assert fine == {"1": ("a",)}
    assert isinstance(failed, StoreUnavailable)


async def test_native_calls_share_where_their_arguments_are_the_same_lists_too() -> None:
    seen: list[Any] = []

    def native(_tables: Any, keys: Any, arguments: Any) -> list[tuple[Any, ...]]:
        seen.append((list(keys), dict(arguments)))
        return [(key, str(arguments["among"])) for key in keys]

    query = Native("among", "owners", (Column("text"),), {"memory": native})
    ctx, _ = await context([])
    asked = [(["1"], [1, 2]), (["2"], [1, 2]), (["1"], [2]), (["1"], [True, 2])]
    answers = await asyncio.gather(*(ask(ctx, NativeCall(query, keys, {"among": among})) for keys, among in asked))
    assert seen == [(["1", "2"], {"among": [1, 2]}), (["1"], {"among": [2]}), (["1"], {"among": [True, 2]})]
    assert [answer[keys[0]] for (keys, _), answer in zip(asked, answers, strict=True)] == [
        [("[1, 2]",)],
        [("[1, 2]",)],
        [("[2]",)],
        [("[True, 2]",)],
    ]


def test_frozen_arguments_tell_apart_what_differs() -> None:
    values: list[Any] = [
        {},
        [],
        {"a": 1},
        {"a": True},
        {"a": 1.0},
        {"a": "1"},
        {"a": None},
        {"a": [1]},
        {"a": {"b": 1}},
        {"b": 1},
        [1],
        [[1]],
    ]
    assert len({frozen(value) for value in values}) == len(values)
    assert frozen({"a": 1, "b": [2]}) == frozen({"b": [2], "a": 1})


async def test_rows_that_were_asked_for_by_others_stay_theirs() -> None:
    ctx, memory = await context([("1", "a"), ("2", "b")])
    answers = await asyncio.gather(ask(ctx, Get(OWNERS, ("name",), ["1"])), ask(ctx, Get(OWNERS, ("name",), ["2", "3"])))
    assert [dict(answer) for answer in answers] == [{"1": ("a",)}, {"2": ("b",)}]
    assert len(memory.calls) == 1


async def test_a_key_is_read_again_once_reads_are_forgotten() -> None:
    ctx, _ = await context([("1", "a")])
    assert await load(ctx, OWNERS, "1") == ("1", "a")
    await ctx.ask(Upsert(OWNERS, [("1", "b")]))
    assert await load(ctx, OWNERS, "1") == ("1", "a"), "one request sees one state, as long as it only reads"
    ctx.forget_reads()
    assert await load(ctx, OWNERS, "1") == ("1", "b")
