"""docs/growing.md computes with the figures of docs/benchmarks.md, and names settings and metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config import Settings, StoreSettings

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "growing.md").read_text(encoding="utf-8")
BENCHMARKS = (DOCS / "benchmarks.md").read_text(encoding="utf-8").partition("\n## All nouns in PostgreSQL\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\d,]+) \| ([\d,]+) \|$", TEXT.partition("\n## More")[0], re.MULTILINE)
PLANNED = 0.7
SHARE_MAX, KEPT = 0.8, 3


def measured(part: str) -> dict[str, float]:
    """Return the gateway's own column of one table of benchmarks.md, by operation."""
    table = BENCHMARKS.partition(f"### {part}\n")[2].partition("\n### ")[0]
    found = re.findall(r"^\| ([^|]+) \| ([\d.,]+)", table, re.MULTILINE)
    return {operation: float(value.replace(",", "")) for operation, value in found}


def test_cpu_and_rates_are_those_that_were_measured() -> None:
    assert {name: float(cpu) for name, cpu, _, _ in ROWS} == measured("CPU of the process per request, ms")
    assert {name: float(rate.replace(",", "")) for name, _, _, rate in ROWS} == measured("Requests/s at 8 connections")


@pytest.mark.parametrize(("name", "cpu", "planned", "_"), ROWS)
def test_what_a_process_can_do_follows_from_its_cpu(name: str, cpu: str, planned: str, _: str) -> None:
    assert int(planned.replace(",", "")) == int(PLANNED * 1_000 / float(cpu)), name


def test_the_example_adds_up() -> None:
    cpu = {name.split(":")[0].split(" of ")[0]: float(ms) for name, ms, _, _ in ROWS}
    point, lists, trees = 5_000 * cpu["point lookup"], 500 * cpu["flat list"], 50 * cpu["tree"]
    said = re.search(r"are (\d+) \+ (\d+) \+ (\d+) = (\d+) ms of CPU in each second: ([\d.]+),", TEXT)
    assert said is not None
    assert [int(number) for number in said.groups()[:3]] == [int(part + 0.5) for part in (point, lists, trees)]
    assert abs(int(said[4]) - (point + lists + trees)) < 1
    assert float(said[5]) == round((point + lists + trees) / 1_000 / PLANNED, 1)


@pytest.mark.parametrize(
    ("most", "of_ten", "of_four"), re.findall(r"^\| (\d+)(?:, as it comes)? \| 3 \| (\d+) \| (\d+) \|$", TEXT, re.MULTILINE)
)
def test_processes_follow_from_the_connections_of_a_server(most: str, of_ten: str, of_four: str) -> None:
    room = SHARE_MAX * (int(most) - KEPT)
    assert (int(of_ten), int(of_four)) == (int(room / 11), int(room / 5))


def test_memory_is_what_was_measured() -> None:
    assert "this gateway 94," in BENCHMARKS
    assert "| at the end | 152.9 |" in (DOCS / "soak.md").read_text(encoding="utf-8")
    assert "at most 259 MiB in the process" in (DOCS / "benchmarks-growth.md").read_text(encoding="utf-8")
    for figure in ("94 MiB", "153 MiB", "259 MiB"):
        assert figure in TEXT


def test_settings_that_are_named_are_settings_with_the_defaults_that_are_said() -> None:
    fields = {**Settings.model_fields, **StoreSettings.model_fields}
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", TEXT)) - {"max_connections"}
    assert len(named) > 15
    assert {name for name in named if name not in fields and not name.startswith("gateway_")} == set()
    production = Settings.model_validate({"environment": "production"})
    said = dict(re.findall(r"`([a-z_]+)` (\d[\d,]*)", TEXT))
    for name in ("connections_max", "streams_max", "requests_max", "requests_waiting_max", "keep_alive_timeout_s", "drain_delay_s"):
        assert float(said[name].replace(",", "")) == float(getattr(production, name)), name


def test_metrics_that_are_named_are_in_the_code() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (DOCS.parent / "gateway").rglob("*.py"))
    named = {name.removesuffix("_total").removeprefix("gateway_") for name in re.findall(r"gateway_\w+", TEXT)}
    assert {name for name in named if f'"{name}"' not in code and f'"{name.removesuffix("_seconds")}"' not in code} == set()
