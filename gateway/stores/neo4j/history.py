"""What a Neo4j database keeps of its migrations: the steps that were run, and the lock of who runs them.

Both are nodes of labels of their own, behind the store's prefix: ``CrossgraphMigration``, a node per step, and ``CrossgraphLock``, one
node, which has a holder while somebody migrates. A step is given a ``Steps``, which runs statements.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import uuid4

from neo4j import exceptions as driver_errors

from gateway.errors import GatewayError, MigrationRefused
from gateway.stores.migrating import Owner
from gateway.stores.neo4j.native import labelled
from gateway.stores.neo4j.schema import AWAIT
from gateway.stores.neo4j.sources import quoted
from gateway.stores.steps import Applied, Step

STEP = "CrossgraphMigration"
LOCK = "CrossgraphLock"

STEP_TIMEOUT_S = 86_400.0  # a statement of a step may go over all nodes

_ATTEMPTS = 5  # two that make one constraint at once: one of them is told to try again

_HELD = "SET l.holder = $holder, l.until = datetime.realtime() + duration({milliseconds: $milliseconds}) RETURN true"
_CLASHES = (driver_errors.TransientError, driver_errors.ConstraintError, driver_errors.DatabaseError)
_INDEXES = """SHOW INDEXES YIELD name, labelsOrTypes WHERE any(x IN labelsOrTypes WHERE x STARTS WITH $prefix) RETURN collect(name)"""


class Run(Protocol):
    """Run one statement in a transaction of its own; return the one value of its one record."""

    async def __call__(self, text: str, parameters: dict[str, Any] | None = None, *, timeout_s: float = ...) -> Any: ...


class Steps:
    """What a step changes a database by. Labels, types and names of indexes stand in braces, ``{Label}``, and get the store's prefix."""

    def __init__(self, run: Run, prefix: str) -> None:
        self._run = run
        self._prefix = prefix

    async def run(self, text: str, parameters: dict[str, Any] | None = None) -> Any:
        """Run one statement. Other braces are doubled, as in native queries: ``SET n += {{seen: true}}``."""
        return await self._run(labelled(text, self._prefix), parameters, timeout_s=STEP_TIMEOUT_S)


class Neo4jLease:
    """The lock as a node. Its property ``asked`` is set before the others are read: that locks the node, so that two ask one by one."""

    def __init__(self, run: Run, prefix: str) -> None:
        self._run = run
        self._label = quoted(prefix + LOCK)
        self._lock = f"(l:{self._label} {{id: 'migrations'}}) SET l.asked = true WITH l"
        self._constraint = _unique(prefix + LOCK, "id")
        self._is_unique = False

    async def take(self, holder: str, seconds: float) -> bool:
        if not self._is_unique:  # without it MERGE may make two
            await _retried(self._run, self._constraint)
            self._is_unique = True
        text = f"MERGE {self._lock} WHERE l.until IS NULL OR l.until <= datetime.realtime() {_HELD}"
        return bool(await _retried(self._run, text, _holding(holder, seconds)))

    async def renew(self, holder: str, seconds: float) -> bool:
        text = f"MATCH {self._lock} WHERE l.holder = $holder {_HELD}"
        return bool(await self._run(text, _holding(holder, seconds)))

    async def release(self, holder: str) -> None:
        text = f"MATCH {self._lock} WHERE l.holder = $holder REMOVE l.holder, l.until"
        await self._run(text, {"holder": holder})

    async def is_held(self) -> bool:
        return bool(await self._run(f"MATCH (l:{self._label}) WHERE l.until > datetime.realtime() RETURN count(l) > 0"))


def _holding(holder: str, seconds: float) -> dict[str, Any]:
    return {"holder": holder, "milliseconds": int(seconds * 1000)}


class Neo4jLedger:
    """See ``steps.Ledger``."""

    def __init__(self, run: Run, prefix: str) -> None:
        self._run = run
        self._prefix = prefix
        self._label = quoted(prefix + STEP)
        self.lease = Neo4jLease(run, prefix)

    async def applied(self, name: str, owner: Owner) -> list[Applied]:
        text = f"MATCH (m:{self._label} {{store: $store, owner: $owner}}) RETURN collect([m.number, m.name, m.checksum])"
        rows = await self._run(text, {"store": name, "owner": owner})
        return [Applied(int(number), str(its_name), str(checksum)) for number, its_name, checksum in rows or ()]

    async def run(self, upgrade: Callable[[Any], Awaitable[None]]) -> None:
        before = set(await self._run(_INDEXES, {"prefix": self._prefix}))
        await upgrade(Steps(self._run, self._prefix))
        for name in await self._run(_INDEXES, {"prefix": self._prefix}):
            if name not in before:
                await self._run(AWAIT, {"name": name})

    async def record(self, name: str, owner: Owner, step: Step) -> None:
        await _retried(self._run, _unique(self._prefix + STEP, "store", "owner", "number"))
        text = (
            f"MERGE (m:{self._label} {{store: $store, owner: $owner, number: $number}})"
            " ON CREATE SET m.name = $name, m.checksum = $checksum, m.at = datetime.realtime(), m.by = $by RETURN m.by = $by"
        )
        values = {"store": name, "owner": owner, "number": step.number, "name": step.name, "checksum": step.checksum}
        if not await _retried(self._run, text, {**values, "by": uuid4().hex}):
            raise MigrationRefused(f"store {name}: step {step} was run by another process at the same time")


def _unique(label: str, *properties: str) -> str:
    columns = ", ".join(f"x.{name}" for name in properties)
    return f"CREATE CONSTRAINT {quoted(f'{label}_unique')} IF NOT EXISTS FOR (x:{quoted(label)}) REQUIRE ({columns}) IS UNIQUE"


async def _retried(run: Run, text: str, parameters: dict[str, Any] | None = None) -> Any:
    """Run a statement that may meet its like; what the server rolled back is done again."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await run(text, parameters)
        except GatewayError as error:
            if attempt == _ATTEMPTS or not isinstance(error.__cause__, _CLASHES):
                raise
    raise AssertionError
