"""Histories of databases without Alembic: numbered scripts, each with a checksum, recorded in the store itself.

A script is ``0001_what_it_does.py``: a docstring that says what it does, and ``async def upgrade(database)``. It is Python, as Alembic's
are, and not a list of declared changes: what an old document is to become takes code, and one form for all kinds is one to learn.
Databases without transactions over their schema may stop in the middle of a step, which is then run again from its start: each statement
of a step must be one that may be run twice (``IF NOT EXISTS``, ``create_index``, ``$set`` …).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from gateway.errors import MigrationRefused
from gateway.stores.declarations import Collection
from gateway.stores.leases import Lease, held
from gateway.stores.migrating import GRAPH, LOCK_TIMEOUT_S, Owner, Script, State, next_number, slug

_FILE = re.compile(r"(\d{4})_\w+\.py")


@dataclass(frozen=True, slots=True)
class Step:
    number: int
    name: str  # of its file, without the ending
    doc: str
    checksum: str  # SHA-256 of the file, in hexadecimal
    path: Path

    def __str__(self) -> str:
        return f"{self.number:04} {self.doc}"


@dataclass(frozen=True, slots=True)
class Applied:
    """A step as the store has recorded it."""

    number: int
    name: str
    checksum: str

    def __str__(self) -> str:
        return f"{self.number:04} {self.name.partition('_')[2].replace('_', ' ')}"


class Ledger(Protocol):
    """What a store does for its histories. Each of them is the steps of one store name and one owner."""

    @property
    def lease(self) -> Lease: ...

    async def applied(self, name: str, owner: Owner) -> list[Applied]: ...

    async def run(self, upgrade: Callable[[Any], Awaitable[None]]) -> None:
        """Call a step's function with what it changes the database by."""
        ...

    async def record(self, name: str, owner: Owner, step: Step) -> None:
        """Write down that a step was run. MigrationRefused where it is written already."""
        ...


def folder_of(scripts: Path | None, kind: str) -> Path | None:
    """Return the folder with the steps of a kind; None where there are none."""
    folder = None if scripts is None else scripts / kind
    return folder if folder is not None and any(folder.glob("*.py")) else None


def steps_of(folder: Path) -> list[Step]:
    """Return the steps of a folder in their order. MigrationRefused for a name without a number, a number twice, or a gap."""
    steps = []
    for path in sorted(folder.glob("*.py")):
        found = _FILE.fullmatch(path.name)
        if found is None:
            if path.name == "__init__.py":
                continue
            raise MigrationRefused(f"{path}: expected a name such as 0001_create_events.py, got {path.name}")
        content = path.read_bytes()
        doc = ast.get_docstring(ast.parse(content, str(path))) or path.stem[5:].replace("_", " ")
        steps.append(Step(int(found[1]), path.stem, doc.partition("\n")[0], hashlib.sha256(content).hexdigest(), path))
    for expected, step in enumerate(steps, 1):
        if step.number != expected:
            raise MigrationRefused(f"{step.path}: expected the number {expected:04}, so that none is missing or there twice")
    return steps


def waiting(store: str, steps: Sequence[Step], applied: Sequence[Applied]) -> list[Step]:
    """Return the steps that were not run yet. MigrationRefused where those that were are not the first of the folder, as they were."""
    in_order = sorted(applied, key=lambda its: its.number)
    for expected, its in enumerate(in_order, 1):
        where = f"store {store}: step {its.number:04}"
        if its.number != expected:
            raise MigrationRefused(f"{where}: expected {expected:04} to be recorded before it, got {_numbers(in_order)}")
        if its.number > len(steps):
            raise MigrationRefused(f"{where}: expected its file {its.name}.py, as the store has it recorded; it is missing")
        step = steps[its.number - 1]
        if step.name != its.name:
            raise MigrationRefused(f"{where}: expected the file {its.name}.py, as the store has it recorded, got {step.path}")
        if step.checksum != its.checksum:
            raise MigrationRefused(
                f"{where}: expected {step.path} as it was when it was run (SHA-256 {its.checksum[:12]}…), got {step.checksum[:12]}…;"
                " a step that was run is not changed: write another"
            )
    return list(steps[len(in_order) :])


def _numbers(applied: Sequence[Applied]) -> str:
    return ", ".join(f"{its.number:04}" for its in applied)


async def run_waiting(ledger: Ledger, name: str, owner: Owner, folder: Path, *, lock_timeout_s: float) -> list[str]:
    """Run the steps that were not run yet, one process at a time; one line per step. Without any, no lock is taken."""
    steps = steps_of(folder)
    if not waiting(name, steps, await ledger.applied(name, owner)):
        return []
    done: list[str] = []
    async with held(ledger.lease, name, lock_timeout_s) as sure:
        for step in waiting(name, steps, await ledger.applied(name, owner)):
            await sure()
            try:
                await ledger.run(_upgrade(step))
            except Exception as error:
                before = f" after {', '.join(done)}" if done else ""
                raise MigrationRefused(f"store {name}: step {step} failed{before}: {type(error).__name__}: {error}") from error
            await sure()
            await ledger.record(name, owner, step)
            done.append(f"{name}: {step}")
    return done


