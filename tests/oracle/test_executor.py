"""The oracle of the engine has nothing of what it judges."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
JUDGED = ("gateway.engine", "gateway.loaders", "gateway.service", "gateway.security", "gateway.graph.scalars")
DECLARED = ("gateway.engine.sources.",)  # what authors write: the declarations, none of whose methods is called
OURS = ("executor", "asking", "reading", "schemas", "arguments", "filters", "pages", "scalars")


@pytest.mark.parametrize("name", OURS)
def test_the_oracle_imports_nothing_of_what_it_judges(name: str) -> None:
    assert [module for module in _imported(name) if module.startswith(JUDGED) and not module.startswith(DECLARED)] == []


def test_the_list_of_the_oracles_modules_is_whole() -> None:
    """What one of them imports of tests/oracle is one of them."""
    below = {module.split(".")[2] for name in OURS for module in _imported(name) if module.startswith("tests.")}
    assert below | {"executor"} == set(OURS)


def _imported(name: str) -> list[str]:
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    found = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return found + [f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
