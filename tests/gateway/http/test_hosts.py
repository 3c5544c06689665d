"""Which Host a request may be for, on every path, and what a start without any says."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.http.hosts import LONGEST, REMEMBERED, Hosts
from tests.gateway.http.fakes import make_app

EVIL = "rebound.attacker.example"


def verdict(given: str | None, **settings: Any) -> str | None:
    refusal = Hosts(Settings(**settings)).refusal(None if given is None else given.encode("latin-1"))
    return None if refusal is None else str(refusal.extensions["code"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost.",
        "a.b.localhost:1",
        "127.0.0.1",
        "127.8.9.10:80",
        "[::1]",
        "[::1]:8000",
        "[0:0::1]",
        "mine.lan",
    ],
)
def test_development_is_for_this_machine_and_the_host_that_is_set(host: str) -> None:
    assert verdict(host, host="mine.lan") is None


@pytest.mark.parametrize(
    "host", [EVIL, "localhost.evil.example", "127.0.0.1.evil.example", "128.0.0.1", "[::2]", "xlocalhost", "0x7f.1", "127.1"]
)
def test_development_is_for_nobody_else(host: str) -> None:
    assert verdict(host) == "HOST_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.example.com", None),
        ("API.Example.COM.:8443", None),
        ("a.staging.example.com", None),
        ("staging.example.com", "HOST_NOT_ALLOWED"),
        ("example.com", "HOST_NOT_ALLOWED"),
        ("xapi.example.com", "HOST_NOT_ALLOWED"),
        ("localhost", "HOST_NOT_ALLOWED"),
        ("[2001:db8::1]:80", None),
        ("[2001:db8:0:0::1]", None),
    ],
)
def test_what_is_set_is_what_is_served(host: str, expected: str | None) -> None:
    names = ("api.example.com", "*.staging.example.com", "2001:DB8::1")
    assert verdict(host, environment="production", allowed_hosts=names) == expected


def test_a_star_is_any_host_that_is_one() -> None:
    assert verdict(EVIL, environment="production", allowed_hosts=("*",)) is None
    assert verdict("a b", environment="production", allowed_hosts=("*",)) == "BAD_REQUEST"


@pytest.mark.parametrize(
    "host",
    [
        *(None, "", "a/b?c#d", "a b", "localhost, localhost", "localhost:", "localhost:port", "localhost:123456", "[::1", "[::zz]"),
        *("a@b", "h\xf6st", "a..b", ".localhost", "%6c", "localhost\x00", "a" * 64, "a." * 200),
    ],
)
def test_a_host_that_is_none_is_malformed(host: str | None) -> None:
    assert verdict(host) == "BAD_REQUEST"


def test_production_does_not_start_without_hosts() -> None:
    with pytest.raises(ConfigError) as caught:
        make_app(environment="production", allowed_hosts=())
    assert str(caught.value) == (
        "allowed_hosts: expected the host names under which clients reach the gateway, such as api.example.com, or * for any; "
        "got none, and production has no default"
    )


def test_what_is_remembered_is_bounded() -> None:
    hosts = Hosts(Settings())
    for number in range(2 * REMEMBERED):
        assert hosts.refusal(b"localhost:%d" % number) is None
    hosts.refusal(b"localhost".ljust(5_000, b"x"))
    assert len(hosts.known) == REMEMBERED
    assert max(len(host or b"") for host in hosts.known) <= LONGEST


@pytest.mark.parametrize("path", ["/", "/graphiql/graphiql.js", "/graphql?query={a}", "/metrics", "/nothing"])
async def test_every_path_is_for_our_hosts_alone(path: str) -> None:
    transport = httpx.ASGITransport(make_app(allowed_hosts=("gateway",)))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        refused = await client.get(path, headers={"host": EVIL})
        served = await client.get(path, headers={"host": "gateway:8000"})
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["extensions"]) == (421, {"code": "HOST_NOT_ALLOWED", "setting": "allowed_hosts"})
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert EVIL not in refused.text
    assert served.status_code == (404 if path == "/nothing" else 200)


async def test_probes_come_under_any_name_but_a_malformed_one() -> None:
    transport = httpx.ASGITransport(make_app(allowed_hosts=("gateway",)))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        statuses = [(await client.get("/health/live", headers={"host": host})).status_code for host in (EVIL, "10.0.0.7:8000", "a b")]
    assert statuses == [200, 200, 400]
