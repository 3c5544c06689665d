"""Relay's store, updated by mutations: the runtime that applications have, with what relay-compiler makes of their operations."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from schema import schema as graph
from tests.clients.conftest import run as run_command
from tests.gateway.http.sockets import world_served
from tests.gateway.http.wire import run

HERE = Path(__file__).parent
LONGEST_S = 60.0


@pytest.fixture
def project(packages: Path, tmp_path: Path) -> Path:
    """A folder with the packages, the client, and the artifacts of its operations."""
    (tmp_path / "node_modules").symlink_to(packages, target_is_directory=True)
    (tmp_path / "src").mkdir()
    (tmp_path / "generated").mkdir()
    assert graph.sdl is not None
    shutil.copy(graph.sdl, tmp_path / "schema.graphql")
    shutil.copy(HERE / "relay.mjs", tmp_path)
    document = (HERE / "relay.graphql").read_text(encoding="utf-8")
    parts = document.replace("\nmutation ", "\n%mutation ").split("%")
    (tmp_path / "src" / "relay.js").write_text("".join(f"graphql`{part}`;\n" for part in parts), encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    config = {"src": "./src", "schema": "./schema.graphql", "language": "javascript", "artifactDirectory": "./generated"}
    (tmp_path / "relay.config.json").write_text(json.dumps({**config, "eagerEsModules": True}), encoding="utf-8")
    done = run_command(["node", "node_modules/relay-compiler/cli.js", "relay.config.json"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path


@pytest.mark.node
def test_mutations_change_what_relays_store_has_and_who_watches_it_is_told(project: Path) -> None:
    said: list[Any] = []

    async def test() -> None:
        async with world_served() as (_, wire):
            process = await asyncio.create_subprocess_exec(
                "node", "relay.mjs", str(wire.port), cwd=project, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(LONGEST_S):
                out, error = await process.communicate()
            assert process.returncode == 0, error.decode()
            said.extend(json.loads(line) for line in out.splitlines())

    run(test())
    first = "Post:p1 first"
    assert said == [
        ["store", {"name": "user 6", "version": 0, "posts": [first]}],
        ["changed", {"name": "Ada", "version": 1, "posts": [first]}],
        ["errors", ["CONFLICT"]],
        ["changed", {"name": "Ada", "version": 1, "posts": [first, "Post:new New"]}],
        ["changed", {"name": "Ada", "version": 1, "posts": [first, None]}],
        ["over", {"name": "Ada", "version": 1, "posts": [first, None]}],
    ]
