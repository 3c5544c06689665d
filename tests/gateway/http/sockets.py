"""Clients of the socket for tests: one that keeps the protocol, and one that sends what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.gateway.http.wire import Wire, run, serving
from tests.streams import World

SUBPROTOCOL = "graphql-transport-ws"


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on the loop that serves."""

    @wraps(test)
    def on_loop(*arguments: Any, **options: Any) -> None:
        run(test(*arguments, **options))

    return on_loop


@asynccontextmanager
async def world_served(**options: Any) -> AsyncIterator[tuple[World, Wire]]:
    """Give the example with a feed, and a server in front of it; options are settings."""
    world = World(**{name: options.pop(name) for name in ("graph", "limits", "kept") if name in options})
    await world.fill()
    async with serving(world.service, **options) as wire:
        yield world, wire


class Talk:
    """One socket of a client."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, *messages: Any) -> None:
        for message in messages:
            await self.connection.send(message if isinstance(message, (str, bytes)) else orjson.dumps(message).decode())

    async def hear(self) -> Any:
        async with asyncio.timeout(5):
            return orjson.loads(await self.connection.recv())

    async def begin(self, payload: Any = None) -> None:
        await self.say({"type": "connection_init", **({} if payload is None else {"payload": payload})})
        assert await self.hear() == {"type": "connection_ack"}

    async def subscribe(self, its: str, query: str, **payload: Any) -> None:
        await self.say({"id": its, "type": "subscribe", "payload": {"query": query, **payload}})

    async def _all(self) -> None:
        while True:
            await self.connection.recv()

    async def closed(self) -> tuple[int, str]:
        """Return the code and the reason with which the other side ends, after whatever it still says."""
        with pytest.raises(ConnectionClosed) as ended:
            await asyncio.wait_for(self._all(), 8)
        close = ended.value.rcvd
        assert close is not None, "ended without a close"
        return close.code, close.reason


@asynccontextmanager
async def talking(wire: Wire, *, begun: bool = True, payload: Any = None, **options: Any) -> AsyncIterator[Talk]:
    options = {"subprotocols": [SUBPROTOCOL], "compression": None, "ping_interval": None, **options}
    async with connect(f"ws://127.0.0.1:{wire.port}/graphql", proxy=None, close_timeout=2, **options) as connection:
        talk = Talk(connection)
        if begun:
            await talk.begin(payload)
        yield talk
