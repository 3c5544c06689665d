"""Every operator of every column's filter, for every collection, with values that are there, that are not, and that no row can have."""

from __future__ import annotations

import random
from typing import Any

import pytest
from graphql import get_named_type
from strawberry.utils.str_converters import to_camel_case

from gateway.engine.sources.source import source_in
from gateway.stores.base import Collection
from tests.existing.conftest import Existing
from tests.existing.generated import comparison, operators_of
from tests.existing.oracle import SCHEMA, in_order
from tests.existing.test_walks import ROOTS, ids

TRIES = 4  # values for each operator
SHOWN = 20
AT_ONCE = 8  # in one operation

QUERY: Any = SCHEMA.query_type


def collection_of(name: str) -> Collection:
    source: Any = source_in(QUERY.fields[name])
    collection: Collection = source.collection
    return collection


@pytest.mark.parametrize("name", ROOTS)
def test_all_operators_are_tried(name: str) -> None:
    collection = collection_of(name)
    fields: Any = get_named_type(QUERY.fields[name].args["where"].type)
    offered = {
        column: sorted(get_named_type(field.type).fields) for column, field in fields.fields.items() if column not in ("and", "or", "not")
    }
    assert offered == {to_camel_case(column.name): sorted(operators_of(column)) for column in collection.columns}


@pytest.mark.parametrize("name", ROOTS)
async def test_filters(existing: Existing, name: str) -> None:
    collection = collection_of(name)
    rows = in_order(collection, existing.rows[collection.name], ())
    chance = random.Random(name)
    filters = [comparison(chance, column, op, rows) for column in collection.columns for op in operators_of(column) for _ in range(TRIES)]
    for start in range(0, len(filters), AT_ONCE):
        some = filters[start : start + AT_ONCE]
        fields = [
            f"f{number}: {name}(first: {SHOWN}, where: {one.text}) {{ totalCount nodes {{ id }} }}" for number, one in enumerate(some)
        ]
        found = await existing.ask("{ " + "\n".join(fields) + " }")
        for number, one in enumerate(some):
            expected = ids(collection, [row for row in rows if one.holds(row)])
            got = found[f"f{number}"]
            assert ([node["id"] for node in got["nodes"]], got["totalCount"]) == (expected[:SHOWN], len(expected)), one.text
