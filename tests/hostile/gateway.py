"""What a request does to a gateway that runs as a process, and to another client meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from gateway.loading import load_folder
from gateway.preparing import opened
from schema import schema as graph
from tests.benchmarks.processes import ROOT, Server
from tests.serving import TYPENAME, Answer, filled, read_answer, serving, settings_of

SNB_DIR = Path(os.environ.get("TEST_SNB_DIR", ROOT.parent / "shared" / "data" / "ldbc-snb"))
BEAT_S = 0.005


@asynccontextmanager
async def running() -> AsyncIterator[Gateway]:
    """Give a gateway over SQLite files with demo data, and the LDBC sample where there is one."""
    async with filled("sqlite") as urls:
        if _has_sample():
            async with opened(settings_of(urls)) as stores:
                await load_folder(stores, graph.datasets, SNB_DIR)
        async with serving(urls, popen=subprocess.Popen) as server:
            yield await Gateway(server).connected()


class Gateway:
    """One connection sends; another one asks ``{ __typename }`` all the time, and ``stall_ms`` is the longest that it waited."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.stall_ms = 0.0

    async def connected(self) -> Self:
        self._connection = await self._open()
        self._beaten = asyncio.Event()
        self._beating = asyncio.create_task(self._beat())
        return self

    async def close(self) -> None:
        self._beating.cancel()
        self._connection[1].close()

    async def send(self, body: bytes) -> Answer:
        return await self._exchange(*self._connection, body)

    async def seen(self) -> None:
        """Return when the other client has had another answer."""
        for _ in range(2):  # the one under way may have been asked before
            self._beaten.clear()
            await self._beaten.wait()

    def cpu_ms(self) -> float:
        """Return the CPU that the process has used, all threads."""
        return self._server.cpu_s() * 1_000

    def memory_mib(self) -> float:
        """Return the most memory that the process ever held."""
        return self._server.memory_mib(peak=True)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._server.port, limit=64 * 1024 * 1024)

    async def _beat(self) -> None:
        connection = await self._open()
        while True:
            started = time.perf_counter()
            await self._exchange(*connection, TYPENAME)
            self.stall_ms = max(self.stall_ms, (time.perf_counter() - started) * 1_000)
            self._beaten.set()
            await asyncio.sleep(BEAT_S)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> Answer:
        head = f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{self._server.port}\r\nAccept: application/graphql-response+json\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return await read_answer(reader)


def _has_sample() -> bool:
    return SNB_DIR.is_dir()
