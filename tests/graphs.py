"""Commands on graphs of users as processes: in which folder, with which environment, and what a gateway of theirs answers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import orjson

ROOT = Path(__file__).parent.parent
_OURS = ("GATEWAY_", "DATABASE_URL", "MONGO_URL", "NEO4J_URL")


def environment(*, checkout: bool = True, **variables: str) -> dict[str, str]:
    """Return our environment without settings; with ``checkout`` modules are imported from this repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*_OURS, "PYTHON"))}
    return kept | ({"PYTHONPATH": str(ROOT)} if checkout else {}) | variables


def run(command: Sequence[str], folder: Path, env: dict[str, str], *, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)


@contextmanager
def serving(command: Sequence[str], folder: Path, env: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Give (address, what was said before) of the gateway that the command starts; it ends with the block."""
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            if line.startswith("Serving on "):
                break
            said.append(line.rstrip())
        else:
            raise AssertionError(f"the gateway ended instead of serving; it said {said}")
        try:
            yield line.removeprefix("Serving on ").strip(), said
        finally:
            process.terminate()
    assert process.returncode == 0


def ask(address: str, query: str, headers: Mapping[str, str] | None = None) -> Any:
    """Return the decoded answer of a POST."""
    request = Request(f"{address}/graphql", orjson.dumps({"query": query}), {"content-type": "application/json", **(headers or {})})
    with urlopen(request, timeout=60) as response:
        return orjson.loads(response.read())
