"""Clients of the socket for tests: one that keeps the protocol, and one that sends what it is told to."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
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
WAIT_S = 30.0  # for what comes at once, on a machine that has much to do


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
        async with asyncio.timeout(WAIT_S):
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
            await asyncio.wait_for(self._all(), WAIT_S)
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


# -------------------------------------------------------------------------------------------------------------------- raw


def handshake(path: bytes = b"/graphql", **headers: bytes) -> bytes:
    given = {
        "Host": b"127.0.0.1",
        "Connection": b"Upgrade",
        "Upgrade": b"websocket",
        "Sec-WebSocket-Version": b"13",
        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef"),
        "Sec-WebSocket-Protocol": SUBPROTOCOL.encode(),
        **headers,
    }
    lines = [b"GET %b HTTP/1.1" % path, *(b"%b: %b" % (name.encode(), value) for name, value in given.items())]
    return b"\r\n".join((*lines, b"", b""))


async def raw_socket(wire: Wire, *, receive_bytes: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection that has become a socket and begun, of which nothing more is read or answered by itself."""
    reader, writer = await wire.connect(receive_bytes=receive_bytes)
    writer.write(handshake())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    await say_raw(writer, {"type": "connection_init"})
    await reader.readuntil(b'"connection_ack"}')
    return reader, writer


async def say_raw(writer: asyncio.StreamWriter, *messages: Any) -> None:
    writer.write(b"".join(frame(1, orjson.dumps(message)) for message in messages))
    await writer.drain()


def frame(opcode: int, data: bytes) -> bytes:
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
    return bytes([0x80 | opcode]) + size + bytes(4) + data


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - of a number there is no event
            await asyncio.sleep(0.01)


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def text_frame(message: Any) -> bytes:
    return frame(1, orjson.dumps(message))
