"""One port that processes hand over, each to the next one (F33), and sockets of who started the process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.benchmarks.processes import Server, free_port
from tests.e2e.test_workers import ID_OF_PROCESS, QUERY, post, runs, until, workers_of
from tests.forms import of_form
from tests.gateway.http.sockets import handshake, text_frame
from tests.serving import Answer, begin, filled, read_answer

pytestmark = pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="sockets are handed over on Unix alone")

HANDOVERS = of_form(2, 10, "HANDOVERS")
WORKERS = (1, 2)[of_form(1, 0) :]
PAUSE_S = of_form(20, 0) / 1000  # of a client between two requests
START_S = 60.0
END_S = 90.0
READY = b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass
class Place:
    """One port and one path, and the gateways that have them, one after the other."""

    urls: dict[str, str]
    folder: Path
    stack: AsyncExitStack
    port: int = field(default_factory=free_port)

    def begin(self, workers: int = 1, **settings: str) -> Server:
        folder = Path(mkdtemp(dir=self.folder))
        told = {"GATEWAY_HANDOVER": str(self.folder / "port.sock"), "GATEWAY_WORKERS": str(workers), "GATEWAY_ACCESS_LOG": "false"}
        server = begin(self.urls, told | settings, folder, self.port)
        self.stack.callback(server.stop)
        return server

    async def serving(self, workers: int = 1, **settings: str) -> Server:
        server = self.begin(workers, **settings)
        await until(lambda: "Serving on" in server.log.read_text() or server.process.poll() is not None, START_S)
        assert server.process.poll() is None, server.log.read_text()
        return server


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with filled("sqlite") as urls, AsyncExitStack() as stack:
        yield Place(urls, tmp_path, stack)


async def ended(server: Server) -> int:
    return await asyncio.to_thread(server.process.wait, END_S)


@dataclass
class Clients:
    """They ask one request after the other, half of them over a connection that is kept until an answer says that it is closed."""

    port: int
    answered: list[str] = field(default_factory=list)  # the process of each answer
    lost: list[str] = field(default_factory=list)
    stopped: bool = False

    async def ask(self, *, is_kept: bool) -> None:
        request = post(QUERY)
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.stopped:
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", self.port)
                connection[1].write(request)
                answer = await read_answer(connection[0])
            except (OSError, EOFError) as error:
                self.lost.append(f"after {len(self.answered)}, {'kept' if is_kept else 'new'}: {error!r}")
                if connection is not None:
                    connection[1].close()
                connection = None
                continue
            if answer.status != 200:
                self.lost.append(f"{answer.status}: {answer.body[:200]!r}")
            self.answered.append(answer.headers[b"x-request-id"].decode()[:ID_OF_PROCESS])
            if not is_kept or answer.headers.get(b"connection") == b"close":
                connection[1].close()
                connection = None
            await asyncio.sleep(PAUSE_S)
        if connection is not None:
            connection[1].close()

    @asynccontextmanager
    async def asking(self, count: int = 8) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self.ask(is_kept=number % 2 == 0))
            try:
                yield
            finally:
                self.stopped = True


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def asked(port: int) -> Answer:
    async with connected(port) as (reader, writer):
        writer.write(post(QUERY))
        return await read_answer(reader)


async def hand_over_under_load(place: Place, workers: list[int]) -> Clients:
    """Have gateways with so many workers each take the port one after the other, while clients ask; return what these saw."""
    clients = Clients(place.port)
    server = await place.serving(workers[0])
    async with clients.asking():
        await until(lambda: len(clients.answered) > 50, START_S)
        for count in workers[1:]:
            following = await place.serving(count)
            assert await ended(server) == 0, server.log.read_text()
            assert "ERROR" not in server.log.read_text()
            server, told = following, len(clients.answered)
            await until(lambda told=told: len(clients.answered) > told + 50 or clients.lost, START_S)  # type: ignore[misc]
    return clients


async def test_f33_a_port_is_handed_over_under_load_and_no_request_fails(place: Place) -> None:
    clients = await hand_over_under_load(place, [1] * (HANDOVERS + 1))
    assert clients.lost == []
    assert len(set(clients.answered)) == HANDOVERS + 1
    assert [file.name for file in place.folder.glob("port.sock*")] == ["port.sock"]


async def test_f33_workers_hand_over_theirs_to_as_many_to_fewer_and_to_more(place: Place) -> None:
    clients = await hand_over_under_load(place, [2, 2, 1, 2])
    assert clients.lost == []
    assert len(set(clients.answered)) >= 6


async def test_all_sockets_of_a_port_are_served_whatever_the_number_of_workers(place: Place) -> None:
    before = await place.serving(2)
    await place.serving(1)
    assert await ended(before) == 0
    answers = await asyncio.gather(*(asked(place.port) for _ in range(64)))  # a queue that nobody has would hold half of them
    assert len({answer.headers[b"x-request-id"][:ID_OF_PROCESS] for answer in answers}) == 1


async def test_connections_of_the_process_before_are_answered_once_more_and_a_signal_to_it_cuts_none(place: Place) -> None:
    before = await place.serving(GATEWAY_KEEP_ALIVE_TIMEOUT_S="30")
    async with connected(place.port) as (reader, writer), connected(place.port) as kept, connected(place.port) as probe:
        request = post(QUERY)
        writer.write(request[:-10])
        kept[1].write(request)
        first = await read_answer(kept[0])
        assert b"connection" not in first.headers
        probe[1].write(READY)
        assert (await read_answer(probe[0], "GET")).status == 200
        await place.serving()
        await until(lambda: "this one ends" in before.log.read_text())
        before.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)  # in which one that were about to end would have closed what nobody uses
        writer.write(request[-10:])
        kept[1].write(request)
        probe[1].write(READY)
        answers = [await read_answer(reader), await read_answer(kept[0]), await read_answer(probe[0], "GET")]
        assert [answer.status for answer in answers] == [200, 200, 200], "readiness is that of the port, which is served"
        assert [answer.headers[b"connection"] for answer in answers] == [b"close"] * 3
        ids = {answer.headers[b"x-request-id"][:ID_OF_PROCESS] for answer in (first, *answers)}
        assert len(ids) == 1
        assert ids != {(await asked(place.port)).headers[b"x-request-id"][:ID_OF_PROCESS]}
    assert await ended(before) == 0


@pytest.mark.parametrize("workers", WORKERS)
async def test_a_second_signal_ends_the_process_before_at_once(place: Place, workers: int) -> None:
    before = await place.serving(workers, GATEWAY_KEEP_ALIVE_TIMEOUT_S="3600")
    async with connected(place.port) as (reader, writer), connected(place.port) as unused:  # which is waited for
        for its in (reader, writer), unused:
            its[1].write(READY)
            assert (await read_answer(its[0], "GET")).status == 200
        await place.serving(workers)
        await until(lambda: "this one ends" in before.log.read_text())
        before.process.send_signal(signal.SIGTERM)
        writer.write(READY)
        assert (await read_answer(reader, "GET")).headers[b"connection"] == b"close", "the first changed nothing"
        while before.process.poll() is None:  # signals that come at the same moment may be one
            before.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
    assert await ended(before) == 0


@pytest.mark.parametrize("workers", WORKERS)
async def test_a_socket_is_told_once_connections_would_not_be_kept_any_more(place: Place, workers: int) -> None:
    before = await place.serving(workers, GATEWAY_KEEP_ALIVE_TIMEOUT_S="0.1", GATEWAY_HEADER_TIMEOUT_S="0.1")
    async with connected(place.port) as (reader, writer):
        writer.write(handshake())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(text_frame({"type": "connection_init"}))
        await reader.readuntil(b'"connection_ack"}')
        await place.serving(workers)
        writer.write(text_frame({"id": "1", "type": "subscribe", "payload": {"query": QUERY}}))
        told = await reader.readuntil(struct.pack("!H", 1001) + b"Going away")
        assert b'"id":"1","type":"complete"' in told
        writer.write(b"\x88\x80\x00\x00\x00\x00")
        assert await ended(before) == 0


@pytest.mark.parametrize("workers", WORKERS)
async def test_one_that_does_not_come_to_serve_leaves_the_port_where_it_is(place: Place, workers: int) -> None:
    before = await place.serving(workers)
    away = f"postgresql://127.0.0.1:{free_port()}/x"
    failed = replace(place, urls=place.urls | {"users": away}).begin(workers, GATEWAY_STARTUP="require")
    assert await ended(failed) == 1
    await until(lambda: "has ended before it was ready; this one serves on" in before.log.read_text())
    assert (await asked(place.port)).status == 200
    await place.serving(workers)
    assert await ended(before) == 0


async def test_a_process_that_is_killed_leaves_its_path_to_the_next(place: Place) -> None:
    before = await place.serving()
    before.process.kill()
    await ended(before)
    assert (place.folder / "port.sock").exists()
    await place.serving()
    assert (await asked(place.port)).status == 200


async def test_a_process_that_ends_takes_its_path_away(place: Place) -> None:
    server = await place.serving()
    server.process.send_signal(signal.SIGTERM)
    assert await ended(server) == 0
    assert not (place.folder / "port.sock").exists()


async def test_another_port_than_that_of_the_process_before_is_refused(place: Place) -> None:
    before = await place.serving()
    other = begin(place.urls, {"GATEWAY_HANDOVER": str(place.folder / "port.sock")}, place.folder / "other", 1)
    assert await ended(other) == 2
    told = f"which are '127.0.0.1' and {place.port}\n"
    assert other.log.read_text().endswith(
        f"host = '127.0.0.1', port = 1: expected those of the gateway whose port is taken over (handover), {told}"
    )
    await until(lambda: "this one serves on" in before.log.read_text())


START = """
import os, sys
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
os.dup2({file}, 3)
os.execv(sys.executable, [sys.executable, "-m", "gateway", "serve", "--port", "1"])
"""


@pytest.mark.parametrize("workers", [str(count) for count in WORKERS])
async def test_a_socket_of_who_started_the_process_is_listened_to_and_holds_who_comes_between_two(tmp_path: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-c", START.format(file=listener.fileno())]
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "DATABASE_", "MONGO_", "NEO4J_"))}
        variables = {**ours, "GATEWAY_WORKERS": workers, "GATEWAY_DATA_DIR": str(tmp_path)}
        early = asyncio.create_task(asked(port))
        for number in range(2):
            log = tmp_path / f"log{number}"
            with log.open("wb") as output:
                process = subprocess.Popen(command, env=variables, stdout=output, stderr=output, pass_fds=[listener.fileno()])  # noqa: ASYNC220
            try:
                assert (await asyncio.wait_for(early, START_S)).status == 200
                await until(lambda log=log: re.search(rf"^Serving on http://127.0.0.1:{port}\b", log.read_text(), re.M), START_S)  # type: ignore[misc]
                assert (await asked(port)).status == 200
            finally:
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, END_S) == 0
            early = asyncio.create_task(asked(port))  # nobody listens at this moment
        early.cancel()


async def test_workers_of_the_process_before_end_with_it(place: Place) -> None:
    before = await place.serving(2)
    workers = workers_of(before)
    assert len(workers) == 2
    await place.serving(2)
    assert await ended(before) == 0
    assert not any(map(runs, workers))
