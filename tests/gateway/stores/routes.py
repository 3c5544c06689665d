"""A route to replicas in memory, which are as far behind as a test says."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError, StoreTimeout, StoreUnavailable
from gateway.observability.metrics import Reading
from gateway.stores.base import Request, Store
from gateway.stores.guards import Guard


class FakeServer:
    """Answers as its store does, or fails with ``error``."""

    def __init__(self, store: Store, guard: Guard | None = None) -> None:
        self.guard = guard or Guard(10)
        self.store = store
        self.error: Exception | None = None
        self.heard: list[StoreUnavailable | StoreTimeout] = []
        self.reads = 0

    def answer(self, request: Request[Any]) -> Coroutine[Any, Any, Any]:
        self.reads += 1
        return self._answer(request)

    async def _answer(self, request: Request[Any]) -> Any:
        if self.error is not None:
            raise self.error
        return await self.store.answer(request)

    def failed(self, error: StoreUnavailable | StoreTimeout) -> None:
        self.heard.append(error)


class FakeRoute:
    """Positions are numbers. The one replica has all up to ``has``; the primary is at ``at``, or does not tell, with ``error``."""

    def __init__(self, name: str, server: FakeServer, *, has: int = 0, at: int = 0, max_lag_s: float | None = 5.0) -> None:
        self.name = name
        self.max_lag_s = max_lag_s
        self.replica = server
        self.has, self.at = has, at
        self.error: GatewayError | None = None
        self.is_open = False

    def server(self, seen: str | None) -> FakeServer | None:
        return self.replica if self.has >= int(seen or 0) else None

    async def position(self) -> str:
        if self.error is not None:
            raise self.error
        return str(self.at)

    def later(self, one: str, other: str) -> str:
        return max(one, other, key=int)

    def knows(self, position: str) -> bool:
        return position.isdigit()

    def told(self) -> Sequence[Mapping[str, Any]]:
        return [{"replica": 1, "status": "up", "lagS": 0.0, "error": None}]

    def readings(self) -> Iterator[Reading]:
        yield Reading("replica_reads", "Reads that were asked of a replica.", self.replica.reads, {"store": self.name, "replica": "1"})

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False
