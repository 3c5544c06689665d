"""A `gateway serve` as a process of its own over stores with demo data, and the answers that it writes to a socket."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sqlalchemy.engine import make_url

from gateway.config import Settings, StoreSettings
from gateway.loading import write_batches
from gateway.preparing import DEMO_SEED, DEMO_USERS, migrate, opened
from schema import schema as graph
from tests import preloaded
from tests.benchmarks.processes import Server, free_port, start, wait_for_answer
from tests.kinds import url_of

LAYOUTS = {
    "sqlite": dict.fromkeys(graph.store_names, "sqlite"),
    "live": {"users": "postgresql", "posts": "postgresql", "events": "mongodb", "recommendations": "neo4j"},
}
TYPENAME = b'{"query":"{__typename}"}'
START_S = 60.0
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
_OURS = ("GATEWAY_", "DATABASE_URL", "MONGO_URL", "NEO4J_URL")
_files: dict[str, bytes] = {}  # of each store with demo data: to make them takes 0.2 s


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


@asynccontextmanager
async def filled(layout: str) -> AsyncIterator[dict[str, str]]:
    """Give the URL of each store, filled with the demo data; what was made is gone afterwards."""
    async with AsyncExitStack() as stack:
        made: dict[str, str] = {}
        urls = {}
        for name, kind in LAYOUTS[layout].items():
            if kind == "sqlite" or kind not in made:
                made[kind] = await stack.enter_async_context(url_of(kind))
            urls[name] = made[kind]
        if layout == "sqlite" and _files:
            for name, url in urls.items():
                _file_of(url).write_bytes(_files[name])
            yield urls
            return
        async with opened(settings_of(urls)) as stores:
            for name in graph.store_names:
                await migrate(stores, graph, name)
            assert graph.demo is not None
            await write_batches(stores, graph.demo(DEMO_USERS, DEMO_SEED), lambda _: None)
        if layout == "sqlite":
            _files.update((name, _file_of(url).read_bytes()) for name, url in urls.items())
        yield urls


def _file_of(url: str) -> Path:
    file = Path(make_url(url).database or "")
    assert not file.with_name(f"{file.name}-wal").exists(), "closed: all is in the one file"
    return file


def settings_of(urls: Mapping[str, str]) -> Settings:
    """Return settings with which these stores are prepared, on a machine that has much to do, too."""
    stores = {name: StoreSettings(url=url) for name, url in urls.items()}
    return Settings(stores=stores, connect_timeout_s=30, store_timeout_s=60, store_write_timeout_s=60)


@asynccontextmanager
async def serving(
    urls: Mapping[str, str], settings: Mapping[str, str] = NO_SETTINGS, *, popen: type[subprocess.Popen[bytes]] = preloaded.Popen
) -> AsyncIterator[Server]:
    """Give a gateway over these stores, with these variables and the defaults of all other settings; ended when the block is.

    Whoever measures it starts one of its own (``subprocess.Popen``): memory of one that is forked is partly that of who forked it.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="crossgraph-") as folder:
        server = begin(urls, settings, Path(folder), port, popen=popen)
        try:
            await asyncio.to_thread(wait_for_answer, server, TYPENAME, timeout_s=START_S)
            yield server
        finally:
            await asyncio.to_thread(server.stop)


def begin(
    urls: Mapping[str, str], settings: Mapping[str, str], folder: Path, port: int, *, popen: type[subprocess.Popen[bytes]] = preloaded.Popen
) -> Server:
    """Start a gateway, and do not wait for it. Its log is in ``folder``."""
    # An empty setting is none: what our own environment says is about other gateways.
    environment = {name: "" for name in os.environ if name.startswith(_OURS)}
    environment |= settings
    environment |= {f"GATEWAY_STORES__{name.upper()}__URL": url for name, url in urls.items()}
    environment["GATEWAY_DATA_DIR"] = str(folder)
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    return start("gateway", command, port, log=folder / "log", env=environment, popen=popen)


async def read_answer(reader: asyncio.StreamReader, method: str = "POST") -> Answer:
    """Return the next answer of a connection; IncompleteReadError where it is closed before."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    status = int(first.split(b" ")[1])
    if status == 100:
        return await read_answer(reader, method)
    length = headers.get(b"content-length")
    if method == "HEAD":
        return Answer(status, headers, b"")
    return Answer(status, headers, await reader.readexactly(int(length)) if length is not None else await reader.read())
