"""docs/adding-a-noun.md as it stands, in a copy of the repository: its files are written and changed, its commands and tests run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.graphs import ROOT, ask, environment, run, serving

PAGE = (ROOT / "docs" / "adding-a-noun.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# The file that a block is of is the first that is named in the last line of text before it.
NAMED: list[tuple[str, str, str]] = re.findall(
    r"`((?:schema|resolvers|tests)/[\w./]+)`[^\n]*:\n\n```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)
FILES = {path: text for path, language, text in NAMED if language == "python" and "/migrations/" not in path}
CHANGES = {path: text for path, language, text in NAMED if language == "diff"}
[(MIGRATION, SCRIPT)] = [(path, text) for path, language, text in NAMED if language == "python" and "/migrations/" in path]
TESTS_S = 300.0  # an allowance for servers that are busy
COPIED = ("gateway", "resolvers", "schema", "tests")


def block(language: str, number: int) -> str:
    return [text for name, text in BLOCKS if name == language][number]


def changed(text: str, diff: str) -> str:
    """Return a file's text with the hunks of a diff, each at the one place where it fits."""
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.splitlines()
        assert {line[:1] for line in lines} <= {" ", "+", "-"}
        old, new = (("\n".join(line[1:] for line in lines if line[0] != left_out)) for left_out in "+-")
        assert text.count(f"\n{old}\n") == 1, f"expected one place with\n{old}"
        text = text.replace(f"\n{old}\n", f"\n{new}\n")
    return text


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the page's files and changes."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, diff in CHANGES.items():
        file = folder / path
        file.write_text(changed(file.read_text(encoding="utf-8"), diff), encoding="utf-8")
    for path, text in FILES.items():
        assert not (folder / path).exists()
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def of_copy(folder: Path) -> dict[str, str]:
    return environment(checkout=False, PYTHONPATH=str(folder))


def as_here(command: str) -> list[str]:
    """Return the words of a command of the page, by this Python."""
    program, *words = shlex.split(command)
    return [sys.executable, *(("-m", "gateway") if program == "gateway" else ()), *words]


def test_the_page_has_what_is_run_here() -> None:
    assert set(FILES) == {"resolvers/comments.py", "schema/comment.py", "tests/e2e/test_comments.py"}
    changed_files = {
        "schema/post.py",
        "schema/user.py",
        "schema/query.py",
        "schema/__init__.py",
        "resolvers/datasets.py",
        "resolvers/demo.py",
    }
    assert set(CHANGES) == changed_files
    commands = [shlex.split(line) for line in block("sh", 0).splitlines()]
    assert [words[:3] for words in commands] == [
        ["gateway", "check"],
        ["gateway", "migrate", "new"],
        ["python", "-m", "ruff"],
        ["gateway", "migrate", "--store"],
        ["gateway", "schema", "print"],
    ]


@pytest.mark.long
def test_the_noun_of_the_page_is_checked_migrated_exported_tested_and_served(copy: Path) -> None:
    for line in block("sh", 0).splitlines():
        command, _, target = line.partition(" > ")
        ended = run(as_here(command), copy, of_copy(copy))
        assert ended.returncode == 0, f"{line}: {ended.stderr}"
        if target:
            (copy / target).write_text(ended.stdout, encoding="utf-8")
    assert (copy / MIGRATION).read_text(encoding="utf-8") == SCRIPT

    exported, tests = block("sh", 1).splitlines()
    assert run(as_here(exported), copy, of_copy(copy)).returncode == 0
    ended = run(as_here(tests), copy, of_copy(copy), timeout_s=TESTS_S)
    passed = re.search(r"^(\d+) passed", ended.stdout, re.MULTILINE)
    assert ended.returncode == 0, ended.stdout
    assert passed is not None, ended.stdout
    assert int(passed[1]) >= 6, "three tests of stores that are embedded, and of stores in memory"

    shutil.rmtree(copy / "data")
    with serving([sys.executable, "-m", "gateway", "serve", "--port", "0"], copy, of_copy(copy)) as (address, _):
        assert ask(address, block("graphql", 0)) == json.loads(block("json", 0))
    assert "comments.db" in os.listdir(copy / "data")
