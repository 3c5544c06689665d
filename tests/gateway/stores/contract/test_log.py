"""The log's own steps: versions count up, gates let only newer ones pass, deliveries are claimed by one at a time.

On the gateway's own collections, as every store that is written has them. What two do at once is told by what is there afterwards: who
came first is the database's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from gateway.errors import Contended
from gateway.stores.base import Advance, Bump, Claim, Column, Delete, Fetch, Key, Request, Store, Transaction, Transacts, Value
from gateway.writes.tables import PARKED, PENDING, tables_of
from tests.gateway.stores.contract.oracle import everything, put, same
from tests.gateway.stores.contract.world import ODD_KEYS, Record
from tests.kinds import kinds, store_of

A = TypeVar("A")

TABLES = tables_of("tested")
LONG_AGO, FAR_OFF = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
CLOCKS_DIFFER = timedelta(minutes=5)  # at most, the database's and that of the tests
LEASE_S = 3_600.0
AT_ONCE = 8
MANY = 300  # keys of one call
TRIES = 100  # of a transaction that others hold up


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=kinds())
async def log_store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store of each kind with the gateway's own collections."""
    async with store_of(request.param, TABLES.all) as store:
        yield store


@pytest_asyncio.fixture(loop_scope="session")
async def log(log_store: Store) -> AsyncIterator[Store]:
    """The same store; what the test left in the collections of these requests is deleted after it."""
    yield log_store
    for collection in (TABLES.versions, TABLES.applied, TABLES.deliveries):
        rows = (await log_store.answer(Fetch(collection, collection.key))).values()
        keys = [tuple(row) for slice_ in rows for row in slice_.rows]
        if keys:
            await log_store.answer(Delete(collection, keys))


# --------------------------------------------------------------------------------------------------------------- helpers


class Undone(Exception):
    """What a test rolls its transaction back with."""


def transaction_of(store: Store) -> Any:
    assert isinstance(store, Transacts)
    return store.transaction()


async def until_done(store: Store, work: Callable[[Transaction], Awaitable[A]]) -> A:
    """Return what ``work`` gives in a transaction of its own, done again where others came between."""
    for _ in range(TRIES):
        try:
            async with transaction_of(store) as transaction:
                return await work(transaction)
        except Contended:
            continue
    raise AssertionError(f"contended {TRIES} times")


async def undone(store: Store, request: Request[A]) -> A:
    """Return the answer to a request in a transaction that is rolled back."""
    answers: list[A] = []
    with suppress(Undone):
        async with transaction_of(store) as transaction:
            answers.append(await transaction.answer(request))
            raise Undone
    return answers[0]


def told(at: datetime, column: Column) -> Value:
    """A time as the wire has it, in as many digits as its column."""
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text[: 20 + column.precision] if column.precision else text[:19]}Z"


def read(text: Value) -> datetime:
    return datetime.fromisoformat(text)


def delivery(outbox: str, *, target: str = "graph", noun: str = "users", key: Key | None = None, **values: Any) -> Record:
    """A delivery that is due and leased by nobody, of an aggregate of its own."""
    found: Record = {column.name: None for column in TABLES.deliveries.columns}
    found |= {
        "outbox": outbox,
        "target": target,
        "noun": noun,
        "key": f"key of {outbox}" if key is None else key,
        "version": 1,
        "state": PENDING,
        "attempts": 0,
        "next_at": LONG_AGO,
    }
    assert values.keys() <= found.keys()
    found |= values
    times = {name: value for name, value in found.items() if isinstance(value, datetime)}
    return found | {name: told(value, TABLES.deliveries[name]) for name, value in times.items()}


async def deliver(store: Store, *deliveries: Record) -> None:
    await put(store, TABLES.deliveries, *deliveries)


def claim(owner: str = "me", *, target: str = "graph", limit: int = 100, seconds: float = LEASE_S) -> Claim:
    return Claim(TABLES.deliveries, target, owner, limit, seconds)


def outboxes(rows: Sequence[Any]) -> list[str]:
    return [row[0] for row in rows]


async def claimed(store: Store, **options: Any) -> list[str]:
    return outboxes(await store.answer(claim(**options)))


async def versions(store: Store) -> dict[tuple[str, str], tuple[int, bool]]:
    rows = await everything(store, TABLES.versions)
    return {(row["noun"], row["key"]): (row["version"], row["is_deleted"]) for row in rows}


