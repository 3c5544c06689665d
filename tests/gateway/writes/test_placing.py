"""Where a store with a candidate is at home: what a process makes of it, and what is left where who switches it was killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio

from gateway.config import Settings, StoreSettings
from gateway.context import RequestContext
from gateway.errors import Contended, StoreUnavailable
from gateway.preparing import connect, migrate
from gateway.relaying import homes_of
from gateway.stores import Stores
from gateway.stores.base import Collection, Delete, Fetch, Row, Upsert
from gateway.stores.moves import FRESH_S, Gate, candidate_of
from gateway.writes import moving, placing
from gateway.writes.carrying import NotSwitched
from gateway.writes.feed import Event
from gateway.writes.following import LogFeed
from gateway.writes.moving import Mover
from gateway.writes.placing import CLOSING, FOLLOWING, OPENING, SETTLED, Move, Place, Watcher, orient
from gateway.writes.running import run
from gateway.writes.tables import tables_of
from gateway.writes.times import now
from gateway.writes.transaction import Transaction
from resolvers.users import users
from schema import schema as graph
from tests.resolvers.test_replication import user_of

THERE = candidate_of("users")
CALLED = {"users": "there"}


@pytest.fixture(autouse=True)
def _none_is_unaware(monkeypatch: pytest.MonkeyPatch) -> None:
    """A switch need not wait for processes that know of no candidate: there are none here, and ``test_fences.py`` has some."""
    monkeypatch.setattr(moving, "FENCED_S", 0.0)


@pytest_asyncio.fixture
async def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Stores, Stores]]:
    """The stores of two processes: of one that serves, and of the command that moves users, which are copied."""
    monkeypatch.setattr("gateway.stores.moves.FRESH_S", 60.0)  # some look once
    monkeypatch.setattr(moving, "CLOSED_S", 30.0)
    urls = {name: f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in (*graph.store_names, "there")}
    its = {name: StoreSettings(url=urls[name]) for name in graph.store_names}
    settings = Settings(stores=its | {"users": StoreSettings(url=urls["users"], candidate=urls["there"])})
    serving, mover = connect(settings), connect(settings)
    for stores in (serving, mover):
        assert stores.gate is not None
        stores.gate.called = CALLED
        await stores.open()
    try:
        await migrate(mover, graph, "users")
        await migrate(Stores({"users": mover[THERE]}), graph, "users")
        yield serving, mover
    finally:
        await serving.close()
        await mover.close()


async def copied(mover: Stores) -> tuple[Mover, Move]:
    carrier = Mover(mover, "users", [users])
    return carrier, await carrier.copy(await carrier.begin("there"), lambda _: None)


async def write(stores: Stores, key: str, deadline: float | None = None) -> None:
    ctx = RequestContext(stores, "test", deadline, replication=graph.writes)
    async with ctx.transaction("users") as tx:
        await tx.insert(users, user_of(key))


async def keys(stores: Stores, name: str = "users") -> set[str]:
    found = await stores.ask(Fetch(replace(users, store=name), ("id",)))
    return {row[0] for part in found.values() for row in part.rows}


async def watched(stores: Stores) -> Watcher:
    watcher = Watcher(stores)
    await watcher.look("users")
    return watcher


async def test_nothing_passes_before_it_is_known_where_a_store_is_at_home() -> None:
    gate = Gate(["users"])
    with pytest.raises(StoreUnavailable):
        await gate.enter("users", 0.01)
    await gate.enter("posts", 0.01)
    gate.seen("users", asyncio.get_running_loop().time())
    await gate.enter("users", 0.01)
    gate.leave("users")
    gate.seen("users", asyncio.get_running_loop().time() - FRESH_S)
    with pytest.raises(StoreUnavailable):
        await gate.enter("users", 0.01)


async def test_a_transaction_of_a_store_that_is_held_waits_and_others_do_not() -> None:
    gate = Gate(["users"])
    gate.seen("users", asyncio.get_running_loop().time())
    gate.hold("users", True)
    await gate.enter("posts", 0.01)
    waiting = asyncio.create_task(gate.enter("users", 5))
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.hold("users", False)
    await waiting


async def test_what_is_closed_is_written_by_nobody_whatever_he_knows(two: tuple[Stores, Stores]) -> None:
    serving, mover = two
    watcher = await watched(serving)
    await copied(mover)
    place = Place(mover, "users")
    assert await place.close_fences("users", "token")
    with pytest.raises(Contended):
        await write(serving, "1")
    await place.open_fences("users", "another")
    await watcher.look("users")
    with pytest.raises(Contended):
        await write(serving, "1")
    await place.open_fences("users", "token")
    await watcher.look("users")
    await write(serving, "1")
    assert await keys(serving) == {"1"}


async def test_who_meets_what_is_closed_waits_for_the_next_look_and_does_it_again(two: tuple[Stores, Stores]) -> None:
    """However long that takes: it is not done again and again meanwhile, until there are too many attempts."""
    serving, mover = two
    watcher = await watched(serving)
    await copied(mover)
    place = Place(mover, "users")
    assert await place.close_fences("users", "token")
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await tx.insert(users, user_of("1"))

    ctx = RequestContext(serving, "test", replication=graph.writes, idempotency_key="k")
    writing = asyncio.create_task(run(ctx, "users", "createUser", work))
    assert serving.gate is not None
    async with asyncio.timeout(30):
        while not serving.gate.is_held("users"):  # noqa: ASYNC110 - what is waited for is what others see
            await asyncio.sleep(0.001)
    await place.open_fences("users", "token")
    await watcher.look("users")
    async with asyncio.timeout(30):
        assert not (await writing).is_repeated
    assert (attempts, await keys(serving)) == (2, {"1"})


async def test_a_command_which_looks_once_is_told_that_others_were_in_the_way(two: tuple[Stores, Stores]) -> None:
    _, mover = two
    await orient(mover)
    await copied(mover)
    assert await Place(mover, "users").close_fences("users", "token")
    for key in ("1", "2"):
        with pytest.raises(Contended):
            await write(mover, key)


async def test_a_switch_waits_for_processes_and_they_write_there(two: tuple[Stores, Stores]) -> None:
    serving, mover = two
    watcher = await watched(serving)
    await write(serving, "1")
    carrier, move = await copied(mover)
    task = asyncio.create_task(watcher.run())
    try:
        await write(serving, "2")  # after the copy: it comes by the log
        switching = asyncio.create_task(carrier.switch(move))
        assert serving.gate is not None
        while not serving.gate.is_held("users") and not switching.done():  # noqa: ASYNC110 - what is waited for is what others see
            await asyncio.sleep(0.001)
        writing = asyncio.create_task(write(serving, "3"))
        assert (await switching).phase == SETTLED
        await writing
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await keys(serving) == {"1", "2", "3"}
    assert await keys(serving, THERE) == {"1", "2"}
    assert await Place(mover, "users").members() == []  # it said that it goes


async def test_a_process_does_not_wait_for_transactions_of_other_databases_to_know_where_a_store_is(two: tuple[Stores, Stores]) -> None:
    serving, mover = two
    watcher = await watched(serving)
    carrier, move = await copied(mover)
    gate = serving.gate
    assert gate is not None
    await gate.enter("posts", 1)
    await gate.enter("users", 1)
    assert await carrier.place.change(move, replace(move, phase=SETTLED, generation=1))
    looking = asyncio.create_task(watcher.look("users"))
    await asyncio.sleep(0.3)
    await gate.enter("posts", 1)  # and they begin meanwhile
    assert not looking.done()
    gate.leave("users")
    async with asyncio.timeout(5):
        await looking
    assert gate.generations == {"users": 1}


async def test_writes_do_not_wait_for_a_process_that_was_killed_before(two: tuple[Stores, Stores], monkeypatch: pytest.MonkeyPatch) -> None:
    serving, mover = two
    for module in (placing, moving):
        monkeypatch.setattr(module, "MEMBER_S", 4.0)
    monkeypatch.setattr(placing, "MEMBER_EVERY_S", 0.5)
    watcher = await watched(serving)
    carrier, move = await copied(mover)
    await carrier.place.tell("killed", 0)
    task = asyncio.create_task(watcher.run())
    times: list[float] = []
    try:
        await asyncio.sleep(1.2)
        switching = asyncio.create_task(carrier.switch(move))
        while not switching.done():
            begun = monotonic()
            await write(serving, str(len(times)))
            times.append(monotonic() - begun)
            await asyncio.sleep(0.05)
        assert (await switching).phase == SETTLED
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert max(times) < 2.0  # as a switch takes, and not until the one that was killed does not count
    assert await keys(serving) == {str(number) for number in range(len(times))}


async def test_what_a_killed_command_has_left_to_be_delivered_where_the_store_was_is_gone_when_it_is_taken_back(
    two: tuple[Stores, Stores],
) -> None:
    serving, mover = two
    await watched(serving)
    await write(serving, "1")
    carrier, move = await copied(mover)
    await mover.ask(Delete(tables_of("users").leases, [(key,) for key in await members(mover)]))
    settled = await carrier.switch(move)
    old, new = tables_of(THERE).deliveries, tables_of("users").deliveries
    [left] = await rows_of(mover, new)
    await mover.ask(Upsert(old, [left]))  # as by one that was killed before it had deleted that
    await mover.ask(Delete(new, [tuple(left[:2])]))  # and it was heard there
    assert (await carrier.switch(settled)).generation == 2
    assert (await rows_of(mover, new), await rows_of(mover, old)) == ([], [])


async def members(stores: Stores) -> list[str]:
    found = await stores.ask(Fetch(tables_of("users").leases, ("id",)))
    return [row[0] for part in found.values() for row in part.rows if row[0].startswith("member:")]


async def rows_of(stores: Stores, collection: Collection) -> list[Row]:
    found = await stores.ask(Fetch(collection, collection.names))
    return [row for part in found.values() for row in part.rows]


async def test_a_candidate_to_which_it_was_moved_before_is_copied_to_from_the_first_row(two: tuple[Stores, Stores]) -> None:
    serving, mover = two
    await watched(serving)
    await write(serving, "1")
    carrier, _ = await copied(mover)
    place = carrier.place
    move = await place.move()
    assert move is not None
    assert await place.remove(move)
    await mover.ask(Delete(replace(users, store=THERE), [("1",)]))  # and emptied
    await mover.ask(Delete(tables_of(THERE).versions, [("users", "1")]))
    await copied(mover)
    assert await keys(mover, THERE) == {"1"}


async def test_what_was_closing_when_its_command_was_killed_is_opened_again(two: tuple[Stores, Stores]) -> None:
    serving, mover = two
    watcher = await watched(serving)
    carrier, move = await copied(mover)
    closing = Move(CLOSING, 0, "there", "token", now(0.001))
    assert await carrier.place.change(move, closing)
    assert await carrier.place.close_fences("users", "token")
    await watcher.look("users")
    assert await carrier.place.move() == Move(FOLLOWING, 0, "there")
    await watcher.look("users")
    await write(serving, "1")
    # Who was not killed after all, and goes on, finds that it was taken back.
    assert not await carrier.place.change(closing, replace(closing, phase=OPENING, generation=1))


async def test_what_was_opening_when_its_command_was_killed_is_written_there(two: tuple[Stores, Stores]) -> None:
    serving, mover = two
    watcher = await watched(serving)
    carrier, move = await copied(mover)
    closing = Move(CLOSING, 0, "there", "token", now(-5))
    await carrier.place.own_fences(THERE, "token")
    assert await carrier.place.change(move, closing)
    assert await carrier.place.close_fences("users", "token")
    assert await carrier.place.change(closing, Move(OPENING, 1, "there", "token", now(0.001)))
    await watcher.look("users")
    await watcher.look("users")
    await write(serving, "1")
    assert await keys(serving) == {"1"}
    assert await keys(serving, THERE) == set()
    assert await carrier.recovered() == Move(SETTLED, 1, "there")


async def test_what_cannot_be_carried_in_time_stays_where_it_was(two: tuple[Stores, Stores], monkeypatch: pytest.MonkeyPatch) -> None:
    serving, mover = two
    watcher = await watched(serving)
    carrier, move = await copied(mover)
    monkeypatch.setattr(moving, "CLOSED_S", 1.5)

    async def never() -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(carrier, "_carry_deliveries", never)
    with pytest.raises(NotSwitched, match=r"users: the rest was not carried within 1\.5 s"):
        await carrier.switch(move)
    assert await carrier.place.move() == Move(FOLLOWING, 0, "there")
    await watcher.look("users")
    await write(serving, "1")
    assert await keys(serving) == {"1"}


async def test_it_is_not_switched_while_a_relay_is_at_work_that_knows_of_no_candidate(two: tuple[Stores, Stores]) -> None:
    _, mover = two
    carrier, move = await copied(mover)
    await mover.ask(Upsert(tables_of("users").leases, [("relay", "somebody", now(), 0)]))
    with pytest.raises(NotSwitched, match=r"expected processes with stores\.users\.candidate in their settings, as a relay is at work"):
        await carrier.switch(move)
    assert await carrier.place.move() == move


async def test_values_that_rows_exchange_arrive_in_the_order_in_which_they_were_free(two: tuple[Stores, Stores]) -> None:
    serving, mover = two
    await watched(serving)
    await write(serving, "1")
    await write(serving, "2")
    carrier, _ = await copied(mover)
    ctx = RequestContext(serving, "test", replication=graph.writes)
    for key, email in (("1", "free@example.org"), ("2", user_of("1")["email"]), ("1", user_of("2")["email"])):
        async with ctx.transaction("users") as tx:
            await tx.update(users, key, {"email": email})
    while await carrier.step():
        pass
    reports = await carrier.verify(lambda _: None)
    assert [(report.rows, report.differences) for report in reports] == [(2, [])]


async def test_who_follows_the_log_hears_each_write_once_across_a_switch(two: tuple[Stores, Stores]) -> None:
    serving, mover = two
    watcher = await watched(serving)
    feed = LogFeed(serving, poll_s=0.05)
    events = feed.follow(users)
    task = asyncio.create_task(watcher.run())
    try:
        heard: asyncio.Future[Event] = asyncio.ensure_future(anext(events))
        await asyncio.shield(events._start)  # type: ignore[attr-defined]
        await write(serving, "1")
        first = await heard
        carrier, move = await copied(mover)
        await carrier.switch(move)
        for key in ("2", "3"):
            await write(serving, key)
        assert [first.key, (await anext(events)).key, (await anext(events)).key] == ["1", "2", "3"]
        again = feed.follow(users, first.cursor)  # a cursor of before is one afterwards
        assert [(await anext(again)).key, (await anext(again)).key] == ["2", "3"]
    finally:
        await feed.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_store_that_moves_is_a_home_of_its_own_in_a_database_that_it_shares(tmp_path: Path) -> None:
    urls = dict.fromkeys(graph.store_names, f"sqlite+aiosqlite:///{tmp_path}/one.db")
    its = {name: StoreSettings(url=url) for name, url in urls.items()}
    shared = connect(Settings(stores=its))
    assert list(homes_of(shared, graph)) == ["users"]
    moving_ = {"users": StoreSettings(url=urls["users"], candidate=f"sqlite+aiosqlite:///{tmp_path}/two.db")}
    homes = homes_of(connect(Settings(stores=its | moving_)), graph)
    assert list(homes) == ["users", "posts"]
    assert "users>members" in homes["users"]
    assert "posts>wrote" in homes["posts"]
