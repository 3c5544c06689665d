"""A way to a server that can be cut, opened again, frozen, slowed and corrupted: faults of the network, without touching the server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

Change = Callable[[bytes], bytes | None]  # what becomes of a piece of an answer; None: its connection is reset


class Proxy:
    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._flowing = asyncio.Event()
        self._answering = asyncio.Event()
        self.port = 0  # known once started, and the same ever after
        self.delay_s = 0.0  # of each piece of an answer
        self.change: Change | None = None  # of each piece of an answer
        self.connected = 0  # connections that were made, since the start

    async def start(self) -> None:
        self._flowing.set()
        self._answering.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse new connections and break those there are."""
        assert self._server
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._writers.clear()
        self._tasks.clear()

    def freeze(self) -> None:
        """Accept everything and pass nothing on."""
        self._flowing.clear()

    def silence(self) -> None:
        """Pass on what is asked, and no answer."""
        self._answering.clear()

    def thaw(self) -> None:
        self._flowing.set()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._pairs)

    def reset(self) -> None:
        """Reset the connections that there are; new ones are taken."""
        for writer, far_writer in list(self._pairs):
            _reset(writer)
            far_writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        self.connected += 1
        pair = (writer, far_writer)
        self._pairs.add(pair)
        asked = self._pump(reader, far_writer, self._flowing)
        answered = self._pump(far_reader, writer, self._flowing, self._answering, are_answers=True)
        tasks = {asyncio.create_task(asked), asyncio.create_task(answered)}
        self._tasks |= tasks
        for task in tasks:
            task.add_done_callback(lambda _: self._pairs.discard(pair))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *gates: asyncio.Event, are_answers: bool = False
    ) -> None:
        try:
            while data := await reader.read(65_536):
                for gate in gates:
                    await gate.wait()
                if are_answers:
                    await asyncio.sleep(self.delay_s)
                    changed = data if self.change is None else self.change(data)
                    if changed is None:
                        _reset(writer)
                        return
                    data = changed
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.transport.abort()


class CutAfter:
    """Resets a connection once so many bytes of answers have come, once."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.is_done = False

    def __call__(self, data: bytes) -> bytes | None:
        if self.is_done:
            return data
        if len(data) <= self._left:
            self._left -= len(data)
            return data
        self.is_done = True
        return None


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
