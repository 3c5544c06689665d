"""A mutation happens once: for a key, whatever comes twice, dies, or waits; and what was refused is told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.errors import BadUserInput, Contended, DeadlineExceeded, InFlight, StoreTimeout, StoreUnavailable
from gateway.stores import Stores
from gateway.writes import running as module
from gateway.writes.idempotency import Once
from gateway.writes.ids import new_id
from gateway.writes.rows import Outcome
from gateway.writes.running import ATTEMPTS, run
from gateway.writes.transaction import Transaction
from tests.gateway.writes.world import ADA, BOB, CREATED, PEOPLE, TABLES, contents, context, create, keyed, rows_of

# ------------------------------------------------------------------------------------------------------------- once


async def test_a_mutation_without_a_key(home: Stores) -> None:
    ran = await run(context(home), "home", "createPerson", create)
    assert (ran.value, ran.outcomes, ran.is_repeated) == (ADA, CREATED, False)
    found = await contents(home)
    assert found["crossgraph_idempotency"] == []
    assert found["crossgraph_audit"][0]["field"] == "createPerson"


async def test_the_same_key_gives_the_first_outcome_and_writes_nothing(home: Stores) -> None:
    first = await run(keyed(home), "home", "createPerson", create, arguments={"id": "ada"})
    assert not first.is_repeated
    before = await contents(home)
    ctx = keyed(home)
    second = await run(ctx, "home", "createPerson", create, arguments={"id": "ada"})
    assert (second.value, second.outcomes, second.is_repeated) == (None, CREATED, True)
    assert await contents(home) == before
    assert ctx.committed == ()
    assert len(before["crossgraph_idempotency"]) == 1


@pytest.mark.parametrize("unread", [2, ATTEMPTS + 1])
async def test_a_key_that_is_taken_by_what_cannot_be_read_yet_is_waited_for(
    home: Stores, monkeypatch: pytest.MonkeyPatch, unread: int
) -> None:
    """Some databases tell of a row before its transaction is committed."""
    await run(keyed(home), "home", "createPerson", create, arguments={"id": "ada"})
    monkeypatch.setattr(module, "PAUSE_MAX_S", 0.001)
    first, asked = Once.first, 0

    async def not_yet(once: Once) -> Any:
        nonlocal asked
        asked += 1
        return None if asked <= unread else await first(once)

    monkeypatch.setattr(Once, "first", not_yet)

    async def write(tx: Transaction) -> Any:
        return await tx.insert(PEOPLE, {**BOB, "id": new_id(), "email": None})

    before = await contents(home)
    if unread > ATTEMPTS:
        with pytest.raises(InFlight):
            await run(keyed(home), "home", "createPerson", write, arguments={"id": "ada"})
    else:
        assert (await run(keyed(home), "home", "createPerson", write, arguments={"id": "ada"})).is_repeated
    assert await contents(home) == before


async def test_what_fails_as_it_was_done_already_has_the_first_outcome(home: Stores) -> None:
    async def remove(tx: Transaction) -> Any:
        person = await tx.get(PEOPLE, "ada")
        assert person is not None  # whatever its author takes for granted
        return await tx.delete(PEOPLE, "ada")

    await run(context(home), "home", "createPerson", create)
    await run(keyed(home), "home", "deletePerson", remove)
    before = await contents(home)
    ran = await run(keyed(home), "home", "deletePerson", remove)
    assert (ran.outcomes, ran.is_repeated) == ([Outcome("people", "ada", 2, "delete")], True)
    assert await contents(home) == before


async def test_a_second_run_that_would_do_something_else_is_rolled_back(home: Stores) -> None:
    async def number(tx: Transaction) -> Any:
        return await tx.insert(PEOPLE, {**BOB, "id": new_id(), "email": None})

    first = await run(keyed(home), "home", "createPerson", number)
    second = await run(keyed(home), "home", "createPerson", number)
    assert second.outcomes == first.outcomes
    assert len(await rows_of(home, PEOPLE)) == 1
    assert len(await rows_of(home, TABLES.versions)) == 1


async def test_a_mutation_that_writes_nothing_has_an_outcome_too(home: Stores) -> None:
    async def nothing(_: Transaction) -> str:
        return "done"

    assert (await run(keyed(home), "home", "f", nothing)).value == "done"
    second = await run(keyed(home), "home", "f", nothing)
    assert (second.outcomes, second.is_repeated) == ([], True)


@pytest.mark.parametrize("other", [{"key": "other"}, {"values": {"subject": "somebody"}}])
async def test_another_key_or_subject_is_another_write(home: Stores, other: dict[str, Any]) -> None:
    await run(keyed(home), "home", "createPerson", create)
    ran = await run(keyed(home, **other), "home", "createPerson", lambda tx: tx.insert(PEOPLE, BOB))
    assert not ran.is_repeated


async def test_another_field_is_another_write(home: Stores) -> None:
    await run(keyed(home), "home", "createPerson", create)
    ran = await run(keyed(home), "home", "addPerson", lambda tx: tx.insert(PEOPLE, BOB))
    assert not ran.is_repeated


async def test_other_arguments_under_the_same_key_are_refused(home: Stores) -> None:
    await run(keyed(home), "home", "createPerson", create, arguments={"id": "ada"})
    with pytest.raises(BadUserInput, match=r"^This Idempotency-Key was used with other arguments: expected a key of its own for each "):
        await run(keyed(home), "home", "createPerson", create, arguments={"id": "bob"})
    assert [row["action"] for row in (await contents(home))["crossgraph_audit"]].count("refused") == 1


async def test_the_order_of_arguments_is_none_of_theirs(home: Stores) -> None:
    await run(keyed(home), "home", "createPerson", create, arguments={"a": 1, "b": 2})
    assert (await run(keyed(home), "home", "createPerson", create, arguments={"b": 2, "a": 1})).is_repeated


async def test_a_key_of_a_store_that_keeps_none_is_refused(home: Stores) -> None:
    expected = r"^An Idempotency-Key cannot be kept here: f writes to what is not managed, without a log\.$"
    with pytest.raises(BadUserInput, match=expected):
        await run(context(home, idempotency_key="k", logged=()), "home", "f", create)


# --------------------------------------------------------------------------------------------------- at the same time


async def test_a_request_of_a_key_that_runs_is_in_flight(home: Stores) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def slow(tx: Transaction) -> Any:
        inside.set()
        await go_on.wait()
        return await create(tx)

    first = asyncio.create_task(run(keyed(home), "home", "createPerson", slow))
    await inside.wait()
    with pytest.raises(InFlight) as caught:
        await run(keyed(home), "home", "createPerson", create)
    assert caught.value.extensions == {"code": "CONFLICT", "retryAfter": 1}
    assert caught.value.http_status == 409
    go_on.set()
    assert not (await first).is_repeated
    assert (await run(keyed(home), "home", "createPerson", create)).is_repeated


class Held:
    """Commits, the first of which waits until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        commit = Transaction._commit

        async def held(tx: Transaction) -> None:
            if not self.reached.is_set():
                self.reached.set()
                await self.go_on.wait()
            await commit(tx)

        monkeypatch.setattr(Transaction, "_commit", held)


