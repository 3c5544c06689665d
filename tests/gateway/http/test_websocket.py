"""Sockets on loopback, with a client that keeps the protocol and breaks it: W01 to W17 of the catalogue."""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import Any

import orjson
import pytest
import strawberry
from starlette.requests import Request as HttpRequest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.errors import Forbidden, Unauthorized
from gateway.graph import Graph
from gateway.http import frames
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.memory import MemoryStore
from gateway.writes.tables import tables_of
from tests.feeds import until_followed
from tests.gateway.engine.test_subscriptions import BY_HAND
from tests.gateway.http.sockets import WAIT_S, frame, handshake, on_uvloop, raw_socket, reset, say_raw, talking, until, world_served
from tests.gateway.http.wire import serving
from tests.gateway.writes.world import rows_of
from tests.streams import RECORDED, World

TYPENAME = "{ __typename }"


def _event(number: int | str) -> dict[str, Any]:
    return {"id": f"Event:{number}", "type": "LIKE", "user": {"name": "user 6"}, "post": {"title": "first"}}


# ----------------------------------------------------------------------------------------------------------- the good way


@on_uvloop
async def test_events_come_until_the_client_has_enough() -> None:
    async with world_served() as (world, wire), talking(wire) as talk:
        await talk.subscribe("a", RECORDED)
        await until_followed(world.feed)
        for number in (1, 2):
            cursor = await world.recorded(str(number))
            payload = {"data": {"eventRecorded": _event(number)}, "extensions": {"cursor": cursor}}
            assert await talk.hear() == {"id": "a", "type": "next", "payload": payload}
        await talk.say({"id": "a", "type": "complete"})
        await until_followed(world.feed, 0)
        await world.recorded("3")
        await talk.say({"type": "ping", "payload": {"n": 1}})
        assert await talk.hear() == {"type": "pong", "payload": {"n": 1}}


