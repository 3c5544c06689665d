"""The relay over real stores: everything arrives, once in effect and in order, whatever dies in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.writes.appliers import Item, ReplicaApplier
from gateway.writes.declarations import State, replicate
from gateway.writes.tables import PARKED, PENDING
from gateway.writes.transaction import Transaction
from gateway.writes.worker import ATTEMPTS, BACKOFF_MAX_S, backoff
from tests.forms import of_form
from tests.gateway.writes.relays import (
    Fault,
    Killed,
    World,
    act,
    acts,
    author,
    authors,
    book,
    books,
    carried,
    likes,
    people,
    to_people,
    to_wrote,
    wrote,
)
from tests.kinds import KINDS, _marks

AWAYS = ["memory", "sqlite", "postgresql", "mongodb", "neo4j"]
HOMES = ["memory", "sqlite", "postgresql", "mongodb"]
PAIRS = [*[("sqlite", away) for away in AWAYS], *[("postgresql", away) for away in AWAYS], ("mongodb", "sqlite"), ("neo4j", "sqlite")]


def pairs(those: list[tuple[str, str]] = PAIRS) -> list[Any]:
    return [pytest.param(pair, id="-".join(pair), marks=[*_marks(KINDS[pair[0]]), *_marks(KINDS[pair[1]])]) for pair in those]


@pytest.fixture(params=pairs())
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with carried(*request.param) as made:
        yield made


@pytest.fixture(params=[pytest.param(kind, marks=_marks(KINDS[kind])) for kind in HOMES])
async def carrying(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with carried(request.param, "memory" if request.param == "memory" else "sqlite") as made:
        yield made


async def _insert(collection: Any, values: Any, tx: Transaction) -> None:
    await tx.insert(collection, values)


async def _rename(key: str, name: str, tx: Transaction) -> None:
    await tx.update(authors, key, {"name": name})


async def test_writes_reach_all_their_targets_and_nothing_is_left(world: World) -> None:
    async def work(tx: Any) -> None:
        await tx.insert(authors, author("1"))
        await tx.insert_many(books, [book(f"b{n}") for n in range(3)])
        await tx.insert(acts, act("a", book_id="b1"))
        await tx.insert(acts, act("v", kind="VIEW"))

    await world.write(work)
    count = len(await world.deliveries())

    assert await world.drain() == count == 6
    assert await world.away() == await world.expected()
    assert (await world.away())["wrote"] == [("1", "b0"), ("1", "b1"), ("1", "b2")]
    assert await world.deliveries() == []


async def test_updates_and_deletions_follow(world: World) -> None:
    await world.write(lambda tx: tx.insert(authors, author("1")))
    await world.write(lambda tx: tx.insert(books, book("b")))
    await world.drain()
    await world.write(lambda tx: tx.update(authors, "1", {"name": "Ada", "born": None}))
    await world.write(lambda tx: tx.update(books, "b", {"author_id": "2"}))
    await world.drain()

    assert await world.away() == {"people": [("1", "Ada", "1@example.org", None)], "wrote": [("2", "b")], "likes": []}

    await world.write(lambda tx: tx.delete(authors, "1"))
    await world.write(lambda tx: tx.delete(books, "b"))
    await world.drain()

    assert await world.away() == {"people": [], "wrote": [], "likes": []}


# ------------------------------------------------------------------------------------------------- killed, twice, shuffled


async def test_a_relay_that_is_killed_at_any_step_leaves_nothing_undone_and_nothing_done_twice(carrying: World) -> None:
    """R05: each step that a relay takes with the stores, and the moment after it, is where it dies once: in CI, and in memory."""
    stride = of_form(3, 1) if carrying.stores.kind("home") == "memory" else 13

    async def work(tx: Any) -> None:
        await tx.insert(authors, author("1"))
        await tx.insert_many(books, [book("b1"), book("b2"), book("b3", "2")])
        await tx.insert_many(acts, [act("a1", book_id="b1"), act("a2", "2", book_id="b1")])

    round_ = 0
    for is_after in (False, True):
        at, is_over = 0, False
        while not is_over:
            at, round_ = at + stride, round_ + 1
            await carrying.write(work)
            await carrying.write(partial(_rename, "1", f"round {round_}"))
            fault = Fault(at, is_after)
            async with carrying.faulty(fault):
                try:
                    await carrying.drain()
                    is_over = True
                except Killed:
                    pass
            await carrying.expire_leases()
            await carrying.drain()
            assert await carrying.away() == await carrying.expected(), f"killed {'after' if is_after else 'before'} step {at}"
            # What is deleted is killed at as well, in the next round: cascades go through the log again.
            await carrying.write(lambda tx: tx.delete(authors, "1"))
            await carrying.write(lambda tx: tx.delete(books, "b3"))
            async with carrying.faulty(Fault(at, is_after)):
                try:
                    await carrying.drain()
                except Killed:
                    is_over = False
            await carrying.expire_leases()
            await carrying.drain()
            await carrying.write(lambda tx: tx.delete(acts, "a2"))
            await carrying.drain()
            assert await carrying.deliveries() == []
            assert await carrying.away() == {"people": [], "wrote": [], "likes": []}, f"killed at step {at} of a deletion"
            assert await carrying.rows(books) == []
            assert await carrying.rows(acts) == []
        assert at > 20


@pytest.mark.parametrize("seed", range(5))
async def test_states_that_come_twice_reversed_or_shuffled_give_the_same_rows(carrying: World, seed: int) -> None:
    """R07 and R08: only the newest version of each aggregate is in effect, and what is deleted stays so."""
    rng = random.Random(seed)
    for key in ("1", "2", "3"):
        await carrying.write(partial(_insert, authors, author(key)))
        for n in range(3):
            await carrying.write(partial(_rename, key, f"{key} named {n}"))
    await carrying.write(lambda tx: tx.delete(authors, "2"))
    outbox = await carrying.states(carrying.tables.outbox)
    items = [Item(r["id"], r["noun"], r["key"], r["epoch"], r["version"], r["state"]) for r in outbox if r["noun"] == "authors"] * 3
    if seed == 0:
        items.sort(key=lambda item: -item.version)
    else:
        rng.shuffle(items)

    applier = ReplicaApplier(carrying.stores, to_people)
    for item in items:
        await applier.apply([item])

    assert await carrying.rows(people) == (await carrying.expected())["people"]
    assert [row[1] for row in await carrying.rows(people)] == ["1 named 2", "3 named 2"]


async def test_a_relay_that_slept_through_its_lease_changes_nothing_when_it_wakes(carrying: World) -> None:
    """R06: it has claimed and read an old state; meanwhile another relay carried that one and all that came later."""
    await carrying.write(lambda tx: tx.insert(authors, author("1")))
    asleep, awake = asyncio.Event(), asyncio.Event()
    worker = carrying.relay().workers["home"][0]
    apply = worker._applier.apply

    async def apply_late(items: Any) -> None:
        asleep.set()
        await awake.wait()
        await apply(items)

    worker._applier.apply = apply_late  # type: ignore[method-assign]
    zombie = asyncio.create_task(worker.step())
    await asleep.wait()
    await carrying.expire_leases()
    await carrying.write(lambda tx: tx.update(authors, "1", {"name": "newer"}))
    await carrying.drain()
    await carrying.write(lambda tx: tx.delete(authors, "1"))
    await carrying.drain()
    awake.set()
    await zombie

    assert await carrying.rows(people) == []
    assert await carrying.deliveries() == []


async def test_relays_at_once_share_what_there_is_to_do(carrying: World) -> None:
    for n in range(120):
        await carrying.write(partial(_insert, books, book(f"b{n:03}")))
    relays_ = [carrying.relay(batch=7) for _ in range(3)]

    await asyncio.gather(*(relay.drain() for relay in relays_))
    await carrying.drain()

    done = [relay.attempts["books>wrote", "done"] for relay in relays_]
    assert sum(done) <= 120
    assert len(await carrying.rows(wrote)) == 120
    assert await carrying.deliveries() == []


async def test_all_that_sixteen_writers_commit_arrives_while_relays_run(carrying: World) -> None:
    """R01 and R02: commits are slow and come in another order than ids are made; some are rolled back."""
    rng = random.Random(1)

    class No(Exception):
        pass

    async def writer(number: int) -> None:
        for n in range(6):

            async def work(tx: Any, n: int = n) -> None:
                await tx.insert(books, book(f"{number:02}-{n}", f"{n}"))
                await asyncio.sleep(rng.random() * 0.02)
                if n == 3:
                    raise No

            try:
                await carrying.write(work)
            except No:
                continue

    relay = carrying.relay(poll_s=0.02)
    async with relay.running():
        await asyncio.gather(*(writer(number) for number in range(16)))
    await carrying.drain()

    assert len(await carrying.rows(wrote)) == 16 * 5
    assert await carrying.away() == await carrying.expected()
    assert await carrying.deliveries() == []


# ------------------------------------------------------------------------------------------------------------- failures


def poisonous(state: State) -> list[Any]:
    if state["name"] == "poison":
        raise ValueError("a name that cannot be")
    return [(state["id"], state["name"], state["email"], state["born"])]


@pytest.fixture(params=[pytest.param(kind, marks=_marks(KINDS[kind])) for kind in HOMES])
async def poisoned(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with carried(request.param, "sqlite", [replicate(authors, to=people, rows=poisonous), to_wrote]) as made:
        yield made


async def test_a_poison_delivery_is_parked_and_the_others_go_on(poisoned: World) -> None:
    """R15: of a batch that fails the others arrive at once; after its attempts it waits for an operator."""
    await poisoned.write(lambda tx: tx.insert_many(authors, [author("1"), author("2", name="poison"), author("3")]))
    relay = poisoned.relay()
    [worker] = [worker for worker in relay.workers["home"] if worker.target == "authors>people"]

    assert await worker.step() == 3
    assert [row[0] for row in await poisoned.rows(people)] == ["1", "3"]
    for _ in range(ATTEMPTS - 2):
        assert await worker.step() == 1
    [waiting] = await poisoned.deliveries()
    assert (waiting["state"], waiting["attempts"], waiting["lease_owner"]) == (PENDING, ATTEMPTS - 1, None)
    assert await worker.step() == 1

    [parked] = await poisoned.deliveries()
    assert (parked["state"], parked["attempts"], parked["error"]) == (PARKED, ATTEMPTS, "ValueError: a name that cannot be")
    assert await worker.step() == 0
    assert relay.attempts == {
        ("authors>people", "done"): 2,
        ("authors>people", "failed"): ATTEMPTS - 1,
        ("authors>people", "parked"): 1,
    }


async def test_a_later_state_passes_a_parked_one_and_supersedes_it(poisoned: World) -> None:
    await poisoned.write(lambda tx: tx.insert(authors, author("1", name="poison")))
    for _ in range(ATTEMPTS):
        await poisoned.drain()
    assert [row["state"] for row in await poisoned.deliveries()] == [PARKED]

    await poisoned.write(lambda tx: tx.update(authors, "1", {"name": "well"}))
    await poisoned.drain()

    assert [row[1] for row in await poisoned.rows(people)] == ["well"]
    assert await poisoned.deliveries() == []


async def test_what_fails_for_good_waits_longer_each_time(poisoned: World) -> None:
    await poisoned.write(lambda tx: tx.insert(authors, author("1", name="poison")))
    relay = poisoned.relay(retry_s=60.0)

    assert await relay.drain() == 1  # and not again at once
    [delivery] = await poisoned.deliveries()
    assert (delivery["attempts"], delivery["state"]) == (1, PENDING)
    assert [backoff(n) for n in (1, 2, 3, 9, 10, 1_000)] == [1, 2, 4, 256, BACKOFF_MAX_S, BACKOFF_MAX_S]


async def test_a_target_that_is_away_counts_no_attempt_and_holds_up_no_other(carrying: World) -> None:
    """R09: the deliveries are given back, and those to other stores are carried as ever."""
    await carrying.write(lambda tx: tx.insert(authors, author("1")))
    await carrying.write(lambda tx: tx.insert(books, book("b")))
    await carrying.write(lambda tx: tx.delete(authors, "1"))
    relay = carrying.relay()
    away = carrying.stores["away"]
    open_ = away.transaction  # type: ignore[attr-defined]

    def gone() -> Any:
        raise StoreUnavailable("away")

    away.transaction = gone  # type: ignore[attr-defined]
    workers = {worker.target: worker for worker in relay.workers["home"]}
    for target in ("authors>people", "books>wrote"):
        with pytest.raises(StoreUnavailable):
            await workers[target].step()
    await workers["authors>books.author_id"].step()
    assert await carrying.rows(books) == []
    left = {row["target"]: (row["attempts"], row["lease_owner"], row["state"]) for row in await carrying.deliveries()}
    assert left["authors>people"] == left["books>wrote"] == (0, None, PENDING)
    assert "authors>books.author_id" not in left

    away.transaction = open_  # type: ignore[attr-defined]
    await relay.drain()
    assert await carrying.away() == {"people": [], "wrote": [], "likes": []}
    assert await carrying.deliveries() == []


# ------------------------------------------------------------------------------- what comes after a deletion, of the same key


async def _carry(world: World, *targets: str) -> None:
    """Carry what these targets have to hear, in this order, and nothing else."""
    workers = {worker.target: worker for worker in world.relay().workers["home"]}
    for target in targets:
        await workers[target].step()


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_late_cascade_leaves_what_a_newer_row_has_given(carrying: World, is_late: bool) -> None:
    """Of an author who was deleted and is there again, with a like that is delivered before the deletion is, or after it."""
    await carrying.write(lambda tx: tx.insert(authors, author("1")))
    await carrying.write(lambda tx: tx.insert_many(acts, [act("old", "1", "b", at="2025-01-01T00:00:00.000Z"), act("gone", "1", "c")]))
    await carrying.drain()
    await carrying.write(lambda tx: tx.delete(authors, "1"))
    await carrying.write(lambda tx: tx.insert(authors, author("1")))
    await carrying.write(lambda tx: tx.insert_many(acts, [act("new", "1", "b"), act("newer", "1", "d")]))

    order = ["acts>likes", "authors>likes.author_id"]
    await _carry(carrying, *(reversed(order) if is_late else order))
    await carrying.drain()

    assert [row["id"] for row in await carrying.states(acts)] == ["new", "newer"]
    assert {(row["author_id"], row["book_id"]) for row in await carrying.states(likes)} == {("1", "b"), ("1", "d")}
