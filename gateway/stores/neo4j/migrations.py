"""Make the constraints and indexes of a Neo4j store: by its numbered steps, or what is missing from the declarations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from gateway.errors import MigrationRefused
from gateway.stores.base import Collection, Index
from gateway.stores.leases import held
from gateway.stores.migrating import GRAPH, Owner, Script, State, next_number, slug
from gateway.stores.neo4j.history import Neo4jLedger, Run
from gateway.stores.neo4j.schema import AWAIT, SHOW, Rule, existing, wanted
from gateway.stores.neo4j.sources import Source
from gateway.stores.steps import folder_of, run_waiting, state_of

KIND = "neo4j"


class Neo4jMigrations:
    """The histories of a database, as far as its names have the prefix."""

    def __init__(self, run: Run, prefix: str) -> None:
        self._run = run
        self._prefix = prefix
        self._ledger = Neo4jLedger(run, prefix)

    async def migrate(
        self, name: str, collections: Sequence[Collection], scripts: Path | None, owner: Owner, lock_timeout_s: float
    ) -> list[str]:
        folder = folder_of(scripts, KIND)
        if folder is not None:
            return await run_waiting(self._ledger, name, owner, folder, lock_timeout_s=lock_timeout_s)
        if not await self._missing(collections):
            return []
        async with held(self._ledger.lease, name, lock_timeout_s):
            missing = await self._missing(collections)
            for rule in missing:
                await self._run(rule.statement)
            for rule in missing:
                await self._run(AWAIT, {"name": rule.name})
        return [f"{name}: created {rule}" for rule in missing]

    async def planned(self, name: str, collections: Sequence[Collection], scripts: Path | None, owner: Owner) -> list[str]:
        folder = folder_of(scripts, KIND)
        if folder is not None:
            return [f"{name}: {step}" for step in (await state_of(self._ledger, name, owner, folder)).waiting]
        return [f"{name}: {rule.statement}" for rule in await self._missing(collections)]

    async def state(self, name: str, collections: Sequence[Collection], scripts: Path | None, owner: Owner) -> State:
        folder = folder_of(scripts, KIND)
        if folder is not None:
            return await state_of(self._ledger, name, owner, folder)
        return State(owner, waiting=tuple(rule.statement for rule in await self._missing(collections)), is_declared=True)

    async def drafted(self, name: str, collections: Sequence[Collection], scripts: Path, text: str) -> list[Script]:
        folder = folder_of(scripts, KIND)
        if folder is not None:
            left = (await state_of(self._ledger, name, GRAPH, folder)).waiting
            if left:
                raise MigrationRefused(f"store {name}: expected all steps to be run before another is made, {', '.join(left)} waits")
        # The first has all that is declared, as it is to make a new store, too; each statement may be run twice.
        rules = wanted(self._prefix, collections) if folder is None else await self._missing(collections)
        if not rules:
            return []
        return [Script(f"{next_number(scripts / KIND)}_{slug(text)}.py", _script(text, self._prefix, rules))]

    async def _missing(self, collections: Sequence[Collection]) -> list[Rule]:
        there = existing(await self._run(SHOW) or ())
        return [rule for rule in wanted(self._prefix, collections) if rule not in there]


_SCRIPT = '''"""{text}"""

from gateway.stores.neo4j.history import Steps


async def upgrade(database: Steps) -> None:
{lines}
'''


def _script(text: str, prefix: str, rules: Iterable[Rule]) -> str:
    lines = "\n".join(f"    await database.run({orjson.dumps(rule.template(prefix)).decode()})" for rule in rules)
    return _SCRIPT.format(text=text.replace('"', "'").replace("\\", "/"), lines=lines)


def index_statement(prefix: str, collection: Collection, index: Index) -> str | None:
    """Return the statement that makes an index; None where there can be none: the ends of a relationship are found through their nodes."""
    source = Source(prefix, collection)
    if not all(source.is_property(name) for name in index.columns):
        return None
    properties = tuple(map(source.path, index.columns))
    return Rule(index.unique, "node" if source.edge is None else "relationship", source.label, properties).statement
