"""Tiny graphs over memory stores, and operations run by both executors: the engine, and graphql-core over the same sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson
import strawberry
from strawberry.schema.config import StrawberryConfig

from gateway.fields import Graph
from gateway.scalars import SCALARS
from gateway.service import Request, Response, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Row, Store, Upsert
from gateway.stores.memory import MemoryStore
from schema.inputs import Direction, StringFilter

MASKED = "Internal server error."
OFF = "the engine is off"  # what Service.unplanned calls an operation that the engine would have planned

Rows = Mapping[Collection, Sequence[Row]]


@strawberry.input
class Named:
    """A filter for collections that have a name."""

    name: StringFilter | None = strawberry.UNSET
    and_: list[Named] | None = strawberry.field(name="and", default=strawberry.UNSET)
    not_: Named | None = strawberry.field(name="not", default=strawberry.UNSET)


@strawberry.enum
class By(Enum):
    KEY = "id"
    NAME = "name"


@strawberry.input
class Sorted:
    field: By
    direction: Direction = Direction.ASC


def graph(query: type, *collections: Collection, **options: Any) -> Graph:
    """Return a graph of ``query``; options are Strawberry's: mutation, subscription, types."""
    scalars = SCALARS | options.pop("scalars", {})
    return Graph(schema=strawberry.Schema(query=query, config=StrawberryConfig(scalar_map=scalars), **options), collections=collections)


@dataclass
class Both:
    """One graph and its stores under both executors."""

    stores: Stores
    memory: Mapping[str, Any]
    engine: Service
    graphql_core: Service

    async def answer(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        data: Any,
        errors: Mapping[str, str] | None = None,
        unplanned: str | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Return the answer after holding both executors to ``data`` (the order of keys counts) and ``errors`` (path to message)."""
        got = await self.one(self.engine, query, variables, operation)
        assert dict(self.engine.unplanned) == ({} if unplanned is None else {unplanned: 1}), "planned, or fell back for this reason"
        expected = await self.one(self.graphql_core, query, variables, operation)
        for answer in (got, expected):
            assert orjson.dumps(answer["data"]) == orjson.dumps(data), answer
            assert {_path(error): error["message"] for error in answer.get("errors", ())} == dict(errors or {}), answer
            assert all(error["locations"] for error in answer.get("errors", ())), "a failed field is located"
        assert _told(got) == _told(expected)
        self.engine.unplanned.clear()
        return got

    async def refused(self, query: str, variables: Mapping[str, Any] | None = None, *, code: str, status: int = 422) -> list[str]:
        """Return the messages of an operation that both executors refuse whole, before any store is asked."""
        messages: list[list[str]] = []
        for service in (self.engine, self.graphql_core):
            self.forget()
            response = await respond(service, query, variables)
            answer = orjson.loads(response.body)
            assert "data" not in answer, answer
            assert {error["extensions"]["code"] for error in answer["errors"]} == {code}, answer
            assert response.status == status
            assert self.asked() == []
            messages.append([error["message"] for error in answer["errors"]])
        assert messages[0] == messages[1]
        return messages[0]

    async def one(
        self, service: Service, query: str, variables: Mapping[str, Any] | None = None, operation: str | None = None
    ) -> dict[str, Any]:
        """Return the decoded answer of one executor; ``asked`` then holds its calls alone."""
        self.forget()
        answer: dict[str, Any] = orjson.loads((await respond(service, query, variables, operation)).body)
        assert "data" in answer, answer
        return answer

    async def data(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """Return the data of the engine's answer, in which nothing failed; ``asked`` then holds its calls."""
        answer = await self.one(self.engine, query, variables)
        assert "errors" not in answer, answer
        assert not self.engine.unplanned
        return answer["data"]

    def asked(self) -> list[Any]:
        """Return what the stores were asked since the last operation, store by store."""
        return [call for store in self.memory.values() for call in store.calls]

    def forget(self) -> None:
        for store in self.memory.values():
            store.calls.clear()


async def both(graph: Graph, rows: Rows | None = None, *, stores: Mapping[str, Store] | None = None) -> Both:
    """Return both executors over memory stores that hold ``rows``; ``stores`` are used in place of some."""
    memory = {name: (stores or {}).get(name) or MemoryStore(name) for name in graph.store_names}
    opened = Stores(memory)
    await opened.open()
    for collection, its in (rows or {}).items():
        await opened.ask(Upsert(collection, its))
    return Both(opened, memory, Service(graph, opened), Service(graph, opened, engine=False))


async def respond(
    service: Service, query: str, variables: Mapping[str, Any] | None = None, operation: str | None = None, *, mutation_allowed: bool = True
) -> Response:
    given = None if variables is None else dict(variables)
    return await service.answer(Request(query, given, operation, mutation_allowed=mutation_allowed), request_id="test")


def _path(error: Mapping[str, Any]) -> str:
    return ".".join(map(str, error["path"]))


def _told(answer: Mapping[str, Any]) -> list[bytes]:
    """Return the errors in an order of their own: that of two executors is left open."""
    return sorted(orjson.dumps(error, option=orjson.OPT_SORT_KEYS) for error in answer.get("errors", ()))
