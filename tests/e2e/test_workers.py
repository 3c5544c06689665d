"""Two workers on one port: one that is killed is replaced, both end and reload together, and each counts for itself."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from tests.benchmarks.processes import Server
from tests.draining.__main__ import HEAD
from tests.serving import Answer, filled, read_answer, serving
from tests.tries import TRIES

BACK_WITHIN_S = 2.0
ID_OF_PROCESS = 8  # characters of a request's id that all of one process have
QUERY = "{ users(first: 3) { nodes { id posts(first: 2) { nodes { id } } } } }"
CREATE = 'mutation { createUser(input: {name: "N%d", email: "n%d@example.org"}) { user { id } } }'


@asynccontextmanager
async def two_workers(settings: Mapping[str, str] = {}) -> AsyncIterator[Server]:
    async with filled("sqlite") as urls, serving(urls, {"GATEWAY_WORKERS": "2", **settings}) as server:
        await until(lambda: "with 2 workers" in server.log.read_text())
        yield server


async def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - it happens in other processes
            await asyncio.sleep(0.02)


def post(query: str) -> bytes:
    body = orjson.dumps({"query": query})
    return HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


async def ask(server: Server, request: bytes) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await read_answer(reader)
    writer.close()
    return answer


async def metrics(server: Server) -> str:
    return (await ask(server, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")).body.decode()


def workers_of(server: Server) -> list[int]:
    """Return the processes that the server has started, and that have not ended."""
    parent = server.process.pid
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split() if runs(int(pid))]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@dataclass
class Load:
    """Clients that ask one request after the other, half of them over a connection each that is kept."""

    server: Server
    answered: list[str] = field(default_factory=list)  # the process of each answer
    lost: list[tuple[float, str | None]] = field(default_factory=list)  # when, and whose connection it was, where that is known
    slowest_s: float = 0.0
    stopped: bool = False

    async def client(self, *, is_kept: bool) -> None:
        request = post(QUERY)
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        process: str | None = None
        while not self.stopped:
            started = time.monotonic()
            try:
                if connection is None:
                    process = None
                    connection = await asyncio.open_connection("127.0.0.1", self.server.port)
                connection[1].write(request)
                answer = await read_answer(connection[0])
            except (OSError, EOFError):
                self.lost.append((time.monotonic(), process))
                if connection is not None:
                    connection[1].close()
                connection = None
                continue
            assert answer.status == 200, answer.body
            process = answer.headers[b"x-request-id"].decode()[:ID_OF_PROCESS]
            self.answered.append(process)
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            if not is_kept:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
async def test_a_worker_that_is_killed_under_load_is_back_and_the_others_requests_are_answered() -> None:
    seconds = [await _seconds_of_a_kill()]
    while max(seconds[-1]) >= BACK_WITHIN_S and len(seconds) < TRIES:
        seconds.append(await _seconds_of_a_kill())
    assert max(seconds[-1]) < BACK_WITHIN_S, seconds


async def _seconds_of_a_kill() -> tuple[float, float, float]:
    """Kill one of two workers; return after how long it is back, the slowest answer, and twice when the last request was lost."""
    async with two_workers() as server:
        load = Load(server)
        clients = [asyncio.create_task(load.client(is_kept=number % 2 == 0)) for number in range(8)]
        await until(lambda: len(set(load.answered)) == 2 and len(load.answered) > 100)
        before = set(load.answered)
        killed_at = time.monotonic()
        os.kill(workers_of(server)[0], signal.SIGKILL)
        await until(lambda: len(workers_of(server)) == 2 and "is back" in server.log.read_text())
        back_s = time.monotonic() - killed_at
        count = len(load.answered)
        await until(lambda: set(load.answered[count:]) - before)  # by the new one, too
        mark = len(load.answered)  # what the killed one had sent is read by then
        await until(lambda: len(load.answered) > mark + 100)
        load.stopped = True
        await asyncio.gather(*clients)
        told = await metrics(server)
    processes = set(load.answered)
    assert len(processes) == 3
    gone = before - set(load.answered[mark:])
    assert len(load.lost) <= len(clients), "one is in flight of each client"
    assert {process for _, process in load.lost} <= gone | {None}, "those of the other worker are answered"
    assert sorted(map(float, re.findall(r"^gateway_worker_restarts_total\{.*\} (.*)$", told, re.M))) == [0.0, 1.0]
    assert re.findall(r"^gateway_worker_up\{.*\} (.*)$", told, re.M) == ["1.0", "1.0"]
    return back_s, load.slowest_s, 2 * max((at - killed_at for at, _ in load.lost), default=0.0)


async def test_whichever_worker_is_asked_tells_the_metrics_of_both() -> None:
    async with two_workers() as server:
        asked = 1  # at the start
        processes: set[bytes] = set()
        while len(processes) < 2:
            processes.add((await ask(server, post(QUERY))).headers[b"x-request-id"][:ID_OF_PROCESS])
            asked += 1
        for _ in range(8):
            told = await metrics(server)
            counts = dict(re.findall(r'^gateway_operation_duration_seconds_count\{type="query",worker="(.)"\} (.*)$', told, re.M))
            assert sorted(counts) == ["0", "1"]
            assert sum(map(float, counts.values())) == asked


async def test_writes_of_two_workers_are_carried_on_once() -> None:
    async with two_workers() as server:
        answers = await asyncio.gather(*(ask(server, post(CREATE % (number, number))) for number in range(24)))
        assert len({answer.headers[b"x-request-id"][:ID_OF_PROCESS] for answer in answers}) == 2
        ids = {orjson.loads(answer.body)["data"]["createUser"]["user"]["id"] for answer in answers}
        assert len(ids) == 24

        async def pending() -> float:
            told = await metrics(server)
            return sum(float(count) for count in re.findall(r"^gateway_outbox_pending\{.*\} (.*)$", told, re.M))

        async with asyncio.timeout(60):
            while True:
                told = await metrics(server)
                done = re.findall(r'^gateway_outbox_attempts_total\{.*result="done".*\} (.*)$', told, re.M)
                if sum(map(float, done)) >= 24 and not await pending():
                    break
                await asyncio.sleep(0.1)


async def test_all_workers_and_those_to_come_have_settings_that_were_read_again(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("access_log = true")
    async with two_workers({"GATEWAY_CONFIG": str(config)}) as server:
        config.write_text("access_log = false")
        server.process.send_signal(signal.SIGHUP)
        await until(lambda: server.log.read_text().count("settings read again: access_log = False") == 3)
        os.kill(workers_of(server)[0], signal.SIGKILL)
        await until(lambda: "is back" in server.log.read_text())
        lines = server.log.read_text().count('"request"')
        processes: set[bytes] = set()
        while len(processes) < 2:
            processes.add((await ask(server, post(QUERY))).headers[b"x-request-id"][:ID_OF_PROCESS])
        assert server.log.read_text().count('"request"') == lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_all_end_with_0_when_one_signal_tells_the_first(number: signal.Signals) -> None:
    async with two_workers() as server:
        workers = workers_of(server)
        server.process.send_signal(number)
        assert await asyncio.to_thread(server.process.wait, 10) == 0
        assert not any(map(runs, workers))
        assert "ERROR" not in server.log.read_text()


async def test_workers_end_by_themselves_when_the_first_is_killed() -> None:
    async with two_workers() as server:
        workers = workers_of(server)
        server.process.kill()
        await until(lambda: not any(map(runs, workers)))


async def test_a_stream_is_not_reserved_where_the_next_request_may_be_another_workers() -> None:
    async with two_workers() as server:
        answer = await ask(server, b"PUT /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        assert answer.status == 405
        assert b"setting workers" in answer.body
