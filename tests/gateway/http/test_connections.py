"""How many connections are taken, what those beyond are told, and how long one that nobody uses is kept."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway.config import Settings
from gateway.http import connections
from gateway.http.connections import Connections
from tests.forms import of_form
from tests.gateway.http.sockets import until
from tests.gateway.http.test_server import Process, read_until
from tests.gateway.http.wire import HEAD, Answer, Wire, post, run, serving
from tests.tries import in_tries

GOOD = b'{"query":"{a}"}'
LAST = post(GOOD, b"Connection: close")
LIVE = b"GET /health/live HTTP/1.1\r\nHost: gateway\r\n\r\n"
MOST = 8
TRAILER = b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"
MANY = of_form(1_500, 10_000, "MANY_CONNECTIONS")


async def filled(wire: Wire, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Return so many connections, each of which was answered once."""
    made = []
    for _ in range(count):
        reader, writer = await wire.connect()
        writer.write(post(GOOD))
        await reader.readuntil(b'"{a}"}}')
        made.append((reader, writer))
    return made


def read(wire: Wire) -> dict[str, float]:
    return {reading.name: reading.value for reading in wire.edge.connections.readings()}


def test_h05_one_connection_too_many_is_a_503_and_the_others_are_served() -> None:
    async def test() -> None:
        async with serving(connections_max=MOST, keep_alive_timeout_s=60) as wire:
            held = await filled(wire, MOST)
            refused = await wire.ask(post(GOOD))
            assert (refused.status, refused.code, refused.extensions["setting"]) == (503, "OVERLOADED", "connections_max")
            assert (refused.headers["retry-after"], refused.headers["connection"], refused.rest) == ("1", "close", b"")
            for reader, writer in held:
                writer.write(post(GOOD))
                await reader.readuntil(b'"{a}"}}')
            assert read(wire)["connections_refused"] == 1
            held[0][1].close()
            await wire.lost.get()  # the refused one
            await wire.lost.get()
            assert (await wire.ask(LAST)).status == 200

    run(test())


def test_a_probe_is_answered_by_a_process_that_has_all_its_connections_and_closed() -> None:
    async def test() -> None:
        async with serving(connections_max=MOST, keep_alive_timeout_s=60) as wire:
            await filled(wire, MOST)
            probe = await wire.ask(LIVE)
        assert (probe.status, probe.headers["connection"], probe.rest) == (200, "close", b"")

    run(test())


def test_a_socket_is_a_connection_too() -> None:
    async def test() -> None:
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
        async with serving(connections_max=MOST, keep_alive_timeout_s=60) as wire:
            await filled(wire, MOST)
            refused = await wire.ask(b"GET /graphql HTTP/1.1\r\nHost: gateway\r\n" + upgrade + b"\r\n\r\n")
        assert (refused.status, refused.code) == (503, "OVERLOADED")

    run(test())