async def applied(store: Store) -> dict[tuple[str, str, str], tuple[int, int]]:
    rows = await everything(store, TABLES.applied)
    return {(row["target"], row["noun"], row["key"]): (row["epoch"], row["version"]) for row in rows}


def bump(*keys: Key, noun: str = "users", is_deleted: bool = False) -> Bump:
    return Bump(TABLES.versions, noun, keys, is_deleted)


def advance(*items: tuple[Key, int, int], target: str = "graph", noun: str = "users") -> Advance:
    return Advance(TABLES.applied, target, noun, items)


# -------------------------------------------------------------------------------------------------------------- versions


async def test_a_version_counts_up_from_0(log: Store) -> None:
    answers = [dict(await log.answer(bump("a"))) for _ in range(3)]
    assert same(answers, [{"a": 1}, {"a": 2}, {"a": 3}])
    assert await versions(log) == {("users", "a"): (3, False)}


async def test_a_version_that_is_there_counts_on(log: Store) -> None:
    await put(log, TABLES.versions, {"noun": "users", "key": "a", "version": 2**40, "is_deleted": False})
    assert same(dict(await log.answer(bump("a"))), {"a": 2**40 + 1})


async def test_each_key_and_noun_has_a_version_of_its_own(log: Store) -> None:
    await log.answer(bump("a", "b"))
    await log.answer(bump("a", noun="posts"))
    answer = await log.answer(bump("c", "b"))
    assert same(dict(answer), {"c": 1, "b": 2})
    expected = {("users", "a"): (1, False), ("users", "b"): (2, False), ("users", "c"): (1, False), ("posts", "a"): (1, False)}
    assert await versions(log) == expected


async def test_many_keys_in_one_call(log: Store) -> None:
    keys = [f"k{number:04}" for number in range(MANY)]
    await log.answer(bump(*keys[::2]))
    assert await log.answer(bump(*keys)) == {key: 2 - place % 2 for place, key in enumerate(keys)}


async def test_no_keys_have_no_versions(log: Store) -> None:
    assert dict(await log.answer(bump())) == {}
    assert await versions(log) == {}


async def test_odd_keys_have_versions(log: Store) -> None:
    await log.answer(bump(*ODD_KEYS, noun="it's, 100 %"))
    assert await log.answer(bump(*ODD_KEYS, noun="it's, 100 %")) == dict.fromkeys(ODD_KEYS, 2)


async def test_deletion_is_kept_with_the_version_until_it_is_written_again(log: Store) -> None:
    await log.answer(bump("a", "b"))
    assert dict(await log.answer(bump("a", is_deleted=True))) == {"a": 2}
    assert await versions(log) == {("users", "a"): (2, True), ("users", "b"): (1, False)}
    assert dict(await log.answer(bump("a"))) == {"a": 3}
    assert await versions(log) == {("users", "a"): (3, False), ("users", "b"): (1, False)}


async def test_what_was_never_written_may_be_deleted(log: Store) -> None:
    """A row that was loaded has no version."""
    assert dict(await log.answer(bump("a", is_deleted=True))) == {"a": 1}
    assert await versions(log) == {("users", "a"): (1, True)}


async def test_of_many_that_count_at_once_each_counts_once(log: Store) -> None:
    """The keys are new, and each asks for them in an order of its own."""
    keys = ["a", "b", "c"]
    answers = await asyncio.gather(*(log.answer(bump(*(keys if turn % 2 else keys[::-1]))) for turn in range(AT_ONCE)))
    for key in keys:
        assert sorted(answer[key] for answer in answers) == list(range(1, AT_ONCE + 1))
    assert await versions(log) == {("users", key): (AT_ONCE, False) for key in keys}


