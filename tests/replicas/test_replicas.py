"""Reads of one's own writes over two gateways and a replica that falls behind: the short form of ``python -m tests.replicas``."""

from __future__ import annotations

import asyncio

import httpx

from tests.kinds import needs
from tests.replicas.__main__ import gateways, run
from tests.replicas.pair import pair
from tests.servers import POSTGRESQL, REPLICA


@needs(POSTGRESQL, REPLICA)
async def test_no_read_misses_its_own_write() -> None:
    found = await run(400, clients=8, seed=1)
    assert (found.wrong, found.stale, found.writes) == ([], 0, 400)
    assert found.of_replica > 0
    assert found.pauses > 0
    assert found.stale_without > 0  # a replica that had all at once would show nothing


@needs(POSTGRESQL, REPLICA)
async def test_health_and_metrics_have_the_replica() -> None:
    async with pair() as its, gateways(its) as (base, _), httpx.AsyncClient() as http:
        for _ in range(600):
            told = (await http.get(f"{base}/health/users")).json()
            if told["replicas"][0]["status"] == "up":
                break
            await asyncio.sleep(0.1)
        [replica] = told["replicas"]
        assert (replica["replica"], replica["status"], replica["error"], replica["breaker"]) == (1, "up", None, "closed")
        assert 0 <= replica["lagS"] < 5
        assert replica["pool"] == {"places": 10, "inUse": 0, "waiting": 0}
        assert (await http.get(f"{base}/health/posts")).json()["replicas"][0]["replica"] == 1  # which shares its pool
        assert "replicas" not in (await http.get(f"{base}/health/events")).json()
        metrics = (await http.get(f"{base}/metrics")).text
        assert 'gateway_replica_up{replica="1",store="users"} 1.0' in metrics
        assert 'gateway_replica_lag_seconds{replica="1",store="users"}' in metrics
