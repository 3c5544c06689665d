"""What the log has of slow calls, in each kind of store: its own statements, and none of the values in them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.context import RequestContext
from gateway.stores import Stores
from gateway.stores.base import (
    Aggregate,
    And,
    Collection,
    Column,
    Compare,
    Fetch,
    Get,
    Match,
    Measure,
    Or,
    Order,
    Page,
    Request,
    Type,
    Upsert,
)
from tests.kinds import kinds, store_of

SECRET = "hunter2"
COLUMNS = (Column("id"), Column("title", nullable=True), Column("pages", Type.INT, nullable=True), Column("tag", nullable=True))
PAPERS = Collection("papers", "tested", COLUMNS)
WHERE = And((Compare("title", "ne", SECRET), Or((Compare("pages", "gt", 987_654), Compare("tag", "in", (SECRET, "other"))))))
REQUESTS: list[Request[Any]] = [
    Get(PAPERS, ("title",), [SECRET, "1"]),
    Fetch(PAPERS, ("id", "title"), match=Match("tag", [SECRET]), where=WHERE, order=(Order("title"),), page=Page(3), count=True),
    Fetch(PAPERS, ("id",), where=Compare("title", "contains", SECRET), page=Page(3)),
    Aggregate(PAPERS, where=WHERE, groups=("tag",), measures=(Measure("count"), Measure("sum", "pages"))),
]


@pytest.mark.parametrize("kind", kinds(("postgresql", "sqlite", "mongodb", "neo4j")))
@pytest.mark.parametrize("request_", REQUESTS, ids=[f"{number} {request.operation}" for number, request in enumerate(REQUESTS)])
async def test_a_slow_call_is_told_with_its_statement_and_without_its_values(
    kind: str, request_: Request[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with store_of(kind, [PAPERS]) as store:
        stores = Stores({"tested": store}, slow_s={"tested": 1e-9})
        await stores.ask(Upsert(PAPERS, [("1", SECRET, 987_655, SECRET)]))
        caplog.clear()
        await RequestContext(stores, "r1").ask(request_)
    [record] = [record for record in caplog.records if record.name == "gateway.slow"]
    told = record.fields  # type: ignore[attr-defined]
    assert (told["request"], told["kind"], told["collection"], told["operation"]) == ("r1", kind, "papers", request_.operation)
    assert told["statements"]
    for statement in told["statements"]:
        assert "papers" in statement.lower() or "paper" in statement.lower()
        assert SECRET not in statement
        assert "987654" not in statement
