"""A connection on real sockets: heads and bodies without end, too large, malformed, late; pipelining; and clients that do not read."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import orjson
import pytest

from gateway.http.edge import Edge
from gateway.http.unread import Unread
from gateway.service import Request, Response
from tests.gateway.http.fakes import FakeService, hello
from tests.gateway.http.wire import HEAD, Answer, Wire, post, run, serving

GOOD = b'{"query":"{a}"}'
LAST = post(GOOD, b"Connection: close")
MIB = 1_048_576


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture(params=["uvloop", "asyncio"])
def on_both(request: pytest.FixtureRequest) -> Any:
    def run_on(test: Coroutine[Any, Any, None]) -> None:
        run(test, loop=request.param)

    return run_on


async def large(request: Request) -> Response:
    if "large" not in request.query:
        return await hello(request)
    return Response(b'{"data":"%b"}' % (b"x" * 8 * MIB), 200)


async def ask_and_do_not_read(wire: Wire) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await wire.connect(receive_bytes=4_096)
    writer.write(post(b'{"query":"{large}"}'))
    await reader.readexactly(1)
    return reader, writer


def test_requests_leave_nothing_to_the_garbage_collector(on_both: Any) -> None:
    """Connection, request, its limit of time and its task were one circle, a dozen objects a request."""

    async def scenario() -> None:
        async with serving(FakeService(hello)) as wire:
            reader, writer = await wire.connect()
            for times in (3, 10):
                gc.collect()
                gc.disable()
                for _ in range(times):
                    writer.write(post(GOOD))
                    head = Answer(await reader.readuntil(b"\r\n\r\n"))
                    assert head.status == 200
                    await reader.readexactly(int(head.headers["content-length"]))
            try:
                assert gc.collect() < 10, "less than one object a request"
            finally:
                gc.enable()
            writer.close()

    on_both(scenario())


# ---------------------------------------------------------------------------------------------------------------- heads


@pytest.mark.parametrize(
    ("head", "status", "code", "setting"),
    [
        (HEAD + b"X: " + b"x" * 65_536 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE", "header_limit_bytes"),
        (HEAD + b"".join(b"X-%d: %b\r\n" % (n, b"x" * 400) for n in range(50)) + b"\r\n", 431, "HEADERS_TOO_LARGE", "header_limit_bytes"),
        (HEAD + b"X: y\r\n" * 99 + b"\r\n", 431, "HEADERS_TOO_LARGE", "headers_max"),
        (b"GET /graphql?query=" + b"x" * 9_216 + b" HTTP/1.1\r\nHost: gateway\r\n\r\n", 414, "URI_TOO_LONG", "url_limit_bytes"),
        (b"GET /" + b"x" * 9_216 + b" HTTP/1.1\r\nHost: gateway\r\n\r\n", 414, "URI_TOO_LONG", "url_limit_bytes"),
    ],
)
def test_a_head_above_a_limit_is_refused_and_says_which(head: bytes, status: int, code: str, setting: str) -> None:
    async def test() -> None:
        async with serving() as wire:
            answer = await wire.ask(head)
        assert (answer.status, answer.code) == (status, code)
        assert answer.extensions["setting"] == setting
        assert answer.extensions["actual"] > answer.extensions["limit"]
        assert answer.headers["connection"] == "close"
        assert answer.rest == b""
        assert len(answer.body) < 300

    run(test())


def test_a_head_at_the_limits_is_read() -> None:
    async def test() -> None:
        async with serving() as wire:
            many = await wire.ask(HEAD + b"X: y\r\n" * 96 + b"Connection: close\r\nContent-Length: 15\r\n\r\n" + GOOD)
            large = await wire.ask(HEAD + b"X: " + b"x" * 16_000 + b"\r\nConnection: close\r\nContent-Length: 15\r\n\r\n" + GOOD)
            long = await wire.ask(b"GET /graphql?query={a}&x=" + b"x" * 8_100 + b" HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
        assert [many.status, large.status, long.status] == [200, 200, 200]

    run(test())


@pytest.mark.parametrize(
    ("start", "more", "status"),
    [
        (HEAD + b"X: ", b"x" * 1_024, 431),
        (HEAD, b"X: %b\r\n" % (b"y" * 1_024), 431),
        (b"GET /", b"x" * 1_024, 414),
    ],
)
def test_a_head_without_end_is_refused_while_it_comes(start: bytes, more: bytes, status: int) -> None:
    async def test() -> None:
        async with serving() as wire:
            reader, writer = await wire.connect()
            writer.write(start)
            sent = 0
            while not reader.at_eof() and sent < 10 * MIB and reader._buffer == b"":  # type: ignore[attr-defined]
                writer.write(more)
                sent += len(more)
                await asyncio.sleep(0)
            answer = Answer(await reader.read())
        assert answer.status == status
        assert sent < MIB

    run(test())


def test_headers_that_do_not_come_are_a_408() -> None:
    async def test() -> None:
        async with serving(header_timeout_s=0.5) as wire:
            answer = await wire.ask(HEAD + b"X-Half: ")
        assert (answer.status, answer.code, answer.extensions["setting"]) == (408, "REQUEST_TIMEOUT", "header_timeout_s")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 16

    run(test())


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_a_silent_connection_is_closed_without_a_word(sent: bytes) -> None:
    async def test() -> None:
        async with serving(header_timeout_s=0.05) as wire:
            assert await wire.read_all(sent) == b""

    run(test())


def test_a_second_request_whose_headers_do_not_come_is_a_408_after_the_first_answer() -> None:
    async def test() -> None:
        async with serving(header_timeout_s=0.5) as wire:
            first = await wire.ask(post(GOOD) + b"POST /graphql")
        assert first.status == 200
        assert first.rest == b"" or Answer(first.rest).status == 408

    run(test())


# --------------------------------------------------------------------------------------------------------------- bodies


def test_a_body_that_does_not_come_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.protocol.LINGER_S", 0.1)

    async def test() -> None:
        service = FakeService()
        async with serving(service, body_timeout_s=0.05) as wire:
            nothing = await wire.ask(HEAD + b"Content-Length: 15\r\n\r\n")
            half = await wire.ask(HEAD + b"Content-Length: 15\r\n\r\n" + GOOD[:7])
        for answer in (nothing, half):
            assert (answer.status, answer.code, answer.extensions["setting"]) == (408, "REQUEST_TIMEOUT", "body_timeout_s")
        assert service.requests == []

    run(test())


def test_a_byte_now_and_then_does_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.protocol.BODY_GRACE_S", 0.0)

    async def test() -> None:
        async with serving(body_timeout_s=0.1) as wire:
            reader, writer = await wire.connect()
            writer.write(b"POST /nothing HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000\r\n\r\n")
            answer = await reader.readuntil(b"\r\n\r\n")  # it is answered at once, and goes on
            while wire.lost.empty():
                writer.write(b"x")
                await asyncio.sleep(0)
        assert answer.startswith(b"HTTP/1.1 404 ")

    run(test())


def test_a_late_body_in_a_pipeline_waits_for_its_turn() -> None:
    async def test() -> None:
        async def wait(request: Request) -> Response:
            started.set()
            await go_on.wait()
            return await hello(request)

        started, go_on = asyncio.Event(), asyncio.Event()
        async with serving(FakeService(wait)) as wire:
            reader, writer = await wire.connect()
            writer.write(post(GOOD) + HEAD + b"Content-Length: 200000\r\n\r\n" + b" " * 100_000)
            await started.wait()
            (connection,) = wire.connections
            connection._body_is_late()
            go_on.set()
            writer.write(GOOD.rjust(100_000))
            await reader.readuntil(b'"{a}"}}')
            await reader.readuntil(b'"{a}"}}')
            connection.pipeline.clear()
            connection._body_is_late()
            assert await reader.read() == b""

    run(test())


def test_trailers_are_dropped_and_end() -> None:
    async def test() -> None:
        service = FakeService()
        async with serving(service, body_limit_bytes=1_024) as wire:
            chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\nf\r\n" + GOOD + b"\r\n0\r\n"
            answer = await wire.ask(
                HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n" + GOOD + b"\r\n0\r\nHost: evil\r\n\r\n"
            )
            _, writer = await wire.connect()
            writer.write(chunked)
            sent = 0
            while not writer.transport.is_closing() and sent < MIB:
                writer.write(b"X: %b\r\n" % (b"y" * 1_000))
                sent += 1_000
                await asyncio.sleep(0)
        assert answer.status == 200
        assert sent < MIB

    run(test())


# ------------------------------------------------------------------------------------------------------------ malformed


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /graphql\r\n\r\n",
        b"GET /graphql HTTP/9.9\r\nHost: gateway\r\n\r\n",
        b"GET /graphql?query={a} HTTP/2.0\r\nHost: gateway\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"GET /graphql HTTP/1.1\nHost: gateway\n\n",
        b"GET /graphql HTTP/1.1\r\nHost : gateway\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\nHost: gateway\r\n folded: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: gateway\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\nHost: gateway\r\nHost: gateway\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\nHost: a/b?c#d\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nf\r\n" + GOOD + b"xx",
    ],
)
def test_what_is_no_http_is_a_400_and_the_end(sent: bytes) -> None:
    async def test() -> None:
        service = FakeService()
        async with serving(service) as wire:
            answer = await wire.ask(sent)
        assert (answer.status, answer.code) == (400, "BAD_REQUEST")
        assert answer.rest == b""
        assert service.requests == []

    run(test())


def test_a_malformed_request_is_no_answer_to_the_one_before_it() -> None:
    async def test() -> None:
        async with serving() as wire:
            answer = await wire.ask(post(GOOD) + b"NONSENSE\r\n\r\n" + post(GOOD))
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert answer.rest == b""

    run(test())


def test_a_broken_body_in_a_pipeline_is_answered_in_its_turn() -> None:
    async def test() -> None:
        async with serving() as wire:
            first = await wire.ask(post(GOOD) + HEAD + b"Transfer-Encoding: chunked\r\n\r\nf\r\n" + GOOD + b"xx")
        assert first.status == 200
        second = Answer(first.rest)
        assert (second.status, second.code, second.rest) == (400, "BAD_REQUEST", b"")

    run(test())


def test_a_large_head_in_a_pipeline_is_answered_in_its_turn() -> None:
    async def test() -> None:
        async with serving() as wire:
            first = await wire.ask(post(GOOD) + HEAD + b"X: " + b"x" * 20_000 + b"\r\n\r\n")
        assert (first.status, Answer(first.rest).status) == (200, 431)

    run(test())


def test_a_hundred_requests_in_one_segment_are_answered_in_order() -> None:
    async def test() -> None:
        async with serving() as wire:
            received = await wire.read_all(b"".join(post(b'{"query":"{q%d}"}' % n) for n in range(100)) + LAST)
        split = received.split(b'{"data":{"query":"{')[1:]
        assert [part.partition(b"}")[0] for part in split] == [b"q%d" % n for n in range(100)] + [b"a"]

    run(test())


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_an_upgrade_is_answered_in_http_1_1_and_ends_the_connection(protocol: bytes) -> None:
    async def test() -> None:
        service = FakeService()
        upgrade = b"Connection: Upgrade\r\nUpgrade: " + protocol
        async with serving(service) as wire:
            answer = await wire.ask(b"GET /graphql?query={a} HTTP/1.1\r\nHost: gateway\r\n" + upgrade + b"\r\n\r\n" + post(GOOD))
            refused = await wire.ask(post(GOOD, upgrade), post(GOOD))
        assert (answer.status, answer.headers["connection"], answer.rest) == (200, "close", b"")
        assert (refused.status, refused.code, refused.rest) == (400, "BAD_REQUEST", b"")
        assert len(service.requests) == 1

    run(test())


# ------------------------------------------------------------------------------------------------------ who does not read


def test_a_client_that_does_not_read_is_cut_and_its_memory_freed(on_both: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with serving(FakeService(large), unread_timeout_s=0.5) as wire:
            await ask_and_do_not_read(wire)
            assert wire.edge.unread.size > MIB
            await wire.lost.get()
            assert wire.edge.unread.size == 0
            readings = {(r.name, *r.labels.values()): r.value for r in wire.edge.readings()}
        assert readings[("clients_cut", "slow")] == 1
        assert readings[("unread_bytes",)] == 0

    on_both(test())
    (line,) = [r for r in caplog.records if r.name == "gateway.http"]
    assert line.__dict__["fields"]["reason"] == "slow"


def test_a_client_that_takes_a_trickle_is_cut_and_one_that_reads_is_not(on_both: Any) -> None:
    async def test() -> None:
        clock = Clock()

        def prepare(edge: Edge) -> None:
            edge.unread = Unread(timeout_s=10, limit_bytes=64 * MIB, now=clock)

        async with serving(FakeService(large), prepare) as wire:
            unread = wire.edge.unread
            trickle, _ = await ask_and_do_not_read(wire)
            reader, _ = await ask_and_do_not_read(wire)
            for _ in range(3):
                clock.time += 4
                await trickle.readexactly(100)
                await reader.readexactly(MIB)
                unread.look()
            await wire.lost.get()
            last = b""
            while not last.endswith(b'"}'):
                last = await reader.read(65_536)
            assert [r.value for r in unread.readings()][1:] == [1, 0]

    on_both(test())


def test_too_much_that_nobody_reads_cuts_the_longest_stalled_and_refuses_new_requests_until_then() -> None:
    async def test() -> None:
        clock = Clock()

        def prepare(edge: Edge) -> None:
            edge.unread = Unread(timeout_s=10, limit_bytes=8 * MIB, now=clock)

        async with serving(FakeService(large), prepare) as wire:
            unread = wire.edge.unread
            await ask_and_do_not_read(wire)
            clock.time += 0.5
            await ask_and_do_not_read(wire)
            assert unread.is_over
            unread.look()
            refused = await wire.ask(LAST)
            probe = await wire.ask(b"GET /health/live HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
            clock.time += 0.6  # the first has taken nothing for 1.1 s, the second for 0.6
            unread.look()
            await wire.lost.get()
            answered = await wire.ask(LAST)
            counts = {r.labels["reason"]: r.value for r in unread.readings() if r.labels}
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "OVERLOADED", "1")
        assert probe.status == 200
        assert answered.status == 200
        assert counts == {"slow": 0, "memory": 1}

    run(test())


def test_a_large_answer_is_not_added_to_those_that_nobody_takes(on_both: Any) -> None:
    async def test() -> None:
        async def over_meanwhile(request: Request) -> Response:
            wire.edge.unread.is_over = True  # others have asked while this one was made
            return await large(request)

        async with serving(FakeService(over_meanwhile)) as wire:
            refused = await wire.ask(post(b'{"query":"{large}"}', b"Connection: close"))
            wire.edge.unread.is_over = False
            answered = await wire.ask(post(b'{"query":"{small}"}', b"Connection: close"))
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "OVERLOADED", "1")
        assert answered.status == 200

    run(test())


def test_small_answers_that_pile_up_are_seen(on_both: Any) -> None:
    async def test() -> None:
        async with serving(unread_timeout_s=0.5) as wire:
            _, writer = await wire.connect(receive_bytes=4_096)
            query = orjson.dumps({"query": "{" + "a" * 20_000 + "}"})
            while wire.edge.unread.size == 0:
                writer.write(post(query))
                await asyncio.sleep(0)
            await wire.lost.get()
            assert {r.labels["reason"]: r.value for r in wire.edge.readings() if r.labels} == {"slow": 1, "memory": 0}

    on_both(test())


def test_a_client_that_reads_is_never_watched_for_long(on_both: Any) -> None:
    async def test() -> None:
        async with serving(FakeService(large), unread_timeout_s=2.0) as wire:
            for _ in range(5):
                answer = await wire.ask(post(b'{"query":"{large}"}', b"Connection: close"))
                assert len(answer.body) > 8 * MIB
            await wire.lost.get()
            wire.edge.unread.look()
            assert [r.value for r in wire.edge.unread.readings()] == [0, 0, 0]

    on_both(test())


def test_a_client_that_resets_while_it_is_watched_leaves_nothing(on_both: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with serving(FakeService(large)) as wire:
            _, writer = await ask_and_do_not_read(wire)
            writer.transport.abort()
            await wire.lost.get()
            wire.edge.unread.look()
            assert [r.value for r in wire.edge.unread.readings()] == [0, 0, 0]

    on_both(test())
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_a_pipeline_that_is_reset_ends_the_work_and_nobody_complains(on_both: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async def wait(request: Request) -> Response:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

        started = asyncio.Event()
        service = FakeService(wait)
        async with serving(service) as wire:
            _, writer = await wire.connect()
            writer.write(post(GOOD) + post(GOOD))
            await started.wait()
            writer.transport.abort()
            await service.cancelled.wait()
        assert len(service.requests) == 1

    on_both(test())
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_an_answer_that_is_ready_after_the_reset_of_a_pipeline_goes_nowhere(on_both: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async def wait(request: Request) -> Response:
            started.set()
            await wire.lost.get()
            answered.set()
            return await hello(request)

        started, answered = asyncio.Event(), asyncio.Event()
        async with serving(FakeService(wait)) as wire:
            _, writer = await wire.connect()
            writer.write(post(GOOD) + post(GOOD))
            await started.wait()
            writer.transport.abort()
            await answered.wait()
            await wire.ask(b"GET /health/live HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")  # rounds enough for the rest

    on_both(test())
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_a_stream_that_has_begun_when_its_server_drains_is_followed_by_one_more_answer(on_both: Any) -> None:
    """Its head says that the connection is kept; the next one says that it is not."""

    class Streaming(FakeService):
        async def _nothing(self) -> AsyncGenerator[Response, None]:
            await told.wait()
            yield Response(b'{"data":{"a":1}}', 200)

    told = asyncio.Event()

    async def test() -> None:
        async with serving(Streaming()) as wire:
            reader, writer = await wire.connect()
            writer.write(post(b'{"query":"subscription {a}"}', b"Accept: text/event-stream"))
            assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n")
            wire.edge.drain.hand_over(60.0)
            for connection in wire.connections:
                connection.drain()
            told.set()
            assert b"event: complete" in await reader.readuntil(b"0\r\n\r\n")
            writer.write(post(GOOD))
            answer = Answer(await reader.read())
        assert (answer.status, answer.headers["connection"]) == (200, "close")

    on_both(test())
