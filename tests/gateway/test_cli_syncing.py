"""``gateway sync`` and ``gateway relay``: what they say, what they change, how they end."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from gateway.cli.reading import read
from gateway.context import RequestContext
from gateway.errors import ConfigError
from gateway.preparing import opened
from resolvers.posts import posts
from resolvers.users import users
from tests.commands import invoked as run
from tests.preloaded import Popen
from tests.resolvers.test_replication import post_of, user_of

ROOT = Path(__file__).parent.parent.parent
PARK = "UPDATE crossgraph_deliveries SET state = 'parked', error = 'no', attempts = 8 WHERE target = 'users>members'"


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stores of the example, migrated."""
    folder = tmp_path_factory.mktemp("migrated")
    with pytest.MonkeyPatch.context() as patch:
        go(folder, patch)
        assert run("migrate").exit_code == 0
    return folder


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated: Path) -> None:
    shutil.copytree(migrated, tmp_path, dirs_exist_ok=True)
    go(tmp_path, monkeypatch)


def go(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have this be the current folder, and none of our settings in the environment."""
    for name in os.environ:
        if name.startswith("GATEWAY_") or name in ("DATABASE_URL", "MONGO_URL", "NEO4J_URL"):
            patch.delenv(name)
    patch.chdir(folder)


def said(result: Result) -> str:
    """What it printed, or the one line that it ends with."""
    return result.exception.message if isinstance(result.exception, ConfigError) else result.output


async def _with_stores(work: Any) -> None:
    graph, settings = read(None)
    async with opened(settings, graph) as stores:
        await work(RequestContext(stores, "test", replication=graph.writes))


def write() -> None:
    """Write a user and a post, which no relay carries on."""

    async def work(ctx: RequestContext) -> None:
        async with ctx.transaction("users") as tx:
            await tx.insert(users, user_of("1"))
        async with ctx.transaction("posts") as tx:
            await tx.insert(posts, post_of("p", "1"))

    asyncio.run(_with_stores(work))


def carry() -> None:
    async def work(ctx: RequestContext) -> None:
        from gateway.relaying import relay_of

        await relay_of(ctx.stores, read(None)[0]).drain()

    asyncio.run(_with_stores(work))


def give_positions(*homes: str) -> None:
    async def work(ctx: RequestContext) -> None:
        from gateway.writes.sequencer import Sequencer

        for home in homes:
            await Sequencer(ctx.stores, home, "test").settle()

    asyncio.run(_with_stores(work))


def execute(store: str, statement: str) -> None:
    with sqlite3.connect(f"data/{store}.db") as connection:
        connection.execute(statement)
    connection.close()


def test_status_tells_each_target_and_ends_with_1_where_one_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    write()
    result = run("sync", "status", "--json")
    assert result.exit_code == 0  # a moment is no lag
    told = json.loads(result.output)
    found = {target["target"]: target["pending"] for home in told["homes"] for target in home["targets"]}
    assert (found["users>members"], found["posts>wrote"], found["events>likes"]) == (1, 1, 0)
    assert told["isWell"] is True
    logs = {home["store"]: home["log"] for home in told["homes"]}
    assert logs["users"]["unpositioned"] == 1
    assert 0 <= logs["users"]["lagSeconds"] < 60
    assert logs["events"] == {"unpositioned": 0, "lagSeconds": 0.0}

    monkeypatch.setenv("GATEWAY_RELAY_LAG_MAX_S", "0.001")
    lagging = run("sync", "status")
    assert lagging.exit_code == 1
    assert "  users>members: 1 pending, 0 parked, " in lagging.output
    assert "  log: 1 without a position, the oldest " in lagging.output
    give_positions("users", "posts")
    assert "log:" not in run("sync", "status").output
    carry()
    well = run("sync", "status")
    assert well.exit_code == 0
    assert "  users>members: 0 pending, 0 parked, 0.0 s behind\n" in well.output


def test_what_is_parked_is_listed_retried_and_skipped() -> None:
    write()
    execute("users", PARK)
    assert run("sync", "status").exit_code == 1
    [parked] = json.loads(run("sync", "parked", "list", "--json").output)
    assert (parked["target"], parked["noun"], parked["key"], parked["error"]) == ("users>members", "users", "1", "no")
    listed = run("sync", "parked", "list").output
    assert listed == f"{parked['outbox']} users>members: users 1 at version 1, 8 attempts: no\n"

    assert run("sync", "parked", "retry", parked["outbox"]).output == "1 retried.\n"
    assert run("sync", "parked", "list").output == "Nothing is parked.\n"
    execute("users", PARK)
    assert run("sync", "parked", "skip", "--all").output == "1 skipped.\n"
    assert run("sync", "status").exit_code == 0


def test_verify_repair_and_rebuild_mend_a_target() -> None:
    write()
    carry()
    assert run("sync", "verify").exit_code == 0
    execute("recommendations", "DELETE FROM members")
    execute("recommendations", "INSERT INTO wrote (author_id, post_id) VALUES ('9', 'x')")

    found = run("sync", "verify")
    assert found.exit_code == 1
    assert "users>members: 1 rows in 1 buckets, 1 differ\n  1: missing\n" in found.output
    assert "  x: extra\n" in found.output

    assert "users>members: 1 rows, 1 written\n" in run("sync", "repair", "--target", "users>members").output
    assert "posts>wrote: 1 rows, 2 written\n" in run("sync", "rebuild", "--target", "posts>wrote").output
    assert run("sync", "verify").exit_code == 0


def test_a_replay_delivers_again_and_prune_deletes_what_all_have_heard() -> None:
    write()
    carry()
    assert run("sync", "replay", "--since", "1h").output == "Delivered 2 again, by the relay that runs.\n"
    assert run("sync", "prune", "--outbox", "0s").output.startswith("users: deleted 0 of outbox, 0 of idempotency\n")
    carry()
    assert run("sync", "prune", "--outbox", "0s", "--audit", "0s").output.startswith(
        "users: deleted 1 of outbox, 0 of idempotency, 1 of audit\n"
    )


def test_an_epoch_is_told_and_raised() -> None:
    assert run("sync", "epoch", "--store", "users").output == "users: epoch 0\n"
    assert run("sync", "epoch", "--raise", "--store", "users").output == "users: epoch 1\n"
    assert "posts: epoch 0\n" in run("sync", "epoch").output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("sync", "verify", "--target", "nobody"), "--target nobody: no such target; the example has users>members, "),
        (("sync", "parked", "retry"), "gateway sync parked: expected ids of what is parked, or --all"),
        (("sync", "parked", "retry", "x"), "x: expected ids of what is parked (gateway sync parked list)"),
        (("sync", "replay", "--since", "soon"), "--since soon: expected a time such as 2026-01-31T12:00:00Z, or an age such as 6h"),
        (("sync", "prune", "--outbox", "long"), "--outbox long: expected an age such as 90m, 24h or 7d"),
        (("sync", "epoch", "--store", "nobody"), "--store nobody: expected a store that is written; the example has events, "),
    ],
)
def test_what_cannot_be_is_told_in_a_line(arguments: tuple[str, ...], told: str) -> None:
    result = run(*arguments)

    assert isinstance(result.exception, ConfigError)
    assert said(result).startswith(told)


def test_the_relay_carries_as_a_process_of_its_own_and_ends_when_it_is_told_to() -> None:
    write()
    command = [sys.executable, "-m", "gateway", "relay"]
    with Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Relaying writes of users to users>members, ")
        for _ in range(200):
            if json.loads(run("sync", "status", "--json").output)["homes"][0]["targets"][0]["pending"] == 0:
                break
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read().endswith("Ended: nothing is under way.\n")
    assert process.returncode == 0
    status = json.loads(run("sync", "status", "--json").output)
    assert [target["pending"] for home in status["homes"] for target in home["targets"]] == [0] * 9
