"""What authors write a graph with is had from one place."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields as dataclass_fields
from pathlib import Path

import pytest

import gateway.graph
from gateway.graph import datasets, fields, inputs, operators, scalars, writing
from gateway.stores.base import Collection, Column, Type
from gateway.writes import declarations


def test_every_name_is_that_of_its_file() -> None:
    for name in gateway.graph.__all__:
        found = getattr(gateway.graph, name)
        assert any(vars(module).get(name) is found for module in (datasets, fields, inputs, operators, scalars, writing, declarations)), (
            name
        )


def test_every_field_function_and_attribute_is_in_the_reference() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference.md").read_text()
    functions = [name for name in gateway.graph.__all__ if getattr(gateway.graph, name).__class__.__name__ == "function"]
    measures = {"average", "count", "maximum", "minimum", "total"}  # of stats(), in docs/own-graph.md
    missing = [name for name in functions if f"{name}(" not in text and name not in measures | {"field_of", "part"}]
    missing += [f.name for f in dataclass_fields(Column) if f"`{f.name}`" not in text]
    missing += [f.name for f in dataclass_fields(Collection) if f"{f.name}=" not in text and not f.name.startswith("_")]
    missing += [type_.name for type_ in Type if f"`{type_.name}`" not in text]
    assert missing == []


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"^module 'gateway.graph' has no attribute 'lots'$"):
        _ = gateway.graph.lots


def test_a_name_costs_the_import_of_its_own_file_alone() -> None:
    told = "import sys; from gateway.graph import Dataset; print(sorted(m for m in sys.modules if m.startswith('gateway.graph.')))"
    result = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert result.stdout == "['gateway.graph.datasets']\n"
