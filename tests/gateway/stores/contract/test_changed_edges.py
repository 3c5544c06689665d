"""Edges that are changed one by one, also by two at once: in Neo4j, where they are relationships, and wherever else they are rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from gateway.errors import Conflict
from gateway.stores.base import (
    Changed,
    Collection,
    Compare,
    Delete,
    Fetch,
    Insert,
    Lock,
    Match,
    Remove,
    Store,
    Together,
    Transaction,
    Update,
    Upsert,
    Within,
)
from tests.gateway.stores.contract.oracle import everything, ids, plain, put, same
from tests.gateway.stores.contract.test_changes import AT_ONCE, TIME_LIMIT_S, alike, at_once, committed, done, insert, row, transacting
from tests.gateway.stores.contract.world import Record, drafts, fans, record, rides, words


def ride(id: str, start: str, end: str, **values: Any) -> Record:
    return {"id": id, "from_id": start, "to_id": end, "at": None, "price": None, **values}


def fan(who: str, whom: str, since: int | None = None) -> Record:
    return {"who": who, "whom": whom, "since": since}


async def of(store: Store, collection: Collection, column: str, *ends: str) -> dict[Any, list[str]]:
    """The first column of the edges that have these ends in a column: they are found from there, too."""
    slices = await store.answer(Fetch(collection, (collection.names[0],), Match(column, list(ends))))
    return {parent: [found[0] for found in slices[parent].rows] for parent in sorted(slices, key=str)}


# ------------------------------------------------------------------------------------------------ with a key of their own


async def test_edges_with_keys_of_their_own_are_inserted_between_any_two_ends(scratch: Store) -> None:
    edges = [ride("3", "a", "b", price="1.50"), ride("1", "a", "b", at="2024-02-29T00:00:00.001Z"), ride("2", "b", "b")]
    assert same(plain(await scratch.answer(insert(rides, *edges))), [row(rides, edge) for edge in edges])
    assert same(await everything(scratch, rides), [edges[1], edges[2], edges[0]])
    assert await of(scratch, rides, "to_id", "a", "b") == {"b": ["1", "2", "3"]}


async def test_a_taken_key_of_an_edge_is_a_conflict_and_nothing_is_inserted(scratch: Store) -> None:
    await put(scratch, rides, ride("1", "a", "b"))
    for edges in ([ride("0", "a", "b"), ride("1", "c", "d")], [ride("2", "a", "b"), ride("2", "a", "c")]):
        with pytest.raises(Conflict, match=r"^Another row of rides has the same id\.$"):
            await scratch.answer(insert(rides, *edges))
    assert same(await everything(scratch, rides), [ride("1", "a", "b")])


async def test_an_edge_is_updated_and_removed_by_its_own_key(scratch: Store) -> None:
    old, other = ride("1", "a", "b", price="1.50"), ride("2", "a", "b")
    await put(scratch, rides, old, other)
    new = old | {"price": None, "at": "2024-02-29T00:00:00.001Z"}
    update = Update(rides, ("1",), (("price", None), ("at", new["at"])), Compare("from_id", "eq", "a"), (("to_id", "b"), ("price", "1.50")))
    assert alike(await scratch.answer(update), Changed(row(rides, old), row(rides, new)))
    assert alike(await scratch.answer(update), Changed(row(rides, new), None, is_done=False))
    assert await scratch.answer(Remove(rides, ("1",), where=Compare("to_id", "ne", "b"))) is None
    assert alike(await scratch.answer(Remove(rides, ("1",))), Changed(row(rides, new), None))
    assert same(await everything(scratch, rides), [other])


async def test_an_edge_may_get_other_ends(scratch: Store) -> None:
    old, other = ride("1", "a", "b", price="1.50", at="2024-02-29T00:00:00.001Z"), ride("2", "a", "b")
    await put(scratch, rides, old, other)
    for ends in ({"to_id": "new"}, {"from_id": "new"}, {"from_id": "b", "to_id": "a"}, {"to_id": "a"}):
        new = old | ends | {"price": "2.00"}
        answer = await scratch.answer(Update(rides, ("1",), (*ends.items(), ("price", "2.00"))))
        assert alike(answer, Changed(row(rides, old), row(rides, new)))
        old = new
    assert same(await everything(scratch, rides), [old, other])
    assert await of(scratch, rides, "from_id", "a", "b", "new") == {"a": ["2"], "b": ["1"]}
    refused = Update(rides, ("1",), (("to_id", "c"),), expected=(("from_id", "a"),))
    assert alike(await scratch.answer(refused), Changed(row(rides, old), None, is_done=False))
    assert await of(scratch, rides, "to_id", "a", "c") == {"a": ["1"]}


async def test_an_edge_is_locked_and_read_in_a_transaction(scratch: Store) -> None:
    await put(scratch, fans, fan("a", "b", 1), fan("b", "a", 2))

    async def work(tx: Transaction) -> None:
        found = await tx.answer(Lock(fans, ["b,a", "a,a", "a,b"]))
        assert {key: tuple(found[key]) for key in sorted(found)} == {"a,b": ("a", "b", 1), "b,a": ("b", "a", 2)}
        assert list(await tx.answer(Lock(fans, ["b,a", "a,b"], where=Compare("since", "gt", 1)))) == ["b,a"]
        await tx.answer(insert(fans, fan("a", "c")))
        slices = await tx.answer(Within(Fetch(fans, ("whom",), Match("who", ["a"]))))
        assert [found[0] for found in slices["a"].rows] == ["b", "c"]

    await committed(scratch, work)


async def test_edges_are_inserted_together_with_rows(scratch: Store) -> None:
    inserts = (insert(words, {"id": "w"}), insert(fans, fan("a", "b"), fan("b", "a")), insert(rides, ride("1", "a", "b")))
    await scratch.answer(Together(inserts))
    assert (await ids(scratch, words), await ids(scratch, rides)) == (["w"], ["1"])
    with pytest.raises(Conflict, match=r"^Another row of fans has the same who, whom\.$"):
        await scratch.answer(Together((insert(words, {"id": "v"}), insert(fans, fan("c", "a"), fan("a", "b")))))
    assert await ids(scratch, words) == ["w"]
    assert same(await everything(scratch, fans), [fan("a", "b"), fan("b", "a")])


async def test_an_edge_that_is_not_committed_is_not_there(scratch: Store) -> None:
    await put(scratch, fans, fan("a", "b", 1))

    async def work(tx: Transaction) -> None:
        await tx.answer(insert(fans, fan("a", "c")))
        await tx.answer(Update(fans, ("a", "b"), (("since", 2),)))
        await tx.answer(Upsert(fans, [("b", "c", 3)]))
        await tx.answer(Delete(fans, [("a", "b")]))
        raise LookupError("of the author's own")

    with pytest.raises(LookupError, match="of the author's own"):
        await committed(scratch, work)
    assert same(await everything(scratch, fans), [fan("a", "b", 1)])


# --------------------------------------------------------------------------------------------------------------- at once


async def refused_or(work: Callable[[], Awaitable[Sequence[Any] | None]]) -> bool:
    """Whether it was done; a Conflict that is no Contended says that it was not."""
    try:
        return await done(work) is not None
    except Conflict:
        return False


async def test_of_inserts_at_once_of_one_edge_one_is_done(scratch: Store) -> None:
    """Its ends are new, too."""
    one = insert(fans, fan("a", "b"))
    answers = await at_once(lambda: refused_or(lambda: committed(scratch, lambda tx: tx.answer(one))))
    assert answers.count(True) == 1
    assert same(await everything(scratch, fans), [fan("a", "b")])


async def test_of_inserts_at_once_of_one_edge_between_nodes_that_are_there_one_is_done(scratch: Store) -> None:
    await put(scratch, fans, fan("a", "a"), fan("b", "b"))
    answers = await at_once(lambda: refused_or(lambda: scratch.answer(insert(fans, fan("a", "b"), fan("b", "a")))))
    assert answers.count(True) == 1
    assert same(await everything(scratch, fans), [fan("a", "a"), fan("a", "b"), fan("b", "a"), fan("b", "b")])


async def test_edges_both_ways_at_once_are_all_done(scratch: Store) -> None:
    names = [f"f{number}" for number in range(AT_ONCE)]
    pairs = iter([[fan(one, other)] for one in names[:3] for other in names[:3] if one != other])

    async def work() -> Sequence[Any]:
        mine = next(pairs)
        return await committed(scratch, lambda tx: tx.answer(insert(fans, *mine)))

    assert len(await at_once(work)) == AT_ONCE
    assert len(await everything(scratch, fans)) == AT_ONCE


async def test_of_removes_at_once_of_one_edge_one_finds_it(scratch: Store) -> None:
    await put(scratch, fans, fan("a", "b"), fan("b", "a"))
    answers = await at_once(lambda: done(lambda: scratch.answer(Remove(fans, ("a", "b")))))
    assert [answer is not None for answer in answers].count(True) == 1
    assert same(await everything(scratch, fans), [fan("b", "a")])


async def test_updates_at_once_of_one_edge_lose_none(scratch: Store) -> None:
    await put(scratch, fans, fan("a", "b", 0))

    async def count_up(tx: Transaction) -> int:
        since: int = (await tx.answer(Lock(fans, ["a,b"])))["a,b"][2]
        await tx.answer(Update(fans, ("a", "b"), (("since", since + 1),)))
        return since

    assert sorted(await at_once(lambda: committed(scratch, count_up))) == list(range(AT_ONCE))
    assert same(await everything(scratch, fans), [fan("a", "b", AT_ONCE)])


def _of_a_row(change: str) -> tuple[Any, Any, Insert]:
    key, values = ("a",), (("size", 5),)
    return (Update(drafts, key, values) if change == "update" else Remove(drafts, key)), drafts, insert(drafts, record("a", size=1))


def _of_an_edge(change: str) -> tuple[Any, Any, Insert]:
    key, values = ("a", "b"), (("since", 5),)
    return (Update(fans, key, values) if change == "update" else Remove(fans, key)), fans, insert(fans, fan("a", "b", 1))


@pytest.mark.parametrize("made", [_of_a_row, _of_an_edge], ids=["row", "edge"])
@pytest.mark.parametrize(("first", "second"), [("remove", "update"), ("update", "remove"), ("update", "update"), ("remove", "remove")])
async def test_what_one_changes_the_other_finds_as_it_was_left(scratch: Store, made: Any, first: str, second: str) -> None:
    """The second comes while the first is not done: it waits, or is given up and comes again, and then sees what the first did."""
    change, collection, there = made(first)
    after = made(second)[0]
    [old] = await scratch.answer(there)
    comes = asyncio.Event()

    async def come_second() -> Changed | None:
        comes.set()
        answer: Changed | None = await committed(scratch, lambda tx: tx.answer(after))
        return answer

    async with asyncio.timeout(TIME_LIMIT_S):
        async with transacting(scratch).transaction() as tx:
            left: Changed = await tx.answer(change)
            assert same(list(left.before), list(old))
            task = asyncio.create_task(come_second())
            await comes.wait()
            for _ in range(10):  # so that the second comes to where it has to wait
                await tx.answer(Within(Fetch(collection, collection.names)))
            assert not task.done()
        answer = await task
    if left.after is None:
        assert answer is None
    else:
        assert answer is not None
        assert same(list(answer.before), list(left.after))
        assert same(
            await everything(scratch, collection), [] if answer.after is None else [dict(zip(collection.names, answer.after, strict=True))]
        )
