"""Look-ups by key of several requests as one call: which share one, whose answer is whose, and what one of them does to the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import pytest

from gateway.context import RequestContext
from gateway.errors import BadUserInput, DeadlineExceeded, PoolExhausted, StoreTimeout, StoreUnavailable, WrongValue
from gateway.stores import Stores
from gateway.stores.base import KEYS_PER_CALL, Collection, Column, Compare, Fetch, Get, Lock, Request, Rows, Type, Upsert
from gateway.stores.coalescing import Coalescer
from gateway.stores.funnel import Caller, Funnel, Layer, Next
from gateway.stores.guards import Protection
from gateway.stores.moves import candidate_of
from gateway.stores.reasons import Reason
from gateway.stores.routing import Freshness
from gateway.stores.sharing import copy_of
from tests.gateway.stores.gates import GatedStore, until
from tests.gateway.stores.routes import FakeRoute, FakeServer
from tests.tries import in_tries, sure

NOTES = Collection("notes", "paper", (Column("id"), Column("text"), Column("tags", Type.TEXTS, nullable=True)))
ROWS = [(str(number), f"text {number}", ["a", "b"]) for number in range(20)]


class World:
    def __init__(self, places: int = 10, layers: Sequence[Layer] = (), protection: Protection | None = None, **times: float) -> None:
        self.store = GatedStore("paper", places)
        self.stores = Stores({"paper": self.store}, layers=layers, protection=protection, coalesced={"paper"}, **times)  # type: ignore[arg-type]
        self.tasks: list[asyncio.Task[Any]] = []

    @property
    def coalescer(self) -> Coalescer:
        assert self.stores.funnel.coalescer is not None
        return self.stores.funnel.coalescer

    @property
    def asked(self) -> list[list[str]]:
        """The keys of each call that the store has begun to answer."""
        return [list(request.keys) for request in self.store.calls if isinstance(request, Get)]

    def context(self, subject: str = "", seconds: float | None = None, **values: Any) -> RequestContext:
        now = time.monotonic()
        given = {"subject": subject, **values} if subject else values
        return RequestContext(self.stores, deadline=None if seconds is None else now + seconds, started=now, values=given)

    def ask(self, *keys: str, by: RequestContext | None = None, columns: tuple[str, ...] = ("text",)) -> asyncio.Task[Any]:
        return self.begin(Get(NOTES, columns, keys), by)

    def begin(self, request: Request[Any], by: RequestContext | None = None) -> asyncio.Task[Any]:
        async def asked() -> Any:
            return await (by or self.context()).ask(request)

        task = asyncio.create_task(asked())
        self.tasks.append(task)
        return task

    async def busy(self) -> Any:
        """Take the one place of the pool by a read that shares with none, and return it."""
        self.begin(Fetch(NOTES, ("id",)))
        return await self.store.next()


@pytest.fixture
async def worlds() -> AsyncIterator[Any]:
    made: list[World] = []

    async def make(*args: Any, **options: Any) -> World:
        world = World(*args, **options)
        await world.store.answer(Upsert(NOTES, ROWS))
        world.store.calls.clear()
        made.append(world)
        return world

    yield make
    for world in made:
        for task in world.tasks:
            task.cancel()
        await asyncio.gather(*world.tasks, return_exceptions=True)
        await until(partial(_has_ended, world))
        assert not world.coalescer._lanes, "what is over is forgotten"
        guard = world.stores.guards["paper"]
        assert (guard.in_use, guard.waiting) == (0, 0), "every place was given back"


def _has_ended(world: World) -> bool:
    return not world.coalescer._tasks


def texts(*keys: str) -> Rows:
    return {key: (f"text {key}",) for key in keys}


# --------------------------------------------------------------------------------------------------------- what is shared


async def test_what_is_asked_in_one_turn_is_one_call_and_each_has_his_own_keys(worlds: Any) -> None:
    world = await worlds()
    world.store.is_open = True
    tasks = [world.ask("1"), world.ask("3", "2"), world.ask("2", "nobody")]
    assert await asyncio.gather(*tasks) == [texts("1"), texts("3", "2"), texts("2")]
    assert [sorted(keys) for keys in world.asked] == [["1", "2", "3", "nobody"]]
    assert world.stores.calls == {"paper.notes": 1}


async def test_one_who_is_alone_asks_as_himself(worlds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    call = Funnel._call

    async def noting(self: Funnel, request: Any, caller: Any, **options: Any) -> Any:
        seen.append(caller)
        return await call(self, request, caller, **options)

    monkeypatch.setattr(Funnel, "_call", noting)
    world = await worlds()
    world.store.is_open = True
    ctx = world.context()
    assert await world.ask("1", by=ctx) == texts("1")
    assert seen == [ctx]
    assert not world.coalescer.calls


OTHERS = {
    "columns": (Get(NOTES, ("id", "text"), ["1"]), {}),
    "a column of keys": (Get(NOTES, ("text",), ["text 1"], "text"), {}),
    "a condition": (Get(NOTES, ("text",), ["1"], where=Compare("text", "ne", "")), {}),
    "a subject": (Get(NOTES, ("text",), ["1"]), {"subject": "ann"}),
    "a scope": (Get(NOTES, ("text",), ["1"]), {"scope": ("notes:read",)}),
}


@pytest.mark.parametrize(("request_", "who"), OTHERS.values(), ids=OTHERS)
async def test_with_another_of_these_nothing_is_shared(worlds: Any, request_: Get, who: dict[str, Any]) -> None:
    world = await worlds()
    tasks = [world.ask("1"), world.begin(request_, world.context(**who))]
    first, second = await world.store.next(), await world.store.next()
    first.go()
    second.go()
    assert await tasks[0] == texts("1")
    assert list(await tasks[1]) == list(request_.keys)
    assert world.stores.calls == {"paper.notes": 2}


async def test_of_one_subject_and_scope_it_is(worlds: Any) -> None:
    world = await worlds()
    world.store.is_open = True
    who = {"subject": "ann", "scope": ("notes:read",)}
    await asyncio.gather(*(world.ask(key, by=world.context(**who)) for key in "123"))
    assert world.asked == [["1", "2", "3"]]


async def test_who_sees_other_rows_shares_with_none_who_sees_these(worlds: Any) -> None:
    async def of_rows(request: Request[Any], caller: Caller, next_: Next) -> Any:
        seen = getattr(caller, "values", {}).get("seen")
        return await next_(request if seen is None else request.narrowed(NOTES, Compare("id", "in", seen)), caller)

    world = await worlds(layers=[of_rows])
    world.store.is_open = True
    few, all_, same = (world.context(seen=("2",)), world.context(), world.context(seen=("2",)))
    answers = await asyncio.gather(*(world.ask("1", "2", by=ctx) for ctx in (few, all_, same)))
    assert answers == [texts("2"), texts("1", "2"), texts("2")]
    assert len(world.asked) == 2


async def test_a_condition_that_has_no_hash_shares_with_none(worlds: Any) -> None:
    world = await worlds()
    world.store.is_open = True
    where = Compare("id", "in", ["1", "2"])
    answers = await asyncio.gather(*(world.begin(Get(NOTES, ("text",), ["1"], where=where)) for _ in range(2)))
    assert answers == [texts("1")] * 2
    assert world.stores.calls == {"paper.notes": 2}


async def test_while_the_pool_is_busy_they_gather_until_a_place_is_free(worlds: Any) -> None:
    world = await worlds(places=1)
    busy = await world.busy()
    tasks = []
    for key in "12345":
        tasks.append(world.ask(key))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert world.stores.guards["paper"].waiting == 1
    busy.go()
    call = await world.store.next()
    assert call.keys == list("12345")
    call.go()
    assert await asyncio.gather(*tasks) == [texts(key) for key in "12345"]


async def test_a_call_takes_no_more_keys_than_a_store_does_and_one_in_line_is_not_passed_over(worlds: Any) -> None:
    world = await worlds(places=1)
    busy = await world.busy()
    many = [f"k{number}" for number in range(KEYS_PER_CALL - 1)]
    tasks = [world.ask(*many), world.ask("1"), world.ask("1"), world.ask("2")]
    await until(lambda: world.stores.guards["paper"].waiting == 2)
    busy.go()
    first = await world.store.next()
    assert len(first.keys) == KEYS_PER_CALL
    first.go()
    second = await world.store.next()
    assert second.keys == ["2"]
    second.go()
    assert await asyncio.gather(*tasks) == [{}, texts("1"), texts("1"), texts("2")]


async def test_a_look_up_of_more_keys_than_a_call_has_is_split_as_ever(worlds: Any) -> None:
    world = await worlds()
    world.store.is_open = True
    keys = [str(number) for number in range(KEYS_PER_CALL + 500)]
    one, other = await asyncio.gather(world.ask(*keys), world.ask("3"))
    assert (one, other) == (texts(*(row[0] for row in ROWS)), texts("3"))
    assert all(len(asked) <= KEYS_PER_CALL for asked in world.asked)


# --------------------------------------------------------------------------------------------------------------- hot keys


async def test_a_key_is_read_once_at_a_time_and_who_waits_for_it_is_answered_by_one_call(worlds: Any) -> None:
    world = await worlds()
    first = world.ask("1")
    reading = await world.store.next()
    waiting = [world.ask("1"), world.ask("2", "1"), world.ask("1")]
    other = world.ask("3")
    beside = await world.store.next()
    assert beside.keys == ["3"], "other keys are not held up"
    assert world.coalescer.held == {"paper": 3}
    reading.go()
    assert await first == texts("1")
    beside.go()
    assert await other == texts("3")
    then = await world.store.next()
    assert sorted(then.keys) == ["1", "2"]
    assert world.store.arrived.empty()
    then.go()
    assert await asyncio.gather(*waiting) == [texts("1"), texts("2", "1"), texts("1")]


async def test_an_answer_is_never_older_than_its_question(worlds: Any) -> None:
    world = await worlds()
    ctx = world.context()
    old = world.ask("1")
    reading = await world.store.next()
    await ctx.ask(Upsert(NOTES, [("1", "new", None)]))  # by a client that has its answer now, be it from another process
    own, others = world.ask("1", by=ctx), world.ask("1")
    await until(lambda: world.coalescer.held["paper"] == 2)
    reading.go()
    assert await old == texts("1")
    then = await world.store.next()
    then.go()
    assert [await own, await others] == [{"1": ("new",)}] * 2
    assert world.stores.calls["paper.notes"] == 3


async def test_who_waits_for_several_keys_is_not_passed_over_for_ever(worlds: Any) -> None:
    world = await worlds()
    world.ask("1")
    one = await world.store.next()
    world.ask("2")
    two = await world.store.next()
    both = world.ask("1", "2")
    await until(lambda: world.coalescer.held["paper"] == 1)
    one.go()
    late = world.ask("1")  # nobody reads it now, but somebody waits to
    await until(lambda: world.coalescer.held["paper"] == 2)
    assert world.store.arrived.empty()
    two.go()
    call = await world.store.next()
    assert sorted(call.keys) == ["1", "2"]
    call.go()
    assert [await both, await late] == [texts("1", "2"), texts("1")]


async def test_who_finds_no_room_among_those_who_wait_for_a_key_goes_on_without_them(worlds: Any) -> None:
    world = await worlds()
    world.ask("1")
    reading = await world.store.next()
    many = world.ask("1", *(f"k{number}" for number in range(KEYS_PER_CALL - 1)))
    await until(lambda: world.coalescer.held["paper"] == 1)
    one_more = world.ask("1", "2")
    beside = await world.store.next()
    assert sorted(beside.keys) == ["1", "2"]
    for call in (reading, beside):
        call.go()
    (await world.store.next()).go()
    assert [await many, await one_more] == [texts("1"), texts("1", "2")]


# ------------------------------------------------------------------------------------------------ who asks for something else


async def test_a_mutation_and_who_has_written_share_with_none(worlds: Any) -> None:
    world = await worlds()
    mutation, written = world.context(), world.context()
    mutation.is_mutation = True
    written.committed = (object(),)
    tasks = [world.ask("1", by=ctx) for ctx in (world.context(), mutation, written, world.context())]
    calls = [await world.store.next() for _ in range(3)]
    assert [call.keys for call in calls] == [["1"]] * 3
    for call in calls:
        call.go()
    assert await asyncio.gather(*tasks) == [texts("1")] * 4


async def test_what_is_no_look_up_and_no_clients_shares_with_none(worlds: Any) -> None:
    world = await worlds()
    world.store.is_open = True
    get = Get(NOTES, ("text",), ["1"])
    await asyncio.gather(*(world.begin(Fetch(NOTES, ("id",))) for _ in range(2)), world.stores.ask(get), world.stores.ask(get))
    assert world.stores.calls == {"paper.notes": 4}
    await world.stores.ask(Lock(NOTES, ["1"]))


async def test_where_no_store_has_it_on_there_is_no_layer() -> None:
    store = GatedStore("paper")
    store.is_open = True
    stores = Stores({"paper": store})
    assert stores.funnel.coalescer is None
    await store.answer(Upsert(NOTES, ROWS))
    await asyncio.gather(*(RequestContext(stores).ask(Get(NOTES, ("text",), ["1"])) for _ in range(2)))
    assert stores.calls == {"paper.notes": 2}
    assert list(stores.coalescing_readings()) == []


async def test_a_store_that_has_it_off_is_left_alone_beside_one_that_has_it_on() -> None:
    paper, copy = GatedStore("paper"), GatedStore("copy")
    twins = Collection("notes", "copy", NOTES.columns)
    stores = Stores({"paper": paper, "copy": copy}, coalesced={"copy"})
    for store in (paper, copy):
        store.is_open = True
        await store.answer(Upsert(NOTES, ROWS))
    await asyncio.gather(*(RequestContext(stores).ask(Get(c, ("text",), ["1"])) for c in (NOTES, NOTES, twins, twins)))
    assert stores.calls == {"paper.notes": 2, "copy.notes": 1}


# -------------------------------------------------------------------------------------------------- deadlines, cancellation


async def test_ones_cancellation_leaves_the_others_alone(worlds: Any) -> None:
    world = await worlds()
    tasks = [world.ask(key) for key in "123"]
    call = await world.store.next()
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert tasks[0].cancelled()
    assert not call.is_cancelled
    call.go()
    assert await asyncio.gather(*tasks[1:]) == [texts("2"), texts("3")]


async def test_who_is_gone_before_the_call_began_is_not_asked_for(worlds: Any) -> None:
    world = await worlds(places=1)
    busy = await world.busy()
    tasks = [world.ask(key) for key in "123"]
    await until(lambda: world.stores.guards["paper"].waiting == 1)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    busy.go()
    call = await world.store.next()
    assert call.keys == ["1", "3"]
    world.ask("2")
    await until(lambda: world.stores.guards["paper"].waiting == 1)
    assert not world.coalescer.held, "his key is not being read"
    call.go()
    assert await asyncio.gather(*tasks[::2]) == [texts("1"), texts("3")]


@pytest.mark.parametrize("moment", ["the same turn", "in line", "asked", "held"])
async def test_with_the_last_of_them_the_call_is_gone_and_the_next_goes_on(worlds: Any, moment: str) -> None:
    world = await worlds(places=1)
    held_by = None
    if moment == "in line":
        held_by = await world.busy()
    elif moment == "held":
        world.ask("1")
        held_by = await world.store.next()
    tasks = [world.ask("1"), world.ask("1")]
    if moment == "the same turn":
        await asyncio.sleep(0)
    elif moment == "in line":
        await until(lambda: world.stores.guards["paper"].waiting == 1)
    elif moment == "held":
        await until(lambda: world.coalescer.held["paper"] == 2)
    else:
        call = await world.store.next()
    for task in tasks:
        task.cancel()
    late = world.ask("1")  # in the turn in which they leave
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    if moment == "asked":
        await until(lambda: call.is_cancelled)
    if held_by is not None:
        held_by.go()
    last = await world.store.next()
    assert last.keys == ["1"]
    last.go()
    assert await late == texts("1")


@in_tries
async def test_ones_deadline_is_his_alone(worlds: Any) -> None:
    world = await worlds()
    short, long_ = world.ask("1", by=world.context(seconds=0.05)), world.ask("2", by=world.context(seconds=30))
    call = await world.store.next()
    sure(call.keys == ["1", "2"], call.keys)
    with pytest.raises(StoreTimeout, match=r"'paper' did not answer within 0\.0") as caught:
        await short
    assert caught.value.seconds == pytest.approx(0.05, abs=0.02)
    assert not call.is_cancelled
    call.go()
    sure(await long_ == texts("2"), "of one whose time is not up")
    assert world.stores.guards["paper"].state == "closed"


async def test_the_stores_own_limit_ends_it_for_all_each_with_an_error_of_his_own(worlds: Any) -> None:
    world = await worlds(timeout_s=0.05)
    tasks = [world.ask(key) for key in "12"]
    await world.store.next()
    one, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(one, StoreTimeout)
    assert isinstance(other, StoreTimeout)
    assert one is not other


async def test_who_has_no_time_left_is_not_asked_for(worlds: Any) -> None:
    world = await worlds()
    world.store.is_open = True
    late, other = world.ask("1", by=world.context(seconds=-1)), world.ask("2")
    with pytest.raises(DeadlineExceeded):
        await late
    assert await other == texts("2")
    assert world.asked == [["2"]]


@in_tries
async def test_each_waits_for_a_place_for_as_long_as_he_would_alone(worlds: Any) -> None:
    world = await worlds(places=1, protection=Protection(wait_s=0.2))
    busy = await world.busy()
    short, long_ = world.ask("1", by=world.context(seconds=0.03)), world.ask("2")
    with pytest.raises(PoolExhausted, match="all 1 connections"):
        await short
    assert not long_.done()
    with pytest.raises(PoolExhausted):
        await long_
    guard = world.stores.guards["paper"]
    assert (guard.exhausted, guard.waiting) == (2, 0)
    busy.go()


@in_tries
async def test_the_wait_for_a_place_ends_where_the_call_begins(worlds: Any) -> None:
    world = await worlds(protection=Protection(wait_s=0.02))
    alone = world.ask("3", by=world.context("ann"))
    by_himself = await world.store.next()
    tasks = [world.ask("1"), world.ask("2")]
    call = await world.store.next()
    with pytest.raises(StoreTimeout):
        await world.ask("4", by=world.context("ben", seconds=0.15))
    assert (await world.store.next()).is_cancelled
    by_himself.go()
    call.go()
    assert [await alone, *await asyncio.gather(*tasks)] == [texts("3"), texts("1"), texts("2")]
    assert world.stores.guards["paper"].exhausted == 0


async def test_who_waited_for_a_key_has_the_time_for_a_place_from_then_on(worlds: Any) -> None:
    world = await worlds(places=1, protection=Protection(wait_s=0.05), timeout_s=20)
    first = world.ask("1")
    reading = await world.store.next()
    other = world.begin(Fetch(NOTES, ("id",)))
    waiting = world.ask("1")
    await until(lambda: world.coalescer.held["paper"] == 1)
    reading.go()
    busy = await world.store.next()
    assert await first == texts("1")
    with pytest.raises(PoolExhausted):
        async with asyncio.timeout(30):
            await waiting
    busy.go()
    await other


async def test_who_is_first_in_line_is_first_at_the_store(worlds: Any) -> None:
    world = await worlds(places=1)
    busy = await world.busy()
    guard = world.stores.guards["paper"]
    tasks = [world.ask("1"), world.ask("2")]
    await until(lambda: guard.waiting == 1)
    behind = world.begin(Fetch(NOTES, ("id",)))
    await until(lambda: guard.waiting == 2)
    busy.go()
    call = await world.store.next()
    assert call.keys == ["1", "2"]
    call.go()
    (await world.store.next()).go()
    await asyncio.gather(*tasks, behind)


async def test_a_place_that_nobody_wants_any_more_is_the_next_ones(worlds: Any) -> None:
    world = await worlds(places=1)
    guard = world.stores.guards["paper"]
    assert guard.enters()
    gone = world.ask("1")
    await until(lambda: guard.waiting == 1)
    behind = world.begin(Fetch(NOTES, ("id",)))
    await until(lambda: guard.waiting == 2)
    [lane] = world.coalescer._lanes.values()
    assert lane.gathering is not None
    [asker] = lane.gathering.askers
    guard.leave_answered()
    asker.take(StoreTimeout("paper", 1))  # his time is up in the turn in which the place comes
    with pytest.raises(StoreTimeout):
        await gone
    call = await world.store.next()
    assert isinstance(call.request, Fetch)
    call.go()
    await behind
    assert not world.asked


async def test_a_store_that_moves_while_a_call_waits_leaves_its_place_to_who_is_next() -> None:
    """The call asks the pool of the other database; who waits behind it for a place in that of before has it."""
    here, there = GatedStore("paper", 1), GatedStore("paper", 1)
    there.is_open = True
    stores = Stores({"paper": here, candidate_of("paper"): there}, protection=Protection(wait_s=5.0), coalesced={"paper"})
    for store in (here, there):
        await store.answer(Upsert(NOTES, ROWS))
    guard = stores.guards["paper"]

    def begin(request: Request[Any]) -> asyncio.Task[Any]:
        async def asked() -> Any:
            return await RequestContext(stores).ask(request)

        return asyncio.create_task(asked())

    assert guard.enters()
    together = [begin(Get(NOTES, ("text",), [key])) for key in ("1", "2")]
    await until(lambda: guard.waiting == 1)
    behind = begin(Fetch(NOTES, ("id",)))
    await until(lambda: guard.waiting == 2)
    stores.swap("paper")
    guard.leave_answered()
    async with asyncio.timeout(2):
        (await here.next()).go()
        assert await asyncio.gather(*together) == [texts("1"), texts("2")]
        await behind
    assert (guard.in_use, guard.waiting, stores.guards["paper"].in_use) == (0, 0, 0)


async def test_a_call_that_is_cancelled_from_outside_leaves_nobody_waiting(worlds: Any) -> None:
    world = await worlds()
    tasks = [world.ask("1"), world.ask("2")]
    await world.store.next()
    [task] = world.coalescer._tasks
    task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_who_waits_for_a_key_waits_no_longer_than_a_store_may_take(worlds: Any) -> None:
    world = await worlds()
    world.ask("1")
    reading = await world.store.next()
    with pytest.raises(StoreTimeout):
        await world.ask("1", by=world.context(seconds=0.03))
    assert not reading.is_cancelled
    reading.go()


# ------------------------------------------------------------------------------------------------------------------ errors


async def test_a_store_that_is_away_is_away_for_all_and_asked_once(worlds: Any) -> None:
    world = await worlds(protection=Protection(retry_share=0))
    tasks = [world.ask(key) for key in "12"]
    call = await world.store.next()
    cause = OSError("reset")
    error = StoreUnavailable("paper", Reason.REFUSED, "nobody listens")
    error.__cause__ = cause
    call.go(error)
    one, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(one, StoreUnavailable)
    assert isinstance(other, StoreUnavailable)
    assert one is not other
    one.extensions["more"] = 1
    assert "more" not in other.extensions
    assert (other.message, other.store, other.reason, other.told, other.__cause__) == (
        "The store 'paper' is unavailable.",
        "paper",
        Reason.REFUSED,
        "nobody listens",
        cause,
    )
    assert world.stores.calls == {"paper.notes": 1}


async def test_what_one_of_them_has_done_wrong_is_his_alone(worlds: Any) -> None:
    world = await worlds()
    tasks = [world.ask(key) for key in ("1", "bad", "2")]
    (await world.store.next()).go(BadUserInput("no such key"))
    for _ in range(3):
        call = await world.store.next()
        call.go(BadUserInput("no such key") if call.keys == ["bad"] else None)
    assert await tasks[0] == texts("1")
    assert await tasks[2] == texts("2")
    with pytest.raises(BadUserInput):
        await tasks[1]


async def test_what_was_wrong_with_who_is_gone_is_not_who_is_lefts(worlds: Any) -> None:
    world = await worlds()
    bad, good = world.ask("bad"), world.ask("1")
    call = await world.store.next()
    bad.cancel()
    await asyncio.wait([bad])
    call.go(BadUserInput("no such key"))
    again = await world.store.next()
    assert again.keys == ["1"]
    again.go()
    assert await good == texts("1")


async def test_a_read_that_met_a_lost_connection_is_asked_once_more_for_all(worlds: Any) -> None:
    world = await worlds()
    tasks = [world.ask(key) for key in "12"]
    (await world.store.next()).go(StoreUnavailable("paper", Reason.LOST, ""))
    (await world.store.next()).go()
    assert await asyncio.gather(*tasks) == [texts("1"), texts("2")]
    assert world.stores.guards["paper"].retried == 1


async def test_behind_an_open_breaker_nobody_asks_and_one_call_finds_out(worlds: Any) -> None:
    world = await worlds(protection=Protection(breaker_calls=1, retry_share=0, open_s=0.0))
    guard = world.stores.guards["paper"]
    tasks = [world.ask(key) for key in "12"]
    (await world.store.next()).go(StoreUnavailable("paper", Reason.REFUSED, ""))
    await asyncio.gather(*tasks, return_exceptions=True)
    assert guard.state == "open"
    probing = [world.ask(key) for key in "34"]
    call = await world.store.next()
    refused = await asyncio.gather(world.ask("5"), world.ask("6"), return_exceptions=True)
    assert [getattr(error, "reason", None) for error in refused] == [Reason.BREAKER] * 2
    call.go()
    assert await asyncio.gather(*probing) == [texts("3"), texts("4")]
    assert guard.state == "closed"


async def test_nobody_joins_a_call_that_has_failed(worlds: Any) -> None:
    world = await worlds(protection=Protection(breaker_calls=1, retry_share=0, open_s=60))
    first = world.ask("1")
    (await world.store.next()).go(StoreUnavailable("paper", Reason.REFUSED, ""))
    with pytest.raises(StoreUnavailable):
        await first
    tasks = []
    for number in range(12):  # one in each turn, so in that, too, in which others were refused
        tasks += [world.ask(str(number)), world.ask(str(number))]
        await asyncio.sleep(0)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(error) for error in found} == {StoreUnavailable}


async def test_a_wrong_value_is_told_to_those_whose_rows_have_it(worlds: Any) -> None:
    world = await worlds()
    await world.store.answer(Upsert(NOTES, [("1", 5, None)]))
    world.store.is_open = True
    callers = [world.context() for _ in range(3)]
    answers = await asyncio.gather(*(world.ask(*keys, by=ctx) for ctx, keys in zip(callers, (["1"], ["2"], ["1", "2"]), strict=True)))
    assert [ctx.has_wrong_values for ctx in callers] == [True, False, True]
    one, other = answers[0]["1"][0], answers[2]["1"][0]
    assert isinstance(one, WrongValue)
    assert isinstance(other, WrongValue)
    assert one is not other
    assert one.detail == other.detail
    assert answers[1] == texts("2")
    assert world.stores.wrong_values == {("paper", "notes", "text"): 1}


async def test_what_can_be_changed_is_nobody_elses(worlds: Any) -> None:
    world = await worlds()
    world.store.is_open = True
    one, other = await asyncio.gather(world.ask("1", columns=("tags",)), world.ask("1", columns=("tags",)))
    assert one == other == {"1": (["a", "b"],)}
    one["1"][0].append("c")
    assert other["1"][0] == ["a", "b"]


async def test_what_cannot_be_shared_out_is_asked_by_each_alone(worlds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(_: Any) -> Any:
        raise RecursionError  # JSON of a thousand levels

    monkeypatch.setattr("gateway.stores.sharing.deepcopy", too_deep)
    world = await worlds()
    world.store.is_open = True
    one, other = await asyncio.gather(world.ask("1", columns=("tags",)), world.ask("1", columns=("tags",)))
    assert one == other == {"1": (["a", "b"],)}
    assert world.asked == [["1"]] * 3


@pytest.mark.parametrize(
    "error",
    [WrongValue("here", expected="TEXT", found="an int"), StoreTimeout("paper", 0.5), PoolExhausted("paper", 3), KeyError("k")],
    ids=lambda error: type(error).__name__,
)
def test_a_copy_of_an_error_says_the_same_and_is_another(error: Exception) -> None:
    copied = copy_of(error)
    assert copied is not error
    assert (type(copied), str(copied), copied.__dict__) == (type(error), str(error), error.__dict__)


# ------------------------------------------------------------------------------------------------------ replicas, what is seen


async def test_a_server_is_asked_for_those_alone_who_may_read_it() -> None:
    primary, replica = GatedStore("paper"), GatedStore("paper")
    for store, text in ((primary, "primary"), (replica, "replica")):
        await store.answer(Upsert(NOTES, [(key, text, None) for key in "1234"]))
        store.is_open = True
    route = FakeRoute("paper", FakeServer(replica), has=3)
    stores = Stores({"paper": primary}, routes={"paper": route}, coalesced={"paper"})

    async def read(key: str, freshness: Freshness) -> Any:
        return (await RequestContext(stores, freshness=freshness).ask(Get(NOTES, ("text",), [key])))[key][0]

    def queries() -> list[Freshness]:
        return [Freshness(may_lag=True), Freshness(seen={"paper": "3"}, may_lag=True), Freshness(seen={"paper": "4"}, may_lag=True)]

    answers = await asyncio.gather(*(read(key, freshness) for key, freshness in zip("123", queries(), strict=True)))
    assert answers == ["replica", "replica", "primary"]
    assert route.replica.reads == 1
    route.replica.error = StoreUnavailable("paper", Reason.LOST, "")
    answers = await asyncio.gather(*(read(key, freshness) for key, freshness in zip("123", queries(), strict=True)))
    assert answers == ["primary"] * 3
    assert route.replica.reads == 2


async def test_a_trace_says_with_how_many_a_call_was_shared_and_what_was_run(worlds: Any) -> None:
    world = await worlds()
    world.store.is_open = True
    traced, other, alone = world.context(), world.context(), world.context()
    traced.trace, alone.trace = [], []
    await asyncio.gather(world.ask("1", by=traced), world.ask("2", by=other))
    await world.ask("3", by=alone)
    [shared], [by_itself] = traced.trace, alone.trace
    assert (shared.coalesced, shared.keys, shared.rows, shared.statements) == (2, 1, 1, ["get 1,2"])
    assert (by_itself.coalesced, by_itself.statements) == (0, ["get 3"])


async def test_it_is_counted(worlds: Any) -> None:
    world = await worlds()
    tasks = [world.ask(key) for key in "123"]
    call = await world.store.next()
    hot = world.ask("1")
    await until(lambda: world.coalescer.held["paper"] == 1)
    call.go()
    (await world.store.next()).go()
    await asyncio.gather(*tasks, hot)
    read = {(reading.name, reading.labels["store"]): reading.value for reading in world.stores.coalescing_readings()}
    assert read == {("coalesced_lookups", "paper"): 3, ("coalesced_calls", "paper"): 1, ("held_lookups", "paper"): 1}