@on_uvloop
async def test_queries_and_refusals_by_their_ids() -> None:
    async with world_served() as (_, wire), talking(wire) as talk:
        await talk.subscribe("q", "query ($id: ID!) { user(id: $id) { name } }", variables={"id": "6"})
        assert await talk.hear() == {"id": "q", "type": "next", "payload": {"data": {"user": {"name": "user 6"}}}}
        assert await talk.hear() == {"id": "q", "type": "complete"}
        await talk.subscribe("q", "{ nothing }")  # the id is free again
        refused = await talk.hear()
        assert (refused["id"], refused["type"]) == ("q", "error")
        assert refused["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        await talk.subscribe("q", TYPENAME)
        assert (await talk.hear())["type"] == "next"


@on_uvloop
async def test_it_is_resumed_by_the_cursor_over_another_socket() -> None:
    async with world_served() as (world, wire):
        cursors = [await world.recorded(str(number)) for number in range(6)]
        seen, cursor = [], cursors[0]
        for _ in range(5):
            async with talking(wire) as talk:
                await talk.subscribe("a", RECORDED, extensions={"cursor": cursor})
                payload = (await talk.hear())["payload"]
                seen.append(payload["data"]["eventRecorded"]["id"])
                cursor = payload["extensions"]["cursor"]
        assert seen == [f"Event:{number}" for number in range(1, 6)]


@on_uvloop
async def test_a_cursor_that_is_kept_no_more_is_an_error() -> None:
    async with world_served(kept=1) as (world, wire), talking(wire) as talk:
        for number in range(3):
            await world.recorded(str(number))
        await talk.subscribe("a", RECORDED, extensions={"cursor": "events@1"})
        error = await talk.hear()
        assert (error["type"], error["payload"][0]["extensions"]["code"]) == ("error", "CURSOR_EXPIRED")


# ------------------------------------------------------------------------------------------------------ the catalogue


@on_uvloop
async def test_w01_without_an_init_it_is_closed() -> None:
    async with world_served(socket_init_timeout_s=0.1) as (_, wire), talking(wire, begun=False) as talk:
        assert await talk.closed() == (4408, "Connection initialisation timeout")


@on_uvloop
async def test_w02_a_subscription_before_the_init() -> None:
    async with world_served() as (_, wire), talking(wire, begun=False) as talk:
        await talk.subscribe("a", TYPENAME)
        assert await talk.closed() == (4401, "Unauthorized")


@on_uvloop
async def test_w03_two_inits() -> None:
    async with world_served() as (_, wire), talking(wire) as talk:
        await talk.say({"type": "connection_init"})
        assert await talk.closed() == (4429, "Too many initialisation requests")


@on_uvloop
async def test_w04_an_id_twice() -> None:
    async with world_served() as (world, wire), talking(wire) as talk:
        await talk.subscribe("a", RECORDED)
        await talk.subscribe("a", RECORDED)
        assert await talk.closed() == (4409, "Subscriber for a already exists")
        await until_followed(world.feed, 0)


@pytest.mark.parametrize("message", ["[]", "null", b"{}", "{", '{"type":"what"}', '{"type":"subscribe","payload":{"query":"{a}"}}'])
@on_uvloop
async def test_w05_what_is_no_message(message: str | bytes) -> None:
    async with world_served() as (_, wire), talking(wire) as talk:
        await talk.say(message)
        assert await talk.closed() == (4400, "Invalid message received")


@pytest.mark.parametrize("parts", [1, 5])
@on_uvloop
async def test_w06_a_message_that_is_too_large(parts: int) -> None:
    async with world_served() as (_, wire), talking(wire) as talk:
        text = orjson.dumps({"type": "ping", "payload": {"a": "x" * 65 * 1024}}).decode()
        size = len(text) // parts + 1
        await talk.connection.send([text[n : n + size] for n in range(0, len(text), size)] if parts > 1 else text)
        assert (await talk.closed())[0] == 1009


@on_uvloop
async def test_w07_one_subscription_too_many() -> None:
    async with world_served() as (world, wire), talking(wire) as talk:
        for number in range(21):
            await talk.subscribe(str(number), RECORDED)
        refused = await talk.hear()
        assert (refused["id"], refused["type"]) == ("20", "error")
        assert refused["payload"][0]["extensions"] == {
            "code": "SUBSCRIPTION_LIMIT",
            "limit": 20,
            "actual": 21,
            "setting": "subscriptions_max",
        }
        await until_followed(world.feed, 20)
        await world.recorded("1")
        assert sorted([(await talk.hear())["id"] for _ in range(20)], key=int) == [str(number) for number in range(20)]
        await talk.say({"id": "3", "type": "complete"})
        await talk.subscribe("20", TYPENAME)
        assert (await talk.hear())["type"] == "next"


@pytest.mark.parametrize("offered", [["graphql-ws"], None])
@on_uvloop
async def test_w08_another_subprotocol(offered: Any) -> None:
    async with world_served() as (_, wire):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{wire.port}/graphql", proxy=None, subprotocols=offered)
        answer = refused.value.response
        assert answer.status_code == 400
        assert orjson.loads(answer.body or b"")["errors"][0]["message"] == "A socket's subprotocol must be graphql-transport-ws."


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1", 403),  # of another port
        ("https://app.example", 101),
        ("http://{here}", 101),
        ("https://{here}", 101),  # a proxy has the certificate
        (None, 101),
    ],
)
@on_uvloop
async def test_w09_pages_of_other_origins(origin: Any, status: int) -> None:
    async with world_served(cors_origins=("https://app.example",)) as (_, wire):
        origin = origin and origin.replace("{here}", f"127.0.0.1:{wire.port}")
        try:
            async with talking(wire, origin=origin):
                got = 101
        except InvalidStatus as refused:
            got = refused.response.status_code
        assert got == status


@on_uvloop
async def test_w11_a_slow_reader_is_closed_and_others_are_not_held_up(caplog: pytest.LogCaptureFixture) -> None:
    async with world_served(stream_stalled_s=0.3) as (world, wire), talking(wire) as good:
        reader, writer = await raw_socket(wire, receive_bytes=4_096)
        await say_raw(writer, {"id": "a", "type": "subscribe", "payload": {"query": RECORDED}})
        await good.subscribe("a", RECORDED)
        await until_followed(world.feed, 2)
        for number in range(300):
            await world.recorded(f"{number}-" + "x" * 60_000)
            assert (await good.hear())["payload"]["data"]["eventRecorded"]["id"].startswith(f"Event:{number}-")
        await until_followed(world.feed, 1)
        await until(lambda: wire.edge.clients.ended["socket", "1013"] == 1)
        received = await asyncio.wait_for(reader.read(), WAIT_S)  # what it did not take, and then why
        assert received.endswith(struct.pack("!H", 1013) + b"SLOW_READER")
        assert len(received) < 10_000_000, "of 18 MB"
        writer.close()


