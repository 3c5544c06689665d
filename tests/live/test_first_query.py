"""The README's first query gets the README's answer: on embedded stores, and on three servers by the very command of the compose file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import orjson
import yaml

from tests.benchmarks.processes import ROOT, free_port, start, wait_for_answer
from tests.kinds import needs, url_of
from tests.servers import SERVERS

README = (ROOT / "README.md").read_text()
START_S = 180.0  # an allowance for a busy machine
PATIENT = {f"GATEWAY_{name}_S": "60" for name in ("CONNECT_TIMEOUT", "STORE_TIMEOUT", "STORE_WRITE_TIMEOUT", "REQUEST_DEADLINE")}


def readme_request() -> bytes:
    found = re.search(r"<<'JSON'\n(.+?)\nJSON\n", README, re.DOTALL)
    assert found is not None
    return found[1].encode()


def readme_answer() -> object:
    found = re.search(r"```json\n(.+?)```", README, re.DOTALL)
    assert found is not None
    return orjson.loads(found[1])


def answer_of(script: str, folder: Path, env: Mapping[str, str]) -> object:
    """Return the answer to the README's request of the gateway that a shell script starts on port 8000."""
    port = free_port()
    command = ["sh", "-c", script.replace("--port 8000", f"--port {port}")]
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    server = start("gateway", command, port, log=folder / "log", env={**path, **env}, cwd=folder)
    try:
        return orjson.loads(wait_for_answer(server, readme_request(), timeout_s=START_S))
    finally:
        server.stop()


def test_the_first_query_has_the_answer_of_the_readme(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "/gateway serve --port $(PORT)" in makefile
    assert answer_of("exec gateway serve --port 8000", tmp_path, {}) == readme_answer()


@needs(*SERVERS)
async def test_the_compose_file_gives_the_same_answer_on_three_servers(tmp_path: Path) -> None:
    gateway = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["gateway"]
    script = gateway["command"][2]
    async with url_of("postgresql") as sql, url_of("mongodb") as documents, url_of("neo4j") as graph:
        here = {"DATABASE_URL": sql, "MONGO_URL": documents, "NEO4J_URL": graph}
        assert here.keys() < gateway["environment"].keys()
        first = answer_of(script, tmp_path, gateway["environment"] | here | PATIENT)
        again = answer_of(script, tmp_path, gateway["environment"] | here | PATIENT)  # as after `docker compose restart`
    assert first == readme_answer()
    assert again == first
    assert not (tmp_path / "data").exists()
