"""The clients graphql-ws and graphql-sse, in Node.js, against a server on loopback: real clients of sockets and streams of events."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.feeds import until_followed
from tests.gateway.http.sockets import world_served
from tests.gateway.http.wire import run

HERE = Path(__file__).parent
LONGEST_S = 60.0
subjects: list[Any] = []


def who(request: Any) -> dict[str, Any]:
    subjects.append(request.headers.get("authorization"))
    return {"subject": request.headers.get("authorization", "nobody")}


class Client:
    """A client as a process of its own; each line that it writes is a list."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> Any:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), LONGEST_S)
        assert line, "the client has ended"
        return orjson.loads(line)


def _event(number: int) -> list[Any]:
    return ["next", {"eventRecorded": {"id": f"Event:{number}"}}]


@pytest.mark.node
@pytest.mark.parametrize(
    ("kind", "refused", "last"),
    [
        ("ws", ["error", ["GRAPHQL_VALIDATION_FAILED"]], [["closed", 1001, "Going away"], ["over"]]),
        ("sse", ["errors", ["GRAPHQL_VALIDATION_FAILED"]], [["over"]]),
        ("sse-single", ["errors", ["GRAPHQL_VALIDATION_FAILED"]], [["over"]]),
    ],
)
def test_a_client_follows_events_and_goes_on_from_another_connection(
    packages: Path, tmp_path: Path, kind: str, refused: Any, last: Any
) -> None:
    (tmp_path / "node_modules").symlink_to(packages, target_is_directory=True)
    shutil.copy(HERE / "watching.mjs", tmp_path)
    subjects.clear()

    async def test() -> None:
        async with world_served(context=who, patience_s=LONGEST_S) as (world, wire):
            command = ("node", "watching.mjs", kind, str(wire.port))
            process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
            client = Client(process)
            try:
                assert await client.line() == ["next", {"user": {"name": "user 6"}}]
                assert await client.line() == refused
                assert await client.line() == ["following"]
                await until_followed(world.feed, within_s=LONGEST_S)
                for number in range(4):
                    await world.recorded(str(number))
                assert [await client.line() for _ in range(2)] == [_event(0), _event(1)]
                assert await client.line() == ["resuming"]
                assert [await client.line() for _ in range(2)] == [_event(2), _event(3)]
                assert await client.line() == ["staying"]
                await until_followed(world.feed, within_s=LONGEST_S)
                wire.edge.clients.end()
                assert [await client.line() for _ in last] in (last, last[::-1])
                assert await asyncio.wait_for(process.wait(), LONGEST_S) == 0
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert set(subjects) == {"me"}

    run(test())
