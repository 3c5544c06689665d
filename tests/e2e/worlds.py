"""Whole gateways for tests: the nouns laid out over kinds of store in several ways, migrated and loaded as an operator would."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.loading import LoadReport, load_folder
from gateway.migrating import migrate
from gateway.service import Request, Response, Service
from gateway.stores import Stores
from gateway.stores.funnel import Layer
from schema import schema as graph
from tests.kinds import KINDS, needs, url_of
from tests.oracle.comparing import Answer, Operation

# Which kind each store of the graph is of, in the order of its stores (users, posts, events, recommendations); again from the first
# where there are more stores.
LAYOUTS: dict[str, tuple[str, ...]] = {
    "embedded": ("sqlite",),
    "servers": ("postgresql", "postgresql", "mongodb", "neo4j"),
    "turned": ("mongodb", "neo4j", "postgresql", "sqlite"),
    "turned again": ("neo4j", "mongodb+motor", "sqlite", "postgresql"),
    "graph in MongoDB": ("sqlite", "postgresql", "neo4j", "mongodb"),
    "in memory": ("memory",),
}


def layouts() -> list[Any]:
    """The layouts as parameters, marked live with the servers they need."""
    return [pytest.param(name, id=name, marks=_marks(kinds)) for name, kinds in LAYOUTS.items()]


def _marks(kinds: tuple[str, ...]) -> list[pytest.MarkDecorator]:
    servers = list(dict.fromkeys(server for kind in kinds if (server := KINDS[kind]) is not None))
    return [needs(*servers)] if servers else []


@dataclass
class World:
    """A gateway over loaded stores, and the loop that its connections belong to."""

    service: Service
    stores: Stores
    runner: asyncio.Runner
    report: LoadReport

    async def respond(self, operation: Operation, idempotency_key: str | None = None) -> Response:
        request = Request(operation.query, dict(operation.variables), operation.operation_name, idempotency_key=idempotency_key)
        return await self.service.answer(request, request_id="test", deadline_s=60)

    async def execute(self, query: str, variables: Mapping[str, Any] | None = None, operation_name: str | None = None) -> Answer:
        """Return the decoded answer; what the oracle's comparers call."""
        answer: Answer = orjson.loads((await self.respond(Operation(query, dict(variables or {}), operation_name))).body)
        return answer

    def ask(self, query: str, variables: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> dict[str, Any]:
        response = self.runner.run(self.respond(Operation(query, dict(variables or {}), None), idempotency_key))
        return dict(orjson.loads(response.body))


@contextmanager
def world(layout: str, folder: Path, layers: Sequence[Layer] = ()) -> Iterator[World]:
    """Give a gateway over empty stores of these kinds, with ``folder`` loaded into them, and these layers before them."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            yield runner.run(_made(stack, LAYOUTS[layout], folder, runner, layers))
        finally:
            runner.run(stack.aclose())


async def _made(stack: AsyncExitStack, kinds: tuple[str, ...], folder: Path, runner: asyncio.Runner, layers: Sequence[Layer]) -> World:
    shared: dict[str, str] = {}  # two stores of one kind of server share its URL, as they would in production
    urls: dict[str, str] = {}
    for name, kind in zip(graph.store_names, cycle(kinds), strict=False):
        if kind not in shared or kind == "sqlite":
            shared[kind] = await stack.enter_async_context(url_of(kind))
        urls[name] = shared[kind]
    # These tests are about answers, on a machine that may be busy.
    stores = Stores.connect(urls, timeout_s=30, write_timeout_s=60, layers=layers)
    await stores.open()
    stack.push_async_callback(stores.close)
    for name in graph.store_names:
        await migrate(stores, graph, name)
    report = await load_folder(stores, graph.datasets, folder)
    return World(Service(graph, stores), stores, runner, report)
