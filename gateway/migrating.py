"""Migrate the stores of a graph, each by itself: one that fails leaves the others done, and all of them told.

In each store the gateway's own steps come first (``OWN``, one folder for all graphs) and its own tables, which are made from their
declarations; then the graph's. A store in which nothing is managed, and that is not written, has no history, and is not touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import ConfigError
from gateway.graph.fields import Graph
from gateway.graph.log import own_tables
from gateway.stores import Stores
from gateway.stores.base import Collection
from gateway.stores.kinds import kind_named
from gateway.stores.migrating import GATEWAY, GRAPH, LOCK_TIMEOUT_S, Migrates, Owner, Reverts, Script, State, TellsLock

OWN = Path(__file__).parent / "migrations"  # laid out as a store's folder: *.py for SQL, a folder for each other kind


@dataclass(frozen=True, slots=True)
class History:
    """One owner's part of a store's history."""

    owner: Owner
    collections: Sequence[Collection]
    scripts: Path | None


@dataclass(slots=True)
class Outcome:
    """How it went in one store: what is to be said, and what it failed with."""

    store: str
    lines: list[str] = field(default_factory=list)
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits in a store; ``is_locked`` None: nobody can say whether somebody migrates it."""

    waiting: tuple[str, ...] = ()
    is_locked: bool | None = None


def managed_of(graph: Graph, name: str) -> Sequence[Collection]:
    return [collection for collection in graph.collections if collection.store == name and collection.managed]


def histories(stores: Stores, graph: Graph, name: str, own: Path = OWN) -> list[History]:
    """Return what there is to migrate in a store, in order; nothing where nothing is managed, or where its kind cannot."""
    managed, tables = managed_of(graph, name), own_tables(graph, name, stores.kind(name))
    kind = kind_named(stores.kind(name))
    if not (managed or tables) or (kind is not None and "migrate" not in kind.can):
        return []
    parts: list[History] = []
    store = stores[name]
    if isinstance(store, Migrates) and any(store.scripts_in(own).glob("*.py")):
        parts.append(History(GATEWAY, (), own))
    if tables:
        parts.append(History(GATEWAY, tables, None))
    if managed:
        theirs = graph.migrations / name if graph.migrations else None
        parts.append(History(GRAPH, managed, theirs if theirs is not None and theirs.is_dir() else None))
    return parts


async def migrate(stores: Stores, graph: Graph, name: str, *, lock_timeout_s: float = LOCK_TIMEOUT_S, own: Path = OWN) -> list[str]:
    """Do what waits in one store; return one line per thing done. StoreUnavailable at once where nobody answers."""
    parts = histories(stores, graph, name, own)
    if parts:
        await stores.ping(name)  # a migration itself has no deadline, as an index may take its time
    done: list[str] = []
    for part in parts:
        done += await stores.migrate(name, part.collections, part.scripts, owner=part.owner, lock_timeout_s=lock_timeout_s)
    return done


async def migrate_each(
    stores: Stores, graph: Graph, names: Sequence[str], *, lock_timeout_s: float = LOCK_TIMEOUT_S, own: Path = OWN
) -> list[Outcome]:
    """Migrate these stores, one after the other."""

    async def one(name: str) -> list[str]:
        done = await migrate(stores, graph, name, lock_timeout_s=lock_timeout_s, own=own)
        return done or [_nothing(stores, graph, name, own)]

    return [await _outcome(name, one) for name in names]


async def plan_each(stores: Stores, graph: Graph, names: Sequence[str], *, own: Path = OWN) -> list[Outcome]:
    """Return what a migration of these stores would do. Changes nothing."""

    async def one(name: str) -> list[str]:
        lines: list[str] = []
        for part in histories(stores, graph, name, own):
            lines += await _keeper(stores, name).planned(name, part.collections, part.scripts, owner=part.owner)
        return lines or [_nothing(stores, graph, name, own)]

    return [await _outcome(name, one) for name in names]


async def states_of_each(stores: Stores, graph: Graph, names: Sequence[str], *, own: Path = OWN) -> list[Outcome]:
    """Return where the histories of these stores stand. Changes nothing."""

    async def one(name: str) -> list[str]:
        lines: list[str] = []
        for part in histories(stores, graph, name, own):
            state = await _keeper(stores, name).state(name, part.collections, part.scripts, owner=part.owner)
            lines += _told(name, state)
        return lines or [_nothing(stores, graph, name, own)]

    return [await _outcome(name, one) for name in names]


async def pending(stores: Stores, graph: Graph, name: str, *, own: Path = OWN) -> Pending:
    """Return what waits in one store, and whether somebody migrates it. Changes nothing."""
    store = stores[name]
    parts = histories(stores, graph, name, own)
    if not parts or not isinstance(store, Migrates):
        return Pending()
    is_locked = await store.is_locked() if isinstance(store, TellsLock) else None
    waiting: list[str] = []
    for part in parts:
        waiting += (await store.state(name, part.collections, part.scripts, owner=part.owner)).waiting
    return Pending(tuple(waiting), is_locked)


async def drafted(stores: Stores, graph: Graph, name: str, text: str) -> tuple[Path, list[Script]]:
    """Return the folder for the next script of the graph in a store, and the script; none where the store has what is declared."""
    assert graph.migrations is not None
    scripts = graph.migrations / name
    managed = managed_of(graph, name)
    if not managed:
        raise ConfigError(f"--store {name}: expected a store with a collection that is managed, as no other is changed")
    keeper = _keeper(stores, name)
    return keeper.scripts_in(scripts), await keeper.drafted(name, managed, scripts, text)


async def revert(stores: Stores, graph: Graph, name: str, to: str | None, *, lock_timeout_s: float) -> list[str]:
    """Undo steps of the graph in a store down to the revision ``to``; None is one step."""
    store = stores[name]
    scripts = graph.migrations / name if graph.migrations else None
    if not isinstance(store, Reverts):
        raise ConfigError(f"--store {name}: expected a store whose steps have a way back (SQL), got one of kind {store.kind}")
    if not managed_of(graph, name) or scripts is None or not any(scripts.glob("*.py")):
        raise ConfigError(f"--store {name}: expected a store with a history of scripts, got none")
    await stores.ping(name)
    return await store.revert(name, scripts, to, lock_timeout_s=lock_timeout_s)


async def _outcome(name: str, work: Callable[[str], Awaitable[list[str]]]) -> Outcome:
    try:
        return Outcome(name, await work(name))
    except Exception as error:  # whatever a script raises: the other stores are not to suffer for it
        return Outcome(name, error=error)


def _keeper(stores: Stores, name: str) -> Migrates:
    store = stores[name]
    if not isinstance(store, Migrates):
        raise ConfigError(f"store {name}: expected a kind that can say what a migration would do, got {store.kind}")
    return store


def _nothing(stores: Stores, graph: Graph, name: str, own: Path) -> str:
    has_some = managed_of(graph, name) or histories(stores, graph, name, own)
    return f"{name}: nothing to do" if has_some else f"{name}: nothing in it is managed, nothing to do"


def _told(name: str, state: State) -> list[str]:
    if state.is_declared:
        head = f"{name}: {state.owner}: from the declarations, {len(state.waiting)} waiting"
    else:
        revision = state.applied[-1].partition(" ")[0] if state.applied else "base"
        head = f"{name}: {state.owner}: at {revision}, {len(state.applied)} applied, {len(state.waiting)} waiting"
    return [head, *(f"  applied {step}" for step in state.applied), *(f"  waiting {step}" for step in state.waiting)]
