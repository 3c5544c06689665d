"""Tenants, workers and traces together: two tenants with databases of their own, served by two processes that send spans."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from tests.benchmarks.processes import Server, free_port
from tests.collectors import Collector, collecting
from tests.e2e.test_workers import ID_OF_PROCESS, metrics, until, workers_of
from tests.forms import of_form
from tests.kinds import needs
from tests.servers import POSTGRESQL
from tests.serving import Answer, begin, read_answer
from tests.tenants.__main__ import TENANTS, question
from tests.tenants.asking import ALPHA, BETA, GRAPH, HEADER, databases

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

READS = of_form(40, 200)  # of each client
CLIENTS = 8
START_S = 60.0
GIVEN_UP_WITHIN_S = 0.003
KINDS = ["sqlite", pytest.param("postgresql", marks=needs(POSTGRESQL))]


@asynccontextmanager
async def gateway(kind: str, folder: Path, collector: Collector, **settings: str) -> AsyncIterator[Server]:
    """Give a gateway of two workers over a database for each tenant."""
    async with databases(kind) as urls:
        tenants = {name: dict.fromkeys(GRAPH.store_names, url) for name, url in urls.items()}
        told = {
            "GATEWAY_GRAPH": "tests.tenants.asking:GRAPH",
            "GATEWAY_WORKERS": "2",
            "GATEWAY_TENANT_HEADER": HEADER,
            "GATEWAY_TENANTS": orjson.dumps(tenants).decode(),
            "GATEWAY_TRACES": "otlp",
            "GATEWAY_TRACES_URL": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **{f"GATEWAY_STORES__{name.upper()}__POOL_SIZE": "4" for name in GRAPH.store_names},
        }
        server = begin({}, told | settings, folder, free_port())
        try:
            await until(lambda: "with 2 workers" in server.log.read_text() or server.process.poll() is not None, START_S)
            assert server.process.poll() is None, server.log.read_text()
            yield server
        finally:
            await asyncio.to_thread(server.stop)


@dataclass
class Clients:
    """They ask for one tenant or the other, half of them over connections that are kept. Each request begins a trace of its own."""

    port: int
    tenants: dict[str, str] = field(default_factory=dict)  # of each trace
    processes: Counter[tuple[str, str]] = field(default_factory=Counter)  # answers by process and tenant
    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    stopped: bool = False

    async def ask(self, seed: int, reads: int, *, gives_up: bool = False) -> None:
        random = Random(seed)
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for _ in range(reads):
            if self.stopped:
                break
            tenant = random.choice(TENANTS)
            query, variables, expected = question(tenant, random)
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", self.port)
                connection[1].write(self._request(random, tenant, query, variables))
                if gives_up and random.random() < 0.3:
                    await asyncio.sleep(random.uniform(0, GIVEN_UP_WITHIN_S))
                    connection[1].close()
                    connection = None
                    continue
                answer = await read_answer(connection[0])
            except (OSError, EOFError):
                self.lost += 1
                if connection is not None:
                    connection[1].close()
                connection = None
                continue
            self._look(tenant, answer, expected)
            if seed % 2:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    def _request(self, random: Random, tenant: str, query: str, variables: dict[str, Any]) -> bytes:
        trace = f"{random.getrandbits(128) | 1:032x}"
        self.tenants[trace] = tenant
        body = orjson.dumps({"query": query, "variables": variables})
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{HEADER}: {tenant}\r\n"
            f"traceparent: 00-{trace}-00f067aa0ba902b7-01\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def _look(self, tenant: str, answer: Answer, expected: Any) -> None:
        strangers = [other for other in TENANTS if other != tenant and other.encode() in answer.body]
        if strangers or answer.status != 200 or orjson.loads(answer.body) != {"data": expected}:
            self.wrong.append(f"{tenant}: {answer.status} {answer.body[:300]!r}, expected {str(expected)[:300]}")
        self.processes[answer.headers[b"x-request-id"].decode()[:ID_OF_PROCESS], tenant] += 1


def told(metrics: str, name: str) -> dict[str, float]:
    """Return what each worker has of a counter, over all its other labels."""
    counted: dict[str, float] = {}
    for labels, value in re.findall(rf"^{name}{{(.*)}} (.*)$", metrics, re.M):
        worker = dict(re.findall(r'(\w+)="([^"]*)"', labels))["worker"]
        counted[worker] = counted.get(worker, 0.0) + float(value)
    return counted


@pytest.mark.parametrize("kind", KINDS)
async def test_each_tenant_has_its_own_rows_and_spans_of_two_workers_whose_metrics_add_up(kind: str, tmp_path: Path) -> None:
    with collecting() as collector:
        async with gateway(kind, tmp_path, collector) as server:
            clients = Clients(server.port)
            await asyncio.gather(*(clients.ask(seed, READS) for seed in range(CLIENTS)))
            assert (clients.wrong, clients.lost) == ([], 0)
            assert set(clients.processes) == {(process, tenant) for process, _ in clients.processes for tenant in TENANTS}
            assert len(clients.processes) == 4, "each of the workers was asked for both tenants"

            read = await metrics(server)
            answered = told(read, "gateway_operation_duration_seconds_count")
            by_process = Counter({process: 0 for process, _ in clients.processes})
            for (process, _), count in clients.processes.items():
                by_process[process] += count
            assert sorted(answered.values()) == sorted(by_process.values())
            assert sum(answered.values()) == CLIENTS * READS
            assert told(read, "gateway_tenants_opened_total") == {"0": 2, "1": 2}
            assert told(read, "gateway_tenants_open") == {"0": 2, "1": 2}
            calls = told(read, "gateway_store_calls_total")
            assert not any(name in read for name in TENANTS), "no series is a tenant's"
        log = server.log.read_text()  # whole, as are the spans: the processes have ended

    spans = collector.spans()
    requests = [(its, span) for its, span in spans if "http.request.method" in its]
    batches = [(its, span) for its, span in spans if "db.system.name" in its]
    assert len(requests) + len(batches) == len(spans)
    assert {span.trace_id.hex(): its["crossgraph.tenant"] for its, span in requests} == clients.tenants
    assert len(requests) == len(clients.tenants) == CLIENTS * READS
    parents = {span.span_id: (span.trace_id, its["crossgraph.request_id"]) for its, span in requests}
    assert all(parents[span.parent_span_id] == (span.trace_id, its["crossgraph.request_id"]) for its, span in batches)
    assert {its["db.system.name"] for its, _ in batches} == {kind}
    assert sum(its["crossgraph.calls"] for its, _ in requests) == len(batches)
    assert all(count > 0 for count in calls.values())
    assert sum(calls.values()) == len(batches)

    lines = [orjson.loads(line) for line in log.splitlines() if line.startswith("{") and '"request"' in line]
    of_log = {line["request"]: line["tenant"] for line in lines if line.get("path") == "/graphql"}
    assert of_log == {its["crossgraph.request_id"]: its["crossgraph.tenant"] for its, _ in requests}


@pytest.mark.parametrize("kind", KINDS)
async def test_who_gives_up_and_a_worker_that_is_killed_leave_nobody_anothers_rows(kind: str, tmp_path: Path) -> None:
    with collecting() as collector:
        async with gateway(kind, tmp_path, collector, GATEWAY_TENANT_IDLE_S="0.2", GATEWAY_TENANTS_OPEN_MAX="2") as server:
            clients = Clients(server.port)
            asking = [asyncio.create_task(clients.ask(seed, 1_000_000, gives_up=True)) for seed in range(CLIENTS)]
            await until(lambda: sum(clients.processes.values()) > CLIENTS * READS / 4 and len(clients.processes) == 4, START_S)
            first, lost = {process for process, _ in clients.processes}, clients.lost
            assert lost == 0
            os.kill(workers_of(server)[0], signal.SIGKILL)
            await until(lambda: "is back" in server.log.read_text(), START_S)
            await until(lambda: {tenant for process, tenant in clients.processes if process not in first} == {ALPHA, BETA}, START_S)
            clients.stopped = True
            await asyncio.gather(*asking)
            assert clients.wrong == []
            assert clients.lost <= CLIENTS, "what the worker that was killed was at"
            later = Clients(server.port)
            await asyncio.gather(*(later.ask(seed, 10) for seed in range(CLIENTS)))
            assert (later.wrong, later.lost) == ([], 0)
    of_trace = {span.trace_id.hex(): its["crossgraph.tenant"] for its, span in collector.spans() if "http.request.method" in its}
    assert len(of_trace) > CLIENTS * READS / 4
    assert of_trace.items() <= (clients.tenants | later.tenants).items()
