"""A gateway as a process, with what it takes to see what a request does to it and to others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

SNB_DIR = Path(os.environ.get("TEST_SNB_DIR", Path(__file__).parents[3] / "shared" / "data" / "ldbc-snb"))

BEAT_S = 0.005


def loaded(folder: Path) -> dict[str, str]:
    """Fill embedded stores in ``folder`` with the LDBC sample, where there is one; return the variables of a gateway on them."""
    variables = {"GATEWAY_DATA_DIR": str(folder / "data"), "GATEWAY_ACCESS_LOG": "false"}
    if SNB_DIR.is_dir():
        subprocess.run(
            [sys.executable, "-m", "gateway", "load", str(SNB_DIR)],
            env={**_environment(), **variables},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return variables


def _environment() -> dict[str, str]:
    ours = ("DATABASE_URL", "MONGO_URL", "NEO4J_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_") and name not in ours}


class Gateway:
    """``gateway serve`` on a free port; one connection sends, another one asks for the time of day, so to speak, all the time."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._folder = folder
        self._variables = variables
        self.stall_ms = 0.0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "gateway", "serve", "--port", "0"]
        self._process = subprocess.Popen(command, env={**_environment(), **self._variables}, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("Serving on "):
                self._address = urlsplit(line.removeprefix("Serving on ").strip())
                return self
        raise RuntimeError("the gateway ended instead of serving")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    async def connect(self) -> None:
        self._reader, self._writer = await self._open()
        self._beaten = asyncio.Event()
        self._beating = asyncio.create_task(self._beat())

    async def close(self) -> None:
        self._beating.cancel()
        self._writer.close()

    async def send(self, body: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer; a connection that was closed is opened anew."""
        return await self._exchange(self._reader, self._writer, body)

    async def seen(self) -> None:
        """Return when the other client has had another answer."""
        for _ in range(2):  # the one under way may have been asked before
            self._beaten.clear()
            await self._beaten.wait()

    def cpu_ms(self) -> float:
        """Return the CPU that the process has used, all threads."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e6

    def memory_mib(self) -> float:
        """Return the most memory the process ever held."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._address.hostname, self._address.port, limit=64 * 1024 * 1024)

    async def _beat(self) -> None:
        reader, writer = await self._open()
        while True:
            started = time.perf_counter()
            await self._exchange(reader, writer, b'{"query": "{ __typename }"}')
            self.stall_ms = max(self.stall_ms, (time.perf_counter() - started) * 1_000)
            self._beaten.set()
            await asyncio.sleep(BEAT_S)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> tuple[int, bytes]:
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: {self._address.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        writer.write(f"{head}Accept: application/graphql-response+json\r\n\r\n".encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        return int(lines[0].split()[1]), await reader.readexactly(int(headers["content-length"]))
