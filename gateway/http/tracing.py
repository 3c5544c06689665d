"""The span of a request by HTTP, around the endpoint: where nothing is traced, it is not there."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.middleware import CLIENT_GONE, EXCHANGE, Exchange
from gateway.observability.accounts import Account
from gateway.observability.traces import Traces


class Traced:
    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[EXCHANGE]
        account = exchange.account = Account()
        with self._traces.request(account, exchange.request_id, exchange.headers) as span:
            span.set_attributes({"http.request.method": scope["method"][:16], "url.path": scope["path"]})
            try:
                await self._app(scope, receive, send)
            finally:
                span.set_attribute("http.response.status_code", exchange.status or CLIENT_GONE)
