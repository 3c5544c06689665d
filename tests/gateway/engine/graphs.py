"""Tiny graphs over memory stores, and operations run by both executors: the engine, and the oracle over the same sources and stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson
import strawberry
from strawberry.schema.config import StrawberryConfig

from gateway.graph.fields import Graph
from gateway.graph.inputs import Direction
from gateway.graph.operators import StringFilter
from gateway.graph.scalars import SCALARS
from gateway.service import Request, Response, Service
from gateway.stores import Stores
from gateway.stores.base import Collection, Row, Store, Upsert
from gateway.stores.memory import MemoryStore
from tests.oracle.executor import Executor

MASKED = "Internal server error."

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
    oracle: Executor

    async def answer(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        data: Any,
        errors: Mapping[str, str] | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Return the answer after holding both executors to ``data`` (the order of keys counts) and ``errors`` (path to message)."""
        got = await self.one(self.engine, query, variables, operation)
        expected = await self.one(self.oracle, query, variables, operation)
        for answer in (got, expected):
            assert orjson.dumps(answer["data"]) == orjson.dumps(data), answer
            assert {_path(error): error["message"] for error in answer.get("errors", ())} == dict(errors or {}), answer
            assert all(error["locations"] for error in answer.get("errors", ())), "a failed field is located"
        assert _told(got) == _told(expected)
        return got

    async def by_engine(
        self, query: str, variables: Mapping[str, Any] | None = None, *, data: Any, errors: Mapping[str, str] | None = None
    ) -> None:
        """Hold the engine alone to an answer: the oracle has no sources below objects, and no names that are not Strawberry's usual."""
        answer = await self.one(self.engine, query, variables)
        assert orjson.dumps(answer["data"]) == orjson.dumps(data), answer
        assert {_path(error): error["message"] for error in answer.get("errors", ())} == dict(errors or {}), answer

    async def refused(self, query: str, variables: Mapping[str, Any] | None = None, *, code: str, status: int = 422) -> list[str]:
        """Return the engine's messages of an operation that both executors refuse whole, before any store is asked.

        The oracle has words of its own; it must find fault with the same root fields.
        """
        self.forget()
        response = await respond(self.engine, query, variables)
        answers: list[dict[str, Any]] = [orjson.loads(response.body), await self.oracle.execute(query, variables)]
        for answer in answers:
            assert "data" not in answer, answer
            assert {error["extensions"]["code"] for error in answer["errors"]} == {code}, answer
        assert response.status == status
        assert self.asked() == []
        got, expected = ({tuple(error["extensions"].get("path", ())[:1]) for error in answer["errors"]} for answer in answers)
        assert got == expected
        return [error["message"] for error in answers[0]["errors"]]

    async def one(
        self, executor: Service | Executor, query: str, variables: Mapping[str, Any] | None = None, operation: str | None = None
    ) -> dict[str, Any]:
        """Return the decoded answer of one executor; ``asked`` then holds its calls alone."""
        self.forget()
        answer: dict[str, Any]
        if isinstance(executor, Executor):
            answer = await executor.execute(query, variables, operation)
        else:
            answer = orjson.loads((await respond(executor, query, variables, operation)).body)
        assert "data" in answer, answer
        return answer

    async def data(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """Return the data of the engine's answer, in which nothing failed; ``asked`` then holds its calls."""
        answer = await self.one(self.engine, query, variables)
        assert "errors" not in answer, answer
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
    return Both(opened, memory, Service(graph, opened), Executor(graph, opened))


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
