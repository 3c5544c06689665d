"""The probes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.http import health
from tests.gateway.http.fakes import FakeStores, down, make_app


async def get(path: str, states: dict[str, Any]) -> httpx.Response:
    transport = httpx.ASGITransport(make_app(stores=FakeStores(states)))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.get(path)


async def test_live_asks_no_store() -> None:
    response = await get("/health/live", {"users": down("users")})
    assert (response.status_code, response.json()) == (200, {"status": "live"})


@pytest.mark.parametrize(
    ("states", "status", "expected"),
    [
        ({"users": None, "posts": None}, 200, "ready"),
        ({"users": None, "posts": down("posts")}, 200, "degraded"),
        ({"users": down("users"), "posts": RuntimeError("secret")}, 503, "down"),
    ],
)
async def test_ready_says_which_stores_are_up(states: dict[str, Any], status: int, expected: str) -> None:
    response = await get("/health/ready", states)
    assert (response.status_code, response.json()["status"]) == (status, expected)
    stores = response.json()["stores"]
    assert [(s["name"], s["kind"], s["state"]) for s in stores] == [(n, "memory", "up" if e is None else "down") for n, e in states.items()]
    assert all(("latencyMs" in s) == (s["state"] == "up") for s in stores)
    assert "secret" not in response.text


async def test_a_silent_store_is_down_and_the_others_are_asked_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PING_TIMEOUT_S", 0.05)
    response = await get("/health/ready", {"silent": 60.0, "slow": 0.01, "quick": None})
    assert [s["state"] for s in response.json()["stores"]] == ["down", "up", "up"]


async def test_the_stores_open_and_close_with_the_application() -> None:
    stores = FakeStores()
    app = make_app(stores=stores)
    assert stores.events == []
    async with app.lifespan():
        assert stores.events == ["open"]
    assert stores.events == ["open", "close"]


async def test_metrics_are_served_for_prometheus_in_development() -> None:
    response = await get("/metrics", {})
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert response.text.splitlines()[-1] == "gateway_requests_total 0.0"


async def test_metrics_are_off_in_production() -> None:
    transport = httpx.ASGITransport(make_app(environment="production"))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.get("/metrics")).status_code == 404


async def test_a_gateway_that_is_down_says_when_to_ask_again() -> None:
    response = await get("/health/ready", {"users": down("users")})
    assert (response.status_code, response.headers.get_list("retry-after")) == (503, ["1"])
