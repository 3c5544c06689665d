"""The command line: what each command says, how it ends, and that what went wrong is one line."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import orjson
import pytest

from gateway.cli import reading
from gateway.errors import BadData, ConfigError
from tests import preloaded
from tests.commands import ended as begin
from tests.commands import invoked as run

AT = "2010-02-04T06:41:08.221Z"
USER = {"id": "6", "name": "Baby Yang", "email": "b@g", "created_at": AT}
Ending = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("GATEWAY_") or name in ("DATABASE_URL", "MONGO_URL", "NEO4J_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def spawn(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *arguments]
    return preloaded.run(command, env=os.environ | variables, timeout=120)


# What fails before it serves fails alike in a process of its own, but for its logs.
ENDED: dict[str, Ending] = {"check": begin, "serve": spawn}


def write(folder: Path, *lines: object, file: str = "users.ndjson") -> Path:
    folder.mkdir(exist_ok=True)
    folder.joinpath(file).write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return folder


def count(store: str, table: str) -> int:
    connection = sqlite3.connect(f"data/{store}.db")
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


# ------------------------------------------------------------------------------------------------------------------- commands


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(name in result.output for name in ("serve", "migrate", "seed", "load", "schema"))


def test_version() -> None:
    assert run("--version").output.startswith("crossgraph ")


def test_migrate_says_what_was_created_and_the_second_time_that_there_is_nothing_to_do() -> None:
    first, second = run("migrate"), run("migrate")
    assert first.exit_code == second.exit_code == 0
    assert all(any(line.startswith(f"{name}: ") for line in first.output.splitlines()) for name in ("users", "posts", "events"))
    assert second.output.splitlines() == [f"{name}: nothing to do" for name in ("users", "posts", "events", "recommendations")]


def test_seed_writes_the_asked_number_and_again_the_same_rows() -> None:
    asked = ("seed", "--users", "7", "--seed", "3", "--posts-per-user", "2", "--events-per-user", "5")
    result = run(*asked)
    assert result.exit_code == 0
    assert "35 events" in result.output
    assert run(*asked).exit_code == 0
    assert (count("users", "users"), count("posts", "posts"), count("events", "events")) == (7, 14, 35)


def test_load_says_what_it_read_wrote_and_ignored(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", USER)
    write(folder, {"op": "x"}, file="writes.ndjson")
    result = run("load", str(folder))
    assert result.exit_code == 0
    assert "users.ndjson: 1 lines" in result.output
    assert "writes.ndjson: not a file of this graph, ignored" in result.output
    assert "Wrote 1 members, 1 users in" in result.output
    assert count("users", "users") == 1


def test_load_stops_at_a_bad_line_and_writes_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", USER, USER | {"id": "7", "email": 5})
    result = run("load", str(folder))
    assert isinstance(result.exception, BadData)
    assert result.exception.message == "users.ndjson, line 2: email: expected text, got 5"
    assert count("users", "users") == 0


def test_load_skips_bad_lines_when_asked_to(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", USER, USER | {"id": "7", "email": 5})
    result = run("load", str(folder), "--skip-bad")
    assert result.exit_code == 0
    assert result.stderr == "users.ndjson, line 2: email: expected text, got 5\n"
    assert "users.ndjson: 2 lines, 1 of them bad and left out" in result.output
    assert count("users", "users") == 1


def test_schema_print_gives_the_sdl() -> None:
    assert "type User implements Node {" in run("schema", "print").output


def test_schema_check_shows_the_difference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dataclasses import replace

    from schema import schema

    exported = tmp_path / "schema.graphql"
    monkeypatch.setattr(reading, "graph_named", lambda _: replace(schema, sdl=exported))
    exported.write_text(run("schema", "print").output, encoding="utf-8")
    assert run("schema", "check").exit_code == 0
    exported.write_text(exported.read_text().replace("email: String!\n", "mail: String!\n"), encoding="utf-8")
    result = run("schema", "check")
    assert result.exit_code == 1
    assert "-  mail: String!\n" in result.output
    assert "+  email: String!\n" in result.output
    assert "is stale: gateway schema print >" in result.stderr
    exported.unlink()
    assert run("schema", "check").exit_code == 1


# ------------------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("ending", "arguments", "variables", "line"),
    [
        (spawn, ("serve",), {"GATEWAY_PORT": "abc"}, "GATEWAY_PORT = 'abc': expected a port from 0 to 65535"),
        (begin, ("serve", "--port", "99999"), {}, "--port = '99999': expected a port from 0 to 65535"),
        (begin, ("migrate",), {"MONGO_URL": "mysql://u:secret@h"}, "MONGO_URL = 'mysql://u:***@h': expected postgresql://, mongodb://,"),
    ],
)
def test_a_wrong_setting_ends_the_command_at_once_with_one_line(
    ending: Ending, arguments: tuple[str, ...], variables: dict[str, str], line: str
) -> None:
    ended = ending(*arguments, **variables)
    assert list(Path().iterdir()) == [], "it ended before anything was opened"
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"gateway: {line}")
    assert ended.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_line_and_nothing_is_created() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = spawn("serve", "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 2
    assert "expected a free port" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not Path("data").exists()


def test_a_store_that_is_not_there_is_one_line_with_its_place_and_no_password_and_the_others_are_migrated() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    ended = begin("migrate", DATABASE_URL=f"postgresql://me:secret@127.0.0.1:{port}/x")
    assert ended.returncode == 1
    away = f"is unavailable at 'postgresql+asyncpg://me:***@127.0.0.1:{port}/x': nobody listens there (connection refused)."
    assert ended.stderr.splitlines() == [f"{name}: failed: The store '{name}' {away}" for name in ("users", "posts")]
    done = [line for line in ended.stdout.splitlines() if "crossgraph_" not in line]
    assert done[:2] == ["events: 0001 create events", "recommendations: 0001 create the graph"]


def test_a_bad_line_is_one_line(tmp_path: Path) -> None:
    ended = begin("load", str(write(tmp_path / "in", USER | {"created_at": "x"})))
    assert ended.returncode == 1
    assert ended.stderr == (
        'gateway: users.ndjson, line 1: created_at: expected an RFC 3339 time such as 2010-03-08T23:51:42.175Z, got "x"\n'
    )


def test_a_graph_without_demo_data_cannot_be_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from schema import schema

    monkeypatch.setattr(reading, "graph_named", lambda _: replace(schema, demo=None))
    assert isinstance(run("seed").exception, ConfigError)


# ---------------------------------------------------------------------------------------------------------------------- serve


@contextmanager
def serving(**variables: str) -> Iterator[tuple[str, list[str]]]:
    """Give (address, what was said before) of a gateway that ends with the block."""
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0"]
    environment = os.environ | {"GATEWAY_DRAIN_DELAY_S": "0"} | variables  # nobody asks a gateway that was told to end
    with preloaded.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            if line.startswith("Serving on "):
                break
            said.append(line.rstrip())
        try:
            yield line.removeprefix("Serving on ").strip(), said
        finally:
            process.terminate()
    assert process.returncode == 0


def names(address: str) -> list[str]:
    body = b'{"query": "{ users(first: 100) { nodes { name } } }"}'
    with urlopen(Request(f"{address.rstrip('/')}/graphql", body, {"content-type": "application/json"}), timeout=60) as response:
        return [node["name"] for node in orjson.loads(response.read())["data"]["users"]["nodes"]]


def test_the_first_start_fills_empty_stores_and_the_second_leaves_them_as_they_are() -> None:
    with serving() as (address, said):
        assert "The stores are empty: filling them with demo data, 50 users and what they do." in said
        first = names(address)
    with serving() as (address, said):
        assert said == []
        assert names(address) == first
    assert len(first) == 50


def test_a_start_that_was_cut_short_while_filling_is_completed_by_the_next() -> None:
    assert run("seed", "--users", "3").exit_code == 0
    Path("data/.filling").touch()
    with serving() as (address, _):
        assert len(names(address)) == 50
    assert not Path("data/.filling").exists()


def test_production_starts_with_empty_stores() -> None:
    urls = {f"GATEWAY_STORES__{name.upper()}__URL": f"sqlite:///{name}.db" for name in ("users", "posts", "events", "recommendations")}
    with serving(GATEWAY_ENVIRONMENT="production", GATEWAY_ALLOWED_HOSTS="127.0.0.1", **urls) as (address, said):
        assert said[-1] == "The stores are empty: fill them with gateway load DIR, or gateway seed."
        assert names(address) == []


def test_production_does_not_start_without_the_url_of_a_store() -> None:
    urls = {"DATABASE_URL": "sqlite:///one.db", "NEO4J_URL": "sqlite:///two.db"}
    ended = begin("serve", GATEWAY_ENVIRONMENT="production", GATEWAY_ALLOWED_HOSTS="127.0.0.1", **urls)
    assert ended.returncode == 2
    assert ended.stderr == (
        "gateway: stores.events.url: expected a URL for this store of the example; got none, and production has no default\n"
    )
    assert not Path("data").exists()


def test_a_start_does_not_import_what_it_does_not_need() -> None:
    code = "import sys, gateway.cli; print([m for m in ('rich', 'strawberry', 'sqlalchemy', 'pymongo', 'alembic') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout == "[]\n"


# ----------------------------------------------------------------------------------------------------------------------- plan


def test_plan_prints_the_levels_of_an_operation_and_asks_no_store(tmp_path: Path) -> None:
    (tmp_path / "q.graphql").write_text("query Q($n: Int) { users(first: $n) { nodes { name posts { totalCount } } } }")
    result = run("plan", "q.graphql")
    assert result.stdout.splitlines() == [
        "query",
        "level 0",
        "  users: many users.users(name, id)  [arguments by request]",
        "level 1",
        "  users.posts: many posts.posts(id)  [by author_id; count; no rows]",
    ]
    assert not (tmp_path / "data").exists()


def test_plan_prints_json(tmp_path: Path) -> None:
    (tmp_path / "q.graphql").write_text("{ __schema { queryType { name } } }")
    assert orjson.loads(run("plan", "q.graphql", "--json").stdout) == {"operation": "query", "introspection": ["__schema"], "levels": []}


def test_plan_says_what_is_wrong_with_a_document(tmp_path: Path) -> None:
    (tmp_path / "q.graphql").write_text("{ nobody }")
    result = run("plan", "q.graphql")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["q.graphql: Cannot query field 'nobody' on type 'Query'. Did you mean 'node'?"]


def test_plan_wants_variables_that_are_json(tmp_path: Path) -> None:
    (tmp_path / "q.graphql").write_text("{ users { totalCount } }")
    done = begin("plan", "q.graphql", "--variables", "{n")
    assert done.returncode == 2
    assert done.stderr.startswith("gateway: --variables: expected JSON, got '{n'")


# --------------------------------------------------------------------------------------------------------------------- checks

WRONG_GRAPH = """
import strawberry
from gateway.graph.fields import Graph, Node, column, lookup, one
from gateway.graph.scalars import SCALARS
from gateway.stores.base import Collection, Column
from strawberry.schema.config import StrawberryConfig

