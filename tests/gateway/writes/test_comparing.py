"""Verify finds every row that differs, repair mends it, and a rebuild goes on beside live writes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from gateway.stores.base import Collection, Delete, Upsert
from gateway.writes import comparing
from gateway.writes.comparing import Comparison, Report, comparison_of
from gateway.writes.declarations import follow_up
from gateway.writes.keeping import Keeping
from gateway.writes.own import Own
from tests.gateway.writes.relays import HOME, World, act, acts, author, authors, book, books, carried, likes, people, wrote
from tests.kinds import kinds

AUTHORS, BOOKS = 40, 60


@pytest.fixture(params=kinds(["memory", "sqlite", "postgresql", "mongodb", "neo4j"]))
async def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """One whose home is loaded, as most rows of a graph are: without versions and a log."""
    monkeypatch.setattr(comparing, "ROWS_PER_PAGE", 16)
    monkeypatch.setattr(comparing, "PAUSE_S", 0.02)
    async with carried("sqlite", request.param) as made:
        own = Own(made.stores)
        await own.ask(Upsert(authors, [tuple(author(f"{n:02}").values()) for n in range(AUTHORS)]))
        await own.ask(Upsert(books, [tuple(book(f"b{n:02}", f"{n % AUTHORS:02}").values()) for n in range(BOOKS)]))
        await own.ask(Upsert(acts, [tuple(act(f"a{n:02}", f"{n % AUTHORS:02}", f"b{n:02}").values()) for n in range(BOOKS)]))
        yield made


def comparison(world: World, target: str) -> Comparison:
    found = comparison_of(world.relay().appliers[target], world.stores)
    assert found is not None
    return found


async def verified(world: World, target: str) -> Report:
    report = Report(target)
    await comparison(world, target).verify(report, lambda _: None)
    return report


async def rebuilt(world: World, *targets: str) -> None:
    for target in targets:
        report = Report(target)
        await comparison(world, target).rebuild(report, lambda _: None)
        assert not report.failures


REPLICAS = ("authors>people", "books>wrote", "acts>likes")


async def test_a_rebuild_from_nothing_gives_what_the_sources_have(world: World) -> None:
    await rebuilt(world, *REPLICAS)

    assert await world.away() == await world.expected()
    for target in REPLICAS:
        report = await verified(world, target)
        assert (report.differences, report.buckets_differing, report.pending) == ([], 0, 0)


async def test_verify_finds_each_corrupted_row_and_repair_mends_all(world: World) -> None:
    """R18: rows that are gone, changed, or should not be there."""
    await rebuilt(world, *REPLICAS)
    own, rng = Own(world.stores), random.Random(5)
    chosen = rng.sample(range(AUTHORS), 9)
    gone, changed, extra = chosen[:3], chosen[3:6], ["x1", "x2"]
    await own.ask(Delete(people, [(f"{n:02}",) for n in gone]))
    await own.ask(Upsert(people, [(f"{n:02}", "somebody else", f"{n}@x.org", None) for n in changed]))
    await own.ask(Upsert(people, [(key, "a stranger", f"{key}@x.org", 1) for key in extra]))
    await own.ask(Upsert(wrote, [("99", "b01"), ("98", "b97")]))  # a second author of one, and a book that is not there
    await own.ask(Delete(wrote, [("b02", "02")]))
    await own.ask(Delete(likes, [("03", "b03"), ("04", "b04")]))

    found = {target: await verified(world, target) for target in REPLICAS}

    kinds_of = {(d.key, d.kind) for d in found["authors>people"].differences}
    assert kinds_of == {
        *((f"{n:02}", "missing") for n in gone),
        *((f"{n:02}", "different") for n in changed),
        *((key, "extra") for key in extra),
    }
    assert {(d.key, d.kind) for d in found["books>wrote"].differences} == {("b01", "extra"), ("b97", "extra"), ("b02", "missing")}
    assert {(d.key, d.kind) for d in found["acts>likes"].differences} == {("a03", "missing"), ("a04", "missing")}

    for target, report in found.items():
        await comparison(world, target).mend([difference.key for difference in report.differences], report)
        assert not report.failures
    assert await world.away() == await world.expected()
    assert [(await verified(world, target)).differences for target in REPLICAS] == [[], [], []]


async def _act(number: int, tx: Any) -> None:
    key = f"{number % AUTHORS:02}"
    if number % 5 == 4:
        await tx.delete(books, f"b{number % BOOKS:02}")
    elif number % 5 == 3:
        await tx.insert(authors, author(f"n{number}"))
    elif number % 5 == 2:
        await tx.insert(books, book(f"n{number}", key))
    else:
        await tx.update(authors, key, {"name": f"renamed {number}"})


async def test_a_rebuild_while_writing_leaves_the_target_equal(world: World) -> None:
    """R17: the target is empty at first; a relay carries what is written meanwhile."""

    async def write() -> None:
        for number in range(60):
            await world.write(partial(_act, number))

    relay = world.relay(poll_s=0.02)
    async with relay.running():
        await asyncio.gather(write(), *(rebuilt(world, target) for target in ("authors>people", "books>wrote")))
    await world.drain()

    expected = await world.expected()
    assert await world.rows(people) == expected["people"]
    assert await world.rows(wrote) == expected["wrote"]
    assert (await verified(world, "authors>people")).differences == []


async def test_what_is_on_its_way_is_told_apart_from_what_differs(world: World) -> None:
    await rebuilt(world, "authors>people")
    await world.write(lambda tx: tx.update(authors, "01", {"name": "new"}))
    await Own(world.stores).ask(Delete(people, [("02",)]))

    report = await verified(world, "authors>people")

    assert [(d.key, d.kind) for d in report.differences] == [("02", "missing")]
    assert report.pending == 1


async def test_a_repair_never_undoes_a_newer_state(world: World) -> None:
    """What it read is older than what was delivered meanwhile."""
    await world.write(lambda tx: tx.update(authors, "01", {"name": "first"}))
    await world.drain()
    applier = world.relay().appliers["authors>people"]
    compared: Any = comparison_of(applier, world.stores)
    stale = await compared._items(["01"])
    await world.write(lambda tx: tx.update(authors, "01", {"name": "second"}))
    await world.drain()

    await applier.force(stale)  # type: ignore[attr-defined]

    assert [row[1] for row in await world.rows(people) if row[0] == "01"] == ["second"]


async def test_what_a_cascade_left_is_found_and_deleted(world: World) -> None:
    await rebuilt(world, *REPLICAS)
    left = [tuple(book(f"b{n}", "05").values()) for n in ("05", "45")]
    await world.write(lambda tx: tx.delete(authors, "05"))
    await world.drain()
    assert (await verified(world, "authors>books.author_id")).differences == []
    await Own(world.stores).ask(Upsert(books, left))  # as if the cascade had not come so far

    report = await verified(world, "authors>books.author_id")
    assert [(d.key, d.kind) for d in report.differences] == [("05", "extra")]

    await comparison(world, "authors>books.author_id").mend(["05"], report)
    await world.drain()
    assert (await verified(world, "authors>books.author_id")).differences == []
    assert "05" not in {state["author_id"] for state in await world.states(books)}


async def test_what_came_after_a_deletion_is_no_difference(world: World) -> None:
    """A like of an author who is gone stands, as its act does."""
    await rebuilt(world, *REPLICAS)
    await world.write(lambda tx: tx.delete(authors, "05"))
    await world.drain()
    await world.write(lambda tx: tx.insert(acts, act("late", "05", "b01")))
    await world.drain()

    for target in ("authors>likes.author_id", "authors>acts.author_id", "acts>likes"):
        assert (await verified(world, target)).differences == []
    await comparison(world, "authors>likes.author_id").rebuild(Report("authors>likes.author_id"), lambda _: None)
    assert ("05", "b01") in [(row["author_id"], row["book_id"]) for row in await world.states(likes)]


async def test_a_restored_source_with_a_raised_epoch_is_followed_again() -> None:
    """R19: versions have gone back; after the epoch is raised and a rebuild, targets have what the source has."""

    async with carried("sqlite", "memory") as world:
        await world.write(lambda tx: tx.insert(authors, author("1")))
        backup = {c.name: await world.rows(c) for c in (*HOME, world.tables.versions, world.tables.outbox)}
        for name in ("a", "b"):
            await world.write(partial(_rename, name))
        await world.drain()
        own = Own(world.stores)
        tables: tuple[Collection, ...] = (authors, world.tables.versions)
        for collection in tables:  # the restore
            await own.ask(Upsert(collection, backup[collection.name]))
        outbox = world.tables.outbox
        await own.ask(Delete(outbox, [(row[0],) for row in await world.rows(outbox)]))
        await own.ask(Upsert(outbox, backup[outbox.name]))
        world.replication._epochs.clear()
        await Keeping(world.stores, "home").raise_epoch()

        await rebuilt(world, "authors>people")
        assert [row[1] for row in await world.rows(people)] == ["author 1"]
        await world.write(partial(_rename, "after"))
        await world.drain()
        assert [row[1] for row in await world.rows(people)] == ["after"]


async def _rename(name: str, tx: Any) -> None:
    await tx.update(authors, "1", {"name": name})


async def test_a_follow_up_is_nothing_to_compare() -> None:
    async def run(ctx: Any, state: Any, payload: Any) -> None: ...

    async with carried("memory", "memory", [follow_up(authors, name="greet", run=run)]) as world:
        assert comparison_of(world.relay().appliers["greet"], world.stores) is None
