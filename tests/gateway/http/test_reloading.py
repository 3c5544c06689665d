"""Settings that are read again while the gateway serves."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import httpx
import pytest

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.http.reloading import RELOADED, reload
from gateway.observability import logs
from gateway.places import Places
from tests.gateway.http.fakes import FakeService, hello, make_app
from tests.preloaded import Popen

OTHER: dict[str, Any] = {
    "access_log": False,
    "drain_delay_s": 7.0,
    "drain_s": 3.0,
    "request_deadline_s": 2.5,
    "requests_max": 2,
    "requests_wait_s": 0.1,
    "requests_waiting_max": 0,
    "streams_max": 1,
}


@pytest.fixture(autouse=True)
def with_lines_for_requests() -> Any:
    yield
    logs.write_access(True)


def test_each_setting_that_can_change_is_tried_here() -> None:
    assert sorted(OTHER) == sorted(RELOADED)


async def test_what_can_change_holds_at_once_and_the_rest_at_the_next_start(caplog: pytest.LogCaptureFixture) -> None:
    service = FakeService()
    app = make_app(service)
    caplog.set_level(logging.INFO, "gateway.settings")
    held = reload(app.edge.settings, lambda: Settings(allowed_hosts=("gateway",), cost_max=5, **OTHER), app.changing)
    assert {name: getattr(held, name) for name in RELOADED} == OTHER
    assert held.cost_max == 10_000
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        assert (await client.post("/graphql", json={"query": "{a}"})).status_code == 200
    assert service.deadlines == [2.5]
    assert (app.edge.drain.delay_s, app.edge.drain.drain_s) == (7.0, 3.0)
    assert logging.getLogger("gateway.access").disabled
    [line] = [record.getMessage() for record in caplog.records if record.name == "gateway.settings"]
    assert line.endswith("drain_s = 3.0; at the next start: cost_max, allowed_hosts")
    assert line.startswith("settings read again: access_log = False, ")


async def test_fewer_requests_are_let_in() -> None:
    let, has_begun = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(request: Any) -> Any:
        has_begun.release()
        await let.wait()
        return await hello(request)

    app = make_app(FakeService(wait))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        begun = [asyncio.ensure_future(client.post("/graphql", json={"query": "{a}"})) for _ in range(3)]
        for _ in begun:
            await has_begun.acquire()
        reload(app.edge.settings, lambda: Settings(**OTHER), app.changing)
        refused = await client.post("/graphql", json={"query": "{a}"})
        let.set()
        assert [answer.status_code for answer in await asyncio.gather(*begun)] == [200, 200, 200]
        after = await client.post("/graphql", json={"query": "{a}"})
    assert (refused.status_code, after.status_code) == (503, 200)


def test_what_cannot_be_leaves_all_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    def read() -> Settings:
        raise ConfigError("gateway.toml: port = 'x': expected a port from 0 to 65535")

    before = Settings()
    assert reload(before, read, ()) is before
    assert caplog.messages == [
        "the settings are as they were, for those that were read cannot be: gateway.toml: port = 'x': expected a port from 0 to 65535"
    ]


async def test_places_that_become_more_go_to_those_who_wait_and_fewer_are_given_back() -> None:
    places = Places(1)
    assert places.take()
    waiting = [asyncio.ensure_future(places.wait(5)) for _ in range(3)]
    await asyncio.sleep(0)
    places.resize(3)
    await asyncio.gather(*waiting[:2])
    assert (places.in_use, places.waiting) == (3, 1)
    places.resize(1)
    for _ in range(2):
        places.give_back()
    assert (places.in_use, places.waiting) == (1, 1)
    places.give_back()
    await waiting[2]
    places.give_back()
    assert (places.in_use, places.take(), places.take()) == (0, True, False)


def test_a_process_reads_its_settings_again_and_keeps_them_where_they_are_wrong(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    environment |= dict.fromkeys(("DATABASE_URL", "MONGO_URL", "NEO4J_URL"), "")
    settings, log = tmp_path / "gateway.toml", tmp_path / "log"
    settings.write_text("port = 0\n")
    with (
        log.open("w") as said,
        Popen(
            [sys.executable, "-m", "gateway", "serve"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            address = next(line for line in process.stdout if line.startswith("Serving on ")).removeprefix("Serving on ").strip()
            settings.write_text("port = 0\nrequests_max = 7\nnodes_max = 9\n")
            process.send_signal(signal.SIGHUP)
            assert told(log, 1) == "settings read again: requests_max = 7; at the next start: nodes_max"
            settings.write_text("requests_max = 'many'\n")
            process.send_signal(signal.SIGHUP)
            wrong = "gateway.toml: requests_max = 'many': expected a number of requests that are worked on at the same time, from 1 to "
            assert told(log, 2).startswith(f"the settings are as they were, for those that were read cannot be: {wrong}")
            body = Request(f"{address}/graphql", b'{"query":"{__typename}"}', {"content-type": "application/json"})
            with urlopen(body, timeout=30) as answer:
                assert answer.status == 200
        finally:
            process.terminate()
            assert process.wait(60) == 0


def told(log: Path, count: int) -> str:
    """Return the message of the settings' line of this number, once it is there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = [line for line in log.read_text().splitlines(keepends=True) if '"gateway.settings"' in line and line.endswith("\n")]
        if len(lines) >= count:
            return str(json.loads(lines[count - 1])["message"])
        time.sleep(0.05)
    raise AssertionError(log.read_text())
