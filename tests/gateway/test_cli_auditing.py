"""``gateway audit``: what it prints, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import Result

from gateway.cli.reading import read
from gateway.context import RequestContext
from gateway.errors import ConfigError, NotFound
from gateway.preparing import opened
from gateway.relaying import relay_of
from gateway.writes.running import run as run_mutation
from gateway.writes.transaction import Transaction
from resolvers.posts import posts
from resolvers.users import users
from tests.commands import invoked as run
from tests.resolvers.test_replication import post_of, user_of

_data: list[Path] = []  # the folder with the stores' files, migrated: to make them takes 0.3 s


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in os.environ:
        if name.startswith("GATEWAY_") or name in ("DATABASE_URL", "MONGO_URL", "NEO4J_URL"):
            monkeypatch.delenv(name)
    if not _data:
        _data.append(tmp_path_factory.mktemp("migrated") / "data")
        monkeypatch.chdir(_data[0].parent)
        assert run("migrate").exit_code == 0
    shutil.copytree(_data[0], tmp_path / "data")
    monkeypatch.chdir(tmp_path)


async def _write() -> None:
    """Write into two stores, as two subjects; one of them is refused afterwards."""

    async def refused(tx: Transaction) -> None:
        await tx.update(users, "1", {"name": "x"})
        raise NotFound("There is no User\n'2'.")

    graph, settings = read(None)
    async with opened(settings, graph) as stores:
        ada = RequestContext(stores, "request-1", replication=graph.writes, values={"subject": "ada"})
        async with ada.transaction("users", field="createUser") as tx:
            await tx.insert(users, user_of("1"))
        bob = RequestContext(stores, "request-2", replication=graph.writes, values={"subject": "bob"})
        async with bob.transaction("posts", field="createPost") as tx:
            await tx.insert(posts, post_of("p", "1"))
        async with ada.transaction("users", field="updateUser") as tx:
            await tx.update(users, "1", {"name": "Ada\x1b[2J"})
        with pytest.raises(NotFound):
            await run_mutation(bob, "users", "updateUser", refused)


def table(result: Result) -> list[str]:
    """The lines without their times, and without what aligns them."""
    assert result.exit_code == 0
    return [" ".join(line.split()[1:]) for line in result.output.splitlines()]


def test_the_table_has_who_what_and_the_changes_newest_first_over_all_stores() -> None:
    asyncio.run(_write())
    head, *lines = table(run("audit"))

    assert head == "USER FIELD ACTION WHAT VERSION CHANGES"
    assert lines[0].startswith("bob updateUser refused users 1 - NOT_FOUND: There is no User\\n'2'.")
    assert lines[1].startswith('ada updateUser update users 1 2 name: "')
    assert lines[1].endswith(r'-> "Ada\u001b[2J"')
    assert lines[2].startswith('bob createPost insert posts p 1 id: "p", author_id: "1", ')
    assert lines[3].startswith('ada createUser insert users 1 1 id: "1", ')
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--user", "ada"), ["update", "insert"]),
        (("--noun", "posts"), ["insert"]),
        (("--noun", "Post"), ["insert"]),
        (("--noun", "users", "--key", "1"), ["refused", "update", "insert"]),
        (("--noun", "users", "--key", "1", "--user", "bob"), ["refused"]),
        (("--since", "1h"), ["refused", "update", "insert", "insert"]),
        (("--until", "1h"), []),
        (("--since", "2100-01-01"), []),
        (("--limit", "1"), ["refused"]),
    ],
)
def test_it_is_asked_by_user_noun_and_time(arguments: Sequence[str], expected: list[str]) -> None:
    asyncio.run(_write())
    assert [entry["action"] for entry in json.loads(run("audit", "--json", *arguments).output)] == expected


def test_json_has_the_rows_before_and_after() -> None:
    asyncio.run(_write())
    _, updated, inserted, _ = json.loads(run("audit", "--json").output)

    assert (updated["store"], updated["requestId"], updated["before"]["name"], updated["after"]["name"], updated["version"]) == (
        "users",
        "request-1",
        user_of("1")["name"],
        "Ada\x1b[2J",
        2,
    )
    assert (inserted["store"], inserted["before"], inserted["after"]) == ("posts", None, post_of("p", "1"))


def test_what_is_not_there_is_told() -> None:
    assert run("audit").output == "Nothing of that is in the audit.\n"
    told = run("audit", "--noun", "userz")
    assert told.exit_code == 0
    assert "--noun userz: no managed collection of the example, which has " in told.output


def test_more_than_the_limit_is_told() -> None:
    asyncio.run(_write())
    assert run("audit", "--limit", "2").output.endswith("The newest 2; --limit has more, where there are more.\n")


def test_the_settings_may_name_a_store_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_AUDIT", "trail")
    assert run("migrate").exit_code == 0
    asyncio.run(_write())
    assert run("audit").output == "Nothing of that is in the audit.\n"  # it is on its way

    async def carry() -> None:
        graph, settings = read(None)
        async with opened(settings, graph) as stores:
            await relay_of(stores, graph).drain()

    asyncio.run(carry())
    found = json.loads(run("audit", "--json").output)
    assert [(entry["store"], entry["action"]) for entry in found] == [
        ("trail", "refused"),
        ("trail", "update"),
        ("trail", "insert"),
        ("trail", "insert"),
    ]


def test_a_store_of_the_settings_has_a_name_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_AUDIT", "USERS")
    error = run("audit").exception
    assert isinstance(error, ConfigError)
    assert error.message.startswith("GATEWAY_AUDIT = 'USERS': expected names of stores that differ in more than case and - or _; got ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--key", "1"), "--key 1: expected --noun with it, which says of what it is the key"),
        (("--since", "soon"), "--since soon: expected a time such as 2026-01-31T12:00:00Z, or an age such as 6h"),
        (("--until", "99999999d"), "--until 99999999d: expected an age that does not lead before the year 1"),
        (("--until", f"{10**18}d"), f"--until {10**18}d: expected an age of less than a million years"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(arguments: Sequence[str], told: str) -> None:
    error = run("audit", *arguments).exception
    assert isinstance(error, ConfigError)
    assert error.message == told