FISH = Collection("fish", "sea", (Column("id", refers="Fish"), Column("name", nullable=True)))

@strawberry.type
class Fish(Node):
    id: strawberry.ID = column()
    name: str = column()
    prey: "Fish | None" = one(FISH, by="prey_id")

@strawberry.type
class Query:
    fish: Fish | None = lookup(FISH, by={"id": "id"})

graph = Graph(schema=strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS)), collections=(FISH,))
"""
WRONG = (
    "gateway: The graph has 2 mistakes:\n"
    "  Fish.name: expected a type that may be null, as the column 'name' may, got String!\n"
    "  Fish.prey: expected a column with the key of fish (id, name), got 'prey_id'\n"
)


@pytest.mark.parametrize("command", ["check", "serve"])
def test_all_mistakes_of_a_graph_end_the_command(command: str, tmp_path: Path) -> None:
    tmp_path.joinpath("sea.py").write_text(WRONG_GRAPH, encoding="utf-8")
    ended = ENDED[command](command, "--graph", "sea:graph", PYTHONPATH=os.pathsep.join(sys.path))
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", WRONG)


def test_check_says_that_nothing_is_wrong() -> None:
    from schema import schema

    result = run("check")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"Nothing is wrong: {len(schema.collections)} collections in 4 stores, ")


# ------------------------------------------------------------------------------------------- what the stores have


def change(store: str, *statements: str) -> None:
    connection = sqlite3.connect(f"data/{store}.db")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


def test_check_makes_no_store_and_says_which_it_left_out() -> None:
    result = run("check")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        f"Not checked: the store '{name}', as its file data/{name}.db is not there yet."
        for name in ("users", "posts", "events", "recommendations")
    ]
    assert not Path("data").exists()


def test_check_says_which_stores_have_what_is_declared() -> None:
    assert run("migrate").exit_code == 0
    for _ in ("empty", "full"):
        result = run("check")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.splitlines()[1:] == ["Stores that have what is declared: users, posts, events, recommendations."]
        assert run("seed", "--users", "3").exit_code == 0


MISMATCH = (
    "gateway: The stores differ from the graph in 3 places:\n"
    "  collection users of the store users: expected a column 'email', got none; there is 'e_mail'\n"
    "  collection posts of the store posts: expected a table posts, got none; there is post\n"
    "  collection events of the store events: expected a column 'type' for TEXT, got INTEGER\n"
)


@pytest.mark.parametrize("command", ["check", "serve"])
def test_stores_that_are_not_as_declared_end_the_command(command: str) -> None:
    assert run("migrate").exit_code == 0
    change("users", "ALTER TABLE users RENAME COLUMN email TO e_mail")
    change("posts", "ALTER TABLE posts RENAME TO post")
    change(
        "events",
        "DROP INDEX ix_events_type_id",
        "ALTER TABLE events DROP COLUMN type",
        "ALTER TABLE events ADD COLUMN type INTEGER",
    )
    ended = ENDED[command](command)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", MISMATCH)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        return int(closing.getsockname()[1])


def test_check_says_which_stores_are_away_and_where() -> None:
    port = closed_port()
    assert run("migrate").exit_code == 0
    ended = begin("check", DATABASE_URL=f"postgresql://me:secret@127.0.0.1:{port}/x")
    assert ended.returncode == 0
    at = f"'postgresql+asyncpg://me:***@127.0.0.1:{port}/x': nobody listens there (connection refused)"
    assert ended.stderr.splitlines() == [f"Not checked: The store '{name}' is unavailable at {at}." for name in ("users", "posts")]
    assert ended.stdout.splitlines()[1:] == ["Stores that have what is declared: events, recommendations."]


def test_what_is_wrong_with_others_is_told_beside_the_stores_that_are_away() -> None:
    port = closed_port()
    assert run("migrate").exit_code == 0
    change("events", "ALTER TABLE events RENAME TO happenings")
    ended = spawn("serve", "--port", "0", DATABASE_URL=f"postgresql://127.0.0.1:{port}/x")
    assert ended.returncode == 2
    assert [line.partition(" at ")[0] for line in ended.stderr.splitlines()] == [
        "Not checked: The store 'users' is unavailable",
        "Not checked: The store 'posts' is unavailable",
        "gateway: The stores differ from the graph in 1 place:",
        "  collection events of the store events: expected a table events, got none",
    ]


def test_a_start_without_one_of_the_stores_serves_the_others() -> None:
    port = closed_port()
    with serving(DATABASE_URL=f"postgresql://127.0.0.1:{port}/x") as (address, _):
        body = b'{"query": "{ users { nodes { id } } eventStats { count } }"}'
        with urlopen(Request(f"{address.rstrip('/')}/graphql", body, {"content-type": "application/json"}), timeout=60) as response:
            answer = orjson.loads(response.read())
        assert answer["errors"][0]["extensions"] == {"code": "STORE_UNAVAILABLE", "store": "users"}
        assert answer["data"]["users"] is None
        with urlopen(f"{address.rstrip('/')}/health/ready", timeout=60) as response:
            states = {store["name"]: store["state"] for store in orjson.loads(response.read())["stores"]}
        assert states == {"users": "down", "posts": "down", "events": "up", "recommendations": "up"}


KEYS_GRAPH = """
import strawberry
from gateway.graph.fields import Connection, Graph, Node, column, lookup, many
from gateway.graph.inputs import filter_of, order_of
from gateway.graph.scalars import SCALARS
from gateway.stores.base import Collection, Column
from gateway.stores.kinds import Kind, register
from gateway.stores.memory import MemoryStore
from strawberry.schema.config import StrawberryConfig

