"""``X-Gateway-Source: users=archive``: a client picks from where a store is read, of what the settings name, for one query.

Each choice has stores, and so a funnel, of its own (``Stores.reading``), and a service over them that answers queries alone. What names
none costs a look for the header; where the settings name no sources, nothing of this is there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send

from gateway.config import Settings
from gateway.errors import BadHttp, bounded
from gateway.http.graphql import GraphQLEndpoint
from gateway.http.middleware import EXCHANGE, Exchange, read_headers, send_error
from gateway.http.sse import is_about_a_stream
from gateway.http.websocket import SocketEndpoint
from gateway.service import Service
from gateway.stores import Stores

HEADER = "X-Gateway-Source"
KEPT = 256  # choices whose stores are made; beyond that all are made anew

_KEY = HEADER.lower().encode()
_SHOWN = 100  # characters of what was given
_QUERIES_ONLY = f"{HEADER}: expected a query; what is written or followed has the store that it is at home in."

Choice = tuple[tuple[str, str], ...]  # stores with the names of their sources, by the order of the stores' names
Chosen = Callable[[Choice], Stores]


class Sources:
    """The sources of stores: ``names`` by store, ``stores`` for a choice of them."""

    def __init__(self, names: Mapping[str, Mapping[str, str]], stores: Chosen) -> None:
        self._names = {store: frozenset(its) for store, its in names.items()}
        self._allowed = ", ".join(f"{store}={name}" for store, its in names.items() for name in its)
        self._stores = stores

    def over(self, endpoint: GraphQLEndpoint, socket: SocketEndpoint) -> Sourced:
        return Sourced(self, self._stores, endpoint, socket)

    def chosen(self, text: str) -> Choice:
        """Return the choice that a header says; BadHttp, with all that there are, where one of its sources is none of a store."""
        found: dict[str, str] = {}
        for pair in text.split(","):
            store, _, name = pair.strip().partition("=")
            if name not in self._names.get(store, ()) or store in found:
                told = "each store once" if store in found else f"one of {self._allowed}"
                raise BadHttp(f"{HEADER}: expected {told}; got {bounded(pair.strip(), _SHOWN)!r}.", allowed=self._allowed.split(", "))
            found[store] = name
        return tuple(sorted(found.items()))


class Sourced:
    """The ASGI applications at ``/graphql``: a request that names sources has an endpoint over them."""

    def __init__(self, sources: Sources, stores: Chosen, endpoint: GraphQLEndpoint, socket: SocketEndpoint) -> None:
        self._sources = sources
        self._stores = stores
        self._endpoint = endpoint
        self._socket = socket
        self._made: dict[Choice, GraphQLEndpoint] = {}

    def change(self, settings: Settings) -> None:
        self._socket.change(settings)
        for endpoint in (self._endpoint, *self._made.values()):
            endpoint.change(settings)

    async def endpoint(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[EXCHANGE]
        given = exchange.headers.get(_KEY)
        if given is None:
            await self._endpoint(scope, receive, send)
            return
        exchange.is_quiet = False
        try:
            if is_about_a_stream(scope, exchange.headers):
                raise BadHttp(f"{HEADER}: expected a request with an answer of its own; this one is about a stream of several.")
            endpoint = self._of(self._sources.chosen(given.decode("latin-1")))
        except BadHttp as error:
            await send_error(error.http_status, error.message, error.extensions, send)
            return
        await endpoint(scope, receive, send)

    def _of(self, choice: Choice) -> GraphQLEndpoint:
        endpoint = self._made.get(choice)
        if endpoint is None:
            if len(self._made) >= KEPT:
                self._made.clear()
            service = self._endpoint.service.over(self._stores(choice), queries_only=_QUERIES_ONLY)
            endpoint = self._made[choice] = self._endpoint.over(service)
        return endpoint

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._socket.answer(scope, receive, send, self._refusing if _KEY in read_headers(scope) else None)

    @asynccontextmanager
    async def _refusing(self, _: Scope, __: Mapping[bytes, bytes]) -> AsyncIterator[Service]:
        raise BadHttp(f"{HEADER}: expected a request of its own, and not a socket of many.")
        yield self._socket.service