async def test_transactions_that_count_at_once_count_one_after_the_other(log: Store) -> None:
    """What is read of the version in one transaction is its own until that ends."""

    async def count(transaction: Transaction) -> int:
        first = (await transaction.answer(bump("a")))["a"]
        second = (await transaction.answer(bump("a")))["a"]
        assert second == first + 1
        return first

    firsts = await asyncio.gather(*(until_done(log, count) for _ in range(AT_ONCE // 2)))
    assert sorted(firsts) == list(range(1, AT_ONCE, 2))


async def test_a_version_is_not_counted_by_what_is_rolled_back(log: Store) -> None:
    await log.answer(bump("a"))
    assert dict(await undone(log, bump("a", "b", is_deleted=True))) == {"a": 2, "b": 1}
    assert await versions(log) == {("users", "a"): (1, False)}


# ----------------------------------------------------------------------------------------------------------------- gates


async def test_only_what_is_greater_passes_a_gate(log: Store) -> None:
    """First the epoch, which is raised after a restore, then the version."""
    tried = [((1, 5), True), ((1, 5), False), ((1, 4), False), ((1, 6), True), ((0, 9), False), ((2, 1), True), ((1, 7), False)]
    for (epoch, version), passes in tried:
        expected = frozenset({"a"}) if passes else frozenset()
        assert await log.answer(advance(("a", epoch, version))) == expected, (epoch, version)
    assert await applied(log) == {("graph", "users", "a"): (2, 1)}


async def test_keys_pass_a_gate_each_for_itself(log: Store) -> None:
    await log.answer(advance(("old", 0, 3), ("equal", 0, 2), ("new", 0, 1), ("restored", 0, 9)))
    answer = await log.answer(advance(("old", 0, 2), ("equal", 0, 2), ("new", 0, 2), ("restored", 1, 1), ("first", 0, 2)))
    assert answer == frozenset({"new", "restored", "first"})
    kept = {"old": (0, 3), "equal": (0, 2), "new": (0, 2), "restored": (1, 1), "first": (0, 2)}
    assert await applied(log) == {("graph", "users", key): its for key, its in kept.items()}


async def test_gates_of_other_targets_and_nouns_are_others(log: Store) -> None:
    await log.answer(advance(("a", 0, 5)))
    assert await log.answer(advance(("a", 0, 1), target="analytics")) == frozenset({"a"})
    assert await log.answer(advance(("a", 0, 2), noun="posts")) == frozenset({"a"})
    expected = {("graph", "users", "a"): (0, 5), ("analytics", "users", "a"): (0, 1), ("graph", "posts", "a"): (0, 2)}
    assert await applied(log) == expected


async def test_many_keys_pass_a_gate_in_one_call(log: Store) -> None:
    keys = [f"k{number:04}" for number in range(MANY)]
    assert await log.answer(advance(*((key, 0, 2) for key in keys[::2]))) == frozenset(keys[::2])
    assert await log.answer(advance(*((key, 0, 1 + place % 3) for place, key in enumerate(keys)))) == frozenset(
        key for place, key in enumerate(keys) if place % 2 or place % 3 == 2
    )


async def test_odd_keys_pass_a_gate(log: Store) -> None:
    """A target's name has a mark in it that queries have, too."""
    items = [(key, 0, 1) for key in ODD_KEYS]
    assert await log.answer(advance(*items, target="users>people")) == frozenset(ODD_KEYS)
    assert await log.answer(advance(*items, target="users>people")) == frozenset()


async def test_nothing_passes_a_gate_where_nothing_is_asked(log: Store) -> None:
    assert await log.answer(advance()) == frozenset()
    assert await applied(log) == {}


async def test_a_gate_that_is_rolled_back_lets_the_same_version_pass_again(log: Store) -> None:
    await log.answer(advance(("a", 0, 1)))
    assert await undone(log, advance(("a", 0, 2), ("b", 0, 1))) == frozenset({"a", "b"})
    assert await applied(log) == {("graph", "users", "a"): (0, 1)}
    assert await log.answer(advance(("a", 0, 2), ("b", 0, 1))) == frozenset({"a", "b"})


@pytest.mark.parametrize("is_kept", [False, True], ids=["first", "again"])
@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2)], ids=["older-first", "newer-first"])
async def test_of_two_at_a_gate_at_once_the_newer_wins(log: Store, first: int, second: int, is_kept: bool) -> None:
    """The first has passed and is not done when the second comes: that waits, or is given up and comes again."""
    if is_kept:
        await log.answer(advance(("a", 0, 1)))
    comes = asyncio.Event()

    async def come_second(transaction: Transaction) -> frozenset[Key]:
        return await transaction.answer(advance(("a", 0, second)))

    async def coming() -> frozenset[Key]:
        comes.set()
        return await until_done(log, come_second)

    async with transaction_of(log) as transaction:
        assert await transaction.answer(advance(("a", 0, first))) == frozenset({"a"})
        task = asyncio.create_task(coming())
        await comes.wait()
        assert await transaction.answer(advance(("a", 0, first))) == frozenset()
    assert await task == (frozenset({"a"}) if second > first else frozenset())
    assert await applied(log) == {("graph", "users", "a"): (0, 3)}


