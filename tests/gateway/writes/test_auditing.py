"""Reading the audit: by who, what and when, newest first, in every kind of store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from gateway.errors import NotFound
from gateway.stores import Stores
from gateway.writes import auditing
from gateway.writes.auditing import Asked, entries
from gateway.writes.running import run
from gateway.writes.times import moment_of
from gateway.writes.transaction import Transaction
from tests.gateway.writes.relays import author, authors, carried, to_people
from tests.gateway.writes.world import ADA, BOB, LETTERS, PEOPLE, contents, context, transacting

Told = tuple[str, str | None, str | None, str]


def told(found: Sequence[auditing.Entry]) -> list[Told]:
    return [(entry.subject, entry.noun, entry.key, entry.action) for entry in found]


@pytest_asyncio.fixture(loop_scope="session")
async def audited(home: Stores) -> list[auditing.Entry]:
    """What is in the audit after two users have written, and one was refused; newest first."""
    ctx = context(home)

    async def refused(tx: Transaction) -> None:
        await tx.update(PEOPLE, "bob", {"name": "x"})
        raise NotFound("There is no person 'eve'.")

    async with ctx.transaction("home", field="createPerson") as tx:
        await tx.insert(PEOPLE, ADA)
    other = context(home, values={"subject": "other"})
    async with other.transaction("home", field="createPerson") as tx:
        await tx.insert(PEOPLE, BOB)
        await tx.insert(LETTERS, {"id": "ada", "person_id": "bob", "text": "Dear Ada"})
    async with ctx.transaction("home", field="renamePerson") as tx:
        await tx.update(PEOPLE, "ada", {"name": "Countess"})
    with pytest.raises(NotFound):
        await run(other, "home", "renamePerson", refused)
    async with ctx.transaction("home", field="deletePerson") as tx:
        await tx.delete(PEOPLE, "ada")
    return await entries(home, ["home"], Asked(), 100)


async def test_all_is_told_newest_first(audited: list[auditing.Entry]) -> None:
    assert told(audited) == [
        ("tester", "people", "ada", "delete"),
        ("other", "people", "bob", "refused"),
        ("tester", "people", "ada", "update"),
        ("other", "letters", "ada", "insert"),
        ("other", "people", "bob", "insert"),
        ("tester", "people", "ada", "insert"),
    ]
    deleted, refused, updated, *_, inserted = audited
    assert (deleted.before, deleted.after, deleted.version) == ({**ADA, "name": "Countess"}, None, 3)
    assert refused.error == {"message": "There is no person 'eve'.", "code": "NOT_FOUND"}
    assert (updated.before, updated.after, updated.field) == (ADA, {**ADA, "name": "Countess"}, "renamePerson")
    assert (inserted.before, inserted.after, inserted.request_id, inserted.store) == (None, ADA, "request-1", "home")


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        ({"subject": "tester"}, [0, 2, 5]),
        ({"noun": "people"}, [0, 1, 2, 4, 5]),
        ({"noun": "people", "key": "ada"}, [0, 2, 5]),
        ({"noun": "letters", "key": "ada"}, [3]),
        ({"subject": "other", "noun": "people", "key": "bob"}, [1, 4]),
        ({"subject": "nobody"}, []),
    ],
)
async def test_by_user_and_noun(home: Stores, audited: list[auditing.Entry], asked: dict[str, Any], places: list[int]) -> None:
    assert await entries(home, ["home"], Asked(**asked), 100) == [audited[place] for place in places]


async def test_by_time(home: Stores, audited: list[auditing.Entry]) -> None:
    newest, oldest = moment_of(audited[0].at), moment_of(audited[-1].at)
    assert await entries(home, ["home"], Asked(since=newest + timedelta(seconds=1)), 100) == []
    assert await entries(home, ["home"], Asked(until=oldest), 100) == []
    assert await entries(home, ["home"], Asked(since=oldest, until=newest + timedelta(seconds=1)), 100) == audited
    middle = moment_of(audited[2].at)
    assert await entries(home, ["home"], Asked(since=middle), 100) == [entry for entry in audited if moment_of(entry.at) >= middle]
    assert await entries(home, ["home"], Asked(until=middle), 100) == [entry for entry in audited if moment_of(entry.at) < middle]


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
async def test_the_newest_so_many_page_by_page(
    home: Stores, audited: list[auditing.Entry], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "ROWS_PER_PAGE", 2)
    assert await entries(home, ["home"], Asked(), limit) == audited[:limit]


async def test_what_is_rolled_back_is_not_in_it_and_what_is_refused_is(home: Stores) -> None:
    """R24: a write and its row are one commit; a refusal has one of its own, after the rollback."""

    async def work(tx: Transaction) -> None:
        await tx.insert(PEOPLE, ADA)
        raise NotFound("There is no such thing.")

    with pytest.raises(NotFound):
        await run(context(home), "home", "createPerson", work)
    found = await contents(home)
    assert (found["people"], found["crossgraph_outbox"]) == ([], [])
    assert told(await entries(home, ["home"], Asked(), 10)) == [("tester", "people", "ada", "refused")]


@pytest.mark.parametrize("kind", transacting())
async def test_an_audit_in_a_store_of_its_own_has_writes_and_refusals_of_all_others(kind: str) -> None:
    async def refused(tx: Transaction) -> None:
        await tx.update(authors, "1", {"name": "x"})
        raise NotFound("There is no such thing.")

    async with carried("sqlite", kind, [to_people], audit="away") as world:
        await world.write(lambda tx: tx.insert(authors, author("1")))
        with pytest.raises(NotFound):
            await run(world.context(), "home", "renameAuthor", refused)
        assert await entries(world.stores, ["home", "away"], Asked(), 10) == []  # on its way
        await world.drain()
        await world.drain()  # what comes twice is one row

        found = await entries(world.stores, ["home", "away"], Asked(), 10)
        assert told(found) == [("tester", "authors", "1", "refused"), ("tester", "authors", "1", "insert")]
        assert [entry.store for entry in found] == ["away", "away"]
        assert (found[0].error, found[1].after) == ({"message": "There is no such thing.", "code": "NOT_FOUND"}, author("1"))
