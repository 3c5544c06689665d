"""A store that fails as told, in front of one of any kind: faults at the port, so that no server is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gateway.errors import GatewayError, StoreUnavailable
from gateway.stores.base import A, Fetch, Pairs, Request, Store
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
        return await self.store.answer(request)

    def _fail(self, asked: Asked) -> None:
        if self.when(asked):
            raise self.error


@contextmanager
def without(stores: Mapping[str, Failing], *down: str, error: Callable[[str], GatewayError] = StoreUnavailable) -> Iterator[None]:
    """Let these stores fail for a while; ``NEIGHBOURS`` is the users store where it is asked for pages of neighbours."""
    for name in down:
        store = stores["users" if name == NEIGHBOURS else name]
        store.when = _asks_for_neighbours if name == NEIGHBOURS else _always
        store.error = error("users" if name == NEIGHBOURS else name)
    try:
        yield
    finally:
        for store in stores.values():
            store.when = _never


def _always(_: Asked) -> bool:
    return True


def _never(_: Asked) -> bool:
    return False


def _asks_for_neighbours(asked: Asked) -> bool:
    return isinstance(asked, Fetch) and isinstance(asked.match, Pairs)