async def test_of_many_at_a_gate_at_once_each_passes_once_and_the_newest_stays(log: Store) -> None:
    answers = await asyncio.gather(*(log.answer(advance(("a", 0, turn % 4 + 1), ("b", 0, 1))) for turn in range(AT_ONCE)))
    assert sum("b" in answer for answer in answers) == 1
    assert "a" in answers[3] or "a" in answers[7]
    assert await applied(log) == {("graph", "users", "a"): (0, 4), ("graph", "users", "b"): (0, 1)}


# ------------------------------------------------------------------------------------------------------------ deliveries


async def test_what_is_claimed_is_leased_and_answered_in_all_columns(log: Store) -> None:
    payload = {"text": "hi", "items": [1, None, {"$ref": "x"}]}
    await deliver(log, delivery("1", payload=payload, attempts=3, error="was away"), delivery("2"))
    rows = await log.answer(claim("worker 1", limit=1))
    until = rows[0][TABLES.deliveries.names.index("lease_until")]
    expected = delivery("1", payload=payload, attempts=3, error="was away", lease_owner="worker 1") | {"lease_until": until}
    assert same([list(row) for row in rows], [list(expected.values())])
    assert same(await everything(log, TABLES.deliveries), [expected, delivery("2")])


async def test_a_lease_lasts_as_many_seconds_as_are_asked(log: Store) -> None:
    await deliver(log, delivery("1"))
    rows = await log.answer(claim(seconds=LEASE_S))
    until = read(rows[0][TABLES.deliveries.names.index("lease_until")])
    assert abs(until - datetime.now(UTC) - timedelta(seconds=LEASE_S)) < CLOCKS_DIFFER


async def test_the_oldest_are_claimed_first_in_their_order(log: Store) -> None:
    await deliver(log, *(delivery(f"{number:02}") for number in (5, 3, 9, 1, 7)))
    assert [await claimed(log, limit=2) for _ in range(4)] == [["01", "03"], ["05", "07"], ["09"], []]


async def test_the_oldest_are_those_of_the_least_outbox_whenever_they_are_due(log: Store) -> None:
    later = LONG_AGO + timedelta(days=1)
    await deliver(log, delivery("1", next_at=later, version=9), delivery("2"), delivery("3", next_at=later))
    assert [await claimed(log, limit=1) for _ in range(3)] == [["1"], ["2"], ["3"]]


async def test_deliveries_of_other_targets_are_not_claimed(log: Store) -> None:
    await deliver(log, delivery("1"), delivery("1", target="analytics"), delivery("2", target="users>people"))
    assert await claimed(log, target="users>people") == ["2"]
    assert await claimed(log, target="nowhere") == []
    assert await claimed(log, target="analytics") == ["1"]
    assert await claimed(log, target="graph") == ["1"]


async def test_what_is_not_due_by_the_databases_clock_is_not_claimed(log: Store) -> None:
    now = datetime.now(UTC)
    await deliver(
        log,
        delivery("1", next_at=FAR_OFF),
        delivery("2", next_at=now + 2 * CLOCKS_DIFFER),
        delivery("3", next_at=now - 2 * CLOCKS_DIFFER),
    )
    assert await claimed(log) == ["3"]


async def test_what_is_parked_is_not_claimed(log: Store) -> None:
    await deliver(log, delivery("1", state=PARKED), delivery("2", key="a", state=PARKED), delivery("3", key="a", version=2))
    assert await claimed(log) == ["3"]


async def test_nothing_is_claimed_where_there_is_nothing(log: Store) -> None:
    assert await claimed(log) == []


async def test_what_is_leased_is_claimed_again_once_its_lease_has_ended(log: Store) -> None:
    leased = {"lease_owner": "another"}
    await deliver(log, delivery("1", lease_until=FAR_OFF, **leased), delivery("2", lease_until=LONG_AGO, **leased))
    assert await claimed(log) == ["2"]
    assert [row["lease_owner"] for row in await everything(log, TABLES.deliveries)] == ["another", "me"]


async def test_a_lease_whose_time_is_over_has_ended(log: Store) -> None:
    await deliver(log, delivery("1"))
    # A lease ends at a whole millisecond, which may be the next one: so this one has ended before it began.
    assert [await claimed(log, owner=owner, seconds=-0.002) for owner in ("a", "b")] == [["1"], ["1"]]
    assert [row["lease_owner"] for row in await everything(log, TABLES.deliveries)] == ["b"]


async def test_not_even_the_owner_of_a_lease_claims_it_twice(log: Store) -> None:
    await deliver(log, delivery("1"))
    assert [await claimed(log, owner="me") for _ in range(2)] == [["1"], []]


