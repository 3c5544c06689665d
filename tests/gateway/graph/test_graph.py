"""What authors write a graph with is had from one place."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gateway.graph
from gateway.graph import datasets, fields, inputs, operators, scalars


def test_every_name_is_that_of_its_file() -> None:
    for name in gateway.graph.__all__:
        found = getattr(gateway.graph, name)
        assert any(vars(module).get(name) is found for module in (datasets, fields, inputs, operators, scalars)), name


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"^module 'gateway.graph' has no attribute 'lots'$"):
        _ = gateway.graph.lots


def test_a_name_costs_the_import_of_its_own_file_alone() -> None:
    told = "import sys; from gateway.graph import Dataset; print(sorted(m for m in sys.modules if m.startswith('gateway.graph.')))"
    result = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert result.stdout == "['gateway.graph.datasets']\n"
