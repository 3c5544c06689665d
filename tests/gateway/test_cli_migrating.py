"""``gateway migrate`` and what is below it: what it says, what it writes, how it ends."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from tests.commands import invoked as run

GRAPH = """
import strawberry
from pathlib import Path
from gateway.graph.fields import Graph, Node, column, lookup
from gateway.graph.scalars import SCALARS
from gateway.stores.base import Collection, Column, Index
from strawberry.schema.config import StrawberryConfig

FISH = Collection("fish", "sea", (Column("id", refers="Fish"), Column("name")), managed=True)
CRABS = Collection("crabs", "rock", (Column("id", refers="Crab"), Column("name")))

@strawberry.type
class Fish(Node):
    id: strawberry.ID = column()
    name: str = column()

@strawberry.type
class Crab(Node):
    id: strawberry.ID = column()

@strawberry.type
class Query:
    fish: Fish | None = lookup(FISH, by={"id": "id"})
    crab: Crab | None = lookup(CRABS, by={"id": "id"})

graph = Graph(
    schema=strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS)),
    collections=(FISH, CRABS),
    migrations=Path("migrations"),
)
"""
EXAMPLE = ("users", "posts", "events", "recommendations")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("GATEWAY_") or name in ("DATABASE_URL", "MONGO_URL", "NEO4J_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def sea(tmp_path: Path, name: str, *, column: str = "", crabs: bool = True) -> tuple[str, str]:
    """Write a graph, in a module of its own name as Python keeps those it has read; return the option for it."""
    text = GRAPH.replace('Column("name")), managed', f'Column("name"){column}), managed')
    tmp_path.joinpath(f"{name}.py").write_text(text, encoding="utf-8")
    if crabs:
        tmp_path.joinpath("data").mkdir(exist_ok=True)
        with sqlite3.connect("data/rock.db") as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS crabs (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL)")
        connection.close()
    return "--graph", f"{name}:graph"


def of_the_graph(output: str) -> list[str]:
    """Return what is said of the graph's part of each store: the gateway's own tables are made beside it."""
    return [line for line in output.splitlines() if "crossgraph_" not in line and ": gateway: " not in line]


def test_a_dry_run_tells_the_steps_and_makes_nothing(tmp_path: Path) -> None:
    result = run("migrate", "--dry-run")
    assert result.exit_code == 0
    assert of_the_graph(result.output) == [
        "users: 0001 create users",
        "posts: 0001 create posts",
        "events: 0001 create events",
        "recommendations: 0001 create the graph",
        "recommendations: 0002 create members",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_tells_the_statements_where_there_are_no_steps(tmp_path: Path) -> None:
    result = run("migrate", "--dry-run", *sea(tmp_path, "sea_of_statements"))
    assert result.output.splitlines() == [
        "sea: CREATE TABLE fish ( id TEXT NOT NULL, name TEXT NOT NULL, CONSTRAINT pk_fish PRIMARY KEY (id) )",
        "rock: nothing in it is managed, nothing to do",
    ]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["rock.db"]


def test_some_stores_or_all_are_migrated() -> None:
    assert of_the_graph(run("migrate", "--store", "users", "--store", "events", "--store", "users").output) == [
        "users: 0001 create users",
        "events: 0001 create events",
    ]
    assert of_the_graph(run("migrate", "--all").output) == [
        "users: nothing to do",
        "posts: 0001 create posts",
        "events: nothing to do",
        "recommendations: 0001 create the graph",
        "recommendations: 0002 create members",
    ]


def test_a_status_tells_what_was_run_and_what_waits(tmp_path: Path) -> None:
    run("migrate", "--store", "users")
    result = run("migrate", "status")
    assert result.exit_code == 0
    assert of_the_graph(result.output)[:4] == [
        "users: graph: at 0001, 1 applied, 0 waiting",
        "  applied 0001 create users",
        "posts: graph: at base, 0 applied, 1 waiting",
        "  waiting 0001 create posts",
    ]
    assert [path.name for path in (tmp_path / "data").iterdir() if path.suffix == ".db"] == ["users.db"]


def test_a_store_that_is_away_is_told_behind_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    monkeypatch.setenv("GATEWAY_STORES__POSTS__URL", f"postgresql://me:secret@127.0.0.1:{port}/x")
    for arguments in (["migrate", "--dry-run"], ["migrate", "status"], ["migrate"]):
        result = run(*arguments)
        assert result.exit_code == 1
        at = f"'postgresql+asyncpg://me:***@127.0.0.1:{port}/x': nobody listens there (connection refused)"
        assert result.stderr == f"posts: failed: The store 'posts' is unavailable at {at}.\n"
        assert all(f"{name}: " in result.stdout for name in EXAMPLE if name != "posts")


def test_a_step_that_fails_is_a_line_and_no_traceback(tmp_path: Path) -> None:
    named = sea(tmp_path, "sea_of_troubles")
    folder = tmp_path / "migrations" / "sea"
    folder.mkdir(parents=True)
    folder.joinpath("0001_bad.py").write_text(
        '"""bad"""\nrevision = "0001"\ndown_revision = None\ndef upgrade():\n    raise RuntimeError("in the middle")\n', encoding="utf-8"
    )
    result = run("migrate", *named)
    assert result.exit_code == 1
    assert result.stderr == "sea: failed: RuntimeError: in the middle\n"
    assert result.stdout == "rock: nothing in it is managed, nothing to do\n"


def test_a_history_is_begun_and_gone_on_with(tmp_path: Path) -> None:
    named = sea(tmp_path, "sea_of_fish")
    assert run("migrate", "new", "--store", "sea", "-m", "Make fish", *named).stdout == "sea: wrote migrations/sea/0001_make_fish.py\n"
    assert run("migrate", *named).stdout.splitlines()[0] == "sea: 0001 Make fish"
    assert run("migrate", "new", "--store", "sea", "-m", "x", *named).stdout == "sea: has all that is declared, nothing to write\n"

    named = sea(tmp_path, "sea_of_old_fish", column=', Column("age", nullable=True)')
    assert run("check", *named).exit_code == 1, "the column is not there yet"
    assert run("migrate", "new", "--store", "sea", "-m", "Add age", *named).stdout == "sea: wrote migrations/sea/0002_add_age.py\n"
    assert run("migrate", *named).stdout.splitlines()[0] == "sea: 0002 Add age"
    assert run("check", *named).exit_code == 0
    assert run("migrate", "down", "--store", "sea", *named).stdout == "sea: undid 0002 Add age\n"
    assert run("migrate", "down", "--store", "sea", "--to", "base", *named).stdout == "sea: undid 0001 Make fish\n"
    assert run("migrate", "down", "--store", "sea", *named).stdout == "sea: nothing to undo\n"
    connection = sqlite3.connect("data/sea.db")
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'fish'").fetchall() == []
    connection.close()


def test_what_a_script_needs_of_its_author_is_told(tmp_path: Path) -> None:
    run("migrate", *sea(tmp_path, "sea_of_nothing"))
    result = run("migrate", "new", "--store", "sea", "-m", "Add age", *sea(tmp_path, "sea_of_ages", column=', Column("age")'))
    assert result.stdout.splitlines() == ["sea: wrote migrations/sea/0001_what_was_there.py", "sea: wrote migrations/sea/0002_add_age.py"]
    assert result.stderr.startswith("0002_add_age.py: fish.age is never null: rows that are there need a value")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--store", "lake"], "--store lake: no such store; the graph {graph} has sea, rock"),
        (["--store", "sea", "--all"], "gateway migrate: expected --store or --all, got both"),
        (["--dry-run", "status"], "gateway migrate status: expected its options behind its name"),
        (["new", "--store", "rock", "-m", "x"], "--store rock: expected a store with a collection that is managed, as no other is changed"),
        (["down", "--store", "sea"], "--store sea: expected a store with a history of scripts, got none"),
    ],
)
def test_what_cannot_be_asked_is_one_line(arguments: list[str], told: str, tmp_path: Path) -> None:
    option, name = sea(tmp_path, "sea_of_mistakes")
    at_the_end = [] if arguments[0] == "--dry-run" else [option, name]
    result = run("migrate", *arguments, *at_the_end)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.message == told.format(graph=name)


def test_a_graph_without_a_folder_has_no_new_script(tmp_path: Path) -> None:
    option, name = sea(tmp_path, "sea_without_folder")
    path = tmp_path / "sea_without_folder.py"
    path.write_text(path.read_text(encoding="utf-8").replace('    migrations=Path("migrations"),\n', ""), encoding="utf-8")
    result = run("migrate", "new", "--store", "sea", "-m", "x", option, name)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.message == f"the graph {name}: expected a graph with a folder of migrations, got one whose migrations is None"


def test_a_check_refuses_a_file_that_is_somebody_elses_and_not_there(tmp_path: Path) -> None:
    named = sea(tmp_path, "sea_without_rock", crabs=False)
    for command in (["check"], ["migrate"], ["migrate", "status"]):
        result = run(*command, *named)
        assert isinstance(result.exception, ConfigError)
        assert "stores.rock.url: expected a file that is there, as nothing in it is managed; " in result.exception.message
    assert not (tmp_path / "data").exists()


def test_a_check_hints_at_indexes_of_others(tmp_path: Path) -> None:
    named = sea(tmp_path, "sea_of_hints")
    path = tmp_path / "sea_of_hints.py"
    text = path.read_text(encoding="utf-8")
    text = text.replace('refers="Crab"), Column("name")))', 'refers="Crab"), Column("name")), indexes=(Index(("name",)),))')
    path.write_text(text, encoding="utf-8")
    run("migrate", *named)
    result = run("check", *named)
    assert result.exit_code == 0
    hint = "Hint: collection crabs of the store rock has no index on name: CREATE INDEX ix_crabs_name ON crabs (name)"
    assert hint in result.stdout.splitlines()
    assert sorted(path.name for path in (tmp_path / "data").glob("rock*")) == ["rock.db"]