async def test_all_that_is_due_of_an_aggregate_is_claimed_together(log: Store) -> None:
    await deliver(
        log,
        delivery("1", key="a", version=1),
        delivery("2", key="b", version=1),
        delivery("3", key="a", version=2),
        delivery("4", key="a", version=3, next_at=FAR_OFF),
        delivery("5", key="a", version=4, state=PARKED),
        delivery("6", key="a", noun="posts", version=1, next_at=FAR_OFF),
        delivery("7", key="a", version=5),
    )
    assert await claimed(log) == ["1", "2", "3", "7"]


async def test_an_aggregate_is_not_cut_by_the_limit(log: Store) -> None:
    """Of more deliveries than the limit it would never be given out; where others come first, it may have to wait for the next claim."""
    await deliver(log, *(delivery(f"{number}", key="a", version=number) for number in range(1, 4)))
    assert await claimed(log, limit=1) == ["1", "2", "3"]
    await deliver(log, delivery("4"), delivery("5", key="b", version=1), delivery("6", key="b", version=2), delivery("7"))
    rounds = [await claimed(log, limit=2) for _ in range(4)]
    assert sorted(outbox for found in rounds for outbox in found) == ["4", "5", "6", "7"]
    assert rounds[0][0] == "4"
    assert all(("5" in found) is ("6" in found) for found in rounds)


async def test_an_aggregate_of_which_another_holds_a_lease_is_not_given_out(log: Store) -> None:
    """Nor does it keep others from being claimed. The same key of another noun is another aggregate."""
    await deliver(
        log,
        delivery("1", key="a", version=1),
        delivery("2", key="a", version=2, lease_owner="another", lease_until=FAR_OFF),
        delivery("3", key="b", version=1, lease_owner="another", lease_until=LONG_AGO),
        delivery("4", key="b", version=2),
        delivery("5", key="a", noun="posts"),
        delivery("6", key="a", target="analytics"),
        delivery("7", key="a", version=3),
    )
    assert await claimed(log, limit=3) == ["3", "4", "5"]
    assert await claimed(log) == []


async def test_what_comes_after_a_claim_waits_until_the_lease_ends(log: Store) -> None:
    await deliver(log, delivery("1", key="a", version=1))
    assert await claimed(log, owner="another") == ["1"]
    await deliver(log, delivery("2", key="a", version=2), delivery("3"))
    assert await claimed(log) == ["3"]
    await log.answer(Delete(TABLES.deliveries, [("1", "graph")]))
    assert await claimed(log) == ["2"]


async def test_a_lease_of_another_target_holds_nothing_up(log: Store) -> None:
    await deliver(log, delivery("1"), delivery("1", target="analytics", lease_owner="another", lease_until=FAR_OFF))
    assert await claimed(log) == ["1"]


async def test_of_many_that_claim_at_once_none_gets_what_another_has(log: Store) -> None:
    """Each aggregate goes to one of them, with all that it has; what is left of one round is for the next."""
    await deliver(log, *(delivery(f"{number:03}", key=f"a{number % 20:02}", version=number) for number in range(60)))
    found: list[tuple[str, list[str]]] = []
    while True:
        owners = [f"{len(found)} {turn}" for turn in range(AT_ONCE)]
        answers = await asyncio.gather(*(log.answer(claim(owner, limit=9)) for owner in owners))
        found += [(owner, outboxes(rows)) for owner, rows in zip(owners, answers, strict=True)]
        if not any(answers):
            break
    assert sorted(outbox for _, its in found for outbox in its) == [f"{number:03}" for number in range(60)]
    owner_of = {outbox: owner for owner, its in found for outbox in its}
    rows = await everything(log, TABLES.deliveries)
    assert {row["outbox"]: row["lease_owner"] for row in rows} == owner_of
    assert all(len({owner_of[row["outbox"]] for row in rows if row["key"] == key}) == 1 for key in {row["key"] for row in rows})


async def test_claims_of_large_queues_are_cut_by_their_limit(log: Store) -> None:
    await deliver(log, *(delivery(f"{number:05}") for number in range(MANY)))
    assert await claimed(log, limit=100) == [f"{number:05}" for number in range(100)]
    assert await claimed(log, limit=100) == [f"{number:05}" for number in range(100, 200)]


async def test_a_claim_that_is_rolled_back_is_none(log: Store) -> None:
    await deliver(log, delivery("1"))
    assert outboxes(await undone(log, claim("another"))) == ["1"]
    assert await claimed(log) == ["1"]
