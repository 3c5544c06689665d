"""Which fields say by themselves that they are null only together with an error, and that they are held to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import strawberry
from graphql import GraphQLObjectType, build_schema, is_non_null_type

from gateway.context import RequestContext
from gateway.errors import StoreUnavailable
from gateway.graph.fields import (
    Connection,
    Graph,
    Node,
    PageInfo,
    batched,
    column,
    computed,
    count,
    each,
    lookup,
    many,
    node,
    nodes,
    one,
    part,
    stats,
)
from gateway.stores.base import Collection, Column, Key, Type
from tests.gateway.engine.graphs import By, Named, Sorted, both, graph

RIDES = Collection(
    "rides",
    "rides",
    (
        Column("id", refers="Ride"),
        Column("name", nullable=True),
        Column("bus_id", nullable=True),
        Column("stops", Type.TEXTS, nullable=True),
    ),
)
BUSES = Collection("buses", "buses", (Column("id", refers="Bus"), Column("name")))
SEAT = (Column("ride", refers="Ride"),)
PROMISED: dict[str, Any] = {}


async def promised(_: RequestContext, keys: Sequence[Key]) -> list[Any]:
    return [PROMISED.get(key) for key in keys]


@strawberry.type
class Bus(Node):
    id: strawberry.ID = column()
    name: str = column()


@strawberry.type
class Count:
    count: int = column()


@strawberry.type
class Seat:
    ride: Ride | None = one(RIDES, by="ride", drop=True)


@strawberry.type
class SureRides:
    nodes: list[Ride | None] | None = part("nodes", "")
    page_info: PageInfo | None = part("page_info", "")
    total_count: int = part("total_count", "")


@strawberry.type
class Ride(Node):
    id: strawberry.ID = column()
    name: str | None = column()
    length: int | None = computed(lambda key: len(key), needs=["id"])
    bus: Bus | None = one(BUSES, by="bus_id")
    dropped: Bus | None = one(BUSES, by="bus_id", drop=True)
    sure_dropped: Bus = one(BUSES, by="bus_id", drop=True)
    stops: list[Bus] | None = each(BUSES, by="stops")
    sure_stops: list[Bus] = each(BUSES, by="stops")
    loose_stops: list[Bus] | None = each(BUSES, by="stops", semantic_non_null=False)
    seats: list[Seat] | None = batched(promised, columns=SEAT, semantic_non_null=True)
    sure_seats: list[Seat] = batched(promised, columns=SEAT, semantic_non_null=True)
    loose_seats: list[Seat] | None = batched(promised, columns=SEAT)
    price: int | None = batched(promised, semantic_non_null=True)
    seat: Seat | None = batched(promised, columns=SEAT)


def _stats(**options: Any) -> Any:
    return stats(RIDES, measures={"count": count()}, where=Named, group=By, default=[By.NAME], **options)


@strawberry.type
class Query:
    node: Node | None = node()
    nodes: list[Node | None] | None = nodes()
    ride: Ride | None = lookup(RIDES, by={"id": "id"})
    rides: Connection[Ride] | None = many(RIDES, where=Named, order=Sorted)
    sure_rides: Connection[Ride] = many(RIDES, where=Named, order=Sorted)
    own_rides: SureRides | None = many(RIDES, where=Named, order=Sorted)
    ride_stats: list[Count] | None = _stats()
    sure_ride_stats: list[Count] = _stats()


def _graph() -> Graph:
    return graph(Query, RIDES, BUSES, types=[Bus])


def _said(graph_: Graph) -> dict[str, Any]:
    """Return the types of the fields that have the directive, by ``Type.field``, as clients' tools read them in the SDL."""
    return {
        f"{type_.name}.{name}": field.type
        for type_ in build_schema(graph_.schema.as_str()).type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        if field.ast_node is not None and any(d.name.value == "semanticNonNull" for d in field.ast_node.directives or ())
    }


def test_a_nullable_field_that_is_null_only_with_an_error_says_so_and_no_other_does() -> None:
    found = _said(_graph())
    assert set(found) == {
        "Query.rides",
        "Query.ownRides",
        "Query.rideStats",
        "Ride.dropped",
        "Ride.stops",
        "Ride.seats",
        "Ride.price",
        "Seat.ride",
        "RideConnection.edges",
        "RideConnection.nodes",
        "RideConnection.totalCount",
        "RideEdge.node",
        "SureRides.nodes",
        "SureRides.pageInfo",
    }
    assert not any(is_non_null_type(type_) for type_ in found.values())


