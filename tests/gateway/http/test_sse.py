"""Streams of events on loopback, in both modes of graphql-sse."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from gateway.service import Service
from gateway.stores import Stores
from tests.feeds import until_followed
from tests.gateway.engine.test_subscriptions import BY_HAND
from tests.gateway.http.sockets import WAIT_S, on_uvloop, reset, until, world_served
from tests.gateway.http.test_websocket import WHO, who
from tests.gateway.http.wire import Answer, Wire, serving
from tests.streams import RECORDED

EVENTS = b"Accept: text/event-stream"
TOKEN = "X-GraphQL-Event-Stream-Token"


class Heard:
    """An answer that is a stream of events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.writer = writer
        self.reader = reader
        self.answer = Answer(head)
        self._text = b""
        self.is_over = False

    async def next(self) -> tuple[str, Any, str | None]:
        """Return the next event: its name, its data, its id. Heartbeats are passed over."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event, separator, rest = self._text.partition(b"\n\n")
                if not separator:
                    await self._more()
                    continue
                self._text = rest
                if event != b":":
                    return self._read(event.decode())

    def _read(self, event: str) -> tuple[str, Any, str | None]:
        fields = dict(line.split(":", 1) for line in event.split("\n"))
        data = fields["data"].strip()
        return fields["event"].strip(), orjson.loads(data) if data else None, fields["id"].strip() if "id" in fields else None

    async def _more(self) -> None:
        assert not self.is_over, "the stream is over"
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        self._text += (await self.reader.readexactly(size + 2))[:-2]
        self.is_over = size == 0

    async def over(self) -> bool:
        """Return once the stream has ended as an answer does."""
        async with asyncio.timeout(WAIT_S):
            while not self.is_over:
                await self._more()
        return True

    async def heartbeats(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while self._text.count(b":\n\n") < count:
                await self._more()


def _request(method: bytes, path: str, body: Any = None, **headers: str) -> bytes:
    given = {"Host": "gateway", **{name.replace("_", "-"): value for name, value in headers.items()}}
    data = b"" if body is None else orjson.dumps(body)
    if body is not None:
        given |= {"Content-Type": "application/json"}
    if method != b"GET":
        given |= {"Content-Length": str(len(data))}
    lines = [f"{name}: {value}" for name, value in given.items()]
    return b"%b %b HTTP/1.1\r\n%b\r\n\r\n%b" % (method, path.encode(), "\r\n".join(lines).encode(), data)


async def _open(wire: Wire, request: bytes, **options: Any) -> Heard:
    reader, writer = await wire.connect(**options)
    writer.write(request)
    return Heard(reader, writer, await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S))


async def _subscribe(wire: Wire, query: str, headers: dict[str, str] | None = None, **body: Any) -> Heard:
    return await _open(wire, _request(b"POST", "/graphql", {"query": query, **body}, Accept="text/event-stream", **headers or {}))


async def _ask(wire: Wire, request: bytes) -> Answer:
    reader, writer = await wire.connect()
    writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
    return Answer(await asyncio.wait_for(reader.read(), WAIT_S))


# ---------------------------------------------------------------------------------------------------- distinct connections


@on_uvloop
async def test_events_come_on_a_stream_of_their_own() -> None:
    async with world_served() as (world, wire):
        heard = await _subscribe(wire, RECORDED)
        assert (heard.answer.status, heard.answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert heard.answer.headers["cache-control"] == "no-cache"
        await until_followed(world.feed)
        cursor = await world.recorded("1")
        name, data, its = await heard.next()
        assert (name, its) == ("next", cursor)
        assert data["data"]["eventRecorded"]["id"] == "Event:1"
        assert data["extensions"] == {"cursor": cursor}
        heard.writer.close()
        await until_followed(world.feed, 0)
        await until(lambda: not len(wire.edge.clients))


@pytest.mark.parametrize("by", ["Last-Event-ID", "extensions"])
@on_uvloop
async def test_it_is_resumed_by_the_cursor(by: str) -> None:
    async with world_served() as (world, wire):
        cursors = [await world.recorded(str(number)) for number in range(4)]
        seen = []
        cursor: Any = cursors[0]
        for _ in range(3):
            options: Any = {"headers": {"Last-Event-ID": cursor}} if by == "Last-Event-ID" else {"extensions": {"cursor": cursor}}
            heard = await _subscribe(wire, RECORDED, **options)
            _, data, cursor = await heard.next()
            seen.append(data["data"]["eventRecorded"]["id"])
            heard.writer.close()
        assert seen == ["Event:1", "Event:2", "Event:3"]


@on_uvloop
async def test_a_query_and_a_refusal_are_one_event() -> None:
    async with world_served() as (_, wire):
        for query, key in (
            ("{ user(id: 6) { name } }", "data"),
            ("{ nothing }", "errors"),
            ("{ users(first: 101) { nodes { id } } }", "errors"),
        ):
            heard = await _subscribe(wire, query)
            name, data, _ = await heard.next()
            assert (heard.answer.status, name, list(data)) == (200, "next", [key])
            assert (await heard.next())[:2] == ("complete", None)
            assert await heard.over()


@on_uvloop
async def test_an_expired_cursor_is_the_only_event() -> None:
    async with world_served(kept=0) as (world, wire):
        await world.recorded("1")
        heard = await _subscribe(wire, RECORDED, {"Last-Event-ID": "events@0"})
        _, data, _ = await heard.next()
        assert data["errors"][0]["extensions"]["code"] == "CURSOR_EXPIRED"
        assert (await heard.next())[0] == "complete"
        assert await heard.over()


@pytest.mark.parametrize(
    ("query", "content_type"),
    [("{ __typename }", "application/json; charset=utf-8"), (RECORDED, "text/event-stream; charset=utf-8")],
)
@on_uvloop
async def test_a_client_that_takes_both_has_a_stream_of_events_alone(query: str, content_type: str) -> None:
    async with world_served() as (_, wire):
        request = _request(b"POST", "/graphql", {"query": query}, Accept="application/json, text/event-stream, multipart/mixed")
        heard = await _open(wire, request)
        assert (heard.answer.status, heard.answer.headers["content-type"]) == (200, content_type)


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [({}, {}, 200), ({"environment": "production"}, {}, 405), ({"get": True, "get_preflight": True}, {}, 403)],
)
@on_uvloop
async def test_by_get_where_get_is_served(settings: dict[str, Any], headers: dict[str, str], status: int) -> None:
    async with world_served(**settings) as (world, wire):
        heard = await _open(wire, _request(b"GET", f"/graphql?query={quote(RECORDED)}", Accept="text/event-stream", **headers))
        assert heard.answer.status == status
        if status == 200:
            await until_followed(world.feed)
            await world.recorded("1")
            assert (await heard.next())[0] == "next"


@on_uvloop
async def test_a_mutation_by_get_is_refused() -> None:
    async with world_served() as (_, wire):
        heard = await _open(wire, _request(b"GET", "/graphql?query=mutation{a}", Accept="text/event-stream"))
        _, data, _ = await heard.next()
        assert "errors" in data


@on_uvloop
async def test_a_resolver_that_raises_completes_its_stream() -> None:
    async with serving(Service(BY_HAND, Stores({}))) as wire:
        heard = await _subscribe(wire, "subscription { broken }")
        events = [await heard.next() for _ in range(3)]
        assert [name for name, _, _ in events] == ["next", "next", "complete"]
        assert events[1][1]["errors"][0]["message"] == "Internal server error."
        assert await heard.over()


@on_uvloop
async def test_heartbeats_are_comments() -> None:
    async with world_served(stream_ping_s=0.05) as (_, wire):
        heard = await _subscribe(wire, RECORDED)
        await heard.heartbeats(4)


@on_uvloop
async def test_a_slow_reader_is_ended_with_a_code() -> None:
    async with world_served(stream_stalled_s=0.3) as (world, wire):
        request = _request(b"POST", "/graphql", {"query": RECORDED}, Accept="text/event-stream")
        heard = await _open(wire, request, receive_bytes=4_096)
        await until_followed(world.feed)
        for number in range(300):
            await world.recorded(f"{number}-" + "x" * 60_000)
        await until_followed(world.feed, 0)
        names = []
        while True:  # what it did not take, and then why
            name, data, _ = await heard.next()
            if name == "complete":
                break
            names.append(data.get("errors", [{}])[0].get("extensions", {}).get("code"))
        assert names[-1] == "SLOW_READER"
        assert 0 < len(names) < 250
        assert await heard.over()
        assert wire.edge.clients.ended["events", "SLOW_READER"] == 1


@on_uvloop
async def test_streams_that_are_killed_leave_nothing() -> None:
    count = 100
    async with world_served() as (world, wire):
        before = len(asyncio.all_tasks())
        streams = [await _subscribe(wire, RECORDED) for _ in range(count)]
        await until_followed(world.feed, count)
        for heard in streams[::2]:
            reset(heard.writer)
        await until_followed(world.feed, count // 2)
        await world.recorded("1")
        assert [(await heard.next())[0] for heard in streams[1::2]] == ["next"] * (count // 2)
        for heard in streams[1::2]:
            reset(heard.writer)
        await until(lambda: len(asyncio.all_tasks()) <= before and not len(wire.edge.clients))
        assert world.feed.followers == world.service.subscriptions == 0


@on_uvloop
async def test_at_the_end_of_the_process_it_is_complete() -> None:
    async with world_served() as (world, wire):
        heard = await _subscribe(wire, RECORDED)
        await until_followed(world.feed)
        wire.edge.clients.end()
        assert (await heard.next())[0] == "complete"
        assert await heard.over()
        refused = await _ask(wire, _request(b"POST", "/graphql", {"query": RECORDED}, Accept="text/event-stream"))
        assert (refused.status, refused.code) == (503, "OVERLOADED")


@on_uvloop
async def test_one_stream_too_many() -> None:
    async with world_served(streams_max=1) as (_, wire):
        first = await _subscribe(wire, RECORDED)
        assert first.answer.status == 200
        refused = await _ask(wire, _request(b"POST", "/graphql", {"query": RECORDED}, Accept="text/event-stream"))
        assert (refused.status, refused.code, refused.extensions["setting"]) == (503, "OVERLOADED", "streams_max")


# ------------------------------------------------------------------------------------------------------ single connection


async def _reserve(wire: Wire, **headers: str) -> str:
    answer = await _ask(wire, _request(b"PUT", "/graphql", **headers))
    assert (answer.status, answer.headers["content-type"]) == (201, "text/plain; charset=utf-8")
    return answer.body.decode()


async def _operate(wire: Wire, token: str, its: str, query: str, **body: Any) -> int:
    request = {"query": query, "extensions": {"operationId": its}, **body}
    return (await _ask(wire, _request(b"POST", "/graphql", request, **{TOKEN: token}))).status


@on_uvloop
async def test_several_operations_on_one_stream() -> None:
    async with world_served() as (world, wire):
        token = await _reserve(wire)
        assert len(token) > 40
        heard = await _open(wire, _request(b"GET", "/graphql", Accept="text/event-stream", **{TOKEN: token}))
        assert heard.answer.status == 200
        assert await _operate(wire, token, "a", RECORDED) == 202
        assert await _operate(wire, token, "q", "{ user(id: 6) { name } }") == 202
        assert (await heard.next())[:2] == ("next", {"id": "q", "payload": {"data": {"user": {"name": "user 6"}}}})
        assert (await heard.next())[:2] == ("complete", {"id": "q"})
        await until_followed(world.feed)
        cursor = await world.recorded("1")
        name, data, its = await heard.next()
        assert (name, data["id"], its) == ("next", "a", cursor)
        assert data["payload"]["data"]["eventRecorded"]["id"] == "Event:1"
        assert (await _ask(wire, _request(b"DELETE", "/graphql?operationId=a", **{TOKEN: token}))).status == 200
        await until_followed(world.feed, 0)
        heard.writer.close()
        await until(lambda: not len(wire.edge.clients))
        assert (await _ask(wire, _request(b"GET", "/graphql", Accept="text/event-stream", **{TOKEN: token}))).status == 404


@on_uvloop
async def test_the_token_may_stand_in_the_url_and_operations_come_before_the_stream() -> None:
    async with world_served(environment="production", allowed_hosts=("gateway",)) as (_, wire):
        token = await _reserve(wire)
        assert await _operate(wire, token, "q", "{ user(id: 6) { name } }") == 202
        heard = await _open(wire, _request(b"GET", f"/graphql?token={token}", Accept="text/event-stream"))
        assert (await heard.next())[1]["payload"] == {"data": {"user": {"name": "user 6"}}}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (_request(b"GET", "/graphql", Accept="text/event-stream", **{TOKEN: "unknown"}), 404),
        (_request(b"POST", "/graphql", {"query": "{a}"}, **{TOKEN: "unknown"}), 404),
        (_request(b"DELETE", "/graphql?operationId=a", **{TOKEN: "unknown"}), 404),
        (_request(b"DELETE", "/graphql?operationId=a"), 405),
        (_request(b"PUT", "/graphql", {"query": "{a}"}), 405),
        (_request(b"PATCH", "/graphql", **{TOKEN: "unknown"}), 405),
        (_request(b"GET", "/graphql", Accept="text/event-stream", **{TOKEN: "{token}"}), 409),  # it is open
        (_request(b"POST", "/graphql", {"query": RECORDED, "extensions": {"operationId": "a"}}, **{TOKEN: "{token}"}), 409),
        (_request(b"POST", "/graphql", {"query": RECORDED}, **{TOKEN: "{token}"}), 400),
        (_request(b"POST", "/graphql", {"query": RECORDED, "extensions": {"operationId": 5}}, **{TOKEN: "{token}"}), 400),
        (_request(b"POST", "/graphql", [], **{TOKEN: "{token}"}), 400),
        (_request(b"DELETE", "/graphql", **{TOKEN: "{token}"}), 400),
        (_request(b"PATCH", "/graphql", **{TOKEN: "{token}"}), 405),
    ],
)
@on_uvloop
async def test_what_is_refused(request_: bytes, status: int) -> None:
    async with world_served() as (_, wire):
        token = await _reserve(wire)
        await _open(wire, _request(b"GET", "/graphql", Accept="text/event-stream", **{TOKEN: token}))
        assert await _operate(wire, token, "a", RECORDED) == 202
        answer = await _ask(wire, request_.replace(b"{token}", token.encode()))
        assert answer.status == status
        assert orjson.loads(answer.body)["errors"]


@on_uvloop
async def test_one_operation_too_many_is_told_on_the_stream() -> None:
    async with world_served(subscriptions_max=2) as (_, wire):
        token = await _reserve(wire)
        heard = await _open(wire, _request(b"GET", "/graphql", Accept="text/event-stream", **{TOKEN: token}))
        assert [await _operate(wire, token, its, RECORDED) for its in "abc"] == [202, 202, 202]
        _, data, _ = await heard.next()
        assert data["id"] == "c"
        assert data["payload"]["errors"][0]["extensions"]["code"] == "SUBSCRIPTION_LIMIT"
        assert (await heard.next())[:2] == ("complete", {"id": "c"})


@on_uvloop
async def test_a_stream_that_is_not_opened_is_forgotten() -> None:
    async with world_served(socket_init_timeout_s=1.5) as (world, wire):
        token = await _reserve(wire)
        assert await _operate(wire, token, "a", RECORDED) == 202
        await until_followed(world.feed)
        await until_followed(world.feed, 0)
        assert await _operate(wire, token, "b", RECORDED) == 404
        assert not len(wire.edge.clients)


@on_uvloop
async def test_reserved_streams_count_as_open() -> None:
    async with world_served(streams_max=2) as (_, wire):
        await _reserve(wire)
        await _reserve(wire)
        assert (await _ask(wire, _request(b"PUT", "/graphql"))).status == 503


@on_uvloop
async def test_each_operation_is_asked_by_who_posts_it() -> None:
    async with serving(Service(WHO, Stores({})), context=_who) as wire:
        assert (await _ask(wire, _request(b"PUT", "/graphql", Authorization="bad"))).status == 401
        token = await _reserve(wire)
        heard = await _open(wire, _request(b"GET", "/graphql", Accept="text/event-stream", **{TOKEN: token}))
        for name in ("me", "you"):
            request = {"query": "{ me }", "extensions": {"operationId": name}}
            assert (await _ask(wire, _request(b"POST", "/graphql", request, Authorization=name, **{TOKEN: token}))).status == 202
            assert (await heard.next())[1]["payload"]["data"]["me"].startswith(f"{name} ")
            await heard.next()
        refused = {"query": "{ me }", "extensions": {"operationId": "x"}}
        assert (await _ask(wire, _request(b"POST", "/graphql", refused, Authorization="no", **{TOKEN: token}))).status == 403


async def _who(request: Any) -> Any:
    request.state.connection_init = {}
    return await who(request)


@on_uvloop
async def test_at_the_end_of_the_process_all_operations_are_complete() -> None:
    async with world_served() as (world, wire):
        token = await _reserve(wire)
        heard = await _open(wire, _request(b"GET", "/graphql", Accept="text/event-stream", **{TOKEN: token}))
        for its in "ab":
            await _operate(wire, token, its, RECORDED)
        await until_followed(world.feed, 2)
        wire.edge.clients.end()
        assert [(await heard.next())[:2] for _ in "ab"] == [("complete", {"id": "a"}), ("complete", {"id": "b"})]
        assert await heard.over()
