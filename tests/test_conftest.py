"""A run that leaves live tests out says which and how to run them, and fails where they are required."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests import preloaded
from tests.conftest import ROOT
from tests.forms import of_form
from tests.servers import REPLICA, SERVERS

RUN_S = 60.0
TESTS = """
from pathlib import Path
import pytest
from tests.kinds import NEO4J, POSTGRESQL, needs

def test_without_servers() -> None: ...

@needs(NEO4J, POSTGRESQL)
def test_with_two_servers() -> None: ...

@pytest.mark.live
def test_with_all_servers() -> None: ...

def test_with_the_sample(snb_dir: Path) -> None:
    assert snb_dir.is_dir()
"""

OF_CLIENTS = """
import pytest

@pytest.mark.node
def test_of_clients() -> None: ...
"""

OF_THE_WHEEL = """
import pytest

@pytest.mark.wheel
def test_of_the_wheel() -> None: ...
"""

OF_CHINOOK = """
from pathlib import Path

def test_with_the_databases(chinook_dir: Path) -> None:
    assert (chinook_dir / "load.py").is_file()
"""

NO_MODULES = """
import tests.conftest
tests.conftest.find_spec = lambda _: None
"""


def run(folder: Path, tests: str = TESTS, workers: int = 0, /, **variables: str) -> tuple[int, list[str]]:
    """The exit status and the lines of a run of ``tests`` with these variables and no others of ours."""
    (folder / "test_some.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  live\n  node\n  wheel\n")
    ours = {"REQUIRE_LIVE", "TEST_SNB_DIR", "CHINOOK_DATA", *(server.variable for server in (*SERVERS, REPLICA))}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # half of the time goes into those that are installed
    distributed = ["-p", "xdist.plugin", "-n", str(workers)] if workers else []
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q", *distributed, str(folder)]
    done = preloaded.run(command, cwd=ROOT, env=environment | variables, timeout=RUN_S)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("workers", [2, 0][: of_form(1, 2)])
def test_left_out_tests_are_counted_by_server_with_the_way_to_run_them(tmp_path: Path, workers: int) -> None:
    status, lines = run(tmp_path, TESTS, workers, TEST_SNB_DIR="/no/such/folder")
    assert status == 0
    assert lines[-1].startswith("1 passed")
    assert lines[-12:-1] == [
        "    2 tests that need PostgreSQL (TEST_POSTGRES_URL is not set)",
        "    1 tests that need MongoDB (TEST_MONGO_URL is not set)",
        "    2 tests that need Neo4j (TEST_NEO4J_URL is not set)",
        "    1 tests that need the LDBC sample (TEST_SNB_DIR names no folder)",
        "To run them:",
        "  docker compose up -d",
        "  export TEST_POSTGRES_URL='postgresql+asyncpg://crossgraph:crossgraph@127.0.0.1:5432/crossgraph'",
        "  export TEST_MONGO_URL='mongodb://127.0.0.1:27017/crossgraph?directConnection=true'",
        "  export TEST_NEO4J_URL='bolt://neo4j:crossgraph@127.0.0.1:7687/neo4j'",
        "To run those of the sample:",
        "  export TEST_SNB_DIR=<the folder with users.ndjson, posts.ndjson, events.ndjson, follows.ndjson>",
    ]


@pytest.mark.parametrize("workers", [2, 0][: of_form(1, 2)])
def test_a_run_that_requires_live_tests_fails_without_them(tmp_path: Path, workers: int) -> None:
    status, lines = run(tmp_path, TESTS, workers, TEST_SNB_DIR=str(tmp_path), REQUIRE_LIVE="1", TEST_POSTGRES_URL="x", TEST_MONGO_URL="x")
    assert status == 1
    assert lines[-2] == "FAILED: REQUIRE_LIVE is set, and the tests above were left out."


def test_a_test_of_a_replica_is_left_out_where_none_is_named(tmp_path: Path) -> None:
    of_replica = f'import pytest\n\n@pytest.mark.live("{REPLICA.variable}")\ndef test_with_a_replica() -> None: ...\n'
    status, lines = run(tmp_path, of_replica, REQUIRE_LIVE="1", TEST_SNB_DIR=str(tmp_path))
    assert status == 1
    assert f"    1 tests that need a streaming replica of PostgreSQL ({REPLICA.variable} is not set)" in lines
    assert f"  export {REPLICA.variable}=<the URL of a streaming replica of that PostgreSQL>" in lines
    assert run(tmp_path, of_replica, REQUIRE_LIVE="1", **{REPLICA.variable: "x"})[0] == 0


def test_a_test_of_node_is_left_out_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "test_node.py").write_text("import pytest\n\n@pytest.mark.node\ndef test_with_node() -> None: ...\n")
    everything = {server.variable: "x" for server in SERVERS}
    status, lines = run(tmp_path, TEST_SNB_DIR=str(tmp_path), REQUIRE_LIVE="1", PATH=str(tmp_path), **everything)
    assert status == 1
    assert "    1 tests that need node and npm (they are not installed, or not on the PATH)" in lines


def test_a_test_of_the_wheel_is_left_out_without_hatchling(tmp_path: Path) -> None:
    (tmp_path / "hatchling.py").write_text("")
    found, _ = run(tmp_path, OF_THE_WHEEL, REQUIRE_LIVE="1", PYTHONPATH=str(tmp_path))
    assert found == 0
    status, lines = run(tmp_path, f"{NO_MODULES}{OF_THE_WHEEL}", REQUIRE_LIVE="1")
    assert status == 1
    assert "    1 tests that need hatchling (it is not installed: pip install hatchling)" in lines


@pytest.mark.parametrize(("require", "status"), [("", 0), ("1", 1)])
def test_tests_of_existing_databases_are_left_out_without_their_data_or_psql(tmp_path: Path, require: str, status: int) -> None:
    got, lines = run(tmp_path, OF_CHINOOK, CHINOOK_DATA=str(tmp_path), PATH=str(tmp_path), REQUIRE_LIVE=require)
    assert got == status
    assert "    1 tests that need the databases of Chinook (CHINOOK_DATA names no folder with its load.py)" in lines
    assert "    1 tests that need psql (it is not installed, or not on the PATH)" in lines
    assert "  export CHINOOK_DATA=<the folder with load.py, chinook.sqlite and the files beside them>" in lines


def test_tests_of_existing_databases_run_with_them(tmp_path: Path) -> None:
    (tmp_path / "load.py").touch()
    (tmp_path / "psql").touch(mode=0o755)
    got, lines = run(tmp_path, OF_CHINOOK, CHINOOK_DATA=str(tmp_path), PATH=str(tmp_path), REQUIRE_LIVE="1")
    assert got == 0
    assert lines[-1].startswith("1 passed")


@pytest.mark.parametrize("require", ["", "1"])
def test_a_run_with_everything_says_nothing(tmp_path: Path, require: str) -> None:
    everything = {server.variable: "x" for server in SERVERS}
    status, lines = run(tmp_path, TEST_SNB_DIR=str(tmp_path), REQUIRE_LIVE=require, **everything)
    assert status == 0
    assert lines[-1].startswith("4 passed")
    assert not any("left out" in line for line in lines)


@pytest.mark.parametrize(("require", "status"), [("", 0), ("1", 1)])
@pytest.mark.parametrize("there", [(), ("node",), ("npm",)], ids=lambda there: " ".join(there) or "neither")
def test_tests_of_clients_are_left_out_without_node_and_npm(tmp_path: Path, there: tuple[str, ...], require: str, status: int) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in there:
        (programs / name).touch(mode=0o755)
    got, lines = run(tmp_path, OF_CLIENTS, PATH=str(programs), REQUIRE_LIVE=require)
    assert got == status
    assert "    1 tests that need node and npm (they are not installed, or not on the PATH)" in lines
    assert not any("docker" in line for line in lines)


def test_tests_of_clients_run_with_node_and_npm(tmp_path: Path) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).touch(mode=0o755)
    status, lines = run(tmp_path, OF_CLIENTS, PATH=str(tmp_path), REQUIRE_LIVE="1")
    assert status == 0
    assert lines[-1].startswith("1 passed")
