"""The databases are as the graph says, and as they were: nothing is made, changed or left behind in them."""

from __future__ import annotations

from pathlib import Path

from gateway.graph.checks import check
from gateway.graph.looking import look
from gateway.service import Request, Service
from gateway.stores import Stores
from tests.existing.conftest import LIMITS, Existing
from tests.existing.databases import dump
from tests.existing.graph import COLLECTIONS, GRAPH, STORES


def test_nothing_is_wrong_with_the_graph() -> None:
    assert check(GRAPH) == []
    assert not any(collection.managed for collection in COLLECTIONS)


async def test_the_databases_are_as_the_graph_says(existing: Existing) -> None:
    looked = await look(existing.stores, GRAPH, STORES, timeout_s=60)
    assert [str(problem) for problem in looked.problems] == []
    assert sorted(looked.checked) == sorted(STORES)
    assert not looked.away
    assert not looked.silent


async def test_nothing_is_changed_by_all_that_a_gateway_does(existing: Existing) -> None:
    """Opening, looking, reading every store, closing: afterwards each database is what it was."""
    stores = Stores.connect(existing.urls, timeout_s=30)
    await stores.open()
    await look(stores, GRAPH, STORES, timeout_s=60)
    roots = (
        "artists",
        "orders",
        "liveOrders",
        "customerDocuments",
        "invoiceDocuments",
        "listeners",
        "plays",
        "follows",
        "liteTracks",
        "liteInvoices",
    )
    text = " ".join(f"{name}(first: 100) {{ totalCount nodes {{ id }} }}" for name in roots)
    await Service(GRAPH, stores, LIMITS).answer(Request(f"{{ {text} }}"))
    await stores.close()
    assert await dump(existing.urls) == existing.before


async def test_the_file_is_not_in_another_mode(existing: Existing) -> None:
    await existing.ask("{ liteTracks(first: 1) { nodes { id } } }")
    path = Path(existing.urls["laptop"].removeprefix("sqlite:///"))
    assert [file.name for file in path.parent.iterdir() if file.name != path.name] == []