@pytest.mark.usefixtures("apart")
async def test_of_two_in_two_processes_one_writes_and_the_other_has_its_outcome(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    first = asyncio.create_task(run(keyed(home), "home", "createPerson", create))
    await held.reached.wait()
    second = asyncio.create_task(run(keyed(home), "home", "createPerson", create))
    await asyncio.sleep(0.05)
    assert not second.done()
    held.go_on.set()
    assert [(await first).is_repeated, (await second).is_repeated] == [False, True]
    assert len((await contents(home))["crossgraph_outbox"]) == 1


@pytest.mark.usefixtures("apart")
async def test_of_many_at_once_one_writes(home: Stores) -> None:
    barrier = asyncio.Barrier(8)

    async def one(number: int) -> bool:
        await barrier.wait()
        ran = await run(keyed(home), "home", "createPerson", lambda tx: tx.insert(PEOPLE, {**BOB, "id": str(number), "email": None}))
        return ran.is_repeated

    repeated = await asyncio.gather(*(one(number) for number in range(8)))
    assert sorted(repeated) == [False] + [True] * 7
    found = await contents(home)
    assert (len(found["people"]), len(found["crossgraph_outbox"]), len(found["crossgraph_idempotency"])) == (1, 1, 1)


async def test_of_fifty_at_once_in_one_process_one_writes_and_the_others_have_its_outcome_or_are_in_flight(home: Stores) -> None:
    """R21."""
    barrier = asyncio.Barrier(50)

    async def one() -> str:
        await barrier.wait()
        try:
            return "repeated" if (await run(keyed(home), "home", "createPerson", create)).is_repeated else "wrote"
        except InFlight:
            return "in flight"

    became = await asyncio.gather(*(one() for _ in range(50)))
    assert became.count("wrote") == 1
    assert (await run(keyed(home), "home", "createPerson", create)).is_repeated
    found = await contents(home)
    assert (len(found["people"]), len(found["crossgraph_outbox"]), len(found["crossgraph_audit"])) == (1, 1, 1)


@pytest.mark.usefixtures("apart")
async def test_where_the_first_died_the_second_runs(home: Stores) -> None:
    inside, die = asyncio.Event(), asyncio.Event()

    async def dying(tx: Transaction) -> None:
        await create(tx)
        inside.set()
        await die.wait()
        raise StoreUnavailable("home")

    first = asyncio.create_task(run(keyed(home), "home", "createPerson", dying))
    await inside.wait()
    second = asyncio.create_task(run(keyed(home), "home", "createPerson", create))
    await asyncio.sleep(0.05)
    die.set()
    with pytest.raises(StoreUnavailable):
        await first
    ran = await second
    assert (ran.value, ran.is_repeated) == (ADA, False)


@pytest.mark.usefixtures("apart")
async def test_one_that_another_process_holds_for_long_is_in_flight(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    has_one_writer = home.kind("home") in ("sqlite", "memory")  # for whom the second waits before it has written anything
    held = Held(monkeypatch)
    first = asyncio.create_task(run(keyed(home), "home", "createPerson", create))
    await held.reached.wait()
    with monkeypatch.context() as patched:
        patched.setattr(home.funnel, "write_timeout_s", 2.0)
        with pytest.raises(StoreTimeout if has_one_writer else InFlight):
            await run(keyed(home), "home", "createPerson", lambda tx: tx.insert(PEOPLE, BOB))
    held.go_on.set()
    assert not (await first).is_repeated
    assert await rows_of(home, PEOPLE) == [ADA]


async def test_writers_of_one_row_do_not_lose_each_others_writes(home: Stores) -> None:
    await run(context(home), "home", "createPerson", create)
    barrier = asyncio.Barrier(8)

    async def one(number: int) -> None:
        async def tag(tx: Transaction) -> None:
            person = await tx.get(PEOPLE, "ada")
            assert person is not None
            await tx.update(PEOPLE, "ada", {"tags": [*person["tags"], str(number)]})

        await barrier.wait()
        await run(context(home), "home", "tag", tag)

    await asyncio.gather(*(one(number) for number in range(8)))
    [person] = await rows_of(home, PEOPLE)
    assert sorted(person["tags"]) == ["0", "1", "2", "3", "4", "5", "6", "7", "one"]
    versions = [row["version"] for row in await rows_of(home, TABLES.outbox)]
    assert sorted(versions) == list(range(1, 10))


# ------------------------------------------------------------------------------------------------------------ contended


async def test_what_others_were_in_the_way_of_is_done_again(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    runs: list[Transaction] = []

    async def work(tx: Transaction) -> Any:
        runs.append(tx)
        state = await create(tx)
        if len(runs) < 3:
            raise Contended("home")
        return state

    ran = await run(keyed(home), "home", "createPerson", work)
    assert (len(runs), ran.value) == (3, ADA)
    found = await contents(home)
    assert [row["version"] for row in found["crossgraph_outbox"]] == [1]


async def test_it_is_given_up_after_some_attempts(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    runs: list[int] = []

    async def work(_: Transaction) -> None:
        runs.append(1)
        raise Contended("home")

    with pytest.raises(Contended):
        await run(context(home), "home", "f", work)
    assert len(runs) == ATTEMPTS
    with pytest.raises(InFlight):  # with a key it can be sent again, and is: its first request may be who was in the way
        await run(keyed(home), "home", "f", work)
    assert len(runs) == 2 * ATTEMPTS
    found = await contents(home)
    assert (found["crossgraph_idempotency"], found["crossgraph_audit"]) == ([], [])


async def test_it_is_not_tried_again_beyond_the_deadline(home: Stores) -> None:
    async def work(_: Transaction) -> None:
        raise Contended("home")

    with pytest.raises((Contended, DeadlineExceeded)):
        await run(context(home, deadline=time.monotonic() + 0.2, started=time.monotonic()), "home", "f", work)