register(Kind("keys", ("keys",), lambda name, url, **_: MemoryStore(name, url), can=frozenset({"filter"})))
FISH = Collection("fish", "sea", (Column("id", refers="Fish"), Column("name")), managed=True)

@strawberry.type
class Fish(Node):
    id: strawberry.ID = column()
    name: str = column()

@strawberry.type
class Query:
    fish: Fish | None = lookup(FISH, by={"id": "id"})
    shoal: Connection[Fish] = many(FISH, where=filter_of(FISH), order=order_of(FISH))

graph = Graph(schema=strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS)), collections=(FISH,))
"""


@pytest.mark.parametrize("command", ["check", "serve"])
def test_what_a_kind_of_ones_own_cannot_do_ends_the_command(command: str, tmp_path: Path) -> None:
    tmp_path.joinpath("deep.py").write_text(KEYS_GRAPH, encoding="utf-8")
    variables = {"PYTHONPATH": os.pathsep.join(sys.path), "GATEWAY_STORES__SEA__URL": "keys://atlantic"}
    ended = spawn(command, "--graph", "deep:graph", **variables)
    told = (
        "gateway: The graph has 1 mistake:\n  Query.shoal: expected a store that can count and page, got sea of kind keys, which cannot\n"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", told)


def test_check_says_where_it_cannot_tell_the_kinds_of_stores(tmp_path: Path) -> None:
    tmp_path.joinpath("deep.py").write_text(KEYS_GRAPH, encoding="utf-8")
    variables = {"PYTHONPATH": os.pathsep.join(sys.path), "GATEWAY_ENVIRONMENT": "production"}
    ended = spawn("check", "--graph", "deep:graph", **variables)
    assert ended.returncode == 0
    assert ended.stderr == (
        "Not checked against the kinds of its stores, as the settings do not say them: stores.sea.url: expected a URL for this store of"
        " the graph deep:graph; got none, and production has no default\n"
    )
    assert ended.stdout.startswith("Nothing is wrong: 1 collections in 1 stores, ")
