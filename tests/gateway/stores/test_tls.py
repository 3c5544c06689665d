"""Secure connections, as URLs ask for them: to real servers, behind a proxy that has a certificate signed by itself.

A server of PostgreSQL is asked in clear whether it takes TLS (SSLRequest); the others begin with it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.errors import StoreUnavailable
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Fetch, Page
from gateway.stores.reasons import Reason
from tests.kinds import needs
from tests.servers import MONGODB, NEO4J, POSTGRESQL

TLS = Path(__file__).parents[2] / "tls"
OURS, OTHER = TLS / "server.pem", TLS / "other.pem"


class SecureProxy:
    """A way to a server that is asked over TLS. ``secured`` counts connections that were."""

    def __init__(self, target: tuple[str, int], *, asks_first: bool) -> None:
        self._target = target
        self._asks_first = asks_first
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(OURS, TLS / "server.key")
        self._tasks: set[asyncio.Task[None]] = set()
        self.secured = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SecureProxy]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=None if self._asks_first else self._context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            if self._asks_first:
                assert await reader.readexactly(8) == b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
                writer.write(b"S")
                await writer.start_tls(self._context)
            self.secured += 1
            far_reader, far = await asyncio.open_connection(*self._target)
            await asyncio.gather(_pump(reader, far), _pump(far_reader, writer))
        except (OSError, EOFError, ssl.SSLError):
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.transport.abort()


@asynccontextmanager
async def behind(variable: str, *, asks_first: bool = False) -> AsyncIterator[tuple[SecureProxy, str, str]]:
    """Give a proxy, and of the server's URL what stands before the host and what stands behind the port."""
    url = urlsplit(os.environ[variable])
    proxy = SecureProxy((url.hostname or "", url.port or 0), asks_first=asks_first)
    user = f"{url.username}:{url.password}@" if url.username else ""
    async with proxy.running():
        yield proxy, user, url.path


async def told(url: str) -> Reason | None:
    """Return why a store cannot be asked; None where it answers."""
    stores = Stores.connect({"tested": url}, connect_timeout_s=2.0)
    await stores.open()
    try:
        await stores.ping("tested")
    except StoreUnavailable as error:
        return Reason(error.reason)
    finally:
        await stores.close()
    return None


@needs(POSTGRESQL)
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("sslmode=require", None),
        (f"sslmode=verify-ca&sslrootcert={OURS}", None),
        (f"sslmode=verify-full&sslrootcert={OURS}", None),
        (f"sslmode=verify-full&sslrootcert={OTHER}", Reason.TLS),
    ],
)
async def test_postgresql_has_libpqs_parameters(options: str, reason: Reason | None) -> None:
    async with behind(POSTGRESQL.variable, asks_first=True) as (proxy, user, path):
        assert await told(f"postgresql+asyncpg://{user}localhost:{proxy.port}{path}?{options}") == reason
    assert (proxy.secured > 0) == (reason is None)


@needs(POSTGRESQL)
async def test_postgresql_looks_and_migrates_over_the_same_connection() -> None:
    tables = Collection("tables", "tested", (Column("tablename"),), key=("tablename",), table="pg_catalog.pg_tables", managed=False)
    async with behind(POSTGRESQL.variable, asks_first=True) as (proxy, user, path):
        url = f"postgresql+asyncpg://{user}localhost:{proxy.port}{path}?sslmode=verify-full&sslrootcert={OURS}"
        stores = Stores.connect({"tested": url})
        await stores.open()
        try:
            assert await stores.describe("tested", [tables])
            by_describing = proxy.secured
            [part] = (await stores.ask(Fetch(tables, ("tablename",), page=Page(1)))).values()
        finally:
            await stores.close()
    assert by_describing > 0
    assert part.rows


@needs(POSTGRESQL)
async def test_a_server_of_postgresql_without_tls_is_refused_where_it_is_wanted() -> None:
    assert await told(f"{os.environ[POSTGRESQL.variable]}?sslmode=require") in (Reason.TLS, Reason.REFUSED, Reason.LOST)


@needs(MONGODB)
@pytest.mark.parametrize(
    ("options", "is_answered"),
    [
        (f"tls=true&tlsCAFile={OURS}", True),
        ("tls=true&tlsAllowInvalidCertificates=true", True),
        (f"tls=true&tlsCAFile={OTHER}", False),
        ("tls=true", False),
    ],
)
async def test_mongodb_has_its_own_parameters(options: str, is_answered: bool) -> None:
    async with behind(MONGODB.variable) as (proxy, user, path):
        reason = await told(f"mongodb://{user}localhost:{proxy.port}{path}?directConnection=true&{options}")
    assert reason == (None if is_answered else Reason.TLS)
    assert (proxy.secured > 0) == is_answered


@needs(NEO4J)
@pytest.mark.parametrize(
    ("scheme", "authorities", "is_answered"), [("bolt+ssc", None, True), ("bolt+s", OURS, True), ("bolt+s", OTHER, False)]
)
async def test_neo4j_has_it_in_the_scheme(
    scheme: str, authorities: Path | None, is_answered: bool, ssl_file: Callable[[Path | None], None]
) -> None:
    ssl_file(authorities)
    async with behind(NEO4J.variable) as (proxy, user, path):
        reason = await told(f"{scheme}://{user}localhost:{proxy.port}{path}")
    assert reason == (None if is_answered else Reason.TLS)
    assert (proxy.secured > 0) == is_answered


@pytest.fixture
def ssl_file(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path | None], None]:
    """Say which authorities the system has."""

    def say(path: Path | None) -> None:
        if path is not None:
            monkeypatch.setenv("SSL_CERT_FILE", str(path))
            monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")

    return say
