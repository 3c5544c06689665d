"""The dashboard in docs/grafana asks for what ``/metrics`` has, and for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.test_workers import ask, metrics, post, two_workers
from tests.gateway.http.fakes import FakeStores, make_app

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana" / "crossgraph.json"
OF_PROMETHEUS = {"job", "instance"}  # labels that it adds to whatever it reads
# What is there once it has happened to somebody, with its labels.
ONCE = {
    "gateway_clients_cut_total": {"reason"},
    "gateway_streams_ended_total": {"kind", "code"},
    "gateway_wrong_values_total": {"store", "column"},
}


def board() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def expressions() -> Iterator[tuple[str, str]]:
    """Give each panel's title with each of its expressions, and those of the variables."""
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in board()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]


def asked(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Give each metric of an expression with the labels that it is asked for."""
    for name, selectors in re.findall(r"(gateway_\w+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*[=!]", selectors))


async def metrics_of_pools() -> str:
    """Return the metrics of stores with places, which files of SQLite are none of."""
    app = make_app(stores=FakeStores({"users": None}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        told = (await http.get("/metrics")).text
    return "".join(line for line in told.splitlines(keepends=True) if line.startswith("gateway_store_"))


async def test_every_expression_asks_for_metrics_and_labels_that_there_are() -> None:
    async with two_workers() as server:
        await ask(server, post("{ nothing }"))
        await ask(server, post("{ " + " ".join(f"a{number}: __typename" for number in range(500)) + " }"))
        told = await metrics(server) + await metrics_of_pools()
    labels: dict[str, set[str]] = {name: set(its) for name, its in ONCE.items()}
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for title, expression in expressions():
        its: set[str] = set()
        for name, selected in asked(expression):
            assert name in labels, f"{title}: no metric {name}"
            assert selected <= labels[name] | OF_PROMETHEUS, f"{title}: {name} has the labels {labels[name]}"
            its |= labels[name]
        assert its or "gateway_requests" in expression, f"{title}: no metric of ours"
        grouped = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
        assert grouped <= its | OF_PROMETHEUS, f"{title}: nothing has the labels {grouped - its}"
        assert expression.count("(") == expression.count(")")


def test_panels_do_not_lie_over_each_other_and_have_ids_of_their_own() -> None:
    panels = board()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) == 23


@pytest.mark.parametrize("legend", [target["legendFormat"] for panel in board()["panels"] for target in panel.get("targets", ())])
def test_legends_name_labels(legend: str) -> None:
    assert re.fullmatch(r"[\w/ ]*(\{\{\w+\}\}[\w/ ]*)*", legend)
