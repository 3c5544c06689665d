"""A way of getting data from outside the package: one class, and no other file knows of it. And the phases name none of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import strawberry

import gateway
from gateway.engine.complete import Building
from gateway.engine.declared import Declared, Problem, Rows
from gateway.engine.execute import Run
from gateway.engine.explain import text_of
from gateway.engine.plan import FieldPlan, Place, View
from gateway.engine.planner import Planning
from gateway.engine.results import Result
from gateway.engine.sources.key import Child, Failing, rows_of
from gateway.engine.sources.source import Asked, Source, Steps
from gateway.errors import StoreUnavailable
from gateway.graph.checks import check
from gateway.graph.fields import Connection, Node, column, field_of, many, one
from gateway.graph.inputs import filter_of, order_of
from gateway.security.limits import Limits
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Fetch, Match, Order, Page, Request, Row, Slice, Type, Upsert
from gateway.stores.memory import MemoryStore
from tests.gateway.engine.graphs import graph, respond

SHEEP = Collection("sheep", "meadow", (Column("id", refers="Sheep"), Column("name")))
VISITS = Collection("visits", "diary", (Column("id"), Column("sheep_id", refers="Sheep"), Column("at", Type.TIME), Column("note")))


@dataclass(frozen=True, slots=True)
class Latest(Source):
    """The row of each parent that is the last by a column."""

    collection: Collection
    by: str
    time: str

    @property
    def home(self) -> Collection:
        return self.collection

    def check(self, field: Declared) -> Iterator[Problem]:
        yield from field.of_collection(self.collection)
        yield from field.of_column_in(self.collection, self.by)
        yield from field.of_objects(self.collection, many=False)

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        yield field.named, rows_of(self.collection)

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        place = planning.place(view, asked, self, by=view.key, declared=self.collection.declared)
        planning.arguments(place, asked)
        planning.objects(place, asked)
        return Child(*asked.common, place, place.slot)

    def steps(self, place: Place, run: Run) -> Steps:
        keys = run.keys(place)
        if not keys:
            return Result()
        order = (Order(self.time, descending=True),)
        groups: Mapping[Any, Slice] = yield Fetch(self.collection, place.layout.columns, Match(self.by, keys), order=order, page=Page(1))
        found = {key: part.rows[0] for key, part in groups.items() if part.rows}
        return Result(rows=list(found.values()), keys=list(found))

    def out(self, place: Place, building: Building) -> Any:
        result = building.results[place.index]
        if result.error is not None:
            return Failing(result.error)
        return dict(zip(result.keys, building.objects(place.views[0], result.rows), strict=True))

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "latest", by=self.by)


@strawberry.type
class Visit:
    at: str = column()
    note: str = column()
    sheep: Sheep | None = one(SHEEP, by="sheep_id")


@strawberry.type
class Sheep(Node):
    id: strawberry.ID = column()
    name: str = column()
    last_visit: Visit | None = field_of(Latest(VISITS, "sheep_id", "at"), description="When somebody was here last.")


@strawberry.type
class Query:
    sheep: Connection[Sheep] = many(SHEEP, where=filter_of(SHEEP), order=order_of(SHEEP))


GRAPH = graph(Query, SHEEP, VISITS)
ROWS: dict[Collection, Sequence[Row]] = {
    SHEEP: [("1", "Dolly"), ("2", "Shaun")],
    VISITS: [
        ("a", "1", "2021-01-01T00:00:00.000Z", "old"),
        ("b", "1", "2022-01-01T00:00:00.000Z", "new"),
        ("c", "1", "2021-06-01T00:00:00.000Z", "middle"),
    ],
}
QUERY = "{ sheep { nodes { name lastVisit { note sheep { name } } } } }"


async def served(diary: MemoryStore | None = None) -> tuple[Service, list[MemoryStore]]:
    """Return the graph over memory stores, and these."""
    memory = {"meadow": MemoryStore("meadow"), "diary": diary or MemoryStore("diary")}
    stores = Stores(memory)
    await stores.open()
    for collection, rows in ROWS.items():
        await stores.ask(Upsert(collection, rows))
    for store in memory.values():
        store.calls.clear()
    return Service(GRAPH, stores), list(memory.values())


async def answer_of(service: Service) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads((await respond(service, QUERY)).body)
    return answer


async def test_a_source_of_ones_own_is_planned_batched_and_built() -> None:
    service, stores = await served()
    dolly = {"name": "Dolly", "lastVisit": {"note": "new", "sheep": {"name": "Dolly"}}}
    assert await answer_of(service) == {"data": {"sheep": {"nodes": [dolly, {"name": "Shaun", "lastVisit": None}]}}}
    assert [[type(request).__name__ for request in store.calls] for store in stores] == [["Fetch", "Get"], ["Fetch"]]
    assert "sheep.lastVisit: latest diary.visits(note, sheep_id)  [by sheep_id]" in text_of(service.plan(QUERY))


async def test_its_checks_run_with_the_others() -> None:
    assert check(GRAPH) == []
    found = list(map(str, check(graph(Query, SHEEP))))
    assert found == ["Sheep.lastVisit: expected one of the graph's collections (sheep), got visits, which the graph leaves out"]


async def test_what_it_asks_may_fail_alone() -> None:
    class Down(MemoryStore):
        async def answer(self, request: Request[Any]) -> Any:
            if isinstance(request, Fetch):
                raise StoreUnavailable("diary")
            return await super().answer(request)

    service, _ = await served(Down("diary"))
    answer = await answer_of(service)
    assert answer["data"] == {"sheep": {"nodes": [{"name": "Dolly", "lastVisit": None}, {"name": "Shaun", "lastVisit": None}]}}
    assert [error["path"] for error in answer["errors"]] == [["sheep", "nodes", 0, "lastVisit"], ["sheep", "nodes", 1, "lastVisit"]]


def test_no_phase_names_a_kind_of_source() -> None:
    """What graphs are written with names them, and each other's files; nobody else."""
    package = Path(gateway.__file__).parent
    generic = {"KEPT", "NO_ARGUMENTS", "Asked", "Bound", "Call", "Source", "Steps", "source_of", "source_in", "OBJECT"}
    generic |= {"Streaming", "Happened"}  # what every source of a stream is, and gives
    named: dict[str, set[str]] = {}
    for file in package.rglob("*.py"):
        where = file.relative_to(package).as_posix()
        if where.startswith(("engine/sources/", "graph/")):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway.engine.sources"):
                named.setdefault(where, set()).update(alias.name for alias in node.names if alias.name not in generic)
    assert {where: names for where, names in named.items() if names} == {}


def test_graphql_core_executes_introspection_alone() -> None:
    """It parses and validates; its executor serves selections of ``__schema`` and ``__type`` in one file."""
    package = Path(gateway.__file__).parent
    executing = {"execute", "execute_sync", "subscribe", "graphql", "graphql_sync", "experimental_execute_incrementally"}
    found = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").split(".")[0] == "graphql"
        and any(alias.name in executing for alias in node.names)
    }
    assert found == {"engine/introspection.py"}


async def test_two_services_over_one_graph_do_not_change_each_other() -> None:
    schema: Any = GRAPH.schema._schema
    before = _resolvers(schema)
    one_, _ = await served()
    other, _ = await served()
    small = Service(GRAPH, other.stores, Limits(page_max=1, page_default=1))
    wanted = await answer_of(one_)
    assert len((await answer_of(small))["data"]["sheep"]["nodes"]) == 1
    assert await answer_of(one_) == await answer_of(other) == wanted
    assert _resolvers(schema) == before


def _resolvers(schema: Any) -> list[Any]:
    fields = (definition for type_ in schema.type_map.values() for definition in getattr(type_, "fields", {}).values())
    return [getattr(definition, "resolve", None) for definition in fields]
