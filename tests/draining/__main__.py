"""Tell gateways to end while clients ask, and look whether a request is lost.

    python -m tests.draining [--rounds 200] [--stores fake|sqlite|live] [--clients 16] [--delay-s 0.5] [--workers 1] [--seed 1]

In each round a gateway is started, asked by clients of two sorts (over connections that are kept, and over a new one for each request)
and told to end by SIGTERM after a random time. Clients ask on until ``/health/ready``, which is asked every 20 ms, says no, and for half of
the delay longer, as whoever spreads requests does not see it at once; a connection whose answer says ``Connection: close`` is not used
again. A request is lost where its answer does not come whole and with 200. Ends with 1 where one is, where readiness did not say no within
100 ms, or where a process did not end with 0 within 30 s.

With ``fake`` the HTTP edge alone is served, a third of whose requests take 0.3 s; else the example over stores with demo data, by so many
workers.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import orjson

from schema import schema as graph
from tests import preloaded
from tests.benchmarks.processes import Server, free_port, start, wait_for_answer
from tests.serving import LAYOUTS, START_S, TYPENAME, filled, read_answer, serving

PROBED_EVERY_S = 0.02
NO_WITHIN_S = 0.1
GONE_WITHIN_S = 30.0
LOAD_S = (0.1, 0.6)  # before the signal
LAG = 0.5  # of the delay, for which clients ask on after readiness has said no: whoever spreads requests does not see it at once
HEAD = b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
FAKE = ("{a}", "{b}", "{slow}")

Say = Callable[[str], None]


@dataclass(slots=True)
class Drained:
    """What came of it; times are the longest of all rounds, in seconds since the signal."""

    rounds: int = 0
    answered: int = 0
    after: int = 0  # of these, asked after the signal
    no_s: float = 0.0
    gone_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.draining", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--stores", choices=("fake", *LAYOUTS), default="sqlite")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--delay-s", type=float, default=0.5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    drained = asyncio.run(
        run(
            options.stores,
            rounds=options.rounds,
            clients=options.clients,
            delay_s=options.delay_s,
            seed=options.seed,
            workers=options.workers,
            say=_say,
        )
    )
    for line in drained.wrong[:20]:
        _say(line)
    sys.exit(1 if drained.wrong else 0)


async def run(stores: str, *, rounds: int, clients: int, delay_s: float, seed: int, workers: int = 1, say: Say = lambda _: None) -> Drained:
    """Return what came of so many rounds, one after the other."""
    random = Random(seed)
    drained = Drained()
    async with _urls(stores) as urls:
        for number in range(1, rounds + 1):
            async with _served(urls, delay_s, workers) as server:
                await _Round(server, random, FAKE if urls is None else (graph.first_query,), drained, LAG * delay_s).run(clients)
            drained.rounds = number
            if number % 10 == 0 or number == rounds or drained.wrong:
                asked = f"{drained.answered} answered, {drained.after} of them asked after the signal"
                times = f"readiness said no within {drained.no_s * 1_000:.0f} ms, the last was gone after {drained.gone_s:.2f} s"
                say(f"{number} ended, {asked}, {len(drained.wrong)} wrong; {times}")
            if drained.wrong:
                break
    return drained


@asynccontextmanager
async def _urls(stores: str) -> AsyncIterator[Mapping[str, str] | None]:
    if stores == "fake":
        yield None
        return
    async with filled(stores) as urls:
        yield urls


@asynccontextmanager
async def _served(urls: Mapping[str, str] | None, delay_s: float, workers: int) -> AsyncIterator[Server]:
    if urls is not None:
        settings = {"GATEWAY_DRAIN_DELAY_S": str(delay_s), "GATEWAY_ACCESS_LOG": "false", "GATEWAY_WORKERS": str(workers)}
        async with serving(urls, settings) as server:
            yield server
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="crossgraph-") as folder:
        options = orjson.dumps({"drain_delay_s": delay_s, "access_log": False}).decode()
        command = [sys.executable, "-m", "tests.gateway.http.serve_fake", str(port), options]
        server = start("serve_fake", command, port, log=Path(folder) / "log", env={}, popen=preloaded.Popen)
        try:
            await asyncio.to_thread(wait_for_answer, server, TYPENAME, timeout_s=START_S)
            yield server
        finally:
            await asyncio.to_thread(server.stop)


class _Round:
    """One process, from its first answer to its end."""

    def __init__(self, server: Server, random: Random, queries: tuple[str, ...], drained: Drained, lag_s: float) -> None:
        self._server = server
        self._random = random
        self._drained = drained
        bodies = [orjson.dumps({"query": query}) for query in queries]
        self._requests = [HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies]
        self._lag_s = lag_s
        self._stopped = asyncio.Event()
        self._no = asyncio.Event()
        self._told_at = 0.0

    async def run(self, clients: int) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe())
            for number in range(clients):
                group.create_task(self._ask(number, is_kept=number % 2 == 0))
            await asyncio.sleep(self._random.uniform(*LOAD_S))
            self._told_at = time.monotonic()
            self._server.process.send_signal(signal.SIGTERM)
        try:
            code: int | None = await asyncio.to_thread(self._server.process.wait, GONE_WITHIN_S)
        except subprocess.TimeoutExpired:
            code = None
        self._drained.gone_s = max(self._drained.gone_s, self._since())
        if code != 0 or self._since() > GONE_WITHIN_S:
            self._wrong(f"the process ended with {code}: {self._server.log.read_text()[-2_000:]}")

    async def _ask(self, number: int, *, is_kept: bool) -> None:
        """Ask one request after the other, until a little after readiness has said no."""
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        for turn in itertools.count(number):
            if self._stopped.is_set():
                break
            asked_at = time.monotonic()
            try:
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
                writer.write(self._requests[turn % len(self._requests)])
                answer = await read_answer(reader)
            except (OSError, EOFError) as error:
                self._wrong(f"lost, asked {self._told(asked_at)}: {error!r}")
                break
            if answer.status != 200:
                self._wrong(f"answered {answer.status}, asked {self._told(asked_at)}: {answer.body[:300]!r}")
            self._drained.answered += 1
            self._drained.after += 0.0 < self._told_at < asked_at
            if not is_kept or answer.headers.get(b"connection") == b"close":
                writer.close()
                reader = writer = None
        if writer is not None:
            writer.close()

    async def _probe(self) -> None:
        while not self._no.is_set():
            asked_at = time.monotonic()
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
                writer.write(b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                answer = await read_answer(reader)
                writer.close()
            except (OSError, EOFError) as error:
                self._wrong(f"readiness was not heard, asked {self._told(asked_at)}: {error!r}")
                self._no.set()
                break
            if answer.status == 503:
                self._drained.no_s = max(self._drained.no_s, self._since())
                self._no.set()
            elif self._told_at and asked_at - self._told_at > NO_WITHIN_S:
                self._wrong(f"readiness said {answer.body!r}, asked {self._told(asked_at)}")
            await asyncio.sleep(self._lag_s if self._no.is_set() else PROBED_EVERY_S)
        self._stopped.set()

    def _since(self) -> float:
        return time.monotonic() - self._told_at

    def _told(self, at: float) -> str:
        return f"{(at - self._told_at) * 1_000:+.0f} ms from the signal" if self._told_at else "before the signal"

    def _wrong(self, what: str) -> None:
        self._drained.wrong.append(what)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
