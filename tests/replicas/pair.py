"""An empty database of the live PostgreSQL with its streaming replica, whose replay is stopped and goes on as a test wants.

The replica is one for all tests: whoever has it, has it alone (an advisory lock there), and leaves it replaying.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import asyncpg
from sqlalchemy import make_url

from tests.kinds import url_of
from tests.servers import REPLICA

LOCK = 7_700_011
THERE_S = 60.0  # for a new database to be there


@dataclass(slots=True)
class Pair:
    """URLs of one database: of its primary and of its replica. ``control`` is a connection to the replica."""

    primary: str
    replica: str
    control: Any

    @property
    def address(self) -> tuple[str, int]:
        url = make_url(self.replica)
        return url.host or "127.0.0.1", url.port or 5432

    def replica_at(self, port: int) -> str:
        """Return the replica's URL by way of a proxy."""
        return make_url(self.replica).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)

    async def pause(self) -> None:
        await self.control.execute("SELECT pg_wal_replay_pause()")
        while await self.control.fetchval("SELECT pg_get_wal_replay_pause_state() FROM pg_sleep(0.01)") != "paused":
            pass

    async def resume(self) -> None:
        await self.control.execute("SELECT pg_wal_replay_resume()")

    async def statements(self) -> list[str]:
        """Return the last statement of each of the gateway's connections to the replica, as the replica itself tells it."""
        told = "SELECT query FROM pg_stat_activity WHERE datname = $1 AND application_name = 'crossgraph'"
        return [row["query"] for row in await self.control.fetch(told, make_url(self.replica).database)]

    async def terminate(self) -> int:
        """End the gateway's connections to the replica; return how many."""
        told = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'crossgraph'"
        return len(await self.control.fetch(told, make_url(self.replica).database))


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    server = make_url(os.environ[REPLICA.variable])
    control = await asyncpg.connect(_dsn(server.render_as_string(hide_password=False)))
    try:
        await control.execute("SELECT pg_advisory_lock($1)", LOCK)
        async with url_of("postgresql") as primary:
            replica = server.set(database=make_url(primary).database).render_as_string(hide_password=False)
            await _is_there(replica)
            try:
                yield Pair(primary, replica, control)
            finally:
                await control.execute("SELECT pg_wal_replay_resume()")
    finally:
        await control.close()


async def _is_there(url: str) -> None:
    until = monotonic() + THERE_S
    while True:
        try:
            await (await asyncpg.connect(_dsn(url))).close()
            return
        except asyncpg.InvalidCatalogNameError:
            if monotonic() > until:
                raise
        await asyncio.sleep(0.05)


def _dsn(url: str) -> str:
    return f"postgresql://{url.partition('://')[2]}"