def test_l06_of_thousands_of_connections_the_first_are_served_and_no_more_are_held() -> None:
    """They come and stay for as long as they may: what is beyond the spare ones is closed without a word."""

    async def test() -> None:
        async with serving(connections_max=MOST, header_timeout_s=60, keep_alive_timeout_s=60, patience_s=180) as wire:
            held, kept = await filled(wire, MOST), []
            for _ in range(MANY // 50):
                batch = await asyncio.gather(*(wire.connect() for _ in range(50)))
                await asyncio.sleep(0.01)
                assert read(wire)["connections"] <= MOST + connections.SPARE
                for reader, writer in batch:
                    if reader.at_eof() or reader.exception() is not None:
                        writer.transport.abort()
                    else:
                        kept.append(writer)
                wire.writers[:] = [writer for _, writer in held] + kept
            for reader, writer in held:
                writer.write(post(GOOD))
                await reader.readuntil(b'"{a}"}}')
            await until(lambda: read(wire)["connections_refused"] >= MANY // 50 * 50 - connections.SPARE)  # once it has seen the last, too

    run(test())


@in_tries
def test_l05_slow_clients_leave_the_others_their_answers() -> None:
    async def test() -> None:
        async with serving(header_timeout_s=60, body_timeout_s=60, patience_s=60) as wire:
            slow = []
            for number in range(500):
                _, writer = await wire.connect()
                writer.write(HEAD + (b"X-Half: " if number % 2 else b"Content-Length: 100\r\n\r\n{"))
                slow.append(writer)
            times = []
            reader, writer = await wire.connect()
            for number in range(200):
                if number % 20 == 0:
                    for each in slow:
                        each.write(b"x")
                started = time.perf_counter()
                writer.write(post(GOOD))
                await reader.readuntil(b'"{a}"}}')
                times.append(time.perf_counter() - started)
        assert sorted(times)[len(times) // 2] < 0.05
        assert max(times) < 1

    run(test())


def test_h03_headers_that_come_byte_by_byte_are_late_all_the_same() -> None:
    async def test() -> None:
        async with serving(header_timeout_s=0.2) as wire:
            reader, writer = await wire.connect()
            started = time.monotonic()
            writer.write(HEAD + b"X-Slow: ")
            while not reader.at_eof() and reader._buffer == b"":  # type: ignore[attr-defined]
                writer.write(b"x")
                await asyncio.sleep(0.01)
            answer = Answer(await reader.read())
        assert (answer.status, answer.code) == (408, "REQUEST_TIMEOUT")
        assert time.monotonic() - started < 4, "of 0.2, and not the 5 s of the default"

    run(test())


def test_an_unused_connection_is_kept_as_long_as_the_setting_says() -> None:
    async def test(seconds: float) -> float:
        async with serving(keep_alive_timeout_s=seconds) as wire:
            ((reader, _),) = await filled(wire, 1)
            started = time.monotonic()
            assert await reader.read() == b""
            return time.monotonic() - started

    assert 0.05 <= asyncio.run(test(0.1)) < 4  # and not the 5 s of the default
    assert asyncio.run(test(1)) >= 0.9


def test_a_request_that_has_begun_to_come_is_waited_for_behind_the_answer_before_it() -> None:
    async def test() -> None:
        async with serving(keep_alive_timeout_s=0.1, header_timeout_s=60) as wire:
            reader, writer = await wire.connect()
            writer.write(post(GOOD) + LAST[:30])
            await reader.readuntil(b'"{a}"}}')
            await asyncio.sleep(0.5)
            writer.write(LAST[30:])
            assert Answer(await reader.read()).status == 200

    run(test())


def test_one_connection_that_cannot_be_ended_keeps_no_others() -> None:
    class Broken:
        idle_since = 0.0

        def timeout_keep_alive_handler(self) -> None:
            raise RuntimeError("closed")

    async def test() -> None:
        told: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        async with serving(keep_alive_timeout_s=0.1) as wire:
            broken = Broken()
            wire.connections.add(broken)
            ((reader, _),) = await filled(wire, 1)
            assert await reader.read() == b""
            wire.connections.remove(broken)
        assert [str(error) for error in told] == ["closed"]

    run(test())


def test_who_speaks_http_1_0_is_told_of_no_100() -> None:
    async def test() -> None:
        old = post(GOOD, b"Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
        async with serving() as wire:
            assert (await wire.ask(old)).status == 200
            assert (await wire.ask(LAST.replace(b"Host", b"Expect: 100-continue\r\nHost"))).status == 100

    run(test())


# ---------------------------------------------------------------------------------------------------- malformed, in its body


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"chunked, chunked", b"identity, chunked"])
def test_b12_a_body_of_another_coding_is_refused_once(coding: bytes) -> None:
    async def test() -> None:
        body = b"Transfer-Encoding: " + coding + b"\r\n\r\nf\r\n" + GOOD + b"\r\n0\r\n\r\n"
        async with serving() as wire:
            answer = await wire.ask(HEAD + body + LAST)
        assert (answer.status, answer.code, answer.headers["connection"], answer.rest) == (400, "BAD_REQUEST", "close", b"")

    run(test())


@pytest.mark.parametrize("filler", [b"f;x=" + b"y" * 1_048_576 + b"\r\n", b"1\r\n \r\n0\r\n" + TRAILER * 30_000])
def test_b12_extensions_and_trailers_of_a_megabyte_are_refused_once(filler: bytes) -> None:
    async def test() -> None:
        async with serving() as wire:
            answer = await wire.ask(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + filler)
        assert (answer.status, answer.code, answer.headers["connection"], answer.rest) == (400, "BAD_REQUEST", "close", b"")

    run(test())


def test_small_chunks_are_no_fault() -> None:
    async def test() -> None:
        body = GOOD.ljust(20_000)
        chunks = b"".join(b"8\r\n" + body[at : at + 8] + b"\r\n" for at in range(0, len(body), 8))
        async with serving() as wire:
            answer = await wire.ask(
                HEAD + b"Connection: close\r\nTransfer-Encoding: Chunked\r\n\r\n", chunks[:9_000], chunks[9_000:] + b"0\r\n\r\n"
            )
        assert answer.status == 200

    run(test())


# ------------------------------------------------------------------------------------------------------------- files


@contextmanager
def few_files(count: int) -> Iterator[Process]:
    """Give a gateway that may open so many files."""
    code = (
        "import resource, sys; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({count}, {count})); "
        "from tests.gateway.http.serve_fake import main; sys.exit(main(0, {}))"
    )
    process = Process.__new__(Process)
    process.popen = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        process.port = int(process.line().rpartition(":")[2])
        yield process
    finally:
        process.popen.kill()
        process.popen.communicate()


def test_f16_with_few_files_connections_are_refused_and_the_process_lives() -> None:
    with few_files(256) as process, ExitStack() as held:
        first = held.enter_context(process.connect())
        first.sendall(post(GOOD))
        read_until(first, b'"{a}"}}')
        for _ in range(400):
            held.enter_context(process.connect())
        first.sendall(post(GOOD))
        read_until(first, b'"{a}"}}')
        assert process.popen.poll() is None
        held.close()
        deadline = time.monotonic() + 30
        while True:  # until it has seen that they are gone
            answer = process.ask(LAST)
            if answer.startswith(b"HTTP/1.1 200 ") or time.monotonic() > deadline:
                break
        assert answer.startswith(b"HTTP/1.1 200 ")


def test_fewer_connections_are_taken_than_the_files_that_a_process_may_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_files", lambda: 256)
    stores = {"users": {"url": "memory://", "pool_size": 10}}
    assert Connections(Settings.model_validate({"stores": stores})).most == 256 - connections.FILES_KEPT - connections.SPARE - 10
    monkeypatch.setattr(connections, "_files", lambda: None)
    assert Connections(Settings()).most == 1_000


def test_as_many_files_are_asked_for_as_there_may_be() -> None:
    code = (
        "import resource; from gateway.http.connections import _files; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard)); print(_files())"
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert told == (str(hard) if hard != resource.RLIM_INFINITY else "None")
