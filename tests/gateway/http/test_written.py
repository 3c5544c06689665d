"""Who has written reads that, over a replica that does not have it: by a header, by a cookie, by what a payload says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from starlette.middleware import Middleware

from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.memory import MemoryStore
from schema import schema as example
from tests.gateway.http.sockets import on_uvloop, talking
from tests.gateway.http.wire import HEAD, Answer, Wire, post, serving
from tests.gateway.stores.routes import FakeRoute, FakeServer
from tests.oracle.rows import odd_rows
from tests.services import NO_BREAKER, memory_stores

RENAME = 'mutation ($name: String!) { updateUser(id: "10", input: {name: $name}) { name } }'
NAME = '{ user(id: "10") { name } }'
OLD = "ann"


class World:
    """The example over memory; the replica of its users stays as it was filled. ``route.has`` says what it claims to have."""

    def __init__(self, primary: Mapping[str, MemoryStore], replica: MemoryStore) -> None:
        self.route = FakeRoute("users", FakeServer(replica), at=7)
        self.stores = Stores(primary, routes={"users": self.route}, protection=NO_BREAKER, written_key="a key of all processes")
        self.service = Service(example, self.stores)


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[World, Wire]]:
    _, primary = await memory_stores(odd_rows())
    _, replica = await memory_stores(odd_rows())
    world = World(primary, replica["users"])
    async with serving(world.service, **settings) as wire:
        yield world, wire


async def asked(wire: Wire, query: str, *headers: bytes, **body: Any) -> Answer:
    return await wire.ask(post(orjson.dumps({"query": query, **body}), b"Connection: close", *headers))


async def renamed(wire: Wire, name: str, *headers: bytes) -> Answer:
    answer = await asked(wire, RENAME, *headers, variables={"name": name})
    assert orjson.loads(answer.body) == {"data": {"updateUser": {"name": name}}}
    return answer


async def name(wire: Wire, *headers: bytes, **body: Any) -> str:
    answer = await asked(wire, NAME, *headers, **body)
    assert answer.status == 200
    told = orjson.loads(answer.body)
    assert "errors" not in told
    assert "x-gateway-written" not in answer.headers
    assert "set-cookie" not in answer.headers
    return str(told["data"]["user"]["name"])


def header(token: str) -> bytes:
    return b"X-Gateway-Written: " + token.encode()


@on_uvloop
async def test_who_sends_the_header_back_reads_what_was_written() -> None:
    async with served() as (world, wire):
        token = (await renamed(wire, "New")).headers["x-gateway-written"]
        assert await name(wire) == OLD  # of nobody in particular, the replica
        assert await name(wire, header(token)) == "New"
        world.route.has = 7
        assert await name(wire, header(token)) == OLD  # as it says that it has all


@on_uvloop
async def test_so_does_a_browser_by_its_cookie() -> None:
    async with served() as (_, wire):
        cookie = (await renamed(wire, "New")).headers["set-cookie"]
        pair, *attributes = cookie.split("; ")
        assert attributes == ["Path=/graphql", "Max-Age=65", "HttpOnly", "SameSite=Lax"]
        assert pair.startswith("gateway_written=")
        for cookies in (pair, f"a=b; {pair}", f"{pair}; c=d", f"x_gateway_written=no;{pair}"):
            assert await name(wire, b"Cookie: " + cookies.encode()) == "New"
        assert await name(wire, b"Cookie: other=1; my_" + pair.encode()) == OLD


@on_uvloop
async def test_in_production_the_cookie_is_for_https_alone() -> None:
    async with served(environment="production") as (_, wire):
        assert (await renamed(wire, "New")).headers["set-cookie"].endswith("; SameSite=Lax; Secure")


@on_uvloop
async def test_behind_middleware_it_is_the_same() -> None:
    async with served(middleware=[Middleware(as_it_is)]) as (_, wire):
        answer = await renamed(wire, "New")
        assert answer.headers["set-cookie"].startswith(f"gateway_written={answer.headers['x-gateway-written']};")
        assert await name(wire, header(answer.headers["x-gateway-written"])) == "New"


@on_uvloop
async def test_of_header_and_cookie_the_later_is_seen() -> None:
    async with served() as (world, wire):
        world.route.has = 7
        old = (await renamed(wire, "New")).headers["x-gateway-written"]
        world.route.at = 9
        new = (await renamed(wire, "Newer", header(old))).headers["x-gateway-written"]
        assert await name(wire, header(old)) == OLD
        assert await name(wire, header(old), b"Cookie: gateway_written=" + new.encode()) == "Newer"
        assert await name(wire, header(new), b"Cookie: gateway_written=" + old.encode()) == "Newer"


@pytest.mark.parametrize("token", ["x", "a" * 3_000, "é".encode().decode("latin-1"), "A" * 66, "../../etc/passwd", "null"])
def test_what_is_no_token_has_the_primary_read_and_is_no_error(token: str) -> None:
    @on_uvloop
    async def asked_with() -> None:
        async with served() as (_, wire):
            await renamed(wire, "New")
            assert await name(wire, b"X-Gateway-Written: " + token.encode("latin-1")) == "New"
            assert await name(wire, b"Cookie: gateway_written=" + token.encode("latin-1")) == "New"
            assert await name(wire, extensions={"written": token}) == "New"

    asked_with()


@on_uvloop
async def test_a_mutation_reads_the_primary() -> None:
    async with served() as (world, wire):
        await renamed(wire, "New")
        answer = await asked(wire, 'mutation { updatePost(id: "p1", input: {title: "t"}) { author { id name } } }')
        assert orjson.loads(answer.body)["data"]["updatePost"]["author"] == {"id": "User:10", "name": "New"}
        assert world.route.replica.reads == 0


@on_uvloop
async def test_one_that_is_sent_again_tells_what_the_first_has_written() -> None:
    async with served() as (_, wire):
        first = await renamed(wire, "New", b"Idempotency-Key: k")
        again = await renamed(wire, "New", b"Idempotency-Key: k")
        for answer in (first, again):
            assert await name(wire, header(answer.headers["x-gateway-written"])) == "New"


@on_uvloop
async def test_one_that_is_cut_behind_its_write_has_the_primary_read_for_a_while() -> None:
    async with served() as (world, wire):

        async def never() -> str:
            await asyncio.sleep(60)
            return ""

        world.route.position = never  # type: ignore[method-assign]
        body = orjson.dumps({"query": RENAME, "variables": {"name": "New"}})
        answer = await wire.ask(post(body, b"Connection: close", b"X-Gateway-Deadline-Ms: 100"))
        assert (answer.status, orjson.loads(answer.body)["extensions"]) == (504, {"committed": ["updateUser"]})
        world.route.has = 1_000
        assert await name(wire, header(answer.headers["x-gateway-written"])) == "New"


@on_uvloop
async def test_over_a_socket_the_payload_tells_it() -> None:
    async with served() as (_, wire), talking(wire) as talk:
        await talk.subscribe("m", RENAME, variables={"name": "New"})
        told = (await talk.hear())["payload"]
        assert told["data"] == {"updateUser": {"name": "New"}}
        assert (await talk.hear())["type"] == "complete"
        token = told["extensions"]["written"]
        for its, extensions, expected in (("a", {}, OLD), ("b", {"written": token}, "New")):
            await talk.subscribe(its, NAME, extensions=extensions)
            assert (await talk.hear())["payload"] == {"data": {"user": {"name": expected}}}
            assert (await talk.hear())["type"] == "complete"
        assert await name(wire, header(token)) == "New"
        assert await name(wire, extensions={"written": token}) == "New"


@on_uvloop
async def test_over_a_stream_of_events_too() -> None:
    async with served() as (_, wire):
        body = orjson.dumps({"query": RENAME, "variables": {"name": "New"}})
        head = b"%bAccept: text/event-stream\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (HEAD, len(body))
        events = await wire.read_all(head + body)
        [data] = [line for line in events.splitlines() if line.startswith(b'data: {"')]
        token = orjson.loads(data.removeprefix(b"data: "))["extensions"]["written"]
        assert await name(wire, header(token)) == "New"


@on_uvloop
async def test_without_replicas_nothing_is_told_and_nothing_heard() -> None:
    stores, _ = await memory_stores(odd_rows())
    async with serving(Service(example, stores)) as wire:
        answer = await asked(wire, RENAME, header("x"), variables={"name": "New"})
        assert "x-gateway-written" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert await name(wire, header("x")) == "New"


class as_it_is:  # noqa: N801 - a middleware that does nothing
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
