"""What MongoDB cannot hold or compare is refused when a graph is checked, before anything is asked of a store."""

from __future__ import annotations

import strawberry

from gateway.graph.checks import check
from gateway.graph.fields import Node, column, lookup
from gateway.stores.base import Collection, Column, Type
from gateway.stores.kinds import kinds_of
from tests.gateway.engine.graphs import graph

LAPS = Collection(
    "laps",
    "track",
    (
        Column("id", refers="Lap"),
        Column("ended", Type.TIME, precision=6),
        Column("began", Type.TIME, precision=0),
        Column("took", Type.CLOCK, precision=9),
        Column("driver", collation="nocase"),
    ),
)


@strawberry.type
class Lap(Node):
    id: strawberry.ID = column()


@strawberry.type
class Query:
    lap: Lap | None = lookup(LAPS, by={"id": "id"})


def told(url: str) -> list[str]:
    return [str(problem) for problem in check(graph(Query, LAPS), kinds_of({"track": url}))]


def test_more_digits_than_a_date_has_and_other_collations_are_refused() -> None:
    for url in ("mongodb://h/db", "mongodb+motor://h/db"):
        assert told(url) == [
            "collection laps: column ended: expected a TIME of at most 3 digits of a second (precision), which is what mongodb holds,"
            " got 6",
            "collection laps: column driver: expected a collation that mongodb has: C, got nocase",
        ]


def test_other_kinds_are_asked_for_what_they_have() -> None:
    assert told("memory://") == []
