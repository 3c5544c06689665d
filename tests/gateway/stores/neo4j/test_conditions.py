"""What Cypher is written for declarations and filters, without a server."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.stores.base import And, Collection, Column, Compare, Not, Op, Or, Relationship, Type
from gateway.stores.neo4j.conditions import conditions, split
from gateway.stores.neo4j.forms import sortable, unsorted
from gateway.stores.neo4j.schema import wanted
from gateway.stores.neo4j.sources import Source

listeners = Collection(
    "listeners",
    "s",
    (Column("id", Type.INT, at="listenerId"), Column("name", nullable=True, at="full name"), Column("age", Type.INT, nullable=True)),
)
tracks = Collection("tracks", "s", (Column("isrc"),), key=("isrc",))
rated = Collection(
    "rated",
    "s",
    (Column("nr", Type.UUID), Column("critic", Type.INT), Column("film", Type.INT)),
    key=("nr",),
    relationship=Relationship("RATED", "Critic", "critic", "Film", "film", "no", "no"),
    managed=True,
)
NUMBERS = [
    "-Infinity",
    "-1E+30",
    "-100.5",
    "-100.25",
    "-100",
    "-1.1",
    "-0.001",
    "0",
    "1E-30",
    "0.5",
    "0.51",
    "1",
    "9",
    "10",
    "1E+300",
    "Infinity",
    "NaN",
]


def test_texts_of_numbers_stand_in_their_order_and_can_be_read_again() -> None:
    texts = [sortable(Decimal(number)) for number in NUMBERS]
    assert sorted(texts) == texts
    assert [str(unsorted(text)) for text in texts] == [
        str(Decimal(number).normalize()) if "N" not in number else number for number in NUMBERS
    ]


@pytest.mark.parametrize(
    ("collection", "message"),
    [
        (
            replace(tracks, columns=(Column("isrc", at="id()"),)),
            r"column isrc: expected a property, or elementId\(\) as a TEXT, got id\(\)",
        ),
        (replace(tracks, columns=(Column("isrc", Type.INT, at="elementId()"),)), r"got elementId\(\) as INT"),
    ],
)
def test_what_is_no_property_is_refused(collection: Collection, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Source("", collection)


def test_a_managed_relationship_needs_a_label_for_the_nodes_that_it_makes() -> None:
    anywhere = replace(rated, relationship=Relationship("RATED", "Critic", "critic", "", "film"))
    with pytest.raises(
        ValueError, match="collection rated: expected one label of its end, for a migration makes that end's property unique; got none"
    ):
        wanted("", [anywhere])


def test_conditions_of_one_shape_are_one_parameter() -> None:
    source = Source("", listeners)
    pairs = [And((Compare("id", "gte", n), Compare("name", "ne", str(n)))) for n in range(100)]
    shape, parameters = split(source, Or((*pairs, Compare("age", "eq", None))))
    text = conditions(source, shape)[0]
    assert parameters == {"w0": [[n, str(n)] for n in range(100)], "never": False}
    assert text == (
        "(any(_v0 IN $w0 WHERE (n.`listenerId` >= _v0[0] AND n.`listenerId` IS :: INTEGER AND coalesce(n.`full name` <> _v0[1], true)))"
        " OR n.`age` IS NULL)"
    )
    shape, parameters = split(source, Not(Or(tuple(Compare("age", "eq", n) for n in range(100)))))
    assert parameters == {"w0": [*range(100)], "never": False}
    assert conditions(source, shape) == ["NOT coalesce(n.`age` IN $w0 AND n.`age` IS :: INTEGER, false)"]


def test_many_conditions_are_no_deep_tree() -> None:
    source = Source("", listeners)
    ops: tuple[Op, ...] = ("eq", "gt", "lt", "gte", "lte", "ne")
    wheres = [And((Compare("id", a, 1), Compare("age", b, 1))) for a in ops for b in ops]
    shape, _ = split(source, Or(tuple(wheres)))
    [text] = conditions(source, shape)
    depth, deepest = 0, 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    assert text.count(" OR ") == len(wheres) - 1
    assert deepest < 8
