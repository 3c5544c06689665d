"""Where a PostgreSQL server is in the log of writes (the WAL).

It is asked over a connection of its own, so that a full pool makes no replica look dead.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from gateway.errors import StoreUnavailable
from gateway.stores.reasons import Reason
from gateway.stores.sql.asyncpg import AsyncpgDriver

# What is flushed is what replicas are sent. What follows a commit is behind it also where nobody waited for the commit to be flushed.
_FLUSHED = """SELECT (SELECT system_identifier FROM pg_control_system()), pg_is_in_recovery(),
    CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() - '0/0'::pg_lsn END"""
_REPLAYED = """SELECT (SELECT system_identifier FROM pg_control_system()), pg_is_in_recovery(),
    pg_last_wal_replay_lsn() - '0/0'::pg_lsn,
    CAST(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS double precision)"""
COMMITTED = "SELECT CAST(pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS text)"


class Flushed(NamedTuple):
    """Of a primary: the cluster it is of, and the bytes of its log."""

    cluster: int
    position: int


class Replayed(NamedTuple):
    """Of a replica: the bytes of the log that its answers show, and the age in seconds of the last commit in them; None: there is none."""

    cluster: int
    position: int
    age_s: float | None


class NoReplicaError(Exception):
    """A server is not what the settings say: its message says what was expected and found."""


class Positions:
    """Of one server. A look that fails closes the connection, and the next makes another, in the time that connecting may take."""

    def __init__(self, driver: AsyncpgDriver, name: str, timeout_s: float) -> None:
        self._driver = driver
        self._name = name
        self._timeout_s = timeout_s
        self._connection: Any = None

    async def flushed(self) -> Flushed:
        """Return where a primary is. NoReplicaError for a server that is none, StoreUnavailable where it does not answer."""
        cluster, is_replica, position = await self._row(_FLUSHED)
        if is_replica:
            raise NoReplicaError("expected a primary at the url, got a replica (pg_is_in_recovery)")
        return Flushed(cluster, int(position))

    async def replayed(self) -> Replayed:
        """Return where a replica is. NoReplicaError for a server that is none, StoreUnavailable where it does not answer."""
        cluster, is_replica, position, age_s = await self._row(_REPLAYED)
        if not is_replica:
            raise NoReplicaError("expected a replica, got a server that takes writes itself (pg_is_in_recovery)")
        return Replayed(cluster, int(position or 0), age_s)

    async def _row(self, text: str) -> Any:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._driver.connect()
            async with asyncio.timeout(self._timeout_s):
                return await self._connection.fetchrow(text)
        except TimeoutError as error:
            self.close()
            raise StoreUnavailable(self._name, Reason.TIMED_OUT, Reason.TIMED_OUT.told) from error
        except BaseException as error:
            self.close()
            told = self._driver.translated(error)
            if told is None:
                raise
            raise (told if isinstance(told, StoreUnavailable) else StoreUnavailable(self._name)) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
