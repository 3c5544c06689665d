"""Every connection of the schema, walked through all its pages in both directions and by every order: each row comes once, in its place.

What the pages must be is worked out over the rows that plain drivers read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type

from gateway.engine.sources import Many
from gateway.engine.sources.source import source_in
from gateway.stores.base import Collection
from tests.existing.conftest import Existing
from tests.existing.graph import COLLECTIONS
from tests.existing.oracle import SCHEMA, Field, in_order
from tests.existing.rows import Record

PAGES = 3  # of a connection, about
ROWS_MAX = 500  # below the parent whose connection is walked
BY_TYPE = {collection.type_name: collection for collection in COLLECTIONS}


def connections(type_: GraphQLObjectType) -> list[tuple[str, Many]]:
    found = [(name, source_in(definition)) for name, definition in type_.fields.items()]
    return [(name, source) for name, source in found if isinstance(source, Many)]


def orders_of(type_: GraphQLObjectType, name: str) -> list[tuple[str, str]]:
    """Each value of the connection's order enum, and the column that it stands for."""
    order: Any = get_named_type(type_.fields[name].args["orderBy"].type)
    values = get_named_type(order.fields["field"].type).values
    return [(name, getattr(value.value, "value", value.value)) for name, value in values.items()]


QUERY: Any = SCHEMA.query_type
ROOTS = [name for name, _ in connections(QUERY)]
BELOW = [
    (type_.name, name)
    for type_ in SCHEMA.type_map.values()
    if isinstance(type_, GraphQLObjectType) and (type_.name in BY_TYPE)
    for name, _ in connections(type_)
]


def ids(collection: Collection, rows: Sequence[Record]) -> list[str]:
    return [f"{collection.type_name}:{','.join(str(row[name]) for name in collection.key)}" for row in rows]


async def walk(existing: Existing, frame: str, name: str, order: str, count: int, *, backward: bool) -> tuple[list[str], list[int]]:
    """Return the ids of all pages in their order, and how many there were on each; ``frame`` has %s where the connection stands."""
    size = max(1, -(-count // PAGES))
    counted, edge, side, more = (
        ("last", "before", "startCursor", "hasPreviousPage") if backward else ("first", "after", "endCursor", "hasNextPage")
    )
    connection = f"c: {name}({counted}: {size}, {edge}: $cursor, orderBy: {order}) {{ nodes {{ id }} pageInfo {{ {side} {more} }} }}"
    text = f"query ($cursor: String) {frame % connection}"
    walked: list[str] = []
    sizes: list[int] = []
    cursor = None
    for _ in range(PAGES + 2):
        data = await existing.ask(text, cursor=cursor)
        page = data["c"] if "c" in data else data["node"]["c"]
        found = [row["id"] for row in page["nodes"]]
        walked = [*found, *walked] if backward else [*walked, *found]
        sizes.append(len(found))
        cursor = page["pageInfo"][side]
        if not page["pageInfo"][more]:
            return walked, sizes
    raise AssertionError(f"{name} by {order} did not end: {sizes}")


async def walk_every_order(existing: Existing, frame: str, type_: GraphQLObjectType, name: str, rows: Sequence[Record]) -> None:
    source = source_in(type_.fields[name])
    assert isinstance(source, Many)
    collection = source.collection
    for value, column in orders_of(type_, name):
        for direction in ("ASC", "DESC"):
            expected = ids(collection, in_order(collection, rows, [(column, direction == "DESC")]))
            for backward in (False, True):
                order = f"{{field: {value}, direction: {direction}}}"
                walked, sizes = await walk(existing, frame, name, order, len(rows), backward=backward)
                assert walked == expected, (name, order, backward)
                assert len(set(walked)) == len(rows)
                assert 0 not in sizes[1:], "no page but the first is empty"


@pytest.mark.parametrize("name", ROOTS)
async def test_connections_of_the_root(existing: Existing, name: str) -> None:
    source = source_in(QUERY.fields[name])
    assert isinstance(source, Many)
    rows = existing.rows[source.collection.name]
    assert rows
    await walk_every_order(existing, "{ %s }", QUERY, name, rows)
    counted = await existing.ask(f"{{ {name}(first: 0) {{ totalCount nodes {{ id }} pageInfo {{ hasNextPage }} }} }}")
    assert counted[name] == {"totalCount": len(rows), "nodes": [], "pageInfo": {"hasNextPage": True}}


@pytest.mark.parametrize(("type_name", "name"), BELOW)
async def test_connections_below_rows(existing: Existing, type_name: str, name: str) -> None:
    """Those of the parent with the most rows up to ROWS_MAX; and the first page of every parent, all of them in one call."""
    type_: Any = SCHEMA.type_map[type_name]
    home = BY_TYPE[type_name]
    oracle = existing.oracle
    most: tuple[int, str, Sequence[Record]] = (0, "", ())
    parents = in_order(home, existing.rows[home.name], ())
    source: Any = source_in(type_.fields[name])
    for parent, id_ in zip(parents, ids(home, parents), strict=True):
        rows = oracle.below(source, home, parent)
        if len(rows) <= ROWS_MAX:
            most = max(most, (len(rows), id_, rows), key=lambda found: found[0])
    count, id_, rows = most
    assert count, "a relation without any rows is none"
    await walk_every_order(existing, f'{{ node(id: "{id_}") {{ ... on {type_name} {{ %s }} }} }}', type_, name, rows)

    asked = Field("c", name, "(first: 2)", [Field("totalCount", "totalCount"), Field("nodes", "nodes", "", [Field("id", "id")])], first=2)
    root = next(one for one in ROOTS if getattr(source_in(QUERY.fields[one]), "collection", None) is home)
    fields = [Field(root, root, "(first: 500)", [Field("nodes", "nodes", "", [Field("id", "id"), asked])], first=500)]
    expected, errors = oracle.answer(fields)
    existing.stores.calls.clear()
    assert await existing.ask("{\n" + fields[0].document() + "\n}") == expected
    assert not errors
    assert set(existing.stores.calls.values()) <= {1, 2}, "one call for a collection, not one for a parent"
