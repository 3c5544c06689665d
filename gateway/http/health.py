"""Health. ``/health`` and ``/health/{store}`` say all that is known of each store, to who has the token. Two are probes, for anybody:
``/health/live`` says that the process answers, ``/health/ready`` which stores do.

Ready has four states. ``ready``: every store answers. ``degraded``: some do; the status is still 200, since this gateway answers what it
can and a load balancer would only take the rest away too. ``down``, with 503: no store answers. ``draining``, with 503: the process was
told to end, and shall be sent no more; no store is asked. A store that was away at the start, and turned out to have something else than
the graph declares, is no store that answers: its state is ``mismatch``.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import GatewayError, PageNotFound, StoreMismatch, StoreTimeout, Unauthorized
from gateway.http.draining import Drain
from gateway.http.media import GRAPHQL
from gateway.stores import Stores
from gateway.stores.reasons import Reason

PING_TIMEOUT_S = 1.0


async def live(_: Request) -> Response:
    return _json({"status": "live"}, 200)


class Ready:
    """The endpoint of ``/health/ready``. Each probe asks all stores at the same time; names, kinds and times are all it tells."""

    def __init__(self, stores: Stores, drain: Drain) -> None:
        self._stores = stores
        self._drain = drain
        self._late: set[asyncio.Task[float]] = set()  # pings whose driver is slow to give up; kept until they end

    async def __call__(self, request: Request) -> Response:  # noqa: ARG002 - an endpoint is given one
        if self._drain.is_refused:
            return _json({"status": "draining"}, 503)
        pings = {asyncio.create_task(self._ping(name)): name for name in self._stores.names}
        if pings:
            _, late = await asyncio.wait(pings, timeout=PING_TIMEOUT_S)
            self._give_up(late)
        report = [self._state(name, ping) for ping, name in pings.items()]
        up = sum(store["state"] == "up" for store in report)
        status = "ready" if up == len(report) else "degraded" if up else "down"
        return _json({"status": status, "stores": report}, 503 if status == "down" else 200)

    async def _ping(self, name: str) -> float:
        """Return the milliseconds a store took to answer, and to be looked at where that is still to be done."""
        started = perf_counter()
        await self._stores.ping(name)
        await self._stores.checked(name)
        return round((perf_counter() - started) * 1_000, 2)

    def _state(self, name: str, ping: asyncio.Task[float]) -> dict[str, Any]:
        store = {"name": name, "kind": self._stores.kind(name)}
        # Why it is down is one word, and no address or name: anybody may be able to reach this one.
        if not ping.done() or ping.cancelled():
            return {**store, "state": "down", "reason": Reason.TIMED_OUT.value}
        if (error := ping.exception()) is not None:
            if isinstance(error, StoreMismatch):
                return {**store, "state": "mismatch"}
            reason = getattr(error, "reason", "") or (Reason.TIMED_OUT.value if isinstance(error, StoreTimeout) else "")
            return {**store, "state": "down"} | ({"reason": reason} if reason else {})
        return {**store, "state": "up", "latencyMs": ping.result()}

    def _give_up(self, late: set[asyncio.Task[float]]) -> None:
        for ping in late:
            ping.cancel()
            ping.add_done_callback(self._forget)
        self._late |= late

    def _forget(self, ping: asyncio.Task[float]) -> None:
        self._late.discard(ping)
        if not ping.cancelled():
            ping.exception()  # looked at, so that nobody reports it as never retrieved


class Checkup(Protocol):
    """What is known of stores; ``of`` returns within a second, whatever they do."""

    @property
    def names(self) -> Sequence[str]: ...

    async def of(self, name: str) -> Mapping[str, Any]: ...

    def close(self) -> None: ...


Endpoint = Callable[[Request], Awaitable[Response]]


class Known:
    """Lets those alone ask who have the token, in ``Authorization: Bearer``; anybody where there is none."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode() if token else b""

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        if not self._expected:
            return endpoint

        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, self._expected):
                return _refused(Unauthorized("Health is told to who has the token."), {"www-authenticate": "Bearer"})
            return await endpoint(request)

        return guarded


More = Callable[[], Awaitable[Mapping[str, Any]]]  # what is told beside stores, within a second


def routes(checkup: Checkup, drain: Drain, known: Known, more: More | None = None) -> list[Route]:
    """Return the routes of what is told of all stores, and of each. The status is 503 where none is up, or that one is not."""

    async def of_all(_: Request) -> Response:
        stores = await asyncio.gather(*(checkup.of(name) for name in checkup.names))
        up = sum(store["status"] == "up" for store in stores)
        status = "ready" if up == len(stores) else "degraded" if up else "down"
        told = "draining" if drain.is_refused else status
        beside = {} if more is None else await more()
        return _json({"status": told, "stores": stores, **beside}, 503 if told in ("draining", "down") else 200)

    async def of_one(request: Request) -> Response:
        name = request.path_params["store"]
        if name not in checkup.names:
            return _refused(PageNotFound("There is no store of this name."))
        store = await checkup.of(name)
        return _json(store, 200 if store["status"] == "up" else 503)

    return [Route("/health", known(of_all)), Route("/health/{store}", known(of_one))]


def _refused(error: GatewayError, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps({"errors": [error.shown]})
    return Response(body, error.http_status, {"cache-control": "no-store", **(headers or {})}, media_type=GRAPHQL.decode())


def _json(value: object, status: int) -> Response:
    return Response(orjson.dumps(value), status, {"cache-control": "no-store"}, media_type="application/json")
