"""What a batch is handed: the stores, the time that is left, and the request's id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.errors import DeadlineExceeded, LimitExceeded
from gateway.stores import Stores
from gateway.stores.base import Aggregate, Fetch, Get, Groups, Match, NativeCall, Rows, Slices, statements

_T = TypeVar("_T")


@dataclass(slots=True)
class StoreCall:
    """What one call to a store was and how long it took; kept only when a trace was asked for."""

    store: str
    kind: str
    collection: str
    operation: str
    keys: int
    started_ms: float  # since the request's start
    duration_ms: float = 0.0
    rows: int = 0
    statements: list[Any] = field(default_factory=list)  # native: SQL text, pipeline, Cypher
    error: str | None = None


@dataclass(slots=True)
class RequestContext:
    """One request's. ``deadline`` is on the clock of ``time.monotonic``; None means the stores' own limits alone."""

    stores: Stores
    request_id: str = ""
    deadline: float | None = None
    trace: list[StoreCall] | None = None
    plan: Any = None  # the engine's, when it is to be explained
    started: float = 0.0  # on the same clock
    memo: dict[Any, Any] = field(default_factory=dict)  # the request's dataloaders
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)  # of the request; those left at its end are cancelled
    noted: list[LimitExceeded] = field(default_factory=list)  # limits that it is beyond where they are only measured

    def check(self) -> None:
        """Raise DeadlineExceeded when the request's time is up: for phases that wait for nothing."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlineExceeded(round(self.deadline - self.started, 3))

    async def get(self, get: Get) -> Rows:
        if self.trace is None:
            return await self.stores.get(get, timeout_s=self._left())
        return await self._traced(self.stores.get, get, get.collection.store, get.collection.name, "get", len(get.keys))

    async def fetch(self, fetch: Fetch) -> Slices:
        if self.trace is None:
            return await self.stores.fetch(fetch, timeout_s=self._left())
        keys = 0 if fetch.match is None else len(fetch.match.keys if isinstance(fetch.match, Match) else fetch.match.pairs)
        return await self._traced(self.stores.fetch, fetch, fetch.collection.store, fetch.collection.name, "fetch", keys)

    async def aggregate(self, aggregate: Aggregate) -> Groups:
        if self.trace is None:
            return await self.stores.aggregate(aggregate, timeout_s=self._left())
        keys = 0 if aggregate.match is None else len(aggregate.match.keys)
        collection = aggregate.collection
        return await self._traced(self.stores.aggregate, aggregate, collection.store, collection.name, "aggregate", keys)

    async def native(self, call: NativeCall) -> Groups:
        if self.trace is None:
            return await self.stores.native(call, timeout_s=self._left())
        return await self._traced(self.stores.native, call, call.native.store, call.native.name, "native", len(call.keys))

    def _left(self) -> float | None:
        """Return the seconds a call may take: the stores' limit (None) unless less is left of the request."""
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:  # the store was not even asked
            raise DeadlineExceeded(round(self.deadline - self.started, 3))
        limit = self.stores.timeout_s
        return left if left < limit else None

    async def _traced(self, method: Callable[..., Awaitable[_T]], request: Any, store: str, what: str, operation: str, keys: int) -> _T:
        assert self.trace is not None
        begin = time.monotonic()
        call = StoreCall(store, self.stores.kind(store), what, operation, keys, round((begin - self.started) * 1000, 3))
        self.trace.append(call)
        token = statements.set(call.statements)
        try:
            answer = await method(request, timeout_s=self._left())
            call.rows = _count_rows(operation, answer)
            return answer
        except (Exception, asyncio.CancelledError) as exc:
            call.error = type(exc).__name__
            raise
        finally:
            statements.reset(token)
            call.duration_ms = round((time.monotonic() - begin) * 1000, 3)


def _count_rows(operation: str, answer: Any) -> int:
    if operation == "get":
        return len(answer)
    if operation == "fetch":
        return sum(len(part.rows) for part in answer.values())
    return sum(len(rows) for rows in answer.values())
