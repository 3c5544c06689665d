"""What a client is told when it has written, so that it reads that afterwards, whichever process or replica it asks.

A token has for each store that was written a position in the log of its primary, and the time. It is signed: one that was made up, cut or
changed has its reads answered by the primary, as has one of a process with another key, and none is an error. After its life it means
nothing, for no replica is read that is further behind, and nothing is given that was kept for so long.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from gateway.errors import GatewayError
from gateway.stores.routing import UNKNOWN, Freshness, Route

TOKEN_MAX = 2_048  # characters; a longer one is not looked at
LIFE_S = 60.0  # beyond what a replica may be behind, and how old may be what was kept
TELL_S = 1.0  # for the primary to tell its position
SIGNATURE_BYTES = 16

Clock = Callable[[], float]


class Tokens:
    """Those of some routes by name. ``key`` is what all processes have in common; without one it is this process's own.

    ``stale_s`` is how old an answer may be that was kept for when a store fails (``stale.py``): who has a token is given none.
    """

    def __init__(self, routes: Iterable[Route], key: str = "", clock: Clock = time.time, *, stale_s: float = 0.0) -> None:
        self._routes = {route.name: route for route in routes}
        self._key = key.encode() or secrets.token_bytes(32)
        self._clock = clock
        self.life_s = LIFE_S + stale_s + max((route.max_lag_s or 0.0 for route in self._routes.values()), default=0.0)

    def freshness(self, *tokens: object) -> Freshness:
        """Return what a client has to see that brings these tokens; None is no token."""
        freshness = Freshness()
        for token in tokens:
            self.see(freshness, token)
        return freshness

    def see(self, freshness: Freshness, token: object) -> None:
        """Have a request see what another token of its client says, too."""
        if token is not None:
            for name, position in self._read(token).items():
                freshness.seen[name] = self._later(name, freshness.seen.get(name), position)

    async def tell(self, freshness: Freshness) -> None:
        """Have the token of a request that has written. A store that does not tell where it is, is read at its primary for a while."""
        names = sorted(freshness.wrote)
        told = await asyncio.gather(*(self._position(self._routes[name]) for name in names))
        freshness.token = self._written(freshness, dict(zip(names, told, strict=True)))

    def token(self, freshness: Freshness) -> str | None:
        """Return the token of a request, also of one that was cut before the stores were asked; None where nothing was written."""
        if freshness.token is None and freshness.wrote:
            freshness.token = self._written(freshness, dict.fromkeys(freshness.wrote, UNKNOWN))
        return freshness.token

    async def _position(self, route: Route) -> str:
        try:
            async with asyncio.timeout(TELL_S):
                return await route.position()
        except (GatewayError, TimeoutError):
            return UNKNOWN

    def _written(self, freshness: Freshness, positions: Mapping[str, str]) -> str:
        """Return a token of what was written now and seen before."""
        both = {**freshness.seen}
        for name, position in positions.items():
            both[name] = self._later(name, both.get(name), position)
        text = self._signed([int(self._clock() * 1_000), both])
        if len(text) > TOKEN_MAX:
            text = self._signed([int(self._clock() * 1_000), dict.fromkeys(both, UNKNOWN)])
        return text

    def _later(self, name: str, one: str | None, other: str) -> str:
        if one is None:
            return other
        return UNKNOWN if UNKNOWN in (one, other) else self._routes[name].later(one, other)

    def _signed(self, value: Any) -> str:
        payload = orjson.dumps(value)
        return base64.urlsafe_b64encode(self._signature(payload) + payload).rstrip(b"=").decode()

    def _signature(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")[:SIGNATURE_BYTES]

    def _read(self, token: object) -> Mapping[str, str]:
        """Return the positions in a token, by route; UNKNOWN in all where it is none of ours, and none where its life is over."""
        if not isinstance(token, str) or len(token) > TOKEN_MAX:
            return dict.fromkeys(self._routes, UNKNOWN)
        try:
            whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return dict.fromkeys(self._routes, UNKNOWN)
        signature, payload = whole[:SIGNATURE_BYTES], whole[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(payload)):
            return dict.fromkeys(self._routes, UNKNOWN)
        at_ms, positions = orjson.loads(payload)
        if self._clock() * 1_000 - at_ms > self.life_s * 1_000:
            return {}
        its = {name: position for name, position in positions.items() if name in self._routes}
        return {name: position for name, position in its.items() if position == UNKNOWN or self._routes[name].knows(position)}
