"""A connection whose request found no place: it is told so at once, and read again a little later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from gateway.http.protocol import REST_AGAIN_S, REST_S
from tests.gateway.http.test_gate import Held, until
from tests.gateway.http.wire import Answer, Wire, post, run, serving

GOOD = post(b'{"query":"{a}"}')


@asynccontextmanager
async def full(waiting: int) -> AsyncIterator[tuple[Wire, Held, list[asyncio.StreamWriter]]]:
    """Give a server of one place, with a line of so many, that are taken; and who has them."""
    service, has = Held(), []
    async with serving(service, requests_max=1, requests_waiting_max=waiting, requests_wait_s=30) as wire:
        for _ in range(1 + waiting):
            _, writer = await wire.connect()
            writer.write(GOOD)
            has.append(writer)
        await until(lambda: service.running == 1 and wire.edge.gate.waiting == waiting)
        yield wire, service, has
        service.go.set()
        await until(lambda: wire.edge.gate.in_use == 0)


async def answer(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    return Answer(head + await reader.readexactly(int(Answer(head).headers["content-length"])))


@pytest.mark.parametrize("waiting", [0, 1], ids=["no line", "a line"])
def test_who_asks_again_at_once_is_not_told_as_often(waiting: int) -> None:
    async def test() -> None:
        async with full(waiting) as (wire, _, _):

            async def ask_again_and_again() -> None:
                reader, writer = await wire.connect()
                for rest_s in (0.0, REST_S, REST_AGAIN_S, REST_AGAIN_S):
                    begun = monotonic()
                    writer.write(GOOD)
                    refused = await answer(reader)
                    assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "OVERLOADED", "1")
                    assert monotonic() - begun >= 0.9 * rest_s

            await asyncio.gather(*(ask_again_and_again() for _ in range(5)))
            assert wire.edge.gate._shed == 5 * 4

    run(test())


def test_it_is_read_again() -> None:
    async def test() -> None:
        async with full(0) as (wire, service, _):
            reader, writer = await wire.connect()
            writer.write(GOOD)
            assert (await answer(reader)).status == 503
            begun = monotonic()
            service.go.set()
            writer.write(GOOD)
            assert (await answer(reader)).status == 200
            assert monotonic() - begun >= 0.9 * REST_S
            for _ in range(3):  # and is as others are
                writer.write(GOOD)
                assert (await answer(reader)).status == 200

    run(test())


def test_what_was_sent_with_it_is_answered_in_its_turn() -> None:
    async def test() -> None:
        async with full(0) as (wire, service, _):
            reader, writer = await wire.connect()
            writer.write(GOOD * 3)
            assert [(await answer(reader)).status for _ in range(3)] == [503] * 3
            service.go.set()
            writer.write(GOOD)
            assert (await answer(reader)).status == 200

    run(test())


def test_nothing_is_looked_at_of_whom_not_even_the_line_has_a_place_for() -> None:
    async def test() -> None:
        async with full(1) as (wire, service, has):
            assert (await wire.ask(post(b"no json", b"Connection: close"))).status == 503
            wrong = await wire.ask(post(b"{}", b"Content-Type: text/plain", b"Connection: close"))
            assert wrong.status == 415, "what the head alone tells"
            service.go.set()
            assert (await wire.ask(post(b"no json", b"Connection: close"))).status == 400
            assert len(has) == 2

    run(test())


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_who_leaves_while_it_rests_leaves_nothing(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with full(0) as (wire, _, has):
            reader, writer = await wire.connect()
            writer.write(GOOD)
            assert (await answer(reader)).status == 503
            if how == "closes":
                writer.close()
            else:
                writer.transport.abort()
            await asyncio.wait_for(wire.lost.get(), 10)
            assert len(wire.connections) == len(has)

    with caplog.at_level(logging.WARNING):
        run(test())
    assert caplog.messages == []


def test_the_end_of_the_process_does_not_wait_for_it() -> None:
    async def test() -> None:
        async with full(0) as (wire, _, has):
            reader, writer = await wire.connect()
            writer.write(GOOD)
            assert (await answer(reader)).status == 503
            resting: list[Any] = [connection for connection in wire.connections if connection.cycle.response_complete]
            assert len(resting) == 1 == len(wire.connections) - len(has)
            resting[0].shutdown()
            assert await reader.read() == b""

    run(test())
