"""How much time a store call is given: the store's own limit, or what is left of the request where that is less."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.context import RequestContext
from gateway.errors import DeadlineExceeded
from gateway.stores import Stores
from gateway.stores.base import Aggregate, Collection, Column, Fetch, Get, Measure, Native, NativeCall
from gateway.stores.memory import MemoryStore

LIMIT_S = 3.0
CLOCK = SimpleNamespace(monotonic=lambda: 1_000.0)
SHEEP = Collection("sheep", "meadow", (Column("id"),))
NATIVE = Native("named", "meadow", (Column("id"),), memory=lambda _tables, keys, _arguments: [(key, key) for key in keys])

CALLS: dict[str, Callable[[RequestContext], Awaitable[Any]]] = {
    "get": lambda ctx: ctx.get(Get(SHEEP, ("id",), ["1"])),
    "fetch": lambda ctx: ctx.fetch(Fetch(SHEEP, ("id",))),
    "aggregate": lambda ctx: ctx.aggregate(Aggregate(SHEEP, (), (Measure("count"),))),
    "native": lambda ctx: ctx.native(NativeCall(NATIVE, ["1"], {})),
}


class Timing(Stores):
    """Stores that note the seconds each call was given."""

    def __init__(self) -> None:
        super().__init__({"meadow": MemoryStore("meadow")}, timeout_s=LIMIT_S)
        self.given: list[float] = []

    async def _timed(self, name: str, call: Any, asked: Any, timeout_s: float | None) -> Any:
        self.given.append(self.timeout_s if timeout_s is None else timeout_s)
        return await super()._timed(name, call, asked, timeout_s)


@pytest.fixture(params=[None, []], ids=["plain", "traced"])
def trace(request: pytest.FixtureRequest) -> Any:
    return None if request.param is None else []


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Callable[[RequestContext], Awaitable[Any]]:
    return CALLS[request.param]


@pytest.mark.parametrize(
    ("left_s", "given_s"), [(None, LIMIT_S), (1.0, 1.0), (LIMIT_S - 0.5, LIMIT_S - 0.5), (LIMIT_S + 0.5, LIMIT_S), (60.0, LIMIT_S)]
)
async def test_a_call_has_what_is_left_of_the_request_but_no_more_than_the_stores_limit(
    call: Any, trace: Any, left_s: float | None, given_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.context.time", CLOCK)
    stores = Timing()
    await call(RequestContext(stores, deadline=None if left_s is None else 1_000.0 + left_s, trace=trace))
    assert stores.given == [given_s]


async def test_a_request_without_time_asks_no_store(call: Any, trace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.context.time", CLOCK)
    stores = Timing()
    with pytest.raises(DeadlineExceeded, match=r"within 2 s"):
        await call(RequestContext(stores, deadline=1_000.0, trace=trace, started=998.0))
    assert stores.given == []
