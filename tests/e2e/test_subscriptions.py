"""Subscriptions of gateways as processes of their own: what one of them writes is watched over sockets and streams of both."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from tests.benchmarks.processes import Server
from tests.gateway.http.sockets import SUBPROTOCOL, Talk
from tests.serving import filled, serving

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

RECORDED = "subscription ($types: [String!]) { eventRecorded(types: $types) { id type user { name } } }"
RECORD = "mutation ($id: ID!, $type: String!) { recordEvent(input: {id: $id, type: $type, userId: 1}) { id } }"
PUBLISH = 'mutation ($id: ID!) { createPost(input: {id: $id, authorId: 1, title: "Early", published: true}) { id } }'
EARLY = "early"  # begins the keys of what is written until it is heard, which is how one learns that a subscription is followed
numbers = count()


async def ask(server: Server, query: str, **variables: Any) -> Any:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
        answer = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
        assert "errors" not in answer, answer
        return answer["data"]


@asynccontextmanager
async def talking(server: Server) -> AsyncIterator[Talk]:
    url = f"ws://127.0.0.1:{server.port}/graphql"
    async with connect(url, proxy=None, subprotocols=[SUBPROTOCOL]) as connection:  # type: ignore[list-item]
        talk = Talk(connection)
        await talk.begin()
        yield talk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def urls() -> AsyncIterator[Mapping[str, str]]:
    async with filled("sqlite") as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(urls: Mapping[str, str]) -> AsyncIterator[Server]:
    """A gateway for all tests; each writes rows of its own. The last one starts another, whose leases stay for a while."""
    async with serving(urls) as made:
        yield made


@asynccontextmanager
async def writing(server: Server, text: str, **variables: Any) -> AsyncIterator[None]:
    """Write one row after the other, each with a key of its own, while the block runs."""

    async def write() -> None:
        for number in numbers:
            await ask(server, text, id=f"{EARLY}-{number}", **variables)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def hear(talk: Talk) -> Any:
    """Return the next message that is not of what was written early."""
    while EARLY.encode() in orjson.dumps(message := await talk.hear()):
        pass
    return message


@pytest.mark.parametrize("many", [300])
async def test_many_writes_at_once_are_all_told_once_and_in_order(server: Server, many: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
        headers = {"accept": "text/event-stream"}
        async with client.stream("POST", "/graphql", json={"query": "subscription { eventRecorded { id } }"}, headers=headers) as answer:
            rows = [{"id": f"many-{number:03}", "type": "LIKE", "userId": "1"} for number in range(many)]
            text = "mutation ($rows: [RecordEventInput!]!) { recordEvents(input: $rows) { id } }"
            heard = (
                orjson.loads(line[6:])["data"]["eventRecorded"]["id"] async for line in answer.aiter_lines() if line.startswith("data: ")
            )
            seen: list[str] = []
            async with asyncio.timeout(60):
                async with writing(server, RECORD, type="JOIN"):
                    await anext(heard)
                await ask(server, text, rows=rows)
                while len(seen) < many:
                    seen += [id_ for id_ in [await anext(heard)] if EARLY not in id_]
    assert seen == [f"Event:many-{number:03}" for number in range(many)]


async def test_a_post_is_published_by_an_update(server: Server) -> None:
    async with talking(server) as talk:
        await talk.subscribe("a", "subscription { postPublished(authorId: 1) { id title author { id } } }")
        async with writing(server, PUBLISH):
            await talk.hear()
        await ask(server, 'mutation { createPost(input: {id: "p-1", authorId: 1, title: "Draft"}) { id } }')
        await ask(server, 'mutation { updatePost(id: "p-1", input: {title: "Out", published: true}) { id } }')
        await ask(server, 'mutation { updatePost(id: "p-1", input: {title: "Again"}) { id } }')
        await ask(server, 'mutation { createPost(input: {id: "p-2", authorId: 1, title: "Now", published: true}) { id } }')
        heard = [(await hear(talk))["payload"]["data"]["postPublished"] for _ in range(2)]
        assert heard == [
            {"id": "Post:p-1", "title": "Out", "author": {"id": "User:1"}},
            {"id": "Post:p-2", "title": "Now", "author": {"id": "User:1"}},
        ]


async def test_what_is_written_is_watched_in_every_process(urls: Mapping[str, str], server: Server) -> None:
    other = server
    async with serving(urls) as one, talking(one) as here, talking(other) as there:
        for talk in (here, there):
            await talk.subscribe("a", RECORDED, variables={"types": ["LIKE"]})
        async with writing(one, RECORD, type="LIKE"):
            await asyncio.gather(here.hear(), there.hear())
        begun = time.monotonic()
        await ask(one, RECORD, id="e-1", type="JOIN")
        await ask(one, RECORD, id="e-2", type="LIKE")
        heard = [await hear(talk) for talk in (here, there)]
        assert time.monotonic() - begun < 15
        for message in heard:
            event = message["payload"]["data"]["eventRecorded"]
            assert (event["id"], event["type"]) == ("Event:e-2", "LIKE")
        cursors = {message["payload"]["extensions"]["cursor"] for message in heard}
        assert len(cursors) == 1, "a cursor is the same in every process"
        await ask(other, RECORD, id="e-3", type="LIKE")
        await here.subscribe("b", RECORDED, extensions={"cursor": cursors.pop()})
        assert {message["id"]: message["payload"]["data"]["eventRecorded"]["id"] for message in [await hear(here) for _ in "ab"]} == {
            "a": "Event:e-3",
            "b": "Event:e-3",
        }
        one.process.send_signal(signal.SIGTERM)
        assert sorted([(await here.hear())["id"] for _ in "ab"]) == ["a", "b"]
        assert await here.closed() == (1001, "Going away")
