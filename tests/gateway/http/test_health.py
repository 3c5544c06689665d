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
    monkeypatch.setattr(health, "PING_TIMEOUT_S", 0.5)
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


# ------------------------------------------------------------------------------------------------------------ with a token


class Known:
    """A check-up whose stores are as said."""

    def __init__(self, **statuses: str) -> None:
        self.names = tuple(statuses)
        self._statuses = statuses

    async def of(self, name: str) -> dict[str, Any]:
        return {"name": name, "status": self._statuses[name]}

    def close(self) -> None:
        self.names = ()


async def told(path: str, checkup: Known, headers: dict[str, str] | None = None, **settings: Any) -> httpx.Response:
    transport = httpx.ASGITransport(make_app(checkup=checkup, **settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize(
    ("checkup", "status", "expected"),
    [
        (Known(users="up", posts="up"), 200, "ready"),
        (Known(users="up", posts="mismatch"), 200, "degraded"),
        (Known(users="down", posts="mismatch"), 503, "down"),
    ],
)
async def test_health_tells_of_all_stores(checkup: Known, status: int, expected: str) -> None:
    response = await told("/health", checkup)
    assert (response.status_code, response.json()["status"]) == (status, expected)
    assert [store["name"] for store in response.json()["stores"]] == ["users", "posts"]
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("name", "status"), [("users", 200), ("posts", 503), ("nothing", 404)])
async def test_health_tells_of_one_store(name: str, status: int) -> None:
    response = await told(f"/health/{name}", Known(users="up", posts="down"))
    assert response.status_code == status
    if status == 404:
        assert response.json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    else:
        assert response.json()["name"] == name


TOKEN = "t0p-s3cret-t0ken-of-24-ch"
IN_PRODUCTION: dict[str, Any] = {"environment": "production"}


@pytest.mark.parametrize("path", ["/health", "/health/users", "/metrics"])
async def test_in_production_a_token_is_needed_and_without_the_setting_nothing_is_told(path: str) -> None:
    checkup = Known(users="up")
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert (await told(path, checkup, right, **IN_PRODUCTION)).status_code == 404
    with_token = {**IN_PRODUCTION, "health_token": TOKEN}
    for wrong in ({}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer \xe9"}):
        refused = await told(path, checkup, {k: v.encode("latin-1") for k, v in wrong.items()}, **with_token)  # type: ignore[misc]
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHORIZED"
    assert (await told(path, checkup, right, **with_token)).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_probes_need_no_token(path: str) -> None:
    assert (await told(path, Known(users="up"), **IN_PRODUCTION, health_token=TOKEN)).status_code == 200


async def test_only_probes_come_under_any_host() -> None:
    transport = httpx.ASGITransport(make_app(checkup=Known(users="up")))
    async with httpx.AsyncClient(transport=transport, base_url="http://elsewhere") as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/users")).status_code == 421
