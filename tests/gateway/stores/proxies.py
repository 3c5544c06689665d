"""A way to a server that can be cut, opened again and frozen: faults of the network, without touching the server."""

from __future__ import annotations

import asyncio


class Proxy:
    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._answering = asyncio.Event()
        self.port = 0  # known once started, and the same ever after

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

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        asked = self._pump(reader, far_writer, self._flowing)
        answered = self._pump(far_reader, writer, self._flowing, self._answering)
        self._tasks |= {asyncio.create_task(asked), asyncio.create_task(answered)}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *gates: asyncio.Event) -> None:
        try:
            while data := await reader.read(65_536):
                for gate in gates:
                    await gate.wait()
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.transport.abort()
