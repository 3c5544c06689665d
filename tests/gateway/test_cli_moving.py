"""``gateway move``: what it says, what it refuses, and what is there afterwards."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from gateway.cli.reading import read
from gateway.context import RequestContext
from gateway.errors import GatewayError
from gateway.preparing import opened
from gateway.stores.base import Get
from gateway.writes import moving
from gateway.writes.running import run as run_mutation
from resolvers.users import users
from tests.commands import invoked as run
from tests.gateway.test_cli_syncing import go
from tests.resolvers.test_replication import user_of

Work = Callable[[RequestContext], Awaitable[Any]]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stores of the example and a candidate, migrated."""
    folder = tmp_path_factory.mktemp("migrated")
    with pytest.MonkeyPatch.context() as patch:
        go(folder, patch)
        name_a_candidate(folder)
        assert run("migrate").exit_code == 0
    return folder


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated: Path) -> None:
    shutil.copytree(migrated, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(moving, "FENCED_S", 0.0)  # no process writes here that knows of no candidate
    go(tmp_path, monkeypatch)
    name_a_candidate(tmp_path)


def name_a_candidate(folder: Path) -> None:
    (folder / "gateway.toml").write_text(f'[stores.users]\ncandidate = "sqlite:///{folder}/there.db"\n')


def said(result: Result) -> str:
    """What it printed, or the one line that it ends with."""
    return result.exception.message if isinstance(result.exception, GatewayError) else result.output


def write(*keys: str) -> None:
    async def work(ctx: RequestContext) -> None:
        async with ctx.transaction("users") as tx:
            for key in keys:
                await tx.insert(users, user_of(key))

    with_stores(work)


def with_stores(work: Work, **options: Any) -> Any:
    async def begin() -> Any:
        graph, settings = read(None)
        async with opened(settings, graph) as stores:
            return await work(RequestContext(stores, "test", replication=graph.writes, **options))

    return asyncio.run(begin())


def rows(file: str, statement: str) -> list[Any]:
    with sqlite3.connect(file) as connection:
        found = connection.execute(statement).fetchall()
    connection.close()
    return found


HERE, THERE = "data/users.db", "there.db"
KEYS = "SELECT id FROM users ORDER BY id"


def test_a_noun_is_copied_and_switched_and_written_where_it_is_then() -> None:
    write("1", "2")
    result = run("move", "users")
    assert result.exit_code == 0, said(result)
    assert result.output.splitlines()[-4:] == [
        "users: copied",
        "users: the candidate has the same",
        "users: switching; its writes wait",
        "users: it is at home there now. gateway move users --back takes it back, for as long as the settings name both",
    ]
    write("3")
    assert rows(HERE, KEYS) == [("1",), ("2",)]
    assert rows(THERE, KEYS) == [("1",), ("2",), ("3",)]
    assert rows(THERE, "SELECT key, version FROM crossgraph_versions ORDER BY key") == [("1", 1), ("2", 1), ("3", 1)]


def test_what_was_moved_is_taken_back_with_what_was_written_meanwhile() -> None:
    write("1")
    assert run("move", "users").exit_code == 0
    write("2")
    result = run("move", "users", "--back")
    assert result.exit_code == 0, said(result)
    write("3")
    assert rows(HERE, KEYS) == [("1",), ("2",), ("3",)]
    assert rows(THERE, KEYS) == [("1",), ("2",)]
    again = run("move", "users")
    assert again.exit_code == 0, said(again)
    assert rows(THERE, KEYS) == [("1",), ("2",), ("3",)]


def test_the_log_goes_on_at_its_positions_and_what_targets_have_yet_to_hear_is_carried() -> None:
    write("1", "2")
    assert run("sync", "prune").exit_code == 0  # gives positions
    assert run("move", "users").exit_code == 0
    write("3")
    assert run("sync", "prune").exit_code == 0
    log = "SELECT key, version, position FROM crossgraph_outbox ORDER BY position"
    assert rows(THERE, log) == [("1", 1, 1), ("2", 1, 2), ("3", 1, 3)]
    waiting = "SELECT key, target FROM crossgraph_deliveries ORDER BY key"
    assert rows(THERE, waiting) == [(key, "users>members") for key in ("1", "2", "3")]
    assert rows(HERE, waiting) == []


def test_a_row_that_was_deleted_goes_on_counting_where_it_is_made_again() -> None:
    async def delete(ctx: RequestContext) -> None:
        async with ctx.transaction("users") as tx:
            await tx.delete(users, "1")

    write("1")
    with_stores(delete)
    assert run("move", "users").exit_code == 0
    write("1")
    assert rows(THERE, "SELECT version, is_deleted FROM crossgraph_versions") == [(3, 0)]


def test_an_idempotency_key_is_known_on_the_other_side() -> None:
    async def create(ctx: RequestContext) -> bool:
        async def work(tx: Any) -> None:
            await tx.insert(users, user_of("1"))

        return (await run_mutation(ctx, "users", "createUser", work)).is_repeated

    assert with_stores(create, idempotency_key="k") is False
    assert run("move", "users").exit_code == 0
    assert with_stores(create, idempotency_key="k") is True


def test_a_process_without_the_candidate_in_its_settings_writes_nothing_into_what_was_left() -> None:
    write("1")
    assert run("move", "users").exit_code == 0
    Path("gateway.toml").unlink()
    with pytest.raises(GatewayError, match="The store 'users' is unavailable"):
        write("2")
    assert rows(HERE, KEYS) == [("1",)]


def test_commands_ask_the_database_where_it_is_at_home() -> None:
    async def get(ctx: RequestContext) -> Any:
        return await ctx.stores.ask(Get(users, ("id",), ["1", "2"]))

    write("1")
    assert run("move", "users").exit_code == 0
    write("2")
    assert set(with_stores(get)) == {"1", "2"}
    assert run("sync", "verify", "--target", "users>posts.author_id").exit_code == 0
    status = run("sync", "status")
    assert "users>members: 2 pending" in status.output


def test_without_the_setting_it_follows_and_does_not_switch() -> None:
    write("1")
    Path("gateway.toml").unlink()
    result = run("move", "users", "--to", f"sqlite:///{Path.cwd()}/there.db")
    assert result.exit_code == 1
    assert "not switched" in result.output
    assert "set stores.users.candidate for all of them" in result.output
    assert rows(THERE, KEYS) == [("1",)]
    write("2")
    assert rows(HERE, KEYS) == [("1",), ("2",)]


def test_what_has_not_switched_is_given_up() -> None:
    url = f"sqlite:///{Path.cwd()}/there.db"
    Path("gateway.toml").unlink()
    write("1")
    assert run("move", "users", "--to", url).exit_code == 1
    assert "following, at home where it was" in run("move", "users", "--to", url, "--status").output
    assert "given up" in run("move", "users", "--to", url, "--back").output
    assert run("move", "users", "--to", url, "--status").output == "users: it was never moved\n"
    again = run("move", "users", "--to", url)
    assert said(again) == "users: expected a candidate without rows of it, got one that has some in users"


def test_a_row_that_was_changed_at_the_candidate_is_mended_before_it_switches() -> None:
    url = f"sqlite:///{Path.cwd()}/there.db"
    Path("gateway.toml").rename("settings.toml")
    write("1", "2")
    assert run("move", "users", "--to", url).exit_code == 1
    rows(THERE, "UPDATE users SET name = 'other' WHERE id = '1'")
    rows(THERE, "DELETE FROM users WHERE id = '2'")
    Path("settings.toml").rename("gateway.toml")
    assert run("move", "users").exit_code == 0
    names = "SELECT id, name FROM users ORDER BY id"
    assert rows(THERE, names) == rows(HERE, names)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("people",), "gateway move people: no such store; the example has users, posts, events, recommendations"),
        (("posts",), "gateway move posts: expected --to URL, or the setting stores.posts.candidate"),
        (("posts", "--to", "oracle://x"), "--to 'oracle://x': expected postgresql://"),
        (("users", "--to", "sqlite:////elsewhere.db"), "expected the candidate of the settings (stores.users.candidate), "),
        (("users", "--back", "--status"), "gateway move: expected one of --back, --stay and --status"),
        (("posts", "--to", "memory://"), "gateway move posts: expected databases that other processes see, got one of kind memory"),
        (
            ("recommendations", "--to", "sqlite:////tmp/x.db"),
            "gateway move recommendations: expected a store that is written by mutations alone; users>members writes there past its log",
        ),
    ],
)
def test_what_cannot_be_moved_is_refused(arguments: tuple[str, ...], expected: str) -> None:
    assert expected in said(run("move", *arguments))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("stale_if_error_s = 60", "expected a store without stale_if_error_s while it is moved, as what is kept is of one"),
        ('replicas = ["postgresql://a/b"]', "expected a store without replicas while it is moved; stores.users.replicas has some"),
        ('[sources.posts]\nold = "sqlite:////tmp/x.db"', "expected no sources beside it, as those who pick a store would miss its move"),
    ],
)
def test_what_a_store_cannot_have_beside_a_candidate_is_refused(lines: str, expected: str) -> None:
    with Path("gateway.toml").open("a") as file:
        file.write(lines)
    assert expected in said(run("move", "users", "--status"))