@on_uvloop
async def test_w12_sockets_that_are_killed_leave_nothing() -> None:
    sockets, each = 60, 5
    async with world_served() as (world, wire):
        before = len(asyncio.all_tasks())
        raw = [await raw_socket(wire) for _ in range(sockets)]
        for _, writer in raw:
            messages = [{"id": str(n), "type": "subscribe", "payload": {"query": RECORDED}} for n in range(each)]
            await say_raw(writer, *messages)
        await until_followed(world.feed, sockets * each)
        await world.recorded("1")
        for _, writer in raw[::2]:
            reset(writer)
        await until_followed(world.feed, sockets // 2 * each)
        await until(lambda: len(wire.edge.clients) == sockets // 2)
        await world.recorded("2")
        for _, writer in raw[1::2]:
            reset(writer)
        await until_followed(world.feed, 0)
        await until(lambda: len(asyncio.all_tasks()) <= before and not len(wire.edge.clients))
        assert world.service.subscriptions == 0


class Held(MemoryStore):
    """A store that answers once it is let."""

    reached: asyncio.Event
    let: asyncio.Event
    cancelled = 0

    async def answer(self, request: Any) -> Any:
        self.reached.set()
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return await super().answer(request)


def _hold(world: World) -> Held:
    held = Held("users")
    held.reached, held.let = asyncio.Event(), asyncio.Event()
    world.stores._stores["users"] = held
    return held


@on_uvloop
async def test_w13_complete_while_an_event_is_answered() -> None:
    async with world_served() as (world, wire), talking(wire) as talk:
        held = _hold(world)
        await talk.subscribe("a", RECORDED)
        await until_followed(world.feed)
        await world.recorded("1")
        await held.reached.wait()
        await talk.say({"id": "a", "type": "complete"})
        await until_followed(world.feed, 0)
        assert held.cancelled == 1
        held.let.set()
        await talk.subscribe("a", TYPENAME)  # the same id: nothing of the former is heard
        assert await talk.hear() == {"id": "a", "type": "next", "payload": {"data": {"__typename": "Query"}}}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"query": "{ a: " + "x" * 17_000 + " }"}, "QUERY_TOO_LONG"),
        ({"query": "{ users(first: 101) { nodes { id } } }"}, "BAD_USER_INPUT"),
        ({"query": "{ " + " ".join(f"a{n}: __typename" for n in range(101)) + " }"}, "ALIAS_LIMIT"),
        ({"query": "query ($a: [ID!]!) { nodes(ids: $a) { id } }", "variables": {"a": ["User:6"] * 1_001}}, "VARIABLES_TOO_LARGE"),
        (
            {"query": "{ users(first: 100) { nodes { posts(first: 100) { nodes { events(first: 100) { nodes { id } } } } } } }"},
            "COST_LIMIT",
        ),
        ({"query": "query A { __typename } query B { __typename }"}, "OPERATION_RESOLUTION_FAILURE"),
    ],
)
@on_uvloop
async def test_w14_queries_over_a_socket_obey_the_limits(payload: dict[str, Any], code: str) -> None:
    async with world_served() as (_, wire), talking(wire) as talk:
        await talk.say({"id": "a", "type": "subscribe", "payload": payload})
        answer = await talk.hear()
        assert answer["type"] == "error"
        assert code in {error["extensions"]["code"] for error in answer["payload"]}


CREATE = """mutation($name: String!) {
    createUser(input: {id: "User:new", name: $name, email: "new@b.c", welcomePost: false}) { user { id version } }
}"""


@on_uvloop
async def test_a_mutation_with_a_key_happens_once_over_whatever_socket() -> None:
    made = {"createUser": {"user": {"id": "User:new", "version": 1}}}
    async with world_served() as (world, wire):
        for _ in range(2):
            async with talking(wire) as talk:
                await talk.subscribe("a", CREATE, variables={"name": "N"}, extensions={"idempotencyKey": "k"})
                answer = await talk.hear()
                assert (answer["type"], answer["payload"]["data"]) == ("next", made)
                assert await talk.hear() == {"id": "a", "type": "complete"}
        async with talking(wire) as talk:
            await talk.subscribe("other arguments", CREATE, variables={"name": "Other"}, extensions={"idempotencyKey": "k"})
            refused = await talk.hear()
            await talk.subscribe("no key", CREATE, variables={"name": "N"})
            taken = await talk.hear()
        written = await rows_of(world.stores, tables_of("users").outbox)
    assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "BAD_USER_INPUT")
    assert taken["payload"]["errors"][0]["extensions"]["code"] == "CONFLICT"
    assert [row["key"] for row in written] == ["new"]


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, 5, ["k"]])
@on_uvloop
async def test_what_is_no_key_refuses_its_operation_alone(key: Any) -> None:
    async with world_served() as (_, wire), talking(wire) as talk:
        await talk.subscribe("a", CREATE, variables={"name": "N"}, extensions={"idempotencyKey": key})
        answer = await talk.hear()
        assert answer["payload"][0]["message"] == "extensions.idempotencyKey: expected 1 to 255 visible characters of ASCII"
        await talk.subscribe("b", TYPENAME, extensions={"idempotencyKey": key})  # a query has no use for one
        assert (await talk.hear())["payload"] == {"data": {"__typename": "Query"}}


