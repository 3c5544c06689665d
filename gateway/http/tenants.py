"""``/graphql`` where each tenant has databases of its own: a header that a proxy sets says whose a request is, and his service answers it.

Nothing of a request is read before its tenant is known, but its head. What is on the way to a store is each tenant's own: the endpoint with
its streams, the service with its feed, the layers, guards and pools. Documents and plans, which hold no rows, are of all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from starlette.types import Receive, Scope, Send

from gateway.config import Settings
from gateway.deadlines import Deadlines
from gateway.errors import BadHttp, DeadlineExceeded, GatewayError, TenantUnknown
from gateway.http.graphql import GraphQLEndpoint
from gateway.http.middleware import EXCHANGE, Exchange, send_error
from gateway.http.opening import Residents
from gateway.http.websocket import SocketEndpoint
from gateway.observability.accounts import Account
from gateway.observability.metrics import Reading
from gateway.service import Service


@dataclass(frozen=True, slots=True)
class Opened:
    """A service over the stores of one tenant, which are open; ``close`` ends what is its own."""

    service: Service
    close: Callable[[], Awaitable[None]]


class _Tenant:
    """One that is open: the endpoint of its service."""

    def __init__(self, opened: Opened, endpoint: GraphQLEndpoint) -> None:
        self.service = opened.service
        self.endpoint = endpoint.over(opened.service)
        self._opened = opened

    async def close(self) -> None:
        await self._opened.close()

    @property
    def is_quiet(self) -> bool:
        return self.endpoint.events.is_empty and not any(guard.in_use or guard.waiting for guard in self.service.stores.guards.values())


class Tenants:
    """Those of a gateway: ``find`` refuses a name that is nobody's (TenantUnknown), ``open_`` opens one."""

    def __init__(self, settings: Settings, find: Callable[[str], None], open_: Callable[[str], Awaitable[Opened]]) -> None:
        self._header = settings.tenant_header
        self._key = settings.tenant_header.lower().encode()
        self._default = settings.tenant_default
        self._find = find
        self._open = open_
        self._most = settings.tenants_open_max
        self._endpoint: GraphQLEndpoint | None = None
        self.residents = Residents(self._make, self._most, settings.tenant_idle_s)
        self._unknown = self._missing = 0
        self._deadlines = Deadlines()

    def over(self, endpoint: GraphQLEndpoint, socket: SocketEndpoint) -> Tenancy:
        """Return what stands at ``/graphql``, over these, whose limits and clients are of all tenants together."""
        self._endpoint = endpoint
        return Tenancy(self, endpoint, socket)

    def named(self, headers: Mapping[bytes, bytes]) -> str:
        """Return whose a request is, as it says; BadHttp where it does not. What says it twice names nobody that there is."""
        given = headers.get(self._key)
        if given is None:
            if self._default:
                return self._default
            self._missing += 1
            raise BadHttp(f"{self._header}: expected the name of a tenant; the request has no such header.")
        return given.decode("latin-1")

    async def opened(self, name: str, deadline_s: float) -> _Tenant:
        """Return a tenant that was not open, within so many seconds, as ``Residents.opened`` does; TenantUnknown where there is none."""
        try:
            self._find(name)
        except TenantUnknown:
            self._unknown += 1
            raise
        try:
            with self._deadlines.within(deadline_s):
                return await self.residents.opened(name)
        except TimeoutError:
            raise DeadlineExceeded(deadline_s) from None

    async def _make(self, name: str) -> _Tenant:
        assert self._endpoint is not None, "there are requests, and so there is an endpoint"
        return _Tenant(await self._open(name), self._endpoint)

    def told(self) -> Mapping[str, int]:
        """Return what health tells: how many are open, and how many may be."""
        return {"open": sum(1 for _ in self.residents), "max": self._most}

    def readings(self) -> Iterator[Reading]:
        yield from self.residents.readings()
        for why, count in (("missing", self._missing), ("unknown", self._unknown)):
            yield Reading("tenants_refused", "Requests of no tenant, or of one that there is not.", count, {"reason": why})


class Tenancy:
    """The ASGI applications at ``/graphql``: ``endpoint`` for HTTP, ``socket`` for WebSockets, both by the head of a request."""

    def __init__(self, tenants: Tenants, endpoint: GraphQLEndpoint, socket: SocketEndpoint) -> None:
        self._tenants = tenants
        self._residents = tenants.residents
        self._endpoint = endpoint
        self._socket = socket

    def change(self, settings: Settings) -> None:
        """Have other settings from now on, for those that are open and those that will be."""
        self._endpoint.change(settings)
        self._socket.change(settings)
        for tenant in self._residents:
            tenant.endpoint.change(settings)

    async def endpoint(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[EXCHANGE]
        exchange.is_quiet = False
        try:
            name = self._tenants.named(exchange.headers)
            tenant = self._residents.take(name)
            if tenant is not None:
                endpoint = tenant.endpoint
            else:
                deadline_s = self._endpoint.deadline_s(exchange)
                begun = monotonic()
                tenant = await self._tenants.opened(name, deadline_s)
                endpoint = tenant.endpoint.within(deadline_s - (monotonic() - begun))
        except GatewayError as error:
            await send_error(error.http_status, error.message, error.extensions, send)
            return
        account = exchange.account = exchange.account or Account()
        account.tenant = name
        try:
            await endpoint(scope, receive, send)
        finally:
            self._residents.leave(name)

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._socket.answer(scope, receive, send, self._service)

    @asynccontextmanager
    async def _service(self, _: Scope, headers: Mapping[bytes, bytes]) -> AsyncIterator[Service]:
        name = self._tenants.named(headers)
        tenant = self._residents.take(name)
        if tenant is None:
            tenant = await self._tenants.opened(name, self._socket.settings.request_deadline_s)
        try:
            yield tenant.service
        finally:
            self._residents.leave(name)