def test_it_is_printed_without_arguments_under_a_definition_with_its_default() -> None:
    sdl = _graph().schema.as_str()
    assert "directive @semanticNonNull(levels: [Int!]! = [0]) on FIELD_DEFINITION\n" in sdl
    assert "  price: Int @semanticNonNull\n" in sdl
    assert "@semanticNonNull(" not in sdl.replace("directive @semanticNonNull(", "")


def test_a_graph_that_needs_it_nowhere_does_not_define_it() -> None:
    @strawberry.type
    class Alone:
        bus: Bus | None = lookup(BUSES, by={"id": "id"})

    assert "semanticNonNull" not in graph(Alone, BUSES).schema.as_str()


@pytest.mark.parametrize(
    ("field", "selected"), [("stops", "{ id }"), ("seats", "{ __typename }"), ("price", ""), ("dropped", "{ id }")], ids=lambda text: text
)
async def test_a_null_where_none_was_promised_is_an_error_and_its_neighbours_survive(field: str, selected: str) -> None:
    PROMISED.clear()
    pair = await both(_graph(), {RIDES: [("1", None, None, None)]})
    await pair.answer(
        f'{{ ride(id: "1") {{ name {field} {selected} bus {{ id }} looseStops {{ id }} looseSeats {{ __typename }} }} }}',
        data={"ride": {"name": None, field: None, "bus": None, "looseStops": None, "looseSeats": None}},
        errors={f"ride.{field}": f"Cannot return null for semantically non-null field Ride.{field}."},
    )


async def test_a_row_that_is_left_out_is_none_of_those_nulls() -> None:
    PROMISED.clear()
    PROMISED["1"] = [("gone",), ("1",)]
    pair = await both(_graph(), {RIDES: [("1", None, None, None)]})
    await pair.answer('{ ride(id: "1") { seats { ride { id } } } }', data={"ride": {"seats": [{"ride": {"id": "Ride:1"}}]}})


async def test_a_row_that_is_no_item_of_a_list_cannot_be_left_out() -> None:
    PROMISED.clear()
    PROMISED["1"] = ("gone",)
    pair = await both(_graph(), {RIDES: [("1", None, None, None)]})
    await pair.answer(
        '{ ride(id: "1") { id seat { ride { id } } } }',
        data={"ride": {"id": "Ride:1", "seat": {"ride": None}}},
        errors={"ride.seat.ride": "Cannot return null for semantically non-null field Seat.ride."},
    )


async def test_a_store_that_does_not_answer_is_the_error_of_promised_fields_as_of_others() -> None:
    pair = await both(_graph(), {RIDES: [("1", None, "b", ["b"])]})
    pair.memory["buses"].fail_with = StoreUnavailable("buses")
    down = "The store 'buses' is unavailable."
    await pair.answer(
        '{ ride(id: "1") { bus { id } dropped { id } stops { id } } }',
        data={"ride": {"bus": None, "dropped": None, "stops": None}},
        errors={"ride.bus": down, "ride.dropped": down, "ride.stops": down},
    )


def test_a_collection_hidden_by_a_field_of_its_name_is_told() -> None:
    invoices = Collection("invoices", "s", (Column("id", refers="Invoice"),))
    hidden = many(invoices, by="id", where=Named, order=Sorted)
    calls: Sequence[tuple[str, Callable[[], Any]]] = (
        ("stats", lambda: stats(hidden, measures={"count": count()}, where=Named, group=By, default=[])),
        ("many", lambda: many(hidden, by="id", where=Named, order=Sorted)),
        ("one", lambda: one(hidden, by="id")),
        ("each", lambda: each(hidden, by="id")),
        ("lookup", lambda: lookup(hidden, by={"id": "id"})),
    )
    for function, call in calls:
        with pytest.raises(TypeError, match=rf"^{function}\(\): expected a Collection, got a field: in the body of a class"):
            call()
    with pytest.raises(TypeError, match=r"^one\(\): expected a Collection, got a str$"):
        one("invoices", by="id")  # type: ignore[arg-type]
