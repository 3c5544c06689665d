"""docs/your-own-graph.md as it stands: its files are written, its commands run on three of the databases, and its query has its answer."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.existing.conftest import Existing
from tests.existing.databases import dump
from tests.graphs import ask, environment, run, serving

PAGE = (ROOT / "docs" / "your-own-graph.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = dict(re.findall(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
WRONG = re.findall(r"^With `(table=\S+)` it is", PAGE, re.MULTILINE)
GATEWAY = [sys.executable, "-m", "gateway"]
STORES = {"MUSIC": "music", "DOCUMENTS": "shop", "LISTENING": "listening"}  # of the page, and whose database here each is


def block(language: str, number: int) -> str:
    return [text for name, text in BLOCKS if name == language][number]


def variables(existing: Existing) -> dict[str, str]:
    return environment() | {f"GATEWAY_STORES__{name}__URL": existing.urls[ours] for name, ours in STORES.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder with the files of the page."""
    for path, text in FILES.items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_page_has_what_is_run_here() -> None:
    assert set(FILES) == {"shop.py", "gateway.toml", "query.graphql"}
    assert block("sh", 1) == "gateway check\n"
    assert block("sh", 2) == "gateway plan query.graphql\ngateway serve --port 8000\n"


async def test_the_databases_are_as_the_page_says(existing: Existing, folder: Path) -> None:
    env = variables(existing)
    ended = run([*GATEWAY, *shlex.split(block("sh", 1))[1:]], folder, env)
    assert (ended.returncode, ended.stdout) == (0, block("text", 0)), ended.stderr

    [wrong] = WRONG
    graph = FILES["shop.py"].replace('table="music.track"', wrong)
    assert graph != FILES["shop.py"]
    (folder / "shop.py").write_text(graph, encoding="utf-8")
    ended = run([*GATEWAY, "check"], folder, env)
    assert (ended.returncode, ended.stderr) == (2, block("text", 1))


async def test_the_query_of_the_page_has_its_plan_and_its_answer(existing: Existing, folder: Path) -> None:
    env = variables(existing)
    ended = run([*GATEWAY, "plan", "query.graphql"], folder, env)
    assert ended.stdout.strip() == block("text", 2).strip(), ended.stderr
    with serving([*GATEWAY, "serve", "--port", "0"], folder, env) as (address, said):
        assert ask(address, FILES["query.graphql"]) == json.loads(block("json", 0))
    assert said == [], "nothing is to be created"
    assert await dump(existing.urls) == existing.before
