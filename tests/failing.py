"""A store that fails as told, in front of one of any kind: faults at the port, so that no server is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from unittest.mock import patch

from gateway.engine.sources import edges
from gateway.errors import GatewayError, StoreUnavailable
from gateway.stores.base import A, Fetch, Get, Pairs, Request, Store
from tests.oracle import NEIGHBOURS

Asked = Request[Any]


class Failing:
    """Reads of ``store``, each of which raises ``error`` while ``when`` says so; the rest is the store's own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.when: Callable[[Asked], bool] = lambda _: False
        self.error: GatewayError = StoreUnavailable("")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def answer(self, request: Request[A]) -> A:
        if not request.is_write:
            self._fail(request)
        if isinstance(request, _OfNeighbours):
            plain: Request[Any] = Get(request.collection, request.columns, request.keys, request.column, request.where)
            return cast("A", await self.store.answer(plain))
        return await self.store.answer(request)

    def _fail(self, asked: Asked) -> None:
        if self.when(asked):
            raise self.error


class _OfNeighbours(Get):
    """What the engine asks of nodes at the ends of edges, told apart from other rows by key: it shares no call with them."""

    __slots__ = ()

    def share_key(self) -> Any:
        return None


@contextmanager
def telling_neighbours() -> Iterator[None]:
    """Let ``asks_for_neighbours`` know what is asked at the ends of edges."""
    with patch.object(edges, "Get", _OfNeighbours):
        yield


@contextmanager
def without(stores: Mapping[str, Failing], *down: str, error: Callable[[str], GatewayError] = StoreUnavailable) -> Iterator[None]:
    """Let these stores fail for a while; ``NEIGHBOURS`` is the users store where it is asked for pages of neighbours."""
    for name in down:
        store = stores["users" if name == NEIGHBOURS else name]
        store.when = asks_for_neighbours if name == NEIGHBOURS else _always
        store.error = error("users" if name == NEIGHBOURS else name)
    try:
        with telling_neighbours():
            yield
    finally:
        for store in stores.values():
            store.when = _never


def _always(_: Asked) -> bool:
    return True


def _never(_: Asked) -> bool:
    return False


def asks_for_neighbours(asked: Asked) -> bool:
    return isinstance(asked, _OfNeighbours) or (isinstance(asked, Fetch) and isinstance(asked.match, Pairs))
