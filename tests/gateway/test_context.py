"""How much time a store call is given: the store's own limit, or what is left of the request where that is less."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.context import RequestContext
from gateway.deadlines import Deadlines, Limit
from gateway.errors import DeadlineExceeded
from gateway.stores import Stores
from gateway.stores.base import Aggregate, Collection, Column, Fetch, Get, Measure, Native, NativeCall, Request
from gateway.stores.memory import MemoryStore

LIMIT_S = 3.0
CLOCK = SimpleNamespace(monotonic=lambda: 1_000.0)
SHEEP = Collection("sheep", "meadow", (Column("id"),))
NATIVE = Native("named", "meadow", (Column("id"),), queries={"memory": lambda _tables, keys, _arguments: [(key, key) for key in keys]})

REQUESTS: dict[str, Request[Any]] = {
    "get": Get(SHEEP, ("id",), ["1"]),
    "fetch": Fetch(SHEEP, ("id",)),
    "aggregate": Aggregate(SHEEP, (), (Measure("count"),)),
    "native": NativeCall(NATIVE, ["1"], {}),
}


class Timing(Deadlines):
    """Limits that note their seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[float] = []

    def until(self, when: float) -> Limit:
        self.given.append(when - CLOCK.monotonic())
        return super().until(monotonic() + when - CLOCK.monotonic())


def timed() -> tuple[Stores, list[float]]:
    """Return stores, and the seconds that each call is given."""
    stores = Stores({"meadow": MemoryStore("meadow")}, timeout_s=LIMIT_S)
    timing = stores.funnel._deadlines = Timing()
    return stores, timing.given


@pytest.fixture(params=[None, []], ids=["plain", "traced"])
def trace(request: pytest.FixtureRequest) -> Any:
    return None if request.param is None else []


@pytest.fixture(params=REQUESTS)
def asked(request: pytest.FixtureRequest) -> Request[Any]:
    return REQUESTS[request.param]


@pytest.mark.parametrize(
    ("left_s", "given_s"), [(None, LIMIT_S), (1.0, 1.0), (LIMIT_S - 0.5, LIMIT_S - 0.5), (LIMIT_S + 0.5, LIMIT_S), (60.0, LIMIT_S)]
)
async def test_a_call_has_what_is_left_of_the_request_but_no_more_than_the_stores_limit(
    asked: Request[Any], trace: Any, left_s: float | None, given_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.context.time", CLOCK)
    monkeypatch.setattr("gateway.stores.funnel.monotonic", CLOCK.monotonic)
    stores, given = timed()
    await RequestContext(stores, deadline=None if left_s is None else 1_000.0 + left_s, trace=trace).ask(asked)
    assert given == [given_s]


async def test_a_request_without_time_asks_no_store(asked: Request[Any], trace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.context.time", CLOCK)
    monkeypatch.setattr("gateway.stores.funnel.monotonic", CLOCK.monotonic)
    stores, given = timed()
    with pytest.raises(DeadlineExceeded, match=r"within 2 s"):
        await RequestContext(stores, deadline=1_000.0, trace=trace, started=998.0).ask(asked)
    assert given == []
