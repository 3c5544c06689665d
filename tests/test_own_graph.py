"""docs/own-graph.md as it stands: its files are written, its commands run, and its query has its answer."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ended as begin
from tests.graphs import ask, environment, serving

PAGE = (Path(__file__).parent.parent / "docs" / "own-graph.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = dict(re.findall(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
GATEWAY = [sys.executable, "-m", "gateway"]


def block(language: str, number: int) -> str:
    return [text for name, text in BLOCKS if name == language][number]


def commands() -> list[str]:
    return block("sh", 1).splitlines()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the files of the page, which is the current one; our own settings are not."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    for path, text in FILES.items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


def load(folder: Path) -> None:
    """Run the commands of the page before the last, which serves."""
    for command in commands()[:-1]:
        words, _, target = command.partition(" > ")
        ended = begin(*shlex.split(words)[1:])
        assert ended.returncode == 0, f"{command}: {ended.stderr}"
        if target:
            (folder / target).write_text(ended.stdout, encoding="utf-8")


def test_the_page_has_what_is_run_here() -> None:
    assert set(FILES) == {"bookshop.py", "gateway.toml", "rows/books.ndjson", "rows/reviews.ndjson"}
    assert [command.split()[1] for command in commands()] == ["load", "schema", "schema", "serve"]


def test_the_graph_of_the_page_answers_as_the_page_says(folder: Path) -> None:
    load(folder)
    expected: Any = json.loads(block("json", -1))
    with serving([*GATEWAY, "serve", "--port", "0"], folder, environment()) as (address, said):
        assert ask(address, block("graphql", 0)) == expected
        assert ask(address, "{ reader }", {"X-User": "ada"}) == {"data": {"reader": "ada"}}
    assert said == [], "nothing is to be created, and no demo data to be filled in"
    assert sorted(path.name for path in folder.rglob("*.db")) == ["catalogue.db", "opinions.db"]


def test_in_production_the_page_s_stores_need_urls(folder: Path) -> None:
    ended = begin("migrate", GATEWAY_ENVIRONMENT="production")
    told = "expected a URL for this store of the graph bookshop:graph; got none, and production has no default"
    assert ended.stderr == f"gateway: stores.catalogue.url: {told}\n"
    assert begin("migrate", DATABASE_URL="sqlite:///all.db").returncode == 0
    assert (folder / "all.db").exists()
