"""Rows that are changed one by one, and several requests that happen or do not as one: in every kind that can transact.

Kinds end two that write the same row in different ways: one waits for the other, or is given up and done again, as ``done`` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from gateway.errors import Conflict, Contended
from gateway.stores.base import (
    Aggregate,
    Changed,
    Collection,
    Compare,
    Delete,
    Fetch,
    Get,
    Insert,
    Lock,
    Match,
    Measure,
    Order,
    Page,
    Remove,
    Row,
    Store,
    Together,
    Transaction,
    Transacts,
    Update,
    Upsert,
    Value,
    Within,
)
from tests.gateway.stores.contract import typed
from tests.gateway.stores.contract.oracle import everything, grouped, ids, plain, put, same
from tests.gateway.stores.contract.typed import COLUMNS, LINES, LISTED, NO_KEYS, RENAMED, SAMPLES, key, lines, renamed
from tests.gateway.stores.contract.world import ODD_KEYS, THINGS, Record, badges, drafts, pins, record, words
from tests.kinds import kinds, store_of

T = TypeVar("T")

TIME_LIMIT_S = 60.0  # for what would else wait without an end where it is wrong
AT_ONCE = 6


def theirs(collection: Collection) -> Collection:
    """The same collection as one that is not managed, in a place of its own."""
    return replace(collection, name=f"theirs_{collection.name}", label=f"Theirs{collection.label}", managed=False, table="")


VALUES = {name: typed.values_of(name) for name in COLUMNS}
KEYED = {name: typed.keyed_by(name) for name in COLUMNS if name not in NO_KEYS}
LISTS = {name: typed.lists_of(name) for name in LISTED}
THEIR_VALUES = {name: theirs(collection) for name, collection in VALUES.items()}
THEIR_KEYED = {name: theirs(collection) for name, collection in KEYED.items()}

values_of = pytest.mark.parametrize("name", VALUES)
keys_of = pytest.mark.parametrize("name", KEYED)
lists_of = pytest.mark.parametrize("name", LISTS)
managed_or_not = pytest.mark.parametrize("managed", [True, False], ids=["ours", "theirs"])


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=kinds())
async def types(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Store]]:
    """A store of each kind with empty collections of every type."""
    kind = request.param
    by_type = [group[name] for group in (VALUES, KEYED, THEIR_VALUES, THEIR_KEYED) for name in group if typed.holds(kind, name)]
    async with store_of(kind, [*by_type, *LISTS.values(), lines, renamed]) as store:
        yield kind, store


def transacting(store: Store) -> Transacts:
    assert isinstance(store, Transacts)
    return store


def insert(collection: Collection, *records: Record) -> Insert:
    """All columns of records, null for what they do not say."""
    return Insert(collection, collection.names, [tuple(record.get(name) for name in collection.names) for record in records])


def row(collection: Collection, record: Record) -> tuple[Value, ...]:
    return tuple(record.get(name) for name in collection.names)


def alike(answer: Changed | None, expected: Changed) -> bool:
    """Whether a change is as expected, as ``same`` has it."""
    assert answer is not None
    assert type(answer) is Changed
    return same(parts(answer), parts(expected))


def parts(change: Changed) -> list[Value]:
    return [list(change.before), None if change.after is None else list(change.after), change.is_done]


async def got(store: Store, collection: Collection, keys: Sequence[str]) -> dict[Any, tuple[Value, ...]]:
    found = await store.answer(Get(collection, collection.names, list(keys), collection.key_name))
    return {key: tuple(found[key]) for key in found}


async def done(work: Callable[[], Awaitable[T]]) -> T:
    """What ``work`` gives, which is done again as long as others are in its way."""
    async with asyncio.timeout(TIME_LIMIT_S):
        while True:
            try:
                return await work()
            except Contended:
                await asyncio.sleep(0)


async def committed(store: Store, work: Callable[[Transaction], Awaitable[T]]) -> T:
    """What ``work`` gives in a transaction, committed."""

    async def once() -> T:
        async with transacting(store).transaction() as tx:
            return await work(tx)

    return await done(once)


# ------------------------------------------------------------------------------------------------------------- insert


async def test_inserted_rows_come_back_in_the_order_given(scratch: Store) -> None:
    some = [THINGS[place] for place in (5, 0, 30, 2)]
    rows = await scratch.answer(insert(drafts, *some))
    assert same(plain(rows), [row(drafts, thing) for thing in some])
    assert same(await everything(scratch, drafts), sorted(some, key=lambda thing: str(thing["id"])))


@pytest.mark.parametrize("collection", [drafts, badges, words, pins], ids=lambda collection: collection.name)
async def test_what_is_answered_is_what_a_get_answers(scratch: Store, collection: Collection) -> None:
    values: Record = {"id": "a", "number": 7, "town": None, "street": "x", "board_id": "b,1", "thing_id": "t%1", "place": 1}
    given = record("a", data={"b": [1.0, 1]}, tags=["x"], ratio=0.1) if collection is drafts else values
    [answered] = await scratch.answer(insert(collection, given))
    [found] = (await got(scratch, collection, ["t%251,b%2C1" if collection is pins else "a"])).values()
    assert same(tuple(answered), found)


async def test_columns_that_are_not_given_are_null(scratch: Store) -> None:
    needed = [column.name for column in drafts.columns if not column.nullable]
    some = ("note", *reversed(needed))
    full = record("a", note="given")
    [answered] = await scratch.answer(Insert(drafts, some, [[full[name] for name in some]]))
    assert same(tuple(answered), row(drafts, full))
    assert same(await everything(scratch, drafts), [full])


async def test_inserting_nothing(scratch: Store) -> None:
    assert list(await scratch.answer(Insert(drafts, drafts.names, ()))) == []


async def test_many_rows_come_back_in_their_order(scratch: Store) -> None:
    names = [f"{(number * 7_919) % 6_000:04}" for number in range(6_000)]
    rows = await scratch.answer(insert(words, *({"id": name} for name in names)))
    assert [row[0] for row in rows] == names


@pytest.mark.parametrize("place", [0, 1])
async def test_a_taken_key_is_a_conflict_and_nothing_is_inserted(scratch: Store, place: int) -> None:
    await put(scratch, drafts, record("a", note="old"))
    rows = [record("b"), record("c")]
    rows.insert(place, record("a", code="other"))
    with pytest.raises(Conflict) as refused:
        await scratch.answer(insert(drafts, *rows))
    assert refused.value.shown == {
        "message": "Another row of drafts has the same id.",
        "extensions": {"code": "CONFLICT", "store": "tested"},
    }
    assert same(await everything(scratch, drafts), [record("a", note="old")])


async def test_a_taken_unique_value_is_a_conflict(scratch: Store) -> None:
    await put(scratch, drafts, record("a", code="taken"))
    for rows in ([record("b", code="taken")], [record("b", code="new"), record("c", code="new")]):
        with pytest.raises(Conflict, match=r"^Another row of drafts has the same code\.$"):
            await scratch.answer(insert(drafts, *rows))
    await put(scratch, badges, {"id": "a", "number": 1, "town": "here", "street": "x"})
    with pytest.raises(Conflict, match=r"^Another row of badges has the same town, street\.$"):
        await scratch.answer(insert(badges, {"id": "b", "number": 2, "town": "here", "street": "x"}))
    assert await ids(scratch, drafts) == await ids(scratch, badges) == ["a"]


async def test_a_key_twice_in_one_insert_is_a_conflict(scratch: Store) -> None:
    with pytest.raises(Conflict):
        await scratch.answer(insert(words, {"id": "a"}, {"id": "b"}, {"id": "a"}))
    assert await ids(scratch, words) == []


# ----------------------------------------------------------------------------------------------------- update, remove


async def test_an_update_sets_its_columns_and_tells_before_and_after(scratch: Store) -> None:
    old = record("a", note="old", maybe=True, data={"z": 1, "a": 2}, labels=["x"])
    new = {**old, "note": None, "size": 2**40, "data": {"b": [1.5, {}]}, "seen_at": "1969-12-31T23:59:59.999Z"}
    await put(scratch, drafts, old, record("b"))
    values = tuple((name, new[name]) for name in ("size", "note", "data", "seen_at"))
    answer = await scratch.answer(Update(drafts, ("a",), values))
    assert alike(answer, Changed(row(drafts, old), row(drafts, new)))
    assert same(await everything(scratch, drafts), [new, record("b")])


async def test_an_update_of_nothing_tells_the_row(scratch: Store) -> None:
    await put(scratch, drafts, record("a"))
    the_row = row(drafts, record("a"))
    assert alike(await scratch.answer(Update(drafts, ("a",), ())), Changed(the_row, the_row))


async def test_a_missing_row_is_neither_updated_nor_removed(scratch: Store) -> None:
    await put(scratch, drafts, record("a"))
    for missing in ("b", "", "A", "a ", "\U0001f600"):
        assert await scratch.answer(Update(drafts, (missing,), (("size", 1),))) is None
        assert await scratch.answer(Remove(drafts, (missing,))) is None
    assert same(await everything(scratch, drafts), [record("a")])


async def test_a_row_that_the_condition_does_not_hold_for_is_not_there(scratch: Store) -> None:
    await put(scratch, drafts, record("a", size=5))
    for where, is_there in ((Compare("size", "gt", 5), False), (Compare("note", "ne", None), False), (Compare("size", "gte", 5), True)):
        updated = await scratch.answer(Update(drafts, ("a",), (("score", 1),), where=where))
        removed = await scratch.answer(Remove(drafts, ("a",), where=where))
        assert ((updated is not None), (removed is not None)) == (is_there, is_there)
    assert await everything(scratch, drafts) == []


async def test_what_is_not_as_expected_stays_as_it_is(scratch: Store) -> None:
    old = record("a", size=5, note=None, code="x", made_at="2021-01-01T00:00:00.001Z")
    await put(scratch, drafts, old)
    unmet: list[tuple[tuple[str, Value], ...]] = [
        (("size", 4),),
        (("size", None),),
        (("note", ""),),
        (("made_at", "2021-01-01T00:00:00.002Z"),),
        (("size", 5), ("code", "X")),
    ]
    for expected in unmet:
        nothing = Changed(row(drafts, old), None, is_done=False)
        assert alike(await scratch.answer(Update(drafts, ("a",), (("size", 9),), expected=expected)), nothing)
        assert alike(await scratch.answer(Remove(drafts, ("a",), expected=expected)), nothing)
    assert same(await everything(scratch, drafts), [old])


async def test_what_is_as_expected_is_done(scratch: Store) -> None:
    old = record("a", size=5, note=None, code="x", seen_at="2021-01-01T00:00:00.001Z")
    new = {**old, "size": 6}
    await put(scratch, drafts, old)
    expected = (("size", 5), ("note", None), ("code", "x"), ("seen_at", "2021-01-01T00:00:00.001Z"))
    answer = await scratch.answer(Update(drafts, ("a",), (("size", 6),), expected=expected))
    assert alike(answer, Changed(row(drafts, old), row(drafts, new)))
    assert alike(
        await scratch.answer(Remove(drafts, ("a",), expected=(("size", 6),))),
        Changed(row(drafts, new), None),
    )
    assert await everything(scratch, drafts) == []


async def test_an_update_to_a_taken_value_is_a_conflict(scratch: Store) -> None:
    rows = [record("a", code="x"), record("b", code="y")]
    await put(scratch, drafts, *rows)
    with pytest.raises(Conflict, match=r"^Another row of drafts has the same code\.$"):
        await scratch.answer(Update(drafts, ("b",), (("code", "x"), ("size", 1))))
    assert same(await everything(scratch, drafts), rows)


async def test_a_removed_row_is_told_and_can_come_back(scratch: Store) -> None:
    await put(scratch, drafts, record("a", note="old"), record("b"))
    assert alike(await scratch.answer(Remove(drafts, ("a",))), Changed(row(drafts, record("a", note="old")), None))
    assert await scratch.answer(Remove(drafts, ("a",))) is None
    await scratch.answer(insert(drafts, record("a")))
    assert same(await everything(scratch, drafts), [record("a"), record("b")])


async def test_odd_keys_are_changed_one_by_one(scratch: Store) -> None:
    await scratch.answer(insert(words, *({"id": key} for key in ODD_KEYS)))
    for key_ in ODD_KEYS[::3]:
        assert alike(await scratch.answer(Update(words, (key_,), ())), Changed((key_,), (key_,)))
        assert alike(await scratch.answer(Remove(words, (key_,))), Changed((key_,), None))
    assert await ids(scratch, words) == sorted(set(ODD_KEYS) - set(ODD_KEYS[::3]))


async def test_edges_are_changed_by_both_their_ends(scratch: Store) -> None:
    ends = [("b", "t"), ("t", "b"), ("b", "t,%")]
    edges: list[Record] = [{"board_id": board, "thing_id": thing, "place": place} for place, (board, thing) in enumerate(ends)]
    assert same(plain(await scratch.answer(insert(pins, *edges))), [row(pins, edge) for edge in edges])
    with pytest.raises(Conflict):
        await scratch.answer(insert(pins, edges[2]))
    answer = await scratch.answer(Update(pins, ("t,%", "b"), (("place", 9),), expected=(("place", 2),)))
    assert alike(answer, Changed(("b", "t,%", 2), ("b", "t,%", 9)))
    assert await scratch.answer(Update(pins, ("b", "t,%"), (("place", 0),))) is None
    assert alike(await scratch.answer(Remove(pins, ("b", "t"))), Changed(("t", "b", 1), None))
    assert await got(scratch, pins, ["t,b", "b,t", "t%2C%25,b"]) == {"t,b": ("b", "t", 0), "t%2C%25,b": ("b", "t,%", 9)}


# ------------------------------------------------------------------------------------------------------ lock, together


async def test_locked_rows_are_told_by_key(scratch: Store) -> None:
    rows = {name: record(name, size=size) for size, name in enumerate("abc")}
    await put(scratch, drafts, *rows.values())

    async def work(tx: Transaction) -> None:
        found = await tx.answer(Lock(drafts, ["c", "missing", "a"]))
        assert same({name: tuple(found[name]) for name in sorted(found)}, {name: row(drafts, rows[name]) for name in "ac"})
        found = await tx.answer(Lock(drafts, ["a", "b"], where=Compare("size", "gte", 1)))
        assert set(found) == {"b"}
        assert await tx.answer(Lock(drafts, [])) == {}

    await committed(scratch, work)
    assert set(await scratch.answer(Lock(drafts, ["a", "missing"]))) == {"a"}


async def test_rows_of_several_collections_are_inserted_together(scratch: Store) -> None:
    badge: Record = {"id": "a", "number": 1, "town": None, "street": "x"}
    things = [record("b", tags=["x"], data={"a": None}), record("a")]
    few = Insert(badges, ("street", "id", "number"), [("x", "a", 1)])
    await scratch.answer(Together((insert(drafts, *things), few, Insert(words, ("id",), ()), insert(drafts, record("c")))))
    assert same(await everything(scratch, drafts), [things[1], things[0], record("c")])
    assert same(await everything(scratch, badges), [badge])
    assert await ids(scratch, words) == []


async def test_of_rows_that_are_inserted_together_all_are_or_none(scratch: Store) -> None:
    await put(scratch, badges, {"id": "a", "number": 1, "town": None, "street": "x"})
    for place in range(2):
        inserts = [insert(drafts, record("a")), insert(words, {"id": "a"})]
        inserts.insert(place, insert(badges, {"id": "b", "number": 1, "town": None, "street": "x"}))
        with pytest.raises(Conflict, match=r"^Another row of badges has the same number\.$"):
            await scratch.answer(Together(tuple(inserts)))
    assert (await ids(scratch, drafts), await ids(scratch, words), await ids(scratch, badges)) == ([], [], ["a"])


# -------------------------------------------------------------------------------------------------------- every type


def held(types: tuple[str, Store], name: str) -> Store:
    kind, store = types
    assert typed.holds(kind, name), "others are left out when tests are collected"
    return store


@managed_or_not
@values_of
async def test_values_of_every_type(types: tuple[str, Store], name: str, managed: bool) -> None:
    """What is inserted and updated comes back as it was given, and as a Get has it; what is expected is compared as it is."""
    store, collection = held(types, name), (VALUES if managed else THEIR_VALUES)[name]
    samples: list[Value] = [*SAMPLES[name], None]
    rows = list(enumerate(samples))
    assert same(plain(await store.answer(Insert(collection, ("id", "v"), rows))), rows)
    assert same(await got(store, collection, [str(id) for id, _ in rows]), {str(id): (id, value) for id, value in rows})
    for (id, old), new in zip(rows, [*samples[1:], samples[0]], strict=True):
        wrong = Update(collection, (str(id),), (("v", new),), expected=(("v", new),))
        assert alike(await store.answer(wrong), Changed((id, old), None, is_done=False))
        right = Update(collection, (str(id),), (("v", new),), expected=(("v", old),))
        assert alike(await store.answer(right), Changed((id, old), (id, new)))
        assert same(await got(store, collection, [str(id)]), {str(id): (id, new)})
        assert alike(await store.answer(Remove(collection, (str(id),), expected=(("v", new),))), Changed((id, new), None))


@managed_or_not
@keys_of
async def test_keys_of_every_type(types: tuple[str, Store], name: str, managed: bool) -> None:
    store, collection = held(types, name), (KEYED if managed else THEIR_KEYED)[name]
    rows = typed.rows_by_key(name)
    assert same(plain(await store.answer(Insert(collection, collection.names, rows))), rows)
    taken = (rows[0][0], *rows[1][1:])
    with pytest.raises(Conflict, match=rf"^Another row of {collection.name} has the same (key|twin)\.$"):
        await store.answer(Insert(collection, collection.names, [taken]))
    keys = [key(name, row[0]) for row in rows]

    async def work(tx: Transaction) -> None:
        found = await tx.answer(Lock(collection, [*keys, "no such key"]))
        assert same({key: tuple(found[key]) for key in keys}, dict(zip(keys, rows, strict=True)))

    await committed(store, work)
    for text, old in zip(keys, rows, strict=True):
        new = (*old[:3], -1)
        assert alike(await store.answer(Update(collection, (text,), (("n", -1),))), Changed(old, new))
        assert alike(await store.answer(Remove(collection, (text,))), Changed(new, None))
    assert await store.answer(Update(collection, ("no such key",), (("n", 1),))) is None
    assert await store.answer(Remove(collection, (keys[0],))) is None


@lists_of
async def test_lists_of_every_type(types: tuple[str, Store], name: str) -> None:
    store, collection, rows = held(types, name), LISTS[name], typed.rows_of_lists(name)
    assert same(plain(await store.answer(Insert(collection, ("id", "items"), rows))), rows)
    for id, old in rows:
        new = list(reversed(SAMPLES[name]))
        assert alike(await store.answer(Update(collection, (str(id),), (("items", new),))), Changed((id, old), (id, new)))
        assert alike(await store.answer(Remove(collection, (str(id),))), Changed((id, new), None))


async def test_keys_of_several_columns(types: tuple[str, Store]) -> None:
    _, store = types
    assert same(plain(await store.answer(Insert(lines, lines.names, LINES))), LINES)
    keys = [typed.line_key(line) for line in LINES]

    async def work(tx: Transaction) -> None:
        found = await tx.answer(Lock(lines, [*keys, "1,2", "x"]))
        assert same({key: tuple(found[key]) for key in keys}, dict(zip(keys, LINES, strict=True)))

    await committed(store, work)
    with pytest.raises(Conflict, match=r"^Another row of typed_lines has the same order_id, place, label\.$"):
        await store.answer(Insert(lines, lines.names, [LINES[3]]))
    for line in LINES:
        key_ = (str(line[0]), line[1], line[2])
        new = (*line[:4], 99)
        assert alike(await store.answer(Update(lines, key_, (("amount", 99),))), Changed(line, new))
        assert alike(await store.answer(Remove(lines, key_)), Changed(new, None))
    assert await store.answer(Remove(lines, ("no number", LINES[0][1], "a"))) is None


async def test_columns_and_collections_under_other_names(types: tuple[str, Store]) -> None:
    _, store = types
    assert same(plain(await store.answer(Insert(renamed, renamed.names, RENAMED))), RENAMED)
    with pytest.raises(Conflict, match=r"^Another row of renamed has the same title\.$"):
        await store.answer(Insert(renamed, ("title", "id"), [("c", 9)]))
    with pytest.raises(Conflict, match=r"^Another row of renamed has the same id\.$"):
        await store.answer(Insert(renamed, ("title", "id"), [("z", 3)]))
    for old in RENAMED:
        new = (old[0], 7, old[2], "2024-05-05T00:00:00.000Z")
        values = (("made", new[3]), ("owner", 7))
        update = Update(renamed, (str(old[0]),), values, where=Compare("title", "eq", old[2]), expected=(("owner", old[1]),))
        assert alike(await store.answer(update), Changed(old, new))
        assert alike(await store.answer(Remove(renamed, (str(old[0]),))), Changed(new, None))


# -------------------------------------------------------------------------------------------------------- transactions


async def test_the_kinds_have_transactions(scratch: Store) -> None:
    assert await transacting(scratch).can_transact()


async def test_what_a_transaction_did_is_there_when_it_has_ended(scratch: Store) -> None:
    await put(scratch, drafts, record("gone"), record("a", size=1))

    async def work(tx: Transaction) -> None:
        await tx.answer(insert(drafts, record("b")))
        await tx.answer(Update(drafts, ("a",), (("size", 2),)))
        await tx.answer(Remove(drafts, ("gone",)))
        await tx.answer(Together((insert(words, {"id": "w"}), insert(badges, {"id": "x", "street": "s"}))))
        await tx.answer(Upsert(words, [("v",)]))
        await tx.answer(Delete(words, [("w",)]))

    await committed(scratch, work)
    assert same(await everything(scratch, drafts), [record("a", size=2), record("b")])
    assert (await ids(scratch, words), await ids(scratch, badges)) == (["v"], ["x"])


async def test_what_a_transaction_did_is_not_there_when_it_raised(scratch: Store) -> None:
    await put(scratch, drafts, record("kept"), record("a", size=1))

    async def work(tx: Transaction) -> None:
        await tx.answer(insert(drafts, record("b")))
        await tx.answer(Update(drafts, ("a",), (("size", 2),)))
        await tx.answer(Remove(drafts, ("kept",)))
        await tx.answer(Together((insert(words, {"id": "w"}),)))
        await tx.answer(Upsert(words, [("v",)]))
        await tx.answer(Delete(drafts, [("a",)]))
        raise LookupError("of the author's own")

    with pytest.raises(LookupError, match="of the author's own"):
        await committed(scratch, work)
    assert same(await everything(scratch, drafts), [record("a", size=1), record("kept")])
    assert await ids(scratch, words) == []
    await scratch.answer(Update(drafts, ("a",), (("size", 3),)))
    assert (await got(scratch, drafts, ["a"]))["a"] == row(drafts, record("a", size=3))


async def test_a_transaction_of_nothing(scratch: Store) -> None:
    async with transacting(scratch).transaction():
        pass
    assert await everything(scratch, drafts) == []


async def test_reads_inside_see_what_was_written_and_reads_outside_do_not(scratch: Store) -> None:
    await put(scratch, drafts, record("old", parent_id="p", size=1))

    async def work(tx: Transaction) -> None:
        await tx.answer(insert(drafts, record("new", parent_id="p", size=2)))
        await tx.answer(Update(drafts, ("old",), (("size", 7),)))
        get = Get(drafts, ("size",), ["old", "new"])
        assert {key: row[0] for key, row in (await tx.answer(Within(get))).items()} == {"old": 7, "new": 2}
        assert {key: row[0] for key, row in (await scratch.answer(get)).items()} == {"old": 1}
        page = Fetch(drafts, ("id",), Match("parent_id", ["p"]), order=(Order("size"),), page=Page(5), count=True)
        inside, outside = await tx.answer(Within(page)), await scratch.answer(page)
        assert ([row[0] for row in inside["p"].rows], inside["p"].total) == (["new", "old"], 2)
        assert ([row[0] for row in outside["p"].rows], outside["p"].total) == (["old"], 1)
        sizes = Aggregate(drafts, (), (Measure("count"), Measure("sum", "size")))
        assert grouped(await tx.answer(Within(sizes))) == {None: [(2, 9)]}
        assert grouped(await scratch.answer(sizes)) == {None: [(1, 1)]}
        assert {key: row[0] for key, row in (await tx.answer(Lock(drafts, ["new"]))).items()} == {"new": "new"}

    await committed(scratch, work)
    assert await ids(scratch, drafts) == ["new", "old"]


async def test_a_read_within_no_transaction_is_a_read(scratch: Store) -> None:
    await put(scratch, drafts, record("a", size=1))
    assert {key: row[0] for key, row in (await scratch.answer(Within(Get(drafts, ("size",), ["a"])))).items()} == {"a": 1}


async def test_what_is_asked_of_a_transaction_at_once_is_answered_one_by_one(scratch: Store) -> None:
    await put(scratch, drafts, *(record(name, size=size) for size, name in enumerate("abcdef")))

    async def work(tx: Transaction) -> None:
        found = await asyncio.gather(*(tx.answer(Within(Get(drafts, ("size",), [name]))) for name in "abcdef"))
        assert [rows[name][0] for rows, name in zip(found, "abcdef", strict=True)] == list(range(6))

    await committed(scratch, work)


async def test_a_transaction_in_which_something_failed_is_not_committed(scratch: Store) -> None:
    """Whether its author goes on or not: nothing is there, and the error is told again."""
    await put(scratch, drafts, record("a", code="taken"))

    async def work() -> None:
        async with transacting(scratch).transaction() as tx:
            await tx.answer(insert(words, {"id": "w"}))
            with pytest.raises(Conflict):
                await tx.answer(insert(drafts, record("b", code="taken")))
            with pytest.raises(Conflict, match="has the same code"):
                await tx.answer(insert(words, {"id": "v"}))

    with pytest.raises(Conflict, match="has the same code"):
        await work()
    assert (await ids(scratch, words), await ids(scratch, drafts)) == ([], ["a"])
    await scratch.answer(insert(words, {"id": "w"}))


async def test_a_transaction_that_has_ended_answers_nothing(scratch: Store) -> None:
    async with transacting(scratch).transaction() as tx:
        await tx.answer(insert(words, {"id": "w"}))
    with pytest.raises(Exception, match="ended"):
        await tx.answer(insert(words, {"id": "v"}))
    assert await ids(scratch, words) == ["w"]


async def test_a_cancelled_transaction_leaves_nothing(scratch: Store) -> None:
    await put(scratch, drafts, record("a", size=1))
    has_written = asyncio.Event()

    async def work() -> None:
        async with transacting(scratch).transaction() as tx:
            await tx.answer(insert(words, {"id": "w"}))
            await tx.answer(Update(drafts, ("a",), (("size", 2),)))
            has_written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    async with asyncio.timeout(TIME_LIMIT_S):
        await has_written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await done(lambda: scratch.answer(Update(drafts, ("a",), (("score", 5),)))) is not None, "nobody holds the row"
    assert same(await everything(scratch, drafts), [record("a", size=1, score=5)])
    assert await ids(scratch, words) == []


async def test_a_transaction_that_is_cancelled_while_it_waits_for_another_leaves_nothing(scratch: Store) -> None:
    await put(scratch, drafts, record("a", size=1))

    async def other() -> None:
        async with transacting(scratch).transaction() as tx:
            await tx.answer(insert(words, {"id": "w"}))
            await tx.answer(Update(drafts, ("a",), (("score", 1),)))

    async def work(tx: Transaction) -> None:
        await tx.answer(Update(drafts, ("a",), (("size", 2),)))
        task = asyncio.create_task(other())
        for _ in range(20):
            await tx.answer(Within(Get(drafts, ("id",), ["a"])))
        task.cancel()
        with pytest.raises((asyncio.CancelledError, Contended)):
            await task
        await tx.answer(Update(drafts, ("a",), (("note", "mine"),)))

    await committed(scratch, work)
    assert same(await everything(scratch, drafts), [record("a", size=2, note="mine")])
    assert await ids(scratch, words) == []


# ------------------------------------------------------------------------------------------------------------ at once


async def at_once(work: Callable[[], Awaitable[T]]) -> list[T]:
    """What ``AT_ONCE`` tasks give that begin at the same time."""
    barrier = asyncio.Barrier(AT_ONCE)

    async def begin() -> T:
        await barrier.wait()
        return await work()

    return await asyncio.gather(*(begin() for _ in range(AT_ONCE)))


async def test_transactions_at_once_on_one_row_lose_no_update(scratch: Store) -> None:
    """Each sees the row as the one before it left it: what it locked is what it changes."""
    await put(scratch, drafts, record("a", size=0))

    async def count_up(tx: Transaction) -> int:
        size: int = (await tx.answer(Lock(drafts, ["a"])))["a"][drafts.names.index("size")]
        answer = await tx.answer(Update(drafts, ("a",), (("size", size + 1),)))
        assert answer is not None
        assert answer.before[drafts.names.index("size")] == size
        await tx.answer(insert(words, {"id": str(size)}))
        return size

    assert sorted(await at_once(lambda: committed(scratch, count_up))) == list(range(AT_ONCE))
    assert same(await everything(scratch, drafts), [record("a", size=AT_ONCE)])
    assert await ids(scratch, words) == [str(size) for size in range(AT_ONCE)]


async def test_of_updates_at_once_that_expect_the_same_one_is_done(scratch: Store) -> None:
    await put(scratch, drafts, record("a", size=0))
    size = drafts.names.index("size")

    async def update() -> Changed | None:
        return await done(lambda: scratch.answer(Update(drafts, ("a",), (("size", 1),), expected=(("size", 0),))))

    answers = await at_once(update)
    assert sorted((answer.before[size], answer.is_done) for answer in answers if answer is not None) == [
        (0, True),
        *[(1, False)] * (AT_ONCE - 1),
    ]


async def test_of_removes_at_once_one_finds_the_row(scratch: Store) -> None:
    await put(scratch, drafts, record("a"))

    async def remove() -> Changed | None:
        return await done(lambda: scratch.answer(Remove(drafts, ("a",))))

    assert [answer is not None for answer in await at_once(remove)].count(True) == 1


async def test_of_inserts_at_once_of_one_key_one_is_done(scratch: Store) -> None:
    async def work() -> Sequence[Row] | None:
        try:
            return await committed(scratch, lambda tx: tx.answer(insert(words, {"id": "a"})))
        except Conflict:
            return None

    assert [answer is not None for answer in await at_once(work)].count(True) == 1
    assert await ids(scratch, words) == ["a"]


async def test_a_transaction_waits_for_the_other_and_sees_what_that_did(scratch: Store) -> None:
    """The second begins while the first holds the row, and is done after it."""
    await put(scratch, drafts, record("a", size=1))
    told: list[str] = []
    holds, begins = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with transacting(scratch).transaction() as tx:
            await tx.answer(Lock(drafts, ["a"]))
            holds.set()
            await begins.wait()
            for _ in range(10):  # so that the second comes to where it has to wait
                await tx.answer(Within(Get(drafts, ("id",), ["a"])))
            await tx.answer(Update(drafts, ("a",), (("size", 10),)))
            told.append("first")

    async def second(tx: Transaction) -> None:
        [found] = (await tx.answer(Lock(drafts, ["a"]))).values()
        told.append("second")
        await tx.answer(Update(drafts, ("a",), (("score", found[drafts.names.index("size")]),)))

    async def after() -> None:
        await holds.wait()
        begins.set()
        await committed(scratch, second)

    async with asyncio.timeout(TIME_LIMIT_S):
        await asyncio.gather(first(), after())
    assert told[0] == "first"
    assert same(await everything(scratch, drafts), [record("a", size=10, score=10)])
