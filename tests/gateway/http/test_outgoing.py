"""Messages that wait for a client, and how many frames one may send."""

from __future__ import annotations

import asyncio

import pytest

from gateway.deadlines import Deadlines
from gateway.errors import SlowReader
from gateway.http.frames import BURST_S, Rate, accept_key
from gateway.http.outgoing import QUEUE_BYTES, Outgoing


async def test_messages_are_taken_in_their_order() -> None:
    outgoing = Outgoing(2, 1, Deadlines())
    taking = asyncio.ensure_future(outgoing.take())
    await outgoing.put("a", b"1")
    await outgoing.put("b", b"2")
    assert [await taking, await outgoing.take()] == [b"1", b"2"]
    assert len(outgoing) == 0


async def test_who_finds_no_place_waits_until_there_is_one() -> None:
    outgoing = Outgoing(2, 5, Deadlines())
    await outgoing.put("a", b"1")
    await outgoing.put("a", b"2")
    waiting = asyncio.ensure_future(outgoing.put("a", b"3"))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await outgoing.take() == b"1"
    await waiting
    assert [await outgoing.take(), await outgoing.take()] == [b"2", b"3"]


async def test_who_finds_none_in_time_has_a_slow_reader() -> None:
    outgoing = Outgoing(1, 0.05, Deadlines())
    await outgoing.put("a", b"1")
    with pytest.raises(SlowReader, match=r"^Messages were not taken for 0\.05 s \(setting stream_stalled_s\)\.$"):
        await outgoing.put("a", b"2")
    assert len(outgoing) == 1


async def test_bytes_are_bounded_too_and_a_long_message_waits_alone() -> None:
    outgoing = Outgoing(64, 0.05, Deadlines())
    await outgoing.put("a", b"x" * (QUEUE_BYTES + 1))
    with pytest.raises(SlowReader):
        await outgoing.put("a", b"2")
    await outgoing.take()
    await outgoing.put("a", b"x" * QUEUE_BYTES)
    with pytest.raises(SlowReader):
        await outgoing.put("a", b"2")


async def test_what_waits_of_an_operation_is_forgotten_and_makes_room() -> None:
    outgoing = Outgoing(2, 5, Deadlines())
    await outgoing.put("a", b"1")
    await outgoing.put("b", b"2")
    waiting = asyncio.ensure_future(outgoing.put("c", b"3"))
    await asyncio.sleep(0)
    outgoing.drop("a")
    await waiting
    assert [await outgoing.take(), await outgoing.take()] == [b"2", b"3"]


def test_frames_come_at_a_rate() -> None:
    rate = Rate(10, now=0)
    assert sum(rate.take(0) for _ in range(100)) == 10 * BURST_S
    assert [rate.take(0.1), rate.take(0.1)] == [True, False]
    assert sum(rate.take(100) for _ in range(100)) == 10 * BURST_S


def test_the_answer_to_a_key_is_that_of_the_rfc() -> None:
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
