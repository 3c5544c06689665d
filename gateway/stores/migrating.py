"""What a store that keeps a history of migrations can say and do, beyond ``Store.migrate``. Data and ports; no I/O.

A store has one history with two owners in it: ``gateway`` has the gateway's own tables, ``graph`` the managed collections of the graph.
A folder of scripts is laid out the same for both: Alembic's ``*.py`` for SQL in the folder itself, numbered steps for any other kind in a
folder with that kind's name (``mongodb/0001_create_events.py``; ``steps.py`` has the rules).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from gateway.stores.declarations import Collection

Owner = Literal["gateway", "graph"]
GATEWAY: Owner = "gateway"
GRAPH: Owner = "graph"
OWNERS: tuple[Owner, ...] = (GATEWAY, GRAPH)  # in the order in which their steps are run

LOCK_TIMEOUT_S = 60.0
OURS = ("alembic_version_", "crossgraph_", "Crossgraph")  # what begins with one of these, in a database, is a history's or a lock

_NUMBER = re.compile(r"(\d{4})_\w+\.py")


@dataclass(frozen=True, slots=True)
class State:
    """Where one owner's history stands in a store: steps by number and text, in their order.

    ``is_declared``: there are no scripts, and what ``waiting`` tells of is made from the declarations.
    """

    owner: Owner
    applied: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    is_declared: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """A script that ``migrate new`` writes: its file's name and its text; ``remarks`` are what somebody should look at before it runs."""

    file: str
    text: str
    remarks: tuple[str, ...] = ()


@runtime_checkable
class Migrates(Protocol):
    """A store that keeps histories. ``scripts`` is an owner's folder; None, or one with nothing for the kind: from the declarations."""

    def scripts_in(self, folder: Path) -> Path:
        """Return where the scripts of this kind lie in an owner's folder: there itself, or in one below it."""
        ...

    async def migrate(
        self,
        name: str,
        collections: Sequence[Collection],
        scripts: Path | None,
        *,
        owner: Owner = GRAPH,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> list[str]:
        """See ``Store.migrate``. MigrationLocked after ``lock_timeout_s`` seconds in which another process migrated."""
        ...

    async def planned(self, name: str, collections: Sequence[Collection], scripts: Path | None, *, owner: Owner = GRAPH) -> list[str]:
        """Return what ``migrate`` would do, a line for each step or statement. Changes nothing, not even by a lock."""
        ...

    async def state(self, name: str, collections: Sequence[Collection], scripts: Path | None, *, owner: Owner = GRAPH) -> State:
        """Return where a history stands. Changes nothing."""
        ...

    async def drafted(self, name: str, collections: Sequence[Collection], scripts: Path, text: str) -> list[Script]:
        """Return the scripts that take the store to what is declared; none where it has that. Never one that drops anything.

        MigrationRefused where steps wait: their difference would be in it, too.
        """
        ...


@runtime_checkable
class Reverts(Protocol):
    """A store whose steps have a way back."""

    async def revert(self, name: str, scripts: Path, to: str | None, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> list[str]:
        """Undo the graph's steps down to the revision ``to`` (``"base"``: all of them); None: the last one. One line per step."""
        ...


@runtime_checkable
class TellsLock(Protocol):
    """A store that can say whether its migrations are locked."""

    async def is_locked(self) -> bool | None:
        """Return whether somebody migrates at this moment; None where nobody can say. Changes nothing."""
        ...


def is_ours(name: str) -> bool:
    """Return whether something in a database is a history's, or a lock."""
    return name.startswith(OURS)


def slug(text: str) -> str:
    """Return the part of a script's name that says what it does."""
    return "_".join(re.findall(r"[a-z0-9]+", text.lower()))[:40].rstrip("_") or "step"


def next_number(folder: Path) -> str:
    """Return the number after the greatest that a script of the folder begins with."""
    numbers = [int(found[1]) for path in folder.glob("*.py") if (found := _NUMBER.fullmatch(path.name))] if folder.is_dir() else []
    return f"{max(numbers, default=0) + 1:04}"
