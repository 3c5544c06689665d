"""Make the constraints and indexes of a Neo4j store: by its numbered steps, or what is missing from the declarations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from gateway.stores.base import Collection, Index
from gateway.stores.neo4j.history import Neo4jLedger, Run
from gateway.stores.neo4j.schema import AWAIT, SHOW, Rule, existing, wanted
from gateway.stores.neo4j.sources import Source
from gateway.stores.steps import StepMigrations

KIND = "neo4j"


class Neo4jMigrations(StepMigrations):
    """The histories of a database, as far as its names have the prefix."""

    kind = KIND

    def __init__(self, run: Run, prefix: str) -> None:
        self._run = run
        self._prefix = prefix
        self.ledger = Neo4jLedger(run, prefix)

    async def missing(self, collections: Sequence[Collection]) -> list[str]:
        return [rule.statement for rule in await self._missing(collections)]

    async def create_missing(self, collections: Sequence[Collection]) -> list[str]:
        missing = await self._missing(collections)
        for rule in missing:
            await self._run(rule.statement)
        for rule in missing:
            await self._run(AWAIT, {"name": rule.name})
        return [f"created {rule}" for rule in missing]

    async def script(self, text: str, collections: Sequence[Collection], *, is_first: bool) -> str | None:
        rules = wanted(self._prefix, collections) if is_first else await self._missing(collections)
        return _script(text, self._prefix, rules) if rules else None

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