@on_uvloop
async def test_w14_a_query_over_a_socket_ends_at_its_deadline() -> None:
    async with world_served(request_deadline_s=0.1) as (world, wire), talking(wire) as talk:
        _hold(world)
        await talk.subscribe("a", "{ user(id: 6) { name } }")
        answer = await talk.hear()
        errors = answer["payload"] if answer["type"] == "error" else answer["payload"]["errors"]
        assert {error["extensions"]["code"] for error in errors} <= {"DEADLINE_EXCEEDED", "STORE_TIMEOUT"}


@on_uvloop
async def test_w15_nothing_is_compressed() -> None:
    async with world_served() as (_, wire), talking(wire, compression="deflate") as talk:
        assert talk.connection.protocol.extensions == []
        assert talk.connection.response is not None
        assert "sec-websocket-extensions" not in talk.connection.response.headers


@on_uvloop
async def test_w16_a_resolver_that_raises_ends_its_operation_alone() -> None:
    service = Service(BY_HAND, Stores({}))
    async with serving(service) as wire, talking(wire) as talk:
        await talk.subscribe("a", "subscription { broken }")
        heard = [await talk.hear() for _ in range(3)]
        assert [message["type"] for message in heard] == ["next", "next", "complete"]
        assert heard[1]["payload"]["errors"][0]["message"] == "Internal server error."
        await talk.subscribe("b", "subscription { ticks(to: 2) { doubled } }")
        heard = [await talk.hear() for _ in range(3)]
        assert [message["type"] for message in heard] == ["next", "next", "complete"]
        assert heard[1]["payload"]["errors"][0]["path"] == ["ticks", "doubled"]


@pytest.mark.parametrize("message", [{"type": "ping"}, None])
@on_uvloop
async def test_w17_a_flood_of_pings_is_ended(message: Any) -> None:
    async with world_served() as (_, wire):
        reader, writer = await raw_socket(wire)
        ping = frame(9, b"x") if message is None else frame(1, orjson.dumps(message))
        for _ in range(20):
            writer.write(ping * 100)
            await asyncio.sleep(0)
        received = await asyncio.wait_for(reader.read(), WAIT_S)
        assert received.endswith(struct.pack("!H", 1008) + b"Too many messages")


# ---------------------------------------------------------------------------------------------------------- what else ends


@on_uvloop
async def test_one_socket_too_many() -> None:
    async with world_served(streams_max=1) as (_, wire), talking(wire), talking(wire, begun=False) as talk:
        assert await talk.closed() == (1013, "Too many sockets")


@on_uvloop
async def test_at_the_end_of_the_process_all_is_complete() -> None:
    async with world_served() as (world, wire), talking(wire) as talk:
        held = _hold(world)
        await talk.subscribe("s", "subscription { eventRecorded { id } }")
        await until_followed(world.feed)
        await talk.subscribe("q", "{ user(id: 6) { id } }")
        await held.reached.wait()
        wire.edge.clients.end()
        held.let.set()
        heard = [await talk.hear() for _ in range(3)]
        assert [(message["id"], message["type"]) for message in heard] == [("q", "next"), ("q", "complete"), ("s", "complete")]
        assert await talk.closed() == (1001, "Going away")
        async with talking(wire, begun=False) as late:
            assert await late.closed() == (1013, "Too many sockets")
        assert len(wire.edge.clients) == 0


@on_uvloop
async def test_a_client_that_is_not_there_any_more_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "CLOSING_S", 0.2)
    async with world_served(stream_ping_s=0.1) as (world, wire):
        reader, writer = await raw_socket(wire)
        await say_raw(writer, {"id": "a", "type": "subscribe", "payload": {"query": RECORDED}})
        received = await asyncio.wait_for(reader.read(), WAIT_S)  # pings that nobody answers, then
        assert b"\x89\x00" in received
        assert received.endswith(struct.pack("!H", 1011) + b"No answer to a ping")
        writer.close()
        await until_followed(world.feed, 0)


@on_uvloop
async def test_a_client_that_answers_pings_stays() -> None:
    async with world_served(stream_ping_s=0.2) as (_, wire), talking(wire) as talk:
        await asyncio.sleep(1)  # one that were not heard of would have been closed after 0.6 s
        await talk.say({"type": "ping"})
        assert await talk.hear() == {"type": "pong"}


