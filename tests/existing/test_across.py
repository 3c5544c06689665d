"""One query over all four databases: one call for each level and collection, and the answer that the rows give."""

from __future__ import annotations

from typing import Any

from tests.existing.conftest import Existing
from tests.existing.generated import document
from tests.existing.oracle import Field


def f(name: str, *fields: Field | str, text: str = "", **arguments: Any) -> Field:
    made = [Field(field, field) if isinstance(field, str) else field for field in fields]
    return Field(name, name, text, made, **arguments)


def nodes(name: str, *fields: Field | str, text: str = "", **arguments: Any) -> Field:
    return f(name, "totalCount", f("nodes", *fields), text=text, **arguments)


OVERVIEW = nodes(
    "customers",  # PostgreSQL
    *("id", "firstName", "country"),
    f(
        "document",  # MongoDB
        *("id", "email", "city"),
        nodes(
            "invoices",
            *("number", "date", "total"),
            f("lines", "quantity", "unitPrice", f("track", "name", "unitPrice", f("album", "title", f("artist", "name")))),
            text="(first: 3, orderBy: {field: TOTAL, direction: DESC})",
            first=3,
            order=[("total", True)],
        ),
    ),
    nodes(
        "plays",  # Neo4j
        *("at", "seconds"),
        f("track", "name", "composer"),
        text="(first: 5, orderBy: {field: AT, direction: DESC})",
        first=5,
        order=[("at", True)],
    ),
    f("lite", "email", nodes("invoices", "total", "invoiceDate", text="(last: 2)", last=2)),  # SQLite
    text="(first: 20, orderBy: {field: LAST_NAME})",
    first=20,
    order=[("last_name", False)],
)


async def test_customers_with_documents_invoices_lines_tracks_and_plays(existing: Existing) -> None:
    expected, errors = existing.oracle.answer([OVERVIEW])
    assert not errors
    existing.stores.calls.clear()
    assert await existing.ask(document([OVERVIEW])) == expected
    assert existing.stores.calls == {
        "music.customers": 1,
        "shop.customer_documents": 1,
        "listening.plays": 1,
        "laptop.lite_customers": 1,
        "shop.invoice_documents": 1,
        "laptop.lite_invoices": 1,
        "music.tracks": 2,  # those of the lines, a level below those of the plays
        "music.albums": 1,
        "music.artists": 1,
    }
    found = expected["customers"]["nodes"]
    assert len(found) == 20
    assert all(row["document"]["invoices"]["nodes"] and row["plays"]["nodes"] and row["lite"] for row in found)
    assert any(line["track"]["album"] for row in found for invoice in row["document"]["invoices"]["nodes"] for line in invoice["lines"])


async def test_from_a_document_to_the_graph_and_back(existing: Existing) -> None:
    """MongoDB, lines in it, Neo4j's plays of their tracks, who played them, PostgreSQL, and MongoDB again."""
    query = nodes(
        "invoiceDocuments",
        *("id", "number", "status"),
        f(
            "lines",
            "trackId",
            f("node", "name", f("track", "name")),
            nodes("plays", "at", "seconds", f("listener", "name", f("customer", "email", f("document", "id"))), text="(first: 2)", first=2),
        ),
        text="(first: 30)",
        first=30,
    )
    expected, errors = existing.oracle.answer([query])
    assert not errors
    existing.stores.calls.clear()
    assert await existing.ask(document([query])) == expected
    assert existing.stores.calls == {
        "shop.invoice_documents": 1,
        "listening.track_nodes": 1,
        "listening.plays": 1,
        "music.tracks": 1,
        "listening.listeners": 1,
        "music.customers": 1,
        "shop.customer_documents": 1,
    }


async def test_edges_with_their_properties_over_two_databases(existing: Existing) -> None:
    """Edges of Neo4j lead to rows of PostgreSQL, each once though it was played often."""
    query = nodes(
        "customers",
        "id",
        nodes("played", "id", "name", text="(first: 40)", first=40),
        nodes("followed", "id", "name", text="(first: 40, orderBy: {field: NAME})", first=40, order=[("name", False)]),
        text="(first: 60)",
        first=60,
    )
    expected, _ = existing.oracle.answer([query])
    existing.stores.calls.clear()
    assert await existing.ask(document([query])) == expected
    assert existing.stores.calls == {
        "music.customers": 1,
        "listening.plays": 1,
        "listening.follows": 1,
        "music.tracks": 1,
        "music.artists": 1,
    }
    assert all(
        row["played"]["totalCount"] == len({track["id"] for track in row["played"]["nodes"]}) for row in expected["customers"]["nodes"]
    )
