"""A MongoDB that refuses its connections is known at once, and found again when it is there."""

from __future__ import annotations

import asyncio
import os
from urllib.parse import urlsplit

import pytest

from gateway.errors import StoreUnavailable
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Get
from gateway.stores.mongo.refusals import hosts_in
from gateway.stores.reasons import Reason
from tests.gateway.stores.proxies import Proxy
from tests.kinds import needs
from tests.servers import MONGODB

THINGS = Collection("things", "tested", (Column("id"),))
DRIVERS = ("mongodb", "mongodb+motor")


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("mongodb://h/x", 1),
        ("mongodb://u:p%40,@a:1,b:2,[::1]:3/x?replicaSet=r", 3),
        ("mongodb://h", 1),
        ("mongodb+srv://cluster.example.com/x", 0),
    ],
)
def test_hosts_of_a_url(url: str, hosts: int) -> None:
    assert hosts_in(url) == hosts


async def ask(stores: Stores) -> None:
    assert await stores.ask(Get(THINGS, ("id",), ["1"])) == {}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("hosts", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2"])
async def test_who_asks_is_told_before_the_drivers_time_is_up(driver: str, hosts: str) -> None:
    """Within a minute here, which is what the driver would look for a server, and many times sooner in truth."""
    stores = Stores.connect({"tested": f"{driver}://{hosts}/x"}, connect_timeout_s=60.0, timeout_s=60.0)
    await stores.open()
    try:
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(ask(stores) for _ in range(20)), return_exceptions=True)
            assert {type(answer) for answer in answers} == {StoreUnavailable}
            assert {answer.reason for answer in answers if isinstance(answer, StoreUnavailable)} == {Reason.REFUSED}
            with pytest.raises(StoreUnavailable):
                await stores.ping("tested")
    finally:
        await stores.close()


@needs(MONGODB)
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_server_that_comes_and_goes(driver: str) -> None:
    real = urlsplit(os.environ[MONGODB.variable])
    proxy = Proxy(real.hostname or "", real.port or 27017)
    await proxy.start()
    await proxy.cut()
    user, at, _ = real.netloc.rpartition("@")
    stores = Stores.connect(
        {"tested": f"{driver}://{user}{at}127.0.0.1:{proxy.port}{real.path}?directConnection=true"}, connect_timeout_s=1.0
    )
    await stores.open()
    try:
        async with asyncio.timeout(60):
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await ask(stores)
                await proxy.start()
                while True:
                    try:
                        await ask(stores)
                        break
                    except StoreUnavailable:
                        await asyncio.sleep(0.05)  # as a client would: nothing else wakes the driver
                await ask(stores)
                await proxy.cut()
                while True:
                    try:
                        await ask(stores)
                    except StoreUnavailable as error:
                        if error.reason == Reason.REFUSED:
                            break
    finally:
        await stores.close()