# ---------------------------------------------------------------------------------------------------------- the handshake


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (b"/graphql", {b"Sec-WebSocket-Version": b"12"}, 400),
        (b"/graphql", {b"Sec-WebSocket-Key": b"short"}, 400),
        (b"/graphql", {b"Host": b"evil.example"}, 421),
        (b"/graphql", {b"X": b"y" * 20_000}, 431),
        (b"/graphql?" + b"y" * 9_000, {}, 414),
        (b"/other", {}, 403),
    ],
)
@on_uvloop
async def test_a_handshake_that_is_refused(path: bytes, headers: dict[bytes, bytes], status: int) -> None:
    async with world_served() as (_, wire):
        answer = await wire.ask(handshake(path, **{name.decode(): value for name, value in headers.items()}))
        assert answer.status == status
        assert answer.headers.get("connection") == "close"
        assert (await wire.ask(handshake(b"/graphql"), frame(8, b""))).status == 101


@on_uvloop
async def test_a_socket_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    async with world_served() as (_, wire):
        async with talking(wire, additional_headers={"X-Request-Id": "mine"}) as talk:
            assert talk.connection.response is not None
            assert talk.connection.response.headers["x-request-id"] == "mine"
        await until(lambda: bool(caplog.records))
    fields: Any = caplog.records[0].__dict__["fields"]
    assert (fields["request"], fields["path"], fields["status"]) == ("mine", "/graphql", 101)


# ---------------------------------------------------------------------------------------------------------------- who asks


@strawberry.type
class Query:
    @strawberry.field
    def me(self, info: strawberry.Info) -> str:
        values = info.context.values
        return f"{info.context.subject} {values['cookie']} {values['tenant']} {sorted(values['init'])}"


WHO = Graph(schema=strawberry.Schema(query=Query), collections=())


async def who(request: HttpRequest) -> dict[str, Any]:
    token = request.headers.get("authorization", "nobody")
    match token:
        case "bad":
            raise Unauthorized("Who?")
        case "no":
            raise Forbidden("Not you.")
        case "bug":
            raise ValueError("secret")
    init = request.state.connection_init
    return {"subject": token, "cookie": request.cookies.get("c"), "tenant": request.headers.get("x-tenant"), "init": init}


@pytest.mark.parametrize(
    ("payload", "headers", "origin", "expected"),
    [
        ({"Authorization": "me"}, {}, None, "me None None ['Authorization']"),
        ({"Authorization": "me"}, {"Authorization": "you"}, None, "you None None ['Authorization']"),
        ({"X-Tenant": "forged", "other": {"a": 1}}, {}, None, "nobody None None ['X-Tenant', 'other']"),
        ({"authorization": "a\r\nX-Tenant: b"}, {}, None, "nobody None None ['authorization']"),
        (None, {"Cookie": "c=1"}, None, "nobody 1 None []"),
        (None, {"Cookie": "c=1"}, "https://app.example", "nobody None None []"),  # a page that may not send cookies (cors_credentials)
    ],
)
@on_uvloop
async def test_the_init_says_who_asks(payload: Any, headers: dict[str, str], origin: Any, expected: str) -> None:
    service = Service(WHO, Stores({}))
    async with (
        serving(service, context=who, cors_origins=("https://app.example",)) as wire,
        talking(wire, payload=payload, additional_headers=headers, origin=origin) as talk,
    ):
        await talk.subscribe("a", "{ me }")
        assert (await talk.hear())["payload"] == {"data": {"me": expected}}


@pytest.mark.parametrize(
    ("token", "close"), [("bad", (4401, "Unauthorized")), ("no", (4403, "Forbidden")), ("bug", (4500, "Internal server error"))]
)
@on_uvloop
async def test_who_may_not(token: str, close: tuple[int, str]) -> None:
    async with serving(Service(WHO, Stores({})), context=who) as wire, talking(wire, begun=False) as talk:
        await talk.say({"type": "connection_init", "payload": {"Authorization": token}})
        assert await talk.closed() == close


@on_uvloop
async def test_metrics_tell_what_is_open_and_what_was_ended() -> None:
    async with world_served(socket_init_timeout_s=1.0) as (_, wire), talking(wire):
        async with talking(wire, begun=False) as talk:
            await talk.closed()
        await until(lambda: len(wire.edge.clients) == 1)
        answer = await wire.ask(b"GET /metrics HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
        lines = answer.body.decode().splitlines()
        assert 'gateway_streams{kind="socket"} 1.0' in lines
        assert 'gateway_streams_ended_total{code="4408",kind="socket"} 1.0' in lines