async def state_of(ledger: Ledger, name: str, owner: Owner, folder: Path) -> State:
    applied = await ledger.applied(name, owner)
    left = waiting(name, steps_of(folder), applied)
    return State(owner, tuple(map(str, sorted(applied, key=lambda its: its.number))), tuple(map(str, left)))


def _upgrade(step: Step) -> Callable[[Any], Awaitable[None]]:
    spec = importlib.util.spec_from_file_location(f"migration_{step.name}", step.path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    upgrade: Callable[[Any], Awaitable[None]] | None = getattr(module, "upgrade", None)
    if upgrade is None:
        raise MigrationRefused(f"{step.path}: expected async def upgrade(database), got none")
    return upgrade


class StepMigrations(ABC):
    """The histories of one database by steps; what is missing from the declarations where there are none. A kind says how."""

    kind: ClassVar[str]  # whose name the folder of its steps has
    ledger: Ledger

    @abstractmethod
    async def missing(self, collections: Sequence[Collection]) -> list[str]:
        """Return the statements that make what is declared and not there, as the database's own shell has them."""

    @abstractmethod
    async def create_missing(self, collections: Sequence[Collection]) -> list[str]:
        """Make that; one line per thing done."""

    @abstractmethod
    async def script(self, text: str, collections: Sequence[Collection], *, is_first: bool) -> str | None:
        """Return a step with what is missing, or with all that is declared where it is the first; None where there is nothing."""

    async def migrate(
        self, name: str, collections: Sequence[Collection], scripts: Path | None, owner: Owner, lock_timeout_s: float
    ) -> list[str]:
        folder = folder_of(scripts, self.kind)
        if folder is not None:
            return await run_waiting(self.ledger, name, owner, folder, lock_timeout_s=lock_timeout_s)
        if not await self.missing(collections):
            return []
        async with held(self.ledger.lease, name, lock_timeout_s):
            return [f"{name}: {line}" for line in await self.create_missing(collections)]

    async def planned(self, name: str, collections: Sequence[Collection], scripts: Path | None, owner: Owner) -> list[str]:
        return [f"{name}: {line}" for line in (await self.state(name, collections, scripts, owner)).waiting]

    async def state(self, name: str, collections: Sequence[Collection], scripts: Path | None, owner: Owner) -> State:
        folder = folder_of(scripts, self.kind)
        if folder is not None:
            return await state_of(self.ledger, name, owner, folder)
        return State(owner, waiting=tuple(await self.missing(collections)), is_declared=True)

    async def drafted(self, name: str, collections: Sequence[Collection], scripts: Path, text: str) -> list[Script]:
        folder = folder_of(scripts, self.kind)
        if folder is not None:
            left = (await state_of(self.ledger, name, GRAPH, folder)).waiting
            if left:
                raise MigrationRefused(f"store {name}: expected all steps to be run before another is made, {', '.join(left)} waits")
        # The first has all that is declared, as it is to make a new store, too; each statement of it may be run twice.
        script = await self.script(text, collections, is_first=folder is None)
        return [] if script is None else [Script(f"{next_number(scripts / self.kind)}_{slug(text)}.py", script)]


class MigratesBySteps(ABC):
    """What a store with such histories does for ``Migrates``."""

    kind: str

    @abstractmethod
    def _migrations(self) -> StepMigrations: ...

    def scripts_in(self, folder: Path) -> Path:
        return folder / self.kind

    async def migrate(
        self,
        name: str,
        collections: Sequence[Collection],
        scripts: Path | None,
        *,
        owner: Owner = GRAPH,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> list[str]:
        return await self._migrations().migrate(name, collections, scripts, owner, lock_timeout_s)

    async def planned(self, name: str, collections: Sequence[Collection], scripts: Path | None, *, owner: Owner = GRAPH) -> list[str]:
        return await self._migrations().planned(name, collections, scripts, owner)

    async def state(self, name: str, collections: Sequence[Collection], scripts: Path | None, *, owner: Owner = GRAPH) -> State:
        return await self._migrations().state(name, collections, scripts, owner)

    async def is_locked(self) -> bool | None:
        return await self._migrations().ledger.lease.is_held()

    async def drafted(self, name: str, collections: Sequence[Collection], scripts: Path, text: str) -> list[Script]:
        return await self._migrations().drafted(name, collections, scripts, text)
